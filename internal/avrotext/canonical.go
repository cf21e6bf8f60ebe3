package avrotext

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// ErrNotAvro marks the error of a text that is no Avro schema.
var ErrNotAvro = errors.New("not an Avro schema")

// UnknownTypeError tells of a name that the schema uses and does not define.
type UnknownTypeError struct{ Name string }

func (e *UnknownTypeError) Error() string { return "undefined type " + e.Name }
func (e *UnknownTypeError) Unwrap() error { return ErrNotAvro }

// Canonical returns the text that stands for all texts of equal meaning by
// Apicurio's rule: the schema as Avro's Java library prints it, with empty
// docs and without aliases, and with the default null for unions that begin
// with null. Two texts that differ in white space, in the order of the
// attributes that Avro defines, or in docs are the same; an other order of
// fields, symbols or custom properties is not. A text that is not a schema, or
// uses types that it does not define, is an error that is ErrNotAvro.
func Canonical(text string) (string, error) { return printed(text, true) }

// Print returns the text as Avro's Java library prints the schema: without
// white space, the attributes that Avro defines in its own order, names
// relative to the enclosing namespace. It fails as Canonical does.
func Print(text string) (string, error) { return printed(text, false) }

func printed(text string, canonical bool) (string, error) {
	v, err := parseJSON(text)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNotAvro, err)
	}
	c := &printer{canonical: canonical, names: make(map[string]bool)}
	out, err := c.schema(v, "")
	if err != nil {
		return "", err
	}
	return string(appendJSON(nil, out)), nil
}

// Name returns the name (without namespace) of the named type that the text
// defines at its top, or "".
func Name(text string) string {
	name := FullName(text)
	return name[strings.LastIndexByte(name, '.')+1:]
}

// FullName is Name with the namespace.
func FullName(text string) string {
	v, err := parseJSON(text)
	if err != nil {
		return ""
	}
	o, _ := v.(*object)
	if o == nil || o.text("name") == "" {
		return ""
	}
	return qualify(o.text("name"), o.text("namespace"), "")
}

var primitives = map[string]bool{
	"null": true, "boolean": true, "int": true, "long": true,
	"float": true, "double": true, "bytes": true, "string": true,
}

// reserved are the attributes that Avro gives a meaning; every other one is a
// custom property.
var reserved = map[string]bool{
	"type": true, "name": true, "namespace": true, "doc": true, "aliases": true,
	"fields": true, "symbols": true, "default": true, "size": true, "items": true, "values": true,
}

type printer struct {
	canonical bool            // else docs, aliases and defaults stay as they are
	names     map[string]bool // full names defined so far
}

// doc adds the doc of the type or field o.
func (c *printer) doc(out, o *object) {
	switch d, ok := o.get("doc").(string); {
	case c.canonical:
		out.add("doc", "")
	case ok:
		out.add("doc", d)
	}
}

// aliases adds the aliases of the type or field o.
func (c *printer) aliases(out, o *object) {
	if a, ok := o.get("aliases").([]any); ok && len(a) > 0 && !c.canonical {
		out.add("aliases", a)
	}
}

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrNotAvro, fmt.Sprintf(format, args...))
}

// schema returns v as it is printed; names are relative to the
// namespace space where they can be.
func (c *printer) schema(v any, space string) (any, error) {
	switch v := v.(type) {
	case string:
		return c.reference(v, space)
	case []any:
		out := make([]any, len(v))
		seen := make(map[string]bool, len(v))
		for i := range v {
			if _, nested := v[i].([]any); nested {
				return nil, bad("a union directly within a union")
			}
			s, err := c.schema(v[i], space)
			if err != nil {
				return nil, err
			}
			kind := branch(s)
			if seen[kind] {
				return nil, bad("Duplicate in union: %s", kind)
			}
			seen[kind] = true
			out[i] = s
		}
		return out, nil
	case *object:
		return c.object(v, space)
	}
	return nil, bad("a schema is a name, an object or a list of schemas")
}

// branch names a printed schema as a union tells its branches apart.
func branch(s any) string {
	o, ok := s.(*object)
	if !ok {
		name, _ := s.(string)
		return name
	}
	if name := o.text("name"); name != "" {
		return o.text("namespace") + "." + name
	}
	return o.text("type")
}

func (c *printer) reference(name, space string) (any, error) {
	if primitives[name] {
		return name, nil
	}
	full := qualify(name, "", space)
	if !c.names[full] {
		if !c.names[name] {
			return nil, &UnknownTypeError{Name: name}
		}
		full = name
	}
	return relative(full, space), nil
}

// qualify returns the full name of a type, Avro's rules for namespaces applied.
func qualify(name, namespace, space string) string {
	switch {
	case strings.Contains(name, "."):
		return name
	case namespace != "":
		return namespace + "." + name
	case space != "":
		return space + "." + name
	}
	return name
}

