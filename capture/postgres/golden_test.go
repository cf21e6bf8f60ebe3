package postgres

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
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
		re := newReplay(t, g, cat)
		dec := newDecoder(re.lookup, &g.source.opts.Options, nil)
		seen := false // a row of the publication in the transaction in work
		for _, m := range readMessages(t, g.scenario.Dir) {
			var out envelope.Changes
			var err error
			if reads(m.data) {
				err = dec.rows(m.lsn, m.data, &out)
				seen = seen || m.data[0] == msgTruncate || m.data[0] == msgMessage || dec.relations[binary.BigEndian.Uint32(m.data[1:])].captured != nil
			} else {
				var end bool
				dec.at = m.lsn
				before := dec.lastCommit
				if end, err = dec.control(t.Context(), m.data); end {
					dec.ended(&out)
					if seen {
						re.done++
					} else { // the publication of the recording had more tables
						dec.lastCommit = before
					}
					seen = false
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
		g.kinds = g.tableKinds(t, true)
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
		g.source.opts.SnapshotMode, g.source.opts.Heartbeats = "no_data", 20*time.Millisecond
		if err := g.source.Open(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		defer g.close(t)
		g.live(t, x)
	})
}

// TestGoldenDefects compares snapshot and log with the defects of Debezium that can
// be kept: then there are fewer differences.
func TestGoldenDefects(t *testing.T) {
	eachVariant(t, func(t *testing.T, g golden) {
		if !slices.Contains([]string{"types", "arr-edges", "def-edges", "toast-edges", "toast"}, filepath.Base(g.scenario.Dir)) || isV35(g.variant.Name) || len(g.variant.Config) > 20 {
			return
		}
		o := g.source.opts
		o.Defects, o.Heartbeats = []string{"all"}, 20*time.Millisecond
		s, err := New(o, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		g.source = s
		live := g.comparer(false)
		live.Fill = func(c *envelope.Change, want *capturetest.Record) { fillSource(c, want) }
		if err := g.source.Open(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		defer g.close(t)
		g.snapshot(t, g.comparer(true))
		g.live(t, live)
	})
}

// TestGoldenReleases compares snapshot and log of each of the other releases of
// PostgreSQL: one is read after the other.
func TestGoldenReleases(t *testing.T) {
	for _, release := range testdb.Releases() {
		t.Run(strconv.Itoa(release), func(t *testing.T) {
			t.Parallel()
			open := func(t *testing.T) *testdb.Database { return testdb.PostgreSQLRelease(t, release) }
			eachVariantOn(t, open, func(t *testing.T, g golden) {
				live := g.comparer(false)
				live.Fill = func(c *envelope.Change, want *capturetest.Record) { fillSource(c, want) }
				if live.Transactions != nil {
					live.Transactions.Fill = true
				}
				g.source.opts.Heartbeats = 20 * time.Millisecond
				if err := g.source.Open(t.Context(), nil); err != nil {
					t.Fatal(err)
				}
				defer g.close(t)
				if g.source.opts.readsRows() {
					g.snapshot(t, g.comparer(true))
				}
				g.live(t, live)
			})
		})
	}
}

// snapshot compares changes until the stream begins.
func (g *golden) snapshot(t *testing.T, x *capturetest.Comparer) {
	t.Helper()
	for {
		b, err := g.source.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range b.List {
			if !g.leftOut(c.Table.ID.String()) {
				x.Change(t, c)
			}
		}
		if untilStream(b) {
			break
		}
	}
	x.Done(t)
}

// live runs changes.sql and compares what comes of it.
func (g *golden) live(t *testing.T, x *capturetest.Comparer) {
	t.Helper()
	// Where the recording slept, Debezium came up with the log; so do we.
	for _, part := range regexp.MustCompile(`SELECT pg_sleep\([0-9.]+\);`).Split(g.scenario.SQL(t, "changes.sql"), -1) {
		g.db.MustExec(t, splitSQL(part)...)
		g.follow(t, x)
	}
	x.Done(t)
}

// follow compares changes until the stream has come to the end of the log.
func (g *golden) follow(t *testing.T, x *capturetest.Comparer) {
	t.Helper()
	rows, err := g.db.Query(t.Context(), "SELECT pg_current_wal_insert_lsn()")
	if err != nil {
		t.Fatal(err)
	}
	target, err := pglogrepl.ParseLSN(rows[0][0])
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		b, err := g.source.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range b.List {
			if c.Table == nil || !g.leftOut(c.Table.ID.String()) {
				x.Change(t, c)
			}
		}
		if p, err := parsePosition(b.End); err != nil || p.LSN >= target && p.Partial == nil {
			return
		}
	}
}

type golden struct {
	scenario *capturetest.Scenario
	variant  *capturetest.Variant
	diffs    capturetest.Differences
	kinds    map[string]string // of tables
	// generated are the names of generated columns
	generated map[string]bool
	db        *testdb.Database
	source    *Source
}

// eachVariant runs test for each variant that is not skipped, on a database of
// its own.
func eachVariant(t *testing.T, test func(*testing.T, golden)) {
	eachVariantOn(t, func(t *testing.T) *testdb.Database { return testdb.PostgreSQL(t) }, test)
}

// eachVariantOn is eachVariant with databases of open.
func eachVariantOn(t *testing.T, open func(*testing.T) *testdb.Database, test func(*testing.T, golden)) {
	diffs := capturetest.ReadDifferences(t, "testdata/differences.txt")
	for _, s := range capturetest.Scenarios(t, "postgres") {
		for i := range s.Variants {
			v := &s.Variants[i]
			t.Run(v.Name, func(t *testing.T) {
				if reason := diffs.Skip(v.Name); reason != "" {
					t.Log("not compared:", reason)
					return
				}
				db := open(t)
				db.MustExec(t, s.SQL(t, "setup.sql"))
				g := golden{scenario: &s, variant: v, diffs: diffs, db: db}
				g.source = openGolden(t, v, db)
				g.kinds = g.tableKinds(t, false)
				g.generated = make(map[string]bool)
				for _, name := range names(t, db, "SELECT attname FROM pg_attribute WHERE attgenerated <> ''") {
					g.generated[name] = true
				}
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
		if capturetest.Takes(known, k) && !strings.HasPrefix(k, "database.") {
			text += fmt.Sprintf("%s: %q\n", k, val)
		}
	}
	text += fmt.Sprintf("database.hostname: %s\ndatabase.port: %d\ndatabase.user: %s\ndatabase.password: %s\ndatabase.dbname: %s\n",
		db.Host, db.Port, db.User, db.Password, db.Name)
	var o Options
	if err := config.Parse("connector.json", []byte(text), &o); err != nil {
		t.Fatal(err)
	}
	// Slots are the server's, which other databases of the test use too.
	o.Slot = db.Name + "_" + o.Slot[:min(len(o.Slot), 20)]
	if isV35(v.Name) {
		o.Version = "3.5"
	}
	o.Converting = "warn" // Debezium's default
	if v.Config["publication.autocreate.mode"] == "" {
		o.PublicationMode = "all_tables" // Debezium's default
	}
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

// leftOut reports whether a table's records are not compared: as the file says
// it by name, or by what kind of table it is.
func (g *golden) leftOut(table string) bool {
	return g.diffs.Topic(g.variant.Name, table) || g.kinds[table] != "" && g.diffs.Topic(g.variant.Name, g.kinds[table])
}

// tableKinds tells which tables are captured differently.
func (g *golden) tableKinds(t *testing.T, snapshot bool) map[string]string {
	t.Helper()
	rows, err := g.db.Query(t.Context(), `
		SELECT n.nspname || '.' || c.relname, c.relkind, c.relispartition, EXISTS (SELECT FROM pg_index i JOIN pg_index p ON p.indrelid = i.indrelid
			WHERE i.indrelid = c.oid AND c.relreplident = 'i' AND i.indisreplident AND p.indisprimary AND NOT p.indkey::int2[] <@ i.indkey::int2[]),
			EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid),
			NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) AND EXISTS (SELECT FROM pg_index i
			WHERE i.indrelid = c.oid AND i.indisunique AND (i.indpred IS NOT NULL OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey) AND NOT a.attnotnull))),
			c.relname ~ '^[0-9]', c.relname ~ '[^[:ascii:]]' OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname ~ '[^[:ascii:]]')
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p')`)
	if err != nil {
		t.Fatal(err)
	}
	kinds := make(map[string]string)
	for _, r := range rows {
		out := kindOf{kinds, r[0], g.source.opts.Naming()}
		switch {
		case r[1] == "p", r[2] == "t" && g.source.opts.ViaRoot:
			out.is("partitioned tables")
		case r[3] == "t":
			out.is("identity indexes")
		case r[4] == "t":
			out.is("inherited tables")
		case r[5] == "t":
			out.is("no keys")
		case r[6] == "t":
			out.is("names with a digit first")
		case r[7] == "t" && !snapshot:
			out.is("names beyond ASCII")
		}
	}
	return kinds
}

// kindOf says of what kind a table is, under the names that its records go by:
// its own, and what topics make of it and, in Debezium's stream, of the bytes of
// its name.
type kindOf struct {
	kinds  map[string]string
	table  string
	naming envelope.Naming
}

func (k kindOf) is(kind string) {
	schema, name, _ := strings.Cut(k.table, ".")
	topic := strings.TrimPrefix(k.naming.Topic(envelope.TableID{Schema: schema, Name: name}), k.naming.Prefix+".")
	bytes := regexp.MustCompile(`[^.\-_a-zA-Z0-9]`).ReplaceAllStringFunc(k.table, func(s string) string { return strings.Repeat("_", len(s)) })
	k.kinds[k.table], k.kinds[topic], k.kinds[bytes] = kind, kind, kind
}

func (g *golden) comparer(snapshot bool) *capturetest.Comparer {
	o := &g.source.opts
	version := "3.0.8.Final"
	if isV35(g.variant.Name) {
		version = "3.5.0.Final"
	}
	block := Block(o, version)
	block.Database = g.variant.Config["database.dbname"]
	x := &capturetest.Comparer{Format: envelope.NewFormat(o.Format(block)), Prefix: o.Prefix, Allow: g.allow}
	if o.Transactions && !snapshot {
		x.Transactions = &capturetest.Transactions{Format: x.Format, LeftOut: func(table string) bool { return table == "message" || g.leftOut(table) }}
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
	if snapshot || isV35(g.variant.Name) { // a v35 variant was another run than pgoutput.jsonl
		x.Fill = fillSource
	}
	return x
}

func isV35(variant string) bool { return strings.Contains(variant, "/v35-") }

func isSnapshot(r *capturetest.Record) bool {
	if r.Source != nil {
		return capturetest.Text(r.Source, "snapshot") != "false"
	}
	return capturetest.Text(r.Payload, "__op") == "r" || r.Headers["__op"] == "r"
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
