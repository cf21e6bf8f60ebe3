package postgres

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/capture"
	"tributary/internal/config"
	"tributary/internal/testdb"
)

// sale makes TICKIT's table sale with so many rows.
func sale(b *testing.B, db *testdb.Database, rows int) {
	b.Helper()
	db.MustExec(b, `CREATE TABLE sale (saleid int PRIMARY KEY, listid int NOT NULL, sellerid int NOT NULL, buyerid int NOT NULL, eventid int NOT NULL,
		dateid smallint NOT NULL, qtysold smallint NOT NULL, pricepaid numeric(8,2), commission numeric(8,2), saletime timestamp)`,
		fmt.Sprintf(`INSERT INTO sale SELECT i, i%%192497, i%%49990, (i*7)%%49990, i%%8798, i%%365, i%%8, (i%%100000)/100.0, (i%%15000)/100.0,
			timestamp '2008-01-01' + i * interval '1 second' FROM generate_series(1, %d) i`, rows), "VACUUM ANALYZE sale")
}

func benchSource(b *testing.B, db *testdb.Database, edit func(*Options)) *Source {
	b.Helper()
	var o Options
	text := fmt.Sprintf("name: bench\nconnector.class: postgres\ntopic.prefix: bench\ndatabase.hostname: %s\ndatabase.port: %d\ndatabase.user: %s\ndatabase.password: %s\ndatabase.dbname: %s\nslot.name: %[5]s\npublication.name: %[5]s\n",
		db.Host, db.Port, db.User, db.Password, db.Name)
	if err := config.Parse("bench.yaml", []byte(text), &o); err != nil {
		b.Fatal(err)
	}
	if edit != nil {
		edit(&o)
	}
	s, err := New(o, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// drain takes batches until so many changes have come, and returns the
// position after them.
func drain(b *testing.B, s *Source, at capture.Position, n int) capture.Position {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
	defer cancel()
	if err := s.Open(ctx, at); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for n > 0 {
		batch, err := s.Next(ctx)
		if err != nil {
			b.Fatal(err)
		}
		n -= len(batch.List)
		at = append(at[:0:0], batch.End...)
		if err := s.Ack(ctx, at); err != nil {
			b.Fatal(err)
		}
	}
	return at
}

func perSecond(b *testing.B, rows int) {
	b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
}

const benchRows = 300_000

// BenchmarkSnapshot reads a table; one operation is the whole of it.
func BenchmarkSnapshot(b *testing.B) {
	db := testdb.PostgreSQL(b)
	sale(b, db, benchRows)
	for _, threads := range []int{1, 2, 4} {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			for b.Loop() {
				drain(b, benchSource(b, db, func(o *Options) { o.SnapshotThreads = threads }), nil, benchRows)
			}
			perSecond(b, benchRows)
		})
	}
}

