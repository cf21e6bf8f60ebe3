package sqlserver

import (
	"context"
	"database/sql/driver"
	"fmt"
)

// Session is a connection to the first database, for statements beside the
// capture. It is used by one goroutine.
type Session struct{ c *conn }

// Session connects.
func (s *Source) Session(ctx context.Context) (*Session, error) {
	c, err := dial(ctx, s.cfg.Options, s.cfg.Databases[0])
	if err != nil {
		return nil, err
	}
	return &Session{c}, nil
}

// Exec executes a batch of statements.
func (x *Session) Exec(ctx context.Context, query string) error { return x.c.exec(ctx, query) }

// Query returns the rows of a query as text, "" for NULL.
func (x *Session) Query(ctx context.Context, query string) (out [][]string, err error) {
	err = x.c.rows(ctx, query, nil, func(v []driver.Value) error {
		row := make([]string, len(v))
		for i := range v {
			switch c := v[i].(type) {
			case nil:
			case []byte:
				row[i] = string(c)
			default:
				row[i] = fmt.Sprint(c)
			}
		}
		out = append(out, row)
		return nil
	})
	return out, err
}

// Close ends the connection.
func (x *Session) Close() error { return x.c.close() }
