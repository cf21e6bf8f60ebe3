package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tributary/internal/testdb"
	"tributary/internal/topic"
)

// TestMemoryOfASnapshot reads a table of 610 MB, once with one connection and once
// with three, in a process that may take 320 MB: memory does not grow with a table.
func TestMemoryOfASnapshot(t *testing.T) {
	const rows, width, bound = 640_000, 1000, 320 << 20
	bin := filepath.Join(t.TempDir(), "cdc-source")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE wide (id int PRIMARY KEY, body text)", "ALTER TABLE wide ALTER body SET STORAGE PLAIN",
		fmt.Sprintf("INSERT INTO wide SELECT g, repeat(to_char(g, 'FM00000000'), %d) FROM generate_series(1, %d) g", width/8, rows))
	for _, threads := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d threads", threads), func(t *testing.T) {
			s := newStack(t)
			path := s.file(t, db, fmt.Sprintf("snapshot.mode: initial_only\nsnapshot.max.threads: %d\n", threads))
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			own := strings.NewReplacer("slot.name: "+db.Name, fmt.Sprintf("slot.name: %s_%d", db.Name, threads))
			if err := os.WriteFile(path, []byte(own.Replace(string(text))), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), bin, "run", "-c", path)
			cmd.Stderr = t.Output()
			cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- cmd.Wait() }()
			peak := int64(0)
			for running := true; running; {
				select {
				case err := <-done:
					if running = false; err != nil {
						t.Fatal(err)
					}
				case <-time.After(20 * time.Millisecond):
					var kb int64
					if n, _ := fmt.Sscanf(memory(cmd.Process.Pid), "%d kB", &kb); n == 1 {
						peak = max(peak, kb<<10)
					}
				}
			}
			if peak == 0 || peak > bound {
				t.Errorf("%d MB for a table of %d MB, at most %d MB are allowed", peak>>20, rows*width>>20, bound>>20)
			}
			t.Logf("%d MB for a table of %d MB", peak>>20, rows*width>>20)
			if n := s.count(t, "test.public.wide", rows); n != rows {
				t.Errorf("%d rows are in Kafka, want %d", n, rows)
			}
		})
	}
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
