package basefile

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"strconv"
	"time"

	"tributary/internal/column"
)

// AppendJSON appends value i of data, which is of column c, as JSON. Decimals
// are text with all digits of their scale, dates and times ISO 8601 text in UTC,
// bytes base64, numbers that JSON lacks "NaN" and "Infinity".
func AppendJSON(dst []byte, c Column, data *column.Column, i int) []byte {
	if data.IsNull(i) {
		return append(dst, "null"...)
	}
	switch data.Kind {
	case column.Int:
		return appendJSONInt(dst, c, data.Ints[i])
	case column.Float:
		bits := 64
		if c.Physical == Float {
			bits = 32
		}
		return appendJSONFloat(dst, data.Floats[i], bits)
	}
	v := data.Value(i)
	switch c.Annotation {
	case UTF8, Enum:
		return appendQuoted(dst, string(v))
	case Decimal:
		return appendQuoted(dst, DecimalText(v, c.Scale))
	default:
		return append(base64.StdEncoding.AppendEncode(append(dst, '"'), v), '"')
	}
}

func appendJSONInt(dst []byte, c Column, v int64) []byte {
	if c.Physical == Int96 {
		c.Annotation = TimestampMicros
	}
	switch c.Annotation {
	case Date:
		return appendQuoted(dst, time.Unix(v*86400, 0).UTC().Format("2006-01-02"))
	case TimeMillis:
		return appendQuoted(dst, time.UnixMilli(v).UTC().Format("15:04:05.000"))
	case TimeMicros:
		return appendQuoted(dst, time.UnixMicro(v).UTC().Format("15:04:05.000000"))
	case TimestampMillis:
		return appendQuoted(dst, time.UnixMilli(v).UTC().Format("2006-01-02T15:04:05.000000Z"))
	case TimestampMicros:
		return appendQuoted(dst, time.UnixMicro(v).UTC().Format("2006-01-02T15:04:05.000000Z"))
	case Decimal:
		return appendQuoted(dst, DecimalText(binary.BigEndian.AppendUint64(nil, uint64(v)), c.Scale))
	}
	if c.Physical == Boolean {
		return strconv.AppendBool(dst, v != 0)
	}
	return strconv.AppendInt(dst, v, 10)
}

func appendJSONFloat(dst []byte, v float64, bits int) []byte {
	switch {
	case math.IsNaN(v):
		return append(dst, `"NaN"`...)
	case math.IsInf(v, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(v, -1):
		return append(dst, `"-Infinity"`...)
	}
	return strconv.AppendFloat(dst, v, 'g', -1, bits)
}

func appendQuoted(dst []byte, s string) []byte {
	b, err := json.Marshal(s)
	if err != nil { // no text fails to encode
		return strconv.AppendQuote(dst, s)
	}
	return append(dst, b...)
}

// maxScale bounds the zeros that a decimal is written with.
const maxScale = 1000
