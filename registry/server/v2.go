package server

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"tributary/internal/avrotext"
)

const v2Base = "/apis/registry/v2"

// v2Meta is the metadata of an artifact and its version as v2 gives them.
type v2Meta struct {
	Name        *string           `json:"name,omitempty"`
	Description *string           `json:"description,omitempty"`
	CreatedBy   string            `json:"createdBy"`
	CreatedOn   string            `json:"createdOn"`
	ModifiedBy  *string           `json:"modifiedBy,omitempty"` // artifacts only
	ModifiedOn  string            `json:"modifiedOn,omitempty"` // artifacts only
	ID          string            `json:"id,omitempty"`
	Version     string            `json:"version,omitempty"`
	Type        string            `json:"type"`
	GlobalID    int64             `json:"globalId,omitempty"`
	State       string            `json:"state"`
	Labels      *[]string         `json:"labels,omitempty"`
	Properties  map[string]string `json:"properties,omitempty"`
	GroupID     string            `json:"groupId,omitempty"`
	ContentID   int64             `json:"contentId,omitempty"`
	References  *[]reference      `json:"references,omitempty"` // artifacts and lists only
}

func (h *handler) v2Version(v *version) v2Meta {
	m := v2Meta{
		Name: v.Name, Description: v.Description, CreatedBy: v.Owner, CreatedOn: stamp2(h.flavour, v.Created), ID: v.Artifact,
		Version: v.Version, Type: v.Type, GlobalID: v.GlobalID, State: v.State, GroupID: shownGroup(v.Group), ContentID: v.ContentID,
	}
	m.label(v.Labels)
	return m
}

func (m *v2Meta) label(l labels) {
	var names []string
	names, m.Properties = l.v2()
	if names != nil {
		m.Labels = &names
	}
}

// v2Artifact is the artifact's metadata with those of version v.
func (h *handler) v2Artifact(a *artifact, v *version) v2Meta {
	m := h.v2Version(v)
	m.CreatedBy = a.Owner
	m.CreatedOn, m.ModifiedOn = stamp2(h.flavour, a.Created), stamp2(h.flavour, a.Modified)
	m.ModifiedBy, m.References = new(string), &[]reference{}
	return m
}

// v2Listed is a version in a list.
func (h *handler) v2Listed(v *version) v2Meta {
	m := h.v2Version(v)
	m.ID, m.GroupID, m.References = "", "", &[]reference{}
	if h.flavour == v33 {
		m.Labels, m.Properties = &[]string{}, nil
	}
	return m
}

// v2Found is an artifact in a search's result.
func (h *handler) v2Found(t tx, a *artifact) v2Meta {
	m := v2Meta{
		Name: a.Name, Description: a.Description, CreatedBy: a.Owner, CreatedOn: stamp2(h.flavour, a.Created),
		ModifiedBy: new(string), ModifiedOn: stamp2(h.flavour, a.Modified),
		ID: a.ID, Type: a.Type, State: stateEnabled, GroupID: shownGroup(a.Group),
	}
	if h.flavour == v33 {
		m.Labels = &[]string{}
		return m
	}
	if v, err := t.published(a.key()); err == nil && v != nil {
		m.State, m.Name, m.Description = v.State, v.Name, v.Description
		m.label(v.Labels)
		m.Properties = nil
	}
	return m
}

