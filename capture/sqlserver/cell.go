package sqlserver

import (
	"database/sql/driver"
	"encoding/binary"
	"math"
	"strconv"
	"strings"
	"time"

	"tributary/envelope"
)

// Cells are the values of rows in bytes: integers and truth values in eight, the
// highest first, floats likewise, texts in UTF-8, decimals as text, GUIDs as text,
// times as moments.

// cellFunc appends the driver's value, which is not NULL, as a cell; false for a
// value of a form that the driver does not give for the type.
type cellFunc func(dst []byte, v driver.Value) ([]byte, bool)

func cellInt(dst []byte, v driver.Value) ([]byte, bool) {
	switch v.(type) {
	case int64, bool:
		return binary.BigEndian.AppendUint64(dst, uint64(asInt(v))), true //nolint:gosec // bits
	}
	return dst, false
}

const numberSize = 8

// intOf reads the first number of a cell.
func intOf(cell []byte) int64 {
	if len(cell) < numberSize {
		return 0
	}
	return int64(binary.BigEndian.Uint64(cell)) //nolint:gosec // bits
}

func cellFloat(dst []byte, v driver.Value) ([]byte, bool) {
	f, ok := v.(float64)
	return binary.BigEndian.AppendUint64(dst, math.Float64bits(f)), ok
}

func floatOf(cell []byte) float64 { return math.Float64frombits(uint64(intOf(cell))) } //nolint:gosec // bits

func cellBytes(dst []byte, v driver.Value) ([]byte, bool) {
	switch v := v.(type) {
	case string:
		return append(dst, v...), true
	case []byte:
		return append(dst, v...), true
	}
	return dst, false
}

// cellGUID takes the mixed order in which the protocol has the bytes.
func cellGUID(dst []byte, v driver.Value) ([]byte, bool) {
	b, ok := v.([]byte)
	if !ok || len(b) != 16 {
		return cellBytes(dst, v)
	}
	for i, at := range []int{3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15} {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		const digits = "0123456789ABCDEF"
		dst = append(dst, digits[b[at]>>4], digits[b[at]&15])
	}
	return dst, true
}

// moment is a time of any of the types.
type moment struct {
	seconds int64 // since 1970, UTC
	nanos   int64 // from 0 to 999999999
	offset  int64 // seconds east of UTC
}

const momentSize = 24

func cellTime(dst []byte, v driver.Value) ([]byte, bool) {
	t, ok := v.(time.Time)
	_, offset := t.Zone()
	return moment{t.Unix(), int64(t.Nanosecond()), int64(offset)}.append(dst), ok
}

func (m moment) append(dst []byte) []byte {
	for _, n := range []int64{m.seconds, m.nanos, m.offset} {
		dst = binary.BigEndian.AppendUint64(dst, uint64(n)) //nolint:gosec // bits
	}
	return dst
}

func momentOf(cell []byte) moment {
	if len(cell) != momentSize {
		return moment{}
	}
	return moment{intOf(cell), intOf(cell[8:]), intOf(cell[16:])}
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func appendPair(dst []byte, n int64) []byte { return append(dst, byte('0'+n/10), byte('0'+n%10)) }

func (m moment) appendDate(dst []byte) []byte {
	year, month, day := envelope.Civil(floorDiv(m.seconds, 86400))
	if year < 0 {
		dst, year = append(dst, '-'), -year
	}
	dst = appendPair(appendPair(dst, year/100), year%100)
	return appendPair(append(appendPair(append(dst, '-'), int64(month)), '-'), int64(day))
}

// appendClock writes as many digits of the fraction as it has.
func (m moment) appendClock(dst []byte) []byte {
	s := m.seconds - 86400*floorDiv(m.seconds, 86400)
	dst = appendPair(append(appendPair(append(appendPair(dst, s/3600), ':'), s/60%60), ':'), s%60)
	if m.nanos == 0 {
		return dst
	}
	digits := strconv.Itoa(int(m.nanos) + 1e9)[1:]
	return append(append(dst, '.'), strings.TrimRight(digits, "0")...)
}

// fits reports whether a cell, which may be of a stored position, can be one of the
// column.
func fits(c *column, cell []byte) bool {
	switch c.typ {
	case "bit", "tinyint", "smallint", "int", "bigint", "real", "float":
		return len(cell) == numberSize
	case "date", "time", "datetime", "smalldatetime", "datetime2", "datetimeoffset":
		return len(cell) == momentSize
	}
	return true
}

// argument is a cell as an argument of a query, and the expression in which it is
// compared with its column: of the column's own type, so that an index is of use.
func argument(c *column, cell []byte, place string) (any, string) {
	switch c.typ {
	case "bit", "tinyint", "smallint", "int", "bigint":
		return intOf(cell), "CAST(" + place + " AS " + c.cast() + ")"
	case "real", "float":
		return floatOf(cell), "CAST(" + place + " AS " + c.cast() + ")"
	case "binary", "varbinary", "timestamp":
		return append([]byte{}, cell...), "CAST(" + place + " AS " + c.cast() + ")"
	case "hierarchyid": // the bytes are its binary form
		return append([]byte{}, cell...), "CAST(CAST(" + place + " AS varbinary(892)) AS hierarchyid)"
	case "date", "time", "datetime", "smalldatetime", "datetime2", "datetimeoffset":
		return timeArgument(c, momentOf(cell)), "CAST(" + place + " AS " + c.cast() + ")"
	}
	expr := "CAST(" + place + " AS " + c.cast() + ")"
	if c.collation != "" {
		expr += " COLLATE " + c.collation
	}
	return string(cell), expr
}

// timeArgument is the text that the server takes for the type whatever its
// settings are.
func timeArgument(c *column, m moment) string {
	switch c.typ {
	case "date":
		return string(m.appendDate(nil))
	case "time":
		return string(m.appendClock(nil))
	case "datetimeoffset":
		text, _ := appendZoned(nil, m.append(nil)) // has no error
		return string(text[1:])                    // without its length, which is below 64
	}
	return string(m.appendClock(append(m.appendDate(nil), 'T')))
}

func itoa(n int) string { return strconv.Itoa(n) }
