package registry_test

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"tributary/internal/avro"
	"tributary/internal/golden"
	"tributary/registry"
)

// TestGoldenDebezium gives the embedded registry the schemas that real Debezium
// registered, under the ids that they had, and decodes every recorded key and
// value with what a client finds by the ids in headers or before the body. The
// values are those that Kafka Connect's own JSON converter wrote.
func TestGoldenDebezium(t *testing.T) {
	files, names := golden.Files(t, "debezium/*/*/*/records.jsonl")
	for i, file := range files {
		t.Run(path.Dir(names[i]), func(t *testing.T) { decodeAll(t, filepath.Dir(file)) })
	}
}

type recorded struct {
	Topic   string
	Headers []struct{ Key, ValueHex string }
	Key     *recordedData
	Value   *recordedData
}

type recordedData struct {
	Payload      any
	AvroIDIn     string
	AvroHex      string
	AvroSchemaID int64
	AvroSchema   string
	AvroError    string
}

func records(t *testing.T, dir string) []recorded {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "records.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var list []recorded
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 64<<20)
	for sc.Scan() {
		var r recorded
		dec := json.NewDecoder(bytes.NewReader(sc.Bytes()))
		dec.UseNumber()
		if err := dec.Decode(&r); err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

// archived makes an archive of the schemas as the recorded registry would have
// exported them.
func archived(t *testing.T, dir string, list []recorded) []byte {
	t.Helper()
	var schemas map[string]json.RawMessage
	text, err := os.ReadFile(filepath.Join(filepath.Dir(dir), "schemas.json"))
	if err == nil {
		err = json.Unmarshal(text, &schemas)
	}
	if err != nil {
		t.Fatal(err)
	}
	contents := make(map[int64]int64) // globalId -> contentId, where they were recorded
	if text, err := os.ReadFile(filepath.Join(dir, "registry.json")); err == nil {
		var artifacts []struct {
			Versions []struct{ GlobalID, ContentID int64 }
		}
		if err := json.Unmarshal(text, &artifacts); err != nil {
			t.Fatal(err)
		}
		for _, a := range artifacts {
			for _, v := range a.Versions {
				contents[v.GlobalID] = v.ContentID
			}
		}
	}
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	add := func(name string, v any) {
		w, err := z.Create(name)
		if err == nil {
			if raw, ok := v.(json.RawMessage); ok {
				_, err = w.Write(raw)
			} else {
				err = json.NewEncoder(w).Encode(v)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	orders, seen, byText := make(map[string]int), make(map[int64]bool), make(map[string]int64)
	for _, r := range list {
		for suffix, d := range map[string]*recordedData{"-key": r.Key, "-value": r.Value} {
			if d == nil || seen[d.AvroSchemaID] {
				continue
			}
			seen[d.AvroSchemaID] = true
			schema := schemas[d.AvroSchema]
			content, known := byText[d.AvroSchema]
			if !known {
				if content = contents[d.AvroSchemaID]; content == 0 {
					content = 1_000_000 + d.AvroSchemaID // not recorded
				}
				byText[d.AvroSchema] = content
				hash := fmt.Sprintf("hash-%d", content)
				add(hash+".Content.json", map[string]any{"contentId": content, "contentHash": hash, "canonicalHash": hash, "artifactType": "AVRO", "contentType": "application/json"})
				add(hash+".Content.data", schema)
			}
			artifact := r.Topic + suffix
			if orders[artifact]++; orders[artifact] == 1 {
				add(artifact+".Artifact.json", map[string]any{"groupId": nil, "artifactId": artifact, "artifactType": "AVRO"})
			}
			n := fmt.Sprint(orders[artifact])
			add(artifact+n+".ArtifactVersion.json", map[string]any{
				"groupId": nil, "artifactId": artifact, "version": n, "versionOrder": orders[artifact],
				"globalId": d.AvroSchemaID, "contentId": content, "state": "ENABLED",
			})
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func decodeAll(t *testing.T, dir string) {
	list := records(t, dir)
	base, _ := embedded(t)
	resp, err := http.Post(base+"/apis/registry/v3/admin/import", "application/zip", bytes.NewReader(archived(t, dir, list)))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		t.Fatal(resp.Status)
	}
	apis := map[string]registry.Options{"/apis/registry/v2": {}, "/apis/registry/v3": {}}
	if filepath.Base(dir) == "confluent-id" {
		// What as-confluent writes in 4 bytes unless use-id is given.
		for path := range apis {
			apis[path] = registry.Options{UseID: registry.UseGlobalID}
		}
	}
	for path, o := range apis {
		c := client(t, base+path, o)
		parsed := make(map[registry.ID]*avro.Schema)
		decoded := 0
		for i, r := range list {
			header := func(name string) []byte {
				for _, h := range r.Headers {
					if h.Key == name {
						raw, _ := hex.DecodeString(h.ValueHex)
						return raw
					}
				}
				return nil
			}
			for isKey, d := range map[bool]*recordedData{true: r.Key, false: r.Value} {
				if d == nil || d.AvroError != "" {
					continue
				}
				data, err := hex.DecodeString(d.AvroHex)
				if err != nil {
					t.Fatal(err)
				}
				id, body, err := registry.ParseHeader(data, isKey, header)
				if err != nil {
					t.Fatalf("record %d, key %v: %v", i, isKey, err)
				}
				if parsed[id] == nil {
					text, err := c.Schema(t.Context(), id)
					if err == nil {
						parsed[id], err = avro.Parse(text)
					}
					if err != nil {
						t.Fatalf("record %d, key %v: schema %s: %v", i, isKey, id, err)
					}
				}
				rest, value, err := generic(parsed[id], body)
				if err == nil && len(rest) > 0 {
					err = errors.New("bytes are left")
				}
				if err != nil {
					t.Errorf("record %d, key %v: %v", i, isKey, err)
				} else if diff := differs(value, d.Payload); diff != "" {
					t.Errorf("record %d of %s, key %v: %s", i, r.Topic, isKey, diff)
				}
				decoded++
			}
		}
		if decoded == 0 {
			t.Error("nothing to decode")
		}
	}
}

// generic decodes a body into what encoding/json decodes of Connect's JSON.
func generic(s *avro.Schema, src []byte) (rest []byte, value any, err error) {
	long := func() int64 {
		n, used := binary.Varint(src)
		if used <= 0 {
			err = errors.New("number is cut")
			return 0
		}
		src = src[used:]
		return n
	}
	take := func(n int64) []byte {
		if n < 0 || n > int64(len(src)) {
			err = fmt.Errorf("%d bytes of %d", n, len(src))
			return nil
		}
		out := src[:n]
		src = src[n:]
		return out
	}
	switch s.Type {
	case avro.Null:
	case avro.Boolean:
		value = bytes.Equal(take(1), []byte{1})
	case avro.Int, avro.Long:
		value = json.Number(fmt.Sprint(long()))
	case avro.Float:
		if b := take(4); err == nil {
			value = float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
		}
	case avro.Double:
		if b := take(8); err == nil {
			value = math.Float64frombits(binary.LittleEndian.Uint64(b))
		}
	case avro.Bytes:
		value = base64.StdEncoding.EncodeToString(take(long()))
	case avro.String:
		value = string(take(long()))
	case avro.Fixed:
		value = base64.StdEncoding.EncodeToString(take(int64(s.Size)))
	case avro.Enum:
		value = s.Symbols[long()]
	case avro.Union:
		if n := long(); err == nil && n >= 0 && n < int64(len(s.Branches)) {
			return generic(s.Branches[n], src)
		}
		err = errors.New("no such branch")
	case avro.Record:
		o := make(map[string]any)
		for _, f := range s.Fields {
			if src, o[f.Name], err = generic(f.Schema, src); err != nil {
				return src, nil, fmt.Errorf("%s: %w", f.Name, err)
			}
		}
		value = o
	case avro.Array, avro.Map:
		list, o := []any{}, make(map[string]any)
		for n := long(); err == nil && n != 0; n = long() {
			if n < 0 {
				n = -n
				long()
			}
			for ; n > 0 && err == nil; n-- {
				var v any
				key := ""
				if s.Type == avro.Map {
					key = string(take(long()))
				}
				src, v, err = generic(s.Items, src)
				list, o[key] = append(list, v), v
			}
		}
		if value = any(list); s.Type == avro.Map {
			value = o
		}
	}
	return src, value, err
}

// differs tells the first difference between a decoded value and Connect's.
func differs(got, want any) string {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok || len(g) != len(w) {
			return fmt.Sprintf("%v, want %v", got, want)
		}
		for k := range w {
			v, ok := g[k]
			if !ok {
				return "no field " + k
			}
			if d := differs(v, w[k]); d != "" {
				return k + ": " + d
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return fmt.Sprintf("%v, want %v", got, want)
		}
		for i := range w {
			if d := differs(g[i], w[i]); d != "" {
				return fmt.Sprintf("[%d] %s", i, d)
			}
		}
		return ""
	case string: // JSON has no number for it
		if f, ok := got.(float64); ok && strings.Replace(fmt.Sprint(f), "Inf", "Infinity", 1) == strings.Replace("+"+w, "+-", "-", 1) || w == "NaN" && math.IsNaN(f) {
			return ""
		}
	case json.Number:
		if f, ok := got.(float64); ok {
			x, _ := w.Float64()
			if float32(x) == float32(f) && (x == f || float64(float32(x)) == f) {
				return ""
			}
		}
	}
	if got != want {
		return fmt.Sprintf("%v (%T), want %v (%T)", got, got, want, want)
	}
	return ""
}
