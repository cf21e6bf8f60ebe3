package envelope

import (
	"encoding/binary"
	"errors"
	"math"
	"math/big"
	"strconv"
)

// decodeValue gives a cell as what expressions and casts work with: nil,
// bool, int64, float64, string, []byte, and *big.Rat for decimals.
func decodeValue(c *Column, cell []byte) any {
	v, _, null := value(c, cell)
	if null {
		return nil
	}
	return decodeBare(&c.Type, v)
}

func decodeBare(t *Type, v []byte) any {
	switch t.Kind {
	case Boolean:
		return v[0] != 0
	case Int, Long:
		n, _ := decodeLong(v)
		return n
	case Float:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(v)))
	case Double:
		return math.Float64frombits(binary.LittleEndian.Uint64(v))
	case String:
		_, body := decodeLong(v)
		return string(body)
	case Bytes:
		_, body := decodeLong(v)
		if t.Logical == "decimal" {
			return decimal(body, t.Scale)
		}
		return body
	case Record:
		if t.Name == "io.debezium.data.VariableScaleDecimal" {
			scale, rest := decodeLong(v)
			_, body := decodeLong(rest)
			return decimal(body, int(scale))
		}
	}
	return string(appendJSONValue(nil, t, v))
}

// decimal is the number of an unscaled two's complement.
func decimal(unscaled []byte, scale int) *big.Rat {
	n := new(big.Int).SetBytes(unscaled)
	if len(unscaled) > 0 && unscaled[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(unscaled)))) //nolint:gosec // a length
	}
	r := new(big.Rat).SetInt(n)
	pow := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(scale, -scale))), nil)
	if scale < 0 {
		return r.Mul(r, new(big.Rat).SetInt(pow))
	}
	return r.Quo(r, new(big.Rat).SetInt(pow))
}

var errRange = errors.New("the value is out of range")

// appendCast appends a value in the type that a cast names.
func appendCast(dst []byte, v any, typ string) ([]byte, error) {
	switch typ {
	case "string":
		return AppendString(dst, castText(v)), nil
	case "boolean":
		b, err := castBoolean(v)
		return AppendBoolean(dst, b), err
	case "float32", "float64":
		f, err := castFloat(v)
		if typ == "float32" {
			return AppendFloat(dst, float32(f)), err
		}
		return AppendDouble(dst, f), err
	}
	n, err := castInteger(v)
	if bits := map[string]uint{"int8": 8, "int16": 16, "int32": 32, "int64": 64}[typ]; err == nil && bits < 64 && n != n<<(64-bits)>>(64-bits) {
		err = errRange
	}
	return AppendLong(dst, n), err
}

func castText(v any) string {
	switch v := v.(type) {
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return string(appendJSONFloat(nil, v, 64))
	case string:
		return v
	}
	return ""
}

func castBoolean(v any) (bool, error) {
	switch v := v.(type) {
	case bool:
		return v, nil
	case int64:
		return v != 0, nil
	case float64:
		return v != 0, nil
	case string:
		b, err := strconv.ParseBool(v)
		if err != nil {
			return false, errors.New("the text is no truth value")
		}
		return b, nil
	}
	return false, errRange
}

func castFloat(v any) (float64, error) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, nil
		}
		return 0, nil
	case int64:
		return float64(v), nil
	case float64:
		return v, nil
	case string:
		f, err := strconv.ParseFloat(v, 64)
		if err != nil {
			return 0, errors.New("the text is no number")
		}
		return f, nil
	}
	return 0, errRange
}

func castInteger(v any) (int64, error) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, nil
		}
		return 0, nil
	case int64:
		return v, nil
	case float64:
		if v != v || v >= 1<<63 || v < -1<<63 {
			return 0, errRange
		}
		return int64(v), nil
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return 0, errors.New("the text is no whole number")
		}
		return n, nil
	}
	return 0, errRange
}
