package mssqltest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"tributary/internal/mssqltest"
)

func TestExpressions(t *testing.T) {
	srv, _ := start(t, mssqltest.Options{})
	c := open(t, srv)
	for text, want := range map[string]string{
		"1 + 2 * 3":                          "7",
		"7 / 2":                              "3",
		"-7 % 3":                             "-1",
		"7.0 / 2":                            "3.500000",
		"1.5 + 2":                            "3.5",
		"'a' + N'é' + 'b'":                   "aéb",
		"0x01 + 0xFF":                        "01ff",
		"CAST(1.55 AS int)":                  "1",
		"CAST(2.5 AS decimal(3,0))":          "3",
		"CONVERT(varchar(30), 0x0AFF, 1)":    "0x0AFF",
		"CONVERT(varbinary(8), '0x0aff', 1)": "0aff",
		"CONVERT(varchar(10), CAST('2024-02-03' AS date), 23)": "2024-02-03",
		"CASE WHEN NULL = NULL THEN 1 WHEN 2 > 1 THEN 2 END":   "2",
		"CASE 'x' WHEN 'X ' THEN 'equal' ELSE 'not' END":       "equal",
		"PARSE('2019-02-03' AS date)":                          "2019-02-03T00:00:00Z",
		"TRY_PARSE('x' AS int)":                                "NULL",
		"ISNULL(NULL, 5)":                                      "5",
		"COALESCE(NULL, NULL, 'z')":                            "z",
		"NULLIF(1, 1)":                                         "NULL",
		"LEN(N'ab😀  ')":                                        "4",
		"DATALENGTH(N'ab')":                                    "4",
		"SUBSTRING('abcdef', 2, 3)":                            "bcd",
		"SUBSTRING(0x010203, 2, 5)":                            "0203",
		"LEFT('abc', 2) + RIGHT('abc', 1)":                     "abc",
		"REPLACE('aXa', 'X', 'b')":                             "aba",
		"CHARINDEX('c', 'abc')":                                "3",
		"UPPER('é') + LOWER('Ä')":                              "Éä",
		"DATEPART(TZOFFSET, SYSDATETIMEOFFSET())":              "0",
		"TODATETIMEOFFSET(CAST('2024-01-02T03:04:05.123' AS datetime), '+02:00')":  "2024-01-02T03:04:05.123+02:00",
		"SWITCHOFFSET(CAST('2024-01-02 03:04:05 +02:00' AS datetimeoffset(0)), 0)": "2024-01-02T01:04:05Z",
		"DATEADD(month, 1, CAST('2024-01-31' AS date))":                            "2024-02-29T00:00:00Z",
		"DATEDIFF(day, '2024-01-01', '2024-03-01')":                                "60",
		"DB_NAME()":                       "crm",
		"OBJECT_ID('none')":               "NULL",
		"QUOTENAME('a]b')":                "[a]]b]",
		"SERVERPROPERTY('EngineEdition')": "3",
		"CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(20))":                     "16.0.1000.6",
		"(SELECT count(*) FROM sys.databases WHERE name LIKE N'c[r-s]_')":            "1",
		"IIF(1 IN (2, NULL), 'in', 'unknown')":                                       "unknown",
		"CASE WHEN 'abc' LIKE 'A%' AND 'a%' LIKE 'a!%' ESCAPE '!' THEN 1 ELSE 0 END": "1",
		"@@TRANCOUNT":                  "0",
		"CAST(123456789012 AS bigint)": "123456789012",
		"-9223372036854775808":         "-9223372036854775808",
		"CAST('6F9619FF-8B86-D011-B42D-00C04FC964FF' AS uniqueidentifier)": "ff19966f868b11d0b42d00c04fc964ff",
	} {
		got, err := tryRows(t, c, "SELECT "+text)
		if err != nil || got[0][0] != want {
			t.Errorf("%s: got %v, %v, want %s", text, got, err, want)
		}
	}
}

