package lake

import (
	"testing"

	"tributary/lake/blob"
)

// TestInteropAfterServices lets hudi-rs read a table that has been overwritten,
// clustered, cleaned, archived and rolled back, at every instant that is left.
func TestInteropAfterServices(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*Config)
	}{
		{"plain", func(*Config) {}},
		{"partitioned", partitioned},
		{"by time", func(c *Config) {
			c.PartitionFields, c.HivePartitions = []string{"at"}, true
			c.PartitionTime = &TimePartition{Type: "SCALAR", Unit: "SECONDS", Output: "HHmmss"}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, err := blob.NewDir(t.TempDir())
			must(t, err)
			clk := newClock()
			tab, instants, _ := history(t, dir, clk, 12, c.change)
			must(t, tab.Savepoint(t.Context(), instants[8], "me", ""))
			if _, err := tab.Clean(t.Context(), Retention{Commits: 5}); err != nil {
				t.Fatal(err)
			}
			if n, err := tab.Archive(t.Context(), 5, 6); n == 0 || err != nil {
				t.Fatalf("archived %d: %v", n, err)
			}
			tab.opt.MaxFileRows = 100
			if _, err := tab.Cluster(t.Context(), Clustering{MinFiles: 2}); err != nil {
				t.Fatal(err)
			}
			rows := rowsOf(manyRows(3, 5, 7000)...)
			if _, err := tab.InsertOverwrite(t.Context(), rows, false, nil); err != nil {
				t.Fatal(err)
			}
			upsert(t, tab, nil, manyRows(60, 65, 8000)...)
			must(t, tab.Rollback(t.Context(), tab.Timeline().Newest().Time))
			upsert(t, tab, nil, manyRows(4, 9, 9000)...)
			sameAsHudiRs(t, tab, dir.Path("silver/shop/sale"))
		})
	}
}
