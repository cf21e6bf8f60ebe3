package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"tributary/internal/fault"
	"tributary/lake"
	"tributary/lake/blob"
	"tributary/lake/blob/s3"
)

// lakeRoot is the lake that is asked.
type lakeRoot struct {
	store  blob.Store
	prefix string    // of all keys, within store
	dir    *blob.Dir // when it is a local directory
	cache  *cache    // when it is not

	temporary []string // files that go when lakeq ends
}

// openLake finds the lake of the command line.
func openLake(ctx context.Context, c *cli) (*lakeRoot, error) {
	if c.Lake == "" {
		return nil, fault.Humanf("add --lake URL or set LAKEQ_LAKE: a path, file:///path or s3://bucket/prefix", "it is not said where the lake is")
	}
	scheme, _, hasScheme := strings.Cut(c.Lake, "://")
	if !hasScheme {
		return openDir(c.Lake)
	}
	u, err := url.Parse(c.Lake)
	if err != nil {
		return nil, fault.Human(fmt.Errorf("read the lake's URL: %w", err), "give a path, file:///path or s3://bucket/prefix")
	}
	switch scheme {
	case "file":
		return openDir(u.Path)
	case "s3", "s3a":
		return openBucket(ctx, c, u)
	}
	return nil, fault.Humanf("give a path, file:///path or s3://bucket/prefix", "a lake cannot be at %s", c.Lake)
}

func openDir(path string) (*lakeRoot, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return nil, fault.Humanf("see that --lake is right", "there is no directory %s", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open the lake: %w", err)
	}
	dir, err := blob.NewDir(path)
	if err != nil {
		return nil, fmt.Errorf("open the lake: %w", err)
	}
	return &lakeRoot{store: dir, dir: dir}, nil
}

func openBucket(ctx context.Context, c *cli, u *url.URL) (*lakeRoot, error) {
	store, err := s3.New(ctx, s3.Options{
		Bucket: u.Host, Prefix: strings.Trim(u.Path, "/"), Region: c.Region, Endpoint: c.Endpoint, PathStyle: c.PathStyle,
	})
	if errors.Is(err, s3.ErrNoRegion) {
		return nil, fault.Humanf("give --s3-region, or set LAKEQ_S3_REGION or AWS_REGION", "open bucket %s: %w", u.Host, s3.ErrNoRegion)
	}
	if err != nil {
		return nil, err
	}
	dir := c.CacheDir
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return nil, fault.Human(fmt.Errorf("find a place for the cache: %w", err), "name one with --cache-dir")
		}
		dir = filepath.Join(user, "lakeq")
	}
	where := c.Endpoint + "/" + u.Host + "/" + strings.Trim(u.Path, "/")
	return &lakeRoot{store: store, cache: newCache(store, dir, where, c.CacheSize<<20)}, nil
}

func (l *lakeRoot) close() {
	for _, f := range l.temporary {
		_ = os.Remove(f) // a temporary file: the system clears what is left
	}
	if l.cache != nil {
		l.cache.trim()
	}
}

// tables lists the tables of the lake.
func (l *lakeRoot) tables(ctx context.Context) (catalog, error) {
	refs, err := lake.Tables(ctx, l.store, l.prefix)
	if err != nil {
		return nil, fmt.Errorf("list the tables: %w", err)
	}
	return catalog(refs), nil
}

// localPaths returns the files as paths that the engine can open.
func (l *lakeRoot) localPaths(ctx context.Context, files []lake.BaseFile) ([]string, error) {
	if l.cache != nil {
		return l.cache.paths(ctx, files)
	}
	paths := make([]string, len(files))
	for i, f := range files {
		paths[i] = l.dir.Path(f.Key)
	}
	return paths, nil
}
