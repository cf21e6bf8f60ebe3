package binlog

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
)

// MySQL's binary JSON (sql-common/json_binary.h): a byte for the type, then
// the value. An object or array holds the count of its elements and its size,
// then the key entries (offset, length of 2 bytes), the value entries (type,
// then the value itself where it fits, else its offset), the keys and the
// values. The small form has 2-byte counts and offsets, the large form 4.
const (
	jsonSmallObject = 0x00
	jsonLargeObject = 0x01
	jsonSmallArray  = 0x02
	jsonLargeArray  = 0x03
	jsonLiteral     = 0x04
	jsonInt16       = 0x05
	jsonUint16      = 0x06
	jsonInt32       = 0x07
	jsonUint32      = 0x08
	jsonInt64       = 0x09
	jsonUint64      = 0x0a
	jsonDouble      = 0x0b
	jsonString      = 0x0c
	jsonOpaque      = 0x0f
)

// maxJSONDepth is how deep the servers let documents nest.
const maxJSONDepth = 100

// AppendJSON decodes a JSON column as its text, without white space between
// tokens. Numbers, strings and temporal values are written as the server's own
// conversion to text does, so that a snapshot gives the same.
func AppendJSON(c *Column, dst, src []byte) ([]byte, int) {
	v, n := long(c.Meta, src)
	if n == 0 {
		return dst, 0
	}
	c.scratch = c.scratch[:0]
	if len(v) == 0 { // what IGNORE stores for NULL in a NOT NULL column
		c.scratch = append(c.scratch, "null"...)
	} else {
		var ok bool
		// A document that repeats itself through crossing offsets could grow
		// without bound; a true one's text is at most six times its size
		// (control characters), numbers aside.
		budget := 64*len(v) + 1024
		if c.scratch, ok = appendJSON(c.scratch, v[0], v[1:], 0, budget); !ok {
			return dst, 0
		}
	}
	dst = binary.AppendVarint(dst, int64(len(c.scratch)))
	return append(dst, c.scratch...), n
}

func appendJSON(dst []byte, typ byte, v []byte, depth, budget int) ([]byte, bool) {
	if depth > maxJSONDepth || len(dst) > budget {
		return dst, false
	}
	need := func(n int) bool { return len(v) >= n }
	switch typ {
	case jsonSmallObject, jsonLargeObject, jsonSmallArray, jsonLargeArray:
		return appendJSONContainer(dst, typ, v, depth, budget)
	case jsonLiteral:
		if !need(1) || v[0] > 2 {
			return dst, false
		}
		return append(dst, [...]string{"null", "true", "false"}[v[0]]...), true
	case jsonInt16:
		if !need(2) {
			return dst, false
		}
		return strconv.AppendInt(dst, int64(int16(binary.LittleEndian.Uint16(v))), 10), true
	case jsonUint16:
		if !need(2) {
			return dst, false
		}
		return strconv.AppendUint(dst, uint64(binary.LittleEndian.Uint16(v)), 10), true
	case jsonInt32:
		if !need(4) {
			return dst, false
		}
		return strconv.AppendInt(dst, int64(int32(binary.LittleEndian.Uint32(v))), 10), true
	case jsonUint32:
		if !need(4) {
			return dst, false
		}
		return strconv.AppendUint(dst, uint64(binary.LittleEndian.Uint32(v)), 10), true
	case jsonInt64:
		if !need(8) {
			return dst, false
		}
		return strconv.AppendInt(dst, int64(binary.LittleEndian.Uint64(v)), 10), true
	case jsonUint64:
		if !need(8) {
			return dst, false
		}
		return strconv.AppendUint(dst, binary.LittleEndian.Uint64(v), 10), true
	case jsonDouble:
		if !need(8) {
			return dst, false
		}
		f := math.Float64frombits(binary.LittleEndian.Uint64(v))
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return dst, false
		}
		return AppendJSONDouble(dst, f), true
	case jsonString:
		s, ok := jsonBytes(v)
		if !ok {
			return dst, false
		}
		return AppendJSONString(dst, s), true
	case jsonOpaque:
		return appendJSONOpaque(dst, v)
	}
	return dst, false
}

func appendJSONContainer(dst []byte, typ byte, v []byte, depth, budget int) ([]byte, bool) {
	object := typ <= jsonLargeObject
	width := 2 + 2*int(typ&1)
	if len(v) < 2*width {
		return dst, false
	}
	count, size := jsonUint(v, width), jsonUint(v[width:], width)
	if size > len(v) {
		return dst, false
	}
	v = v[:size]
	keyEntry, valueEntry := 0, width+1
	if object {
		keyEntry = width + 2
	}
	if count > size || 2*width+count*(keyEntry+valueEntry) > size {
		return dst, false
	}
	keys, values := v[2*width:], v[2*width+count*keyEntry:]
	opening, closing := byte('['), byte(']')
	if object {
		opening, closing = '{', '}'
	}
	dst = append(dst, opening)
	for i := range count {
		if i > 0 {
			dst = append(dst, ',')
		}
		if object {
			e := keys[i*keyEntry:]
			at, n := jsonUint(e, width), int(binary.LittleEndian.Uint16(e[width:]))
			if at > size || n > size-at {
				return dst, false
			}
			dst = AppendJSONString(dst, v[at:at+n])
			dst = append(dst, ':')
		}
		e := values[i*valueEntry : (i+1)*valueEntry]
		value := e[1:]
		if !jsonInlined(e[0], width) {
			at := jsonUint(value, width)
			if at > size {
				return dst, false
			}
			value = v[at:]
		}
		var ok bool
		if dst, ok = appendJSON(dst, e[0], value, depth+1, budget); !ok {
			return dst, false
		}
	}
	return append(dst, closing), true
}

