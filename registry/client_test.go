package registry_test

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tributary/internal/fault"
	"tributary/internal/golden"
	"tributary/registry"
	"tributary/registry/server"
)

// apis are the paths of the three APIs on the embedded server.
var apis = map[string]string{
	"apicurio v2": "/apis/registry/v2",
	"apicurio v3": "/apis/registry/v3",
	"confluent":   "/apis/ccompat/v7",
}

const sale = `{"type":"record","name":"Sale","namespace":"tickit","fields":[{"name":"id","type":"int"}]}`

// embedded runs the embedded registry; calls counts its requests.
func embedded(t *testing.T) (base string, calls *atomic.Int64) {
	t.Helper()
	s, err := server.Open(server.Config{File: filepath.Join(t.TempDir(), "registry.db")}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	calls = new(atomic.Int64)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		s.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		srv.Close()
		s.Close()
	})
	return srv.URL, calls
}

func client(t *testing.T, url string, o registry.Options) *registry.Client {
	t.Helper()
	c, err := registry.New(url, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRegisterAndLookUpOverEveryAPI(t *testing.T) {
	base, calls := embedded(t)
	var content int64
	for name, path := range apis {
		t.Run(name, func(t *testing.T) {
			c := client(t, base+path, registry.Options{})
			if err := c.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			id, err := c.Register(t.Context(), "tickit.sale-value", sale)
			if err != nil {
				t.Fatal(err)
			}
			if content == 0 {
				content = id.Content
			}
			if id.Content != content || (id.Global == 0) != (name == "confluent") {
				t.Errorf("registered as %s, want content id %d", id, content)
			}
			// Another client, which has nothing cached.
			other := client(t, base+path, registry.Options{})
			for range 3 {
				text, err := other.Schema(t.Context(), registry.ID{Content: content})
				if err != nil || text != sale {
					t.Fatalf("Schema = %s, %v", text, err)
				}
			}
			if id.Global != 0 {
				if text, err := other.Schema(t.Context(), registry.ID{Global: id.Global}); err != nil || text != sale {
					t.Fatalf("Schema by global id = %s, %v", text, err)
				}
			}
			before := calls.Load()
			for range 5 {
				if again, err := c.Register(t.Context(), "tickit.sale-value", sale); err != nil || again != id {
					t.Fatalf("registered again as %s, %v", again, err)
				}
				if _, err := c.Schema(t.Context(), registry.ID{Content: content}); err != nil {
					t.Fatal(err)
				}
			}
			if n := calls.Load() - before; n != 0 {
				t.Errorf("%d requests for what is cached", n)
			}
			_, err = other.Schema(t.Context(), registry.ID{Content: 12345})
			if !errors.Is(err, registry.ErrUnknownID) || !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "12345") {
				t.Errorf("unknown id: %v", err)
			}
		})
	}
}

func TestReferencesArePutInPlace(t *testing.T) {
	base, _ := embedded(t)
	post := func(artifact, text, refs string) {
		t.Helper()
		body, _ := json.Marshal(map[string]any{"artifactId": artifact, "artifactType": "AVRO", "firstVersion": map[string]any{
			"content": map[string]any{"content": text, "contentType": "application/json", "references": json.RawMessage(refs)}}})
		resp, err := http.Post(base+"/apis/registry/v3/groups/default/artifacts", "application/json", strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status)
		}
	}
	ref := func(name string) string {
		return fmt.Sprintf(`{"groupId":"default","artifactId":%q,"version":"1","name":%q}`, name, name)
	}
	post("a.Source", `{"type":"record","name":"Source","namespace":"a","fields":[{"name":"ts","type":"long"}]}`, `[]`)
	post("a.Value", `{"type":"record","name":"Value","namespace":"a","fields":[{"name":"s","type":"Source"},{"name":"x","type":"int","k":"<v>"}]}`, `[`+ref("a.Source")+`]`)
	post("env", `{"type":"record","name":"Envelope","namespace":"a.b","fields":[{"name":"before","type":["null","a.Value"]},{"name":"after","type":["null","a.Value"]},{"name":"s","type":{"type":"array","items":"a.Source"}}]}`,
		`[`+ref("a.Value")+`,`+ref("a.Source")+`]`)
	want := `{"type":"record","name":"Envelope","namespace":"a.b","fields":[{"name":"before","type":["null",` +
		`{"type":"record","name":"Value","namespace":"a","fields":[{"name":"s","type":{"type":"record","name":"Source","namespace":"a","fields":[{"name":"ts","type":"long"}]}},{"name":"x","type":"int","k":"<v>"}]}]},` +
		`{"name":"after","type":["null","a.Value"]},{"name":"s","type":{"type":"array","items":"a.Source"}}]}`
	for name, path := range apis {
		text, err := client(t, base+path, registry.Options{}).Schema(t.Context(), registry.ID{Content: 3})
		if err != nil || text != want {
			t.Errorf("%s:\n%s, %v, want\n%s", name, text, err, want)
		}
	}
}

