package mysql

import (
	"bytes"
	"errors"
	"fmt"

	"tributary/capture"
	"tributary/capture/mysql/binlog"
	"tributary/envelope"
	"tributary/internal/fault"
)

// rows takes a row event. inner is as for event.
func (s *stream) rows(h *binlog.Header, body []byte, start uint64, inner bool) error {
	if !s.tx.open {
		return fmt.Errorf("%w: rows outside of a transaction", binlog.ErrMalformed)
	}
	if s.old || s.tx.foreign { // delivered before, or not to be
		return nil
	}
	s.tx.events++
	r, err := binlog.ParseRows(h.Type, body, s.idSize)
	if err != nil {
		return err
	}
	b, ok := s.bounds[r.TableID]
	if !ok {
		if r.TableID == 0xffffff { // the dummy event that only ends a statement
			return nil
		}
		return fmt.Errorf("%w: rows of table id %d, which no table map announced", binlog.ErrMalformed, r.TableID)
	}
	if b == nil {
		return nil
	}
	if err := checkImage(&r, b); err != nil {
		return err
	}
	s.tx.changes = true
	source := s.source(h, start)
	s.countFrom(source)
	return s.images(&r, b, source, inner)
}

func checkImage(r *binlog.Rows, b *bound) error {
	if r.Columns != len(b.layout.Columns) {
		return fmt.Errorf("%w: row event of %d columns for %s, whose table map has %d", binlog.ErrMalformed, r.Columns, b.version.def.ID, len(b.layout.Columns))
	}
	return nil
}

// images decodes the row images of an event into the waiting batch, and makes
// it ready whenever it is full. inner is whether the event is within a
// TRANSACTION_PAYLOAD: all rows of one have the same position in the file, and
// are numbered through.
func (s *stream) images(r *binlog.Rows, b *bound, source envelope.Source, inner bool) error {
	row := int64(0)
	if inner {
		row = s.payloadRows
	}
	skipEvents, skipping := s.skip.Event, s.skipping()
	if skipping {
		if !s.skip.elsewhere && (s.tx.events > skipEvents+1 || s.tx.events == skipEvents+1 && s.skip.Row == 0) {
			s.skip, skipping = position{}, false // past all that was done
		}
	}
	ts := s.now().UnixNano()
	src := r.Images
	batch := s.pipe.Acquire()
	limits := s.pipe.Limits()
	for done := int64(0); len(src) > 0; done++ {
		source.Row = int32(row)
		row++
		list, buf := len(batch.List), len(batch.Buf)
		rest, err := s.image(batch, r, b, &source, ts, src)
		if err == nil && len(rest) == len(src) { // how many such rows there are cannot be known
			err = fmt.Errorf("%w: row without bytes", binlog.ErrMalformed)
		}
		if err != nil {
			batch.List, batch.Buf = batch.List[:list], batch.Buf[:buf]
			var gone goneError
			known := errors.As(err, &gone) // where the row after it begins
			if known {
				s.tx.rows++
			}
			told := skipping && (known || !s.skip.elsewhere) && s.told(done)
			if (!told || !known) && (!s.cfg.KeepsFailures() || s.tx.xa) {
				s.pipe.Release(false)
				return fmt.Errorf("decode row %d of %s: %w", done, b.version.def.ID, err)
			}
			if !told {
				s.aside(batch, b, &source, src[:len(src)-len(gone.rest)], err)
			}
			if !known {
				break
			}
			src = gone.rest
			continue
		}
		src = rest
		s.tx.rows++
		if len(batch.List) == list { // of no interest
			batch.Buf = batch.Buf[:buf]
			continue
		}
		if c := &batch.List[list]; !s.cfg.skipOp[c.Op] {
			s.count.Count(c)
		}
		if skipping && s.told(done) || s.cfg.skipOp[batch.List[list].Op] {
			batch.List, batch.Buf = batch.List[:list], batch.Buf[:buf]
			continue
		}
		if !limits.Full(batch) {
			continue
		}
		// What is full is handed over within the transaction.
		batch.End = s.position(s.tx.events-1, done+1).encode()
		if len(src) == 0 {
			batch.End = s.position(s.tx.events, 0).encode()
		}
		s.toldAt = s.now()
		if err := s.settle(s.pipe.Release(true)); err != nil {
			return err
		}
		batch = s.pipe.Acquire()
	}
	if skipping && (!s.skip.elsewhere && s.tx.events > skipEvents || s.skip.elsewhere && s.tx.rows > s.skip.Done) {
		s.skip = position{}
	}
	s.payloadRows = row
	s.pipe.Release(false)
	return nil
}

