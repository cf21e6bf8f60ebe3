package lake

import (
	"context"
	"iter"

	"tributary/internal/column"
)

// BaseFile is a Parquet file of a table: the rows of one file group.
type BaseFile struct {
	Key       string // in the store
	FileID    string
	Instant   string // the commit that wrote it
	Partition string // folder below the base; "" without partitions
	Size      int64  // bytes
	Rows      int64  // -1 if no commit on the active timeline tells
}

// Snapshot is a table as of an instant. It does not change, and can be read
// until cleaning removes its files.
type Snapshot struct{}

// Instant returns the newest completed instant that the snapshot includes; zero
// if it is from before the first.
func (s *Snapshot) Instant() Instant { return Instant{} }

// Schema returns the columns as of the snapshot, without Hudi's five own ones,
// which every base file has first.
func (s *Snapshot) Schema() Schema { return Schema{} }

// Files returns the base files whose rows make up the snapshot, by ascending
// key. Files older than the schema may lack its newest columns (null then) and
// have narrower types.
func (s *Snapshot) Files() []BaseFile { return nil }

// Rows returns the number of rows, or -1 if some file's is not known.
func (s *Snapshot) Rows() int64 { return 0 }

// Scan yields the snapshot's rows in batches, with the named columns in that
// order; nil means all of Schema. Hudi's own columns may be named too. A batch
// is valid until the next. After an error the iteration ends.
func (s *Snapshot) Scan(ctx context.Context, columns []string) iter.Seq2[*column.Batch, error] {
	return nil
}