// jsonInlined reports whether a value of type typ sits in its entry.
func jsonInlined(typ byte, width int) bool {
	switch typ {
	case jsonLiteral, jsonInt16, jsonUint16:
		return true
	case jsonInt32, jsonUint32:
		return width == 4
	}
	return false
}

func jsonUint(v []byte, width int) int {
	if width == 2 {
		return int(binary.LittleEndian.Uint16(v))
	}
	return int(binary.LittleEndian.Uint32(v))
}

// jsonBytes reads bytes that follow their length, seven bits of it in a byte.
func jsonBytes(v []byte) ([]byte, bool) {
	n, used := binary.Uvarint(v[:min(len(v), 5)])
	if used <= 0 || n > uint64(len(v)-used) {
		return nil, false
	}
	return v[used : used+int(n)], true
}

// appendJSONOpaque appends a value of an SQL type that JSON does not have.
func appendJSONOpaque(dst, v []byte) ([]byte, bool) {
	if len(v) < 1 {
		return dst, false
	}
	typ := v[0]
	b, ok := jsonBytes(v[1:])
	if !ok {
		return dst, false
	}
	switch typ {
	case ColNewDecimal:
		if len(b) < 2 {
			return dst, false
		}
		text, n := decimalText(dst, uint16(b[0])<<8|uint16(b[1]), b[2:])
		return text, n > 0
	case ColDate, ColDatetime, ColTimestamp, ColTime:
		if len(b) < 8 {
			return dst, false
		}
		return appendJSONTemporal(dst, typ, int64(binary.LittleEndian.Uint64(b))), true
	default:
		dst = append(dst, `"base64:type`...)
		dst = strconv.AppendInt(dst, int64(typ), 10)
		dst = append(dst, ':')
		dst = base64.StdEncoding.AppendEncode(dst, b)
		return append(dst, '"'), true
	}
}

// appendJSONTemporal appends a packed temporal value: the whole seconds as in
// a DATETIME or TIME, shifted left by 24 bits, plus the microseconds.
func appendJSONTemporal(dst []byte, typ byte, v int64) []byte {
	dst = append(dst, '"')
	if v < 0 {
		v = -v
		if typ == ColTime {
			dst = append(dst, '-')
		}
	}
	whole, micros := v>>24, int(v&(1<<24-1))
	hour := int(whole >> 12 & 31)
	if typ == ColTime {
		hour = int(whole >> 12 & 1023)
	} else {
		ymd := whole >> 17
		dst = appendDigits(dst, int(ymd>>5/13), 4)
		dst = append(dst, '-')
		dst = appendDigits(dst, int(ymd>>5%13), 2)
		dst = append(dst, '-')
		dst = appendDigits(dst, int(ymd&31), 2)
		if typ == ColDate {
			return append(dst, '"')
		}
		dst = append(dst, ' ')
	}
	width := 2
	if hour > 99 {
		width = 3
	}
	dst = appendDigits(dst, hour, width)
	dst = append(dst, ':')
	dst = appendDigits(dst, int(whole>>6&63), 2)
	dst = append(dst, ':')
	dst = appendDigits(dst, int(whole&63), 2)
	dst = append(dst, '.')
	dst = appendDigits(dst, micros, 6)
	return append(dst, '"')
}

// AppendJSONDouble appends f in as few digits as tell it from its neighbours,
// and never in a form that reads as an integer.
func AppendJSONDouble(dst []byte, f float64) []byte {
	abs := math.Abs(f)
	if abs != 0 && (abs < 1e-15 || abs >= 1e21) {
		at := len(dst)
		dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
		// Go pads exponents to two digits and signs positive ones.
		for i := at; i < len(dst); i++ {
			if dst[i] != 'e' {
				continue
			}
			exp, _ := strconv.Atoi(string(dst[i+1:]))
			return strconv.AppendInt(dst[:i+1], int64(exp), 10)
		}
		return dst
	}
	at := len(dst)
	dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
	for _, b := range dst[at:] {
		if b == '.' {
			return dst
		}
	}
	return append(dst, '.', '0')
}

// AppendJSONString appends s, which is UTF-8, as a JSON string.
func AppendJSONString(dst, s []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, b := range s {
		switch {
		case b == '"' || b == '\\':
			dst = append(dst, '\\', b)
		case b >= 0x20:
			dst = append(dst, b)
		case b == '\b':
			dst = append(dst, `\b`...)
		case b == '\f':
			dst = append(dst, `\f`...)
		case b == '\n':
			dst = append(dst, `\n`...)
		case b == '\r':
			dst = append(dst, `\r`...)
		case b == '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[b>>4], hex[b&15])
		}
	}
	return append(dst, '"')
}
