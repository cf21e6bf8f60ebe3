package mssqltest

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"tributary/internal/mssqltest/tds"
	"tributary/internal/mssqltest/tsql"
)

// column is a column of a table; it does not change.
type column struct {
	id       int // column_id: never used again once dropped
	name     string
	typ      tds.Type
	nullable bool
	identity *identity
	def      tsql.Expr // the default, nil if none
	defText  string    // as sys.default_constraints has it
	defName  string
	defID    int32
	computed tsql.Expr
	compText string
	collate  string
	mask     string // the function that hides its values, empty if none
}

// identity numbers rows. Numbers are not given back by a rollback.
type identity struct {
	seed, step int64
	last       atomic.Int64
	used       atomic.Bool
}

func (i *identity) next() int64 {
	if i.used.CompareAndSwap(false, true) {
		i.last.Store(i.seed)
		return i.seed
	}
	return i.last.Add(i.step)
}

// index is an index or a key's.
type index struct {
	id        int
	name      string
	columns   []string
	unique    bool
	primary   bool
	unqConstr bool
	clustered bool
	objectID  int32 // of the constraint
}

// table is one version of a table. It does not change once it is published.
type table struct {
	id           int32
	schema, name string
	created      time.Time
	modified     time.Time
	columns      []*column
	indexes      []*index
	key          []int // the columns that order the rows; nil for a heap
	root         *node
	nextRow      *atomic.Int64 // numbers the rows of a heap
	nextColumn   int
}

func (t *table) clone() *table {
	c := *t
	return &c
}

func (t *table) column(name string) int {
	return slices.IndexFunc(t.columns, func(c *column) bool { return strings.EqualFold(c.name, name) })
}

func (t *table) primary() *index {
	for _, i := range t.indexes {
		if i.primary {
			return i
		}
	}
	return nil
}

// rowKey is the key under which a row is stored.
func (t *table) rowKey(row []any) []any {
	if t.key == nil {
		return []any{t.nextRow.Add(1)}
	}
	key := make([]any, len(t.key))
	for i, k := range t.key {
		key[i] = row[k]
	}
	return key
}

// indexKey are a row's values of an index's columns.
func (t *table) indexKey(i *index, row []any) []any {
	key := make([]any, len(i.columns))
	for k, name := range i.columns {
		key[k] = row[t.column(name)]
	}
	return key
}

// setKey chooses the columns that order the rows: the primary key's.
func (t *table) setKey() {
	t.key = nil
	if p := t.primary(); p != nil {
		for _, name := range p.columns {
			t.key = append(t.key, t.column(name))
		}
	}
}

// rebuild stores the rows again, each as f makes it.
func (t *table) rebuild(f func([]any) ([]any, error)) error {
	var root *node
	var err error
	t.root.ascend(nil, func(key, row []any) bool {
		var r []any
		if r, err = f(row); err != nil {
			return false
		}
		k := key
		if t.key != nil || len(key) != 1 {
			k = t.rowKey(r)
		} else if _, ok := key[0].(int64); !ok {
			k = t.rowKey(r)
		}
		if t.key != nil && root.get(k) != nil {
			err = sqlError(1505, "The CREATE UNIQUE INDEX statement terminated because a duplicate key was found for the object name '%s.%s'.", t.schema, t.name)
			return false
		}
		root = root.put(k, r)
		return true
	})
	if err == nil {
		t.root = root
	}
	return err
}

// instance is a capture instance. It does not change once it is published: the
// rows are appended to a slice of which older versions see a part.
type instance struct {
	name      string
	sourceID  int32
	objectID  int32 // of the change table
	startLSN  LSN   // the low end of its validity
	pending   bool  // start_lsn is NULL: the capture job has not come to it yet
	created   time.Time
	columns   []captured
	role      string
	netIndex  string
	rows      []ctRow
	netChange bool
}

// captured is a captured column, as it was when the instance was made.
type captured struct {
	column
	ordinal int
}

