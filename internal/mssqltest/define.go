package mssqltest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"tributary/internal/mssqltest/tds"
	"tributary/internal/mssqltest/tsql"
)

// define runs data definition. It takes effect at once, so that it is refused
// within a transaction that could be rolled back.
func (s *session) define(st tsql.Statement) error {
	if s.tranCount > 0 {
		return notInModel("data definition within a transaction")
	}
	if s.srv.readOnly.Load() {
		return sqlError(3906, "Failed to update database \"%s\" because the database is read-only.", s.db.name)
	}
	var err error
	switch st := st.(type) {
	case *tsql.CreateTable:
		err = s.createTable(st)
	case *tsql.AlterTable:
		err = s.alterTable(st)
	case *tsql.CreateIndex:
		err = s.createIndex(st)
	case *tsql.DropIndex:
		err = s.withTable(st.Table, func(_ *Database, _ *state, t *table) error {
			n := len(t.indexes)
			t.indexes = slices.DeleteFunc(slices.Clone(t.indexes), func(i *index) bool {
				return strings.EqualFold(i.name, st.Name) && !i.primary && !i.unqConstr
			})
			if n == len(t.indexes) {
				return sqlError(3701, "Cannot drop the index '%s.%s', because it does not exist or you do not have permission.", t.name, st.Name)
			}
			return nil
		})
	case *tsql.CreateSchema:
		err = s.db.change(func(d *state) error {
			if d.hasSchema(st.Name) {
				return sqlError(2714, "There is already an object named '%s' in the database.", st.Name)
			}
			d.schemas = append(slices.Clone(d.schemas), schemaRow{int64(5 + len(d.schemas)), st.Name})
			return nil
		})
	case *tsql.CreateDatabase:
		_, err = s.srv.CreateDatabase(st.Name)
	case *tsql.AlterDatabase:
		err = s.alterDatabase(st)
	case *tsql.Drop:
		err = s.drop(st)
	case *tsql.Truncate:
		err = s.truncate(st)
	default:
		err = notInModel("the statement %s", kindName(st))
	}
	if err != nil {
		return err
	}
	return s.out.done(0xC6, -1)
}

func (s *session) alterDatabase(st *tsql.AlterDatabase) error {
	db := s.db
	if st.Name != "" {
		if db = s.srv.DB(st.Name); db == nil {
			return sqlError(5011, "User does not have permission to alter database '%s', the database does not exist, or the database is not in a state that allows access checks.", st.Name)
		}
	}
	return db.change(func(d *state) error {
		switch st.Option {
		case "ALLOW_SNAPSHOT_ISOLATION":
			d.snapshot = st.Value == "ON"
		case "READ_COMMITTED_SNAPSHOT":
			d.rcsi = st.Value == "ON"
		default:
			return notInModel("the database's option %s", st.Option)
		}
		return nil
	})
}

