package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"tributary/internal/config"
	"tributary/internal/fault"
)

var quiet = slog.New(slog.DiscardHandler)

func serveTest(t *testing.T, c Config) string {
	t.Helper()
	if c.File == "" {
		c.File = filepath.Join(t.TempDir(), "registry.db")
	}
	s, err := Open(c, quiet)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(func() {
		srv.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return srv.URL
}

func schemaText(n int) string {
	return fmt.Sprintf(`{"type":"record","name":"R%d","namespace":"a.b","fields":[{"name":"id","type":"int"}]}`, n)
}

// register posts a schema by v2 and returns (contentId, globalId).
func register(client *http.Client, base, artifact, text string) (content, global int64, err error) {
	req, err := http.NewRequest(http.MethodPost, base+v2Base+"/groups/default/artifacts?ifExists=RETURN_OR_UPDATE", strings.NewReader(text))
	if err != nil {
		return 0, 0, err
	}
	req.Header.Set("X-Registry-ArtifactId", artifact)
	resp, err := client.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, 0, err
	}
	var m v2Meta
	if err := json.Unmarshal(body, &m); err != nil || resp.StatusCode != http.StatusOK {
		return 0, 0, fmt.Errorf("status %d: %s", resp.StatusCode, body)
	}
	return m.ContentID, m.GlobalID, nil
}

func TestConcurrentRegistrationsOfOneSchemaGetOneID(t *testing.T) {
	base := serveTest(t, Config{})
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	const clients, schemas = 100, 20
	var mu sync.Mutex
	ids := make(map[int]map[[2]int64]bool)
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for n := range schemas {
				c, g, err := register(client, base, fmt.Sprint("topic-", n), schemaText(n))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if ids[n] == nil {
					ids[n] = make(map[[2]int64]bool)
				}
				ids[n][[2]int64{c, g}] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	seen := make(map[int64]bool)
	for n := range schemas {
		if len(ids[n]) != 1 {
			t.Errorf("schema %d got the ids %v", n, ids[n])
		}
		for id := range ids[n] {
			if seen[id[0]] {
				t.Errorf("content id %d was given twice", id[0])
			}
			seen[id[0]] = true
		}
	}
}

// Confluent's API, as the client of another project speaks it.
func TestConfluentClient(t *testing.T) {
	base := serveTest(t, Config{})
	cl, err := sr.NewClient(sr.URLs(base + "/apis/ccompat/v7"))
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	first := sr.Schema{Schema: schemaText(1)}
	s, err := cl.CreateSchema(ctx, "t-value", first)
	if err != nil {
		t.Fatal(err)
	}
	again, err := cl.CreateSchema(ctx, "t-value", sr.Schema{Schema: strings.ReplaceAll(schemaText(1), ":", " : ")})
	if err != nil || again.ID != s.ID || again.Version != 1 {
		t.Fatalf("reformatted schema: %+v, %v, want id %d version 1", again, err, s.ID)
	}
	if _, err := cl.CreateSchema(ctx, "t-value", sr.Schema{Schema: schemaText(2)}); err != nil {
		t.Fatal(err)
	}
	found, err := cl.LookupSchema(ctx, "t-value", first)
	if err != nil || found.ID != s.ID || found.Version != 1 {
		t.Fatalf("LookupSchema = %+v, %v", found, err)
	}
	latest, err := cl.SchemaByVersion(ctx, "t-value", -1)
	if err != nil || latest.Version != 2 || latest.Schema.Schema != schemaText(2) {
		t.Fatalf("latest = %+v, %v", latest, err)
	}
	if text, err := cl.SchemaTextByVersion(ctx, "t-value", 1); err != nil || text != schemaText(1) {
		t.Fatalf("text of version 1 = %s, %v", text, err)
	}
	if names, err := cl.SubjectsByID(ctx, s.ID); err != nil || len(names) != 1 || names[0] != "t-value" {
		t.Fatalf("SubjectsByID = %v, %v", names, err)
	}
	_, err = cl.CreateSchema(ctx, "t-value", sr.Schema{Schema: `{"type":"record","name":"X","fields":[{"name":"a","type":"nosuch"}]}`})
	if re, ok := errors.AsType[*sr.ResponseError](err); !ok || re.ErrorCode != 42201 {
		t.Fatalf("invalid schema: %v", err)
	}
	// With a reference.
	ref := sr.SchemaReference{Name: "a.b.R1", Subject: "t-value", Version: 1}
	outer := sr.Schema{Schema: `{"type":"record","name":"O","namespace":"a.b","fields":[{"name":"r","type":"a.b.R1"}]}`, References: []sr.SchemaReference{ref}}
	o, err := cl.CreateSchema(ctx, "o-value", outer)
	if err != nil || len(o.References) != 1 || o.References[0] != ref {
		t.Fatalf("schema with reference = %+v, %v", o, err)
	}
	by, err := cl.SchemaReferences(ctx, "t-value", 1)
	if err != nil || len(by) != 1 || by[0].ID != o.ID {
		t.Fatalf("SchemaReferences = %+v, %v", by, err)
	}
}

func TestHostileRequests(t *testing.T) {
	base := serveTest(t, Config{MaxSchema: 1 << 20})
	deep := strings.Repeat(`{"type":"array","items":`, 100_000/25) + `"int"` + strings.Repeat("}", 100_000/25)
	for name, c := range map[string]struct {
		method, path, body string
		status             int
	}{
		"body too large":          {"POST", "/apis/registry/v2/groups/g/artifacts", strings.Repeat("x", 10<<20+1), 413},
		"body too large, ccompat": {"POST", "/apis/ccompat/v7/subjects/s/versions", strings.Repeat("x", 10<<20+1), 413},
		"deep schema":             {"POST", "/apis/ccompat/v7/subjects/s/versions", `{"schema":` + string(mustJSON(deep)) + `}`, 422},
		"deep body":               {"POST", "/apis/ccompat/v7/subjects/s/versions", strings.Repeat("[", 500_000), 400},
		"long id":                 {"POST", "/apis/registry/v3/groups/" + strings.Repeat("g", 600) + "/artifacts", `{"artifactId":"a"}`, 400},
		"id beyond 64 bits":       {"GET", "/apis/registry/v2/ids/globalIds/99999999999999999999", "", 404},
		"negative id":             {"GET", "/apis/registry/v3/ids/contentIds/-1", "", 404},
		"wrong method":            {"DELETE", "/apis/registry/v2/system/info", "", 405},
		"negative limit":          {"GET", "/apis/registry/v3/groups?limit=-1", "", 200},
		"limit no number":         {"GET", "/apis/registry/v3/groups?limit=x", "", 404},
		"10 MB schema, v2":        {"POST", "/apis/registry/v2/groups/g/artifacts", `{"type":"record","name":"R","doc":"` + strings.Repeat("d", 10_000_000) + `","fields":[]}`, 413},
		"depth 10,000, v2":        {"POST", "/apis/registry/v2/groups/g/artifacts", strings.Repeat(`{"type":"array","items":`, 10_000) + `"int"` + strings.Repeat("}", 10_000), 422},
		"no associations":         {"GET", "/apis/ccompat/v7/associations/resources/-/t?resourceType=topic", "", 404},
		"escaped subject":         {"POST", "/apis/ccompat/v7/subjects/a%2Fb/versions", `{"schema":"\"int\""}`, 200},
		"version of no such":      {"GET", "/apis/ccompat/v7/subjects/none/versions/latest", "", 404},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequest(c.method, base+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != c.status {
				body, _ := io.ReadAll(resp.Body)
				t.Errorf("status %d, want %d: %.300s", resp.StatusCode, c.status, body)
			}
			if strings.Contains(name, "ccompat") {
				if body, _ := io.ReadAll(resp.Body); !strings.Contains(string(body), `"error_code":413`) {
					t.Errorf("%s", body)
				}
			}
		})
	}
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func TestSecondServerOnTheFileIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "registry.db")
	serveTest(t, Config{File: file})
	if _, err := Open(Config{File: file}, quiet); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), file) {
		t.Fatalf("second Open = %v", err)
	}
}

