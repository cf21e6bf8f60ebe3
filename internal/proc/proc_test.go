package proc_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"tributary/internal/proc"
)

// TestMain lets this binary be the parent that gets killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("PROC_TEST_PARENT"); dir != "" {
		guard, err := proc.NewGuard(dir)
		if err != nil {
			panic(err)
		}
		p, err := proc.Start(proc.Spec{Path: "/bin/sleep", Args: []string{"60"}, Guard: guard})
		if err != nil {
			panic(err)
		}
		os.Stdout.WriteString(strconv.Itoa(p.Pid()) + "\n")
		time.Sleep(time.Minute)
	}
	os.Exit(m.Run())
}

func TestNothingOutlivesAKilledParent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	parent := exec.CommandContext(t.Context(), os.Args[0])
	parent.Env = append(os.Environ(), "PROC_TEST_PARENT="+dir)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	eventually(t, "the child is left", func() bool { return errors.Is(syscall.Kill(child, 0), syscall.ESRCH) })
	eventually(t, "the folder is left", func() bool { _, err := os.Stat(dir); return os.IsNotExist(err) })
}

func TestStopEndsTheWholeGroup(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "grandchild")
	p, err := proc.Start(proc.Spec{
		Path: "/bin/sh", Args: []string{"-c", "sleep 60 & echo $! > " + file + "; trap '' TERM; wait"},
		StopSignal: syscall.SIGKILL,
	})
	if err != nil {
		t.Fatal(err)
	}
	var grandchild int
	eventually(t, "no grandchild", func() bool {
		text, _ := os.ReadFile(file)
		grandchild, err = strconv.Atoi(strings.TrimSpace(string(text)))
		return err == nil
	})
	if p.Exited() {
		t.Error("the child is said to have exited")
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the grandchild is left", func() bool { return errors.Is(syscall.Kill(grandchild, 0), syscall.ESRCH) })
}

func TestExitedSeesAnEnd(t *testing.T) {
	p, err := proc.Start(proc.Spec{Path: "/bin/false"})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end is not seen", p.Exited)
	err = p.WaitFor(t.Context(), time.Second, func(context.Context) error { return errors.New("not ready") })
	if err == nil || !strings.Contains(err.Error(), "/bin/false ended") {
		t.Errorf("WaitFor: %v", err)
	}
	if err := p.Wait(); err == nil {
		t.Error("Wait hides the exit status")
	}
}

func eventually(t *testing.T, complaint string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal(complaint)
}
