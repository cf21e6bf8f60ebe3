package mssqltest_test

import (
	"testing"

	"tributary/internal/mssqltest"
)

// TestMasks has a user read masked columns, and then be given UNMASK.
func TestMasks(t *testing.T) {
	srv, _ := start(t, mssqltest.Options{})
	owner := open(t, srv)
	run(t, owner, `CREATE TABLE p (id int NOT NULL PRIMARY KEY, name nvarchar(20) MASKED WITH (FUNCTION = 'default()') NULL, c char(2) NULL, n decimal(9,2) NULL, b bit NULL,
		d date NULL, ti time(3) NULL, dt datetime2(3) NULL, dto datetimeoffset(0) NULL, f float NULL, m money NULL, v varbinary(8) NULL, x nvarchar(max) NULL, g uniqueidentifier NULL)`)
	run(t, owner, `INSERT INTO p VALUES (1, N'Ann', 'ab', 12.34, 1, '2020-02-03', '10:11:12', '2020-02-03 04:05:06', '2020-02-03 04:05:06 +01:00', 1.5, 2, 0x0102, N'long', NULL), (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)`)
	run(t, owner, "CREATE LOGIN low WITH PASSWORD = 'Secret1!'; CREATE USER low; GRANT SELECT ON p TO low")
	low := openAs(t, srv, "low")
	for _, c := range []string{"c", "n", "b", "d", "ti", "dt", "dto", "f", "m", "v", "x"} {
		run(t, owner, "ALTER TABLE p ALTER COLUMN "+c+" ADD MASKED WITH (FUNCTION = 'default()')")
	}
	const nulls = "[2 NULL NULL NULL NULL NULL NULL NULL NULL NULL NULL NULL NULL NULL]]"
	const plain = "[[1 Ann ab 12.34 true 2020-02-03T00:00:00Z 0001-01-01T10:11:12Z 2020-02-03T04:05:06Z 2020-02-03T04:05:06+01:00 1.5 2.0000 0102 long NULL] " + nulls
	const masked = "[[1 XXXX XX 0.00 false 1900-01-01T00:00:00Z 0001-01-01T00:00:00Z 1900-01-01T00:00:00Z 1900-01-01T00:00:00Z 0 0.0000 30 XXXX NULL] " + nulls
	equal(t, rows(t, owner, "SELECT * FROM p"), plain)
	equal(t, rows(t, low, "SELECT * FROM p"), masked)
	equal(t, rows(t, low, "SELECT UPPER(name) + N'!' FROM p WHERE name = N'Ann' ORDER BY name"), "[[XXXX]]") // conditions are not masked
	for _, q := range []string{"SELECT MAX(name) FROM p", "SELECT * FROM (SELECT name FROM p) AS q"} {
		says(t, low, q, "50000")
		says(t, owner, q, "")
	}
	equal(t, rows(t, owner, "SELECT c.name, c.is_masked, m.masking_function FROM sys.columns AS c LEFT JOIN sys.masked_columns AS m ON m.object_id = c.object_id AND m.column_id = c.column_id WHERE c.column_id <= 3 AND c.object_id = OBJECT_ID(N'p')"),
		"[[id false NULL] [name true default()] [c true default()]]")
	run(t, owner, "GRANT UNMASK ON p (name) TO low")
	equal(t, rows(t, low, "SELECT name, c FROM p WHERE id = 1"), "[[Ann XX]]")
	run(t, owner, "GRANT UNMASK TO low")
	equal(t, rows(t, low, "SELECT * FROM p"), plain)
	run(t, owner, "REVOKE UNMASK FROM low; REVOKE UNMASK ON p (name) FROM low; ALTER TABLE p ALTER COLUMN name DROP MASKED")
	equal(t, rows(t, low, "SELECT name, c FROM p WHERE id = 1"), "[[Ann XX]]")
	says(t, owner, "ALTER TABLE p ALTER COLUMN name ADD MASKED WITH (FUNCTION = 'email()')", "50000")
	says(t, owner, "ALTER TABLE p ALTER COLUMN g ADD MASKED WITH (FUNCTION = 'default()')", "50000")
	says(t, low, "ALTER TABLE p ALTER COLUMN c DROP MASKED", "4902")
}
