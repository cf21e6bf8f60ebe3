package snapshot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/capture"
	"tributary/envelope"
	"tributary/internal/fault"
)

// Chunks is a Source that can read stretches of tables while it streams, which
// an incremental snapshot is made of. Chunk may be called while another
// goroutine is in Next; the other methods may not.
type Chunks interface {
	capture.Source
	Blocking

	// Captured lists the tables that are captured.
	Captured(ctx context.Context) ([]envelope.TableID, error)

	// Chunk reads rows that are committed now into out, as changes with Op
	// Read. It sees every transaction whose changes Next had returned when it
	// was called, or it fails with ErrAgain. What the server refuses for what it
	// says fails as Refused, a table that is gone as ErrGone.
	Chunk(ctx context.Context, r ChunkRequest, out *envelope.Changes) (ChunkResult, error)

	// Reached reports whether a batch that ends at end, and those before it,
	// hold all changes of the transactions that a chunk with that mark saw.
	Reached(end capture.Position, mark string) (bool, error)

	// Streaming reports whether the position is past the first snapshot.
	Streaming(at capture.Position) bool

	// Hurry has positions told as soon as the log moves, until it is called
	// with false.
	Hurry(on bool)
}

// ErrAgain is what Chunk returns when it might have missed a transaction: it is
// to be called again after a moment.
var ErrAgain = errors.New("a transaction that was streamed is not visible yet")

// ErrGone is what Chunk returns when the table is not captured any more.
var ErrGone = errors.New("the table is not captured any more")

// refused is the error of a server that does not do what a chunk asks of it.
type refused struct{ error }

func (r refused) Unwrap() error { return r.error }

// Refused marks an error of Chunk that lies in what was asked for, the condition
// above all: no restart heals it. A nil err stays nil.
func Refused(err error) error {
	if err == nil {
		return nil
	}
	return refused{err}
}

// refusals is how often a chunk is tried before what it asks for is taken to be
// wrong: between the reading of a table's definition and of its rows the table may
// have been altered.
const refusals = 3

// ChunkRequest asks for a stretch of a table.
type ChunkRequest struct {
	Table  envelope.TableID
	After  [][]byte // key after which it begins, nil = at the first row
	Limit  int
	Filter string // SQL, "" = all rows
	// Surrogate is a column to read the table by, "" = its key.
	Surrogate string
	Since     capture.Position // where the stream stands
	Aside     bool             // a row that has no form in events becomes a change with Op Failed
}

// ChunkResult is what a chunk was.
type ChunkResult struct {
	Mark string   // for Reached
	Last [][]byte // key of its last row, nil if there was none
	Rows int
	Held int // rows that were read and left for the next chunk
	// Expected is how many rows the table has, as the server's statistics say;
	// 0 = unknown. It is told with the first chunk of a table alone.
	Expected int64
}

// progress is the state of incremental snapshots. It is stored with the
// position.
type progress struct {
	Tables []work `json:"tables"` // the first is in work
	Paused bool   `json:"paused,omitempty"`
	// Blocks are blocking snapshots that have not begun.
	Blocks [][]Part `json:"blocks,omitempty"`
}

func (p *progress) none() bool { return len(p.Tables) == 0 && len(p.Blocks) == 0 }

// done forgets the incremental snapshots where no table is left.
func (p *progress) done() {
	if len(p.Tables) == 0 {
		*p = progress{Blocks: p.Blocks}
	}
}

type work struct {
	Table  string   `json:"table"`
	Filter string   `json:"filter,omitempty"`
	Signal string   `json:"signal,omitempty"` // id of the one that asked for it
	By     string   `json:"by,omitempty"`     // surrogate-key
	Of     int64    `json:"of,omitempty"`     // rows expected, 0 = unknown
	After  [][]byte `json:"after,omitempty"`
	Rows   int64    `json:"rows,omitempty"`
}

// stored is a position while incremental snapshots are in work. Without them
// the position is the source's own.
type stored struct {
	Position    json.RawMessage `json:"position"`
	Incremental *progress       `json:"incremental"`
}

