package ingest

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"tributary/internal/avro"
	"tributary/internal/column"
	"tributary/internal/fault"
	"tributary/lake"
)

// decoder walks the records of one writer schema into columns of a table.
type decoder struct {
	form  *form
	plan  *avro.Plan
	table lake.Schema
	// cols[i] is what fills column i of the table; nil where the writer schema
	// has no such column.
	cols    []*sourceColumn
	before  []int // scratch column that holds column i of a before image, or -1
	seq     int   // place of __seq in the table
	deleted int   // place of __deleted in the table, -1 when it has none
	keys    []int
	texts   []int // columns that may hold the placeholder of an unavailable value
	row     []int // columns of the row itself, which a soft delete keeps
	spelled []spelled
}

// newDecoder compiles the way from records of form f into the table's columns.
func newDecoder(s *avro.Schema, f *form, table lake.Schema, key []string) (*decoder, error) {
	d := &decoder{form: f, table: table, seq: table.Index(colSeq), deleted: table.Index(colDeleted)}
	if d.seq < 0 {
		return nil, fault.Humanf("move the table away and load it anew", "the table has no column %s: it was not made by this program", colSeq)
	}
	var targets []avro.Target
	for i, field := range table.Fields {
		c := f.column(field.Name)
		d.cols = append(d.cols, c)
		t := avro.Target{Path: "\x00", Kind: field.Type.Column()}
		switch {
		case c == nil || c.path == "":
		case spells(c, field.Type):
			d.spelled = append(d.spelled, spelled{col: i, before: -1, from: c.typ})
		default:
			t = avro.Target{Path: c.path, Kind: walkKind(field.Type, c.conv)}
		}
		targets = append(targets, t)
		isKey := false
		for _, k := range key {
			isKey = isKey || k == field.Name
		}
		switch {
		case isKey:
			d.keys = append(d.keys, i)
		case strings.HasPrefix(field.Name, metaPrefix):
		default:
			d.row = append(d.row, i)
			// Of MySQL too: where a session logs without what an update leaves alone.
			if k := field.Type.Kind; k == lake.String || k == lake.Bytes {
				d.texts = append(d.texts, i)
			}
		}
	}
	targets = append(targets, f.scratchTargets()...)
	for i, c := range d.cols {
		d.before = append(d.before, -1)
		if c != nil && c.before != "" && !spells(c, table.Fields[i].Type) {
			d.before[i] = len(targets)
			targets = append(targets, avro.Target{Path: c.before, Kind: targets[i].Kind})
		}
	}
	for i := range d.spelled {
		x := &d.spelled[i]
		c := d.cols[x.col]
		x.values, targets = len(targets), append(targets, avro.Target{Path: c.path, Kind: c.typ.Column()})
		if c.before != "" {
			x.before, targets = len(targets), append(targets, avro.Target{Path: c.before, Kind: c.typ.Column()})
		}
	}
	var err error
	if d.plan, err = avro.Compile(s, targets); err != nil {
		return nil, err
	}
	return d, nil
}

// changes is a batch of changes on its way into the table.
type changes struct {
	batch   *column.Batch // the table's columns, and scratch while an object is decoded
	ops     []lake.Op
	keep    []column.Bitmap
	deletes bool
	spare   column.Column
	walker  walker
	pos     sourcePosition
	width   int // columns of the table
}

func newChanges(table lake.Schema) *changes {
	return &changes{batch: table.NewBatch(), width: len(table.Fields), keep: make([]column.Bitmap, len(table.Fields))}
}

// rows returns the changes as the table takes them.
func (c *changes) rows() lake.Rows {
	r := lake.Rows{Batch: &column.Batch{Cols: c.batch.Cols[:c.width:c.width], Len: c.batch.Len}}
	if c.deletes {
		r.Ops = c.ops
	}
	r.Keep = c.keep
	return r
}

// counts returns the number of changes, and of deletes among them.
func (c *changes) counts() (rows, deletes int) {
	if c == nil {
		return 0, 0
	}
	for _, op := range c.ops {
		if op != lake.Upsert {
			deletes++
		}
	}
	return c.batch.Len, deletes
}

// reset empties the batch and keeps its memory and its position.
func (c *changes) reset() {
	c.batch.Reset()
	c.ops = c.ops[:0]
	c.deletes = false
	for i := range c.keep {
		c.keep[i] = c.keep[i][:0]
	}
}

// bytes is about how much memory the batch holds.
func (c *changes) bytes() int {
	n := 0
	for _, b := range []*column.Batch{c.batch, &c.walker.side} {
		cols := b.Cols[:cap(b.Cols)]
		for i := range cols {
			n += 8*(cap(cols[i].Ints)+cap(cols[i].Floats)) + cap(cols[i].Data) + 4*cap(cols[i].Offs)
		}
	}
	for _, d := range c.walker.data {
		n += cap(d)
	}
	return n
}

