package mssqltest_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"tributary/internal/mssqltest"
)

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func tracked(t *testing.T, opts mssqltest.Options) (*mssqltest.Server, *mssqltest.Database) {
	t.Helper()
	srv, db := start(t, opts)
	must(t, db.EnableCDC(), db.Exec("CREATE TABLE item (id int NOT NULL PRIMARY KEY, a varchar(10) NULL, b int NULL)"), db.EnableTable("dbo", "item", ""))
	return srv, db
}

func TestTransactionsAreCapturedInOrderOfTheirCommits(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{AgentInterval: -1})
	first, second := db.Begin(), db.Begin()
	must(t, first.Insert("item", 1, "one", nil), second.Insert("item", 2, "two", nil), second.Insert("item", 3, "three", nil), first.Insert("item", 4, "four", nil))
	lsn2, err := second.Commit()
	must(t, err)
	lsn1, err := first.Commit()
	must(t, err)
	if lsn2.Compare(lsn1) >= 0 {
		t.Errorf("the later commit has %s, the earlier %s", lsn1, lsn2)
	}
	third := db.Begin()
	must(t, third.Insert("item", 5, "five", nil))
	third.Rollback()
	c := open(t, srv)
	equal(t, rows(t, c, "SELECT sys.fn_cdc_get_max_lsn()"), "[[NULL]]")
	equal(t, rows(t, c, "SELECT count(*) FROM cdc.dbo_item_CT"), "[[0]]")
	equal(t, db.RunCapture(), lsn1)
	equal(t, rows(t, c, "SELECT id, __$command_id FROM cdc.dbo_item_CT ORDER BY __$start_lsn, __$command_id"), "[[2 1] [3 2] [1 1] [4 2]]")
	equal(t, rows(t, c, "SELECT start_lsn FROM cdc.lsn_time_mapping"), [][]string{{fmt.Sprintf("%x", lsn2[:])}, {fmt.Sprintf("%x", lsn1[:])}})
	// A row's sequence value lies before its commit, and is the only one.
	equal(t, rows(t, c, "SELECT count(*), count(DISTINCT __$seqval) FROM cdc.dbo_item_CT WHERE __$seqval < __$start_lsn"), "[[4 4]]")
}

func TestUpperBounds(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{})
	c := open(t, srv)
	var lsns []mssqltest.LSN
	for i := range 5 {
		tx := db.Begin()
		must(t, tx.Insert("item", i, "x", i))
		l, err := tx.Commit()
		must(t, err)
		lsns = append(lsns, l)
	}
	idle := db.Idle()
	hex := func(l mssqltest.LSN) string { return fmt.Sprintf("[[%x]]", l[:]) }
	equal(t, rows(t, c, "SELECT sys.fn_cdc_get_max_lsn()"), hex(idle))
	equal(t, rows(t, c, "SELECT MAX(start_lsn) FROM [crm].cdc.lsn_time_mapping WHERE tran_id <> 0x00"), hex(lsns[4]))
	equal(t, rows(t, c, "SELECT MAX(start_lsn) FROM (SELECT TOP (@p1) start_lsn FROM [crm].cdc.lsn_time_mapping WHERE tran_id <> 0x00 ORDER BY start_lsn) as next_lsns", 2), hex(lsns[1]))
	equal(t, rows(t, c, "SELECT MAX(start_lsn) FROM (SELECT TOP (@p1 + 1) start_lsn FROM [crm].cdc.lsn_time_mapping WHERE start_lsn >= @p2 AND tran_id <> 0x00 ORDER BY start_lsn) as next_lsns", 2, lsns[1].Bytes()), hex(lsns[3]))
	equal(t, rows(t, c, "SELECT [crm].sys.fn_cdc_increment_lsn(0x000000270000015800FF)"), "[[00000027000001580100]]")
	equal(t, rows(t, c, "SELECT [crm].sys.fn_cdc_get_min_lsn(N'nothing')"), "[[00000000000000000000]]")
	equal(t, rows(t, c, "SELECT sys.fn_cdc_map_lsn_to_time(0x01), CASE WHEN sys.fn_cdc_map_lsn_to_time(@p1) IS NULL THEN 'none' ELSE 'some' END", lsns[0].Bytes()), "[[NULL some]]")
}