func TestEqualRequestsInFlightAreMadeOnce(t *testing.T) {
	var calls atomic.Int64
	gate := make(chan bool)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		<-gate
		fmt.Fprint(w, `{"id":7}`)
	}))
	defer srv.Close()
	c := client(t, srv.URL, registry.Options{})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if id, err := c.Register(t.Context(), "a", sale); err != nil || id.Content != 7 {
				t.Errorf("Register = %s, %v", id, err)
			}
		})
	}
	time.Sleep(50 * time.Millisecond)
	close(gate)
	wg.Wait()
	if n := calls.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestRetriesUntilTheRegistryIsBack(t *testing.T) {
	var calls atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) < 4 {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, `{"id":7}`)
	}))
	defer srv.Close()
	var log strings.Builder
	c := client(t, srv.URL, registry.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if id, err := c.Register(t.Context(), "a", sale); err != nil || id.Content != 7 {
		t.Fatalf("Register = %s, %v", id, err)
	}
	if n := strings.Count(log.String(), "\n"); n != 2 {
		t.Errorf("%d lines logged, want the failure and the recovery:\n%s", n, log.String())
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	answer := func(status int, body string) string {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}))
		t.Cleanup(srv.Close)
		return srv.URL
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	for name, c := range map[string]struct {
		url   string
		human bool
		want  string // in the error
		hint  string // in the hint
	}{
		"unreachable":           {gone.URL, false, gone.URL, ""},
		"server error":          {answer(500, `{"error_code":50001,"message":"store broken"}`), false, "500: store broken", ""},
		"wrong password":        {answer(401, `{"error_code":401,"message":"Unauthorized"}`), true, "401", "password"},
		"incompatible":          {answer(409, `{"error_code":409,"message":"Incompatible","causes":[{"description":"missing default","context":"/fields/5"}]}`), true, "/fields/5 missing default", "compatibility rule"},
		"incompatible, v3":      {answer(400, `{"title":"Incompatible","status":400,"name":"RuleViolationException"}`) + "/apis/registry/v3", true, "Incompatible", "compatibility rule"},
		"not a registry":        {answer(200, `<html>`), true, "read the registry's answer", "URL"},
		"no such path":          {answer(404, ``), true, "404", "URL"},
		"invalid schema":        {answer(422, `{"error_code":42201,"message":"invalid"}`), true, "422: invalid", "message"},
		"an impossible answer":  {answer(200, `{"id":-3}`), false, "impossible id -3", ""},
		"an answer without ids": {answer(200, `{}`), false, "impossible id 0", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client(t, c.url, registry.Options{Patience: 200 * time.Millisecond}).Register(t.Context(), "a-value", sale)
			if err == nil || fault.NeedsHuman(err) != c.human || !strings.Contains(err.Error(), c.want) ||
				!strings.Contains(err.Error(), "a-value") || !strings.Contains(fault.Hint(err), c.hint) {
				t.Errorf("error %v (human: %v, hint: %s)", err, fault.NeedsHuman(err), fault.Hint(err))
			}
		})
	}
	for _, bad := range []string{"", "localhost:8080", "ftp://x/", "http://"} {
		if _, err := registry.New(bad, registry.Options{}); !fault.NeedsHuman(err) {
			t.Errorf("New(%q) = %v", bad, err)
		}
	}
}

func TestCredentialsAreSentAndNotShown(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != "me" || p != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	defer srv.Close()
	url := strings.Replace(srv.URL, "http://", "http://me:secret@", 1)
	_, err := client(t, url, registry.Options{}).Register(t.Context(), "a", sale)
	if err == nil || !strings.Contains(err.Error(), "404") || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v", err)
	}
}

