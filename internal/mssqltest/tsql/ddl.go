package tsql

import (
	"strings"
)

func (p *parser) create() Statement {
	p.expect("CREATE")
	if s := p.createPrincipal(); s != nil {
		return s
	}
	switch {
	case p.accept("TABLE"):
		return p.createTable()
	case p.accept("SCHEMA"):
		s := &CreateSchema{Name: p.ident()}
		if p.accept("AUTHORIZATION") {
			s.Owner = p.ident()
		}
		return s
	case p.accept("DATABASE"):
		s := &CreateDatabase{Name: p.ident()}
		if p.accept("COLLATE") {
			s.Collate = p.ident()
		}
		return s
	}
	s := &CreateIndex{Unique: p.accept("UNIQUE")}
	if p.accept("CLUSTERED") {
		s.Clustered = true
	} else {
		p.accept("NONCLUSTERED")
	}
	p.expect("INDEX")
	s.Name = p.ident()
	p.expect("ON")
	s.Table = p.name()
	s.Columns = p.indexColumns()
	return s
}

func (p *parser) createTable() Statement {
	s := &CreateTable{Table: p.name()}
	p.expect("(")
	for !p.peek().is(")") { // a last comma is allowed
		if c, ok := p.constraint(); ok {
			s.Constraints = append(s.Constraints, c)
		} else {
			s.Columns = append(s.Columns, p.columnDef())
		}
		if !p.accept(",") {
			break
		}
	}
	p.expect(")")
	return s
}

// constraint is a table constraint, if one comes next.
func (p *parser) constraint() (Constraint, bool) {
	c := Constraint{}
	named := p.accept("CONSTRAINT")
	if named {
		c.Name = p.ident()
	}
	switch {
	case p.accept("PRIMARY", "KEY"):
		c.What = "PRIMARY KEY"
	case p.accept("UNIQUE"):
		c.What = "UNIQUE"
	case p.accept("DEFAULT"):
		c.What = "DEFAULT"
		c.Default, c.DefaultText = p.defaultValue()
		p.expect("FOR")
		c.Columns = []string{p.ident()}
		return c, true
	default:
		if named {
			p.bad()
		}
		return c, false
	}
	c.NonCluster = p.clusterWord()
	c.Columns = p.indexColumns()
	return c, true
}

// clusterWord says whether NONCLUSTERED was written.
func (p *parser) clusterWord() bool {
	if p.accept("NONCLUSTERED") {
		return true
	}
	p.accept("CLUSTERED")
	return false
}

func (p *parser) defaultValue() (Expr, string) {
	from := p.at
	x := p.additive()
	return x, p.text(from, p.at)
}

func (p *parser) columnDef() ColumnDef {
	c := ColumnDef{Name: p.ident()}
	if p.accept("AS") {
		from := p.at
		c.Computed = p.additive()
		c.ComputedSQL = p.text(from, p.at)
		c.Persisted = p.accept("PERSISTED")
		return c
	}
	if t := p.peek(); t.is(",") || t.is(")") {
		// "timestamp" alone is a column of that type, named so.
		if !strings.EqualFold(c.Name, "timestamp") {
			p.bad()
		}
		c.Type = TypeName{Name: "timestamp"}
		return c
	}
	c.Type = p.typeName()
	for {
		name := ""
		if p.accept("CONSTRAINT") {
			name = p.ident()
		}
		switch {
		case p.accept("NOT", "NULL"):
			c.NotNull = true
		case p.accept("NULL"):
			c.Null = true
		case p.accept("SPARSE"):
		case p.accept("COLLATE"):
			c.Type.Collate = p.ident()
		case p.accept("MASKED"):
			c.Mask = p.mask()
		case p.accept("IDENTITY"):
			c.Identity, c.Seed, c.Step = true, 1, 1
			if p.accept("(") {
				c.Seed = p.integer()
				p.expect(",")
				c.Step = p.integer()
				p.expect(")")
			}
		case p.accept("DEFAULT"):
			c.Default, c.DefaultText = p.defaultValue()
			c.DefaultName = name
		case p.accept("PRIMARY", "KEY"):
			c.PrimaryKey, c.NonCluster = true, p.clusterWord()
			c.KeyName = name
		case p.accept("UNIQUE"):
			c.Unique = true
			p.clusterWord()
			c.KeyName = name
		default:
			if name != "" {
				p.bad()
			}
			return c
		}
	}
}

func (p *parser) alter() Statement {
	p.expect("ALTER")
	if p.accept("DATABASE") {
		return p.alterDatabase()
	}
	if s := p.alterPrincipal(); s != nil {
		return s
	}
	p.expect("TABLE")
	s := &AlterTable{Table: p.name()}
	switch {
	case p.accept("ADD"):
		for {
			if c, ok := p.constraint(); ok {
				s.Constraints = append(s.Constraints, c)
			} else {
				s.Add = append(s.Add, p.columnDef())
			}
			if !p.accept(",") {
				break
			}
		}
	case p.accept("DROP"):
		for column := false; ; {
			switch {
			case p.accept("COLUMN"):
				column = true
			case p.accept("CONSTRAINT"):
				column = false
			}
			if column {
				s.DropColumns = append(s.DropColumns, p.ident())
			} else {
				s.DropConstr = append(s.DropConstr, p.ident())
			}
			if !p.accept(",") {
				break
			}
		}
	case p.accept("ALTER", "COLUMN"):
		switch t := p.ahead(1); {
		case t.is("ADD"):
			s.Mask = &ColumnMask{Column: p.ident()}
			p.expect("ADD", "MASKED")
			s.Mask.Function = p.mask()
		case t.is("DROP"):
			s.Mask = &ColumnMask{Column: p.ident()}
			p.expect("DROP", "MASKED")
		default:
			c := p.columnDef()
			s.Alter = &c
		}
	default:
		p.bad()
	}
	return s
}

// mask is the function of MASKED WITH (FUNCTION = '…').
func (p *parser) mask() string {
	p.expect("WITH", "(", "FUNCTION", "=")
	f := p.stringToken()
	p.expect(")")
	return f
}

func (p *parser) alterDatabase() Statement {
	s := &AlterDatabase{}
	if !p.accept("CURRENT") {
		s.Name = p.ident()
	}
	p.expect("SET")
	s.Option = strings.ToUpper(p.ident())
	if v := p.oneOf("ON", "OFF"); v != "" {
		s.Value = v
	}
	if p.accept("WITH") {
		p.expect("ROLLBACK", "IMMEDIATE")
	}
	return s
}

func (p *parser) drop() Statement {
	p.expect("DROP")
	if p.accept("INDEX") {
		s := &DropIndex{Name: p.ident()}
		p.expect("ON")
		s.Table = p.name()
		return s
	}
	s := &Drop{What: p.oneOf("TABLE", "SCHEMA", "DATABASE", "LOGIN", "USER", "ROLE")}
	if s.What == "" {
		p.bad()
	}
	s.IfExists = s.What != "LOGIN" && p.accept("IF", "EXISTS")
	for {
		s.Names = append(s.Names, p.name())
		if s.What != "TABLE" && s.What != "DATABASE" || !p.accept(",") {
			return s
		}
	}
}
