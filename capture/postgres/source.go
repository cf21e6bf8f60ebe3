package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tributary/capture"
	"tributary/envelope"
)

// Source captures one PostgreSQL database. It implements capture.Source.
type Source struct {
	opts   Options
	log    *slog.Logger
	filter *capture.Filter
	// prefixes says which logical messages are captured; nil = all.
	prefixes   func(prefix string) bool
	snapshotOf []*regexp.Regexp // tables that a snapshot reads; nil = all

	metrics *metrics
	look    time.Duration // how often to look for tables that are new
	opened  bool          // Open has succeeded before
	bad     sync.Map      // columns that had a value without form
	planned atomic.Pointer[capture.SnapshotPlan]

	life *life // between Open and Close
}

// life is what one Open makes and Close ends.
type life struct {
	cancel context.CancelCauseFunc
	done   chan struct{}
	watch  sync.WaitGroup
	pipe   *capture.Pipe
	repl   *pgconn.PgConn
	cat    *catalog
	sql    []*pgx.Conn // read the snapshot
	acked  atomic.Uint64
	follow atomic.Bool // the log is followed, and no snapshot is to come
	hurry  atomic.Bool // tell positions as soon as the log moves
	recent recent      // transactions that were decoded last
	chunks chunks      // reads rows beside the stream
	// awaited is a position whose acknowledgement the goroutine waits for;
	// arrived is closed then.
	awaited atomic.Pointer[[]byte]
	arrived chan struct{}
}

// New returns a Source. The options must be valid.
func New(o Options, log *slog.Logger) (*Source, error) {
	f, err := capture.NewFilter(&o.Options)
	if err != nil {
		return nil, err
	}
	s := &Source{opts: o, log: log.With("connector", o.Name), filter: f, metrics: newMetrics(), look: lookEvery}
	if s.snapshotOf, err = compileAll(o.SnapshotOf); err != nil {
		return nil, fmt.Errorf("snapshot.include.collection.list: %w", err)
	}
	if s.prefixes, err = o.prefixFilter(); err != nil {
		return nil, err
	}
	if o.StatusInterval <= 0 {
		s.opts.StatusInterval = 10 * time.Second
	}
	return s, nil
}

// closeTimeout bounds how long the server is given to take leave.
const closeTimeout = 2 * time.Second

var errClosed = errors.New("source is closed")

// Open implements capture.Source.
func (s *Source) Open(ctx context.Context, resume capture.Position) error {
	if s.life != nil {
		return errors.New("source is open already")
	}
	l := &life{pipe: capture.NewPipe(s.opts.Limits()), done: make(chan struct{}), arrived: make(chan struct{})}
	l.cat = s.newCatalog()
	work, err := s.prepare(ctx, l, resume)
	if err != nil {
		return errors.Join(err, l.disconnect())
	}
	run, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	l.cancel = cancel
	s.life, s.opened = l, true
	go func() {
		defer close(l.done)
		l.pipe.Fail(work(run))
	}()
	l.watch.Go(func() { s.watch(run) })
	l.watch.Go(func() { s.discover(run, l) })
	return nil
}

func (s *Source) newCatalog() *catalog {
	b := &builder{modes: s.opts.modes(), filter: s.filter, placeholder: s.opts.placeholder()}
	warned := make(map[string]bool)
	b.warn = func(id envelope.TableID, column, native string) {
		if key := id.String() + "." + column; !warned[key] {
			warned[key] = true
			s.log.Warn("column left out: its type has no form in events; include.unknown.datatypes: true writes its text",
				"table", id.String(), "column", column, "type", native)
		}
	}
	if s.opts.Converting == "warn" || s.opts.Converting == "skip" {
		b.bad = s.badValue
	}
	return &catalog{server: &server{opts: &s.opts}, build: b}
}

// badValue warns of values that are written as null, once for each column. It is
// called by all that read rows.
func (s *Source) badValue(id envelope.TableID, col *envelope.Column, err error) {
	if _, again := s.bad.LoadOrStore(id.String()+"."+col.Name, true); !again && s.opts.Converting == "warn" {
		s.log.Warn("a value has no form in the type of its column and is written as null; further ones of the column are not told",
			"table", id.String(), "column", col.Name, "type", col.Native, "error", err)
	}
}

