package binlog

import (
	"encoding/binary"
	"slices"
)

// Column types of TABLE_MAP (MySQL's enum_field_types). Those named here are
// the ones that can occur in a log.
const (
	ColTiny       = 1
	ColShort      = 2
	ColLong       = 3
	ColFloat      = 4
	ColDouble     = 5
	ColTimestamp  = 7
	ColLongLong   = 8
	ColInt24      = 9
	ColDate       = 10
	ColTime       = 11
	ColDatetime   = 12
	ColYear       = 13
	ColNewDate    = 14
	ColVarchar    = 15
	ColBit        = 16
	ColTimestamp2 = 17
	ColDatetime2  = 18
	ColTime2      = 19
	ColVector     = 242

	// MariaDB's COMPRESSED columns.
	ColBlobCompressed    = 140
	ColVarcharCompressed = 141

	ColJSON       = 245
	ColNewDecimal = 246
	ColEnum       = 247
	ColSet        = 248
	ColBlob       = 252
	ColVarString  = 253
	ColString     = 254
	ColGeometry   = 255
)

// Tags of TABLE_MAP's optional metadata (binlog_row_metadata).
const (
	metaSignedness     = 1
	metaDefaultCharset = 2
	metaColumnCharset  = 3
	metaColumnName     = 4
	metaSetMembers     = 5
	metaEnumMembers    = 6
	metaGeometryType   = 7
	metaKey            = 8
	metaKeyPrefix      = 9
	metaEnumCharset    = 10 // default, of ENUM and SET
	metaEnumCharsets   = 11
)

// TableMap is a TABLE_MAP event: the columns of the row events that follow it.
type TableMap struct {
	ID     uint64
	Schema []byte
	Table  []byte
	Types  []byte   // a Col… constant for each column; ENUM and SET resolved
	Meta   []uint16 // type-specific, see Column
	Nulls  []byte   // a bit for each column, least significant first: it can be null

	// Signedness has a bit for each numeric column, most significant first,
	// set when it is unsigned; nil when the server does not log it.
	Signedness []byte
	// Collations has a collation id for each character column (see
	// IsCharacter), in order; nil when not logged.
	Collations []uint64
	// Names has each column's name; nil unless binlog_row_metadata=FULL.
	Names [][]byte
	// Key has the columns of the primary key, in its order; nil when there is
	// none, or it is not logged.
	Key []int
	// Members has those of each ENUM and SET, by column, in the column's own
	// character set; nil when not logged.
	Members map[int][][]byte
	// EnumCollations has a collation id for each ENUM and SET, in order.
	EnumCollations []uint64
	// Geometries has the type of each geometry column (0 = any, 1 = point), in
	// order; nil when not logged.
	Geometries []uint64

	maria bool
}

// ParseTableMap decodes the body of a TABLE_MAP event (header and checksum
// removed). idSize is the width of the table id: 4 in ancient logs, else 6.
// maria is whether a MariaDB wrote it.
func ParseTableMap(b []byte, idSize int, maria bool) (*TableMap, error) {
	if len(b) < idSize+4 {
		return nil, malformed("table map of %d bytes", len(b))
	}
	t := &TableMap{ID: tableID(b, idSize), maria: maria}
	b = b[idSize+2:]
	var ok bool
	if t.Schema, b, ok = name(b); !ok {
		return nil, malformed("table map schema name")
	}
	if t.Table, b, ok = name(b); !ok {
		return nil, malformed("table map table name")
	}
	cols, n := lenenc(b)
	if n == 0 || cols > uint64(len(b)-n) {
		return nil, malformed("table map column count")
	}
	b = b[n:]
	t.Types, b = append([]byte(nil), b[:cols]...), b[cols:]
	meta, n := lenencBytes(b)
	if n == 0 {
		return nil, malformed("table map column metadata")
	}
	b = b[n:]
	if err := t.parseMeta(meta); err != nil {
		return nil, err
	}
	nulls := (len(t.Types) + 7) / 8
	if len(b) < nulls {
		return nil, malformed("table map null bits")
	}
	t.Nulls = b[:nulls]
	return t, t.parseOptional(b[nulls:])
}

func tableID(b []byte, idSize int) uint64 {
	if idSize == 4 {
		return uint64(binary.LittleEndian.Uint32(b))
	}
	return uint48(b)
}

