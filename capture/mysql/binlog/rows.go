package binlog

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"io"
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

// maxUnpacked is the servers' own limit of what a packet, and so an event, can
// hold (max_allowed_packet).
const maxUnpacked = 1 << 30

// Decompress unpacks what MariaDB compresses (log_bin_compress): the images of
// a row event, the text of a statement. It is a byte of 0x80 plus the number
// of bytes of the length, the length before compression with the most
// significant byte first, and a zlib stream.
func Decompress(b []byte) ([]byte, error) {
	if len(b) < 1 || b[0]&0xf8 != 0x80 || len(b) < 1+int(b[0]&7) || b[0]&7 > 4 {
		return nil, malformed("compressed event header")
	}
	head := 1 + int(b[0]&7)
	size := int64(0)
	for _, c := range b[1:head] {
		size = size<<8 | int64(c)
	}
	if size > maxUnpacked {
		return nil, malformed("compressed event of %d bytes", size)
	}
	r, err := zlib.NewReader(bytes.NewReader(b[head:]))
	if err != nil {
		return nil, malformed("compressed event: %v", err)
	}
	// The length is not to be trusted: memory is taken as bytes come.
	var out bytes.Buffer
	if _, err := io.CopyN(&out, r, size); err != nil {
		return nil, malformed("compressed event: %v", err)
	}
	return out.Bytes(), nil
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
