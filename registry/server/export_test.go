package server

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// opened opens a registry that is closed with the test.
func opened(t *testing.T, c Config) *Server {
	t.Helper()
	if c.File == "" {
		c.File = filepath.Join(t.TempDir(), "registry.db")
	}
	s, err := Open(c, quiet)
	if err != nil {
		t.Fatal(err)
	}
	s.store.db.NoSync = true
	t.Cleanup(func() { s.Close() })
	return s
}

// ask makes a call and returns its answer.
func ask(t *testing.T, h http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// must is ask for a call that succeeds.
func must(t *testing.T, h http.Handler, method, path, body string, header ...string) string {
	t.Helper()
	w := ask(t, h, method, path, body, header...)
	if w.Code/100 != 2 {
		t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	return w.Body.String()
}

// entities reads an archive: the JSON of each file, and the contents.
func entities(t *testing.T, archive []byte) (list map[string][]map[string]any, contents map[string]string) {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	list, contents = make(map[string][]map[string]any), make(map[string]string)
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		base := filepath.Base(f.Name)
		if hash, ok := strings.CutSuffix(base, ".Content.data"); ok {
			contents[hash] = string(text)
			continue
		}
		var e map[string]any
		if err := json.Unmarshal(text, &e); err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		parts := strings.Split(base, ".")
		kind := parts[len(parts)-2]
		list[kind] = append(list[kind], e)
	}
	return list, contents
}

// Archives that real Apicurio registries wrote keep every id here, and ours
// keeps every id in another registry of ours.
func TestImportKeepsIDs(t *testing.T) {
	for name, v := range map[string]struct{ version, base string }{
		"apicurio-2.6.zip": {"2.6", "/apis/registry/v2"}, "apicurio-3.3.zip": {"3.3", "/apis/registry/v3"},
	} {
		t.Run(name, func(t *testing.T) {
			archive, err := os.ReadFile("testdata/" + name)
			if err != nil {
				t.Fatal(err)
			}
			first := opened(t, Config{Apicurio: v.version})
			must(t, first, "POST", v.base+"/admin/import", string(archive))
			checkIDs(t, first, v.base, archive)
			// Once more changes nothing, and our own archive holds the same.
			must(t, first, "POST", v.base+"/admin/import", string(archive))
			ours := must(t, first, "GET", v.base+"/admin/export", "")
			second := opened(t, Config{Apicurio: v.version})
			must(t, second, "POST", v.base+"/admin/import", ours)
			checkIDs(t, second, v.base, archive)
			for _, path := range []string{"/search/artifacts?limit=500", "/groups?limit=500", "/admin/rules"} {
				a, b := must(t, first, "GET", v.base+path, ""), must(t, second, "GET", v.base+path, "")
				if a != b {
					t.Errorf("%s after export and import:\n%s\nbefore:\n%s", path, b, a)
				}
			}
			// New ids come after all that were ever given.
			m := must(t, second, "POST", "/apis/registry/v2/groups/new/artifacts", schemaText(777), "X-Registry-ArtifactId", "new")
			var ids struct{ GlobalID, ContentID float64 }
			if err := json.Unmarshal([]byte(m), &ids); err != nil {
				t.Fatal(err)
			}
			list, _ := entities(t, archive)
			for _, e := range list["ArtifactVersion"] {
				if e["globalId"].(float64) >= ids.GlobalID {
					t.Errorf("new global id %v, though %v is taken", ids.GlobalID, e["globalId"])
				}
			}
			for _, e := range list["Content"] {
				if e["contentId"].(float64) >= ids.ContentID {
					t.Errorf("new content id %v, though %v is taken", ids.ContentID, e["contentId"])
				}
			}
		})
	}
}

func checkIDs(t *testing.T, s *Server, base string, archive []byte) {
	t.Helper()
	list, contents := entities(t, archive)
	texts := make(map[float64]string)
	for _, e := range list["Content"] {
		text := contents[e["contentHash"].(string)]
		texts[e["contentId"].(float64)] = text
		if got := must(t, s, "GET", fmt.Sprintf("%s/ids/contentIds/%v", base, e["contentId"]), ""); got != text {
			t.Errorf("content %v is %s, was %s", e["contentId"], got, text)
		}
		if got := must(t, s, "GET", fmt.Sprintf("%s/ids/contentHashes/%v", base, e["contentHash"]), ""); got != text {
			t.Errorf("content with hash %v is %s, was %s", e["contentHash"], got, text)
		}
	}
	if len(list["ArtifactVersion"]) == 0 {
		t.Error("the archive has no versions")
	}
	for _, e := range list["ArtifactVersion"] {
		if e["state"] == "ENABLED" {
			if got := must(t, s, "GET", fmt.Sprintf("%s/ids/globalIds/%v", base, e["globalId"]), ""); got != texts[e["contentId"].(float64)] {
				t.Errorf("version %v is %s", e["globalId"], got)
			}
		}
	}
}

func TestImportRefusesWhatClashes(t *testing.T) {
	archive, err := os.ReadFile("testdata/apicurio-3.3.zip")
	if err != nil {
		t.Fatal(err)
	}
	s := opened(t, Config{})
	must(t, s, "POST", "/apis/registry/v2/groups/g/artifacts", schemaText(1), "X-Registry-ArtifactId", "a") // takes the ids 1
	w := ask(t, s, "POST", "/apis/registry/v3/admin/import", string(archive))
	if w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "id") {
		t.Fatalf("import over other ids: %d %s", w.Code, w.Body)
	}
	// Nothing of it is left.
	if got := must(t, s, "GET", "/apis/registry/v3/search/artifacts", ""); strings.Count(got, "artifactId") != 1 {
		t.Errorf("a refused import left something: %s", got)
	}
	for name, text := range map[string]string{"no zip": "PK no", "empty": ""} {
		if w := ask(t, s, "POST", "/apis/registry/v3/admin/import", text); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

// IMPORT takes the client's ids and versions, and READONLY nothing.
func TestModes(t *testing.T) {
	s := opened(t, Config{})
	const base = "/apis/ccompat/v7"
	must(t, s, "PUT", base+"/mode", `{"mode":"IMPORT"}`)
	if got := must(t, s, "POST", base+"/subjects/s/versions", `{"schema":"\"int\"","id":4000,"version":7}`); got != `{"id":4000}` {
		t.Errorf("imported as %s", got)
	}
	if got := must(t, s, "GET", base+"/subjects/s/versions/7", ""); !strings.Contains(got, `"id":4000`) {
		t.Errorf("version 7 is %s", got)
	}
	for name, c := range map[string]struct{ body, message string }{
		"no id":              {`{"schema":"\"long\""}`, "read-write"},
		"id of another":      {`{"schema":"\"long\"","id":4000}`, "not permitted"},
		"another id":         {`{"schema":"\"int\"","id":4001}`, "not permitted"},
		"id too large":       {`{"schema":"\"long\"","id":4294967296}`, "between"},
		"version that is":    {`{"schema":"\"long\"","id":4002,"version":7}`, "exists"},
		"negative id number": {`{"schema":"\"long\"","id":-4}`, "between"},
	} {
		w := ask(t, s, "POST", base+"/subjects/s/versions", c.body)
		if w.Code != 422 || !strings.Contains(w.Body.String(), c.message) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	must(t, s, "PUT", base+"/mode", `{"mode":"READWRITE"}`)
	if got := must(t, s, "POST", base+"/subjects/s/versions", `{"schema":"\"string\"","id":77}`); got != `{"id":4001}` {
		t.Errorf("the id after 4000 is %s", got)
	}
	must(t, s, "PUT", base+"/mode/s", `{"mode":"READONLY"}`)
	for _, c := range [][3]string{
		{"POST", "/subjects/s/versions", `{"schema":"\"bytes\""}`}, {"DELETE", "/subjects/s", ""}, {"DELETE", "/subjects/s/versions/7", ""},
	} {
		if w := ask(t, s, c[0], base+c[1], c[2]); w.Code != 422 || !strings.Contains(w.Body.String(), "42205") {
			t.Errorf("%s %s in READONLY: %d %s", c[0], c[1], w.Code, w.Body)
		}
	}
	// Looking up is no change; another subject is not concerned.
	must(t, s, "POST", base+"/subjects/s/versions", `{"schema":"\"int\""}`)
	must(t, s, "POST", base+"/subjects/other/versions", `{"schema":"\"bytes\""}`)
}

// Who brings ids along cannot use up those that others need.
func TestIDsKeptInReserve(t *testing.T) {
	s := opened(t, Config{})
	const base = "/apis/ccompat/v7"
	must(t, s, "PUT", base+"/mode", `{"mode":"IMPORT"}`)
	for _, body := range []string{`{"schema":"\"int\"","id":2147483647}`, `{"schema":"\"int\"","id":2147000000}`, `{"schema":"\"int\"","id":7,"version":2147483647}`} {
		w := ask(t, s, "POST", base+"/subjects/a/versions", body)
		if w.Code != 422 || !strings.Contains(w.Body.String(), "are kept for what is registered later") {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	must(t, s, "POST", base+"/subjects/a/versions", `{"schema":"\"int\"","id":2000000000,"version":3}`)
	archive := must(t, s, "GET", "/apis/registry/v3/admin/export", "")
	for _, swap := range [][2]string{{`"contentId":2000000000`, `"contentId":2147483647`}, {`"globalId":1`, `"globalId":2147483647`}, {`"versionOrder":3`, `"versionOrder":2147483647`}} {
		w := ask(t, opened(t, Config{}), "POST", "/apis/registry/v3/admin/import", rezip(t, archive, "", func(text string) string { return strings.ReplaceAll(text, swap[0], swap[1]) }))
		if w.Code != 400 || !strings.Contains(w.Body.String(), "are kept for what is registered later") {
			t.Errorf("%s: %d %s", swap[1], w.Code, w.Body)
		}
	}
	w := ask(t, opened(t, Config{}), "POST", "/apis/registry/v3/admin/import", rezip(t, archive, fmt.Sprintf(idNote, 2147483647, 1, 1), func(text string) string { return text }))
	if w.Code != 400 || !strings.Contains(w.Body.String(), "are kept for what is registered later") {
		t.Errorf("counter: %d %s", w.Code, w.Body)
	}
	must(t, s, "PUT", base+"/mode", `{"mode":"READWRITE"}`)
	if got := must(t, s, "POST", base+"/subjects/b/versions", `{"schema":"\"long\""}`); got != `{"id":2000000001}` {
		t.Errorf("after the import: %s", got)
	}
	// Where they are used up all the same, that is told.
	if err := s.store.db.Update(func(b *bolt.Tx) error { return b.Bucket(bVersions).SetSequence(maxID) }); err != nil {
		t.Fatal(err)
	}
	if w := ask(t, s, "POST", base+"/subjects/b/versions", `{"schema":"\"double\""}`); w.Code != 409 || !strings.Contains(w.Body.String(), "used up") {
		t.Errorf("without ids: %d %s", w.Code, w.Body)
	}
}

// rezip writes an archive anew, its JSON changed by f.
func rezip(t *testing.T, archive, comment string, f func(text string) string) string {
	t.Helper()
	z, err := zip.NewReader(strings.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, file := range z.File {
		r, err := file.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		to, err := w.Create(file.Name)
		if err == nil {
			_, err = io.WriteString(to, f(string(text)))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.SetComment(comment), w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// Ids of what was deleted are not given again after an export and import; the
// numbers of a subject's versions are, as Apicurio's.
func TestDeletedIDsAreNotReused(t *testing.T) {
	s := opened(t, Config{})
	const base = "/apis/ccompat/v7"
	for i, schema := range []string{"int", "long", "double"} {
		must(t, s, "POST", base+"/subjects/a/versions", `{"schema":"\"`+schema+`\""}`)
		if i > 0 {
			must(t, s, "DELETE", base+"/subjects/a/versions/2", "")
			must(t, s, "DELETE", base+"/subjects/a/versions/2?permanent=true", "")
		}
	}
	other := opened(t, Config{})
	must(t, other, "POST", "/apis/registry/v3/admin/import", must(t, s, "GET", "/apis/registry/v3/admin/export", ""))
	for name, s := range map[string]*Server{"imported": other, "exported": s} {
		if got := must(t, s, "POST", base+"/subjects/a/versions", `{"schema":"\"string\""}`); got != `{"id":4}` {
			t.Errorf("%s: %s", name, got)
		}
		if got := must(t, s, "GET", base+"/subjects/a/versions", ""); got != "[1,2]" {
			t.Errorf("%s: versions %s", name, got)
		}
		if got := must(t, s, "GET", "/apis/registry/v3/groups/default/artifacts/a/versions/2", ""); !strings.Contains(got, `"globalId":4`) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// Names that are no UTF-8 are refused as those with NUL are.
func TestNamesThatAreNone(t *testing.T) {
	s := opened(t, Config{})
	for _, c := range [][3]string{
		{"POST", "/apis/ccompat/v7/subjects/%ff/versions", `{"schema":"\"int\""}`}, {"PUT", "/apis/ccompat/v7/mode/%ff", `{"mode":"IMPORT"}`},
		{"PUT", "/apis/ccompat/v7/config/a%ff", `{"compatibility":"FULL"}`}, {"POST", "/apis/registry/v2/groups/%fe/artifacts", `{"type":"string"}`},
		{"PUT", "/apis/ccompat/v7/mode/%00", `{"mode":"IMPORT"}`},
	} {
		if w := ask(t, s, c[0], c[1], c[2]); w.Code != 400 {
			t.Errorf("%s %s: %d %s", c[0], c[1], w.Code, w.Body)
		}
	}
	if w := ask(t, s, "POST", "/apis/registry/v2/groups/g/artifacts", `{"type":"string"}`, "X-Registry-ArtifactId", "\xff"); w.Code != 400 {
		t.Errorf("header: %d %s", w.Code, w.Body)
	}
}
