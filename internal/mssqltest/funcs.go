package mssqltest

import (
	"crypto/rand"
	"math"
	"math/big"
	"strings"
	"time"

	"tributary/internal/mssqltest/tds"
	"tributary/internal/mssqltest/tsql"
)

// function makes a call's value from its arguments.
type function func(c *compiler, x *tsql.Call, args []value) (value, error)

func (c *compiler) call(x *tsql.Call) (value, error) {
	if x.Over != nil {
		return c.window(x)
	}
	name := strings.ToLower(x.Name.Last())
	if len(x.Name) > 1 {
		return c.qualifiedCall(x, name)
	}
	if aggregates[strings.ToUpper(name)] {
		return value{}, sqlError(147, "An aggregate may not appear in the WHERE clause unless it is in a subquery contained in a HAVING clause or a select list, and the column being aggregated is an outer reference.")
	}
	switch name {
	case "datepart", "datename", "dateadd", "datediff", "datediff_big":
		return c.dateFunction(x, name)
	case "iif":
		if len(x.Args) != 3 {
			return value{}, argumentCount(x, 3)
		}
		return c.caseExpr(&tsql.Case{Whens: []tsql.When{{Cond: x.Args[0], Then: x.Args[1]}}, Else: x.Args[2]})
	}
	f, ok := functions()[name]
	if !ok {
		return value{}, sqlError(195, "'%s' is not a recognized built-in function name.", x.Name.Last())
	}
	args, err := c.args(x)
	if err != nil {
		return value{}, err
	}
	return f(c, x, args)
}

func (c *compiler) args(x *tsql.Call) ([]value, error) {
	var args []value
	for _, a := range x.Args {
		v, err := c.expr(a)
		if err != nil {
			return nil, err
		}
		args = append(args, v)
	}
	return args, nil
}

func argumentCount(x *tsql.Call, n int) error {
	return sqlError(174, "The %s function requires %d argument(s).", strings.ToLower(x.Name.Last()), n)
}

// simple is a function of arguments of given types, NULL if one of them is. The
// last types may be left out down to least arguments.
func simple(ret tds.Type, least int, types []tds.Type, f func(s *session, a []any) (any, error)) function {
	return function0(ret, least, types, true, f)
}

func function0(ret tds.Type, least int, types []tds.Type, strict bool, f func(s *session, a []any) (any, error)) function {
	return func(c *compiler, x *tsql.Call, args []value) (value, error) {
		if len(args) < least || len(args) > len(types) {
			return value{}, argumentCount(x, len(types))
		}
		for i := range args {
			var err error
			if args[i], err = args[i].as(types[i]); err != nil {
				return value{}, err
			}
		}
		s := c.s
		return value{typ: ret, nullable: true, eval: func(e *env) (any, error) {
			vals := make([]any, len(args))
			for i := range args {
				var err error
				if vals[i], err = args[i].eval(e); err != nil {
					return nil, err
				}
				if vals[i] == nil && strict {
					return nil, nil
				}
			}
			return f(s, vals)
		}}, nil
	}
}

func functions() map[string]function { return builtin }

