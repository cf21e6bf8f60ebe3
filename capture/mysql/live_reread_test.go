package mysql

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"tributary/capture"
	"tributary/envelope"
	"tributary/internal/testdb"
)

const minimal = "SET SESSION binlog_row_image = 'MINIMAL'; "

// TestColumnsAreReadFromTheTable has sessions log updates without columns that have no
// placeholder: the rows are what a snapshot has of them.
func TestColumnsAreReadFromTheTable(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		columns := "n INT NOT NULL, d DECIMAL(8,2), ts TIMESTAMP(3) NULL, e ENUM('x','y''z'), g INT AS (n + 1) STORED, dt DATE, p POINT, f FLOAT, v VARCHAR(20)"
		keys := map[string]string{
			"a": "id INT PRIMARY KEY, ", "b": "id BIGINT UNSIGNED PRIMARY KEY, ",
			"c": "code CHAR(9) CHARACTER SET latin1, day DATE, amount DECIMAL(8,2), PRIMARY KEY (day, code, amount), ",
			"d": "at DATETIME(6), tm TIME(3), ts2 TIMESTAMP(6), PRIMARY KEY (at, tm, ts2), ", "e": "raw BINARY(4), k ENUM('o','p') NOT NULL, y YEAR, PRIMARY KEY (k, raw, y), ",
		}
		values := map[string]string{"a": "1", "b": "18446744073709551615", "c": "'é\\\\''', '1582-01-01', -0.05", "d": "'2024-02-29 01:02:03.000004', '-838:59:58.999', '2024-02-29 01:02:03.4'", "e": "x'27ff00', 'p', 2155"}
		for name, key := range keys {
			db.MustExec(t, "SET NAMES utf8mb4; CREATE TABLE "+name+" ("+key+columns+")", "SET NAMES utf8mb4, time_zone = '+05:30'; INSERT INTO "+name+" VALUES ("+values[name]+
				", 1, -1.5, '2024-01-01 00:00:00.5', 'y''z', DEFAULT, '2024-05-06', POINT(1,2), 0.1, 'v')")
		}
		o := options(t, db)
		s := openSource(t, o, nil)
		var rec recording
		rec.read(t, s, len(keys))
		for name := range keys {
			db.MustExec(t, minimal+"UPDATE "+name+" SET v = 'new'")
		}
		rec.read(t, s, 2*len(keys))
		now := make(map[string][]byte)
		var again recording
		again.read(t, openSource(t, o, nil), len(keys))
		for _, e := range again.events {
			now[e.Table.ID.Name] = e.After
		}
		for _, e := range rec.events[len(keys):] {
			if e.Op != envelope.Update || e.OldKey != nil || !bytes.Equal(e.After, now[e.Table.ID.Name]) {
				t.Errorf("%s, want after %x", e.String(), now[e.Table.ID.Name])
			}
		}
	})
}

// TestTextIsReadWhereAKeyMoves: at the new key nothing is that a placeholder could
// leave alone. Tables without a key have the whole row of before in the log.
func TestTextIsReadWhereAKeyMoves(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		for _, image := range []string{"NOBLOB", "MINIMAL"} {
			db.MustExec(t, "DROP TABLE IF EXISTS a, k", "CREATE TABLE a (id INT PRIMARY KEY, v TEXT, b BLOB, n INT)", "INSERT INTO a VALUES (1, 'long', x'00ff', 7)",
				"CREATE TABLE k (n INT, v TEXT, d DATE)", "INSERT INTO k VALUES (1, 'x', '2024-01-01')")
			o := options(t, db)
			s := openSource(t, o, nil)
			var rec recording
			rec.read(t, s, 2)
			db.MustExec(t, "SET SESSION binlog_row_image = '"+image+"'; UPDATE a SET id = 2; UPDATE k SET n = 2")
			rec.read(t, s, 4)
			var now recording
			again := openSource(t, o, nil)
			now.read(t, again, 2)
			for i, e := range rec.events[2:] {
				if want := now.events[i].After; e.Op != envelope.Update || !bytes.Equal(e.After, want) {
					t.Errorf("%s: %s, want after %x", image, e.String(), want)
				}
			}
			if e := rec.events[2]; fmt.Sprintf("%x %x", e.OldKey, e.Key) != "02 04" {
				t.Errorf("%s: keys %x and %x", image, e.OldKey, e.Key)
			}
			_ = s.Close()
			_ = again.Close()
		}
	})
}

