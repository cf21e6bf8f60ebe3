package lake

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"tributary/internal/column"
	"tributary/lake/blob"
)

// clock is a wall clock that tests move.
type clock struct{ at time.Time }

func newClock() *clock { return &clock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.at = c.at.Add(7 * time.Millisecond)
	return c.at
}

var saleSchema = Schema{Fields: []Field{
	{"id", Simple(Long), false},
	{"qty", Simple(Int), true},
	{"price", DecimalType(8, 2), true},
	{"at", Simple(TimestampMicros), true},
	{"note", Simple(String), true},
	{"__deleted", Simple(String), true},
	{"__seq", Simple(String), true},
}}

func saleConfig() Config {
	return Config{Database: "shop", Table: "sale", Schema: saleSchema, KeyFields: []string{"id"}, Precombine: "__seq"}
}

// row is a row of saleSchema; a nil cell is kept as stored.
type row struct {
	id    int64
	qty   any
	price any // unscaled
	at    any
	note  any
	del   bool // soft delete
	gone  bool // hard delete
	seq   int
	added int // columns that evolution had added when it was written first
}

// addedCell is the row's value in column n of those that evolution added; ok is false
// for null.
func (x row) addedCell(n int) (v int64, ok bool) {
	return int64(x.seq*10 + n), n < x.added && (x.seq+n)%4 > 0
}

type null struct{}

