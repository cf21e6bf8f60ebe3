package server

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tributary/internal/golden"
)

// step is one call that was recorded from a real registry.
type step struct {
	N       int
	Note    string
	Request struct {
		Method, Path, Query string
		Headers             map[string]string
		Body                *string
	}
	Response struct {
		Status  int
		Headers map[string]string
		Body    *string
	}
}

// goldenRoots are the folders with recordings: our own of further calls and those
// of all packages.
func goldenRoots(t *testing.T) []string { return append([]string{"testdata"}, golden.Roots(t)...) }

// intended reads which recorded calls are answered otherwise, and why:
// lines of "server/api/scenario calls reason", calls being numbers, ranges, or
// * for the whole scenario.
func intended(t *testing.T) map[string]map[int]string {
	t.Helper()
	f, err := os.Open("testdata/differences.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := make(map[string]map[int]string)
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if line := sc.Text(); line != "" && !strings.HasPrefix(line, "#") {
			w := strings.SplitN(line, " ", 3)
			if len(w) != 3 {
				t.Fatalf("differences.txt: %q has no reason", line)
			}
			if out[w[0]] == nil {
				out[w[0]] = make(map[int]string)
			}
			for _, part := range strings.Split(w[1], ",") {
				from, to, isRange := strings.Cut(part, "-")
				if part == "*" {
					from, to, isRange = "0", "0", true
				}
				a, err1 := strconv.Atoi(from)
				b := a
				var err2 error
				if isRange {
					b, err2 = strconv.Atoi(to)
				}
				if err1 != nil || err2 != nil {
					t.Fatalf("differences.txt: bad calls in %q", line)
				}
				for n := a; n <= b; n++ {
					out[w[0]][n] = w[2]
				}
			}
		}
	}
	return out
}

// TestGoldenTranscripts replays what real Apicurio servers were asked and
// compares the answers: status, and the body with ids translated and dates
// masked.
func TestGoldenTranscripts(t *testing.T) {
	diffs := intended(t)
	for _, root := range goldenRoots(t) {
		files, _ := filepath.Glob(filepath.Join(root, "registry/transcripts/*/*/*.jsonl"))
		for _, file := range files {
			rel, _ := filepath.Rel(filepath.Join(root, "registry/transcripts"), file)
			name := strings.TrimSuffix(filepath.ToSlash(rel), ".jsonl")
			t.Run("registry/"+name, func(t *testing.T) { replay(t, file, name, diffs[name]) })
		}
	}
}

// replay asks a fresh server of the recording's version everything that the
// recorded one was asked.
func replay(t *testing.T, file, name string, differs map[int]string) {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if reason, ok := differs[0]; ok {
		t.Logf("not replayed: %s", reason)
		return
	}
	c := Config{File: filepath.Join(t.TempDir(), "registry.db"), Apicurio: "3.3"}
	if strings.HasPrefix(name, "apicurio-2") {
		c.Apicurio = "2.6"
	}
	s, err := Open(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.store.db.NoSync = true // nothing is to survive
	// A search for a* is not to find a name that chance gave.
	s.store.newName = func() string { return "0" + uuid()[1:] }
	ids := &idMap{ours: make(map[string]string), theirs: make(map[string]string)}
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 16<<20)
	for sc.Scan() {
		var st step
		if err := json.Unmarshal(sc.Bytes(), &st); err != nil {
			t.Fatal(err)
		}
		t.Run(fmt.Sprintf("%d", st.N), func(t *testing.T) {
			diff := ids.play(s, st)
			switch reason, listed := differs[st.N]; {
			case diff != "" && !listed:
				t.Errorf("%s %s?%s %s\n%s", st.Request.Method, st.Request.Path, st.Request.Query, st.Note, diff)
			case diff == "" && listed:
				t.Errorf("%s %s?%s is answered as recorded: take it from differences.txt (%s)", st.Request.Method, st.Request.Path, st.Request.Query, reason)
			}
		})
	}
}

// idMap translates between the recorded ids and ours. Neither has to number
// like the other; but each recorded id must stand for one of ours.
type idMap struct{ ours, theirs map[string]string }

var (
	pathID   = regexp.MustCompile(`/(contentIds|globalIds|schemas/ids)/(\d+)`)
	queryID  = regexp.MustCompile(`\b(globalId|contentId)=(\d+)`)
	date     = regexp.MustCompile(`20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(Z|\+0000)`)
	uuidText = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	diffList = regexp.MustCompile(`(list of diff types: \[)([^\]]*)\]`)
	host     = regexp.MustCompile(`http://[^/"]+/`)
)

func kindOf(key string) string {
	if strings.Contains(key, "lobal") {
		return "global "
	}
	return "content "
}

