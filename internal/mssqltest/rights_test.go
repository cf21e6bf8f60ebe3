package mssqltest_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tributary/internal/mssqltest"
)

func TestRights(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{Denied: []string{"VIEW SERVER STATE", "VIEW DATABASE STATE", "SELECT cdc.change_tables", "SELECT dbo.item", "role db_owner"}})
	c := open(t, srv)
	for text, want := range map[string]int32{
		"SELECT * FROM sys.dm_server_services":                                  300,
		"SELECT * FROM sys.dm_cdc_log_scan_sessions":                            262,
		"SELECT count(*) FROM [crm].cdc.change_tables":                          229,
		"SELECT * FROM dbo.item":                                                229,
		"SELECT * FROM cdc.captured_columns":                                    0,
		"SELECT * FROM cdc.fn_cdc_get_all_changes_dbo_item(0x01, 0x01, N'all')": 229,
	} {
		_, err := tryRows(t, c, text)
		if number(err) != want {
			t.Errorf("%s: %v, want %d", text, err, want)
		}
	}
	equal(t, rows(t, c, "EXEC sys.sp_cdc_help_change_data_capture"), "[]")
	equal(t, rows(t, c, "SELECT HAS_PERMS_BY_NAME(NULL, NULL, 'VIEW SERVER STATE'), HAS_PERMS_BY_NAME('dbo.item', 'OBJECT', 'SELECT'), HAS_PERMS_BY_NAME('item', 'OBJECT', 'INSERT'), IS_MEMBER('db_owner'), IS_SRVROLEMEMBER('sysadmin')"),
		"[[0 0 1 0 1]]")
	other, _ := start(t, mssqltest.Options{Denied: []string{"sysadmin"}})
	_, err := open(t, other).ExecContext(t.Context(), "EXEC sys.sp_cdc_enable_db")
	equal(t, number(err), 22902)
	must(t, db.Exec("SELECT 1"))
}

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
	srv, _ := start(t, mssqltest.Options{RDS: true, Denied: []string{}})
	c := open(t, srv)
	run(t, c, "EXEC msdb.dbo.rds_cdc_enable_db 'crm'")
	equal(t, rows(t, c, "SELECT is_cdc_enabled FROM sys.databases WHERE name = 'crm'"), "[[true]]")
	plain, _ := start(t, mssqltest.Options{})
	_, err := open(t, plain).ExecContext(t.Context(), "EXEC msdb.dbo.rds_cdc_enable_db 'crm'")
	equal(t, number(err), 2812)
}

// TestGatingRoles has a user with few rights: what it lacks for the changes of an
// instance shows as zeros, and as an error of the function, as documented.
func TestGatingRoles(t *testing.T) {
	srv, db := start(t, mssqltest.Options{})
	must(t, db.Exec("EXEC sys.sp_cdc_enable_db"), db.Exec("CREATE TABLE item (id int NOT NULL PRIMARY KEY, name nvarchar(9) NULL)"),
		db.Exec("EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'item', @role_name = N'readers'"), db.Exec("INSERT INTO item VALUES (1, N'x')"))
	c := open(t, srv)
	const low, changes = "SELECT sys.fn_cdc_get_min_lsn(N'dbo_item')", "SELECT count(*) FROM cdc.fn_cdc_get_all_changes_dbo_item(sys.fn_cdc_get_max_lsn(), sys.fn_cdc_get_max_lsn(), N'all')"
	const zeros = "[[00000000000000000000]]"
	for denied, may := range map[string]bool{
		"": true, "sysadmin": true, "sysadmin,role db_owner": true, "role db_owner,role readers": true,
		"sysadmin,role db_owner,role readers": false, "SELECT dbo.item": false, "SELECT dbo.item.name": false,
	} {
		srv.SetDenied(strings.Split(denied, ",")...)
		if got := fmt.Sprint(rows(t, c, low)); (got != zeros) != may {
			t.Errorf("without %s: the low end is %s", denied, got)
		}
		if _, err := tryRows(t, c, changes); (err == nil) != may || err != nil && number(err) != 229 {
			t.Errorf("without %s: %v", denied, err)
		}
	}
	srv.SetDenied("SELECT dbo.item.name")
	equal(t, rows(t, c, "SELECT HAS_PERMS_BY_NAME('dbo.item', 'OBJECT', 'SELECT', 'name', 'COLUMN'), HAS_PERMS_BY_NAME('dbo.item', 'OBJECT', 'SELECT', 'id', 'COLUMN'), HAS_PERMS_BY_NAME('dbo.item', 'OBJECT', 'SELECT', 'none', 'COLUMN')"), "[[0 1 NULL]]")
	srv.SetDenied("VIEW DEFINITION dbo.item")
	equal(t, rows(t, c, "SELECT count(*) FROM sys.tables WHERE name = 'item'"), "[[0]]")
	equal(t, rows(t, c, "SELECT count(*) FROM cdc.change_tables"), "[[1]]")
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
	srv.SetDenied("sysadmin", "role db_owner")
	_, err := tryRows(t, c, "EXEC sys.sp_cdc_help_jobs")
	equal(t, number(err), 22904)
}
