package mssqltest

import (
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tributary/internal/mssqltest/tds"
)

// Database is a database of the server.
type Database struct {
	srv     *Server
	id      int64
	name    string
	created time.Time
	owner   int64 // the login that made it

	st       atomic.Pointer[state]
	versions atomic.Int64 // rowversion

	mu      sync.Mutex // guards what follows, and changes of st
	head    logHead
	objects int32
	log     []logTx // committed, not captured yet
	scans   int64
	failing *Error // what the scans of the capture job end with; nil = they do not fail
	ddl     []ddlRow
}

// logTx is a committed transaction in the log.
type logTx struct {
	lsn, begin LSN
	began      time.Time
	ended      time.Time
	id         uint64
	ops        []op
}

// ddlRow is a row of cdc.ddl_history.
type ddlRow struct {
	source, object int32
	update         bool
	command        string
	lsn            LSN
	at             time.Time
}

func newDatabase(srv *Server, id int64, name string) *Database {
	db := &Database{srv: srv, id: id, name: name, created: srv.now(), owner: ownLogin, objects: 901578250}
	db.head = logHead{vlf: 0x27, block: 0x158}
	db.versions.Store(2000)
	db.st.Store(&state{
		tables: map[int32]*table{}, polling: 5, retention: 4320, threshold: 5000,
		schemas:  []schemaRow{{1, "dbo", dboUser}, {2, "guest", guestUser}, {3, "INFORMATION_SCHEMA", 3}, {4, "sys", 4}},
		security: newSecurity(name, srv.now()),
	})
	return db
}

// object numbers a new object. The caller holds mu.
func (db *Database) object() int32 {
	db.objects += 16
	return db.objects
}

// change publishes what f makes of the state.
func (db *Database) change(f func(*state) error) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	st := db.st.Load().clone()
	if err := f(st); err != nil {
		return err
	}
	db.st.Store(st)
	return nil
}

// commit publishes a transaction's writes and gives its LSN.
func (db *Database) commit(t *tx, w *writes) LSN {
	db.mu.Lock()
	defer db.mu.Unlock()
	st := db.st.Load().clone()
	for id, o := range w.tables {
		tb := st.tables[id].clone()
		if o.working != nil && o.base == tb.root {
			tb.root = o.working
		} else {
			for _, k := range o.order {
				tb.root = o.changes[k].apply(tb.root)
			}
		}
		st.tables[id] = tb
	}
	lsn := db.head.next()
	db.head.flush()
	if st.cdc {
		ops := slices.DeleteFunc(slices.Clone(w.ops), func(o op) bool { return len(st.tracked(o.table.id)) == 0 })
		if db.srv.opts.SeqvalsReversed {
			reverseSeqvals(ops)
		}
		if len(ops) > 0 {
			db.log = append(db.log, logTx{lsn: lsn, begin: w.begin, began: t.began, ended: db.srv.now(), id: t.id, ops: ops})
		}
	}
	db.st.Store(st)
	return lsn
}

// reverseSeqvals gives the last operation the first sequence value.
func reverseSeqvals(ops []op) {
	var all []*LSN
	for i := range ops {
		all = append(all, &ops[i].seq)
		if ops[i].keyChange {
			all = append(all, &ops[i].seq2)
		}
	}
	for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
		*all[i], *all[j] = *all[j], *all[i]
	}
}

// rowVersion is the next value of a rowversion column.
func (db *Database) rowVersion() []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(db.versions.Add(1)))
}

// capture moves the committed transactions from the log into the change tables,
// as a scan of the capture job does.
func (db *Database) capture() {
	db.mu.Lock()
	defer db.mu.Unlock()
	old := db.st.Load()
	if !old.cdc {
		return
	}
	st := old.clone()
	now := db.srv.now()
	s := scanSession{begin: now, end: now, empty: true}
	if f := db.failing; f != nil {
		db.scans++
		s.id, s.errors = db.scans, 1
		st.failures = append(slices.Clone(st.failures[max(0, len(st.failures)-31):]), scanFailure{s.id, now, f})
		st.sessions = append(slices.Clone(st.sessions[max(0, len(st.sessions)-100):]), s)
		db.st.Store(st)
		return
	}
	st.establish()
	for _, l := range db.log {
		if n := st.apply(l, db.srv.opts.MaskLowFirst); n > 0 {
			s.trans++
			s.commands += int64(n)
			if s.empty {
				s.start, s.empty = l.lsn, false
			}
			s.finish, s.latency = l.lsn, int64(now.Sub(l.ended).Seconds())
		}
	}
	db.log = nil
	db.scans++
	s.id = db.scans
	// Empty scans in a row share one session.
	if n := len(st.sessions); s.empty && n > 0 && st.sessions[n-1].empty && st.sessions[n-1].errors == 0 {
		st.sessions = append(slices.Clone(st.sessions[:n-1]), s)
	} else {
		st.sessions = append(slices.Clone(st.sessions[max(0, n-100):]), s)
	}
	db.st.Store(st)
}

// apply adds a transaction's rows to the change tables, and says how many.
func (st *state) apply(l logTx, lowFirst bool) int {
	n := 0
	for i, in := range st.instances {
		var rows []ctRow
		for _, o := range l.ops {
			if o.table.id == in.sourceID && l.lsn.Compare(in.startLSN) > 0 {
				rows = in.appendRows(rows, l.lsn, o, lowFirst)
			}
		}
		if len(rows) > 0 {
			c := in.clone()
			c.rows = append(c.rows, rows...)
			st.instances[i] = c
			n += len(rows)
		}
	}
	if n > 0 {
		st.times = append(st.times, timeRow{l.lsn, datetime(l.began), datetime(l.ended), tranID(l.id), l.begin})
	}
	return n
}

