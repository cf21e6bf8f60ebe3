package sqlserver

import (
	"context"
	"database/sql/driver"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tributary/capture"
	"tributary/envelope"
	"tributary/internal/fault"
	"tributary/internal/mssqltest"
)

// fails takes batches until the source ends, and returns what came before and why.
func fails(t *testing.T, s capture.Source) (events []string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		b, err := s.Next(ctx)
		if err != nil {
			return events, err
		}
		for i := range b.List {
			if b.List[i].Op != envelope.DDL {
				events = append(events, texts(&b.List[i]))
			}
		}
	}
}

// TestLaggingSecondary has a position be ahead of a secondary: it is waited for, and
// no snapshot is taken in its place. On a primary it says that it was restored.
func TestLaggingSecondary(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{})
	check(t, db.AllowSnapshot(true))
	exec(t, db, "INSERT INTO dbo.t VALUES (1, 1)")
	o := optionsFor(t, srv, map[string]string{"database.applicationIntent": "ReadOnly", "snapshot.mode": "when_needed"})
	s := open(t, o, nil)
	pos := past(t, s)
	check(t, s.Close())
	exec(t, db, "INSERT INTO dbo.t VALUES (2, 2)")
	var behind atomic.Int32 // answers that are of before the position
	o.Wires = hooked{row: func(q string, v []driver.Value) {
		if q == "SELECT sys.fn_cdc_get_max_lsn()" && behind.Add(-1) >= 0 {
			v[0] = []byte{9: 1}
		}
	}}.wires()
	again := func(lag time.Duration, n int32) (*Source, error) {
		s, err := New(o, slog.New(slog.DiscardHandler))
		check(t, err)
		s.cfg.lag = lag
		behind.Store(n)
		return s, s.Open(t.Context(), pos)
	}
	if _, err := again(50*time.Millisecond, 1<<30); err == nil || fault.NeedsHuman(err) || !strings.Contains(err.Error(), "the secondary lags") {
		t.Errorf("a secondary that stays behind: %v", err)
	}
	s, err := again(5*time.Second, 4) // the first is asked for a position of now
	check(t, err)
	if events, _ := next(t, s); !slices.Equal(events, []string{"c crm.t 2,2"}) {
		t.Errorf("a secondary that comes: %v", events)
	}
	check(t, s.Close())

	o.Intent, o.SnapshotMode = "ReadWrite", "initial"
	if _, err := again(5*time.Second, 1<<30); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "was restored") {
		t.Errorf("a primary: %v", err)
	}
	o.SnapshotMode = "when_needed"
	s, err = again(5*time.Second, 1<<30)
	check(t, err)
	if events, _ := next(t, s); !slices.Contains(events, "r crm.t 2,2") {
		t.Errorf("no new snapshot: %v", events)
	}
	check(t, s.Close())
}

// TestStrangeValues has the driver give values of other forms than it does: none
// becomes zero, and none is told.
func TestStrangeValues(t *testing.T) {
	srv := serve(t, mssqltest.Options{})
	db := srv.DB("crm")
	exec(t, db, "EXEC sys.sp_cdc_enable_db", "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int, f float, at datetime2, name nvarchar(9))", "INSERT INTO dbo.t VALUES (1, 12345, 12345, '2020-01-02', N'12345')")
	check(t, db.EnableTable("dbo", "t", ""))
	for i, name := range []string{"n", "f", "at", "name"} {
		for _, stream := range []bool{false, true} {
			more := map[string]string{}
			if stream {
				more["snapshot.mode"] = "no_data"
			}
			o := optionsFor(t, srv, more)
			o.Wires = hooked{row: func(q string, v []driver.Value) {
				at := len(v) - 4 + i
				switch {
				case stream != strings.Contains(q, "[dbo_t_CT]") || !strings.Contains(q, "[name]"):
				case name == "name":
					v[at] = int64(12345)
				default:
					v[at] = []byte("12345")
				}
			}}.wires()
			s := open(t, o, nil)
			if stream {
				exec(t, db, "INSERT INTO dbo.t VALUES ("+itoa(10+i)+", 12345, 12345, '2020-01-02', N'12345')")
			}
			events, err := fails(t, s)
			if err == nil || len(events) > 0 || !strings.Contains(err.Error(), "column "+name+" of crm.dbo.t: the driver gives a ") || strings.Contains(err.Error(), "12345") {
				t.Errorf("%s, stream %v: %v, %v", name, stream, events, err)
			}
		}
	}
	o := optionsFor(t, srv, map[string]string{"snapshot.mode": "no_data"})
	o.Wires = hooked{row: func(q string, v []driver.Value) {
		if strings.Contains(q, "[dbo_t_CT]") {
			v[1] = []byte("1")
		}
	}}.wires()
	s := open(t, o, nil)
	exec(t, db, "DELETE FROM dbo.t")
	if events, err := fails(t, s); err == nil || len(events) > 0 || !strings.Contains(err.Error(), "[]uint8") {
		t.Errorf("a strange __$command_id: %v, %v", events, err)
	}
}

