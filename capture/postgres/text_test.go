package postgres

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"tributary/capture"
	"tributary/capture/snapshot"
	"tributary/envelope"
)

func defaults() *modes {
	return &modes{decimals: "precise", times: "adaptive", binaries: "bytes", intervals: "numeric", hstores: "json", moneyDigits: 2, moneyServer: 2}
}

// TestValues holds each type's text against the value that it stands for.
func TestValues(t *testing.T) {
	long := func(v int64) string { return string(envelope.AppendLong(nil, v)) }
	str := func(s string) string { return string(envelope.AppendString(nil, s)) }
	for _, c := range []struct {
		oid    uint32
		typmod int32
		edit   func(*modes)
		text   string
		want   string
	}{
		{oidInt2, -1, nil, "-32768", long(-32768)},
		{oidInt8, -1, nil, "-9223372036854775808", long(-1 << 63)},
		{oidInt8, -1, nil, "9223372036854775807", long(1<<63 - 1)},
		{oidBool, -1, nil, "t", "\x01"},
		{oidFloat4, -1, nil, "NaN", "\x00\x00\xc0\x7f"},
		{oidBytea, -1, nil, `\x00ff10`, "\x06\x00\xff\x10"},
		{oidBytea, -1, func(o *modes) { o.binaries = "base64" }, `\x00ff10`, str("AP8Q")},
		{oidBytea, -1, func(o *modes) { o.binaries = "hex" }, `\x00ff10`, str("00ff10")},
		{oidNumeric, 8<<16 | 2 + 4, nil, "-999999.99", "\x08\xfa\x0a\x1f\x01"},
		{oidNumeric, -1, nil, "0.50", "\x02\x02\x05"},
		{oidNumeric, -1, func(o *modes) { o.decimals = "string" }, "0.50", str("0.50")},
		{oidNumeric, 5<<16 | 0x7fe + 4, nil, "12300", "\x04\x30\x0c"}, // numeric(5,-2)
		{oidDate, -1, nil, "1970-01-02", long(1)},
		{oidDate, -1, nil, "0001-01-01", long(-719162)},
		{oidDate, -1, nil, "4713-01-01 BC", long(-2440550)},
		{oidDate, -1, nil, "0005-02-29 BC", long(envelope.Days(-4, 2, 29))},
		{oidDate, -1, nil, "infinity", long(1<<31 - 1)},
		{oidTime, 3, nil, "23:59:59.999", long(86399999)},
		{oidTime, -1, nil, "24:00:00", long(86400 * 1e6)},
		{oidTimestamp, 0, nil, "9999-12-31 23:59:59", long(253402300799000)},
		{oidTimestamp, 3, nil, "1969-12-31 23:59:59.999", long(-1)},
		{oidTimestamp, -1, nil, "1969-12-31 23:59:59.9999", long(-100)},
		{oidTimestamp, -1, nil, "infinity", long(9223372036825200000)},
		{oidTimestamp, -1, func(o *modes) { o.times = "connect" }, "1969-12-31 23:59:59.9999", long(-1)},
		{oidTimestamptz, -1, nil, "2024-02-29 12:34:56+05:30", str("2024-02-29T07:04:56.000000Z")},
		{oidTimestamptz, 0, nil, "2024-02-29 12:34:56-03", str("2024-02-29T15:34:56Z")},
		{oidTimestamptz, -1, nil, "290000-01-01 00:00:00+00", str("+290000-01-01T00:00:00.000000Z")},
		{oidTimestamptz, -1, nil, "4713-01-01 00:00:00+00 BC", str("-4712-01-01T00:00:00.000000Z")},
		{oidTimestamptz, -1, nil, "-infinity", str("-infinity")},
		{oidTimetz, -1, nil, "00:00:00+15:59", str("08:01:00Z")},
		{oidTimetz, 3, nil, "23:59:59.999+05:30", str("18:29:59.999Z")},
		{oidUUID, -1, nil, "123e4567-e89b-12d3-a456-426614174000", str("123e4567-e89b-12d3-a456-426614174000")},
		{oidBpchar, 9, nil, "ab   ", str("ab   ")},
	} {
		o := defaults()
		if c.edit != nil {
			c.edit(o)
		}
		m, ok := mapType(pgType{oid: c.oid, typmod: c.typmod}, o)
		if !ok {
			t.Errorf("type %d has no mapping", c.oid)
			continue
		}
		got, err := m.encode(nil, []byte(c.text))
		if err != nil || string(got) != c.want {
			t.Errorf("type %d(%d) %q: %x, %v, want %x", c.oid, c.typmod, c.text, got, err, c.want)
		}
	}
}