func TestRunEndsWithItsContextAfterRequestsUnderWay(t *testing.T) {
	started, release := make(chan bool), make(chan bool)
	slow := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(started)
		<-release
		fmt.Fprint(w, "done")
	})
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, lis, slow) }()
	got := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + lis.Addr().String())
		if err != nil {
			got <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		got <- string(body)
	}()
	<-started
	cancel()
	close(release)
	if text := <-got; text != "done" {
		t.Errorf("request under way got %q", text)
	}
	if err := <-ended; err != nil {
		t.Errorf("serve = %v", err)
	}
}

// TestKill kills a server's process during writes, again and again: what was
// acknowledged is there afterwards, under the same ids, and no id is used for
// anything else.
func TestKill(t *testing.T) {
	if file := os.Getenv("REGISTRY_KILL_FILE"); file != "" {
		runChild(t, file)
		return
	}
	file := filepath.Join(t.TempDir(), "registry.db")
	acked := make(map[int][2]int64)
	for round := range 10 {
		base, kill := startChild(t, file)
		if round > 0 {
			checkAcked(t, base, acked)
		}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for n := 0; ; n++ {
					i := round*100_000 + w*10_000 + n
					c, g, err := register(http.DefaultClient, base, fmt.Sprint("s", i), schemaText(i))
					if err != nil {
						return
					}
					mu.Lock()
					acked[i] = [2]int64{c, g}
					mu.Unlock()
				}
			})
		}
		time.Sleep(time.Duration(50+37*round) * time.Millisecond)
		kill()
		wg.Wait()
	}
	base, kill := startChild(t, file)
	defer kill()
	checkAcked(t, base, acked)
	t.Logf("%d registrations were acknowledged", len(acked))
	if len(acked) < 50 {
		t.Errorf("only %d registrations were acknowledged: the test proves little", len(acked))
	}
}

