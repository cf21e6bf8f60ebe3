package mysql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/replication"

	"tributary/capture"
	"tributary/capture/capturetest"
	"tributary/envelope"
	"tributary/internal/config"
	"tributary/internal/testdb"
)

// golden is one recorded variant under test.
type golden struct {
	maria    bool
	open     func(testing.TB) *testdb.Database // the server to compare with
	other    bool                              // it is of another release than the recorded one
	scenario *capturetest.Scenario
	variant  *capturetest.Variant
	opts     Options
	compare  *comparison
}

// eachScenario runs test for the variants of each recorded scenario that are
// not skipped; run makes the subtest of one.
func eachScenario(t *testing.T, test func(t *testing.T, all []*golden, run func(*golden, func(*testing.T)))) {
	differ := readDifferences(t)
	servers := []struct {
		name, recorded string
		open           func(testing.TB) *testdb.Database
	}{{"", "mysql", testdb.MySQL}, {"", "mariadb", testdb.MariaDB}, {"release 11 as ", "mariadb", testdb.MariaDB11}}
	for _, server := range servers {
		scenarios := capturetest.Scenarios(t, server.recorded)
		if len(scenarios) == 0 {
			t.Errorf("the fixtures hold no recordings of %s", server.recorded)
		}
		for i := range scenarios {
			var all []*golden
			for j := range scenarios[i].Variants {
				g := &golden{maria: server.recorded == "mariadb", open: server.open, other: server.name != "", scenario: &scenarios[i], variant: &scenarios[i].Variants[j]}
				if reason := differ.skip(g.variant.Name); reason != "" {
					t.Run(g.variant.Name, func(t *testing.T) { t.Log("not compared:", reason) })
					continue
				}
				g.opts = goldenOptions(t, g.variant)
				g.compare = newComparison(g, differ)
				all = append(all, g)
			}
			if len(all) > 0 {
				test(t, all, func(g *golden, test func(*testing.T)) { t.Run(server.name+g.variant.Name, test) })
			}
		}
	}
}

// goldenOptions reads a recorded connector.json as a file of ours is read,
// those options that we have.
func goldenOptions(t *testing.T, v *capturetest.Variant) Options {
	t.Helper()
	known := make(map[string]bool)
	for _, o := range config.Options(&Options{}) {
		known[o.Name] = true
	}
	text := "name: golden\ndatabase.hostname: nowhere\ndatabase.user: nobody\n"
	for k, val := range v.Config {
		if capturetest.Takes(known, k) && !strings.HasPrefix(val, "${") {
			text += fmt.Sprintf("%s: %q\n", k, val)
		}
	}
	if strings.Contains(v.Name, "/v35-") {
		text += "debezium.version: \"3.5\"\n"
	}
	var o Options
	if err := config.Parse("connector.json", []byte(text), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// TestGoldenStream feeds the recorded binary logs to the stream and compares
// every record, schema and header with Debezium's, source positions included.
// What the tables look like comes from the recorded schema history.
func TestGoldenStream(t *testing.T) {
	eachScenario(t, func(_ *testing.T, all []*golden, run func(*golden, func(*testing.T))) {
		for _, g := range all {
			run(g, func(t *testing.T) {
				if strings.Contains(g.variant.Name, "/v35-") {
					return // of another run: the binary log is not that of these records
				}
				g.compare.expect(t, false)
				g.feed(t, g.compare)
				g.compare.done(t)
			})
		}
	})
}

// feed runs the recorded binary log through a stream.
func (g *golden) feed(t *testing.T, x *comparison) {
	t.Helper()
	var log struct {
		File           string
		StreamStartPos uint64
	}
	readJSON(t, filepath.Join(g.scenario.Dir, "binlog.json"), &log)
	cfg, err := newSettings(&g.opts)
	if err != nil {
		t.Fatal(err)
	}
	history := filepath.Join(g.variant.Dir, "schemahistory.jsonl")
	if _, err := os.Stat(history); err != nil {
		history = filepath.Join(g.scenario.Dir, "default", "schemahistory.jsonl")
	}
	catalog := readHistory(t, history)
	catalog.server = sync.OnceValue(func() *serverCatalog { return g.catalog(t, cfg) })
	tables := make(map[string]*table)
	for name, def := range catalog.at(log.StreamStartPos) {
		tables[name] = &table{}
		if x.leftOut(def.ID) || !cfg.include(def.ID) {
			tables[name] = nil
		} else if err := tables[name].use(def, cfg); err != nil {
			t.Fatal(err)
		}
	}
	pipe := capture.NewPipe(cfg.Limits())
	at := position{File: log.File, Pos: log.StreamStartPos}
	st := newStream(t.Context(), cfg, catalog, pipe, quiet(), at, gtidSet{}, tables, g.history(catalog, log.StreamStartPos))
	p := replication.NewBinlogParser()
	p.SetRawMode(true)
	if g.maria {
		p.SetFlavor("mariadb")
	}
	go func() {
		err := p.ParseFile(filepath.Join(g.scenario.Dir, "binlog"+filepath.Ext(log.File)), int64(log.StreamStartPos), st.HandleEvent)
		if err == nil {
			err = io.EOF
		}
		pipe.Fail(err)
	}()
	for {
		b, err := pipe.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parsePosition(b.End); err != nil {
			t.Fatal(err)
		}
		for i := range b.List {
			x.change(t, b.List[i])
		}
	}
}

// history is what the recorded one says as of a position.
func (g *golden) history(c *goldenCatalog, pos uint64) *history {
	h := newHistory(g.maria)
	h.server = "utf8mb4" // of the scenario's database too
	for name, def := range c.at(pos) {
		h.defs[name] = def
	}
	return h
}

// catalog opens that of a real server.
func (g *golden) catalog(t *testing.T, cfg *settings) *serverCatalog {
	t.Helper()
	db := g.open(t)
	o := *cfg.Options
	o.Host, o.Port, o.User, o.Password = db.Host, db.Port, db.User, config.Secret(db.Password)
	live := *cfg
	live.Options = &o
	c, err := dial(t.Context(), &live)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.close() })
	s, err := newServerCatalog(t.Context(), c, g.maria)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// database makes the scenario's database, under the name that it had, on a
// real server, and points the options of all variants there.
func database(t *testing.T, all []*golden) *testdb.Database {
	t.Helper()
	db := all[0].open(t)
	name, collate := all[0].opts.IncludeDatabases[0], ""
	if all[0].maria { // the default of the recorded release
		collate = " COLLATE utf8mb4_general_ci"
	}
	if err := db.Server.Exec(t.Context(), "DROP DATABASE IF EXISTS "+name, "CREATE DATABASE "+name+" CHARACTER SET utf8mb4"+collate); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Server.Exec(context.Background(), "DROP DATABASE IF EXISTS "+name) })
	for i, g := range all {
		g.opts.Host, g.opts.Port, g.opts.User, g.opts.Password = db.Host, db.Port, db.User, config.Secret(db.Password)
		g.opts.ServerID = int64(5000 + i)
		g.opts.Heartbeats = time.Second
		g.leaveOut(g.compare)
	}
	all[0].exec(t, db, "setup.sql")
	return db
}