func TestWhatIsNotInTheModelIsAnError(t *testing.T) {
	srv, db := start(t, mssqltest.Options{})
	must(t, db.Exec("CREATE TABLE t (id int NOT NULL PRIMARY KEY, a varchar(3) NULL, r rowversion, i int IDENTITY NOT NULL)"))
	c := open(t, srv)
	for text, want := range map[string]int32{
		"SELEC 1":                                              2812,
		"SELECT 1 FROM":                                        102,
		"SELECT * FROM nothing":                                208,
		"SELECT * FROM sys.nothing":                            208,
		"SELECT * FROM nodb.dbo.t":                             208,
		"SELECT nothing FROM t":                                207,
		"SELECT x.id FROM t":                                   4104,
		"SELECT id FROM t a, t b":                              209,
		"SELECT nofunc(1)":                                     195,
		"SELECT sys.fn_nothing(1)":                             4121,
		"SELECT dbo.f(1)":                                      4121,
		"EXEC sys.sp_nothing":                                  2812,
		"EXEC sp_cdc_enable_db @x = 1":                         0, // it takes none, and says nothing of it
		"SELECT @x":                                            137,
		"USE nothing":                                          911,
		"SET NOTHING ON":                                       195,
		"SET ROWCOUNT 5":                                       50000,
		"SELECT id, count(*) FROM t":                           8120,
		"SELECT RANK() OVER (ORDER BY id) FROM t":              50000,
		"SELECT SERVERPROPERTY('nothing')":                     50000,
		"SELECT DATABASEPROPERTYEX('crm', 'nothing')":          50000,
		"SELECT 1 WHERE 'a' = 1":                               245,
		"SELECT CAST('x' AS int)":                              245,
		"SELECT CAST(300 AS tinyint)":                          8115,
		"SELECT 1 / 0":                                         8134,
		"SELECT 2147483647 + 1":                                8115,
		"INSERT INTO t (id, a) VALUES (1, 'long')":             2628,
		"INSERT INTO t (id, a) VALUES (NULL, 'x')":             515,
		"INSERT INTO t (id, r) VALUES (1, 0x00)":               273,
		"INSERT INTO t (id, i) VALUES (1, 1)":                  544,
		"INSERT INTO t VALUES (1)":                             213,
		"INSERT INTO t (id) VALUES (1), (1)":                   2627,
		"UPDATE t SET i = 5":                                   8102,
		"UPDATE a SET id = 1 FROM t a JOIN t b ON a.id = b.id": 50000,
		"CREATE TABLE t (id int)":                              2714,
		"CREATE TABLE u (id nothing)":                          2715,
		"CREATE TABLE none.u (id int)":                         2760,
		"CREATE TABLE #tmp (id int)":                           50000,
		"CREATE VIEW v AS SELECT 1":                            156,
		"MERGE INTO t USING t ON 1 = 1":                        156,
		"DROP TABLE nothing":                                   3701,
		"BEGIN TRAN CREATE TABLE u (id int)":                   50000,
		"COMMIT":                                               3902,
		"ROLLBACK":                                             3903,
		"SELECT * FROM t WITH (NOTAHINT)":                      102,
		"SELECT * FROM t WITH (READPAST)":                      50000,
		"EXEC sys.sp_cdc_enable_table @source_schema='dbo', @source_name='t'": 201,
		"EXEC sys.sp_cdc_enable_table 'dbo', 't', NULL, @nothing = 1":         8145,
		"SELECT sys.fn_cdc_get_max_lsn() FROM master.cdc.change_tables":       208,
		"SELECT master.sys.fn_cdc_get_max_lsn()":                              208,
		"SELECT 'open":                                                        105,
		"SELECT 1 /* open":                                                    113,
		"SELECT 1 ORDER BY 2":                                                 108,
		"SELECT (SELECT 1, 2)":                                                116,
		"SELECT 1 UNION SELECT 1, 2":                                          205,
		"THROW 50123, 'mine', 1":                                              50123,
		"RAISERROR('mine', 16, 1)":                                            50000,
		"SELECT hierarchyid::Parse('/1/')":                                    50000,
	} {
		_, err := c.ExecContext(t.Context(), text)
		if got := number(err); got != want {
			t.Errorf("%s: %d (%v), want %d", text, got, err, want)
		}
	}
}