func rowsOf(rows ...row) Rows {
	b := saleSchema.NewBatch()
	out := Rows{Batch: b, Ops: make([]Op, len(rows)), Keep: make([]column.Bitmap, len(saleSchema.Fields))}
	for r, x := range rows {
		b.Cols[0].AppendInt(x.id)
		for c, v := range []any{x.qty, x.price, x.at, x.note} {
			col := &b.Cols[c+1]
			switch v := v.(type) {
			case nil:
				col.AppendNull()
				out.Keep[c+1].Set(r)
			case null:
				col.AppendNull()
			case int:
				if col.Kind == column.Int {
					col.AppendInt(int64(v))
				} else {
					col.AppendBytes([]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
				}
			case string:
				col.AppendString(v)
			}
		}
		b.Cols[5].AppendString(strconv.FormatBool(x.del))
		b.Cols[6].AppendString(fmt.Sprintf("%016x", x.seq))
		if x.del {
			out.Ops[r] = SoftDelete
		}
		if x.gone {
			out.Ops[r] = Delete
		}
		b.Len++
	}
	return out
}

// dump reads a snapshot as text lines, sorted.
func dump(t testing.TB, tab *Table, at string) []string {
	t.Helper()
	s, err := tab.AsOf(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	return dumpSnapshot(t, s, nil)
}

func dumpSnapshot(t testing.TB, s *Snapshot, columns []string) []string {
	t.Helper()
	fields, err := s.fields(columns)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for b, err := range s.Scan(context.Background(), columns) {
		if err != nil {
			t.Fatal(err)
		}
		for r := range b.Len {
			var line strings.Builder
			for i, f := range fields {
				if i > 0 {
					line.WriteByte('|')
				}
				c := &b.Cols[i]
				if c.IsNull(r) {
					line.WriteString("-")
					continue
				}
				line.Write(appendText(nil, f.Type, c, r))
			}
			out = append(out, line.String())
		}
	}
	sort.Strings(out)
	return out
}

func wantLines(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s:\n%s\nwant:\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func create(t testing.TB, s blob.Store, cfg Config, opt Options) *Table {
	t.Helper()
	tab, err := Create(t.Context(), s, "silver/shop/sale", cfg, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tab.Close(context.Background()) })
	return tab
}

func upsert(t testing.TB, tab *Table, extra map[string]string, rows ...row) Instant {
	t.Helper()
	i, err := tab.Upsert(t.Context(), rowsOf(rows...), extra)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestUpsertAndTimeTravel(t *testing.T) {
	clk := newClock()
	tab := create(t, new(blob.Mem), saleConfig(), Options{Now: clk.now})
	before := FormatInstant(clk.at)
	wantLines(t, "an empty table", dump(t, tab, ""))
	a := upsert(t, tab, nil,
		row{id: 1, qty: 10, price: 1250, at: 1_000_000, note: "a", seq: 1},
		row{id: 2, qty: 20, price: -1, at: null{}, note: null{}, seq: 2})
	b := upsert(t, tab, nil,
		row{id: 3, qty: 30, price: 0, at: 5, note: "c", seq: 3},
		row{id: 1, qty: 11, price: 1251, at: 2_000_000, note: nil, seq: 4}, // note is kept
		row{id: 2, del: true, seq: 5},
		row{id: 4, qty: 1, price: 1, at: 1, note: "d", seq: 6},
		row{id: 4, qty: 2, seq: 7}, // folds over the row before it
	)
	c := upsert(t, tab, nil,
		row{id: 1, qty: 99, price: 99, at: 99, note: "late", seq: 3}, // loses
		row{id: 3, gone: true, seq: 8},
		row{id: 9, gone: true, seq: 9},
		row{id: 5, del: true, seq: 10})
	now := []string{
		"1|11|12.51|2000000|a|false|0000000000000004",
		"2|20|-0.01|-|-|true|0000000000000005",
		"4|2|0.01|1|d|false|0000000000000007",
		"5|-|-|-|-|true|000000000000000a",
	}
	wantLines(t, "now", dump(t, tab, ""), now...)
	wantLines(t, "as of the third", dump(t, tab, c.Time), now...)
	second := []string{
		"1|11|12.51|2000000|a|false|0000000000000004",
		"2|20|-0.01|-|-|true|0000000000000005",
		"3|30|0.00|5|c|false|0000000000000003",
		"4|2|0.01|1|d|false|0000000000000007",
	}
	wantLines(t, "as of the second", dump(t, tab, b.Time), second...)
	wantLines(t, "just before the third", dump(t, tab, FormatInstant(c.When().Add(-time.Millisecond))), second...)
	wantLines(t, "as of the first", dump(t, tab, a.Time),
		"1|10|12.50|1000000|a|false|0000000000000001", "2|20|-0.01|-|-|false|0000000000000002")
	wantLines(t, "before the first", dump(t, tab, before))

	other, err := Open(t.Context(), tab.store, tab.base, Options{})
	if err != nil {
		t.Fatal(err)
	}
	wantLines(t, "another reader", dump(t, other, b.Time), second...)
	s, err := other.AsOf(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if s.Rows() != 4 || s.Instant() != c {
		t.Errorf("snapshot has %d rows at %v", s.Rows(), s.Instant())
	}
	meta := dumpSnapshot(t, s, []string{"_hoodie_record_key", "_hoodie_commit_time", "_hoodie_partition_path"})
	wantLines(t, "Hudi's own columns", meta, "1|"+b.Time+"|", "2|"+b.Time+"|", "4|"+b.Time+"|", "5|"+c.Time+"|")
}

func TestSameRowsAgainChangeNothing(t *testing.T) {
	clk := newClock()
	tab := create(t, new(blob.Mem), saleConfig(), Options{Now: clk.now})
	rows := []row{
		{id: 1, qty: 10, price: 1250, at: 1, note: "a", seq: 1},
		{id: 2, qty: 20, price: 1, at: 1, note: "b", seq: 2},
		{id: 1, qty: 11, seq: 3},
		{id: 2, del: true, seq: 4},
	}
	first := upsert(t, tab, map[string]string{"cursor": "1"}, rows...)
	want := dump(t, tab, "")
	for from := range rows {
		for to := from; to <= len(rows); to++ {
			if i := upsert(t, tab, map[string]string{"cursor": "1"}, rows[from:to]...); i != first {
				t.Fatalf("rows %d to %d again made the commit %v", from, to, i)
			}
		}
	}
	second := upsert(t, tab, map[string]string{"cursor": "2"}, rows...)
	if second == first {
		t.Error("a new cursor made no commit")
	}
	c, err := tab.Commit(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Stats) != 0 || c.Extra["cursor"] != "2" || c.Extra["schema"] == "" {
		t.Errorf("the empty commit is %+v", c)
	}
	wantLines(t, "after it all", dump(t, tab, ""), want...)
	v, from, ok, err := tab.Extra(t.Context(), "cursor")
	if v != "2" || from != second || !ok || err != nil {
		t.Errorf("cursor %q of %v, %v, %v", v, from, ok, err)
	}
}
