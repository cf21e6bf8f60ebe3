package mysql

import (
	"fmt"
	"strconv"
	"strings"

	"tributary/capture/mysql/binlog"
	"tributary/envelope"
	"tributary/internal/fault"
)

// columnDef is a column as information_schema describes it.
type columnDef struct {
	Name      string   `json:"n"`
	DataType  string   `json:"t"` // "decimal", lower case
	Full      string   `json:"f"` // "decimal(8,2) unsigned"
	Nullable  bool     `json:"z,omitempty"`
	Default   *string  `json:"d,omitempty"` // literal, nil when there is none or it is an expression
	Charset   string   `json:"c,omitempty"` // of a character column, else ""
	Precision int      `json:"p,omitempty"`
	Scale     int      `json:"s,omitempty"`
	FSP       int      `json:"u,omitempty"` // digits of a second
	Length    int      `json:"l,omitempty"` // bytes of BINARY, bits of BIT
	NoDefault bool     `json:"x,omitempty"` // the default is the current time
	Hidden    bool     `json:"h,omitempty"` // the server keeps it to itself, but logs it
	Members   []string `json:"m,omitempty"` // of an ENUM or SET
	Comment   string   `json:"k,omitempty"`
	Increment bool     `json:"i,omitempty"` // AUTO_INCREMENT
	// Written is the type as the statement had it that made the column, upper
	// case; "" = as in Full.
	Written string `json:"w,omitempty"`
	// Told is the default as it stood there, nil = Default.
	Told *string `json:"o,omitempty"`
	// Expression is that of a generated column, "" for others.
	Expression string `json:"g,omitempty"`
	Excluded   bool   `json:"-"` // by column.include.list or column.exclude.list, or Hidden
}

func (d *columnDef) unsigned() bool {
	return strings.Contains(d.Full, "unsigned") || strings.Contains(d.Full, "zerofill")
}

// geometry reports whether the type is a spatial one other than POINT.
func (d *columnDef) geometry() bool {
	return strings.HasSuffix(d.DataType, "string") || strings.HasSuffix(d.DataType, "polygon") || d.DataType == "multipoint" ||
		strings.HasPrefix(d.DataType, "geom")
}

// native is the type as Debezium tells it: an ENUM has the length 1, a SET that
// of as many letters with commas between as it has members.
func (d *columnDef) native() string {
	switch d.DataType {
	case "enum":
		return "enum(1)"
	case "set":
		return "set(" + strconv.Itoa(2*len(d.Members)-1) + ")"
	}
	full := d.Full
	switch d.DataType {
	case "smallint", "mediumint", "int", "bigint": // servers may leave out what a statement has
		if _, args, _ := d.written(); len(args) == 1 && !strings.Contains(full, "(") {
			full = strings.Replace(full, d.DataType, fmt.Sprintf("%s(%d)", d.DataType, args[0]), 1)
		}
	}
	return strings.Replace(full, " zerofill", " ZEROFILL", 1)
}

// columnType is what a column's type becomes, and how its two forms get there.
type columnType struct {
	typ  envelope.Type
	text envelope.Append
	// log has the decoders of the forms in which the log may have the column.
	log []logForm
	// sql is the expression that selects the column; %s is its quoted name.
	// "" is the name alone.
	sql string
	// none tells from a value's text that it is none that the type can hold,
	// such as the date 0000-00-00; it becomes null, or what stands for null in
	// a column that cannot be. nil = every value can be held.
	none func(text []byte) bool
}

// logForm is one form of a column in a TABLE_MAP.
type logForm struct {
	typ    byte
	meta   int // required metadata, -1 = any
	decode binlog.AppendFunc
}

const anyMeta = -1

// typeRule maps columns of one data type.
type typeRule struct {
	dataType string
	when     func(d *columnDef, o *settings) bool // nil = always
	make     func(d *columnDef, o *settings) columnType
}

func unsigned(d *columnDef, _ *settings) bool { return d.unsigned() }

func fixed(t columnType) func(*columnDef, *settings) columnType {
	return func(*columnDef, *settings) columnType { return t }
}

func integer(typ envelope.Type, form byte, decode binlog.AppendFunc) func(*columnDef, *settings) columnType {
	return fixed(columnType{typ: typ, text: textInteger, log: []logForm{{form, anyMeta, decode}}})
}

