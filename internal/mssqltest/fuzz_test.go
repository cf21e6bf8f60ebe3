package mssqltest_test

import (
	"context"
	"testing"
	"time"

	"tributary/internal/mssqltest"
)

// FuzzExec looks for statements that make the server panic.
func FuzzExec(f *testing.F) {
	for _, t := range []string{
		"SELECT a.id, b.v, count(*) OVER (ORDER BY 1) FROM t a LEFT JOIN t b ON a.id = b.id + 1 WHERE a.v LIKE '[a-c]%' ORDER BY 2",
		"INSERT INTO t VALUES (5, N'x', 0x00, 1.5, '2024-01-01')", "UPDATE t SET v = v + 'x', d = d * 2 WHERE id IN (SELECT id FROM t)", "DELETE FROM t WHERE id > 1",
		"SELECT CAST(v AS int), CONVERT(varchar(10), b, 1), SUBSTRING(v, -1, 99), DATEADD(year, 9000, at), at, d / 0 FROM t",
		"SELECT * FROM cdc.fn_cdc_get_all_changes_dbo_t(0x00, sys.fn_cdc_get_max_lsn(), N'all')", "SELECT max(v), sum(d), avg(id) FROM t GROUP BY id % 2 HAVING count(*) > 0",
		"SELECT v FROM t UNION SELECT id FROM t ORDER BY 1", "DECLARE @x TABLE (a int); INSERT INTO @x SELECT id FROM t; SELECT * FROM @x, sys.columns",
		"BEGIN TRAN; SAVE TRAN s; DELETE t; ROLLBACK TRAN s; COMMIT", "SELECT * FROM t a CROSS APPLY (SELECT TOP (a.id) * FROM t b WHERE b.id < a.id) x",
		"ALTER TABLE t DROP COLUMN v; ALTER TABLE t ADD c AS id * 2; SELECT * FROM cdc.dbo_t_CT", "EXEC sp_columns_100 't'; EXEC sys.sp_cdc_help_change_data_capture",
	} {
		f.Add(t)
	}
	srv, err := mssqltest.Start(context.Background(), mssqltest.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { srv.Close() })
	f.Fuzz(func(t *testing.T, text string) {
		db, err := srv.CreateDatabase("f")
		if err != nil {
			t.Fatal(err)
		}
		defer srv.DB("master").Exec("DROP DATABASE IF EXISTS f")
		must(t, db.EnableCDC(), db.Exec("CREATE TABLE t (id int NOT NULL PRIMARY KEY, v nvarchar(20) NULL, b varbinary(8) NULL, d decimal(10,2) NULL, at datetime2 NULL)"),
			db.EnableTable("dbo", "t", ""), db.Exec("INSERT INTO t VALUES (1, N'a', 0x01, 1.25, '2024-02-29T01:02:03'), (2, NULL, NULL, NULL, NULL), (3, N'b', 0x0203, -5, '0001-01-01')"))
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		tx := db.Begin()
		tx.WithContext(ctx)
		_ = tx.Exec(text)
		tx.Rollback()
	})
}
