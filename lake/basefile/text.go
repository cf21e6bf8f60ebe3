package basefile

import (
	"bytes"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// AppendDate appends a day, counted from 1970-01-01, as yyyy-MM-dd.
func AppendDate(dst []byte, day int64) []byte {
	return time.Unix(day*86400, 0).UTC().AppendFormat(dst, "2006-01-02")
}

// utf8Text replaces what is no UTF-8 in v, as Java does.
func utf8Text(v []byte) []byte { return bytes.ToValidUTF8(v, []byte("\uFFFD")) }

// AppendDecimal appends the unscaled value v, big-endian two's complement, with
// digits more behind the point, in size bytes, or in more where it does not fit;
// size 0 is as many as it takes.
func AppendDecimal(dst, v []byte, digits, size int) []byte {
	if digits > 0 {
		n := new(big.Int).SetBytes(v)
		if len(v) > 0 && v[0]&0x80 != 0 {
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(v))))
		}
		n.Mul(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits)), nil))
		bytes := n.BitLen()/8 + 1
		if n.Sign() < 0 {
			n.Add(n, new(big.Int).Lsh(big.NewInt(1), uint(8*bytes)))
		}
		v = n.FillBytes(make([]byte, bytes))
	}
	if size == 0 {
		return append(dst, v...)
	}
	if out, ok := Resize(dst, v, size); ok {
		return out
	}
	return append(dst, v...)
}

// AppendFloat appends v as Java's Double.toString writes it, or Float.toString for
// 32 bits: plain between 0.001 and
// 10,000,000, else with an exponent, and always with a digit after the point.
func AppendFloat(dst []byte, v float64, bits int) []byte {
	switch {
	case math.IsNaN(v):
		return append(dst, "NaN"...)
	case math.IsInf(v, 0):
		if v < 0 {
			dst = append(dst, '-')
		}
		return append(dst, "Infinity"...)
	}
	abs := math.Abs(v)
	start := len(dst)
	if abs != 0 && (abs < 1e-3 || abs >= 1e7) {
		s := strconv.FormatFloat(v, 'E', -1, bits)
		mantissa, exp, _ := strings.Cut(s, "E")
		if !strings.Contains(mantissa, ".") {
			mantissa += ".0"
		}
		n, _ := strconv.Atoi(exp)
		return strconv.AppendInt(append(append(dst, mantissa...), 'E'), int64(n), 10)
	}
	dst = strconv.AppendFloat(dst, v, 'f', -1, bits)
	if !strings.Contains(string(dst[start:]), ".") {
		dst = append(dst, ".0"...)
	}
	return dst
}

// DecimalText writes an unscaled value with all digits of its scale.
func DecimalText(b []byte, scale int) string {
	scale = min(max(scale, 0), maxScale)
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	digits := new(big.Int).Abs(n).String()
	if len(digits) <= scale {
		digits = strings.Repeat("0", scale+1-len(digits)) + digits
	}
	if scale > 0 {
		digits = digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
	}
	if n.Sign() < 0 {
		return "-" + digits
	}
	return digits
}
