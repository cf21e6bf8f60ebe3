package lake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"tributary/lake/blob"
)

// Retention is how much of the past cleaning keeps readable. What both fields
// ask for is kept; the zero value keeps 24 hours.
type Retention struct {
	Hours   int // the table can be read as of any instant of the last so many hours
	Commits int // and as of each of the newest so many commits
}

const defaultHours = 24

// maxHours, more than a century, stands for any longer retention: the product
// with a long one's nanoseconds would not fit.
const maxHours = 1_000_000

// from returns the oldest instant that stays readable, or "" when there is
// nothing older: an instant of the timeline.
func (r Retention) from(tl *Timeline, now time.Time) string {
	done := tl.Completed()
	if r.Hours <= 0 && r.Commits <= 0 {
		r.Hours = defaultHours
	}
	oldest := latest
	if r.Commits > 0 {
		if len(done) <= r.Commits {
			return ""
		}
		oldest = done[len(done)-r.Commits].Time
	}
	if r.Hours > 0 {
		oldest = min(oldest, tl.AsOf(FormatInstant(now.Add(-time.Duration(min(r.Hours, maxHours))*time.Hour))).Time)
	}
	return oldest
}

// policy is Hudi's name for the retention.
func (r Retention) policy() string {
	if r.Commits > 0 {
		return "KEEP_LATEST_COMMITS"
	}
	return "KEEP_LATEST_BY_HOURS"
}

// Clean removes the base files that no instant needs which keep wants readable,
// and that no savepoint holds. From then on older instants are refused. It
// returns the clean's instant, zero when nothing was to be removed. The plan is
// on the timeline before the first file goes; a clean that was interrupted is
// finished by the next writer, whatever engine that is.
func (t *Table) Clean(ctx context.Context, keep Retention) (Instant, error) {
	if err := t.ready(ctx); err != nil {
		return Instant{}, err
	}
	i, err := t.clean(ctx, keep)
	if err != nil {
		t.w.stale = true
		return Instant{}, fmt.Errorf("clean %s: %w", t.base, err)
	}
	return i, nil
}

func (t *Table) clean(ctx context.Context, keep Retention) (Instant, error) {
	// A savepoint carries the time of an old commit, so that a new one is not
	// noticed otherwise.
	if err := t.Refresh(ctx); err != nil {
		return Instant{}, err
	}
	tl := t.Timeline()
	from := keep.from(tl, t.opt.Now())
	if from == "" || from < tl.horizon {
		return Instant{}, nil
	}
	files, err := t.cleanable(ctx, tl, from)
	if err != nil || len(files) == 0 {
		return Instant{}, err
	}
	plan := t.cleanPlan(tl, from, keep.policy(), files)
	body, err := encodeAvroBody(avroJSON(cleanerPlan), plan)
	if err != nil {
		return Instant{}, err
	}
	i := Instant{Time: t.newInstant(), Action: ActionClean, State: StateRequested}
	err = t.w.lease.during(ctx, func(ctx context.Context) error { return t.putTimeline(ctx, i, body) })
	if err != nil {
		return Instant{}, err
	}
	t.raiseHorizon(from)
	return t.finishClean(ctx, i, plan, body)
}

// cleanable returns the paths of the files to be removed: of each file group
// all but the newest slice, the newest before from, and those at or after from;
// of a group that was replaced before from, all.
func (t *Table) cleanable(ctx context.Context, tl *Timeline, from string) ([]string, error) {
	files, err := listBaseFiles(ctx, t.store, t.base)
	if err != nil {
		return nil, err
	}
	held, err := t.savepointed(ctx, tl)
	if err != nil {
		return nil, err
	}
	replaced, err := t.replacedAt(ctx, tl, tl.before(from))
	if err != nil {
		return nil, err
	}
	committed := tl.committed()
	groups := map[groupKey][]BaseFile{}
	for _, f := range files {
		if committed(f.Instant) {
			k := groupKey{f.Partition, f.FileID}
			groups[k] = append(groups[k], f)
		}
	}
	var out []string
	for k, slices := range groups {
		sort.Slice(slices, func(a, b int) bool { return slices[a].Instant < slices[b].Instant })
		for n, f := range slices {
			// The next slice being older than from means that this one is not the
			// newest before it.
			old := n+1 < len(slices) && slices[n+1].Instant < from
			path := join(f.Partition, fileName(f.Key))
			if (old || replaced[k]) && !held[path] {
				out = append(out, path)
			}
		}
	}
	sort.Strings(out)
	return out, nil
}

func fileName(key string) string { return key[strings.LastIndexByte(key, '/')+1:] }

// before returns the greatest time that is less than at, for comparisons.
func (t *Timeline) before(at string) string {
	newest := ""
	for _, i := range t.all {
		if i.Time < at {
			newest = i.Time
		}
	}
	return newest
}

// cleanPlan is Hudi's plan for removing the files.
func (t *Table) cleanPlan(tl *Timeline, from, policy string, paths []string) map[string]any {
	action := tl.AsOf(from).Action
	partitions, files := t.byPartition(paths)
	byPartition := map[string]any{}
	for _, p := range partitions {
		var list []any
		for _, f := range files[p] {
			list = append(list, map[string]any{"filePath": f, "isBootstrapBaseFile": false})
		}
		byPartition[p] = list
	}
	return map[string]any{
		"earliestInstantToRetain":          map[string]any{"timestamp": from, "action": string(action), "state": string(StateCompleted)},
		"lastCompletedCommitTimestamp":     tl.Newest().Time,
		"policy":                           policy,
		"filesToBeDeletedPerPartition":     map[string]any{},
		"filePathsToBeDeletedPerPartition": byPartition,
		"partitionsToBeDeleted":            []any{},
		"extraMetadata":                    map[string]any{},
		"version":                          2,
	}
}