func TestValidityInterval(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{})
	c := open(t, srv)
	var lsns []mssqltest.LSN
	for i := range 4 {
		tx := db.Begin()
		must(t, tx.Insert("item", i, "x", i))
		l, err := tx.Commit()
		must(t, err)
		lsns = append(lsns, l)
	}
	changes := func(from, to mssqltest.LSN) (string, int32) {
		r, err := tryRows(t, c, "SELECT id FROM cdc.fn_cdc_get_all_changes_dbo_item(@p1, @p2, N'all')", from.Bytes(), to.Bytes())
		return fmt.Sprint(r), number(err)
	}
	low := db.MinLSN("dbo_item")
	got, n := changes(low, lsns[3])
	equal(t, fmt.Sprintf("%s %d", got, n), "[[0] [1] [2] [3]] 0")
	must(t, db.Cleanup("dbo_item", lsns[2]))
	equal(t, db.MinLSN("dbo_item"), lsns[2])
	if _, n := changes(low, lsns[3]); n != 313 {
		t.Errorf("below the low end: %d", n)
	}
	if _, n := changes(lsns[2], db.Idle()); n != 0 {
		t.Errorf("up to an idle mark: %d", n)
	}
	if _, n := changes(lsns[3], lsns[2]); n != 313 {
		t.Errorf("backwards: %d", n)
	}
	got, _ = changes(lsns[2], lsns[3])
	equal(t, got, "[[2] [3]]")
	equal(t, rows(t, c, "SELECT d.id, CASE WHEN l.tran_end_time IS NULL THEN 0 ELSE 1 END FROM cdc.dbo_item_CT d LEFT JOIN cdc.lsn_time_mapping l ON l.start_lsn = d.__$start_lsn WHERE d.__$start_lsn > @p1 OR d.__$start_lsn = @p1", lsns[2].Bytes()),
		"[[2 1] [3 1]]")
	// The change table itself says nothing of what is gone.
	equal(t, rows(t, c, "SELECT id FROM cdc.dbo_item_CT WHERE __$start_lsn >= @p1", low.Bytes()), "[[2] [3]]")
	equal(t, rows(t, c, "SELECT min(start_lsn) FROM cdc.change_tables"), [][]string{{fmt.Sprintf("%x", lsns[2][:])}})
	_, err := tryRows(t, c, "EXEC sys.sp_cdc_cleanup_change_table @capture_instance='dbo_item', @low_water_mark=0x01")
	equal(t, number(err), 22957)
	must(t, db.DisableTable("dbo_item"))
	if _, n := changes(lsns[2], lsns[3]); n != 208 {
		t.Errorf("after the instance went: %d", n)
	}
}

func TestCaptureInstances(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{})
	c := open(t, srv)
	run(t, c, "INSERT INTO item VALUES (1, 'one', 1)")
	run(t, c, "ALTER TABLE item ADD d nvarchar(10) NULL")
	run(t, c, "INSERT INTO item VALUES (2, 'two', 2, N'new')")
	must(t, db.EnableTable("dbo", "item", "item_2"))
	run(t, c, "INSERT INTO item VALUES (3, 'three', 3, N'seen')")
	err := db.EnableTable("dbo", "item", "item_3")
	if e, ok := errors.AsType[*mssqltest.Error](err); !ok || e.Number != 22962 {
		t.Errorf("a third instance: %v", err)
	}
	equal(t, rows(t, c, "SELECT id, a, b FROM cdc.dbo_item_CT"), "[[1 one 1] [2 two 2] [3 three 3]]")
	equal(t, rows(t, c, "SELECT id, a, b, d FROM cdc.item_2_CT"), "[[3 three 3 seen]]")
	equal(t, rows(t, c, `WITH ordered_change_tables AS (SELECT ROW_NUMBER() OVER (PARTITION BY ct.source_object_id, ct.start_lsn ORDER BY ct.create_date DESC) AS ct_sequence, ct.* FROM [crm].cdc.change_tables AS ct WHERE ct.start_lsn <= @p1)
		SELECT OBJECT_SCHEMA_NAME(source_object_id, DB_ID(@p2)), OBJECT_NAME(source_object_id, DB_ID(@p3)), capture_instance FROM ordered_change_tables WHERE ct_sequence = 1`,
		db.MinLSN("dbo_item").Bytes(), "crm", "crm"), "[[dbo item dbo_item]]")
	equal(t, rows(t, c, "SELECT ct.capture_instance, cc.column_name FROM cdc.captured_columns cc JOIN cdc.change_tables ct ON ct.object_id = cc.object_id WHERE ct.capture_instance = 'item_2' ORDER BY cc.column_ordinal"),
		"[[item_2 id] [item_2 a] [item_2 b] [item_2 d]]")
	run(t, c, "ALTER TABLE item DROP COLUMN b")
	run(t, c, "UPDATE item SET a = 'III' WHERE id = 3")
	// The dropped column reads NULL; it has not changed.
	equal(t, rows(t, c, "SELECT __$operation, __$update_mask, id, a, b, d FROM cdc.item_2_CT WHERE __$operation IN (3, 4)"), "[[3 02 3 three NULL seen] [4 02 3 III NULL seen]]")
}

