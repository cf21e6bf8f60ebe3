package basefile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tributary/internal/column"
)

// write makes a file of one row group for each batch.
func write(t testing.TB, codec string, cols []Column, groups ...*column.Batch) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := NewWriter(&buf, "test", cols)
	if err != nil {
		t.Fatal(err)
	}
	enc, err := NewEncoder(codec)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		chunks := make([]*Chunk, len(cols))
		for i := range cols {
			if chunks[i], err = enc.Encode(cols[i], &g.Cols[i]); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Append(chunks); err != nil {
			t.Fatal(err)
		}
	}
	size, err := w.Close([]Pair{{"a.key", "a value"}})
	if err != nil {
		t.Fatal(err)
	}
	if size != int64(buf.Len()) {
		t.Fatalf("close reports %d bytes of %d", size, buf.Len())
	}
	return buf.Bytes()
}

func open(t testing.TB, b []byte) *File {
	t.Helper()
	f, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

var everyType = []Column{
	{Name: "b", Physical: Boolean, Nullable: true},
	{Name: "i", Physical: Int32, Nullable: true},
	{Name: "l", Physical: Int64},
	{Name: "f", Physical: Float, Nullable: true},
	{Name: "d", Physical: Double, Nullable: true},
	{Name: "s", Physical: ByteArray, Annotation: UTF8, Nullable: true},
	{Name: "r", Physical: ByteArray},
	{Name: "x", Physical: FixedLen, Size: 3, Nullable: true},
	{Name: "date", Physical: Int32, Annotation: Date, Nullable: true},
	{Name: "ts", Physical: Int64, Annotation: TimestampMicros, Nullable: true},
	{Name: "tm", Physical: Int64, Annotation: TimeMicros, Nullable: true},
	{Name: "dec", Physical: FixedLen, Size: 4, Annotation: Decimal, Precision: 8, Scale: 2, Nullable: true},
}

func kindOf(c Column) column.Kind {
	switch c.Physical {
	case Float, Double:
		return column.Float
	case ByteArray, FixedLen:
		return column.Bytes
	default:
		return column.Int
	}
}

// drawBatch draws rows whose values repeat often enough for dictionaries.
func drawBatch(t *rapid.T, cols []Column) *column.Batch {
	kinds := make([]column.Kind, len(cols))
	for i, c := range cols {
		kinds[i] = kindOf(c)
	}
	b := column.NewBatch(kinds...)
	b.Len = rapid.IntRange(1, 3000).Draw(t, "rows")
	for i, c := range cols {
		distinct := rapid.SampledFrom([]int{1, 3, 100, 1 << 20}).Draw(t, "distinct "+c.Name)
		nulls := rapid.SampledFrom([]int{0, 1, 50, 100}).Draw(t, "nulls "+c.Name)
		seed := rapid.Uint64().Draw(t, "seed "+c.Name)
		for r := range b.Len {
			seed = seed*6364136223846793005 + 1442695040888963407
			if c.Nullable && int(seed>>33%100) < nulls {
				b.Cols[i].AppendNull()
				continue
			}
			fill(&b.Cols[i], c, int64(seed>>40)%int64(distinct), r)
		}
	}
	return b
}

func fill(dst *column.Column, c Column, v int64, row int) {
	switch {
	case c.Physical == Boolean:
		dst.AppendInt(v & 1)
	case c.Physical == Int32:
		dst.AppendInt(int64(int32(v*2654435761) - 7))
	case dst.Kind == column.Int:
		dst.AppendInt(v*0x9e3779b97f4a7c1 - 5)
	case c.Physical == Float:
		dst.AppendFloat(float64(float32(v) / 3))
	case dst.Kind == column.Float:
		dst.AppendFloat(float64(v) / 3)
	case c.Physical == FixedLen:
		b := make([]byte, c.Size)
		for i := range b {
			b[i] = byte(v >> (8 * i))
		}
		dst.AppendBytes(b)
	default:
		dst.AppendString(strings.Repeat("é", int(v%5)) + fmt.Sprint(v))
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		codec := rapid.SampledFrom([]string{"snappy", "zstd", "gzip", "none"}).Draw(rt, "codec")
		a, b := drawBatch(rt, everyType), drawBatch(rt, everyType)
		f := open(t, write(t, codec, everyType, a, b))
		if f.Groups() != 2 || f.Rows() != int64(a.Len+b.Len) {
			rt.Fatalf("%d groups, %d rows", f.Groups(), f.Rows())
		}
		for g, want := range []*column.Batch{a, b} {
			for i, c := range everyType {
				if f.Columns()[i] != c {
					rt.Fatalf("column %+v read back as %+v", c, f.Columns()[i])
				}
				got := column.Column{Kind: kindOf(c)}
				if err := f.Read(g, c, &got); err != nil {
					rt.Fatal(err)
				}
				sameColumn(rt, c.Name, &got, &want.Cols[i])
			}
		}
	})
}