func checkAcked(t *testing.T, base string, acked map[int][2]int64) {
	t.Helper()
	owner := make(map[int64]int)
	for n, ids := range acked {
		if other, ok := owner[ids[0]]; ok {
			t.Fatalf("content id %d stands for schemas %d and %d", ids[0], n, other)
		}
		owner[ids[0]] = n
		c, g, err := register(http.DefaultClient, base, fmt.Sprint("s", n), schemaText(n))
		if err != nil || c != ids[0] || g != ids[1] {
			t.Fatalf("schema %d has the ids %d, %d (%v), was acknowledged with %v", n, c, g, err, ids)
		}
	}
}

func startChild(t *testing.T, file string) (base string, kill func()) {
	t.Helper()
	base, _, kill = startServer(t, file)
	return base, kill
}

// startServer runs a server in a process of its own.
func startServer(t testing.TB, file string) (base string, pid int, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
	cmd.Env = append(os.Environ(), "REGISTRY_KILL_FILE="+file)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	t.Cleanup(kill)
	for sc := bufio.NewScanner(out); sc.Scan(); {
		if addr, ok := strings.CutPrefix(sc.Text(), "listening on "); ok {
			return "http://" + addr, cmd.Process.Pid, kill
		}
	}
	t.Fatalf("child did not start: %s", stderr.String())
	return "", 0, nil
}