var builtin = map[string]function{
	"isnull": func(c *compiler, x *tsql.Call, a []value) (value, error) {
		if len(a) != 2 {
			return value{}, argumentCount(x, 2)
		}
		t := a[0].typ
		if a[0].null {
			t = a[1].typ
		}
		b, err := a[1].as(t)
		if err != nil {
			return value{}, err
		}
		return value{typ: t, nullable: a[0].nullable && b.nullable, eval: firstNonNull([]value{a[0], b})}, nil
	},
	"coalesce": func(c *compiler, x *tsql.Call, a []value) (value, error) {
		a, t, _, err := unifyAll(a)
		if err != nil {
			return value{}, err
		}
		nullable := true
		for _, v := range a {
			nullable = nullable && v.nullable
		}
		return value{typ: t, nullable: nullable, eval: firstNonNull(a)}, nil
	},
	"nullif": func(c *compiler, x *tsql.Call, a []value) (value, error) {
		if len(a) != 2 {
			return value{}, argumentCount(x, 2)
		}
		p, q, err := unifyPair(a[0], a[1])
		if err != nil {
			return value{}, err
		}
		return value{typ: a[0].typ, nullable: true, eval: func(e *env) (any, error) {
			v, err := p.eval(e)
			if err != nil || v == nil {
				return nil, err
			}
			w, err := q.eval(e)
			if err != nil || w != nil && compare(v, w) == 0 {
				return nil, err
			}
			return a[0].eval(e)
		}}, nil
	},
	"upper": textual(1, func(a []string) string { return strings.ToUpper(a[0]) }),
	"lower": textual(1, func(a []string) string { return strings.ToLower(a[0]) }),
	"ltrim": textual(1, func(a []string) string { return strings.TrimLeft(a[0], " ") }),
	"rtrim": textual(1, func(a []string) string { return strings.TrimRight(a[0], " ") }),
	"trim":  textual(1, func(a []string) string { return strings.Trim(a[0], " ") }),
	"replace": textual(3, func(a []string) string {
		if a[1] == "" {
			return a[0]
		}
		return strings.ReplaceAll(a[0], a[1], a[2])
	}),
	"substring": func(c *compiler, x *tsql.Call, a []value) (value, error) {
		if len(a) != 3 {
			return value{}, argumentCount(x, 3)
		}
		t := a[0].typ
		if t.Bytes() {
			t.Kind = tds.VarBinary
			return simple(t, 3, []tds.Type{binMaxType, bigType, bigType}, func(_ *session, v []any) (any, error) {
				b := v[0].([]byte)
				lo := max(v[1].(int64)-1, 0)
				hi := min(max(v[1].(int64)-1+v[2].(int64), 0), int64(len(b)))
				if lo >= hi {
					return []byte{}, nil
				}
				return b[lo:hi], nil
			})(c, x, a)
		}
		return part(c, x, a, func(s string, v []any) string { return cut(s, v[0].(int64), v[1].(int64)) })
	},
	"left": func(c *compiler, x *tsql.Call, a []value) (value, error) {
		return part(c, x, a, func(s string, v []any) string { return cut(s, 1, v[0].(int64)) })
	},
	"right": func(c *compiler, x *tsql.Call, a []value) (value, error) {
		return part(c, x, a, func(s string, v []any) string {
			n := int64(len(units16(s)))
			return cut(s, max(n-v[0].(int64), 0)+1, v[0].(int64))
		})
	},
	"replicate": func(c *compiler, x *tsql.Call, a []value) (value, error) {
		if len(a) != 2 {
			return value{}, argumentCount(x, 2)
		}
		t := a[0].typ
		if !t.Character() {
			return value{}, notInModel("REPLICATE of a %s", t.Kind)
		}
		limit := 8000
		if t.Length == tds.Max {
			limit = 1 << 24
		} else {
			t.Length = 8000
		}
		if t.Unicode() {
			t.Kind, limit = tds.NVarChar, limit/2
		} else {
			t.Kind = tds.VarChar
		}
		return simple(t, 2, []tds.Type{nmaxType, bigType}, func(_ *session, v []any) (any, error) {
			s, n := v[0].(string), v[1].(int64)
			if n < 0 {
				return nil, nil
			}
			if u := int64(max(len(units16(s)), 1)); n*u > int64(limit) {
				n = int64(limit) / u // the result of a type without (max) ends at 8000 bytes
			}
			return strings.Repeat(s, int(n)), nil
		})(c, x, a)
	},
	"len": simple(intType, 1, []tds.Type{nmaxType}, func(_ *session, a []any) (any, error) {
		return int64(len(units16(strings.TrimRight(a[0].(string), " ")))), nil
	}),
	"datalength": func(c *compiler, x *tsql.Call, a []value) (value, error) {
		if len(a) != 1 {
			return value{}, argumentCount(x, 1)
		}
		t := a[0].typ
		return value{typ: intType, nullable: true, eval: func(e *env) (any, error) {
			v, err := a[0].eval(e)
			if err != nil || v == nil {
				return nil, err
			}
			switch v := v.(type) {
			case string:
				return int64(textLength(v, t)), nil
			case []byte:
				return int64(len(v)), nil
			}
			n, _, _ := facets(t)
			return n, nil
		}}, nil
	},
	"charindex": simple(intType, 2, []tds.Type{nmaxType, nmaxType, bigType}, func(_ *session, a []any) (any, error) {
		from := int64(1)
		if len(a) > 2 {
			from = max(a[2].(int64), 1)
		}
		s := cut(a[1].(string), from, math.MaxInt32)
		i := strings.Index(strings.ToLower(s), strings.ToLower(a[0].(string)))
		if i < 0 {
			return int64(0), nil
		}
		return from + int64(len(units16(s[:i]))), nil
	}),
	"concat": func(c *compiler, x *tsql.Call, a []value) (value, error) {
		if len(a) < 2 {
			return value{}, argumentCount(x, 2)
		}
		for i := range a {
			var err error
			if a[i], err = a[i].as(nmaxType); err != nil {
				return value{}, err
			}
		}
		return value{typ: nmaxType, eval: func(e *env) (any, error) {
			var b strings.Builder
			for _, v := range a {
				s, err := v.eval(e)
				if err != nil {
					return nil, err
				}
				if t, ok := s.(string); ok {
					b.WriteString(t)
				}
			}
			return b.String(), nil
		}}, nil
	},
	"quotename": simple(nvarchar(258), 1, []tds.Type{nmaxType}, func(_ *session, a []any) (any, error) {
		return "[" + strings.ReplaceAll(a[0].(string), "]", "]]") + "]", nil
	}),
	"char": simple(char(1), 1, []tds.Type{intType}, func(_ *session, a []any) (any, error) {
		n := a[0].(int64)
		if n < 0 || n > 255 {
			return nil, nil
		}
		return tds.DecodeCP1252([]byte{byte(n)}), nil
	}),
	"nchar": simple(nvarchar(2), 1, []tds.Type{intType}, func(_ *session, a []any) (any, error) {
		n := a[0].(int64)
		if n < 0 || n > 0x10FFFF {
			return nil, nil
		}
		return string(rune(n)), nil
	}),
	"abs": func(c *compiler, x *tsql.Call, a []value) (value, error) {
		if len(a) != 1 {
			return value{}, argumentCount(x, 1)
		}
		t := a[0].typ
		return value{typ: t, nullable: true, eval: func(e *env) (any, error) {
			v, err := a[0].eval(e)
			if err != nil || v == nil {
				return nil, err
			}
			switch n := v.(type) {
			case int64:
				if n < 0 {
					return intOp("-", 0, n, t)
				}
				return n, nil
			case float64:
				return math.Abs(n), nil
			case tds.Dec:
				return tds.Dec{Unscaled: new(big.Int).Abs(n.Unscaled), Scale: n.Scale}, nil
			}
			return nil, sqlError(8117, "Operand data type %s is invalid for abs operator.", t.Kind)
		}}, nil
	},
	"newid":                 now(guidType, func(*session) any { var g tds.GUID; _, _ = rand.Read(g[:]); return g }),
	"getdate":               now(dtType, func(s *session) any { return datetime(s.srv.now()) }),
	"getutcdate":            now(dtType, func(s *session) any { return datetime(s.srv.now()) }),
	"current_timestamp":     now(dtType, func(s *session) any { return datetime(s.srv.now()) }),
	"sysdatetime":           now(dt2Type, func(s *session) any { return roundTime(s.srv.now(), 7) }),
	"sysutcdatetime":        now(dt2Type, func(s *session) any { return roundTime(s.srv.now(), 7) }),
	"sysdatetimeoffset":     now(dtoType, func(s *session) any { return roundTime(s.srv.now(), 7).In(time.FixedZone("", 0)) }),
	"todatetimeoffset":      toDateTimeOffset(false),
	"switchoffset":          toDateTimeOffset(true),
	"user_name":             now(nvarchar(128), func(s *session) any { return s.userName() }),
	"current_user":          now(nvarchar(128), func(s *session) any { return s.userName() }),
	"session_user":          now(nvarchar(128), func(s *session) any { return s.userName() }),
	"user":                  now(nvarchar(128), func(s *session) any { return s.userName() }),
	"system_user":           now(nvarchar(128), func(s *session) any { return s.user }),
	"suser_sname":           now(nvarchar(128), func(s *session) any { return s.user }),
	"suser_name":            now(nvarchar(128), func(s *session) any { return s.user }),
	"original_login":        now(nvarchar(128), func(s *session) any { return s.user }),
	"host_name":             now(nvarchar(128), func(s *session) any { return s.host }),
	"app_name":              now(nvarchar(128), func(s *session) any { return s.app }),
	"xact_state":            now(smallType, func(s *session) any { return s.xactState() }),
	"scope_identity":        now(tds.Type{Kind: tds.Numeric, Precision: 38}, func(s *session) any { return s.lastIdentity() }),
	"error_number":          now(intType, func(s *session) any { return s.caughtPart(func(e *Error) any { return int64(e.Number) }) }),
	"error_message":         now(nvarchar(4000), func(s *session) any { return s.caughtPart(func(e *Error) any { return e.Text }) }),
	"error_severity":        now(intType, func(s *session) any { return s.caughtPart(func(e *Error) any { return int64(e.Class) }) }),
	"error_state":           now(intType, func(s *session) any { return s.caughtPart(func(e *Error) any { return int64(e.State) }) }),
	"db_name":               optional(nvarchar(128), intType, func(s *session, a []any) any { return s.databaseName(a) }),
	"db_id":                 optional(smallType, nvarchar(128), func(s *session, a []any) any { return s.databaseID(a) }),
	"schema_name":           optional(sysname, intType, func(s *session, a []any) any { return s.schemaName(a) }),
	"schema_id":             optional(intType, sysname, func(s *session, a []any) any { return s.schemaNumber(a) }),
	"object_id":             simple(intType, 1, []tds.Type{nmaxType, nvarchar(2)}, func(s *session, a []any) (any, error) { return s.objectID(a) }),
	"object_name":           simple(sysname, 1, []tds.Type{intType, intType}, func(s *session, a []any) (any, error) { return s.objectPart(a, false), nil }),
	"object_schema_name":    simple(sysname, 1, []tds.Type{intType, intType}, func(s *session, a []any) (any, error) { return s.objectPart(a, true), nil }),
	"col_name":              simple(sysname, 2, []tds.Type{intType, intType}, func(s *session, a []any) (any, error) { return s.columnName(a), nil }),
	"type_name":             simple(sysname, 1, []tds.Type{intType}, func(_ *session, a []any) (any, error) { return typeName(a[0].(int64)), nil }),
	"type_id":               simple(intType, 1, []tds.Type{sysname}, func(_ *session, a []any) (any, error) { return typeID(a[0].(string)), nil }),
	"serverproperty":        serverProperty,
	"databasepropertyex":    simple(varType, 2, []tds.Type{nvarchar(128), nvarchar(128)}, databaseProperty),
	"columnproperty":        simple(intType, 3, []tds.Type{intType, sysname, nvarchar(128)}, columnProperty),
	"has_perms_by_name":     function0(intType, 3, []tds.Type{nmaxType, nvarchar(60), nvarchar(128), nmaxType, nvarchar(60)}, false, hasPermission),
	"is_srvrolemember":      simple(intType, 1, []tds.Type{sysname, sysname}, func(s *session, a []any) (any, error) { return s.isServerRoleMember(a) }),
	"is_member":             simple(intType, 1, []tds.Type{sysname}, func(s *session, a []any) (any, error) { return toNullable(s.member(s.db, a[0].(string))), nil }),
	"is_rolemember":         simple(intType, 1, []tds.Type{sysname, sysname}, func(s *session, a []any) (any, error) { return s.isRoleMember(a) }),
	"has_dbaccess":          simple(intType, 1, []tds.Type{sysname}, func(s *session, a []any) (any, error) { return s.hasAccess(a[0].(string)), nil }),
	"min_active_rowversion": now(tds.Type{Kind: tds.Binary, Length: 8}, func(s *session) any { return s.db.rowVersion() }),
}

