package mssqltest

import (
	"fmt"
	"slices"
	"strings"
)

// SetDenied replaces Options.Denied.
func (s *Server) SetDenied(denied ...string) {
	list := slices.Clone(denied)
	s.denied.Store(&list)
}

// permitted is 1 unless the permission is among those denied.
func (s *Server) permitted(what string) int64 {
	return toInt(!slices.ContainsFunc(*s.denied.Load(), func(d string) bool { return strings.EqualFold(d, what) }))
}

// denied is the error of a permission on an object.
func (e *entity) denied(action string) *Error {
	return &Error{Number: 229, State: 5, Class: 14, Text: fmt.Sprintf("The %s permission was denied on the object '%s', database '%s', schema '%s'.", action, e.name, e.db.name, e.schema)}
}

// deniedColumn is the error of a permission on a column.
func (e *entity) deniedColumn(action, column string) *Error {
	return &Error{Number: 230, State: 1, Class: 14, Text: fmt.Sprintf("The %s permission was denied on the column '%s' of the object '%s', database '%s', schema '%s'.", action, column, e.name, e.db.name, e.schema)}
}

// columnRights are the errors of the columns of an object that the user may not read,
// or change, by name; err is that of the object if it is so with all.
func (s *session) columnRights(action string, e *entity) (denied map[string]*Error, err error) {
	if a := s.actor(e.db); a.dbo() && (!a.own || len(*s.srv.denied.Load()) == 0) {
		return nil, nil
	}
	whole := s.onObject(action, e, "")
	may := false
	for _, c := range e.columns {
		if s.onObject(action, e, c.name) {
			may = true
			continue
		}
		if denied == nil {
			denied = map[string]*Error{}
		}
		denied[strings.ToLower(c.name)] = e.deniedColumn(action, c.name)
	}
	if !whole && !may {
		return nil, e.denied(action)
	}
	return denied, nil
}

// readable has the columns of a relation that the user may not read be errors where
// they are named. It is an error if there is none that it may.
func (s *session) readable(e *entity, r *relation) error {
	denied, err := s.columnRights("SELECT", e)
	if err != nil {
		return err
	}
	for i := range r.cols {
		if d := denied[strings.ToLower(r.cols[i].name)]; d != nil {
			r.cols[i].denied = d
		}
	}
	return nil
}

// stateViews checks the rights that the system's views of the server's work need.
func (s *session) stateViews(db *Database, schema, name string) error {
	name = strings.ToLower(name)
	if !strings.EqualFold(schema, "sys") || !strings.HasPrefix(name, "dm_") {
		return nil
	}
	if strings.HasPrefix(name, "dm_cdc_") || strings.HasPrefix(name, "dm_db_") {
		if !s.onDatabase(db, "VIEW DATABASE STATE") && (s.actor(db).own || !s.srv.since2022() || !s.onDatabase(db, "VIEW DATABASE PERFORMANCE STATE")) {
			return permissionDenied("VIEW DATABASE STATE", db.name)
		}
		return nil
	}
	right := "VIEW SERVER PERFORMANCE STATE"
	if name == "dm_server_services" {
		right = "VIEW SERVER SECURITY STATE"
	}
	if !s.onServer("VIEW SERVER STATE") && (s.actor(db).own || !s.srv.since2022() || !s.onServer(right)) && name != "dm_exec_sessions" {
		return &Error{Number: 300, State: 1, Class: 14, Text: "VIEW SERVER STATE permission was denied on object 'server', database 'master'."}
	}
	return nil
}

// authorized reports whether the user may have the changes of an instance, as the
// functions for changes ask: sysadmin and db_owner; others with SELECT on all captured
// columns of the table and, where the instance has a gating role, membership in that.
func (s *session) authorized(db *Database, st *state, in *instance) bool {
	t := st.tables[in.sourceID]
	if t == nil {
		return false
	}
	own, owner := s.actor(db).own, s.owner(db)
	if owner && !own {
		return true
	}
	e := t.entity(db)
	for _, c := range in.columns {
		if t.column(c.name) >= 0 && !s.onObject("SELECT", e, c.name) {
			return false
		}
	}
	if in.role == "" || owner {
		return true
	}
	member, _ := s.member(db, in.role)
	return member
}
