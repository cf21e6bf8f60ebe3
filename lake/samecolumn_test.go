package lake

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"tributary/lake/blob"
)

// TestColumnsThatStayAreCopied updates rows by a writer of another codec: what it has
// written shows by being compressed.
func TestColumnsThatStayAreCopied(t *testing.T) {
	long := strings.Repeat("a", 1000)
	rows := func(note string) (out []row) {
		for i := range int64(20) {
			out = append(out, row{id: i, qty: int(i), price: 7, at: 7, note: note, seq: 1})
		}
		return out
	}
	for _, c := range []struct {
		name   string
		change []row
		want   bool
	}{
		{"another column", []row{{id: 3, qty: 99, price: 7, at: 7, note: long, seq: 2}, {id: 9, qty: 98, price: 7, at: 7, note: long, seq: 3}}, true},
		{"no column", []row{{id: 3, qty: 3, price: 7, at: 7, note: long, seq: 2}}, true},
		{"the column", []row{{id: 3, qty: 3, price: 7, at: 7, note: long + "b", seq: 2}}, false},
		{"the column, kept", []row{{id: 3, qty: 3, price: 7, at: 7, seq: 2}}, true},
		{"the column, to null", []row{{id: 3, qty: 3, price: 7, at: 7, note: null{}, seq: 2}}, false},
		{"a row that goes", []row{{id: 3, gone: true, seq: 2}}, false},
		{"a row that comes", []row{{id: 3, qty: 3, price: 7, at: 7, note: long, seq: 2}, {id: 50, qty: 3, price: 7, at: 7, note: long, seq: 2}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem, clk := new(blob.Mem), newClock()
			tab := create(t, mem, saleConfig(), Options{Now: clk.now, Codec: "none"})
			upsert(t, tab, nil, rows(long)...)
			must(t, tab.Close(t.Context()))
			tab = openTable(t, mem, Options{Now: clk.now, Codec: "snappy"})
			i := upsert(t, tab, nil, c.change...)
			s, err := tab.AsOf(t.Context(), "")
			must(t, err)
			if len(s.Files()) != 1 || s.Files()[0].Instant != i.Time {
				t.Fatalf("files %v", s.Files())
			}
			b, err := readObject(t.Context(), mem, s.Files()[0].Key)
			must(t, err)
			if got := bytes.Contains(b, []byte(long)); got != c.want {
				t.Errorf("the column is copied: %v, want %v", got, c.want)
			}
			want := map[string]bool{}
			for _, x := range rows(long) {
				want[strconv.FormatInt(x.id, 10)] = true
			}
			for _, x := range c.change {
				want[strconv.FormatInt(x.id, 10)] = !x.gone
			}
			for id, n := range ids(dump(t, tab, "")) {
				if n != 1 || !want[id] {
					t.Errorf("row %s is there %d times", id, n)
				}
				delete(want, id)
			}
			for id, there := range want {
				if there {
					t.Errorf("row %s is missing", id)
				}
			}
			upsert(t, tab, nil, rows(long)...) // the copied chunks are read again
			must(t, tab.Close(t.Context()))
		})
	}
}
