package basefile

import "encoding/binary"

// appendHybrid appends values in Parquet's hybrid of run lengths and bit
// packing: a run of at least 8 equal values becomes <count<<1> <value>, the rest
// <groups<<1|1> followed by groups of 8 values of width bits, the last one
// padded with zeros. width is 1 to 32.
func appendHybrid(dst []byte, values []uint32, width int) []byte {
	bytesPerValue := (width + 7) / 8
	i := 0
	for i < len(values) {
		if n := runLength(values[i:]); n >= 8 {
			dst = binary.AppendUvarint(dst, uint64(n)<<1)
			for b := range bytesPerValue {
				dst = append(dst, byte(values[i]>>(8*b)))
			}
			i += n
			continue
		}
		// Pack whole groups of 8 until one starts a long run.
		end := i
		for end < len(values) && (end == i || runLength(values[end:]) < 8) {
			end = min(end+8, len(values))
		}
		groups := (end - i + 7) / 8
		dst = binary.AppendUvarint(dst, uint64(groups)<<1|1)
		dst = appendPacked(dst, values[i:end], width)
		i = end
	}
	return dst
}

// runLength counts the values equal to the first.
func runLength(v []uint32) int {
	n := 1
	for n < len(v) && v[n] == v[0] {
		n++
	}
	return n
}

// appendPacked packs values, padded to a multiple of 8, least significant bit first.
func appendPacked(dst []byte, values []uint32, width int) []byte {
	var acc uint64
	var bits int
	put := func(v uint32) {
		acc |= uint64(v) << bits
		bits += width
		for bits >= 8 {
			dst = append(dst, byte(acc))
			acc >>= 8
			bits -= 8
		}
	}
	for _, v := range values {
		put(v)
	}
	for n := len(values); n%8 != 0; n++ {
		put(0)
	}
	return dst
}
