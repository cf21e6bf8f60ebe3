package server

import (
	"archive/zip"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Apicurio's archive: a zip of one JSON file for each thing, by which it moves
// registries with their ids. The form of 3.x is written, those of 3.x and 2.x
// are read.

type manifestEntity struct {
	SystemVersion     string `json:"systemVersion"`
	SystemName        string `json:"systemName"`
	SystemDescription string `json:"systemDescription"`
	ExportVersion     string `json:"exportVersion"`
	ExportedOn        int64  `json:"exportedOn"`
	ExportedBy        string `json:"exportedBy"`
	DBVersion         string `json:"dbVersion"`
}

type contentEntity struct {
	ContentID            int64   `json:"contentId"`
	CanonicalHash        string  `json:"canonicalHash"`
	ContentHash          string  `json:"contentHash"`
	ArtifactType         *string `json:"artifactType"`
	ContentType          string  `json:"contentType"`
	SerializedReferences *string `json:"serializedReferences"`
}

// entityMeta is what groups, artifacts and versions have in common; 2.x says
// createdBy and properties where 3.x says owner and labels.
type entityMeta struct {
	Name        *string         `json:"name,omitempty"`
	Description *string         `json:"description"`
	Labels      json.RawMessage `json:"labels"` // a list of names in 2.x
	Properties  labels          `json:"properties,omitempty"`
	Owner       string          `json:"owner"`
	CreatedBy   string          `json:"createdBy,omitempty"`
	CreatedOn   int64           `json:"createdOn"`
	ModifiedBy  string          `json:"modifiedBy"`
	ModifiedOn  int64           `json:"modifiedOn"`
}

func entityOf(m meta, created, modified time.Time) entityMeta {
	e := entityMeta{Name: m.Name, Description: m.Description, Owner: m.Owner, CreatedOn: created.UnixMilli(), ModifiedOn: modified.UnixMilli()}
	if len(m.Labels) > 0 {
		e.Labels, _ = json.Marshal(m.Labels) // which always encode
	}
	return e
}

// meta returns the entity's in our form.
func (e *entityMeta) meta() meta {
	m := meta{Name: e.Name, Description: e.Description, Owner: e.Owner}
	if m.Owner == "" {
		m.Owner = e.CreatedBy
	}
	var names []string
	if json.Unmarshal(e.Labels, &names) == nil {
		for _, n := range names {
			m.Labels = append(m.Labels, label{Name: n})
		}
	} else if len(e.Labels) > 0 {
		_ = json.Unmarshal(e.Labels, &m.Labels) // what is neither form is left out
	}
	m.Labels = append(m.Labels, e.Properties...)
	return m
}

func (e *entityMeta) times() (created, modified time.Time) {
	created = time.UnixMilli(e.CreatedOn).UTC()
	modified = created
	if e.ModifiedOn > 0 {
		modified = time.UnixMilli(e.ModifiedOn).UTC()
	}
	return created, modified
}

type groupEntity struct {
	GroupID string `json:"groupId"`
	entityMeta
}

type artifactEntity struct {
	GroupID      *string `json:"groupId"` // null is the default group
	ArtifactID   string  `json:"artifactId"`
	ArtifactType string  `json:"artifactType"`
	entityMeta
}

type versionEntity struct {
	GlobalID     int64   `json:"globalId"`
	GroupID      *string `json:"groupId"`
	ArtifactID   string  `json:"artifactId"`
	Version      string  `json:"version"`
	VersionOrder int     `json:"versionOrder"`
	VersionID    int     `json:"versionId,omitempty"`    // 2.x
	ArtifactType string  `json:"artifactType,omitempty"` // 2.x
	State        string  `json:"state"`
	ContentID    int64   `json:"contentId"`
	entityMeta
}

type branchEntity struct {
	GroupID       *string  `json:"groupId"`
	ArtifactID    string   `json:"artifactId"`
	BranchID      string   `json:"branchId"`
	Description   *string  `json:"description"`
	SystemDefined bool     `json:"systemDefined"`
	Owner         string   `json:"owner"`
	CreatedOn     int64    `json:"createdOn"`
	ModifiedBy    string   `json:"modifiedBy"`
	ModifiedOn    int64    `json:"modifiedOn"`
	Versions      []string `json:"versions"`
}

type ruleEntity struct {
	GroupID       *string `json:"groupId,omitempty"`
	ArtifactID    string  `json:"artifactId,omitempty"`
	Type          string  `json:"type,omitempty"`
	RuleType      string  `json:"ruleType,omitempty"`
	Configuration string  `json:"configuration"`
}

type commentEntity struct {
	GlobalID  int64  `json:"globalId"`
	CommentID string `json:"commentId"`
	Owner     string `json:"owner"`
	CreatedOn int64  `json:"createdOn"`
	Value     string `json:"value"`
}

// export answers with everything as an archive, or, if asked, with a link to
// it, which is the very path.
func (h *handler) export(r *http.Request) (answer, error) {
	if r.URL.Query().Get("forBrowser") == "true" {
		href := strings.TrimSuffix(r.URL.Path, "/export") + "/export"
		return asJSON(map[string]string{"downloadId": uuid(), "href": href})
	}
	var out bytes.Buffer
	if err := h.store.exportTo(&out, systemInfo(h.flavour)); err != nil {
		return answer{}, err
	}
	return answer{text: out.Bytes(), contentType: "application/zip",
		header: map[string]string{"Content-Disposition": `attachment; filename="registry.zip"`}}, nil
}

// archive writes entities.
type archive struct {
	zip *zip.Writer
	now time.Time
}

func (a *archive) raw(name string, text []byte) error {
	w, err := a.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: a.now})
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

