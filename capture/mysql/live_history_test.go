package mysql

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"tributary/capture"
	"tributary/envelope"
	"tributary/internal/testdb"
)

// historySteps change tables in every way, with rows between.
func historySteps(maria bool) []string {
	steps := []string{
		"INSERT INTO a VALUES (1,'one',1,'x')",
		"ALTER TABLE a ADD COLUMN extra DECIMAL(10,2) NOT NULL DEFAULT 1.5 COMMENT 'added' AFTER id",
		"INSERT INTO a VALUES (2,2.5,'two',2,'y')",
		"ALTER TABLE a CHANGE v w VARCHAR(300) FIRST, MODIFY n BIGINT UNSIGNED",
		"INSERT INTO a VALUES ('three',3,3,18446744073709551615,'x')",
		"ALTER TABLE a RENAME COLUMN w TO v, MODIFY e ENUM('z','x','y') CHARACTER SET latin1 NOT NULL DEFAULT 'z', ALTER COLUMN extra SET DEFAULT 7",
		"INSERT INTO a (v,id,n,e) VALUES ('four',4,4,'x')",
		"ALTER TABLE a DROP COLUMN n, ADD COLUMN (p POINT, b BIT(12) DEFAULT b'101'), ADD COLUMN t TIMESTAMP(3) NULL DEFAULT '2020-01-01 00:00:00'",
		"INSERT INTO a (v,id) VALUES ('five',5)", "UPDATE a SET p = ST_GeomFromText('POINT(1 2)') WHERE id = 5",
		"ALTER TABLE a DROP PRIMARY KEY, ADD PRIMARY KEY (e, id)",
		"UPDATE a SET v = 'FIVE' WHERE id = 5", "UPDATE a SET id = 55 WHERE id = 5",
		"ALTER TABLE a DROP PRIMARY KEY, ADD UNIQUE KEY u (id)",
		"DELETE FROM a WHERE id = 55",
		"CREATE TABLE c LIKE a", "INSERT INTO c (v,id) VALUES ('like',1)",
		// The names of two tables are exchanged.
		"RENAME TABLE a TO tmp, b TO a, tmp TO b", "INSERT INTO a VALUES (7,70)", "INSERT INTO b (v,id) VALUES ('b',8)",
		// The way of tools that copy tables: the new one is not captured before.
		"CREATE TABLE _a_gho (id INT PRIMARY KEY, k INT, extra SET('q','r') DEFAULT 'q,r')", "INSERT INTO _a_gho SELECT id, k, 'q' FROM a",
		"RENAME TABLE a TO _a_del, _a_gho TO a", "INSERT INTO a (id, k) VALUES (9,9)", "DROP TABLE _a_del",
		// The same name, another table.
		"DROP TABLE c", "CREATE TABLE c (x DATETIME(6), y FLOAT, z VARBINARY(4), PRIMARY KEY (y))", "INSERT INTO c VALUES ('2024-01-02 03:04:05.678901',1.5,x'00ff')",
		"ALTER TABLE c RENAME TO d", "INSERT INTO d VALUES (NULL,2.5,NULL)",
		"ALTER TABLE d PARTITION BY KEY () PARTITIONS 3", "ALTER TABLE d DROP COLUMN x, ADD COLUMN g INT AS (y * 2) STORED, ADD COLUMN v2 INT AS (y * 3) VIRTUAL",
		"INSERT INTO d (y, z) VALUES (3.5,x'01')", "ALTER TABLE d CONVERT TO CHARACTER SET latin1, ADD COLUMN txt VARCHAR(9) DEFAULT 'ü'",
		"INSERT INTO d (y) VALUES (4.5)", "TRUNCATE TABLE d",
		"CREATE TABLE `we``ird name.x` (`a b` INT PRIMARY KEY, `ü` INT, `select` JSON)", "INSERT INTO `we``ird name.x` VALUES (1,2,'{}')",
		"ALTER TABLE `we``ird name.x` RENAME COLUMN `ü` TO `a``b`", "INSERT INTO `we``ird name.x` VALUES (2,3,'[]')",
		"SET sql_mode = 'ANSI_QUOTES'; ALTER TABLE d ADD COLUMN \"q q\" INT FIRST; SET sql_mode = ''", "INSERT INTO d (`q q`, y) VALUES (1, 5.5)",
		"CREATE TABLE s AS SELECT id, v FROM b", "INSERT INTO s VALUES (100,'sel')",
		"CREATE UNIQUE INDEX ix ON s (id)", "INSERT INTO s VALUES (101,'sel')", "ALTER TABLE s MODIFY id INT NOT NULL, MODIFY v VARCHAR(50) CHARACTER SET utf16",
		"UPDATE s SET v = 'ö' WHERE id = 101", "DROP INDEX ix ON s", "DELETE FROM s WHERE id = 101",
	}
	if maria {
		return append(steps, "ALTER TABLE s ADD COLUMN IF NOT EXISTS u UUID, ADD COLUMN IF NOT EXISTS i INET6, DROP COLUMN IF EXISTS nothing", "INSERT INTO s VALUES (102,'u','00000000-0000-0000-0000-000000000001','::1')",
			"CREATE OR REPLACE TABLE s (id INT PRIMARY KEY, c VARCHAR(20) COMPRESSED)", "INSERT INTO s VALUES (1,'c')", "INSERT INTO zend VALUES (1)")
	}
	return append(steps, "ALTER TABLE s ADD COLUMN h INT DEFAULT 4 INVISIBLE, ADD COLUMN vec VECTOR(2)", "INSERT INTO s (id) VALUES (102)",
		"ALTER TABLE s ALTER COLUMN h SET VISIBLE, ADD COLUMN gp POINT SRID 4326, ALGORITHM=INSTANT", "INSERT INTO s (id, h) VALUES (103, 3)", "INSERT INTO zend VALUES (1)")
}

