package postgres

import (
	"context"
	"errors"
	"testing"

	"tributary/internal/testdb"
)

// TestWrongSlotIsFoundFirst: a slot of another database is told before a publication
// is made.
func TestWrongSlotIsFoundFirst(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE a (id int PRIMARY KEY)")
	s := liveSource(t, db, nil)
	if err := db.ExecIn(t.Context(), "postgres", "SELECT pg_create_logical_replication_slot('"+s.opts.Slot+"', 'pgoutput')"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = db.ExecIn(context.Background(), "postgres", "SELECT pg_drop_replication_slot('"+s.opts.Slot+"')")
	})
	wantHuman(t, errors.Join(s.Open(t.Context(), nil), s.Close()), "belongs to database postgres")
	made, err := db.Query(t.Context(), "SELECT pubname FROM pg_publication")
	if err != nil || len(made) > 0 {
		t.Errorf("made %v, %v", made, err)
	}
}
