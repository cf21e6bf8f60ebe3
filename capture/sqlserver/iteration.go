package sqlserver

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
)

// interval is a stretch of a database's log.
type interval struct {
	from, to lsn
	within   bool // from is a transaction of which a part has been delivered
}

// ends are where an iteration ends.
type ends struct {
	after        place
	more         bool // there may be more behind it
	transactions int
}

// iteration is an interval whose rows are read: through so many transactions. It knows
// the capture instances as they were when it was planned, so that the next one can be
// planned while it is read and delivered.
type iteration struct {
	interval
	ends
	list   []*instance // of the database
	before place       // where it begins
	read   []first
}

// first is the first page of a capture instance in an iteration.
type first struct {
	pages *pages
	page  page
}

// iteration finds what is new after a place; nil if there is nothing. It has at most
// top transactions.
func (d *database) iteration(ctx context.Context, c *conn, p *place, top int) (*iteration, error) {
	v, err := c.one(ctx, "SELECT sys.fn_cdc_get_max_lsn()")
	if err != nil {
		return nil, fmt.Errorf("read the end of the log of database %s: %w", d.name, err)
	}
	end := asLSN(v)
	if compareLSN(end, lsn(p.Commit)) <= 0 && !p.partial() || end == (lsn{}) {
		return nil, nil //nolint:nilnil // there is nothing new
	}
	if err := d.refresh(ctx, c); err != nil {
		return nil, err
	}
	x := &iteration{interval: interval{from: lsn(p.Commit), to: end, within: p.partial()}, list: d.list, before: *p}
	if err := x.bound(ctx, c, top); err != nil {
		return nil, fmt.Errorf("find the transactions of database %s: %w", d.name, err)
	}
	x.after = place{Commit: lsnText(x.to), Instances: objects(x.list, x.to)}
	return x, nil
}

// bound ends the iteration behind as many transactions as it may have, and counts them.
func (x *iteration) bound(ctx context.Context, c *conn, most int) error {
	from := x.from
	if !x.within {
		from = increment(from)
	}
	const query = "SELECT MAX(start_lsn), COUNT(*) FROM (SELECT TOP (@p3) start_lsn FROM cdc.lsn_time_mapping WHERE start_lsn >= @p1 AND start_lsn <= @p2 AND tran_id <> 0x00 ORDER BY start_lsn) AS transactions"
	return c.rows(ctx, query, []any{from[:], x.to[:], int64(most)}, func(v []driver.Value) error {
		if x.transactions = int(asInt(v[1])); x.transactions >= most {
			x.to, x.more = asLSN(v[0]), true
		}
		return nil
	})
}

// start reads the first pages, if there are transactions, and makes sure that nothing
// of them was cleaned up.
func (x *iteration) start(ctx context.Context, d *database, c *conn, m *marks) error {
	if x.transactions > 0 {
		if err := x.pages(ctx, d, c); err != nil {
			return err
		}
	}
	if err := x.overtaken(ctx, d, c); err != nil {
		return err
	}
	return m.passed(ctx, c, d.name, x.to)
}

// overtaken reports whether the clean-up has removed changes that the iteration was to
// read: after its beginning, and after that of instances that begin within it.
func (x *iteration) overtaken(ctx context.Context, d *database, c *conn) error {
	if err := d.overtaken(ctx, c, &x.before, x.list, x.list); err != nil {
		return err
	}
	for _, in := range x.list {
		if compareLSN(in.began, x.from) <= 0 || compareLSN(in.began, x.to) > 0 || slices.Contains(x.before.Instances, in.object) {
			continue
		}
		if err := d.overtaken(ctx, c, needed(in, in.began), []*instance{in}, x.list); err != nil {
			return err
		}
	}
	return nil
}

// pages reads the first pages. Those of an iteration share the memory that a batch may
// have, but each has at least some.
func (x *iteration) pages(ctx context.Context, d *database, c *conn) error {
	const least = 64 << 10
	bytes := max(d.cfg.Limits().Bytes/max(len(x.list), 1), least)
	for _, in := range x.list {
		if in.start == (lsn{}) {
			continue // all that it will have is behind the end of the log, which was read before the list
		}
		p := &pages{in: in, captured: x.list, d: d, conn: c, interval: x.interval, bytes: bytes, signals: in.id.String() == d.cfg.SignalTable}
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
