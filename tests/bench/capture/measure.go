package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tributary/internal/proc"
	"tributary/internal/testdb"
)

// bench measures the products on one database.
type bench struct {
	o       options
	stack   *stack
	d       *database
	figures *figures
	marks   int
}

func (b *bench) measure(ctx context.Context, products []product) error {
	say("%s %s: %d rows are loaded", b.d.server.Kind, b.d.server.Version, b.o.rows)
	for _, p := range products {
		if err := b.snapshot(ctx, p); err != nil {
			return fmt.Errorf("snapshot by %s: %w", p.name(), err)
		}
	}
	for _, p := range products {
		if err := b.streaming(ctx, p); err != nil {
			return fmt.Errorf("log followed by %s: %w", p.name(), err)
		}
	}
	f := floors{b}
	if err := f.prepare(ctx); err != nil {
		return fmt.Errorf("prepare the floors: %w", err)
	}
	if err := b.d.change(ctx, b.o.changes); err != nil {
		return fmt.Errorf("make changes: %w", err)
	}
	for _, p := range products {
		if err := b.catchUp(ctx, p); err != nil {
			return fmt.Errorf("log caught up with by %s: %w", p.name(), err)
		}
	}
	return f.measure(ctx)
}

func say(format string, args ...any) {
	fmt.Printf("%s  %s\n", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
}

// worker is a product at work.
type worker struct {
	p     *proc.Process
	usage *usage
	began time.Time
	log   string
}

func (b *bench) start(ctx context.Context, p product, prefix string, tables ...string) (*worker, error) {
	began := time.Now()
	child, err := p.start(ctx, b.d, prefix, tables...)
	if err != nil {
		return nil, err
	}
	log := b.stack.log("ours-" + prefix)
	if p.name() != "ours" {
		log = b.stack.log("debezium-" + prefix)
	}
	return &worker{p: child, usage: watch(child.Pid()), began: began, log: log}, nil
}

// alive is an error once the product has ended by itself.
func (r *worker) alive() error {
	if r.p.Exited() {
		return fmt.Errorf("it ended:\n%s", tail(r.log))
	}
	return nil
}

func (r *worker) stop() error {
	r.usage.close()
	return r.p.Stop()
}

const limit = 4 * time.Minute

// prefix is the name of a product's state for one purpose.
func prefix(what string, p product) string {
	if p.name() == "ours" {
		return what + "_o"
	}
	return what + "_d"
}

func (b *bench) topic(prefix, table string) string {
	return prefix + "." + b.d.schema + "." + table
}

// prefixOf keeps the databases apart, which share a broker.
func (b *bench) prefixOf(what string, p product) string {
	return prefix(what+string(b.d.server.Kind)[:2], p)
}

// snapshot measures the reading of the table sale from nothing.
func (b *bench) snapshot(ctx context.Context, p product) (err error) {
	name := b.lower(b.prefixOf("snap", p))
	c, err := b.stack.consume(ctx, b.topic(name, "sale"))
	if err != nil {
		return err
	}
	defer c.close()
	r, err := b.start(ctx, p, name, "sale")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.stop(), b.drop(ctx, name)) }()
	if err := c.wait(ctx, 1, limit, r.alive); err != nil {
		return err
	}
	before := r.usage.cpu()
	if err := c.wait(ctx, b.o.rows, limit, r.alive); err != nil {
		return err
	}
	cpu := r.usage.cpu()
	_, most := r.usage.memory()
	n := float64(b.o.rows)
	b.figures.add(p, firstRecord, c.first.Sub(r.began).Seconds())
	b.figures.add(p, snapshotRate, c.rate())
	b.figures.add(p, snapshotWhole, n/c.last.Sub(r.began).Seconds())
	b.figures.add(p, snapshotCPU, cpu/n*1e6)
	b.figures.add(p, snapshotMemory, most)
	say("  snapshot by %s: first record after %.2f s, %.0f rows/s (CPU %.1f s, %.1f of them since the first record)", p.name(), c.first.Sub(r.began).Seconds(), c.rate(), cpu, cpu-before)
	return nil
}

func (b *bench) lower(s string) string {
	out := []byte(s)
	for i, c := range out {
		if c >= 'A' && c <= 'Z' {
			out[i] = c + 'a' - 'A'
		}
	}
	return string(out)
}

