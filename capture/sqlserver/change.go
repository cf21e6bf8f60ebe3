package sqlserver

import (
	"bytes"
	"database/sql/driver"
	"fmt"
	"strings"
	"time"
	"unsafe"
)

// key is where a row of a change table stands in the log.
type key struct {
	commit  lsn
	command int64
	change  lsn
	op      int64
}

// compare orders rows: by commit, command, sequence value and operation.
func (k *key) compare(o *key) int {
	if n := bytes.Compare(k.commit[:], o.commit[:]); n != 0 {
		return n
	}
	if k.command != o.command {
		return int(k.command - o.command)
	}
	if n := bytes.Compare(k.change[:], o.change[:]); n != 0 {
		return n
	}
	return int(k.op - o.op)
}

// change is a row of a change table.
type change struct {
	key
	at      int64 // Unix nanoseconds of the transaction's begin; 0 = not known
	start   int   // of the row in page.buf; the key follows it
	row, id int   // their lengths, bytes
}

// page is what is read of a change table at a time. Rows have the form of the codec
// already, so that little is kept of each.
type page struct {
	rows   []change
	buf    []byte
	failed map[int]failure // rows that cannot be encoded
	marks  map[int]string  // rows that are marks
	last   bool            // there are no more
}

// failure is why a row cannot be encoded.
type failure struct {
	err error
	raw []byte // its cells, with tabs between
}

// metaColumns come before those of the table.
const metaColumns = 6

// keyIn is where a row stands, of its first columns.
func keyIn(v []driver.Value) (k key, err error) {
	commit, ok1 := v[0].([]byte)
	command, ok2 := v[1].(int64)
	seqval, ok3 := v[2].([]byte)
	op, ok4 := v[3].(int64)
	if !ok1 || !ok2 || !ok3 || !ok4 || len(commit) != len(k.commit) || len(seqval) != len(k.change) {
		return k, fmt.Errorf("the driver gives %T, %T, %T and %T for __$start_lsn, __$command_id, __$seqval and __$operation", v[0], v[1], v[2], v[3])
	}
	return key{lsn(commit), command, lsn(seqval), op}, nil
}

// append adds a row of the driver's values. It is the last one of the page also if it
// cannot be encoded.
func (p *pages) append(k key, v []driver.Value) {
	t, x := p.in.table, &p.page
	r := change{key: k, start: len(x.buf)}
	if at, ok := v[5].(time.Time); ok {
		r.at = at.UnixNano()
	}
	mask, _ := v[4].([]byte)
	values := v[metaColumns:]
	var err error
	if p.cells, p.scratch, err = t.row(p.cells, p.scratch[:0], values); err == nil {
		t.complete(p.cells, k.op, mask)
		x.buf, err = t.codec.AppendRow(x.buf, p.cells)
	}
	if r.row = len(x.buf) - r.start; err == nil && len(t.codec.Table.Key) > 0 {
		x.buf, err = t.codec.AppendKey(x.buf, p.cells)
		r.id = len(x.buf) - r.start - r.row
	}
	if err != nil {
		x.buf, r.row, r.id = x.buf[:r.start], 0, 0
		if x.failed == nil {
			x.failed = make(map[int]failure)
		}
		x.failed[len(x.rows)] = failure{err, bytes.Join(p.cells, []byte{'\t'})}
	}
	if p.signals && k.op == opInsert && len(values) > 1 && asText(values[1]) == markType && strings.HasPrefix(asText(values[0]), markPrefix) {
		if x.marks == nil {
			x.marks = make(map[int]string)
		}
		x.marks[len(x.rows)] = asText(values[0])
	}
	x.rows = append(x.rows, r)
}

// size is about how much memory the page takes, bytes.
func (x *page) size() int { return len(x.buf) + len(x.rows)*int(unsafe.Sizeof(change{})) }
