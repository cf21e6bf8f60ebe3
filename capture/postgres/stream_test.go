package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/capture"
	"tributary/envelope"
	"tributary/internal/testdb"
)

// smallMemory has the server stream every transaction of more than a few rows.
func smallMemory(t *testing.T, db *testdb.Database) {
	t.Helper()
	db.MustExec(t, fmt.Sprintf("ALTER DATABASE %s SET logical_decoding_work_mem = '64kB'", db.Name))
}

func untilEnd(b *capture.Batch) bool {
	return slices.ContainsFunc(b.List, func(c envelope.Change) bool { return c.Table != nil && c.Table.ID.Name == "zend" })
}

// value reads a counter or gauge.
func value(t *testing.T, c prometheus.Collector) float64 {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	m := families[0].GetMetric()[0]
	return m.GetCounter().GetValue() + m.GetGauge().GetValue()
}

// story writes what a change is, apart from times.
func story(c *envelope.Change) string {
	if c.Table == nil {
		return fmt.Sprintf("%s %s %d %d", c.Op, c.Event.Message.Content, c.Source.LSN, c.Source.TxID)
	}
	return fmt.Sprintf("%s %s %x %x %x %d %d %d", c.Op, c.Table.ID, c.Key, c.Before, c.After, c.Source.LSN, c.Source.TxID, c.Source.LastCommit)
}

// interleave writes large transactions that overlap each other and small ones:
// with savepoints that are rolled back, with DDL within, and one that is rolled
// back as a whole.
func interleave(t *testing.T, db *testdb.Database) {
	t.Helper()
	fill := func(from, to int) string {
		return fmt.Sprintf("INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(%d, %d) i", from, to)
	}
	db.MustExec(t, "CREATE EXTENSION IF NOT EXISTS dblink")
	link := func(name, q string) string { return fmt.Sprintf("SELECT dblink_exec('%s', $q$%s$q$)", name, q) }
	for _, name := range []string{"a", "b", "c"} {
		db.MustExec(t, fmt.Sprintf("SELECT dblink_connect('%s', 'host=%s port=%d dbname=%s user=%s password=%s')", name, db.Host, db.Port, db.Name, db.User, db.Password), link(name, "BEGIN"))
	}
	db.MustExec(t,
		link("a", fill(1, 2000)), link("b", fill(10001, 12000)), link("c", fill(20001, 22000)),
		"INSERT INTO t VALUES (90001, 'small')",
		link("a", "SAVEPOINT s"), link("a", fill(3001, 5000)), link("a", "ROLLBACK TO s"), link("a", "UPDATE t SET v = 'y' WHERE id <= 1000"),
		link("b", "SAVEPOINT s"), link("b", fill(13001, 15000)), link("b", "RELEASE s"), link("b", "DELETE FROM t WHERE id BETWEEN 10001 AND 10100"),
		link("c", "ROLLBACK"),
		"SELECT * FROM dblink('b', $q$SELECT pg_logical_emit_message(true, 'p', 'within')::text$q$) AS m(at text)",
		link("b", "COMMIT"),
		"INSERT INTO t VALUES (90002, 'small')", "SELECT pg_logical_emit_message(false, 'p', 'between')",
		link("a", "ALTER TABLE u ADD COLUMN more int"), link("a", "INSERT INTO u SELECT i, i FROM generate_series(1, 2000) i"),
		link("a", "COMMIT"),
		"BEGIN; SAVEPOINT s; INSERT INTO t VALUES (90003, 'gone'); ROLLBACK TO s; INSERT INTO t VALUES (90004, 'small'); COMMIT",
		"INSERT INTO zend VALUES (1)",
		"SELECT dblink_disconnect('a'), dblink_disconnect('b'), dblink_disconnect('c')")
}

