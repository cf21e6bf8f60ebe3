package ingest

import (
	"errors"
	"fmt"
	"io"

	"tributary/internal/avro"
	"tributary/internal/column"
)

const (
	windowBlocks = 16      // that are walked at once, by two goroutines
	windowBytes  = 4 << 20 // or as many as fill this
	aloneRecords = 512     // with fewer in a window, the second goroutine is not worth it
)

// walker walks the records of an object into columns. The blocks of a window are shared
// out: the first ones go into the batch, while another goroutine has the others in
// columns of its own, which are appended then. It keeps its memory.
type walker struct {
	blocks []avro.Block // of the window; their data is in data
	data   [][]byte
	side   column.Batch
}

// walk appends the records of an object to c, the rows from start on.
func (d *decoder) walk(c *changes, from blocks, start int) error {
	w := &c.walker
	for {
		end := w.fill(from)
		if err := w.window(d.plan, c.batch, start); err != nil {
			return err
		}
		if errors.Is(end, io.EOF) {
			return nil
		}
		if end != nil {
			return end
		}
	}
}

// fill reads the blocks of the next window; their data is valid for one call of a
// reader only, and copied. It returns what ended the reading, io.EOF at the end.
func (w *walker) fill(from blocks) error {
	w.blocks = w.blocks[:0]
	for size := 0; len(w.blocks) < windowBlocks && size < windowBytes; {
		b, err := from.Next()
		if err != nil {
			return err
		}
		n := len(w.blocks)
		if n == len(w.data) {
			w.data = append(w.data, nil)
		}
		w.data[n] = append(w.data[n][:0], b.Data...)
		b.Data = w.data[n]
		w.blocks = append(w.blocks, b)
		size += len(b.Data)
	}
	return nil
}

// window walks the blocks read.
func (w *walker) window(plan *avro.Plan, batch *column.Batch, start int) error {
	records := 0
	for _, b := range w.blocks {
		records += b.Count
	}
	half, before := 0, 0
	for half < len(w.blocks) && (records < aloneRecords || before < records/2) {
		before += w.blocks[half].Count
		half++
	}
	rest := w.blocks[half:]
	if len(rest) == 0 {
		return walkBlocks(plan, w.blocks, batch, start)
	}
	w.prepare(plan)
	failed, first := make(chan error, 1), start-batch.Len-before
	go func() { failed <- walkBlocks(plan, rest, &w.side, first) }()
	err := walkBlocks(plan, w.blocks[:half], batch, start)
	if other := <-failed; err == nil {
		err = other
	}
	if err != nil {
		return err
	}
	for i := range w.side.Cols {
		appendColumn(&batch.Cols[i], &w.side.Cols[i])
	}
	batch.Len += w.side.Len
	return nil
}

// prepare empties the columns of the other goroutine.
func (w *walker) prepare(plan *avro.Plan) {
	targets := plan.Targets()
	for len(w.side.Cols) < len(targets) {
		w.side.Cols = append(w.side.Cols, column.Column{})
	}
	w.side.Cols = w.side.Cols[:len(targets)]
	w.side.Reset()
	for i, t := range targets {
		w.side.Cols[i].Kind = t.Kind
	}
}

// walkBlocks walks blocks into a batch, whose row first is the object's first record.
func walkBlocks(plan *avro.Plan, blocks []avro.Block, batch *column.Batch, first int) error {
	for _, b := range blocks {
		if err := plan.WalkAll(b.Data, b.Count, batch); err != nil {
			return fmt.Errorf("record %d, in the block at byte %d: %w", batch.Len-first, b.Offset, err)
		}
	}
	return nil
}

// appendColumn appends all values of src, which is of the same kind.
func appendColumn(dst, src *column.Column) {
	at := dst.Len()
	for w, set := range src.Nulls {
		for i := 64 * w; set != 0; i, set = i+1, set>>1 {
			if set&1 != 0 {
				dst.Nulls.Set(at + i)
			}
		}
	}
	switch src.Kind {
	case column.Int:
		dst.Ints = append(dst.Ints, src.Ints...)
	case column.Float:
		dst.Floats = append(dst.Floats, src.Floats...)
	default:
		if len(src.Offs) == 0 {
			return
		}
		if len(dst.Offs) == 0 {
			dst.Offs = append(dst.Offs, 0)
		}
		shift := uint32(len(dst.Data))
		dst.Data = append(dst.Data, src.Data...)
		for _, o := range src.Offs[1:] {
			dst.Offs = append(dst.Offs, o+shift)
		}
	}
}
