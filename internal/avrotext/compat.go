package avrotext

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Kinds of incompatibility, named as Avro's Java library names them.
const (
	NameMismatch       = "NAME_MISMATCH"
	FixedSizeMismatch  = "FIXED_SIZE_MISMATCH"
	MissingEnumSymbols = "MISSING_ENUM_SYMBOLS"
	MissingDefault     = "READER_FIELD_MISSING_DEFAULT_VALUE"
	TypeMismatch       = "TYPE_MISMATCH"
	MissingUnionBranch = "MISSING_UNION_BRANCH"
)

// Incompatibility is one reason why a reader's schema cannot read what a
// writer's wrote.
type Incompatibility struct {
	Kind     string
	Location string // in the reader's schema: "/fields/2/type"
	Message  string

	// The parts of both schemas that do not go together.
	Reader, Writer *Schema
}

// Compatible reports every reason why data written with writer cannot be read
// with reader by Avro's rules of resolution, as its Java library finds them:
// names are compared without their namespace, a reader's aliases count,
// logical types do not, and a record within a union that differs is reported
// as the union's missing branch. None means that it can be read; of more than
// MaxIncompatibilities, the first are told.
func Compatible(reader, writer *Schema) []Incompatibility {
	c := &checker{done: make(map[[2]*Schema][]Incompatibility), busy: make(map[[2]*Schema]bool), fields: make(map[*Schema]map[string]*schemaField)}
	return c.check(reader, writer, nil)
}

// maxPairs bounds the pairs of types that one comparison judges: two hostile
// unions would make it quadratic. Real schemas need some hundreds.
const maxPairs = 1_000_000

// maxWork bounds the fields, aliases and symbols that one comparison looks at,
// each time that it does: the same large type may be compared with many.
const maxWork = 20_000_000

// MaxIncompatibilities bounds the reasons of one comparison.
const MaxIncompatibilities = 1000

// maxMissing bounds the symbols that one reason names.
const maxMissing = 100

// checker remembers the pairs that it has judged; a pair that it is judging
// already, in a recursive schema, is taken for compatible.
type checker struct {
	done map[[2]*Schema][]Incompatibility
	busy map[[2]*Schema]bool
	work int // done, of maxWork

	fields map[*Schema]map[string]*schemaField // of writers, by name
}

// bounded cuts reasons off at their bound: one type's are told again for each
// of its uses.
func bounded(found []Incompatibility) []Incompatibility {
	return found[:min(len(found), MaxIncompatibilities)]
}

// path is a place in the reader's schema, its parts.
type path []string

func (p path) and(parts ...string) path { return append(slices.Clip(p), parts...) }

func (p path) incompatible(kind string, reader, writer *Schema, format string, args ...any) []Incompatibility {
	return []Incompatibility{{kind, "/" + strings.Join(p, "/"), fmt.Sprintf(format, args...), reader, writer}}
}

func (c *checker) check(reader, writer *Schema, at path) []Incompatibility {
	pair := [2]*Schema{reader, writer}
	if found, ok := c.done[pair]; ok {
		return found
	}
	if c.busy[pair] {
		return nil
	}
	if len(c.done) >= maxPairs || c.work >= maxWork {
		return at.incompatible(TypeMismatch, reader, writer, "schemas are too large to compare")
	}
	c.busy[pair] = true
	found := c.judge(reader, writer, at)
	delete(c.busy, pair)
	c.done[pair] = found
	return found
}

func (c *checker) judge(reader, writer *Schema, at path) []Incompatibility {
	if reader.kind == writer.kind {
		return c.same(reader, writer, at)
	}
	var out []Incompatibility
	if writer.kind == "union" {
		for i, branch := range writer.types {
			out = bounded(append(out, c.check(reader, branch, at.and(strconv.Itoa(i)))...))
		}
		return out
	}
	if reader.kind == "union" {
		for _, branch := range reader.types {
			if len(c.check(branch, writer, nil)) == 0 {
				return nil
			}
		}
		return at.incompatible(MissingUnionBranch, reader, writer, "reader union lacking writer type: %s", kindName(writer))
	}
	if slices.Contains(promotions[reader.kind], writer.kind) {
		return nil
	}
	return at.incompatible(TypeMismatch, reader, writer, "reader type: %s not compatible with writer type: %s", kindName(reader), kindName(writer))
}