// sourcePosition is how far the rows reach in the source's log.
type sourcePosition struct {
	hasLSN  bool
	lsn     uint64
	file    string
	pos     int64
	gtid    string
	commit  string // SQL Server's commit_lsn
	ts      int64
	hasTime bool
}

// decodeOptions is what the bytes do not say.
type decodeOptions struct {
	hardDelete  bool
	placeholder []byte // of a value that the database did not send
	first       int64  // Kafka offset of the object's first record
}

// blocks yields the records of an object; io.EOF ends them.
type blocks interface {
	Next() (avro.Block, error)
}

// object appends the records of one object to c. After an error c is as it was
// before; the error tells the record's place in the object.
func (d *decoder) object(c *changes, from blocks, o decodeOptions) error {
	start := c.batch.Len
	c.prepare(d.plan)
	err := d.walk(c, from, start)
	if err == nil {
		err = d.finish(c, start, o)
	}
	c.batch.Cols = c.batch.Cols[:c.width]
	if err != nil {
		c.batch.Truncate(start)
	}
	var re rowError
	if errors.As(err, &re) {
		return fmt.Errorf("record %d: %w", re.row-start, err)
	}
	return err
}

// prepare gives the batch the plan's columns: those of the table with what they
// hold, and empty scratch ones padded to their length.
func (c *changes) prepare(p *avro.Plan) {
	targets := p.Targets()
	for i := c.width; i < len(targets); i++ {
		if i < cap(c.batch.Cols) {
			c.batch.Cols = c.batch.Cols[:i+1]
		} else {
			c.batch.Cols = append(c.batch.Cols, column.Column{})
		}
		c.batch.Cols[i].Reset()
		c.batch.Cols[i].Kind = targets[i].Kind
	}
}

// finish completes the rows from start on: values are converted, the columns
// that are made here are filled, and each row gets its operation.
func (d *decoder) finish(c *changes, start int, o decodeOptions) error {
	cols := c.batch.Cols
	scratch := cols[c.width : c.width+scratchCount]
	ops, deletes, err := d.operations(scratch, o.hardDelete)
	if err != nil {
		return shift(err, start)
	}
	if deletes && d.form.envelope {
		d.takeBefore(c, start, ops)
	}
	for _, x := range d.spelled {
		x.fill(c, d.table.Fields[x.col].Type, start, ops, d.form.envelope)
	}
	for i, s := range d.cols {
		if s == nil {
			continue
		}
		if err := convertTail(&cols[i], &c.spare, start, s.conv, s.schema); err != nil {
			return fmt.Errorf("column %s: %w", s.name, err)
		}
	}
	for _, k := range d.keys {
		for i := start; i < c.batch.Len; i++ {
			if cols[k].IsNull(i) {
				return rowError{i, fault.Humanf("check the key of the topic (message.key.columns) and the table's replica identity",
					"key column %s is null", d.table.Fields[k].Name)}
			}
		}
	}
	d.fillSeq(&cols[d.seq], scratch, start, o.first)
	if d.deleted >= 0 && d.form.deleted == "" {
		d.fillDeleted(&cols[d.deleted], ops, start)
	}
	c.pos.advance(d.form.order, scratch)
	for _, i := range d.texts {
		markUnavailable(&cols[i], &c.keep[i], start, disguises(o.placeholder, d.cols[i]))
	}
	for i, op := range ops {
		if op == lake.SoftDelete {
			for _, col := range d.row {
				c.keep[col].Set(start + i)
			}
		}
	}
	c.ops = append(c.ops, ops...)
	c.deletes = c.deletes || deletes
	return nil
}

// shift makes the row of a rowError count from the start of the batch.
func shift(err error, start int) error {
	if re, ok := errors.AsType[rowError](err); ok {
		re.row += start
		return re
	}
	return err
}

// operations tells what each record of an object does, and whether any deletes.
func (d *decoder) operations(scratch []column.Column, hard bool) (ops []lake.Op, deletes bool, err error) {
	n := scratch[scratchOp].Len()
	ops = make([]lake.Op, n)
	deleteOp := lake.SoftDelete
	if hard {
		deleteOp = lake.Delete
	}
	opCol, delCol := &scratch[scratchOp], &scratch[scratchDeleted]
	for i := range ops {
		op := byte(0)
		if v := opCol.Value(i); len(v) > 0 {
			op = v[0]
		}
		switch op {
		case 't':
			return nil, false, rowError{i, fault.Humanf(
				"empty the table by hand, then let the source skip truncates (skipped.operations: t)",
				"a truncate event cannot be applied")}
		case 'm':
			return nil, false, rowError{i, fault.Humanf("leave the topic out with topics.exclude.regex", "a logical message is no change of a row")}
		}
		if op == 'd' && d.form.deleted == "" || string(delCol.Value(i)) == "true" {
			ops[i], deletes = deleteOp, true
		}
	}
	return ops, deletes, nil
}

