package sqlserver

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"math"
	"strconv"

	"tributary/envelope"
)

// columnType is what a column's values become.
type columnType struct {
	typ    envelope.Type
	cell   cellFunc        // the driver's value as a cell
	append envelope.Append // a cell as Avro
}

// typeOf finds what a column becomes; false for a type that has no form in events.
func typeOf(c *column, o *Options) (columnType, bool) {
	plain := func(k envelope.Kind, cell cellFunc, app envelope.Append) (columnType, bool) {
		return columnType{envelope.TypeOf(k), cell, app}, true
	}
	switch c.typ {
	case "bit":
		return plain(envelope.Boolean, cellInt, func(dst, src []byte) ([]byte, error) { return envelope.AppendBoolean(dst, intOf(src) != 0), nil })
	case "tinyint", "smallint":
		return columnType{envelope.TypeInt16(), cellInt, appendLong}, true
	case "int":
		return plain(envelope.Int, cellInt, appendLong)
	case "bigint":
		return plain(envelope.Long, cellInt, appendLong)
	case "real":
		return plain(envelope.Float, cellFloat, func(dst, src []byte) ([]byte, error) { return envelope.AppendFloat(dst, float32(floatOf(src))), nil })
	case "float":
		return plain(envelope.Double, cellFloat, func(dst, src []byte) ([]byte, error) { return envelope.AppendDouble(dst, floatOf(src)), nil })
	case "decimal", "numeric":
		return decimalType(c.precision, c.scale, o), true
	case "money":
		return decimalType(19, 4, o), true
	case "smallmoney":
		return decimalType(10, 4, o), true
	case "char", "varchar", "text", "nchar", "nvarchar", "ntext", "xml", "json":
		return plain(envelope.String, cellBytes, appendBytes)
	case "uniqueidentifier":
		return plain(envelope.String, cellGUID, appendBytes)
	case "binary", "varbinary", "image", "timestamp", "hierarchyid", "geometry", "geography":
		return binaryType(o), true
	case "date":
		return dateType(o), true
	case "time":
		return timeType(c.scale, o), true
	case "datetime", "smalldatetime", "datetime2":
		return timestampType(scaleOf(c), o), true
	case "datetimeoffset":
		return columnType{envelope.TypeZonedTimestamp(), cellTime, appendZoned}, true
	}
	return columnType{}, false
}

func scaleOf(c *column) int {
	switch c.typ {
	case "datetime":
		return 3
	case "smalldatetime":
		return 0
	}
	return c.scale
}

func appendLong(dst, src []byte) ([]byte, error) { return envelope.AppendLong(dst, intOf(src)), nil }

func appendBytes(dst, src []byte) ([]byte, error) { return envelope.AppendBytes(dst, src), nil }

func decimalType(precision, scale int, o *Options) columnType {
	switch o.Decimals {
	case "double":
		return columnType{envelope.TypeOf(envelope.Double), cellBytes, func(dst, src []byte) ([]byte, error) {
			f, err := strconv.ParseFloat(string(src), 64)
			if err != nil {
				return dst, errors.New("it is no number")
			}
			return envelope.AppendDouble(dst, f), nil
		}}
	case "string":
		return columnType{envelope.TypeOf(envelope.String), cellBytes, appendBytes}
	}
	return columnType{envelope.TypeDecimal(precision, scale), cellBytes, func(dst, src []byte) ([]byte, error) { return envelope.AppendDecimal(dst, src, scale) }}
}

func binaryType(o *Options) columnType {
	text := func(encode func(dst, src []byte) []byte) columnType {
		return columnType{envelope.TypeOf(envelope.String), cellBytes, func(dst, src []byte) ([]byte, error) { return envelope.AppendBytes(dst, encode(nil, src)), nil }}
	}
	switch o.Binaries {
	case "base64":
		return text(base64.StdEncoding.AppendEncode)
	case "base64-url-safe":
		return text(base64.URLEncoding.AppendEncode)
	case "hex":
		return text(hex.AppendEncode)
	}
	return columnType{envelope.TypeOf(envelope.Bytes), cellBytes, appendBytes}
}

// Values of time.precision.mode.
const (
	timesConnect = "connect"
	timesMillis  = "adaptive_time_microseconds"
	timesMicro   = "microseconds"
	timesNano    = "nanoseconds"
	timesISO     = "isostring"
)

// semantic is a type that Debezium names; zero stands for an absent value.
func semantic(k envelope.Kind, name, zero string) envelope.Type {
	t := envelope.Type{Kind: k, Name: "io.debezium.time." + name, Version: 1}
	if zero != "" {
		t.Zero = envelope.AppendString(nil, zero)
	}
	return t
}

