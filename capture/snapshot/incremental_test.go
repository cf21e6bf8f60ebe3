package snapshot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
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

	blocked []string // positions and progress of Block

	slow  time.Duration // how long Captured takes
	fails int           // how often it fails
}

func (n *numbers) Open(context.Context, capture.Position) error { return nil }
func (n *numbers) Close() error                                 { return nil }
func (n *numbers) Hurry(bool)                                   {}
func (n *numbers) Streaming(capture.Position) bool              { return true }
func (n *numbers) Ack(_ context.Context, p capture.Position) error {
	n.acked = append(n.acked, string(p))
	return nil
}
func (n *numbers) Captured(ctx context.Context) ([]envelope.TableID, error) {
	if n.slow > 0 {
		select {
		case <-time.After(n.slow):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if n.fails > 0 {
		n.fails--
		return nil, errors.New("connection lost")
	}
	return []envelope.TableID{{Name: "a"}, {Name: "b"}}, nil
}

// Block keeps what it was asked for in the position, as a source does.
func (n *numbers) Block(at capture.Position, p Progress) (capture.Position, error) {
	text, err := json.Marshal(p)
	n.blocked = append(n.blocked, string(at)+" "+string(text))
	return at, err
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

func newIncremental(n Chunks) *Incremental {
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

// A chunk that was read before its table was truncated must not bring its rows
// back.
func TestTruncatedTableLosesItsChunk(t *testing.T) {
	for truncated, want := range map[string]int{"a": 0, "b": 4} {
		n := &numbers{}
		x := newIncremental(n)
		x.at = progress{Tables: []work{{Table: "a"}}}
		w := &window{table: envelope.TableID{Name: "a"}, work: x.at.Tables[0], keys: make(map[string]bool), empty: make(map[string]bool)}
		var err error
		if w.res, err = n.Chunk(t.Context(), ChunkRequest{Table: w.table, Limit: 4}, &w.rows); err != nil {
			t.Fatal(err)
		}
		x.window = w
		var stream, out capture.Batch
		c := stream.Next()
		c.Op, c.Table = envelope.Truncate, &envelope.Table{ID: envelope.TableID{Name: truncated}}
		x.note(&stream)
		if err := x.finish(&out); err != nil {
			t.Fatal(err)
		}
		if len(out.List) != want {
			t.Errorf("%s was truncated: %d rows of a, want %d", truncated, len(out.List), want)
		}
	}
}

func TestSignalsThatAreNone(t *testing.T) {
	for text, ok := range map[string]bool{
		`{"type":"execute-snapshot","data":{"data-collections":["s.t"],"type":"incremental"}}`: true,
		`{"type":"pause-snapshot"}`:                                                      true,
		`{"type":"execute-snapshot","data":{"data-collections":[]}}`:                     false,
		`{"type":"execute-snapshot","data":{"data-collections":["("]}}`:                  false,
		`{"type":"execute-snapshot","data":{"data-collections":["a"],"type":"PARTIAL"}}`: false,
		`{"type":"execute-snapshot","data":"x"}`:                                         false,
		`[]`:                                                                             false,
		`{"type":"schema-changes"}`:                                                      false,
	} {
		if _, err := ParseMessage([]byte(text)); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// rowsOf is a Reader of rows with two columns: what to read by, and a number.
type rowsOf [][2]byte

func (r rowsOf) Read(_ context.Context, c Chunk, row func(cells [][]byte) error) error {
	n := 0
	for _, x := range r {
		if c.After != nil && x[0] <= c.After[0][0] || n == c.Limit {
			continue
		}
		n++
		if err := row([][]byte{{x[0]}, {x[1]}}); err != nil {
			return err
		}
	}
	return nil
}

// TestSurrogateKeys reads a table without a key by a column that has values
// several times: each row comes once.
func TestSurrogateKeys(t *testing.T) {
	byte1 := func(dst, src []byte) ([]byte, error) { return envelope.AppendLong(dst, int64(src[0])), nil }
	codec := &envelope.Codec{Table: &envelope.Table{ID: envelope.TableID{Name: "t"}, Columns: []envelope.Column{
		{Name: "at", Type: envelope.TypeOf(envelope.Int)}, {Name: "n", Type: envelope.TypeOf(envelope.Int), Nullable: true},
	}}, Columns: []envelope.Append{byte1, byte1}}
	rows := rowsOf{{1, 1}, {2, 2}, {2, 3}, {2, 4}, {3, 5}, {4, 6}, {4, 7}, {5, 8}}
	ordered, err := OrderBy(codec, "at")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	r := ChunkRequest{Table: codec.Table.ID, Limit: 4, Surrogate: "at"}
	for {
		var out envelope.Changes
		res, err := ReadChunk(t.Context(), rows, codec, ordered, r, envelope.Source{}, &out)
		if err != nil {
			t.Fatal(err)
		}
		if res.Rows != len(out.List) {
			t.Errorf("%d rows, %d told", len(out.List), res.Rows)
		}
		for i := range out.List {
			if c := &out.List[i]; c.Key != nil || c.Table != codec.Table {
				t.Errorf("row of %v with key %x", c.Table, c.Key)
			}
			got = append(got, string(codec.Table.Cell(out.List[i].After, 1)))
		}
		if res.Held == 0 && res.Rows < r.Limit {
			break
		}
		r.After = res.Last
	}
	want := []string{"\x02\x02", "\x02\x04", "\x02\x06", "\x02\x08", "\x02\x0a", "\x02\x0c", "\x02\x0e", "\x02\x10"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	r.After, r.Limit = [][]byte{{1}}, 3
	var out envelope.Changes
	if _, err := ReadChunk(t.Context(), rows, codec, ordered, r, envelope.Source{}, &out); !fault.NeedsHuman(err) {
		t.Errorf("a chunk of one value: %v", err)
	}
	for _, column := range []string{"n", "x"} {
		if _, err := OrderBy(codec, column); !fault.NeedsHuman(err) {
			t.Errorf("by column %s: %v", column, err)
		}
	}
	if _, err := ReadChunk(t.Context(), rows, codec, codec, ChunkRequest{Limit: 3}, envelope.Source{}, &out); !fault.NeedsHuman(err) || fault.Hint(err) == "" {
		t.Errorf("without a key: %v", err)
	}
}

// TestChangesOfASurrogateKey: rows whose value is in a change since the chunk
// began are dropped, though their table has no key.
func TestChangesOfASurrogateKey(t *testing.T) {
	table := &envelope.Table{ID: envelope.TableID{Name: "a"}, Columns: []envelope.Column{{Name: "at", Type: envelope.TypeOf(envelope.Int)}}}
	row := func(n int32) envelope.Row { return envelope.AppendInt(nil, n) }
	x := newIncremental(&numbers{})
	x.at.Tables = []work{{Table: "a", By: "at"}}
	w := &window{table: table.ID, work: x.at.Tables[0], keys: make(map[string]bool), empty: make(map[string]bool), done: make(chan struct{})}
	close(w.done)
	x.window = w
	var b capture.Batch
	c := b.Next()
	c.Op, c.Table, c.Before, c.After = envelope.Update, table, row(1), row(2)
	x.note(&b)
	for n := range int32(4) {
		c := w.rows.Next()
		c.Op, c.Table, c.After = envelope.Read, table, row(n)
	}
	w.res.Rows = 4
	b.Reset()
	if err := x.finish(&b); err != nil {
		t.Fatal(err)
	}
	if len(b.List) != 2 || string(b.List[0].After) != string(row(0)) || string(b.List[1].After) != string(row(3)) {
		t.Errorf("%d rows are left", len(b.List))
	}
}

// chunked has one table of large rows, which it reads as sources do.
type chunked struct {
	numbers
	codec *envelope.Codec
	rows  rowsOf // a key, and how many MiB the row has
	sent  int
}

func (d *chunked) Captured(context.Context) ([]envelope.TableID, error) {
	return []envelope.TableID{d.codec.Table.ID}, nil
}

func (d *chunked) Chunk(ctx context.Context, r ChunkRequest, out *envelope.Changes) (ChunkResult, error) {
	ordered := d.codec
	if r.Surrogate != "" {
		var err error
		if ordered, err = OrderBy(d.codec, r.Surrogate); err != nil {
			return ChunkResult{}, err
		}
	}
	res, err := ReadChunk(ctx, d, d.codec, ordered, r, envelope.Source{}, out)
	res.Mark = string(r.Since)
	return res, err
}

func (d *chunked) Read(ctx context.Context, c Chunk, row func(cells [][]byte) error) error {
	return d.rows.Read(ctx, c, func(cells [][]byte) error {
		d.sent++
		cells[1] = make([]byte, int(cells[1][0])<<20-1<<10)
		return row(cells)
	})
}

// TestChunksAreBoundedByBytes: of large rows a chunk has no more than fit, the
// others come with the next ones, and these ask for fewer.
func TestChunksAreBoundedByBytes(t *testing.T) {
	number := func(dst, src []byte) ([]byte, error) { return envelope.AppendLong(dst, int64(src[0])), nil }
	body := func(dst, src []byte) ([]byte, error) { return append(dst, src...), nil }
	for by, most := range map[string]int{"": 4, "n": 5} { // as many as fit, or those of one value
		d := &chunked{numbers: numbers{step: make(chan struct{})}, codec: &envelope.Codec{
			Table: &envelope.Table{ID: envelope.TableID{Name: "t"}, Columns: []envelope.Column{
				{Name: "n", Type: envelope.TypeOf(envelope.Int)}, {Name: "body", Type: envelope.TypeOf(envelope.Bytes)},
			}}, Columns: []envelope.Append{number, body},
		}}
		for i := range 40 {
			key := byte(i)
			if by == "" {
				d.codec.Table.Key = []int{0}
			} else {
				key /= 5 // several rows of a value
			}
			d.rows = append(d.rows, [2]byte{key, 1})
		}
		d.rows[20][1] = 6
		x := newIncremental(d)
		x.opts.ChunkRows = 16
		if err := x.Open(t.Context(), capture.Position("1")); err != nil {
			t.Fatal(err)
		}
		s := order(Execute, "t")
		s.Data.Surrogate = by
		x.Signal(s)
		got := 0
		for {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			b, err := x.Next(ctx)
			cancel()
			if err != nil {
				break
			}
			if got += len(b.List); len(b.List) > most {
				t.Errorf("%q: a chunk of %d rows", by, len(b.List))
			}
		}
		if err := x.Close(); err != nil {
			t.Error(err)
		}
		if got != len(d.rows) {
			t.Errorf("%q: %d rows, want %d", by, got, len(d.rows))
		}
		if by == "" && d.sent > 16+2*len(d.rows) {
			t.Errorf("%d rows were read of %d", d.sent, len(d.rows))
		}
	}
}

func TestPace(t *testing.T) {
	var p pace
	at := time.Unix(1000, 0)
	for i, c := range []struct {
		after time.Duration
		table string
		rows  int64
		want  string
	}{
		{0, "a", 100, "[]"}, {time.Second, "a", 200, "[]"}, {10 * time.Second, "a", 1100, "[rows 1100 rows_per_second 100 expected 5000 left 39s]"},
		{15 * time.Second, "a", 1600, "[]"}, {20 * time.Second, "a", 6100, "[rows 6100 rows_per_second 300]"}, {40 * time.Second, "b", 10, "[]"},
	} {
		if got := fmt.Sprint(p.tell(at.Add(c.after), c.table, c.rows, 5000)); got != c.want {
			t.Errorf("%d: %s, want %s", i, got, c.want)
		}
	}
}

// TestSignalsAreNotLost: neither the deadline of a heartbeat nor a fault while a
// signal is obeyed loses it.
func TestSignalsAreNotLost(t *testing.T) {
	n := &numbers{step: make(chan struct{}), slow: 50 * time.Millisecond, fails: 1}
	x := newIncremental(n)
	if err := x.Open(t.Context(), capture.Position("1")); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = x.Close() }()
	done := 0
	s := order(Execute, "a")
	s.Done = func() { done++ }
	x.Signal(s)
	for _, fails := range []bool{true, false} { // both have less time than it takes
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		_, err := x.Next(ctx)
		cancel()
		if fails != (err != nil && strings.Contains(err.Error(), "connection lost")) || done > 0 {
			t.Errorf("%v, %d done", err, done)
		}
	}
	if rows, _ := follow(t, x); len(rows) != 10 || done != 1 {
		t.Errorf("%d rows were read, want 10; done %d times", len(rows), done)
	}
	ended, cancel := context.WithCancel(t.Context())
	x.Signal(order(Execute, "b"))
	n.slow = time.Minute
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := x.Next(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("told to end: %v", err)
	}
}
