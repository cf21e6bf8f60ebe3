package snapshot

import (
	"context"
	"sync"
	"unsafe"

	"tributary/envelope"
)

// part is some rows of a chunk, with the cells of their keys or places. Where rows
// are is told by lengths, so that none holds memory that Buf has grown out of.
type part struct {
	changes envelope.Changes // of the rows their memory alone
	rows    []partRow
	tsNs    int64
	cells   []byte
	ends    []int // for each row and column of the key, its end in cells
	size    int   // bytes that the budget counts
}

// partRow is a change without what it shares with the others of its part.
type partRow struct {
	op         envelope.Op
	after, key int             // bytes, one behind the other
	event      *envelope.Event // of a row that has no form in events
}

// note moves the change that was added last to rows.
func (x *part) note() {
	c := &x.changes.List[0]
	x.rows = append(x.rows, partRow{op: c.Op, after: len(c.After), key: len(c.Key), event: c.Event})
	x.tsNs, x.changes.List = c.TsNs, x.changes.List[:0]
}

// partLeast is how much a part counts at least, however little it holds.
const partLeast = 16 << 10

// weight is about how much memory a part takes.
func (x *part) weight() int {
	n := cap(x.changes.Buf) + cap(x.cells) + cap(x.ends)*int(unsafe.Sizeof(0)) + cap(x.rows)*int(unsafe.Sizeof(partRow{}))
	for i := range x.rows {
		if e := x.rows[i].event; e != nil && e.Failure != nil {
			n += len(e.Failure.Raw)
		}
	}
	return max(n, partLeast)
}

// budget bounds the bytes of parts that wait to be delivered, and keeps the memory
// of those that have been. The chunk that is delivered may always have one part
// more, so that the others never keep it from going on.
type budget struct {
	mu    sync.Mutex
	most  int
	used  int
	front *job          // the one that is delivered
	moved chan struct{} // closed when something changes
	free  []*part
	kept  int // bytes of free
}

func newBudget(most int) *budget { return &budget{most: most, moved: make(chan struct{})} }

// part returns an empty part.
func (b *budget) part() *part {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.free); n > 0 {
		x := b.free[n-1]
		b.free = b.free[:n-1]
		b.kept -= x.size
		return x
	}
	return &part{}
}

// take waits until there is room for a part of j.
func (b *budget) take(ctx context.Context, j *job, x *part) error {
	n := x.weight()
	for {
		b.mu.Lock()
		most := b.most
		if j != b.front { // a share is left to the front
			most -= b.most / 4
		}
		if b.used+n <= most || j == b.front && j.held == 0 {
			b.used += n
			j.held += n
			x.size = n
			b.mu.Unlock()
			return nil
		}
		moved := b.moved
		b.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// give takes back a part of j that has been delivered. One that a large row has
// made large is not kept.
func (b *budget) give(j *job, x *part) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= x.size
	j.held -= x.size
	if x.size <= 4*partBytes && b.used+b.kept+x.size <= b.most {
		clear(x.rows)
		x.changes.Buf, x.rows, x.cells, x.ends = x.changes.Buf[:0], x.rows[:0], x.cells[:0], x.ends[:0]
		b.free = append(b.free, x)
		b.kept += x.size
	}
	b.wake()
}

// serve makes j the chunk that is delivered.
func (b *budget) serve(j *job) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.front = j
	b.wake()
}

func (b *budget) wake() {
	close(b.moved)
	b.moved = make(chan struct{})
}
