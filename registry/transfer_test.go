package registry_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tributary/internal/fault"
	"tributary/registry"
	"tributary/registry/server"
)

// flavoured runs the embedded registry as an Apicurio of a version.
func flavoured(t *testing.T, version string) (base string) {
	t.Helper()
	s, err := server.Open(server.Config{File: filepath.Join(t.TempDir(), "registry.db"), Apicurio: version}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(func() {
		srv.Close()
		s.Close()
	})
	return srv.URL
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(resp.StatusCode, " ", string(text))
}

// fill gives a registry subjects with references, deleted versions, levels, a
// schema that several have, and gaps in its ids. It returns what is to be the
// same elsewhere.
func fill(t *testing.T, base string) (paths []string) {
	t.Helper()
	const v7 = "/apis/ccompat/v7"
	schema := func(text string, refs ...string) string {
		q, _ := json.Marshal(map[string]any{"schema": text, "references": json.RawMessage("[" + strings.Join(refs, ",") + "]")})
		return string(q)
	}
	int1 := `{"type":"record","name":"A","namespace":"n","fields":[{"name":"i","type":"int"}]}`
	post := func(subject, body string) { put(t, "POST", base+v7+"/subjects/"+subject+"/versions", body) }
	post("a", schema(int1))
	post("gone", schema(`{"type":"record","name":"Gone","fields":[]}`))
	post("a", schema(strings.Replace(int1, "int", "long", 1)))
	post("odd%2Fname%20%C3%A4", schema(int1)) // the same content
	post("b", schema(`{"type":"record","name":"B","namespace":"n","fields":[{"name":"a","type":"n.A"}]}`, `{"name":"n.A","subject":"a","version":1}`))
	post("c", schema(`{"type":"record","name":"C","namespace":"n","fields":[{"name":"b","type":"n.B"}]}`, `{"name":"n.B","subject":"b","version":1}`))
	post("j", `{"schema":"{\"$schema\":\"http://json-schema.org/draft-07/schema#\",\"type\":\"object\"}","schemaType":"JSON"}`)
	post("a", schema(strings.Replace(int1, "int", "string", 1)))
	put(t, "DELETE", base+v7+"/subjects/a/versions/2", "")
	put(t, "DELETE", base+v7+"/subjects/gone", "")
	put(t, "PUT", base+v7+"/config/b", `{"compatibility":"FULL_TRANSITIVE"}`)
	put(t, "PUT", base+v7+"/config", `{"compatibility":"BACKWARD"}`)
	paths = []string{
		"/subjects", "/subjects?deleted=true", "/subjects/a/versions", "/subjects/a/versions?deleted=true", "/subjects/a/versions/3", "/subjects/a/versions/2?deleted=true",
		"/subjects/odd%2Fname%20%C3%A4/versions/1", "/subjects/b/versions/1", "/subjects/c/versions/1", "/subjects/j/versions/latest", "/config/b", "/config",
		"/config/a?defaultToGlobal=true",
	}
	for id := range 12 {
		paths = append(paths, fmt.Sprint("/schemas/ids/", id), fmt.Sprint("/schemas/ids/", id, "/versions"))
	}
	for i := range paths {
		paths[i] = v7 + paths[i]
	}
	return paths
}

// A registry goes to another by every pair of APIs, and everything that clients
// of the Confluent API can see is the same there, ids above all.
func TestMoveKeepsIDs(t *testing.T) {
	for from, fromPath := range apis {
		for to, toPath := range apis {
			t.Run(from+" to "+to, func(t *testing.T) {
				a, b := flavoured(t, "3.3"), flavoured(t, "3.3")
				paths := fill(t, a)
				var archive bytes.Buffer
				if err := client(t, a+fromPath, registry.Options{}).Export(t.Context(), &archive); err != nil {
					t.Fatal(err)
				}
				target := client(t, b+toPath, registry.Options{})
				for range 2 { // again changes nothing
					n, err := target.Import(t.Context(), archive.Bytes())
					if err != nil || n.Artifacts != 6 || n.Versions != 8 {
						t.Fatalf("%s, %v", n, err)
					}
				}
				for _, p := range paths {
					if want, got := get(t, a+p), get(t, b+p); got != want {
						t.Errorf("%s is\n%s, was\n%s", p, got, want)
					}
				}
				// Life goes on: no mode is left, and ids go on after the old ones.
				id, err := target.Register(t.Context(), "new", `{"type":"record","name":"New","fields":[]}`)
				if err != nil || id.Content != 8 {
					t.Errorf("new schema got %s, %v", id, err)
				}
			})
		}
	}
}

// Archives of real registries, in 2.x's form and in 3.x's, go where their forms
// are read, and from there on; what the Confluent API cannot hold is told.
func TestMoveRecordedArchives(t *testing.T) {
	for _, version := range []string{"2.6", "3.3"} {
		archive, err := os.ReadFile("server/testdata/apicurio-" + version + ".zip")
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/apis/registry/v2", "/apis/registry/v3"} {
			t.Run(version+path, func(t *testing.T) {
				a, b := flavoured(t, version), flavoured(t, "3.3")
				from := client(t, a+path, registry.Options{})
				n, err := from.Import(t.Context(), archive)
				if err != nil || n.Versions < 7 {
					t.Fatalf("%s, %v", n, err)
				}
				var again bytes.Buffer
				if err := from.Export(t.Context(), &again); err != nil {
					t.Fatal(err)
				}
				if n2, err := client(t, b+"/apis/registry/v3", registry.Options{}).Import(t.Context(), again.Bytes()); err != nil || n2 != n {
					t.Fatalf("%s, %v, want %s", n2, err, n)
				}
				for id := range 80 {
					for _, kind := range []string{"globalIds", "contentIds"} {
						p := fmt.Sprintf("/apis/registry/v3/ids/%s/%d", kind, id)
						want, got := get(t, a+p), get(t, b+p)
						if strings.HasPrefix(want, "200") && got != want {
							t.Errorf("%s is %s, was %s", p, got, want)
						}
					}
				}
			})
		}
		_, err = client(t, flavoured(t, "3.3")+"/apis/ccompat/v7", registry.Options{}).Import(t.Context(), archive)
		if !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "group") {
			t.Errorf("groups into the Confluent API: %v", err)
		}
	}
}

