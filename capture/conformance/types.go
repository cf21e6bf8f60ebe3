package conformance

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// typeCase is a type with literals and what must become of them. Files below types
// have, for each, a line that is not indented:
//
//	decimal(12,2)
//		-12.50   => -12.50
//		NULL     => null
//	vector(3)  ? @mysql
//		…
//
// After two spaces may follow: ? for a type that not every server has, and @ with
// the database that it is for, which precedes what comes of a literal too where
// databases differ; a value may be in double quotes. A line that begins with ! is a statement to execute before.
type typeCase struct {
	name   string
	maybe  bool
	values []typeValue
}

// typeValue is a literal in SQL and the text of what must become of it.
type typeValue struct{ literal, want string }

// typeCases reads the types of a database, and the statements that they need.
func typeCases(kind string) (out []typeCase, before []string, err error) {
	names := []string{"common", kind}
	if kind == kindMariaDB {
		names = []string{"common", kindMySQL}
	}
	for _, name := range names {
		text, err := files.ReadFile(path.Join("types", name+".txt"))
		if err != nil {
			return nil, nil, fmt.Errorf("read types: %w", err)
		}
		list, do, err := parseTypes(string(text), kind)
		if err != nil {
			return nil, nil, fmt.Errorf("types of %s: %w", name, err)
		}
		out, before = append(out, list...), append(before, do...)
	}
	return out, before, nil
}

func parseTypes(text, kind string) (out []typeCase, before []string, err error) {
	taken := false // the type in work is for this database
	for n, line := range strings.Split(text, "\n") {
		indented := strings.HasPrefix(line, "\t")
		switch line = strings.TrimSpace(line); {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "!"):
			before = append(before, strings.TrimSpace(line[1:]))
		case !indented:
			name, flags, _ := strings.Cut(line, "  ")
			words := strings.Fields(flags)
			taken = !slices.ContainsFunc(words, func(w string) bool { return w[0] == '@' }) || slices.Contains(words, "@"+kind)
			if taken {
				out = append(out, typeCase{name: name, maybe: slices.Contains(words, "?")})
			}
		default:
			literal, want, ok := strings.Cut(line, "=>")
			if !ok || len(out) == 0 && taken {
				return nil, nil, fmt.Errorf("line %d is not LITERAL => VALUE", n+1)
			}
			want = strings.TrimSpace(want)
			if other, value, ok := strings.Cut(want, " "); ok && strings.HasPrefix(other, "@") {
				if other != "@"+kind {
					continue
				}
				want = strings.TrimSpace(value)
			}
			if strings.HasPrefix(want, `"`) {
				if want, err = strconv.Unquote(want); err != nil {
					return nil, nil, fmt.Errorf("line %d: %w", n+1, err)
				}
			}
			if taken {
				c := &out[len(out)-1]
				c.values = append(c.values, typeValue{strings.TrimSpace(literal), want})
			}
		}
	}
	return out, before, nil
}

// column is the name of the column for the i-th type.
func column(i int) string { return fmt.Sprintf("c%d", i+1) }

// typeTable is the statement that makes a table with a column for each type.
func typeTable(cases []typeCase) string {
	text := "CREATE TABLE {types} (id int NOT NULL PRIMARY KEY, touched int NULL"
	for i, c := range cases {
		text += ", " + column(i) + " " + c.name + " NULL"
	}
	return text + ")"
}

// typeRow is the statement that inserts the n-th values of all types, false if no
// type has so many.
func typeRow(cases []typeCase, n, id int) (string, bool) {
	columns, values := "id", fmt.Sprint(id)
	for i, c := range cases {
		if n < len(c.values) {
			columns += ", " + column(i)
			values += ", " + c.values[n].literal
		}
	}
	return "INSERT INTO {types} (" + columns + ") VALUES (" + values + ")", columns != "id"
}
