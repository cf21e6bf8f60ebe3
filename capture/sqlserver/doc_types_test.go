package sqlserver

import (
	"database/sql/driver"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"tributary/capture/capturetest"
	"tributary/envelope"
)

var update = flag.Bool("update", false, "write docs/types-sqlserver.md anew")

// at is a time in the form of the driver.
func at(text string) time.Time {
	for _, form := range []string{time.RFC3339Nano, "2006-01-02", "15:04:05"} {
		if t, err := time.Parse(form, text); err == nil {
			return t
		}
	}
	return time.Time{}
}

var (
	times    = []string{"time.precision.mode=adaptive_time_microseconds", "time.precision.mode=connect", "time.precision.mode=microseconds", "time.precision.mode=nanoseconds", "time.precision.mode=isostring"}
	decimals = []string{"decimal.handling.mode=double", "decimal.handling.mode=string"}
	binaries = []string{"binary.handling.mode=base64", "binary.handling.mode=base64-url-safe", "binary.handling.mode=hex"}
)

// documented are the rows of docs/types-sqlserver.md: a type, an example, and the
// options under which it is written differently.
var documented = []struct {
	name, shown string
	column      column
	value       driver.Value
	modes       []string
}{
	{"bit", "1", column{typ: "bit"}, true, nil},
	{"tinyint", "255", column{typ: "tinyint"}, int64(255), nil},
	{"smallint", "-1", column{typ: "smallint"}, int64(-1), nil},
	{"int", "-1", column{typ: "int"}, int64(-1), nil},
	{"bigint", "-1", column{typ: "bigint"}, int64(-1), nil},
	{"real, float(1) to (24)", "0.25", column{typ: "real"}, 0.25, nil},
	{"float, float(25) to (53)", "-2.5", column{typ: "float"}, -2.5, nil},
	{"decimal(8,2), numeric(8,2)", "-12.50", column{typ: "decimal", precision: 8, scale: 2}, []byte("-12.50"), decimals},
	{"money", "-1234.5000", column{typ: "money"}, []byte("-1234.5000"), decimals},
	{"smallmoney", "5.3230", column{typ: "smallmoney"}, []byte("5.3230"), decimals},
	{"char(5), nchar(5)", "'cc'", column{typ: "char", length: 5}, "cc   ", nil},
	{"varchar, nvarchar, text, ntext, sysname", "'é'", column{typ: "nvarchar", length: 20}, "é", nil},
	{"xml, json", "<a/>", column{typ: "xml"}, "<a/>", nil},
	{"uniqueidentifier", "6F9619FF-8B86-D011-B42D-00C04FC964FF", column{typ: "uniqueidentifier"},
		[]byte{0xFF, 0x19, 0x96, 0x6F, 0x86, 0x8B, 0x11, 0xD0, 0xB4, 0x2D, 0x00, 0xC0, 0x4F, 0xC9, 0x64, 0xFF}, nil},
	{"binary, varbinary, image, rowversion", "0x00FF", column{typ: "varbinary", length: 20}, []byte{0, 0xff}, binaries},
	{"geometry, geography, hierarchyid", "0x58", column{typ: "hierarchyid"}, []byte{0x58}, binaries},
	{"date", "2018-07-13", column{typ: "date"}, at("2018-07-13"), []string{"time.precision.mode=connect", "time.precision.mode=isostring"}},
	{"time(0) to (3)", "10:23:45.678", column{typ: "time", scale: 3}, at("10:23:45.678"), times},
	{"time(4) to (6)", "10:23:45.678901", column{typ: "time", scale: 6}, at("10:23:45.678901"), times},
	{"time, time(7)", "10:23:45.6789012", column{typ: "time", scale: 7}, at("10:23:45.6789012"), times},
	{"datetime, datetime2(0) to (3)", "2018-07-13T11:23:45.123", column{typ: "datetime2", scale: 3}, at("2018-07-13T11:23:45.123Z"), times[1:]},
	{"smalldatetime", "2018-07-13T12:24:00", column{typ: "smalldatetime"}, at("2018-07-13T12:24:00Z"), times[1:]},
	{"datetime2(4) to (6)", "2018-07-13T11:23:45.123456", column{typ: "datetime2", scale: 6}, at("2018-07-13T11:23:45.123456Z"), times[1:]},
	{"datetime2, datetime2(7)", "2018-07-13T11:23:45.1234567", column{typ: "datetime2", scale: 7}, at("2018-07-13T11:23:45.1234567Z"), times[1:]},
	{"datetimeoffset", "2018-07-13 12:23:45.123 +11:00", column{typ: "datetimeoffset", scale: 7}, at("2018-07-13T12:23:45.123+11:00"), nil},
	{"sql_variant, vector", "5", column{typ: "sql_variant"}, nil, nil},
}

const typesHeader = `# What SQL Server's types become

Printed from the code: go test ./capture/sqlserver -run TestTypesAreDocumented -update. A type that was made
with CREATE TYPE is written as the type that it is based on. Snapshot and changes give the same value. The column
"written as" shows integers as they are in Avro, bytes in hexadecimal. The types were compared with Debezium's
records of a model of SQL Server (testdata/debezium), never with SQL Server itself.

| SQL Server | option | Avro type | semantic type | example | written as |
|---|---|---|---|---|---|
`

const typesFooter = `
A datetime2(7) before 1677-09-21 or after 2262-04-11 (9999-12-31 is a common one) has no number of nanoseconds:
capturing stops with an error that says so. time.precision.mode microseconds, connect and isostring have a form for
it; debezium.defects nanos writes the wrong number that Debezium does. event.processing.failure.handling.mode keeps
such rows aside.

Defaults of columns that are constants are told in the schema; those that are expressions are not.

Where a change table does not have an unchanged (max) value, xml, text, ntext or image, it is
` + "`__debezium_unavailable_value`" + `: the text, or its bytes.
`

// TestTypesAreDocumented holds docs/types-sqlserver.md against the code.
func TestTypesAreDocumented(t *testing.T) {
	var b strings.Builder
	b.WriteString(typesHeader)
	for _, d := range documented {
		for _, option := range append([]string{""}, d.modes...) {
			typ, ok := typeOf(&d.column, withOption(t, option))
			cell := capturetest.Cell
			if !ok {
				fmt.Fprintf(&b, "| %s | %s | left out | | %s | |\n", d.name, cell(option), cell(d.shown))
				continue
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", d.name, cell(option), capturetest.AvroName(&typ.typ), cell(typ.typ.Name), cell(d.shown), cell(written(t, &typ, d.value)))
		}
	}
	b.WriteString(typesFooter)
	capturetest.Documented(t, "types-sqlserver.md", b.String(), *update)
}

func withOption(t *testing.T, option string) *Options {
	t.Helper()
	o := &Options{}
	name, value, _ := strings.Cut(option, "=")
	switch name {
	case "":
	case "decimal.handling.mode":
		o.Decimals = value
	case "time.precision.mode":
		o.Times = value
	case "binary.handling.mode":
		o.Binaries = value
	default:
		t.Fatalf("unknown option %s", name)
	}
	return o
}

// written encodes the example, and decodes it by the schema of a record.
func written(t *testing.T, typ *columnType, value driver.Value) string {
	t.Helper()
	cell, ok := typ.cell(nil, value)
	if !ok {
		t.Fatalf("a %T for %s", value, typ.typ.Name)
	}
	row, err := typ.append(nil, cell)
	if err != nil {
		t.Fatal(err)
	}
	return capturetest.Written(t, envelope.Column{Type: typ.typ}, row)
}
