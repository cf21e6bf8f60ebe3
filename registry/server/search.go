package server

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// query reads the parameters of a search.
type query struct {
	url.Values
	err error
}

func queryOf(r *http.Request) *query { return &query{Values: r.URL.Query()} }

// number reads a number, or gives otherwise where there is none.
func (q *query) number(name string, otherwise int64) int64 {
	text := q.Get(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil && q.err == nil {
		q.err = badParameter("QueryParam", name, text, `NumberFormatException: For input string: "`+text+`"`)
	}
	return n
}

// one reads one of a Java enum's values, or gives the first of them.
func (q *query) one(name, enum string, values ...string) string {
	text := q.Get(name)
	if text == "" {
		return values[0]
	}
	if !slices.Contains(values, text) && q.err == nil {
		q.err = noConstant("QueryParam", name, text, enum)
	}
	return text
}

// page reads limit and offset. The default limit is Apicurio's 20; one below 0
// is none for 2.6 and 1 for 3.3.
func (q *query) page(f flavour) (offset, limit int) {
	offset, limit = int(q.number("offset", 0)), int(q.number("limit", 20))
	if limit < 0 && f == v33 {
		limit = 1
	}
	return max(offset, 0), limit
}

// paged returns the part of a list on the page asked for.
func paged[T any](all []T, offset, limit int) []T {
	all = all[min(offset, len(all)):]
	if limit < 0 {
		return all
	}
	return all[:min(limit, len(all))]
}

// matches compares with a pattern: 3.x takes * at its ends for anything, 2.6
// looks for the pattern anywhere. Case does not matter.
func matches(f flavour, pattern, text string) bool {
	pattern, text = strings.ToLower(pattern), strings.ToLower(text)
	if f == v26 {
		return strings.Contains(text, pattern)
	}
	rest, before := strings.CutPrefix(pattern, "*")
	rest, after := strings.CutSuffix(rest, "*")
	switch {
	case before && after:
		return strings.Contains(text, rest)
	case before:
		return strings.HasSuffix(text, rest)
	case after:
		return strings.HasPrefix(text, rest)
	}
	return text == pattern
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// filter is a condition of a search. What is empty does not matter.
type filter struct {
	f                    flavour
	name, description    string
	group, artifact      string // v3's patterns
	kind, state, version string
	labels               []string // "name" or "name:value"
	globalID, contentID  int64
	ids                  map[int64]bool // of contents, when posted
}

func (f *filter) meta(m *meta, id string) bool {
	if f.name != "" && !matches(f.f, f.name, deref(m.Name)) && !matches(f.f, f.name, id) {
		return false
	}
	if f.description != "" && !strings.Contains(strings.ToLower(deref(m.Description)), strings.ToLower(f.description)) {
		return false
	}
	for _, l := range f.labels {
		name, value, hasValue := strings.Cut(l, ":")
		got, ok := m.Labels.value(name)
		if !ok || hasValue && (got == nil || !strings.EqualFold(*got, value)) {
			return false
		}
	}
	return true
}

func (f *filter) key(k key) bool {
	return (f.group == "" || k.group == f.group || f.f == v33 && matches(v33, f.group, k.group)) &&
		(f.artifact == "" || matches(f.f, f.artifact, k.artifact))
}

// version reports whether a version fits.
func (f *filter) ofVersion(v *version) bool {
	return f.key(v.key()) && f.meta(&v.meta, v.Artifact) &&
		(f.kind == "" || v.Type == f.kind) && (f.state == "" || v.State == f.state) && (f.version == "" || v.Version == f.version) &&
		(f.globalID == 0 || v.GlobalID == f.globalID) && (f.contentID == 0 || v.ContentID == f.contentID) &&
		(f.ids == nil || f.ids[v.ContentID])
}

// byContent is whether only the versions tell whether an artifact fits.
func (f *filter) byContent() bool {
	return f.globalID != 0 || f.contentID != 0 || f.ids != nil || f.state != "" || f.version != ""
}

// searchArtifacts returns the artifacts that fit, each with its latest version
// if it has one.
func (t tx) searchArtifacts(f *filter) ([]*artifact, error) {
	list := []*artifact{}
	prefix := []byte{}
	if f.group != "" && !strings.Contains(f.group, "*") {
		prefix = append([]byte(f.group), 0)
	}
	err := t.scan(bArtifacts, prefix, func(_, raw []byte) error {
		a := new(artifact)
		if err := json.Unmarshal(raw, a); err != nil {
			return err
		}
		if !f.key(a.key()) || !f.meta(&a.meta, a.ID) || f.kind != "" && a.Type != f.kind {
			return nil
		}
		if f.byContent() {
			fits := false
			all, err := t.versions(a.key())
			for _, v := range all {
				of := *f
				of.name, of.description, of.labels = "", "", nil
				fits = fits || of.ofVersion(v)
			}
			if err != nil || !fits {
				return err
			}
		}
		list = append(list, a)
		return nil
	})
	return list, err
}

// sortBy sorts a list by a key, then by what tells all apart.
func sortBy[T any](list []T, desc bool, by func(a, b T) int) {
	slices.SortStableFunc(list, func(a, b T) int {
		if desc {
			return by(b, a)
		}
		return by(a, b)
	})
}

// sortArtifacts sorts as SQL would. Artifacts that are equal by the key come
// by their ids within one group and under 2.6, else in the order of their
// creation.
func sortArtifacts(f flavour, list []*artifact, oneGroup bool, order, by string) {
	slices.SortStableFunc(list, func(a, b *artifact) int {
		if f == v26 || oneGroup {
			return cmp.Or(strings.Compare(a.Group, b.Group), strings.Compare(a.ID, b.ID))
		}
		return a.Created.Compare(b.Created)
	})
	name := func(a *artifact) string {
		if a.Name != nil {
			return *a.Name
		}
		return a.ID
	}
	sortBy(list, order == "desc", func(a, b *artifact) int {
		switch by {
		case "artifactId":
			return strings.Compare(a.ID, b.ID)
		case "groupId":
			return strings.Compare(a.Group, b.Group)
		case "artifactType":
			return strings.Compare(a.Type, b.Type)
		case "createdOn":
			return a.Created.Compare(b.Created)
		case "modifiedOn":
			return a.Modified.Compare(b.Modified)
		}
		return strings.Compare(name(a), name(b))
	})
}

// searchVersions returns the versions that fit, oldest first.
func (t tx) searchVersions(f *filter) ([]*version, error) {
	list := []*version{}
	add := func(v *version) {
		if f.ofVersion(v) {
			list = append(list, v)
		}
	}
	ids := f.ids
	if ids == nil && f.contentID != 0 {
		ids = map[int64]bool{f.contentID: true}
	}
	switch {
	case ids != nil:
		for id := range ids {
			uses, err := t.uses(id)
			if err != nil {
				return nil, err
			}
			for _, v := range uses {
				add(v)
			}
		}
		slices.SortFunc(list, func(a, b *version) int { return cmp.Compare(a.GlobalID, b.GlobalID) })
		return list, nil
	case f.globalID != 0:
		v, err := t.version(f.globalID)
		if err == nil && v != nil {
			add(v)
		}
		return list, err
	case f.group != "" && f.artifact != "" && !strings.Contains(f.group+f.artifact, "*"):
		all, err := t.versions(key{f.group, f.artifact})
		for _, v := range all {
			add(v)
		}
		return list, err
	}
	err := t.scan(bVersions, nil, func(_, raw []byte) error {
		v := new(version)
		if err := json.Unmarshal(raw, v); err != nil {
			return err
		}
		add(v)
		return nil
	})
	return list, err
}

func sortVersions(list []*version, order, by string) {
	sortBy(list, order == "desc", func(a, b *version) int {
		switch by {
		case "groupId":
			return strings.Compare(a.Group, b.Group)
		case "artifactId":
			return strings.Compare(a.Artifact, b.Artifact)
		case "version":
			return strings.Compare(a.Version, b.Version)
		case "name":
			return strings.Compare(deref(a.Name), deref(b.Name))
		case "createdOn":
			return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.GlobalID, b.GlobalID))
		case "modifiedOn":
			return a.Modified.Compare(b.Modified)
		}
		return cmp.Compare(a.GlobalID, b.GlobalID)
	})
}

// searchGroups returns the groups that fit, by name unless asked otherwise.
func (t tx) searchGroups(f *filter, order, by string) ([]*group, error) {
	list := []*group{}
	err := t.scan(bGroups, nil, func(_, raw []byte) error {
		g := new(group)
		if err := json.Unmarshal(raw, g); err != nil {
			return err
		}
		if (f.group == "" || matches(v33, f.group, g.ID)) && f.meta(&g.meta, g.ID) {
			list = append(list, g)
		}
		return nil
	})
	sortBy(list, order == "desc", func(a, b *group) int {
		switch by {
		case "createdOn":
			return a.Created.Compare(b.Created)
		case "modifiedOn":
			return a.Modified.Compare(b.Modified)
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list, err
}
