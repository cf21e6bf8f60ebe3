package mssqltest

import (
	"errors"
	"slices"
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
	if err := s.enter(db); err != nil {
		return nil, nil, err
	}
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
		if i.unique && (!i.primary || tb.key == nil) {
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
	// Others may have committed the row between the reading and the lock, which then
	// was free.
	now := w.db.st.Load().tables[w.tb.id]
	if now == nil || !now.sameColumns(w.tb) || !sameRow(now.root.get(key), w.tb.root.get(key)) {
		waited = true
		if s.level == snapshotLevel {
			return true, sqlError(3960, "Snapshot isolation transaction aborted due to update conflict. You cannot use snapshot isolation to access table '%s.%s' directly or indirectly in database '%s' to update, delete, or insert the row that has been modified or deleted by another transaction. Retry the transaction or change the isolation level for the update/delete statement.", w.tb.schema, w.tb.name, w.db.name)
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
	if !tb.sameColumns(w.tb) {
		return errAltered
	}
	w.tb = tb
	return nil
}

// errAltered is that a statement was compiled for a table which was altered before
// its first row was locked.
var errAltered = errors.New("the table was altered meanwhile")

// sameColumns reports whether rows of both versions of a table look the same.
func (t *table) sameColumns(o *table) bool { return slices.Equal(t.columns, o.columns) }

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
