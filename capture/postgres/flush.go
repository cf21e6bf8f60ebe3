package postgres

import (
	"context"
	"io"
	"log/slog"
	"time"

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

	began    time.Time
	told     time.Time // when progress was logged last
	before   int64     // rows that were read before began
	expected int64     // rows of all tables as the server estimates, 0 = it does not know
	log      *slog.Logger
	metrics  *metrics
}

// tellEvery is how often the progress of a snapshot is logged.
const tellEvery = 10 * time.Second

// Full implements snapshot.Flush.
func (f *flusher) Full(*envelope.Changes) bool { return f.pipe.Limits().Full(f.batch) }

// Flush implements snapshot.Flush.
func (f *flusher) Flush(ctx context.Context, _ *envelope.Changes, after *snapshot.Progress) (*envelope.Changes, error) {
	f.rows += int64(len(f.batch.List))
	f.metrics.rows.Set(float64(f.before + f.rows))
	if now := time.Now(); now.Sub(f.told) >= tellEvery && after != nil {
		f.told = now
		f.log.Info("snapshot", f.progress(after.Table, now)...)
	}
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

// progress is how far the snapshot has come, how fast it is and how long it
// will take, as attributes of a log line.
func (f *flusher) progress(table string, now time.Time) []any {
	done := f.before + f.rows
	out := []any{"table", table, "rows", done}
	rate := float64(f.rows) / max(now.Sub(f.began).Seconds(), 1e-3)
	out = append(out, "rows_per_second", int64(rate))
	if f.expected > done && rate > 0 {
		left := time.Duration(float64(f.expected-done) / rate * float64(time.Second))
		out = append(out, "expected", f.expected, "left", left.Round(time.Second).String())
	}
	return out
}
