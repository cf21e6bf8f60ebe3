package mysql

import (
	"bytes"
	"context"
	"fmt"

	"testing"

	"tributary/envelope"
	"tributary/internal/testdb"
)

// edgeTables are tables at the edges of what the servers take, with rows.
func edgeTables(maria bool) []string {
	out := []string{
		// Every way to write a type, and defaults that the server writes otherwise.
		"CREATE TABLE aliases (a INTEGER, b DEC(5), c NUMERIC(7,2) UNSIGNED, d FIXED, e REAL, f DOUBLE PRECISION, g FLOAT4, h FLOAT(30), i BOOL, j BOOLEAN NOT NULL DEFAULT TRUE, k INT1, l MIDDLEINT, m INT8 UNSIGNED," +
			" n CHARACTER(3), o CHARACTER VARYING(5), p NATIONAL VARCHAR(5), q NCHAR(4), r LONG VARCHAR, s LONG VARBINARY, t CHAR BINARY, u VARCHAR(4) CHARACTER SET binary, v TEXT(70000), w BLOB(200), x YEAR, y BIT, z SERIAL)",
		"INSERT INTO aliases (a,b,c,d,e,f,g,h,i,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y) VALUES (1,2,3.25,4,5.5,6.5,7.5,8.5,1,9,10,18446744073709551615,'é','ö','ü','ß','r','s','t','u\\0','v','w',2024,1)",
		"CREATE TABLE defaults (id INT PRIMARY KEY, a INT NOT NULL DEFAULT '007', b DECIMAL(10,4) NOT NULL DEFAULT 1.5, c DECIMAL(10,2) NOT NULL DEFAULT '-.5', d DOUBLE NOT NULL DEFAULT 1e3, e TIMESTAMP NOT NULL DEFAULT '2020-02-29 12:00:00'," +
			" f TIMESTAMP(6) NOT NULL DEFAULT '2020-02-29 12:00:00.5', g DATETIME(2) NOT NULL DEFAULT '2020-01-01', h TIME(3) NOT NULL DEFAULT '-838:59:59', i DATE NOT NULL DEFAULT '1000-01-01', j YEAR NOT NULL DEFAULT 2155," +
			" k BIT(9) NOT NULL DEFAULT b'100000001', l BIT(1) NOT NULL DEFAULT 1, m ENUM('a','b c','d''e') NOT NULL DEFAULT 'd''e', n SET('x','y') NOT NULL DEFAULT 'x,y', o VARCHAR(20) NOT NULL DEFAULT 'a\\'b\"c\\\\d', p CHAR(5) NOT NULL DEFAULT ''," +
			" q BIGINT UNSIGNED NOT NULL DEFAULT 9223372036854775807, r FLOAT NOT NULL DEFAULT 0.1, s VARBINARY(5) NOT NULL DEFAULT 'ab', t TINYINT(1) NOT NULL DEFAULT 0, u DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP," +
			" v VARCHAR(9) DEFAULT NULL, w INT DEFAULT -0, x VARCHAR(9) NOT NULL DEFAULT 'ü日', y SMALLINT ZEROFILL NOT NULL DEFAULT 5, z TIMESTAMP NULL DEFAULT NULL)",
		"INSERT INTO defaults (id) VALUES (1)",
		"CREATE TABLE keys1 (c INT, b VARCHAR(5) COLLATE utf8mb4_bin, a DATE, UNIQUE KEY z (a, b), UNIQUE KEY y (c, b), PRIMARY KEY (c, a, b))", "INSERT INTO keys1 VALUES (1,'x','2020-01-01')",
		"CREATE TABLE keys2 (a INT NOT NULL, b INT NOT NULL, c INT, UNIQUE KEY z (b), UNIQUE KEY y (a), UNIQUE KEY x (c))", "INSERT INTO keys2 VALUES (1,2,3)",
		"CREATE TABLE keys3 (a VARCHAR(50) NOT NULL, b INT NOT NULL UNIQUE, c INT, UNIQUE KEY (a(3)))", "INSERT INTO keys3 VALUES ('abc',2,3)",
		"CREATE TABLE keys4 (a INT, b INT, UNIQUE (a))", "INSERT INTO keys4 VALUES (NULL,2)",
		"CREATE TABLE `MiXed.Case tbl` (`Id` INT PRIMARY KEY, `ID2` INT, `日本` INT)", "INSERT INTO `MiXed.Case tbl` VALUES (1,2,3)",
		"CREATE TABLE texts (id INT PRIMARY KEY, a VARCHAR(20) CHARACTER SET utf16, b CHAR(5) CHARACTER SET latin1, c TEXT CHARACTER SET ucs2, d VARCHAR(20) CHARACTER SET utf8mb3, e CHAR(4) CHARACTER SET ascii, f VARCHAR(20) COLLATE latin1_german1_ci," +
			" g ENUM('é','ß') CHARACTER SET latin1, h SET('ä','ö') CHARACTER SET utf8mb3, i LONGTEXT COLLATE utf8mb4_unicode_ci) DEFAULT CHARSET = latin1",
		"INSERT INTO texts VALUES (1,'𝄞é','€','日','é','x','ÿ','ß','ä,ö','🎉')", "INSERT INTO texts VALUES (2,'','','','','','','','','')",
		"CREATE TABLE times (id INT PRIMARY KEY, a DATETIME(6), b TIME(6), c TIMESTAMP(6) NULL, d DATE, e DATETIME, f TIME, g YEAR)",
		"INSERT INTO times VALUES (1,'9999-12-31 23:59:59.999999','838:59:59','2038-01-19 03:14:07','9999-12-31','0000-00-00','-00:00:01',0),(2,'0000-00-00 00:00:00','-838:59:59','1970-01-01 05:30:01','0000-00-00','1000-01-01 00:00:00','00:00:00',1901)",
		"INSERT INTO times VALUES (3,'2024-00-10 00:00:00',NULL,0,'2024-02-00',NULL,NULL,NULL),(4,'1969-12-31 23:59:59.000001','-23:59:59.000001','2024-03-31 02:30:00','1582-10-15','1582-10-04 23:59:59','24:00:00',2155)",
		"CREATE TABLE numbers (id INT PRIMARY KEY, a DECIMAL(65,30), b DECIMAL(65,0), c DECIMAL(1,1), d DECIMAL(30,29) UNSIGNED, e DOUBLE, f FLOAT, g BIGINT UNSIGNED, h INT(5) UNSIGNED ZEROFILL, i BIT(64), j MEDIUMINT)",
		"INSERT INTO numbers VALUES (1,-99999999999999999999999999999999999.999999999999999999999999999999,99999999999999999999999999999999999999999999999999999999999999999,-0.9,0.00000000000000000000000000001,-0.0,1e-38,18446744073709551615,7,b'1000000000000000000000000000000000000000000000000000000000000001',-8388608)," +
			"(2,0.000000000000000000000000000001,-1,0,9,1.7976931348623157e308,3.4028234e38,9223372036854775808,99999,0,8388607)",
		"CREATE TABLE signs (y YEAR PRIMARY KEY, a SMALLINT UNSIGNED, b SMALLINT, c YEAR, d TINYINT UNSIGNED, e BIT(3), f TINYINT, g TIMESTAMP NULL, h INT UNSIGNED, i INT)", "INSERT INTO signs VALUES (2000,65535,-32768,2001,255,b'101',-128,NULL,4294967295,-2147483648)",
		"CREATE TABLE sets (id INT PRIMARY KEY, g POINT, a VARCHAR(4) CHARACTER SET latin1, j JSON, l LINESTRING, b VARBINARY(4), c TEXT CHARACTER SET utf16, d VARCHAR(9))", "INSERT INTO sets VALUES (1,POINT(1,2),'é','{}',NULL,x'e9','é','é')",
		"CREATE TABLE parts (id INT, y INT, PRIMARY KEY (y, id)) PARTITION BY RANGE (y) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE)", "INSERT INTO parts VALUES (1,5),(2,50)",
		"CREATE TABLE gen (id INT PRIMARY KEY, a INT GENERATED ALWAYS AS (id + 1), b VARCHAR(20) AS (CONCAT('x', id)) STORED, c INT DEFAULT 3)", "INSERT INTO gen (id) VALUES (1)",
		"CREATE TABLE empty_names (` a` INT PRIMARY KEY, `b\"c` INT, `d'e` VARCHAR(3) DEFAULT 'x')", "INSERT INTO empty_names (` a`) VALUES (1)",
		"CREATE TABLE blobs (id INT PRIMARY KEY, a TINYBLOB, b BLOB, c MEDIUMBLOB, d LONGBLOB, e BINARY(5), f VARBINARY(5), g BINARY(3) NOT NULL)", "INSERT INTO blobs VALUES (1,'','','','','','',''),(2,x'00',x'0001',x'00ff00',REPEAT('a',70000),x'0100','a\\0','\\0b')",
	}
	if maria {
		return append(out,
			"CREATE TABLE own (id UUID PRIMARY KEY DEFAULT UUID(), a INET6 DEFAULT '::1', b INET4 NOT NULL DEFAULT '1.2.3.4', c JSON DEFAULT '{}', d TEXT DEFAULT 'x', e VARCHAR(30) COMPRESSED, f BLOB COMPRESSED, g INT INVISIBLE DEFAULT 4)",
			"INSERT INTO own (id, e, f) VALUES ('00000000-0000-0000-0000-00000000ff00', REPEAT('e', 30), 'f')",
			"CREATE TABLE shapes (id INT PRIMARY KEY, a GEOMETRY, b POINT NOT NULL, c GEOMETRYCOLLECTION, d POLYGON REF_SYSTEM_ID=4326)", "INSERT INTO shapes VALUES (1,NULL,POINT(-0.0,1e300),NULL,NULL)")
	}
	return append(out,
		"CREATE TABLE own (id INT PRIMARY KEY, a JSON, b VECTOR(3), c INT INVISIBLE DEFAULT 4, d JSON DEFAULT (JSON_ARRAY()), e VARCHAR(40) DEFAULT (UUID()), f POINT SRID 4326, g INT, KEY ((g + 1)), UNIQUE KEY u ((CAST(a->>'$.x' AS CHAR(9)))))",
		`INSERT INTO own (id, a, b, f) VALUES (1, '{"x": 1.10, "e": [], "o": {}, "t": "\\u00e9\\n", "n": null, "big": 12345678901234567890, "neg": -1e-7, "d": 0.1}', TO_VECTOR('[1,-2.5,0]'), ST_GeomFromText('POINT(10 20)', 4326))`,
		"INSERT INTO own (id, a) VALUES (2, JSON_ARRAY(CAST('2024-01-01 01:02:03.5' AS DATETIME(6)), CAST('12:00' AS TIME), CAST(1.50 AS DECIMAL(5,2)), CAST(b'1' AS UNSIGNED), CAST(x'ff00' AS BINARY), ST_AsGeoJSON(POINT(1,2)), CAST('2024-01-01' AS DATE), true, 18446744073709551615))",
		"CREATE TABLE shapes (id INT PRIMARY KEY, a GEOMETRY, b POINT NOT NULL, c GEOMCOLLECTION, d GEOMETRYCOLLECTION, e POLYGON SRID 0, SPATIAL INDEX (b))", "INSERT INTO shapes VALUES (1,NULL,POINT(-0.0,1e300),NULL,ST_GeomFromText('GEOMETRYCOLLECTION EMPTY'),NULL)",
		"SET sql_generate_invisible_primary_key = ON; CREATE TABLE nokey (v INT); SET sql_generate_invisible_primary_key = OFF", "INSERT INTO nokey VALUES (1),(2)")
}

