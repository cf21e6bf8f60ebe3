package postgres

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"tributary/capture"
	"tributary/envelope"
	"tributary/internal/fault"
	"tributary/internal/testdb"
)

// debeziumOffset is what Debezium's connector stores with a change.
func debeziumOffset(c *envelope.Change) string {
	o := map[string]any{"lsn": c.Source.LSN, "lsn_proc": c.Source.LastCommit, "txId": c.Source.TxID, "ts_usec": c.Source.TsNs / 1000,
		"messageType": map[envelope.Op]string{envelope.Create: "INSERT", envelope.Update: "UPDATE", envelope.Delete: "DELETE", envelope.Truncate: "TRUNCATE", envelope.Logical: "MESSAGE"}[c.Op]}
	if c.Source.LastCommit != 0 {
		o["lsn_commit"] = c.Source.LastCommit
	}
	if c.Source.TxID == 0 {
		delete(o, "txId")
		o["lsn_proc"], o["lsn_commit"] = c.Source.LSN, c.Source.LSN
	}
	text, _ := json.Marshal(o)
	return string(text)
}

func fromDebezium(t *testing.T, s *Source, text string) (capture.Position, error) {
	t.Helper()
	list, ok, err := capture.ReadDebezium([]byte(text))
	if err != nil || !ok {
		t.Fatalf("%s: %v", text, err)
	}
	return s.FromDebezium(t.Context(), list)
}

// begin starts a source and returns a position in the stream, of the moment.
func begin(t *testing.T, db *testdb.Database, s *Source) (at capture.Position) {
	t.Helper()
	if err := s.Open(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	db.MustExec(t, "INSERT INTO zend VALUES (0)")
	for {
		b, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(b.List) > 0 {
			at = bytes.Clone(b.End)
			break
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return at
}

// untilZend reads what comes after a position up to the row of zend.
func untilZend(t *testing.T, s *Source, at capture.Position) (out []envelope.Change) {
	t.Helper()
	if err := s.Open(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}()
	for {
		b, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range b.List {
			if c.Table != nil && c.Table.ID.Name == "zend" {
				return out
			}
			c.Key, c.After = bytes.Clone(c.Key), bytes.Clone(c.After)
			out = append(out, c)
		}
	}
}

// TestGoesOnFromDebezium goes on from the offset that Debezium would have stored with
// each change of transactions that overlap: with exactly what follows.
func TestGoesOnFromDebezium(t *testing.T) {
	for _, batch := range []int{10_000, 1} {
		t.Run(fmt.Sprintf("batches of %d", batch), func(t *testing.T) {
			db := testdb.PostgreSQL(t)
			db.MustExec(t, "CREATE TABLE a (id int PRIMARY KEY, v text)", "CREATE TABLE b (id int PRIMARY KEY)", "CREATE TABLE zend (id int PRIMARY KEY)")
			s := liveSource(t, db, func(o *Options) {
				o.SnapshotMode, o.BatchSize, o.Skipped, o.IncludeTables = "no_data", batch, []string{"none"}, []string{"public.a", "public.zend"}
				o.PublicationMode = "all_tables" // it has b, which is not captured
			})
			at := begin(t, db, s)
			var open []*pgx.Conn
			for range 2 {
				conn, err := pgx.Connect(t.Context(), db.DSN())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = conn.Close(t.Context()) })
				open = append(open, conn)
			}
			do := func(i int, statements ...string) {
				t.Helper()
				for _, q := range statements {
					if _, err := open[i].Exec(t.Context(), q); err != nil {
						t.Fatal(err)
					}
				}
			}
			do(0, "BEGIN", "INSERT INTO a VALUES (1, 'x'), (2, 'y')", "INSERT INTO b VALUES (1)")
			do(1, "INSERT INTO a VALUES (10, 'alone')", "BEGIN", "INSERT INTO a VALUES (11, 'inner')")
			do(0, "SAVEPOINT s", "INSERT INTO a VALUES (3, 'back')", "ROLLBACK TO s", "UPDATE a SET v = 'z' WHERE id = 1")
			do(1, "SELECT pg_logical_emit_message(false, 'p', 'aside')", "SELECT pg_logical_emit_message(true, 'p', 'within')", "DELETE FROM a WHERE id = 10", "COMMIT")
			do(0, "INSERT INTO a SELECT g, 'many' FROM generate_series(20, 24) g", "COMMIT", "TRUNCATE a", "INSERT INTO a VALUES (30, 'last')", "INSERT INTO zend VALUES (1)")
			all := untilZend(t, s, at)
			if len(all) != 15 {
				t.Fatalf("%d changes: %s", len(all), strings.Join(told(all), "\n"))
			}
			for i := range all {
				offset := debeziumOffset(&all[i])
				pos, err := fromDebezium(t, s, offset)
				if err != nil {
					t.Fatal(err)
				}
				got := untilZend(t, s, pos)
				if want := told(all[i+1:]); strings.Join(told(got), "\n") != strings.Join(want, "\n") {
					t.Errorf("after %s, %s:\n%s\nwant\n%s", told(all[i:i+1]), offset, strings.Join(told(got), "\n"), strings.Join(want, "\n"))
				}
			}
		})
	}
}

// TestGoesOnWithinACopyOfDebezium: the rows of a COPY that have one place are told
// again if the offset is of that place, since it may be of any of them.
func TestGoesOnWithinACopyOfDebezium(t *testing.T) {
	for _, batch := range []int{10_000, 1} {
		db := testdb.PostgreSQL(t)
		db.MustExec(t, "CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE zend (id int PRIMARY KEY)")
		s := liveSource(t, db, func(o *Options) { o.SnapshotMode, o.BatchSize = "no_data", batch })
		at := begin(t, db, s)
		conn, err := pgx.Connect(t.Context(), db.DSN())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(t.Context()) })
		var rows strings.Builder
		for i := range 1000 {
			fmt.Fprintln(&rows, i)
		}
		if _, err := conn.PgConn().CopyFrom(t.Context(), strings.NewReader(rows.String()), "COPY a FROM STDIN"); err != nil {
			t.Fatal(err)
		}
		db.MustExec(t, "INSERT INTO zend VALUES (1)")
		all := untilZend(t, s, at)
		lsn := all[500].Source.LSN
		from := 500
		for from > 0 && all[from-1].Source.LSN == lsn {
			from--
		}
		if from == 500 && all[501].Source.LSN != lsn {
			t.Fatal("the rows of a COPY have places of their own")
		}
		pos, err := fromDebezium(t, s, debeziumOffset(&all[500]))
		if err != nil {
			t.Fatal(err)
		}
		got := untilZend(t, s, pos)
		if want := told(all[from:]); strings.Join(told(got), "\n") != strings.Join(want, "\n") {
			t.Errorf("batches of %d: %d changes, want %d", batch, len(got), len(want))
		}
	}
}

