package mysql

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"tributary/envelope"
	"tributary/internal/testdb"
)

// sameFromLog captures the database from its rows on, then deletes every row of
// the tables, and compares what the log had of it with what the snapshot had.
// It returns the rows by table.
func sameFromLog(t *testing.T, db *testdb.Database, o Options, tables map[string]int) map[string][]event {
	t.Helper()
	s := openSource(t, o, nil)
	total := 0
	for _, n := range tables {
		total += n
	}
	var rec recording
	rec.read(t, s, total)
	for name := range tables {
		db.MustExec(t, "DELETE FROM "+name)
	}
	rec.read(t, s, 2*total)
	snapshot := make(map[string]*event)
	rows := make(map[string][]event)
	for i := range rec.events[:total] {
		e := &rec.events[i]
		if e.Op != envelope.Read {
			t.Fatalf("%s in the snapshot", e)
		}
		snapshot[e.Table.ID.Name+string(e.Key)] = e
		rows[e.Table.ID.Name] = append(rows[e.Table.ID.Name], *e)
	}
	for i := range rec.events[total:] {
		e := &rec.events[total+i]
		was := snapshot[e.Table.ID.Name+string(e.Key)]
		switch {
		case was == nil:
			t.Errorf("no snapshot row for %s", e)
		case e.Op != envelope.Delete || e.Table != was.Table && len(e.Table.Columns) != len(was.Table.Columns):
			t.Errorf("got %s", e)
		case !bytes.Equal(e.Before, was.After):
			t.Errorf("%s:\nlog      %q\nsnapshot %q", e.Table.ID, e.Before, was.After)
		}
	}
	return rows
}

// contains checks that the only row of a table has texts.
func contains(t *testing.T, row []byte, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !bytes.Contains(row, envelope.AppendString(nil, text)) {
			t.Errorf("no %q in %q", text, row)
		}
	}
}

func TestSpecialTypes(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		many := make([]string, 300)
		for i := range many {
			many[i] = fmt.Sprintf("'m%d'", i)
		}
		db.MustExec(t, "SET sql_mode=''; CREATE TABLE kinds (k ENUM('z','b,c','d''e','','é','b\\\\n') CHARACTER SET latin1, big ENUM("+strings.Join(many, ",")+") NOT NULL,"+
			" s SET('x','y''z','é') CHARACTER SET utf16, s64 SET("+strings.Join(many[:64], ",")+"), PRIMARY KEY (big, s)) CHARACTER SET utf8mb4;"+
			"INSERT INTO kinds VALUES ('z','m0','',''),(6,'m1','',''),('b,c','m299','x,é','m0,m63'),('nothing','m255','x,y''z,é','m7,m8'),(NULL,'m9','é',NULL),(4,'m10','x','m1')",
			"CREATE TABLE shapes (id INT PRIMARY KEY, g GEOMETRY, p POINT NOT NULL, l LINESTRING, po POLYGON, mp MULTIPOINT, ml MULTILINESTRING, mpo MULTIPOLYGON, gc GEOMETRYCOLLECTION);"+
				"INSERT INTO shapes VALUES (1, ST_GeomFromText('POINT(1 2)'), POINT(1.5,-2.5), ST_GeomFromText('LINESTRING(0 0,1 1)'), ST_GeomFromText('POLYGON((0 0,10 0,10 10,0 0))'),"+
				" ST_GeomFromText('MULTIPOINT(0 0,1 1)'), ST_GeomFromText('MULTILINESTRING((0 0,1 1),(2 2,3 3))'), ST_GeomFromText('MULTIPOLYGON(((0 0,1 0,1 1,0 0)))'), ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1))')),"+
				" (2, NULL, ST_GeomFromText('POINT(3 4)', 4326), NULL, NULL, NULL, NULL, NULL, ST_GeomFromText('GEOMETRYCOLLECTION EMPTY'))")
		o := options(t, db)
		o.FetchSize = 2 // the order of the key is that of numbers, not of text
		rows := sameFromLog(t, db, o, map[string]int{"kinds": 6, "shapes": 2})
		for i, want := range [][]string{{"z", "m0"}, {`b\n`, "m1"}, {"m9", "é"}, {"m10", "x", "m1"}, {"m255", "x,y'z,é", "m7,m8"}, {"b,c", "m299", "x,é", "m0,m63"}} {
			contains(t, rows["kinds"][i].After, want...)
		}
	})
}

