package mssqltest

import (
	"slices"
	"strings"

	"tributary/internal/mssqltest/tds"
	"tributary/internal/mssqltest/tsql"
)

func (s *session) alterTable(st *tsql.AlterTable) error {
	return s.withTable(st.Table, func(db *Database, d *state, t *table) error {
		for _, cd := range st.Add {
			if err := s.addWithRows(db, t, cd); err != nil {
				return err
			}
		}
		for _, c := range st.Constraints {
			if err := s.addConstraint(db, t, c); err != nil {
				return err
			}
			if c.What == "PRIMARY KEY" {
				t.setKey()
				if err := t.rebuild(func(r []any) ([]any, error) { return r, nil }); err != nil {
					return err
				}
			}
		}
		for _, n := range st.DropConstr {
			if err := dropConstraint(t, n); err != nil {
				return err
			}
		}
		for _, n := range st.DropColumns {
			id := t.entity(db).column(n)
			if err := dropColumn(t, n); err != nil {
				return err
			}
			d.security = d.security.forget(ofObject, int64(t.id), id)
		}
		if st.Mask != nil {
			if err := t.setMask(*st.Mask); err != nil {
				return err
			}
		}
		if st.Alter != nil {
			if err := s.alterColumn(d, t, *st.Alter); err != nil {
				return err
			}
		}
		for _, in := range d.tracked(t.id) {
			db.ddl = append(db.ddl, ddlRow{t.id, in.objectID, st.Alter != nil, "ALTER TABLE " + t.schema + "." + t.name, db.head.next(), s.srv.now()})
		}
		return nil
	})
}

// addWithRows adds a column to a table with rows: NULL, or the default where the
// column is NOT NULL.
func (s *session) addWithRows(db *Database, t *table, cd tsql.ColumnDef) error {
	if err := s.addColumn(db, t, cd); err != nil {
		return err
	}
	c := t.columns[len(t.columns)-1]
	if !c.nullable && c.def == nil && c.identity == nil && c.typ.Kind != tds.RowVersion && t.root != nil {
		return sqlError(4901, "ALTER TABLE only allows columns to be added that can contain nulls, or have a DEFAULT definition specified, or the column being added is an identity or timestamp column. Column '%s' cannot be added to non-empty table '%s' because it does not satisfy these conditions.", c.name, t.name)
	}
	k := &compiler{s: s, scope: &scope{}}
	var fill value
	if c.def != nil && !c.nullable {
		v, err := k.expr(c.def)
		if err != nil {
			return err
		}
		fill = v
	}
	if c.computed != nil {
		r := tableRelation(t, nil)
		k.scope = &scope{cols: r.cols[:len(r.cols)-1]}
		v, err := k.expr(c.computed)
		if err != nil {
			return err
		}
		fill = v
	}
	return t.rebuild(func(r []any) ([]any, error) {
		row := append(slices.Clone(r), nil)
		var err error
		switch {
		case fill.eval != nil:
			var x any
			if x, err = fill.eval(&env{row: r}); err == nil {
				row[len(row)-1], err = convert(x, fill.typ, c.typ, 0, true)
			}
		case c.identity != nil:
			row[len(row)-1], err = convert(c.identity.next(), bigType, c.typ, 0, true)
		case c.typ.Kind == tds.RowVersion:
			row[len(row)-1] = db.rowVersion()
		}
		return row, err
	})
}

func dropConstraint(t *table, name string) error {
	for i, c := range t.columns {
		if c.def != nil && strings.EqualFold(c.defName, name) {
			n := *c
			n.def, n.defText, n.defName, n.defID = nil, "", "", 0
			t.columns = slices.Clone(t.columns)
			t.columns[i] = &n
			return nil
		}
	}
	for i, x := range t.indexes {
		if (x.primary || x.unqConstr) && strings.EqualFold(x.name, name) {
			t.indexes = slices.Delete(slices.Clone(t.indexes), i, i+1)
			if x.primary {
				t.setKey()
				return t.rebuild(func(r []any) ([]any, error) { return r, nil })
			}
			return nil
		}
	}
	return sqlError(3728, "'%s' is not a constraint.", name)
}

func dropColumn(t *table, name string) error {
	i := t.column(name)
	if i < 0 {
		return sqlError(4924, "ALTER TABLE DROP COLUMN failed because column '%s' does not exist in table '%s'.", name, t.name)
	}
	c := t.columns[i]
	if c.def != nil {
		return sqlError(5074, "The object '%s' is dependent on column '%s'.", c.defName, c.name)
	}
	for _, x := range t.indexes {
		if slices.ContainsFunc(x.columns, func(n string) bool { return strings.EqualFold(n, name) }) {
			return sqlError(5074, "The object '%s' is dependent on column '%s'.", x.name, c.name)
		}
	}
	t.columns = slices.Delete(slices.Clone(t.columns), i, i+1)
	t.setKey()
	return t.rebuild(func(r []any) ([]any, error) { return slices.Delete(slices.Clone(r), i, i+1), nil })
}

// alterColumn changes a column's type. Its capture instances take the new type.
func (s *session) alterColumn(d *state, t *table, cd tsql.ColumnDef) error {
	i := t.column(cd.Name)
	if i < 0 {
		return sqlError(4924, "ALTER TABLE ALTER COLUMN failed because column '%s' does not exist in table '%s'.", cd.Name, t.name)
	}
	k := &compiler{s: s}
	typ, err := k.typeOf(cd.Type)
	if err != nil {
		return err
	}
	old := t.columns[i]
	n := *old
	n.typ, n.nullable = typ, !cd.NotNull
	t.columns = slices.Clone(t.columns)
	t.columns[i] = &n
	err = t.rebuild(func(r []any) ([]any, error) {
		row := slices.Clone(r)
		x, err := convert(row[i], old.typ, typ, 0, true)
		if err == nil && x == nil && !n.nullable {
			err = sqlError(515, "Cannot insert the value NULL into column '%s', table '%s'; column does not allow nulls. UPDATE fails.", n.name, t.name)
		}
		row[i] = x
		return row, err
	})
	if err != nil {
		return err
	}
	for j, in := range d.instances {
		if in.sourceID != t.id {
			continue
		}
		for x, c := range in.columns {
			if c.id != old.id {
				continue
			}
			c2 := in.clone()
			c2.columns = slices.Clone(in.columns)
			c2.columns[x].typ = typ
			c2.rows = slices.Clone(in.rows)
			for r := range c2.rows {
				v := slices.Clone(c2.rows[r].values)
				if v[x], err = convert(v[x], old.typ, typ, 0, true); err != nil {
					return err
				}
				c2.rows[r].values = v
			}
			d.instances[j] = c2
		}
	}
	return nil
}
