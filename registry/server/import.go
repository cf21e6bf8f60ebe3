package server

import (
	"archive/zip"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

// importZip takes an archive in. Ids stay what they were; one that stands for
// something else here is refused, and then nothing is taken in.
func (h *handler) importZip(r *http.Request) (answer, error) {
	text, err := body(r)
	if err != nil {
		return answer{}, err
	}
	return done(h.store.importFrom(text))
}

// maxArchive bounds what an archive unpacks to, in bytes.
const maxArchive = 2 << 30

// imported is an archive being read.
type imported struct {
	contents  []*content
	groups    []groupEntity
	artifacts []artifactEntity
	versions  []versionEntity
	branches  []branchEntity
	rules     []struct {
		kind string // of the file
		ruleEntity
	}
	comments []commentEntity
	given    [3]int64 // the last contentId, globalId and commentId; 0 is not told
	data     map[string][]byte
	entities map[string]contentEntity
	size     int64
}

func badArchive(format string, args ...any) *problem {
	return badRequest("BadRequestException", "Archive: "+format, args...)
}

func readArchive(text []byte) (*imported, error) {
	z, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		return nil, badArchive("%s", err)
	}
	in := &imported{data: make(map[string][]byte), entities: make(map[string]contentEntity)}
	// Archives of others have another comment, or none, which leaves zeros.
	_, _ = fmt.Sscanf(z.Comment, idNote, &in.given[0], &in.given[1], &in.given[2])
	for _, f := range z.File {
		if err := in.file(f); err != nil {
			return nil, err
		}
	}
	for base, e := range in.entities {
		c := &content{ID: e.ContentID, Text: in.data[base], MediaType: e.ContentType}
		if e.SerializedReferences != nil && *e.SerializedReferences != "" && json.Unmarshal([]byte(*e.SerializedReferences), &c.Refs) != nil {
			return nil, badArchive("content %d has references that do not read", e.ContentID)
		}
		if e.ContentID <= 0 || e.ContentID > maxBrought {
			return nil, badArchive("content id %d is not between 1 and %d: %s", e.ContentID, maxBrought, whyReserved)
		}
		c.Hash = contentHash(c.Text, c.Refs)
		if raw, err := hex.DecodeString(e.ContentHash); err == nil && len(raw) == len(c.Hash) {
			copy(c.Hash[:], raw) // that of a draft is not of its text
		}
		c.Canonical = c.Hash
		if raw, err := hex.DecodeString(e.CanonicalHash); err == nil && len(raw) == len(c.Hash) {
			copy(c.Canonical[:], raw)
		}
		in.contents = append(in.contents, c)
	}
	return in, nil
}

// file reads one file of the archive.
func (in *imported) file(f *zip.File) error {
	if f.FileInfo().IsDir() {
		return nil
	}
	r, err := f.Open()
	if err != nil {
		return badArchive("%s: %s", f.Name, err)
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxArchive-in.size+1))
	if err != nil {
		return badArchive("%s: %s", f.Name, err)
	}
	if in.size += int64(len(text)); in.size > maxArchive {
		return badArchive("it unpacks to more than %d bytes", maxArchive)
	}
	base := path.Base(f.Name)
	if name, ok := strings.CutSuffix(base, ".Content.data"); ok {
		in.data[name] = text
		return nil
	}
	parts := strings.Split(base, ".")
	if len(parts) < 3 || parts[len(parts)-1] != "json" {
		return nil
	}
	kind := parts[len(parts)-2]
	into := func(v any) error {
		if err := json.Unmarshal(text, v); err != nil {
			return badArchive("%s: %s", f.Name, err)
		}
		return nil
	}
	switch kind {
	case "Content":
		var e contentEntity
		err = into(&e)
		in.entities[strings.TrimSuffix(base, ".Content.json")] = e
	case "Group":
		err = read(&in.groups, into)
	case "Artifact":
		err = read(&in.artifacts, into)
	case "ArtifactVersion":
		err = read(&in.versions, into)
	case "Branch":
		err = read(&in.branches, into)
	case "Comment":
		err = read(&in.comments, into)
	case "GlobalRule", "GroupRule", "ArtifactRule":
		var e ruleEntity
		err = into(&e)
		in.rules = append(in.rules, struct {
			kind string
			ruleEntity
		}{kind, e})
	}
	return err
}

func read[T any](list *[]T, into func(any) error) error {
	var e T
	err := into(&e)
	*list = append(*list, e)
	return err
}

