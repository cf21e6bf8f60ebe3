package envelope

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// schemaWriter writes Avro schemas as the registry of the replaced system got
// them: the same attributes in the same order.
type schemaWriter struct {
	b     []byte
	names map[string]bool // full names already defined
}

func newSchemaWriter() *schemaWriter { return &schemaWriter{names: make(map[string]bool)} }

func (w *schemaWriter) raw(s string) { w.b = append(w.b, s...) }

func (w *schemaWriter) quote(s string) { w.b = appendJSONString(w.b, s) }

func (w *schemaWriter) attr(key, value string) {
	w.raw(",")
	w.quote(key)
	w.raw(":")
	w.quote(value)
}

func (w *schemaWriter) attrInt(key string, v int) {
	w.raw(",")
	w.quote(key)
	w.raw(":" + strconv.Itoa(v))
}

// typ writes the schema of a value. def is a bare Avro default, nil = none.
func (w *schemaWriter) typ(t *Type, def []byte) {
	switch t.Kind {
	case Record:
		w.recordType(t)
		return
	case Array:
		w.arrayType(t, "items")
		return
	case Map:
		w.arrayType(t, "values")
		return
	}
	if t.Name == "" && !t.Int16 && def == nil && len(t.Params) == 0 {
		w.quote(t.Kind.String())
		return
	}
	w.raw(`{"type":`)
	w.quote(t.Kind.String())
	if t.Logical == "decimal" {
		w.attrInt("scale", t.Scale)
		w.attrInt("precision", t.Precision)
	}
	w.props(t, def)
	w.raw("}")
}

// props writes Connect's attributes and the logical type.
func (w *schemaWriter) props(t *Type, def []byte) {
	if t.Doc != "" {
		w.attr("connect.doc", t.Doc)
	}
	if t.Version != 0 {
		w.attrInt("connect.version", t.Version)
	}
	if len(t.Params) > 0 {
		w.raw(`,"connect.parameters":{`)
		for i, p := range t.Params {
			if i > 0 {
				w.raw(",")
			}
			w.quote(p.Key)
			w.raw(":")
			w.quote(p.Value)
		}
		w.raw("}")
	}
	if def != nil {
		w.raw(`,"connect.default":`)
		w.value(t, def)
	}
	if t.Name != "" {
		w.attr("connect.name", t.Name)
	}
	if t.Int16 {
		w.attr("connect.type", "int16")
	}
	if t.Logical != "" {
		w.attr("logicalType", t.Logical)
	}
}

func (w *schemaWriter) recordType(t *Type) {
	if w.names[t.Name] {
		w.quote(t.Name)
		return
	}
	w.names[t.Name] = true
	space, name := splitName(t.Name)
	w.raw(`{"type":"record"`)
	w.attr("name", name)
	w.attr("namespace", space)
	w.raw(`,"fields":[`)
	for i := range t.Fields {
		if i > 0 {
			w.raw(",")
		}
		w.raw(`{"name":`)
		w.quote(t.Fields[i].Name)
		w.raw(`,"type":`)
		if t.Fields[i].Nullable {
			w.raw(`["null",`)
			w.typ(&t.Fields[i].Type, nil)
			w.raw(`],"default":null}`)
			continue
		}
		w.typ(&t.Fields[i].Type, nil)
		w.raw("}")
	}
	w.raw("]")
	w.props(t, nil)
	w.raw("}")
}

// arrayType writes an array or a map; items is what its items are called.
func (w *schemaWriter) arrayType(t *Type, items string) {
	w.raw(`{"type":"` + t.Kind.String() + `","` + items + `":`)
	if t.ItemsNullable {
		w.raw(`["null",`)
		w.typ(t.Items, nil)
		w.raw("]")
	} else {
		w.typ(t.Items, nil)
	}
	w.props(t, nil)
	w.raw("}")
}

// column writes a field of a row.
func (w *schemaWriter) column(name string, c *Column) {
	w.raw(`{"name":`)
	w.quote(name)
	w.raw(`,"type":`)
	switch {
	case !c.Nullable:
		w.typ(&c.Type, c.Default)
	case c.Default == nil:
		w.raw(`["null",`)
		w.typ(&c.Type, nil)
		w.raw("]")
	default:
		w.raw("[")
		w.typ(&c.Type, c.Default)
		w.raw(`,"null"]`)
	}
	switch {
	case c.Default != nil:
		w.raw(`,"default":`)
		w.value(&c.Type, c.Default)
	case c.Nullable:
		w.raw(`,"default":null`)
	}
	w.raw("}")
}

