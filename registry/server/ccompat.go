package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"tributary/internal/avrotext"
)

// ccompatBases are the paths under which the Confluent API is served; the
// versions do not differ in what is served here.
var ccompatBases = []string{"/apis/ccompat/v6", "/apis/ccompat/v7", "/apis/ccompat/v8"}

func ccompatError(p *problem) any {
	message := p.ccompat
	if message == "" {
		message = p.message
	}
	return struct {
		Message string `json:"message"`
		Code    int    `json:"error_code"`
	}{message, p.confluent}
}

func unprocessable(message string) *problem {
	return &problem{422, "UnprocessableEntityException", message, 42201, "", ""}
}

type ccompatReference struct {
	Name    string `json:"name"`
	Subject string `json:"subject"`
	Version int    `json:"version"`
}

// ccompatSchema is a schema as the Confluent API gives it. Subject and version
// are left out where it was asked for by id.
type ccompatSchema struct {
	Subject    string             `json:"subject,omitempty"`
	Version    int                `json:"version,omitempty"`
	ID         int64              `json:"id,omitempty"`
	SchemaType string             `json:"schemaType,omitempty"` // absent for Avro
	Schema     string             `json:"schema"`
	References []ccompatReference `json:"references,omitempty"`
}

func (h *handler) ccompat(mux *http.ServeMux) {
	for _, base := range ccompatBases {
		on := func(pattern string, f call) {
			method, path, _ := strings.Cut(pattern, " ")
			h.on(mux, method+" "+base+path, ccompatError, f)
		}
		on("GET /subjects", h.subjects)
		on("POST /subjects/{subject}", h.lookUp)
		on("GET /subjects/{subject}/versions", h.subjectVersions)
		on("POST /subjects/{subject}/versions", h.registerSubject)
		on("GET /subjects/{subject}/versions/{version}", h.subjectVersion)
		on("GET /subjects/{subject}/versions/{version}/schema", h.subjectSchema)
		on("GET /subjects/{subject}/versions/{version}/referencedby", h.referencedBy)
		on("GET /schemas/ids/{id}", h.schemaByID)
		on("GET /schemas/ids/{id}/schema", h.schemaText)
		on("GET /schemas/ids/{id}/subjects", h.schemaSubjects)
		on("GET /schemas/ids/{id}/versions", h.schemaVersions)
		on("GET /schemas/types", func(*http.Request) (answer, error) { return asJSON([]string{"JSON", "AVRO"}) })
		on("GET /config", func(*http.Request) (answer, error) {
			return asJSON(map[string]string{"compatibilityLevel": "NONE"})
		})
		on("GET /mode", func(*http.Request) (answer, error) { return asJSON(map[string]string{"mode": "READWRITE"}) })
		on("GET /exporters", func(*http.Request) (answer, error) { return asJSON([]string{}) })
		on("GET /contexts", func(*http.Request) (answer, error) { return asJSON([]string{":.:"}) })
	}
}

// subjectKey is the artifact of a subject: of the default group unless a
// header names another.
func subjectKey(r *http.Request) key {
	g := r.Header.Get("X-Registry-GroupId")
	if g == "" {
		g = defaultGroup
	}
	return key{g, r.PathValue("subject")}
}

// subjectDraft reads a schema to register or look up.
func (h *handler) subjectDraft(r *http.Request) (*draft, error) {
	var q struct {
		Schema     string
		SchemaType string
		References []ccompatReference
	}
	if err := bodyJSON(r, &q); err != nil {
		return nil, err
	}
	d := &draft{key: subjectKey(r), artifactType: q.SchemaType, text: []byte(q.Schema), ifExists: existsFind, canonical: true}
	for _, f := range q.References {
		d.refs = append(d.refs, reference{Artifact: f.Subject, Version: strconv.Itoa(f.Version), Name: f.Name})
	}
	if len(d.text) == 0 {
		return nil, unprocessable("Schema is missing or empty.")
	}
	return d, h.store.prepare(d)
}