// told reports whether the row of that number in the event in work was delivered
// before; the transaction is the one that s.skip is in, and the row is counted.
func (s *stream) told(done int64) bool {
	if s.skip.elsewhere {
		return s.tx.rows <= s.skip.Done
	}
	return s.tx.events <= s.skip.Event || done < s.skip.Row
}

// aside keeps what is left of an event of which a row cannot be decoded.
func (s *stream) aside(batch *capture.Batch, b *bound, source *envelope.Source, src []byte, reason error) {
	id := b.version.def.ID
	c := batch.Next()
	c.Op, c.Source, c.TsNs = envelope.Failed, *source, s.now().UnixNano()
	c.Event = &envelope.Event{Failure: &envelope.Failure{Table: id, Reason: reason.Error(), Raw: bytes.Clone(src)}}
}

// image decodes one row: its image, or an update's two. It returns what
// follows. Nothing is added to the batch for a row that a table with system
// versioning keeps of the past.
func (s *stream) image(batch *capture.Batch, r *binlog.Rows, b *bound, source *envelope.Source, ts int64, src []byte) (rest []byte, err error) {
	c := batch.Next()
	c.Table, c.Source, c.TsNs = b.version.codec.Table, *source, ts
	before := sides{present: r.Before, whole: r.Full(r.Before), documents: r.Kind == binlog.Partial, kind: r.Kind}
	before.lends = r.Kind == binlog.Update && !r.Full(r.After) || r.Kind == binlog.Partial
	if r.Kind != binlog.Write {
		if err := b.tellsKey(&before); err != nil {
			return nil, err
		}
	}
	row, key, rest, err := s.half(batch, b, src, &before)
	if err != nil {
		return nil, err
	}
	past := b.layout.RowEnd >= 0 && b.layout.Ended
	switch r.Kind {
	case binlog.Write:
		c.Op, c.After, c.Key = envelope.Create, row, key
	case binlog.Delete:
		c.Op, c.Before, c.Key, c.Known = envelope.Delete, row, key, b.knows(&before)
	default:
		c.Op, c.Before, c.Known = envelope.Update, row, b.knows(&before)
		after := sides{present: r.After, whole: r.Full(r.After), documents: r.Kind == binlog.Partial, kind: r.Kind, before: &before, row: row}
		var newKey envelope.Row
		if c.After, newKey, rest, err = s.half(batch, b, rest, &after); err != nil {
			return nil, err
		}
		c.Key = newKey
		if !bytes.Equal(key, newKey) {
			c.OldKey = key
		}
		if b.layout.RowEnd >= 0 && b.layout.Ended && !past { // the row ends: it is deleted
			c.Op, c.After, c.Key, c.OldKey = envelope.Delete, nil, key, nil
		}
	}
	if past {
		batch.List = batch.List[:len(batch.List)-1]
	}
	return rest, nil
}

// sides is what must be known to decode an image that is not whole.
type sides struct {
	present   []byte // bitmap of the columns that the image has
	whole     bool   // it has all
	documents bool   // the update gives JSON documents as differences
	kind      binlog.Kind
	lends     bool // it is of before, and that of after may lack columns

	before *sides // of an image after, that before it
	row    []byte // and the row of that
	ends   []int  // of an image before: ends of its columns, from the row's start
	docs   map[int][]byte
}

func (d *sides) has(i int) bool { return d.present[i>>3]&(1<<(i&7)) != 0 }

