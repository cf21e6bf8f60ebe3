package workload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"golang.org/x/sync/errgroup"

	"tributary/internal/broker"
	"tributary/internal/testdb"
	"tributary/internal/topic"
	"tributary/registry"
)

// source is the binary of cdc-source that TestMain builds.
var source string

func TestMain(m *testing.M) {
	if dir := os.Getenv("WORKLOAD_BROKER_DIR"); dir != "" {
		runBroker(dir, os.Getenv("WORKLOAD_BROKER_ADDR"))
		return
	}
	// The driver tells of each connection that is lost: here that is the point.
	if err := mysql.SetLogger(log.New(io.Discard, "", 0)); err != nil {
		panic(err)
	}
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "workload:", err)
		code = 1
	}
	os.Exit(code)
}

// runBroker makes this process, which a test has started, the broker.
func runBroker(dir, addr string) {
	b, err := broker.Start(broker.Options{Dir: dir, Addr: addr})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	<-ctx.Done()
	b.Close()
}

// run builds what is tested, so that no stale binary ever is.
func run(m *testing.M) (int, error) {
	build, err := testdb.BuildDir()
	if err != nil {
		return 0, err
	}
	bin := filepath.Join(build, "workload", "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return 0, err
	}
	source = filepath.Join(bin, "cdc-source")
	cmd := exec.Command("go", "build", "-trimpath", "-o", source, "tributary/cmd/cdc-source")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build cdc-source: %w\n%s", err, out)
	}
	// A file that is new to go test keeps it from repeating an old result: it
	// cannot see that the daemons have changed.
	stamp := filepath.Join(build, "workload", "ran")
	if err := os.WriteFile(stamp, []byte(time.Now().String()), 0o644); err != nil {
		return 0, err
	}
	if _, err := os.ReadFile(stamp); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

func TestPostgreSQL(t *testing.T) { test(t, testdb.KindPostgreSQL) }
func TestMySQL(t *testing.T)      { test(t, testdb.KindMySQL) }
func TestMariaDB(t *testing.T)    { test(t, testdb.KindMariaDB) }

// duration is for how long a database is changed: usual unless told otherwise.
func duration(t *testing.T, usual time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv("WORKLOAD")
	if text == "" {
		return usual
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("WORKLOAD: %v", err)
	}
	return d
}

func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("WORKLOAD_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("WORKLOAD_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("seed %d (WORKLOAD_SEED=%[1]d makes the same choices again)", seed)
	return seed
}

// whole is one run: the rig, its tables, and what was done.
type whole struct {
	*rig

	seed   uint64
	m      *model
	counts *counts
	lang   dialect
	db     string // the database's name
	lasts  time.Duration
	marks  int
	killed bool     // amid the snapshot
	values []string // of rows, to be looked for in logs
}

func test(t *testing.T, kind testdb.Kind) {
	seed := seedOf(t)
	r := newRand(seed, 1)
	server, settings, err := startServer(t.Context(), kind, r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	w := &whole{
		rig: newRig(t, server, r, seed), seed: seed, m: &model{}, lang: dialectOf(kind),
		counts: &counts{done: map[string]int{}, failed: map[string]int{}}, db: database,
		lasts: duration(t, 15*time.Second),
	}
	if w.lang == postgres {
		w.db = "postgres"
	} else if err := server.Exec(t.Context(), "CREATE DATABASE "+database); err != nil {
		t.Fatal(err)
	}
	// With kills amid the snapshot, tables without a key may come twice: they are
	// made when it is over.
	killSnapshot := r.IntN(3) > 0
	t.Logf("%s %s, settings %s, kills amid the snapshot: %t, incremental snapshots: %t", server.Kind, server.Version, settings, killSnapshot, w.signals)
	w.m.streaming.Store(killSnapshot)
	w.killed = killSnapshot
	w.createTables(killSnapshot)
	if err := w.source.start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), w.lasts)
	defer cancel()
	group, gctx := errgroup.WithContext(ctx)
	for i := range 4 {
		worker := w.worker(uint64(10 + i))
		group.Go(func() error { worker.run(gctx); return nil })
	}
	if killSnapshot {
		w.killSnapshot(newRand(seed, 2))
	}
	w.waitStreaming()
	w.m.streaming.Store(true)
	w.m.following.Store(true)
	if killSnapshot {
		w.createUnkeyed()
	}
	a := &alterer{worker: w.worker(20), query: w.queryIn}
	group.Go(func() error { return a.run(gctx, 400*time.Millisecond) })
	c := &chaos{g: w.rig, r: newRand(seed, 3), counts: w.counts, query: server.Query, m: w.m, lang: w.lang}
	c.database = c.killDatabase
	group.Go(func() error { return c.run(gctx, 1500*time.Millisecond) })
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	settle(t.Context(), server, w.counts)
	w.check()
	if t.Failed() {
		t.Logf("what was done to the processes:\n  %s", strings.Join(c.when, "\n  "))
	}
}

