package mssqltest

import (
	"slices"
	"strings"

	"tributary/internal/mssqltest/tds"
	"tributary/internal/mssqltest/tsql"
)

// plan is a compiled query. run calls yield for the rows until it returns false;
// a row is valid only until the next.
type plan struct {
	cols []outCol
	run  func(up *env, yield func([]any) bool) error
}

type outCol struct {
	tds.Column
	assign string // the variable that takes the value
}

// nested compiles a query within an expression or FROM.
func (c *compiler) nested(q *tsql.Query) (*plan, error) {
	inner := *c
	inner.scope, inner.top = &scope{outer: c.scope}, false
	inner.windows = nil
	p, err := inner.query(q)
	c.waited = c.waited || inner.waited
	return p, err
}

// query compiles a query; c.scope.outer is what surrounds it.
func (c *compiler) query(q *tsql.Query) (*plan, error) {
	c.depth++
	if c.depth > 32 {
		return nil, sqlError(191, "Some part of your SQL statement is nested too deeply.")
	}
	if len(q.With) > 0 {
		old := c.ctes
		defer func() { c.ctes = old }()
		m := map[string]*tsql.CTE{}
		for k, v := range old {
			m[k] = v
		}
		for i := range q.With {
			m[strings.ToLower(q.With[i].Name)] = &q.With[i]
		}
		c.ctes = m
	}
	switch b := q.Body.(type) {
	case *tsql.Spec:
		return c.spec(b, q.Order, q.Offset, q.Fetch)
	case *tsql.SetOp:
		return c.setOp(b, q)
	}
	return nil, notInModel("such a query")
}

func (c *compiler) body(b tsql.Body) (*plan, error) {
	inner := *c
	inner.scope = &scope{outer: c.scope.outer}
	defer func() { c.waited = c.waited || inner.waited }()
	if s, ok := b.(*tsql.Spec); ok {
		return inner.spec(s, nil, nil, nil)
	}
	return inner.setOp(b.(*tsql.SetOp), &tsql.Query{})
}

func (c *compiler) setOp(b *tsql.SetOp, q *tsql.Query) (*plan, error) {
	l, err := c.body(b.L)
	if err != nil {
		return nil, err
	}
	r, err := c.body(b.R)
	if err != nil {
		return nil, err
	}
	if len(l.cols) != len(r.cols) {
		return nil, sqlError(205, "All queries combined using a UNION, INTERSECT or EXCEPT operator must have an equal number of expressions in their target lists.")
	}
	cols := slices.Clone(l.cols)
	for i := range cols {
		cols[i].Type = unify(l.cols[i].Type, r.cols[i].Type)
		cols[i].Nullable = l.cols[i].Nullable || r.cols[i].Nullable
		cols[i].Identity, cols[i].Table = false, nil
	}
	out := &plan{cols: cols}
	keys, err := outputOrder(cols, q.Order)
	if err != nil {
		return nil, err
	}
	if q.Offset != nil || q.Fetch != nil {
		return nil, notInModel("OFFSET after UNION")
	}
	out.run = func(up *env, yield func([]any) bool) error {
		var rows [][]any
		seen := map[string]bool{}
		for _, p := range []*plan{l, r} {
			var bad error
			err := p.run(up, func(row []any) bool {
				row = slices.Clone(row)
				for i := range row {
					if row[i], bad = convert(row[i], p.cols[i].Type, cols[i].Type, 0, false); bad != nil {
						return false
					}
				}
				if k := keyString(row); b.All || !seen[k] {
					seen[k] = true
					rows = append(rows, row)
				}
				return true
			})
			if err == nil {
				err = bad
			}
			if err != nil {
				return err
			}
		}
		slices.SortStableFunc(rows, func(a, b []any) int {
			for _, k := range keys {
				if d := compare(a[k.col], b[k.col]); d != 0 {
					if k.desc {
						return -d
					}
					return d
				}
			}
			return 0
		})
		for _, row := range rows {
			if !yield(row) {
				return nil
			}
		}
		return nil
	}
	return out, nil
}

