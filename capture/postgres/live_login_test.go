package postgres

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"tributary/internal/testdb"
)

// TestEachConnectionAsksForItsPassword has a password that is good for one
// connection only, as those that expire may be.
func TestEachConnectionAsksForItsPassword(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
	var asked atomic.Int32
	s := liveSource(t, db, func(o *Options) {
		right := o.Password.Reveal()
		o.Password = "not this one"
		o.Passwords = func(_ context.Context, address, name string) (string, error) {
			if want := fmt.Sprintf("%s:%d", db.Host, db.Port); address != want || name != o.User {
				t.Errorf("asked for %s at %s", name, address)
			}
			asked.Add(1)
			return right, nil
		}
	})
	open(t, s, nil)
	for range 2 {
		if _, err := s.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		db.MustExec(t, "INSERT INTO t SELECT max(id) + 1 FROM t")
	}
	if n := asked.Load(); n < 3 { // catalog, snapshot, log
		t.Errorf("asked %d times", n)
	}
}
