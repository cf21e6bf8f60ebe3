package capturetest

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"tributary/envelope"
)

// Difference is one between what a change became and what Debezium made of it.
type Difference struct {
	Change *envelope.Change
	Column *envelope.Column // nil where it is in no column that we have
	Field  string           // a column's name; else a path such as "source.lsn"
	Schema bool             // it is in the schema, not in the value
	// Got and Want are the two sides: decoded values (bytes in hex), or
	// decoded schemas of a field. Missing is where there is no such field.
	Got, Want any
}

// Missing stands for a field that one side does not have.
type Missing struct{}

// Allowed reports whether the file has an entry for the variant with this
// WHAT.
func (d Differences) Allowed(variant, what string) bool { return d.Topic(variant, what) }

// unlikeSchemas lists the fields whose schemas differ.
func unlikeSchemas(a, b any, at string) []Difference {
	if reflect.DeepEqual(a, b) {
		return nil
	}
	fa, oka := recordFields(a)
	fb, okb := recordFields(b)
	if !oka || !okb {
		return []Difference{{Field: strings.TrimPrefix(at, "."), Got: a, Want: b}}
	}
	out := unlikeFields(fa, fb, at, unlikeSchemas)
	if x, y := Outline(a, fb), Outline(b, fa); !reflect.DeepEqual(x, y) {
		out = append(out, Difference{Field: strings.TrimPrefix(at+".", ".") + "attributes", Got: x, Want: y})
	}
	return out
}

// Outline is a schema without the types of its records' fields: the attributes of
// the records and the names of those fields that others has too, in their order.
func Outline(schema any, others map[string]any) any {
	switch s := schema.(type) {
	case []any:
		out := make([]any, len(s))
		for i := range s {
			out[i] = Outline(s[i], others)
		}
		return out
	case map[string]any:
		out := maps.Clone(s)
		list, record := s["fields"].([]any)
		if !record {
			out["type"] = Outline(s["type"], others)
			return out
		}
		var names []any
		for _, f := range list {
			m, _ := f.(map[string]any)
			name, _ := m["name"].(string)
			if _, ok := others[name]; ok {
				names = append(names, name)
			}
		}
		out["fields"] = names
		return out
	}
	return schema
}

func unlikeFields(a, b map[string]any, at string, unlike func(a, b any, at string) []Difference) []Difference {
	var out []Difference
	for _, name := range slices.Sorted(maps.Keys(a)) {
		if other, ok := b[name]; ok {
			out = append(out, unlike(a[name], other, at+"."+name)...)
		} else {
			out = append(out, Difference{Field: strings.TrimPrefix(at+"."+name, "."), Got: a[name], Want: Missing{}})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b)) {
		if _, ok := a[name]; !ok {
			out = append(out, Difference{Field: strings.TrimPrefix(at+"."+name, "."), Got: Missing{}, Want: b[name]})
		}
	}
	return out
}

// recordFields returns the fields of a row or an envelope, of a union with
// one, or of a field whose type is such. Other records, such as a point, are
// values.
func recordFields(s any) (map[string]any, bool) {
	switch v := s.(type) {
	case []any:
		for _, branch := range v {
			if f, ok := recordFields(branch); ok {
				return f, true
			}
		}
	case map[string]any:
		name, _ := v["name"].(string)
		if list, ok := v["fields"].([]any); ok && slices.Contains([]string{"Envelope", "Value", "Key", "Source"}, name) {
			out := make(map[string]any)
			for _, f := range list {
				m, _ := f.(map[string]any)
				name, _ := m["name"].(string)
				out[name] = f
			}
			return out, true
		}
		if v["type"] != nil && v["type"] != "record" {
			return recordFields(v["type"])
		}
	}
	return nil, false
}

func unlikeValues(a, b any, at string) []Difference {
	if reflect.DeepEqual(a, b) {
		return nil
	}
	ra, oka := a.(fields)
	rb, okb := b.(fields)
	if !oka || !okb {
		return []Difference{{Field: strings.TrimPrefix(at, "."), Got: a, Want: b}}
	}
	return unlikeFields(ra, rb, at, unlikeValues)
}

// fields is a decoded record of the kinds that recordFields knows.
type fields map[string]any

