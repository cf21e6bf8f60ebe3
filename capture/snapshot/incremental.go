package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/capture"
	"tributary/envelope"
	"tributary/internal/fault"
)

// refusals is how often a chunk is tried before what it asks for is taken to be
// wrong: between the reading of a table's definition and of its rows the table may
// have been altered.
const refusals = 3

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
	limit  int              // rows of its next chunk, 0 = ChunkRows
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
	limit int             // rows that it may have
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
	x.last, x.at, x.dirty, x.window, x.table, x.limit, x.reopen = slices.Clone(inner), at, false, nil, envelope.TableID{}, 0, false
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

// streaming reports whether the source is past its snapshots.
func (x *Incremental) streaming() bool { return len(x.last) > 0 && x.chunks.Streaming(x.last) }

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
	w.limit = cmp.Or(x.limit, x.opts.ChunkRows)
	x.window = w
	x.chunks.Hurry(true)
	r := ChunkRequest{Table: x.table, After: t.After, Limit: w.limit, Filter: t.Filter, Since: slices.Clone(x.last), Aside: x.opts.Aside, Surrogate: t.By}
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
		return true, nil //nolint:nilerr // finish tells
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
	x.fit(w)
	if w.res.Held == 0 && w.res.Rows < w.limit {
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

// scanned tells that the table in work is done, and all if it is the last.
func (x *Incremental) scanned(t *work, status string) {
	x.tell("TABLE_SCAN_COMPLETED", t.Signal, "data_collections", x.names(), "scanned_collection", t.Table,
		"total_rows_scanned", strconv.FormatInt(t.Rows, 10), "status", status)
	if len(x.at.Tables) == 1 {
		x.tell("COMPLETED", t.Signal)
	}
}

// fit has the next chunk ask for about as many rows as there is room for, if rows
// are large: what is read beyond that is read again. With a surrogate key it must
// not ask for fewer than one of its values may have.
func (x *Incremental) fit(w *window) {
	switch {
	case w.work.By != "":
	case w.res.Held > 0:
		x.limit = max(w.res.Rows, 1)
	case x.limit > 0 && len(w.rows.Buf) < chunkBytes/2:
		x.limit = min(2*x.limit, x.opts.ChunkRows)
	}
}

func (x *Incremental) next() {
	x.table, x.limit = envelope.TableID{}, 0
	x.at.Tables = x.at.Tables[1:]
	x.at.done()
}
