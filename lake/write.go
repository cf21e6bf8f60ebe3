package lake

import (
	"context"
	"io"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"

	"tributary/internal/column"
	"tributary/lake/basefile"
	"tributary/lake/merge"
)

// groupRows is the most rows in a row group. A row group without a change is
// taken over as bytes; a smaller one is more often such.
const groupRows = 20_000

// fileWriter writes the new slice of one file group.
type fileWriter struct {
	c       *change
	plan    *filePlan
	old     *openedFile // nil for a new group
	instant string
	task    int // the file's number in the commit
	name    string
	columns []basefile.Column // Hudi's own, then the table's
	out     *basefile.Writer
	seq     int           // rows numbered so far
	opened  []*openedFile // the sources of a clustering
	keys    *keyRange     // of a file whose keys are known by now
}

func (c *change) newFileWriter(p *filePlan, instant string, task int) *fileWriter {
	f := &fileWriter{c: c, plan: p, instant: instant, task: task}
	f.name = p.fileName(instant, task)
	for i := range metaNames {
		f.columns = append(f.columns, metaColumn(i))
	}
	for _, field := range c.schema.Fields {
		f.columns = append(f.columns, field.column())
	}
	return f
}

// writeFile writes a plan's file to out and notes its rows in the plan.
func (c *change) writeFile(ctx context.Context, p *filePlan, instant string, task int, out io.Writer) error {
	f := c.newFileWriter(p, instant, task)
	if p.group >= 0 {
		old, done, err := c.t.openFile(ctx, p.base.Key)
		if err != nil {
			return err
		}
		defer done()
		f.old = old
	}
	var err error
	if f.out, err = basefile.NewWriter(out, c.schema.recordName(), f.columns); err != nil {
		return err
	}
	var filter sync.WaitGroup
	switch {
	case p.sources != nil:
		err = f.bundle(ctx)
	case f.old == nil:
		// The filter of a new file takes as long as several columns.
		f.keys = &keyRange{bloom: basefile.NewBloom(len(p.inserts))}
		filter.Go(func() { f.addInserts(f.keys) })
		err = f.groups(ctx)
	default:
		err = f.groups(ctx)
	}
	filter.Wait()
	if err != nil {
		return err
	}
	pairs, err := f.footer()
	if err != nil {
		return err
	}
	if _, err := f.out.Close(pairs); err != nil {
		return err
	}
	p.base.Rows = f.out.Rows()
	return nil
}

func (s Schema) recordName() string {
	if s.Namespace == "" {
		return s.Name
	}
	return s.Namespace + "." + s.Name
}

func (p *filePlan) fileName(instant string, task int) string {
	return p.base.FileID + "_" + strconv.Itoa(task) + "-0-0_" + instant + ".parquet"
}

// groups writes the old file's row groups, changed, and then the inserts.
func (f *fileWriter) groups(ctx context.Context) error {
	inserts := f.plan.inserts
	if f.old != nil {
		last := f.old.Groups() - 1
		for g := range f.old.Groups() {
			if err := ctx.Err(); err != nil {
				return err
			}
			var changes []merge.Change
			if g < len(f.plan.changes) {
				changes = f.plan.changes[g]
			}
			var take []int32
			if room := groupRows - f.old.GroupRows(g) + removals(changes); g == last && room > 0 {
				n := min(room, len(inserts))
				take, inserts = inserts[:n], inserts[n:]
			}
			if err := f.group(g, changes, take); err != nil {
				return err
			}
		}
	}
	for len(inserts) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(groupRows, len(inserts))
		if err := f.group(-1, nil, inserts[:n]); err != nil {
			return err
		}
		inserts = inserts[n:]
	}
	return nil
}

func removals(changes []merge.Change) int {
	n := 0
	for _, ch := range changes {
		if ch.Remove {
			n++
		}
	}
	return n
}

// rowGroup is one row group in the making.
type rowGroup struct {
	old     int // its number in the old file; -1 for a new one
	rows    int // rows it will have
	gone    int // changes that remove a row
	changes []merge.Change
	inserts []int32
	seq     int // number of its first new row
}

