package mssqltest

import (
	"math"
	"math/big"
	"reflect"
	"strconv"
	"strings"

	"tributary/internal/mssqltest/tds"
	"tributary/internal/mssqltest/tsql"
)

// Types that expressions have often.
var (
	bitType    = tds.Type{Kind: tds.Bit}
	intType    = tds.Type{Kind: tds.Int}
	tinyType   = tds.Type{Kind: tds.TinyInt}
	smallType  = tds.Type{Kind: tds.SmallInt}
	bigType    = tds.Type{Kind: tds.BigInt}
	floatType  = tds.Type{Kind: tds.Float}
	lsnType    = tds.Type{Kind: tds.Binary, Length: 10}
	dtType     = tds.Type{Kind: tds.DateTime}
	dt2Type    = tds.Type{Kind: tds.DateTime2, Scale: 7}
	dtoType    = tds.Type{Kind: tds.DateTimeOffset, Scale: 7}
	guidType   = tds.Type{Kind: tds.UniqueID}
	sysname    = tds.Type{Kind: tds.NVarChar, Length: 256, Sysname: true}
	nmaxType   = tds.Type{Kind: tds.NVarChar, Length: tds.Max}
	binMaxType = tds.Type{Kind: tds.VarBinary, Length: tds.Max}
	varType    = tds.Type{Kind: tds.SQLVariant}
)

func nvarchar(n int) tds.Type { return tds.Type{Kind: tds.NVarChar, Length: 2 * n} }

func varchar(n int) tds.Type { return tds.Type{Kind: tds.VarChar, Length: n} }

func char(n int) tds.Type { return tds.Type{Kind: tds.Char, Length: n} }

func varbinary(n int) tds.Type { return tds.Type{Kind: tds.VarBinary, Length: n} }

// tri is a condition's value.
type tri int8

const (
	no      tri = 0
	yes     tri = 1
	unknown tri = 2
)

func truth(b bool) tri {
	if b {
		return yes
	}
	return no
}

// env is what an expression is evaluated with: a row, and the rows of the
// queries around it.
type env struct {
	row []any
	up  *env
}

// value is a compiled expression.
type value struct {
	typ      tds.Type
	nullable bool
	null     bool  // the literal NULL, which takes any type
	col      *scol // set for a plain column of this scope
	eval     func(*env) (any, error)
	identity bool
}

// cond is a compiled condition.
type cond func(*env) (tri, error)

// scol is a column that names can resolve to.
type scol struct {
	table    []string // the table's parts, or its alias alone
	name     string
	typ      tds.Type
	nullable bool
	identity bool
	computed bool
	base     []string // the base table
	denied   *Error   // of whoever may not read it
	masked   bool     // for whoever may not see its values
	index    int
}

type scope struct {
	cols  []scol
	outer *scope
	group *grouping
}

// compiler turns syntax into functions, for one statement.
type compiler struct {
	s       *session
	scope   *scope
	ctes    map[string]*tsql.CTE
	windows *[]*window
	depth   int
	waited  bool
	top     bool // of a statement, and not within another query
	masked  bool // a masked column was named
}

func constant(typ tds.Type, v any) value {
	return value{typ: typ, nullable: v == nil, eval: func(*env) (any, error) { return v, nil }}
}

func (c *compiler) literal(l *tsql.Lit) (value, error) {
	switch l.Kind {
	case tsql.LitInt:
		if n, err := strconv.ParseInt(l.Text, 10, 32); err == nil {
			return constant(intType, n), nil
		}
		fallthrough
	case tsql.LitDec:
		d, err := tds.ParseDec(l.Text)
		if err != nil {
			return value{}, err
		}
		p := max(len(new(big.Int).Abs(d.Unscaled).String()), d.Scale, 1)
		if p > 38 {
			return value{}, sqlError(1007, "The number '%s' is out of the range for numeric representation (maximum precision 38).", l.Text)
		}
		return constant(tds.Type{Kind: tds.Numeric, Precision: p, Scale: d.Scale}, d), nil
	case tsql.LitFloat:
		f, err := strconv.ParseFloat(l.Text, 64)
		if err != nil || math.IsInf(f, 0) {
			return value{}, overflow(floatType)
		}
		return constant(floatType, f), nil
	case tsql.LitString:
		n := textLength(l.Text, varchar(1))
		if n > 8000 {
			n = tds.Max
		}
		t := tds.Type{Kind: tds.VarChar, Length: orOne(n)}
		s, err := fitText(l.Text, t, false)
		return constant(t, s), err
	case tsql.LitNString:
		n := textLength(l.Text, nvarchar(1))
		if n > 8000 {
			n = tds.Max
		}
		return constant(tds.Type{Kind: tds.NVarChar, Length: orTwo(n)}, l.Text), nil
	case tsql.LitBinary:
		n := len(l.Text)
		if n > 8000 {
			n = tds.Max
		}
		return constant(tds.Type{Kind: tds.VarBinary, Length: orOne(n)}, []byte(l.Text)), nil
	}
	v := constant(intType, nil)
	v.null = true
	return v, nil
}

