package main

import (
	"testing"

	"tributary/internal/testdb"
)

// TestRunOutlivesTheDatabase: a crash and restart of the database is healed
// without the daemon ending, and without loss or repeats.
func TestRunOutlivesTheDatabase(t *testing.T) {
	server, err := testdb.StartPostgreSQL(t.Context(), testdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	db := &testdb.Database{Server: server, Name: "postgres"}
	exec := func(statements ...string) {
		t.Helper()
		if err := server.Exec(t.Context(), statements...); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE TABLE item (id int PRIMARY KEY)", "INSERT INTO item VALUES (1)")
	s := newStack(t)
	stop := start(t, s.file(t, db, "errors.retry.delay.max.ms: 200\n"))
	s.read(t, "test.public.item", 1)
	for id := 2; id <= 4; id++ {
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		exec("INSERT INTO item SELECT count(*) + 1 FROM item")
		s.read(t, "test.public.item", id)
	}
	stop()
}
