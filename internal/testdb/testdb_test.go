package testdb_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"tributary/internal/testdb"

	"github.com/google/go-cmp/cmp"
)

func TestSettingsThatCaptureNeeds(t *testing.T) {
	for name, c := range map[string]struct {
		open  func(testing.TB) *testdb.Database
		query string
		want  []string
	}{
		"postgresql": {testdb.PostgreSQL, "SELECT current_setting('wal_level')", []string{"logical"}},
		"mysql": {
			testdb.MySQL, "SELECT @@log_bin, @@binlog_format, @@binlog_row_metadata, @@gtid_mode",
			[]string{"1", "ROW", "FULL", "ON"},
		},
		"mysql without gtid": {
			testdb.MySQLWithoutGTID, "SELECT @@log_bin, @@binlog_format, @@binlog_row_metadata, @@gtid_mode",
			[]string{"1", "ROW", "FULL", "OFF"},
		},
		"mariadb": {testdb.MariaDB, "SELECT @@log_bin, @@binlog_format, @@binlog_row_metadata", []string{"1", "ROW", "FULL"}},
	} {
		t.Run(name, func(t *testing.T) {
			db := c.open(t)
			rows, err := db.Query(t.Context(), c.query)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([][]string{c.want}, rows); diff != "" {
				t.Error(diff)
			}
			db.MustExec(t, "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(9)); INSERT INTO t VALUES (1,'a'),(2,NULL)")
			rows, err = db.Query(t.Context(), "SELECT * FROM t ORDER BY id")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([][]string{{"1", "a"}, {"2", testdb.Null}}, rows); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRestartAfterCrashKeepsRowsAndStopLeavesNothing(t *testing.T) {
	for name, start := range map[string]func(context.Context, testdb.Options) (*testdb.Server, error){
		"postgresql": testdb.StartPostgreSQL, "mysql": testdb.StartMySQL, "mariadb": testdb.StartMariaDB,
	} {
		t.Run(name, func(t *testing.T) {
			s, err := start(t.Context(), testdb.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Stop() })
			if err := s.Exec(t.Context(), "CREATE DATABASE kept"); err != nil {
				t.Fatal(err)
			}
			if err := s.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := s.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := s.Exec(t.Context(), "CREATE DATABASE kept"); err == nil || !strings.Contains(err.Error(), "exist") {
				t.Fatalf("the database of before the crash: got %v, want that it exists", err)
			}
			pid := s.Pid()
			if err := s.Stop(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(s.Dir); !os.IsNotExist(err) {
				t.Errorf("%s is left", s.Dir)
			}
			if err := syscall.Kill(pid, 0); err == nil {
				t.Errorf("process %d is left", pid)
			}
		})
	}
}

func TestLoadAndScan(t *testing.T) {
	for name, open := range map[string]func(testing.TB) *testdb.Database{"postgresql": testdb.PostgreSQL, "mysql": testdb.MySQL} {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			db.MustExec(t, "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(9))")
			n, err := db.Load(t.Context(), db.Name, "t", strings.NewReader("1\ta\n2\t\\N\n3\t\n"))
			if err != nil || n != 3 {
				t.Fatalf("loaded %d: %v", n, err)
			}
			var got []string
			err = db.Scan(t.Context(), db.Name, "SELECT * FROM t ORDER BY id", func(values [][]byte) error {
				got = append(got, fmt.Sprintf("%s %q %v", values[0], values[1], values[1] == nil))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{`1 "a" false`, `2 "" true`, `3 "" false`}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
