package lake

import (
	"context"
	"fmt"
	"testing"

	"tributary/internal/column"
	"tributary/lake/blob"
	"tributary/lake/merge"
)

// wideSchema is as wide as a TICKIT sale in the lake.
var wideSchema = Schema{Fields: []Field{
	{"saleid", Simple(Int), false},
	{"listid", Simple(Int), true},
	{"sellerid", Simple(Int), true},
	{"buyerid", Simple(Int), true},
	{"eventid", Simple(Int), true},
	{"dateid", Simple(Int), true},
	{"qtysold", Simple(Int), true},
	{"pricepaid", DecimalType(8, 2), true},
	{"commission", DecimalType(8, 2), true},
	{"saletime", Simple(TimestampMicros), true},
	{"__op", Simple(String), true},
	{"__table", Simple(String), true},
	{"__source_ts_ms", Simple(Long), true},
	{"__deleted", Simple(String), true},
	{"__seq", Simple(String), true},
}}

func wideRows(from, n int, version int) Rows {
	b := wideSchema.NewBatch()
	for i := range n {
		id := int64(from + i)
		x := uint64(id)*0x9e3779b97f4a7c15 + uint64(version)
		for c, v := range []int64{id, int64(x>>40) % 200_000, int64(x>>30) % 50_000, int64(x>>20) % 50_000, int64(x>>10) % 8800, 1800 + id%365, 1 + id%8} {
			b.Cols[c].AppendInt(v)
		}
		b.Cols[7].AppendBytes([]byte{0, byte(x >> 50 & 0x7), byte(x >> 8), byte(x)})
		b.Cols[8].AppendBytes([]byte{0, 0, byte(x >> 9), byte(x)})
		b.Cols[9].AppendInt(1_200_000_000_000_000 + id*37_000_000)
		b.Cols[10].AppendString("r")
		b.Cols[11].AppendString("sale")
		b.Cols[12].AppendInt(1_700_000_000_000 + id/100)
		b.Cols[13].AppendString("false")
		b.Cols[14].AppendString(fmt.Sprintf("%08x-%012x-%06x-%012x", version, id*40, 0, id))
		b.Len++
	}
	return Rows{Batch: b}
}

func benchTable(b *testing.B, rows int) *Table {
	b.Helper()
	store, err := blob.NewDir(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	tab, err := Create(b.Context(), store, "t", Config{Table: "sale", Schema: wideSchema, KeyFields: []string{"saleid"}, Precombine: "__seq"}, Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { tab.Close(context.Background()) })
	if rows > 0 {
		if _, err := tab.Upsert(b.Context(), wideRows(0, rows, 0), nil); err != nil {
			b.Fatal(err)
		}
	}
	return tab
}

// BenchmarkUpsertBulk loads a whole TICKIT sale table in one commit.
func BenchmarkUpsertBulk(b *testing.B) {
	rows := wideRows(0, 172_456, 0)
	for b.Loop() {
		b.StopTimer()
		tab := benchTable(b, 0)
		b.StartTimer()
		if _, err := tab.Upsert(b.Context(), rows, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows.Batch.Len)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkUpsertOne changes one row of a table of 190,000.
func BenchmarkUpsertOne(b *testing.B) {
	tab := benchTable(b, 190_000)
	n := 0
	for b.Loop() {
		n++
		if _, err := tab.Upsert(b.Context(), wideRows(n*997%190_000, 1, n), nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkUpsertAll replaces every row of a table of 172,456.
func BenchmarkUpsertAll(b *testing.B) {
	tab := benchTable(b, 172_456)
	n := 0
	for b.Loop() {
		b.StopTimer()
		n++
		rows := wideRows(0, 172_456, n)
		b.StartTimer()
		if _, err := tab.Upsert(b.Context(), rows, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(172_456*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkOpen reads the timeline and the keys of a table of 190,000 rows.
func BenchmarkLock(b *testing.B) {
	tab := benchTable(b, 190_000)
	if err := tab.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		again, err := Open(b.Context(), tab.store, tab.base, Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := again.Lock(b.Context()); err != nil {
			b.Fatal(err)
		}
		if err := again.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkScan reads every column of 190,000 rows.
func BenchmarkScan(b *testing.B) {
	tab := benchTable(b, 190_000)
	for b.Loop() {
		s, err := tab.AsOf(b.Context(), "")
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for batch, err := range s.Scan(b.Context(), nil) {
			if err != nil {
				b.Fatal(err)
			}
			n += batch.Len
		}
		if n != 190_000 {
			b.Fatalf("%d rows", n)
		}
	}
	b.ReportMetric(190_000*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkIndex looks a million keys up among a million.
func BenchmarkIndex(b *testing.B) {
	var x keyIndex
	keys := column.Column{Kind: column.Bytes}
	for i := range 1_000_000 {
		keys.AppendString(fmt.Sprint(i))
		x.add(merge.Hash(keys.Value(i)), i%200)
	}
	var found []int32
	for b.Loop() {
		for i := range keys.Len() {
			found = x.find(found[:0], merge.Hash(keys.Value(i)))
		}
	}
	b.ReportMetric(float64(8*len(x.slots))/1e6, "bytes/key")
}
