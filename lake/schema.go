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
// is wider (int, long, float and double to one of those further on, these and
// dates and decimals to string, string and bytes to one another, decimals to ones
// of more digits on either side of the point). Fields that in lacks stay. The result equals s when nothing has to change. A change that would
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

// promotions are the changes of type that Hudi's readers make on the fly, so that
// every stored file stays as it is: those of Avro, and those to text. A long that
// becomes a float or a double keeps as many digits as that has.
var promotions = map[[2]Kind]bool{
	{Int, Long}: true, {Int, Float}: true, {Int, Double}: true, {Int, String}: true,
	{Long, Float}: true, {Long, Double}: true, {Long, String}: true,
	{Float, Double}: true, {Float, String}: true,
	{Double, String}:  true,
	{Date, String}:    true,
	{Decimal, String}: true,
}

// widen returns the type that holds the values of both. Of string and bytes,
// which may each become the other, it is the newer.
func widen(have, in Type) (Type, bool) {
	text := func(t Type) bool { return t.Kind == String || t.Kind == Bytes }
	wider := func(a, b Type) bool { // decimals: b holds every value of a
		return a.Kind == Decimal && b.Kind == Decimal && b.Scale >= a.Scale && b.Precision-b.Scale >= a.Precision-a.Scale
	}
	switch {
	case wider(in, have):
		return have, true
	case wider(have, in):
		return in, true
	case have == in, promotions[[2]Kind{in.Kind, have.Kind}]:
		return have, true
	case promotions[[2]Kind{have.Kind, in.Kind}], text(have) && text(in):
		return in, true
	default:
		return Type{}, false
	}
}

// sameText are the changes of type that leave the text of every value, and with
// it record keys and partition paths, as it is.
var sameText = map[[2]Kind]bool{
	{Int, Long}: true, {Int, String}: true, {Long, String}: true, {Date, String}: true, {Decimal, String}: true,
}

// checkRoles refuses a change of the type of a column that rows are found,
// placed or ordered by, unless it changes nothing of that.
func (t *Table) checkRoles(from, to Schema) error {
	roles := map[string]string{}
	for _, p := range t.PartitionFields() {
		p, _, _ = strings.Cut(p, ":")
		roles[p] = "partition"
	}
	for _, k := range t.KeyFields() {
		roles[k] = "key"
	}
	timed := timePartition(t.props).Type != ""
	for i, f := range from.Fields {
		is, role := to.Fields[i].Type, roles[f.Name]
		change := [2]Kind{f.Type.Kind, is.Kind}
		ordered := f.Name == t.Precombine() && is.Kind == String
		if f.Type.Kind == Decimal && is.Kind == Decimal && f.Type.Scale == is.Scale && role == "key" {
			continue
		}
		if f.Type == is || !ordered && (role == "" || sameText[change] && (role == "key" || !timed || is.Kind == Long)) {
			continue
		}
		return fault.Humanf("move the table away and load it anew",
			"table %s: column %s cannot change from %s to %s: %s", t.base, f.Name, f.Type, is, or(map[bool]string{true: "rows are ordered by it"}[ordered], "it is a "+role+" field"))
	}
	return nil
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
