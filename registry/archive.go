package registry

import (
	"archive/zip"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"tributary/internal/avrotext"
)

// holding is what a registry holds, as far as every API can tell it.
type holding struct {
	versions []heldVersion
	levels   map[Artifact]string // of artifacts that have one of their own
	level    string              // for everything, "" for none
}

// heldVersion is a version of an artifact, with the ids that it keeps.
type heldVersion struct {
	Artifact
	order   int
	name    string // what the version is called, where it is not its order
	id      ID
	kind    string // AVRO, JSON or PROTOBUF
	text    string
	refs    []reference
	deleted bool // softly, or disabled
}

func (h *holding) contents() Contents {
	seen := make(map[Artifact]bool)
	for _, v := range h.versions {
		seen[v.Artifact] = true
	}
	return Contents{len(seen), len(h.versions)}
}

// The files of Apicurio's archive that hold it.
type (
	archivedContent struct {
		ContentID     int64   `json:"contentId"`
		CanonicalHash string  `json:"canonicalHash"`
		ContentHash   string  `json:"contentHash"`
		ArtifactType  *string `json:"artifactType"`
		ContentType   string  `json:"contentType"`
		References    *string `json:"serializedReferences"`
	}
	archivedArtifact struct {
		Group     *string `json:"groupId"`
		Artifact  string  `json:"artifactId"`
		Type      string  `json:"artifactType"`
		CreatedOn int64   `json:"createdOn"`
	}
	archivedVersion struct {
		GlobalID  int64   `json:"globalId"`
		Group     *string `json:"groupId"`
		Artifact  string  `json:"artifactId"`
		Version   string  `json:"version"`
		Order     int     `json:"versionOrder"`
		OldOrder  int     `json:"versionId,omitempty"`    // 2.x
		Type      string  `json:"artifactType,omitempty"` // 2.x
		State     string  `json:"state"`
		ContentID int64   `json:"contentId"`
		CreatedOn int64   `json:"createdOn"`
	}
	archivedRule struct {
		Group         *string `json:"groupId,omitempty"`
		Artifact      string  `json:"artifactId,omitempty"`
		Type          string  `json:"type,omitempty"`
		RuleType      string  `json:"ruleType,omitempty"`
		Configuration string  `json:"configuration"`
	}
	archivedReference struct {
		Group    *string `json:"groupId"`
		Artifact string  `json:"artifactId"`
		Version  string  `json:"version"`
		Name     string  `json:"name"`
	}
)

const defaultGroup = "default"

// archiver writes an archive.
type archiver struct {
	zip *zip.Writer
	now time.Time
	err error
}

func (a *archiver) raw(name string, text []byte) {
	if a.err != nil {
		return
	}
	var w io.Writer
	if w, a.err = a.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: a.now}); a.err == nil {
		_, a.err = w.Write(text)
	}
}

func (a *archiver) entity(name string, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		a.err = cmp.Or(a.err, err)
		return
	}
	a.raw(name, text)
}

func segment(name string) string {
	return strings.NewReplacer("/", "%2F", "\\", "%5C", "..", "%2E.").Replace(name)
}

// write writes an archive in the form of Apicurio 3. Versions without a
// globalId get one, by their order.
func (h *holding) write(w io.Writer, now time.Time) error {
	a := &archiver{zip: zip.NewWriter(w), now: now}
	a.entity("manifest-"+now.UTC().Format("2006-01-02T15:04:05.000Z")+".Manifest.json", map[string]any{
		"systemVersion": "3.3.3", "systemName": "Apicurio Registry", "exportVersion": "3.0", "exportedOn": now.UnixMilli(), "exportedBy": "", "dbVersion": "109",
	})
	contents, artifacts := make(map[int64]bool), make(map[Artifact]bool)
	for i, v := range h.versions {
		if !contents[v.id.Content] {
			contents[v.id.Content] = true
			a.content(v)
		}
		folder := "groups/" + segment(v.Group) + "/artifacts/" + segment(v.ID) + "/"
		if !artifacts[v.Artifact] {
			artifacts[v.Artifact] = true
			a.entity(folder+"MetaData.Artifact.json", archivedArtifact{Group: groupOrNull(v.Group), Artifact: v.ID, Type: v.kind, CreatedOn: now.UnixMilli()})
			if level := h.levels[v.Artifact]; level != "" {
				a.entity(folder+"rules/COMPATIBILITY.ArtifactRule.json", archivedRule{Group: groupOrNull(v.Group), Artifact: v.ID, Type: "COMPATIBILITY", Configuration: level})
			}
		}
		state, global, name := "ENABLED", v.id.Global, v.name
		if v.deleted {
			state = "DISABLED"
		}
		if global == 0 {
			global = int64(i + 1)
		}
		if name == "" {
			name = strconv.Itoa(v.order)
		}
		a.entity(folder+"versions/"+segment(name)+".ArtifactVersion.json", archivedVersion{
			GlobalID: global, Group: groupOrNull(v.Group), Artifact: v.ID, Version: name, Order: v.order, State: state, ContentID: v.id.Content, CreatedOn: now.UnixMilli(),
		})
	}
	if h.level != "" {
		a.entity("rules/COMPATIBILITY.GlobalRule.json", archivedRule{RuleType: "COMPATIBILITY", Configuration: h.level})
	}
	if a.err == nil {
		a.err = a.zip.Close()
	}
	return a.err
}

func groupOrNull(group string) *string {
	if group == defaultGroup {
		return nil
	}
	return &group
}

