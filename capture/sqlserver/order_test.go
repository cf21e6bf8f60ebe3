package sqlserver

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tributary/capture"
	"tributary/internal/fault"
	"tributary/internal/mssqltest"
)

// TestOrderOfCommands has sequence values that fall while the commands go on: within
// a change table, across two, over pages, and in a new life after every batch.
func TestOrderOfCommands(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{SeqvalsReversed: true})
	o := optionsFor(t, srv, map[string]string{"streaming.fetch.size": "3", "max.batch.size": "2"})
	s := open(t, o, nil)
	pos := past(t, s)
	check(t, s.Close())
	tx := db.Begin()
	var want, got []string
	for i := range 10 {
		check(t, tx.Insert("dbo.u", i, i), tx.Insert("dbo.t", i, i), tx.Update("dbo.t", "v = v + 100", "id = @p1", i), tx.Update("dbo.u", "id = id + 50", "id = @p1", i))
		want = append(want, fmt.Sprintf("c crm.u %d,%d", i, i), fmt.Sprintf("c crm.t %d,%d", i, i), fmt.Sprintf("u crm.t %d,%d %d,%d", i, i, i, i+100), fmt.Sprintf("d crm.u %d,%d", i, i), fmt.Sprintf("c crm.u %d,%d", i+50, i))
	}
	_, err := tx.Commit()
	check(t, err)
	for len(got) < len(want) {
		s = open(t, o, pos)
		events, end := next(t, s)
		got = append(got, events...)
		if len(end) > 0 {
			pos = end
		}
		check(t, s.Close())
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestCleanupWhileReading has the clean-up remove rows just before a page of them is
// read: they come, or the source ends with an error; none is passed over.
func TestCleanupWhileReading(t *testing.T) {
	for page := 1; page <= 4; page++ {
		t.Run(fmt.Sprintf("page %d", page), func(t *testing.T) {
			srv, db := tracked(t, mssqltest.Options{})
			exec(t, db, "INSERT INTO dbo.t VALUES (-1, 0)") // else nothing is captured, and there is no position
			o := optionsFor(t, srv, map[string]string{"streaming.fetch.size": "2", "max.batch.size": "1"})
			s := open(t, o, nil)
			pos := past(t, s)
			check(t, s.Close())
			for i := range 20 {
				exec(t, db, fmt.Sprintf("INSERT INTO dbo.t VALUES (%d, %d)", i, i))
			}
			low := db.MaxLSN()
			var pages atomic.Int32
			o.Wires = hooked{before: func(q string) {
				// A page behind another is what is left of a transaction, and what follows it.
				if strings.Contains(q, "[dbo_t_CT]") && !strings.Contains(q, "@p4") && int(pages.Add(1)) == page {
					check(t, db.Cleanup("", low))
				}
			}}.wires()
			got, err := fails(t, open(t, o, pos))
			if !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "have been removed") {
				t.Errorf("error %v", err)
			}
			if len(got) > 2*page {
				t.Errorf("%d changes of %d pages: %v", len(got), page, got)
			}
			for i, e := range got {
				if e != fmt.Sprintf("c crm.t %d,%d", i, i) {
					t.Errorf("%s in place %d", e, i)
				}
			}
		})
	}
}

