package postgres

import (
	"encoding/hex"
	"errors"
	"math"
	"strconv"
	"unicode/utf8"

	"tributary/envelope"
)

var (
	errInteger   = errors.New("not an integer")
	errBool      = errors.New("not a boolean")
	errFloat     = errors.New("not a number")
	errBytea     = errors.New("not bytea in hex form")
	errText      = errors.New("not UTF-8")
	errZone      = errors.New("not a zone offset")
	errTrailing  = errors.New("unexpected text after the value")
	errOverrange = errors.New("out of range")
)

func appendText(dst, src []byte) ([]byte, error) {
	if !utf8.Valid(src) {
		return dst, errText
	}
	return envelope.AppendBytes(dst, src), nil
}

// appendInteger serves int and long alike: Avro writes both the same way.
func appendInteger(dst, src []byte) ([]byte, error) {
	v, err := parseInteger(src)
	if err != nil {
		return dst, err
	}
	return envelope.AppendLong(dst, v), nil
}

func parseInteger(src []byte) (int64, error) {
	digits, neg := src, false
	if len(src) > 0 && src[0] == '-' {
		digits, neg = src[1:], true
	}
	if len(digits) == 0 || len(digits) > 19 {
		return 0, errInteger
	}
	var v uint64
	for _, b := range digits {
		if b -= '0'; b > 9 {
			return 0, errInteger
		}
		v = v*10 + uint64(b)
	}
	switch {
	case neg && v <= 1<<63:
		return -int64(v), nil
	case !neg && v < 1<<63:
		return int64(v), nil
	}
	return 0, errOverrange
}

func appendBool(dst, src []byte) ([]byte, error) {
	switch string(src) {
	case "t", "true":
		return append(dst, 1), nil
	case "f", "false":
		return append(dst, 0), nil
	}
	return dst, errBool
}

func appendFloat4(dst, src []byte) ([]byte, error) {
	v, err := strconv.ParseFloat(string(src), 32)
	if err != nil {
		return dst, errFloat
	}
	return envelope.AppendFloat(dst, float32(v)), nil
}

func appendFloat8(dst, src []byte) ([]byte, error) {
	v, err := strconv.ParseFloat(string(src), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) { // a numeric may be beyond a double: infinity
		return dst, errFloat
	}
	if math.IsNaN(v) {
		v = math.Float64frombits(javaNaN) // Go's own has another payload
	}
	return envelope.AppendDouble(dst, v), nil
}

const javaNaN = 0x7ff8000000000000

// decodeBytea reads bytea in hex form.
func decodeBytea(src []byte) ([]byte, error) {
	if len(src) < 2 || src[0] != '\\' || src[1] != 'x' {
		return nil, errBytea
	}
	raw, err := hex.AppendDecode(nil, src[2:])
	if err != nil {
		return nil, errBytea
	}
	return raw, nil
}

// infinity is -1, 0 or 1.
func infinity(src []byte) int {
	switch string(src) {
	case "infinity":
		return 1
	case "-infinity":
		return -1
	}
	return 0
}

// era cuts " BC" off src.
func era(src []byte) (rest []byte, bc bool) {
	if n := len(src) - 3; n > 0 && string(src[n:]) == " BC" {
		return src[:n], true
	}
	return src, false
}

// The days that stand for infinity: the ends of the type, which no date of
// PostgreSQL (4713 BC to 5874897) reaches.
const (
	dateInfinity    = 1<<31 - 1
	dateMinInfinity = -1 << 31
)

func appendDate(dst, src []byte) ([]byte, error) {
	switch infinity(src) {
	case 1:
		return envelope.AppendLong(dst, dateInfinity), nil
	case -1:
		return envelope.AppendLong(dst, dateMinInfinity), nil
	}
	src, bc := era(src)
	days, rest, err := parseDate(src, bc)
	if err != nil {
		return dst, err
	}
	if len(rest) > 0 {
		return dst, errTrailing
	}
	return envelope.AppendLong(dst, days), nil
}

// parseDate is envelope.ParseDate with the era: year y BC is year 1-y.
func parseDate(src []byte, bc bool) (int64, []byte, error) {
	year, month, day, rest, err := envelope.ParseCivil(src)
	if err != nil {
		return 0, nil, err
	}
	if bc {
		year = 1 - year
	}
	return envelope.Days(year, month, day), rest, nil
}

