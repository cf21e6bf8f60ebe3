package lake

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/lake/blob"
)

// crashCase is a commit that is stopped, and the table before and after it.
type crashCase struct {
	setup  func(t *testing.T, tab *Table)
	evolve bool
	rows   []row
	cfg    func(*Config)
	do     func(t *testing.T, tab *Table) error // instead of an upsert
	beats  bool                                 // the commit has a heartbeat
}

var crashCases = map[string]crashCase{
	"first commit": {
		beats: true,
		rows:  []row{{id: 1, qty: 1, price: 1, at: 1, note: "a", seq: 1}, {id: 2, qty: 1, price: 1, at: 1, note: "b", seq: 2}},
	},
	"update, insert, delete in several files": {
		setup: func(t *testing.T, tab *Table) {
			upsert(t, tab, map[string]string{"cursor": "1"}, manyRows(1, 25, 0)...)
			upsert(t, tab, map[string]string{"cursor": "2"}, row{id: 3, qty: 77, seq: 100})
		},
		rows: append(manyRows(26, 40, 200), row{id: 3, qty: 5, seq: 300}, row{id: 14, del: true, seq: 301}, row{id: 23, gone: true, seq: 302}),
	},
	"cursor alone": {
		setup: func(t *testing.T, tab *Table) { upsert(t, tab, map[string]string{"cursor": "1"}, manyRows(1, 5, 0)...) },
	},
	"new column": {
		setup:  func(t *testing.T, tab *Table) { upsert(t, tab, map[string]string{"cursor": "1"}, manyRows(1, 5, 0)...) },
		evolve: true,
	},
	"new partitions": {
		cfg:   func(c *Config) { c.PartitionFields, c.HivePartitions = []string{"qty"}, true },
		setup: func(t *testing.T, tab *Table) { upsert(t, tab, map[string]string{"cursor": "1"}, manyRows(1, 5, 0)...) },
		rows:  []row{{id: 2, qty: 1000, seq: 100}, {id: 9, qty: 2000, price: 1, at: 1, note: "x", seq: 101}},
	},
	"insert overwrite": {
		cfg: func(c *Config) { c.PartitionFields = []string{"qty"} },
		setup: func(t *testing.T, tab *Table) {
			upsert(t, tab, map[string]string{"cursor": "1"}, manyRows(1, 25, 0)...)
		},
		do: func(t *testing.T, tab *Table) error {
			// Key 1 comes from another partition.
			rows := rowsOf(row{id: 1, qty: 2, price: 1, at: 1, note: "x", seq: 1}, row{id: 90, qty: 2, price: 1, at: 1, note: "y", seq: 2})
			_, err := tab.InsertOverwrite(t.Context(), rows, false, map[string]string{"cursor": "new"})
			return err
		},
	},
	"insert overwrite of the whole table": {
		setup: func(t *testing.T, tab *Table) {
			upsert(t, tab, map[string]string{"cursor": "1"}, manyRows(1, 25, 0)...)
		},
		do: func(t *testing.T, tab *Table) error {
			_, err := tab.InsertOverwrite(t.Context(), rowsOf(manyRows(20, 40, 500)...), true, map[string]string{"cursor": "new"})
			return err
		},
	},
	"delete partitions": {
		cfg: func(c *Config) { c.PartitionFields = []string{"qty"} },
		setup: func(t *testing.T, tab *Table) {
			upsert(t, tab, map[string]string{"cursor": "1"}, manyRows(1, 25, 0)...)
		},
		do: func(t *testing.T, tab *Table) error {
			_, err := tab.DeletePartitions(t.Context(), []string{"0", "2", "17"}, map[string]string{"cursor": "new"})
			return err
		},
	},
	"cluster": {
		setup: func(t *testing.T, tab *Table) {
			upsert(t, tab, map[string]string{"cursor": "new"}, manyRows(1, 45, 0)...)
		},
		do: func(t *testing.T, tab *Table) error {
			tab.opt.MaxFileRows = 25
			_, err := tab.Cluster(t.Context(), Clustering{})
			return err
		},
	},
}

func manyRows(from, to, seq int) []row {
	var out []row
	for i := from; i <= to; i++ {
		out = append(out, row{id: int64(i), qty: i % 3, price: i, at: i, note: fmt.Sprint("n", i), seq: seq + i})
	}
	return out
}

var crashOptions = Options{MaxFileRows: 10, LockValidity: time.Minute}

