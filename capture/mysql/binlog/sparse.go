package binlog

import (
	"encoding/binary"
	"slices"
)

// Sparse says how to decode a row image that does not hold all columns, or
// holds JSON documents as differences.
type Sparse struct {
	Present []byte // bitmap of the columns in the image
	// Documents has the JSON documents of the image before, by column. It is
	// filled by the image before, and used by the image after, of an update
	// whose JSON columns are given as differences.
	Documents map[int][]byte
	Diffs     bool // the image is such an image after
	// Missing appends the value, with its union tag, of a column that is not
	// in the image.
	Missing func(dst []byte, column int) ([]byte, error)
}

// AppendSparse is AppendRow for an image that is not whole.
func (l *Layout) AppendSparse(dst []byte, ends []int, src []byte, s *Sparse) (out, rest []byte, err error) {
	isDiff := func(int) bool { return false }
	if s.Diffs {
		if isDiff, src, err = l.diffBits(src); err != nil {
			return nil, nil, err
		}
	}
	present := func(i int) bool { return s.Present[i>>3]&(1<<(i&7)) != 0 }
	count := 0
	for i := range l.Columns {
		if present(i) {
			count++
		}
	}
	bits := (count + 7) / 8
	if len(src) < bits {
		return nil, nil, malformed("row image of %d bytes for %d columns", len(src), count)
	}
	nulls, src := src[:bits], src[bits:]
	l.Ended = false
	n := 0
	for i := range l.Columns {
		c := &l.Columns[i]
		if !present(i) {
			if !c.Skip {
				if dst, err = s.Missing(dst, i); err != nil {
					return nil, nil, err
				}
			}
			ends[i] = len(dst)
			continue
		}
		null := nulls[n>>3]&(1<<(n&7)) != 0
		n++
		if i == l.RowEnd {
			l.Ended = !forever(c, src)
		}
		if dst, src, err = c.sparse(dst, src, null, isDiff(i), s.Documents, i); err != nil {
			return nil, nil, err
		}
		ends[i] = len(dst)
	}
	return dst, src, nil
}

// diffBits reads what precedes an image with differences: options, and a bit
// for each JSON column of the table.
func (l *Layout) diffBits(src []byte) (isDiff func(i int) bool, rest []byte, err error) {
	options, n := lenenc(src)
	if n == 0 {
		return nil, nil, malformed("row value options")
	}
	src = src[n:]
	if options&1 == 0 {
		return func(int) bool { return false }, src, nil
	}
	var columns []int
	for i := range l.Columns {
		if l.Columns[i].Type == ColJSON {
			columns = append(columns, i)
		}
	}
	size := (len(columns) + 7) / 8
	if len(src) < size {
		return nil, nil, malformed("bits of JSON differences")
	}
	bits := src[:size]
	return func(i int) bool {
		at, ok := slices.BinarySearch(columns, i)
		return ok && bits[at>>3]&(1<<(at&7)) != 0
	}, src[size:], nil
}

// sparse decodes one value that is in the image.
func (c *Column) sparse(dst, src []byte, null, diff bool, documents map[int][]byte, i int) (out, rest []byte, err error) {
	bad := func() error { return malformed("column %s", c.Name) }
	switch {
	case null && c.Skip:
		return dst, src, nil
	case null && !c.Nullable:
		return nil, nil, malformed("column %s is null, but declared not null", c.Name)
	case null:
		return append(dst, c.NullTag), src, nil
	case c.Skip:
		n := size(c.Type, c.Meta, src)
		if n == 0 {
			return nil, nil, bad()
		}
		return dst, src[n:], nil
	}
	if c.Nullable {
		dst = append(dst, c.ValueTag)
	}
	if c.Type == ColJSON && documents != nil {
		v, n := long(c.Meta, src)
		if n == 0 {
			return nil, nil, bad()
		}
		if diff {
			doc, ok := documents[i]
			if !ok {
				return nil, nil, malformed("differences of column %s, whose value before is not logged", c.Name)
			}
			if c.scratch, ok = AppendJSONDiffs(c.scratch[:0], doc, v); !ok {
				return nil, nil, malformed("differences of column %s do not fit", c.Name)
			}
			dst = binary.AppendVarint(dst, int64(len(c.scratch)))
			return append(dst, c.scratch...), src[n:], nil
		}
		documents[i] = v
	}
	dst, n := c.Append(c, dst, src)
	if n == 0 {
		return nil, nil, bad()
	}
	if n < 0 {
		n = -n
		dst[len(dst)-1] = c.NullTag
	}
	return dst, src[n:], nil
}
