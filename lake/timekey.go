package lake

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"tributary/internal/column"
	"tributary/internal/fault"
)

// TimePartition makes partition paths of a moment in time, as Hudi's
// TimestampBasedKeyGenerator does. The column itself keeps its value.
type TimePartition struct {
	// Type tells what the column holds: UNIX_TIMESTAMP (seconds),
	// EPOCHMILLISECONDS, EPOCHMICROSECONDS, SCALAR (a number of Unit since 1970),
	// DATE_STRING, or MIXED (a number of seconds or a date).
	Type string
	// Unit is Java's TimeUnit name for SCALAR: SECONDS (default), MILLISECONDS,
	// MICROSECONDS, NANOSECONDS, MINUTES, HOURS or DAYS.
	Unit string
	// InputFormats are the patterns that dates are tried with, Output is that of
	// the path. Letters as in Java: yyyy, yy, MM, dd, HH, mm, ss, SSS, and Z for a
	// zone in input; text between quotes stands for itself.
	InputFormats []string
	Output       string
	// Zone is the time zone of the path and of dates that name none; default UTC.
	Zone string
}

const (
	propTime    = "hoodie.keygen.timebased."
	propTimeOld = "hoodie.deltastreamer.keygen.timebased."
	timeType    = "timestamp.type"
	timeUnit    = "timestamp.scalar.time.unit"
	timeInput   = "input.dateformat"
	timeOutput  = "output.dateformat"
	timeZone    = "timezone"
	timeZoneOut = "output.timezone"
)

// put records the settings as Hudi does.
func (p *TimePartition) put(to properties) {
	set := func(key, value string) {
		if value != "" {
			to[propTime+key] = value
		}
	}
	set(timeType, p.Type)
	set(timeUnit, p.Unit)
	set(timeInput, strings.Join(p.InputFormats, ","))
	set(timeOutput, p.Output)
	set(timeZone, or(p.Zone, "UTC"))
}

// timePartition reads the settings of a table.
func timePartition(from properties) *TimePartition {
	get := func(key string) string { return or(from[propTime+key], from[propTimeOld+key]) }
	p := &TimePartition{Type: get(timeType), Unit: get(timeUnit), Output: get(timeOutput), Zone: or(get(timeZoneOut), get(timeZone))}
	for f := range strings.SplitSeq(get(timeInput), ",") {
		if f != "" {
			p.InputFormats = append(p.InputFormats, f)
		}
	}
	return p
}

// Check reports settings that make no sense.
func (p *TimePartition) Check() error {
	_, err := p.compile()
	return err
}

// timeKey is a TimePartition made ready.
type timeKey struct {
	unit   time.Duration // of numbers
	inputs []timePattern
	output timePattern
	zone   *time.Location
}

var timeUnits = map[string]time.Duration{
	"": time.Second, "SECONDS": time.Second, "MILLISECONDS": time.Millisecond, "MICROSECONDS": time.Microsecond,
	"NANOSECONDS": time.Nanosecond, "MINUTES": time.Minute, "HOURS": time.Hour, "DAYS": 24 * time.Hour,
}

func (p *TimePartition) compile() (*timeKey, error) {
	refuse := func(format string, args ...any) (*timeKey, error) {
		return nil, fault.Humanf("correct the hoodie.keygen.timebased settings", format, args...)
	}
	k := &timeKey{zone: time.UTC}
	switch strings.ToUpper(p.Type) {
	case "UNIX_TIMESTAMP", "DATE_STRING", "MIXED":
		k.unit = time.Second
	case "EPOCHMILLISECONDS":
		k.unit = time.Millisecond
	case "EPOCHMICROSECONDS":
		k.unit = time.Microsecond
	case "SCALAR":
		if k.unit = timeUnits[strings.ToUpper(p.Unit)]; k.unit == 0 {
			return refuse("time unit %q is none", p.Unit)
		}
	case "":
		return nil, fault.Humanf("add "+propTime+timeType+", which Spark's jobs bring along and do not record, to the table's hoodie.properties",
			"it is not said what the partition field holds: UNIX_TIMESTAMP, DATE_STRING…")
	default:
		return refuse("timestamp type %q is none", p.Type)
	}
	if p.Zone != "" && p.Zone != "UTC" && p.Zone != "GMT" {
		zone, err := time.LoadLocation(p.Zone)
		if err != nil {
			return refuse("time zone %q is not known here", p.Zone)
		}
		k.zone = zone
	}
	var ok bool
	if k.output, ok = parseTimePattern(p.Output); !ok || len(k.output) == 0 {
		return refuse("output date format %q is not understood", p.Output)
	}
	for _, f := range p.InputFormats {
		in, ok := parseTimePattern(f)
		if !ok {
			return refuse("input date format %q is not understood", f)
		}
		k.inputs = append(k.inputs, in)
	}
	return k, nil
}

