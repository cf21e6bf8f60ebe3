package binlog

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net/netip"

	"tributary/envelope"
)

// AppendEnum decodes an ENUM as the text of its member; the number 0, which
// stands for a value that is no member, is the empty string.
func AppendEnum(c *Column, dst, src []byte) ([]byte, int) {
	n := int(c.Meta & 0xff)
	if n < 1 || n > 2 || len(src) < n {
		return dst, 0
	}
	at := int(src[0])
	if n == 2 {
		at = int(binary.LittleEndian.Uint16(src))
	}
	switch {
	case at == 0:
		return append(dst, 0), n
	case at > len(c.Members):
		return dst, 0
	}
	return envelope.AppendString(dst, c.Members[at-1]), n
}

// AppendSet decodes a SET as its members with commas between.
func AppendSet(c *Column, dst, src []byte) ([]byte, int) {
	n := int(c.Meta & 0xff)
	if n < 1 || n > 8 || len(src) < n {
		return dst, 0
	}
	c.scratch = c.scratch[:0]
	for i := range 8 * n {
		if src[i>>3]&(1<<(i&7)) == 0 {
			continue
		}
		if i >= len(c.Members) {
			return dst, 0
		}
		if len(c.scratch) > 0 {
			c.scratch = append(c.scratch, ',')
		}
		c.scratch = append(c.scratch, c.Members[i]...)
	}
	return envelope.AppendBytes(dst, c.scratch), n
}

// AppendGeometry decodes a geometry: an identifier of its spatial reference
// system and well-known binary.
func AppendGeometry(c *Column, dst, src []byte) ([]byte, int) {
	v, n := long(c.Meta, src)
	if n == 0 {
		return dst, 0
	}
	out, err := envelope.AppendSpatial(dst, v)
	if err != nil {
		return dst, 0
	}
	return out, n
}

// AppendPoint is AppendGeometry for a column that holds points only.
func AppendPoint(c *Column, dst, src []byte) ([]byte, int) {
	v, n := long(c.Meta, src)
	if n == 0 {
		return dst, 0
	}
	out, err := envelope.AppendSpatialPoint(dst, v)
	if err != nil {
		return dst, 0
	}
	return out, n
}

// AppendVector decodes MySQL's VECTOR: floats, end to end.
func AppendVector(c *Column, dst, src []byte) ([]byte, int) {
	v, n := long(c.Meta, src)
	if n == 0 || len(v)%4 != 0 {
		return dst, 0
	}
	return envelope.AppendFloats(dst, v), n
}

// AppendShortVector decodes MariaDB's VECTOR, which is a VARBINARY there.
func AppendShortVector(c *Column, dst, src []byte) ([]byte, int) {
	v, n := short(c.Meta, src)
	if n == 0 || len(v)%4 != 0 {
		return dst, 0
	}
	return envelope.AppendFloats(dst, v), n
}

// Encoding is the text that binary columns are written as.
type Encoding uint8

// The encodings.
const (
	Base64 Encoding = iota + 1
	Base64URL
	Hex
)

// AppendEncoded appends bytes as the text of an encoding.
func AppendEncoded(dst []byte, e Encoding, v []byte) []byte {
	switch e {
	case Hex:
		dst = envelope.AppendLong(dst, int64(hex.EncodedLen(len(v))))
		return hex.AppendEncode(dst, v)
	case Base64URL:
		dst = envelope.AppendLong(dst, int64(base64.URLEncoding.EncodedLen(len(v))))
		return base64.URLEncoding.AppendEncode(dst, v)
	default:
		dst = envelope.AppendLong(dst, int64(base64.StdEncoding.EncodedLen(len(v))))
		return base64.StdEncoding.AppendEncode(dst, v)
	}
}

// AppendShortEncoded decodes a BINARY or VARBINARY as text in c.Encoding.
func AppendShortEncoded(c *Column, dst, src []byte) ([]byte, int) {
	v, n := short(c.Meta, src)
	if n == 0 {
		return dst, 0
	}
	if len(v) < c.Length { // the log has stripped the zeros at its end
		c.scratch = append(c.scratch[:0], v...)
		for len(c.scratch) < c.Length {
			c.scratch = append(c.scratch, 0)
		}
		v = c.scratch
	}
	return AppendEncoded(dst, c.Encoding, v), n
}

