package envelope

import (
	"encoding/binary"
	"errors"
	"math"
	"strings"
)

// TypeEnum is one of the members of an enumeration, as text.
func TypeEnum(members []string) Type { return enum("Enum", members) }

// TypeEnumSet is any of the members, as text with commas between.
func TypeEnumSet(members []string) Type { return enum("EnumSet", members) }

func enum(name string, members []string) Type {
	escaped := make([]string, len(members))
	for i, m := range members {
		escaped[i] = strings.ReplaceAll(m, ",", `\,`)
	}
	t := named(String, "io.debezium.data."+name)
	t.Params = []Param{{"allowed", strings.Join(escaped, ",")}}
	return t
}

// TypeFloatVector is a vector of floats.
func TypeFloatVector() Type {
	t := named(Array, "io.debezium.data.FloatVector")
	items := TypeOf(Float)
	t.Items = &items
	return t
}

// AppendFloats appends a TypeFloatVector; v has the floats in four bytes each,
// the lowest first.
func AppendFloats(dst, v []byte) []byte {
	if n := len(v) / 4; n > 0 {
		dst = append(AppendLong(dst, int64(n)), v...)
	}
	return append(dst, 0)
}

var errSpatial = errors.New("not a geometry")

// AppendSpatial appends a TypeGeometry from the form that MySQL has of it: the
// identifier of the spatial reference system in four bytes, 0 = none, then
// well-known binary.
func AppendSpatial(dst, v []byte) ([]byte, error) {
	if len(v) < 9 {
		return dst, errSpatial
	}
	return AppendGeometry(dst, v[4:], int32(binary.LittleEndian.Uint32(v))), nil //nolint:gosec // identifiers are small
}

// AppendSpatialPoint is AppendSpatial for a TypePoint.
func AppendSpatialPoint(dst, v []byte) ([]byte, error) {
	if len(v) != 25 || v[4] != wkbLittleEndian || binary.LittleEndian.Uint32(v[5:]) != wkbPoint {
		return dst, errSpatial
	}
	dst = AppendDouble(dst, math.Float64frombits(binary.LittleEndian.Uint64(v[9:])))
	dst = AppendDouble(dst, math.Float64frombits(binary.LittleEndian.Uint64(v[17:])))
	return AppendSpatial(append(dst, 2), v)
}
