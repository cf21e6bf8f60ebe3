package sqlserver

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"tributary/internal/fault"
)

// pages reads the rows of a capture instance in an interval, page by page.
type pages struct {
	in   *instance
	d    *database
	conn *conn
	interval
	captured []*instance // all of the database
	bytes    int         // a page ends when it has about as many
	signals  bool        // it is the signal table: rows may be marks

	page    page     // in work
	cells   [][]byte // of a row
	scratch []byte
	last    key  // of the last row that was read
	same    int  // rows that were read with it
	any     bool // a page has been read
	all     bool // there are no more
}

// next reads the page after the first, and makes sure that nothing of it was cleaned
// up: what was read before was looked at then, so that nothing may have been removed
// from the transaction on in which the last page ended.
func (p *pages) next(ctx context.Context) (page, error) {
	from := needed(p.in, p.last.commit)
	x, err := p.fetch(ctx)
	if err != nil {
		return x, err
	}
	return x, p.d.overtaken(ctx, p.conn, from, []*instance{p.in}, p.captured)
}

// fetch reads the next page: what is left of the transaction in which the last one
// ended, and what comes after it. These are two queries, for each of which the
// server finds the range in the index; in one it would read all transactions of the
// interval again for each page.
func (p *pages) fetch(ctx context.Context) (page, error) {
	// The memory of the last page is still in use.
	p.page = page{rows: make([]change, 0, len(p.page.rows)), buf: make([]byte, 0, len(p.page.buf)+len(p.page.buf)/8)}
	err := p.read(ctx)
	p.page.last = p.all
	return p.page, err
}

func (p *pages) read(ctx context.Context) error {
	if compareLSN(p.to, p.from) < 0 || compareLSN(p.to, p.from) == 0 && !p.within {
		p.all = true
		return nil
	}
	low := p.from
	if !p.within {
		low = increment(low)
	}
	if p.any {
		more, err := p.rows(ctx, p.last.commit, p.last.commit, true)
		if err != nil || more {
			return err
		}
		low = increment(p.last.commit)
	}
	if compareLSN(low, p.in.start) < 0 {
		low = p.in.start
	}
	if compareLSN(low, p.to) > 0 {
		p.all = true
		return nil
	}
	more, err := p.rows(ctx, low, p.to, false)
	p.all = p.all || !more
	return err
}

// rows reads rows from a commit to another; behind the last one if rest is set. Rows
// that stand at the same place as that are read again and passed over: a page may
// end between them. It reports whether there may be more.
func (p *pages) rows(ctx context.Context, from, to lsn, rest bool) (more bool, err error) {
	limit, pass, n := p.limit(), 0, 0
	had, size := len(p.page.rows), p.page.size()
	if rest {
		limit, pass = limit+p.same, p.same
	}
	query, args := p.query(limit, from, to, rest)
	err = p.conn.rows(ctx, query, args, func(v []driver.Value) error {
		n++
		k, err := keyIn(v)
		if err != nil {
			return err
		}
		if p.any && k == p.last {
			if pass > 0 {
				pass--
				return nil
			}
			p.same++
		} else {
			p.last, p.same = k, 1
			p.any = true
		}
		p.append(k, v)
		if p.page.size() >= p.bytes+p.bytes/4 && n < limit {
			return errFull
		}
		return nil
	})
	if added := len(p.page.rows) - had; added > 0 {
		p.in.rowSize.Store(int64((p.page.size() - size) / added))
	}
	if errors.Is(err, errFull) {
		return true, nil
	}
	if number(err) == errMissingObject && p.dropped(ctx) {
		from := &place{Commit: lsnText(p.from)}
		if p.within {
			from.Change = from.Commit
		}
		p.all = true
		return true, p.d.vanished(ctx, p.conn, from, p.in.object)
	}
	if number(err) == errMissingColumn && p.commandless(ctx) {
		return false, fault.Human(fmt.Errorf("read the changes of %s: the capture instance %s has no __$command_id, as an older server made it: %w", p.in.id, p.in.name, err),
			"make a further capture instance of the table, or read with data.query.mode: function, which orders by __$seqval alone")
	}
	if number(err) == errOutOfRange { // the LSNs are out of what the function has
		if e := p.d.overtaken(ctx, p.conn, &place{Commit: lsnText(before(p.from)), Instances: []int64{p.in.object}}, []*instance{p.in}, p.captured); e != nil {
			return false, e
		}
	}
	if n := number(err); n == errDenied || n == errMissingObject {
		if e := p.d.rights(ctx, p.conn, p.captured); e != nil { // it knows what is missing
			return false, e
		}
	}
	if err != nil {
		return false, fmt.Errorf("read the changes of %s: %w", p.in.id, err)
	}
	return n >= limit, nil
}

// limit is how many rows the next page may have, by what those before took: the server
// sends in vain what is behind the end that bytes put to a page.
func (p *pages) limit() int {
	n := p.d.cfg.page()
	if size := int(p.in.rowSize.Load()); size > 0 {
		n = min(n, max(p.bytes/size, 1))
	}
	return n
}

// errFull ends a page before it has its number of rows.
var errFull = errors.New("the page has its bytes")

// query selects a page of rows. Its text is the same whatever their number, so that the
// server makes its plan once.
func (p *pages) query(limit int, low, high lsn, rest bool) (string, []any) {
	var b strings.Builder
	args := []any{low[:], high[:], int64(limit)}
	direct := p.d.cfg.QueryMode != "function"
	command, from := "c.[__$command_id]", "cdc."+quoted(p.in.name+"_CT")
	if !direct {
		command, from = "CAST(0 AS int)", "cdc."+quoted("fn_cdc_get_all_changes_"+p.in.name)+"(@p1, @p2, N'all update old')"
	}
	fmt.Fprintf(&b, "SELECT TOP (@p3) c.[__$start_lsn], %s, c.[__$seqval], c.[__$operation], c.[__$update_mask], TODATETIMEOFFSET(l.tran_begin_time, DATEPART(TZOFFSET, SYSDATETIMEOFFSET()))", command)
	if len(p.in.table.columns) > 0 {
		b.WriteString(", " + p.in.table.list("c."))
	}
	b.WriteString(" FROM " + from + " AS c LEFT JOIN cdc.lsn_time_mapping AS l ON l.start_lsn = c.[__$start_lsn] WHERE c.[__$start_lsn] >= @p1 AND c.[__$start_lsn] <= @p2")
	if rest {
		args = append(args, append([]byte{}, p.last.change[:]...), p.last.op)
		inner := "(c.[__$seqval] > @p4 OR (c.[__$seqval] = @p4 AND c.[__$operation] >= @p5))"
		if direct {
			args = append(args, p.last.command)
			inner = "c.[__$command_id] >= @p6 AND (c.[__$command_id] > @p6 OR " + inner + ")"
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

// commandless reports whether the instance is of a server that did not write the order
// of commands yet: an upgrade of the server leaves it so.
func (p *pages) commandless(ctx context.Context) bool {
	v, err := p.conn.one(ctx, "SELECT COUNT(*) FROM sys.columns WHERE object_id = @p1 AND name = N'__$command_id'", p.in.object)
	return err == nil && asInt(v) == 0
}

// dropped reports whether the instance is not there any more.
func (p *pages) dropped(ctx context.Context) bool {
	v, err := p.conn.one(ctx, "SELECT COUNT(*) FROM cdc.change_tables WHERE object_id = @p1", p.in.object)
	return err == nil && asInt(v) == 0
}
