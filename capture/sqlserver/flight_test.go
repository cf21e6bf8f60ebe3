package sqlserver

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tributary/capture"
	"tributary/internal/fault"
	"tributary/internal/mssqltest"
)

// lives is a source that is ended and begins again from the last position, until it
// has told so many changes.
type lives struct {
	t      *testing.T
	o      Options
	pos    capture.Position
	got    []string
	errors []error // that lives ended with by themselves
}

// live takes at most so many batches in a life, or until there are so many changes. An
// error is one of the life.
func (l *lives) live(batches, changes int) {
	l.t.Helper()
	s, err := New(l.o, slog.New(slog.DiscardHandler))
	check(l.t, err)
	ctx, cancel := context.WithTimeout(l.t.Context(), 20*time.Second)
	defer cancel()
	if err := s.Open(ctx, l.pos); err != nil {
		l.errors = append(l.errors, err)
		return
	}
	defer func() { check(l.t, s.Close()) }()
	for n := 0; n < batches && len(l.got) < changes; n++ {
		b, err := s.Next(ctx)
		if ctx.Err() != nil {
			l.t.Fatalf("nothing comes after %d of %d changes", len(l.got), changes)
		}
		if err != nil {
			l.errors = append(l.errors, err)
			return
		}
		for i := range b.List {
			if b.List[i].Table != nil {
				l.got = append(l.got, texts(&b.List[i]))
			}
		}
		l.pos = append(l.pos[:0], b.End...)
	}
}

func (l *lives) want(want []string) {
	l.t.Helper()
	if slices.Equal(l.got, want) {
		return
	}
	for i := range min(len(l.got), len(want)) {
		if l.got[i] != want[i] {
			l.t.Errorf("change %d of %d is %.200s, want %.200s", i, len(want), l.got[i], want[i])
			return
		}
	}
	l.t.Errorf("%d changes, want %d", len(l.got), len(want))
}

// born is a source of a database that has captured something, and past that.
func born(t *testing.T, srv *mssqltest.Server, db *mssqltest.Database, more map[string]string) *lives {
	t.Helper()
	exec(t, db, "INSERT INTO dbo.t VALUES (-1, '-1')")
	all := map[string]string{"snapshot.mode": "no_data", "poll.interval.ms": "3"}
	maps.Copy(all, more)
	l := &lives{t: t, o: optionsFor(t, srv, all)}
	s := open(t, l.o, nil)
	l.pos = past(t, s)
	check(t, s.Close())
	return l
}

// commits writes random transactions over several tables, with updates and moves of
// keys, and returns the changes that they are.
func commits(t *testing.T, db *mssqltest.Database, r *rand.Rand, n int) (want []string) {
	t.Helper()
	rows := map[string]map[int]string{"t": {}, "u": {}, "w": {}}
	at := 0
	for range n {
		tx := db.Begin()
		for range 1 + r.IntN(r.IntN(12)+1) {
			name := []string{"t", "u", "w"}[r.IntN(3)]
			have := rows[name]
			var ids []int
			for id := range have {
				ids = append(ids, id)
			}
			slices.Sort(ids)
			value := fmt.Sprint(r.IntN(1000))
			if name == "w" {
				value = strings.Repeat(value, 1+r.IntN(10_000))
			}
			switch k := r.IntN(10); {
			case k < 5 || len(ids) == 0:
				at++
				check(t, tx.Insert("dbo."+name, at, value))
				have[at] = value
				want = append(want, fmt.Sprintf("c crm.%s %d,%s", name, at, value))
			case k < 8:
				id := ids[r.IntN(len(ids))]
				if have[id] == value {
					continue // it would be no change
				}
				check(t, tx.Update("dbo."+name, "v = @p1", "id = @p2", value, id))
				want = append(want, fmt.Sprintf("u crm.%s %d,%s %d,%s", name, id, have[id], id, value))
				have[id] = value
			case k < 9:
				id := ids[r.IntN(len(ids))]
				check(t, tx.Delete("dbo."+name, "id = @p1", id))
				want = append(want, fmt.Sprintf("d crm.%s %d,%s", name, id, have[id]))
				delete(have, id)
			default:
				id := ids[r.IntN(len(ids))]
				at++
				check(t, tx.Update("dbo."+name, "id = @p1", "id = @p2", at, id))
				want = append(want, fmt.Sprintf("d crm.%s %d,%s", name, id, have[id]), fmt.Sprintf("c crm.%s %d,%s", name, at, have[id]))
				have[at] = have[id]
				delete(have, id)
			}
		}
		_, err := tx.Commit()
		check(t, err)
	}
	return want
}

