package mssqltest

import (
	"crypto/rand"
	"math"
	"math/big"
	"strings"
	"time"
	"unicode/utf16"

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

// textual is a function of texts whose result has the first one's type.
func textual(n int, f func(a []string) string) function {
	return func(c *compiler, x *tsql.Call, args []value) (value, error) {
		if len(args) != n {
			return value{}, argumentCount(x, n)
		}
		t := args[0].typ
		if !t.Character() {
			t = varchar(8000)
		}
		if t.Kind == tds.Char {
			t.Kind = tds.VarChar
		}
		if t.Kind == tds.NChar {
			t.Kind = tds.NVarChar
		}
		t.Sysname = false
		if n > 1 && t.Length > 0 {
			t.Length = 8000
		}
		types := make([]tds.Type, n)
		for i := range types {
			types[i] = nmaxType
		}
		return simple(t, n, types, func(_ *session, a []any) (any, error) {
			s := make([]string, n)
			for i := range a {
				s[i] = a[i].(string)
			}
			return f(s), nil
		})(c, x, args)
	}
}

func units16(s string) []uint16 { return utf16.Encode([]rune(s)) }

// cut is a part of a text, counted in UTF-16 units from 1.
func cut(s string, from, n int64) string {
	u := units16(s)
	lo := max(from-1, 0)
	hi := min(max(from-1+n, 0), int64(len(u)))
	if lo >= hi {
		return ""
	}
	return string(utf16.Decode(u[lo:hi]))
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
	"user_name":             now(nvarchar(128), func(*session) any { return "dbo" }),
	"current_user":          now(nvarchar(128), func(*session) any { return "dbo" }),
	"session_user":          now(nvarchar(128), func(*session) any { return "dbo" }),
	"user":                  now(nvarchar(128), func(*session) any { return "dbo" }),
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
	"is_srvrolemember":      simple(intType, 1, []tds.Type{sysname, sysname}, func(s *session, a []any) (any, error) { return s.srv.permitted("role " + a[0].(string)), nil }),
	"is_member":             simple(intType, 1, []tds.Type{sysname}, func(s *session, a []any) (any, error) { return s.srv.permitted("role " + a[0].(string)), nil }),
	"is_rolemember":         simple(intType, 1, []tds.Type{sysname, sysname}, func(s *session, a []any) (any, error) { return s.srv.permitted("role " + a[0].(string)), nil }),
	"has_dbaccess":          simple(intType, 1, []tds.Type{sysname}, func(s *session, a []any) (any, error) { return toInt(s.srv.DB(a[0].(string)) != nil), nil }),
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

// part is a function of a text and numbers that gives a part of the text.
func part(c *compiler, x *tsql.Call, a []value, f func(s string, v []any) string) (value, error) {
	if len(a) == 0 {
		return value{}, argumentCount(x, 2)
	}
	t := a[0].typ
	if !t.Character() {
		t = varchar(8000)
	}
	switch t.Kind {
	case tds.Char, tds.Text:
		t.Kind = tds.VarChar
	case tds.NChar, tds.NText:
		t.Kind = tds.NVarChar
	}
	if t.Length == 0 {
		t.Length = tds.Max
	}
	t.Sysname = false
	types := []tds.Type{nmaxType}
	want := 2
	if strings.EqualFold(x.Name.Last(), "substring") {
		want = 3
	}
	for len(types) < want {
		types = append(types, bigType)
	}
	return simple(t, want, types, func(_ *session, v []any) (any, error) { return f(v[0].(string), v[1:]), nil })(c, x, a)
}

// now is a function without arguments.
func now(t tds.Type, f func(*session) any) function {
	return function0(t, 0, nil, false, func(s *session, _ []any) (any, error) { return f(s), nil })
}

// optional is a function of none or one argument.
func optional(ret, arg tds.Type, f func(*session, []any) any) function {
	return simple(ret, 0, []tds.Type{arg}, func(s *session, a []any) (any, error) { return f(s, a), nil })
}

func toDateTimeOffset(keepInstant bool) function {
	return func(c *compiler, x *tsql.Call, a []value) (value, error) {
		if len(a) != 2 {
			return value{}, argumentCount(x, 2)
		}
		scale := 7
		switch a[0].typ.Kind {
		case tds.DateTime2, tds.DateTimeOffset:
			scale = a[0].typ.Scale
		case tds.DateTime:
			scale = 3
		case tds.SmallDateTime, tds.Date:
			scale = 0
		}
		t := tds.Type{Kind: tds.DateTimeOffset, Scale: scale}
		kind := dt2Type
		if keepInstant {
			kind = dtoType
		}
		zone := nvarchar(10)
		if a[1].typ.Integer() {
			zone = intType
		}
		return simple(t, 2, []tds.Type{kind, zone}, func(_ *session, v []any) (any, error) {
			at := v[0].(time.Time)
			off, err := offset(v[1])
			if err != nil {
				return nil, err
			}
			z := time.FixedZone("", off*60)
			if keepInstant {
				return at.In(z), nil
			}
			return time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), z), nil
		})(c, x, a)
	}
}

// offset is a zone in minutes: a number, or a text like +11:00.
func offset(v any) (int, error) {
	bad := sqlError(9812, "The timezone provided to builtin function todatetimeoffset is invalid.")
	n := 0
	switch z := v.(type) {
	case int64:
		n = int(z)
	case string:
		t, err := time.Parse("-07:00", strings.TrimSpace(z))
		if err != nil {
			return 0, bad
		}
		_, s := t.Zone()
		n = s / 60
	}
	if n < -14*60 || n > 14*60 {
		return 0, bad
	}
	return n, nil
}

