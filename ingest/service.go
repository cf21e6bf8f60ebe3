package ingest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"tributary/internal/fault"
	"tributary/lake/bronze"
)

// Service keeps the tables of many topics up to date, side by side.
type Service struct {
	Settings
	// Wants tells which topics of bronze to follow.
	Wants func(topic string) bool
	// Poll is the time between two looks for new objects of a topic, Refresh that
	// between two looks for new topics.
	Poll, Refresh time.Duration
	// MinSync is the least time from the beginning of a table's commit to that of
	// its next.
	MinSync time.Duration
	// Parallel is how many tables are read into memory and written at once.
	Parallel int
	Metrics  *Metrics

	slots  chan struct{}
	mu     sync.Mutex
	ill    map[string]error  // tables that are stopped, by topic
	claims map[string]string // topic by the base of its table
}

const (
	// grace is how long a commit may go on after the context has ended.
	grace = 10 * time.Second
	// A table that had an error is tried again after backoffMin, then twice that,
	// up to backoffMax; one that needs a human every humanRetry, so that it goes
	// on by itself once the cause is gone.
	backoffMin = 500 * time.Millisecond
	backoffMax = 30 * time.Second
	humanRetry = 30 * time.Second
	// onceAttempts is how often Once tries a table whose error may heal.
	onceAttempts = 3
)

// Run follows the topics until ctx ends. The trouble of one table is logged,
// counted and told by Ready, and does not touch the others. Run itself fails
// when bronze cannot be listed at the start; later it tries again.
func (s *Service) Run(ctx context.Context) error {
	s.init()
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	following := map[string]bool{}
	for started := false; ; started = true {
		topics, err := s.topics(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if !started {
				return err
			}
			s.Log.Warn("topics not listed, trying again", "error", err)
		}
		for _, name := range topics {
			if following[name] {
				continue
			}
			following[name] = true
			wg.Add(1)
			go func() {
				defer wg.Done()
				s.follow(ctx, NewTopic(&s.Settings, name))
			}()
		}
		if !sleep(ctx, s.Refresh) {
			return nil
		}
	}
}

// Once brings every table up to what bronze holds now, and returns the errors of
// those tables that did not get there.
func (s *Service) Once(ctx context.Context) error {
	s.init()
	topics, err := s.topics(ctx)
	if err != nil {
		return err
	}
	if len(topics) == 0 {
		s.Log.Warn("bronze has no objects of the topics asked for")
	}
	errs := make([]error, len(topics))
	limit := make(chan struct{}, max(1, s.Parallel))
	var wg sync.WaitGroup
	for i, name := range topics {
		wg.Add(1)
		limit <- struct{}{}
		go func() {
			defer func() { <-limit; wg.Done() }()
			errs[i] = s.catchUp(ctx, NewTopic(&s.Settings, name))
		}()
	}
	wg.Wait()
	return joined(errs, "tables are not up to date")
}

func (s *Service) init() {
	s.slots = make(chan struct{}, max(1, s.Parallel))
	s.spares = make(chan struct{}, max(1, s.Parallel))
	s.ill = map[string]error{}
	s.claims = map[string]string{}
}

// claim refuses a topic whose table is another topic's already.
func (s *Service) claim(t *Topic) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if other, taken := s.claims[t.Base()]; taken && other != t.Name() {
		return fault.Humanf("set table.name.format: ${topic}, or leave one out with topics.exclude.regex",
			"topic %s: its table %s is that of topic %s", t.Name(), t.Base(), other)
	}
	s.claims[t.Base()] = t.Name()
	return nil
}

// topics returns the wanted topics that bronze has.
func (s *Service) topics(ctx context.Context) ([]string, error) {
	all, err := bronze.Topics(ctx, s.Bronze, s.BronzeRoot)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(t string) bool { return !s.Wants(t) }), nil
}

// follow keeps one table up to date until ctx ends.
func (s *Service) follow(ctx context.Context, t *Topic) {
	defer t.Close(ctx)
	m := s.Metrics.table(t.Name(), t.TableName())
	wait := time.Duration(0)
	if err := s.claim(t); err != nil {
		s.failed(t, m, err, 0)
		return
	}
	for sleep(ctx, wait) {
		began := s.Now()
		p, err := s.sync(ctx, t, m)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			wait = s.failed(t, m, err, wait)
		default:
			s.healed(t, m)
			wait = s.Poll
			if p.More {
				wait = 0
			}
			if p.Objects > 0 {
				wait = max(wait, s.MinSync-s.Now().Sub(began))
			}
		}
	}
}

