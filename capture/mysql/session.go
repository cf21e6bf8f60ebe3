package mysql

import "context"

// Session is a connection for statements beside the capture: in UTF-8 and UTC, and
// with an sql_mode that takes every value. It is used by one goroutine.
type Session struct{ c *conn }

// Session connects.
func (s *Source) Session(ctx context.Context) (*Session, error) {
	c, err := dial(ctx, s.cfg)
	if err != nil {
		return nil, err
	}
	return &Session{c}, nil
}

// Exec executes a statement.
func (x *Session) Exec(ctx context.Context, query string) error { return x.c.exec(ctx, query) }

// Query returns the rows of a query as text, "" for NULL.
func (x *Session) Query(ctx context.Context, query string) ([][]string, error) {
	return x.c.table(ctx, query)
}

// Close ends the connection.
func (x *Session) Close() error { return x.c.close() }
