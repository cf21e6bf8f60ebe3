package envelope

import (
	"cmp"
	"slices"
	"unicode/utf16"
)

// TableCount is how many events of a table a transaction had.
type TableCount struct {
	Table TableID
	Count int64
}

// Transaction counts the events of the transaction in work, for
// provide.transaction.metadata. It belongs to the goroutine that decodes. The
// zero value counts nothing.
type Transaction struct {
	on     bool
	total  int64
	tables []TableCount
	last   int // index in tables of the event before
}

// NewTransaction returns one that counts if on.
func NewTransaction(on bool) Transaction { return Transaction{on: on} }

// On reports whether it counts.
func (t *Transaction) On() bool { return t.on }

// Begin starts a transaction: it adds the change that becomes its BEGIN
// record. out is nil for a transaction whose beginning was delivered before.
func (t *Transaction) Begin(out *Changes, s Source, tsNs int64) {
	if !t.on {
		return
	}
	t.total, t.tables, t.last = 0, nil, 0
	if out != nil {
		c := out.Next()
		c.Op, c.Source, c.TsNs = Begin, s, tsNs
	}
}

// messages is where the logical messages of a transaction are counted, as if
// it were a table. (Debezium has the name of a Java object there.)
const messages = "message"

// Count gives a change its place in the transaction. An update that changed
// the key counts twice, as it becomes two events. A change that was delivered
// before must be counted too.
func (t *Transaction) Count(c *Change) {
	if !t.on || c.Table == nil && (c.Op != Logical || c.Source.TxID == 0) {
		return
	}
	id := TableID{Name: messages}
	if c.Table != nil {
		id = c.Table.ID
	}
	n := int64(1)
	if c.Op == Update && c.OldKey != nil {
		n = 2
	}
	if t.last >= len(t.tables) || t.tables[t.last].Table != id {
		for t.last = range t.tables {
			if t.tables[t.last].Table == id {
				break
			}
		}
		if len(t.tables) == 0 || t.tables[t.last].Table != id {
			t.tables = append(t.tables, TableCount{Table: id})
			t.last = len(t.tables) - 1
		}
	}
	at := &t.tables[t.last]
	c.Order, c.TableOrder = t.total+1, at.Count+1
	t.total += n
	at.Count += n
}

// End ends the transaction: it adds the change that becomes its END record.
func (t *Transaction) End(out *Changes, s Source, tsNs int64) {
	if !t.on {
		return
	}
	c := out.Next()
	c.Op, c.Source, c.TsNs, c.Order = End, s, tsNs, t.total
	JavaOrder(t.tables, func(c TableCount) string { return c.Table.String() })
	c.Event = &Event{Tables: t.tables}
	t.tables = nil // it is the event's now
}

// JavaOrder sorts a list, whose keys are different, as java.util.HashMap iterates,
// in which Debezium keeps what events have in no order of its own: by the bucket
// of the key's hash, in a table of the least power of two (from 16) that they fill
// to three quarters at most.
func JavaOrder[T any](list []T, key func(T) string) {
	size := uint32(16)
	for uint32(len(list)) > size/4*3 { //nolint:gosec // as many as fit into memory
		size *= 2
	}
	bucket := func(v T) uint32 {
		var h uint32
		for _, c := range utf16.Encode([]rune(key(v))) {
			h = 31*h + uint32(c)
		}
		return (h ^ h>>16) & (size - 1)
	}
	if len(list) > 1 {
		slices.SortStableFunc(list, func(a, b T) int { return cmp.Compare(bucket(a), bucket(b)) })
	}
}
