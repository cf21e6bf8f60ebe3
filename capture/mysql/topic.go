package mysql

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tributary/capture"
	"tributary/capture/mysql/ddl"
	"tributary/envelope"
)

// What is told of changes of schemas, in Debezium's form.

// tellStatement tells of a statement and its effects.
func (s *stream) tellStatement(q *query, st *ddl.Statement, effects []effect, source envelope.Source) error {
	if !s.cfg.SchemaChanges || s.skipping() {
		return nil
	}
	source.TsNs -= source.TsNs % 1e6 // as Debezium has it
	tell := func(database, tables, text string, changes ...envelope.TableChange) {
		batch := s.pipe.Acquire()
		appendSchemaChange(batch, &envelope.SchemaChange{Database: database, Table: &tables, DDL: text, Changes: changes}, source, s.now())
		s.tx.changes = true
		s.pipe.Release(false)
	}
	if len(effects) > 0 {
		for i := range effects {
			e := &effects[i]
			switch {
			case !s.cfg.tellsTable(e.id), s.cfg.OnlyTables && (st.Kind == ddl.CreateIndex || st.Kind == ddl.DropIndex): // as Debezium does
			case goneAfter(effects[i+1:], e.id):
				tell(e.id.Catalog, together(effects, e.id.Catalog), e.ddl)
			default:
				tell(e.id.Catalog, together(effects, e.id.Catalog), e.ddl, e.change(s.cfg))
			}
		}
		return nil
	}
	id := s.history.id(q.database, st.Table)
	switch {
	case st.Kind == ddl.Account, st.Kind == ddl.DropTable && st.Drops[0].Temporary, st.Create != nil && st.Create.Temporary:
	case (st.Kind == ddl.Truncate || st.Kind == ddl.View || st.Kind == ddl.Routine) && s.cfg.Version != "3.0" && s.cfg.Version != "":
	case st.Kind == ddl.View && hasWord([]byte(st.Text), "DROP"): // of no table, to Debezium
		if s.cfg.tellsDatabase(id.Catalog) && !s.cfg.OnlyTables {
			tell(id.Catalog, "", st.Text)
		}
	case st.Kind == ddl.Truncate, st.Kind == ddl.View:
		if s.cfg.tellsTable(id) {
			tell(id.Catalog, id.Name, st.Text)
		}
	case st.Kind == ddl.CreateDatabase, st.Kind == ddl.DropDatabase:
		if name := s.history.name(st.Database); s.cfg.tellsDatabase(name) {
			tell(name, "", st.Text)
		}
	case s.cfg.tellsDatabase(q.database) && !s.cfg.OnlyTables:
		tell(q.database, "", st.Text)
	}
	return nil
}

// goneAfter reports whether what follows in the same statement takes a table's
// name away: Debezium tells what there is at the end.
func goneAfter(effects []effect, id envelope.TableID) bool {
	gone := false
	for i := range effects {
		gone = (gone || effects[i].old == id) && effects[i].id != id
	}
	return gone
}

// together lists the tables of a database that a statement is about.
func together(effects []effect, database string) string {
	var names []string
	for i := range effects {
		if id := effects[i].id; id.Catalog == database && !slices.Contains(names, id.Name) {
			names = append(names, id.Name)
		}
	}
	return strings.Join(names, ",")
}

// change is the effect as the topic has it.
func (e *effect) change(cfg *settings) envelope.TableChange {
	c := envelope.TableChange{Type: e.kind, ID: e.id}
	if e.def != nil {
		c.Table = tableSchema(e.def, cfg.tellsComments())
	}
	return c
}

func appendSchemaChange(batch *capture.Batch, change *envelope.SchemaChange, source envelope.Source, now time.Time) {
	change.DDL = strings.ToValidUTF8(change.DDL, "\uFFFD")
	c := batch.Next()
	c.Op, c.Source, c.TsNs = envelope.DDL, source, now.UnixNano()
	c.Event = &envelope.Event{Schema: change}
}

// tell appends what is found, if that is wanted.
func (n *session) tell(ctx context.Context, batch *capture.Batch, at *position) error {
	if !n.cfg.SchemaChanges {
		return nil
	}
	if err := n.tellTables(ctx, batch, at); err != nil {
		return fmt.Errorf("describe the tables: %w", err)
	}
	return nil
}

