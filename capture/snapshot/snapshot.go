package snapshot

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"tributary/capture"
	"tributary/envelope"
)

// Chunk is a stretch of a table.
type Chunk struct {
	Codec *envelope.Codec
	// After is the key, as cells in the key's order, after which the chunk
	// begins; nil = at the first row. Of a table that is read by places it is a
	// place.
	After [][]byte
	// Limit is the greatest number of rows; 0 = all that are left.
	Limit int
	// Upto is the key of the last row; nil = Limit tells the end.
	Upto [][]byte
	// Filter is a condition in SQL for the rows, "" = all.
	Filter string
}

// Reader reads rows of a consistent view of the database.
type Reader interface {
	// Read calls row for each row of c, in key order if the table has a key.
	// cells are in the order of Codec.Table.Columns, nil for NULL, in the form
	// that Codec and Chunk.After take; they are valid during the call only.
	// An error of row ends the reading and is returned as it is.
	Read(ctx context.Context, c Chunk, row func(cells [][]byte) error) error
}

// Progress is how far a snapshot has come. It is part of a Source's position;
// the zero value is the beginning.
type Progress struct {
	Done  []string `json:"done,omitempty"`  // tables that are complete, by envelope.TableID.String
	Table string   `json:"table,omitempty"` // the table in work
	After [][]byte `json:"after,omitempty"` // key of its last row delivered
	Rows  int64    `json:"rows,omitempty"`  // rows delivered so far, of all tables

	// Only are the tables that are read, of a snapshot for which the log waits
	// (see Blocking); nil = all.
	Only []Part `json:"only,omitempty"`
	// Waits is set until such a snapshot has begun: the log is yet to be
	// followed to the moment of its view.
	Waits bool `json:"waits,omitempty"`
}

// Plan is a snapshot to be taken.
type Plan struct {
	Tables    []*envelope.Codec // in the order of reading
	Progress  Progress          // where to go on
	Source    envelope.Source   // what every row carries; Snapshot is set by Run
	ChunkRows int               // rows of a chunk, 0 = DefaultChunkRows
	// ListBytes is how many bytes of rows a list has at most, unless it has a
	// single row; 0 = as many as capture.DefaultLimits says. Lists end at what
	// Flush calls full, too.
	ListBytes int
	Now       func() time.Time // clock for Change.TsNs; nil = time.Now
	// Readers are further readers of the same view, each with a connection of
	// its own, and Splitter finds the chunks for them: with these, chunks are
	// read at the same time. What is delivered, and in which order, does not
	// depend on it.
	Readers  []Reader
	Splitter Splitter
	// Placed reports whether a table without a key is read by the places of its
	// rows: the Reader gives each row PlaceCells cells more, of which After and
	// Upto are made, and reads rows in the order of places. nil = none is.
	Placed func(c *envelope.Codec) bool
	// Aside is whether a row that has no form in events becomes a change with
	// Op Failed instead of an error.
	Aside bool
	// GiveUp reports whether an error of a snapshot for which the log waits lies
	// in what was asked for: then it ends there, instead of keeping the log from
	// going on. nil = none does.
	GiveUp func(err error) bool
	Log    *slog.Logger // with GiveUp
}

// Names are those of the tables, in their order.
func (p *Plan) Names() []string {
	var out []string
	for _, c := range p.Tables {
		out = append(out, c.Table.ID.String())
	}
	return out
}

// PlaceCells is how many cells tell the place of a row.
const PlaceCells = 2

// DefaultChunkRows is a compromise: each chunk costs an index descent and a
// round trip, and within a chunk the server holds the rows in key order.
const DefaultChunkRows = 100_000

// Flush takes a filled list of changes together with the progress after its
// last one, and returns an empty list to go on with. The progress is nil when
// the snapshot is complete; the list may then be empty. Full reports whether a
// list is to be flushed before a further change is added.
type Flush interface {
	Full(c *envelope.Changes) bool
	Flush(ctx context.Context, c *envelope.Changes, after *Progress) (*envelope.Changes, error)
}

// run is the state of Plan.Run.
type run struct {
	Plan
	out  Flush
	list *envelope.Changes
	done map[string]bool

	codec *envelope.Codec
	cells int    // that tell where a row of it is
	first bool   // nothing has been delivered for codec's table
	last  []byte // key cells of the last row, concatenated
	ends  []int  // end of each in last; -1 = none yet
	tsNs  int64

	widest int // bytes of the widest row that was the first of a list
}

