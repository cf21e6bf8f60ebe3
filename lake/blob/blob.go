// Package blob is the object store under the lake and the bronze layer: an
// interface of four methods, a local directory, a memory store and a store
// that fails on purpose. The client of S3 is in lake/blob/s3.
//
// Every store passes the same suite, lake/blob/blobtest.
package blob

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// The errors that callers tell apart with errors.Is.
var (
	ErrNotExist = errors.New("object does not exist")
	ErrExist    = errors.New("object exists already")
	ErrConflict = errors.New("object was changed by another writer")
)

// ETag names one state of an object. It is opaque and never empty for an
// object that exists.
type ETag string

// Cond is the condition under which Put writes. The zero value is no
// condition.
type Cond struct {
	ifAbsent bool
	ifMatch  ETag
}

// Always writes whatever is there.
func Always() Cond { return Cond{} }

// IfAbsent writes only when no object has the key: else ErrExist.
func IfAbsent() Cond { return Cond{ifAbsent: true} }

// IfMatch writes only when the object is still in state tag: else ErrConflict,
// or ErrNotExist when it is gone.
func IfMatch(tag ETag) Cond { return Cond{ifMatch: tag} }

// Absent reports whether the condition is IfAbsent.
func (c Cond) Absent() bool { return c.ifAbsent }

// Match returns the tag of an IfMatch condition.
func (c Cond) Match() (ETag, bool) { return c.ifMatch, c.ifMatch != "" }

// Info is what a listing tells of an object.
type Info struct {
	Key      string
	Size     int64
	Modified time.Time
}

// Object is an open object. It reads the state that the object had when it was
// opened, or fails; it never mixes two states.
type Object interface {
	io.ReaderAt
	io.Closer
	Size() int64
	ETag() ETag
}

// Store keeps objects by key. Keys are slash-separated, without a leading
// slash, without empty, "." or ".." parts; a key is never the prefix-folder of
// another ("a" and "a/b" do not both exist). Methods are safe for use by many
// goroutines.
type Store interface {
	// Open opens the object for reading: ErrNotExist when there is none.
	Open(ctx context.Context, key string) (Object, error)
	// Put writes the object whole: readers see the old state or the new, never
	// a part, and after a return without error the object is durable. r is read
	// to its end; size is its length in bytes.
	Put(ctx context.Context, key string, r io.Reader, size int64, cond Cond) (ETag, error)
	// List yields the objects whose key starts with prefix and is greater than
	// after, by ascending key. It sees every Put that returned before the call.
	List(ctx context.Context, prefix, after string) iter.Seq2[Info, error]
	// Delete removes the objects. A key without an object is no error.
	Delete(ctx context.Context, keys ...string) error
}
