package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"tributary/internal/testdb"
)

// TestTakesOverFromDebezium goes on where a connector of Debezium stopped, which is
// within a transaction of three rows: the slot, the publication and the offset are
// those that it would leave.
func TestTakesOverFromDebezium(t *testing.T) {
	for name, c := range map[string]struct {
		open   func(testing.TB) *testdb.Database
		file   func(s stack, t *testing.T, db *testdb.Database, more string) string
		offset func(t *testing.T, db *testdb.Database) string // after the second row of three
	}{
		"postgres": {testdb.PostgreSQL, stack.file, postgresOffset},
		"mysql":    {testdb.MySQL, stack.mysqlFile, binlogOffset},
		"mariadb":  {testdb.MariaDB, stack.mysqlFile, binlogOffset},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := c.open(t)
			schema := "public"
			if name != "postgres" {
				schema = db.Name
			}
			s := newStack(t)
			db.MustExec(t, "CREATE TABLE item (id int PRIMARY KEY)", "INSERT INTO item VALUES (100), (101)")
			path := c.file(s, t, db, "include.schema.changes: false\n")
			if name == "postgres" {
				path = c.file(s, t, db, "")
				db.MustExec(t, "CREATE PUBLICATION "+db.Name+" FOR ALL TABLES", "SELECT pg_create_logical_replication_slot('"+db.Name+"', 'pgoutput')")
			}
			offset := c.offset(t, db)
			answer := filepath.Join(t.TempDir(), "offsets.json")
			if err := os.WriteFile(answer, []byte(`{"offsets": [{"partition": {"server": "test"}, "offset": `+offset+`}]}`), 0o600); err != nil {
				t.Fatal(err)
			}
			db.MustExec(t, "INSERT INTO item VALUES (4)")
			var out bytes.Buffer
			if err := offsets(t.Context(), []string{"set", "-c", path, "@" + answer}, slog.New(slog.DiscardHandler), &out); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(out.String(), "the offset of Debezium becomes the position") {
				t.Errorf("set says %s", out.String())
			}
			stop := start(t, path)
			s.read(t, "test."+schema+".item", 2) // 3 and 4, neither 1 and 2 nor a snapshot
			db.MustExec(t, "INSERT INTO item VALUES (5)")
			records := s.read(t, "test."+schema+".item", 3)
			stop()
			for i, r := range records {
				if id := r.Key[len(r.Key)-1]; id != byte(2*(3+i)) { // Avro's form of an int
					t.Errorf("record %d is of row %d", i, id/2)
				}
			}
		})
	}
}

// insertThree is the transaction within which Debezium stops.
func insertThree(t *testing.T, db *testdb.Database) {
	t.Helper()
	db.MustExec(t, "INSERT INTO item VALUES (50)", "START TRANSACTION; INSERT INTO item VALUES (1), (2); INSERT INTO item VALUES (3); COMMIT")
}

func postgresOffset(t *testing.T, db *testdb.Database) string {
	t.Helper()
	insertThree(t, db)
	rows, err := db.Query(t.Context(), `SELECT (lsn - '0/0')::text, xid::text, chr(get_byte(data, 0)) FROM pg_logical_slot_peek_binary_changes('`+db.Name+`', NULL, NULL,
		'proto_version', '1', 'publication_names', '`+db.Name+`')`)
	if err != nil {
		t.Fatal(err)
	}
	commit, inserts := "", 0
	for _, r := range rows {
		switch r[2] {
		case "C":
			commit = r[0]
		case "I":
			if inserts++; inserts == 3 {
				return fmt.Sprintf(`{"transaction_id": null, "lsn_proc": %s, "messageType": "INSERT", "lsn_commit": %[1]s, "lsn": %s, "txId": %s, "ts_usec": 1}`, commit, r[0], r[1])
			}
		}
	}
	t.Fatalf("the slot has %d inserts", inserts)
	return ""
}

func binlogOffset(t *testing.T, db *testdb.Database) string {
	t.Helper()
	insertThree(t, db)
	maria := db.Kind == testdb.KindMariaDB
	query := "SHOW MASTER STATUS"
	if !maria {
		query = "SHOW BINARY LOG STATUS"
	}
	status, err := db.Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	// Databases of other tests are in the same log: the last transaction is found
	// by its rows.
	rows, err := db.Query(t.Context(), "SHOW BINLOG EVENTS IN '"+status[0][0]+"'")
	if err != nil {
		t.Fatal(err)
	}
	begin, gtid, before, found, own := "", "", "", [3]string{}, 0
	for _, r := range rows {
		switch {
		case r[2] == "Gtid" && maria:
			before, gtid = gtid, r[5][strings.LastIndex(r[5], " ")+1:]
			begin, own = r[1], 0
		case r[2] == "Gtid":
			gtid = strings.Split(r[5], "'")[1]
		case r[2] == "Query" && r[5] == "BEGIN":
			begin, own = r[1], 0
		case r[2] == "Table_map" && strings.Contains(r[5], db.Name+".item"):
			if own++; own == 2 {
				found = [3]string{begin, gtid, before}
			}
		}
	}
	if found[0] == "" {
		t.Fatalf("the log of %s has no transaction of two statements", status[0][0])
	}
	set := found[2]
	if !maria {
		uuid, number, _ := strings.Cut(found[1], ":")
		n, _ := strconv.Atoi(number)
		set = fmt.Sprintf("%s:1-%d", uuid, n-1)
	}
	return fmt.Sprintf(`{"ts_sec": 1, "file": %q, "pos": %s, "gtids": %q, "server_id": 1, "event": 2, "row": 2}`, status[0][0], found[0], set)
}
