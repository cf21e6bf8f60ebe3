package capturetest

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tributary/capture"
	"tributary/envelope"
)

// Database is one that the suite writes to, from several goroutines at a time.
type Database interface {
	// Exec runs statements one after another, each by itself; one may be several
	// with ; between, from BEGIN to COMMIT.
	Exec(ctx context.Context, statements ...string) error
	// Query runs a statement and returns the values of its rows as text.
	Query(ctx context.Context, statement string) ([][]string, error)
}

// Harness is what the suite needs of a database.
type Harness struct {
	// DB is empty. Tables that are made in it are captured.
	DB Database
	// Schema precedes the names of tables with a dot, "public." for
	// PostgreSQL; "" for MySQL.
	Schema string
	// Begin is the statement that begins a transaction, BEGIN if it is empty.
	Begin string
	// Overlap is set where what is committed when a snapshot begins may come once
	// more as a change, because the database captures changes later than it
	// commits them.
	Overlap bool
	// Source makes a new Source of DB; all that it makes for one test resume
	// from each other's positions. It captures every table.
	Source func(t *testing.T, limits capture.Limits, fetchSize int) capture.Source
	// Order is the place of a change in the database's log as text that sorts.
	Order func(c *envelope.Change) string
}

// Suite runs every test of this package that is the same for all databases.
// newHarness is called once a test, for a database of its own.
func Suite(t *testing.T, newHarness func(t *testing.T) Harness) {
	suite(t, newHarness, true)
}

// Together runs the suite on several servers at the same time. newHarness has for
// each what Suite takes; it is called once before, for the goroutines that a server
// has beside those of its tests.
func Together(t *testing.T, newHarness map[string]func(t *testing.T) Harness) {
	for _, f := range newHarness {
		f(t)
	}
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) }) // when all of them are done
	for name, f := range newHarness {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			suite(t, f, false)
		})
	}
}

func suite(t *testing.T, newHarness func(t *testing.T) Harness, leaks bool) {
	for name, test := range map[string]func(*testing.T, Harness){
		"snapshot and stream meet":                  testMeet,
		"snapshot and stream meet under writers":    testWriters,
		"resumed after every batch":                 testResume,
		"resumed within the snapshot under writers": testResumeWriters,
		"the same again from the same position":     testAgain,
		"a batch ends at its limits":                testLimits,
		"close while nothing happens":               testClose,
		"incremental snapshot under writers":        testIncremental,
		"incremental snapshot resumed":              testIncrementalResume,
		"incremental snapshot refused":              testIncrementalRefused,
		"blocking snapshot under writers":           testBlocking,
		"blocking snapshot resumed":                 testBlockingResume,
		"blocking snapshot that is refused":         testBlockingRefused,
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			// A source leaves no goroutine behind; the server of the test
			// has some of its own.
			if before := goleak.IgnoreCurrent(); leaks {
				t.Cleanup(func() { goleak.VerifyNone(t, before) })
			}
			test(t, h)
		})
	}
}

func (h Harness) exec(t *testing.T, statements ...string) {
	t.Helper()
	if err := h.DB.Exec(t.Context(), statements...); err != nil {
		t.Fatal(err)
	}
}

// transaction is a text of statements that are committed together.
func (h Harness) transaction(statements ...string) string {
	return cmp.Or(h.Begin, "BEGIN") + "; " + strings.Join(statements, "; ") + "; COMMIT"
}

func (h Harness) create(t *testing.T, rows int) {
	t.Helper()
	h.exec(t, "CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int NOT NULL)", "CREATE TABLE zend (id int NOT NULL PRIMARY KEY)")
	h.insert(t, 1, rows)
}

// insert adds rows from to to, in one statement.
func (h Harness) insert(t *testing.T, from, to int) {
	t.Helper()
	if to < from {
		return
	}
	q := "INSERT INTO t VALUES "
	for i := from; i <= to; i++ {
		if i > from {
			q += ","
		}
		q += fmt.Sprintf("(%d,%d)", i, i*10)
	}
	h.exec(t, q)
}

func (h Harness) finish(t *testing.T) {
	t.Helper()
	h.exec(t, "INSERT INTO zend VALUES (1)")
}

// consume takes batches until the end marker or stop says so, and returns the
// last position.
func consume(t *testing.T, s capture.Source, resume capture.Position, m *model, stop func(*capture.Batch) bool) capture.Position {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Open(ctx, resume); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	end := resume
	for !m.done {
		b, err := s.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.List {
			m.apply(t, &b.List[i])
		}
		end = slices.Clone(b.End)
		if err := s.Ack(ctx, end); err != nil {
			t.Fatal(err)
		}
		if stop != nil && stop(b) {
			break
		}
	}
	return end
}

func testMeet(t *testing.T, h Harness) {
	h.create(t, 100)
	s := h.Source(t, capture.Limits{Changes: 7, Bytes: 1 << 20}, 10)
	m := newModel(h, true)
	first := true
	consume(t, s, nil, m, func(*capture.Batch) bool {
		if first {
			first = false
			// The snapshot has been taken: from here on it is the log's.
			h.insert(t, 101, 120)
			h.exec(t, "UPDATE t SET v = v + 1 WHERE id <= 50", "DELETE FROM t WHERE id BETWEEN 40 AND 60",
				"UPDATE t SET id = id + 1000 WHERE id = 7")
			h.finish(t)
		}
		return false
	})
	m.check(t, h)
}

