package lake

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"tributary/internal/fault"
	"tributary/lake/blob"
)

// waiting is what other engines have planned for the table and not carried out
// yet: clusterings. The file groups of a plan must stay as they are until it is
// completed or rolled back.
type waiting struct {
	instants []string            // of the plans
	groups   map[groupKey]string // the groups of the plans, and the plan of each
}

// waitingGroups reads the clusterings that wait for another engine.
func (t *Table) waitingGroups(ctx context.Context) (waiting, error) {
	p := waiting{groups: map[groupKey]string{}}
	for _, i := range t.Timeline().Pending() {
		if i.Action != ActionReplaceCommit {
			continue
		}
		plan, err := t.clusteringPlan(ctx, i)
		if err != nil {
			return p, err
		}
		if plan == nil {
			continue
		}
		p.instants = append(p.instants, i.Time)
		inputs, _ := plan["inputGroups"].([]any)
		for _, g := range inputs {
			group, _ := g.(map[string]any)
			slices, _ := group["slices"].([]any)
			for _, s := range slices {
				slice, _ := s.(map[string]any)
				id, _ := slice["fileId"].(string)
				partition, _ := slice["partitionPath"].(string)
				p.groups[groupKey{partition, id}] = i.Time
			}
		}
	}
	return p, nil
}

// clusteringPlan returns the plan of a pending replacecommit that is a clustering
// of another engine, or nil.
func (t *Table) clusteringPlan(ctx context.Context, i Instant) (map[string]any, error) {
	i.State = StateRequested
	b, err := readObject(ctx, t.store, join(t.base, ".hoodie/"+timelineFile(i)))
	if errors.Is(err, blob.ErrNotExist) || err == nil && len(b) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s of %s: %w", timelineFile(i), t.base, err)
	}
	rec, err := t.decodeBody(i, b)
	if err != nil {
		return nil, err
	}
	plan, _ := rec["clusteringPlan"].(map[string]any)
	strategy, _ := plan["strategy"].(map[string]any)
	if plan == nil || strategy["strategyClassName"] == clusterStrategy {
		return nil, nil
	}
	return plan, nil
}

// plansChanged reports whether a plan was completed or taken back. Its instant is
// older than others that are known, so that nothing else shows it.
func (t *Table) plansChanged(ctx context.Context) (bool, error) {
	for _, at := range t.w.waiting.instants {
		there := false
		prefix := join(t.base, ".hoodie/"+at+".")
		for info, err := range t.store.List(ctx, prefix, "") {
			if err != nil {
				return false, fmt.Errorf("list timeline of %s: %w", t.base, err)
			}
			i, ok := parseTimelineFile(at + "." + strings.TrimPrefix(info.Key, prefix))
			if !ok || i.Action != ActionReplaceCommit {
				continue
			}
			if i.State == StateCompleted {
				return true, nil
			}
			there = true
		}
		if !there {
			return true, nil
		}
	}
	return false, nil
}

// frozen reports whether a group is part of a plan.
func (w *writer) frozen(f BaseFile) bool {
	_, ok := w.waiting.groups[groupKey{f.Partition, f.FileID}]
	return ok
}

// checkFrozen refuses a change of groups that are part of a plan: when it is
// carried out, their rows come from the files as they are now.
func (c *change) checkFrozen(plans []*filePlan) error {
	w := c.t.w
	if len(w.waiting.groups) == 0 {
		return nil
	}
	refuse := func(f BaseFile) error {
		at := w.waiting.groups[groupKey{f.Partition, f.FileID}]
		return fault.Humanf("let Spark carry the clustering out (CALL run_clustering(table => '"+c.t.Name()+"', op => 'execute')), "+
			"or roll "+at+" back",
			"table %s: rows of file group %s in partition %q are to be changed, which is to be clustered by another engine's plan %s",
			c.t.base, f.FileID, f.Partition, at)
	}
	for _, p := range plans {
		if p.group >= 0 && w.frozen(w.groups[p.group]) {
			return refuse(w.groups[p.group])
		}
	}
	if c.replace == nil {
		return nil
	}
	for n, g := range w.groups {
		if c.replace.groups[n] && w.frozen(g) {
			return refuse(g)
		}
	}
	return nil
}
