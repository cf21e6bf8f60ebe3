package tsql

import "strings"

func (p *parser) parenQuery() *Query {
	p.expect("(")
	q := p.query()
	p.expect(")")
	return q
}

// query is a SELECT with CTEs, ORDER BY and what follows.
func (p *parser) query() *Query {
	p.enter()
	defer p.leave()
	q := &Query{}
	if p.accept("WITH") {
		for {
			c := CTE{Name: p.ident()}
			if p.peek().is("(") {
				c.Columns = p.names()
			}
			p.expect("AS")
			c.Query = p.parenQuery()
			q.With = append(q.With, c)
			if !p.accept(",") {
				break
			}
		}
	}
	q.Body = p.body()
	if p.accept("ORDER") {
		p.expect("BY")
		q.Order = p.orders()
		if p.accept("OFFSET") {
			q.Offset = p.additive()
			p.rows()
			if p.accept("FETCH") {
				if !p.accept("NEXT") {
					p.expect("FIRST")
				}
				q.Fetch = p.additive()
				p.rows()
				p.expect("ONLY")
			}
		}
	}
	if p.accept("OPTION") {
		p.expect("(")
		for {
			w := strings.ToUpper(p.ident())
			if w == "MAXDOP" {
				p.integer()
			} else if w != "RECOMPILE" {
				p.at--
				p.bad()
			}
			q.Options = append(q.Options, w)
			if !p.accept(",") {
				break
			}
		}
		p.expect(")")
	}
	return q
}

func (p *parser) rows() {
	if !p.accept("ROWS") {
		p.expect("ROW")
	}
}

func (p *parser) body() Body {
	b := p.simpleBody()
	for p.accept("UNION") {
		all := p.accept("ALL")
		b = &SetOp{all, b, p.simpleBody()}
	}
	return b
}

func (p *parser) simpleBody() Body {
	p.enter()
	defer p.leave()
	if p.accept("(") {
		b := p.body()
		p.expect(")")
		return b
	}
	p.expect("SELECT")
	s := &Spec{}
	if !p.accept("ALL") {
		s.Distinct = p.accept("DISTINCT")
	}
	s.Top = p.top()
	for {
		s.Items = append(s.Items, p.item())
		if !p.accept(",") {
			break
		}
	}
	if p.accept("FROM") {
		s.From = p.sources()
	}
	if p.accept("WHERE") {
		s.Where = p.expr()
	}
	if p.accept("GROUP") {
		p.expect("BY")
		for {
			s.Group = append(s.Group, p.expr())
			if !p.accept(",") {
				break
			}
		}
	}
	if p.accept("HAVING") {
		s.Having = p.expr()
	}
	return s
}

// top is TOP (x) or TOP n.
func (p *parser) top() Expr {
	if !p.accept("TOP") {
		return nil
	}
	if p.accept("(") {
		x := p.expr()
		p.expect(")")
		return x
	}
	if t := p.peek(); t.kind == tInt {
		p.next()
		return &Lit{LitInt, t.text}
	}
	p.bad()
	return nil
}

func (p *parser) item() Item {
	if p.accept("*") {
		return Item{X: &Star{}}
	}
	if p.peek().kind == tVar && p.ahead(1).is("=") {
		v := p.variable()
		p.next()
		return Item{X: p.expr(), Assign: v}
	}
	// alias = expression
	if p.isIdent() && p.ahead(1).is("=") {
		a := p.ident()
		p.next()
		return Item{X: p.expr(), Alias: a}
	}
	it := Item{X: p.expr()}
	it.Alias = p.alias(true)
	return it
}

// alias is [AS] name; a text will do where text is set.
func (p *parser) alias(text bool) string {
	if p.accept("AS") {
		if t := p.peek(); text && (t.kind == tString || t.kind == tNString) {
			p.next()
			return t.text
		}
		return p.ident()
	}
	if p.isIdent() && !notAlias[strings.ToUpper(p.peek().text)] {
		return p.ident()
	}
	return ""
}

// notAlias are words that follow an item or source although they are not reserved.
var notAlias = map[string]bool{"OFFSET": true, "GO": true, "APPLY": true, "THROW": true}

func (p *parser) sources() []Source {
	var out []Source
	for {
		out = append(out, p.joined())
		if !p.accept(",") {
			return out
		}
	}
}

