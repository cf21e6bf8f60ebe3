package mysql

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/capture"
	"tributary/envelope"
	"tributary/internal/config"
	"tributary/internal/testdb"
)

// eachServer runs test on a database of each sort of server.
func eachServer(t *testing.T, test func(*testing.T, *testdb.Database)) {
	for name, open := range map[string]func(testing.TB) *testdb.Database{
		"mysql": testdb.MySQL, "mysql without gtid": testdb.MySQLWithoutGTID, "mariadb": testdb.MariaDB, "mariadb 11": testdb.MariaDB11,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func options(t testing.TB, db *testdb.Database) Options {
	t.Helper()
	text := fmt.Sprintf("name: live\nconnector.class: %s\ntopic.prefix: live\nheartbeat.interval.ms: 300\ninclude.schema.changes: false\n"+
		"database: {hostname: %s, port: %d, user: %s, password: %s, include.list: %s}\n",
		strings.ToLower(string(db.Kind)), db.Host, db.Port, db.User, db.Password, db.Name)
	var o Options
	if err := config.Parse("live.yaml", []byte(text), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// event is a change in memory of its own.
type event struct {
	envelope.Change
	batch int // number of its batch
}

func (e *event) String() string {
	return fmt.Sprintf("%s %s key %x old %x before %x after %x", e.Table.ID, e.Op, e.Key, e.OldKey, e.Before, e.After)
}

// recording is what a source gave, and where each batch ended.
type recording struct {
	events []event
	ends   []capture.Position
}

func (r *recording) add(b *capture.Batch) {
	for _, c := range b.List {
		c.Key, c.OldKey = bytes.Clone(c.Key), bytes.Clone(c.OldKey)
		c.Before, c.After = bytes.Clone(c.Before), bytes.Clone(c.After)
		r.events = append(r.events, event{c, len(r.ends)})
	}
	r.ends = append(r.ends, bytes.Clone(b.End))
}

// read takes batches until there have been n changes.
func (r *recording) read(t testing.TB, s *Source, n int) {
	t.Helper()
	for len(r.events) < n {
		r.add(next(t, s))
	}
	if len(r.events) > n {
		t.Fatalf("%d changes, want %d", len(r.events), n)
	}
}

// after is how many changes came after a batch.
func (r *recording) after(batch int) (n int) {
	for _, e := range r.events {
		if e.batch > batch {
			n++
		}
	}
	return n
}

func TestStreamGivesTheBytesOfTheSnapshot(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		json := "JSON"
		db.MustExec(t, "SET sql_mode='NO_ENGINE_SUBSTITUTION'; SET NAMES utf8mb4; CREATE TABLE a (id INT PRIMARY KEY,"+
			" ti TINYINT, tu TINYINT UNSIGNED, b1 TINYINT(1), s SMALLINT, su SMALLINT UNSIGNED, m MEDIUMINT, mu MEDIUMINT UNSIGNED,"+
			" i INT, iu INT UNSIGNED, b BIGINT, bu BIGINT UNSIGNED, z INT(8) ZEROFILL, f FLOAT, f2 FLOAT(7,3), d DOUBLE, d2 DOUBLE(10,4),"+
			" n1 DECIMAL(8,2), n2 DECIMAL(65,30), n3 DECIMAL(18,0), n4 DECIMAL(19,9), n5 DECIMAL(30,30) DEFAULT 0.5,"+
			" c CHAR(10), v VARCHAR(20), vl VARCHAR(20) CHARACTER SET latin1, cl CHAR(255), vlong VARCHAR(1000), tx TEXT, tl TEXT CHARACTER SET latin1, lt LONGTEXT,"+
			" bi BINARY(5), vb VARBINARY(20), bl BLOB, lb LONGBLOB, bit1 BIT(1), bit12 BIT(12), bit64 BIT(64),"+
			" da DATE, t0 TIME, t2 TIME(2), t4 TIME(4), t6 TIME(6), dt0 DATETIME, dt1 DATETIME(1), dt3 DATETIME(3), dt5 DATETIME(5), dt6 DATETIME(6),"+
			" ts0 TIMESTAMP NULL, ts2 TIMESTAMP(2) NULL, ts6 TIMESTAMP(6) NULL, y YEAR, j "+json+","+
			" dn DATE NOT NULL, dtn DATETIME NOT NULL DEFAULT '2020-01-01', tsn TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3)) CHARACTER SET utf8mb4;")
		for i, row := range []string{
			`-128,0,0,-32768,0,-8388608,0,-2147483648,0,-9223372036854775808,0,1,-3.402823466e38,-1234.567,-1.7976931348623157e308,-123456.7891,-999999.99,-99999999999999999999999999999999999.999999999999999999999999999999,-999999999999999999,-9999999999.999999999,-0.999999999999999999999999999999,'','','','',
				'','','','','','','','',b'0',b'0',b'0','0000-00-00','-838:59:59','-00:00:00.01','-00:00:00.0001','-838:59:58.999999','0000-00-00','1000-01-01 00:00:00.1','1969-12-31 23:59:59.999','0001-01-01 00:00:00.00001','9999-12-31 23:59:59.999999','1970-01-01 00:00:01','1970-01-01 00:00:01.01','2038-01-19 03:14:07.499999',0,'[]','0000-00-00','0000-00-00','1970-01-01 00:00:01'`,
			`127,255,1,32767,65535,8388607,16777215,2147483647,4294967295,9223372036854775807,18446744073709551615,99999999,1.17549e-38,0.001,2.2250738585072014e-308,0.0001,999999.99,0.000000000000000000000000000001,999999999999999999,0.000000001,0.000000000000000000000000000001,'abc  ','héllo 日本 🎉','café €','Ü',
				REPEAT('y',900),'text\n\t"','€uro',REPEAT('長',3000),x'0102','\0\0a\0',x'00ff10',REPEAT('z',70000),b'1',b'100000000001',b'1111111111111111111111111111111111111111111111111111111111111110','9999-12-31','838:59:59','838:59:58.99','23:59:59.9999','-00:00:00.000001','9999-12-31 23:59:59','2024-02-29 12:34:56.7','2024-02-29 12:34:56.789','2024-02-29 12:34:56.78901','1000-01-01 00:00:00.000001','2038-01-19 03:14:07','2024-02-29 12:34:56','1970-01-01 00:00:01.000001',2155,
				'{"a": 1, "bb": [1, 2.5, -0.0, null, true, false, "x\\"\\\\\\n\\u0001é", [], {}], "c": {"e": 1e100, "f": 1e-20, "g": 123456789.125, "h": 1e15, "i": 100000000000000000000}, "big": 18446744073709551615, "neg": -9223372036854775808}','2024-02-29','2024-02-29 01:02:03','2024-02-29 01:02:03.456'`,
			strings.Repeat("NULL,", 51) + `'2024-05-00','2024-05-00 01:02:03','2024-02-29 01:02:03.4'`,
			`1,1,5,-1,1,-1,1,-1,2147483648,-1,9223372036854775808,0,0.1,1.5,0.1,1.5,-1.28,-1.28,-1,-1.000000001,0,'x','x','x','x','x','x','x','x','x','x','x','x',b'1',b'11',b'1','2024-00-00','00:00:00','00:00:00.10','-12:34:56.7890','12:34:56.789012','2024-00-00 01:02:03','2024-01-01 00:00:00.0','2024-01-01 00:00:00.0','1582-10-10 00:00:00.5','2024-01-01 00:00:00.5','2024-01-01 00:00:00','2024-01-01 00:00:00.00','2024-01-01 00:00:00.5',1901,
				'"scalar"','1969-12-31','1969-12-31 23:59:59','2024-02-29 01:02:03'`,
		} {
			db.MustExec(t, "SET sql_mode='NO_ENGINE_SUBSTITUTION'; SET NAMES utf8mb4; INSERT INTO a VALUES ("+fmt.Sprint(i+1)+","+row+")")
		}
		if db.Kind == testdb.KindMySQL {
			db.MustExec(t, "UPDATE a SET j = JSON_OBJECT('d',CAST('2024-01-02' AS DATE),'t',CAST('-12:13:14.5' AS TIME(6)),'dt',CAST('2024-01-02 03:04:05.6' AS DATETIME(6)),"+
				"'dec',CAST(1.10 AS DECIMAL(10,4)),'dbl',1.0,'small',0.0001,'smalldbl',0.0001e0,'blob',CAST('ab' AS BINARY),'big',12345678.5e0) WHERE id = 4")
		}
		db.MustExec(t, "CREATE TABLE b LIKE a")

		s := openSource(t, options(t, db), nil)
		var rec recording
		rec.read(t, s, 4)
		db.MustExec(t, "SET sql_mode='NO_ENGINE_SUBSTITUTION'; INSERT INTO b SELECT * FROM a")
		rec.read(t, s, 8)
		for i := range 4 {
			snap, log := rec.events[i], rec.events[i+4]
			if snap.Op != envelope.Read || log.Op != envelope.Create {
				t.Fatalf("operations %s and %s", snap.Op, log.Op)
			}
			if bytes.Equal(snap.After, log.After) {
				continue
			}
			t.Errorf("row %d: %s", i+1, firstDifference(snap.Table, snap.After, log.After))
		}
	})
}

// firstDifference names the column at which two rows begin to differ.
func firstDifference(t *envelope.Table, a, b []byte) string {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	names := make([]string, len(t.Columns))
	for i := range t.Columns {
		names[i] = t.Columns[i].Name
	}
	return fmt.Sprintf("byte %d of %d and %d (columns %v)\n snapshot …%x\n log      …%x", n, len(a), len(b), names, a[max(n-12, 0):min(n+40, len(a))], b[max(n-12, 0):min(n+40, len(b))])
}

// TestResumeFromEveryBatch splits transactions into batches of few changes, and
// resumes from the end of each.
func TestResumeFromEveryBatch(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY, v VARCHAR(2000))", "CREATE TABLE b (id INT, code CHAR(3), v INT, PRIMARY KEY (code, id))",
			"CREATE TABLE other (id INT PRIMARY KEY)", "CREATE TABLE nokey (v INT)")
		o := options(t, db)
		o.SnapshotMode, o.BatchSize = "no_data", 7
		o.ExcludeTables = []string{db.Name + `\.other`}
		s := openSource(t, o, nil)
		var rec recording
		rec.add(next(t, s))
		db.MustExec(t, "INSERT INTO a VALUES (1,'x'),(2,'y')",
			// Several row events: 40 rows of 2000 bytes take more than one of 8 KiB.
			"START TRANSACTION; "+insertMany("a", 100, 40)+"; INSERT INTO other VALUES (1),(2); "+insertMany("b", 1, 30)+"; UPDATE b SET v = v + 1; INSERT INTO nokey VALUES (1),(1); COMMIT",
			"INSERT INTO other VALUES (3)",
			"UPDATE a SET id = id + 1000 WHERE id > 120", "DELETE FROM b WHERE id > 20", "INSERT INTO a VALUES (3,'z')")
		const want = 2 + 40 + 30 + 30 + 2 + 19 + 10 + 1
		rec.read(t, s, want)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if len(rec.ends) < 15 {
			t.Fatalf("%d batches: the transactions were not split", len(rec.ends))
		}
		for i, end := range rec.ends {
			left := slices.DeleteFunc(slices.Clone(rec.events), func(e event) bool { return e.batch <= i })
			again := openSource(t, o, end)
			var got recording
			got.read(t, again, len(left))
			for j := range left {
				a, b := &left[j], &got.events[j]
				b.TsNs = a.TsNs
				if a.String() != b.String() || a.Source != b.Source {
					t.Fatalf("resumed at %s: change %d is\n%s %+v, was\n%s %+v", end, j, b, b.Source, a, a.Source)
				}
			}
			if err := again.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func insertMany(table string, first, n int) string {
	var rows []string
	for i := range n {
		if table == "a" {
			rows = append(rows, fmt.Sprintf("(%d,REPEAT('r',2000))", first+i))
		} else {
			rows = append(rows, fmt.Sprintf("(%d,'c%d',0)", first+i, i%3))
		}
	}
	return "INSERT INTO " + table + " VALUES " + strings.Join(rows, ",")
}

// state is what a consumer that orders by source position makes of changes:
// the newest row of each key.
func state(events []event) map[string]string {
	type place struct {
		at  [3]int64
		row string
	}
	rows := make(map[string]place)
	put := func(e *event, key []byte, row string) {
		id := e.Table.ID.String() + string(key)
		at := [3]int64{e.Source.Pos, int64(e.Source.Row), 0}
		if e.Op == envelope.Read {
			at[1] = -1 // the snapshot at a position holds what is before it
		}
		if old, ok := rows[id]; !ok || slices.Compare(at[:], old.at[:]) >= 0 {
			rows[id] = place{at, row}
		}
	}
	for i := range events {
		e := &events[i]
		if e.OldKey != nil {
			put(e, e.OldKey, "")
		}
		put(e, e.Key, string(e.After))
	}
	out := make(map[string]string)
	for id, p := range rows {
		if p.row != "" {
			out[id] = p.row
		}
	}
	return out
}

// TestSnapshotIsResumedWhileRowsChange interrupts a snapshot after every batch,
// changes rows before and behind the place, and compares what a consumer makes
// of it all with the table.
func TestSnapshotIsResumedWhileRowsChange(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY, v INT)", "CREATE TABLE b (id INT, code VARCHAR(5), v INT, PRIMARY KEY (code, id))", "CREATE TABLE c (id BINARY(4) PRIMARY KEY, v INT)")
		for i := range 60 {
			db.MustExec(t, fmt.Sprintf("INSERT INTO a VALUES (%d,0); INSERT INTO b VALUES (%d,'c''%d\\\\',0); INSERT INTO c VALUES (x'%08x',0)", i, i, i%7, i*7919))
		}
		o := options(t, db)
		o.BatchSize, o.FetchSize = 11, 25
		var rec recording
		var resume capture.Position
		interruptions := 0
		for {
			s := openSource(t, o, resume)
			b := next(t, s)
			if p, err := parsePosition(b.End); err != nil {
				t.Fatal(err)
			} else if p.Snapshot == nil && len(rec.ends) > 0 {
				rec.add(b)
				resume = rec.ends[len(rec.ends)-1]
				_ = s.Close()
				break
			}
			rec.add(b)
			resume = rec.ends[len(rec.ends)-1]
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			i := interruptions * 3
			db.MustExec(t, fmt.Sprintf("UPDATE a SET v = v + 1 WHERE id IN (1,%d,59)", i),
				fmt.Sprintf("DELETE FROM a WHERE id = %d", i+2), fmt.Sprintf("INSERT INTO a VALUES (%d,7)", 100+i), fmt.Sprintf("UPDATE a SET id = id + 1000 WHERE id = %d", i+30),
				fmt.Sprintf("UPDATE b SET v = %d", i), fmt.Sprintf("DELETE FROM b WHERE id = %d", 59-i), fmt.Sprintf("UPDATE c SET v = v + 1 WHERE id > x'%08x'", i*7919))
			interruptions++
		}
		if interruptions < 10 {
			t.Fatalf("%d interruptions: the snapshot was not split", interruptions)
		}
		s := openSource(t, o, resume)
		db.MustExec(t, "INSERT INTO a VALUES (-1,0)")
		for last := false; !last; {
			rec.add(next(t, s))
			for _, e := range rec.events {
				last = last || e.Op == envelope.Create && bytes.Equal(e.Key, []byte{1})
			}
		}
		whole := options(t, db)
		var truth recording
		fresh := openSource(t, whole, nil)
		for {
			b := next(t, fresh)
			truth.add(b)
			if p, _ := parsePosition(b.End); p.Snapshot == nil {
				break
			}
		}
		got, want := state(rec.events), state(truth.events)
		if !maps.Equal(got, want) {
			t.Errorf("a consumer has %d rows, the tables have %d; %s", len(got), len(want), mapDifference(got, want))
		}
	})
}

