package mysql

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // sessions of their own

	"tributary/capture"
	"tributary/envelope"
	"tributary/internal/testdb"
)

// xa runs statements in an XA transaction of that name and prepares it, in a
// session that ends.
func xa(t *testing.T, db *testdb.Database, name string, statements ...string) {
	t.Helper()
	pool, err := sql.Open("mysql", db.DSN())
	if err != nil {
		t.Fatal(err)
	}
	c, err := pool.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var id int64
	if err := c.QueryRowContext(t.Context(), "SELECT CONNECTION_ID()").Scan(&id); err != nil {
		t.Fatal(err)
	}
	all := append(append([]string{"XA START '" + name + "'"}, statements...), "XA END '"+name+"'", "XA PREPARE '"+name+"'")
	for _, s := range all {
		if _, err := c.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	if err := errors.Join(c.Close(), pool.Close()); err != nil {
		t.Fatal(err)
	}
	// Until its session is gone the server knows the transaction as that session's,
	// and MariaDB has been seen to keep its locks after a commit by another.
	if pool, err = sql.Open("mysql", db.DSN()); err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for there := 1; there > 0; time.Sleep(5 * time.Millisecond) {
		if err := pool.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = ?", id).Scan(&there); err != nil {
			t.Fatal(err)
		}
	}
}

// TestXATransactions decides prepared transactions in all ways, while the
// capture runs, and after it was started anew.
func TestXATransactions(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY, v TEXT)", "CREATE TABLE other (id INT PRIMARY KEY)", "INSERT INTO a VALUES (0, 'old')")
		o := options(t, db)
		o.BatchSize = 3
		o.ExcludeTables = []string{db.Name + `\.other`}
		s := openSource(t, o, nil)
		var rec recording
		rec.read(t, s, 1)
		xa(t, db, "first", "INSERT INTO a VALUES (1, 'x'), (2, 'x'), (3, 'x'), (4, 'x')", "UPDATE a SET v = 'new' WHERE id = 0")
		xa(t, db, "none", "INSERT INTO other VALUES (1)")
		xa(t, db, "lost", "INSERT INTO a VALUES (5, 'lost')")
		db.MustExec(t, "INSERT INTO a VALUES (6, 'y')")
		rec.read(t, s, 2)
		xa(t, db, "second", "INSERT INTO a VALUES (7, 'z')")
		db.MustExec(t, "INSERT INTO a VALUES (8, 'y')")
		rec.read(t, s, 3)
		again := func(resume capture.Position) {
			t.Helper()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openSource(t, o, resume)
		}
		again(rec.ends[len(rec.ends)-1])
		db.MustExec(t, "XA ROLLBACK 'lost'", "XA COMMIT 'second'", "INSERT INTO a VALUES (9, 'y')")
		rec.read(t, s, 5)
		again(rec.ends[len(rec.ends)-1])
		db.MustExec(t, "XA COMMIT 'none'", "XA COMMIT 'first'", "INSERT INTO a VALUES (10, 'y')")
		rec.read(t, s, 11)
		var got []string
		last := ""
		for _, e := range rec.events {
			got = append(got, fmt.Sprintf("%s%x", e.Op, e.Key))
			if at := order(&e.Change); at <= last {
				t.Errorf("%s comes after %s", at, last)
			} else {
				last = at
			}
		}
		if want := "r00 c0c c10 c0e c12 c02 c04 c06 c08 u00 c14"; strings.Join(got, " ") != want {
			t.Errorf("got %v, want %s", got, want)
		}
		// From the middle of a transaction that XA COMMIT delivers.
		for i, end := range rec.ends {
			left := rec.after(i)
			if strings.Contains(string(end), `"snapshot"`) || left == 0 {
				continue
			}
			again(end)
			var rest recording
			rest.read(t, s, left)
		}
	})
}

// TestXAOfOnePhase has nothing to wait for.
func TestXAOfOnePhase(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY)")
		o := options(t, db)
		o.SnapshotMode = "no_data"
		s := openSource(t, o, nil)
		next(t, s)
		db.MustExec(t, "XA START 'x'; INSERT INTO a VALUES (1),(2); XA END 'x'; XA COMMIT 'x' ONE PHASE; INSERT INTO a VALUES (3)")
		var rec recording
		rec.read(t, s, 3)
	})
}

