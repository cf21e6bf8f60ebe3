package mssqltest

import (
	"slices"
	"strings"
)

// class is of securables, as sys.database_permissions numbers them.
type class byte

const (
	ofDatabase class = 0
	ofObject   class = 1
	ofSchema   class = 3
	ofServer   class = 100
)

// securable is what a right is on.
type securable struct {
	class  class
	major  int64 // object_id or schema_id; 0 for the database and the server
	minor  int   // column_id; 0 for all of an object
	schema int64 // of an object
}

// grant is a right that was given or denied.
type grant struct {
	class            class
	major            int64
	minor            int
	action           string
	grantee, grantor int64
	state            byte // G granted, W granted with the right to grant it, D denied
}

// actions are the permissions that the model knows, by the class of securable.
var actions = map[class][]string{
	ofObject: {"ALTER", "CONTROL", "DELETE", "INSERT", "REFERENCES", "SELECT", "TAKE OWNERSHIP", "UNMASK", "UPDATE", "VIEW DEFINITION"},
	ofSchema: {"ALTER", "CONTROL", "DELETE", "EXECUTE", "INSERT", "REFERENCES", "SELECT", "TAKE OWNERSHIP", "UNMASK", "UPDATE", "VIEW DEFINITION"},
	ofDatabase: {
		"ALTER", "ALTER ANY ROLE", "ALTER ANY SCHEMA", "ALTER ANY USER", "CONNECT", "CONTROL", "CREATE ROLE", "CREATE SCHEMA", "CREATE TABLE", "DELETE", "EXECUTE",
		"INSERT", "REFERENCES", "SELECT", "SHOWPLAN", "TAKE OWNERSHIP", "UNMASK", "UPDATE", "VIEW DATABASE PERFORMANCE STATE", "VIEW DATABASE STATE", "VIEW DEFINITION",
	},
	ofServer: {
		"ALTER ANY CONNECTION", "ALTER ANY DATABASE", "ALTER ANY LOGIN", "ALTER SERVER STATE", "CONNECT ANY DATABASE", "CONNECT SQL", "CONTROL SERVER",
		"CREATE ANY DATABASE", "SELECT ALL USER SECURABLES", "VIEW ANY DATABASE", "VIEW ANY DEFINITION", "VIEW SERVER PERFORMANCE STATE", "VIEW SERVER SECURITY STATE",
		"VIEW SERVER STATE",
	},
}

// ofColumns are the permissions that columns have.
var ofColumns = []string{"REFERENCES", "SELECT", "UNMASK", "UPDATE"}

// right is a permission on a class of securable.
type right struct {
	class  class
	action string
}

// implied are the rights, for each, whoever has one of which has it too: on the same
// securable, or on what that is in.
var implied = map[right][]right{
	{ofSchema, "ALTER"}:                             {{ofDatabase, "ALTER ANY SCHEMA"}},
	{ofSchema, "TAKE OWNERSHIP"}:                    {{ofDatabase, "CONTROL"}},
	{ofDatabase, "ALTER"}:                           {{ofServer, "ALTER ANY DATABASE"}},
	{ofDatabase, "ALTER ANY ROLE"}:                  {{ofDatabase, "ALTER"}},
	{ofDatabase, "ALTER ANY SCHEMA"}:                {{ofDatabase, "ALTER"}},
	{ofDatabase, "ALTER ANY USER"}:                  {{ofDatabase, "ALTER"}},
	{ofDatabase, "CREATE ROLE"}:                     {{ofDatabase, "ALTER ANY ROLE"}},
	{ofDatabase, "CREATE SCHEMA"}:                   {{ofDatabase, "ALTER ANY SCHEMA"}},
	{ofDatabase, "CREATE TABLE"}:                    {{ofDatabase, "ALTER"}},
	{ofDatabase, "SHOWPLAN"}:                        {{ofDatabase, "ALTER"}},
	{ofDatabase, "VIEW DATABASE PERFORMANCE STATE"}: {{ofDatabase, "VIEW DATABASE STATE"}},
	{ofDatabase, "VIEW DATABASE STATE"}:             {{ofServer, "VIEW SERVER STATE"}},
	{ofDatabase, "VIEW DEFINITION"}:                 {{ofServer, "VIEW ANY DEFINITION"}},
	{ofDatabase, "CONNECT"}:                         {{ofServer, "CONNECT ANY DATABASE"}},
	{ofDatabase, "SELECT"}:                          {{ofServer, "SELECT ALL USER SECURABLES"}},
	{ofDatabase, "CONTROL"}:                         {{ofServer, "CONTROL SERVER"}},
	{ofServer, "CREATE ANY DATABASE"}:               {{ofServer, "ALTER ANY DATABASE"}},
	{ofServer, "VIEW SERVER STATE"}:                 {{ofServer, "ALTER SERVER STATE"}},
	{ofServer, "VIEW SERVER PERFORMANCE STATE"}:     {{ofServer, "VIEW SERVER STATE"}},
	{ofServer, "VIEW SERVER SECURITY STATE"}:        {{ofServer, "VIEW SERVER STATE"}},
}