// TestEdges makes tables while the log is followed, so that what they are is
// known by their statements, and compares with a snapshot, which asks the
// server: schemas and rows are the same. The sessions are in India.
func TestEdges(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		maria := db.Kind == testdb.KindMariaDB
		db.MustExec(t, "ALTER DATABASE "+db.Name+" CHARACTER SET utf8mb4", "CREATE TABLE first (id INT PRIMARY KEY)", "CREATE TABLE zend (id INT PRIMARY KEY)",
			"SET GLOBAL time_zone = '+05:30'")
		t.Cleanup(func() { _ = db.Server.Exec(context.Background(), "SET GLOBAL time_zone = '+00:00'") })
		o := options(t, db)
		o.FieldNames, o.SchemaNames, o.SourceType = "avro_unicode", "avro_unicode", nil
		o.SnapshotMode = "no_data"
		s := openSource(t, o, nil)
		next(t, s)
		db.MustExec(t, "SET time_zone = '+05:30', sql_mode = '', NAMES utf8mb4")
		for _, q := range edgeTables(maria) {
			db.MustExec(t, q)
		}
		db.MustExec(t, "INSERT INTO zend VALUES (1)")
		format := envelope.NewFormat(o.Format(Block(&o, "x")))
		rows := func(s *Source, last int) map[string]string {
			out := make(map[string]string)
			for done := false; !done; {
				b := next(t, s)
				for i := range b.List {
					c := &b.List[i]
					f, err := format.Table(c.Table)
					if err != nil {
						t.Fatal(err)
					}
					out[fmt.Sprintf("%s %x", c.Table.ID.Name, firstOf(c))] = fmt.Sprintf("key %x row %x\n%s\n%s", c.Key, c.After, f.KeySchema, f.ValueSchema)
					done = done || c.Table.ID.Name == "zend"
				}
			}
			return out
		}
		log := rows(s, 0)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		o.SnapshotMode = "initial_only"
		snapshot := rows(openSource(t, o, nil), 0)
		if len(log) != len(snapshot) {
			t.Errorf("%d rows in the log, %d in the snapshot", len(log), len(snapshot))
		}
		for key, a := range log {
			if b := snapshot[key]; a != b {
				at := 0
				for at < min(len(a), len(b)) && a[at] == b[at] {
					at++
				}
				from := max(0, at-100)
				t.Errorf("%s:\nlog      …%.260s\nsnapshot …%.260s", key, a[from:], b[min(from, len(b)):])
			}
		}
	})
}

// firstOf is what tells a row from the others of its table.
func firstOf(c *envelope.Change) []byte {
	if len(c.Key) > 0 {
		return c.Key
	}
	return bytes.TrimRight(c.After[:min(8, len(c.After))], "\x00")
}
