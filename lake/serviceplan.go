package lake

import (
	"context"
	"fmt"
	"slices"

	"tributary/internal/fault"
)

// Plan is what a service would do to a table: for a person who is about to ask
// for it. Making one changes nothing and takes no lease; what is done later is
// what is right then.
type Plan struct {
	// First tells what taking the table does before, whatever is asked for.
	First []string
	// Readable is the oldest instant that can be read afterwards, "" when that
	// does not change.
	Readable string
	// Instants are undone (Rollback and Restore, newest first) or archived.
	Instants []Instant
	// Remove are the paths of base files that go, and Bytes is their size.
	Remove []string
	Bytes  int64
	// Merge are the small files that become one, for each new file.
	Merge [][]BaseFile
}

// PlanClean tells what Clean would do.
func (t *Table) PlanClean(ctx context.Context, keep Retention) (Plan, error) {
	first, err := t.prepare(ctx)
	if err != nil {
		return Plan{}, err
	}
	tl := t.Timeline()
	from := keep.from(tl, t.opt.Now())
	if from == "" || from < tl.horizon {
		return Plan{}, nil
	}
	files, err := t.cleanable(ctx, tl, from)
	if err != nil || len(files) == 0 {
		return Plan{}, err
	}
	return t.sized(ctx, Plan{First: first, Readable: from, Remove: files})
}

// CheckWritable refuses a table that is read but not written: no service can do
// anything to it.
func (t *Table) CheckWritable(ctx context.Context) error {
	if err := t.props.checkWritable(t.base); err != nil {
		return err
	}
	if err := t.checkVersions(ctx); err != nil {
		return err
	}
	_, err := t.payload()
	return err
}

// prepare refuses what Lock would refuse, and tells what it would do first.
func (t *Table) prepare(ctx context.Context) (first []string, err error) {
	if err := t.Refresh(ctx); err != nil {
		return nil, err
	}
	if err := t.CheckWritable(ctx); err != nil {
		return nil, err
	}
	for _, i := range t.Timeline().Pending() {
		undo, err := t.mustUndo(ctx, i)
		if err != nil {
			return nil, err
		}
		switch {
		case undo:
			first = append(first, undoneFirst(i))
		case i.Action == ActionClean || i.Action == ActionRollback || i.Action == ActionRestore:
			first = append(first, fmt.Sprintf("first, %s %s, which was begun, is finished", i.Action, i.Time))
		}
	}
	if t.props[propMetadata] != "" || t.props[propMetadataInflight] != "" {
		first = append(first, "first, the metadata table of another engine is removed")
	}
	return first, nil
}

func undoneFirst(i Instant) string {
	return fmt.Sprintf("first, %s %s, which was not completed, is rolled back", i.Action, i.Time)
}

