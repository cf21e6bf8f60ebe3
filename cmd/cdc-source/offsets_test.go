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
	for name, c := range map[string]struct {
		open   func(testing.TB) *testdb.Database
		file   func(s stack, t *testing.T, db *testdb.Database, more string) string
		schema string
		wrong  map[string]string // makes another position of one
	}{
		"postgres": {testdb.PostgreSQL, stack.file, "public", map[string]string{`"slot":"`: `"slot":"x`}},
		"mysql":    {testdb.MySQL, stack.mysqlFile, "", map[string]string{`"gtids":"`: `"gtids":"00000000-0000-0000-0000-000000000001:1-5,`}},
		"mariadb":  {testdb.MariaDB, stack.mysqlFile, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := c.open(t)
			schema := c.schema
			if schema == "" {
				schema = db.Name
			}
			items := "test." + schema + ".item"
			db.MustExec(t, "CREATE TABLE item (id int PRIMARY KEY)", "INSERT INTO item VALUES (1), (2)")
			s := newStack(t)
			path := c.file(s, t, db, "")
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
			s.read(t, items, 2)
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
			s.read(t, items, 4) // the snapshot again
			stop()
			at := do("show", "-c", path)
			do("set", "-c", path, at)
			stop = start(t, path)
			db.MustExec(t, "INSERT INTO item VALUES (3)")
			s.read(t, items, 5)
			stop()
			if c.schema == "" {
				do("set", "-c", path, at) // again what came since
				stop = start(t, path)
				s.read(t, items, 6)
				stop()
			} else { // the slot does not go back
				var out bytes.Buffer
				err := offsets(t.Context(), []string{"set", "-c", path, at}, slog.New(slog.DiscardHandler), &out)
				wantError(t, err, "was advanced", true)
			}
			calls := [][]string{{}, {"turn"}, {"set"}, {"set", "-c", path, "no json"}, {"set", "-c", path, `{"lsn":"0/1"}`}, {"set", "-c", path, `[]`}, {"set", "-c", path, `{}`}, {"show"}}
			for from, to := range c.wrong {
				calls = append(calls, []string{"set", "-c", path, strings.Replace(after, from, to, 1)})
			}
			for _, args := range calls {
				if err := offsets(t.Context(), args, slog.New(slog.DiscardHandler), &bytes.Buffer{}); !fault.NeedsHuman(err) || fault.Hint(err) == "" {
					t.Errorf("%v: %v", args, err)
				}
			}
		})
	}
}
