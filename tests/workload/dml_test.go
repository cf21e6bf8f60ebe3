package workload

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// counts tells what was done, so that a test that did nothing is seen.
type counts struct {
	mu     sync.Mutex
	done   map[string]int
	failed map[string]int // by the error's beginning
}

func (c *counts) did(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done[what]++
}

func (c *counts) of(what string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done[what]
}

func (c *counts) fault(err error) {
	text := err.Error()
	// What differs from one to the next is not to fill the table.
	text = strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, text[:min(len(text), 70)])
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed[text]++
}

func (c *counts) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(c.done)) {
		fmt.Fprintf(&b, "%s %d, ", k, c.done[k])
	}
	b.WriteString("\nstatements that failed:")
	for _, k := range slices.Sorted(maps.Keys(c.failed)) {
		fmt.Fprintf(&b, "\n  %d times %s", c.failed[k], k)
	}
	return b.String()
}

// worker is one connection that changes rows until its context ends.
type worker struct {
	c      *conn
	r      *rand.Rand
	m      *model
	counts *counts
	pause  time.Duration // the longest between transactions

	stream   uint64 // tells it from other workers
	prepared int    // transactions so far
}

const keySpace = 3000 // small enough that connections meet at the same rows

func (w *worker) run(ctx context.Context) {
	defer w.c.closeAll()
	for ctx.Err() == nil {
		if err := w.c.open(ctx); err != nil {
			sleep(ctx, 50*time.Millisecond)
			continue
		}
		if err := w.transaction(ctx); err != nil && ctx.Err() == nil {
			w.counts.fault(err)
			if w.c.lost(err) || w.c.exec(ctx, "ROLLBACK") != nil {
				w.c.close()
			}
		}
		sleep(ctx, time.Duration(w.r.Int64N(int64(w.pause)+1)))
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// transaction is one or several statements, committed or not.
func (w *worker) transaction(ctx context.Context) error {
	if w.r.IntN(25) == 0 && w.m.following.Load() && w.c.lang != transact {
		return w.twoPhase(ctx)
	}
	if w.r.IntN(10) < 4 {
		what, q := w.statement(w.m.pick(w.r))
		if err := w.c.exec(ctx, q); err != nil {
			return err
		}
		w.counts.did(what)
		return nil
	}
	if err := w.c.exec(ctx, w.c.lang.begin()); err != nil {
		return err
	}
	for range 1 + w.r.IntN(6) {
		savepoint := w.r.IntN(4) == 0
		if savepoint {
			if err := w.c.exec(ctx, w.c.lang.save()); err != nil {
				return err
			}
		}
		what, q := w.statement(w.m.pick(w.r))
		err := w.c.exec(ctx, q)
		switch {
		case err != nil && (!savepoint || w.c.lost(err)):
			return err
		case err != nil || savepoint && w.r.IntN(2) == 0:
			if err != nil {
				w.counts.fault(err)
			}
			if err := w.c.exec(ctx, w.c.lang.rollbackTo()); err != nil {
				return err
			}
			w.counts.did("rollback to savepoint")
		default:
			w.counts.did(what)
		}
	}
	end := "COMMIT"
	if w.r.IntN(7) == 0 {
		end = "ROLLBACK"
	}
	if err := w.c.exec(ctx, end); err != nil {
		return err
	}
	w.counts.did(strings.ToLower(end))
	return nil
}

// statement changes rows of a table.
func (w *worker) statement(t *table) (what, query string) {
	r := w.r
	id := r.IntN(keySpace)
	n := r.IntN(100)
	if t.adds {
		n %= 34
	}
	switch {
	case n < 26:
		return "insert", w.insert(t, id, 1+r.IntN(3)*r.IntN(10))
	case n < 27:
		return "large insert", w.insertMany(t, 300+r.IntN(800)*r.IntN(10))
	case n == 28 && r.IntN(5) == 0 && w.m.streaming.Load() && w.c.lang != transact: // it refuses to, of tracked tables
		return "truncate", "TRUNCATE TABLE " + t.name
	case n < 34 && t.adds, n < 29:
		return "insert", w.insert(t, id, 1)
	case n < 60:
		return "update", "UPDATE " + t.name + " SET " + w.assignments(t) + fmt.Sprintf(" WHERE id = %d", id)
	case n < 66:
		return "update of many", "UPDATE " + t.name + " SET " + short(4000, func() string { return w.assignments(t) }) + fmt.Sprintf(" WHERE id BETWEEN %d AND %d", id, id+r.IntN(400))
	case n < 76:
		return "change of a key", fmt.Sprintf("UPDATE %s SET id = %d WHERE id = %d", t.name, r.IntN(2*keySpace), id)
	case n < 79:
		return "change of keys", fmt.Sprintf("UPDATE %s SET id = id + %d, %s WHERE id BETWEEN %d AND %d", t.name, 100_000*(1+r.IntN(5)), w.assignments(t), id, id+r.IntN(50))
	case n < 80:
		return "delete of many", fmt.Sprintf("DELETE FROM %s WHERE id >= %d", t.name, 10_000+r.IntN(1_000_000))
	case n < 84:
		return "delete", fmt.Sprintf("DELETE FROM %s WHERE id BETWEEN %d AND %d", t.name, id, id+r.IntN(60))
	case n < 90 && t.keyed && w.c.lang != transact:
		return "upsert", w.upsert(t, id)
	default:
		return "delete", fmt.Sprintf("DELETE FROM %s WHERE id = %d", t.name, id)
	}
}

func (t *table) names1() string {
	names := []string{"id"}
	if t.pair {
		names = append(names, "b")
	}
	for _, c := range t.cols {
		names = append(names, c.name)
	}
	return strings.Join(names, ", ")
}

func (w *worker) row(t *table, id string) string {
	values := []string{id}
	if t.pair {
		values = append(values, fmt.Sprintf("'b%d'", w.r.IntN(3)))
	}
	for _, c := range t.cols {
		values = append(values, w.value(c))
	}
	return strings.Join(values, ", ")
}

func (w *worker) value(c col) string {
	if w.r.IntN(6) == 0 {
		return "NULL"
	}
	return kindOf(c.kind).value(w.r, w.c.lang)
}

func (w *worker) insert(t *table, id, rows int) string {
	var values []string
	for i := range rows {
		values = append(values, "("+w.row(t, fmt.Sprint(id+i*7))+")")
	}
	return "INSERT INTO " + t.name + " (" + t.names1() + ") VALUES " + strings.Join(values, ", ")
}

// short makes texts until one has less than n bytes: those that many rows get.
func short(n int, text func() string) string {
	for {
		if s := text(); len(s) < n {
			return s
		}
	}
}

// insertMany adds rows that differ in their key alone.
func (w *worker) insertMany(t *table, rows int) string {
	from := 10_000 + w.r.IntN(1_000_000)
	row := func(id string) string { return short(2000, func() string { return w.row(t, id) }) }
	head := "INTO " + t.name + " (" + t.names1() + ") "
	switch w.c.lang {
	case transact:
		values := make([]string, 0, rows)
		for i := range min(rows, 1000) { // SQL Server takes no more
			values = append(values, "("+row(fmt.Sprint(from+i))+")")
		}
		return "INSERT " + head + "VALUES " + strings.Join(values, ", ")
	case postgres:
		return fmt.Sprintf("INSERT %sSELECT %s FROM generate_series(%d, %d) g%s", head, row("g"), from, from+rows, onConflict(t))
	}
	return fmt.Sprintf("INSERT IGNORE %sWITH RECURSIVE g (n) AS (SELECT %d UNION ALL SELECT n + 1 FROM g WHERE n < %d) SELECT %s FROM g",
		head, from, from+rows, row("n"))
}

func onConflict(t *table) string {
	if !t.keyed {
		return ""
	}
	return " ON CONFLICT DO NOTHING"
}

func (w *worker) upsert(t *table, id int) string {
	q := w.insert(t, id, 1)
	c := t.cols[w.r.IntN(len(t.cols))]
	switch {
	case w.c.lang == postgres:
		return q + " ON CONFLICT (" + strings.Join(t.keyColumns(), ", ") + ") DO UPDATE SET " + c.name + " = " + w.value(c)
	case w.r.IntN(2) == 0:
		return "REPLACE" + strings.TrimPrefix(q, "INSERT")
	default:
		return q + " ON DUPLICATE KEY UPDATE " + c.name + " = " + w.value(c)
	}
}

// assignments sets one to three columns.
func (w *worker) assignments(t *table) string {
	var out []string
	for _, i := range w.r.Perm(len(t.cols))[:1+w.r.IntN(min(3, len(t.cols)))] {
		c := t.cols[i]
		value := w.value(c)
		if c.kind == "json" && w.c.lang != transact && w.r.IntN(2) == 0 {
			value = w.partly(c.name)
		}
		out = append(out, c.name+" = "+value)
	}
	return strings.Join(out, ", ")
}

// partly changes one member of a JSON value, which MySQL may log as just that.
func (w *worker) partly(name string) string {
	if w.c.lang == postgres {
		return fmt.Sprintf("jsonb_set(%s, '{a}', '%d')", name, w.r.IntN(1000))
	}
	return fmt.Sprintf("JSON_SET(%s, '$.a', %d)", name, w.r.IntN(1000))
}
