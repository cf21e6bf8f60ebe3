package sqlserver

import (
	"bytes"
	"database/sql/driver"
	"encoding/binary"
	"math"
	"testing"
	"time"

	"tributary/capture"
	"tributary/envelope"
)

// FuzzPosition reads stored positions: what can be read is written the same again.
func FuzzPosition(f *testing.F) {
	f.Add([]byte(`{"databases":{"crm":{"commit_lsn":"00000027:00000260:0003","change_lsn":"00000027:00000260:0002","event_serial_no":2,"command_id":7,"operation":4,"same":1,"instances":[5,6]}}}`))
	f.Add([]byte(`{"databases":{"crm":{"commit_lsn":"NULL"},"ems":null},"snapshot":{"table":"crm.dbo.t","after":["AQI="],"rows":3}}`))
	f.Add([]byte(`{"databases":{"crm":{"commit_lsn":"0000002z:00000260:0003"}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := parsePosition(text)
		if err != nil {
			return
		}
		once, err := p.append(nil)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parsePosition(once)
		if err != nil {
			t.Fatalf("%s: %v", once, err)
		}
		twice, err := again.append(nil)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%s became %s (%v)", once, twice, err)
		}
		for _, at := range again.Databases {
			l := lsn(at.Commit)
			if compareLSN(before(increment(l)), l) != 0 || compareLSN(increment(l), l) == 0 {
				t.Fatalf("%s is not between its neighbours", l.String())
			}
		}
	})
}

// fuzzColumns has a column of every type, those with large values among them.
func fuzzColumns() (out []*column) {
	types := []column{{typ: "int", length: 4}, {typ: "bit", length: 1}, {typ: "bigint"}, {typ: "real"}, {typ: "float", precision: 53}, {typ: "decimal", precision: 38, scale: 10}, {typ: "money"},
		{typ: "nvarchar", length: -1}, {typ: "varbinary", length: -1}, {typ: "text"}, {typ: "xml"}, {typ: "image"}, {typ: "uniqueidentifier"}, {typ: "date"}, {typ: "time", scale: 7},
		{typ: "datetime2", scale: 7}, {typ: "datetimeoffset", scale: 7}, {typ: "smalldatetime"}, {typ: "timestamp"}, {typ: "geometry"}, {typ: "char", length: 3}}
	for i := range types {
		c := types[i]
		c.id, c.name, c.alias, c.nullable = int64(i+1), "c"+itoa(i), c.typ, i > 0
		out = append(out, &c)
	}
	return out
}

// fuzzValue makes a value as the driver gives it, whatever the column's type is.
func fuzzValue(data []byte) (driver.Value, []byte) {
	if len(data) < 9 {
		return nil, nil
	}
	kind, n, rest := data[0]%7, binary.BigEndian.Uint64(data[1:9]), data[9:]
	size := min(int(n%40), len(rest))
	switch kind {
	case 0:
		return nil, rest
	case 1:
		return int64(n), rest //nolint:gosec // any
	case 2:
		return math.Float64frombits(n), rest
	case 3:
		return n&1 != 0, rest
	case 4:
		return string(rest[:size]), rest[size:]
	case 5:
		return rest[:size:size], rest[size:]
	}
	return time.Unix(int64(n>>24), int64(n&0xffffff)).In(time.FixedZone("", int(n%100_000)-50_000)), rest //nolint:gosec // any
}

// FuzzRow makes rows of change tables of any values, masks and operations, whatever
// fits their columns: nothing of it panics, and what is written is read back.
func FuzzRow(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x00\x05\x04\x00\x00\x00\x00\x00\x00\x00\x03abc\x06\x00\x00\x00\x00\x00\x00\x00\x05"), []byte{0xff, 0x00, 0x01}, byte(4), false)
	f.Add([]byte{}, []byte{}, byte(3), true)
	modes := []Options{{}, {Options: capture.Options{Times: timesISO, Decimals: "double", Binaries: "hex"}}, {Options: capture.Options{Times: timesConnect, Decimals: "string", Binaries: "base64"}}, {Options: capture.Options{Times: timesNano}}}
	var tables []*table
	for i := range modes {
		cfg, err := newSettings(&modes[i])
		if err != nil {
			f.Fatal(err)
		}
		ordinals := make(map[string]int)
		columns := fuzzColumns()
		for i, c := range columns {
			ordinals[c.name] = i + 1
		}
		tb, err := newTable(envelope.TableID{Catalog: "crm", Schema: "dbo", Name: "t"}, columns, []string{"c0"}, ordinals, cfg)
		if err != nil {
			f.Fatal(err)
		}
		tables = append(tables, tb)
	}
	f.Fuzz(func(t *testing.T, data, mask []byte, op byte, lowFirst bool) {
		for _, tb := range tables {
			tb.lowFirst = lowFirst
			rest := data
			values := make([]driver.Value, len(tb.columns))
			for i := range values {
				values[i], rest = fuzzValue(rest)
				if v := values[i]; v != nil {
					if _, ok := tb.cells[i](nil, v); !ok { // an error, see TestStrangeValues
						values[i] = nil
					}
				}
			}
			cells, _, err := tb.row(nil, nil, values)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range values {
				if (v == nil) != (cells[i] == nil) {
					t.Fatalf("column %d: NULL %v became NULL %v", i, v == nil, cells[i] == nil)
				}
			}
			tb.complete(cells, int64(op%5), mask)
			for i, v := range values {
				if v != nil && tb.absent[i] != nil && len(cells[i]) > 0 && &cells[i][0] == &tb.absent[i][0] {
					t.Fatalf("column %d has a value and the placeholder", i)
				}
				if tb.changed(mask, tb.bits[i]) != maskBit(mask, i, lowFirst) {
					t.Fatalf("bit %d of %x", i, mask)
				}
			}
			if row, err := tb.codec.AppendRow(nil, cells); err == nil {
				if got := tb.codec.Table.Texts(row); len(got) != len(values) {
					t.Fatalf("%d columns of %d", len(got), len(values))
				}
			}
			_, _ = tb.codec.AppendKey(nil, cells) // an error at most
			for _, c := range tb.columns {
				_, _ = argument(c, cells[0], "@p1")
			}
		}
	})
}

// maskBit is what changed finds, in another way: of the mask as a number.
func maskBit(mask []byte, bit int, lowFirst bool) bool {
	if bit/8 >= len(mask) {
		return true
	}
	var all []bool
	for i := range mask {
		b := mask[len(mask)-1-i]
		if lowFirst {
			b = mask[i]
		}
		for k := range 8 {
			all = append(all, b>>k&1 != 0)
		}
	}
	return all[bit]
}

// FuzzDefault reads the definitions of defaults.
func FuzzDefault(f *testing.F) {
	for _, s := range []string{"((1))", "(N'it''s')", "(getdate())", "(0x0102)", "('2020-01-02T03:04:05.6')", "((-1.50))", "(NULL)", "()", "((", "0x0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, c := range fuzzColumns() {
			c.def = text
			typ, _ := typeOf(c, &Options{})
			if cell := defaultCell(c); cell != nil {
				_, _ = typ.append(nil, cell) // an error at most
			}
		}
	})
}
