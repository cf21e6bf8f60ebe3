package mssqltest

import (
	"tributary/internal/mssqltest/tsql"
)

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
