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
	dateType   = tds.Type{Kind: tds.Date}
	guidType   = tds.Type{Kind: tds.UniqueID}
	sysname    = tds.Type{Kind: tds.NVarChar, Length: 256, Sysname: true}
	nmaxType   = tds.Type{Kind: tds.NVarChar, Length: tds.Max}
	binMaxType = tds.Type{Kind: tds.VarBinary, Length: tds.Max}
	varType    = tds.Type{Kind: tds.SQLVariant}
)

func nvarchar(n int) tds.Type  { return tds.Type{Kind: tds.NVarChar, Length: 2 * n} }
func varchar(n int) tds.Type   { return tds.Type{Kind: tds.VarChar, Length: n} }
func char(n int) tds.Type      { return tds.Type{Kind: tds.Char, Length: n} }
func nchar(n int) tds.Type     { return tds.Type{Kind: tds.NChar, Length: 2 * n} }
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
	cteEnv  map[string]map[string]*tsql.CTE
	windows *[]*window
	depth   int
	waited  bool
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

var rank = func() map[tds.Kind]int {
	m := map[tds.Kind]int{}
	for i, k := range []tds.Kind{tds.Binary, tds.VarBinary, tds.Char, tds.VarChar, tds.NChar, tds.NVarChar, tds.UniqueID, tds.RowVersion,
		tds.Image, tds.Text, tds.NText, tds.Bit, tds.TinyInt, tds.SmallInt, tds.Int, tds.BigInt, tds.SmallMoney, tds.Money, tds.DecimalKind,
		tds.Numeric, tds.Real, tds.Float, tds.Time, tds.Date, tds.SmallDateTime, tds.DateTime, tds.DateTime2, tds.DateTimeOffset, tds.XML,
		tds.SQLVariant, tds.HierarchyID, tds.Geometry, tds.Geography} {
		m[k] = i
	}
	return m
}()

var digitsOf = map[tds.Kind]int{tds.Bit: 1, tds.TinyInt: 3, tds.SmallInt: 5, tds.Int: 10, tds.BigInt: 19, tds.Money: 19, tds.SmallMoney: 10}

// asDecimal is the precision and scale of an exact number.
func asDecimal(t tds.Type) (p, s int) {
	switch t.Kind {
	case tds.DecimalKind, tds.Numeric:
		return t.Precision, t.Scale
	case tds.Money, tds.SmallMoney:
		return digitsOf[t.Kind], 4
	}
	return digitsOf[t.Kind], 0
}

// unify is the type that two values take to be compared or to stand in one column.
func unify(a, b tds.Type) tds.Type {
	if a == b {
		return a
	}
	hi, lo := a, b
	if rank[b.Kind] > rank[a.Kind] {
		hi, lo = b, a
	}
	switch {
	case hi.Kind == tds.DecimalKind || hi.Kind == tds.Numeric:
		if lo.Exact() || lo.Integer() || lo.Kind == tds.Bit {
			p1, s1 := asDecimal(hi)
			p2, s2 := asDecimal(lo)
			hi.Scale = max(s1, s2)
			hi.Precision = min(38, max(p1-s1, p2-s2)+hi.Scale)
		}
	case hi.Character() && (lo.Character() || lo.Bytes()) || hi.Bytes() && lo.Bytes():
		if hi.Length != 0 {
			n, m := hi.Length, lo.Length
			if hi.Unicode() && !lo.Unicode() && m > 0 {
				m *= 2
			}
			if n == tds.Max || m == tds.Max || m == 0 {
				hi.Length = tds.Max
			} else {
				hi.Length = max(n, m)
			}
			if hi.Length != lo.Length || hi.Kind != lo.Kind {
				hi.Kind = map[tds.Kind]tds.Kind{tds.Char: tds.VarChar, tds.NChar: tds.NVarChar, tds.Binary: tds.VarBinary}[hi.Kind]
				if hi.Kind == "" {
					hi.Kind = a.Kind
					if rank[b.Kind] > rank[a.Kind] {
						hi.Kind = b.Kind
					}
				}
			}
			hi.Sysname = false
		}
	case hi.Temporal() && lo.Temporal():
		hi.Scale = max(hi.Scale, lo.Scale)
	}
	return hi
}

