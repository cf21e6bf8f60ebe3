package binlog

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRowOfManyTypes(t *testing.T) {
	l := Layout{Columns: []Column{
		{Name: "id", Append: AppendULong},
		{Name: "gone", Type: ColEnum, Meta: 1, Skip: true},
		{Name: "day", Append: AppendDate, Nullable: true, ValueTag: 2},
		{Name: "zero", Append: AppendDate, Nullable: true, ValueTag: 2},
		{Name: "must", Append: AppendDate, Zero: []byte{8}},
		{Name: "null", Append: AppendLong, Nullable: true, NullTag: 2},
	}}
	ends := make([]int, 6)
	out, rest, err := l.AppendRow([]byte{0xee}, ends, unhex(t, "20 ffffffff 07 5dd00f 000000 000000 99"))
	if err != nil {
		t.Fatal(err)
	}
	// 2024-02-29 is day 19782; the zero date is null, or what stands for it.
	if got := hex.EncodeToString(out); got != "ee"+"feffffff1f"+"028cb502"+"00"+"08"+"02" {
		t.Errorf("row %s", got)
	}
	if len(rest) != 1 || rest[0] != 0x99 {
		t.Errorf("rest %x", rest)
	}
	for i, want := range []int{6, 6, 10, 11, 12, 13} {
		if ends[i] != want {
			t.Errorf("column %d ends at %d, want %d", i, ends[i], want)
		}
	}
	if _, _, err := l.AppendRow(nil, ends, unhex(t, "01")); err == nil {
		t.Error("a null where none is allowed was taken")
	}
}

func TestTemporalValuesAgainstTheCalendar(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		micros := rapid.Int64Range(-62_167_219_200_000_000, 253_402_300_799_999_999).Draw(t, "micros")
		fsp := rapid.IntRange(0, 6).Draw(t, "fsp")
		unit := int64(1)
		for range 6 - fsp {
			unit *= 10
		}
		at := time.UnixMicro(micros).UTC().Truncate(time.Duration(unit) * time.Microsecond)
		frac := int64(at.Nanosecond() / 1000)
		tail := func(dst []byte) []byte {
			switch (fsp + 1) / 2 {
			case 1:
				dst = append(dst, byte(frac/10_000))
			case 2:
				dst = binary.BigEndian.AppendUint16(dst, uint16(frac/100))
			case 3:
				dst = append(dst, byte(frac>>16), byte(frac>>8), byte(frac))
			}
			return dst
		}
		packed := uint64(at.Year()*13+int(at.Month()))<<22 | uint64(at.Day())<<17 | uint64(at.Hour())<<12 | uint64(at.Minute())<<6 | uint64(at.Second())
		packed += 1 << 39
		src := tail([]byte{byte(packed >> 32), byte(packed >> 24), byte(packed >> 16), byte(packed >> 8), byte(packed)})
		c := Column{Meta: uint16(fsp)}
		out, n := AppendDatetimeMicros(&c, nil, src)
		if v, _ := binary.Varint(out); n != len(src) || v != at.UnixMicro() {
			t.Fatalf("%s: %d after %d of %d bytes, want %d", at, v, n, len(src), at.UnixMicro())
		}
		out, _ = AppendDatetimeMillis(&c, nil, src)
		if v, _ := binary.Varint(out); v != at.UnixMilli() {
			t.Fatalf("%s: %d ms, want %d", at, v, at.UnixMilli())
		}
		if sec := at.Unix(); sec > 0 && sec < 1<<32 {
			src := tail(binary.BigEndian.AppendUint32(nil, uint32(sec)))
			out, n := AppendTimestamp(&c, nil, src)
			want := at.Format("2006-01-02T15:04:05." + strings.Repeat("0", fsp))
			want = strings.TrimSuffix(want, ".") + "Z"
			if n != len(src) || string(out[1:]) != want || int(out[0]) != 2*len(want) {
				t.Fatalf("%s: %q, want %q", at, out, want)
			}
		}
	})
}

func TestTimes(t *testing.T) {
	for _, c := range []struct {
		src  string
		fsp  uint16
		want int64
	}{
		{"800000", 0, 0}, {"4b91 05", 0, -3_020_399_000_000}, {"b46efb", 0, 3_020_399_000_000},
		{"7fffff ff", 2, -10_000}, {"7fffff 00", 2, -1_000_000}, {"7ffffe f6", 2, -1_100_000},
		{"7fffff fffe", 4, -200}, {"800000 0f4240", 6, 1_000_000}, {"7fffffffffff", 6, -1},
	} {
		col := Column{Meta: c.fsp}
		src := unhex(t, c.src)
		out, n := AppendTimeMicros(&col, nil, src)
		if v, _ := binary.Varint(out); n != len(src) || v != c.want {
			t.Errorf("time(%d) %s: %d after %d bytes, want %d", c.fsp, c.src, v, n, c.want)
		}
	}
}

