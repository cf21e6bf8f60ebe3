package mysql

import (
	"flag"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"tributary/capture/capturetest"
	"tributary/envelope"
	"tributary/internal/config"
)

var update = flag.Bool("update", false, "write docs/types-mysql.md and docs/types-mariadb.md anew")

// documented are the rows of docs/types-mysql.md and docs/types-mariadb.md: a
// type, an example of its text as the server prints it, and the options under
// which it is written differently.
type documented struct {
	full, text string
	modes      []string
}

var everywhere = []documented{
	{"tinyint", "-128", nil}, {"tinyint(1)", "1", nil}, {"tinyint unsigned", "255", nil},
	{"smallint", "-1", nil}, {"smallint unsigned", "65535", nil}, {"mediumint", "-1", nil}, {"mediumint unsigned", "16777215", nil},
	{"int", "-1", nil}, {"int unsigned", "4294967295", nil}, {"int(8) unsigned zerofill", "00000042", nil},
	{"bigint", "-1", nil}, {"bigint unsigned", "18446744073709551615", []string{"bigint.unsigned.handling.mode=precise"}},
	{"float", "0.1", nil}, {"float(7,3)", "1.5", nil}, {"double", "0.1", nil},
	{"decimal(8,2)", "-12.50", []string{"decimal.handling.mode=double", "decimal.handling.mode=string"}},
	{"bit(1)", "\x01", nil}, {"bit(12)", "\x08\x01", nil},
	{"char(10)", "é", nil}, {"varchar(10)", "é", nil}, {"text", "é", nil},
	{"enum('a','b,c')", "b,c", nil}, {"set('x','y')", "x,y", nil},
	{"binary(3)", "\x00\xff\x00", []string{"binary.handling.mode=base64", "binary.handling.mode=base64-url-safe", "binary.handling.mode=hex"}},
	{"varbinary(9)", "\x00\xff", []string{"binary.handling.mode=base64"}}, {"blob", "\x00\xff", []string{"binary.handling.mode=base64"}},
	{"date", "2024-02-29", []string{"time.precision.mode=connect"}}, {"date", "0000-00-00", nil},
	{"time", "-12:34:56", []string{"time.precision.mode=connect"}}, {"time(6)", "12:34:56.789012", []string{"time.precision.mode=connect"}},
	{"datetime", "2024-02-29 12:34:56", []string{"time.precision.mode=connect"}}, {"datetime(3)", "2024-02-29 12:34:56.789", nil},
	{"datetime(6)", "2024-02-29 12:34:56.789012", []string{"time.precision.mode=connect"}},
	{"timestamp", "2024-02-29 12:34:56", nil}, {"timestamp(3)", "2024-02-29 12:34:56.700", nil}, {"timestamp", "0000-00-00 00:00:00", nil},
	{"year", "2024", nil}, {"year", "0000", nil},
	{"point", "\x00\x00\x00\x00\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\xf0\x3f\x00\x00\x00\x00\x00\x00\x00\x40", nil},
	{"geometry", "\xe6\x10\x00\x00\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\xf0\x3f\x00\x00\x00\x00\x00\x00\x00\x40", nil},
	{"vector(2)", "\x00\x00\x80\x3f\x00\x00\x20\xc0", nil},
}

// definition reads a type as information_schema has it in COLUMN_TYPE.
func definition(full string) columnDef {
	word, rest, _ := strings.Cut(full, "(")
	d := columnDef{Name: "v", Full: full, DataType: strings.Fields(word)[0]}
	args, _, _ := strings.Cut(rest, ")")
	first, second, _ := strings.Cut(args, ",")
	n, _ := strconv.Atoi(first) // those of ENUM are no numbers
	switch d.DataType {
	case "decimal":
		d.Precision = n
		d.Scale, _ = strconv.Atoi(second)
	case "time", "datetime", "timestamp":
		d.FSP = n
	case "bit", "binary":
		d.Length = n
	case "enum", "set":
		d.Members = members(full)
	}
	return d
}

const typesHeader = `# What %[1]s's types become

Printed from the code: go test ./capture/mysql -run TestTypesAreDocumented -update. Snapshot and log give the
same value. The column "written as" shows integers as they are in Avro, bytes in hexadecimal. What differs from
Debezium, and why, is in capture/mysql/testdata/differences.txt.

| %[1]s | option | Avro type | semantic type | example | written as |
|---|---|---|---|---|---|
`

