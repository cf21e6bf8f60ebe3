package basefile

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"math/bits"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"tributary/internal/column"
)

const (
	pageBytes = 1 << 20 // raw bytes at which a page ends, as in Hudi's default
	pageRows  = 20_000  // rows at which a page ends, as in parquet-mr
)

// Chunk is one column of one row group: its pages, compressed.
type Chunk struct {
	column Column
	data   []byte
	meta   format.ColumnMetaData // offsets count from the start of data
	dict   bool                  // starts with a dictionary page
	rows   int
	start  int64 // where data was in the file that it was read from
}

// Len returns the bytes of the chunk.
func (c *Chunk) Len() int { return len(c.data) }

// Encoder turns columns into chunks. It reuses its memory and belongs to one
// goroutine.
type Encoder struct {
	codec *Codec
	raw   []byte // one page before compression
	comp  []byte
	dict  dictionary
	rows  []int32 // places of the dictionary's values
}

// NewEncoder returns an encoder that compresses with the named codec; see NewCodec.
func NewEncoder(codec string) (*Encoder, error) {
	c, err := NewCodec(codec)
	if err != nil {
		return nil, err
	}
	return &Encoder{codec: c}, nil
}

// Encode turns the values of data into the chunk of column c. A value that does
// not fit the column's type is an error, never a changed value.
func (e *Encoder) Encode(c Column, data *column.Column) (*Chunk, error) {
	n := data.Len()
	ch := &Chunk{column: c, rows: n}
	ch.meta = format.ColumnMetaData{
		Type:         c.formatType(),
		PathInSchema: thrift.Slice[string]{c.Name},
		Codec:        e.codec.id,
		NumValues:    int64(n),
	}
	nulls := data.Nulls.Count()
	if nulls > 0 && !c.Nullable {
		return nil, fmt.Errorf("column %s: null in a column that must not be null", c.Name)
	}
	if err := checkKind(c, data); err != nil {
		return nil, err
	}
	indexes := e.dict.build(c, data)
	encoding := format.Plain
	if indexes != nil {
		encoding = format.RLEDictionary
		if err := e.dictionaryPage(ch, data); err != nil {
			return nil, err
		}
	}
	ch.meta.DataPageOffset = int64(len(ch.data))
	for from := 0; from < n; {
		to := pageEnd(data, from, indexes != nil)
		if err := e.dataPage(ch, data, indexes, from, to); err != nil {
			return nil, err
		}
		from = to
	}
	ch.meta.Encoding = thrift.Slice[format.Encoding]{format.RLE, encoding}
	if indexes != nil {
		ch.meta.Encoding = append(ch.meta.Encoding, format.Plain)
	}
	ch.meta.TotalCompressedSize = int64(len(ch.data))
	ch.meta.Statistics = statistics(c, data, nulls)
	return ch, nil
}

// Constant returns the chunk of a column of strings that has the same value in
// every row.
func (e *Encoder) Constant(c Column, value string, rows int) (*Chunk, error) {
	one := column.Column{Kind: column.Bytes}
	one.AppendString(value)
	ch := &Chunk{column: c, rows: rows, dict: true}
	ch.meta = format.ColumnMetaData{
		Type:         c.formatType(),
		PathInSchema: thrift.Slice[string]{c.Name},
		Codec:        e.codec.id,
		NumValues:    int64(rows),
		Encoding:     thrift.Slice[format.Encoding]{format.RLE, format.RLEDictionary, format.Plain},
		Statistics:   statistics(c, &one, 0),
	}
	e.dict.first = append(e.dict.first[:0], 0)
	if err := e.dictionaryPage(ch, &one); err != nil {
		return nil, err
	}
	ch.meta.DataPageOffset = int64(len(ch.data))
	e.raw = e.raw[:0]
	if c.Nullable {
		e.raw = appendLevels(e.raw, nil, 0, rows)
	}
	e.raw = binary.AppendUvarint(append(e.raw, 1), uint64(rows)<<1) // one bit wide, a run of zeros
	e.raw = append(e.raw, 0)
	if err := e.page(ch, dataHeader(rows, format.RLEDictionary)); err != nil {
		return nil, err
	}
	ch.meta.TotalCompressedSize = int64(len(ch.data))
	return ch, nil
}

func dataHeader(rows int, encoding format.Encoding) format.PageHeader {
	return format.PageHeader{
		Type: format.DataPage,
		DataPageHeader: thrift.New(format.DataPageHeader{
			NumValues: int32(rows), Encoding: encoding,
			DefinitionLevelEncoding: format.RLE, RepetitionLevelEncoding: format.RLE,
		}),
	}
}

// checkKind reports a column whose values travel in another kind than c stores.
func checkKind(c Column, data *column.Column) error {
	want := column.Int
	switch c.Physical {
	case Float, Double:
		want = column.Float
	case ByteArray, FixedLen:
		want = column.Bytes
	case Int96:
		return fmt.Errorf("column %s: int96 is not written", c.Name)
	}
	if data.Kind != want || c.Nested {
		return fmt.Errorf("column %s: %s values cannot be stored in it", c.Name, data.Kind)
	}
	return nil
}

// pageEnd returns the row before which a page that starts at from ends.
func pageEnd(data *column.Column, from int, indexed bool) int {
	to := min(from+pageRows, data.Len())
	if indexed || data.Kind != column.Bytes {
		return to
	}
	for r := from + 1; r < to; r++ {
		if data.Offs[r]-data.Offs[from] > pageBytes {
			return r
		}
	}
	return to
}

