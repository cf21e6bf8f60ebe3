package mysql

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"tributary/internal/testdb"
)

// TestReplicasThatLogNothing: a replica that does not log what it takes from its source
// is refused, and one that stands still is warned of.
func TestReplicasThatLogNothing(t *testing.T) {
	for name, c := range map[string]struct {
		start         func(context.Context, testdb.Options) (*testdb.Server, error)
		id, log, stop string
		replicate     func(*testdb.Server) string
	}{
		"mysql": {testdb.StartMySQL, "server-id", "log-replica-updates", "STOP REPLICA", replicateMySQL},
		"mariadb": {testdb.StartMariaDB, "server-id", "log-slave-updates", "STOP SLAVE", func(s *testdb.Server) string {
			return fmt.Sprintf("CHANGE MASTER TO MASTER_HOST='%s', MASTER_PORT=%d, MASTER_USER='%s', MASTER_PASSWORD='%s', MASTER_USE_GTID=slave_pos; START SLAVE",
				s.Host, s.Port, s.User, s.Password)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			start := func(id, log string) *testdb.Server {
				s, err := c.start(t.Context(), testdb.Options{Settings: map[string]string{c.id: id, c.log: log}})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = s.Stop() })
				return s
			}
			must := func(s *testdb.Server, statements ...string) {
				t.Helper()
				if err := s.Exec(t.Context(), statements...); err != nil {
					t.Fatal(err)
				}
			}
			check := func(s *testdb.Server) (string, error) {
				source, err := New(options(t, &testdb.Database{Server: s, Name: "d"}), quiet())
				if err != nil {
					t.Fatal(err)
				}
				var plan strings.Builder
				err = source.Check(t.Context(), nil, &plan)
				return plan.String(), err
			}
			primary, off, on := start("7", "ON"), start("8", "OFF"), start("9", "ON")
			for _, s := range []*testdb.Server{off, on} {
				must(s, "CREATE DATABASE IF NOT EXISTS d", "CREATE TABLE d.own (id INT PRIMARY KEY)")
				if text, err := check(s); err != nil || strings.Contains(text, "replica that") {
					t.Errorf("a server that replicates nothing: %v\n%s", err, text)
				}
				must(s, c.replicate(primary))
			}
			_, err := check(off)
			wantHuman(t, err, "does not log the changes of its source", "log_replica_updates")
			deadline := time.Now().Add(15 * time.Second)
			for { // its threads take a moment to begin
				text, err := check(on)
				if err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(text, "stands still") {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("a replica at work: %s", text)
				}
				time.Sleep(100 * time.Millisecond)
			}
			must(on, c.stop)
			if text, err := check(on); err != nil || !strings.Contains(text, "warning      the server is a replica that stands still") {
				t.Errorf("a replica that was stopped: %v\n%s", err, text)
			}
		})
	}
}
