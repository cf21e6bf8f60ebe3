package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/capture"
	"tributary/internal/testdb"
)

// TestTablesAreFoundWhileRunning: a table that is made while the log is followed is
// captured without a restart: the rows from before it was found, then its changes.
func TestTablesAreFoundWhileRunning(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE a (id int PRIMARY KEY)", "INSERT INTO a VALUES (1)")
	s := liveSource(t, db, func(o *Options) { o.IncludeTables = []string{"public.[ab].*"} })
	s.look = 100 * time.Millisecond
	said := make(chan bool, 1)
	s.log = slog.New(&warned{s.log.Handler(), "cannot be", said})
	open(t, s, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var at capture.Position
	var got []string
	reopened := 0
	until := func(last string) {
		t.Helper()
		for !slices.Contains(got, last) {
			b, err := s.Next(ctx)
			if errors.Is(err, capture.ErrReopen) {
				reopened++
				if err = errors.Join(s.Close(), s.Open(ctx, at)); err == nil {
					continue
				}
			}
			if err != nil {
				t.Fatalf("%v, after %q", err, got)
			}
			for i := range b.List {
				c := &b.List[i]
				got = append(got, fmt.Sprintf("%s %s %x", c.Op, c.Table.ID.Name, c.Key))
			}
			at = slices.Clone(b.End)
			if err := s.Ack(ctx, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	until("r a 02")
	db.MustExec(t, "CREATE TABLE b1 (id int PRIMARY KEY)", "INSERT INTO b1 VALUES (1), (2)", "INSERT INTO a VALUES (2)",
		"CREATE TABLE other (id int PRIMARY KEY)", "INSERT INTO other VALUES (1)")
	until("r b1 04")
	db.MustExec(t, "INSERT INTO b1 VALUES (3)", "INSERT INTO a VALUES (3)")
	until("c a 06")
	slices.Sort(got)
	want := []string{"c a 04", "c a 06", "c b1 06", "r a 02", "r b1 02", "r b1 04"}
	if !slices.Equal(got, want) || reopened != 1 {
		t.Errorf("got %q, opened anew %d times", got, reopened)
	}
	// One that cannot be captured does not stop what can.
	db.MustExec(t, "CREATE TYPE pair AS (x int, y int)", "BEGIN; CREATE TABLE bgood (id int PRIMARY KEY); CREATE TABLE bodd (id pair PRIMARY KEY); COMMIT")
	select {
	case <-said:
	case <-ctx.Done():
		t.Fatal("the table that cannot be captured is not told of")
	}
	db.MustExec(t, "INSERT INTO a VALUES (4)")
	until("c a 08")
	if reopened != 1 {
		t.Errorf("opened anew %d times", reopened)
	}
}

// warned is a log that tells of a message with the text.
type warned struct {
	slog.Handler
	text string
	said chan<- bool
}

func (w *warned) Handle(ctx context.Context, r slog.Record) error {
	if strings.Contains(r.Message, w.text) {
		select {
		case w.said <- true:
		default:
		}
	}
	return w.Handler.Handle(ctx, r)
}

// TestReplicaIdentities: what the log tells of each, in both versions of the
// protocol; a table without one has its inserts captured.
func TestReplicaIdentities(t *testing.T) {
	for _, streaming := range []bool{true, false} {
		t.Run(fmt.Sprintf("protocol 2 %v", streaming), func(t *testing.T) {
			db := testdb.PostgreSQL(t)
			for _, name := range []string{"byfull", "bydefault", "byindex", "bynothing"} {
				db.MustExec(t, fmt.Sprintf("CREATE TABLE %s (id int PRIMARY KEY, u int NOT NULL UNIQUE, v int)", name))
			}
			db.MustExec(t, "ALTER TABLE byfull REPLICA IDENTITY FULL", "ALTER TABLE byindex REPLICA IDENTITY USING INDEX byindex_u_key",
				"ALTER TABLE bynothing REPLICA IDENTITY NOTHING", "CREATE TABLE zend (id int PRIMARY KEY)")
			s := liveSource(t, db, func(o *Options) { o.SnapshotMode, o.Skipped, o.Streaming = "no_data", []string{"none"}, streaming })
			open(t, s, nil)
			for _, name := range []string{"byfull", "bydefault", "byindex", "bynothing"} {
				db.MustExec(t, fmt.Sprintf("INSERT INTO %s VALUES (1, 2, 3)", name))
				err := db.Exec(t.Context(), fmt.Sprintf("UPDATE %s SET v = 4", name), fmt.Sprintf("DELETE FROM %s", name))
				if refused := name == "bynothing"; (err != nil) != refused {
					t.Fatalf("%s: %v", name, err)
				}
				db.MustExec(t, "TRUNCATE "+name)
			}
			db.MustExec(t, "INSERT INTO zend VALUES (1)")
			var got []string
			for done := false; !done; {
				b, err := s.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for i := range b.List {
					c := &b.List[i]
					if done = c.Table.ID.Name == "zend"; !done {
						got = append(got, fmt.Sprintf("%s %s key %x before %x after %x", c.Table.ID.Name, c.Op, []byte(c.Key), []byte(c.Before), []byte(c.After)))
					}
				}
				if err := s.Ack(t.Context(), slices.Clone(b.End)); err != nil {
					t.Fatal(err)
				}
			}
			want := []string{
				"byfull c key 02 before  after 02040206", "byfull u key 02 before 02040206 after 02040208", "byfull d key 02 before 02040208 after ", "byfull t key  before  after ",
				"bydefault c key 02 before  after 02040206", "bydefault u key 02 before  after 02040208", "bydefault d key 02 before 020000 after ", "bydefault t key  before  after ",
				"byindex c key 04 before  after 02040206", "byindex u key 04 before  after 02040208", "byindex d key 04 before 000400 after ", "byindex t key  before  after ",
				"bynothing c key 02 before  after 02040206", "bynothing t key  before  after ",
			}
			if !slices.Equal(got, want) {
				for i := range max(len(got), len(want)) {
					if i >= len(got) || i >= len(want) || got[i] != want[i] {
						t.Errorf("%d: got %q", i, got[min(i, len(got)-1)])
					}
				}
			}
		})
	}
}
