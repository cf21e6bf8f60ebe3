package postgres

import (
	"fmt"
	"math/big"
	"reflect"
	"slices"
	"strings"

	"tributary/capture/capturetest"
	"tributary/envelope"
)

// reshaped is a copy of a decoded schema in which edit has changed each object;
// null is the first of the branches of a union, and a type without attributes is
// its name.
func reshaped(v any, edit func(m map[string]any)) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[k] = reshaped(x, edit)
		}
		edit(out)
		if typ, ok := out["type"]; ok && len(out) == 1 {
			return typ // a type without attributes
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = reshaped(x, edit)
		}
		if i := slices.Index(out, any("null")); i > 0 {
			out[0], out[i] = out[i], out[0]
		}
		return out
	}
	return v
}

// alike reports whether the two schemas of a difference are the same after an
// edit of both.
func alike(d capturetest.Difference, edit func(m map[string]any)) bool {
	return reflect.DeepEqual(reshaped(d.Got, edit), reshaped(d.Want, edit))
}

// branch is the one that is not null of the union of a field's type, or the type.
func branch(field any) any {
	m, _ := field.(map[string]any)
	list, ok := m["type"].([]any)
	for _, b := range list {
		if b != "null" {
			return b
		}
	}
	if ok {
		return nil
	}
	return m["type"]
}

// half reports whether one side alone has a column.
func half(d capturetest.Difference) bool {
	_, got := d.Got.(capturetest.Missing)
	_, want := d.Want.(capturetest.Missing)
	return got != want
}

// labels: a label that was added is in our schema, at its end or between, and not
// in Debezium's.
func labels(d capturetest.Difference) bool {
	var lists [][]string
	take := func(m map[string]any) {
		if text, ok := m["allowed"].(string); ok {
			lists = append(lists, strings.Split(text, ","))
			delete(m, "allowed")
		}
	}
	if !d.Schema || !alike(d, take) || len(lists) != 2 {
		return false
	}
	for _, l := range lists[1] {
		if !slices.Contains(lists[0], l) {
			return false
		}
	}
	return len(lists[0]) > len(lists[1])
}

// bitArray: Debezium's schema of an array of bits is that of its element, and its
// value null.
func bitArray(d capturetest.Difference) bool {
	if !strings.HasPrefix(native(d), "bit") || !strings.HasSuffix(native(d), "[]") {
		return false
	}
	if !d.Schema {
		_, ok := d.Got.([]any)
		return ok && d.Want == nil
	}
	array, _ := branch(d.Got).(map[string]any)
	items, _ := array["items"].([]any)
	field, _ := reshaped(d.Got, func(map[string]any) {}).(map[string]any)
	if len(items) != 2 || array["type"] != "array" {
		return false
	}
	field["type"] = []any{"null", items[1]}
	return reflect.DeepEqual(field, d.Want)
}

// emptyVector: int2vector and oidvector are empty in Debezium.
func emptyVector(d capturetest.Difference) bool {
	got, _ := d.Got.([]any)
	want, ok := d.Want.([]any)
	return !d.Schema && (native(d) == "int2vector" || native(d) == "oidvector") && ok && len(want) == 0 && len(got) > 0
}

// nameColumn: columns of type name are null or empty in Debezium's stream.
func nameColumn(d capturetest.Difference) bool {
	return !d.Schema && !snapshotted(d) && native(d) == "name" && (d.Want == nil || d.Want == "")
}

// noBit: bit varying(1) is null in Debezium's snapshot, and in its stream where it
// is empty.
func noBit(d capturetest.Difference) bool {
	return !d.Schema && native(d) == "bit varying(1)" && d.Want == nil && (snapshotted(d) || d.Got == false)
}

// arrayWithNaN: Debezium has null for an array of numeric with one of these.
func arrayWithNaN(d capturetest.Difference) bool {
	got := strings.ToUpper(fmt.Sprint(d.Got))
	return !d.Schema && d.Want == nil && strings.HasPrefix(native(d), "numeric") && strings.HasSuffix(native(d), "[]") && (strings.Contains(got, "NAN") || strings.Contains(got, "INF"))
}

// decimalOf reads a decimal: text, or the bytes of the unscaled number in hex.
func decimalOf(v any, scale int) *big.Rat {
	text, _ := v.(string)
	if r, ok := new(big.Rat).SetString(text); ok && strings.ContainsAny(text, ".-+E") {
		return r
	}
	n, ok := new(big.Int).SetString(text, 16)
	if !ok || len(text)%2 != 0 {
		return nil
	}
	if text[0] >= '8' {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(len(text)*4)))
	}
	return new(big.Rat).SetFrac(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
}

