package server

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"tributary/internal/avrotext"
)

// ifExists says what to do when the artifact to create exists.
type ifExists int

const (
	existsFail    ifExists = iota // refuse
	existsReturn                  // return its latest version, whatever was posted
	existsFind                    // return the version with this content, else add one
	existsEnabled                 // like existsFind among active versions only, as the Confluent API does
	existsAdd                     // add a version, whether or not the content is new
	mustExist                     // like existsAdd; an absent artifact is an error
)

// draft is a version to be registered.
type draft struct {
	key
	ctx          context.Context // of the request: judging ends with it; nil goes on
	artifactType string          // "" is AVRO, or that of the artifact
	text         []byte
	mediaType    string
	refs         []reference
	ifExists     ifExists
	canonical    bool   // existsFind compares canonical forms
	version      string // "" numbers on
	noContent    bool   // an artifact without a version
	isDraft      bool
	dryRun       bool
	inherit      bool // 2.6: what the latest version was called goes on
	branches     []string

	publishes int64 // the globalId of the version that it is, when a draft is published
	contentID int64 // to be kept, when importing; 0 gives the next
	order     int   // likewise

	artifactMeta meta
	versionMeta  meta
	namesItself  bool // what is not named gets the name that the schema has

	created, createdArtifact bool // what it made
	renames                  bool // 3.3's v2: what the version is called, the artifact is from then on

	hashed      bool
	hash, canon [sha256.Size]byte
}

// maxName bounds the length of group and artifact ids.
const maxName = 512

// checkNames refuses names that the file or JSON cannot hold: the file's keys
// separate them by NUL, and JSON would make one name of all bytes that are no
// UTF-8.
func checkNames(names ...string) error {
	for _, name := range names {
		if strings.ContainsRune(name, 0) {
			return badRequest("BadRequestException", "Group ids, artifact ids, versions and branches must not contain NUL.")
		}
		if !utf8.ValidString(name) {
			return badRequest("BadRequestException", "Group ids, artifact ids, versions and branches must be UTF-8; %q is not.", name)
		}
	}
	return nil
}

