package ddl

import (
	"strconv"
	"strings"
)

// standIns are the types that the parser does not know. Each stands in its text
// as a VARBINARY of a length that no column has.
var standIns = []string{
	"geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
	"geomcollection", "geometrycollection", "uuid", "inet4", "inet6",
}

const standInLength = 1 << 20

// writtenType is the type of a column as the statement has it.
type writtenType struct {
	column  string
	text    string // upper case: "NUMERIC(10,2) UNSIGNED"
	charset string // "" = not told
	collate string
	// expression is whether the default is one, which even a constant is in
	// parentheses.
	expression bool
	generated  string // the expression of a generated column
}

// The parser knows few character sets. These stand for all.
const (
	standInCharset = "utf8mb4"
	standInCollate = "utf8mb4_bin"
)

// typeWords are those with which a type may begin.
var typeWords = wordSet(`bit bool boolean tinyint int1 smallint int2 mediumint int3 middleint int integer int4 bigint int8
 real double float float4 float8 decimal dec fixed numeric number date time timestamp datetime year char character varchar nchar nvarchar
 national varbinary binary tinyblob blob mediumblob longblob tinytext text mediumtext longtext long enum set json serial vector varchar2 clob raw
 geometry point linestring polygon multipoint multilinestring multipolygon geomcollection geometrycollection uuid inet4 inet6`)

// moreWords may follow the first words of a type.
var moreWords = map[string]map[string]bool{
	"char": wordSet("varying"), "character": wordSet("varying"), "nchar": wordSet("varchar varying"),
	"national": wordSet("char character varchar"), "long": wordSet("varchar varbinary char"), "double": wordSet("precision"),
	"national char": wordSet("varying"), "national character": wordSet("varying"), "long char": wordSet("varying"),
}

func wordSet(list string) map[string]bool {
	out := make(map[string]bool)
	for w := range strings.FieldsSeq(list) {
		out[w] = true
	}
	return out
}

// rewriter makes of a statement one that the parser takes.
type rewriter struct {
	sql   string
	in    []token
	at    int
	out   []string
	types []writtenType

	depth   int  // of parentheses
	open    bool // within the definition of the column of the last type
	level   int  // the depth of that
	options []string
}

// rewritten is a statement as the parser takes it.
type rewritten struct {
	text  string
	types []writtenType // in order
	// options are the character sets and collations of tables and databases,
	// in order.
	options []string
}

func rewrite(sql string, in []token) rewritten {
	r := &rewriter{sql: sql, in: in}
	for r.at < len(in) {
		if r.special() {
			continue
		}
		t := r.peek(0)
		switch t.kind {
		case '(':
			r.depth++
		case ')':
			r.depth--
		}
		if r.open && (t.kind == ',' && r.depth == r.level || r.depth < r.level) {
			r.open = false
		}
		r.emit(t.text)
		r.at++
	}
	return rewritten{strings.Join(r.out, " "), r.types, r.options}
}

func (r *rewriter) emit(s string) {
	// What belongs to the token before must stay with it: a.b, @x, x'00'.
	n := len(r.out)
	if n > 0 && r.at > 0 && r.at < len(r.in) && r.in[r.at-1].at+len(r.in[r.at-1].text) == r.in[r.at].at {
		r.out[n-1] += s
		return
	}
	r.out = append(r.out, s)
}

// peek returns the token that is so many further, an empty one behind the end.
func (r *rewriter) peek(n int) *token {
	if i := r.at + n; i >= 0 && i < len(r.in) {
		return &r.in[i]
	}
	return &token{}
}

// special handles what the parser would not take, and notes types.
func (r *rewriter) special() bool {
	t, prev := r.peek(0), r.peek(-1)
	switch {
	case t.kind == word && r.charset():
		return true
	case t.is("default") && r.open && r.depth == r.level && r.peek(1).kind == '(':
		r.types[len(r.types)-1].expression = true
	case t.is("as") && r.open && r.depth == r.level && r.peek(1).kind == '(':
		r.generated()
	case t.oneOf("stored", "persistent") && r.open && r.depth == r.level:
		r.at++
		r.out = append(r.out, "STORED")
		return true
	case t.kind == word && r.typeHere():
		r.columnType()
		return true
	case t.is("start") && r.peek(1).is("transaction") && r.at+2 == len(r.in): // of CREATE TABLE … SELECT
		r.at += 2
		return true
	case t.is("or") && prev.is("create") && r.peek(1).is("replace") && r.peek(2).oneOf("table", "temporary"):
		r.at += 2
		return true
	case t.oneOf("online", "offline", "ignore") && prev.is("alter"):
		r.at++
		return true
	case t.oneOf("visible", "invisible") && prev.is("set"): // ALTER COLUMN c SET VISIBLE
		r.dropSpec()
		return true
	case t.oneOf("visible", "invisible") && prev.kind != ',' && prev.kind != '(' && prev.kind != '.' &&
		!prev.oneOf("column", "add", "modify", "change", "drop", "exists") && !r.peek(-2).is("index"):
		r.at++
		return true
	case t.is("srid") && r.peek(1).kind == number, t.is("ref_system_id") && r.peek(1).kind == '=':
		r.at += 2
		if t.is("ref_system_id") {
			r.at++
		}
		return true
	case t.is("compressed") && prev.kind != '=' && prev.kind != '.' && !prev.oneOf("row_format", "column"):
		if r.at++; r.peek(0).kind == '=' {
			r.at += 2
		}
		return true
	case t.is("spatial") && r.peek(1).oneOf("index", "key"):
		r.at++
		return true
	case t.oneOf("wait", "nowait") && (r.at+1 == len(r.in) || r.peek(1).kind == number): // MariaDB: how long to wait for locks
		if r.at++; r.peek(0).kind == number {
			r.at++
		}
		return true
	}
	return false
}

