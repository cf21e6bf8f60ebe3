package lake

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"slices"

	"tributary/lake/merge"
)

func sortChanges(ch []merge.Change) {
	slices.SortFunc(ch, func(a, b merge.Change) int { return cmp.Compare(a.Row, b.Row) })
}

// roomShare is the part of a file's limit above which a group takes no more
// inserts, so that groups that are nearly full are left in peace.
const roomShare = 0.8

// place assigns the inserts to file groups: first to the groups of the partition
// that are small, beginning with those that are rewritten anyway, then to new
// ones. It returns the plans in the order in which the files are written.
func (c *change) place() ([]*filePlan, error) {
	var fresh []*filePlan
	bulk := c.insertion != nil && c.insertion.Bulk
	if bulk {
		slices.Sort(c.order0)
	}
	for _, partition := range c.order0 {
		rows := c.inserts[partition]
		if bulk {
			c.sortByKey(rows)
		} else if c.replace == nil {
			rows = c.fill(partition, rows)
		}
		for len(rows) > 0 {
			limit, err := c.newFileRows(rows)
			if err != nil {
				return nil, err
			}
			id, err := newFileID()
			if err != nil {
				return nil, err
			}
			p := &filePlan{group: -1, base: BaseFile{FileID: id, Partition: partition}}
			take := min(len(rows), limit)
			p.inserts, rows = rows[:take:take], rows[take:]
			fresh = append(fresh, p)
		}
	}
	var out []*filePlan
	for n := range c.t.w.groups {
		if p := c.files[n]; p != nil {
			out = append(out, p)
		}
	}
	return append(append(out, fresh...), c.bundled...), nil
}

// planOf returns the plan of a group, touched or not yet.
func (c *change) planOf(n int) *filePlan {
	if c.files[n] == nil {
		c.files[n] = &filePlan{group: n, base: c.t.w.groups[n]}
	}
	return c.files[n]
}

// fill gives inserts to the small groups of their partition, and returns those
// for which there is no room.
func (c *change) fill(partition string, rows []int32) []int32 {
	w := c.t.w
	var small []int
	for _, n := range w.partitions[partition] {
		if c.small(w.groups[n]) {
			small = append(small, n)
		}
	}
	slices.SortFunc(small, func(a, b int) int {
		touched := func(n int) int {
			if c.files[n] != nil {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(touched(a), touched(b)), -cmp.Compare(w.groups[a].Rows, w.groups[b].Rows), cmp.Compare(a, b))
	})
	for _, n := range small {
		if len(rows) == 0 {
			break
		}
		f := w.groups[n]
		room := c.t.opt.rowLimit(float64(f.Size)/float64(max(f.Rows, 1))) - int(f.Rows)
		if take := min(len(rows), room); take > 0 {
			c.planOf(n).inserts, rows = rows[:take:take], rows[take:]
		}
	}
	return rows
}

// small reports whether a group takes inserts.
func (c *change) small(f BaseFile) bool {
	o := &c.t.opt
	return !c.t.w.frozen(f) && f.Size < o.SmallFileBytes && (o.MaxFileRows <= 0 || float64(f.Rows) < roomShare*float64(o.MaxFileRows))
}

// rowLimit returns how many rows of so many bytes each a file may have.
func (o *Options) rowLimit(rowBytes float64) int {
	limit := int(float64(o.MaxFileBytes) / max(rowBytes, 1))
	if most := o.MaxFileRows; most > 0 {
		limit = min(limit, most)
	}
	return max(limit, 1)
}

// rowBytes returns how many bytes a row takes in the table's files; 0 if there are none.
func (t *Table) rowBytes() float64 {
	var rows, size int64
	for _, g := range t.w.groups {
		rows, size = rows+g.Rows, size+g.Size
	}
	return float64(size) / float64(max(rows, 1))
}

// newFileRows returns how many rows a new file may have, judged by the table's
// other files, or else by the rows that it is to hold.
func (c *change) newFileRows(inserts []int32) (int, error) {
	if bytes := c.t.rowBytes(); bytes > 0 {
		return c.t.opt.rowLimit(bytes), nil
	}
	if len(inserts) == 0 {
		return c.t.opt.rowLimit(1), nil
	}
	if c.sample == 0 {
		var err error
		if c.sample, err = c.sampleRow(inserts); err != nil {
			return 0, err
		}
	}
	return c.t.opt.rowLimit(c.sample), nil
}

const (
	metaBytes  = 150 // about what Hudi's own columns of a row take, before compression
	bloomBytes = 8   // about what a key takes in the footer's filter
)

// sampleRow returns about how many bytes a row takes in a file. As long as the
// batch is so small that all of it would fit into one, its raw size will do; else
// the first rows are encoded.
func (c *change) sampleRow(inserts []int32) (float64, error) {
	raw := metaBytes * c.batch.Len
	for i := range c.batch.Cols {
		col := &c.batch.Cols[i]
		raw += len(col.Data) + 8*(len(col.Ints)+len(col.Floats))
	}
	if int64(raw) < c.t.opt.MaxFileBytes {
		return float64(raw) / float64(max(c.batch.Len, 1)), nil
	}
	n := min(groupRows, len(inserts))
	f := c.newFileWriter(&filePlan{group: -1, base: BaseFile{FileID: "sample"}}, FormatInstant(c.t.opt.Now()), 0)
	g := &rowGroup{old: -1, rows: n, inserts: inserts[:n]}
	sizes := make([]int, len(f.columns))
	err := f.sideBySide(len(f.columns), func(i int, w *columnWorker) error {
		chunk, err := f.column(g, i, w)
		if err == nil {
			sizes[i] = chunk.Len()
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	total := bloomBytes * n
	for _, s := range sizes {
		total += s
	}
	return float64(total) / float64(n), nil
}

// newFileID returns a random UUID with the counter that Hudi's writers add.
func newFileID() (string, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("make file id: %w", err)
	}
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x-0", b[0:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}
