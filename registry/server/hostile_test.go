package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
)

// wide is a record of n fields without defaults, whose names begin with name.
func wide(name string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"name":"%s%d","type":"int"},`, name, i)
	}
	return `{"type":"record","name":"R","fields":[` + strings.TrimSuffix(b.String(), ",") + `]}`
}

// Whatever is compared, neither time nor memory go beyond a small multiple of
// what the schemas need, and the answer stays small.
func TestHostileComparisons(t *testing.T) {
	symbols := func(name string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"%s%d",`, name, i)
		}
		return `{"type":"enum","name":"E","symbols":[` + strings.TrimSuffix(b.String(), ",") + `]}`
	}
	// A type of many incompatibilities that is used many times.
	used := func(inner string) string {
		var b strings.Builder
		fmt.Fprintf(&b, `{"name":"f","type":%s}`, strings.Replace(inner, `"R"`, `"T"`, 1))
		for i := range 20_000 {
			fmt.Fprintf(&b, `,{"name":"f%d","type":"T"}`, i)
		}
		return `{"type":"record","name":"R","fields":[` + b.String() + `]}`
	}
	// Many small records for one large one.
	var small strings.Builder
	for i := range 5_000 {
		fmt.Fprintf(&small, `{"type":"record","name":"R%d","fields":[{"name":"x","type":"int"}]},`, i)
	}
	union := "[" + small.String() + `"null"]`
	for name, c := range map[string]struct{ kind, older, newer string }{
		"4,000 fields":             {"AVRO", wide("a", 1), wide("b", 4000)},
		"40,000 fields":            {"AVRO", wide("a", 40_000), wide("b", 40_000)},
		"one type, used often":     {"AVRO", used(wide("a", 1)), used(wide("b", 20_000))},
		"100,000 symbols":          {"AVRO", symbols("a", 100_000), symbols("b", 100_000)},
		"a record in a wide union": {"AVRO", wide("a", 20_000), union},
		"JSON's enum":              {"JSON", `{"enum":` + strings.TrimSuffix(symbols("a", 100_000)[len(`{"type":"enum","name":"E","symbols":`):], "}") + `}`, `{"enum":` + strings.TrimSuffix(symbols("b", 100_000)[len(`{"type":"enum","name":"E","symbols":`):], "}") + `}`},
	} {
		t.Run(name, func(t *testing.T) {
			s := opened(t, Config{MaxBody: 32 << 20, MaxSchema: 16 << 20})
			s.store.db.NoSync = true
			const base = "/apis/registry/v2/groups/g/artifacts"
			header := []string{"X-Registry-ArtifactId", "a", "X-Registry-ArtifactType", c.kind}
			must(t, s, "POST", base, c.older, header...)
			must(t, s, "POST", base+"/a/versions", c.newer, header...)
			must(t, s, "POST", base+"/a/rules", `{"type":"COMPATIBILITY","config":"FULL"}`)
			changed := c.newer + " "
			for _, ask := range []func() *httptest.ResponseRecorder{
				func() *httptest.ResponseRecorder {
					must(t, s, "DELETE", base+"/a/rules", "")
					must(t, s, "POST", base+"/a/versions", c.older+"  ", header...)
					must(t, s, "POST", base+"/a/rules", `{"type":"COMPATIBILITY","config":"FULL"}`)
					return ask(t, s, "POST", base+"/a/versions", changed, header...)
				},
				func() *httptest.ResponseRecorder { return ask(t, s, "GET", "/ui/g/a/1/diff/2", "") },
			} {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				began := time.Now()
				w := ask()
				took := time.Since(began)
				runtime.ReadMemStats(&after)
				// Allocated in all, of which most is free again.
				if all := after.TotalAlloc - before.TotalAlloc; took > 10*time.Second || all > 1<<30 {
					t.Errorf("%s, %d MB", took, all>>20)
				}
				if w.Code >= 500 || w.Code == http.StatusConflict && w.Body.Len() > 100<<10 {
					t.Errorf("%d, %d bytes: %.200s", w.Code, w.Body.Len(), w.Body)
				}
				t.Logf("%d, %s, %d MB allocated, %d bytes told", w.Code, took, (after.TotalAlloc-before.TotalAlloc)>>20, w.Body.Len())
			}
		})
	}
}

// Of many incompatibilities, the first are told, and how many there are more.
func TestManyIncompatibilities(t *testing.T) {
	s := opened(t, Config{})
	const base = "/apis/registry/v2/groups/g/artifacts"
	must(t, s, "POST", base, wide("a", 1), "X-Registry-ArtifactId", "a")
	must(t, s, "POST", base+"/a/rules", `{"type":"COMPATIBILITY","config":"BACKWARD"}`)
	w := ask(t, s, "POST", base+"/a/versions", wide("b", 250))
	if got := strings.Count(w.Body.String(), `"description"`); got != maxTold+1 || !strings.Contains(w.Body.String(), `{"description":"and 150 more","context":"/"}`) || !strings.Contains(w.Body.String(), "diffs: {250}") {
		t.Errorf("%d told: %d %s", got, w.Code, w.Body)
	}
}

// Types that are none are compared all the same.
func TestJSONSchemaTypesThatAreNone(t *testing.T) {
	if found, err := jsonDifferences(v33, []byte(`{"type":[{}]}`), []byte(`{"type":[{},[]]}`)); err != nil || len(found) > 0 {
		t.Errorf("%v, %v", found, err)
	}
}

// Who has gone is not judged for.
func TestJudgingEndsWithItsRequest(t *testing.T) {
	s := opened(t, Config{})
	must(t, s, "POST", "/apis/ccompat/v7/subjects/s/versions", `{"schema":"\"int\""}`)
	must(t, s, "PUT", "/apis/ccompat/v7/config", `{"compatibility":"FULL_TRANSITIVE"}`)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := &draft{key: key{"default", "s"}, artifactType: "AVRO", text: []byte(`"string"`), ifExists: existsEnabled, ctx: ctx}
	if _, _, err := s.store.register(d); !errors.Is(err, context.Canceled) {
		t.Errorf("register for nobody: %v", err)
	}
}
