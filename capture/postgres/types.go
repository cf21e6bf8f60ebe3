package postgres

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"

	"tributary/envelope"
	"tributary/internal/fault"
)

// pgType is a type of the catalog, with a domain resolved to its base type.
type pgType struct {
	oid      uint32
	name     string // pg_type.typname
	declared string // the same of the domain, where there is one
	enum     []string
	typmod   int32   // of an array, that of its elements; -1 = none
	elem     *pgType // nil = no array
	delim    byte    // between the elements of an array's text
}

// The OIDs of the built-in types (src/include/catalog/pg_type.dat).
const (
	oidBool        = 16
	oidBytea       = 17
	oidChar        = 18
	oidName        = 19
	oidInt8        = 20
	oidInt2        = 21
	oidInt2Vector  = 22
	oidInt4        = 23
	oidText        = 25
	oidOID         = 26
	oidOIDVector   = 30
	oidJSON        = 114
	oidXML         = 142
	oidPoint       = 600
	oidLseg        = 601
	oidPath        = 602
	oidBox         = 603
	oidPolygon     = 604
	oidLine        = 628
	oidCIDR        = 650
	oidFloat4      = 700
	oidFloat8      = 701
	oidCircle      = 718
	oidMacaddr8    = 774
	oidMoney       = 790
	oidMacaddr     = 829
	oidInet        = 869
	oidBpchar      = 1042
	oidVarchar     = 1043
	oidDate        = 1082
	oidTime        = 1083
	oidTimestamp   = 1114
	oidTimestamptz = 1184
	oidInterval    = 1186
	oidTimetz      = 1266
	oidBit         = 1560
	oidVarbit      = 1562
	oidNumeric     = 1700
	oidUUID        = 2950
	oidTSVector    = 3614
	oidJSONB       = 3802
	oidInt4Range   = 3904
	oidNumRange    = 3906
	oidTSRange     = 3908
	oidTSTZRange   = 3910
	oidDateRange   = 3912
	oidInt8Range   = 3926
)

// modes are the options that say how values are written.
type modes struct {
	decimals, times, binaries, intervals, hstores string

	moneyDigits int  // fraction digits of money in the events
	moneyServer int  // fraction digits of money in the database
	unknown     bool // types without a mapping are written as their text
	debezium35  bool // events as Debezium 3.5 has them, not 3.0
	defects     defects
}

// mapping is how a type is written: its semantic type, the encoder of its
// text, and what stands for a value that the log does not carry.
type mapping struct {
	typ    envelope.Type
	encode envelope.Append
	// unavailable gives the bare Avro form of unavailable.value.placeholder; it
	// is nil where that cannot be told from a value.
	unavailable func(placeholder string) []byte
	zeroDefault bool   // a default that is computed counts as the type's zero
	computed    []byte // or as this, where there is one
	noDefault   bool   // a default is not told in the schema
	array       bool   // the encoder takes a whole array
}

// plain is a type that is written as one kind whatever the options are.
func plain(t envelope.Type, fn envelope.Append) mapping {
	return mapping{typ: t, encode: fn, zeroDefault: true}
}

// text is a type whose text is its value.
func text(t envelope.Type) mapping {
	return mapping{typ: t, encode: appendText, unavailable: placeholderText, zeroDefault: true}
}

// untold is m whose default is not told in the schema.
func untold(m mapping) mapping {
	m.noDefault = true
	return m
}

func placeholderText(p string) []byte { return envelope.AppendString(nil, p) }

func placeholderWKB(p string) []byte { return envelope.AppendGeometry(nil, []byte(p), 0) }

func plainText() mapping { return text(envelope.TypeOf(envelope.String)) }

// semantic is a type whose text is its value, with a name of its own.
func semantic(name string) mapping {
	return text(envelope.Type{Kind: envelope.String, Name: name, Version: 1})
}

