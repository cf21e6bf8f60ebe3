package server

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"tributary/internal/avrotext"
)

type ccompatReference struct {
	Name    string `json:"name"`
	Subject string `json:"subject"`
	Version int    `json:"version"`
}

// ccompatSchema is a schema as the Confluent API gives it. Subject and version
// are left out where it was asked for by id.
type ccompatSchema struct {
	Subject    string              `json:"subject,omitempty"`
	Version    int                 `json:"version,omitempty"`
	ID         int64               `json:"id,omitempty"`
	SchemaType string              `json:"schemaType,omitempty"` // absent for Avro
	Schema     string              `json:"schema"`
	References *[]ccompatReference `json:"references,omitempty"`
}

// schema returns a content as the Confluent API does, if a version has it.
// 3.3 prints a schema without references as Avro's library does.
func (h *handler) schema(t tx, contentID int64, compact bool) (*ccompatSchema, error) {
	c, err := t.content(contentID)
	if err != nil {
		return nil, err
	}
	first, err := t.firstUse(contentID)
	if err != nil {
		return nil, err
	}
	if c == nil || first == nil {
		return nil, contentNotFound("ID", strconv.FormatInt(contentID, 10))
	}
	s := &ccompatSchema{Schema: string(c.Text)}
	if first.Type != "AVRO" {
		s.SchemaType = first.Type
	}
	refs := []ccompatReference{}
	for _, r := range c.Refs {
		n, err := strconv.Atoi(r.Version)
		if err != nil {
			n = 0
		}
		refs = append(refs, ccompatReference{Name: r.Name, Subject: r.Artifact, Version: n})
	}
	if len(refs) > 0 || h.flavour == v26 {
		s.References = &refs
	}
	if compact && len(c.Refs) == 0 && h.flavour == v33 && first.Type == "AVRO" {
		if text, err := avrotext.Print(s.Schema); err == nil {
			s.Schema = text
		}
	}
	return s, nil
}

// firstUse returns the oldest version with the content, or nil.
func (t tx) firstUse(contentID int64) (*version, error) {
	k, _ := t.Bucket(bUses).Cursor().Seek(number(contentID))
	if len(k) != 16 || parseNumber(k[:8]) != contentID {
		return nil, nil
	}
	return t.version(parseNumber(k[8:]))
}

func (h *handler) schemaByID(r *http.Request) (answer, error) {
	n, err := h.schemaID(r)
	if err != nil {
		return answer{}, err
	}
	return h.v2Read(r, func(t tx, _ key) (answer, error) {
		s, err := h.schema(t, n, true)
		if err == nil {
			err = h.format(t, r, n, s)
		}
		if err != nil {
			return answer{}, err
		}
		return asJSON(s)
	})
}

// format puts what a schema refers to in place, if 3.3 is asked to.
func (h *handler) format(t tx, r *http.Request, contentID int64, s *ccompatSchema) error {
	if r.URL.Query().Get("format") != "resolved" || h.flavour != v33 || s.References == nil {
		return nil
	}
	c, err := t.content(contentID)
	if err != nil {
		return err
	}
	text, err := t.resolved(c)
	s.Schema = string(text)
	return err
}

// schemaID reads the id in the path. What is no number is nowhere for 3.3.
func (h *handler) schemaID(r *http.Request) (int64, error) {
	n, err := pathNumber(r, "id")
	if err == nil && n > maxID && h.flavour == v26 {
		return 0, badParameter("PathParam", "id", r.PathValue("id"), "")
	}
	if err != nil && h.flavour == v33 {
		return 0, &problem{status: 404, name: "NotFoundException", message: "no such schema", silent: true}
	}
	return n, err
}

func (h *handler) schemaText(r *http.Request) (answer, error) {
	n, err := h.schemaID(r)
	if err != nil {
		return answer{}, err
	}
	return h.v2Read(r, func(t tx, _ key) (answer, error) {
		s, err := h.schema(t, n, false)
		if err != nil {
			return answer{}, err
		}
		return answer{text: []byte(s.Schema), contentType: "application/json"}, nil
	})
}

// usesOf returns the versions with the content that the path names, whatever
// their group; 3.3 leaves out the deleted ones, and sorts by subject.
func (h *handler) usesOf(t tx, r *http.Request) ([]*version, error) {
	n, err := h.schemaID(r)
	if err != nil {
		return nil, err
	}
	if _, err := h.schema(t, n, false); err != nil {
		return nil, err
	}
	uses, err := t.uses(n)
	if h.flavour == v26 {
		return uses, err
	}
	slices.SortStableFunc(uses, func(a, b *version) int {
		return cmp.Or(strings.Compare(a.Artifact, b.Artifact), cmp.Compare(a.Order, b.Order))
	})
	deleted := r.URL.Query().Get("deleted") == "true"
	return slices.DeleteFunc(uses, func(v *version) bool { return !deleted && v.State == stateDisabled }), err
}

func (h *handler) schemaSubjects(r *http.Request) (answer, error) {
	return h.v2Read(r, func(t tx, _ key) (answer, error) {
		uses, err := h.usesOf(t, r)
		names := []string{}
		for _, v := range uses {
			if !slices.Contains(names, v.Artifact) {
				names = append(names, v.Artifact)
			}
		}
		return answer{json: names}, err
	})
}

func (h *handler) schemaVersions(r *http.Request) (answer, error) {
	return h.v2Read(r, func(t tx, _ key) (answer, error) {
		uses, err := h.usesOf(t, r)
		type use struct {
			Subject string `json:"subject"`
			Version int    `json:"version"`
		}
		list := []use{}
		for _, v := range uses {
			list = append(list, use{v.Artifact, v.Order})
		}
		return answer{json: list}, err
	})
}

// allSchemas lists the schemas of all versions, oldest first and whatever
// their group. latestOnly tells each schema once, as Apicurio has it.
func (h *handler) allSchemas(r *http.Request) (answer, error) {
	q := r.URL.Query()
	prefix, once, deleted := q.Get("subjectPrefix"), q.Get("latestOnly") == "true", q.Get("deleted") == "true"
	return h.v2Read(r, func(t tx, _ key) (answer, error) {
		all, err := t.searchVersions(&filter{f: v33})
		if err != nil {
			return answer{}, err
		}
		all = slices.DeleteFunc(all, func(v *version) bool { return !deleted && v.State == stateDisabled })
		list := []*ccompatSchema{}
		seen := make(map[int64]bool)
		for _, v := range pageOf(h, r, all) {
			if !strings.HasPrefix(v.Artifact, prefix) || once && seen[v.ContentID] {
				continue
			}
			seen[v.ContentID] = true
			s, err := h.schema(t, v.ContentID, true)
			if err != nil {
				return answer{}, err
			}
			list = append(list, s)
		}
		return asJSON(list)
	})
}
