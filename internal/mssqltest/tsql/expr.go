package tsql

import "strings"

func (p *parser) expr() Expr {
	p.enter()
	defer p.leave()
	x := p.and()
	for p.accept("OR") {
		x = &Binary{"OR", x, p.and()}
	}
	return x
}

func (p *parser) and() Expr {
	x := p.not()
	for p.accept("AND") {
		x = &Binary{"AND", x, p.not()}
	}
	return x
}

func (p *parser) not() Expr {
	if p.accept("NOT") {
		p.enter()
		defer p.leave()
		return &Not{p.not()}
	}
	return p.predicate()
}

func (p *parser) predicate() Expr {
	if p.peek().is("EXISTS") && p.ahead(1).is("(") {
		p.next()
		return &Exists{p.parenQuery()}
	}
	x := p.additive()
	for {
		switch t := p.peek(); {
		case t.is("=") || t.is("<>") || t.is("!=") || t.is("<") || t.is(">") || t.is("<=") || t.is(">="):
			p.next()
			op := t.text
			if op == "!=" {
				op = "<>"
			}
			x = &Binary{op, x, p.additive()}
		case t.is("IS"):
			p.next()
			not := p.accept("NOT")
			p.expect("NULL")
			x = &IsNull{x, not}
		case t.is("IN") || t.is("BETWEEN") || t.is("LIKE"):
			x = p.matching(x, false)
		case t.is("NOT") && (p.ahead(1).is("IN") || p.ahead(1).is("BETWEEN") || p.ahead(1).is("LIKE")):
			p.next()
			x = p.matching(x, true)
		default:
			return x
		}
	}
}

func (p *parser) matching(x Expr, not bool) Expr {
	switch {
	case p.accept("IN"):
		if p.ahead(1).is("SELECT") || p.ahead(1).is("WITH") {
			return &In{X: x, Query: p.parenQuery(), Not: not}
		}
		p.expect("(")
		return &In{X: x, List: p.exprs(), Not: not}
	case p.accept("BETWEEN"):
		lo := p.additive()
		p.expect("AND")
		return &Between{x, lo, p.additive(), not}
	}
	p.expect("LIKE")
	l := &Like{X: x, Pattern: p.additive(), Not: not}
	if p.accept("ESCAPE") {
		l.Escape = p.additive()
	}
	return l
}

// exprs is the rest of a list in parentheses, of which there is at least one.
func (p *parser) exprs() []Expr {
	var out []Expr
	for {
		out = append(out, p.expr())
		if !p.accept(",") {
			p.expect(")")
			return out
		}
	}
}

func (p *parser) additive() Expr {
	x := p.multiplicative()
	for {
		t := p.peek()
		if !t.is("+") && !t.is("-") && !t.is("&") && !t.is("|") && !t.is("^") {
			return x
		}
		p.next()
		x = &Binary{t.text, x, p.multiplicative()}
	}
}

func (p *parser) multiplicative() Expr {
	x := p.unary()
	for {
		t := p.peek()
		if !t.is("*") && !t.is("/") && !t.is("%") {
			return x
		}
		p.next()
		x = &Binary{t.text, x, p.unary()}
	}
}

func (p *parser) unary() Expr {
	p.enter()
	defer p.leave()
	t := p.peek()
	if t.is("-") || t.is("+") || t.is("~") {
		p.next()
		return &Unary{t.text, p.unary()}
	}
	x := p.primary()
	for p.accept("COLLATE") {
		p.ident() // one collation orders all texts of the model
	}
	return x
}

func (p *parser) primary() Expr {
	t := p.peek()
	switch t.kind {
	case tString:
		p.next()
		return &Lit{LitString, t.text}
	case tNString:
		p.next()
		return &Lit{LitNString, t.text}
	case tInt:
		p.next()
		return &Lit{LitInt, t.text}
	case tDec:
		p.next()
		return &Lit{LitDec, t.text}
	case tFloat:
		p.next()
		return &Lit{LitFloat, t.text}
	case tBinary:
		p.next()
		return &Lit{LitBinary, t.text}
	case tVar:
		p.next()
		return &Var{t.text}
	case tGlobal:
		p.next()
		return &Global{t.text}
	case tQuoted:
		return p.column()
	case tPunct:
		if !t.is("(") {
			p.bad()
		}
		if p.ahead(1).is("SELECT") || p.ahead(1).is("WITH") {
			return &Subquery{p.parenQuery()}
		}
		p.next()
		x := p.expr()
		p.expect(")")
		return x
	case tIdent:
		return p.word()
	}
	p.bad()
	return nil
}

