package mssqltest

import (
	"slices"
	"strings"

	"tributary/internal/mssqltest/tds"
	"tributary/internal/mssqltest/tsql"
)

// relation is a source of rows. scan yields them in order; from, if not nil, lets
// it leave out rows whose column seek is less.
type relation struct {
	cols   []scol
	scan   func(e *env, from any, yield func([]any) bool) error
	orders [][]int // the columns that the rows are ordered by, in each of several ways
	seek   int     // -1: none
}

// ordered says whether the rows come in the order of the keys.
func (r *relation) ordered(keys []sortKey) bool {
	return slices.ContainsFunc(r.orders, func(order []int) bool {
		for i, k := range keys {
			if k.desc || k.col == nil {
				return false
			}
			if i >= len(order) || order[i] != k.col.index {
				return false
			}
		}
		return true
	})
}

func (c *compiler) from(sources []tsql.Source) (*relation, error) {
	if len(sources) == 0 {
		return &relation{seek: -1, scan: func(_ *env, _ any, yield func([]any) bool) error { yield(nil); return nil }}, nil
	}
	r, err := c.source(sources[0])
	for _, s := range sources[1:] {
		if err != nil {
			return nil, err
		}
		var right *relation
		if right, err = c.source(s); err == nil {
			r, err = c.join("CROSS", r, right, nil)
		}
	}
	if err != nil {
		return nil, err
	}
	for i := range r.cols {
		r.cols[i].index = i
	}
	return r, nil
}

func (c *compiler) source(s tsql.Source) (*relation, error) {
	switch s := s.(type) {
	case *tsql.Table:
		r, err := c.table(s)
		if err != nil {
			return nil, err
		}
		if s.Alias != "" {
			r.alias(s.Alias)
		}
		return r, nil
	case *tsql.Derived:
		p, err := c.nested(s.Query)
		if err != nil {
			return nil, err
		}
		return derived(p, s.Alias, s.Columns)
	case *tsql.Values:
		return c.values(s)
	case *tsql.Join:
		return c.joinSource(s)
	}
	return nil, notInModel("such a source")
}

func (r *relation) alias(a string) {
	for i := range r.cols {
		r.cols[i].table = []string{a}
	}
}

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

func (c *compiler) joinSource(s *tsql.Join) (*relation, error) {
	l, err := c.source(s.L)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(s.Kind, "APPLY") {
		return c.apply(s, l)
	}
	r, err := c.source(s.R)
	if err != nil {
		return nil, err
	}
	return c.join(s.Kind, l, r, s.On)
}

// combine is the relation of both sides' columns.
func combine(l, r *relation, kind string) *relation {
	out := &relation{orders: l.orders, seek: l.seek}
	for _, s := range l.cols {
		s.index = len(out.cols)
		s.nullable = s.nullable || kind == "RIGHT" || kind == "FULL"
		out.cols = append(out.cols, s)
	}
	for _, s := range r.cols {
		s.index = len(out.cols)
		s.nullable = s.nullable || kind == "LEFT" || kind == "FULL" || kind == "OUTER APPLY"
		out.cols = append(out.cols, s)
	}
	if kind == "RIGHT" || kind == "FULL" {
		out.orders, out.seek = nil, -1
	}
	return out
}

// apply joins each row of the left with what the right gives for it.
func (c *compiler) apply(s *tsql.Join, l *relation) (*relation, error) {
	inner := *c
	inner.scope = &scope{cols: l.cols, outer: c.scope.outer}
	for i := range inner.scope.cols {
		inner.scope.cols[i].index = i
	}
	// The right is compiled one level further in.
	deeper := inner
	deeper.scope = &scope{outer: inner.scope}
	r, err := deeper.source(s.R)
	c.waited = c.waited || deeper.waited
	if err != nil {
		return nil, err
	}
	out := combine(l, r, s.Kind)
	width := len(out.cols)
	out.scan = func(e *env, from any, yield func([]any) bool) error {
		var bad error
		err := l.scan(e, from, func(lrow []any) bool {
			lenv := &env{row: lrow, up: e.up}
			more, matched := true, false
			bad = r.scan(&env{up: lenv}, nil, func(rrow []any) bool {
				matched = true
				row := make([]any, width)
				copy(row, lrow)
				copy(row[len(l.cols):], rrow)
				more = yield(row)
				return more
			})
			if bad == nil && !matched && s.Kind == "OUTER APPLY" {
				row := make([]any, width)
				copy(row, lrow)
				more = yield(row)
			}
			return bad == nil && more
		})
		if bad != nil {
			return bad
		}
		return err
	}
	return out, nil
}

