package mysql

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"tributary/envelope"
	"tributary/internal/testdb"
)

// TestPartialJSON has the server log updates of JSON as differences, and reads
// the rows anew to see what they are.
func TestPartialJSON(t *testing.T) {
	db := testdb.MySQL(t)
	filler := strings.Repeat("x", 300)
	db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY, j JSON, k JSON, v VARCHAR(10))",
		fmt.Sprintf(`INSERT INTO a VALUES (1, '{"a": [1, 2, {"b": "x"}], "long key": {"c": 1.5e0}, "é": 1, "pad": "%s"}', '{"z": 1, "pad": "%[1]s"}', 'v'), (2, NULL, '[1, 2, "%[1]s"]', 'w')`, filler))
	o := options(t, db)
	s := openSource(t, o, nil)
	var rec recording
	rec.read(t, s, 2)
	set := "SET SESSION binlog_row_value_options = 'PARTIAL_JSON'; "
	updates := []string{
		`j = JSON_SET(j, '$.a[1]', 20)`, `j = JSON_REPLACE(j, '$."long key".c', 'text "quoted"')`, `j = JSON_REMOVE(j, '$.a[0]')`,
		`j = JSON_SET(j, '$.new', JSON_OBJECT('deep', JSON_ARRAY(1, NULL)))`, `j = JSON_SET(j, '$."é"', 1e100)`, `j = JSON_SET(j, '$.a[7]', TRUE)`,
		`k = JSON_REMOVE(k, '$.z'), j = JSON_SET(j, '$.q', CAST(1.10 AS DECIMAL(5,2)))`, `j = JSON_SET(j, '$.a[0]', 'first'), v = 'new'`,
		`k = JSON_SET(k, '$.pad', 'y')`, `j = JSON_REMOVE(JSON_SET(j, '$.new.deep[0]', '2'), '$.q')`,
	}
	for _, u := range updates {
		db.MustExec(t, set+"UPDATE a SET "+u+" WHERE id = 1")
	}
	db.MustExec(t, set+"UPDATE a SET k = JSON_SET(k, '$[0]', 'one') WHERE id = 2", set+"UPDATE a SET j = JSON_SET('{}', '$.a', 1), k = JSON_REMOVE(k, '$[1]') WHERE id = 2")
	want := 2 + len(updates) + 2
	rec.read(t, s, want)
	// What the server now has, by a snapshot.
	again := openSource(t, o, nil)
	var now recording
	now.read(t, again, 2)
	for i, last := range []int{want - 3, want - 1} {
		if got := rec.events[last]; got.Op != envelope.Update || !bytes.Equal(got.After, now.events[i].After) {
			t.Errorf("got %q\nwant %q", got.After, now.events[i].After)
		}
	}
	for i := 3; i < want-2; i++ {
		if !bytes.Equal(rec.events[i].Before, rec.events[i-1].After) {
			t.Errorf("update %d begins with another row than the one before ended with", i)
		}
	}
}

// TestImagesWithoutAllColumns has the server log no more than it must.
func TestImagesWithoutAllColumns(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY, n INT NOT NULL DEFAULT 7, t TEXT, b BLOB, v VARCHAR(10) NOT NULL DEFAULT 'dflt')",
			"INSERT INTO a VALUES (1, 1, 'long', 'blob', 'v'), (2, 2, 'two', NULL, 'w')")
		o := options(t, db)
		s := openSource(t, o, nil)
		var rec recording
		rec.read(t, s, 2)
		db.MustExec(t, "SET SESSION binlog_row_image = 'NOBLOB'; UPDATE a SET n = 10 WHERE id = 1; UPDATE a SET t = 'new' WHERE id = 1; DELETE FROM a WHERE id = 2",
			"SET SESSION binlog_row_image = 'MINIMAL'; INSERT INTO a (id) VALUES (3); UPDATE a SET n = 11, id = 4 WHERE id = 3; UPDATE a SET n = 12, t = NULL WHERE id = 1")
		rec.read(t, s, 8)
		db.MustExec(t, "SET SESSION binlog_row_image = 'MINIMAL'; DELETE FROM a WHERE id = 4")
		rec.read(t, s, 9)
		row := func(id, n int, text ...string) string {
			b := envelope.AppendInt(envelope.AppendInt(nil, int32(id)), int32(n))
			for i, v := range text {
				switch {
				case v == "null":
					b = append(b, 0)
				case i < 2:
					b = envelope.AppendString(append(b, 2), v)
				default:
					b = envelope.AppendString(b, v)
				}
			}
			return string(b)
		}
		for i, want := range []struct {
			op    envelope.Op
			after string
		}{
			{envelope.Update, row(1, 10, envelope.Unavailable, envelope.Unavailable, "v")},
			{envelope.Update, row(1, 10, "new", envelope.Unavailable, "v")},
			{envelope.Delete, ""},
			{envelope.Create, row(3, 7, "null", "null", "dflt")},
			{envelope.Update, row(4, 11, "null", "null", "dflt")}, // where there was nothing yet
			{envelope.Update, row(1, 12, "null", envelope.Unavailable, envelope.Unavailable)},
			{envelope.Delete, ""},
		} {
			if got := rec.events[2+i]; got.Op != want.op || string(got.After) != want.after {
				t.Errorf("change %d: %s %q, want %s %q", i, got.Op, got.After, want.op, want.after)
			}
		}
		for i, want := range map[int]string{4: "[true true false false true]", 6: "[true false false false false]", 8: "[true false false false false]", 0: "[]"} {
			if got := fmt.Sprint(rec.events[i].Known); got != want {
				t.Errorf("change %d: the log has %s of the row of before, want %s", i, got, want)
			}
		}
		if e := rec.events[6]; !bytes.Equal(e.OldKey, []byte{6}) || !bytes.Equal(e.Key, []byte{8}) {
			t.Errorf("keys %x and %x", e.OldKey, e.Key)
		}
	})
}

func TestStatementsOfChanges(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY)")
		o := options(t, db)
		o.SnapshotMode, o.Queries = "no_data", true
		s := openSource(t, o, nil)
		next(t, s)
		on := "SET SESSION binlog_rows_query_log_events = ON"
		if db.Kind == testdb.KindMariaDB {
			on = "SET SESSION binlog_annotate_row_events = ON"
		}
		db.MustExec(t, on+"; START TRANSACTION; INSERT INTO a VALUES (1); /* é */ DELETE FROM a; COMMIT")
		var rec recording
		rec.read(t, s, 2)
		if a, b := rec.events[0].Source.Query, rec.events[1].Source.Query; a != "INSERT INTO a VALUES (1)" || !strings.HasSuffix(b, "DELETE FROM a") {
			t.Errorf("queries %q and %q", a, b)
		}
	})
}
