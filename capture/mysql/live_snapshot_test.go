package mysql

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"tributary/capture"
	"tributary/envelope"
	"tributary/internal/config"
	"tributary/internal/testdb"
)

// keys writes operations and keys, which are small numbers: "r1 c2".
func keys(events []event) string {
	var out []string
	for _, e := range events {
		key := byte(0)
		if len(e.Key) > 0 {
			key = e.Key[0] / 2
		}
		out = append(out, fmt.Sprintf("%s%s%d", e.Op, e.Table.ID.Name, key))
	}
	return strings.Join(out, " ")
}

func TestSnapshotIsInTheOrderOfTheList(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		for i, name := range []string{"a", "b", "c"} {
			db.MustExec(t, "CREATE TABLE "+name+" (id INT PRIMARY KEY)", fmt.Sprintf("INSERT INTO %s VALUES (%d)", name, i+1))
		}
		o := options(t, db)
		o.IncludeTables = []string{db.Name + `\.c`, db.Name + `\.[ab]`}
		s := openSource(t, o, nil)
		defer s.Close()
		var rec recording
		rec.read(t, s, 3)
		if got := keys(rec.events); got != "rc3 ra1 rb2" {
			t.Errorf("read as %s", got)
		}
	})
}

func TestModesOfTheSnapshot(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY)", "CREATE TABLE b (id INT PRIMARY KEY)", "INSERT INTO a VALUES (1)")
		o := options(t, db)
		s := openSource(t, o, nil)
		var rec recording
		rec.read(t, s, 1)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		end := rec.ends[len(rec.ends)-1]

		// always: the rows, then what happened since.
		o.SnapshotMode = "always"
		db.MustExec(t, "INSERT INTO a VALUES (2)")
		s = openSource(t, o, end)
		var more recording
		more.read(t, s, 3)
		if got := keys(more.events); got != "ra1 ra2 ca2" {
			t.Errorf("always: %s", got)
		}
		// Opened again by the loop, it only goes on.
		if err := s.Open(t.Context(), more.ends[len(more.ends)-1]); err != nil {
			t.Fatal(err)
		}
		db.MustExec(t, "INSERT INTO b VALUES (3)")
		more.read(t, s, 4)
		if got := keys(more.events[3:]); got != "cb3" {
			t.Errorf("always, opened again: %s", got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}

		// when_needed: a position that is gone.
		p, err := parsePosition(more.ends[len(more.ends)-1])
		if err != nil {
			t.Fatal(err)
		}
		if p.GTIDs != nil && db.Kind == testdb.KindMySQL {
			*p.GTIDs = "a1460de9-e8b7-11f1-87b9-02fc00000001:1-4"
		} else {
			p.GTIDs, p.File = nil, "bin.999999"
		}
		wantHuman(t, openError(t, o, p.encode()), "", "new snapshot")
		o.SnapshotMode = "when_needed"
		s = openSource(t, o, p.encode())
		var fresh recording
		fresh.read(t, s, 3)
		if got := keys(fresh.events); got != "ra1 ra2 rb3" {
			t.Errorf("when_needed: %s", got)
		}
		if a, b := order(&more.events[3].Change), order(&fresh.events[0].Change); a >= b {
			t.Errorf("the new snapshot at %s does not come after %s", b, a)
		}
	})
}