func TestTypesOfMariaDB(t *testing.T) {
	db := testdb.MariaDB(t)
	db.MustExec(t, "CREATE TABLE nets (id INET6 PRIMARY KEY, i4 INET4, u UUID);"+
		"INSERT INTO nets VALUES ('::','0.0.0.0','00000000-0000-0000-0000-000000000000'),('2001:db8::1','192.0.2.1','123e4567-e89b-12d3-a456-426614174000'),"+
		"('::ffff:192.0.2.128','10.0.0.0',NULL),('::192.0.2.128',NULL,'ffffffff-ffff-ffff-ffff-ffffffffff00'),('fe80::','255.255.255.255',NULL),('::1','1.0.0.0',NULL)",
		"CREATE TABLE packed (id INT PRIMARY KEY, v VARCHAR(2000) COMPRESSED, l VARCHAR(500) COMPRESSED CHARACTER SET latin1, t LONGTEXT COMPRESSED, b BLOB COMPRESSED) CHARACTER SET utf8mb4;"+
			"INSERT INTO packed VALUES (1,REPEAT('é',900),REPEAT('ü',300),REPEAT('long ',2000),REPEAT(x'00ff',300)),(2,'','short','','a'),(3,NULL,NULL,NULL,NULL)")
	rows := sameFromLog(t, db, options(t, db), map[string]int{"nets": 6, "packed": 3})
	contains(t, rows["nets"][1].After, "::1", "1.0.0.0")
	contains(t, rows["nets"][2].After, "::192.0.2.128", "ffffffff-ffff-ffff-ffff-ffffffffff00")
	contains(t, rows["packed"][0].After, strings.Repeat("é", 900), strings.Repeat("ü", 300))
}

