package snapshot

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/capture"
	"tributary/envelope"
)

// TestBlockingOrder: the position that waits for a snapshot is told before the
// source is opened anew; one that comes while another waits is kept.
func TestBlockingOrder(t *testing.T) {
	n := &numbers{step: make(chan struct{}, 8)}
	x := newIncremental(n)
	if err := x.Open(t.Context(), capture.Position("1")); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = x.Close() }()
	done := 0
	first := order(Execute, "a", "b")
	first.Data.Type, first.Done = "BLOCKING", func() { done++ }
	first.Data.Conditions = []Condition{{Collection: "a", Filter: " select * from a where n > 5 ;"}, {Collection: "B", Filter: "n < 5"}}
	second := order(Execute, "b")
	second.Data.Type = "blocking"
	none := order(Execute, "c")
	none.Data.Type = "blocking"
	for _, s := range []Signal{none, first, second} {
		x.Signal(s)
	}
	var at capture.Position
	for i, want := range []string{
		`1 {"only":[{"table":"a","select":"select * from a where n \u003e 5"},{"table":"b","filter":"n \u003c 5"}],"waits":true}`,
		`1 {"only":[{"table":"b"}],"waits":true}`,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		b, err := x.Next(ctx)
		if err != nil || len(b.List) > 0 {
			t.Fatalf("%v, %v", b, err)
		}
		at = slices.Clone(b.End)
		if err := x.Ack(ctx, at); err != nil {
			t.Fatal(err)
		}
		if len(n.blocked) != i+1 || n.blocked[i] != want {
			t.Errorf("blocked %q, want %q", n.blocked, want)
		}
		if _, err := x.Next(ctx); !errors.Is(err, capture.ErrReopen) {
			t.Fatalf("%v", err)
		}
		if err := errors.Join(x.Close(), x.Open(ctx, at)); err != nil {
			t.Fatal(err)
		}
	}
	if done != 1 || string(at) != "1" || x.Working() {
		t.Errorf("obeyed %d times, position %s, working %v", done, at, x.Working())
	}
}

// TestBlockingGivenUp: a statement that the server refuses does not keep the log
// from going on; what was read before it is delivered.
func TestBlockingGivenUp(t *testing.T) {
	refused := errors.New("refused")
	c := codec("b", 0)
	c.Columns[0] = func(dst, _ []byte) ([]byte, error) { return dst, refused }
	p := Plan{
		Tables: []*envelope.Codec{codec("a", 0), c}, Progress: Progress{Only: []Part{{Table: "a"}, {Table: "b"}}},
		GiveUp: func(err error) bool { return errors.Is(err, refused) }, Log: slog.New(slog.DiscardHandler),
	}
	s := &sink{limit: 100, stop: 100}
	if err := p.Run(t.Context(), newDatabase(), &envelope.Changes{}, s); err != nil || !s.done {
		t.Fatalf("%v, done %v", err, s.done)
	}
	if got := strings.Join(s.out, ", "); len(s.out) != 6 || !strings.HasSuffix(got, "a 6 last") {
		t.Errorf("got %s", got)
	}
	p.Progress.Only = nil
	if err := p.Run(t.Context(), newDatabase(), &envelope.Changes{}, s); !errors.Is(err, refused) {
		t.Errorf("the first snapshot gives up: %v", err)
	}
}
