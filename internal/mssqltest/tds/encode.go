package tds

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// Type codes on the wire.
const (
	codeNull     = 0x1F
	codeImage    = 0x22
	codeText     = 0x23
	codeGUID     = 0x24
	codeIntN     = 0x26
	codeDateN    = 0x28
	codeTimeN    = 0x29
	codeDT2N     = 0x2A
	codeDTON     = 0x2B
	codeInt1     = 0x30
	codeBit      = 0x32
	codeInt2     = 0x34
	codeInt4     = 0x38
	codeDateTim4 = 0x3A
	codeFlt4     = 0x3B
	codeMoney    = 0x3C
	codeDateTime = 0x3D
	codeFlt8     = 0x3E
	codeVariant  = 0x62
	codeNText    = 0x63
	codeBitN     = 0x68
	codeDecimalN = 0x6A
	codeNumericN = 0x6C
	codeFltN     = 0x6D
	codeMoneyN   = 0x6E
	codeDateTimN = 0x6F
	codeMoney4   = 0x7A
	codeInt8     = 0x7F
	codeVarBin   = 0xA5
	codeVarChar  = 0xA7
	codeBinary   = 0xAD
	codeChar     = 0xAF
	codeNVarChar = 0xE7
	codeNChar    = 0xEF
	codeUDT      = 0xF0
	codeXML      = 0xF1
)

// SQL_Latin1_General_CP1_CI_AS, and Latin1_General_100_CI_AS_SC_UTF8.
var (
	collation     = [5]byte{0x09, 0x04, 0xD0, 0x00, 0x34}
	collationUTF8 = [5]byte{0x09, 0x04, 0xD0, 0x24, 0x00}
)

func (t Type) collation() []byte {
	if t.UTF8 {
		return collationUTF8[:]
	}
	return collation[:]
}

var fixedCodes = map[Kind]byte{
	Bit: codeBit, TinyInt: codeInt1, SmallInt: codeInt2, Int: codeInt4, BigInt: codeInt8, Real: codeFlt4, Float: codeFlt8,
	Money: codeMoney, SmallMoney: codeMoney4, DateTime: codeDateTime, SmallDateTime: codeDateTim4,
}

var sizes = map[Kind]byte{
	Bit: 1, TinyInt: 1, SmallInt: 2, Int: 4, BigInt: 8, Real: 4, Float: 8, Money: 8, SmallMoney: 4, DateTime: 8, SmallDateTime: 4,
}

// le appends an integer of the type's width.
func le[T uint16 | uint32 | uint64](dst []byte, v T) []byte {
	switch x := any(v).(type) {
	case uint16:
		return binary.LittleEndian.AppendUint16(dst, x)
	case uint32:
		return binary.LittleEndian.AppendUint32(dst, x)
	case uint64:
		return binary.LittleEndian.AppendUint64(dst, x)
	}
	return dst
}

// AppendUCS2 appends s as UTF-16, without a length.
func AppendUCS2(dst []byte, s string) []byte {
	for _, u := range utf16.Encode([]rune(s)) {
		dst = le(dst, u)
	}
	return dst
}

// appendB appends a text of at most 255 characters with its length in a byte.
func appendB(dst []byte, s string) []byte {
	u := AppendUCS2(nil, s)
	if len(u) > 510 {
		u = u[:510]
	}
	return append(append(dst, byte(len(u)/2)), u...)
}

// appendUS appends a text of at most 65,535 characters with its length in two bytes.
func appendUS(dst []byte, s string) []byte {
	u := AppendUCS2(nil, s)
	return append(le(dst, uint16(len(u)/2)), u...)
}

