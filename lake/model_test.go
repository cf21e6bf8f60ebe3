package lake

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tributary/lake/blob"
)

// tableModel is the table as a map, one row at a time.
type tableModel map[int64]row

func (m tableModel) apply(x row) {
	old, exists := m[x.id]
	if exists && x.seq < old.seq {
		return
	}
	if x.gone {
		delete(m, x.id)
		return
	}
	for _, c := range []struct{ to, from *any }{{&x.qty, &old.qty}, {&x.price, &old.price}, {&x.at, &old.at}, {&x.note, &old.note}} {
		if *c.to == nil { // kept
			*c.to = null{}
			if exists {
				*c.to = *c.from
			}
		}
	}
	m[x.id] = x
}

// lines is the model's table as dump shows it.
func (m tableModel) lines() []string {
	var out []string
	for _, x := range m {
		cell := func(v any, decimal bool) string {
			switch v := v.(type) {
			case int:
				if decimal {
					return decimalText([]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}, 2)
				}
				return fmt.Sprint(v)
			case string:
				return v
			default:
				return "-"
			}
		}
		out = append(out, strings.Join([]string{
			fmt.Sprint(x.id), cell(x.qty, false), cell(x.price, true), cell(x.at, false), cell(x.note, false),
			fmt.Sprint(x.del), fmt.Sprintf("%016x", x.seq),
		}, "|"))
	}
	sort.Strings(out)
	return out
}

// modelRun drives a table and its model side by side.
type modelRun struct {
	t       *testing.T
	clk     *clock
	mem     *blob.Mem
	fault   *blob.Fault
	opt     Options
	tab     *Table
	seq     int
	events  []row
	applied int // events that are in the table
	model   tableModel
	past    map[string][]string // what the table held, by instant
	last    string
}

func (r *modelRun) open(t *rapid.T) {
	r.clk.at = r.clk.at.Add(r.opt.LockValidity * 2)
	var err error
	if r.tab, err = Open(r.t.Context(), r.fault, "silver/shop/sale", r.opt); err != nil {
		t.Fatal(err)
	}
}

// draw makes new events.
func (r *modelRun) draw(t *rapid.T) {
	cell := func(name string, v any) any {
		switch rapid.IntRange(0, 5).Draw(t, name) {
		case 0:
			return nil
		case 1:
			return null{}
		default:
			return v
		}
	}
	for range rapid.IntRange(1, 12).Draw(t, "rows") {
		r.seq++
		x := row{
			id: int64(rapid.IntRange(1, 30).Draw(t, "id")), seq: r.seq,
			qty: cell("qty", r.seq%7), price: cell("price", r.seq*3), at: cell("at", r.seq), note: cell("note", fmt.Sprint("n", r.seq)),
		}
		switch rapid.IntRange(0, 9).Draw(t, "op") {
		case 0, 1:
			x.del, x.qty, x.price, x.at, x.note = true, nil, nil, nil, nil
		case 2:
			x.gone = true
		}
		r.events = append(r.events, x)
	}
}

// write gives the table the events from the cursor on, in one batch, and some
// that it has already.
func (r *modelRun) write(t *rapid.T) {
	from := r.applied
	// What was removed for good must not come again: a cursor keeps it away. So
	// only events after the newest removal are given twice.
	for back := rapid.IntRange(0, 4).Draw(t, "again"); back > 0 && from > 0 && !r.events[from-1].gone; back-- {
		from--
	}
	to := r.applied
	if r.applied < len(r.events) {
		to = rapid.IntRange(r.applied, len(r.events)).Draw(t, "to")
	}
	next := maps.Clone(r.model)
	for _, x := range r.events[r.applied:to] {
		next.apply(x)
	}
	stop := rapid.IntRange(0, 3).Draw(t, "crash") == 0
	if stop {
		r.fault.StopAfter(rapid.IntRange(0, 14).Draw(t, "after"), rapid.Bool().Draw(t, "ambiguous"))
	}
	i, err := r.tab.Upsert(r.t.Context(), rowsOf(r.events[from:to]...), map[string]string{"cursor": fmt.Sprint(to)})
	stopped := r.fault.Stopped()
	r.fault.StopAfter(-1, false)
	if err != nil && !stopped {
		t.Fatal(err)
	}
	if stopped {
		r.open(t)
		cursor, at, ok, extraErr := r.tab.Extra(r.t.Context(), "cursor")
		if extraErr != nil {
			t.Fatal(extraErr)
		}
		if err != nil && (!ok || cursor != fmt.Sprint(to) || at.Time == r.last) {
			return // the old state, which check makes sure of
		}
		i = at
	}
	r.applied, r.model, r.last = to, next, i.Time
	r.past[i.Time] = next.lines()
}

// check compares the newest state.
func (r *modelRun) check(t *rapid.T) { r.compare(t, false) }

// compare compares the newest state, and every earlier one if past is set.
func (r *modelRun) compare(t *rapid.T, past bool) {
	if r.fault.Stopped() {
		t.Fatal("the store is stopped")
	}
	reader, err := Open(r.t.Context(), r.mem, "silver/shop/sale", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := dump(r.t, reader, ""); !slices.Equal(got, r.model.lines()) {
		t.Fatalf("the table is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(r.model.lines(), "\n"))
	}
	for at, want := range r.past {
		if !past {
			break
		}
		if got := dump(r.t, reader, at); !slices.Equal(got, want) {
			t.Fatalf("as of %s the table is\n%s\nwant\n%s", at, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// TestTableAgainstModel does random writes, with crashes at random operations,
// to a table and to a map, and compares every instant.
func TestTableAgainstModel(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"plain":       func(*Config) {},
		"partitioned": func(c *Config) { c.PartitionFields, c.HivePartitions = []string{"qty"}, true },
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				r := &modelRun{t: t, clk: newClock(), mem: new(blob.Mem), model: tableModel{}, past: map[string][]string{}}
				r.fault = blob.NewFault(r.mem)
				r.opt = Options{Now: r.clk.now, MaxFileRows: 8, LockValidity: crashOptions.LockValidity}
				cfg := saleConfig()
				change(&cfg)
				if _, err := Create(t.Context(), r.mem, "silver/shop/sale", cfg, r.opt); err != nil {
					rt.Fatal(err)
				}
				r.open(rt)
				rt.Repeat(map[string]func(*rapid.T){
					"draw":  r.draw,
					"write": r.write,
					"open":  r.open,
					"":      r.check,
				})
				r.compare(rt, true)
			})
		})
	}
}
