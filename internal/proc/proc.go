// Package proc runs child processes that never outlive their parent and leave
// no files behind, even when the parent is killed with SIGKILL.
//
// Each child leads a process group. Beside it a small shell, the guard, holds
// the reading end of a pipe that only the parent writes to: when the parent
// dies, in whatever way, the pipe closes, and the guard ends the group and
// removes the child's folders. (A parent death signal alone would leave the
// folders, and would fire when the thread that forked ends.)
package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// Spec says what to run.
type Spec struct {
	Path string
	Args []string // without the program's name
	Env  []string // nil: the parent's
	Dir  string   // working folder; "": the parent's

	// Log takes standard output and standard error. Nil: they are discarded.
	Log *os.File

	// User runs the child as another user; nil: as the parent's.
	User *syscall.Credential

	// StopSignal asks the child to end; 0 is SIGTERM.
	StopSignal syscall.Signal

	// Guard watches over the child and over folders that are removed once the
	// child has ended. Nil: one without folders is made.
	Guard *Guard

	// Keep lets the child outlive the parent: it has no guard. Stop still
	// ends it.
	Keep bool
}

// Process is a running child.
type Process struct {
	spec  Spec
	cmd   *exec.Cmd
	guard *Guard
	done  bool
}

// Start runs the child that spec describes.
func Start(spec Spec) (*Process, error) {
	if spec.StopSignal == 0 {
		spec.StopSignal = syscall.SIGTERM
	}
	p := &Process{spec: spec, guard: spec.Guard}
	if p.guard == nil && !spec.Keep {
		g, err := NewGuard()
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", spec.Path, err)
		}
		p.guard = g
	}
	// A context would end the child without its folders: Stop does both.
	p.cmd = exec.Command(spec.Path, spec.Args...) //nolint:noctx // see above
	p.cmd.Env, p.cmd.Dir = spec.Env, spec.Dir
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: spec.User}
	if spec.Log != nil {
		p.cmd.Stdout, p.cmd.Stderr = spec.Log, spec.Log
	}
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", spec.Path, err), p.guard.Release())
	}
	if err := p.guard.watch(p.Pid()); err != nil {
		return nil, errors.Join(fmt.Errorf("guard %s: %w", spec.Path, err), p.Stop())
	}
	return p, nil
}

// Pid returns the child's process id, which is also its group's.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Exited reports, without blocking, whether the child has ended by itself.
// Only Stop and Wait collect it.
func (p *Process) Exited() bool {
	if p.done {
		return true
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(p.Pid()) + "/stat")
	if err != nil {
		return true
	}
	// "pid (name) state ...": the name may hold anything, brackets too.
	_, state, _ := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" "))
	return len(state) == 0 || state[0] == 'Z'
}

// Signal sends s to the child's group.
func (p *Process) Signal(s syscall.Signal) error {
	if err := syscall.Kill(-p.Pid(), s); err != nil {
		return fmt.Errorf("send %s to %s: %w", s, p.spec.Path, err)
	}
	return nil
}

// Wait waits for the child to end by itself and removes its folders.
func (p *Process) Wait() error {
	if p.done {
		return nil
	}
	err := p.cmd.Wait()
	return errors.Join(err, p.cleanUp())
}

// Kill ends the child's group with SIGKILL and leaves its folders, as a crash
// does. The guard that Spec named goes on to watch over them.
func (p *Process) Kill() error {
	if p.done {
		return nil
	}
	err := p.Signal(syscall.SIGKILL)
	_ = p.cmd.Wait() // always an error: the child was killed
	p.done = true
	if p.spec.Guard == nil {
		err = errors.Join(err, p.guard.Release())
	}
	return err
}

// Stop ends the child, with SIGKILL when it has not ended after 15 s, waits
// for it and removes its folders. Its exit status does not matter. Stopping
// twice is harmless.
func (p *Process) Stop() error {
	if p.done {
		return nil
	}
	// An error means that it has ended already.
	_ = p.Signal(p.spec.StopSignal)
	if !p.waitExit(15 * time.Second) {
		_ = p.Signal(syscall.SIGKILL)
	}
	_ = p.cmd.Wait()
	// What the child started and left in its group.
	_ = syscall.Kill(-p.Pid(), syscall.SIGKILL)
	return p.cleanUp()
}

// waitExit waits for at most d and reports whether the child has ended. It does
// not heed a context: Stop is what runs when one has ended.
func (p *Process) waitExit(d time.Duration) bool {
	for end := time.Now().Add(d); time.Now().Before(end); <-time.After(2 * time.Millisecond) {
		if p.Exited() {
			return true
		}
	}
	return false
}

func (p *Process) cleanUp() error {
	p.done = true
	return p.guard.Release()
}

// WaitFor calls ready every few milliseconds until it returns nil. It fails
// when the child ends first, when ctx ends, or after limit, with ready's last
// error.
func (p *Process) WaitFor(ctx context.Context, limit time.Duration, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		if p.Exited() {
			return fmt.Errorf("%s ended while it started", p.spec.Path)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", p.spec.Path, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