// field writes a field with a schema given as text.
func (w *schemaWriter) field(name, schema, def string) {
	w.raw(`{"name":`)
	w.quote(name)
	w.raw(`,"type":` + schema)
	if def != "" {
		w.raw(`,"default":` + def)
	}
	w.raw("}")
}

const enumSnapshot = `{"type":"string","connect.version":1,"connect.parameters":{"allowed":"true,first,first_in_data_collection,last_in_data_collection,last,false,incremental"},"connect.default":"false","connect.name":"io.debezium.data.Enum"}`

// source writes the record of the source block. space is the enclosing
// namespace.
func (w *schemaWriter) source(b *Block, space string) {
	w.raw(`{"type":"record","name":"Source"`)
	if b.Package != space {
		w.attr("namespace", b.Package)
	}
	w.raw(`,"fields":[`)
	for i := range b.Fields {
		if i > 0 {
			w.raw(",")
		}
		f := &b.Fields[i]
		kind := `"` + f.Kind.String() + `"`
		switch {
		case f.snapshot:
			w.field(f.Name, "["+enumSnapshot+`,"null"]`, `"false"`)
		case f.Nullable:
			w.field(f.Name, `["null",`+kind+`]`, "null")
		default:
			w.field(f.Name, kind, "")
		}
	}
	w.raw("]")
	if b.Revision != 0 {
		w.attrInt("connect.version", b.Revision)
	}
	w.attr("connect.name", b.Package+".Source")
	w.raw("}")
}

const transactionBlock = `["null",{"type":"record","name":"block","namespace":"event","fields":[{"name":"id","type":"string"},{"name":"total_order","type":"long"},{"name":"data_collection_order","type":"long"}],"connect.version":1,"connect.name":"event.block"}]`

func splitName(full string) (space, name string) {
	if i := strings.LastIndexByte(full, '.'); i >= 0 {
		return full[:i], full[i+1:]
	}
	return "", full
}

// value writes a bare Avro value as JSON, as schemas have their defaults:
// bytes as a string with a character for each byte.
func (w *schemaWriter) value(t *Type, v []byte) {
	switch t.Kind {
	case Boolean:
		w.raw(strconv.FormatBool(len(v) > 0 && v[0] != 0))
	case Int, Long:
		n, _ := decodeLong(v)
		w.b = strconv.AppendInt(w.b, n, 10)
	case Float:
		w.b = appendJSONFloat(w.b, float64(math.Float32frombits(binary.LittleEndian.Uint32(v))), 32)
	case Double:
		w.b = appendJSONFloat(w.b, math.Float64frombits(binary.LittleEndian.Uint64(v)), 64)
	case Bytes:
		_, body := decodeLong(v)
		var s []rune
		for _, c := range body {
			s = append(s, rune(c))
		}
		w.quote(string(s))
	case String:
		_, body := decodeLong(v)
		w.quote(string(body))
	default:
		w.raw("null") // no column of these kinds has a default in its schema
	}
}

// decodeLong reads a long that AppendLong wrote.
func decodeLong(v []byte) (int64, []byte) {
	u, n := binary.Uvarint(v)
	return int64(u>>1) ^ -int64(u&1), v[max(n, 0):]
}

// appendJSONFloat writes a number as Java's Double.toString would have it
// read, as JSON: always with a fraction or an exponent.
func appendJSONFloat(dst []byte, f float64, bits int) []byte {
	start := len(dst)
	abs := math.Abs(f)
	if abs != 0 && (abs < 1e-3 || abs >= 1e7) {
		dst = strconv.AppendFloat(dst, f, 'E', -1, bits)
		return dst
	}
	dst = strconv.AppendFloat(dst, f, 'f', -1, bits)
	if !bytes.ContainsRune(dst[start:], '.') {
		dst = append(dst, '.', '0')
	}
	return dst
}

// appendJSONString appends s as a JSON string, without the escaping of <, >
// and & that encoding/json does for HTML.
func appendJSONString(dst []byte, s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always encodes
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}
