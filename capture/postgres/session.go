package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Session is a connection for statements beside the capture. It is used by one
// goroutine.
type Session struct{ conn *pgx.Conn }

// Session connects.
func (s *Source) Session(ctx context.Context) (*Session, error) {
	conn, err := (&server{opts: &s.opts}).connect(ctx)
	if err != nil {
		return nil, err
	}
	return &Session{conn}, nil
}

// Exec executes statements; several with semicolons between are one transaction
// unless they say otherwise.
func (x *Session) Exec(ctx context.Context, query string) error {
	_, err := x.Query(ctx, query)
	return err
}

// Query is Exec that returns the rows of the last statement as text, "" for NULL.
func (x *Session) Query(ctx context.Context, query string) ([][]string, error) {
	results, err := x.conn.PgConn().Exec(ctx, query).ReadAll()
	if err != nil {
		return nil, explain(err)
	}
	if len(results) == 0 {
		return nil, nil
	}
	var out [][]string
	for _, values := range results[len(results)-1].Rows {
		row := make([]string, len(values))
		for i, v := range values {
			row[i] = string(v)
		}
		out = append(out, row)
	}
	return out, nil
}

// Close ends the connection.
func (x *Session) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout) //nolint:forbidigo // Close has no context, and ends what may have lost its own
	defer cancel()
	return x.conn.Close(ctx)
}