// parseTimestamp reads a timestamp, as days since 1970 and microseconds of the
// day; rest is a zone, if any.
func parseTimestamp(src []byte) (days, clock int64, rest []byte, err error) {
	src, bc := era(src)
	days, rest, err = parseDate(src, bc)
	if err != nil {
		return 0, 0, nil, err
	}
	if len(rest) == 0 || rest[0] != ' ' {
		return 0, 0, nil, errTrailing
	}
	clock, rest, err = envelope.ParseTime(rest[1:])
	return days, clock, rest, err
}

// maxDays is how many days of microseconds a long can hold. PostgreSQL counts
// them from 2000 and has years up to 294276, a long of them since 1970 ends in
// 294247.
const maxDays = math.MaxInt64/int64(envelope.MicrosPerDay) - 1

// The microseconds that stand for infinity, as Debezium has them. What is beyond
// the type counts as its end.
const (
	timestampInfinity    = 9223372036825200000
	timestampMinInfinity = -9223372036832400000
)

func appendTimestampMicros(dst, src []byte) ([]byte, error) {
	switch infinity(src) {
	case 1:
		return envelope.AppendLong(dst, timestampInfinity), nil
	case -1:
		return envelope.AppendLong(dst, timestampMinInfinity), nil
	}
	days, clock, rest, err := parseTimestamp(src)
	switch {
	case err != nil:
		return dst, err
	case len(rest) > 0:
		return dst, errTrailing
	case days > maxDays:
		return envelope.AppendLong(dst, math.MaxInt64), nil
	}
	return envelope.AppendLong(dst, days*envelope.MicrosPerDay+clock), nil
}

func appendTimestampMillis(dst, src []byte) ([]byte, error) {
	switch infinity(src) {
	case 1:
		return envelope.AppendLong(dst, floorDiv(timestampInfinity, 1000)), nil
	case -1:
		return envelope.AppendLong(dst, floorDiv(timestampMinInfinity, 1000)), nil
	}
	days, clock, rest, err := parseTimestamp(src)
	switch {
	case err != nil:
		return dst, err
	case len(rest) > 0:
		return dst, errTrailing
	}
	return envelope.AppendLong(dst, days*(envelope.MicrosPerDay/1000)+clock/1000), nil
}

func appendTimeMicros(dst, src []byte) ([]byte, error) {
	v, rest, err := envelope.ParseTime(src)
	if err != nil {
		return dst, err
	}
	if len(rest) > 0 {
		return dst, errTrailing
	}
	return envelope.AppendLong(dst, v), nil
}

func appendTimeMillis(dst, src []byte) ([]byte, error) {
	v, rest, err := envelope.ParseTime(src)
	if err != nil {
		return dst, err
	}
	if len(rest) > 0 {
		return dst, errTrailing
	}
	return envelope.AppendLong(dst, v/1000), nil
}

// appendZonedTimestamp writes a timestamptz in UTC with the declared number of
// fraction digits.
func appendZonedTimestamp(digits int) envelope.Append {
	return func(dst, src []byte) ([]byte, error) {
		if infinity(src) != 0 {
			return envelope.AppendBytes(dst, src), nil
		}
		days, clock, rest, err := parseTimestamp(src)
		if err != nil {
			return dst, err
		}
		offset, err := zone(rest)
		if err != nil {
			return dst, err
		}
		var buf [48]byte
		return envelope.AppendBytes(dst, envelope.AppendDateTime(buf[:0], days, clock-offset*1e6, digits)), nil
	}
}

// appendZonedTime writes a timetz in UTC.
func appendZonedTime(dst, src []byte) ([]byte, error) {
	v, rest, err := envelope.ParseTime(src)
	if err != nil {
		return dst, err
	}
	offset, err := zone(rest)
	if err != nil {
		return dst, err
	}
	v = (v - offset*1e6) % envelope.MicrosPerDay
	if v < 0 {
		v += envelope.MicrosPerDay
	}
	var buf [24]byte
	return envelope.AppendBytes(dst, append(envelope.AppendClock(buf[:0], v, 0), 'Z')), nil
}

// zone reads +HH[:MM[:SS]] into seconds east of Greenwich.
func zone(src []byte) (int64, error) {
	if len(src) != 3 && len(src) != 6 && len(src) != 9 || src[0] != '+' && src[0] != '-' {
		return 0, errZone
	}
	var secs int64
	for i, unit := 1, int64(3600); i < len(src); i, unit = i+3, unit/60 {
		hi, lo := src[i]-'0', src[i+1]-'0'
		if hi > 9 || lo > 9 || i > 1 && src[i-1] != ':' {
			return 0, errZone
		}
		secs += int64(hi*10+lo) * unit
	}
	if src[0] == '-' {
		secs = -secs
	}
	return secs, nil
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
