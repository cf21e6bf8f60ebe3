package lake

import (
	"context"
	"fmt"
	"slices"
	"sort"
)

// past is what the archive tells of the instants that have left the active
// timeline.
type past struct {
	writes  []Instant // completed, by ascending time
	horizon string    // what the archived cleans have kept
}

// archived reports whether instants have left the active timeline.
func (t *Table) archived(ctx context.Context) (bool, error) {
	for _, err := range t.store.List(ctx, t.archiveFolder(), "") {
		if err != nil {
			return false, fmt.Errorf("list archive of %s: %w", t.base, err)
		}
		return true, nil
	}
	return false, nil
}

// timelineKey is the key of the timeline's file that says that i has reached its
// state.
func (t *Table) timelineKey(i Instant) string {
	return join(t.base, t.props.timelineFolder()+"/"+timelineFile(i))
}

func (t *Table) archiveFolder() string {
	if t.props.later() {
		return join(t.base, t.props.timelineFolder()+"/"+or(t.props["hoodie.timeline.history.path"], "history")+"/")
	}
	return join(t.base, ".hoodie/"+or(t.props[propArchive], "archived")+"/")
}

// timelineAt returns the timeline to read an instant by: tl, or, for one from
// before its first write, tl with the archived writes before it. It is the
// files' presence that makes an instant readable, and a clean that ends it.
func (t *Table) timelineAt(ctx context.Context, tl *Timeline, at string) (*Timeline, error) {
	first := tl.first()
	if first == "" || at >= first || tl.horizon != "" && at < tl.horizon {
		return tl, nil
	}
	p, err := t.readPast(ctx)
	if err != nil {
		return nil, err
	}
	full := &Timeline{horizon: max(tl.horizon, p.horizon)}
	for _, i := range p.writes {
		if i.Time < first {
			full.all = append(full.all, i)
		}
	}
	full.all = append(full.all, tl.all...)
	return full, nil
}

// readPast reads the archive. The bodies of the writes in it are kept, so that
// Commit returns them.
func (t *Table) readPast(ctx context.Context) (past, error) {
	var p past
	seen := map[string]bool{}
	var cleans []archivedClean
	take := func(e pastInstant) {
		switch {
		case e.Action == ActionClean:
			cleans = append(cleans, cleanOfAvro(e.Time, e.clean))
		case e.Commit != nil && !seen[e.Time]:
			seen[e.Time] = true
			p.writes = append(p.writes, e.Instant)
			t.keepCommit(e.Time, e.Commit)
		}
	}
	files, err := t.archiveFiles(ctx)
	for n := 0; err == nil && n < len(files); n++ {
		err = t.readArchived(ctx, files[n], take)
	}
	if err != nil {
		return p, fmt.Errorf("read archive of %s: %w", t.base, err)
	}
	sort.Slice(p.writes, func(a, b int) bool { return p.writes[a].Time < p.writes[b].Time })
	for _, c := range cleans {
		if c.kept == "" { // by file versions: what was newest then
			c.kept = (&Timeline{all: p.writes}).AsOf(c.at).Time
		}
		p.horizon = max(p.horizon, c.kept)
	}
	return p, nil
}

// archivedClean is a clean, and the earliest commit that it has kept.
type archivedClean struct{ at, kept string }

func cleanOfAvro(at string, rec map[string]any) archivedClean {
	kept, _ := rec["earliestCommitToRetain"].(string)
	return archivedClean{at, kept}
}

// keepCommit keeps a body for Commit, unless the active timeline had one.
func (t *Table) keepCommit(instant string, c *Commit) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.commits[instant] == nil {
		t.commits[instant] = c
	}
}

// archivedCommit reads an entry of a completed write; c is nil for another.
func archivedCommit(e map[string]any) (i Instant, c *Commit) {
	at, _ := e["commitTime"].(string)
	action, _ := e["actionType"].(string)
	i = Instant{Time: at, Action: Action(action), State: StateCompleted}
	switch i.Action { // of before they were renamed
	case ActionCompaction:
		i.Action = ActionCommit
	case ActionLogCompaction:
		i.Action = ActionDeltaCommit
	}
	if at == "" || !i.Action.writesData() {
		return i, nil
	}
	for _, key := range []string{"hoodieReplaceCommitMetadata", "hoodieCommitMetadata"} {
		if rec, ok := e[key].(map[string]any); ok {
			return i, commitOfAvro(rec)
		}
	}
	return i, nil
}

// commitOfAvro reads a commit's body in its Avro form.
func commitOfAvro(rec map[string]any) *Commit {
	c := &Commit{Stats: map[string][]WriteStat{}, Extra: map[string]string{}}
	c.Operation, _ = rec["operationType"].(string)
	c.Compacted, _ = rec["compacted"].(bool)
	extra, _ := rec["extraMetadata"].(map[string]any)
	for k, v := range extra {
		if s, ok := v.(string); ok {
			c.Extra[k] = s
		}
	}
	replaced, _ := rec["partitionToReplaceFileIds"].(map[string]any)
	for p, v := range replaced {
		if c.Replaced == nil {
			c.Replaced = map[string][]string{}
		}
		ids, _ := v.([]any)
		for _, id := range ids {
			if s, ok := id.(string); ok {
				c.Replaced[p] = append(c.Replaced[p], s)
			}
		}
	}
	stats, _ := rec["partitionToWriteStats"].(map[string]any)
	for p, v := range stats {
		list, _ := v.([]any)
		for _, x := range list {
			if s, ok := x.(map[string]any); ok {
				c.Stats[p] = append(c.Stats[p], statOfAvro(s))
			}
		}
	}
	return c
}

func statOfAvro(rec map[string]any) WriteStat {
	text := func(key string) string { s, _ := rec[key].(string); return s }
	number := func(key string) int64 { n, _ := rec[key].(int64); return n }
	return WriteStat{
		FileID: text("fileId"), Path: text("path"), PrevCommit: text("prevCommit"), Partition: text("partitionPath"),
		NumWrites: number("numWrites"), NumDeletes: number("numDeletes"), NumUpdates: number("numUpdateWrites"),
		NumInserts: number("numInserts"), FileSize: number("fileSizeInBytes"),
	}
}

// OldestReadable returns the oldest instant that AsOf takes and that has a commit,
// savepoints left out: the horizon that cleaning has set, or else the first commit,
// which may be in the archive. "" is for a table without commits.
func (t *Table) OldestReadable(ctx context.Context) (string, error) {
	tl := t.Timeline()
	if tl.horizon != "" {
		return tl.horizon, nil
	}
	full, err := t.timelineAt(ctx, tl, "0")
	if err != nil {
		return "", err
	}
	return or(full.horizon, full.Oldest().Time), nil
}

// savepointed reports whether a savepoint pins the instant.
func (t *Timeline) savepointed(at string) bool { return slices.Contains(t.Savepoints(), at) }

// Unabridged reports whether the active timeline has every commit of the table:
// none is archived.
func (t *Table) Unabridged(ctx context.Context) (bool, error) {
	gone, err := t.archived(ctx)
	return !gone, err
}