// AppendTypeInfo appends TYPE_INFO. The column's nullability decides between the
// fixed and the nullable form, as a real server does. table is the table that a
// text, ntext or image column is of, as its parts.
func AppendTypeInfo(dst []byte, t Type, nullable bool, table []string) []byte { //nolint:funlen // one case for each kind of type
	if code, ok := fixedCodes[t.Kind]; ok && !nullable {
		return append(dst, code)
	}
	limit := uint16(t.Length)
	if t.Length == Max {
		limit = 0xFFFF
	}
	switch t.Kind {
	case Bit:
		return append(dst, codeBitN, 1)
	case TinyInt, SmallInt, Int, BigInt:
		return append(dst, codeIntN, sizes[t.Kind])
	case Real, Float:
		return append(dst, codeFltN, sizes[t.Kind])
	case Money, SmallMoney:
		return append(dst, codeMoneyN, sizes[t.Kind])
	case DateTime, SmallDateTime:
		return append(dst, codeDateTimN, sizes[t.Kind])
	case DecimalKind:
		return append(dst, codeDecimalN, decSize(t.Precision), byte(t.Precision), byte(t.Scale))
	case Numeric:
		return append(dst, codeNumericN, decSize(t.Precision), byte(t.Precision), byte(t.Scale))
	case UniqueID:
		return append(dst, codeGUID, 16)
	case Date:
		return append(dst, codeDateN)
	case Time:
		return append(dst, codeTimeN, byte(t.Scale))
	case DateTime2:
		return append(dst, codeDT2N, byte(t.Scale))
	case DateTimeOffset:
		return append(dst, codeDTON, byte(t.Scale))
	case Char:
		return append(le(append(dst, codeChar), limit), t.collation()...)
	case VarChar:
		return append(le(append(dst, codeVarChar), limit), t.collation()...)
	case NChar:
		return append(le(append(dst, codeNChar), limit), t.collation()...)
	case NVarChar:
		return append(le(append(dst, codeNVarChar), limit), t.collation()...)
	case Binary, RowVersion:
		return le(append(dst, codeBinary), limit)
	case VarBinary:
		return le(append(dst, codeVarBin), limit)
	case XML:
		return append(dst, codeXML, 0)
	case Text:
		return appendTable(append(le(append(dst, codeText), uint32(math.MaxInt32)), t.collation()...), table)
	case NText:
		return appendTable(append(le(append(dst, codeNText), uint32(math.MaxInt32-1)), t.collation()...), table)
	case Image:
		return appendTable(le(append(dst, codeImage), uint32(math.MaxInt32)), table)
	case SQLVariant:
		return le(append(dst, codeVariant), uint32(8009))
	case HierarchyID, Geometry, Geography:
		size, class := uint16(0xFFFF), "Microsoft.SqlServer.Types.SqlGeometry"
		switch t.Kind {
		case HierarchyID:
			size, class = 892, "Microsoft.SqlServer.Types.SqlHierarchyId"
		case Geography:
			class = "Microsoft.SqlServer.Types.SqlGeography"
		}
		dst = le(append(dst, codeUDT), size)
		dst = appendB(appendB(appendB(dst, "master"), "sys"), string(t.Kind))
		return appendUS(dst, class+", Microsoft.SqlServer.Types, Version=11.0.0.0, Culture=neutral, PublicKeyToken=89845dcd8080cc91")
	}
	panic("no wire form for the type " + string(t.Kind))
}

func appendTable(dst []byte, table []string) []byte {
	dst = append(dst, byte(len(table)))
	for _, p := range table {
		dst = appendUS(dst, p)
	}
	return dst
}

func decSize(precision int) byte {
	switch {
	case precision <= 9:
		return 5
	case precision <= 19:
		return 9
	case precision <= 28:
		return 13
	}
	return 17
}

// AppendValue appends a row's value. The nullability must be that of the metadata.
// It is an error if the value is not of the type: a mistake of the caller.
func AppendValue(dst []byte, t Type, nullable bool, v Value) ([]byte, error) {
	if v == nil {
		if _, fixed := fixedCodes[t.Kind]; fixed && !nullable {
			return nil, fmt.Errorf("a NULL in a %s column that has none", t)
		}
		return appendNull(dst, t), nil
	}
	switch t.Kind {
	case Text, NText, Image:
		b, err := payload(t, v)
		if err != nil {
			return nil, err
		}
		dst = append(dst, 16)
		dst = append(dst, "dummy textptr\x00\x00\x00"...)
		dst = append(dst, "dummyTS\x00"...)
		return append(le(dst, uint32(len(b))), b...), nil
	case SQLVariant:
		return appendVariant(dst, v)
	}
	b, err := payload(t, v)
	if err != nil {
		return nil, err
	}
	switch t.Kind {
	case Char, VarChar, NChar, NVarChar, Binary, VarBinary, RowVersion:
		if t.Length == Max {
			return appendPLP(dst, b), nil
		}
		if len(b) > t.Length {
			return nil, fmt.Errorf("%d bytes do not fit a %s", len(b), t)
		}
		return append(le(dst, uint16(len(b))), b...), nil
	case XML, HierarchyID, Geometry, Geography:
		return appendPLP(dst, b), nil
	}
	if _, fixed := fixedCodes[t.Kind]; !fixed || nullable {
		dst = append(dst, byte(len(b)))
	}
	return append(dst, b...), nil
}