// containers are in which class what has a class is.
var containers = map[class]class{ofObject: ofSchema, ofSchema: ofDatabase}

// implying is a right with all that imply it.
func implying(r right) []right {
	out := []right{r}
	add := func(r right) {
		if !slices.Contains(out, r) && slices.Contains(actions[r.class], r.action) {
			out = append(out, r)
		}
	}
	for i := 0; i < len(out); i++ { //nolint:intrange // it grows
		r := out[i]
		for _, x := range implied[r] {
			add(x)
		}
		if r.class == ofServer {
			add(right{ofServer, "CONTROL SERVER"})
			continue
		}
		add(right{r.class, "CONTROL"})
		if up, ok := containers[r.class]; ok && (r.class != ofSchema || r.action != "ALTER") {
			add(right{up, r.action})
		}
	}
	return out
}

// roleRights are what the members of fixed roles may do; denied is what they may not.
var roleRights = map[int64]struct {
	granted []right
	denied  []string
}{
	ownerRole:         {granted: []right{{ofDatabase, "CONTROL"}}},
	accessadminRole:   {granted: []right{{ofDatabase, "ALTER ANY USER"}, {ofDatabase, "CREATE SCHEMA"}, {ofDatabase, "CONNECT"}}},
	securityadminRole: {granted: []right{{ofDatabase, "ALTER ANY ROLE"}, {ofDatabase, "CREATE SCHEMA"}, {ofDatabase, "VIEW DEFINITION"}}},
	16387:             {granted: []right{{ofDatabase, "ALTER ANY SCHEMA"}, {ofDatabase, "CREATE SCHEMA"}, {ofDatabase, "CREATE TABLE"}, {ofDatabase, "REFERENCES"}}},
	16390:             {granted: []right{{ofDatabase, "SELECT"}}},
	16391:             {granted: []right{{ofDatabase, "DELETE"}, {ofDatabase, "INSERT"}, {ofDatabase, "UPDATE"}}},
	16392:             {denied: []string{"SELECT"}},
	16393:             {denied: []string{"DELETE", "INSERT", "UPDATE"}},
	// Of the server.
	4: {granted: []right{{ofServer, "ALTER ANY LOGIN"}}},
	5: {granted: []right{{ofServer, "ALTER SERVER STATE"}}},
	7: {granted: []right{{ofServer, "ALTER ANY CONNECTION"}, {ofServer, "ALTER SERVER STATE"}}},
	9: {granted: []right{{ofServer, "ALTER ANY DATABASE"}}},
}

// may evaluates a permission: a denial on the securable or on what it is in, of the
// permission or of one that implies it, has precedence. It does not bind sysadmin,
// dbo and the owner of a schema; and one on a table does not take away what is granted
// on its column.
func (a *actor) may(srv *Server, st *state, action string, o securable) bool {
	if a.sysadmin || a.dbo() && o.class != ofServer || a.owns(st, o) {
		return true
	}
	var granted, denied, onTable, onColumn bool
	for _, r := range implying(right{o.class, action}) {
		list, ids := st.security.grants, a.ids
		if r.class == ofServer {
			list, ids = srv.security.Load().grants, a.server
		}
		for _, id := range ids {
			granted = granted || slices.Contains(roleRights[id].granted, r)
			denied = denied || r.class == ofDatabase && slices.Contains(roleRights[id].denied, r.action)
		}
		for _, g := range list {
			if g.class != r.class || g.action != r.action || !o.in(g) || !slices.Contains(ids, g.grantee) {
				continue
			}
			switch {
			case g.minor != 0 && g.state == 'D':
				denied = true
			case g.minor != 0:
				onColumn = true
			case g.state != 'D':
				granted = true
			case g.class == ofObject:
				onTable = true
			default:
				denied = true
			}
		}
	}
	return !denied && (onColumn || granted && !onTable)
}

// in reports whether a grant is on the securable or on what it is in.
func (o securable) in(g grant) bool {
	switch {
	case g.class != ofObject && g.class != ofSchema:
		return true
	case g.class == o.class:
		return g.major == o.major && (g.minor == 0 || g.minor == o.minor)
	}
	return g.class == ofSchema && o.class == ofObject && g.major == o.schema
}