// checkSubject refuses what is no schema of its type.
func (t tx) checkSubject(d *draft) error {
	switch d.artifactType {
	case "AVRO":
	case "JSON":
		if !json.Valid(d.text) {
			return unprocessable("Failed to discover artifact type from content.")
		}
		return nil
	default:
		return unprocessable(fmt.Sprintf("Schema type %s is not supported.", d.artifactType))
	}
	text := string(d.text)
	if len(d.refs) > 0 {
		for _, ref := range d.refs {
			c, err := t.referenced(ref)
			if err != nil {
				return err
			}
			if c == nil {
				return unprocessable("Unresolved reference")
			}
		}
		texts := make(map[string]string)
		if err := t.collect(d.refs, texts); err != nil {
			return err
		}
		resolved, err := avrotext.Resolve(text, texts)
		if err != nil {
			return unprocessable("Failed to discover artifact type from content.")
		}
		text = resolved
	}
	if _, err := avrotext.Print(text); err != nil {
		return unprocessable("Failed to discover artifact type from content.")
	}
	return nil
}

func (h *handler) registerSubject(r *http.Request) (answer, error) {
	d, err := h.subjectDraft(r)
	if err == nil {
		err = h.store.view(func(t tx) error { return t.checkSubject(d) })
	}
	if err != nil {
		return answer{}, err
	}
	_, v, err := h.store.register(d)
	if err != nil {
		return answer{}, err
	}
	return asJSON(map[string]int64{"id": v.ContentID})
}

// lookUp finds the version of a subject that has the schema posted.
func (h *handler) lookUp(r *http.Request) (a answer, err error) {
	d, err := h.subjectDraft(r)
	if err != nil {
		return answer{}, err
	}
	err = h.store.view(func(t tx) error {
		if art, err := t.artifact(d.key); err != nil || art == nil {
			return errors.Join(err, asError(art == nil, artifactNotFound(d.key)))
		}
		v, err := t.find(d, true)
		if err == nil && v == nil {
			err = &problem{404, "SchemaNotFoundException",
				"The given schema does not match any schema under the subject " + d.artifact, 40403, "", ""}
		}
		if err != nil {
			return err
		}
		s, err := t.schema(v.ContentID, false)
		if err != nil {
			return err
		}
		s.Subject, s.Version, s.ID = v.Artifact, v.Order, v.ContentID
		a, err = asJSON(s)
		return err
	})
	return a, err
}

// asError gives p if it applies.
func asError(applies bool, p *problem) error {
	if applies {
		return p
	}
	return nil
}

// schema returns a content as the Confluent API does. Like Apicurio's, a text
// without references is made compact on request.
func (t tx) schema(contentID int64, compact bool) (*ccompatSchema, error) {
	c, err := t.content(contentID)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, &problem{404, "SchemaNotFoundException", fmt.Sprintf("Schema %d not found.", contentID), 40403, "", ""}
	}
	s := &ccompatSchema{Schema: string(c.Text)}
	if uses, err := t.uses(contentID); err != nil {
		return nil, err
	} else if len(uses) > 0 && uses[0].Type != "AVRO" {
		s.SchemaType = uses[0].Type
	}
	for _, r := range c.Refs {
		n, err := strconv.Atoi(r.Version)
		if err != nil {
			n = 0
		}
		s.References = append(s.References, ccompatReference{Name: r.Name, Subject: r.Artifact, Version: n})
	}
	if compact && len(c.Refs) == 0 {
		if text, err := avrotext.Compact(s.Schema); err == nil {
			s.Schema = text
		}
	}
	return s, nil
}

func (h *handler) schemaByID(r *http.Request) (a answer, err error) {
	err = h.store.view(func(t tx) error {
		n, err := pathNumber(r, "id")
		if err != nil {
			return err
		}
		s, err := t.schema(n, true)
		if err == nil && r.URL.Query().Get("format") == "resolved" && len(s.References) > 0 {
			var c *content
			var text []byte
			if c, err = t.content(n); err == nil {
				text, err = t.resolved(c)
				s.Schema = string(text)
			}
		}
		if err == nil {
			a, err = asJSON(s)
		}
		return err
	})
	return a, err
}

func (h *handler) schemaText(r *http.Request) (a answer, err error) {
	err = h.store.view(func(t tx) error {
		n, err := pathNumber(r, "id")
		if err != nil {
			return err
		}
		s, err := t.schema(n, false)
		if err == nil {
			a = answer{text: []byte(s.Schema), contentType: "application/json"}
		}
		return err
	})
	return a, err
}

// usesOf returns the versions with the content that the path names, those of
// the request's group.
func (t tx) usesOf(r *http.Request) ([]*version, error) {
	n, err := pathNumber(r, "id")
	if err != nil {
		return nil, err
	}
	if _, err := t.schema(n, false); err != nil {
		return nil, err
	}
	uses, err := t.uses(n)
	group := subjectKey(r).group
	return slices.DeleteFunc(uses, func(v *version) bool { return v.Group != group }), err
}

