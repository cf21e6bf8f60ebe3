package avrotext

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"tributary/internal/golden"
)

// What Apicurio 3.3.3 answered to content/canonicalize.
func TestGoldenCanonical(t *testing.T) {
	files, _ := golden.Files(t, "registry/transcripts/apicurio-3.3/v3/system.jsonl")
	f, err := os.Open(files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var c struct {
			Request  struct{ Path, Body string }
			Response struct{ Body string }
		}
		if err := json.Unmarshal(sc.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(c.Request.Path, "/content/canonicalize") {
			continue
		}
		n++
		got, err := Canonical(c.Request.Body)
		if err != nil || got != c.Response.Body {
			t.Errorf("got  %s, %v\nwant %s", got, err, c.Response.Body)
		}
		if again, err := Canonical(got); err != nil || again != got {
			t.Errorf("not stable: %s, %v", again, err)
		}
	}
	if n == 0 {
		t.Error("no recorded call")
	}
}

func TestPrint(t *testing.T) {
	for in, want := range map[string]string{
		`"int"`:                               `"int"`,
		` {"type":"int"} `:                    `"int"`,
		`{"logicalType":"date","type":"int"}`: `{"type":"int","logicalType":"date"}`,
		`["null",{"items":{"type":"string"},"type":"array","x":[1,1.50,"<"]}]`: `["null",{"type":"array","items":"string","x":[1,1.50,"<"]}]`,
		`{"name":"a.b.R","type":"record","doc":"d","p":1,"fields":[{"type":"a.b.R","name":"self","default":null,"doc":"f","aliases":["s"]},{"name":"e","type":{"type":"enum","name":"E","symbols":["X"],"default":"X"}},{"name":"f","type":{"type":"fixed","name":"c.F","size":3}},{"name":"g","type":"c.F","order":"ignore"},{"name":"h","type":"E"}]}`: `{"type":"record","name":"R","namespace":"a.b","doc":"d","fields":[{"name":"self","type":"R","doc":"f","default":null,"aliases":["s"]},{"name":"e","type":{"type":"enum","name":"E","symbols":["X"],"default":"X"}},{"name":"f","type":{"type":"fixed","name":"F","namespace":"c","size":3}},{"name":"g","type":"c.F","order":"ignore"},{"name":"h","type":"E"}],"p":1}`,
	} {
		if got, err := Print(in); err != nil || got != want {
			t.Errorf("Print(%s)\n got %s, %v\nwant %s", in, got, err, want)
		}
	}
}

func TestWhatIsNoSchema(t *testing.T) {
	for _, in := range []string{
		``, `nosuch`, `"nosuch"`, `{}`, `1`, `{"type":"record","name":"R"}`, `{"type":"record","fields":[]}`,
		`{"type":"record","name":"R","fields":[{"name":"a"}]}`, `{"type":"record","name":"1","fields":[]}`,
		`{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}`,
		`{"type":"array"}`, `{"type":"enum","name":"E","symbols":[1]}`, `{"type":"fixed","name":"F","size":-1}`,
		`[["int"]]`, `"int" "int"`, `{"type":"record","name":"R","fields":[{"name":"r","type":{"type":"record","name":"R","fields":[]}}]}`,
		strings.Repeat(`[`, 100_000), strings.Repeat(`{"type":`, 10_000),
	} {
		if got, err := Print(in); !errors.Is(err, ErrNotAvro) {
			t.Errorf("Print(%.60s) = %s, %v", in, got, err)
		}
	}
	var unknown *UnknownTypeError
	if _, err := Print(`{"type":"map","values":"a.B"}`); !errors.As(err, &unknown) || unknown.Name != "a.B" {
		t.Errorf("undefined type: %v", err)
	}
}

func FuzzPrint(f *testing.F) {
	f.Add(`{"type":"record","name":"a.R","fields":[{"name":"x","type":["null","R"],"default":null}]}`)
	f.Add(`{"type":{"type":"enum","name":"E","symbols":["A"]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		once, err := Print(text)
		if err != nil {
			return
		}
		if twice, err := Print(once); err != nil || twice != once {
			t.Errorf("Print(%s) = %s, then %s, %v", text, once, twice, err)
		}
		if _, err := Resolve(text, map[string]string{"a.R": text, "E": once}); err != nil {
			t.Errorf("Resolve(%s): %v", text, err)
		}
	})
}

// The parser takes what encoding/json takes, and reads the same.
func FuzzParseJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,-2.50e+3,"\u00e4\ud83d\ude00\n",true,null,{}],"a":0}`, "[1,]", `{"a"}`, "\"\xff\"", "01", `"\`, ` [ ] `, "1 2", "nulll", "{\"a\":1,}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseJSON(text)
		if Depth([]byte(text)) > MaxDepth {
			return
		}
		if valid := json.Valid([]byte(text)); valid != (err == nil) {
			t.Fatalf("parseJSON(%q) = %v, valid is %v", text, err, valid)
		}
		if err != nil {
			return
		}
		var want, have any
		dec := json.NewDecoder(strings.NewReader(text))
		dec.UseNumber()
		if err := dec.Decode(&want); err != nil {
			t.Fatal(err)
		}
		dec = json.NewDecoder(strings.NewReader(string(appendJSON(nil, got))))
		dec.UseNumber()
		if err := dec.Decode(&have); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(want, have) {
			t.Fatalf("parseJSON(%q) = %#v, want %#v", text, have, want)
		}
	})
}

func BenchmarkCanonical(b *testing.B) {
	text := `{"type":"record","name":"E","namespace":"a.b","fields":[` + strings.Repeat(`{"name":"f","type":["null",{"type":"long","connect.version":1,"connect.name":"io.debezium.time.MicroTimestamp"}],"default":null},`, 1)
	for i := range 24 {
		text += `{"name":"c` + strings.Repeat("x", i) + `","type":["null",{"type":"bytes","scale":2,"precision":8,"connect.version":1,"logicalType":"decimal"}],"default":null},`
	}
	text = strings.TrimSuffix(text, ",") + "]}"
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Canonical(text); err != nil {
			b.Fatal(err)
		}
	}
}