// implicit says whether a value turns into the type without CONVERT.
func implicit(from, to tds.Type) bool {
	switch {
	case from.Kind == to.Kind:
		return true
	case from.Bytes() && to.Bytes(), from.Character() && to.Character():
		return true
	case from.Character() && to.Bytes():
		return false
	case from.Bytes() && to.Character(), from.Bytes() && to.Temporal():
		return false
	case from.Kind == tds.SQLVariant:
		return false
	case from.Temporal() && !to.Temporal() && !to.Character() && to.Kind != tds.SQLVariant:
		return false
	case to.Kind == tds.Time && from.Kind == tds.Date, to.Kind == tds.Date && from.Kind == tds.Time:
		return false
	}
	return true
}

// as gives the value in a type, by implicit conversion.
func (v value) as(t tds.Type) (value, error) {
	if v.null {
		return value{typ: t, nullable: true, null: true, eval: v.eval}, nil
	}
	if !needsConversion(v.typ, t) {
		v.typ = t
		return v, nil
	}
	if !implicit(v.typ, t) {
		return value{}, sqlError(257, "Implicit conversion from data type %s to %s is not allowed. Use the CONVERT function to run this query.", v.typ.Kind, t.Kind)
	}
	from, eval := v.typ, v.eval
	return value{typ: t, nullable: v.nullable, eval: func(e *env) (any, error) {
		x, err := eval(e)
		if err != nil || x == nil {
			return nil, err
		}
		return convert(x, from, t, 0, false)
	}}, nil
}

// needsConversion: texts and byte strings of other lengths compare as they are.
func needsConversion(from, to tds.Type) bool {
	switch {
	case from == to:
		return false
	case from.Character() && to.Character():
		return (to.Kind == tds.Char || to.Kind == tds.NChar) || to.Length > 0 && (from.Length < 0 || from.Length > to.Length) || from.Unicode() && !to.Unicode()
	case from.Bytes() && to.Bytes():
		return to.Kind == tds.Binary || to.Length > 0 && (from.Length <= 0 || from.Length > to.Length)
	case from.Integer() && to.Integer():
		return rank[from.Kind] > rank[to.Kind]
	}
	return true
}

func (c *compiler) pair(l, r tsql.Expr) (a, b value, err error) {
	if a, err = c.expr(l); err != nil {
		return
	}
	if b, err = c.expr(r); err != nil {
		return
	}
	return unifyPair(a, b)
}

func unifyPair(a, b value) (value, value, error) {
	t := unify(a.typ, b.typ)
	if a.null {
		t = b.typ
	} else if b.null {
		t = a.typ
	}
	// Texts need no conversion to compare; they would only be cut.
	if a.typ.Character() && b.typ.Character() || a.typ.Bytes() && b.typ.Bytes() {
		return a, b, nil
	}
	a, err := a.as(t)
	if err != nil {
		return a, b, err
	}
	b, err = b.as(t)
	return a, b, err
}

func (c *compiler) unary(x *tsql.Unary) (value, error) {
	if l, ok := x.X.(*tsql.Lit); ok && x.Op == "-" && l.Kind == tsql.LitInt {
		// -2147483648 is an int, and -9223372036854775808 a bigint in the end.
		if n, err := strconv.ParseInt("-"+l.Text, 10, 32); err == nil {
			return constant(intType, n), nil
		}
	}
	v, err := c.expr(x.X)
	if err != nil {
		return v, err
	}
	eval, typ := v.eval, v.typ
	v.col, v.null = nil, false
	v.eval = func(e *env) (any, error) {
		a, err := eval(e)
		if err != nil || a == nil {
			return nil, err
		}
		switch n := a.(type) {
		case int64:
			switch x.Op {
			case "-":
				if -n > intRange[typ.Kind][1] || n == math.MinInt64 {
					return nil, overflow(typ)
				}
				return -n, nil
			case "~":
				return ^n, nil
			}
			return n, nil
		case float64:
			if x.Op == "-" {
				return -n, nil
			} else if x.Op == "+" {
				return n, nil
			}
		case tds.Dec:
			if x.Op == "-" {
				return tds.Dec{Unscaled: new(big.Int).Neg(n.Unscaled), Scale: n.Scale}, nil
			} else if x.Op == "+" {
				return n, nil
			}
		}
		return nil, sqlError(8117, "Operand data type %s is invalid for %s operator.", typ.Kind, x.Op)
	}
	return v, nil
}

