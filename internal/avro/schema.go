package avro

import (
	"fmt"
	"strings"

	"tributary/internal/column"
)

// Type is the type of a schema, named as in schema text by String.
type Type uint8

// The types of Avro.
const (
	Null Type = iota
	Boolean
	Int
	Long
	Float
	Double
	Bytes
	String
	Fixed
	Enum
	Record
	Array
	Map
	Union
)

var typeNames = [...]string{
	"null", "boolean", "int", "long", "float", "double", "bytes", "string",
	"fixed", "enum", "record", "array", "map", "union",
}

func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("type(%d)", uint8(t))
}

// Schema is a parsed schema. It is immutable once Parse has returned, and may
// be used by many goroutines. A schema that refers to itself is a cycle of
// pointers.
type Schema struct {
	Type Type
	// Name is the full name of a record, enum or fixed.
	Name string
	// Fields of a record, in the order of their bytes.
	Fields []Field
	// Branches of a union.
	Branches []*Schema
	// Items is the schema of an array's items or of a map's values.
	Items *Schema
	// Symbols of an enum.
	Symbols []string
	// Size of a fixed, in bytes.
	Size int
	// Logical is the logicalType ("decimal", "date", ...), or "". It is set only
	// when the schema's type can carry it.
	Logical string
	// Precision and Scale of a decimal.
	Precision, Scale int
	// Doc is the documentation of a record or enum.
	Doc string
	// Props holds every other property: connect.name, connect.parameters, ...
	// Values are as encoding/json decodes them.
	Props map[string]any

	text string
	// minSize is the least number of bytes that a value takes. It is 0 only for
	// a value that never takes any.
	minSize int
}

// Field is a field of a record.
type Field struct {
	Name       string
	Doc        string
	Schema     *Schema
	Default    any // as encoding/json decodes it; nil may be a default of null
	HasDefault bool
	Props      map[string]any
}

// String returns the text that the schema was parsed from, as it was given; ""
// for a schema inside another.
func (s *Schema) String() string { return s.text }

// Field returns the field of that name, or nil.
func (s *Schema) Field(name string) *Field {
	for i := range s.Fields {
		if s.Fields[i].Name == name {
			return &s.Fields[i]
		}
	}
	return nil
}

// Nullable reports whether s is a union with null among its branches, or null
// itself.
func (s *Schema) Nullable() bool {
	if s.Type == Null {
		return true
	}
	for _, b := range s.Branches {
		if b.Type == Null {
			return true
		}
	}
	return false
}

// NonNull returns s without null: the other branch of a union of null and one
// branch, or s itself. For null, and for a union of several other branches, it
// returns s.
func (s *Schema) NonNull() *Schema {
	if s.Type != Union {
		return s
	}
	var found *Schema
	for _, b := range s.Branches {
		if b.Type == Null {
			continue
		}
		if found != nil {
			return s
		}
		found = b
	}
	if found == nil {
		return s
	}
	return found
}

// Prop returns a property of s as text, or "" when it is absent or not text.
func (s *Schema) Prop(name string) string {
	v, _ := s.Props[name].(string)
	return v
}

// Param returns an entry of the property connect.parameters, or "".
func (s *Schema) Param(name string) string {
	m, _ := s.Props["connect.parameters"].(map[string]any)
	v, _ := m[name].(string)
	return v
}

// Kind returns the kind of column that a value of s goes to. The value of an
// array, a map, a record or a union of several branches goes to a Bytes column
// as its encoded bytes. ok is false for null, which fits every kind.
func (s *Schema) Kind() (k column.Kind, ok bool) {
	switch n := s.NonNull(); n.Type {
	case Null:
		return column.Int, false
	case Boolean, Int, Long:
		return column.Int, true
	case Float, Double:
		return column.Float, true
	default:
		return column.Bytes, true
	}
}

// Lookup returns the schema at a path of field names joined by dots, stepping
// through unions of null and one record; nil when there is none.
func (s *Schema) Lookup(path string) *Schema {
	for name := range strings.SplitSeq(path, ".") {
		f := s.NonNull().Field(name)
		if f == nil {
			return nil
		}
		s = f.Schema
	}
	return s
}