// planned returns the names of the files that a cleaner's plan removes, by
// partition. Older plans list names, newer ones addresses, which may be those
// of the machine that planned.
func planned(plan map[string]any) map[string][]string {
	out := map[string][]string{}
	names, _ := plan["filesToBeDeletedPerPartition"].(map[string]any)
	for p, list := range names {
		items, _ := list.([]any)
		for _, f := range items {
			if name, ok := f.(string); ok {
				out[p] = append(out[p], fileName(name))
			}
		}
	}
	infos, _ := plan["filePathsToBeDeletedPerPartition"].(map[string]any)
	for p, list := range infos {
		items, _ := list.([]any)
		for _, f := range items {
			info, _ := f.(map[string]any)
			if path, ok := info["filePath"].(string); ok {
				out[p] = append(out[p], fileName(path))
			}
		}
	}
	return out
}

// resumeClean finishes a clean that was begun.
func (t *Table) resumeClean(ctx context.Context, i Instant) error {
	requested := i
	requested.State = StateRequested
	body, err := readObject(ctx, t.store, join(t.base, ".hoodie/"+timelineFile(requested)))
	if err != nil {
		return fmt.Errorf("resume clean %s of %s: %w", i.Time, t.base, err)
	}
	plan, err := t.decodeBody(requested, body)
	if err != nil {
		return fmt.Errorf("resume clean %s of %s: %w", i.Time, t.base, err)
	}
	_, err = t.finishClean(ctx, i, plan, body)
	return err
}

// finishClean removes the files of a plan that is on the timeline.
func (t *Table) finishClean(ctx context.Context, i Instant, plan map[string]any, body []byte) (Instant, error) {
	began := t.opt.Now()
	lease := t.w.lease
	if i.State == StateRequested {
		i.State = StateInflight
		if err := lease.during(ctx, func(ctx context.Context) error { return t.putTimeline(ctx, i, body) }); err != nil {
			return Instant{}, err
		}
	}
	files := planned(plan)
	var paths []string
	for p, names := range files {
		for _, n := range names {
			paths = append(paths, join(p, n))
		}
	}
	sort.Strings(paths)
	if err := t.deleteLeased(ctx, paths); err != nil {
		return Instant{}, err
	}
	policy, _ := plan["policy"].(string)
	last, _ := plan["lastCompletedCommitTimestamp"].(string)
	earliest, _ := plan["earliestInstantToRetain"].(map[string]any)
	from, _ := earliest["timestamp"].(string)
	partitions := map[string]any{}
	for p, names := range files {
		slices.Sort(names)
		partitions[p] = map[string]any{
			"partitionPath": p, "policy": policy, "deletePathPatterns": names, "successDeleteFiles": names,
			"failedDeleteFiles": []any{}, "isPartitionDeleted": false,
		}
	}
	done, err := encodeAvroBody(avroJSON(cleanMetadata), map[string]any{
		"startCleanTime": i.Time, "timeTakenInMillis": t.opt.Now().Sub(began).Milliseconds(), "totalFilesDeleted": len(paths),
		"earliestCommitToRetain": from, "lastCompletedCommitTimestamp": last, "partitionMetadata": partitions,
		"version": 2, "bootstrapPartitionMetadata": map[string]any{}, "extraMetadata": map[string]any{},
	})
	if err != nil {
		return Instant{}, err
	}
	i.State = StateCompleted
	if err := lease.during(ctx, func(ctx context.Context) error { return t.putTimeline(ctx, i, done) }); err != nil {
		return Instant{}, err
	}
	t.remember(i)
	t.opt.Log.Info("cleaned", "table", t.base, "instant", i.Time, "files", len(paths), "oldest_readable", from)
	return i, nil
}

// deleteChunk is how many objects are removed between two looks at the lease.
const deleteChunk = 500

// deleteLeased removes paths of the table, within the lease.
func (t *Table) deleteLeased(ctx context.Context, paths []string) error {
	for chunk := range slices.Chunk(paths, deleteChunk) {
		keys := make([]string, len(chunk))
		for n, p := range chunk {
			keys[n] = join(t.base, p)
		}
		err := t.w.lease.during(ctx, func(ctx context.Context) error { return t.store.Delete(ctx, keys...) })
		if err != nil {
			return err
		}
	}
	return nil
}

// raiseHorizon makes the readers of this table refuse what is about to go.
func (t *Table) raiseHorizon(from string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.timeline = &Timeline{all: t.timeline.all, horizon: max(t.timeline.horizon, from)}
}

// ready makes sure of the lease and of the writer's picture of the table.
func (t *Table) ready(ctx context.Context) error {
	if t.w == nil {
		return t.Lock(ctx)
	}
	return t.sync(ctx)
}

// readTimelineBody reads and decodes the Avro body of an instant in a state.
func (t *Table) readTimelineBody(ctx context.Context, i Instant) (map[string]any, error) {
	b, err := readObject(ctx, t.store, t.timelineKey(i))
	if err != nil {
		return nil, err
	}
	if len(b) == 0 {
		return nil, nil
	}
	return t.decodeBody(i, b)
}

// timelineBytes reads a file of the timeline; one that is not there is nil.
func (t *Table) timelineBytes(ctx context.Context, i Instant) ([]byte, error) {
	b, err := readObject(ctx, t.store, join(t.base, ".hoodie/"+timelineFile(i)))
	if errors.Is(err, blob.ErrNotExist) {
		return nil, nil
	}
	return b, err
}
