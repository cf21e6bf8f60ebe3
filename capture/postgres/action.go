package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tributary/internal/fault"
)

// Exec executes a statement in the captured database, on a connection of its
// own: heartbeat.action.query.
func (s *Source) Exec(ctx context.Context, query string) error {
	conn, err := (&server{opts: &s.opts}).connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }() // the statement is done, or its error is told
	if _, err := conn.Exec(ctx, query); err != nil {
		return explain(fmt.Errorf("execute: %w", err))
	}
	return nil
}

// checkAction looks at heartbeat.action.query without executing it: preparing it
// tells whether the server understands it, explaining it whether the user has the
// rights.
func (s *Source) checkAction(ctx context.Context, c *catalog, w io.Writer) error {
	q := s.opts.HeartbeatAction
	if q == "" {
		return nil
	}
	var err error
	understood := false
	if e := c.query(ctx, func(conn *pgx.Conn) error {
		if _, err = conn.Prepare(ctx, "", q); err != nil {
			return nil //nolint:nilerr // told below
		}
		understood = true
		// Prepared, so that it is one statement: of several, only the first would be
		// explained.
		const name = "tributary_check"
		if _, err = conn.Prepare(ctx, name, "EXPLAIN "+q); err == nil {
			_, err = conn.Exec(ctx, name)
		}
		return nil
	}); e != nil {
		return e
	}
	var e *pgconn.PgError
	const syntax = "42601"
	switch {
	case err == nil:
		fmt.Fprintln(w, "heartbeat    heartbeat.action.query is understood, and the user has the rights")
	case errors.As(err, &e) && e.Code == syntax && (understood || e.Position == 0):
		fmt.Fprintln(w, "heartbeat    heartbeat.action.query is not checked: it is several statements, or none that the server can explain")
	default:
		return fault.Human(fmt.Errorf("heartbeat.action.query: %w", err), "correct the statement, or grant the right that the message names")
	}
	return nil
}
