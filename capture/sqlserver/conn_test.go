package sqlserver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"testing"
)

// endingWire ends a context as soon as a transaction has begun.
type endingWire struct {
	Wire
	cancel context.CancelFunc
	ended  bool // the transaction was rolled back
}

func (w *endingWire) Begin(context.Context, driver.IsolationLevel) (driver.Tx, error) {
	w.cancel()
	return w, nil
}

func (w *endingWire) Commit() error   { return nil }
func (w *endingWire) Rollback() error { w.ended = true; return nil }

// TestContextEndsWhileItBegins has the context end between the server's answer and the
// return: a rollback would not be waited for, and its answer be read into a buffer that
// the driver has given to another connection.
func TestContextEndsWhileItBegins(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := &endingWire{cancel: cancel}
	c := &conn{raw: w}
	if err := c.begin(ctx, sql.LevelReadCommitted); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	check(t, c.end())
	if w.ended {
		t.Error("it was rolled back within a context that has ended")
	}
}