func TestMalformedValuesAreRefused(t *testing.T) {
	for oid, texts := range map[uint32][]string{
		oidInt4:        {"", "-", "1.5", "12a", "99999999999999999999", "9223372036854775808", "-9223372036854775809"},
		oidBool:        {"", "yes"},
		oidFloat8:      {"", "one"},
		oidBytea:       {"", "abc", `\x1`, `\xzz`},
		oidNumeric:     {"NaN", "Infinity", ""},
		oidDate:        {"", "2020-02-29x", "tomorrow"},
		oidTimestamp:   {"2020-02-29", "2020-02-29 12:00:00+00"},
		oidTimestamptz: {"2020-02-29 12:00:00", "2020-02-29 12:00:00+0", "2020-02-29 12:00:00+00:0a"},
		oidTimetz:      {"12:00:00"},
		oidText:        {"\xff"},
	} {
		for _, text := range texts {
			m, _ := mapType(pgType{oid: oid, typmod: -1}, defaults())
			if got, err := m.encode(nil, []byte(text)); err == nil {
				t.Errorf("type %d takes %q for %x", oid, text, got)
			}
		}
	}
}

func TestLiterals(t *testing.T) {
	for expr, want := range map[string]string{
		"'-5'::integer": "-5", "12.5": "12.5", "(-5)": "-5", "true": "true", "'d''é\"'::text": "d'é\"",
		"'2020-01-01 00:00:00'::timestamp without time zone": "2020-01-01 00:00:00", "((1))": "1", "'(a'::text": "(a",
		"'9223372036854775807'::bigint": "9223372036854775807", "0.1::double precision": "0.1",
	} {
		if got, ok := parseLiteral(expr); !ok || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", expr, got, ok, want)
		}
	}
	for _, expr := range []string{"now()", "nextval('s'::regclass)", "('a'::text || 'b'::text)", "'a'::text || 'b'", "CURRENT_TIMESTAMP", "(1 + 2)", "(i * 2)", "'open", "gen_random_uuid()", "1 + 2"} {
		if got, ok := parseLiteral(expr); ok {
			t.Errorf("%s is taken for the literal %q", expr, got)
		}
	}
	if got, ok := parseLiteral("NULL::character varying"); !ok || got != nil {
		t.Errorf("NULL: %q, %v", got, ok)
	}
}

func TestCopyRows(t *testing.T) {
	var rows []string
	w := &copyRows{cells: make([][]byte, 3), row: func(cells [][]byte) error {
		var out []string
		for _, c := range cells {
			if c == nil {
				out = append(out, "NULL")
			} else {
				out = append(out, fmt.Sprintf("%q", c))
			}
		}
		rows = append(rows, strings.Join(out, " "))
		return nil
	}}
	text := "1\t\\N\t\n" + `a\tb` + "\t" + `\\N` + "\t" + `\b\f\n\r\t\v\\x` + "\n" + "2\tzwei\tü\n"
	want := []string{`"1" NULL ""`, `"a\tb" "\\N" "\b\f\n\r\t\v\\x"`, `"2" "zwei" "ü"`}
	for size := 1; size <= len(text); size++ { // in pieces of every size
		rows = nil
		for rest := []byte(text); len(rest) > 0; rest = rest[min(size, len(rest)):] {
			if _, err := w.Write(rest[:min(size, len(rest))]); err != nil {
				t.Fatal(err)
			}
		}
		if strings.Join(rows, "|") != strings.Join(want, "|") {
			t.Fatalf("pieces of %d: %v", size, rows)
		}
	}
	for _, bad := range []string{"1\t2\n", "1\t2\t3\t4\n"} {
		w := &copyRows{cells: make([][]byte, 3), row: func([][]byte) error { return nil }}
		if _, err := w.Write([]byte(bad)); err == nil {
			t.Errorf("%q is taken for a row of three", bad)
		}
	}
}

