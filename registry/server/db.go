package server

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// The buckets of the file. Numbers are 8 bytes, big-endian, so that they sort.
var (
	bGroups    = []byte("groups")    // id -> group
	bArtifacts = []byte("artifacts") // group 0 artifact -> artifact
	bVersions  = []byte("versions")  // globalId -> version; its sequence gives globalIds
	bOf        = []byte("of")        // group 0 artifact 0 order -> globalId
	bNames     = []byte("names")     // group 0 artifact 0 version name -> globalId
	bContents  = []byte("contents")  // contentId -> content without its text; its sequence gives contentIds
	bTexts     = []byte("texts")     // contentId -> text, compressed by zstd
	bHashes    = []byte("hashes")    // content hash -> contentId
	bCanonical = []byte("canonical") // canonical hash, contentId -> nothing
	bUses      = []byte("uses")      // contentId, globalId -> nothing
	bReferrers = []byte("referrers") // group 0 artifact 0 version name 0 contentId -> nothing
	bRules     = []byte("rules")     // scope 0 rule type -> configuration; its sequence counts changes
	bBranches  = []byte("branches")  // group 0 artifact 0 branch -> branch
	bComments  = []byte("comments")  // globalId, comment's number -> comment; its sequence gives the numbers
	bSettings  = []byte("settings")  // name -> value
)

var buckets = [][]byte{
	bGroups, bArtifacts, bVersions, bOf, bNames, bContents, bTexts, bHashes, bCanonical, bUses, bReferrers,
	bRules, bBranches, bComments, bSettings,
}

// maxID is the largest id that fits the 4 bytes of the Confluent wire format
// in every client.
const maxID = 1<<31 - 1

// maxBrought is the largest id, or version, that a client may bring along. As
// the next ones go on from it, the last are kept in reserve: else a single
// import would end the registry for good.
const maxBrought = maxID - 1<<20

// whyReserved says what maxBrought is about.
var whyReserved = fmt.Sprintf("ids end at %d, and the last %d are kept for what is registered later", maxID, maxID-maxBrought)

// tx is one transaction on the file.
type tx struct{ *bolt.Tx }