// charset handles CHARACTER SET x and COLLATE x: those of columns are taken out,
// others are replaced by what the parser knows.
func (r *rewriter) charset() bool {
	t, prev, n, instead := r.peek(0), r.peek(-1), 1, standInCharset
	switch {
	case t.oneOf("character", "char") && r.peek(1).is("set"):
		n = 2
	case t.is("charset"):
	case t.is("collate"):
		instead = standInCollate
	default:
		return false
	}
	if r.peek(n).kind == '=' {
		n++
	} else if n == 1 && (prev.kind == ',' || prev.kind == '(' || prev.kind == '.' || prev.oneOf("add", "column", "modify", "change", "drop", "exists")) {
		return false // a column of that name
	}
	value, ok := r.peek(n).name()
	if r.peek(n).kind == text {
		value, ok = strings.Trim(r.peek(n).text, `'"`), true
	}
	if !ok || strings.EqualFold(value, "default") {
		return false
	}
	value = strings.ToLower(value)
	switch {
	case r.open && r.depth > r.level: // in an expression
	case r.open:
		last := &r.types[len(r.types)-1]
		if instead == standInCollate {
			last.collate = value
		} else {
			last.charset = value
		}
		r.at += n + 1
		return true
	default:
		r.options = append(r.options, value)
	}
	for range n {
		r.out = append(r.out, r.peek(0).text)
		r.at++
	}
	r.out = append(r.out, instead)
	r.at++
	return true
}

// generated notes the expression that follows.
func (r *rewriter) generated() {
	depth := 0
	for n := 1; r.at+n < len(r.in); n++ {
		switch r.peek(n).kind {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				first, last := r.peek(1), r.peek(n)
				r.types[len(r.types)-1].generated = r.sql[first.at+1 : last.at]
				return
			}
		}
	}
}

// dropSpec makes one part of an ALTER, up to here, one that does nothing.
func (r *rewriter) dropSpec() {
	for n := len(r.out); n > 0; n-- {
		if strings.EqualFold(r.out[n-1], "alter") {
			r.out = append(r.out[:n-1], "FORCE")
			break
		}
	}
	r.at++
}

// typeHere reports whether the token is the first word of a column's type: it
// follows a name that follows what precedes columns.
func (r *rewriter) typeHere() bool {
	if !typeWords[strings.ToLower(r.peek(0).text)] {
		return false
	}
	name := r.peek(-1)
	if _, ok := name.name(); !ok {
		return false
	}
	if name.oneOf("index", "key", "column", "constraint", "unique", "fulltext", "spatial", "primary", "foreign", "check", "partition", "exists", "period", "add", "set", "references", "by", "like") {
		return false
	}
	at := -2
	if r.peek(-2).kind == '.' { // t.c, in old statements
		at = -4
	}
	before := r.peek(at)
	switch {
	case before.kind == '(', before.kind == ',', before.oneOf("add", "column", "modify", "exists"):
		return true
	}
	// CHANGE old new type
	if _, ok := before.name(); ok {
		return r.peek(at-1).is("change") || r.peek(at-1).is("column") && r.peek(at-2).is("change") ||
			r.peek(at-1).is("exists") && (r.peek(at-3).is("change") || r.peek(at-4).is("change"))
	}
	return false
}

// columnType notes a type, and puts another in its place if need be.
func (r *rewriter) columnType() {
	column, _ := r.peek(-1).name()
	first := strings.ToLower(r.peek(0).text)
	words, instead := first, ""
	for i, s := range standIns {
		if s == first {
			instead = "VARBINARY(" + strconv.Itoa(standInLength+i) + ")"
		}
	}
	take := func() string {
		t := r.peek(0).text
		if instead == "" {
			r.emit(t)
		}
		r.at++
		return t
	}
	take()
	for r.peek(0).kind == word && moreWords[words][strings.ToLower(r.peek(0).text)] {
		words += " " + strings.ToLower(take())
	}
	written := strings.ToUpper(words)
	if r.peek(0).kind == '(' && first != "enum" && first != "set" {
		for r.at < len(r.in) {
			t := take()
			if written += t; t == ")" {
				break
			}
		}
	}
	if instead != "" {
		r.out = append(r.out, instead)
	}
	// What follows is looked at only: the parser takes it.
	at := 0
	if first == "enum" || first == "set" {
		for at = 0; r.at+at < len(r.in) && r.peek(at).kind != ')'; at++ {
		}
		at++
	}
	for r.peek(at).oneOf("signed", "unsigned", "zerofill") {
		written += " " + strings.ToUpper(r.peek(at).text)
		at++
	}
	r.types = append(r.types, writtenType{column: column, text: written})
	r.open, r.level = true, r.depth
}
