package binlog

import "encoding/binary"

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

// AppendLongBytes decodes a TEXT in UTF-8 or a BLOB.
func AppendLongBytes(c *Column, dst, src []byte) ([]byte, int) {
	v, n := long(c.Meta, src)
	if n == 0 {
		return dst, 0
	}
	dst = binary.AppendVarint(dst, int64(len(v)))
	return append(dst, v...), n
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
