package tds_test

import (
	"bytes"
	"math"
	"math/big"
	"testing"
	"time"

	"tributary/internal/mssqltest/tds"
)

// FuzzRequest looks for requests that make the decoders panic.
func FuzzRequest(f *testing.F) {
	f.Add([]byte{22, 0, 0, 0, 18, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 'a', 0, 'b', 0, 0, 0x26, 4, 4, 1, 0, 0, 0})
	f.Add(append([]byte{4, 0, 0, 0, 0, 0, 0xE7, 0xFF, 0xFF}, make([]byte, 40)...))
	f.Add(append([]byte{4, 0, 0, 0, 0, 0, 0x6C, 17, 38, 10, 17}, make([]byte, 20)...))
	f.Add(append([]byte{4, 0, 0, 0, 0, 0, 0x2B, 7, 10}, make([]byte, 20)...))
	f.Add(make([]byte, 120))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := tds.NewDecoder(b)
		d.SkipHeaders()
		for d.Err() == nil && d.Len() > 0 {
			p := d.Param()
			if d.Err() == nil && p.Value != nil && p.Type.Length >= 0 {
				_, _ = tds.AppendValue(nil, p.Type, true, p.Value)
			}
		}
		_, _ = tds.ParseLogin(b)
		_, _ = tds.PreloginEncryption(b)
		r := bytes.NewReader(b)
		for {
			if _, err := tds.ReadMessage(r); err != nil {
				break
			}
		}
	})
}

// FuzzValues: what is encoded is decoded again as a parameter of the same type.
func FuzzValues(f *testing.F) {
	f.Add(int64(1), 1.5, "text é 漢 😀", []byte{1, 2}, 7)
	f.Add(int64(-9e17), math.Copysign(0, -1), "", []byte{}, 0)
	f.Fuzz(func(t *testing.T, n int64, x float64, s string, b []byte, scale int) {
		scale = ((scale % 8) + 8) % 8
		at := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).Add(0).AddDate(0, 0, int(uint64(n)%3652000)).Add(time.Duration(uint64(n)%86400) * time.Second)
		for _, v := range []struct {
			typ tds.Type
			val tds.Value
		}{
			{tds.Type{Kind: tds.BigInt}, n}, {tds.Type{Kind: tds.Int}, int64(int32(n))}, {tds.Type{Kind: tds.TinyInt}, int64(uint8(n))},
			{tds.Type{Kind: tds.Float}, x}, {tds.Type{Kind: tds.Real}, float64(float32(x))}, {tds.Type{Kind: tds.Bit}, n&1 == 1},
			{tds.Type{Kind: tds.NVarChar, Length: tds.Max}, tds.DecodeUCS2(tds.AppendUCS2(nil, s))}, {tds.Type{Kind: tds.VarBinary, Length: tds.Max}, b},
			{tds.Type{Kind: tds.Numeric, Precision: 38, Scale: scale}, tds.Dec{Unscaled: big.NewInt(n), Scale: scale}},
			{tds.Type{Kind: tds.Money}, tds.Dec{Unscaled: big.NewInt(n), Scale: 4}},
			{tds.Type{Kind: tds.DateTime2, Scale: scale}, at}, {tds.Type{Kind: tds.DateTimeOffset, Scale: scale}, at}, {tds.Type{Kind: tds.Date}, at.Truncate(24 * time.Hour)},
			{tds.Type{Kind: tds.Time, Scale: scale}, tds.Clock(int64(uint64(n)%86400) * 1e7)},
		} {
			// A parameter: no name, no status, the type, the value.
			buf := tds.AppendTypeInfo([]byte{0, 0}, v.typ, true, nil)
			buf, err := tds.AppendValue(buf, v.typ, true, v.val)
			if err != nil {
				t.Fatalf("%s: %v", v.typ, err)
			}
			d := tds.NewDecoder(buf)
			p := d.Param()
			if d.Err() != nil || d.Len() != 0 || p.Type.Kind != v.typ.Kind {
				t.Fatalf("%s: %v, %d bytes left, %s", v.typ, d.Err(), d.Len(), p.Type)
			}
			if !same(p.Value, v.val) {
				t.Errorf("%s: %v became %v", v.typ, v.val, p.Value)
			}
		}
	})
}

func same(a, b tds.Value) bool {
	switch x := a.(type) {
	case []byte:
		return bytes.Equal(x, b.([]byte))
	case tds.Dec:
		return x.Cmp(b.(tds.Dec)) == 0
	case time.Time:
		return x.Equal(b.(time.Time))
	case float64:
		return x == b.(float64) || x != x
	}
	return a == b
}
