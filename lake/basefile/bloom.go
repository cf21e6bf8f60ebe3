package basefile

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
)

// Bloom is Hudi's dynamic bloom filter (type code DYNAMIC_V0) over record keys.
// It is a list of rows, each a plain bloom filter for perRow keys; when the last
// row is full a new one is begun. All integers are big-endian:
//
//	-1 int32 | hashes int32 | 1 (murmur) int8 | bits int32
//	perRow int32 | keys in the last row int32 | rows int32
//	each row: -1 | hashes | 1 | bits | bit i at byte i/8, mask 1<<(i%8)
//
// and the whole is written as base64.
type Bloom struct {
	hashes  int
	bits    int32
	inverse uint64 // reciprocal of bits
	perRow  int
	current int
	rows    [][]byte
	scratch [2]mixed // of Add
}

const (
	bloomVersion = 0xffffffff
	bloomMurmur  = 1
	bloomFPP     = 1e-9 // Hudi's default
)

// NewBloom returns an empty filter whose rows are made for keys keys each, at
// Hudi's default rate of false positives.
func NewBloom(keys int) *Bloom { return newBloom(max(keys, 1), bloomFPP) }

func newBloom(keys int, fpp float64) *Bloom {
	size := math.Ceil(float64(keys) * (-math.Log(fpp) / (math.Ln2 * math.Ln2)))
	return &Bloom{
		bits:    int32(size),
		inverse: reciprocal(int32(size)),
		hashes:  int(math.Ceil(math.Ln2 * size / float64(keys))),
		perRow:  keys,
		rows:    [][]byte{make([]byte, (int(size)+7)/8)},
	}
}

// reciprocal is 2^64 / d, rounded up. Of a number of 32 bits times it the upper 64 bits
// are the quotient, and the lower ones, times d, have the remainder in their upper ones.
func reciprocal(d int32) uint64 { return math.MaxUint64/uint64(d) + 1 }

// Add adds keys. Two at a time go through the rounds side by side, each of which
// waits for the one before.
func (b *Bloom) Add(keys ...[]byte) {
	x, y := &b.scratch[0], &b.scratch[1]
	for len(keys) > 0 {
		row := b.row()
		if len(keys) == 1 || b.current+1 >= b.perRow {
			x.mix(keys[0])
			b.set(row, x)
			b.current, keys = b.current+1, keys[1:]
			continue
		}
		x.mix(keys[0])
		y.mix(keys[1])
		h, g := int32(0), int32(0)
		for range b.hashes {
			h, g = x.hash(h), y.hash(g)
			i, j := b.position(h), b.position(g)
			row[i>>3] |= 1 << (i & 7)
			row[j>>3] |= 1 << (j & 7)
		}
		b.current, keys = b.current+2, keys[2:]
	}
}

// row returns the row that takes the next key.
func (b *Bloom) row() []byte {
	if b.current >= b.perRow {
		b.rows = append(b.rows, make([]byte, len(b.rows[0])))
		b.current = 0
	}
	return b.rows[len(b.rows)-1]
}

func (b *Bloom) set(row []byte, x *mixed) {
	h := int32(0)
	for range b.hashes {
		h = x.hash(h)
		i := b.position(h)
		row[i>>3] |= 1 << (i & 7)
	}
}

// position is the bit of a hash: what its size leaves when it is divided by the
// number of bits, by two multiplications.
func (b *Bloom) position(h int32) uint32 {
	size := uint32(h)
	if h < 0 {
		size = -size
	}
	at, _ := bits.Mul64(b.inverse*uint64(size), uint64(b.bits))
	return uint32(at)
}

// Has reports whether key may have been added; false is certain.
func (b *Bloom) Has(key []byte) bool {
	var x mixed
	x.mix(key)
	var some [32]uint32
	positions := some[:0]
	h := int32(0)
	for range b.hashes {
		h = x.hash(h)
		positions = append(positions, b.position(h))
	}
next:
	for _, row := range b.rows {
		for _, i := range positions {
			if row[i>>3]&(1<<(i&7)) == 0 {
				continue next
			}
		}
		return true
	}
	return false
}

// String returns the filter as it is written into a footer.
func (b *Bloom) String() string {
	head := binary.BigEndian.AppendUint32(nil, bloomVersion)
	head = binary.BigEndian.AppendUint32(head, uint32(b.hashes))
	head = append(head, bloomMurmur)
	head = binary.BigEndian.AppendUint32(head, uint32(b.bits))
	out := make([]byte, 0, len(head)*(len(b.rows)+1)+12+len(b.rows)*len(b.rows[0]))
	out = append(out, head...)
	out = binary.BigEndian.AppendUint32(out, uint32(b.perRow))
	out = binary.BigEndian.AppendUint32(out, uint32(b.current))
	out = binary.BigEndian.AppendUint32(out, uint32(len(b.rows)))
	for _, row := range b.rows {
		out = append(out, head...)
		out = append(out, row...)
	}
	return base64.StdEncoding.EncodeToString(out)
}

