package mssqltest

import (
	"math/big"
	"reflect"
	"slices"
	"strings"

	"tributary/internal/mssqltest/tds"
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
	any := func(xs ...tsql.Expr) bool {
		return slices.ContainsFunc(xs, func(y tsql.Expr) bool { return y != nil && containsAggregate(y) })
	}
	switch x := x.(type) {
	case *tsql.Call:
		return isAggregate(x) || any(x.Args...)
	case *tsql.Unary:
		return any(x.X)
	case *tsql.Binary:
		return any(x.L, x.R)
	case *tsql.Not:
		return any(x.X)
	case *tsql.IsNull:
		return any(x.X)
	case *tsql.Between:
		return any(x.X, x.Lo, x.Hi)
	case *tsql.In:
		return any(x.X) || any(x.List...)
	case *tsql.Like:
		return any(x.X, x.Pattern)
	case *tsql.Cast:
		return any(x.X)
	case *tsql.Case:
		for _, w := range x.Whens {
			if any(w.Cond, w.Then) {
				return true
			}
		}
		return any(x.X, x.Else)
	}
	return false
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

// window is ROW_NUMBER() OVER (…), a column after those of FROM.
type window struct {
	part []value
	keys []sortKey
}

func (c *compiler) window(x *tsql.Call) (value, error) {
	if len(x.Name) != 1 || !strings.EqualFold(x.Name[0], "ROW_NUMBER") || len(x.Args) > 0 {
		return value{}, notInModel("the window function %s", x.Name.Last())
	}
	if c.windows == nil || c.scope.group != nil {
		return value{}, sqlError(4108, "Windowed functions can only appear in the SELECT or ORDER BY clauses.")
	}
	if len(x.Over.Order) == 0 {
		return value{}, sqlError(4112, "The function 'ROW_NUMBER' must have an OVER clause with ORDER BY.")
	}
	w := &window{}
	for _, p := range x.Over.Partition {
		v, err := c.expr(p)
		if err != nil {
			return v, err
		}
		w.part = append(w.part, v)
	}
	for _, o := range x.Over.Order {
		v, err := c.expr(o.X)
		if err != nil {
			return v, err
		}
		w.keys = append(w.keys, sortKey{v, o.Desc, -1})
	}
	slot := len(c.scope.cols) + len(*c.windows)
	*c.windows = append(*c.windows, w)
	return value{typ: bigType, nullable: true, eval: func(e *env) (any, error) { return e.row[slot], nil }}, nil
}

func runWindows(x *specRun, up *env, yield func(*env) bool) error {
	width := len(x.rel.cols)
	var rows [][]any
	err := x.filtered(up, func(e *env) bool {
		row := make([]any, width+len(x.windows))
		copy(row, e.row)
		rows = append(rows, row)
		return true
	})
	if err != nil {
		return err
	}
	for i, w := range x.windows {
		if err := w.number(rows, width+i, up); err != nil {
			return err
		}
	}
	e := &env{up: up}
	for _, row := range rows {
		e.row = row
		if !yield(e) {
			return nil
		}
	}
	return nil
}

func (w *window) number(rows [][]any, slot int, up *env) error {
	type entry struct {
		row  []any
		keys []any
	}
	parts := map[string][]entry{}
	e := &env{up: up}
	for _, row := range rows {
		e.row = row
		var part []any
		for _, p := range w.part {
			v, err := p.eval(e)
			if err != nil {
				return err
			}
			part = append(part, v)
		}
		en := entry{row: row}
		for _, k := range w.keys {
			v, err := k.eval(e)
			if err != nil {
				return err
			}
			en.keys = append(en.keys, v)
		}
		k := keyString(part)
		parts[k] = append(parts[k], en)
	}
	for _, p := range parts {
		slices.SortStableFunc(p, func(a, b entry) int {
			for i, k := range w.keys {
				if d := compare(a.keys[i], b.keys[i]); d != 0 {
					if k.desc {
						return -d
					}
					return d
				}
			}
			return 0
		})
		for i, en := range p {
			en.row[slot] = int64(i + 1)
		}
	}
	return nil
}
