package mssqltest

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// isolation is a level as LOGIN and the transaction manager number it.
type isolation byte

const (
	readUncommitted isolation = 1
	readCommitted   isolation = 2
	repeatableRead  isolation = 3
	serializable    isolation = 4
	snapshotLevel   isolation = 5
)

// tx is a transaction: its own until it commits, but for its locks.
type tx struct {
	srv      *Server
	id       uint64
	level    isolation
	began    time.Time
	snapshot map[*Database]*state // what a snapshot transaction sees, from its first access on
	writes   map[*Database]*writes
	command  int64
	saves    []savepoint

	// guarded by locks.mu
	waitsFor   *tx
	rowLocks   []rowLock
	tableLocks []tableLock
}

// writes are what a transaction did in a database.
type writes struct {
	ops    []op
	tables map[int32]*overlay
	begin  LSN
}

// op is a row's change.
type op struct {
	table         *table // the version whose columns the rows have
	before, after []any  // nil for an insert, for a delete
	seq           LSN
	seq2          LSN // of the insert that a change of the key becomes
	command       int64
	keyChange     bool
}

// overlay is a transaction's changes of a table over what is committed.
type overlay struct {
	changes map[string]change
	order   []string // the keys in the order of their first change
	base    *node    // the committed rows that …
	working *node    // … this has the changes over
}

type change struct {
	key, row []any // row is nil where the row is gone
	first    []any // the committed row that was replaced first
}

type savepoint struct {
	name   string
	writes map[*Database]*writes
}

func (w *writes) clone() *writes {
	c := &writes{ops: slices.Clone(w.ops), begin: w.begin, tables: map[int32]*overlay{}}
	for id, o := range w.tables {
		c.tables[id] = &overlay{changes: maps.Clone(o.changes), order: slices.Clone(o.order)}
	}
	return c
}

func (t *tx) of(db *Database) *writes {
	w := t.writes[db]
	if w == nil {
		w = &writes{tables: map[int32]*overlay{}}
		db.mu.Lock()
		w.begin = db.head.next()
		db.mu.Unlock()
		t.writes[db] = w
	}
	return w
}

// rows are a table's rows as the transaction sees them.
func (t *tx) rows(db *Database, tb *table) *node {
	if t == nil || t.writes[db] == nil || t.writes[db].tables[tb.id] == nil {
		return tb.root
	}
	o := t.writes[db].tables[tb.id]
	if o.working == nil || o.base != tb.root {
		o.base, o.working = tb.root, tb.root
		for _, k := range o.order {
			o.working = o.changes[k].apply(o.working)
		}
	}
	return o.working
}

func (c change) apply(n *node) *node {
	if c.row == nil {
		return n.remove(c.key)
	}
	return n.put(c.key, c.row)
}

// write records a row's change; the row is locked. key is where it is stored; row
// is nil for a removal.
func (t *tx) write(db *Database, tb *table, key, row []any) {
	w := t.of(db)
	o := w.tables[tb.id]
	if o == nil {
		o = &overlay{changes: map[string]change{}}
		w.tables[tb.id] = o
	}
	root := t.rows(db, tb)
	k := keyString(key)
	c, again := o.changes[k]
	if !again {
		c.first = tb.root.get(key)
		o.order = append(o.order, k)
	}
	c.key, c.row = key, row
	o.changes[k] = c
	o.base, o.working = tb.root, c.apply(root)
}

// record adds a change to what goes into the log.
func (t *tx) record(db *Database, o op) {
	w := t.of(db)
	t.command++
	o.command = t.command
	db.mu.Lock()
	o.seq = db.head.next()
	if o.keyChange {
		o.seq2 = db.head.next()
		t.command++
	}
	db.mu.Unlock()
	w.ops = append(w.ops, o)
}

func (t *tx) save(name string) {
	s := savepoint{name: name, writes: map[*Database]*writes{}}
	for db, w := range t.writes {
		s.writes[db] = w.clone()
	}
	t.saves = append(t.saves, s)
}

// rollbackTo goes back to a savepoint; its locks remain.
func (t *tx) rollbackTo(name string) error {
	for i := len(t.saves) - 1; i >= 0; i-- {
		if strings.EqualFold(t.saves[i].name, name) {
			t.writes = map[*Database]*writes{}
			for db, w := range t.saves[i].writes {
				t.writes[db] = w.clone()
			}
			t.saves = t.saves[:i+1]
			return nil
		}
	}
	return sqlError(6401, "Cannot roll back %s. No transaction or savepoint of that name was found.", name)
}

// end commits or rolls back. The LSN is that of the last database committed in,
// zero if nothing was written.
func (t *tx) end(commit bool) LSN {
	var lsn LSN
	if commit {
		for db, w := range t.writes {
			if len(w.ops) > 0 {
				lsn = db.commit(t, w)
			}
		}
	}
	t.writes = map[*Database]*writes{}
	t.srv.locks.release(t)
	if commit {
		t.srv.committed()
	}
	return lsn
}