func TestFormatsRoundTrip(t *testing.T) {
	id := registry.ID{Content: 7, Global: 1 << 30, UUID: registry.UUID{1, 2}}
	body := []byte{0x0e, 0x02, 0x02, 0x78}
	var packer registry.Packer
	for f, want := range map[registry.Format]registry.ID{
		registry.Confluent: {Content: id.Content}, registry.ConfluentGlobal: {Content: id.Global}, // as the bytes alone can tell
		registry.Apicurio: {Global: id.Global}, registry.ApicurioContent: {Global: id.Content},
		registry.ApicurioHeaders: {Global: id.Global}, registry.ApicurioHeadersContent: {Content: id.Content},
		registry.Glue: {UUID: id.UUID}, registry.GlueZlib: {UUID: id.UUID},
	} {
		for _, isKey := range []bool{false, true} {
			if err := f.Check(id); err != nil {
				t.Fatal(err)
			}
			headers := f.Headers(id, isKey)
			value := append(f.AppendHeader(nil, id), body...)
			if f == registry.GlueZlib {
				value = packer.Pack(nil, value)
			}
			got, rest, err := registry.ParseHeader(value, isKey, func(name string) []byte {
				for _, h := range headers {
					if h.Key == name {
						return h.Value
					}
				}
				return nil
			})
			if err != nil || got != want || string(rest) != string(body) {
				t.Errorf("%s: %s, %x, %v", f, got, rest, err)
			}
		}
	}
	for _, bad := range [][]byte{{}, {0}, {0, 0, 0, 0, 0}, {1, 0, 0, 0, 1}, {3, 0, 1, 2, 3, 4}, {0, 0xff, 0xff, 0xff, 0xff, 1}} {
		if _, _, err := registry.ParseHeader(bad, false, nil); !errors.Is(err, registry.ErrNoID) {
			t.Errorf("ParseHeader(%x) = %v", bad, err)
		}
	}
	if err := registry.Apicurio.Check(registry.ID{Content: 3}); !fault.NeedsHuman(err) {
		t.Errorf("apicurio format without a global id: %v", err)
	}
}

// TestGoldenWire parses what real serializers put on the wire.
func TestGoldenWire(t *testing.T) {
	files, _ := golden.Files(t, "registry/serde_calls/wire-*.jsonl")
	wire := regexp.MustCompile(`^wire=([0-9a-f]+)`)
	header := regexp.MustCompile(`(apicurio\.[a-zA-Z.]+)=([0-9a-f]+)`)
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for sc := bufio.NewScanner(f); sc.Scan(); {
			var c struct{ Client, Case, Detail string }
			if err := json.Unmarshal(sc.Bytes(), &c); err != nil {
				t.Fatal(err)
			}
			m := wire.FindStringSubmatch(c.Detail)
			if m == nil {
				continue
			}
			t.Run(fmt.Sprintf("registry/%s/%s/%s", strings.TrimSuffix(filepath.Base(file), ".jsonl"), c.Client, c.Case), func(t *testing.T) {
				data, _ := hex.DecodeString(m[1])
				headers := make(map[string][]byte)
				for _, h := range header.FindAllStringSubmatch(c.Detail, -1) {
					headers[h[1]], _ = hex.DecodeString(h[2])
				}
				isKey := strings.Contains(c.Detail, "apicurio.key.")
				id, body, err := registry.ParseHeader(data, isKey, func(name string) []byte { return headers[name] })
				if err != nil {
					t.Fatal(err)
				}
				// Every one of these bodies begins like one of the recorded records.
				if text := hex.EncodeToString(body); !strings.HasPrefix(text, "0e0202") && !strings.HasPrefix(text, "0002") {
					t.Errorf("id %s, body %s", id, text)
				}
				prefix := len(data) - len(body)
				global := strings.Contains(c.Detail, ".globalId=") || prefix == 9
				if global != (id.Global != 0) || prefix == 5 && (id.Content == 0 || id.Content > 1000) {
					t.Errorf("%d bytes before the body, %s", prefix, id)
				}
			})
		}
	}
}

func FuzzParseHeader(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 1, 2}, []byte(nil))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 1, 2}, []byte("12345678"))
	f.Add(registry.Glue.AppendHeader(nil, registry.ID{UUID: registry.UUID{1}}), []byte(nil))
	var p registry.Packer
	f.Add(append([]byte{3, 0}, make([]byte, 16)...), []byte(nil)) // no id
	f.Add([]byte{0, 0, 0, 0, 1}, make([]byte, 8))
	f.Add(p.Pack(nil, append(registry.GlueZlib.AppendHeader(nil, registry.ID{UUID: registry.UUID{1}}), "body"...)), []byte(nil))
	f.Fuzz(func(t *testing.T, data, header []byte) {
		id, body, err := registry.ParseHeader(data, false, func(string) []byte { return header })
		if err == nil && (id == registry.ID{} || len(body) > len(data) && id.UUID == registry.UUID{}) {
			t.Errorf("ParseHeader(%x) = %s, %x", data, id, body)
		}
	})
}

func BenchmarkParseHeader(b *testing.B) {
	data := registry.Confluent.AppendHeader(nil, registry.ID{Content: 7})
	data = append(data, make([]byte, 100)...)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := registry.ParseHeader(data, false, nil); err != nil {
			b.Fatal(err)
		}
	}
}