// tellTables appends what a snapshot finds: the statements that would make the
// databases and tables.
func (n *session) tellTables(ctx context.Context, batch *capture.Batch, at *position) error {
	source := envelope.Source{Snapshot: envelope.SnapshotTrue, File: told(at.File, at.Epoch), Pos: int64(at.Pos)} //nolint:gosec // offsets fit
	tell := func(database string, table *string, text string, changes ...envelope.TableChange) {
		now := time.Now()
		source.TsNs = now.UnixNano()
		appendSchemaChange(batch, &envelope.SchemaChange{Database: database, Table: table, DDL: text, Changes: changes}, source, now)
	}
	ids, err := n.catalog.tables(ctx, n.cfg.tellsTable)
	if err != nil {
		return err
	}
	tell("", nil, "SET character_set_server="+n.history.server+", collation_server="+n.history.collate)
	for _, id := range ids {
		tell(id.Catalog, &id.Name, "DROP TABLE IF EXISTS "+tableName(id), envelope.TableChange{Type: "DROP", ID: id})
	}
	for i, id := range ids {
		if i == 0 || ids[i-1].Catalog != id.Catalog {
			collation, err := n.conn.value(ctx, "SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = "+quote(id.Catalog))
			if err != nil {
				return err
			}
			name := identifier(id.Catalog)
			tell(id.Catalog, nil, "DROP DATABASE IF EXISTS "+name)
			tell(id.Catalog, nil, "CREATE DATABASE "+name+" CHARSET "+n.history.charset(id.Catalog)+" COLLATE "+collation)
			tell(id.Catalog, nil, "USE "+name)
		}
		text, def, err := n.found(ctx, id)
		if err != nil {
			return err
		}
		if text != "" {
			tell(id.Catalog, &id.Name, withoutTail(text), envelope.TableChange{Type: "CREATE", ID: id, Table: tableSchema(def, n.cfg.tellsComments())})
		}
	}
	return nil
}

// withoutTail leaves out a comment at the end, in which MySQL has partitions:
// Debezium's statements end with their last word.
func withoutTail(text string) string {
	if at := strings.LastIndex(text, "/*"); at > 0 && strings.HasSuffix(text, "*/") {
		return strings.TrimRight(text[:at], " \n")
	}
	return text
}

// found is what the server says of a table, "" if it was dropped just now.
func (n *session) found(ctx context.Context, id envelope.TableID) (text string, def *tableDef, err error) {
	rows, err := n.conn.table(ctx, "SHOW CREATE TABLE "+tableName(id))
	if code(err) == errNoSuchTable || denied(err) {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, err
	}
	if len(rows) == 0 || len(rows[0]) < 2 {
		return "", nil, nil
	}
	if def = n.history.defs[id.String()]; def == nil {
		if def, err = n.describe(ctx, id, rows[0][1]); def == nil || err != nil {
			return "", nil, err
		}
	}
	return rows[0][1], def, nil
}

// describe reads the definition of a table out of its SHOW CREATE TABLE, and
// asks information_schema only when that cannot be read.
func (n *session) describe(ctx context.Context, id envelope.TableID, text string) (*tableDef, error) {
	st, err := n.history.parser.Parse(text, ddl.Mode{})
	if err == nil && st.Create != nil {
		n.history.apply(id.Catalog, st)
		if def := n.history.defs[id.String()]; def != nil {
			return def, nil
		}
	}
	def, err := n.catalog.table(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("read the definition of table %s: %w", id, err)
	}
	n.history.set(id, def)
	return def, nil
}

// tellsComments reports whether comments are told. Debezium's connector for
// MariaDB does it always.
func (s *settings) tellsComments() bool { return s.Comments || s.maria() }

func tableSchema(d *tableDef, comments bool) *envelope.TableSchema {
	t := &envelope.TableSchema{Charset: d.Charset, PrimaryKey: d.Key}
	if comments {
		t.Comment = d.Comment
	}
	for i := range d.Columns {
		if c := &d.Columns[i]; !c.Hidden {
			t.Columns = append(t.Columns, columnSchema(c, comments))
		}
	}
	return t
}

