package postgres

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"tributary/envelope"
)

// as makes a type by its name in this test.
func as(oid uint32, typmod int32) pgType { return pgType{oid: oid, typmod: typmod} }

func arrayOf(oid uint32, typmod int32) pgType {
	return pgType{elem: &pgType{oid: oid, typmod: -1}, typmod: typmod, delim: ','}
}

func named(name string) pgType { return pgType{oid: 99999, name: name, typmod: -1} }

// TestMoreValues holds the types that are more than a number or a text against
// the values that they stand for.
func TestMoreValues(t *testing.T) {
	long := func(v ...int64) (out []byte) {
		for _, n := range v {
			out = envelope.AppendLong(out, n)
		}
		return out
	}
	str := func(s string) []byte { return envelope.AppendString(nil, s) }
	set := func(edit func(*modes)) func(*modes) { return edit }
	text := set(func(m *modes) { m.decimals, m.intervals = "string", "string" })
	const day = int64(envelope.MicrosPerDay)
	for _, c := range []struct {
		name string
		typ  pgType
		edit func(*modes)
		text string
		want []byte
	}{
		{"interval", as(oidInterval, -1), nil, "1 year 2 mons 3 days 04:05:06.789", long(37091106789000)},
		{"negative interval", as(oidInterval, -1), nil, "-1 years -2 mons -3 days -04:05:06.789", long(-37091106789000)},
		{"mixed interval", as(oidInterval, -1), nil, "-1 days +02:03:00", long(-day + 7380e6)},
		{"long interval", as(oidInterval, -1), nil, "1000:00:00.000001", long(3600e9 + 1)},
		{"infinite interval", as(oidInterval, -1), nil, "-infinity", long(math.MinInt64)},
		{"interval text", as(oidInterval, -1), text, "-1 years -2 mons -3 days -04:05:06.789", str("P-1Y-2M-3DT-4H-5M-6.789S")},
		{"interval text of no time", as(oidInterval, -1), text, "00:00:00", str("P0Y0M0DT0H0M0S")},
		{"interval text below a second", as(oidInterval, -1), text, "-00:00:00.5", str("P0Y0M0DT0H0M-0.5S")},
		{"interval text of months", as(oidInterval, -1), text, "99 years 11 mons", str("P99Y11M0DT0H0M0S")},

		{"an interval beyond the type", as(oidInterval, -1), nil, "178000000 years", envelope.AppendLong(nil, math.MaxInt64)},
		{"an interval before it", as(oidInterval, -1), nil, "-178000000 years", envelope.AppendLong(nil, math.MinInt64)},
		{"an interval of parts beyond it", as(oidInterval, -1), nil, "3000000 mons -90000000 days", envelope.AppendLong(nil, 3000000*2629800000000-90000000*86400000000)},
		{"the last timestamp", as(oidTimestamptz, -1), nil, "294276-12-31 23:59:59.999999+00", str("+294276-12-31T23:59:59.999999Z")},
		{"the last timestamp in microseconds", as(oidTimestamp, -1), nil, "294276-12-31 23:59:59.999999", envelope.AppendLong(nil, math.MaxInt64)},
		{"time(3)[]", arrayOf(oidTime, 3), nil, "{00:00:01}", []byte{2, 2, 0x80, 0x89, 0x7a, 0}},
		{"time(3)[] of Debezium 3.5", arrayOf(oidTime, 3), set(func(m *modes) { m.debezium35 = true }), "{00:00:01}", []byte{2, 2, 0xd0, 0x0f, 0}},
		{"int2vector", as(oidInt2Vector, -1), nil, "1 -2", []byte{4, 2, 3, 0}}, {"empty oidvector", as(oidOIDVector, -1), nil, "", []byte{0}},
		{"money", as(oidMoney, -1), nil, "$92,233,720,368,547,758.07", append([]byte{16}, 0x7f, 255, 255, 255, 255, 255, 255, 255)},
		{"negative money", as(oidMoney, -1), text, "-$1,234.50", str("-1234.50")},
		{"money in brackets", as(oidMoney, -1), text, "($0.05)", str("-0.05")},
		{"least money", as(oidMoney, -1), text, "-$92,233,720,368,547,758.08", str("-92233720368547758.08")},
		{"money of another locale", as(oidMoney, -1), text, "1.234,50 Eu", str("1234.50")},
		{"money rounded", as(oidMoney, -1), set(func(m *modes) { m.moneyDigits = 1 }), "$1.25", []byte{2, 13}},
		{"money rounded to whole", as(oidMoney, -1), set(func(m *modes) { m.moneyDigits = 0 }), "$100.49", []byte{2, 100}},
		{"money with more digits", as(oidMoney, -1), set(func(m *modes) { m.moneyDigits = 4 }), "$1.25", []byte{4, 0x30, 0xd4}},
		{"money of a currency without fraction", as(oidMoney, -1), set(func(m *modes) { text(m); m.moneyServer = 0 }), "￥1,234", str("1234")},
		{"money as text is not rounded", as(oidMoney, -1), set(func(m *modes) { text(m); m.moneyDigits = 0 }), "$1,000.49", str("1000.49")},
		{"money as double", as(oidMoney, -1), set(func(m *modes) { m.decimals = "double" }), "$1.50", envelope.AppendDouble(nil, 1.5)},

		{"bit", as(oidBit, 1), nil, "1", []byte{1}},
		{"bits", as(oidBit, 12), nil, "100000000001", []byte{4, 1, 8}},
		{"no bits set", as(oidBit, 8), nil, "00000000", []byte{0}},
		{"bit varying", as(oidVarbit, -1), nil, "", []byte{0}},
		{"point", as(oidPoint, -1), nil, "(1.5,-2.5)", envelope.AppendPoint(nil, 1.5, -2.5)},
		{"range", as(oidInt4Range, -1), nil, "[1,10)", str("[1,10)")},
		{"name", as(oidName, -1), nil, "nm", str("nm")},
		{"NaN as text", as(oidNumeric, -1), text, "NaN", str("NAN")},
		{"NaN as text with a scale", as(oidNumeric, 8<<16|2+4), text, "NaN", str("NAN")},
		{"infinite numeric", as(oidNumeric, -1), set(func(m *modes) { m.decimals = "double" }), "-Infinity", envelope.AppendDouble(nil, math.Inf(-1))},
		{"numeric text is padded to its scale", as(oidNumeric, 8<<16|2+4), text, "12.5", str("12.50")},
		{"numeric(3,5)", as(oidNumeric, 3<<16|5+4), nil, "0.00123", []byte{2, 123}},

		{"hstore", named("hstore"), nil, `"a"=>"1", "b"=>NULL, "c d"=>"q\"x"`, str(`{"a":"1","b":null,"c d":"q\"x"}`)},
		{"no hstore", named("hstore"), nil, "", str("{}")},
		{"hstore as map", named("hstore"), set(func(m *modes) { m.hstores = "map" }), `"a"=>"1", "b"=>NULL`,
			append(append(append(long(2), str("a")...), append([]byte{2}, str("1")...)...), append(str("b"), 0, 0)...)},
		{"hstore with control characters", named("hstore"), nil, "\"a\"=>\"\t\x01\"", str(`{"a":"\t\u0001"}`)},
		{"vector", named("vector"), nil, "[1,2.5]", append(envelope.AppendDouble(envelope.AppendDouble([]byte{4}, 1), 2.5), 0)},
		{"geometry", named("geometry"), nil, "0101000020E6100000000000000000F03F0000000000000040",
			envelope.AppendGeometry(nil, unhex(t, "0101000020E6100000000000000000F03F0000000000000040"), 4326)},

		{"array", arrayOf(oidInt4, -1), nil, "{1,NULL,-3}", append(long(3), 2, 2, 0, 2, 5, 0)},
		{"empty array", arrayOf(oidInt4, -1), nil, "{}", []byte{0}},
		{"array of arrays", arrayOf(oidInt4, -1), nil, "{{1,2},{3,4}}", append(long(4), 2, 2, 2, 4, 2, 6, 2, 8, 0)},
		{"array that begins elsewhere", arrayOf(oidInt4, -1), nil, "[0:1]={1,2}", append(long(2), 2, 2, 2, 4, 0)},
		{"array of texts", arrayOf(oidText, -1), nil, `{a,"b c",NULL,"NULL","q\"\\x",""}`,
			concat(long(6), []byte{2}, str("a"), []byte{2}, str("b c"), []byte{0, 2}, str("NULL"), []byte{2}, str(`q"\x`), []byte{2, 0, 0})},
		{"array of numeric", arrayOf(oidNumeric, 10<<16|2+4), nil, "{1.50}", append(long(1), 2, 4, 0, 150, 0)},
		{"array of time", arrayOf(oidTime, 3), nil, "{00:00:01}", concat(long(1), []byte{2}, long(1e6), []byte{0})},
	} {
		m := defaults()
		if c.edit != nil {
			c.edit(m)
		}
		mp, ok := mapType(c.typ, m)
		if !ok {
			t.Errorf("%s has no mapping", c.name)
			continue
		}
		got, err := mp.encode(nil, []byte(c.text))
		if err != nil || !bytes.Equal(got, c.want) {
			t.Errorf("%s %q: %q, %v, want %q", c.name, c.text, got, err, c.want)
		}
	}
}