// Run reads all that is left of the plan and flushes it. The last flush, with
// which the snapshot is complete, comes even if there is nothing left.
func (p Plan) Run(ctx context.Context, r Reader, list *envelope.Changes, out Flush) error {
	if p.ChunkRows == 0 {
		p.ChunkRows = DefaultChunkRows
	}
	if p.ListBytes == 0 {
		p.ListBytes = capture.DefaultLimits().Bytes
	}
	if p.Now == nil {
		p.Now = time.Now
	}
	s := &run{Plan: p, out: out, list: list, done: make(map[string]bool)}
	for _, name := range p.Progress.Done {
		s.done[name] = true
	}
	var left []*envelope.Codec
	for _, c := range p.Tables {
		if !s.done[c.Table.ID.String()] {
			left = append(left, c)
		}
	}
	if err := s.tables(ctx, r, left); err != nil {
		if s.Progress.Only == nil || s.GiveUp == nil || ctx.Err() != nil || !s.GiveUp(err) {
			return err
		}
		s.Log.Error("blocking snapshot given up; the log goes on", "rows", s.Progress.Rows, "error", err)
	}
	if n := len(s.list.List); n > 0 {
		s.list.List[n-1].Source.Snapshot = envelope.SnapshotLast
	}
	_, err := s.out.Flush(ctx, s.list, nil)
	return err
}

func (s *run) tables(ctx context.Context, r Reader, left []*envelope.Codec) error {
	if len(s.Readers) > 0 && s.Splitter != nil {
		return s.parallel(ctx, append([]Reader{r}, s.Readers...), left)
	}
	for _, c := range left {
		if err := s.table(ctx, r, c); err != nil {
			return err
		}
	}
	return nil
}

// begin is the first chunk of what is left of a table.
func (p *Plan) begin(c *envelope.Codec) Chunk {
	chunk := Chunk{Codec: c}
	if len(c.Table.Key) > 0 {
		chunk.Limit = p.ChunkRows
	}
	if p.places(c) > 0 && p.Progress.Table == c.Table.ID.String() {
		chunk.After = p.Progress.After
	}
	return chunk
}

// places is how many cells tell where a row of a table is: those of its key, or
// of its place; 0 = nothing tells.
func (p *Plan) places(c *envelope.Codec) int {
	switch {
	case len(c.Table.Key) > 0:
		return len(c.Table.Key)
	case p.Placed != nil && p.Placed(c):
		return PlaceCells
	}
	return 0
}

// place is the i-th of those cells of a row.
func place(c *envelope.Codec, cells [][]byte, i int) []byte {
	if k := c.Table.Key; len(k) > 0 {
		return cells[k[i]]
	}
	return cells[len(c.Columns)+i]
}

// open makes the table of a chunk, its first one, the one in work.
func (s *run) open(chunk *Chunk) {
	s.codec, s.cells, s.first = chunk.Codec, s.places(chunk.Codec), chunk.After == nil
	s.Progress.Table, s.Progress.After = chunk.Codec.Table.ID.String(), chunk.After
}

func (s *run) table(ctx context.Context, r Reader, c *envelope.Codec) error {
	name := c.Table.ID.String()
	chunk := s.begin(c)
	s.open(&chunk)
	for {
		n := 0
		s.tsNs = s.Now().UnixNano()
		err := r.Read(ctx, chunk, func(cells [][]byte) error {
			n++
			return s.row(ctx, cells)
		})
		if err != nil {
			return fmt.Errorf("snapshot of %s: %w", name, err)
		}
		if chunk.Limit == 0 || n < chunk.Limit {
			break
		}
		chunk.After = s.after()
	}
	s.finish(name)
	return nil
}

// row adds one row. A list is flushed when the row after its last one is
// there, so that the last row of a table is still at hand to be marked.
func (s *run) row(ctx context.Context, cells [][]byte) error {
	if err := s.room(ctx, sizeOf(s.codec, cells)); err != nil {
		return err
	}
	l := s.list
	if err := s.appendRow(l, s.codec, cells, s.tsNs); err != nil {
		return err
	}
	l.List[len(l.List)-1].Source.Snapshot = s.mark()
	if s.cells > 0 {
		s.last, s.ends = s.last[:0], s.ends[:0]
		for i := range s.cells {
			s.last = append(s.last, place(s.codec, cells, i)...)
			s.ends = append(s.ends, len(s.last))
		}
	}
	s.first = false
	s.Progress.Rows++
	return nil
}