func (e *Encoder) dictionaryPage(ch *Chunk, data *column.Column) error {
	ch.dict = true
	var err error
	e.raw, err = appendPlain(e.raw[:0], &ch.column, data, e.dict.first)
	if err != nil {
		return err
	}
	return e.page(ch, format.PageHeader{
		Type: format.DictionaryPage,
		DictionaryPageHeader: thrift.New(format.DictionaryPageHeader{
			NumValues: int32(len(e.dict.first)), Encoding: format.Plain,
		}),
	})
}

func (e *Encoder) dataPage(ch *Chunk, data *column.Column, indexes []uint32, from, to int) error {
	e.raw = e.raw[:0]
	if ch.column.Nullable {
		e.raw = appendLevels(e.raw, data.Nulls, from, to)
	}
	encoding := format.Plain
	if indexes != nil {
		encoding = format.RLEDictionary
		width := max(1, bits.Len32(uint32(len(e.dict.first)-1)))
		e.raw = append(e.raw, byte(width))
		e.raw = appendHybrid(e.raw, e.dict.present(data, indexes, from, to), width)
	} else {
		rows := e.rows[:0]
		for r := from; r < to; r++ {
			if !data.Nulls.Get(r) {
				rows = append(rows, int32(r))
			}
		}
		e.rows = rows
		var err error
		if e.raw, err = appendPlain(e.raw, &ch.column, data, rows); err != nil {
			return err
		}
	}
	return e.page(ch, dataHeader(to-from, encoding))
}

// page appends e.raw, compressed, under header.
func (e *Encoder) page(ch *Chunk, header format.PageHeader) error {
	body, err := e.codec.compress(e.comp, e.raw)
	if err != nil {
		return err
	}
	header.UncompressedPageSize = int32(len(e.raw))
	header.CompressedPageSize = int32(len(body))
	header.CRC = int32(crc32.ChecksumIEEE(body))
	head, err := thrift.Marshal(new(thrift.CompactProtocol), &header)
	if err != nil {
		return fmt.Errorf("encode page header: %w", err)
	}
	ch.data = append(append(ch.data, head...), body...)
	ch.meta.TotalUncompressedSize += int64(len(head) + len(e.raw))
	if e.codec.id != format.Uncompressed && cap(body) > cap(e.comp) {
		e.comp = body
	}
	return nil
}

// appendLevels appends the definition levels of rows from to to: 1, or 0 for null.
func appendLevels(dst []byte, nulls column.Bitmap, from, to int) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	n := to - from
	if !anyIn(nulls, from, to) {
		dst = binary.AppendUvarint(dst, uint64(n)<<1)
		dst = append(dst, 1)
	} else {
		groups := (n + 7) / 8
		dst = binary.AppendUvarint(dst, uint64(groups)<<1|1)
		for g := range groups {
			var b byte
			for i := range min(8, n-8*g) {
				if !nulls.Get(from + 8*g + i) {
					b |= 1 << i
				}
			}
			dst = append(dst, b)
		}
	}
	binary.LittleEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

func anyIn(b column.Bitmap, from, to int) bool {
	for i := from; i < to; i++ {
		if b.Get(i) {
			return true
		}
	}
	return false
}

// appendPlain appends the values of the given rows, none of them null.
func appendPlain(dst []byte, c *Column, data *column.Column, rows []int32) ([]byte, error) {
	switch c.Physical {
	case Boolean:
		var b byte
		for i, r := range rows {
			if data.Ints[r] != 0 {
				b |= 1 << (i & 7)
			}
			if i&7 == 7 || i == len(rows)-1 {
				dst, b = append(dst, b), 0
			}
		}
	case Int32:
		for _, r := range rows {
			v := data.Ints[r]
			if v != int64(int32(v)) {
				return dst, fmt.Errorf("column %s: %d does not fit in 32 bits", c.Name, v)
			}
			dst = binary.LittleEndian.AppendUint32(dst, uint32(v))
		}
	case Int64:
		for _, r := range rows {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(data.Ints[r]))
		}
	case Float:
		for _, r := range rows {
			v := float32(data.Floats[r])
			if float64(v) != data.Floats[r] && v == v {
				return dst, fmt.Errorf("column %s: %v does not fit in a 32-bit float", c.Name, data.Floats[r])
			}
			dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(v))
		}
	case Double:
		for _, r := range rows {
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(data.Floats[r]))
		}
	case ByteArray:
		for _, r := range rows {
			v := data.Value(int(r))
			dst = binary.LittleEndian.AppendUint32(dst, uint32(len(v)))
			dst = append(dst, v...)
		}
	case FixedLen:
		return appendFixed(dst, c, data, rows)
	}
	return dst, nil
}

func appendFixed(dst []byte, c *Column, data *column.Column, rows []int32) ([]byte, error) {
	for _, r := range rows {
		v := data.Value(int(r))
		if len(v) != c.Size {
			if c.Annotation != Decimal {
				return dst, fmt.Errorf("column %s: %d bytes in a column of %d", c.Name, len(v), c.Size)
			}
			w, ok := Resize(dst, v, c.Size)
			if !ok {
				return dst, fmt.Errorf("column %s: a number of %d bytes does not fit decimal(%d,%d)", c.Name, len(v), c.Precision, c.Scale)
			}
			dst = w
			continue
		}
		dst = append(dst, v...)
	}
	return dst, nil
}

// Resize appends the big-endian two's complement number v in size bytes. It
// reports false when the number does not fit.
func Resize(dst, v []byte, size int) ([]byte, bool) {
	var sign byte
	if len(v) > 0 && v[0]&0x80 != 0 {
		sign = 0xff
	}
	for len(v) > size {
		if v[0] != sign || len(v) > 1 && (v[1]^sign)&0x80 != 0 {
			return dst, false
		}
		v = v[1:]
	}
	for i := len(v); i < size; i++ {
		dst = append(dst, sign)
	}
	return append(dst, v...), true
}
