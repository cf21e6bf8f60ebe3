package lake

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"tributary/internal/column"
	"tributary/lake/basefile"
)

// replacement is what a commit does that takes file groups out of the table.
type replacement struct {
	groups map[int]bool   // by number
	plan   map[string]any // of a clustering; nil else
}

// InsertOverwrite replaces what the rows' partitions hold, or the whole table,
// by the rows, in one commit. Deletes among the rows only cancel rows before
// them. A row whose key is in another partition leaves that. Time travel still
// finds what was replaced, until cleaning.
func (t *Table) InsertOverwrite(ctx context.Context, rows Rows, wholeTable bool, extra map[string]string) (Instant, error) {
	if err := t.ready(ctx); err != nil {
		return Instant{}, err
	}
	operation := "INSERT_OVERWRITE"
	if wholeTable {
		operation = "INSERT_OVERWRITE_TABLE"
	}
	c, err := t.newChange(rows, operation, nil)
	if err != nil {
		return Instant{}, err
	}
	c.replace = &replacement{groups: map[int]bool{}}
	if wholeTable {
		for n, g := range t.w.groups {
			c.replace.groups[n] = g.Key != ""
		}
	} else if err := c.replacePartitions(); err != nil {
		return Instant{}, err
	}
	if err := c.plan(ctx); err != nil {
		return Instant{}, err
	}
	return c.write(ctx, extra)
}

// replacePartitions marks the groups of the partitions that the rows go to.
func (c *change) replacePartitions() error {
	for g := range c.merge.Groups() {
		path, err := c.partitionOf(nil, g)
		if err != nil {
			return fmt.Errorf("table %s: %w", c.t.base, err)
		}
		for _, n := range c.t.w.partitions[string(path)] {
			c.replace.groups[n] = true
		}
	}
	return nil
}

// DeletePartitions empties partitions, named by their folders, in one commit.
// When none of them has a row, there is no commit, and the newest instant is
// returned.
func (t *Table) DeletePartitions(ctx context.Context, partitions []string, extra map[string]string) (Instant, error) {
	if err := t.ready(ctx); err != nil {
		return Instant{}, err
	}
	c, err := t.newChange(Rows{Batch: t.Schema().NewBatch()}, "DELETE_PARTITION", nil)
	if err != nil {
		return Instant{}, err
	}
	c.replace = &replacement{groups: map[int]bool{}}
	for _, p := range partitions {
		for _, n := range t.w.partitions[p] {
			c.replace.groups[n] = true
		}
	}
	if len(c.replace.groups) == 0 {
		return t.w.head, nil
	}
	return c.write(ctx, extra)
}

// Clustering is which files Table.Cluster merges. The zero value is good.
type Clustering struct {
	SmallFile int64 // bytes below which a file is small; default: half of Options.MaxFileBytes
	MinFiles  int   // small files of a partition that are worth it; default 4
}

// Cluster merges small files of each partition into larger ones, in one commit
// that changes no row: each keeps the instant that wrote it. It returns the zero
// instant when there was nothing to merge.
func (t *Table) Cluster(ctx context.Context, o Clustering) (Instant, error) {
	if err := t.ready(ctx); err != nil {
		return Instant{}, err
	}
	i, err := t.cluster(ctx, o)
	if err != nil {
		t.w.stale = true
		return Instant{}, fmt.Errorf("cluster %s: %w", t.base, err)
	}
	return i, nil
}

func (t *Table) cluster(ctx context.Context, o Clustering) (Instant, error) {
	o = o.withDefaults(&t.opt)
	c, err := t.newChange(Rows{Batch: t.Schema().NewBatch()}, "CLUSTER", nil)
	if err != nil {
		return Instant{}, err
	}
	c.replace = &replacement{groups: map[int]bool{}}
	var inputs []any
	for _, p := range slices.Sorted(maps.Keys(t.w.partitions)) {
		var files []BaseFile
		numbers := map[string]int{}
		for _, n := range slices.Sorted(slices.Values(t.w.partitions[p])) {
			if f := t.w.groups[n]; !t.w.frozen(f) {
				files, numbers[f.FileID] = append(files, f), n
			}
		}
		for _, bundle := range bundles(files, o, &t.opt) {
			id, err := newFileID()
			if err != nil {
				return Instant{}, err
			}
			plan := &filePlan{group: -1, base: BaseFile{FileID: id, Partition: p}}
			var slices []any
			for _, f := range bundle {
				c.replace.groups[numbers[f.FileID]] = true
				plan.sources = append(plan.sources, f)
				slices = append(slices, map[string]any{
					"dataFilePath": t.url(join(p, fileName(f.Key))), "deltaFilePaths": []any{}, "fileId": f.FileID,
					"partitionPath": p, "bootstrapFilePath": "", "version": 1,
				})
			}
			c.bundled = append(c.bundled, plan)
			inputs = append(inputs, map[string]any{"slices": slices, "numOutputFileGroups": 1, "version": 1})
		}
	}
	if len(inputs) == 0 {
		return Instant{}, nil
	}
	c.replace.plan = map[string]any{
		"inputGroups": inputs, "preserveHoodieMetadata": true, "version": 1,
		"strategy": map[string]any{"strategyClassName": clusterStrategy, "strategyParams": map[string]any{}, "version": 1},
	}
	extra := map[string]string{}
	if !t.w.head.IsZero() { // the caller's cursor stays in the newest commit
		head, err := t.Commit(ctx, t.w.head)
		if err != nil {
			return Instant{}, err
		}
		maps.Copy(extra, head.Extra)
	}
	return c.write(ctx, extra)
}

