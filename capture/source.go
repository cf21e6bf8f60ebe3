package capture

import (
	"context"
	"errors"

	"tributary/envelope"
)

// Position is where a Source would go on: canonical JSON that only the Source
// which made it reads. nil = nothing has been captured yet.
type Position []byte

// Batch is a stretch of changes in log order. It and everything in it belong
// to the Source and are valid until the following call of Next.
type Batch struct {
	envelope.Changes
	// End is the position after the last change. A batch without changes
	// moves the position only (a heartbeat: the log went on without anything
	// for us). Empty, the position stays what it was.
	End Position
	// Snapshot is whether the changes are rows that a snapshot read.
	Snapshot bool
}

// Source reads the changes of one database. It is used by one goroutine.
//
// The batches of all Next calls, in order, hold each captured change exactly
// once; resumed from the End of some batch, a Source delivers exactly what
// followed it. (Rows of tables without a key are the exception: a snapshot
// that is interrupted within such a table reads the table again.)
type Source interface {
	// Open connects, checks rights and settings, and prepares to go on at
	// resume; nil starts with what snapshot.mode says. A position that the
	// database no longer has the log for is an error for a human, never a
	// reason to start over.
	Open(ctx context.Context, resume Position) error

	// Next returns the next batch; it blocks while there is none. A batch
	// ends at a transaction's end unless it reached its Limits. It returns as
	// soon as there is something: it never waits to fill a batch.
	Next(ctx context.Context) (*Batch, error)

	// Ack tells the database that everything up to p is durable, so that it
	// may discard its log before p. It does not wait for the database.
	Ack(ctx context.Context, p Position) error

	// Close ends the connections and returns when all goroutines have. It may
	// be called more than once and without Open; afterwards Open may be
	// called again.
	Close() error
}

// ErrReopen is what Next returns to have the source closed and opened again, at
// the position of the last batch.
var ErrReopen = errors.New("the source is to be opened anew")

// Emitter is where the changes go.
type Emitter interface {
	// Resume returns the position of the last batch that was emitted, nil if
	// there is none.
	Resume(ctx context.Context) (Position, error)

	// Emit makes the batch and its End durable, both or neither. After an
	// error it is unknown which; Resume tells. It does not keep b.
	Emit(ctx context.Context, b *Batch) error
}

// Limits bounds a batch. A batch is full when it reaches either.
type Limits struct {
	Changes int // number of changes
	Bytes   int // encoded bytes of rows and keys
}

// DefaultLimits keep a batch within a few MiB whatever the rows are.
func DefaultLimits() Limits { return Limits{Changes: 4096, Bytes: 4 << 20} }

// Full reports whether b has reached the limits.
func (l Limits) Full(b *Batch) bool {
	return len(b.List) >= l.Changes || len(b.Buf) >= l.Bytes
}
