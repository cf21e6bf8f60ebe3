package server

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// ids serves the look-ups by id and hash, which v2 and v3 share. hashType is
// the content type of what is found by contentId or hash.
func (h *handler) ids(mux *http.ServeMux, base string, body errorBody, hashType string, dereference func(*http.Request) bool) {
	type finder func(t tx, r *http.Request) (contentID int64, err error)
	for path, find := range map[string]finder{
		"/ids/globalIds/{globalId}":   findGlobal,
		"/ids/contentIds/{contentId}": findContent,
		"/ids/contentHashes/{hash}":   findHash,
	} {
		contentType := hashType
		if path == "/ids/globalIds/{globalId}" {
			contentType = "application/json"
		}
		h.on(mux, "GET "+base+path, body, func(r *http.Request) (a answer, err error) {
			err = h.store.view(func(t tx) error {
				id, err := find(t, r)
				if err == nil {
					a, err = t.text(id, contentType, dereference(r))
				}
				return err
			})
			return a, err
		})
		h.on(mux, "GET "+base+path+"/references", body, func(r *http.Request) (a answer, err error) {
			err = h.store.view(func(t tx) error {
				id, err := find(t, r)
				if err == nil {
					a, err = t.references(id)
				}
				return err
			})
			return a, err
		})
	}
}

func findGlobal(t tx, r *http.Request) (int64, error) {
	n, err := pathNumber(r, "globalId")
	if err != nil {
		return 0, err
	}
	v, err := t.version(n)
	if err != nil {
		return 0, err
	}
	if v == nil || v.State == stateDisabled {
		return 0, &problem{404, "VersionNotFoundException", fmt.Sprintf("No version with global ID '%d' found.", n), 40402, "", ""}
	}
	return v.ContentID, nil
}

func findContent(t tx, r *http.Request) (int64, error) {
	n, err := pathNumber(r, "contentId")
	if err != nil {
		return 0, err
	}
	if t.Bucket(bContents).Get(number(n)) == nil {
		return 0, &problem{404, "ContentNotFoundException", fmt.Sprintf("No content with ID '%d' was found.", n), 40403, "", ""}
	}
	return n, nil
}

func findHash(t tx, r *http.Request) (int64, error) {
	text := r.PathValue("hash")
	hash, err := hex.DecodeString(text)
	if err == nil && len(hash) == sha256.Size {
		if id := t.Bucket(bHashes).Get(hash); id != nil {
			return parseNumber(id), nil
		}
	}
	return 0, &problem{404, "ContentNotFoundException", fmt.Sprintf("No content with hash '%s' was found.", text), 40403, "", ""}
}

// text answers with a content, its references put in place if asked.
func (t tx) text(contentID int64, contentType string, dereference bool) (answer, error) {
	c, err := t.content(contentID)
	if err != nil {
		return answer{}, err
	}
	if c == nil {
		return answer{}, fmt.Errorf("registry's file lacks content %d", contentID)
	}
	a := answer{text: c.Text, contentType: contentType}
	if dereference {
		a.text, err = t.resolved(c)
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

// referencesOf answers with what a version refers to or, if asked, with the
// versions that refer to it.
func (t tx) referencesOf(r *http.Request, v *version) (answer, error) {
	if r.URL.Query().Get("refType") != "INBOUND" {
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
				if group := cmp.Or(ref.Group, defaultGroup); group == v.Group && ref.Artifact == v.Artifact && ref.Version == v.Version {
					list = append(list, reference{u.Group, u.Artifact, u.Version, ref.Name})
				}
			}
		}
	}
	slices.SortFunc(list, func(a, b reference) int { return strings.Compare(a.Artifact, b.Artifact) })
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

// groups returns the number of groups and those on the page asked for.
func (h *handler) groups(r *http.Request) (int, []*group, error) {
	offset, limit, err := page(r)
	if err != nil {
		return 0, nil, err
	}
	var all []*group
	err = h.store.view(func(t tx) error {
		return t.scan(bGroups, nil, func(_, raw []byte) error {
			g := new(group)
			all = append(all, g)
			return json.Unmarshal(raw, g)
		})
	})
	slices.SortStableFunc(all, func(a, b *group) int { return a.Created.Compare(b.Created) })
	return len(all), paged(all, offset, limit), err
}

// group returns the group that the path names.
func (h *handler) group(r *http.Request) (g *group, err error) {
	id := r.PathValue("group")
	err = h.store.view(func(t tx) error {
		g, err = get[group](t, bGroups, []byte(id))
		return err
	})
	if err == nil && g == nil {
		err = &problem{404, "GroupNotFoundException", fmt.Sprintf("No group '%s' was found.", id), 404, "", ""}
	}
	return g, err
}

// Version is what the server reports as its version: the Apicurio whose
// behaviour it has.
const Version = "3.3.3"

type info struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Version     string `json:"version"`
	BuiltOn     string `json:"builtOn"`
}

func systemInfo() info {
	return info{"Tributary registry", "Embedded schema registry, compatible with Apicurio Registry.", Version, "2026-09-08T16:57:33Z"}
}

type user struct {
	Username    string `json:"username"`
	DisplayName string `json:"displayName"`
	Admin       bool   `json:"admin"`
	Developer   bool   `json:"developer"`
	Viewer      bool   `json:"viewer"`
}

func currentUser() user { return user{Admin: true} }
