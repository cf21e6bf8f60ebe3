package avrotext

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tributary/internal/golden"
)

// TestGoldenCompatible compares with what Avro's Java library says of pairs of
// schemas, in both directions: the verdict and each reason with its place.
func TestGoldenCompatible(t *testing.T) {
	type reason struct{ Type, Location, Message string }
	type pair struct {
		Name, Reader, Writer string
		Forth                []reason `json:"reader_reads_writer_incompatibilities"`
		Back                 []reason `json:"writer_reads_reader_incompatibilities"`
	}
	files, _ := golden.Files(t, "registry/avro_compat_pairs.json")
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var pairs []pair
		if err := json.Unmarshal(raw, &pairs); err != nil {
			var o struct{ Pairs []pair }
			if json.Unmarshal(raw, &o) != nil {
				t.Fatal(err)
			}
			pairs = o.Pairs
		}
		for _, p := range pairs {
			t.Run("registry/avro_compat_pairs/"+p.Name, func(t *testing.T) {
				reader, writer := mustParse(t, p.Reader), mustParse(t, p.Writer)
				for _, d := range []struct {
					reader, writer *Schema
					want           []reason
				}{{reader, writer, p.Forth}, {writer, reader, p.Back}} {
					got := make([]reason, 0)
					for _, i := range Compatible(d.reader, d.writer) {
						got = append(got, reason{i.Kind, i.Location, i.Message})
					}
					if diff := cmp.Diff(d.want, got); diff != "" {
						t.Error(diff)
					}
					// What breaks a rule is always explained by a change.
					if len(got) > 0 && !explained(d.writer, d.reader) {
						t.Errorf("no change explains why %s cannot read %s: %v", d.reader, d.writer, Changes(d.writer, d.reader))
					}
				}
			})
		}
	}
}

func mustParse(t *testing.T, text string) *Schema {
	t.Helper()
	s, err := Parse(text)
	if err != nil {
		t.Fatalf("Parse(%s): %v", text, err)
	}
	return s
}

func TestCompatibleBeyondThePairs(t *testing.T) {
	for _, c := range []struct{ name, reader, writer, want string }{
		{"alias of a namespaced record", `{"type":"record","name":"b.N","aliases":["a.O"],"fields":[]}`, `{"type":"record","name":"a.O","fields":[]}`, ""},
		{"mutually recursive", `{"type":"record","name":"A","fields":[{"name":"b","type":["null",{"type":"record","name":"B","fields":[{"name":"a","type":["null","A"]},{"name":"n","type":"int"}]}]}]}`,
			`{"type":"record","name":"A","fields":[{"name":"b","type":["null",{"type":"record","name":"B","fields":[{"name":"a","type":["null","A"]}]}]}]}`,
			"/fields/0/type/1"},
		{"one shared type, two places", `{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"array","items":"int"}},{"name":"b","type":{"type":"map","values":"int"}}]}`,
			`{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"array","items":"string"}},{"name":"b","type":{"type":"map","values":"string"}}]}`,
			"/fields/0/type/items /fields/1/type/values"},
		{"enum default of the reader", `{"type":"enum","name":"E","symbols":["A"],"default":"A"}`, `{"type":"enum","name":"E","symbols":["B"]}`, ""},
	} {
		var at []string
		for _, i := range Compatible(mustParse(t, c.reader), mustParse(t, c.writer)) {
			at = append(at, i.Location)
		}
		if got := strings.Join(at, " "); got != c.want {
			t.Errorf("%s: incompatible at %q, want %q", c.name, got, c.want)
		}
	}
}

func TestCheckDefaults(t *testing.T) {
	for text, ok := range map[string]bool{
		`{"type":"record","name":"R","fields":[{"name":"a","type":"int","default":1}]}`:                           true,
		`{"type":"record","name":"R","fields":[{"name":"a","type":"int","default":"x"}]}`:                         false,
		`{"type":"record","name":"R","fields":[{"name":"a","type":"int","default":3000000000}]}`:                  false,
		`{"type":"record","name":"R","fields":[{"name":"a","type":["null","string"],"default":null}]}`:            true,
		`{"type":"record","name":"R","fields":[{"name":"a","type":["null","string"],"default":7}]}`:               false,
		`{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"array","items":"R"},"default":[]}]}`:   true,
		`{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"map","values":"int"},"default":[1]}]}`: false,
		`{"type":"record","name":"R","fields":[{"name":"a","type":"double","default":"NaN"}]}`:                    true,
	} {
		if err := mustParse(t, text).CheckDefaults(); (err == nil) != ok {
			t.Errorf("CheckDefaults(%s) = %v", text, err)
		}
	}
}

// explained reports whether a change from an older schema to a newer one is
// told that the level BACKWARD forbids.
func explained(older, newer *Schema) bool {
	return slices.ContainsFunc(Changes(older, newer), func(c Change) bool { return c.Against("BACKWARD") && c.Remedy != "" })
}

func FuzzCompatible(f *testing.F) {
	f.Add(`{"type":"record","name":"A","fields":[{"name":"a","type":["null","A"]}]}`, `["null",{"type":"enum","name":"E","symbols":["X"]}]`)
	f.Fuzz(func(t *testing.T, a, b string) {
		r, err := Parse(a)
		if err != nil {
			return
		}
		_ = r.CheckDefaults()
		if found := Compatible(r, r); len(found) > 0 {
			t.Errorf("%s cannot read itself: %v", a, found)
		}
		if len(Changes(r, r)) > 0 || !SameLayout(r, r) {
			t.Errorf("%s differs from itself: %v", a, Changes(r, r))
		}
		if w, err := Parse(b); err == nil {
			if len(Compatible(r, w)) > 0 && SameLayout(r, w) {
				t.Errorf("%s has the layout of %s and cannot read it", a, b)
			}
			Changes(w, r)
		}
	})
}
