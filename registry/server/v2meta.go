package server

import (
	"cmp"
	"encoding/json"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"
)

// What v2 has besides contents: metadata, states, groups and search.

// mediaTypeOf is the request's content type without its parameters.
func mediaTypeOf(r *http.Request) string {
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return t
}

// v2Edit reads v2's metadata.
func (h *handler) v2Edit(r *http.Request) (edit, error) {
	var q struct {
		Name, Description *string
		Labels            []string
		Properties        map[string]*string
	}
	if err := bodyJSON(r, &q); err != nil {
		return edit{}, err
	}
	e := edit{name: q.Name, description: q.Description, replace: h.flavour == v26}
	if q.Labels != nil || q.Properties != nil {
		l := labels{}
		for _, name := range q.Labels {
			l = append(l, label{Name: name})
		}
		for _, name := range slices.Sorted(maps.Keys(q.Properties)) {
			value := deref(q.Properties[name])
			l = append(l, label{name, &value})
		}
		e.labels = &l
	}
	return e, nil
}

func (h *handler) v2EditArtifact(r *http.Request) (answer, error) {
	e, err := h.v2Edit(r)
	if err != nil {
		return answer{}, err
	}
	return done(h.store.editArtifact(artifactKey(r), e, true))
}

func (h *handler) v2EditVersion(r *http.Request) (answer, error) {
	e, err := h.v2Edit(r)
	if err != nil {
		return answer{}, err
	}
	if h.flavour == v26 {
		return done(h.store.editVersion(artifactKey(r), r.PathValue("version"), e))
	}
	return h.editExpression(r, e)
}

// v2ClearVersion empties what a version is called: 2.6 to nothing, 3.3 to
// empty texts.
func (h *handler) v2ClearVersion(r *http.Request) (answer, error) {
	e := edit{replace: true}
	if h.flavour == v33 {
		e.name, e.description = new(string), new(string)
	}
	return done(h.store.editVersion(artifactKey(r), r.PathValue("version"), e))
}

type ownerBody struct {
	Owner string `json:"owner"`
}

func (h *handler) v2Owner(r *http.Request) (answer, error) {
	return h.v2Read(r, func(t tx, k key) (answer, error) {
		a, err := t.mustArtifact(k)
		if err == nil && h.flavour == v26 {
			_, _, err = t.latestOf(k)
		}
		if err != nil {
			return answer{}, err
		}
		return asJSON(ownerBody{a.Owner})
	})
}

func (h *handler) v2SetOwner(r *http.Request) (answer, error) {
	var q *ownerBody
	if text, err := body(r); err != nil || len(text) == 0 {
		return answer{}, errorOr(err, missing("data"))
	} else if !json.Valid(text) {
		return answer{}, errNotJSON
	} else if json.Unmarshal(text, &q) != nil {
		return answer{}, errMistyped()
	}
	if q == nil {
		return answer{}, missing("data")
	}
	return done(h.store.editArtifact(artifactKey(r), edit{owner: &q.Owner}, false))
}

// stateOf reads the state to set.
func stateOf(r *http.Request) (string, error) {
	var q struct{ State string }
	if err := bodyJSON(r, &q); err != nil {
		return "", err
	}
	if q.State == "" && !strings.HasPrefix(r.URL.Path, "/apis/registry/v2/groups/") || q.State == "" && !strings.Contains(r.URL.Path, "/versions/") {
		return "", missing("body.state")
	}
	if !slices.Contains(states, q.State) {
		return "", errMistyped()
	}
	return q.State, nil
}

// v2State sets the state of the newest version, even if it is disabled.
func (h *handler) v2State(r *http.Request) (answer, error) {
	state, err := stateOf(r)
	if err != nil {
		return answer{}, err
	}
	k := artifactKey(r)
	return done(h.store.setState(k, func(t tx) (*version, error) {
		v, err := t.published(k)
		if err != nil || v != nil {
			return v, err
		}
		if h.flavour == v26 {
			return nil, artifactNotFound(k)
		}
		return nil, noTip(k, branchLatest)
	}, state, false))
}

