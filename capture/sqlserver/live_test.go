package sqlserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tributary/capture"
	"tributary/capture/snapshot"
	"tributary/envelope"
	"tributary/internal/fault"
	"tributary/internal/mssqltest"
)

func exec(t *testing.T, db *mssqltest.Database, queries ...string) {
	t.Helper()
	for _, q := range queries {
		if err := db.Exec(q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

// tracked is a model with tables t and u in crm.
func tracked(t *testing.T, o mssqltest.Options) (*mssqltest.Server, *mssqltest.Database) {
	t.Helper()
	srv := serve(t, o)
	db := srv.DB("crm")
	exec(t, db, "EXEC sys.sp_cdc_enable_db", "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, v int NOT NULL)", "CREATE TABLE dbo.u (id int NOT NULL PRIMARY KEY, v int NOT NULL)")
	for _, name := range []string{"t", "u"} {
		if err := db.EnableTable("dbo", name, ""); err != nil {
			t.Fatal(err)
		}
	}
	return srv, db
}

// texts is event without what is not there.
func texts(c *envelope.Change) string {
	if c.Table == nil {
		return c.Op.String()
	}
	out := c.Op.String() + " " + c.Table.ID.Catalog + "." + c.Table.ID.Name
	for _, row := range []envelope.Row{c.Before, c.After} {
		if row != nil {
			out += " " + strings.Join(c.Table.Texts(row), ",")
		}
	}
	return out
}

// next takes a batch and returns its changes as text, and where it ends.
func next(t *testing.T, s capture.Source) ([]string, capture.Position) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	b, err := s.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for i := range b.List {
		if b.List[i].Op != envelope.DDL {
			out = append(out, texts(&b.List[i]))
		}
	}
	return out, bytes.Clone(b.End)
}

// TestResumedAfterEveryBatch ends the source after each batch, within snapshots and
// transactions: each change comes once, in the order of the log.
func TestResumedAfterEveryBatch(t *testing.T) {
	for _, mode := range []string{"direct", "function"} {
		t.Run(mode, func(t *testing.T) {
			srv, db := tracked(t, mssqltest.Options{})
			for i := range 10 {
				exec(t, db, fmt.Sprintf("INSERT INTO dbo.t VALUES (%d, %d)", i, i))
			}
			o := optionsFor(t, srv, map[string]string{"data.query.mode": mode, "max.batch.size": "3", "snapshot.fetch.size": "4", "streaming.fetch.size": "2", "max.iteration.transactions": "2"})
			var want, got []string
			for i := range 10 {
				want = append(want, fmt.Sprintf("r crm.t %d,%d", i, i))
			}
			var pos capture.Position
			wrote := false
			for rounds := 0; len(got) < 38 && rounds < 100; rounds++ {
				s, err := New(o, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Open(t.Context(), pos); err != nil {
					t.Fatal(err)
				}
				if len(got) == 10 && !wrote { // all at once: one transaction, then others
					wrote = true
					tx := db.Begin()
					for i := range 8 {
						check(t, tx.Insert("dbo.u", i, i), tx.Update("dbo.t", "v = v + 100", "id = @p1", i))
						want = append(want, fmt.Sprintf("c crm.u %d,%d", i, i), fmt.Sprintf("u crm.t %d,%d %d,%d", i, i, i, i+100))
					}
					if _, err := tx.Commit(); err != nil {
						t.Fatal(err)
					}
					for i := range 5 {
						exec(t, db, fmt.Sprintf("DELETE FROM dbo.u WHERE id = %d", i), fmt.Sprintf("INSERT INTO dbo.u VALUES (%d, 7)", i+20))
						want = append(want, fmt.Sprintf("d crm.u %d,%d", i, i), fmt.Sprintf("c crm.u %d,7", i+20))
					}
					exec(t, db, "UPDATE dbo.u SET v = 1 WHERE id = 6", "UPDATE dbo.u SET id = 60 WHERE id = 7")
					want = append(want, "u crm.u 6,6 6,1", "d crm.u 7,7", "c crm.u 60,7")
				}
				events, end := next(t, s)
				got = append(got, events...)
				if len(end) > 0 {
					pos = end
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if wrote && len(got) == len(want) {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

func check(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// TestInstanceMadeWhileBehind has a table tracked of which the beginning is behind
// the place to which the changes have been read: nothing of it is lost.
func TestInstanceMadeWhileBehind(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{})
	exec(t, db, "INSERT INTO dbo.t VALUES (0, 0)")
	o := optionsFor(t, srv, map[string]string{"max.iteration.transactions": "1", "max.batch.size": "1"})
	s, err := New(o, slog.New(slog.DiscardHandler))
	check(t, err, s.Open(t.Context(), nil))
	pos := past(t, s)
	check(t, s.Close())
	var want []string
	for i := range 4 {
		exec(t, db, fmt.Sprintf("INSERT INTO dbo.t VALUES (%d, 1)", i+1))
		want = append(want, fmt.Sprintf("c crm.t %d,1", i+1))
	}
	exec(t, db, "CREATE TABLE dbo.w (id int NOT NULL PRIMARY KEY)")
	check(t, db.EnableTable("dbo", "w", ""))
	exec(t, db, "INSERT INTO dbo.w VALUES (7)")
	want = append(want, "c crm.w 7")

	var got []string
	for round := 0; len(got) < len(want) && round < 20; round++ {
		check(t, s.Open(t.Context(), pos))
		for range 2 { // the second is read by a poll that begins in this life
			if events, end := next(t, s); len(end) > 0 {
				got, pos = append(got, events...), end
			}
			if len(got) == len(want) {
				break
			}
		}
		check(t, s.Close())
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// past reads the snapshot to its end.
func past(t *testing.T, s capture.Source) capture.Position {
	t.Helper()
	for {
		_, end := next(t, s)
		if p, err := parsePosition(end); err == nil && p.Snapshot == nil {
			return end
		}
	}
}

func TestDatabasesOfOneConnector(t *testing.T) {
	srv, crm := tracked(t, mssqltest.Options{Databases: []string{"crm", "ems"}})
	ems := srv.DB("ems")
	exec(t, ems, "EXEC sys.sp_cdc_enable_db", "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY)")
	check(t, ems.EnableTable("dbo", "t", ""))
	exec(t, crm, "INSERT INTO dbo.t VALUES (1, 1)")
	exec(t, ems, "INSERT INTO dbo.t VALUES (2)")
	o := optionsFor(t, srv, map[string]string{"database.names": "crm,ems"})
	s := open(t, o, nil)
	var got []string
	var pos capture.Position
	for len(got) < 2 {
		var events []string
		events, pos = next(t, s)
		got = append(got, events...)
	}
	for p, err := parsePosition(pos); err != nil || p.Snapshot != nil; p, err = parsePosition(pos) {
		_, pos = next(t, s)
	}
	check(t, s.Close())
	exec(t, ems, "DELETE FROM dbo.t")
	exec(t, crm, "DELETE FROM dbo.t")
	s = open(t, o, pos)
	for len(got) < 4 {
		events, _ := next(t, s)
		got = append(got, events...)
	}
	slices.Sort(got[2:])
	if want := []string{"r crm.t 1,1", "r ems.t 2", "d crm.t 1,1", "d ems.t 2"}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// TestOvertaken has the clean-up remove changes that were not read yet: at a start,
// and while the source runs.
func TestOvertaken(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{})
	exec(t, db, "INSERT INTO dbo.t VALUES (1, 1)")
	o := optionsFor(t, srv, map[string]string{"poll.interval.ms": "1000000"})
	s := open(t, o, nil)
	pos := past(t, s)
	check(t, s.Close())
	exec(t, db, "INSERT INTO dbo.t VALUES (2, 2)", "INSERT INTO dbo.t VALUES (3, 3)")
	low := db.MaxLSN()
	exec(t, db, "INSERT INTO dbo.t VALUES (4, 4)")
	check(t, db.Cleanup("", low))
	s, err := New(o, slog.New(slog.DiscardHandler))
	check(t, err)
	err = s.Open(t.Context(), pos)
	if !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "have been removed") {
		t.Errorf("error %v", err)
	}
	bare, err := parsePosition(pos) // as Debezium's are
	check(t, err)
	bare.Databases["crm"].Instances = nil
	text, err := bare.append(nil)
	check(t, err)
	if err := s.Open(t.Context(), text); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "have been removed") {
		t.Errorf("without instances: error %v", err)
	}
	o.SnapshotMode = "when_needed"
	s = open(t, o, pos)
	if events, _ := next(t, s); !slices.Contains(events, "r crm.t 2,2") {
		t.Errorf("no new snapshot: %v", events)
	}
	check(t, s.Close())

	// An idle database: the low end follows the marks of the capture job, and so does
	// the position.
	o.SnapshotMode, o.Poll = "initial", 10*time.Millisecond
	o.Heartbeats = 20 * time.Millisecond
	s = open(t, o, nil)
	past(t, s)
	idle := db.Idle()
	for {
		_, end := next(t, s)
		if strings.Contains(string(end), idle.String()) {
			pos = end
			break
		}
	}
	check(t, s.Close(), db.Cleanup("", idle))
	s = open(t, o, pos)
	exec(t, db, "INSERT INTO dbo.t VALUES (5, 5)")
	for {
		if events, _ := next(t, s); len(events) > 0 {
			if events[0] != "c crm.t 5,5" {
				t.Errorf("%v", events)
			}
			break
		}
	}
}

// TestLateComerCleanedUp has a table be captured, and be cleaned up, after a position:
// one from before anything was captured, and one that has captured another table.
func TestLateComerCleanedUp(t *testing.T) {
	var passed atomic.Int64
	began := time.Now()
	srv, db := tracked(t, mssqltest.Options{Clock: func() time.Time { return began.Add(time.Duration(passed.Load())) }})
	exec(t, db, "CREATE TABLE dbo.w (id int NOT NULL PRIMARY KEY)", "INSERT INTO dbo.t VALUES (1, 1)")
	o := optionsFor(t, srv, map[string]string{"snapshot.mode": "no_data"})
	s := open(t, o, nil)
	_, before := next(t, s)
	check(t, s.Close())
	passed.Store(int64(time.Second))
	check(t, db.EnableTable("dbo", "w", ""))
	exec(t, db, "INSERT INTO dbo.w VALUES (2)")
	passed.Store(int64(time.Hour))
	exec(t, db, "INSERT INTO dbo.w VALUES (3)")
	after := db.MaxLSN()
	positions := []capture.Position{capture.Position(`{"databases":{"crm":{}}}`), before}
	for _, p := range positions {
		if err := s.Open(t.Context(), p); err != nil {
			t.Errorf("before the clean-up, from %s: %v", p, err)
		}
		check(t, s.Close())
	}
	check(t, db.Cleanup("dbo_w", db.MaxLSN()))
	for _, p := range positions {
		if err := s.Open(t.Context(), p); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "changes of crm.dbo.w") {
			t.Errorf("from %s: %v", p, err)
		}
	}
	now := capture.Position(fmt.Sprintf(`{"databases":{"crm":{"commit_lsn":%q}}}`, after.String()))
	if err := s.Open(t.Context(), now); err != nil {
		t.Errorf("from the end: %v", err)
	}
	check(t, s.Close())
}

// TestInstanceAfterThePosition has a table be captured after a position that tells of
// no instances: its changes are all there.
func TestInstanceAfterThePosition(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{})
	exec(t, db, "CREATE TABLE dbo.w (id int NOT NULL PRIMARY KEY)", "INSERT INTO dbo.t VALUES (1, 1)")
	from := db.MaxLSN()
	time.Sleep(5 * time.Millisecond) // a datetime has steps of 3 ms
	check(t, db.EnableTable("dbo", "w", ""))
	exec(t, db, "INSERT INTO dbo.w VALUES (2)")
	s := open(t, optionsFor(t, srv, nil), capture.Position(`{"databases":{"crm":{"commit_lsn":"`+from.String()+`"}}}`))
	if events, _ := next(t, s); !slices.Equal(events, []string{"c crm.w 2"}) {
		t.Errorf("%v", events)
	}
}

func TestPreflightSaysHowToMend(t *testing.T) {
	srv := serve(t, mssqltest.Options{})
	db := srv.DB("crm")
	fails := func(want, hint string, more map[string]string) {
		t.Helper()
		s, err := New(optionsFor(t, srv, more), slog.New(slog.DiscardHandler))
		check(t, err)
		err = s.Open(t.Context(), nil)
		if err == nil || !fault.NeedsHuman(err) || !strings.Contains(err.Error(), want) || !strings.Contains(fault.Hint(err), hint) {
			t.Errorf("want %s (%s), got %v (%s)", want, hint, err, fault.Hint(err))
		}
	}
	fails("not enabled in database crm", "USE [crm]; EXEC sys.sp_cdc_enable_db", nil)
	exec(t, db, "EXEC sys.sp_cdc_enable_db", "CREATE TABLE dbo.[it's] (id int NOT NULL PRIMARY KEY)")
	fails("no table has a capture instance", "USE [crm]; EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'it''s', @role_name = NULL", nil)
	check(t, db.EnableTable("dbo", "it's", "its"))
	fails("matches crm.dbo.other", "correct table.include.list", map[string]string{"table.include.list": "crm.dbo.other"})
	fails("needs ALLOW_SNAPSHOT_ISOLATION", "ALTER DATABASE [crm] SET ALLOW_SNAPSHOT_ISOLATION ON", map[string]string{"snapshot.isolation.mode": "snapshot"})
	fails("connect to", "database.names", map[string]string{"database.names": "nothing"})
}

// TestKindsOfServers has what Amazon RDS and Azure SQL Database have of their own, and an
// Agent that does not run.
func TestKindsOfServers(t *testing.T) {
	rds := serve(t, mssqltest.Options{RDS: true})
	s, err := New(optionsFor(t, rds, nil), slog.New(slog.DiscardHandler))
	check(t, err)
	const enable = "EXEC msdb.dbo.rds_cdc_enable_db N'crm'"
	if err := s.Open(t.Context(), nil); !fault.NeedsHuman(err) || fault.Hint(err) != "execute "+enable {
		t.Errorf("RDS: %v (%s)", err, fault.Hint(err))
	}
	exec(t, rds.DB("crm"), enable)
	const warning = "the SQL Server Agent does not run"
	for name, c := range map[string]struct {
		options mssqltest.Options
		stopped bool
		want    bool
	}{
		"a server": {}, "its Agent is stopped": {stopped: true, want: true}, "Azure, which has no Agent": {options: mssqltest.Options{EngineEdition: 5}},
	} {
		srv, db := tracked(t, c.options)
		exec(t, db, "INSERT INTO dbo.t VALUES (1, 1)")
		if c.stopped {
			srv.StopAgent()
		}
		s, l := logged(t, optionsFor(t, srv, nil))
		check(t, s.Open(t.Context(), nil))
		if events, _ := next(t, s); !slices.Contains(events, "r crm.t 1,1") {
			t.Errorf("%s: %v", name, events)
		}
		check(t, s.Close())
		if strings.Contains(l.String(), warning) != c.want {
			t.Errorf("%s: %s", name, l)
		}
	}
}

// TestIncrementalSnapshot takes one while the table changes, with a signal table
// and without.
func TestIncrementalSnapshot(t *testing.T) {
	for _, signals := range []bool{true, false} {
		t.Run(fmt.Sprintf("signal table %v", signals), func(t *testing.T) {
			srv, db := tracked(t, mssqltest.Options{})
			exec(t, db, "CREATE TABLE dbo.signal (id varchar(64) NOT NULL, type varchar(64) NOT NULL, data nvarchar(max) NULL)")
			check(t, db.EnableTable("dbo", "signal", ""))
			for i := range 30 {
				exec(t, db, fmt.Sprintf("INSERT INTO dbo.t VALUES (%d, 0)", i))
			}
			more := map[string]string{"snapshot.mode": "no_data", "table.include.list": "dbo.t"}
			if signals {
				more["signal.data.collection"] = "crm.dbo.signal"
			}
			inner := open(t, optionsFor(t, srv, more), nil)
			check(t, inner.Close())
			x := snapshot.NewIncremental(inner, snapshot.IncrementalOptions{ChunkRows: 7, Table: more["signal.data.collection"], Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))})
			check(t, x.Open(t.Context(), nil))
			defer func() { check(t, x.Close()) }()
			if signals {
				exec(t, db, `INSERT INTO dbo.signal VALUES ('a', 'execute-snapshot', N'{"data-collections": ["crm.dbo.t"], "type": "INCREMENTAL"}')`)
			} else {
				x.Signal(snapshot.Signal{ID: "a", Type: snapshot.Execute, Data: snapshot.SignalData{Collections: []string{"crm.dbo.t"}}})
			}
			rows := make(map[string]string)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			started := false
			for n := 0; !started || x.Working(); n++ {
				if n < 20 {
					exec(t, db, fmt.Sprintf("UPDATE dbo.t SET v = %d WHERE id = %d", n+1, n))
				}
				if !signals {
					time.Sleep(5 * time.Millisecond)
					db.Idle()
				}
				b, err := x.Next(ctx)
				check(t, err)
				for i := range b.List {
					c := &b.List[i]
					if c.Table == nil || c.Table.ID.Name != "t" {
						if c.Table != nil && strings.Contains(texts(c), "tributary-") {
							t.Errorf("a mark is told: %s", texts(c))
						}
						continue
					}
					started = started || c.Op == envelope.Read
					row := c.Table.Texts(c.After)
					rows[row[0]] = row[1]
				}
			}
			got, err := db.Query("SELECT id, v FROM dbo.t")
			check(t, err)
			for _, row := range got {
				id, v := fmt.Sprint(row[0]), fmt.Sprint(row[1])
				if _, ok := rows[id]; !ok {
					t.Errorf("row %s is missing", id)
				}
				if rows[id] != v && rows[id] != "0" { // the last updates may still be on their way
					t.Errorf("row %s is %s, want %s", id, rows[id], v)
				}
			}
		})
	}
}

func TestPositionOfDebezium(t *testing.T) {
	p, err := parsePosition(capture.Position(`{"databases":{"crm":{"commit_lsn":"00000027:00000260:0003","change_lsn":"00000027:00000260:0002","event_serial_no":2}}}`))
	check(t, err)
	at := p.Databases["crm"]
	commit := lsn(at.Commit)
	if commit.String() != "00000027:00000260:0003" || !at.partial() || at.SerialNo != 2 || at.Command != nil {
		t.Errorf("%+v", at)
	}
	text, err := p.append(nil)
	check(t, err)
	var back map[string]any
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if _, err := parsePosition(capture.Position(`{"lsn":"1/2"}`)); !fault.NeedsHuman(err) {
		t.Errorf("a position of another database: %v", err)
	}
}

// TestUnchangedLargeValues holds the update mask against values that the change
// table does not have: they must not become null.
func TestUnchangedLargeValues(t *testing.T) {
	for _, lowFirst := range []bool{false, true} {
		t.Run(fmt.Sprintf("low byte first %v", lowFirst), func(t *testing.T) { unchangedLargeValues(t, lowFirst) })
	}
}

func unchangedLargeValues(t *testing.T, lowFirst bool) {
	t.Helper()
	srv := serve(t, mssqltest.Options{MaskLowFirst: lowFirst})
	db := srv.DB("crm")
	exec(t, db, "EXEC sys.sp_cdc_enable_db",
		"CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, a int, b int, c int, d int, e int, f int, g int, note nvarchar(max), raw varbinary(max), old text, small nvarchar(10))")
	check(t, db.EnableTable("dbo", "t", ""))
	exec(t, db, "INSERT INTO dbo.t (id, note, raw, old, small) VALUES (1, N'long', 0x0102, 'older', N's')")
	s := open(t, optionsFor(t, srv, map[string]string{"snapshot.mode": "no_data"}), nil)
	exec(t, db, "UPDATE dbo.t SET a = 5", "UPDATE dbo.t SET note = NULL, small = NULL", "UPDATE dbo.t SET old = 'newer', raw = 0x03", "DELETE FROM dbo.t")
	var got []string
	for len(got) < 4 {
		events, _ := next(t, s)
		got = append(got, events...)
	}
	const no = "__debezium_unavailable_value"
	want := []string{
		"u crm.t 1,,,,,,,,no,no,no,s 1,5,,,,,,,no,no,no,s",
		"u crm.t 1,5,,,,,,,long,no,no,s 1,5,,,,,,,,no,no,",
		"u crm.t 1,5,,,,,,,no,AQI=,no, 1,5,,,,,,,no,Aw==,newer,",
		"d crm.t 1,5,,,,,,,,Aw==,no,",
	}
	for i := range want {
		want[i] = strings.ReplaceAll(want[i], "no,", no+",")
		got[i] = strings.NewReplacer("X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==", no, `"`, "").Replace(got[i])
		if got[i] != want[i] {
			t.Errorf("got  %s\nwant %s", got[i], want[i])
		}
	}
}

// TestAlteredType has a column become wider while the source runs.
func TestAlteredType(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{})
	s := open(t, optionsFor(t, srv, map[string]string{"snapshot.mode": "no_data"}), nil)
	exec(t, db, "INSERT INTO dbo.t VALUES (1, 1)")
	var got []string
	for len(got) < 1 {
		events, _ := next(t, s)
		got = append(got, events...)
	}
	if err := db.Exec("ALTER TABLE dbo.t ALTER COLUMN v bigint NOT NULL"); err != nil {
		t.Fatal(err)
	}
	exec(t, db, "INSERT INTO dbo.t VALUES (2, 5000000000)")
	for len(got) < 2 {
		events, _ := next(t, s)
		got = append(got, events...)
	}
	if want := []string{"c crm.t 1,1", "c crm.t 2,5000000000"}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// TestResumedWithAnotherKey has the key of a table change while its snapshot is
// interrupted.
func TestResumedWithAnotherKey(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{})
	for i := range 5 {
		exec(t, db, fmt.Sprintf("INSERT INTO dbo.t VALUES (%d, %d)", i, i))
	}
	o := optionsFor(t, srv, map[string]string{"max.batch.size": "2", "snapshot.fetch.size": "2"})
	s := open(t, o, nil)
	_, pos := next(t, s)
	check(t, s.Close())
	p, err := parsePosition(pos)
	check(t, err)
	for _, after := range [][][]byte{{[]byte("abc")}, {make([]byte, 8), make([]byte, 8)}} {
		p.Snapshot.After = after // of a varchar; of two columns
		text, err := p.append(nil)
		check(t, err)
		s = open(t, o, text)
		if events, _ := next(t, s); !slices.Contains(events, "r crm.t 0,0") {
			t.Errorf("not read anew: %v", events)
		}
		check(t, s.Close())
	}
}

// TestSnapshotUnderWriters has snapshots of all isolation modes meet the changes
// while others write, and ends the source again and again: whoever keeps the newest
// state by key has that of the table.
func TestSnapshotUnderWriters(t *testing.T) {
	for _, name := range []string{"snapshot", "repeatable_read", "exclusive", "read_committed", "read_uncommitted", "snapshot threads", "repeatable_read threads", "exclusive threads", "read_committed threads"} {
		t.Run(name, func(t *testing.T) {
			mode, _, _ := strings.Cut(name, " ")
			srv, db := tracked(t, mssqltest.Options{AgentInterval: 3 * time.Millisecond})
			check(t, db.AllowSnapshot(true))
			for i := range 60 {
				exec(t, db, fmt.Sprintf("INSERT INTO dbo.t VALUES (%d, 0)", i))
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				for i := range 200 {
					if err := db.Exec([]string{"UPDATE dbo.t SET v = v + 1 WHERE id = @p1", "DELETE FROM dbo.t WHERE id = @p1 + 20", "INSERT INTO dbo.t VALUES (@p1 + 1000, 1)"}[i%3], i%60); err != nil && !strings.Contains(err.Error(), "duplicate") && !strings.Contains(err.Error(), "PRIMARY") {
						t.Errorf("write: %v", err)
					}
				}
			}()
			o := optionsFor(t, srv, map[string]string{"snapshot.isolation.mode": mode, "snapshot.fetch.size": "5", "max.batch.size": "8"})
			if strings.HasSuffix(name, "threads") {
				o.Threads = 3
			}
			rows := make(map[string]string)
			var pos capture.Position
			marked := false
			for end, n := false, 0; !end; n++ {
				s, err := New(o, slog.New(slog.DiscardHandler))
				check(t, err, s.Open(t.Context(), pos))
				for range 1 + n%4 {
					if p, err := parsePosition(pos); !marked && err == nil && p.Snapshot == nil {
						<-done
						exec(t, db, "INSERT INTO dbo.u VALUES (1, 1)")
						marked = true
					}
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
					b, err := s.Next(ctx)
					cancel()
					check(t, err)
					for i := range b.List {
						c := &b.List[i]
						switch {
						case c.Table == nil:
						case c.Table.ID.Name == "u":
							end = end || c.Op == envelope.Create
						case c.Op == envelope.Delete:
							delete(rows, c.Table.Texts(c.Before)[0])
						default:
							row := c.Table.Texts(c.After)
							rows[row[0]] = row[1]
						}
					}
					pos = append(pos[:0], b.End...)
					if end {
						break
					}
				}
				check(t, s.Close())
			}
			want, err := db.Query("SELECT id, v FROM dbo.t")
			check(t, err)
			for _, w := range want {
				if id := fmt.Sprint(w[0]); rows[id] != fmt.Sprint(w[1]) {
					t.Errorf("row %s is %q, want %v", id, rows[id], w[1])
				}
			}
			if len(rows) != len(want) {
				t.Errorf("%d rows, want %d", len(rows), len(want))
			}
		})
	}
}
