package basefile

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
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
	perRow  int
	current int
	rows    [][]byte
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
	bits := math.Ceil(float64(keys) * (-math.Log(fpp) / (math.Ln2 * math.Ln2)))
	return &Bloom{
		bits:   int32(bits),
		hashes: int(math.Ceil(math.Ln2 * bits / float64(keys))),
		perRow: keys,
		rows:   [][]byte{make([]byte, (int(bits)+7)/8)},
	}
}

// Add adds a key.
func (b *Bloom) Add(key []byte) {
	if b.current >= b.perRow {
		b.rows = append(b.rows, make([]byte, len(b.rows[0])))
		b.current = 0
	}
	row := b.rows[len(b.rows)-1]
	h := int32(0)
	for range b.hashes {
		h = murmur(key, h)
		i := h % b.bits
		if i < 0 {
			i = -i
		}
		row[i>>3] |= 1 << (i & 7)
	}
	b.current++
}

// Has reports whether key may have been added; false is certain.
func (b *Bloom) Has(key []byte) bool {
	positions := make([]int32, b.hashes)
	h := int32(0)
	for n := range positions {
		h = murmur(key, h)
		i := h % b.bits
		if i < 0 {
			i = -i
		}
		positions[n] = i
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
	bits := int32(binary.BigEndian.Uint32(raw[9:]))
	if hashes <= 0 || hashes > 1000 || bits <= 0 || !first && (hashes != b.hashes || bits != b.bits) {
		return nil, errBloom
	}
	b.hashes, b.bits = hashes, bits
	return raw[13:], nil
}

// murmur is MurmurHash2 as Hadoop has it: the bytes after the last whole word
// are taken from the end, and with their sign.
func murmur(data []byte, seed int32) int32 {
	const m, r = 0x5bd1e995, 24
	h := uint32(seed) ^ uint32(len(data))
	i := 0
	for ; i+4 <= len(data); i += 4 {
		k := binary.LittleEndian.Uint32(data[i:]) * m
		k ^= k >> r
		h = h*m ^ k*m
	}
	if left := len(data) - i; left > 0 {
		n := len(data)
		if left >= 3 {
			h ^= uint32(int32(int8(data[n-3]))) << 16
		}
		if left >= 2 {
			h ^= uint32(int32(int8(data[n-2]))) << 8
		}
		h ^= uint32(int32(int8(data[n-1])))
		h *= m
	}
	h ^= h >> 13
	h *= m
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
