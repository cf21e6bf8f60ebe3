package sqlserver

import (
	"context"
	"database/sql/driver"
	"fmt"

	mssql "github.com/microsoft/go-mssqldb"
)

// Wire is a connection as the source needs it: the driver's, one that records
// what goes over it, or one that answers from such a recording. It is used by one
// goroutine at a time. Values are in the driver's forms; errors of the server are
// mssql.Error.
type Wire interface {
	// Query runs a statement. The connection does nothing else until the rows
	// are closed.
	Query(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error)
	// Exec runs a statement without results.
	Exec(ctx context.Context, query string, args []driver.NamedValue) error
	// Begin starts a transaction.
	Begin(ctx context.Context, level driver.IsolationLevel) (driver.Tx, error)
	// IsValid reports whether the connection can go on being used.
	IsValid() bool
	Close() error
}

// wire is a connection of the driver.
type wire struct{ *mssql.Conn }

// Query implements Wire.
func (w wire) Query(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	st, err := w.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() { _ = st.Close() }() // nothing of it is on the server
	run, ok := st.(driver.StmtQueryContext)
	if !ok {
		return nil, fmt.Errorf("the driver gives a %T", st)
	}
	return run.QueryContext(ctx, args)
}

// Exec implements Wire.
func (w wire) Exec(ctx context.Context, query string, args []driver.NamedValue) error {
	st, err := w.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }() // nothing of it is on the server
	run, ok := st.(driver.StmtExecContext)
	if !ok {
		return fmt.Errorf("the driver gives a %T", st)
	}
	_, err = run.ExecContext(ctx, args)
	return err
}

// Begin implements Wire.
func (w wire) Begin(ctx context.Context, level driver.IsolationLevel) (driver.Tx, error) {
	return w.BeginTx(ctx, driver.TxOptions{Isolation: level})
}
