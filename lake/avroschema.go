package lake

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tributary/internal/avrotext"
	"tributary/lake/basefile"
)

// maxSchemaDepth bounds the nesting of an Avro schema that is read.
const maxSchemaDepth = 64

// The columns that Hudi puts before a table's own, in every base file.
var metaNames = [...]string{
	"_hoodie_commit_time", "_hoodie_commit_seqno", "_hoodie_record_key", "_hoodie_partition_path", "_hoodie_file_name",
}

// The places of Hudi's own columns.
const (
	metaCommitTime = iota
	metaCommitSeqno
	metaRecordKey
	metaPartition
	metaFileName
	metaColumns
)

func metaColumn(i int) basefile.Column {
	return basefile.Column{Name: metaNames[i], Physical: basefile.ByteArray, Annotation: basefile.UTF8, Nullable: true}
}

// JSON writes the schema as an Avro record, as Hudi puts it into commits.
func (s Schema) JSON() string { return s.avro(false) }

// avro writes the Avro record, with Hudi's own columns first if meta is set.
func (s Schema) avro(meta bool) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"type":"record","name":%s`, quote(s.Name))
	full := s.Name
	if s.Namespace != "" {
		fmt.Fprintf(&b, `,"namespace":%s`, quote(s.Namespace))
		full = s.Namespace + "." + s.Name
	}
	b.WriteString(`,"fields":[`)
	sep := ""
	if meta {
		for _, name := range metaNames {
			fmt.Fprintf(&b, `%s{"name":%q,"type":["null","string"],"doc":"","default":null}`, sep, name)
			sep = ","
		}
	}
	for _, f := range s.Fields {
		fmt.Fprintf(&b, `%s{"name":%s,"type":`, sep, quote(f.Name))
		sep = ","
		t := f.Type.avro(full + "." + f.Name)
		if f.Nullable {
			fmt.Fprintf(&b, `["null",%s],"default":null}`, t)
		} else {
			b.WriteString(t + "}")
		}
	}
	b.WriteString("]}")
	return b.String()
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return strconv.Quote(s)
	}
	return string(b)
}

// avro writes the type; namespace is that of a named type.
func (t Type) avro(namespace string) string {
	logical := func(base, name string) string {
		return fmt.Sprintf(`{"type":"%s","logicalType":"%s"}`, base, name)
	}
	switch t.Kind {
	case Date:
		return logical("int", "date")
	case TimeMillis:
		return logical("int", "time-millis")
	case TimeMicros:
		return logical("long", "time-micros")
	case TimestampMillis:
		return logical("long", "timestamp-millis")
	case TimestampMicros:
		return logical("long", "timestamp-micros")
	case Fixed:
		return fmt.Sprintf(`{"type":"fixed","name":"fixed","namespace":%s,"size":%d}`, quote(namespace), t.Size)
	case Decimal:
		if t.Size == 0 {
			return fmt.Sprintf(`{"type":"bytes","logicalType":"decimal","precision":%d,"scale":%d}`, t.Precision, t.Scale)
		}
		return fmt.Sprintf(`{"type":"fixed","name":"fixed","namespace":%s,"size":%d,"logicalType":"decimal","precision":%d,"scale":%d}`,
			quote(namespace), t.Size, t.Precision, t.Scale)
	case Other:
		return t.Avro
	default:
		return `"` + t.Kind.String() + `"`
	}
}

// column describes the field's column in a base file.
func (f Field) column() basefile.Column {
	c := basefile.Column{Name: f.Name, Nullable: f.Nullable}
	switch f.Type.Kind {
	case Boolean:
		c.Physical = basefile.Boolean
	case Int:
		c.Physical = basefile.Int32
	case Long:
		c.Physical = basefile.Int64
	case Float:
		c.Physical = basefile.Float
	case Double:
		c.Physical = basefile.Double
	case String:
		c.Physical, c.Annotation = basefile.ByteArray, basefile.UTF8
	case Bytes:
		c.Physical = basefile.ByteArray
	case Fixed:
		c.Physical, c.Size = basefile.FixedLen, f.Type.Size
	case Date:
		c.Physical, c.Annotation = basefile.Int32, basefile.Date
	case TimeMillis:
		c.Physical, c.Annotation = basefile.Int32, basefile.TimeMillis
	case TimeMicros:
		c.Physical, c.Annotation = basefile.Int64, basefile.TimeMicros
	case TimestampMillis:
		c.Physical, c.Annotation = basefile.Int64, basefile.TimestampMillis
	case TimestampMicros:
		c.Physical, c.Annotation = basefile.Int64, basefile.TimestampMicros
	case Decimal:
		c.Physical, c.Annotation, c.Size = basefile.FixedLen, basefile.Decimal, f.Type.Size
		c.Precision, c.Scale = f.Type.Precision, f.Type.Scale
		if f.Type.Size == 0 {
			c.Physical = basefile.ByteArray
		}
	default:
		c.Nested = true
	}
	return c
}

// schemaOfFile returns the columns of the newest of the files, as Parquet has them.
func (t *Table) schemaOfFile(ctx context.Context, files []BaseFile) (Schema, error) {
	newest := slices.MaxFunc(files, func(a, b BaseFile) int { return strings.Compare(a.Instant, b.Instant) })
	file, done, err := t.openFile(ctx, newest.Key)
	if err != nil {
		return Schema{}, err
	}
	defer done()
	var s Schema
	for i := range file.Columns() {
		if c := &file.Columns()[i]; !isMeta(c.Name) {
			s.Fields = append(s.Fields, Field{Name: c.Name, Type: typeOfColumn(c), Nullable: true})
		}
	}
	return s, nil
}

// typeOfColumn is the type that a column of a file is read as.
func typeOfColumn(c *basefile.Column) Type {
	if c.Nested {
		return Type{Kind: Other, Avro: `"nested"`}
	}
	switch c.Annotation {
	case basefile.UTF8, basefile.Enum:
		return Simple(String)
	case basefile.Date:
		return Simple(Date)
	case basefile.TimeMillis:
		return Simple(TimeMillis)
	case basefile.TimeMicros:
		return Simple(TimeMicros)
	case basefile.TimestampMillis:
		return Simple(TimestampMillis)
	case basefile.TimestampMicros:
		return Simple(TimestampMicros)
	case basefile.Decimal:
		return DecimalType(c.Precision, c.Scale)
	}
	switch c.Physical {
	case basefile.Boolean:
		return Simple(Boolean)
	case basefile.Int32:
		return Simple(Int)
	case basefile.Int64:
		return Simple(Long)
	case basefile.Int96:
		return Simple(TimestampMicros)
	case basefile.Float:
		return Simple(Float)
	case basefile.Double:
		return Simple(Double)
	case basefile.FixedLen:
		return Type{Kind: Fixed, Size: c.Size}
	default:
		return Simple(Bytes)
	}
}

// ParseSchema reads an Avro record schema. Hudi's own columns are left out. A
// field of a type that this package does not handle becomes Other.
func ParseSchema(text string) (Schema, error) {
	var doc struct {
		Type      string
		Name      string
		Namespace string
		Fields    []struct {
			Name string
			Type json.RawMessage
		}
	}
	if avrotext.Depth(text) > maxSchemaDepth {
		return Schema{}, fmt.Errorf("avro schema is nested more than %d deep", maxSchemaDepth)
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		return Schema{}, fmt.Errorf("read avro schema: %w", err)
	}
	if doc.Type != "record" {
		return Schema{}, fmt.Errorf("avro schema is a %s, not a record", doc.Type)
	}
	s := Schema{Name: doc.Name, Namespace: doc.Namespace}
	if i := strings.LastIndexByte(doc.Name, '.'); i >= 0 {
		s.Namespace, s.Name = doc.Name[:i], doc.Name[i+1:]
	}
	for _, f := range doc.Fields {
		if strings.HasPrefix(f.Name, "_hoodie_") && isMeta(f.Name) {
			continue
		}
		if f.Name == "" || len(f.Type) == 0 {
			return Schema{}, errors.New("read avro schema: a field without a name or type")
		}
		t, nullable := parseType(f.Type)
		s.Fields = append(s.Fields, Field{Name: f.Name, Type: t, Nullable: nullable})
	}
	return s, nil
}

func isMeta(name string) bool {
	for _, m := range metaNames {
		if m == name {
			return true
		}
	}
	return false
}

// parseType reads a field's type and whether it is a union with null.
func parseType(raw json.RawMessage) (Type, bool) {
	var union []json.RawMessage
	if json.Unmarshal(raw, &union) != nil {
		return parsePlainType(raw), false
	}
	var rest []json.RawMessage
	for _, u := range union {
		if string(bytes.TrimSpace(u)) != `"null"` {
			rest = append(rest, u)
		}
	}
	if len(rest) != 1 {
		return Type{Kind: Other, Avro: compact(raw)}, false // null, if any, is in the union itself
	}
	return parsePlainType(rest[0]), len(rest) < len(union)
}

func compact(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return string(raw)
	}
	return b.String()
}

func parsePlainType(raw json.RawMessage) Type {
	other := Type{Kind: Other, Avro: compact(raw)}
	var name string
	if json.Unmarshal(raw, &name) == nil {
		if t, ok := primitive(name); ok {
			return t
		}
		return other
	}
	var doc struct {
		Type      json.RawMessage
		Logical   string `json:"logicalType"`
		Size      int
		Precision int
		Scale     int
	}
	if json.Unmarshal(raw, &doc) != nil || len(doc.Type) == 0 {
		return other
	}
	if json.Unmarshal(doc.Type, &name) != nil {
		if doc.Logical != "" {
			return other
		}
		return parsePlainType(doc.Type)
	}
	switch name + " " + doc.Logical {
	case "int date":
		return Simple(Date)
	case "int time-millis":
		return Simple(TimeMillis)
	case "long time-micros":
		return Simple(TimeMicros)
	case "long timestamp-millis":
		return Simple(TimestampMillis)
	case "long timestamp-micros":
		return Simple(TimestampMicros)
	case "bytes decimal":
		return Type{Kind: Decimal, Precision: doc.Precision, Scale: doc.Scale}
	case "fixed decimal":
		return Type{Kind: Decimal, Precision: doc.Precision, Scale: doc.Scale, Size: doc.Size}
	case "string uuid":
		return Simple(String)
	}
	switch {
	case name == "fixed" && doc.Logical == "":
		return Type{Kind: Fixed, Size: doc.Size}
	case name == "enum":
		return Simple(String)
	case strings.HasPrefix(doc.Logical, "local-timestamp"), doc.Logical == "duration":
		return other
	}
	if t, ok := primitive(name); ok {
		return t // an unknown logical type is to be ignored
	}
	return other
}

func primitive(name string) (Type, bool) {
	for _, k := range []Kind{Boolean, Int, Long, Float, Double, String, Bytes} {
		if k.String() == name {
			return Simple(k), true
		}
	}
	return Type{}, false
}
