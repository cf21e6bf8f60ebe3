package envelope

import "strconv"

// Kind is the Avro type of a value.
type Kind uint8

// The Avro types in use.
const (
	Boolean Kind = iota
	Int
	Long
	Float
	Double
	Bytes
	String
	Record // Fields
	Array  // Items
	Map    // from strings to Items
)

func (k Kind) String() string {
	return [...]string{"boolean", "int", "long", "float", "double", "bytes", "string", "record", "array", "map"}[k]
}

// Type is the Connect schema of a value as it appears in Avro: the Avro type
// and the semantic type that Debezium gives it.
type Type struct {
	Kind    Kind
	Int16   bool    // an int that Connect knows as int16
	Name    string  // semantic type, e.g. "io.debezium.time.Date"; "" = plain
	Doc     string  // connect.doc
	Version int     // connect.version, with Name
	Params  []Param // connect.parameters, in order
	Logical string  // Avro logicalType, "" = none

	Precision, Scale int // of a decimal

	Fields []RecordField // of a Record
	Items  *Type         // of an Array or Map
	// ItemsNullable makes the items of an array or map ["null", T].
	ItemsNullable bool
	// Zero is the bare Avro encoding of what stands for an absent value of a
	// NOT NULL column; nil = the zero of Kind.
	Zero []byte
}

// Param is one of connect.parameters.
type Param struct{ Key, Value string }

// RecordField is a field of a Record type.
type RecordField struct {
	Name     string
	Type     Type
	Nullable bool // union ["null", Type], default null
}

// AppendZero appends the value that stands for one that is absent.
func (t *Type) AppendZero(dst []byte) []byte {
	if t.Zero != nil {
		return append(dst, t.Zero...)
	}
	switch t.Kind {
	case Float:
		return append(dst, 0, 0, 0, 0)
	case Double:
		return append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	case Record:
		for i := range t.Fields {
			if t.Fields[i].Nullable {
				dst = append(dst, 0)
			} else {
				dst = t.Fields[i].Type.AppendZero(dst)
			}
		}
		return dst
	default:
		return append(dst, 0)
	}
}

func named(k Kind, name string) Type { return Type{Kind: k, Name: name, Version: 1} }

// TypeOf is a plain type without a semantic name.
func TypeOf(k Kind) Type { return Type{Kind: k} }

// TypeInt16 is an int that Connect knows as int16.
func TypeInt16() Type { return Type{Kind: Int, Int16: true} }

// TypeDecimal is an exact decimal in bytes: the minimal big-endian two's
// complement of the unscaled value.
func TypeDecimal(precision, scale int) Type {
	t := named(Bytes, "org.apache.kafka.connect.data.Decimal")
	t.Logical, t.Precision, t.Scale = "decimal", precision, scale
	t.Params = []Param{{"scale", strconv.Itoa(scale)}, {"connect.decimal.precision", strconv.Itoa(precision)}}
	t.Zero = []byte{2, 0}
	return t
}

// TypeVariableScaleDecimal is a decimal that carries its scale: a record of
// scale and unscaled value.
func TypeVariableScaleDecimal() Type {
	t := named(Record, "io.debezium.data.VariableScaleDecimal")
	t.Doc = "Variable scaled decimal"
	t.Fields = []RecordField{{Name: "scale", Type: TypeOf(Int)}, {Name: "value", Type: TypeOf(Bytes)}}
	t.Zero = []byte{0, 2, 0}
	return t
}

// TypeDate counts days since 1970-01-01.
func TypeDate() Type { return named(Int, "io.debezium.time.Date") }

// TypeTime counts milliseconds since midnight.
func TypeTime() Type { return named(Int, "io.debezium.time.Time") }

// TypeMicroTime counts microseconds since midnight.
func TypeMicroTime() Type { return named(Long, "io.debezium.time.MicroTime") }

// TypeTimestamp counts milliseconds since 1970 without a zone.
func TypeTimestamp() Type { return named(Long, "io.debezium.time.Timestamp") }

// TypeMicroTimestamp counts microseconds since 1970 without a zone.
func TypeMicroTimestamp() Type { return named(Long, "io.debezium.time.MicroTimestamp") }

// TypeZonedTimestamp is ISO 8601 text in UTC.
func TypeZonedTimestamp() Type {
	t := named(String, "io.debezium.time.ZonedTimestamp")
	t.Zero = AppendString(nil, "1970-01-01T00:00:00Z")
	return t
}

// TypeZonedTime is ISO 8601 text in UTC.
func TypeZonedTime() Type {
	t := named(String, "io.debezium.time.ZonedTime")
	t.Zero = AppendString(nil, "00:00:00Z")
	return t
}

// TypeMicroDuration is a length of time in microseconds.
func TypeMicroDuration() Type { return named(Long, "io.debezium.time.MicroDuration") }

// TypeInterval is a length of time as ISO 8601 text, PnYnMnDTnHnMnS.
func TypeInterval() Type { return named(String, "io.debezium.time.Interval") }

// TypeBits is a string of bits: bytes from the lowest on, without those above
// the highest bit that is set. length is the greatest number of bits.
func TypeBits(length int) Type {
	t := named(Bytes, "io.debezium.data.Bits")
	t.Params = []Param{{"length", strconv.Itoa(length)}}
	return t
}

// TypeArray is an array of items that may be null.
func TypeArray(items Type) Type { return Type{Kind: Array, Items: &items, ItemsNullable: true} }

// TypeMap is a map from strings to values that may be null.
func TypeMap(values Type) Type { return Type{Kind: Map, Items: &values, ItemsNullable: true} }

// TypeYear is a calendar year.
func TypeYear() Type { return named(Int, "io.debezium.time.Year") }

// TypeConnectDate is days since 1970-01-01 in Connect's own type, as
// TypeConnectTime is milliseconds since midnight and TypeConnectTimestamp
// milliseconds since 1970 (time.precision.mode "connect").
func TypeConnectDate() Type { return connect(Int, "Date", "date") }

// TypeConnectTime is milliseconds since midnight.
func TypeConnectTime() Type { return connect(Int, "Time", "time-millis") }

// TypeConnectTimestamp is milliseconds since 1970.
func TypeConnectTimestamp() Type { return connect(Long, "Timestamp", "timestamp-millis") }

func connect(k Kind, name, logical string) Type {
	t := named(k, "org.apache.kafka.connect.data."+name)
	t.Logical = logical
	return t
}

// TypeJSON is a JSON document as text.
func TypeJSON() Type { return named(String, "io.debezium.data.Json") }

// TypeUUID is a UUID as text.
func TypeUUID() Type { return named(String, "io.debezium.data.Uuid") }