// ctRow is a row of a change table.
type ctRow struct {
	lsn, seq LSN
	op       int64
	mask     []byte
	values   []any
	command  int64
}

// timeRow is a row of lsn_time_mapping.
type timeRow struct {
	lsn        LSN
	begin, end time.Time
	tranID     []byte
	beginLSN   LSN
}

func (i *instance) clone() *instance {
	c := *i
	return &c
}

// state is all that queries see of a database at a moment. It does not change
// once it is published: a snapshot is a pointer to it.
type state struct {
	tables       map[int32]*table
	schemas      []schemaRow
	security     *security // users, roles and rights
	cdc          bool
	snapshot     bool // ALLOW_SNAPSHOT_ISOLATION
	rcsi         bool
	instances    []*instance
	times        []timeRow
	sessions     []scanSession
	failures     []scanFailure
	polling      int64 // of the capture job, in seconds
	retention    int64 // of the clean-up job, in minutes
	threshold    int64
	captureJob   bool
	cleanupJob   bool
	agentRunning bool
}

type schemaRow struct {
	id    int64
	name  string
	owner int64 // a user or a role
}

func (s *state) addSchema(name string, owner int64) {
	id := int64(5)
	for _, r := range s.schemas {
		id = max(id, r.id+1)
	}
	s.schemas = append(slices.Clone(s.schemas), schemaRow{id, name, owner})
}

func (s *state) dropSchema(name string) {
	if id, ok := s.schemaID(name).(int64); ok {
		s.security = s.security.forget(ofSchema, id, 0)
		s.schemas = slices.DeleteFunc(slices.Clone(s.schemas), func(r schemaRow) bool { return r.id == id })
	}
}

// entity is the table as rights are on it.
func (t *table) entity(db *Database) *entity {
	id, _ := db.st.Load().schemaID(t.schema).(int64)
	return &entity{db: db, schema: t.schema, name: t.name, securable: securable{class: ofObject, major: int64(t.id), schema: id}, columns: t.columns}
}

// scanSession is a row of sys.dm_cdc_log_scan_sessions.
type scanSession struct {
	id         int64
	begin, end time.Time
	start      LSN
	finish     LSN
	empty      bool
	trans      int64
	commands   int64
	errors     int64
	latency    int64 // in seconds, from the last commit to the end
}

// scanFailure is a row of sys.dm_cdc_errors.
type scanFailure struct {
	session int64
	at      time.Time
	err     *Error
}

func (s *state) clone() *state {
	c := *s
	c.tables = make(map[int32]*table, len(s.tables))
	for id, t := range s.tables {
		c.tables[id] = t
	}
	c.instances = slices.Clone(s.instances)
	return &c
}

func (s *state) find(schema, name string) *table {
	for _, t := range s.tables {
		if strings.EqualFold(t.schema, schema) && strings.EqualFold(t.name, name) {
			return t
		}
	}
	return nil
}

// sorted are the tables in the order of their ids.
func (s *state) sorted() []*table {
	out := make([]*table, 0, len(s.tables))
	for _, t := range s.tables {
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b *table) int { return int(a.id) - int(b.id) })
	return out
}

func (s *state) instance(name string) *instance {
	for _, i := range s.instances {
		if strings.EqualFold(i.name, name) {
			return i
		}
	}
	return nil
}

// tracked are the instances of a table, the older first.
func (s *state) tracked(id int32) []*instance {
	var out []*instance
	for _, i := range s.instances {
		if i.sourceID == id {
			out = append(out, i)
		}
	}
	return out
}

func (s *state) hasSchema(name string) bool {
	return slices.ContainsFunc(s.schemas, func(r schemaRow) bool { return strings.EqualFold(r.name, name) })
}

func (s *state) schemaID(name string) any {
	for _, r := range s.schemas {
		if strings.EqualFold(r.name, name) {
			return r.id
		}
	}
	return nil
}
