package binlog

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
)

// A DECIMAL is stored as groups of nine decimal digits, each a big-endian
// integer of four bytes; a first and a last group of fewer digits take fewer
// bytes. The sign is the inverted top bit; a negative value has all bits
// inverted.

var groupBytes = [10]int{0, 1, 1, 2, 2, 3, 3, 4, 4, 4}

var pow10 = [10]uint32{1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9}

// maxDigits is the largest precision of a DECIMAL. 10^65 < 2^224.
const maxDigits = 65

// decimal is a decoded DECIMAL: its unscaled magnitude, least significant word
// first, and its sign.
type decimal struct {
	words [7]uint32
	neg   bool
	small bool // the magnitude fits into lo
	lo    uint64
}

// parseDecimal reads a DECIMAL by c's metadata; n is 0 when src is malformed.
func parseDecimal(meta uint16, src []byte) (d decimal, n int) {
	precision, scale := int(meta>>8), int(meta&0xff)
	if precision == 0 || precision > maxDigits || scale > precision {
		return d, 0
	}
	intDigits := precision - scale
	n = intDigits/9*4 + groupBytes[intDigits%9] + scale/9*4 + groupBytes[scale%9]
	if len(src) < n {
		return d, 0
	}
	var mask byte
	if src[0]&0x80 == 0 {
		d.neg, mask = true, 0xff
	}
	d.small = precision <= 18
	p := 0
	group := func(digits int) bool {
		size := groupBytes[digits]
		var v uint32
		for i := range size {
			b := src[p+i] ^ mask
			if p+i == 0 {
				b ^= 0x80
			}
			v = v<<8 | uint32(b)
		}
		p += size
		if v >= pow10[digits] {
			return false
		}
		if d.small {
			d.lo = d.lo*uint64(pow10[digits]) + uint64(v)
		} else {
			d.mulAdd(pow10[digits], v)
		}
		return true
	}
	ok := intDigits%9 == 0 || group(intDigits%9)
	for i := 0; ok && i < intDigits/9+scale/9; i++ {
		ok = group(9)
	}
	if ok && scale%9 != 0 {
		ok = group(scale % 9)
	}
	if !ok {
		return d, 0
	}
	return d, n
}

func (d *decimal) mulAdd(m, a uint32) {
	carry := uint64(a)
	for i := range d.words {
		v := uint64(d.words[i])*uint64(m) + carry
		d.words[i], carry = uint32(v), v>>32
	}
}

// AppendDecimal decodes a DECIMAL as an Avro decimal: the big-endian two's
// complement of its unscaled value, in as few bytes as hold it.
func AppendDecimal(c *Column, dst, src []byte) ([]byte, int) {
	d, n := parseDecimal(c.Meta, src)
	if n == 0 {
		return dst, 0
	}
	if d.small {
		return AppendUnscaled(dst, d.neg, d.lo), n
	}
	var be [29]byte // a sign byte and seven words
	for i, w := range d.words {
		binary.BigEndian.PutUint32(be[25-4*i:], w)
	}
	if d.neg {
		carry := uint16(1)
		for i := len(be) - 1; i >= 0; i-- {
			v := uint16(^be[i]) + carry
			be[i], carry = byte(v), v>>8
		}
	}
	return appendMinimal(dst, be[:]), n
}

// AppendUnscaled appends an Avro decimal of the unscaled value abs, negated
// when neg.
func AppendUnscaled(dst []byte, neg bool, abs uint64) []byte {
	if abs < 1<<63 {
		v := int64(abs)
		if neg {
			v = -v
		}
		n := (bits.Len64(uint64(v^v>>63)) + 8) / 8 // a sign bit more than the magnitude
		dst = append(dst, byte(n<<1))
		for i := n - 1; i >= 0; i-- {
			dst = append(dst, byte(v>>(8*i)))
		}
		return dst
	}
	var be [9]byte
	binary.BigEndian.PutUint64(be[1:], abs)
	if neg {
		binary.BigEndian.PutUint64(be[1:], -abs)
		be[0] = 0xff
	}
	return appendMinimal(dst, be[:])
}

// appendMinimal appends be, a big-endian two's complement, as Avro bytes
// without the leading bytes that only repeat the sign.
func appendMinimal(dst, be []byte) []byte {
	for len(be) > 1 && (be[0] == 0 && be[1] < 0x80 || be[0] == 0xff && be[1] >= 0x80) {
		be = be[1:]
	}
	dst = binary.AppendVarint(dst, int64(len(be)))
	return append(dst, be...)
}

// AppendDecimalString decodes a DECIMAL as a string with all digits of its
// scale.
func AppendDecimalString(c *Column, dst, src []byte) ([]byte, int) {
	var buf [maxDigits + 3]byte
	text, n := decimalText(buf[:0], c.Meta, src)
	if n == 0 {
		return dst, 0
	}
	dst = binary.AppendVarint(dst, int64(len(text)))
	return append(dst, text...), n
}

// AppendDecimalDouble decodes a DECIMAL as the double nearest to it.
func AppendDecimalDouble(c *Column, dst, src []byte) ([]byte, int) {
	var buf [maxDigits + 3]byte
	text, n := decimalText(buf[:0], c.Meta, src)
	if n == 0 {
		return dst, 0
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return dst, 0
	}
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(f)), n
}

// decimalText appends the plain decimal notation of a DECIMAL.
func decimalText(dst []byte, meta uint16, src []byte) ([]byte, int) {
	d, n := parseDecimal(meta, src)
	if n == 0 {
		return dst, 0
	}
	if d.neg && d.lo == 0 && d.words == [7]uint32{} {
		d.neg = false
	}
	scale := int(meta & 0xff)
	var digits [maxDigits + 16]byte
	p := len(digits)
	if d.small {
		for v := d.lo; v > 0; v /= 10 {
			p--
			digits[p] = byte('0' + v%10)
		}
	} else {
		p = d.digits(&digits)
	}
	for len(digits)-p <= scale { // at least one digit before the point
		p--
		digits[p] = '0'
	}
	if d.neg {
		dst = append(dst, '-')
	}
	point := len(digits) - scale
	dst = append(dst, digits[p:point]...)
	if scale > 0 {
		dst = append(dst, '.')
		dst = append(dst, digits[point:]...)
	}
	return dst, n
}

// digits writes the magnitude's decimal digits to the end of buf and returns
// where they start.
func (d *decimal) digits(buf *[maxDigits + 16]byte) int {
	w := d.words
	p := len(buf)
	for w != [7]uint32{} {
		rem := uint64(0)
		for i := len(w) - 1; i >= 0; i-- {
			v := rem<<32 | uint64(w[i])
			w[i], rem = uint32(v/1e9), v%1e9
		}
		for range 9 {
			p--
			buf[p] = byte('0' + rem%10)
			rem /= 10
		}
	}
	for p < len(buf) && buf[p] == '0' {
		p++
	}
	return p
}
