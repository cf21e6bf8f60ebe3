package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"

	"tributary/capture"
	"tributary/internal/fault"
)

// Check looks at everything that Open would, changes nothing, and writes what
// Open would do. resume is the stored position, nil = none.
func (s *Source) Check(ctx context.Context, resume capture.Position, w io.Writer) (err error) {
	c := s.newCatalog()
	defer func() { err = errors.Join(err, c.close(context.WithoutCancel(ctx))) }()
	if err := s.checkServer(ctx, c); err != nil {
		return err
	}
	var version string
	err = c.query(ctx, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT current_setting('server_version')").Scan(&version)
	})
	if err != nil {
		return fmt.Errorf("read server version: %w", err)
	}
	fmt.Fprintf(w, "database     PostgreSQL %s at %s:%d, database %s, user %s\n", version, s.opts.Host, s.opts.Port, s.opts.Database, s.opts.User)
	c.first = len(resume) == 0
	tables, err := c.tables(ctx)
	if err != nil {
		return err
	}
	if note := c.unmatchedNote(); note != "" {
		fmt.Fprintf(w, "warning      %s\n", note)
	}
	if err := s.checkTables(c, tables, w); err != nil {
		return err
	}
	identities, err := identityStatements(&s.opts, tables)
	if err != nil {
		return err
	}
	for _, q := range identities {
		fmt.Fprintf(w, "identity     to do: %s\n", q)
	}
	p, err := c.publication(ctx, s.opts.Publication, tables)
	if err != nil {
		return err
	}
	statements, err := p.statements(&s.opts, tables)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "publication  %s, %s\n", s.opts.Publication, todo(p.exists, statements))
	if err := s.checkAction(ctx, c, w); err != nil {
		return err
	}
	return s.checkSlot(ctx, c, resume, w)
}

func todo(exists bool, statements []string) string {
	switch {
	case len(statements) > 0:
		return "to do: " + strings.Join(statements, "; ")
	case exists:
		return "exists"
	}
	return "to be created"
}

func (s *Source) checkTables(c *catalog, tables []*tableInfo, w io.Writer) error {
	var errs []error
	var all []capture.Described
	for _, t := range tables {
		described, err := c.described([]*tableInfo{t})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, described...)
		note, err := s.opts.Note(described[0])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		fmt.Fprintf(w, "table        %s %s%s%s\n", t.id, note, identityNote(t), leftOutNote(c, t))
		columns, mend, err := weakKey(&s.opts, t)
		if err != nil {
			return err
		}
		if len(columns) > 0 {
			fmt.Fprintf(w, "warning      %s: deletes do not tell %s of message.key.columns, whose keys are null or zero there; mend it with %s\n", t.id, strings.Join(columns, ", "), mend)
		}
		if !t.readable {
			errs = append(errs, errUnreadable([]*tableInfo{t}, s.opts.User))
		}
	}
	for _, u := range s.opts.Unused(all) {
		fmt.Fprintf(w, "warning      %s\n", u)
	}
	return errors.Join(errs...)
}

// leftOutNote names the columns whose types have no form in events, and those that
// the publication leaves out.
func leftOutNote(c *catalog, t *tableInfo) string {
	var names []string
	for i := range t.columns {
		col := &t.columns[i]
		if _, ok := mapType(col.typ, &c.build.modes); !ok && c.build.filter.Column(t.id, col.name) {
			names = append(names, fmt.Sprintf("%s (%s)", col.name, col.native))
		}
	}
	note := ""
	if len(names) > 0 {
		note = "; left out: " + strings.Join(names, ", ")
	}
	if len(t.unpublished) > 0 {
		note += "; not published: " + strings.Join(t.unpublished, ", ")
	}
	return note
}

// identityNote tells what the log does not carry of a table's changes.
func identityNote(t *tableInfo) string {
	switch {
	case t.identity == 'f':
		return ", replica identity full"
	case t.identity == 'n':
		return "; its replica identity is nothing: the server refuses updates and deletes while it is published"
	case len(t.key) == 0:
		return "; without a replica identity the server refuses updates and deletes while it is published"
	}
	return ""
}

func (s *Source) checkSlot(ctx context.Context, c *catalog, resume capture.Position, w io.Writer) error {
	sl, err := c.slot(ctx, s.opts.Slot)
	if err != nil {
		return err
	}
	state := "to be created"
	if sl.exists {
		state = fmt.Sprintf("exists, acknowledged up to %s", sl.confirmed)
		if sl.active {
			state += ", in use now"
		}
	}
	fmt.Fprintf(w, "slot         %s, %s\n", s.opts.Slot, state)
	if len(resume) == 0 {
		next := "none stored: a snapshot, then the log"
		if !s.opts.readsRows() {
			next = "none stored: the log from now on (snapshot.mode " + s.opts.SnapshotMode + ")"
		}
		fmt.Fprintf(w, "position     %s\n", next)
		if sl.exists {
			return sl.usable(&s.opts)
		}
		return nil
	}
	pos, err := parsePosition(resume)
	if err != nil {
		return err
	}
	if pos.Slot != s.opts.Slot {
		return fault.Humanf("set slot.name to the slot of the position", "the stored position is of slot %s, slot.name is %s", pos.Slot, s.opts.Slot)
	}
	if err := sl.follows(&s.opts, pos); err != nil {
		return err
	}
	what := "the log from " + pos.LSN.String()
	if pos.Snapshot != nil {
		what = fmt.Sprintf("the snapshot after %d rows (%d tables done), then the log from %s", pos.Snapshot.Rows, len(pos.Snapshot.Done), pos.LSN)
	}
	fmt.Fprintf(w, "position     stored: %s\n", what)
	return nil
}
