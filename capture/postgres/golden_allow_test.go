package postgres

import (
	"fmt"
	"slices"
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
	if g.generated[d.Field] && half(d) && g.diffs.Allowed(g.variant.Name, "generated columns") {
		return true
	}
	return len(g.source.opts.Defects) == 0 && g.unavailable(d) && g.diffs.Allowed(g.variant.Name, "unavailable values")
}

// kept are the kinds of differences that there are not with debezium.defects.
var kept = map[string]bool{
	"NULL with a default": true, "dimensions": true, "quoted defaults": true, "time arrays": true, "enum arrays": true, "columns that are left out": true,
	"unknown fields": true,
}

// kinds are narrow: each allows a difference of one form, so that it hides no
// other in a column of the same type.
var kinds = map[string]func(d capturetest.Difference) bool{
	"old dates":           oldDate,
	"infinite dates":      infiniteDate,
	"exact money":         exactMoney,
	"name columns":        nameColumn,
	"NULL with a default": nullWithDefault,
	"dimensions":          dimensions,
	"numeric scale":       numericScale,
	"quoted defaults":     quotedDefault,
	"expression defaults": expressionDefault,
	"time arrays":         timeArray,
	"bit arrays":          bitArray,
	"vectors of integers": emptyVector,
	"no bit":              noBit,
	"arrays with NaN":     arrayWithNaN,
	"enum arrays":         enumArray,
	"source types":        sourceType,

	"unknown fields":            func(d capturetest.Difference) bool { return d.Field == "header "+envelope.HeaderUnknown },
	"labels of enumerations":    labels,
	"columns that are left out": arrayOfOurs,
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
	want, _ := d.Want.(int64)
	return ok && !d.Schema && native(d) == "date" && (v == dateInfinity && slices.Contains([]int64{-622191234, -2147472692}, want) ||
		v == dateMinInfinity && slices.Contains([]int64{-625821272, -2147472691}, want))
}

func nullWithDefault(d capturetest.Difference) bool {
	return !d.Schema && d.Got == nil && d.Want != nil && d.Column != nil && d.Column.Nullable && d.Column.Default != nil
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

// unavailable: for most types Debezium has null for a value that the log does
// not carry.
func (g *golden) unavailable(d capturetest.Difference) bool {
	if d.Schema || d.Want != nil || d.Change.Op != envelope.Update && d.Change.Op != envelope.Create {
		return false
	}
	p := g.source.opts.placeholder()
	got := fmt.Sprint(d.Got)
	return strings.Contains(got, p) || got == fmt.Sprintf("%d", []byte(p)) || strings.Contains(got, fmt.Sprintf("%x", p))
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
