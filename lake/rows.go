package lake

import "tributary/internal/column"

// Op is what a row does to the stored row with its key.
type Op uint8

// The operations.
const (
	// Upsert inserts the row or replaces the stored one.
	Upsert Op = iota
	// SoftDelete marks the stored row as deleted. To the table it is an Upsert
	// whose caller has set Keep for the columns that survive: only the marker,
	// the ordering and such columns are taken from the row. Without a stored row
	// the row is inserted as given. It is counted apart.
	SoftDelete
	// Delete removes the stored row from the table's newest state. Earlier
	// instants still have it.
	Delete
)

// Rows is a batch of changes, in the order in which they happened. The table
// only reads it, and keeps no reference to it after Upsert returns.
type Rows struct {
	// Batch holds the values, a column for each field of Table.Schema and of the
	// kind that Type.Column gives. Keys must not be null.
	Batch *column.Batch
	// Ops tells each row's operation; nil means Upsert for all.
	Ops []Op
	// Keep tells, by column, the rows whose cell in that column is unknown to the
	// caller and stays as stored. nil, or nil for a column, means none. A kept
	// cell folds through the batch: the value is that of the next older row with
	// the same key, in the batch or else in the table; if there is none, the
	// cell's own value is taken as given.
	Keep []column.Bitmap
}

// Op returns the operation of row i.
func (r *Rows) Op(i int) Op {
	if r.Ops == nil {
		return Upsert
	}
	return r.Ops[i]
}
