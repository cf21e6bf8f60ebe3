package avrotext

import (
	"fmt"
	"slices"
	"strings"
)

// Change is what became of one field from an older schema to a newer one.
type Change struct {
	Field  string // its path by names: "after.price"
	What   string // what happened to it, for people
	Breaks string // "backward", "forward", "both" or "": which readers it may break
	Remedy string // what would keep them whole; "" when it breaks none
}

func (c Change) String() string { return c.Field + " " + c.What }

// Against reports whether a compatibility level, such as "FULL_TRANSITIVE",
// can forbid the change. An unknown level may forbid any that breaks readers.
func (c Change) Against(level string) bool {
	switch {
	case c.Breaks == "" || level == "NONE" || level == "DISABLED":
		return false
	case strings.HasPrefix(level, "BACKWARD"):
		return c.Breaks != "forward"
	case strings.HasPrefix(level, "FORWARD"):
		return c.Breaks != "backward"
	}
	return true
}

// Changes lists which fields differ from an older schema to a newer one, by
// name and however deep: what Avro's own verdict, that a union lacks a branch,
// leaves to be guessed. A type that is used in several places is told of at
// the first. Of more than MaxIncompatibilities, the first are told.
func Changes(older, newer *Schema) []Change {
	w := &walk{seen: make(map[[2]*Schema]bool)}
	w.schemas(older, newer, "")
	return w.found
}

type walk struct {
	seen  map[[2]*Schema]bool
	found []Change
	work  int // done, of maxWork
}

func (w *walk) add(field, breaks, remedy, format string, args ...any) {
	if len(w.found) >= MaxIncompatibilities {
		return
	}
	if field == "" {
		field = "the schema"
	}
	w.found = append(w.found, Change{field, fmt.Sprintf(format, args...), breaks, remedy})
}

// What keeps readers whole.
const (
	addAnother   = "keep its type, and add another field of the new one"
	letBeNull    = "let it be null"
	keepNotNull  = "keep it from being null"
	keepSymbol   = "keep the symbol"
	withDefault  = "give it a default, or let it be null"
	keepTheField = "keep the field"
	keepTheName  = "keep the name"
)

func (w *walk) schemas(a, b *Schema, at string) {
	if w.seen[[2]*Schema{a, b}] || len(w.seen) > maxPairs || w.work > maxWork || len(w.found) >= MaxIncompatibilities {
		return
	}
	w.seen[[2]*Schema{a, b}] = true
	if a.kind == "union" || b.kind == "union" {
		w.unions(a, b, at)
		return
	}
	if a.kind != b.kind {
		breaks := "both"
		switch {
		case slices.Contains(promotions[b.kind], a.kind):
			breaks = "forward"
		case slices.Contains(promotions[a.kind], b.kind):
			breaks = "backward"
		}
		w.add(at, breaks, addAnother, "changed its type from %s to %s", typeName(a), typeName(b))
		return
	}
	if a.name != "" && a.short() != b.short() && !slices.Contains(b.aliases, a.name) {
		w.add(at, "both", keepTheName, "changed its name from %s to %s", a.name, b.name)
	}
	switch a.kind {
	case "array", "map":
		w.schemas(a.inner, b.inner, at+"[]")
	case "record", "error":
		w.records(a, b, at)
	case "enum":
		w.work += len(a.symbols) + len(b.symbols)
		before, now := set(a.symbols), set(b.symbols)
		for _, s := range a.symbols {
			if !now[s] {
				w.add(at, "backward", keepSymbol, "lost the symbol %s", s)
			}
		}
		for _, s := range b.symbols {
			if !before[s] {
				w.add(at, "forward", addAnother, "got the symbol %s", s)
			}
		}
	case "fixed":
		if a.size != b.size {
			w.add(at, "both", addAnother, "changed its size from %d to %d", a.size, b.size)
		}
	}
}

// unions compares what is in both, a plain type being a union of itself.
func (w *walk) unions(a, b *Schema, at string) {
	before, now := branches(a), branches(b)
	if nullable(before) != nullable(now) {
		if nullable(now) {
			w.add(at, "forward", keepNotNull, "may be null now")
		} else {
			w.add(at, "backward", letBeNull, "may not be null any more")
		}
	}
	before, now = slices.DeleteFunc(before, isNull), slices.DeleteFunc(now, isNull)
	if len(before) == 1 && len(now) == 1 {
		w.schemas(before[0], now[0], at)
		return
	}
	w.work += len(before) + len(now)
	was, is := byType(before), byType(now)
	for _, x := range before {
		y := is[typeName(x)]
		if y == nil {
			w.add(at, "backward", addAnother, "is no %s any more", typeName(x))
			continue
		}
		w.schemas(x, y, at)
	}
	for _, y := range now {
		if was[typeName(y)] == nil {
			w.add(at, "forward", addAnother, "may be %s now", typeName(y))
		}
	}
}

