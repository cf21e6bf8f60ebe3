package mysql

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"tributary/internal/testdb"
)

// columns names the columns of an event's table.
func (e *event) columns() string {
	var names []string
	for i := range e.Table.Columns {
		names = append(names, e.Table.Columns[i].Name)
	}
	return strings.Join(names, ",")
}

func TestTableChangesInTheStream(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY, v VARCHAR(20), n INT)", "INSERT INTO a VALUES (0,'zero',0)")
		o := options(t, db)
		s := openSource(t, o, nil)
		var rec recording
		rec.read(t, s, 1)
		begin := rec.ends[0]
		steps := []struct{ ddl, dml, columns string }{
			{"", "INSERT INTO a VALUES (1,'one',1)", "id,v,n"},
			{"ALTER TABLE a ADD COLUMN extra DECIMAL(10,2) NOT NULL DEFAULT 1.50 AFTER id", "INSERT INTO a VALUES (2,2.5,'two',2)", "id,extra,v,n"},
			{"ALTER TABLE a CHANGE v vv VARCHAR(300), MODIFY n BIGINT UNSIGNED", "INSERT INTO a VALUES (3,3,'three',18446744073709551615)", "id,extra,vv,n"},
			{"ALTER TABLE a DROP COLUMN n", "INSERT INTO a VALUES (4,4,'four')", "id,extra,vv"},
			{"ALTER TABLE a CONVERT TO CHARACTER SET latin1", "INSERT INTO a VALUES (5,5,'fünf')", "id,extra,vv"},
			{"RENAME TABLE a TO a2; CREATE TABLE a (id INT PRIMARY KEY, other INT)", "INSERT INTO a VALUES (6,6)", "id,other"},
			{"CREATE TABLE late (id INT PRIMARY KEY)", "INSERT INTO late VALUES (7)", "id"},
			{"CREATE INDEX ix ON a (other)", "INSERT INTO a VALUES (8,8)", "id,other"},
		}
		for i, st := range steps {
			if st.ddl != "" {
				db.MustExec(t, st.ddl)
			}
			db.MustExec(t, st.dml)
			rec.read(t, s, i+2)
			if got := rec.events[i+1].columns(); got != st.columns {
				t.Errorf("%s: columns %s, want %s", st.ddl, got, st.columns)
			}
		}
		if !bytes.Contains(rec.events[5].After, []byte("fünf")) {
			t.Errorf("latin1 text came as %q", rec.events[5].After)
		}
		if rec.events[6].Table != rec.events[8].Table {
			t.Error("an index made another version of the table")
		}
		// Read again, now that the tables look otherwise than they did then.
		again := openSource(t, o, begin)
		var old recording
		old.read(t, again, len(steps))
		for i, st := range steps {
			if got := old.events[i].columns(); got != st.columns {
				t.Errorf("read later, %s: columns %s, want %s", st.dml, got, st.columns)
			}
			if got, want := old.events[i].After, rec.events[i+1].After; len(got) == 0 || !bytes.Equal(got, want) && i != 1 {
				t.Errorf("read later, %s: %x, was %x", st.dml, got, want)
			}
		}
	})
}

func TestRowsOfBeforeAChangeThatTheLogDoesNotExplain(t *testing.T) {
	db := testdb.MySQL(t)
	db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY, v INT)")
	o := options(t, db)
	o.SnapshotMode = "no_data"
	s := openSource(t, o, nil)
	begin := bytes.Clone(next(t, s).End)
	_ = s.Close()
	if err := db.Server.Exec(t.Context(), "SET GLOBAL binlog_row_metadata = MINIMAL"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Server.Exec(t.Context(), "SET GLOBAL binlog_row_metadata = FULL") }()
	db.MustExec(t, "INSERT INTO a VALUES (1,1)", "ALTER TABLE a ADD COLUMN w INT")
	s = openSource(t, o, begin)
	_, err := s.Next(t.Context())
	for err == nil {
		_, err = s.Next(t.Context())
	}
	wantHuman(t, err, "what the columns of "+db.Name+".a were", "binlog_row_metadata=FULL")
}

