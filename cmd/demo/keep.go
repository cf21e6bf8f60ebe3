package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
	"tributary/internal/fault"
	"tributary/internal/pipeline"
)

// state tells a later demo stop what a demo run --keep has left running.
type state struct {
	Processes []process `json:"processes"`
	Folders   []string  `json:"folders"` // to remove
}

type process struct {
	Name string `json:"name"`
	PID  int    `json:"pid"` // its group's too
	// The moment at which it started, in the kernel's ticks: a later process
	// of the same number has another.
	Started string `json:"started"`
}

func statePath(dir string) string { return filepath.Join(dir, "running.json") }

// writeState records what runs now.
func writeState(dir string, p *pipeline.Pipeline) error {
	var s state
	for _, r := range p.Running() {
		s.Processes = append(s.Processes, process{r.Name, r.PID, started(r.PID)})
	}
	for _, db := range p.Databases() {
		s.Folders = append(s.Folders, db.Dir)
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(statePath(dir), text, 0o644)
}

func readState(dir string) (state, error) {
	var s state
	text, err := os.ReadFile(statePath(dir))
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(text, &s)
}

// started returns when a process started, or "" if there is none.
func started(pid int) string {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	// Field 22 is the start; the second one, the name, may hold spaces.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 || fields[0][0] == 'Z' {
		return ""
	}
	return string(fields[19])
}

// running reports whether a demo that was kept still runs.
func running(dir string) bool {
	s, err := readState(dir)
	if err != nil {
		return false
	}
	for _, p := range s.Processes {
		if now := started(p.PID); now != "" && now == p.Started {
			return true
		}
	}
	return false
}

func stopDemo(_ context.Context, args []string, _ *slog.Logger) error {
	if len(args) > 0 {
		return fault.Humanf("see demo --help", "stop: unknown argument %q", args[0])
	}
	root, err := root()
	if err != nil {
		return err
	}
	dir := filepath.Join(root, "build", "demo")
	s, err := readState(dir)
	if errors.Is(err, os.ErrNotExist) {
		return fault.Humanf("make demo KEEP=1 leaves one", "no demo was left running")
	}
	if err != nil {
		return err
	}
	// Daemons first, so that none complains of a database that went away.
	for i := len(s.Processes) - 1; i >= 0; i-- {
		end(s.Processes[i])
	}
	for _, folder := range s.Folders {
		err = errors.Join(err, os.RemoveAll(folder))
	}
	fmt.Println("stopped", len(s.Processes), "processes")
	return errors.Join(err, os.Remove(statePath(dir)))
}

// end ends a process group: gently, then not. Errors mean that it is gone.
func end(p process) {
	alive := func() bool { now := started(p.PID); return now != "" && now == p.Started }
	if !alive() {
		return
	}
	_ = syscall.Kill(-p.PID, syscall.SIGINT)
	for stop := time.Now().Add(5 * time.Second); alive() && time.Now().Before(stop); time.Sleep(20 * time.Millisecond) {
	}
	if alive() {
		_ = syscall.Kill(-p.PID, syscall.SIGKILL)
	}
}

func (d *demo) sayKept() error {
	if err := writeState(d.dir, d.p); err != nil {
		return err
	}
	d.title("Everything is left running. Try:")
	d.say("    build/bin/lakeq --lake build/demo/lake tables")
	d.say("    build/bin/lakeq --lake build/demo/lake sql 'SELECT * FROM sale LIMIT 5'")
	d.say("    build/bin/lakeq --lake build/demo/lake timeline sale")
	d.say("    psql '%s'", d.p.PostgreSQL.DSN("tickit"))
	d.say("    mysql -h %s -P %d -u %s -p%s ecomm", d.p.MySQL.Host, d.p.MySQL.Port, d.p.MySQL.User, d.p.MySQL.Password)
	d.say("    tsql -H %s -p %d -U %s -P %s -D tickit    (FreeTDS's client; statements end with go)",
		d.p.SQLServer.Host, d.p.SQLServer.Port, d.p.SQLServer.User, d.p.SQLServer.Password)
	d.say("Change something, and ask again. Logs are in build/demo/logs; Kafka is at %s.", d.p.Kafka)
	d.say("Stop it with: build/bin/demo stop")
	return nil
}
