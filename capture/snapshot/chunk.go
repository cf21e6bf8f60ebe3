package snapshot

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"tributary/capture"
	"tributary/envelope"
	"tributary/internal/fault"
)

// Chunks is a Source that can read stretches of tables while it streams, which
// an incremental snapshot is made of. Chunk may be called while another
// goroutine is in Next; the other methods may not.
type Chunks interface {
	capture.Source
	Blocking

	// Captured lists the tables that are captured.
	Captured(ctx context.Context) ([]envelope.TableID, error)

	// Chunk reads rows that are committed now into out, as changes with Op
	// Read. It sees every transaction whose changes Next had returned when it
	// was called, or it fails with ErrAgain. What the server refuses for what it
	// says fails as Refused, a table that is gone as ErrGone.
	Chunk(ctx context.Context, r ChunkRequest, out *envelope.Changes) (ChunkResult, error)

	// Reached reports whether a batch that ends at end, and those before it,
	// hold all changes of the transactions that a chunk with that mark saw.
	Reached(end capture.Position, mark string) (bool, error)

	// Streaming reports whether the position is past the first snapshot.
	Streaming(at capture.Position) bool

	// Hurry has positions told as soon as the log moves, until it is called
	// with false.
	Hurry(on bool)
}

// ErrAgain is what Chunk returns when it might have missed a transaction: it is
// to be called again after a moment.
var ErrAgain = errors.New("a transaction that was streamed is not visible yet")

// ErrGone is what Chunk returns when the table is not captured any more.
var ErrGone = errors.New("the table is not captured any more")

// refused is the error of a server that does not do what a chunk asks of it.
type refused struct{ error }

func (r refused) Unwrap() error { return r.error }

// Refused marks an error of Chunk that lies in what was asked for, the condition
// above all: no restart heals it. A nil err stays nil.
func Refused(err error) error {
	if err == nil {
		return nil
	}
	return refused{err}
}

// ChunkRequest asks for a stretch of a table.
type ChunkRequest struct {
	Table  envelope.TableID
	After  [][]byte // key after which it begins, nil = at the first row
	Limit  int
	Filter string // SQL, "" = all rows
	// Surrogate is a column to read the table by, "" = its key.
	Surrogate string
	Since     capture.Position // where the stream stands
	Aside     bool             // a row that has no form in events becomes a change with Op Failed
}

// ChunkResult is what a chunk was.
type ChunkResult struct {
	Mark string   // for Reached
	Last [][]byte // key of its last row, nil if there was none
	Rows int
	// Held is how many rows were read and left for the next chunk. Where there are
	// none, and Rows is below Limit, the table has been read to its end.
	Held int
	// Expected is how many rows the table has, as the server's statistics say;
	// 0 = unknown. It is told with the first chunk of a table alone.
	Expected int64
}

// surrogate is the cell of a column by which a table is read, nil if the row has
// none.
func surrogate(t *envelope.Table, row envelope.Row, column string) []byte {
	i := slices.IndexFunc(t.Columns, func(c envelope.Column) bool { return c.Name == column })
	if row == nil || i < 0 {
		return nil
	}
	return t.Cell(row, i)
}

// keyOf is what tells a row of a chunk from others.
func keyOf(c *envelope.Change, by string) []byte {
	if c.Key == nil && by != "" {
		return surrogate(c.Table, c.After, by)
	}
	return c.Key
}

// OrderBy is a Codec of the table with a column as its key, for reading it in
// the order of that.
func OrderBy(codec *envelope.Codec, column string) (*envelope.Codec, error) {
	t := *codec.Table
	i := slices.IndexFunc(t.Columns, func(c envelope.Column) bool { return c.Name == column })
	switch {
	case i < 0:
		return nil, fault.Humanf("name another column as surrogate-key", "table %s has no column %q that is captured", t.ID, column)
	case t.Columns[i].Nullable:
		return nil, fault.Humanf("name another column as surrogate-key", "column %s of table %s may be null: rows would be passed over", column, t.ID)
	}
	t.Key = []int{i}
	return &envelope.Codec{Table: &t, Columns: codec.Columns}, nil
}

// chunkBytes is how many bytes of rows a chunk has at most, unless it has a single
// row, or one value of a surrogate key.
const chunkBytes = 4 << 20

// ReadChunk reads a chunk with a Reader; source is what its rows carry. ordered
// is codec, or what OrderBy makes of it for a surrogate key.
func ReadChunk(ctx context.Context, from Reader, codec, ordered *envelope.Codec, r ChunkRequest, source envelope.Source, out *envelope.Changes) (res ChunkResult, err error) {
	if len(ordered.Table.Key) == 0 {
		return res, fault.Humanf("name a column with different values in each row as surrogate-key in the signal, or give the table a key", "table %s has no key: its rows cannot be told from those that change meanwhile", r.Table)
	}
	source.Snapshot = envelope.SnapshotIncremental
	plan := Plan{Source: source, Aside: r.Aside}
	now := time.Now().UnixNano()
	var before [][]byte // the key before the last
	same := 0           // rows at the end that have the key Last
	full := false
	err = from.Read(ctx, Chunk{Codec: ordered, After: r.After, Limit: r.Limit, Filter: r.Filter}, func(cells [][]byte) error {
		n := sizeOf(codec, cells)
		again := r.Surrogate != "" && isKey(ordered, cells, res.Last) // a value is not taken apart
		if full = full || res.Rows > 0 && len(out.Buf)+n > chunkBytes && !again; full {
			res.Held++
			return nil
		}
		if cap(out.Buf) < len(out.Buf)+n {
			out.Buf = slices.Grow(out.Buf, max(n, min(len(out.Buf), chunkBytes-len(out.Buf))))
		}
		if err := plan.appendRow(out, codec, cells, now); err != nil {
			return err
		}
		if res.Rows++; again {
			same++
			return nil
		}
		key := make([][]byte, 0, len(ordered.Table.Key))
		for _, k := range ordered.Table.Key {
			key = append(key, bytes.Clone(cells[k]))
		}
		before, res.Last, same = res.Last, key, 1
		return nil
	})
	if err != nil || r.Surrogate == "" || full || res.Rows < r.Limit {
		return res, err
	}
	// There may be more rows of the last value: they come with the next chunk.
	if same == res.Rows {
		return res, fault.Humanf("name a column with more different values, or raise incremental.snapshot.chunk.size", "table %s has %d rows or more of one value of %s", r.Table, same, r.Surrogate)
	}
	out.List = out.List[:len(out.List)-same]
	res.Rows, res.Held, res.Last = res.Rows-same, same, before
	return res, nil
}

// isKey reports whether a row has that key.
func isKey(codec *envelope.Codec, cells, key [][]byte) bool {
	if key == nil {
		return false
	}
	for i, k := range codec.Table.Key {
		if !bytes.Equal(cells[k], key[i]) {
			return false
		}
	}
	return true
}