func number(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

func parseNumber(b []byte) int64 { return int64(binary.BigEndian.Uint64(b)) }

func (k key) bytes() []byte { return append(append([]byte(k.group), 0), k.artifact...) }

// prefix is what the keys of things of the artifact begin with.
func (k key) prefix() []byte { return append(k.bytes(), 0) }

func get[T any](t tx, bucket, id []byte) (*T, error) {
	raw := t.Bucket(bucket).Get(id)
	if raw == nil {
		return nil, nil
	}
	v := new(T)
	if err := json.Unmarshal(raw, v); err != nil {
		return nil, fmt.Errorf("read %s of the registry's file: %w", bucket, err)
	}
	return v, nil
}

func set(t tx, bucket, id []byte, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return t.Bucket(bucket).Put(id, raw)
}

// room refuses what needs new ids when there are none left.
func (t tx) room() error {
	for _, b := range [][]byte{bContents, bVersions} {
		if t.Bucket(b).Sequence() >= maxID {
			return conflict("IdsUsedUpException", "The registry has used up its %d ids: a new registry is needed for new schemas.", maxID)
		}
	}
	return nil
}

// next gives a bucket's next id.
func (t tx) next(bucket []byte) (int64, error) {
	n, err := t.Bucket(bucket).NextSequence()
	if err == nil && n > maxID {
		err = fmt.Errorf("the registry has used up its %d ids", maxID)
	}
	return int64(n), err
}

// atLeast makes ids that a bucket gives from now on exceed id.
func (t tx) atLeast(bucket []byte, id int64) error {
	if b := t.Bucket(bucket); b.Sequence() < uint64(id) {
		return b.SetSequence(uint64(id))
	}
	return nil
}

func (t tx) artifact(k key) (*artifact, error) { return get[artifact](t, bArtifacts, k.bytes()) }

// mustArtifact is artifact, absence being a problem.
func (t tx) mustArtifact(k key) (*artifact, error) {
	a, err := t.artifact(k)
	if err == nil && a == nil {
		err = artifactNotFound(k)
	}
	return a, err
}

func (t tx) putArtifact(a *artifact) error { return set(t, bArtifacts, a.key().bytes(), a) }

func (t tx) version(globalID int64) (*version, error) {
	return get[version](t, bVersions, number(globalID))
}

func (t tx) putVersion(v *version) error { return set(t, bVersions, number(v.GlobalID), v) }

func (t tx) content(id int64) (*content, error) {
	c, err := get[content](t, bContents, number(id))
	if err != nil || c == nil {
		return nil, err
	}
	if c.Text, err = zipped.decode(t.Bucket(bTexts).Get(number(id))); err != nil {
		return nil, fmt.Errorf("read content %d of the registry's file: %w", id, err)
	}
	return c, nil
}

func (t tx) contentByHash(hash [32]byte) (*content, error) {
	id := t.Bucket(bHashes).Get(hash[:])
	if id == nil {
		return nil, nil
	}
	return t.content(parseNumber(id))
}

// putContent stores a new content, under a new id unless it brings its own.
func (t tx) putContent(c *content) (err error) {
	if c.ID == 0 {
		if c.ID, err = t.next(bContents); err != nil {
			return err
		}
	}
	if err := t.Bucket(bHashes).Put(c.Hash[:], number(c.ID)); err != nil {
		return err
	}
	if err := t.Bucket(bCanonical).Put(append(c.Canonical[:], number(c.ID)...), nil); err != nil {
		return err
	}
	for _, r := range c.Refs {
		if err := t.Bucket(bReferrers).Put(append(referrerKey(r.key(), r.Version), number(c.ID)...), nil); err != nil {
			return err
		}
	}
	if err := t.Bucket(bTexts).Put(number(c.ID), zipped.encode(c.Text)); err != nil {
		return err
	}
	return set(t, bContents, number(c.ID), c)
}

// dropContent forgets a content that no version has.
func (t tx) dropContent(c *content) error {
	for _, r := range c.Refs {
		if err := t.Bucket(bReferrers).Delete(append(referrerKey(r.key(), r.Version), number(c.ID)...)); err != nil {
			return err
		}
	}
	if err := t.Bucket(bCanonical).Delete(append(c.Canonical[:], number(c.ID)...)); err != nil {
		return err
	}
	if err := t.Bucket(bHashes).Delete(c.Hash[:]); err != nil {
		return err
	}
	if err := t.Bucket(bTexts).Delete(number(c.ID)); err != nil {
		return err
	}
	return t.Bucket(bContents).Delete(number(c.ID))
}

func referrerKey(k key, version string) []byte { return append(nameKey(k, version), 0) }

// referrers returns the ids of the contents that refer to the version.
func (t tx) referrers(v *version) ([]int64, error) {
	ids := []int64{}
	prefix := referrerKey(v.key(), v.Version)
	err := t.scan(bReferrers, prefix, func(k, _ []byte) error {
		if len(k) == len(prefix)+8 {
			ids = append(ids, parseNumber(k[len(prefix):]))
		}
		return nil
	})
	return ids, err
}

func orderKey(k key, order int) []byte { return append(k.prefix(), number(int64(order))...) }

// ordered returns the artifact's version of this order, or nil.
func (t tx) ordered(k key, order int) (*version, error) {
	id := t.Bucket(bOf).Get(orderKey(k, order))
	if id == nil {
		return nil, nil
	}
	return t.version(parseNumber(id))
}

// newVersion stores a new version, under a new id unless it brings its own.
func (t tx) newVersion(v *version) (err error) {
	if v.GlobalID == 0 {
		if v.GlobalID, err = t.next(bVersions); err != nil {
			return err
		}
	}
	if err := t.Bucket(bOf).Put(orderKey(v.key(), v.Order), number(v.GlobalID)); err != nil {
		return err
	}
	if err := t.Bucket(bNames).Put(nameKey(v.key(), v.Version), number(v.GlobalID)); err != nil {
		return err
	}
	if err := t.Bucket(bUses).Put(append(number(v.ContentID), number(v.GlobalID)...), nil); err != nil {
		return err
	}
	return t.putVersion(v)
}

func nameKey(k key, name string) []byte { return append(k.prefix(), name...) }

// named returns the artifact's version with this name, or nil.
func (t tx) named(k key, name string) (*version, error) {
	id := t.Bucket(bNames).Get(nameKey(k, name))
	if id == nil {
		return nil, nil
	}
	return t.version(parseNumber(id))
}

// mustNamed is named, absence being a problem.
func (t tx) mustNamed(k key, name string) (*version, error) {
	v, err := t.named(k, name)
	if err == nil && v == nil {
		err = versionNotFound(k, name)
	}
	return v, err
}

// latest returns the artifact's newest active version, or nil.
func (t tx) latest(k key) (*version, error) { return t.newest(k, (*version).active) }

// published returns the artifact's newest version that is no draft, or nil.
func (t tx) published(k key) (*version, error) {
	return t.newest(k, func(v *version) bool { return v.State != stateDraft })
}

// newest returns the version with the highest rank of those that count, or
// nil. The rank is the order unless drafts were published late.
func (t tx) newest(k key, counts func(*version) bool) (*version, error) {
	var found *version
	a, err := t.artifact(k)
	if err != nil || a == nil {
		return nil, err
	}
	prefix := k.prefix()
	c := t.Bucket(bOf).Cursor()
	// The entry after the last that an order can make, then back.
	var globalID []byte
	id, _ := c.Seek(append(append([]byte(nil), prefix...), number(-1)...))
	if id == nil {
		id, globalID = c.Last()
	} else {
		id, globalID = c.Prev()
	}
	for ; id != nil && bytes.HasPrefix(id, prefix); id, globalID = c.Prev() {
		if len(id) != len(prefix)+8 {
			continue
		}
		v, err := t.version(parseNumber(globalID))
		if err != nil || v == nil {
			return nil, err
		}
		if counts(v) && (found == nil || v.Rank > found.Rank) {
			found = v
		}
		if found != nil && !a.Drafts {
			return found, nil
		}
	}
	return found, nil
}

// lastOrder returns the order of an artifact's newest version, or 0.
func (t tx) lastOrder(k key) (int, error) {
	all, err := t.versions(k)
	if err != nil || len(all) == 0 {
		return 0, err
	}
	return all[len(all)-1].Order, nil
}

// versions returns an artifact's versions, oldest first.
func (t tx) versions(k key) ([]*version, error) {
	var out []*version
	prefix := k.prefix()
	err := t.scan(bOf, prefix, func(id, globalID []byte) error {
		if len(id) != len(prefix)+8 {
			return nil // of an artifact whose name goes on
		}
		v, err := t.version(parseNumber(globalID))
		if err == nil && v == nil {
			err = fmt.Errorf("registry's file lacks version %d", parseNumber(globalID))
		}
		out = append(out, v)
		return err
	})
	return out, err
}

// uses returns the versions that have the content, oldest first.
func (t tx) uses(contentID int64) ([]*version, error) {
	var out []*version
	err := t.scan(bUses, number(contentID), func(id, _ []byte) error {
		v, err := t.version(parseNumber(id[8:]))
		if err == nil && v != nil {
			out = append(out, v)
		}
		return err
	})
	return out, err
}

// scan calls f for the entries whose key begins with prefix, in order. f must
// not change the bucket.
func (t tx) scan(bucket, prefix []byte, f func(k, v []byte) error) error {
	c := t.Bucket(bucket).Cursor()
	for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
		if err := f(k, v); err != nil {
			return err
		}
	}
	return nil
}

// clear deletes the entries whose key begins with prefix and goes on for
// exactly n bytes; n below 0 is any number.
func (t tx) clear(bucket, prefix []byte, n int) error {
	var ids [][]byte
	err := t.scan(bucket, prefix, func(k, _ []byte) error {
		if n < 0 || len(k) == len(prefix)+n {
			ids = append(ids, append([]byte(nil), k...))
		}
		return nil
	})
	for _, id := range ids {
		if err == nil {
			err = t.Bucket(bucket).Delete(id)
		}
	}
	return err
}