func mapDifference(got, want map[string]string) string {
	var out []string
	for k, v := range want {
		if got[k] != v {
			out = append(out, fmt.Sprintf("%x: %x, want %x", k, got[k], v))
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			out = append(out, fmt.Sprintf("%x: too many", k))
		}
	}
	slices.SortFunc(out, cmp.Compare)
	return strings.Join(out[:min(len(out), 5)], "; ")
}

func TestPositionMovesWhileNothingIsOurs(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY)", "CREATE TABLE other (id INT PRIMARY KEY)")
		o := options(t, db)
		o.SnapshotMode = "no_data"
		o.IncludeTables = []string{db.Name + `\.a`}
		s := openSource(t, o, nil)
		first := bytes.Clone(next(t, s).End)
		db.MustExec(t, "INSERT INTO other VALUES (1)", "FLUSH BINARY LOGS", "INSERT INTO other VALUES (2)")
		for {
			b := next(t, s)
			if len(b.List) > 0 {
				t.Fatalf("a change of %s", b.List[0].Table.ID)
			}
			p, err := parsePosition(b.End)
			if err != nil {
				t.Fatal(err)
			}
			if q, _ := parsePosition(first); p.File > q.File {
				return
			}
		}
	})
}

func TestLatencyOfAnIdleSource(t *testing.T) {
	db := testdb.MySQL(t)
	db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY)")
	o := options(t, db)
	o.SnapshotMode = "no_data"
	s := openSource(t, o, nil)
	next(t, s)
	var took []time.Duration
	for i := range 20 {
		db.MustExec(t, fmt.Sprintf("INSERT INTO a VALUES (%d)", i))
		began := time.Now()
		for len(next(t, s).List) == 0 {
			continue
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	if p50 := took[10]; p50 > 100*time.Millisecond {
		t.Errorf("a change takes %s (p50)", p50)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	db := testdb.MySQL(t)
	db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY)", "INSERT INTO a VALUES (1)")
	o := options(t, db)
	s, err := New(o, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close before open: %v", err)
	}
	for range 3 {
		if err := s.Open(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		next(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Next(t.Context()); err == nil {
		t.Error("Next of a closed source succeeds")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Open(ctx, nil); err == nil {
		t.Error("Open succeeds with an ended context")
	}
}
