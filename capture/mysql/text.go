package mysql

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strconv"

	"tributary/capture/mysql/binlog"
	"tributary/envelope"
)

// These functions turn a value's text, as the server sends it in a result, into
// the bytes that package binlog makes of the same value in the log.

var errText = errors.New("value is not of the form that its type has")

func textInteger(dst, src []byte) ([]byte, error) {
	neg := len(src) > 0 && src[0] == '-'
	digits := src
	if neg {
		digits = src[1:]
	}
	if len(digits) == 0 || len(digits) > 20 {
		return dst, errText
	}
	var v uint64
	for _, b := range digits {
		if b -= '0'; b > 9 {
			return dst, errText
		}
		v = v*10 + uint64(b)
	}
	if neg {
		v = -v
	}
	return envelope.AppendLong(dst, int64(v)), nil
}

// textUnsigned wraps past 2^63-1, as the log's form does.
func textUnsigned(dst, src []byte) ([]byte, error) { return textInteger(dst, src) }

func textFloat(dst, src []byte) ([]byte, error) {
	f, err := strconv.ParseFloat(string(src), 64)
	if err != nil {
		return dst, errText
	}
	return envelope.AppendFloat(dst, float32(f)), nil
}

func textDouble(dst, src []byte) ([]byte, error) {
	f, err := strconv.ParseFloat(string(src), 64)
	if err != nil {
		return dst, errText
	}
	return envelope.AppendDouble(dst, f), nil
}

func textDecimal(scale int) envelope.Append {
	return func(dst, src []byte) ([]byte, error) { return envelope.AppendDecimal(dst, src, scale) }
}

// textDecimalString brings a decimal to all digits of its scale: defaults come
// as they were written.
func textDecimalString(scale int) envelope.Append {
	return func(dst, src []byte) ([]byte, error) {
		for len(src) > 1 && src[0] == '0' && src[1] != '.' { // ZEROFILL
			src = src[1:]
		}
		digits := 0
		point := bytes.IndexByte(src, '.')
		if point >= 0 {
			digits = len(src) - point - 1
		}
		missing := scale - digits
		if missing <= 0 {
			return envelope.AppendBytes(dst, src), nil
		}
		text := append(make([]byte, 0, len(src)+missing+1), src...)
		if point < 0 {
			text = append(text, '.')
		}
		for range missing {
			text = append(text, '0')
		}
		return envelope.AppendBytes(dst, text), nil
	}
}

func textBytes(dst, src []byte) ([]byte, error) { return envelope.AppendBytes(dst, src), nil }

// textVector takes the raw bytes of a VECTOR.
func textVector(dst, src []byte) ([]byte, error) {
	if len(src)%4 != 0 {
		return dst, errText
	}
	return envelope.AppendFloats(dst, src), nil
}

func textEncoded(e binlog.Encoding) envelope.Append {
	return func(dst, src []byte) ([]byte, error) { return binlog.AppendEncoded(dst, e, src), nil }
}

func textBit1(dst, src []byte) ([]byte, error) {
	if len(src) != 1 || src[0] > 1 {
		return dst, errText
	}
	return append(dst, src[0]), nil
}

func textBits(dst, src []byte) ([]byte, error) {
	dst = envelope.AppendLong(dst, int64(len(src)))
	for i := len(src) - 1; i >= 0; i-- {
		dst = append(dst, src[i])
	}
	return dst, nil
}

// zeroDate reports whether the text of a DATE, DATETIME or TIMESTAMP is none:
// its month or day is 0, or there is no such day.
func zeroDate(src []byte) bool {
	days, _, err := envelope.ParseDate(src)
	if err != nil {
		return true
	}
	year, month, day := envelope.Civil(days)
	_ = year
	return month != int(src[5]-'0')*10+int(src[6]-'0') || day != int(src[8]-'0')*10+int(src[9]-'0')
}

func textDate(dst, src []byte) ([]byte, error) {
	days, rest, err := envelope.ParseDate(src)
	if err != nil || len(rest) > 0 {
		return dst, errText
	}
	return envelope.AppendLong(dst, days), nil
}

func textDatetimeMicros(dst, src []byte) ([]byte, error) {
	v, rest, err := envelope.ParseTimestamp(src)
	if err != nil || len(rest) > 0 {
		return dst, errText
	}
	return envelope.AppendLong(dst, v), nil
}

func textDatetimeMillis(dst, src []byte) ([]byte, error) {
	v, rest, err := envelope.ParseTimestamp(src)
	if err != nil || len(rest) > 0 {
		return dst, errText
	}
	return envelope.AppendLong(dst, floorDiv(v, 1000)), nil
}