// clusterStrategy marks a clustering as this package's: nobody else carries it
// out, and a pending one can be rolled back.
const clusterStrategy = "tributary"

func (o Clustering) withDefaults(t *Options) Clustering {
	if o.SmallFile <= 0 {
		o.SmallFile = t.MaxFileBytes / 2
	}
	if o.MinFiles < 2 {
		o.MinFiles = 4
	}
	return o
}

// bundles returns those of a partition's files that are to become one, each time.
func bundles(files []BaseFile, o Clustering, t *Options) [][]BaseFile {
	var small []BaseFile
	for _, f := range files {
		if f.Size < o.SmallFile && (t.MaxFileRows <= 0 || float64(f.Rows) < roomShare*float64(t.MaxFileRows)) {
			small = append(small, f)
		}
	}
	if len(small) < o.MinFiles {
		return nil
	}
	var out [][]BaseFile
	var open []BaseFile
	rows, limit := 0, 0
	for _, f := range small {
		if len(open) > 0 && rows+int(f.Rows) > limit {
			out, open, rows = append(out, open), nil, 0
		}
		if len(open) == 0 {
			limit = t.rowLimit(float64(f.Size) / float64(max(f.Rows, 1)))
		}
		open, rows = append(open, f), rows+int(f.Rows)
	}
	out = append(out, open)
	return slices.DeleteFunc(out, func(b []BaseFile) bool { return len(b) < 2 })
}

// replacedIDs returns the groups that the commit replaces, as it tells.
func (c *change) replacedIDs() map[string][]string {
	out := map[string][]string{}
	for n := range c.t.w.groups {
		if g := c.t.w.groups[n]; c.replace.groups[n] {
			out[g.Partition] = append(out[g.Partition], g.FileID)
		}
	}
	return out
}

// requested is the body of the replacecommit's first state.
func (c *change) requested() ([]byte, error) {
	rec := map[string]any{"operationType": c.operation, "version": 1}
	if c.replace.plan != nil {
		rec["clusteringPlan"] = c.replace.plan
	}
	return encodeAvroBody(avroJSON(requestedReplace), rec)
}

// adoptReplaced takes the replaced groups out of the writer's picture.
func (t *Table) adoptReplaced(r *replacement) {
	w := t.w
	for n, gone := range r.groups {
		if !gone {
			continue
		}
		p := w.groups[n].Partition
		w.partitions[p] = slices.DeleteFunc(w.partitions[p], func(x int) bool { return x == n })
		w.groups[n] = BaseFile{}
	}
}

// bundle writes the rows of several files, re-encoded in full row groups. Of
// Hudi's own columns only the file's name changes.
func (f *fileWriter) bundle(ctx context.Context) error {
	type piece struct {
		file  *openedFile
		group int
	}
	var pieces []piece
	rows := 0
	flush := func() error {
		if rows == 0 {
			return nil
		}
		chunks := make([]*basefile.Chunk, len(f.columns))
		err := f.sideBySide(len(f.columns), func(i int, w *columnWorker) (err error) {
			if i == metaFileName {
				chunks[i], err = w.enc.Constant(f.columns[i], f.name, rows)
				return err
			}
			w.out.Reset()
			w.out.Kind = column.Bytes
			if i >= metaColumns {
				w.out.Kind = f.c.schema.Fields[i-metaColumns].Type.Column()
			}
			for _, p := range pieces {
				if err := p.file.Read(p.group, f.columns[i], &w.out); err != nil {
					return err
				}
			}
			chunks[i], err = w.enc.Encode(f.columns[i], &w.out)
			return err
		})
		if err != nil {
			return err
		}
		pieces, rows = nil, 0
		return f.out.Append(chunks)
	}
	for _, s := range f.plan.sources {
		file, done, err := f.c.t.openFile(ctx, s.Key)
		if err != nil {
			return err
		}
		defer done()
		f.opened = append(f.opened, file)
		for g := range file.Groups() {
			if err := ctx.Err(); err != nil {
				return err
			}
			if rows > 0 && rows+file.GroupRows(g) > groupRows {
				if err := flush(); err != nil {
					return err
				}
			}
			pieces, rows = append(pieces, piece{file, g}), rows+file.GroupRows(g)
		}
	}
	if err := flush(); err != nil {
		return err
	}
	keys := keyRange{bloom: basefile.NewBloom(int(f.out.Rows()))}
	for _, file := range f.opened {
		if err := addKeys(&keys, file); err != nil {
			return err
		}
	}
	f.keys = &keys
	return nil
}

// addKeys adds every key of a file.
func addKeys(keys *keyRange, file *openedFile) error {
	col := column.Column{Kind: column.Bytes}
	for g := range file.Groups() {
		col.Reset()
		if err := file.Read(g, metaColumn(metaRecordKey), &col); err != nil {
			return err
		}
		for r := range col.Len() {
			keys.add(col.Value(r))
		}
	}
	return nil
}
