package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"tributary/capture"
	"tributary/capture/snapshot"
	"tributary/envelope"
	"tributary/internal/testdb"
)

// follower takes the changes of a source that signals go to.
type follower struct {
	t  *testing.T
	x  *snapshot.Incremental
	at capture.Position
}

func follow(t *testing.T, s *Source) *follower {
	t.Helper()
	f := &follower{t: t, x: snapshot.NewIncremental(s, snapshot.IncrementalOptions{Log: slog.New(slog.NewTextHandler(t.Output(), nil))})}
	if err := f.x.Open(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.x.Close() })
	return f
}

// until takes changes until one is an insert into zend, and returns each before it
// as its operation, table and place in the snapshot. It calls last behind the last
// row of a snapshot.
func (f *follower) until(last func()) (out []string) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 30*time.Second)
	defer cancel()
	for {
		b, err := f.x.Next(ctx)
		if errors.Is(err, capture.ErrReopen) {
			err = errors.Join(f.x.Close(), f.x.Open(ctx, f.at))
			b = &capture.Batch{}
		}
		if err != nil {
			f.t.Fatal(err)
		}
		for i := range b.List {
			c := &b.List[i]
			if c.Table.ID.Name == "zend" {
				return out
			}
			out = append(out, fmt.Sprintf("%s %s %s", c.Op, c.Table.ID.Name, c.Source.Snapshot))
			if c.Source.Snapshot == envelope.SnapshotLast && last != nil {
				last()
			}
		}
		if len(b.End) > 0 {
			f.at = slices.Clone(b.End)
		}
		if err := f.x.Ack(ctx, f.at); err != nil {
			f.t.Fatal(err)
		}
	}
}

// TestBlockingStatements: statements and conditions say what is read, a table
// without a key is read too, and a statement that the server refuses does not keep
// the log from going on.
func TestBlockingStatements(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE bare (id int)", "CREATE TABLE zend (id int PRIMARY KEY)")
	f := follow(t, liveSource(t, db, nil))
	db.MustExec(t, "INSERT INTO t SELECT generate_series(1, 4)", "INSERT INTO bare VALUES (1), (2)", "INSERT INTO zend VALUES (0)")
	f.until(nil)
	ask := func(filter string) {
		f.x.Signal(snapshot.Signal{Type: snapshot.Execute, Data: snapshot.SignalData{
			Type: "BLOCKING", Collections: []string{"public.t", "public.bare"},
			Conditions: []snapshot.Condition{{Collection: "public.t", Filter: filter}},
		}})
	}
	for i, c := range []struct {
		filter string
		want   []string
	}{
		{"", []string{"r bare first", "r bare last_in_data_collection", "r t first_in_data_collection", "r t true", "r t true", "r t last", "c t false", "d t false"}},
		{"id = 3", []string{"r bare first", "r bare last_in_data_collection", "r t last", "c t false", "d t false"}},
		{"SELECT * FROM t WHERE id < 3 ORDER BY id DESC;", []string{"r bare first", "r bare last_in_data_collection", "r t first_in_data_collection", "r t last", "c t false", "d t false"}},
		{"SELECT 1 / (id - 3) FROM nowhere", []string{"r bare first", "r bare last", "c t false", "d t false"}},
	} {
		ask(c.filter)
		got := f.until(func() {
			db.MustExec(t, fmt.Sprintf("INSERT INTO t VALUES (%d)", 10+i), fmt.Sprintf("DELETE FROM t WHERE id = %d", 10+i), fmt.Sprintf("INSERT INTO zend VALUES (%d)", 1+i))
		})
		if !slices.Equal(got, c.want) {
			t.Errorf("%q: got %q", c.filter, got)
		}
	}
}