// uuid returns a random one.
func uuid() string {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// prepare checks a draft and computes its hash, outside any transaction.
func (s *store) prepare(d *draft) error {
	if d.group == "" {
		d.group = defaultGroup
	}
	if d.artifact == "" {
		d.artifact = s.newName()
	}
	if len(d.group) > maxName || len(d.artifact) > maxName || len(d.version) > maxName {
		return badRequest("BadRequestException", "Group ids, artifact ids and versions have at most %d bytes.", maxName)
	}
	if err := checkNames(append([]string{d.group, d.artifact, d.version}, d.branches...)...); err != nil {
		return err
	}
	for _, b := range d.branches {
		if err := checkBranchID(b); err != nil {
			return err
		}
	}
	if d.noContent {
		return nil
	}
	if s.maxText > 0 && int64(len(d.text)) > s.maxText {
		return &problem{status: 413, name: "SchemaTooLargeException", code: 42201,
			message: fmt.Sprintf("The schema has %d bytes, more than the %d that this registry takes.", len(d.text), s.maxText)}
	}
	if avrotext.Depth(d.text) > avrotext.MaxDepth {
		return &problem{status: 422, name: "UnprocessableSchemaException", code: 42201,
			message: fmt.Sprintf("The schema is nested deeper than %d.", avrotext.MaxDepth)}
	}
	if d.isDraft {
		// What may still change is not to be found by its content.
		d.hash = sha256.Sum256([]byte("draft:" + uuid()))
		d.canon, d.hashed = d.hash, true
		return nil
	}
	for _, r := range d.refs {
		if d.ifExists != existsEnabled && (r.Artifact == "" || r.Version == "" || r.Name == "") { // the Confluent API says it its way
			return badRequest("BadRequestException", "Invalid reference: artifactId, version and name are needed.")
		}
	}
	d.hash = contentHash(d.text, s.kept(d.refs))
	return nil
}

// kept are a content's references: 3.3 keeps each once.
func (s *store) kept(refs []reference) []reference {
	if s.flavour == v26 {
		return refs
	}
	var out []reference
	for i, r := range refs {
		if !slices.Contains(refs[:i], r) {
			out = append(out, r)
		}
	}
	return out
}

// canonicalHash is computed when it is needed only: most registrations find
// their very text.
func (d *draft) canonicalHash() [sha256.Size]byte {
	if d.hashed {
		return d.canon
	}
	d.canon, d.hashed = d.hash, true
	// References or errors: the raw text stands for itself.
	if len(d.refs) > 0 {
		return d.canon
	}
	switch d.artifactType {
	case "", "AVRO":
		if canon, err := avrotext.Canonical(string(d.text)); err == nil {
			d.canon = sha256.Sum256([]byte(canon))
		}
	case "JSON":
		var v any
		if json.Unmarshal(d.text, &v) == nil {
			canon, _ := json.Marshal(v) // sorts the keys; what was decoded encodes
			d.canon = sha256.Sum256(canon)
		}
	}
	return d.canon
}

// register creates an artifact or a version of it as the draft demands. The
// version is nil for an artifact without content.
func (s *store) register(d *draft) (a *artifact, v *version, err error) {
	if err := s.prepare(d); err != nil {
		return nil, nil, err
	}
	// Nearly every registration finds what it registers. What does not is
	// judged by the rules here, where others need not wait for it.
	var judged string
	err = s.view(func(t tx) error {
		if a, v, err = s.existing(t, d); err != nil || v != nil {
			return err
		}
		judged, err = s.judge(t, a, d)
		return err
	})
	if err != nil || v != nil {
		return a, v, err
	}
	err = s.update(func(t tx) error {
		// The same may have been registered meanwhile, or by this very batch.
		if a, v, err = s.existing(t, d); err != nil || v != nil {
			return err
		}
		if state := t.ruleState(a); state != judged {
			if _, err := s.judge(t, a, d); err != nil {
				return err
			}
		}
		a, v, err = s.add(t, a, d)
		return err
	})
	return a, v, err
}

// judge applies the rules to the draft and returns the state in which they
// were applied.
func (s *store) judge(t tx, a *artifact, d *draft) (string, error) {
	if a != nil {
		d.artifactType = a.Type
	}
	if d.artifactType == "" {
		d.artifactType = s.discover(d.text)
	}
	if d.artifactType == "" {
		return "", badRequest("InvalidArtifactTypeException", "Failed to discover artifact type from content.")
	}
	if d.namesItself {
		d.versionMeta = d.versionMeta.named(d.artifactType, d.text)
		d.artifactMeta, d.namesItself = d.versionMeta, false
	}
	if d.noContent || d.isDraft {
		return t.ruleState(a), nil
	}
	d.canonicalHash() // here, not while others wait for the file
	return t.ruleState(a), s.applyRules(t, d)
}

// discover tells Avro from JSON Schema; "" is neither, which 3.3 takes for
// Avro.
func (s *store) discover(text []byte) string {
	var o struct {
		Schema string `json:"$schema"`
	}
	if json.Unmarshal(text, &o) == nil && strings.Contains(o.Schema, "json-schema.org") {
		return "JSON"
	}
	if s.flavour == v26 {
		if _, err := avrotext.Print(string(text)); err != nil {
			return ""
		}
	}
	return "AVRO"
}

// existing returns what the draft finds rather than creates, or no version.
func (s *store) existing(t tx, d *draft) (*artifact, *version, error) {
	a, err := t.artifact(d.key)
	if err != nil {
		return nil, nil, err
	}
	if a == nil {
		if d.ifExists == mustExist {
			return nil, nil, artifactNotFound(d.key)
		}
		return nil, nil, nil
	}
	if d.renames && d.ifExists != mustExist && a.Orders == 0 {
		// 3.3's v2 looks for a version to answer with.
		return nil, nil, noTip(d.key, branchLatest)
	}
	if s.flavour == v26 && d.ifExists != existsFail && d.ifExists != existsEnabled && a.Orders > 0 {
		// What has disabled versions alone does not exist for 2.6.
		if v, err := t.latest(d.key); err != nil || v == nil {
			return nil, nil, errorOr(err, artifactNotFound(d.key))
		}
	}
	switch d.ifExists {
	case existsFail:
		return nil, nil, conflict("ArtifactAlreadyExistsException",
			"An artifact with ID '%s' in group '%s' already exists.", d.artifact, d.group)
	case existsReturn:
		v, err := t.latest(d.key)
		return a, v, err
	case existsFind, existsEnabled:
		like := *d
		if d.isDraft { // whose own hash is that of nothing else
			like.hash, like.hashed = contentHash(d.text, s.kept(d.refs)), false
		}
		v, err := t.find(&like, d.canonical, d.ifExists == existsEnabled)
		if err == nil && v != nil && d.contentID != 0 && d.contentID != v.ContentID {
			err = idConflict(d.contentID)
		}
		return a, v, err
	}
	return a, nil, nil
}

// contentsLike returns the ids of the contents that have the draft's text and
// references, or its canonical form.
func (t tx) contentsLike(d *draft, canonical bool) ([]int64, error) {
	var ids []int64
	if id := t.Bucket(bHashes).Get(d.hash[:]); id != nil {
		ids = append(ids, parseNumber(id))
	}
	if !canonical {
		return ids, nil
	}
	canon := d.canonicalHash()
	err := t.scan(bCanonical, canon[:], func(k, _ []byte) error {
		if id := parseNumber(k[sha256.Size:]); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
		return nil
	})
	return ids, err
}

// find returns the newest version of the draft's artifact that has its
// content, or nil. For the Confluent API, no other form is looked for where
// there is the very text.
func (t tx) find(d *draft, canonical, active bool) (*version, error) {
	for _, c := range []bool{false, true} {
		if c && !canonical || !c && canonical && d.ifExists != existsEnabled {
			continue
		}
		ids, err := t.contentsLike(d, c)
		if err != nil {
			return nil, err
		}
		var newest *version
		for _, id := range ids {
			err := t.usedBy(id, d.key, func(v *version) {
				if (v.active() || !active) && (newest == nil || v.Order > newest.Order) {
					newest = v
				}
			})
			if err != nil {
				return nil, err
			}
		}
		if newest != nil {
			return newest, nil
		}
	}
	return nil, nil
}

// usedBy calls f for the artifact's versions with the content.
func (t tx) usedBy(contentID int64, k key, f func(*version)) error {
	return t.scan(bUses, number(contentID), func(id, _ []byte) error {
		v, err := t.version(parseNumber(id[8:]))
		if err == nil && v != nil && v.Group == k.group && v.Artifact == k.artifact {
			f(v)
		}
		return err
	})
}

// add stores a new version, and its artifact and group if they are new. It
// checks everything before it changes anything.
func (s *store) add(t tx, a *artifact, d *draft) (*artifact, *version, error) {
	if err := t.room(); err != nil {
		return nil, nil, err
	}
	now := s.now()
	isNew := a == nil
	if isNew {
		a = &artifact{Group: d.group, ID: d.artifact, Type: d.artifactType, meta: d.artifactMeta, Created: now}
	}
	a.Modified = now
	if d.noContent {
		if d.dryRun {
			return a, nil, nil
		}
		return a, nil, s.putNew(t, a, isNew, now)
	}
	v, err := s.compose(t, a, d, now)
	if err != nil {
		return nil, nil, err
	}
	c, err := s.contentFor(t, d)
	if err != nil {
		return nil, nil, err
	}
	v.ContentID = c.ID
	if d.dryRun {
		v.GlobalID, err = t.next(bVersions)
		return a, v, err
	}
	if err := t.newVersion(v); err != nil {
		return nil, nil, err
	}
	d.created, d.createdArtifact = true, isNew
	if d.renames && !isNew {
		edit{name: v.Name, description: v.Description}.apply(&a.meta)
	}
	for _, b := range d.branches {
		if err := t.toBranch(v, b, now); err != nil {
			return nil, nil, err
		}
	}
	return a, v, s.putNew(t, a, isNew, now)
}

// compose makes the version that the draft describes, without storing it.
func (s *store) compose(t tx, a *artifact, d *draft, now time.Time) (*version, error) {
	v := &version{
		Group: a.Group, Artifact: a.ID, Type: a.Type, Order: max(a.Orders+1, d.order), Version: d.version,
		State: stateEnabled, meta: d.versionMeta, Created: now, Modified: now,
	}
	if d.order > maxBrought {
		return nil, &problem{status: 422, name: "InvalidVersionException", code: 42202,
			message: fmt.Sprintf("Version %d is not between 1 and %d: %s.", d.order, maxBrought, whyReserved)}
	}
	if d.order > 0 {
		v.Order = d.order
	}
	if old, err := t.ordered(a.key(), v.Order); err != nil || old != nil {
		return nil, errorOr(err, &problem{status: 422, name: "InvalidVersionException", code: 42202,
			message: fmt.Sprintf("Version %d of subject %s exists.", v.Order, a.ID)})
	}
	named := v.Version
	if v.Version == "" {
		v.Version, named = strconv.Itoa(v.Order), "null"
	}
	if old, err := t.named(a.key(), v.Version); err != nil || old != nil {
		group := a.Group
		if d.ifExists == mustExist || s.flavour == v26 {
			group = shown(group)
		}
		return nil, errorOr(err, conflict("VersionAlreadyExistsException",
			"An artifact version '%s' for artifact ID '%s' in group '%s' already exists.", named, a.ID, group))
	}
	if d.inherit {
		if err := t.inherit(a, v); err != nil {
			return nil, err
		}
		a.meta = v.meta
		a.Owner = d.artifactMeta.Owner
	}
	a.Orders = max(a.Orders, v.Order)
	a.Revision++
	if d.isDraft {
		a.Drafts, v.State = true, stateDraft
		return v, nil
	}
	a.Ranks = max(a.Ranks+1, v.Order)
	v.Rank = a.Ranks
	return v, nil
}

// inherit completes what a version is called by what the latest one is.
func (t tx) inherit(a *artifact, v *version) error {
	last, err := t.published(a.key())
	if err != nil || last == nil {
		return err
	}
	if v.Name == nil {
		v.Name = last.Name
	}
	if v.Description == nil {
		v.Description = last.Description
	}
	if v.Labels == nil {
		v.Labels = last.Labels
	}
	return nil
}

// errorOr is err, or else the problem.
func errorOr(err error, p *problem) error {
	if err != nil {
		return err
	}
	return p
}

// contentFor returns the draft's content, which it stores if it is new.
func (s *store) contentFor(t tx, d *draft) (*content, error) {
	c, err := t.contentByHash(d.hash)
	if err != nil {
		return nil, err
	}
	if d.contentID != 0 {
		if err := t.claim(d, c); err != nil {
			return nil, err
		}
	}
	if c != nil {
		return c, nil
	}
	c = &content{ID: d.contentID, Text: d.text, MediaType: d.mediaType, Refs: s.kept(d.refs), Hash: d.hash, Canonical: d.canonicalHash()}
	return c, t.putContent(c)
}

func idConflict(id int64) *problem {
	return &problem{status: 422, name: "IdConflictException", code: 42205, message: fmt.Sprintf("Overwrite new schema with id %d is not permitted.", id)}
}

// claim checks that the id that the draft brings is free or its own, and takes
// it.
func (t tx) claim(d *draft, c *content) error {
	if c != nil && c.ID == d.contentID {
		return nil
	}
	if d.contentID < 0 || d.contentID > maxBrought {
		return &problem{status: 422, name: "InvalidIdException", code: 42205,
			message: fmt.Sprintf("Id %d is not between 1 and %d: %s.", d.contentID, maxBrought, whyReserved)}
	}
	other, err := t.content(d.contentID)
	if err != nil {
		return err
	}
	if other != nil && other.Hash != d.hash || c != nil && c.ID != d.contentID {
		return idConflict(d.contentID)
	}
	return t.atLeast(bContents, d.contentID)
}

// putNew stores an artifact, and its group with it.
func (s *store) putNew(t tx, a *artifact, isNew bool, now time.Time) error {
	if isNew && a.Group != defaultGroup && t.Bucket(bGroups).Get([]byte(a.Group)) == nil {
		if err := set(t, bGroups, []byte(a.Group), group{ID: a.Group, Created: now, Modified: now}); err != nil {
			return err
		}
	}
	return t.putArtifact(a)
}
