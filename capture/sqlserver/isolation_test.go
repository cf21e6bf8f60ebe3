package sqlserver

import (
	"context"
	"database/sql/driver"
	"slices"
	"strings"
	"sync"
	"testing"

	"tributary/internal/mssqltest"
)

// hooked is a Wire of which a test sees the statements before they run, and the
// rows of their results. Its functions run one at a time for all connections.
type hooked struct {
	Wire
	mu     *sync.Mutex
	before func(query string)
	row    func(query string, v []driver.Value)
	text   func(query string) string // what runs in its place
	// fail is asked before a statement runs: an error comes in its place.
	fail func(query string) error
}

type hookedRows struct {
	driver.Rows
	query string
	h     hooked
}

func (r hookedRows) Next(v []driver.Value) error {
	err := r.Rows.Next(v)
	if err == nil && r.h.row != nil {
		r.h.mu.Lock()
		defer r.h.mu.Unlock()
		r.h.row(r.query, v)
	}
	return err
}

func (h hooked) Query(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if h.fail != nil {
		if err := h.fail(query); err != nil {
			return nil, err
		}
	}
	sent := h.see(query)
	if !strings.Contains(sent, "@p") {
		args = nil
	}
	rs, err := h.Wire.Query(ctx, sent, args)
	if err != nil {
		return nil, err
	}
	return hookedRows{rs, query, h}, nil
}

// see shows the test a statement, and returns what runs.
func (h hooked) see(query string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.before != nil {
		h.before(query)
	}
	if h.text != nil {
		return h.text(query)
	}
	return query
}

// wires has all connections of a source be h.
func (h hooked) wires() func(context.Context, string, func(context.Context) (Wire, error)) (Wire, error) {
	h.mu = new(sync.Mutex)
	return func(ctx context.Context, _ string, dial func(context.Context) (Wire, error)) (_ Wire, err error) {
		h := h // of this connection
		h.Wire, err = dial(ctx)
		return h, err
	}
}

// TestLevelOfTheStream has the changes be read at read committed after a snapshot of
// any isolation: the server keeps the level of a transaction for the connection.
func TestLevelOfTheStream(t *testing.T) {
	const committed = 2
	for _, mode := range []string{"exclusive", "repeatable_read", "snapshot", "read_committed", "read_uncommitted"} {
		t.Run(mode, func(t *testing.T) {
			srv, db := tracked(t, mssqltest.Options{})
			check(t, db.AllowSnapshot(true))
			exec(t, db, "INSERT INTO dbo.t VALUES (1, 1)")
			s := open(t, optionsFor(t, srv, map[string]string{"snapshot.isolation.mode": mode}), nil)
			past(t, s)
			exec(t, db, "INSERT INTO dbo.t VALUES (2, 2)")
			for events := []string(nil); !slices.Contains(events, "c crm.t 2,2"); {
				events, _ = next(t, s)
			}
			if all := srv.Sessions(); len(all) != 1 || all[0].Isolation != committed {
				t.Errorf("sessions %+v", all)
			}
		})
	}
}
