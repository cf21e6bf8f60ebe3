package mysql

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/go-mysql-org/go-mysql/replication"

	"tributary/capture/mysql/binlog"
	"tributary/capture/mysql/ddl"
	"tributary/envelope"
	"tributary/internal/fault"
)

// query takes a statement: the brackets of a transaction, or DDL.
func (s *stream) query(h *binlog.Header, body []byte, start, end uint64) error {
	q, err := parseQuery(h.Type, body)
	if err != nil {
		return err
	}
	text := trimComments(q.Query)
	switch {
	case bytes.Equal(text, []byte("BEGIN")):
		if !s.tx.open { // a server without GTIDs, not even anonymous ones
			s.begin(gtid{}, start, 0)
		}
		s.tx.bracket = true
		if s.tx.gtid.seq == 0 { // Debezium does not tell MariaDB's
			s.tx.thread = int64(q.SlaveProxyID)
		}
		return nil
	case bytes.Equal(text, []byte("COMMIT")):
		return s.commit(end)
	case hasWord(text, "ROLLBACK"):
		if s.tx.changes {
			return fault.Humanf("let transactions that change captured tables use InnoDB tables only",
				"a transaction was rolled back in the log after it changed captured tables")
		}
		if bytes.EqualFold(text, []byte("ROLLBACK")) {
			return s.commit(end)
		}
		return nil
	case hasWord(text, "SAVEPOINT"):
		return nil
	case hasWord(text, "XA"):
		return s.xaStatement(text, start, end)
	}
	if isDML(text) {
		return s.statement(text)
	}
	if s.foreignTold(end) {
		s.old = true
	}
	if hasWord(text, "TRUNCATE") {
		s.truncate(h, string(q.Schema), text, start)
	}
	if len(text) > 0 {
		if err := s.ddl(newQuery(q), text, s.source(h, start)); err != nil {
			return err
		}
	}
	if bytes.HasSuffix(text, []byte("START TRANSACTION")) { // CREATE TABLE … SELECT: rows follow
		s.tx.bracket = true
	}
	if s.tx.bracket {
		return nil
	}
	return s.commit(end)
}

// truncate tells of a captured table's truncation.
func (s *stream) truncate(h *binlog.Header, schema string, text []byte, start uint64) {
	id := truncated(schema, string(text[len("TRUNCATE"):]))
	t := s.tables[id.String()]
	if t == nil || s.cfg.skipOp[envelope.Truncate] || s.old || s.skipping() {
		return
	}
	batch := s.pipe.Acquire()
	c := batch.Next()
	c.Op, c.Table, c.TsNs = envelope.Truncate, t.current().codec.Table, s.now().UnixNano()
	c.Source = s.source(h, start)
	s.tx.changes = true
	s.pipe.Release(false)
}

// truncated finds the table's name in what follows TRUNCATE.
func truncated(schema, rest string) envelope.TableID {
	rest = strings.TrimSpace(rest)
	if hasWord([]byte(rest), "TABLE") {
		rest = strings.TrimSpace(rest[len("TABLE"):])
	}
	name := func() string {
		if strings.HasPrefix(rest, "`") {
			end := 1
			for end < len(rest) && (rest[end] != '`' || strings.HasPrefix(rest[end:], "``")) {
				if rest[end] == '`' {
					end++
				}
				end++
			}
			v := strings.ReplaceAll(rest[1:min(end, len(rest))], "``", "`")
			rest = strings.TrimSpace(rest[min(end+1, len(rest)):])
			return v
		}
		end := strings.IndexAny(rest, ". \t\n;`/")
		if end < 0 {
			end = len(rest)
		}
		v := rest[:end]
		rest = strings.TrimSpace(rest[end:])
		return v
	}
	first := name()
	if strings.HasPrefix(rest, ".") {
		rest = strings.TrimSpace(rest[1:])
		return envelope.TableID{Catalog: first, Name: name()}
	}
	return envelope.TableID{Catalog: schema, Name: first}
}

// statement takes a change that the log has as the statement that made it.
func (s *stream) statement(text []byte) error {
	lower := bytes.ToLower(text)
	for name, t := range s.tables {
		if t != nil && bytes.Contains(lower, bytes.ToLower([]byte(t.current().def.ID.Name))) {
			return fault.Humanf("set binlog_format=ROW on the server and in all sessions, then take a new snapshot",
				"a statement that may change %s is logged as a statement, not as rows", name)
		}
	}
	return nil
}

func isDML(text []byte) bool {
	for _, w := range []string{"INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "WITH"} {
		if hasWord(text, w) {
			return true
		}
	}
	return false
}

// trimComments drops white space and comments before a statement.
func trimComments(text []byte) []byte {
	for {
		text = bytes.TrimSpace(text)
		switch {
		case bytes.HasPrefix(text, []byte("/*")) && !bytes.HasPrefix(text, []byte("/*!")):
			_, rest, ok := bytes.Cut(text, []byte("*/"))
			if !ok {
				return text
			}
			text = rest
		case bytes.HasPrefix(text, []byte("-- ")), bytes.HasPrefix(text, []byte("#")):
			_, rest, ok := bytes.Cut(text, []byte("\n"))
			if !ok {
				return text
			}
			text = rest
		default:
			return text
		}
	}
}

