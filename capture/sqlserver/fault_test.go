package sqlserver

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tributary/capture"
	"tributary/envelope"
	"tributary/internal/fault"
	"tributary/internal/mssqltest"
)

// memory is an Emitter that keeps changes as text.
type memory struct {
	mu  sync.Mutex
	got []string
	pos capture.Position
}

func (m *memory) Resume(context.Context) (capture.Position, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pos, nil
}

func (m *memory) Emit(_ context.Context, b *capture.Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range b.List {
		if b.List[i].Op != envelope.DDL && b.List[i].Table != nil {
			m.got = append(m.got, texts(&b.List[i]))
		}
	}
	if len(b.End) > 0 {
		m.pos = bytes.Clone(b.End)
	}
	return nil
}

func (m *memory) events() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.got)
}

// TestFaultsOfTheServer has connections break within rows and statements fail:
// each change comes once all the same.
func TestFaultsOfTheServer(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{})
	var want []string
	for i := range 40 {
		exec(t, db, fmt.Sprintf("INSERT INTO dbo.t VALUES (%d, %d)", i, i))
		want = append(want, fmt.Sprintf("r crm.t %d,%d", i, i))
	}
	o := optionsFor(t, srv, map[string]string{"snapshot.fetch.size": "10", "max.batch.size": "7", "streaming.fetch.size": "8"})
	s, err := New(o, slog.New(slog.DiscardHandler))
	check(t, err)
	srv.Inject(mssqltest.Fault{Match: "FROM [dbo].[t]", Skip: 2, DropAfter: 40})
	srv.Inject(mssqltest.Fault{Match: "[dbo_t_CT]", Skip: 1, DropAfter: 60})
	srv.Inject(mssqltest.Fault{Match: "lsn_time_mapping", Skip: 3, Err: &mssqltest.Error{Number: errDeadlock, Class: 13, State: 1, Text: "deadlock victim"}})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	m := &memory{}
	done := make(chan error, 1)
	go func() {
		done <- capture.Run(ctx, s, m, capture.RunOptions{RetryTimeout: 20 * time.Second, RetryMaxDelay: 5 * time.Millisecond, Log: slog.New(slog.DiscardHandler)})
	}()
	until := func(n int) {
		t.Helper()
		for len(m.events()) < n {
			select {
			case err := <-done:
				t.Fatalf("ended: %v", err)
			case <-time.After(2 * time.Millisecond):
			}
		}
	}
	until(len(want))
	for i := range 60 {
		exec(t, db, fmt.Sprintf("UPDATE dbo.t SET v = v + 1 WHERE id = %d", i%40))
		want = append(want, fmt.Sprintf("u crm.t %d,%d %d,%d", i%40, i%40+i/40, i%40, i%40+i/40+1))
		if i%25 == 24 {
			srv.KillAll()
		}
	}
	until(len(want))
	cancel()
	<-done
	if got := m.events(); !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

func TestEncryptedConnections(t *testing.T) {
	srv := serve(t, mssqltest.Options{Encrypt: true})
	db := srv.DB("crm")
	exec(t, db, "EXEC sys.sp_cdc_enable_db", "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY)", "INSERT INTO dbo.t VALUES (1)")
	check(t, db.EnableTable("dbo", "t", ""))
	o := optionsFor(t, srv, map[string]string{"driver.encrypt": "true", "driver.trustServerCertificate": "true"})
	s := open(t, o, nil)
	if events, _ := next(t, s); !slices.Equal(events, []string{"r crm.t 1"}) {
		t.Errorf("%v", events)
	}
	o.Trust = false
	untrusted, err := New(o, slog.New(slog.DiscardHandler))
	check(t, err)
	if err := untrusted.Open(t.Context(), nil); !fault.NeedsHuman(err) || !strings.Contains(fault.Hint(err), "driver.trustServerCertificate") {
		t.Errorf("a certificate of nobody: %v", err)
	}
	o.Trust, o.Password = true, ""
	wrong, err := New(o, slog.New(slog.DiscardHandler))
	check(t, err)
	if err := wrong.Open(t.Context(), nil); !fault.NeedsHuman(err) || !strings.Contains(fault.Hint(err), "database.password") {
		t.Errorf("a wrong password: %v", err)
	}
	bare, err := New(optionsFor(t, serve(t, mssqltest.Options{}), map[string]string{"driver.encrypt": "true"}), slog.New(slog.DiscardHandler))
	check(t, err)
	if err := bare.Open(t.Context(), nil); !fault.NeedsHuman(err) || !strings.Contains(fault.Hint(err), "driver.encrypt: false") {
		t.Errorf("a server without encryption: %v", err)
	}
}

