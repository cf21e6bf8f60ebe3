package envelope

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
)

// expansion makes a record of a JSON object, field by field: what
// table.expand.json.payload of the EventRouter does. Each form of object has a
// schema of its own.
type expansion struct {
	nulls  bool // table.json.payload.null.behavior optional_bytes: null fields stay
	arrays bool // table.json.payload.empty.array.behavior optional_string: empty arrays stay
}

// errExpand is why a text is left as it is.
var errExpand = errors.New("the payload has no form as a record")

// jsonNode is a JSON value with the fields of objects in order.
type jsonNode struct {
	kind   byte // { [ " 0 t n
	text   string
	truth  bool
	names  []string
	nested []jsonNode
}

const maxDepth = 64

func parseNode(text []byte) (jsonNode, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	n, err := readNode(d, 0)
	if err == nil && d.More() {
		err = errExpand
	}
	return n, err
}

func readNode(d *json.Decoder, depth int) (n jsonNode, err error) {
	t, err := d.Token()
	if err != nil || depth > maxDepth {
		return n, errExpand
	}
	switch t := t.(type) {
	case nil:
		return jsonNode{kind: 'n'}, nil
	case bool:
		return jsonNode{kind: 't', truth: t}, nil
	case string:
		return jsonNode{kind: '"', text: t}, nil
	case json.Number:
		return jsonNode{kind: '0', text: t.String()}, nil
	case json.Delim:
		n.kind = byte(t)
	}
	for d.More() {
		if n.kind == '{' {
			t, err := d.Token()
			name, ok := t.(string)
			if err != nil || !ok {
				return n, errExpand
			}
			n.names = append(n.names, name)
		}
		item, err := readNode(d, depth+1)
		if err != nil {
			return n, err
		}
		n.nested = append(n.nested, item)
	}
	_, err = d.Token() // the end of it
	return n, err
}

// number is the kind of a number: int and long where it fits, else double.
func (n *jsonNode) number() (Kind, int64, float64) {
	if i, err := strconv.ParseInt(n.text, 10, 64); err == nil {
		if i >= math.MinInt32 && i <= math.MaxInt32 {
			return Int, i, 0
		}
		return Long, i, 0
	}
	f, _ := strconv.ParseFloat(n.text, 64) // infinite where it is too large
	return Double, 0, f
}

// typeOf gives the type of a value; false if it has none and is left out.
func (x expansion) typeOf(key string, n *jsonNode) (Type, bool, error) {
	switch n.kind {
	case '"':
		return TypeOf(String), true, nil
	case 't':
		return TypeOf(Boolean), true, nil
	case '0':
		k, _, _ := n.number()
		return TypeOf(k), true, nil
	case 'n':
		return TypeOf(Bytes), x.nulls, nil
	case '[':
		return x.arrayOf(key, n)
	}
	t := Type{Kind: Record, Name: key}
	seen := make(map[string]bool)
	for i, name := range n.names {
		if !legal(name) {
			return t, false, errExpand
		}
		of, ok, err := x.typeOf(key+"."+name, &n.nested[i])
		if err != nil {
			return t, false, err
		}
		if ok && !seen[name] {
			seen[name] = true
			t.Fields = append(t.Fields, RecordField{Name: name, Type: of, Nullable: true})
		}
	}
	return t, true, nil
}

// arrayOf is the type of an array: its items are all of one.
func (x expansion) arrayOf(key string, n *jsonNode) (Type, bool, error) {
	if len(n.nested) == 0 {
		return TypeArray(TypeOf(String)), x.arrays, nil
	}
	var items *Type
	for i := range n.nested {
		item := &n.nested[i]
		if item.kind == 'n' {
			continue
		}
		if item.kind == '[' {
			return Type{}, false, errExpand
		}
		t, ok, err := x.typeOf(key, item)
		switch {
		case err != nil || !ok:
			return Type{}, false, errExpand
		case items == nil:
			items = &t
		case items.Kind != t.Kind:
			return Type{}, false, errExpand
		case t.Kind == Record:
			items.Fields = merged(items.Fields, t.Fields)
		}
	}
	if items == nil {
		return Type{}, false, errExpand
	}
	return TypeArray(*items), true, nil
}

// merged are the fields of two records, those of the first where both have one.
func merged(a, b []RecordField) []RecordField {
	for _, f := range b {
		known := false
		for i := range a {
			known = known || a[i].Name == f.Name
		}
		if !known {
			a = append(a, f)
		}
	}
	return a
}

// append encodes a value of type t that may be null.
func (x expansion) append(dst []byte, t *Type, n *jsonNode) ([]byte, error) {
	if n == nil || n.kind == 'n' {
		return append(dst, 0), nil
	}
	dst = append(dst, 2)
	switch {
	case t.Kind == String && n.kind == '"':
		return AppendString(dst, n.text), nil
	case t.Kind == Boolean && n.kind == 't':
		return AppendBoolean(dst, n.truth), nil
	case n.kind == '0' && t.Kind <= Double:
		k, i, f := n.number()
		if k != t.Kind {
			return dst, errExpand
		}
		if k == Double {
			return AppendDouble(dst, f), nil
		}
		return AppendLong(dst, i), nil
	case t.Kind == Array && n.kind == '[':
		if len(n.nested) > 0 {
			dst = AppendLong(dst, int64(len(n.nested)))
		}
		for i := range n.nested {
			var err error
			if dst, err = x.append(dst, t.Items, &n.nested[i]); err != nil {
				return dst, err
			}
		}
		return append(dst, 0), nil
	case t.Kind == Record && n.kind == '{':
		for i := range t.Fields {
			var err error
			if dst, err = x.append(dst, &t.Fields[i].Type, n.find(t.Fields[i].Name)); err != nil {
				return dst, err
			}
		}
		return dst, nil
	}
	return dst, errExpand
}

func (n *jsonNode) find(name string) *jsonNode {
	for i := range n.names {
		if n.names[i] == name {
			return &n.nested[i]
		}
	}
	return nil
}

// expand makes the column and the cell of a payload, and false if it stays
// text.
func (x expansion) expand(text []byte) (Column, []byte, bool) {
	if !strings.HasPrefix(strings.TrimSpace(string(text)), "{") {
		return Column{}, nil, false
	}
	n, err := parseNode(text)
	if err != nil {
		return Column{}, nil, false
	}
	c := Column{Name: payloadField, Nullable: true}
	var ok bool
	if c.Type, ok, err = x.typeOf(payloadField, &n); err != nil || !ok {
		return c, nil, false
	}
	cell, err := x.append(nil, &c.Type, &n)
	return c, cell, err == nil
}

// payloadField is what the EventRouter calls the payload.
const payloadField = "payload"
