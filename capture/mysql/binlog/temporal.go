package binlog

import (
	"encoding/binary"

	"tributary/envelope"
)

const (
	microsPerSecond = 1_000_000
	secondsPerDay   = 86_400
)

// days returns the days from 1970-01-01 to a date, and false when there is no
// such date (month or day 0, February 30).
func days(year, month, day int) (int64, bool) {
	if month < 1 || month > 12 || day < 1 || day > 28 && day > monthDays(year, month) {
		return 0, false
	}
	return envelope.Days(int64(year), month, day), true
}

func monthDays(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	default:
		return 31
	}
}

// zeroDate appends what stands for a date or time that is none, such as
// 0000-00-00, or that its Avro type cannot hold: nothing in a nullable column (a negative n says null), else
// c.Zero.
func zeroDate(c *Column, dst []byte, n int) ([]byte, int) {
	if c.Nullable {
		return dst, -n
	}
	return append(dst, c.Zero...), n
}

// AppendDate decodes a DATE as days since 1970-01-01.
func AppendDate(c *Column, dst, src []byte) ([]byte, int) {
	if len(src) < 3 {
		return dst, 0
	}
	v := uint24(src)
	d, ok := days(int(v>>9), int(v>>5&15), int(v&31))
	if !ok {
		return zeroDate(c, dst, 3)
	}
	return binary.AppendVarint(dst, d), 3
}

// fraction reads the digits of a second that follow a temporal value, as
// microseconds; n is the number of bytes, negative when src is too short.
func fraction(fsp uint16, src []byte) (micros int64, n int) {
	n = int(fsp+1) / 2
	if fsp > 6 || len(src) < n {
		return 0, -1
	}
	switch n {
	case 1:
		return int64(src[0]) * 10_000, n
	case 2:
		return int64(binary.BigEndian.Uint16(src)) * 100, n
	case 3:
		return int64(src[0])<<16 | int64(src[1])<<8 | int64(src[2]), n
	}
	return 0, 0
}

// datetime2 reads a DATETIME as microseconds since the epoch; ok is false when
// it is no date, n is 0 when src is malformed.
func datetime2(fsp uint16, src []byte) (micros int64, ok bool, n int) {
	if len(src) < 5 {
		return 0, false, 0
	}
	frac, fn := fraction(fsp, src[5:])
	if fn < 0 {
		return 0, false, 0
	}
	v := int64(src[0])<<32 | int64(binary.BigEndian.Uint32(src[1:]))
	v -= 0x8000000000
	if v < 0 {
		return 0, false, 5 + fn
	}
	ymd, hms := v>>17, v&(1<<17-1)
	d, ok := days(int(ymd>>5/13), int(ymd>>5%13), int(ymd&31))
	sec := (hms>>12)*3600 + (hms >> 6 & 63 * 60) + hms&63
	return (d*secondsPerDay+sec)*microsPerSecond + frac, ok, 5 + fn
}

// AppendDatetimeMicros decodes a DATETIME as microseconds since the epoch.
func AppendDatetimeMicros(c *Column, dst, src []byte) ([]byte, int) {
	v, ok, n := datetime2(c.Meta, src)
	if n == 0 {
		return dst, 0
	}
	if !ok {
		return zeroDate(c, dst, n)
	}
	return binary.AppendVarint(dst, v), n
}

// AppendDatetimeMillis decodes a DATETIME as milliseconds since the epoch.
func AppendDatetimeMillis(c *Column, dst, src []byte) ([]byte, int) {
	v, ok, n := datetime2(c.Meta, src)
	if n == 0 {
		return dst, 0
	}
	if !ok {
		return zeroDate(c, dst, n)
	}
	return binary.AppendVarint(dst, floorDiv(v, 1000)), n
}

// AppendDatetimeOldMillis decodes a DATETIME of the form before MySQL 5.6: a
// number of the digits YYYYMMDDhhmmss.
func AppendDatetimeOldMillis(c *Column, dst, src []byte) ([]byte, int) {
	if len(src) < 8 {
		return dst, 0
	}
	v := binary.LittleEndian.Uint64(src)
	date, t := v/1_000_000, v%1_000_000
	if date > 99_991_231 {
		return dst, 0
	}
	d, ok := days(int(date/10_000), int(date/100%100), int(date%100))
	if !ok {
		return zeroDate(c, dst, 8)
	}
	sec := d*secondsPerDay + int64(t/10_000*3600+t/100%100*60+t%100)
	return binary.AppendVarint(dst, sec*1000), 8
}

