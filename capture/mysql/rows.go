package mysql

import (
	"bytes"
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
	id := b.version.def.ID
	switch {
	case r.Kind == binlog.Partial:
		return fault.Humanf("set binlog_row_value_options='' on the server and in all sessions, then take a new snapshot",
			"an update of %s is logged as differences of JSON documents, which cannot be captured yet", id)
	case r.Columns != len(b.layout.Columns):
		return fmt.Errorf("%w: row event of %d columns for %s, whose table map has %d", binlog.ErrMalformed, r.Columns, id, len(b.layout.Columns))
	case !r.Full(r.Before) || r.After != nil && !r.Full(r.After):
		return fault.Humanf("set binlog_row_image=FULL on the server and in all sessions, then take a new snapshot",
			"a change of %s is logged without some of its columns", id)
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
	skipEvents, skipRows := int64(0), int64(0)
	skipping := s.skipping()
	if skipping {
		skipEvents, skipRows = s.skip.Event, s.skip.Row
		if s.tx.events > skipEvents+1 || s.tx.events == skipEvents+1 && skipRows == 0 {
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
		rest, err := s.image(batch, r.Kind, b, &source, ts, src)
		if err != nil {
			batch.List, batch.Buf = batch.List[:list], batch.Buf[:buf]
			s.pipe.Release(false)
			return fmt.Errorf("decode row %d of %s: %w", done, b.version.def.ID, err)
		}
		src = rest
		if c := &batch.List[list]; !s.cfg.skipOp[c.Op] {
			s.count.Count(c)
		}
		old := skipping && (s.tx.events <= skipEvents || done < skipRows)
		if old || s.cfg.skipOp[batch.List[list].Op] {
			batch.List, batch.Buf = batch.List[:list], batch.Buf[:buf]
			continue
		}
		if !limits.Full(batch) {
			continue
		}
		if s.tx.xa { // what is handed over cannot be taken back
			s.pipe.Release(false)
			return errXA()
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
	if skipping && s.tx.events > skipEvents {
		s.skip = position{}
	}
	s.payloadRows = row
	s.pipe.Release(false)
	return nil
}

// image decodes one row: its image, or an update's two. It returns what
// follows.
func (s *stream) image(batch *capture.Batch, kind binlog.Kind, b *bound, source *envelope.Source, ts int64, src []byte) (rest []byte, err error) {
	c := batch.Next()
	c.Table, c.Source, c.TsNs = b.version.codec.Table, *source, ts
	row, key, rest, err := s.half(batch, b, src)
	if err != nil {
		return nil, err
	}
	switch kind {
	case binlog.Write:
		c.Op, c.After, c.Key = envelope.Create, row, key
	case binlog.Delete:
		c.Op, c.Before, c.Key = envelope.Delete, row, key
	default:
		c.Op, c.Before = envelope.Update, row
		var newKey envelope.Row
		if c.After, newKey, rest, err = s.half(batch, b, rest); err != nil {
			return nil, err
		}
		c.Key = newKey
		if !bytes.Equal(key, newKey) {
			c.OldKey = key
		}
	}
	return rest, nil
}

// half decodes one row image and its key.
func (s *stream) half(batch *capture.Batch, b *bound, src []byte) (row, key envelope.Row, rest []byte, err error) {
	start := len(batch.Buf)
	out, rest, err := b.layout.AppendRow(batch.Buf, b.ends, src)
	if err != nil {
		return nil, nil, nil, err
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
