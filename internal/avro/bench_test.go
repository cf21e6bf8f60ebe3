package avro

import (
	"fmt"
	"io"
	"testing"

	"tributary/internal/column"
)

// flatSchema is a TICKIT sale in its flat form: 15 columns, most of them
// nullable.
func flatRow(b testing.TB) (*Schema, []byte) {
	b.Helper()
	text := `{"type":"record","name":"Value","fields":[{"name":"salesid","type":"int"}`
	for i := range 6 {
		text += fmt.Sprintf(`,{"name":"i%d","type":["null","int"]}`, i)
	}
	text += `,{"name":"price","type":["null",{"type":"bytes","logicalType":"decimal","precision":8,"scale":2}]}` +
		`,{"name":"saletime","type":["null","long"]},{"name":"__deleted","type":["null","string"]},{"name":"__op","type":["null","string"]}` +
		`,{"name":"__db","type":["null","string"]},{"name":"__table","type":["null","string"]},{"name":"__source_ts_ms","type":["null","long"]},{"name":"__pos","type":["null","long"]}]}`
	r := AppendLong(nil, 123456)
	for i := range 6 {
		r = AppendLong(AppendLong(r, 1), int64(i*3000))
	}
	r = AppendBytes(AppendLong(r, 1), []byte{0x12, 0x34, 0x56})
	r = AppendLong(AppendLong(r, 1), 1795369376053000)
	for _, s := range []string{"false", "c", "ecomm", "sale"} {
		r = AppendString(AppendLong(r, 1), s)
	}
	r = AppendLong(AppendLong(r, 1), 1795369376053)
	return mustParse(b, text), AppendLong(AppendLong(r, 1), 987654321)
}

func BenchmarkWalkFlat15(b *testing.B) {
	s, r := flatRow(b)
	benchmarkWalk(b, s, leaves(s, "", nil), r)
}

// BenchmarkWalkFlatKey reads 2 of the 15 columns and skips the others.
func BenchmarkWalkFlatKey(b *testing.B) {
	s, r := flatRow(b)
	benchmarkWalk(b, s, []Target{{Path: "salesid", Kind: column.Int}, {Path: "__op", Kind: column.Bytes}}, r)
}

func BenchmarkWalkEnvelope(b *testing.B) {
	s := mustParse(b, envelopeSchema)
	r := encodeEnvelope(b, envelopeRow(1, "before", "A"), envelopeRow(2, "after", "B"), int64(1)<<40, nil)
	benchmarkWalk(b, s, []Target{
		{Path: "after", Want: Presence},
		{Path: "after.id", Kind: column.Int},
		{Path: "before.id", Kind: column.Int},
		{Path: "after.name", Kind: column.Bytes},
		{Path: "after.price", Kind: column.Bytes},
		{Path: "after.ratio", Kind: column.Float},
		{Path: "source.lsn", Kind: column.Int},
		{Path: "op", Kind: column.Bytes},
	}, r)
}

func benchmarkWalk(b *testing.B, s *Schema, targets []Target, r []byte) {
	p, err := Compile(s, targets)
	if err != nil {
		b.Fatal(err)
	}
	batch := p.NewBatch()
	for range 4096 { // grow the columns beforehand
		if _, err := p.Walk(r, batch); err != nil {
			b.Fatal(err)
		}
	}
	batch.Reset()
	b.SetBytes(int64(len(r)))
	b.ReportAllocs()
	for b.Loop() {
		if batch.Len == 4096 {
			batch.Reset()
		}
		if _, err := p.Walk(r, batch); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSplice(b *testing.B) {
	_, r := flatRow(b)
	w, err := NewBlockWriter(io.Discard, Sync{}, CodecNull, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(r)))
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Append(r); err != nil {
			b.Fatal(err)
		}
	}
}
