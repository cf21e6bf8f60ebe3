package sqlserver

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"
	"unsafe"

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

// pages reads the rows of a capture instance in an interval, page by page.
type pages struct {
	in *instance
	d  *database
	interval
	bytes int // a page ends when it has as many

	rows   []change       // of the page in work
	values []driver.Value // memory for values
	last   key            // of the last row that was read
	same   int            // rows that were read with it
	any    bool           // a page has been read
	all    bool           // there are no more
}

// page is what is read at a time.
type page struct {
	rows []change
	last bool // there are no more
}

const metaColumns = 6

// next reads the page after the first, and makes sure that nothing of it was cleaned
// up. objects are place.Instances of the interval.
func (p *pages) next(ctx context.Context, objects []int64) (page, error) {
	// What was read before this page was looked at then: only from the transaction on
	// in which the last page ended may nothing have been removed by now.
	needed := &place{Commit: lsnText(p.last.commit), Change: lsnText(p.last.commit), Instances: objects}
	x, err := p.fetch(ctx)
	if err != nil {
		return x, err
	}
	return x, p.d.overtaken(ctx, needed, []*instance{p.in})
}

// fetch reads the next page: what is left of the transaction in which the last one
// ended, and what comes after it. These are two queries, for each of which the
// server finds the range in the index; in one it would read all transactions of the
// interval again for each page.
func (p *pages) fetch(ctx context.Context) (page, error) {
	p.rows = make([]change, 0, len(p.rows)) // those of the last page are still delivered
	err := p.read(ctx)
	return page{p.rows, p.all}, err
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
		more, err := p.page(ctx, p.last.commit, p.last.commit, true)
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
	more, err := p.page(ctx, low, p.to, false)
	p.all = p.all || !more
	return err
}

// page reads rows from a commit to another; behind the last one if rest is set. Rows
// that stand at the same place as that are read again and passed over: a page may
// end between them. It reports whether there may be more.
func (p *pages) page(ctx context.Context, from, to lsn, rest bool) (more bool, err error) {
	limit, pass, n, size := p.d.cfg.page(), 0, 0, 0
	if rest {
		limit, pass = limit+p.same, p.same
	}
	query, args := p.query(limit, from, to, rest)
	err = p.d.conn.rows(ctx, query, args, func(v []driver.Value) error {
		n++
		r := change{}
		if r.key, err = keyIn(v); err != nil {
			return err
		}
		if p.any && r.key == p.last {
			if pass > 0 {
				pass--
				return nil
			}
			p.same++
		} else {
			p.last, p.same = r.key, 1
			p.any = true
		}
		if b, ok := v[4].([]byte); ok {
			r.mask = b
		}
		if t, ok := v[5].(time.Time); ok {
			r.at = t
		}
		r.values = p.keep(v[metaColumns:])
		p.rows = append(p.rows, r)
		if size += r.size(); size >= p.bytes && n < limit {
			return errFull
		}
		return nil
	})
	if errors.Is(err, errFull) {
		return true, nil
	}
	if number(err) == errMissingObject && p.d.dropped(ctx, p.in) {
		from := &place{Commit: lsnText(p.from)}
		if p.within {
			from.Change = from.Commit
		}
		p.all = true
		return true, p.d.vanished(ctx, from, p.in.object)
	}
	if number(err) == errMissingColumn && p.d.commandless(ctx, p.in) {
		return false, fault.Human(fmt.Errorf("read the changes of %s: the capture instance %s has no __$command_id, as an older server made it: %w", p.in.id, p.in.name, err),
			"make a further capture instance of the table, or read with data.query.mode: function, which orders by __$seqval alone")
	}
	if number(err) == errOutOfRange { // the LSNs are out of what the function has
		if e := p.d.overtaken(ctx, &place{Commit: lsnText(before(p.from)), Instances: []int64{p.in.object}}, []*instance{p.in}); e != nil {
			return false, e
		}
	}
	if n := number(err); n == errDenied || n == errMissingObject {
		if e := p.d.rights(ctx); e != nil { // it knows what is missing
			return false, e
		}
	}
	if err != nil {
		return false, fmt.Errorf("read the changes of %s: %w", p.in.id, err)
	}
	return n >= limit, nil
}

// errFull ends a page before it has its number of rows.
var errFull = errors.New("the page has its bytes")

// size is about how much memory the row has.
func (r *change) size() int {
	n := int(unsafe.Sizeof(*r)) + len(r.values)*int(unsafe.Sizeof(r.values[0]))
	for _, v := range r.values {
		switch v := v.(type) {
		case []byte:
			n += len(v)
		case string:
			n += len(v)
		}
	}
	return n
}

// keep copies the values of a row.
func (p *pages) keep(v []driver.Value) []driver.Value {
	if cap(p.values)-len(p.values) < len(v) {
		p.values = make([]driver.Value, 0, len(v)*min(max(len(p.rows), 1), 256))
	}
	start := len(p.values)
	p.values = append(p.values, v...)
	return p.values[start:len(p.values):len(p.values)]
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
func (p *pages) query(limit int, low, high lsn, rest bool) (string, []any) {
	var b strings.Builder
	args := []any{low[:], high[:]}
	direct := p.d.cfg.QueryMode != "function"
	command, from := "c.[__$command_id]", "cdc."+quoted(p.in.name+"_CT")
	if !direct {
		command, from = "CAST(0 AS int)", "cdc."+quoted("fn_cdc_get_all_changes_"+p.in.name)+"(@p1, @p2, N'all update old')"
	}
	fmt.Fprintf(&b, "SELECT TOP (%d) c.[__$start_lsn], %s, c.[__$seqval], c.[__$operation], c.[__$update_mask], TODATETIMEOFFSET(l.tran_begin_time, DATEPART(TZOFFSET, SYSDATETIMEOFFSET()))", limit, command)
	if len(p.in.table.columns) > 0 {
		b.WriteString(", " + p.in.table.list("c."))
	}
	b.WriteString(" FROM " + from + " AS c LEFT JOIN cdc.lsn_time_mapping AS l ON l.start_lsn = c.[__$start_lsn] WHERE c.[__$start_lsn] >= @p1 AND c.[__$start_lsn] <= @p2")
	if rest {
		args = append(args, append([]byte{}, p.last.change[:]...), p.last.op)
		inner := "(c.[__$seqval] > @p3 OR (c.[__$seqval] = @p3 AND c.[__$operation] >= @p4))"
		if direct {
			args = append(args, p.last.command)
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