func TestMask(t *testing.T) {
	const create = "CREATE TABLE wide (c1 int NOT NULL PRIMARY KEY, c2 int NULL, c3 int NULL, c4 int NULL, c5 int NULL, c6 int NULL, c7 int NULL, c8 int NULL, c9 nvarchar(max) NULL, c10 int NULL)"
	for low, want := range map[bool]string{false: "[[2 03ff] [3 0200] [4 0200] [3 0100] [4 0100]]", true: "[[2 ff03] [3 0002] [4 0002] [3 0001] [4 0001]]"} {
		srv, db := start(t, mssqltest.Options{MaskLowFirst: low})
		must(t, db.EnableCDC(), db.Exec(create), db.EnableTable("dbo", "wide", ""), db.Exec("INSERT INTO wide (c1) VALUES (1)"),
			db.Exec("UPDATE wide SET c10 = 1"), db.Exec("UPDATE wide SET c9 = N'x'"))
		c := open(t, srv)
		equal(t, rows(t, c, "SELECT __$operation, __$update_mask FROM cdc.dbo_wide_CT"), want)
		equal(t, rows(t, c, "SELECT sys.fn_cdc_is_bit_set(sys.fn_cdc_get_column_ordinal('dbo_wide', 'c10'), __$update_mask), sys.fn_cdc_is_bit_set(9, __$update_mask) FROM cdc.dbo_wide_CT WHERE __$operation = 4"),
			"[[true false] [false true]]")
	}
}

func TestLargeValues(t *testing.T) {
	srv, db := start(t, mssqltest.Options{})
	must(t, db.EnableCDC(), db.Exec("CREATE TABLE doc (id int NOT NULL PRIMARY KEY, n int NULL, m nvarchar(max) NULL, o text NULL)"), db.EnableTable("dbo", "doc", ""),
		db.Exec("INSERT INTO doc VALUES (1, 1, N'max', 'old')"), db.Exec("UPDATE doc SET n = 2"), db.Exec("UPDATE doc SET m = N'other', o = 'new'"), db.Exec("UPDATE doc SET m = NULL"), db.Exec("DELETE FROM doc"))
	equal(t, rows(t, open(t, srv), "SELECT __$operation, __$update_mask, n, m, o FROM cdc.dbo_doc_CT"),
		"[[2 0f 1 max old] [3 02 1 NULL NULL] [4 02 2 NULL NULL] [3 0c 2 max NULL] [4 0c 2 other new] [3 04 2 other NULL] [4 04 2 NULL NULL] [1 0f 2 NULL NULL]]")
}

func TestAgent(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{AgentInterval: 5 * time.Millisecond})
	c := open(t, srv)
	const alive = "SELECT CASE WHEN dss.[status]=4 THEN 1 ELSE 0 END AS isRunning FROM [crm].sys.dm_server_services dss WHERE dss.[servicename] LIKE N'SQL Server Agent (%'"
	equal(t, rows(t, c, alive), "[[1]]")
	run(t, c, "INSERT INTO item VALUES (1, 'x', 1)")
	for deadline := time.Now().Add(5 * time.Second); db.MaxLSN() == (mssqltest.LSN{}); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the agent does not capture")
		}
	}
	srv.StopAgent()
	equal(t, rows(t, c, alive), "[[0]]")
	before := db.MaxLSN()
	run(t, c, "INSERT INTO item VALUES (2, 'x', 1)")
	for until := time.Now().Add(30 * time.Millisecond); time.Now().Before(until); time.Sleep(time.Millisecond) { // six of its intervals
		equal(t, db.MaxLSN(), before)
	}
	srv.SetAgent(0)
	srv.StartAgent()
	equal(t, rows(t, c, "SELECT count(*) FROM cdc.dbo_item_CT"), "[[2]]")
	equal(t, len(rows(t, c, "EXEC sys.sp_cdc_help_jobs")), 2)
	run(t, c, "EXEC sys.sp_cdc_stop_job @job_type = N'capture'")
	run(t, c, "INSERT INTO item VALUES (3, 'x', 1)")
	equal(t, rows(t, c, "SELECT count(*) FROM cdc.dbo_item_CT"), "[[2]]")
}