// our translates a recorded id of a request. One that was never given to
// anything must not be anything here either.
func (m *idMap) our(kind, id string) string {
	if o, ok := m.ours[kind+id]; ok {
		return o
	}
	return "9" + strings.Repeat("0", max(0, 8-len(id))) + id
}

func (m *idMap) play(s *Server, st step) string {
	path := pathID.ReplaceAllStringFunc(st.Request.Path, func(x string) string {
		p := pathID.FindStringSubmatch(x)
		return "/" + p[1] + "/" + m.our(kindOf(p[1]), p[2])
	})
	query := queryID.ReplaceAllStringFunc(st.Request.Query, func(x string) string {
		p := queryID.FindStringSubmatch(x)
		return p[1] + "=" + m.our(kindOf(p[1]), p[2])
	})
	if query != "" {
		path += "?" + query
	}
	body := ""
	if st.Request.Body != nil {
		body = *st.Request.Body
	}
	req := httptest.NewRequest(st.Request.Method, path, strings.NewReader(body))
	for k, v := range st.Request.Headers {
		req.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, req)

	want := ""
	if st.Response.Body != nil {
		want = *st.Response.Body
	}
	var out []string
	if w.Code != st.Response.Status {
		out = append(out, fmt.Sprintf("status %d, want %d", w.Code, st.Response.Status))
	}
	if d := m.diff(want, w.Body.String()); d != "" {
		out = append(out, d)
	}
	return strings.Join(out, "\n")
}

// mask hides what is not comparable: dates, generated ids, and the order in
// which 2.6 lists incompatibilities, which is that of a hash of addresses.
func mask(s string) string {
	s = diffList.ReplaceAllStringFunc(s, func(x string) string {
		p := diffList.FindStringSubmatch(x)
		parts := strings.SplitAfter(p[2], ", ")
		for i := range parts {
			parts[i] = strings.TrimSuffix(parts[i], ", ")
		}
		slices.Sort(parts)
		return p[1] + strings.Join(parts, ", ") + "]"
	})
	s = date.ReplaceAllString(s, "DATE")
	s = uuidText.ReplaceAllString(s, "UUID")
	return host.ReplaceAllString(s, "http://HOST/")
}

func (m *idMap) diff(want, got string) string {
	var a, b any
	if json.Unmarshal([]byte(mask(want)), &a) != nil || json.Unmarshal([]byte(mask(got)), &b) != nil {
		return cmp.Diff(mask(want), mask(got))
	}
	var bad []string
	a, b = m.pair("", a, b, &bad)
	return strings.Join(append(bad, cmp.Diff(a, b)), "")
}

// pair walks both answers at once, learning which id of ours a recorded one
// stands for, and replaces both by a mark where they agree.
func (m *idMap) pair(key string, a, b any, bad *[]string) (any, any) {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok {
			return a, b
		}
		for k := range x {
			if _, ok := y[k]; ok {
				x[k], y[k] = m.pair(k, x[k], y[k], bad)
			}
		}
		return x, y
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return a, b
		}
		// The order of these is not comparable.
		if key == "causes" {
			by := func(p, q any) int { return strings.Compare(fmt.Sprint(p), fmt.Sprint(q)) }
			slices.SortFunc(x, by)
			slices.SortFunc(y, by)
		}
		for i := range x {
			x[i], y[i] = m.pair(key, x[i], y[i], bad)
		}
		return x, y
	case float64:
		y, ok := b.(float64)
		if ok && (key == "contentId" || key == "globalId" || key == "id") {
			m.learn(kindOf(key), strconv.FormatFloat(x, 'f', -1, 64), strconv.FormatFloat(y, 'f', -1, 64), bad)
			return "ID", "ID"
		}
	case string:
		y, ok := b.(string)
		if ok && x != y {
			// An id within a message.
			for k, ours := range m.ours {
				_, theirs, _ := strings.Cut(k, " ")
				y = strings.ReplaceAll(y, "'"+ours+"'", "'"+theirs+"'")
			}
			unknown := regexp.MustCompile(`\b90{3,}(\d+)\b`)
			return x, unknown.ReplaceAllString(y, "$1")
		}
	}
	return a, b
}

func (m *idMap) learn(kind, theirs, ours string, bad *[]string) {
	if known, ok := m.ours[kind+theirs]; ok && known != ours {
		*bad = append(*bad, fmt.Sprintf("%sid %s was %s before and is %s now\n", kind, theirs, known, ours))
	}
	if known, ok := m.theirs[kind+ours]; ok && known != theirs {
		*bad = append(*bad, fmt.Sprintf("%sid %s stands for %s and %s\n", kind, ours, known, theirs))
	}
	m.ours[kind+theirs], m.theirs[kind+ours] = ours, theirs
}

var _ http.Handler = (*Server)(nil)
