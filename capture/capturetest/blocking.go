package capturetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"tributary/capture"
	"tributary/capture/snapshot"
	"tributary/envelope"
)

// blocking orders a blocking snapshot of the table t, whatever its database; the
// filter is a condition or, as Debezium wants it, a statement.
func blocking(filter string) snapshot.Signal {
	s := execute(`(.*\.)?t`, filter)
	s.Data.Type = "BLOCKING"
	return s
}

// blocked is a model of which a blocking snapshot must be a cut: the state before
// it is the state that it reads, row for row, so that nothing of the log comes
// too early or too late, and nothing twice.
type blocked struct {
	model
	read    map[int64]int64 // rows of the snapshot that was asked for
	marks   []envelope.Snapshot
	changes int // of the log, after the snapshot
	overlap bool
}

func (m *blocked) apply(t *testing.T, c *envelope.Change) {
	t.Helper()
	if c.Op != envelope.Read || c.Table.ID.Name != "t" {
		if len(m.read) > 0 {
			m.changes++
		}
		m.model.apply(t, c)
		return
	}
	id, v := long(t, c.Key), value(t, c.After)
	if _, again := m.read[id]; again {
		t.Fatalf("row %d is read twice", id)
	}
	if m.changes > 0 {
		t.Fatalf("row %d is read after the log went on", id)
	}
	if old, ok := m.rows[id]; !m.overlap && (!ok || old.deleted || old.value != v) {
		t.Fatalf("row %d is read as %d, the log before has %+v (there: %v): no cut", id, v, old, ok)
	}
	m.read[id] = v
	m.marks = append(m.marks, c.Source.Snapshot)
}