type outKey struct {
	col  int
	desc bool
}

func outputOrder(cols []outCol, order []tsql.Order) ([]outKey, error) {
	var keys []outKey
	for _, o := range order {
		i := outputColumn(cols, o.X)
		if i < 0 {
			return nil, sqlError(104, "ORDER BY items must appear in the select list if the statement contains a UNION, INTERSECT or EXCEPT operator.")
		}
		keys = append(keys, outKey{i, o.Desc})
	}
	return keys, nil
}

// outputColumn finds the output column that an item of ORDER BY names: by number
// or by name. It is -1 if there is none.
func outputColumn(cols []outCol, x tsql.Expr) int {
	switch x := x.(type) {
	case *tsql.Lit:
		if x.Kind == tsql.LitInt {
			n := 0
			for _, d := range x.Text {
				n = min(n*10+int(d-'0'), 1e6)
			}
			if n >= 1 && n <= len(cols) {
				return n - 1
			}
		}
	case *tsql.Col:
		if len(x.Name) == 1 {
			return slices.IndexFunc(cols, func(o outCol) bool { return strings.EqualFold(o.Name, x.Name[0]) })
		}
	}
	return -1
}

// spec compiles one SELECT with the ORDER BY of its query.
func (c *compiler) spec(s *tsql.Spec, order []tsql.Order, offset, fetch tsql.Expr) (*plan, error) {
	outer := c.scope.outer
	rel, err := c.from(s.From)
	if err != nil {
		return nil, err
	}
	c.scope = &scope{cols: rel.cols, outer: outer}
	where, err := c.where(s.Where)
	if err != nil {
		return nil, err
	}
	var windows []*window
	c.windows = &windows
	if len(s.Group) > 0 || s.Having != nil || hasAggregate(s.Items, order) {
		if c.scope.group, err = c.newGrouping(s.Group); err != nil {
			return nil, err
		}
	}
	cols, vals, masked, err := c.items(s.Items)
	if err != nil {
		return nil, err
	}
	var having cond
	if s.Having != nil {
		if having, err = c.cond(s.Having); err != nil {
			return nil, err
		}
	}
	keys, err := c.orderKeys(cols, vals, order)
	if err != nil {
		return nil, err
	}
	limit, err := c.limits(s.Top, offset, fetch)
	if err != nil {
		return nil, err
	}
	if err := c.hide(vals, masked); err != nil {
		return nil, err
	}
	low, high := c.bound(rel, s.Where, lowEnd), c.bound(rel, s.Where, highEnd)
	if !slices.ContainsFunc(rel.orders, func(o []int) bool { return o[0] == rel.seek }) {
		high = nil // there may be more behind it
	}
	x := &specRun{
		c: c, rel: rel, where: where, windows: windows, group: c.scope.group, having: having, vals: vals, keys: keys,
		distinct: s.Distinct, limit: limit, low: low, high: high, noSort: len(windows) == 0 && c.scope.group == nil && !s.Distinct && rel.ordered(keys),
	}
	if s.Distinct {
		for _, k := range keys {
			if k.out < 0 {
				return nil, sqlError(145, "ORDER BY items must appear in the select list if SELECT DISTINCT is specified.")
			}
		}
	}
	return &plan{cols: cols, run: x.run}, nil
}

func (c *compiler) where(x tsql.Expr) (cond, error) {
	if x == nil {
		return nil, nil
	}
	return c.cond(x)
}

