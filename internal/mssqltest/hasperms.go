package mssqltest

import (
	"slices"
	"strings"

	"tributary/internal/mssqltest/tsql"
)

// hasPermission is HAS_PERMS_BY_NAME: NULL where there is no such securable, class or
// permission.
func hasPermission(s *session, a []any) (any, error) {
	text := func(i int) string {
		if i < len(a) && a[i] != nil {
			return a[i].(string)
		}
		return ""
	}
	name, kind, action, column := text(0), strings.ToUpper(text(1)), strings.ToUpper(strings.TrimRight(text(2), " ")), text(3)
	if action == "ANY" {
		return nil, notInModel("HAS_PERMS_BY_NAME of ANY permission")
	}
	if column != "" && (kind != "OBJECT" || !strings.EqualFold(text(4), "COLUMN")) {
		return nil, nil
	}
	known := func(c class) bool {
		return slices.Contains(actions[c], action) && (action != "UNMASK" || c == ofDatabase || s.srv.since2022())
	}
	switch {
	case a[0] == nil && (kind == "" || kind == "SERVER"):
		if !known(ofServer) {
			return nil, nil
		}
		return toInt(s.onServer(action)), nil
	case kind == "DATABASE":
		db := s.db
		if a[0] != nil {
			n, err := tsql.ParseName(quotedOnce(name))
			if err != nil || len(n) != 1 {
				return nil, nil //nolint:nilerr // NULL, as for what is not there
			}
			db = s.srv.DB(n[0])
		}
		if db == nil || !known(ofDatabase) {
			return nil, nil
		}
		return toInt(s.onDatabase(db, action)), nil
	case kind == "SCHEMA":
		n, err := tsql.ParseName(name)
		if err != nil || len(n) != 1 || !s.db.st.Load().hasSchema(n[0]) || !known(ofSchema) {
			return nil, nil //nolint:nilerr // as above
		}
		return toInt(s.onSchema(s.db, action, n[0])), nil
	case kind == "OBJECT":
		return s.hasOnObject(name, action, column, known(ofObject))
	case slices.Contains([]string{"LOGIN", "ROLE", "USER", "SERVER ROLE", "TYPE"}, kind):
		return nil, notInModel("HAS_PERMS_BY_NAME of a %s", kind)
	}
	return nil, nil
}

// quotedOnce puts brackets around a name that has none: DB_NAME() gives it so.
func quotedOnce(name string) string {
	if strings.HasPrefix(name, "[") || strings.HasPrefix(name, `"`) {
		return name
	}
	return "[" + strings.ReplaceAll(name, "]", "]]") + "]"
}

func (s *session) hasOnObject(name, action, column string, known bool) (any, error) {
	n, err := tsql.ParseName(name)
	if err != nil || !known {
		return nil, nil //nolint:nilerr // NULL, as for what is not there
	}
	db, schema, object, err := s.objectName(n)
	if err != nil {
		return nil, nil //nolint:nilerr // as above
	}
	if s.enter(db) != nil {
		return int64(0), nil //nolint:nilerr // it may do nothing there
	}
	e := s.entity(db, db.st.Load(), schema, object)
	switch {
	case e == nil:
		return nil, nil
	case column != "" && (e.column(column) == 0 || !slices.Contains(ofColumns, action)):
		return nil, nil
	}
	return toInt(s.onObject(action, e, column)), nil
}

// toNullable is NULL for roles that there are not.
func toNullable(in, known bool) any {
	if !known {
		return nil
	}
	return toInt(in)
}

// isRoleMember is IS_ROLEMEMBER, of the session's user or of another.
func (s *session) isRoleMember(a []any) (any, error) {
	if len(a) == 1 {
		return toNullable(s.member(s.db, a[0].(string))), nil
	}
	x := s.db.st.Load().security
	r, p := x.find(a[0].(string)), x.find(a[1].(string))
	if r == nil || !r.role || p == nil {
		return nil, nil
	}
	return toInt(p.id != r.id && slices.Contains(x.closure(p.id, publicRole), r.id)), nil
}

// isServerRoleMember is IS_SRVROLEMEMBER, of the session's login or of another.
func (s *session) isServerRoleMember(a []any) (any, error) {
	if len(a) == 1 {
		return toNullable(s.serverMember(a[0].(string))), nil
	}
	x := s.srv.security.Load()
	r, p := x.find(a[0].(string)), x.find(a[1].(string))
	if r == nil || !r.role || p == nil {
		return nil, nil
	}
	return toInt(p.id != r.id && slices.Contains(x.closure(p.id, serverPublic), r.id)), nil
}