func sameColumn(t rapid.TB, name string, got, want *column.Column) {
	t.Helper()
	if got.Len() != want.Len() {
		t.Fatalf("%s: %d values, want %d", name, got.Len(), want.Len())
	}
	for r := range want.Len() {
		if got.IsNull(r) != want.IsNull(r) {
			t.Fatalf("%s: row %d null: %v", name, r, got.IsNull(r))
		}
		if want.IsNull(r) {
			continue
		}
		var g, w any
		switch want.Kind {
		case column.Int:
			g, w = got.Ints[r], want.Ints[r]
		case column.Float:
			g, w = math.Float64bits(got.Floats[r]), math.Float64bits(want.Floats[r])
		default:
			g, w = string(got.Value(r)), string(want.Value(r))
		}
		if g != w {
			t.Fatalf("%s: row %d is %v, want %v", name, r, g, w)
		}
	}
}

func TestChunksAreTakenOverAsBytes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a := drawBatch(rt, everyType)
		src := open(t, write(t, "snappy", everyType, a))
		var buf bytes.Buffer
		w, err := NewWriter(&buf, "copy", everyType)
		if err != nil {
			rt.Fatal(err)
		}
		for range 2 {
			chunks := make([]*Chunk, len(everyType))
			for i, c := range everyType {
				at, ok := src.Fits(c)
				if !ok {
					rt.Fatalf("column %s does not fit itself", c.Name)
				}
				if chunks[i], err = src.Chunk(0, at); err != nil {
					rt.Fatal(err)
				}
			}
			if err := w.Append(chunks); err != nil {
				rt.Fatal(err)
			}
		}
		if _, err := w.Close(nil); err != nil {
			rt.Fatal(err)
		}
		f := open(t, buf.Bytes())
		for g := range 2 {
			for i, c := range everyType {
				got := column.Column{Kind: kindOf(c)}
				if err := f.Read(g, c, &got); err != nil {
					rt.Fatal(err)
				}
				sameColumn(rt, c.Name, &got, &a.Cols[i])
			}
		}
	})
}