// content writes a text, with the hashes by which Apicurio finds it.
func (a *archiver) content(v heldVersion) {
	hashed := []byte(v.text)
	e := archivedContent{ContentID: v.id.Content, ContentType: "application/json"}
	if len(v.refs) > 0 {
		list := make([]archivedReference, len(v.refs))
		for i, r := range v.refs {
			list[i] = archivedReference{groupOrNull(cmp.Or(r.Group, defaultGroup)), r.Artifact, r.Version, r.Name}
		}
		text, _ := json.Marshal(list) // strings always encode
		refs := string(text)
		e.References, hashed = &refs, append(hashed, text...)
	}
	sum := sha256.Sum256(hashed)
	e.ContentHash = hex.EncodeToString(sum[:])
	if e.CanonicalHash = e.ContentHash; v.kind == "AVRO" && len(v.refs) == 0 {
		if canon, err := avrotext.Canonical(v.text); err == nil {
			sum := sha256.Sum256([]byte(canon))
			e.CanonicalHash = hex.EncodeToString(sum[:])
		}
	}
	if v.kind == "PROTOBUF" {
		e.ContentType = "application/x-protobuf"
	}
	a.entity("content/"+e.ContentHash+".Content.json", e)
	a.raw("content/"+e.ContentHash+".Content.data", []byte(v.text))
}

// maxUnzipped bounds what an archive unpacks to, in bytes.
const maxUnzipped = 2 << 30

// readHolding reads an archive in the form of Apicurio 2 or 3. Drafts, which
// are no schemas yet, are left out.
func readHolding(archive []byte) (*holding, error) {
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return nil, fmt.Errorf("read the archive: %w", err)
	}
	h := &holding{levels: make(map[Artifact]string)}
	texts, contents := make(map[string]string), make(map[string]archivedContent)
	kinds := make(map[Artifact]string)
	var versions []archivedVersion
	size := int64(0)
	for _, f := range z.File {
		text, err := unzip(f, maxUnzipped-size)
		if err != nil {
			return nil, err
		}
		size += int64(len(text))
		base := path.Base(f.Name)
		if name, ok := strings.CutSuffix(base, ".Content.data"); ok {
			texts[name] = string(text)
			continue
		}
		switch name, _ := strings.CutSuffix(base, ".json"); path.Ext(name) {
		case ".Content":
			var c archivedContent
			err = json.Unmarshal(text, &c)
			contents[strings.TrimSuffix(name, ".Content")] = c
		case ".Artifact":
			var a archivedArtifact
			err = json.Unmarshal(text, &a)
			kinds[named(a.Group, a.Artifact)] = a.Type
		case ".ArtifactVersion":
			var v archivedVersion
			err = json.Unmarshal(text, &v)
			versions = append(versions, v)
		case ".GlobalRule", ".ArtifactRule":
			err = h.rule(text)
		}
		if err != nil {
			return nil, fmt.Errorf("read %s of the archive: %w", f.Name, err)
		}
	}
	byID := make(map[int64]string)
	for name, c := range contents {
		byID[c.ContentID] = name
	}
	for _, v := range versions {
		if v.State == "DRAFT" {
			continue
		}
		file, ok := byID[v.ContentID]
		if !ok {
			return nil, fmt.Errorf("read the archive: version %s of %s lacks its content %d", v.Version, v.Artifact, v.ContentID)
		}
		a := named(v.Group, v.Artifact)
		held := heldVersion{
			Artifact: a, order: cmp.Or(v.Order, v.OldOrder), name: v.Version, id: ID{Content: v.ContentID, Global: v.GlobalID},
			kind: cmp.Or(v.Type, kinds[a]), text: texts[file], deleted: v.State == "DISABLED",
		}
		if held.refs, err = references(contents[file].References); err != nil {
			return nil, fmt.Errorf("read the archive: references of content %d: %w", v.ContentID, err)
		}
		h.versions = append(h.versions, held)
	}
	h.sort()
	return h, nil
}

// sort puts what was made first first.
func (h *holding) sort() {
	slices.SortStableFunc(h.versions, func(a, b heldVersion) int {
		return cmp.Or(cmp.Compare(a.id.Global, b.id.Global), cmp.Compare(a.id.Content, b.id.Content), strings.Compare(a.ID, b.ID), cmp.Compare(a.order, b.order))
	})
}

func named(group *string, artifact string) Artifact {
	if group == nil || *group == "" {
		return Artifact{defaultGroup, artifact}
	}
	return Artifact{*group, artifact}
}

func references(serialized *string) ([]reference, error) {
	if serialized == nil || *serialized == "" {
		return nil, nil
	}
	var list []archivedReference
	if err := json.Unmarshal([]byte(*serialized), &list); err != nil {
		return nil, err
	}
	var refs []reference
	for _, r := range list {
		group := ""
		if r.Group != nil {
			group = *r.Group
		}
		refs = append(refs, reference{Name: r.Name, Group: group, Artifact: r.Artifact, Version: r.Version})
	}
	return refs, nil
}

func (h *holding) rule(text []byte) error {
	var r archivedRule
	if err := json.Unmarshal(text, &r); err != nil {
		return err
	}
	switch {
	case cmp.Or(r.Type, r.RuleType) != "COMPATIBILITY":
	case r.Artifact == "":
		h.level = r.Configuration
	default:
		h.levels[named(r.Group, r.Artifact)] = r.Configuration
	}
	return nil
}

func unzip(f *zip.File, limit int64) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("read %s of the archive: %w", f.Name, err)
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("it unpacks to more than %d bytes", maxUnzipped)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s of the archive: %w", f.Name, err)
	}
	return text, nil
}
