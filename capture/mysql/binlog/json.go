package binlog

import (
	"bytes"
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
// tokens. Numbers and strings are written as Debezium does, temporal values and
// those of other SQL types as the server's own conversion to text does: in that
// text they cannot be told from strings, and a snapshot must give the same.
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
		// without bound; a true one's text is at most a hundred times its size
		// (the smallest doubles, written out).
		budget := jsonBudget(len(v))
		if c.scratch, ok = appendJSON(c.scratch, v[0], v[1:], 0, budget); !ok {
			return dst, 0
		}
	}
	dst = binary.AppendVarint(dst, int64(len(c.scratch)))
	return append(dst, c.scratch...), n
}

func jsonBudget(size int) int { return 128*size + 4096 }

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
	c, ok := openJSON(typ, v)
	if !ok {
		return dst, false
	}
	opening, closing := byte('['), byte(']')
	if c.object {
		opening, closing = '{', '}'
	}
	dst = append(dst, opening)
	for i := range c.count {
		if i > 0 {
			dst = append(dst, ',')
		}
		key, typ, value, ok := c.element(i)
		if !ok {
			return dst, false
		}
		if c.object {
			dst = append(AppendJSONString(dst, key), ':')
		}
		if dst, ok = appendJSON(dst, typ, value, depth+1, budget); !ok {
			return dst, false
		}
	}
	return append(dst, closing), true
}

// jsonContainer is an object or array.
type jsonContainer struct {
	object               bool
	count, width         int
	keyEntry, valueEntry int
	v, keys, values      []byte
}

func openJSON(typ byte, v []byte) (c jsonContainer, ok bool) {
	c.object = typ <= jsonLargeObject
	c.width = 2 + 2*int(typ&1)
	if len(v) < 2*c.width {
		return c, false
	}
	size := jsonUint(v[c.width:], c.width)
	if c.count = jsonUint(v, c.width); size > len(v) {
		return c, false
	}
	c.v = v[:size]
	c.valueEntry = c.width + 1
	if c.object {
		c.keyEntry = c.width + 2
	}
	if c.count > size || 2*c.width+c.count*(c.keyEntry+c.valueEntry) > size {
		return c, false
	}
	c.keys, c.values = c.v[2*c.width:], c.v[2*c.width+c.count*c.keyEntry:]
	return c, true
}

// element returns element i: its key in an object, its type and value.
func (c *jsonContainer) element(i int) (key []byte, typ byte, value []byte, ok bool) {
	if c.object {
		e := c.keys[i*c.keyEntry:]
		at, n := jsonUint(e, c.width), int(binary.LittleEndian.Uint16(e[c.width:]))
		if at > len(c.v) || n > len(c.v)-at {
			return nil, 0, nil, false
		}
		key = c.v[at : at+n]
	}
	e := c.values[i*c.valueEntry : (i+1)*c.valueEntry]
	value = e[1:]
	if !jsonInlined(e[0], c.width) {
		at := jsonUint(value, c.width)
		if at > len(c.v) {
			return nil, 0, nil, false
		}
		value = c.v[at:]
	}
	return key, e[0], value, true
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
		var buf [maxDigits + 3]byte
		text, n := decimalText(buf[:0], uint16(b[0])<<8|uint16(b[1]), b[2:])
		if n == 0 {
			return dst, false
		}
		return AppendJSONNumber(dst, text)
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

// AppendJSONDouble appends f as Debezium does: in as few digits as tell it from
// its neighbours, with at least one fraction digit; from 10^7 on and below 10^-3
// with all the digits that the binary number has.
func AppendJSONDouble(dst []byte, f float64) []byte {
	if abs := math.Abs(f); abs != 0 && (abs < 1e-3 || abs >= 1e7) {
		return appendExact(dst, f)
	}
	at := len(dst)
	dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
	if bytes.IndexByte(dst[at:], '.') < 0 {
		dst = append(dst, '.', '0')
	}
	return dst
}

// appendExact appends every digit of f, in plain notation.
func appendExact(dst []byte, f float64) []byte {
	if math.Abs(f) >= 1<<53 { // a whole number
		return strconv.AppendFloat(dst, f, 'f', 0, 64)
	}
	// 1074 is how many fraction digits the least of all doubles has.
	at := len(dst)
	dst = strconv.AppendFloat(dst, f, 'f', 1074, 64)
	end := len(dst)
	for end > at && dst[end-1] == '0' {
		end--
	}
	if dst[end-1] == '.' {
		end--
	}
	return dst[:end]
}

// AppendJSONNumber appends a number that the server printed as text. One with a
// fraction or an exponent is a double, unless it cannot be: more digits than a
// double has, or zeros at its end, make it a DECIMAL, which stays as it is.
// (A DECIMAL that reads as a double would is written as one, so that the log,
// which could tell them apart, gives what a snapshot does.)
func AppendJSONNumber(dst, text []byte) (out []byte, ok bool) {
	point := bytes.IndexByte(text, '.')
	exponent := bytes.IndexByte(text, 'e') >= 0
	if point < 0 && !exponent {
		return append(dst, text...), true
	}
	if !exponent {
		zeros := text[len(text)-1] == '0' && point != len(text)-2
		digits := len(bytes.TrimLeft(bytes.ReplaceAll(text, []byte("."), nil), "-0"))
		if zeros || digits > 17 && text[len(text)-1] != '0' {
			return append(dst, text...), true
		}
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return dst, false
	}
	return AppendJSONDouble(dst, f), true
}

// AppendJSONString appends s, which is UTF-8, as a JSON string.
func AppendJSONString(dst, s []byte) []byte {
	const hex = "0123456789ABCDEF" // as Debezium has it
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
