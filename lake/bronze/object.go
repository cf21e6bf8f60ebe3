package bronze

import (
	"context"
	"errors"
	"fmt"
	"io"

	"tributary/internal/avro"
	"tributary/lake/blob"
)

// ErrDamaged is in the chain of the error of an object whose content is not what
// its header says.
var ErrDamaged = errors.New("the object is damaged")

// Object is an open object: its header, then its records block by block.
type Object struct {
	Meta
	Key  string
	blob blob.Object
	avro *avro.Reader
}

// Open opens an object and reads its header.
func Open(ctx context.Context, store blob.Store, key string) (*Object, error) {
	o, err := store.Open(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", key, err)
	}
	a, err := avro.NewReader(o, o.Size(), key)
	if err != nil {
		return nil, errors.Join(err, o.Close())
	}
	obj := &Object{Key: key, blob: o, avro: a}
	if obj.Meta, err = parseMeta(a.Meta); err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", key, err), obj.Close())
	}
	return obj, nil
}

// SchemaText returns the writer schema.
func (o *Object) SchemaText() string { return o.avro.SchemaText() }

// Next returns the next block of records, or io.EOF once all of them are read
// and agree with the header. The data is valid until the next call.
func (o *Object) Next() (avro.Block, error) {
	b, err := o.avro.Next()
	if !errors.Is(err, io.EOF) {
		return b, err
	}
	if n := o.avro.Records(); n != o.Records {
		return b, fmt.Errorf("read %s: %w: it holds %d records and says %d", o.Key, ErrDamaged, n, o.Records)
	}
	if sum := o.avro.BodyCRC(); sum != o.BodyCRC {
		return b, fmt.Errorf("read %s: %w: its checksum is %08x and it says %08x", o.Key, ErrDamaged, sum, o.BodyCRC)
	}
	return b, err
}

// Close closes the object.
func (o *Object) Close() error {
	return errors.Join(o.avro.Close(), o.blob.Close())
}