// TestColumnsAreReadAfterTheCommit: a transaction is in the log before others see it,
// and what it changed must not be read as it was before.
func TestColumnsAreReadAfterTheCommit(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY, n INT, v VARCHAR(20))", "INSERT INTO a VALUES (1, 0, '')")
		s := openSource(t, options(t, db), nil)
		var rec recording
		rec.read(t, s, 1)
		const times = 100
		var all strings.Builder
		all.WriteString(minimal)
		for i := 1; i <= times; i++ {
			fmt.Fprintf(&all, "START TRANSACTION; UPDATE a SET n = %d; UPDATE a SET v = 'v%[1]d'; COMMIT;", i)
		}
		done := make(chan error, 1)
		go func() { done <- db.Exec(t.Context(), all.String()) }()
		rec.read(t, s, 1+2*times)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		for i := 1; i <= times; i++ {
			e := rec.events[2*i]
			if n := nOf(t, &e); n < i {
				t.Errorf("update %d has n = %d, which is what it was before", i, n)
			}
		}
	})
}

// nOf is the second column of a row whose first is an INT that is not null.
func nOf(t *testing.T, e *event) int {
	t.Helper()
	for n := range 1000 {
		if bytes.HasPrefix(e.After, envelope.AppendInt(append(envelope.AppendInt(nil, 1), 2), int32(n))) {
			return n
		}
	}
	t.Fatalf("no number in %x", e.After)
	return 0
}

// TestRowsThatCannotBeReadAgain: of rows that are gone, of keys that the log does not
// have and of tables that are others by now nothing is made up.
func TestRowsThatCannotBeReadAgain(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY, n INT, v VARCHAR(20))", "INSERT INTO a VALUES (1,1,'one'),(2,2,'two'),(3,3,'three')")
		o := options(t, db)
		o.SnapshotMode = "no_data"
		begin := bytes.Clone(next(t, openSource(t, o, nil)).End)
		db.MustExec(t, minimal+"UPDATE a SET v = CONCAT('x', id); UPDATE a SET id = 30 WHERE id = 3; DELETE FROM a WHERE id = 2")
		wantHuman(t, openError(t, o, begin), "the row is not there any more", "event.processing.failure.handling.mode: warn")
		keyed := o
		keyed.Keys = db.Name + ".a:n"
		wantHuman(t, openError(t, keyed, begin), "without column n of its key", "binlog_row_image=FULL")
		o.Failures = "warn"
		o.BatchSize = 1 // so that each row is a place to go on from
		whole := readAside(t, o, begin, 5)
		if got, want := whole.aside(), "u key 02, failed, failed, u key 3c, d key 04"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		for i, e := range whole.events {
			if e.Op == envelope.Failed && bytes.Count(e.Event.Failure.Raw, []byte("x")) != 1 {
				t.Errorf("failure %d is not of one row: %q", i, e.Event.Failure.Raw)
			}
		}
		for i, end := range whole.ends {
			left := whole.after(i)
			if left > 0 {
				readAside(t, o, end, left)
			}
		}
		o.Failures = "fail"
		db.MustExec(t, "ALTER TABLE a DROP COLUMN n")
		wantHuman(t, openError(t, o, begin), "cannot be read from the table", "binlog_row_image=FULL")
	})
}

// readAside reads exactly n changes from a position on.
func readAside(t *testing.T, o Options, from capture.Position, n int) recording {
	t.Helper()
	s := openSource(t, o, from)
	var rec recording
	rec.read(t, s, n)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return rec
}

func (r *recording) aside() string {
	var out []string
	for i := range r.events {
		if e := &r.events[i]; e.Op == envelope.Failed {
			out = append(out, "failed")
		} else {
			out = append(out, fmt.Sprintf("%s key %x", e.Op, []byte(e.Key)))
		}
	}
	return strings.Join(out, ", ")
}