// TestStreamedTransactions: transactions that are received while they are in
// work come out as those that are received after their commit do.
func TestStreamedTransactions(t *testing.T) {
	db := testdb.PostgreSQL(t)
	smallMemory(t, db)
	db.MustExec(t, "CREATE TABLE t (id int PRIMARY KEY, v text)", "CREATE TABLE u (id int)", "CREATE TABLE zend (id int PRIMARY KEY)")
	pos := streamed(t, liveSource(t, db, nil))
	interleave(t, db)
	streamed := 0.0 // transactions
	read := func(edit func(*Options), limit int) (out []string) {
		at := pos
		for done := false; !done; {
			s := liveSource(t, db, func(o *Options) {
				o.SpoolDir = t.TempDir()
				if edit != nil {
					edit(o)
				}
			})
			if err := s.Open(t.Context(), at); err != nil {
				t.Fatal(err)
			}
			for n := 0; n < limit && !done; n++ { // nothing is acknowledged: a kill
				b, err := s.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for i := range b.List {
					out = append(out, story(&b.List[i]))
				}
				at, done = slices.Clone(b.End), untilEnd(b)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			streamed += value(t, s.metrics.streamed)
		}
		return out
	}
	const always = 1 << 30
	whole := read(func(o *Options) { o.Streaming = false }, always)
	if want := 2000 + 4000 + 1000 + 100 + 2000 + 3 + 1 + 2; len(whole) != want {
		t.Errorf("%d changes, want %d", len(whole), want)
	}
	if streamed != 0 {
		t.Errorf("%v transactions were streamed that were not to be", streamed)
	}
	for name, got := range map[string][]string{
		"streamed":            read(nil, always),
		"streamed and killed": read(func(o *Options) { o.BatchSize = 700 }, 3),
	} {
		if len(got) != len(whole) {
			t.Errorf("%s: %d changes, %d without streaming", name, len(got), len(whole))
		}
		if streamed < 4 { // two each
			t.Errorf("%v transactions were streamed", streamed)
		}
		for i := range min(len(got), len(whole)) {
			if got[i] != whole[i] {
				t.Fatalf("%s: change %d\n got %s\nwant %s", name, i, got[i], whole[i])
			}
		}
	}
}

// TestLargeTransaction: the memory does not grow with the transaction.
func TestLargeTransaction(t *testing.T) {
	db := testdb.PostgreSQL(t)
	smallMemory(t, db)
	db.MustExec(t, "CREATE TABLE t (id int PRIMARY KEY, v text)", "CREATE TABLE zend (id int PRIMARY KEY)")
	s := liveSource(t, db, func(o *Options) { o.SpoolDir, o.BatchBytes = t.TempDir(), 1<<20 })
	pos := streamed(t, s)
	const rows, width = 20_000, 4000
	db.MustExec(t, "ALTER TABLE t ALTER v SET STORAGE EXTERNAL")
	if err := s.Open(t.Context(), pos); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	db.MustExec(t, fmt.Sprintf("INSERT INTO t SELECT i, repeat('x', %d) FROM generate_series(1, %d) i", width, rows), "INSERT INTO zend VALUES (1)")
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var peak uint64
	n := 0
	for done := false; !done; {
		b, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n, done = n+len(b.List), untilEnd(b)
		runtime.GC()
		runtime.ReadMemStats(&now)
		peak = max(peak, now.HeapAlloc-min(before.HeapAlloc, now.HeapAlloc))
	}
	if n != rows+1 {
		t.Errorf("%d changes", n)
	}
	if limit := uint64(16 << 20); peak > limit {
		t.Errorf("a transaction of %d MB took %d MB of memory", rows*width>>20, peak>>20)
	}
}

// TestPluginArgs: what an older server does not know is not
// asked of it.
func TestPluginArgs(t *testing.T) {
	o := &Options{Publication: "p", Streaming: true, StreamParams: "origin=none"}
	o.Skipped = []string{"t"}
	for version, want := range map[int][]string{
		130000: {`publication_names '"p"'`, "proto_version '1'", "origin 'none'"},
		150000: {`publication_names '"p"'`, "proto_version '2'", "streaming 'on'", "messages 'true'", "origin 'none'"},
	} {
		if got := pluginArgs(o, version); !slices.Equal(got, want) {
			t.Errorf("version %d: %q", version, got)
		}
	}
	o.Streaming, o.MessagesOut = false, []string{".*"}
	if got := pluginArgs(o, 150000); !slices.Equal(got, []string{`publication_names '"p"'`, "proto_version '1'", "origin 'none'"}) {
		t.Errorf("without either: %q", got)
	}
}

func TestLogicalMessages(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE zend (id int PRIMARY KEY)")
	s := liveSource(t, db, func(o *Options) { o.MessagesIn = []string{"wanted.*"} })
	pos := streamed(t, s)
	db.MustExec(t, "SELECT pg_logical_emit_message(false, 'wanted1', 'at once')", "SELECT pg_logical_emit_message(false, 'other', 'no')",
		"SELECT pg_logical_emit_message(true, 'wanted2', '\\x00ff'::bytea)", "INSERT INTO zend VALUES (1)")
	var got []string
	for i := range 2 { // resumed after each batch: nothing comes twice
		for done := false; !done; {
			b := readAll(t, s, pos, func(b *capture.Batch) bool { return len(b.List) > 0 })
			last := b[len(b)-1]
			pos = last.end
			for _, c := range last.changes {
				if c.Op == envelope.Logical {
					got = append(got, fmt.Sprintf("%s %q %v", c.Event.Message.Prefix, c.Event.Message.Content, c.Source.TxID != 0))
				}
				done = done || c.Table != nil
			}
		}
		db.MustExec(t, fmt.Sprintf("INSERT INTO zend VALUES (%d)", i+2))
	}
	if want := []string{`wanted1 "at once" false`, `wanted2 "\x00\xff" true`}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// TestOrigins: a change that was replicated from elsewhere says from where.
func TestOrigins(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE t (id int PRIMARY KEY)")
	origin := db.Name + "_origin"
	db.MustExec(t, fmt.Sprintf("SELECT pg_replication_origin_create('%s')", origin))
	t.Cleanup(func() {
		_ = db.Exec(context.Background(), "SELECT pg_replication_origin_session_reset()", fmt.Sprintf("SELECT pg_replication_origin_drop('%s')", origin))
	})
	got := changesAfter(t, db, liveSource(t, db, nil), "INSERT INTO t VALUES (1)",
		fmt.Sprintf("SELECT pg_replication_origin_session_setup('%s')", origin),
		"BEGIN; SELECT pg_replication_origin_xact_setup('0/1234', now()); INSERT INTO t VALUES (2); COMMIT")
	if got[0].Source.Origin != "" || got[1].Source.Origin != origin || got[1].Source.OriginLSN != 0x1234 {
		t.Errorf("%+v, %+v", got[0].Source, got[1].Source)
	}
}

// TestFailuresAreKeptAside: with event.processing.failure.handling.mode, a
// change that cannot be decoded is told and the next one comes.
func TestFailuresAreKeptAside(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE t (id int PRIMARY KEY, n numeric)")
	got := changesAfter(t, db, liveSource(t, db, func(o *Options) { o.Failures = "skip" }),
		"INSERT INTO t VALUES (1, 'NaN')", "INSERT INTO t VALUES (2, 1)")
	if len(got) != 2 || got[0].Op != envelope.Failed || got[0].Event.Failure.Table.Name != "t" || got[0].Event.Failure.Reason == "" || got[1].Op != envelope.Create {
		t.Errorf("got %+v", got)
	}
}

func TestSpool(t *testing.T) {
	s := spools{dir: t.TempDir()}
	start := func(xid uint32) {
		t.Helper()
		if err := s.start(lsn(xid), &reader{rest: binary.BigEndian.AppendUint32(nil, xid<<0)}); err == nil {
			t.Fatal("a stretch is cut short")
		}
		if err := s.start(lsn(xid), &reader{rest: append(binary.BigEndian.AppendUint32(nil, xid), 1)}); err != nil {
			t.Fatal(err)
		}
	}
	add := func(xid uint32, text string) {
		t.Helper()
		if err := s.add(7, append(binary.BigEndian.AppendUint32([]byte{'I'}, xid), text...)); err != nil {
			t.Fatal(err)
		}
	}
	start(1)
	add(1, "one")
	add(2, "sub")
	if err := s.start(1, &reader{rest: []byte{0, 0, 0, 9, 1}}); err == nil {
		t.Error("a stretch begins within another")
	}
	s.stop()
	start(5)
	add(5, "other")
	s.stop()
	start(1)
	add(3, "second sub")
	s.stop()
	abort := func(xid, sub uint32) {
		t.Helper()
		if err := s.abort(&reader{rest: binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, xid), sub)}); err != nil {
			t.Fatal(err)
		}
	}
	abort(1, 2)
	abort(5, 5)
	abort(99, 99) // never heard of
	if s.take(5) != nil {
		t.Error("a transaction that was rolled back is there")
	}
	var got []string
	if err := s.take(1).replay(func(at lsn, data []byte) error { got = append(got, fmt.Sprintf("%d %s", at, data)); return nil }); err != nil {
		t.Fatal(err)
	}
	if want := []string{"7 Ione", "7 Isecond sub"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
}

// FuzzStream gives the stream any messages: it must not panic, and a spooled
// message comes back as it was.
func FuzzStream(f *testing.F) {
	f.Add([]byte{'S', 0, 0, 0, 1, 1}, []byte{'I', 0, 0, 0, 1, 0, 0, 0, 9, 'N'}, []byte{'E'}, append([]byte{'c', 0, 0, 0, 1, 0}, make([]byte, 24)...))
	f.Add([]byte{'M', 0, 0, 0, 0, 0, 0, 0, 0, 1, 'p', 0, 0, 0, 0, 1, 'x'}, []byte{'A', 0, 0, 0, 1, 0, 0, 0, 1}, []byte{'O'}, []byte{})
	f.Fuzz(func(t *testing.T, a, b, c, d []byte) {
		s := &stream{pipe: capture.NewPipe(capture.DefaultLimits()), dec: testDecoder(t), metrics: newMetrics(), recent: new(recent), hurry: new(atomic.Bool), acked: new(atomic.Uint64)}
		s.pos.Slot, s.pos.System = "s", "1"
		s.sentAt, s.interval = time.Now(), time.Hour
		defer func() { _ = s.spools.close() }()
		s.spools.dir = t.TempDir()
		begin, relation, _ := saleMessages(t)
		for _, m := range [][]byte{begin, relation, a, b, c, d} {
			if err := s.data(t.Context(), 1, m); err != nil {
				return
			}
		}
	})
}
