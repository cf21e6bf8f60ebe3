package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"tributary/internal/fault"
	"tributary/internal/testdb"
)

// TestOffsets goes back to a position that was shown, and to none at all.
func TestOffsets(t *testing.T) {
	t.Parallel()
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE item (id int PRIMARY KEY)", "INSERT INTO item VALUES (1), (2)")
	s := newStack(t)
	path := s.file(t, db, "")
	do := func(args ...string) string {
		t.Helper()
		var out bytes.Buffer
		if err := offsets(t.Context(), args, slog.New(slog.DiscardHandler), &out); err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return strings.TrimSpace(out.String())
	}
	if got := do("show", "-c", path); got != "none" {
		t.Errorf("position before the first start: %s", got)
	}
	stop := start(t, path)
	s.read(t, "test.public.item", 2)
	stop()
	after := do("show", "-c", path)
	if !strings.HasPrefix(after, "{") {
		t.Fatalf("position %s", after)
	}
	if got := do("reset", "-c", path); !strings.Contains(got, after) {
		t.Errorf("reset says %s", got)
	}
	if got := do("show", "-c", path); got != "none" {
		t.Errorf("position after reset: %s", got)
	}
	stop = start(t, path)
	s.read(t, "test.public.item", 4) // the snapshot again
	stop()
	do("set", "-c", path, do("show", "-c", path))
	stop = start(t, path)
	db.MustExec(t, "INSERT INTO item VALUES (3)")
	s.read(t, "test.public.item", 5)
	stop()

	for _, args := range [][]string{{}, {"turn"}, {"set", "-c", path, "no json"}, {"set", "-c", path, `{"lsn":"0/1"}`}, {"set", "-c", path, strings.Replace(after, `"slot":"`, `"slot":"x`, 1)}, {"show"}} {
		if err := offsets(t.Context(), args, slog.New(slog.DiscardHandler), &bytes.Buffer{}); !fault.NeedsHuman(err) || fault.Hint(err) == "" {
			t.Errorf("%v: %v", args, err)
		}
	}
}
