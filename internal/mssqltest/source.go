package mssqltest

import (
	"slices"
	"strings"

	"tributary/internal/mssqltest/tds"
	"tributary/internal/mssqltest/tsql"
)

func derived(p *plan, alias string, names []string) (*relation, error) {
	r := &relation{seek: -1}
	if names != nil && len(names) != len(p.cols) {
		return nil, sqlError(8158, "'%s' has more columns than were specified in the column list.", alias)
	}
	for i, o := range p.cols {
		name := o.Name
		if names != nil {
			name = names[i]
		}
		if name == "" {
			return nil, sqlError(8155, "No column name was specified for column %d of '%s'.", i+1, alias)
		}
		r.cols = append(r.cols, scol{table: []string{alias}, name: name, typ: o.Type, nullable: o.Nullable, index: i})
	}
	r.scan = func(e *env, _ any, yield func([]any) bool) error { return p.run(e, yield) }
	return r, nil
}

func (c *compiler) values(s *tsql.Values) (*relation, error) {
	inner := *c
	inner.scope = &scope{outer: c.scope}
	r := &relation{seek: -1}
	rows := make([][]value, len(s.Rows))
	for i, row := range s.Rows {
		if len(row) != len(s.Columns) {
			return nil, sqlError(10709, "The number of columns for each row in a table value constructor must be the same.")
		}
		for _, x := range row {
			if x == nil {
				return nil, sqlError(10735, "Incorrect use of DEFAULT.")
			}
			v, err := inner.expr(x)
			if err != nil {
				return nil, err
			}
			rows[i] = append(rows[i], v)
		}
	}
	for k, name := range s.Columns {
		col := make([]value, len(rows))
		for i := range rows {
			col[i] = rows[i][k]
		}
		col, t, nullable, err := unifyAll(col)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			rows[i][k] = col[i]
		}
		r.cols = append(r.cols, scol{table: []string{s.Alias}, name: name, typ: t, nullable: nullable, index: k})
	}
	r.scan = func(e *env, _ any, yield func([]any) bool) error {
		for _, row := range rows {
			out := make([]any, len(row))
			for i, v := range row {
				var err error
				if out[i], err = v.eval(&env{up: e}); err != nil {
					return err
				}
			}
			if !yield(out) {
				return nil
			}
		}
		return nil
	}
	return r, nil
}

// table resolves a name in FROM: a common table expression, a system view, a
// change table, a table function or a table.
func (c *compiler) table(s *tsql.Table) (*relation, error) {
	if len(s.Name) == 1 && !s.Call {
		if cte := c.ctes[strings.ToLower(s.Name[0])]; cte != nil {
			return c.cte(cte)
		}
	}
	if strings.HasPrefix(s.Name[0], "@") {
		v, err := c.s.tableVariable(s.Name[0])
		if err != nil {
			return nil, err
		}
		r := tableRelation(v.tb, nil)
		r.setTable(s.Name[0])
		r.scan = func(_ *env, _ any, yield func([]any) bool) error {
			for _, row := range v.rows {
				if !yield(row) {
					break
				}
			}
			return nil
		}
		return r, nil
	}
	db, schema, name, err := c.s.objectName(s.Name)
	if err != nil {
		return nil, err
	}
	st, err := c.s.state(db)
	if err != nil {
		return nil, err
	}
	if err := c.s.enter(db); err != nil {
		return nil, err
	}
	if s.Call {
		return c.tableFunction(s, db, st, schema, name)
	}
	if err := c.s.stateViews(db, schema, name); err != nil {
		return nil, err
	}
	e := c.s.entity(db, st, schema, name)
	if r := c.systemView(db, st, schema, name); r != nil {
		r.setTable(db.name, strings.ToLower(schema), name)
		if e != nil {
			return r, c.s.readable(e, r)
		}
		return r, nil
	}
	if strings.EqualFold(schema, "cdc") && st.cdc {
		for _, in := range st.instances {
			if strings.EqualFold(in.name+"_CT", name) {
				r := changeTable(in, !c.s.srv.opts.SeqvalsReversed)
				r.setTable(db.name, "cdc", in.name+"_CT")
				return r, c.s.readable(e, r)
			}
		}
	}
	tb := st.find(schema, name)
	if tb == nil {
		return nil, invalidObject(strings.Join(s.Name, "."))
	}
	waited, err := c.s.readLock(db, tb, s.Hints)
	if err != nil {
		return nil, err
	}
	c.waited = c.waited || waited
	r := tableRelation(tb, c.s.tx.rows(db, tb))
	r.setTable(db.name, tb.schema, tb.name)
	e = tb.entity(db)
	for i, col := range tb.columns {
		r.cols[i].masked = col.mask != "" && !c.s.onObject("UNMASK", e, col.name)
	}
	return r, c.s.readable(e, r)
}