// versionState sets the state of a version.
func (h *handler) versionState(r *http.Request) (answer, error) {
	state, err := stateOf(r)
	if err != nil {
		return answer{}, err
	}
	k := artifactKey(r)
	return done(h.store.setState(k, func(t tx) (*version, error) {
		if !strings.HasPrefix(r.URL.Path, v2Base) {
			return t.version3(r)
		}
		v, err := t.named(k, r.PathValue("version"))
		if err == nil && v == nil {
			err = inGroup(versionNotFound(k, r.PathValue("version")), k)
		}
		return v, err
	}, state, r.URL.Query().Get("dryRun") == "true"))
}

func (h *handler) deleteOne(r *http.Request) (answer, error) {
	k := artifactKey(r)
	return done(h.store.update(func(t tx) error {
		a, err := t.artifact(k)
		if err == nil && a == nil {
			return artifactNotFound(k)
		}
		if err != nil {
			return err
		}
		return h.store.deleteArtifact(t, a)
	}))
}

// deleteOneVersion deletes a version; 2.6 deletes the artifact with its last.
func (h *handler) deleteOneVersion(r *http.Request) (answer, error) {
	k := artifactKey(r)
	return done(h.store.update(func(t tx) error {
		a, err := t.artifact(k)
		if err == nil && a == nil && h.flavour == v26 {
			err = artifactNotFound(k)
		}
		if err != nil {
			return err
		}
		v, err := t.mustNamed(k, r.PathValue("version"))
		if err != nil {
			return err
		}
		return h.store.removeVersion(t, a, v)
	}))
}

// removeVersion deletes a version of an artifact that stays, unless it was its
// last under 2.6.
func (s *store) removeVersion(t tx, a *artifact, v *version) error {
	if err := s.deleteVersion(t, a, v); err != nil {
		return err
	}
	if s.flavour == v26 {
		if left, err := t.versions(a.key()); err != nil || len(left) == 0 {
			if err != nil {
				return err
			}
			return s.deleteArtifact(t, a)
		}
	}
	return t.putArtifact(a)
}

// Groups.

type v2GroupMeta struct {
	ID          string            `json:"id"`
	Description *string           `json:"description,omitempty"`
	CreatedBy   string            `json:"createdBy"`
	CreatedOn   string            `json:"createdOn"`
	ModifiedBy  *string           `json:"modifiedBy,omitempty"`
	ModifiedOn  string            `json:"modifiedOn,omitempty"`
	Properties  map[string]string `json:"properties,omitempty"`
}

// v2GroupOf is a group by itself or, with fewer attributes, in a list. 2.6
// knows no change of a group that was made by itself.
func (h *handler) v2GroupOf(g *group, listed bool) v2GroupMeta {
	m := v2GroupMeta{
		ID: g.ID, Description: g.Description, CreatedBy: g.Owner, CreatedOn: stamp2(h.flavour, g.Created),
		ModifiedBy: new(string), ModifiedOn: stamp2(h.flavour, g.Modified),
	}
	if !listed {
		_, m.Properties = g.Labels.v2()
	}
	if h.flavour == v26 && g.Explicit {
		m.ModifiedBy, m.ModifiedOn = nil, ""
		if !listed {
			m.ModifiedOn = stamp2(h.flavour, time.Unix(0, 0))
		}
	}
	return m
}

func (h *handler) v2Groups(r *http.Request) (answer, error) {
	q := queryOf(r)
	offset, limit := q.page(h.flavour)
	order := q.one("order", "rest.v2.beans.SortOrder", "asc", "desc")
	by := q.one("orderby", "rest.v2.beans.SortBy", "name", "createdOn")
	if q.err != nil {
		return answer{}, q.err
	}
	return h.v2Read(r, func(t tx, _ key) (answer, error) {
		all, err := t.searchGroups(&filter{}, order, by)
		if err != nil {
			return answer{}, err
		}
		list := []v2GroupMeta{}
		for _, g := range paged(all, offset, limit) {
			list = append(list, h.v2GroupOf(g, true))
		}
		return asJSON(map[string]any{"groups": list, "count": len(all)})
	})
}

func (h *handler) v2Group(r *http.Request) (answer, error) {
	return h.v2Read(r, func(t tx, k key) (answer, error) {
		g, err := t.group(k.group)
		if err != nil {
			return answer{}, err
		}
		return asJSON(h.v2GroupOf(g, false))
	})
}

