package envelope

import (
	"errors"
	"fmt"
	"math"
)

// The forms of dates and times that are made of the adaptive one:
// time.precision.mode microseconds, nanoseconds and isostring.
const (
	timesMicro = "microseconds"
	timesNano  = "nanoseconds"
	timesISO   = "isostring"
)

var errNanos = errors.New("the time has no number of nanoseconds since 1970: it is before 1677-09-21 or after 2262-04-11")

// What stands for infinity in microseconds and milliseconds, as PostgreSQL's
// connector writes it.
const (
	infinity      = 9223372036825200000
	minusInfinity = -9223372036832400000
)

// converter makes a value of another type of a bare one.
type converter func(dst, v []byte) ([]byte, error)

// retime gives the type that a temporal type has in a mode, and what converts
// its values; nil if it stays as it is.
func retime(mode string, t *Type) (Type, converter) {
	if t.Kind == Array && t.Items != nil {
		items, fn := retime(mode, t.Items)
		if fn == nil {
			return *t, nil
		}
		from, out := *t, *t // *t may be about to become out
		out.Items = &items
		return out, arrayOf(&from, fn)
	}
	var unit int64 // nanoseconds of a tick
	stamp := false
	switch t.Name {
	case "io.debezium.time.Date":
		if mode == timesISO {
			return iso("IsoDate", "1970-01-01Z"), func(dst, v []byte) ([]byte, error) {
				days, _ := decodeLong(v)
				return AppendBytes(dst, append(appendDate(nil, days), 'Z')), nil
			}
		}
		return *t, nil
	case "io.debezium.time.Time":
		unit = 1e6
	case "io.debezium.time.MicroTime":
		unit = 1e3
	case "io.debezium.time.Timestamp":
		unit, stamp = 1e6, true
	case "io.debezium.time.MicroTimestamp":
		unit, stamp = 1e3, true
	default:
		return *t, nil
	}
	switch {
	case mode == timesISO && stamp:
		return iso("IsoTimestamp", "1970-01-01T00:00:00Z"), func(dst, v []byte) ([]byte, error) {
			n, _ := decodeLong(v)
			perDay := 86400 * (1e9 / unit)
			days := floorDiv(n, perDay)
			text := append(appendDate(nil, days), 'T')
			return AppendBytes(dst, append(appendClock(text, (n-days*perDay)*unit), 'Z')), nil
		}
	case mode == timesISO:
		return iso("IsoTime", "00:00:00Z"), func(dst, v []byte) ([]byte, error) {
			n, _ := decodeLong(v)
			var text []byte
			if n < 0 { // MySQL's are lengths of time: they keep their sign
				text, n = append(text, '-'), -n
			}
			return AppendBytes(dst, append(appendClock(text, n*unit), 'Z')), nil
		}
	}
	return number(mode, unit, stamp)
}

// number is the form as a count of microseconds or nanoseconds.
func number(mode string, unit int64, stamp bool) (Type, converter) {
	name := map[bool]string{true: "Timestamp", false: "Time"}[stamp]
	factor := unit / 1e3
	if mode == timesNano {
		factor = unit
		name = "Nano" + name
	} else {
		name = "Micro" + name
	}
	return named(Long, "io.debezium.time."+name), func(dst, v []byte) ([]byte, error) {
		n, _ := decodeLong(v)
		switch {
		case !stamp:
		case n == infinity || n == floorDiv(infinity, 1000) && unit == 1e6:
			return AppendLong(dst, map[bool]int64{true: math.MaxInt64, false: infinity}[mode == timesNano]), nil
		case n == minusInfinity || n == floorDiv(minusInfinity, 1000) && unit == 1e6:
			return AppendLong(dst, map[bool]int64{true: math.MinInt64, false: minusInfinity}[mode == timesNano]), nil
		}
		if n > math.MaxInt64/factor || n < math.MinInt64/factor {
			return dst, errNanos
		}
		return AppendLong(dst, n*factor), nil
	}
}

// iso is a type of text in ISO 8601; zero stands for a value that is absent.
func iso(name, zero string) Type {
	t := named(String, "io.debezium.time."+name)
	t.Zero = AppendString(nil, zero)
	return t
}

// arrayOf converts the items of an array.
func arrayOf(t *Type, fn converter) converter {
	return func(dst, v []byte) ([]byte, error) {
		n, v := decodeLong(v)
		for ; n != 0; n, v = decodeLong(v) {
			dst = AppendLong(dst, n)
			for range n {
				if t.ItemsNullable {
					null := v[0] == 0
					dst, v = append(dst, v[0]), v[1:]
					if null {
						continue
					}
				}
				rest := t.Items.skip(v)
				var err error
				if dst, err = fn(dst, v[:len(v)-len(rest)]); err != nil {
					return dst, err
				}
				v = rest
			}
		}
		return append(dst, 0), nil
	}
}

// appendDate writes a day as ISO 8601 has it: years beyond four digits have a
// sign.
func appendDate(dst []byte, days int64) []byte {
	// The civil calendar, extended to all times: 400 years have 146097 days.
	days += 719468
	era := floorDiv(days, 146097)
	day := days - era*146097
	year := (day - day/1460 + day/36524 - day/146096) / 365
	ordinal := day - (365*year + year/4 - year/100)
	month := (5*ordinal + 2) / 153
	dom := ordinal - (153*month+2)/5 + 1
	year += era * 400
	if month += 3; month > 12 {
		month, year = month-12, year+1
	}
	switch {
	case year > 9999:
		dst = append(dst, '+')
	case year < 0:
		dst, year = append(dst, '-'), -year
	}
	return fmt.Appendf(dst, "%04d-%02d-%02d", year, month, dom)
}

// appendClock writes a time of day, with as many digits of a fraction as are
// needed.
func appendClock(dst []byte, nanos int64) []byte {
	seconds := nanos / 1e9
	dst = fmt.Appendf(dst, "%02d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
	if fraction := nanos % 1e9; fraction > 0 {
		dst = fmt.Appendf(dst, ".%09d", fraction)
		for dst[len(dst)-1] == '0' {
			dst = dst[:len(dst)-1]
		}
	}
	return dst
}
