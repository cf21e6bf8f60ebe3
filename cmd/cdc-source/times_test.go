package main

import (
	"strings"
	"testing"

	"tributary/internal/testdb"
)

// TestRunWritesTimesAsText has the same texts from the snapshot and from the
// log of each database.
func TestRunWritesTimesAsText(t *testing.T) {
	for name, c := range map[string]struct {
		open  func(testing.TB) *testdb.Database
		file  func(s stack, t *testing.T, db *testdb.Database, more string) string
		table string
	}{
		"postgres": {testdb.PostgreSQL, stack.file, "CREATE TABLE item (at timestamp(3) PRIMARY KEY, micro timestamp, day date DEFAULT '2000-01-01', clock time(0), n int)"},
		"mysql":    {testdb.MySQL, stack.mysqlFile, "CREATE TABLE item (at datetime(3) PRIMARY KEY, micro datetime(6), day date DEFAULT '2000-01-01', clock time(0), n int)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := c.open(t)
			db.MustExec(t, c.table, "INSERT INTO item VALUES ('2019-07-19 12:34:37.123', '2019-07-19 12:34:37.123456', '1969-12-31', '01:02:03', 1)")
			s := newStack(t)
			stop := start(t, c.file(s, t, db, "time.precision.mode: isostring\ntransforms: unwrap\n"))
			schema := "public"
			if name == "mysql" {
				schema = db.Name
			}
			s.read(t, "test."+schema+".item", 1)
			db.MustExec(t, "UPDATE item SET n = 2")
			got := s.read(t, "test."+schema+".item", 2)
			stop()
			first, second := string(got[0].Value), string(got[1].Value)
			for _, want := range []string{"2019-07-19T12:34:37.123Z", "2019-07-19T12:34:37.123456Z", "1969-12-31Z", "01:02:03Z"} {
				if !strings.Contains(first, want) {
					t.Errorf("the snapshot has no %s: %q", want, first)
				}
			}
			if first[:len(first)-1] != second[:len(second)-1] || string(got[0].Key) != string(got[1].Key) || !strings.Contains(string(got[0].Key), ".123Z") {
				t.Errorf("snapshot %q\nlog %q\nkeys %q, %q", first, second, got[0].Key, got[1].Key)
			}
		})
	}
}
