package mssqltest

import (
	"tributary/internal/mssqltest/tds"
	"tributary/internal/mssqltest/tsql"
)

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
