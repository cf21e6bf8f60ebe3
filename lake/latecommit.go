package lake

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"tributary/internal/fault"
	"tributary/lake/blob"
)

// A put that its writer has given up may still be carried out by the store. When
// it is that of a commit, and meanwhile another writer has rolled the write back,
// the timeline has a completed instant whose files are gone. What tells it from
// others is that its requested and inflight files are gone as well, and that a
// completed rollback names it. While that rollback is under way it is its plan that
// names the instant: whoever writes next carries the plan out, so that what it is
// about counts no more from the plan on, whether it was completed before or after.

// applyRollbacks makes pending ones of the completed writes that do not count: those
// that a rollback which is under way is about, and those that were completed after
// they had been rolled back. The next writer removes them.
func (t *Table) applyRollbacks(ctx context.Context, tl *Timeline) error {
	if t.props.later() {
		return nil
	}
	undoing, undone := map[string]bool{}, map[string]bool{}
	for _, r := range tl.all {
		if r.Action != ActionRollback || r.State == StateCompleted && len(tl.bare) == 0 {
			continue
		}
		of, err := t.rolledBackBy(ctx, r)
		if r.State != StateCompleted && (errors.Is(err, errBody) || errors.Is(err, blob.ErrNotExist)) {
			continue // a plan that its writer has not finished to write: nothing is undone by it
		}
		if err != nil {
			return err
		}
		for _, at := range of {
			if r.State == StateCompleted {
				undone[at] = undone[at] || at < r.Time
			} else {
				undoing[at] = true
			}
		}
	}
	for n, i := range tl.all {
		if i.State == StateCompleted && i.Action.writesData() && (undoing[i.Time] || tl.bare[i.Time] && undone[i.Time]) {
			tl.all[n].State = StateInflight
		}
	}
	return nil
}

// rolledBackBy returns the instants that a rollback, completed or not, is about.
func (t *Table) rolledBackBy(ctx context.Context, r Instant) ([]string, error) {
	if r.State != StateCompleted {
		r.State = StateRequested // the plan
	}
	rec, err := t.readTimelineBody(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("read rollback %s of %s: %w", r.Time, t.base, err)
	}
	var out []string
	if plan, ok := rec["instantToRollback"].(map[string]any); ok {
		at, _ := plan["commitTime"].(string)
		out = append(out, at)
	}
	list, _ := rec["commitsRollback"].([]any)
	for _, x := range list {
		at, _ := x.(string)
		out = append(out, at)
	}
	return out, nil
}

// stillOurs is asked after the commit i was put. Where the lease has run out
// meanwhile and another writer has taken it, that one may have seen the write as
// a failed one: then what came of it is not ours to tell, and a commit that it
// has rolled back is taken away.
func (t *Table) stillOurs(ctx context.Context, i Instant) error {
	l := t.w.lease
	if l.now().Before(l.until) {
		return nil
	}
	_, tag, err := l.read(ctx)
	if err != nil {
		return err
	}
	if tag == l.tag {
		return nil
	}
	lost := fault.Human(fmt.Errorf("table %s: commit %s: %w", t.base, i.Time, ErrLockLost), "let one process alone write the table")
	tl, err := readTimeline(ctx, t.store, join(t.base, t.props.timelineFolder()))
	if err != nil {
		return fmt.Errorf("%w; read timeline: %w", lost, err)
	}
	for _, r := range tl.all {
		if r.Action != ActionRollback || r.Time < i.Time {
			continue
		}
		of, err := t.rolledBackBy(ctx, r)
		if err != nil {
			return fmt.Errorf("%w; %w", lost, err)
		}
		if slices.Contains(of, i.Time) {
			if err := t.deletePaths(ctx, []string{".hoodie/" + timelineFile(i)}); err != nil {
				return fmt.Errorf("%w; take the commit back: %w", lost, err)
			}
		}
	}
	return lost
}
