package postgres

import (
	"context"
	"fmt"
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
