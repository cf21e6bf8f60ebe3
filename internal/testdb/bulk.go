package testdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
)

// Load fills a table with rows of text: columns separated by a tab, rows ended
// by a line feed, \N for NULL. It returns how many there were. The table's name
// is used as it stands in the statement. All are one transaction, but in SQL Server.
func (s *Server) Load(ctx context.Context, database, table string, rows io.Reader) (int64, error) {
	switch s.Kind {
	case KindPostgreSQL:
		return s.copyIn(ctx, database, table, rows)
	case KindSQLServer:
		return s.insertIn(ctx, database, table, rows)
	}
	db, err := sql.Open("mysql", s.DSN(database))
	if err != nil {
		return 0, err
	}
	defer func() { _ = db.Close() }()
	// The driver finds the reader by a name that all of the process share.
	name := fmt.Sprintf("load %d", databases.Add(1))
	mysql.RegisterReaderHandler(name, func() io.Reader { return rows })
	defer mysql.DeregisterReaderHandler(name)
	result, err := db.ExecContext(ctx, "LOAD DATA LOCAL INFILE 'Reader::"+name+"' INTO TABLE "+table+" CHARACTER SET utf8mb4")
	if err != nil {
		return 0, fmt.Errorf("load %s: %w", table, err)
	}
	return result.RowsAffected()
}

func (s *Server) copyIn(ctx context.Context, database, table string, rows io.Reader) (int64, error) {
	conn, err := pgconn.Connect(ctx, s.DSN(database))
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	tag, err := conn.CopyFrom(ctx, rows, "COPY "+table+" FROM STDIN")
	if err != nil {
		return 0, fmt.Errorf("load %s: %w", table, err)
	}
	return tag.RowsAffected(), nil
}

// Scan runs one query and calls row for every row, with the values as the
// server writes them in text (SQL Server's as Go does) and nil for NULL. They are valid only during the
// call.
func (s *Server) Scan(ctx context.Context, database, query string, row func(values [][]byte) error) error {
	scan := s.scanSQL
	if s.Kind == KindPostgreSQL {
		scan = s.scanPostgreSQL
	}
	if err := scan(ctx, database, query, row); err != nil {
		return fmt.Errorf("query %.80q: %w", query, err)
	}
	return nil
}

func (s *Server) scanPostgreSQL(ctx context.Context, database, query string, row func([][]byte) error) error {
	conn, err := pgconn.Connect(ctx, s.DSN(database))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	results := conn.Exec(ctx, query)
	for results.NextResult() {
		for result := results.ResultReader(); result.NextRow(); {
			if err := row(result.Values()); err != nil {
				return errors.Join(err, results.Close())
			}
		}
	}
	return results.Close()
}

func (s *Server) scanSQL(ctx context.Context, database, query string, row func([][]byte) error) error {
	db, err := sql.Open(driver(s.Kind), s.DSN(database))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	result, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { _ = result.Close() }()
	columns, err := result.Columns()
	if err != nil {
		return err
	}
	raw := make([]sql.RawBytes, len(columns))
	into, values := make([]any, len(columns)), make([][]byte, len(columns))
	for i := range raw {
		into[i] = &raw[i]
	}
	for result.Next() {
		if err := result.Scan(into...); err != nil {
			return err
		}
		for i, v := range raw {
			values[i] = v
		}
		if err := row(values); err != nil {
			return err
		}
	}
	return result.Err()
}
