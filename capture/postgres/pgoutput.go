package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"tributary/capture"
	"tributary/envelope"
	"tributary/internal/fault"
)

// The messages of pgoutput, protocol version 2 (PostgreSQL manual, "Logical
// Replication Message Formats"). All integers are big-endian. Between the start
// and the stop of a stream, an int32 xid follows the first byte of a message
// (see spools).
const (
	msgBegin    = 'B' // int64 commit LSN, int64 commit time, int32 xid
	msgCommit   = 'C' // int8 flags, int64 commit LSN, int64 end LSN, int64 commit time
	msgOrigin   = 'O' // int64 commit LSN at the origin, string name
	msgRelation = 'R' // int32 oid, string schema, string name, int8 identity, int16 n, n × (int8 flags, string name, int32 type, int32 typmod)
	msgType     = 'Y'
	msgInsert   = 'I' // int32 oid, 'N', tuple
	msgUpdate   = 'U' // int32 oid, ['K' tuple | 'O' tuple], 'N', tuple
	msgDelete   = 'D' // int32 oid, 'K' tuple | 'O' tuple
	msgTruncate = 'T' // int32 n, int8 options, n × int32 oid
	msgMessage  = 'M' // int8 flags, int64 LSN, string prefix, int32 length, content

	msgStreamStart  = 'S' // int32 xid, int8 first
	msgStreamStop   = 'E'
	msgStreamCommit = 'c' // int32 xid, int8 flags, int64 commit LSN, int64 end LSN, int64 commit time
	msgStreamAbort  = 'A' // int32 xid, int32 xid of the subtransaction
)

// A tuple is int16 n, n × (kind [int32 length, bytes]).
const (
	cellNull      = 'n'
	cellUnchanged = 'u'
	cellText      = 't'
)

// pgEpoch is 2000-01-01 in microseconds since 1970: times in the protocol
// count from there.
const pgEpoch = 946684800 * 1e6

var errShort = errors.New("message is cut short")

// unchanged stands for the cell of a value that the log does not carry. It is
// told by its address; no cell of the log can have it.
var unchanged = []byte{0}

func isUnchanged(cell []byte) bool { return len(cell) == 1 && &cell[0] == &unchanged[0] }

// relation is what a Relation message announced.
type relation struct {
	*captured          // nil: not captured
	columns   []int    // for each column of a tuple its index in the table, -1 = left out
	old, new  [][]byte // cells of the table, reused
	identity  []bool   // by column of the table: it is part of the replica identity
}

// lookup finds the table for a Relation message, nil if it is not captured.
// columns are the message's, in its order, with the name and type filled in.
type lookup func(ctx context.Context, oid uint32, id envelope.TableID, columns []relationColumn) (*captured, error)

type relationColumn struct {
	key    bool // part of the replica identity
	name   string
	oid    uint32
	typmod int32
}

// decoder turns messages into changes. It is pure but for lookup, which it
// calls for Relation messages alone.
type decoder struct {
	lookup    lookup
	skip      [256]bool                // operations left out
	keep      bool                     // changes that cannot be decoded are kept aside, not faults
	invents   bool                     // what the log does not have of a row is not told
	prefixes  func(prefix string) bool // logical messages wanted; nil = all
	text      func([]byte) string      // what their content becomes, nil = it stays
	now       func() time.Time
	relations map[uint32]*relation

	inTx       bool
	commit     lsn   // of the transaction in work
	tsNs       int64 // its commit time
	xid        uint32
	origin     string // replication origin of the transaction in work, "" = none
	originLSN  lsn
	changes    int64 // row messages of it so far
	end        lsn   // end of the last transaction that is complete
	lastCommit lsn   // the same, but 0 before one was seen
	resume     *position
	skipping   bool   // the transaction in work was delivered before
	after      *after // what Debezium has told of a transaction, until that is done
	heldBack   []byte // its last message that Debezium has told of
	done       bool   // Debezium has told of the message at hand

	at    lsn // where the message at hand lies, set before control
	begun lsn // where the transaction in work begins, 0 once its BEGIN was told
	count envelope.Transaction
}

