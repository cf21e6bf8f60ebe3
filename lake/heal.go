package lake

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"time"

	"tributary/internal/fault"
	"tributary/lake/blob"
)

// heal undoes what writers that died have left behind, so that the timeline can
// go on: it finishes restores, rollbacks and cleans that were begun, rolls back
// writes that were not completed, and removes markers of writes that are over.
func (t *Table) heal(ctx context.Context) error {
	restored := false
	for _, i := range t.Timeline().Pending() {
		if i.Action == ActionRestore {
			if err := t.resumeRestore(ctx, i); err != nil {
				return err
			}
			restored = true
		}
	}
	if restored {
		if err := t.Refresh(ctx); err != nil {
			return err
		}
	}
	pending := t.Timeline().Pending()
	rolledBack := map[string]bool{}
	for _, i := range pending {
		if i.Action != ActionRollback {
			continue
		}
		target, err := t.resumeRollback(ctx, i)
		if err != nil {
			return err
		}
		rolledBack[target] = true
	}
	for n := len(pending) - 1; n >= 0; n-- {
		i := pending[n]
		if rolledBack[i.Time] {
			continue
		}
		undo, err := t.mustUndo(ctx, i)
		if err != nil {
			return err
		}
		if undo {
			if err := t.rollback(ctx, i); err != nil {
				return err
			}
		}
	}
	for _, i := range pending {
		switch i.Action {
		case ActionClean:
			if err := t.resumeClean(ctx, i); err != nil {
				return err
			}
		case ActionSavepoint: // without its list of files it pins nothing
			if err := t.deletePaths(ctx, []string{".hoodie/" + timelineFile(i)}); err != nil {
				return fmt.Errorf("remove savepoint %s of %s: %w", i.Time, t.base, err)
			}
		}
	}
	var err error
	if t.w.waiting, err = t.waitingGroups(ctx); err != nil {
		return err
	}
	if err := t.dropMarkers(ctx); err != nil {
		return err
	}
	if len(pending) > 0 {
		return t.Refresh(ctx)
	}
	return nil
}

// mustUndo reports whether a pending instant is a write that was not completed.
// A clustering that another engine has planned is none: it waits to be carried
// out, or is being so.
func (t *Table) mustUndo(ctx context.Context, i Instant) (bool, error) {
	switch i.Action {
	case ActionCommit, ActionDeltaCommit:
		return true, nil
	case ActionReplaceCommit:
		plan, err := t.clusteringPlan(ctx, i)
		return plan == nil, err
	default:
		return false, nil
	}
}

// rollback removes everything of a write. The plan goes first, so that a crash
// half way is resumed; a completed write is made a pending one; the write's own
// timeline files go last, so that it stays pending as long as a file of it may
// be there.
func (t *Table) rollback(ctx context.Context, i Instant) error {
	files, err := t.filesOf(ctx, i.Time)
	if err != nil {
		return fmt.Errorf("roll back %s of %s: %w", i.Time, t.base, err)
	}
	plan, err := encodeAvroBody(avroJSON(rollbackPlan), t.rollbackPlan(i, files))
	if err != nil {
		return fmt.Errorf("roll back %s of %s: %w", i.Time, t.base, err)
	}
	r := Instant{Time: t.newInstant(), Action: ActionRollback, State: StateRequested}
	if err := t.putTimeline(ctx, r, plan); err != nil {
		return err
	}
	t.remember(r)
	r.State = StateInflight
	if err := t.putTimeline(ctx, r, nil); err != nil {
		return err
	}
	// Of a pending write too: its writer's last put may have been late.
	i.State = StateCompleted
	if err := t.deletePaths(ctx, []string{".hoodie/" + timelineFile(i)}); err != nil {
		return fmt.Errorf("roll back %s of %s: %w", i.Time, t.base, err)
	}
	return t.finishRollback(ctx, r, i, files)
}