// TestReadableSecondary has the server take no writes and have no agent.
func TestReadableSecondary(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{})
	exec(t, db, "INSERT INTO dbo.t VALUES (1, 1)")
	check(t, db.AllowSnapshot(true))
	srv.SetReadOnly(true)
	s := open(t, optionsFor(t, srv, map[string]string{"database.applicationIntent": "ReadOnly"}), nil)
	past(t, s)
	srv.SetReadOnly(false) // what the primary writes
	exec(t, db, "INSERT INTO dbo.t VALUES (2, 2)")
	srv.SetReadOnly(true)
	for {
		events, _ := next(t, s)
		if slices.Contains(events, "c crm.t 2,2") {
			break
		}
	}
}

// TestDroppedInstances has capture instances be dropped: what was not read of them
// is lost, which must not pass in silence; what was read is not.
func TestDroppedInstances(t *testing.T) {
	disable := func(t *testing.T, db *mssqltest.Database, name string) {
		t.Helper()
		check(t, db.DisableTable(name))
	}
	start := func(t *testing.T, more map[string]string) (Options, *mssqltest.Database, capture.Position) {
		t.Helper()
		srv, db := tracked(t, mssqltest.Options{})
		exec(t, db, "INSERT INTO dbo.t VALUES (1, 1)")
		o := optionsFor(t, srv, more)
		s := open(t, o, nil)
		pos := past(t, s)
		check(t, s.Close())
		return o, db, pos
	}
	t.Run("unread changes", func(t *testing.T) {
		o, db, pos := start(t, nil)
		exec(t, db, "INSERT INTO dbo.t VALUES (2, 2)")
		disable(t, db, "dbo_t")
		check(t, db.EnableTable("dbo", "t", ""))
		s, err := New(o, slog.New(slog.DiscardHandler))
		check(t, err)
		err = s.Open(t.Context(), pos)
		if !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "was dropped before all of it had been read") || !strings.Contains(fault.Hint(err), "capture.instance.dropped") {
			t.Errorf("error %v (%s)", err, fault.Hint(err))
		}
		o.Dropped = "warn"
		exec(t, db, "INSERT INTO dbo.t VALUES (3, 3)")
		s = open(t, o, pos)
		for {
			if events, _ := next(t, s); len(events) > 0 {
				if events[0] != "c crm.t 3,3" {
					t.Errorf("%v", events)
				}
				return
			}
		}
	})
	t.Run("while it is read", func(t *testing.T) {
		o, db, pos := start(t, map[string]string{"poll.interval.ms": "5"})
		s := open(t, o, pos)
		check(t, db.Exec("INSERT INTO dbo.t VALUES (2, 2)"))
		disable(t, db, "dbo_t")
		exec(t, db, "INSERT INTO dbo.u VALUES (1, 1)")
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		seen := false
		for {
			b, err := s.Next(ctx)
			if err != nil {
				// Unless the change came before the instance went, this is said.
				if seen || !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "dbo_t of database crm was dropped") {
					t.Errorf("error %v", err)
				}
				return
			}
			for i := range b.List {
				seen = seen || texts(&b.List[i]) == "c crm.t 2,2"
				if seen && texts(&b.List[i]) == "c crm.u 1,1" {
					return
				}
			}
		}
	})
	t.Run("nothing unread", func(t *testing.T) {
		o, db, pos := start(t, nil)
		disable(t, db, "dbo_t")
		s := open(t, o, pos)
		exec(t, db, "INSERT INTO dbo.u VALUES (1, 1)")
		for {
			if events, _ := next(t, s); slices.Contains(events, "c crm.u 1,1") {
				return
			}
		}
	})
	t.Run("a newer one has taken its place", func(t *testing.T) {
		o, db, pos := start(t, nil)
		s := open(t, o, pos)
		check(t, db.EnableTable("dbo", "t", "dbo_t_2"))
		exec(t, db, "INSERT INTO dbo.t VALUES (2, 2)")
		for {
			events, end := next(t, s)
			if len(end) > 0 {
				pos = end
			}
			if slices.Contains(events, "c crm.t 2,2") {
				break
			}
		}
		check(t, s.Close())
		exec(t, db, "INSERT INTO dbo.t VALUES (3, 3)")
		disable(t, db, "dbo_t")
		s = open(t, o, pos)
		for {
			if events, _ := next(t, s); slices.Contains(events, "c crm.t 3,3") {
				return
			}
		}
	})
	t.Run("a newer one has taken its place, within what a poll reads", func(t *testing.T) {
		o, db, pos := start(t, map[string]string{"max.batch.size": "1"})
		exec(t, db, "INSERT INTO dbo.t VALUES (2, 2)")
		check(t, db.EnableTable("dbo", "t", "dbo_t_2"))
		for i := 3; i < 9; i++ {
			exec(t, db, fmt.Sprintf("INSERT INTO dbo.t VALUES (%d, 1)", i))
		}
		s := open(t, o, pos)
		seen := false
		for !seen {
			events, end := next(t, s)
			if len(end) > 0 {
				pos = end
			}
			seen = slices.Contains(events, "c crm.t 4,1")
		}
		check(t, s.Close())
		disable(t, db, "dbo_t")
		s = open(t, o, pos)
		for {
			if events, _ := next(t, s); slices.Contains(events, "c crm.t 8,1") {
				return
			}
		}
	})
}
