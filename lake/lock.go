package lake

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"tributary/internal/fault"
	"tributary/lake/blob"
)

const (
	lockFile = ".hoodie/.locks/table_lock.json"
	// lockGrace is how long past its end a lease is respected, for clocks that
	// differ: the same as in Hudi's own storage lock.
	lockGrace = 500 * time.Millisecond
)

// lockBody is the lock object, as Hudi 1.x's storage-based lock has it.
type lockBody struct {
	Expired    bool   `json:"expired"`
	ValidUntil int64  `json:"validUntil"` // epoch ms
	Owner      string `json:"owner"`
}

// lease is the right to write a table, for a time. Every state of the lock
// object is written under the condition that it is still the state that the
// writer last saw.
type lease struct {
	store    blob.Store
	key      string
	base     string
	owner    string
	now      func() time.Time
	validity time.Duration

	tag   blob.ETag
	until time.Time
}

// acquire takes the lease, or returns ErrLocked.
func (l *lease) acquire(ctx context.Context) error {
	for try := 0; ; try++ {
		held, tag, err := l.read(ctx)
		if err != nil {
			return err
		}
		cond := blob.IfAbsent()
		if tag != "" {
			if l.heldByOther(held) {
				return l.locked(held)
			}
			cond = blob.IfMatch(tag)
		}
		err = l.put(ctx, cond, false)
		if err == nil || !changedMeanwhile(err) {
			return err
		}
		if try == 2 {
			return l.locked(held)
		}
	}
}

func changedMeanwhile(err error) bool {
	return errors.Is(err, blob.ErrExist) || errors.Is(err, blob.ErrConflict) || errors.Is(err, blob.ErrNotExist)
}

func (l *lease) locked(held lockBody) error {
	return fault.Human(fmt.Errorf("table %s: %w (%s, until %s)", l.base, ErrLocked, held.Owner, time.UnixMilli(held.ValidUntil).UTC().Format(time.RFC3339)),
		"let one process alone write the table; a lease whose process is gone ends by itself")
}

func (l *lease) read(ctx context.Context) (lockBody, blob.ETag, error) {
	var body lockBody
	o, err := l.store.Open(ctx, l.key)
	if errors.Is(err, blob.ErrNotExist) {
		return body, "", nil
	}
	if err != nil {
		return body, "", fmt.Errorf("read table lock: %w", err)
	}
	defer o.Close()
	b := make([]byte, min(o.Size(), 64<<10))
	if n, err := o.ReadAt(b, 0); n < len(b) {
		return body, "", fmt.Errorf("read table lock: %w", err)
	}
	if err := json.Unmarshal(b, &body); err != nil {
		return body, "", fault.Human(fmt.Errorf("table %s: read table lock: %w", l.base, err),
			"make sure that nothing writes the table, then delete "+l.key)
	}
	return body, o.ETag(), nil
}

func (l *lease) heldByOther(b lockBody) bool {
	end := time.UnixMilli(b.ValidUntil).Add(lockGrace)
	return !b.Expired && !l.now().After(end) && b.Owner != l.owner && !ownerIsGone(b.Owner)
}

// put writes the lock object; on success the lease is ours until l.until.
func (l *lease) put(ctx context.Context, cond blob.Cond, expired bool) error {
	until := l.now().Add(l.validity)
	if expired {
		until = l.now()
	}
	b, err := json.Marshal(lockBody{Expired: expired, ValidUntil: until.UnixMilli(), Owner: l.owner})
	if err != nil {
		return fmt.Errorf("encode table lock: %w", err)
	}
	tag, err := l.store.Put(ctx, l.key, bytes.NewReader(b), int64(len(b)), cond)
	if err != nil {
		return fmt.Errorf("write table lock: %w", err)
	}
	l.tag, l.until = tag, until
	return nil
}

// keep renews the lease when a quarter of it is over. A lease that has run out
// is still ours if nobody has taken it.
func (l *lease) keep(ctx context.Context) error {
	if l.until.Sub(l.now()) > l.validity*3/4 {
		return nil
	}
	err := l.put(ctx, blob.IfMatch(l.tag), false)
	if changedMeanwhile(err) {
		return fault.Human(fmt.Errorf("table %s: %w", l.base, ErrLockLost), "let one process alone write the table")
	}
	return err
}

// during does one step of a write within the lease: it is renewed when that is
// due, and the step's context ends when the lease does, so that a writer that
// was frozen meanwhile cannot write on.
func (l *lease) during(ctx context.Context, step func(context.Context) error) error {
	if err := l.keep(ctx); err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, l.until.Sub(l.now()))
	defer cancel()
	err := step(within)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return fmt.Errorf("table %s: %w: %w", l.base, ErrLockLost, err) // whoever retries learns whether it has gone to another
	}
	return err
}

// release gives the lease back; losing it has the same effect.
func (l *lease) release(ctx context.Context) error {
	if err := l.put(ctx, blob.IfMatch(l.tag), true); err != nil && !changedMeanwhile(err) {
		return err
	}
	return nil
}

const ownerPrefix = "tributary"

// processOwner names this process so that others on the same machine can tell
// whether it still runs: boot, process id space, process id and start time,
// then a random part for the lease itself.
func processOwner() string {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	pid := os.Getpid()
	return fmt.Sprintf("%s %s %s %d %s %x", ownerPrefix, bootID(), pidSpace(), pid, or(startTime(pid), "-"), random)
}

// ownerIsGone reports whether the owner is a process of this machine that does
// not run any more. In doubt it says no.
func ownerIsGone(owner string) bool {
	f := strings.Fields(owner)
	if len(f) != 6 || f[0] != ownerPrefix || f[1] == "-" || f[1] != bootID() || f[2] == "-" || f[2] != pidSpace() {
		return false
	}
	pid, err := strconv.Atoi(f[3])
	if err != nil || f[4] == "-" {
		return false
	}
	if _, err := os.Stat("/proc/" + f[3]); !errors.Is(err, os.ErrNotExist) && err != nil {
		return false
	}
	return startTime(pid) != f[4]
}

func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "-"
	}
	return strings.TrimSpace(string(b))
}

func pidSpace() string {
	s, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return "-"
	}
	return strings.ReplaceAll(s, " ", "")
}

// startTime returns when the process started, in clock ticks since boot; "" if
// there is no such process or it is a zombie.
func startTime(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	// The name, in parentheses, may hold anything; the fields after it count from 3.
	_, rest, ok := strings.Cut(string(b[max(0, bytes.LastIndexByte(b, ')')):]), ") ")
	f := strings.Fields(rest)
	if !ok || len(f) < 20 || f[0] == "Z" || f[0] == "X" {
		return ""
	}
	return f[19]
}