// typeRules is searched from the top; the first rule that fits decides.
var typeRules = []typeRule{
	{"tinyint", unsigned, integer(envelope.TypeInt16(), binlog.ColTiny, binlog.AppendUTiny)},
	{"tinyint", nil, integer(envelope.TypeInt16(), binlog.ColTiny, binlog.AppendTiny)},
	{"smallint", unsigned, integer(envelope.TypeOf(envelope.Int), binlog.ColShort, binlog.AppendUShort)},
	{"smallint", nil, integer(envelope.TypeInt16(), binlog.ColShort, binlog.AppendShort)},
	{"mediumint", unsigned, integer(envelope.TypeOf(envelope.Int), binlog.ColInt24, binlog.AppendUInt24)},
	{"mediumint", nil, integer(envelope.TypeOf(envelope.Int), binlog.ColInt24, binlog.AppendInt24)},
	{"int", unsigned, integer(envelope.TypeOf(envelope.Long), binlog.ColLong, binlog.AppendULong)},
	{"int", nil, integer(envelope.TypeOf(envelope.Int), binlog.ColLong, binlog.AppendLong)},
	{"bigint", func(d *columnDef, o *settings) bool { return d.unsigned() && o.Unsigned == unsignedPrecise },
		fixed(columnType{typ: envelope.TypeDecimal(20, 0), text: textDecimal(0),
			log: []logForm{{binlog.ColLongLong, anyMeta, binlog.AppendULongLongDecimal}}})},
	{"bigint", unsigned, fixed(columnType{typ: envelope.TypeOf(envelope.Long), text: textUnsigned,
		log: []logForm{{binlog.ColLongLong, anyMeta, binlog.AppendLongLong}}})},
	{"bigint", nil, integer(envelope.TypeOf(envelope.Long), binlog.ColLongLong, binlog.AppendLongLong)},

	// The text of a FLOAT has six digits; as a double it has them all.
	{"float", func(d *columnDef, _ *settings) bool { return strings.Contains(d.Full, "(") },
		fixed(columnType{typ: envelope.TypeOf(envelope.Double), text: textDouble, sql: "%s+0e0",
			log: []logForm{{binlog.ColFloat, anyMeta, binlog.AppendFloatDouble}}})},
	{"float", nil, fixed(columnType{typ: envelope.TypeOf(envelope.Float), text: textFloat, sql: "%s+0e0",
		log: []logForm{{binlog.ColFloat, anyMeta, binlog.AppendFloat}}})},
	{"double", nil, fixed(columnType{typ: envelope.TypeOf(envelope.Double), text: textDouble,
		log: []logForm{{binlog.ColDouble, anyMeta, binlog.AppendDouble}}})},
	{"decimal", nil, decimalType},

	{"bit", func(d *columnDef, _ *settings) bool { return d.Length <= 1 },
		fixed(columnType{typ: envelope.TypeOf(envelope.Boolean), text: textBit1, log: []logForm{{binlog.ColBit, anyMeta, binlog.AppendBit1}}})},
	{"bit", nil, bitType},

	{"char", nil, characterType}, {"varchar", nil, characterType},
	{"tinytext", nil, characterType}, {"text", nil, characterType},
	{"mediumtext", nil, characterType}, {"longtext", nil, characterType},
	{"enum", nil, func(d *columnDef, _ *settings) columnType {
		return columnType{typ: envelope.TypeEnum(d.Members), text: textBytes, log: []logForm{{binlog.ColEnum, anyMeta, binlog.AppendEnum}}}
	}},
	{"set", nil, func(d *columnDef, _ *settings) columnType {
		return columnType{typ: envelope.TypeEnumSet(d.Members), text: textBytes, log: []logForm{{binlog.ColSet, anyMeta, binlog.AppendSet}}}
	}},
	{"binary", nil, binaryType}, {"varbinary", nil, binaryType},
	{"tinyblob", nil, binaryType}, {"blob", nil, binaryType}, {"mediumblob", nil, binaryType}, {"longblob", nil, binaryType},
	{"json", nil, fixed(columnType{typ: envelope.TypeJSON(), text: textJSON, log: []logForm{{binlog.ColJSON, anyMeta, binlog.AppendJSON}}})},

	{"uuid", nil, fixed(columnType{typ: envelope.TypeUUID(), text: textBytes, log: shortForms(binlog.AppendUUID)})},
	{"inet4", nil, fixed(columnType{typ: envelope.TypeOf(envelope.String), text: textBytes, log: shortForms(binlog.AppendINET4)})},
	{"inet6", nil, fixed(columnType{typ: envelope.TypeOf(envelope.String), text: textBytes, log: shortForms(binlog.AppendINET6)})},

	{"point", nil, fixed(columnType{typ: envelope.TypePoint(), text: envelope.AppendSpatialPoint,
		log: []logForm{{binlog.ColGeometry, anyMeta, binlog.AppendPoint}}})},
	{"geometry", nil, geometryType}, {"linestring", nil, geometryType}, {"polygon", nil, geometryType},
	{"multipoint", nil, geometryType}, {"multilinestring", nil, geometryType}, {"multipolygon", nil, geometryType},
	{"geomcollection", nil, geometryType}, {"geometrycollection", nil, geometryType},
	{"vector", nil, fixed(columnType{typ: envelope.TypeFloatVector(), text: textVector,
		log: append(shortForms(binlog.AppendShortVector), logForm{binlog.ColVector, anyMeta, binlog.AppendVector})})},

	{"date", nil, dateType},
	{"time", nil, timeType},
	{"datetime", nil, datetimeType},
	{"timestamp", nil, timestampType},
	{"year", nil, fixed(columnType{typ: envelope.TypeYear(), text: textInteger, log: []logForm{{binlog.ColYear, anyMeta, binlog.AppendYear}}})},
}

