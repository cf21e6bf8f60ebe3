package postgres

import (
	"fmt"
	"reflect"
	"strings"

	"tributary/capture/capturetest"
	"tributary/envelope"
)

// allow says whether a difference is one of the intended kinds that
// differences.txt lists for the variant. The kinds are told by the column's
// type and the two values, so that they hold for any table.
func (g *golden) allow(d capturetest.Difference) bool {
	for what, is := range kinds {
		if len(g.source.opts.Defects) > 0 && kept[what] && !strings.Contains(fmt.Sprint(d.Want), "[Ljava.lang.") {
			continue
		}
		if is(d) && g.diffs.Allowed(g.variant.Name, what) {
			return true
		}
	}
	if g.generated[d.Field] && g.diffs.Allowed(g.variant.Name, "generated columns") {
		return true
	}
	return len(g.source.opts.Defects) == 0 && g.unavailable(d) && g.diffs.Allowed(g.variant.Name, "unavailable values")
}

// kept are the kinds of differences that there are not with debezium.defects.
var kept = map[string]bool{
	"NULL with a default": true, "dimensions": true, "quoted defaults": true, "time arrays": true, "enum arrays": true, "columns that are left out": true,
	"unknown fields": true,
}

var kinds = map[string]func(d capturetest.Difference) bool{
	"old dates":      oldDate,
	"infinite dates": infiniteDate,
	"exact money":    exactMoney,
	"name columns": func(d capturetest.Difference) bool {
		return !d.Schema && native(d) == "name" && (d.Want == nil || d.Want == "")
	},
	"NULL with a default": nullWithDefault,
	"dimensions":          dimensions,
	"numeric scale":       numericScale,
	"quoted defaults":     quotedDefault,
	"expression defaults": expressionDefault,
	"time arrays":         timeArray,
	"bit arrays": func(d capturetest.Difference) bool {
		return strings.HasPrefix(native(d), "bit") && strings.HasSuffix(native(d), "[]")
	},
	"vectors of integers": func(d capturetest.Difference) bool { return native(d) == "int2vector" || native(d) == "oidvector" },
	"no bit": func(d capturetest.Difference) bool {
		return !d.Schema && native(d) == "bit varying(1)" && d.Want == nil
	},
	"arrays with NaN": func(d capturetest.Difference) bool {
		got := fmt.Sprint(d.Got)
		return !d.Schema && d.Want == nil && strings.HasPrefix(native(d), "numeric") && (strings.Contains(got, "NaN") || strings.Contains(got, "NAN") || strings.Contains(got, "INFINITY") || strings.Contains(got, "Inf"))
	},
	"labels of enumerations": func(d capturetest.Difference) bool {
		return d.Schema && d.Column != nil && d.Column.Type.Name == "io.debezium.data.Enum"
	},
	"unknown fields": func(d capturetest.Difference) bool { return d.Field == "header "+envelope.HeaderUnknown },
	"enum arrays":    enumArray,
	"source types":   sourceType,
	"columns that are left out": func(d capturetest.Difference) bool {
		_, ok := d.Want.(capturetest.Missing)
		return ok && arrayOfOurs(d)
	},
}

func native(d capturetest.Difference) string {
	if d.Column == nil {
		return ""
	}
	return d.Column.Native
}

func snapshotted(d capturetest.Difference) bool { return d.Change.Op == envelope.Read }

// gregorian is the first day of that calendar, 1582-10-15.
const gregorian = -141427

// oldDate: Debezium's snapshot counts dates before 1582 by the Julian calendar.
func oldDate(d capturetest.Difference) bool {
	if d.Schema || !snapshotted(d) || !strings.HasPrefix(native(d), "date") && !strings.HasPrefix(native(d), "timestamp") {
		return false
	}
	switch v := d.Got.(type) {
	case string:
		return v < "1582-10-15" || strings.HasPrefix(v, "-")
	case int64:
		switch typ := d.Column.Type; {
		case typ.Kind == envelope.Int:
			return v < gregorian
		case strings.HasSuffix(typ.Name, ".Timestamp"):
			return v < gregorian*86_400_000
		default:
			return v < gregorian*86_400_000_000
		}
	}
	return false
}

func infiniteDate(d capturetest.Difference) bool {
	v, ok := d.Got.(int64)
	return ok && !d.Schema && native(d) == "date" && (v == dateInfinity || v == dateMinInfinity)
}

