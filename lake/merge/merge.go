package merge

import (
	"bytes"
	"cmp"

	"tributary/internal/column"
)

// Input is a batch of events. All columns have Len values.
type Input struct {
	Len     int
	Keys    *column.Column  // Bytes, no nulls
	Order   *column.Column  // the ordering column; nil: the place in the batch alone
	Signed  bool            // Order's bytes are big-endian two's complement numbers of one scale, not texts
	Deletes column.Bitmap   // events that remove the row
	Keep    []column.Bitmap // by column: cells that stay as they were
}

// Merge holds the events of a batch by key. The keys are numbered by first
// appearance; such a number is called a group here. It belongs to one goroutine
// until every group is decided, and may then be read by many.
type Merge struct {
	in     Input
	table  keyTable
	newest []int32 // by group: its newest event
	prev   []int32 // by event: the next older one with its key, -1 for none
	stored []bool  // by group: the oldest event lies on a stored row

	decided []bool // by group: the events are laid on a stored row
}

// New groups the events of a batch. It keeps references to the input's columns.
func New(in Input) *Merge {
	m := &Merge{in: in, prev: make([]int32, in.Len), newest: make([]int32, 0, in.Len)}
	m.table.init(in.Keys, in.Len)
	for r := range int32(in.Len) {
		g, found := m.table.add(in.Keys.Value(int(r)))
		if !found {
			m.newest = append(m.newest, r)
			m.prev[r] = -1
			continue
		}
		m.insert(g, r)
	}
	m.stored, m.decided = make([]bool, len(m.newest)), make([]bool, len(m.newest))
	return m
}

// Each takes every event of a batch for a row of its own, also where keys are
// equal. Keys are neither found nor hashed then.
func Each(in Input) *Merge {
	m := &Merge{in: in, prev: make([]int32, in.Len), newest: make([]int32, in.Len)}
	m.stored, m.decided = make([]bool, in.Len), make([]bool, in.Len)
	for r := range m.newest {
		m.newest[r], m.prev[r] = int32(r), -1
	}
	return m
}

// insert puts event r into its place among those of group g. Events come in
// order nearly always, so that the walk is short.
func (m *Merge) insert(g, r int32) {
	at := &m.newest[g]
	for *at >= 0 && m.in.Order != nil && m.compare(int(*at), m.in.Order, int(r)) > 0 {
		at = &m.prev[*at]
	}
	m.prev[r] = *at
	*at = r
}

// Groups returns the number of different keys.
func (m *Merge) Groups() int { return len(m.newest) }

// Key returns the key of group g.
func (m *Merge) Key(g int) []byte { return m.in.Keys.Value(int(m.newest[g])) }

// Newest returns the newest event of group g.
func (m *Merge) Newest(g int) int { return int(m.newest[g]) }

// Find returns the group with the key, or -1.
func (m *Merge) Find(key []byte) int { return m.table.find(key) }

// Hash returns the hash of a group's key, as Hash computes it.
func (m *Merge) Hash(g int) uint64 { return m.table.hashes[g] }

// Outcome is what becomes of a key.
type Outcome uint8

// The outcomes.
const (
	Nothing Outcome = iota // all events are void
	Replace                // the stored row gives way to a newer one
	Again                  // as Replace, but the newest event ties with the stored row: the rows may be equal
	Remove                 // the stored row is removed
	Insert                 // a row without a stored one
)

// Decide decides group g against the stored row at place row of the stored
// ordering column, which may be nil when the table has none. It is called once
// for each stored row with the key, of which there should be one: what the events
// make of the first that is not newer is made of the others that are not, too.
// Decide or DecideNew must be called for each group before cells are asked for.
func (m *Merge) Decide(g int, order *column.Column, row int) Outcome {
	newest := m.newest[g]
	if m.older(newest, order, row) {
		return Nothing
	}
	if m.in.Deletes.Get(int(newest)) {
		return Remove
	}
	if !m.decided[g] {
		m.decided[g] = true
		m.lay(g, order, row)
	}
	if m.in.Order == nil || order == nil || m.compare(int(newest), order, row) == 0 {
		return Again
	}
	return Replace
}

// lay lays the events of group g on a stored row: those that are older than it,
// or older than a removal, are void.
func (m *Merge) lay(g int, order *column.Column, row int) {
	newest := m.newest[g]
	m.stored[g] = true
	for e := newest; m.prev[e] >= 0; e = m.prev[e] {
		p := m.prev[e]
		if m.older(p, order, row) {
			m.prev[e] = -1
			break
		}
		if m.in.Deletes.Get(int(p)) {
			m.prev[e] = -1
			m.stored[g] = false
			break
		}
	}
}

// DecideNew decides group g where there is no stored row.
func (m *Merge) DecideNew(g int) Outcome {
	newest := m.newest[g]
	if m.in.Deletes.Get(int(newest)) {
		return Nothing
	}
	for e := newest; m.prev[e] >= 0; e = m.prev[e] {
		if m.in.Deletes.Get(int(m.prev[e])) {
			m.prev[e] = -1
		}
		if m.prev[e] < 0 {
			break
		}
	}
	return Insert
}

// older reports whether event e is older than the stored row.
func (m *Merge) older(e int32, order *column.Column, row int) bool {
	return m.in.Order != nil && order != nil && m.compare(int(e), order, row) < 0
}

// Cell tells where the value of column c in the row of a decided group comes
// from: the batch's row event, or, when fromStored, the stored row.
func (m *Merge) Cell(g, c int) (event int, fromStored bool) {
	e := m.newest[g]
	if c < len(m.in.Keep) {
		keep := m.in.Keep[c]
		for keep.Get(int(e)) {
			p := m.prev[e]
			if p < 0 {
				return int(e), m.stored[g]
			}
			e = p
		}
	}
	return int(e), false
}

// compare orders the ordering value of event e and that at row of b, a column of
// the same kind; null comes first.
func (m *Merge) compare(e int, b *column.Column, row int) int {
	a := m.in.Order
	switch an, bn := a.IsNull(e), b.IsNull(row); {
	case an && bn:
		return 0
	case an:
		return -1
	case bn:
		return 1
	}
	switch {
	case a.Kind == column.Int:
		return cmp.Compare(a.Ints[e], b.Ints[row])
	case a.Kind == column.Float:
		return cmp.Compare(a.Floats[e], b.Floats[row])
	case m.in.Signed:
		return compareSigned(a.Value(e), b.Value(row))
	default:
		return bytes.Compare(a.Value(e), b.Value(row))
	}
}

// compareSigned orders two numbers in big-endian two's complement, of any length;
// no bytes are 0.
func compareSigned(a, b []byte) int {
	an, bn := len(a) > 0 && a[0] >= 0x80, len(b) > 0 && b[0] >= 0x80
	if an != bn {
		if an {
			return -1
		}
		return 1
	}
	sign := byte(0)
	if an {
		sign = 0xff
	}
	for len(a) > len(b) {
		if a[0] != sign {
			return cmp.Compare(a[0], sign)
		}
		a = a[1:]
	}
	for len(b) > len(a) {
		if b[0] != sign {
			return cmp.Compare(sign, b[0])
		}
		b = b[1:]
	}
	return bytes.Compare(a, b)
}
