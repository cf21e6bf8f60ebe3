package postgres

import (
	"context"
	"io"

	"tributary/capture"
	"tributary/capture/snapshot"
	"tributary/envelope"
)

// errEnd is how a source that ends after the snapshot says so.
var errEnd = io.EOF

// flusher makes the snapshot's lists into batches. It implements
// snapshot.Flush.
type flusher struct {
	pipe  *capture.Pipe
	pos   position
	batch *capture.Batch // the one whose Changes are being filled
	rows  int64
}

// Full implements snapshot.Flush.
func (f *flusher) Full(*envelope.Changes) bool { return f.pipe.Limits().Full(f.batch) }

// Flush implements snapshot.Flush.
func (f *flusher) Flush(ctx context.Context, _ *envelope.Changes, after *snapshot.Progress) (*envelope.Changes, error) {
	f.rows += int64(len(f.batch.List))
	f.pos.Snapshot = after
	var err error
	if f.batch.End, err = f.pos.append(f.batch.End[:0]); err != nil {
		return nil, err
	}
	if f.batch, err = f.pipe.Put(ctx, f.batch); err != nil {
		return nil, err
	}
	f.batch.Snapshot = true
	return &f.batch.Changes, nil
}
