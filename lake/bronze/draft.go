package bronze

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"tributary/internal/avro"
	"tributary/lake/blob"
)

// Schema is the writer schema of records, with what the header tells of it.
type Schema struct {
	ID        int64    // the registry's id of the value's schema
	Text      string   // self-contained
	KeyFields []string // names of the fields of the record's key
}

// draft is an object that is being assembled. Its records are spliced as they
// are, never decoded.
type draft struct {
	name   Name
	schema Schema
	codec  avro.Codec
	body   *body
	blocks *avro.BlockWriter
	last   int64
	bytes  int64
	sync   avro.Sync
}

// newDraft begins an object. Its name and its schema determine its marker, so
// that the same records make the same bytes.
func newDraft(name Name, schema Schema, codec avro.Codec, spool *Spool) (*draft, error) {
	sync := avro.SyncOf(schema.Text, string(codec), name.Topic, name.Folder,
		strconv.Itoa(int(name.Partition)), strconv.FormatInt(name.First, 10))
	d := &draft{name: name, schema: schema, codec: codec, body: &body{spool: spool}, sync: sync, last: -1}
	var err error
	if d.blocks, err = avro.NewBlockWriter(d.body, sync, codec, 0); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *draft) append(offset int64, record []byte) error {
	d.last = offset
	d.bytes += int64(len(record))
	return d.blocks.Append(record)
}

// put writes the object. It may be called again after an error; the draft is
// not changed by it but for its last block being closed.
func (d *draft) put(ctx context.Context, store blob.Store, root string, durable int64) (Meta, int64, error) {
	if err := d.blocks.Flush(); err != nil {
		return Meta{}, 0, fmt.Errorf("complete %s: %w: %w", d.name.Key(root), ErrBroken, err)
	}
	m := Meta{
		Topic: d.name.Topic, Partition: d.name.Partition, First: d.name.First, Last: d.last,
		Records: d.blocks.Records(), SchemaID: d.schema.ID, KeyFields: d.schema.KeyFields,
		Durable: durable, BodyCRC: d.blocks.BodyCRC(),
	}
	entries, err := m.entries(d.schema.Text, d.codec)
	if err != nil {
		return Meta{}, 0, err
	}
	head := avro.AppendHeader(nil, entries, d.sync)
	size := int64(len(head)) + d.body.size
	key := d.name.Key(root)
	_, err = store.Put(ctx, key, io.NewSectionReader(joined{head, d.body}, 0, size), size, blob.IfAbsent())
	if errors.Is(err, blob.ErrExist) {
		return Meta{}, 0, fmt.Errorf("put %s: %w", key, ErrTaken)
	}
	if err != nil {
		return Meta{}, 0, fmt.Errorf("put %s: %w", key, err)
	}
	return m, size, nil
}

func (d *draft) close() error { return d.body.Close() }
