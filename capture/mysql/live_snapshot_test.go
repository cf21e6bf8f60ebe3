package mysql

import (
	"fmt"
	"strings"
	"testing"

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
