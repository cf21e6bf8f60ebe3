package binlog

import (
	"encoding/binary"
	"unicode/utf8"

	"tributary/envelope"
)

// Decoder appends what src, text in some character set, is in UTF-8.
type Decoder func(dst, src []byte) []byte

// Latin1 decodes MySQL's latin1, which is Windows-1252; the five bytes that
// Windows leaves undefined are the C1 controls themselves.
func Latin1(dst, src []byte) []byte {
	for _, b := range src {
		r := rune(b)
		if b >= 0x80 && b < 0xa0 {
			r = cp1252[b-0x80]
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

// cp1252 has the code points of 0x80 to 0x9f in MySQL's latin1.
var cp1252 = [32]rune{
	0x20ac, 0x81, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8d, 0x017d, 0x8f,
	0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x9d, 0x017e, 0x0178,
}

// UTF16 decodes utf16 and ucs2, UTF16LE utf16le.
func UTF16(dst, src []byte) []byte { return utf16With(binary.BigEndian, dst, src) }

// UTF16LE decodes utf16le.
func UTF16LE(dst, src []byte) []byte { return utf16With(binary.LittleEndian, dst, src) }

func utf16With(order binary.ByteOrder, dst, src []byte) []byte {
	for len(src) >= 2 {
		r := rune(order.Uint16(src))
		src = src[2:]
		if r >= 0xd800 && r < 0xdc00 && len(src) >= 2 {
			if low := rune(order.Uint16(src)); low >= 0xdc00 && low < 0xe000 {
				r = (r-0xd800)<<10 | (low - 0xdc00) + 0x10000
				src = src[2:]
			}
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

// UTF32 decodes utf32.
func UTF32(dst, src []byte) []byte {
	for ; len(src) >= 4; src = src[4:] {
		dst = utf8.AppendRune(dst, rune(binary.BigEndian.Uint32(src))) //nolint:gosec // what is no character becomes U+FFFD
	}
	return dst
}

// CharsetTable is a character set given by its characters.
type CharsetTable struct {
	one  [256]string       // what single bytes are in UTF-8; "" = no character by itself
	more map[string]string // characters of two to four bytes
}

// Add tells that the bytes of code are the character text in UTF-8.
func (t *CharsetTable) Add(code []byte, text string) {
	if len(code) == 1 {
		t.one[code[0]] = text
		return
	}
	if t.more == nil {
		t.more = make(map[string]string)
	}
	t.more[string(code)] = text
}

// Single reports whether b is a character by itself.
func (t *CharsetTable) Single(b byte) bool { return t.one[b] != "" }

// Decode is a Decoder. What is no character becomes "?", as the server has it.
func (t *CharsetTable) Decode(dst, src []byte) []byte {
	for len(src) > 0 {
		if s := t.one[src[0]]; s != "" {
			dst, src = append(dst, s...), src[1:]
			continue
		}
		n := 1
		text := "?"
		for size := min(4, len(src)); size > 1; size-- {
			if s, ok := t.more[string(src[:size])]; ok {
				n, text = size, s
				break
			}
		}
		dst, src = append(dst, text...), src[n:]
	}
	return dst
}

func (c *Column) appendText(dst, src []byte) []byte {
	c.scratch = c.Decode(c.scratch[:0], src)
	return envelope.AppendBytes(dst, c.scratch)
}

// AppendShortText decodes a CHAR or VARCHAR that c.Decode brings into UTF-8.
func AppendShortText(c *Column, dst, src []byte) ([]byte, int) {
	v, n := short(c.Meta, src)
	if n == 0 {
		return dst, 0
	}
	return c.appendText(dst, v), n
}

// AppendLongText decodes a TEXT that c.Decode brings into UTF-8.
func AppendLongText(c *Column, dst, src []byte) ([]byte, int) {
	v, n := long(c.Meta, src)
	if n == 0 {
		return dst, 0
	}
	return c.appendText(dst, v), n
}
