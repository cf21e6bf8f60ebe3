package basefile

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"tributary/internal/column"
)

func FuzzBloom(f *testing.F) {
	b := NewBloom(3)
	b.Add([]byte("a"))
	f.Add(b.String())
	f.Fuzz(func(t *testing.T, s string) {
		var b *Bloom
		var err error
		bounded(t, len(s), func() { b, err = ParseBloom(s) })
		if err != nil {
			return
		}
		_ = b.Has([]byte("a"))
		if again, err := ParseBloom(b.String()); err != nil || again.String() != b.String() {
			t.Fatalf("a filter is not read back: %v", err)
		}
	})
}

// FuzzFile changes the bytes of a file: reading it must end in values or an error.
func FuzzFile(f *testing.F) {
	b := column.NewBatch(column.Int, column.Bytes)
	for i := range 50 {
		b.Cols[0].AppendInt(int64(i))
		b.Cols[1].AppendString(fmt.Sprint(i % 3))
		b.Len++
	}
	cols := []Column{{Name: "i", Physical: Int32}, {Name: "s", Physical: ByteArray, Annotation: UTF8, Nullable: true}}
	f.Add(write(f, "snappy", cols, b))
	f.Add([]byte("PAR1"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 1<<16 {
			return
		}
		bounded(t, len(raw), func() {
			file, err := Open(bytes.NewReader(raw), int64(len(raw)))
			if err != nil {
				return
			}
			for g := range min(file.Groups(), 4) {
				for _, c := range cols {
					if file.GroupRows(g) > 1<<20 {
						continue
					}
					_ = file.Read(g, c, &column.Column{Kind: kindOf(c)})
				}
			}
		})
	})
}

func TestGoldenBloom(t *testing.T) {
	n := 0
	for _, v := range readVectors(t).Bloom {
		if v.Type != "DYNAMIC_V0" || v.N > v.MaxEntries {
			continue // only dynamic filters are written, and they grow without end
		}
		n++
		b := newBloom(v.NumEntries, v.FPP)
		for i := range v.N {
			b.Add(fmt.Appendf(nil, "key-%d", i))
		}
		if got := b.String(); got != v.Base64 {
			t.Errorf("filter of %d keys, %d a row: %s, want %s", v.N, v.NumEntries, got, v.Base64)
		}
		parsed, err := ParseBloom(v.Base64)
		if err != nil || parsed.String() != v.Base64 {
			t.Errorf("the filter is not read back: %v", err)
			continue
		}
		for i := range v.N {
			if !parsed.Has(fmt.Appendf(nil, "key-%d", i)) {
				t.Errorf("key-%d is not found", i)
			}
		}
	}
	if n < 2 {
		t.Errorf("%d filters were compared", n)
	}
}

// TestBloomOfSeveralKeysAtOnce holds a filter that takes its keys some at a time, over
// the ends of its rows, against one that takes them one by one.
func TestBloomOfSeveralKeysAtOnce(t *testing.T) {
	one, some := NewBloom(7), NewBloom(7)
	var keys [][]byte
	for i := range 50 {
		keys = append(keys, []byte(strings.Repeat("é", i%9)+fmt.Sprint(i)))
	}
	for _, k := range keys {
		one.Add(k)
	}
	for n := 0; len(keys) > 0; n++ {
		size := min(n%5, len(keys))
		some.Add(keys[:size]...)
		keys = keys[size:]
	}
	if one.String() != some.String() {
		t.Error("the filters differ")
	}
}

func TestBloomPosition(t *testing.T) {
	hashes := []int32{0, 1, -1, 2, math.MaxInt32, math.MinInt32, math.MinInt32 + 1, 0x5bd1e995, -0x1bd1e995}
	for _, size := range []int32{1, 2, 3, 7, 1 << 20, 43133 * 60, math.MaxInt32 - 1, math.MaxInt32} {
		b := &Bloom{bits: size, inverse: reciprocal(size)}
		for n := range 2000 {
			h := int32(uint32(n) * 2654435761)
			if n < len(hashes) {
				h = hashes[n]
			}
			want := int64(h) % int64(size)
			if got := int64(b.position(h)); got != max(want, -want) {
				t.Fatalf("%d of %d bits: %d, want %d", h, size, got, max(want, -want))
			}
		}
	}
}

