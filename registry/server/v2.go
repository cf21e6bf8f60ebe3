package server

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	"tributary/internal/avrotext"
)

const v2Base = "/apis/registry/v2"

func v2Error(p *problem) any {
	return struct {
		Message string `json:"message"`
		Code    int    `json:"error_code"`
		Detail  string `json:"detail"`
		Name    string `json:"name"`
	}{p.message, p.status, p.details(), p.name}
}

// v2Meta is the metadata of an artifact and its version as v2 gives them.
type v2Meta struct {
	Name        string       `json:"name,omitempty"`
	Description string       `json:"description,omitempty"`
	CreatedBy   string       `json:"createdBy"`
	CreatedOn   string       `json:"createdOn"`
	ModifiedBy  *string      `json:"modifiedBy,omitempty"` // artifacts only
	ModifiedOn  string       `json:"modifiedOn,omitempty"` // artifacts only
	ID          string       `json:"id,omitempty"`
	Version     string       `json:"version"`
	Type        string       `json:"type"`
	GlobalID    int64        `json:"globalId"`
	State       string       `json:"state"`
	Labels      *[]string    `json:"labels,omitempty"` // in lists of versions
	GroupID     string       `json:"groupId,omitempty"`
	ContentID   int64        `json:"contentId"`
	References  *[]reference `json:"references,omitempty"` // artifacts and lists only
}

func v2Version(v *version) v2Meta {
	return v2Meta{
		Name: v.Name, Description: v.Description, CreatedOn: stamp(v.Created), ID: v.Artifact,
		Version: v.Version, Type: v.Type, GlobalID: v.GlobalID, State: v.State, GroupID: v.Group, ContentID: v.ContentID,
	}
}

// v2Artifact is the artifact's metadata with those of version v.
func v2Artifact(a *artifact, v *version) v2Meta {
	m := v2Version(v)
	m.CreatedOn, m.ModifiedOn = stamp(a.Created), stamp(a.Modified)
	m.ModifiedBy, m.References = new(string), &[]reference{}
	return m
}

func (h *handler) v2(mux *http.ServeMux) {
	on := func(pattern string, f call) {
		method, path, _ := strings.Cut(pattern, " ")
		h.on(mux, method+" "+v2Base+path, v2Error, f)
	}
	const artifacts = "/groups/{group}/artifacts"
	on("POST "+artifacts, h.v2Create)
	on("POST "+artifacts+"/{artifact}/versions", h.v2CreateVersion)
	on("PUT "+artifacts+"/{artifact}", h.v2Update)
	on("GET "+artifacts+"/{artifact}", h.v2Latest)
	on("GET "+artifacts+"/{artifact}/meta", h.v2Meta)
	on("POST "+artifacts+"/{artifact}/meta", h.v2Find)
	on("GET "+artifacts+"/{artifact}/versions", h.v2Versions)
	on("GET "+artifacts+"/{artifact}/versions/{version}", h.v2Content)
	on("GET "+artifacts+"/{artifact}/versions/{version}/meta", h.v2VersionMeta)
	on("GET "+artifacts+"/{artifact}/versions/{version}/references", h.v2References)
	on("GET /groups", h.v2Groups)
	on("GET /groups/{group}", h.v2Group)
	h.ids(mux, v2Base, v2Error, "application/octet-stream", func(r *http.Request) bool {
		return r.URL.Query().Get("dereference") == "true"
	})
	on("GET /system/info", func(*http.Request) (answer, error) { return asJSON(systemInfo()) })
	on("GET /users/me", func(*http.Request) (answer, error) { return asJSON(currentUser()) })
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
		return 0, badParameter("QueryParam", "ifExists", v,
			"IllegalArgumentException: No enum constant io.apicurio.registry.rest.v2.beans.IfExists."+v)
	}
}

// encoded reads a header that may come in base64 under another name.
func encoded(r *http.Request, name string) string {
	if v := r.Header.Get(name); v != "" {
		return v
	}
	text, err := base64.StdEncoding.DecodeString(r.Header.Get(name + "-Encoded"))
	if err != nil {
		return ""
	}
	return string(text)
}

