package ddl

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pingcap/tidb/pkg/parser"
	"github.com/pingcap/tidb/pkg/parser/ast"
	"github.com/pingcap/tidb/pkg/parser/mysql"
	_ "github.com/pingcap/tidb/pkg/parser/test_driver" // the values in its trees
)

// Mode is what of sql_mode decides how a statement is read.
type Mode struct {
	ANSIQuotes         bool // " quotes names
	NoBackslashEscapes bool
}

// Parser reads statements. It serves one goroutine at a time.
type Parser struct{ p *parser.Parser }

// New returns a Parser.
func New() *Parser { return &Parser{parser.New()} }

// Parse reads a statement. The error does not have the statement's text: it
// may hold values.
func (p *Parser) Parse(sql string, m Mode) (st *Statement, err error) {
	defer func() { // the library's trees are not ours to trust
		if r := recover(); r != nil {
			st, err = nil, fmt.Errorf("statement that the parser cannot read: %v", r)
		}
	}()
	in := behindSet(tokens(sql, m.ANSIQuotes, !m.NoBackslashEscapes))
	if len(in) == 0 {
		return &Statement{}, nil
	}
	last := &in[len(in)-1]
	if n := len(in); n > 2 && in[n-2].is("start") && last.is("transaction") { // of CREATE TABLE … SELECT
		last = &in[n-3]
	}
	st = &Statement{Text: sql[in[0].at : last.at+len(last.text)]}
	if st.Kind, err = kindOf(in); err != nil || st.Kind == Account || st.Kind == Routine || st.Kind == Other {
		return st, err
	}
	w := rewrite(sql, in)
	var mode mysql.SQLMode
	if m.ANSIQuotes {
		mode |= mysql.ModeANSIQuotes
	}
	if m.NoBackslashEscapes {
		mode |= mysql.ModeNoBackslashEscapes
	}
	p.p.SetSQLMode(mode)
	nodes, _, err := p.p.ParseSQL(w.text)
	if err != nil || len(nodes) != 1 {
		return nil, errUnread
	}
	c := converter{st: st, rewritten: w, in: in}
	if err := c.statement(nodes[0]); err != nil {
		return nil, err
	}
	return st, nil
}

var errUnread = errors.New("statement that the parser cannot read")

// behindSet drops MariaDB's SET STATEMENT … FOR.
func behindSet(in []token) []token {
	if len(in) < 2 || !in[0].is("set") || !in[1].is("statement") {
		return in
	}
	for i := range in {
		if in[i].is("for") && i+1 < len(in) {
			return in[i+1:]
		}
	}
	return in
}

// kindOf tells by the first words of a statement whether it is of interest.
func kindOf(in []token) (Kind, error) {
	has := func(keys ...string) bool {
		for i := 1; i < len(in) && i < 16; i++ {
			if in[i].oneOf(keys...) {
				return true
			}
			if in[i].kind == '(' || in[i].is("table") {
				return false
			}
		}
		return false
	}
	switch {
	case in[0].oneOf("grant", "revoke"):
		return Account, nil
	case in[0].is("set"):
		if len(in) > 1 && in[1].oneOf("password", "role", "default") {
			return Account, nil
		}
		return Other, nil
	case in[0].is("truncate"):
		return Truncate, nil
	case in[0].is("rename"):
		if has("user") {
			return Account, nil
		}
		return RenameTable, nil
	case !in[0].oneOf("create", "alter", "drop"):
		return Other, nil
	case len(in) < 2:
		return 0, errUnread
	case in[1].oneOf("user", "role") || in[1].is("or") && len(in) > 3 && in[3].oneOf("user", "role"):
		return Account, nil
	}
	return object(in), nil
}

// object is the kind of a CREATE, ALTER or DROP, by the first of the words that
// name what it is about.
func object(in []token) Kind {
	for i := 1; i < len(in); i++ {
		switch t := &in[i]; {
		case t.oneOf("table"):
			return AlterTable // the tree tells which
		case t.oneOf("database", "schema"):
			return AlterDatabase
		case t.is("index"):
			return CreateIndex
		case t.is("view"):
			return View
		case t.oneOf("function", "procedure", "trigger", "event", "package"):
			return Routine
		case t.oneOf("sequence", "server", "tablespace", "logfile", "undo", "instance", "resource", "spatial") && i == 1:
			return Other
		}
	}
	return Other
}

// converter makes of the parser's tree a Statement.
type converter struct {
	rewritten
	st *Statement
	in []token
}

// option returns what really stands where the parser saw a character set or a
// collation of a table or database.
func (c *converter) option(seen string) string {
	if seen = strings.ToLower(seen); (seen == standInCharset || seen == standInCollate) && len(c.options) > 0 {
		seen, c.options = c.options[0], c.options[1:]
	}
	return seen
}

