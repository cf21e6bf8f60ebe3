package ingest

import (
	"tributary/lake"
)

// spelled is a column of the table that has become text, or a wider number, while
// these records still have what it was before.
type spelled struct {
	col            int
	values, before int // scratch columns of the record's values, and of those of before images or -1
	from           lake.Type
}

// spells reports whether the values of c are to be written otherwise for a column
// of the table that was widened to type t.
func spells(c *sourceColumn, t lake.Type) bool {
	if c.conv != asIs || c.typ == t {
		return false
	}
	switch t.Kind {
	case lake.String:
		return c.typ.Kind != lake.Bytes
	case lake.Float: // of an int or a long: the nearest
		return true
	case lake.Double: // as files of floats are read
		return c.typ.Kind == lake.Float
	case lake.Decimal: // more digits behind the point
		return c.typ.Kind == lake.Decimal && c.typ.Scale != t.Scale
	default:
		return false
	}
}

// fill writes the column of the rows from start on.
func (x *spelled) fill(c *changes, to lake.Type, start int, ops []lake.Op, envelope bool) {
	col := &c.batch.Cols[x.col]
	moveTail(col, &c.spare, start)
	var text []byte
	for r, op := range ops {
		src := &c.batch.Cols[x.values]
		if envelope && op != lake.Upsert && x.before >= 0 {
			src = &c.batch.Cols[x.before]
		}
		switch {
		case src.IsNull(r):
			col.AppendNull()
		case to.Kind == lake.String:
			text = lake.AppendText(text[:0], x.from, src, r)
			col.AppendBytes(text)
		case to.Kind == lake.Decimal:
			text = lake.AppendDecimal(text[:0], src.Value(r), to.Scale-x.from.Scale)
			col.AppendBytes(text)
		case to.Kind == lake.Double:
			col.AppendFloat(lake.WidenFloat(float32(src.Floats[r])))
		default:
			col.AppendFloat(float64(float32(src.Ints[r])))
		}
	}
}
