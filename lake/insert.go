package lake

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"slices"

	"tributary/internal/column"
)

// The operations, as commits tell them.
const (
	opUpsert     = "UPSERT"
	opInsert     = "INSERT"
	opBulkInsert = "BULK_INSERT"
)

// Insertion is how Table.Insert adds rows. The zero value is Hudi's insert.
type Insertion struct {
	// Bulk makes new file groups alone, with the rows sorted by partition and
	// record key. Else small files are filled up first.
	Bulk bool
	// Combine makes one row of the batch's rows with one key, as an upsert does.
	Combine bool
	// DropDuplicates leaves out rows whose key the table has. It implies Combine.
	DropDuplicates bool
}

// Insert adds rows in one commit, without looking whether the table has their
// keys already: where it has, a key is there twice, until an upsert or a delete
// of that key makes all of its rows the same. Rows whose operation is Delete add
// nothing, and Keep says nothing: there is no stored row. The rest is as for
// Upsert, but for this: giving the same rows again adds them again.
func (t *Table) Insert(ctx context.Context, rows Rows, how Insertion, extra map[string]string) (Instant, error) {
	if err := t.ready(ctx); err != nil {
		return Instant{}, err
	}
	how.Combine = how.Combine || how.DropDuplicates
	operation := opInsert
	if how.Bulk {
		operation = opBulkInsert
	}
	if !how.Combine {
		rows.Keep = nil
	}
	c, err := t.newChange(rows, operation, &how)
	if err != nil {
		return Instant{}, err
	}
	if err := c.plan(ctx); err != nil {
		return Instant{}, err
	}
	return c.write(ctx, extra)
}

// hasDuplicate notes the keys that a file has, whose rows are left out.
func (c *change) hasDuplicate(keys *column.Column) {
	for r := range keys.Len() {
		if k := c.merge.Find(keys.Value(r)); k >= 0 {
			c.matched[k] = true
		}
	}
}

// keyOrder is a key's place among the keys that are sorted.
type keyOrder struct {
	head uint64 // the key's first bytes, big-endian
	key  int32
}

// sortByKey sorts inserts by record key, bytewise, equal ones by their place in
// the batch.
func (c *change) sortByKey(inserts []int32) {
	order := make([]keyOrder, len(inserts))
	for i, k := range inserts {
		var head [8]byte
		copy(head[:], c.keyOf(k))
		order[i] = keyOrder{binary.BigEndian.Uint64(head[:]), k}
	}
	slices.SortFunc(order, func(a, b keyOrder) int {
		if a.head != b.head {
			return cmp.Compare(a.head, b.head)
		}
		return cmp.Or(bytes.Compare(c.keyOf(a.key), c.keyOf(b.key)), cmp.Compare(a.key, b.key))
	})
	for i := range order {
		inserts[i] = order[i].key
	}
}
