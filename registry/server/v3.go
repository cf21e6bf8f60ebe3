package server

import (
	"errors"
	"net/http"
	"slices"
	"strings"
)

const v3Base = "/apis/registry/v3"

type v3ArtifactMeta struct {
	Name         *string `json:"name,omitempty"`
	Description  *string `json:"description,omitempty"`
	Owner        string  `json:"owner"`
	CreatedOn    string  `json:"createdOn"`
	ModifiedBy   string  `json:"modifiedBy"`
	ModifiedOn   string  `json:"modifiedOn"`
	ArtifactType string  `json:"artifactType"`
	Labels       labels  `json:"labels,omitempty"`
	GroupID      string  `json:"groupId,omitempty"`
	ArtifactID   string  `json:"artifactId"`
}

type v3VersionMeta struct {
	Version      string  `json:"version"`
	Name         *string `json:"name,omitempty"`
	Description  *string `json:"description,omitempty"`
	Owner        string  `json:"owner"`
	CreatedOn    string  `json:"createdOn"`
	ArtifactType string  `json:"artifactType"`
	GlobalID     int64   `json:"globalId"`
	State        string  `json:"state"`
	Labels       labels  `json:"labels,omitempty"`
	GroupID      string  `json:"groupId,omitempty"`
	ContentID    int64   `json:"contentId"`
	ArtifactID   string  `json:"artifactId"`
	ModifiedBy   string  `json:"modifiedBy"`
	ModifiedOn   string  `json:"modifiedOn"`
}

func v3Artifact(a *artifact) v3ArtifactMeta {
	return v3ArtifactMeta{
		Name: a.Name, Description: a.Description, Owner: a.Owner, CreatedOn: stamp(a.Created), ModifiedOn: stamp(a.Modified),
		ArtifactType: a.Type, Labels: a.Labels, GroupID: shownGroup(a.Group), ArtifactID: a.ID,
	}
}

func v3Version(v *version) v3VersionMeta {
	return v3VersionMeta{
		Version: v.Version, Name: v.Name, Description: v.Description, Owner: v.Owner, CreatedOn: stamp(v.Created), ArtifactType: v.Type,
		GlobalID: v.GlobalID, State: v.State, Labels: v.Labels, GroupID: shownGroup(v.Group), ContentID: v.ContentID,
		ArtifactID: v.Artifact, ModifiedOn: stamp(v.Modified),
	}
}

func (h *handler) v3(mux *http.ServeMux) {
	on := func(pattern string, f call) { h.on(mux, apiV3, v3Base, pattern, f) }
	const artifacts = "/groups/{group}/artifacts"
	const one = artifacts + "/{artifact}"
	const version = one + "/versions/{version}"
	on("POST "+artifacts, h.v3Create)
	on("GET "+artifacts, h.v3ListArtifacts)
	on("DELETE "+artifacts, func(r *http.Request) (answer, error) { return done(h.store.deleteGroup(r.PathValue("group"), false)) })
	on("GET "+one, h.v3Meta)
	on("PUT "+one, h.v3EditArtifact)
	on("DELETE "+one, h.deleteOne)
	on("POST "+one+"/versions", h.v3CreateVersion)
	on("GET "+one+"/versions", h.v3Versions)
	on("GET "+version, h.v3Version)
	on("PUT "+version, h.v3EditVersion)
	on("DELETE "+version, h.deleteOneVersion)
	on("GET "+version+"/content", h.v3Content)
	on("PUT "+version+"/content", h.v3EditContent)
	on("GET "+version+"/references", h.v3References)
	on("GET "+version+"/state", h.v3State)
	on("PUT "+version+"/state", h.versionState)
	h.comments(mux, apiV3, v3Base+version+"/comments")
	h.v3Branches(mux, v3Base+one+"/branches")
	h.rules(mux, apiV3, v3Base+one+"/rules", ofArtifactPath)
	h.rules(mux, apiV3, v3Base+"/groups/{group}/rules", ofGroupPath)
	h.rules(mux, apiV3, v3Base+"/admin/rules", globally)
	on("GET /search/artifacts", h.v3SearchArtifacts)
	on("POST /search/artifacts", h.v3SearchArtifacts)
	on("GET /search/versions", h.v3SearchVersions)
	on("POST /search/versions", h.v3SearchVersions)
	on("GET /search/groups", h.v3SearchGroups)
	on("GET /groups", func(r *http.Request) (answer, error) { return h.v3Groups(r, &filter{f: v33}) })
	on("POST /groups", h.v3CreateGroup)
	on("GET /groups/{group}", h.v3Group)
	on("PUT /groups/{group}", h.v3EditGroup)
	on("DELETE /groups/{group}", func(r *http.Request) (answer, error) { return done(h.store.deleteGroup(r.PathValue("group"), true)) })
	h.ids(mux, apiV3, v3Base, func(r *http.Request) bool { return r.URL.Query().Get("references") == "DEREFERENCE" })
	h.system(mux, apiV3, v3Base)
}

