package mssqltest

import (
	"slices"
	"strings"

	"tributary/internal/mssqltest/tds"
	"tributary/internal/mssqltest/tsql"
)

// arg is an argument of a procedure.
type arg struct {
	name   string // in lower case, with @; empty if it is given by position
	typ    tds.Type
	val    any
	null   bool // the literal NULL
	absent bool // DEFAULT
	out    string
}

// params binds arguments to a procedure's parameters.
type params map[string]*arg

// bind matches arguments with names, which have a * where the parameter must be given.
func bind(proc string, args []arg, names ...string) (params, error) {
	p := params{}
	at := func(n string) bool {
		return slices.ContainsFunc(names, func(m string) bool { return strings.TrimSuffix(m, "*") == n })
	}
	for i := range args {
		n := args[i].name
		if n == "" {
			if i >= len(names) {
				return nil, sqlError(8144, "Procedure or function %s has too many arguments specified.", proc)
			}
			n = strings.TrimSuffix(names[i], "*")
		} else if !at(n) {
			return nil, sqlError(8145, "%s is not a parameter for procedure %s.", n, proc)
		}
		if !args[i].absent {
			p[n] = &args[i]
		}
	}
	for _, n := range names {
		if m, must := strings.CutSuffix(n, "*"); must && p[m] == nil {
			return nil, sqlError(201, "Procedure or function '%s' expects parameter '%s', which was not supplied.", proc, m)
		}
	}
	return p, nil
}

// text is an argument as a text; missing if it is absent or NULL.
func (p params) text(name, missing string) string {
	a := p[name]
	if a == nil || a.val == nil {
		return missing
	}
	v, err := convert(a.val, a.typ, nmaxType, 0, false)
	if err != nil {
		return missing
	}
	return v.(string)
}

func (p params) number(name string, missing int64) int64 {
	a := p[name]
	if a == nil || a.val == nil {
		return missing
	}
	v, err := convert(a.val, a.typ, bigType, 0, false)
	if err != nil {
		return missing
	}
	return v.(int64)
}

// result sends a result set.
func (s *session) result(cs []viewColumn, rows [][]any) error {
	out := make([]tds.Column, len(cs))
	for i, c := range cs {
		n, nullable := strings.CutSuffix(c.name, "?")
		out[i] = tds.Column{Name: n, Type: c.typ, Nullable: nullable}
	}
	if err := s.out.columns(out); err != nil {
		return err
	}
	for _, r := range rows {
		if err := s.out.row(r); err != nil {
			return err
		}
	}
	s.rowCount = int64(len(rows))
	return s.out.done(0xC1, s.counted(s.rowCount))
}

type procedure func(s *session, db *Database, args []arg) error

func procedures() map[string]procedure {
	m := map[string]procedure{
		"sp_executesql": spExecuteSQL, "sp_rename": spRename, "sp_reset_connection": func(s *session, _ *Database, _ []arg) error { s.reset(); return nil },
	}
	for _, more := range []map[string]procedure{cdcProcedures(), catalogProcedures()} {
		for k, v := range more {
			m[k] = v
		}
	}
	return m
}

// procedure runs a procedure by its name, and gives its status.
func (s *session) procedure(n tsql.Name, args []arg) (int32, error) {
	db := s.db
	if len(n) == 3 && n[0] != "" {
		if db = s.srv.DB(n[0]); db == nil {
			return 0, sqlError(911, "Database '%s' does not exist. Make sure that the name is entered correctly.", n[0])
		}
	}
	unknown := sqlError(2812, "Could not find stored procedure '%s'.", strings.Join(n, "."))
	name := strings.ToLower(n.Last())
	if len(n) > 3 {
		return 0, unknown
	}
	if len(n) > 1 {
		if q := n[len(n)-2]; q != "" && !strings.EqualFold(q, "sys") && !strings.EqualFold(q, "dbo") {
			return 0, unknown
		}
	}
	f, ok := s.srv.procs[name]
	if !ok || strings.HasPrefix(name, "rds_") && (db.name != "msdb" || !s.srv.opts.RDS) {
		return 0, unknown
	}
	s.procDepth++
	defer func() { s.procDepth-- }()
	return 0, f(s, db, args)
}