// exactMoney: Debezium's snapshot reads money as a double.
func exactMoney(d capturetest.Difference) bool {
	return !d.Schema && snapshotted(d) && native(d) == "money" && d.Want != nil
}

func nullWithDefault(d capturetest.Difference) bool {
	return !d.Schema && d.Got == nil && d.Column != nil && d.Column.Nullable && d.Column.Default != nil
}

// dimensions: Debezium has nulls for the rows of an array of several dimensions,
// or what Java calls an array.
func dimensions(d capturetest.Difference) bool {
	got, ok1 := d.Got.([]any)
	want, ok2 := d.Want.([]any)
	if d.Schema || !ok1 || !ok2 || len(want) == 0 || len(got)%len(want) != 0 {
		return false
	}
	for _, v := range want {
		if text, ok := v.(string); v != nil && (!ok || !strings.HasPrefix(text, "[Ljava.lang.")) {
			return false
		}
	}
	return true
}

// timeArray: Debezium has milliseconds in arrays of times, or nothing.
func timeArray(d capturetest.Difference) bool {
	if d.Schema || !strings.HasPrefix(native(d), "time") || !strings.HasSuffix(native(d), " without time zone[]") || strings.HasPrefix(native(d), "timestamp") {
		return false
	}
	got, ok1 := d.Got.([]any)
	want, ok2 := d.Want.([]any)
	if d.Want == nil || !ok1 || !ok2 || len(got) != len(want) {
		return d.Want == nil
	}
	for i := range got {
		a, ok1 := got[i].(int64)
		b, ok2 := want[i].(int64)
		if got[i] != want[i] && (!ok1 || !ok2 || a/1000 != b/1000) {
			return false
		}
	}
	return true
}

// numericScale: numeric(5,-2) and numeric(3,5) are no decimals of Avro.
func numericScale(d capturetest.Difference) bool {
	precision, scale, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(native(d), "numeric("), ")"), ",")
	return ok && (strings.HasPrefix(scale, "-") || len(scale) > len(precision) || len(scale) == len(precision) && scale > precision)
}

// quotedDefault: Debezium cuts a default at its first quote.
func quotedDefault(d capturetest.Difference) bool {
	return d.Schema && d.Column != nil && strings.Contains(string(d.Column.Default), "'")
}

// expressionDefault: Debezium takes the first literal of an expression, or a
// word, for a default, and has none of several lines.
func expressionDefault(d capturetest.Difference) bool {
	if !d.Schema || d.Column == nil {
		return false
	}
	if strings.Contains(string(d.Column.Default), "\n") {
		return true
	}
	want, _ := d.Want.(map[string]any)
	text, ok := want["default"].(string)
	return ok && d.Column.Default == nil && (text == "NaN" || strings.HasSuffix(text, "Infinity") || native(d) == "text" || strings.HasPrefix(native(d), "character"))
}

// unavailable: for most types Debezium has null for a value that the log does
// not carry.
func (g *golden) unavailable(d capturetest.Difference) bool {
	if d.Schema || d.Want != nil || d.Change.Op != envelope.Update && d.Change.Op != envelope.Create {
		return false
	}
	p := g.source.opts.placeholder()
	got := fmt.Sprint(d.Got)
	return strings.Contains(got, p) || got == fmt.Sprint([]byte(p)) || strings.Contains(got, fmt.Sprintf("%x", p))
}

// enumArray: in Debezium's schema the elements of an array of an enumeration
// cannot be null.
func enumArray(d capturetest.Difference) bool {
	return d.Schema && d.Column != nil && d.Column.Type.Kind == envelope.Array && strings.HasSuffix(d.Column.Type.Items.Name, ".Enum")
}

// sourceType: the snapshot of Debezium calls a column with a sequence SERIAL,
// its stream INT4, and so on.
func sourceType(d capturetest.Difference) bool {
	if !d.Schema || !snapshotted(d) {
		return false
	}
	drop := func(v any) string {
		text := fmt.Sprint(v)
		for _, s := range []string{"SMALLSERIAL", "BIGSERIAL", "SERIAL", "INT2", "INT4", "INT8", " __debezium.source.column.scale:0", "length:131089", "length:0"} {
			text = strings.ReplaceAll(text, s, "")
		}
		return text
	}
	return drop(d.Got) == drop(d.Want)
}

// arrayOfOurs: Debezium leaves out arrays of some types that it knows.
func arrayOfOurs(d capturetest.Difference) bool {
	return d.Column != nil && d.Column.Type.Kind == envelope.Array && !reflect.DeepEqual(d.Got, d.Want)
}
