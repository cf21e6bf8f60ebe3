package testdb

import (
	"context"
	"database/sql"
	"fmt"
	"sync"

	_ "github.com/go-sql-driver/mysql" // the driver "mysql"
	"github.com/jackc/pgx/v5/pgconn"
)

// Null is how Query gives a NULL.
const Null = `\N`

// session runs statements of one database. It connects when it is first used
// and again after its connection was lost.
type session interface {
	// query runs one or more statements and returns the rows of the last,
	// every value as the server writes it in text.
	query(ctx context.Context, statements string) ([][]string, error)
	close() error
}

func newSession(kind Kind, dsn string) (session, error) {
	if kind == KindPostgreSQL {
		return &postgresSession{dsn: dsn}, nil
	}
	db, err := sql.Open(driver(kind), dsn)
	if err != nil {
		return nil, err
	}
	// One connection, so that SET and transactions reach the next statement.
	db.SetMaxOpenConns(1)
	return &sqlSession{db}, nil
}

// driver is the driver of package sql for a server other than PostgreSQL.
func driver(kind Kind) string {
	if kind == KindSQLServer {
		return "sqlserver"
	}
	return "mysql"
}

type postgresSession struct {
	dsn string

	mu   sync.Mutex
	conn *pgconn.PgConn
}

func (s *postgresSession) query(ctx context.Context, statements string) ([][]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil || s.conn.IsClosed() {
		conn, err := pgconn.Connect(ctx, s.dsn)
		if err != nil {
			return nil, err
		}
		s.conn = conn
	}
	results, err := s.conn.Exec(ctx, statements).ReadAll()
	if err != nil || len(results) == 0 {
		return nil, err
	}
	var rows [][]string
	for _, values := range results[len(results)-1].Rows {
		row := make([]string, len(values))
		for i, v := range values {
			row[i] = Null
			if v != nil {
				row[i] = string(v)
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func (s *postgresSession) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		return nil
	}
	// It may be closed already, by the server's end: that is what is wanted.
	_ = s.conn.Close(forAll())
	return nil
}

type sqlSession struct{ db *sql.DB }

func (s *sqlSession) query(ctx context.Context, statements string) ([][]string, error) {
	result, err := s.db.QueryContext(ctx, statements)
	if err != nil {
		return nil, err
	}
	defer func() { _ = result.Close() }()
	for {
		rows, err := readRows(result)
		if err != nil {
			return nil, err
		}
		if !result.NextResultSet() {
			return rows, result.Err()
		}
	}
}

func readRows(result *sql.Rows) ([][]string, error) {
	columns, err := result.Columns()
	if err != nil {
		return nil, err
	}
	values := make([]sql.RawBytes, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	var rows [][]string
	for result.Next() {
		if err := result.Scan(into...); err != nil {
			return nil, fmt.Errorf("read a row: %w", err)
		}
		row := make([]string, len(values))
		for i, v := range values {
			row[i] = Null
			if v != nil {
				row[i] = string(v)
			}
		}
		rows = append(rows, row)
	}
	return rows, result.Err()
}

func (s *sqlSession) close() error { return s.db.Close() }