// resumeRollback executes a rollback that was begun and returns the instant
// that it rolls back.
func (t *Table) resumeRollback(ctx context.Context, r Instant) (target string, err error) {
	requested := r
	requested.State = StateRequested
	b, err := readObject(ctx, t.store, join(t.base, ".hoodie/"+timelineFile(requested)))
	if err != nil {
		return "", fmt.Errorf("resume rollback %s of %s: %w", r.Time, t.base, err)
	}
	plan, err := t.decodeBody(requested, b)
	if err != nil {
		return "", fmt.Errorf("resume rollback %s of %s: %w", r.Time, t.base, err)
	}
	what, _ := plan["instantToRollback"].(map[string]any)
	target, _ = what["commitTime"].(string)
	action, _ := what["action"].(string)
	if target == "" {
		return "", fault.Humanf("delete its files in .hoodie", "table %s: rollback %s names no instant", t.base, r.Time)
	}
	i := Instant{Time: target, Action: Action(action)}
	files, err := t.filesOf(ctx, target)
	if err != nil {
		return "", fmt.Errorf("resume rollback %s of %s: %w", r.Time, t.base, err)
	}
	// Another engine may have been rolling back a completed write: from here on it
	// is none.
	i.State = StateCompleted
	if err := t.deletePaths(ctx, []string{".hoodie/" + timelineFile(i)}); err != nil {
		return "", fmt.Errorf("resume rollback %s of %s: %w", r.Time, t.base, err)
	}
	if r.State == StateRequested {
		r.State = StateInflight
		if err := t.putTimeline(ctx, r, nil); err != nil {
			return "", err
		}
	}
	return target, t.finishRollback(ctx, r, i, files)
}

func (t *Table) finishRollback(ctx context.Context, r, i Instant, files []string) error {
	began := t.opt.Now()
	if err := t.deletePaths(ctx, files); err != nil {
		return fmt.Errorf("roll back %s of %s: %w", i.Time, t.base, err)
	}
	i.State = StateInflight
	inflight := ".hoodie/" + timelineFile(i)
	i.State = StateRequested
	if err := t.deletePaths(ctx, []string{inflight, ".hoodie/" + timelineFile(i)}); err != nil {
		return fmt.Errorf("roll back %s of %s: %w", i.Time, t.base, err)
	}
	body, err := encodeAvroBody(avroJSON(rollbackMetadata), t.rollbackMetadata(i, files, began, t.opt.Now()))
	if err != nil {
		return fmt.Errorf("roll back %s of %s: %w", i.Time, t.base, err)
	}
	r.State = StateCompleted
	if err := t.putTimeline(ctx, r, body); err != nil {
		return err
	}
	t.opt.Log.Info("rolled back a write", "table", t.base, "instant", i.Time, "files", len(files))
	return t.deleteBelow(ctx, ".hoodie/.temp/"+i.Time+"/")
}

func (t *Table) deletePaths(ctx context.Context, paths []string) error {
	for _, p := range paths {
		if err := t.store.Delete(ctx, join(t.base, p)); err != nil {
			return err
		}
	}
	return nil
}

func (t *Table) deleteBelow(ctx context.Context, folder string) error {
	var keys []string
	for info, err := range t.store.List(ctx, join(t.base, folder), "") {
		if err != nil {
			return err
		}
		keys = append(keys, info.Key)
	}
	if len(keys) == 0 {
		return nil
	}
	return t.store.Delete(ctx, keys...)
}

// dropMarkers removes the markers of writes that are over. The lease is ours,
// so that no write is under way.
func (t *Table) dropMarkers(ctx context.Context) error {
	keep := map[string]bool{} // for another engine
	for _, i := range t.w.waiting.instants {
		keep[i] = true
	}
	var keys []string
	for _, folder := range []string{".hoodie/.temp/", heartbeats} {
		prefix := join(t.base, folder)
		for info, err := range t.store.List(ctx, prefix, "") {
			if err != nil {
				return fmt.Errorf("list markers of %s: %w", t.base, err)
			}
			if of, _, _ := strings.Cut(strings.TrimPrefix(info.Key, prefix), "/"); !keep[of] {
				keys = append(keys, info.Key)
			}
		}
	}
	if len(keys) == 0 {
		return nil
	}
	if err := t.store.Delete(ctx, keys...); err != nil {
		return fmt.Errorf("remove markers of %s: %w", t.base, err)
	}
	return nil
}

