package mssqltest

import (
	"math/big"
	"slices"
	"strings"

	"tributary/internal/mssqltest/tds"
	"tributary/internal/mssqltest/tsql"
)

type aggregate struct {
	name     string
	arg      value
	star     bool
	distinct bool
	sep      value
	typ      tds.Type
}

var aggregates = map[string]bool{"COUNT": true, "COUNT_BIG": true, "MIN": true, "MAX": true, "SUM": true, "AVG": true, "STRING_AGG": true}

func isAggregate(x *tsql.Call) bool {
	return len(x.Name) == 1 && x.Over == nil && aggregates[strings.ToUpper(x.Name[0])]
}

// hasAggregate looks for an aggregate outside subqueries.
func hasAggregate(items []tsql.Item, order []tsql.Order) bool {
	for _, it := range items {
		if containsAggregate(it.X) {
			return true
		}
	}
	for _, o := range order {
		if containsAggregate(o.X) {
			return true
		}
	}
	return false
}

func containsAggregate(x tsql.Expr) bool {
	some := func(xs ...tsql.Expr) bool {
		return slices.ContainsFunc(xs, func(y tsql.Expr) bool { return y != nil && containsAggregate(y) })
	}
	switch x := x.(type) {
	case *tsql.Call:
		return isAggregate(x) || some(x.Args...)
	case *tsql.Unary:
		return some(x.X)
	case *tsql.Binary:
		return some(x.L, x.R)
	case *tsql.Not:
		return some(x.X)
	case *tsql.IsNull:
		return some(x.X)
	case *tsql.Between:
		return some(x.X, x.Lo, x.Hi)
	case *tsql.In:
		return some(x.X) || some(x.List...)
	case *tsql.Like:
		return some(x.X, x.Pattern)
	case *tsql.Cast:
		return some(x.X)
	case *tsql.Case:
		for _, w := range x.Whens {
			if some(w.Cond, w.Then) {
				return true
			}
		}
		return some(x.X, x.Else)
	}
	return false
}

func (c *compiler) aggregate(x *tsql.Call) (*aggregate, error) {
	a := &aggregate{name: strings.ToUpper(x.Name[0]), star: x.Star, distinct: x.Distinct}
	want := 1
	if a.name == "STRING_AGG" {
		want = 2
	}
	if !a.star && len(x.Args) != want {
		return nil, sqlError(174, "The %s function requires %d argument(s).", a.name, want)
	}
	if a.star {
		if a.name != "COUNT" && a.name != "COUNT_BIG" {
			return nil, sqlError(102, "Incorrect syntax near '*'.")
		}
	} else {
		var err error
		if a.arg, err = c.expr(x.Args[0]); err != nil {
			return nil, err
		}
	}
	switch a.name {
	case "COUNT":
		a.typ = intType
	case "COUNT_BIG":
		a.typ = bigType
	case "MIN", "MAX":
		a.typ = a.arg.typ
		if a.typ.Kind == tds.Bit || a.typ.Large() && a.typ.Length != tds.Max {
			return nil, sqlError(8117, "Operand data type %s is invalid for %s operator.", a.typ.Kind, strings.ToLower(a.name))
		}
		a.typ.Sysname = false
	case "STRING_AGG":
		a.typ = nmaxType
		var err error
		if a.sep, err = c.expr(x.Args[1]); err != nil {
			return nil, err
		}
		a.arg, err = a.arg.as(nmaxType)
		return a, err
	default:
		t := a.arg.typ
		switch {
		case t.Kind == tds.BigInt:
			a.typ = t
		case t.Integer():
			a.typ = intType
		case t.Kind == tds.Real || t.Kind == tds.Float:
			a.typ = floatType
		case t.Kind == tds.DecimalKind || t.Kind == tds.Numeric:
			a.typ = tds.Type{Kind: tds.DecimalKind, Precision: 38, Scale: t.Scale}
			if a.name == "AVG" {
				a.typ.Scale = max(6, t.Scale)
			}
		case t.Exact():
			a.typ = tds.Type{Kind: tds.Money}
		default:
			return nil, sqlError(8117, "Operand data type %s is invalid for %s operator.", t.Kind, strings.ToLower(a.name))
		}
	}
	return a, nil
}

// acc gathers an aggregate over a group.
type acc struct {
	n    int64
	v    any
	seen map[string]bool
	text []string
}

func (a *aggregate) add(s *acc, e *env) error {
	if a.star {
		s.n++
		return nil
	}
	v, err := a.arg.eval(e)
	if err != nil || v == nil {
		return err
	}
	if a.distinct {
		if s.seen == nil {
			s.seen = map[string]bool{}
		}
		k := keyString([]any{v})
		if s.seen[k] {
			return nil
		}
		s.seen[k] = true
	}
	s.n++
	switch a.name {
	case "MIN":
		if s.v == nil || compare(v, s.v) < 0 {
			s.v = v
		}
	case "MAX":
		if s.v == nil || compare(v, s.v) > 0 {
			s.v = v
		}
	case "SUM", "AVG":
		switch x := v.(type) {
		case int64:
			if s.v == nil {
				s.v = int64(0)
			}
			s.v, err = intOp("+", s.v.(int64), x, a.typ)
		case float64:
			if s.v == nil {
				s.v = 0.0
			}
			s.v = s.v.(float64) + x
		case tds.Dec:
			if s.v == nil {
				s.v = tds.Dec{Unscaled: new(big.Int), Scale: x.Scale}
			}
			s.v = tds.Dec{Unscaled: new(big.Int).Add(s.v.(tds.Dec).Unscaled, x.Unscaled), Scale: x.Scale}
		}
	case "STRING_AGG":
		s.text = append(s.text, v.(string))
	}
	return err
}

func (a *aggregate) result(s *acc) (any, error) {
	switch a.name {
	case "COUNT", "COUNT_BIG":
		return s.n, nil
	case "STRING_AGG":
		if s.n == 0 {
			return nil, nil
		}
		sep, err := a.sep.eval(&env{})
		t, _ := sep.(string)
		return strings.Join(s.text, t), err
	case "AVG":
		switch x := s.v.(type) {
		case int64:
			return x / s.n, nil
		case float64:
			return x / float64(s.n), nil
		case tds.Dec:
			n := x.Rescale(max(a.typ.Scale, 4)).Unscaled
			return toDecimal(tds.Dec{Unscaled: new(big.Int).Quo(n, big.NewInt(s.n)), Scale: max(a.typ.Scale, 4)}, a.typ, a.typ)
		}
	}
	return s.v, nil
}