var dateParts = map[string]string{
	"year": "year", "yy": "year", "yyyy": "year", "quarter": "quarter", "qq": "quarter", "month": "month", "mm": "month", "m": "month",
	"dayofyear": "dayofyear", "dy": "dayofyear", "day": "day", "dd": "day", "d": "day", "hour": "hour", "hh": "hour", "minute": "minute", "mi": "minute",
	"second": "second", "ss": "second", "s": "second", "millisecond": "millisecond", "ms": "millisecond", "microsecond": "microsecond", "mcs": "microsecond",
	"nanosecond": "nanosecond", "ns": "nanosecond", "tzoffset": "tzoffset", "tz": "tzoffset", "week": "week", "wk": "week",
}

func (c *compiler) dateFunction(x *tsql.Call, name string) (value, error) {
	want := 3
	if name == "datepart" || name == "datename" {
		want = 2
	}
	if len(x.Args) != want {
		return value{}, argumentCount(x, want)
	}
	col, ok := x.Args[0].(*tsql.Col)
	unit := ""
	if ok && len(col.Name) == 1 {
		unit = dateParts[strings.ToLower(col.Name[0])]
	}
	if unit == "" || unit == "week" || name == "datename" {
		return value{}, sqlError(155, "'%s' is not a recognized %s option.", kindName(x.Args[0]), name)
	}
	args, err := c.args(&tsql.Call{Args: x.Args[1:]})
	if err != nil {
		return value{}, err
	}
	at := dtoType
	rest := &tsql.Call{Name: x.Name}
	switch name {
	case "datepart":
		if args[0].typ.Kind == tds.DateTimeOffset {
			at = args[0].typ
		}
		return simple(intType, 1, []tds.Type{at}, func(_ *session, v []any) (any, error) { return datePart(unit, v[0].(time.Time)) })(c, rest, args)
	case "dateadd":
		t := args[1].typ
		if !t.Temporal() {
			t = dtType
		}
		return simple(t, 2, []tds.Type{intType, t}, func(_ *session, v []any) (any, error) { return dateAdd(unit, v[0].(int64), v[1], t) })(c, rest, args)
	}
	ret := intType
	if name == "datediff_big" {
		ret = bigType
	}
	return simple(ret, 2, []tds.Type{at, at}, func(_ *session, v []any) (any, error) {
		n, err := dateDiff(unit, v[0].(time.Time), v[1].(time.Time))
		if err == nil && (n < intRange[ret.Kind][0] || n > intRange[ret.Kind][1]) {
			return nil, sqlError(535, "The datediff function resulted in an overflow. The number of dateparts separating two date/time instances is too large. Try to use datediff with a less precise datepart.")
		}
		return n, err
	})(c, rest, args)
}

func datePart(unit string, t time.Time) (any, error) {
	switch unit {
	case "year":
		return int64(t.Year()), nil
	case "quarter":
		return int64(t.Month()-1)/3 + 1, nil
	case "month":
		return int64(t.Month()), nil
	case "dayofyear":
		return int64(t.YearDay()), nil
	case "day":
		return int64(t.Day()), nil
	case "hour":
		return int64(t.Hour()), nil
	case "minute":
		return int64(t.Minute()), nil
	case "second":
		return int64(t.Second()), nil
	case "millisecond":
		return int64(t.Nanosecond() / 1e6), nil
	case "microsecond":
		return int64(t.Nanosecond() / 1e3), nil
	case "nanosecond":
		return int64(t.Nanosecond()), nil
	case "tzoffset":
		_, z := t.Zone()
		return int64(z / 60), nil
	}
	return nil, notInModel("the date part %s", unit)
}

var spans = map[string]time.Duration{
	"day": 24 * time.Hour, "dayofyear": 24 * time.Hour, "hour": time.Hour, "minute": time.Minute, "second": time.Second,
	"millisecond": time.Millisecond, "microsecond": time.Microsecond, "nanosecond": time.Nanosecond,
}

func dateAdd(unit string, n int64, v any, t tds.Type) (any, error) {
	at, ok := v.(time.Time)
	if !ok {
		return nil, notInModel("DATEADD to a time")
	}
	switch unit {
	case "year", "quarter", "month":
		months := n * map[string]int64{"year": 12, "quarter": 3, "month": 1}[unit]
		// The last day of the month, where there is no such day.
		y, m, d := at.Date()
		first := time.Date(y, m+time.Month(months), 1, at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), at.Location())
		last := first.AddDate(0, 1, -1).Day()
		return fitTime(first.AddDate(0, 0, min(d, last)-1), t, t)
	case "day", "dayofyear":
		return fitTime(at.AddDate(0, 0, int(n)), t, t)
	}
	span, ok := spans[unit]
	if !ok {
		return nil, notInModel("the date part %s", unit)
	}
	return fitTime(at.Add(time.Duration(n)*span), t, t)
}

// dateDiff counts the boundaries of the unit between two times.
func dateDiff(unit string, a, b time.Time) (int64, error) {
	switch unit {
	case "year":
		return int64(b.Year() - a.Year()), nil
	case "month":
		return int64(b.Year()-a.Year())*12 + int64(b.Month()) - int64(a.Month()), nil
	}
	span, ok := spans[unit]
	if !ok {
		return 0, notInModel("the date part %s", unit)
	}
	count := func(t time.Time) *big.Int {
		n := new(big.Int).Mul(big.NewInt(t.Unix()), big.NewInt(1e9))
		n.Add(n, big.NewInt(int64(t.Nanosecond())))
		return n.Div(n, big.NewInt(int64(span)))
	}
	d := new(big.Int).Sub(count(b), count(a))
	if !d.IsInt64() {
		return 0, sqlError(535, "The datediff function resulted in an overflow.")
	}
	return d.Int64(), nil
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
