package merge

import (
	"bytes"
	"math"

	"tributary/internal/column"
)

// Change is what happens to a stored row: it is removed, or replaced by the row
// of a group.
type Change struct {
	Row    int32 // place among the stored rows
	Group  int32
	Remove bool
}

// Splice appends to dst the stored column, changed: column c of the table. The
// changes are sorted by row, and each row has at most one.
func (m *Merge) Splice(dst, stored, batch *column.Column, c int, changes []Change) {
	from := 0
	for _, ch := range changes {
		AppendRange(dst, stored, from, int(ch.Row))
		from = int(ch.Row) + 1
		if ch.Remove {
			continue
		}
		if e, old := m.Cell(int(ch.Group), c); old {
			dst.Append(stored, int(ch.Row))
		} else {
			dst.Append(batch, e)
		}
	}
	AppendRange(dst, stored, from, stored.Len())
}

// Rows appends column c of the rows of the groups, none of which lies on a
// stored row.
func (m *Merge) Rows(dst, batch *column.Column, c int, groups []int32) {
	for _, g := range groups {
		e, _ := m.Cell(int(g), c)
		dst.Append(batch, e)
	}
}

// Equal reports whether the cell in column c of group g's row equals that of
// the stored row.
func (m *Merge) Equal(g, c int, stored *column.Column, row int, batch *column.Column) bool {
	e, old := m.Cell(g, c)
	if old {
		return true
	}
	if stored.IsNull(row) || batch.IsNull(e) {
		return stored.IsNull(row) && batch.IsNull(e)
	}
	switch stored.Kind {
	case column.Int:
		return stored.Ints[row] == batch.Ints[e]
	case column.Float:
		return math.Float64bits(stored.Floats[row]) == math.Float64bits(batch.Floats[e])
	default:
		return bytes.Equal(stored.Value(row), batch.Value(e))
	}
}

// AppendRange appends the values of src from from up to to.
func AppendRange(dst, src *column.Column, from, to int) {
	if from >= to {
		return
	}
	at := dst.Len()
	for w := from; w < to; {
		// Skip whole words without a null.
		if w&63 == 0 && (w>>6 >= len(src.Nulls) || src.Nulls[w>>6] == 0) {
			w += 64
			continue
		}
		if src.Nulls.Get(w) {
			dst.Nulls.Set(at + w - from)
		}
		w++
	}
	switch src.Kind {
	case column.Int:
		dst.Ints = append(dst.Ints, src.Ints[from:to]...)
	case column.Float:
		dst.Floats = append(dst.Floats, src.Floats[from:to]...)
	default:
		if len(dst.Offs) == 0 {
			dst.Offs = append(dst.Offs, 0)
		}
		shift := uint32(len(dst.Data)) - src.Offs[from]
		dst.Data = append(dst.Data, src.Data[src.Offs[from]:src.Offs[to]]...)
		for _, o := range src.Offs[from+1 : to+1] {
			dst.Offs = append(dst.Offs, o+shift)
		}
	}
}

// AppendRows appends the values of src, a column of the same kind, at the given rows.
func AppendRows(dst, src *column.Column, rows []int32) {
	if src.Nulls.Any() {
		for _, r := range rows {
			dst.Append(src, int(r))
		}
		return
	}
	switch src.Kind {
	case column.Int:
		for _, r := range rows {
			dst.Ints = append(dst.Ints, src.Ints[r])
		}
	case column.Float:
		for _, r := range rows {
			dst.Floats = append(dst.Floats, src.Floats[r])
		}
	default:
		if len(dst.Offs) == 0 {
			dst.Offs = append(dst.Offs, 0)
		}
		for _, r := range rows {
			dst.Data = append(dst.Data, src.Data[src.Offs[r]:src.Offs[r+1]]...)
			dst.Offs = append(dst.Offs, uint32(len(dst.Data)))
		}
	}
}