func orOne(n int) int {
	if n == 0 {
		return 1
	}
	return n
}

func orTwo(n int) int {
	if n == 0 {
		return 2
	}
	return n
}

func (c *compiler) expr(x tsql.Expr) (value, error) {
	if g := c.grouping(); g != nil {
		if v, ok, err := g.lookup(c, x); ok || err != nil {
			return v, err
		}
	}
	switch x := x.(type) {
	case *tsql.Lit:
		return c.literal(x)
	case *tsql.Var:
		v := c.s.vars[strings.ToLower(x.Name)]
		if v == nil || v.tab != nil {
			return value{}, withClass(sqlError(137, "Must declare the scalar variable \"%s\".", x.Name), 15)
		}
		return value{typ: v.typ, nullable: true, eval: func(*env) (any, error) { return v.val, nil }}, nil
	case *tsql.Global:
		return c.global(x.Name)
	case *tsql.Col:
		return c.column(x.Name)
	case *tsql.Unary:
		return c.unary(x)
	case *tsql.Binary:
		switch x.Op {
		case "+", "-", "*", "/", "%", "&", "|", "^":
			return c.arithmetic(x)
		}
	case *tsql.Case:
		return c.caseExpr(x)
	case *tsql.Cast:
		return c.cast(x)
	case *tsql.Call:
		return c.call(x)
	case *tsql.Static:
		return c.static(x)
	case *tsql.Subquery:
		return c.subquery(x.Query)
	case *tsql.Star:
		return value{}, sqlError(102, "Incorrect syntax near '*'.")
	}
	return value{}, sqlError(4145, "An expression of boolean type specified in a context where a value is expected: %s.", kindName(x))
}

func kindName(x any) string {
	return strings.ToUpper(strings.TrimPrefix(reflect.TypeOf(x).String(), "*tsql."))
}

func (c *compiler) grouping() *grouping {
	if c.scope == nil {
		return nil
	}
	return c.scope.group
}

// resolve finds a column in the scope or those around it, and how far out.
func (c *compiler) resolve(n tsql.Name) (*scol, int, error) {
	for sc, up := c.scope, 0; sc != nil; sc, up = sc.outer, up+1 {
		var found *scol
		for i := range sc.cols {
			s := &sc.cols[i]
			if !strings.EqualFold(s.name, n.Last()) || !qualifies(n[:len(n)-1], s.table) {
				continue
			}
			if found != nil {
				return nil, 0, sqlError(209, "Ambiguous column name '%s'.", n.Last())
			}
			found = s
		}
		if found != nil && found.denied != nil {
			return nil, 0, found.denied
		}
		if found != nil {
			return found, up, nil
		}
	}
	if len(n) > 1 {
		return nil, 0, sqlError(4104, "The multi-part identifier \"%s\" could not be bound.", strings.Join(n, "."))
	}
	return nil, 0, invalidColumn(n.Last())
}

// qualifies says whether a qualifier means the table: its last parts.
func qualifies(q tsql.Name, table []string) bool {
	if len(q) > len(table) {
		return false
	}
	for i := range q {
		t := table[len(table)-len(q)+i]
		if q[i] != "" && !strings.EqualFold(q[i], t) {
			return false
		}
	}
	return true
}