// textTimestamp rewrites "2024-02-29 12:34:56.789", in the session's zone UTC.
func textTimestamp(dst, src []byte) ([]byte, error) {
	if len(src) < len("2006-01-02 15:04:05") || src[4] != '-' || src[10] != ' ' || src[13] != ':' {
		return dst, errText
	}
	dst = envelope.AppendLong(dst, int64(len(src)+1))
	dst = append(dst, src...)
	dst[len(dst)-len(src)+10] = 'T'
	return append(dst, 'Z'), nil
}

// parseTime reads "-838:59:59.000001" as microseconds.
func parseTime(src []byte) (micros int64, ok bool) {
	neg := len(src) > 0 && src[0] == '-'
	if neg {
		src = src[1:]
	}
	colon := bytes.IndexByte(src, ':')
	if colon < 1 || colon > 3 || len(src) < colon+6 || src[colon+3] != ':' {
		return 0, false
	}
	number := func(b []byte) (v int64) {
		for _, c := range b {
			if c -= '0'; c > 9 {
				ok = false
			}
			v = v*10 + int64(c)
		}
		return v
	}
	ok = true
	micros = (number(src[:colon])*3600 + number(src[colon+1:colon+3])*60 + number(src[colon+4:colon+6])) * 1e6
	if frac := src[colon+6:]; len(frac) > 0 {
		if frac[0] != '.' || len(frac) > 7 {
			return 0, false
		}
		v := number(frac[1:])
		for range 7 - len(frac) {
			v *= 10
		}
		micros += v
	}
	if neg {
		micros = -micros
	}
	return micros, ok
}

// outsideDay reports whether the text of a TIME is no time of day: all that
// Connect's Time can hold.
func outsideDay(src []byte) bool {
	v, ok := parseTime(src)
	return ok && (v < 0 || v >= envelope.MicrosPerDay)
}

func textTimeMicros(dst, src []byte) ([]byte, error) {
	v, ok := parseTime(src)
	if !ok {
		return dst, errText
	}
	return envelope.AppendLong(dst, v), nil
}

func textTimeMillis(dst, src []byte) ([]byte, error) {
	v, ok := parseTime(src)
	if !ok {
		return dst, errText
	}
	return envelope.AppendLong(dst, floorDiv(v, 1000)), nil
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// textJSON drops the spaces that the server puts between the tokens of a JSON
// document, and writes numbers and escapes in the form that the log's decoder
// gives.
func textJSON(dst, src []byte) ([]byte, error) {
	at := len(dst)
	dst = envelope.AppendLong(dst, int64(len(src)))
	head := len(dst) - at
	start := len(dst)
	for i := 0; i < len(src); {
		switch b := src[i]; {
		case b == ' ':
			i++
		case b == '"':
			end := i + 1
			for end < len(src) && src[end] != '"' {
				if src[end] == '\\' {
					end++
				}
				end++
			}
			if end >= len(src) {
				return dst[:at], errText
			}
			dst = appendJSONText(dst, src[i:end+1])
			i = end + 1
		case b == '-' || b-'0' <= 9:
			end := i + 1
			for end < len(src) && (src[end]-'0' <= 9 || src[end] == '.' || src[end] == 'e' || src[end] == '-' || src[end] == '+') {
				end++
			}
			var ok bool
			if dst, ok = binlog.AppendJSONNumber(dst, src[i:end]); !ok {
				return dst[:at], errText
			}
			i = end
		default:
			dst = append(dst, b)
			i++
		}
	}
	return fitLength(dst, at, head, start), nil
}

// appendJSONText appends a string of JSON, the hexadecimal digits of its
// escapes in upper case.
func appendJSONText(dst, text []byte) []byte {
	at := len(dst)
	dst = append(dst, text...)
	for s := dst[at:]; ; {
		i := bytes.IndexByte(s, '\\')
		if i < 0 {
			return dst
		}
		if s[i+1] != 'u' {
			s = s[i+2:]
			continue
		}
		copy(s[i+2:i+6], bytes.ToUpper(s[i+2:min(i+6, len(s))]))
		s = s[min(i+6, len(s)):]
	}
}

// fitLength puts the true length before the bytes from start on; head bytes
// from at on are kept for it. The bytes move if it takes another number.
func fitLength(dst []byte, at, head, start int) []byte {
	size := len(dst) - start
	var buf [binary.MaxVarintLen64]byte
	n := len(envelope.AppendLong(buf[:0], int64(size)))
	if n > head {
		dst = append(dst, buf[:n-head]...)
	}
	copy(dst[at+n:], dst[start:start+size])
	copy(dst[at:], buf[:n])
	return dst[:at+n+size]
}
