package mssqltest_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tributary/internal/mssqltest"
)

func TestAzureSQLDatabase(t *testing.T) {
	srv, _ := tracked(t, mssqltest.Options{EngineEdition: 5, Edition: "SQL Azure"})
	c := open(t, srv)
	_, err := tryRows(t, c, "SELECT * FROM sys.dm_server_services")
	equal(t, number(err), 208)
	_, err = c.ExecContext(t.Context(), "USE master")
	equal(t, number(err), 40508)
	equal(t, rows(t, c, "EXEC sys.sp_cdc_help_jobs"), "[]")
	run(t, c, "INSERT INTO item VALUES (1, 'x', 1)")
	equal(t, rows(t, c, "SELECT count(*) FROM cdc.dbo_item_CT"), "[[1]]")
}

func TestReadOnlyReplica(t *testing.T) {
	srv, db := start(t, mssqltest.Options{ReadOnlyReplica: true})
	c := open(t, srv)
	_, err := c.ExecContext(t.Context(), "CREATE TABLE t (id int)")
	equal(t, number(err), 3906)
	equal(t, rows(t, c, "SELECT DATABASEPROPERTYEX(DB_NAME(), 'Updateability')"), "[[READ_ONLY]]")
	srv.SetReadOnly(false)
	must(t, db.Exec("CREATE TABLE t (id int)"))
	srv.SetReadOnly(true)
	_, err = c.ExecContext(t.Context(), "INSERT INTO t VALUES (1)")
	equal(t, number(err), 3906)
	equal(t, rows(t, c, "SELECT count(*) FROM t"), "[[0]]")
}

func TestRDS(t *testing.T) {
	srv, _ := start(t, mssqltest.Options{RDS: true})
	c := open(t, srv)
	const there = "SELECT CASE WHEN OBJECT_ID(N'msdb.dbo.rds_cdc_enable_db') IS NULL THEN 0 ELSE 1 END"
	equal(t, rows(t, c, there), "[[1]]")
	run(t, c, "EXEC msdb.dbo.rds_cdc_enable_db 'crm'")
	equal(t, rows(t, c, "SELECT is_cdc_enabled FROM sys.databases WHERE name = 'crm'"), "[[true]]")
	plain, _ := start(t, mssqltest.Options{})
	equal(t, rows(t, open(t, plain), there), "[[0]]")
	_, err := open(t, plain).ExecContext(t.Context(), "EXEC msdb.dbo.rds_cdc_enable_db 'crm'")
	equal(t, number(err), 2812)
}

// TestLowEndNotEstablished has the capture job come to an instance later.
func TestLowEndNotEstablished(t *testing.T) {
	srv, db := start(t, mssqltest.Options{AgentInterval: -1})
	must(t, db.Exec("EXEC sys.sp_cdc_enable_db"), db.Exec("CREATE TABLE item (id int NOT NULL PRIMARY KEY)"), db.EnableTable("dbo", "item", ""))
	c := open(t, srv)
	const query = "SELECT start_lsn, sys.fn_cdc_get_min_lsn(capture_instance) FROM cdc.change_tables"
	equal(t, rows(t, c, query), "[[NULL NULL]]")
	db.RunCapture()
	if got := fmt.Sprint(rows(t, c, query)); strings.Contains(got, "NULL") {
		t.Error(got)
	}
}

// TestFailingCaptureJob has the scans fail: the log stays, and the view of errors
// tells; idle marks come again once they work.
func TestFailingCaptureJob(t *testing.T) {
	var passed atomic.Int64
	began := time.Now()
	srv, db := start(t, mssqltest.Options{AgentInterval: -1, Clock: func() time.Time { return began.Add(time.Duration(passed.Load())) }})
	must(t, db.Exec("EXEC sys.sp_cdc_enable_db"), db.Exec("CREATE TABLE item (id int NOT NULL PRIMARY KEY)"), db.EnableTable("dbo", "item", ""))
	db.RunCapture()
	db.FailCapture(&mssqltest.Error{Number: 22859, Class: 16, State: 1, Text: "Log Scan process failed in processing log records."})
	must(t, db.Exec("INSERT INTO item VALUES (1)"))
	if at := db.RunCapture(); at != (mssqltest.LSN{}) {
		t.Errorf("captured up to %s", at)
	}
	c := open(t, srv)
	equal(t, rows(t, c, "SELECT error_number, error_severity FROM sys.dm_cdc_errors"), "[[22859 16]]")
	equal(t, rows(t, c, "SELECT TOP (1) error_count FROM sys.dm_cdc_log_scan_sessions ORDER BY session_id DESC"), "[[1]]")
	db.FailCapture(nil)
	passed.Add(int64(3 * time.Second))
	db.RunCapture()
	equal(t, rows(t, c, "SELECT TOP (1) error_count, latency FROM sys.dm_cdc_log_scan_sessions ORDER BY session_id DESC"), "[[0 3]]")
	passed.Add(int64(time.Hour))
	srv.SetAgent(time.Millisecond)
	for limit := time.Now().Add(10 * time.Second); fmt.Sprint(rows(t, c, "SELECT count(*) FROM cdc.lsn_time_mapping WHERE tran_id = 0x00")) != "[[1]]"; time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("no idle mark")
		}
	}
}
