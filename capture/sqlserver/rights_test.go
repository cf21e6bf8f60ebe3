package sqlserver

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"tributary/internal/config"
	"tributary/internal/fault"
	"tributary/internal/mssqltest"
)

// gated is a model with a table t of which the capture instance has a gating role.
func gated(t *testing.T, o mssqltest.Options) (*mssqltest.Server, *mssqltest.Database) {
	t.Helper()
	srv := serve(t, o)
	db := srv.DB("crm")
	exec(t, db, "EXEC sys.sp_cdc_enable_db", "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, v int NOT NULL)",
		"EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N't', @role_name = N'readers', @supports_net_changes = 0")
	return srv, db
}

// needs fails unless an error is for a human and its hint has a text.
func needs(t *testing.T, err error, hint string) {
	t.Helper()
	if !fault.NeedsHuman(err) || !strings.Contains(fault.Hint(err), hint) {
		t.Errorf("error %v, hint %q; want a hint with %q", err, fault.Hint(err), hint)
	}
}

// TestRightsAreTold has check and the start say what rights are missing, each with
// the statement that gives it.
func TestRightsAreTold(t *testing.T) {
	srv, db := gated(t, mssqltest.Options{})
	exec(t, db, "CREATE SCHEMA sales", "CREATE TABLE sales.w (id int NOT NULL PRIMARY KEY, v int NULL)")
	check(t, db.EnableTable("sales", "w", ""))
	s, err := New(optionsFor(t, srv, nil), slog.New(slog.DiscardHandler))
	check(t, err)
	for denied, hint := range map[string]string{
		"SELECT cdc.change_tables":            "USE [crm]; GRANT SELECT ON SCHEMA::[cdc] TO [dbo]",
		"SELECT sales.w":                      "USE [crm]; GRANT SELECT ON [sales].[w] TO [dbo]",
		"SELECT sales.w.v":                    "USE [crm]; GRANT SELECT ON [sales].[w] ([v]) TO [dbo]",
		"sysadmin,role db_owner,role readers": "USE [crm]; ALTER ROLE [readers] ADD MEMBER [dbo]",
		"sysadmin,role db_owner,role readers,SELECT dbo.t,SELECT sales.w": "USE [crm]; GRANT SELECT ON [dbo].[t] TO [dbo]; ALTER ROLE [readers] ADD MEMBER [dbo]; GRANT SELECT ON [sales].[w] TO [dbo]",
	} {
		t.Run(denied, func(t *testing.T) {
			srv.SetDenied(strings.Split(denied, ",")...)
			needs(t, s.Check(t.Context(), nil, io.Discard), hint)
			needs(t, s.Open(t.Context(), nil), hint)
		})
	}
	srv.SetDenied("sysadmin", "role db_owner")
	check(t, s.Check(t.Context(), nil, io.Discard))
}

// TestRetentionWithoutRights has a user who may read the change tables and is not
// in the gating role: the server tells it of no low end, so that what was cleaned
// up would be lost without a word.
func TestRetentionWithoutRights(t *testing.T) {
	for _, mode := range []string{"direct", "function"} {
		t.Run(mode, func(t *testing.T) {
			srv, db := gated(t, mssqltest.Options{})
			exec(t, db, "INSERT INTO dbo.t VALUES (1, 1)")
			o := optionsFor(t, srv, map[string]string{"data.query.mode": mode})
			s := open(t, o, nil)
			past(t, s)
			srv.SetDenied("sysadmin", "role db_owner", "role readers")
			exec(t, db, "INSERT INTO dbo.t VALUES (2, 2)", "INSERT INTO dbo.t VALUES (3, 3)")
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			var err error
			for err == nil {
				_, err = s.Next(ctx)
			}
			needs(t, err, "ALTER ROLE [readers] ADD MEMBER [dbo]")
		})
	}
}

// log keeps what is logged.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// logged opens a source whose log is kept.
func logged(t *testing.T, o Options) (*Source, *log) {
	t.Helper()
	l := &log{}
	s, err := New(o, slog.New(slog.NewTextHandler(l, nil)))
	check(t, err)
	t.Cleanup(func() { check(t, s.Close()) })
	return s, l
}

// TestHiddenTables has the catalog not show a captured table to the user.
func TestHiddenTables(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{})
	exec(t, db, "INSERT INTO dbo.t VALUES (1, 1)")
	o := optionsFor(t, srv, nil)
	first := open(t, o, nil)
	pos := past(t, first)
	check(t, first.Close())
	srv.SetDenied("VIEW DEFINITION dbo.t")
	s, l := logged(t, o)
	check(t, s.Check(t.Context(), nil, io.Discard))
	if got := l.String(); !strings.Contains(got, "may not see") || !strings.Contains(got, "instance=dbo_t ") || strings.Contains(got, "instance=dbo_u ") {
		t.Error(got)
	}
	// What was told of it until now would end without a word.
	needs(t, s.Open(t.Context(), pos), "GRANT SELECT")
}

