package binlog

import (
	"encoding/binary"
	"math"
)

// The Avro int and long are both zigzag variable-length integers: so is
// encoding/binary's Varint.

// AppendTiny decodes a signed TINYINT.
func AppendTiny(_ *Column, dst, src []byte) ([]byte, int) {
	if len(src) < 1 {
		return dst, 0
	}
	return binary.AppendVarint(dst, int64(int8(src[0]))), 1
}

// AppendUTiny decodes a TINYINT UNSIGNED.
func AppendUTiny(_ *Column, dst, src []byte) ([]byte, int) {
	if len(src) < 1 {
		return dst, 0
	}
	return binary.AppendVarint(dst, int64(src[0])), 1
}

// AppendShort decodes a signed SMALLINT.
func AppendShort(_ *Column, dst, src []byte) ([]byte, int) {
	if len(src) < 2 {
		return dst, 0
	}
	return binary.AppendVarint(dst, int64(int16(binary.LittleEndian.Uint16(src)))), 2
}

// AppendUShort decodes a SMALLINT UNSIGNED.
func AppendUShort(_ *Column, dst, src []byte) ([]byte, int) {
	if len(src) < 2 {
		return dst, 0
	}
	return binary.AppendVarint(dst, int64(binary.LittleEndian.Uint16(src))), 2
}

// AppendInt24 decodes a signed MEDIUMINT.
func AppendInt24(_ *Column, dst, src []byte) ([]byte, int) {
	if len(src) < 3 {
		return dst, 0
	}
	return binary.AppendVarint(dst, int64(int32(uint24(src)<<8)>>8)), 3
}

// AppendUInt24 decodes a MEDIUMINT UNSIGNED.
func AppendUInt24(_ *Column, dst, src []byte) ([]byte, int) {
	if len(src) < 3 {
		return dst, 0
	}
	return binary.AppendVarint(dst, int64(uint24(src))), 3
}

// AppendLong decodes a signed INT.
func AppendLong(_ *Column, dst, src []byte) ([]byte, int) {
	if len(src) < 4 {
		return dst, 0
	}
	return binary.AppendVarint(dst, int64(int32(binary.LittleEndian.Uint32(src)))), 4
}

// AppendULong decodes an INT UNSIGNED.
func AppendULong(_ *Column, dst, src []byte) ([]byte, int) {
	if len(src) < 4 {
		return dst, 0
	}
	return binary.AppendVarint(dst, int64(binary.LittleEndian.Uint32(src))), 4
}

// AppendLongLong decodes a BIGINT; an unsigned one wraps past 2^63-1.
func AppendLongLong(_ *Column, dst, src []byte) ([]byte, int) {
	if len(src) < 8 {
		return dst, 0
	}
	return binary.AppendVarint(dst, int64(binary.LittleEndian.Uint64(src))), 8
}

// AppendULongLongDecimal decodes a BIGINT UNSIGNED as a decimal of scale 0.
func AppendULongLongDecimal(_ *Column, dst, src []byte) ([]byte, int) {
	if len(src) < 8 {
		return dst, 0
	}
	return AppendUnscaled(dst, false, binary.LittleEndian.Uint64(src)), 8
}

// AppendFloat decodes a FLOAT as an Avro float, bit by bit.
func AppendFloat(_ *Column, dst, src []byte) ([]byte, int) {
	if len(src) < 4 {
		return dst, 0
	}
	return append(dst, src[:4]...), 4
}

// AppendFloatDouble decodes a FLOAT(M,D) as an Avro double.
func AppendFloatDouble(_ *Column, dst, src []byte) ([]byte, int) {
	if len(src) < 4 {
		return dst, 0
	}
	f := math.Float32frombits(binary.LittleEndian.Uint32(src))
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(float64(f))), 4
}

// AppendDouble decodes a DOUBLE.
func AppendDouble(_ *Column, dst, src []byte) ([]byte, int) {
	if len(src) < 8 {
		return dst, 0
	}
	return append(dst, src[:8]...), 8
}

// AppendBit1 decodes a BIT(1) as a boolean.
func AppendBit1(_ *Column, dst, src []byte) ([]byte, int) {
	if len(src) < 1 {
		return dst, 0
	}
	return append(dst, src[0]&1), 1
}

// AppendBits decodes a BIT(n), which the log has most significant byte first,
// as bytes with the least significant first.
func AppendBits(c *Column, dst, src []byte) ([]byte, int) {
	n := (int(c.Meta>>8)*8 + int(c.Meta&0xff) + 7) / 8
	if n == 0 || len(src) < n {
		return dst, 0
	}
	dst = binary.AppendVarint(dst, int64(n))
	for i := n - 1; i >= 0; i-- {
		dst = append(dst, src[i])
	}
	return dst, n
}

// AppendYear decodes a YEAR: an offset from 1900, where 0 is the year 0.
func AppendYear(_ *Column, dst, src []byte) ([]byte, int) {
	if len(src) < 1 {
		return dst, 0
	}
	y := int64(src[0])
	if y != 0 {
		y += 1900
	}
	return binary.AppendVarint(dst, y), 1
}

func uint24(b []byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
}
