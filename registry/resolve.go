package registry

import (
	"context"
	"fmt"
	"strings"
)

// Bounds of a schema with references, against cycles and hostile registries.
const (
	maxReferences = 1000
	maxResolved   = 16 << 20 // bytes
)

// resolve returns the schema's text with each type that it refers to defined
// in place of the type's first use.
func resolve(ctx context.Context, from api, s schema) (string, error) {
	if len(s.refs) == 0 {
		return s.text, nil
	}
	r := &resolver{from: from, texts: make(map[string]string), defined: make(map[string]bool)}
	if err := r.fetch(ctx, s); err != nil {
		return "", err
	}
	root, err := parseJSON(s.text)
	if err == nil {
		root, err = r.schema(root, "")
	}
	if err != nil {
		return "", fmt.Errorf("put referenced schemas in place: %w", err)
	}
	return string(appendJSON(nil, root)), nil
}

type resolver struct {
	from    api
	texts   map[string]string // by the name that the reference gives
	size    int
	defined map[string]bool // full names that the output defines already
}

// fetch gets everything that s refers to, directly or not.
func (r *resolver) fetch(ctx context.Context, s schema) error {
	for _, ref := range s.refs {
		if _, ok := r.texts[ref.Name]; ok {
			continue
		}
		got, err := r.from.byReference(ctx, ref)
		if err != nil {
			return fmt.Errorf("reference %s (%s version %s): %w", ref.Name, ref.Artifact, ref.Version, err)
		}
		r.size += len(got.text)
		if len(r.texts) >= maxReferences || r.size > maxResolved {
			return fmt.Errorf("more than %d references or %d bytes", maxReferences, maxResolved)
		}
		r.texts[ref.Name] = got.text
		if err := r.fetch(ctx, got); err != nil {
			return err
		}
	}
	return nil
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
	full := name
	if !strings.Contains(name, ".") && space != "" {
		full = space + "." + name
	}
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
		return nil, fmt.Errorf("reference %s: %w", full, err)
	}
	if o, ok := def.(*object); ok && o.get("namespace") == nil && !strings.Contains(o.text("name"), ".") {
		// On its own it had no namespace; here it would get the enclosing one.
		o.set("namespace", "")
	}
	r.defined[full] = true
	return r.schema(def, "")
}

func (r *resolver) object(o *object, space string) error {
	if name := o.text("name"); name != "" {
		if i := strings.LastIndexByte(name, '.'); i >= 0 {
			space = name[:i]
			r.defined[name] = true
		} else {
			if o.get("namespace") != nil {
				space = o.text("namespace")
			}
			r.defined[strings.TrimPrefix(space+"."+name, ".")] = true
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
