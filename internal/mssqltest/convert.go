package mssqltest

import (
	"encoding/hex"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"tributary/internal/mssqltest/tds"
)

func overflow(t tds.Type) error {
	return sqlError(8115, "Arithmetic overflow error converting expression to data type %s.", t.Kind)
}

func noConversion(from, to tds.Type) error {
	return sqlError(206, "Operand type clash: %s is incompatible with %s", from.Kind, to.Kind)
}

func failedConversion(from, to tds.Type) error {
	return sqlError(245, "Conversion failed when converting the %s value to data type %s.", from.Kind, to.Kind)
}

var intRange = map[tds.Kind][2]int64{
	tds.TinyInt: {0, 255}, tds.SmallInt: {math.MinInt16, math.MaxInt16}, tds.Int: {math.MinInt32, math.MaxInt32},
	tds.BigInt: {math.MinInt64, math.MaxInt64},
}

// convert gives the value in another type, as CONVERT with the given style does,
// and as an assignment does. An assignment may not cut a text or a byte string:
// strict refuses that with error 2628.
func convert(v any, from, to tds.Type, style int, strict bool) (any, error) {
	if v == nil {
		return nil, nil
	}
	if from.Kind == tds.SQLVariant && to.Kind != tds.SQLVariant {
		x := v.(tds.Variant)
		return convert(x.Value, x.Type, to, style, strict)
	}
	switch {
	case to.Kind == tds.SQLVariant:
		if from.Kind == tds.SQLVariant {
			return v, nil
		}
		if from.Large() || from.Kind == tds.RowVersion {
			return nil, noConversion(from, to)
		}
		return tds.Variant{Type: from, Value: v}, nil
	case to.Character():
		s, err := toText(v, from, to, style)
		if err != nil {
			return nil, err
		}
		return fitText(s, to, strict)
	case to.Bytes():
		return toBytes(v, from, to, style, strict)
	case to.Integer():
		return toInteger(v, from, to)
	case to.Kind == tds.Bit:
		return toBit(v, from, to)
	case to.Exact():
		return toDecimal(v, from, to)
	case to.Kind == tds.Real || to.Kind == tds.Float:
		return toFloat(v, from, to)
	case to.Kind == tds.UniqueID:
		return toGUID(v, from, to)
	case to.Temporal():
		return toTemporal(v, from, to)
	}
	return nil, noConversion(from, to)
}

// textLength counts what the type's length counts: UTF-16 units, or bytes.
func textLength(s string, t tds.Type) int {
	switch {
	case t.Unicode():
		return 2 * len(utf16.Encode([]rune(s)))
	case t.UTF8:
		return len(s)
	}
	return len([]rune(s))
}

func fitText(s string, t tds.Type, strict bool) (any, error) {
	if !t.Unicode() && !t.UTF8 {
		// What the code page lacks is lost when a value takes the type.
		s = tds.DecodeCP1252(tds.EncodeCP1252(s))
	}
	if t.Length > 0 {
		if textLength(s, t) > t.Length {
			if strict && textLength(strings.TrimRight(s, " "), t) > t.Length {
				return nil, sqlError(2628, "String or binary data would be truncated in a column of type %s. Truncated value: '%.20s'.", t, s)
			}
			r := []rune(s)
			for len(r) > 0 && textLength(string(r), t) > t.Length {
				r = r[:len(r)-1]
			}
			s = string(r)
		}
		if t.Kind == tds.Char || t.Kind == tds.NChar {
			wide := 1
			if t.Unicode() {
				wide = 2
			}
			s += strings.Repeat(" ", (t.Length-textLength(s, t))/wide)
		}
	}
	return s, nil
}