// testBlocking has a table read again while it is written to: up to the snapshot
// the log has brought all that it reads, and afterwards the rest.
func testBlocking(t *testing.T, h Harness) {
	const rows = 300
	h.create(t, rows)
	limits := capture.Limits{Changes: 50, Bytes: 1 << 20}
	x := h.incremental(t, limits, 23)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := x.Open(ctx, nil); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := x.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	m := &blocked{model: *newModel(h, !h.Overlap), read: make(map[int64]int64), overlap: h.Overlap}
	var at capture.Position
	reopened := 0
	take := func(apply func(*envelope.Change)) *capture.Batch {
		b, err := x.Next(ctx)
		if errors.Is(err, capture.ErrReopen) {
			reopened++
			if err := errors.Join(x.Close(), x.Open(ctx, at)); err != nil {
				t.Fatal(err)
			}
			return &capture.Batch{}
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.List {
			apply(&b.List[i])
		}
		if len(b.End) > 0 {
			at = slices.Clone(b.End)
		}
		if err := x.Ack(ctx, at); err != nil {
			t.Fatal(err)
		}
		return b
	}
	for len(m.rows) < rows { // the first snapshot
		take(func(c *envelope.Change) { m.model.apply(t, c) })
	}
	stop := h.steady(t, rows, 2)
	defer func() { stop() }()
	for n := 0; n < 100; { // the log is on its way
		take(func(c *envelope.Change) { m.apply(t, c); n++ })
	}
	x.Signal(blocking(""))
	for m.changes < 100 {
		if b := take(func(c *envelope.Change) { m.apply(t, c) }); b.Snapshot && len(b.List) > limits.Changes {
			t.Errorf("a batch of %d rows", len(b.List))
		}
	}
	stop()
	stop = func() {}
	h.finish(t)
	for !m.done {
		take(func(c *envelope.Change) { m.apply(t, c) })
	}
	m.check(t, h)
	if n := len(m.marks); reopened != 1 || n < rows/4 || m.marks[0] != envelope.SnapshotFirst || m.marks[n-1] != envelope.SnapshotLast {
		t.Errorf("opened anew %d times, %d rows read, from %s to %s", reopened, n, m.marks[0], m.marks[n-1])
	}
}

// steady changes rows at random, a few hundred a second, until the function that it
// returns is called.
func (h Harness) steady(t *testing.T, rows, writers int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(3, uint64(w)))
			for next := 1_000_000 * (w + 1); ctx.Err() == nil; next++ {
				id := 1 + rnd.IntN(rows)
				q := []string{
					fmt.Sprintf("INSERT INTO t VALUES (%d, %d)", next, rnd.IntN(1000)),
					fmt.Sprintf("UPDATE t SET v = v + 1 WHERE id = %d", id),
					h.transaction(fmt.Sprintf("UPDATE t SET v = v + 2 WHERE id = %d", id), fmt.Sprintf("DELETE FROM t WHERE id = %d", next-rnd.IntN(5))),
					fmt.Sprintf("DELETE FROM t WHERE id = %d", id),
				}[rnd.IntN(4)]
				if err := h.DB.Exec(context.WithoutCancel(ctx), q); err != nil && ctx.Err() == nil {
					t.Errorf("%s: %v", q, err)
					return
				}
				select {
				case <-ctx.Done():
				case <-time.After(3 * time.Millisecond):
				}
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

// testBlockingResume ends the source after every batch of a blocking snapshot of
// half of the rows, and goes on from its position.
func testBlockingResume(t *testing.T, h Harness) {
	h.create(t, 60)
	limits := capture.Limits{Changes: 7, Bytes: 1 << 20}
	pos := consume(t, h.Source(t, capture.DefaultLimits(), 1000), nil, newModel(h, false), func(*capture.Batch) bool { return true })
	m := &later{rows: make(map[int64]int64)}
	update := func(where string) {
		if err := h.DB.Exec(t.Context(), "UPDATE t SET v = v + 1 WHERE "+where); err != nil {
			t.Fatal(err)
		}
	}
	update("id <= 20") // stands in the log before it
	var read []string
	for lives := 0; !m.done; lives++ {
		if lives > 100 {
			t.Fatal("no end in sight")
		}
		x := h.incremental(t, limits, 7)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if err := x.Open(ctx, pos); err != nil {
			t.Fatal(err)
		}
		switch lives {
		case 0:
			x.Signal(blocking("id > 30"))
		case 6:
			update("id BETWEEN 10 AND 50")
			h.finish(t)
		}
		b, err := x.Next(ctx)
		if err != nil && !errors.Is(err, capture.ErrReopen) {
			t.Fatal(err)
		}
		if err == nil {
			for i := range b.List {
				c := &b.List[i]
				if c.Op == envelope.Read && c.Table.ID.Name == "t" {
					read = append(read, strconv.FormatInt(long(t, c.Key), 10))
				}
				m.apply(t, c)
			}
			if len(b.End) > 0 {
				pos = slices.Clone(b.End)
			}
		}
		cancel()
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	for i := 31; i <= 60; i++ {
		want = append(want, strconv.Itoa(i))
	}
	if !slices.Equal(read, want) {
		t.Errorf("rows %v were read", read)
	}
	for id := int64(1); id <= 60; id++ {
		want := id * 10
		if id <= 20 {
			want++
		}
		if id >= 10 && id <= 50 {
			want++
		}
		if got, ok := m.rows[id]; ok && got != want || !ok && want != id*10 {
			t.Errorf("row %d is %d (there: %v), the table has %d", id, got, ok, want)
		}
	}
}

// testBlockingRefused asks for what the server refuses: the log goes on.
func testBlockingRefused(t *testing.T, h Harness) {
	h.create(t, 5)
	pos := consume(t, h.Source(t, capture.DefaultLimits(), 1000), nil, newModel(h, false), func(*capture.Batch) bool { return true })
	x := h.incremental(t, capture.DefaultLimits(), 7)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := x.Open(ctx, pos); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := x.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	x.Signal(blocking("nowhere = 1"))
	h.finish(t)
	for m := (&later{rows: make(map[int64]int64)}); !m.done; {
		b, err := x.Next(ctx)
		if errors.Is(err, capture.ErrReopen) {
			if err := errors.Join(x.Close(), x.Open(ctx, pos)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.List {
			m.apply(t, &b.List[i])
		}
		if len(b.End) > 0 {
			pos = slices.Clone(b.End)
		}
		if err := x.Ack(ctx, pos); err != nil {
			t.Fatal(err)
		}
	}
}
