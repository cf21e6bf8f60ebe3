package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"tributary/internal/fault"
)

// Dir keeps objects as files below a local directory. Many processes may share
// it. A Put is written to a private file, synced, and then linked or renamed to
// its name, so that a crash at any moment leaves the old state or the new.
//
// The folder .tributary below the root holds unfinished files and locks; it is
// not part of the store.
type Dir struct {
	root string
}

const (
	dirPrivate = ".tributary"
	dirShards  = 16
	// Objects up to this size have their content's hash for a tag, as in S3;
	// greater ones are told apart by inode, size and time.
	hashedBytes = 64 << 10
	staleAfter  = time.Hour
)

// NewDir returns the store below root, which the first write creates if need be:
// a store that is only read may be one that this user cannot write. Unfinished
// files that crashed processes left there are removed, where that is possible.
func NewDir(root string) (*Dir, error) {
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("find directory %s: %w", root, err)
	}
	d := &Dir{root: abs}
	if info, err := os.Stat(abs); err == nil && !info.IsDir() {
		return nil, fault.Humanf("give a path of a directory, or of none", "the store %s is a file", root)
	}
	entries, err := os.ReadDir(d.private(""))
	if missing(err) {
		return d, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read store directory: %w", err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && strings.HasPrefix(e.Name(), "put-") && time.Since(info.ModTime()) > staleAfter {
			_ = os.Remove(d.private(e.Name())) // the next to open the store tries again
		}
	}
	return d, nil
}

// makePrivate creates the store's own folder, and the store with it, after err
// has told that it is not there. It reports whether to try again.
func (d *Dir) makePrivate(err error) (bool, error) {
	if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err := os.MkdirAll(d.private(""), 0o755); err != nil {
		return false, fault.Human(fmt.Errorf("make store directory: %w", err), "give a path in which this user may create a directory")
	}
	return true, nil
}

// Path returns the file in which the object with the key is or would be. It is
// to be read only, and only once it exists.
func (d *Dir) Path(key string) string { return filepath.Join(d.root, filepath.FromSlash(key)) }

// URL returns the object's address as Hudi's engines write it.
func (d *Dir) URL(key string) string { return "file:" + d.Path(key) }

func (d *Dir) private(name string) string { return filepath.Join(d.root, dirPrivate, name) }

func (d *Dir) check(key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if key == dirPrivate || strings.HasPrefix(key, dirPrivate+"/") {
		return fmt.Errorf("object key %q is the store's own", key)
	}
	return nil
}

type dirObject struct {
	*os.File
	size int64
	tag  ETag
}

func (o *dirObject) Size() int64 { return o.size }
func (o *dirObject) ETag() ETag  { return o.tag }

// Open implements Store.
func (d *Dir) Open(ctx context.Context, key string) (Object, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := d.check(key); err != nil {
		return nil, err
	}
	f, err := os.Open(d.Path(key))
	if missing(err) {
		return nil, fmt.Errorf("open %s: %w", key, ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", key, err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		f.Close()
		return nil, fmt.Errorf("open %s: %w", key, ErrNotExist)
	}
	var tag ETag
	if err == nil {
		tag, err = fileTag(f, info)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open %s: %w", key, err)
	}
	return &dirObject{File: f, size: info.Size(), tag: tag}, nil
}

// missing reports an error that says that there is no such file, be it that
// what should be a folder on the way is a file.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// fileTag names the file's state.
func fileTag(f *os.File, info fs.FileInfo) (ETag, error) {
	if info.Size() <= hashedBytes {
		b := make([]byte, info.Size())
		if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		sum := sha256.Sum256(b)
		return ETag(hex.EncodeToString(sum[:16])), nil
	}
	ino := uint64(0)
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		ino = st.Ino
	}
	return ETag(fmt.Sprintf("%x-%x-%x", ino, info.Size(), info.ModTime().UnixNano())), nil
}

// Put implements Store. A context whose deadline has passed when the object
// would become visible stops it, even in a process that was frozen meanwhile.
func (d *Dir) Put(ctx context.Context, key string, r io.Reader, size int64, cond Cond) (ETag, error) {
	tag, err := d.put(ctx, key, r, size, cond)
	if err != nil {
		return "", fmt.Errorf("put %s: %w", key, err)
	}
	return tag, nil
}