func (c *compiler) arithmetic(x *tsql.Binary) (value, error) {
	a, err := c.expr(x.L)
	if err != nil {
		return a, err
	}
	b, err := c.expr(x.R)
	if err != nil {
		return b, err
	}
	if x.Op == "+" && (a.typ.Character() || b.typ.Character()) && !numeric(a) && !numeric(b) || x.Op == "+" && a.typ.Bytes() && b.typ.Bytes() {
		return concat(a, b), nil
	}
	t := unify(a.typ, b.typ)
	if !t.Integer() && !t.Exact() && t.Kind != tds.Float && t.Kind != tds.Real {
		return value{}, sqlError(8117, "Operand data type %s is invalid for %s operator.", t.Kind, x.Op)
	}
	nullable := a.nullable || b.nullable || x.Op == "/" || x.Op == "%"
	var f func(p, q any) (any, error)
	switch {
	case t.Integer():
		f = func(p, q any) (any, error) { return intOp(x.Op, p.(int64), q.(int64), t) }
	case t.Exact():
		// Each side keeps its scale.
		p1, s1 := precisionOf(x.L, a.typ)
		p2, s2 := precisionOf(x.R, b.typ)
		if a, err = a.as(tds.Type{Kind: tds.DecimalKind, Precision: p1, Scale: s1}); err != nil {
			return a, err
		}
		if b, err = b.as(tds.Type{Kind: tds.DecimalKind, Precision: p2, Scale: s2}); err != nil {
			return b, err
		}
		t = decimalResult(x.Op, p1, s1, p2, s2)
		f = func(p, q any) (any, error) { return decOp(x.Op, p.(tds.Dec), q.(tds.Dec), t) }
	default:
		f = func(p, q any) (any, error) { return floatOp(x.Op, p.(float64), q.(float64)) }
	}
	if !t.Exact() {
		if a, err = a.as(t); err != nil {
			return a, err
		}
		if b, err = b.as(t); err != nil {
			return b, err
		}
	}
	return value{typ: t, nullable: nullable, eval: both(a, b, f)}, nil
}

// precisionOf is asDecimal, but of a whole number in the text only its digits count.
func precisionOf(x tsql.Expr, t tds.Type) (p, s int) {
	if l, ok := x.(*tsql.Lit); ok && l.Kind == tsql.LitInt && t.Integer() {
		return len(l.Text), 0
	}
	return asDecimal(t)
}

func numeric(v value) bool {
	return v.typ.Integer() || v.typ.Exact() || v.typ.Kind == tds.Float || v.typ.Kind == tds.Real
}

// both evaluates two operands; NULL if either is.
func both(a, b value, f func(p, q any) (any, error)) func(*env) (any, error) {
	return func(e *env) (any, error) {
		p, err := a.eval(e)
		if err != nil {
			return nil, err
		}
		q, err := b.eval(e)
		if err != nil || p == nil || q == nil {
			return nil, err
		}
		return f(p, q)
	}
}

func concat(a, b value) value {
	t := unify(a.typ, b.typ)
	n, m := a.typ.Length, b.typ.Length
	if t.Unicode() {
		if !a.typ.Unicode() {
			n *= 2
		}
		if !b.typ.Unicode() {
			m *= 2
		}
	}
	t.Length = n + m
	if n <= 0 || m <= 0 {
		t.Length = tds.Max
	} else if t.Length > 8000 {
		t.Length = 8000
	}
	t.Sysname = false
	switch t.Kind {
	case tds.Char:
		t.Kind = tds.VarChar
	case tds.NChar:
		t.Kind = tds.NVarChar
	case tds.Binary:
		t.Kind = tds.VarBinary
	}
	return value{typ: t, nullable: a.nullable || b.nullable, eval: both(a, b, func(p, q any) (any, error) {
		if x, ok := p.([]byte); ok {
			if y, ok := q.([]byte); ok {
				return append(append([]byte{}, x...), y...), nil
			}
		}
		s, ok1 := p.(string)
		u, ok2 := q.(string)
		if !ok1 || !ok2 {
			return nil, sqlError(402, "The data types %s and %s are incompatible in the add operator.", a.typ.Kind, b.typ.Kind)
		}
		return s + u, nil
	})}
}

