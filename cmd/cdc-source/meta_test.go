package main

import (
	"strings"
	"testing"
	"time"

	"tributary/internal/testdb"
)

// TestRunTellsTransactionsAndBeats has a database with one transaction and
// then nothing: heartbeats go on, each with its statement.
func TestRunTellsTransactionsAndBeats(t *testing.T) {
	t.Parallel()
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE item (id int PRIMARY KEY)", "CREATE TABLE beat (at timestamptz)")
	s := newStack(t)
	path := s.file(t, db, strings.Join([]string{
		"table.include.list: public.item", "provide.transaction.metadata: true", "heartbeat.interval.ms: 100",
		"heartbeat.action.query: INSERT INTO beat VALUES (now())", "snapshot.mode: no_data", "",
	}, "\n"))
	stop := start(t, path)
	deadline := time.Now().Add(20 * time.Second)
	for n := ""; n < "3"; {
		if time.Now().After(deadline) {
			t.Fatalf("%s heartbeats", n)
		}
		time.Sleep(50 * time.Millisecond)
		rows, err := db.Query(t.Context(), "SELECT least(count(*), 9) FROM beat")
		if err != nil {
			t.Fatal(err)
		}
		n = rows[0][0]
	}
	db.MustExec(t, "INSERT INTO item VALUES (1), (2)")
	events := s.read(t, "test.transaction", 2)
	stop()
	if got := string(events[1].Value); !strings.Contains(got, "END") || !strings.Contains(got, "public.item") {
		t.Errorf("second record of the transaction topic: %q", got)
	}
	beats := s.atLeast(t, "__debezium-heartbeat.test", 3)
	if got := string(beats[0].Key); !strings.HasSuffix(got, "test") {
		t.Errorf("key of a heartbeat: %q", got)
	}
}

// TestRunKeepsFailuresAside has a value between others that has no form in the
// type that the options give its column.
func TestRunKeepsFailuresAside(t *testing.T) {
	t.Parallel()
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE item (id int PRIMARY KEY, price numeric(8,2))", "INSERT INTO item VALUES (0, 'NaN'), (1, 1)")
	s := newStack(t)
	path := s.file(t, db, "event.processing.failure.handling.mode: warn\n")
	stop := start(t, path)
	s.read(t, "test.public.item", 1) // the snapshot
	db.MustExec(t, "INSERT INTO item VALUES (2, 'NaN'), (3, 3)")
	s.read(t, "test.public.item", 2)
	aside := s.read(t, "test.dead-letters", 2)
	stop()
	got := string(aside[0].Value)
	if !strings.Contains(got, "public.item") || !strings.Contains(got, "column price") || !strings.Contains(got, "NaN") {
		t.Errorf("kept aside: %q", got)
	}
}
