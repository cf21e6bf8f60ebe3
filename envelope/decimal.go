package envelope

import (
	"bytes"
	"errors"
	"math/big"
)

var errDecimal = errors.New("not a decimal number")

// maxFast is how many digits always fit an int64.
const maxFast = 18

// AppendDecimal appends the unscaled value of a decimal number as Avro bytes:
// the minimal big-endian two's complement. src is text such as "-12.50"; the
// number is brought to the given scale by adding zeros, and it is an error if
// it has more fraction digits than that (other than zeros).
func AppendDecimal(dst, src []byte, scale int) ([]byte, error) {
	neg, whole, frac, err := splitDecimal(src)
	if err != nil {
		return dst, err
	}
	for len(frac) > scale && frac[len(frac)-1] == '0' {
		frac = frac[:len(frac)-1]
	}
	if len(frac) > scale {
		return dst, errors.New("decimal number with more fraction digits than the column's scale")
	}
	return appendUnscaled(dst, neg, whole, frac, scale-len(frac))
}

// AppendVariableDecimal appends a VariableScaleDecimal: the scale is the
// number of fraction digits in src, without zeros at the end.
func AppendVariableDecimal(dst, src []byte) ([]byte, error) {
	neg, whole, frac, err := splitDecimal(src)
	if err != nil {
		return dst, err
	}
	frac = bytes.TrimRight(frac, "0")
	return appendUnscaled(AppendInt(dst, int32(len(frac))), neg, whole, frac, 0)
}

func splitDecimal(src []byte) (neg bool, whole, frac []byte, err error) {
	if len(src) > 0 && (src[0] == '-' || src[0] == '+') {
		neg = src[0] == '-'
		src = src[1:]
	}
	whole = src
	for i, b := range src {
		switch {
		case b == '.' && len(whole) == len(src):
			whole, frac = src[:i], src[i+1:]
		case b < '0' || b > '9':
			return false, nil, nil, errDecimal
		}
	}
	if len(whole)+len(frac) == 0 {
		return false, nil, nil, errDecimal
	}
	return neg, whole, frac, nil
}

func appendUnscaled(dst []byte, neg bool, whole, frac []byte, zeros int) ([]byte, error) {
	if len(whole)+len(frac)+zeros > maxFast {
		return appendBig(dst, neg, whole, frac, zeros), nil
	}
	var v int64
	for _, b := range whole {
		v = v*10 + int64(b-'0')
	}
	for _, b := range frac {
		v = v*10 + int64(b-'0')
	}
	for range zeros {
		v *= 10
	}
	if neg {
		v = -v
	}
	return AppendUnscaled(dst, v), nil
}

// AppendUnscaled appends v as Avro bytes in minimal big-endian two's
// complement.
func AppendUnscaled(dst []byte, v int64) []byte {
	n := 1
	for n < 8 && v>>(8*n-1) != v>>63 {
		n++
	}
	dst = append(dst, byte(n<<1)) // n <= 8: the varint is one byte
	for i := n - 1; i >= 0; i-- {
		dst = append(dst, byte(v>>(8*i)))
	}
	return dst
}

func appendBig(dst []byte, neg bool, whole, frac []byte, zeros int) []byte {
	digits := make([]byte, 0, len(whole)+len(frac)+zeros)
	digits = append(append(digits, whole...), frac...)
	for range zeros {
		digits = append(digits, '0')
	}
	v, _ := new(big.Int).SetString(string(digits), 10) // digits alone always parse
	if neg {
		v.Neg(v)
	}
	return AppendBytes(dst, twosComplement(v))
}

// twosComplement gives Java's BigInteger.toByteArray.
func twosComplement(v *big.Int) []byte {
	if v.Sign() >= 0 {
		b := v.Bytes()
		if len(b) == 0 || b[0] >= 0x80 {
			b = append([]byte{0}, b...)
		}
		return b
	}
	n := (new(big.Int).Not(v).BitLen() + 8) / 8
	mod := new(big.Int).Lsh(big.NewInt(1), uint(8*n))
	b := mod.Add(mod, v).Bytes()
	for len(b) < n {
		b = append([]byte{0}, b...)
	}
	return b
}