// relative drops the namespace of a full name where it is the enclosing one.
func relative(full, space string) string {
	if i := strings.LastIndexByte(full, '.'); i >= 0 && full[:i] == space {
		return full[i+1:]
	}
	return full
}

func (c *printer) object(o *object, space string) (any, error) {
	kind, ok := o.get("type").(string)
	if !ok {
		// {"type": {…}} and {"type": […]} stand for what they hold.
		if inner := o.get("type"); inner != nil {
			return c.schema(inner, space)
		}
		return nil, bad("an object without type")
	}
	out := &object{keys: make([]string, 0, 6), values: make([]any, 0, 6)}
	out.add("type", kind)
	switch {
	case kind == "record" || kind == "error" || kind == "enum" || kind == "fixed":
		if err := c.named(out, o, kind, space); err != nil {
			return nil, err
		}
	case kind == "array" || kind == "map":
		key := "items"
		if kind == "map" {
			key = "values"
		}
		if o.get(key) == nil {
			return nil, bad("%s without %s", kind, key)
		}
		items, err := c.schema(o.get(key), space)
		if err != nil {
			return nil, err
		}
		out.add(key, items)
	case primitives[kind]:
	default:
		return c.reference(kind, space)
	}
	for i, k := range o.keys {
		if !reserved[k] {
			out.add(k, o.values[i])
		}
	}
	if primitives[kind] && len(out.keys) == 1 {
		return kind, nil
	}
	return out, nil
}

// named fills in a record, enum or fixed.
func (c *printer) named(out, o *object, kind, space string) error {
	name, _ := o.get("name").(string)
	if !validName(name) {
		return bad("%s has the name %q", kind, name)
	}
	namespace, _ := o.get("namespace").(string)
	full := qualify(name, namespace, space)
	if o.get("namespace") != nil && namespace == "" && !strings.Contains(name, ".") {
		full = name
	}
	if c.names[full] {
		return bad("%s is defined twice", full)
	}
	c.names[full] = true
	inner := ""
	if i := strings.LastIndexByte(full, '.'); i >= 0 {
		inner = full[:i]
	}
	out.add("name", full[strings.LastIndexByte(full, '.')+1:])
	if inner != space {
		out.add("namespace", inner)
	}
	c.doc(out, o)
	switch kind {
	case "enum":
		symbols, ok := o.get("symbols").([]any)
		if !ok {
			return bad("enum %s without symbols", full)
		}
		for _, s := range symbols {
			if text, ok := s.(string); !ok || !validName(text) || strings.Contains(text, ".") {
				return bad("enum %s has the symbol %v", full, s)
			}
		}
		out.add("symbols", symbols)
		if d := o.get("default"); d != nil {
			out.add("default", d)
		}
	case "fixed":
		size, ok := o.get("size").(json.Number)
		if n, err := size.Int64(); !ok || err != nil || n < 0 {
			return bad("fixed %s has the size %v", full, o.get("size"))
		}
		out.add("size", size)
	default:
		fields, ok := o.get("fields").([]any)
		if !ok {
			return bad("%s %s without fields", kind, full)
		}
		list, err := c.fields(fields, inner)
		if err != nil {
			return err
		}
		out.add("fields", list)
	}
	c.aliases(out, o)
	return nil
}

func (c *printer) fields(fields []any, space string) ([]any, error) {
	list := make([]any, 0, len(fields))
	seen := make(map[string]bool, len(fields))
	for _, f := range fields {
		o, ok := f.(*object)
		if !ok {
			return nil, bad("a field is not an object")
		}
		name := o.text("name")
		if !validName(name) || strings.Contains(name, ".") || seen[name] {
			return nil, bad("field name %q", name)
		}
		seen[name] = true
		if o.get("type") == nil {
			return nil, bad("field %s without type", name)
		}
		t, err := c.schema(o.get("type"), space)
		if err != nil {
			return nil, err
		}
		out := &object{keys: make([]string, 0, 6), values: make([]any, 0, 6)}
		out.add("name", name)
		out.add("type", t)
		c.doc(out, o)
		if d, ok := o.lookup("default"); ok {
			out.add("default", d)
		} else if union, ok := t.([]any); ok && c.canonical && len(union) > 0 && union[0] == "null" {
			out.add("default", nil)
		}
		if order := o.text("order"); order != "" && order != "ascending" {
			out.add("order", order)
		}
		c.aliases(out, o)
		for i, k := range o.keys {
			switch k {
			case "name", "type", "doc", "default", "order", "aliases":
			default:
				out.add(k, o.values[i])
			}
		}
		list = append(list, out)
	}
	return list, nil
}

// validName reports whether s is a name or a dotted full name.
func validName(s string) bool {
	for part := range strings.SplitSeq(s, ".") {
		if part == "" {
			return false
		}
		for i, r := range part {
			letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
			if !letter && (i == 0 || r < '0' || r > '9') {
				return false
			}
		}
	}
	return true
}
