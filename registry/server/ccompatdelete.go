package server

import (
	"fmt"
	"net/http"
	"strconv"
)

func referenced(subject string) *problem {
	return &problem{status: 422, name: "ReferenceExistsException", message: "There are subjects referencing " + subject, code: 42206}
}

// unreferenced refuses to delete what others refer to.
func (t tx) unreferenced(all ...*version) error {
	for _, v := range all {
		ids, err := t.referrers(v)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if u, err := t.firstUse(id); err != nil || u != nil {
				return errorOr(err, referenced(v.Artifact))
			}
		}
	}
	return nil
}

func (h *handler) deleteSubjectVersion(r *http.Request) (answer, error) {
	permanent := r.URL.Query().Get("permanent") == "true"
	var order int
	err := h.store.update(func(t tx) error {
		v, err := t.numbered(r, true)
		if _, bad := strconv.Atoi(r.PathValue("version")); isProblem(err) && bad == nil && h.flavour == v33 {
			if a, e := t.artifact(subjectKey(r)); e != nil || a != nil {
				err = errorOr(e, versionNotFound(subjectKey(r), r.PathValue("version")))
			}
		}
		if err != nil {
			return err
		}
		if err := h.writable(t, v.Artifact); err != nil {
			return err
		}
		if err := t.unreferenced(v); err != nil {
			return err
		}
		if permanent && v.State != stateDisabled {
			return &problem{status: 409, name: "SchemaNotSoftDeletedException", code: 40407,
				message: fmt.Sprintf("Subject %s version %s must be soft deleted first", v.Artifact, r.PathValue("version"))}
		}
		order = v.Order
		a, err := t.mustArtifact(v.key())
		if err != nil {
			return err
		}
		if permanent {
			return h.store.removeVersion(t, a, v)
		}
		if v.State == stateDisabled {
			return &problem{status: 409, name: "SchemaSoftDeletedException", message: "Schema is already soft deleted", code: 40406}
		}
		return t.disable(a, v)
	})
	return answer{json: order}, err
}

// disable deletes versions softly.
func (t tx) disable(a *artifact, all ...*version) error {
	for _, v := range all {
		v.State = stateDisabled
		if err := t.putVersion(v); err != nil {
			return err
		}
	}
	a.Revision++
	return t.putArtifact(a)
}

func (h *handler) deleteSubject(r *http.Request) (answer, error) {
	k := subjectKey(r)
	permanent := r.URL.Query().Get("permanent") == "true"
	var orders []int
	err := h.store.update(func(t tx) error {
		orders = []int{}
		a, err := t.mustArtifact(k)
		if err != nil {
			return err
		}
		all, err := t.versions(k)
		if err != nil {
			return err
		}
		if err := h.writable(t, k.artifact); err != nil {
			return err
		}
		left := false
		for _, v := range all {
			if v.active() || permanent || h.flavour == v33 {
				orders = append(orders, v.Order)
			}
			left = left || v.active()
		}
		if err := t.unreferenced(all...); err != nil {
			return err
		}
		kept := left
		if h.flavour == v26 && len(all) > 0 { // which looks at the newest version alone
			kept = all[len(all)-1].active()
		}
		if permanent && kept {
			p := &problem{status: 409, name: "SubjectNotSoftDeletedException", code: 40405,
				message: fmt.Sprintf("Subject %s must be soft deleted first", k.artifact)}
			old := *p
			old.message = fmt.Sprintf("Subject :%s must be soft deleted first", k.artifact)
			p.old = &old
			return p
		}
		switch {
		case permanent:
			return h.store.deleteArtifact(t, a)
		case !left:
			return &problem{status: 404, name: "SubjectSoftDeletedException", code: 40404,
				message: fmt.Sprintf("Subject %s is in soft deleted state.", k.artifact), old: artifactNotFound(k).old}
		}
		return t.disable(a, all...)
	})
	return answer{json: orders}, err
}
