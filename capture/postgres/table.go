package postgres

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"tributary/capture"
	"tributary/envelope"
	"tributary/internal/fault"
)

// captured is a table version as it is decoded.
type captured struct {
	codec *envelope.Codec
	// unavailable has for each column the bare Avro form of the placeholder,
	// nil where the type has none.
	unavailable [][]byte
}

// null stands for a placeholder that is NULL. It is told by its length: no other
// one is empty.
var null = []byte{}

// builder makes tables of what the catalog and the log say.
type builder struct {
	modes       modes
	filter      *capture.Filter
	placeholder string // stands for a value that the log does not carry
	// warn is told of each column that is left out because its type has no
	// mapping; nil = nobody.
	warn func(id envelope.TableID, column, native string)
	// bad is told of values that are written as null; nil = they are errors.
	bad func(id envelope.TableID, col *envelope.Column, err error)
}

// table builds the table of the columns, in their order, leaving out those
// that the filter excludes and those whose type has no mapping. Columns of the
// key stay.
func (b *builder) table(id envelope.TableID, columns []columnInfo, key []string) (*captured, error) {
	t := &envelope.Table{ID: id}
	c := &captured{codec: &envelope.Codec{Table: t}}
	if b.bad != nil {
		c.codec.Bad = func(col *envelope.Column, err error) { b.bad(id, col, err) }
	}
	for _, info := range columns {
		inKey := slices.Contains(key, info.name)
		if !b.filter.Column(id, info.name) && !inKey {
			continue
		}
		m, ok := mapType(info.typ, &b.modes)
		if !ok {
			if inKey {
				return nil, errUnmapped(id, info.name, info.native)
			}
			if b.warn != nil {
				b.warn(id, info.name, info.native)
			}
			continue
		}
		col := envelope.Column{Name: info.name, Type: m.typ, Nullable: !info.notNull, Native: info.native, NullIsDefault: b.modes.defects.nulls}
		col.Default = defaultOf(&info, &col, m, &b.modes.defects)
		name, length, scale := info.typ.origin()
		col.Declared = &envelope.SourceType{Name: strings.ToUpper(name), Length: length, Scale: scale}
		t.Columns = append(t.Columns, col)
		c.codec.Columns = append(c.codec.Columns, m.encode)
		var u []byte
		switch d := &b.modes.defects; {
		case d.unavailable && !d.keeps(&info.typ, &m, b.modes.binaries):
			u = null
		case m.unavailable != nil:
			u = m.unavailable(b.placeholder)
		}
		c.unavailable = append(c.unavailable, u)
	}
	for _, name := range key {
		i := slices.IndexFunc(t.Columns, func(c envelope.Column) bool { return c.Name == name })
		if i < 0 {
			t.Key = nil // the key is newer than the columns
			return c, nil
		}
		t.Key = append(t.Key, i)
	}
	return c, nil
}

// defaultOf evaluates a default expression as far as it is a literal. One that
// calls a function counts as the zero of a type that has a natural one, as
// Debezium has it; others, and what does not fit, are no default at all. Neither
// is one of a domain, or of a type for which Debezium tells none.
func defaultOf(info *columnInfo, col *envelope.Column, m mapping, d *defects) []byte {
	if info.def == "" || m.noDefault || info.typ.declared != "" {
		return nil
	}
	literal, ok := parseLiteral(info.def)
	if d.defaults && !functionDefault.MatchString(info.def) {
		literal, ok = d.literal(info.def)
	}
	switch {
	case ok && literal == nil: // NULL
		return nil
	case ok && info.typ.enum != nil && !strings.HasSuffix(info.def, "::"+info.typ.name):
		return nil
	case ok:
		if v, err := m.encode(nil, literal); err == nil && finite(&col.Type, v) {
			return v
		}
		return nil
	case m.computed != nil && functionDefault.MatchString(info.def):
		return m.computed
	case m.zeroDefault && functionDefault.MatchString(info.def):
		return col.Type.AppendZero(nil)
	}
	return nil
}

// functionDefault is what calls a function.
var functionDefault = regexp.MustCompile(`(?i)^(\(?[a-z0-9_.]+\(.*\)|current_timestamp$|current_time$|current_date$|localtime$|localtimestamp$)`)

// finite reports whether JSON has a form for a default: it has none for NaN and
// infinity.
func finite(t *envelope.Type, v []byte) bool {
	const exponent32, exponent64 = 0xff << 23, 0x7ff << 52
	switch t.Kind {
	case envelope.Float:
		return binary.LittleEndian.Uint32(v)&exponent32 != exponent32
	case envelope.Double:
		return binary.LittleEndian.Uint64(v)&exponent64 != exponent64
	}
	return true
}

// parseLiteral reads a constant as pg_get_expr prints it: a number, true,
// false, NULL or a quoted string, each with casts behind or not. NULL is nil.
func parseLiteral(expr string) (value []byte, ok bool) {
	expr = strings.TrimSpace(expr)
	for len(expr) > 1 && expr[0] == '(' && closing(expr) == len(expr)-1 {
		expr = expr[1 : len(expr)-1]
	}
	var rest string
	if strings.HasPrefix(expr, "'") {
		var b strings.Builder
		i := 1
		for ; i < len(expr); i++ {
			if expr[i] == '\'' {
				if i+1 < len(expr) && expr[i+1] == '\'' {
					i++
				} else {
					break
				}
			}
			b.WriteByte(expr[i])
		}
		if i >= len(expr) {
			return nil, false
		}
		value, rest = []byte(b.String()), expr[i+1:]
	} else {
		word, casts, _ := strings.Cut(expr, "::")
		rest = ""
		if casts != "" {
			rest = "::" + casts
		}
		word = strings.Trim(word, "()")
		switch {
		case strings.EqualFold(word, "null"):
			return nil, true
		case word == "true" || word == "false" || number(word):
			value = []byte(word)
		default:
			return nil, false
		}
	}
	if rest != "" && (!strings.HasPrefix(rest, "::") || strings.ContainsAny(rest, "|+*/'")) {
		return nil, false // an operator follows: an expression
	}
	return value, true
}

// closing returns the index of the parenthesis that closes the first one.
func closing(s string) int {
	depth, quoted := 0, false
	for i := range len(s) {
		switch {
		case s[i] == '\'':
			quoted = !quoted
		case quoted:
		case s[i] == '(':
			depth++
		case s[i] == ')':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

func number(s string) bool {
	s = strings.TrimPrefix(s, "-")
	return s != "" && s[0] >= '0' && s[0] <= '9' && strings.Trim(s, "0123456789.eE+-") == ""
}

// errUnreadable names the tables that this user may not read.
func errUnreadable(tables []*tableInfo, user string) error {
	var names, grants []string
	for _, t := range tables {
		names = append(names, t.id.String())
		grants = append(grants, fmt.Sprintf("%s.%s", quoteIdent(t.id.Schema), quoteIdent(t.id.Name)))
	}
	return fault.Human(fmt.Errorf("user %s may not read %s", user, strings.Join(names, ", ")),
		fmt.Sprintf("GRANT SELECT ON %s TO %s (and USAGE on the schema)", strings.Join(grants, ", "), quoteIdent(user)))
}

func quoteIdent(s string) string   { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
func quoteLiteral(s string) string { return `'` + strings.ReplaceAll(s, `'`, `''`) + `'` }
