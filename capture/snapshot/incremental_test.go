package snapshot

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strconv"
	"testing"
	"time"

	"tributary/capture"
	"tributary/envelope"
	"tributary/internal/fault"
)

// numbers is a database of tables a and b that hold the numbers below ten. Its
// log is a counter that moves on when told to.
type numbers struct {
	capture.Source
	at    int
	step  chan struct{}
	again int // so many chunks fail with ErrAgain
	asked []ChunkRequest
	acked []string
}

func (n *numbers) Open(context.Context, capture.Position) error { return nil }
func (n *numbers) Close() error                                 { return nil }
func (n *numbers) Hurry(bool)                                   {}
func (n *numbers) Streaming(capture.Position) bool              { return true }
func (n *numbers) Ack(_ context.Context, p capture.Position) error {
	n.acked = append(n.acked, string(p))
	return nil
}
func (n *numbers) Captured(context.Context) ([]envelope.TableID, error) {
	return []envelope.TableID{{Name: "a"}, {Name: "b"}}, nil
}

func (n *numbers) Next(ctx context.Context) (*capture.Batch, error) {
	select {
	case <-n.step:
		n.at++
		return &capture.Batch{End: capture.Position(strconv.Itoa(n.at))}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (n *numbers) Reached(end capture.Position, mark string) (bool, error) {
	a, _ := strconv.Atoi(string(end))
	b, _ := strconv.Atoi(mark)
	return a >= b, nil
}

func (n *numbers) Chunk(_ context.Context, r ChunkRequest, out *envelope.Changes) (ChunkResult, error) {
	if n.again > 0 {
		n.again--
		return ChunkResult{}, ErrAgain
	}
	n.asked = append(n.asked, r)
	from := 0
	if r.After != nil {
		from = int(r.After[0][0]) + 1
	}
	since, _ := strconv.Atoi(string(r.Since))
	res := ChunkResult{Mark: strconv.Itoa(since)}
	t := &envelope.Table{ID: r.Table, Key: []int{0}, Columns: []envelope.Column{{Name: "n", Type: envelope.TypeOf(envelope.Int)}}}
	for i := from; i < min(from+r.Limit, 10); i++ {
		c := out.Next()
		c.Op, c.Table, c.Key, c.After = envelope.Read, t, envelope.AppendInt(nil, int32(i)), envelope.AppendInt(nil, int32(i))
		res.Rows, res.Last = res.Rows+1, [][]byte{{byte(i)}}
	}
	return res, nil
}

// follow takes batches until nothing comes for a moment.
func follow(t *testing.T, x *Incremental) (rows []string, last capture.Position) {
	t.Helper()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		b, err := x.Next(ctx)
		cancel()
		if err != nil {
			return rows, last
		}
		for i := range b.List {
			c := &b.List[i]
			if c.Source.Snapshot != envelope.SnapshotIncremental {
				t.Errorf("row is of %s", c.Source.Snapshot)
			}
			rows = append(rows, c.Table.ID.Name+strconv.Itoa(int(c.Key[0]/2)))
		}
		last = slices.Clone(b.End)
		if err := x.Ack(t.Context(), last); err != nil {
			t.Fatal(err)
		}
	}
}

func newIncremental(n *numbers) *Incremental {
	return NewIncremental(n, IncrementalOptions{ChunkRows: 4, Log: slog.New(slog.DiscardHandler)})
}

func order(typ string, tables ...string) Signal {
	return Signal{Type: typ, Data: SignalData{Collections: tables}}
}

func TestIncrementalObeys(t *testing.T) {
	n := &numbers{step: make(chan struct{}, 8), again: 2}
	x := newIncremental(n)
	if err := x.Open(t.Context(), capture.Position("1")); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = x.Close() }()
	done := 0
	first := order(Execute, "A|b")
	first.Done = func() { done++ }
	x.Signal(order(Execute, "nothing"))
	x.Signal(order("dance"))
	x.Signal(first)
	x.Signal(order(Pause))
	rows, last := follow(t, x)
	if len(rows) > 0 || done != 1 {
		t.Errorf("paused at once: %v, done %d", rows, done)
	}
	if inner, working := Split(last); string(inner) != "1" || !working {
		t.Errorf("position %s", last)
	}
	x.Signal(order(Stop, "b"))
	x.Signal(order(Resume))
	rows, last = follow(t, x)
	if len(rows) != 10 || rows[0] != "a0" || rows[9] != "a9" || len(n.asked) != 3 {
		t.Errorf("rows %v in %d chunks", rows, len(n.asked))
	}
	if string(last) != "1" || x.Working() {
		t.Errorf("position at the end %s", last)
	}
}

func TestIncrementalGoesOn(t *testing.T) {
	state, err := json.Marshal(stored{json.RawMessage(`7`), &progress{Tables: []work{{Table: "b", After: [][]byte{{5}}, Filter: "x"}, {Table: "gone"}}}})
	if err != nil {
		t.Fatal(err)
	}
	n := &numbers{step: make(chan struct{})}
	x := newIncremental(n)
	if err := x.Open(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	rows, last := follow(t, x)
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(rows, []string{"b6", "b7", "b8", "b9"}) || string(last) != "7" || n.asked[0].Filter != "x" {
		t.Errorf("rows %v, position %s, asked %+v", rows, last, n.asked)
	}
	if err := x.Open(t.Context(), capture.Position(`{"incremental":null}`)); !fault.NeedsHuman(err) {
		t.Errorf("damaged position: %v", err)
	}
}

func TestSignalsThatAreNone(t *testing.T) {
	for text, ok := range map[string]bool{
		`{"type":"execute-snapshot","data":{"data-collections":["s.t"],"type":"incremental"}}`: true,
		`{"type":"pause-snapshot"}`:                                                       true,
		`{"type":"execute-snapshot","data":{"data-collections":[]}}`:                      false,
		`{"type":"execute-snapshot","data":{"data-collections":["("]}}`:                   false,
		`{"type":"execute-snapshot","data":{"data-collections":["a"],"type":"BLOCKING"}}`: false,
		`{"type":"execute-snapshot","data":"x"}`:                                          false,
		`[]`:                                                                              false,
		`{"type":"log"}`:                                                                  false,
	} {
		if _, err := ParseMessage([]byte(text)); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}
