package proc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// Guard outlives the parent just long enough to end a child and to remove
// folders. A nil Guard guards nothing.
type Guard struct {
	cmd    *exec.Cmd
	pipe   io.WriteCloser
	remove []string
}

// The guard reads the child's process id, then "done" when there is nothing
// left to do. Whatever else ends its input is the parent's death. SIGQUIT is
// the signal at which both PostgreSQL and MySQL stop by themselves.
const guardScript = `trap '' INT TERM HUP
while read -r word; do
	[ "$word" = done ] && exit 0
	pid=$word
done
if [ -n "$pid" ]; then
	kill -s QUIT -- "-$pid" 2>/dev/null
	i=0
	while kill -s 0 -- "-$pid" 2>/dev/null && [ $i -lt 50 ]; do sleep 0.1; i=$((i+1)); done
	kill -s KILL -- "-$pid" 2>/dev/null
	sleep 0.1
fi
# Whatever else the parent ran there may not have ended at once.
for again in 1 2 3; do
	[ $# = 0 ] || rm -rf -- "$@"
	sleep 0.2
done
`

// NewGuard starts a guard over folders, which it removes when this process
// ends without Release. Give it to the Spec of the child that uses them.
func NewGuard(folders ...string) (*Guard, error) {
	cmd := exec.Command("/bin/sh", append([]string{"-c", guardScript, "guard"}, folders...)...) //nolint:noctx // it must outlive the parent
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start a guard: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a guard: %w", err)
	}
	return &Guard{cmd: cmd, pipe: pipe, remove: folders}, nil
}

// watch tells the guard of the child. A later child takes an earlier one's
// place.
func (g *Guard) watch(pid int) error {
	if g == nil {
		return nil
	}
	_, err := io.WriteString(g.pipe, strconv.Itoa(pid)+"\n")
	return err
}

// Release removes the folders and ends the guard. Releasing twice is harmless.
// Children that still run are left alone.
func (g *Guard) Release() error {
	if g == nil {
		return nil
	}
	var errs []error
	for _, dir := range g.remove {
		errs = append(errs, os.RemoveAll(dir))
	}
	// Errors would mean that the guard is gone: so be it.
	_, _ = io.WriteString(g.pipe, "done\n")
	_ = g.pipe.Close()
	_ = g.cmd.Wait()
	return errors.Join(errs...)
}
