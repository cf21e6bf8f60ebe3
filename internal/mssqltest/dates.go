package mssqltest

import (
	"math/big"
	"strings"
	"time"

	"tributary/internal/mssqltest/tds"
	"tributary/internal/mssqltest/tsql"
)

func toDateTimeOffset(keepInstant bool) function {
	return func(c *compiler, x *tsql.Call, a []value) (value, error) {
		if len(a) != 2 {
			return value{}, argumentCount(x, 2)
		}
		scale := 7
		switch a[0].typ.Kind {
		case tds.DateTime2, tds.DateTimeOffset:
			scale = a[0].typ.Scale
		case tds.DateTime:
			scale = 3
		case tds.SmallDateTime, tds.Date:
			scale = 0
		}
		t := tds.Type{Kind: tds.DateTimeOffset, Scale: scale}
		kind := dt2Type
		if keepInstant {
			kind = dtoType
		}
		zone := nvarchar(10)
		if a[1].typ.Integer() {
			zone = intType
		}
		return simple(t, 2, []tds.Type{kind, zone}, func(_ *session, v []any) (any, error) {
			at := v[0].(time.Time)
			off, err := offset(v[1])
			if err != nil {
				return nil, err
			}
			z := time.FixedZone("", off*60)
			if keepInstant {
				return at.In(z), nil
			}
			return time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), z), nil
		})(c, x, a)
	}
}

// offset is a zone in minutes: a number, or a text like +11:00.
func offset(v any) (int, error) {
	bad := sqlError(9812, "The timezone provided to builtin function todatetimeoffset is invalid.")
	n := 0
	switch z := v.(type) {
	case int64:
		n = int(z)
	case string:
		t, err := time.Parse("-07:00", strings.TrimSpace(z))
		if err != nil {
			return 0, bad
		}
		_, s := t.Zone()
		n = s / 60
	}
	if n < -14*60 || n > 14*60 {
		return 0, bad
	}
	return n, nil
}

var dateParts = map[string]string{
	"year": "year", "yy": "year", "yyyy": "year", "quarter": "quarter", "qq": "quarter", "month": "month", "mm": "month", "m": "month",
	"dayofyear": "dayofyear", "dy": "dayofyear", "day": "day", "dd": "day", "d": "day", "hour": "hour", "hh": "hour", "minute": "minute", "mi": "minute",
	"second": "second", "ss": "second", "s": "second", "millisecond": "millisecond", "ms": "millisecond", "microsecond": "microsecond", "mcs": "microsecond",
	"nanosecond": "nanosecond", "ns": "nanosecond", "tzoffset": "tzoffset", "tz": "tzoffset", "week": "week", "wk": "week",
}

func (c *compiler) dateFunction(x *tsql.Call, name string) (value, error) {
	want := 3
	if name == "datepart" || name == "datename" {
		want = 2
	}
	if len(x.Args) != want {
		return value{}, argumentCount(x, want)
	}
	col, ok := x.Args[0].(*tsql.Col)
	unit := ""
	if ok && len(col.Name) == 1 {
		unit = dateParts[strings.ToLower(col.Name[0])]
	}
	if unit == "" || unit == "week" || name == "datename" {
		return value{}, sqlError(155, "'%s' is not a recognized %s option.", kindName(x.Args[0]), name)
	}
	args, err := c.args(&tsql.Call{Args: x.Args[1:]})
	if err != nil {
		return value{}, err
	}
	at := dtoType
	rest := &tsql.Call{Name: x.Name}
	switch name {
	case "datepart":
		if args[0].typ.Kind == tds.DateTimeOffset {
			at = args[0].typ
		}
		return simple(intType, 1, []tds.Type{at}, func(_ *session, v []any) (any, error) { return datePart(unit, v[0].(time.Time)) })(c, rest, args)
	case "dateadd":
		t := args[1].typ
		if !t.Temporal() {
			t = dtType
		}
		return simple(t, 2, []tds.Type{intType, t}, func(_ *session, v []any) (any, error) { return dateAdd(unit, v[0].(int64), v[1], t) })(c, rest, args)
	}
	ret := intType
	if name == "datediff_big" {
		ret = bigType
	}
	return simple(ret, 2, []tds.Type{at, at}, func(_ *session, v []any) (any, error) {
		n, err := dateDiff(unit, v[0].(time.Time), v[1].(time.Time))
		if err == nil && (n < intRange[ret.Kind][0] || n > intRange[ret.Kind][1]) {
			return nil, sqlError(535, "The datediff function resulted in an overflow. The number of dateparts separating two date/time instances is too large. Try to use datediff with a less precise datepart.")
		}
		return n, err
	})(c, rest, args)
}

