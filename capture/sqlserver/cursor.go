package sqlserver

import (
	"bytes"
	"context"
	"database/sql/driver"
	"fmt"
	"strings"
	"time"

	"tributary/internal/fault"
)

// key is where a row of a change table stands in the log.
type key struct {
	commit  lsn
	command int64
	change  lsn
	op      int64
}

// compare orders rows: by commit, command, sequence value and operation.
func (k *key) compare(o *key) int {
	if n := bytes.Compare(k.commit[:], o.commit[:]); n != 0 {
		return n
	}
	if k.command != o.command {
		return int(k.command - o.command)
	}
	if n := bytes.Compare(k.change[:], o.change[:]); n != 0 {
		return n
	}
	return int(k.op - o.op)
}

// change is a row of a change table.
type change struct {
	key
	mask   []byte
	at     time.Time // of the transaction
	values []driver.Value
}

// cursor reads the rows of a capture instance in an interval, page by page.
type cursor struct {
	in *instance
	d  *database
	interval

	rows []change
	next int
	last key  // of the last row that was read
	same int  // rows that were read with it
	any  bool // a page has been read
	all  bool // there are no more
}

const metaColumns = 6

// head is the row that is next, nil at the end.
func (c *cursor) head() *change {
	if c.next < len(c.rows) {
		return &c.rows[c.next]
	}
	return nil
}

// advance goes to the row after head. Before the last page's rows are used up it
// reads the next one and makes sure that nothing of it was cleaned up.
func (c *cursor) advance(ctx context.Context, p *place) error {
	c.next++
	if c.next < len(c.rows) || c.all {
		return nil
	}
	// What was read before this page was looked at then: only from the transaction on
	// in which the last page ended may nothing have been removed by now.
	needed := &place{Commit: lsnText(c.last.commit), Change: lsnText(c.last.commit), Instances: p.Instances}
	if err := c.fetch(ctx); err != nil {
		return err
	}
	return c.d.overtaken(ctx, needed, []*instance{c.in})
}

// fetch reads the next page: what is left of the transaction in which the last one
// ended, and what comes after it. These are two queries, for each of which the
// server finds the range in the index; in one it would read all transactions of the
// interval again for each page.
func (c *cursor) fetch(ctx context.Context) error {
	c.rows, c.next = c.rows[:0], 0
	if compareLSN(c.to, c.from) < 0 || compareLSN(c.to, c.from) == 0 && !c.within {
		c.all = true
		return nil
	}
	low := c.from
	if !c.within {
		low = increment(low)
	}
	if c.any {
		more, err := c.page(ctx, c.last.commit, c.last.commit, true)
		if err != nil || more {
			return err
		}
		low = increment(c.last.commit)
	}
	if compareLSN(low, c.in.start) < 0 {
		low = c.in.start
	}
	if compareLSN(low, c.to) > 0 {
		c.all = true
		return nil
	}
	more, err := c.page(ctx, low, c.to, false)
	c.all = c.all || !more
	return err
}

// page reads rows from a commit to another; behind the last one if rest is set. Rows
// that stand at the same place as that are read again and passed over: a page may
// end between them. It reports whether there may be more.
func (c *cursor) page(ctx context.Context, from, to lsn, rest bool) (more bool, err error) {
	limit, pass, n := c.d.cfg.page(), 0, 0
	if rest {
		limit, pass = limit+c.same, c.same
	}
	query, args := c.query(limit, from, to, rest)
	err = c.d.conn.rows(ctx, query, args, func(v []driver.Value) error {
		n++
		r := change{}
		if r.key, err = keyIn(v); err != nil {
			return err
		}
		if c.any && r.key == c.last {
			if pass > 0 {
				pass--
				return nil
			}
			c.same++
		} else {
			c.last, c.same = r.key, 1
			c.any = true
		}
		if b, ok := v[4].([]byte); ok {
			r.mask = b
		}
		if t, ok := v[5].(time.Time); ok {
			r.at = t
		}
		r.values = append([]driver.Value(nil), v[metaColumns:]...)
		c.rows = append(c.rows, r)
		return nil
	})
	if number(err) == errMissingObject && c.d.dropped(ctx, c.in) {
		p := &place{Commit: lsnText(c.from)}
		if c.within {
			p.Change = p.Commit
		}
		c.all = true
		return true, c.d.vanished(ctx, p, c.in.object)
	}
	if number(err) == errMissingColumn && c.d.commandless(ctx, c.in) {
		return false, fault.Human(fmt.Errorf("read the changes of %s: the capture instance %s has no __$command_id, as an older server made it: %w", c.in.id, c.in.name, err),
			"make a further capture instance of the table, or read with data.query.mode: function, which orders by __$seqval alone")
	}
	if number(err) == errOutOfRange { // the LSNs are out of what the function has
		if e := c.d.overtaken(ctx, &place{Commit: lsnText(before(c.from)), Instances: []int64{c.in.object}}, []*instance{c.in}); e != nil {
			return false, e
		}
	}
	if n := number(err); n == errDenied || n == errMissingObject {
		if e := c.d.rights(ctx); e != nil { // it knows what is missing
			return false, e
		}
	}
	if err != nil {
		return false, fmt.Errorf("read the changes of %s: %w", c.in.id, err)
	}
	return n >= limit, nil
}

