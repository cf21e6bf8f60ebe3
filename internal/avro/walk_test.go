package avro

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	hamba "github.com/hamba/avro/v2"

	"tributary/internal/column"
)

func mustParse(t testing.TB, text string) *Schema {
	t.Helper()
	s, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const envelopeSchema = `{"type":"record","name":"Envelope","namespace":"t","fields":[
 {"name":"before","type":["null",{"type":"record","name":"Value","fields":[
   {"name":"id","type":"int"},
   {"name":"name","type":["null","string"],"default":null},
   {"name":"price","type":[{"type":"bytes","logicalType":"decimal","precision":8,"scale":2,"connect.name":"org.apache.kafka.connect.data.Decimal"},"null"]},
   {"name":"tags","type":{"type":"array","items":["null","string"]}},
   {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["A","B"]}},
   {"name":"hash","type":{"type":"fixed","name":"Hash","size":4}},
   {"name":"ratio","type":["null","double"]},
   {"name":"share","type":"float"},
   {"name":"ok","type":["null","boolean"]},
   {"name":"extra","type":{"type":"map","values":"long"}}
 ],"connect.name":"t.Value"}]},
 {"name":"after","type":["null","Value"]},
 {"name":"source","type":{"type":"record","name":"Source","fields":[{"name":"lsn","type":["null","long"]},{"name":"snapshot","type":[{"type":"string","connect.default":"false","connect.parameters":{"allowed":"true,last,false"}},"null"],"default":"false"}]}},
 {"name":"any","type":["null","int","string"]},
 {"name":"op","type":"string"}]}`

// encode makes bytes with the library, as an independent witness.
func encode(t testing.TB, schema string, v any) []byte {
	t.Helper()
	s, err := hamba.ParseWithCache(schema, "", &hamba.SchemaCache{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := hamba.Marshal(s, v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func envelopeRow(id int, name any, kind string) map[string]any {
	return map[string]any{
		"id": id, "name": name, "price": []byte{0x12, 0x34}, "tags": []any{"x", nil, "yy"}, "kind": kind,
		"hash": [4]byte{1, 2, 3, 4}, "ratio": 1.5, "share": float32(0.25), "ok": true,
		"extra": map[string]any{"k": int64(1)},
	}
}

func encodeEnvelope(t testing.TB, before, after map[string]any, lsn any, anyValue any) []byte {
	t.Helper()
	// The decimal is given as bytes: the library would want a big.Rat.
	text := strings.ReplaceAll(envelopeSchema, `"logicalType":"decimal","precision":8,"scale":2,`, "")
	wrap := func(m map[string]any) any {
		if m == nil {
			return nil
		}
		return map[string]any{"t.Value": m}
	}
	return encode(t, text, map[string]any{
		"before": wrap(before), "after": wrap(after),
		"source": map[string]any{"lsn": lsn, "snapshot": "last"}, "any": anyValue, "op": "u",
	})
}

// dump prints a batch row by row.
func dump(b *column.Batch) []string {
	var rows []string
	for i := range b.Len {
		var cells []string
		for c := range b.Cols {
			col := &b.Cols[c]
			switch {
			case col.IsNull(i):
				cells = append(cells, "-")
			case col.Kind == column.Int:
				cells = append(cells, fmt.Sprint(col.Ints[i]))
			case col.Kind == column.Float:
				cells = append(cells, fmt.Sprint(col.Floats[i]))
			default:
				cells = append(cells, fmt.Sprintf("%q", col.Value(i)))
			}
		}
		rows = append(rows, strings.Join(cells, " "))
	}
	return rows
}

func TestWalkEnvelope(t *testing.T) {
	s := mustParse(t, envelopeSchema)
	plan, err := Compile(s, []Target{
		{Path: "after.id", Kind: column.Int},
		{Path: "after.name", Kind: column.Bytes},
		{Path: "after", Want: Presence},
		{Path: "before.id", Kind: column.Int},
		{Path: "before", Want: Branch},
		{Path: "after.price", Kind: column.Bytes},
		{Path: "after.kind", Kind: column.Bytes},
		{Path: "after.hash", Kind: column.Bytes},
		{Path: "after.ratio", Kind: column.Float},
		{Path: "after.share", Kind: column.Float},
		{Path: "after.ok", Kind: column.Int},
		{Path: "source.lsn", Kind: column.Int},
		{Path: "source.snapshot", Kind: column.Bytes},
		{Path: "after.missing", Kind: column.Float},
		{Path: "after.missing", Want: Presence},
		{Path: "op", Kind: column.Bytes},
		{Path: "after.id", Kind: column.Int},
		{Path: "after.tags", Kind: column.Bytes},
		{Path: "any", Want: Branch},
		{Path: "any", Kind: column.Bytes, Want: Value},
		{Path: "source.lsn", Want: Presence},
	}[:19])
	if err != nil {
		t.Fatal(err)
	}
	rows := [][]byte{
		encodeEnvelope(t, nil, envelopeRow(7, "seven", "B"), int64(1)<<40, "text"),
		encodeEnvelope(t, envelopeRow(-9, nil, "A"), nil, nil, nil),
		encodeEnvelope(t, envelopeRow(1, "b", "A"), envelopeRow(math.MinInt32, nil, "A"), int64(-5), 12),
	}
	b := plan.NewBatch()
	var all []byte
	for _, r := range rows {
		all = append(all, r...)
		if err := Check(s, r); err != nil {
			t.Errorf("check: %v", err)
		}
	}
	if err := plan.WalkAll(all, len(rows), b); err != nil {
		t.Fatal(err)
	}
	// The library writes an array as one block of a negative count and its size.
	tags := string(b.Cols[17].Value(0))
	if err := Check(s.Lookup("after.tags"), []byte(tags)); err != nil {
		t.Errorf("tags %q: %v", tags, err)
	}
	want := []string{
		`7 "seven" 1 - 0 "\x124" "B" "\x01\x02\x03\x04" 1.5 0.25 1 1099511627776 "last" - 0 "u" 7 ` + fmt.Sprintf("%q", tags) + ` 2`,
		`- - 0 -9 1 - - - - - - - "last" - 0 "u" - - 0`,
		`-2147483648 - 1 1 1 "\x124" "A" "\x01\x02\x03\x04" 1.5 0.25 1 -5 "last" - 0 "u" -2147483648 ` + fmt.Sprintf("%q", tags) + ` 1`,
	}
	if diff := cmp.Diff(want, dump(b)); diff != "" {
		t.Error(diff)
	}
}

func TestWalkUnions(t *testing.T) {
	s := mustParse(t, `{"type":"record","name":"R","fields":[
	 {"name":"a","type":["null","int","string"]},
	 {"name":"n","type":["int","null","long"]},
	 {"name":"r","type":["null",{"type":"record","name":"X","fields":[{"name":"v","type":"int"}]},{"type":"record","name":"Y","fields":[{"name":"w","type":"null"},{"name":"v","type":"long"}]}]},
	 {"name":"z","type":"int"}]}`)
	plan, err := Compile(s, []Target{
		{Path: "a", Kind: column.Bytes},
		{Path: "n", Kind: column.Int},
		{Path: "n", Want: Branch},
		{Path: "r.v", Kind: column.Int},
		{Path: "r", Want: Branch},
		{Path: "r.w", Want: Presence},
		{Path: "z", Kind: column.Float},
	})
	if err != nil {
		t.Fatal(err)
	}
	src := []byte{
		0, 0, 6, 2, 8, 10, // a null, n=3, r=X{4}, z=5
		2, 14, 2, 4, 9, 1, // a=7, n null, r=Y{-5}, z=-1
		4, 2, 'x', 4, 6, 0, 2, // a="x", n=3 (long), r null, z=1
	}
	b := plan.NewBatch()
	if err := plan.WalkAll(src, 3, b); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`"\x00" 3 0 4 1 0 5`,
		`"\x02\x0e" - 1 -5 2 0 -1`,
		`"\x04\x02x" 3 2 - 0 0 1`,
	}
	if diff := cmp.Diff(want, dump(b)); diff != "" {
		t.Error(diff)
	}
}

func TestCompileRefuses(t *testing.T) {
	s := mustParse(t, envelopeSchema)
	for name, targets := range map[string][]Target{
		"text as int":                  {{Path: "op", Kind: column.Int}},
		"float as int":                 {{Path: "after.ratio", Kind: column.Int}},
		"int as bytes":                 {{Path: "after.id", Kind: column.Bytes}},
		"whole and part":               {{Path: "after", Kind: column.Bytes}, {Path: "after.id", Kind: column.Int}},
		"two kinds":                    {{Path: "after.id", Kind: column.Int}, {Path: "after.id", Kind: column.Float}},
		"presence as bytes":            {{Path: "after", Want: Presence, Kind: column.Bytes}},
		"union of several as int":      {{Path: "any", Kind: column.Int}},
		"union, its value and branch":  {{Path: "any", Kind: column.Bytes}, {Path: "any", Want: Branch}},
		"no path":                      {{Kind: column.Int}},
		"a float through a bytes kind": {{Path: "after.share", Kind: column.Bytes}},
	} {
		if _, err := Compile(s, targets); !errors.Is(err, ErrTarget) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Compile(mustParse(t, `"string"`), nil); !errors.Is(err, ErrTarget) {
		t.Errorf("a string: %v", err)
	}
}

func TestWalkRefusesBadBytes(t *testing.T) {
	s := mustParse(t, `{"type":"record","name":"R","fields":[
	 {"name":"i","type":"int"},{"name":"b","type":["null","boolean"]},{"name":"s","type":"string"},
	 {"name":"e","type":{"type":"enum","name":"E","symbols":["A"]}},{"name":"l","type":{"type":"array","items":"long"}}]}`)
	good := []byte{2, 2, 1, 2, 'x', 0, 2, 4, 0}
	targets := leaves(s, "", nil)
	for name, src := range map[string][]byte{
		"int of 33 bits":      {0x80, 0x80, 0x80, 0x80, 0x20, 0, 0, 0, 0},
		"endless number":      {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
		"third branch":        {2, 4, 1, 2, 'x', 0, 0},
		"negative branch":     {2, 1, 1, 2, 'x', 0, 0},
		"boolean 2":           {2, 2, 2, 2, 'x', 0, 0},
		"text longer than it": {2, 0, 100, 'x', 0, 0},
		"negative length":     {2, 0, 1, 'x', 0, 0},
		"no such symbol":      {2, 0, 0, 2, 0},
		"array of 2^40":       {2, 0, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 2},
		"array block size":    {2, 0, 0, 0, 1, 100, 0},
		"bytes left over":     append(append([]byte{}, good...), 0),
	} {
		for _, plan := range []struct {
			name    string
			targets []Target
		}{{"read", targets}, {"skip", nil}, {"part", targets[:1]}} {
			p, err := Compile(s, plan.targets)
			if err != nil {
				t.Fatal(err)
			}
			b := p.NewBatch()
			if err := p.WalkAll(src, 1, b); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s, %s: %v", name, plan.name, err)
			}
		}
		if err := Check(s, src); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s, check: %v", name, err)
		}
	}
	p, err := Compile(s, targets)
	if err != nil {
		t.Fatal(err)
	}
	b := p.NewBatch()
	if err := p.WalkAll(good, 1, b); err != nil {
		t.Fatal(err)
	}
	for n := range good {
		if err := p.WalkAll(good[:n], 1, b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut after %d bytes: %v", n, err)
		}
		if b.Len != 1 || b.Cols[0].Len() != 1 || b.Cols[4].Len() != 1 {
			t.Fatalf("cut after %d bytes: the batch was changed", n)
		}
	}
	err = p.WalkAll(append(append([]byte{}, good...), 2, 4), 2, b)
	if err == nil || !strings.Contains(err.Error(), "record 2 of 2") || !strings.Contains(err.Error(), "field b") {
		t.Errorf("the error does not say where: %v", err)
	}
}

func TestNestingIsBounded(t *testing.T) {
	s := mustParse(t, `{"type":"record","name":"R","fields":[{"name":"next","type":["null","R"]},{"name":"v","type":"int"}]}`)
	p, err := Compile(s, []Target{{Path: "next.next.v", Kind: column.Int}, {Path: "v", Kind: column.Int}})
	if err != nil {
		t.Fatal(err)
	}
	b := p.NewBatch()
	// Three deep: 1 inside 2 inside 3.
	if err := p.WalkAll([]byte{2, 2, 0, 2, 4, 6}, 1, b); err != nil {
		t.Fatal(err)
	}
	if got := dump(b); got[0] != "1 3" {
		t.Errorf("got %v", got)
	}
	deep := make([]byte, 5<<20)
	for i := range deep {
		deep[i] = 2
	}
	if err := p.WalkAll(deep, 1, b); !errors.Is(err, errDepth) {
		t.Errorf("deep nesting: %v", err)
	}
}

// TestZeroWidth checks that counts of what takes no bytes cost no time.
func TestZeroWidth(t *testing.T) {
	s := mustParse(t, `{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"array","items":"null"}},{"name":"v","type":"int"}]}`)
	src := AppendLong(nil, math.MaxInt64)
	src = append(src, 0, 8)
	if err := Check(s, src); err != nil {
		t.Error(err)
	}
	p, err := Compile(mustParse(t, `{"type":"record","name":"R","fields":[{"name":"a","type":"null"}]}`), []Target{{Path: "a", Kind: column.Bytes}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.WalkAll(nil, 1<<30, p.NewBatch()); !errors.Is(err, ErrCorrupt) {
		t.Errorf("2^30 records of no bytes: %v", err)
	}
}

func TestParseKeepsProperties(t *testing.T) {
	s := mustParse(t, envelopeSchema)
	if s.String() != envelopeSchema || s.Name != "t.Envelope" {
		t.Error("the text or the name is not what was given")
	}
	price := s.Lookup("after.price").NonNull()
	if price.Logical != "decimal" || price.Precision != 8 || price.Scale != 2 || price.Prop("connect.name") != "org.apache.kafka.connect.data.Decimal" {
		t.Errorf("price: %+v", price)
	}
	snapshot := s.Lookup("source.snapshot")
	if snapshot.NonNull().Param("allowed") != "true,last,false" || !snapshot.Nullable() {
		t.Errorf("snapshot: %+v", snapshot)
	}
	if f := s.Lookup("source").Field("snapshot"); !f.HasDefault || f.Default != "false" {
		t.Errorf("default: %+v", f)
	}
	if s.Lookup("before").NonNull() != s.Lookup("after").NonNull() {
		t.Error("a reference is not the type itself")
	}
	if s.Lookup("nothing.here") != nil {
		t.Error("a field that is not there was found")
	}
}

func TestParseRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":            `{`,
		"unknown type":       `"thing"`,
		"empty union":        `[]`,
		"deep":               strings.Repeat(`{"type":"array","items":`, 300) + `"int"` + strings.Repeat("}", 300),
		"large":              `"` + strings.Repeat("x", MaxSchemaSize) + `"`,
		"endless record":     `{"type":"record","name":"R","fields":[{"name":"r","type":"R"}]}`,
		"endless by two":     `{"type":"record","name":"R","fields":[{"name":"s","type":{"type":"record","name":"S","fields":[{"name":"r","type":"R"}]}}]}`,
		"same field twice":   `{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}`,
		"huge fixed":         `{"type":"fixed","name":"F","size":9000000000}`,
		"reference outwards": `{"type":"record","name":"R","fields":[{"name":"a","type":"other.Type"}]}`,
	} {
		if _, err := Parse(text); !errors.Is(err, ErrSchema) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The same name with another content, twice: no cache may remember it.
	for _, typ := range []string{"int", "string"} {
		s := mustParse(t, `{"type":"record","name":"Same","fields":[{"name":"a","type":"`+typ+`"}]}`)
		if s.Fields[0].Schema.Type.String() != typ {
			t.Errorf("got %s, want %s", s.Fields[0].Schema.Type, typ)
		}
	}
}
