package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"tributary/internal/fault"
	"tributary/internal/topic"
	"tributary/lake/blob"
	"tributary/lake/bronze"
)

// sink copies records into bronze. One goroutine owns all of it but ready.
type sink struct {
	opt     *options
	bronze  bronze.Options
	folders *bronze.Partitioner
	schemas *schemas
	metrics *metrics
	log     *slog.Logger
	clock   func() time.Time // names folders with timestamp.extractor Wallclock

	reader  *topic.Reader
	parts   map[topic.Partition]*partition
	commits map[topic.Partition]int64 // flushed and not committed yet
	healthy atomic.Pointer[error]
}

// newSink connects to the store and the registry, which must both be there.
func newSink(ctx context.Context, o *options, m *metrics, log *slog.Logger) (*sink, error) {
	store, err := o.openStore(ctx)
	if err != nil {
		return nil, err
	}
	if c, ok := store.(checker); ok {
		if err := c.Check(ctx, o.TopicsDir); err != nil {
			return nil, err
		}
	}
	if err := o.checkRegistry(ctx, log); err != nil {
		return nil, err
	}
	client, err := o.openRegistry(30*time.Second, log)
	if err != nil {
		return nil, err
	}
	return buildSink(o, store, client, m, log)
}

func buildSink(o *options, store blob.Store, registry lookup, m *metrics, log *slog.Logger) (*sink, error) {
	b, err := o.bronze(store)
	if err != nil {
		return nil, err
	}
	folders, err := bronze.NewPartitioner(o.Partitioner, o.zone)
	if err != nil {
		return nil, err
	}
	field := ""
	if o.Extractor == "RecordField" {
		field = o.TimeField
	}
	s := &sink{
		opt: o, bronze: b, folders: folders, schemas: newSchemas(registry, field), metrics: m, log: log, clock: time.Now,
		parts: map[topic.Partition]*partition{}, commits: map[topic.Partition]int64{},
	}
	s.unwell(errors.New("not joined to the group yet"))
	return s, nil
}

func (s *sink) unwell(err error) { s.healthy.Store(&err) }
func (s *sink) well()            { s.healthy.Store(nil) }

// ready returns nil while records are being copied.
func (s *sink) ready() error {
	if err := s.healthy.Load(); err != nil {
		return *err
	}
	return nil
}

// errRestart ends a session in the group: what is held of some partition is of
// no use any more, and reading has to begin again from the committed offsets.
var errRestart = errors.New("begin again from the committed offsets")

// run copies until ctx ends, then puts what is open and commits it.
func (s *sink) run(ctx context.Context) error {
	for first := true; ; first = false {
		err := s.session(ctx)
		switch {
		case ctx.Err() != nil && !fault.NeedsHuman(err):
			if errors.Is(err, context.Canceled) || errors.Is(err, errRestart) {
				return nil
			}
			return err
		case errors.Is(err, errRestart):
			s.log.Warn("beginning again from the committed offsets", "error", err)
		case fault.NeedsHuman(err) || first && !s.joined():
			return err
		default:
			s.log.Warn("session in the group ended, joining again", "error", err)
		}
		if pause(ctx, time.Second) != nil {
			return nil //nolint:nilerr // asked to stop, and nothing is open
		}
	}
}

func (s *sink) joined() bool { return s.reader != nil }

// session is one membership in the group.
func (s *sink) session(ctx context.Context) (err error) {
	// A context of its own: the reader still flushes and commits after ctx ended.
	reader, err := topic.NewReader(context.WithoutCancel(ctx), s.opt.Options, s.opt.ReaderOptions, s, s.log)
	if err != nil {
		return err
	}
	s.reader = reader
	s.well()
	defer func() {
		if errors.Is(err, context.Canceled) {
			err = nil
		}
		if err != nil {
			s.unwell(err)
			s.drop() // what is open may be at fault: read it again
		}
		err = errors.Join(err, reader.Close())
		s.drop()
	}()
	for {
		if err := s.step(ctx); err != nil {
			return err
		}
	}
}

// step waits for records, takes them, and puts the files that are due.
func (s *sink) step(ctx context.Context) error {
	batches, err := s.reader.Poll(ctx, s.wait(time.Now()), 0)
	if err != nil {
		return err
	}
	for i := range batches {
		p := s.parts[batches[i].Partition]
		if p == nil {
			continue // lost while its records were on the way
		}
		if err := p.take(ctx, &batches[i]); err != nil {
			return err
		}
	}
	now := time.Now()
	var due []*partition
	for _, p := range s.parts {
		if at, ok := p.due(); ok && !now.Before(at) || p.full() {
			due = append(due, p)
		}
	}
	if err := s.flush(ctx, due...); err != nil {
		return err
	}
	s.observe()
	return s.commit(ctx)
}

// maxWait bounds a poll, so that the figures of an idle sink stay fresh.
const maxWait = 5 * time.Second

func (s *sink) wait(now time.Time) time.Duration {
	wait := maxWait
	for _, p := range s.parts {
		if at, ok := p.due(); ok {
			wait = min(wait, at.Sub(now))
		}
	}
	return max(wait, time.Millisecond)
}

