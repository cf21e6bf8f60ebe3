package blob

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"
)

// ErrStopped is what a Fault returns once it has stopped.
var ErrStopped = errors.New("store stopped on purpose")

// Fault is a store that stops on purpose: a process that dies, as seen by the
// store. Only what changes objects counts as an operation: each Put and each
// key of a Delete. It is safe for use by many goroutines.
type Fault struct {
	Store
	mu      sync.Mutex
	done    int
	stopAt  int
	ambig   bool
	hook    func(op int, key string)
	stopped bool
}

// NewFault returns a store that does what s does, and never stops.
func NewFault(s Store) *Fault { return &Fault{Store: s, stopAt: -1} }

// StopAfter makes the store stop once n more operations have been done. The
// next one is not done, or, when ambiguous, done and yet reported as failed;
// from then on every method fails.
func (f *Fault) StopAfter(n int, ambiguous bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done, f.stopAt, f.ambig, f.stopped = 0, n, ambiguous, false
}

// Before sets a function that is called before each operation, with its number
// from 0 and its key. It may block, and may call other stores.
func (f *Fault) Before(hook func(op int, key string)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = hook
}

// Done returns the number of operations since StopAfter, or in all.
func (f *Fault) Done() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.done
}

// Stopped reports whether the store has stopped.
func (f *Fault) Stopped() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stopped
}

// step counts an operation. do tells whether to do it, err what to return after.
func (f *Fault) step(key string) (do bool, err error) {
	f.mu.Lock()
	hook, op := f.hook, f.done
	f.mu.Unlock()
	if hook != nil {
		hook(op, key)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped {
		return false, ErrStopped
	}
	if f.stopAt >= 0 && f.done >= f.stopAt {
		f.stopped = true
		return f.ambig, ErrStopped
	}
	f.done++
	return true, nil
}

// Open implements Store.
func (f *Fault) Open(ctx context.Context, key string) (Object, error) {
	if f.Stopped() {
		return nil, ErrStopped
	}
	return f.Store.Open(ctx, key)
}

// Put implements Store.
func (f *Fault) Put(ctx context.Context, key string, r io.Reader, size int64, cond Cond) (ETag, error) {
	do, stop := f.step(key)
	if !do {
		return "", stop
	}
	tag, err := f.Store.Put(ctx, key, r, size, cond)
	if stop != nil {
		return "", stop
	}
	return tag, err
}

// List implements Store.
func (f *Fault) List(ctx context.Context, prefix, after string) iter.Seq2[Info, error] {
	if f.Stopped() {
		return func(yield func(Info, error) bool) { yield(Info{}, ErrStopped) }
	}
	return f.Store.List(ctx, prefix, after)
}

// Delete implements Store.
func (f *Fault) Delete(ctx context.Context, keys ...string) error {
	for _, k := range keys {
		do, stop := f.step(k)
		if !do {
			return stop
		}
		if err := f.Store.Delete(ctx, k); err != nil {
			return err
		}
		if stop != nil {
			return stop
		}
	}
	return nil
}