// v2Draft reads what v2's requests that bring content have in common.
func v2Draft(r *http.Request) (*draft, error) {
	text, err := body(r)
	if err != nil {
		return nil, err
	}
	d := &draft{
		key: artifactKey(r), artifactType: r.Header.Get("X-Registry-ArtifactType"),
		version: r.Header.Get("X-Registry-Version"), canonical: r.URL.Query().Get("canonical") == "true",
		name: encoded(r, "X-Registry-Name"), description: encoded(r, "X-Registry-Description"),
	}
	if err := d.extended(r, text); err != nil {
		return nil, err
	}
	if err := checkType(d.artifactType); err != nil {
		return nil, err
	}
	d.versionName, d.versionDesc = d.name, d.description
	return d, nil
}

// extended takes the content, either as it is or in JSON with its references.
func (d *draft) extended(r *http.Request, text []byte) error {
	d.text = text
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/create.extended+json") &&
		!strings.HasPrefix(r.Header.Get("Content-Type"), "application/get.extended+json") {
		return nil
	}
	var e struct {
		Content    string
		References []reference
	}
	if json.Unmarshal(text, &e) != nil {
		return errUndecodable
	}
	d.text, d.refs = []byte(e.Content), e.References
	return nil
}

// checkType refuses what this server does not keep.
func checkType(t string) error {
	switch t {
	case "", "AVRO", "JSON":
		return nil
	}
	return badRequest("BadRequestException", "No such artifact type provider: %s", t)
}

func (h *handler) v2Create(r *http.Request) (answer, error) {
	d, err := v2Draft(r)
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
	d.nameFromContent()
	return h.v2Register(d)
}

func (h *handler) v2Update(r *http.Request) (answer, error) {
	d, err := v2Draft(r)
	if err != nil {
		return answer{}, err
	}
	d.ifExists = mustExist
	d.nameFromContent()
	return h.v2Register(d)
}

// nameFromContent names an artifact as v2 does when the client does not.
func (d *draft) nameFromContent() {
	if d.name == "" {
		d.name = avrotext.Name(string(d.text))
		d.versionName = d.name
	}
}

func (h *handler) v2Register(d *draft) (answer, error) {
	a, v, err := h.store.register(d)
	if err != nil {
		return answer{}, err
	}
	m := v2Artifact(a, v)
	m.CreatedOn, m.ModifiedOn = stamp(v.Created), stamp(v.Created)
	return asJSON(m)
}

func (h *handler) v2CreateVersion(r *http.Request) (answer, error) {
	d, err := v2Draft(r)
	if err != nil {
		return answer{}, err
	}
	d.ifExists = mustExist
	_, v, err := h.store.register(d)
	if err != nil {
		return answer{}, err
	}
	return asJSON(v2Version(v))
}

// latestOf returns the artifact and its latest version.
func (t tx) latestOf(k key) (*artifact, *version, error) {
	a, err := t.artifact(k)
	if err == nil && a == nil {
		err = artifactNotFound(k)
	}
	if err != nil {
		return nil, nil, err
	}
	v, err := t.latest(k)
	if err == nil && v == nil {
		err = artifactNotFound(k)
	}
	return a, v, err
}

// version2 returns the version that v2 means by the path; "latest" is one.
func (t tx) version2(r *http.Request) (*version, error) {
	k, name := artifactKey(r), r.PathValue("version")
	v, err := t.named(k, name)
	if err == nil && v == nil && name == "latest" {
		v, err = t.latest(k)
	}
	if err == nil && v == nil {
		err = versionNotFound(k, name)
	}
	return v, err
}

func (h *handler) v2Latest(r *http.Request) (a answer, err error) {
	err = h.store.view(func(t tx) error {
		_, v, err := t.latestOf(artifactKey(r))
		if err != nil {
			return err
		}
		a, err = t.text(v.ContentID, "application/json", false)
		return err
	})
	return a, err
}

