package lake

import (
	"context"
	"fmt"
	"strings"

	"tributary/internal/column"
)

// Without returns the snapshot's file groups that are not the same in other: all
// rows in which the two differ are among theirs. Both are of one table.
func (s *Snapshot) Without(ctx context.Context, other *Snapshot) (*Snapshot, error) {
	theirs, err := other.versions(ctx)
	if err != nil {
		return nil, err
	}
	ours, err := s.versions(ctx)
	if err != nil {
		return nil, err
	}
	return s.only(func(k groupKey) (bool, error) { return ours[k] != theirs[k], nil })
}

// only returns the snapshot's file groups that keep chooses.
func (s *Snapshot) only(keep func(groupKey) (bool, error)) (*Snapshot, error) {
	out := *s
	out.files = nil
	chosen := map[groupKey]bool{}
	choose := func(k groupKey) (bool, error) {
		ok, known := chosen[k]
		if known {
			return ok, nil
		}
		ok, err := keep(k)
		chosen[k] = ok
		return ok, err
	}
	for _, f := range s.files {
		ok, err := choose(groupKey{f.Partition, f.FileID})
		if err != nil {
			return nil, err
		}
		if ok {
			out.files = append(out.files, f)
		}
	}
	if s.slices == nil {
		return &out, nil
	}
	out.slices = []fileSlice{}
	for _, sl := range s.slices {
		ok, err := choose(sl.group())
		if err != nil {
			return nil, err
		}
		if ok {
			out.slices = append(out.slices, sl)
		}
	}
	return &out, nil
}

func (s *fileSlice) group() groupKey {
	if s.base.Key != "" {
		return groupKey{s.base.Partition, s.base.FileID}
	}
	return groupKey{s.logs[0].Partition, s.logs[0].FileID}
}

// versions names what each file group's rows are: the base file, and, where logs
// are put over it, these and the newest write to the group that counts.
func (s *Snapshot) versions(ctx context.Context) (map[groupKey]string, error) {
	out := map[groupKey]string{}
	for _, f := range s.files {
		out[groupKey{f.Partition, f.FileID}] = f.Key
	}
	if len(s.Logs()) == 0 {
		return out, nil
	}
	newest := map[groupKey]string{}
	for _, i := range s.timeline.Completed() {
		if i.Time > s.at {
			break
		}
		c, err := s.table.Commit(ctx, i)
		if err != nil {
			return nil, err
		}
		for p, list := range c.Stats {
			for _, st := range list {
				newest[groupKey{p, st.FileID}] = i.Time
			}
		}
	}
	for n := range s.slices {
		sl := &s.slices[n]
		if len(sl.logs) == 0 {
			continue
		}
		names := []string{sl.base.Key, newest[sl.group()]}
		for _, l := range sl.logs {
			names = append(names, l.Key)
		}
		out[sl.group()] = strings.Join(names, "\n")
	}
	return out, nil
}

// WithKey returns the rows of the snapshot with one record key. Only file groups
// that may have it, by the footers of their base files, are read by Scan.
func (s *Snapshot) WithKey(ctx context.Context, key string) (*Snapshot, error) {
	base := map[groupKey]BaseFile{}
	for _, f := range s.files {
		base[groupKey{f.Partition, f.FileID}] = f
	}
	logged := map[groupKey]bool{}
	for n := range s.slices {
		logged[s.slices[n].group()] = len(s.slices[n].logs) > 0
	}
	out, err := s.only(func(k groupKey) (bool, error) {
		if logged[k] {
			return true, nil
		}
		may, err := s.table.MayHold(ctx, base[k], key)
		if err != nil {
			return false, fmt.Errorf("look for key %s: %w", key, err)
		}
		return may, nil
	})
	if err != nil {
		return nil, err
	}
	out.key = &key
	return out, nil
}

// Groups returns the file groups of the snapshot, by partition and file id.
func (s *Snapshot) Groups() map[[2]string]bool {
	out := map[[2]string]bool{}
	for _, f := range s.files {
		out[[2]string{f.Partition, f.FileID}] = true
	}
	for n := range s.slices {
		k := s.slices[n].group()
		out[[2]string{k.partition, k.fileID}] = true
	}
	return out
}

// chosenRow reports whether a row is one that the snapshot is about.
func (s *Snapshot) chosenRow(b *column.Batch, commitTime, recordKey, r int) bool {
	return (s.since == "" || string(b.Cols[commitTime].Value(r)) > s.since) &&
		(s.key == nil || string(b.Cols[recordKey].Value(r)) == *s.key)
}
