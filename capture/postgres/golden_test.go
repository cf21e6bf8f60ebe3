package postgres

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"

	"tributary/capture"
	"tributary/capture/capturetest"
	"tributary/envelope"
	"tributary/internal/config"
	"tributary/internal/testdb"
)

// TestGoldenStream feeds the recorded pgoutput messages of each scenario to the
// decoder and compares every record, schema and header with Debezium's. The
// catalog is that of a real server that has run the scenario's setup.sql.
func TestGoldenStream(t *testing.T) {
	eachVariant(t, func(t *testing.T, g golden) {
		x := g.comparer(false)
		cat := g.source.newCatalog()
		t.Cleanup(func() { _ = cat.close(context.Background()) })
		dec := newDecoder(byName(cat), &g.source.opts.Options, nil)
		for _, m := range readMessages(t, g.scenario.Dir) {
			var out envelope.Changes
			var err error
			if reads(m.data) {
				err = dec.rows(m.lsn, m.data, &out)
			} else {
				var end bool
				dec.at = m.lsn
				if end, err = dec.control(t.Context(), m.data); end {
					dec.ended(&out)
				}
			}
			if err != nil {
				t.Fatalf("message at %s: %v", m.lsn, err)
			}
			for _, c := range out.List {
				if c.Table == nil || !g.leftOut(c.Table.ID.String()) {
					x.Change(t, c)
				}
			}
		}
		x.Done(t)
	})
}

// TestGoldenSnapshot compares the snapshot of a real server that has run the
// scenario's setup.sql.
func TestGoldenSnapshot(t *testing.T) {
	eachVariant(t, func(t *testing.T, g golden) {
		if g.source.opts.SnapshotMode == "no_data" {
			return
		}
		x := g.comparer(true)
		for _, b := range readAll(t, g.source, nil, untilStream) {
			for _, c := range b.changes {
				if !g.leftOut(c.Table.ID.String()) {
					x.Change(t, c)
				}
			}
		}
		x.Done(t)
	})
}

