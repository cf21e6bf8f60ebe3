package mssqltest

import (
	"regexp"
	"strings"

	"tributary/internal/mssqltest/tds"
	"tributary/internal/mssqltest/tsql"
)

func (c *compiler) cond(x tsql.Expr) (cond, error) {
	switch x := x.(type) {
	case *tsql.Binary:
		switch x.Op {
		case "AND", "OR":
			return c.junction(x)
		case "=", "<>", "<", ">", "<=", ">=":
			a, b, err := c.pair(x.L, x.R)
			if err != nil {
				return nil, err
			}
			return comparison(x.Op, a, b)
		}
	case *tsql.Not:
		k, err := c.cond(x.X)
		if err != nil {
			return nil, err
		}
		return negate(k), nil
	case *tsql.IsNull:
		v, err := c.expr(x.X)
		if err != nil {
			return nil, err
		}
		return func(e *env) (tri, error) {
			a, err := v.eval(e)
			return truth((a == nil) != x.Not), err
		}, nil
	case *tsql.Between:
		k, err := c.cond(&tsql.Binary{Op: "AND", L: &tsql.Binary{Op: ">=", L: x.X, R: x.Lo}, R: &tsql.Binary{Op: "<=", L: x.X, R: x.Hi}})
		if err != nil || !x.Not {
			return k, err
		}
		return negate(k), nil
	case *tsql.In:
		return c.in(x)
	case *tsql.Like:
		return c.like(x)
	case *tsql.Exists:
		p, err := c.nested(x.Query)
		if err != nil {
			return nil, err
		}
		return func(e *env) (tri, error) {
			found := no
			err := p.run(e, func([]any) bool { found = yes; return false })
			return found, err
		}, nil
	}
	return nil, sqlError(4145, "An expression of non-boolean type specified in a context where a condition is expected, near '%s'.", kindName(x))
}

func negate(k cond) cond {
	return func(e *env) (tri, error) {
		t, err := k(e)
		if t == unknown || err != nil {
			return t, err
		}
		return 1 - t, nil
	}
}

func (c *compiler) junction(x *tsql.Binary) (cond, error) {
	l, err := c.cond(x.L)
	if err != nil {
		return nil, err
	}
	r, err := c.cond(x.R)
	if err != nil {
		return nil, err
	}
	short := no
	if x.Op == "OR" {
		short = yes
	}
	return func(e *env) (tri, error) {
		a, err := l(e)
		if err != nil || a == short {
			return a, err
		}
		b, err := r(e)
		if err != nil || b == short {
			return b, err
		}
		if a == unknown || b == unknown {
			return unknown, nil
		}
		return 1 - short, nil
	}, nil
}

func comparison(op string, a, b value) (cond, error) {
	if a.typ.Kind == tds.XML || b.typ.Kind == tds.XML || isOldLOB(a.typ) || isOldLOB(b.typ) {
		return nil, sqlError(402, "The data types %s and %s are incompatible in the comparison operator.", a.typ.Kind, b.typ.Kind)
	}
	if a.typ.Kind == tds.SQLVariant {
		return nil, notInModel("comparisons of sql_variant")
	}
	return func(e *env) (tri, error) {
		p, err := a.eval(e)
		if err != nil {
			return no, err
		}
		q, err := b.eval(e)
		if err != nil {
			return no, err
		}
		if p == nil || q == nil {
			return unknown, nil
		}
		d := compare(p, q)
		switch op {
		case "=":
			return truth(d == 0), nil
		case "<>":
			return truth(d != 0), nil
		case "<":
			return truth(d < 0), nil
		case ">":
			return truth(d > 0), nil
		case "<=":
			return truth(d <= 0), nil
		}
		return truth(d >= 0), nil
	}, nil
}

func isOldLOB(t tds.Type) bool {
	return t.Kind == tds.Text || t.Kind == tds.NText || t.Kind == tds.Image
}