// group writes a row group, its columns side by side.
func (f *fileWriter) group(old int, changes []merge.Change, inserts []int32) error {
	g := &rowGroup{old: old, changes: changes, inserts: inserts, seq: f.seq, rows: len(inserts), gone: removals(changes)}
	f.seq += len(changes) - g.gone + len(inserts)
	if old >= 0 {
		g.rows += f.old.GroupRows(old) - g.gone
	}
	if g.rows == 0 {
		return nil
	}
	chunks := make([]*basefile.Chunk, len(f.columns))
	err := f.sideBySide(len(f.columns), func(i int, w *columnWorker) (err error) {
		chunks[i], err = f.column(g, i, w)
		return err
	})
	if err != nil {
		return err
	}
	return f.out.Append(chunks)
}

// sideBySide does n pieces of work, as many at once as there are workers.
func (f *fileWriter) sideBySide(n int, do func(i int, w *columnWorker) error) error {
	next := make(chan int, n)
	for i := range n {
		next <- i
	}
	close(next)
	var workers errgroup.Group
	for _, w := range f.c.t.w.workers {
		workers.Go(func() error {
			for i := range next {
				if err := do(i, w); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return workers.Wait()
}

// columnWorker makes chunks. It keeps its memory from one to the next.
type columnWorker struct {
	enc         *basefile.Encoder
	stored, out column.Column
	rows        []int32 // of the batch
}

// column makes the chunk of column i of a row group. One that the changes leave as it is
// is taken over as bytes.
func (f *fileWriter) column(g *rowGroup, i int, w *columnWorker) (*basefile.Chunk, error) {
	col := f.columns[i]
	if i != metaFileName && g.old >= 0 && len(g.changes) == 0 && len(g.inserts) == 0 {
		if at, ok := f.old.Fits(col); ok {
			return f.old.Chunk(g.old, at)
		}
	}
	if i == metaFileName {
		return w.enc.Constant(col, f.name, g.rows)
	}
	w.out.Reset()
	w.out.Kind = column.Bytes
	if i >= metaColumns {
		w.out.Kind = f.c.schema.Fields[i-metaColumns].Type.Column()
	}
	w.stored.Reset()
	w.stored.Kind = w.out.Kind
	if g.old >= 0 {
		at, fits := f.old.Fits(col)
		fits = fits && len(g.inserts) == 0 && g.gone == 0
		if fits && (i == metaRecordKey || i == metaPartition) {
			return f.old.Chunk(g.old, at)
		}
		if err := f.old.Read(g.old, col, &w.stored); err != nil {
			return nil, err
		}
		if fits && i >= metaColumns && f.same(g, i-metaColumns, &w.stored) {
			return f.old.Chunk(g.old, at)
		}
	}
	if i < metaColumns {
		f.meta(g, i, w)
	} else {
		f.values(g, i-metaColumns, w)
	}
	return w.enc.Encode(col, &w.out)
}

// same reports whether the changes of a row group, updates alone, leave a column of
// the table as it is stored.
func (f *fileWriter) same(g *rowGroup, n int, stored *column.Column) bool {
	for _, ch := range g.changes {
		if !f.c.merge.Equal(int(ch.Group), n, stored, int(ch.Row), &f.c.batch.Cols[n]) {
			return false
		}
	}
	return true
}

// values fills in a column of the table.
func (f *fileWriter) values(g *rowGroup, n int, w *columnWorker) {
	batch := &f.c.batch.Cols[n]
	f.c.merge.Splice(&w.out, &w.stored, batch, n, g.changes)
	rows := w.rows[:0]
	for _, k := range g.inserts {
		if k < 0 {
			merge.AppendRows(&w.out, batch, rows)
			rows = rows[:0]
			w.out.Append(&f.c.moved.Cols[n], int(^k))
			continue
		}
		e, _ := f.c.merge.Cell(int(k), n)
		rows = append(rows, int32(e))
	}
	merge.AppendRows(&w.out, batch, rows)
	w.rows = rows
}

// meta fills in one of Hudi's own columns. Rows without a change keep theirs.
func (f *fileWriter) meta(g *rowGroup, i int, w *columnWorker) {
	seq := g.seq
	prefix := f.instant + "_" + strconv.Itoa(f.task) + "_"
	var scratch []byte
	changed := func() {
		if i == metaCommitTime {
			w.out.AppendString(f.instant)
			return
		}
		scratch = strconv.AppendInt(append(scratch[:0], prefix...), int64(seq), 10)
		w.out.AppendBytes(scratch)
	}
	from := 0
	for _, ch := range g.changes {
		merge.AppendRange(&w.out, &w.stored, from, int(ch.Row))
		from = int(ch.Row) + 1
		switch {
		case ch.Remove:
			continue
		case i == metaRecordKey || i == metaPartition:
			w.out.Append(&w.stored, int(ch.Row))
		default:
			changed()
		}
		seq++
	}
	merge.AppendRange(&w.out, &w.stored, from, w.stored.Len())
	for _, k := range g.inserts {
		switch i {
		case metaRecordKey:
			w.out.AppendBytes(f.c.keyOf(k))
		case metaPartition:
			w.out.AppendString(f.plan.base.Partition)
		default:
			changed()
		}
		seq++
	}
}

// keyOf returns the record key of an insert.
func (c *change) keyOf(k int32) []byte {
	if k < 0 {
		k = c.movedOf[^k]
	}
	return c.merge.Key(int(k))
}

// The keys of a base file's footer.
const (
	footerSchema = "parquet.avro.schema"
	footerModel  = "writer.model.name"
	footerBloom  = "org.apache.hudi.bloomfilter"
	footerCode   = "hoodie_bloom_filter_type_code"
	footerMinKey = "hoodie_min_record_key"
	footerMaxKey = "hoodie_max_record_key"
	bloomCode    = "DYNAMIC_V0"
)

// maxBloomRows is the number of rows to which a filter grows before it is made
// anew: a lookup looks at each.
const maxBloomRows = 4

// footer returns the footer's pairs. The keys of the old file are all in its
// filter and range, so that those of the inserts are added to them; removed
// keys may stay.
func (f *fileWriter) footer() ([]basefile.Pair, error) {
	pairs := []basefile.Pair{{Key: footerSchema, Value: f.c.schema.avro(true)}, {Key: footerModel, Value: "avro"}}
	if f.keys != nil {
		return append(pairs, f.keys.pairs()...), nil
	}
	if keys, ok := f.oldRange(); ok {
		if len(f.plan.inserts) == 0 {
			return append(pairs, keys.pairs()...), nil
		}
		bloom, err := basefile.ParseBloom(keys.text)
		if err == nil && bloom.RowsAfter(len(f.plan.inserts)) <= maxBloomRows {
			keys.bloom, keys.text = bloom, ""
			f.addInserts(&keys)
			return append(pairs, keys.pairs()...), nil
		}
	}
	// Twice the rows, so that the filter need not be made anew soon.
	keys := keyRange{bloom: basefile.NewBloom(2 * int(f.out.Rows()))}
	if err := addKeys(&keys, f.old); err != nil {
		return nil, err
	}
	f.addInserts(&keys)
	return append(pairs, keys.pairs()...), nil
}

func (f *fileWriter) addInserts(keys *keyRange) {
	inserts := f.plan.inserts
	for ; len(inserts) > 1; inserts = inserts[2:] {
		keys.add(f.c.keyOf(inserts[0]), f.c.keyOf(inserts[1]))
	}
	for _, k := range inserts {
		keys.add(f.c.keyOf(k))
	}
}

// oldRange returns the filter and range of the old file, if it has them.
func (f *fileWriter) oldRange() (keyRange, bool) {
	text, ok1 := f.old.Lookup(footerBloom)
	lo, ok2 := f.old.Lookup(footerMinKey)
	hi, ok3 := f.old.Lookup(footerMaxKey)
	code, ok4 := f.old.Lookup(footerCode)
	return keyRange{text: text, lo: []byte(lo), hi: []byte(hi)}, ok1 && ok2 && ok3 && ok4 && code == bloomCode
}

// keyRange is what a footer says about a file's keys.
type keyRange struct {
	bloom  *basefile.Bloom
	text   string // the filter as text; empty: that of bloom
	lo, hi []byte
}

func (k *keyRange) add(keys ...[]byte) {
	k.bloom.Add(keys...)
	for _, key := range keys {
		if k.lo == nil || basefile.CompareKeys(key, k.lo) < 0 {
			k.lo = append(k.lo[:0:0], key...)
		}
		if k.hi == nil || basefile.CompareKeys(key, k.hi) > 0 {
			k.hi = append(k.hi[:0], key...)
		}
	}
}

func (k *keyRange) pairs() []basefile.Pair {
	text := k.text
	if text == "" {
		text = k.bloom.String()
	}
	return []basefile.Pair{
		{Key: footerBloom, Value: text}, {Key: footerCode, Value: bloomCode},
		{Key: footerMinKey, Value: string(k.lo)}, {Key: footerMaxKey, Value: string(k.hi)},
	}
}