// drop removes what a finished product has left in the database.
func (b *bench) drop(ctx context.Context, name string) error {
	if b.d.server.Kind != testdb.KindPostgreSQL {
		return nil
	}
	var err error
	for range 50 { // its connection may be a moment older than the process
		err = b.d.server.Exec(ctx, fmt.Sprintf("SELECT pg_drop_replication_slot('%s') FROM pg_replication_slots WHERE slot_name = '%[1]s'", name))
		if err == nil || ctx.Err() != nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// streaming measures the product while it follows the log: idle, and the delay
// from commit to consumer at two rates.
func (b *bench) streaming(ctx context.Context, p product) (err error) {
	name := b.lower(b.prefixOf("log", p))
	if err := b.d.server.ExecIn(ctx, b.d.name, "TRUNCATE TABLE lat", "TRUNCATE TABLE mark"); err != nil {
		return err
	}
	marks, err := b.stack.consume(ctx, b.topic(name, "mark"))
	if err != nil {
		return err
	}
	defer marks.close()
	lat, err := b.stack.consume(ctx, b.topic(name, "lat"))
	if err != nil {
		return err
	}
	defer lat.close()
	r, err := b.start(ctx, p, name, "chg", "lat", "mark")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	if err := b.awaitStream(ctx, r, marks); err != nil {
		return err
	}
	time.Sleep(b.o.idle)
	idle, _ := r.usage.memory()
	b.figures.add(p, idleMemory, idle)
	r.usage.reset()
	next := 1
	for _, rate := range []int{200, 1000} {
		before := r.usage.cpu()
		delays, got, err := b.delays(ctx, r, lat, rate, next)
		if err != nil {
			return err
		}
		next += len(delays)
		// The first second warms up.
		delays = delays[min(rate, len(delays)/2):]
		slices.Sort(delays)
		at := func(q float64) float64 { return float64(delays[int(float64(len(delays)-1)*q)].Microseconds()) / 1e3 }
		m := map[int][2]metric{200: {p50At200, p99At200}, 1000: {p50At1000, p99At1000}}[rate]
		b.figures.add(p, m[0], at(.5))
		b.figures.add(p, m[1], at(.99))
		say("  %s at %d changes/s (%.0f came about): p50 %.1f ms, p99 %.1f ms, most %.1f ms, CPU %.1f s", p.name(), rate, got, at(.5), at(.99), at(1), r.usage.cpu()-before)
	}
	_, most := r.usage.memory()
	b.figures.add(p, streamMemory, most)
	return nil
}

// awaitStream makes changes until one has come with the log. Those before it
// may have come with the snapshot.
func (b *bench) awaitStream(ctx context.Context, r *worker, marks *consumer) error {
	for end := time.Now().Add(limit); time.Now().Before(end); {
		seen := marks.count()
		b.marks++
		if err := errors.Join(r.alive(), b.d.insert(ctx, "mark", b.marks)); err != nil {
			return err
		}
		if seen == 0 { // it has not begun
			time.Sleep(100 * time.Millisecond)
			continue
		}
		// One more record for one more row, and that thrice: the snapshot is over.
		for try := 0; marks.count() < b.markRows(ctx) && try < 400; try++ {
			if err := r.alive(); err != nil {
				return err
			}
			time.Sleep(5 * time.Millisecond)
		}
		if marks.count() >= b.markRows(ctx) {
			return nil
		}
	}
	return fmt.Errorf("no change comes with the log:\n%s", tail(r.log))
}

// markRows is how many rows the table has: it was truncated before.
func (b *bench) markRows(ctx context.Context) int {
	rows, err := b.d.server.Query(ctx, "SELECT count(*) FROM "+b.d.schema+".mark")
	if err != nil {
		return 1 << 30
	}
	n := 0
	_, _ = fmt.Sscan(rows[0][0], &n)
	return n
}

// delays commits one-row transactions at a rate and returns, for each, the time
// from the end of its commit to its record's arrival.
func (b *bench) delays(ctx context.Context, r *worker, c *consumer, rate, from int) ([]time.Duration, float64, error) {
	base := c.count()
	c.mu.Lock()
	c.arrivals, c.keep = nil, true
	c.mu.Unlock()
	n := rate * b.o.seconds
	commits := make([]time.Time, 0, n)
	began := time.Now()
	for i := range n {
		due := began.Add(time.Duration(i) * time.Second / time.Duration(rate))
		if d := time.Until(due); d > 0 {
			time.Sleep(d)
		}
		if time.Since(began) > 2*time.Duration(b.o.seconds)*time.Second {
			break // the database cannot do more: the rate that came about is told
		}
		if err := b.d.insert(ctx, "lat", from+i); err != nil {
			return nil, 0, err
		}
		commits = append(commits, time.Now())
	}
	got := float64(len(commits)) / time.Since(began).Seconds()
	if err := c.wait(ctx, base+len(commits), limit, r.alive); err != nil {
		return nil, 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep = false
	out := make([]time.Duration, len(commits))
	for i := range out {
		out[i] = max(0, c.arrivals[i].Sub(commits[i]))
	}
	return out, got, nil
}

// catchUp measures how fast the changes are read that were made while the
// product was away.
func (b *bench) catchUp(ctx context.Context, p product) (err error) {
	name := b.lower(b.prefixOf("log", p))
	c, err := b.stack.consume(ctx, b.topic(name, "chg"))
	if err != nil {
		return err
	}
	defer c.close()
	r, err := b.start(ctx, p, name, "chg", "lat", "mark")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.stop(), b.drop(ctx, name)) }()
	if err := c.wait(ctx, b.o.changes, limit, r.alive); err != nil {
		return err
	}
	cpu := r.usage.cpu()
	_, most := r.usage.memory()
	n := float64(b.o.changes)
	b.figures.add(p, logRate, c.rate())
	b.figures.add(p, logWhole, n/c.last.Sub(r.began).Seconds())
	b.figures.add(p, logCPU, cpu/n*1e6)
	b.figures.add(p, catchUpMemory, most)
	say("  log caught up with by %s: %.0f changes/s, first after %.2f s, CPU %.1f s", p.name(), c.rate(), c.first.Sub(r.began).Seconds(), cpu)
	return nil
}