func (w *whole) worker(stream uint64) *worker {
	setup := []string{"SET lock_timeout = '2s'"}
	switch w.lang {
	case mySQL:
		setup = []string{"SET lock_wait_timeout = 3", "SET innodb_lock_wait_timeout = 2"}
	case transact:
		setup = []string{"SET LOCK_TIMEOUT 2000"}
	}
	return &worker{
		c: newConn(w.server, w.db, setup...), r: newRand(w.seed, stream), m: w.m, counts: w.counts, pause: 25 * time.Millisecond, stream: stream,
	}
}

// queryIn runs a query in the database, over a connection of its own.
func (w *whole) queryIn(ctx context.Context, q string) ([][]string, error) {
	var rows [][]string
	err := w.server.Scan(ctx, w.db, q, func(values [][]byte) error {
		var row []string
		for _, v := range values {
			row = append(row, string(v))
		}
		rows = append(rows, row)
		return nil
	})
	return rows, err
}

func (w *whole) exec(statements ...string) {
	w.t.Helper()
	if err := w.server.ExecIn(w.t.Context(), w.db, statements...); err != nil {
		w.t.Fatal(err)
	}
}

// createTables makes tables with rows.
func (w *whole) createTables(keyedOnly bool) {
	w.t.Helper()
	w.exec("CREATE TABLE mark (id integer PRIMARY KEY)")
	if w.lang == transact {
		w.exec(track("mark", "mark"))
	}
	r := newRand(w.seed, 4)
	for i := range 4 {
		t := w.m.newTable(r, w.m.unique("t"), true, i == 1)
		w.exec(t.create(w.lang)...)
		w.m.put(t.name, t)
	}
	if !keyedOnly {
		w.createUnkeyed()
	}
	filler := w.worker(30)
	for _, t := range w.m.list() {
		for i := range 40 {
			w.exec(filler.insert(t, i*50, 7))
		}
		w.exec(filler.insertMany(t, 2000))
	}
}

func (w *whole) createUnkeyed() {
	w.t.Helper()
	r := newRand(w.seed, 5)
	for i := range 2 {
		w.m.mu.Lock()
		t := w.m.newTable(r, w.m.unique("u"), false, false)
		w.m.mu.Unlock()
		// The rows that SQL Server had before an update lack values that it left alone.
		t.adds, t.late = i == 1 || w.lang == transact, w.killed
		for {
			err := w.server.ExecIn(w.t.Context(), w.db, t.create(w.lang)...)
			if err == nil {
				break
			}
			w.t.Fatal(err)
		}
		w.m.put(t.name, t)
	}
}

// killSnapshot ends cdc-source a few times so soon that its snapshot is in work.
func (w *whole) killSnapshot(r interface{ IntN(int) int }) {
	w.t.Helper()
	for range 3 {
		time.Sleep(time.Duration(100+r.IntN(500)) * time.Millisecond)
		if err := errors.Join(w.source.kill(), w.source.start()); err != nil {
			w.t.Fatal(err)
		}
		w.counts.did("early kill of cdc-source")
	}
}

// mark makes a change that is told apart from all others.
func (w *whole) mark() int {
	w.t.Helper()
	w.marks++
	w.exec(fmt.Sprintf("INSERT INTO mark VALUES (%d)", w.marks))
	return w.marks
}

// waitStreaming waits until a change comes with the log.
func (w *whole) waitStreaming() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	name := w.lang.topic("mark")
	d := w.decoder()
	for {
		w.mark()
		if err := w.supervise(w.counts); err != nil {
			w.t.Fatal(err)
		}
		found, err := w.has(ctx, d, name, func(e event) bool { return e.op == "c" })
		if ctx.Err() != nil {
			w.t.Fatalf("no change came with the log (%v):\n%s", err, w.source.tail(12))
		}
		if found {
			return
		}
		sleep(ctx, 100*time.Millisecond)
	}
}

