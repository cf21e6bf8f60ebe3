package mysql

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"tributary/capture/mysql/binlog"
	"tributary/envelope"
)

// tableDef is a table as information_schema describes it.
type tableDef struct {
	ID      envelope.TableID `json:"id"`
	Columns []columnDef      `json:"columns"`
	Key     []string         `json:"key,omitempty"` // columns of the primary key, or of a unique index without null
	// Keys are the primary key and the unique ones, in the server's order.
	Keys    []keyDef `json:"keys,omitempty"`
	Charset string   `json:"charset,omitempty"` // the table's default character set
	Comment string   `json:"comment,omitempty"`
	// Versioned is the column that tells until when a row was current, of a
	// table with system versioning; "" = none.
	Versioned string `json:"versioned,omitempty"`
}

// same reports whether rows of both are encoded alike.
func (d *tableDef) same(o *tableDef) bool {
	if d.ID != o.ID || d.Versioned != o.Versioned || !slices.Equal(d.Key, o.Key) || len(d.Columns) != len(o.Columns) {
		return false
	}
	for i := range d.Columns {
		a, b := d.Columns[i], o.Columns[i]
		a.Expression, b.Expression = "", ""
		a.Written, b.Written, a.Increment, b.Increment, a.Told, b.Told = "", "", false, false, nil, nil
		if !reflect.DeepEqual(a, b) {
			return false
		}
	}
	return true
}

func (d *tableDef) column(name string) *columnDef {
	for i := range d.Columns {
		if d.Columns[i].Name == name {
			return &d.Columns[i]
		}
	}
	return nil
}

// errNoTable says that what has rows in the log is no table: a sequence.
var errNoTable = errors.New("not a table")

// catalog tells what tables look like now.
type catalog interface {
	// table returns nil for a table that does not exist, and errNoTable.
	table(ctx context.Context, id envelope.TableID) (*tableDef, error)
	// charset returns the character set of a collation, "" if it is unknown.
	charset(collation uint64) string
	// decoder returns how text of a character set becomes UTF-8.
	decoder(ctx context.Context, charset string) (binlog.Decoder, error)
	// utc converts a time from a time zone to UTC; "" when it cannot be done.
	utc(ctx context.Context, text, zone string) (string, error)
	// evaluate returns the values that expressions have with the columns of a
	// row, nil for NULL; columns are "literal AS name".
	evaluate(ctx context.Context, expressions, columns []string) ([][]byte, error)
	// reread returns columns of the rows, at most two, that conditions are true of:
	// in a state that has all that the log has.
	reread(ctx context.Context, id envelope.TableID, columns, where []string) ([][][]byte, error)
}

// serverCatalog reads information_schema.
type serverCatalog struct {
	conn      *conn
	maria     bool
	fullNames bool              // collations have two names (MariaDB 10.10 on)
	charsets  map[uint64]string // by collation
	decoders  map[string]*binlog.CharsetTable
}

func newServerCatalog(ctx context.Context, c *conn, maria bool) (*serverCatalog, error) {
	rows, err := c.table(ctx, "SELECT ID, CHARACTER_SET_NAME FROM information_schema.COLLATIONS WHERE ID IS NOT NULL")
	if err != nil {
		return nil, err
	}
	s := &serverCatalog{conn: c, maria: maria, charsets: make(map[uint64]string, len(rows))}
	if maria {
		// Asked for by itself: MariaDB 10.11 was seen to crash when information_schema
		// was asked for its own columns while others made and dropped tables.
		_, err := c.table(ctx, "SELECT FULL_COLLATION_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY LIMIT 1")
		if e := serverError(err); e != nil && e.Code == errNoColumn {
			err = nil
		} else if err == nil {
			s.fullNames = true
		}
		if err != nil {
			return nil, err
		}
	}
	for _, r := range rows {
		id, err := strconv.ParseUint(r[0], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("collation id %q: %w", r[0], err)
		}
		s.charsets[id] = r[1]
	}
	return s, nil
}

func (s *serverCatalog) charset(collation uint64) string { return s.charsets[collation] }

func (s *serverCatalog) utc(ctx context.Context, text, zone string) (string, error) {
	return s.conn.value(ctx, "SELECT CONVERT_TZ("+quote(text)+", "+quote(zone)+", '+00:00')")
}

func (s *serverCatalog) evaluate(ctx context.Context, expressions, columns []string) (out [][]byte, err error) {
	query := "SELECT " + strings.Join(expressions, ",") + " FROM (SELECT " + strings.Join(columns, ",") + ") r"
	err = s.conn.rows(ctx, query, func(cells [][]byte) error {
		for _, c := range cells {
			out = append(out, bytes.Clone(c))
		}
		return nil
	})
	if err != nil { // the query has values
		return nil, errors.New("the server cannot compute the expression with the values of a row")
	}
	return out, nil
}

