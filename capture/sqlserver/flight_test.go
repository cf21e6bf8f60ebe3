package sqlserver

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tributary/internal/mssqltest"
)

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

// TestLimitOfAPage has the server be asked for no more rows than are kept.
func TestLimitOfAPage(t *testing.T) {
	for _, c := range []struct{ fetch, bytes, row, want int }{{0, 1000, 0, 8192}, {7, 1000, 0, 7}, {0, 1000, 10, 100}, {7, 1000, 10, 7}, {0, 1000, 5000, 1}} {
		p := &pages{in: &instance{}, d: &database{cfg: &settings{Options: &Options{StreamRows: c.fetch}}}, bytes: c.bytes}
		p.in.rowSize.Store(int64(c.row))
		if got := p.limit(); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

// TestErrorEndsWhatIsRead has an iteration fail while the server takes its time over the
// next one: nobody waits for that.
func TestErrorEndsWhatIsRead(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{})
	l := born(t, srv, db, map[string]string{"max.iteration.transactions": "1"})
	numbered(t, db, 0, 5)
	begun, dials := make(chan struct{}), 0
	l.o.Wires = func(ctx context.Context, database string, dial func(context.Context) (Wire, error)) (Wire, error) {
		dials++
		second := dials == 2
		return hooked{fail: func(q string) error {
			if !strings.Contains(q, "[dbo_t_CT]") {
				return nil
			}
			if second {
				close(begun)
				return nil
			}
			<-begun
			return errors.New("made up")
		}}.wires()(ctx, database, dial)
	}
	srv.Inject(mssqltest.Fault{Match: "[dbo_t_CT]", Delay: time.Minute})
	began := time.Now()
	l.live(1, 5)
	if took := time.Since(began); took > 10*time.Second || len(l.errors) != 1 || !strings.Contains(l.errors[0].Error(), "made up") {
		t.Errorf("%v after %v", l.errors, took)
	}
}
