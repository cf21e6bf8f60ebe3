package binlog

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// pack writes a decimal as the servers store it.
func pack(unscaled *big.Int, precision, scale int) []byte {
	digits := new(big.Int).Abs(unscaled).String()
	digits = strings.Repeat("0", precision-len(digits)) + digits
	whole, frac := digits[:precision-scale], digits[precision-scale:]
	var out []byte
	group := func(d string) {
		v, _ := new(big.Int).SetString("0"+d, 10)
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(v.Uint64()))
		out = append(out, b[4-groupBytes[len(d)]:]...)
	}
	if n := len(whole) % 9; n > 0 {
		group(whole[:n])
		whole = whole[n:]
	}
	for ; len(whole) > 0; whole = whole[9:] {
		group(whole[:9])
	}
	for ; len(frac) >= 9; frac = frac[9:] {
		group(frac[:9])
	}
	if len(frac) > 0 {
		group(frac)
	}
	if unscaled.Sign() < 0 {
		for i := range out {
			out[i] = ^out[i]
		}
	}
	out[0] ^= 0x80
	return out
}

// twosComplement is the oracle: the shortest big-endian two's complement.
func twosComplement(v *big.Int) []byte {
	for n := 1; ; n++ {
		limit := new(big.Int).Lsh(big.NewInt(1), uint(8*n-1))
		if v.Cmp(limit) < 0 && v.Cmp(new(big.Int).Neg(limit)) >= 0 {
			mod := new(big.Int).Lsh(big.NewInt(1), uint(8*n))
			return new(big.Int).Mod(new(big.Int).Add(v, mod), mod).FillBytes(make([]byte, n))
		}
	}
}

func TestDecimalsOfAllPrecisions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		precision := rapid.IntRange(1, maxDigits).Draw(t, "precision")
		scale := rapid.IntRange(0, min(precision, 30)).Draw(t, "scale")
		digits := rapid.StringOfN(rapid.RuneFrom([]rune("0123456789")), 0, precision, -1).Draw(t, "digits")
		v, _ := new(big.Int).SetString("0"+digits, 10)
		if rapid.Bool().Draw(t, "negative") {
			v.Neg(v)
		}
		src := append(pack(v, precision, scale), 0xaa) // what follows does not matter
		c := Column{Meta: uint16(precision<<8 | scale)}

		out, n := AppendDecimal(&c, nil, src)
		want := twosComplement(v)
		if n != len(src)-1 || string(out) != string(append([]byte{byte(2 * len(want))}, want...)) {
			t.Fatalf("decimal(%d,%d) %s: %d bytes of %d, %x, want %x", precision, scale, v, n, len(src)-1, out, want)
		}
		text, n := AppendDecimalString(&c, nil, src)
		abs := new(big.Int).Abs(v).String()
		if len(abs) <= scale {
			abs = strings.Repeat("0", scale+1-len(abs)) + abs
		}
		plain := abs[:len(abs)-scale]
		if scale > 0 {
			plain += "." + abs[len(abs)-scale:]
		}
		if v.Sign() < 0 {
			plain = "-" + plain
		}
		if n != len(src)-1 || string(text[1:]) != plain && string(text[2:]) != plain {
			t.Fatalf("decimal(%d,%d) %s: text %q, want %q", precision, scale, v, text, plain)
		}
		for cut := range len(src) - 1 {
			if _, n := AppendDecimal(&c, nil, src[:cut]); n != 0 {
				t.Fatalf("decimal(%d,%d) of %d bytes was taken from %d", precision, scale, len(src)-1, cut)
			}
		}
	})
}

func TestDecimalAsDouble(t *testing.T) {
	c := Column{Meta: 8<<8 | 2}
	out, n := AppendDecimalDouble(&c, nil, pack(big.NewInt(-1010), 8, 2))
	if got := fmt.Sprintf("%x", out); n != 4 || got != "33333333333324c0" {
		t.Errorf("-10.10 is %s after %d bytes", got, n)
	}
}

func TestUnscaledOfUnsigned(t *testing.T) {
	for v, want := range map[uint64]string{0: "0200", 127: "027f", 128: "040080", 1<<63 - 1: "107fffffffffffffff", 1 << 63: "12008000000000000000", 1<<64 - 1: "1200ffffffffffffffff"} {
		if got := fmt.Sprintf("%x", AppendUnscaled(nil, false, v)); got != want {
			t.Errorf("%d is %s, want %s", v, got, want)
		}
	}
}
