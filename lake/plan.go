package lake

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"tributary/internal/column"
	"tributary/internal/fault"
	"tributary/lake/basefile"
	"tributary/lake/merge"
)

// change is a batch on its way into the table: which file groups it touches and
// how.
type change struct {
	t      *Table
	schema Schema
	batch  *column.Batch // normalized
	order  int           // the ordering column; -1 for none
	sorted [][]byte      // the keys in order, once it was asked for
	keyer  *keyer
	merge  *merge.Merge

	matched []bool            // by key: a stored row has it
	files   map[int]*filePlan // by group number
	moved   *column.Batch     // rows that leave their partition, as they will be
	movedOf []int32           // by row of moved: its key
	inserts map[string][]int32
	order0  []string // partitions of inserts, by first appearance

	sample float64 // bytes of a row in a file, once it was measured

	operation string
	insertion *Insertion   // nil for other operations
	replace   *replacement // of operations that replace file groups
	bundled   []*filePlan  // of a clustering
}

// filePlan is what happens to one file group.
type filePlan struct {
	group   int // -1: a new one
	base    BaseFile
	changes [][]merge.Change // by row group
	inserts []int32          // keys; a row of change.moved is ^row
	removed []int32          // keys that leave the group
	sources []BaseFile       // of a clustering: the files whose rows it takes
	updates int
	deletes int
}

// normalize returns the batch with decimals in the form in which they are
// stored, so that equal numbers are equal bytes. It shares what needs no change.
func normalize(b *column.Batch, s Schema) (*column.Batch, error) {
	out := &column.Batch{Cols: append([]column.Column(nil), b.Cols...), Len: b.Len}
	for i, f := range s.Fields {
		if f.Type.Kind != Decimal || f.Type.Size == 0 || sized(&b.Cols[i], f.Type.Size) {
			continue
		}
		src, dst := &b.Cols[i], column.Column{Kind: column.Bytes}
		var scratch []byte
		for r := range src.Len() {
			if src.IsNull(r) {
				dst.AppendNull()
				continue
			}
			var ok bool
			if scratch, ok = basefile.Resize(scratch[:0], src.Value(r), f.Type.Size); !ok {
				return nil, fault.Humanf("widen the column in the source's schema, or have it sent as text",
					"column %s: a number of %d bytes does not fit %s", f.Name, len(src.Value(r)), f.Type)
			}
			dst.AppendBytes(scratch)
		}
		out.Cols[i] = dst
	}
	return out, nil
}

// sized reports whether every value has size bytes.
func sized(c *column.Column, size int) bool {
	for r := range c.Len() {
		if !c.IsNull(r) && len(c.Value(r)) != size {
			return false
		}
	}
	return true
}

// keyBytes is about what a record key takes.
const keyBytes = 10

// newChange groups the rows by key, unless they are inserted as they are.
func (t *Table) newChange(rows Rows, operation string, how *Insertion) (*change, error) {
	schema := t.Schema()
	if err := rows.check(schema); err != nil {
		return nil, fmt.Errorf("table %s: %w", t.base, err)
	}
	batch, err := normalize(rows.Batch, schema)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", t.base, err)
	}
	k, err := newKeyer(t.props, schema)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", t.base, err)
	}
	k.named = t.w.named
	c := &change{
		t: t, schema: schema, batch: batch, keyer: k, order: schema.Index(t.Precombine()),
		files: map[int]*filePlan{}, inserts: map[string][]int32{}, moved: schema.NewBatch(),
		operation: operation, insertion: how,
	}
	gone := deletedBy(schema, batch)
	keys := &column.Column{Kind: column.Bytes, Offs: make([]uint32, 0, batch.Len+1), Data: make([]byte, 0, keyBytes*batch.Len)}
	in := merge.Input{Len: batch.Len, Keys: keys, Keep: rows.Keep}
	var scratch []byte
	for r := range batch.Len {
		if scratch, err = k.appendKey(scratch[:0], batch, r); err != nil {
			return nil, fmt.Errorf("table %s: %w", t.base, err)
		}
		in.Keys.AppendBytes(scratch)
		if rows.Op(r) == Delete || gone != nil && !gone.IsNull(r) && gone.Ints[r] != 0 {
			in.Deletes.Set(r)
		}
	}
	if c.order >= 0 {
		in.Order = &batch.Cols[c.order]
	}
	if how != nil && !how.Combine {
		c.merge = merge.Each(in)
	} else {
		c.merge = merge.New(in)
	}
	c.matched = make([]bool, c.merge.Groups())
	return c, nil
}