// exactMoney: Debezium's snapshot reads money as a double, which has 53 bits.
func exactMoney(d capturetest.Difference) bool {
	if d.Schema || !snapshotted(d) || native(d) != "money" {
		return false
	}
	got, want := decimalOf(d.Got, 2), decimalOf(d.Want, 2)
	if got == nil || want == nil || got.Sign() == 0 {
		return false
	}
	off := new(big.Rat).Sub(got, want)
	off.Quo(off.Abs(off), new(big.Rat).Abs(got))
	return off.Cmp(big.NewRat(1, 1<<52)) <= 0
}

// numericScale: numeric(5,-2) and numeric(3,5) are no decimals of Avro. Debezium
// has a scale of 2046 for the one and one above the precision for the other; the
// numbers are the same.
func numericScale(d capturetest.Difference) bool {
	var precision, scale int
	if n, _ := fmt.Sscanf(native(d), "numeric(%d,%d)", &precision, &scale); n != 2 || scale >= 0 && scale <= precision {
		return false
	}
	theirs := scale
	if scale < 0 {
		theirs = 2048 + scale
	}
	if !d.Schema {
		if text, ok := d.Want.(string); ok && strings.Contains(text, ".") {
			ours, ok := new(big.Rat).SetString(fmt.Sprint(d.Got))
			return ok && ours.Cmp(decimalOf(text, 0)) == 0
		}
		got, want := decimalOf(d.Got, max(scale, 0)), decimalOf(d.Want, theirs)
		return got != nil && want != nil && got.Cmp(want) == 0
	}
	want, _ := branch(d.Want).(map[string]any)
	return want["scale"] == float64(theirs) && want["precision"] == float64(precision) && alike(d, func(m map[string]any) {
		delete(m, "scale")
		delete(m, "precision")
		delete(m, "connect.decimal.precision")
		if scale < 0 { // which column.propagate.source.type has no way to tell
			delete(m, "__debezium.source.column.scale")
		}
	})
}

// defaultKeys are what a schema says of a default.
var defaultKeys = []string{"default", "connect.default"}

// quotedDefault: Debezium cuts a default at its first quote.
func quotedDefault(d capturetest.Difference) bool {
	cut := reshaped(d.Got, func(m map[string]any) {
		for _, k := range defaultKeys {
			if text, ok := m[k].(string); ok {
				m[k], _, _ = strings.Cut(text, "'")
			}
		}
	})
	return d.Schema && strings.Contains(string(columnDefault(d)), "'") && reflect.DeepEqual(cut, reshaped(d.Want, func(map[string]any) {}))
}

func columnDefault(d capturetest.Difference) []byte {
	if d.Column == nil {
		return nil
	}
	return d.Column.Default
}

// expressionDefault: Debezium takes the first literal of an expression, or a word,
// for a default, and has none of several lines.
func expressionDefault(d capturetest.Difference) bool {
	none := func(m map[string]any) {
		for _, k := range defaultKeys {
			delete(m, k)
		}
	}
	if !d.Schema || d.Column == nil || !alike(d, none) {
		return false
	}
	want, _ := d.Want.(map[string]any)
	text, told := want["default"].(string)
	if strings.Contains(string(d.Column.Default), "\n") {
		return !told
	}
	return told && d.Column.Default == nil && (text == "NaN" || strings.HasSuffix(text, "Infinity") || native(d) == "text" || strings.HasPrefix(native(d), "character"))
}

// enumArray: in Debezium's schema the elements of an array of an enumeration
// cannot be null.
func enumArray(d capturetest.Difference) bool {
	bare := func(m map[string]any) {
		if items, ok := m["items"].([]any); ok && len(items) == 2 && m["type"] == "array" {
			if e, ok := items[1].(map[string]any); ok && e["connect.name"] == "io.debezium.data.Enum" {
				m["items"] = e
			}
		}
	}
	return d.Schema && reflect.DeepEqual(reshaped(d.Got, bare), reshaped(d.Want, func(map[string]any) {}))
}

// arrayOfOurs: Debezium leaves out arrays of some types that it knows.
func arrayOfOurs(d capturetest.Difference) bool {
	_, missing := d.Want.(capturetest.Missing)
	return missing && d.Column != nil && d.Column.Type.Kind == envelope.Array
}
