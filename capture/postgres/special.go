package postgres

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"strconv"

	"tributary/envelope"
)

var (
	errBits     = errors.New("not a string of bits")
	errMoney    = errors.New("not an amount of money")
	errPoint    = errors.New("not a point")
	errGeometry = errors.New("not a geometry")
)

// bits is bit(length) or bit varying(length).
func bits(length int) mapping {
	if length == 1 {
		return plain(envelope.TypeOf(envelope.Boolean), func(dst, src []byte) ([]byte, error) {
			switch string(src) {
			case "1":
				return append(dst, 1), nil
			case "0", "":
				return append(dst, 0), nil
			}
			return dst, errBits
		})
	}
	out := plain(envelope.TypeBits(length), appendBits)
	out.unavailable = placeholderText
	return out
}

// appendBits writes a string of bits as bytes, the lowest first.
func appendBits(dst, src []byte) ([]byte, error) {
	if len(bytes.Trim(src, "01")) > 0 {
		return dst, errBits
	}
	first := bytes.IndexByte(src, '1')
	if first < 0 {
		return envelope.AppendLong(dst, 0), nil
	}
	n := len(src) - first
	size := (n + 7) / 8
	dst = envelope.AppendLong(dst, int64(size))
	start := len(dst)
	for range size {
		dst = append(dst, 0)
	}
	for i := range n {
		if src[len(src)-1-i] == '1' {
			dst[start+i/8] |= 1 << (i % 8)
		}
	}
	return dst, nil
}

// money is an amount in the smallest unit of the database's currency, whose
// text has it with a currency sign, separators and moneyServer fraction
// digits. An exact decimal is rounded half up to moneyDigits.
func money(m *modes) mapping {
	server, digits := m.moneyServer, m.moneyDigits
	if m.decimals == "double" || m.decimals == "string" {
		digits = server
	}
	number := func(src []byte) ([]byte, error) { return moneyNumber(src, server, digits) }
	switch m.decimals {
	case "double":
		return untold(plain(envelope.TypeOf(envelope.Double), func(dst, src []byte) ([]byte, error) {
			n, err := number(src)
			if err != nil {
				return dst, err
			}
			return appendFloat8(dst, n)
		}))
	case "string":
		return mapping{typ: envelope.TypeOf(envelope.String), noDefault: true, encode: func(dst, src []byte) ([]byte, error) {
			n, err := number(src)
			if err != nil {
				return dst, err
			}
			return envelope.AppendBytes(dst, n), nil
		}}
	}
	t := envelope.TypeDecimal(64, digits)
	t.Params = t.Params[:1] // Debezium does not tell the precision
	return untold(plain(t, func(dst, src []byte) ([]byte, error) {
		n, err := number(src)
		if err != nil {
			return dst, err
		}
		return envelope.AppendDecimal(dst, n, digits)
	}))
}

// moneyNumber makes a number of an amount's text. The locale says where the
// point is; the digits alone say what the amount is. A text without any
// currency sign or separator may also be a literal: "12.5".
func moneyNumber(src []byte, server, digits int) ([]byte, error) {
	var amount uint64
	count, negative, fraction := 0, false, -1
	for _, b := range src {
		switch {
		case b >= '0' && b <= '9':
			if amount > math.MaxUint64/10-1 {
				return nil, errMoney
			}
			amount = amount*10 + uint64(b-'0')
			count++
			if fraction >= 0 {
				fraction++
			}
		case b == '-' || b == '(':
			negative = true
		case b == '.' || b == ',':
			fraction = 0
		}
	}
	if count == 0 {
		return nil, errMoney
	}
	if fraction != server && server > 0 { // a literal with other digits
		for ; fraction < server; fraction++ {
			amount *= 10
		}
	}
	for d := digits; d < server; d++ {
		half := uint64(0)
		if d == server-1 {
			half = 5
		}
		amount = (amount + half) / 10
	}
	scale := min(server, digits)
	text := strconv.AppendUint(nil, amount, 10)
	for len(text) <= scale {
		text = append([]byte{'0'}, text...)
	}
	out := make([]byte, 0, len(text)+2+digits)
	if negative && amount > 0 {
		out = append(out, '-')
	}
	out = append(out, text[:len(text)-scale]...)
	if digits > 0 {
		out = append(append(out, '.'), text[len(text)-scale:]...)
		for range digits - scale {
			out = append(out, '0')
		}
	}
	return out, nil
}

