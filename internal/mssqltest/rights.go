package mssqltest

import (
	"slices"
	"strings"
)

// SetDenied replaces Options.Denied: what was granted, or taken, meanwhile.
func (s *Server) SetDenied(denied ...string) {
	list := slices.Clone(denied)
	s.denied.Store(&list)
}

// permitted is 1 unless the permission is among those denied.
func (s *Server) permitted(what string) int64 {
	return toInt(!slices.ContainsFunc(*s.denied.Load(), func(d string) bool { return strings.EqualFold(d, what) }))
}

// owner reports whether the user is sysadmin or db_owner, which gating roles and
// the rights on captured columns do not bind.
func (s *Server) owner() bool {
	return s.permitted("sysadmin") == 1 || s.permitted("role db_owner") == 1
}

// visible reports whether the catalog shows a table to the user.
func (s *Server) visible(schema, name string) bool {
	return s.permitted("VIEW DEFINITION "+schema+"."+name) == 1
}

// selects reports whether the user may read a column.
func (s *Server) selects(schema, table, column string) bool {
	name := schema + "." + table
	return s.permitted("SELECT "+name) == 1 && s.permitted("SELECT "+name+"."+column) == 1
}

// authorized reports whether the user may have the changes of an instance, as the
// functions for changes ask: SELECT on all captured columns of the table and, where
// the instance has a gating role, membership in that.
func (s *Server) authorized(st *state, in *instance) bool {
	t := st.tables[in.sourceID]
	if t == nil {
		return false
	}
	for _, c := range in.columns {
		if !s.selects(t.schema, t.name, c.name) {
			return false // a denial binds owners of the database too
		}
	}
	return in.role == "" || s.owner() || s.permitted("role "+in.role) == 1
}