// name reads a string with a one-byte length before it and a zero after it.
func name(b []byte) (v, rest []byte, ok bool) {
	if len(b) < 1 || len(b) < int(b[0])+2 {
		return nil, nil, false
	}
	n := int(b[0])
	return b[1 : 1+n], b[n+2:], true
}

// parseMeta reads the metadata of each column and resolves ENUM, SET and long
// CHAR, which hide in ColString's two bytes.
func (t *TableMap) parseMeta(m []byte) error {
	t.Meta = make([]uint16, len(t.Types))
	for i, typ := range t.Types {
		size := metaSize(typ)
		if len(m) < size {
			return malformed("table map metadata of column %d", i)
		}
		switch {
		case typ == ColString:
			t.Types[i], t.Meta[i] = resolveString(m[0], m[1])
		case typ == ColNewDecimal:
			t.Meta[i] = uint16(m[0])<<8 | uint16(m[1]) // precision, scale
		case size == 2:
			t.Meta[i] = binary.LittleEndian.Uint16(m)
		case size == 1:
			t.Meta[i] = uint16(m[0])
		}
		m = m[size:]
	}
	return nil
}

func metaSize(typ byte) int {
	switch typ {
	case ColString, ColNewDecimal, ColVarString, ColVarchar, ColVarcharCompressed, ColBit, ColEnum, ColSet:
		return 2
	case ColBlob, ColBlobCompressed, ColDouble, ColFloat, ColGeometry, ColVector, ColJSON, ColTime2, ColDatetime2, ColTimestamp2:
		return 1
	default:
		return 0
	}
}

// resolveString takes ColString's metadata apart: the real type, and two bits
// of the length folded into it for CHAR columns of more than 255 bytes.
func resolveString(b0, b1 byte) (typ byte, meta uint16) {
	if b0&0x30 != 0x30 {
		return b0 | 0x30, uint16(b1) | uint16(b0&0x30^0x30)<<4
	}
	return b0, uint16(b1)
}

func (t *TableMap) parseOptional(b []byte) error {
	fields := make(map[byte][]byte)
	for len(b) > 0 {
		tag := b[0]
		v, n := lenencBytes(b[1:])
		if n == 0 {
			return malformed("table map optional metadata")
		}
		fields[tag], b = v, b[1+n:]
	}
	t.Signedness = fields[metaSignedness]
	if v, ok := fields[metaColumnName]; ok {
		if err := t.parseNames(v); err != nil {
			return err
		}
	}
	var ok [6]bool
	t.Collations, ok[0] = t.charsets(fields, metaDefaultCharset, metaColumnCharset, t.IsCharacter)
	t.EnumCollations, ok[1] = t.charsets(fields, metaEnumCharset, metaEnumCharsets, t.IsEnum)
	t.Geometries, ok[2] = intSeq(fields[metaGeometryType])
	ok[3] = t.parseKey(fields)
	ok[4] = t.parseMembers(fields[metaSetMembers], ColSet)
	ok[5] = t.parseMembers(fields[metaEnumMembers], ColEnum)
	if slices.Contains(ok[:], false) {
		return malformed("table map optional metadata")
	}
	return nil
}

// charsets reads the collations of the columns that of tells: one for each, or
// the form "default, then (number among those columns, collation) pairs".
func (t *TableMap) charsets(fields map[byte][]byte, def, each byte, of func(i int) bool) ([]uint64, bool) {
	if v, ok := fields[each]; ok {
		return intSeq(v)
	}
	v, ok := fields[def]
	if !ok {
		return nil, true
	}
	seq, ok := intSeq(v)
	if !ok || len(seq)%2 != 1 {
		return nil, false
	}
	var out []uint64
	for i := range t.Types {
		if of(i) {
			out = append(out, seq[0])
		}
	}
	for p := seq[1:]; len(p) > 0; p = p[2:] {
		if p[0] >= uint64(len(out)) {
			return nil, false
		}
		out[p[0]] = p[1]
	}
	return out, true
}

func (t *TableMap) parseKey(fields map[byte][]byte) bool {
	step := 1
	v, ok := fields[metaKey]
	if !ok {
		step = 2 // column, length of the prefix
		if v, ok = fields[metaKeyPrefix]; !ok {
			return true
		}
	}
	seq, ok := intSeq(v)
	if !ok || len(seq)%step != 0 {
		return false
	}
	for ; len(seq) > 0; seq = seq[step:] {
		if seq[0] >= uint64(len(t.Types)) {
			return false
		}
		t.Key = append(t.Key, int(seq[0])) //nolint:gosec // checked
	}
	return true
}