// TestGoldenLive runs changes.sql against a real server while it is captured.
func TestGoldenLive(t *testing.T) {
	eachVariant(t, func(t *testing.T, g golden) {
		x := g.comparer(false)
		x.Fill = func(c *envelope.Change, want *capturetest.Record) { fillSource(c, want) }
		if x.Transactions != nil {
			x.Transactions.Fill = true
		}
		g.source.opts.SnapshotMode = "no_data"
		if err := g.source.Open(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		defer g.close(t)
		g.db.MustExec(t, g.scenario.SQL(t, "changes.sql"))
		for done := false; !done; {
			b, err := g.source.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range b.List {
				done = done || c.Op == envelope.End && c.Event.Tables[0].Table.Name == "zend" || !g.source.opts.Transactions && c.Table.ID.Name == "zend"
				if c.Table == nil || !g.leftOut(c.Table.ID.String()) {
					x.Change(t, c)
				}
			}
		}
		x.Done(t)
	})
}

type golden struct {
	scenario *capturetest.Scenario
	variant  *capturetest.Variant
	diffs    capturetest.Differences
	db       *testdb.Database
	source   *Source
}

// eachVariant runs test for each variant that is not skipped, on a database of
// its own.
func eachVariant(t *testing.T, test func(*testing.T, golden)) {
	diffs := capturetest.ReadDifferences(t, "testdata/differences.txt")
	for _, s := range capturetest.Scenarios(t, "postgres") {
		for i := range s.Variants {
			v := &s.Variants[i]
			t.Run(v.Name, func(t *testing.T) {
				if reason := diffs.Skip(v.Name); reason != "" {
					t.Log("not compared:", reason)
					return
				}
				db := testdb.PostgreSQL(t)
				db.MustExec(t, s.SQL(t, "setup.sql"))
				g := golden{scenario: &s, variant: v, diffs: diffs, db: db}
				g.source = openGolden(t, v, db)
				test(t, g)
			})
		}
	}
}

// openGolden makes a Source of a recorded connector.json, through the same
// reading of options as a file of ours.
func openGolden(t *testing.T, v *capturetest.Variant, db *testdb.Database) *Source {
	t.Helper()
	known := make(map[string]bool)
	for _, o := range config.Options(&Options{}) {
		known[o.Name] = true
	}
	text := "name: golden\n"
	for k, val := range v.Config {
		if known[k] && !strings.HasPrefix(k, "database.") {
			text += fmt.Sprintf("%s: %q\n", k, val)
		}
	}
	text += fmt.Sprintf("database.hostname: %s\ndatabase.port: %d\ndatabase.user: %s\ndatabase.password: %s\ndatabase.dbname: %s\n",
		db.Server.Host, db.Server.Port, db.Server.User, db.Server.Password, db.Name)
	var o Options
	if err := config.Parse("connector.json", []byte(text), &o); err != nil {
		t.Fatal(err)
	}
	// Slots are the server's, which other databases of the test use too.
	o.Slot = db.Name + "_" + o.Slot[:min(len(o.Slot), 20)]
	s, err := New(o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (g *golden) close(t *testing.T) {
	t.Helper()
	if err := g.source.Close(); err != nil {
		t.Error(err)
	}
}

func (g *golden) leftOut(table string) bool { return g.diffs.Topic(g.variant.Name, table) }

func (g *golden) comparer(snapshot bool) *capturetest.Comparer {
	o := &g.source.opts
	version := "3.0.8.Final"
	if strings.Contains(g.variant.Name, "/v35-") {
		version = "3.5.0.Final"
	}
	block := Block(o, version)
	block.Database = g.variant.Config["database.dbname"]
	x := &capturetest.Comparer{Format: envelope.NewFormat(o.Format(block)), Prefix: o.Prefix}
	if o.Transactions && !snapshot {
		x.Transactions = &capturetest.Transactions{Format: x.Format, LeftOut: g.leftOut}
		x.Transactions.Expect(g.variant)
	}
	for _, r := range g.variant.Records {
		if r.Topic == o.Prefix+".transaction" || strings.HasPrefix(r.Topic, "__debezium-heartbeat") {
			continue
		}
		if isSnapshot(&r) == snapshot && !g.leftOut(strings.TrimPrefix(r.Topic, o.Prefix+".")) {
			x.Want = append(x.Want, r)
		}
	}
	if snapshot || strings.Contains(g.variant.Name, "/v35-") { // a v35 variant was another run than pgoutput.jsonl
		x.Fill = fillSource
	}
	return x
}

func isSnapshot(r *capturetest.Record) bool {
	if r.Source != nil {
		return capturetest.Text(r.Source, "snapshot") != "false"
	}
	return capturetest.Text(r.Payload, "__op") == "r"
}

// fillSource copies from want what differs from run to run.
func fillSource(c *envelope.Change, want *capturetest.Record) {
	m := want.Source
	prefix := ""
	if m == nil {
		m, prefix = want.Payload, "__"
	}
	c.Source.LSN, _ = capturetest.Int(m, prefix+"lsn")
	c.Source.TxID, _ = capturetest.Int(m, prefix+"txId")
	if ns, ok := capturetest.Int(m, "ts_ns"); ok {
		c.Source.TsNs = ns
	} else if ms, ok := capturetest.Int(m, "__source_ts_ms"); ok {
		c.Source.TsNs = ms * 1e6
	}
	var sequence []*string
	c.Source.LastCommit = 0
	if json.Unmarshal([]byte(capturetest.Text(m, "sequence")), &sequence) == nil && len(sequence) == 2 && sequence[0] != nil {
		c.Source.LastCommit, _ = strconv.ParseInt(*sequence[0], 10, 64)
	}
}

type message struct {
	lsn  lsn
	data []byte
}

func readMessages(t testing.TB, dir string) []message {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "pgoutput.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []message
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var line struct{ LSN, Data string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		at, err := pglogrepl.ParseLSN(line.LSN)
		if err != nil {
			t.Fatal(err)
		}
		data, err := hex.DecodeString(line.Data)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, message{at, data})
	}
	return out
}

// byName looks tables up by name: the OIDs of a recording are those of another
// server.
func byName(c *catalog) lookup {
	var tables []*tableInfo
	return func(ctx context.Context, _ uint32, id envelope.TableID, columns []relationColumn) (*captured, error) {
		if tables == nil {
			var err error
			if tables, err = c.tables(ctx); err != nil {
				return nil, err
			}
		}
		i := slices.IndexFunc(tables, func(t *tableInfo) bool { return t.id == id })
		if i < 0 {
			return resolve(ctx, c, id, columns, nil)
		}
		return resolve(ctx, c, id, columns, tables[i])
	}
}

// batch is a copy of what Next returned.
type batch struct {
	changes  []envelope.Change
	end      capture.Position
	snapshot bool
}

func copyBatch(b *capture.Batch) batch {
	out := batch{end: slices.Clone(b.End), snapshot: b.Snapshot}
	for _, c := range b.List {
		c.Key, c.OldKey = slices.Clone(c.Key), slices.Clone(c.OldKey)
		c.Before, c.After = slices.Clone(c.Before), slices.Clone(c.After)
		out.changes = append(out.changes, c)
	}
	return out
}

// readAll opens s at resume and returns batches until done says so.
func readAll(t *testing.T, s *Source, resume capture.Position, done func(*capture.Batch) bool) []batch {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Open(ctx, resume); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	var out []batch
	for {
		b, err := s.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, copyBatch(b))
		if err := s.Ack(ctx, b.End); err != nil {
			t.Fatal(err)
		}
		if done(b) {
			return out
		}
	}
}

// untilStream is true at the end of the snapshot.
func untilStream(b *capture.Batch) bool {
	p, err := parsePosition(b.End)
	return err == nil && p.Snapshot == nil
}
