package server

import (
	"net/http"
)

type v3GroupMeta struct {
	Description *string `json:"description,omitempty"`
	Owner       string  `json:"owner"`
	CreatedOn   string  `json:"createdOn"`
	ModifiedBy  string  `json:"modifiedBy"`
	ModifiedOn  string  `json:"modifiedOn"`
	Labels      labels  `json:"labels,omitempty"`
	GroupID     string  `json:"groupId"`
}

func v3GroupOf(g *group) v3GroupMeta {
	return v3GroupMeta{
		Description: g.Description, Owner: g.Owner, CreatedOn: stamp(g.Created), ModifiedOn: stamp(g.Modified), Labels: g.Labels, GroupID: g.ID,
	}
}

func (h *handler) v3SearchGroups(r *http.Request) (answer, error) {
	q := queryOf(r)
	return h.v3Groups(r, &filter{f: v33, group: q.Get("groupId"), description: q.Get("description"), labels: q.Values["labels"]})
}

// v3Groups answers with a page of the groups that fit.
func (h *handler) v3Groups(r *http.Request, f *filter) (answer, error) {
	q := queryOf(r)
	offset, limit := q.page(h.flavour)
	order := q.order()
	by := q.one("orderby", "rest.v3.beans.GroupSortBy", "groupId", "createdOn", "modifiedOn")
	if q.err != nil {
		return answer{}, q.err
	}
	return h.v2Read(r, func(t tx, _ key) (answer, error) {
		all, err := t.searchGroups(f, order, by)
		if err != nil {
			return answer{}, err
		}
		list := []v3GroupMeta{}
		for _, g := range paged(all, offset, limit) {
			list = append(list, v3GroupOf(g))
		}
		return asJSON(map[string]any{"groups": list, "count": len(all)})
	})
}

func (h *handler) v3Group(r *http.Request) (answer, error) {
	return h.v2Read(r, func(t tx, k key) (answer, error) {
		g, err := t.group(k.group)
		if err != nil {
			return answer{}, err
		}
		return asJSON(v3GroupOf(g))
	})
}

func (h *handler) v3CreateGroup(r *http.Request) (answer, error) {
	var q struct {
		GroupID     string
		Description *string
		Labels      labels
	}
	if err := bodyJSON(r, &q); err != nil {
		return answer{}, err
	}
	g := &group{ID: q.GroupID, meta: meta{Description: q.Description, Labels: q.Labels}}
	if err := h.store.createGroup(g); err != nil {
		return answer{}, err
	}
	return asJSON(v3GroupOf(g))
}

func (h *handler) v3EditGroup(r *http.Request) (answer, error) {
	e, err := v3Edit(r)
	if err != nil {
		return answer{}, err
	}
	return done(h.store.editGroup(r.PathValue("group"), e))
}