// putsAtOnce is how many partitions are flushed side by side.
const putsAtOnce = 8

// flush puts the open files of the partitions, trying again for as long as ctx
// allows what a retry may heal. What it has put it notes for commit.
func (s *sink) flush(ctx context.Context, parts ...*partition) error {
	if len(parts) == 0 {
		return nil
	}
	start := time.Now()
	objects := make([][]bronze.Flushed, len(parts))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(putsAtOnce)
	for i, p := range parts {
		g.Go(func() error {
			return s.persist(gctx, p.id, func() error {
				put, err := p.put(gctx)
				objects[i] = append(objects[i], put...)
				return err
			})
		})
	}
	err := g.Wait()
	for i, p := range parts {
		if p.writer.Next() > p.start {
			s.commits[p.id] = p.writer.Next()
		}
		for _, o := range objects[i] {
			s.metrics.put(&o)
			s.log.Debug("object put", "key", o.Key, "records", o.Records, "bytes", o.Size, "last_offset", o.Last)
		}
	}
	s.metrics.flushSeconds.Observe(time.Since(start).Seconds())
	if errors.Is(err, bronze.ErrTaken) {
		return fmt.Errorf("%w: %w", errRestart, err)
	}
	return err
}

// persist calls f, which writes or looks up a schema, until it succeeds, or
// fails in a way that no retry heals. It logs the first failure and the recovery.
func (s *sink) persist(ctx context.Context, id topic.Partition, f func() error) error {
	delay := 100 * time.Millisecond
	for try := 0; ; try++ {
		err := f()
		if err == nil {
			if try > 0 {
				s.log.Info("partition goes on", "topic", id.Topic, "partition", id.ID)
				s.well()
			}
			return nil
		}
		if ctx.Err() != nil || fault.NeedsHuman(err) || errors.Is(err, errRecord) ||
			errors.Is(err, bronze.ErrTaken) || errors.Is(err, bronze.ErrBroken) || errors.Is(err, bronze.ErrDamaged) {
			return err
		}
		if try == 0 {
			s.log.Warn("partition is held up, trying again", "topic", id.Topic, "partition", id.ID, "error", err)
			s.unwell(err)
		}
		if pause(ctx, delay/2+rand.N(delay)) != nil {
			return err
		}
		delay = min(2*delay, 10*time.Second)
	}
}

// commit tells the group what is durable.
func (s *sink) commit(ctx context.Context) error {
	if len(s.commits) == 0 {
		return nil
	}
	err := s.reader.Commit(ctx, s.commits)
	switch {
	case err == nil:
		clear(s.commits)
	case errors.Is(err, topic.ErrNotOwner):
		// The objects are there; who has the partitions now passes over them.
		return fmt.Errorf("%w: %w", errRestart, err)
	case fault.NeedsHuman(err):
		return err
	default:
		// Nothing is lost: the next commit says it all.
		s.log.Warn("commit fails, trying again", "error", err)
	}
	return nil
}

// closeTime bounds the last flush of partitions that are given up.
const closeTime = 30 * time.Second

// Assigned implements topic.Owner.
func (s *sink) Assigned(_ context.Context, committed map[topic.Partition]int64) error {
	for id, next := range committed {
		s.parts[id] = s.newPartition(id, max(next, 0))
		s.log.Info("partition taken over", "topic", id.Topic, "partition", id.ID, "offset", next)
	}
	return nil
}

// Revoked implements topic.Owner: it puts and commits what is open. What fails
// is dropped, for the next owner to read again.
func (s *sink) Revoked(ctx context.Context, ids []topic.Partition) error {
	ctx, cancel := context.WithTimeout(ctx, min(closeTime, s.opt.SessionTimeout))
	defer cancel()
	var open []*partition
	for _, id := range ids {
		if p := s.parts[id]; p != nil && p.writer.Dirty() {
			open = append(open, p)
		}
	}
	err := s.flush(ctx, open...)
	if err == nil {
		err = s.commit(ctx)
	}
	if err != nil {
		s.log.Warn("partitions given up with open files, their records will be read again", "error", err)
	}
	s.Lost(ids)
	return nil
}

// Lost implements topic.Owner.
func (s *sink) Lost(ids []topic.Partition) {
	for _, id := range ids {
		if p := s.parts[id]; p != nil {
			if err := p.close(); err != nil {
				s.log.Warn("closing open files", "topic", id.Topic, "partition", id.ID, "error", err)
			}
		}
		delete(s.parts, id)
		delete(s.commits, id)
		s.metrics.forget(id)
	}
}

// drop forgets all partitions.
func (s *sink) drop() {
	ids := make([]topic.Partition, 0, len(s.parts))
	for id := range s.parts {
		ids = append(ids, id)
	}
	s.Lost(ids)
}

// observe updates the figures of what is held.
func (s *sink) observe() {
	files := 0
	for id, p := range s.parts {
		files += p.writer.Folders()
		s.metrics.lag(id, max(p.end-p.position, 0))
	}
	s.metrics.openFiles.Set(float64(files))
	s.metrics.buffered.Set(float64(s.bronze.Spool.InMemory()))
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