// join joins two relations: by a hash of what ON equates, then by ON as a whole.
func (c *compiler) join(kind string, l, r *relation, on tsql.Expr) (*relation, error) {
	out := combine(l, r, kind)
	inner := *c
	inner.scope = &scope{cols: out.cols, outer: c.scope.outer}
	k := func(*env) (tri, error) { return yes, nil }
	var pairs [][2]value
	if on != nil {
		var err error
		if k, err = inner.cond(on); err != nil {
			return nil, err
		}
		pairs = inner.equated(on, len(l.cols))
	}
	c.waited = c.waited || inner.waited
	j := &joinRun{kind: kind, l: l, r: r, on: k, pairs: pairs, width: len(out.cols), left: len(l.cols)}
	out.scan = j.run
	return out, nil
}

// equated are the pairs of columns, left and right, that the condition equates.
func (c *compiler) equated(x tsql.Expr, left int) [][2]value {
	b, ok := x.(*tsql.Binary)
	if !ok {
		return nil
	}
	switch b.Op {
	case "AND":
		return append(c.equated(b.L, left), c.equated(b.R, left)...)
	case "=":
		p, q, err := c.pair(b.L, b.R)
		if err != nil {
			return nil
		}
		a, d, err := c.pair(b.L, b.R)
		_, _ = a, d
		lc, lok := b.L.(*tsql.Col)
		rc, rok := b.R.(*tsql.Col)
		if err != nil || !lok || !rok {
			return nil
		}
		ls, u1, err1 := c.resolve(lc.Name)
		rs, u2, err2 := c.resolve(rc.Name)
		if err1 != nil || err2 != nil || u1 != 0 || u2 != 0 {
			return nil
		}
		switch {
		case ls.index < left && rs.index >= left:
			return [][2]value{{p, q}}
		case rs.index < left && ls.index >= left:
			return [][2]value{{q, p}}
		}
	}
	return nil
}

type joinRun struct {
	kind        string
	l, r        *relation
	on          cond
	pairs       [][2]value
	width, left int
}

func (j *joinRun) hash(row []any, up *env, side int) (string, bool, error) {
	e := &env{row: row, up: up}
	var b []byte
	for _, p := range j.pairs {
		v, err := p[side].eval(e)
		if err != nil || v == nil {
			return "", false, err
		}
		b = appendKey(b, v)
	}
	return string(b), true, nil
}

func (j *joinRun) run(e *env, from any, yield func([]any) bool) error {
	type right struct {
		row  []any // as wide as the result
		used bool
	}
	var rights []*right
	table := map[string][]*right{}
	var bad error
	err := j.r.scan(&env{up: e.up}, nil, func(row []any) bool {
		w := make([]any, j.width)
		copy(w[j.left:], row)
		r := &right{row: w}
		rights = append(rights, r)
		if len(j.pairs) > 0 {
			k, ok, err := j.hash(w, e.up, 1)
			if err != nil {
				bad = err
				return false
			}
			if ok {
				table[k] = append(table[k], r)
			}
		}
		return true
	})
	if err = firstOf(bad, err); err != nil {
		return err
	}
	more := true
	row := make([]any, j.width)
	in := &env{row: row, up: e.up}
	err = j.l.scan(&env{up: e.up}, from, func(lrow []any) bool {
		copy(row, lrow)
		candidates := rights
		if len(j.pairs) > 0 {
			k, ok, err := j.hash(row, e.up, 0)
			if err != nil {
				bad = err
				return false
			}
			candidates = nil
			if ok {
				candidates = table[k]
			}
		}
		matched := false
		for _, r := range candidates {
			copy(row[j.left:], r.row[j.left:])
			t, err := j.on(in)
			if err != nil {
				bad = err
				return false
			}
			if t != yes {
				continue
			}
			matched, r.used = true, true
			if more = yield(row); !more {
				return false
			}
		}
		if !matched && (j.kind == "LEFT" || j.kind == "FULL") {
			clear(row[j.left:])
			more = yield(row)
		}
		return more
	})
	if err = firstOf(bad, err); err != nil || !more || j.kind != "RIGHT" && j.kind != "FULL" {
		return err
	}
	for _, r := range rights {
		if !r.used && !yield(r.row) {
			return nil
		}
	}
	return nil
}