func newDecoder(l lookup, o *capture.Options, resume *position) *decoder {
	d := &decoder{lookup: l, now: time.Now, relations: make(map[uint32]*relation), resume: resume}
	d.count = envelope.NewTransaction(o.Transactions)
	if resume != nil {
		d.end, d.lastCommit, d.after = resume.LSN, resume.LastCommit, resume.After
	}
	for _, op := range []envelope.Op{envelope.Create, envelope.Update, envelope.Delete, envelope.Truncate, envelope.Logical} {
		d.skip[op] = o.Skips(op)
	}
	d.keep, d.text = o.KeepsFailures(), textOfBytes(o.Binaries)
	return d
}

// reads reports whether a message appends to a batch.
func reads(data []byte) bool {
	if len(data) == 0 {
		return false
	}
	switch data[0] {
	case msgInsert, msgUpdate, msgDelete, msgTruncate, msgMessage:
		return true
	}
	return false
}

// control handles a message for which reads is false. It returns true at the
// end of a transaction.
func (d *decoder) control(ctx context.Context, data []byte) (bool, error) {
	if len(data) == 0 {
		return false, errShort
	}
	r := reader{rest: data[1:]}
	switch data[0] {
	case msgBegin:
		return false, d.begin(&r)
	case msgCommit:
		r.take(1)
		r.uint64()
		end, _ := lsn(r.uint64()), r.uint64()
		if r.bad {
			return false, errShort
		}
		d.inTx, d.skipping, d.done = false, false, false
		if d.after != nil && d.after.XID == d.xid {
			d.after, d.heldBack = nil, nil
		}
		if end > d.end {
			d.end = end
		}
		d.lastCommit = end
		return true, nil
	case msgRelation:
		return false, d.relation(ctx, &r)
	case msgOrigin:
		d.originLSN, d.origin = lsn(r.uint64()), r.string()
		if r.bad {
			return false, errShort
		}
		return false, nil
	case msgType:
		return false, nil
	}
	return false, fault.Humanf("report this with the server's version", "unknown pgoutput message %q", data[0])
}

func (d *decoder) begin(r *reader) error {
	d.commit, d.tsNs, d.xid = lsn(r.uint64()), (int64(r.uint64())+pgEpoch)*1000, r.uint32()
	d.inTx, d.changes, d.skipping = true, 0, false
	d.origin, d.originLSN = "", 0
	if r.bad {
		return errShort
	}
	// A transaction that ended at or before the resume position has its
	// commit record before it.
	d.skipping = d.resume != nil && d.commit < d.resume.LSN
	d.begun = d.at
	return nil
}

// source is the source block of what lies at a position of the transaction in
// work.
func (d *decoder) source(at lsn) envelope.Source {
	return envelope.Source{TsNs: d.tsNs, TxID: int64(d.xid), LSN: int64(at), LastCommit: int64(d.lastCommit), Origin: d.origin, OriginLSN: int64(d.originLSN)}
}

// began tells that the transaction in work begins, before its first change.
// What was delivered of it before is decoded for its count alone.
func (d *decoder) began(out *envelope.Changes) {
	if d.begun == 0 || !d.count.On() || d.skipping {
		return
	}
	if d.delivered() {
		out = nil
	}
	d.count.Begin(out, d.source(d.begun), d.now().UnixNano())
	d.begun = 0
}

// ended tells that the transaction ended of which control has just seen the
// commit, if its beginning was told.
func (d *decoder) ended(out *envelope.Changes) {
	if d.changes > 0 && d.begun == 0 && d.count.On() {
		d.count.End(out, d.source(d.at), d.now().UnixNano())
	}
	d.changes = 0
}

func (d *decoder) relation(ctx context.Context, r *reader) error {
	oid := r.uint32()
	id := envelope.TableID{Schema: r.string(), Name: r.string()}
	r.take(1)
	columns := make([]relationColumn, 0, 16)
	for n := int(r.uint16()); n > 0 && !r.bad; n-- {
		flags := r.byte()
		columns = append(columns, relationColumn{key: flags&1 != 0, name: r.string(), oid: r.uint32(), typmod: int32(r.uint32())})
	}
	if r.bad {
		return errShort
	}
	c, err := d.lookup(ctx, oid, id, columns)
	if err != nil {
		return err
	}
	rel := &relation{captured: c}
	d.relations[oid] = rel
	if c == nil {
		return nil
	}
	rel.old = make([][]byte, len(c.codec.Columns))
	rel.new = make([][]byte, len(c.codec.Columns))
	rel.identity = make([]bool, len(c.codec.Columns))
	for _, col := range columns {
		at := -1
		for i := range c.codec.Table.Columns {
			if c.codec.Table.Columns[i].Name == col.name {
				at = i
				rel.identity[i] = col.key
			}
		}
		rel.columns = append(rel.columns, at)
	}
	return nil
}

