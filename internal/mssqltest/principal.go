package mssqltest

import (
	"slices"
	"strings"
	"time"
)

// principal is a login or a role of the server, or a user or a role of a database.
type principal struct {
	id      int64
	name    string
	role    bool
	fixed   bool
	created time.Time

	login int64 // of a user; 0 = none
	owner int64 // of a role

	password string // of a login
	disabled bool
	database string // that it begins in, where the client asks for none
}

// Numbers of principals that are always there.
const (
	publicRole = 0 // of a database
	dboUser    = 1
	guestUser  = 2

	ownerRole         = 16384
	accessadminRole   = 16385
	securityadminRole = 16386

	ownLogin      = 1 // of Options.User
	serverPublic  = 2
	sysadminRole  = 3
	firstOfLogins = 256
	firstOfUsers  = 5
)

// membership has a principal be a member of a role.
type membership struct{ role, member int64 }

// security is who there is in a database, or at the server, and what they may do. It
// does not change once it is published.
type security struct {
	principals []principal
	members    []membership
	grants     []grant
	next       int64
}

func (x *security) clone() *security {
	return &security{slices.Clone(x.principals), slices.Clone(x.members), slices.Clone(x.grants), x.next}
}

// add gives a principal a number.
func (x *security) add(p principal) int64 {
	p.id = x.next
	x.next++
	x.principals = append(x.principals, p)
	return p.id
}

// find is the principal of a name; nil if there is none.
func (x *security) find(name string) *principal {
	for i := range x.principals {
		if strings.EqualFold(x.principals[i].name, name) {
			return &x.principals[i]
		}
	}
	return nil
}

func (x *security) byID(id int64) *principal {
	for i := range x.principals {
		if x.principals[i].id == id {
			return &x.principals[i]
		}
	}
	return nil
}

// closure is a principal with the roles that it is a member of, through others too.
func (x *security) closure(id, public int64) []int64 {
	out := []int64{id, public}
	for i := 0; i < len(out); i++ {
		for _, m := range x.members {
			if m.member == out[i] && !slices.Contains(out, m.role) {
				out = append(out, m.role)
			}
		}
	}
	return out
}

// remove takes a principal away, with its memberships and rights.
func (x *security) remove(id int64) {
	x.principals = slices.DeleteFunc(x.principals, func(p principal) bool { return p.id == id })
	x.members = slices.DeleteFunc(x.members, func(m membership) bool { return m.member == id || m.role == id })
	x.grants = slices.DeleteFunc(x.grants, func(g grant) bool { return g.grantee == id })
}

// forget takes away the rights on what is dropped: minor is the column_id, 0 = on all
// of it.
func (x *security) forget(c class, major int64, minor int) *security {
	of := func(g grant) bool { return g.class == c && g.major == major && (minor == 0 || g.minor == minor) }
	if !slices.ContainsFunc(x.grants, of) {
		return x
	}
	out := x.clone()
	out.grants = slices.DeleteFunc(out.grants, of)
	return out
}

// newServerSecurity has the server's own login and the fixed roles.
func newServerSecurity(o *Options, at time.Time) *security {
	x := &security{next: firstOfLogins, members: []membership{{sysadminRole, ownLogin}}}
	x.principals = append(x.principals, principal{id: ownLogin, name: o.User, password: o.Password, database: "master", created: at})
	for i, name := range []string{"public", "sysadmin", "securityadmin", "serveradmin", "setupadmin", "processadmin", "diskadmin", "dbcreator", "bulkadmin"} {
		x.principals = append(x.principals, principal{id: serverPublic + int64(i), name: name, role: true, fixed: true, owner: ownLogin, created: at})
	}
	return x
}

// newSecurity has the users and roles that every database has. The system's databases
// let guests in.
func newSecurity(database string, at time.Time) *security {
	x := &security{next: firstOfUsers}
	for id, name := range []string{"public", "dbo", "guest", "INFORMATION_SCHEMA", "sys"} {
		p := principal{id: int64(id), name: name, role: id == publicRole, fixed: true, created: at}
		if id == dboUser {
			p.login = ownLogin
		}
		x.principals = append(x.principals, p)
	}
	for i, name := range []string{"db_owner", "db_accessadmin", "db_securityadmin", "db_ddladmin", "", "db_backupoperator", "db_datareader", "db_datawriter", "db_denydatareader", "db_denydatawriter"} {
		if name != "" {
			x.principals = append(x.principals, principal{id: ownerRole + int64(i), name: name, role: true, fixed: true, owner: dboUser, created: at})
		}
	}
	if slices.Contains([]string{"master", "tempdb", "msdb"}, database) {
		x.grants = append(x.grants, grant{class: ofDatabase, action: "CONNECT", grantee: guestUser, grantor: dboUser, state: 'G'})
	}
	return x
}