func TestTransactionsThatAreCompressed(t *testing.T) {
	for name, c := range map[string]struct {
		open func(testing.TB) *testdb.Database
		on   string
	}{
		"mysql":   {testdb.MySQL, "SET SESSION binlog_transaction_compression = ON"},
		"mariadb": {testdb.MariaDB, "SET GLOBAL log_bin_compress = ON, GLOBAL log_bin_compress_min_len = 10"},
	} {
		t.Run(name, func(t *testing.T) {
			db := c.open(t)
			db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY, v VARCHAR(2000))", "CREATE TABLE b (id INT, code CHAR(3), v INT, PRIMARY KEY (code, id))")
			o := options(t, db)
			o.SnapshotMode, o.BatchSize = "no_data", 16
			s := openSource(t, o, nil)
			var rec recording
			rec.add(next(t, s))
			t.Cleanup(func() {
				if db.Kind == testdb.KindMariaDB {
					_ = db.Server.Exec(context.Background(), "SET GLOBAL log_bin_compress = OFF")
				}
			})
			db.MustExec(t, c.on, "START TRANSACTION; "+insertMany("a", 1, 40)+"; "+insertMany("b", 1, 30)+"; UPDATE a SET v = 'short' WHERE id < 10; COMMIT",
				"ALTER TABLE b ADD COLUMN w INT", "DELETE FROM a WHERE id = 1")
			const want = 40 + 30 + 9 + 1
			rec.read(t, s, want)
			_ = s.Close()
			for i := 1; i < len(rec.events); i++ {
				a, b := rec.events[i-1].Source, rec.events[i].Source
				if a.Pos > b.Pos || a.Pos == b.Pos && a.Row >= b.Row {
					t.Fatalf("the order of changes %d and %d cannot be told: %+v, %+v", i-1, i, a, b)
				}
			}
			// Resume within the compressed transaction.
			for i := range rec.ends {
				left := rec.after(i)
				again := openSource(t, o, rec.ends[i])
				var got recording
				got.read(t, again, left)
				for j := range got.events {
					if a, b := &rec.events[len(rec.events)-left+j], &got.events[j]; a.String() != b.String() || a.Source != b.Source {
						t.Fatalf("resumed after batch %d: change %d is %s, was %s", i, j, b, a)
					}
				}
				_ = again.Close()
			}
		})
	}
}

func TestColumnsAreLeftOut(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY, secret VARCHAR(20), e ENUM('x','y'), shape POLYGON, bits SET('p','q'), n INT)",
			"INSERT INTO a VALUES (1,'s','x',NULL,'p',1)")
		o := options(t, db)
		o.ExcludeColumns = []string{`.*\.(id|secret|e|shape|bits)`} // the key stays
		s := openSource(t, o, nil)
		var rec recording
		rec.read(t, s, 1)
		db.MustExec(t, "INSERT INTO a VALUES (2,'s','y',ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))'),'p,q',2)", "UPDATE a SET n = 3 WHERE id = 2")
		rec.read(t, s, 3)
		for _, e := range rec.events {
			if e.columns() != "id,n" || bytes.Contains(e.After, []byte("s")) {
				t.Errorf("%s %s has columns %s", e.Op, fmt.Sprintf("%x", e.After), e.columns())
			}
		}
		if want := []byte{4, 2, 6}; !bytes.Equal(rec.events[2].After, want) {
			t.Errorf("row %x, want %x", rec.events[2].After, want)
		}
	})
}

func TestGeneratedAndInvisibleColumns(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY, virt INT AS (id * 2) VIRTUAL, kept INT AS (id * 3) STORED, hidden INT DEFAULT 4 INVISIBLE, v INT)",
			"INSERT INTO a (id, v) VALUES (1, 7)")
		s := openSource(t, options(t, db), nil)
		var rec recording
		rec.read(t, s, 1)
		db.MustExec(t, "INSERT INTO a (id, v) VALUES (2, 7)", "UPDATE a SET v = 8 WHERE id = 2")
		rec.read(t, s, 3)
		for i, want := range [][]byte{{2, 2, 4, 2, 6, 0, 8, 2, 14}, {4, 2, 8, 2, 12, 0, 8, 2, 14}, {4, 2, 8, 2, 12, 0, 8, 2, 16}} {
			if got := rec.events[i].After; !bytes.Equal(got, want) {
				t.Errorf("change %d is %x, want %x (columns %s)", i, got, want, rec.events[i].columns())
			}
		}
	})
}

func TestPartitionsAndTags(t *testing.T) {
	db := testdb.MySQL(t)
	db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 3", "INSERT INTO a VALUES (1),(2)")
	o := options(t, db)
	s := openSource(t, o, nil)
	var rec recording
	rec.read(t, s, 2)
	db.MustExec(t, "INSERT INTO a VALUES (3),(4),(5)", "UPDATE a SET id = id + 10 WHERE id = 3",
		"SET SESSION gtid_next = 'AUTOMATIC:tagged'; INSERT INTO a VALUES (6); SET SESSION gtid_next = 'AUTOMATIC'", "INSERT INTO a VALUES (7)")
	rec.read(t, s, 8)
	_ = s.Close()
	if g := rec.events[6].Source.GTID; len(g) == 0 || !bytes.Contains([]byte(g), []byte(":tagged:1")) {
		t.Errorf("GTID %s, want a tagged one", g)
	}
	for i := range rec.ends {
		left := rec.after(i)
		again := openSource(t, o, rec.ends[i])
		var got recording
		got.read(t, again, left)
		_ = again.Close()
	}
}

