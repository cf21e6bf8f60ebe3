package postgres

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"tributary/capture"
	"tributary/internal/testdb"
)

// interrupted reads a snapshot that is broken off after each batch and gone on
// with from what was acknowledged, as after a kill.
func interrupted(t *testing.T, s *Source, between func(batch int)) (rows []string) {
	t.Helper()
	var pos capture.Position
	for n := 1; ; n++ {
		last := false
		for _, b := range readAll(t, s, pos, func(b *capture.Batch) bool { last = untilStream(b); return len(b.List) > 0 || last }) {
			for _, c := range b.changes {
				rows = append(rows, fmt.Sprintf("%x", []byte(c.After)))
			}
			pos = b.end
		}
		if last {
			return rows
		}
		between(n)
	}
}

func rowsOf(t *testing.T, s *Source) (rows []string) {
	t.Helper()
	changes, _ := snapshotOf(t, s, nil)
	for _, c := range changes {
		rows = append(rows, fmt.Sprintf("%x", []byte(c.After)))
	}
	return rows
}

// TestHeapIsResumed: the snapshot of a table without a key goes on where it was
// interrupted, unless the table was written anew.
func TestHeapIsResumed(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE t (v int, filler text)", "INSERT INTO t SELECT i, repeat('x', 50) FROM generate_series(1, 3000) i",
		"DELETE FROM t WHERE v % 5 = 0", "CREATE TABLE u (v int)", "INSERT INTO u VALUES (1), (1)")
	source := func(name string, threads int) *Source {
		return liveSource(t, db, func(o *Options) {
			o.Slot, o.BatchSize, o.FetchSize, o.SnapshotThreads = db.Name+name, 500, 300, threads
		})
	}
	want := rowsOf(t, source("_whole", 1))
	if len(want) != 2402 {
		t.Fatalf("%d rows", len(want))
	}
	for _, threads := range []int{1, 3} {
		if got := rowsOf(t, source(fmt.Sprintf("_t%d", threads), threads)); !slices.Equal(got, want) {
			t.Errorf("%d threads: %d rows, want %d, in the order of places", threads, len(got), len(want))
		}
		if got := interrupted(t, source(fmt.Sprintf("_r%d", threads), threads), func(int) {}); !slices.Equal(got, want) {
			t.Errorf("%d threads, interrupted: %d rows, want %d, each once", threads, len(got), len(want))
		}
	}
	told := make(chan string, 1)
	s := source("_full", 1)
	s.log = slog.New(lines{s.log.Handler(), told})
	got := interrupted(t, s, func(n int) {
		if n == 2 {
			db.MustExec(t, "VACUUM FULL t")
		}
	})
	if len(got) != 1000+2402 || !slices.Equal(got[1000:], want) || len(told) == 0 {
		t.Errorf("written anew: %d rows, %d warnings", len(got), len(told))
	}
}
