package mssqltest

import (
	"math"
	"math/big"
	"strconv"

	"tributary/internal/mssqltest/tds"
	"tributary/internal/mssqltest/tsql"
)

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
			switch x.Op {
			case "-":
				return -n, nil
			case "+":
				return n, nil
			}
		case tds.Dec:
			switch x.Op {
			case "-":
				return tds.Dec{Unscaled: new(big.Int).Neg(n.Unscaled), Scale: n.Scale}, nil
			case "+":
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