// catchUp syncs one table until nothing is left to do.
func (s *Service) catchUp(ctx context.Context, t *Topic) error {
	defer t.Close(ctx)
	m := s.Metrics.table(t.Name(), t.TableName())
	if err := s.claim(t); err != nil {
		s.failed(t, m, err, 0)
		return err
	}
	wait, attempts := time.Duration(0), 0
	for sleep(ctx, wait) {
		p, err := s.sync(ctx, t, m)
		if err != nil {
			wait = s.failed(t, m, err, wait)
			if attempts++; fault.NeedsHuman(err) || attempts == onceAttempts {
				return err
			}
			continue
		}
		if p.Objects == 0 {
			return nil
		}
		wait, attempts = 0, 0
	}
	return ctx.Err()
}

// sync runs one Sync. A commit that has begun when ctx ends may finish.
func (s *Service) sync(ctx context.Context, t *Topic, m *tableMetrics) (Progress, error) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-work.Done():
		case <-time.After(grace):
			cancel()
		}
	})
	defer stop()
	p, err := t.Sync(work, func(pending int) (func(), error) {
		m.behind(s.Now(), pending > 0)
		if pending == 0 {
			return func() {}, nil
		}
		select {
		case s.slots <- struct{}{}:
			return func() { <-s.slots }, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	if p.Objects > 0 && !p.Instant.IsZero() {
		m.committed(p, s.Now())
		t.log.Debug("bronze taken", "table", t.base, "instant", p.Instant.Time, "rows", p.Rows, "deletes", p.Deletes,
			"objects", p.Objects, "bytes", p.Bytes, "took_ms", p.Took.Milliseconds(), "more", p.More)
	}
	if err == nil && !p.More {
		m.behind(s.Now(), false)
	}
	return p, err
}

// failed notes an error and returns how long to wait before the next try.
func (s *Service) failed(t *Topic, m *tableMetrics, err error, waited time.Duration) time.Duration {
	human := fault.NeedsHuman(err)
	s.mu.Lock()
	before := s.ill[t.Name()]
	s.ill[t.Name()] = err
	s.mu.Unlock()
	m.failed(human)
	// The same trouble is told once.
	if before == nil || before.Error() != err.Error() {
		if human {
			t.log.Error("table stopped", "table", t.base, "error", err, "what_to_do", fault.Hint(err))
		} else {
			t.log.Warn("table not synced, trying again", "table", t.base, "error", err)
		}
	}
	if human {
		return humanRetry
	}
	if before == nil {
		return backoffMin
	}
	return min(max(2*waited, backoffMin), backoffMax)
}

func (s *Service) healed(t *Topic, m *tableMetrics) {
	s.mu.Lock()
	before := s.ill[t.Name()]
	delete(s.ill, t.Name())
	s.mu.Unlock()
	if before != nil {
		m.healed()
		t.log.Info("table goes on", "table", t.base)
	}
}

// Ready returns nil when every table is well, else an error that names those
// that are not.
func (s *Service) Ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ill) == 0 {
		return nil
	}
	var lines []string
	for _, topic := range slices.Sorted(maps.Keys(s.ill)) {
		lines = append(lines, s.ill[topic].Error())
	}
	return errors.New(strings.Join(lines, "\n"))
}

// joined makes one error of several, of as many things as what says, each with what
// to do about it.
func joined(errs []error, what string) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) < 2 {
		return errors.Join(errs...)
	}
	for i, err := range errs {
		if hint := fault.Hint(err); hint != "" {
			errs[i] = fmt.Errorf("%w\n  what to do: %s", err, hint)
		}
	}
	err := fmt.Errorf("%d %s:\n%w", len(errs), what, errors.Join(errs...))
	if fault.NeedsHuman(err) {
		return fault.Human(err, "see above")
	}
	return err
}

// sleep waits, and reports whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
