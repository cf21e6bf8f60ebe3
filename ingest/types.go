package ingest

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"

	"tributary/internal/avro"
	"tributary/internal/column"
	"tributary/lake"
)

// conversion is what is done to the values of a field after the walk.
type conversion uint8

const (
	asIs           conversion = iota
	millisToMicros            // of an Int column
	variableToText            // VariableScaleDecimal, a record of scale and value, to plain decimal text
	decimalToText             // a decimal of more digits than engines hold, to plain decimal text
	nestedToJSON              // an array, map, record or union, to JSON
)

// maxDecimalDigits is the greatest precision that Spark, Trino and DuckDB read.
const maxDecimalDigits = 38

// semantics tells, by the connect.name of a field, the type that its values
// have in the table. Times of day stay numbers (microseconds): MySQL's TIME
// goes from -838 to 838 hours, and Spark cannot read Parquet's TIME.
var semantics = map[string]struct {
	from    avro.Type
	to      lake.Kind
	convert conversion
}{
	"io.debezium.time.Date":           {avro.Int, lake.Date, asIs},
	"io.debezium.time.Timestamp":      {avro.Long, lake.TimestampMicros, millisToMicros},
	"io.debezium.time.MicroTimestamp": {avro.Long, lake.TimestampMicros, asIs},
	"io.debezium.time.Time":           {avro.Int, lake.Long, millisToMicros},

	"org.apache.kafka.connect.data.Date":      {avro.Int, lake.Date, asIs},
	"org.apache.kafka.connect.data.Time":      {avro.Int, lake.Long, millisToMicros},
	"org.apache.kafka.connect.data.Timestamp": {avro.Long, lake.TimestampMicros, millisToMicros},
}

// logicals does the same by Avro's own logical types, for records that other
// producers wrote.
var logicals = map[string]struct {
	to      lake.Kind
	convert conversion
}{
	"date":                   {lake.Date, asIs},
	"time-millis":            {lake.Long, millisToMicros},
	"time-micros":            {lake.Long, asIs},
	"timestamp-millis":       {lake.TimestampMicros, millisToMicros},
	"timestamp-micros":       {lake.TimestampMicros, asIs},
	"local-timestamp-millis": {lake.TimestampMicros, millisToMicros},
	"local-timestamp-micros": {lake.TimestampMicros, asIs},
}

var plainKinds = map[avro.Type]lake.Kind{
	avro.Boolean: lake.Boolean, avro.Int: lake.Int, avro.Long: lake.Long,
	avro.Float: lake.Float, avro.Double: lake.Double,
	avro.String: lake.String, avro.Enum: lake.String, avro.Bytes: lake.Bytes,
}

// tableType returns the type of the table's column for a field of schema s, and
// what to do to its values.
func tableType(s *avro.Schema) (lake.Type, conversion, error) {
	s = s.NonNull()
	name := s.Prop("connect.name")
	if m, ok := semantics[name]; ok && m.from == s.Type {
		return lake.Simple(m.to), m.convert, nil
	}
	if name == "io.debezium.data.VariableScaleDecimal" && s.Type == avro.Record {
		return lake.Simple(lake.String), variableToText, nil
	}
	if precision, scale, ok := decimalOf(s); ok {
		if precision > maxDecimalDigits || scale < 0 {
			return lake.Simple(lake.String), decimalToText, nil
		}
		return lake.DecimalType(precision, scale), asIs, nil
	}
	if m, ok := logicals[s.Logical]; ok {
		return lake.Simple(m.to), m.convert, nil
	}
	if k, ok := plainKinds[s.Type]; ok {
		return lake.Simple(k), asIs, nil
	}
	switch s.Type {
	case avro.Fixed:
		return lake.Type{Kind: lake.Fixed, Size: s.Size}, asIs, nil
	case avro.Array, avro.Map, avro.Record, avro.Union:
		return lake.Simple(lake.String), nestedToJSON, nil
	}
	return lake.Type{}, asIs, fmt.Errorf("type %s is not supported", s.Type)
}

