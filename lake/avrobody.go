package lake

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sort"
	"strings"

	"tributary/internal/avrotext"
)

// The bodies of cleans, rollbacks, savepoints and plans are Avro object
// containers of one record. They are small and rare, so that they are read and
// written as trees of Go values: map[string]any for records and maps, []any for
// arrays, nil, bool, int64, float64, string.

const (
	avroMagic    = "Obj\x01"
	maxAvroItems = 1 << 22 // values in one body
	maxAvroDepth = 32
)

var errAvro = errors.New("malformed avro body")

// avroNode is a parsed Avro schema.
type avroNode struct {
	kind string // record, array, map, union, fixed, enum or a primitive
	size int    // fixed
	// What the value means, where that is not plain: Avro's logical type.
	logical          string
	precision, scale int
	symbols          []string // enum
	items            *avroNode
	fields           []avroField
	union            []*avroNode
}

type avroField struct {
	name string
	node *avroNode
	def  any // default value; null where there is none
}

type avroParser struct {
	named map[string]*avroNode
	depth int
}

func parseAvroSchema(text []byte) (*avroNode, error) {
	if avrotext.Depth(text) > maxSchemaDepth {
		return nil, fmt.Errorf("%w: schema nested too deep", errAvro)
	}
	p := avroParser{named: map[string]*avroNode{}}
	return p.node(text, "")
}

func (p *avroParser) node(raw json.RawMessage, namespace string) (*avroNode, error) {
	if p.depth++; p.depth > maxSchemaDepth {
		return nil, fmt.Errorf("%w: schema nested too deep", errAvro)
	}
	defer func() { p.depth-- }()
	var name string
	if json.Unmarshal(raw, &name) == nil {
		if n, ok := p.named[fullName(name, namespace)]; ok {
			return n, nil
		}
		if n, ok := p.named[name]; ok {
			return n, nil
		}
		return &avroNode{kind: name}, nil
	}
	var union []json.RawMessage
	if json.Unmarshal(raw, &union) == nil {
		n := &avroNode{kind: "union"}
		for _, u := range union {
			b, err := p.node(u, namespace)
			if err != nil {
				return nil, err
			}
			n.union = append(n.union, b)
		}
		return n, nil
	}
	return p.complex(raw, namespace)
}

func (p *avroParser) complex(raw json.RawMessage, namespace string) (*avroNode, error) {
	var doc struct {
		Type      json.RawMessage
		Name      string
		Namespace string
		Size      int
		Logical   string `json:"logicalType"`
		Precision int
		Scale     int
		Symbols   []string
		Items     json.RawMessage
		Values    json.RawMessage
		Fields    []struct {
			Name    string
			Type    json.RawMessage
			Default any
		}
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("%w: schema: %w", errAvro, err)
	}
	var kind string
	if json.Unmarshal(doc.Type, &kind) != nil {
		return p.node(doc.Type, namespace)
	}
	n := &avroNode{kind: kind, size: doc.Size, logical: doc.Logical, precision: doc.Precision, scale: doc.Scale, symbols: doc.Symbols}
	if doc.Namespace != "" {
		namespace = doc.Namespace
	}
	if doc.Name != "" {
		p.named[fullName(doc.Name, namespace)] = n
	}
	var err error
	switch kind {
	case "array":
		n.items, err = p.node(doc.Items, namespace)
	case "map":
		n.items, err = p.node(doc.Values, namespace)
	case "record":
		for _, f := range doc.Fields {
			node, err := p.node(f.Type, namespace)
			if err != nil {
				return nil, err
			}
			n.fields = append(n.fields, avroField{f.Name, node, f.Default})
		}
	}
	return n, err
}

func fullName(name, namespace string) string {
	if namespace == "" || strings.Contains(name, ".") {
		return name
	}
	return namespace + "." + name
}

// avroReader decodes within bounds; the first error stays.
type avroReader struct {
	b     []byte
	items int
	depth int
	err   error
}

func (r *avroReader) fail() {
	if r.err == nil {
		r.err = errAvro
	}
	r.b = nil
}

