package mssqltest

import (
	"strings"
	"unicode/utf16"

	"tributary/internal/mssqltest/tds"
	"tributary/internal/mssqltest/tsql"
)

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