// count writes a number of things, of which what names one.
func count[N int | int64](n N, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// are is count with the verb.
func are(n int, what string) string {
	if n == 1 {
		return count(n, what) + " is"
	}
	return count(n, what) + " are"
}

// sized fills in the bytes of what is removed.
func (t *Table) sized(ctx context.Context, p Plan) (Plan, error) {
	files, err := listBaseFiles(ctx, t.store, t.base)
	if err != nil {
		return Plan{}, err
	}
	gone := map[string]bool{}
	for _, path := range p.Remove {
		gone[join(t.base, path)] = true
	}
	for _, f := range files {
		if gone[f.Key] {
			p.Bytes += f.Size
		}
	}
	return p, nil
}

// PlanArchive tells what Archive would do.
func (t *Table) PlanArchive(ctx context.Context, least, most int) (Plan, error) {
	first, err := t.prepare(ctx)
	if err != nil {
		return Plan{}, err
	}
	cut, err := t.archivable(ctx, t.Timeline(), least, most)
	return Plan{First: first, Instants: t.Timeline().archivedBefore(cut)}, err
}

// PlanRollback tells what Rollback would do, or why it would not.
func (t *Table) PlanRollback(ctx context.Context, instant string) (Plan, error) {
	first, err := t.prepare(ctx)
	if err != nil {
		return Plan{}, err
	}
	i, err := t.rollbackTarget(ctx, instant)
	if err != nil {
		return Plan{}, err
	}
	files, err := t.filesOf(ctx, i.Time)
	if err != nil {
		return Plan{}, err
	}
	first = slices.DeleteFunc(first, func(line string) bool { return line == undoneFirst(i) })
	return t.sized(ctx, Plan{First: first, Instants: []Instant{i}, Remove: files})
}

// rollbackTarget is the instant that can be rolled back under that time.
func (t *Table) rollbackTarget(ctx context.Context, instant string) (Instant, error) {
	tl := t.Timeline()
	for _, i := range tl.Pending() {
		if i.Time == instant && i.Action.writesData() {
			return i, nil
		}
	}
	newest := tl.Newest()
	switch {
	case newest.Time != instant || newest.IsZero():
		return Instant{}, fault.Humanf("roll back the newest commit, or restore to a savepoint", "table %s: %s is not the newest commit, which is %s", t.base, instant, newest.Time)
	case slices.Contains(tl.Savepoints(), instant):
		return Instant{}, fault.Humanf("drop the savepoint first", "table %s: %s is savepointed", t.base, instant)
	case instant <= tl.Horizon(): // what would be the newest could not be read
		return Instant{}, fault.Humanf("restore to a savepoint", "table %s: the files that %s replaced are cleaned", t.base, instant)
	case len(tl.Completed()) < 2:
		if gone, err := t.archived(ctx); err != nil || gone {
			return Instant{}, fault.Humanf("keep more commits on the timeline", "table %s: the commit before %s is archived", t.base, instant)
		}
	}
	return newest, nil
}

// PlanRestore tells what Restore would do, or why it would not.
func (t *Table) PlanRestore(ctx context.Context, savepoint string) (Plan, error) {
	first, err := t.prepare(ctx)
	if err != nil {
		return Plan{}, err
	}
	undo, err := t.restoreTargets(savepoint)
	if err != nil || len(undo) == 0 {
		return Plan{}, err
	}
	p := Plan{First: first, Instants: undo}
	files, err := listBaseFiles(ctx, t.store, t.base)
	if err != nil {
		return Plan{}, err
	}
	for _, f := range files {
		if slices.ContainsFunc(undo, func(i Instant) bool { return i.Time == f.Instant }) {
			p.Remove, p.Bytes = append(p.Remove, join(f.Partition, fileName(f.Key))), p.Bytes+f.Size
		}
	}
	return p, nil
}

// restoreTargets are the commits that a restore undoes, newest first.
func (t *Table) restoreTargets(savepoint string) ([]Instant, error) {
	tl := t.Timeline()
	pins := tl.Savepoints()
	switch {
	case !slices.Contains(pins, savepoint):
		return nil, fault.Humanf("list the savepoints that there are", "table %s has no savepoint %s", t.base, savepoint)
	case pins[len(pins)-1] != savepoint:
		return nil, fault.Humanf("drop the later savepoints first", "table %s has a savepoint after %s: %s", t.base, savepoint, pins[len(pins)-1])
	}
	var undo []Instant
	done := tl.Completed()
	for n := len(done) - 1; n >= 0 && done[n].Time > savepoint; n-- {
		undo = append(undo, done[n])
	}
	return undo, nil
}

// PlanCluster tells what Cluster would do.
func (t *Table) PlanCluster(ctx context.Context, o Clustering) (Plan, error) {
	first, err := t.prepare(ctx)
	if err != nil {
		return Plan{}, err
	}
	s, err := t.AsOf(ctx, "")
	if err != nil {
		return Plan{}, err
	}
	held, err := t.waitingGroups(ctx)
	if err != nil {
		return Plan{}, err
	}
	o = o.withDefaults(&t.opt)
	byPartition := map[string][]BaseFile{}
	var partitions []string
	for _, f := range s.files {
		if _, waits := held.groups[groupKey{f.Partition, f.FileID}]; waits {
			continue
		}
		if byPartition[f.Partition] == nil {
			partitions = append(partitions, f.Partition)
		}
		byPartition[f.Partition] = append(byPartition[f.Partition], f)
	}
	slices.Sort(partitions)
	p := Plan{First: first}
	for _, name := range partitions {
		for _, bundle := range bundles(byPartition[name], o, &t.opt) {
			p.Merge = append(p.Merge, bundle)
			for _, f := range bundle {
				p.Bytes += f.Size
			}
		}
	}
	return p, nil
}

// Describe returns lines that tell the plan to a person; list adds the names of
// files and instants.
func (p Plan) Describe(list bool) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if len(p.Instants) > 0 {
		say("%s, %s to %s", count(len(p.Instants), "instant"), p.Instants[0].Time, p.Instants[len(p.Instants)-1].Time)
		for _, i := range p.Instants {
			if list {
				say("  %s.%s", i.Time, i.Action)
			}
		}
	}
	if len(p.Remove) > 0 {
		say("%s removed, %s", are(len(p.Remove), "base file"), count(p.Bytes, "byte"))
		for _, path := range p.Remove {
			if list {
				say("  %s", path)
			}
		}
	}
	if p.Readable != "" {
		say("the oldest instant that can be read is then %s", p.Readable)
	}
	if len(p.Merge) > 0 {
		files := 0
		for _, b := range p.Merge {
			files += len(b)
		}
		say("%s become %d, %s are written anew", count(files, "small file"), len(p.Merge), count(p.Bytes, "byte"))
		for _, b := range p.Merge {
			if list {
				say("  %d files of partition %q", len(b), b[0].Partition)
			}
		}
	}
	if len(out) == 0 {
		return []string{"nothing to do"}
	}
	return append(slices.Clone(p.First), out...)
}