func concat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := decodeBytea([]byte(`\x` + s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMoreMalformedValues(t *testing.T) {
	for _, c := range []struct {
		typ   pgType
		texts []string
	}{
		{as(oidInterval, -1), []string{"1", "1 fortnight", "12:00", "1 day x", "04:05:06 1 day"}},
		{as(oidMoney, -1), []string{"", "$", "99999999999999999999999"}},
		{as(oidBit, 8), []string{"2", "0x"}},
		{as(oidPoint, -1), []string{"", "(1,2", "1,2", "(a,b)"}},
		{named("hstore"), []string{"a", `"a"`, `"a"=>`, `"a"=>"1",`, `"a"=>"1" "b"=>"2"`, "\"\xff\"=>NULL"}},
		{named("geometry"), []string{"", "zz", "0101"}},
		{named("vector"), []string{"", "1,2", "[1,", "[a]"}},
		{arrayOf(oidInt4, -1), []string{"", "1", "{", "{1", "{1}}", "{1}x", `{"1}`, "{a}", "[0:1]"}},
	} {
		mp, _ := mapType(c.typ, defaults())
		for _, text := range c.texts {
			if got, err := mp.encode(nil, []byte(text)); err == nil {
				t.Errorf("type %d %s takes %q for %q", c.typ.oid, c.typ.name, text, got)
			}
		}
	}
}

// TestPlaceholders holds the forms in which the absence of a value is told
// against those that Debezium has and the lake's side knows.
func TestPlaceholders(t *testing.T) {
	u := envelope.AppendString(nil, envelope.Unavailable)
	codes := envelope.AppendLong(nil, int64(len(envelope.Unavailable)))
	for _, c := range []byte(envelope.Unavailable) {
		codes = envelope.AppendLong(append(codes, 2), int64(c))
	}
	codes = append(codes, 0)
	one := concat([]byte{2, 2}, u, []byte{0})
	for name, c := range map[string]struct {
		typ  pgType
		want []byte
	}{
		"text": {as(oidText, -1), u}, "jsonb": {as(oidJSONB, -1), u}, "bytea": {as(oidBytea, -1), u}, "text[]": {arrayOf(oidText, -1), one},
		"bytea[]": {arrayOf(oidBytea, -1), one}, "int[]": {arrayOf(oidInt4, -1), codes}, "date[]": {arrayOf(oidDate, -1), codes},
		"numeric": {as(oidNumeric, -1), nil}, "bool[]": {arrayOf(oidBool, -1), nil}, "bit varying": {as(oidVarbit, -1), u},
		"uuid[]": {arrayOf(oidUUID, -1), concat([]byte{2, 2}, envelope.AppendString(nil, "b68a35a7-17ad-35b3-af2a-ae46edb4545a"), []byte{0})}, "int": {as(oidInt4, -1), nil},
	} {
		mp, ok := mapType(c.typ, defaults())
		var got []byte
		if ok && mp.unavailable != nil {
			got = mp.unavailable(envelope.Unavailable)
		}
		if !ok || !bytes.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestHstoreOrder: Debezium writes the entries as a Java HashMap has them.
func TestHstoreOrder(t *testing.T) {
	var src []string
	for _, k := range strings.Fields("z Aa BB a") { // Aa and BB have the same hash
		src = append(src, `"`+k+`"=>NULL`)
	}
	pairs, err := parseHstore([]byte(strings.Join(src, ", ")))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range pairs {
		got = append(got, string(p.key))
	}
	// Buckets of 16: Aa and BB 2112 -> 0, a 97 -> 1, z 122 -> 10.
	if want := "Aa BB a z"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func FuzzMoreText(f *testing.F) {
	for _, s := range []string{`{1,NULL,"a\"b"}`, "[1:2]={{1},{2}}", `"a"=>"b", "c"=>NULL`, "-1 years +02:03:04.5", "$1,234.50", "1010", "(1,2)", "[1,2]"} {
		f.Add([]byte(s))
	}
	types := []pgType{as(oidInterval, -1), as(oidMoney, -1), as(oidBit, 9), as(oidPoint, -1), named("hstore"), named("geometry"), named("vector"),
		arrayOf(oidInt4, -1), arrayOf(oidText, -1), arrayOf(oidInterval, -1)}
	f.Fuzz(func(t *testing.T, src []byte) {
		for _, intervals := range []string{"numeric", "string"} {
			for _, typ := range types {
				m := defaults()
				m.intervals, m.unknown = intervals, true
				mp, _ := mapType(typ, m)
				prefix := []byte("kept")
				got, err := mp.encode(prefix, src)
				if err == nil && (!bytes.HasPrefix(got, prefix) || len(got) == len(prefix)) {
					t.Errorf("type %+v, %q: %x", typ, src, got)
				}
			}
		}
		geometricText(oidPath, src)
	})
}