// actor is what a session is in a database.
type actor struct {
	own      bool // the server's own login, which Options.Denied is about
	sysadmin bool
	user     *principal // nil: it may not enter
	ids      []int64    // of the user and its roles
	server   []int64    // of the login and its roles
}

// dbo says whether nothing in the database is refused.
func (a *actor) dbo() bool { return a.user != nil && a.user.id == dboUser }

func (s *session) actor(db *Database) *actor {
	x := s.srv.security.Load()
	a := &actor{}
	l := x.find(s.user)
	if l == nil {
		return a // it was dropped meanwhile
	}
	a.own, a.server = l.id == ownLogin, x.closure(l.id, serverPublic)
	a.sysadmin = slices.Contains(a.server, sysadminRole)
	d := db.st.Load().security
	switch {
	case a.sysadmin || db.owner == l.id:
		a.user = d.byID(dboUser)
	default:
		for i := range d.principals {
			if p := &d.principals[i]; p.login == l.id && !p.role && p.id != dboUser {
				a.user = p
			}
		}
		if a.user == nil && slices.ContainsFunc(d.grants, func(g grant) bool { return g.grantee == guestUser && g.action == "CONNECT" && g.state != 'D' }) {
			a.user = d.byID(guestUser)
		}
	}
	if a.user != nil {
		a.ids = d.closure(a.user.id, publicRole)
	}
	return a
}

// enter is an error unless the session may use a database.
func (s *session) enter(db *Database) error {
	a := s.actor(db)
	if a.user == nil || !a.may(s.srv, db.st.Load(), "CONNECT", securable{class: ofDatabase}) {
		return &Error{Number: 916, State: 2, Class: 14, Text: "The server principal \"" + s.user + "\" is not able to access the database \"" + db.name + "\" under the current security context."}
	}
	return nil
}

// hasAccess is HAS_DBACCESS: NULL if there is no such database.
func (s *session) hasAccess(name string) any {
	db := s.srv.DB(name)
	if db == nil {
		return nil
	}
	return toInt(s.enter(db) == nil)
}

// userName is the session's user in its database.
func (s *session) userName() any {
	if a := s.actor(s.db); a.user != nil {
		return a.user.name
	}
	return nil
}

// member reports whether the session's user is in a role; known is whether there is
// such a role. Members of sysadmin are dbo, who is in no role, as IS_MEMBER's document
// has it.
func (s *session) member(db *Database, role string) (in, known bool) {
	a, p := s.actor(db), db.st.Load().security.find(role)
	if p == nil || !p.role {
		return false, false
	}
	if a.own && s.srv.permitted("sysadmin") == 0 {
		return s.srv.permitted("role "+role) == 1, true
	}
	if a.dbo() {
		return p.id == publicRole, true
	}
	return slices.Contains(a.ids, p.id), true
}

// owner reports whether the user is sysadmin or db_owner, which gating roles and the
// rights on captured columns do not bind.
func (s *session) owner(db *Database) bool {
	a := s.actor(db)
	if a.own {
		return s.srv.permitted("sysadmin") == 1 || s.srv.permitted("role db_owner") == 1
	}
	return a.dbo() || slices.Contains(a.ids, ownerRole)
}

// isSysadmin reports whether the login is a member of sysadmin.
func (s *session) isSysadmin() bool {
	a := s.actor(s.db)
	return a.sysadmin && (!a.own || s.srv.permitted("sysadmin") == 1)
}

// serverMember reports whether the login is in a role of the server.
func (s *session) serverMember(role string) (in, known bool) {
	p := s.srv.security.Load().find(role)
	if p == nil || !p.role {
		return false, false
	}
	a := s.actor(s.db)
	if a.own && (strings.EqualFold(role, "sysadmin") || s.srv.permitted("role "+role) == 0) {
		return s.isSysadmin() && s.srv.permitted("role "+role) == 1, true
	}
	return slices.Contains(a.server, p.id), true
}
