package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tributary/internal/testdb"
)

// TestKilledAtAnyMoment kills the process again and again while it reads the
// snapshot and while it follows the log: every row and every change is in Kafka
// exactly once, not just at the end but record by record.
func TestKilledAtAnyMoment(t *testing.T) {
	const rows, kills = 200_000, 12
	bin := filepath.Join(t.TempDir(), "cdc-source")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE item (id int PRIMARY KEY, name text)",
		fmt.Sprintf("INSERT INTO item SELECT g, 'item ' || g FROM generate_series(1, %d) g", rows))
	s := newStack(t)
	path := s.file(t, db, "max.batch.size: 2000\nsnapshot.fetch.size: 7000\n")
	changes := 0
	var peak string
	for kill := range kills {
		cmd := exec.CommandContext(t.Context(), bin, "run", "-c", path)
		cmd.Stderr = t.Output()
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(50+rand.IntN(400)) * time.Millisecond)
		if kill == kills/2 {
			// What is changed before the snapshot has its moment is in its rows.
			s.atLeast(t, "test.public.item", 1)
		}
		if kill >= kills/2 {
			db.MustExec(t, "UPDATE item SET name = name || '!' WHERE id <= 3000")
			changes += 3000
			time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
		}
		peak = memory(cmd.Process.Pid)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
	}
	stop := start(t, path)
	s.read(t, "test.public.item", rows+changes)
	stop()
	t.Logf("peak memory of a killed process: %s", peak)
}

// memory returns a process's peak resident memory as the system tells it.
func memory(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return err.Error()
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}