func firstOf(errs ...error) error {
	for _, e := range errs {
		if e != nil {
			return e
		}
	}
	return nil
}

// lowBound is the least value of the relation's seek column that WHERE allows.
func (c *compiler) lowBound(r *relation, where tsql.Expr) (*value, error) {
	if where == nil || r.seek < 0 {
		return nil, nil
	}
	return c.lowOf(where, &c.scope.cols[r.seek]), nil
}

func (c *compiler) lowOf(x tsql.Expr, col *scol) *value {
	switch x := x.(type) {
	case *tsql.Between:
		if !x.Not {
			return c.lowOf(&tsql.Binary{Op: ">=", L: x.X, R: x.Lo}, col)
		}
	case *tsql.Binary:
		switch x.Op {
		case "AND":
			if v := c.lowOf(x.L, col); v != nil {
				return v
			}
			return c.lowOf(x.R, col)
		case "OR":
			a, b := c.lowOf(x.L, col), c.lowOf(x.R, col)
			if a == nil || b == nil {
				return nil
			}
			return &value{typ: col.typ, eval: func(e *env) (any, error) {
				p, err := a.eval(e)
				if err != nil {
					return nil, err
				}
				q, err := b.eval(e)
				switch {
				case err != nil || p == nil:
					return q, err
				case q == nil || compare(p, q) < 0:
					return p, nil
				}
				return q, nil
			}}
		case "=", ">", ">=":
			n, ok := x.L.(*tsql.Col)
			if !ok {
				return nil
			}
			s, up, err := c.resolve(n.Name)
			if err != nil || up != 0 || s != col || !fixed(x.R) {
				return nil
			}
			v, err := c.expr(x.R)
			if err != nil || unify(v.typ, col.typ).Kind != col.typ.Kind {
				return nil
			}
			if v, err = v.as(col.typ); err != nil {
				return nil
			}
			return &v
		}
	}
	return nil
}

// fixed: the same for all rows.
func fixed(x tsql.Expr) bool {
	switch x := x.(type) {
	case *tsql.Lit, *tsql.Var:
		return true
	case *tsql.Cast:
		return fixed(x.X)
	case *tsql.Unary:
		return fixed(x.X)
	}
	return false
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
	if s.Call {
		return c.tableFunction(s, db, st, schema, name)
	}
	if err := c.s.srv.readable(db, schema, name); err != nil {
		return nil, err
	}
	if r := c.systemView(db, st, schema, name); r != nil {
		r.setTable(db.name, strings.ToLower(schema), name)
		return r, nil
	}
	if strings.EqualFold(schema, "cdc") && st.cdc {
		for _, in := range st.instances {
			if strings.EqualFold(in.name+"_CT", name) {
				r := changeTable(in)
				r.setTable(db.name, "cdc", in.name+"_CT")
				return r, nil
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
	return r, nil
}

func (r *relation) setTable(parts ...string) {
	for i := range r.cols {
		r.cols[i].table, r.cols[i].base, r.cols[i].index = parts, parts, i
	}
}

func (c *compiler) cte(cte *tsql.CTE) (*relation, error) {
	inner := *c
	inner.scope = &scope{}
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

func changeTable(in *instance) *relation {
	r := &relation{cols: slices.Clone(ctColumns)}
	for _, c := range in.columns {
		r.cols = append(r.cols, scol{name: c.name, typ: changedType(c.typ), nullable: true})
	}
	r.cols = append(r.cols, scol{name: "__$command_id", typ: intType, nullable: true})
	last := len(r.cols) - 1
	// The clustered index, and the order of the function, which are the same here.
	r.orders = [][]int{{0, last, 2, 3}, {0, 2, 3}}
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
