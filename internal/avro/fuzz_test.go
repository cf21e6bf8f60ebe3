package avro

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"tributary/internal/column"
)

// allTargets asks for everything that a schema has, in every way.
func allTargets(s *Schema) []Target {
	targets := leaves(s, "", nil)
	for _, f := range s.Fields {
		if f.Schema.NonNull().Type != Union {
			targets = append(targets, Target{Path: f.Name, Want: Presence}, Target{Path: f.Name, Want: Branch})
		}
	}
	return targets
}

// FuzzWalk walks arbitrary bytes: whatever they are, reading and skipping must
// agree on whether they are a value and where it ends, and nothing may panic or
// take more memory than the input accounts for.
func FuzzWalk(f *testing.F) {
	s := mustParse(f, envelopeSchema)
	f.Add(encodeEnvelope(f, nil, envelopeRow(7, "seven", "B"), int64(1)<<40, "text"))
	f.Add(encodeEnvelope(f, envelopeRow(1, "b", "A"), envelopeRow(2, nil, "A"), nil, 12))
	f.Add([]byte{0, 0, 0, 0, 0, 0})
	var plans []*Plan
	for _, targets := range [][]Target{allTargets(s), nil, {{Path: "after.id", Kind: column.Int}, {Path: "before", Want: Presence}}, {{Path: "after", Kind: column.Bytes}}} {
		p, err := Compile(s, targets)
		if err != nil {
			f.Fatal(err)
		}
		plans = append(plans, p)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		want, skipErr := Skip(s, src)
		for i, p := range plans {
			b := p.NewBatch()
			rest, err := p.Walk(src, b)
			if (err == nil) != (skipErr == nil) {
				t.Fatalf("plan %d says %v, skipping says %v", i, err, skipErr)
			}
			if err != nil {
				if !errors.Is(err, ErrCorrupt) {
					t.Fatalf("plan %d: %v is not ErrCorrupt", i, err)
				}
				continue
			}
			if len(src)-len(rest) != want || b.Len != 1 {
				t.Fatalf("plan %d read %d bytes, skipping %d", i, len(src)-len(rest), want)
			}
			held := 0
			for c := range b.Cols {
				if b.Cols[c].Len() != 1 {
					t.Fatalf("plan %d: column %d has %d values", i, c, b.Cols[c].Len())
				}
				held += len(b.Cols[c].Data)
			}
			if held > 3*len(src)+100 {
				t.Fatalf("plan %d holds %d bytes of an input of %d", i, held, len(src))
			}
		}
	})
}

// FuzzParse parses arbitrary schema text, and compiles and walks what parses.
func FuzzParse(f *testing.F) {
	f.Add(envelopeSchema)
	f.Add(`{"type":"record","name":"R","fields":[{"name":"next","type":["null","R"]},{"name":"v","type":"int"}]}`)
	f.Add(`{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"map","values":{"type":"fixed","name":"F","size":0}}}]}`)
	f.Add(`["null",{"type":"enum","name":"E","symbols":["A"]}]`)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrSchema) {
				t.Fatalf("%v is not ErrSchema", err)
			}
			return
		}
		src := bytes.Repeat([]byte{2, 0}, 50)
		n, err := Skip(s, src)
		if err == nil && n > len(src) {
			t.Fatalf("skipped %d of %d bytes", n, len(src))
		}
		if s.Type != Record {
			return
		}
		p, err := Compile(s, nil)
		if err != nil {
			t.Fatalf("compile: %v", err)
		}
		rest, walkErr := p.Walk(src, p.NewBatch())
		skipped, skipErr := Skip(s, src)
		if (walkErr == nil) != (skipErr == nil) || walkErr == nil && len(src)-len(rest) != skipped {
			t.Fatalf("walk: %v, skip: %v", walkErr, skipErr)
		}
	})
}

// FuzzContainer reads arbitrary files.
func FuzzContainer(f *testing.F) {
	for _, codec := range []Codec{CodecNull, CodecDeflate, CodecSnappy, CodecZstd} {
		f.Add(container(f, codec, 50))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := NewReader(bytes.NewReader(file), int64(len(file)), "fuzz")
		if err != nil {
			return
		}
		defer r.Close()
		for {
			b, err := r.Next()
			if err != nil {
				if errors.Is(err, io.EOF) && r.Offset() != int64(len(file)) {
					t.Fatalf("ended at %d of %d", r.Offset(), len(file))
				}
				var where *FileError
				if !errors.Is(err, io.EOF) && !errors.As(err, &where) {
					t.Fatalf("%v does not say where", err)
				}
				return
			}
			if len(b.Data) > MaxBlock {
				t.Fatalf("a block of %d bytes", len(b.Data))
			}
		}
	})
}