func (h *handler) v2(mux *http.ServeMux) {
	on := func(pattern string, f call) { h.on(mux, apiV2, v2Base, pattern, f) }
	const artifacts = "/groups/{group}/artifacts"
	const one = artifacts + "/{artifact}"
	on("POST "+artifacts, h.v2Create)
	on("GET "+artifacts, h.v2ListArtifacts)
	on("DELETE "+artifacts, func(r *http.Request) (answer, error) { return done(h.store.deleteGroup(r.PathValue("group"), false)) })
	on("PUT "+one, h.v2Update)
	on("GET "+one, h.v2Latest)
	on("DELETE "+one, h.deleteOne)
	on("GET "+one+"/meta", h.v2Meta)
	on("PUT "+one+"/meta", h.v2EditArtifact)
	on("POST "+one+"/meta", h.v2Find)
	on("GET "+one+"/owner", h.v2Owner)
	on("PUT "+one+"/owner", h.v2SetOwner)
	on("PUT "+one+"/state", h.v2State)
	on("PUT "+one+"/test", h.v2Test)
	on("POST "+one+"/versions", h.v2CreateVersion)
	on("GET "+one+"/versions", h.v2Versions)
	on("GET "+one+"/versions/{version}", h.v2Content)
	on("DELETE "+one+"/versions/{version}", h.deleteOneVersion)
	on("GET "+one+"/versions/{version}/meta", h.v2VersionMeta)
	on("PUT "+one+"/versions/{version}/meta", h.v2EditVersion)
	on("DELETE "+one+"/versions/{version}/meta", h.v2ClearVersion)
	on("PUT "+one+"/versions/{version}/state", h.versionState)
	on("GET "+one+"/versions/{version}/references", h.v2References)
	h.comments(mux, apiV2, v2Base+one+"/versions/{version}/comments")
	h.rules(mux, apiV2, v2Base+one+"/rules", ofArtifactPath)
	h.rules(mux, apiV2, v2Base+"/admin/rules", globally)
	on("GET /groups", h.v2Groups)
	on("POST /groups", h.v2CreateGroup)
	on("GET /groups/{group}", h.v2Group)
	on("DELETE /groups/{group}", func(r *http.Request) (answer, error) { return done(h.store.deleteGroup(r.PathValue("group"), true)) })
	on("GET /search/artifacts", h.v2Search)
	on("POST /search/artifacts", h.v2SearchContent)
	h.ids(mux, apiV2, v2Base, func(r *http.Request) bool { return r.URL.Query().Get("dereference") == "true" })
	h.system(mux, apiV2, v2Base)
}

// v2Exists reads ifExists.
func v2Exists(r *http.Request) (ifExists, error) {
	switch v := r.URL.Query().Get("ifExists"); v {
	case "", "FAIL":
		return existsFail, nil
	case "RETURN":
		return existsReturn, nil
	case "RETURN_OR_UPDATE":
		return existsFind, nil
	case "UPDATE":
		return existsAdd, nil
	default:
		return 0, noConstant("QueryParam", "ifExists", v, "rest.v2.beans.IfExists")
	}
}

// encoded reads a header that may come in base64 under another name.
func encoded(r *http.Request, name string) *string {
	if v := r.Header.Get(name); v != "" {
		return &v
	}
	text, err := base64.StdEncoding.DecodeString(r.Header.Get(name + "-Encoded"))
	if err != nil || len(text) == 0 {
		return nil
	}
	s := string(text)
	return &s
}

// v2Draft reads what v2's requests that bring content have in common.
func (h *handler) v2Draft(r *http.Request) (*draft, error) {
	text, err := body(r)
	if err != nil {
		return nil, err
	}
	d := &draft{
		ctx: r.Context(),
		key: artifactKey(r), version: r.Header.Get("X-Registry-Version"), canonical: r.URL.Query().Get("canonical") == "true",
		inherit: h.flavour == v26, renames: h.flavour == v33,
	}
	d.artifactMeta.Name, d.artifactMeta.Description = encoded(r, "X-Registry-Name"), encoded(r, "X-Registry-Description")
	if d.artifactType, err = h.v2Type(r); err != nil {
		return nil, err
	}
	if err := d.extended(r, text); err != nil {
		return nil, err
	}
	if len(d.text) == 0 {
		return nil, badRequest("BadRequestException", "Empty content is not allowed.")
	}
	return d, nil
}

// v2Type reads the artifact's type. Of one that it does not know, 3.3 takes
// none to be given; 2.6 failed.
func (h *handler) v2Type(r *http.Request) (string, error) {
	kind := r.Header.Get("X-Registry-ArtifactType")
	if kind == "" || slices.Contains(artifactTypes(h.flavour), kind) {
		return kind, nil
	}
	if h.flavour == v33 {
		return "", nil
	}
	return "", unknownType(kind)
}

func unknownType(kind string) *problem {
	return badRequest("BadRequestException", "No such artifact type provider: %s", kind)
}