func TestMoveRefusals(t *testing.T) {
	a := flavoured(t, "3.3")
	fill(t, a)
	var archive bytes.Buffer
	if err := client(t, a+"/apis/ccompat/v7", registry.Options{}).Export(t.Context(), &archive); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ base, path, want string }{
		"no mode IMPORT": {flavoured(t, "2.6"), "/apis/ccompat/v7", "mode IMPORT"},
	} {
		_, err := client(t, c.base+c.path, registry.Options{}).Import(t.Context(), archive.Bytes())
		if !fault.NeedsHuman(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Ids that are taken by something else.
	b := flavoured(t, "3.3")
	put(t, "POST", b+"/apis/ccompat/v7/subjects/a/versions", `{"schema":"\"string\""}`)
	for name, path := range apis {
		if _, err := client(t, b+path, registry.Options{}).Import(t.Context(), archive.Bytes()); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "id") || !strings.Contains(fault.Hint(err), "empty") {
			t.Errorf("%s over other ids: %v, hint %q", name, err, fault.Hint(err))
		}
	}
	// The mode is as it was, even after a failure.
	if got := get(t, b+"/apis/ccompat/v7/mode/a"); got != `200 {"mode":"READWRITE"}` {
		t.Errorf("mode %s", got)
	}
	for _, bad := range []string{"", "PK", "no archive"} {
		if _, err := client(t, b+"/apis/registry/v3", registry.Options{}).Import(t.Context(), []byte(bad)); !fault.NeedsHuman(err) {
			t.Errorf("archive %q: %v", bad, err)
		}
	}
	if err := client(t, "glue://x?region=y", registry.Options{}).Export(t.Context(), io.Discard); !fault.NeedsHuman(err) {
		t.Errorf("export of AWS Glue: %v", err)
	}
}