func columnSchema(d *columnDef, comments bool) envelope.ColumnSchema {
	head, args, tail := d.written()
	c := envelope.ColumnSchema{
		Name: d.Name, JDBCType: jdbcType(head), TypeName: head + tail, Charset: d.Charset, Length: -1, Scale: -1,
		Optional: d.Nullable, AutoIncrement: d.Increment, Generated: d.Increment,
	}
	switch {
	case d.DataType == "enum":
		c.Length = 1
	case d.DataType == "set":
		c.Length = int32(max(0, 2*len(d.Members)-1)) //nolint:gosec // at most 64
	case len(args) > 0:
		c.Length = int32(min(args[0], 1<<31-1)) //nolint:gosec // bounded
		if len(args) > 1 {
			c.Scale = int32(args[1]) //nolint:gosec // at most 30
		}
	}
	switch head {
	case "DECIMAL", "NUMERIC", "DEC", "FIXED":
		if c.Scale < 0 {
			c.Scale = 0
		}
		if c.Length < 0 {
			c.Length = 10
		}
	case "BIT":
		c.Length = max(c.Length, 1)
	case "SERIAL":
		c.TypeName = "BIGINT UNSIGNED"
	}
	c.Expression = c.TypeName
	for _, m := range d.Members {
		c.Enum = append(c.Enum, member(m))
	}
	if comments {
		c.Comment = d.Comment
	}
	c.Default = d.toldDefault()
	return c
}

func member(s string) string { return "'" + escaped(s) + "'" }

// toldDefault is the default as the topic has it: as it stands in the
// statement, without the quotes around it.
func (d *columnDef) toldDefault() *string {
	var text string
	switch {
	case d.NoDefault:
		text = "1970-01-01 00:00:00"
	case d.Default == nil || binaryTypes[d.DataType]:
		return nil
	case d.Told != nil:
		text = escaped(*d.Told)
	case d.DataType == "bit":
		text = strings.TrimSuffix(strings.TrimPrefix(*d.Default, "b'"), "'")
	default:
		text = escaped(*d.Default)
	}
	return &text
}

// escaped is a text as it stands between quotes.
func escaped(s string) string { return strings.NewReplacer("'", "''", `\`, `\\`).Replace(s) }

// written parts the type: "DECIMAL", 10 and 2, " UNSIGNED".
func (d *columnDef) written() (head string, args []int, tail string) {
	text := d.Written
	if text == "" {
		text = strings.ToUpper(d.Full)
	}
	if d.Members != nil {
		return strings.ToUpper(d.DataType), nil, ""
	}
	head, rest, ok := strings.Cut(text, "(")
	if !ok {
		for _, w := range []string{" SIGNED", " UNSIGNED", " ZEROFILL"} {
			if i := strings.Index(head, w); i > 0 {
				return head[:i], nil, head[i:]
			}
		}
		return head, nil, ""
	}
	list, tail, _ := strings.Cut(rest, ")")
	for a := range strings.SplitSeq(list, ",") {
		v, _ := strconv.Atoi(strings.TrimSpace(a)) // the server has checked it
		args = append(args, v)
	}
	return head, args, tail
}

// jdbcTypes are the numbers of java.sql.Types that Debezium gives types.
var jdbcTypes = map[string]int32{
	"TINYINT": 5, "INT1": 5, "SMALLINT": 5, "INT2": 5, "MEDIUMINT": 4, "INT3": 4, "MIDDLEINT": 4, "INT": 4, "INTEGER": 4, "INT4": 4,
	"BIGINT": -5, "INT8": -5, "SERIAL": -5, "REAL": 7, "DOUBLE": 8, "DOUBLE PRECISION": 8, "FLOAT8": 8, "FLOAT": 6, "FLOAT4": 6,
	"DECIMAL": 3, "DEC": 3, "FIXED": 3, "NUMERIC": 2, "BIT": -7, "BOOL": 16, "BOOLEAN": 16,
	"DATE": 91, "TIME": 92, "DATETIME": 93, "TIMESTAMP": 2014, "YEAR": 4,
	"CHAR": 1, "CHARACTER": 1, "VARCHAR": 12, "CHAR VARYING": 12, "CHARACTER VARYING": 12, "TINYTEXT": 12, "TEXT": 12, "MEDIUMTEXT": 12, "LONGTEXT": 12,
	"LONG": 12, "LONG VARCHAR": 12, "NCHAR": -15, "NATIONAL CHAR": -15, "NATIONAL CHARACTER": -15, "NVARCHAR": -9, "NATIONAL VARCHAR": -9, "NCHAR VARCHAR": -9,
	"ENUM": 1, "SET": 1, "BINARY": -2, "VARBINARY": -3, "TINYBLOB": 2004, "BLOB": 2004, "MEDIUMBLOB": 2004, "LONGBLOB": 2004, "LONG VARBINARY": 2004,
}

func jdbcType(name string) int32 {
	if n, ok := jdbcTypes[name]; ok {
		return n
	}
	return 1111 // OTHER
}
