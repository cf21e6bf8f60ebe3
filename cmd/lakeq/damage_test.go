package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tributary/lake"
	"tributary/lake/blob"
)

// TestDamage damages each kind of file of a table: what needs it ends with exit code
// 2, tells what it is about and where, and what to do.
func TestDamage(t *testing.T) {
	truncate := func(b []byte) []byte { return b[:len(b)*2/3] }
	garble := func(b []byte) []byte {
		for i := 4; i < len(b)/2; i++ {
			b[i] ^= 0x5a
		}
		return b
	}
	replace := func(text string) func([]byte) []byte { return func([]byte) []byte { return []byte(text) } }
	all := [][]string{
		{"sql", "select * from sale"}, {"history", "sale", "1"}, {"diff", "sale", "20261125093022999", "now"},
		{"timeline", "sale"}, {"files", "sale"}, {"tables"}, {"validate", "sale"},
	}
	rows := [][]string{all[0], all[1], all[2], all[6]}
	for _, c := range []struct {
		name, file string
		change     func([]byte) []byte
		commands   [][]string
		want       string
	}{
		{"a truncated base file", "sale/*.parquet", truncate, rows, ".parquet"},
		{"an empty base file", "sale/*.parquet", replace(""), rows, ".parquet"},
		{"a garbled base file", "sale/*.parquet", garble, rows, ""},
		{"a truncated commit", "sale/.hoodie/*.commit", truncate, all, ".commit"},
		{"a garbled commit", "sale/.hoodie/*.commit", garble, all, ".commit"},
		{"a commit of another form", "sale/.hoodie/*.commit", replace(`{"partitionToWriteStats":[1]}`), all, ".commit"},
		{"a commit whose columns are none", "sale/.hoodie/*.commit", replace(`{"extraMetadata":{"schema":"{"}}`), all, ".commit"},
		{"a garbled clean", "sale/.hoodie/*.clean", replace("Obj"), all, ".clean"},
		{"garbled properties", "sale/.hoodie/hoodie.properties", replace("x=y"), all, "hoodie.properties"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, _ := testLake(t)
			cleanSale(t, dir)
			files, err := filepath.Glob(filepath.Join(dir, "silver/tickit", c.file))
			must(t, err)
			if len(files) == 0 {
				t.Fatal("nothing to damage")
			}
			for _, f := range files {
				b, err := os.ReadFile(f)
				must(t, err)
				must(t, os.WriteFile(f, c.change(b), 0o644))
			}
			for _, args := range c.commands {
				got := lakeq(t, "", append([]string{"--lake", dir}, args...)...)
				if text := got.out + got.err; got.code != 2 || !strings.Contains(text, "sale") || !strings.Contains(text, c.want) || !strings.Contains(got.err, "what to do: ") {
					t.Errorf("%v: code %d\n%s%s", args, got.code, got.err, got.out)
				}
			}
		})
	}
}

// cleanSale gives sale a clean, and a commit after it.
func cleanSale(t *testing.T, dir string) {
	t.Helper()
	store, err := blob.NewDir(dir)
	must(t, err)
	table, err := lake.Open(t.Context(), store, "silver/tickit/sale", lake.Options{})
	must(t, err)
	if i, err := table.Clean(t.Context(), lake.Retention{Commits: 1}); err != nil || i.IsZero() {
		t.Fatalf("clean: %v, %v", i, err)
	}
	_, err = table.Upsert(t.Context(), rowsOf(table.Schema(), sale{7, "Al", 1, 9}), nil)
	must(t, err)
	must(t, table.Close(t.Context()))
}