func runChild(t *testing.T, file string) {
	debug.SetMemoryLimit(MemoryLimit) // as the daemon does
	s, err := Open(Config{File: file}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("listening on %s\n", lis.Addr())
	go func() { _ = s.store.trim(context.Background()) }()
	t.Fatal(http.Serve(lis, s))
}

func BenchmarkRegisterKnown(b *testing.B) {
	s, err := Open(Config{File: filepath.Join(b.TempDir(), "registry.db")}, quiet)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.ReportAllocs()
	text := debezium(1)
	for b.Loop() {
		req := httptest.NewRequest(http.MethodPost, v2Base+"/groups/default/artifacts?ifExists=RETURN_OR_UPDATE", strings.NewReader(text))
		req.Header.Set("X-Registry-ArtifactId", "a")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, req)
		if w.Code != http.StatusOK {
			b.Fatal(w.Body)
		}
	}
}

func BenchmarkRegisterNew(b *testing.B) {
	s, err := Open(Config{File: filepath.Join(b.TempDir(), "registry.db")}, quiet)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.ReportAllocs()
	b.SetParallelism(50)
	var n atomic.Int64
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			i := int(n.Add(1))
			req := httptest.NewRequest(http.MethodPost, v2Base+"/groups/default/artifacts?ifExists=RETURN_OR_UPDATE", strings.NewReader(debezium(i)))
			req.Header.Set("X-Registry-ArtifactId", fmt.Sprint("a", i))
			w := httptest.NewRecorder()
			s.ServeHTTP(w, req)
			if w.Code != http.StatusOK {
				b.Fatal(w.Body)
			}
		}
	})
}

// FuzzRequest asks for anything: whatever it is, the answer is not a server's
// fault.
func FuzzRequest(f *testing.F) {
	for _, s := range [][3]string{
		{"POST", "/apis/registry/v2/groups/g/artifacts?ifExists=UPDATE", `{"type":"record","name":"R","fields":[{"name":"a","type":"R"}]}`},
		{"POST", "/apis/registry/v3/groups/g/artifacts", `{"artifactId":"a","artifactType":"AVRO","firstVersion":{"version":"1","branches":["x"],"isDraft":true,"content":{"content":"{}","contentType":"application/json","references":[{"artifactId":"a","version":"1","name":"R"}]}}}`},
		{"PUT", "/apis/registry/v3/groups/g/artifacts/a/versions/branch=x/state?dryRun=true", `{"state":"ENABLED"}`},
		{"GET", "/apis/registry/v3/search/versions?orderby=name&order=desc&limit=-1&offset=99999999999&labels=a:b&globalId=-1", ""},
		{"GET", "/apis/registry/v3/groups/g/artifacts/a/versions/branch=/content?references=DEREFERENCE", ""},
		{"POST", "/apis/ccompat/v7/subjects/a%2Fb/versions?normalize=true", `{"schema":"{\"type\":\"string\"}","id":5,"version":-1,"references":[{"name":"x","subject":"y","version":0}]}`},
		{"POST", "/apis/ccompat/v7/compatibility/subjects/a/versions/-1?verbose=true", `{"schema":"[\"null\"]"}`},
		{"DELETE", "/apis/ccompat/v7/subjects/a/versions/latest?permanent=true", ""},
		{"PUT", "/apis/ccompat/v7/mode/a", `{"mode":"IMPORT"}`},
		{"POST", "/apis/registry/v2/admin/import", "PK\x05\x06" + strings.Repeat("\x00", 18)},
		{"GET", "/ui/g/a/1/diff/2", ""},
		{"POST", "/apis/registry/v3/admin/rules", `{"ruleType":"INTEGRITY","config":"A,B"}`},
	} {
		f.Add(s[0], s[1], []byte(s[2]))
	}
	servers := make([]*Server, 2)
	for i, version := range []string{"3.3", "2.6"} {
		s, err := Open(Config{File: filepath.Join(f.TempDir(), version), Apicurio: version, MaxBody: 1 << 20}, quiet)
		if err != nil {
			f.Fatal(err)
		}
		defer s.Close()
		s.store.db.NoSync = true
		servers[i] = s
	}
	f.Fuzz(func(t *testing.T, method, path string, body []byte) {
		u, err := url.ParseRequestURI(path)
		if err != nil || !strings.HasPrefix(path, "/") || strings.ContainsAny(method, " \t\r\n") || method == "" {
			return
		}
		for _, s := range servers {
			r := httptest.NewRequest(http.MethodGet, "/", bytes.NewReader(body))
			r.Method, r.URL, r.RequestURI = method, u, path
			w := httptest.NewRecorder()
			began := time.Now()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			s.ServeHTTP(w, r)
			runtime.ReadMemStats(&after)
			if took, all := time.Since(began), after.TotalAlloc-before.TotalAlloc; took > 5*time.Second || all > 1<<30 {
				t.Errorf("%s %s %q: %s, %d MB", method, path, body, took, all>>20)
			}
			// Apicurio's answer where a reference is gone.
			if w.Code >= 500 && !strings.Contains(w.Body.String(), "Undefined schema") {
				t.Errorf("%s %s %q: %d %s", method, path, body, w.Code, w.Body)
			}
		}
	})
}

