package mssqltest

import (
	"slices"

	"tributary/internal/mssqltest/tsql"
)

// end is one end of the values that WHERE allows for a column.
type end struct {
	ops  []string // comparisons that give it
	sign int      // compare's, if the first is further out than the second
}

var (
	lowEnd  = end{[]string{"=", ">", ">="}, -1}
	highEnd = end{[]string{"=", "<", "<="}, 1}
)

// bound is an end of the values that WHERE allows for the relation's seek column;
// nil if there is none.
func (c *compiler) bound(r *relation, where tsql.Expr, which end) *value {
	if where == nil || r.seek < 0 {
		return nil
	}
	return c.boundOf(where, &c.scope.cols[r.seek], which)
}

func (c *compiler) boundOf(x tsql.Expr, col *scol, which end) *value {
	switch x := x.(type) {
	case *tsql.Between:
		if !x.Not {
			return c.boundOf(&tsql.Binary{Op: "AND", L: &tsql.Binary{Op: ">=", L: x.X, R: x.Lo}, R: &tsql.Binary{Op: "<=", L: x.X, R: x.Hi}}, col, which)
		}
	case *tsql.Binary:
		switch {
		case x.Op == "AND":
			if v := c.boundOf(x.L, col, which); v != nil {
				return v
			}
			return c.boundOf(x.R, col, which)
		case x.Op == "OR":
			a, b := c.boundOf(x.L, col, which), c.boundOf(x.R, col, which)
			if a == nil || b == nil {
				return nil
			}
			return further(a, b, col, which.sign)
		case slices.Contains(which.ops, x.Op):
			n, ok := x.L.(*tsql.Col)
			if !ok {
				return nil
			}
			s, up, err := c.resolve(n.Name)
			if err != nil || up != 0 || s != col || !fixed(x.R) {
				return nil
			}
			v, err := c.expr(x.R)
			if err != nil || unify(v.typ, col.typ).Kind != col.typ.Kind && (!v.typ.Bytes() || !col.typ.Bytes()) {
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

// further is what is further out of two ends; NULL allows nothing.
func further(a, b *value, col *scol, sign int) *value {
	return &value{typ: col.typ, eval: func(e *env) (any, error) {
		p, err := a.eval(e)
		if err != nil {
			return nil, err
		}
		q, err := b.eval(e)
		switch {
		case err != nil || p == nil:
			return q, err
		case q == nil || compare(p, q)*sign > 0:
			return p, nil
		}
		return q, nil
	}}
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
