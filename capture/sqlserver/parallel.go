package sqlserver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"tributary/capture/snapshot"
)

var _ snapshot.Splitter = (*reader)(nil)

// team are the connections that read a snapshot beside that of r, which has begun;
// none with one thread. The first finds the ends of chunks.
//
// SQL Server gives no transaction the view of another. Each of these has one of its
// own, which is later than the position that the changes are read from: what was
// committed in between is in the rows and comes as a change too, as in every mode
// without locks. While the tables are locked they read what is there, locks or not.
func (d *database) team(ctx context.Context, r *reader) (out []*reader, err error) {
	if d.cfg.Threads < 2 {
		return nil, nil
	}
	level := levels[d.cfg.isolation()]
	if d.cfg.isolation() == isolationExclusive && d.cfg.locks() {
		level = sql.LevelReadUncommitted
	}
	for range d.cfg.Threads { // one less to read, one to split
		c, err := dial(ctx, d.cfg.Options, d.name)
		if err != nil {
			return nil, errors.Join(err, closeAll(out))
		}
		out = append(out, &reader{d: d, conn: c, tables: r.tables, of: r.of})
		if err := c.begin(ctx, level); err != nil {
			return nil, errors.Join(err, closeAll(out))
		}
		// The view is of the first time that data is read.
		if _, err := c.one(ctx, "SELECT TOP (1) start_lsn FROM cdc.lsn_time_mapping"); err != nil {
			return nil, errors.Join(fmt.Errorf("begin to read: %w", err), closeAll(out))
		}
	}
	return out, nil
}

func closeAll(team []*reader) error {
	var errs []error
	for _, x := range team {
		errs = append(errs, x.conn.end(), x.conn.close())
	}
	return errors.Join(errs...)
}

// locks reports whether a snapshot locks its tables, be it for a moment.
func (o *Options) locks() bool {
	mode := o.isolation()
	return (mode == isolationExclusive || mode == isolationRepeatable) && o.Locking != "none"
}

// Split implements snapshot.Splitter.
func (r *reader) Split(ctx context.Context, c snapshot.Chunk) (last [][]byte, err error) {
	t := r.tables[c.Codec.Table]
	key := c.Codec.Table.Key
	names := make([]string, len(key))
	for i, k := range key {
		names[i] = quoted(t.columns[k].name)
	}
	var b strings.Builder
	var args []any
	b.WriteString("SELECT " + strings.Join(names, ", "))
	r.chunk(&b, t, c, &args)
	fmt.Fprintf(&b, " OFFSET %d ROWS FETCH NEXT 1 ROWS ONLY", c.Limit-1)
	err = r.from().rows(ctx, b.String(), args, func(v []driver.Value) error {
		for i, k := range key {
			cell, ok := t.cells[k](nil, v[i])
			if !ok {
				return t.form(k, v[i])
			}
			last = append(last, cell)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find the end of a chunk: %w", err)
	}
	return last, nil
}