// opener opens the table as a process that starts some time later: the leases
// of processes that died have run out.
func opener(t *testing.T, clk *clock, store blob.Store) *Table {
	t.Helper()
	clk.at = clk.at.Add(3 * time.Minute)
	opt := crashOptions
	opt.Now = clk.now
	tab, err := Open(t.Context(), store, "silver/shop/sale", opt)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

// attempt does what the case is about.
func (c crashCase) attempt(t *testing.T, tab *Table) error {
	tab.opt.Heartbeat = c.beats
	if c.do != nil {
		return c.do(t, tab)
	}
	if c.evolve && tab.Schema().Index("added") < 0 {
		if _, err := tab.Evolve(Schema{Fields: []Field{{"added", Simple(Long), true}}}); err != nil {
			t.Fatal(err)
		}
	}
	rows := rowsOf(c.rows...)
	if c.evolve {
		b := tab.Schema().NewBatch()
		rows = Rows{Batch: b}
	}
	_, err := tab.Upsert(t.Context(), rows, map[string]string{"cursor": "new"})
	return err
}

func (c crashCase) prepare(t *testing.T) (*blob.Mem, *clock) {
	t.Helper()
	mem, clk := new(blob.Mem), newClock()
	cfg := saleConfig()
	if c.cfg != nil {
		c.cfg(&cfg)
	}
	opt := crashOptions
	opt.Now = clk.now
	tab := create(t, mem, cfg, opt)
	if c.setup != nil {
		c.setup(t, tab)
	}
	if err := tab.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return mem, clk
}

// TestCrashAtEveryOperation stops the store at every operation of a commit,
// each time with the operation undone and done, and then the healing: at every
// operation for upserts, at every fifth, begun at another each time, for the rest.
// Readers see the old state or the new, and the next writer goes on.
func TestCrashAtEveryOperation(t *testing.T) {
	for name, c := range crashCases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mem, clk := c.prepare(t)
			before := dump(t, opener(t, clk, mem), "")
			counter := blob.NewFault(mem)
			tab := opener(t, clk, counter)
			if err := c.attempt(t, tab); err != nil {
				t.Fatal(err)
			}
			after := dump(t, tab, "")
			operations := counter.Done()
			if operations < 4 || len(c.rows) > 0 && slices.Equal(before, after) {
				t.Fatalf("the case does nothing: %d operations", operations)
			}
			for k := range operations {
				for _, ambiguous := range []bool{false, true} {
					c.crash(t, k, -1, ambiguous, before, after)
					step := 1
					if c.do != nil { // heals as the others do
						step = 5
					}
					for j := k % step; c.crash(t, k, j, ambiguous, before, after); j += step {
					}
				}
			}
		})
	}
}

// crash stops the commit after k operations and, unless j is -1, the healing
// after j. It reports whether the healing was stopped.
func (c crashCase) crash(t *testing.T, k, j int, ambiguous bool, before, after []string) bool {
	t.Helper()
	what := fmt.Sprintf("stopped at %d, healing at %d, ambiguous %v", k, j, ambiguous)
	mem, clk := c.prepare(t)
	fault := blob.NewFault(mem)
	tab := opener(t, clk, fault)
	fault.StopAfter(k, ambiguous)
	err := c.attempt(t, tab)
	// Only the removal of markers may fail without the commit failing.
	if err != nil && !errors.Is(err, blob.ErrStopped) {
		t.Fatalf("%s: %v", what, err)
	}
	check := func(when string) {
		t.Helper()
		got := dump(t, opener(t, clk, mem), "")
		if err == nil && !slices.Equal(got, after) || !slices.Equal(got, before) && !slices.Equal(got, after) {
			t.Fatalf("%s, %s: neither old nor new state:\n%s", what, when, strings.Join(got, "\n"))
		}
	}
	check("after the crash")
	healStopped := false
	if j >= 0 {
		second := blob.NewFault(mem)
		tab := opener(t, clk, second)
		second.StopAfter(j, ambiguous)
		lockErr := tab.Lock(t.Context())
		if healStopped = second.Stopped(); healStopped == (lockErr == nil) && !errors.Is(lockErr, blob.ErrStopped) {
			t.Fatalf("%s: lock: %v", what, lockErr)
		}
		check("after the second crash")
	}
	last := opener(t, clk, mem)
	if err := last.Lock(t.Context()); err != nil {
		t.Fatalf("%s: lock: %v", what, err)
	}
	check("after healing")
	if err := c.attempt(t, last); err != nil {
		t.Fatalf("%s: again: %v", what, err)
	}
	wantLines(t, what+": at the end", dump(t, last, ""), after...)
	if v, _, _, err := last.Extra(t.Context(), "cursor"); v != "new" || err != nil {
		t.Fatalf("%s: cursor %q, %v", what, v, err)
	}
	nothingLeft(t, what, mem, last)
	if err := last.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return healStopped
}

// nothingLeft checks that every file belongs to a completed commit.
func nothingLeft(t *testing.T, what string, store blob.Store, tab *Table) {
	t.Helper()
	if err := tab.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p := tab.Timeline().Pending(); len(p) > 0 {
		t.Fatalf("%s: pending instants %v", what, p)
	}
	known := map[string]bool{}
	for _, i := range tab.Timeline().Completed() {
		c, err := tab.Commit(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		for _, stats := range c.Stats {
			for _, s := range stats {
				known[join(tab.Base(), s.Path)] = true
			}
		}
	}
	for info, err := range store.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(info.Key, ".parquet") && !known[info.Key] {
			t.Fatalf("%s: %s belongs to no commit", what, info.Key)
		}
		if strings.Contains(info.Key, "/.temp/") || strings.Contains(info.Key, heartbeats) {
			t.Fatalf("%s: marker %s is left", what, info.Key)
		}
	}
}

// TestUpsertAgainAfterAnError goes on with the table whose commit failed, as a
// daemon does that retries.
func TestUpsertAgainAfterAnError(t *testing.T) {
	c := crashCases["update, insert, delete in several files"]
	mem, clk := c.prepare(t)
	counter := blob.NewFault(mem)
	tab := opener(t, clk, counter)
	if err := c.attempt(t, tab); err != nil {
		t.Fatal(err)
	}
	after := dump(t, tab, "")
	for k := range counter.Done() {
		for _, ambiguous := range []bool{false, true} {
			mem, clk := c.prepare(t)
			fault := blob.NewFault(mem)
			tab := opener(t, clk, fault)
			fault.StopAfter(k, ambiguous)
			first := c.attempt(t, tab)
			fault.StopAfter(-1, false)
			clk.at = clk.at.Add(2 * time.Minute) // the lease may have been lost with its put
			if err := c.attempt(t, tab); err != nil {
				t.Fatalf("stopped at %d, ambiguous %v (%v): again: %v", k, ambiguous, first, err)
			}
			wantLines(t, fmt.Sprint("stopped at ", k), dump(t, tab, ""), after...)
			nothingLeft(t, fmt.Sprint("stopped at ", k), mem, tab)
		}
	}
}