// reread implements catalog. A transaction is in the log before the engine shows it to
// others: the lock waits for that, and is given up at once.
func (s *serverCatalog) reread(ctx context.Context, id envelope.TableID, columns, where []string) (out [][][]byte, err error) {
	query := "SELECT " + strings.Join(columns, ",") + " FROM " + tableName(id) + " WHERE " + strings.Join(where, " AND ") + " LIMIT 2 LOCK IN SHARE MODE"
	err = s.conn.rows(ctx, query, func(cells [][]byte) error {
		row := make([][]byte, len(cells))
		for i, c := range cells {
			row[i] = bytes.Clone(c)
		}
		out = append(out, row)
		return nil
	})
	return out, err
}

// systemSchemas are never captured.
const systemSchemas = "'mysql', 'information_schema', 'performance_schema', 'sys'"

// tables lists the tables that include takes, by name.
func (s *serverCatalog) tables(ctx context.Context, include func(envelope.TableID) bool) ([]envelope.TableID, error) {
	rows, err := s.conn.table(ctx, "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES"+
		" WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') AND TABLE_SCHEMA NOT IN ("+systemSchemas+")"+
		" ORDER BY TABLE_SCHEMA, TABLE_NAME")
	if err != nil {
		return nil, err
	}
	var out []envelope.TableID
	for _, r := range rows {
		id := envelope.TableID{Catalog: r[0], Name: r[1]}
		if include(id) {
			out = append(out, id)
		}
	}
	slices.SortFunc(out, func(a, b envelope.TableID) int { return strings.Compare(a.String(), b.String()) })
	return out, nil
}

func (s *serverCatalog) table(ctx context.Context, id envelope.TableID) (*tableDef, error) {
	where := " WHERE TABLE_SCHEMA = " + quote(id.Catalog) + " AND TABLE_NAME = " + quote(id.Name)
	d := &tableDef{ID: id}
	err := s.conn.rows(ctx, "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, EXTRA, CHARACTER_SET_NAME,"+
		" NUMERIC_PRECISION, NUMERIC_SCALE, DATETIME_PRECISION, CHARACTER_OCTET_LENGTH, COLUMN_COMMENT, GENERATION_EXPRESSION"+
		" FROM information_schema.COLUMNS"+where+" ORDER BY ORDINAL_POSITION", func(cells [][]byte) error {
		c := s.columnDef(cells)
		if s.maria && strings.EqualFold(string(cells[12]), "ROW END") {
			d.Versioned = c.Name
		}
		d.Columns = append(d.Columns, c)
		return nil
	})
	if err != nil || len(d.Columns) == 0 {
		return nil, err
	}
	kind, err := s.readTable(ctx, d, where)
	if err != nil {
		return nil, err
	}
	switch {
	case kind == "SYSTEM VERSIONED" && d.Versioned == "":
		d.hidePeriod()
	case kind == "SEQUENCE":
		return nil, errNoTable
	}
	if !s.maria {
		if err := s.readTimestampDefaults(ctx, d); err != nil {
			return nil, err
		}
	}
	return d, s.readKeys(ctx, d)
}

// readTable reads what is said of the table as a whole, and returns its kind.
func (s *serverCatalog) readTable(ctx context.Context, d *tableDef, where string) (kind string, err error) {
	err = s.conn.rows(ctx, "SELECT TABLE_TYPE, TABLE_COMMENT, (SELECT CHARACTER_SET_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY c"+
		" WHERE "+s.collationName()+" = TABLE_COLLATION LIMIT 1) FROM information_schema.TABLES"+where, func(cells [][]byte) error {
		kind, d.Comment, d.Charset = string(cells[0]), string(cells[1]), string(cells[2])
		return nil
	})
	return kind, err
}

// collationName is the column that has the whole name of a collation.
func (s *serverCatalog) collationName() string {
	if s.fullNames {
		return "c.FULL_COLLATION_NAME"
	}
	return "c.COLLATION_NAME"
}

// readTimestampDefaults reads the defaults of TIMESTAMP columns once more:
// MySQL's information_schema has them in the time zone of whoever made the
// table, SHOW CREATE TABLE in that of our session.
func (s *serverCatalog) readTimestampDefaults(ctx context.Context, d *tableDef) error {
	some := slices.ContainsFunc(d.Columns, func(c columnDef) bool { return c.DataType == "timestamp" && c.Default != nil })
	if !some {
		return nil
	}
	rows, err := s.conn.table(ctx, "SHOW CREATE TABLE "+tableName(d.ID))
	if err != nil || len(rows) == 0 || len(rows[0]) < 2 {
		return err
	}
	for line := range strings.Lines(rows[0][1]) {
		m := timestampDefault.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		c := d.column(strings.ReplaceAll(m[1], "``", "`"))
		if c != nil && c.DataType == "timestamp" && c.Default != nil {
			c.Default = &m[2]
		}
	}
	return nil
}