// append appends the path of a value. Null counts as the first millisecond of
// 1970, as in Hudi.
func (k *timeKey) append(dst []byte, f *keyField, c *column.Column, r int) ([]byte, error) {
	var at time.Time
	switch {
	case c.IsNull(r):
		at = time.UnixMilli(1)
	case f.Type.Kind == String:
		var ok bool
		if at, ok = k.parse(string(c.Value(r))); !ok {
			return dst, fault.Humanf("correct hoodie.keygen.timebased.input.dateformat",
				"partition field %s: a value is no date of the input formats", f.Name)
		}
	case c.Kind == column.Int && f.Type.Kind != Date && f.Type.Kind != Boolean:
		at = k.moment(c.Ints[r])
	case c.Kind == column.Float:
		at = k.moment(int64(math.Trunc(c.Floats[r])))
	default:
		return dst, fault.Humanf("partition by a number or a text", "partition field %s: %s is no moment in time", f.Name, f.Type)
	}
	return k.output.append(dst, at.In(k.zone)), nil
}

// moment is a number of units since 1970, to the millisecond.
func (k *timeKey) moment(v int64) time.Time {
	if k.unit >= time.Second {
		return time.Unix(v*int64(k.unit/time.Second), 0)
	}
	per := int64(time.Second / k.unit)
	seconds, rest := v/per, v%per
	return time.Unix(seconds, rest*int64(k.unit))
}

func (k *timeKey) parse(s string) (time.Time, bool) {
	for _, in := range k.inputs {
		if t, ok := in.parse(s, k.zone); ok {
			return t, true
		}
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && len(k.inputs) == 0 {
		return k.moment(n), true
	}
	return time.Time{}, false
}

// timePattern is a date format of Java's, taken apart.
type timePattern []timePart

type timePart struct {
	letter byte // 0 for text
	width  int
	text   string
}

func parseTimePattern(s string) (timePattern, bool) {
	var out timePattern
	for len(s) > 0 {
		c := s[0]
		switch {
		case c == '\'':
			end := strings.IndexByte(s[1:], '\'')
			if end < 0 {
				return nil, false
			}
			text := s[1 : 1+end]
			if text == "" {
				text = "'"
			}
			out = append(out, timePart{text: text})
			s = s[end+2:]
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			n := len(s) - len(strings.TrimLeft(s, string(c)))
			if !strings.ContainsRune("yMdHmsSZ", rune(c)) || n > 4 {
				return nil, false
			}
			out = append(out, timePart{letter: c, width: n})
			s = s[n:]
		default:
			out = append(out, timePart{text: string(c)})
			s = s[1:]
		}
	}
	return out, true
}

func (p timePattern) append(dst []byte, t time.Time) []byte {
	for _, x := range p {
		v := 0
		switch x.letter {
		case 0:
			dst = append(dst, x.text...)
			continue
		case 'Z':
			dst = t.AppendFormat(dst, "-0700")
			continue
		case 'y':
			if v = t.Year(); x.width == 2 {
				v %= 100
			}
		case 'M':
			v = int(t.Month())
		case 'd':
			v = t.Day()
		case 'H':
			v = t.Hour()
		case 'm':
			v = t.Minute()
		case 's':
			v = t.Second()
		case 'S':
			v = t.Nanosecond() / int(time.Millisecond)
		}
		dst = fmt.Appendf(dst, "%0*d", x.width, v)
	}
	return dst
}

func (p timePattern) parse(s string, zone *time.Location) (time.Time, bool) {
	f := map[byte]int{'y': 1970, 'M': 1, 'd': 1}
	for _, x := range p {
		switch x.letter {
		case 0:
			rest, ok := strings.CutPrefix(s, x.text)
			if !ok {
				return time.Time{}, false
			}
			s = rest
		case 'Z':
			for _, layout := range []string{"-0700", "-07:00"} {
				if len(s) == len(layout) {
					if t, err := time.Parse(layout, s); err == nil {
						zone, s = t.Location(), ""
						break
					}
				}
			}
			if rest, ok := strings.CutPrefix(s, "Z"); ok {
				zone, s = time.UTC, rest
			}
		default:
			n := 0
			for n < len(s) && n < max(x.width, 2) && s[n] >= '0' && s[n] <= '9' {
				n++
			}
			if n == 0 {
				return time.Time{}, false
			}
			v, err := strconv.Atoi(s[:n])
			if err != nil {
				return time.Time{}, false
			}
			f[x.letter], s = v, s[n:]
		}
	}
	if s != "" || f['M'] < 1 || f['M'] > 12 || f['d'] < 1 || f['d'] > 31 {
		return time.Time{}, false
	}
	return time.Date(f['y'], time.Month(f['M']), f['d'], f['H'], f['m'], f['s'], f['S']*int(time.Millisecond), zone), true
}
