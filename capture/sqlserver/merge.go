package sqlserver

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"tributary/envelope"
)

// merge delivers the rows of several cursors in the order of the log.
type merge struct {
	*stream
	d *database
	*iteration
	lane    *lane
	objects []int64 // place.Instances of the transaction in work
	cursors []*cursor
	rows    int // that were delivered
	tx      envelope.Transaction

	open    bool // a transaction is in work
	source  envelope.Source
	earlier envelope.Source // of the last row of the iterations before
	last    key             // of the row before
	same    int
	serial  int64
}

// least is the cursor whose row is next, nil at the end.
func (m *merge) least() (c *cursor) {
	for _, x := range m.cursors {
		h := x.head()
		if h == nil {
			continue
		}
		if c == nil || h.compare(&c.head().key) < 0 {
			c = x
		}
	}
	return c
}

func (m *merge) run(ctx context.Context) error {
	for _, f := range m.read {
		c := &cursor{in: f.pages.in, pages: f.pages, lane: m.lane}
		c.turn(ctx, f.page)
		m.cursors = append(m.cursors, c)
	}
	for c := m.least(); c != nil; c = m.least() {
		if err := m.row(ctx, c); err != nil {
			return err
		}
	}
	m.finish()
	m.switches(m.to)
	return nil
}

// finish ends the transaction in work.
func (m *merge) finish() {
	if m.open {
		m.tx.End(&m.batch.Changes, m.source, time.Now().UnixNano())
	}
	m.open = false
}

// row delivers the row at the head of a cursor; for an update also the one that
// follows.
func (m *merge) row(ctx context.Context, c *cursor) error {
	r := *c.head()
	if !m.open || r.commit != m.source.CommitLSN {
		if err := m.begin(ctx, &r); err != nil {
			return err
		}
	}
	var old *half
	if r.op == opBefore {
		h := c.half() // its memory stays, also if the page is turned
		if err := c.advance(ctx); err != nil {
			return err
		}
		x := c.head()
		if x == nil || x.op != opAfter || x.commit != r.commit || x.change != r.change {
			return fmt.Errorf("the change table of %s has the first half of an update without the second, at %s", c.in.id, r.change.String())
		}
		old, r = &h, *x
	}
	if r.commit == m.last.commit && r.change == m.last.change {
		m.serial++
	} else {
		m.serial = 1
	}
	if old != nil {
		m.serial++
	}
	if r.key == m.last {
		m.same++
	} else {
		m.last, m.same = r.key, 1
	}
	m.source.ChangeLSN, m.source.SerialNo = r.change, m.serial
	m.rows++
	now := c.half()
	if err := m.deliver(ctx, c.in, old, &now, &r); err != nil {
		return err
	}
	return c.advance(ctx)
}

// begin starts the transaction of a row.
func (m *merge) begin(ctx context.Context, r *change) error {
	m.finish()
	if m.source.CommitLSN != (lsn{}) {
		*m.at.Databases[m.d.name] = place{Commit: lsnText(m.source.CommitLSN), Instances: m.objects}
		m.moved = true
	}
	if m.pipe.Limits().Full(m.batch) {
		if err := m.put(ctx); err != nil {
			return err
		}
	}
	m.switches(r.commit)
	m.instances(r.commit)
	m.source = envelope.Source{CommitLSN: r.commit, TsNs: r.at}
	if r.at == 0 {
		m.source.TsNs = time.Now().UnixNano()
	}
	m.open = true
	if m.delivered(r.commit) {
		m.tx.Begin(nil, m.source, 0)
	} else {
		m.tx.Begin(&m.batch.Changes, m.source, time.Now().UnixNano())
	}
	return nil
}

// delivered reports whether a part of the transaction was delivered before.
func (m *merge) delivered(commit lsn) bool { return m.within && commit == m.from }

// passed reports whether the row at hand was delivered before.
func (m *merge) passed() bool {
	if !m.delivered(m.last.commit) {
		return false
	}
	p := &m.before
	if p.Command == nil { // a position of Debezium's
		if n := compareLSN(m.last.change, lsn(p.Change)); n != 0 {
			return n < 0
		}
		return m.serial <= p.SerialNo
	}
	stored := key{lsn(p.Commit), *p.Command, lsn(p.Change), p.Operation}
	if n := m.last.compare(&stored); n != 0 {
		return n < 0
	}
	return m.same <= p.Same
}

