package envelope

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// timezoneConverter takes times to another zone: Debezium's TimezoneConverter.
// Text with an offset gets that of the zone; times without a zone are taken for
// local ones of it and become UTC.
type timezoneConverter struct {
	zone    *time.Location
	rules   []zoneRule
	exclude bool // the rules are those of exclude.list
}

// zoneRule is an entry of include.list or exclude.list.
type zoneRule struct {
	of    string // "source", "topic", "" = either
	match string
	field string // "" = all
}

var zoneOffset = regexp.MustCompile(`^([+-])(\d{2}):(\d{2})(?::(\d{2}))?$`)

func newTimezoneConverter(o *StepOptions) Step {
	var x timezoneConverter
	name := o.required("converted.timezone")
	var err error
	if x.zone, err = parseZone(name); err != nil && name != "" {
		o.fault("converted.timezone", "%q is neither a time zone nor an offset such as +08:00", name)
	}
	include, exclude := o.List("include.list"), o.List("exclude.list")
	list, option := include, "include.list"
	if len(exclude) > 0 {
		list, option, x.exclude = exclude, "exclude.list", true
	}
	if len(include) > 0 && len(exclude) > 0 {
		o.fault("exclude.list", "contradicts include.list: give one of them")
	}
	of := ""
	for _, item := range list {
		parts := strings.Split(item, ":")
		var r zoneRule
		if first := strings.ToLower(parts[0]); len(parts) > 1 && (first == "source" || first == "topic") {
			of, parts = first, parts[1:] // it holds for those that follow
		}
		r.of, r.match = of, parts[0]
		if len(parts) > 1 {
			r.field = parts[1]
		}
		if len(parts) > 2 {
			o.fault(option, "%q is not source:TABLE:FIELD, topic:TOPIC:FIELD or NAME:FIELD", item)
		}
		if strings.HasPrefix(r.field, "source.") {
			o.fault(option, "%q: times of the source block are in UTC always", item)
		}
		x.rules = append(x.rules, r)
	}
	return x
}

// parseZone reads the name of a zone or an offset.
func parseZone(name string) (*time.Location, error) {
	m := zoneOffset.FindStringSubmatch(name)
	if m == nil {
		return time.LoadLocation(name)
	}
	d, err := time.ParseDuration(m[2] + "h" + m[3] + "m" + "0" + m[4] + "s")
	if m[1] == "-" {
		d = -d
	}
	return time.FixedZone(name, int(d.Seconds())), err
}

// wants reports which fields of a side are converted, given the table and the
// topic.
func (x timezoneConverter) wants(table, topic, side string) func(field string) bool {
	var fields []string
	matched, all := false, false
	for _, of := range []struct{ of, name string }{{"topic", topic}, {"source", table}, {"", topic}, {"", table}} {
		for _, r := range x.rules {
			if r.of != of.of || r.match != of.name {
				continue
			}
			matched = true
			name, sided := strings.CutPrefix(r.field, side+".")
			switch {
			case r.field == "":
				all = true
			case sided || !strings.Contains(r.field, "."):
				fields = append(fields, name)
			}
		}
		if matched {
			break
		}
	}
	listed := func(f string) bool { return all && len(fields) == 0 || slices.Contains(fields, f) }
	switch {
	case len(x.rules) == 0:
		return func(string) bool { return true }
	case x.exclude:
		return func(f string) bool { return !matched || !listed(f) }
	}
	return func(f string) bool { return matched && listed(f) }
}

func (x timezoneConverter) compile(s *shape) (func(*record) (bool, error), error) {
	if s.flat {
		return nil, fmt.Errorf("TimezoneConverter stands after the unwrapping: it needs the envelope")
	}
	columns := s.table.out.Columns
	names, err := s.table.opts.Naming.named(s.table.Table.ID, columns)
	if err != nil {
		return nil, err
	}
	sides := make(map[string][]func(v []byte) ([]byte, error))
	some := false
	for _, side := range []string{"before", "after"} {
		wants := x.wants(s.table.Table.ID.Name, s.topic, side)
		sides[side] = make([]func([]byte) ([]byte, error), len(columns))
		for i := range columns {
			if wants(names[i].Name) {
				sides[side][i] = x.converter(&columns[i].Type)
				some = some || sides[side][i] != nil
			}
		}
	}
	if !some {
		return nil, nil //nolint:nilnil // nothing to convert
	}
	before, after := sides["before"], sides["after"]
	return func(r *record) (bool, error) {
		c := *r.c
		var err error
		if c.Before, err = x.row(r, columns, before, c.Before); err != nil {
			return true, err
		}
		if c.After, err = x.row(r, columns, after, c.After); err != nil {
			return true, err
		}
		r.c = &c
		return true, nil
	}, nil
}

func (x timezoneConverter) row(r *record, columns []Column, convert []func([]byte) ([]byte, error), row Row) (Row, error) {
	if row == nil {
		return nil, nil
	}
	var out []byte
	src := []byte(row)
	for i := range columns {
		v, rest, null := value(&columns[i], src)
		if convert[i] == nil || null {
			out = append(out, src[:len(src)-len(rest)]...)
		} else {
			v, err := convert[i](v)
			if err != nil {
				return nil, fmt.Errorf("convert field %s: %w", columns[i].Name, err)
			}
			out = append(columns[i].AppendPresent(out), v...)
		}
		src = rest
	}
	return r.keep(func(dst []byte) []byte { return append(dst, out...) }), nil
}

// converter returns what converts a value of the type, nil if it has no time of
// day and date.
func (x timezoneConverter) converter(t *Type) func(v []byte) ([]byte, error) {
	switch t.Name {
	case "io.debezium.time.ZonedTimestamp":
		return x.text(time.RFC3339Nano, isoTimestamp)
	case "io.debezium.time.ZonedTime":
		return x.text("15:04:05.999999999Z07:00", isoTime)
	}
	unit := map[string]int64{
		"io.debezium.time.Timestamp": 1e3, "org.apache.kafka.connect.data.Timestamp": 1e3,
		"io.debezium.time.MicroTimestamp": 1e6, "io.debezium.time.NanoTimestamp": 1e9,
	}[t.Name]
	if unit == 0 {
		return nil
	}
	return func(v []byte) ([]byte, error) {
		n, _ := decodeLong(v)
		seconds := floorDiv(n, unit)
		local := time.Unix(seconds, 0).UTC()
		at := time.Date(local.Year(), local.Month(), local.Day(), local.Hour(), local.Minute(), local.Second(), 0, x.zone)
		return AppendLong(nil, at.Unix()*unit+n-seconds*unit), nil
	}
}

// text converts a text with an offset.
func (x timezoneConverter) text(layout string, write func(time.Time) string) func(v []byte) ([]byte, error) {
	return func(v []byte) ([]byte, error) {
		_, text := decodeLong(v)
		t, err := time.Parse(layout, string(text))
		if err != nil { // such as infinity, or a year beyond 9999: it stays as it is
			return v, nil //nolint:nilerr // said
		}
		return AppendString(nil, write(t.In(x.zone))), nil
	}
}

// isoTimestamp writes a time as Java's ISO_OFFSET_DATE_TIME: seconds always, a
// fraction of as many digits as are needed.
func isoTimestamp(t time.Time) string { return t.Format("2006-01-02T15:04:05.999999999Z07:00") }

func isoTime(t time.Time) string { return t.Format("15:04:05.999999999Z07:00") }
