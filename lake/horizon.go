package lake

import (
	"context"
	"fmt"

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
		file.State, file.Done = StateRequested, "" // the plan
	}
	b, err := readObject(ctx, t.store, t.timelineKey(file))
	if err != nil {
		return "", err
	}
	if len(b) == 0 {
		return "", nil
	}
	rec, err := t.decodeBody(file, b)
	if err != nil {
		return "", err
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
// of a savepoint are. tl is what timelineAt returned.
func (t *Table) checkHorizon(tl *Timeline, at string) error {
	if at >= tl.horizon || tl.savepointed(at) {
		return nil
	}
	return fault.Human(fmt.Errorf("table %s as of %s: %w", t.base, at, ErrHorizon),
		"the oldest instant that can be read is "+tl.horizon)
}
