package mysql

import (
	"context"
	"strings"
	"testing"

	"tributary/capture"
	"tributary/capture/snapshot"
	"tributary/envelope"
	"tributary/internal/testdb"
)

// TestTableIsAdded has a table be captured that was left out before: what is in the
// log from the position on comes as it was then, whatever was done to the table
// since, and its rows can be read beside.
func TestTableIsAdded(t *testing.T) {
	for name, c := range map[string]struct {
		open     func(testing.TB) *testdb.Database
		metadata string
	}{
		"mysql": {testdb.MySQL, "FULL"}, "mysql without names": {testdb.MySQL, "MINIMAL"},
		"mariadb": {testdb.MariaDB, "FULL"}, "mariadb without names": {testdb.MariaDB, "NO_LOG"},
	} {
		t.Run(name, func(t *testing.T) {
			db := c.open(t)
			db.MustExec(t, "SET GLOBAL binlog_row_metadata = "+c.metadata)
			t.Cleanup(func() { _ = db.Server.Exec(context.Background(), "SET GLOBAL binlog_row_metadata = FULL") })
			db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY)", "CREATE TABLE b (id INT PRIMARY KEY, v INT)", "INSERT INTO a VALUES (1)", "INSERT INTO b VALUES (1,1)")
			o := options(t, db)
			o.SchemaChanges, o.OnlyDatabases = true, true
			o.IncludeTables = []string{db.Name + `\.a`}
			s := openSource(t, o, nil)
			var end capture.Position
			rows := 0
			for done := false; !done; {
				b := next(t, s)
				for i := range b.List {
					if b.List[i].Op != envelope.DDL {
						rows++
					}
				}
				p, err := parsePosition(b.End)
				if err != nil {
					t.Fatal(err)
				}
				done, end = p.Snapshot == nil, p.encode()
			}
			if rows != 1 {
				t.Errorf("%d rows of the snapshot, want 1", rows)
			}
			_ = s.Close()
			db.MustExec(t, "INSERT INTO b VALUES (2,2)", "ALTER TABLE b CHANGE v w INT, ADD COLUMN x INT FIRST", "INSERT INTO b VALUES (3,3,3)", "INSERT INTO a VALUES (2)")
			o.IncludeTables = append(o.IncludeTables, db.Name+`\.b`)
			s = openSource(t, o, end)
			var got []string
			for len(got) < 3 {
				b := next(t, s)
				for i := range b.List {
					if e := (event{Change: b.List[i]}); e.Op != envelope.DDL {
						got = append(got, e.Table.ID.Name+":"+e.columns())
					}
				}
				end = append(end[:0], b.End...)
			}
			if text := strings.Join(got, " "); text != "b:id,v b:x,id,w a:id" {
				t.Errorf("got %s", text)
			}
			var changes envelope.Changes
			res, err := s.Chunk(t.Context(), snapshot.ChunkRequest{Table: envelope.TableID{Catalog: db.Name, Name: "b"}, Since: end, Limit: 10}, &changes)
			if err != nil {
				t.Fatal(err)
			}
			if len(changes.List) != 3 {
				t.Errorf("%d rows read beside the log, want 3 (%+v)", len(changes.List), res)
			}
		})
	}
}
