package server

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// The Confluent API's configuration: compatibility levels, which are rules
// here, and modes.

var levels = []string{"NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"}

// configScope is what the request configures.
func configScope(r *http.Request) scope {
	if r.PathValue("subject") == "" {
		return everything()
	}
	return ofArtifact(subjectKey(r))
}

func (t tx) level(s scope) string {
	if level := t.rule(s, ruleCompatibility); level != "" {
		return level
	}
	return "NONE"
}

// subjectExists is a problem if the request names a subject that does not.
func (t tx) subjectExists(r *http.Request) error {
	if r.PathValue("subject") == "" || t.rule(configScope(r), ruleCompatibility) != "" {
		return nil // a level may be set before there is a subject
	}
	_, err := t.mustArtifact(subjectKey(r))
	return err
}

// config answers with the level of a subject, which must exist, or the global
// one. A subject's level is its own alone, NONE where it has none, unless the
// global one is asked for then.
func (h *handler) config(r *http.Request) (answer, error) {
	return h.v2Read(r, func(t tx, _ key) (answer, error) {
		if err := t.subjectExists(r); err != nil {
			return answer{}, err
		}
		level := t.level(configScope(r))
		if t.rule(configScope(r), ruleCompatibility) == "" && h.flavour == v33 && r.URL.Query().Get("defaultToGlobal") == "true" {
			level = t.level(everything())
		}
		return asJSON(map[string]string{"compatibilityLevel": level})
	})
}

func (h *handler) setConfig(r *http.Request) (answer, error) {
	var q struct{ Compatibility string }
	if err := bodyJSON(r, &q); err != nil {
		return answer{}, err
	}
	if !slices.Contains(levels, q.Compatibility) {
		if h.flavour == v26 {
			return answer{}, errMistyped()
		}
		return answer{}, &problem{status: 422, name: "InvalidCompatibilityLevelException", code: 42203,
			message: "Invalid compatibility level: " + q.Compatibility}
	}
	if err := checkNames(r.PathValue("subject")); err != nil {
		return answer{}, err
	}
	level := q.Compatibility
	if level == "NONE" && h.flavour == v26 {
		level = "" // 2.6 takes it for no level
	}
	err := h.store.update(func(t tx) error {
		if err := h.writable(t, r.PathValue("subject")); err != nil {
			return err
		}
		if level == "" && r.PathValue("subject") == "" && t.rule(everything(), ruleCompatibility) == "" {
			p := ruleNotFound(ruleCompatibility)
			p.code = 0
			return p
		}
		return t.setRule(configScope(r), ruleCompatibility, level)
	})
	out := map[string]any{"compatibility": q.Compatibility}
	if h.flavour == v33 {
		out["normalize"] = false
	}
	return answer{json: out}, err
}

// deleteConfig answers with the level that there was.
func (h *handler) deleteConfig(r *http.Request) (answer, error) {
	var was string
	err := h.store.update(func(t tx) error {
		if err := t.subjectExists(r); err != nil {
			return err
		}
		if err := h.writable(t, r.PathValue("subject")); err != nil {
			return err
		}
		was = t.level(configScope(r))
		return t.setRule(configScope(r), ruleCompatibility, "")
	})
	return answer{json: map[string]string{"compatibilityLevel": was}}, err
}

// checkCompatibility compares a schema with one version of a subject, or with
// each of them until one does not suit.
func (h *handler) checkCompatibility(r *http.Request) (answer, error) {
	d, err := h.subjectDraft(r)
	if err != nil {
		return answer{}, err
	}
	var reason *problem
	err = h.store.view(func(t tx) error {
		older, err := h.toCompare(t, r, d)
		if err != nil {
			return err
		}
		level := t.effective(d.key, ruleCompatibility)
		if level == "" && h.flavour == v33 {
			level = "BACKWARD"
		}
		if level == "" {
			return nil // which 2.6 takes for any schema
		}
		for _, v := range older {
			err := h.store.compatibleWith(t, d, level, []*version{v})
			if errors.As(err, &reason) && reason.rule {
				return nil
			}
			if err != nil {
				reason = nil
				return err
			}
		}
		return nil
	})
	if err != nil {
		return answer{}, err
	}
	out := map[string]any{"is_compatible": reason == nil}
	if h.flavour == v26 {
		out["reason"] = nil
		if reason != nil && r.URL.Query().Get("verbose") == "true" {
			out["reason"] = reason.withCauses()
		}
	}
	return asJSON(out)
}