// deletedBy returns the column by which Hudi's writers are told to delete a row,
// if the table has it.
func deletedBy(s Schema, b *column.Batch) *column.Column {
	if i := s.Index("_hoodie_is_deleted"); i >= 0 && s.Fields[i].Type.Kind == Boolean {
		return &b.Cols[i]
	}
	return nil
}

// check reports rows that do not have the schema's form.
func (r *Rows) check(s Schema) error {
	if r.Batch == nil || len(r.Batch.Cols) != len(s.Fields) {
		n := 0
		if r.Batch != nil {
			n = len(r.Batch.Cols)
		}
		return fmt.Errorf("rows of %d columns for a schema of %d", n, len(s.Fields))
	}
	for i, f := range s.Fields {
		c := &r.Batch.Cols[i]
		switch {
		case f.Type.Kind == Other:
			return fault.Humanf("write the table with Spark", "column %s: type %s cannot be written yet", f.Name, f.Type)
		case c.Kind != f.Type.Column() || c.Len() != r.Batch.Len:
			return fmt.Errorf("column %s: %d %s values in a batch of %d %s rows", f.Name, c.Len(), c.Kind, r.Batch.Len, f.Type)
		}
	}
	if r.Ops != nil && len(r.Ops) != r.Batch.Len {
		return fmt.Errorf("%d operations for %d rows", len(r.Ops), r.Batch.Len)
	}
	return nil
}

// plan decides for every key what happens, and in which file group.
func (c *change) plan(ctx context.Context) error {
	w := c.t.w
	candidates := map[int]bool{}
	var found []int32
	look := c.insertion == nil || c.insertion.DropDuplicates
	for g := range c.merge.Groups() {
		if !look {
			break
		}
		found = w.index.find(found[:0], c.merge.Hash(g))
		for _, n := range found {
			candidates[int(n)] = true
		}
	}
	for n := range w.groups { // in order, so that the result is always the same
		if !candidates[n] || w.groups[n].Key == "" || c.replace != nil && c.replace.groups[n] {
			continue
		}
		if err := c.planFile(ctx, n); err != nil {
			return fmt.Errorf("read %s: %w", w.groups[n].Key, err)
		}
	}
	var path []byte
	for g := range c.merge.Groups() {
		if c.matched[g] || c.merge.DecideNew(g) != merge.Insert {
			continue
		}
		var err error
		if path, err = c.partitionOf(path[:0], g); err != nil {
			return fmt.Errorf("table %s: %w", c.t.base, err)
		}
		c.insert(string(path), int32(g))
	}
	return nil
}

// sortedKeys is the most keys that are sorted to find out which row groups may hold
// one of them.
const sortedKeys = 50_000

// hasKeyIn reports whether the batch may have a key from lo to hi, bytewise.
func (c *change) hasKeyIn(lo, hi []byte) bool {
	if c.merge.Groups() > sortedKeys {
		return true
	}
	if c.sorted == nil {
		c.sorted = make([][]byte, c.merge.Groups())
		for g := range c.sorted {
			c.sorted[g] = c.merge.Key(g)
		}
		slices.SortFunc(c.sorted, bytes.Compare)
	}
	n, found := slices.BinarySearchFunc(c.sorted, lo, bytes.Compare)
	return found || n < len(c.sorted) && bytes.Compare(c.sorted[n], hi) <= 0
}