// rows appends the changes of a message for which reads is true. walStart is
// the WAL position that the message came with.
func (d *decoder) rows(walStart lsn, data []byte, out *envelope.Changes) error {
	if !d.inTx {
		if data[0] == msgMessage {
			return d.message(walStart, data, out)
		}
		return errors.New("row outside of a transaction")
	}
	d.changes++
	if d.after != nil {
		var first []byte
		if d.done, first = d.told(walStart, data); first != nil {
			if err := d.row(walStart, first, out); err != nil {
				return err
			}
		}
	}
	if d.skipping || d.delivered() && !d.count.On() {
		return nil
	}
	d.began(out)
	list, buf := len(out.List), len(out.Buf)
	var err error
	if data[0] == msgMessage {
		err = d.message(walStart, data, out)
	} else if err = d.row(walStart, data, out); err != nil && d.keep {
		clear(out.List[list:])
		out.List, out.Buf = out.List[:list], out.Buf[:buf]
		d.aside(walStart, data, err, out)
		err = nil
	}
	if err != nil {
		return err
	}
	for i := list; i < len(out.List); i++ {
		d.count.Count(&out.List[i])
	}
	if d.delivered() {
		clear(out.List[list:])
		out.List, out.Buf = out.List[:list], out.Buf[:buf]
	}
	return nil
}

// message decodes what pg_logical_emit_message wrote. One that belongs to no
// transaction comes at once, between two.
func (d *decoder) message(at lsn, data []byte, out *envelope.Changes) error {
	r := reader{rest: data[1:]}
	transactional := r.byte()&1 != 0
	r.uint64() // at
	prefix := r.string()
	content := r.take(int(r.uint32()))
	switch {
	case r.bad:
		return errShort
	case transactional != d.inTx:
		return errors.New("message of a transaction outside of one")
	}
	source := d.source(at)
	if !transactional {
		if d.resume != nil && at < d.resume.LSN {
			return nil
		}
		if source.TxID = 0; source.TsNs == 0 {
			source.TsNs = d.now().UnixNano()
		}
		source.LastCommit, d.lastCommit, d.end = int64(at), at, max(d.end, at+1)
	}
	if prefix == markPrefix || d.skip[envelope.Logical] || d.prefixes != nil && !d.prefixes(prefix) {
		return nil
	}
	content = bytes.Clone(content)
	if d.text != nil {
		content = []byte(d.text(content))
	}
	c := out.Next()
	c.Op, c.Source, c.TsNs = envelope.Logical, source, d.now().UnixNano()
	c.Event = &envelope.Event{Message: &envelope.LogicalMessage{Prefix: prefix, Content: content}}
	return nil
}

// aside keeps a change that could not be decoded.
func (d *decoder) aside(at lsn, data []byte, reason error, out *envelope.Changes) {
	f := &envelope.Failure{Reason: reason.Error(), Raw: bytes.Clone(data)}
	if len(data) >= 5 && data[0] != msgTruncate {
		if rel := d.relations[binary.BigEndian.Uint32(data[1:])]; rel != nil && rel.captured != nil {
			f.Table = rel.codec.Table.ID
		}
	}
	c := out.Next()
	c.Op, c.Source, c.TsNs, c.Event = envelope.Failed, d.source(at), d.now().UnixNano(), &envelope.Event{Failure: f}
}

// row decodes one message that changes rows.
func (d *decoder) row(walStart lsn, data []byte, out *envelope.Changes) error {
	r := reader{rest: data[1:]}
	if data[0] == msgTruncate {
		return d.truncate(walStart, &r, out)
	}
	oid := r.uint32()
	if r.bad {
		return errShort
	}
	rel, ok := d.relations[oid]
	if !ok {
		return fmt.Errorf("row of relation %d, which was not announced", oid)
	}
	if rel.captured == nil {
		return nil
	}
	var err error
	switch data[0] {
	case msgInsert:
		err = d.insert(rel, walStart, &r, out)
	case msgUpdate:
		err = d.update(rel, walStart, &r, out)
	default:
		err = d.delete(rel, walStart, &r, out)
	}
	if err != nil {
		return fmt.Errorf("decode change of %s at %s: %w", rel.codec.Table.ID, walStart, err)
	}
	return nil
}