// IncrementalOptions are those of incremental snapshots.
type IncrementalOptions struct {
	ChunkRows int               // rows of a chunk
	Aside     bool              // keep rows aside that have no form in events
	Table     string            // signal table, "" = none
	Notifier  *capture.Notifier // nil = none
	Log       *slog.Logger
}

// Incremental takes snapshots of tables while a source streams. It is a Source
// itself: the rows come between the changes, in batches of the stream or of
// their own.
//
// The rows of a chunk are read at some moment between two positions of the
// stream. Rows whose key is in a change that the stream has in between are
// dropped: the change tells more. The rest is emitted when the stream has all
// that the chunk saw, so that no change of before comes after it; what comes
// after it is newer. Nothing is written to the database and nothing is locked.
type Incremental struct {
	chunks Chunks
	opts   IncrementalOptions

	mu    sync.Mutex
	queue []Signal      // orders not yet taken
	more  chan struct{} // cap 1: queue has some

	notes  envelope.Changes // notifications that are to be told with the next batch
	last   capture.Position // of the source, after the last batch
	at     progress
	dirty  bool     // at has changed since a position told it
	obeyed []func() // to be called when a position that tells dirty is acknowledged
	window *window
	reopen bool // the source is to be opened anew, for a blocking snapshot
	own    capture.Batch
	table  envelope.TableID // the first of at.Tables, once it is known
	pace   pace

	cancel  context.CancelFunc // of what reads chunks
	life    context.Context    //nolint:containedctx // from Open to Close
	wg      sync.WaitGroup
	reading sync.Mutex // a chunk that was given up may still be being read
}

// window is a chunk on its way.
type window struct {
	table envelope.TableID
	work  work            // as it was when the window opened
	keys  map[string]bool // of changes since it opened
	empty map[string]bool // tables that were truncated since
	rows  envelope.Changes
	early bool          // it is read, and the stream has yet to come there
	done  chan struct{} // closed when the fields below are set
	res   ChunkResult
	err   error
}

// NewIncremental wraps a source.
func NewIncremental(c Chunks, o IncrementalOptions) *Incremental {
	if o.ChunkRows < 1 {
		o.ChunkRows = 1024
	}
	return &Incremental{chunks: c, opts: o, more: make(chan struct{}, 1)}
}

// Signal gives an order. It may be called by other goroutines.
func (x *Incremental) Signal(s Signal) {
	x.mu.Lock()
	x.queue = append(x.queue, s)
	x.mu.Unlock()
	select {
	case x.more <- struct{}{}:
	default:
	}
}

// Working reports whether incremental snapshots are in work. It is for the
// goroutine that calls Next.
func (x *Incremental) Working() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return !x.at.none() || len(x.queue) > 0
}

// Split takes a stored position apart: that of the source, and whether
// incremental snapshots are in work.
func Split(p capture.Position) (capture.Position, bool) {
	inner, at, err := split(p)
	return inner, err == nil && !at.none()
}

func split(p capture.Position) (capture.Position, progress, error) {
	if !bytes.Contains(p, []byte(`"incremental":`)) {
		return p, progress{}, nil
	}
	var s stored
	if err := json.Unmarshal(p, &s); err != nil || s.Incremental == nil || len(s.Position) == 0 {
		return nil, progress{}, fault.Humanf("set another with offsets set, or reset it", "the stored position of an incremental snapshot is damaged")
	}
	return capture.Position(s.Position), *s.Incremental, nil
}

// wrap is a position together with the state.
func (x *Incremental) wrap(dst, p capture.Position) (capture.Position, error) {
	if x.at.none() {
		return append(dst[:0], p...), nil
	}
	text, err := json.Marshal(stored{json.RawMessage(p), &x.at})
	if err != nil {
		return nil, fmt.Errorf("write position: %w", err)
	}
	return append(dst[:0], text...), nil
}

// SnapshotPlan implements capture.Planner.
func (x *Incremental) SnapshotPlan() (capture.SnapshotPlan, bool) {
	if p, ok := x.chunks.(capture.Planner); ok {
		return p.SnapshotPlan()
	}
	return capture.SnapshotPlan{}, false
}

