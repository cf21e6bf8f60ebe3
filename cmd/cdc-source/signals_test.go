package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"tributary/internal/fault"
	"tributary/internal/testdb"
)

// TestSignals has tables read while the log is followed, by each way of giving
// the order.
func TestSignals(t *testing.T) {
	quiet := slog.New(slog.DiscardHandler)
	for name, c := range map[string]struct {
		open   func(testing.TB) *testdb.Database
		file   func(s stack, t *testing.T, db *testdb.Database, more string) string
		schema string
		create string
	}{
		"postgres": {testdb.PostgreSQL, func(s stack, t *testing.T, db *testdb.Database, more string) string { return s.file(t, db, more) }, "public", "text"},
		"mysql":    {testdb.MySQL, func(s stack, t *testing.T, db *testdb.Database, more string) string { return s.mysqlFile(t, db, more) }, "", "varchar(2000)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := c.open(t)
			schema := c.schema
			if schema == "" {
				schema = db.Name
			}
			db.MustExec(t, "CREATE TABLE item (id int PRIMARY KEY)", "INSERT INTO item VALUES (1), (2), (3)", "CREATE TABLE loose (at int NOT NULL, name varchar(9))",
				fmt.Sprintf("CREATE TABLE orders4us (id varchar(42) PRIMARY KEY, type varchar(32) NOT NULL, data %s NULL)", c.create))
			s := newStack(t)
			file := filepath.Join(t.TempDir(), "signals.txt")
			path := c.file(s, t, db, fmt.Sprintf(`
table.include.list: %[1]s.item,%[1]s.loose
signal.enabled.channels: source,kafka,file
signal.data.collection: %[1]s.orders4us
signal.file: %[2]s
signal.poll.interval.ms: 50
incremental.snapshot.chunk.size: 3
`, schema, file))
			stop := start(t, path)
			items := "test." + schema + ".item"
			n := 0
			expect := func(more int) {
				t.Helper()
				n += more
				s.read(t, items, n)
			}
			expect(3) // the first snapshot
			db.MustExec(t, "INSERT INTO item VALUES (10)")
			expect(1)
			// Signals of one channel are obeyed in their order, those of two in any: the
			// last one tells that the topic's others will not stop what the table asks for.
			execute := []string{"execute-snapshot", "-c", path, "-t", schema + ".item"}
			for _, args := range [][]string{execute, {"pause-snapshot", "-c", path}, {"resume-snapshot", "-c", path}, {"stop-snapshot", "-c", path}, execute} {
				if err := signalCommand(t.Context(), args, quiet); err != nil {
					t.Fatal(err)
				}
				if args[0] == "execute-snapshot" {
					expect(4)
				}
			}
			db.MustExec(t, fmt.Sprintf(`INSERT INTO orders4us VALUES ('a', 'execute-snapshot', '{"data-collections": ["%s.item"], "type": "blocking"}')`, schema))
			expect(4)
			line := fmt.Sprintf(`{"id": "b", "type": "execute-snapshot", "data": {"data-collections": [".*.item"], "additional-conditions": [{"data-collection": "%s.item", "filter": "id > 2"}]}}`, schema)
			if err := os.WriteFile(file, []byte("nonsense\n"+line+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			expect(2)
			// A table without a key is read by a column, whose values may come
			// several times.
			loose := "test." + schema + ".loose"
			db.MustExec(t, "INSERT INTO loose VALUES (1, 'a'), (1, 'b'), (2, 'c'), (3, 'd'), (4, 'e'), (4, 'f')")
			s.read(t, loose, 6)
			if err := signalCommand(t.Context(), []string{"execute-snapshot", "-c", path, "-t", schema + ".loose", "-by", "at"}, quiet); err != nil {
				t.Fatal(err)
			}
			s.read(t, loose, 12)
			stop()
			// What was obeyed is not obeyed again.
			stop = start(t, path)
			db.MustExec(t, "INSERT INTO item VALUES (11)")
			expect(1)
			stop()
		})
	}
	for _, args := range [][]string{{}, {"turn"}, {"execute-snapshot", "-c", "x"}, {"pause-snapshot"}, {"pause-snapshot", "-x"}} {
		if err := signalCommand(t.Context(), args, quiet); !fault.NeedsHuman(err) || fault.Hint(err) == "" {
			t.Errorf("%v: %v", args, err)
		}
	}
}