// told describes changes.
func told(list []envelope.Change) (out []string) {
	for i := range list {
		c := &list[i]
		out = append(out, fmt.Sprintf("%s at %x key %x after %x", c.Op, c.Source.LSN, c.Key, c.After))
	}
	return out
}

// TestOffsetsOfDebeziumThatDoNotDo: what cannot be gone on from is refused.
func TestOffsetsOfDebeziumThatDoNotDo(t *testing.T) {
	db := testdb.PostgreSQL(t)
	s := liveSource(t, db, nil)
	for offset, says := range map[string]string{
		`{"last_snapshot_record":false,"lsn":179926184,"txId":933,"ts_usec":1,"snapshot":"INITIAL","snapshot_completed":false}`: "has not finished",
		`{"lsn":1,"snapshot":true,"snapshot_completed":false}`:                                                                  "has not finished",
		`{"ts_sec":1,"file":"bin.000021","pos":4731}`:                                                                           "no lsn",
		`{"lsn":-5}`:                          "lsn is no number",
		`[["x",{"server":"else"}],{"lsn":5}]`: "",
	} {
		list, ok, err := capture.ReadDebezium([]byte(offset))
		if !ok {
			if says != "" {
				t.Errorf("%s is not taken for an offset", offset)
			}
			continue
		}
		if err == nil {
			_, err = s.FromDebezium(t.Context(), list)
		}
		if says != "" && (!fault.NeedsHuman(err) || fault.Hint(err) == "" || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v", offset, err)
		}
	}
	// The last of a snapshot: the log goes on from its place.
	pos, err := fromDebezium(t, s, `{"last_snapshot_record":true,"lsn":179926184,"txId":933,"ts_usec":1,"snapshot":"INITIAL","snapshot_completed":true}`)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := parsePosition(pos); err != nil || uint64(p.LSN) != 179926184 || p.After != nil || p.Snapshot != nil {
		t.Errorf("%s, %v", pos, err)
	}
}