// Combinations nested in combinations are judged within bounds.
func TestHostileCombinationsOfJSONSchemas(t *testing.T) {
	nested := func(last string) string {
		text := `{"type":"` + last + `"}`
		for range 12 {
			text = `{"oneOf":[` + strings.Repeat(text+",", 3) + text + `]}`
			if len(text) > 1<<20 {
				break
			}
		}
		return `{"$schema":"http://json-schema.org/draft-07/schema#","properties":{"a":` + text + `}}`
	}
	began := time.Now()
	found, err := jsonDifferences(v33, []byte(nested("string")), []byte(nested("integer")))
	if err != nil || len(found) == 0 || time.Since(began) > 20*time.Second {
		t.Errorf("%d differences, %v, after %s", len(found), err, time.Since(began))
	}
}

// References that lead to themselves end.
func TestHostileReferencesOfJSONSchemas(t *testing.T) {
	const str = `{"type":"string"}`
	for _, self := range []string{
		`{"$ref":"#"}`, `{"properties":{"a":{"$ref":"#"}}}`, `{"properties":{"a":{"$ref":"#/properties/a"}}}`,
		`{"properties":{"a":{"$ref":"#/properties/b"},"b":{"$ref":"#/properties/a"}}}`, `{"oneOf":[{"$ref":"#"},{"$ref":"#"}]}`, `{"$ref":"#/none"}`, `{"$ref":"http://elsewhere"}`,
	} {
		for _, other := range []string{str, self, `{"properties":{"a":` + str + `}}`, `{"oneOf":[` + str + `,{"$ref":"#"}]}`} {
			for _, pair := range [][2]string{{self, other}, {other, self}} {
				began := time.Now()
				if _, err := jsonDifferences(v33, []byte(pair[0]), []byte(pair[1])); err != nil || time.Since(began) > 10*time.Second {
					t.Errorf("%s to %s: %v after %s", pair[0], pair[1], err, time.Since(began))
				}
			}
		}
	}
	found, err := jsonDifferences(v26, []byte(`{"properties":{"a":`+str+`}}`), []byte(`{"properties":{"a":{"$ref":"#/definitions/D"}},"definitions":{"D":{"type":"integer"}}}`))
	if err != nil || len(found) != 1 || found[0].Context != "/properties/a/[ref #/properties/a]" || found[0].Description != "SUBSCHEMA_TYPE_CHANGED" {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestJSONSchemaCombinations(t *testing.T) {
	const str, num, null = `{"type":"string"}`, `{"type":"integer"}`, `{"type":"null"}`
	for _, c := range []struct{ older, newer, want string }{
		{str, `{"anyOf":[` + num + `,` + str + `]}`, ""},
		{str, `{"oneOf":[` + str + `]}`, "COMBINED_TYPE_CRITERION_NARROWED at /[criterion]"},
		{`{"oneOf":[` + str + `]}`, `{"anyOf":[` + num + `]}`, ""}, // as Apicurio, which looks no further
		{`{"oneOf":[` + str + `]}`, `{"allOf":[` + str + `]}`, "COMBINED_TYPE_CRITERION_CHANGED at /[criterion]"},
		{`{"oneOf":[` + str + `,` + num + `]}`, `{"oneOf":[` + num + `,` + null + `,` + str + `]}`, ""},
		{`{"oneOf":[` + str + `,` + num + `]}`, `{"oneOf":[` + num + `,` + null + `]}`, "COMBINED_TYPE_SUBSCHEMA_NOT_COMPATIBLE at /"},
		{`{"oneOf":[` + str + `,` + num + `]}`, `{"oneOf":[` + num + `]}`, "COMBINED_TYPE_ONE_OF_SIZE_DECREASED at /[size]"},
		{`{"allOf":[` + str + `]}`, `{"allOf":[` + str + `,` + num + `]}`, "COMBINED_TYPE_ALL_OF_SIZE_INCREASED at /[size]"},
		{`{"oneOf":[` + str + `]}`, str, "SUBSCHEMA_TYPE_CHANGED at /"},
	} {
		found, err := jsonDifferences(v26, []byte(c.older), []byte(c.newer))
		got := ""
		for _, f := range found {
			got += f.Description + " at " + f.Context
		}
		if err != nil || got != c.want {
			t.Errorf("%s to %s: %q, %v, want %q", c.older, c.newer, got, err, c.want)
		}
	}
}

// What keeps the server from starting is told with what to do about it.
func TestStartsThatFail(t *testing.T) {
	dir := t.TempDir()
	text, odd := filepath.Join(dir, "text"), filepath.Join(dir, "odd")
	for file, content := range map[string]string{text: "no database", odd: strings.Repeat("no database either ", 10_000)} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{text, odd, dir, filepath.Join(text, "below")} {
		if _, err := Open(Config{File: file}, quiet); !fault.NeedsHuman(err) || !strings.Contains(fault.Hint(err), "data.file") {
			t.Errorf("%s: %v, hint %q", file, err, fault.Hint(err))
		}
	}
	for _, key := range []string{"listen.address", "management.address"} {
		var c Config
		err := config.Parse("registry.yaml", []byte("data.file: x\n"+key+": nope\n"), &c)
		if err == nil || !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), "host:port") {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// A level that does not exist is stored, and told when it is to be applied; the
// Confluent API refuses it, and takes an empty schema, which the others do not.
func TestWhatIsStoredAsItComes(t *testing.T) {
	for _, version := range []string{"3.3", "2.6"} {
		s := opened(t, Config{Apicurio: version})
		const one = "/apis/registry/v2/groups/default/artifacts"
		must(t, s, "POST", one, `{"type":"string"}`, "X-Registry-ArtifactId", "a")
		must(t, s, "POST", one+"/a/rules", `{"type":"COMPATIBILITY","config":"NOPE"}`)
		if w := ask(t, s, "POST", one+"/a/versions", `{"type":"bytes"}`); w.Code != 422 || !strings.Contains(w.Body.String(), "NOPE") {
			t.Errorf("%s: version under NOPE: %d %s", version, w.Code, w.Body)
		}
		if w := ask(t, s, "PUT", "/apis/ccompat/v7/config/a", `{"compatibility":"NOPE"}`); w.Code/100 != 4 {
			t.Errorf("%s: level NOPE: %d %s", version, w.Code, w.Body)
		}
		must(t, s, "POST", "/apis/ccompat/v7/subjects/b/versions", `{"schema":""}`)
		if w := ask(t, s, "POST", one, "", "X-Registry-ArtifactId", "c"); w.Code/100 != 4 {
			t.Errorf("%s: empty schema: %d %s", version, w.Code, w.Body)
		}
	}
}
