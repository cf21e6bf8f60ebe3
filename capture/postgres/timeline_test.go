package postgres

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"tributary/capture"
	"tributary/envelope"
	"tributary/internal/testdb"
)

// TestTimelines: a server that was promoted with all that was captured is gone on
// with; one that lacks some of it is refused, before and after its log has grown past
// the position.
func TestTimelines(t *testing.T) {
	db := testdb.OwnPostgreSQL(t, testdb.Options{})
	db.MustExec(t, "CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE zend (id int PRIMARY KEY)")
	source := func() *Source { return liveSource(t, db, nil) }
	pos := streamed(t, source())
	data := filepath.Join(db.Dir, "data")
	// promote ends the server, changes its data and has it go on as a standby that
	// is promoted.
	promote := func(change func()) {
		t.Helper()
		if err := db.Kill(); err != nil {
			t.Fatal(err)
		}
		change()
		signal := filepath.Join(data, "standby.signal")
		run(t, "cp", "-p", filepath.Join(data, "PG_VERSION"), signal)
		if err := db.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		db.MustExec(t, "SELECT pg_promote()")
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			rows, err := db.Query(t.Context(), "SELECT pg_is_in_recovery()")
			if err == nil && (rows[0][0] == "f" || rows[0][0] == "false") {
				return
			}
			if time.Now().After(end) {
				t.Fatal("the server is not promoted")
			}
		}
	}
	insert := "INSERT INTO t SELECT coalesce(max(id), 0) + 1 FROM t"
	changes := func() {
		t.Helper()
		db.MustExec(t, insert)
		got, next := capturedAfter(t, source(), pos, 1)
		if len(got) != 1 {
			t.Fatalf("%d changes", len(got))
		}
		pos = next
	}
	promote(func() {})
	changes()
	if p, _ := parsePosition(pos); p.Timeline != 2 {
		t.Errorf("position %s", pos)
	}
	// A copy of now is what a standby has that falls behind.
	copied := filepath.Join(db.Dir, "copy")
	if err := db.Kill(); err != nil {
		t.Fatal(err)
	}
	run(t, "cp", "-a", data, copied)
	if err := db.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		db.MustExec(t, insert)
	}
	changes20, next := capturedAfter(t, source(), pos, 20)
	if len(changes20) != 20 {
		t.Fatalf("%d changes", len(changes20))
	}
	pos = next
	restore := func() {
		run(t, "rm", "-rf", data)
		run(t, "cp", "-a", copied, data)
		_ = os.Remove(filepath.Join(data, "postmaster.pid"))
	}
	if err := db.Kill(); err != nil { // it goes on from a backup, on the same timeline
		t.Fatal(err)
	}
	restore()
	if err := db.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantHuman(t, source().Open(t.Context(), pos), "has lost what was captured last")
	promote(restore)
	wantHuman(t, source().Open(t.Context(), pos), "was left at")
	for range 60 {
		db.MustExec(t, insert)
	}
	wantHuman(t, source().Open(t.Context(), pos), "has others in their place")
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// capturedAfter returns n changes after a position, and the position after them.
func capturedAfter(t *testing.T, s *Source, pos capture.Position, n int) (out []envelope.Change, next capture.Position) {
	t.Helper()
	found := 0
	all := readAll(t, s, pos, func(b *capture.Batch) bool { found += len(b.List); return found >= n })
	for _, b := range all {
		out = append(out, b.changes...)
	}
	return out, all[len(all)-1].end
}
