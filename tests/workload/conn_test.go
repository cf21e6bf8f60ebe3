package workload

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	_ "github.com/go-sql-driver/mysql" // the driver "mysql"
	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/microsoft/go-mssqldb" // the driver "sqlserver"

	"tributary/internal/testdb"
)

// conn is one connection, which is made when it is needed and made anew when it
// was lost.
type conn struct {
	lang  dialect
	dsn   string
	setup []string

	pgConn *pgconn.PgConn
	db     *sql.DB
	myConn *sql.Conn
}

func newConn(s *testdb.Server, database string, setup ...string) *conn {
	return &conn{lang: dialectOf(s.Kind), dsn: s.DSN(database), setup: setup}
}

func (c *conn) open(ctx context.Context) error {
	var err error
	if c.lang == postgres {
		if c.pgConn != nil && !c.pgConn.IsClosed() {
			return nil
		}
		if c.pgConn, err = pgconn.Connect(ctx, c.dsn); err != nil {
			c.pgConn = nil
			return err
		}
	} else {
		if c.myConn != nil {
			return nil
		}
		if c.db == nil {
			if c.db, err = sql.Open(c.lang.driver(), c.dsn); err != nil {
				return err
			}
			c.db.SetMaxIdleConns(0)
		}
		if c.myConn, err = c.db.Conn(ctx); err != nil {
			c.myConn = nil
			return err
		}
	}
	for _, q := range c.setup {
		if err := c.exec(ctx, q); err != nil {
			return fmt.Errorf("%s: %w", q, err)
		}
	}
	return nil
}

func (c *conn) exec(ctx context.Context, query string) error {
	if c.lang == postgres {
		_, err := c.pgConn.Exec(ctx, query).ReadAll()
		return err
	}
	_, err := c.myConn.ExecContext(ctx, query)
	return err
}

// lost reports whether err is the end of the connection, not of a statement.
func (c *conn) lost(err error) bool {
	if c.lang == postgres {
		return c.pgConn == nil || c.pgConn.IsClosed()
	}
	text := err.Error()
	return strings.Contains(text, "bad connection") || strings.Contains(text, "invalid connection") ||
		strings.Contains(text, "connection is already closed") || strings.Contains(text, "refused") || strings.Contains(text, "reset by peer") ||
		strings.Contains(text, "broken pipe") || strings.Contains(text, "EOF") || strings.Contains(text, "shutdown") || strings.Contains(text, "closed network connection")
}

func (c *conn) close() {
	if c.pgConn != nil {
		_ = c.pgConn.Close(context.Background())
		c.pgConn = nil
	}
	if c.myConn != nil {
		_ = c.myConn.Close()
		c.myConn = nil
	}
}

func (c *conn) closeAll() {
	c.close()
	if c.db != nil {
		_ = c.db.Close()
	}
}