// wholeText is a change with the schema that it has.
func wholeText(f *envelope.Format) func(t *testing.T, e *event) string {
	return func(t *testing.T, e *event) string {
		t.Helper()
		tf, err := f.Table(e.Table)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%s %s %s key %x before %x after %x %s %s", e.Table.ID.Name, e.Op, e.columns(), e.Key, e.Before, e.After, tf.KeySchema, tf.ValueSchema)
	}
}

// TestHistoryOfTables has tables change in every way while nobody reads, in a
// log without names of columns. What is read afterwards must be what a log
// tells that has them.
func TestHistoryOfTables(t *testing.T) {
	for name, c := range map[string]struct {
		open func(testing.TB) *testdb.Database
		less string
	}{"mysql": {testdb.MySQL, "MINIMAL"}, "mariadb": {testdb.MariaDB, "NO_LOG"}} {
		t.Run(name, func(t *testing.T) {
			var runs [2][]string
			for run, metadata := range []string{"FULL", c.less} {
				db := c.open(t)
				db.MustExec(t, "SET GLOBAL binlog_row_metadata = "+metadata)
				t.Cleanup(func() { _ = db.Server.Exec(context.Background(), "SET GLOBAL binlog_row_metadata = FULL") })
				db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY, v VARCHAR(20), n INT, e ENUM('x','y'))", "CREATE TABLE b (id INT PRIMARY KEY, k INT)", "CREATE TABLE zend (id INT PRIMARY KEY)",
					"ALTER DATABASE "+db.Name+" CHARACTER SET utf8mb4")
				o := options(t, db)
				o.ExcludeTables = []string{`.*\._.*`}
				o.SnapshotMode = "no_data"
				o.Comments, o.FieldNames, o.SchemaNames = true, "avro_unicode", "avro_unicode"
				s := openSource(t, o, nil)
				begin := bytes.Clone(next(t, s).End)
				if run == 0 { // the definitions are those of the moment
					_ = begin
				} else if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				steps := historySteps(db.Kind == testdb.KindMariaDB)
				var rec recording
				tell := wholeText(envelope.NewFormat(o.Format(Block(&o, "x"))))
				done := func() bool {
					n := len(rec.events)
					return n > 0 && rec.events[n-1].Table.ID.Name == "zend"
				}
				db.MustExec(t, steps...)
				if run == 1 {
					s = openSource(t, o, begin)
				}
				for !done() {
					rec.add(next(t, s))
				}
				for i := range rec.events {
					runs[run] = append(runs[run], strings.NewReplacer(db.Name, "DB", strings.ReplaceAll(db.Name, "_", "_u005f"), "DB").Replace(tell(t, &rec.events[i])))
				}
				if run == 1 {
					resumeAnywhere(t, o, &rec)
				}
				_ = s.Close()
			}
			for i := range max(len(runs[0]), len(runs[1])) {
				if i >= len(runs[0]) || i >= len(runs[1]) {
					t.Fatalf("%d changes, want %d", len(runs[1]), len(runs[0]))
				}
				if runs[0][i] != runs[1][i] {
					a, b := runs[1][i], runs[0][i]
					at := 0
					for at < min(len(a), len(b)) && a[at] == b[at] {
						at++
					}
					at = max(0, at-60)
					t.Errorf("change %d, %.80s:\n got …%.300s\nwant …%.300s", i, b, a[at:], b[at:])
				}
			}
		})
	}
}

