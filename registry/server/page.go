package server

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"tributary/internal/avrotext"
)

// The pages for people: plain HTML, without scripts.

//go:embed pages/*.html
var pageFiles embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"text": deref,
	"time": stamp,
	"older": func(all []*version, i int) *version { // newest first
		if i+1 < len(all) {
			return all[i+1]
		}
		return nil
	},
	"url": func(parts ...string) string { return pageURL(parts...) },
}).ParseFS(pageFiles, "pages/*.html"))

// pageURL is the address of a page, its parts escaped. Browsers take "." and
// ".." for steps however they are escaped: a tilde before them keeps them from
// it, as it does before names that begin with one.
func pageURL(parts ...string) string {
	escaped := make([]string, len(parts))
	for i, p := range parts {
		if p == "." || p == ".." || strings.HasPrefix(p, "~") {
			p = "~" + p
		}
		escaped[i] = url.PathEscape(p)
	}
	return "/ui/" + strings.Join(escaped, "/")
}

// unescaped takes the tildes of pageURL off.
func unescaped(r *http.Request) {
	for _, name := range []string{"group", "artifact", "version", "from", "to"} {
		if value, ok := strings.CutPrefix(r.PathValue(name), "~"); ok {
			r.SetPathValue(name, value)
		}
	}
}

func (h *handler) page(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", h.shown("list.html", h.listPage))
	mux.HandleFunc("GET /ui/{group}/{artifact}", h.shown("artifact.html", h.artifactPage))
	mux.HandleFunc("GET /ui/{group}/{artifact}/{version}", h.shown("version.html", h.versionPage))
	mux.HandleFunc("GET /ui/{group}/{artifact}/{from}/diff/{to}", h.shown("diff.html", h.diffPage))
	for _, base := range ccompatBases {
		mux.HandleFunc("GET "+base, h.shown("api.html", func(r *http.Request) (any, error) { return base, nil }))
	}
}

// shown serves a page made of what f finds.
func (h *handler) shown(name string, f func(r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		unescaped(r)
		data, err := f(r)
		status := http.StatusOK
		if err != nil {
			name := "error.html"
			status = http.StatusInternalServerError
			if p, ok := errors.AsType[*problem](err); ok {
				status = p.status
			} else {
				h.log.Error("registry page failed", "path", r.URL.Path, "error", err)
			}
			h.render(w, status, name, err.Error())
			return
		}
		h.render(w, status, name, data)
	}
}

func (h *handler) render(w http.ResponseWriter, status int, name string, data any) {
	var out bytes.Buffer
	if err := pages.ExecuteTemplate(&out, name, data); err != nil {
		h.log.Error("registry page does not render", "page", name, "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'")
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes())
}

type listData struct {
	Query, Group   string
	Artifacts      []*listed
	Count          int
	Previous, Next int // offsets, -1 for none
	Rules          []namedRule
	Apicurio       string
	ReadOnly       bool
}

type listed struct {
	*artifact
	Latest *version
	Count  int
}

type namedRule struct{ Kind, Config string }

// pageSize is how many artifacts a page lists.
const pageSize = 50

func (h *handler) listPage(r *http.Request) (any, error) {
	q := queryOf(r)
	offset := int(max(q.number("offset", 0), 0))
	if q.err != nil {
		return nil, q.err
	}
	d := listData{Query: q.Get("q"), Group: q.Get("group"), Previous: -1, Next: -1, Apicurio: systemInfo(h.flavour).Version, ReadOnly: h.store.readOnly.Load()}
	f := &filter{f: v33, group: d.Group}
	if d.Query != "" {
		f.name = "*" + d.Query + "*"
	}
	err := h.store.view(func(t tx) error {
		all, err := t.searchArtifacts(f)
		if err != nil {
			return err
		}
		sortArtifacts(v33, all, true, "asc", "artifactId")
		d.Count = len(all)
		for _, a := range paged(all, offset, pageSize) {
			v, err := t.latest(a.key())
			if err != nil {
				return err
			}
			d.Artifacts = append(d.Artifacts, &listed{a, v, a.Orders})
		}
		d.Rules = t.namedRules(everything())
		return nil
	})
	if offset > 0 {
		d.Previous = max(offset-pageSize, 0)
	}
	if offset+pageSize < d.Count {
		d.Next = offset + pageSize
	}
	return d, err
}

