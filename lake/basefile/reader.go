package basefile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"tributary/internal/column"
)

// tailBytes is how much of a file's end is read at once: a footer with its bloom
// filter fits nearly always.
const tailBytes = 512 << 10

// File is an open Parquet file. Its methods may be called by many goroutines.
type File struct {
	in                 io.ReaderAt
	pq                 *parquet.File
	columns            []Column
	leaf               []int // by column: its place among the leaf columns; -1 for a nested one
	element, firstLeaf []int // by column: its element of the schema, and its first leaf
}

// Open reads the footer of the file of size bytes behind in. Malformed input is
// an error.
func Open(in io.ReaderAt, size int64) (f *File, err error) {
	defer recoverMalformed(&err)
	if err := checkFooter(in, size); err != nil {
		return nil, err
	}
	pq, err := parquet.OpenFile(in, size,
		parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true),
		parquet.SkipMagicBytes(true), parquet.OptimisticRead(true), parquet.ReadBufferSize(tailBytes))
	if err != nil {
		return nil, fmt.Errorf("open parquet: %w", err)
	}
	f = &File{in: in, pq: pq}
	schema := pq.Metadata().Schema
	leaves := 0
	for i := 1; i < len(schema); {
		c, err := columnOf(&schema[i])
		if err != nil {
			return nil, err
		}
		next, below := subtree(schema, i)
		if next == i+1 && !c.Nested {
			f.leaf = append(f.leaf, leaves)
		} else {
			f.leaf = append(f.leaf, -1)
		}
		f.columns = append(f.columns, c)
		f.element, f.firstLeaf = append(f.element, i), append(f.firstLeaf, leaves)
		leaves += below
		i = next
	}
	return f, checkGroups(pq.Metadata(), leaves)
}

// subtree returns the place after element i and all below it, and the number of
// leaves among them.
func subtree(schema []format.SchemaElement, i int) (next, leaves int) {
	pending := 1
	for pending > 0 && i < len(schema) {
		pending--
		if n, ok := schema[i].NumChildren.Get(); ok && n > 0 {
			pending += int(n)
		} else {
			leaves++
		}
		i++
	}
	return i, leaves
}

// recoverMalformed turns a panic of the Parquet library over malformed input
// into an error.
func recoverMalformed(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("malformed parquet: %v", p)
	}
}

// Columns returns the file's columns in order. The slice is shared.
func (f *File) Columns() []Column { return f.columns }

// Index returns the place of the named column, or -1.
func (f *File) Index(name string) int {
	for i := range f.columns {
		if f.columns[i].Name == name {
			return i
		}
	}
	return -1
}

// Rows returns the number of rows in the file.
func (f *File) Rows() int64 { return f.pq.NumRows() }

// Groups returns the number of row groups.
func (f *File) Groups() int { return len(f.pq.RowGroups()) }

// GroupRows returns the number of rows in row group g.
func (f *File) GroupRows(g int) int { return int(f.pq.RowGroups()[g].NumRows()) }

// Bounds returns values that no value of a column of text in row group g is less
// than, or greater than, if the file tells.
func (f *File) Bounds(g int, name string) (lo, hi []byte, ok bool) {
	i := f.Index(name)
	if i < 0 || f.leaf[i] < 0 || f.columns[i].Physical != ByteArray {
		return nil, nil, false
	}
	s := f.pq.Metadata().RowGroups[g].Columns[f.leaf[i]].MetaData.Statistics
	return s.MinValue, s.MaxValue, len(s.MinValue) > 0 && len(s.MaxValue) > 0
}

// Lookup returns a value of the footer.
func (f *File) Lookup(key string) (string, bool) { return f.pq.Lookup(key) }

// Chunk returns column i of row group g as bytes, to be appended to another
// file that has the same column.
func (f *File) Chunk(g, i int) (*Chunk, error) {
	if f.leaf[i] < 0 {
		return nil, fmt.Errorf("column %s is nested", f.columns[i].Name)
	}
	return f.leafChunk(g, f.leaf[i], f.columns[i])
}

