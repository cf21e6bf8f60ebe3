package envelope

import (
	"encoding/binary"
	"math"
)

// Well-known binary (OGC 06-103r4, 8.2): byte order, type, coordinates.
const (
	wkbLittleEndian = 1
	wkbPoint        = 1
)

// TypePoint is a point of the plane: its coordinates and, once more, as
// well-known binary.
func TypePoint() Type {
	t := named(Record, "io.debezium.data.geometry.Point")
	t.Doc = "Geometry (POINT)"
	t.Fields = []RecordField{
		{Name: "x", Type: TypeOf(Double)}, {Name: "y", Type: TypeOf(Double)},
		{Name: "wkb", Type: TypeOf(Bytes), Nullable: true}, {Name: "srid", Type: TypeOf(Int), Nullable: true},
	}
	t.Zero = AppendPoint(nil, 0, 0)
	return t
}

// TypeGeometry is any geometry as well-known binary, with the identifier of
// its spatial reference system where it has one.
func TypeGeometry() Type { return geometry("Geometry") }

// TypeGeography is TypeGeometry on the globe.
func TypeGeography() Type { return geometry("Geography") }

func geometry(name string) Type {
	t := named(Record, "io.debezium.data.geometry."+name)
	t.Doc = name
	t.Fields = []RecordField{{Name: "wkb", Type: TypeOf(Bytes)}, {Name: "srid", Type: TypeOf(Int), Nullable: true}}
	return t
}

// AppendPoint appends a TypePoint without a spatial reference system.
func AppendPoint(dst []byte, x, y float64) []byte {
	dst = AppendDouble(AppendDouble(dst, x), y)
	dst = append(AppendLong(append(dst, 2), 21), wkbLittleEndian)
	dst = binary.LittleEndian.AppendUint32(dst, wkbPoint)
	dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(x))
	dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(y))
	return append(dst, 0)
}

// AppendGeometry appends a TypeGeometry or TypeGeography; srid 0 is none.
func AppendGeometry(dst, wkb []byte, srid int32) []byte {
	dst = AppendBytes(dst, wkb)
	if srid == 0 {
		return append(dst, 0)
	}
	return AppendInt(append(dst, 2), srid)
}
