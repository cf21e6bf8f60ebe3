package mysql

import (
	"context"
	"errors"
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
