package sqlserver

import (
	"context"
	"database/sql/driver"
	"fmt"
	"time"

	"tributary/capture"
	"tributary/envelope"
)

// stream reads the changes of all databases.
type stream struct {
	*session
	batch *capture.Batch
	said  time.Time // when a position was told last
	moved bool      // the position is another than was told last
}

// follow polls the databases in turn until ctx ends or an error.
func (n *session) follow(ctx context.Context) error {
	s := &stream{session: n, batch: n.pipe.Batch(), said: time.Now()}
	for _, d := range n.databases {
		p := n.at.Databases[d.name]
		l := lsn(p.Commit)
		d.log.Info("following the changes", "commit_lsn", l.String(), "tables", len(d.list), "data.query.mode", n.cfg.QueryMode)
	}
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-wait.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		more := false
		for _, d := range n.databases {
			d.watch(ctx, n.metrics)
			again, err := s.poll(ctx, d)
			if err != nil {
				return err
			}
			more = more || again
		}
		if err := s.tellPosition(ctx); err != nil {
			return err
		}
		if more {
			wait.Reset(0)
		} else {
			wait.Reset(n.cfg.Poll)
		}
	}
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

// interval is a stretch of a database's log.
type interval struct {
	from, to lsn
	within   bool // from is a transaction of which a part has been delivered
}

// poll reads what is new in a database. It reports whether there may be more right
// away.
func (s *stream) poll(ctx context.Context, d *database) (more bool, err error) {
	p := s.at.Databases[d.name]
	v, err := d.conn.one(ctx, "SELECT sys.fn_cdc_get_max_lsn()")
	if err != nil {
		return false, fmt.Errorf("read the end of the log of database %s: %w", d.name, err)
	}
	end := asLSN(v)
	if compareLSN(end, lsn(p.Commit)) <= 0 && !p.partial() || end == (lsn{}) {
		return false, nil
	}
	if err := d.refresh(ctx); err != nil {
		return false, err
	}
	x, found, more, err := d.bound(ctx, p, end)
	if err != nil {
		return false, err
	}
	if found {
		if err := s.read(ctx, d, x); err != nil {
			return false, err
		}
	} else if err := d.overtaken(ctx, p, d.list); err != nil {
		return false, err
	}
	*p = place{Commit: lsnText(x.to), Instances: d.objects(x.to)}
	s.moved = true
	return more, s.marks.passed(ctx, d, x.to)
}

// bound finds how far to read: to the end, or through as many transactions as
// max.iteration.transactions allows.
func (d *database) bound(ctx context.Context, p *place, end lsn) (x interval, found, more bool, err error) {
	x = interval{from: lsn(p.Commit), to: end, within: p.partial()}
	from := x.from
	if !x.within {
		from = increment(from)
	}
	top := ""
	args := []any{from[:], end[:]}
	if d.cfg.MaxTransactions > 0 {
		top, args = "TOP (@p3) ", append(args, int64(d.cfg.MaxTransactions))
	}
	query := "SELECT MAX(start_lsn), COUNT(*) FROM (SELECT " + top + "start_lsn FROM cdc.lsn_time_mapping WHERE start_lsn >= @p1 AND start_lsn <= @p2 AND tran_id <> 0x00"
	if top != "" {
		query += " ORDER BY start_lsn"
	}
	count, last := int64(0), lsn{}
	err = d.conn.rows(ctx, query+") AS transactions", args, func(v []driver.Value) error {
		last, count = asLSN(v[0]), asInt(v[1])
		return nil
	})
	if err != nil {
		return x, false, false, fmt.Errorf("find the transactions of database %s: %w", d.name, err)
	}
	if top != "" && count >= int64(d.cfg.MaxTransactions) {
		x.to, more = last, true
	}
	return x, count > 0, more, nil
}

// read delivers the changes of an interval, in the order of the log.
func (s *stream) read(ctx context.Context, d *database, x interval) error {
	p := s.at.Databases[d.name]
	m := &merge{stream: s, d: d, interval: x, before: *p, tx: envelope.NewTransaction(s.cfg.Transactions)}
	for _, in := range d.list {
		c := &cursor{in: in, d: d, interval: x}
		if in.stop != (lsn{}) && compareLSN(in.stop, x.from) <= 0 {
			continue // it is done with
		}
		if in.stop != (lsn{}) && compareLSN(in.stop, x.to) <= 0 {
			c.to = before(in.stop)
		}
		if err := c.fetch(ctx); err != nil {
			return err
		}
		m.cursors = append(m.cursors, c)
	}
	if err := d.overtaken(ctx, &m.before, d.list); err != nil {
		return err
	}
	return m.run(ctx)
}

// before is the LSN that precedes one.
func before(l lsn) lsn {
	for i := len(l) - 1; i >= 0; i-- {
		l[i]--
		if l[i] != 0xff {
			break
		}
	}
	return l
}