func (r *relation) setTable(parts ...string) {
	for i := range r.cols {
		r.cols[i].table, r.cols[i].base, r.cols[i].index = parts, parts, i
	}
}

func (c *compiler) cte(cte *tsql.CTE) (*relation, error) {
	inner := *c
	inner.scope, inner.top = &scope{}, false
	inner.windows = nil
	// A common table expression does not see itself: recursion is not in the model.
	inner.ctes = map[string]*tsql.CTE{}
	for k, v := range c.ctes {
		if v != cte {
			inner.ctes[k] = v
		}
	}
	p, err := inner.query(cte.Query)
	c.waited = c.waited || inner.waited
	if err != nil {
		return nil, err
	}
	r, err := derived(p, cte.Name, cte.Columns)
	if err != nil {
		return nil, err
	}
	r.scan = func(_ *env, _ any, yield func([]any) bool) error { return p.run(nil, yield) }
	return r, nil
}

func tableRelation(tb *table, root *node) *relation {
	r := &relation{seek: -1}
	for i, col := range tb.columns {
		r.cols = append(r.cols, scol{name: col.name, typ: col.typ, nullable: col.nullable, identity: col.identity != nil, computed: col.computed != nil, index: i})
	}
	if tb.key != nil {
		r.orders, r.seek = [][]int{tb.key}, tb.key[0]
	}
	r.scan = func(_ *env, from any, yield func([]any) bool) error {
		root.ascend(from, func(_, row []any) bool { return yield(row) })
		return nil
	}
	return r
}

// ctColumns are the first columns of a change table.
var ctColumns = []scol{
	{name: "__$start_lsn", typ: lsnType}, {name: "__$end_lsn", typ: lsnType, nullable: true}, {name: "__$seqval", typ: lsnType},
	{name: "__$operation", typ: intType}, {name: "__$update_mask", typ: varbinary(128), nullable: true},
}

// changedType is a captured column's type in the change table.
func changedType(t tds.Type) tds.Type {
	if t.Kind == tds.RowVersion {
		return tds.Type{Kind: tds.Binary, Length: 8}
	}
	return t
}

// changeTable are the rows of an instance. bySeqval says that sequence values have the
// order of commands.
func changeTable(in *instance, bySeqval bool) *relation {
	r := &relation{cols: slices.Clone(ctColumns)}
	for _, c := range in.columns {
		r.cols = append(r.cols, scol{name: c.name, typ: changedType(c.typ), nullable: true})
	}
	r.cols = append(r.cols, scol{name: "__$command_id", typ: intType, nullable: true})
	last := len(r.cols) - 1
	// The clustered index, and the order of the function.
	r.orders = [][]int{{0, last, 2, 3}}
	if bySeqval {
		r.orders = append(r.orders, []int{0, 2, 3})
	}
	rows := in.rows
	r.scan = func(_ *env, from any, yield func([]any) bool) error {
		k := 0
		if b, ok := from.([]byte); ok {
			k, _ = slices.BinarySearchFunc(rows, b, func(x ctRow, b []byte) int { return compareBytes(x.lsn[:], b) })
		}
		out := make([]any, last+1)
		for _, x := range rows[k:] {
			out[0], out[1], out[2], out[3], out[4] = x.lsn.Bytes(), nil, x.seq.Bytes(), x.op, x.mask
			copy(out[5:], x.values)
			out[last] = x.command
			if !yield(out) {
				break
			}
		}
		return nil
	}
	return r
}