func intOp(op string, a, b int64, t tds.Type) (any, error) {
	var r *big.Int
	x, y := big.NewInt(a), big.NewInt(b)
	switch op {
	case "+":
		r = x.Add(x, y)
	case "-":
		r = x.Sub(x, y)
	case "*":
		r = x.Mul(x, y)
	case "/", "%":
		if b == 0 {
			return nil, sqlError(8134, "Divide by zero error encountered.")
		}
		if op == "/" {
			r = x.Quo(x, y)
		} else {
			r = x.Rem(x, y)
		}
	case "&":
		return a & b, nil
	case "|":
		return a | b, nil
	case "^":
		return a ^ b, nil
	}
	if !r.IsInt64() || r.Int64() < intRange[t.Kind][0] || r.Int64() > intRange[t.Kind][1] {
		return nil, overflow(t)
	}
	return r.Int64(), nil
}

func decimalResult(op string, p1, s1, p2, s2 int) tds.Type {
	var p, s int
	switch op {
	case "*":
		s, p = s1+s2, p1+p2+1
	case "/":
		s = max(6, s1+p2+1)
		p = p1 - s1 + s2 + s
	case "%":
		s = max(s1, s2)
		p = min(p1-s1, p2-s2) + s
	default:
		s = max(s1, s2)
		p = max(p1-s1, p2-s2) + s + 1
	}
	if p > 38 {
		// The whole part is kept, and at least six digits of the fraction.
		s = max(min(s, 6), s-(p-38))
		p = 38
	}
	return tds.Type{Kind: tds.Numeric, Precision: p, Scale: min(s, p)}
}

func decOp(op string, a, b tds.Dec, t tds.Type) (any, error) {
	var d tds.Dec
	s := max(a.Scale, b.Scale)
	switch op {
	case "+":
		d = tds.Dec{Unscaled: new(big.Int).Add(a.Rescale(s).Unscaled, b.Rescale(s).Unscaled), Scale: s}
	case "-":
		d = tds.Dec{Unscaled: new(big.Int).Sub(a.Rescale(s).Unscaled, b.Rescale(s).Unscaled), Scale: s}
	case "*":
		d = tds.Dec{Unscaled: new(big.Int).Mul(a.Unscaled, b.Unscaled), Scale: a.Scale + b.Scale}
	case "/", "%":
		if b.Unscaled.Sign() == 0 {
			return nil, sqlError(8134, "Divide by zero error encountered.")
		}
		if op == "%" {
			d = tds.Dec{Unscaled: new(big.Int).Rem(a.Rescale(s).Unscaled, b.Rescale(s).Unscaled), Scale: s}
			break
		}
		n := a.Rescale(t.Scale + b.Scale).Unscaled
		d = tds.Dec{Unscaled: new(big.Int).Quo(n, b.Unscaled), Scale: t.Scale}
	default:
		return nil, sqlError(8117, "Operand data type numeric is invalid for %s operator.", op)
	}
	return toDecimal(d, t, t)
}

func floatOp(op string, a, b float64) (any, error) {
	switch op {
	case "+":
		return a + b, nil
	case "-":
		return a - b, nil
	case "*":
		return a * b, nil
	case "/":
		if b == 0 {
			return nil, sqlError(8134, "Divide by zero error encountered.")
		}
		return a / b, nil
	}
	return nil, sqlError(8117, "Operand data type float is invalid for %s operator.", op)
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

// unifyAll gives the values one type.
func unifyAll(vs []value) ([]value, tds.Type, bool, error) {
	var t tds.Type
	first, nullable := true, false
	for _, v := range vs {
		nullable = nullable || v.nullable
		if v.null {
			continue
		}
		if first {
			t, first = v.typ, false
		} else {
			t = unify(t, v.typ)
		}
	}
	if first {
		t = intType
	}
	out := make([]value, len(vs))
	for i, v := range vs {
		var err error
		if out[i], err = v.as(t); err != nil {
			return nil, t, false, err
		}
	}
	return out, t, nullable, nil
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