// Collectors are the source's own metrics, if it has such.
func (x *Incremental) Collectors() []prometheus.Collector {
	if own, ok := x.chunks.(interface{ Collectors() []prometheus.Collector }); ok {
		return own.Collectors()
	}
	return nil
}

// Open implements capture.Source.
func (x *Incremental) Open(ctx context.Context, resume capture.Position) error {
	inner, at, err := split(resume)
	if err != nil {
		return err
	}
	if err := x.chunks.Open(ctx, inner); err != nil {
		return err
	}
	x.last, x.at, x.dirty, x.window, x.table, x.reopen = slices.Clone(inner), at, false, nil, envelope.TableID{}, false
	x.life, x.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if len(at.Tables) > 0 {
		x.opts.Log.Info("incremental snapshot goes on", "table", at.Tables[0].Table, "rows", at.Tables[0].Rows, "tables", len(at.Tables), "paused", at.Paused)
	}
	return nil
}

// Close implements capture.Source.
func (x *Incremental) Close() error {
	if x.cancel != nil {
		x.cancel()
		x.wg.Wait()
		x.cancel = nil
	}
	return x.chunks.Close()
}

// Ack implements capture.Source.
func (x *Incremental) Ack(ctx context.Context, p capture.Position) error {
	inner, _, err := split(p)
	if err != nil {
		return err
	}
	if !x.dirty { // the position tells of all that was obeyed
		for _, done := range x.obeyed {
			done()
		}
		x.obeyed = nil
	}
	return x.chunks.Ack(ctx, inner)
}

// Next implements capture.Source.
func (x *Incremental) Next(ctx context.Context) (*capture.Batch, error) {
	for {
		if x.reopen {
			return nil, capture.ErrReopen
		}
		if err := x.take(ctx); err != nil {
			return nil, err
		}
		if len(x.at.Blocks) > 0 && x.streaming() {
			return x.block()
		}
		x.open()
		if b, err := x.alone(); b != nil || err != nil {
			return b, err
		}
		b, err := x.inner(ctx)
		if err != nil {
			return nil, err
		}
		if b != nil {
			return b, x.join(b)
		}
	}
}

// inner returns the source's next batch, nil when a signal or a chunk came
// first.
func (x *Incremental) inner(ctx context.Context) (*capture.Batch, error) {
	wake, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		var ready <-chan struct{}
		if x.window != nil && !x.window.early {
			ready = x.window.done
		}
		select {
		case <-done:
		case <-ready:
			cancel()
		case <-x.more:
			cancel()
		}
	})
	b, err := x.chunks.Next(wake)
	close(done)
	wg.Wait()
	if err != nil && ctx.Err() == nil && wake.Err() != nil && errors.Is(err, context.Canceled) {
		return nil, nil //nolint:nilnil // woken
	}
	return b, err
}

