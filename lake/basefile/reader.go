package basefile

import (
	"bytes"
	"errors"
	"fmt"
	"io"

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
	leaves             []*parquet.Column
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
	f.leaves = leavesOf(pq.Root(), nil)
	return f, checkGroups(pq.Metadata(), leaves)
}

// leavesOf appends the leaves below c in their order.
func leavesOf(c *parquet.Column, dst []*parquet.Column) []*parquet.Column {
	if c.Leaf() {
		return append(dst, c)
	}
	for _, child := range c.Columns() {
		dst = leavesOf(child, dst)
	}
	return dst
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
	if err := chunk.checkPages(chunk.rows, f.leaves[f.leaf[i]]); err != nil {
		return err
	}
	pages := f.pq.RowGroups()[g].ColumnChunks()[f.leaf[i]].(*parquet.FileColumnChunk).PagesFrom(chunk)
	defer func() { _ = pages.Close() }()
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
