package basefile

import (
	"fmt"

	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// Physical is how Parquet stores a value.
type Physical uint8

// The physical types. Int96 is only read.
const (
	Boolean Physical = iota
	Int32
	Int64
	Int96
	Float
	Double
	ByteArray
	FixedLen
)

// Annotation is what a value means, where its physical type does not say it.
type Annotation uint8

// The annotations.
const (
	Plain Annotation = iota
	UTF8
	Enum
	Date
	TimeMillis
	TimeMicros
	TimestampMillis
	TimestampMicros
	Decimal
)

// Column describes a column of a file.
type Column struct {
	Name       string
	Physical   Physical
	Annotation Annotation
	Size       int // FixedLen: bytes
	Precision  int // Decimal
	Scale      int // Decimal
	Nullable   bool
	Nested     bool // a group or repeated column: read as JSON text, not written
}

// sameChunk reports whether a chunk of column a can stand in column b's place.
func sameChunk(a, b Column) bool {
	return !a.Nested && !b.Nested && a == b
}

// element returns the column's entry in a file's schema.
func (c *Column) element() format.SchemaElement {
	e := format.SchemaElement{Name: c.Name, Type: thrift.New(c.formatType())}
	e.RepetitionType = thrift.New(format.Required)
	if c.Nullable {
		e.RepetitionType = thrift.New(format.Optional)
	}
	if c.Physical == FixedLen {
		e.TypeLength = thrift.New(int32(c.Size))
	}
	converted := func(t deprecated.ConvertedType, l format.LogicalTypeValue) {
		e.ConvertedType = thrift.New(t)
		e.LogicalType = format.LogicalType{Value: l}
	}
	millis := format.TimeUnit{Value: new(format.MilliSeconds)}
	micros := format.TimeUnit{Value: new(format.MicroSeconds)}
	switch c.Annotation {
	case UTF8:
		converted(deprecated.UTF8, new(format.StringType))
	case Enum:
		converted(deprecated.Enum, new(format.EnumType))
	case Date:
		converted(deprecated.Date, new(format.DateType))
	case TimeMillis:
		converted(deprecated.TimeMillis, &format.TimeType{IsAdjustedToUTC: true, Unit: millis})
	case TimeMicros:
		converted(deprecated.TimeMicros, &format.TimeType{IsAdjustedToUTC: true, Unit: micros})
	case TimestampMillis:
		converted(deprecated.TimestampMillis, &format.TimestampType{IsAdjustedToUTC: true, Unit: millis})
	case TimestampMicros:
		converted(deprecated.TimestampMicros, &format.TimestampType{IsAdjustedToUTC: true, Unit: micros})
	case Decimal:
		converted(deprecated.Decimal, &format.DecimalType{Scale: int32(c.Scale), Precision: int32(c.Precision)})
		e.Scale, e.Precision = thrift.New(int32(c.Scale)), thrift.New(int32(c.Precision))
	}
	return e
}

func (c *Column) formatType() format.Type {
	return [...]format.Type{
		format.Boolean, format.Int32, format.Int64, format.Int96,
		format.Float, format.Double, format.ByteArray, format.FixedLenByteArray,
	}[c.Physical]
}

// columnOf describes the column of a schema element.
func columnOf(e *format.SchemaElement) (Column, error) {
	c := Column{Name: e.Name}
	rep, _ := e.RepetitionType.Get()
	c.Nullable = rep == format.Optional
	typ, leaf := e.Type.Get()
	if !leaf || rep == format.Repeated {
		c.Nested = true
		return c, nil
	}
	switch typ {
	case format.Boolean:
		c.Physical = Boolean
	case format.Int32:
		c.Physical = Int32
	case format.Int64:
		c.Physical = Int64
	case format.Int96:
		c.Physical = Int96
	case format.Float:
		c.Physical = Float
	case format.Double:
		c.Physical = Double
	case format.ByteArray:
		c.Physical = ByteArray
	case format.FixedLenByteArray:
		c.Physical = FixedLen
		c.Size = int(e.TypeLength.V)
	default:
		return c, fmt.Errorf("column %s: unknown physical type %d", e.Name, typ)
	}
	c.annotate(e)
	return c, nil
}

func (c *Column) annotate(e *format.SchemaElement) {
	if t, ok := e.LogicalType.Value.(*format.TimestampType); ok {
		switch t.Unit.Value.(type) {
		case *format.MilliSeconds:
			c.Annotation = TimestampMillis
		case *format.MicroSeconds:
			c.Annotation = TimestampMicros
		}
		return
	}
	if t, ok := e.LogicalType.Value.(*format.DecimalType); ok {
		c.Annotation, c.Scale, c.Precision = Decimal, int(t.Scale), int(t.Precision)
		return
	}
	conv, ok := e.ConvertedType.Get()
	if !ok {
		switch e.LogicalType.Value.(type) {
		case *format.StringType:
			c.Annotation = UTF8
		case *format.DateType:
			c.Annotation = Date
		}
		return
	}
	switch conv {
	case deprecated.UTF8:
		c.Annotation = UTF8
	case deprecated.Enum:
		c.Annotation = Enum
	case deprecated.Date:
		c.Annotation = Date
	case deprecated.TimeMillis:
		c.Annotation = TimeMillis
	case deprecated.TimeMicros:
		c.Annotation = TimeMicros
	case deprecated.TimestampMillis:
		c.Annotation = TimestampMillis
	case deprecated.TimestampMicros:
		c.Annotation = TimestampMicros
	case deprecated.Decimal:
		c.Annotation, c.Scale, c.Precision = Decimal, int(e.Scale.V), int(e.Precision.V)
	}
}
