package sqlserver

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strings"
	"testing"
	"time"

	"tributary/envelope"
	"tributary/internal/fault"
	"tributary/internal/mssqltest"
)

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
// has begun after the position, before and between the pages in which it is read: that
// is an error, as with one that was there before.
func TestNewInstanceCleanedUp(t *testing.T) {
	for page := 1; page < 4; page++ {
		t.Run(fmt.Sprint(page), func(t *testing.T) {
			srv, db := tracked(t, mssqltest.Options{})
			exec(t, db, "CREATE TABLE dbo.w (id int NOT NULL PRIMARY KEY)")
			l := born(t, srv, db, map[string]string{"streaming.fetch.size": "2"})
			check(t, db.EnableTable("dbo", "w", ""))
			var want []string
			for i := range 8 {
				exec(t, db, fmt.Sprintf("INSERT INTO dbo.w VALUES (%d)", i))
				want = append(want, fmt.Sprintf("c crm.w %d", i))
			}
			pages := 0
			l.o.Wires = hooked{before: func(q string) {
				if strings.Contains(q, "[dbo_w_CT]") && !strings.Contains(q, "@p4") {
					if pages++; pages == page {
						check(t, db.Cleanup("dbo_w", db.MaxLSN()))
					}
				}
			}}.wires()
			l.live(1000, 1000)
			if len(l.errors) != 1 || !fault.NeedsHuman(l.errors[0]) || !strings.Contains(l.errors[0].Error(), "changes of crm.dbo.w") {
				t.Errorf("ended with %v after %v", l.errors, l.got)
			}
			l.want(want[:min(len(l.got), len(want))])
		})
	}
}

// TestNewInstanceMovesUp has the low end of a new capture instance move up between two
// iterations, of which only the second is to read it.
func TestNewInstanceMovesUp(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{})
	exec(t, db, "CREATE TABLE dbo.w (id int NOT NULL PRIMARY KEY)")
	l := born(t, srv, db, map[string]string{"max.iteration.transactions": "3"})
	numbered(t, db, 0, 3)
	check(t, db.EnableTable("dbo", "w", ""))
	for i := range 8 {
		exec(t, db, fmt.Sprintf("INSERT INTO dbo.w VALUES (%d)", i))
	}
	l.between(func() { check(t, db.Cleanup("dbo_w", db.MaxLSN())) })
	l.live(1000, 1000)
	if len(l.errors) != 1 || !fault.NeedsHuman(l.errors[0]) || !strings.Contains(l.errors[0].Error(), "changes of crm.dbo.w") {
		t.Errorf("ended with %v after %v", l.errors, l.got)
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

// TestSwitchAtACommit has a further capture instance begin with a transaction that both
// have: it comes once, of the newer one.
func TestSwitchAtACommit(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{})
	l := born(t, srv, db, nil)
	want := numbered(t, db, 0, 3)
	exec(t, db, "ALTER TABLE dbo.t ADD more int NULL")
	check(t, db.EnableTable("dbo", "t", "dbo_t_2"))
	want = append(want, numbered(t, db, 3, 5)...)
	begins := db.MaxLSN()
	want = append(want[:4], "c crm.t 4,4,")
	l.o.Wires = hooked{row: func(q string, v []driver.Value) {
		if strings.HasPrefix(q, "SELECT ct.object_id, ct.capture_instance") && asText(v[1]) == "dbo_t_2" {
			v[2] = begins.Bytes()
		}
	}}.wires()
	l.live(1000, len(want))
	l.want(want)
}

// TestSourceOfASwitch has the event of a further capture instance tell of the last change
// before it, be that of an iteration that is done.
func TestSourceOfASwitch(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{})
	l := born(t, srv, db, nil)
	s := open(t, l.o, l.pos)
	numbered(t, db, 0, 1)
	var last envelope.Source
	for done := false; !done; {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		b, err := s.Next(ctx)
		cancel()
		check(t, err)
		for i := range b.List {
			switch c := &b.List[i]; c.Op {
			case envelope.Create:
				last = c.Source
				check(t, db.EnableTable("dbo", "t", "dbo_t_2"))
				db.Idle()
			case envelope.DDL:
				done = true
				if x := c.Source; x.CommitLSN != last.CommitLSN || x.ChangeLSN != last.ChangeLSN || x.SerialNo != 1 {
					t.Errorf("%+v, want %+v", x, last)
				}
			}
		}
	}
}
