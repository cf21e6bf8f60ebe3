package lake

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"sort"
	"strconv"
	"strings"

	"tributary/internal/column"
	"tributary/lake/basefile"
)

// ordering is a value of the ordering column: of two rows with one key the one
// with the greater value wins.
type ordering struct {
	kind byte // 0: none, so that order does not matter; 'i', 'f' or 's'
	i    int64
	f    float64
	s    string
}

// orderingOf makes an ordering of a decoded Avro value.
func orderingOf(v any) ordering {
	switch v := v.(type) {
	case int64:
		return ordering{kind: 'i', i: v}
	case float64:
		return ordering{kind: 'f', f: v}
	case string:
		return ordering{kind: 's', s: v}
	default:
		return ordering{}
	}
}

// orderingAt is the ordering of row r of a column of type t.
func orderingAt(t Type, c *column.Column, r int) ordering {
	if c.IsNull(r) {
		return ordering{}
	}
	switch {
	case c.Kind == column.Int:
		return ordering{kind: 'i', i: c.Ints[r]}
	case c.Kind == column.Float:
		return ordering{kind: 'f', f: c.Floats[r]}
	case t.Kind == Decimal:
		return orderingOfDecimal(c.Value(r), t.Scale)
	default:
		return ordering{kind: 's', s: string(c.Value(r))}
	}
}

// orderingOfDecimal makes an ordering of an unscaled value, big-endian two's
// complement: text that sorts as the numbers do, whatever their scales.
func orderingOfDecimal(b []byte, scale int) ordering {
	const digits, width = 64, 64 // after the point; bytes
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	n.Mul(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits-min(max(scale, 0), digits))), nil))
	// Shifted by half of what there is room for, so that none is negative.
	n.Add(n, new(big.Int).Lsh(big.NewInt(1), 8*width-1))
	if n.Sign() < 0 || n.BitLen() > 8*width {
		return ordering{} // no decimal of a table
	}
	return ordering{kind: 'd', s: string(n.FillBytes(make([]byte, width)))}
}

// beats reports whether o is greater than p. Values of different kinds, or none,
// have no order.
func (o ordering) beats(p ordering) bool {
	if o.kind != p.kind {
		return false
	}
	switch o.kind {
	case 'i':
		return o.i > p.i
	case 'f':
		return cmp.Compare(o.f, p.f) > 0
	default:
		return o.s > p.s
	}
}

// avroRows appends records of Avro's binary form to a batch: the fields that the
// batch has, by name. Fields that the records lack are null.
type avroRows struct {
	schema *avroNode
	target []int // by field of the schema: the column, or -1
	fields []Field
}

// newAvroRows prepares reading records of the schema as the fields.
func newAvroRows(schema string, fields []Field) (*avroRows, error) {
	node, err := parseAvroSchema([]byte(schema))
	if err != nil {
		return nil, err
	}
	if node.kind != "record" {
		return nil, fmt.Errorf("%w: the schema of a log block is a %s", errAvro, node.kind)
	}
	at := map[string]int{}
	for i, f := range fields {
		at[f.Name] = i
	}
	a := &avroRows{schema: node, fields: fields}
	for _, f := range node.fields {
		i, ok := at[f.name]
		if !ok {
			i = -1
		}
		a.target = append(a.target, i)
	}
	return a, nil
}

// append appends one record. After an error the batch has to be cut back.
func (a *avroRows) append(b *column.Batch, record []byte) error {
	r := &avroReader{b: record}
	for n, f := range a.schema.fields {
		i := a.target[n]
		if i < 0 {
			r.value(f.node)
		} else if err := appendAvroCell(&b.Cols[i], a.fields[i].Type, r, f.node); err != nil {
			return fmt.Errorf("column %s: %w", f.name, err)
		}
		if r.err != nil {
			return r.err
		}
	}
	if len(r.b) > 0 {
		return errAvro
	}
	b.Len++
	for i := range b.Cols {
		if b.Cols[i].Len() < b.Len {
			b.Cols[i].AppendNull()
		}
	}
	return nil
}

// branch follows a union to the type of the value that comes; nil is null.
func (r *avroReader) branch(n *avroNode) *avroNode {
	for n.kind == "union" && r.err == nil {
		i := r.long()
		if i < 0 || i >= int64(len(n.union)) {
			r.fail()
			return nil
		}
		n = n.union[i]
	}
	if n.kind == "null" {
		return nil
	}
	return n
}