const typesFooter = `
The larger and smaller forms of TEXT and BLOB are as these two, the other geometries as GEOMETRY: well-known
binary as the server stores it, and the identifier of its spatial reference system unless that is 0. Text of every
character set becomes UTF-8, as the server itself would convert it.

A date, datetime or timestamp that is none (a month or day of 0) is null, or in a column that cannot be null the
day 0, 1970-01-01. A time of day that Connect's Time cannot hold (time.precision.mode=connect) is null, or 0.

JSON is written without white space between tokens. A number with fraction or exponent from 10^7 on or below 10^-3 is
written out with all the digits of the double, as Debezium does in the stream; dates and times within a document are
as the server prints them.

Where the log does not carry an unchanged value (binlog_row_image NOBLOB or MINIMAL in a session), text and binary
columns are unavailable.value.placeholder. Values of other types, which have no such form, are read from the table by
the row's key, a query for each such update, with a warning: a change since may be in them already, whose own record
follows. Where the row is gone, or nothing can be read by, capturing stops; what it says names the way on. A column
that an INSERT left out has its default. MariaDB 11 leaves generated columns out of updates: the server is asked to
compute them with the row's values, likewise.
`

const mariaFooter = `
Columns that are COMPRESSED are as they would be without. Of tables with system versioning the current rows are
captured: the end of a row is a delete, rows of the past are left out. JSON is a LONGTEXT in MariaDB, and is written
as it was stored.
`

// TestTypesAreDocumented holds the tables of types against the code.
func TestTypesAreDocumented(t *testing.T) {
	my := append(everywhere[:len(everywhere):len(everywhere)], documented{"json", `{"a": [1, 1.50, 1e20]}`, nil})
	maria := append(everywhere[:len(everywhere):len(everywhere)],
		documented{"longtext /* JSON */", `{"a": 1}`, nil}, documented{"uuid", "123e4567-e89b-12d3-a456-426614174000", nil},
		documented{"inet4", "192.0.2.1", nil}, documented{"inet6", "2001:db8::1", nil})
	writeTypes(t, "types-mysql.md", fmt.Sprintf(typesHeader, "MySQL"), my, typesFooter)
	writeTypes(t, "types-mariadb.md", fmt.Sprintf(typesHeader, "MariaDB"), maria, typesFooter+mariaFooter)
}

func writeTypes(t *testing.T, file, header string, rows []documented, footer string) {
	t.Helper()
	var b strings.Builder
	b.WriteString(header)
	cell := capturetest.Cell
	for _, row := range rows {
		for _, option := range append([]string{""}, row.modes...) {
			d := definition(row.full)
			ct, err := columnTypeOf(envelope.TableID{Name: "t"}, &d, with(t, option))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", row.full, cell(option), capturetest.AvroName(&ct.typ), cell(ct.typ.Name), cell(printable(row.text)), cell(written(t, &ct, row.text)))
		}
	}
	b.WriteString(footer)
	capturetest.Documented(t, file, b.String(), *update)
}

// with are the default settings but for OPTION=VALUE.
func with(t *testing.T, option string) *settings {
	t.Helper()
	text := "name: n\nconnector.class: mysql\ntopic.prefix: p\ndatabase.hostname: h\ndatabase.user: u\n" + strings.Replace(option, "=", ": ", 1)
	var o Options
	if err := config.Parse("types.yaml", []byte(text), &o); err != nil {
		t.Fatal(err)
	}
	return &settings{Options: &o}
}

// printable writes bytes in hexadecimal.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' }) {
		return fmt.Sprintf("x'%x'", s)
	}
	return s
}

// written encodes the example, and decodes it by the schema of a record.
func written(t *testing.T, ct *columnType, text string) string {
	t.Helper()
	column := envelope.Column{Type: ct.typ, Nullable: true}
	row := column.AppendNull(nil)
	if ct.none == nil || !ct.none([]byte(text)) {
		var err error
		if row, err = ct.text(column.AppendPresent(nil), []byte(text)); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	return capturetest.Written(t, column, row)
}