func parseQuery(typ byte, body []byte) (q *replication.QueryEvent, err error) {
	q = &replication.QueryEvent{}
	if err := decodeCold(q, body); err != nil || typ != binlog.TypeMariaQueryCompr {
		return q, err
	}
	q.Query, err = binlog.Decompress(q.Query)
	return q, err
}

// query is what matters of the session that made a statement.
type query struct {
	database string
	zone     string // the session's time zone, "" = it does not matter
	mode     ddl.Mode
}

// Kinds of what precedes a statement, as far as they are read, and bits of
// sql_mode.
const (
	statusFlags            = 0
	statusMode             = 1
	statusAuto             = 3
	statusCharset          = 4
	statusZone             = 5
	statusCatalog          = 6
	modeANSIQuotes         = 1 << 2
	modeNoBackslashEscapes = 1 << 20
)

func newQuery(e *replication.QueryEvent) *query {
	q := &query{database: string(e.Schema)}
	for v := e.StatusVars; len(v) > 0; {
		var size int
		switch v[0] {
		case statusFlags, statusAuto:
			size = 4
		case statusMode:
			size = 8
		case statusCharset:
			size = 6
		case statusZone, statusCatalog:
			if len(v) < 2 {
				return q
			}
			size = 1 + int(v[1])
		default: // what follows is of no interest
			return q
		}
		if len(v) < 1+size {
			return q
		}
		switch v[0] {
		case statusMode:
			bits := binary.LittleEndian.Uint64(v[1:])
			q.mode = ddl.Mode{ANSIQuotes: bits&modeANSIQuotes != 0, NoBackslashEscapes: bits&modeNoBackslashEscapes != 0}
		case statusZone:
			q.zone = string(v[2 : 1+size])
		}
		v = v[1+size:]
	}
	return q
}

// hasWord reports whether text begins with an upper-case word, in any case.
func hasWord(text []byte, word string) bool {
	if len(text) < len(word) || !bytes.EqualFold(text[:len(word)], []byte(word)) {
		return false
	}
	return len(text) == len(word) || text[len(word)] == ' ' || text[len(word)] == '\n' || text[len(word)] == '\t'
}

// noteDDL marks the captured tables that a statement may have changed: those
// whose name is in it, and all of a database whose name is. It returns them.
func (s *stream) noteDDL(schema string, text []byte) []envelope.TableID {
	names := identifiers(text)
	all := names["database"] || names["schema"]
	var ids []envelope.TableID
	for name, t := range s.tables {
		if t == nil { // may have become one of ours
			delete(s.tables, name)
			continue
		}
		id := t.current().def.ID
		if all || names[strings.ToLower(id.Name)] {
			s.log.Debug("statement may change a table", "table", id.String(), "database", schema)
			t.stale = true
			ids = append(ids, id)
		}
	}
	for name, d := range s.history.defs {
		if all || names[strings.ToLower(d.ID.Name)] { // the server knows
			delete(s.history.defs, name)
		}
	}
	clear(s.bounds)
	s.defs = nil
	slices.SortFunc(ids, func(a, b envelope.TableID) int { return strings.Compare(a.String(), b.String()) })
	return ids
}

// identifiers returns the names and key words of a statement, in lower case:
// what is not in a string or comment.
func identifiers(text []byte) map[string]bool {
	out := make(map[string]bool)
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '\'' || c == '"' || c == '`':
			name, n := quoted(text[i:])
			if i += n; c != '\'' { // " is a string, or with ANSI_QUOTES a name
				out[strings.ToLower(name)] = true
			}
		case bytes.HasPrefix(text[i:], []byte("/*")) && !bytes.HasPrefix(text[i:], []byte("/*!")) && !bytes.HasPrefix(text[i:], []byte("/*M!")):
			end := bytes.Index(text[i+2:], []byte("*/"))
			if end < 0 {
				return out
			}
			i += end + 4
		case inName(c):
			end := i
			for end < len(text) && inName(text[end]) {
				end++
			}
			out[strings.ToLower(string(text[i:end]))] = true
			i = end
		default:
			i++
		}
	}
	return out
}

func inName(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// quoted reads what begins with a quote; n counts the quotes too.
func quoted(text []byte) (name string, n int) {
	quote := text[0]
	var b strings.Builder
	for n = 1; n < len(text); n++ {
		switch {
		case text[n] == quote && n+1 < len(text) && text[n+1] == quote:
			n++
		case text[n] == quote:
			return b.String(), n + 1
		case text[n] == '\\' && quote != '`' && n+1 < len(text):
			n++
		}
		b.WriteByte(text[n])
	}
	return b.String(), n
}