// extended takes the content, either as it is or in JSON with its references.
func (d *draft) extended(r *http.Request, text []byte) error {
	d.text = text
	switch mediaTypeOf(r) {
	case "application/create.extended+json", "application/get.extended+json":
	default:
		return nil
	}
	var e struct {
		Content    *string
		References []reference
	}
	if !json.Valid(text) {
		return errNotJSON
	}
	if json.Unmarshal(text, &e) != nil {
		return errMistyped()
	}
	if e.Content == nil {
		return missing("content")
	}
	d.text, d.refs = []byte(*e.Content), e.References
	return nil
}

// named names what a schema names itself, where the client did not.
func (m meta) named(kind string, text []byte) meta {
	var name, description string
	switch kind {
	case "JSON":
		var o struct{ Title, Description string }
		if json.Unmarshal(text, &o) == nil {
			name, description = o.Title, o.Description
		}
	default:
		name = avrotext.Name(string(text))
	}
	if m.Name == nil && name != "" {
		m.Name = &name
	}
	if m.Description == nil && description != "" {
		m.Description = &description
	}
	return m
}

func (h *handler) v2Create(r *http.Request) (answer, error) {
	d, err := h.v2Draft(r)
	if err != nil {
		return answer{}, err
	}
	if d.ifExists, err = v2Exists(r); err != nil {
		return answer{}, err
	}
	d.artifact = r.Header.Get("X-Registry-ArtifactId")
	if hash := r.Header.Get("X-Registry-Content-Hash"); hash != "" && !hashMatches(r.Header.Get("X-Registry-Hash-Algorithm"), hash, d.text) {
		return answer{}, badRequest("BadRequestException", "Provided Artifact Hash doesn't match with the content")
	}
	d.namesItself = true
	return h.v2Register(d)
}

func (h *handler) v2Update(r *http.Request) (answer, error) {
	d, err := h.v2Draft(r)
	if err != nil {
		return answer{}, err
	}
	d.ifExists, d.namesItself = mustExist, true
	return h.v2Register(d)
}

func (h *handler) v2Register(d *draft) (answer, error) {
	d.versionMeta = d.artifactMeta
	a, v, err := h.store.register(d)
	if err == nil && v == nil {
		err = artifactNotFound(d.key) // existsReturn of one without a version
	}
	if err != nil {
		return answer{}, err
	}
	m := h.v2Artifact(a, v)
	m.CreatedOn, m.ModifiedOn = stamp2(h.flavour, v.Created), stamp2(h.flavour, v.Created)
	if h.flavour == v33 {
		if d.createdArtifact {
			m.GroupID = v.Group // even if it is the default one
		}
	} else if d.created && len(d.refs) > 0 {
		m.References = &d.refs // 2.6 repeats those of what is new
	}
	return asJSON(m)
}

func (h *handler) v2CreateVersion(r *http.Request) (answer, error) {
	d, err := h.v2Draft(r)
	if err != nil {
		return answer{}, err
	}
	d.ifExists = mustExist
	d.namesItself = h.flavour == v26
	d.versionMeta = d.artifactMeta
	_, v, err := h.store.register(d)
	if err != nil {
		return answer{}, err
	}
	return asJSON(h.v2Version(v))
}

// v2Test applies the rules to a content that is not stored.
func (h *handler) v2Test(r *http.Request) (answer, error) {
	d, err := h.v2Draft(r)
	if err != nil {
		return answer{}, err
	}
	if err := h.store.prepare(d); err != nil {
		return answer{}, err
	}
	return done(h.store.view(func(t tx) error {
		a, err := t.mustArtifact(d.key)
		if err == nil {
			_, err = h.store.judge(t, a, d)
		}
		return err
	}))
}

// latestOf returns the artifact and its latest version.
func (t tx) latestOf(k key) (*artifact, *version, error) {
	a, err := t.mustArtifact(k)
	if err != nil {
		return nil, nil, err
	}
	v, err := t.latest(k)
	if err == nil && v == nil {
		err = artifactNotFound(k)
	}
	return a, v, err
}

// inGroup makes a problem name the default group as 3.3's v2 does where it
// reads the latest version.
func inGroup(err error, k key) error {
	var p *problem
	if errors.As(err, &p) {
		return p.in(k)
	}
	return err
}