func (c *compiler) in(x *tsql.In) (cond, error) {
	var k cond
	if x.Query != nil {
		v, err := c.expr(x.X)
		if err != nil {
			return nil, err
		}
		p, err := c.nested(x.Query)
		if err != nil {
			return nil, err
		}
		if len(p.cols) != 1 {
			return nil, sqlError(116, "Only one expression can be specified in the select list when the subquery is not introduced with EXISTS.")
		}
		var cell any
		inner := value{typ: p.cols[0].Type, nullable: true, eval: func(*env) (any, error) { return cell, nil }}
		a, b, err := unifyPair(v, inner)
		if err != nil {
			return nil, err
		}
		eq, err := comparison("=", a, b)
		if err != nil {
			return nil, err
		}
		k = func(e *env) (tri, error) {
			out := no
			var bad error
			err := p.run(e, func(row []any) bool {
				cell = row[0]
				t, err := eq(e)
				if err != nil {
					bad = err
					return false
				}
				if t != no {
					out = t
				}
				return t != yes
			})
			if err == nil {
				err = bad
			}
			return out, err
		}
	} else {
		for _, y := range x.List {
			one, err := c.cond(&tsql.Binary{Op: "=", L: x.X, R: y})
			if err != nil {
				return nil, err
			}
			if k == nil {
				k = one
				continue
			}
			before := k
			k = func(e *env) (tri, error) {
				a, err := before(e)
				if a == yes || err != nil {
					return a, err
				}
				b, err := one(e)
				if b == no {
					return a, err
				}
				return b, err
			}
		}
	}
	if x.Not {
		return negate(k), nil
	}
	return k, nil
}

func (c *compiler) like(x *tsql.Like) (cond, error) {
	a, err := c.expr(x.X)
	if err != nil {
		return nil, err
	}
	b, err := c.expr(x.Pattern)
	if err != nil {
		return nil, err
	}
	esc := value{eval: func(*env) (any, error) { return "", nil }}
	if x.Escape != nil {
		if esc, err = c.expr(x.Escape); err != nil {
			return nil, err
		}
	}
	if a, err = a.as(nmaxType); err != nil {
		return nil, err
	}
	if b, err = b.as(nmaxType); err != nil {
		return nil, err
	}
	var last string
	var re *regexp.Regexp
	k := func(e *env) (tri, error) {
		s, err := a.eval(e)
		if err != nil {
			return no, err
		}
		p, err := b.eval(e)
		if err != nil {
			return no, err
		}
		q, err := esc.eval(e)
		if err != nil {
			return no, err
		}
		if s == nil || p == nil || q == nil {
			return unknown, nil
		}
		if re == nil || last != p.(string) {
			if re, err = likePattern(p.(string), q.(string)); err != nil {
				return no, err
			}
			last = p.(string)
		}
		return truth(re.MatchString(s.(string))), nil
	}
	if x.Not {
		return negate(k), nil
	}
	return k, nil
}

// likePattern: % any text, _ any character, [a-z] and [^a-z] sets.
func likePattern(p, esc string) (*regexp.Regexp, error) {
	var b strings.Builder
	b.WriteString("(?is)^")
	r := []rune(p)
	for i := 0; i < len(r); i++ {
		switch c := r[i]; {
		case esc != "" && string(c) == esc && i+1 < len(r):
			i++
			b.WriteString(regexp.QuoteMeta(string(r[i])))
		case c == '%':
			b.WriteString(".*")
		case c == '_':
			b.WriteString(".")
		case c == '[':
			end := i + 1
			if end < len(r) && r[end] == '^' {
				end++
			}
			if end < len(r) && r[end] == ']' {
				end++
			}
			for end < len(r) && r[end] != ']' {
				end++
			}
			if end >= len(r) {
				return regexp.MustCompile(`[^\s\S]`), nil // an open set matches nothing
			}
			set := string(r[i+1 : end])
			not := strings.HasPrefix(set, "^")
			set = strings.TrimPrefix(set, "^")
			set = strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`, `^`, `\^`).Replace(set)
			b.WriteString("[")
			if not {
				b.WriteString("^")
			}
			b.WriteString(set + "]")
			i = end
		default:
			b.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	b.WriteString("$")
	re, err := regexp.Compile(b.String())
	if err != nil {
		return nil, notInModel("the pattern of LIKE: %v", err)
	}
	return re, nil
}