// BenchmarkSnapshotFloor is what the server needs to send the same rows: COPY
// to nowhere.
func BenchmarkSnapshotFloor(b *testing.B) {
	db := testdb.PostgreSQL(b)
	sale(b, db, benchRows)
	conn, err := benchSource(b, db, nil).newCatalog().server.connect(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for b.Loop() {
		if _, err := conn.PgConn().CopyTo(b.Context(), io.Discard, "COPY sale TO STDOUT"); err != nil {
			b.Fatal(err)
		}
	}
	perSecond(b, benchRows)
}

// changes writes half a log of inserts, the rest of updates and deletes.
func changes(b *testing.B, db *testdb.Database, rows int) int {
	b.Helper()
	db.MustExec(b,
		fmt.Sprintf("INSERT INTO sale SELECT 1000000+i, 1, 2, 3, 4, 5, 6, 7.5, 8.5, timestamp '2008-01-01' FROM generate_series(1, %d) i", rows/2),
		fmt.Sprintf("UPDATE sale SET qtysold = 9 WHERE saleid > 1000000 AND saleid <= 1000000+%d", rows*2/5),
		fmt.Sprintf("DELETE FROM sale WHERE saleid > 1000000 AND saleid <= 1000000+%d", rows/10))
	return rows/2 + rows*2/5 + rows/10
}

// BenchmarkLog catches up with a log of large transactions; one operation is
// the whole of it.
func BenchmarkLog(b *testing.B) {
	for name, streaming := range map[string]bool{"streamed": true, "whole": false} {
		b.Run(name, func(b *testing.B) {
			db := testdb.PostgreSQL(b)
			sale(b, db, 1)
			edit := func(o *Options) { o.Streaming = streaming }
			pos := drain(b, benchSource(b, db, edit), nil, 1)
			n := changes(b, db, benchRows)
			for b.Loop() {
				s := benchSource(b, db, edit)
				drainAgain(b, s, pos, n)
			}
			perSecond(b, n)
		})
	}
}

// drainAgain is drain without acknowledging, so that it can be done again.
func drainAgain(b *testing.B, s *Source, at capture.Position, n int) {
	b.Helper()
	if err := s.Open(b.Context(), at); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for n > 0 {
		batch, err := s.Next(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		n -= len(batch.List)
	}
}

// BenchmarkLargeTransaction follows one transaction of 1 GB and reports the
// most memory that it took, of the heap.
func BenchmarkLargeTransaction(b *testing.B) {
	db := testdb.PostgreSQL(b)
	db.MustExec(b, "CREATE TABLE t (id int PRIMARY KEY, v text)", "ALTER TABLE t ALTER v SET STORAGE EXTERNAL", "INSERT INTO t VALUES (0)")
	const rows, width = 250_000, 4000
	edit := func(o *Options) { o.SpoolDir = b.TempDir() }
	pos := drain(b, benchSource(b, db, edit), nil, 1)
	db.MustExec(b, fmt.Sprintf("INSERT INTO t SELECT i, repeat('x', %d) FROM generate_series(1, %d) i", width, rows))
	var peak uint64
	for b.Loop() {
		s := benchSource(b, db, edit)
		if err := s.Open(b.Context(), pos); err != nil {
			b.Fatal(err)
		}
		for n := 0; n < rows; {
			batch, err := s.Next(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			n += len(batch.List)
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapInuse)
		}
		_ = s.Close()
	}
	b.SetBytes(rows * width)
	b.ReportMetric(float64(peak)/(1<<20), "heap-MB")
}

// BenchmarkLogFloor is pg_recvlogical on the same log.
func BenchmarkLogFloor(b *testing.B) {
	db := testdb.PostgreSQL(b)
	sale(b, db, 1)
	s := benchSource(b, db, nil)
	drain(b, s, nil, 1)
	n := changes(b, db, benchRows)
	programs, err := filepath.Glob("/usr/lib/postgresql/*/bin/pg_recvlogical")
	if err != nil || len(programs) == 0 {
		b.Fatal("pg_recvlogical is not installed: apt-get install postgresql-15")
	}
	rows, err := db.Query(b.Context(), "SELECT pg_current_wal_lsn()")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		// Its own slot position moves on: make one for each run from the same log.
		copied := s.opts.Slot + "_f"
		db.MustExec(b, fmt.Sprintf("SELECT pg_copy_logical_replication_slot('%s', '%s')", s.opts.Slot, copied))
		cmd := exec.CommandContext(b.Context(), programs[0], "-h", db.Host, "-p", fmt.Sprint(db.Port), "-U", db.User, "-d", db.Name,
			"--slot", copied, "--start", "--endpos", rows[0][0], "-o", "proto_version=1", "-o", "publication_names="+s.opts.Publication, "-f", os.DevNull)
		cmd.Env = append(os.Environ(), "PGPASSWORD="+db.Password)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		db.MustExec(b, fmt.Sprintf("SELECT pg_drop_replication_slot('%s')", copied))
	}
	perSecond(b, n)
}

// BenchmarkLatency is the time from the commit of a change to its batch, at
// 1,000 changes a second.
func BenchmarkLatency(b *testing.B) {
	db := testdb.PostgreSQL(b)
	db.MustExec(b, "CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz)", "INSERT INTO t VALUES (0, now())")
	s := benchSource(b, db, nil)
	pos := drain(b, s, nil, 1)
	if err := s.Open(b.Context(), pos); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	conn, err := s.newCatalog().server.connect(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	go func() {
		next := time.NewTicker(time.Millisecond)
		defer next.Stop()
		for i := 1; ctx.Err() == nil; i++ {
			<-next.C
			if _, err := conn.Exec(ctx, "INSERT INTO t VALUES ($1, now())", i); err != nil {
				return
			}
		}
	}()
	var waits []time.Duration
	for b.Loop() {
		for n := 0; n < 1000; {
			batch, err := s.Next(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			now := time.Now()
			for i := range batch.List {
				waits = append(waits, now.Sub(time.Unix(0, batch.List[i].Source.TsNs)))
			}
			n += len(batch.List)
		}
	}
	slices.Sort(waits)
	b.ReportMetric(float64(waits[len(waits)/2].Microseconds())/1e3, "p50-ms")
	b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds())/1e3, "p99-ms")
}

// BenchmarkStart is the time from Open to the first row of a snapshot.
func BenchmarkStart(b *testing.B) {
	db := testdb.PostgreSQL(b)
	db.MustExec(b, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
	for b.Loop() {
		s := benchSource(b, db, nil)
		drain(b, s, nil, 1)
		db.MustExec(b, strings.ReplaceAll("SELECT pg_drop_replication_slot('$')", "$", s.opts.Slot))
	}
}