func TestIntegersAtTheirLimits(t *testing.T) {
	for _, c := range []struct {
		name string
		f    AppendFunc
		src  string
		want int64
	}{
		{"tiny", AppendTiny, "80", -128}, {"utiny", AppendUTiny, "ff", 255},
		{"short", AppendShort, "0080", -32768}, {"ushort", AppendUShort, "ffff", 65535},
		{"int24", AppendInt24, "000080", -8388608}, {"int24", AppendInt24, "ffff7f", 8388607}, {"uint24", AppendUInt24, "ffffff", 16777215},
		{"long", AppendLong, "00000080", -2147483648}, {"ulong", AppendULong, "ffffffff", 4294967295},
		{"longlong", AppendLongLong, "0000000000000080", -9223372036854775808}, {"longlong", AppendLongLong, "ffffffffffffffff", -1},
		{"year", AppendYear, "00", 0}, {"year", AppendYear, "ff", 2155},
	} {
		src := unhex(t, c.src)
		out, n := c.f(&Column{}, nil, src)
		if v, _ := binary.Varint(out); v != c.want || n != len(src) {
			t.Errorf("%s %s: %d after %d bytes, want %d", c.name, c.src, v, n, c.want)
		}
		if _, n := c.f(&Column{}, nil, src[:len(src)-1]); n != 0 {
			t.Errorf("%s was taken from %d bytes", c.name, len(src)-1)
		}
	}
}

func TestLatin1(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	text := string(Latin1(nil, all))
	runes := []rune(text)
	if len(runes) != 256 || runes[0x41] != 'A' || runes[0x80] != '€' || runes[0x81] != 0x81 || runes[0x9f] != 'Ÿ' || runes[0xe9] != 'é' {
		t.Errorf("%q", text)
	}
}

func TestJSONTextOfDoubles(t *testing.T) {
	for f, want := range map[float64]string{1: "1.0", -0.5: "-0.5", 1e23: "99999999999999991611392", 1e15: "1000000000000000", 0.001: "0.001", 0x1p-20: "0.00000095367431640625", 123456789.125: "123456789.125", -1e7: "-10000000", 9999999: "9999999.0"} {
		if got := string(AppendJSONDouble(nil, f)); got != want {
			t.Errorf("%g is %s, want %s", f, got, want)
		}
	}
}

// FuzzRow decodes noise by layouts of noise: nothing panics, nothing is read
// past the end, and what is read is no more than there is.
func FuzzRow(f *testing.F) {
	decoders := []AppendFunc{AppendTiny, AppendUShort, AppendInt24, AppendULong, AppendLongLong, AppendULongLongDecimal, AppendFloat, AppendFloatDouble,
		AppendDouble, AppendBit1, AppendBits, AppendYear, AppendDecimal, AppendDecimalString, AppendDecimalDouble, AppendDate, AppendDatetimeMicros,
		AppendDatetimeMillis, AppendDatetimeOldMillis, AppendTimeMicros, AppendTimeMillis, AppendTimeOldMicros, AppendTimeOldMillis, AppendTimestamp,
		AppendTimestampOld, AppendShortBytes, AppendShortText, AppendLongBytes, AppendLongText, AppendUUID, AppendJSON,
		AppendEnum, AppendSet, AppendGeometry, AppendPoint, AppendVector, AppendShortVector, AppendShortEncoded, AppendLongEncoded,
		AppendINET4, AppendINET6, AppendShortUncompressed, AppendLongUncompressed}
	_, image := sale()
	f.Add([]byte{3, 0, 0, 12, 8, 2, 30, 0, 4}, image)
	f.Add([]byte{30, 0, 4, 30, 0, 1}, unhex(f, "00 0c000000 00 01000c00 0b00 0100 056200 61"))
	f.Fuzz(func(t *testing.T, shape, image []byte) {
		var l Layout
		for ; len(shape) >= 3 && len(l.Columns) < 40; shape = shape[3:] {
			l.Columns = append(l.Columns, Column{
				Append: decoders[int(shape[0])%len(decoders)], Meta: uint16(shape[1])<<8 | uint16(shape[2]),
				Type: shape[1], Skip: shape[0] > 250, Nullable: shape[0]&1 == 0, ValueTag: 2, Zero: []byte{0},
				Decode: Latin1, Members: []string{"a", "b"},
			})
		}
		ends := make([]int, len(l.Columns))
		src := image
		for range 3 {
			out, rest, err := l.AppendRow(nil, ends, src)
			if err != nil {
				return
			}
			if len(rest) > len(src) || len(ends) > 0 && ends[len(ends)-1] != len(out) {
				t.Fatalf("%d bytes left of %d, last end %d of %d", len(rest), len(src), ends[len(ends)-1], len(out))
			}
			if len(out) > 160*len(image)+16384 {
				t.Fatalf("%d bytes made of %d", len(out), len(image))
			}
			src = rest
		}
	})
}

// FuzzEvents parses noise as events.
func FuzzEvents(f *testing.F) {
	f.Add(byte(TypeTableMap), unhex(f, "7300000000000100 08675f7469636b6974 00 0473616c65 00 0a 0303030303 0202 f6f6 11 05 0802 0802 00 8003 0101 00 02 01 e0"))
	f.Add(byte(TypeWriteRowsV2), unhex(f, "730000000000 0100 0200 02 ff 00 01000000 0161"))
	f.Add(byte(TypeMariaWriteCompr), unhex(f, "730000000000 0100 02 ff 80 01 789c"))
	f.Fuzz(func(t *testing.T, typ byte, body []byte) {
		if m, err := ParseTableMap(body, 6, len(body)%2 == 0); err == nil {
			for i := range m.Types {
				m.Nullable(i)
				m.Unsigned(i)
				m.Collation(i)
			}
			if m.Names != nil && len(m.Names) != len(m.Types) || len(m.Meta) != len(m.Types) {
				t.Fatalf("%d names and %d metadata for %d columns", len(m.Names), len(m.Meta), len(m.Types))
			}
		}
		if r, err := ParseRows(typ, body, 6); err == nil {
			r.Full(r.Before)
			if r.After != nil {
				r.Full(r.After)
			}
		}
		_, _ = ParseHeader(body)
	})
}
