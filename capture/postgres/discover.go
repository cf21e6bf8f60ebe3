package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"tributary/capture"
)

// lookEvery is how often it is looked whether there are tables to capture that are
// not in the publication.
const lookEvery = 30 * time.Second

// discover looks for tables that were made, or renamed, since the start and are to
// be captured. When there are some, the source is opened anew, which has their rows
// read and their changes followed. It returns then, or when ctx ends.
func (s *Source) discover(ctx context.Context, l *life) {
	if s.opts.PublicationMode != "filtered" {
		return
	}
	c := s.newCatalog()
	c.build.warn = nil
	defer func() { _ = c.close(context.WithoutCancel(ctx)) }() // nothing is lost with it
	tick := time.NewTicker(s.look)
	defer tick.Stop()
	told := make(map[string]bool)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !l.follow.Load() {
			continue
		}
		found, err := s.unpublished(ctx, c, told)
		switch {
		case err != nil:
			s.log.Debug("look for new tables", "error", err)
		case found:
			l.cancel(capture.ErrReopen)
			return
		}
	}
}

// unpublished reports whether there are captured tables that the publication does
// not have, all of which can be captured: a start would fail for one that cannot. It
// warns of such, once.
func (s *Source) unpublished(ctx context.Context, c *catalog, told map[string]bool) (found bool, err error) {
	var tables []*tableInfo
	err = c.query(ctx, func(conn *pgx.Conn) (err error) {
		tables, _, err = c.list(ctx, conn, 0)
		return err
	})
	if err != nil {
		return false, err
	}
	tables = slices.DeleteFunc(tables, func(t *tableInfo) bool { return !s.filter.Table(t.id) })
	p, err := c.publication(ctx, s.opts.Publication, tables)
	if err != nil || !p.exists || p.allTables {
		return false, err
	}
	unfit := false
	for _, t := range tables {
		if t.published {
			continue
		}
		why, err := s.unfit(ctx, c, t)
		if err != nil {
			return false, err
		}
		if why == "" {
			found = true
			continue
		}
		unfit = true
		if name := t.id.String(); !told[name] {
			told[name] = true
			s.log.Warn("a new table is to be captured and cannot be; no new table is until that is mended", "table", name, "why", why,
				"hint", "mend that, or leave the table out with table.exclude.list; at the next start it is an error")
		}
	}
	return found && !unfit, nil
}

// unfit says what keeps a table from being captured, "" = nothing.
func (s *Source) unfit(ctx context.Context, c *catalog, t *tableInfo) (why string, err error) {
	if !t.readable {
		return fmt.Sprintf("user %s may not SELECT from it", s.opts.User), nil
	}
	var may bool
	err = c.query(ctx, func(conn *pgx.Conn) error {
		if c.pub, err = readPublished(ctx, conn, &s.opts); err != nil {
			return err
		}
		if err := c.details(ctx, conn, t); err != nil {
			return err
		}
		return conn.QueryRow(ctx, `SELECT pg_has_role(c.relowner, 'USAGE') AND pg_has_role(p.pubowner, 'USAGE')
			FROM pg_class c, pg_publication p WHERE c.oid = $1 AND p.pubname = $2`, t.oid, s.opts.Publication).Scan(&may)
	})
	if err != nil {
		return "", err
	}
	if !may {
		return fmt.Sprintf("user %s may not ALTER PUBLICATION %s ADD TABLE %s", s.opts.User, quoteIdent(s.opts.Publication), tableName(t.id)), nil
	}
	described, err := c.described([]*tableInfo{t})
	if err == nil {
		err = s.opts.CheckTables(described)
	}
	if err != nil {
		return err.Error(), nil // it is what keeps the table from being captured
	}
	return "", nil
}
