package server

import (
	"net/http"
	"strings"
)

func v3ListOf(all []*version, offset, limit int) (answer, error) {
	list := []v3VersionMeta{}
	for _, v := range paged(all, offset, limit) {
		list = append(list, v3Version(v))
	}
	return asJSON(map[string]any{"count": len(all), "versions": list})
}

func (h *handler) v3Versions(r *http.Request) (answer, error) {
	q := queryOf(r)
	offset, limit := q.page(h.flavour)
	order, by := q.versionOrder()
	if q.err != nil {
		return answer{}, q.err
	}
	return h.v2Read(r, func(t tx, k key) (answer, error) {
		all, err := t.versionsOf(k)
		if err != nil {
			return answer{}, err
		}
		sortVersions(all, order, by)
		return v3ListOf(all, offset, limit)
	})
}

func (q *query) order() string { return q.one("order", "rest.v3.beans.SortOrder", "asc", "desc") }

func (q *query) versionOrder() (order, by string) {
	return q.order(), q.one("orderby", "rest.v3.beans.VersionSortBy",
		"globalId", "groupId", "artifactId", "version", "name", "createdOn", "modifiedOn")
}

// v3Filter reads the conditions that searches share; with a body, those of
// its content too.
func (h *handler) v3Filter(r *http.Request, q *query) (*filter, error) {
	f := &filter{
		f: v33, name: q.Get("name"), description: q.Get("description"), group: q.Get("groupId"), artifact: q.Get("artifactId"),
		kind: q.Get("artifactType"), state: q.Get("state"), version: q.Get("version"), labels: q.Values["labels"],
		globalID: q.number("globalId", 0), contentID: q.number("contentId", 0),
	}
	if strings.HasSuffix(r.URL.Path, "/search/artifacts") {
		f.state, f.version = "", "" // which it does not take
	}
	if f.state != "" {
		q.one("state", "types.VersionState", states...)
	}
	if q.err != nil || r.Method != http.MethodPost {
		return f, q.err
	}
	var err error
	f.ids, err = h.posted(r, key{})
	f.kind = ""
	return f, err
}

func (h *handler) v3ListArtifacts(r *http.Request) (answer, error) {
	q := queryOf(r)
	return h.v3Artifacts(r, q, &filter{f: v33, group: r.PathValue("group")})
}

func (h *handler) v3SearchArtifacts(r *http.Request) (answer, error) {
	q := queryOf(r)
	f, err := h.v3Filter(r, q)
	if err != nil {
		return answer{}, err
	}
	return h.v3Artifacts(r, q, f)
}

// v3Artifacts answers with a page of the artifacts that fit.
func (h *handler) v3Artifacts(r *http.Request, q *query, f *filter) (answer, error) {
	offset, limit := q.page(h.flavour)
	order := q.order()
	by := q.one("orderby", "rest.v3.beans.ArtifactSortBy", "name", "groupId", "artifactId", "createdOn", "modifiedOn", "artifactType")
	if q.err != nil {
		return answer{}, q.err
	}
	return h.v2Read(r, func(t tx, _ key) (answer, error) {
		all, err := t.searchArtifacts(f)
		if err != nil {
			return answer{}, err
		}
		sortArtifacts(v33, all, f.group != "", order, by)
		list := []v3ArtifactMeta{}
		for _, a := range paged(all, offset, limit) {
			list = append(list, v3Artifact(a))
		}
		return asJSON(map[string]any{"artifacts": list, "count": len(all)})
	})
}

func (h *handler) v3SearchVersions(r *http.Request) (answer, error) {
	q := queryOf(r)
	f, err := h.v3Filter(r, q)
	offset, limit := q.page(h.flavour)
	order, by := q.versionOrder()
	if err == nil {
		err = q.err
	}
	if err != nil {
		return answer{}, err
	}
	return h.v2Read(r, func(t tx, _ key) (answer, error) {
		all, err := t.searchVersions(f)
		if err != nil {
			return answer{}, err
		}
		sortVersions(all, order, by)
		return v3ListOf(all, offset, limit)
	})
}
