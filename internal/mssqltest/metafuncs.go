package mssqltest

import (
	"math/big"
	"strings"

	"tributary/internal/mssqltest/tds"
	"tributary/internal/mssqltest/tsql"
)

// What follows are the metadata functions.

func (s *session) databaseName(a []any) any {
	if len(a) == 0 {
		return s.db.name
	}
	for _, db := range s.srv.databases() {
		if db.id == a[0].(int64) {
			return db.name
		}
	}
	return nil
}

func (s *session) databaseID(a []any) any {
	if len(a) == 0 {
		return s.db.id
	}
	if db := s.srv.DB(a[0].(string)); db != nil {
		return db.id
	}
	return nil
}

func (s *session) schemaName(a []any) any {
	if len(a) == 0 {
		return "dbo"
	}
	for _, r := range s.db.st.Load().schemas {
		if r.id == a[0].(int64) {
			return r.name
		}
	}
	return nil
}

func (s *session) schemaNumber(a []any) any {
	if len(a) == 0 {
		return int64(1)
	}
	return s.db.st.Load().schemaID(a[0].(string))
}

func (s *session) objectID(a []any) (any, error) {
	n, err := tsql.ParseName(a[0].(string))
	if err != nil {
		return nil, nil //nolint:nilerr // NULL, as for what is not there
	}
	if len(a) > 1 && !strings.EqualFold(strings.TrimSpace(a[1].(string)), "U") {
		return nil, notInModel("OBJECT_ID of a type of object other than U")
	}
	db, schema, name, err := s.objectName(n)
	if err != nil {
		return nil, nil //nolint:nilerr // as above
	}
	for _, o := range s.objects(db, db.st.Load()) {
		if strings.EqualFold(o.schema, schema) && strings.EqualFold(o.name, name) {
			return o.id, nil
		}
	}
	if _, ok := s.srv.procs[strings.ToLower(name)]; ok && len(a) == 1 && s.srv.opts.RDS && db.name == "msdb" && strings.HasPrefix(strings.ToLower(name), "rds_") {
		return int64(rdsProcedure), nil
	}
	return nil, nil
}

// rdsProcedure is the number of Amazon's procedures, of which nothing else is told.
const rdsProcedure = 1977058079

func (s *session) objectPart(a []any, schema bool) any {
	db := s.db
	if len(a) > 1 {
		for _, d := range s.srv.databases() {
			if d.id == a[1].(int64) {
				db = d
			}
		}
		if db.id != a[1].(int64) {
			return nil
		}
	}
	for _, o := range s.objects(db, db.st.Load()) {
		if o.id == a[0].(int64) {
			if schema {
				return o.schema
			}
			return o.name
		}
	}
	return nil
}

func (s *session) columnName(a []any) any {
	for _, o := range s.objects(s.db, s.db.st.Load()) {
		if o.id != a[0].(int64) {
			continue
		}
		for _, c := range o.columns {
			if int64(c.id) == a[1].(int64) {
				return c.name
			}
		}
	}
	return nil
}

func typeName(id int64) any {
	for _, r := range typeRows {
		if r.user == id {
			return r.name
		}
	}
	return nil
}

func typeID(name string) any {
	for _, r := range typeRows {
		if strings.EqualFold(r.name, name) {
			return r.user
		}
	}
	return nil
}

// serverProperty has a type for each property.
func serverProperty(c *compiler, x *tsql.Call, a []value) (value, error) {
	return simple(varType, 1, []tds.Type{nvarchar(128)}, func(s *session, v []any) (any, error) {
		text := func(t string) any { return tds.Variant{Type: nvarchar(128), Value: t} }
		num := func(n int64) any { return tds.Variant{Type: intType, Value: n} }
		o := s.srv.opts
		switch p := strings.ToLower(v[0].(string)); p {
		case "productversion":
			return text(o.ProductVersion), nil
		case "productmajorversion":
			major, _, _ := strings.Cut(o.ProductVersion, ".")
			return text(major), nil
		case "productlevel":
			return text("RTM"), nil
		case "edition":
			return text(o.Edition), nil
		case "engineedition":
			return num(o.EngineEdition), nil
		case "servername", "machinename":
			return text(serverName), nil
		case "instancename", "isxtpsupported":
			return nil, nil
		case "collation":
			return text(serverCollation), nil
		case "ishadrenabled":
			return num(0), nil
		case "isintegratedsecurityonly":
			return num(0), nil
		}
		return nil, notInModel("the server's property %s", v[0])
	})(c, x, a)
}

func databaseProperty(s *session, a []any) (any, error) {
	db := s.srv.DB(a[0].(string))
	if db == nil {
		return nil, nil
	}
	text := func(t string) any { return tds.Variant{Type: nvarchar(128), Value: t} }
	switch p := strings.ToLower(a[1].(string)); p {
	case "updateability":
		if s.srv.readOnly.Load() {
			return text("READ_ONLY"), nil
		}
		return text("READ_WRITE"), nil
	case "collation":
		return text(serverCollation), nil
	case "status":
		return text("ONLINE"), nil
	case "recovery":
		return text("FULL"), nil
	case "useraccess":
		return text("MULTI_USER"), nil
	}
	return nil, notInModel("the database's property %s", a[1])
}

func columnProperty(s *session, a []any) (any, error) {
	for _, o := range s.objects(s.db, s.db.st.Load()) {
		if o.id != a[0].(int64) {
			continue
		}
		for _, c := range o.columns {
			if !strings.EqualFold(c.name, a[1].(string)) {
				continue
			}
			switch strings.ToLower(a[2].(string)) {
			case "columnid":
				return int64(c.id), nil
			case "isidentity":
				return toInt(c.identity != nil), nil
			case "iscomputed":
				return toInt(c.computed != nil), nil
			case "allowsnull":
				return toInt(c.nullable), nil
			}
			return nil, notInModel("the column's property %s", a[2])
		}
	}
	return nil, nil
}

func (s *session) lastIdentity() any {
	if s.identity == nil {
		return nil
	}
	return tds.Dec{Unscaled: big.NewInt(*s.identity)}
}
