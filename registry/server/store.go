package server

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"tributary/internal/avrotext"
	"tributary/internal/fault"
)

// store keeps groups, artifacts, versions and contents.
type store struct {
	db  *bolt.DB
	now func() time.Time
}

// openStore opens or makes the file. A file that another process has open is
// an error for a human.
func openStore(path string) (*store, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the registry's folder: %w", err)
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second})
	if errors.Is(err, bolt.ErrTimeout) {
		return nil, fault.Humanf("stop the other registry, or give this one another data.file",
			"the registry's file %s is in use by another process", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open the registry's file %s: %w", path, err)
	}
	// How long a registration waits for others to share its transaction.
	db.MaxBatchDelay = time.Millisecond
	err = db.Update(func(t *bolt.Tx) error {
		for _, b := range buckets {
			if _, err := t.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the registry's file %s: %w", path, err), db.Close())
	}
	return &store{db: db, now: func() time.Time { return time.Now().UTC() }}, nil
}

func (s *store) close() error { return s.db.Close() }

// view runs f on a consistent state.
func (s *store) view(f func(t tx) error) error {
	return s.db.View(func(t *bolt.Tx) error { return f(tx{t}) })
}

// ifExists says what to do when the artifact to create exists.
type ifExists int

const (
	existsFail   ifExists = iota // refuse
	existsReturn                 // return its latest version, whatever was posted
	existsFind                   // return the version with this content, else add one
	existsAdd                    // add a version, whether or not the content is new
	mustExist                    // like existsAdd; an absent artifact is an error
)

// draft is a version to be registered.
type draft struct {
	key
	artifactType string // "" is AVRO
	text         []byte
	refs         []reference
	ifExists     ifExists
	canonical    bool   // existsFind compares canonical forms
	version      string // "" numbers on
	noContent    bool   // an artifact without a version

	name, description string // of the artifact; v2 gives them to the version too
	labels            map[string]*string
	versionName       string
	versionDesc       string
	versionLabels     map[string]*string

	hash, canon [sha256.Size]byte
}

// maxName bounds the length of group and artifact ids.
const maxName = 512

// prepare checks a draft and computes its hashes, outside any transaction.
func (s *store) prepare(d *draft) error {
	if d.group == "" {
		d.group = defaultGroup
	}
	if d.artifactType == "" {
		d.artifactType = "AVRO"
	}
	if d.artifact == "" {
		id := make([]byte, 16)
		_, _ = rand.Read(id) // never fails
		d.artifact = fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
	}
	if len(d.group) > maxName || len(d.artifact) > maxName {
		return badRequest("BadRequestException", "Group and artifact ids have at most %d bytes.", maxName)
	}
	// The file's keys separate names by NUL.
	for _, name := range []string{d.group, d.artifact, d.version} {
		if strings.ContainsRune(name, 0) {
			return badRequest("BadRequestException", "Group ids, artifact ids and versions must not contain NUL.")
		}
	}
	if d.noContent {
		return nil
	}
	if len(d.text) == 0 {
		return badRequest("BadRequestException", "Empty content is not allowed.")
	}
	d.hash = contentHash(d.text, d.refs)
	d.canon = d.hash
	// References or errors: the raw text stands for itself.
	if canon, err := avrotext.Canonical(string(d.text)); err == nil && len(d.refs) == 0 {
		d.canon = sha256.Sum256([]byte(canon))
	}
	return nil
}

// register creates an artifact or a version of it as the draft demands. The
// version is nil for an artifact without content.
func (s *store) register(d *draft) (a *artifact, v *version, err error) {
	if err := s.prepare(d); err != nil {
		return nil, nil, err
	}
	// Nearly every registration finds what it registers.
	err = s.view(func(t tx) error {
		a, v, err = s.existing(t, d)
		return err
	})
	if err != nil || v != nil {
		return a, v, err
	}
	err = s.db.Batch(func(b *bolt.Tx) error {
		t := tx{b}
		// The same may have been registered meanwhile, or by this very batch.
		if a, v, err = s.existing(t, d); err != nil || v != nil {
			return err
		}
		a, v, err = s.add(t, d)
		return err
	})
	return a, v, err
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
	switch d.ifExists {
	case existsFail:
		return nil, nil, &problem{409, "ArtifactAlreadyExistsException",
			fmt.Sprintf("An artifact with ID '%s' in group '%s' already exists.", d.artifact, d.group), 409, "", ""}
	case existsReturn:
		v, err := t.latest(d.key)
		return a, v, err
	case existsFind:
		v, err := t.find(d, d.canonical)
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
	err := t.scan(bCanonical, d.canon[:], func(k, _ []byte) error {
		if id := parseNumber(k[sha256.Size:]); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
		return nil
	})
	return ids, err
}

// find returns the newest version of the draft's artifact that has its
// content, or nil.
func (t tx) find(d *draft, canonical bool) (*version, error) {
	ids, err := t.contentsLike(d, canonical)
	var newest *version
	for _, id := range ids {
		uses, err := t.uses(id)
		if err != nil {
			return nil, err
		}
		for _, v := range uses {
			if v.Group == d.group && v.Artifact == d.artifact && (newest == nil || v.Order > newest.Order) {
				newest = v
			}
		}
	}
	return newest, err
}

// add stores a new version, and its artifact and group if they are new.
func (s *store) add(t tx, d *draft) (*artifact, *version, error) {
	now := s.now()
	a, err := t.artifact(d.key)
	if err != nil {
		return nil, nil, err
	}
	if a == nil {
		a = &artifact{
			Group: d.group, ID: d.artifact, Type: d.artifactType,
			Name: d.name, Description: d.description, Labels: d.labels, Created: now,
		}
		if err := s.addGroup(t, d.group, now); err != nil {
			return nil, nil, err
		}
	}
	a.Modified = now
	if d.noContent {
		return a, nil, set(t, bArtifacts, a.key().bytes(), a)
	}
	c, err := t.contentByHash(d.hash)
	if err != nil {
		return nil, nil, err
	}
	if c == nil {
		c = &content{Text: d.text, Refs: d.refs, Hash: d.hash, Canonical: d.canon}
		if err := t.putContent(c); err != nil {
			return nil, nil, err
		}
	}
	a.Orders++
	v := &version{
		Group: a.Group, Artifact: a.ID, Type: a.Type, ContentID: c.ID,
		Order: a.Orders, Version: d.version, State: stateEnabled, Created: now,
		Name: d.versionName, Description: d.versionDesc, Labels: d.versionLabels,
	}
	if v.Version == "" {
		v.Version = strconv.Itoa(v.Order)
	}
	if old, err := t.named(a.key(), v.Version); err != nil || old != nil {
		if err == nil {
			err = &problem{409, "VersionAlreadyExistsException",
				fmt.Sprintf("An artifact version '%s' for artifact ID '%s' in group '%s' already exists.", v.Version, a.ID, a.Group), 409, "", ""}
		}
		return nil, nil, err
	}
	if err := t.putVersion(v); err != nil {
		return nil, nil, err
	}
	return a, v, set(t, bArtifacts, a.key().bytes(), a)
}

func (s *store) addGroup(t tx, id string, now time.Time) error {
	if id == defaultGroup || t.Bucket(bGroups).Get([]byte(id)) != nil {
		return nil
	}
	return set(t, bGroups, []byte(id), group{ID: id, Created: now, Modified: now})
}

// resolved returns the content's text with what it refers to put in place.
func (t tx) resolved(c *content) ([]byte, error) {
	if len(c.Refs) == 0 {
		return c.Text, nil
	}
	texts := make(map[string]string)
	if err := t.collect(c.Refs, texts); err != nil {
		return nil, err
	}
	text, err := avrotext.Resolve(string(c.Text), texts)
	if err == nil {
		text, err = avrotext.Print(text)
	}
	var unknown *avrotext.UnknownTypeError
	if errors.As(err, &unknown) {
		return nil, &problem{500, "AvroTypeException", "Undefined schema: " + unknown.Name, 500, "", ""}
	}
	return []byte(text), err
}

// maxReferences bounds what one schema may refer to, directly or not.
const maxReferences = 1000

func (t tx) collect(refs []reference, texts map[string]string) error {
	for _, r := range refs {
		if _, ok := texts[r.Name]; ok {
			continue
		}
		if len(texts) >= maxReferences {
			return badRequest("BadRequestException", "The schema refers to more than %d others.", maxReferences)
		}
		c, err := t.referenced(r)
		if err != nil {
			return err
		}
		if c == nil {
			continue // the type stays undefined, which Resolve's caller finds
		}
		texts[r.Name] = string(c.Text)
		if err := t.collect(c.Refs, texts); err != nil {
			return err
		}
	}
	return nil
}

// referenced returns the content that a reference names, or nil.
func (t tx) referenced(r reference) (*content, error) {
	k := key{r.Group, r.Artifact}
	if k.group == "" {
		k.group = defaultGroup
	}
	v, err := t.named(k, r.Version)
	if err != nil || v == nil {
		return nil, err
	}
	return t.content(v.ContentID)
}
