package avrotext

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Schema is a parsed schema: a tree in which each named type is one node, so
// that a recursive schema is a cycle.
type Schema struct {
	kind    string // as in the text: "record", "int", …; "union" for a list
	name    string // full name of a named type
	aliases []string
	fields  []schemaField
	symbols []string
	text    *object   // of a named type, for its default
	size    int64     // of a fixed
	inner   *Schema   // items or values
	types   []*Schema // branches of a union
	source  any       // the JSON that it was made of
}

type schemaField struct {
	name       string
	aliases    []string
	schema     *Schema
	hasDefault bool
	def        any
}

// Parse reads a self-contained schema. Its errors are ErrNotAvro.
func Parse(text string) (*Schema, error) {
	printed, err := Print(text) // which checks everything but defaults
	if err != nil {
		return nil, err
	}
	v, err := parseJSON(printed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotAvro, err)
	}
	p := &modeler{named: make(map[string]*Schema)}
	return p.schema(v, ""), nil
}

// CheckDefaults reports the first default that does not suit its field's type.
func (s *Schema) CheckDefaults() error { return s.checkDefaults(make(map[*Schema]bool)) }

func (s *Schema) checkDefaults(seen map[*Schema]bool) error {
	if seen[s] {
		return nil
	}
	seen[s] = true
	for _, f := range s.fields {
		if f.hasDefault && !f.schema.accepts(f.def) {
			return bad("Invalid default for field %s: %s not a %s", f.name, appendJSON(nil, f.def), f.schema.kind)
		}
		if err := f.schema.checkDefaults(seen); err != nil {
			return err
		}
	}
	for _, t := range s.types {
		if err := t.checkDefaults(seen); err != nil {
			return err
		}
	}
	if s.inner != nil {
		return s.inner.checkDefaults(seen)
	}
	return nil
}

// accepts reports whether v, from JSON, is a value of the schema.
func (s *Schema) accepts(v any) bool {
	switch s.kind {
	case "null":
		return v == nil
	case "boolean":
		_, ok := v.(bool)
		return ok
	case "int", "long":
		n, ok := v.(json.Number)
		i, err := n.Int64()
		return ok && err == nil && (s.kind == "long" || i >= math.MinInt32 && i <= math.MaxInt32)
	case "float", "double":
		if _, ok := v.(json.Number); ok {
			return true
		}
		t, ok := v.(string)
		return ok && (t == "NaN" || t == "Infinity" || t == "-Infinity")
	case "bytes", "string", "fixed", "enum":
		_, ok := v.(string)
		return ok
	case "array":
		list, ok := v.([]any)
		return ok && !slices.ContainsFunc(list, func(x any) bool { return !s.inner.accepts(x) })
	case "map":
		o, ok := v.(*object)
		return ok && !slices.ContainsFunc(o.values, func(x any) bool { return !s.inner.accepts(x) })
	case "union":
		return slices.ContainsFunc(s.types, func(t *Schema) bool { return t.accepts(v) })
	}
	o, ok := v.(*object)
	if !ok {
		return false
	}
	for _, f := range s.fields {
		got, given := o.lookup(f.name)
		if !given {
			if !f.hasDefault {
				return false
			}
			continue
		}
		if !f.schema.accepts(got) {
			return false
		}
	}
	return true
}

// modeler turns what Print printed into a Schema; it need not check again.
type modeler struct{ named map[string]*Schema }

func (p *modeler) schema(v any, space string) *Schema {
	switch v := v.(type) {
	case string:
		if primitives[v] {
			return &Schema{kind: v, source: v}
		}
		if s := p.named[qualify(v, "", space)]; s != nil {
			return s
		}
		return p.named[v]
	case []any:
		s := &Schema{kind: "union", source: v}
		for _, b := range v {
			s.types = append(s.types, p.schema(b, space))
		}
		return s
	}
	o := v.(*object)
	s := &Schema{kind: o.text("type"), source: o}
	switch s.kind {
	case "array":
		s.inner = p.schema(o.get("items"), space)
	case "map":
		s.inner = p.schema(o.get("values"), space)
	case "record", "error", "enum", "fixed":
		p.define(s, o, space)
	}
	return s
}

func (p *modeler) define(s *Schema, o *object, space string) {
	s.name = o.text("name")
	if ns, set := o.lookup("namespace"); set {
		space, _ = ns.(string)
	}
	if space != "" {
		s.name = space + "." + s.name
	}
	s.text = o
	s.aliases = strs(o.get("aliases"))
	for i, a := range s.aliases {
		s.aliases[i] = qualify(a, "", space)
	}
	p.named[s.name] = s
	s.symbols = strs(o.get("symbols"))
	if n, ok := o.get("size").(json.Number); ok {
		s.size, _ = n.Int64()
	}
	fields, _ := o.get("fields").([]any)
	for _, f := range fields {
		of := f.(*object)
		def, has := of.lookup("default")
		s.fields = append(s.fields, schemaField{
			name: of.text("name"), aliases: strs(of.get("aliases")), schema: p.schema(of.get("type"), space), hasDefault: has, def: def,
		})
	}
}

func strs(v any) []string {
	list, _ := v.([]any)
	out := make([]string, 0, len(list))
	for _, x := range list {
		if s, ok := x.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// String is the JSON that the schema was made of, without its docs. Schemas
// that Java's library holds equal have the same.
func (s *Schema) String() string { return string(appendJSON(nil, withoutDocs(s.source))) }

func withoutDocs(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = withoutDocs(v[i])
		}
		return out
	case *object:
		out := new(object)
		for i, k := range v.keys {
			if k != "doc" {
				out.add(k, withoutDocs(v.values[i]))
			}
		}
		return out
	}
	return v
}

// short is the name without its namespace.
func (s *Schema) short() string { return s.name[strings.LastIndexByte(s.name, '.')+1:] }

// enumDefault returns the symbol that stands for unknown ones, if there is one.
func (s *Schema) enumDefault() (string, bool) {
	d, ok := s.text.get("default").(string)
	return d, ok
}
