package bronze

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"tributary/internal/avro"
	"tributary/lake/blob"
)

// ErrTaken is in the chain of the error of a flush when an object has the name
// already: another writer went on with the partition. The partition must be
// read again from its committed offset, with a new PartitionWriter.
var ErrTaken = errors.New("another writer has put this object already")

// ErrBroken is in the chain of an error of Append or Flush after which the
// writer is of no use: a temporary file could not be written, for one.
var ErrBroken = errors.New("open file cannot be completed")

// Options are what the PartitionWriters of a process share.
type Options struct {
	Store blob.Store
	Root  string // see DefaultRoot
	Codec avro.Codec
	Spool *Spool
	// Linear: a record may go to another folder when it is written again. Only
	// one folder is open at a time then, and the chain is one over all folders.
	Linear bool
}

// PartitionWriter writes the records of one partition. It is not safe for use
// by many goroutines at once. It must be closed.
type PartitionWriter struct {
	opt       Options
	topic     string
	partition int32
	drafts    map[string]*draft
	ends      map[string]int64 // folder -> offset of its last record in bronze; Linear: the one key is ""
	durable   int64            // every record up to here is in an object
	last      int64            // offset last seen by Append or Skip
	records   int64
	bytes     int64
	current   *draft  // the draft that the last record went to
	schema    *Schema // of all drafts
}

// NewPartitionWriter returns a writer whose first record will have the offset
// next or a later one: all before it must be in bronze.
func NewPartitionWriter(opt Options, topic string, partition int32, next int64) *PartitionWriter {
	return &PartitionWriter{
		opt: opt, topic: topic, partition: partition,
		drafts: map[string]*draft{}, ends: map[string]int64{}, durable: next - 1, last: next - 1,
	}
}

// NeedsFlush reports whether a record of that folder and schema can only be
// appended after a flush.
func (w *PartitionWriter) NeedsFlush(folder string, s *Schema) bool {
	if len(w.drafts) == 0 {
		return false
	}
	if w.opt.Linear && w.drafts[folder] == nil {
		return true
	}
	return s != w.schema && !s.equal(w.schema)
}

// Append adds a record, which is copied. Offsets must grow from call to call.
// A record that is in bronze already is passed over: then written is false.
// NeedsFlush must be false for the folder and schema, which is kept. When the
// record opens a folder, the store is asked for the end of the folder's chain.
// After an error but ErrBroken the record may be appended again.
func (w *PartitionWriter) Append(ctx context.Context, offset int64, folder string, s *Schema, record []byte) (written bool, err error) {
	if offset <= w.last {
		return false, fmt.Errorf("append offset %d after %d to %s-%d: offsets must grow", offset, w.last, w.topic, w.partition)
	}
	d := w.current
	if d == nil || d.name.Folder != folder {
		if d, err = w.open(ctx, offset, folder, s); err != nil {
			return false, err
		}
		if d == nil {
			w.last = offset
			return false, nil
		}
	}
	if err := d.append(offset, record); err != nil {
		return false, fmt.Errorf("append to %s: %w: %w", d.name.Key(w.opt.Root), ErrBroken, err)
	}
	w.last = offset
	w.records++
	w.bytes += int64(len(record))
	return true, nil
}

func (s *Schema) equal(o *Schema) bool {
	return s.ID == o.ID && s.Text == o.Text && slices.Equal(s.KeyFields, o.KeyFields)
}

// open returns the folder's draft, or nil when the record at offset is in bronze
// already.
func (w *PartitionWriter) open(ctx context.Context, offset int64, folder string, s *Schema) (*draft, error) {
	chain := folder
	if w.opt.Linear {
		chain = ""
	}
	end, known := w.ends[chain]
	if !known {
		var err error
		if end, err = chainEnd(ctx, w.opt.Store, w.opt.Root, Name{Topic: w.topic, Folder: chain, Partition: w.partition}, w.durable+1); err != nil {
			return nil, err
		}
		w.ends[chain] = end
	}
	if offset <= end {
		return nil, nil
	}
	d := w.drafts[folder]
	if d == nil {
		var err error
		name := Name{Topic: w.topic, Folder: folder, Partition: w.partition, First: offset}
		if d, err = newDraft(name, *s, w.opt.Codec, w.opt.Spool); err != nil {
			return nil, fmt.Errorf("begin %s: %w", name.Key(w.opt.Root), err)
		}
		if len(w.drafts) == 0 {
			w.schema = s
		}
		w.drafts[folder] = d
	}
	w.current = d
	return d, nil
}

// Skip notes an offset of which nothing is to be written.
func (w *PartitionWriter) Skip(offset int64) { w.last = max(w.last, offset) }

// Next returns the offset from which on records are not durable yet: what may be
// committed.
func (w *PartitionWriter) Next() int64 { return w.durable + 1 }

// Pending returns the number of records and of their bytes that the next flush
// will write.
func (w *PartitionWriter) Pending() (records, bytes int64) { return w.records, w.bytes }

// Dirty reports whether offsets were taken since the last flush.
func (w *PartitionWriter) Dirty() bool { return w.last > w.durable }

// Folders returns the number of open folders.
func (w *PartitionWriter) Folders() int { return len(w.drafts) }

// Flushed is an object that a flush has put.
type Flushed struct {
	Key  string
	Size int64
	Meta
}

// Flush puts all drafts, in the order of their first offsets. When it returns
// without error, Next is past every offset given so far. After an error but
// ErrTaken and ErrBroken it may be called again.
func (w *PartitionWriter) Flush(ctx context.Context) ([]Flushed, error) {
	drafts := make([]*draft, 0, len(w.drafts))
	for _, d := range w.drafts {
		drafts = append(drafts, d)
	}
	slices.SortFunc(drafts, func(a, b *draft) int { return cmp.Compare(a.name.First, b.name.First) })
	var out []Flushed
	for i, d := range drafts {
		durable := w.durable
		if i == len(drafts)-1 {
			durable = w.last
		}
		m, size, err := d.put(ctx, w.opt.Store, w.opt.Root, durable)
		if err != nil {
			return out, err
		}
		chain := d.name.Folder
		if w.opt.Linear {
			chain = ""
		}
		w.ends[chain] = d.last
		out = append(out, Flushed{Key: d.name.Key(w.opt.Root), Size: size, Meta: m})
		// Gone from the set, so that a second call does not put it again.
		delete(w.drafts, d.name.Folder)
		if err := d.close(); err != nil {
			return out, err
		}
	}
	w.durable = w.last
	w.current, w.records, w.bytes = nil, 0, 0
	return out, nil
}

// Close drops what was not flushed.
func (w *PartitionWriter) Close() error {
	var err error
	for _, d := range w.drafts {
		err = errors.Join(err, d.close())
	}
	clear(w.drafts)
	w.current = nil
	return err
}