func toText(v any, from, to tds.Type, style int) (string, error) {
	switch x := v.(type) {
	case string:
		return x, nil
	case int64:
		return strconv.FormatInt(x, 10), nil
	case bool:
		return strconv.FormatInt(toInt(x), 10), nil
	case float64:
		if from.Kind == tds.Real {
			return strconv.FormatFloat(x, 'g', 6, 32), nil
		}
		return strconv.FormatFloat(x, 'g', 6, 64), nil
	case tds.Dec:
		if from.Kind == tds.Money || from.Kind == tds.SmallMoney {
			if style == 2 {
				return x.String(), nil
			}
			return x.Rescale(2).String(), nil
		}
		return x.String(), nil
	case tds.GUID:
		return x.String(), nil
	case tds.Clock:
		return x.Format(from.Scale), nil
	case time.Time:
		return timeText(x, from, style)
	case []byte:
		switch style {
		case 1:
			return "0x" + strings.ToUpper(hex.EncodeToString(x)), nil
		case 2:
			return strings.ToUpper(hex.EncodeToString(x)), nil
		case 0:
			if to.Unicode() {
				return tds.DecodeUCS2(x), nil
			}
			return tds.DecodeCP1252(x), nil
		}
	}
	return "", noConversion(from, to)
}

func toBytes(v any, from, to tds.Type, style int, strict bool) (any, error) {
	var b []byte
	switch x := v.(type) {
	case []byte:
		b = x
	case string:
		switch style {
		case 1, 2:
			d, err := hex.DecodeString(strings.TrimPrefix(strings.TrimPrefix(x, "0x"), "0X"))
			if err != nil {
				return nil, sqlError(8114, "Error converting data type %s to %s.", from.Kind, to.Kind)
			}
			b = d
		default:
			// Only explicit conversions reach here from SQL; UTF-16 for nvarchar.
			switch {
			case from.Unicode():
				b = tds.AppendUCS2(nil, x)
			case from.UTF8:
				b = []byte(x)
			default:
				b = tds.EncodeCP1252(x)
			}
		}
	case int64:
		size := map[tds.Kind]int{tds.TinyInt: 1, tds.SmallInt: 2, tds.Int: 4, tds.BigInt: 8}[from.Kind]
		for i := size - 1; i >= 0; i-- {
			b = append(b, byte(x>>(8*i)))
		}
		// A number keeps its low bytes.
		if to.Length > 0 && len(b) > to.Length {
			b = b[len(b)-to.Length:]
		}
		if to.Kind == tds.Binary && len(b) < to.Length {
			b = append(make([]byte, to.Length-len(b)), b...)
		}
	case tds.GUID:
		b = []byte{x[3], x[2], x[1], x[0], x[5], x[4], x[7], x[6], x[8], x[9], x[10], x[11], x[12], x[13], x[14], x[15]}
	default:
		return nil, noConversion(from, to)
	}
	if to.Length > 0 {
		if len(b) > to.Length {
			if strict {
				return nil, sqlError(2628, "String or binary data would be truncated in a column of type %s.", to)
			}
			b = b[:to.Length]
		}
		if (to.Kind == tds.Binary || to.Kind == tds.RowVersion) && len(b) < to.Length {
			b = append(append(make([]byte, 0, to.Length), b...), make([]byte, to.Length-len(b))...)
		}
	}
	if b == nil {
		b = []byte{}
	}
	return b, nil
}

func toInteger(v any, from, to tds.Type) (any, error) {
	var n int64
	switch x := v.(type) {
	case int64:
		n = x
	case bool:
		n = toInt(x)
	case float64:
		if x < math.MinInt64 || x >= math.MaxInt64 {
			return nil, overflow(to)
		}
		n = int64(x)
	case tds.Dec:
		q := new(big.Int).Quo(x.Unscaled, tds.Pow10(x.Scale))
		if from.Kind == tds.Money || from.Kind == tds.SmallMoney {
			q = x.Rescale(0).Unscaled
		}
		if !q.IsInt64() {
			return nil, overflow(to)
		}
		n = q.Int64()
	case string:
		t := strings.TrimSpace(x)
		if t == "" {
			t = "0"
		}
		i, err := strconv.ParseInt(t, 10, 64)
		if err != nil {
			return nil, sqlError(245, "Conversion failed when converting the %s value '%s' to data type %s.", from.Kind, x, to.Kind)
		}
		n = i
	case []byte:
		b := x
		if len(b) > 8 {
			b = b[len(b)-8:]
		}
		for _, c := range b {
			n = n<<8 | int64(c)
		}
		if to.Kind == tds.Int {
			n = int64(int32(n))
		}
	default:
		return nil, noConversion(from, to)
	}
	if r := intRange[to.Kind]; n < r[0] || n > r[1] {
		return nil, overflow(to)
	}
	return n, nil
}

