package tsql

import (
	"strings"
)

func (p *parser) statement() Statement { //nolint:funlen // one case for each statement
	p.enter()
	defer p.leave()
	t := p.peek()
	if t.is("(") {
		return &Select{p.query()}
	}
	if t.kind != tIdent {
		p.bad()
	}
	switch strings.ToUpper(t.text) {
	case "SELECT", "WITH":
		return &Select{p.query()}
	case "INSERT":
		return p.insert()
	case "UPDATE":
		return p.update()
	case "DELETE":
		return p.delete()
	case "TRUNCATE":
		p.expect("TRUNCATE", "TABLE")
		return &Truncate{p.name()}
	case "CREATE":
		return p.create()
	case "ALTER":
		return p.alter()
	case "DROP":
		return p.drop()
	case "GRANT", "DENY", "REVOKE":
		return p.permit()
	case "BEGIN":
		return p.begin()
	case "COMMIT":
		p.next()
		p.transactionWord()
		p.transactionName()
		return &CommitTran{}
	case "ROLLBACK":
		p.next()
		p.transactionWord()
		return &RollbackTran{p.transactionName()}
	case "SAVE":
		p.next()
		if !p.transactionWord() {
			p.bad()
		}
		return &SaveTran{p.ident()}
	case "SET":
		return p.set()
	case "DECLARE":
		return p.declare()
	case "IF":
		return p.ifStatement()
	case "EXEC", "EXECUTE":
		p.next()
		return p.exec()
	case "USE":
		p.next()
		return &Use{p.ident()}
	case "PRINT":
		p.next()
		return &Print{p.expr()}
	case "WAITFOR":
		p.expect("WAITFOR", "DELAY")
		return &WaitFor{p.primary()}
	case "THROW":
		p.next()
		s := &Throw{}
		if t := p.peek(); t.kind == tInt || t.kind == tVar {
			s.Number = p.expr()
			p.expect(",")
			s.Text = p.expr()
			p.expect(",")
			s.State = p.expr()
		}
		return s
	case "RAISERROR":
		p.expect("RAISERROR", "(")
		a := p.exprs()
		if len(a) != 3 {
			p.bad()
		}
		return &Throw{Text: a[0], Severity: a[1], State: a[2]}
	case "KILL":
		p.next()
		return &Kill{p.expr()}
	case "GO":
		p.bad()
	}
	// A batch may begin with a procedure's name; so may any statement here.
	if p.isIdent() {
		if p.at == 0 {
			return p.exec()
		}
	}
	p.bad()
	return nil
}

func (p *parser) transactionWord() bool {
	return p.oneOf("TRAN", "TRANSACTION", "WORK") != ""
}

func (p *parser) transactionName() string {
	if t := p.peek(); p.isIdent() && !t.is("GO") && !statementWord(t) {
		return p.ident()
	}
	return ""
}

// statementWord: unreserved words that begin a statement.
func statementWord(t token) bool { return t.is("THROW") }

func (p *parser) begin() Statement {
	p.expect("BEGIN")
	if p.transactionWord() {
		return &BeginTran{p.transactionName()}
	}
	if p.accept("TRY") {
		t := &Try{Body: p.until()}
		p.expect("TRY", "BEGIN", "CATCH")
		t.Catch = p.until()
		p.expect("CATCH")
		return t
	}
	b := p.until()
	if len(b) == 0 {
		p.at--
		p.bad()
	}
	return &Block{b}
}

// until reads statements up to END, which it takes.
func (p *parser) until() []Statement {
	var out []Statement
	for {
		for p.accept(";") {
		}
		if p.accept("END") {
			return out
		}
		out = append(out, p.statement())
	}
}

func (p *parser) ifStatement() Statement {
	p.expect("IF")
	s := &If{Cond: p.expr(), Then: p.statement()}
	save := p.at
	for p.accept(";") {
	}
	if p.accept("ELSE") {
		s.Else = p.statement()
	} else {
		p.at = save
	}
	return s
}

func (p *parser) insert() Statement {
	p.expect("INSERT")
	p.accept("INTO")
	s := &Insert{}
	if p.peek().kind == tVar {
		s.Table = Name{p.variable()}
	} else {
		s.Table = p.name()
	}
	if p.accept("WITH") {
		p.hints()
	}
	if p.peek().is("(") && !p.ahead(1).is("SELECT") {
		s.Columns = p.names()
	}
	if p.accept("OUTPUT") {
		for {
			s.Output = append(s.Output, p.item())
			if !p.accept(",") {
				break
			}
		}
	}
	switch {
	case p.accept("DEFAULT", "VALUES"):
		s.Defaults = true
	case p.accept("VALUES"):
		s.Rows = p.valueRows()
	case p.accept("EXEC"), p.accept("EXECUTE"):
		s.Exec = p.exec().(*Exec)
	default:
		s.Query = p.query()
	}
	return s
}