// toCompare returns the versions that a check is to be made with.
func (h *handler) toCompare(t tx, r *http.Request, d *draft) ([]*version, error) {
	a, err := t.artifact(d.key)
	if err != nil {
		return nil, err
	}
	name := r.PathValue("version")
	switch {
	case a == nil && name == "":
		return nil, artifactNotFound(d.key)
	case a == nil && h.flavour == v33 && name == "latest":
		return nil, nil
	case a == nil:
		return nil, versionNotFound(d.key, name)
	}
	if d.artifactType = a.Type; name == "" {
		all, err := t.versions(d.key)
		all = slices.DeleteFunc(all, func(v *version) bool { return !v.active() })
		if err == nil && len(all) == 0 {
			err = artifactNotFound(d.key)
		}
		return all, err
	}
	v, err := t.numbered(r, true)
	return []*version{v}, err
}

// Modes.

const (
	modeReadWrite = "READWRITE"
	modeReadOnly  = "READONLY"
	modeImport    = "IMPORT"
)

// modeOf is the mode that holds for a subject, or everywhere for "".
func (t tx) modeOf(subject string) string {
	if mode := t.setting("mode\x00" + subject); mode != "" {
		return mode
	}
	if mode := t.setting("mode\x00"); mode != "" {
		return mode
	}
	return modeReadWrite
}

func (h *handler) mode(r *http.Request) (answer, error) {
	return h.v2Read(r, func(t tx, _ key) (answer, error) {
		return asJSON(map[string]string{"mode": t.modeOf(r.PathValue("subject"))})
	})
}

func (h *handler) setMode(r *http.Request) (answer, error) {
	var q struct{ Mode string }
	if err := bodyJSON(r, &q); err != nil {
		return answer{}, err
	}
	if err := checkNames(r.PathValue("subject")); err != nil {
		return answer{}, err
	}
	if q.Mode == "" {
		return answer{}, unprocessable("Invalid mode: null")
	}
	if q.Mode != modeReadWrite && q.Mode != modeReadOnly && q.Mode != modeImport {
		return answer{}, unprocessable("Invalid mode: " + q.Mode)
	}
	err := h.store.update(func(t tx) error {
		return t.Bucket(bSettings).Put([]byte("mode\x00"+r.PathValue("subject")), []byte(q.Mode))
	})
	return answer{json: map[string]string{"mode": q.Mode}}, err
}

// deleteMode answers with the mode that there was.
func (h *handler) deleteMode(r *http.Request) (answer, error) {
	subject := r.PathValue("subject")
	var was string
	err := h.store.update(func(t tx) error {
		was = t.modeOf(subject)
		return t.Bucket(bSettings).Delete([]byte("mode\x00" + subject))
	})
	return answer{json: map[string]string{"mode": was}}, err
}

// notPermitted is Confluent's answer to what the mode forbids.
func notPermitted(format string, args ...any) *problem {
	return &problem{status: 422, name: "OperationNotPermittedException", message: fmt.Sprintf(format, args...), code: 42205}
}

// writable refuses changes of a subject, or of what holds for all, in READONLY
// mode.
func (h *handler) writable(t tx, subject string) error {
	if t.modeOf(subject) == modeReadOnly {
		if subject == "" {
			subject = "null"
		}
		return notPermitted("Subject %s is in read-only mode", subject)
	}
	return nil
}

// permitted refuses what the mode forbids. Outside of IMPORT, ids and versions
// that clients bring are ignored, as Apicurio does.
func (h *handler) permitted(t tx, d *draft) error {
	if err := h.writable(t, d.artifact); err != nil {
		return err
	}
	if t.modeOf(d.artifact) != modeImport {
		d.contentID, d.order = 0, 0
		return nil
	}
	if d.contentID == 0 {
		return notPermitted("Subject %s is not in read-write mode", d.artifact)
	}
	return nil
}
