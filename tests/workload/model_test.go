package workload

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// col is a column as it is now. Names are never used twice, so a value of an old
// record is found under one of its names.
type col struct {
	name    string
	names   []string // all that it had, the present one last
	kind    string
	missing string // the canonical value of rows that were there before it
	fixed   bool   // SQL Server: whether it is NOT NULL, with a default
}

// table is a table as it is now.
type table struct {
	name  string
	names []string // all that it had, in their order
	keyed bool
	pair  bool // whether the key is id and b, not id alone
	adds  bool // whether rows are only added, as their changes could not be told
	late  bool // whether it was made after the snapshot
	cols  []col
}

func (t *table) keyColumns() []string {
	switch {
	case !t.keyed:
		return nil
	case t.pair:
		return []string{"id", "b"}
	}
	return []string{"id"}
}

func (t *table) clone() *table {
	c := *t
	c.cols = slices.Clone(t.cols)
	return &c
}

// model is what the tables look like. Only the goroutine of the DDL changes it.
type model struct {
	// streaming is whether tables may be truncated: amid a snapshot that has the
	// database begin it again, and rows of tables without a key come twice.
	streaming atomic.Bool
	// following is whether the log is followed: what was prepared before, and is
	// decided after, would not be known.
	following atomic.Bool

	mu     sync.Mutex
	tables []*table
	next   int
}

// pick returns a copy of a random table.
func (m *model) pick(r *rand.Rand) *table {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tables[r.IntN(len(m.tables))].clone()
}

func (m *model) list() []*table {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []*table
	for _, t := range m.tables {
		out = append(out, t.clone())
	}
	return out
}

// put replaces the table that had the name, or adds it.
func (m *model) put(was string, t *table) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.tables {
		if m.tables[i].name == was {
			m.tables[i] = t
			return
		}
	}
	m.tables = append(m.tables, t)
}

func (m *model) unique(prefix string) string {
	m.next++
	return fmt.Sprintf("%s%d", prefix, m.next)
}

// newTable has random columns.
func (m *model) newTable(r *rand.Rand, name string, keyed, pair bool) *table {
	t := &table{name: name, names: []string{name}, keyed: keyed, pair: pair}
	for range 4 + r.IntN(5) {
		t.cols = append(t.cols, m.newCol(kinds[r.IntN(len(kinds))].name))
	}
	// One value that is often stored outside its row.
	t.cols = append(t.cols, m.newCol("text"))
	return t
}

func (m *model) newCol(kind string) col {
	name := m.unique("c")
	return col{name: name, names: []string{name}, kind: kind, missing: null}
}

// create is the statement that makes a table.
func (t *table) create(lang dialect) []string {
	parts := []string{"id integer NOT NULL"}
	if t.pair {
		parts = append(parts, "b varchar(20) NOT NULL")
	}
	for _, c := range t.cols {
		parts = append(parts, c.name+" "+typeOf(c.kind, lang))
	}
	if t.keyed {
		parts = append(parts, "PRIMARY KEY ("+strings.Join(t.keyColumns(), ", ")+")")
	}
	out := []string{"CREATE TABLE " + t.name + " (" + strings.Join(parts, ", ") + ")"}
	if lang == postgres && !t.keyed && !t.adds {
		out = append(out, "ALTER TABLE "+t.name+" REPLICA IDENTITY FULL")
	}
	if lang == transact {
		out = append(out, track(t.name, t.name))
	}
	return out
}

func typeOf(name string, lang dialect) string {
	k := kindOf(name)
	switch lang {
	case postgres:
		return k.pg
	case transact:
		return k.ms
	}
	return k.my
}