// promotions lists what a reader of each type can read besides its own.
var promotions = map[string][]string{
	"long": {"int"}, "float": {"int", "long"}, "double": {"int", "long", "float"},
	"bytes": {"string"}, "string": {"bytes"},
}

// kindName is the type as Java's messages have it.
func kindName(s *Schema) string {
	if s.kind == "error" {
		return "RECORD"
	}
	return strings.ToUpper(s.kind)
}

// same compares two schemas of one kind.
func (c *checker) same(reader, writer *Schema, at path) []Incompatibility {
	switch reader.kind {
	case "array":
		return c.check(reader.inner, writer.inner, at.and("items"))
	case "map":
		return c.check(reader.inner, writer.inner, at.and("values"))
	case "fixed":
		out := names(reader, writer, at)
		if reader.size != writer.size {
			out = append(out, at.and("size").incompatible(FixedSizeMismatch, reader, writer, "expected: %d, found: %d", writer.size, reader.size)...)
		}
		return out
	case "enum":
		return append(names(reader, writer, at), c.enums(reader, writer, at)...)
	case "record", "error":
		return bounded(append(names(reader, writer, at), c.records(reader, writer, at.and("fields"))...))
	case "union":
		var out []Incompatibility
		for i, branch := range writer.types {
			if len(c.check(reader, branch, nil)) > 0 {
				out = append(out, at.and(strconv.Itoa(i)).incompatible(MissingUnionBranch, reader, writer, "reader union lacking writer type: %s", kindName(branch))...)
			}
		}
		return bounded(out)
	}
	return nil
}

func names(reader, writer *Schema, at path) []Incompatibility {
	if reader.short() == writer.short() || slices.Contains(reader.aliases, writer.name) {
		return nil
	}
	return at.and("name").incompatible(NameMismatch, reader, writer, "expected: %s", writer.name)
}

func (c *checker) enums(reader, writer *Schema, at path) []Incompatibility {
	c.work += len(reader.symbols) + len(writer.symbols)
	known := make(map[string]bool, len(reader.symbols))
	for _, s := range reader.symbols {
		known[s] = true
	}
	var missing []string
	for _, s := range writer.symbols {
		if !known[s] {
			missing = append(missing, s)
		}
	}
	if d, ok := reader.enumDefault(); len(missing) == 0 || ok && known[d] {
		return nil
	}
	slices.Sort(missing)
	if more := len(missing) - maxMissing; more > 0 {
		missing = append(missing[:maxMissing:maxMissing], fmt.Sprintf("and %d more", more))
	}
	return at.and("symbols").incompatible(MissingEnumSymbols, reader, writer, "[%s]", strings.Join(missing, ", "))
}

func (c *checker) records(reader, writer *Schema, at path) []Incompatibility {
	c.work += len(reader.fields)
	byName := c.fieldsOf(writer)
	var out []Incompatibility
	for i, f := range reader.fields {
		if len(out) >= MaxIncompatibilities {
			break // there is no more to be told
		}
		from := byName[f.name]
		c.work += len(f.aliases)
		for _, a := range f.aliases {
			if from == nil {
				from = byName[a]
			}
		}
		here := at.and(strconv.Itoa(i))
		switch {
		case from != nil:
			out = bounded(append(out, c.check(f.schema, from.schema, here.and("type"))...))
		case f.hasDefault:
		default:
			out = append(out, here.incompatible(MissingDefault, reader, writer, "%s", f.name)...)
		}
	}
	return out
}

// fieldsOf returns a record's fields by name, which many may be compared with.
func (c *checker) fieldsOf(record *Schema) map[string]*schemaField {
	byName, ok := c.fields[record]
	if !ok {
		c.work += len(record.fields)
		byName = make(map[string]*schemaField, len(record.fields))
		for i := range record.fields {
			byName[record.fields[i].name] = &record.fields[i]
		}
		c.fields[record] = byName
	}
	return byName
}
