package mssqltest

import (
	"reflect"
	"slices"
	"strings"

	"tributary/internal/mssqltest/tsql"
)

// grouping is GROUP BY, or the one group of a query with aggregates. After it, a
// row is the groups' values and then the aggregates'.
type grouping struct {
	inner *scope // of the rows that are grouped
	exprs []tsql.Expr
	vals  []value
	aggs  []*aggregate
	asts  []*tsql.Call
	busy  bool
}

func (c *compiler) newGrouping(exprs []tsql.Expr) (*grouping, error) {
	g := &grouping{inner: c.scope, exprs: exprs}
	for _, x := range exprs {
		v, err := c.expr(x)
		if err != nil {
			return nil, err
		}
		g.vals = append(g.vals, v)
	}
	return g, nil
}

// lookup finds the slot of a grouped expression or an aggregate.
func (g *grouping) lookup(c *compiler, x tsql.Expr) (value, bool, error) {
	if g.busy {
		return value{}, false, nil
	}
	slot := func(i int, v value) value {
		v.col = nil
		v.eval = func(e *env) (any, error) { return e.row[i], nil }
		return v
	}
	for i, y := range g.exprs {
		if g.same(c, x, y) {
			return slot(i, g.vals[i]), true, nil
		}
	}
	switch x := x.(type) {
	case *tsql.Col:
		if _, up, err := c.resolve(x.Name); err != nil {
			return value{}, false, err
		} else if up == 0 {
			return value{}, false, sqlError(8120, "Column '%s' is invalid in the select list because it is not contained in either an aggregate function or the GROUP BY clause.", strings.Join(x.Name, "."))
		}
	case *tsql.Call:
		if !isAggregate(x) {
			return value{}, false, nil
		}
		for i, y := range g.asts {
			if reflect.DeepEqual(x, y) {
				a := g.aggs[i]
				return slot(len(g.exprs)+i, value{typ: a.typ, nullable: !strings.HasPrefix(a.name, "COUNT")}), true, nil
			}
		}
		g.busy = true
		a, err := c.aggregate(x)
		g.busy = false
		if err != nil {
			return value{}, false, err
		}
		g.asts, g.aggs = append(g.asts, x), append(g.aggs, a)
		return slot(len(g.exprs)+len(g.aggs)-1, value{typ: a.typ, nullable: !strings.HasPrefix(a.name, "COUNT")}), true, nil
	}
	return value{}, false, nil
}

// same says whether two expressions are the same, columns by what they mean.
func (g *grouping) same(c *compiler, x, y tsql.Expr) bool {
	a, ok1 := x.(*tsql.Col)
	b, ok2 := y.(*tsql.Col)
	if ok1 && ok2 {
		p, up1, err1 := c.resolve(a.Name)
		q, up2, err2 := c.resolve(b.Name)
		return err1 == nil && err2 == nil && p == q && up1 == up2
	}
	return reflect.DeepEqual(x, y)
}

func (g *grouping) run(x *specRun, up *env, yield func(*env) bool) error {
	type group struct {
		vals []any
		accs []acc
	}
	groups := map[string]*group{}
	var order []*group
	var bad error
	err := x.filtered(up, func(e *env) bool {
		vals := make([]any, len(g.vals))
		for i := range g.vals {
			if vals[i], bad = g.vals[i].eval(e); bad != nil {
				return false
			}
		}
		k := keyString(vals)
		gr := groups[k]
		if gr == nil {
			gr = &group{vals, make([]acc, len(g.aggs))}
			groups[k] = gr
			order = append(order, gr)
		}
		for i, a := range g.aggs {
			if bad = a.add(&gr.accs[i], e); bad != nil {
				return false
			}
		}
		return true
	})
	if bad != nil {
		return bad
	}
	if err != nil {
		return err
	}
	if len(g.exprs) == 0 && len(order) == 0 {
		order = append(order, &group{accs: make([]acc, len(g.aggs))})
	}
	e := &env{up: up}
	for _, gr := range order {
		row := slices.Clone(gr.vals)
		for i, a := range g.aggs {
			v, err := a.result(&gr.accs[i])
			if err != nil {
				return err
			}
			row = append(row, v)
		}
		e.row = row
		if x.having != nil {
			t, err := x.having(e)
			if err != nil {
				return err
			}
			if t != yes {
				continue
			}
		}
		if !yield(e) {
			return nil
		}
	}
	return nil
}
