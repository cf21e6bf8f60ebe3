package merge

import (
	"bytes"
	"math/bits"

	"tributary/internal/column"
)

// Hash hashes a record key. It is stable: the same on every machine and in every
// version, so that it may be stored.
func Hash(key []byte) uint64 {
	const (
		a = 0x9e3779b97f4a7c15
		b = 0xd6e8feb86659fd93
	)
	h := uint64(len(key))*b ^ a
	for len(key) >= 8 {
		h = mix(h^le64(key), b)
		key = key[8:]
	}
	var tail uint64
	for i, c := range key {
		tail |= uint64(c) << (8 * i)
	}
	return mix(mix(h^tail, a), b)
}

// mix multiplies to 128 bits and folds the halves.
func mix(x, y uint64) uint64 {
	hi, lo := bits.Mul64(x, y)
	return hi ^ lo
}

func le64(b []byte) uint64 {
	_ = b[7]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

// keyTable numbers different keys by first appearance. The keys stay in their
// column.
type keyTable struct {
	keys   *column.Column
	slots  []int32 // group + 1; 0 is free
	hashes []uint64
	rows   []int32 // by group: the row of the first appearance
	next   int32   // rows added so far
}

func (t *keyTable) init(keys *column.Column, n int) {
	size := 16
	for size < 2*n {
		size *= 2
	}
	t.keys, t.slots = keys, make([]int32, size)
	t.hashes, t.rows = make([]uint64, 0, n), make([]int32, 0, n)
}

// add numbers the next row's key.
func (t *keyTable) add(key []byte) (group int32, found bool) {
	row := t.next
	t.next++
	h := Hash(key)
	mask := uint64(len(t.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		s := t.slots[i]
		if s == 0 {
			t.rows = append(t.rows, row)
			t.hashes = append(t.hashes, h)
			t.slots[i] = int32(len(t.rows))
			return int32(len(t.rows) - 1), false
		}
		if t.is(s-1, h, key) {
			return s - 1, true
		}
	}
}

func (t *keyTable) is(group int32, h uint64, key []byte) bool {
	return t.hashes[group] == h && bytes.Equal(t.keys.Value(int(t.rows[group])), key)
}

func (t *keyTable) find(key []byte) int {
	h := Hash(key)
	mask := uint64(len(t.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		s := t.slots[i]
		if s == 0 {
			return -1
		}
		if t.is(s-1, h, key) {
			return int(s - 1)
		}
	}
}
