package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"tributary/internal/proc"
)

// Daemon is one of the processes, which may be killed and started again.
type Daemon struct {
	Name string

	path string
	args []string
	env  []string
	dir  string
	log  string
	keep bool

	process *proc.Process
}

// Start runs the daemon. What it prints is added to its log.
func (d *Daemon) Start() error {
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	d.process, err = proc.Start(proc.Spec{Path: d.path, Args: d.args, Env: d.env, Dir: d.dir, Log: log, Keep: d.keep})
	return err
}

// Kill ends the daemon as kill -9 does.
func (d *Daemon) Kill() error { return d.process.Kill() }

// Stop asks the daemon to end and waits for it.
func (d *Daemon) Stop() error {
	if d.process == nil {
		return nil
	}
	return d.process.Stop()
}

// Err returns an error, with the last lines of its log, if the daemon has ended
// by itself.
func (d *Daemon) Err() error {
	if d.process == nil || !d.process.Exited() {
		return nil
	}
	return fmt.Errorf("%s ended; the last it said (%s):\n%s", d.Name, d.log, tail(d.log, 6))
}

// Pid returns the daemon's process id.
func (d *Daemon) Pid() int { return d.process.Pid() }

// Memory returns the daemon's resident memory now and at its highest, in bytes.
func (d *Daemon) Memory() (now, peak int64, err error) { return Memory(d.Pid()) }

// Memory returns the resident memory of a process now and at its highest, in
// bytes.
func Memory(pid int) (now, peak int64, err error) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		n, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "VmRSS:":
			now = n << 10
		case "VmHWM:":
			peak = n << 10
		}
	}
	if now == 0 {
		return 0, 0, errors.New("the process has ended")
	}
	return now, peak, nil
}

// tail returns the last n lines of a file.
func tail(path string, n int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return "  " + string(bytes.Join(lines[max(0, len(lines)-n):], []byte("\n  ")))
}