// leafChunk reads the chunk of a leaf column.
func (f *File) leafChunk(g, leaf int, col Column) (*Chunk, error) {
	meta := f.pq.Metadata().RowGroups[g].Columns[leaf].MetaData
	c := &Chunk{column: col, rows: f.GroupRows(g)}
	start := meta.DataPageOffset
	if d := meta.DictionaryPageOffset; d > 0 && d < start {
		start, c.dict = d, true
	}
	if start < 0 || meta.TotalCompressedSize < 0 || meta.TotalCompressedSize > f.pq.Size()-start {
		return nil, fmt.Errorf("column %s: its chunk lies outside the file", c.column.Name)
	}
	c.start = start
	c.data = make([]byte, meta.TotalCompressedSize)
	if n, err := f.in.ReadAt(c.data, start); n < len(c.data) {
		return nil, fmt.Errorf("read column %s: %w", c.column.Name, err)
	}
	c.meta = meta
	c.meta.DataPageOffset -= start
	c.meta.DictionaryPageOffset = 0
	c.meta.IndexPageOffset, c.meta.BloomFilterOffset, c.meta.BloomFilterLength = 0, 0, 0
	return c, nil
}

// ReadAt makes the chunk stand for the file that it was read from, so that its
// pages can be decoded without reading the file again.
func (c *Chunk) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(c.data).ReadAt(p, off-c.start)
}

// Fits reports whether the file has a column whose chunks can be used as column
// c, and its place.
func (f *File) Fits(c Column) (int, bool) {
	i := f.Index(c.Name)
	return i, i >= 0 && sameChunk(f.columns[i], c)
}

// Read appends the values of row group g for column c, which need not be the
// file's own description of it: a column that the file lacks is all nulls,
// narrower numbers are widened, units of time and forms of decimals are
// converted. dst's kind is that of c's values. What cannot be converted without
// loss is an error. Nested columns are read as JSON text, see AppendJSON.
func (f *File) Read(g int, c Column, dst *column.Column) (err error) {
	defer recoverMalformed(&err)
	rows := f.GroupRows(g)
	i := f.Index(c.Name)
	if i < 0 {
		for range rows {
			dst.AppendNull()
		}
		return nil
	}
	if c.Nested && f.columns[i].Nested {
		return f.readNested(g, i, dst)
	}
	if c.Nested { // of a type that only its JSON text is read of
		return f.readText(g, f.columns[i], dst)
	}
	conv, err := converter(f.columns[i], c)
	if err != nil {
		return err
	}
	want := dst.Len() + rows
	chunk, err := f.Chunk(g, i)
	if err != nil {
		return err
	}
	if err := chunk.checkPages(chunk.rows); err != nil {
		return err
	}
	pages := f.pq.RowGroups()[g].ColumnChunks()[f.leaf[i]].(*parquet.FileColumnChunk).PagesFrom(chunk)
	defer pages.Close()
	for {
		p, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read column %s: %w", c.Name, err)
		}
		if int64(dst.Len())+p.NumRows() > int64(want) {
			parquet.Release(p)
			return fmt.Errorf("column %s has more values than its row group", c.Name)
		}
		err = conv.page(dst, p)
		parquet.Release(p)
		if err != nil {
			return fmt.Errorf("read column %s: %w", c.Name, err)
		}
	}
	if dst.Len() != want {
		return fmt.Errorf("column %s has %d values of %d", c.Name, rows-(want-dst.Len()), rows)
	}
	return nil
}

// readText appends the values of a column that is not nested as JSON text.
func (f *File) readText(g int, c Column, dst *column.Column) error {
	plain := column.Column{Kind: kindOfColumn(c)}
	if c.Physical == Int96 {
		c.Annotation = TimestampMicros
	}
	if err := f.Read(g, c, &plain); err != nil {
		return err
	}
	var text []byte
	for r := range plain.Len() {
		if plain.IsNull(r) {
			dst.AppendNull()
			continue
		}
		text = AppendJSON(text[:0], c, &plain, r)
		dst.AppendBytes(text)
	}
	return nil
}

// conversion turns a file's pages into values.
type conversion struct {
	from    Column
	to      column.Kind
	scale   int64 // multiply by, for units of time
	divide  int64 // divide by, exactly
	julian  bool  // int96 timestamps
	text    bool  // floats become doubles by way of their decimal text
	round   bool  // numbers become floats, the nearest
	spell   bool  // values become text
	adjust  bool  // decimals get more digits behind the point, or another size
	digits  int   // so many
	size    int   // bytes of a decimal; 0 for any number
	dense   column.Column
	scratch []byte
	dict    column.Column
	dictOf  parquet.Dictionary
}