func TestReadersOfSnapshotsSeeNoLaterChanges(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{})
	c := open(t, srv)
	run(t, c, "INSERT INTO item VALUES (1, 'x', 1)")
	conn, err := c.Conn(t.Context())
	must(t, err)
	defer conn.Close()
	run(t, conn, "SET TRANSACTION ISOLATION LEVEL SNAPSHOT")
	_, err = tryRows(t, conn, "SELECT id FROM item")
	equal(t, number(err), 3952)
	must(t, db.AllowSnapshot(true))
	run(t, conn, "BEGIN TRAN")
	equal(t, rows(t, conn, "SELECT id FROM item"), "[[1]]")
	run(t, c, "INSERT INTO item VALUES (2, 'y', 1)")
	run(t, c, "UPDATE item SET a = 'changed' WHERE id = 1")
	equal(t, rows(t, conn, "SELECT id, a FROM item"), "[[1 x]]")
	equal(t, rows(t, conn, "SELECT count(*) FROM cdc.dbo_item_CT"), "[[1]]")
	_, err = conn.ExecContext(t.Context(), "UPDATE item SET b = 5 WHERE id = 1")
	equal(t, number(err), 3960)
	equal(t, rows(t, conn, "SELECT @@TRANCOUNT, count(*) FROM item"), "[[0 2]]")
	tx, err := c.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelSnapshot})
	must(t, err)
	equal(t, rows(t, tx, "SELECT count(*) FROM item"), "[[2]]")
	run(t, c, "DELETE FROM item WHERE id = 2")
	equal(t, rows(t, tx, "SELECT count(*) FROM item"), "[[2]]")
	must(t, tx.Commit())
}

func TestCutInTheMiddleOfARow(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{})
	for i := range 20 {
		must(t, db.Exec("INSERT INTO item VALUES (@p1, 'x', 1)", i))
	}
	c := open(t, srv)
	srv.Inject(mssqltest.Fault{Match: "FROM item /* cut */", DropAfter: 100})
	got, err := tryRows(t, c, "SELECT id, a FROM item /* cut */")
	if err == nil || len(got) == 0 || len(got) == 20 {
		t.Errorf("%d rows, %v", len(got), err)
	}
	equal(t, len(rows(t, c, "SELECT id, a FROM item /* cut */")), 20)
	srv.Inject(mssqltest.Fault{Match: "FROM item", Skip: 1, Err: &mssqltest.Error{Number: 1205, State: 51, Class: 13, Text: "deadlock"}})
	equal(t, len(rows(t, c, "SELECT id FROM item")), 20)
	_, err = tryRows(t, c, "SELECT id FROM item")
	equal(t, number(err), 1205)
	equal(t, bytes.Contains([]byte(fmt.Sprint(srv.Statements())), []byte("/* cut */")), true)
}

// TestTableAlteredUnderWriters adds columns and capture instances while rows come:
// no statement writes rows of the columns of before.
func TestTableAlteredUnderWriters(t *testing.T) {
	_, db := start(t, mssqltest.Options{})
	must(t, db.EnableCDC(), db.Exec("CREATE TABLE t (id int NOT NULL PRIMARY KEY)"), db.EnableTable("dbo", "t", "t0"))
	var writers errgroup.Group
	stop := make(chan struct{})
	rows := make([]int, 4)
	for w := range rows {
		writers.Go(func() error {
			for {
				select {
				case <-stop:
					return nil
				default:
				}
				rows[w]++
				id := rows[w]*10 + w
				if err := db.Exec("INSERT INTO t (id) VALUES (@p1); UPDATE t SET id = -id WHERE id = @p1", id); err != nil {
					return err
				}
			}
		})
	}
	for n := 1; n <= 30; n++ {
		time.Sleep(time.Millisecond)
		must(t, db.Exec(fmt.Sprintf("ALTER TABLE t ADD c%d int NOT NULL DEFAULT %d", n, n)), db.EnableTable("dbo", "t", fmt.Sprintf("t%d", n)),
			db.DisableTable(fmt.Sprintf("t%d", n-1)))
	}
	close(stop)
	must(t, writers.Wait())
	got, err := db.Query("SELECT COUNT(*), SUM(c1 + c30) FROM t")
	must(t, err)
	n := int64(rows[0] + rows[1] + rows[2] + rows[3])
	if n == 0 || got[0][0] != n || got[0][1] != 31*n {
		t.Errorf("%d rows with a sum of %d, want %d with %d", got[0][0], got[0][1], n, 31*n)
	}
}
