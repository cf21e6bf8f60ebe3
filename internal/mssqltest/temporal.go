package mssqltest

import (
	"strings"
	"time"

	"tributary/internal/mssqltest/tds"
)

func timeText(t time.Time, from tds.Type, style int) (string, error) {
	fraction := ""
	if from.Scale > 0 {
		fraction = "." + strings.Repeat("0", from.Scale)
	}
	if from.Kind == tds.DateTime {
		fraction = ".000"
	}
	switch {
	case from.Kind == tds.Date && (style == 0 || style == 23 || style == 120 || style == 121 || style == 126):
		return t.Format("2006-01-02"), nil
	case from.Kind == tds.DateTimeOffset && (style == 0 || style == 121 || style == 127 || style == 126 || style == 120):
		if style == 126 || style == 127 {
			return t.Format("2006-01-02T15:04:05" + fraction + "Z07:00"), nil
		}
		return t.Format("2006-01-02 15:04:05" + fraction + " -07:00"), nil
	case style == 120:
		return t.Format("2006-01-02 15:04:05"), nil
	case style == 121 || style == 0 && from.Kind == tds.DateTime2:
		return t.Format("2006-01-02 15:04:05" + fraction), nil
	case style == 126 || style == 127:
		return t.Format("2006-01-02T15:04:05" + fraction), nil
	case style == 112:
		return t.Format("20060102"), nil
	case style == 23:
		return t.Format("2006-01-02"), nil
	case style == 0:
		return t.Format("Jan _2 2006  3:04PM"), nil
	}
	return "", notInModel("style %d of a %s", style, from.Kind)
}

var dateLayouts = []string{
	"2006-01-02 15:04:05.999999999 -07:00", "2006-01-02 15:04:05.999999999-07:00", "2006-01-02T15:04:05.999999999-07:00",
	"2006-01-02T15:04:05.999999999Z", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04", "2006-01-02 15:04",
	"2006-01-02", "20060102", "20060102 15:04:05.999999999", "2006-01-02 15:04:05.999999999 +07:00",
}

// dateBounds are the first and last days of the types.
var dateBounds = map[tds.Kind][2]time.Time{
	tds.DateTime:      {time.Date(1753, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 998e6, time.UTC)},
	tds.SmallDateTime: {time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2079, 6, 6, 23, 59, 59, 998e6, time.UTC)},
}

func toTemporal(v any, from, to tds.Type) (any, error) {
	var t time.Time
	switch x := v.(type) {
	case time.Time:
		t = x
	case tds.Clock:
		if to.Kind == tds.Time {
			return roundClock(x, to.Scale), nil
		}
		// A time alone is of the first of January 1900.
		t = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(x) * 100)
	case string:
		s := strings.TrimSpace(x)
		if to.Kind == tds.Time {
			for _, l := range []string{"15:04:05.999999999", "15:04"} {
				if c, err := time.Parse(l, s); err == nil {
					return roundClock(tds.ClockOf(c), to.Scale), nil
				}
			}
		}
		var err error
		for _, l := range dateLayouts {
			if t, err = time.Parse(l, s); err == nil {
				break
			}
		}
		if err != nil {
			return nil, sqlError(241, "Conversion failed when converting date and/or time from character string.")
		}
	default:
		return nil, noConversion(from, to)
	}
	return fitTime(t, from, to)
}

func fitTime(t time.Time, from, to tds.Type) (any, error) {
	if to.Kind == tds.DateTimeOffset {
		r := roundTime(t, to.Scale)
		if y := r.UTC().Year(); y < 1 || y > 9999 {
			return nil, sqlError(9813, "The date in UTC is outside the years 1 to 9999 of a datetimeoffset.")
		}
		_, zone := t.Zone()
		return r.In(time.FixedZone("", zone)), nil
	}
	// The clock of the place remains, its zone goes.
	h, m, s := t.Clock()
	y, mo, d := t.Date()
	t = time.Date(y, mo, d, h, m, s, t.Nanosecond(), time.UTC)
	if b, ok := dateBounds[to.Kind]; ok && (t.Before(b[0]) || t.After(b[1])) {
		return nil, sqlError(242, "The conversion of a %s data type to a %s data type resulted in an out-of-range value.", from.Kind, to.Kind)
	}
	switch to.Kind {
	case tds.Date:
		return time.Date(y, mo, d, 0, 0, 0, 0, time.UTC), nil
	case tds.Time:
		return roundClock(tds.ClockOf(t), to.Scale), nil
	case tds.DateTime2:
		return roundTime(t, to.Scale), nil
	case tds.SmallDateTime:
		// From 29.999 s on it rounds up.
		return t.Add(1e6).Add(30*time.Second - 1e6).Truncate(time.Minute), nil
	}
	day := time.Date(y, mo, d, 0, 0, 0, 0, time.UTC)
	ticks := (int64(tds.ClockOf(t))*300 + 5e6) / 1e7
	return day.Add(tds.DateTimeTicks(ticks)), nil
}

var units = [8]int64{1e7, 1e6, 1e5, 1e4, 1e3, 1e2, 10, 1}

func roundClock(c tds.Clock, scale int) tds.Clock {
	u := units[scale]
	r := (int64(c) + u/2) / u * u
	if r >= 864e9 {
		r = 864e9 - u // a time does not round into the next day
	}
	return tds.Clock(r)
}

func roundTime(t time.Time, scale int) time.Time {
	// Round works on the absolute time since year 1, which is what is meant.
	return t.Round(time.Duration(units[scale]) * 100)
}
