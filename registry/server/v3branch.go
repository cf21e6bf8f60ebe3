package server

import (
	"net/http"
	"slices"
)

type v3Branch struct {
	GroupID     string  `json:"groupId,omitempty"`
	ArtifactID  string  `json:"artifactId,omitempty"`
	BranchID    string  `json:"branchId"`
	CreatedOn   string  `json:"createdOn"`
	ModifiedBy  string  `json:"modifiedBy"`
	ModifiedOn  string  `json:"modifiedOn"`
	Owner       string  `json:"owner"`
	Description *string `json:"description,omitempty"`
	System      bool    `json:"systemDefined"`
}

func v3BranchOf(k key, b *branch) v3Branch {
	return v3Branch{
		GroupID: shownGroup(k.group), ArtifactID: k.artifact, BranchID: b.ID, CreatedOn: stamp(b.Created), ModifiedOn: stamp(b.Modified),
		Owner: b.Owner, Description: b.Description, System: isSystem(b.ID),
	}
}

func (h *handler) v3Branches(mux *http.ServeMux, base string) {
	on := func(pattern string, f call) { h.on(mux, apiV3, base, pattern, f) }
	on("GET ", h.v3ListBranches)
	on("POST ", h.v3CreateBranch)
	on("GET /{branch}", h.v3Branch)
	on("PUT /{branch}", func(r *http.Request) (answer, error) {
		e, err := v3Edit(r)
		if err != nil {
			return answer{}, err
		}
		return done(h.store.editBranch(artifactKey(r), r.PathValue("branch"), "modified", func(_ tx, b *branch) error {
			if e.description != nil {
				b.Description = e.description
			}
			return nil
		}))
	})
	on("DELETE /{branch}", func(r *http.Request) (answer, error) {
		return done(h.store.editBranch(artifactKey(r), r.PathValue("branch"), "deleted", func(tx, *branch) error { return nil }))
	})
	on("GET /{branch}/versions", h.v3BranchVersions)
	on("POST /{branch}/versions", h.v3SetBranch)
	on("PUT /{branch}/versions", h.v3SetBranch)
}

func (h *handler) v3ListBranches(r *http.Request) (answer, error) {
	q := queryOf(r)
	offset, limit := q.page(h.flavour)
	if q.err != nil {
		return answer{}, q.err
	}
	return h.v2Read(r, func(t tx, k key) (answer, error) {
		all, err := t.branches(k)
		if err != nil {
			return answer{}, err
		}
		list := []v3Branch{}
		for _, b := range paged(all, offset, limit) {
			list = append(list, v3BranchOf(key{group: defaultGroup}, b))
		}
		return asJSON(map[string]any{"branches": list, "count": len(all)})
	})
}

func (h *handler) v3CreateBranch(r *http.Request) (answer, error) {
	var q struct {
		BranchID    string
		Description *string
		Versions    []string
	}
	if err := bodyJSON(r, &q); err != nil {
		return answer{}, err
	}
	if q.BranchID == "" {
		return answer{}, missing("branchId")
	}
	b := &branch{ID: q.BranchID, Description: q.Description, Versions: q.Versions}
	if err := h.store.createBranch(artifactKey(r), b); err != nil {
		return answer{}, err
	}
	return asJSON(v3BranchOf(artifactKey(r), b))
}

func (h *handler) v3Branch(r *http.Request) (answer, error) {
	return h.v2Read(r, func(t tx, k key) (answer, error) {
		b, err := t.branch(k, r.PathValue("branch"))
		if err != nil {
			return answer{}, err
		}
		return asJSON(v3BranchOf(k, b))
	})
}

// v3BranchVersions lists a branch's versions, newest first.
func (h *handler) v3BranchVersions(r *http.Request) (answer, error) {
	q := queryOf(r)
	offset, limit := q.page(h.flavour)
	if q.err != nil {
		return answer{}, q.err
	}
	return h.v2Read(r, func(t tx, k key) (answer, error) {
		b, err := t.branch(k, r.PathValue("branch"))
		if err != nil {
			return answer{}, err
		}
		list := []*version{}
		for _, name := range slices.Backward(b.Versions) {
			v, err := t.mustNamed(k, name)
			if err != nil {
				return answer{}, err
			}
			list = append(list, v)
		}
		return v3ListOf(list, offset, limit)
	})
}

// v3SetBranch appends a version to a branch or replaces all that it has.
func (h *handler) v3SetBranch(r *http.Request) (answer, error) {
	var q struct {
		Version  string
		Versions []string
	}
	if err := bodyJSON(r, &q); err != nil {
		return answer{}, err
	}
	k := artifactKey(r)
	return done(h.store.editBranch(k, r.PathValue("branch"), "modified", func(t tx, b *branch) error {
		list := q.Versions
		if r.Method == http.MethodPost {
			if q.Version == "" {
				return versionID("null")
			}
			if slices.Contains(b.Versions, q.Version) {
				return conflict("VersionAlreadyExistsOnBranchException",
					"Version '%s' (for artifact ID '%s' in group '%s') already exists in branch '%s'.", q.Version, k.artifact, k.group, b.ID)
			}
			list = append(slices.Clone(b.Versions), q.Version)
		}
		if err := t.haveVersions(k, list); err != nil {
			return err
		}
		b.Versions = list
		return nil
	}))
}
