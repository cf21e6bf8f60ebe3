package sqlserver

import (
	"strings"

	"tributary/envelope"
)

// column is a column of a table, as the catalog has it.
type column struct {
	id        int64
	name      string
	typ       string // name of the type, of the base type for aliases; "decimal"
	alias     string // name of the type as declared, "sysname"
	length    int64  // bytes, -1 = max
	precision int
	scale     int
	nullable  bool
	identity  bool
	computed  bool
	encrypted bool   // by Always Encrypted: the server does not know the values
	def       string // definition of the default, "" = none
	collation string
}

// lob reports whether the change tables have the value only where it changed.
func (c *column) lob() bool {
	switch c.typ {
	case "nvarchar", "varchar", "varbinary":
		return c.length == -1
	case "xml", "text", "ntext", "image", "json":
		return true
	}
	return false
}

// old reports whether the change tables never have the value of before.
func (c *column) old() bool { return c.typ == "text" || c.typ == "ntext" || c.typ == "image" }

// chars is the length in characters, as JDBC tells it.
func (c *column) chars() int {
	switch {
	case c.typ == "nchar" || c.typ == "nvarchar" || c.typ == "ntext":
		if c.length == -1 || c.typ == "ntext" {
			return 1<<30 - 1
		}
		return int(c.length / 2)
	case c.length == -1 || c.typ == "text" || c.typ == "image" || c.typ == "xml" || c.typ == "json" || c.typ == "sql_variant" || c.udt():
		return 1<<31 - 1
	}
	return int(c.length)
}

func (c *column) udt() bool {
	return c.typ == "hierarchyid" || c.typ == "geometry" || c.typ == "geography"
}

// cast is the type as CAST takes it.
func (c *column) cast() string {
	switch c.typ {
	case "decimal", "numeric":
		return c.typ + "(" + itoa(c.precision) + "," + itoa(c.scale) + ")"
	case "datetime2", "time", "datetimeoffset":
		return c.typ + "(" + itoa(c.scale) + ")"
	case "float":
		return "float(" + itoa(c.precision) + ")"
	case "char", "varchar", "nchar", "nvarchar", "binary", "varbinary":
		if c.length == -1 {
			return c.typ + "(max)"
		}
		return c.typ + "(" + itoa(c.chars()) + ")"
	case "timestamp":
		return "binary(8)"
	}
	return c.typ
}

// jdbc are the numbers of java.sql.Types and of Microsoft's driver, and the lengths
// and scales that the driver tells; -1 = none, -2 = the column's own.
var jdbc = map[string]struct {
	number        int32
	length, scale int32
}{
	"bit": {-7, 1, -1}, "tinyint": {-6, 3, 0}, "smallint": {5, 5, 0}, "int": {4, 10, 0}, "bigint": {-5, 19, 0},
	"real": {7, 24, -1}, "float": {8, 53, -1}, "decimal": {3, -2, -2}, "numeric": {2, -2, -2}, "money": {3, 19, 4}, "smallmoney": {3, 10, 4},
	"char": {1, -2, -1}, "varchar": {12, -2, -1}, "text": {-1, -2, -1}, "nchar": {-15, -2, -1}, "nvarchar": {-9, -2, -1}, "ntext": {-16, -2, -1},
	"binary": {-2, -2, -1}, "varbinary": {-3, -2, -1}, "image": {-4, -2, -1}, "timestamp": {-2, 8, -1},
	"uniqueidentifier": {1, 36, -1}, "xml": {-16, -2, -1}, "json": {-16, -2, -1}, "sql_variant": {-150, -2, -1},
	"hierarchyid": {-3, -2, -1}, "geometry": {-3, -2, -1}, "geography": {-3, -2, -1},
	"date": {91, 10, -1}, "time": {92, 8, -2}, "datetime": {93, 23, 3}, "smalldatetime": {93, 16, 0}, "datetime2": {93, 19, -2}, "datetimeoffset": {-155, 26, -2},
}

// described is the column as the topic of schema changes and
// column.propagate.source.type have it.
func (c *column) described() envelope.ColumnSchema {
	j, known := jdbc[c.typ]
	if !known {
		j.number, j.length, j.scale = 1111, -2, -1
	}
	out := envelope.ColumnSchema{Name: c.name, JDBCType: j.number, TypeName: c.alias, Length: j.length, Scale: j.scale, Optional: c.nullable, AutoIncrement: c.identity, Generated: c.computed}
	if c.identity {
		out.TypeName += " identity"
	}
	out.Expression = out.TypeName
	switch {
	case c.typ == "time" || c.typ == "datetime2" || c.typ == "datetimeoffset":
		out.Scale = int32(c.scale) //nolint:gosec // at most 7
		if c.scale > 0 {
			out.Length += 1 + out.Scale
		}
	case c.typ == "decimal" || c.typ == "numeric":
		out.Length, out.Scale = int32(c.precision), int32(c.scale) //nolint:gosec // at most 38
	case out.Length == -2:
		out.Length = int32(c.chars()) //nolint:gosec // at most 2^31-1
	}
	if c.def != "" {
		out.Default = &c.def
	}
	return out
}

// declared is the type that column.propagate.source.type tells.
func (c *column) declared() *envelope.SourceType {
	d := c.described()
	return &envelope.SourceType{Name: strings.ToUpper(d.TypeName), Length: int(d.Length), Scale: int(d.Scale)}
}
