package postgres

import (
	"bytes"
	"errors"
	"math"
	"strconv"

	"tributary/envelope"
)

var errInterval = errors.New("not an interval")

// span is an interval. PostgreSQL keeps the three parts apart.
type span struct {
	months, days, micros int64
}

// A month counts as a twelfth of 365.25 days, as Debezium has it.
const microsPerMonth = 30.4375 * envelope.MicrosPerDay

func interval(mode string) mapping {
	if mode == "string" {
		out := plain(envelope.TypeInterval(), appendIntervalText)
		out.typ.Zero = envelope.AppendString(nil, "P0Y0M0DT0H0M0S")
		return out
	}
	return plain(envelope.TypeMicroDuration(), appendIntervalMicros)
}

// mostMicros is about what a long of microseconds can hold: 292,271 years.
const mostMicros = 9.223372036854e18

// appendIntervalMicros writes an interval in microseconds. Infinity, and what is
// beyond the type (PostgreSQL has intervals of 178 million years), is the end of
// the type.
func appendIntervalMicros(dst, src []byte) ([]byte, error) {
	switch infinity(src) {
	case 1:
		return envelope.AppendLong(dst, math.MaxInt64), nil
	case -1:
		return envelope.AppendLong(dst, math.MinInt64), nil
	}
	v, err := parseInterval(src)
	if err != nil {
		return dst, err
	}
	switch about := float64(v.months)*microsPerMonth + float64(v.days)*envelope.MicrosPerDay + float64(v.micros); {
	case about > mostMicros:
		return envelope.AppendLong(dst, math.MaxInt64), nil
	case about < -mostMicros:
		return envelope.AppendLong(dst, math.MinInt64), nil
	}
	// Where the sum fits, it is right even if a part of it does not.
	return envelope.AppendLong(dst, v.months*microsPerMonth+v.days*envelope.MicrosPerDay+v.micros), nil
}

// appendIntervalText writes an interval as PnYnMnDTnHnMn.nS.
func appendIntervalText(dst, src []byte) ([]byte, error) {
	if infinity(src) != 0 {
		return envelope.AppendBytes(dst, src), nil
	}
	v, err := parseInterval(src)
	if err != nil {
		return dst, err
	}
	var buf [96]byte
	b := strconv.AppendInt(append(buf[:0], 'P'), v.months/12, 10)
	b = strconv.AppendInt(append(b, 'Y'), v.months%12, 10)
	b = strconv.AppendInt(append(b, 'M'), v.days, 10)
	b = strconv.AppendInt(append(b, "DT"...), v.micros/3_600_000_000, 10)
	b = strconv.AppendInt(append(b, 'H'), v.micros/60_000_000%60, 10)
	b = append(b, 'M')
	secs, frac := v.micros/1_000_000%60, v.micros%1_000_000
	if secs < 0 || frac < 0 {
		b = append(b, '-')
		secs, frac = -secs, -frac
	}
	b = strconv.AppendInt(b, secs, 10)
	if frac > 0 {
		digits := strconv.AppendInt(nil, 1_000_000+frac, 10)
		b = append(append(b, '.'), bytes.TrimRight(digits[1:], "0")...)
	}
	return envelope.AppendBytes(dst, append(b, 'S')), nil
}

// parseInterval reads PostgreSQL's own style: "-1 years -2 mons +3 days
// -04:05:06.789", each part as needed.
func parseInterval(src []byte) (v span, err error) {
	for len(src) > 0 {
		word, rest, _ := bytes.Cut(src, []byte{' '})
		if bytes.IndexByte(word, ':') > 0 {
			if len(rest) > 0 {
				return v, errTrailing
			}
			v.micros, err = parseClock(word)
			return v, err
		}
		n, err := strconv.ParseInt(string(word), 10, 64)
		if err != nil || n > math.MaxInt32 || n < math.MinInt32 {
			return v, errInterval
		}
		unit, after, _ := bytes.Cut(rest, []byte{' '})
		switch string(bytes.TrimSuffix(unit, []byte{'s'})) {
		case "year":
			v.months += 12 * n
		case "mon":
			v.months += n
		case "day":
			v.days += n
		default:
			return v, errInterval
		}
		src = after
	}
	return v, nil
}

// parseClock reads [+-]H…H:MM:SS[.ffffff].
func parseClock(src []byte) (int64, error) {
	negative := src[0] == '-'
	if negative || src[0] == '+' {
		src = src[1:]
	}
	colon := bytes.IndexByte(src, ':')
	if colon < 1 {
		return 0, errInterval
	}
	hours, err := strconv.ParseInt(string(src[:colon]), 10, 64)
	if err != nil || hours < 0 || hours > math.MaxInt64/3_600_000_000-1 {
		return 0, errInterval
	}
	rest := append([]byte("00"), src[colon:]...)
	micros, rest, err := envelope.ParseTime(rest)
	if err != nil || len(rest) > 0 {
		return 0, errInterval
	}
	micros += hours * 3_600_000_000
	if negative {
		micros = -micros
	}
	return micros, nil
}