func (c *compiler) column(n tsql.Name) (value, error) {
	s, up, err := c.resolve(n)
	if err != nil {
		return value{}, err
	}
	v := value{typ: s.typ, nullable: s.nullable}
	i := s.index
	c.masked = c.masked || s.masked
	if up == 0 {
		v.col, v.identity = s, s.identity
		v.eval = func(e *env) (any, error) { return e.row[i], nil }
		return v, nil
	}
	v.eval = func(e *env) (any, error) {
		for range up {
			e = e.up
		}
		return e.row[i], nil
	}
	return v, nil
}

func (c *compiler) caseExpr(x *tsql.Case) (value, error) {
	var conds []cond
	var arms []value
	for _, w := range x.Whens {
		cx := w.Cond
		if x.X != nil {
			cx = &tsql.Binary{Op: "=", L: x.X, R: w.Cond}
		}
		k, err := c.cond(cx)
		if err != nil {
			return value{}, err
		}
		v, err := c.expr(w.Then)
		if err != nil {
			return value{}, err
		}
		conds, arms = append(conds, k), append(arms, v)
	}
	last := value{null: true, nullable: true, typ: intType, eval: func(*env) (any, error) { return nil, nil }}
	if x.Else != nil {
		var err error
		if last, err = c.expr(x.Else); err != nil {
			return value{}, err
		}
	}
	arms = append(arms, last)
	arms, t, nullable, err := unifyAll(arms)
	if err != nil {
		return value{}, err
	}
	return value{typ: t, nullable: nullable, eval: func(e *env) (any, error) {
		for i, k := range conds {
			ok, err := k(e)
			if err != nil {
				return nil, err
			}
			if ok == yes {
				return arms[i].eval(e)
			}
		}
		return arms[len(arms)-1].eval(e)
	}}, nil
}

func (c *compiler) typeOf(n tsql.TypeName) (tds.Type, error) {
	t, err := tds.Of(n.Name, n.Params...)
	if err != nil {
		return t, sqlError(2715, "Column, parameter, or variable: Cannot find data type %s.", n.Name)
	}
	if n.Collate != "" && (t.Kind == tds.Char || t.Kind == tds.VarChar) {
		t.UTF8 = strings.HasSuffix(strings.ToUpper(n.Collate), "_UTF8")
	}
	return t, nil
}

func (c *compiler) cast(x *tsql.Cast) (value, error) {
	v, err := c.expr(x.X)
	if err != nil {
		return v, err
	}
	n := x.Type
	if len(n.Params) == 0 {
		switch n.Name {
		case "char", "varchar", "nchar", "nvarchar", "binary", "varbinary":
			n.Params = []int{30} // in CAST and CONVERT
		}
	}
	t, err := c.typeOf(n)
	if err != nil {
		return v, err
	}
	if x.Parse && (!v.typ.Character() || t.Character() || t.Bytes()) {
		return v, sqlError(10761, "Invalid data type %s in function PARSE.", t.Kind)
	}
	style := 0
	if x.Style != nil {
		s, err := c.expr(x.Style)
		if err != nil {
			return v, err
		}
		sv, err := s.eval(&env{})
		if err != nil {
			return v, err
		}
		i, ok := sv.(int64)
		if !ok {
			return v, notInModel("a style that is no constant")
		}
		style = int(i)
	}
	from, eval := v.typ, v.eval
	if v.null {
		from = t
	}
	return value{typ: t, nullable: v.nullable || x.Try, eval: func(e *env) (any, error) {
		a, err := eval(e)
		if err != nil || a == nil {
			return nil, err
		}
		r, err := convert(a, from, t, style, false)
		if err != nil && x.Try {
			return nil, nil
		}
		return r, err
	}}, nil
}

func (c *compiler) subquery(q *tsql.Query) (value, error) {
	p, err := c.nested(q)
	if err != nil {
		return value{}, err
	}
	if len(p.cols) != 1 {
		return value{}, sqlError(116, "Only one expression can be specified in the select list when the subquery is not introduced with EXISTS.")
	}
	return value{typ: p.cols[0].Type, nullable: true, eval: func(e *env) (any, error) {
		var out any
		n := 0
		err := p.run(e, func(row []any) bool {
			out = row[0]
			n++
			return n < 2
		})
		if err == nil && n > 1 {
			err = sqlError(512, "Subquery returned more than 1 value. This is not permitted when the subquery follows =, !=, <, <= , >, >= or when the subquery is used as an expression.")
		}
		return out, err
	}}, nil
}