func toBit(v any, from, to tds.Type) (any, error) {
	switch x := v.(type) {
	case bool:
		return x, nil
	case int64:
		return x != 0, nil
	case float64:
		return x != 0, nil
	case tds.Dec:
		return x.Unscaled.Sign() != 0, nil
	case string:
		switch strings.ToLower(strings.TrimSpace(x)) {
		case "true", "1":
			return true, nil
		case "false", "0", "":
			return false, nil
		}
		return nil, failedConversion(from, to)
	}
	return nil, noConversion(from, to)
}

func toDecimal(v any, from, to tds.Type) (any, error) {
	var d tds.Dec
	var err error
	switch x := v.(type) {
	case tds.Dec:
		d = x
	case int64:
		d = tds.Dec{Unscaled: big.NewInt(x)}
	case bool:
		d = tds.Dec{Unscaled: big.NewInt(toInt(x))}
	case float64:
		d, err = tds.ParseDec(strconv.FormatFloat(x, 'f', -1, 64))
	case string:
		t := strings.TrimSpace(x)
		if to.Kind == tds.Money || to.Kind == tds.SmallMoney {
			t = strings.ReplaceAll(strings.TrimPrefix(t, "$"), ",", "")
		}
		if d, err = tds.ParseDec(t); err != nil {
			return nil, sqlError(8114, "Error converting data type %s to %s.", from.Kind, to.Kind)
		}
	default:
		return nil, noConversion(from, to)
	}
	if err != nil {
		return nil, overflow(to)
	}
	limit := tds.Pow10(to.Precision)
	switch to.Kind {
	case tds.Money, tds.SmallMoney:
		d = d.Rescale(4)
		bits := uint(63)
		if to.Kind == tds.SmallMoney {
			bits = 31
		}
		limit = new(big.Int).Lsh(big.NewInt(1), bits)
		if new(big.Int).Neg(limit).Cmp(d.Unscaled) == 0 {
			return d, nil
		}
	default:
		d = d.Rescale(to.Scale)
	}
	if new(big.Int).Abs(d.Unscaled).Cmp(limit) >= 0 {
		return nil, overflow(to)
	}
	return d, nil
}

func toFloat(v any, from, to tds.Type) (any, error) {
	var f float64
	switch x := v.(type) {
	case float64:
		f = x
	case int64:
		f = float64(x)
	case bool:
		f = float64(toInt(x))
	case tds.Dec:
		f = x.Float()
	case string:
		g, err := strconv.ParseFloat(strings.TrimSpace(x), 64)
		if err != nil || math.IsInf(g, 0) || math.IsNaN(g) {
			return nil, sqlError(8114, "Error converting data type %s to %s.", from.Kind, to.Kind)
		}
		f = g
	default:
		return nil, noConversion(from, to)
	}
	if to.Kind == tds.Real {
		if math.Abs(f) > math.MaxFloat32 {
			return nil, overflow(to)
		}
		f = float64(float32(f))
	}
	return f, nil
}

func toGUID(v any, from, to tds.Type) (any, error) {
	switch x := v.(type) {
	case tds.GUID:
		return x, nil
	case string:
		g, err := tds.ParseGUID(x)
		if err != nil {
			return nil, sqlError(8169, "Conversion failed when converting from a character string to uniqueidentifier.")
		}
		return g, nil
	case []byte:
		if len(x) >= 16 {
			return tds.GUID{x[3], x[2], x[1], x[0], x[5], x[4], x[7], x[6], x[8], x[9], x[10], x[11], x[12], x[13], x[14], x[15]}, nil
		}
	}
	return nil, noConversion(from, to)
}
