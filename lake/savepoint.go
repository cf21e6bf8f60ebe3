package lake

import (
	"context"
	"fmt"
	"slices"
	"time"

	"tributary/internal/fault"
)

// Savepoint pins the table as of a completed instant: cleaning leaves its files,
// archival its place on the timeline, so that it can be read, and restored,
// until DropSavepoint. by and comment are for people.
func (t *Table) Savepoint(ctx context.Context, instant, by, comment string) error {
	if err := t.ready(ctx); err != nil {
		return err
	}
	tl := t.Timeline()
	if err := t.CheckSavepoint(instant); err != nil {
		return err
	}
	if slices.Contains(tl.Savepoints(), instant) {
		return nil
	}
	s, err := t.AsOf(ctx, instant)
	if err != nil {
		return err
	}
	partitions := map[string]any{}
	names := map[string][]string{}
	for _, f := range s.files {
		names[f.Partition] = append(names[f.Partition], fileName(f.Key))
	}
	for p, list := range names {
		partitions[p] = map[string]any{"partitionPath": p, "savepointDataFile": list}
	}
	body, err := encodeAvroBody(avroJSON(savepointMetadata), map[string]any{
		"savepointedBy": by, "savepointedAt": t.opt.Now().UnixMilli(), "comments": comment,
		"partitionMetadata": partitions, "version": 1,
	})
	if err != nil {
		return err
	}
	i := Instant{Time: instant, Action: ActionSavepoint, State: StateInflight}
	err = t.w.lease.during(ctx, func(ctx context.Context) error {
		if err := t.putTimeline(ctx, i, nil); err != nil {
			return err
		}
		i.State = StateCompleted
		return t.putTimeline(ctx, i, body)
	})
	if err != nil {
		t.w.stale = true
		return err
	}
	t.remember(i)
	return nil
}

// CheckSavepoint refuses an instant that Savepoint would refuse.
func (t *Table) CheckSavepoint(instant string) error {
	tl := t.Timeline()
	if i := tl.AsOf(instant); i.IsZero() || i.Time != instant {
		return fault.Humanf("choose an instant of the timeline", "table %s: %s is no completed commit on the active timeline", t.base, instant)
	}
	return t.checkHorizon(tl, instant)
}

// DropSavepoint ends a savepoint; there being none is no error. What it held
// goes with the next clean.
func (t *Table) DropSavepoint(ctx context.Context, instant string) error {
	if err := t.ready(ctx); err != nil {
		return err
	}
	i := Instant{Time: instant, Action: ActionSavepoint, State: StateCompleted}
	inflight := i
	inflight.State = StateInflight
	err := t.deleteLeased(ctx, []string{".hoodie/" + timelineFile(i), ".hoodie/" + timelineFile(inflight)})
	if err != nil {
		t.w.stale = true
		return fmt.Errorf("drop savepoint %s of %s: %w", instant, t.base, err)
	}
	t.forget(func(x Instant) bool { return x == i })
	return nil
}

// Savepoints returns the instants that savepoints pin, by ascending time.
func (t *Timeline) Savepoints() []string {
	var out []string
	for _, i := range t.all {
		if i.Action == ActionSavepoint && i.State == StateCompleted {
			out = append(out, i.Time)
		}
	}
	return out
}

// savepointed returns the paths that savepoints hold.
func (t *Table) savepointed(ctx context.Context, tl *Timeline) (map[string]bool, error) {
	held := map[string]bool{}
	for _, at := range tl.Savepoints() {
		rec, err := t.readTimelineBody(ctx, Instant{Time: at, Action: ActionSavepoint, State: StateCompleted})
		if err != nil {
			return nil, err
		}
		partitions, _ := rec["partitionMetadata"].(map[string]any)
		for p, v := range partitions {
			part, _ := v.(map[string]any)
			files, _ := part["savepointDataFile"].([]any)
			for _, f := range files {
				if name, ok := f.(string); ok {
					held[join(p, fileName(name))] = true
				}
			}
		}
	}
	return held, nil
}

// Rollback undoes the newest commit, as if it had not been: its rows are gone
// from every instant. It is for a commit that should not have been made; to undo
// several, Restore to a savepoint. A clustering that another engine has planned
// and not carried out is taken back likewise. A commit that is savepointed, or whose
// predecessor is archived or cleaned, is refused.
func (t *Table) Rollback(ctx context.Context, instant string) error {
	has := func(list []Instant) bool {
		return slices.ContainsFunc(list, func(i Instant) bool { return i.Time == instant && i.Action.writesData() })
	}
	failed := has(t.Timeline().Pending())
	if err := t.ready(ctx); err != nil {
		return err
	}
	if failed && !has(t.Timeline().All()) {
		return nil // what was left half done is undone first in any case
	}
	i, err := t.rollbackTarget(ctx, instant)
	if err != nil {
		return err
	}
	t.w.stale = true // whatever comes of it, the table is read anew
	if err := t.rollback(ctx, i); err != nil {
		return err
	}
	t.dropCommit(instant)
	return t.load(ctx)
}

func (t *Table) dropCommit(instant string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.commits, instant)
}

