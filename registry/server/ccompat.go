package server

import (
	"cmp"
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

func unprocessable(message string) *problem {
	return &problem{status: 422, name: "UnprocessableEntityException", message: message, code: 42201}
}

func (h *handler) ccompat(mux *http.ServeMux) {
	for _, base := range ccompatBases {
		on := func(pattern string, f call) { h.on(mux, apiConfluent, base, pattern, f) }
		on("GET /subjects", h.subjects)
		on("POST /subjects/{subject}", h.lookUp)
		on("DELETE /subjects/{subject}", h.deleteSubject)
		on("GET /subjects/{subject}/versions", h.subjectVersions)
		on("POST /subjects/{subject}/versions", h.registerSubject)
		on("GET /subjects/{subject}/versions/{version}", h.subjectVersion)
		on("DELETE /subjects/{subject}/versions/{version}", h.deleteSubjectVersion)
		on("GET /subjects/{subject}/versions/{version}/schema", h.subjectSchema)
		on("GET /subjects/{subject}/versions/{version}/referencedby", h.referencedBy)
		on("GET /schemas/ids/{id}", h.schemaByID)
		on("GET /schemas/ids/{id}/versions", h.schemaVersions)
		on("GET /schemas/types", func(*http.Request) (answer, error) { return asJSON([]string{"JSON", "PROTOBUF", "AVRO"}) })
		on("GET /contexts", func(*http.Request) (answer, error) { return asJSON([]string{":.:"}) })
		on("GET /config", h.config)
		on("PUT /config", h.setConfig)
		on("GET /config/{subject}", h.config)
		on("PUT /config/{subject}", h.setConfig)
		on("DELETE /config/{subject}", h.deleteConfig)
		on("POST /compatibility/subjects/{subject}/versions", h.checkCompatibility)
		on("POST /compatibility/subjects/{subject}/versions/{version}", h.checkCompatibility)
		if h.flavour == v26 {
			unsupported := func(*http.Request) (answer, error) {
				return answer{}, &problem{status: 404, name: "UnsupportedOperationException", message: "Operation not supported."}
			}
			on("GET /exporters", unsupported)
			on("GET /mode", unsupported)
			on("PUT /mode", unsupported)
			continue
		}
		on("GET /schemas", h.allSchemas)
		on("GET /schemas/ids/{id}/schema", h.schemaText)
		on("GET /schemas/ids/{id}/subjects", h.schemaSubjects)
		on("GET /exporters", func(*http.Request) (answer, error) { return asJSON([]string{}) })
		on("GET /subjects/{subject}/metadata", func(*http.Request) (answer, error) { return done(nil) })
		on("DELETE /config", h.deleteConfig)
		on("GET /mode", h.mode)
		on("PUT /mode", h.setMode)
		on("GET /mode/{subject}", h.mode)
		on("PUT /mode/{subject}", h.setMode)
		on("DELETE /mode/{subject}", h.deleteMode)
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

// subjectDraft reads a schema to register, look up or compare.
func (h *handler) subjectDraft(r *http.Request) (*draft, error) {
	var q struct {
		Schema     *string
		SchemaType string
		References []ccompatReference
		ID         int64
		Version    int
	}
	if err := bodyJSON(r, &q); err != nil {
		return nil, err
	}
	if q.Schema == nil {
		return nil, unprocessable("The request has no schema.")
	}
	d := &draft{
		ctx: r.Context(),
		key: subjectKey(r), artifactType: q.SchemaType, text: []byte(*q.Schema), ifExists: existsEnabled,
		canonical: h.flavour == v33, inherit: h.flavour == v26, contentID: q.ID, order: q.Version,
	}
	if d.artifactType == "" {
		// Whose type is not told is Avro unless it can only be the other.
		d.artifactType = "AVRO"
		if _, err := avrotext.Print(string(d.text)); err != nil && len(d.refs) == 0 && isJSONSchema(d.text) {
			d.artifactType = "JSON"
		}
	}
	if !slices.Contains(artifactTypes(h.flavour), d.artifactType) {
		return nil, unprocessable(fmt.Sprintf("Schema type %s is not supported.", d.artifactType))
	}
	d.namesItself = h.flavour == v26
	for _, f := range q.References {
		d.refs = append(d.refs, reference{Artifact: f.Subject, Version: strconv.Itoa(f.Version), Name: f.Name})
	}
	return d, h.store.prepare(d)
}

// checkSubject refuses what is no schema of its type.
func (t tx) checkSubject(d *draft) error {
	notDiscovered := unprocessable("Failed to discover artifact type from content.")
	if len(d.text) == 0 {
		return nil // as Apicurio, which takes it for a schema
	}
	switch d.artifactType {
	case "AVRO":
	case "JSON":
		if isJSONSchema(d.text) {
			return nil
		}
		if _, err := avrotext.Print(string(d.text)); err == nil {
			return unprocessable("Given schema is not from type: JSON")
		}
		return notDiscovered
	default:
		return nil
	}
	for i, ref := range d.refs {
		c, err := t.referenced(ref)
		if err != nil {
			return err
		}
		if c == nil || slices.Contains(d.refs[:i], ref) {
			return unprocessable("Unresolved reference")
		}
	}
	text := string(d.text)
	if len(d.refs) > 0 {
		var err error
		if text, err = t.inline(text, d.refs); err != nil {
			return orProblem(err, avrotext.ErrNotAvro, notDiscovered)
		}
	}
	_, err := avrotext.Print(text)
	return orProblem(err, avrotext.ErrNotAvro, notDiscovered)
}

// isJSONSchema tells a JSON Schema as Apicurio discovers it: by its $schema or
// its properties.
func isJSONSchema(text []byte) bool {
	var o struct {
		Schema     *string         `json:"$schema"`
		Properties json.RawMessage `json:"properties"`
	}
	if json.Unmarshal(text, &o) != nil {
		return false
	}
	return o.Schema != nil && strings.Contains(*o.Schema, "json-schema.org") || o.Properties != nil
}

// orProblem is err, or p where err is of a kind.
func orProblem(err, kind error, p *problem) error {
	if err != nil && errors.Is(err, kind) {
		return p
	}
	return err
}

// registerSubject registers a schema. Only in mode IMPORT does it take the id
// and the version that the client brings; in READONLY it takes nothing.
func (h *handler) registerSubject(r *http.Request) (answer, error) {
	d, err := h.subjectDraft(r)
	if err != nil {
		return answer{}, err
	}
	var found *version
	err = h.store.view(func(t tx) error {
		a, err := t.artifact(d.key)
		if err == nil && a != nil && d.contentID == 0 {
			found, err = t.find(d, false, true)
		}
		if err != nil || found != nil {
			return err
		}
		if err := h.permitted(t, d); err != nil {
			return err
		}
		return t.checkSubject(d)
	})
	if err != nil {
		return answer{}, err
	}
	if found != nil { // the very text: by far the most common case
		return asJSON(map[string]int64{"id": found.ContentID})
	}
	_, v, err := h.store.register(d)
	if err != nil {
		return answer{}, err
	}
	return asJSON(map[string]int64{"id": v.ContentID})
}

// lookUp finds the version of a subject that has the schema posted.
func (h *handler) lookUp(r *http.Request) (answer, error) {
	d, err := h.subjectDraft(r)
	if err != nil {
		return answer{}, err
	}
	deleted := r.URL.Query().Get("deleted") == "true"
	return h.v2Read(r, func(t tx, _ key) (answer, error) {
		a, err := t.mustArtifact(d.key)
		if err != nil {
			return answer{}, err
		}
		d.artifactType = a.Type
		canonical := h.flavour == v33
		if r.URL.Query().Get("normalize") == "true" && h.flavour == v26 {
			d.ifExists, canonical = existsFind, true // which looks for nothing but the form
		}
		v, err := t.find(d, canonical, !deleted)
		if err == nil && v == nil {
			err = &problem{status: 404, name: "SchemaNotFoundException", code: 40403,
				message: "The given schema does not match any schema under the subject " + d.artifact}
		}
		if err != nil {
			return answer{}, err
		}
		out, err := h.subjectSchemaOf(t, r, v, false)
		if s, ok := out.json.(*ccompatSchema); ok {
			s.SchemaType = "" // which is not told here
		}
		return out, err
	})
}

// subjectSchemaOf answers with a version's schema.
func (h *handler) subjectSchemaOf(t tx, r *http.Request, v *version, compact bool) (answer, error) {
	s, err := h.schema(t, v.ContentID, compact)
	if err == nil {
		err = h.format(t, r, v.ContentID, s)
	}
	if err != nil {
		return answer{}, err
	}
	s.Subject, s.Version, s.ID = v.Artifact, v.Order, v.ContentID
	return asJSON(s)
}

// subjects lists those that have a version which is not deleted.
func (h *handler) subjects(r *http.Request) (answer, error) {
	if err := h.pageError(r); err != nil {
		return answer{}, err
	}
	q := r.URL.Query()
	group := subjectKey(r).group
	deleted := q.Get("deleted") == "true"
	only := q.Get("deletedOnly") == "true" && h.flavour == v33
	return h.v2Read(r, func(t tx, _ key) (answer, error) {
		var found []*artifact
		newest := make(map[string]int64) // globalIds, for 2.6's order
		err := t.scan(bArtifacts, append(append([]byte(group), 0), q.Get("subjectPrefix")...), func(_, raw []byte) error {
			a := new(artifact)
			if err := json.Unmarshal(raw, a); err != nil {
				return err
			}
			v, err := t.latest(a.key())
			if h.flavour == v26 { // which knows the newest version alone
				v, err = t.published(a.key())
				if v != nil {
					newest[a.ID] = v.GlobalID
				}
			}
			if only && err == nil {
				all, err := t.versions(a.key())
				if err != nil || !slices.ContainsFunc(all, func(v *version) bool { return v.State == stateDisabled }) {
					return err
				}
			} else if err != nil || !deleted && (v == nil || !v.active()) {
				return err
			}
			found = append(found, a)
			return nil
		})
		if h.flavour == v26 {
			slices.SortFunc(found, func(a, b *artifact) int { return cmp.Compare(newest[a.ID], newest[b.ID]) })
		}
		names := []string{}
		for _, a := range found {
			names = append(names, a.ID)
		}
		return answer{json: pageOf(h, r, names)}, err
	})
}

// pageError refuses what is no number; 2.6 has no pages, and does not look.
func (h *handler) pageError(r *http.Request) error {
	for _, name := range []string{"offset", "limit"} {
		if text := r.URL.Query().Get(name); text != "" && h.flavour == v33 {
			if _, err := strconv.ParseInt(text, 10, 64); err != nil {
				return &problem{status: 404, name: "NotFoundException", message: name + " is no number", silent: true}
			}
		}
	}
	return nil
}

// pageOf returns the part of a list that offset and limit ask for; a negative
// limit is none. 2.6 gives everything.
func pageOf[T any](h *handler, r *http.Request, all []T) []T {
	if h.flavour == v26 {
		return all
	}
	q := r.URL.Query()
	if n, err := strconv.Atoi(q.Get("offset")); err == nil && n > 0 {
		all = all[min(n, len(all)):]
	}
	if n, err := strconv.Atoi(q.Get("limit")); err == nil && n > 0 {
		all = all[:min(n, len(all))]
	}
	return all
}

// subjectVersionsOf returns the versions of a subject that exists, those that
// are deleted only if asked.
func (t tx) subjectVersionsOf(k key, deleted bool) ([]*version, error) {
	all, err := t.versionsOf(k)
	if err != nil {
		return nil, err
	}
	shown := slices.DeleteFunc(all, func(v *version) bool { return !deleted && !v.active() })
	if len(shown) == 0 {
		return nil, artifactNotFound(k)
	}
	return shown, nil
}

func (h *handler) subjectVersions(r *http.Request) (answer, error) {
	if err := h.pageError(r); err != nil {
		return answer{}, err
	}
	q := r.URL.Query()
	only := q.Get("deletedOnly") == "true" && h.flavour == v33
	return h.v2Read(r, func(t tx, _ key) (answer, error) {
		all, err := t.subjectVersionsOf(subjectKey(r), only || q.Get("deleted") == "true")
		numbers := []int{}
		for _, v := range all {
			if !only || v.State == stateDisabled {
				numbers = append(numbers, v.Order)
			}
		}
		if err == nil && len(numbers) == 0 {
			err = artifactNotFound(subjectKey(r))
		}
		return answer{json: pageOf(h, r, numbers)}, err
	})
}

// numbered returns the version of a subject by its number, "latest" or -1.
func (t tx) numbered(r *http.Request, deleted bool) (*version, error) {
	k, name := subjectKey(r), r.PathValue("version")
	if _, err := t.mustArtifact(k); err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(name)
	switch {
	case name == "latest" || n == -1:
		v, err := t.latest(k)
		if err == nil && v == nil {
			err = artifactNotFound(k)
		}
		return v, err
	case err == nil && n < 0:
		return nil, artifactNotFound(key{k.group, "Illegal version format: " + name})
	case err != nil || n == 0:
		return nil, versionNotFound(k, name)
	}
	v, err := t.ordered(k, n)
	if err == nil && (v == nil || !deleted && !v.active()) {
		err = versionNotFound(k, name)
		if v == nil && deleted {
			if last, e := t.latest(k); e != nil || last == nil {
				err = errorFirst(e, artifactNotFound(k))
			}
		}
	}
	return v, err
}

func (h *handler) subjectVersion(r *http.Request) (answer, error) {
	return h.v2Read(r, func(t tx, _ key) (answer, error) {
		v, err := t.numbered(r, r.URL.Query().Get("deleted") == "true")
		if err != nil {
			return answer{}, err
		}
		return h.subjectSchemaOf(t, r, v, true)
	})
}

func (h *handler) subjectSchema(r *http.Request) (answer, error) {
	return h.v2Read(r, func(t tx, _ key) (answer, error) {
		v, err := t.numbered(r, r.URL.Query().Get("deleted") == "true")
		if err != nil {
			return answer{}, err
		}
		s, err := h.schema(t, v.ContentID, true)
		if err != nil {
			return answer{}, err
		}
		return answer{text: []byte(s.Schema), contentType: "application/json"}, nil
	})
}

// referencedBy answers with the ids of the schemas that refer to a version.
func (h *handler) referencedBy(r *http.Request) (answer, error) {
	return h.v2Read(r, func(t tx, _ key) (answer, error) {
		v, err := t.numbered(r, true)
		var p *problem
		if _, bad := strconv.ParseInt(r.PathValue("version"), 10, 32); errors.As(err, &p) && h.flavour == v26 && bad == nil {
			return asJSON([]int64{})
		}
		if err != nil {
			return answer{}, err
		}
		ids, err := t.referrers(v)
		return answer{json: ids}, err
	})
}

// Deletion: first soft, which disables versions, then for good.
