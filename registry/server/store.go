package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"tributary/internal/avrotext"
	"tributary/internal/fault"
)

// store keeps everything that the registry knows in one file.
type store struct {
	db       *bolt.DB
	now      func() time.Time
	newName  func() string // for artifacts that come without an id
	flavour  flavour
	maxText  int64 // of a schema, bytes
	readOnly atomic.Bool

	keptReadOnly bool // by the configuration: it stays so
	changes      *committer
}

// openStore opens or makes the file. A file that another process has open is
// an error for a human.
func openStore(path string) (*store, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fault.Human(fmt.Errorf("make the registry's folder: %w", err), "set data.file to a path in a folder that can be written to")
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, FreelistType: bolt.FreelistMapType})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fault.Humanf("stop the other registry, or give this one another data.file",
			"the registry's file %s is in use by another process", path)
	}
	if errors.Is(err, berrors.ErrInvalid) || errors.Is(err, berrors.ErrChecksum) || errors.Is(err, berrors.ErrVersionMismatch) {
		return nil, fault.Human(fmt.Errorf("open the registry's file %s: it is no registry, or damaged: %w", path, err),
			"set data.file to another path for a new registry, or put a copy of the file back; what registry export wrote is taken in by registry import")
	}
	if err != nil {
		return nil, fault.Human(fmt.Errorf("open the registry's file %s: %w", path, err), "set data.file to a file that this user can read and write")
	}
	err = db.Update(func(t *bolt.Tx) error {
		for _, b := range buckets {
			if _, err := t.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		return tx{t}.checkFormat(path)
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the registry's file %s: %w", path, err), db.Close())
	}
	return &store{db: db, changes: &committer{db: db}, now: func() time.Time { return time.Now().UTC() }, newName: uuid}, nil
}

// format is the version of the file's layout.
const format = "2"

// checkFormat marks a new file and refuses one of another layout.
func (t tx) checkFormat(path string) error {
	switch found := t.setting("format"); {
	case found == format:
		return nil
	case found != "" || t.Bucket(bVersions).Sequence() > 0:
		return fault.Humanf("export it with the version that wrote it, and import the archive here",
			"the registry's file %s has the layout %q, this version knows %q", path, found, format)
	}
	return t.Bucket(bSettings).Put([]byte("format"), []byte(format))
}

func (s *store) close() error { return s.db.Close() }

// view runs f on a consistent state.
func (s *store) view(f func(t tx) error) error {
	return s.db.View(func(t *bolt.Tx) error { return f(tx{t}) })
}

// update runs f in a transaction that is on disk when update returns nil.
// Concurrent updates share transactions, so f may run more than once; what it
// yields must be what its last run set. A problem is kept from failing the
// others: f must not have changed anything when it returns one.
func (s *store) update(f func(t tx) error) error {
	if s.readOnly.Load() {
		return errReadOnly
	}
	return s.changes.run(f)
}

// errReadOnly is the answer to whatever would change a registry in read-only
// mode.
var errReadOnly = conflict("ReadOnlyStorageException", "Unsupported write operation. Storage is in read-only mode.")

// resolved returns the content's text with what it refers to put in place.
func (t tx) resolved(c *content) ([]byte, error) {
	if len(c.Refs) == 0 {
		return c.Text, nil
	}
	text, err := t.inline(string(c.Text), c.Refs)
	if err == nil {
		text, err = avrotext.Print(text)
	}
	var unknown *avrotext.UnknownTypeError
	if errors.As(err, &unknown) {
		return nil, &problem{status: 500, name: "AvroTypeException", message: "Undefined schema: " + unknown.Name, code: 500}
	}
	if errors.Is(err, avrotext.ErrNotAvro) {
		return nil, &problem{status: 422, name: "UnprocessableSchemaException", message: err.Error(), code: 42201}
	}
	return []byte(text), err
}

// inline puts an Avro schema's references in place.
func (t tx) inline(text string, refs []reference) (string, error) {
	texts := make(map[string]string)
	if err := t.collect(refs, texts); err != nil {
		return "", err
	}
	out, err := avrotext.Resolve(text, texts)
	if err != nil {
		return "", fmt.Errorf("%w: %w", avrotext.ErrNotAvro, err)
	}
	return out, nil
}

// Bounds of what one schema may refer to, directly or not.
const (
	maxReferences = 1000
	maxResolved   = 16 << 20 // bytes
)

func (t tx) collect(refs []reference, texts map[string]string) error {
	size := 0
	for _, text := range texts {
		size += len(text)
	}
	for _, r := range refs {
		if _, ok := texts[r.Name]; ok {
			continue
		}
		c, err := t.referenced(r)
		if err != nil {
			return err
		}
		if c == nil {
			continue // the type stays undefined, which Resolve's caller finds
		}
		if size += len(c.Text); len(texts) >= maxReferences || size > maxResolved {
			return badRequest("BadRequestException", "The schema refers to more than %d others, or %d bytes.", maxReferences, maxResolved)
		}
		texts[r.Name] = string(c.Text)
		if own := avrotext.FullName(string(c.Text)); own != "" {
			texts[own] = string(c.Text) // by which it is known whatever the reference calls it
		}
		if err := t.collect(c.Refs, texts); err != nil {
			return err
		}
	}
	return nil
}

// referenced returns the content that a reference names, or nil.
func (t tx) referenced(r reference) (*content, error) {
	v, err := t.named(r.key(), r.Version)
	if err != nil || v == nil {
		return nil, err
	}
	return t.content(v.ContentID)
}

// setting returns a value of the file's settings, or "".
func (t tx) setting(name string) string { return string(t.Bucket(bSettings).Get([]byte(name))) }