// TestEncryptedColumns has Always Encrypted be refused, unless the column is left
// out; older servers, which do not know it, have none.
func TestEncryptedColumns(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{})
	exec(t, db, "INSERT INTO dbo.t VALUES (1, 1)")
	o := optionsFor(t, srv, nil)
	o.Wires = hooked{text: func(q string) string {
		if strings.HasPrefix(q, "SELECT name FROM sys.columns WHERE object_id = @p1 AND encryption_type") {
			return "SELECT N'v'"
		}
		return q
	}}.wires()
	s, err := New(o, slog.New(slog.DiscardHandler))
	check(t, err)
	if err := s.Open(t.Context(), nil); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "column v of crm.dbo.t are encrypted") {
		t.Errorf("error %v", err)
	}
	o.ExcludeColumns = []string{`dbo\.[tu]\.v`}
	if events, _ := next(t, open(t, o, nil)); !slices.Equal(events, []string{"r crm.t 1"}) {
		t.Errorf("left out: %v", events)
	}
	o.Wires, o.ExcludeColumns = nil, nil
	srv.Inject(mssqltest.Fault{Match: "encryption_type", Times: 1, Err: &mssqltest.Error{Number: 207, Class: 16, State: 1, Text: "Invalid column name 'encryption_type'."}})
	if events, _ := next(t, open(t, o, nil)); !slices.Equal(events, []string{"r crm.t 1,1"}) {
		t.Errorf("an old server: %v", events)
	}
}

// TestComputedColumns leaves them out: change tables have NULL for them, which would
// take the place of what the snapshot has read.
func TestComputedColumns(t *testing.T) {
	srv := serve(t, mssqltest.Options{})
	db := srv.DB("crm")
	exec(t, db, "EXEC sys.sp_cdc_enable_db", "CREATE TABLE dbo.c (id int NOT NULL PRIMARY KEY, v int NOT NULL, w AS v * 2, x AS v + 1, z int)", "INSERT INTO dbo.c (id, v) VALUES (1, 1)")
	check(t, db.EnableTable("dbo", "c", ""))
	var log strings.Builder
	o := optionsFor(t, srv, nil)
	s, err := New(o, slog.New(slog.NewTextHandler(&log, nil)))
	check(t, err, s.Open(t.Context(), nil))
	defer func() {
		check(t, s.Close())
		if said := log.String(); strings.Count(said, "is computed, and change tables do not have its values") != 2 {
			t.Errorf("said: %s", said)
		}
	}()
	var got []string
	for more := true; more; {
		events, end := next(t, s)
		got = append(got, events...)
		p, err := parsePosition(end)
		more = err != nil || p.Snapshot != nil
	}
	exec(t, db, "UPDATE dbo.c SET v = 5")
	for !slices.Contains(got, "u crm.c 1,1, 1,5,") {
		events, _ := next(t, s)
		got = append(got, events...)
	}
	if got[0] != "r crm.c 1,1," {
		t.Errorf("%v", got)
	}
	cfg, err := newSettings(&o)
	check(t, err)
	id := envelope.TableID{Catalog: "crm", Schema: "dbo", Name: "c"}
	list := []*column{{id: 1, name: "id", typ: "int", computed: true}}
	if _, err := newTable(id, list, []string{"id"}, map[string]int{"id": 1}, cfg); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "column id of the key of crm.dbo.c is computed") {
		t.Errorf("a computed key: %v", err)
	}
}

// TestOldInstances have no __$command_id.
func TestOldInstances(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{})
	o := optionsFor(t, srv, map[string]string{"snapshot.mode": "no_data"})
	srv.Inject(mssqltest.Fault{Match: "c.[__$command_id]", Times: -1, Err: &mssqltest.Error{Number: 207, Class: 16, State: 1, Text: "Invalid column name '__$command_id'."}})
	o.Wires = hooked{text: func(q string) string {
		if strings.HasSuffix(q, "name = N'__$command_id'") {
			return "SELECT CAST(0 AS int)"
		}
		return q
	}}.wires()
	s := open(t, o, nil)
	exec(t, db, "INSERT INTO dbo.t VALUES (1, 1)")
	if _, err := fails(t, s); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "capture instance dbo_t") || !strings.Contains(fault.Hint(err), "data.query.mode: function") {
		t.Errorf("error %v (%s)", err, fault.Hint(err))
	}
	exec(t, db, "INSERT INTO dbo.t VALUES (2, 2)")
	o.QueryMode = "function"
	s = open(t, o, nil)
	exec(t, db, "INSERT INTO dbo.t VALUES (3, 3)")
	for events := []string(nil); !slices.Contains(events, "c crm.t 3,3"); {
		events, _ = next(t, s)
	}
}

