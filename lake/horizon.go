package lake

import (
	"context"
	"fmt"
	"slices"

	"tributary/internal/fault"
)

// cleansRead bounds the clean instants that are looked at for the horizon. It
// only moves forward unless someone lengthens the retention, so that a few
// tell; all would cost a read each.
const cleansRead = 8

// readHorizon returns the oldest instant whose rows are all still there: what
// the newest cleans, completed or under way, have meant to keep.
func (t *Table) readHorizon(ctx context.Context, tl *Timeline) (string, error) {
	horizon, seen := "", 0
	for i := len(tl.all) - 1; i >= 0 && seen < cleansRead; i-- {
		in := tl.all[i]
		if in.Action != ActionClean {
			continue
		}
		seen++
		kept, err := t.keptBy(ctx, in)
		if err != nil {
			return "", err
		}
		if kept == "" {
			// A clean that counts file versions: only what was newest then is
			// certain to be whole.
			kept = tl.AsOf(in.Time).Time
		}
		horizon = max(horizon, kept)
	}
	return horizon, nil
}

// keptBy returns the earliest instant that a clean has kept, or "".
func (t *Table) keptBy(ctx context.Context, clean Instant) (string, error) {
	file := clean
	if file.State != StateCompleted {
		file.State = StateRequested // the plan
	}
	b, err := readObject(ctx, t.store, join(t.base, ".hoodie/"+timelineFile(file)))
	if err != nil {
		return "", err
	}
	if len(b) == 0 {
		return "", nil
	}
	rec, err := decodeAvroBody(b)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", timelineFile(file), err)
	}
	if s, ok := rec["earliestCommitToRetain"].(string); ok {
		return s, nil
	}
	if plan, ok := rec["earliestInstantToRetain"].(map[string]any); ok {
		s, _ := plan["timestamp"].(string)
		return s, nil
	}
	return "", nil
}

// checkHorizon refuses an instant whose rows are not all there any more. Those
// of a savepoint are.
func (t *Table) checkHorizon(ctx context.Context, tl *Timeline, at string) error {
	if slices.Contains(tl.Savepoints(), at) {
		return nil
	}
	oldest := tl.horizon
	if first := tl.Oldest(); at < first.Time && oldest == "" {
		// Older than the active timeline: the table may not have been there yet,
		// or its instants have been archived.
		archived, err := t.archived(ctx)
		if err != nil {
			return err
		}
		if archived {
			oldest = first.Time
		}
	}
	if at < oldest {
		return fault.Human(fmt.Errorf("table %s as of %s: %w", t.base, at, ErrHorizon),
			"the oldest instant that can be read is "+oldest)
	}
	return nil
}

// archived reports whether instants have left the active timeline.
func (t *Table) archived(ctx context.Context) (bool, error) {
	folder := join(t.base, ".hoodie/"+or(t.props[propArchive], "archived")+"/")
	for _, err := range t.store.List(ctx, folder, "") {
		if err != nil {
			return false, fmt.Errorf("list archive of %s: %w", t.base, err)
		}
		return true, nil
	}
	return false, nil
}
