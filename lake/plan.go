package lake

import (
	"context"
	"fmt"

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
		in.Signed = schema.Fields[c.order].Type.Kind == Decimal
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