// TestTableChangedWhileNobodyRead has a log without names of columns: what the
// table was is remembered with the position.
func TestTableChangedWhileNobodyRead(t *testing.T) {
	for name, c := range map[string]struct {
		open func(testing.TB) *testdb.Database
		less string
	}{"mysql": {testdb.MySQL, "MINIMAL"}, "mariadb": {testdb.MariaDB, "NO_LOG"}} {
		t.Run(name, func(t *testing.T) {
			db := c.open(t)
			db.MustExec(t, "SET GLOBAL binlog_row_metadata = "+c.less)
			t.Cleanup(func() { _ = db.Server.Exec(context.Background(), "SET GLOBAL binlog_row_metadata = FULL") })
			db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY, v INT, e ENUM('a','b'))", "CREATE TABLE b (id INT PRIMARY KEY, v INT)",
				"INSERT INTO a VALUES (1,1,'a')", "INSERT INTO b VALUES (1,1)")
			o := options(t, db)
			s := openSource(t, o, nil)
			var rec recording
			rec.read(t, s, 2)
			db.MustExec(t, "INSERT INTO a VALUES (2,2,'b')")
			rec.read(t, s, 3)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			db.MustExec(t, "INSERT INTO a VALUES (3,3,'b')", "ALTER TABLE a CHANGE v w INT, ADD COLUMN x INT FIRST, MODIFY e ENUM('z','a','b')", "INSERT INTO a VALUES (4,4,4,'b')",
				"INSERT INTO b VALUES (2,2)", "ALTER TABLE b CHANGE v w INT", "INSERT INTO b VALUES (3,3)")
			s = openSource(t, o, rec.ends[len(rec.ends)-1])
			var more recording
			more.read(t, s, 4)
			var got []string
			for i := range more.events {
				got = append(got, more.events[i].columns())
			}
			if want := "id,v,e x,id,w,e id,v id,w"; strings.Join(got, " ") != want {
				t.Errorf("columns %v, want %s", got, want)
			}
			contains(t, more.events[0].After, "b")
			// And with what it tells now.
			again := openSource(t, o, more.ends[len(more.ends)-1])
			db.MustExec(t, "DELETE FROM a WHERE id = 4")
			var last recording
			last.read(t, again, 1)
			if got := last.events[0].columns(); got != "x,id,w,e" {
				t.Errorf("columns %s", got)
			}
		})
	}
}

// TestVirtualColumnsThatAreNotInTheLog has MariaDB 11 leave them out of updates.
func TestVirtualColumnsThatAreNotInTheLog(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		db.MustExec(t, "SET sql_mode=''; SET NAMES utf8mb4; CREATE TABLE a (id INT, n DECIMAL(8,3), u BIGINT UNSIGNED, s VARCHAR(20) CHARACTER SET latin1, d DATE, dt DATETIME(3), t TIME(2), ts TIMESTAMP(1) NULL, b VARBINARY(9), f DOUBLE, e ENUM('p','ü'),"+
			" v1 INT AS (id * 2) VIRTUAL, v2 DECIMAL(10,2) AS (n + 1.5) VIRTUAL, v3 BIGINT UNSIGNED AS (u - 1) VIRTUAL, v4 VARCHAR(50) AS (CONCAT(s, '-', e)) VIRTUAL, v5 DATE AS (d + INTERVAL 1 DAY) VIRTUAL,"+
			" v6 DATETIME(3) AS (dt + INTERVAL 1 SECOND) VIRTUAL, v7 TIME(2) AS (ADDTIME(t, '00:00:01.5')) VIRTUAL, v8 VARCHAR(40) AS (HEX(b)) VIRTUAL, v9 DOUBLE AS (f / 4) VIRTUAL, x INT, PRIMARY KEY (id))")
		o := options(t, db)
		o.SnapshotMode = "no_data"
		s := openSource(t, o, nil)
		var rec recording
		rec.add(next(t, s))
		db.MustExec(t, "SET NAMES utf8mb4; SET time_zone='+00:00'; INSERT INTO a (id,n,u,s,d,dt,t,ts,b,f,e) VALUES (1,-2.125,18446744073709551615,'é''\\\\x','2024-02-29','2024-02-29 01:02:03.456','-12:34:56.78','2024-01-01 00:00:00.5',x'00ff27',-1.5e300,'ü'),(2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL)",
			"UPDATE a SET x = 1", "UPDATE a SET id = id + 10, n = 3.25", "DELETE FROM a")
		rec.read(t, s, 8)
		for i := range 2 {
			created, updated := &rec.events[i], &rec.events[i+2]
			was := updated.After[:len(updated.After)-2]
			if !bytes.Equal(created.After[:len(created.After)-1], was) || !bytes.Equal(created.After, updated.Before) {
				t.Errorf("row %d: created %x, updated %x to %x", i, created.After, updated.Before, updated.After)
			}
			if a, b := &rec.events[i+4], &rec.events[i+6]; !bytes.Equal(a.After, b.Before) {
				t.Errorf("row %d: updated to %x, deleted %x", i, a.After, b.Before)
			}
		}
	})
}