// ready reports whether the chunk has been read.
func (w *window) ready() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// take does what the signals say that have come.
func (x *Incremental) take(ctx context.Context) error {
	x.mu.Lock()
	orders := x.queue
	x.queue = nil
	x.mu.Unlock()
	for _, s := range orders {
		if err := x.obey(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (x *Incremental) obey(ctx context.Context, s Signal) error {
	if s.Done != nil {
		x.obeyed = append(x.obeyed, s.Done)
	}
	log := x.opts.Log.With("signal", s.Type, "id", s.ID)
	if err := s.Check(); err != nil {
		log.Warn("signal not understood", "error", err)
		return nil
	}
	if s.Type == Log {
		log.Info(strings.ReplaceAll(s.Data.Message, "{}", string(x.last)))
		return nil
	}
	x.dirty = true
	switch s.Type {
	case Pause, Resume:
		x.at.Paused = s.Type == Pause && len(x.at.Tables) > 0
		x.tell(map[bool]string{true: "PAUSED", false: "RESUMED"}[s.Type == Pause], s.ID, "data_collections", x.names())
		log.Info("incremental snapshots", "paused", x.at.Paused, "tables", len(x.at.Tables))
	case Stop:
		x.tell("STOPPED", s.ID, "data_collections", x.names())
		x.stop(&s)
		log.Info("incremental snapshots stopped", "left", len(x.at.Tables))
	case Execute:
		tables, err := x.chunks.Captured(ctx)
		if err != nil {
			return fmt.Errorf("signal %s: %w", s.Type, err)
		}
		tables = slices.DeleteFunc(tables, func(id envelope.TableID) bool { return !s.matches(id) })
		x.execute(&s, tables, log)
	}
	return nil
}

// execute takes tables into work.
func (x *Incremental) execute(s *Signal, tables []envelope.TableID, log *slog.Logger) {
	if s.blocking() {
		var parts []Part
		for _, id := range tables {
			parts = append(parts, s.part(id))
		}
		if len(parts) == 0 {
			log.Warn("no captured table is named", "data_collections", s.Data.Collections)
			return
		}
		x.at.Blocks = append(x.at.Blocks, parts)
		log.Info("blocking snapshot: the log waits until it is read", "tables", len(parts))
		return
	}
	added := 0
	for _, id := range tables {
		name := id.String()
		if !slices.ContainsFunc(x.at.Tables, func(w work) bool { return w.Table == name }) {
			x.at.Tables = append(x.at.Tables, work{Table: name, Filter: s.filter(id), Signal: s.ID, By: s.Data.Surrogate})
			added++
		}
	}
	if added == 0 {
		log.Warn("no captured table is named that is not in work already", "data_collections", s.Data.Collections)
		return
	}
	x.tell("STARTED", s.ID, "data_collections", x.names())
	log.Info("incremental snapshot begins", "tables", added, "in_work", len(x.at.Tables))
}

// tell makes a notification that goes with the next batch.
func (x *Incremental) tell(typ, id string, data ...string) {
	x.opts.Notifier.Add(&x.notes, capture.IncrementalSnapshot, typ, id, data...)
}

// names are the tables in work, with commas between.
func (x *Incremental) names() string {
	var out []string
	for _, t := range x.at.Tables {
		out = append(out, t.Table)
	}
	return strings.Join(out, ",")
}

// told adds the notifications to a batch.
func (x *Incremental) told(b *capture.Batch) {
	b.List = append(b.List, x.notes.List...)
	x.notes.Reset()
}

// stop takes tables out: those that the signal names, or all.
func (x *Incremental) stop(s *Signal) {
	first := ""
	if len(x.at.Tables) > 0 {
		first = x.at.Tables[0].Table
	}
	x.at.Tables = slices.DeleteFunc(x.at.Tables, func(w work) bool {
		return len(s.Data.Collections) == 0 || s.matches(envelope.TableID{Name: w.Table})
	})
	x.at.done()
	if w := x.window; w != nil && (len(x.at.Tables) == 0 || x.at.Tables[0].Table != first) {
		x.window, x.table = nil, envelope.TableID{} // what it reads is of no use; its goroutine ends by itself
	}
}

// streaming reports whether the source is past its snapshots.
func (x *Incremental) streaming() bool { return len(x.last) > 0 && x.chunks.Streaming(x.last) }

// block begins a blocking snapshot: it returns a batch of nothing but the
// position at which the source is then opened anew. The chunk that is being read
// is read again afterwards.
func (x *Incremental) block() (*capture.Batch, error) {
	at, err := x.chunks.Block(x.last, Progress{Only: x.at.Blocks[0], Waits: true})
	if err != nil {
		return nil, fmt.Errorf("begin a blocking snapshot: %w", err)
	}
	x.last, x.at.Blocks = at, x.at.Blocks[1:]
	x.reopen = true
	x.own.Reset()
	x.told(&x.own)
	x.dirty = false
	x.own.End, err = x.wrap(x.own.End, x.last)
	return &x.own, err
}

// open begins to read the next chunk, if there is one to read.
func (x *Incremental) open() {
	if x.window != nil || len(x.at.Tables) == 0 || x.at.Paused || !x.streaming() {
		if x.window == nil {
			x.chunks.Hurry(false)
		}
		return
	}
	t := x.at.Tables[0]
	w := &window{work: t, keys: make(map[string]bool), empty: make(map[string]bool), done: make(chan struct{})}
	x.window = w
	x.chunks.Hurry(true)
	r := ChunkRequest{Table: x.table, After: t.After, Limit: x.opts.ChunkRows, Filter: t.Filter, Since: slices.Clone(x.last), Aside: x.opts.Aside, Surrogate: t.By}
	x.wg.Go(func() {
		defer close(w.done)
		x.reading.Lock()
		defer x.reading.Unlock()
		w.err = x.read(x.life, w, r, t.Table)
	})
}

// read reads a chunk, again and again while it might have missed something.
func (x *Incremental) read(ctx context.Context, w *window, r ChunkRequest, name string) error {
	if r.Table == (envelope.TableID{}) {
		tables, err := x.chunks.Captured(ctx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(tables, func(id envelope.TableID) bool { return id.String() == name })
		if i < 0 {
			return ErrGone
		}
		r.Table = tables[i]
	}
	w.table = r.Table
	tries := 0
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		w.rows.Reset()
		var err error
		w.res, err = x.chunks.Chunk(ctx, r, &w.rows)
		if errors.As(err, &refused{}) {
			pause = max(pause, 100*time.Millisecond)
			if tries++; tries == refusals {
				return fault.Human(fault.Hinted(err, "correct the condition and the column of the signal, and give it again"), "")
			}
		} else if !errors.Is(err, ErrAgain) {
			return err
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
}

// alone returns a batch of the chunk's rows by themselves, when the stream is
// where it has to be already; or one that tells the state when nothing else
// does. nil if there is neither.
func (x *Incremental) alone() (*capture.Batch, error) {
	if x.window != nil && x.window.ready() {
		reached, err := x.reached()
		if err != nil {
			return nil, err
		}
		x.window.early = !reached
		if reached {
			x.own.Reset()
			if err := x.finish(&x.own); err != nil {
				return nil, err
			}
			x.own.End, err = x.wrap(x.own.End, x.last)
			x.dirty = false
			return &x.own, err
		}
	}
	if !x.dirty || len(x.last) == 0 {
		return nil, nil //nolint:nilnil // nothing
	}
	x.own.Reset()
	x.told(&x.own)
	x.dirty = false
	var err error
	x.own.End, err = x.wrap(x.own.End, x.last)
	return &x.own, err
}

func (x *Incremental) reached() (bool, error) {
	w := x.window
	if w.err != nil {
		return true, nil // finish tells
	}
	return x.chunks.Reached(x.last, w.res.Mark)
}

// join notes what a batch of the source has, and adds the chunk's rows if it
// has come far enough.
func (x *Incremental) join(b *capture.Batch) error {
	x.note(b)
	if len(b.End) > 0 {
		x.last = append(x.last[:0], b.End...)
	}
	if x.window != nil && x.window.ready() {
		reached, err := x.reached()
		if err != nil {
			return err
		}
		if reached {
			if err := x.finish(b); err != nil {
				return err
			}
		}
	}
	if len(b.End) == 0 {
		return nil
	}
	x.told(b)
	x.dirty = false
	var err error
	b.End, err = x.wrap(b.End, x.last)
	return err
}

// note takes the keys of a batch's changes, and the signals in it.
func (x *Incremental) note(b *capture.Batch) {
	for i := range b.List {
		c := &b.List[i]
		if c.Table == nil {
			continue
		}
		if w := x.window; w != nil { // whose table is not known while it is being read
			name := c.Table.ID.String() + "\x00"
			if c.Op == envelope.Truncate {
				w.empty[c.Table.ID.String()] = true
			}
			w.keys[name+string(c.Key)] = true
			if c.OldKey != nil {
				w.keys[name+string(c.OldKey)] = true
			}
			if c.Key == nil && w.work.By != "" && c.Table.ID.String() == w.work.Table {
				for _, row := range []envelope.Row{c.Before, c.After} {
					if cell := surrogate(c.Table, row, w.work.By); cell != nil {
						w.keys[name+string(cell)] = true
					}
				}
			}
		}
		if x.opts.Table != "" && c.Op == envelope.Create && c.Table.ID.String() == x.opts.Table {
			x.tableSignal(c)
		}
	}
}

// tableSignal takes a row that was inserted into the signal table: its columns
// are id, type and data, in this order.
func (x *Incremental) tableSignal(c *envelope.Change) {
	cells := c.Table.Texts(c.After)
	if len(cells) < 3 {
		x.opts.Log.Warn("the signal table needs three columns: id, type and data", "table", x.opts.Table)
		return
	}
	s, err := ParseSignal(cells[0], cells[1], []byte(cells[2]))
	if err != nil {
		x.opts.Log.Warn("signal not understood", "id", cells[0], "error", err)
		return
	}
	x.Signal(s)
}

// finish adds the rows of the chunk to b, as far as no change tells more, and
// moves on.
func (x *Incremental) finish(b *capture.Batch) error {
	w := x.window
	x.window = nil
	t := &x.at.Tables[0]
	log := x.opts.Log.With("table", t.Table)
	switch {
	case errors.Is(w.err, ErrGone), fault.NeedsHuman(w.err):
		log.Error("incremental snapshot of the table given up; the log goes on", "rows", t.Rows, "error", w.err, "hint", fault.Hint(w.err))
		x.scanned(t, "SKIPPED")
		x.next()
		x.told(b)
		return nil
	case w.err != nil:
		return fmt.Errorf("incremental snapshot of %s: %w", t.Table, w.err)
	}
	name, truncated := w.table.String()+"\x00", w.empty[w.table.String()]
	for i := range w.rows.List {
		c := &w.rows.List[i]
		// What was there before the table was truncated is gone; what has come
		// since is among the changes.
		if c.Table != nil && truncated {
			continue
		}
		if c.Table != nil && w.keys[name+string(keyOf(c, w.work.By))] {
			continue
		}
		c.Source.Snapshot = envelope.SnapshotIncremental
		b.List = append(b.List, *c)
	}
	t.Rows += int64(w.res.Rows)
	t.After, x.table = w.res.Last, w.table
	if w.res.Expected > 0 && t.Filter == "" {
		t.Of = w.res.Expected
	}
	log.Debug("chunk of an incremental snapshot", "rows", w.res.Rows, "keys_changed_meanwhile", len(w.keys))
	if args := x.pace.tell(time.Now(), t.Table, t.Rows, t.Of); args != nil {
		log.Info("incremental snapshot", args...)
	}
	if w.res.Rows+w.res.Held < x.opts.ChunkRows {
		log.Info("incremental snapshot of the table complete", "rows", t.Rows)
		status := "SUCCEEDED"
		if t.Rows == 0 {
			status = "EMPTY"
		}
		x.scanned(t, status)
		x.next()
	} else {
		x.tell("IN_PROGRESS", t.Signal, "data_collections", x.names(), "current_collection_in_progress", t.Table, "total_rows_scanned", strconv.FormatInt(t.Rows, 10))
	}
	x.told(b)
	return nil
}

// pace tells every now and then how a table goes on.
type pace struct {
	table string
	since time.Time // when it began, or was gone on with
	from  int64     // rows that had been read then
	told  time.Time
}

// tellEvery is how often the progress of an incremental snapshot is logged.
const tellEvery = 10 * time.Second

// tell returns attributes of a line of the log: rows, rows a second and, if it
// is known how many there are, how long it will take; nil if it is too early.
func (p *pace) tell(now time.Time, table string, rows, of int64) []any {
	if p.table != table || rows < p.from {
		*p = pace{table: table, since: now, from: rows, told: now}
		return nil
	}
	if now.Sub(p.told) < tellEvery {
		return nil
	}
	p.told = now
	rate := float64(rows-p.from) / max(now.Sub(p.since).Seconds(), 1e-3)
	out := []any{"rows", rows, "rows_per_second", int64(rate)}
	if of > rows && rate > 0 {
		out = append(out, "expected", of, "left", time.Duration(float64(of-rows)/rate*1e9).Round(time.Second).String())
	}
	return out
}

// scanned tells that the table in work is done, and all if it is the last.
func (x *Incremental) scanned(t *work, status string) {
	x.tell("TABLE_SCAN_COMPLETED", t.Signal, "data_collections", x.names(), "scanned_collection", t.Table,
		"total_rows_scanned", strconv.FormatInt(t.Rows, 10), "status", status)
	if len(x.at.Tables) == 1 {
		x.tell("COMPLETED", t.Signal)
	}
}

func (x *Incremental) next() {
	x.table = envelope.TableID{}
	x.at.Tables = x.at.Tables[1:]
	x.at.done()
}

// surrogate is the cell of a column by which a table is read, nil if the row has
// none.
func surrogate(t *envelope.Table, row envelope.Row, column string) []byte {
	i := slices.IndexFunc(t.Columns, func(c envelope.Column) bool { return c.Name == column })
	if row == nil || i < 0 {
		return nil
	}
	return t.Cell(row, i)
}

// keyOf is what tells a row of a chunk from others.
func keyOf(c *envelope.Change, by string) []byte {
	if c.Key == nil && by != "" {
		return surrogate(c.Table, c.After, by)
	}
	return c.Key
}

// OrderBy is a Codec of the table with a column as its key, for reading it in
// the order of that.
func OrderBy(codec *envelope.Codec, column string) (*envelope.Codec, error) {
	t := *codec.Table
	i := slices.IndexFunc(t.Columns, func(c envelope.Column) bool { return c.Name == column })
	switch {
	case i < 0:
		return nil, fault.Humanf("name another column as surrogate-key", "table %s has no column %q that is captured", t.ID, column)
	case t.Columns[i].Nullable:
		return nil, fault.Humanf("name another column as surrogate-key", "column %s of table %s may be null: rows would be passed over", column, t.ID)
	}
	t.Key = []int{i}
	return &envelope.Codec{Table: &t, Columns: codec.Columns}, nil
}

// ReadChunk reads a chunk with a Reader; source is what its rows carry. ordered
// is codec, or what OrderBy makes of it for a surrogate key.
func ReadChunk(ctx context.Context, from Reader, codec, ordered *envelope.Codec, r ChunkRequest, source envelope.Source, out *envelope.Changes) (res ChunkResult, err error) {
	if len(ordered.Table.Key) == 0 {
		return res, fault.Humanf("name a column with different values in each row as surrogate-key in the signal, or give the table a key", "table %s has no key: its rows cannot be told from those that change meanwhile", r.Table)
	}
	source.Snapshot = envelope.SnapshotIncremental
	plan := Plan{Source: source, Aside: r.Aside}
	now := time.Now().UnixNano()
	var before [][]byte // the key before the last
	same := 0           // rows at the end that have the key Last
	err = from.Read(ctx, Chunk{Codec: ordered, After: r.After, Limit: r.Limit, Filter: r.Filter}, func(cells [][]byte) error {
		if err := plan.appendRow(out, codec, cells, now); err != nil {
			return err
		}
		res.Rows++
		key := make([][]byte, 0, len(ordered.Table.Key))
		for _, k := range ordered.Table.Key {
			key = append(key, bytes.Clone(cells[k]))
		}
		if r.Surrogate != "" && slices.EqualFunc(key, res.Last, bytes.Equal) {
			same++
			return nil
		}
		before, res.Last, same = res.Last, key, 1
		return nil
	})
	if err != nil || r.Surrogate == "" || res.Rows < r.Limit {
		return res, err
	}
	// There may be more rows of the last value: they come with the next chunk.
	if same == res.Rows {
		return res, fault.Humanf("name a column with more different values, or raise incremental.snapshot.chunk.size", "table %s has %d rows or more of one value of %s", r.Table, same, r.Surrogate)
	}
	out.List = out.List[:len(out.List)-same]
	res.Rows, res.Held, res.Last = res.Rows-same, same, before
	return res, nil
}