// TestLivesOfEverySize reads random transactions with limits of all sizes, and ends the
// source after every few batches: each change comes once, in the order of the log.
func TestLivesOfEverySize(t *testing.T) {
	for seed := range uint64(24) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7)) //nolint:gosec // it is to be the same again
			srv, db := tracked(t, mssqltest.Options{SeqvalsReversed: seed%4 == 1})
			exec(t, db, "CREATE TABLE dbo.w (id int NOT NULL PRIMARY KEY, v nvarchar(max) NOT NULL)")
			check(t, db.EnableTable("dbo", "w", ""))
			pick := func(list ...string) string { return list[r.IntN(len(list))] }
			more := map[string]string{
				"streaming.fetch.size": pick("1", "2", "3", "5", "0"), "max.batch.size": pick("1", "2", "3", "7", "1000"), "max.iteration.transactions": pick("0", "1", "2", "3", "500"),
				"max.batch.size.in.bytes": pick("600", "3000", "1000000"),
			}
			if seed%4 == 2 {
				more["data.query.mode"] = "function"
			}
			l := born(t, srv, db, more)
			want := commits(t, db, r, 25)
			most := 1 + r.IntN(9)
			for n := 0; len(l.got) < len(want) && n < 5*len(want); n++ {
				l.live(1+r.IntN(most), len(want))
			}
			if len(l.errors) > 0 {
				t.Fatal(l.errors)
			}
			l.want(want)
			if t.Failed() {
				t.Log(more)
			}
		})
	}
}

// TestErrorsAtEveryStatement has each statement of a life fail, or its connection be
// gone, or the source be closed then, one after the other: what was told before stands,
// the rest comes once in the next life, and nothing is left running.
func TestErrorsAtEveryStatement(t *testing.T) {
	for kind, act := range map[string]func(srv *mssqltest.Server, cancel context.CancelFunc) error{
		"error":  func(*mssqltest.Server, context.CancelFunc) error { return errors.New("made up") },
		"killed": func(srv *mssqltest.Server, _ context.CancelFunc) error { srv.KillAll(); return nil },
		"closed": func(_ *mssqltest.Server, cancel context.CancelFunc) error { cancel(); return nil },
	} {
		t.Run(kind, func(t *testing.T) {
			srv, db := tracked(t, mssqltest.Options{})
			l := born(t, srv, db, map[string]string{"streaming.fetch.size": "2", "max.iteration.transactions": "2", "max.batch.size": "3"})
			from := l.pos
			var want []string
			for i := range 7 {
				tx := db.Begin()
				check(t, tx.Insert("dbo.t", i, i), tx.Insert("dbo.u", i, i), tx.Update("dbo.t", "v = 9", "id = @p1", i))
				_, err := tx.Commit()
				check(t, err)
				want = append(want, fmt.Sprintf("c crm.t %d,%d", i, i), fmt.Sprintf("c crm.u %d,%d", i, i), fmt.Sprintf("u crm.t %d,%d %d,9", i, i, i))
			}
			before := goleak.IgnoreCurrent()
			hit := true
			for bad := 1; hit; bad++ {
				if bad > 400 {
					t.Fatal("the statements have no end")
				}
				var n atomic.Int32
				l.got, l.errors, l.pos = nil, nil, slices.Clone(from)
				hit = false
				ctx, cancel := context.WithCancel(t.Context())
				l.o.Wires = hooked{fail: func(string) error {
					if int(n.Add(1)) != bad {
						return nil
					}
					hit = true
					return act(srv, cancel)
				}}.wires()
				l.interrupted(ctx, len(want))
				cancel()
				l.o.Wires = nil
				for k := 0; len(l.got) < len(want) && k < 5; k++ {
					l.live(100, len(want))
				}
				l.want(want)
				if t.Failed() {
					t.Fatalf("with statement %d", bad)
				}
			}
			closed(t, srv)
			goleak.VerifyNone(t, before)
		})
	}
}

// interrupted is a life that ends with a context, or with so many changes.
func (l *lives) interrupted(ctx context.Context, changes int) {
	l.t.Helper()
	s, err := New(l.o, slog.New(slog.DiscardHandler))
	check(l.t, err)
	if err := s.Open(ctx, l.pos); err != nil {
		return
	}
	defer func() { check(l.t, s.Close()) }()
	for len(l.got) < changes {
		b, err := s.Next(ctx)
		if err != nil {
			return
		}
		for i := range b.List {
			if b.List[i].Table != nil {
				l.got = append(l.got, texts(&b.List[i]))
			}
		}
		l.pos = append(l.pos[:0], b.End...)
	}
}