func firstNonNull(a []value) func(*env) (any, error) {
	return func(e *env) (any, error) {
		for _, v := range a {
			x, err := v.eval(e)
			if err != nil || x != nil {
				return x, err
			}
		}
		return nil, nil
	}
}

// now is a function without arguments.
func now(t tds.Type, f func(*session) any) function {
	return function0(t, 0, nil, false, func(s *session, _ []any) (any, error) { return f(s), nil })
}

// optional is a function of none or one argument.
func optional(ret, arg tds.Type, f func(*session, []any) any) function {
	return simple(ret, 0, []tds.Type{arg}, func(s *session, a []any) (any, error) { return f(s, a), nil })
}

func (c *compiler) static(x *tsql.Static) (value, error) {
	return value{}, notInModel("%s::%s", x.Type, x.Method)
}

func (c *compiler) global(name string) (value, error) {
	s := c.s
	of := func(t tds.Type, f func() any) (value, error) {
		return value{typ: t, eval: func(*env) (any, error) { return f(), nil }}, nil
	}
	switch name {
	case "SPID":
		return of(smallType, func() any { return int64(s.id) })
	case "VERSION":
		return of(nvarchar(300), func() any { return s.srv.opts.Version })
	case "SERVERNAME":
		return of(nvarchar(128), func() any { return serverName })
	case "SERVICENAME":
		return of(nvarchar(128), func() any { return "MSSQLSERVER" })
	case "ROWCOUNT":
		return of(intType, func() any { return s.rowCount })
	case "ERROR":
		return of(intType, func() any { return s.lastError })
	case "TRANCOUNT":
		return of(intType, func() any { return s.tranCount })
	case "IDENTITY":
		return value{typ: tds.Type{Kind: tds.Numeric, Precision: 38}, nullable: true, eval: func(*env) (any, error) { return s.lastIdentity(), nil }}, nil
	case "LOCK_TIMEOUT":
		return of(intType, func() any { return s.lockTimeout })
	case "DBTS":
		return of(varbinary(8), func() any { return s.db.rowVersion() })
	case "MAX_PRECISION":
		return of(tinyType, func() any { return int64(38) })
	case "MICROSOFTVERSION":
		return of(intType, func() any { return int64(0x100003E8) })
	case "LANGUAGE":
		return of(nvarchar(128), func() any { return "us_english" })
	case "DATEFIRST":
		return of(tinyType, func() any { return int64(7) })
	case "OPTIONS":
		return of(intType, func() any { return int64(5496) })
	case "TEXTSIZE":
		return of(intType, func() any { return int64(math.MaxInt32) })
	}
	return value{}, withClass(sqlError(137, "Must declare the scalar variable \"@@%s\".", name), 15)
}
