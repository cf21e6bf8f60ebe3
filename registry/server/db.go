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
	bContents  = []byte("contents")  // contentId -> stored content; its sequence gives contentIds
	bHashes    = []byte("hashes")    // content hash -> contentId
	bCanonical = []byte("canonical") // canonical hash, contentId -> nothing
	bUses      = []byte("uses")      // contentId, globalId -> nothing
	bReferrers = []byte("referrers") // group 0 artifact 0 version name 0 contentId -> nothing
)

var buckets = [][]byte{bGroups, bArtifacts, bVersions, bOf, bNames, bContents, bHashes, bCanonical, bUses, bReferrers}

// maxID is the largest id that fits the 4 bytes of the Confluent wire format
// in every client.
const maxID = 1<<31 - 1

// tx is one transaction on the file.
type tx struct{ *bolt.Tx }

func number(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

func parseNumber(b []byte) int64 { return int64(binary.BigEndian.Uint64(b)) }

func (k key) bytes() []byte { return append(append([]byte(k.group), 0), k.artifact...) }

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

// next gives a bucket's next id.
func (t tx) next(bucket []byte) (int64, error) {
	n, err := t.Bucket(bucket).NextSequence()
	if err == nil && n > maxID {
		err = fmt.Errorf("the registry has used up its %d ids", maxID)
	}
	return int64(n), err
}

func (t tx) artifact(k key) (*artifact, error) { return get[artifact](t, bArtifacts, k.bytes()) }

func (t tx) version(globalID int64) (*version, error) {
	return get[version](t, bVersions, number(globalID))
}

func (t tx) content(id int64) (*content, error) { return get[content](t, bContents, number(id)) }

func (t tx) contentByHash(hash [32]byte) (*content, error) {
	id := t.Bucket(bHashes).Get(hash[:])
	if id == nil {
		return nil, nil
	}
	return t.content(parseNumber(id))
}

// putContent stores a new content under a new id.
func (t tx) putContent(c *content) (err error) {
	if c.ID, err = t.next(bContents); err != nil {
		return err
	}
	if err := t.Bucket(bHashes).Put(c.Hash[:], number(c.ID)); err != nil {
		return err
	}
	if err := t.Bucket(bCanonical).Put(append(c.Canonical[:], number(c.ID)...), nil); err != nil {
		return err
	}
	for _, r := range c.Refs {
		g := r.Group
		if g == "" {
			g = defaultGroup
		}
		if err := t.Bucket(bReferrers).Put(append(referrerKey(g, r.Artifact, r.Version), number(c.ID)...), nil); err != nil {
			return err
		}
	}
	return set(t, bContents, number(c.ID), c)
}

func referrerKey(group, artifact, version string) []byte {
	return append(nameKey(key{group, artifact}, version), 0)
}

// referrers returns the ids of the contents that refer to the version.
func (t tx) referrers(v *version) ([]int64, error) {
	ids := []int64{}
	prefix := referrerKey(v.Group, v.Artifact, v.Version)
	err := t.scan(bReferrers, prefix, func(k, _ []byte) error {
		if len(k) == len(prefix)+8 {
			ids = append(ids, parseNumber(k[len(prefix):]))
		}
		return nil
	})
	return ids, err
}

// ordered returns the artifact's version of this order, or nil.
func (t tx) ordered(k key, order int) (*version, error) {
	id := t.Bucket(bOf).Get(append(append(k.bytes(), 0), number(int64(order))...))
	if id == nil {
		return nil, nil
	}
	return t.version(parseNumber(id))
}

// putVersion stores a new version under a new id.
func (t tx) putVersion(v *version) (err error) {
	if v.GlobalID, err = t.next(bVersions); err != nil {
		return err
	}
	of := append(append(key{v.Group, v.Artifact}.bytes(), 0), number(int64(v.Order))...)
	if err := t.Bucket(bOf).Put(of, number(v.GlobalID)); err != nil {
		return err
	}
	if err := t.Bucket(bNames).Put(nameKey(key{v.Group, v.Artifact}, v.Version), number(v.GlobalID)); err != nil {
		return err
	}
	if err := t.Bucket(bUses).Put(append(number(v.ContentID), number(v.GlobalID)...), nil); err != nil {
		return err
	}
	return set(t, bVersions, number(v.GlobalID), v)
}

func nameKey(k key, name string) []byte { return append(append(k.bytes(), 0), name...) }

// named returns the artifact's version with this name, or nil.
func (t tx) named(k key, name string) (*version, error) {
	id := t.Bucket(bNames).Get(nameKey(k, name))
	if id == nil {
		return nil, nil
	}
	return t.version(parseNumber(id))
}

// latest returns the artifact's newest version that is not disabled, or nil.
func (t tx) latest(k key) (*version, error) {
	prefix := append(k.bytes(), 0)
	c := t.Bucket(bOf).Cursor()
	// The entry after the last that an order can make, then back.
	id, globalID := c.Seek(append(append([]byte(nil), prefix...), number(-1)...))
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
		if err != nil || v == nil || v.State != stateDisabled {
			return v, err
		}
	}
	return nil, nil
}

// versions returns an artifact's versions, oldest first.
func (t tx) versions(k key) ([]*version, error) {
	var out []*version
	prefix := append(k.bytes(), 0)
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

// scan calls f for the entries whose key begins with prefix, in order.
func (t tx) scan(bucket, prefix []byte, f func(k, v []byte) error) error {
	c := t.Bucket(bucket).Cursor()
	for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
		if err := f(k, v); err != nil {
			return err
		}
	}
	return nil
}
