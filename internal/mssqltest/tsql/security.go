package tsql

import "strings"

// Statements about principals and their permissions.
type (
	// CreateLogin makes a login with a password. Policy is what CHECK_POLICY says.
	CreateLogin struct {
		Name, Password string
		Database       string // DEFAULT_DATABASE, empty if it is not given
		Policy         bool
	}
	// AlterLogin changes a login: Enable is ENABLE or DISABLE, else there is a Password.
	AlterLogin struct{ Name, Enable, Password string }
	// CreateUser makes a user of a database: of the login, or of none.
	CreateUser struct {
		Name, Login string
		NoLogin     bool
	}
	// CreateRole makes a role of a database. Owner is empty where none is given.
	CreateRole struct{ Name, Owner string }
	// AlterRole adds or drops a member of a role, of the server where Server is set,
	// or gives it another name.
	AlterRole struct {
		Name              string
		Server            bool
		Add, Drop, Rename string
	}
	// Permit is GRANT, DENY or REVOKE, which Verb says.
	Permit struct {
		Verb      string
		Perms     []Permission
		Class     string // OBJECT, SCHEMA or DATABASE, in upper case; empty where none is said
		On        Name   // nil: the database, or the server
		To        []string
		Option    bool // WITH GRANT OPTION
		OptionFor bool // REVOKE GRANT OPTION FOR
		Cascade   bool
	}
)

// Permission is a permission, in upper case, and the columns that it is of.
type Permission struct {
	Name    string
	Columns []string
}

func (*CreateLogin) statement() {}
func (*AlterLogin) statement()  {}
func (*CreateUser) statement()  {}
func (*CreateRole) statement()  {}
func (*AlterRole) statement()   {}
func (*Permit) statement()      {}

// createPrincipal reads CREATE LOGIN, USER and ROLE; nil if something else comes.
func (p *parser) createPrincipal() Statement {
	switch {
	case p.accept("LOGIN"):
		return p.createLogin()
	case p.accept("USER"):
		return p.createUser()
	case p.accept("ROLE"):
		s := &CreateRole{Name: p.ident()}
		if p.accept("AUTHORIZATION") {
			s.Owner = p.ident()
		}
		return s
	}
	return nil
}

func (p *parser) createLogin() Statement {
	s := &CreateLogin{Name: p.ident(), Policy: true}
	p.expect("WITH", "PASSWORD", "=")
	s.Password = p.stringToken()
	for p.accept(",") {
		switch {
		case p.accept("DEFAULT_DATABASE", "="):
			s.Database = p.ident()
		case p.accept("CHECK_POLICY", "=", "OFF"):
			s.Policy = false
		case p.accept("CHECK_POLICY", "=", "ON"), p.accept("CHECK_EXPIRATION", "=", "OFF"):
		default:
			p.bad() // MUST_CHANGE, SID and the like are not in the model
		}
	}
	return s
}

func (p *parser) createUser() Statement {
	s := &CreateUser{Name: p.ident()}
	s.Login = s.Name
	switch {
	case p.accept("WITHOUT", "LOGIN"):
		s.Login, s.NoLogin = "", true
	case p.accept("FOR", "LOGIN"), p.accept("FROM", "LOGIN"):
		s.Login = p.ident()
	}
	if p.accept("WITH") {
		// A name without a schema is of dbo in the model, whoever says it.
		p.expect("DEFAULT_SCHEMA", "=")
		if !p.accept("dbo") && !strings.EqualFold(p.ident(), "dbo") {
			p.at--
			p.bad()
		}
	}
	return s
}

// stringToken is a literal text.
func (p *parser) stringToken() string {
	t := p.peek()
	if t.kind != tString && t.kind != tNString {
		p.bad()
	}
	p.next()
	return t.text
}

// alterPrincipal reads ALTER LOGIN, ROLE and SERVER ROLE; nil if something else comes.
func (p *parser) alterPrincipal() Statement {
	switch {
	case p.accept("LOGIN"):
		s := &AlterLogin{Name: p.ident()}
		if s.Enable = p.oneOf("ENABLE", "DISABLE"); s.Enable == "" {
			p.expect("WITH", "PASSWORD", "=")
			s.Password = p.stringToken()
		}
		return s
	case p.accept("SERVER", "ROLE"):
		return p.alterRole(true)
	case p.accept("ROLE"):
		return p.alterRole(false)
	}
	return nil
}

func (p *parser) alterRole(server bool) Statement {
	s := &AlterRole{Name: p.ident(), Server: server}
	switch {
	case p.accept("ADD", "MEMBER"):
		s.Add = p.ident()
	case p.accept("DROP", "MEMBER"):
		s.Drop = p.ident()
	default:
		p.expect("WITH", "NAME", "=")
		s.Rename = p.ident()
	}
	return s
}

// permit reads GRANT, DENY and REVOKE.
func (p *parser) permit() Statement {
	s := &Permit{Verb: p.oneOf("GRANT", "DENY", "REVOKE")}
	s.OptionFor = s.Verb == "REVOKE" && p.accept("GRANT", "OPTION", "FOR")
	for {
		s.Perms = append(s.Perms, p.permission())
		if !p.accept(",") {
			break
		}
	}
	if p.accept("ON") {
		if p.ahead(1).is("::") {
			if s.Class = p.oneOf("OBJECT", "SCHEMA", "DATABASE"); s.Class == "" {
				p.bad() // the other classes are not in the model
			}
			p.expect("::")
		}
		s.On = p.name()
		if p.peek().is("(") {
			columns := p.names()
			for i := range s.Perms {
				if s.Perms[i].Columns != nil {
					p.bad()
				}
				s.Perms[i].Columns = columns
			}
		}
	}
	if s.Verb != "REVOKE" || !p.accept("FROM") {
		p.expect("TO")
	}
	for {
		if p.accept("PUBLIC") {
			s.To = append(s.To, "public")
		} else {
			s.To = append(s.To, p.ident())
		}
		if !p.accept(",") {
			break
		}
	}
	s.Option = s.Verb == "GRANT" && p.accept("WITH", "GRANT", "OPTION")
	s.Cascade = s.Verb != "GRANT" && p.accept("CASCADE")
	return s
}

// permission is the words of one, with its columns.
func (p *parser) permission() Permission {
	var words []string
	for t := p.peek(); t.kind == tIdent && !t.is("ON") && !t.is("TO") && !t.is("FROM"); t = p.peek() {
		words = append(words, strings.ToUpper(t.text))
		p.next()
	}
	if words == nil {
		p.bad()
	}
	out := Permission{Name: strings.Join(words, " ")}
	if p.peek().is("(") {
		out.Columns = p.names()
	}
	return out
}