func (t tx) namedRules(s scope) []namedRule {
	var list []namedRule
	for _, kind := range t.rules(s) {
		list = append(list, namedRule{kind, t.rule(s, kind)})
	}
	return list
}

type artifactData struct {
	*artifact
	Versions           []*version
	Branches           []*branch
	Own, OfGroup, Glob []namedRule
}

func (h *handler) artifactPage(r *http.Request) (any, error) {
	d := artifactData{}
	err := h.store.view(func(t tx) (err error) {
		k := artifactKey(r)
		if d.artifact, err = t.mustArtifact(k); err != nil {
			return err
		}
		if d.Versions, err = t.versions(k); err != nil {
			return err
		}
		slices.Reverse(d.Versions)
		d.Own, d.OfGroup, d.Glob = t.namedRules(ofArtifact(k)), t.namedRules(ofGroup(k.group)), t.namedRules(everything())
		d.Branches, err = t.branches(k)
		return err
	})
	return d, err
}

type versionData struct {
	*version
	Text     string
	Refs     []reference
	Comments []*comment
	Others   []*version
}

func (h *handler) versionPage(r *http.Request) (any, error) {
	d := versionData{}
	err := h.store.view(func(t tx) (err error) {
		k := artifactKey(r)
		if d.version, err = t.mustNamed(k, r.PathValue("version")); err != nil {
			return err
		}
		c, err := t.content(d.ContentID)
		if err != nil || c == nil {
			return err
		}
		d.Text, d.Refs = indented(c.Text), c.Refs
		if d.Others, err = t.versions(k); err != nil {
			return err
		}
		d.Comments, err = t.comments(k, d.Version)
		return err
	})
	return d, err
}

// indented lays JSON out for reading; what is no JSON stays as it is.
func indented(text []byte) string {
	var out bytes.Buffer
	if json.Indent(&out, text, "", "  ") != nil {
		return string(text)
	}
	return out.String()
}

type diffData struct {
	Group, Artifact, From, To string
	Lines                     []diffLine
	Verdict                   []violation // why data of From cannot be read with To
	Compared                  bool
	Changes                   []avrotext.Change // of Avro's fields
}

func (h *handler) diffPage(r *http.Request) (any, error) {
	k := artifactKey(r)
	d := diffData{Group: k.group, Artifact: k.artifact, From: r.PathValue("from"), To: r.PathValue("to")}
	err := h.store.view(func(t tx) error {
		var text [2]string
		var contents [2]*content
		var kind string
		for i, name := range []string{d.From, d.To} {
			v, err := t.mustNamed(k, name)
			if err != nil {
				return err
			}
			if contents[i], err = t.content(v.ContentID); err != nil || contents[i] == nil {
				return err
			}
			text[i], kind = indented(contents[i].Text), v.Type
		}
		d.Lines = diffLines(strings.Split(text[0], "\n"), strings.Split(text[1], "\n"))
		from, err := t.mustNamed(k, d.From)
		if err != nil {
			return err
		}
		compare := t.comparer(&draft{key: k, artifactType: kind, text: contents[1].Text, refs: contents[1].Refs})
		if compare == nil {
			return nil
		}
		backward, _, err := compare(v33, from, "BACKWARD")
		if err != nil {
			return nil //nolint:nilerr // one of them is no schema: there is no verdict
		}
		d.Compared = true
		for _, b := range backward[:min(len(backward), maxTold)] {
			d.Verdict = append(d.Verdict, b.violation)
		}
		if more := len(backward) - maxTold; more > 0 {
			d.Verdict = append(d.Verdict, violation{fmt.Sprintf("and %d more", more), "/"})
		}
		d.Changes = t.changes(kind, contents)
		return nil
	})
	return d, err
}

// changes tells what became of the fields from one Avro schema to another.
func (t tx) changes(kind string, contents [2]*content) []avrotext.Change {
	if kind != "AVRO" {
		return nil
	}
	older, err1 := t.parse(string(contents[0].Text), contents[0].Refs)
	newer, err2 := t.parse(string(contents[1].Text), contents[1].Refs)
	if err1 != nil || err2 != nil {
		return nil // what is no schema has no fields
	}
	return avrotext.Changes(older, newer)
}
