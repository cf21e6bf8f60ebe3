package binlog

import "encoding/binary"

// Charset tells how to turn a column's bytes into UTF-8.
type Charset uint8

// The charsets that can be decoded. UTF8 covers ascii, utf8mb3 and utf8mb4;
// Latin1 is MySQL's latin1, which is Windows-1252.
const (
	UTF8 Charset = iota + 1
	Latin1
)

// cp1252 has the code points of 0x80 to 0x9f in MySQL's latin1; the five that
// Windows leaves undefined are the C1 controls themselves.
var cp1252 = [32]rune{
	0x20ac, 0x81, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8d, 0x017d, 0x8f,
	0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x9d, 0x017e, 0x0178,
}

// AppendLatin1 appends src, in MySQL's latin1, as an Avro string.
func AppendLatin1(dst, src []byte) []byte {
	size := len(src)
	for _, b := range src {
		switch {
		case b < 0x80:
		case b < 0xa0 && cp1252[b-0x80] >= 0x800:
			size += 2
		default:
			size++
		}
	}
	dst = binary.AppendVarint(dst, int64(size))
	for _, b := range src {
		r := rune(b)
		if b >= 0x80 && b < 0xa0 {
			r = cp1252[b-0x80]
		}
		switch {
		case r < 0x80:
			dst = append(dst, byte(r))
		case r < 0x800:
			dst = append(dst, 0xc0|byte(r>>6), 0x80|byte(r&0x3f))
		default:
			dst = append(dst, 0xe0|byte(r>>12), 0x80|byte(r>>6&0x3f), 0x80|byte(r&0x3f))
		}
	}
	return dst
}

// short reads the bytes of a CHAR or VARCHAR (BINARY, VARBINARY): a length of
// one byte, or two when the column can hold more than 255.
func short(meta uint16, src []byte) (v []byte, n int) {
	if meta < 256 {
		if len(src) < 1 || len(src) < 1+int(src[0]) {
			return nil, 0
		}
		n = 1 + int(src[0])
		return src[1:n], n
	}
	if len(src) < 2 {
		return nil, 0
	}
	n = 2 + int(binary.LittleEndian.Uint16(src))
	if len(src) < n {
		return nil, 0
	}
	return src[2:n], n
}

// long reads the bytes of a TEXT, BLOB or JSON, whose length takes meta bytes.
func long(meta uint16, src []byte) (v []byte, n int) {
	if meta < 1 || meta > 4 || len(src) < int(meta) {
		return nil, 0
	}
	var size uint64
	for i := int(meta) - 1; i >= 0; i-- {
		size = size<<8 | uint64(src[i])
	}
	if size > uint64(len(src)-int(meta)) {
		return nil, 0
	}
	n = int(meta) + int(size)
	return src[meta:n], n
}

// AppendShortBytes decodes a CHAR or VARCHAR in UTF-8, a VARBINARY or BINARY;
// the last is padded with zeros to c.Length, which the log has stripped.
func AppendShortBytes(c *Column, dst, src []byte) ([]byte, int) {
	v, n := short(c.Meta, src)
	if n == 0 {
		return dst, 0
	}
	if len(v) < c.Length {
		dst = binary.AppendVarint(dst, int64(c.Length))
		dst = append(dst, v...)
		for range c.Length - len(v) {
			dst = append(dst, 0)
		}
		return dst, n
	}
	dst = binary.AppendVarint(dst, int64(len(v)))
	return append(dst, v...), n
}

// AppendShortLatin1 decodes a CHAR or VARCHAR in latin1.
func AppendShortLatin1(c *Column, dst, src []byte) ([]byte, int) {
	v, n := short(c.Meta, src)
	if n == 0 {
		return dst, 0
	}
	return AppendLatin1(dst, v), n
}

// AppendLongBytes decodes a TEXT in UTF-8 or a BLOB.
func AppendLongBytes(c *Column, dst, src []byte) ([]byte, int) {
	v, n := long(c.Meta, src)
	if n == 0 {
		return dst, 0
	}
	dst = binary.AppendVarint(dst, int64(len(v)))
	return append(dst, v...), n
}

// AppendLongLatin1 decodes a TEXT in latin1.
func AppendLongLatin1(c *Column, dst, src []byte) ([]byte, int) {
	v, n := long(c.Meta, src)
	if n == 0 {
		return dst, 0
	}
	return AppendLatin1(dst, v), n
}

// AppendUUID decodes MariaDB's UUID as its text. The log has its 16 bytes as a
// BINARY, trailing zeros stripped.
func AppendUUID(c *Column, dst, src []byte) ([]byte, int) {
	v, n := short(c.Meta, src)
	if n == 0 || len(v) > 16 {
		return dst, 0
	}
	var id [16]byte
	copy(id[:], v)
	const hex = "0123456789abcdef"
	dst = append(dst, 36<<1)
	for i, b := range id {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		dst = append(dst, hex[b>>4], hex[b&15])
	}
	return dst, n
}