var timestampDefault = regexp.MustCompile("^\\s*`((?:[^`]|``)+)` timestamp.* DEFAULT '([-0-9:. ]+)'")

// hidePeriod adds the columns that the server keeps to itself but logs: from
// when and until when a row was current.
func (d *tableDef) hidePeriod() {
	for _, name := range []string{"row_start", "row_end"} {
		d.Columns = append(d.Columns, columnDef{Name: name, DataType: "timestamp", Full: "timestamp(6)", FSP: 6, Hidden: true, Excluded: true})
	}
	d.Versioned = "row_end"
}

func (s *serverCatalog) columnDef(cells [][]byte) columnDef {
	number := func(b []byte) int {
		n, _ := strconv.Atoi(string(b)) // NULL and BLOB's 4 GiB count as 0
		return n
	}
	d := columnDef{
		Name: string(cells[0]), DataType: strings.ToLower(string(cells[1])), Full: string(cells[2]),
		Nullable: string(cells[3]) == "YES", Charset: string(cells[6]),
		Increment: strings.Contains(strings.ToLower(string(cells[5])), "auto_increment"),
		Comment:   string(cells[11]), Precision: number(cells[7]), Scale: number(cells[8]), FSP: number(cells[9]),
	}
	d.Full, _, _ = strings.Cut(d.Full, " /*") // MariaDB says there that a column is compressed
	switch d.DataType {
	case "binary":
		d.Length = number(cells[10])
	case "bit":
		d.Length = d.Precision
	case "enum", "set":
		d.Members = members(d.Full)
	}
	if extra := strings.ToUpper(string(cells[5])); strings.Contains(extra, "VIRTUAL GENERATED") || strings.Contains(extra, "STORED GENERATED") {
		d.Expression = string(cells[12])
	}
	if cells[4] != nil {
		s.setDefault(&d, string(cells[4]), strings.ToUpper(string(cells[5])))
	}
	return d
}

// setDefault reads COLUMN_DEFAULT: MySQL has a literal's bare text there and
// marks expressions in EXTRA, MariaDB has SQL.
func (s *serverCatalog) setDefault(d *columnDef, text, extra string) {
	upper := strings.ToUpper(text)
	temporal := d.DataType == "timestamp" || d.DataType == "datetime"
	switch {
	case temporal && strings.HasPrefix(upper, "CURRENT_TIMESTAMP"):
		d.NoDefault = true
	case strings.Contains(extra, "DEFAULT_GENERATED"):
	case !s.maria:
		d.Default = &text
	case upper == "NULL":
	case strings.HasPrefix(text, "'"):
		text = unquote(text)
		d.Default = &text
	case strings.HasPrefix(text, "b'"):
		d.Default = &text
	default: // a number, or an expression
		if _, err := strconv.ParseFloat(text, 64); err == nil {
			d.Default = &text
		}
	}
}

// exclude marks the columns that the column filters leave out. Those of the key
// stay.
func (d *tableDef) exclude(cfg *settings) {
	for i := range d.Columns {
		c := &d.Columns[i]
		c.Excluded = c.Hidden || !slices.Contains(d.Key, c.Name) && !cfg.tables.Column(d.ID, c.Name)
	}
}

// quote writes a string literal of SQL.
func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", "''").Replace(s) + "'"
}

// identifier quotes a name.
func identifier(s string) string { return "`" + strings.ReplaceAll(s, "`", "``") + "`" }

// unquote reads a string literal of SQL.
func unquote(s string) string {
	s = strings.TrimSuffix(strings.TrimPrefix(s, "'"), "'")
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\'' && i+1 < len(s) && s[i+1] == '\'':
			i++
			b.WriteByte('\'')
		case s[i] == '\\' && i+1 < len(s):
			i++
			if at := strings.IndexByte("0nrtbZ", s[i]); at >= 0 {
				b.WriteByte("\x00\n\r\t\b\x1a"[at])
			} else {
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// members reads those of "enum('a','b,c','d”e')".
func members(full string) []string {
	out := []string{}
	at := strings.IndexByte(full, '(')
	if at < 0 {
		return out
	}
	for rest := full[at+1:]; strings.HasPrefix(rest, "'"); rest = strings.TrimPrefix(rest, ",") {
		end := 1
		for end < len(rest) && (rest[end] != '\'' || strings.HasPrefix(rest[end:], "''")) {
			if rest[end] == '\'' || rest[end] == '\\' {
				end++
			}
			end++
		}
		out = append(out, unquote(rest[:min(end+1, len(rest))]))
		rest = rest[min(end+1, len(rest)):]
	}
	return out
}
