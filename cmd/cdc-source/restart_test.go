package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"tributary/internal/testdb"
)

// TestRunWaitsForTheDatabase: a daemon that starts before its database does is not
// one that has failed.
func TestRunWaitsForTheDatabase(t *testing.T) {
	db := testdb.OwnPostgreSQL(t, testdb.Options{})
	db.MustExec(t, "CREATE TABLE item (id int PRIMARY KEY)", "INSERT INTO item VALUES (1)")
	if err := db.Kill(); err != nil {
		t.Fatal(err)
	}
	s := newStack(t)
	var log locked
	stop := quietRun(t, s.file(t, db, "errors.retry.delay.max.ms: 200\n"), &log)
	log.await(t, "connection refused")
	if err := db.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.read(t, "test.public.item", 1)
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("run: %v", err)
	}
}

// TestTwoOfOneName: of two daemons of one name one goes on, and the other ends with
// what to do; no change is there twice.
func TestTwoOfOneName(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE item (id int PRIMARY KEY)")
	s := newStack(t)
	path := s.file(t, db, "errors.retry.delay.max.ms: 200\n")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 2)
	for i := range 2 {
		var said locked
		log := slog.New(slog.NewTextHandler(io.MultiWriter(t.Output(), &said), nil)).With("instance", i)
		go func() { ended <- run(ctx, []string{"-c", path}, log) }()
		said.await(t, "streaming")
	}
	id := 0
	for end := time.Now().Add(20 * time.Second); len(ended) == 0 && time.Now().Before(end); id++ {
		db.MustExec(t, fmt.Sprintf("INSERT INTO item VALUES (%d)", id))
		time.Sleep(5 * time.Millisecond)
	}
	select {
	case err := <-ended:
		wantError(t, err, "another instance named", true)
	default:
		t.Fatal("both run on")
	}
	db.MustExec(t, fmt.Sprintf("INSERT INTO item VALUES (%d)", id))
	s.read(t, "test.public.item", id+1)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the other: %v", err)
	}
}

// TestRunOutlivesTheDatabase: a crash and restart of the database is healed
// without the daemon ending, and without loss or repeats.
func TestRunOutlivesTheDatabase(t *testing.T) {
	db := testdb.OwnPostgreSQL(t, testdb.Options{})
	db.MustExec(t, "CREATE TABLE item (id int PRIMARY KEY)", "INSERT INTO item VALUES (1)")
	s := newStack(t)
	stop := start(t, s.file(t, db, "errors.retry.delay.max.ms: 200\n"))
	s.read(t, "test.public.item", 1)
	for id := 2; id <= 4; id++ {
		if err := db.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := db.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		db.MustExec(t, "INSERT INTO item SELECT count(*) + 1 FROM item")
		s.read(t, "test.public.item", id)
	}
	stop()
}
