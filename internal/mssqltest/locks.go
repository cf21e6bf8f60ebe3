package mssqltest

import (
	"context"
	"sync"
	"time"
)

// locks are all locks of a server. A transaction holds its locks to its end.
type locks struct {
	mu      sync.Mutex
	rows    map[rowLock]*tx
	tables  map[tableLock]*tableLocks
	changed chan struct{} // closed whenever locks are given back
	waiting int           // transactions that wait
}

type rowLock struct {
	db    *Database
	table int32
	key   string
}

type tableLock struct {
	db    *Database
	table int32
}

// tableLocks are the holders of a table's locks.
type tableLocks struct {
	exclusive *tx
	shared    map[*tx]bool // against updates and deletes; true: against inserts too
	writers   map[*tx]bool
}

func newLocks() *locks {
	return &locks{rows: map[rowLock]*tx{}, tables: map[tableLock]*tableLocks{}, changed: make(chan struct{})}
}

func (l *locks) table(k tableLock) *tableLocks {
	t := l.tables[k]
	if t == nil {
		t = &tableLocks{shared: map[*tx]bool{}, writers: map[*tx]bool{}}
		l.tables[k] = t
	}
	return t
}

// acquire calls try until it names no transaction that is in the way. The timeout
// is in milliseconds; negative: for ever. waited says whether it had to wait, in
// which case what was read before may have changed.
func (l *locks) acquire(ctx context.Context, t *tx, timeout int64, try func() *tx) (waited bool, err error) {
	var deadline <-chan time.Time
	for {
		l.mu.Lock()
		blocker := try()
		t.waitsFor = blocker
		if blocker == nil {
			l.mu.Unlock()
			return waited, nil
		}
		for b := blocker; b != nil; b = b.waitsFor {
			if b == t {
				t.waitsFor = nil
				l.mu.Unlock()
				return waited, &Error{Number: 1205, State: 51, Class: 13, Text: "Transaction was deadlocked on lock resources with another process and has been chosen as the deadlock victim. Rerun the transaction."}
			}
		}
		changed := l.changed
		l.waiting++
		l.mu.Unlock()
		waited = true
		if timeout >= 0 && deadline == nil {
			deadline = time.After(time.Duration(timeout) * time.Millisecond)
		}
		select {
		case <-changed:
		case <-deadline:
			err = &Error{Number: 1222, State: 51, Class: 16, Text: "Lock request time out period exceeded."}
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		l.mu.Lock()
		l.waiting--
		if err != nil {
			t.waitsFor = nil
			l.mu.Unlock()
			return waited, err
		}
		l.mu.Unlock()
	}
}

// Waiting is how many transactions wait for a lock.
func (s *Server) Waiting() int {
	s.locks.mu.Lock()
	defer s.locks.mu.Unlock()
	return s.locks.waiting
}

// release gives back all locks of a transaction.
func (l *locks) release(t *tx) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range t.rowLocks {
		delete(l.rows, k)
	}
	for _, k := range t.tableLocks {
		h := l.tables[k]
		if h == nil {
			continue
		}
		if h.exclusive == t {
			h.exclusive = nil
		}
		delete(h.shared, t)
		delete(h.writers, t)
		if h.exclusive == nil && len(h.shared) == 0 && len(h.writers) == 0 {
			delete(l.tables, k)
		}
	}
	t.rowLocks, t.tableLocks = nil, nil
	close(l.changed)
	l.changed = make(chan struct{})
}

// other is any holder but t.
func other(holders map[*tx]bool, t *tx) *tx {
	for h := range holders {
		if h != t {
			return h
		}
	}
	return nil
}

// lockTable locks a whole table exclusively.
func (l *locks) lockTable(ctx context.Context, t *tx, timeout int64, db *Database, table int32) (waited bool, err error) {
	k := tableLock{db, table}
	return l.acquire(ctx, t, timeout, func() *tx {
		h := l.table(k)
		if h.exclusive != nil && h.exclusive != t {
			return h.exclusive
		}
		if o := other(h.writers, t); o != nil {
			return o
		}
		if o := other(h.shared, t); o != nil {
			return o
		}
		h.exclusive = t
		t.tableLocks = append(t.tableLocks, k)
		return nil
	})
}

// lockShared locks a table against writers of other transactions: against all of
// them if inserts is set, else against updates and deletes.
func (l *locks) lockShared(ctx context.Context, t *tx, timeout int64, db *Database, table int32, inserts bool) (waited bool, err error) {
	k := tableLock{db, table}
	return l.acquire(ctx, t, timeout, func() *tx {
		h := l.table(k)
		if h.exclusive != nil && h.exclusive != t {
			return h.exclusive
		}
		if o := other(h.writers, t); o != nil {
			return o
		}
		h.shared[t] = h.shared[t] || inserts
		t.tableLocks = append(t.tableLocks, k)
		return nil
	})
}

// waitReadable waits while another transaction has the table to itself.
func (l *locks) waitReadable(ctx context.Context, t *tx, timeout int64, db *Database, table int32) (waited bool, err error) {
	return l.acquire(ctx, t, timeout, func() *tx {
		if h := l.tables[tableLock{db, table}]; h != nil && h.exclusive != nil && h.exclusive != t {
			return h.exclusive
		}
		return nil
	})
}

// lockRow locks a row for a write.
func (l *locks) lockRow(ctx context.Context, t *tx, timeout int64, db *Database, table int32, key string, insert bool) (waited bool, err error) {
	k := tableLock{db, table}
	r := rowLock{db, table, key}
	return l.acquire(ctx, t, timeout, func() *tx {
		h := l.table(k)
		if h.exclusive != nil && h.exclusive != t {
			return h.exclusive
		}
		for s, inserts := range h.shared {
			if s != t && (inserts || !insert) {
				return s
			}
		}
		if o := l.rows[r]; o != nil && o != t {
			return o
		}
		if l.rows[r] == nil {
			l.rows[r] = t
			t.rowLocks = append(t.rowLocks, r)
		}
		if !h.writers[t] {
			h.writers[t] = true
			t.tableLocks = append(t.tableLocks, k)
		}
		return nil
	})
}
