package avrotext

import (
	"fmt"
	"strings"
)

// Resolve returns the schema text with each type that it refers to defined in
// place of the type's first use. texts holds the referenced schemas by the name
// that the referring text uses; they may refer to each other.
func Resolve(text string, texts map[string]string) (string, error) {
	if len(texts) == 0 {
		return text, nil
	}
	root, err := parseJSON(text)
	if err != nil {
		return "", err
	}
	r := &resolver{texts: texts, defined: make(map[string]bool)}
	if root, err = r.schema(root, ""); err != nil {
		return "", err
	}
	return string(appendJSON(nil, root)), nil
}

type resolver struct {
	texts   map[string]string
	defined map[string]bool // full names that the output defines already
}

// schema returns v, an Avro schema within namespace space, with referenced
// names replaced by their definitions where they are used first.
func (r *resolver) schema(v any, space string) (any, error) {
	switch v := v.(type) {
	case string:
		return r.name(v, space)
	case []any:
		for i := range v {
			var err error
			if v[i], err = r.schema(v[i], space); err != nil {
				return nil, err
			}
		}
		return v, nil
	case *object:
		return v, r.object(v, space)
	}
	return v, nil
}

// name replaces a referenced name by its definition unless that was given
// before.
func (r *resolver) name(name, space string) (any, error) {
	full := qualify(name, "", space)
	text, ok := r.texts[full]
	if !ok {
		full = name
		text, ok = r.texts[name]
	}
	if !ok || r.defined[full] {
		return name, nil
	}
	def, err := parseJSON(text)
	if err != nil {
		return nil, fmt.Errorf("referenced schema %s: %w", full, err)
	}
	o, ok := def.(*object)
	if !ok || qualify(o.text("name"), o.text("namespace"), "") != full {
		return name, nil // another type than the reference says
	}
	if o.get("namespace") == nil && !strings.Contains(o.text("name"), ".") {
		// On its own it had no namespace; here it would get the enclosing one.
		o.set("namespace", "")
	}
	r.defined[full] = true
	return r.schema(def, "")
}

func (r *resolver) object(o *object, space string) error {
	if name := o.text("name"); name != "" {
		full := qualify(name, o.text("namespace"), space)
		if _, set := o.lookup("namespace"); set && o.text("namespace") == "" && !strings.Contains(name, ".") {
			full = name
		}
		r.defined[full] = true
		space = ""
		if i := strings.LastIndexByte(full, '.'); i >= 0 {
			space = full[:i]
		}
	}
	for _, key := range []string{"type", "items", "values"} {
		if v := o.get(key); v != nil {
			got, err := r.schema(v, space)
			if err != nil {
				return err
			}
			o.set(key, got)
		}
	}
	fields, _ := o.get("fields").([]any)
	for _, f := range fields {
		field, ok := f.(*object)
		if !ok || field.get("type") == nil {
			continue
		}
		got, err := r.schema(field.get("type"), space)
		if err != nil {
			return err
		}
		field.set("type", got)
	}
	return nil
}
