package server

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// ids serves the look-ups by id and hash, which v2 and v3 share.
func (h *handler) ids(mux *http.ServeMux, a api, base string, dereference func(*http.Request) bool) {
	type finder func(t tx, a api, r *http.Request) (contentID int64, err error)
	for path, find := range map[string]finder{
		"/ids/globalIds/{globalId}":   h.findGlobal,
		"/ids/contentIds/{contentId}": h.findContent,
		"/ids/contentHashes/{hash}":   h.findHash,
	} {
		mediaType := "application/json"
		if a == apiV2 && !strings.Contains(path, "globalId") {
			mediaType = "application/octet-stream"
		}
		h.on(mux, a, base, "GET "+path, func(r *http.Request) (out answer, err error) {
			if _, bad := strconv.ParseInt(r.PathValue("globalId"), 10, 64); a == apiV3 && bad == nil {
				if err := referencesHow(r); err != nil {
					return answer{}, err
				}
			}
			err = h.store.view(func(t tx) error {
				id, err := find(t, a, r)
				if err == nil {
					// What is asked for by its content comes as it is.
					out, err = t.text(id, mediaType, r.PathValue("globalId") != "" && dereference(r))
				}
				return err
			})
			return out, err
		})
		h.on(mux, a, base, "GET "+path+"/references", func(r *http.Request) (out answer, err error) {
			kind, err := refType(r)
			if err != nil {
				return answer{}, err
			}
			err = h.store.view(func(t tx) error {
				if n, e := strconv.ParseInt(r.PathValue("globalId"), 10, 64); kind == "INBOUND" && e == nil {
					if v, err := t.version(n); err != nil || v != nil {
						out, err = t.referencesOf(r, v)
						return err
					}
				}
				id, err := find(t, a, r)
				if n := r.PathValue("globalId"); n != "" && isProblem(err) {
					id, err = t.anyGlobal(n, err)
				}
				if err == nil {
					out, err = t.references(id)
				}
				return err
			})
			return out, err
		})
	}
}

func (h *handler) findGlobal(t tx, a api, r *http.Request) (int64, error) {
	n, err := pathNumber(r, "globalId")
	if err != nil {
		return 0, err
	}
	v, err := t.version(n)
	if err != nil {
		return 0, err
	}
	if v == nil {
		return 0, globalNotFound(n)
	}
	// 3.3 gives what is disabled, or a draft, to v2 alone.
	if v.State == stateDraft && a == apiV3 || v.State == stateDisabled && (h.flavour == v26 || a != apiV2) {
		return 0, disabledGlobal(n)
	}
	return v.ContentID, nil
}

func (h *handler) findContent(t tx, _ api, r *http.Request) (int64, error) {
	n, err := pathNumber(r, "contentId")
	if err != nil {
		return 0, err
	}
	if t.Bucket(bContents).Get(number(n)) == nil {
		return 0, contentNotFound("ID", r.PathValue("contentId"))
	}
	return n, nil
}

func (h *handler) findHash(t tx, _ api, r *http.Request) (int64, error) {
	text := r.PathValue("hash")
	hash, err := hex.DecodeString(text)
	if err == nil && len(hash) == sha256.Size {
		if id := t.Bucket(bHashes).Get(hash); id != nil {
			return parseNumber(id), nil
		}
	}
	return 0, contentNotFound("hash", text)
}

// anyGlobal returns the content of a version whatever its state, for what is
// told of disabled ones, too; otherwise is the problem where it is no number.
func (t tx) anyGlobal(id string, otherwise error) (int64, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return 0, otherwise
	}
	v, err := t.version(n)
	if err != nil || v == nil {
		return 0, errorOr(err, artifactNotFound(key{"null", "gid-" + id}))
	}
	return v.ContentID, nil
}

// isProblem reports whether err is for the client.
func isProblem(err error) bool {
	var p *problem
	return errors.As(err, &p)
}

// text answers with a content, its references put in place if asked.
func (t tx) text(contentID int64, mediaType string, dereference bool) (answer, error) {
	c, err := t.content(contentID)
	if err != nil {
		return answer{}, err
	}
	if c == nil {
		return answer{}, contentNotFound("ID", string(number(contentID)))
	}
	a := answer{text: c.Text, contentType: mediaType}
	if dereference {
		a.text, err = t.resolved(c)
	}
	return a, err
}

// ofVersion answers with a version's content; a deprecated one is marked.
func (t tx) ofVersion(v *version, dereference bool) (answer, error) {
	if v.State == stateDisabled {
		return answer{}, versionNotFound(v.key(), v.Version)
	}
	a, err := t.text(v.ContentID, "application/json", dereference)
	if v.State == stateDeprecated {
		a.header = map[string]string{
			"X-Registry-Deprecated": "true", "X-Registry-GroupId": v.Group,
			"X-Registry-ArtifactId": v.Artifact, "X-Registry-Version": v.Version,
		}
	}
	return a, err
}

// references answers with what a content refers to.
func (t tx) references(contentID int64) (answer, error) {
	c, err := t.content(contentID)
	if err != nil || c == nil || c.Refs == nil {
		return answer{json: []reference{}}, err
	}
	return asJSON(c.Refs)
}

func refType(r *http.Request) (string, error) {
	kind := r.URL.Query().Get("refType")
	if kind != "" && kind != "INBOUND" && kind != "OUTBOUND" {
		return "", noConstant("QueryParam", "refType", kind, "types.ReferenceType")
	}
	return kind, nil
}

// referencesOf answers with what a version refers to or, if asked, with the
// versions that refer to it.
func (t tx) referencesOf(r *http.Request, v *version) (answer, error) {
	kind, err := refType(r)
	if err != nil {
		return answer{}, err
	}
	if kind != "INBOUND" {
		return t.references(v.ContentID)
	}
	ids, err := t.referrers(v)
	if err != nil {
		return answer{}, err
	}
	list := []reference{}
	for _, id := range ids {
		c, err := t.content(id)
		if err != nil {
			return answer{}, err
		}
		uses, err := t.uses(id)
		if err != nil {
			return answer{}, err
		}
		for _, u := range uses {
			for _, ref := range c.Refs {
				if ref.key() == v.key() && ref.Version == v.Version {
					list = append(list, reference{u.Group, u.Artifact, u.Version, ref.Name})
				}
			}
		}
	}
	slices.SortFunc(list, func(a, b reference) int {
		return cmp.Or(strings.Compare(a.Artifact, b.Artifact), strings.Compare(a.Version, b.Version))
	})
	return asJSON(list)
}

// hashMatches checks the hash that a client sent along.
func hashMatches(algorithm, hash string, text []byte) bool {
	if algorithm != "" && algorithm != "SHA256" {
		return true // not known here, and not ours to refuse
	}
	sum := sha256.Sum256(text)
	return hash == hex.EncodeToString(sum[:])
}