func (d *Dir) put(ctx context.Context, key string, r io.Reader, size int64, cond Cond) (ETag, error) {
	if err := d.check(key); err != nil {
		return "", err
	}
	tmp, tag, err := d.write(ctx, r, size)
	if err != nil {
		return "", err
	}
	defer func() { _ = os.Remove(tmp) }() // where it has not been moved
	if !cond.ifAbsent {
		unlock, err := d.lock(key)
		if err != nil {
			return "", err
		}
		defer unlock()
	}
	if want, ok := cond.Match(); ok {
		if err := d.match(ctx, key, want); err != nil {
			return "", err
		}
	}
	if err := expired(ctx); err != nil {
		return "", err
	}
	return tag, d.place(tmp, d.Path(key), cond.ifAbsent)
}

// expired reports a cancelled context, or one whose deadline has passed though
// its timer has not fired yet.
func expired(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if at, ok := ctx.Deadline(); ok && !time.Now().Before(at) {
		return context.DeadlineExceeded
	}
	return nil
}

// write makes a private, synced file of r's bytes.
func (d *Dir) write(ctx context.Context, r io.Reader, size int64) (name string, tag ETag, err error) {
	if err := ctx.Err(); err != nil {
		return "", "", err
	}
	f, err := os.CreateTemp(d.private(""), "put-*")
	if again, failed := d.makePrivate(err); again {
		f, err = os.CreateTemp(d.private(""), "put-*")
	} else {
		err = failed
	}
	if err != nil {
		return "", "", err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if err := f.Chmod(0o644); err != nil {
		return "", "", err
	}
	n, err := io.Copy(f, r)
	if err != nil {
		return "", "", err
	}
	if n != size {
		return "", "", fmt.Errorf("%d bytes announced, %d given", size, n)
	}
	if err := f.Sync(); err != nil {
		return "", "", err
	}
	info, err := f.Stat()
	if err != nil {
		return "", "", err
	}
	tag, err = fileTag(f, info)
	return f.Name(), tag, err
}

// place makes the file tmp visible as path.
func (d *Dir) place(tmp, path string, absent bool) error {
	move := os.Rename
	if absent {
		move = os.Link
	}
	for try := 0; ; try++ {
		err := move(tmp, path)
		switch {
		case err == nil:
			return syncDir(filepath.Dir(path))
		case errors.Is(err, fs.ErrExist) && absent:
			return ErrExist
		case errors.Is(err, fs.ErrNotExist) && try < 8:
			// The folder is not there yet, or a Delete has just removed it.
			if err := d.makeFolder(filepath.Dir(path)); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// makeFolder makes dir and what is missing above it, durably.
func (d *Dir) makeFolder(dir string) error {
	first := dir
	for first != d.root {
		if _, err := os.Stat(filepath.Dir(first)); err == nil {
			break
		}
		first = filepath.Dir(first)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for p := dir; ; p = filepath.Dir(p) {
		if err := syncDir(filepath.Dir(p)); err != nil && !missing(err) {
			return err
		}
		if p == first || p == d.root {
			return nil
		}
	}
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// match reports a conflict unless the object is in state want.
func (d *Dir) match(ctx context.Context, key string, want ETag) error {
	o, err := d.Open(ctx, key)
	if err != nil {
		return err
	}
	defer o.Close()
	if o.ETag() != want {
		return ErrConflict
	}
	return nil
}

// lock keeps other writers of the key out, in this and in other processes.
func (d *Dir) lock(key string) (unlock func(), err error) {
	h := fnv.New32a()
	h.Write([]byte(key))
	name := d.private("lock-" + strconv.Itoa(int(h.Sum32()%dirShards)))
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if again, failed := d.makePrivate(err); again {
		f, err = os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	} else {
		err = failed
	}
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock store directory: %w", err)
	}
	return func() { f.Close() }, nil
}

// Delete implements Store. Folders that become empty are removed.
func (d *Dir) Delete(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := d.check(key); err != nil {
			return err
		}
		if err := d.remove(key); err != nil {
			return fmt.Errorf("delete %s: %w", key, err)
		}
	}
	return nil
}

func (d *Dir) remove(key string) error {
	unlock, err := d.lock(key)
	if err != nil {
		return err
	}
	defer unlock()
	path := d.Path(key)
	if err := os.Remove(path); err != nil && !missing(err) {
		return err
	}
	dir := filepath.Dir(path)
	for dir != d.root && os.Remove(dir) == nil {
		dir = filepath.Dir(dir)
	}
	if err := syncDir(dir); err != nil && !missing(err) {
		return err
	}
	return nil
}
