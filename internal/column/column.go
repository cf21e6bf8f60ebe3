package column

import "math/bits"

// Kind is the physical kind of a column.
type Kind uint8

// The three physical kinds. Booleans are Int 0 and 1; 32-bit floats are Float
// (the widening is exact); strings, fixed and decimals are Bytes.
const (
	Int Kind = iota
	Float
	Bytes
)

func (k Kind) String() string {
	switch k {
	case Int:
		return "int"
	case Float:
		return "float"
	default:
		return "bytes"
	}
}

// Bitmap is a growing set of bits, least significant first in each word.
// The zero value is empty.
type Bitmap []uint64

// Get reports bit i; a bit past the end is clear.
func (b Bitmap) Get(i int) bool {
	w := i >> 6
	return w < len(b) && b[w]&(1<<(uint(i)&63)) != 0
}

// Set sets bit i, growing the bitmap as needed.
func (b *Bitmap) Set(i int) {
	w := i >> 6
	for len(*b) <= w {
		*b = append(*b, 0)
	}
	(*b)[w] |= 1 << (uint(i) & 63)
}

// Any reports whether any bit is set.
func (b Bitmap) Any() bool {
	for _, w := range b {
		if w != 0 {
			return true
		}
	}
	return false
}

// Count returns the number of set bits.
func (b Bitmap) Count() int {
	n := 0
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

// Column is a sequence of values of one kind, some of them null. A null takes
// a place in the value slice too (0, or no bytes), so that index i is value i.
// Only the slice of the column's own kind is used.
type Column struct {
	Kind   Kind
	Nulls  Bitmap // set = null
	Ints   []int64
	Floats []float64
	Data   []byte   // the bytes of all values, end to end
	Offs   []uint32 // value i is Data[Offs[i]:Offs[i+1]]; Offs[0] is 0 once anything is appended
}

// Len returns the number of values.
func (c *Column) Len() int {
	switch c.Kind {
	case Int:
		return len(c.Ints)
	case Float:
		return len(c.Floats)
	default:
		if len(c.Offs) == 0 {
			return 0
		}
		return len(c.Offs) - 1
	}
}

// Reset empties the column and keeps its memory.
func (c *Column) Reset() {
	c.Nulls = c.Nulls[:0]
	c.Ints = c.Ints[:0]
	c.Floats = c.Floats[:0]
	c.Data = c.Data[:0]
	c.Offs = c.Offs[:0]
}

// AppendInt appends v to an Int column.
func (c *Column) AppendInt(v int64) { c.Ints = append(c.Ints, v) }

// AppendFloat appends v to a Float column.
func (c *Column) AppendFloat(v float64) { c.Floats = append(c.Floats, v) }

// AppendBytes appends a copy of v to a Bytes column.
func (c *Column) AppendBytes(v []byte) {
	if len(c.Offs) == 0 {
		c.Offs = append(c.Offs, 0)
	}
	c.Data = append(c.Data, v...)
	c.Offs = append(c.Offs, uint32(len(c.Data)))
}

// AppendString appends v to a Bytes column.
func (c *Column) AppendString(v string) {
	if len(c.Offs) == 0 {
		c.Offs = append(c.Offs, 0)
	}
	c.Data = append(c.Data, v...)
	c.Offs = append(c.Offs, uint32(len(c.Data)))
}

// AppendNull appends a null.
func (c *Column) AppendNull() {
	c.Nulls.Set(c.Len())
	switch c.Kind {
	case Int:
		c.Ints = append(c.Ints, 0)
	case Float:
		c.Floats = append(c.Floats, 0)
	default:
		c.AppendBytes(nil)
	}
}

// IsNull reports whether value i is null.
func (c *Column) IsNull(i int) bool { return c.Nulls.Get(i) }

// Value returns the bytes of value i of a Bytes column. They belong to the
// column and are valid until the next append or Reset.
func (c *Column) Value(i int) []byte { return c.Data[c.Offs[i]:c.Offs[i+1]] }

// Append appends value i of src, which must be of the same kind.
func (c *Column) Append(src *Column, i int) {
	if src.Nulls.Get(i) {
		c.AppendNull()
		return
	}
	switch c.Kind {
	case Int:
		c.Ints = append(c.Ints, src.Ints[i])
	case Float:
		c.Floats = append(c.Floats, src.Floats[i])
	default:
		c.AppendBytes(src.Value(i))
	}
}

// Gather appends the values of src at the given indexes, in that order.
func (c *Column) Gather(src *Column, sel []int32) {
	for _, i := range sel {
		c.Append(src, int(i))
	}
}

// Batch is a set of columns of equal length. The writer of a batch appends one
// value to every column and then adds 1 to Len.
type Batch struct {
	Cols []Column
	Len  int
}

// NewBatch returns an empty batch with a column of each kind.
func NewBatch(kinds ...Kind) *Batch {
	b := &Batch{Cols: make([]Column, len(kinds))}
	for i, k := range kinds {
		b.Cols[i].Kind = k
	}
	return b
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	for i := range b.Cols {
		b.Cols[i].Reset()
	}
	b.Len = 0
}

// Truncate drops the values from row n on: the way back from a row that turned
// out to be malformed half way.
func (b *Batch) Truncate(n int) {
	for i := range b.Cols {
		b.Cols[i].truncate(n)
	}
	b.Len = n
}

func (c *Column) truncate(n int) {
	if c.Len() <= n {
		return
	}
	switch c.Kind {
	case Int:
		c.Ints = c.Ints[:n]
	case Float:
		c.Floats = c.Floats[:n]
	default:
		c.Offs = c.Offs[:n+1]
		c.Data = c.Data[:c.Offs[n]]
	}
	if w := n >> 6; w < len(c.Nulls) {
		c.Nulls[w] &= 1<<(uint(n)&63) - 1
		c.Nulls = c.Nulls[:w+1]
	}
}