// TestColumnsOfOneName are two that differ in capitals only, as a case-sensitive
// database may have them.
func TestColumnsOfOneName(t *testing.T) {
	srv := serve(t, mssqltest.Options{})
	db := srv.DB("crm")
	exec(t, db, "EXEC sys.sp_cdc_enable_db", "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, name int, other nvarchar(9))")
	check(t, db.EnableTable("dbo", "t", ""))
	o := optionsFor(t, srv, map[string]string{"snapshot.mode": "no_data"})
	o.Wires = hooked{row: func(q string, v []driver.Value) {
		for i := range v {
			if asText(v[i]) == "other" {
				v[i] = "Name"
			}
		}
	}}.wires()
	tb := open(t, o, nil).session.databases[0].list[0].table
	if got := tb.list(""); got != "[id], [name], [Name]" {
		t.Errorf("columns %s", got)
	}
	if tb.columns[2].typ != "nvarchar" || !slices.Equal(tb.bits, []int{1, 2, 3}) {
		t.Errorf("%s, bits %v", tb.columns[2].typ, tb.bits)
	}
}

func TestHierarchyKeys(t *testing.T) {
	arg, expr := argument(&column{typ: "hierarchyid", length: 892}, []byte{0x5a, 0xc0}, "@p1")
	if b, ok := arg.([]byte); !ok || string(b) != "\x5a\xc0" || expr != "CAST(CAST(@p1 AS varbinary(892)) AS hierarchyid)" {
		t.Errorf("%v as %s", arg, expr)
	}
}

// TestLoginIsEncrypted has driver.encrypt false send the password in TLS, whatever
// the certificate is, where the server has TLS; and as it is where it has none.
func TestLoginIsEncrypted(t *testing.T) {
	for _, tls := range []bool{true, false} {
		srv, db := tracked(t, mssqltest.Options{Encrypt: tls})
		exec(t, db, "INSERT INTO dbo.t VALUES (1, 1)")
		s := open(t, optionsFor(t, srv, map[string]string{"driver.encrypt": "false"}), nil)
		past(t, s)
		if all := srv.Sessions(); len(all) != 1 || all[0].Encrypted != tls {
			t.Errorf("TLS %v: %+v", tls, all)
		}
	}
}

// TestInstanceThatBeginsMeanwhile has a capture instance be made, and be begun by the
// capture job, between the list of instances and the reading of their rows: the function
// that reads them has no range for it yet.
func TestInstanceThatBeginsMeanwhile(t *testing.T) {
	for _, mode := range []string{"direct", "function"} {
		t.Run(mode, func(t *testing.T) {
			srv, db := tracked(t, mssqltest.Options{AgentInterval: -1})
			exec(t, db, "CREATE TABLE dbo.w (id int NOT NULL PRIMARY KEY)", "INSERT INTO dbo.t VALUES (1, 1)")
			db.RunCapture()
			o := optionsFor(t, srv, map[string]string{"data.query.mode": mode, "poll.interval.ms": "5", "snapshot.mode": "no_data"})
			s := open(t, o, nil)
			_, pos := next(t, s)
			check(t, s.Close())
			exec(t, db, "INSERT INTO dbo.t VALUES (2, 2)")
			db.RunCapture()
			lists, begun := 0, false
			o.Wires = hooked{before: func(q string) {
				if q == instancesQuery {
					if lists++; lists == 2 { // the first is of the start
						check(t, db.EnableTable("dbo", "w", ""), db.Exec("INSERT INTO dbo.w VALUES (3)"))
					}
				}
				if lists >= 2 && !begun && (strings.Contains(q, "_CT]") || strings.Contains(q, "fn_cdc_get_all_changes")) {
					begun = true
					db.RunCapture()
				}
			}}.wires()
			s = open(t, o, pos)
			var got []string
			for len(got) < 2 {
				events, _ := next(t, s)
				got = append(got, events...)
			}
			if !slices.Equal(got, []string{"c crm.t 2,2", "c crm.w 3"}) {
				t.Errorf("%v", got)
			}
		})
	}
}
