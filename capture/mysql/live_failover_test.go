package mysql

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tributary/internal/testdb"
)

// TestFailover goes on at a replica of the server, whose log is in other files
// and at other places.
func TestFailover(t *testing.T) {
	for name, c := range map[string]struct {
		start     func(context.Context, testdb.Options) (*testdb.Server, error)
		id, log   string
		tag       string
		replicate func(*testdb.Server) string
	}{
		"mysql":           {testdb.StartMySQL, "server-id", "log-replica-updates", "", replicateMySQL},
		"mysql with tags": {testdb.StartMySQL, "server-id", "log-replica-updates", "SET SESSION gtid_next = 'AUTOMATIC:my_tag'; ", replicateMySQL},
		"mariadb": {testdb.StartMariaDB, "server-id", "log-slave-updates", "", func(s *testdb.Server) string {
			return fmt.Sprintf("CHANGE MASTER TO MASTER_HOST='%s', MASTER_PORT=%d, MASTER_USER='%s', MASTER_PASSWORD='%s', MASTER_USE_GTID=slave_pos; START SLAVE",
				s.Host, s.Port, s.User, s.Password)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var servers [2]*testdb.Server
			for i := range servers {
				s, err := c.start(t.Context(), testdb.Options{Settings: map[string]string{c.id: fmt.Sprint(7 + i), c.log: "ON"}})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = s.Stop() })
				servers[i] = s
			}
			must := func(s *testdb.Server, statements ...string) {
				t.Helper()
				if err := s.Exec(t.Context(), statements...); err != nil {
					t.Fatal(err)
				}
			}
			first, second := servers[0], servers[1]
			for range 3 {
				must(first, "FLUSH BINARY LOGS")
			}
			must(second, c.replicate(first))
			must(first, "CREATE DATABASE d", "CREATE TABLE d.a (id INT PRIMARY KEY, n INT)", "INSERT INTO d.a VALUES (1,0),(2,0)")
			o := options(t, &testdb.Database{Server: first, Name: "d"})
			o.BatchSize = 3
			s := openSource(t, o, nil)
			var rec recording
			rec.read(t, s, 2)
			must(first, c.tag+"UPDATE d.a SET n = 1", c.tag+"INSERT INTO d.a VALUES (3,0),(4,0),(5,0),(6,0),(7,0),(8,0)")
			rec.read(t, s, 10)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			deadline := time.Now().Add(20 * time.Second)
			for {
				rows, err := second.Query(t.Context(), "SELECT COUNT(*) FROM d.a")
				if err == nil && rows[0][0] == "8" {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("the replica does not follow: %v %v", rows, err)
				}
				time.Sleep(50 * time.Millisecond)
			}
			must(first, "SHUTDOWN")
			must(second, c.tag+"INSERT INTO d.a VALUES (9,0)", "UPDATE d.a SET n = 2 WHERE id < 3")

			// From the end, and from the middle of the transaction before it.
			o.Port = second.Port
			for _, from := range []int{len(rec.ends) - 1, len(rec.ends) - 2} {
				s = openSource(t, o, rec.ends[from])
				var more recording
				again := rec.after(from)
				more.read(t, s, again+3)
				last := order(&rec.events[9].Change)
				for i, e := range more.events {
					if at := order(&e.Change); at <= last {
						t.Errorf("change %d at %s comes after %s", i, at, last)
					} else {
						last = at
					}
				}
				if got := fmt.Sprintf("%x", more.events[again].Key); got != "12" {
					t.Errorf("goes on with key %s", got)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func replicateMySQL(s *testdb.Server) string {
	return fmt.Sprintf("CHANGE REPLICATION SOURCE TO SOURCE_HOST='%s', SOURCE_PORT=%d, SOURCE_USER='%s', SOURCE_PASSWORD='%s', SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1; START REPLICA",
		s.Host, s.Port, s.User, s.Password)
}

// TestFormOfGTIDs compares the form in which we ask for a log with that in which
// the server writes its own set at the beginning of a file.
func TestFormOfGTIDs(t *testing.T) {
	db := testdb.MySQL(t)
	for _, tag := range []string{"", "a", "a_longer_tag_of_32_characters_12345"[:32]} {
		if tag != "" {
			db.MustExec(t, "SET SESSION gtid_next = 'AUTOMATIC:"+tag+"'; CREATE TABLE t_"+tag+" (id INT PRIMARY KEY); SET SESSION gtid_next = 'AUTOMATIC'")
		}
		db.MustExec(t, "FLUSH BINARY LOGS")
		rows, err := db.Query(t.Context(), "SHOW BINARY LOG STATUS")
		if err != nil {
			t.Fatal(err)
		}
		set, err := parseGTIDs(false, rows[0][4])
		if err != nil {
			t.Fatal(err)
		}
		if got, want := set.String(), strings.ReplaceAll(rows[0][4], "\n", ""); got != want {
			t.Errorf("set %s, want %s", got, want)
		}
		file, err := os.ReadFile(filepath.Join(db.Dir, "data", rows[0][0]))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(file, set.my.encode()) {
			t.Errorf("%s is not in the file as %x", set.String(), set.my.encode())
		}
	}
}
