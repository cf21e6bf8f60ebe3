package binlog

import (
	"math/big"
	"testing"
)

// sale is the layout of TICKIT's table sale, and one of its rows.
func sale() (Layout, []byte) {
	l := Layout{Columns: []Column{
		{Name: "saleid", Append: AppendLong}, {Name: "listid", Append: AppendLong}, {Name: "sellerid", Append: AppendLong},
		{Name: "buyerid", Append: AppendLong}, {Name: "eventid", Append: AppendLong}, {Name: "dateid", Append: AppendShort},
		{Name: "qtysold", Append: AppendShort},
		{Name: "pricepaid", Append: AppendDecimal, Meta: 8<<8 | 2, Nullable: true, ValueTag: 2},
		{Name: "commission", Append: AppendDecimal, Meta: 8<<8 | 2, Nullable: true, ValueTag: 2},
		{Name: "saletime", Append: AppendTimestamp, Nullable: true, ValueTag: 2},
	}}
	return l, []byte{
		0, 0,
		200, 0, 0, 0, 0x50, 0xbb, 2, 0, 0x3f, 0x32, 0, 0, 0x1b, 0x5a, 0, 0, 0xd3, 8, 0, 0, 0x31, 8, 4, 0,
		0x80, 0x02, 0x66, 0x24, 0x80, 0x00, 0x5b, 0x10,
		0x48, 0xad, 0x62, 0x71,
	}
}

// BenchmarkRow decodes one row of ten columns.
func BenchmarkRow(b *testing.B) {
	l, image := sale()
	ends := make([]int, len(l.Columns))
	var dst []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(image)))
	for b.Loop() {
		var err error
		if dst, _, err = l.AppendRow(dst[:0], ends, image); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecimal65(b *testing.B) {
	v, _ := new(big.Int).SetString("-99999999999999999999999999999999999999999999999999999999999999991", 10)
	src := pack(v, 65, 30)
	c := Column{Meta: 65<<8 | 30}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		var n int
		if dst, n = AppendDecimal(&c, dst[:0], src); n == 0 {
			b.Fatal("malformed")
		}
	}
}
