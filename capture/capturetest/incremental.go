package capturetest

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tributary/capture"
	"tributary/capture/snapshot"
	"tributary/envelope"
)

// incremental wraps a source of the harness, which must be able to.
func (h Harness) incremental(t *testing.T, limits capture.Limits, rows int) *snapshot.Incremental {
	t.Helper()
	chunks, ok := h.Source(t, limits, 100).(snapshot.Chunks)
	if !ok {
		t.Fatal("the source cannot read chunks")
	}
	return snapshot.NewIncremental(chunks, snapshot.IncrementalOptions{ChunkRows: rows, Log: slog.New(slog.DiscardHandler)})
}

func execute(pattern, filter string) snapshot.Signal {
	s := snapshot.Signal{ID: "1", Type: snapshot.Execute, Data: snapshot.SignalData{Collections: []string{pattern}}}
	if filter != "" {
		s.Data.Conditions = []snapshot.Condition{{Collection: pattern, Filter: filter}}
	}
	return s
}

// later is a model of which every change must be newer than what it replaces:
// a row of a chunk is as new as the last change before it, or newer.
type later struct {
	rows map[int64]int64 // v by id; v only grows in this test
	read int
	done bool
}

func (m *later) apply(t *testing.T, c *envelope.Change) {
	t.Helper()
	switch {
	case c.Table.ID.Name == "zend":
		m.done = true
		return
	case c.Op == envelope.Delete:
		delete(m.rows, long(t, c.Key))
		return
	}
	id, v := long(t, c.Key), value(t, c.After)
	if c.Op == envelope.Read && c.Source.Snapshot == envelope.SnapshotIncremental {
		m.read++
	}
	if old, ok := m.rows[id]; ok && v < old {
		t.Fatalf("%s of row %d goes back from %d to %d", c.Op, id, old, v)
	}
	m.rows[id] = v
}

func (m *later) check(t *testing.T, h Harness) {
	t.Helper()
	want, err := h.DB.Query(t.Context(), "SELECT id, v FROM t ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range want {
		id, _ := strconv.ParseInt(w[0], 10, 64)
		if got, ok := m.rows[id]; !ok || strconv.FormatInt(got, 10) != w[1] {
			t.Errorf("row %d is %d (there: %v), the table has %s", id, got, ok, w[1])
		}
		delete(m.rows, id)
	}
	for id := range m.rows {
		t.Errorf("row %d is there, the table does not have it", id)
	}
}

// growing updates and deletes rows until the function that it returns is
// called. Rows only grow; those that are deleted stay so.
func (h Harness) growing(t *testing.T, rows, writers int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(2, uint64(w)))
			for i := 0; ctx.Err() == nil; i++ {
				q := fmt.Sprintf("UPDATE t SET v = v + 1 WHERE id = %d", 1+rnd.IntN(rows))
				switch {
				case i%10 == 0:
					q = h.transaction(q, fmt.Sprintf("UPDATE t SET v = v + 1 WHERE id = %d", 1+rnd.IntN(rows)))
				case i%25 == 0:
					q = fmt.Sprintf("DELETE FROM t WHERE id = %d", 1+rnd.IntN(rows))
				}
				if err := h.DB.Exec(context.WithoutCancel(ctx), q); err != nil && !strings.Contains(strings.ToLower(err.Error()), "deadlock") {
					t.Errorf("%s: %v", q, err)
					return
				}
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

// testIncremental has a snapshot of a table that is being written to, read in
// small chunks: no row goes back, none is missing, and those that were there
// before the capture began come too.
func testIncremental(t *testing.T, h Harness) {
	const rows = 400
	h.create(t, rows)
	x := h.incremental(t, capture.Limits{Changes: 50, Bytes: 1 << 20}, 23)
	m := &later{rows: make(map[int64]int64)}
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
	take := func() {
		b, err := x.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.List {
			m.apply(t, &b.List[i])
		}
		if err := x.Ack(ctx, slices.Clone(b.End)); err != nil {
			t.Fatal(err)
		}
	}
	for len(m.rows) < rows { // the first snapshot
		take()
	}
	stop := h.growing(t, rows, 2)
	clear(m.rows) // all of it must come again
	x.Signal(execute(h.Schema+"t", ""))
	if h.Schema == "" {
		x.Signal(execute(`.*\.t`, ""))
	}
	for m.read == 0 || x.Working() {
		take()
	}
	stop()
	h.finish(t)
	for !m.done {
		take()
	}
	m.check(t, h)
	if m.read < rows/8 {
		t.Errorf("%d rows were read only", m.read)
	}
}

// testIncrementalResume ends the source after every batch of an incremental
// snapshot, and goes on from its position; a filter leaves half of the rows.
func testIncrementalResume(t *testing.T, h Harness) {
	h.create(t, 60)
	pos := consume(t, h.Source(t, capture.DefaultLimits(), 1000), nil, newModel(h, false), func(*capture.Batch) bool { return true })
	m := &later{rows: make(map[int64]int64)}
	first, lives := true, 0
	for working := true; working; lives++ {
		if lives > 100 {
			t.Fatal("no end in sight")
		}
		x := h.incremental(t, capture.DefaultLimits(), 7)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if err := x.Open(ctx, pos); err != nil {
			t.Fatal(err)
		}
		if first {
			first = false
			x.Signal(execute(".*t", "id % 2 = 0"))
		}
		for read := m.read; read == m.read; {
			b, err := x.Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for i := range b.List {
				m.apply(t, &b.List[i])
			}
			if len(b.End) > 0 {
				pos = slices.Clone(b.End)
			}
			if working = x.Working(); !working {
				break
			}
		}
		cancel()
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if m.read != 30 || lives < 4 {
		t.Errorf("%d rows read in %d lives", m.read, lives)
	}
}