// spExecuteSQL runs a text with parameters.
func spExecuteSQL(s *session, _ *Database, args []arg) error {
	if len(args) == 0 {
		return sqlError(201, "Procedure or function 'sp_executesql' expects parameter '@statement', which was not supplied.")
	}
	text, ok := args[0].val.(string)
	if !ok {
		return sqlError(214, "Procedure expects parameter '@statement' of type 'ntext/nchar/nvarchar'.")
	}
	decl := ""
	if len(args) > 1 {
		decl, _ = args[1].val.(string)
	}
	vars, err := s.declared(decl, args[min(2, len(args)):])
	if err != nil {
		return err
	}
	before := s.vars
	s.vars = vars
	defer func() { s.vars = before }()
	if err := s.srv.note(s, text); err != nil {
		return err
	}
	if err := s.inner(text); err != nil {
		return err
	}
	for _, a := range args[min(2, len(args)):] {
		if v := vars[a.name]; a.out != "" && v != nil && before != nil {
			if b := before[strings.ToLower(a.out)]; b != nil {
				b.val, err = convert(v.val, v.typ, b.typ, 0, false)
			}
		}
	}
	return err
}

// declared makes variables of a declaration and the arguments.
func (s *session) declared(decl string, args []arg) (map[string]*variable, error) {
	list, err := tsql.ParseParams(decl)
	if err != nil {
		return nil, &Error{Number: 102, State: 1, Class: 15, Text: err.Error()}
	}
	vars := map[string]*variable{}
	given := map[string]arg{}
	for i, a := range args {
		n := a.name
		if n == "" {
			if i >= len(list) {
				return nil, sqlError(8144, "Procedure or function has too many arguments specified.")
			}
			n = strings.ToLower(list[i].Name)
		}
		given[n] = a
	}
	c := &compiler{s: s}
	for _, d := range list {
		t, err := c.typeOf(d.Type)
		if err != nil {
			return nil, err
		}
		k := strings.ToLower(d.Name)
		v := &variable{typ: t}
		a, ok := given[k]
		if !ok {
			return nil, sqlError(8178, "The parameterized query expects the parameter '%s', which was not supplied.", d.Name)
		}
		if a.val != nil {
			if !implicit(a.typ, t) {
				return nil, sqlError(257, "Implicit conversion from data type %s to %s is not allowed. Use the CONVERT function to run this query.", a.typ.Kind, t.Kind)
			}
			if v.val, err = convert(a.val, a.typ, t, 0, false); err != nil {
				return nil, err
			}
		}
		vars[k] = v
		delete(given, k)
	}
	for n := range given {
		return nil, sqlError(8145, "%s is not a parameter for procedure sp_executesql.", n)
	}
	return vars, nil
}

// spRename renames a column or a table.
func spRename(s *session, _ *Database, args []arg) error {
	p, err := bind("sp_rename", args, "@objname*", "@newname*", "@objtype")
	if err != nil {
		return err
	}
	n, err := tsql.ParseName(p.text("@objname", ""))
	if err != nil {
		return sqlError(15225, "No item by the name of '%s' could be found in the current database '%s'.", p.text("@objname", ""), s.db.name)
	}
	now := p.text("@newname", "")
	if !strings.EqualFold(p.text("@objtype", "OBJECT"), "COLUMN") {
		return s.withTable(n, func(_ *Database, d *state, t *table) error {
			if d.find(t.schema, now) != nil {
				return sqlError(15335, "Error: The new name '%s' is already in use as a OBJECT name and would cause a duplicate that is not permitted.", now)
			}
			t.name = now
			return nil
		})
	}
	if len(n) < 2 {
		return sqlError(15248, "Either the parameter @objname is ambiguous or the claimed @objtype (COLUMN) is wrong.")
	}
	return s.withTable(n[:len(n)-1], func(_ *Database, d *state, t *table) error {
		i := t.column(n.Last())
		if i < 0 {
			return sqlError(15248, "Either the parameter @objname is ambiguous or the claimed @objtype (COLUMN) is wrong.")
		}
		if len(d.tracked(t.id)) > 0 {
			return sqlError(4928, "Cannot alter column '%s' because it is 'REPLICATED'.", n.Last())
		}
		c := *t.columns[i]
		old := c.name
		c.name = now
		t.columns = slices.Clone(t.columns)
		t.columns[i] = &c
		t.indexes = slices.Clone(t.indexes)
		for k, x := range t.indexes {
			y := *x
			y.columns = slices.Clone(x.columns)
			for j, name := range y.columns {
				if strings.EqualFold(name, old) {
					y.columns[j] = now
				}
			}
			t.indexes[k] = &y
		}
		return nil
	})
}
