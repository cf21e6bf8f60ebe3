package sqlserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tributary/capture"
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
	for seed := range uint64(16) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7))
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
		exec(t, db, fmt.Sprintf("INSERT INTO dbo.t (id, v) VALUES (%d, %d)", i, i))
		want = append(want, fmt.Sprintf("c crm.t %d,%d", i, i))
	}
	return want
}

// TestRowsOfOnePlace has rows of a transaction that nothing tells apart but their
// order: pages and lives end between them, and each is told once.
func TestRowsOfOnePlace(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{})
	l := born(t, srv, db, map[string]string{"streaming.fetch.size": "3", "max.batch.size": "4"})
	tx := db.Begin()
	var want []string
	for i := range 15 {
		check(t, tx.Insert("dbo.t", i, i))
		want = append(want, fmt.Sprintf("c crm.t %d,%d", i, i))
	}
	_, err := tx.Commit()
	check(t, err)
	want = append(want, numbered(t, db, 15, 17)...)
	same := strings.NewReplacer("c.[__$seqval]", "CAST(0x00000000000000000001 AS binary(10))", "c.[__$command_id]", "CAST(0 AS int)")
	l.o.Wires = hooked{text: func(q string) string {
		if what, order, ok := strings.Cut(q, " ORDER BY "); ok && strings.Contains(q, "[dbo_t_CT]") {
			return same.Replace(what) + " ORDER BY " + order
		}
		return q
	}}.wires()
	for n := 0; len(l.got) < len(want) && n < 50; n++ {
		l.live(1, len(want))
	}
	l.want(want)
}

// TestLivesOfTwoDatabases ends a source of two databases again and again: the changes of
// each come once, in the order of its log.
func TestLivesOfTwoDatabases(t *testing.T) {
	srv, crm := tracked(t, mssqltest.Options{Databases: []string{"crm", "ems"}})
	ems := srv.DB("ems")
	exec(t, ems, "EXEC sys.sp_cdc_enable_db", "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, v int NOT NULL)")
	check(t, ems.EnableTable("dbo", "t", ""))
	exec(t, ems, "INSERT INTO dbo.t VALUES (-1, -1)")
	l := born(t, srv, crm, map[string]string{"database.names": "crm,ems", "max.iteration.transactions": "2", "max.batch.size": "3", "streaming.fetch.size": "2"})
	want := numbered(t, crm, 0, 20)
	for _, text := range numbered(t, ems, 0, 13) {
		want = append(want, strings.Replace(text, "crm", "ems", 1))
	}
	for n := 0; len(l.got) < len(want) && n < 100; n++ {
		l.live(1+n%4, len(want))
	}
	slices.SortStableFunc(l.got, func(a, b string) int { return strings.Compare(a[:5], b[:5]) }) // by database
	l.want(want)
}
