package workload

import (
	"context"
	"fmt"
	"time"

	"tributary/internal/testdb"
)

// twoPhase prepares a transaction and decides about it later: XA, or PREPARE
// TRANSACTION. Should the server be killed in between, settle decides.
func (w *worker) twoPhase(ctx context.Context) error {
	w.prepared++
	id := fmt.Sprintf("'wl_%d_%d'", w.stream, w.prepared)
	begin, prepare := "BEGIN", []string{"PREPARE TRANSACTION " + id}
	if w.c.lang != postgres {
		begin, prepare = "XA START "+id, []string{"XA END " + id, "XA PREPARE " + id}
	}
	if err := w.c.exec(ctx, begin); err != nil {
		return err
	}
	for range 1 + w.r.IntN(4) {
		t := w.m.pick(w.r)
		what, q := w.statement(t)
		if what == "truncate" { // no XA transaction may, and no other may long
			continue
		}
		if err := w.c.exec(ctx, q); err != nil {
			return err
		}
		w.counts.did(what)
	}
	for _, q := range prepare {
		if err := w.c.exec(ctx, q); err != nil {
			return err
		}
	}
	sleep(ctx, time.Duration(w.r.IntN(40))*time.Millisecond)
	verb := []string{"COMMIT", "COMMIT", "ROLLBACK"}[w.r.IntN(3)]
	if err := w.c.exec(ctx, decide(w.c.lang, verb, id)); err != nil {
		return err
	}
	w.counts.did("two-phase " + verb)
	return nil
}

func decide(lang dialect, verb, id string) string {
	if lang == postgres {
		return verb + " PREPARED " + id
	}
	return "XA " + verb + " " + id
}

// settle decides about the transactions that are prepared and about which nobody
// has decided. Of those whose connection lives on, that connection may be first,
// or be the only one that can.
func settle(ctx context.Context, s *testdb.Server, n *counts) {
	lang := dialectOf(s.Kind)
	list, column := "XA RECOVER", 3
	if lang == postgres {
		list, column = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()", 0
	}
	rows, err := s.Query(ctx, list)
	if err != nil {
		n.fault(err)
		return
	}
	for i, row := range rows {
		verb := []string{"COMMIT", "ROLLBACK"}[i%2]
		if s.Kind == testdb.KindMariaDB {
			// Its XA PREPARE is not safe against crashes (MDEV-21469): what the engine has
			// prepared need not be in the binlog, and nobody could tell of its rows.
			verb = "ROLLBACK"
		}
		if err := s.Exec(ctx, decide(lang, verb, "'"+row[column]+"'")); err != nil {
			n.fault(err)
			continue
		}
		n.did("two-phase " + verb + " after a crash")
	}
}