// mapType returns the mapping of t, false if there is none.
func mapType(t pgType, m *modes) (mapping, bool) {
	if t.elem != nil {
		return mapArray(t, m)
	}
	if t.enum != nil {
		out := text(enumType(t.enum))
		out.zeroDefault = false
		return out, true
	}
	for _, try := range []func(pgType, *modes) (mapping, bool){mapNumber, mapText, mapTime, mapBinary, mapExtension} {
		if out, ok := try(t, m); ok {
			return out, true
		}
	}
	if !m.unknown {
		return mapping{}, false
	}
	out := binaryText(m.binaries, func(src []byte) ([]byte, error) { return geometricText(t.oid, src), nil })
	out.noDefault = true
	return out, true
}

func mapNumber(t pgType, m *modes) (mapping, bool) {
	switch t.oid {
	case oidBool:
		return plain(envelope.TypeOf(envelope.Boolean), appendBool), true
	case oidInt2:
		return plain(envelope.TypeInt16(), appendInteger), true
	case oidInt4:
		return plain(envelope.TypeOf(envelope.Int), appendInteger), true
	case oidInt8:
		return plain(envelope.TypeOf(envelope.Long), appendInteger), true
	case oidOID:
		return untold(plain(envelope.TypeOf(envelope.Long), appendInteger)), true
	case oidFloat4:
		return plain(envelope.TypeOf(envelope.Float), appendFloat4), true
	case oidFloat8:
		return plain(envelope.TypeOf(envelope.Double), appendFloat8), true
	case oidNumeric:
		return numeric(t.typmod, m.decimals), true
	case oidMoney:
		return money(m), true
	}
	return mapping{}, false
}

func mapText(t pgType, m *modes) (mapping, bool) {
	switch t.oid {
	case oidText, oidVarchar, oidBpchar:
		return plainText(), true
	case oidChar, oidName, oidInet, oidCIDR, oidMacaddr, oidMacaddr8,
		oidInt4Range, oidInt8Range, oidNumRange, oidTSRange, oidTSTZRange, oidDateRange:
		return untold(plainText()), true
	case oidJSON, oidJSONB:
		out := text(envelope.TypeJSON())
		out.computed = envelope.AppendString(nil, "{}")
		return out, true
	case oidXML:
		return semantic("io.debezium.data.Xml"), true
	case oidUUID:
		out := text(envelope.TypeUUID())
		out.computed = envelope.AppendString(nil, "00000000-0000-0000-0000-000000000000")
		return out, true
	case oidTSVector:
		if m.debezium35 {
			return untold(semantic("io.debezium.data.Tsvector")), true
		}
	}
	return mapping{}, false
}

func mapBinary(t pgType, m *modes) (mapping, bool) {
	switch t.oid {
	case oidBytea:
		out := binaryText(m.binaries, decodeBytea)
		out.noDefault = true
		return out, true
	case oidBit:
		return bits(int(max(t.typmod, 1))), true
	case oidVarbit:
		if t.typmod < 0 {
			return bits(1<<31 - 1), true
		}
		return bits(int(t.typmod)), true
	case oidInt2Vector:
		return numbers(envelope.TypeInt16()), true
	case oidOIDVector:
		return numbers(envelope.TypeOf(envelope.Long)), true
	case oidPoint:
		return mapping{typ: envelope.TypePoint(), encode: appendPoint, noDefault: true}, true
	}
	return mapping{}, false
}

// mapExtension maps types that have no fixed OID, by their names.
func mapExtension(t pgType, m *modes) (mapping, bool) {
	switch t.name {
	case "citext", "isbn":
		return untold(plainText()), true
	case "ltree":
		return untold(semantic("io.debezium.data.Ltree")), true
	case "hstore":
		return untold(hstore(m.hstores)), true
	case "geometry":
		return mapping{typ: envelope.TypeGeometry(), encode: appendEWKB, noDefault: true, unavailable: placeholderWKB}, true
	case "geography":
		return mapping{typ: envelope.TypeGeography(), encode: appendEWKB, noDefault: true, unavailable: placeholderWKB}, true
	case "vector":
		return vector("io.debezium.data.DoubleVector", envelope.Double, appendFloat8), true
	case "halfvec":
		return vector("io.debezium.data.FloatVector", envelope.Float, appendFloat4), true
	}
	return mapping{}, false
}

