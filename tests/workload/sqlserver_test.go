package workload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"tributary/internal/mssqltest"
	"tributary/internal/testdb"
)

// TestSQLServer changes the model of SQL Server, as no server can be had: what it
// shows is that capture loses and repeats nothing on what the model does.
func TestSQLServer(t *testing.T) {
	seed := seedOf(t)
	r := newRand(seed, 1)
	o := mssqltest.Options{
		Password: "secret", Databases: []string{database}, CompactRows: r.IntN(2) == 0,
		AgentInterval: []time.Duration{0, 30 * time.Millisecond, 300 * time.Millisecond}[r.IntN(3)],
	}
	srv, err := mssqltest.Start(context.WithoutCancel(t.Context()), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	server, err := testdb.ConnectSQLServer(srv.Addr(), o.Password)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	db := srv.DB(database)
	if err := errors.Join(db.AllowSnapshot(true), db.EnableCDC()); err != nil {
		t.Fatal(err)
	}
	w := &whole{
		// What is committed and not captured when the snapshot begins is told once
		// more: killed.
		rig: newRig(t, server, r, seed), seed: seed, m: &model{}, lang: transact, db: database, killed: true, lasts: duration(t, 7*time.Second),
		counts: &counts{done: map[string]int{}, failed: map[string]int{}},
	}
	t.Logf("agent each %s, incremental snapshots: %t", o.AgentInterval, w.signals)
	w.createTables(true)
	if err := w.source.start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	group, gctx := errgroup.WithContext(ctx)
	for i := range 4 {
		worker := w.worker(uint64(10 + i))
		group.Go(func() error { worker.run(gctx); return nil })
	}
	w.killSnapshot(newRand(seed, 2))
	w.waitStreaming()
	w.createUnkeyed()
	time.AfterFunc(w.lasts, cancel)
	i := &instances{w: w, r: newRand(seed, 20), db: db, now: map[string]string{}}
	group.Go(func() error { return i.run(gctx, 300*time.Millisecond) })
	c := &chaos{g: w.rig, r: newRand(seed, 3), counts: w.counts, m: w.m, lang: transact}
	c.database = func(ctx context.Context, away time.Duration) error { c.disturb(ctx, srv, away); return nil }
	group.Go(func() error { return c.run(gctx, time.Second) })
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	srv.SetAgent(0)
	w.check()
	if t.Failed() {
		t.Logf("what was done to the processes:\n  %s", strings.Join(c.when, "\n  "))
	}
}

// disturb cuts all connections off, or has the agent pause or work at another pace.
func (c *chaos) disturb(ctx context.Context, srv *mssqltest.Server, away time.Duration) {
	switch c.r.IntN(3) {
	case 0:
		srv.KillAll()
		c.did("cut connections")
	case 1:
		srv.StopAgent()
		sleep(ctx, 4*away)
		srv.StartAgent()
		c.did("pause of the agent")
	default:
		srv.SetAgent([]time.Duration{0, 20 * time.Millisecond, 400 * time.Millisecond}[c.r.IntN(3)])
		c.did("other pace of the agent")
	}
}

// track is the statement by which SQL Server tracks a table's changes in a capture
// instance of that name.
func track(table, instance string) string {
	return fmt.Sprintf("EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'%s', @role_name = NULL, @capture_instance = N'%s', @supports_net_changes = 0",
		table, instance)
}

// instances changes tables as a database administrator has to where changes are
// tracked: ALTER TABLE, a further capture instance, and once the connector is behind
// its beginning the old one is dropped.
type instances struct {
	w  *whole
	r  *rand.Rand
	db *mssqltest.Database

	low  mssqltest.LSN     // what is before it is not read any more
	made int               // further instances so far
	now  map[string]string // the instance of each table that has not its first
}

func (i *instances) run(ctx context.Context, every time.Duration) error {
	for ctx.Err() == nil {
		sleep(ctx, time.Duration(i.r.Int64N(int64(2*every))))
		if err := i.step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (i *instances) step(ctx context.Context) error {
	t := i.w.m.pick(i.r)
	n := i.r.IntN(10)
	if i.made == 0 {
		n = 2 // one is to be there in the shortest run
	}
	switch {
	case n == 9 && len(i.w.m.list()) < 9:
		return i.createTable()
	case n >= 7:
		return i.retype(t)
	}
	old := cmp.Or(i.now[t.name], t.name)
	change := i.addColumn
	if n < 2 && len(t.cols) > 3 && i.made > 0 {
		change = i.dropColumn
	}
	if err := change(t); err != nil {
		return err
	}
	if err := i.passed(ctx); err != nil { // what is left in the old instance would be lost
		return err
	}
	i.w.counts.did("dropped capture instance")
	return i.db.DisableTable(old)
}

func (i *instances) exec(format string, args ...any) error {
	q := fmt.Sprintf(format, args...)
	if err := i.db.Exec(q); err != nil {
		return fmt.Errorf("%s: %w", q, err)
	}
	return nil
}

// further makes a further capture instance of a table.
func (i *instances) further(t *table) error {
	i.made++
	i.now[t.name] = fmt.Sprintf("%s_%d", t.name, i.made)
	i.w.counts.did("further capture instance")
	return i.exec("%s", track(t.name, i.now[t.name]))
}

// passed waits until the connector has told of a change that is made now, and then
// has what it has no use for any more cleaned up, now and then.
func (i *instances) passed(ctx context.Context) error {
	now := i.db.MaxLSN()
	i.w.marks++
	mark := fmt.Sprint(i.w.marks)
	if err := i.exec("INSERT INTO mark VALUES (%s)", mark); err != nil {
		return err
	}
	// The end of the test's time must not leave the work half done.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	d := i.w.decoder()
	for {
		// An error tells of a broker or a registry that is away.
		found, err := i.w.has(ctx, d, transact.topic("mark"), func(e event) bool { return e.key == mark })
		if err == nil && found {
			break
		}
		if ctx.Err() != nil {
			return fmt.Errorf("wait for mark %s: %w, %w", mark, ctx.Err(), err)
		}
		sleep(ctx, 100*time.Millisecond)
	}
	// A poll that told of the mark may have begun before it, but not before the
	// mark before, which was there when that poll began.
	low := i.low
	i.low = now
	if i.r.IntN(2) == 0 || low == (mssqltest.LSN{}) {
		return nil
	}
	i.w.counts.did("clean-up")
	return i.db.Cleanup("", low)
}

func (i *instances) addColumn(t *table) error {
	k := &kinds[i.r.IntN(len(kinds))]
	c := i.w.m.newCol(k.name)
	ddl := c.name + " " + k.ms
	if k.withDefault && i.r.IntN(2) == 0 {
		// Without NOT NULL, rows that come before the further instance would have a
		// default that no change tells of.
		value := k.value(i.r, transact)
		c.missing, c.fixed = strings.Trim(strings.TrimPrefix(value, "N"), "'"), true
		ddl += " NOT NULL CONSTRAINT DF_" + c.name + " DEFAULT " + value
	}
	if err := i.exec("ALTER TABLE %s ADD %s", t.name, ddl); err != nil {
		return err
	}
	if err := i.further(t); err != nil {
		return err
	}
	// Only now: values of before the instance are told of by nobody.
	t.cols = append(t.cols, c)
	i.w.m.put(t.name, t)
	i.w.counts.did("added column")
	return nil
}

func (i *instances) dropColumn(t *table) error {
	n := i.r.IntN(len(t.cols))
	c := t.cols[n]
	t.cols = slices.Delete(t.cols, n, n+1)
	i.w.m.put(t.name, t)
	if c.fixed {
		if err := i.exec("ALTER TABLE %s DROP CONSTRAINT DF_%s", t.name, c.name); err != nil {
			return err
		}
	}
	if err := i.exec("ALTER TABLE %s DROP COLUMN %s", t.name, c.name); err != nil {
		return err
	}
	i.w.counts.did("dropped column")
	return i.further(t)
}

// retype widens a column: the change tables take the new type at once.
func (i *instances) retype(t *table) error {
	n := i.r.IntN(len(t.cols))
	wider := kindOf(t.cols[n].kind).wider
	if len(wider) == 0 || t.cols[n].fixed {
		return nil
	}
	t.cols[n].kind = wider[i.r.IntN(len(wider))]
	if err := i.exec("ALTER TABLE %s ALTER COLUMN %s %s", t.name, t.cols[n].name, typeOf(t.cols[n].kind, transact)); err != nil {
		return err
	}
	i.w.m.put(t.name, t)
	i.w.counts.did("retyped column")
	return nil
}

func (i *instances) createTable() error {
	m := i.w.m
	t := m.newTable(i.r, m.unique("t"), true, i.r.IntN(3) == 0)
	t.late = true
	for _, q := range t.create(transact) {
		if err := i.exec("%s", q); err != nil {
			return err
		}
	}
	m.put(t.name, t)
	i.w.counts.did("created table")
	return nil
}
