package lake

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"tributary/internal/column"
	"tributary/internal/fault"
	"tributary/lake/blob"
)

// Snapshot is a table as of an instant. It does not change, and can be read
// until cleaning removes its files.
type Snapshot struct {
	store   blob.Store
	instant Instant
	schema  Schema
	files   []BaseFile

	at        string
	props     properties
	renames   *renames
	pathNames []string // columns that the files lack: their values are in the paths

	// For a merge-on-read table: the files with their logs.
	slices    []fileSlice
	committed func(instant string) bool

	since string  // only rows that were written after this instant
	key   *string // only rows with this record key

	table    *Table
	timeline *Timeline // that the snapshot was taken by
	replaced map[groupKey]bool
}

// AsOf returns the table as it was at the instant, in the form that ParseInstant
// returns; "" means now, as of the last Refresh. It needs not equal an instant of
// the timeline. Before the first commit the table is empty. An instant older
// than what cleaning has kept is refused with ErrHorizon, an error that needs a
// human and whose hint names the oldest instant that can be read.
func (t *Table) AsOf(ctx context.Context, instant string) (*Snapshot, error) {
	tl := t.Timeline()
	at := instant
	if at == "" {
		at = latest
	} else {
		var err error
		if tl, err = t.timelineAt(ctx, tl, at); err != nil {
			return nil, err
		}
		if err := t.checkHorizon(tl, at); err != nil {
			return nil, err
		}
	}
	found, err := t.list(ctx)
	if err != nil {
		return nil, err
	}
	s, err := t.snapshotAt(ctx, tl, found, at)
	if err == nil {
		err = t.checkMissing(tl, s)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// States returns the table at every completed instant of the active timeline that
// can be read, oldest first, for the price of one listing.
func (t *Table) States(ctx context.Context) ([]*Snapshot, error) {
	tl := t.Timeline()
	found, err := t.list(ctx)
	if err != nil {
		return nil, err
	}
	var out []*Snapshot
	for _, i := range tl.Completed() {
		if t.checkHorizon(tl, i.Time) != nil {
			continue
		}
		s, err := t.snapshotAt(ctx, tl, found, i.Time)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	if len(out) > 0 {
		if err := t.checkMissing(tl, out[len(out)-1]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// listing is the table's files, committed or not.
type listing struct {
	bases []BaseFile
	logs  []LogFile
}

func (t *Table) list(ctx context.Context) (listing, error) {
	var l listing
	var err error
	if l.bases, err = listBaseFiles(ctx, t.store, t.base); err != nil {
		return l, fmt.Errorf("list files of %s: %w", t.base, err)
	}
	if t.props.mergeOnRead() {
		if l.logs, err = listLogFiles(ctx, t.store, t.base); err != nil {
			return l, fmt.Errorf("list logs of %s: %w", t.base, err)
		}
	}
	return l, nil
}

// snapshotAt picks the files that count as of an instant.
func (t *Table) snapshotAt(ctx context.Context, tl *Timeline, found listing, at string) (*Snapshot, error) {
	schema, err := t.schemaAt(ctx, tl, at)
	if err != nil {
		return nil, fmt.Errorf("read schema of %s: %w", t.base, err)
	}
	replaced, err := t.replacedAt(ctx, tl, at)
	if err != nil {
		return nil, err
	}
	s := &Snapshot{table: t, timeline: tl, at: at, store: t.store, instant: tl.AsOf(at), files: latestSlices(found.bases, tl, at, replaced)}
	s.replaced = replaced
	s.props, s.pathNames = t.props, t.props.pathColumns()
	if len(schema.Fields) == 0 && len(s.files) > 0 {
		// Neither commits nor properties tell the columns: the newest file does.
		if schema, err = t.schemaOfFile(ctx, s.files); err != nil {
			return nil, fmt.Errorf("read schema of %s: %w", t.base, err)
		}
	}
	s.schema = schema.withPathColumns(s.pathNames)
	if s.renames, err = t.renamesAt(ctx, tl, at); err != nil {
		return nil, fmt.Errorf("read schema of %s: %w", t.base, err)
	}
	if err := t.countRows(ctx, tl, s.files); err != nil {
		return nil, err
	}
	if t.props.mergeOnRead() {
		var done func(string) string
		if t.props.later() {
			done = tl.completion()
		}
		logs, err := t.logsUpTo(ctx, tl, found.logs, at)
		if err != nil {
			return nil, err
		}
		s.slices = logSlices(s.files, logs, at, replaced, done)
		s.committed = tl.committed()
	}
	return s, nil
}

// ReadOptimized returns the rows of the base files alone: of a merge-on-read
// table the state of the last compaction of each file group, and quicker to read.
// Of a copy-on-write table it is the snapshot itself.
func (s *Snapshot) ReadOptimized() *Snapshot {
	out := *s
	out.slices = nil
	return &out
}

// Logs returns the log files whose changes Scan puts over the base files; none
// for a copy-on-write table.
func (s *Snapshot) Logs() []LogFile {
	var out []LogFile
	for i := range s.slices {
		out = append(out, s.slices[i].logs...)
	}
	return out
}

// Plain reports whether the base files alone hold the snapshot's rows, so that
// any reader of Parquet can read them: there are no logs to be merged, no columns
// whose values are in the paths, and none that had another name.
func (s *Snapshot) Plain() bool {
	for _, f := range s.files {
		if !s.renames.same(f.Instant, s.schema.Fields) {
			return false
		}
	}
	return len(s.pathNames) == 0 && len(s.Logs()) == 0
}

// replacedAt returns the file groups that completed replacecommits have replaced.
func (t *Table) replacedAt(ctx context.Context, tl *Timeline, at string) (map[groupKey]bool, error) {
	out := map[groupKey]bool{}
	for _, i := range tl.Completed() {
		if i.Action != ActionReplaceCommit || i.Time > at {
			continue
		}
		c, err := t.Commit(ctx, i)
		if err != nil {
			return nil, err
		}
		for partition, ids := range c.Replaced {
			for _, id := range ids {
				out[groupKey{partition, id}] = true
			}
		}
	}
	return out, nil
}

// countRows fills in the files' rows from the commits that wrote them.
func (t *Table) countRows(ctx context.Context, tl *Timeline, files []BaseFile) error {
	byTime := map[string]Instant{}
	for _, i := range tl.Completed() {
		byTime[i.Time] = i
	}
	for n := range files {
		f := &files[n]
		i, ok := byTime[f.Instant]
		if !ok {
			continue
		}
		c, err := t.Commit(ctx, i)
		if err != nil {
			return err
		}
		for _, s := range c.Stats[f.Partition] {
			if s.FileID == f.FileID {
				f.Rows = s.NumWrites
			}
		}
	}
	return nil
}

// Instant returns the newest completed instant that the snapshot includes; zero
// if it is from before the first.
func (s *Snapshot) Instant() Instant { return s.instant }

// Schema returns the columns as of the snapshot, without Hudi's five own ones,
// which every base file has first.
func (s *Snapshot) Schema() Schema { return s.schema }

// Files returns the base files whose rows make up the snapshot, by ascending
// key. Files older than the schema may lack its newest columns (null then) and
// have narrower types. The slice is shared: do not change it.
func (s *Snapshot) Files() []BaseFile { return s.files }

// Rows returns the number of rows, or -1 if some file's is not known, or logs are
// to be merged.
func (s *Snapshot) Rows() int64 {
	var n int64
	for i := range s.slices {
		if len(s.slices[i].logs) > 0 {
			return -1
		}
	}
	for _, f := range s.files {
		if f.Rows < 0 {
			return -1
		}
		n += f.Rows
	}
	return n
}

// Scan yields the snapshot's rows in batches, with the named columns in that
// order; nil means all of Schema. Hudi's own columns may be named too. Values of
// nested types come as JSON text, see basefile.AppendJSON. A batch is valid until
// the next. After an error the iteration ends.
func (s *Snapshot) Scan(ctx context.Context, columns []string) iter.Seq2[*column.Batch, error] {
	return func(yield func(*column.Batch, error) bool) {
		fields, err := s.fields(columns)
		if err != nil {
			yield(nil, err)
			return
		}
		if s.since != "" || s.key != nil {
			fields, yield = s.chosen(fields, yield)
		}
		s.scan(ctx, fields, yield)
	}
}

// scan yields the rows of every file.
func (s *Snapshot) scan(ctx context.Context, fields []Field, yield func(*column.Batch, error) bool) {
	batch := Schema{Fields: fields}.NewBatch()
	if s.slices == nil {
		for _, f := range s.files {
			if !s.scanFile(ctx, f, fields, batch, yield) {
				return
			}
		}
		return
	}
	for _, sl := range s.slices {
		if len(sl.logs) == 0 && !s.scanFile(ctx, sl.base, fields, batch, yield) ||
			len(sl.logs) > 0 && !s.scanSlice(ctx, sl, fields, batch, yield) {
			return
		}
	}
}

// fields finds the named columns.
func (s *Snapshot) fields(names []string) ([]Field, error) {
	fields := s.schema.Fields
	if names != nil {
		fields = make([]Field, len(names))
		for i, n := range names {
			switch at := s.schema.Index(n); {
			case at >= 0:
				fields[i] = s.schema.Fields[at]
			case isMeta(n):
				fields[i] = Field{Name: n, Type: Simple(String), Nullable: true}
			default:
				return nil, fault.Humanf("see the table's schema for its columns", "no column %s as of %s", n, s.instant.Time)
			}
		}
	}
	return fields, nil
}

// scanFile yields a file's row groups; it reports whether to go on.
func (s *Snapshot) scanFile(ctx context.Context, f BaseFile, fields []Field, batch *column.Batch, yield func(*column.Batch, error) bool) bool {
	o, err := s.store.Open(ctx, f.Key)
	if err != nil {
		return yield(nil, fmt.Errorf("read %s: %w", f.Key, err)) && false
	}
	defer o.Close()
	w := &watched{Object: o}
	file, err := w.open()
	if err != nil {
		return yield(nil, fmt.Errorf("read %s: %w", f.Key, err)) && false
	}
	stored := s.renames.fieldsAt(f.Instant, fields)
	for g := range file.Groups() {
		if err := ctx.Err(); err != nil {
			return yield(nil, err) && false
		}
		batch.Reset()
		for i := range fields {
			if slices.Contains(s.pathNames, fields[i].Name) && file.Index(fields[i].Name) < 0 {
				s.appendPath(&batch.Cols[i], fields[i], f.Partition, file.GroupRows(g))
				continue
			}
			if err := w.explain(file.Read(g, stored[i].column(), &batch.Cols[i])); err != nil {
				return yield(nil, fmt.Errorf("read %s: %w", f.Key, err)) && false
			}
		}
		batch.Len = file.GroupRows(g)
		if !yield(batch, nil) {
			return false
		}
	}
	return true
}