func enumType(labels []string) envelope.Type {
	allowed := ""
	for i, l := range labels {
		if i > 0 {
			allowed += ","
		}
		allowed += l
	}
	return envelope.Type{Kind: envelope.String, Name: "io.debezium.data.Enum", Version: 1,
		Params: []envelope.Param{{Key: "allowed", Value: allowed}}}
}

// precisionScale reads the type modifier of numeric(precision, scale):
// ((precision << 16) | (scale & 0x7ff)) + 4, with scale signed in 11 bits.
func precisionScale(typmod int32) (precision, scale int) {
	return int((typmod - 4) >> 16 & 0xffff), int((typmod-4)&0x7ff^1024) - 1024
}

func numeric(typmod int32, mode string) mapping {
	bounded := typmod >= 4
	precision, scale := precisionScale(typmod)
	switch {
	case mode == "double":
		return plain(envelope.TypeOf(envelope.Double), appendFloat8)
	case mode == "string" && bounded:
		out := plainText()
		out.encode = special(appendScaled(max(scale, 0)))
		return out
	case mode == "string":
		out := plainText()
		out.encode = special(appendText)
		return out
	case !bounded:
		return mapping{typ: envelope.TypeVariableScaleDecimal(), encode: envelope.AppendVariableDecimal, noDefault: true}
	}
	// Avro has neither a negative scale (the zeros before the point are
	// digits) nor one above the precision (those after it are).
	if scale < 0 {
		precision, scale = precision-scale, 0
	}
	return plain(envelope.TypeDecimal(max(precision, scale), scale), func(dst, src []byte) ([]byte, error) {
		return envelope.AppendDecimal(dst, src, scale)
	})
}

// special writes what is no number by the names that Debezium has for it.
func special(number envelope.Append) envelope.Append {
	return func(dst, src []byte) ([]byte, error) {
		switch string(src) {
		case "NaN":
			return envelope.AppendString(dst, "NAN"), nil
		case "Infinity":
			return envelope.AppendString(dst, "POSITIVE_INFINITY"), nil
		case "-Infinity":
			return envelope.AppendString(dst, "NEGATIVE_INFINITY"), nil
		}
		return number(dst, src)
	}
}

// binaryText is a type whose value is bytes, which decode makes of its text.
func binaryText(mode string, decode func(src []byte) ([]byte, error)) mapping {
	out := mapping{typ: envelope.TypeOf(envelope.String)}
	toText := textOfBytes(mode)
	if toText == nil {
		out.typ = envelope.TypeOf(envelope.Bytes)
		out.unavailable = placeholderText
		out.encode = func(dst, src []byte) ([]byte, error) {
			raw, err := decode(src)
			if err != nil {
				return dst, err
			}
			return envelope.AppendBytes(dst, raw), nil
		}
		return out
	}
	out.unavailable = placeholderText
	out.encode = func(dst, src []byte) ([]byte, error) {
		raw, err := decode(src)
		if err != nil {
			return dst, err
		}
		return envelope.AppendString(dst, toText(raw)), nil
	}
	return out
}

// textOfBytes is how a binary.handling.mode writes bytes as text, nil for bytes.
func textOfBytes(mode string) func([]byte) string {
	switch mode {
	case "base64":
		return base64.StdEncoding.EncodeToString
	case "base64-url-safe":
		return base64.URLEncoding.EncodeToString
	case "hex":
		return hex.EncodeToString
	}
	return nil
}