// Restore takes the table back to a savepoint: every commit after it is undone,
// newest first. It returns the restore's instant. A restore that was interrupted
// is finished by the next writer.
//
// Readers of this package see the restore happen at once, when its plan is
// written. Other engines see commits disappear one by one, and, where cleaning
// has been between them and the savepoint, parts of earlier states meanwhile.
func (t *Table) Restore(ctx context.Context, savepoint string) (Instant, error) {
	if err := t.ready(ctx); err != nil {
		return Instant{}, err
	}
	targets, err := t.restoreTargets(savepoint)
	if err != nil {
		return Instant{}, err
	}
	var undo []any
	for _, i := range targets {
		undo = append(undo, map[string]any{"commitTime": i.Time, "action": string(i.Action)})
	}
	if len(undo) == 0 {
		return Instant{}, nil
	}
	body, err := encodeAvroBody(avroJSON(restorePlan), map[string]any{
		"instantsToRollback": undo, "version": 2, "savepointToRestoreTimestamp": savepoint,
	})
	if err != nil {
		return Instant{}, err
	}
	t.w.stale = true
	i := Instant{Time: t.newInstant(), Action: ActionRestore, State: StateRequested}
	if err := t.w.lease.during(ctx, func(ctx context.Context) error { return t.putTimeline(ctx, i, body) }); err != nil {
		return Instant{}, err
	}
	if err := t.resumeRestore(ctx, i); err != nil {
		return Instant{}, err
	}
	i.State = StateCompleted
	return i, t.load(ctx)
}

// applyRestores makes the writes that a pending restore is undoing pending ones:
// what cleaning has left of the states between is no state to be read.
func (t *Table) applyRestores(ctx context.Context, tl *Timeline) error {
	for _, r := range tl.Pending() {
		if r.Action != ActionRestore {
			continue
		}
		r.State = StateRequested
		plan, err := t.readTimelineBody(ctx, r)
		if err != nil {
			return err
		}
		list, _ := plan["instantsToRollback"].([]any)
		undone := map[string]bool{}
		for _, x := range list {
			info, _ := x.(map[string]any)
			at, _ := info["commitTime"].(string)
			undone[at] = true
		}
		for n, i := range tl.all {
			if i.Action.writesData() && undone[i.Time] {
				tl.all[n].State = StateInflight
			}
		}
	}
	return nil
}

// resumeRestore carries out a restore whose plan is on the timeline.
func (t *Table) resumeRestore(ctx context.Context, r Instant) error {
	began := t.opt.Now()
	requested := r
	requested.State = StateRequested
	plan, err := t.readTimelineBody(ctx, requested)
	if err != nil {
		return fmt.Errorf("restore %s of %s: %w", r.Time, t.base, err)
	}
	list, _ := plan["instantsToRollback"].([]any)
	if len(list) == 0 {
		return fault.Humanf("delete its files in .hoodie", "table %s: restore %s names no instants", t.base, r.Time)
	}
	if r.State == StateRequested {
		r.State = StateInflight
		if err := t.w.lease.during(ctx, func(ctx context.Context) error { return t.putTimeline(ctx, r, nil) }); err != nil {
			return err
		}
	}
	var times []string
	undone := map[string]any{}
	for _, x := range list {
		info, _ := x.(map[string]any)
		at, _ := info["commitTime"].(string)
		action, _ := info["action"].(string)
		i := Instant{Time: at, Action: Action(action)}
		files, err := t.undo(ctx, i)
		if err != nil {
			return fmt.Errorf("restore %s of %s: %w", r.Time, t.base, err)
		}
		times = append(times, at)
		undone[at] = []any{t.rollbackMetadata(i, files, began, t.opt.Now())}
		t.dropCommit(at)
	}
	body, err := encodeAvroBody(avroJSON(restoreMetadata), map[string]any{
		"startRestoreTime": FormatInstant(began), "timeTakenInMillis": t.opt.Now().Sub(began).Milliseconds(),
		"instantsToRollback": times, "hoodieRestoreMetadata": undone, "version": 1, "restoreInstantInfo": list,
	})
	if err != nil {
		return err
	}
	r.State = StateCompleted
	err = t.w.lease.during(ctx, func(ctx context.Context) error { return t.putTimeline(ctx, r, body) })
	if err != nil {
		return err
	}
	t.opt.Log.Info("restored", "table", t.base, "instant", r.Time, "commits_undone", len(times), "took", time.Since(began).Round(time.Millisecond))
	return nil
}

// undo removes everything of a write, completed or not: what makes it count
// first, its place on the timeline last.
func (t *Table) undo(ctx context.Context, i Instant) ([]string, error) {
	i.State = StateCompleted
	if err := t.deleteLeased(ctx, []string{".hoodie/" + timelineFile(i)}); err != nil {
		return nil, err
	}
	files, err := t.filesOf(ctx, i.Time)
	if err != nil {
		return nil, err
	}
	inflight, requested := i, i
	inflight.State, requested.State = StateInflight, StateRequested
	rest := append(slices.Clone(files), ".hoodie/"+timelineFile(inflight), ".hoodie/"+timelineFile(requested))
	return files, t.deleteLeased(ctx, rest)
}

// forget drops instants from the timeline in memory.
func (t *Table) forget(gone func(Instant) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := slices.DeleteFunc(slices.Clone(t.timeline.all), gone)
	t.timeline = &Timeline{all: all, horizon: t.timeline.horizon}
}