func (a *archive) entity(name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return a.raw(name, text)
}

// segment makes a name one of a path.
func segment(name string) string {
	return strings.NewReplacer("/", "%2F", "\\", "%5C", "..", "%2E.").Replace(name)
}

// exportTo writes the archive of one consistent state.
func (s *store) exportTo(w io.Writer, about info) error {
	a := &archive{zip.NewWriter(w), s.now()}
	err := s.view(func(t tx) error {
		err := a.entity(fmt.Sprintf("manifest-%s.Manifest.json", a.now.Format("2006-01-02T15:04:05.000Z")), manifestEntity{
			SystemVersion: about.Version, SystemName: about.Name, SystemDescription: about.Description, ExportVersion: "3.0",
			ExportedOn: a.now.UnixMilli(), DBVersion: "109",
		})
		for _, part := range []func(t tx) error{a.contents, a.groups, a.artifacts, a.versions, a.branchesAndRules, a.comments, a.counters} {
			if err == nil {
				err = part(t)
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("export the registry: %w", err)
	}
	return a.zip.Close()
}

// idNote is where our archives say how far ids have been given, so that those
// of what was deleted are not given again: the zip's comment, which Apicurio,
// reading a stream, does not come to see.
const idNote = "tributary: contentId=%d globalId=%d commentId=%d"

func (a *archive) counters(t tx) error {
	return a.zip.SetComment(fmt.Sprintf(idNote, t.Bucket(bContents).Sequence(), t.Bucket(bVersions).Sequence(), t.Bucket(bComments).Sequence()))
}

func (a *archive) contents(t tx) error {
	return t.scan(bContents, nil, func(id, _ []byte) error {
		c, err := t.content(parseNumber(id))
		if err != nil {
			return err
		}
		hash := hex.EncodeToString(c.Hash[:])
		e := contentEntity{ContentID: c.ID, CanonicalHash: hex.EncodeToString(c.Canonical[:]), ContentHash: hash, ContentType: c.MediaType}
		if e.ContentType == "" {
			e.ContentType = "application/json"
		}
		if len(c.Refs) > 0 {
			refs := string(serialized(c.Refs))
			e.SerializedReferences = &refs
		}
		if err := a.entity("content/"+hash+".Content.json", e); err != nil {
			return err
		}
		return a.raw("content/"+hash+".Content.data", c.Text)
	})
}

func (a *archive) groups(t tx) error {
	all, err := t.searchGroups(&filter{}, "asc", "groupId")
	for _, g := range all {
		if err == nil {
			err = a.entity("groups/"+segment(g.ID)+".Group.json", groupEntity{g.ID, entityOf(g.meta, g.Created, g.Modified)})
		}
	}
	return err
}

func folder(k key) string {
	return "groups/" + segment(k.group) + "/artifacts/" + segment(k.artifact) + "/"
}

func (a *archive) artifacts(t tx) error {
	return t.scan(bArtifacts, nil, func(_, raw []byte) error {
		x := new(artifact)
		if err := json.Unmarshal(raw, x); err != nil {
			return err
		}
		return a.entity(folder(x.key())+"MetaData.Artifact.json", artifactEntity{written(x.Group), x.ID, x.Type, entityOf(x.meta, x.Created, x.Modified)})
	})
}

func (a *archive) versions(t tx) error {
	return t.scan(bVersions, nil, func(_, raw []byte) error {
		v := new(version)
		if err := json.Unmarshal(raw, v); err != nil {
			return err
		}
		return a.entity(folder(v.key())+"versions/"+segment(v.Version)+".ArtifactVersion.json", versionEntity{
			GlobalID: v.GlobalID, GroupID: written(v.Group), ArtifactID: v.Artifact, Version: v.Version, VersionOrder: v.Order, State: v.State,
			ContentID: v.ContentID, entityMeta: entityOf(v.meta, v.Created, v.Modified),
		})
	})
}

func (a *archive) branchesAndRules(t tx) error {
	for _, kind := range ruleTypes {
		if config := t.rule(everything(), kind); config != "" {
			if err := a.entity("rules/"+kind+".GlobalRule.json", ruleEntity{RuleType: kind, Configuration: config}); err != nil {
				return err
			}
		}
	}
	err := t.scan(bRules, []byte("a\x00"), func(id, config []byte) error {
		p := strings.Split(string(id), "\x00")
		return a.entity(folder(key{p[1], p[2]})+"rules/"+p[3]+".ArtifactRule.json",
			ruleEntity{GroupID: written(p[1]), ArtifactID: p[2], Type: p[3], Configuration: string(config)})
	})
	if err != nil {
		return err
	}
	err = t.scan(bRules, []byte("g\x00"), func(id, config []byte) error {
		p := strings.Split(string(id), "\x00")
		return a.entity("groups/"+segment(p[1])+"/rules/"+p[2]+".GroupRule.json",
			ruleEntity{GroupID: written(p[1]), RuleType: p[2], Configuration: string(config)})
	})
	if err != nil {
		return err
	}
	return t.scan(bArtifacts, nil, func(id, _ []byte) error {
		group, artifact, _ := strings.Cut(string(id), "\x00")
		k := key{group, artifact}
		all, err := t.branches(k)
		for _, b := range all {
			if err != nil {
				return err
			}
			err = a.entity(folder(k)+"branches/"+segment(b.ID)+".Branch.json", branchEntity{
				GroupID: written(group), ArtifactID: artifact, BranchID: b.ID, Description: b.Description, SystemDefined: isSystem(b.ID),
				Owner: b.Owner, CreatedOn: b.Created.UnixMilli(), ModifiedOn: b.Modified.UnixMilli(), Versions: b.Versions,
			})
		}
		return err
	})
}

func (a *archive) comments(t tx) error {
	return t.scan(bComments, nil, func(id, raw []byte) error {
		c := new(comment)
		if err := json.Unmarshal(raw, c); err != nil {
			return err
		}
		return a.entity("comments/"+c.ID+".Comment.json", commentEntity{
			GlobalID: parseNumber(id), CommentID: c.ID, Owner: c.Owner, CreatedOn: c.Created.UnixMilli(), Value: c.Value,
		})
	})
}
