package postgres

import (
	"flag"
	"fmt"
	"strings"
	"testing"

	"tributary/capture/capturetest"
	"tributary/envelope"
)

var update = flag.Bool("update", false, "write docs/types-postgres.md anew")

// documented are the rows of docs/types-postgres.md: a type, an example of its
// text, and the options under which it is written differently.
var documented = []struct {
	name, text string
	typ        pgType
	modes      []string // OPTION=VALUE; the default comes first, by itself
}{
	{"boolean", "t", as(oidBool, -1), nil},
	{"smallint", "-1", as(oidInt2, -1), nil},
	{"integer", "-1", as(oidInt4, -1), nil},
	{"bigint", "-1", as(oidInt8, -1), nil},
	{"oid", "4294967295", as(oidOID, -1), nil},
	{"real", "0.1", as(oidFloat4, -1), nil},
	{"double precision", "0.1", as(oidFloat8, -1), nil},
	{"numeric(8,2)", "-12.50", as(oidNumeric, 8<<16|2+4), []string{"decimal.handling.mode=double", "decimal.handling.mode=string"}},
	{"numeric(5,-2)", "12300", as(oidNumeric, 5<<16|0x7fe+4), nil},
	{"numeric(3,5)", "0.00123", as(oidNumeric, 3<<16|5+4), nil},
	{"numeric", "-12.50", as(oidNumeric, -1), []string{"decimal.handling.mode=double", "decimal.handling.mode=string"}},
	{"money", "-$1,234.50", as(oidMoney, -1), []string{"decimal.handling.mode=double", "decimal.handling.mode=string", "money.fraction.digits=0"}},
	{"text, varchar(n), \"char\", name, citext", "é", as(oidText, -1), nil},
	{"char(5)", "ab   ", as(oidBpchar, 9), nil},
	{"bytea", `\x00ff`, as(oidBytea, -1), []string{"binary.handling.mode=base64", "binary.handling.mode=base64-url-safe", "binary.handling.mode=hex"}},
	{"bit, bit(1)", "1", as(oidBit, 1), nil},
	{"bit(12)", "100000000001", as(oidBit, 12), nil},
	{"bit varying", "101", as(oidVarbit, -1), nil},
	{"date", "2024-02-29", as(oidDate, -1), []string{"time.precision.mode=connect"}},
	{"date", "infinity", as(oidDate, -1), nil},
	{"time, time(4) to (6)", "12:34:56.789012", as(oidTime, -1), []string{"time.precision.mode=connect"}},
	{"time(0) to (3)", "12:34:56.789", as(oidTime, 3), []string{"time.precision.mode=adaptive_time_microseconds", "time.precision.mode=connect"}},
	{"timetz", "00:00:00+15:59", as(oidTimetz, -1), nil},
	{"timestamp, timestamp(4) to (6)", "2024-02-29 12:34:56.789012", as(oidTimestamp, -1), []string{"time.precision.mode=connect"}},
	{"timestamp(0) to (3)", "2024-02-29 12:34:56.789", as(oidTimestamp, 3), []string{"time.precision.mode=connect"}},
	{"timestamp", "infinity", as(oidTimestamp, -1), nil},
	{"timestamptz", "2024-02-29 12:34:56+02", as(oidTimestamptz, -1), nil},
	{"timestamptz(0)", "2024-02-29 12:34:56+02", as(oidTimestamptz, 0), nil},
	{"timestamptz", "-infinity", as(oidTimestamptz, -1), nil},
	{"interval", "1 year 2 mons 3 days 04:05:06.789", as(oidInterval, -1), []string{"interval.handling.mode=string"}},
	{"uuid", "123e4567-e89b-12d3-a456-426614174000", as(oidUUID, -1), nil},
	{"json, jsonb", `{"a": 1}`, as(oidJSONB, -1), nil},
	{"xml", "<a/>", as(oidXML, -1), nil},
	{"hstore", `"a"=>"1", "b"=>NULL`, named("hstore"), []string{"hstore.handling.mode=map"}},
	{"ltree", "Top.Science", named("ltree"), nil},
	{"isbn", "0-393-04002-X", named("isbn"), nil},
	{"an enumeration", "ok", pgType{oid: 99999, name: "mood", enum: []string{"sad", "ok"}, typmod: -1}, nil},
	{"inet, cidr", "192.168.1.5/24", as(oidInet, -1), nil},
	{"macaddr, macaddr8", "08:00:2b:01:02:03", as(oidMacaddr, -1), nil},
	{"int4range, int8range, numrange", "[1,10)", as(oidInt4Range, -1), nil},
	{"tsrange, tstzrange, daterange", `["2024-01-01 00:00:00",)`, as(oidTSRange, -1), nil},
	{"point", "(1.5,-2.5)", as(oidPoint, -1), nil},
	{"geometry, geography (PostGIS)", "0101000020E6100000000000000000F03F0000000000000040", named("geometry"), nil},
	{"vector (pgvector)", "[1,2.5]", named("vector"), nil},
	{"halfvec (pgvector)", "[1,2.5]", named("halfvec"), nil},
	{"tsvector", "'a' 'cat'", as(oidTSVector, -1), []string{"debezium.version=3.5"}},
	{"integer[]", "{1,NULL,-3}", arrayOf(oidInt4, -1), nil},
	{"integer[][]", "{{1,2},{3,4}}", arrayOf(oidInt4, -1), nil},
	{"text[]", `{a,"b c"}`, arrayOf(oidText, -1), nil},
	{"time(n)[]", "{12:34:56.789}", arrayOf(oidTime, 3), nil},
	{"timestamp(0) to (3)[]", `{"2024-02-29 12:34:56.789"}`, arrayOf(oidTimestamp, 3), nil},
	{"int2vector, oidvector", "1 2", as(oidInt2Vector, -1), nil},
	{"an array of any other type", "{2024-02-29}", arrayOf(oidDate, -1), nil},
	{"line, lseg, box, path, polygon, circle", "[(0,0),(1,1)]", as(oidPath, -1), []string{"include.unknown.datatypes=true"}},
	{"a composite, pg_lsn, tsquery, jsonpath, a multirange, …", `(1,"x y")`, named("pair"), []string{"include.unknown.datatypes=true"}},
}

