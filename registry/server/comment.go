package server

import (
	"errors"
	"net/http"
	"strings"
)

// commentBody is a comment of a version as v2 and v3 show it.
type commentBody struct {
	Value     string  `json:"value"`
	CreatedOn string  `json:"createdOn"`
	CreatedBy *string `json:"createdBy,omitempty"`
	Owner     *string `json:"owner,omitempty"`
	CommentID string  `json:"commentId"`
}

func (h *handler) commentOf(a api, c *comment) commentBody {
	b := commentBody{Value: c.Value, CommentID: c.ID}
	if a == apiV2 {
		b.CreatedOn, b.CreatedBy = stamp2(h.flavour, c.Created), &c.Owner
	} else {
		b.CreatedOn, b.Owner = stamp(c.Created), &c.Owner
	}
	return b
}

// commented returns the version that the path names, by a branch too in v3.
func (t tx) commented(a api, r *http.Request) (*version, error) {
	if a == apiV3 {
		return t.version3(r)
	}
	return t.mustNamed(artifactKey(r), r.PathValue("version"))
}

func (h *handler) comments(mux *http.ServeMux, a api, base string) {
	h.on(mux, a, base, "GET ", func(r *http.Request) (answer, error) {
		return h.v2Read(r, func(t tx, k key) (answer, error) {
			list := []commentBody{}
			v, err := t.commented(a, r)
			if p := new(problem); errors.As(err, &p) && p.status == http.StatusNotFound && (a == apiV2 || !strings.HasPrefix(r.PathValue("version"), "branch=")) {
				return asJSON(list) // as Apicurio, which does not look
			}
			if err != nil {
				return answer{}, err
			}
			all, err := t.comments(k, v.Version)
			if err != nil {
				return answer{}, err
			}
			for _, c := range all {
				list = append(list, h.commentOf(a, c))
			}
			return asJSON(list)
		})
	})
	h.on(mux, a, base, "POST ", func(r *http.Request) (answer, error) {
		var q struct{ Value *string }
		if err := bodyJSON(r, &q); err != nil {
			return answer{}, err
		}
		if q.Value == nil {
			return answer{}, missing("value")
		}
		c, err := h.store.addComment(*q.Value, func(t tx) (*version, error) { return t.commented(a, r) })
		if err != nil {
			return answer{}, err
		}
		return asJSON(h.commentOf(a, c))
	})
	h.on(mux, a, base, "PUT /{comment}", func(r *http.Request) (answer, error) {
		var q struct{ Value string }
		if err := bodyJSON(r, &q); err != nil {
			return answer{}, err
		}
		return done(h.store.editComment(artifactKey(r), r.PathValue("version"), r.PathValue("comment"), &q.Value))
	})
	h.on(mux, a, base, "DELETE /{comment}", func(r *http.Request) (answer, error) {
		return done(h.store.editComment(artifactKey(r), r.PathValue("version"), r.PathValue("comment"), nil))
	})
}
