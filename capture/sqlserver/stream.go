package sqlserver

import (
	"context"
	"time"

	"tributary/capture"
	"tributary/envelope"
)

// stream delivers the changes of all databases.
type stream struct {
	*session
	batch *capture.Batch
	said  time.Time // when a position was told last
	moved bool      // the position is another than was told last

	ahead   map[*database]*ahead
	planned map[*database]coming[*iteration] // what is read of the next iteration
}

// streaming runs use with a stream. The connections of the databases are free again
// afterwards.
func (n *session) streaming(ctx context.Context, use func(ctx context.Context, s *stream) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &stream{session: n, batch: n.pipe.Batch(), said: time.Now(),
		ahead: make(map[*database]*ahead), planned: make(map[*database]coming[*iteration])}
	for _, d := range n.databases {
		s.ahead[d] = startAhead()
	}
	err := use(ctx, s)
	if err != nil {
		cancel() // what is being read is not needed any more
	}
	for _, a := range s.ahead {
		a.stop()
	}
	return err
}

// follow polls the databases in turn until ctx ends or an error.
func (n *session) follow(ctx context.Context) error {
	for _, d := range n.databases {
		l := lsn(n.at.Databases[d.name].Commit)
		d.log.Info("following the changes", "commit_lsn", l.String(), "tables", len(d.list), "data.query.mode", n.cfg.QueryMode)
	}
	return n.streaming(ctx, func(ctx context.Context, s *stream) error {
		wait := time.NewTimer(0)
		defer wait.Stop()
		for {
			select {
			case <-wait.C:
			case <-ctx.Done():
				return ctx.Err()
			}
			more, err := s.round(ctx)
			if err != nil {
				return err
			}
			if more {
				wait.Reset(0)
			} else {
				wait.Reset(n.cfg.Poll)
			}
		}
	})
}

// round polls each database once. It reports whether there may be more right away.
func (s *stream) round(ctx context.Context) (more bool, err error) {
	for _, d := range s.databases {
		s.plan(ctx, d, s.at.Databases[d.name])
	}
	for _, d := range s.databases {
		again, err := s.poll(ctx, d)
		if err != nil {
			return false, err
		}
		more = more || again
	}
	return more, s.tellPosition(ctx)
}

// plan has the iteration after a place read, if it is not yet.
func (s *stream) plan(ctx context.Context, d *database, after *place) {
	if s.planned[d] == nil {
		from := *after
		s.planned[d] = ask(s.ahead[d], func() (*iteration, error) {
			d.watch(ctx, s.metrics)
			return d.iteration(ctx, &from, &s.marks)
		})
	}
}

// poll delivers the iteration of a database that was planned. It reports whether
// there may be more right away.
func (s *stream) poll(ctx context.Context, d *database) (more bool, err error) {
	x, err := s.planned[d].take(ctx)
	delete(s.planned, d)
	if err != nil || x == nil {
		return false, err
	}
	m := &merge{stream: s, d: d, iteration: x, tx: envelope.NewTransaction(s.cfg.Transactions)}
	if err := m.run(ctx); err != nil {
		return false, err
	}
	*s.at.Databases[d.name] = x.after
	s.moved = true
	return x.more, nil
}

// tellPosition hands over a position without changes, where there is one to tell
// and it is time.
func (s *stream) tellPosition(ctx context.Context) error {
	if len(s.batch.List) > 0 {
		return s.put(ctx)
	}
	if s.moved && (s.hurry.Load() || time.Since(s.said) >= s.cfg.Moves()) {
		return s.put(ctx)
	}
	return nil
}

// put hands the batch over, with the position after it.
func (s *stream) put(ctx context.Context) (err error) {
	if s.batch.End, err = s.at.append(s.batch.End[:0]); err != nil {
		return err
	}
	s.said, s.moved = time.Now(), false
	s.batch, err = s.pipe.Put(ctx, s.batch)
	return err
}
