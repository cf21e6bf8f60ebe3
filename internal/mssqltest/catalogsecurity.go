package mssqltest

import "slices"

// Words of the views for what they have as letters too.
var (
	principalWords = map[bool][2]string{false: {"S", "SQL_USER"}, true: {"R", "DATABASE_ROLE"}}
	loginWords     = map[bool][2]string{false: {"S", "SQL_LOGIN"}, true: {"R", "SERVER_ROLE"}}
	classWords     = map[class]string{ofDatabase: "DATABASE", ofObject: "OBJECT_OR_COLUMN", ofSchema: "SCHEMA", ofServer: "SERVER"}
	stateWords     = map[byte]string{'G': "GRANT", 'W': "GRANT_WITH_GRANT_OPTION", 'D': "DENY"}
)

// securityViews are those of principals and permissions. Whoever may not see the
// definitions of a database sees itself and what is fixed.
func securityViews() map[string]*view {
	return map[string]*view{
		"sys.server_principals": {cols: cols("name", sysname, "principal_id", intType, "type", char(1), "type_desc?", nvarchar(60), "is_disabled?", bitType,
			"create_date", dtType, "default_database_name?", sysname, "is_fixed_role", bitType),
			rows: func(s *session, _ *Database, _ *state) (out [][]any) {
				for _, p := range s.srv.security.Load().principals {
					if !p.fixed && p.id != ownLogin && p.id != s.loginID() && !s.onServer("VIEW ANY DEFINITION") && !s.onServer("ALTER ANY LOGIN") {
						continue
					}
					w := loginWords[p.role]
					out = append(out, []any{p.name, p.id, w[0], w[1], p.disabled, datetime(p.created), strOrNull(p.database), p.fixed})
				}
				return out
			}},
		"sys.server_role_members": {cols: cols("role_principal_id", intType, "member_principal_id", intType),
			rows: func(s *session, _ *Database, _ *state) (out [][]any) {
				for _, m := range s.srv.security.Load().members {
					if m.member == s.loginID() || s.onServer("VIEW ANY DEFINITION") {
						out = append(out, []any{m.role, m.member})
					}
				}
				return out
			}},
		"sys.database_principals": {cols: cols("name", sysname, "principal_id", intType, "type", char(1), "type_desc?", nvarchar(60), "default_schema_name?", sysname,
			"create_date", dtType, "owning_principal_id?", intType, "is_fixed_role", bitType),
			rows: func(s *session, db *Database, st *state) (out [][]any) {
				ids, all := s.actor(db).ids, s.onDatabase(db, "VIEW DEFINITION")
				for _, p := range st.security.principals {
					if !p.fixed && !all && !slices.Contains(ids, p.id) {
						continue
					}
					w := principalWords[p.role]
					var schema, owner any
					if p.role {
						owner = max(p.owner, dboUser)
					} else {
						schema = "dbo"
					}
					out = append(out, []any{p.name, p.id, w[0], w[1], schema, datetime(p.created), owner, p.role && p.fixed && p.id != publicRole})
				}
				return out
			}},
		"sys.database_role_members": {cols: cols("role_principal_id", intType, "member_principal_id", intType),
			rows: func(s *session, db *Database, st *state) (out [][]any) {
				ids, all := s.actor(db).ids, s.onDatabase(db, "VIEW DEFINITION")
				for _, m := range st.security.members {
					if all || slices.Contains(ids, m.member) {
						out = append(out, []any{m.role, m.member})
					}
				}
				return out
			}},
		"sys.database_permissions": {cols: cols("class", tinyType, "class_desc?", nvarchar(60), "major_id", intType, "minor_id", intType,
			"grantee_principal_id", intType, "grantor_principal_id", intType, "permission_name?", nvarchar(128), "state", char(1), "state_desc?", nvarchar(60)),
			rows: func(s *session, db *Database, st *state) (out [][]any) {
				ids, all := s.actor(db).ids, s.onDatabase(db, "VIEW DEFINITION")
				for _, g := range st.security.grants {
					if all || slices.Contains(ids, g.grantee) {
						out = append(out, []any{int64(g.class), classWords[g.class], g.major, int64(g.minor), g.grantee, g.grantor, g.action, string(g.state), stateWords[g.state]})
					}
				}
				return out
			}},
	}
}