// owns reports whether the user, or a role that it is in, is the owner.
func (a *actor) owns(st *state, o securable) bool {
	id := o.schema
	if o.class == ofSchema {
		id = o.major
	}
	return id != 0 && slices.ContainsFunc(st.schemas, func(r schemaRow) bool { return r.id == id && slices.Contains(a.ids, r.owner) })
}

// entity is a table, a change table or a view, as rights are on it.
type entity struct {
	db           *Database
	schema, name string
	securable
	columns []*column // nil for views
}

// column is the number of a column, 0 if there is none.
func (e *entity) column(name string) int {
	for _, c := range e.columns {
		if strings.EqualFold(c.name, name) {
			return c.id
		}
	}
	return 0
}

// entity finds what rights are on; nil if there is no such object.
func (s *session) entity(db *Database, st *state, schema, name string) *entity {
	if t := st.find(schema, name); t != nil {
		return t.entity(db)
	}
	id, _ := st.schemaID(schema).(int64)
	e := &entity{db: db, schema: schema, name: name, securable: securable{class: ofObject, schema: id}}
	key := strings.ToLower(schema + "." + name)
	for _, in := range st.instances {
		if key == strings.ToLower("cdc."+in.name+"_CT") {
			e.major, e.name, e.columns = int64(in.objectID), in.name+"_CT", in.tableColumns()
			return e
		}
	}
	// The tables of CDC and of its jobs have numbers of their own.
	v := s.srv.views[key]
	if v == nil || strings.HasPrefix(key, "sys.") || strings.HasPrefix(key, "information_schema.") || v.cdc && !st.cdc || strings.HasPrefix(key, "dbo.") && db.name != "msdb" {
		return nil
	}
	for k := range s.srv.views {
		if k <= key {
			e.major--
		}
	}
	for i, c := range v.cols {
		e.columns = append(e.columns, &column{id: i + 1, name: strings.TrimSuffix(c.name, "?")})
	}
	return e
}

// tableColumns are the columns of an instance's change table.
func (in *instance) tableColumns() (out []*column) {
	for i, c := range changeTable(in, true).cols {
		out = append(out, &column{id: i + 1, name: c.name, typ: c.typ, nullable: c.nullable})
	}
	return out
}

// onObject evaluates a permission on an object, or on a column of it.
func (s *session) onObject(action string, e *entity, column string) bool {
	a := s.actor(e.db)
	if a.own {
		what := action + " " + e.schema + "." + e.name
		return s.srv.permitted(what) == 1 && (column == "" || s.srv.permitted(what+"."+column) == 1)
	}
	o := e.securable
	o.minor = e.column(column)
	return a.may(s.srv, e.db.st.Load(), action, o)
}

// onSchema evaluates a permission on a schema.
func (s *session) onSchema(db *Database, action, schema string) bool {
	a, st := s.actor(db), db.st.Load()
	id, ok := st.schemaID(schema).(int64)
	return ok && (a.own || a.may(s.srv, st, action, securable{class: ofSchema, major: id}))
}

// onDatabase evaluates a permission on a database.
func (s *session) onDatabase(db *Database, action string) bool {
	a := s.actor(db)
	if a.own {
		return s.srv.permitted(action) == 1
	}
	return a.may(s.srv, db.st.Load(), action, securable{class: ofDatabase})
}

// onServer evaluates a permission on the server.
func (s *session) onServer(action string) bool {
	a := s.actor(s.db)
	if a.own {
		return s.srv.permitted(action) == 1
	}
	return a.may(s.srv, s.db.st.Load(), action, securable{class: ofServer})
}

// onSomething reports whether there is any permission on an object, which is what the
// catalog shows objects by; a denied VIEW DEFINITION hides them.
func (s *session) onSomething(db *Database, o *object) bool {
	a, st := s.actor(db), db.st.Load()
	if a.own {
		return s.srv.permitted("VIEW DEFINITION "+o.schema+"."+o.name) == 1
	}
	schema, _ := st.schemaID(o.schema).(int64)
	on := securable{class: ofObject, major: o.id, schema: schema}
	if a.dbo() || a.owns(st, on) {
		return true
	}
	for _, g := range st.security.grants {
		if g.state == 'D' && g.action == "VIEW DEFINITION" && on.in(g) && slices.Contains(a.ids, g.grantee) {
			return false
		}
	}
	for _, g := range st.security.grants {
		if g.class == ofObject && g.major == o.id && g.state != 'D' && slices.Contains(a.ids, g.grantee) {
			return true
		}
	}
	return slices.ContainsFunc(actions[ofObject], func(action string) bool { return a.may(s.srv, st, action, on) })
}