func TestReadConverts(t *testing.T) {
	cols := []Column{
		{Name: "i", Physical: Int32, Nullable: true},
		{Name: "f", Physical: Float},
		{Name: "ms", Physical: Int64, Annotation: TimestampMillis},
		{Name: "dec", Physical: Int32, Annotation: Decimal, Precision: 8, Scale: 2},
	}
	b := column.NewBatch(column.Int, column.Float, column.Int, column.Int)
	b.Cols[0].AppendInt(-5)
	b.Cols[1].AppendFloat(0.5)
	b.Cols[2].AppendInt(1_700_000_000_123)
	b.Cols[3].AppendInt(-1)
	b.Len = 1
	f := open(t, write(t, "none", cols, b))
	read := func(c Column) *column.Column {
		got := &column.Column{Kind: kindOf(c)}
		if err := f.Read(0, c, got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := read(Column{Name: "i", Physical: Int64, Nullable: true}).Ints[0]; got != -5 {
		t.Errorf("int as long: %d", got)
	}
	if got := read(Column{Name: "i", Physical: Double, Nullable: true}).Floats[0]; got != -5 {
		t.Errorf("int as double: %v", got)
	}
	if got := read(Column{Name: "f", Physical: Double}).Floats[0]; got != 0.5 {
		t.Errorf("float as double: %v", got)
	}
	if got := read(Column{Name: "ms", Physical: Int64, Annotation: TimestampMicros}).Ints[0]; got != 1_700_000_000_123_000 {
		t.Errorf("millis as micros: %d", got)
	}
	dec := Column{Name: "dec", Physical: FixedLen, Size: 4, Annotation: Decimal, Precision: 8, Scale: 2}
	if got := read(dec).Value(0); !bytes.Equal(got, bytes.Repeat([]byte{0xff}, 4)) {
		t.Errorf("int decimal: %x", got)
	}
	dec.Scale, dec.Precision = 3, 9
	if got := read(dec).Value(0); !bytes.Equal(got, []byte{0xff, 0xff, 0xff, 0xf6}) {
		t.Errorf("int decimal with one more digit: %x", got)
	}
	text := func(name string) string {
		return string(read(Column{Name: name, Physical: ByteArray, Annotation: UTF8, Nullable: true}).Value(0))
	}
	if got := []string{text("i"), text("f"), text("dec")}; !slices.Equal(got, []string{"-5", "0.5", "-0.01"}) {
		t.Errorf("numbers as text: %q", got)
	}
	if got := read(Column{Name: "i", Physical: Float, Nullable: true}).Floats[0]; got != -5 {
		t.Errorf("int as float: %v", got)
	}
	if got := read(Column{Name: "none", Physical: ByteArray, Nullable: true}); !got.IsNull(0) {
		t.Error("a column that the file lacks is not null")
	}
	for _, c := range []Column{
		{Name: "f", Physical: Int32},
		{Name: "i", Physical: ByteArray},
		{Name: "dec", Physical: FixedLen, Size: 4, Annotation: Decimal, Precision: 8, Scale: 1},
		{Name: "ms", Physical: ByteArray, Annotation: UTF8},
		{Name: "ms", Physical: Double},
	} {
		if err := f.Read(0, c, &column.Column{Kind: kindOf(c)}); err == nil {
			t.Errorf("column %s was read as %+v", c.Name, c)
		}
	}
}

func TestEncodeRefusesWhatDoesNotFit(t *testing.T) {
	enc, err := NewEncoder("snappy")
	if err != nil {
		t.Fatal(err)
	}
	ints := column.Column{Kind: column.Int}
	ints.AppendInt(1 << 40)
	null := column.Column{Kind: column.Int}
	null.AppendNull()
	wide := column.Column{Kind: column.Bytes}
	wide.AppendBytes([]byte{0x01, 0x80, 0, 0, 0})
	fits := column.Column{Kind: column.Bytes}
	fits.AppendBytes([]byte{0xff, 0xff, 0x80, 0, 0, 0})
	dec := Column{Name: "d", Physical: FixedLen, Size: 4, Annotation: Decimal, Precision: 9}
	for _, c := range []struct {
		name string
		col  Column
		data *column.Column
		ok   bool
	}{
		{"int too wide", Column{Physical: Int32}, &ints, false},
		{"null in a required column", Column{Physical: Int64}, &null, false},
		{"wrong kind", Column{Physical: Double}, &ints, false},
		{"decimal too wide", dec, &wide, false},
		{"decimal with spare sign bytes", dec, &fits, true},
		{"fixed of another length", Column{Physical: FixedLen, Size: 4}, &wide, false},
	} {
		if _, err := enc.Encode(c.col, c.data); (err == nil) != c.ok {
			t.Errorf("%s: error %v", c.name, err)
		}
	}
}

// vectors are values computed by Hudi's own classes.
type vectors struct {
	Murmur []struct {
		Key   string
		Chain []int32
	} `json:"murmur2"`
	Bloom []struct {
		Type       string
		NumEntries int
		FPP        float64
		MaxEntries int
		Keys       string
		N          int
		Base64     string
	}
}

func readVectors(t *testing.T) vectors {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestGoldenMurmur(t *testing.T) {
	for _, v := range readVectors(t).Murmur {
		h := int32(0)
		var x mixed
		x.mix([]byte(v.Key))
		for n, want := range v.Chain {
			if h = x.hash(h); h != want {
				t.Errorf("murmur of %q, link %d: %d, want %d", v.Key, n, h, want)
			}
		}
	}
}

// TestFloatBecomesDouble reads what Spark and hudi-rs read of a column that was
// widened: they go by the text of the number.
func TestFloatBecomesDouble(t *testing.T) {
	stored := Column{Name: "f", Physical: Float, Nullable: true}
	b := column.NewBatch(column.Float)
	values := []float64{0.1, 1.0 / 3, -2.5, 16777216, 1e-40, math.Inf(1)}
	for _, v := range values {
		b.Cols[0].AppendFloat(float64(float32(v)))
		b.Len++
	}
	raw := write(t, "snappy", []Column{stored}, b)
	got := column.Column{Kind: column.Float}
	if err := open(t, raw).Read(0, Column{Name: "f", Physical: Double, Nullable: true}, &got); err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{0.1, 0.33333334, -2.5, 16777216, 1e-40, math.Inf(1)} {
		if got.Floats[i] != want {
			t.Errorf("%v is read as %v, want %v", float32(values[i]), got.Floats[i], want)
		}
	}
}

// TestDamagedPage flips every byte of the pages: reading tells, by their checksums.
func TestDamagedPage(t *testing.T) {
	b := column.NewBatch(column.Int, column.Bytes)
	for i := range 300 {
		b.Cols[0].AppendInt(int64(i * i))
		b.Cols[1].AppendString(fmt.Sprint(i % 7))
		b.Len++
	}
	cols := []Column{{Name: "i", Physical: Int32}, {Name: "s", Physical: ByteArray, Annotation: UTF8, Nullable: true}}
	whole := write(t, "snappy", cols, b)
	sound, err := Open(bytes.NewReader(whole), int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range cols {
		chunk, err := sound.Chunk(0, i)
		if err != nil {
			t.Fatal(err)
		}
		for at := chunk.start; at < chunk.start+int64(len(chunk.data)); at++ {
			raw := bytes.Clone(whole)
			raw[at] ^= 1 << (at % 8)
			file, err := Open(bytes.NewReader(raw), int64(len(raw)))
			if err != nil {
				t.Fatal(err)
			}
			was, is := column.Column{Kind: kindOf(c)}, column.Column{Kind: kindOf(c)}
			if err := sound.Read(0, c, &was); err != nil {
				t.Fatal(err)
			}
			if err := file.Read(0, c, &is); err == nil && !reflect.DeepEqual(was, is) {
				t.Fatalf("column %s, byte %d: other values are read, and no error", c.Name, at-chunk.start)
			}
		}
	}
}
