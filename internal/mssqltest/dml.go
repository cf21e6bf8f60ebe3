package mssqltest

import (
	"strings"

	"tributary/internal/mssqltest/tds"
	"tributary/internal/mssqltest/tsql"
)

// target finds the table that a statement writes.
func (s *session) target(n tsql.Name) (*Database, *table, error) {
	db, schema, name, err := s.objectName(n)
	if err != nil {
		return nil, nil, err
	}
	st, err := s.state(db)
	if err != nil {
		return nil, nil, err
	}
	if strings.EqualFold(schema, "cdc") || strings.EqualFold(schema, "sys") {
		return nil, nil, notInModel("writing to the schema %s", schema)
	}
	tb := st.find(schema, name)
	if tb == nil {
		return nil, nil, invalidObject(strings.Join(n, "."))
	}
	if s.srv.readOnly.Load() {
		return nil, nil, sqlError(3906, "Failed to update database \"%s\" because the database is read-only.", db.name)
	}
	return db, tb, s.snapshotAllowed(db)
}

// writer writes rows of a table.
type writer struct {
	s      *session
	db     *Database
	tb     *table
	comp   []value // of the computed columns
	unique []*index
}

func (s *session) writer(db *Database, tb *table) (*writer, error) {
	w := &writer{s: s, db: db, tb: tb}
	for _, i := range tb.indexes {
		if i.unique && !(i.primary && tb.key != nil) {
			w.unique = append(w.unique, i)
		}
	}
	r := tableRelation(tb, nil)
	r.setTable(db.name, tb.schema, tb.name)
	for _, c := range tb.columns {
		v := value{}
		if c.computed != nil {
			k := &compiler{s: s, scope: &scope{cols: r.cols}}
			var err error
			if v, err = k.expr(c.computed); err == nil {
				v, err = v.as(c.typ)
			}
			if err != nil {
				return nil, err
			}
		}
		w.comp = append(w.comp, v)
	}
	return w, nil
}

// finish sets rowversion and computed columns, and checks for NULL.
func (w *writer) finish(row []any) error {
	for i, c := range w.tb.columns {
		switch {
		case c.typ.Kind == tds.RowVersion:
			row[i] = w.db.rowVersion()
		case c.computed != nil:
			v, err := w.comp[i].eval(&env{row: row})
			if err != nil {
				return err
			}
			row[i] = v
		}
		if row[i] == nil && !c.nullable {
			return sqlError(515, "Cannot insert the value NULL into column '%s', table '%s.%s.%s'; column does not allow nulls. INSERT fails.", c.name, w.db.name, w.tb.schema, w.tb.name)
		}
	}
	return nil
}

// lock locks a row, and says whether what was read before may be old.
func (w *writer) lock(key []any, insert bool) (bool, error) {
	s := w.s
	waited, err := s.srv.locks.lockRow(s.ctx, s.tx, s.lockTimeout, w.db, w.tb.id, keyString(key), insert)
	if err != nil {
		return waited, err
	}
	if s.level == snapshotLevel {
		now := w.db.st.Load().tables[w.tb.id]
		if now == nil || !sameRow(now.root.get(key), w.tb.root.get(key)) {
			return waited, sqlError(3960, "Snapshot isolation transaction aborted due to update conflict. You cannot use snapshot isolation to access table '%s.%s' directly or indirectly in database '%s' to update, delete, or insert the row that has been modified or deleted by another transaction. Retry the transaction or change the isolation level for the update/delete statement.", w.tb.schema, w.tb.name, w.db.name)
		}
	}
	return waited, nil
}

func sameRow(a, b []any) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// refresh takes the newest version of the table, after a wait.
func (w *writer) refresh() error {
	w.s.states = nil
	st, err := w.s.state(w.db)
	if err != nil {
		return err
	}
	tb := st.tables[w.tb.id]
	if tb == nil {
		return invalidObject(w.tb.schema + "." + w.tb.name)
	}
	w.tb = tb
	return nil
}

func (w *writer) rows() *node { return w.s.tx.rows(w.db, w.tb) }