// written is how an archive names a group.
func written(id string) *string {
	if id == defaultGroup {
		return nil
	}
	return &id
}

// groupOf is the group that an archive means.
func groupOf(id *string) string {
	if id == nil || *id == "" {
		return defaultGroup
	}
	return *id
}

// importFrom takes an archive in, all of it or nothing.
func (s *store) importFrom(text []byte) error {
	in, err := readArchive(text)
	if err != nil {
		return err
	}
	if s.readOnly.Load() {
		return errReadOnly
	}
	// Not shared with others: it fails as a whole.
	return s.db.Update(func(b *bolt.Tx) error {
		t := tx{b}
		for _, part := range []func(t tx) error{in.putContents, in.putGroups, in.putArtifacts, in.putVersions, in.putBranches, in.putRules, in.putComments, in.putCounters} {
			if err := part(t); err != nil {
				return err
			}
		}
		return nil
	})
}

func (in *imported) putContents(t tx) error {
	for _, c := range in.contents {
		old, err := t.content(c.ID)
		if err != nil {
			return err
		}
		same, err := t.contentByHash(c.Hash)
		switch {
		case err != nil:
			return err
		case old != nil && old.Hash != c.Hash:
			return conflict("IdConflictException", "Content id %d stands for another content in this registry.", c.ID)
		case same != nil && same.ID != c.ID:
			return conflict("IdConflictException", "Content %d of the archive has the id %d in this registry.", c.ID, same.ID)
		case old != nil:
			continue
		}
		if err := t.atLeast(bContents, c.ID); err != nil {
			return err
		}
		if err := t.putContent(c); err != nil {
			return err
		}
	}
	return nil
}

func (in *imported) putGroups(t tx) error {
	for _, e := range in.groups {
		g := group{ID: e.GroupID, meta: e.meta()}
		g.Created, g.Modified = e.times()
		if err := checkNames(g.ID); err != nil {
			return err
		}
		if g.ID == "" || g.ID == defaultGroup || t.Bucket(bGroups).Get([]byte(g.ID)) != nil {
			continue
		}
		if err := set(t, bGroups, []byte(g.ID), g); err != nil {
			return err
		}
	}
	return nil
}

func (in *imported) putArtifacts(t tx) error {
	for _, e := range in.artifacts {
		a := &artifact{Group: groupOf(e.GroupID), ID: e.ArtifactID, Type: e.ArtifactType, meta: e.meta()}
		a.Created, a.Modified = e.times()
		if err := t.importArtifact(a); err != nil {
			return err
		}
	}
	return nil
}

// importArtifact stores an artifact unless it exists, and its group.
func (t tx) importArtifact(a *artifact) error {
	if old, err := t.artifact(a.key()); err != nil || old != nil {
		return err
	}
	if err := checkNames(a.Group, a.ID); err != nil {
		return err
	}
	if len(a.Group) > maxName || len(a.ID) > maxName || a.ID == "" {
		return badArchive("artifact id %q is not allowed", a.ID)
	}
	if a.Group != defaultGroup && t.Bucket(bGroups).Get([]byte(a.Group)) == nil {
		if err := set(t, bGroups, []byte(a.Group), group{ID: a.Group, Created: a.Created, Modified: a.Modified}); err != nil {
			return err
		}
	}
	return t.putArtifact(a)
}

func (in *imported) putVersions(t tx) error {
	slices.SortFunc(in.versions, func(a, b versionEntity) int { return int(a.GlobalID - b.GlobalID) })
	for _, e := range in.versions {
		v := &version{
			Group: groupOf(e.GroupID), Artifact: e.ArtifactID, GlobalID: e.GlobalID, ContentID: e.ContentID,
			Order: max(e.VersionOrder, e.VersionID), Version: e.Version, State: e.State, meta: e.meta(),
		}
		v.Created, v.Modified = e.times()
		old, err := t.version(v.GlobalID)
		if err != nil {
			return err
		}
		if old != nil {
			if old.key() != v.key() || old.Version != v.Version || old.ContentID != v.ContentID {
				return conflict("IdConflictException", "Global id %d stands for another version in this registry.", v.GlobalID)
			}
			continue
		}
		if v.GlobalID > maxBrought || v.Order > maxBrought {
			return badArchive("version %s of %s has the global id %d and the order %d, beyond %d: %s", v.Version, v.Artifact, v.GlobalID, v.Order, maxBrought, whyReserved)
		}
		if err := checkNames(v.Group, v.Artifact, v.Version); err != nil {
			return err
		}
		if v.GlobalID <= 0 || v.Order <= 0 || len(v.Version) > maxName || v.Version == "" || !slices.Contains(states, v.State) ||
			t.Bucket(bContents).Get(number(v.ContentID)) == nil {
			return badArchive("version %s of %s with global id %d is incomplete", v.Version, v.Artifact, v.GlobalID)
		}
		if err := t.importVersion(v, e.ArtifactType); err != nil {
			return err
		}
	}
	return nil
}

