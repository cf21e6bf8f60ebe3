package mssqltest

import (
	"slices"
	"strings"
	"unicode"

	"tributary/internal/mssqltest/tsql"
)

// changeSecurity publishes what f makes of the logins and the roles of the server.
func (s *Server) changeSecurity(f func(*security) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.security.Load().clone()
	if err := f(x); err != nil {
		return err
	}
	s.security.Store(x)
	return nil
}

// changeSecurity publishes what f makes of the users, roles and rights of a database.
func (db *Database) changeSecurity(f func(*security) error) error {
	return db.change(func(d *state) error {
		x := d.security.clone()
		d.security = x
		return f(x)
	})
}

func notAllowed() *Error {
	return sqlError(15247, "User does not have permission to perform this action.")
}

func specialPrincipal(name string) *Error {
	return sqlError(15405, "Cannot use the special principal '%s'.", name)
}

// weak is the error of a password that CHECK_POLICY refuses: it has eight
// characters of three kinds, and not the name of the login.
func weak(login, password string) error {
	if len([]rune(password)) < 8 {
		return sqlError(15116, "Password validation failed. The password does not meet Windows policy requirements because it is too short.")
	}
	kinds := map[string]bool{}
	for _, r := range password {
		switch {
		case unicode.IsUpper(r):
			kinds["upper"] = true
		case unicode.IsLower(r):
			kinds["lower"] = true
		case unicode.IsDigit(r):
			kinds["digit"] = true
		default:
			kinds["other"] = true
		}
	}
	if len(kinds) < 3 || strings.Contains(strings.ToLower(password), strings.ToLower(login)) {
		return sqlError(15118, "Password validation failed. The password does not meet Windows policy requirements because it is not complex enough.")
	}
	return nil
}

func (s *session) createLogin(st *tsql.CreateLogin) error {
	if s.srv.azure() && s.db.name != "master" {
		return sqlError(5001, "User must be in the master database.")
	}
	if !s.onServer("ALTER ANY LOGIN") {
		return notAllowed()
	}
	if st.Policy {
		if err := weak(st.Name, st.Password); err != nil {
			return err
		}
	}
	defaulted(&st.Database, "master")
	if s.srv.DB(st.Database) == nil {
		return sqlError(15010, "The database '%s' does not exist. Supply a valid database name. To see available databases, use sys.databases.", st.Database)
	}
	return s.srv.changeSecurity(func(x *security) error {
		if x.find(st.Name) != nil {
			return sqlError(15025, "The server principal '%s' already exists.", st.Name)
		}
		x.add(principal{name: st.Name, password: st.Password, database: st.Database, created: s.srv.now()})
		return nil
	})
}

// login finds one that a statement may change.
func (s *session) login(x *security, do, name string) (*principal, error) {
	p := x.find(name)
	if p == nil || p.role || !s.onServer("ALTER ANY LOGIN") {
		return nil, missing(do, "login", name)
	}
	if p.id == ownLogin {
		return nil, sqlError(15150, "Cannot %s the login '%s'.", do, name)
	}
	return p, nil
}

func (s *session) alterLogin(st *tsql.AlterLogin) error {
	return s.srv.changeSecurity(func(x *security) error {
		p, err := s.login(x, "alter", st.Name)
		if err != nil {
			return err
		}
		if st.Enable != "" {
			p.disabled = st.Enable == "DISABLE"
			return nil
		}
		p.password = st.Password
		return weak(p.name, st.Password)
	})
}

func (s *session) dropLogin(name string) error {
	used := s.srv.Sessions() // takes the lock that changeSecurity has
	dbs := s.srv.databases()
	return s.srv.changeSecurity(func(x *security) error {
		p, err := s.login(x, "drop", name)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(used, func(i SessionInfo) bool { return strings.EqualFold(i.User, name) }) {
			return sqlError(15434, "Could not drop login '%s' as the user is currently logged in.", name)
		}
		if slices.ContainsFunc(dbs, func(db *Database) bool { return db.owner == p.id }) {
			return sqlError(15174, "Login '%s' owns one or more database(s). Change the owner of the database(s) before dropping the login.", name)
		}
		x.remove(p.id) // users of it remain, without a login
		return nil
	})
}

func (s *session) createUser(st *tsql.CreateUser) error {
	if !s.onDatabase(s.db, "ALTER ANY USER") {
		return notAllowed()
	}
	login := int64(0)
	if !st.NoLogin {
		l := s.srv.security.Load().find(st.Login)
		if l == nil || l.role {
			return sqlError(15007, "'%s' is not a valid login or you do not have permission.", st.Login)
		}
		if login = l.id; login == ownLogin {
			return specialPrincipal(st.Login)
		}
	}
	return s.db.changeSecurity(func(x *security) error {
		if x.find(st.Name) != nil {
			return sqlError(15023, "User, group, or role '%s' already exists in the current database.", st.Name)
		}
		if login != 0 && (s.db.owner == login || slices.ContainsFunc(x.principals, func(p principal) bool { return p.login == login })) {
			return sqlError(15063, "The login already has an account under a different user name.")
		}
		id := x.add(principal{name: st.Name, login: login, created: s.srv.now()})
		if !st.NoLogin {
			x.grants = append(x.grants, grant{class: ofDatabase, action: "CONNECT", grantee: id, grantor: dboUser, state: 'G'})
		}
		return nil
	})
}