func appendNull(dst []byte, t Type) []byte {
	switch t.Kind {
	case Char, VarChar, NChar, NVarChar, Binary, VarBinary, RowVersion:
		if t.Length == Max {
			return le(dst, uint64(math.MaxUint64))
		}
		return le(dst, uint16(0xFFFF))
	case XML, HierarchyID, Geometry, Geography:
		return le(dst, uint64(math.MaxUint64))
	case SQLVariant:
		return le(dst, uint32(0))
	}
	return append(dst, 0)
}

// plpChunk is the size of the chunks of a large value: small enough that a test's
// values come in several.
const plpChunk = 4000

func appendPLP(dst, b []byte) []byte {
	dst = le(dst, uint64(len(b)))
	for len(b) > 0 {
		n := min(len(b), plpChunk)
		dst = append(le(dst, uint32(n)), b[:n]...)
		b = b[n:]
	}
	return le(dst, uint32(0))
}

// appendVariant: length of all that follows, the base type, its properties, the value.
func appendVariant(dst []byte, v Value) ([]byte, error) {
	x, ok := v.(Variant)
	if !ok {
		return nil, fmt.Errorf("a %T is no sql_variant", v)
	}
	t := x.Type
	b, err := payload(t, x.Value)
	if err != nil {
		return nil, err
	}
	var code byte
	var props []byte
	switch t.Kind {
	case DecimalKind, Numeric:
		code, props = codeNumericN, []byte{byte(t.Precision), byte(t.Scale)}
	case UniqueID:
		code = codeGUID
	case Date:
		code = codeDateN
	case Time:
		code, props = codeTimeN, []byte{byte(t.Scale)}
	case DateTime2:
		code, props = codeDT2N, []byte{byte(t.Scale)}
	case DateTimeOffset:
		code, props = codeDTON, []byte{byte(t.Scale)}
	case Char, VarChar, NChar, NVarChar:
		code = map[Kind]byte{Char: codeChar, VarChar: codeVarChar, NChar: codeNChar, NVarChar: codeNVarChar}[t.Kind]
		props = le(append(props, t.collation()...), uint16(t.Length))
	case Binary, VarBinary:
		code = map[Kind]byte{Binary: codeBinary, VarBinary: codeVarBin}[t.Kind]
		props = le(props, uint16(t.Length))
	default:
		if code, ok = fixedCodes[t.Kind]; !ok {
			return nil, fmt.Errorf("a sql_variant cannot hold a %s", t)
		}
	}
	dst = le(dst, uint32(2+len(props)+len(b)))
	dst = append(dst, code, byte(len(props)))
	return append(append(dst, props...), b...), nil
}

// payload is a value without its length.
func payload(t Type, v Value) ([]byte, error) {
	mismatch := func() ([]byte, error) { return nil, fmt.Errorf("a %T is no %s", v, t) }
	switch x := v.(type) {
	case bool:
		if t.Kind != Bit {
			return mismatch()
		}
		if x {
			return []byte{1}, nil
		}
		return []byte{0}, nil
	case int64:
		if !t.Integer() {
			return mismatch()
		}
		return le(nil, uint64(x))[:sizes[t.Kind]], nil
	case float64:
		switch t.Kind {
		case Real:
			return le(nil, math.Float32bits(float32(x))), nil
		case Float:
			return le(nil, math.Float64bits(x)), nil
		}
		return mismatch()
	case Dec:
		return decPayload(t, x)
	case string:
		return textPayload(t, x)
	case []byte:
		if !t.Bytes() {
			return mismatch()
		}
		return x, nil
	case GUID:
		if t.Kind != UniqueID {
			return mismatch()
		}
		w := x.wire()
		return w[:], nil
	case Clock:
		if t.Kind != Time {
			return mismatch()
		}
		return clockPayload(nil, x, t.Scale), nil
	case time.Time:
		return timePayload(t, x)
	}
	return mismatch()
}

