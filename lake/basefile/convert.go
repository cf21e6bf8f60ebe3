package basefile

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/parquet-go/parquet-go"

	"tributary/internal/column"
)

// conversion turns a file's pages into values.
type conversion struct {
	from    Column
	to      column.Kind
	scale   int64 // multiply by, for units of time
	divide  int64 // divide by, exactly
	julian  bool  // int96 timestamps
	text    bool  // floats become doubles by way of their decimal text
	round   bool  // numbers become floats, the nearest
	spell   bool  // values become text
	adjust  bool  // decimals get more digits behind the point, or another size
	digits  int   // so many
	size    int   // bytes of a decimal; 0 for any number
	dense   column.Column
	scratch []byte
	dict    column.Column
	dictOf  parquet.Dictionary
}

func converter(from, to Column) (*conversion, error) {
	refuse := fmt.Errorf("column %s: the file's %s cannot be read as %s", to.Name, from.describe(), to.describe())
	if from.Nested || to.Nested {
		return nil, refuse
	}
	c := &conversion{from: from, scale: 1, divide: 1}
	switch to.Physical {
	case Float, Double:
		c.to = column.Float
		if from.Physical == Boolean || from.Physical == Int96 || from.Physical > Double || from.Annotation != Plain {
			return nil, refuse
		}
		c.round = to.Physical == Float && from.Physical != Float
		c.text = from.Physical == Float && to.Physical == Double
	case ByteArray, FixedLen:
		c.to = column.Bytes
		if to.Annotation == Decimal && from.Annotation == Decimal {
			if to.Scale < from.Scale || to.Scale-from.Scale > maxScale {
				return nil, refuse
			}
			c.adjust = to.Scale != from.Scale || to.Physical == FixedLen && (from.Physical != FixedLen || from.Size != to.Size)
			c.digits, c.size = to.Scale-from.Scale, to.Size
			break
		}
		if to.Annotation == UTF8 && (from.spells() || from == Column{Name: from.Name, Physical: ByteArray, Nullable: from.Nullable}) {
			c.spell = true
			break
		}
		if from.Physical != ByteArray && from.Physical != FixedLen {
			return nil, refuse
		}
	default:
		c.to = column.Int
		return c, c.times(to, refuse)
	}
	return c, nil
}

// spells reports whether the column's values have a text that Hudi reads them as
// once the column has become a string.
func (c *Column) spells() bool {
	switch c.Physical {
	case Float, Double:
		return true
	case Int32:
		return c.Annotation == Plain || c.Annotation == Date || c.Annotation == Decimal
	case Int64:
		return c.Annotation == Plain || c.Annotation == Decimal
	case ByteArray, FixedLen:
		return c.Annotation == Decimal
	default:
		return false
	}
}

// appendInt appends the text of a number.
func (c *conversion) appendInt(dst *column.Column, v int64) {
	switch c.from.Annotation {
	case Date:
		c.scratch = AppendDate(c.scratch[:0], v)
	case Decimal:
		c.scratch = append(c.scratch[:0], DecimalText(binary.BigEndian.AppendUint64(nil, uint64(v)), c.from.Scale)...)
	default:
		c.scratch = strconv.AppendInt(c.scratch[:0], v, 10)
	}
	dst.AppendBytes(c.scratch)
}

// appendFloat appends a number of so many bits.
func (c *conversion) appendFloat(dst *column.Column, v float64, bits int) {
	switch {
	case c.spell:
		c.scratch = AppendFloat(c.scratch[:0], v, bits)
		dst.AppendBytes(c.scratch)
	case c.text:
		dst.AppendFloat(WidenFloat(float32(v)))
	case c.round:
		dst.AppendFloat(float64(float32(v)))
	default:
		dst.AppendFloat(v)
	}
}

// appendBytes appends a value of bytes, in its own form or as text.
func (c *conversion) appendBytes(dst *column.Column, v []byte) {
	switch {
	case c.adjust:
		c.scratch = AppendDecimal(c.scratch[:0], v, c.digits, c.size)
		dst.AppendBytes(c.scratch)
	case !c.spell:
		dst.AppendBytes(v)
	case c.from.Annotation == Decimal:
		dst.AppendString(DecimalText(v, c.from.Scale))
	default:
		dst.AppendBytes(utf8Text(v))
	}
}

// times sets up the conversion between units of time.
func (c *conversion) times(to Column, refuse error) error {
	if c.from.Physical == Int96 && to.Annotation == TimestampMicros {
		c.julian = true
		return nil
	}
	if c.from.Physical == Int96 || c.from.Physical > Int96 || (c.from.Physical == Boolean) != (to.Physical == Boolean) {
		return refuse
	}
	if c.from.Physical == Int64 && to.Physical == Int32 {
		return refuse
	}
	switch {
	case c.from.Annotation == TimestampMillis && to.Annotation == TimestampMicros,
		c.from.Annotation == TimeMillis && to.Annotation == TimeMicros:
		c.scale = 1000
	case c.from.Annotation == TimestampMicros && to.Annotation == TimestampMillis,
		c.from.Annotation == TimeMicros && to.Annotation == TimeMillis:
		c.divide = 1000
	}
	return nil
}

