package binlog

import (
	"encoding/binary"
	"fmt"
)

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

	Skip   bool   // leave the column out of the record
	Zero   []byte // what a zero date stands for where it cannot be null
	Length int    // bytes that a BINARY value is padded to; 0: as it comes

	Members  []string // of an ENUM or SET
	Decode   Decoder  // of text that is not in UTF-8
	Encoding Encoding // of binary data that becomes text

	scratch []byte // text, before its length is known
}

// Layout decodes the row images of one version of one table.
type Layout struct {
	Columns []Column
	// RowEnd is the column that tells until when a row of a table with system
	// versioning was current; negative when there is none.
	RowEnd int
	// Ended is whether the row decoded last was current no more.
	Ended bool
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
		if i == l.RowEnd {
			l.Ended = !forever(c, src)
		}
		if c.Skip {
			if nulls[i>>3]&(1<<(i&7)) == 0 {
				n := size(c.Type, c.Meta, src)
				if n == 0 {
					return nil, nil, fmt.Errorf("column %s: %w", c.Name, ErrMalformed)
				}
				src = src[n:]
			}
			ends[i] = len(dst)
			continue
		}
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

// size returns how many bytes the value at the start of src takes, 0 when it
// is malformed or of a type that cannot be told.
func size(typ byte, meta uint16, src []byte) int {
	n := 0
	switch typ {
	case ColTiny, ColYear:
		n = 1
	case ColShort:
		n = 2
	case ColInt24, ColDate, ColNewDate, ColTime:
		n = 3
	case ColLong, ColFloat, ColTimestamp:
		n = 4
	case ColLongLong, ColDouble, ColDatetime:
		n = 8
	case ColNewDecimal:
		_, n = parseDecimal(meta, src)
	case ColTimestamp2:
		n = 4 + int(meta+1)/2
	case ColDatetime2:
		n = 5 + int(meta+1)/2
	case ColTime2:
		n = 3 + int(meta+1)/2
	case ColBit:
		n = (int(meta>>8)*8 + int(meta&0xff) + 7) / 8
	case ColEnum, ColSet:
		n = int(meta & 0xff)
	case ColVarchar, ColVarString, ColString, ColVarcharCompressed:
		_, n = short(meta, src)
	case ColBlob, ColJSON, ColGeometry, ColVector, ColBlobCompressed:
		_, n = long(meta, src)
	}
	if n > len(src) {
		return 0
	}
	return n
}

// forever reports whether the value at the start of src is the end of a row
// that is current: the last moment of a TIMESTAMP(6), or the greatest
// transaction number.
func forever(c *Column, src []byte) bool {
	if c.Type == ColLongLong {
		return len(src) >= 8 && binary.LittleEndian.Uint64(src) == 1<<64-1
	}
	if len(src) < 4 {
		return false
	}
	sec := binary.BigEndian.Uint32(src)
	return sec == 1<<31-1 || sec == 1<<32-1
}