// resumeAnywhere goes on from every position that was told.
func resumeAnywhere(t *testing.T, o Options, rec *recording) {
	t.Helper()
	for i := range rec.ends {
		var want []*event
		for j := range rec.events {
			if rec.events[j].batch > i {
				want = append(want, &rec.events[j])
			}
		}
		if len(want) == 0 {
			continue
		}
		s := openSource(t, o, rec.ends[i])
		var got recording
		got.read(t, s, len(want))
		for j := range want {
			if a, b := &got.events[j], want[j]; a.String() != b.String() || a.columns() != b.columns() {
				t.Fatalf("resumed after batch %d: change %d is %s (%s), was %s (%s)", i, j, a, a.columns(), b, b.columns())
			}
		}
		_ = s.Close()
	}
}

// TestSchemaTopicLive has the topic of changes of schemas tell the same of a
// table as the server, whatever was done to it.
func TestSchemaTopicLive(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY, v VARCHAR(20), n INT, e ENUM('x','y'))", "CREATE TABLE b (id INT PRIMARY KEY, k INT)", "CREATE TABLE zend (id INT PRIMARY KEY)")
		o := options(t, db)
		o.SchemaChanges, o.OnlyDatabases = true, true
		s := openSource(t, o, nil)
		last := make(map[string]*envelope.TableSchema)
		var texts []string
		seen := func(until string) {
			for done := false; !done; {
				b := next(t, s)
				for i := range b.List {
					if c := &b.List[i]; c.Op == envelope.DDL {
						texts = append(texts, c.Event.Schema.DDL)
						for _, ch := range c.Event.Schema.Changes {
							last[ch.ID.Name] = ch.Table
						}
					} else {
						done = done || c.Table.ID.Name == until
					}
				}
				p, err := parsePosition(b.End)
				if err != nil {
					t.Fatal(err)
				}
				done = done || until == "" && p.Snapshot == nil
			}
		}
		seen("")
		if n := len(texts); n != 1+3+3+3 {
			t.Errorf("%d statements of the snapshot: %q", n, texts)
		}
		db.MustExec(t, historySteps(db.Kind == testdb.KindMariaDB)...)
		seen("zend")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		rows, err := db.Query(t.Context(), "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = '"+db.Name+"'")
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := newSettings(&o)
		if err != nil {
			t.Fatal(err)
		}
		c, err := dial(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.close() }()
		cat, err := newServerCatalog(t.Context(), c, o.maria())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			def, err := cat.table(t.Context(), envelope.TableID{Catalog: db.Name, Name: r[0]})
			if err != nil {
				t.Fatal(err)
			}
			want := tableSchema(def, cfg.tellsComments())
			got := last[r[0]]
			if got == nil {
				t.Errorf("nothing is told of %s", r[0])
				continue
			}
			for _, side := range []*envelope.TableSchema{got, want} {
				for i := range side.Columns { // what a statement may leave to the server
					x := &side.Columns[i]
					if x.Length >= 0 && (x.JDBCType == 4 || x.JDBCType == -5 || x.JDBCType == 5) {
						x.Length = -1
					}
					if x.Default != nil { // as written
						text := fixedPoint(strings.TrimSuffix(*x.Default, ".000"), max(0, int(x.Scale)))
						x.Default = &text
					}
					if x.TypeName == "JSON" {
						x.TypeName, x.Expression, x.JDBCType = "LONGTEXT", "LONGTEXT", 12
					}
				}
			}
			a, _ := json.Marshal(got)
			b, _ := json.Marshal(want)
			if !bytes.Equal(a, b) {
				t.Errorf("%s:\n got %s\nwant %s", r[0], a, b)
			}
		}
	})
}

