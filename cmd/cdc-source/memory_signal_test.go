package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"tributary/internal/testdb"
)

// TestMemoryOfAnIncrementalSnapshot reads large rows while the log is followed: a
// chunk of 1,024 of them would be 900 MB.
func TestMemoryOfAnIncrementalSnapshot(t *testing.T) {
	const rows, width, bound = 340, 900_000, 128 << 20
	bin := filepath.Join(t.TempDir(), "cdc-source")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE wide (id int PRIMARY KEY, body bytea)", "ALTER TABLE wide ALTER body SET STORAGE EXTERNAL",
		fmt.Sprintf("INSERT INTO wide SELECT g, decode(repeat(md5(g::text), %d), 'hex') FROM generate_series(1, %d) g", width/16, rows))
	signals := filepath.Join(t.TempDir(), "signals")
	if err := os.WriteFile(signals, []byte(`{"id": "a", "type": "execute-snapshot", "data": {"data-collections": ["public.wide"]}}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newStack(t)
	cmd := exec.CommandContext(t.Context(), bin, "run", "-c",
		s.file(t, db, "snapshot.mode: no_data\nsignal.enabled.channels: file\nsignal.poll.interval.ms: 100\nsignal.file: "+signals+"\n"))
	cmd.Stderr = t.Output()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n := s.count(t, "test.public.wide", rows)
	peak := resident(cmd.Process.Pid)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if n != rows {
		t.Errorf("%d rows are in Kafka, want %d", n, rows)
	}
	if t.Logf("%d MB for a table of %d MB", peak>>20, rows*width>>20); peak == 0 || peak > bound {
		t.Errorf("%d MB for a table of %d MB, at most %d MB are allowed", peak>>20, rows*width>>20, bound>>20)
	}
}