// prepare checks everything, makes publication and slot, and returns the work
// of the source's goroutine.
func (s *Source) prepare(ctx context.Context, l *life, resume capture.Position) (func(context.Context) error, error) {
	var pos *position
	if len(resume) > 0 {
		var err error
		if pos, err = parsePosition(resume); err != nil {
			return nil, err
		}
	}
	if err := s.checkServer(ctx, l.cat); err != nil {
		return nil, err
	}
	l.cat.first = pos == nil
	tables, err := s.tables(ctx, l.cat)
	if err != nil {
		return nil, err
	}
	if note := l.cat.unmatchedNote(); note != "" && !s.opened {
		s.log.Warn("tables of table.include.list are not captured", "why", note)
	}
	if !s.opened {
		if err := s.warnOfKeys(tables); err != nil {
			return nil, err
		}
	}
	added, err := s.added(ctx, l.cat, pos, tables)
	if err != nil {
		return nil, err
	}
	sl, err := l.cat.slot(ctx, s.opts.Slot)
	if err == nil && sl.exists && (pos == nil || s.opts.SnapshotMode != "when_needed") {
		err = sl.usable(&s.opts)
	}
	if err != nil {
		return nil, err
	}
	if len(added) == 0 {
		if err := s.publish(ctx, l.cat, tables); err != nil {
			return nil, err
		}
	}
	if l.repl, err = l.cat.server.replication(ctx); err != nil {
		return nil, err
	}
	system, err := l.cat.server.system(ctx, l.repl)
	if err != nil {
		return nil, err
	}
	if err := s.failover(ctx, l.repl, sl); err != nil {
		return nil, err
	}
	if pos != nil {
		return s.prepareResume(ctx, l, pos, system, sl, tables, added)
	}
	return s.prepareStart(ctx, l, system, sl, tables)
}

// SnapshotPlan implements capture.Planner.
func (s *Source) SnapshotPlan() (capture.SnapshotPlan, bool) {
	if p := s.planned.Load(); p != nil {
		return *p, true
	}
	return capture.SnapshotPlan{}, false
}

// Next implements capture.Source.
func (s *Source) Next(ctx context.Context) (*capture.Batch, error) {
	if s.life == nil {
		return nil, errClosed
	}
	return s.life.pipe.Next(ctx)
}

// Ack implements capture.Source.
func (s *Source) Ack(_ context.Context, p capture.Position) error {
	if s.life == nil {
		return errClosed
	}
	pos, err := parsePosition(p)
	if err != nil {
		return err
	}
	s.life.acked.Store(uint64(pos.LSN))
	if want := s.life.awaited.Load(); want != nil && bytes.Equal(*want, p) {
		s.life.awaited.Store(nil)
		close(s.life.arrived)
	}
	return nil
}

// Close implements capture.Source.
func (s *Source) Close() error {
	l := s.life
	if l == nil {
		return nil
	}
	s.life = nil
	l.cancel(errClosed)
	<-l.done
	l.watch.Wait()
	return l.disconnect()
}

// disconnect closes what is open. The server is told, but not waited for long.
func (l *life) disconnect() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout) //nolint:forbidigo // Close has no context, and ends what may have lost its own
	defer cancel()
	var errs []error
	_ = l.closeViews(ctx) // in transactions that were only read
	if l.repl != nil {
		_ = l.repl.Close(ctx) // says nothing that anyone could act on
	}
	if l.cat != nil {
		errs = append(errs, l.cat.close(ctx))
	}
	errs = append(errs, l.chunks.close(ctx))
	return errors.Join(errs...)
}

func (l *life) closeViews(ctx context.Context) error {
	var errs []error
	for _, c := range l.sql {
		errs = append(errs, c.Close(ctx))
	}
	l.sql = nil
	return errors.Join(errs...)
}