// appendScaled writes a number as text with at least scale fraction digits.
func appendScaled(scale int) envelope.Append {
	return func(dst, src []byte) ([]byte, error) {
		fraction := 0
		point := bytes.IndexByte(src, '.')
		if point >= 0 {
			fraction = len(src) - point - 1
		}
		if fraction >= scale || len(src) == 0 || src[len(src)-1] < '0' || src[len(src)-1] > '9' {
			return appendText(dst, src)
		}
		pad := scale - fraction
		size := len(src) + pad
		if point < 0 {
			size++
		}
		dst = append(envelope.AppendLong(dst, int64(size)), src...)
		if point < 0 {
			dst = append(dst, '.')
		}
		for range pad {
			dst = append(dst, '0')
		}
		return dst, nil
	}
}

// appendPoint reads "(x,y)".
func appendPoint(dst, src []byte) ([]byte, error) {
	comma := bytes.IndexByte(src, ',')
	if comma < 0 || len(src) < 5 || src[0] != '(' || src[len(src)-1] != ')' {
		return dst, errPoint
	}
	x, err1 := strconv.ParseFloat(string(src[1:comma]), 64)
	y, err2 := strconv.ParseFloat(string(src[comma+1:len(src)-1]), 64)
	if err1 != nil || err2 != nil {
		return dst, errPoint
	}
	return envelope.AppendPoint(dst, x, y), nil
}

// appendEWKB reads PostGIS's hexadecimal extended well-known binary, which has
// the reference system's number within: flag 0x20000000 of the type.
func appendEWKB(dst, src []byte) ([]byte, error) {
	raw, err := hex.DecodeString(string(src))
	if err != nil || len(raw) < 5 {
		return dst, errGeometry
	}
	high, at := 4, 5 // little-endian: the highest byte of the type
	if raw[0] == 0 {
		high = 1
	}
	if raw[high]&0x20 == 0 {
		return envelope.AppendGeometry(dst, raw, 0), nil
	}
	if len(raw) < 9 {
		return dst, errGeometry
	}
	n := raw[at : at+4]
	srid := int32(n[0]) | int32(n[1])<<8 | int32(n[2])<<16 | int32(n[3])<<24
	if raw[0] == 0 {
		srid = int32(n[3]) | int32(n[2])<<8 | int32(n[1])<<16 | int32(n[0])<<24
	}
	return envelope.AppendGeometry(dst, raw, srid), nil
}

// geometricText writes the numbers of a geometric type's text as Debezium
// does, always with a fraction: {1,2,3} becomes {1.0,2.0,3.0}.
func geometricText(oid uint32, src []byte) []byte {
	switch oid {
	case oidLine, oidLseg, oidBox, oidPath, oidPolygon, oidCircle:
	default:
		return src
	}
	out := make([]byte, 0, 2*len(src))
	for i := 0; i < len(src); {
		end := i
		for end < len(src) && bytes.IndexByte([]byte("()[]{}<>,"), src[end]) < 0 {
			end++
		}
		if end == i {
			out = append(out, src[i])
			i++
			continue
		}
		if v, err := strconv.ParseFloat(string(src[i:end]), 64); err == nil {
			out = appendJavaDouble(out, v)
		} else {
			out = append(out, src[i:end]...)
		}
		i = end
	}
	return out
}

// appendJavaDouble writes a number as Java's Double.toString does.
func appendJavaDouble(dst []byte, v float64) []byte {
	abs := math.Abs(v)
	switch {
	case math.IsNaN(v):
		return append(dst, "NaN"...)
	case math.IsInf(v, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(v, -1):
		return append(dst, "-Infinity"...)
	case abs == 0 || abs >= 1e-3 && abs < 1e7:
		start := len(dst)
		dst = strconv.AppendFloat(dst, v, 'f', -1, 64)
		if bytes.IndexByte(dst[start:], '.') < 0 {
			dst = append(dst, ".0"...)
		}
		return dst
	}
	mantissa, exponent, _ := bytes.Cut(strconv.AppendFloat(nil, v, 'E', -1, 64), []byte{'E'})
	dst = append(dst, mantissa...)
	if bytes.IndexByte(mantissa, '.') < 0 {
		dst = append(dst, ".0"...)
	}
	n, _ := strconv.Atoi(string(exponent)) // AppendFloat wrote it
	return strconv.AppendInt(append(dst, 'E'), int64(n), 10)
}