// TestLocksOfSnapshots has others write while a snapshot finds its position, and
// while it reads.
func TestLocksOfSnapshots(t *testing.T) {
	for _, c := range []struct {
		mode, locking  string
		finds, updates bool // nobody writes then; nobody changes what was read then
		inserts        bool // nobody inserts then
	}{
		{"repeatable_read", "exclusive", true, true, false},
		{"exclusive", "exclusive", true, true, true},
		{"exclusive", "none", false, true, false},
		{"repeatable_read", "none", false, true, false},
		{"snapshot", "exclusive", false, false, false},
		{"read_committed", "exclusive", false, false, false},
	} {
		t.Run(c.mode+" "+c.locking, func(t *testing.T) {
			srv, db := tracked(t, mssqltest.Options{})
			check(t, db.AllowSnapshot(true))
			for i := range 6 {
				exec(t, db, fmt.Sprintf("INSERT INTO dbo.t VALUES (%d, 0)", i))
			}
			locked := func(q string) bool {
				err := db.Exec("SET LOCK_TIMEOUT 0; " + q)
				if err != nil && !strings.Contains(err.Error(), "Lock request time out") {
					t.Errorf("%s: %v", q, err)
				}
				return err != nil
			}
			var finds, updates, inserts []bool
			chunks := 0
			began := false
			o := optionsFor(t, srv, map[string]string{"snapshot.isolation.mode": c.mode, "snapshot.locking.mode": c.locking, "snapshot.fetch.size": "2", "table.include.list": "dbo.t"})
			o.Wires = hooked{before: func(q string) {
				switch {
				case chunks == 0 && q == "SELECT sys.fn_cdc_get_max_lsn()" && began:
					finds = append(finds, locked("INSERT INTO dbo.t VALUES (100, 0)"))
				case strings.Contains(q, "FROM sys.partitions"): // the snapshot begins
					began = true
				case strings.Contains(q, "FROM [dbo].[t] WHERE"):
					if chunks++; chunks == 1 {
						updates = append(updates, locked("UPDATE dbo.t SET v = 1 WHERE id = 0"))
						inserts = append(inserts, locked("INSERT INTO dbo.t VALUES (200, 0)"))
					}
				}
			}}.wires()
			past(t, open(t, o, nil))
			if !slices.Equal(finds, []bool{c.finds}) || !slices.Equal(updates, []bool{c.updates}) || !slices.Equal(inserts, []bool{c.inserts}) {
				t.Errorf("locked while it finds its position %v, against updates %v, against inserts %v", finds, updates, inserts)
			}
			since := time.Now() // the last rows come before the transaction ends
			for locked("UPDATE dbo.t SET v = 2 WHERE id = 0") || locked("DELETE FROM dbo.t WHERE id = 1") {
				if time.Since(since) > 10*time.Second {
					t.Fatal("the snapshot is done, its locks are not")
				}
			}
		})
	}
}

// TestLockTimeout has somebody hold the table for longer than the snapshot waits.
func TestLockTimeout(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{})
	tx := db.Begin()
	check(t, tx.Insert("dbo.t", 1, 1))
	defer tx.Rollback()
	s, err := New(optionsFor(t, srv, map[string]string{"snapshot.lock.timeout.ms": "30"}), slog.New(slog.DiscardHandler))
	check(t, err, s.Open(t.Context(), nil))
	defer func() { check(t, s.Close()) }()
	if _, err := fails(t, s); err == nil || fault.NeedsHuman(err) || !strings.Contains(err.Error(), "lock table crm.dbo.t") || !strings.Contains(err.Error(), "snapshot.lock.timeout.ms") {
		t.Errorf("error %v", err)
	}
}

// TestIdleMarks are rows of lsn_time_mapping without a transaction: for them no change
// table is read, and they are no loss where an instance was dropped.
func TestIdleMarks(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{})
	exec(t, db, "INSERT INTO dbo.t VALUES (1, 1)")
	o := optionsFor(t, srv, map[string]string{"heartbeat.interval.ms": "10", "poll.interval.ms": "5"})
	var read atomic.Int32
	o.Wires = hooked{before: func(q string) {
		if strings.Contains(q, "_CT]") {
			read.Add(1)
		}
	}}.wires()
	s := open(t, o, nil)
	past(t, s)
	read.Store(0)
	var pos capture.Position
	for idle := db.Idle(); !strings.Contains(string(pos), idle.String()); {
		if _, end := next(t, s); len(end) > 0 {
			pos = end
		}
	}
	if n := read.Load(); n != 0 {
		t.Errorf("change tables were read %d times for an idle mark", n)
	}
	check(t, s.Close())
	db.Idle()
	check(t, db.DisableTable("dbo_t"))
	s = open(t, o, pos)
	exec(t, db, "INSERT INTO dbo.u VALUES (1, 1)")
	for events := []string(nil); !slices.Contains(events, "c crm.u 1,1"); {
		events, _ = next(t, s)
	}
}