func dateType(o *Options) columnType {
	switch o.Times {
	case timesISO:
		return columnType{semantic(envelope.String, "IsoDate", "1970-01-01Z"), cellTime, func(dst, src []byte) ([]byte, error) {
			return envelope.AppendBytes(dst, append(momentOf(src).appendDate(nil), 'Z')), nil
		}}
	case timesConnect:
		return columnType{envelope.TypeConnectDate(), cellTime, appendDays}
	}
	return columnType{envelope.TypeDate(), cellTime, appendDays}
}

func appendDays(dst, src []byte) ([]byte, error) {
	return envelope.AppendLong(dst, floorDiv(momentOf(src).seconds, 86400)), nil
}

// ticks appends a moment as a number of units since 1970, or since midnight.
func ticks(perSecond int64, clock bool) envelope.Append {
	return func(dst, src []byte) ([]byte, error) {
		m := momentOf(src)
		if clock {
			m.seconds -= 86400 * floorDiv(m.seconds, 86400)
		}
		return envelope.AppendLong(dst, m.seconds*perSecond+m.nanos/(1e9/perSecond)), nil
	}
}

func timeType(scale int, o *Options) columnType {
	micro := columnType{envelope.TypeMicroTime(), cellTime, ticks(1e6, true)}
	nano := columnType{semantic(envelope.Long, "NanoTime", ""), cellTime, ticks(1e9, true)}
	switch o.Times {
	case timesConnect:
		return columnType{envelope.TypeConnectTime(), cellTime, ticks(1e3, true)}
	case timesMillis, timesMicro:
		return micro
	case timesNano:
		return nano
	case timesISO:
		return columnType{semantic(envelope.String, "IsoTime", "00:00:00Z"), cellTime, func(dst, src []byte) ([]byte, error) {
			return envelope.AppendBytes(dst, append(momentOf(src).appendClock(nil), 'Z')), nil
		}}
	}
	switch {
	case scale <= 3:
		return columnType{envelope.TypeTime(), cellTime, ticks(1e3, true)}
	case scale <= 6:
		return micro
	}
	return nano
}

func timestampType(scale int, o *Options) columnType {
	milli := columnType{envelope.TypeTimestamp(), cellTime, ticks(1e3, false)}
	micro := columnType{envelope.TypeMicroTimestamp(), cellTime, ticks(1e6, false)}
	nano := columnType{semantic(envelope.Long, "NanoTimestamp", ""), cellTime, appendNanos}
	if o.keeps("nanos") {
		nano.append = ticks(1e9, false)
	}
	switch o.Times {
	case timesConnect:
		return columnType{envelope.TypeConnectTimestamp(), cellTime, ticks(1e3, false)}
	case timesMicro:
		return micro
	case timesNano:
		return nano
	case timesISO:
		return columnType{semantic(envelope.String, "IsoTimestamp", "1970-01-01T00:00:00Z"), cellTime, func(dst, src []byte) ([]byte, error) {
			m := momentOf(src)
			return envelope.AppendBytes(dst, append(m.appendClock(append(m.appendDate(nil), 'T')), 'Z')), nil
		}}
	}
	switch {
	case scale <= 3:
		return milli
	case scale <= 6:
		return micro
	}
	return nano
}

var errNanos = errors.New("the time has no number of nanoseconds since 1970, as it is before 1677-09-21 or after 2262-04-11: time.precision.mode microseconds, connect or isostring has a form for it, and debezium.defects nanos writes the wrong number that Debezium does")

func appendNanos(dst, src []byte) ([]byte, error) {
	m := momentOf(src)
	if m.seconds > math.MaxInt64/1_000_000_000-1 || m.seconds < math.MinInt64/1_000_000_000+1 {
		return dst, errNanos
	}
	return envelope.AppendLong(dst, m.seconds*1e9+m.nanos), nil
}

// appendZoned keeps the offset, as Debezium does.
func appendZoned(dst, src []byte) ([]byte, error) {
	m := momentOf(src)
	offset := m.offset
	m.seconds += offset
	text := m.appendClock(append(m.appendDate(nil), 'T'))
	if offset == 0 {
		return envelope.AppendBytes(dst, append(text, 'Z')), nil
	}
	sign := byte('+')
	if offset < 0 {
		sign, offset = '-', -offset
	}
	text = appendPair(append(text, sign), offset/3600)
	return envelope.AppendBytes(dst, appendPair(append(text, ':'), offset/60%60)), nil
}