func TestTablesWithSystemVersioning(t *testing.T) {
	db := testdb.MariaDB(t)
	db.MustExec(t, "CREATE TABLE v (id INT PRIMARY KEY, n INT) WITH SYSTEM VERSIONING",
		"CREATE TABLE x (id INT PRIMARY KEY, n INT, s TIMESTAMP(6) GENERATED ALWAYS AS ROW START, e TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING",
		"INSERT INTO v VALUES (1,1),(2,2)", "UPDATE v SET n = 11 WHERE id = 1", "DELETE FROM v WHERE id = 2", "INSERT INTO x (id, n) VALUES (1,1)")
	s := openSource(t, options(t, db), nil)
	var rec recording
	rec.read(t, s, 2)
	db.MustExec(t, "INSERT INTO v VALUES (3,3)", "UPDATE v SET n = 33 WHERE id = 3", "DELETE FROM v WHERE id = 3", "DELETE HISTORY FROM v",
		"UPDATE x SET n = 2", "DELETE FROM x")
	rec.read(t, s, 7)
	var got []string
	for _, e := range rec.events {
		got = append(got, fmt.Sprintf("%s%s %d", e.Op, e.Table.ID.Name, len(e.Table.Columns)))
	}
	if want := "rv 2,rx 4,cv 2,uv 2,dv 2,ux 4,dx 4"; strings.Join(got, ",") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestSequencesAreNoTables(t *testing.T) {
	db := testdb.MariaDB(t)
	db.MustExec(t, "CREATE SEQUENCE s", "CREATE TABLE a (id INT PRIMARY KEY)", "INSERT INTO a VALUES (NEXTVAL(s))")
	s := openSource(t, options(t, db), nil)
	var rec recording
	rec.read(t, s, 1)
	db.MustExec(t, "CREATE SEQUENCE s2", "SELECT SETVAL(s, 5000)", "INSERT INTO a VALUES (NEXTVAL(s)), (NEXTVAL(s2) + 1)", "ALTER SEQUENCE s RESTART 9000", "DO NEXTVAL(s)", "DELETE FROM a")
	rec.read(t, s, 6)
}

// TestCharacterSets has every character set of the server.
func TestCharacterSets(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		sets, err := db.Query(t.Context(), "SELECT CHARACTER_SET_NAME FROM information_schema.CHARACTER_SETS WHERE CHARACTER_SET_NAME NOT IN ('binary','filename')")
		if err != nil {
			t.Fatal(err)
		}
		const sample = "aé€Žжλאغไ日本가中ｱ｡\u0081🎉䨬~\\¥"
		columns, values := "", ""
		for _, s := range sets {
			columns += fmt.Sprintf(", c_%s VARCHAR(60) CHARACTER SET %[1]s, t_%[1]s TEXT CHARACTER SET %[1]s", s[0])
			values += ", '" + strings.ReplaceAll(sample, `\`, `\\`) + "', 'x'"
		}
		db.MustExec(t, "SET sql_mode='', NAMES utf8mb4; CREATE TABLE sets (id INT PRIMARY KEY"+columns+"); INSERT INTO sets VALUES (1"+values+")")
		rows := sameFromLog(t, db, options(t, db), map[string]int{"sets": 1})
		contains(t, rows["sets"][0].After, sample, strings.Map(func(r rune) rune { // latin1
			if strings.ContainsRune("aé€Ž~\\¥\u0081", r) {
				return r
			}
			return '?'
		}, sample))
	})
}

// TestServerNotOnUTC has a server in India.
func TestServerNotOnUTC(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		db.MustExec(t, "SET GLOBAL time_zone = '+05:30'")
		t.Cleanup(func() { _ = db.Server.Exec(context.Background(), "SET GLOBAL time_zone = 'SYSTEM'") })
		db.MustExec(t, "SET time_zone = '+05:30'; CREATE TABLE moments (id INT PRIMARY KEY, ts TIMESTAMP(3) NULL DEFAULT '2024-01-01 05:30:00', dt DATETIME(6), d DATE, t TIME);"+
			"INSERT INTO moments VALUES (1,'2024-07-01 00:00:00.5','2024-07-01 00:00:00.5','2024-07-01','23:00:00')")
		rows := sameFromLog(t, db, options(t, db), map[string]int{"moments": 1})
		contains(t, rows["moments"][0].After, "2024-06-30T18:30:00.500Z")
		if c := rows["moments"][0].Table.Columns[1]; !bytes.Equal(c.Default, envelope.AppendString(nil, "2024-01-01T00:00:00.000Z")) && !bytes.Equal(c.Default, envelope.AppendString(nil, "2024-01-01T00:00:00Z")) {
			t.Errorf("default %q", c.Default)
		}
	})
}

func TestTextOfBinaryColumns(t *testing.T) {
	db := testdb.MySQL(t)
	db.MustExec(t, "CREATE TABLE b (id BINARY(4) PRIMARY KEY, v VARBINARY(9), l BLOB)", "INSERT INTO b VALUES (x'fbff',x'fbef','ab')")
	for mode, want := range map[string][]string{
		"base64": {"+/8AAA==", "++8=", "YWI="}, "base64-url-safe": {"-_8AAA==", "--8=", "YWI="}, "hex": {"fbff0000", "fbef", "6162"},
	} {
		t.Run(mode, func(t *testing.T) {
			o := options(t, db)
			o.Binaries = mode
			rows := sameFromLog(t, db, o, map[string]int{"b": 1})
			contains(t, rows["b"][0].After, want...)
			db.MustExec(t, "INSERT INTO b VALUES (x'fbff',x'fbef','ab')")
		})
	}
}