func (p *parser) joined() Source {
	p.enter()
	defer p.leave()
	s := p.source()
	for {
		j := &Join{L: s}
		switch {
		case p.accept("CROSS", "JOIN"):
			j.Kind = "CROSS"
		case p.accept("CROSS", "APPLY"):
			j.Kind = "CROSS APPLY"
		case p.accept("OUTER", "APPLY"):
			j.Kind = "OUTER APPLY"
		case p.accept("JOIN"), p.accept("INNER", "JOIN"):
			j.Kind = "INNER"
		case p.accept("LEFT", "JOIN"), p.accept("LEFT", "OUTER", "JOIN"):
			j.Kind = "LEFT"
		case p.accept("RIGHT", "JOIN"), p.accept("RIGHT", "OUTER", "JOIN"):
			j.Kind = "RIGHT"
		case p.accept("FULL", "JOIN"), p.accept("FULL", "OUTER", "JOIN"):
			j.Kind = "FULL"
		default:
			return s
		}
		j.R = p.source()
		if !strings.HasPrefix(j.Kind, "CROSS") && j.Kind != "OUTER APPLY" {
			p.expect("ON")
			j.On = p.expr()
		}
		s = j
	}
}

func (p *parser) source() Source {
	if p.peek().is("(") {
		switch {
		case p.ahead(1).is("SELECT") || p.ahead(1).is("WITH"):
			d := &Derived{Query: p.parenQuery()}
			d.Alias, d.Columns = p.derivedName()
			return d
		case p.ahead(1).is("VALUES"):
			p.expect("(", "VALUES")
			v := &Values{Rows: p.valueRows()}
			p.expect(")")
			v.Alias, v.Columns = p.derivedName()
			return v
		}
		p.expect("(")
		s := p.joined()
		p.expect(")")
		return s
	}
	if p.peek().kind == tVar {
		t := &Table{Name: Name{p.variable()}}
		t.Alias = p.alias(false)
		return t
	}
	t := &Table{Name: p.name()}
	if p.peek().is("(") && (len(t.Name) != 1 || !p.hintAhead()) {
		p.expect("(")
		t.Call = true
		if !p.accept(")") {
			for {
				if p.accept("DEFAULT") {
					t.Args = append(t.Args, nil)
				} else {
					t.Args = append(t.Args, p.expr())
				}
				if !p.accept(",") {
					break
				}
			}
			p.expect(")")
		}
	}
	t.Alias = p.alias(false)
	if p.accept("WITH") {
		t.Hints = p.hints()
	} else if p.peek().is("(") && p.hintAhead() {
		t.Hints = p.hints()
	}
	return t
}

var hints = map[string]bool{
	"TABLOCKX": true, "TABLOCK": true, "NOLOCK": true, "READUNCOMMITTED": true, "READCOMMITTED": true, "REPEATABLEREAD": true,
	"SERIALIZABLE": true, "HOLDLOCK": true, "UPDLOCK": true, "XLOCK": true, "ROWLOCK": true, "READPAST": true,
}

// hintAhead: the old form, t (NOLOCK).
func (p *parser) hintAhead() bool {
	t := p.ahead(1)
	return t.kind == tIdent && hints[strings.ToUpper(t.text)] && (p.ahead(2).is(")") || p.ahead(2).is(","))
}

func (p *parser) hints() []string {
	p.expect("(")
	var out []string
	for {
		t := p.peek()
		w := strings.ToUpper(t.text)
		if t.kind != tIdent || !hints[w] {
			p.bad()
		}
		p.next()
		out = append(out, w)
		if !p.accept(",") {
			p.expect(")")
			return out
		}
	}
}

func (p *parser) derivedName() (string, []string) {
	p.accept("AS")
	a := p.ident()
	if p.peek().is("(") {
		return a, p.names()
	}
	return a, nil
}

// valueRows is (a, b), (c, d); DEFAULT is nil.
func (p *parser) valueRows() [][]Expr {
	var out [][]Expr
	for {
		p.expect("(")
		var row []Expr
		for {
			if p.accept("DEFAULT") {
				row = append(row, nil)
			} else {
				row = append(row, p.expr())
			}
			if !p.accept(",") {
				break
			}
		}
		p.expect(")")
		out = append(out, row)
		if !p.accept(",") {
			return out
		}
	}
}