func (p *parser) update() Statement {
	p.expect("UPDATE")
	s := &Update{Top: p.top(), Table: p.name()}
	if p.accept("WITH") {
		p.hints()
	}
	p.expect("SET")
	for {
		n := p.name()
		set := Set{Column: n.Last()}
		switch {
		case p.accept("+="):
			set.X = &Binary{"+", &Col{n}, p.expr()}
		case p.accept("-="):
			set.X = &Binary{"-", &Col{n}, p.expr()}
		default:
			p.expect("=")
			if !p.accept("DEFAULT") {
				set.X = p.expr()
			}
		}
		s.Set = append(s.Set, set)
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
	return s
}

func (p *parser) delete() Statement {
	p.expect("DELETE")
	s := &Delete{Top: p.top()}
	p.accept("FROM")
	s.Table = p.name()
	if p.accept("WITH") {
		p.hints()
	}
	if p.accept("FROM") {
		s.From = p.sources()
	}
	if p.accept("WHERE") {
		s.Where = p.expr()
	}
	return s
}

func (p *parser) set() Statement {
	p.expect("SET")
	if p.peek().kind == tVar {
		v := p.variable()
		op := "="
		for _, o := range []string{"+=", "-="} {
			if p.accept(o) {
				op = o[:1]
			}
		}
		if op == "=" {
			p.expect("=")
			return &SetVar{v, p.expr()}
		}
		return &SetVar{v, &Binary{op, &Var{v}, p.expr()}}
	}
	if p.accept("TRANSACTION", "ISOLATION", "LEVEL") {
		s := &SetOption{Option: "TRANSACTION ISOLATION LEVEL"}
		for _, l := range [][]string{{"READ", "COMMITTED"}, {"READ", "UNCOMMITTED"}, {"REPEATABLE", "READ"}, {"SERIALIZABLE"}, {"SNAPSHOT"}} {
			if p.accept(l...) {
				s.Value = strings.Join(l, " ")
				return s
			}
		}
		p.bad()
	}
	s := &SetOption{}
	// SET a, b ON sets several.
	for {
		t := p.peek()
		if t.kind != tIdent {
			p.bad()
		}
		p.next()
		w := strings.ToUpper(t.text)
		if w == "STATISTICS" {
			p.bad()
		}
		if w == "IDENTITY_INSERT" {
			s.Option, s.X = w, &Col{p.name()}
			break
		}
		s.Option += w
		if !p.accept(",") {
			break
		}
		s.Option += ","
	}
	if v := p.oneOf("ON", "OFF"); v != "" {
		s.Value = v
		return s
	}
	if s.Option == "LANGUAGE" || s.Option == "DATEFORMAT" {
		s.Value = p.ident()
		return s
	}
	s.X = p.additive()
	return s
}

func (p *parser) declare() Statement {
	p.expect("DECLARE")
	d := &Declare{}
	for {
		v := DeclareVar{Name: p.variable()}
		p.accept("AS")
		if p.accept("TABLE") {
			p.expect("(")
			for {
				v.Table = append(v.Table, p.columnDef())
				if !p.accept(",") {
					break
				}
			}
			p.expect(")")
			d.Vars = append(d.Vars, v)
			return d
		}
		v.Type = p.typeName()
		if p.accept("=") {
			v.X = p.expr()
		}
		d.Vars = append(d.Vars, v)
		if !p.accept(",") {
			return d
		}
	}
}

func (p *parser) exec() Statement {
	s := &Exec{}
	if p.accept("(") {
		s.Text = p.expr()
		p.expect(")")
		return s
	}
	if p.peek().kind == tVar && p.ahead(1).is("=") {
		s.Return = p.variable()
		p.next()
	}
	s.Proc = p.name()
	if !p.argumentAhead() {
		return s
	}
	for {
		a := Arg{}
		if p.peek().kind == tVar && p.ahead(1).is("=") {
			a.Name = p.variable()
			p.next()
		}
		switch t := p.peek(); {
		case p.accept("DEFAULT"):
		case t.kind == tIdent && !reserved[strings.ToUpper(t.text)]:
			// A bare word is a text.
			p.next()
			a.X = &Lit{LitString, t.text}
		default:
			a.X = p.unary()
		}
		if p.accept("OUTPUT") || p.accept("OUT") {
			a.Output = true
		}
		s.Args = append(s.Args, a)
		if !p.accept(",") {
			return s
		}
	}
}

func (p *parser) argumentAhead() bool {
	switch t := p.peek(); t.kind {
	case tEOF:
		return false
	case tPunct:
		return t.is("-") || t.is("+")
	case tIdent:
		return t.is("NULL") || t.is("DEFAULT") || !reserved[strings.ToUpper(t.text)] && !statementWord(t)
	}
	return true
}
