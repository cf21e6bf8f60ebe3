package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

const v3Base = "/apis/registry/v3"

func v3Error(p *problem) any {
	return struct {
		Detail string `json:"detail"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Name   string `json:"name"`
	}{p.details(), p.message, p.status, p.name}
}

type v3ArtifactMeta struct {
	Name         string             `json:"name,omitempty"`
	Description  string             `json:"description,omitempty"`
	Owner        string             `json:"owner"`
	CreatedOn    string             `json:"createdOn"`
	ModifiedBy   string             `json:"modifiedBy"`
	ModifiedOn   string             `json:"modifiedOn"`
	ArtifactType string             `json:"artifactType"`
	Labels       map[string]*string `json:"labels,omitempty"`
	GroupID      string             `json:"groupId,omitempty"`
	ArtifactID   string             `json:"artifactId"`
}

type v3VersionMeta struct {
	Version      string             `json:"version"`
	Name         string             `json:"name,omitempty"`
	Description  string             `json:"description,omitempty"`
	Owner        string             `json:"owner"`
	CreatedOn    string             `json:"createdOn"`
	ArtifactType string             `json:"artifactType"`
	GlobalID     int64              `json:"globalId"`
	State        string             `json:"state"`
	Labels       map[string]*string `json:"labels,omitempty"`
	GroupID      string             `json:"groupId,omitempty"`
	ContentID    int64              `json:"contentId"`
	ArtifactID   string             `json:"artifactId"`
	ModifiedBy   string             `json:"modifiedBy"`
	ModifiedOn   string             `json:"modifiedOn"`
}

// shownGroup leaves the default group out, as v3 does.
func shownGroup(g string) string {
	if g == defaultGroup {
		return ""
	}
	return g
}

func v3Artifact(a *artifact) v3ArtifactMeta {
	return v3ArtifactMeta{
		Name: a.Name, Description: a.Description, CreatedOn: stamp(a.Created), ModifiedOn: stamp(a.Modified),
		ArtifactType: a.Type, Labels: a.Labels, GroupID: shownGroup(a.Group), ArtifactID: a.ID,
	}
}

func v3Version(v *version) v3VersionMeta {
	return v3VersionMeta{
		Version: v.Version, Name: v.Name, Description: v.Description, CreatedOn: stamp(v.Created), ArtifactType: v.Type,
		GlobalID: v.GlobalID, State: v.State, Labels: v.Labels, GroupID: shownGroup(v.Group), ContentID: v.ContentID,
		ArtifactID: v.Artifact, ModifiedOn: stamp(v.Created),
	}
}

func (h *handler) v3(mux *http.ServeMux) {
	on := func(pattern string, f call) {
		method, path, _ := strings.Cut(pattern, " ")
		h.on(mux, method+" "+v3Base+path, v3Error, f)
	}
	const artifacts = "/groups/{group}/artifacts"
	on("POST "+artifacts, h.v3Create)
	on("GET "+artifacts+"/{artifact}", h.v3Meta)
	on("POST "+artifacts+"/{artifact}/versions", h.v3CreateVersion)
	on("GET "+artifacts+"/{artifact}/versions", h.v3Versions)
	on("GET "+artifacts+"/{artifact}/versions/{version}", h.v3Version)
	on("GET "+artifacts+"/{artifact}/versions/{version}/content", h.v3Content)
	on("GET "+artifacts+"/{artifact}/versions/{version}/references", h.v3References)
	on("POST /search/versions", h.v3Search)
	on("GET /groups", h.v3Groups)
	on("GET /groups/{group}", h.v3Group)
	h.ids(mux, v3Base, v3Error, "application/json", func(r *http.Request) bool {
		return r.URL.Query().Get("references") == "DEREFERENCE"
	})
	on("GET /system/info", func(*http.Request) (answer, error) { return asJSON(systemInfo()) })
	on("GET /users/me", func(*http.Request) (answer, error) { return asJSON(currentUser()) })
}

// v3NewVersion is the version to create in v3's requests.
type v3NewVersion struct {
	Version string
	Content *struct {
		Content     *string
		ContentType string
		References  []reference
	}
	Name, Description string
	Labels            map[string]*string
	IsDraft           bool
}

// into puts the version into the draft. where is its place in the request, for
// messages.
func (n *v3NewVersion) into(d *draft, where string) error {
	missing := func(field string) error {
		return badRequest("MissingRequiredParameterException", "Request is missing a required parameter: body.%s%s", where, field)
	}
	switch {
	case n.Content == nil || n.Content.Content == nil:
		return missing("content")
	case n.Content.ContentType == "":
		return missing("content.contentType")
	case n.IsDraft:
		return badRequest("BadRequestException", "Drafts are not supported by this registry.")
	}
	d.text, d.refs = []byte(*n.Content.Content), n.Content.References
	d.version, d.versionName, d.versionDesc, d.versionLabels = n.Version, n.Name, n.Description, n.Labels
	return nil
}

func v3Exists(r *http.Request) (ifExists, error) {
	switch v := r.URL.Query().Get("ifExists"); v {
	case "", "FAIL":
		return existsFail, nil
	case "CREATE_VERSION":
		return existsAdd, nil
	case "FIND_OR_CREATE_VERSION":
		return existsFind, nil
	default:
		return 0, badParameter("QueryParam", "ifExists", v,
			"IllegalArgumentException: No enum constant io.apicurio.registry.rest.v3.beans.IfArtifactExists."+v)
	}
}

func dryRun(r *http.Request) error {
	if r.URL.Query().Get("dryRun") == "true" {
		return badRequest("BadRequestException", "dryRun is not supported by this registry.")
	}
	return nil
}

func (h *handler) v3Create(r *http.Request) (answer, error) {
	var q struct {
		ArtifactID, ArtifactType, Name, Description string
		Labels                                      map[string]*string
		FirstVersion                                *v3NewVersion
	}
	exists, err := v3Exists(r)
	if err == nil {
		err = bodyJSON(r, &q)
	}
	if err == nil {
		err = dryRun(r)
	}
	if err == nil {
		err = checkType(q.ArtifactType)
	}
	if err != nil {
		return answer{}, err
	}
	d := &draft{
		key: key{r.PathValue("group"), q.ArtifactID}, artifactType: q.ArtifactType, ifExists: exists,
		canonical: r.URL.Query().Get("canonical") == "true",
		name:      q.Name, description: q.Description, labels: q.Labels,
		noContent: q.FirstVersion == nil,
	}
	if q.FirstVersion != nil {
		if err := q.FirstVersion.into(d, "firstVersion."); err != nil {
			return answer{}, err
		}
	}
	a, v, err := h.store.register(d)
	if err != nil {
		return answer{}, err
	}
	out := struct {
		Artifact v3ArtifactMeta `json:"artifact"`
		Version  *v3VersionMeta `json:"version,omitempty"`
	}{Artifact: v3Artifact(a)}
	if v != nil {
		m := v3Version(v)
		out.Version = &m
	}
	return asJSON(out)
}

func (h *handler) v3CreateVersion(r *http.Request) (answer, error) {
	var q v3NewVersion
	if err := bodyJSON(r, &q); err != nil {
		return answer{}, err
	}
	d := &draft{key: artifactKey(r), ifExists: mustExist}
	if err := dryRun(r); err != nil {
		return answer{}, err
	}
	if err := q.into(d, ""); err != nil {
		return answer{}, err
	}
	_, v, err := h.store.register(d)
	if err != nil {
		return answer{}, err
	}
	return asJSON(v3Version(v))
}

func (h *handler) v3Meta(r *http.Request) (answer, error) {
	var a *artifact
	err := h.store.view(func(t tx) (err error) {
		a, err = t.artifact(artifactKey(r))
		return err
	})
	if err == nil && a == nil {
		err = artifactNotFound(artifactKey(r))
	}
	if err != nil {
		return answer{}, err
	}
	return asJSON(v3Artifact(a))
}

// version3 returns the version that v3 means by the path: a name, or
// branch=latest.
func (t tx) version3(r *http.Request) (*version, error) {
	k, name := artifactKey(r), r.PathValue("version")
	branch, isBranch := strings.CutPrefix(name, "branch=")
	if !isBranch {
		v, err := t.named(k, name)
		if err == nil && v == nil {
			err = versionNotFound(k, name)
		}
		return v, err
	}
	if branch == "" {
		return nil, badRequest("ValidationException", "Could not parse version expression '%s'.", name)
	}
	if branch == "latest" {
		if v, err := t.latest(k); err != nil || v != nil {
			return v, err
		}
	}
	return nil, versionNotFound(k, fmt.Sprintf("<tip of the branch '%s'>", branch))
}

func (h *handler) v3Version(r *http.Request) (a answer, err error) {
	err = h.store.view(func(t tx) error {
		v, err := t.version3(r)
		if err == nil {
			a, err = asJSON(v3Version(v))
		}
		return err
	})
	return a, err
}

func (h *handler) v3Content(r *http.Request) (a answer, err error) {
	err = h.store.view(func(t tx) error {
		v, err := t.version3(r)
		if err == nil {
			a, err = t.text(v.ContentID, "application/json", r.URL.Query().Get("references") == "DEREFERENCE")
		}
		return err
	})
	return a, err
}

func (h *handler) v3References(r *http.Request) (a answer, err error) {
	err = h.store.view(func(t tx) error {
		v, err := t.version3(r)
		if err == nil {
			a, err = t.referencesOf(r, v)
		}
		return err
	})
	return a, err
}

// v3List answers with a page of versions, ordered as asked.
func v3List(r *http.Request, all []*version) (answer, error) {
	offset, limit, err := page(r)
	if err != nil {
		return answer{}, err
	}
	if r.URL.Query().Get("order") == "desc" {
		slices.Reverse(all)
	}
	list := []v3VersionMeta{}
	for _, v := range paged(all, offset, limit) {
		list = append(list, v3Version(v))
	}
	return asJSON(map[string]any{"count": len(all), "versions": list})
}

func (h *handler) v3Versions(r *http.Request) (a answer, err error) {
	err = h.store.view(func(t tx) error {
		all, err := t.versionsOf(artifactKey(r))
		if err == nil {
			a, err = v3List(r, all)
		}
		return err
	})
	return a, err
}

// v3Search finds versions by content, as clients do that do not register.
func (h *handler) v3Search(r *http.Request) (a answer, err error) {
	text, err := body(r)
	if err != nil {
		return answer{}, err
	}
	q := r.URL.Query()
	d := &draft{key: key{q.Get("groupId"), q.Get("artifactId")}, text: text}
	byGroup, byArtifact := d.group, d.artifact
	if err := h.store.prepare(d); err != nil {
		return answer{}, err
	}
	err = h.store.view(func(t tx) error {
		var all []*version
		ids, err := t.contentsLike(d, q.Get("canonical") == "true")
		for _, id := range ids {
			uses, e := t.uses(id)
			if e != nil {
				return e
			}
			for _, v := range uses {
				if (byGroup == "" || v.Group == byGroup) && (byArtifact == "" || v.Artifact == byArtifact) {
					all = append(all, v)
				}
			}
		}
		if err != nil {
			return err
		}
		slices.SortFunc(all, func(a, b *version) int { return int(a.GlobalID - b.GlobalID) })
		a, err = v3List(r, all)
		return err
	})
	return a, err
}

type v3GroupMeta struct {
	Owner      string `json:"owner"`
	CreatedOn  string `json:"createdOn"`
	ModifiedBy string `json:"modifiedBy"`
	ModifiedOn string `json:"modifiedOn"`
	GroupID    string `json:"groupId"`
}

func v3GroupOf(g *group) v3GroupMeta {
	return v3GroupMeta{CreatedOn: stamp(g.Created), ModifiedOn: stamp(g.Modified), GroupID: g.ID}
}

func (h *handler) v3Groups(r *http.Request) (answer, error) {
	all, shown, err := h.groups(r)
	if err != nil {
		return answer{}, err
	}
	list := []v3GroupMeta{}
	for _, g := range shown {
		list = append(list, v3GroupOf(g))
	}
	return asJSON(map[string]any{"groups": list, "count": all})
}

func (h *handler) v3Group(r *http.Request) (answer, error) {
	g, err := h.group(r)
	if err != nil {
		return answer{}, err
	}
	return asJSON(v3GroupOf(g))
}
