package ddl

import "github.com/pingcap/tidb/pkg/parser/ast"

func (c *converter) create(s *ast.CreateTableStmt) error {
	t := &Create{Table: name(s.Table), Temporary: s.TemporaryKeyword != ast.TemporaryNone, Unless: s.IfNotExists, Select: s.Select != nil}
	c.st.Create = t
	if s.ReferTable != nil {
		like := name(s.ReferTable)
		t.Like = &like
		return nil
	}
	for _, n := range s.Cols {
		col, err := c.column(n)
		if err != nil {
			return err
		}
		t.Columns = append(t.Columns, col)
	}
	for _, n := range s.Constraints {
		if k, ok := constraint(n); ok {
			t.Keys = append(t.Keys, k)
		}
	}
	for _, o := range s.Options {
		switch o.Tp {
		case ast.TableOptionCharset:
			t.Charset = c.tableCharset(o)
		case ast.TableOptionCollate:
			if v := c.option(o.StrValue); t.Charset == "" {
				t.Charset = CollationCharset(v)
			}
		case ast.TableOptionComment:
			t.Comment = o.StrValue
		}
	}
	return nil
}

func (c *converter) tableCharset(o *ast.TableOption) string {
	if o.Default || o.UintValue == ast.TableOptionCharsetWithoutConvertTo && o.StrValue == "" {
		return ""
	}
	return c.option(o.StrValue)
}

func constraint(n *ast.Constraint) (Key, bool) {
	switch n.Tp {
	case ast.ConstraintPrimaryKey:
		return key("PRIMARY", true, n.Keys), true
	case ast.ConstraintUniq, ast.ConstraintUniqKey, ast.ConstraintUniqIndex:
		return key(n.Name, false, n.Keys), true
	}
	return Key{}, false
}

func key(name string, primary bool, parts []*ast.IndexPartSpecification) Key {
	k := Key{Name: name, Primary: primary}
	for _, p := range parts {
		column := ""
		if p.Column != nil {
			column = p.Column.Name.O
		}
		k.Columns = append(k.Columns, column)
		k.Prefix = k.Prefix || p.Length > 0
	}
	return k
}

func (c *converter) alter(s *ast.AlterTableSpec) error {
	add := func(ch Change) { c.st.Changes = append(c.st.Changes, ch) }
	switch s.Tp {
	case ast.AlterTableAddColumns:
		return c.addColumns(s)
	case ast.AlterTableModifyColumn, ast.AlterTableChangeColumn:
		col, err := c.column(s.NewColumns[0])
		if err != nil {
			return err
		}
		ch := Change{Kind: ModifyColumn, Name: col.Name, Column: col, Lenient: s.IfExists}
		if s.Tp == ast.AlterTableChangeColumn {
			ch.Name = s.OldColumnName.Name.O
		}
		ch.place(s.Position)
		add(ch)
	case ast.AlterTableDropColumn:
		add(Change{Kind: DropColumn, Name: s.OldColumnName.Name.O, Lenient: s.IfExists})
	case ast.AlterTableRenameColumn:
		add(Change{Kind: RenameColumn, Name: s.OldColumnName.Name.O, To: s.NewColumnName.Name.O})
	case ast.AlterTableAlterColumn:
		ch := Change{Kind: SetDefault, Name: s.NewColumns[0].Name.Name.O}
		if o := s.NewColumns[0].Options; len(o) > 0 {
			ch.Column.setDefault(o[0].Expr)
		}
		add(ch)
	case ast.AlterTableAddConstraint:
		if k, ok := constraint(s.Constraint); ok {
			add(Change{Kind: AddKey, Key: k, Lenient: s.Constraint.IfNotExists})
		}
	case ast.AlterTableDropPrimaryKey:
		add(Change{Kind: DropKey, Name: "PRIMARY"})
	case ast.AlterTableDropIndex:
		add(Change{Kind: DropKey, Name: s.Name, Lenient: s.IfExists})
	case ast.AlterTableRenameIndex:
		add(Change{Kind: RenameKey, Name: s.FromKey.O, To: s.ToKey.O})
	case ast.AlterTableRenameTable:
		add(Change{Kind: MoveTable, Table: name(s.NewTable)})
	case ast.AlterTableOption:
		c.tableOptions(s.Options)
	}
	return nil
}

func (ch *Change) place(p *ast.ColumnPosition) {
	switch {
	case p == nil:
	case p.Tp == ast.ColumnPositionFirst:
		ch.First = true
	case p.Tp == ast.ColumnPositionAfter:
		ch.After = p.RelativeColumn.Name.O
	}
}

func (c *converter) addColumns(s *ast.AlterTableSpec) error {
	for _, n := range s.NewColumns {
		col, err := c.column(n)
		if err != nil {
			return err
		}
		ch := Change{Kind: AddColumn, Name: col.Name, Column: col, Lenient: s.IfNotExists}
		ch.place(s.Position)
		c.st.Changes = append(c.st.Changes, ch)
	}
	for _, n := range s.NewConstraints {
		if k, ok := constraint(n); ok {
			c.st.Changes = append(c.st.Changes, Change{Kind: AddKey, Key: k})
		}
	}
	return nil
}

func (c *converter) tableOptions(list []*ast.TableOption) {
	ch := Change{Kind: SetCharset}
	told := false
	for _, o := range list {
		switch o.Tp {
		case ast.TableOptionCharset:
			if told = true; o.UintValue == ast.TableOptionCharsetWithConvertTo {
				ch.Kind = Convert
			}
			ch.Charset = c.tableCharset(o)
		case ast.TableOptionCollate:
			told = true
			if v := c.option(o.StrValue); ch.Charset == "" {
				ch.Charset = CollationCharset(v)
			}
		case ast.TableOptionComment:
			c.st.Changes = append(c.st.Changes, Change{Kind: SetComment, Comment: o.StrValue})
		}
	}
	if told {
		c.st.Changes = append(c.st.Changes, ch)
	}
}