// half decodes one row image and its key.
func (s *stream) half(batch *capture.Batch, b *bound, src []byte, side *sides) (row, key envelope.Row, rest []byte, err error) {
	start := len(batch.Buf)
	var out []byte
	if side.whole && !side.documents {
		out, rest, err = b.layout.AppendRow(batch.Buf, b.ends, src)
	} else {
		out, rest, err = s.sparse(batch.Buf, b, src, side)
	}
	if err != nil {
		return nil, nil, nil, err
	}
	if side.lends {
		side.ends = make([]int, len(b.ends))
		for i, e := range b.ends {
			side.ends[i] = e - start
		}
	}
	end := len(out)
	row = out[start:end:end]
	columns := b.key
	switch {
	case len(columns) == 0:
	case contiguous(columns):
		key = out[columnStart(b.ends, columns[0], start):b.ends[columns[len(columns)-1]]]
		key = key[:len(key):len(key)]
	default:
		for _, i := range columns {
			out = append(out, out[columnStart(b.ends, i, start):b.ends[i]]...)
		}
		key = out[end:len(out):len(out)]
	}
	batch.Buf = out
	return row, key, rest, nil
}

// sparse decodes an image without some of its columns, or with differences of
// JSON documents.
func (s *stream) sparse(dst []byte, b *bound, src []byte, side *sides) (out, rest []byte, err error) {
	sp := binlog.Sparse{Present: side.present, Diffs: side.documents && side.before != nil}
	switch {
	case sp.Diffs:
		sp.Documents = side.before.docs
	case side.documents:
		side.docs = make(map[int][]byte)
		sp.Documents = side.docs
	}
	var computed, asked []int // columns that the server is asked for
	var held []int            // columns with a placeholder
	sp.Missing = func(dst []byte, i int) ([]byte, error) {
		c := &b.version.codec.Table.Columns[b.version.at[i]]
		switch {
		case b.version.def.Columns[i].Expression != "" && side.kind != binlog.Write && (side.before == nil || !side.before.has(i)): // MariaDB 11 leaves them out
			computed = append(computed, i)
			return c.AppendMissing(dst), nil
		case side.before == nil && side.kind != binlog.Write:
			// What was before is not needed to know what is now.
			return c.AppendMissing(dst), nil
		case side.before == nil: // left out of an INSERT: it got its default
			if c.Default != nil {
				return append(c.AppendPresent(dst), c.Default...), nil
			}
			return c.AppendMissing(dst), nil
		case side.before.has(i): // unchanged
			start := 0
			if i > 0 {
				start = side.before.ends[i-1]
			}
			return append(dst, side.row[start:side.before.ends[i]]...), nil
		}
		if c.Type.Kind == envelope.String && (plain(c) || len(b.key) == 0) || c.Type.Kind == envelope.Bytes && c.Type.Logical == "" {
			held = append(held, i)
			return envelope.AppendString(c.AppendPresent(dst), s.cfg.placeholder()), nil
		}
		asked = append(asked, i)
		return c.AppendMissing(dst), nil
	}
	start := len(dst)
	out, rest, err = b.layout.AppendSparse(dst, b.ends, src, &sp)
	if len(asked)+len(held) > 0 { // what is computed of them is read, too
		asked, computed = append(asked, computed...), nil
	}
	if err == nil && len(held) > 0 && b.moves(side, out, start) { // to where nothing is that could stay as it is
		row, lost := s.lookUp(out, b, start, held, rest)
		switch {
		case lost == nil:
			out = row
		case !fault.NeedsHuman(lost):
			return nil, nil, lost
		}
	}
	if err == nil && len(asked) > 0 {
		out, err = s.lookUp(out, b, start, asked, rest)
	}
	if err == nil && len(computed) > 0 {
		out, err = s.compute(out, b, start, computed)
	}
	return out, rest, err
}

func columnStart(ends []int, i, start int) int {
	if i == 0 {
		return start
	}
	return ends[i-1]
}

// contiguous reports whether the columns follow each other: then the key is a
// stretch of the row itself.
func contiguous(columns []int) bool {
	for i, c := range columns {
		if c != columns[0]+i {
			return false
		}
	}
	return true
}