// exec runs a file of the scenario in its database.
func (g *golden) exec(t *testing.T, db *testdb.Database, file string) {
	t.Helper()
	text := "USE " + g.opts.IncludeDatabases[0] + "; "
	if g.maria { // as it was when that was recorded
		text += "SET sql_mode=''; "
	}
	db.MustExec(t, text+g.scenario.SQL(t, file))
}

// leaveOut excludes the tables that cannot be captured.
func (g *golden) leaveOut(x *comparison) {
	for _, t := range x.differ.tables(g.variant.Name) {
		g.opts.ExcludeTables = append(g.opts.ExcludeTables, strings.ReplaceAll(t, ".", `\.`))
	}
}

// TestGoldenSnapshot compares the snapshot of a real server that has run the
// scenario's setup.sql.
func TestGoldenSnapshot(t *testing.T) {
	eachScenario(t, func(t *testing.T, all []*golden, run func(*golden, func(*testing.T))) {
		database(t, all)
		for _, g := range all {
			run(g, func(t *testing.T) {
				x := g.compare
				x.expect(t, true)
				x.fill = true
				s := openSource(t, g.opts, nil)
				for {
					b := next(t, s)
					for i := range b.List {
						x.change(t, b.List[i])
					}
					if p, err := parsePosition(b.End); err != nil {
						t.Fatal(err)
					} else if p.Snapshot == nil {
						break
					}
				}
				x.done(t)
			})
		}
	})
}

// TestGoldenLive runs changes.sql on a real server while it is captured.
func TestGoldenLive(t *testing.T) {
	eachScenario(t, func(t *testing.T, all []*golden, run func(*golden, func(*testing.T))) {
		db := database(t, all)
		sources := make([]*Source, len(all))
		for i, g := range all {
			g.opts.SnapshotMode = "no_data"
			sources[i] = openSource(t, g.opts, nil)
			next(t, sources[i]) // tells where it begins
		}
		all[0].exec(t, db, "changes.sql")
		for i, g := range all {
			run(g, func(t *testing.T) {
				x := g.compare
				x.expect(t, false)
				x.fill = true
				last := g.opts.Skips(envelope.Create) // nothing tells the end
				for done := false; !done && (!last || x.next < len(x.want)); {
					b := next(t, sources[i])
					for i := range b.List {
						c := &b.List[i]
						done = done || c.Op == envelope.End && c.Event.Tables[0].Table.Name == "zend" || !g.opts.Transactions && c.Table != nil && c.Table.ID.Name == "zend"
						x.change(t, b.List[i])
					}
				}
				x.done(t)
			})
		}
		for _, s := range sources {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// openSource opens a Source that the end of the test closes.
func openSource(t testing.TB, o Options, resume capture.Position) *Source {
	t.Helper()
	s, err := New(o, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Open(t.Context(), resume); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// next returns the next batch, or ends the test after half a minute.
func next(t testing.TB, s *Source) *capture.Batch {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	b, err := s.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sourceVersion(name string, maria bool) string {
	switch {
	case strings.Contains(name, "/v35-"):
		return "3.5.0.Final"
	case maria:
		return "3.0.1.Final"
	default:
		return "3.0.8.Final"
	}
}

func newFormat(g *golden) *envelope.Format {
	return envelope.NewFormat(g.opts.Format(Block(&g.opts, sourceVersion(g.variant.Name, g.maria))))
}