// closed waits until the model has no connections.
func closed(t *testing.T, srv *mssqltest.Server) {
	t.Helper()
	for since := time.Now(); len(srv.Sessions()) > 0; time.Sleep(time.Millisecond) {
		if time.Since(since) > 5*time.Second {
			t.Fatalf("connections are left: %+v", srv.Sessions())
		}
	}
}

// numbered inserts rows, each in a transaction.
func numbered(t *testing.T, db *mssqltest.Database, from, to int) (want []string) {
	t.Helper()
	for i := from; i < to; i++ {
		exec(t, db, fmt.Sprintf("INSERT INTO dbo.t VALUES (%d, %d)", i, i))
		want = append(want, fmt.Sprintf("c crm.t %d,%d", i, i))
	}
	return want
}

// TestOneConnectionIsEnough has the server refuse a second connection: the changes are
// read on the first, and that is said once.
func TestOneConnectionIsEnough(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{})
	l := born(t, srv, db, map[string]string{"max.iteration.transactions": "1"})
	want := numbered(t, db, 0, 12)
	var dials atomic.Int32
	l.o.Wires = func(ctx context.Context, _ string, dial func(context.Context) (Wire, error)) (Wire, error) {
		if dials.Add(1) > 1 {
			return nil, errors.New("login refused")
		}
		return dial(ctx)
	}
	s, out := logged(t, l.o)
	check(t, s.Open(t.Context(), l.pos))
	for len(l.got) < len(want) {
		events, _ := next(t, s)
		l.got = append(l.got, events...)
	}
	l.want(want)
	if n := dials.Load(); n != 2 || strings.Count(out.String(), "there is no further connection") != 1 {
		t.Errorf("%d connections were tried:\n%s", n, out)
	}
}

// TestTwoConnections has the second be made when there is more than one iteration to
// read, and not before.
func TestTwoConnections(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{})
	l := born(t, srv, db, map[string]string{"max.iteration.transactions": "2"})
	s := open(t, l.o, l.pos)
	want := numbered(t, db, 0, 1)
	for len(l.got) < 1 {
		events, _ := next(t, s)
		l.got = append(l.got, events...)
	}
	if n := len(srv.Sessions()); n != 1 {
		t.Errorf("%d connections for a change", n)
	}
	tx := db.Begin() // the agent captures it all at once
	srv.StopAgent()
	tx.Rollback()
	want = append(want, numbered(t, db, 1, 20)...)
	srv.StartAgent()
	for len(l.got) < len(want) {
		events, _ := next(t, s)
		l.got = append(l.got, events...)
	}
	l.want(want)
	if n := len(srv.Sessions()); n != 2 {
		t.Errorf("%d connections for many changes", n)
	}
}

// TestNextIterationFails has the iteration that is read ahead fail, while the one before
// it waits to be taken: that one is told, with its position, and then the error.
func TestNextIterationFails(t *testing.T) {
	for name, match := range map[string]string{"planning": "lsn_time_mapping WHERE start_lsn >=", "pages": "[dbo_t_CT]", "low ends": "SELECT sys.fn_cdc_get_min_lsn"} {
		t.Run(name, func(t *testing.T) {
			srv, db := tracked(t, mssqltest.Options{})
			l := born(t, srv, db, map[string]string{"max.iteration.transactions": "3"})
			want := numbered(t, db, 0, 9)
			var mu sync.Mutex
			wires, failed := 0, false
			plain := hooked{fail: func(string) error { return nil }}.wires()
			bad := hooked{fail: func(q string) error {
				if strings.Contains(q, match) {
					failed = true
					return errors.New("made up")
				}
				return nil
			}}.wires()
			l.o.Wires = func(ctx context.Context, database string, dial func(context.Context) (Wire, error)) (Wire, error) {
				mu.Lock()
				defer mu.Unlock()
				if wires++; wires == 2 {
					return bad(ctx, database, dial)
				}
				return plain(ctx, database, dial)
			}
			l.live(100, len(want))
			l.want(want[:3])
			if !failed || len(l.errors) != 1 || !strings.Contains(l.errors[0].Error(), "made up") {
				t.Fatalf("ended with %v", l.errors)
			}
			l.o.Wires = nil
			l.live(100, len(want))
			l.want(want)
		})
	}
}

// between runs act when the second iteration is about to be planned, while the first
// is read.
func (l *lives) between(act func()) {
	planned := 0
	l.o.Wires = hooked{before: func(q string) {
		if strings.HasPrefix(q, "SELECT ct.object_id, ct.capture_instance") {
			if planned++; planned == 3 { // Open lists them too
				act()
			}
		}
	}}.wires()
}

