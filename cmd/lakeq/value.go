package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/duckdb/duckdb-go/v2"
)

// isNumeric reports whether values of the DuckDB type are numbers.
func isNumeric(typ string) bool {
	switch typ {
	case "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT",
		"UINTEGER", "UBIGINT", "UHUGEINT", "FLOAT", "DOUBLE", "BIGNUM":
		return true
	}
	return strings.HasPrefix(typ, "DECIMAL")
}

// formatValue returns v as text: times in UTC, blobs as \x and hexadecimal
// digits, nested values as JSON. v is not nil.
func formatValue(v any, typ string) string {
	switch x := v.(type) {
	case string:
		return x
	case bool:
		return strconv.FormatBool(x)
	case float32:
		return formatFloat(float64(x), 32)
	case float64:
		return formatFloat(x, 64)
	case duckdb.Decimal:
		return formatDecimal(x)
	case *big.Int:
		return x.String()
	case time.Time:
		return formatTime(x, typ)
	case duckdb.Interval:
		return formatInterval(x)
	case duckdb.UUID:
		return x.String()
	case []byte:
		if typ == "UUID" && len(x) == 16 {
			id := duckdb.UUID(x)
			return id.String()
		}
		return `\x` + hex.EncodeToString(x)
	case []any, map[string]any, duckdb.OrderedMap:
		return string(appendJSON(nil, v, typ))
	default:
		return fmt.Sprint(v)
	}
}

func formatFloat(f float64, bits int) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e15) {
		format = 'e'
	}
	return strconv.FormatFloat(f, format, -1, bits)
}

// formatDecimal keeps the zeros of the scale: 1.50 of a DECIMAL(8,2).
func formatDecimal(d duckdb.Decimal) string {
	s := d.Value.String()
	if d.Scale == 0 {
		return s
	}
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	if n := int(d.Scale) + 1 - len(s); n > 0 {
		s = strings.Repeat("0", n) + s
	}
	p := len(s) - int(d.Scale)
	return sign + s[:p] + "." + s[p:]
}

func formatTime(t time.Time, typ string) string {
	switch typ {
	case "DATE":
		return t.Format("2006-01-02")
	case "TIME":
		return t.Format("15:04:05.999999")
	case "TIMESTAMPTZ":
		return t.UTC().Format("2006-01-02 15:04:05.999999Z07:00")
	default:
		return t.Format("2006-01-02 15:04:05.999999999")
	}
}

func formatInterval(v duckdb.Interval) string {
	return fmt.Sprintf("P%dM%dDT%sS", v.Months, v.Days,
		strconv.FormatFloat(float64(v.Micros)/1e6, 'f', -1, 64))
}

// appendJSON appends v as JSON.
func appendJSON(b []byte, v any, typ string) []byte {
	switch x := v.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return strconv.AppendBool(b, x)
	case int8, int16, int32, int64, uint8, uint16, uint32, uint64, int, *big.Int, duckdb.Decimal:
		return append(b, formatValue(v, typ)...)
	case float32:
		return appendJSONFloat(b, float64(x), 32)
	case float64:
		return appendJSONFloat(b, x, 64)
	case []any:
		b = append(b, '[')
		for i, e := range x {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, e, "")
		}
		return append(b, ']')
	case map[string]any:
		return appendJSONObject(b, x)
	case duckdb.OrderedMap:
		keys, vals := x.Keys(), x.Values()
		b = append(b, '{')
		for i := range keys {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, formatValue(keys[i], ""), "")
			b = append(b, ':')
			b = appendJSON(b, vals[i], "")
		}
		return append(b, '}')
	default:
		s, err := json.Marshal(formatValue(v, typ))
		if err != nil { // no text fails to encode
			return append(b, "null"...)
		}
		return append(b, s...)
	}
}

func appendJSONFloat(b []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(append(append(b, '"'), formatFloat(f, bits)...), '"')
	}
	return append(b, formatFloat(f, bits)...)
}

func appendJSONObject(b []byte, m map[string]any) []byte {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSON(b, k, "")
		b = append(b, ':')
		b = appendJSON(b, m[k], "")
	}
	return append(b, '}')
}
