package tds

import (
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// Value is a value as the server keeps it; nil is NULL. By type:
//
//	bit                                   bool
//	tinyint, smallint, int, bigint        int64
//	real, float                           float64
//	decimal, numeric, money, smallmoney   Dec
//	text of all types, xml                string
//	byte strings, rowversion, CLR types   []byte
//	uniqueidentifier                      GUID
//	date, datetime, datetime2, …          time.Time in UTC
//	datetimeoffset                        time.Time in its own zone
//	time                                  Clock
//	sql_variant                           Variant
type Value = any

// Dec is an exact number: Unscaled / 10^Scale.
type Dec struct {
	Unscaled *big.Int
	Scale    int
}

// Clock is a time of day in units of 100 ns.
type Clock int64

// GUID is a uniqueidentifier in the order in which it is printed.
type GUID [16]byte

// Variant is a value that carries its type.
type Variant struct {
	Type  Type
	Value Value
}

// ParseDec reads a decimal number without an exponent.
func ParseDec(s string) (Dec, error) {
	t := strings.TrimSpace(s)
	whole, frac, _ := strings.Cut(t, ".")
	digits := whole + frac
	u, ok := new(big.Int).SetString(strings.TrimPrefix(digits, "+"), 10)
	if !ok || strings.ContainsAny(frac, "+-_") {
		return Dec{}, fmt.Errorf("%q is no decimal number", s)
	}
	return Dec{u, len(frac)}, nil
}

func (d Dec) String() string {
	s := new(big.Int).Abs(d.Unscaled).String()
	if d.Scale > 0 {
		if len(s) <= d.Scale {
			s = strings.Repeat("0", d.Scale-len(s)+1) + s
		}
		s = s[:len(s)-d.Scale] + "." + s[len(s)-d.Scale:]
	}
	if d.Unscaled.Sign() < 0 {
		s = "-" + s
	}
	return s
}

// Pow10 is 10^n.
func Pow10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// Rescale gives d with another scale, rounded half away from zero.
func (d Dec) Rescale(scale int) Dec {
	if scale == d.Scale {
		return d
	}
	if scale > d.Scale {
		return Dec{new(big.Int).Mul(d.Unscaled, Pow10(scale-d.Scale)), scale}
	}
	q, r := new(big.Int).QuoRem(d.Unscaled, Pow10(d.Scale-scale), new(big.Int))
	r.Abs(r).Lsh(r, 1)
	if r.Cmp(Pow10(d.Scale-scale)) >= 0 {
		q.Add(q, big.NewInt(int64(d.Unscaled.Sign())))
	}
	return Dec{q, scale}
}

// Cmp compares two numbers of any scale.
func (d Dec) Cmp(e Dec) int {
	s := max(d.Scale, e.Scale)
	return d.Rescale(s).Unscaled.Cmp(e.Rescale(s).Unscaled)
}

// Float is the nearest float.
func (d Dec) Float() float64 {
	f, _ := new(big.Rat).SetFrac(d.Unscaled, Pow10(d.Scale)).Float64()
	return f
}

// ParseGUID reads the 36 characters of a GUID, with or without braces.
func ParseGUID(s string) (GUID, error) {
	var g GUID
	t := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(s), "{"), "}")
	b, err := hex.DecodeString(strings.ReplaceAll(t, "-", ""))
	if err != nil || len(b) != 16 || len(t) != 36 {
		return g, fmt.Errorf("%q is no uniqueidentifier", s)
	}
	copy(g[:], b)
	return g, nil
}

func (g GUID) String() string {
	h := strings.ToUpper(hex.EncodeToString(g[:]))
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// wire is the order in which a GUID travels: its first three parts are little-endian.
func (g GUID) wire() [16]byte {
	return [16]byte{g[3], g[2], g[1], g[0], g[5], g[4], g[7], g[6], g[8], g[9], g[10], g[11], g[12], g[13], g[14], g[15]}
}

func (c Clock) String() string { return c.Format(7) }

// Format prints the clock with the given number of digits of a second.
func (c Clock) Format(scale int) string {
	s := time.Unix(0, 0).UTC().Add(time.Duration(c) * 100).Format("15:04:05.0000000")
	if scale == 0 {
		return s[:8]
	}
	return s[:9+scale]
}

// ClockOf is the time of day of t.
func ClockOf(t time.Time) Clock {
	h, m, s := t.Clock()
	return Clock(int64(h*3600+m*60+s)*1e7 + int64(t.Nanosecond())/100)
}