func keyText(key []any, tb *table, idx []int) string {
	var parts []string
	for i, v := range key {
		t := nmaxType
		from := nmaxType
		if i < len(idx) {
			from = tb.columns[idx[i]].typ
		}
		x, err := convert(v, from, t, 0, false)
		if err != nil || x == nil {
			x = "<NULL>"
		}
		parts = append(parts, x.(string))
	}
	return strings.Join(parts, ", ")
}

// duplicate looks for a row that stands in the way of one with the key.
func (w *writer) duplicate(key, row []any, self []any) error {
	if w.tb.key != nil && (self == nil || compareKeys(key, self) != 0) && w.rows().get(key) != nil {
		return sqlError(2627, "Violation of PRIMARY KEY constraint '%s'. Cannot insert duplicate key in object '%s.%s'. The duplicate key value is (%s).",
			w.tb.primary().name, w.tb.schema, w.tb.name, keyText(key, w.tb, w.tb.key))
	}
	for _, i := range w.unique {
		want := w.tb.indexKey(i, row)
		var err error
		w.rows().ascend(nil, func(k, r []any) bool {
			if self != nil && compareKeys(k, self) == 0 || compareKeys(w.tb.indexKey(i, r), want) != 0 {
				return true
			}
			var idx []int
			for _, n := range i.columns {
				idx = append(idx, w.tb.column(n))
			}
			if i.unqConstr || i.primary {
				err = sqlError(2627, "Violation of UNIQUE KEY constraint '%s'. Cannot insert duplicate key in object '%s.%s'. The duplicate key value is (%s).",
					i.name, w.tb.schema, w.tb.name, keyText(want, w.tb, idx))
			} else {
				err = sqlError(2601, "Cannot insert duplicate key row in object '%s.%s' with unique index '%s'. The duplicate key value is (%s).",
					w.tb.schema, w.tb.name, i.name, keyText(want, w.tb, idx))
			}
			return false
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// insert stores a complete row.
func (w *writer) insert(row []any) error {
	if err := w.finish(row); err != nil {
		return err
	}
	key := w.tb.rowKey(row)
	waited, err := w.lock(key, true)
	if err == nil && waited {
		err = w.refresh()
	}
	if err == nil {
		err = w.duplicate(key, row, nil)
	}
	if err != nil {
		return err
	}
	w.s.tx.write(w.db, w.tb, key, row)
	w.s.tx.record(w.db, op{table: w.tb, after: row})
	return nil
}

// defaults makes a row of the columns' defaults.
func (w *writer) defaults(c *compiler) ([]any, error) {
	row := make([]any, len(w.tb.columns))
	for i, col := range w.tb.columns {
		if col.identity != nil {
			continue // the number is taken when it is known that it is needed
		}
		if col.def == nil {
			continue
		}
		v, err := c.expr(col.def)
		if err != nil {
			return nil, err
		}
		x, err := v.eval(&env{})
		if err != nil {
			return nil, err
		}
		if row[i], err = convert(x, v.typ, col.typ, 0, true); err != nil {
			return nil, err
		}
	}
	return row, nil
}

// slots are the columns that an INSERT names.
func (s *session) slots(st *tsql.Insert, tb *table) ([]int, error) {
	var out []int
	explicit := strings.EqualFold(s.identityIns, tb.name)
	if st.Columns == nil && !st.Defaults {
		for i, c := range tb.columns {
			if c.typ.Kind != tds.RowVersion && c.computed == nil && (c.identity == nil || explicit) {
				out = append(out, i)
			}
		}
		return out, nil
	}
	for _, n := range st.Columns {
		i := tb.column(n)
		if i < 0 {
			return nil, invalidColumn(n)
		}
		c := tb.columns[i]
		switch {
		case c.typ.Kind == tds.RowVersion:
			return nil, sqlError(273, "Cannot insert an explicit value into a timestamp column. Use INSERT with a column list to exclude the timestamp column, or insert a DEFAULT into the timestamp column.")
		case c.computed != nil:
			return nil, sqlError(271, "The column \"%s\" cannot be modified because it is either a computed column or is the result of a UNION operator.", c.name)
		case c.identity != nil && !explicit:
			return nil, sqlError(544, "Cannot insert explicit value for identity column in table '%s' when IDENTITY_INSERT is set to OFF.", tb.name)
		}
		out = append(out, i)
	}
	return out, nil
}

func (s *session) insert(st *tsql.Insert) error {
	if st.Output != nil {
		return notInModel("OUTPUT")
	}
	if strings.HasPrefix(st.Table[0], "@") {
		return s.insertVariable(st)
	}
	db, tb, err := s.target(st.Table)
	if err != nil {
		return err
	}
	slots, err := s.slots(st, tb)
	if err != nil {
		return err
	}
	w, err := s.writer(db, tb)
	if err != nil {
		return err
	}
	n := int64(0)
	put := func(types []tds.Type, vals []any, given []bool) error {
		row, err := w.defaults(&compiler{s: s, scope: &scope{}})
		if err != nil {
			return err
		}
		hasIdentity := false
		for k, i := range slots {
			if given != nil && !given[k] {
				continue
			}
			c := tb.columns[i]
			hasIdentity = hasIdentity || c.identity != nil
			if row[i], err = s.store(vals[k], types[k], c.typ); err != nil {
				return err
			}
		}
		for i, c := range tb.columns {
			if c.identity != nil && !hasIdentity {
				num := c.identity.next()
				if row[i], err = convert(num, bigType, c.typ, 0, true); err != nil {
					return err
				}
				s.identity = &num
			}
		}
		n++
		return w.insert(row)
	}
	if err := s.inserted(st, slots, put); err != nil {
		return err
	}
	s.rowCount = n
	return s.out.done(0xC3, s.counted(n))
}

// inserted calls put for the rows that an INSERT gives.
func (s *session) inserted(st *tsql.Insert, slots []int, put func([]tds.Type, []any, []bool) error) error {
	switch {
	case st.Defaults:
		return put(nil, nil, nil)
	case st.Query != nil:
		return s.insertQuery(st, slots, put)
	case st.Exec != nil:
		return s.insertExec(st, slots, put)
	}
	return s.insertRows(st, slots, put)
}

// insertExec inserts the rows that a procedure gives.
func (s *session) insertExec(st *tsql.Insert, slots []int, put func([]tds.Type, []any, []bool) error) error {
	client := s.out
	m := &memoryOutput{}
	s.out = m
	err := s.execute(st.Exec)
	s.out = client
	if err != nil {
		return err
	}
	if m.err != nil {
		return m.err
	}
	if m.cols != nil && len(m.cols) != len(slots) {
		return sqlError(213, "Column name or number of supplied values does not match table definition.")
	}
	types := make([]tds.Type, len(m.cols))
	for i, c := range m.cols {
		types[i] = c.Type
	}
	for _, row := range m.rows {
		if err := put(types, row, nil); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) insertVariable(st *tsql.Insert) error {
	v, err := s.tableVariable(st.Table[0])
	if err != nil {
		return err
	}
	slots, err := s.slots(st, v.tb)
	if err != nil {
		return err
	}
	n := int64(0)
	err = s.inserted(st, slots, func(types []tds.Type, vals []any, given []bool) error {
		row := make([]any, len(v.tb.columns))
		for k, i := range slots {
			if given != nil && !given[k] {
				continue
			}
			var err error
			if row[i], err = s.store(vals[k], types[k], v.tb.columns[i].typ); err != nil {
				return err
			}
		}
		v.rows = append(v.rows, row)
		n++
		return nil
	})
	if err != nil {
		return err
	}
	s.rowCount = n
	return s.out.done(0xC3, s.counted(n))
}

// store converts a value to a column's type.
func (s *session) store(v any, from, to tds.Type) (any, error) {
	if v == nil {
		return nil, nil
	}
	if from != to && !implicit(from, to) {
		return nil, sqlError(257, "Implicit conversion from data type %s to %s is not allowed. Use the CONVERT function to run this query.", from.Kind, to.Kind)
	}
	return convert(v, from, to, 0, true)
}

func (s *session) insertRows(st *tsql.Insert, slots []int, put func([]tds.Type, []any, []bool) error) error {
	for _, row := range st.Rows {
		if len(row) != len(slots) {
			return sqlError(213, "Column name or number of supplied values does not match table definition.")
		}
		types, vals, given := make([]tds.Type, len(row)), make([]any, len(row)), make([]bool, len(row))
		for i, x := range row {
			if x == nil {
				continue
			}
			v, a, err := s.value(x)
			if err != nil {
				return err
			}
			types[i], vals[i], given[i] = v.typ, a, true
		}
		if err := put(types, vals, given); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) insertQuery(st *tsql.Insert, slots []int, put func([]tds.Type, []any, []bool) error) error {
	var p *plan
	if err := s.compile(func(c *compiler) (err error) { p, err = c.query(st.Query); return }); err != nil {
		return err
	}
	if len(p.cols) != len(slots) {
		return sqlError(213, "Column name or number of supplied values does not match table definition.")
	}
	types := make([]tds.Type, len(p.cols))
	for i, c := range p.cols {
		types[i] = c.Type
	}
	var bad error
	err := p.run(nil, func(row []any) bool {
		bad = put(types, row, nil)
		return bad == nil
	})
	return firstOf(bad, err)
}

// hit is a row that UPDATE or DELETE means.
type hit struct{ key, row []any }

// single is the scope of the one table that UPDATE or DELETE names, which may have
// an alias in FROM.
func (s *session) single(n tsql.Name, from []tsql.Source) (tsql.Name, string, error) {
	if len(from) == 0 {
		return n, "", nil
	}
	t, ok := from[0].(*tsql.Table)
	if len(from) > 1 || !ok || t.Call {
		return nil, "", notInModel("UPDATE and DELETE with joins")
	}
	if len(n) == 1 && t.Alias != "" && strings.EqualFold(n[0], t.Alias) || strings.EqualFold(n.Last(), t.Name.Last()) {
		return t.Name, t.Alias, nil
	}
	return nil, "", notInModel("UPDATE and DELETE with joins")
}

// matched locks and gives the rows for which the condition holds.
func (s *session) matched(w *writer, alias string, where tsql.Expr, top tsql.Expr) ([]hit, *compiler, error) {
	for {
		r := tableRelation(w.tb, w.rows())
		r.setTable(w.db.name, w.tb.schema, w.tb.name)
		if alias != "" {
			r.alias(alias)
		}
		c := &compiler{s: s, scope: &scope{cols: r.cols}}
		k, err := c.where(where)
		if err != nil {
			return nil, nil, err
		}
		if c.waited {
			if err := w.refresh(); err != nil {
				return nil, nil, err
			}
			continue
		}
		low, err := c.lowBound(r, where)
		if err != nil {
			return nil, nil, err
		}
		lim, err := c.limits(top, nil, nil)
		if err != nil {
			return nil, nil, err
		}
		hits, err := w.hits(k, low, lim)
		if err != nil {
			return nil, nil, err
		}
		again := false
		for _, h := range hits {
			waited, err := w.lock(h.key, false)
			if err != nil {
				return nil, nil, err
			}
			again = again || waited
		}
		if !again {
			return hits, c, nil
		}
		if err := w.refresh(); err != nil {
			return nil, nil, err
		}
	}
}

func (w *writer) hits(k cond, low *value, lim limits) (out []hit, err error) {
	var from any
	if low != nil {
		if from, err = low.eval(&env{}); err != nil || from == nil {
			return nil, err
		}
	}
	top, _, err := lim.eval()
	if err != nil {
		return nil, err
	}
	var bad error
	w.rows().ascend(from, func(key, row []any) bool {
		if top >= 0 && int64(len(out)) >= top {
			return false
		}
		if k != nil {
			t, err := k(&env{row: row})
			if err != nil {
				bad = err
				return false
			}
			if t != yes {
				return true
			}
		}
		out = append(out, hit{key, row})
		return true
	})
	return out, bad
}

func (s *session) delete(st *tsql.Delete) error {
	name, alias, err := s.single(st.Table, st.From)
	if err != nil {
		return err
	}
	db, tb, err := s.target(name)
	if err != nil {
		return err
	}
	w, err := s.writer(db, tb)
	if err != nil {
		return err
	}
	hits, _, err := s.matched(w, alias, st.Where, st.Top)
	if err != nil {
		return err
	}
	for _, h := range hits {
		s.tx.write(db, w.tb, h.key, nil)
		s.tx.record(db, op{table: w.tb, before: h.row})
	}
	s.rowCount = int64(len(hits))
	return s.out.done(0xC4, s.counted(s.rowCount))
}

func (s *session) update(st *tsql.Update) error {
	name, alias, err := s.single(st.Table, st.From)
	if err != nil {
		return err
	}
	db, tb, err := s.target(name)
	if err != nil {
		return err
	}
	w, err := s.writer(db, tb)
	if err != nil {
		return err
	}
	hits, c, err := s.matched(w, alias, st.Where, st.Top)
	if err != nil {
		return err
	}
	sets, err := w.assignments(c, st.Set)
	if err != nil {
		return err
	}
	news := make([][]any, len(hits))
	for i, h := range hits {
		row := append([]any{}, h.row...)
		for k, set := range sets {
			if set.eval == nil {
				continue
			}
			v, err := set.eval(&env{row: h.row})
			if err != nil {
				return err
			}
			if row[k], err = s.store(v, set.typ, w.tb.columns[k].typ); err != nil {
				return err
			}
		}
		if err := w.finish(row); err != nil {
			return err
		}
		news[i] = row
	}
	if err := w.replace(hits, news); err != nil {
		return err
	}
	s.rowCount = int64(len(hits))
	return s.out.done(0xC5, s.counted(s.rowCount))
}

// assignments are the new values by column; those of untouched columns have no eval.
func (w *writer) assignments(c *compiler, sets []tsql.Set) ([]value, error) {
	out := make([]value, len(w.tb.columns))
	for _, set := range sets {
		i := w.tb.column(set.Column)
		if i < 0 {
			return nil, invalidColumn(set.Column)
		}
		col := w.tb.columns[i]
		if col.identity != nil {
			return nil, sqlError(8102, "Cannot update identity column '%s'.", col.name)
		}
		if col.computed != nil {
			return nil, sqlError(271, "The column \"%s\" cannot be modified because it is either a computed column or is the result of a UNION operator.", col.name)
		}
		if col.typ.Kind == tds.RowVersion {
			return nil, sqlError(272, "Cannot update a timestamp column.")
		}
		x := set.X
		if x == nil {
			x = col.def
			if x == nil {
				x = &tsql.Lit{}
			}
		}
		v, err := c.expr(x)
		if err != nil {
			return nil, err
		}
		if v.null {
			v.typ = col.typ
		}
		out[i] = v
	}
	return out, nil
}

// replace stores new rows in place of old ones; keys may change, all at once.
func (w *writer) replace(hits []hit, news [][]any) error {
	s := w.s
	keys := make([][]any, len(hits))
	moved := false
	for i, h := range hits {
		keys[i] = h.key
		if w.tb.key == nil {
			continue
		}
		key := w.tb.rowKey(news[i])
		same := compareKeys(key, h.key) == 0
		for k := range key {
			same = same && sameValue(key[k], h.key[k])
		}
		if same {
			continue
		}
		keys[i], moved = key, true
		if _, err := w.lock(key, true); err != nil {
			return err
		}
	}
	if moved {
		for _, h := range hits {
			s.tx.write(w.db, w.tb, h.key, nil)
		}
	}
	for i, h := range hits {
		self := h.key
		if moved {
			self = nil
		}
		if err := w.duplicate(keys[i], news[i], self); err != nil {
			return err
		}
		s.tx.write(w.db, w.tb, keys[i], news[i])
		changed := len(h.row) != len(news[i])
		for k := range news[i] {
			changed = changed || !sameValue(h.row[k], news[i][k])
		}
		if changed {
			s.tx.record(w.db, op{table: w.tb, before: h.row, after: news[i], keyChange: &keys[i][0] != &h.key[0]})
		}
	}
	return nil
}