// keyIn is where a row stands, of its first columns.
func keyIn(v []driver.Value) (k key, err error) {
	commit, ok1 := v[0].([]byte)
	command, ok2 := v[1].(int64)
	seqval, ok3 := v[2].([]byte)
	op, ok4 := v[3].(int64)
	if !ok1 || !ok2 || !ok3 || !ok4 || len(commit) != len(k.commit) || len(seqval) != len(k.change) {
		return k, fmt.Errorf("the driver gives %T, %T, %T and %T for __$start_lsn, __$command_id, __$seqval and __$operation", v[0], v[1], v[2], v[3])
	}
	return key{lsn(commit), command, lsn(seqval), op}, nil
}

// query selects a page of rows.
func (c *cursor) query(limit int, low, high lsn, rest bool) (string, []any) {
	var b strings.Builder
	args := []any{low[:], high[:]}
	direct := c.d.cfg.QueryMode != "function"
	command, from := "c.[__$command_id]", "cdc."+quoted(c.in.name+"_CT")
	if !direct {
		command, from = "CAST(0 AS int)", "cdc."+quoted("fn_cdc_get_all_changes_"+c.in.name)+"(@p1, @p2, N'all update old')"
	}
	fmt.Fprintf(&b, "SELECT TOP (%d) c.[__$start_lsn], %s, c.[__$seqval], c.[__$operation], c.[__$update_mask], TODATETIMEOFFSET(l.tran_begin_time, DATEPART(TZOFFSET, SYSDATETIMEOFFSET()))", limit, command)
	if len(c.in.table.columns) > 0 {
		b.WriteString(", " + c.in.table.list("c."))
	}
	b.WriteString(" FROM " + from + " AS c LEFT JOIN cdc.lsn_time_mapping AS l ON l.start_lsn = c.[__$start_lsn] WHERE c.[__$start_lsn] >= @p1 AND c.[__$start_lsn] <= @p2")
	if rest {
		args = append(args, append([]byte{}, c.last.change[:]...), c.last.op)
		inner := "(c.[__$seqval] > @p3 OR (c.[__$seqval] = @p3 AND c.[__$operation] >= @p4))"
		if direct {
			args = append(args, c.last.command)
			inner = "c.[__$command_id] >= @p5 AND (c.[__$command_id] > @p5 OR " + inner + ")"
		}
		b.WriteString(" AND " + inner)
	}
	b.WriteString(" ORDER BY c.[__$start_lsn], ")
	if direct {
		b.WriteString("c.[__$command_id], ")
	}
	b.WriteString("c.[__$seqval], c.[__$operation]")
	return b.String(), args
}

// commandless reports whether an instance is of a server that did not write the order
// of commands yet: an upgrade of the server leaves it so.
func (d *database) commandless(ctx context.Context, in *instance) bool {
	v, err := d.conn.one(ctx, "SELECT COUNT(*) FROM sys.columns WHERE object_id = @p1 AND name = N'__$command_id'", in.object)
	return err == nil && asInt(v) == 0
}

// dropped reports whether an instance is not there any more.
func (d *database) dropped(ctx context.Context, in *instance) bool {
	v, err := d.conn.one(ctx, "SELECT COUNT(*) FROM cdc.change_tables WHERE object_id = @p1", in.object)
	return err == nil && asInt(v) == 0
}
