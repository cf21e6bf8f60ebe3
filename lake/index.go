package lake

import (
	"cmp"
	"slices"
)

// keyIndex tells for the hash of a record key which file groups may hold it. It
// takes 8 bytes a slot, at most three quarters of them used: 11 to 21 bytes a
// key. It never misses a key; rarely it names a group that lacks it, so that the
// answer is to be checked against the group's keys.
//
// A slot is the upper 44 bits of the hash, then the group's number plus 1; the
// number is all ones for a slot whose key was removed.
type keyIndex struct {
	slots []uint64
	used  int        // slots that are not free, removed ones included
	file  *indexFile // where the slots are; nil: in memory alone
	added int        // since the file's pages were given back
	found int        // likewise
}

// After so many keys added, or looked up, the file's pages are given back: each
// touches a page of 4 KiB, a look-up brings 15 neighbours with it.
const (
	// indexResident is the size up to which all of a file may stay in memory.
	indexResident   = 96 << 20
	relaxAfterAdds  = 1 << 15
	relaxAfterFinds = 1 << 10
)

const (
	groupBits   = 20
	groupMask   = 1<<groupBits - 1
	removedSlot = groupMask
	maxGroups   = groupMask - 1
)

// reserve makes room for n keys.
func (x *keyIndex) reserve(n int) {
	size := max(1024, len(x.slots))
	for size*3/4 < n {
		size *= 2
	}
	if size > len(x.slots) {
		x.rehash(size)
	}
}

func (x *keyIndex) rehash(size int) {
	old := x.slots
	fill := func(slots []uint64) {
		x.slots, x.used = slots, 0
		for _, s := range old {
			if g := s & groupMask; g != 0 && g != removedSlot {
				x.place(s)
			}
		}
	}
	if x.file != nil {
		slots, err := x.file.grow(size, fill)
		if err == nil {
			x.slots = slots
			return
		}
		defer x.file.close() // once old has been read
		x.file = nil
	}
	fill(make([]uint64, size))
}

// clear forgets every key.
func (x *keyIndex) clear() { x.slots, x.used = nil, 0 }

// start returns the slot at which a tag's keys begin.
func (x *keyIndex) start(tag uint64) uint64 {
	return (tag * 0x9e3779b97f4a7c15) >> 20 & uint64(len(x.slots)-1)
}

func (x *keyIndex) place(s uint64) {
	if x.added++; x.added >= relaxAfterAdds && x.file != nil {
		x.added = 0
		x.file.relax()
	}
	mask := uint64(len(x.slots) - 1)
	for i := x.start(s >> groupBits); ; i = (i + 1) & mask {
		if x.slots[i] == 0 {
			x.slots[i] = s
			x.used++
			return
		}
	}
}

// add says that a key with the hash is in the group.
func (x *keyIndex) add(hash uint64, group int) {
	if 4*(x.used+1) > 3*len(x.slots) {
		x.rehash(max(1024, 2*len(x.slots)))
	}
	x.place(hash&^groupMask | uint64(group+1))
}

// addAll says so of many keys. Their order is changed: that of the slots, so that
// those of a large index are passed over once.
func (x *keyIndex) addAll(hashes []uint64, group int) {
	x.reserve(x.used + len(hashes))
	if 8*len(x.slots) > indexResident {
		slices.SortFunc(hashes, func(a, b uint64) int {
			return cmp.Compare(x.start(a>>groupBits), x.start(b>>groupBits))
		})
	}
	for _, h := range hashes {
		x.add(h, group)
	}
}

// addOnce says the same as add, unless it is said already.
func (x *keyIndex) addOnce(hash uint64, group int) {
	if len(x.slots) > 0 {
		want, mask := hash&^groupMask|uint64(group+1), uint64(len(x.slots)-1)
		for i := x.start(hash >> groupBits); x.slots[i] != 0; i = (i + 1) & mask {
			if x.slots[i] == want {
				return
			}
		}
	}
	x.add(hash, group)
}

// find appends to dst the groups that may hold a key with the hash.
func (x *keyIndex) find(dst []int32, hash uint64) []int32 {
	if len(x.slots) == 0 {
		return dst
	}
	if x.found++; x.found >= relaxAfterFinds && x.file != nil {
		x.found = 0
		x.file.relax()
	}
	tag, mask := hash>>groupBits, uint64(len(x.slots)-1)
	for i := x.start(tag); x.slots[i] != 0; i = (i + 1) & mask {
		if s := x.slots[i]; s>>groupBits == tag && s&groupMask != removedSlot {
			dst = append(dst, int32(s&groupMask)-1)
		}
	}
	return dst
}

// remove says that a key with the hash is no longer in the group.
func (x *keyIndex) remove(hash uint64, group int) {
	if len(x.slots) == 0 {
		return
	}
	want, mask := hash&^groupMask|uint64(group+1), uint64(len(x.slots)-1)
	for i := x.start(hash >> groupBits); x.slots[i] != 0; i = (i + 1) & mask {
		if x.slots[i] == want {
			x.slots[i] |= removedSlot
			return
		}
	}
}
