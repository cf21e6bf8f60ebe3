package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/envelope"
	"tributary/internal/fault"
)

// RunOptions are those of Run.
type RunOptions struct {
	// RetryTimeout is for how long faults in a row are retried, those of the
	// first start too; 0 = not at all, negative = for ever.
	RetryTimeout time.Duration
	// RetryMaxDelay bounds the pause between retries; 0 = 10 s.
	RetryMaxDelay time.Duration
	// Heartbeat is how often to emit a heartbeat; 0 = never.
	Heartbeat time.Duration
	// HeartbeatAction is done with each heartbeat, before it; nil = nothing. That
	// it fails is logged and counted, and capturing goes on.
	HeartbeatAction func(context.Context) error
	// MustResume is whether a start without a stored position is an error
	// (snapshot.mode recovery).
	MustResume bool
	// Terminal is where to draw how far a snapshot is, nil = nowhere: then it
	// is logged.
	Terminal io.Writer
	Notifier *Notifier // nil = none
	// Explain adds to an error what to do about it; nil = nothing.
	Explain func(error) error
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil = none
	Ready   func(bool)            // told when capturing begins and ends; nil = nobody
}

// Run captures until ctx ends, a fault needs a human, or faults have lasted
// for RetryTimeout. It returns nil when the source has come to its end
// (snapshot.mode initial_only). The source is closed when it returns.
func Run(ctx context.Context, s Source, e Emitter, o RunOptions) error {
	l := &loop{source: s, emitter: e, opts: o, metrics: newMetrics(o.Metrics)}
	if own, ok := s.(interface{ Collectors() []prometheus.Collector }); ok && o.Metrics != nil {
		o.Metrics.MustRegister(own.Collectors()...)
	}
	l.progress = &progress{log: o.Log, bar: o.Terminal, notifier: o.Notifier, plan: planOf(s), metrics: newSnapshotMetrics(o.Metrics), now: time.Now}
	if l.opts.RetryMaxDelay <= 0 {
		l.opts.RetryMaxDelay = 10 * time.Second
	}
	if l.opts.Explain == nil {
		l.opts.Explain = func(err error) error { return err }
	}
	if l.opts.Ready == nil {
		l.opts.Ready = func(bool) {}
	}
	return l.run(ctx)
}

// planOf returns how the source tells what its snapshot has to read.
func planOf(s Source) func() (SnapshotPlan, bool) {
	if p, ok := s.(Planner); ok {
		return p.SnapshotPlan
	}
	return func() (SnapshotPlan, bool) { return SnapshotPlan{}, false }
}

type loop struct {
	source   Source
	emitter  Emitter
	opts     RunOptions
	metrics  *metrics
	progress *progress

	opened   bool      // the source has been opened once
	failing  time.Time // since when faults have been in a row; zero = none
	told     time.Time // when that was logged last
	attempts int

	unbeaten   int       // times in a row that HeartbeatAction failed
	unbeatenAt time.Time // when that was logged last
}

func (l *loop) run(ctx context.Context) error {
	for {
		err := l.session(ctx)
		l.opts.Ready(false)
		l.metrics.up.Set(0)
		l.progress.abort()
		if cerr := l.source.Close(); cerr != nil && err == nil {
			err = cerr
		}
		switch {
		case err == nil || errors.Is(err, io.EOF):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		}
		err = l.opts.Explain(err)
		if fault.NeedsHuman(err) || l.opts.RetryTimeout == 0 {
			return err
		}
		if l.failing.IsZero() {
			l.failing, l.attempts, l.told = time.Now(), 0, time.Time{}
		}
		age := time.Since(l.failing)
		if l.opts.RetryTimeout > 0 && age > l.opts.RetryTimeout {
			return fmt.Errorf("gave up after %s: %w", age.Round(time.Second), err)
		}
		l.tell(err, age)
		l.metrics.retries.Inc()
		if err := l.pause(ctx); err != nil {
			return err
		}
	}
}

// tellAgain is how often it is logged that faults go on.
const tellAgain = 30 * time.Second

// tell logs the first of faults in a row, and every now and then that there still
// are some.
func (l *loop) tell(err error, age time.Duration) {
	now := time.Now()
	if now.Sub(l.told) < tellAgain {
		return
	}
	l.told = now
	what := "capture stopped; starting again"
	if !l.opened {
		what = "capture cannot start yet; trying again"
	}
	args := []any{"error", err}
	if hint := fault.Hint(err); hint != "" {
		args = append(args, "hint", hint)
	}
	if age > time.Second {
		args = append(args, "for", age.Round(time.Second).String())
	}
	if t := l.opts.RetryTimeout; t > 0 {
		args = append(args, "giving_up_after", t.String())
	}
	l.opts.Log.Warn(what, args...)
}