func converter(from, to Column) (*conversion, error) {
	refuse := fmt.Errorf("column %s: the file's %s cannot be read as %s", to.Name, from.describe(), to.describe())
	if from.Nested || to.Nested {
		return nil, refuse
	}
	c := &conversion{from: from, scale: 1, divide: 1}
	switch to.Physical {
	case Float, Double:
		c.to = column.Float
		if from.Physical == Boolean || from.Physical == Int96 || from.Physical > Double || from.Annotation != Plain {
			return nil, refuse
		}
		c.round = to.Physical == Float && from.Physical != Float
		c.text = from.Physical == Float && to.Physical == Double
	case ByteArray, FixedLen:
		c.to = column.Bytes
		if to.Annotation == Decimal && from.Annotation == Decimal {
			if to.Scale < from.Scale || to.Scale-from.Scale > maxScale {
				return nil, refuse
			}
			c.adjust = to.Scale != from.Scale || to.Physical == FixedLen && (from.Physical != FixedLen || from.Size != to.Size)
			c.digits, c.size = to.Scale-from.Scale, to.Size
			break
		}
		if to.Annotation == UTF8 && (from.spells() || from == Column{Name: from.Name, Physical: ByteArray, Nullable: from.Nullable}) {
			c.spell = true
			break
		}
		if from.Physical != ByteArray && from.Physical != FixedLen {
			return nil, refuse
		}
	default:
		c.to = column.Int
		return c, c.times(to, refuse)
	}
	return c, nil
}

// spells reports whether the column's values have a text that Hudi reads them as
// once the column has become a string.
func (c *Column) spells() bool {
	switch c.Physical {
	case Float, Double:
		return true
	case Int32:
		return c.Annotation == Plain || c.Annotation == Date || c.Annotation == Decimal
	case Int64:
		return c.Annotation == Plain || c.Annotation == Decimal
	case ByteArray, FixedLen:
		return c.Annotation == Decimal
	default:
		return false
	}
}

// appendInt appends the text of a number.
func (c *conversion) appendInt(dst *column.Column, v int64) {
	switch c.from.Annotation {
	case Date:
		c.scratch = AppendDate(c.scratch[:0], v)
	case Decimal:
		c.scratch = append(c.scratch[:0], DecimalText(binary.BigEndian.AppendUint64(nil, uint64(v)), c.from.Scale)...)
	default:
		c.scratch = strconv.AppendInt(c.scratch[:0], v, 10)
	}
	dst.AppendBytes(c.scratch)
}

// appendFloat appends a number of so many bits.
func (c *conversion) appendFloat(dst *column.Column, v float64, bits int) {
	switch {
	case c.spell:
		c.scratch = AppendFloat(c.scratch[:0], v, bits)
		dst.AppendBytes(c.scratch)
	case c.text:
		dst.AppendFloat(WidenFloat(float32(v)))
	case c.round:
		dst.AppendFloat(float64(float32(v)))
	default:
		dst.AppendFloat(v)
	}
}

// appendBytes appends a value of bytes, in its own form or as text.
func (c *conversion) appendBytes(dst *column.Column, v []byte) {
	switch {
	case c.adjust:
		c.scratch = AppendDecimal(c.scratch[:0], v, c.digits, c.size)
		dst.AppendBytes(c.scratch)
	case !c.spell:
		dst.AppendBytes(v)
	case c.from.Annotation == Decimal:
		dst.AppendString(DecimalText(v, c.from.Scale))
	default:
		dst.AppendBytes(utf8Text(v))
	}
}

// times sets up the conversion between units of time.
func (c *conversion) times(to Column, refuse error) error {
	if c.from.Physical == Int96 && to.Annotation == TimestampMicros {
		c.julian = true
		return nil
	}
	if c.from.Physical == Int96 || c.from.Physical > Int96 || (c.from.Physical == Boolean) != (to.Physical == Boolean) {
		return refuse
	}
	if c.from.Physical == Int64 && to.Physical == Int32 {
		return refuse
	}
	switch {
	case c.from.Annotation == TimestampMillis && to.Annotation == TimestampMicros,
		c.from.Annotation == TimeMillis && to.Annotation == TimeMicros:
		c.scale = 1000
	case c.from.Annotation == TimestampMicros && to.Annotation == TimestampMillis,
		c.from.Annotation == TimeMicros && to.Annotation == TimeMillis:
		c.divide = 1000
	}
	return nil
}

func (c *Column) describe() string {
	if c.Nested {
		return "nested type"
	}
	physical := [...]string{"boolean", "int32", "int64", "int96", "float", "double", "bytes", "fixed"}[c.Physical]
	switch c.Annotation {
	case Decimal:
		return fmt.Sprintf("%s decimal(%d,%d)", physical, c.Precision, c.Scale)
	case Plain:
		return physical
	default:
		return physical + [...]string{"", " string", " enum", " date", " time-millis", " time-micros", " timestamp-millis", " timestamp-micros"}[c.Annotation]
	}
}

