package envelope

import "strings"

// SchemaChange is a statement that changed the schema of a database, or that
// would bring about what a snapshot found, as include.schema.changes has it.
type SchemaChange struct {
	Database string
	// Table is what source.table says: the tables that it is about, with
	// commas between them; nil is null.
	Table   *string
	DDL     string // "" with Schema = null
	Changes []TableChange
	// Schema is the table's schema, for databases that have such; "" = null.
	Schema string
}

// TableChange is what a SchemaChange does to one table.
type TableChange struct {
	Type  string // CREATE, ALTER or DROP
	ID    TableID
	Table *TableSchema // as it is afterwards, nil for a DROP
}

// TableSchema is a table as the schema-change topic describes it.
type TableSchema struct {
	Charset    string // default character set, "" = null
	PrimaryKey []string
	Columns    []ColumnSchema
	Comment    string // "" = null
}

// ColumnSchema is a column as the schema-change topic describes it. Its
// position is that in TableSchema.Columns, from 1 on.
type ColumnSchema struct {
	Name          string
	JDBCType      int32  // of java.sql.Types
	TypeName      string // "INT UNSIGNED"
	Expression    string // "INT UNSIGNED"
	Charset       string // "" = null
	Length        int32  // -1 = null
	Scale         int32  // -1 = null
	Optional      bool
	AutoIncrement bool
	Generated     bool
	Comment       string   // "" = null
	Default       *string  // nil = null
	Enum          []string // of ENUM and SET, each in quotes; nil = null
}

const (
	ddlSpace         = "io.debezium.connector.schema"
	nullString       = `"type":["null","string"],"default":null}`
	nullInt          = `"type":["null","int"],"default":null}`
	nullBoolean      = `"type":["null","boolean"],"default":null}`
	nullStrings      = `"type":["null",{"type":"array","items":"string"}],"default":null}`
	tableChangeItems = `{"type":"record","name":"Change","namespace":"` + ddlSpace + `","fields":[{"name":"type","type":"string"},{"name":"id","type":"string"},` +
		`{"name":"table","type":["null",{"type":"record","name":"Table","fields":[{"name":"defaultCharsetName",` + nullString + `,{"name":"primaryKeyColumnNames",` + nullStrings +
		`,{"name":"columns","type":{"type":"array","items":{"type":"record","name":"Column","fields":[{"name":"name","type":"string"},{"name":"jdbcType","type":"int"},{"name":"nativeType",` + nullInt +
		`,{"name":"typeName","type":"string"},{"name":"typeExpression",` + nullString + `,{"name":"charsetName",` + nullString + `,{"name":"length",` + nullInt + `,{"name":"scale",` + nullInt +
		`,{"name":"position","type":"int"},{"name":"optional",` + nullBoolean + `,{"name":"autoIncremented",` + nullBoolean + `,{"name":"generated",` + nullBoolean + `,{"name":"comment",` + nullString +
		`,{"name":"defaultValueExpression",` + nullString + `,{"name":"enumValues",` + nullStrings +
		`],"connect.version":1,"connect.name":"` + ddlSpace + `.Column"}}},{"name":"comment",` + nullString +
		`],"connect.version":1,"connect.name":"` + ddlSpace + `.Table"}],"default":null}],"connect.version":1,"connect.name":"` + ddlSpace + `.Change"}`
)