func TestChoiceOfSnapshotRows(t *testing.T) {
	db := testdb.MySQL(t)
	db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY, f FLOAT)", "CREATE TABLE b (id INT PRIMARY KEY)", "CREATE TABLE c (id INT PRIMARY KEY)",
		"INSERT INTO a VALUES (1,0.1),(2,0.2),(3,0.3),(4,0.4),(5,0.5)", "INSERT INTO b VALUES (1)", "INSERT INTO c VALUES (1)")
	text := fmt.Sprintf("name: live\nconnector.class: mysql\ntopic.prefix: live\nsnapshot.fetch.size: 2\ninclude.schema.changes: false\n"+
		"database: {hostname: %s, port: %d, user: %s, password: %s, include.list: %s}\n"+
		"snapshot.include.collection.list: %[5]s.[ab]\nsnapshot.select.statement.overrides: %[5]s.a\nsnapshot.select.statement.overrides.%[5]s.a: SELECT * FROM %[5]s.a WHERE id > 2;\n",
		db.Host, db.Port, db.User, db.Password, db.Name)
	var o Options
	if err := config.Parse("live.yaml", []byte(text), &o); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"minimal", "none", "extended"} {
		o.Locking = mode
		s := openSource(t, o, nil)
		var rec recording
		rec.read(t, s, 4)
		if got := keys(rec.events); got != "ra3 ra4 ra5 rb1" {
			t.Errorf("%s: %s", mode, got)
		}
		db.MustExec(t, "REPLACE INTO c VALUES (1)", "DELETE FROM c", "INSERT INTO c VALUES (1)")
		rec.read(t, s, 6)
		if rec.events[5].Op != envelope.Create {
			t.Errorf("%s: %s", mode, &rec.events[5])
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSnapshotByThreads has several connections read tables of all kinds of
// keys: the same changes in the same order as by one, also resumed.
func TestSnapshotByThreads(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		db.MustExec(t, "SET sql_mode=''; CREATE TABLE a (id INT PRIMARY KEY, v VARCHAR(50))", insertMany("a", 1, 999),
			"CREATE TABLE b (x INT, code CHAR(3), y DATETIME(3), v INT, PRIMARY KEY (code, x, y))",
			"INSERT INTO b SELECT id % 7, CONCAT('c', id % 5), FROM_UNIXTIME(id * 1.5), id FROM a",
			"CREATE TABLE c (k VARBINARY(8) PRIMARY KEY)", "INSERT INTO c SELECT UNHEX(HEX(id * 7)) FROM a",
			"CREATE TABLE d (e ENUM('z','a','m'), s SET('p','q'), n DECIMAL(6,2), PRIMARY KEY (e, s, n))", "INSERT IGNORE INTO d SELECT id % 3 + 1, id % 4, id / 8 FROM a",
			"CREATE TABLE e (v INT)", "INSERT INTO e SELECT id FROM a", "CREATE TABLE f (id INT PRIMARY KEY)",
			"CREATE TABLE g (t VARCHAR(20) COLLATE utf8mb4_general_ci PRIMARY KEY)", "INSERT INTO g SELECT CONCAT(CHAR(65 + id % 26 USING utf8mb4), '''\\\\é', id) FROM a",
			"CREATE TABLE h (b BIT(10), f DOUBLE, PRIMARY KEY (b, f))", "INSERT INTO h SELECT id, id / 3 FROM a")
		o := options(t, db)
		o.FetchSize, o.BatchSize = 97, 250
		read := func(threads int, from capture.Position, want int) *recording {
			o.Threads = threads
			s := openSource(t, o, from)
			var rec recording
			rec.read(t, s, want)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return &rec
		}
		rows, err := db.Query(t.Context(), "SELECT 999*6 + (SELECT COUNT(*) FROM d)")
		if err != nil {
			t.Fatal(err)
		}
		total, _ := strconv.Atoi(rows[0][0])
		one := read(1, nil, total)
		for _, mode := range []string{"minimal", "none", "extended"} {
			o.Locking = mode
			many := read(4, nil, total)
			for i := range one.events {
				if a, b := one.events[i].String(), many.events[i].String(); a != b || one.events[i].Source.Snapshot != many.events[i].Source.Snapshot {
					t.Fatalf("%s: change %d is %s, by one connection %s", mode, i, b, a)
				}
			}
			if mode != "minimal" {
				continue
			}
			for i := 0; i < len(many.ends); i += 5 {
				first := 0
				for first < len(many.events) && many.events[first].batch <= i {
					first++
				}
				if p, err := parsePosition(many.ends[i]); err != nil || p.Snapshot == nil || p.Snapshot.Table == db.Name+".e" {
					continue
				}
				rest := read(3, many.ends[i], total-first)
				for j := range rest.events {
					if a, b := many.events[first+j].String(), rest.events[j].String(); a != b {
						t.Fatalf("resumed after batch %d: change %d is %s, was %s", i, j, b, a)
					}
				}
			}
		}
	})
}

// TestRecovery goes on from a position with the definitions that the server
// has.
func TestRecovery(t *testing.T) {
	db := testdb.MySQL(t)
	db.MustExec(t, "SET GLOBAL binlog_row_metadata = MINIMAL")
	t.Cleanup(func() { _ = db.Server.Exec(context.Background(), "SET GLOBAL binlog_row_metadata = FULL") })
	db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY)", "INSERT INTO a VALUES (1)")
	o := options(t, db)
	s := openSource(t, o, nil)
	var rec recording
	rec.read(t, s, 1)
	db.MustExec(t, "INSERT INTO a VALUES (2)")
	rec.read(t, s, 2)
	_ = s.Close()
	p, err := parsePosition(rec.ends[len(rec.ends)-1])
	if err != nil || p.Tables == "" {
		t.Fatalf("position %s: %v", rec.ends[len(rec.ends)-1], err)
	}
	p.Tables = p.Tables[:5] // damaged
	db.MustExec(t, "INSERT INTO a VALUES (3)")
	wantHuman(t, openError(t, o, p.encode()), "definitions of tables", "recovery")
	o.SnapshotMode, o.SchemaChanges, o.OnlyDatabases = "recovery", true, true
	o.Complete()
	s = openSource(t, o, p.encode())
	var more recording
	more.read(t, s, 1+1+3+1+1)
	ddl := 0
	for i := range more.events {
		if more.events[i].Op == envelope.DDL {
			ddl++
		}
	}
	if last := &more.events[len(more.events)-1]; ddl != 6 || last.Op != envelope.Create {
		t.Errorf("%d changes of schemas, then %s", ddl, last)
	}
}