func (c *Column) describe() string {
	if c.Nested {
		return "nested type"
	}
	physical := [...]string{"boolean", "int32", "int64", "int96", "float", "double", "bytes", "fixed"}[c.Physical]
	switch c.Annotation {
	case Decimal:
		return fmt.Sprintf("%s decimal(%d,%d)", physical, c.Precision, c.Scale)
	case Plain:
		return physical
	default:
		return physical + [...]string{"", " string", " enum", " date", " time-millis", " time-micros", " timestamp-millis", " timestamp-micros"}[c.Annotation]
	}
}

// page appends a page's values and nulls.
func (c *conversion) page(dst *column.Column, p parquet.Page) error {
	levels := p.DefinitionLevels()
	nulls := p.NumNulls()
	src := dst
	if nulls > 0 {
		c.dense.Reset()
		c.dense.Kind = c.to
		src = &c.dense
	}
	if err := c.values(src, p); err != nil {
		return err
	}
	if nulls == 0 {
		return nil
	}
	if int64(src.Len()) != int64(len(levels))-nulls {
		return fmt.Errorf("page of %d levels, %d nulls and %d values", len(levels), nulls, src.Len())
	}
	at := 0
	for _, l := range levels {
		if l == 0 {
			dst.AppendNull()
			continue
		}
		dst.Append(src, at)
		at++
	}
	return nil
}

// values appends the values of a page that are not null.
func (c *conversion) values(dst *column.Column, p parquet.Page) error {
	dict := p.Dictionary()
	if dict == nil {
		return c.plain(dst, p)
	}
	if c.dictOf != dict {
		c.dict.Reset()
		c.dict.Kind = c.to
		if err := c.plain(&c.dict, dict.Page()); err != nil {
			return err
		}
		c.dictOf = dict
	}
	data := p.Data()
	n := int32(c.dict.Len())
	for _, i := range data.Int32() {
		if i < 0 || i >= n {
			return fmt.Errorf("dictionary index %d of %d", i, n)
		}
		dst.Append(&c.dict, int(i))
	}
	return nil
}

// plain appends decoded values.
func (c *conversion) plain(dst *column.Column, p parquet.Page) error {
	data := p.Data()
	switch c.from.Physical {
	case Boolean:
		bits := data.Boolean()
		n := int(p.NumValues() - p.NumNulls())
		if n > 8*len(bits) {
			return fmt.Errorf("%d booleans in %d bytes", n, len(bits))
		}
		for i := range n {
			dst.AppendInt(int64(bits[i>>3]>>(i&7)) & 1)
		}
	case Int32:
		for _, v := range data.Int32() {
			c.integer(dst, int64(v))
		}
	case Int64:
		for _, v := range data.Int64() {
			c.integer(dst, v)
		}
	case Int96:
		for _, v := range data.Int96() {
			// Nanoseconds of the day, then the Julian day.
			day := int64(v[2]) - 2440588
			nanos := int64(uint64(v[1])<<32 | uint64(v[0]))
			dst.AppendInt(day*86_400_000_000 + nanos/1000)
		}
	case Float:
		for _, v := range data.Float() {
			c.appendFloat(dst, float64(v), 32)
		}
	case Double:
		if !c.spell && !c.round {
			dst.Floats = append(dst.Floats, data.Double()...)
			break
		}
		for _, v := range data.Double() {
			c.appendFloat(dst, v, 64)
		}
	case ByteArray:
		b, offs := data.ByteArray()
		if !c.spell && !c.adjust {
			appendByteArrays(dst, b, offs)
			break
		}
		for i := 1; i < len(offs); i++ {
			c.appendBytes(dst, b[offs[i-1]:offs[i]])
		}
	case FixedLen:
		b, size := data.FixedLenByteArray()
		for ; size > 0 && len(b) >= size; b = b[size:] {
			c.appendBytes(dst, b[:size])
		}
	}
	return nil
}

func appendByteArrays(dst *column.Column, b []byte, offs []uint32) {
	if len(offs) < 2 {
		return
	}
	if len(dst.Offs) == 0 {
		dst.Offs = append(dst.Offs, 0)
	}
	shift := uint32(len(dst.Data)) - offs[0]
	dst.Data = append(dst.Data, b[offs[0]:offs[len(offs)-1]]...)
	for _, o := range offs[1:] {
		dst.Offs = append(dst.Offs, o+shift)
	}
}

// WidenFloat makes a double of a float as Hudi does: the double that is written
// with the same digits, 0.1 and not 0.10000000149011612. So the values of a
// column that became double read the same before and after their file is
// written anew, whoever writes it.
func WidenFloat(v float32) float64 {
	d, err := strconv.ParseFloat(strconv.FormatFloat(float64(v), 'g', -1, 32), 64)
	if err != nil {
		return float64(v) // no float's text fails to parse
	}
	return d
}

// integer appends v in the form that the reader wants.
func (c *conversion) integer(dst *column.Column, v int64) {
	switch c.to {
	case column.Int:
		dst.AppendInt(v * c.scale / c.divide)
	case column.Float:
		if c.round {
			dst.AppendFloat(float64(float32(v)))
			break
		}
		dst.AppendFloat(float64(v))
	default:
		if c.spell {
			c.appendInt(dst, v)
			break
		}
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], uint64(v))
		c.appendBytes(dst, b[:])
	}
}
