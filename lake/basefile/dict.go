package basefile

import (
	"bytes"
	"hash/maphash"

	"tributary/internal/column"
)

const (
	sampleRows     = 1024 // rows looked at before a dictionary is tried in full
	sampleDistinct = 256  // distinct values among them at which it is not
	maxDictionary  = 8192 // entries at which a dictionary is given up
)

// dictionary finds the distinct values of a column. It is open addressing over
// the places of their first appearance, so that no value is copied.
type dictionary struct {
	seed    maphash.Seed
	slots   []uint32 // entry + 1; 0 is free
	first   []int32  // row of the first appearance, by entry
	indexes []uint32 // entry, by row; 0 for null
	dense   []uint32
}

// build returns the entry of every row, or nil when a dictionary does not pay.
func (d *dictionary) build(c Column, data *column.Column) []uint32 {
	n := data.Len()
	if n < 8 || c.Physical == Boolean || data.Kind == column.Float {
		return nil
	}
	if len(d.slots) == 0 {
		d.seed = maphash.MakeSeed()
		d.slots = make([]uint32, 2*maxDictionary)
	}
	clear(d.slots)
	d.first = d.first[:0]
	if cap(d.indexes) < n {
		d.indexes = make([]uint32, n)
	}
	d.indexes = d.indexes[:n]
	sample := min(n, sampleRows)
	if !d.index(data, 0, sample, max(4, min(sampleDistinct, sample/2))) {
		return nil
	}
	if !d.index(data, sample, n, min(maxDictionary, n/2)) {
		return nil
	}
	if len(d.first) == 0 {
		return nil // nulls only
	}
	return d.indexes
}

// index indexes rows from to to; it reports false when the entries become more
// than limit.
func (d *dictionary) index(data *column.Column, from, to, limit int) bool {
	last := -1
	for r := from; r < to; r++ {
		if data.Nulls.Get(r) {
			d.indexes[r] = 0
			continue
		}
		if last >= 0 && equal(data, last, r) {
			d.indexes[r] = d.indexes[last]
			continue
		}
		last = r
		e := d.entry(data, r)
		d.indexes[r] = e
		if len(d.first) > limit {
			return false
		}
	}
	return true
}

func (d *dictionary) entry(data *column.Column, r int) uint32 {
	mask := uint64(len(d.slots) - 1)
	for h := d.hash(data, r) & mask; ; h = (h + 1) & mask {
		s := d.slots[h]
		if s == 0 {
			d.first = append(d.first, int32(r))
			d.slots[h] = uint32(len(d.first))
			return uint32(len(d.first) - 1)
		}
		if equal(data, int(d.first[s-1]), r) {
			return s - 1
		}
	}
}

func (d *dictionary) hash(data *column.Column, r int) uint64 {
	if data.Kind == column.Int {
		return (uint64(data.Ints[r]) * 0x9e3779b97f4a7c15) >> 32
	}
	return maphash.Bytes(d.seed, data.Value(r))
}

func equal(data *column.Column, a, b int) bool {
	if data.Kind == column.Int {
		return data.Ints[a] == data.Ints[b]
	}
	return bytes.Equal(data.Value(a), data.Value(b))
}

// present returns the entries of the rows from to to that are not null.
func (d *dictionary) present(data *column.Column, indexes []uint32, from, to int) []uint32 {
	if !data.Nulls.Any() {
		return indexes[from:to]
	}
	d.dense = d.dense[:0]
	for r := from; r < to; r++ {
		if !data.Nulls.Get(r) {
			d.dense = append(d.dense, indexes[r])
		}
	}
	return d.dense
}
