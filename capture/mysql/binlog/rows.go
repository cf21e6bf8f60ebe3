package binlog

import (
	"encoding/binary"

	"github.com/go-mysql-org/go-mysql/mysql"
)

// Kind is what a row event did.
type Kind uint8

// The kinds of a row event. Partial is an update whose JSON columns are given
// as differences (binlog_row_value_options=PARTIAL_JSON).
const (
	Write Kind = iota + 1
	Update
	Delete
	Partial
)

// Rows is a row event.
type Rows struct {
	Kind    Kind
	TableID uint64
	Columns int
	Before  []byte // bitmap of the columns present in the images (of an update: in the images before)
	After   []byte // of an update: bitmap of the columns present in the images after
	Images  []byte // the row images, end to end
}

// IsRows reports whether an event of type typ is a row event.
func IsRows(typ byte) bool {
	_, _, ok := rowsForm(typ)
	return ok
}

func rowsForm(typ byte) (k Kind, version int, ok bool) {
	switch typ {
	case TypeWriteRowsV0:
		return Write, 0, true
	case TypeUpdateRowsV0:
		return Update, 0, true
	case TypeDeleteRowsV0:
		return Delete, 0, true
	case TypeWriteRowsV1, TypeMariaWriteCompr:
		return Write, 1, true
	case TypeUpdateRowsV1, TypeMariaUpdateCompr:
		return Update, 1, true
	case TypeDeleteRowsV1, TypeMariaDeleteCompr:
		return Delete, 1, true
	case TypeWriteRowsV2:
		return Write, 2, true
	case TypeUpdateRowsV2:
		return Update, 2, true
	case TypeDeleteRowsV2:
		return Delete, 2, true
	case TypePartialUpdateRows:
		return Partial, 2, true
	}
	return 0, 0, false
}

// ParseRows decodes the body of a row event of type typ (header and checksum
// removed). idSize is as in ParseTableMap.
func ParseRows(typ byte, b []byte, idSize int) (Rows, error) {
	kind, version, ok := rowsForm(typ)
	if !ok {
		return Rows{}, malformed("event type %d is no row event", typ)
	}
	if len(b) < idSize+2 {
		return Rows{}, malformed("row event of %d bytes", len(b))
	}
	r := Rows{Kind: kind, TableID: tableID(b, idSize)}
	b = b[idSize+2:]
	if version == 2 { // extra data (NDB, partitions), its own two length bytes included
		if len(b) < 2 {
			return Rows{}, malformed("row event extra data")
		}
		n := int(binary.LittleEndian.Uint16(b))
		if n < 2 || n > len(b) {
			return Rows{}, malformed("row event extra data of %d bytes", n)
		}
		b = b[n:]
	}
	cols, n := lenenc(b)
	if n == 0 || cols > uint64(len(b))*8 {
		return Rows{}, malformed("row event column count")
	}
	b = b[n:]
	r.Columns = int(cols)
	bits := (r.Columns + 7) / 8
	if len(b) < bits {
		return Rows{}, malformed("row event column bits")
	}
	r.Before, b = b[:bits], b[bits:]
	if kind == Update && version > 0 || kind == Partial {
		if len(b) < bits {
			return Rows{}, malformed("row event column bits")
		}
		r.After, b = b[:bits], b[bits:]
	} else if kind == Update {
		r.After = r.Before
	}
	if typ >= TypeMariaWriteCompr {
		var err error
		if b, err = Decompress(b); err != nil {
			return Rows{}, err
		}
	}
	r.Images = b
	return r, nil
}

// Decompress unpacks what MariaDB compresses (log_bin_compress): the images of
// a row event, the text of a statement.
func Decompress(b []byte) (out []byte, err error) {
	defer func() { // the library indexes without looking
		if recover() != nil {
			out, err = nil, malformed("compressed event")
		}
	}()
	out, err = mysql.DecompressMariadbData(b)
	if err != nil {
		return nil, malformed("compressed event: %v", err)
	}
	return out, nil
}

// Full reports whether every column is present in bitmap, one of r's.
func (r *Rows) Full(bitmap []byte) bool {
	for i := range r.Columns {
		if bitmap[i>>3]&(1<<(i&7)) == 0 {
			return false
		}
	}
	return true
}