func (t tx) importVersion(v *version, kind string) error {
	a, err := t.artifact(v.key())
	if err != nil {
		return err
	}
	if a == nil { // 2.x has no files for artifacts
		a = &artifact{Group: v.Group, ID: v.Artifact, Type: kind, meta: v.meta, Created: v.Created}
		if err := t.importArtifact(a); err != nil {
			return err
		}
	}
	taken, err := t.named(v.key(), v.Version)
	if err == nil && taken == nil {
		taken, err = t.ordered(v.key(), v.Order)
	}
	if err != nil || taken != nil {
		return errorOr(err, conflict("VersionAlreadyExistsException",
			"An artifact version '%s' for artifact ID '%s' in group '%s' already exists.", v.Version, v.Artifact, v.Group))
	}
	v.Type = a.Type
	a.Orders, a.Revision, a.Modified = max(a.Orders, v.Order), a.Revision+1, v.Modified
	if v.State == stateDraft {
		a.Drafts = true
	} else {
		v.Rank = v.Order
		a.Ranks = max(a.Ranks, v.Rank)
	}
	if err := t.atLeast(bVersions, v.GlobalID); err != nil {
		return err
	}
	if err := t.newVersion(v); err != nil {
		return err
	}
	return t.putArtifact(a)
}

func (in *imported) putBranches(t tx) error {
	for _, e := range in.branches {
		if isSystem(e.BranchID) || e.SystemDefined {
			continue
		}
		k := key{groupOf(e.GroupID), e.ArtifactID}
		if err := checkBranchID(e.BranchID); err != nil {
			return err
		}
		if err := t.haveVersions(k, e.Versions); err != nil {
			return err
		}
		b := &branch{ID: e.BranchID, Description: e.Description, Owner: e.Owner, Versions: e.Versions,
			Created: time.UnixMilli(e.CreatedOn).UTC(), Modified: time.UnixMilli(e.ModifiedOn).UTC()}
		if err := set(t, bBranches, branchKey(k, b.ID), b); err != nil {
			return err
		}
	}
	return nil
}

func (in *imported) putRules(t tx) error {
	for _, e := range in.rules {
		s := everything()
		switch e.kind {
		case "GroupRule":
			s = ofGroup(groupOf(e.GroupID))
		case "ArtifactRule":
			s = ofArtifact(key{groupOf(e.GroupID), e.ArtifactID})
		}
		kind := e.Type + e.RuleType
		if !slices.Contains(ruleTypes, kind) {
			return badArchive("rule type %q is not known", kind)
		}
		if err := t.setRule(s, kind, e.Configuration); err != nil {
			return err
		}
	}
	return nil
}

func (in *imported) putComments(t tx) error {
	for _, e := range in.comments {
		n, bad := strconv.ParseInt(e.CommentID, 10, 64)
		if v, err := t.version(e.GlobalID); err != nil || v == nil || bad != nil || n <= 0 || n > maxBrought {
			if err != nil {
				return err
			}
			continue // of a version that is gone, or none of ours
		}
		if err := t.atLeast(bComments, n); err != nil {
			return err
		}
		c := &comment{ID: e.CommentID, Value: e.Value, Owner: e.Owner, Created: time.UnixMilli(e.CreatedOn).UTC()}
		if err := set(t, bComments, append(number(e.GlobalID), number(n)...), c); err != nil {
			return err
		}
	}
	return nil
}

// putCounters takes up how far ids were given.
func (in *imported) putCounters(t tx) error {
	for i, bucket := range [][]byte{bContents, bVersions, bComments} {
		if in.given[i] > maxBrought {
			return badArchive("%d ids were given, more than %d: %s", in.given[i], maxBrought, whyReserved)
		}
		if err := t.atLeast(bucket, in.given[i]); err != nil {
			return err
		}
	}
	return nil
}