// decodeAvro decodes b by a schema; bytes come in hex, integers as int64.
func decodeAvro(schema any, b []byte) (v any, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	d := avroDecoder{names: make(map[string]any), b: b}
	d.register(schema)
	v = d.value(schema)
	if len(d.b) > 0 {
		return nil, fmt.Errorf("%d bytes are left", len(d.b))
	}
	return v, nil
}

// DecodeAvro decodes the Avro body b by the schema: records as maps, integers as
// int64, bytes in hex.
func DecodeAvro(schema string, b []byte) (any, error) {
	var s any
	if err := json.Unmarshal([]byte(schema), &s); err != nil {
		return nil, err
	}
	v, err := decodeAvro(s, b)
	return plain(v), err
}

// plain has maps for all records.
func plain(v any) any {
	switch v := v.(type) {
	case fields:
		for name := range v {
			v[name] = plain(v[name])
		}
		return map[string]any(v)
	case map[string]any:
		for name := range v {
			v[name] = plain(v[name])
		}
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	}
	return v
}

// Float is a number as its bits, so that NaN equals itself and no other NaN.
type Float struct {
	bits uint64
	size int
}

func (f Float) String() string {
	if f.size == 32 {
		return strconv.FormatFloat(float64(math.Float32frombits(uint32(f.bits))), 'g', -1, 32) //nolint:gosec // 32 bits were read
	}
	return strconv.FormatFloat(math.Float64frombits(f.bits), 'g', -1, 64)
}

// MarshalJSON writes a number, or NaN and infinity as text.
func (f Float) MarshalJSON() ([]byte, error) {
	text := f.String()
	if strings.ContainsAny(text, "NI") {
		return strconv.AppendQuote(nil, text), nil
	}
	return []byte(text), nil
}

type avroDecoder struct {
	names map[string]any
	b     []byte
}

// register notes the named records, by their full and by their last name: all
// of ours differ in the last.
func (d *avroDecoder) register(schema any) {
	switch s := schema.(type) {
	case []any:
		for _, b := range s {
			d.register(b)
		}
	case map[string]any:
		if name, ok := s["name"].(string); ok && s["type"] == "record" {
			d.names[name] = s
		}
		for _, part := range []string{"type", "items", "values", "fields"} {
			d.register(s[part])
		}
	}
}

func (d *avroDecoder) long() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		panic("short integer")
	}
	d.b = d.b[n:]
	return v
}

func (d *avroDecoder) take(n int64) []byte {
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *avroDecoder) value(schema any) any {
	switch s := schema.(type) {
	case []any:
		return d.value(s[d.long()])
	case map[string]any:
		switch s["type"] {
		case "record":
			return d.record(s)
		case "array":
			out := []any{}
			for n := d.long(); n != 0; n = d.long() {
				for range n {
					out = append(out, d.value(s["items"]))
				}
			}
			return out
		case "map":
			out := map[string]any{}
			for n := d.long(); n != 0; n = d.long() {
				for range n {
					key := string(d.take(d.long()))
					out[key] = d.value(s["values"])
				}
			}
			return out
		}
		return d.value(s["type"])
	case string:
		return d.primitive(s)
	}
	panic(fmt.Sprintf("schema %v", schema))
}

func (d *avroDecoder) record(s map[string]any) any {
	out := make(fields)
	list, _ := s["fields"].([]any)
	for _, f := range list {
		m, _ := f.(map[string]any)
		field, _ := m["name"].(string)
		out[field] = d.value(m["type"])
	}
	if _, ok := recordFields(s); !ok {
		return map[string]any(out)
	}
	return out
}

func (d *avroDecoder) primitive(name string) any {
	switch name {
	case "null":
		return nil
	case "boolean":
		return d.take(1)[0] == 1
	case "int", "long":
		return d.long()
	case "float":
		return Float{uint64(binary.LittleEndian.Uint32(d.take(4))), 32}
	case "double":
		return Float{binary.LittleEndian.Uint64(d.take(8)), 64}
	case "bytes":
		return fmt.Sprintf("%x", d.take(d.long()))
	case "string":
		return string(d.take(d.long()))
	}
	if s, ok := d.names[name[strings.LastIndexByte(name, '.')+1:]]; ok {
		return d.value(s)
	}
	panic("type " + name)
}