// TestInstancesBetweenIterations has the capture instances of a table change between the
// planning of two iterations that are read at the same time.
func TestInstancesBetweenIterations(t *testing.T) {
	begin := func(t *testing.T) (*mssqltest.Database, *lives, []string) {
		t.Helper()
		srv, db := tracked(t, mssqltest.Options{})
		l := born(t, srv, db, map[string]string{"max.iteration.transactions": "3", "streaming.fetch.size": "2", "max.batch.size": "2"})
		return db, l, numbered(t, db, 0, 9)
	}
	t.Run("made", func(t *testing.T) {
		db, l, want := begin(t)
		l.between(func() {
			check(t, db.EnableTable("dbo", "t", "dbo_t_2"))
			want = append(want, numbered(t, db, 9, 15)...)
		})
		l.live(1000, 15)
		l.want(want)
	})
	t.Run("made with a new column", func(t *testing.T) {
		db, l, want := begin(t)
		l.between(func() {
			exec(t, db, "ALTER TABLE dbo.t ADD more int NULL")
			check(t, db.EnableTable("dbo", "t", "dbo_t_2"))
			exec(t, db, "INSERT INTO dbo.t VALUES (9, 9, 5)")
			want = append(want, "c crm.t 9,9,5")
		})
		l.live(1000, 10)
		l.want(want)
	})
	t.Run("made, then the old one dropped", func(t *testing.T) {
		db, l, want := begin(t)
		l.between(func() {
			check(t, db.EnableTable("dbo", "t", "dbo_t_2"))
			want = append(want, numbered(t, db, 9, 15)...)
		})
		for n := 0; len(l.got) < 10 && n < 100; n++ {
			l.live(1, 15)
		}
		check(t, db.DisableTable("dbo_t"))
		for n := 0; len(l.got) < 15 && n < 100; n++ {
			l.live(2, 15)
		}
		l.want(want)
	})
	t.Run("dropped", func(t *testing.T) {
		db, l, want := begin(t)
		l.between(func() { check(t, db.DisableTable("dbo_t")) })
		l.live(1000, 9)
		if len(l.errors) != 1 || !fault.NeedsHuman(l.errors[0]) || !strings.Contains(l.errors[0].Error(), "dbo_t of database crm was dropped") {
			t.Errorf("ended with %v", l.errors)
		}
		l.want(want[:len(l.got)]) // as many as had been read
	})
	t.Run("a column altered", func(t *testing.T) {
		db, l, want := begin(t)
		l.between(func() {
			exec(t, db, "ALTER TABLE dbo.t ALTER COLUMN v bigint NOT NULL", "INSERT INTO dbo.t VALUES (9, 5000000000)")
			want = append(want, "c crm.t 9,5000000000")
		})
		l.live(1000, 10)
		l.want(want)
	})
	t.Run("cleaned up", func(t *testing.T) {
		db, l, want := begin(t)
		low := db.MaxLSN()
		l.between(func() { check(t, db.Cleanup("", low)) })
		l.live(1000, 9)
		if len(l.errors) != 1 || !fault.NeedsHuman(l.errors[0]) || !strings.Contains(l.errors[0].Error(), "have been removed") {
			t.Errorf("ended with %v", l.errors)
		}
		l.want(want[:len(l.got)])
	})
}

// TestNewInstanceCleanedUp has the clean-up remove changes of a capture instance that
// has begun after the position, before and between the pages in which it is read, and
// before it is seen at all: that is an error, as with one that was there before.
func TestNewInstanceCleanedUp(t *testing.T) {
	for page := range 4 {
		t.Run(fmt.Sprint(page), func(t *testing.T) {
			var passed atomic.Int64
			began := time.Now()
			srv, db := tracked(t, mssqltest.Options{Clock: func() time.Time { return began.Add(time.Duration(passed.Load())) }})
			exec(t, db, "CREATE TABLE dbo.w (id int NOT NULL PRIMARY KEY)")
			l := born(t, srv, db, map[string]string{"streaming.fetch.size": "2"})
			clean := func() {
				passed.Store(int64(time.Hour))
				exec(t, db, "INSERT INTO dbo.w VALUES (100)")
				check(t, db.Cleanup("dbo_w", db.MaxLSN()))
			}
			write := func() (want []string) {
				check(t, db.EnableTable("dbo", "w", ""))
				for i := range 8 {
					exec(t, db, fmt.Sprintf("INSERT INTO dbo.w VALUES (%d)", i))
					want = append(want, fmt.Sprintf("c crm.w %d", i))
				}
				return want
			}
			var want []string
			pages, lists := 0, 0
			l.o.Wires = hooked{before: func(q string) {
				switch {
				case strings.HasPrefix(q, "SELECT ct.object_id, ct.capture_instance"):
					if lists++; lists == 2 && page == 0 { // Open has seen no such instance
						want = write()
						clean()
					}
				case strings.Contains(q, "[dbo_w_CT]") && !strings.Contains(q, "@p4"):
					if pages++; pages == page {
						clean()
					}
				}
			}}.wires()
			if page > 0 {
				want = write()
			} else {
				exec(t, db, "INSERT INTO dbo.t VALUES (0, 0)")
			}
			l.live(1000, 1000)
			if len(l.errors) != 1 || !fault.NeedsHuman(l.errors[0]) || !strings.Contains(l.errors[0].Error(), "changes of crm.dbo.w") {
				t.Errorf("ended with %v after %v", l.errors, l.got)
			}
			if page > 0 {
				l.want(want[:min(len(l.got), len(want))])
			}
		})
	}
}

