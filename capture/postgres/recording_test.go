package postgres

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pglogrepl"

	"tributary/capture/changetext"
	"tributary/envelope"
	"tributary/internal/testdb"
)

// recorded is a scenario in a recording of cdc-source conformance: what was executed,
// what the log had of it, and what came of that.
type recorded struct {
	name       string
	statements []string
	log        []message
	stream     []string // the changes that did not come from the snapshot
}

// readRecording reads the scenarios of a recording.
func readRecording(t *testing.T, path string) (out []*recorded) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<24)
	for in.Scan() {
		var e struct {
			Scenario, Query, Event string
			Rows                   [][]string
		}
		if err := json.Unmarshal(in.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		if e.Scenario != "" {
			out = append(out, &recorded{name: e.Scenario})
		}
		if len(out) == 0 {
			continue
		}
		r := out[len(out)-1]
		switch {
		case strings.Contains(e.Query, "pg_logical_slot_get_binary_changes"):
			for _, row := range e.Rows {
				at, err := pglogrepl.ParseLSN(row[0])
				if err != nil {
					t.Fatal(err)
				}
				data, err := hex.DecodeString(row[2])
				if err != nil {
					t.Fatal(err)
				}
				r.log = append(r.log, message{at, data})
			}
		case r.log == nil && e.Query != "" && !strings.Contains(e.Query, "PUBLICATION") && !strings.Contains(e.Query, "pg_"):
			r.statements = append(r.statements, e.Query)
		case e.Event != "" && !strings.HasPrefix(e.Event, "r "):
			r.stream = append(r.stream, e.Event)
		}
	}
	return out
}

// TestRecording decodes the log in a recording of cdc-source conformance: the same
// changes come as came when it was made. The tables are already as they are at the
// end of each scenario, as they are for a reader that is behind.
func TestRecording(t *testing.T) {
	list := readRecording(t, "../conformance/testdata/postgres.jsonl")
	if len(list) < 5 {
		t.Fatalf("%d scenarios only", len(list))
	}
	for _, r := range list {
		if r.name == "rights" { // it makes a role
			continue
		}
		t.Run(r.name, func(t *testing.T) {
			db := testdb.PostgreSQL(t)
			db.MustExec(t, append([]string{"CREATE SCHEMA tributary_conformance"}, r.statements...)...)
			if got := r.decode(t, db); !slices.Equal(got, r.stream) || len(got) == 0 {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(r.stream, "\n"))
			}
		})
	}
}

// decode returns what follows the row of the marker that ends the snapshot.
func (r *recorded) decode(t *testing.T, db *testdb.Database) (out []string) {
	t.Helper()
	s := liveSource(t, db, nil)
	cat := s.newCatalog()
	t.Cleanup(func() { _ = cat.close(context.WithoutCancel(t.Context())) })
	re := &replay{cat: cat, db: db, filter: s.filter}
	find := func(ctx context.Context, _ uint32, id envelope.TableID, columns []relationColumn) (*captured, error) {
		now, err := re.find(ctx, id)
		if err != nil || now == nil {
			return nil, err
		}
		return resolve(ctx, cat, id, re.adopt(columns, now), now)
	}
	dec := newDecoder(find, &s.opts.Options, nil)
	streams := false
	for _, m := range r.log {
		var changes envelope.Changes
		var err error
		if reads(m.data) {
			err = dec.rows(m.lsn, m.data, &changes)
		} else {
			dec.at = m.lsn
			_, err = dec.control(t.Context(), m.data)
		}
		if err != nil {
			t.Fatalf("message at %s: %v", m.lsn, err)
		}
		for i := range changes.List {
			c := &changes.List[i]
			if c.Table == nil {
				continue
			}
			lines := changetext.Lines(c)
			if slices.Contains(lines, "c zend id=0") {
				streams = true
			}
			if streams && c.Table.ID.Name != "zend" {
				out = append(out, lines...)
			}
		}
	}
	return out
}