func tranID(id uint64) []byte {
	b := binary.BigEndian.AppendUint64(nil, id)
	return b[2:]
}

// appendRows appends the change rows of an operation.
func (in *instance) appendRows(dst []ctRow, lsn LSN, o op, lowFirst bool) []ctRow {
	all := in.mask(func(int) bool { return true }, lowFirst)
	switch {
	case o.before == nil:
		return append(dst, ctRow{lsn, o.seq, 2, all, in.project(o, o.after, nil), o.command})
	case o.after == nil:
		return append(dst, ctRow{lsn, o.seq, 1, all, in.project(o, o.before, in.never), o.command})
	case o.keyChange:
		return append(dst, ctRow{lsn, o.seq, 1, all, in.project(o, o.before, in.never), o.command},
			ctRow{lsn, o.seq2, 2, all, in.project(o, o.after, nil), o.command + 1})
	}
	before, after := in.project(o, o.before, nil), in.project(o, o.after, nil)
	touched := make([]bool, len(in.columns))
	changed := false
	for i := range in.columns {
		touched[i] = !sameValue(before[i], after[i])
		changed = changed || touched[i]
	}
	if !changed {
		return dst // none of the captured columns changed
	}
	mask := in.mask(func(i int) bool { return touched[i] }, lowFirst)
	for i, c := range in.columns {
		if in.never(i) {
			before[i] = nil
		}
		if c.typ.Large() && !touched[i] {
			before[i], after[i] = nil, nil
		}
	}
	return append(dst, ctRow{lsn, o.seq, 3, mask, before, o.command}, ctRow{lsn, o.seq, 4, mask, after, o.command})
}

// never: the types whose old values a change table does not have.
func (in *instance) never(i int) bool {
	k := in.columns[i].typ.Kind
	return k == "text" || k == "ntext" || k == "image"
}

// project takes the captured columns out of a row.
func (in *instance) project(o op, row []any, without func(int) bool) []any {
	out := make([]any, len(in.columns))
	for i, c := range in.columns {
		if c.computed != nil || without != nil && without(i) {
			continue
		}
		k := slices.IndexFunc(o.table.columns, func(x *column) bool { return x.id == c.id })
		if k >= 0 {
			out[i] = row[k]
		}
	}
	return out
}

// mask has a bit for each captured column, the first in the lowest bit of the
// last byte (of the first one if lowFirst).
func (in *instance) mask(set func(int) bool, lowFirst bool) []byte {
	m := make([]byte, (len(in.columns)+7)/8)
	for i := range in.columns {
		if set(i) {
			m[maskByte(len(m), i, lowFirst)] |= 1 << (i % 8)
		}
	}
	return m
}

func maskByte(n, i int, lowFirst bool) int {
	if lowFirst {
		return i / 8
	}
	return n - 1 - i/8
}

// sameValue compares as the log does: by the bytes, not by the collation.
func sameValue(a, b any) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	switch x := a.(type) {
	case string:
		return x == b.(string)
	case []byte:
		return string(x) == string(b.([]byte))
	case tds.Variant:
		y := b.(tds.Variant)
		return x.Type == y.Type && sameValue(x.Value, y.Value)
	case time.Time:
		y := b.(time.Time)
		_, zx := x.Zone()
		_, zy := y.Zone()
		return x.Equal(y) && zx == zy
	}
	return compare(a, b) == 0
}

// cleanup removes the rows below the low-water mark from an instance, as
// sp_cdc_cleanup_change_table does, and what no instance needs from the times.
func (db *Database) cleanup(name string, low LSN) error {
	return db.change(func(st *state) error {
		found := false
		for i, in := range st.instances {
			if name != "" && !strings.EqualFold(in.name, name) {
				continue
			}
			found = true
			if in.pending || low.Compare(in.startLSN) <= 0 {
				continue
			}
			c := in.clone()
			c.startLSN = low
			k, _ := slices.BinarySearchFunc(c.rows, low, func(r ctRow, l LSN) int { return r.lsn.Compare(l) })
			c.rows = slices.Clone(c.rows[k:])
			st.instances[i] = c
		}
		if !found {
			return sqlError(22964, "The specified capture instance '%s' does not exist in the current database.", name)
		}
		lowest := low
		for _, in := range st.instances {
			if in.startLSN.Compare(lowest) < 0 {
				lowest = in.startLSN
			}
		}
		k, _ := slices.BinarySearchFunc(st.times, lowest, func(r timeRow, l LSN) int { return r.lsn.Compare(l) })
		// The newest row stays, so that there is a maximum.
		k = min(k, max(0, len(st.times)-1))
		st.times = slices.Clone(st.times[k:])
		return nil
	})
}

// maxLSN is what fn_cdc_get_max_lsn gives.
func (st *state) maxLSN() LSN {
	if len(st.times) == 0 {
		return LSN{}
	}
	return st.times[len(st.times)-1].lsn
}

// minLSN is what fn_cdc_get_min_lsn gives whoever may see all: zero for an unknown
// instance, and for NULL.
func (st *state) minLSN(name string) LSN {
	if in := st.instance(name); in != nil {
		return in.low()
	}
	return LSN{}
}

// low is start_lsn: NULL until the capture job has scanned the log since the
// instance was made.
func (in *instance) low() LSN {
	if in.pending {
		return LSN{}
	}
	return in.startLSN
}

// establish gives the instances that have none yet the low ends of their validity.
func (st *state) establish() {
	for i, in := range st.instances {
		if in.pending {
			c := in.clone()
			c.pending = false
			st.instances[i] = c
		}
	}
}

// datetime rounds a time as the type datetime does.
func datetime(t time.Time) time.Time {
	v, _ := fitTime(t, dtType, dtType)
	return v.(time.Time)
}