// sizeOf is about how many bytes a row and its key have when they are encoded.
func sizeOf(codec *envelope.Codec, cells [][]byte) int {
	n := 2 * len(cells)
	for _, c := range cells {
		n += len(c)
	}
	for _, k := range codec.Table.Key {
		n += len(cells[k]) + 2
	}
	return n
}

// room makes room for a row of n bytes: it flushes what has none. A list has
// memory for as much as it is likely to hold from its first row on, as rows keep
// each array that they have grown out of.
func (s *run) room(ctx context.Context, n int) error {
	l := s.list
	if len(l.List) > 0 && (len(l.Buf)+n > s.ListBytes || s.out.Full(l)) {
		if err := s.flush(ctx); err != nil {
			return err
		}
		l = s.list
	}
	switch need := len(l.Buf) + n; {
	case cap(l.Buf) >= need:
	case len(l.Buf) > 0:
		l.Buf = slices.Grow(l.Buf, max(n, min(len(l.Buf), s.ListBytes-len(l.Buf))))
	default:
		s.widest = max(s.widest, n)
		want := min(s.ListBytes, s.widest*capture.DefaultLimits().Changes)
		l.Buf = make([]byte, 0, max(n, want+want/16))
	}
	return nil
}

// appendRow adds the change that a row becomes.
func (p *Plan) appendRow(l *envelope.Changes, codec *envelope.Codec, cells [][]byte, tsNs int64) error {
	n, start := len(l.List), len(l.Buf)
	c := l.Next()
	c.Op, c.Source, c.TsNs = envelope.Read, p.Source, tsNs
	if n := len(codec.Columns); len(cells) > n && len(codec.Table.Key) == 0 {
		cells = cells[:n] // without the place
	}
	err := encode(l, c, codec, cells)
	if err == nil {
		return nil
	}
	l.List, l.Buf = l.List[:n], l.Buf[:start]
	if !p.Aside {
		return err
	}
	c = l.Next()
	c.Op, c.Source, c.TsNs = envelope.Failed, p.Source, tsNs
	c.Event = &envelope.Event{Failure: &envelope.Failure{Table: codec.Table.ID, Reason: err.Error(), Raw: bytes.Join(cells, []byte{'\t'})}}
	return nil
}

// encode fills in the row and its key.
func encode(l *envelope.Changes, c *envelope.Change, codec *envelope.Codec, cells [][]byte) error {
	c.Table = codec.Table
	var err error
	start := len(l.Buf)
	if l.Buf, err = codec.AppendRow(l.Buf, cells); err != nil {
		return err
	}
	c.After = l.Buf[start:len(l.Buf):len(l.Buf)]
	if len(codec.Table.Key) == 0 {
		return nil
	}
	start = len(l.Buf)
	if l.Buf, err = codec.AppendKey(l.Buf, cells); err != nil {
		return err
	}
	c.Key = l.Buf[start:len(l.Buf):len(l.Buf)]
	return nil
}

func (s *run) mark() envelope.Snapshot {
	switch {
	case s.Progress.Rows == 0:
		return envelope.SnapshotFirst
	case s.first:
		return envelope.SnapshotFirstInData
	default:
		return envelope.SnapshotTrue
	}
}

// after is the key of the last row, in memory of its own.
func (s *run) after() [][]byte {
	if len(s.ends) == 0 {
		return s.Progress.After
	}
	last := append([]byte(nil), s.last...)
	cells := make([][]byte, len(s.ends))
	start := 0
	for i, end := range s.ends {
		cells[i] = last[start:end:end]
		start = end
	}
	return cells
}

func (s *run) flush(ctx context.Context) error {
	s.Progress.After = nil
	if s.cells > 0 {
		s.Progress.After = s.after()
	}
	after := s.Progress
	next, err := s.out.Flush(ctx, s.list, &after)
	if err != nil {
		return err
	}
	s.list = next
	s.tsNs = s.Now().UnixNano()
	return nil
}

// finish marks the last row of the table and moves the progress past it.
func (s *run) finish(name string) {
	if n := len(s.list.List); n > 0 && s.list.List[n-1].Table == s.codec.Table && s.list.List[n-1].Source.Snapshot != envelope.SnapshotFirst {
		s.list.List[n-1].Source.Snapshot = envelope.SnapshotLastInData
	}
	s.Progress.Done = append(s.Progress.Done[:len(s.Progress.Done):len(s.Progress.Done)], name)
	s.Progress.Table, s.Progress.After = "", nil
	s.last, s.ends = s.last[:0], s.ends[:0]
}