// AppendLongEncoded decodes a BLOB as text in c.Encoding.
func AppendLongEncoded(c *Column, dst, src []byte) ([]byte, int) {
	v, n := long(c.Meta, src)
	if n == 0 {
		return dst, 0
	}
	return AppendEncoded(dst, c.Encoding, v), n
}

// AppendINET4 decodes MariaDB's INET4 as its text. The log has its 4 bytes as a
// BINARY, trailing zeros stripped.
func AppendINET4(c *Column, dst, src []byte) ([]byte, int) {
	v, n := short(c.Meta, src)
	if n == 0 || len(v) > 4 {
		return dst, 0
	}
	var ip [4]byte
	copy(ip[:], v)
	var text [16]byte
	return envelope.AppendBytes(dst, netip.AddrFrom4(ip).AppendTo(text[:0])), n
}

// AppendINET6 decodes MariaDB's INET6 as its text, which writes the addresses
// that hold one of IPv4 with dots.
func AppendINET6(c *Column, dst, src []byte) ([]byte, int) {
	v, n := short(c.Meta, src)
	if n == 0 || len(v) > 16 {
		return dst, 0
	}
	var ip [16]byte
	copy(ip[:], v)
	var buf [64]byte
	text := buf[:0]
	if bytes.Equal(ip[:12], make([]byte, 12)) && (ip[12] != 0 || ip[13] != 0) {
		text = netip.AddrFrom4([4]byte(ip[12:])).AppendTo(append(text, "::"...))
	} else {
		text = netip.AddrFrom16(ip).AppendTo(text)
	}
	return envelope.AppendBytes(dst, text), n
}

// AppendShortUncompressed decodes a column of MariaDB that is COMPRESSED and
// short, AppendLongUncompressed one that is long. c.Decode gives text, none
// bytes.
func AppendShortUncompressed(c *Column, dst, src []byte) ([]byte, int) {
	v, n := short(c.Meta, src)
	return c.uncompressed(dst, v, n)
}

// AppendLongUncompressed is AppendShortUncompressed for TEXT and BLOB.
func AppendLongUncompressed(c *Column, dst, src []byte) ([]byte, int) {
	v, n := long(c.Meta, src)
	return c.uncompressed(dst, v, n)
}

func (c *Column) uncompressed(dst, v []byte, n int) ([]byte, int) {
	if n == 0 {
		return dst, 0
	}
	v, ok := uncompressColumn(v)
	switch {
	case !ok:
		return dst, 0
	case c.Encoding != 0:
		return AppendEncoded(dst, c.Encoding, v), n
	case c.Decode != nil:
		return c.appendText(dst, v), n
	}
	return envelope.AppendBytes(dst, v), n
}

// uncompressColumn reads the form of a compressed column's value: nothing, or a
// byte and what follows it. The byte is 0 before bytes as they are; else its
// high half is 8 (zlib), bit 3 tells that the stream has no zlib header, and
// the low three bits how many bytes the length before compression takes.
func uncompressColumn(v []byte) ([]byte, bool) {
	if len(v) == 0 {
		return v, true
	}
	head, v := v[0], v[1:]
	if head == 0 {
		return v, true
	}
	digits := int(head & 7)
	if head>>4 != 8 || len(v) < digits || digits > 4 {
		return nil, false
	}
	size := int64(0)
	for _, b := range v[:digits] {
		size = size<<8 | int64(b)
	}
	var r io.Reader = flate.NewReader(bytes.NewReader(v[digits:]))
	if head&8 == 0 {
		z, err := zlib.NewReader(bytes.NewReader(v[digits:]))
		if err != nil {
			return nil, false
		}
		r = z
	}
	var out bytes.Buffer // memory is taken as bytes come: the length is not to be trusted
	if _, err := io.CopyN(&out, r, size); err != nil {
		return nil, false
	}
	return out.Bytes(), true
}
