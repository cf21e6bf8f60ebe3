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

// roomShare is the part of a file's limit up to which a group still takes
// inserts, so that groups that are nearly full are left in peace.
const roomShare = 0.8

// place assigns the inserts to file groups: first to one group of the partition
// that has room, preferably one that is rewritten anyway, then to new ones. It
// returns the plans in the order in which the files are written.
func (c *change) place() ([]*filePlan, error) {
	var fresh []*filePlan
	for _, partition := range c.order0 {
		rows := c.inserts[partition]
		if n := c.roomiest(partition); n >= 0 && c.replace == nil {
			p := c.planOf(n)
			take := min(len(rows), c.limit(p.base)-int(p.base.Rows))
			p.inserts, rows = rows[:take:take], rows[take:]
		}
		for len(rows) > 0 {
			take := min(len(rows), c.limit(BaseFile{}))
			id, err := newFileID()
			if err != nil {
				return nil, err
			}
			p := &filePlan{group: -1, base: BaseFile{FileID: id, Partition: partition}}
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

// roomiest returns the group of the partition that takes the inserts, or -1.
func (c *change) roomiest(partition string) int {
	best, bestTouched := -1, false
	for _, n := range c.t.w.partitions[partition] {
		f := &c.t.w.groups[n]
		if float64(f.Rows) >= roomShare*float64(c.limit(*f)) {
			continue
		}
		touched := c.files[n] != nil
		if best < 0 || touched && !bestTouched || touched == bestTouched && f.Rows > c.t.w.groups[best].Rows {
			best, bestTouched = n, touched
		}
	}
	return best
}

// limit returns how many rows a group's file may have. A new file is judged by
// the table's other ones.
func (c *change) limit(f BaseFile) int {
	rows, size := f.Rows, f.Size
	if rows <= 0 {
		rows, size = 0, 0
		for _, g := range c.t.w.groups {
			rows, size = rows+g.Rows, size+g.Size
		}
	}
	limit := c.t.opt.MaxFileRows
	if rows > 0 && size > 0 {
		limit = min(limit, int(float64(c.t.opt.MaxFileBytes)/(float64(size)/float64(rows))))
	} else if n := c.batch.Len; n > 0 {
		// No file yet to judge by: the batch's own bytes, which will be fewer in
		// the file.
		var bytes int
		for i := range c.batch.Cols {
			bytes += len(c.batch.Cols[i].Data) + 8*(len(c.batch.Cols[i].Ints)+len(c.batch.Cols[i].Floats))
		}
		limit = min(limit, int(float64(c.t.opt.MaxFileBytes)/(float64(bytes)/float64(n)+1)))
	}
	return max(limit, 1)
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
