package testdb

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"tributary/internal/proc"

	_ "github.com/microsoft/go-mssqldb" // the driver "sqlserver"
)

// sqlServerUser is who may do everything in SQL Server.
const sqlServerUser = "sa"

// StartSQLServerModel starts a program that serves a model of SQL Server, as no
// server can be had: "PROGRAM sqlserver --addr HOST:PORT --password PASSWORD", which
// cmd/demo is. What it holds is gone when it ends.
func StartSQLServerModel(ctx context.Context, program string, o Options) (*Server, error) {
	return newServer(ctx, KindSQLServer, nil, o, func(_ string, port int) (proc.Spec, error) {
		return proc.Spec{Path: program, Args: []string{"sqlserver", "--addr", fmt.Sprintf("127.0.0.1:%d", port), "--password", password}}, nil
	})
}

// ConnectSQLServer returns the model of SQL Server that runs already, at host:port,
// such as in this process. Stop disconnects from it.
func ConnectSQLServer(addr, password string) (*Server, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	s := &Server{Kind: KindSQLServer, Host: host, User: sqlServerUser, Password: password}
	if s.Port, err = strconv.Atoi(port); err != nil {
		return nil, err
	}
	s.admin, err = newSession(s.Kind, s.DSN(""))
	return s, err
}

// rowsAtOnce is how many rows the values of one INSERT are; SQL Server takes 1000.
const rowsAtOnce = 500

// insertIn loads rows by INSERT, each in a transaction of its own.
func (s *Server) insertIn(ctx context.Context, database, table string, rows io.Reader) (n int64, err error) {
	db, err := sql.Open("sqlserver", s.DSN(database))
	if err != nil {
		return 0, err
	}
	defer func() { _ = db.Close() }()
	lines := bufio.NewReader(rows)
	for {
		text, count, err := insertText(table, lines)
		if err == nil && count > 0 {
			_, err = db.ExecContext(ctx, text)
		}
		if err != nil {
			return n, fmt.Errorf("load %s: %w", table, err)
		}
		if n += int64(count); count < rowsAtOnce {
			return n, nil
		}
	}
}

// insertText makes a statement of the next rows.
func insertText(table string, lines *bufio.Reader) (string, int, error) {
	var b strings.Builder
	b.WriteString("INSERT INTO " + table + " VALUES ")
	for n := range rowsAtOnce {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return b.String(), n, nil
		}
		if err != nil {
			return "", 0, err
		}
		if n > 0 {
			b.WriteByte(',')
		}
		for i, field := range bytes.Split(line[:len(line)-1], []byte{'\t'}) {
			b.WriteByte("(,"[min(i, 1)])
			if string(field) == Null {
				b.WriteString("NULL")
			} else {
				b.WriteString("N'" + strings.ReplaceAll(string(field), "'", "''") + "'")
			}
		}
		b.WriteByte(')')
	}
	return b.String(), rowsAtOnce, nil
}