// time2 reads a TIME as signed microseconds; n is 0 when src is malformed.
func time2(fsp uint16, src []byte) (micros int64, n int) {
	n = 3 + int(fsp+1)/2
	if fsp > 6 || len(src) < n {
		return 0, 0
	}
	// The whole number, fraction included, is offset by half its range; a
	// negative fraction therefore borrows from the seconds by itself.
	var v int64
	for _, b := range src[:n] {
		v = v<<8 | int64(b)
	}
	v -= 1 << (8*n - 1)
	neg := v < 0
	if neg {
		v = -v
	}
	var frac int64
	switch n {
	case 4:
		frac, v = v&0xff*10_000, v>>8
	case 5:
		frac, v = v&0xffff*100, v>>16
	case 6:
		frac, v = v&0xffffff, v>>24
	}
	micros = ((v>>12&1023)*3600+(v>>6&63)*60+v&63)*microsPerSecond + frac
	if neg {
		micros = -micros
	}
	return micros, n
}

// AppendTimeMicros decodes a TIME as signed microseconds.
func AppendTimeMicros(c *Column, dst, src []byte) ([]byte, int) {
	v, n := time2(c.Meta, src)
	if n == 0 {
		return dst, 0
	}
	return binary.AppendVarint(dst, v), n
}

// AppendTimeMillis decodes a TIME as milliseconds since midnight; there is no
// value for one that is no time of day.
func AppendTimeMillis(c *Column, dst, src []byte) ([]byte, int) {
	v, n := time2(c.Meta, src)
	if n == 0 {
		return dst, 0
	}
	if v < 0 || v >= secondsPerDay*microsPerSecond {
		return zeroDate(c, dst, n)
	}
	return binary.AppendVarint(dst, v/1000), n
}

// timeOld reads a TIME of the form before MySQL 5.6, a signed number of the
// digits hhmmss, as seconds.
func timeOld(src []byte) (sec int64, n int) {
	if len(src) < 3 {
		return 0, 0
	}
	v := int64(int32(uint24(src)<<8) >> 8)
	sign := int64(1)
	if v < 0 {
		v, sign = -v, -1
	}
	return sign * (v/10_000*3600 + v/100%100*60 + v%100), 3
}

// AppendTimeOldMicros decodes a TIME of the form before MySQL 5.6.
func AppendTimeOldMicros(_ *Column, dst, src []byte) ([]byte, int) {
	v, n := timeOld(src)
	if n == 0 {
		return dst, 0
	}
	return binary.AppendVarint(dst, v*microsPerSecond), n
}

// AppendTimeOldMillis is AppendTimeMillis for the form before MySQL 5.6.
func AppendTimeOldMillis(c *Column, dst, src []byte) ([]byte, int) {
	v, n := timeOld(src)
	if n == 0 {
		return dst, 0
	}
	if v < 0 || v >= secondsPerDay {
		return zeroDate(c, dst, n)
	}
	return binary.AppendVarint(dst, v*1000), n
}

// AppendTimestamp decodes a TIMESTAMP as RFC 3339 text in UTC with the digits
// of a second that the column declares.
func AppendTimestamp(c *Column, dst, src []byte) ([]byte, int) {
	if len(src) < 4 {
		return dst, 0
	}
	micros, fn := fraction(c.Meta, src[4:])
	if fn < 0 {
		return dst, 0
	}
	return appendTimestamp(c, dst, int64(binary.BigEndian.Uint32(src)), micros, int(c.Meta), 4+fn)
}

// AppendTimestampOld decodes a TIMESTAMP of the form before MySQL 5.6.
func AppendTimestampOld(c *Column, dst, src []byte) ([]byte, int) {
	if len(src) < 4 {
		return dst, 0
	}
	return appendTimestamp(c, dst, int64(binary.LittleEndian.Uint32(src)), 0, 0, 4)
}

func appendTimestamp(c *Column, dst []byte, sec, micros int64, fsp, n int) ([]byte, int) {
	if sec == 0 && micros == 0 { // what '0000-00-00 00:00:00' is stored as
		return zeroDate(c, dst, n)
	}
	size := len("2006-01-02T15:04:05Z")
	if fsp > 0 {
		size += 1 + fsp
	}
	dst = append(dst, byte(size<<1))
	at := len(dst)
	dst = envelope.AppendISO(dst, sec*microsPerSecond+micros, fsp)
	if len(dst)-at != size { // more digits than the column declares
		return dst, 0
	}
	return dst, n
}

func appendDigits(dst []byte, v, width int) []byte {
	at := len(dst)
	dst = append(dst, "000000"[:width]...)
	for i := width - 1; i >= 0; i-- {
		dst[at+i] = byte('0' + v%10)
		v /= 10
	}
	return dst
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