func shortForms(decode binlog.AppendFunc) []logForm {
	return []logForm{{binlog.ColString, anyMeta, decode}, {binlog.ColVarchar, anyMeta, decode}, {binlog.ColVarString, anyMeta, decode}}
}

func geometryType(*columnDef, *settings) columnType {
	return columnType{typ: envelope.TypeGeometry(), text: envelope.AppendSpatial, log: []logForm{{binlog.ColGeometry, anyMeta, binlog.AppendGeometry}}}
}

// binaryType serves BINARY, VARBINARY and the BLOBs.
func binaryType(_ *columnDef, o *settings) columnType {
	compressed := []logForm{
		{binlog.ColVarcharCompressed, anyMeta, binlog.AppendShortUncompressed}, {binlog.ColBlobCompressed, anyMeta, binlog.AppendLongUncompressed},
	}
	if e := o.encoding(); e != 0 {
		return columnType{typ: envelope.TypeOf(envelope.String), text: textEncoded(e),
			log: append(append(shortForms(binlog.AppendShortEncoded), logForm{binlog.ColBlob, anyMeta, binlog.AppendLongEncoded}), compressed...)}
	}
	return columnType{typ: envelope.TypeOf(envelope.Bytes), text: textBytes,
		log: append(append(shortForms(binlog.AppendShortBytes), logForm{binlog.ColBlob, anyMeta, binlog.AppendLongBytes}), compressed...)}
}

func decimalType(d *columnDef, o *settings) columnType {
	meta := d.Precision<<8 | d.Scale
	switch o.Decimals {
	case decimalDouble:
		return columnType{typ: envelope.TypeOf(envelope.Double), text: textDouble,
			log: []logForm{{binlog.ColNewDecimal, meta, binlog.AppendDecimalDouble}}}
	case decimalString:
		return columnType{typ: envelope.TypeOf(envelope.String), text: textDecimalString(d.Scale),
			log: []logForm{{binlog.ColNewDecimal, meta, binlog.AppendDecimalString}}}
	default:
		return columnType{typ: envelope.TypeDecimal(d.Precision, d.Scale), text: textDecimal(d.Scale),
			log: []logForm{{binlog.ColNewDecimal, meta, binlog.AppendDecimal}}}
	}
}

func bitType(d *columnDef, _ *settings) columnType {
	return columnType{
		typ: envelope.Type{Kind: envelope.Bytes, Name: "io.debezium.data.Bits", Version: 1,
			Params: []envelope.Param{{Key: "length", Value: strconv.Itoa(d.Length)}}},
		text: textBits, log: []logForm{{binlog.ColBit, d.Length/8<<8 | d.Length%8, binlog.AppendBits}},
	}
}

// characterType serves CHAR, VARCHAR and the TEXTs.
func characterType(d *columnDef, _ *settings) columnType {
	t := columnType{typ: envelope.TypeOf(envelope.String), text: textBytes}
	short, long := binlog.AppendShortBytes, binlog.AppendLongBytes
	if !plainCharsets[d.Charset] {
		short, long = binlog.AppendShortText, binlog.AppendLongText
	}
	t.log = append(shortForms(short), logForm{binlog.ColBlob, anyMeta, long},
		logForm{binlog.ColVarcharCompressed, anyMeta, binlog.AppendShortUncompressed}, logForm{binlog.ColBlobCompressed, anyMeta, binlog.AppendLongUncompressed})
	return t
}