// has reports whether the topic of marks has a record of which is holds.
func (w *whole) has(ctx context.Context, d *decoder, name string, is func(event) bool) (bool, error) {
	admin, err := topic.NewAdmin(ctx, w.kafkaOptions(), slog.New(slog.DiscardHandler))
	if err != nil {
		return false, err
	}
	defer admin.Close()
	records, err := admin.ReadCompacted(ctx, name) // that is, all of its records
	if err != nil {
		return false, err
	}
	for _, r := range records {
		e, err := d.event(ctx, r, func(string) []string { return []string{"id"} })
		if err != nil {
			return false, err
		}
		if is(e) {
			return true, nil
		}
	}
	return false, nil
}

func (w *whole) decoder() *decoder {
	client, err := registry.New("http://"+w.web+"/apis/registry/v2", registry.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	return newDecoder(client)
}

// check waits until everything is in Kafka and compares.
func (w *whole) check() {
	w.t.Helper()
	w.t.Logf("done: %s", w.counts)
	start := time.Now()
	ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Minute)
	defer cancel()
	// cdc-source may end by itself while it catches up: as before, it is started again.
	go func() {
		for ctx.Err() == nil {
			if err := w.supervise(w.counts); err != nil {
				w.t.Error(err)
				cancel()
			}
			sleep(ctx, 200*time.Millisecond)
		}
	}()
	// The broker may just be reading its data after its last kill.
	if err := errors.Join(listening(ctx, w.kafka), listening(ctx, w.web)); err != nil {
		w.t.Fatal(err)
	}
	d, last := w.decoder(), fmt.Sprint(w.mark())
	markTopic := w.lang.topic("mark")
	records, err := w.read(ctx, func(r topic.Record) bool {
		if r.Topic != markTopic || r.Value == nil {
			return false
		}
		e, err := d.event(ctx, r, func(string) []string { return []string{"id"} })
		return err == nil && e.key == last
	})
	if err != nil {
		w.t.Fatalf("read what was captured: %v\n%s", err, w.source.tail(12))
	}
	total := 0
	for _, list := range records {
		total += len(list)
	}
	w.t.Logf("%d records in %d topics, all there after %.1f s", total, len(records), time.Since(start).Seconds())
	for _, t := range w.m.list() {
		w.checkTable(ctx, d, t, records)
	}
	w.checkEnough(total)
	w.checkLog()
}

// checkLog looks for values of rows in what cdc-source has logged.
func (w *whole) checkLog() {
	w.t.Helper()
	log, err := os.ReadFile(w.source.log)
	if err != nil {
		w.t.Error(err)
		return
	}
	for _, v := range w.values {
		if bytes.Contains(log, []byte(v)) {
			w.t.Errorf("a value of a row is in the log of cdc-source: %q", v)
			return
		}
	}
	if len(w.values) == 0 {
		w.t.Error("no table has a long text to look for in the log")
	}
}

func (w *whole) checkTable(ctx context.Context, d *decoder, t *table, records map[string][]topic.Record) {
	w.t.Helper()
	f, err := fold(ctx, d, t, w.lang, w.killed && !t.late, w.signals, records)
	if err != nil {
		w.t.Error(err)
		return
	}
	for i, fault := range f.faults {
		if i == 5 {
			w.t.Errorf("%s: and %d more of the kind", t.name, len(f.faults)-5)
			break
		}
		w.t.Errorf("%s: %s", t.name, fault)
	}
	w.values = append(w.values, f.longTexts(50)...)
	n := len(f.rows)
	for _, k := range f.bag {
		n += k
	}
	differences, number, err := f.compare(ctx, w.server, w.db)
	if err != nil {
		w.t.Error(err)
	}
	if number > 0 {
		w.t.Errorf("%s (names %v): %d differences in %d rows:\n  %s", t.name, t.names, number, n, strings.Join(differences, "\n  "))
	} else {
		w.t.Logf("%s: %d rows equal, of %d places in the source, %d rows of the snapshot, key %v", t.name, n, len(f.places), f.snapshot, t.keyColumns())
	}
}

// checkEnough keeps a workload that does next to nothing from passing.
func (w *whole) checkEnough(records int) {
	w.counts.mu.Lock()
	defer w.counts.mu.Unlock()
	seconds := int(w.lasts.Seconds())
	want := map[string]int{"commit": 2 * seconds, "rollback": 1, "rollback to savepoint": 1, "added column": 1, "change of a key": 1, "large insert": 1}
	if w.lang == transact {
		want["dropped capture instance"] = 1
	} else {
		want["two-phase COMMIT"] = 1
	}
	for what, least := range want {
		if n := w.counts.done[what]; n < least {
			w.t.Errorf("%s: %d times, want at least %d", what, n, least)
		}
	}
	if records < 20*seconds {
		w.t.Errorf("%d records only", records)
	}
}