func TestBatches(t *testing.T) {
	srv, db := start(t, mssqltest.Options{})
	must(t, db.Exec("CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int NULL)"))
	c := open(t, srv)
	// A violated key ends its statement, not the batch; a batch's text may declare.
	_, err := c.ExecContext(t.Context(), `DECLARE @n int = 3;
		INSERT INTO t VALUES (1, @n), (2, @n + 1)
		INSERT INTO t VALUES (5, 5), (1, 1)
		IF EXISTS (SELECT 1 FROM t WHERE id = 2) BEGIN UPDATE t SET v += 10 WHERE id = 2; END ELSE DELETE FROM t
		BEGIN TRY INSERT INTO t VALUES (1, 1) END TRY BEGIN CATCH INSERT INTO t VALUES (9, ERROR_NUMBER()) END CATCH`)
	equal(t, number(err), 2627)
	equal(t, rows(t, c, "SELECT id, v FROM t"), "[[1 3] [2 14] [9 2627]]")
	equal(t, rows(t, c, "EXEC sp_executesql N'SELECT @a + v FROM t WHERE id = @b', N'@a int, @b int', @a = 100, @b = 1"), "[[103]]")
	equal(t, rows(t, c, "SELECT a.id, b.n FROM t a LEFT JOIN (VALUES (1, 'one'), (9, 'nine')) b(k, n) ON a.id = b.k ORDER BY a.id DESC"), "[[9 nine] [2 NULL] [1 one]]")
	equal(t, rows(t, c, "SELECT v % 2, count(*), sum(v), max(id) FROM t GROUP BY v % 2 HAVING count(*) > 0 ORDER BY 2 DESC"), "[[1 2 2630 9] [0 1 14 2]]")
	equal(t, rows(t, c, "SELECT TOP 2 id FROM t WHERE (id > 1) OR (id = 1 AND v > 2) ORDER BY id"), "[[1] [2]]")
	equal(t, rows(t, c, "SELECT id FROM t ORDER BY id OFFSET 1 ROWS FETCH NEXT 1 ROWS ONLY"), "[[2]]")
	equal(t, rows(t, c, "SELECT 1 AS x UNION ALL SELECT 3 UNION ALL SELECT 2 ORDER BY x DESC"), "[[3] [2] [1]]")
	equal(t, rows(t, c, "SELECT t.id, x.m FROM t CROSS APPLY (SELECT MAX(u.id) AS m FROM t u WHERE u.id < t.id) x WHERE x.m IS NOT NULL"), "[[2 1] [9 2]]")
}

func TestTransactions(t *testing.T) {
	srv, db := start(t, mssqltest.Options{})
	must(t, db.Exec("CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int NULL)"))
	c := open(t, srv)
	tx, err := c.BeginTx(t.Context(), nil)
	must(t, err)
	run(t, tx, "INSERT INTO t VALUES (1, 1)")
	run(t, tx, "SAVE TRAN s")
	run(t, tx, "INSERT INTO t VALUES (2, 2)")
	equal(t, rows(t, tx, "SELECT count(*) FROM t"), "[[2]]")
	equal(t, rows(t, c, "SELECT count(*) FROM t"), "[[0]]") // another connection
	run(t, tx, "ROLLBACK TRAN s")
	must(t, tx.Commit())
	equal(t, rows(t, c, "SELECT id FROM t"), "[[1]]")
	tx, err = c.BeginTx(t.Context(), nil)
	must(t, err)
	run(t, tx, "DELETE FROM t")
	must(t, tx.Rollback())
	equal(t, rows(t, c, "SELECT id FROM t"), "[[1]]")
	tx, err = c.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	must(t, err)
	equal(t, rows(t, tx, "SELECT id FROM t"), "[[1]]")
	run(t, c, "INSERT INTO t VALUES (3, 3)") // an insert may pass
	_, err = c.ExecContext(t.Context(), "SET LOCK_TIMEOUT 20; UPDATE t SET v = 5 WHERE id = 1")
	equal(t, number(err), 1222)
	must(t, tx.Commit())
}