func (c *change) insert(partition string, key int32) {
	if _, ok := c.inserts[partition]; !ok {
		c.order0 = append(c.order0, partition)
	}
	c.inserts[partition] = append(c.inserts[partition], key)
}

// partitionOf appends the partition path of a key's row, none of whose partition
// cells comes from a stored row.
func (c *change) partitionOf(dst []byte, g int) ([]byte, error) {
	if len(c.keyer.partitions) == 0 {
		return dst, nil
	}
	row := column.Batch{Cols: make([]column.Column, len(c.batch.Cols)), Len: 1}
	for _, f := range c.keyer.partitions {
		e, _ := c.merge.Cell(g, f.col)
		row.Cols[f.col].Kind = c.batch.Cols[f.col].Kind
		row.Cols[f.col].Append(&c.batch.Cols[f.col], e)
	}
	return c.keyer.appendPartition(dst, &row, 0)
}

// hit is a stored row that the batch may change.
type hit struct {
	row, key int32
	again    bool
	copied   bool // the key had a row before
}

// planFile looks for the batch's keys among the rows of a file group.
func (c *change) planFile(ctx context.Context, n int) error {
	base := c.t.w.groups[n]
	file, done, err := c.t.openFile(ctx, base.Key)
	if err != nil {
		return err
	}
	defer done()
	p := &filePlan{group: n, base: base, changes: make([][]merge.Change, file.Groups())}
	keys, order := column.Column{Kind: column.Bytes}, column.Column{}
	var rows []hit
	for g := range file.Groups() {
		if lo, hi, ok := file.Bounds(g, metaNames[metaRecordKey]); ok && !c.hasKeyIn(lo, hi) {
			continue
		}
		keys.Reset()
		if err := file.Read(g, metaColumn(metaRecordKey), &keys); err != nil {
			return err
		}
		if c.insertion != nil {
			c.hasDuplicate(&keys)
			continue
		}
		rows = rows[:0]
		for r := range keys.Len() {
			if k := c.merge.Find(keys.Value(r)); k >= 0 {
				rows = append(rows, hit{row: int32(r), key: int32(k)})
			}
		}
		if len(rows) == 0 {
			continue
		}
		if err := c.readOrder(file, g, &order); err != nil {
			return err
		}
		if err := c.decide(file, g, p, rows, &order); err != nil {
			return err
		}
	}
	if p.updates+p.deletes > 0 {
		c.files[n] = p
	}
	return nil
}

// comparesStored reports whether stored rows may be newer than those of the batch.
func (c *change) comparesStored() bool { return c.order >= 0 && c.t.w.payload == EventTime }

func (c *change) readOrder(file *basefile.File, g int, dst *column.Column) error {
	if !c.comparesStored() {
		return nil
	}
	f := c.schema.Fields[c.order]
	dst.Reset()
	dst.Kind = f.Type.Column()
	return file.Read(g, f.column(), dst)
}

