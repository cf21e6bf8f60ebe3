package blob

import (
	"context"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// List implements Store. It reads only the folders that can hold matching keys.
func (d *Dir) List(ctx context.Context, prefix, after string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		w := walk{ctx: ctx, dir: d, prefix: prefix, after: after, yield: yield}
		folder := ""
		if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
			folder = prefix[:i+1]
		}
		w.folder(folder)
	}
}

type walk struct {
	ctx    context.Context
	dir    *Dir
	prefix string
	after  string
	yield  func(Info, error) bool
}

// folder yields the objects below a folder, "" or ending in a slash, by
// ascending key, and reports whether to go on.
func (w *walk) folder(folder string) bool {
	if err := w.ctx.Err(); err != nil {
		return w.yield(Info{}, err) && false
	}
	entries, err := os.ReadDir(filepath.Join(w.dir.root, filepath.FromSlash(folder)))
	if missing(err) {
		return true
	}
	if err != nil {
		return w.yield(Info{}, fmt.Errorf("list %s: %w", folder, err)) && false
	}
	// A folder's keys sort as if its name ended in a slash.
	names := make([]string, 0, len(entries))
	byName := make(map[string]os.DirEntry, len(entries))
	for _, e := range entries {
		name := e.Name()
		if folder == "" && name == dirPrivate {
			continue
		}
		if e.IsDir() {
			name += "/"
		}
		names = append(names, name)
		byName[name] = e
	}
	sort.Strings(names)
	for _, name := range names {
		if !w.entry(folder+name, byName[name]) {
			return false
		}
	}
	return true
}

func (w *walk) entry(key string, e os.DirEntry) bool {
	if strings.HasSuffix(key, "/") {
		within := strings.HasPrefix(key, w.prefix) || strings.HasPrefix(w.prefix, key)
		past := key <= w.after && !strings.HasPrefix(w.after, key)
		if !within || past {
			return true
		}
		return w.folder(key)
	}
	if !strings.HasPrefix(key, w.prefix) || key <= w.after || !e.Type().IsRegular() {
		return true
	}
	info, err := e.Info()
	if missing(err) {
		return true // deleted while we list
	}
	if err != nil {
		return w.yield(Info{}, fmt.Errorf("list %s: %w", key, err)) && false
	}
	return w.yield(Info{Key: key, Size: info.Size(), Modified: info.ModTime()}, nil)
}