// schemaChange is the Format of changes of schemas.
func (f *Format) schemaChange() *EventFormat {
	b := &f.opts.Block
	w := newSchemaWriter()
	w.raw(`{"type":"record","name":"SchemaChangeValue","namespace":"` + b.Package + `","fields":[{"name":"source","type":`)
	w.source(b, b.Package)
	w.raw(`},{"name":"ts_ms","type":"long"},{"name":"databaseName",` + nullString + `,{"name":"schemaName",` + nullString + `,{"name":"ddl",` + nullString)
	w.raw(`,{"name":"tableChanges","type":{"type":"array","items":` + tableChangeItems + `}}],"connect.version":1,"connect.name":"` + b.Package + `.SchemaChangeValue"}`)
	return &EventFormat{
		Topic: f.opts.Naming.sanitize(f.opts.Naming.Prefix), ValueSchema: string(w.b),
		KeySchema: `{"type":"record","name":"SchemaChangeKey","namespace":"` + b.Package + `","fields":[{"name":"databaseName","type":"string"}],"connect.version":1,"connect.name":"` + b.Package + `.SchemaChangeKey"}`,
		key:       func(dst []byte, c *Change) []byte { return AppendString(dst, c.Event.Schema.Database) },
		value: func(dst []byte, c *Change) []byte {
			s := c.Event.Schema
			db := Block{Version: b.Version, Connector: b.Connector, Package: b.Package, Name: b.Name, Database: s.Database}
			table := &Table{ID: TableID{Schema: s.Schema}}
			if s.Schema != "" && s.Table != nil {
				table.ID.Name = *s.Table
			}
			for i := range b.Fields {
				f := &b.Fields[i]
				if f.Name == "table" && f.Nullable && s.Table != nil {
					dst = AppendString(append(dst, 2), *s.Table)
					continue
				}
				dst = appendSegments(dst, f.segments(&db, table), c)
			}
			dst = AppendLong(dst, floorDiv(c.TsNs, 1e6))
			dst = AppendString(append(dst, 2), s.Database)
			dst = appendNullable(dst, s.Schema)
			if s.Schema == "" {
				dst = AppendString(append(dst, 2), s.DDL)
			} else {
				dst = appendNullable(dst, s.DDL)
			}
			return s.appendChanges(dst)
		},
	}
}

func (s *SchemaChange) appendChanges(dst []byte) []byte {
	if len(s.Changes) > 0 {
		dst = AppendLong(dst, int64(len(s.Changes)))
		for i := range s.Changes {
			c := &s.Changes[i]
			dst = AppendString(AppendString(dst, c.Type), quotedID(c.ID))
			if c.Table == nil {
				dst = append(dst, 0)
			} else {
				dst = c.Table.append(append(dst, 2))
			}
		}
	}
	return append(dst, 0)
}

// quotedID is "db"."table".
func quotedID(id TableID) string {
	parts := id.parts()
	for i, p := range parts {
		parts[i] = `"` + strings.ReplaceAll(p, `"`, `""`) + `"`
	}
	return strings.Join(parts, ".")
}

func (t *TableSchema) append(dst []byte) []byte {
	dst = appendNullable(dst, t.Charset)
	dst = appendStrings(append(dst, 2), t.PrimaryKey)
	if len(t.Columns) > 0 {
		dst = AppendLong(dst, int64(len(t.Columns)))
		for i := range t.Columns {
			dst = t.Columns[i].append(dst, i+1)
		}
	}
	return appendNullable(append(dst, 0), t.Comment)
}

func (c *ColumnSchema) append(dst []byte, position int) []byte {
	dst = AppendInt(AppendString(dst, c.Name), c.JDBCType)
	dst = append(dst, 0) // nativeType
	dst = AppendString(dst, c.TypeName)
	dst = AppendString(append(dst, 2), c.Expression)
	dst = appendNullable(dst, c.Charset)
	for _, n := range []int32{c.Length, c.Scale} {
		if n < 0 {
			dst = append(dst, 0)
		} else {
			dst = AppendInt(append(dst, 2), n)
		}
	}
	dst = AppendInt(dst, int32(position)) //nolint:gosec // a table has few columns
	for _, v := range []bool{c.Optional, c.AutoIncrement, c.Generated} {
		dst = AppendBoolean(append(dst, 2), v)
	}
	dst = appendNullable(dst, c.Comment)
	if c.Default == nil {
		dst = append(dst, 0)
	} else {
		dst = AppendString(append(dst, 2), *c.Default)
	}
	if c.Enum == nil {
		return append(dst, 0)
	}
	return appendStrings(append(dst, 2), c.Enum)
}

func appendNullable(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, 0)
	}
	return AppendString(append(dst, 2), s)
}

func appendStrings(dst []byte, list []string) []byte {
	if len(list) > 0 {
		dst = AppendLong(dst, int64(len(list)))
		for _, s := range list {
			dst = AppendString(dst, s)
		}
	}
	return append(dst, 0)
}
