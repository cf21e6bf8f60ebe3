package mssqltest_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"tributary/internal/mssqltest"
)

// benchServer has a table of rows with ten columns, and their changes.
func benchServer(b *testing.B, rows int) (*sql.DB, *mssqltest.Database) {
	b.Helper()
	srv, err := mssqltest.Start(b.Context(), mssqltest.Options{Password: "Secret1!", Databases: []string{"crm"}, AgentInterval: -1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { srv.Close() })
	db := srv.DB("crm")
	if err := db.EnableCDC(); err != nil {
		b.Fatal(err)
	}
	if err := db.Exec("CREATE TABLE t (id int NOT NULL PRIMARY KEY, a nvarchar(40), b nvarchar(40), c varchar(40), d bit, e bit, f decimal(10,2), g datetime2, h bigint, i date)"); err != nil {
		b.Fatal(err)
	}
	if err := db.EnableTable("dbo", "t", ""); err != nil {
		b.Fatal(err)
	}
	for at := 0; at < rows; at += 500 {
		var vals []string
		for i := at; i < at+500; i++ {
			vals = append(vals, fmt.Sprintf("(%d, N'first name %d', N'last name', 'mail@example.org', 1, 0, 12.50, '2024-01-02T03:04:05', %d, '2024-01-02')", i, i, i))
		}
		if err := db.Exec("INSERT INTO t VALUES " + strings.Join(vals, ",")); err != nil {
			b.Fatal(err)
		}
	}
	db.RunCapture()
	c, err := sql.Open("sqlserver", dsn(srv, "sa", "crm"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c, db
}

func drain(b *testing.B, c *sql.DB, text string, args ...any) int {
	b.Helper()
	r, err := c.QueryContext(b.Context(), text, args...)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	n := 0
	for r.Next() {
		n++
	}
	if r.Err() != nil {
		b.Fatal(r.Err())
	}
	return n
}

func BenchmarkScan(b *testing.B) {
	c, _ := benchServer(b, 50000)
	n := 0
	for b.Loop() {
		n += drain(b, c, "SELECT * FROM t ORDER BY id")
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkChunk(b *testing.B) {
	c, _ := benchServer(b, 50000)
	n := 0
	for b.Loop() {
		n += drain(b, c, "SELECT TOP 1000 * FROM t WHERE id > @p1 AND id <= @p2 ORDER BY id", 40000, 50000)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkPoll(b *testing.B) {
	c, db := benchServer(b, 50000)
	n := 0
	for b.Loop() {
		n += drain(b, c, `SELECT TOP 1000 cdc_data.[__$start_lsn], cdc_data.[__$seqval], cdc_data.[__$operation], cdc_data.[__$update_mask], a, b, c, TODATETIMEOFFSET(ltm.tran_begin_time, DATEPART(TZOFFSET, SYSDATETIMEOFFSET()))
			FROM [crm].cdc.[dbo_t_CT] AS cdc_data LEFT JOIN [crm].cdc.lsn_time_mapping ltm ON ltm.start_lsn = cdc_data.[__$start_lsn]
			WHERE ((cdc_data.[__$start_lsn] = @p1 AND cdc_data.[__$seqval] = @p2 AND cdc_data.[__$operation] > @p3) OR (cdc_data.[__$start_lsn] = @p1 AND cdc_data.[__$seqval] > @p2) OR (cdc_data.[__$start_lsn] > @p1)) AND cdc_data.[__$start_lsn] <= @p4
			ORDER BY cdc_data.[__$start_lsn] ASC, cdc_data.[__$command_id] ASC, cdc_data.[__$seqval] ASC, cdc_data.[__$operation] ASC`, db.MinLSN("dbo_t").Bytes(), make([]byte, 10), 0, db.MaxLSN().Bytes())
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkIdlePoll(b *testing.B) {
	c, db := benchServer(b, 50000)
	for b.Loop() {
		drain(b, c, "SELECT * FROM cdc.fn_cdc_get_all_changes_dbo_t(@p1, @p1, N'all update old')", db.MaxLSN().Bytes())
	}
}