func (s *session) createRole(st *tsql.CreateRole) error {
	if !s.onDatabase(s.db, "CREATE ROLE") {
		return notAllowed()
	}
	return s.db.changeSecurity(func(x *security) error {
		if x.find(st.Name) != nil {
			return sqlError(15023, "User, group, or role '%s' already exists in the current database.", st.Name)
		}
		owner, err := s.ownerOf(x, st.Owner)
		if err == nil {
			x.add(principal{name: st.Name, role: true, owner: owner, created: s.srv.now()})
		}
		return err
	})
}

// ownerOf is the number of the principal that AUTHORIZATION names; without one it is
// the user.
func (s *session) ownerOf(x *security, name string) (int64, error) {
	a := s.actor(s.db)
	if name == "" {
		return a.user.id, nil
	}
	p := x.find(name)
	if p == nil {
		return 0, missing("find", "user", name)
	}
	if !a.dbo() && !slices.Contains(a.ids, ownerRole) && !slices.Contains(a.ids, p.id) {
		return 0, missing("find", "user", name)
	}
	return p.id, nil
}

// alterRole adds or drops a member, or gives a role another name.
func (s *session) alterRole(st *tsql.AlterRole) error {
	if st.Server {
		if st.Rename != "" {
			return notInModel("roles of the server besides the fixed ones")
		}
		return s.srv.changeSecurity(func(x *security) error {
			p := x.find(st.Name)
			if p == nil || !p.role || !s.isSysadmin() {
				return missing("alter", "server role", st.Name)
			}
			return x.member(st, p, serverPublic, ownLogin, "login")
		})
	}
	return s.db.changeSecurity(func(x *security) error {
		p, a := x.find(st.Name), s.actor(s.db)
		if p == nil || !p.role {
			return missing("alter", "role", st.Name)
		}
		allowed := s.owner(s.db) || !p.fixed && (slices.Contains(a.ids, p.owner) || a.may(s.srv, s.db.st.Load(), "ALTER ANY ROLE", securable{class: ofDatabase}))
		if !allowed {
			return missing("alter", "role", st.Name)
		}
		if st.Rename != "" {
			switch {
			case p.fixed:
				return sqlError(15150, "Cannot alter the role '%s'.", p.name)
			case x.find(st.Rename) != nil:
				return sqlError(15023, "User, group, or role '%s' already exists in the current database.", st.Rename)
			}
			p.name = st.Rename
			return nil
		}
		return x.member(st, p, publicRole, dboUser, "principal")
	})
}

// member adds or drops a member of a role. owner is who is in no role.
func (x *security) member(st *tsql.AlterRole, role *principal, public, owner int64, kind string) error {
	name, do := st.Add+st.Drop, "add"
	if st.Drop != "" {
		do = "drop"
	}
	m := x.find(name)
	switch {
	case role.id == public:
		return sqlError(15081, "Membership of the public role cannot be changed.")
	case strings.EqualFold(name, "sa") || m != nil && (m.id == owner || m.fixed):
		return specialPrincipal(name)
	case m == nil:
		return missing(do, kind, name)
	case slices.Contains(x.closure(role.id, public), m.id):
		return sqlError(15413, "Cannot make a role a member of itself.")
	}
	x.members = slices.DeleteFunc(x.members, func(e membership) bool { return e == membership{role.id, m.id} })
	if st.Add != "" {
		x.members = append(x.members, membership{role.id, m.id})
	}
	return nil
}

// dropPrincipal drops a user or a role of the database.
func (s *session) dropPrincipal(kind, name string, ifExists bool) error {
	schemas := s.db.st.Load().schemas
	return s.db.changeSecurity(func(x *security) error {
		p, right := x.find(name), "ALTER ANY "+strings.ToUpper(kind)
		if ifExists && (p == nil || p.role != (kind == "role")) {
			return nil
		}
		if p == nil || p.role != (kind == "role") || !s.onDatabase(s.db, right) {
			return missing("drop", kind, name)
		}
		switch {
		case p.fixed:
			return sqlError(15150, "Cannot drop the %s '%s'.", kind, p.name)
		case slices.ContainsFunc(schemas, func(r schemaRow) bool { return r.owner == p.id }):
			return sqlError(15138, "The database principal owns a schema in the database, and cannot be dropped.")
		case slices.ContainsFunc(x.principals, func(r principal) bool { return r.role && r.owner == p.id }):
			return sqlError(15138, "The database principal owns a database role in the database, and cannot be dropped.")
		case slices.ContainsFunc(x.members, func(m membership) bool { return m.role == p.id }):
			return sqlError(15144, "The role has members. It must be empty before it can be dropped.")
		case slices.ContainsFunc(x.grants, func(g grant) bool { return g.grantor == p.id }):
			return sqlError(15284, "The database principal has granted or denied permissions to objects in the database and cannot be dropped.")
		}
		x.remove(p.id)
		return nil
	})
}