func (h *handler) schemaSubjects(r *http.Request) (a answer, err error) {
	err = h.store.view(func(t tx) error {
		uses, err := t.usesOf(r)
		names := []string{}
		for _, v := range uses {
			if !slices.Contains(names, v.Artifact) {
				names = append(names, v.Artifact)
			}
		}
		a = answer{json: names}
		return err
	})
	return a, err
}

func (h *handler) schemaVersions(r *http.Request) (a answer, err error) {
	err = h.store.view(func(t tx) error {
		uses, err := t.usesOf(r)
		type use struct {
			Subject string `json:"subject"`
			Version int    `json:"version"`
		}
		list := []use{}
		for _, v := range uses {
			list = append(list, use{v.Artifact, v.Order})
		}
		a = answer{json: list}
		return err
	})
	return a, err
}

func (h *handler) subjects(r *http.Request) (a answer, err error) {
	names := []string{}
	prefix := append([]byte(subjectKey(r).group), 0)
	err = h.store.view(func(t tx) error {
		return t.scan(bArtifacts, append(prefix, r.URL.Query().Get("subjectPrefix")...), func(id, _ []byte) error {
			names = append(names, string(id[len(prefix):]))
			return nil
		})
	})
	if err != nil {
		return answer{}, err
	}
	return pageOf(r, names)
}

// pageOf answers with the part of a list that offset and limit ask for; a
// negative limit is none.
func pageOf[T any](r *http.Request, all []T) (answer, error) {
	q := r.URL.Query()
	if n, err := strconv.Atoi(q.Get("offset")); err == nil && n > 0 {
		all = all[min(n, len(all)):]
	}
	if n, err := strconv.Atoi(q.Get("limit")); err == nil && n > 0 {
		all = all[:min(n, len(all))]
	}
	return asJSON(all)
}

func (h *handler) subjectVersions(r *http.Request) (a answer, err error) {
	numbers := []int{}
	err = h.store.view(func(t tx) error {
		all, err := t.versionsOf(subjectKey(r))
		for _, v := range all {
			numbers = append(numbers, v.Order)
		}
		return err
	})
	if err != nil {
		return answer{}, err
	}
	return pageOf(r, numbers)
}

// numbered returns the version of a subject by its number, "latest" or -1.
func (t tx) numbered(r *http.Request) (*version, error) {
	k, name := subjectKey(r), r.PathValue("version")
	art, err := t.artifact(k)
	if err != nil {
		return nil, err
	}
	if art == nil {
		return nil, artifactNotFound(k)
	}
	n, err := strconv.Atoi(name)
	switch {
	case name == "latest" || n == -1:
		v, err := t.latest(k)
		if err == nil && v == nil {
			err = versionNotFound(k, name)
		}
		return v, err
	case err == nil && n < 0:
		return nil, artifactNotFound(key{k.group, "Illegal version format: " + name})
	case err != nil || n == 0:
		return nil, versionNotFound(k, name)
	}
	v, err := t.ordered(k, n)
	if err == nil && v == nil {
		err = versionNotFound(k, name)
	}
	return v, err
}

func (h *handler) subjectVersion(r *http.Request) (a answer, err error) {
	err = h.store.view(func(t tx) error {
		v, err := t.numbered(r)
		if err != nil {
			return err
		}
		s, err := t.schema(v.ContentID, true)
		if err != nil {
			return err
		}
		s.Subject, s.Version, s.ID = v.Artifact, v.Order, v.ContentID
		a, err = asJSON(s)
		return err
	})
	return a, err
}

func (h *handler) subjectSchema(r *http.Request) (a answer, err error) {
	err = h.store.view(func(t tx) error {
		v, err := t.numbered(r)
		if err != nil {
			return err
		}
		s, err := t.schema(v.ContentID, true)
		if err == nil {
			a = answer{text: []byte(s.Schema), contentType: "application/json"}
		}
		return err
	})
	return a, err
}

// referencedBy answers with the ids of the schemas that refer to a version.
func (h *handler) referencedBy(r *http.Request) (a answer, err error) {
	err = h.store.view(func(t tx) error {
		v, err := t.numbered(r)
		if err != nil {
			return err
		}
		ids, err := t.referrers(v)
		a = answer{json: ids}
		return err
	})
	return a, err
}