func TestCopyStatement(t *testing.T) {
	table := &envelope.Table{ID: envelope.TableID{Schema: "s", Name: `t"x`}, Key: []int{1, 0},
		Columns: []envelope.Column{{Name: "a"}, {Name: "b"}, {Name: "c"}}}
	got := copyStatement(snapshot.Chunk{Codec: &envelope.Codec{Table: table}, After: [][]byte{[]byte("it's"), []byte("2")}, Limit: 7}, "", false)
	want := `COPY (SELECT "a", "b", "c" FROM ONLY "s"."t""x" WHERE ("b", "a") > ('it''s', '2') ORDER BY "b", "a" LIMIT 7) TO STDOUT`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	table.Key = nil
	got = copyStatement(snapshot.Chunk{Codec: &envelope.Codec{Table: table}, After: [][]byte{[]byte("(3,9)"), []byte("16390")}, Upto: [][]byte{[]byte("(7,65535)"), []byte("16390")}}, "", true)
	want = `COPY (SELECT "a", "b", "c", ctid FROM ONLY "s"."t""x" WHERE ctid > '(3,9)' AND ctid <= '(7,65535)') TO STDOUT`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestPositionComesBack(t *testing.T) {
	for _, p := range []position{
		{Slot: "s", System: "1", LSN: 0x16B374D848},
		{Slot: "s", System: "1", LSN: 2, LastCommit: 1},
		{Slot: "s", System: "1", LSN: 1, Partial: &partial{Commit: 99, Changes: 7}},
		{Slot: "s", System: "1", LSN: 1, Snapshot: &snapshot.Progress{Done: []string{"a.b"}, Table: "a.c", After: [][]byte{{0, 0xff}}, Rows: 5}},
	} {
		text, err := p.append(nil)
		if err != nil {
			t.Fatal(err)
		}
		back, err := parsePosition(text)
		if err != nil {
			t.Fatal(err)
		}
		again, err := back.append(nil)
		if err != nil || !bytes.Equal(text, again) {
			t.Errorf("%s comes back as %s, %v", text, again, err)
		}
	}
	for _, bad := range []string{"", "{}", "null", `{"slot":"s","system":"1","lsn":"x"}`, `{"slot":"s","system":"1","lsn":"0/1","partial":{}}`} {
		if p, err := parsePosition([]byte(bad)); err == nil {
			t.Errorf("%q is taken for %+v", bad, p)
		}
	}
}

// testRelation is a decoder that knows a table of every column type.
func testDecoder(tb testing.TB) *decoder {
	tb.Helper()
	filter, err := capture.NewFilter(&capture.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	var columns []columnInfo
	for i, oid := range []uint32{oidInt4, oidInt4, oidInt4, oidInt4, oidInt4, oidInt2, oidInt2, oidNumeric, oidNumeric, oidTimestamp} {
		typ := pgType{oid: oid, typmod: -1}
		if oid == oidNumeric {
			typ.typmod = 8<<16 | 2 + 4
		}
		columns = append(columns, columnInfo{name: fmt.Sprintf("c%d", i), typ: typ, notNull: i < 7})
	}
	d := newDecoder(func(_ context.Context, _ uint32, id envelope.TableID, _ []relationColumn) (*captured, error) {
		return (&builder{modes: *defaults(), filter: filter, placeholder: envelope.Unavailable}).table(id, columns, []string{"c0"})
	}, &capture.Options{}, nil)
	return d
}

// saleMessages are real ones: a table, and an update of three rows of it.
func saleMessages(tb testing.TB) (begin, relation, update []byte) {
	tb.Helper()
	raw := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			tb.Fatal(err)
		}
		return b
	}
	begin = raw("420000000002623810000303dfa94958540000032a")
	relation = append([]byte{'R', 0, 0, 0x40, 0x6c}, "public\x00sale\x00d\x00\x0a"...)
	for i := range 10 {
		relation = append(relation, 0)
		relation = append(relation, fmt.Sprintf("c%d\x00", i)...)
		relation = append(relation, 0, 0, 0, 23, 0xff, 0xff, 0xff, 0xff)
	}
	update = raw("550000406c4e000a74000000013174000000053136353434740000000531363731377400000004373732387400000004383131387400000004323035377400000001347400000007343534362e343074000000063638302e34367400000013323030382d30382d32312031323a35303a3133")
	return begin, relation, update
}

