package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tributary/internal/testdb"
)

// planted are values that no line of a log may have: each begins so.
const planted = "plAnted"

// locked is a buffer that several goroutines write to.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// leaks returns the lines that have a planted value.
func (l *locked) leaks() (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		if strings.Contains(line, planted) {
			out = append(out, line)
		}
	}
	return out
}

// await waits for a text to be logged.
func (l *locked) await(t *testing.T, text string) {
	t.Helper()
	for range 600 {
		l.mu.Lock()
		there := strings.Contains(l.b.String(), text)
		l.mu.Unlock()
		if there {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("%q is not logged", text)
}

// quietRun runs the daemon with everything logged until it ends or is stopped,
// the error that it ends with too.
func quietRun(t *testing.T, path string, log *locked) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	done := make(chan error, 1)
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	go func() {
		err := run(ctx, []string{"-c", path}, logger)
		if err != nil {
			_, _ = fmt.Fprintln(log, err) // a buffer takes all
		}
		done <- err
	}()
	var err error
	stopped := false
	stop = func() error {
		if !stopped {
			stopped = true
			cancel()
			err = <-done
		}
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

// failure is a run that ends with an error.
type failure struct {
	more  string // of its file
	query string // what brings it about once it runs, "" = nothing is needed
	want  string // in what it logs, the error that it ends with included
}

// TestNoValueIsLogged runs what connectors do with rows, and what fails, with
// all that can be logged: no line has a value of a row.
func TestNoValueIsLogged(t *testing.T) {
	for name, c := range map[string]struct {
		open    func(testing.TB) *testdb.Database
		file    func(s stack, t *testing.T, db *testdb.Database, more string) string
		schema  string
		changes []string
		fails   []failure
	}{
		"postgres": {
			testdb.PostgreSQL, stack.file, "public",
			[]string{
				"ALTER TABLE item ADD COLUMN more text DEFAULT 'plAnted default'",
				"SELECT pg_logical_emit_message(true, 'note', 'plAnted message')",
				"INSERT INTO item (id, name, price) VALUES ('plAnted 9', 'plAnted NaN', 'NaN')",
			},
			[]failure{
				{more: "snapshot.select.statement.overrides: public.item\nsnapshot.select.statement.overrides.public.item: SELECT id, name::int::text AS name, price, more FROM item\nerrors.retry.timeout: 0\n", want: "22P02"},
				{more: "snapshot.mode: no_data\nheartbeat.interval.ms: 100\nheartbeat.action.query: INSERT INTO item (id) SELECT id FROM item\nerrors.retry.timeout: 0\n", want: "23505"},
				{more: "snapshot.mode: no_data\nheartbeat.interval.ms: 100\nheartbeat.action.query: UPDATE item SET price = name::numeric\nerrors.retry.timeout: 0\n", want: "22P02"},
				{more: "snapshot.mode: no_data\n", query: "INSERT INTO item (id, price) VALUES ('plAnted 10', 'NaN')", want: "column price"},
			},
		},
		"mysql": {
			testdb.MySQL, stack.mysqlFile, "",
			[]string{"ALTER TABLE item ADD COLUMN more varchar(60) DEFAULT 'plAnted default' COMMENT 'plain'"},
			[]failure{
				{more: "snapshot.mode: no_data\nheartbeat.interval.ms: 100\nheartbeat.action.query: INSERT INTO %[1]s.item (id) SELECT id FROM %[1]s.item\nerrors.retry.timeout: 0\n", want: "1062"},
				{more: "snapshot.mode: no_data\nheartbeat.interval.ms: 100\nheartbeat.action.query: UPDATE %[1]s.item SET price = ST_GeomFromText(name)\nerrors.retry.timeout: 0\n", want: "3037"},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := c.open(t)
			schema := c.schema
			if schema == "" {
				schema = db.Name
			}
			items := "test." + schema + ".item"
			db.MustExec(t, "CREATE TABLE item (id varchar(60) PRIMARY KEY, name varchar(60), price numeric(8,2))",
				"INSERT INTO item VALUES ('plAnted 1', 'plAnted name', 1), ('plAnted 2', 'plAnted name', 2), ('plAnted 3', NULL, 3)")
			s := newStack(t)
			file := filepath.Join(t.TempDir(), "signals.txt")
			var log locked
			path := c.file(s, t, db, fmt.Sprintf("event.processing.failure.handling.mode: warn\nsignal.enabled.channels: file\nsignal.file: %s\n"+
				"signal.poll.interval.ms: 20\nincremental.snapshot.chunk.size: 1\nnotification.enabled.channels: log,sink\nnotification.sink.topic.name: notes\n", file))
			stop := quietRun(t, path, &log)
			s.read(t, items, 3)
			db.MustExec(t, append(c.changes, "UPDATE item SET name = 'plAnted other' WHERE id = 'plAnted 1'", "UPDATE item SET id = 'plAnted 4' WHERE id = 'plAnted 2'", "DELETE FROM item WHERE id = 'plAnted 3'")...)
			s.read(t, items, 3+1+3+2)
			line := fmt.Sprintf(`{"id": "a", "type": "execute-snapshot", "data": {"data-collections": ["%[1]s.item"], "additional-conditions": [{"data-collection": "%[1]s.item", "filter": "name <> 'plAnted x'"}]}}`, schema)
			if err := os.WriteFile(file, []byte(line+"\nplAnted nonsense\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			s.atLeast(t, items, 9+2)
			if notes := s.atLeast(t, "notes", 4); !strings.Contains(string(notes[0].Value), "Initial Snapshot") {
				t.Errorf("the first notification is %q", notes[0].Value)
			}
			if err := stop(); err != nil && !strings.Contains(err.Error(), "canceled") {
				t.Errorf("run: %v", err)
			}
			if log.b.Len() == 0 {
				t.Fatal("nothing is logged")
			}
			for n, f := range c.fails {
				path := c.file(s, t, db, strings.ReplaceAll(f.more, "%[1]s", db.Name))
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				edited := strings.NewReplacer("\nname: "+db.Name, fmt.Sprintf("\nname: other_%d", n), "slot.name: "+db.Name, fmt.Sprintf("slot.name: %s_%d", db.Name, n)).Replace(string(text))
				if err := os.WriteFile(path, []byte(edited), 0o600); err != nil {
					t.Fatal(err)
				}
				var own locked
				ended := quietRun(t, path, &own)
				if f.query != "" {
					own.await(t, "streaming")
					db.MustExec(t, f.query)
				}
				own.await(t, f.want)
				_ = ended() // the error is in the log
				for _, l := range own.leaks() {
					t.Errorf("logged: %s", l)
				}
			}
			for _, l := range log.leaks() {
				t.Errorf("logged: %s", l)
			}
		})
	}
}
