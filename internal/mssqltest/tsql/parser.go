package tsql

import (
	"fmt"
	"slices"
	"strings"
)

// maxDepth bounds nesting, so that no text exhausts the stack.
const maxDepth = 200

type parser struct {
	src   string
	toks  []token
	at    int
	depth int
}

// Parse reads a batch. The error is a *SyntaxError.
func Parse(src string) (out []Statement, err error) {
	toks, err := lex(src)
	if err != nil {
		return nil, err
	}
	p := &parser{src: src, toks: toks}
	defer caught(&err)
	for {
		for p.accept(";") {
		}
		if p.peek().kind == tEOF {
			return out, nil
		}
		out = append(out, p.statement())
	}
}

// ParseParams reads the declaration of sp_executesql's parameters.
func ParseParams(src string) (out []DeclareVar, err error) {
	toks, err := lex(src)
	if err != nil {
		return nil, err
	}
	p := &parser{src: src, toks: toks}
	defer caught(&err)
	for p.peek().kind != tEOF {
		v := DeclareVar{Name: p.variable()}
		p.accept("AS")
		v.Type = p.typeName()
		if !p.accept("OUTPUT") {
			p.accept("OUT")
		}
		out = append(out, v)
		if p.peek().kind != tEOF {
			p.expect(",")
		}
	}
	return out, nil
}

// ParseName splits a name such as [db].dbo.t.
func ParseName(src string) (n Name, err error) {
	toks, err := lex(src)
	if err != nil {
		return nil, err
	}
	p := &parser{src: src, toks: toks}
	defer caught(&err)
	n = p.name()
	if p.peek().kind != tEOF {
		p.bad()
	}
	return n, nil
}

// caught turns the panic of bad into an error.
func caught(err *error) {
	if r := recover(); r != nil {
		se, ok := r.(*SyntaxError)
		if !ok {
			panic(r)
		}
		*err = se
	}
}

func (p *parser) peek() token { return p.toks[p.at] }

func (p *parser) ahead(n int) token {
	if p.at+n < len(p.toks) {
		return p.toks[p.at+n]
	}
	return p.toks[len(p.toks)-1]
}

func (p *parser) next() token {
	t := p.toks[p.at]
	if t.kind != tEOF {
		p.at++
	}
	return t
}

// bad ends the parse at the next token.
func (p *parser) bad() {
	t := p.peek()
	text := t.text
	switch {
	case t.kind == tEOF:
		panic(&SyntaxError{102, t.line, "Incorrect syntax near the end of the batch."})
	case t.kind == tBinary:
		text = "0x"
	case t.kind == tIdent && reserved[strings.ToUpper(text)]:
		panic(&SyntaxError{156, t.line, fmt.Sprintf("Incorrect syntax near the keyword '%s'.", text)})
	}
	panic(&SyntaxError{102, t.line, fmt.Sprintf("Incorrect syntax near '%s'.", text)})
}

// enter and leave bound the depth of the recursion.
func (p *parser) enter() {
	if p.depth++; p.depth > maxDepth {
		panic(&SyntaxError{191, p.peek().line, "Some part of your SQL statement is nested too deeply. Rewrite the query or break it up into smaller queries."})
	}
}
func (p *parser) leave() { p.depth-- }

// accept takes the words if they all come next.
func (p *parser) accept(words ...string) bool {
	for i, w := range words {
		if !p.ahead(i).is(w) {
			return false
		}
	}
	p.at += len(words)
	return true
}

func (p *parser) expect(words ...string) {
	for _, w := range words {
		if !p.accept(w) {
			p.bad()
		}
	}
}

