package mysql

import (
	"context"
	"errors"
	"fmt"
	"io"

	"tributary/internal/fault"
)

// Exec executes a statement on the server, on a connection of its own:
// heartbeat.action.query.
func (s *Source) Exec(ctx context.Context, query string) error {
	c, err := dial(ctx, s.cfg)
	if err != nil {
		return err
	}
	return errors.Join(c.exec(ctx, query), c.close())
}

// checkAction looks at heartbeat.action.query without executing it: explaining it
// needs the rights that it needs.
func (s *Source) checkAction(ctx context.Context, c *conn, w io.Writer) error {
	q := s.cfg.HeartbeatAction
	if q == "" {
		return nil
	}
	_, err := c.table(ctx, "EXPLAIN FORMAT=JSON "+q)
	switch {
	case err == nil:
		fmt.Fprintln(w, "heartbeat    heartbeat.action.query is understood, and the user has the rights")
		return nil
	case code(err) == errParse:
		if err = c.exec(ctx, "PREPARE tributary_check FROM "+quote(q)); code(err) != errParse { // the server has no EXPLAIN for it
			fmt.Fprintln(w, "heartbeat    heartbeat.action.query is not checked: it is no statement that the server can explain")
			return nil
		}
	}
	return fault.Human(fmt.Errorf("heartbeat.action.query: %w", err), "correct the statement, or grant the right that the message names")
}