func (p *parser) word() Expr {
	switch w := strings.ToUpper(p.peek().text); w {
	case "NULL":
		p.next()
		return &Lit{Kind: LitNull}
	case "CASE":
		return p.caseExpr()
	case "CAST", "TRY_CAST":
		if !p.ahead(1).is("(") {
			break
		}
		p.next()
		p.expect("(")
		x := p.expr()
		p.expect("AS")
		c := &Cast{X: x, Type: p.typeName(), Try: w == "TRY_CAST"}
		p.expect(")")
		return c
	case "PARSE", "TRY_PARSE":
		if !p.ahead(1).is("(") {
			break
		}
		p.next()
		p.expect("(")
		x := p.expr()
		p.expect("AS")
		c := &Cast{X: x, Type: p.typeName(), Try: w == "TRY_PARSE", Parse: true}
		p.expect(")") // a culture is not in the subset
		return c
	case "CONVERT", "TRY_CONVERT":
		p.next()
		p.expect("(")
		c := &Cast{Type: p.typeName(), Try: w == "TRY_CONVERT"}
		p.expect(",")
		c.X = p.expr()
		if p.accept(",") {
			c.Style = p.expr()
		}
		p.expect(")")
		return c
	case "COALESCE", "NULLIF", "LEFT", "RIGHT":
		p.next()
		p.expect("(")
		return &Call{Name: Name{w}, Args: p.exprs()}
	case "CURRENT_TIMESTAMP", "CURRENT_USER", "SESSION_USER", "SYSTEM_USER", "USER":
		p.next()
		return &Call{Name: Name{w}}
	}
	return p.column()
}

func (p *parser) caseExpr() Expr {
	p.expect("CASE")
	c := &Case{}
	if !p.peek().is("WHEN") {
		c.X = p.expr()
	}
	for p.accept("WHEN") {
		w := When{Cond: p.expr()}
		p.expect("THEN")
		w.Then = p.expr()
		c.Whens = append(c.Whens, w)
	}
	if len(c.Whens) == 0 {
		p.bad()
	}
	if p.accept("ELSE") {
		c.Else = p.expr()
	}
	p.expect("END")
	return c
}

// column is a column, t.* or a function call.
func (p *parser) column() Expr {
	n := Name{p.ident()}
	if p.accept("::") {
		s := &Static{Type: strings.ToLower(n[0]), Method: p.ident()}
		p.expect("(")
		if !p.accept(")") {
			s.Args = p.exprs()
		}
		return s
	}
	for p.accept(".") {
		switch t := p.peek(); {
		case t.is("*"):
			p.next()
			return &Star{n}
		case t.is("."):
			n = append(n, "")
		case t.kind == tIdent:
			p.next()
			n = append(n, t.text)
		default:
			n = append(n, p.ident())
		}
	}
	if !p.accept("(") {
		return &Col{n}
	}
	c := &Call{Name: n}
	switch {
	case p.accept("*"):
		c.Star = true
		p.expect(")")
	case p.accept(")"):
	default:
		c.Distinct = p.accept("DISTINCT")
		c.Args = p.exprs()
	}
	if p.accept("OVER") {
		p.expect("(")
		c.Over = &Over{}
		if p.accept("PARTITION") {
			p.expect("BY")
			for {
				c.Over.Partition = append(c.Over.Partition, p.expr())
				if !p.accept(",") {
					break
				}
			}
		}
		if p.accept("ORDER") {
			p.expect("BY")
			c.Over.Order = p.orders()
		}
		p.expect(")")
	}
	return c
}

func (p *parser) orders() []Order {
	var out []Order
	for {
		o := Order{X: p.expr()}
		if p.accept("DESC") {
			o.Desc = true
		} else {
			p.accept("ASC")
		}
		out = append(out, o)
		if !p.accept(",") {
			return out
		}
	}
}