func (c *converter) statement(n ast.StmtNode) error {
	st := c.st
	switch s := n.(type) {
	case *ast.CreateDatabaseStmt:
		st.Kind, st.Database, st.Charset = CreateDatabase, s.Name.O, c.databaseCharset(s.Options)
	case *ast.AlterDatabaseStmt:
		st.Kind, st.Database, st.Charset = AlterDatabase, s.Name.O, c.databaseCharset(s.Options)
	case *ast.DropDatabaseStmt:
		st.Kind, st.Database = DropDatabase, s.Name.O
	case *ast.CreateTableStmt:
		st.Kind = CreateTable
		return c.create(s)
	case *ast.AlterTableStmt:
		st.Kind, st.Table = AlterTable, name(s.Table)
		for _, spec := range s.Specs {
			if err := c.alter(spec); err != nil {
				return err
			}
		}
	case *ast.DropTableStmt:
		c.drop(s)
	case *ast.RenameTableStmt:
		return c.rename(s)
	case *ast.CreateIndexStmt:
		st.Kind, st.Table = CreateIndex, name(s.Table)
		if s.KeyType == ast.IndexKeyTypeUnique {
			st.Changes = []Change{{Kind: AddKey, Key: key(s.IndexName, false, s.IndexPartSpecifications)}}
		}
	case *ast.DropIndexStmt:
		st.Kind, st.Table = DropIndex, name(s.Table)
		st.Changes = []Change{{Kind: DropKey, Name: s.IndexName}}
	case *ast.TruncateTableStmt:
		st.Kind, st.Table = Truncate, name(s.Table)
	case *ast.CreateViewStmt:
		st.Kind, st.Table = View, name(s.ViewName)
	case *ast.CreateSequenceStmt, *ast.DropSequenceStmt, *ast.AlterSequenceStmt:
		st.Kind = Other
	default:
		return errUnread
	}
	return nil
}

func name(t *ast.TableName) Name { return Name{t.Schema.O, t.Name.O} }

func (c *converter) databaseCharset(list []*ast.DatabaseOption) string {
	charset := ""
	for _, o := range list {
		switch o.Tp {
		case ast.DatabaseOptionCharset:
			charset = c.option(o.Value)
		case ast.DatabaseOptionCollate:
			if v := c.option(o.Value); charset == "" {
				charset = CollationCharset(v)
			}
		}
	}
	return charset
}

// CollationCharset is the character set of a collation by its name, "" for
// those whose name does not tell.
func CollationCharset(collation string) string {
	set, _, _ := strings.Cut(strings.ToLower(collation), "_")
	if strings.HasPrefix(set, "uca1400") {
		return ""
	}
	return set
}

func (c *converter) drop(s *ast.DropTableStmt) {
	c.st.Kind = DropTable
	if s.IsView {
		c.st.Kind = View
		c.st.Table = name(s.Tables[0])
		return
	}
	// Each table gets a statement of its own, as Debezium tells it.
	at := 0
	for at < len(c.in) && !c.in[at].is("table") && !c.in[at].is("tables") {
		at++
	}
	if at++; at+1 < len(c.in) && c.in[at].is("if") && c.in[at+1].is("exists") {
		at += 2
	}
	d := Drop{Temporary: s.TemporaryKeyword != ast.TemporaryNone}
	if at < len(c.in) {
		d.Prefix = c.st.Text[:c.in[at].at-c.in[0].at]
	}
	if last := &c.in[len(c.in)-1]; last.oneOf("restrict", "cascade") {
		d.Suffix = " " + last.text
	}
	for _, t := range s.Tables {
		d.Table = name(t)
		c.st.Drops = append(c.st.Drops, d)
	}
}

func (c *converter) rename(s *ast.RenameTableStmt) error {
	c.st.Kind = RenameTable
	// The clauses' own text: cut at commas.
	start := 2
	if len(c.in) > 4 && c.in[2].is("if") {
		start = 4
	}
	if len(c.in) <= start {
		return errUnread
	}
	base := c.in[0].at
	prefix := c.st.Text[:c.in[start].at-base]
	var texts []string
	for i := start; i <= len(c.in); i++ {
		if i == len(c.in) || c.in[i].kind == ',' {
			last := &c.in[i-1]
			texts = append(texts, prefix+c.st.Text[c.in[start].at-base:last.at+len(last.text)-base])
			start = i + 1
		}
	}
	if len(texts) != len(s.TableToTables) {
		return errUnread
	}
	for i, t := range s.TableToTables {
		c.st.Renames = append(c.st.Renames, Rename{name(t.OldTable), name(t.NewTable), texts[i]})
	}
	return nil
}
