package lake

import (
	"fmt"
	"strings"

	"tributary/internal/column"
	"tributary/internal/fault"
)

// Kind is the logical type of a column, in Avro's terms.
type Kind uint8

// The kinds. The comment tells how a value travels in a column.Column.
const (
	Other           Kind = iota // an array, map, record or union: kept in the schema, neither scanned nor written yet
	Boolean                     // Int, 0 or 1
	Int                         // Int, 32 bits
	Long                        // Int
	Float                       // Float, 32 bits
	Double                      // Float
	String                      // Bytes, UTF-8
	Bytes                       // Bytes
	Fixed                       // Bytes, exactly Size
	Date                        // Int, days since 1970-01-01
	TimeMillis                  // Int, milliseconds since midnight
	TimeMicros                  // Int, microseconds since midnight
	TimestampMillis             // Int, milliseconds since 1970 UTC
	TimestampMicros             // Int, microseconds since 1970 UTC
	Decimal                     // Bytes, the unscaled value, big-endian two's complement, of any length
)

var kindNames = [...]string{
	"other", "boolean", "int", "long", "float", "double", "string", "bytes", "fixed", "date",
	"time-millis", "time-micros", "timestamp-millis", "timestamp-micros", "decimal",
}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Type is the type of a column. It is comparable.
type Type struct {
	Kind      Kind
	Precision int    // Decimal: digits, at least 1
	Scale     int    // Decimal: digits after the point, 0 to Precision
	Size      int    // Fixed and Decimal: bytes; 0 for a Decimal stored as Avro bytes (foreign tables only)
	Avro      string // Other: the type's Avro JSON
}

// Simple returns a type that its kind alone describes.
func Simple(k Kind) Type { return Type{Kind: k} }

// DecimalType returns decimal(precision, scale) in the fewest bytes that hold
// precision digits, which is what every Hudi writer expects.
func DecimalType(precision, scale int) Type {
	return Type{Kind: Decimal, Precision: precision, Scale: scale, Size: decimalSize(precision)}
}

// decimalSize is the smallest n with 2^(8n-1) > 10^precision.
func decimalSize(precision int) int {
	// bits of 10^p - 1, plus the sign.
	bits := float64(precision)*3.321928094887362 + 1
	n := int(bits / 8)
	if float64(n*8) < bits {
		n++
	}
	return n
}

// String writes the type as people do: long, decimal(8,2), array…
func (t Type) String() string {
	switch t.Kind {
	case Decimal:
		return fmt.Sprintf("decimal(%d,%d)", t.Precision, t.Scale)
	case Fixed:
		return fmt.Sprintf("fixed(%d)", t.Size)
	case Other:
		return t.Avro
	default:
		return t.Kind.String()
	}
}

// Column returns the physical kind in which the type's values travel.
func (t Type) Column() column.Kind {
	switch t.Kind {
	case Float, Double:
		return column.Float
	case String, Bytes, Fixed, Decimal, Other:
		return column.Bytes
	default:
		return column.Int
	}
}

// Field is a column of a table.
type Field struct {
	Name     string
	Type     Type
	Nullable bool
}

// Schema is the ordered columns of a table, without Hudi's five own ones.
type Schema struct {
	Name      string // the Avro record's name; empty in Create means one made from the table's name
	Namespace string
	Fields    []Field
}

// Index returns the place of the named field, or -1.
func (s Schema) Index(name string) int {
	for i := range s.Fields {
		if s.Fields[i].Name == name {
			return i
		}
	}
	return -1
}

// NewBatch returns an empty batch with a column for each field.
func (s Schema) NewBatch() *column.Batch {
	kinds := make([]column.Kind, len(s.Fields))
	for i := range s.Fields {
		kinds[i] = s.Fields[i].Type.Column()
	}
	return column.NewBatch(kinds...)
}

// Equal reports whether both have the same fields in the same order.
func (s Schema) Equal(o Schema) bool {
	if len(s.Fields) != len(o.Fields) {
		return false
	}
	for i := range s.Fields {
		if s.Fields[i] != o.Fields[i] {
			return false
		}
	}
	return true
}

// Evolve returns s changed so that rows of schema in can be stored: fields that
// s lacks are added at the end, as nullable, and a type is widened where in's
// is wider (int to long, int to double, float to double). Fields that in lacks
// stay. The result equals s when nothing has to change. A change that would
// lose or reinterpret stored values is an error that needs a human; table is
// named in it.
func (s Schema) Evolve(in Schema, table string) (Schema, error) {
	out := s
	out.Fields = append([]Field(nil), s.Fields...)
	for _, f := range in.Fields {
		i := out.Index(f.Name)
		if i < 0 {
			f.Nullable = true
			out.Fields = append(out.Fields, f)
			continue
		}
		have := &out.Fields[i]
		t, ok := widen(have.Type, f.Type)
		if !ok {
			return Schema{}, fault.Humanf(
				"undo the change in the source, or give the column a new name, or move the table away and load it anew",
				"table %s: column %s cannot change from %s to %s", table, f.Name, have.Type, f.Type)
		}
		have.Type = t
		have.Nullable = have.Nullable || f.Nullable
	}
	return out, nil
}

// promotions are the changes of type that lose no value and that Hudi's readers
// make on the fly, so that every stored file stays as it is.
var promotions = map[[2]Kind]bool{
	{Int, Long}:     true,
	{Int, Double}:   true,
	{Float, Double}: true,
}

// widen returns the type that holds the values of both.
func widen(have, in Type) (Type, bool) {
	switch {
	case have == in, promotions[[2]Kind{in.Kind, have.Kind}]:
		return have, true
	case promotions[[2]Kind{have.Kind, in.Kind}]:
		return in, true
	default:
		return Type{}, false
	}
}

// avroName makes s a legal part of an Avro name.
func avroName(s string) string {
	var b strings.Builder
	for i, c := range []byte(s) {
		ok := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || i > 0 && c >= '0' && c <= '9'
		if !ok {
			c = '_'
		}
		b.WriteByte(c)
	}
	return b.String()
}