// items compiles the select list. masked says which of it has masked columns.
func (c *compiler) items(items []tsql.Item) (cols []outCol, vals []value, masked []bool, err error) {
	for _, it := range items {
		if st, ok := it.X.(*tsql.Star); ok {
			if c.scope.group != nil {
				return nil, nil, nil, notInModel("* with GROUP BY")
			}
			n := len(cols)
			for i := range c.scope.cols {
				sc := &c.scope.cols[i]
				if st.Qualifier == nil || qualifies(st.Qualifier, sc.table) {
					if sc.denied != nil {
						return nil, nil, nil, sc.denied
					}
					i := sc.index
					v := value{typ: sc.typ, nullable: sc.nullable, identity: sc.identity, col: sc, eval: func(e *env) (any, error) { return e.row[i], nil }}
					cols, vals, masked = append(cols, column1(sc.name, v)), append(vals, v), append(masked, sc.masked)
				}
			}
			if n == len(cols) {
				return nil, nil, nil, sqlError(107, "The column prefix '%s' does not match with a table name or alias name used in the query.", strings.Join(st.Qualifier, "."))
			}
			continue
		}
		c.masked = false
		v, err := c.expr(it.X)
		if err != nil {
			return nil, nil, nil, err
		}
		name := it.Alias
		if col, ok := it.X.(*tsql.Col); ok && name == "" {
			name = col.Name.Last()
			if v.col != nil {
				name = v.col.name
			}
		}
		o := column1(name, v)
		o.assign = it.Assign
		cols, vals, masked = append(cols, o), append(vals, v), append(masked, c.masked)
	}
	return cols, vals, masked, nil
}

func column1(name string, v value) outCol {
	o := outCol{Column: tds.Column{Name: name, Type: v.typ, Nullable: v.nullable, Identity: v.identity}}
	if v.col != nil {
		o.Computed = v.col.computed
		if isOldLOB(v.typ) {
			o.Table = v.col.base
		}
	} else {
		o.Computed = true
	}
	return o
}

// sortKey is an item of ORDER BY.
type sortKey struct {
	value
	desc bool
	out  int // the output column, -1 if it is none
}

func (c *compiler) orderKeys(cols []outCol, vals []value, order []tsql.Order) ([]sortKey, error) {
	var keys []sortKey
	for _, o := range order {
		i := outputColumn(cols, o.X)
		if i >= 0 {
			keys = append(keys, sortKey{vals[i], o.Desc, i})
			continue
		}
		if l, ok := o.X.(*tsql.Lit); ok {
			return nil, sqlError(108, "The ORDER BY position number %s is out of range of the number of items in the select list.", l.Text)
		}
		v, err := c.expr(o.X)
		if err != nil {
			return nil, err
		}
		out := -1
		for i, w := range vals {
			if v.col != nil && w.col == v.col {
				out = i
			}
		}
		keys = append(keys, sortKey{v, o.Desc, out})
	}
	return keys, nil
}

// limits are TOP, OFFSET and FETCH; -1 is none.
type limits struct{ top, skip value }

func (c *compiler) limits(top, offset, fetch tsql.Expr) (l limits, err error) {
	none := constant(bigType, int64(-1))
	l.top, l.skip = none, none
	one := func(x tsql.Expr) (value, error) {
		inner := *c
		inner.scope = &scope{}
		v, err := inner.expr(x)
		if err != nil {
			return v, err
		}
		return v.as(bigType)
	}
	if top != nil && offset != nil {
		return l, sqlError(10741, "A TOP can not be used in the same query or sub-query as a OFFSET.")
	}
	if top != nil {
		l.top, err = one(top)
	}
	if offset != nil && err == nil {
		l.skip, err = one(offset)
		if fetch != nil && err == nil {
			l.top, err = one(fetch)
		}
	}
	return l, err
}

func (l limits) eval() (top, skip int64, err error) {
	a, err := l.top.eval(&env{})
	if err != nil {
		return 0, 0, err
	}
	b, err := l.skip.eval(&env{})
	if err != nil {
		return 0, 0, err
	}
	if a == nil || b == nil {
		return 0, 0, sqlError(1014, "A TOP or FETCH clause contains an invalid value.")
	}
	top, skip = a.(int64), b.(int64)
	return top, max(skip, 0), nil
}

func (x *specRun) run(up *env, yield func([]any) bool) error {
	top, skip, err := x.limit.eval()
	if err != nil {
		return err
	}
	if top == 0 {
		return nil
	}
	if len(x.keys) == 0 || x.noSort {
		return x.stream(up, top, skip, yield)
	}
	return x.sorted(up, top, skip, yield)
}