// appendAvroCell appends the next value of r, of type n, as a value of type t.
func appendAvroCell(c *column.Column, t Type, r *avroReader, n *avroNode) error {
	if t.Kind == Other {
		return appendAvroNested(c, r, n)
	}
	if n = r.branch(n); n == nil || r.err != nil {
		c.AppendNull()
		return r.err
	}
	switch n.kind {
	case "record", "array", "map":
		return fmt.Errorf("%w: a %s for %s", errAvro, n.kind, t)
	}
	v := r.value(n)
	if r.err != nil {
		return r.err
	}
	switch v := v.(type) {
	case bool:
		c.AppendInt(int64(boolInt(v)))
		return matches(c, column.Int, t)
	case int64:
		if n.kind == "enum" {
			return appendSymbol(c, n, v)
		}
		return appendAvroInt(c, t, n, v)
	case float64:
		if n.kind == "float" && t.Kind == Double {
			v = basefile.WidenFloat(float32(v))
		}
		c.AppendFloat(v)
		return matches(c, column.Float, t)
	case string:
		if t.Kind == Decimal && t.Size > 0 {
			b, ok := basefile.Resize(nil, []byte(v), t.Size)
			if !ok || n.scale != t.Scale {
				return fmt.Errorf("%w: decimal(%d,%d) for %s", errAvro, n.precision, n.scale, t)
			}
			v = string(b)
		}
		c.AppendString(v)
		return matches(c, column.Bytes, t)
	}
	return errAvro
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// matches reports a value of another physical kind than its column's.
func matches(c *column.Column, k column.Kind, t Type) error {
	if c.Kind != k {
		return fmt.Errorf("%w: %s values for %s", errAvro, k, t)
	}
	return nil
}

func appendSymbol(c *column.Column, n *avroNode, i int64) error {
	if i < 0 || i >= int64(len(n.symbols)) {
		return errAvro
	}
	c.AppendString(n.symbols[i])
	return nil
}

func appendAvroInt(c *column.Column, t Type, n *avroNode, v int64) error {
	if c.Kind == column.Float {
		c.AppendFloat(float64(v))
		return nil
	}
	switch {
	case n.logical == "timestamp-millis" && t.Kind == TimestampMicros, n.logical == "time-millis" && t.Kind == TimeMicros:
		v *= 1000
	case n.logical == "timestamp-micros" && t.Kind == TimestampMillis:
		v /= 1000
	}
	c.AppendInt(v)
	return matches(c, column.Int, t)
}

// appendAvroNested appends a value as JSON text, in the form of
// basefile.AppendJSON.
func appendAvroNested(c *column.Column, r *avroReader, n *avroNode) error {
	var text []byte
	if n = r.branch(n); n == nil {
		c.AppendNull()
		return r.err
	}
	text = r.json(text, n)
	if r.err != nil {
		return r.err
	}
	c.AppendBytes(text)
	return nil
}

// json appends the next value of r, of type n, as JSON.
func (r *avroReader) json(dst []byte, n *avroNode) []byte {
	r.depth++
	defer func() { r.depth-- }()
	if r.depth > maxAvroDepth {
		r.fail()
		return dst
	}
	if n = r.branch(n); n == nil || r.err != nil {
		return append(dst, "null"...)
	}
	sep := func(i int) {
		if i > 0 {
			dst = append(dst, ',')
		}
	}
	switch n.kind {
	case "record":
		dst = append(dst, '{')
		for i, f := range n.fields {
			sep(i)
			dst = append(append(dst, quote(f.name)...), ':')
			dst = r.json(dst, f.node)
		}
		return append(dst, '}')
	case "array":
		i := 0
		dst = append(dst, '[')
		r.blocks(func() { sep(i); dst = r.json(dst, n.items); i++ })
		return append(dst, ']')
	case "map":
		// In the order of the keys: a map has none of its own.
		entries := map[string][]byte{}
		r.blocks(func() {
			k := string(r.take(r.long()))
			entries[k] = r.json(nil, n.items)
		})
		keys := make([]string, 0, len(entries))
		for k := range entries {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		dst = append(dst, '{')
		for i, k := range keys {
			sep(i)
			dst = append(append(append(dst, quote(k)...), ':'), entries[k]...)
		}
		return append(dst, '}')
	}
	return r.jsonScalar(dst, n)
}

func (r *avroReader) jsonScalar(dst []byte, n *avroNode) []byte {
	switch v := r.value(n).(type) {
	case bool:
		return strconv.AppendBool(dst, v)
	case float64:
		one := column.Column{Kind: column.Float, Floats: []float64{v}}
		physical := basefile.Double
		if n.kind == "float" {
			physical = basefile.Float
		}
		return basefile.AppendJSON(dst, basefile.Column{Physical: physical}, &one, 0)
	case int64:
		if n.kind == "enum" {
			if v < 0 || v >= int64(len(n.symbols)) {
				r.fail()
				return dst
			}
			return append(dst, quote(n.symbols[v])...)
		}
		f := Field{Type: typeOfNode(n)}
		if f.Type.Kind == Other {
			f.Type = Simple(Long)
		}
		one := column.Column{Kind: column.Int, Ints: []int64{v}}
		return basefile.AppendJSON(dst, f.column(), &one, 0)
	case string:
		if n.logical == "decimal" {
			return append(dst, quote(decimalText([]byte(v), min(max(n.scale, 0), maxDecimalScale)))...)
		}
		if n.kind == "string" {
			return append(dst, quote(v)...)
		}
		return append(base64.StdEncoding.AppendEncode(append(dst, '"'), []byte(v)), '"')
	}
	return append(dst, "null"...)
}

// maxDecimalScale bounds the zeros that a decimal is written with.
const maxDecimalScale = 1000

// typeOfNode is the type of a node of whole numbers.
func typeOfNode(n *avroNode) Type {
	// A local timestamp is written like one of UTC.
	raw, err := json.Marshal(map[string]any{"type": n.kind, "logicalType": strings.TrimPrefix(n.logical, "local-")})
	if err != nil {
		return Simple(Long)
	}
	return parsePlainType(raw)
}