// decimalOf returns the digits of a decimal, all and behind the point. A scale
// greater than the precision, which PostgreSQL allows and Avro does not, needs
// as many digits as the scale; without a known precision it is the greatest.
func decimalOf(s *avro.Schema) (precision, scale int, ok bool) {
	if s.Logical == "decimal" {
		return max(s.Precision, s.Scale, 1), s.Scale, true
	}
	if s.Prop("connect.name") != "org.apache.kafka.connect.data.Decimal" || s.Type != avro.Bytes {
		return 0, 0, false
	}
	scale, err := strconv.Atoi(s.Param("scale"))
	if err != nil {
		return 0, 0, false
	}
	precision, err = strconv.Atoi(s.Param("connect.decimal.precision"))
	if err != nil {
		precision = maxDecimalDigits + 1
	}
	return max(precision, scale, 1), scale, true
}

// walkKind is the kind of column that the walk fills for a table column: that of
// the table, but for values that are made into text only afterwards.
func walkKind(t lake.Type, c conversion) column.Kind {
	if c == asIs || c == millisToMicros {
		return t.Column()
	}
	return column.Bytes
}

var errRange = errors.New("the time is out of the range of microseconds")

// convertTail applies conv to the values of col from row start on. scratch is
// memory of the caller's.
func convertTail(col, scratch *column.Column, start int, conv conversion, s *avro.Schema) error {
	if conv == asIs {
		return nil
	}
	if conv == millisToMicros {
		for i := start; i < len(col.Ints); i++ {
			v := col.Ints[i]
			if v > math.MaxInt64/1000 || v < math.MinInt64/1000 {
				return rowError{i, errRange}
			}
			col.Ints[i] = v * 1000
		}
		return nil
	}
	moveTail(col, scratch, start)
	var text []byte
	for i := range scratch.Len() {
		if scratch.IsNull(i) {
			col.AppendNull()
			continue
		}
		var err error
		switch conv {
		case variableToText:
			text, err = appendVariableDecimal(text[:0], s.NonNull(), scratch.Value(i))
		case decimalToText:
			_, scale, _ := decimalOf(s.NonNull())
			text = appendUnscaled(text[:0], scratch.Value(i), scale)
		default:
			text, err = appendNested(text[:0], s.NonNull(), scratch.Value(i))
		}
		if err != nil {
			return rowError{start + i, err}
		}
		col.AppendBytes(text)
	}
	return nil
}

// rowError is an error of one row of a batch.
type rowError struct {
	row int
	err error
}

func (e rowError) Error() string { return e.err.Error() }
func (e rowError) Unwrap() error { return e.err }

// moveTail moves the values from row start on out of col into scratch.
func moveTail(col, scratch *column.Column, start int) {
	scratch.Reset()
	scratch.Kind = col.Kind
	n := col.Len()
	for i := start; i < n; i++ {
		scratch.Append(col, i)
	}
	dropTail(col, start)
}

// dropTail drops the values from start on.
func dropTail(col *column.Column, start int) {
	b := column.Batch{Cols: []column.Column{*col}}
	b.Truncate(start)
	*col = b.Cols[0]
}

// appendUnscaled writes the decimal whose unscaled value is the big-endian two's
// complement v as plain text. A negative scale stands for trailing zeros.
func appendUnscaled(dst, v []byte, scale int) []byte {
	n := new(big.Int).SetBytes(v)
	if len(v) > 0 && v[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(len(v))*8))
	}
	if n.Sign() < 0 {
		dst = append(dst, '-')
		n.Neg(n)
	}
	digits := n.String()
	if scale <= 0 {
		dst = append(dst, digits...)
		for ; scale < 0 && n.Sign() != 0; scale++ {
			dst = append(dst, '0')
		}
		return dst
	}
	for len(digits) <= scale {
		digits = "0" + digits
	}
	dst = append(dst, digits[:len(digits)-scale]...)
	dst = append(dst, '.')
	return append(dst, digits[len(digits)-scale:]...)
}

// pathOf joins a record's name and a field's.
func pathOf(record, field string) string {
	if record == "" {
		return field
	}
	return record + "." + field
}
