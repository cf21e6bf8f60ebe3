package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"tributary/lake"
	"tributary/lake/blob"
)

// cache keeps base files of a remote lake on the local disk. A base file never
// changes and its name is never used again, so a file that is there is right.
type cache struct {
	store blob.Store
	root  string // of all caches
	dir   string // of this lake
	limit int64  // bytes of root
	used  map[string]bool
}

// fetchers is how many files are fetched at once.
const fetchers = 8

// newCache returns the cache of the lake at where, below root.
func newCache(store blob.Store, root, where string, limit int64) *cache {
	sum := sha256.Sum256([]byte(where))
	return &cache{store: store, root: root, dir: filepath.Join(root, hex.EncodeToString(sum[:8])), limit: limit, used: map[string]bool{}}
}

// paths returns the files' places on the disk, after fetching those that are
// missing.
func (c *cache) paths(ctx context.Context, files []lake.BaseFile) ([]string, error) {
	paths := make([]string, len(files))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(fetchers)
	for i, f := range files {
		paths[i] = filepath.Join(c.dir, filepath.FromSlash(f.Key))
		c.used[paths[i]] = true
		if info, err := os.Stat(paths[i]); err == nil && info.Size() == f.Size {
			now := time.Now()
			_ = os.Chtimes(paths[i], now, now) // trim removes by age; a miss costs a download
			continue
		}
		g.Go(func() error { return c.fetch(ctx, f, paths[i]) })
	}
	return paths, g.Wait()
}

// fetch copies an object to path, whole or not at all.
func (c *cache) fetch(ctx context.Context, f lake.BaseFile, path string) (err error) {
	o, err := c.store.Open(ctx, f.Key)
	if err != nil {
		return fmt.Errorf("fetch %s: %w", f.Key, err)
	}
	defer o.Close()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make the cache: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".part-*")
	if err != nil {
		return fmt.Errorf("write to the cache: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	n, err := io.Copy(tmp, io.NewSectionReader(o, 0, o.Size()))
	if err = errors.Join(err, tmp.Close()); err != nil {
		return fmt.Errorf("fetch %s: %w", f.Key, err)
	}
	if n != f.Size {
		return fmt.Errorf("fetch %s: it has %d bytes, the table says %d", f.Key, n, f.Size)
	}
	return os.Rename(tmp.Name(), path)
}

// trim removes the files that were used longest ago, until the cache is within
// its limit. Files of this run stay. It is best effort: what fails is left.
func (c *cache) trim() {
	type file struct {
		path string
		size int64
		used time.Time
	}
	var files []file
	var total int64
	_ = filepath.WalkDir(c.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // a file that went meanwhile needs no trimming
		}
		if info, err := d.Info(); err == nil {
			files = append(files, file{path, info.Size(), info.ModTime()})
			total += info.Size()
		}
		return nil
	})
	slices.SortFunc(files, func(a, b file) int { return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.path, b.path)) })
	for _, f := range files {
		if total <= c.limit {
			return
		}
		if !c.used[f.path] && os.Remove(f.path) == nil {
			total -= f.size
		}
	}
}
