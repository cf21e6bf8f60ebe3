package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Option describes one option for help texts and documents.
type Option struct {
	Name     string
	Default  string
	Doc      string
	Required bool
	Enum     []string
}

// Options lists the options that dst, a pointer to a struct, declares, in the
// order of its fields. It panics when the struct's tags are wrong, which is a
// fault of the program and not of its input.
func Options(dst any) []Option {
	fields, err := fieldsOf(dst)
	if err != nil {
		panic(err)
	}
	out := make([]Option, len(fields))
	for i, f := range fields {
		out[i] = Option{Name: f.name, Default: f.def, Doc: f.doc, Required: f.required, Enum: f.enum}
	}
	return out
}

type field struct {
	name, def, doc, unit string
	required             bool
	enum                 []string
	target               reflect.Value
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	secretType   = reflect.TypeFor[Secret]()
)

func fieldsOf(dst any) ([]field, error) {
	v := reflect.ValueOf(dst)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("config: %T is not a pointer to a struct", dst)
	}
	return collect(nil, v.Elem())
}

func collect(out []field, v reflect.Value) ([]field, error) {
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		name, tagged := sf.Tag.Lookup("opt")
		if !tagged {
			if sf.Type.Kind() == reflect.Struct && sf.IsExported() {
				var err error
				if out, err = collect(out, v.Field(i)); err != nil {
					return nil, err
				}
			}
			continue
		}
		f := field{
			name: name, def: sf.Tag.Get("default"), doc: sf.Tag.Get("doc"), unit: sf.Tag.Get("unit"),
			required: sf.Tag.Get("required") == "true", target: v.Field(i),
		}
		if e := sf.Tag.Get("enum"); e != "" {
			f.enum = strings.Split(e, ",")
		}
		if slices.ContainsFunc(out, func(o field) bool { return o.name == name }) {
			return nil, fmt.Errorf("config: option %s is declared twice", name)
		}
		out = append(out, f)
	}
	return out, nil
}

func (f *field) setDefault() error {
	if f.def == "" {
		return nil
	}
	return f.set(value{items: []string{f.def}})
}

func (f *field) set(v value) error {
	if f.target.Kind() == reflect.Slice {
		f.target.Set(reflect.ValueOf(splitList(v)))
		return f.checkEnum(splitList(v))
	}
	if v.list {
		return fmt.Errorf("a single value is wanted, not a list")
	}
	return f.setScalar(strings.TrimSpace(v.items[0]), v.items[0])
}

func (f *field) setScalar(text, raw string) error {
	switch {
	case f.target.Type() == secretType:
		f.target.SetString(raw)
	case f.target.Type() == durationType:
		d, err := f.duration(text)
		if err != nil {
			return err
		}
		f.target.SetInt(int64(d))
	case f.target.Kind() == reflect.String:
		if err := f.checkEnum([]string{text}); err != nil {
			return err
		}
		f.target.SetString(text)
	case f.target.Kind() == reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		f.target.SetBool(b)
	case f.target.CanInt():
		n, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, f.target.Type().Bits())
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		f.target.SetInt(n)
	case f.target.CanFloat():
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("%q is not a number", text)
		}
		f.target.SetFloat(n)
	default:
		return fmt.Errorf("config: option %s has a field of type %s", f.name, f.target.Type())
	}
	return nil
}

// duration reads a whole number of milliseconds where the option's name says
// so (-1, or any negative number, means "never" there), else Go's text form.
func (f *field) duration(text string) (time.Duration, error) {
	if f.unit == "ms" {
		n, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%q is not a whole number of milliseconds", text)
		}
		return time.Duration(n) * time.Millisecond, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration such as 500ms, 15s or 24h", text)
	}
	return d, nil
}

func (f *field) checkEnum(items []string) error {
	if f.enum == nil {
		return nil
	}
	for _, item := range items {
		if !slices.Contains(f.enum, item) {
			return fmt.Errorf("%q is not one of %s", item, strings.Join(f.enum, ", "))
		}
	}
	return nil
}

func splitList(v value) []string {
	var out []string
	for _, item := range v.items {
		if v.list {
			out = append(out, item)
			continue
		}
		for part := range strings.SplitSeq(item, ",") {
			if part = strings.TrimSpace(part); part != "" {
				out = append(out, part)
			}
		}
	}
	return out
}