// instances brings the list of instances of the position up to date: an old one may
// be dropped as soon as the position is behind the beginning of the new one.
func (m *merge) instances(commit lsn) {
	since := m.source.CommitLSN
	if since == (lsn{}) {
		since, m.objects = lsn(m.before.Commit), m.before.Instances
	}
	between := func(l lsn) bool { return compareLSN(l, since) > 0 && compareLSN(l, commit) <= 0 }
	for _, in := range m.list {
		if between(in.start) || between(in.stop) {
			m.objects = objects(m.list, commit)
			return
		}
	}
}

// switches tells of tables that have got a further capture instance since the last
// transaction, where that begins at commit or before.
func (m *merge) switches(commit lsn) {
	for _, in := range m.list {
		if in.stop == (lsn{}) || compareLSN(in.stop, commit) > 0 {
			continue
		}
		since := m.source.CommitLSN
		if since == (lsn{}) {
			since = lsn(m.before.Commit)
		}
		if compareLSN(in.stop, since) <= 0 {
			continue // it was told
		}
		for _, newer := range m.list {
			if newer.id != in.id || newer.start != in.stop {
				continue
			}
			m.log.Info("the table has a further capture instance", "table", in.id.String(), "from", in.name, "to", newer.name)
			if m.cfg.SchemaChanges {
				source := m.source
				if source.CommitLSN == (lsn{}) {
					source = m.earlier
				}
				if source.CommitLSN == (lsn{}) {
					source.CommitLSN = since
				}
				source.TsNs = time.Now().UnixNano()
				appendSchemaChange(&m.batch.Changes, newer.table, "ALTER", "N/A", source)
			}
		}
	}
}

// deliver makes the change of a row.
func (m *merge) deliver(ctx context.Context, in *instance, old, now *half, r *change) error {
	op := operation(r.op)
	if op == 0 {
		return fmt.Errorf("the change table of %s has the operation %d, which is not known", in.id, r.op)
	}
	if m.marks.own(in, now.mark, r.commit) || m.cfg.skipOp[op] {
		return nil
	}
	failed := now.failed
	if old != nil && old.failed != nil {
		failed = old.failed
	}
	if failed != nil && !m.cfg.KeepsFailures() {
		return failed.err
	}
	b := m.batch
	n, start := len(b.List), len(b.Buf)
	c := b.Next()
	c.Source, c.TsNs = m.source, time.Now().UnixNano()
	if failed != nil {
		c.Op = envelope.Failed
		c.Event = &envelope.Event{Failure: &envelope.Failure{Table: in.id, Reason: failed.err.Error(), Raw: failed.raw}}
	} else {
		c.Op, c.Table = op, in.table.codec.Table
		m.fill(c, old, now)
		m.tx.Count(c)
	}
	if m.passed() { // it was only counted
		b.List, b.Buf = b.List[:n], b.Buf[:start]
		return nil
	}
	if !m.pipe.Limits().Full(b) {
		return nil
	}
	// The batch ends within the transaction, or at its end, which is not known.
	command := m.last.command
	*m.at.Databases[m.d.name] = place{Commit: lsnText(r.commit), Change: lsnText(r.change), SerialNo: m.serial, Command: &command,
		Operation: r.op, Same: m.same, Instances: m.objects}
	return m.put(ctx)
}

// operation is that of a value of __$operation; 0 for one that has none of its own.
func operation(op int64) envelope.Op {
	switch op {
	case opDelete:
		return envelope.Delete
	case opInsert:
		return envelope.Create
	case opAfter:
		return envelope.Update
	}
	return 0
}

// fill puts the rows and keys into a change.
func (m *merge) fill(c *envelope.Change, old, now *half) {
	keep := func(h *half) (row, key envelope.Row) {
		b := m.batch
		start := len(b.Buf)
		b.Buf = append(append(b.Buf, h.row...), h.key...)
		end := start + len(h.row)
		row = b.Buf[start:end:end]
		if h.key != nil {
			key = b.Buf[end:len(b.Buf):len(b.Buf)]
		}
		return row, key
	}
	if c.Op == envelope.Delete {
		c.Before, c.Key = keep(now)
		return
	}
	var oldKey envelope.Row
	if old != nil {
		c.Before, oldKey = keep(old)
	}
	if c.After, c.Key = keep(now); oldKey != nil && !bytes.Equal(oldKey, c.Key) {
		c.OldKey = oldKey
	}
}
