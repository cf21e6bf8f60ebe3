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
	case *tsql.CreateLogin:
		err = s.createLogin(st)
	case *tsql.AlterLogin:
		err = s.alterLogin(st)
	case *tsql.CreateUser:
		err = s.createUser(st)
	case *tsql.CreateRole:
		err = s.createRole(st)
	case *tsql.AlterRole:
		err = s.alterRole(st)
	case *tsql.Permit:
		err = s.permit(st)
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
		err = s.createSchema(st)
	case *tsql.CreateDatabase:
		if !s.onServer("CREATE ANY DATABASE") {
			return permissionDenied("CREATE DATABASE", "master")
		}
		var db *Database
		if db, err = s.srv.CreateDatabase(st.Name); err == nil {
			db.owner = s.loginID()
		}
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

// permissionDenied is the error of a permission on a database.
func permissionDenied(what, db string) *Error {
	return &Error{Number: 262, State: 1, Class: 14, Text: what + " permission denied in database '" + db + "'."}
}

func (s *session) createSchema(st *tsql.CreateSchema) error {
	if !s.onDatabase(s.db, "CREATE SCHEMA") {
		return permissionDenied("CREATE SCHEMA", s.db.name)
	}
	return s.db.change(func(d *state) error {
		if d.hasSchema(st.Name) {
			return sqlError(2714, "There is already an object named '%s' in the database.", st.Name)
		}
		owner, err := s.ownerOf(d.security, st.Owner)
		if err == nil {
			d.addSchema(st.Name, owner)
		}
		return err
	})
}

func (s *session) alterDatabase(st *tsql.AlterDatabase) error {
	db := s.db
	if st.Name != "" {
		if db = s.srv.DB(st.Name); db == nil || !s.onDatabase(db, "ALTER") {
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
			db := s.srv.DB(n.Last())
			if db == nil && st.IfExists {
				break
			}
			if db == nil || !s.onDatabase(db, "CONTROL") || !s.srv.dropDatabase(n.Last()) {
				err = sqlError(3701, "Cannot drop the database '%s', because it does not exist or you do not have permission.", n.Last())
			}
		case "SCHEMA":
			err = s.db.change(func(d *state) error {
				if !d.hasSchema(n.Last()) && st.IfExists {
					return nil
				}
				if !s.onSchema(s.db, "CONTROL", n.Last()) && !s.onDatabase(s.db, "ALTER ANY SCHEMA") || !d.hasSchema(n.Last()) {
					return missing("drop", "schema", n.Last())
				}
				for _, t := range d.tables {
					if strings.EqualFold(t.schema, n.Last()) {
						return sqlError(3729, "Cannot drop schema '%s' because it is being referenced by object '%s'.", n.Last(), t.name)
					}
				}
				d.dropSchema(n.Last())
				return nil
			})
		case "LOGIN":
			err = s.dropLogin(n.Last())
		case "USER", "ROLE":
			err = s.dropPrincipal(strings.ToLower(st.What), n.Last(), st.IfExists)
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
	if tb == nil && ifExists {
		return nil
	}
	if tb == nil || !s.onSchema(db, "ALTER", schema) && !s.onObject("CONTROL", tb.entity(db), "") {
		return sqlError(3701, "Cannot drop the table '%s', because it does not exist or you do not have permission.", strings.Join(n, "."))
	}
	if _, err := s.srv.locks.lockTable(s.ctx, s.tx, s.lockTimeout, db, tb.id); err != nil {
		return err
	}
	return db.change(func(d *state) error {
		delete(d.tables, tb.id)
		d.security = d.security.forget(ofObject, int64(tb.id), 0)
		for _, in := range d.tracked(tb.id) {
			d.security = d.security.forget(ofObject, int64(in.objectID), 0)
		}
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
	if old == nil || !s.onObject("ALTER", old.entity(db), "") {
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
		if !s.onDatabase(db, "CREATE TABLE") {
			return permissionDenied("CREATE TABLE", db.name)
		}
		if !d.hasSchema(schema) || !s.onSchema(db, "ALTER", schema) {
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
	if cd.Mask != "" {
		if err := t.setMask(tsql.ColumnMask{Column: c.name, Function: cd.Mask}); err != nil {
			return err
		}
	}
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