// reserved words cannot be identifiers or aliases without quotes.
var reserved = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(`ADD ALL ALTER AND ANY AS ASC AUTHORIZATION BACKUP BEGIN BETWEEN BREAK BROWSE BULK BY CASCADE CASE CHECK
		CHECKPOINT CLOSE CLUSTERED COALESCE COLLATE COLUMN COMMIT COMPUTE CONSTRAINT CONTAINS CONTINUE CONVERT CREATE CROSS CURRENT
		CURRENT_TIMESTAMP CURRENT_USER CURSOR DATABASE DBCC DEALLOCATE DECLARE DEFAULT DELETE DENY DESC DISTINCT DROP ELSE END ESCAPE
		EXCEPT EXEC EXECUTE EXISTS EXIT FETCH FOR FOREIGN FROM FULL FUNCTION GOTO GRANT GROUP HAVING HOLDLOCK IDENTITY IF IN INDEX INNER
		INSERT INTERSECT INTO IS JOIN KEY KILL LEFT LIKE MERGE NATIONAL NONCLUSTERED NOT NULL NULLIF OF OFF ON OPEN OPTION OR ORDER OUTER
		OVER PIVOT PRIMARY PRINT PROC PROCEDURE RAISERROR READ REFERENCES RETURN REVERT REVOKE RIGHT ROLLBACK SAVE SCHEMA SELECT SESSION_USER
		SET SOME SYSTEM_USER TABLE THEN TO TOP TRAN TRANSACTION TRIGGER TRUNCATE TRY_CONVERT UNION UNIQUE UPDATE USE USER VALUES VIEW WAITFOR
		WHEN WHERE WHILE WITH`) {
		m[w] = true
	}
	return m
}()

// ident is an identifier.
func (p *parser) ident() string {
	t := p.peek()
	if t.kind == tQuoted || t.kind == tIdent && !reserved[strings.ToUpper(t.text)] {
		p.next()
		return t.text
	}
	p.bad()
	return ""
}

func (p *parser) isIdent() bool {
	t := p.peek()
	return t.kind == tQuoted || t.kind == tIdent && !reserved[strings.ToUpper(t.text)]
}

// name is a.b.c.d, where inner parts may be empty.
func (p *parser) name() Name {
	n := Name{p.ident()}
	for p.accept(".") {
		if p.peek().is(".") {
			n = append(n, "")
			continue
		}
		// After a dot, a keyword is a name.
		if t := p.peek(); t.kind == tIdent {
			p.next()
			n = append(n, t.text)
		} else {
			n = append(n, p.ident())
		}
	}
	if len(n) > 4 {
		p.bad()
	}
	return n
}

func (p *parser) variable() string {
	t := p.peek()
	if t.kind != tVar {
		p.bad()
	}
	p.next()
	return t.text
}

func (p *parser) names() []string {
	p.expect("(")
	var out []string
	for {
		out = append(out, p.ident())
		if !p.accept(",") {
			p.expect(")")
			return out
		}
	}
}

// indexColumns are names with an order each.
func (p *parser) indexColumns() []string {
	p.expect("(")
	var out []string
	for {
		out = append(out, p.ident())
		if !p.accept("ASC") && p.peek().is("DESC") {
			p.bad() // descending keys are not in the model
		}
		if !p.accept(",") {
			p.expect(")")
			return out
		}
	}
}

func (p *parser) typeName() TypeName {
	var t TypeName
	n := p.name()
	if len(n) == 2 && (strings.EqualFold(n[0], "sys") || strings.EqualFold(n[0], "dbo")) {
		n = n[1:]
	}
	if len(n) != 1 {
		p.bad()
	}
	t.Name = strings.ToLower(n[0])
	if t.Name == "double" && p.accept("PRECISION") {
		t.Name = "float"
	}
	if t.Name == "character" && p.accept("VARYING") {
		t.Name = "varchar"
	}
	if p.accept("(") {
		for {
			if p.accept("max") {
				t.Params = append(t.Params, -1)
			} else {
				t.Params = append(t.Params, int(p.integer()))
			}
			if !p.accept(",") {
				break
			}
		}
		p.expect(")")
	}
	if p.accept("COLLATE") {
		t.Collate = p.ident()
	}
	return t
}

func (p *parser) integer() int64 {
	neg := p.accept("-")
	t := p.peek()
	var n int64
	if t.kind != tInt || len(t.text) > 18 {
		p.bad()
	}
	p.next()
	for _, c := range t.text {
		n = n*10 + int64(c-'0')
	}
	if neg {
		return -n
	}
	return n
}

// text is the source between two tokens.
func (p *parser) text(from, to int) string {
	end := len(p.src)
	if to < len(p.toks) {
		end = p.toks[to].pos
	}
	return strings.TrimSpace(p.src[p.toks[from].pos:end])
}

func (p *parser) oneOf(words ...string) string {
	t := p.peek()
	if t.kind == tIdent && slices.ContainsFunc(words, t.is) {
		p.next()
		return strings.ToUpper(t.text)
	}
	return ""
}