// mapTime is the mapping of dates and times. Their type modifier is the number
// of fraction digits, -1 for 6.
func mapTime(t pgType, m *modes) (mapping, bool) {
	digits := int(t.typmod)
	if digits < 0 || digits > 6 {
		digits = 6
	}
	connect := m.times == "connect"
	switch t.oid {
	case oidDate:
		if connect {
			return plain(envelope.TypeConnectDate(), appendDate), true
		}
		return plain(envelope.TypeDate(), appendDate), true
	case oidTime:
		switch {
		case connect:
			return plain(envelope.TypeConnectTime(), appendTimeMillis), true
		case m.times == "adaptive" && digits <= 3:
			return plain(envelope.TypeTime(), appendTimeMillis), true
		}
		return plain(envelope.TypeMicroTime(), appendTimeMicros), true
	case oidTimestamp:
		switch {
		case connect:
			return plain(envelope.TypeConnectTimestamp(), appendTimestampMillis), true
		case digits <= 3:
			return plain(envelope.TypeTimestamp(), appendTimestampMillis), true
		}
		return plain(envelope.TypeMicroTimestamp(), appendTimestampMicros), true
	case oidTimestamptz:
		out := plain(envelope.TypeZonedTimestamp(), appendZonedTimestamp(digits))
		out.computed = envelope.AppendBytes(nil, envelope.AppendISO(nil, 0, digits))
		return out, true
	case oidTimetz:
		return untold(plain(envelope.TypeZonedTime(), appendZonedTime)), true
	case oidInterval:
		return interval(m.intervals), true
	}
	return mapping{}, false
}

// origin describes a column's type as column.propagate.source.type has it: the
// name in capitals, the length and the scale as JDBC tells them.
func (t *pgType) origin() (name string, length, scale int) {
	const unlimited = 1<<31 - 1
	leaf, fraction := t, 6
	name = t.declared
	if name == "" {
		name = t.name
	}
	if t.elem != nil {
		leaf = &pgType{oid: t.elem.oid, typmod: t.typmod}
	}
	if leaf.typmod >= 0 {
		fraction = int(leaf.typmod)
	}
	point := 0
	if fraction > 0 {
		point = max(fraction+1, 3) // the driver has two digits for one
	}
	fixed := map[uint32][2]int{
		oidInt2: {5, 0}, oidInt4: {10, 0}, oidInt8: {19, 0}, oidOID: {10, 0}, oidFloat4: {8, 8}, oidFloat8: {17, 17},
		oidBool: {1, 0}, oidChar: {1, 0}, oidDate: {13, 0}, oidTime: {8 + point, fraction}, oidTimetz: {14 + point, fraction},
		oidTimestamp: {22 + point, fraction}, oidTimestamptz: {28 + point, fraction},
	}
	if f, ok := fixed[leaf.oid]; ok {
		return name, f[0], f[1]
	}
	switch {
	case leaf.oid == oidInterval:
		if leaf.typmod >= 0 {
			return name, 49, int(leaf.typmod & 0xffff)
		}
		return name, 49, 6
	case leaf.oid == oidNumeric && leaf.typmod >= 4:
		precision, scale := precisionScale(leaf.typmod)
		return name, precision, scale
	case leaf.oid == oidNumeric:
		return name, 131089, 0
	case leaf.typmod >= 0 && slices.Contains([]uint32{oidBpchar, oidVarchar}, leaf.oid):
		return name, int(leaf.typmod) - 4, 0
	case leaf.typmod >= 0 && slices.Contains([]uint32{oidBit, oidVarbit}, leaf.oid):
		return name, int(leaf.typmod), 0
	}
	return name, unlimited, 0
}

// errUnmapped names what cannot be captured and how to go on without it.
func errUnmapped(id envelope.TableID, column, native string) error {
	return fault.Human(fmt.Errorf("column %s of table %s has type %s, which is not supported", column, id, native),
		fmt.Sprintf("leave the column out with column.exclude.list: %s.%s, or have its text with include.unknown.datatypes: true", id, column))
}