func TestLocks(t *testing.T) {
	srv, db := start(t, mssqltest.Options{})
	must(t, db.Exec("CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int NULL)"), db.Exec("INSERT INTO t VALUES (1, 1), (2, 2)"))
	c := open(t, srv)
	tx, err := c.BeginTx(t.Context(), nil)
	must(t, err)
	equal(t, len(rows(t, tx, "SELECT * FROM t WITH (TABLOCKX)")), 2)
	for _, text := range []string{"SELECT * FROM t", "UPDATE t SET v = 0 WHERE id = 1", "INSERT INTO t VALUES (3, 3)", "ALTER TABLE t ADD w int"} {
		_, err := c.ExecContext(t.Context(), "SET LOCK_TIMEOUT 10; "+text)
		if number(err) != 1222 {
			t.Errorf("%s: %v", text, err)
		}
	}
	equal(t, len(rows(t, c, "SELECT * FROM t WITH (NOLOCK)")), 2)
	// Who waits goes on when the lock is given back, with what is there then.
	done := make(chan error, 1)
	go func() {
		_, err := db.Query("UPDATE t SET v = v + 1 WHERE id = 1")
		done <- err
	}()
	run(t, tx, "UPDATE t SET v = 41 WHERE id = 1")
	must(t, tx.Commit(), <-done)
	equal(t, rows(t, c, "SELECT v FROM t WHERE id = 1"), "[[42]]")

	a, b := db.Begin(), db.Begin()
	must(t, a.Update("t", "v = 1", "id = 1"), b.Update("t", "v = 1", "id = 2"))
	go func() { done <- a.Update("t", "v = 2", "id = 2") }()
	for deadline := time.Now().Add(5 * time.Second); srv.Waiting() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the update does not wait")
		}
	}
	err = b.Update("t", "v = 2", "id = 1")
	var e *mssqltest.Error
	if !errors.As(err, &e) || e.Number != 1205 {
		t.Errorf("no deadlock: %v", err)
	}
	must(t, <-done)
	_, err = a.Commit()
	must(t, err)
}

func TestAttention(t *testing.T) {
	srv, db := start(t, mssqltest.Options{})
	must(t, db.Exec("CREATE TABLE t (id int NOT NULL PRIMARY KEY)"))
	c := open(t, srv)
	c.SetMaxOpenConns(1)
	var before, after int
	must(t, c.QueryRowContext(t.Context(), "SELECT @@SPID").Scan(&before))
	// (A deadline would do too, but go-mssqldb closes the connection after one.)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	began := time.Now()
	_, err := c.ExecContext(ctx, "WAITFOR DELAY '00:00:30'; INSERT INTO t VALUES (1)")
	if err == nil || time.Since(began) > 10*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	must(t, c.QueryRowContext(t.Context(), "SELECT @@SPID").Scan(&after))
	equal(t, after, before) // the connection lives on
	equal(t, rows(t, c, "SELECT count(*) FROM t"), "[[0]]")
	// In the middle of a large result.
	run(t, c, "INSERT INTO t SELECT a.n * 100 + b.n FROM (VALUES (1),(2),(3),(4),(5),(6),(7),(8),(9)) a(n), (VALUES (1),(2),(3),(4),(5),(6),(7),(8),(9)) b(n)")
	ctx, cancel = context.WithCancel(t.Context())
	r, err := c.QueryContext(ctx, "SELECT a.id, b.id, c.id FROM t a, t b, t c")
	must(t, err)
	for range 100 {
		if !r.Next() {
			t.Fatal(r.Err())
		}
	}
	cancel()
	r.Close() //nolint:sqlclosecheck // before the connection is used again
	equal(t, rows(t, c, "SELECT count(*) FROM t"), "[[81]]")
}

func TestKill(t *testing.T) {
	srv, db := start(t, mssqltest.Options{})
	must(t, db.Exec("CREATE TABLE t (id int NOT NULL PRIMARY KEY)"))
	c := open(t, srv)
	conn, err := c.Conn(t.Context())
	must(t, err)
	defer conn.Close()
	run(t, conn, "BEGIN TRAN")
	run(t, conn, "INSERT INTO t VALUES (1)")
	id := srv.Sessions()[0].ID
	equal(t, srv.Kill(id), true)
	if _, err := conn.ExecContext(t.Context(), "SELECT 1"); err == nil {
		t.Error("the connection lives")
	}
	// Its transaction is rolled back and its locks are free.
	run(t, c, "INSERT INTO t VALUES (1)")
}