// missing is the answer to a request that lacks a parameter.
func missing(name string) *problem {
	return badRequest("MissingRequiredParameterException", "Request is missing a required parameter: %s", name)
}

// v3NewVersion is the version to create in v3's requests.
type v3NewVersion struct {
	Version *string
	Content *struct {
		Content     *string
		ContentType string
		References  []reference
	}
	Name, Description *string
	Labels            labels
	Branches          []string
	IsDraft           bool
}

// into puts the version into the draft. where is its place in the request, for
// messages.
func (n *v3NewVersion) into(d *draft, where string) error {
	switch {
	case n.Content == nil:
		return missing("body." + where + "content")
	case n.Content.Content == nil:
		return missing("body." + where + "content.content")
	case n.Content.ContentType == "":
		return missing("body." + where + "content.contentType")
	case *n.Content.Content == "":
		return badRequest("BadRequestException", "Empty content is not allowed.")
	}
	d.text, d.refs, d.mediaType = []byte(*n.Content.Content), n.Content.References, n.Content.ContentType
	d.branches, d.isDraft = n.Branches, n.IsDraft
	if n.Version != nil {
		d.version = *n.Version
		if err := checkVersionID(d.version); err != nil {
			return err
		}
	}
	d.versionMeta = meta{Name: n.Name, Description: n.Description, Labels: n.Labels}
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
		return 0, noConstant("QueryParam", "ifExists", v, "rest.v3.beans.IfArtifactExists")
	}
}

// checkVersionID refuses what v3 does not take for the name of a version.
func checkVersionID(id string) error {
	if checkBranchID(id) != nil { // the same letters
		return versionID(id)
	}
	return nil
}

func versionID(id string) *problem {
	return badRequest("ValidationException",
		"Version ID '%s' is invalid. It must consist of alphanumeric characters or '._-+', and have length 1..256 (inclusive).", id)
}

// referencesHow checks the parameter that says what is to be done with
// references.
func referencesHow(r *http.Request) error {
	q := queryOf(r)
	q.one("references", "rest.v3.beans.HandleReferencesType", "PRESERVE", "DEREFERENCE", "REWRITE")
	return q.err
}

func isDryRun(r *http.Request) bool { return r.URL.Query().Get("dryRun") == "true" }