func (t *TableMap) parseMembers(v []byte, typ byte) bool {
	for i := 0; i < len(t.Types) && len(v) > 0; i++ {
		if t.Types[i] != typ {
			continue
		}
		count, n := lenenc(v)
		if n == 0 || count > uint64(len(v)) {
			return false
		}
		v = v[n:]
		members := make([][]byte, 0, count)
		for range count {
			m, n := lenencBytes(v)
			if n == 0 {
				return false
			}
			members, v = append(members, m), v[n:]
		}
		if t.Members == nil {
			t.Members = make(map[int][][]byte)
		}
		t.Members[i] = members
	}
	return len(v) == 0
}

func (t *TableMap) parseNames(v []byte) error {
	names := make([][]byte, 0, len(t.Types))
	for len(v) > 0 {
		if len(v) < int(v[0])+1 {
			return malformed("table map column name")
		}
		n := int(v[0])
		names, v = append(names, v[1:1+n]), v[1+n:]
	}
	if len(names) != len(t.Types) {
		return malformed("table map names %d of %d columns", len(names), len(t.Types))
	}
	t.Names = names
	return nil
}

func intSeq(v []byte) (seq []uint64, ok bool) {
	for len(v) > 0 {
		i, n := lenenc(v)
		if n == 0 {
			return nil, false
		}
		seq, v = append(seq, i), v[n:]
	}
	return seq, true
}

// Nullable reports whether column i can be null.
func (t *TableMap) Nullable(i int) bool { return t.Nulls[i>>3]&(1<<(i&7)) != 0 }

// Unsigned reports whether column i is an unsigned number; ok is false when
// the log does not say.
func (t *TableMap) Unsigned(i int) (unsigned, ok bool) {
	if t.Signedness == nil || !t.IsNumeric(i) || t.Types[i] == ColYear {
		return false, false
	}
	n := t.ordinal(i, t.IsNumeric)
	if n>>3 >= len(t.Signedness) {
		return false, false
	}
	return t.Signedness[n>>3]&(0x80>>(n&7)) != 0, true
}

// Collation returns the collation id of column i, of characters or an ENUM or
// SET; ok is false when the log does not say.
func (t *TableMap) Collation(i int) (id uint64, ok bool) {
	list, of := t.Collations, t.IsCharacter
	if t.IsEnum(i) {
		list, of = t.EnumCollations, t.IsEnum
	} else if !of(i) {
		return 0, false
	}
	n := t.ordinal(i, of)
	if n >= len(list) {
		return 0, false
	}
	return list[n], true
}

// Point reports whether geometry column i holds points only; ok is false when
// the log does not say.
func (t *TableMap) Point(i int) (point, ok bool) {
	n := t.ordinal(i, func(j int) bool { return t.Types[j] == ColGeometry })
	if n >= len(t.Geometries) {
		return false, false
	}
	return t.Geometries[n] == 1, true
}

// ordinal counts the columns before i of which of is true.
func (t *TableMap) ordinal(i int, of func(i int) bool) int {
	n := 0
	for j := range i {
		if of(j) {
			n++
		}
	}
	return n
}

// IsNumeric reports whether column i has a bit in Signedness. A YEAR has one,
// though it has no sign.
func (t *TableMap) IsNumeric(i int) bool {
	switch t.Types[i] {
	case ColTiny, ColShort, ColInt24, ColLong, ColLongLong, ColNewDecimal, ColFloat, ColDouble, ColYear:
		return true
	}
	return false
}

// IsCharacter reports whether column i has an entry in Collations: vectors have,
// and in MariaDB geometries.
func (t *TableMap) IsCharacter(i int) bool {
	switch t.Types[i] {
	case ColString, ColVarString, ColVarchar, ColBlob, ColBlobCompressed, ColVarcharCompressed, ColVector:
		return true
	case ColGeometry:
		return t.maria
	}
	return false
}

// IsEnum reports whether column i is an ENUM or SET.
func (t *TableMap) IsEnum(i int) bool { return t.Types[i] == ColEnum || t.Types[i] == ColSet }
