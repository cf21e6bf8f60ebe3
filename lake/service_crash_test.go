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

// serviceCase is a table service that is stopped.
type serviceCase struct {
	// prepare is done before, by a writer that lives.
	prepare func(t *testing.T, tab *Table, instants []string)
	run     func(t *testing.T, tab *Table, instants []string) error
	// undoes tells that the newest state may be any earlier one until the service
	// is done, and the one at target then.
	undoes func(instants []string) (target string)
}

var serviceCases = map[string]serviceCase{
	"clean": {
		run: func(t *testing.T, tab *Table, _ []string) error {
			_, err := tab.Clean(t.Context(), Retention{Commits: 2})
			return err
		},
	},
	"archive": {
		prepare: func(t *testing.T, tab *Table, _ []string) {
			_, err := tab.Clean(t.Context(), Retention{Commits: 2})
			must(t, err)
		},
		run: func(t *testing.T, tab *Table, _ []string) error {
			_, err := tab.Archive(t.Context(), 2, 3)
			return err
		},
	},
	"savepoint": {
		run: func(t *testing.T, tab *Table, instants []string) error {
			return tab.Savepoint(t.Context(), instants[1], "me", "")
		},
	},
	"drop of a savepoint": {
		prepare: func(t *testing.T, tab *Table, instants []string) {
			must(t, tab.Savepoint(t.Context(), instants[1], "me", ""))
		},
		run: func(t *testing.T, tab *Table, instants []string) error {
			return tab.DropSavepoint(t.Context(), instants[1])
		},
	},
	"rollback": {
		run: func(t *testing.T, tab *Table, instants []string) error {
			if tab.Timeline().Newest().Time != instants[len(instants)-1] {
				return nil
			}
			return tab.Rollback(t.Context(), instants[len(instants)-1])
		},
		undoes: func(instants []string) string { return instants[len(instants)-2] },
	},
	"restore": {
		prepare: func(t *testing.T, tab *Table, instants []string) {
			must(t, tab.Savepoint(t.Context(), instants[1], "me", ""))
			_, err := tab.Clean(t.Context(), Retention{Commits: 2})
			must(t, err)
		},
		run: func(t *testing.T, tab *Table, instants []string) error {
			_, err := tab.Restore(t.Context(), instants[1])
			return err
		},
		undoes: func(instants []string) string { return instants[1] },
	},
}

// copyStore returns a memory store with the objects of another.
func copyStore(t *testing.T, from *blob.Mem) *blob.Mem {
	t.Helper()
	out := new(blob.Mem)
	for info, err := range from.List(t.Context(), "", "") {
		must(t, err)
		b, err := readObject(t.Context(), from, info.Key)
		must(t, err)
		_, err = out.Put(t.Context(), info.Key, strings.NewReader(string(b)), int64(len(b)), blob.Always())
		must(t, err)
	}
	return out
}

// TestServicesCrashAtEveryOperation stops every table service at each of its
// operations, and the healing after it at every third, begun at another each time:
// nothing that can be read reads otherwise than before, and the service can be run to
// its end.
func TestServicesCrashAtEveryOperation(t *testing.T) {
	for name, c := range serviceCases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mem, clk := new(blob.Mem), newClock()
			tab, instants, held := history(t, mem, clk, 5, nil)
			if c.prepare != nil {
				c.prepare(t, tab, instants)
			}
			must(t, tab.Close(t.Context()))
			counter := blob.NewFault(copyStore(t, mem))
			done := reopen(t, clk, counter)
			must(t, done.Lock(t.Context()))
			counter.StopAfter(-1, false)
			must(t, c.run(t, done, instants))
			operations := counter.Done()
			if operations < 2 {
				t.Fatalf("%d operations", operations)
			}
			run := serviceRun{serviceCase: c, mem: mem, instants: instants, held: held}
			for k := range operations {
				for _, ambiguous := range []bool{false, true} {
					run.crash(t, clk.at, k, -1, ambiguous)
					for j := k % 3; run.crash(t, clk.at, k, j, ambiguous); j += 3 {
					}
				}
			}
		})
	}
}

type serviceRun struct {
	serviceCase
	mem      *blob.Mem
	instants []string
	held     map[string][]string
}

func reopen(t *testing.T, clk *clock, store blob.Store) *Table {
	t.Helper()
	clk.at = clk.at.Add(time.Hour)
	return openTable(t, store, Options{Now: clk.now, MaxFileRows: 10, LockValidity: time.Minute})
}

// check reads every instant that can be read.
func (r *serviceRun) check(t *testing.T, what string, store blob.Store) {
	t.Helper()
	tab := openTable(t, store, Options{})
	newest := tab.Timeline().Newest().Time
	if r.undoes == nil && newest != r.instants[len(r.instants)-1] {
		t.Fatalf("%s: the newest commit is %s", what, newest)
	}
	for _, at := range append(slices.Clone(r.instants), "") {
		s, err := tab.AsOf(t.Context(), at)
		if errors.Is(err, ErrHorizon) {
			continue
		}
		must(t, err)
		want := r.held[at]
		if r.undoes != nil && (at == "" || at > newest) || at == "" {
			want = r.held[newest]
		}
		if got := dumpSnapshot(t, s, nil); !slices.Equal(got, want) {
			t.Fatalf("%s: as of %q:\n%s\nwant\n%s", what, at, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// crash stops the service after k operations and, unless j is -1, the healing
// after j. It reports whether the healing was stopped.
func (r *serviceRun) crash(t *testing.T, now time.Time, k, j int, ambiguous bool) bool {
	t.Helper()
	what := fmt.Sprintf("stopped at %d, healing at %d, ambiguous %v", k, j, ambiguous)
	mem, clk := copyStore(t, r.mem), &clock{now}
	fault := blob.NewFault(mem)
	tab := reopen(t, clk, fault)
	must(t, tab.Lock(t.Context()))
	fault.StopAfter(k, ambiguous)
	if err := r.run(t, tab, r.instants); err == nil || !errors.Is(err, blob.ErrStopped) {
		t.Fatalf("%s: %v", what, err)
	}
	stopped := false
	if j < 0 {
		r.check(t, what+", after the crash", mem)
	}
	if j >= 0 {
		second := blob.NewFault(mem)
		tab := reopen(t, clk, second)
		second.StopAfter(j, ambiguous)
		_ = tab.Lock(t.Context())
		stopped = second.Stopped()
		r.check(t, what+", after the second crash", mem)
	}
	last := reopen(t, clk, mem)
	must(t, last.Lock(t.Context()))
	if p := last.Timeline().Pending(); len(p) > 0 {
		t.Fatalf("%s: pending instants %v", what, p)
	}
	if err := r.run(t, last, r.instants); err != nil {
		t.Fatalf("%s: again: %v", what, err)
	}
	r.check(t, what+", at the end", mem)
	if r.undoes != nil {
		wantLines(t, what+": at the end", dump(t, last, ""), r.held[r.undoes(r.instants)]...)
		nothingLeftBut(t, mem, last, r.undoes(r.instants))
	}
	at := upsert(t, last, nil, manyRows(500, 501, 9999)...)
	if at.Time <= r.instants[len(r.instants)-1] {
		t.Fatalf("%s: the next commit is %s", what, at.Time)
	}
	must(t, last.Close(t.Context()))
	return stopped
}
