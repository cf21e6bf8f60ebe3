package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tributary/capture/conformance"
	"tributary/internal/fault"
	"tributary/internal/mssqltest"
	"tributary/internal/ops"
)

// conformanceFile is a file that has no more than what leads to the database.
func conformanceFile(t *testing.T, srv *mssqltest.Server, more string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(srv.Addr())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "check.yaml")
	text := fmt.Sprintf("name: check\nconnector.class: sqlserver\ntopic.prefix: check\ndatabase: {hostname: %s, port: %s, user: sa, password: Secret1!, names: crm}\ndriver.encrypt: \"false\"\n%s", host, port, more)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// conform calls the command and returns what it prints.
func conform(ctx context.Context, args ...string) (string, error) {
	var out strings.Builder
	err := runConformance(ctx, args, slog.New(slog.DiscardHandler), &out)
	return out.String(), err
}

func TestConformance(t *testing.T) {
	srv, _ := model(t)
	path, folder := conformanceFile(t, srv, "bootstrap.servers: nowhere:9092\n"), filepath.Join(t.TempDir(), "out")
	out, err := conform(t.Context(), "-c", path, "-o", folder, "-only", "transactions,keys")
	if err != nil || !strings.Contains(out, "all 6 checks passed") || !strings.Contains(out, "transactions         3       0         0") {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, wants := range map[string][]string{
		"report.md": {"| places in the log, counts of transactions | passed |", "| stream after: UPDATE item SET id = 10 WHERE id = 1;", "A change of a key is a delete and a create",
			"| EngineEdition | 3 |", "| compatibility level | 160 |", "| READ_COMMITTED_SNAPSHOT | ", "| CDC jobs | capture, cleanup |", "| pollinginterval (s) | 5"},
		"report.json": {`"result": "passed"`, `"name": "@@VERSION"`}, "recording.jsonl": {`"event":"c item id=10 v=one"`},
	} {
		text, err := os.ReadFile(filepath.Join(folder, name))
		for _, want := range wants {
			if err != nil || !strings.Contains(string(text), want) {
				t.Errorf("%s has no %s: %v: %.3000s", name, want, err, text)
			}
		}
		info, err := os.Stat(filepath.Join(folder, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

// TestConformanceExitCodes has checks fail, the run stopped, and rights and options
// missing.
func TestConformanceExitCodes(t *testing.T) {
	srv, _ := model(t)
	path := conformanceFile(t, srv, "")
	folder := t.TempDir()
	srv.Inject(mssqltest.Fault{Match: "[tributary_conformance_item_CT]", Err: &mssqltest.Error{Number: 1205, Class: 13, State: 1, Text: "deadlock victim"}})
	out, err := conform(t.Context(), "-c", path, "-o", folder, "-only", "keys")
	if err == nil || fault.NeedsHuman(err) || !strings.Contains(fault.Hint(err), "recording.jsonl") || !strings.Contains(out, "FAILED: keys: runs to its end") {
		t.Errorf("%v (%s)\n%s", err, fault.Hint(err), out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := conform(ctx, "-c", path, "-o", folder); !errors.Is(err, conformance.ErrStopped) || errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	human := func(what, message, hint string, args ...string) {
		t.Helper()
		if _, err := conform(t.Context(), args...); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), message) || !strings.Contains(fault.Hint(err), hint) {
			t.Errorf("%s: %v (%s)", what, err, fault.Hint(err))
		}
	}
	human("no file", "not understood", "-c FILE", "-o", folder)
	human("an option", "check.yaml:6", "", "-c", conformanceFile(t, srv, "databse.name: x\n"))
	human("an option nearly", `did you mean "database.names"?`, "", "-c", conformanceFile(t, srv, "databse.names: x\n"))
	human("an option nearly", `did you mean "database.names"?`, "", "-c", conformanceFile(t, srv, "databse.names: x\n"))
	human("a scenario", `no scenario "key"`, "snapshot, transactions", "-c", path, "-o", folder, "-only", "key")
	if err := srv.DB("crm").Exec("EXEC sys.sp_cdc_disable_db"); err != nil {
		t.Fatal(err)
	}
	human("no capture", "not enabled in database crm", "USE [crm]; EXEC sys.sp_cdc_enable_db", "-c", path, "-o", folder)
	if out, err := conform(t.Context(), "-c", path, "-clean"); err != nil {
		t.Errorf("%v %s", err, out)
	}
}

// TestConformanceSignals sends signals to the process: after Ctrl-C nothing is
// left, after a kill what is left goes with -clean.
func TestConformanceSignals(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "cdc-source")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	srv, db := model(t)
	path := conformanceFile(t, srv, "")
	left := func() int {
		t.Helper()
		rows, err := db.Query("SELECT name FROM sys.schemas WHERE name = N'tributary_conformance' UNION ALL SELECT capture_instance FROM cdc.change_tables WHERE capture_instance LIKE N'tributary%'")
		if err != nil {
			t.Fatal(err)
		}
		return len(rows)
	}
	for _, c := range []struct {
		signal os.Signal
		left   bool
	}{{os.Interrupt, false}, {syscall.SIGTERM, false}, {syscall.SIGKILL, true}} {
		cmd := exec.CommandContext(t.Context(), bin, "conformance", "-c", path, "-o", t.TempDir())
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		in, text := bufio.NewScanner(stderr), ""
		for in.Scan() {
			text += in.Text() + "\n"
			if strings.Contains(in.Text(), "keys: ") {
				if err := cmd.Process.Signal(c.signal); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil || !c.left && cmd.ProcessState.ExitCode() != ops.ExitRetry {
			t.Errorf("%s: %v\n%s", c.signal, err, text)
		}
		if (left() > 0) != c.left {
			t.Errorf("%s: left behind: %d\n%s", c.signal, left(), text)
		}
	}
	if _, err := conform(t.Context(), "-c", path, "-clean"); err != nil || left() > 0 {
		t.Errorf("%v; left behind: %d", err, left())
	}
}
