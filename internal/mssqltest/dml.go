package mssqltest

import (
	"strings"

	"tributary/internal/mssqltest/tds"
	"tributary/internal/mssqltest/tsql"
)

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
	if e := tb.entity(db); !s.onObject("INSERT", e, "") {
		return e.denied("INSERT")
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
		w.unreadable(r)
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
		low := c.bound(r, where, lowEnd)
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

// unreadable has the columns that the user may not read be errors where a condition or
// a new value names them.
func (w *writer) unreadable(r *relation) {
	e := w.tb.entity(w.db)
	denied, err := w.s.columnRights("SELECT", e)
	for i := range r.cols {
		r.cols[i].denied = denied[strings.ToLower(r.cols[i].name)]
		if err != nil {
			r.cols[i].denied = e.denied("SELECT")
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
	if e := tb.entity(db); !s.onObject("DELETE", e, "") {
		return e.denied("DELETE")
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
	denied, err := s.columnRights("UPDATE", tb.entity(db))
	if err != nil {
		return err
	}
	for _, set := range st.Set {
		if d := denied[strings.ToLower(set.Column)]; d != nil {
			return d
		}
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