// pause waits before the next attempt: exponentially longer, with jitter.
func (l *loop) pause(ctx context.Context) error {
	d := min(100*time.Millisecond<<min(l.attempts, 16), l.opts.RetryMaxDelay)
	l.attempts++
	t := time.NewTimer(d/2 + rand.N(d/2+1))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// session is one life of the source: resume, then batch after batch.
func (l *loop) session(ctx context.Context) error {
	resume, err := l.emitter.Resume(ctx)
	if err != nil {
		return fmt.Errorf("read the position to resume from: %w", err)
	}
	if len(resume) == 0 && l.opts.MustResume {
		return fault.Humanf("set a position with cdc-source offsets set, or choose another snapshot.mode", "snapshot.mode recovery needs a stored position, and there is none")
	}
	if err := l.source.Open(ctx, resume); err != nil {
		return err
	}
	l.opened = true
	l.opts.Ready(true)
	l.metrics.up.Set(1)
	beat := newBeat(l.opts.Heartbeat, resume)
	at := slices.Clone(resume) // of the last batch
	for {
		b, err := beat.next(ctx, l.source)
		if errors.Is(err, ErrReopen) {
			if err := errors.Join(l.source.Close(), l.source.Open(ctx, at)); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		began := time.Now()
		if beat.due(began) {
			l.heartbeat(ctx, b, began)
		}
		l.progress.before(b)
		if err := l.emitter.Emit(ctx, b); err != nil {
			return fmt.Errorf("emit %d changes: %w", len(b.List), err)
		}
		if len(b.End) > 0 {
			at = append(at[:0], b.End...)
			if err := l.source.Ack(ctx, b.End); err != nil {
				return err
			}
		}
		l.metrics.emitted(b, began)
		l.progress.after(b)
		l.opts.Log.Debug("batch emitted", "changes", len(b.List), "bytes", len(b.Buf), "snapshot", b.Snapshot)
		if !l.failing.IsZero() {
			l.opts.Log.Info("capture goes on", "after", time.Since(l.failing).Round(time.Millisecond).String())
			l.failing = time.Time{}
		}
	}
}

// heartbeat adds a heartbeat to a batch that is about to be emitted.
func (l *loop) heartbeat(ctx context.Context, b *Batch, now time.Time) {
	if do := l.opts.HeartbeatAction; do != nil {
		l.act(ctx, do)
	}
	c := b.Next()
	c.Op, c.TsNs, c.Source.TsNs = envelope.Heartbeat, now.UnixNano(), now.UnixNano()
}

const (
	// actionTimeout bounds what a heartbeat does in the database: the changes of a
	// batch wait for it.
	actionTimeout = 10 * time.Second
	// actionAgain is how often it is logged that it goes on failing.
	actionAgain = 10 * time.Minute
)

// act does what a heartbeat does in the database.
func (l *loop) act(ctx context.Context, do func(context.Context) error) {
	bounded, cancel := context.WithTimeout(ctx, actionTimeout)
	defer cancel()
	err := do(bounded)
	switch {
	case ctx.Err() != nil: // asked to end
	case err == nil:
		if l.unbeaten > 0 {
			l.opts.Log.Info("heartbeat.action.query succeeds again", "failed", l.unbeaten)
		}
		l.unbeaten = 0
	default:
		l.metrics.unbeaten.Inc()
		if now := time.Now(); l.unbeaten == 0 || now.Sub(l.unbeatenAt) >= actionAgain {
			args := []any{"error", err, "failed", l.unbeaten + 1}
			if hint := fault.Hint(err); hint != "" {
				args = append(args, "hint", hint)
			}
			l.opts.Log.Warn("heartbeat.action.query failed; capturing goes on", args...)
			l.unbeatenAt = now
		}
		l.unbeaten++
	}
}

// beat tells when a heartbeat is due, and makes batches for those that fall
// into a time in which the source has none.
type beat struct {
	every time.Duration
	last  time.Time
	empty Batch // carries the position of the last batch
}

func newBeat(every time.Duration, resume Position) *beat {
	return &beat{every: every, last: time.Now(), empty: Batch{End: slices.Clone(resume)}}
}

// next returns the source's next batch, or one of its own that is as the last
// one but empty, when a heartbeat is due before the source has something.
func (b *beat) next(ctx context.Context, s Source) (*Batch, error) {
	if b.every <= 0 {
		return b.keep(s.Next(ctx))
	}
	wait, cancel := context.WithDeadline(ctx, b.last.Add(b.every))
	defer cancel()
	out, err := s.Next(wait)
	if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) || wait.Err() == nil {
		return b.keep(out, err)
	}
	b.empty.Reset()
	return &b.empty, nil
}

func (b *beat) keep(out *Batch, err error) (*Batch, error) {
	if err == nil && b.every > 0 {
		b.empty.End = append(b.empty.End[:0], out.End...)
	}
	return out, err
}

// due reports whether a heartbeat is, and counts from then on.
func (b *beat) due(now time.Time) bool {
	if b.every <= 0 || now.Sub(b.last) < b.every {
		return false
	}
	b.last = now
	return true
}