func (h *handler) v2Meta(r *http.Request) (a answer, err error) {
	err = h.store.view(func(t tx) error {
		art, v, err := t.latestOf(artifactKey(r))
		if err != nil {
			return err
		}
		m := v2Artifact(art, v)
		if m.GroupID == defaultGroup {
			m.GroupID = ""
		}
		a, err = asJSON(m)
		return err
	})
	return a, err
}

// v2Find looks a version up by its content.
func (h *handler) v2Find(r *http.Request) (a answer, err error) {
	text, err := body(r)
	if err != nil {
		return answer{}, err
	}
	d := &draft{key: artifactKey(r)}
	if err := d.extended(r, text); err != nil {
		return answer{}, err
	}
	if err := h.store.prepare(d); err != nil {
		return answer{}, err
	}
	err = h.store.view(func(t tx) error {
		v, err := t.find(d, r.URL.Query().Get("canonical") == "true")
		if err == nil && v == nil {
			err = artifactNotFound(d.key)
		}
		if err == nil {
			a, err = asJSON(v2Version(v))
		}
		return err
	})
	return a, err
}

func (h *handler) v2Versions(r *http.Request) (a answer, err error) {
	offset, limit, err := page(r)
	if err != nil {
		return answer{}, err
	}
	err = h.store.view(func(t tx) error {
		all, err := t.versionsOf(artifactKey(r))
		if err != nil {
			return err
		}
		list := []v2Meta{}
		for _, v := range paged(all, offset, limit) {
			m := v2Version(v)
			m.ID, m.GroupID, m.Labels, m.References = "", "", &[]string{}, &[]reference{}
			list = append(list, m)
		}
		a, err = asJSON(map[string]any{"count": len(all), "versions": list})
		return err
	})
	return a, err
}

// versionsOf is versions of an artifact that must exist.
func (t tx) versionsOf(k key) ([]*version, error) {
	a, err := t.artifact(k)
	if err == nil && a == nil {
		err = artifactNotFound(k)
	}
	if err != nil {
		return nil, err
	}
	return t.versions(k)
}

func (h *handler) v2Content(r *http.Request) (a answer, err error) {
	err = h.store.view(func(t tx) error {
		v, err := t.version2(r)
		if err == nil {
			a, err = t.text(v.ContentID, "application/json", r.URL.Query().Get("dereference") == "true")
		}
		return err
	})
	return a, err
}

func (h *handler) v2VersionMeta(r *http.Request) (a answer, err error) {
	err = h.store.view(func(t tx) error {
		v, err := t.version2(r)
		if err == nil {
			a, err = asJSON(v2Version(v))
		}
		return err
	})
	return a, err
}

func (h *handler) v2References(r *http.Request) (a answer, err error) {
	err = h.store.view(func(t tx) error {
		v, err := t.version2(r)
		if err == nil {
			a, err = t.referencesOf(r, v)
		}
		return err
	})
	return a, err
}

type v2GroupMeta struct {
	ID         string `json:"id"`
	CreatedBy  string `json:"createdBy"`
	CreatedOn  string `json:"createdOn"`
	ModifiedBy string `json:"modifiedBy"`
	ModifiedOn string `json:"modifiedOn"`
}

func v2GroupOf(g *group) v2GroupMeta {
	return v2GroupMeta{ID: g.ID, CreatedOn: stamp(g.Created), ModifiedOn: stamp(g.Modified)}
}

func (h *handler) v2Groups(r *http.Request) (answer, error) {
	all, shown, err := h.groups(r)
	list := []v2GroupMeta{}
	for _, g := range shown {
		list = append(list, v2GroupOf(g))
	}
	if err != nil {
		return answer{}, err
	}
	return asJSON(map[string]any{"groups": list, "count": all})
}

func (h *handler) v2Group(r *http.Request) (answer, error) {
	g, err := h.group(r)
	if err != nil {
		return answer{}, err
	}
	return asJSON(v2GroupOf(g))
}
