package lake

import (
	"fmt"
	"sort"
	"testing"

	"pgregory.net/rapid"

	"tributary/internal/column"
	"tributary/lake/blob"
	"tributary/lake/merge"
)

// TestHasKeyIn finds every key between bounds, and none where there is none.
func TestHasKeyIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringMatching(`[a-c]{1,3}`)
		keys := rapid.SliceOfN(key, 0, 12).Draw(t, "keys")
		in := merge.Input{Len: len(keys), Keys: &column.Column{Kind: column.Bytes}}
		for _, k := range keys {
			in.Keys.AppendString(k)
		}
		c := &change{merge: merge.New(in)}
		for range 5 {
			bounds := []string{key.Draw(t, "a"), key.Draw(t, "b")}
			sort.Strings(bounds)
			want := false
			for _, k := range keys {
				want = want || k >= bounds[0] && k <= bounds[1]
			}
			if got := c.hasKeyIn([]byte(bounds[0]), []byte(bounds[1])); got != want {
				t.Fatalf("keys %q, bounds %q: %v", keys, bounds, got)
			}
		}
	})
}

// TestRowGroupsWithoutAKeyAreNotRead changes rows at both ends of a file of several
// row groups, each time with a key that is in no file beside.
func TestRowGroupsWithoutAKeyAreNotRead(t *testing.T) {
	tab := benchLikeTable(t, 50_000)
	rows := every(49_999, 2, 0, 5) // the first row and the last
	more := wideRows(70_000, 1, 5)
	for c := range rows.Batch.Cols {
		rows.Batch.Cols[c].Append(&more.Batch.Cols[c], 0)
	}
	rows.Batch.Len++
	i, err := tab.Upsert(t.Context(), rows, nil)
	must(t, err)
	c, err := tab.Commit(t.Context(), i)
	must(t, err)
	if s := c.Stats[""]; len(s) != 1 || s[0].NumUpdates != 2 || s[0].NumInserts != 1 || s[0].NumWrites != 50_001 {
		t.Errorf("the commit says %+v", c.Stats)
	}
	s, err := tab.AsOf(t.Context(), "")
	must(t, err)
	found := map[string]int{}
	for b, err := range s.Scan(t.Context(), []string{"_hoodie_commit_time", "saleid"}) {
		must(t, err)
		for r := range b.Len {
			if string(b.Cols[0].Value(r)) == i.Time {
				found[fmt.Sprint(b.Cols[1].Ints[r])]++
			}
		}
	}
	if fmt.Sprint(found) != "map[0:1 49999:1 70000:1]" {
		t.Errorf("rows of the commit: %v", found)
	}
}

func benchLikeTable(t *testing.T, rows int) *Table {
	t.Helper()
	cfg := saleConfig()
	cfg.Schema, cfg.KeyFields = wideSchema, []string{"saleid"}
	tab := create(t, new(blob.Mem), cfg, Options{})
	_, err := tab.Upsert(t.Context(), wideRows(0, rows, 0), nil)
	must(t, err)
	return tab
}