// TestSwitchWithoutChanges has a table get a further capture instance, and the log go on
// without a change of it: that is told all the same, as whoever waits for it must not
// wait for the next change.
func TestSwitchWithoutChanges(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{})
	l := born(t, srv, db, nil)
	s, out := logged(t, l.o)
	check(t, s.Open(t.Context(), l.pos))
	check(t, db.EnableTable("dbo", "t", "dbo_t_2"))
	db.Idle()
	told := func() int { return strings.Count(out.String(), "further capture instance") }
	for since := time.Now(); told() == 0; time.Sleep(time.Millisecond) {
		if time.Since(since) > 5*time.Second {
			t.Fatal("it is not told")
		}
	}
	want := numbered(t, db, 0, 1)
	for len(l.got) < 1 {
		events, _ := next(t, s)
		l.got = append(l.got, events...)
	}
	l.want(want)
	if told() != 1 {
		t.Error(out)
	}
}

// TestIterationsAreAboutPages holds how many transactions an iteration has against what
// the last one had.
func TestIterationsAreAboutPages(t *testing.T) {
	for _, c := range []struct{ most, page, rows, transactions, want int }{
		{500, 0, 0, 0, 16}, {500, 0, 16, 16, 500}, {0, 0, 16, 16, 8192}, {500, 0, 100000, 1, 1}, {500, 0, 8192, 16, 16}, {500, 0, 16384, 16, 8},
		{1, 0, 1, 1, 1}, {3, 0, 0, 0, 3}, {0, 1, 1, 1, 1}, {500, 100, 50, 10, 20},
		{500, 0, 0, 16, 32}, {500, 0, 0, 300, 500}, {0, 0, 0, 1000, 2000}, // of tables that are not captured
	} {
		o := &Options{MaxTransactions: c.most, StreamRows: c.page}
		x := &course{database: &database{cfg: &settings{Options: o}}, rows: c.rows, transactions: c.transactions}
		if got := x.top(); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

// TestPagesAreBoundedByBytes has the size of rows, not streaming.fetch.size, end pages:
// the server is asked for about as many as fit, and few more are kept.
func TestPagesAreBoundedByBytes(t *testing.T) {
	srv := serve(t, mssqltest.Options{})
	db := srv.DB("crm")
	exec(t, db, "EXEC sys.sp_cdc_enable_db", "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, v nvarchar(max) NOT NULL)")
	check(t, db.EnableTable("dbo", "t", ""))
	l := born(t, srv, db, map[string]string{"max.batch.size.in.bytes": "200000", "max.iteration.transactions": "0"})
	big := strings.Repeat("x", 40_000)
	var want []string
	tx := db.Begin()
	for i := range 60 {
		check(t, tx.Insert("dbo.t", i, big))
		want = append(want, fmt.Sprintf("c crm.t %d,%s", i, big))
	}
	_, err := tx.Commit()
	check(t, err)
	pages, rows, most := 0, 0, 0
	l.o.Wires = hooked{
		before: func(q string) {
			if strings.Contains(q, "[dbo_t_CT]") {
				pages, rows = pages+1, 0
			}
		},
		row: func(q string, _ []driver.Value) {
			if strings.Contains(q, "[dbo_t_CT]") {
				rows++
				most = max(most, rows)
			}
		},
	}.wires()
	l.live(1000, len(want))
	l.want(want)
	if most > 8 || pages > 30 {
		t.Errorf("%d rows in a query of %d", most, pages)
	}
}
