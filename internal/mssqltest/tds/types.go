package tds

import (
	"fmt"
	"strconv"
	"strings"
)

// Kind names a data type as SQL does.
type Kind string

// The data types.
const (
	Bit            Kind = "bit"
	TinyInt        Kind = "tinyint"
	SmallInt       Kind = "smallint"
	Int            Kind = "int"
	BigInt         Kind = "bigint"
	Real           Kind = "real"
	Float          Kind = "float"
	DecimalKind    Kind = "decimal"
	Numeric        Kind = "numeric"
	Money          Kind = "money"
	SmallMoney     Kind = "smallmoney"
	Char           Kind = "char"
	VarChar        Kind = "varchar"
	NChar          Kind = "nchar"
	NVarChar       Kind = "nvarchar"
	Text           Kind = "text"
	NText          Kind = "ntext"
	Image          Kind = "image"
	Binary         Kind = "binary"
	VarBinary      Kind = "varbinary"
	UniqueID       Kind = "uniqueidentifier"
	XML            Kind = "xml"
	Date           Kind = "date"
	Time           Kind = "time"
	DateTime       Kind = "datetime"
	SmallDateTime  Kind = "smalldatetime"
	DateTime2      Kind = "datetime2"
	DateTimeOffset Kind = "datetimeoffset"
	RowVersion     Kind = "timestamp"
	SQLVariant     Kind = "sql_variant"
	HierarchyID    Kind = "hierarchyid"
	Geometry       Kind = "geometry"
	Geography      Kind = "geography"
)

// Max is the length of a (max) type.
const Max = -1

// Type is a data type with its parameters.
type Type struct {
	Kind Kind
	// Length is in bytes, so twice the characters of nchar and nvarchar; Max for
	// the (max) types. It is 0 for types without a length.
	Length    int
	Precision int // of decimal and numeric
	Scale     int // of decimal and numeric, and of time, datetime2 and datetimeoffset
	// UTF8 is set for a char or varchar whose collation stores UTF-8.
	UTF8 bool
	// Sysname is set for the user type sysname, which is nvarchar(128).
	Sysname bool
}

// Character says whether values are text.
func (t Type) Character() bool {
	switch t.Kind {
	case Char, VarChar, NChar, NVarChar, Text, NText, XML:
		return true
	}
	return false
}

// Unicode says whether text is stored as UTF-16.
func (t Type) Unicode() bool {
	return t.Kind == NChar || t.Kind == NVarChar || t.Kind == NText || t.Kind == XML
}

// Bytes says whether values are byte strings.
func (t Type) Bytes() bool {
	switch t.Kind {
	case Binary, VarBinary, Image, RowVersion, HierarchyID, Geometry, Geography:
		return true
	}
	return false
}

// Integer says whether values are whole numbers (bit not among them).
func (t Type) Integer() bool {
	return t.Kind == TinyInt || t.Kind == SmallInt || t.Kind == Int || t.Kind == BigInt
}

// Exact says whether values are decimals: decimal, numeric, money and smallmoney.
func (t Type) Exact() bool {
	return t.Kind == DecimalKind || t.Kind == Numeric || t.Kind == Money || t.Kind == SmallMoney
}

// Temporal says whether values are dates or times.
func (t Type) Temporal() bool {
	switch t.Kind {
	case Date, Time, DateTime, SmallDateTime, DateTime2, DateTimeOffset:
		return true
	}
	return false
}

// Large says whether a value is a LOB: change tables leave it NULL where an
// update did not touch it.
func (t Type) Large() bool {
	switch t.Kind {
	case Text, NText, Image, XML:
		return true
	case VarChar, NVarChar, VarBinary:
		return t.Length == Max
	}
	return false
}

// String is the type as it stands in a table's definition.
func (t Type) String() string {
	switch t.Kind {
	case DecimalKind, Numeric:
		return fmt.Sprintf("%s(%d,%d)", t.Kind, t.Precision, t.Scale)
	case Time, DateTime2, DateTimeOffset:
		return fmt.Sprintf("%s(%d)", t.Kind, t.Scale)
	case Char, VarChar, NChar, NVarChar, Binary, VarBinary:
		switch {
		case t.Length == Max:
			return string(t.Kind) + "(max)"
		case t.Unicode():
			return fmt.Sprintf("%s(%d)", t.Kind, t.Length/2)
		}
		return fmt.Sprintf("%s(%d)", t.Kind, t.Length)
	}
	return string(t.Kind)
}

// Of makes the type of a name and its parameters as they stand in SQL: length,
// or precision and scale; Max for "max". It is an error if there is no such type
// or the parameters are out of range.
func Of(name string, params ...int) (Type, error) {
	t := Type{Kind: Kind(strings.ToLower(name))}
	bad := func() (Type, error) {
		return Type{}, fmt.Errorf("the parameters %v do not suit the type %s", params, name)
	}
	arg := func(i, missing int) int {
		if i < len(params) {
			return params[i]
		}
		return missing
	}
	most := 0
	switch t.Kind {
	case "integer":
		t.Kind = Int
	case "dec":
		t.Kind = DecimalKind
	case "rowversion":
		t.Kind = RowVersion
	case "character":
		t.Kind = Char
	}
	switch t.Kind {
	case Bit, TinyInt, SmallInt, Int, BigInt, Real, Money, SmallMoney, Text, NText, Image, UniqueID, XML,
		Date, DateTime, SmallDateTime, SQLVariant, HierarchyID, Geometry, Geography:
	case RowVersion:
		t.Length = 8
	case "sysname":
		t = Type{Kind: NVarChar, Length: 256, Sysname: true}
	case Float:
		most = 1
		if p := arg(0, 53); p < 1 || p > 53 {
			return bad()
		} else if p <= 24 {
			t.Kind = Real
		}
	case DecimalKind, Numeric:
		most = 2
		t.Precision, t.Scale = arg(0, 18), arg(1, 0)
		if t.Precision < 1 || t.Precision > 38 || t.Scale < 0 || t.Scale > t.Precision {
			return bad()
		}
	case Time, DateTime2, DateTimeOffset:
		most = 1
		t.Scale = arg(0, 7)
		if t.Scale < 0 || t.Scale > 7 {
			return bad()
		}
	case Char, VarChar, NChar, NVarChar, Binary, VarBinary:
		most = 1
		n := arg(0, 1)
		wide := 1
		if t.Unicode() {
			wide = 2
		}
		if n != Max && (n < 1 || n > 8000/wide) || n == Max && (t.Kind == Char || t.Kind == NChar || t.Kind == Binary) {
			return bad()
		}
		t.Length = n
		if n != Max {
			t.Length = n * wide
		}
	default:
		return Type{}, fmt.Errorf("there is no type %s", strconv.Quote(name))
	}
	if len(params) > most {
		return bad()
	}
	return t, nil
}