func datePart(unit string, t time.Time) (any, error) {
	switch unit {
	case "year":
		return int64(t.Year()), nil
	case "quarter":
		return int64(t.Month()-1)/3 + 1, nil
	case "month":
		return int64(t.Month()), nil
	case "dayofyear":
		return int64(t.YearDay()), nil
	case "day":
		return int64(t.Day()), nil
	case "hour":
		return int64(t.Hour()), nil
	case "minute":
		return int64(t.Minute()), nil
	case "second":
		return int64(t.Second()), nil
	case "millisecond":
		return int64(t.Nanosecond() / 1e6), nil
	case "microsecond":
		return int64(t.Nanosecond() / 1e3), nil
	case "nanosecond":
		return int64(t.Nanosecond()), nil
	case "tzoffset":
		_, z := t.Zone()
		return int64(z / 60), nil
	}
	return nil, notInModel("the date part %s", unit)
}

var spans = map[string]time.Duration{
	"day": 24 * time.Hour, "dayofyear": 24 * time.Hour, "hour": time.Hour, "minute": time.Minute, "second": time.Second,
	"millisecond": time.Millisecond, "microsecond": time.Microsecond, "nanosecond": time.Nanosecond,
}

func dateAdd(unit string, n int64, v any, t tds.Type) (any, error) {
	at, ok := v.(time.Time)
	if !ok {
		return nil, notInModel("DATEADD to a time")
	}
	switch unit {
	case "year", "quarter", "month":
		months := n * map[string]int64{"year": 12, "quarter": 3, "month": 1}[unit]
		// The last day of the month, where there is no such day.
		y, m, d := at.Date()
		first := time.Date(y, m+time.Month(months), 1, at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), at.Location())
		last := first.AddDate(0, 1, -1).Day()
		return fitTime(first.AddDate(0, 0, min(d, last)-1), t, t)
	case "day", "dayofyear":
		return fitTime(at.AddDate(0, 0, int(n)), t, t)
	}
	span, ok := spans[unit]
	if !ok {
		return nil, notInModel("the date part %s", unit)
	}
	return fitTime(at.Add(time.Duration(n)*span), t, t)
}

// dateDiff counts the boundaries of the unit between two times.
func dateDiff(unit string, a, b time.Time) (int64, error) {
	switch unit {
	case "year":
		return int64(b.Year() - a.Year()), nil
	case "month":
		return int64(b.Year()-a.Year())*12 + int64(b.Month()) - int64(a.Month()), nil
	}
	span, ok := spans[unit]
	if !ok {
		return 0, notInModel("the date part %s", unit)
	}
	count := func(t time.Time) *big.Int {
		n := new(big.Int).Mul(big.NewInt(t.Unix()), big.NewInt(1e9))
		n.Add(n, big.NewInt(int64(t.Nanosecond())))
		return n.Div(n, big.NewInt(int64(span)))
	}
	d := new(big.Int).Sub(count(b), count(a))
	if !d.IsInt64() {
		return 0, sqlError(535, "The datediff function resulted in an overflow.")
	}
	return d.Int64(), nil
}