// delivered reports whether the row message at hand belongs to the part of the
// transaction that was delivered before the resume.
func (d *decoder) delivered() bool {
	p := d.resume
	return d.done || p != nil && p.Partial != nil && p.Partial.Commit == d.commit && d.changes <= p.Partial.Changes
}

func (d *decoder) next(rel *relation, op envelope.Op, at lsn, out *envelope.Changes) *envelope.Change {
	c := out.Next()
	c.Op, c.Table, c.TsNs, c.Source = op, rel.codec.Table, d.now().UnixNano(), d.source(at)
	return c
}

func (d *decoder) insert(rel *relation, at lsn, r *reader, out *envelope.Changes) error {
	if r.byte() != 'N' {
		return errors.New("insert without a new tuple")
	}
	if err := rel.tuple(r, rel.new); err != nil {
		return err
	}
	if d.skip[envelope.Create] {
		return nil
	}
	c := d.next(rel, envelope.Create, at, out)
	return rel.appendAfter(c, out)
}

func (d *decoder) update(rel *relation, at lsn, r *reader, out *envelope.Changes) error {
	kind := r.byte()
	full := kind == 'O' // the old tuple is the whole row, not the key alone
	hasOld := full || kind == 'K'
	if hasOld {
		if err := rel.tuple(r, rel.old); err != nil {
			return err
		}
		kind = r.byte()
	}
	if kind != 'N' {
		return errors.New("update without a new tuple")
	}
	if err := rel.tuple(r, rel.new); err != nil {
		return err
	}
	if d.skip[envelope.Update] && (!hasOld || !rel.keyChanges()) {
		return nil // a changed key is a delete and a create
	}
	if full {
		for i, cell := range rel.new {
			if isUnchanged(cell) {
				rel.new[i] = rel.old[i]
			}
		}
	}
	c := d.next(rel, envelope.Update, at, out)
	if err := rel.appendAfter(c, out); err != nil || !hasOld {
		return err
	}
	key, err := rel.appendKey(rel.old, out)
	if err != nil {
		return err
	}
	if key != nil && !bytes.Equal(key, c.Key) {
		c.OldKey = key
	}
	if full || c.OldKey != nil {
		c.Before, err = rel.appendRow(rel.old, out)
	}
	if !full {
		c.Known = d.known(rel)
	}
	return err
}

// known tells which columns of an old tuple the log has, if it is that of the
// replica identity.
func (d *decoder) known(rel *relation) []bool {
	if d.invents {
		return nil
	}
	return rel.identity
}

// keyChanges reports whether an update's cells have another key than the old ones.
// One that is unchanged and stored apart is the old one.
func (rel *relation) keyChanges() bool {
	return slices.ContainsFunc(rel.codec.Table.Key, func(i int) bool {
		return !isUnchanged(rel.new[i]) && !bytes.Equal(rel.old[i], rel.new[i])
	})
}

func (d *decoder) delete(rel *relation, at lsn, r *reader, out *envelope.Changes) error {
	kind := r.byte()
	if kind != 'K' && kind != 'O' {
		return errors.New("delete without an old tuple")
	}
	if err := rel.tuple(r, rel.old); err != nil {
		return err
	}
	if d.skip[envelope.Delete] {
		return nil
	}
	c := d.next(rel, envelope.Delete, at, out)
	if kind == 'K' {
		c.Known = d.known(rel)
	}
	var err error
	if c.Before, err = rel.appendRow(rel.old, out); err != nil {
		return err
	}
	c.Key, err = rel.appendKey(rel.old, out)
	return err
}

func (d *decoder) truncate(at lsn, r *reader, out *envelope.Changes) error {
	n := r.uint32()
	r.take(1)
	for ; n > 0 && !r.bad; n-- {
		rel, ok := d.relations[r.uint32()]
		if r.bad || !ok || rel.captured == nil || d.skip[envelope.Truncate] {
			continue
		}
		d.next(rel, envelope.Truncate, at, out)
	}
	if r.bad {
		return errShort
	}
	return nil
}

// position is where to resume after what has been decoded.
func (d *decoder) position(p *position) {
	p.LSN, p.LastCommit, p.Partial, p.After = d.end, d.lastCommit, nil, d.after
	if d.inTx && (d.after == nil || d.after.XID != d.xid) {
		p.Partial = &partial{Commit: d.commit, Changes: d.changes}
	}
}