func TestCatalog(t *testing.T) {
	srv, db := start(t, mssqltest.Options{})
	must(t, db.Exec("CREATE SCHEMA s"), db.Exec(`CREATE TABLE s.t (a int NOT NULL, b nvarchar(5) NOT NULL CONSTRAINT DF_b DEFAULT N'x', c decimal(10,3) NULL DEFAULT ((1.5)), d datetime2(3) NULL DEFAULT getdate(),
		e varchar(max) NULL, f time(3) NULL, CONSTRAINT PK_t PRIMARY KEY (b, a))`), db.Exec("CREATE UNIQUE INDEX UX ON s.t (c)"))
	c := open(t, srv)
	equal(t, rows(t, c, `SELECT c.name, ty.name, c.max_length, c.precision, c.scale, c.is_nullable, dc.definition FROM sys.tables t JOIN sys.schemas s ON s.schema_id = t.schema_id
		JOIN sys.columns c ON c.object_id = t.object_id JOIN sys.types ty ON ty.user_type_id = c.user_type_id LEFT JOIN sys.default_constraints dc ON dc.object_id = c.default_object_id
		WHERE s.name = 's' AND t.name = 't' ORDER BY c.column_id`),
		"[[a int 4 10 0 false NULL] [b nvarchar 10 0 0 false (N'x')] [c decimal 9 10 3 true ((1.5))] [d datetime2 7 23 3 true (getdate())] [e varchar -1 0 0 true NULL] [f time 4 12 3 true NULL]]")
	equal(t, rows(t, c, `SELECT i.name, i.is_primary_key, i.is_unique, c.name, ic.key_ordinal FROM sys.indexes i JOIN sys.index_columns ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id
		JOIN sys.columns c ON c.object_id = ic.object_id AND c.column_id = ic.column_id WHERE i.object_id = OBJECT_ID('s.t') ORDER BY i.index_id, ic.key_ordinal`),
		"[[PK_t true true b 1] [PK_t true true a 2] [UX false true c 1]]")
	equal(t, rows(t, c, "SELECT COLUMN_NAME, DATA_TYPE, CHARACTER_MAXIMUM_LENGTH, NUMERIC_PRECISION, DATETIME_PRECISION FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = 't' ORDER BY ORDINAL_POSITION"),
		"[[a int NULL 10 NULL] [b nvarchar 5 NULL NULL] [c decimal NULL 10 NULL] [d datetime2 NULL NULL 3] [e varchar -1 NULL NULL] [f time NULL NULL 3]]")
	equal(t, rows(t, c, "SELECT name, is_cdc_enabled, snapshot_isolation_state FROM sys.databases WHERE name = 'CRM'"), "[[crm false 0]]")
	run(t, c, "CREATE TABLE d (a bigint DEFAULT 3147483648, b bigint DEFAULT -5, c float DEFAULT 1.2345e3, d bit DEFAULT (1), e varchar(9) DEFAULT ('x'))")
	equal(t, rows(t, c, "SELECT definition FROM sys.default_constraints WHERE parent_object_id = OBJECT_ID('d') ORDER BY parent_column_id"),
		"[[((3147483648.))] [((-5))] [((1.2345000000000000e+003))] [((1))] [('x')]]")
	run(t, c, "EXEC sp_rename 's.t.c', 'cc', 'COLUMN'")
	equal(t, rows(t, c, "SELECT cc FROM s.t"), "[]")
	equal(t, fmt.Sprint(rows(t, c, "SELECT name FROM sys.databases ORDER BY database_id")), "[[master] [tempdb] [model] [msdb] [crm]]")
}

// TestNoUpdateIsLost has several sessions count in one row.
func TestNoUpdateIsLost(t *testing.T) {
	_, db := tracked(t, mssqltest.Options{})
	must(t, db.Exec("CREATE TABLE counter (id int NOT NULL PRIMARY KEY, n int NOT NULL); INSERT INTO counter VALUES (1, 0)"))
	const sessions, times = 8, 300
	var wg sync.WaitGroup
	for range sessions {
		wg.Go(func() {
			for range times {
				if err := db.Exec("UPDATE counter SET n = n + 1"); err != nil {
					t.Errorf("count: %v", err)
				}
			}
		})
	}
	wg.Wait()
	rows, err := db.Query("SELECT n FROM counter")
	must(t, err)
	if rows[0][0] != int64(sessions*times) {
		t.Errorf("the row counts %v, want %d", rows[0][0], sessions*times)
	}
}
