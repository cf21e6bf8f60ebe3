package basefile

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

const (
	magic     = "PAR1"
	createdBy = "tributary version 1.0.0 (build go)"
)

// Pair is a key and a value of a file's footer.
type Pair struct{ Key, Value string }

// Writer writes a Parquet file from chunks. After an error it must be dropped.
type Writer struct {
	out     io.Writer
	columns []Column
	offset  int64
	meta    format.FileMetaData
}

// NewWriter starts a file whose schema is the columns, under the Avro record
// name root.
func NewWriter(out io.Writer, root string, columns []Column) (*Writer, error) {
	w := &Writer{out: out, columns: columns}
	w.meta.Version = 1
	w.meta.CreatedBy = createdBy
	w.meta.Schema = append(w.meta.Schema, format.SchemaElement{
		Name: root, NumChildren: thrift.New(int32(len(columns))),
	})
	for i := range columns {
		w.meta.Schema = append(w.meta.Schema, columns[i].element())
		w.meta.ColumnOrders = append(w.meta.ColumnOrders, format.ColumnOrder{Value: new(format.TypeDefinedOrder)})
	}
	return w, w.write([]byte(magic))
}

func (w *Writer) write(b []byte) error {
	n, err := w.out.Write(b)
	w.offset += int64(n)
	if err != nil {
		return fmt.Errorf("write parquet: %w", err)
	}
	return nil
}

// Append writes a row group: a chunk for each column, in order, of equal rows.
func (w *Writer) Append(chunks []*Chunk) error {
	if len(chunks) != len(w.columns) {
		return fmt.Errorf("row group of %d columns in a file of %d", len(chunks), len(w.columns))
	}
	group := format.RowGroup{
		NumRows:    int64(chunks[0].rows),
		FileOffset: w.offset,
		Ordinal:    int16(len(w.meta.RowGroups)),
	}
	for i, c := range chunks {
		if c.rows != chunks[0].rows || !sameChunk(c.column, w.columns[i]) {
			return fmt.Errorf("row group: chunk of column %s does not fit", w.columns[i].Name)
		}
		meta := c.meta
		meta.DataPageOffset += w.offset
		if c.dict {
			meta.DictionaryPageOffset = w.offset
		}
		group.Columns = append(group.Columns, format.ColumnChunk{FileOffset: w.offset, MetaData: meta})
		group.TotalByteSize += meta.TotalUncompressedSize
		group.TotalCompressedSize += meta.TotalCompressedSize
		if err := w.write(c.data); err != nil {
			return err
		}
	}
	w.meta.NumRows += group.NumRows
	w.meta.RowGroups = append(w.meta.RowGroups, group)
	return nil
}

// Rows returns the number of rows appended so far.
func (w *Writer) Rows() int64 { return w.meta.NumRows }

// Close writes the footer and returns the size of the file in bytes. It does
// not close the underlying writer.
func (w *Writer) Close(pairs []Pair) (int64, error) {
	for _, p := range pairs {
		w.meta.KeyValueMetadata = append(w.meta.KeyValueMetadata, format.KeyValue{Key: p.Key, Value: p.Value})
	}
	footer, err := thrift.Marshal(new(thrift.CompactProtocol), &w.meta)
	if err != nil {
		return 0, fmt.Errorf("encode parquet footer: %w", err)
	}
	footer = binary.LittleEndian.AppendUint32(footer, uint32(len(footer)))
	if err := w.write(append(footer, magic...)); err != nil {
		return 0, err
	}
	return w.offset, nil
}
