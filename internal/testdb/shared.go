package testdb

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// Database is a new, empty database, of a server that other tests share or of one
// that the test has to itself.
type Database struct {
	*Server

	Name string

	db session // nil = the server's own, which Restart opens anew
}

// forAll is the context of what all tests of a binary share: none of theirs.
func forAll() context.Context {
	return context.Background() //nolint:forbidigo // see above
}

// One server of each sort for a whole test binary: the guard of package proc
// ends them with it.
var (
	sharedPostgreSQL = sync.OnceValues(func() (*Server, error) {
		return StartPostgreSQL(forAll(), Options{})
	})
	sharedReleases = map[int]func() (*Server, error){16: sharedRelease(16), 17: sharedRelease(17), 18: sharedRelease(18)}
	sharedMySQL    = sync.OnceValues(func() (*Server, error) {
		return StartMySQL(forAll(), Options{})
	})
	sharedMySQLWithoutGTID = sync.OnceValues(func() (*Server, error) {
		return StartMySQL(forAll(), Options{NoGTID: true})
	})
	sharedMariaDB = sync.OnceValues(func() (*Server, error) {
		return StartMariaDB(forAll(), Options{})
	})
	sharedMariaDB11 = sync.OnceValues(func() (*Server, error) {
		return StartMariaDB(forAll(), Options{Release: 11})
	})

	databases atomic.Int32
)

// PostgreSQL returns a new database in the test binary's PostgreSQL, dropped
// when the test ends, together with the replication slots made in it.
func PostgreSQL(t testing.TB) *Database {
	t.Helper()
	return newDatabase(t, sharedPostgreSQL)
}

func sharedRelease(n int) func() (*Server, error) {
	return sync.OnceValues(func() (*Server, error) { return StartPostgreSQL(forAll(), Options{Release: n}) })
}

// Releases are those of PostgreSQL that tests/setup.sh unpacks, beside the one
// that is installed.
func Releases() []int { return []int{16, 17, 18} }

// PostgreSQLRelease returns a new database in the test binary's PostgreSQL of one
// of Releases.
func PostgreSQLRelease(t testing.TB, release int) *Database {
	t.Helper()
	return newDatabase(t, sharedReleases[release])
}

// OwnPostgreSQL returns the first database of a PostgreSQL that the test has to
// itself, for tests that stop the server or change its settings.
func OwnPostgreSQL(t testing.TB, o Options) *Database {
	t.Helper()
	s, err := StartPostgreSQL(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return &Database{Server: s, Name: "postgres"}
}

// MySQL returns a new database in the test binary's MySQL.
func MySQL(t testing.TB) *Database {
	t.Helper()
	return newDatabase(t, sharedMySQL)
}

// MySQLWithoutGTID is MySQL with a server that has GTIDs off.
func MySQLWithoutGTID(t testing.TB) *Database {
	t.Helper()
	return newDatabase(t, sharedMySQLWithoutGTID)
}

// MariaDB returns a new database in the test binary's MariaDB.
func MariaDB(t testing.TB) *Database {
	t.Helper()
	return newDatabase(t, sharedMariaDB)
}

// MariaDB11 is MariaDB with the release that tests/setup.sh unpacks.
func MariaDB11(t testing.TB) *Database {
	t.Helper()
	return newDatabase(t, sharedMariaDB11)
}

func newDatabase(t testing.TB, server func() (*Server, error)) *Database {
	t.Helper()
	s, err := server()
	if err != nil {
		t.Fatal(err)
	}
	d := &Database{Server: s, Name: fmt.Sprintf("test_%d", databases.Add(1))}
	if err := s.Exec(t.Context(), "CREATE DATABASE "+d.Name); err != nil {
		t.Fatal(err)
	}
	if d.db, err = newSession(s.Kind, s.DSN(d.Name)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.drop(); err != nil {
			t.Errorf("drop database %s: %v", d.Name, err)
		}
	})
	return d
}

func (d *Database) drop() error {
	ctx := forAll() // the test's own has ended
	_ = d.db.close()
	if d.Kind != KindPostgreSQL {
		return d.Server.Exec(ctx, "DROP DATABASE "+d.Name)
	}
	// A slot that is still read goes once its reader is gone.
	return d.Server.Exec(ctx,
		"SELECT pg_terminate_backend(active_pid, 10000) FROM pg_replication_slots WHERE active AND database = '"+d.Name+"'",
		"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active AND database = '"+d.Name+"'",
		"DROP DATABASE "+d.Name+" WITH (FORCE)")
}

// DSN is the data source name of this database.
func (d *Database) DSN() string { return d.Server.DSN(d.Name) }

func (d *Database) session() session {
	if d.db == nil {
		return d.admin
	}
	return d.db
}

// Exec runs statements in this database.
func (d *Database) Exec(ctx context.Context, statements ...string) error {
	return execAll(ctx, d.session(), statements)
}

// Query runs one statement in this database: see Server.Query.
func (d *Database) Query(ctx context.Context, statement string) ([][]string, error) {
	return d.session().query(ctx, statement)
}

// MustExec runs statements in this database and ends the test at an error.
func (d *Database) MustExec(t testing.TB, statements ...string) {
	t.Helper()
	if err := d.Exec(t.Context(), statements...); err != nil {
		t.Fatal(err)
	}
}
