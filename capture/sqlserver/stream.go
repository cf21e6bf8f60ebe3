package sqlserver

import (
	"context"
	"time"

	"tributary/capture"
)

// stream delivers the changes of all databases.
type stream struct {
	*session
	batch *capture.Batch
	said  time.Time // when a position was told last
	moved bool      // the position is another than was told last

	courses []*course
}

// streaming runs use with a stream. The connections of the databases are free again
// afterwards.
func (n *session) streaming(ctx context.Context, use func(ctx context.Context, s *stream) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &stream{session: n, batch: n.pipe.Batch(), said: time.Now()}
	for _, d := range n.databases {
		s.courses = append(s.courses, startCourse(d))
	}
	err := use(ctx, s)
	if err != nil {
		cancel() // what is being read is not needed any more
	}
	for _, c := range s.courses {
		for _, l := range c.lanes {
			if e := l.stop(); e != nil && err == nil {
				err = e
			}
		}
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
	for _, c := range s.courses {
		if len(c.flights) == 0 {
			s.launch(ctx, c, *s.at.Databases[c.name])
		}
	}
	for _, c := range s.courses {
		again, err := s.poll(ctx, c)
		if err != nil {
			return false, err
		}
		more = more || again
	}
	return more, s.tellPosition(ctx)
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
