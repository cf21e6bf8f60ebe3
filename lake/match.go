package lake

import (
	"bytes"
	"context"
	"slices"

	"tributary/internal/column"
	"tributary/lake/merge"
)

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

func (c *change) readOrder(file *openedFile, g int, dst *column.Column) error {
	if !c.comparesStored() {
		return nil
	}
	f := c.schema.Fields[c.order]
	dst.Reset()
	dst.Kind = f.Type.Column()
	return file.Read(g, f.column(), dst)
}

// decide decides the stored rows that have a key of the batch.
func (c *change) decide(file *openedFile, g int, p *filePlan, rows []hit, order *column.Column) error {
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
func (c *change) dropEqual(file *openedFile, g int, rows []hit) ([]hit, error) {
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
func (c *change) movers(file *openedFile, g int, partition string, rows []hit) (map[int32]bool, error) {
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
func (c *change) resolve(file *openedFile, g, n int, rows []hit, dst *column.Column) error {
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
