package lake

import (
	"context"
	"sort"
	"strings"

	"tributary/lake/blob"
)

// BaseFile is a Parquet file of a table: the rows of one file group as of one
// commit.
type BaseFile struct {
	Key       string // in the store
	FileID    string
	Instant   string // the commit that wrote it
	Partition string // folder below the base; "" without partitions
	Size      int64  // bytes
	Rows      int64  // -1 if no commit on the active timeline tells
}

// parseBaseFile reads a base file's name: <fileId>_<token>_<instant>.parquet,
// the token being three numbers with dashes.
func parseBaseFile(name string) (fileID, instant string, ok bool) {
	stem, ok := strings.CutSuffix(name, ".parquet")
	if !ok || strings.HasPrefix(name, ".") {
		return "", "", false
	}
	parts := strings.Split(stem, "_")
	if len(parts) != 3 || parts[0] == "" || strings.Trim(parts[2], "0123456789") != "" || parts[2] == "" {
		return "", "", false
	}
	token := strings.Split(parts[1], "-")
	if len(token) != 3 {
		return "", "", false
	}
	for _, n := range token {
		if n == "" || strings.Trim(n, "0123456789") != "" {
			return "", "", false
		}
	}
	return parts[0], parts[2], true
}

// join puts a path below a base; a base may be "", the store itself.
func join(base, path string) string {
	if base == "" {
		return path
	}
	if path == "" {
		return base
	}
	return base + "/" + path
}

// listData calls each for every object of the table outside .hoodie.
func listData(ctx context.Context, store blob.Store, base string, each func(path string, info blob.Info)) error {
	prefix := join(base, "")
	if prefix != "" {
		prefix += "/"
	}
	after, hidden := "", prefix+".hoodie/"
	for {
		again := false
		for info, err := range store.List(ctx, prefix, after) {
			if err != nil {
				return err
			}
			if strings.HasPrefix(info.Key, hidden) {
				after, again = prefix+".hoodie0", true // '0' follows '/'
				break
			}
			each(strings.TrimPrefix(info.Key, prefix), info)
		}
		if !again {
			return nil
		}
	}
}

// listBaseFiles returns every base file of the table, committed or not.
func listBaseFiles(ctx context.Context, store blob.Store, base string) ([]BaseFile, error) {
	var out []BaseFile
	err := listData(ctx, store, base, func(path string, info blob.Info) {
		partition, name := "", path
		if i := strings.LastIndexByte(path, '/'); i >= 0 {
			partition, name = path[:i], path[i+1:]
		}
		if id, instant, ok := parseBaseFile(name); ok {
			out = append(out, BaseFile{Key: info.Key, FileID: id, Instant: instant, Partition: partition, Size: info.Size, Rows: -1})
		}
	})
	return out, err
}

// committed returns whether a file of an instant counts: its commit is completed,
// or older than the timeline's first instant, since it was committed before its
// instant was archived.
func (t *Timeline) committed() func(instant string) bool {
	done := map[string]bool{}
	for _, i := range t.Completed() {
		done[i.Time] = true
	}
	first := t.first()
	return func(instant string) bool { return done[instant] || first != "" && instant < first }
}

// completion returns the time at which a write was completed, "" for one that was
// not; that of an archived one is its own.
func (t *Timeline) completion() func(instant string) string {
	done := map[string]string{}
	for _, i := range t.Completed() {
		done[i.Time] = or(i.Done, i.Time)
	}
	first := t.first()
	return func(instant string) string {
		if d := done[instant]; d != "" || instant >= first {
			return d
		}
		return instant
	}
}

type groupKey struct{ partition, fileID string }

// latestSlices picks, of each file group, the newest committed file at or
// before at, leaving out the groups in replaced. The result is sorted by key.
func latestSlices(files []BaseFile, tl *Timeline, at string, replaced map[groupKey]bool) []BaseFile {
	committed := tl.committed()
	newest := map[groupKey]BaseFile{}
	for _, f := range files {
		k := groupKey{f.Partition, f.FileID}
		if f.Instant > at || replaced[k] || !committed(f.Instant) {
			continue
		}
		if old, ok := newest[k]; !ok || f.Instant > old.Instant || f.Instant == old.Instant && f.Key > old.Key {
			newest[k] = f
		}
	}
	out := make([]BaseFile, 0, len(newest))
	for _, f := range newest {
		out = append(out, f)
	}
	sort.Slice(out, func(a, b int) bool { return out[a].Key < out[b].Key })
	return out
}
