package mssqltest

import (
	"tributary/internal/mssqltest/tds"
)

// TypeRow is what sys.types says of a type.
type typeRow struct {
	name                           string
	system, user                   int64
	max, precision, scale          int64
	collated, nullable, assemblies bool
}

// From a recorded sys.types of a server.
var typeRows = []typeRow{
	{"image", 34, 34, 16, 0, 0, false, true, false}, {"text", 35, 35, 16, 0, 0, true, true, false},
	{"uniqueidentifier", 36, 36, 16, 0, 0, false, true, false}, {"date", 40, 40, 3, 10, 0, false, true, false},
	{"time", 41, 41, 5, 16, 7, false, true, false}, {"datetime2", 42, 42, 8, 27, 7, false, true, false},
	{"datetimeoffset", 43, 43, 10, 34, 7, false, true, false}, {"tinyint", 48, 48, 1, 3, 0, false, true, false},
	{"smallint", 52, 52, 2, 5, 0, false, true, false}, {"int", 56, 56, 4, 10, 0, false, true, false},
	{"smalldatetime", 58, 58, 4, 16, 0, false, true, false}, {"real", 59, 59, 4, 24, 0, false, true, false},
	{"money", 60, 60, 8, 19, 4, false, true, false}, {"datetime", 61, 61, 8, 23, 3, false, true, false},
	{"float", 62, 62, 8, 53, 0, false, true, false}, {"sql_variant", 98, 98, 8016, 0, 0, false, true, false},
	{"ntext", 99, 99, 16, 0, 0, true, true, false}, {"bit", 104, 104, 1, 1, 0, false, true, false},
	{"decimal", 106, 106, 17, 38, 38, false, true, false}, {"numeric", 108, 108, 17, 38, 38, false, true, false},
	{"smallmoney", 122, 122, 4, 10, 4, false, true, false}, {"bigint", 127, 127, 8, 19, 0, false, true, false},
	{"hierarchyid", 240, 128, 892, 0, 0, false, true, true}, {"geometry", 240, 129, -1, 0, 0, false, true, true},
	{"geography", 240, 130, -1, 0, 0, false, true, true}, {"varbinary", 165, 165, 8000, 0, 0, false, true, false},
	{"varchar", 167, 167, 8000, 0, 0, true, true, false}, {"binary", 173, 173, 8000, 0, 0, false, true, false},
	{"char", 175, 175, 8000, 0, 0, true, true, false}, {"timestamp", 189, 189, 8, 0, 0, false, false, false},
	{"nvarchar", 231, 231, 8000, 0, 0, true, true, false}, {"sysname", 231, 256, 256, 0, 0, true, false, false},
	{"nchar", 239, 239, 8000, 0, 0, true, true, false}, {"xml", 241, 241, -1, 0, 0, false, true, false},
}

func typeRowOf(t tds.Type) typeRow {
	for _, r := range typeRows {
		if r.name == string(t.Kind) && !t.Sysname || t.Sysname && r.name == "sysname" {
			return r
		}
	}
	panic("no row in sys.types for " + string(t.Kind))
}

var timeLength = [8]int64{3, 3, 3, 4, 4, 5, 5, 5}

// facets are max_length, precision and scale as sys.columns has them.
func facets(t tds.Type) (length, precision, scale int64) {
	r := typeRowOf(t)
	length, precision, scale = r.max, r.precision, r.scale
	s := int64(t.Scale)
	dot := int64(0)
	if s > 0 {
		dot = s + 1
	}
	switch t.Kind {
	case tds.DecimalKind, tds.Numeric:
		precision, scale = int64(t.Precision), s
		length = map[bool]int64{true: 5, false: 9}[t.Precision <= 9]
		if t.Precision > 19 {
			length = 13
		}
		if t.Precision > 28 {
			length = 17
		}
	case tds.Time:
		length, precision, scale = timeLength[s], 8+dot, s
	case tds.DateTime2:
		length, precision, scale = timeLength[s]+3, 19+dot, s
	case tds.DateTimeOffset:
		length, precision, scale = timeLength[s]+5, 26+dot, s
	case tds.Char, tds.VarChar, tds.NChar, tds.NVarChar, tds.Binary, tds.VarBinary:
		length = int64(t.Length)
	}
	return length, precision, scale
}

const serverCollation = "SQL_Latin1_General_CP1_CI_AS"

func collationOf(t tds.Type, collate string) any {
	switch {
	case !t.Character() || t.Kind == tds.XML:
		return nil
	case collate != "":
		return collate
	case t.UTF8:
		return "Latin1_General_100_CI_AS_SC_UTF8"
	}
	return serverCollation
}
