package avro

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"tributary/internal/column"
	"tributary/internal/golden"
)

// The records of a real Debezium: each is given as JSON and as the Avro bytes
// that its converter wrote.
type goldenSide struct {
	Payload    json.RawMessage `json:"payload"`
	AvroHex    string          `json:"avroHex"`
	AvroSchema string          `json:"avroSchema"`
	AvroIDIn   string          `json:"avroIdIn"`
}

type goldenRecord struct {
	Topic string      `json:"topic"`
	Key   *goldenSide `json:"key"`
	Value *goldenSide `json:"value"`
}

func (g *goldenSide) body(t testing.TB) []byte {
	b, err := hex.DecodeString(g.AvroHex)
	if err != nil {
		t.Fatal(err)
	}
	switch g.AvroIDIn {
	case "payload8":
		return b[9:]
	case "payload4":
		return b[5:]
	}
	return b
}

func readGolden(t testing.TB, file string) (schemas map[string]*Schema, records []goldenRecord) {
	text, err := os.ReadFile(filepath.Join(filepath.Dir(file), "..", "schemas.json"))
	if err != nil {
		t.Fatal(err)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		t.Fatal(err)
	}
	schemas = map[string]*Schema{}
	for name, s := range raw {
		if !strings.HasPrefix(name, "avro-") {
			continue
		}
		if schemas[name], err = Parse(string(s)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	in.Buffer(nil, 64<<20)
	for in.Scan() {
		var r goldenRecord
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	return schemas, records
}

// leaves lists every scalar field of a record, also inside nullable records.
func leaves(s *Schema, prefix string, out []Target) []Target {
	for _, f := range s.Fields {
		n := f.Schema.NonNull()
		if n.Type == Record {
			out = leaves(n, prefix+f.Name+".", out)
			continue
		}
		kind, _ := f.Schema.Kind()
		out = append(out, Target{Path: prefix + f.Name, Kind: kind})
	}
	return out
}

// TestGoldenWalk reads every recorded key and value into columns and compares
// each scalar with what Debezium's JSON says.
func TestGoldenWalk(t *testing.T) {
	files, names := golden.Files(t, "debezium/*/*/*/records.jsonl")
	for i, file := range files {
		t.Run(path.Dir(names[i]), func(t *testing.T) {
			schemas, records := readGolden(t, file)
			compared := 0
			for _, r := range records {
				for _, side := range []*goldenSide{r.Key, r.Value} {
					if side != nil && side.AvroHex != "" {
						compared += compareGolden(t, schemas[side.AvroSchema], side)
					}
				}
			}
			if compared == 0 {
				t.Error("nothing compared")
			}
		})
	}
}

func compareGolden(t *testing.T, s *Schema, side *goldenSide) int {
	t.Helper()
	if s.Type != Record {
		if err := Check(s, side.body(t)); err != nil {
			t.Errorf("a value of type %s: %v", s.Type, err)
		}
		return 1
	}
	targets := leaves(s, "", nil)
	plan, err := Compile(s, targets)
	if err != nil {
		t.Fatal(err)
	}
	b := plan.NewBatch()
	rest, err := plan.Walk(side.body(t), b)
	if err != nil || len(rest) != 0 || b.Len != 1 {
		t.Fatalf("%s: %v, %d bytes left", s.Name, err, len(rest))
	}
	if err := Check(s, side.body(t)); err != nil {
		t.Errorf("skip %s: %v", s.Name, err)
	}
	var payload any
	d := json.NewDecoder(strings.NewReader(string(side.Payload)))
	d.UseNumber()
	if err := d.Decode(&payload); err != nil {
		t.Fatal(err)
	}
	for i, target := range targets {
		want := payload
		for name := range strings.SplitSeq(target.Path, ".") {
			m, ok := want.(map[string]any)
			if !ok {
				want = nil
				break
			}
			want = field(m, name)
		}
		if got := goldenText(s.Lookup(target.Path).NonNull(), &b.Cols[i]); got != wantText(s.Lookup(target.Path).NonNull(), want) {
			t.Errorf("%s.%s: got %s, want %s", s.Name, target.Path, got, wantText(s.Lookup(target.Path).NonNull(), want))
		}
	}
	return len(targets)
}

// field finds a field by its Avro name: the converter replaces what Avro does
// not allow in a name by "_".
func field(m map[string]any, name string) any {
	if v, ok := m[name]; ok {
		return v
	}
	keys := slices.Collect(func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	})
	sort.Strings(keys)
	for _, k := range keys {
		if len(k) == len(name) || len([]rune(k)) == len(name) {
			fit := true
			for i, r := range []rune(k) {
				fit = fit && i < len(name) && (rune(name[i]) == r || name[i] == '_')
			}
			if fit {
				return m[k]
			}
		}
	}
	return nil
}

func goldenText(s *Schema, c *column.Column) string {
	switch {
	case c.IsNull(0):
		return "null"
	case s.Type == Array || s.Type == Map || s.Type == Union:
		return "whole"
	case s.Type == Boolean:
		return fmt.Sprint(c.Ints[0] == 1)
	case c.Kind == column.Int:
		return fmt.Sprint(c.Ints[0])
	case c.Kind == column.Float:
		return fmt.Sprint(c.Floats[0])
	case s.Type == Bytes || s.Type == Fixed:
		return base64.StdEncoding.EncodeToString(c.Value(0))
	default:
		return string(c.Value(0))
	}
}

func wantText(s *Schema, v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case json.Number:
		if s.Type == Float || s.Type == Double {
			f, _ := v.Float64()
			if s.Type == Float {
				f = float64(float32(f))
			}
			return fmt.Sprint(f)
		}
		return v.String()
	case bool:
		return fmt.Sprint(v)
	case string:
		if s.Type == Float || s.Type == Double { // "NaN", "Infinity"
			return map[string]string{"NaN": fmt.Sprint(math.NaN()), "Infinity": "+Inf", "-Infinity": "-Inf"}[v]
		}
		return v
	default:
		return "whole"
	}
}