func dateType(_ *columnDef, o *settings) columnType {
	t := columnType{typ: envelope.TypeDate(), text: textDate, none: zeroDate, log: []logForm{{binlog.ColDate, anyMeta, binlog.AppendDate}}}
	if o.Times == timeConnect {
		t.typ = envelope.TypeConnectDate()
	}
	return t
}

func timeType(d *columnDef, o *settings) columnType {
	if o.Times == timeConnect {
		return columnType{typ: envelope.TypeConnectTime(), text: textTimeMillis, none: outsideDay, log: []logForm{
			{binlog.ColTime2, d.FSP, binlog.AppendTimeMillis}, {binlog.ColTime, anyMeta, binlog.AppendTimeOldMillis}}}
	}
	return columnType{typ: envelope.TypeMicroTime(), text: textTimeMicros, log: []logForm{
		{binlog.ColTime2, d.FSP, binlog.AppendTimeMicros}, {binlog.ColTime, anyMeta, binlog.AppendTimeOldMicros}}}
}

func datetimeType(d *columnDef, o *settings) columnType {
	if o.Times != timeConnect && d.FSP > 3 {
		return columnType{typ: envelope.TypeMicroTimestamp(), text: textDatetimeMicros, none: zeroDate,
			log: []logForm{{binlog.ColDatetime2, d.FSP, binlog.AppendDatetimeMicros}}}
	}
	t := columnType{typ: envelope.TypeTimestamp(), text: textDatetimeMillis, none: zeroDate, log: []logForm{
		{binlog.ColDatetime2, d.FSP, binlog.AppendDatetimeMillis}, {binlog.ColDatetime, anyMeta, binlog.AppendDatetimeOldMillis}}}
	if o.Times == timeConnect {
		t.typ = envelope.TypeConnectTimestamp()
	}
	return t
}

func timestampType(d *columnDef, _ *settings) columnType {
	return columnType{typ: envelope.TypeZonedTimestamp(), text: textTimestamp, none: zeroDate, log: []logForm{
		{binlog.ColTimestamp2, d.FSP, binlog.AppendTimestamp}, {binlog.ColTimestamp, anyMeta, binlog.AppendTimestampOld}}}
}

// columnTypeOf finds the rule for a column. table is for the error.
func columnTypeOf(table envelope.TableID, d *columnDef, o *settings) (columnType, error) {
	if o.boolean(table, d) {
		return booleanType, nil
	}
	for i := range typeRules {
		r := &typeRules[i]
		if r.dataType == d.DataType && (r.when == nil || r.when(d, o)) {
			return r.make(d, o), nil
		}
	}
	return columnType{}, fault.Humanf("leave the table out of table.include.list",
		"column %s of %s: type %s cannot be captured yet", d.Name, table, d.Full)
}

var binaryTypes = map[string]bool{
	"binary": true, "varbinary": true, "tinyblob": true, "blob": true, "mediumblob": true, "longblob": true,
}

// envelopeColumn makes the envelope's column, with its default encoded.
func envelopeColumn(d *columnDef, t *columnType) (envelope.Column, error) {
	c := envelope.Column{Name: d.Name, Type: t.typ, Nullable: d.Nullable, Native: d.native(), Comment: d.Comment}
	if d.geometry() { // as Debezium has it
		c.Nullable = true
	}
	switch {
	case binaryTypes[d.DataType], d.DataType == "uuid", t.typ.Kind == envelope.Record, t.typ.Kind == envelope.Array: // Debezium gives these none
	case d.NoDefault && !d.Nullable:
		c.Default = t.typ.AppendZero(nil)
	case d.Default != nil && !d.NoDefault:
		text := []byte(*d.Default)
		if t.none != nil && t.none(text) {
			if !d.Nullable {
				c.Default = t.typ.AppendZero(nil)
			}
			break
		}
		if d.DataType == "bit" {
			text = bitLiteral(*d.Default, d.Length)
		}
		var err error
		if c.Default, err = t.text(nil, text); err != nil {
			return c, fmt.Errorf("default of column %s: %w", d.Name, err)
		}
	}
	return c, nil
}

// bitLiteral gives the bytes of b'1010' in a column of so many bits.
func bitLiteral(text string, length int) []byte {
	digits := strings.TrimSuffix(strings.TrimPrefix(text, "b'"), "'")
	v, _ := strconv.ParseUint(digits, 2, 64) // the server has checked it
	out := make([]byte, (max(length, 1)+7)/8)
	for i := range out {
		out[len(out)-1-i] = byte(v >> (8 * i))
	}
	return out
}
