package envelope

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestDecimalIsJavasTwosComplement checks against an independent definition:
// the bytes, read as a signed big-endian number, are the unscaled value, and
// no shorter ones are.
func TestDecimalIsJavasTwosComplement(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := rapid.StringMatching(`0|[1-9][0-9]{0,40}`).Draw(t, "whole")
		frac := rapid.StringMatching(`[0-9]{0,30}`).Draw(t, "frac")
		neg := rapid.Bool().Draw(t, "neg")
		scale := len(frac) + rapid.IntRange(0, 5).Draw(t, "more")
		text := whole
		if frac != "" {
			text += "." + frac
		}
		if neg {
			text = "-" + text
		}
		got, err := AppendDecimal(nil, []byte(text), scale)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		want, _ := new(big.Int).SetString(whole+frac+strings.Repeat("0", scale-len(frac)), 10)
		if neg {
			want.Neg(want)
		}
		checkUnscaled(t, got, want)
	})
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func checkUnscaled(t fataler, avro []byte, want *big.Int) {
	t.Helper()
	n, body := decodeLong(avro)
	if int(n) != len(body) || n == 0 {
		t.Fatalf("length %d of %d bytes", n, len(body))
	}
	if v := signed(body); v.Cmp(want) != 0 {
		t.Fatalf("%x is %s, want %s", body, v, want)
	}
	if len(body) > 1 && signed(body[1:]).Cmp(want) == 0 {
		t.Fatalf("%x is longer than it need be", body)
	}
}

func signed(b []byte) *big.Int {
	v := new(big.Int).SetBytes(b)
	if b[0] >= 0x80 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return v
}

func TestDecimalEdges(t *testing.T) {
	for text, want := range map[string]string{
		"0": "00", "127": "7f", "128": "0080", "-128": "80", "-129": "ff7f", "-1": "ff", "255": "00ff",
		"9223372036854775807": "7fffffffffffffff", "9223372036854775808": "008000000000000000",
		"-9223372036854775808": "8000000000000000", "-0": "00", "+5": "05",
	} {
		got, err := AppendDecimal(nil, []byte(text), 0)
		if err != nil || fmt.Sprintf("%x", got[1:]) != want {
			t.Errorf("%s: %x, %v, want %s", text, got[1:], err, want)
		}
	}
	for _, text := range []string{"", "-", ".", "1.2.3", "1e5", "NaN", "Infinity", "1,5", " 1", "1.25"} {
		if got, err := AppendDecimal(nil, []byte(text), 1); err == nil {
			t.Errorf("%q is taken for the decimal %x", text, got)
		}
	}
	if got, err := AppendDecimal(nil, []byte("1.500"), 1); err != nil || got[1] != 15 {
		t.Errorf("zeros beyond the scale: %x, %v", got, err)
	}
}

func TestVariableDecimalHasTheLeastScale(t *testing.T) {
	got, err := AppendVariableDecimal(nil, []byte("-1.50"))
	if err != nil || !bytes.Equal(got, []byte{2, 2, 0xf1}) {
		t.Errorf("%x, %v", got, err)
	}
}

func TestLongIsAvros(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Int64().Draw(t, "v")
		// encoding/binary's signed varint is the zig-zag of Avro.
		if got, want := AppendLong(nil, v), binary.AppendVarint(nil, v); !bytes.Equal(got, want) {
			t.Fatalf("%d: %x, want %x", v, got, want)
		}
		if back, rest := decodeLong(AppendLong(nil, v)); back != v || len(rest) > 0 {
			t.Fatalf("%d comes back as %d", v, back)
		}
	})
}

func TestDaysAgreeWithTheStandardLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		days := rapid.Int64Range(-3_000_000, 4_000_000).Draw(t, "days")
		y, m, d := Civil(days)
		want := time.Unix(days*86400, 0).UTC()
		if int(y) != want.Year() || m != int(want.Month()) || d != want.Day() {
			t.Fatalf("day %d is %d-%d-%d, want %s", days, y, m, d, want)
		}
		if back := Days(y, m, d); back != days {
			t.Fatalf("%d-%d-%d is day %d, want %d", y, m, d, back, days)
		}
	})
}

func TestTimestampsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		micros := rapid.Int64Range(-62135596800_000000, 253402300799_999999).Draw(t, "micros")
		at := time.UnixMicro(micros).UTC()
		text := at.Format("2006-01-02 15:04:05.999999")
		got, rest, err := ParseTimestamp([]byte(text + "+00"))
		if err != nil || got != micros || string(rest) != "+00" {
			t.Fatalf("%s: %d, %q, %v, want %d", text, got, rest, err, micros)
		}
		digits := rapid.IntRange(0, 6).Draw(t, "digits")
		iso := string(AppendISO(nil, micros, digits))
		back, err := time.Parse(time.RFC3339Nano, iso)
		if err != nil || !back.Equal(at) {
			t.Fatalf("%s for %s: %v", iso, at, err)
		}
		if frac := strings.IndexByte(iso, '.'); digits > 0 && len(iso)-frac-2 < digits {
			t.Fatalf("%s has fewer than %d fraction digits", iso, digits)
		}
	})
}

func TestMalformedTimesAreRefused(t *testing.T) {
	for _, s := range []string{"", "2020", "2020-1-1", "2020-13-01", "2020-00-01", "2020-01-32", "20-01-01", "infinity", "0000/01/01", "2020-01-0x"} {
		if _, _, err := ParseDate([]byte(s)); err == nil {
			t.Errorf("%q is taken for a date", s)
		}
	}
	for _, s := range []string{"", "12:34", "25:00:00", "12:60:00", "12:00:00.", "12:00:00.1234567", "1:00:00 PM", "12-00-00"} {
		if v, rest, err := ParseTime([]byte(s)); err == nil && len(rest) == 0 {
			t.Errorf("%q is taken for the time %d", s, v)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"2020-02-29 12:34:56.789", "-12.5", "0001-01-01", "23:59:60"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		if _, rest, err := ParseTimestamp(src); err == nil && len(rest) > len(src) {
			t.Error("the rest is longer than the text")
		}
		_, _, _ = ParseTime(src) // must not panic
		if got, err := AppendDecimal(nil, src, 3); err == nil {
			if n, body := decodeLong(got); int(n) != len(body) {
				t.Errorf("%q: length %d of %d bytes", src, n, len(body))
			}
		}
		if _, err := AppendVariableDecimal(nil, src); err == nil && len(src) == 0 {
			t.Error("nothing is taken for a number")
		}
	})
}
