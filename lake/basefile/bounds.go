package basefile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// The Parquet library trusts the counts and sizes that it reads, and would ask
// for any amount of memory. So they are looked at before it is let near them.
const (
	maxGroupRows  = 1 << 24   // rows in a row group; Hudi's are at most 120 MB
	maxPageBytes  = 256 << 20 // bytes of a page, decompressed; 1 MB is usual
	maxThriftList = 1 << 16   // entries of a list: columns, row groups
	maxThriftDeep = 24
)

var errMalformed = errors.New("malformed parquet")

// checkFooter reads the footer's bytes and checks every count in it.
func checkFooter(in io.ReaderAt, size int64) error {
	var end [8]byte
	if size < int64(len(magic)+len(end)) {
		return fmt.Errorf("%w: %d bytes are no file", errMalformed, size)
	}
	if n, err := in.ReadAt(end[:], size-8); n < len(end) {
		return fmt.Errorf("read parquet footer: %w", err)
	}
	length := int64(binary.LittleEndian.Uint32(end[:]))
	if string(end[4:]) != magic || length > size-8-int64(len(magic)) {
		return fmt.Errorf("%w: it has no footer", errMalformed)
	}
	footer := make([]byte, length)
	if n, err := in.ReadAt(footer, size-8-length); n < len(footer) {
		return fmt.Errorf("read parquet footer: %w", err)
	}
	t := thriftCheck{b: footer}
	t.object(0)
	return t.err
}

// checkGroups checks the row groups of a decoded footer.
func checkGroups(meta *format.FileMetaData, leaves int) error {
	var rows int64
	for i := range meta.RowGroups {
		g := &meta.RowGroups[i]
		if g.NumRows < 0 || g.NumRows > maxGroupRows || len(g.Columns) != leaves {
			return fmt.Errorf("%w: row group %d has %d rows and %d columns", errMalformed, i, g.NumRows, len(g.Columns))
		}
		rows += g.NumRows
	}
	if rows != meta.NumRows {
		return fmt.Errorf("%w: %d rows in the row groups, %d in the file", errMalformed, rows, meta.NumRows)
	}
	return nil
}

// checkPages checks the pages of a leaf's chunk, which together have at most left
// values.
func (c *Chunk) checkPages(left int, leaf *parquet.Column) error {
	runs := c.runs(leaf)
	switch c.meta.Codec {
	case format.Uncompressed, format.Snappy, format.Gzip, format.Zstd:
	default:
		// Hudi's writers do not use the others, and the library's decoder of LZ4
		// asks for ever more memory when its input is malformed.
		return fmt.Errorf("column %s: codec %s is not supported", c.column.Name, c.meta.Codec)
	}
	for b := c.data; len(b) > 0; {
		t := thriftCheck{b: b}
		t.object(0)
		if t.err != nil {
			return t.err
		}
		var h format.PageHeader
		if err := thrift.Unmarshal(new(thrift.CompactProtocol), b[:len(b)-len(t.b)], &h); err != nil {
			return fmt.Errorf("%w: page header: %w", errMalformed, err)
		}
		values := int(max(h.DataPageHeader.V.NumValues, h.DataPageHeaderV2.V.NumValues))
		if h.Type == format.DictionaryPage {
			values = 0
		}
		left -= values
		switch {
		case h.CompressedPageSize < 0 || int(h.CompressedPageSize) > len(t.b),
			h.UncompressedPageSize < 0 || h.UncompressedPageSize > maxPageBytes,
			h.DictionaryPageHeader.V.NumValues < 0 || h.DictionaryPageHeader.V.NumValues > h.UncompressedPageSize*8,
			values < 0 || left < 0:
			return fmt.Errorf("%w: column %s: a page of %d bytes, %d decompressed, %d values", errMalformed,
				c.column.Name, h.CompressedPageSize, h.UncompressedPageSize, values)
		}
		body := t.b[:h.CompressedPageSize]
		if c.meta.Codec == format.Snappy && !plausibleSnappy(&h, body) {
			return fmt.Errorf("%w: column %s: a page of %d bytes that says it is longer than they can hold", errMalformed, c.column.Name, len(body))
		}
		if h.CRC == 0 {
			if err := runs.page(&h, body, values); err != nil {
				return fmt.Errorf("column %s: %w", c.column.Name, err)
			}
		}
		b = t.b[h.CompressedPageSize:]
	}
	return nil
}

// plausibleSnappy is whether the length that a page's Snappy block begins with can
// be true: the decoder makes room for it at once. Three bytes copy at most 64.
func plausibleSnappy(h *format.PageHeader, body []byte) bool {
	if h.Type == format.DataPageV2 {
		v2 := &h.DataPageHeaderV2.V
		levels := int(v2.RepetitionLevelsByteLength) + int(v2.DefinitionLevelsByteLength)
		if levels < 0 || levels > len(body) {
			return false
		}
		body = body[levels:]
		if !isSet(v2.IsCompressed, true) {
			return true
		}
	}
	if len(body) == 0 {
		return true
	}
	n, k := binary.Uvarint(body)
	return k > 0 && n <= uint64(len(body))*64/3+64
}

// thriftCheck walks Thrift's compact form: no length is beyond the input. The
// first error stays.
type thriftCheck struct {
	b   []byte
	err error
}

func (t *thriftCheck) fail() {
	t.err, t.b = fmt.Errorf("%w: a length is beyond the input", errMalformed), nil
}

func (t *thriftCheck) byte() byte {
	if len(t.b) == 0 {
		t.fail()
		return 0
	}
	c := t.b[0]
	t.b = t.b[1:]
	return c
}

func (t *thriftCheck) varint() uint64 {
	v, n := binary.Uvarint(t.b)
	if n <= 0 {
		t.fail()
		return 0
	}
	t.b = t.b[n:]
	return v
}

func (t *thriftCheck) skip(n uint64) {
	if n > uint64(len(t.b)) {
		t.fail()
		return
	}
	t.b = t.b[n:]
}

// object walks a struct.
func (t *thriftCheck) object(depth int) {
	for t.err == nil {
		head := t.byte()
		if head == 0 {
			return
		}
		if head>>4 == 0 {
			t.varint() // the field's number
		}
		if kind := head & 0x0f; kind > 2 { // true and false are in the kind
			t.value(kind, depth)
		}
	}
}

func (t *thriftCheck) value(kind byte, depth int) {
	if depth > maxThriftDeep {
		t.fail()
		return
	}
	switch kind {
	case 1, 2, 3:
		t.byte()
	case 4, 5, 6:
		t.varint()
	case 7:
		t.skip(8)
	case 8:
		t.skip(t.varint())
	case 9, 10:
		t.list(depth)
	case 11:
		t.fail() // Parquet has no maps
	case 12:
		t.object(depth + 1)
	default:
		t.fail()
	}
}

func (t *thriftCheck) list(depth int) {
	head := t.byte()
	n := uint64(head >> 4)
	if n == 15 {
		n = t.varint()
	}
	if n > uint64(len(t.b)) || n > maxThriftList {
		t.fail()
		return
	}
	for ; n > 0 && t.err == nil; n-- {
		t.value(head&0x0f, depth+1)
	}
}
