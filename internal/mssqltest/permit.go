package mssqltest

import (
	"slices"
	"strconv"
	"strings"

	"tributary/internal/mssqltest/tsql"
)

// missing is the error for what there is not, or what the user may not do: a server
// does not tell which.
func missing(do, kind, name string) *Error {
	return sqlError(15151, "Cannot %s the %s '%s', because it does not exist or you do not have permission.", do, kind, name)
}

// permit runs GRANT, DENY and REVOKE.
func (s *session) permit(st *tsql.Permit) error {
	o, err := s.securableOf(st)
	if err != nil {
		return err
	}
	perms := st.Perms
	if len(perms) == 1 && (perms[0].Name == "ALL" || perms[0].Name == "ALL PRIVILEGES") {
		if o.class != ofObject || perms[0].Columns != nil {
			return notInModel("ALL permissions of something else than a table")
		}
		perms = nil
		for _, n := range []string{"DELETE", "INSERT", "REFERENCES", "SELECT", "UPDATE"} {
			perms = append(perms, tsql.Permission{Name: n})
		}
	}
	var list []grant
	for _, p := range perms {
		g, err := s.permissions(o, p)
		if err != nil {
			return err
		}
		list = append(list, g...)
	}
	change := func(x *security) error {
		grantees, err := s.grantees(x, o, st)
		if err != nil {
			return err
		}
		for i := range list {
			if list[i].grantor, err = s.grantor(x, o, st, list[i]); err != nil {
				return err
			}
		}
		for _, id := range grantees {
			for _, g := range list {
				g.grantee = id
				if err := x.apply(st, g); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if o.class == ofServer {
		return s.srv.changeSecurity(change)
	}
	return s.db.changeSecurity(change)
}

// target is what a statement gives rights on, with its name.
type target struct {
	securable
	name   string
	entity *entity // of an object
}

// securableOf finds it. Without one it is the database, or the server if the
// permissions are the server's.
func (s *session) securableOf(st *tsql.Permit) (target, error) {
	name := st.On.Last()
	switch {
	case st.On == nil:
		server := 0
		for _, p := range st.Perms {
			if slices.Contains(actions[ofServer], p.Name) && !slices.Contains(actions[ofDatabase], p.Name) {
				server++
			}
		}
		switch {
		case server == 0:
			return target{securable: securable{class: ofDatabase}, name: s.db.name}, nil
		case server < len(st.Perms):
			return target{}, sqlError(4620, "All permissions in a grant/deny/revoke statement should be at the same scope (e.g., server or database)")
		case s.db.name != "master":
			return target{}, sqlError(4621, "Permissions at the server scope can only be granted when the current database is master")
		}
		return target{securable: securable{class: ofServer}}, nil
	case st.Class == "DATABASE" && len(st.On) == 1:
		if !strings.EqualFold(name, s.db.name) {
			return target{}, sqlError(4610, "You can only grant or revoke permissions on objects in the current database.")
		}
		return target{securable: securable{class: ofDatabase}, name: s.db.name}, nil
	case st.Class == "SCHEMA" && len(st.On) == 1:
		id, ok := s.db.st.Load().schemaID(name).(int64)
		if !ok {
			return target{}, missing("find", "schema", name)
		}
		return target{securable: securable{class: ofSchema, major: id}, name: name}, nil
	case st.Class == "DATABASE" || st.Class == "SCHEMA":
		return target{}, withClass(sqlError(102, "Incorrect syntax near '.'."), 15)
	}
	db, schema, name, err := s.objectName(st.On)
	if err != nil {
		return target{}, err
	}
	if db != s.db {
		return target{}, sqlError(4610, "You can only grant or revoke permissions on objects in the current database.")
	}
	if strings.EqualFold(schema, "sys") || strings.EqualFold(schema, "INFORMATION_SCHEMA") {
		return target{}, notInModel("rights on the system's views")
	}
	e := s.entity(db, db.st.Load(), schema, name)
	if e == nil {
		return target{}, missing("find", "object", name)
	}
	return target{securable: e.securable, name: name, entity: e}, nil
}

// permissions are the grants that one permission of a statement stands for.
func (s *session) permissions(o target, p tsql.Permission) ([]grant, error) {
	if !slices.Contains(actions[o.class], p.Name) || p.Name == "UNMASK" && o.class != ofDatabase && !s.srv.since2022() {
		return nil, withClass(sqlError(102, "Incorrect syntax near '%s'.", p.Name), 15)
	}
	g := grant{class: o.class, major: o.major, action: p.Name}
	if p.Columns == nil {
		return []grant{g}, nil
	}
	if o.class != ofObject || !slices.Contains(ofColumns, p.Name) {
		return nil, withClass(sqlError(1020, "Sub-entity lists (such as column or security expressions) cannot be specified for entity-level permissions."), 15)
	}
	var out []grant
	for _, c := range p.Columns {
		if g.minor = o.entity.column(c); g.minor == 0 {
			return nil, sqlError(4615, "Invalid column name '%s'.", c)
		}
		out = append(out, g)
	}
	return out, nil
}

// since2022 reports whether the server is SQL Server 2022 or later.
func (s *Server) since2022() bool {
	major, _, _ := strings.Cut(s.opts.ProductVersion, ".")
	n, err := strconv.Atoi(major)
	return err == nil && n >= 16 || s.azure()
}

// grantees are the numbers of those to whom a statement gives rights.
func (s *session) grantees(x *security, o target, st *tsql.Permit) (out []int64, err error) {
	a := s.actor(s.db)
	for _, name := range st.To {
		p := x.find(name)
		self := p != nil && (o.class == ofServer && p.id == s.loginID() || o.class != ofServer && a.user != nil && p.id == a.user.id)
		special := []string{"sa", "dbo", "sys", "information_schema", s.srv.opts.User}
		kind := "user"
		if o.class == ofServer {
			kind = "login"
		}
		switch {
		case self || slices.ContainsFunc(special, func(n string) bool { return strings.EqualFold(n, name) }):
			return nil, sqlError(4624, "Cannot grant, deny, or revoke permissions to sa, dbo, entity owner, information_schema, sys, or yourself.")
		case p == nil:
			return nil, missing("find", kind, name)
		case p.role && p.fixed && p.name != "public":
			return nil, sqlError(4617, "Cannot grant, deny or revoke permissions to or from special roles.")
		case p.role && slices.ContainsFunc(st.Perms, func(p tsql.Permission) bool { return p.Name == "CONNECT" }):
			return nil, sqlError(4627, "Cannot grant, deny, or revoke the connect database permission to roles and application roles.")
		}
		out = append(out, p.id)
	}
	return out, nil
}

func (s *session) loginID() int64 {
	if l := s.srv.security.Load().find(s.user); l != nil {
		return l.id
	}
	return 0
}

// grantor is who gives a right: dbo for whoever has CONTROL of the securable, and for
// db_securityadmin; else whoever was granted it with the right to grant it.
func (s *session) grantor(x *security, o target, st *tsql.Permit, g grant) (int64, error) {
	a, dbState := s.actor(s.db), s.db.st.Load()
	if o.class == ofServer {
		if a.own || a.may(s.srv, dbState, "CONTROL SERVER", o.securable) {
			return ownLogin, nil
		}
		return 0, sqlError(4613, "Grantor does not have GRANT permission.")
	}
	if a.own || a.may(s.srv, dbState, "CONTROL", o.securable) || slices.Contains(a.ids, securityadminRole) {
		return dboUser, nil
	}
	for _, h := range x.grants {
		if st.Verb != "DENY" && h.state == 'W' && h.class == g.class && h.major == g.major && (h.minor == 0 || h.minor == g.minor) && h.action == g.action && slices.Contains(a.ids, h.grantee) {
			return h.grantee, nil
		}
	}
	switch o.class {
	case ofObject:
		return 0, missing("find", "object", o.name)
	case ofSchema:
		return 0, missing("find", "schema", o.name)
	}
	return 0, sqlError(4613, "Grantor does not have GRANT permission.")
}

// same reports whether two grants are of the same right to the same principal.
func (g grant) same(h grant) bool {
	return g.class == h.class && g.major == h.major && g.minor == h.minor && g.action == h.action && g.grantee == h.grantee
}

// apply does what a statement says with one right of one principal.
func (x *security) apply(st *tsql.Permit, g grant) error {
	i := slices.IndexFunc(x.grants, g.same)
	passed := i >= 0 && x.grants[i].state == 'W'
	if passed && !st.Cascade && st.Verb != "GRANT" {
		return sqlError(4611, "To revoke or deny grantable privileges, specify the CASCADE option.")
	}
	if passed && st.Verb != "GRANT" {
		x.cascade(st, g)
		i = slices.IndexFunc(x.grants, g.same)
	}
	switch g.state = 'G'; {
	case st.Verb == "REVOKE" && i < 0:
		return nil
	case st.Verb == "REVOKE" && st.OptionFor && passed:
		x.grants[i].state = 'G'
		return nil
	case st.Verb == "REVOKE":
		x.grants = slices.Delete(x.grants, i, i+1)
		return nil
	case st.Verb == "DENY":
		g.state = 'D'
	case st.Option || passed:
		g.state = 'W'
	}
	if i >= 0 {
		x.grants[i] = g
	} else {
		x.grants = append(x.grants, g)
	}
	return nil
}

// cascade does the same to those to whom the principal has granted the right.
func (x *security) cascade(st *tsql.Permit, g grant) {
	for _, h := range slices.Clone(x.grants) {
		if h.grantor != g.grantee || h.grantee == g.grantee || h.class != g.class || h.major != g.major || h.minor != g.minor || h.action != g.action {
			continue
		}
		x.cascade(st, h)
		i := slices.IndexFunc(x.grants, h.same)
		if st.Verb == "DENY" {
			x.grants[i].state = 'D'
		} else {
			x.grants = slices.Delete(x.grants, i, i+1)
		}
	}
}