// filesOf returns the paths of the base files that carry the instant: those that
// a listing shows and those that markers announce.
func (t *Table) filesOf(ctx context.Context, instant string) ([]string, error) {
	found := map[string]bool{}
	err := listData(ctx, t.store, t.base, func(path string, _ blob.Info) {
		if _, at, ok := parseBaseFile(path[strings.LastIndexByte(path, '/')+1:]); ok && at == instant {
			found[path] = true
		}
	})
	if err != nil {
		return nil, err
	}
	folder := join(t.base, ".hoodie/.temp/"+instant+"/")
	for info, err := range t.store.List(ctx, folder, "") {
		if err != nil {
			return nil, err
		}
		name := strings.TrimPrefix(info.Key, folder)
		lines := []string{name}
		if strings.HasPrefix(name, "MARKERS") && !strings.Contains(name, "/") {
			b, err := readObject(ctx, t.store, info.Key)
			if err != nil {
				return nil, err
			}
			lines = strings.Split(string(b), "\n")
		}
		for _, l := range lines {
			if path, _, ok := strings.Cut(l, ".marker."); ok {
				found[path] = true
			}
		}
	}
	paths := make([]string, 0, len(found))
	for p := range found {
		paths = append(paths, p)
	}
	sort.Strings(paths)
	return paths, nil
}

// locator is a store that knows what other engines call its objects.
type locator interface{ URL(key string) string }

// url returns the object's absolute address, as Hudi's plans have it.
func (t *Table) url(path string) string {
	if l, ok := t.store.(locator); ok {
		return l.URL(join(t.base, path))
	}
	return join(t.base, path)
}

// byPartition sorts paths into their partitions.
func (t *Table) byPartition(paths []string) (partitions []string, files map[string][]string) {
	files = map[string][]string{}
	for _, p := range paths {
		partition := ""
		if i := strings.LastIndexByte(p, '/'); i >= 0 {
			partition = p[:i]
		}
		if files[partition] == nil {
			partitions = append(partitions, partition)
		}
		files[partition] = append(files[partition], t.url(p))
	}
	return partitions, files
}

func (t *Table) rollbackPlan(i Instant, paths []string) map[string]any {
	var requests []any
	partitions, files := t.byPartition(paths)
	for _, p := range partitions {
		for _, f := range files[p] {
			id, _, _ := parseBaseFile(f[strings.LastIndexByte(f, '/')+1:])
			requests = append(requests, map[string]any{
				"partitionPath": p, "fileId": id, "latestBaseInstant": i.Time, "filesToBeDeleted": []string{f},
			})
		}
	}
	return map[string]any{
		"instantToRollback": map[string]any{"commitTime": i.Time, "action": string(i.Action)},
		"RollbackRequests":  requests, "version": 1,
	}
}

func (t *Table) rollbackMetadata(i Instant, paths []string, began, ended time.Time) map[string]any {
	partitions, files := t.byPartition(paths)
	done := map[string]any{}
	for _, p := range partitions {
		done[p] = map[string]any{"partitionPath": p, "successDeleteFiles": files[p]}
	}
	return map[string]any{
		"startRollbackTime": FormatInstant(began), "timeTakenInMillis": ended.Sub(began).Milliseconds(),
		"totalFilesDeleted": len(paths), "commitsRollback": []string{i.Time}, "partitionMetadata": done, "version": 1,
		"instantsRollback": []any{map[string]any{"commitTime": i.Time, "action": string(i.Action)}},
	}
}