// TestXAPreparedBeforeTheSnapshot has transactions whose rows are in files of the
// log from before where the capture begins.
func TestXAPreparedBeforeTheSnapshot(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY, v TEXT)", "CREATE TABLE other (id INT PRIMARY KEY)", "INSERT INTO a VALUES (1, 'old')")
		// The same name once before, decided.
		xa(t, db, "early", "INSERT INTO a VALUES (50, 'x')")
		db.MustExec(t, "XA COMMIT 'early'", "DELETE FROM a WHERE id = 50")
		xa(t, db, "early", "INSERT INTO other VALUES (2)", "INSERT INTO a VALUES (2, 'x'), (3, 'x'), (4, 'x'), (5, 'x')", "UPDATE a SET v = 'new' WHERE id = 1")
		db.MustExec(t, "FLUSH BINARY LOGS")
		xa(t, db, "lost", "INSERT INTO a VALUES (6, 'lost')")
		xa(t, db, "none", "INSERT INTO other VALUES (1)")
		db.MustExec(t, "FLUSH BINARY LOGS")
		xa(t, db, "late", "INSERT INTO a VALUES (7, 'x')")
		o := options(t, db)
		o.BatchSize = 3
		o.ExcludeTables = []string{db.Name + `\.other`}
		s := openSource(t, o, nil)
		var rec recording
		rec.read(t, s, 1)
		db.MustExec(t, "XA ROLLBACK 'lost'", "INSERT INTO a VALUES (8, 'y')", "XA COMMIT 'late'", "XA COMMIT 'none'", "FLUSH BINARY LOGS", "XA COMMIT 'early'", "INSERT INTO a VALUES (9, 'y')")
		rec.read(t, s, 9)
		if got, want := keys(rec.events), "ra1 ca8 ca7 ca2 ca3 ca4 ca5 ua1 ca9"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for i, end := range rec.ends {
			left := slices.DeleteFunc(slices.Clone(rec.events), func(e event) bool { return e.batch <= i })
			if strings.Contains(string(end), `"snapshot"`) || len(left) == 0 {
				continue
			}
			s := openSource(t, o, end)
			var rest recording
			rest.read(t, s, len(left))
			for j := range left {
				if a, b := left[j].String(), rest.events[j].String(); a != b || left[j].Source != rest.events[j].Source {
					t.Errorf("resumed at %s: change %d is %s, was %s", end, j, b, a)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestXAThatTheLogNoLongerHas says which it is and what to do, and goes on where
// that is wanted.
func TestXAThatTheLogNoLongerHas(t *testing.T) {
	srv, err := testdb.StartMySQL(t.Context(), testdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Stop() })
	if err := srv.Exec(t.Context(), "CREATE DATABASE d; CREATE TABLE d.a (id INT PRIMARY KEY); INSERT INTO d.a VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	db := &testdb.Database{Server: srv, Name: "d"}
	xa(t, db, "early", "INSERT INTO a VALUES (2)")
	if err := srv.Exec(t.Context(), "FLUSH BINARY LOGS", "INSERT INTO d.a VALUES (3)", "PURGE BINARY LOGS TO 'bin.000002'"); err != nil {
		t.Fatal(err)
	}
	o := options(t, db)
	s := openSource(t, o, nil)
	var rec recording
	rec.read(t, s, 2)
	if err := srv.Exec(t.Context(), "XA COMMIT 'early'", "INSERT INTO d.a VALUES (4)"); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		var b *capture.Batch
		if b, err = s.Next(t.Context()); err == nil {
			rec.add(b)
		}
	}
	wantHuman(t, err, "X'6561726c79',X'',1", "signal execute-snapshot")
	o.Failures = "warn"
	s = openSource(t, o, rec.ends[len(rec.ends)-1])
	var more recording
	more.read(t, s, 1)
	if got := keys(more.events); got != "ca4" {
		t.Errorf("went on with %s", got)
	}
}

// TestLargeXA holds a transaction in a file.
func TestLargeXA(t *testing.T) {
	db := testdb.MySQL(t)
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY, v LONGTEXT)")
	o := options(t, db)
	o.SnapshotMode = "no_data"
	s := openSource(t, o, nil)
	next(t, s)
	var statements []string
	for i := range 20 {
		statements = append(statements, fmt.Sprintf("INSERT INTO a VALUES (%d, REPEAT('%c', 1000000))", i, 'a'+i))
	}
	xa(t, db, "large", statements...)
	db.MustExec(t, "XA COMMIT 'large'")
	var rec recording
	rec.read(t, s, 20)
	for i, e := range rec.events {
		if e.Op != envelope.Create || len(e.After) < 1000000 || e.After[len(e.After)-1] != byte('a'+i) {
			t.Fatalf("row %d is %.20q…", i, e.After)
		}
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) > 0 {
		t.Errorf("left %v in %s", files, os.TempDir())
	}
}