func (h *handler) v3Create(r *http.Request) (answer, error) {
	var q struct {
		ArtifactID, ArtifactType string
		Name, Description        *string
		Labels                   labels
		FirstVersion             *v3NewVersion
	}
	exists, err := v3Exists(r)
	if err == nil {
		err = bodyJSON(r, &q)
	}
	if err != nil {
		return answer{}, err
	}
	if q.ArtifactType != "" && !slices.Contains(artifactTypes(v33), q.ArtifactType) {
		return answer{}, badRequest("InvalidArtifactTypeException", "Invalid or unknown artifact type: %s", q.ArtifactType)
	}
	if q.ArtifactType == "" && q.FirstVersion == nil {
		return answer{}, missing("body.artifactType")
	}
	d := &draft{
		ctx: r.Context(),
		key: key{r.PathValue("group"), q.ArtifactID}, artifactType: q.ArtifactType, ifExists: exists,
		canonical: r.URL.Query().Get("canonical") == "true", dryRun: isDryRun(r),
		artifactMeta: meta{Name: q.Name, Description: q.Description, Labels: q.Labels},
		noContent:    q.FirstVersion == nil,
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
	d := &draft{ctx: r.Context(), key: artifactKey(r), ifExists: mustExist, dryRun: isDryRun(r)}
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
	return h.v2Read(r, func(t tx, k key) (answer, error) {
		a, err := t.mustArtifact(k)
		if err != nil {
			return answer{}, err
		}
		return asJSON(v3Artifact(a))
	})
}

// v3Edit reads v3's metadata.
func v3Edit(r *http.Request) (edit, error) {
	var q struct {
		Name, Description, Owner *string
		Labels                   *labels
	}
	if err := bodyJSON(r, &q); err != nil {
		return edit{}, err
	}
	return edit{name: q.Name, description: q.Description, labels: q.Labels, owner: q.Owner}, nil
}

func (h *handler) v3EditArtifact(r *http.Request) (answer, error) {
	e, err := v3Edit(r)
	if err != nil {
		return answer{}, err
	}
	return done(h.store.editArtifact(artifactKey(r), e, false))
}

// v3EditVersion edits a version, which may be named by a branch.
func (h *handler) v3EditVersion(r *http.Request) (answer, error) {
	e, err := v3Edit(r)
	if err != nil {
		return answer{}, err
	}
	e.owner = nil // which a version cannot be given
	return h.editExpression(r, e)
}

// editExpression edits the version that an expression names.
func (h *handler) editExpression(r *http.Request, e edit) (answer, error) {
	return done(h.store.update(func(t tx) error {
		v, err := t.version3(r)
		if err != nil {
			return err
		}
		e.apply(&v.meta)
		v.Modified = h.store.now()
		return t.putVersion(v)
	}))
}

// v3EditContent is refused: what a version holds never changes here.
func (h *handler) v3EditContent(*http.Request) (answer, error) {
	return answer{}, &problem{status: 405, name: "NotAllowedException", allow: "GET",
		message: "Artifact version content update operation is not enabled."}
}

// version3 returns the version that v3 means by the path: a name, or the tip
// of a branch.
func (t tx) version3(r *http.Request) (*version, error) {
	k, name := artifactKey(r), r.PathValue("version")
	branch, isBranch := strings.CutPrefix(name, "branch=")
	switch {
	case !isBranch && checkVersionID(name) != nil, isBranch && branch == "":
		return nil, badRequest("ValidationException", "Could not parse version expression '%s'.", name)
	case !isBranch:
		return t.mustNamed(k, name)
	}
	if err := checkBranchID(branch); err != nil {
		return nil, err
	}
	return t.tip(k, branch)
}

func (h *handler) v3Version(r *http.Request) (answer, error) {
	return h.v2Read(r, func(t tx, _ key) (answer, error) {
		v, err := t.version3(r)
		if err != nil {
			return answer{}, err
		}
		return asJSON(v3Version(v))
	})
}

func (h *handler) v3State(r *http.Request) (answer, error) {
	return h.v2Read(r, func(t tx, _ key) (answer, error) {
		v, err := t.version3(r)
		if err != nil {
			return answer{}, err
		}
		return asJSON(map[string]string{"state": v.State})
	})
}

func (h *handler) v3Content(r *http.Request) (answer, error) {
	if err := referencesHow(r); err != nil {
		return answer{}, err
	}
	return h.v2Read(r, func(t tx, _ key) (answer, error) {
		v, err := t.version3(r)
		if err != nil {
			return answer{}, err
		}
		return t.ofVersion(v, r.URL.Query().Get("references") == "DEREFERENCE")
	})
}

func (h *handler) v3References(r *http.Request) (answer, error) {
	kind, err := refType(r)
	if err != nil {
		return answer{}, err
	}
	return h.v2Read(r, func(t tx, _ key) (answer, error) {
		v, err := t.version3(r)
		if p := new(problem); errors.As(err, &p) && p.status == http.StatusNotFound && !strings.HasPrefix(r.PathValue("version"), "branch=") {
			if kind == "INBOUND" {
				return asJSON([]reference{})
			}
			err = artifactNotFound(artifactKey(r))
		}
		if err != nil {
			return answer{}, err
		}
		return t.referencesOf(r, v)
	})
}