var errBloom = errors.New("malformed bloom filter")

// ParseBloom reads a filter of type DYNAMIC_V0 as it stands in a footer.
func ParseBloom(s string) (*Bloom, error) {
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBloom, err)
	}
	b := new(Bloom)
	if raw, err = b.header(raw, true); err != nil {
		return nil, err
	}
	if len(raw) < 12 {
		return nil, errBloom
	}
	b.perRow = int(int32(binary.BigEndian.Uint32(raw)))
	b.current = int(int32(binary.BigEndian.Uint32(raw[4:])))
	rows := int(int32(binary.BigEndian.Uint32(raw[8:])))
	raw = raw[12:]
	size := (int(b.bits) + 7) / 8
	if b.perRow <= 0 || b.current < 0 || rows <= 0 || rows > len(raw)/size {
		return nil, errBloom
	}
	for range rows {
		if raw, err = b.header(raw, false); err != nil {
			return nil, err
		}
		if len(raw) < size {
			return nil, errBloom
		}
		b.rows = append(b.rows, raw[:size:size])
		raw = raw[size:]
	}
	return b, nil
}

// header reads the 13 bytes that begin the filter and each row; in a row they
// must repeat the filter's.
func (b *Bloom) header(raw []byte, first bool) ([]byte, error) {
	if len(raw) < 13 || binary.BigEndian.Uint32(raw) != bloomVersion || raw[8] != bloomMurmur {
		return nil, errBloom
	}
	hashes := int(int32(binary.BigEndian.Uint32(raw[4:])))
	size := int32(binary.BigEndian.Uint32(raw[9:]))
	if hashes <= 0 || hashes > 1000 || size <= 0 || !first && (hashes != b.hashes || size != b.bits) {
		return nil, errBloom
	}
	b.hashes, b.bits, b.inverse = hashes, size, reciprocal(size)
	return raw[13:], nil
}

// mixed is a key made ready for MurmurHash2 as Hadoop has it: the bytes after the
// last whole word are taken from the end, and with their sign. What does not depend on
// the seed is done once.
type mixed struct {
	length uint32
	words  []uint32
	tail   uint32
	tailed bool
}

const murmurFactor = 0x5bd1e995

func (x *mixed) mix(key []byte) {
	x.length, x.words = uint32(len(key)), x.words[:0]
	i := 0
	for ; i+4 <= len(key); i += 4 {
		k := binary.LittleEndian.Uint32(key[i:]) * murmurFactor
		k ^= k >> 24
		x.words = append(x.words, k*murmurFactor)
	}
	x.tail, x.tailed = 0, i < len(key)
	n := len(key)
	switch n - i {
	case 3:
		x.tail = uint32(int32(int8(key[n-3])))<<16 ^ uint32(int32(int8(key[n-2])))<<8 ^ uint32(int32(int8(key[n-1])))
	case 2:
		x.tail = uint32(int32(int8(key[n-2])))<<8 ^ uint32(int32(int8(key[n-1])))
	case 1:
		x.tail = uint32(int32(int8(key[n-1])))
	}
}

func (x *mixed) hash(seed int32) int32 {
	h := uint32(seed) ^ x.length
	for _, w := range x.words {
		h = h*murmurFactor ^ w
	}
	if x.tailed {
		h = (h ^ x.tail) * murmurFactor
	}
	h ^= h >> 13
	h *= murmurFactor
	h ^= h >> 15
	return int32(h)
}

// RowsAfter returns how many rows the filter has once n more keys are added.
func (b *Bloom) RowsAfter(n int) int {
	room := max(0, b.perRow-b.current)
	if n <= room {
		return len(b.rows)
	}
	return len(b.rows) + (n-room+b.perRow-1)/b.perRow
}

// CompareKeys orders record keys as Java orders strings, by UTF-16 code units:
// as bytes, except that characters beyond U+FFFF come before U+E000 to U+FFFF.
func CompareKeys(a, b []byte) int {
	for i := 0; i < len(a) && i < len(b); i++ {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		const astral, private = 0xf0, 0xee
		switch {
		case x >= astral && y >= private && y < astral:
			return -1
		case y >= astral && x >= private && x < astral:
			return 1
		case x < y:
			return -1
		default:
			return 1
		}
	}
	return len(a) - len(b)
}
