package envelope

import "errors"

var (
	errDate = errors.New("not a date")
	errTime = errors.New("not a time of day")
)

// MicrosPerDay is the length of a day in microseconds.
const MicrosPerDay = 24 * 3600 * 1e6

// Days returns the days from 1970-01-01 to a date of the proleptic Gregorian
// calendar (year 0 = 1 BC).
func Days(year int64, month, day int) int64 {
	if month <= 2 {
		year--
	}
	era := floorDiv(year, 400)
	yoe := year - era*400
	mp := int64((month + 9) % 12)
	doy := (153*mp+2)/5 + int64(day) - 1
	return era*146097 + yoe*365 + yoe/4 - yoe/100 + doy - 719468
}

// Civil is the inverse of Days.
func Civil(days int64) (year int64, month, day int) {
	days += 719468
	era := floorDiv(days, 146097)
	doe := days - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	day = int(doy - (153*mp+2)/5 + 1)
	month = int(mp+2)%12 + 1
	year = yoe + era*400
	if month <= 2 {
		year++
	}
	return year, month, day
}

// ParseCivil parses "YYYY-MM-DD" (four or more digits of year) at the start of
// src and returns what follows. Month and day are checked against 1-12 and
// 1-31 only: the database has validated them.
func ParseCivil(src []byte) (year int64, month, day int, rest []byte, err error) {
	year, rest, n := digits(src)
	if n < 4 || n > 7 || len(rest) < 6 || rest[0] != '-' || rest[3] != '-' {
		return 0, 0, 0, src, errDate
	}
	month, ok1 := two(rest[1:])
	day, ok2 := two(rest[4:])
	if !ok1 || !ok2 || month < 1 || month > 12 || day < 1 || day > 31 {
		return 0, 0, 0, src, errDate
	}
	return year, month, day, rest[6:], nil
}

// ParseDate is ParseCivil in days since 1970-01-01.
func ParseDate(src []byte) (days int64, rest []byte, err error) {
	year, month, day, rest, err := ParseCivil(src)
	if err != nil {
		return 0, src, err
	}
	return Days(year, month, day), rest, nil
}

// ParseTime parses "HH:MM:SS[.ffffff]" at the start of src into microseconds
// since midnight and returns what follows. "24:00:00" is allowed. Further
// fraction digits than six are not.
func ParseTime(src []byte) (micros int64, rest []byte, err error) {
	if len(src) < 8 || src[2] != ':' || src[5] != ':' {
		return 0, src, errTime
	}
	h, ok1 := two(src)
	m, ok2 := two(src[3:])
	s, ok3 := two(src[6:])
	if !ok1 || !ok2 || !ok3 || h > 24 || m > 59 || s > 60 {
		return 0, src, errTime
	}
	micros = (int64(h)*3600 + int64(m)*60 + int64(s)) * 1e6
	rest = src[8:]
	if len(rest) > 0 && rest[0] == '.' {
		frac, after, n := digits(rest[1:])
		if n == 0 || n > 6 {
			return 0, src, errTime
		}
		for ; n < 6; n++ {
			frac *= 10
		}
		micros += frac
		rest = after
	}
	return micros, rest, nil
}

// ParseTimestamp parses "YYYY-MM-DD HH:MM:SS[.ffffff]" (or with a T) at the
// start of src into microseconds since 1970 and returns what follows.
func ParseTimestamp(src []byte) (micros int64, rest []byte, err error) {
	days, rest, err := ParseDate(src)
	if err != nil {
		return 0, src, err
	}
	if len(rest) == 0 || rest[0] != ' ' && rest[0] != 'T' {
		return 0, src, errTime
	}
	t, rest, err := ParseTime(rest[1:])
	if err != nil {
		return 0, src, err
	}
	return days*MicrosPerDay + t, rest, nil
}

// AppendISO appends "YYYY-MM-DDTHH:MM:SS[.fff…]Z" for microseconds since 1970
// as text (no Avro length). fraction is the least number of fraction digits
// (0 to 6); more are written if the value has them.
func AppendISO(dst []byte, micros int64, fraction int) []byte {
	return AppendDateTime(dst, 0, micros, fraction)
}

// AppendDateTime is AppendISO for microseconds since a day, counted since
// 1970-01-01: beyond the years that microseconds since then have.
func AppendDateTime(dst []byte, days, micros int64, fraction int) []byte {
	more := floorDiv(micros, MicrosPerDay)
	year, month, day := Civil(days + more)
	dst = appendYear(dst, year)
	dst = append2(append(dst, '-'), month)
	dst = append2(append(dst, '-'), day)
	dst = append(dst, 'T')
	dst = AppendClock(dst, micros-more*MicrosPerDay, fraction)
	return append(dst, 'Z')
}

// AppendClock appends "HH:MM:SS[.fff…]" for microseconds since midnight; see
// AppendISO for fraction.
func AppendClock(dst []byte, micros int64, fraction int) []byte {
	secs := int(micros / 1e6)
	dst = append2(dst, secs/3600)
	dst = append2(append(dst, ':'), secs/60%60)
	dst = append2(append(dst, ':'), secs%60)
	frac := int(micros % 1e6)
	digits := fraction
	for d, rem := 6, frac; d > digits && d > 0; d-- {
		if rem%10 != 0 {
			digits = d
			break
		}
		rem /= 10
	}
	if digits == 0 {
		return dst
	}
	dst = append(dst, '.')
	for div, n := 100000, digits; n > 0; n-- {
		dst = append(dst, byte('0'+frac/div%10))
		div /= 10
	}
	return dst
}

func appendYear(dst []byte, year int64) []byte {
	switch {
	case year < 0:
		dst = append(dst, '-')
		year = -year
	case year > 9999:
		dst = append(dst, '+') // ISO 8601's expanded form, as Java prints it
	}
	var b [20]byte
	i := len(b)
	for n := 0; n < 4 || year > 0; n++ {
		i--
		b[i] = byte('0' + year%10)
		year /= 10
	}
	return append(dst, b[i:]...)
}

func append2(dst []byte, v int) []byte { return append(dst, byte('0'+v/10), byte('0'+v%10)) }

func two(src []byte) (int, bool) {
	a, b := src[0]-'0', src[1]-'0'
	return int(a)*10 + int(b), a <= 9 && b <= 9
}

// digits reads up to 18 decimal digits.
func digits(src []byte) (v int64, rest []byte, n int) {
	for n < len(src) && n < 18 && src[n]-'0' <= 9 {
		v = v*10 + int64(src[n]-'0')
		n++
	}
	return v, src[n:], n
}