func (r *avroReader) long() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *avroReader) take(n int64) []byte {
	if n < 0 || n > int64(len(r.b)) {
		r.fail()
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *avroReader) value(n *avroNode) any {
	r.items++
	r.depth++
	defer func() { r.depth-- }()
	if r.err != nil || r.items > maxAvroItems || r.depth > maxAvroDepth {
		r.fail()
		return nil
	}
	switch n.kind {
	case "null":
		return nil
	case "boolean":
		b := r.take(1)
		return len(b) == 1 && b[0] != 0
	case "int", "long", "enum":
		return r.long()
	case "float":
		if b := r.take(4); b != nil {
			return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
		}
		return nil
	case "double":
		if b := r.take(8); b != nil {
			return math.Float64frombits(binary.LittleEndian.Uint64(b))
		}
		return nil
	case "string", "bytes":
		return string(r.take(r.long()))
	case "fixed":
		return string(r.take(int64(n.size)))
	case "union":
		i := r.long()
		if i < 0 || i >= int64(len(n.union)) {
			r.fail()
			return nil
		}
		return r.value(n.union[i])
	case "record":
		m := make(map[string]any, len(n.fields))
		for _, f := range n.fields {
			m[f.name] = r.value(f.node)
		}
		return m
	case "array":
		out := []any{}
		r.blocks(func() { out = append(out, r.value(n.items)) })
		return out
	case "map":
		m := map[string]any{}
		r.blocks(func() {
			k := string(r.take(r.long()))
			m[k] = r.value(n.items)
		})
		return m
	default:
		r.fail()
		return nil
	}
}

// blocks calls item for every item of an array or map.
func (r *avroReader) blocks(item func()) {
	for r.err == nil {
		n := r.long()
		if n == 0 {
			return
		}
		if n < 0 {
			n = -n
			r.long() // the block's length in bytes
		}
		for ; n > 0 && r.err == nil; n-- {
			item()
		}
	}
}

// decodeAvroBody reads the first record of an Avro object container.
func decodeAvroBody(b []byte) (map[string]any, error) {
	if !bytes.HasPrefix(b, []byte(avroMagic)) {
		return nil, errAvro
	}
	r := &avroReader{b: b[len(avroMagic):]}
	meta, _ := r.value(&avroNode{kind: "map", items: &avroNode{kind: "bytes"}}).(map[string]any)
	r.take(16)
	if r.err != nil {
		return nil, r.err
	}
	if c, ok := meta["avro.codec"].(string); ok && c != "null" {
		return nil, fmt.Errorf("%w: codec %q is not supported", errAvro, c)
	}
	text, _ := meta["avro.schema"].(string)
	schema, err := parseAvroSchema([]byte(text))
	if err != nil {
		return nil, err
	}
	if count := r.long(); count < 1 {
		return nil, fmt.Errorf("%w: no record", errAvro)
	}
	r.b = r.take(r.long())
	rec, ok := r.value(schema).(map[string]any)
	if r.err != nil || !ok {
		return nil, errAvro
	}
	return rec, nil
}

// encodeAvroBody writes an Avro object container of one record. Fields that rec
// lacks get their default.
func encodeAvroBody(schema string, rec map[string]any) ([]byte, error) {
	node, err := parseAvroSchema([]byte(schema))
	if err != nil {
		return nil, err
	}
	body, err := appendAvro(nil, node, rec)
	if err != nil {
		return nil, err
	}
	sync := sha256.Sum256(append([]byte(schema), body...))
	out := []byte(avroMagic)
	out = binary.AppendVarint(out, 1)
	out = appendAvroString(out, "avro.schema")
	out = appendAvroString(out, schema)
	out = binary.AppendVarint(out, 0)
	out = append(out, sync[:16]...)
	out = binary.AppendVarint(out, 1)
	out = binary.AppendVarint(out, int64(len(body)))
	out = append(out, body...)
	return append(out, sync[:16]...), nil
}

func appendAvroString(dst []byte, s string) []byte {
	dst = binary.AppendVarint(dst, int64(len(s)))
	return append(dst, s...)
}

// appendAvro appends v; the types of the record schemas that this package
// writes are covered, unions are [null, X].
func appendAvro(dst []byte, n *avroNode, v any) ([]byte, error) {
	switch n.kind {
	case "null":
		return dst, nil
	case "union":
		for i, branch := range n.union { // one of two is null
			if (branch.kind == "null") == (v == nil) {
				return appendAvro(binary.AppendVarint(dst, int64(i)), branch, v)
			}
		}
		return nil, fmt.Errorf("avro: %T for a union", v)
	case "record":
		m, ok := v.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("avro: %T for a record", v)
		}
		var err error
		for _, f := range n.fields {
			x, ok := m[f.name]
			if !ok {
				x = f.def
			}
			if dst, err = appendAvro(dst, f.node, x); err != nil {
				return nil, fmt.Errorf("%s: %w", f.name, err)
			}
		}
		return dst, nil
	case "array":
		return appendAvroArray(dst, n, v)
	case "map":
		return appendAvroMap(dst, n, v)
	}
	switch x := v.(type) {
	case bool:
		if x {
			return append(dst, 1), nil
		}
		return append(dst, 0), nil
	case int64:
		return binary.AppendVarint(dst, x), nil
	case int:
		return binary.AppendVarint(dst, int64(x)), nil
	case float64: // a default from the schema's JSON
		return binary.AppendVarint(dst, int64(x)), nil
	case string:
		return appendAvroString(dst, x), nil
	default:
		return nil, fmt.Errorf("avro: %T for %s", v, n.kind)
	}
}

func appendAvroArray(dst []byte, n *avroNode, v any) ([]byte, error) {
	list, _ := v.([]any)
	if strs, ok := v.([]string); ok {
		for _, s := range strs {
			list = append(list, s)
		}
	}
	if len(list) > 0 {
		dst = binary.AppendVarint(dst, int64(len(list)))
		var err error
		for _, x := range list {
			if dst, err = appendAvro(dst, n.items, x); err != nil {
				return nil, err
			}
		}
	}
	return binary.AppendVarint(dst, 0), nil
}

func appendAvroMap(dst []byte, n *avroNode, v any) ([]byte, error) {
	m, _ := v.(map[string]any)
	if len(m) > 0 {
		keys := make([]string, 0, len(m))
		for k := range m {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		dst = binary.AppendVarint(dst, int64(len(m)))
		var err error
		for _, k := range keys {
			dst = appendAvroString(dst, k)
			if dst, err = appendAvro(dst, n.items, m[k]); err != nil {
				return nil, err
			}
		}
	}
	return binary.AppendVarint(dst, 0), nil
}