// writers changes rows at random until the function that it returns is called.
func (h Harness) writers(t *testing.T, n int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for w := range n {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(w)))
			next := 1_000_000 * (w + 1)
			for ctx.Err() == nil {
				id := 1 + rnd.IntN(500)
				q := []string{
					fmt.Sprintf("INSERT INTO t VALUES (%d, %d)", next, rnd.IntN(1000)),
					fmt.Sprintf("UPDATE t SET v = v + 1 WHERE id = %d", id),
					h.transaction(fmt.Sprintf("UPDATE t SET v = v * 2 WHERE id = %d", id), fmt.Sprintf("DELETE FROM t WHERE id = %d", next-rnd.IntN(5))),
					fmt.Sprintf("DELETE FROM t WHERE id = %d", 1+rnd.IntN(500)),
				}[rnd.IntN(4)]
				next++
				err := h.DB.Exec(context.WithoutCancel(ctx), q)
				if err != nil && ctx.Err() == nil {
					t.Errorf("%s: %v", q, err)
					return
				}
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

func testWriters(t *testing.T, h Harness) {
	h.create(t, 500)
	stop := h.writers(t, 2)
	s := h.Source(t, capture.Limits{Changes: 20, Bytes: 1 << 20}, 50)
	m := newModel(h, !h.Overlap)
	began := time.Now()
	stopped := false
	consume(t, s, nil, m, func(b *capture.Batch) bool {
		if !stopped && !b.Snapshot && time.Since(began) > time.Second {
			stopped = true
			stop()
			h.finish(t)
		}
		return false
	})
	m.check(t, h)
}

func testResume(t *testing.T, h Harness) {
	h.create(t, 25)
	m := newModel(h, true)
	var pos capture.Position
	batches, wrote := 0, false
	for !m.done {
		s := h.Source(t, capture.Limits{Changes: 5, Bytes: 1 << 20}, 4)
		pos = consume(t, s, pos, m, func(b *capture.Batch) bool {
			batches++
			if !wrote && len(m.rows) == 25 {
				wrote = true
				// One transaction that is larger than a batch, several that
				// are smaller.
				h.insert(t, 26, 40)
				h.exec(t, "UPDATE t SET v = 0 WHERE id = 3", "DELETE FROM t WHERE id = 4", "INSERT INTO t VALUES (4, 4)")
				h.finish(t)
			}
			return true
		})
		if batches > 200 {
			t.Fatal("no end in sight")
		}
	}
	if batches < 8 {
		t.Errorf("%d batches only: nothing was resumed", batches)
	}
	m.check(t, h)
}

func testResumeWriters(t *testing.T, h Harness) {
	h.create(t, 500)
	stop := h.writers(t, 2)
	m := newModel(h, false) // the stream may repeat what a later part of the snapshot has seen
	var pos capture.Position
	for i := 0; !m.done; i++ {
		s := h.Source(t, capture.Limits{Changes: 40, Bytes: 1 << 20}, 50)
		if i == 12 {
			stop()
			h.finish(t)
		}
		pos = consume(t, s, pos, m, func(*capture.Batch) bool { return i < 12 })
	}
	m.check(t, h)
}

func testAgain(t *testing.T, h Harness) {
	h.create(t, 3)
	limits := capture.Limits{Changes: 4, Bytes: 1 << 20}
	m := newModel(h, true)
	start := consume(t, h.Source(t, limits, 100), nil, m, func(*capture.Batch) bool { return true })
	h.insert(t, 10, 30)
	h.exec(t, "UPDATE t SET v = v + 1")
	h.finish(t)
	read := func() (out []string) {
		s := h.Source(t, limits, 100)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.Open(ctx, start); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }() // as a kill would: nothing was acknowledged
		for {
			b, err := s.Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for i := range b.List {
				c := &b.List[i]
				out = append(out, fmt.Sprintf("%s %s %x %x %x", c.Op, c.Table.ID, c.Key, c.After, h.Order(c)))
				if c.Table.ID.Name == "zend" {
					return out
				}
			}
		}
	}
	first, second := read(), read()
	if !slices.Equal(first, second) {
		t.Errorf("got\n%v\nand then\n%v", first, second)
	}
	if len(first) != 21+24+1 {
		t.Errorf("%d changes, want %d", len(first), 21+24+1)
	}
}

func testLimits(t *testing.T, h Harness) {
	h.create(t, 100)
	limits := capture.Limits{Changes: 10, Bytes: 1 << 20}
	m := newModel(h, true)
	wrote := false
	consume(t, h.Source(t, limits, 1000), nil, m, func(b *capture.Batch) bool {
		if len(b.List) > limits.Changes {
			t.Errorf("a batch of %d changes", len(b.List))
		}
		if !wrote {
			wrote = true
			h.insert(t, 101, 200)
			h.finish(t)
		}
		return false
	})
	m.check(t, h)
}

func testClose(t *testing.T, h Harness) {
	h.create(t, 1)
	m := newModel(h, true)
	pos := consume(t, h.Source(t, capture.DefaultLimits(), 100), nil, m, func(*capture.Batch) bool { return true })
	s := h.Source(t, capture.DefaultLimits(), 100)
	if err := s.Close(); err != nil {
		t.Errorf("close before Open: %v", err)
	}
	if err := s.Open(t.Context(), pos); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for ctx.Err() == nil {
		if b, err := s.Next(ctx); err == nil && len(b.List) > 0 {
			t.Errorf("%d changes where nothing happened", len(b.List))
		}
	}
	for range 2 {
		began := time.Now()
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("close took %s", d)
		}
	}
}