// decide decides the stored rows that have a key of the batch.
func (c *change) decide(file *basefile.File, g int, p *filePlan, rows []hit, order *column.Column) error {
	if !c.comparesStored() {
		order = nil
	}
	live := make([]hit, 0, len(rows))
	ties := false
	for _, h := range rows {
		if c.replace != nil { // it is written anew, in another group
			p.changes[g] = append(p.changes[g], merge.Change{Row: h.row, Group: h.key, Remove: true})
			p.removed = append(p.removed, h.key)
			p.deletes++
			continue
		}
		// A table that was inserted into may have a key several times: all of its
		// rows become the same.
		h.copied, c.matched[h.key] = c.matched[h.key], true
		switch c.merge.Decide(int(h.key), order, int(h.row)) {
		case merge.Replace:
			live = append(live, h)
		case merge.Again:
			h.again, ties = true, true
			live = append(live, h)
		case merge.Remove:
			p.changes[g] = append(p.changes[g], merge.Change{Row: h.row, Group: h.key, Remove: true})
			p.removed = append(p.removed, h.key)
			p.deletes++
		}
	}
	if ties {
		var err error
		if live, err = c.dropEqual(file, g, live); err != nil {
			return err
		}
	}
	movers, err := c.movers(file, g, p.base.Partition, live)
	if err != nil {
		return err
	}
	p.changes[g] = slices.Grow(p.changes[g], len(live))
	for _, h := range live {
		ch := merge.Change{Row: h.row, Group: h.key}
		if movers[h.key] {
			ch.Remove = true
			p.removed = append(p.removed, h.key)
			p.deletes++
		} else {
			p.updates++
		}
		p.changes[g] = append(p.changes[g], ch)
	}
	sortChanges(p.changes[g])
	return nil
}

// dropEqual leaves out the rows that would become what they are.
func (c *change) dropEqual(file *basefile.File, g int, rows []hit) ([]hit, error) {
	differs := make([]bool, len(rows))
	for i := range rows {
		differs[i] = !rows[i].again
	}
	col := column.Column{}
	for n, f := range c.schema.Fields {
		col.Reset()
		col.Kind = f.Type.Column()
		if err := file.Read(g, f.column(), &col); err != nil {
			return nil, err
		}
		for i, h := range rows {
			if !differs[i] && !c.merge.Equal(int(h.key), n, &col, int(h.row), &c.batch.Cols[n]) {
				differs[i] = true
			}
		}
	}
	out := rows[:0]
	for i, h := range rows {
		if differs[i] {
			out = append(out, h)
		}
	}
	return out, nil
}

// movers finds the rows whose new partition is another than the group's, puts
// them into c.moved as they will be and plans their insertion there.
func (c *change) movers(file *basefile.File, g int, partition string, rows []hit) (map[int32]bool, error) {
	if len(c.keyer.partitions) == 0 || len(rows) == 0 {
		return nil, nil
	}
	now := column.Batch{Cols: make([]column.Column, len(c.batch.Cols)), Len: len(rows)}
	for _, f := range c.keyer.partitions {
		if err := c.resolve(file, g, f.col, rows, &now.Cols[f.col]); err != nil {
			return nil, err
		}
	}
	out := map[int32]bool{}
	var leaving []hit
	var path []byte
	for i, h := range rows {
		var err error
		if path, err = c.keyer.appendPartition(path[:0], &now, i); err != nil {
			return nil, err
		}
		if string(path) == partition {
			continue
		}
		out[h.key] = true
		if h.copied { // another row of the key goes there, or is there
			continue
		}
		leaving = append(leaving, h)
		c.insert(string(path), ^int32(c.moved.Len+len(leaving)-1))
		c.movedOf = append(c.movedOf, h.key)
	}
	for n := range c.schema.Fields {
		if len(leaving) == 0 {
			break
		}
		if err := c.resolve(file, g, n, leaving, &c.moved.Cols[n]); err != nil {
			return nil, err
		}
	}
	c.moved.Len += len(leaving)
	return out, nil
}

// resolve appends column n of the rows as they will be.
func (c *change) resolve(file *basefile.File, g, n int, rows []hit, dst *column.Column) error {
	f := c.schema.Fields[n]
	dst.Kind = f.Type.Column()
	stored := column.Column{Kind: dst.Kind}
	read := false
	for _, h := range rows {
		e, old := c.merge.Cell(int(h.key), n)
		if !old {
			dst.Append(&c.batch.Cols[n], e)
			continue
		}
		if !read {
			if err := file.Read(g, f.column(), &stored); err != nil {
				return err
			}
			read = true
		}
		dst.Append(&stored, int(h.row))
	}
	return nil
}