// page appends a page's values and nulls.
func (c *conversion) page(dst *column.Column, p parquet.Page) error {
	levels := p.DefinitionLevels()
	nulls := p.NumNulls()
	src := dst
	if nulls > 0 {
		c.dense.Reset()
		c.dense.Kind = c.to
		src = &c.dense
	}
	if err := c.values(src, p); err != nil {
		return err
	}
	if nulls == 0 {
		return nil
	}
	if int64(src.Len()) != int64(len(levels))-nulls {
		return fmt.Errorf("page of %d levels, %d nulls and %d values", len(levels), nulls, src.Len())
	}
	at := 0
	for _, l := range levels {
		if l == 0 {
			dst.AppendNull()
			continue
		}
		dst.Append(src, at)
		at++
	}
	return nil
}

// values appends the values of a page that are not null.
func (c *conversion) values(dst *column.Column, p parquet.Page) error {
	dict := p.Dictionary()
	if dict == nil {
		return c.plain(dst, p)
	}
	if c.dictOf != dict {
		c.dict.Reset()
		c.dict.Kind = c.to
		if err := c.plain(&c.dict, dict.Page()); err != nil {
			return err
		}
		c.dictOf = dict
	}
	data := p.Data()
	n := int32(c.dict.Len())
	for _, i := range data.Int32() {
		if i < 0 || i >= n {
			return fmt.Errorf("dictionary index %d of %d", i, n)
		}
		dst.Append(&c.dict, int(i))
	}
	return nil
}

// plain appends decoded values.
func (c *conversion) plain(dst *column.Column, p parquet.Page) error {
	data := p.Data()
	switch c.from.Physical {
	case Boolean:
		bits := data.Boolean()
		n := int(p.NumValues() - p.NumNulls())
		if n > 8*len(bits) {
			return fmt.Errorf("%d booleans in %d bytes", n, len(bits))
		}
		for i := range n {
			dst.AppendInt(int64(bits[i>>3]>>(i&7)) & 1)
		}
	case Int32:
		for _, v := range data.Int32() {
			c.integer(dst, int64(v))
		}
	case Int64:
		for _, v := range data.Int64() {
			c.integer(dst, v)
		}
	case Int96:
		for _, v := range data.Int96() {
			// Nanoseconds of the day, then the Julian day.
			day := int64(v[2]) - 2440588
			nanos := int64(uint64(v[1])<<32 | uint64(v[0]))
			dst.AppendInt(day*86_400_000_000 + nanos/1000)
		}
	case Float:
		for _, v := range data.Float() {
			c.appendFloat(dst, float64(v), 32)
		}
	case Double:
		if !c.spell && !c.round {
			dst.Floats = append(dst.Floats, data.Double()...)
			break
		}
		for _, v := range data.Double() {
			c.appendFloat(dst, v, 64)
		}
	case ByteArray:
		b, offs := data.ByteArray()
		if !c.spell && !c.adjust {
			appendByteArrays(dst, b, offs)
			break
		}
		for i := 1; i < len(offs); i++ {
			c.appendBytes(dst, b[offs[i-1]:offs[i]])
		}
	case FixedLen:
		b, size := data.FixedLenByteArray()
		for ; size > 0 && len(b) >= size; b = b[size:] {
			c.appendBytes(dst, b[:size])
		}
	}
	return nil
}

func appendByteArrays(dst *column.Column, b []byte, offs []uint32) {
	if len(offs) < 2 {
		return
	}
	if len(dst.Offs) == 0 {
		dst.Offs = append(dst.Offs, 0)
	}
	shift := uint32(len(dst.Data)) - offs[0]
	dst.Data = append(dst.Data, b[offs[0]:offs[len(offs)-1]]...)
	for _, o := range offs[1:] {
		dst.Offs = append(dst.Offs, o+shift)
	}
}

// WidenFloat makes a double of a float as Hudi does: the double that is written
// with the same digits, 0.1 and not 0.10000000149011612. So the values of a
// column that became double read the same before and after their file is
// written anew, whoever writes it.
func WidenFloat(v float32) float64 {
	d, err := strconv.ParseFloat(strconv.FormatFloat(float64(v), 'g', -1, 32), 64)
	if err != nil {
		return float64(v) // no float's text fails to parse
	}
	return d
}

// integer appends v in the form that the reader wants.
func (c *conversion) integer(dst *column.Column, v int64) {
	switch c.to {
	case column.Int:
		dst.AppendInt(v * c.scale / c.divide)
	case column.Float:
		if c.round {
			dst.AppendFloat(float64(float32(v)))
			break
		}
		dst.AppendFloat(float64(v))
	default:
		if c.spell {
			c.appendInt(dst, v)
			break
		}
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], uint64(v))
		c.appendBytes(dst, b[:])
	}
}