// takeBefore gives deleted rows of an envelope the values of their before image:
// the key, and what else the source still knew.
func (d *decoder) takeBefore(c *changes, start int, ops []lake.Op) {
	for i, b := range d.before {
		if b < 0 {
			continue
		}
		col, before := &c.batch.Cols[i], &c.batch.Cols[b]
		moveTail(col, &c.spare, start)
		for r, op := range ops {
			if op == lake.Upsert {
				col.Append(&c.spare, r)
			} else {
				col.Append(before, r)
			}
		}
	}
}

func (d *decoder) fillSeq(col *column.Column, scratch []column.Column, start int, first int64) {
	dropTail(col, start)
	var buf []byte
	for i := range scratch[scratchOp].Len() {
		kafka := first + int64(i)
		switch d.form.order {
		case byBinlog:
			buf = appendBinlogSeq(buf[:0], scratch[scratchFile].Value(i), scratch[scratchPos].Ints[i], scratch[scratchRow].Ints[i], kafka)
		case byCommit:
			buf = appendChangeSeq(buf[:0], scratch[scratchCommit].Value(i), scratch[scratchChange].Value(i), scratch[scratchSerial].Ints[i], kafka)
		default: // without an LSN the column is 0
			buf = appendLSNSeq(buf[:0], scratch[scratchLSN].Ints[i], kafka)
		}
		col.AppendBytes(buf)
	}
}

func (d *decoder) fillDeleted(col *column.Column, ops []lake.Op, start int) {
	dropTail(col, start)
	for _, op := range ops {
		if op == lake.Upsert {
			col.AppendString("false")
		} else {
			col.AppendString("true")
		}
	}
}

// disguises returns the forms in which a column has the placeholder of a value
// that the database did not send, because it did not change.
func disguises(placeholder []byte, c *sourceColumn) [][]byte {
	if len(placeholder) == 0 || c == nil {
		return nil
	}
	if c.conv != nestedToJSON {
		return [][]byte{placeholder}
	}
	text := appendText(nil, string(placeholder))
	numbers := []byte{'['} // of an array of numbers: the codes of the letters
	for i, b := range placeholder {
		if i > 0 {
			numbers = append(numbers, ',')
		}
		numbers = strconv.AppendInt(numbers, int64(b), 10)
	}
	bin := base64.StdEncoding.AppendEncode([]byte{'[', '"'}, placeholder)
	return [][]byte{
		fmt.Appendf(nil, "[%s]", text),          // an array of texts
		append(numbers, ']'),                    //
		append(bin, '"', ']'),                   // an array of bytes
		fmt.Appendf(nil, "{%s:%s}", text, text), // hstore
		fmt.Appendf(nil, `["%s"]`, nameUUID(placeholder)),
		fmt.Appendf(nil, `{"wkb":"%s","srid":null}`, base64.StdEncoding.EncodeToString(placeholder)), // a geometry
	}
}

// nameUUID is the placeholder within an array of UUIDs: that of version 3 which
// Java's UUID.nameUUIDFromBytes makes.
func nameUUID(placeholder []byte) string {
	sum := md5.Sum(placeholder) //nolint:gosec // says nothing secret
	sum[6], sum[8] = sum[6]&0x0f|0x30, sum[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:])
}

// markUnavailable flags the cells from start on that are one of forms.
func markUnavailable(col *column.Column, keep *column.Bitmap, start int, forms [][]byte) {
	if col.Len() <= start {
		return
	}
	for _, form := range forms {
		if !bytes.Contains(col.Data[col.Offs[start]:], form) {
			continue
		}
		for i := start; i < col.Len(); i++ {
			if bytes.Equal(col.Value(i), form) {
				keep.Set(i)
			}
		}
	}
}

// commitLSNWidth is the length of an LSN of SQL Server as Debezium writes it.
const commitLSNWidth = len("00000025:00000d98:0002")

// advance moves the position to the furthest of the rows in scratch.
func (p *sourcePosition) advance(o order, scratch []column.Column) {
	for i := range scratch[scratchOp].Len() {
		if !scratch[scratchTs].IsNull(i) {
			p.ts, p.hasTime = max(p.ts, scratch[scratchTs].Ints[i]), true
		}
		switch o {
		case byLSN:
			if !scratch[scratchLSN].IsNull(i) {
				p.lsn, p.hasLSN = max(p.lsn, uint64(scratch[scratchLSN].Ints[i])), true
			}
		case byCommit:
			// Fixed width, so that their texts sort as they do.
			if commit := scratch[scratchCommit].Value(i); len(commit) == commitLSNWidth && string(commit) > p.commit {
				p.commit = string(commit)
			}
		case byBinlog:
			file, pos := scratch[scratchFile].Value(i), scratch[scratchPos].Ints[i]
			was, is := binlogNumber([]byte(p.file)), binlogNumber(file)
			if is > was || is == was && pos >= p.pos {
				p.pos = pos
				if p.file != string(file) {
					p.file = string(file)
				}
				if g := scratch[scratchGTID].Value(i); len(g) > 0 && p.gtid != string(g) {
					p.gtid = string(g)
				}
			}
		}
	}
}
