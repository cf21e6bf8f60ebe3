package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"tributary/capture"
	"tributary/capture/capturetest"
	"tributary/envelope"
	"tributary/internal/config"
	"tributary/internal/fault"
	"tributary/internal/testdb"
)

// liveSource makes a Source of db; edit changes its options.
func liveSource(t *testing.T, db *testdb.Database, edit func(*Options)) *Source {
	t.Helper()
	var o Options
	text := fmt.Sprintf("name: live\nconnector.class: postgres\ntopic.prefix: live\ndatabase.hostname: %s\ndatabase.port: %d\ndatabase.user: %s\ndatabase.password: %s\ndatabase.dbname: %s\nslot.name: %[5]s\npublication.name: %[5]s\n",
		db.Host, db.Port, db.User, db.Password, db.Name)
	if err := config.Parse("live.yaml", []byte(text), &o); err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(&o)
	}
	s, err := New(o, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSuite is on every release: the one that is installed, and those that
// tests/setup.sh unpacks.
func TestSuite(t *testing.T) {
	open := map[string]func(testing.TB) *testdb.Database{"installed": testdb.PostgreSQL}
	for _, n := range testdb.Releases() {
		open[fmt.Sprint(n)] = func(t testing.TB) *testdb.Database { return testdb.PostgreSQLRelease(t, n) }
	}
	all := make(map[string]func(t *testing.T) capturetest.Harness)
	for name, f := range open {
		all[name] = func(t *testing.T) capturetest.Harness { return harness(f(t), nil) }
	}
	// As with servers before PostgreSQL 14.
	all["protocol 1"] = func(t *testing.T) capturetest.Harness {
		return harness(testdb.PostgreSQL(t), func(o *Options) { o.Streaming = false })
	}
	capturetest.Together(t, all)
}

func harness(db *testdb.Database, edit func(*Options)) capturetest.Harness {
	return capturetest.Harness{
		DB: db,
		Source: func(t *testing.T, limits capture.Limits, fetchSize int) capture.Source {
			return liveSource(t, db, func(o *Options) {
				o.BatchSize, o.BatchBytes, o.FetchSize = limits.Changes, limits.Bytes, fetchSize
				if edit != nil {
					edit(o)
				}
			})
		},
		Order: func(c *envelope.Change) string { return fmt.Sprintf("%016x", c.Source.LSN) },
	}
}

// open opens s and has it closed when the test ends.
func open(t *testing.T, s *Source, resume capture.Position) {
	t.Helper()
	if err := s.Open(t.Context(), resume); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
}

// TestIdleSlotAdvances: the position, and with it the slot, moves on while
// only tables change that are not captured.
func TestIdleSlotAdvances(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE other (id int)")
	s := liveSource(t, db, func(o *Options) {
		o.IncludeTables, o.Heartbeats = []string{"public.t"}, 50*time.Millisecond
	})
	open(t, s, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	confirmed := func() lsn {
		sl, err := s.life.cat.slot(ctx, s.opts.Slot)
		if err != nil {
			t.Fatal(err)
		}
		return sl.confirmed
	}
	db.MustExec(t, "INSERT INTO other SELECT generate_series(1, 10000)")
	rows, err := db.Query(ctx, "SELECT pg_current_wal_lsn() - '0/0'")
	if err != nil {
		t.Fatal(err)
	}
	for {
		b, err := s.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if len(b.List) > 0 {
			t.Fatalf("%d changes of a table that is not captured", len(b.List))
		}
		if err := s.Ack(ctx, b.End); err != nil {
			t.Fatal(err)
		}
		if p, _ := parsePosition(b.End); p != nil && fmt.Sprint(uint64(p.LSN)) >= rows[0][0] && p.Snapshot == nil {
			break
		}
	}
	for target := rows[0][0]; fmt.Sprint(uint64(confirmed())) < target; {
		if ctx.Err() != nil {
			t.Fatalf("the slot stays at %s, the log is at %s", confirmed(), target)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// TestChangeArrivesAtOnce: nothing polls.
func TestChangeArrivesAtOnce(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE t (id int PRIMARY KEY)")
	s := liveSource(t, db, nil)
	open(t, s, nil)
	if _, err := s.Next(t.Context()); err != nil { // the empty snapshot
		t.Fatal(err)
	}
	var worst time.Duration
	for i := range 20 {
		db.MustExec(t, fmt.Sprintf("INSERT INTO t VALUES (%d)", i))
		began := time.Now()
		for {
			b, err := s.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(b.List) > 0 {
				break
			}
		}
		worst = max(worst, time.Since(began))
	}
	if worst > 300*time.Millisecond {
		t.Errorf("a change took %s", worst)
	}
	t.Logf("longest wait %s", worst)
}

func wantHuman(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Fatalf("error %v, want one with %q", err, text)
	}
	if !fault.NeedsHuman(err) || fault.Hint(err) == "" {
		t.Errorf("error %v is not for a human with a hint", err)
	}
}

// streamed opens a source, lets it come to the stream, and returns the
// position.
func streamed(t *testing.T, s *Source) capture.Position {
	t.Helper()
	all := readAll(t, s, nil, untilStream)
	return all[len(all)-1].end
}

func TestLostLogIsNeverSilent(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE t (id int PRIMARY KEY)")
	s := liveSource(t, db, nil)
	pos := streamed(t, s)
	ctx := t.Context()

	t.Run("another server", func(t *testing.T) {
		p, err := parsePosition(pos)
		if err != nil {
			t.Fatal(err)
		}
		p.System = "1"
		other, err := p.append(nil)
		if err != nil {
			t.Fatal(err)
		}
		wantHuman(t, s.Open(ctx, other), "another server")
	})
	t.Run("another slot", func(t *testing.T) {
		o := liveSource(t, db, func(o *Options) { o.Slot = "other" })
		wantHuman(t, o.Open(ctx, pos), "slot")
	})
	t.Run("damaged position", func(t *testing.T) {
		wantHuman(t, s.Open(ctx, capture.Position(`{"slot":`)), "stored position")
	})
	t.Run("advanced slot", func(t *testing.T) {
		db.MustExec(t, "INSERT INTO t VALUES (1)")
		db.MustExec(t, fmt.Sprintf("SELECT pg_replication_slot_advance('%s', pg_current_wal_lsn())", s.opts.Slot))
		wantHuman(t, s.Open(ctx, pos), "advanced")
	})
	t.Run("dropped slot", func(t *testing.T) {
		db.MustExec(t, fmt.Sprintf("SELECT pg_drop_replication_slot('%s')", s.opts.Slot))
		err := s.Open(ctx, pos)
		wantHuman(t, err, "does not exist")
		for _, way := range []string{"cdc-source offsets reset", "snapshot.mode: when_needed", "cdc-source signal execute-snapshot"} {
			if !strings.Contains(fault.Hint(err), way) {
				t.Errorf("the hint does not name %s: %s", way, fault.Hint(err))
			}
		}
	})
}

func TestRightsAreChecked(t *testing.T) {
	db := testdb.PostgreSQL(t)
	user := db.Name + "_user"
	db.MustExec(t, "CREATE TABLE t (id int PRIMARY KEY)", fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD 'x'", user))
	t.Cleanup(func() {
		_ = db.Exec(context.Background(), fmt.Sprintf("DROP OWNED BY %s", user), fmt.Sprintf("DROP ROLE %s", user))
	})
	try := func() error {
		s := liveSource(t, db, func(o *Options) { o.User, o.Password = user, "x" })
		return errors.Join(s.Open(t.Context(), nil), s.Close())
	}
	wantHuman(t, try(), "may not replicate")
	db.MustExec(t, fmt.Sprintf("ALTER ROLE %s REPLICATION", user))
	wantHuman(t, try(), "may not read public.t")
	db.MustExec(t, fmt.Sprintf("GRANT SELECT ON t TO %s", user))
	wantHuman(t, try(), "CREATE PUBLICATION")
	db.MustExec(t, fmt.Sprintf("CREATE PUBLICATION %s FOR TABLE t", db.Name))
	if err := try(); err != nil {
		t.Errorf("with all rights that it needs: %v", err)
	}
}

func TestWalLevelIsChecked(t *testing.T) {
	s := liveSource(t, testdb.OwnPostgreSQL(t, testdb.Options{Settings: map[string]string{"wal_level": "replica"}}), nil)
	wantHuman(t, s.Open(t.Context(), nil), "wal_level")
}

func TestCheckTellsThePlan(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE bare (v int)")
	s := liveSource(t, db, nil)
	var out strings.Builder
	if err := s.Check(t.Context(), nil, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"public.t to topic live.public.t, 1 columns, key id", "public.bare to topic live.public.bare, 1 columns, no key", "CREATE PUBLICATION", "to be created", "a snapshot, then the log"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	pos := streamed(t, s)
	out.Reset()
	if err := s.Check(t.Context(), pos, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "the log from ") {
		t.Errorf("no stored position in\n%s", out.String())
	}
}

// TestRestartOfTheServer: a crash of the database is a fault that a retry
// heals, and nothing is lost or repeated.
func TestRestartOfTheServer(t *testing.T) {
	db := testdb.OwnPostgreSQL(t, testdb.Options{})
	db.MustExec(t, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
	s := liveSource(t, db, nil)
	pos := streamed(t, s)
	open(t, s, pos)
	if err := db.Kill(); err != nil {
		t.Fatal(err)
	}
	_, err := s.Next(t.Context())
	for err == nil {
		_, err = s.Next(t.Context())
	}
	if fault.NeedsHuman(err) {
		t.Errorf("a crash of the server needs a human: %v", err)
	}
	_ = s.Close()
	if err := db.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	db.MustExec(t, "INSERT INTO t VALUES (2)")
	all := readAll(t, s, pos, func(b *capture.Batch) bool { return len(b.List) > 0 })
	if c := all[len(all)-1].changes; len(c) != 1 || c[0].Op != envelope.Create {
		t.Errorf("after the restart: %v", c)
	}
}