func branches(s *Schema) []*Schema {
	if s.kind == "union" {
		return slices.Clone(s.types)
	}
	return []*Schema{s}
}

// byType finds the first of each type.
func byType(types []*Schema) map[string]*Schema {
	first := make(map[string]*Schema, len(types))
	for _, s := range types {
		if name := typeName(s); first[name] == nil {
			first[name] = s
		}
	}
	return first
}

func set(names []string) map[string]bool {
	out := make(map[string]bool, len(names))
	for _, n := range names {
		out[n] = true
	}
	return out
}

func isNull(s *Schema) bool { return s.kind == "null" }

func nullable(types []*Schema) bool { return slices.ContainsFunc(types, isNull) }

// typeName is how a type is told to people.
func typeName(s *Schema) string {
	if s.name != "" {
		return s.kind + " " + s.short()
	}
	return s.kind
}

func (w *walk) records(a, b *Schema, at string) {
	path := func(name string) string {
		return strings.TrimPrefix(at+"."+name, ".")
	}
	w.work += len(a.fields) + len(b.fields)
	now := make(map[string]*schemaField, len(b.fields)) // the first that has the name, or had it
	for i := range b.fields {
		g := &b.fields[i]
		w.work += len(g.aliases)
		for _, name := range append([]string{g.name}, g.aliases...) {
			if now[name] == nil {
				now[name] = g
			}
		}
	}
	before := make(map[string]bool, len(a.fields))
	for i := range a.fields {
		f := &a.fields[i]
		before[f.name] = true
		g := now[f.name]
		if g == nil {
			if f.hasDefault {
				w.add(path(f.name), "", "", "was removed")
			} else {
				w.add(path(f.name), "forward", keepTheField, "was removed")
			}
			continue
		}
		if f.hasDefault != g.hasDefault {
			if g.hasDefault {
				w.add(path(f.name), "", "", "got a default")
			} else {
				w.add(path(f.name), "", "", "lost its default")
			}
		}
		w.schemas(f.schema, g.schema, path(f.name))
	}
	for i := range b.fields {
		g := &b.fields[i]
		if before[g.name] || slices.ContainsFunc(g.aliases, func(name string) bool { return before[name] }) {
			continue
		}
		if g.hasDefault {
			w.add(path(g.name), "", "", "was added")
		} else {
			w.add(path(g.name), "backward", withDefault, "was added without a default")
		}
	}
}

// SameLayout reports whether what one schema writes, byte for byte, another
// reads as the same values: names, types, what types mean, and the order of
// fields, symbols and branches are equal, whatever docs, aliases, defaults and
// other properties say.
func SameLayout(a, b *Schema) bool { return sameLayout(a, b, make(map[[2]*Schema]bool)) }

func sameLayout(a, b *Schema, seen map[[2]*Schema]bool) bool {
	pair := [2]*Schema{a, b}
	if seen[pair] {
		return true
	}
	seen[pair] = true
	if a.kind != b.kind || a.name != b.name || a.size != b.size || !slices.Equal(a.symbols, b.symbols) ||
		!slices.Equal(a.meaning(), b.meaning()) || len(a.fields) != len(b.fields) || len(a.types) != len(b.types) || (a.inner == nil) != (b.inner == nil) {
		return false
	}
	for i := range a.fields {
		if a.fields[i].name != b.fields[i].name || !sameLayout(a.fields[i].schema, b.fields[i].schema, seen) {
			return false
		}
	}
	for i := range a.types {
		if !sameLayout(a.types[i], b.types[i], seen) {
			return false
		}
	}
	return a.inner == nil || sameLayout(a.inner, b.inner, seen)
}

// meaning is what makes more of a type than its kind: logical types and those
// of Kafka Connect.
func (s *Schema) meaning() []string {
	o, _ := s.source.(*object)
	var out []string
	for _, key := range []string{"logicalType", "precision", "scale", "connect.name"} {
		if o != nil {
			out = append(out, string(appendJSON(nil, o.get(key))))
		} else {
			out = append(out, "null")
		}
	}
	return out
}