func TestBloomTellsKeysApart(t *testing.T) {
	b := NewBloom(100)
	for i := range 1000 {
		b.Add(fmt.Appendf(nil, "id %d", i))
	}
	for i := range 1000 {
		if !b.Has(fmt.Appendf(nil, "id %d", i)) {
			t.Fatalf("id %d is missing", i)
		}
	}
	for i := range 100_000 {
		if b.Has(fmt.Appendf(nil, "no %d", i)) {
			t.Errorf("no %d is there", i)
		}
	}
	if b.RowsAfter(0) != 10 || b.RowsAfter(1) != 11 || b.RowsAfter(101) != 12 {
		t.Errorf("rows after 0, 1, 101 more keys: %d, %d, %d", b.RowsAfter(0), b.RowsAfter(1), b.RowsAfter(101))
	}
}

func TestCompareKeysAsJavaDoes(t *testing.T) {
	// Ascending by UTF-16 code units: U+1F600 is D83D DE00.
	keys := []string{"", "a", "aa", "b", "é", "日", "\U0001F600", "\uE000", "\uFFFD"}
	for i, a := range keys {
		for j, b := range keys {
			got := CompareKeys([]byte(a), []byte(b))
			if (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("compare %q with %q: %d", a, b, got)
			}
		}
	}
}

func TestConstant(t *testing.T) {
	col := Column{Name: "c", Physical: ByteArray, Annotation: UTF8, Nullable: true}
	for _, rows := range []int{1, 7, 100_000} {
		enc, err := NewEncoder("snappy")
		if err != nil {
			t.Fatal(err)
		}
		ch, err := enc.Constant(col, strings.Repeat("v", 70), rows)
		if err != nil {
			t.Fatal(err)
		}
		var buf bytes.Buffer
		w, err := NewWriter(&buf, "test", []Column{col})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Append([]*Chunk{ch}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Close(nil); err != nil {
			t.Fatal(err)
		}
		got := column.Column{Kind: column.Bytes}
		if err := open(t, buf.Bytes()).Read(0, col, &got); err != nil {
			t.Fatal(err)
		}
		for r := range rows {
			if got.IsNull(r) || string(got.Value(r)) != strings.Repeat("v", 70) {
				t.Fatalf("row %d is %q", r, got.Value(r))
			}
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	const rows = 20_000
	text := column.Column{Kind: column.Bytes}
	few := column.Column{Kind: column.Bytes}
	ints := column.Column{Kind: column.Int}
	for i := range rows {
		text.AppendString(fmt.Sprintf("%016x-%08x", i*7919, i))
		few.AppendString([]string{"c", "u", "d"}[i%3])
		ints.AppendInt(int64(i) * 7919)
	}
	for _, c := range []struct {
		name string
		col  Column
		data *column.Column
	}{
		{"text", Column{Name: "s", Physical: ByteArray, Annotation: UTF8, Nullable: true}, &text},
		{"few", Column{Name: "s", Physical: ByteArray, Annotation: UTF8, Nullable: true}, &few},
		{"ints", Column{Name: "i", Physical: Int64, Nullable: true}, &ints},
	} {
		b.Run(c.name, func(b *testing.B) {
			enc, err := NewEncoder("snappy")
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := enc.Encode(c.col, c.data); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/value")
		})
	}
}

func BenchmarkBloomAdd(b *testing.B) {
	bloom := NewBloom(60_000)
	for i := 0; b.Loop(); i++ {
		bloom.Add(fmt.Appendf(nil, "%d", i%60_000))
	}
}
