package sqlserver

import (
	"context"
	"database/sql/driver"
	"fmt"
)

// interval is a stretch of a database's log.
type interval struct {
	from, to lsn
	within   bool // from is a transaction of which a part has been delivered
}

// iteration is an interval whose rows are read: through as many transactions as
// max.iteration.transactions allows. It knows the capture instances as they were when
// it was planned, so that the next one can be planned while it is delivered.
type iteration struct {
	interval
	list   []*instance // of the database
	before place       // where it begins
	after  place       // where it ends
	more   bool        // there may be more behind it
	read   []first
}

// first is the first page of a capture instance in an iteration.
type first struct {
	pages *pages
	page  page
}

// iteration reads what is new after a place: the first page of each capture
// instance. It is nil if there is nothing.
func (d *database) iteration(ctx context.Context, p *place, m *marks) (*iteration, error) {
	v, err := d.conn.one(ctx, "SELECT sys.fn_cdc_get_max_lsn()")
	if err != nil {
		return nil, fmt.Errorf("read the end of the log of database %s: %w", d.name, err)
	}
	end := asLSN(v)
	if compareLSN(end, lsn(p.Commit)) <= 0 && !p.partial() || end == (lsn{}) {
		return nil, nil //nolint:nilnil // there is nothing new
	}
	if err := d.refresh(ctx); err != nil {
		return nil, err
	}
	x, found, err := d.bound(ctx, p, end)
	if err != nil {
		return nil, err
	}
	x.list, x.before = d.list, *p
	x.after = place{Commit: lsnText(x.to), Instances: objects(x.list, x.to)}
	if found {
		if err := x.start(ctx, d); err != nil {
			return nil, err
		}
	}
	if err := d.overtaken(ctx, p, x.list); err != nil {
		return nil, err
	}
	return x, m.passed(ctx, d, x.to)
}

// bound finds how far to read: to the end, or through as many transactions as
// max.iteration.transactions allows. It reports whether there are any.
func (d *database) bound(ctx context.Context, p *place, end lsn) (x *iteration, found bool, err error) {
	x = &iteration{interval: interval{from: lsn(p.Commit), to: end, within: p.partial()}}
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
		return x, false, fmt.Errorf("find the transactions of database %s: %w", d.name, err)
	}
	if top != "" && count >= int64(d.cfg.MaxTransactions) {
		x.to, x.more = last, true
	}
	return x, count > 0, nil
}

// start reads the first pages. They share the memory that a batch may have, but each
// has at least some.
func (x *iteration) start(ctx context.Context, d *database) error {
	const least = 64 << 10
	bytes := max(d.cfg.Limits().Bytes/max(len(x.list), 1), least)
	for _, in := range x.list {
		p := &pages{in: in, d: d, interval: x.interval, bytes: bytes, signals: in.id.String() == d.cfg.SignalTable}
		if in.stop != (lsn{}) && compareLSN(in.stop, x.from) <= 0 {
			continue // it is done with
		}
		if in.stop != (lsn{}) && compareLSN(in.stop, x.to) <= 0 {
			p.to = before(in.stop)
		}
		page, err := p.fetch(ctx)
		if err != nil {
			return err
		}
		x.read = append(x.read, first{p, page})
	}
	return nil
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