func decPayload(t Type, d Dec) ([]byte, error) {
	switch t.Kind {
	case Money, SmallMoney:
		u := d.Rescale(4).Unscaled
		if !u.IsInt64() {
			return nil, fmt.Errorf("the number does not fit a %s", t)
		}
		n := u.Int64()
		if t.Kind == SmallMoney {
			return le(nil, uint32(n)), nil
		}
		return le(le(nil, uint32(n>>32)), uint32(n)), nil
	case DecimalKind, Numeric:
		u := d.Rescale(t.Scale).Unscaled
		out := make([]byte, decSize(t.Precision))
		if u.Sign() >= 0 {
			out[0] = 1
		}
		b := new(big.Int).Abs(u).Bytes()
		if len(b) > len(out)-1 {
			return nil, fmt.Errorf("the number does not fit a %s", t)
		}
		for i, x := range b {
			out[len(b)-i] = x
		}
		return out, nil
	}
	return nil, fmt.Errorf("a decimal is no %s", t)
}

func textPayload(t Type, s string) ([]byte, error) {
	switch {
	case t.Unicode():
		return AppendUCS2(nil, s), nil
	case !t.Character():
		return nil, fmt.Errorf("a text is no %s", t)
	case t.UTF8:
		return []byte(s), nil
	}
	return EncodeCP1252(s), nil
}

var scaleFactor = [8]int64{1e7, 1e6, 1e5, 1e4, 1e3, 1e2, 10, 1} // 100 ns units in a unit of the scale

func clockPayload(dst []byte, c Clock, scale int) []byte {
	n := uint64(int64(c) / scaleFactor[scale])
	return append(dst, le(nil, n)[:clockSize(scale)]...)
}

func clockSize(scale int) int {
	switch {
	case scale <= 2:
		return 3
	case scale <= 4:
		return 4
	}
	return 5
}

// Days counts from an epoch to the date of t.
func daysSince(t time.Time, year int) int64 {
	y, m, d := t.Date()
	// Durations reach 292 years only: count in Unix seconds.
	return (time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() - time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC).Unix()) / 86400
}

func timePayload(t Type, v time.Time) ([]byte, error) {
	switch t.Kind {
	case Date:
		return le(nil, uint32(daysSince(v, 1)))[:3], nil
	case DateTime2:
		return append(clockPayload(nil, ClockOf(v), t.Scale), le(nil, uint32(daysSince(v, 1)))[:3]...), nil
	case DateTimeOffset:
		_, zone := v.Zone()
		u := v.UTC()
		b := append(clockPayload(nil, ClockOf(u), t.Scale), le(nil, uint32(daysSince(u, 1)))[:3]...)
		return le(b, uint16(zone/60)), nil
	case DateTime:
		// 300 ticks a second.
		ticks := (int64(ClockOf(v))*300 + 5e6) / 1e7
		days := daysSince(v, 1900)
		if ticks == 300*86400 {
			ticks, days = 0, days+1
		}
		return le(le(nil, uint32(days)), uint32(ticks)), nil
	case SmallDateTime:
		h, m, _ := v.Clock()
		return le(le(nil, uint16(daysSince(v, 1900))), uint16(h*60+m)), nil
	}
	return nil, fmt.Errorf("a time is no %s", t)
}

// cp1252 is what code page 1252 has at 0x80 to 0x9F; zero where it has nothing.
var cp1252 = [32]rune{
	0x20AC, 0, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0, 0x017D, 0,
	0, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0, 0x017E, 0x0178,
}

// EncodeCP1252 gives the text in code page 1252; what the page lacks becomes "?",
// as on a server.
func EncodeCP1252(s string) []byte {
	out := make([]byte, 0, len(s))
next:
	for _, r := range s {
		if r < 0x80 || r >= 0xA0 && r <= 0xFF {
			out = append(out, byte(r))
			continue
		}
		for i, c := range cp1252 {
			if c == r && c != 0 {
				out = append(out, byte(0x80+i))
				continue next
			}
		}
		out = append(out, '?')
	}
	return out
}

// DecodeCP1252 is the reverse of EncodeCP1252.
func DecodeCP1252(b []byte) string {
	out := make([]byte, 0, len(b))
	for _, c := range b {
		r := rune(c)
		if c >= 0x80 && c < 0xA0 && cp1252[c-0x80] != 0 {
			r = cp1252[c-0x80]
		}
		out = utf8.AppendRune(out, r)
	}
	return string(out)
}