// version2 returns the version that v2 means by the path; "latest" is one for
// 3.3.
func (h *handler) version2(t tx, r *http.Request) (*version, error) {
	k, name := artifactKey(r), r.PathValue("version")
	v, err := t.named(k, name)
	if err == nil && v == nil && name == "latest" && h.flavour == v33 {
		v, err = t.latest(k)
	}
	if err == nil && v == nil {
		err = versionNotFound(k, name)
	}
	return v, err
}

// v2Read serves a call that only reads.
func (h *handler) v2Read(r *http.Request, f func(t tx, k key) (answer, error)) (a answer, err error) {
	err = h.store.view(func(t tx) error {
		a, err = f(t, artifactKey(r))
		return err
	})
	return a, err
}

func (h *handler) v2Latest(r *http.Request) (answer, error) {
	return h.v2Read(r, func(t tx, k key) (answer, error) {
		_, v, err := t.latestOf(k)
		if err != nil {
			return answer{}, inGroup(err, k)
		}
		return t.ofVersion(v, r.URL.Query().Get("dereference") == "true")
	})
}

func (h *handler) v2Meta(r *http.Request) (answer, error) {
	return h.v2Read(r, func(t tx, k key) (answer, error) {
		art, v, err := t.latestOf(k)
		if art != nil && isProblem(err) && h.flavour == v33 {
			err = noTip(k, branchLatest)
		}
		if err != nil {
			return answer{}, err
		}
		m := h.v2Artifact(art, v)
		m.GroupID = shownGroup(k.group)
		return asJSON(m)
	})
}

// v2Find looks a version up by its content.
func (h *handler) v2Find(r *http.Request) (answer, error) {
	d, err := h.v2Draft(r)
	if err != nil {
		return answer{}, err
	}
	if err := h.store.prepare(d); err != nil {
		return answer{}, err
	}
	return h.v2Read(r, func(t tx, k key) (answer, error) {
		a, err := t.mustArtifact(k)
		if err != nil {
			return answer{}, err
		}
		d.artifactType = a.Type
		v, err := t.find(d, d.canonical, false)
		if err == nil && v == nil {
			err = artifactNotFound(k)
		}
		if err != nil {
			return answer{}, err
		}
		return asJSON(h.v2Version(v))
	})
}

func (h *handler) v2Versions(r *http.Request) (answer, error) {
	q := queryOf(r)
	offset, limit := q.page(h.flavour)
	if q.err != nil {
		return answer{}, q.err
	}
	return h.v2Read(r, func(t tx, k key) (answer, error) {
		all, err := t.versionsOf(k)
		if err != nil {
			return answer{}, err
		}
		list := []v2Meta{}
		for _, v := range paged(all, offset, limit) {
			list = append(list, h.v2Listed(v))
		}
		return asJSON(map[string]any{"count": len(all), "versions": list})
	})
}

// versionsOf is versions of an artifact that must exist.
func (t tx) versionsOf(k key) ([]*version, error) {
	if _, err := t.mustArtifact(k); err != nil {
		return nil, err
	}
	return t.versions(k)
}

func (h *handler) v2Content(r *http.Request) (answer, error) {
	return h.v2Read(r, func(t tx, _ key) (answer, error) {
		v, err := h.version2(t, r)
		if err != nil {
			return answer{}, err
		}
		return t.ofVersion(v, r.URL.Query().Get("dereference") == "true")
	})
}

func (h *handler) v2VersionMeta(r *http.Request) (answer, error) {
	return h.v2Read(r, func(t tx, _ key) (answer, error) {
		v, err := h.version2(t, r)
		if err != nil {
			return answer{}, err
		}
		return asJSON(h.v2Version(v))
	})
}

func (h *handler) v2References(r *http.Request) (answer, error) {
	return h.v2Read(r, func(t tx, k key) (answer, error) {
		v, err := h.version2(t, r)
		if isProblem(err) {
			err = artifactNotFound(k)
		}
		if err != nil {
			return answer{}, err
		}
		return t.referencesOf(r, v)
	})
}
