package binlog

import "fmt"

// AppendFunc appends the Avro form of the value at the start of src to dst,
// without any union tag, and returns how many bytes of src the value took.
// That number is 0 when src is malformed, and negative when the value reads as
// null (a zero date in a nullable column); nothing is appended then.
type AppendFunc func(c *Column, dst, src []byte) (out []byte, n int)

// Column tells how to decode one column.
type Column struct {
	Name     string
	Append   AppendFunc
	Type     byte   // TABLE_MAP's type and metadata
	Meta     uint16 //
	Nullable bool   // Avro type is a union with null
	NullTag  byte   // the encoded index of null in that union
	ValueTag byte   // and that of the value

	Zero   []byte // what a zero date stands for where it cannot be null
	Length int    // bytes that a BINARY or UUID value is padded to; 0: as it comes

	scratch []byte // JSON text, before its length is known
}

// Layout decodes the row images of one version of one table.
type Layout struct {
	Columns []Column
}

// AppendRow appends the Avro record body of the row image at the start of src
// to dst, and returns what follows the image. The image must hold all columns
// of the layout. ends, one for each column, receives the offset in the
// returned slice at which the column's bytes end.
func (l *Layout) AppendRow(dst []byte, ends []int, src []byte) (out, rest []byte, err error) {
	bits := (len(l.Columns) + 7) / 8
	if len(src) < bits {
		return nil, nil, malformed("row image of %d bytes for %d columns", len(src), len(l.Columns))
	}
	nulls, src := src[:bits], src[bits:]
	ends = ends[:len(l.Columns)]
	for i := range l.Columns {
		c := &l.Columns[i]
		if nulls[i>>3]&(1<<(i&7)) != 0 {
			if !c.Nullable {
				return nil, nil, fmt.Errorf("column %s: null, but declared not null", c.Name)
			}
			dst = append(dst, c.NullTag)
			ends[i] = len(dst)
			continue
		}
		if c.Nullable {
			dst = append(dst, c.ValueTag)
		}
		var n int
		dst, n = c.Append(c, dst, src)
		if n <= 0 {
			if n == 0 {
				return nil, nil, fmt.Errorf("column %s: %w", c.Name, ErrMalformed)
			}
			n = -n
			dst[len(dst)-1] = c.NullTag
		}
		src = src[n:]
		ends[i] = len(dst)
	}
	return dst, src, nil
}
