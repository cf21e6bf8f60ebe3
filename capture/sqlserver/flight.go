package sqlserver

import (
	"context"
	"errors"

	"tributary/envelope"
)

// lanes is how many iterations of a database are read at the same time: while one is
// asked about, or is decoded here, the server sends the other. The ends of the last are
// asked for once: with more lanes they would be each time that one is free.
const lanes = 2

// course is what a stream reads of a database.
type course struct {
	*database
	lanes   [lanes]*lane
	alone   bool      // there is no connection but the first
	flights []*flight // in the order of the log
	// What the last iteration had: by that the next is made to be about a page.
	rows, transactions int
	last               envelope.Source // of the row that was delivered last
}

// flight is an iteration that is being read.
type flight struct {
	number int           // of the lane
	ends   coming[*ends] // for who launches the next
	read   coming[*iteration]
}

func startCourse(d *database) *course {
	c := &course{database: d}
	c.lanes[0] = startLane(d.conn)
	for i := 1; i < lanes; i++ {
		c.lanes[i] = startLane(nil)
	}
	return c
}

// top is how many transactions the next iteration has at most: about those of a page,
// that several can be read at the same time, and a few where nothing is known yet.
func (c *course) top() int {
	n := 16
	switch {
	case c.rows > 0:
		n = max(c.cfg.page()*c.transactions/c.rows, 1)
	case c.transactions > 0: // they are of tables that are not captured here
		n = 2 * c.transactions
	}
	if c.cfg.MaxTransactions > 0 {
		n = min(n, c.cfg.MaxTransactions)
	}
	return n
}

// launch has the iteration after a place read.
func (s *stream) launch(ctx context.Context, c *course, after place) {
	f := &flight{ends: expect[*ends](), read: expect[*iteration]()}
	if n := len(c.flights); n > 0 && !c.alone {
		f.number = (c.flights[n-1].number + 1) % lanes
	}
	c.flights = append(c.flights, f)
	l, top := c.lanes[f.number], c.top()
	l.queue <- func() {
		x, err := s.plan(ctx, c.database, l, &after, top)
		if x == nil {
			f.ends.give(nil, err)
			f.read.give(nil, err)
			return
		}
		f.ends.give(&x.ends, nil)
		f.read.give(x, x.start(ctx, c.database, l.conn, &s.marks))
	}
}

// plan finds the iteration after a place; nil if there is none.
func (s *stream) plan(ctx context.Context, d *database, l *lane, after *place, top int) (*iteration, error) {
	if err := l.connect(ctx, d.cfg.Options, d.name); err != nil {
		return nil, unconnectedError{err}
	}
	d.watch(ctx, l.conn, s.metrics)
	return d.iteration(ctx, l.conn, after, top)
}

// unconnectedError is the error of a lane that gets no connection.
type unconnectedError struct{ error }

func (u unconnectedError) Unwrap() error { return u.error }

// fill launches what there are lanes for.
func (s *stream) fill(ctx context.Context, c *course) error {
	for len(c.flights) < lanes {
		after := *s.at.Databases[c.name]
		if n := len(c.flights); n > 0 {
			last := c.flights[n-1]
			x, err := last.ends.take(ctx)
			var refused unconnectedError
			if errors.As(err, &refused) && ctx.Err() == nil {
				// It was to be faster with two: one is enough.
				c.log.Warn("there is no further connection to the database: its changes are read on one", "error", refused.error)
				c.alone, c.flights = true, c.flights[:n-1]
				continue
			}
			if err != nil {
				return err
			}
			if x == nil || !x.more {
				return nil
			}
			after = x.after
		}
		s.launch(ctx, c, after)
	}
	return nil
}

// poll delivers the next iteration of a database. It reports whether there may be more
// right away.
func (s *stream) poll(ctx context.Context, c *course) (more bool, err error) {
	if err := s.fill(ctx, c); err != nil {
		return false, err
	}
	f := c.flights[0]
	c.flights = c.flights[1:]
	x, err := f.read.take(ctx)
	if err != nil || x == nil {
		return false, err
	}
	m := &merge{stream: s, d: c.database, iteration: x, lane: c.lanes[f.number], tx: envelope.NewTransaction(s.cfg.Transactions), earlier: c.last}
	if err := m.run(ctx); err != nil {
		return false, err
	}
	c.rows, c.transactions = m.rows, x.transactions
	if m.rows > 0 {
		c.last = m.source
	}
	*s.at.Databases[c.name] = x.after
	s.moved = true
	return x.more, nil
}
