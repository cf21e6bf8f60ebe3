package envelope

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// timestampConverter changes one field between text, Unix time and Connect's
// Date, Time and Timestamp.
type timestampConverter struct {
	key    bool
	field  string
	target string
	layout string // of text, as package time has it
	unit   int64  // ns of a tick of Unix time
}

func newTimestampConverter(o *StepOptions, key bool) Step {
	x := timestampConverter{key: key, field: o.required("field"), target: o.required("target.type")}
	switch x.target {
	case "string", "unix", "Date", "Time", "Timestamp", "":
	default:
		o.fault("target.type", "%q is none of string, unix, Date, Time, Timestamp", x.target)
	}
	if format := o.Text("format", ""); format != "" {
		var err error
		if x.layout, err = javaLayout(format); err != nil {
			o.fault("format", "%v", err)
		}
	} else if x.target == "string" {
		o.fault("format", "is needed for target.type string")
	}
	precision := o.Text("unix.precision", "milliseconds")
	x.unit = map[string]int64{"seconds": 1e9, "milliseconds": 1e6, "microseconds": 1e3, "nanoseconds": 1}[precision]
	if x.unit == 0 {
		o.fault("unix.precision", "%q is none of seconds, milliseconds, microseconds, nanoseconds", precision)
	}
	return x
}

// javaLayout writes a pattern of Java's SimpleDateFormat as package time has
// it.
func javaLayout(format string) (string, error) {
	known := map[string]string{
		"yyyy": "2006", "yy": "06", "MM": "01", "M": "1", "MMM": "Jan", "MMMM": "January", "dd": "02", "d": "2", "HH": "15", "hh": "03", "h": "3",
		"mm": "04", "m": "4", "ss": "05", "s": "5", "SSS": "000", "SSSSSS": "000000", "a": "PM", "EEE": "Mon", "EEEE": "Monday",
		"X": "Z07", "XX": "Z0700", "XXX": "Z07:00", "Z": "-0700", "z": "MST",
	}
	var b strings.Builder
	for i := 0; i < len(format); {
		c := format[i]
		switch {
		case c == '\'':
			end := strings.IndexByte(format[i+1:], '\'')
			if end < 0 {
				return "", fmt.Errorf("%q has a quote that does not end", format)
			}
			if end == 0 {
				b.WriteByte('\'')
			}
			b.WriteString(format[i+1 : i+1+end])
			i += end + 2
		case alpha(rune(c)):
			n := 1
			for i+n < len(format) && format[i+n] == c {
				n++
			}
			layout, ok := known[format[i:i+n]]
			if !ok {
				return "", fmt.Errorf("%q is not known in a format", format[i:i+n])
			}
			if c == 'S' && (i == 0 || format[i-1] != '.' && format[i-1] != ',') {
				return "", fmt.Errorf("%q must stand after a point or a comma", format[i:i+n])
			}
			b.WriteString(layout)
			i += n
		default:
			b.WriteByte(c)
			i++
		}
	}
	return b.String(), nil
}

func (x timestampConverter) compile(s *shape) (func(*record) (bool, error), error) {
	columns, err := s.fields(x.key)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(*columns, func(c Column) bool { return c.Name == x.field })
	if at < 0 {
		return nil, nil // a table without the field has nothing to convert, as in Connect
	}
	from := (*columns)[at]
	read, err := x.reader(&from)
	if err != nil {
		return nil, err
	}
	to := from
	to.Default, to.schema = nil, ""
	to.Type = map[string]Type{
		"string": TypeOf(String), "unix": TypeOf(Long), "Date": TypeConnectDate(), "Time": TypeConnectTime(), "Timestamp": TypeConnectTimestamp(),
	}[x.target]
	out := append([]Column(nil), *columns...)
	out[at] = to
	*columns = out
	return func(r *record) (bool, error) {
		if r.absent(x.key) {
			return true, nil
		}
		cells := *r.cells(x.key)
		v, _, null := value(&from, cells[at])
		if null {
			cells[at] = to.AppendNull(nil)
			return true, nil
		}
		t, err := read(v)
		if err != nil {
			return true, fmt.Errorf("convert field %s: %w", x.field, err)
		}
		cells[at] = x.write(to.AppendPresent(nil), t)
		return true, nil
	}, nil
}

// reader returns how a value of the field is read: by the type that Connect
// knows, else as text of the format or as Unix time. Debezium's own types with
// a unit are read by that.
func (x timestampConverter) reader(c *Column) (func(v []byte) (time.Time, error), error) {
	units := map[string]int64{
		"org.apache.kafka.connect.data.Timestamp": 1e6, "org.apache.kafka.connect.data.Time": 1e6, "org.apache.kafka.connect.data.Date": 24 * 3600e9,
		"io.debezium.time.Date": 24 * 3600e9, "io.debezium.time.Timestamp": 1e6, "io.debezium.time.MicroTimestamp": 1e3, "io.debezium.time.NanoTimestamp": 1,
	}
	switch c.Type.Kind {
	case String:
		layout := x.layout
		if c.Type.Name == "io.debezium.time.ZonedTimestamp" {
			layout = time.RFC3339Nano
		}
		if layout == "" {
			return nil, fmt.Errorf("field %s is text: TimestampConverter needs its format", c.Name)
		}
		return func(v []byte) (time.Time, error) {
			_, text := decodeLong(v)
			t, err := time.Parse(layout, string(text))
			if err != nil { // the error of Parse has the value in it
				return t, fmt.Errorf("the text does not have the format %s", layout)
			}
			return t.UTC(), nil
		}, nil
	case Int, Long:
		unit := x.unit
		if known, ok := units[c.Type.Name]; ok {
			unit = known
		}
		return func(v []byte) (time.Time, error) {
			n, _ := decodeLong(v)
			perSecond := max(int64(1e9)/unit, 1)
			if unit > 1e9 {
				return time.Unix(n*(unit/1e9), 0).UTC(), nil
			}
			return time.Unix(floorDiv(n, perSecond), (n-floorDiv(n, perSecond)*perSecond)*unit).UTC(), nil
		}, nil
	}
	return nil, fmt.Errorf("field %s of type %s is no time", c.Name, c.Type.Kind)
}

func (x timestampConverter) write(dst []byte, t time.Time) []byte {
	switch x.target {
	case "string":
		return AppendBytes(dst, t.AppendFormat(nil, x.layout))
	case "Date":
		return AppendLong(dst, floorDiv(t.Unix(), 24*3600))
	case "Time":
		return AppendLong(dst, t.UnixMilli()-floorDiv(t.Unix(), 24*3600)*24*3600e3)
	case "Timestamp":
		return AppendLong(dst, t.UnixMilli())
	}
	if x.unit >= 1e9 {
		return AppendLong(dst, t.Unix())
	}
	perSecond := 1e9 / x.unit
	return AppendLong(dst, t.Unix()*perSecond+int64(t.Nanosecond())/x.unit)
}
