package mysql

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"tributary/internal/testdb"
)

// TestEachConnectionAsksForItsPassword has a password that is good for one
// connection only, as those that expire may be.
func TestEachConnectionAsksForItsPassword(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY)", "INSERT INTO a VALUES (1)")
		o := user(t, db, options(t, db), "ALL ON *.*")
		var asked atomic.Int32
		o.Password = "not this one"
		o.Passwords = func(_ context.Context, address, name string) (string, error) {
			if want := fmt.Sprintf("%s:%d", db.Host, db.Port); address != want || name != o.User {
				t.Errorf("asked for %s at %s", name, address)
			}
			password := fmt.Sprintf("token-%d", asked.Add(1))
			db.MustExec(t, fmt.Sprintf("ALTER USER '%s'@'%%' IDENTIFIED BY '%s'", o.User, password))
			return password, nil
		}
		s := openSource(t, o, nil)
		var rec recording
		rec.read(t, s, 1)
		db.MustExec(t, "INSERT INTO a VALUES (2)")
		rec.read(t, s, 2)
		if n := asked.Load(); n < 3 { // catalog, snapshot, log
			t.Errorf("asked %d times", n)
		}
	})
}

func TestInitialStatements(t *testing.T) {
	db := testdb.MySQL(t)
	db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY)", "CREATE TABLE log (what VARCHAR(9))", "INSERT INTO a VALUES (1)")
	o := options(t, db)
	o.Initial = "SET SESSION max_join_size = 1000000000; INSERT INTO " + db.Name + ".log VALUES ('a;;b')"
	s := openSource(t, o, nil)
	next(t, s)
	rows, err := db.Query(t.Context(), "SELECT DISTINCT what FROM log")
	if err != nil || len(rows) != 1 || rows[0][0] != "a;b" {
		t.Errorf("%v, %v", rows, err)
	}
	o.Initial = "SELECT nonsense"
	if err := openError(t, o, nil); !strings.Contains(err.Error(), "database.initial.statements") {
		t.Errorf("%v", err)
	}
}