// TestDecodingAllocatesNothing holds the hot path to its promise.
func TestDecodingAllocatesNothing(t *testing.T) {
	d := testDecoder(t)
	begin, relation, update := saleMessages(t)
	for _, m := range [][]byte{begin, relation} {
		if _, err := d.control(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	var out envelope.Changes
	allocs := testing.AllocsPerRun(100, func() {
		out.Reset()
		if err := d.rows(1, update, &out); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 0 {
		t.Errorf("%v allocations a row", allocs)
	}
}

func FuzzPgoutput(f *testing.F) {
	begin, relation, update := saleMessages(f)
	for _, m := range [][]byte{begin, relation, update, {'C', 0}, {'T', 0, 0, 0, 1}, {}} {
		f.Add(m, m)
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		d := testDecoder(t)
		for _, m := range [][]byte{begin, relation} {
			if _, err := d.control(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		var out envelope.Changes
		for _, m := range [][]byte{first, second} { // must not panic
			var err error
			if reads(m) {
				err = d.rows(1, m, &out)
			} else {
				_, err = d.control(t.Context(), m)
			}
			if err != nil {
				return
			}
		}
		for _, c := range out.List {
			if c.Op != envelope.Truncate && c.After == nil && c.Before == nil {
				t.Errorf("%s without a row", c.Op)
			}
		}
	})
}

func FuzzCopyRows(f *testing.F) {
	f.Add([]byte("1\t\\N\n2\tx\\\\\n"), 3)
	f.Fuzz(func(t *testing.T, text []byte, size int) {
		var whole, pieces [][]byte
		read := func(dst *[][]byte, size int) error {
			w := &copyRows{cells: make([][]byte, 2), row: func(cells [][]byte) error {
				*dst = append(*dst, bytes.Join(cells, []byte{0}))
				return nil
			}}
			for rest := text; len(rest) > 0; rest = rest[min(size, len(rest)):] {
				if _, err := w.Write(rest[:min(size, len(rest))]); err != nil {
					return err
				}
			}
			return nil
		}
		if size < 1 {
			size = 1
		}
		err1, err2 := read(&whole, len(text)+1), read(&pieces, size)
		if (err1 == nil) != (err2 == nil) || !bytes.Equal(bytes.Join(whole, []byte{1}), bytes.Join(pieces, []byte{1})) {
			t.Errorf("whole %q %v, in pieces of %d %q %v", whole, err1, size, pieces, err2)
		}
	})
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"1", "-5.50", "2020-01-01 00:00:00+00", "0044-03-15 BC", "infinity", `\x00ff`, "t", "12:34:56.789-03"} {
		f.Add([]byte(s))
	}
	oids := []uint32{oidBool, oidBytea, oidInt8, oidFloat4, oidFloat8, oidNumeric, oidDate, oidTime, oidTimestamp, oidTimestamptz, oidTimetz, oidText}
	f.Fuzz(func(t *testing.T, src []byte) {
		for _, oid := range oids {
			m, _ := mapType(pgType{oid: oid, typmod: -1}, defaults())
			prefix := []byte("kept")
			got, err := m.encode(prefix, src)
			if err == nil && (!bytes.HasPrefix(got, prefix) || len(got) == len(prefix)) {
				t.Errorf("type %d, %q: %x", oid, src, got)
			}
		}
	})
}

func BenchmarkPgoutput(b *testing.B) {
	d := testDecoder(b)
	begin, relation, update := saleMessages(b)
	for _, m := range [][]byte{begin, relation} {
		if _, err := d.control(b.Context(), m); err != nil {
			b.Fatal(err)
		}
	}
	var out envelope.Changes
	b.ReportAllocs()
	b.SetBytes(int64(len(update)))
	for i := 0; b.Loop(); i++ {
		if i%10_000 == 0 {
			out.Reset()
		}
		if err := d.rows(1, update, &out); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSnapshotText(b *testing.B) {
	d := testDecoder(b)
	c, err := d.lookup(b.Context(), 1, envelope.TableID{Schema: "public", Name: "sale"}, nil)
	if err != nil {
		b.Fatal(err)
	}
	var out envelope.Changes
	w := &copyRows{cells: make([][]byte, 10), row: func(cells [][]byte) (err error) {
		if out.Buf, err = c.codec.AppendRow(out.Buf, cells); err == nil {
			out.Buf, err = c.codec.AppendKey(out.Buf, cells)
		}
		return err
	}}
	line := []byte("1\t16544\t16717\t7728\t8118\t2057\t3\t4536.39\t680.46\t2008-08-21 12:50:13\n")
	b.ReportAllocs()
	b.SetBytes(int64(len(line)))
	for i := 0; b.Loop(); i++ {
		if i%10_000 == 0 {
			out.Reset()
		}
		if _, err := w.Write(line); err != nil {
			b.Fatal(err)
		}
	}
}
