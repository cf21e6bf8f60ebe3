package lake

import (
	"context"
	"fmt"
	"slices"

	"tributary/internal/fault"
)

// A put that its writer has given up may still be carried out by the store. When
// it is that of a commit, and meanwhile another writer has rolled the write back,
// the timeline has a completed instant whose files are gone. What tells it from
// others is that its requested and inflight files are gone as well, and that a
// completed rollback names it.

// applyRollbacks makes pending ones of the writes that were completed after they
// had been rolled back: they do not count, and the next writer removes them.
func (t *Table) applyRollbacks(ctx context.Context, tl *Timeline) error {
	if len(tl.bare) == 0 || t.props.later() {
		return nil
	}
	undone := map[string]bool{}
	for _, r := range tl.all {
		if r.Action != ActionRollback || r.State != StateCompleted {
			continue
		}
		of, err := t.rolledBackBy(ctx, r)
		if err != nil {
			return err
		}
		for _, at := range of {
			undone[at] = at < r.Time
		}
	}
	for n, i := range tl.all {
		if i.State == StateCompleted && i.Action.writesData() && tl.bare[i.Time] && undone[i.Time] {
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