// TestSchemaTopicAfterAStop tells of statements that were made while nobody read as
// the tables were after each.
func TestSchemaTopicAfterAStop(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY)", "INSERT INTO a VALUES (1)")
		o := options(t, db)
		o.SchemaChanges, o.OnlyDatabases = true, true
		for _, mode := range []string{"initial", "no_data"} {
			o.SnapshotMode = mode
			s := openSource(t, o, nil)
			var end capture.Position
			for end == nil {
				p, err := parsePosition(bytes.Clone(next(t, s).End))
				if err != nil {
					t.Fatal(err)
				}
				if p.Snapshot == nil {
					end = p.encode()
				}
			}
			_ = s.Close()
			db.MustExec(t, "ALTER TABLE a ADD COLUMN x INT", "ALTER TABLE a DROP COLUMN x, ADD COLUMN y INT", "INSERT INTO a VALUES (2,2)", "DELETE FROM a WHERE id = 2")
			s = openSource(t, o, end)
			var told []string
			for done := false; !done; {
				b := next(t, s)
				for i := range b.List {
					if c := &b.List[i]; c.Op == envelope.DDL {
						for _, column := range c.Event.Schema.Changes[0].Table.Columns {
							told = append(told, column.Name)
						}
					} else {
						done = c.Op == envelope.Delete
					}
				}
			}
			if got := strings.Join(told, " "); got != "id x id y" {
				t.Errorf("%s: columns %s", mode, got)
			}
			_ = s.Close()
			db.MustExec(t, "ALTER TABLE a DROP COLUMN y")
		}
	})
}

// TestStatementsThatCannotBeRead has statements that the parser does not know in
// a log without names of columns: the table is asked for, and held against the
// rows.
func TestStatementsThatCannotBeRead(t *testing.T) {
	db := testdb.MySQL(t)
	db.MustExec(t, "SET GLOBAL binlog_row_metadata = MINIMAL")
	t.Cleanup(func() { _ = db.Server.Exec(context.Background(), "SET GLOBAL binlog_row_metadata = FULL") })
	db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY, v INT)", "CREATE TABLE b (id INT PRIMARY KEY, v INT)")
	const unread = "ALTER TABLE a ADD COLUMN c CHAR(3) BYTE FIRST"
	o := options(t, db)
	o.SnapshotMode = "no_data"
	s := openSource(t, o, nil)
	var rec recording
	rec.add(next(t, s))
	begin := rec.ends[0]
	db.MustExec(t, unread, "INSERT INTO b VALUES (1,1)", "INSERT INTO a VALUES ('x',1,1)")
	rec.read(t, s, 2)
	db.MustExec(t, "ALTER TABLE a RENAME COLUMN v TO w", "INSERT INTO a VALUES ('y',2,2)")
	rec.read(t, s, 3)
	if a, b := rec.events[1].columns(), rec.events[2].columns(); a != "c,id,v" || b != "c,id,w" {
		t.Errorf("columns %s, then %s", a, b)
	}
	_ = s.Close()
	// From the place between the statement and the rows on, the name of a column
	// cannot be told any more; from after the rows it is known.
	for i := range rec.ends {
		want := rec.after(i)
		if want == 3 || want == 2 {
			wantHuman(t, openError(t, o, rec.ends[i]), "what the columns of "+db.Name+".a were", "binlog_row_metadata=FULL")
		}
		if want == 1 {
			s = openSource(t, o, rec.ends[i])
			var again recording
			again.read(t, s, want)
			_ = s.Close()
		}
	}
	// What the server tells now cannot be what the rows are of.
	db.MustExec(t, "ALTER TABLE a DROP COLUMN c, DROP COLUMN w")
	err := openError(t, o, begin)
	wantHuman(t, err, db.Name+".a", "new snapshot")
}
