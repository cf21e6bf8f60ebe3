package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tributary/internal/testdb"
)

// rowBytes are those of a row of the large transaction.
const rowBytes = 1024

// large has one transaction of so many MB of rows pass through cdc-source on
// PostgreSQL, and tells what memory it takes: while the server sends it before its
// commit, and while it is decoded and written to Kafka.
func large(ctx context.Context, o options, s *stack, megabytes int) (err error) {
	// The transaction is decoded by the server in memory until it is larger than
	// logical_decoding_work_mem; then it is streamed.
	d, err := testdb.StartPostgreSQL(ctx, testdb.Options{Settings: map[string]string{"shared_buffers": "256MB", "max_wal_size": "4GB"}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Stop()) }()
	db := &database{server: d, schema: "public", name: "postgres"}
	if err := d.Exec(ctx, "CREATE TABLE big (id bigint PRIMARY KEY, pad text NOT NULL)", "CREATE TABLE mark (id int PRIMARY KEY)",
		"ALTER TABLE big ALTER pad SET STORAGE plain", "ALTER TABLE big SET (autovacuum_enabled = off)"); err != nil {
		return err
	}
	b := &bench{o: o, stack: s, d: db}
	marks, err := s.consume(ctx, "large.public.mark")
	if err != nil {
		return err
	}
	defer marks.close()
	c, err := s.consume(ctx, "large.public.big")
	if err != nil {
		return err
	}
	defer c.close()
	r, err := b.start(ctx, ours{binary: o.binary, stack: s}, "large", "big", "mark")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	if err := b.awaitStream(ctx, r, marks); err != nil {
		return err
	}
	rows := megabytes * 1e6 / rowBytes
	say("%s %s: a transaction of %d rows of %d bytes", d.Kind, d.Version, rows, rowBytes)
	began := time.Now()
	// Half of a row is the same in all of them, so that the broker's disk holds less
	// than the database's.
	err = d.Exec(ctx, fmt.Sprintf("INSERT INTO big SELECT g, repeat(md5(g::text), 16) || repeat('x', %d) FROM generate_series(1, %d) g", rowBytes-16*32-32, rows))
	if err != nil {
		return err
	}
	committed := time.Now()
	_, received := r.usage.memory()
	spooled := spooledBytes(r.p.Pid())
	say("  committed after %.0f s; %.2f GB are in cdc-source's files", committed.Sub(began).Seconds(), float64(spooled)/1e9)
	if err := c.wait(ctx, rows, time.Hour, r.alive); err != nil {
		return err
	}
	_, most := r.usage.memory()
	cpu := r.usage.cpu()
	say("  all in Kafka %.0f s later, %.0f rows/s (CPU %.0f s)", time.Since(committed).Seconds(), float64(rows)/time.Since(committed).Seconds(), cpu)
	fmt.Printf("\n| transaction | rows | memory while it is received | most memory | goal |\n| --- | --- | --- | --- | --- |\n| %.1f GB | %d | %.0f MB | %.0f MB | 256 MB %s |\n",
		float64(rows)*rowBytes/1e9, rows, received, most, map[bool]string{true: "met", false: "missed"}[most <= 256])
	return nil
}

// spooledBytes is the size of the files without a name that a process has open.
func spooledBytes(pid int) (n int64) {
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, l := range links {
		n += deletedSize(l)
	}
	return n
}

// deletedSize is the size of an open file whose name is gone, 0 for others.
func deletedSize(link string) int64 {
	name, err := os.Readlink(link)
	if err != nil || !strings.HasSuffix(name, " (deleted)") {
		return 0
	}
	info, err := os.Stat(link)
	if err != nil {
		return 0
	}
	return info.Size()
}