// TestInstanceWithoutBeginning has a snapshot come before the capture job has come
// to a capture instance: its beginning is not known, and nothing of it is missing.
func TestInstanceWithoutBeginning(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{})
	exec(t, db, "INSERT INTO dbo.t VALUES (1, 1)")
	srv.StopAgent()
	exec(t, db, "CREATE TABLE dbo.w (id int NOT NULL PRIMARY KEY, v int NOT NULL)", "INSERT INTO dbo.w VALUES (5, 5)")
	check(t, db.EnableTable("dbo", "w", ""), db.EnableTable("dbo", "t", "dbo_t_2"))
	if db.MinLSN("dbo_w") != (mssqltest.LSN{}) {
		t.Fatal("the instance has begun")
	}
	o := optionsFor(t, srv, nil)
	s := open(t, o, nil)
	var got []string
	for {
		events, end := next(t, s)
		got = append(got, events...)
		if p, err := parsePosition(end); err == nil && p.Snapshot == nil {
			break
		}
	}
	if want := "r crm.t 1,1 r crm.w 5,5"; strings.Join(got, " ") != want {
		t.Fatalf("snapshot %v", got)
	}
	pos, err := s.session.at.append(nil)
	check(t, err, s.Close())
	exec(t, db, "INSERT INTO dbo.w VALUES (7, 7)", "INSERT INTO dbo.t VALUES (8, 8)")
	srv.StartAgent()
	s = open(t, o, pos)
	got = nil
	for len(got) < 2 {
		events, _ := next(t, s)
		got = append(got, events...)
	}
	if want := "c crm.w 7,7 c crm.t 8,8"; strings.Join(got, " ") != want {
		t.Errorf("%v", got)
	}
}

// TestNamesInErrors: the names in the server's errors are told, values of rows are
// not.
func TestNamesInErrors(t *testing.T) {
	srv, _ := tracked(t, mssqltest.Options{})
	c, err := dial(t.Context(), &Options{Host: strings.Split(srv.Addr(), ":")[0], Port: optionsFor(t, srv, nil).Port, User: "sa", Password: optionsFor(t, srv, nil).Password, Encrypt: "false"}, "crm")
	check(t, err)
	t.Cleanup(func() { check(t, c.close()) })
	srv.SetDenied("SELECT dbo.t")
	_, err = c.one(t.Context(), "SELECT COUNT(*) FROM dbo.t")
	needs(t, err, "USE [crm]; GRANT SELECT ON [dbo].[t] TO")
	for query, text := range map[string]string{"SELECT secret FROM dbo.u": "'secret'", "SELECT 1 FROM dbo.nothing": "'dbo.nothing'", "SELECT CAST(N'secret' AS int)": "***"} {
		if _, err := c.one(t.Context(), query); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", query, err)
		}
	}
}

// TestCleanUpBehindWhatIsRead has the clean-up job come between the pages of a poll:
// what it removes of rows that were read is no loss, and what was not read is one.
func TestCleanUpBehindWhatIsRead(t *testing.T) {
	for name, read := range map[string]bool{"read": true, "not read": false} {
		t.Run(name, func(t *testing.T) {
			srv, db := tracked(t, mssqltest.Options{})
			exec(t, db, "INSERT INTO dbo.t VALUES (0, 0)")
			o := optionsFor(t, srv, map[string]string{"streaming.fetch.size": "4", "poll.interval.ms": "5"})
			s := open(t, o, nil)
			pos := past(t, s)
			check(t, s.Close())
			var at []mssqltest.LSN
			for i := range 16 { // those of one iteration
				exec(t, db, fmt.Sprintf("INSERT INTO dbo.t VALUES (%d, 0)", i+1))
				at = append(at, db.MaxLSN())
			}
			low := at[5]
			if !read {
				low = at[13]
			}
			pages := 0
			o.Wires = hooked{before: func(query string) {
				if strings.Contains(query, "[dbo_t_CT]") {
					if pages++; pages == 5 {
						check(t, db.Cleanup("dbo_t", low))
					}
				}
			}}.wires()
			s = open(t, o, pos)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			for n := 0; n < 16; {
				b, err := s.Next(ctx)
				if err != nil {
					if read || !strings.Contains(err.Error(), "retention") {
						t.Errorf("after %d changes: %v", n, err)
					}
					return
				}
				n += len(b.List)
			}
			if !read {
				t.Error("what was removed was not missed")
			}
		})
	}
}

// TestMaskedColumns has the server say that it masks a column for the user; the
// model masks none, but runs the statement.
func TestMaskedColumns(t *testing.T) {
	srv, _ := tracked(t, mssqltest.Options{})
	o := optionsFor(t, srv, nil)
	s, l := logged(t, o)
	check(t, s.Check(t.Context(), nil, io.Discard))
	if strings.Contains(l.String(), "mask") {
		t.Error(l)
	}
	o.Wires = hooked{text: func(query string) string {
		if query == maskedQuery {
			return "SELECT N'dbo', N't', N'v'"
		}
		return query
	}}.wires()
	s, l = logged(t, o)
	check(t, s.Check(t.Context(), nil, io.Discard))
	if got := l.String(); !strings.Contains(got, "crm.dbo.t column=v") || !strings.Contains(got, "GRANT UNMASK TO [dbo]") {
		t.Error(got)
	}
}

// TestHintsNameTheUser has the user of the database have another name than the login:
// the statements that mend a right go on as they are, until nothing is missing.
func TestHintsNameTheUser(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{})
	exec(t, db, "CREATE LOGIN low WITH PASSWORD = 'Secret2!'", "CREATE USER reader FOR LOGIN low")
	o := optionsFor(t, srv, map[string]string{"table.include.list": "dbo.t"})
	o.User, o.Password = "low", config.Secret("Secret2!")
	for _, mend := range []string{"GRANT SELECT ON SCHEMA::[cdc] TO [reader]", "GRANT SELECT ON [SCHEMA].[TABLE] TO [reader]", ""} {
		s, err := New(o, slog.New(slog.DiscardHandler))
		check(t, err)
		err = s.Check(t.Context(), nil, io.Discard)
		if mend == "" {
			check(t, err)
			break
		}
		needs(t, err, mend)
		if strings.Contains(mend, "[TABLE]") {
			needs(t, err, "capture instances dbo_t, dbo_u")
			mend = strings.NewReplacer("[SCHEMA]", "[dbo]", "[TABLE]", "[t]").Replace(mend)
		}
		exec(t, db, mend)
	}
}
