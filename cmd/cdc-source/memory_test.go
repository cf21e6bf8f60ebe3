package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tributary/internal/testdb"
	"tributary/internal/topic"
)

// TestMemoryOfASnapshot reads tables of 300 MB, of many rows and of few large ones,
// once with one connection and once with three, in a process that may take 128 MB:
// memory grows neither with a table nor with its rows, nor with connections.
func TestMemoryOfASnapshot(t *testing.T) {
	const bound = 128 << 20
	bin := filepath.Join(t.TempDir(), "cdc-source")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	for name, c := range map[string]struct {
		open   func(testing.TB) *testdb.Database
		rows   int
		width  int
		create []string
	}{
		"postgres, rows of 1 KB": {testdb.PostgreSQL, 320_000, 1000, []string{
			"CREATE TABLE wide (id int PRIMARY KEY, body text)", "ALTER TABLE wide ALTER body SET STORAGE PLAIN",
			"INSERT INTO wide SELECT g, repeat(to_char(g, 'FM00000000'), 125) FROM generate_series(1, 320000) g",
		}},
		"postgres, rows of 900 KB": {testdb.PostgreSQL, 340, 900_000, []string{
			"CREATE TABLE wide (id int PRIMARY KEY, body bytea)", "ALTER TABLE wide ALTER body SET STORAGE EXTERNAL",
			"INSERT INTO wide SELECT g, decode(repeat(md5(g::text), 56250), 'hex') FROM generate_series(1, 340) g",
		}},
		"mysql, rows of 1 KB": {testdb.MySQL, 300_000, 1000, append([]string{
			"CREATE TABLE wide (id INT PRIMARY KEY AUTO_INCREMENT, body VARCHAR(1000) CHARACTER SET ascii)",
		}, slices.Repeat([]string{"INSERT INTO wide (body) SELECT REPEAT(CHAR(97 + a.n), 1000) FROM " +
			digits("a") + ", " + digits("b") + ", " + digits("c") + ", " + digits("d")}, 30)...)},
		"mysql, rows of 900 KB": {testdb.MySQL, 300, 900_000, append([]string{
			"CREATE TABLE wide (id INT PRIMARY KEY AUTO_INCREMENT, body LONGBLOB)",
		}, slices.Repeat([]string{"INSERT INTO wide (body) SELECT REPEAT(CHAR(97 + a.n), 900000) FROM " + digits("a")}, 30)...)},
	} {
		t.Run(name, func(t *testing.T) {
			db := c.open(t)
			db.MustExec(t, c.create...)
			for _, threads := range []int{1, 3} {
				t.Run(fmt.Sprintf("%d threads", threads), func(t *testing.T) {
					s := newStack(t)
					more := fmt.Sprintf("snapshot.mode: initial_only\nsnapshot.max.threads: %d\n", threads)
					var path string
					name := "test." + db.Name + ".wide"
					if db.Kind == testdb.KindPostgreSQL {
						path, name = s.file(t, db, more), "test.public.wide"
					} else {
						path = s.mysqlFile(t, db, more)
					}
					peak := peakOf(t, bin, rewritten(t, path, "slot.name: "+db.Name, fmt.Sprintf("slot.name: %s_%d", db.Name, threads)))
					if t.Logf("%d MB for a table of %d MB", peak>>20, c.rows*c.width>>20); peak == 0 || peak > bound {
						t.Errorf("%d MB for a table of %d MB, at most %d MB are allowed", peak>>20, c.rows*c.width>>20, bound>>20)
					}
					if n := s.count(t, name, c.rows); n != c.rows {
						t.Errorf("%d rows are in Kafka, want %d", n, c.rows)
					}
				})
			}
		})
	}
}

// rewritten replaces a text in a file.
func rewritten(t *testing.T, path, was, is string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(text), was, is)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// peakOf runs the program to its end and returns the most resident memory that it
// had, bytes.
func peakOf(t *testing.T, bin, path string) int64 {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), bin, "run", "-c", path)
	cmd.Stderr = t.Output()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	peak := int64(0)
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			return peak
		case <-time.After(20 * time.Millisecond):
			peak = max(peak, resident(cmd.Process.Pid))
		}
	}
}

// resident is the most resident memory that a process has had, bytes; 0 = it has
// none any more.
func resident(pid int) int64 {
	var kb int64
	if n, _ := fmt.Sscanf(memory(pid), "%d kB", &kb); n == 1 {
		return kb << 10
	}
	return 0
}

// count returns how many committed records a topic has, once it has n.
func (s stack) count(t *testing.T, name string, n int) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	o := topic.Options{Brokers: []string{s.kafka}, ClientID: "test", Protocol: "PLAINTEXT", Compression: "none", MaxRequest: 1 << 20}
	r, err := topic.NewReader(ctx, o, topic.ReaderOptions{
		Group: t.Name(), Regex: strings.ReplaceAll(name, ".", `\.`), Reset: "earliest",
		SessionTimeout: 10 * time.Second, FetchMaxBytes: 8 << 20, PartitionMaxBytes: 2 << 20,
	}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	total := 0
	for quiet := 0; quiet < 3; {
		batches, err := r.Poll(ctx, 100*time.Millisecond, 0)
		if err != nil {
			t.Fatalf("read %s: %v, %d records", name, err, total)
		}
		if quiet++; len(batches) > 0 || total < n {
			quiet = 0
		}
		for i := range batches {
			total += batches[i].Len()
		}
	}
	return total
}