func (h *handler) v2CreateGroup(r *http.Request) (answer, error) {
	var q struct {
		ID          string
		Description *string
		Properties  labels
	}
	if err := bodyJSON(r, &q); err != nil {
		return answer{}, err
	}
	g := &group{ID: q.ID, meta: meta{Description: q.Description, Labels: q.Properties}}
	if err := h.store.createGroup(g); err != nil {
		return answer{}, err
	}
	return asJSON(h.v2GroupOf(g, false))
}

// Search.

func (h *handler) v2ListArtifacts(r *http.Request) (answer, error) {
	return h.v2Results(r, &filter{f: v33, group: r.PathValue("group")})
}

func (h *handler) v2Search(r *http.Request) (answer, error) {
	q := queryOf(r)
	f := &filter{
		f: h.flavour, name: q.Get("name"), description: q.Get("description"), group: q.Get("group"),
		globalID: q.number("globalId", 0), contentID: q.number("contentId", 0), labels: q.Values["properties"],
	}
	if h.flavour == v26 {
		f.labels = append(slices.Clone(f.labels), q.Values["labels"]...)
	}
	if q.err != nil {
		return answer{}, q.err
	}
	return h.v2Results(r, f)
}

// v2Results answers with a page of the artifacts that fit.
func (h *handler) v2Results(r *http.Request, f *filter) (answer, error) {
	q := queryOf(r)
	offset, limit := q.page(h.flavour)
	order := q.one("order", "rest.v2.beans.SortOrder", "asc", "desc")
	by := q.one("orderby", "rest.v2.beans.SortBy", "name", "createdOn")
	if q.err != nil {
		return answer{}, q.err
	}
	return h.v2Read(r, func(t tx, _ key) (answer, error) {
		all, err := t.searchArtifacts(f)
		if err != nil {
			return answer{}, err
		}
		if by == "createdOn" && h.flavour == v26 {
			if err := t.sortByLatest(all, order); err != nil {
				return answer{}, err
			}
		} else {
			sortArtifacts(h.flavour, all, f.group != "", order, by)
		}
		list := []v2Meta{}
		for _, a := range paged(all, offset, limit) {
			list = append(list, h.v2Found(t, a))
		}
		return asJSON(map[string]any{"artifacts": list, "count": len(all)})
	})
}

// sortByLatest sorts artifacts by the creation of their newest version, as 2.6
// does.
func (t tx) sortByLatest(list []*artifact, order string) error {
	created := make(map[*artifact]time.Time, len(list))
	for _, a := range list {
		v, err := t.published(a.key())
		if err != nil {
			return err
		}
		if v != nil {
			created[a] = v.Created
		}
	}
	sortBy(list, order == "desc", func(a, b *artifact) int { return created[a].Compare(created[b]) })
	return nil
}

// posted reads a content to search by, and returns the ids of those like it.
func (h *handler) posted(r *http.Request, k key) (map[int64]bool, error) {
	text, err := body(r)
	if err != nil {
		return nil, err
	}
	if len(text) == 0 {
		return nil, badRequest("BadRequestException", "Empty content is not allowed.")
	}
	q := r.URL.Query()
	canonical, kind := q.Get("canonical") == "true", q.Get("artifactType")
	if canonical && kind == "" {
		return nil, badRequest("BadRequestException", "When setting 'canonical' to 'true', the 'artifactType' query parameter is also required.")
	}
	d := &draft{key: k, text: text, artifactType: kind}
	if err := h.store.prepare(d); err != nil {
		return nil, err
	}
	ids := make(map[int64]bool)
	err = h.store.view(func(t tx) error {
		list, err := t.contentsLike(d, canonical)
		for _, id := range list {
			ids[id] = true
		}
		return err
	})
	return ids, err
}

func (h *handler) v2SearchContent(r *http.Request) (answer, error) {
	ids, err := h.posted(r, key{})
	if err != nil {
		return answer{}, err
	}
	return h.v2Results(r, &filter{f: h.flavour, ids: ids})
}

// shownGroup leaves the default group out.
func shownGroup(g string) string {
	if g == defaultGroup {
		return ""
	}
	return cmp.Or(g)
}