// modesOf applies an option to the defaults.
func modesOf(t *testing.T, option string) *modes {
	t.Helper()
	m := defaults()
	name, value, _ := strings.Cut(option, "=")
	switch name {
	case "":
	case "decimal.handling.mode":
		m.decimals = value
	case "time.precision.mode":
		m.times = value
	case "binary.handling.mode":
		m.binaries = value
	case "interval.handling.mode":
		m.intervals = value
	case "hstore.handling.mode":
		m.hstores = value
	case "money.fraction.digits":
		m.moneyDigits = 0
	case "include.unknown.datatypes":
		m.unknown = true
	case "debezium.version":
		m.debezium35 = true
	default:
		t.Fatalf("unknown option %s", name)
	}
	return m
}

const typesHeader = `# What PostgreSQL's types become

Printed from the code: go test ./capture/postgres -run TestTypesAreDocumented -update. A domain is
written as the type that it is based on. Snapshot and log give the same value. The column "written as"
shows integers as they are in Avro, bytes in hexadecimal. What differs from Debezium, and why, is in
capture/postgres/testdata/differences.txt; debezium.defects keeps what of it consumers may count on.

| PostgreSQL | option | Avro type | semantic type | example | written as |
|---|---|---|---|---|---|
`

const typesFooter = `
A type without a mapping is left out, with a warning in the log and in the plan that ` + "`check`" + ` prints,
unless include.unknown.datatypes is true; then it is the text of the value, as binary.handling.mode says.

NaN and infinity are values of real, double precision, and of numeric with decimal.handling.mode double or
string, where they are NAN, POSITIVE_INFINITY and NEGATIVE_INFINITY; a numeric that is written as an exact decimal
has no form for them, and capturing stops with an error that says so. With event.converting.failure.handling.mode
warn such a value is null, with a warning for its column.

PostgreSQL has intervals of 178 million years and timestamps up to the year 294276. A long of microseconds ends
before: what is beyond it is written as its end.

Where the log does not carry an unchanged value (TOAST), it is ` + "`__debezium_unavailable_value`" + `: the text, its
bytes for bytea, bit varying and the well-known binary of geometries, an array with it as its one element for arrays
of texts, bytea, zoned times and ranges (of its UUID of version 3 for arrays of UUIDs), an array with the codes of
its letters for arrays of integers, dates, times and floats and for vectors, and an entry with it as key and value
for hstore. For numeric and arrays of numeric and boolean there is no such form: capturing stops with an error that
asks for REPLICA IDENTITY FULL.
`

// TestTypesAreDocumented holds docs/types-postgres.md against the code.
func TestTypesAreDocumented(t *testing.T) {
	var b strings.Builder
	b.WriteString(typesHeader)
	for _, d := range documented {
		for _, option := range append([]string{""}, d.modes...) {
			mp, ok := mapType(d.typ, modesOf(t, option))
			cell := capturetest.Cell
			if !ok {
				fmt.Fprintf(&b, "| %s | %s | left out | | %s | |\n", d.name, cell(option), cell(d.text))
				continue
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", d.name, cell(option), capturetest.AvroName(&mp.typ), cell(semanticName(&mp.typ)), cell(d.text), cell(written(t, &mp, d.text)))
		}
	}
	b.WriteString(typesFooter)
	capturetest.Documented(t, "types-postgres.md", b.String(), *update)
}

func semanticName(t *envelope.Type) string {
	if t.Name == "" && t.Items != nil {
		return t.Items.Name
	}
	return t.Name
}

// written encodes the example, and decodes it by the schema of a record.
func written(t *testing.T, mp *mapping, text string) string {
	t.Helper()
	row, err := mp.encode(nil, []byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return capturetest.Written(t, envelope.Column{Type: mp.typ}, row)
}
