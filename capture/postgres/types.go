package postgres

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"tributary/capture"
	"tributary/envelope"
	"tributary/internal/fault"
)

// pgType is a type of the catalog, with a domain resolved to its base type.
type pgType struct {
	oid    uint32
	name   string
	enum   []string // labels of an enumeration, in order
	typmod int32
	array  bool
}

// The OIDs of the built-in types (src/include/catalog/pg_type.dat).
const (
	oidBool        = 16
	oidBytea       = 17
	oidChar        = 18
	oidName        = 19
	oidInt8        = 20
	oidInt2        = 21
	oidInt4        = 23
	oidText        = 25
	oidOID         = 26
	oidJSON        = 114
	oidXML         = 142
	oidFloat4      = 700
	oidFloat8      = 701
	oidBpchar      = 1042
	oidVarchar     = 1043
	oidDate        = 1082
	oidTime        = 1083
	oidTimestamp   = 1114
	oidTimestamptz = 1184
	oidTimetz      = 1266
	oidNumeric     = 1700
	oidUUID        = 2950
	oidJSONB       = 3802
)

// mapping is how a type is written: its semantic type, the encoder of its
// text, and what stands for a value that the log does not carry.
type mapping struct {
	typ         envelope.Type
	encode      envelope.Append
	placeholder string // text form of envelope.Unavailable, "" = cannot be told from a value
	zeroDefault bool   // a default that is computed counts as the type's zero
}

// plain is a type that is written as one kind whatever the options are.
func plain(t envelope.Type, fn envelope.Append) mapping {
	return mapping{typ: t, encode: fn, zeroDefault: true}
}

// text is a type whose text is its value.
func text(t envelope.Type) mapping {
	return mapping{typ: t, encode: appendText, placeholder: envelope.Unavailable}
}

// mapType returns the mapping of t under the options, false if there is none.
func mapType(t pgType, o *capture.Options) (mapping, bool) {
	if t.enum != nil {
		return text(enumType(t.enum)), true
	}
	switch t.oid {
	case oidBool:
		return plain(envelope.TypeOf(envelope.Boolean), appendBool), true
	case oidInt2:
		return plain(envelope.TypeInt16(), appendInteger), true
	case oidInt4:
		return plain(envelope.TypeOf(envelope.Int), appendInteger), true
	case oidInt8, oidOID:
		return plain(envelope.TypeOf(envelope.Long), appendInteger), true
	case oidFloat4:
		return plain(envelope.TypeOf(envelope.Float), appendFloat4), true
	case oidFloat8:
		return plain(envelope.TypeOf(envelope.Double), appendFloat8), true
	case oidNumeric:
		return numeric(t.typmod, o.Decimals), true
	case oidText, oidVarchar, oidBpchar, oidChar, oidName:
		return text(envelope.TypeOf(envelope.String)), true
	case oidJSON, oidJSONB:
		m := text(envelope.TypeJSON())
		m.typ.Zero = envelope.AppendString(nil, "{}")
		return m, true
	case oidXML:
		return text(envelope.Type{Kind: envelope.String, Name: "io.debezium.data.Xml", Version: 1}), true
	case oidUUID:
		m := plain(envelope.TypeUUID(), appendText)
		m.typ.Zero = envelope.AppendString(nil, "00000000-0000-0000-0000-000000000000")
		return m, true
	case oidBytea:
		return bytea(o.Binaries), true
	}
	if t.name == "citext" {
		return text(envelope.TypeOf(envelope.String)), true
	}
	return temporal(t, o.Times)
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

// numeric is numeric(precision, scale) by its type modifier:
// ((precision << 16) | (scale & 0x7ff)) + 4, with scale signed in 11 bits.
func numeric(typmod int32, mode string) mapping {
	switch mode {
	case "double":
		return plain(envelope.TypeOf(envelope.Double), appendFloat8)
	case "string":
		return text(envelope.TypeOf(envelope.String))
	}
	if typmod < 4 {
		return mapping{typ: envelope.TypeVariableScaleDecimal(), encode: envelope.AppendVariableDecimal}
	}
	precision := int((typmod - 4) >> 16 & 0xffff)
	scale := int((typmod-4)&0x7ff^1024) - 1024
	if scale < 0 {
		// Avro has no negative scale; the zeros before the point are digits.
		precision, scale = precision-scale, 0
	}
	return plain(envelope.TypeDecimal(precision, scale), func(dst, src []byte) ([]byte, error) {
		return envelope.AppendDecimal(dst, src, scale)
	})
}

func bytea(mode string) mapping {
	m := mapping{placeholder: `\x` + hex.EncodeToString([]byte(envelope.Unavailable))}
	m.typ = envelope.TypeOf(envelope.String)
	switch mode {
	case "base64":
		m.encode = byteaAs(base64.StdEncoding.EncodeToString)
	case "base64-url-safe":
		m.encode = byteaAs(base64.URLEncoding.EncodeToString)
	case "hex":
		m.encode = byteaAs(hex.EncodeToString)
	default:
		m.typ, m.encode = envelope.TypeOf(envelope.Bytes), appendBytea
	}
	return m
}

// temporal is the mapping of dates and times. Their type modifier is the
// number of fraction digits, -1 for 6.
func temporal(t pgType, mode string) (mapping, bool) {
	digits := int(t.typmod)
	if digits < 0 || digits > 6 {
		digits = 6
	}
	connect := mode == "connect"
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
		case mode == "adaptive" && digits <= 3:
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
		m := plain(envelope.TypeZonedTimestamp(), appendZonedTimestamp(digits))
		zero := envelope.AppendISO(nil, 0, digits)
		m.typ.Zero = envelope.AppendBytes(nil, zero)
		return m, true
	case oidTimetz:
		return plain(envelope.TypeZonedTime(), appendZonedTime), true
	}
	return mapping{}, false
}

// errUnmapped names what cannot be captured and how to go on without it.
func errUnmapped(id envelope.TableID, column, native string) error {
	return fault.Human(fmt.Errorf("column %s of table %s has type %s, which is not supported", column, id, native),
		fmt.Sprintf("leave the column out with column.exclude.list: %s.%s, or the table with table.exclude.list", id, column))
}