func (s *session) drop(st *tsql.Drop) error {
	for _, n := range st.Names {
		var err error
		switch st.What {
		case "TABLE":
			err = s.dropTable(n, st.IfExists)
		case "DATABASE":
			if !s.srv.dropDatabase(n.Last()) && !st.IfExists {
				err = sqlError(3701, "Cannot drop the database '%s', because it does not exist or you do not have permission.", n.Last())
			}
		case "SCHEMA":
			err = s.db.change(func(d *state) error {
				if !d.hasSchema(n.Last()) {
					if st.IfExists {
						return nil
					}
					return sqlError(15151, "Cannot drop the schema '%s', because it does not exist or you do not have permission.", n.Last())
				}
				for _, t := range d.tables {
					if strings.EqualFold(t.schema, n.Last()) {
						return sqlError(3729, "Cannot drop schema '%s' because it is being referenced by object '%s'.", n.Last(), t.name)
					}
				}
				d.schemas = slices.DeleteFunc(slices.Clone(d.schemas), func(r schemaRow) bool { return strings.EqualFold(r.name, n.Last()) })
				return nil
			})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// dropTable drops a table, and its capture instances with it.
func (s *session) dropTable(n tsql.Name, ifExists bool) error {
	db, schema, name, err := s.objectName(n)
	if err != nil {
		return err
	}
	tb := db.st.Load().find(schema, name)
	if tb == nil {
		if ifExists {
			return nil
		}
		return sqlError(3701, "Cannot drop the table '%s', because it does not exist or you do not have permission.", strings.Join(n, "."))
	}
	if _, err := s.srv.locks.lockTable(s.ctx, s.tx, s.lockTimeout, db, tb.id); err != nil {
		return err
	}
	return db.change(func(d *state) error {
		delete(d.tables, tb.id)
		d.instances = slices.DeleteFunc(d.instances, func(i *instance) bool { return i.sourceID == tb.id })
		return nil
	})
}

func (s *session) truncate(st *tsql.Truncate) error {
	return s.withTable(st.Table, func(_ *Database, d *state, t *table) error {
		if len(d.tracked(t.id)) > 0 {
			return sqlError(4711, "Cannot truncate table '%s' because it is published for replication or enabled for Change Data Capture.", t.name)
		}
		t.root = nil
		return nil
	})
}

// withTable changes a table, which it locks.
func (s *session) withTable(n tsql.Name, f func(db *Database, d *state, t *table) error) error {
	db, schema, name, err := s.objectName(n)
	if err != nil {
		return err
	}
	old := db.st.Load().find(schema, name)
	if old == nil {
		return sqlError(4902, "Cannot find the object \"%s\" because it does not exist or you do not have permissions.", strings.Join(n, "."))
	}
	if _, err := s.srv.locks.lockTable(s.ctx, s.tx, s.lockTimeout, db, old.id); err != nil {
		return err
	}
	return db.change(func(d *state) error {
		cur := d.tables[old.id]
		if cur == nil {
			return invalidObject(name)
		}
		t := cur.clone()
		t.modified = s.srv.now()
		if err := f(db, d, t); err != nil {
			return err
		}
		d.tables[t.id] = t
		return nil
	})
}

func (s *session) createTable(st *tsql.CreateTable) error {
	db, schema, name, err := s.objectName(st.Table)
	if err != nil {
		return err
	}
	if strings.HasPrefix(name, "#") {
		return notInModel("temporary tables")
	}
	return db.change(func(d *state) error {
		if !d.hasSchema(schema) {
			return sqlError(2760, "The specified schema name \"%s\" either does not exist or you do not have permission to use it.", schema)
		}
		if d.find(schema, name) != nil {
			return sqlError(2714, "There is already an object named '%s' in the database.", name)
		}
		t := &table{id: db.object(), schema: schema, name: name, created: s.srv.now(), nextRow: new(atomic.Int64)}
		t.modified = t.created
		for _, cd := range st.Columns {
			if err := s.addColumn(db, t, cd); err != nil {
				return err
			}
		}
		for _, c := range st.Constraints {
			if err := s.addConstraint(db, t, c); err != nil {
				return err
			}
		}
		t.setKey()
		d.tables[t.id] = t
		return nil
	})
}

// defaultText is a default as the catalog shows it: in parentheses, numbers in two
// and in a form of their own.
func defaultText(x tsql.Expr, text string) string {
	sign, inner := "", x
	if u, ok := x.(*tsql.Unary); ok && u.Op == "-" {
		sign, inner = "-", u.X
	}
	if l, ok := inner.(*tsql.Lit); ok {
		switch l.Kind {
		case tsql.LitInt:
			if _, err := strconv.ParseInt(l.Text, 10, 32); err != nil {
				return "((" + sign + l.Text + ".))"
			}
			return "((" + sign + l.Text + "))"
		case tsql.LitDec:
			return "((" + sign + l.Text + "))"
		case tsql.LitFloat:
			f, _ := strconv.ParseFloat(l.Text, 64)
			m, e, _ := strings.Cut(strconv.FormatFloat(f, 'e', 16, 64), "e")
			return fmt.Sprintf("((%s%se%c%03s))", sign, m, e[0], e[1:])
		}
	}
	if strings.HasPrefix(text, "(") && strings.HasSuffix(text, ")") {
		return text
	}
	if c, ok := x.(*tsql.Call); ok && len(c.Name) == 1 {
		text = strings.ToLower(text)
	}
	return "(" + text + ")"
}

// addColumn adds a column to a table that is not published yet.
func (s *session) addColumn(db *Database, t *table, cd tsql.ColumnDef) error {
	if t.column(cd.Name) >= 0 {
		return sqlError(2705, "Column names in each table must be unique. Column name '%s' in table '%s' is specified more than once.", cd.Name, t.name)
	}
	t.nextColumn++
	c := &column{id: t.nextColumn, name: cd.Name, nullable: true, computed: cd.Computed, collate: cd.Type.Collate}
	if cd.Computed != nil {
		k := &compiler{s: s, scope: &scope{cols: tableRelation(t, nil).cols}}
		v, err := k.expr(cd.Computed)
		if err != nil {
			return err
		}
		c.typ, c.compText = v.typ, "("+cd.ComputedSQL+")"
		t.columns = append(slices.Clone(t.columns), c)
		return nil
	}
	k := &compiler{s: s}
	var err error
	if c.typ, err = k.typeOf(cd.Type); err != nil {
		return err
	}
	inKey := cd.PrimaryKey
	c.nullable = !cd.NotNull && !inKey && !cd.Identity && c.typ.Kind != tds.RowVersion && !c.typ.Sysname
	if cd.Null {
		c.nullable = true
		if inKey {
			return sqlError(8111, "Cannot define PRIMARY KEY constraint on nullable column in table '%s'.", t.name)
		}
	}
	if cd.Identity {
		if !c.typ.Integer() && !c.typ.Exact() {
			return sqlError(2749, "Identity column '%s' must be of data type int, bigint, smallint, tinyint, or decimal or numeric with a scale of 0, unencrypted, and constrained to be nonnullable.", c.name)
		}
		c.identity = &identity{seed: cd.Seed, step: cd.Step}
	}
	if cd.Default != nil {
		setDefault(db, t, c, cd.Default, cd.DefaultText, cd.DefaultName)
	}
	t.columns = append(slices.Clone(t.columns), c)
	switch {
	case cd.PrimaryKey:
		return s.addConstraint(db, t, tsql.Constraint{Name: cd.KeyName, What: "PRIMARY KEY", Columns: []string{c.name}, NonCluster: cd.NonCluster})
	case cd.Unique:
		return s.addConstraint(db, t, tsql.Constraint{Name: cd.KeyName, What: "UNIQUE", Columns: []string{c.name}, NonCluster: true})
	}
	return nil
}

func setDefault(db *Database, t *table, c *column, x tsql.Expr, text, name string) {
	c.def, c.defText, c.defName, c.defID = x, defaultText(x, text), name, db.object()
	if name == "" {
		c.defName = fmt.Sprintf("DF__%.9s__%.5s__%08X", t.name, c.name, c.defID)
	}
}

func (s *session) addConstraint(db *Database, t *table, c tsql.Constraint) error {
	for _, n := range c.Columns {
		i := t.column(n)
		if i < 0 {
			return sqlError(1911, "Column name '%s' does not exist in the target table or view.", n)
		}
		if c.What == "PRIMARY KEY" && t.columns[i].nullable {
			if len(t.columns) > 0 && t.root != nil {
				return sqlError(8111, "Cannot define PRIMARY KEY constraint on nullable column in table '%s'.", t.name)
			}
			n := *t.columns[i]
			n.nullable = false
			t.columns = slices.Clone(t.columns)
			t.columns[i] = &n
		}
		if c.What != "DEFAULT" && (t.columns[i].typ.Large() || t.columns[i].typ.Kind == tds.SQLVariant) {
			return sqlError(1919, "Column '%s' in table '%s' is of a type that is invalid for use as a key column in an index.", n, t.name)
		}
	}
	switch c.What {
	case "DEFAULT":
		i := t.column(c.Columns[0])
		n := *t.columns[i]
		if n.def != nil {
			return sqlError(1781, "Column already has a DEFAULT bound to it.")
		}
		setDefault(db, t, &n, c.Default, c.DefaultText, c.Name)
		t.columns = slices.Clone(t.columns)
		t.columns[i] = &n
		return nil
	case "PRIMARY KEY":
		if t.primary() != nil {
			return sqlError(1779, "Table '%s' already has a primary key defined on it.", t.name)
		}
	}
	x := &index{id: 1, name: c.Name, columns: c.Columns, unique: true, primary: c.What == "PRIMARY KEY", unqConstr: c.What == "UNIQUE", objectID: db.object()}
	x.clustered = x.primary && !c.NonCluster && clusteredID(t) == 0
	if x.name == "" {
		x.name = fmt.Sprintf("%s__%.9s__%08X", map[bool]string{true: "PK", false: "UQ"}[x.primary], t.name, uint32(x.objectID))
	}
	for i, n := range x.columns {
		// The names as the table has them.
		x.columns[i] = t.columns[t.column(n)].name
	}
	t.addIndex(x)
	return nil
}

func (t *table) addIndex(x *index) {
	if !x.clustered {
		x.id = 2
		for _, o := range t.indexes {
			x.id = max(x.id, o.id+1)
		}
	}
	t.indexes = append(slices.Clone(t.indexes), x)
	slices.SortFunc(t.indexes, func(a, b *index) int { return a.id - b.id })
}

func (s *session) createIndex(st *tsql.CreateIndex) error {
	return s.withTable(st.Table, func(db *Database, _ *state, t *table) error {
		x := &index{id: 1, name: st.Name, unique: st.Unique, clustered: st.Clustered}
		for _, n := range st.Columns {
			i := t.column(n)
			if i < 0 {
				return sqlError(1911, "Column name '%s' does not exist in the target table or view.", n)
			}
			x.columns = append(x.columns, t.columns[i].name)
		}
		if st.Clustered && clusteredID(t) == 1 {
			return sqlError(1902, "Cannot create more than one clustered index on table '%s'. Drop the existing clustered index before creating another.", t.name)
		}
		if st.Unique {
			seen := map[string]bool{}
			dup := false
			t.root.ascend(nil, func(_, row []any) bool {
				k := keyString(t.indexKey(x, row))
				dup = dup || seen[k]
				seen[k] = true
				return !dup
			})
			if dup {
				return sqlError(1505, "The CREATE UNIQUE INDEX statement terminated because a duplicate key was found for the object name '%s.%s' and the index name '%s'.", t.schema, t.name, x.name)
			}
		}
		t.addIndex(x)
		return nil
	})
}

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
			if err := dropColumn(t, n); err != nil {
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
