package lake

import (
	"path"
	"strings"

	"tributary/internal/fault"
)

// checkMissing refuses a state of which a base file is gone: of a group whose file
// is older than what a commit says that it wrote. Looking costs nothing, since
// only bodies that have been read count: always that of the state's newest commit,
// and those that wrote its files. What cleaning may have taken is left out.
func (t *Table) checkMissing(tl *Timeline, s *Snapshot) error {
	have := make(map[groupKey]string, len(s.files))
	for _, f := range s.files {
		have[groupKey{f.Partition, f.FileID}] = f.Instant
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, i := range tl.all {
		if i.State != StateCompleted || !i.Action.writesData() || i.Time > s.at || i.Time < tl.horizon {
			continue
		}
		c := t.commits[i.Time]
		if c == nil {
			continue
		}
		for partition, list := range c.Stats {
			for n := range list {
				id, at, ok := parseBaseFile(path.Base(list[n].Path))
				k := groupKey{partition, id}
				if !ok || at != i.Time || s.replaced[k] || have[k] >= i.Time {
					continue
				}
				return fault.Humanf("see with lakeq validate what else is damaged, and restore the file from a backup, or the table to a savepoint",
					"table %s: file %s, which commit %s wrote, is missing", t.base, strings.TrimPrefix(list[n].Path, "/"), i.Time)
			}
		}
	}
	return nil
}
