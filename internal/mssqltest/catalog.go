package mssqltest

import (
	"maps"
	"slices"
	"strings"
	"time"

	"tributary/internal/mssqltest/tds"
)

// viewColumn is a column of a system view; a ? at the end of the name marks it nullable.
type viewColumn struct {
	name string
	typ  tds.Type
}

// view is a system view: its rows are computed from the model when it is read.
type view struct {
	cols     []viewColumn
	rows     func(s *session, db *Database, st *state) [][]any
	cdc      bool  // exists only where CDC is enabled
	services bool  // does not exist on Azure SQL Database
	orders   []int // the column by which it is ordered
}

func (c *compiler) systemView(db *Database, st *state, schema, name string) *relation {
	v, ok := c.s.srv.views[strings.ToLower(schema)+"."+strings.ToLower(name)]
	if ok && strings.EqualFold(schema, "dbo") && db.name != "msdb" {
		ok = false
	}
	if !ok || v.cdc && !st.cdc || v.services && c.s.srv.azure() {
		return nil
	}
	r := &relation{seek: -1}
	for i, col := range v.cols {
		n, nullable := strings.CutSuffix(col.name, "?")
		r.cols = append(r.cols, scol{name: n, typ: col.typ, nullable: nullable, index: i})
	}
	if v.orders != nil {
		r.orders, r.seek = [][]int{v.orders}, v.orders[0]
	}
	r.scan = func(_ *env, from any, yield func([]any) bool) error {
		for _, row := range v.rows(c.s, db, st) {
			if from != nil && compare(row[r.seek], from) < 0 {
				continue
			}
			if !yield(row) {
				break
			}
		}
		return nil
	}
	return r
}

// TypeRow is what sys.types says of a type.
type typeRow struct {
	name                           string
	system, user                   int64
	max, precision, scale          int64
	collated, nullable, assemblies bool
}

// From a recorded sys.types of a server.
var typeRows = []typeRow{
	{"image", 34, 34, 16, 0, 0, false, true, false}, {"text", 35, 35, 16, 0, 0, true, true, false},
	{"uniqueidentifier", 36, 36, 16, 0, 0, false, true, false}, {"date", 40, 40, 3, 10, 0, false, true, false},
	{"time", 41, 41, 5, 16, 7, false, true, false}, {"datetime2", 42, 42, 8, 27, 7, false, true, false},
	{"datetimeoffset", 43, 43, 10, 34, 7, false, true, false}, {"tinyint", 48, 48, 1, 3, 0, false, true, false},
	{"smallint", 52, 52, 2, 5, 0, false, true, false}, {"int", 56, 56, 4, 10, 0, false, true, false},
	{"smalldatetime", 58, 58, 4, 16, 0, false, true, false}, {"real", 59, 59, 4, 24, 0, false, true, false},
	{"money", 60, 60, 8, 19, 4, false, true, false}, {"datetime", 61, 61, 8, 23, 3, false, true, false},
	{"float", 62, 62, 8, 53, 0, false, true, false}, {"sql_variant", 98, 98, 8016, 0, 0, false, true, false},
	{"ntext", 99, 99, 16, 0, 0, true, true, false}, {"bit", 104, 104, 1, 1, 0, false, true, false},
	{"decimal", 106, 106, 17, 38, 38, false, true, false}, {"numeric", 108, 108, 17, 38, 38, false, true, false},
	{"smallmoney", 122, 122, 4, 10, 4, false, true, false}, {"bigint", 127, 127, 8, 19, 0, false, true, false},
	{"hierarchyid", 240, 128, 892, 0, 0, false, true, true}, {"geometry", 240, 129, -1, 0, 0, false, true, true},
	{"geography", 240, 130, -1, 0, 0, false, true, true}, {"varbinary", 165, 165, 8000, 0, 0, false, true, false},
	{"varchar", 167, 167, 8000, 0, 0, true, true, false}, {"binary", 173, 173, 8000, 0, 0, false, true, false},
	{"char", 175, 175, 8000, 0, 0, true, true, false}, {"timestamp", 189, 189, 8, 0, 0, false, false, false},
	{"nvarchar", 231, 231, 8000, 0, 0, true, true, false}, {"sysname", 231, 256, 256, 0, 0, true, false, false},
	{"nchar", 239, 239, 8000, 0, 0, true, true, false}, {"xml", 241, 241, -1, 0, 0, false, true, false},
}

func typeRowOf(t tds.Type) typeRow {
	for _, r := range typeRows {
		if r.name == string(t.Kind) && !t.Sysname || t.Sysname && r.name == "sysname" {
			return r
		}
	}
	panic("no row in sys.types for " + string(t.Kind))
}

var timeLength = [8]int64{3, 3, 3, 4, 4, 5, 5, 5}

// facets are max_length, precision and scale as sys.columns has them.
func facets(t tds.Type) (length, precision, scale int64) {
	r := typeRowOf(t)
	length, precision, scale = r.max, r.precision, r.scale
	s := int64(t.Scale)
	dot := int64(0)
	if s > 0 {
		dot = s + 1
	}
	switch t.Kind {
	case tds.DecimalKind, tds.Numeric:
		precision, scale = int64(t.Precision), s
		length = map[bool]int64{true: 5, false: 9}[t.Precision <= 9]
		if t.Precision > 19 {
			length = 13
		}
		if t.Precision > 28 {
			length = 17
		}
	case tds.Time:
		length, precision, scale = timeLength[s], 8+dot, s
	case tds.DateTime2:
		length, precision, scale = timeLength[s]+3, 19+dot, s
	case tds.DateTimeOffset:
		length, precision, scale = timeLength[s]+5, 26+dot, s
	case tds.Char, tds.VarChar, tds.NChar, tds.NVarChar, tds.Binary, tds.VarBinary:
		length = int64(t.Length)
	}
	return length, precision, scale
}

const serverCollation = "SQL_Latin1_General_CP1_CI_AS"

func collationOf(t tds.Type, collate string) any {
	switch {
	case !t.Character() || t.Kind == tds.XML:
		return nil
	case collate != "":
		return collate
	case t.UTF8:
		return "Latin1_General_100_CI_AS_SC_UTF8"
	}
	return serverCollation
}

// object is a table or change table, as the catalog lists them.
type object struct {
	id      int64
	schema  string
	name    string
	created time.Time
	shipped bool
	columns []*column
	table   *table
}

func objects(st *state) []object {
	var out []object
	for _, t := range st.sorted() {
		out = append(out, object{int64(t.id), t.schema, t.name, t.created, false, t.columns, t})
	}
	for _, in := range st.instances {
		o := object{id: int64(in.objectID), schema: "cdc", name: in.name + "_CT", created: in.created, shipped: true}
		r := changeTable(in)
		for i, c := range r.cols {
			o.columns = append(o.columns, &column{id: i + 1, name: c.name, typ: c.typ, nullable: c.nullable})
		}
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b object) int { return int(a.id - b.id) })
	return out
}

func strOrNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func cols(spec ...any) []viewColumn {
	var out []viewColumn
	for i := 0; i < len(spec); i += 2 {
		out = append(out, viewColumn{spec[i].(string), spec[i+1].(tds.Type)})
	}
	return out
}

// allViews are the views by "schema.name" in lower case.
func allViews() map[string]*view {
	out := map[string]*view{}
	for _, m := range []map[string]*view{serverViews(), objectViews(), informationViews(), cdcViews()} {
		maps.Copy(out, m)
	}
	return out
}

func serverViews() map[string]*view {
	return map[string]*view{
		"sys.databases": {cols: cols("name", sysname, "database_id", intType, "source_database_id?", intType, "create_date", dtType,
			"compatibility_level", tinyType, "collation_name?", sysname, "is_read_only?", bitType, "state?", tinyType, "state_desc?", nvarchar(60),
			"snapshot_isolation_state?", tinyType, "snapshot_isolation_state_desc?", nvarchar(60), "is_read_committed_snapshot_on?", bitType,
			"recovery_model?", tinyType, "recovery_model_desc?", nvarchar(60), "is_cdc_enabled", bitType, "replica_id?", guidType),
			rows: func(s *session, _ *Database, _ *state) (out [][]any) {
				for _, db := range s.srv.databases() {
					st := db.st.Load()
					level, word := int64(0), "OFF"
					if st.snapshot {
						level, word = 1, "ON"
					}
					out = append(out, []any{db.name, db.id, nil, datetime(db.created), int64(160), serverCollation, false, int64(0), "ONLINE",
						level, word, st.rcsi, int64(1), "FULL", st.cdc, nil})
				}
				return out
			}},
		"sys.types": {cols: cols("name", sysname, "system_type_id", tinyType, "user_type_id", intType, "schema_id", intType, "max_length", smallType,
			"precision", tinyType, "scale", tinyType, "collation_name?", sysname, "is_nullable?", bitType, "is_user_defined", bitType,
			"is_assembly_type", bitType, "is_table_type", bitType),
			rows: func(*session, *Database, *state) (out [][]any) {
				for _, t := range typeRows {
					var coll any
					if t.collated {
						coll = serverCollation
					}
					out = append(out, []any{t.name, t.system, t.user, int64(4), t.max, t.precision, t.scale, coll, t.nullable, false, t.assemblies, false})
				}
				return out
			}},
		"sys.dm_server_services": {services: true, cols: cols("servicename", nvarchar(256), "startup_type?", intType, "startup_type_desc", nvarchar(256),
			"status?", intType, "status_desc", nvarchar(256), "process_id?", intType, "last_startup_time?", dtoType, "service_account", nvarchar(256)),
			rows: func(s *session, _ *Database, _ *state) [][]any {
				agent, word := int64(4), "Running"
				if !s.srv.agentRuns() {
					agent, word = 1, "Stopped"
				}
				return [][]any{
					{"SQL Server (MSSQLSERVER)", int64(2), "Automatic", int64(4), "Running", int64(1000), nil, "NT Service\\MSSQLSERVER"},
					{"SQL Server Agent (MSSQLSERVER)", int64(2), "Automatic", agent, word, nil, nil, "NT Service\\SQLSERVERAGENT"},
				}
			}},
		"sys.dm_exec_sessions": {cols: cols("session_id", smallType, "login_time", dtType, "host_name?", nvarchar(128), "program_name?", nvarchar(128),
			"login_name", nvarchar(128), "status", nvarchar(30), "is_user_process", bitType, "database_id", smallType, "open_transaction_count", intType),
			rows: func(s *session, _ *Database, _ *state) (out [][]any) {
				for _, x := range s.srv.Sessions() {
					out = append(out, []any{int64(x.ID), datetime(x.Since), x.Host, x.App, x.User, "running", true, int64(1), int64(0)})
				}
				return out
			}},
	}
}

func objectViews() map[string]*view {
	base := cols("name", sysname, "object_id", intType, "principal_id?", intType, "schema_id", intType, "parent_object_id", intType,
		"type", char(2), "type_desc?", nvarchar(60), "create_date", dtType, "modify_date", dtType, "is_ms_shipped", bitType)
	objectRow := func(st *state, o object) []any {
		return []any{o.name, o.id, nil, st.schemaID(o.schema), int64(0), "U ", "USER_TABLE", datetime(o.created), datetime(o.created), o.shipped}
	}
	return map[string]*view{
		"sys.schemas": {cols: cols("name", sysname, "schema_id", intType, "principal_id?", intType),
			rows: func(_ *session, _ *Database, st *state) (out [][]any) {
				for _, x := range st.schemas {
					out = append(out, []any{x.name, x.id, int64(1)})
				}
				return out
			}},
		"sys.objects": {cols: base, rows: func(_ *session, _ *Database, st *state) (out [][]any) {
			for _, o := range objects(st) {
				out = append(out, objectRow(st, o))
			}
			return out
		}},
		"sys.tables": {cols: append(slices.Clone(base), cols("is_tracked_by_cdc?", bitType, "is_memory_optimized?", bitType, "temporal_type?", tinyType,
			"is_external", bitType, "is_replicated?", bitType)...),
			rows: func(_ *session, _ *Database, st *state) (out [][]any) {
				for _, o := range objects(st) {
					out = append(out, append(objectRow(st, o), len(st.tracked(int32(o.id))) > 0, false, int64(0), false, false))
				}
				return out
			}},
		"sys.columns": {cols: cols("object_id", intType, "name?", sysname, "column_id", intType, "system_type_id", tinyType, "user_type_id", intType,
			"max_length", smallType, "precision", tinyType, "scale", tinyType, "collation_name?", sysname, "is_nullable?", bitType,
			"is_ansi_padded", bitType, "is_rowguidcol", bitType, "is_identity", bitType, "is_computed", bitType, "is_filestream", bitType,
			"default_object_id", intType, "is_sparse?", bitType, "is_column_set?", bitType, "generated_always_type?", tinyType,
			"is_hidden?", bitType, "encryption_type?", intType, "is_masked", bitType),
			rows: columnRows},
		"sys.computed_columns": {cols: cols("object_id", intType, "name?", sysname, "column_id", intType, "definition?", nmaxType, "is_persisted", bitType),
			rows: func(_ *session, _ *Database, st *state) (out [][]any) {
				for _, t := range st.sorted() {
					for _, c := range t.columns {
						if c.computed != nil {
							out = append(out, []any{int64(t.id), c.name, int64(c.id), c.compText, false})
						}
					}
				}
				return out
			}},
		"sys.identity_columns": {cols: cols("object_id", intType, "name?", sysname, "column_id", intType, "seed_value?", bigType, "increment_value?", bigType, "last_value?", bigType),
			rows: func(_ *session, _ *Database, st *state) (out [][]any) {
				for _, t := range st.sorted() {
					for _, c := range t.columns {
						if i := c.identity; i != nil {
							var last any
							if i.used.Load() {
								last = i.last.Load()
							}
							out = append(out, []any{int64(t.id), c.name, int64(c.id), i.seed, i.step, last})
						}
					}
				}
				return out
			}},
		"sys.default_constraints": {cols: cols("name", sysname, "object_id", intType, "schema_id", intType, "parent_object_id", intType, "type", char(2),
			"type_desc?", nvarchar(60), "is_ms_shipped", bitType, "parent_column_id", intType, "definition?", nmaxType, "is_system_named", bitType),
			rows: func(_ *session, _ *Database, st *state) (out [][]any) {
				for _, t := range st.sorted() {
					for _, c := range t.columns {
						if c.def != nil {
							out = append(out, []any{c.defName, int64(c.defID), st.schemaID(t.schema), int64(t.id), "D ", "DEFAULT_CONSTRAINT", false,
								int64(c.id), c.defText, strings.HasPrefix(c.defName, "DF__")})
						}
					}
				}
				return out
			}},
		"sys.indexes": {cols: cols("object_id", intType, "name?", sysname, "index_id", intType, "type", tinyType, "type_desc?", nvarchar(60),
			"is_unique?", bitType, "data_space_id?", intType, "ignore_dup_key?", bitType, "is_primary_key?", bitType, "is_unique_constraint?", bitType,
			"fill_factor", tinyType, "is_padded?", bitType, "is_disabled?", bitType, "is_hypothetical?", bitType, "has_filter?", bitType, "filter_definition?", nmaxType),
			rows: indexRows},
		"sys.index_columns": {cols: cols("object_id", intType, "index_id", intType, "index_column_id", intType, "column_id", intType, "key_ordinal", tinyType,
			"partition_ordinal", tinyType, "is_descending_key?", bitType, "is_included_column?", bitType),
			rows: func(_ *session, _ *Database, st *state) (out [][]any) {
				for _, t := range st.sorted() {
					for _, x := range t.indexes {
						for i, name := range x.columns {
							c := t.columns[t.column(name)]
							out = append(out, []any{int64(t.id), int64(x.id), int64(i + 1), int64(c.id), int64(i + 1), int64(0), false, false})
						}
					}
				}
				return out
			}},
		"sys.key_constraints": {cols: cols("name", sysname, "object_id", intType, "schema_id", intType, "parent_object_id", intType, "type", char(2),
			"type_desc?", nvarchar(60), "unique_index_id?", intType, "is_system_named?", bitType),
			rows: func(_ *session, _ *Database, st *state) (out [][]any) {
				for _, t := range st.sorted() {
					for _, x := range t.indexes {
						kind, word := "UQ", "UNIQUE_CONSTRAINT"
						if x.primary {
							kind, word = "PK", "PRIMARY_KEY_CONSTRAINT"
						}
						if x.primary || x.unqConstr {
							out = append(out, []any{x.name, int64(x.objectID), st.schemaID(t.schema), int64(t.id), kind, word, int64(x.id), strings.Contains(x.name, "__")})
						}
					}
				}
				return out
			}},
		"sys.partitions": {cols: cols("partition_id", bigType, "object_id", intType, "index_id", intType, "partition_number", intType, "rows?", bigType),
			rows: func(_ *session, _ *Database, st *state) (out [][]any) {
				for _, t := range st.sorted() {
					out = append(out, []any{int64(t.id) << 16, int64(t.id), clusteredID(t), int64(1), count(t.root)})
				}
				return out
			}},
		"sys.dm_db_partition_stats": {cols: cols("partition_id?", bigType, "object_id", intType, "index_id", intType, "partition_number", intType, "row_count?", bigType),
			rows: func(_ *session, _ *Database, st *state) (out [][]any) {
				for _, t := range st.sorted() {
					out = append(out, []any{int64(t.id) << 16, int64(t.id), clusteredID(t), int64(1), count(t.root)})
				}
				return out
			}},
	}
}

func count(n *node) int64 {
	if n == nil {
		return 0
	}
	return 1 + count(n.left) + count(n.right)
}

// clusteredID is 1 for a table with a clustered index and 0 for a heap.
func clusteredID(t *table) int64 {
	if slices.ContainsFunc(t.indexes, func(i *index) bool { return i.clustered }) {
		return 1
	}
	return 0
}

func columnRows(_ *session, _ *Database, st *state) (out [][]any) {
	for _, o := range objects(st) {
		for _, c := range o.columns {
			t := typeRowOf(c.typ)
			length, precision, scale := facets(c.typ)
			out = append(out, []any{o.id, c.name, int64(c.id), t.system, t.user, length, precision, scale, collationOf(c.typ, c.collate), c.nullable,
				true, false, c.identity != nil, c.computed != nil, false, int64(c.defID), false, false, int64(0), false, nil, false})
		}
	}
	return out
}

func indexRows(_ *session, _ *Database, st *state) (out [][]any) {
	row := func(id int64, name any, index, kind int64, word string, unique, primary, constraint bool) {
		out = append(out, []any{id, name, index, kind, word, unique, int64(1), false, primary, constraint, int64(0), false, false, false, false, nil})
	}
	for _, t := range st.sorted() {
		if clusteredID(t) == 0 {
			row(int64(t.id), nil, 0, 0, "HEAP", false, false, false)
		}
		for _, x := range t.indexes {
			if x.clustered {
				row(int64(t.id), x.name, int64(x.id), 1, "CLUSTERED", x.unique, x.primary, x.unqConstr)
			} else {
				row(int64(t.id), x.name, int64(x.id), 2, "NONCLUSTERED", x.unique, x.primary, x.unqConstr)
			}
		}
	}
	return out
}

func informationViews() map[string]*view {
	return map[string]*view{
		"information_schema.schemata": {cols: cols("CATALOG_NAME?", sysname, "SCHEMA_NAME?", sysname, "SCHEMA_OWNER?", sysname),
			rows: func(_ *session, db *Database, st *state) (out [][]any) {
				for _, x := range st.schemas {
					out = append(out, []any{db.name, x.name, "dbo"})
				}
				return out
			}},
		"information_schema.tables": {cols: cols("TABLE_CATALOG?", sysname, "TABLE_SCHEMA?", sysname, "TABLE_NAME", sysname, "TABLE_TYPE?", varchar(10)),
			rows: func(_ *session, db *Database, st *state) (out [][]any) {
				for _, o := range objects(st) {
					out = append(out, []any{db.name, o.schema, o.name, "BASE TABLE"})
				}
				return out
			}},
		"information_schema.columns": {cols: cols("TABLE_CATALOG?", sysname, "TABLE_SCHEMA?", sysname, "TABLE_NAME", sysname, "COLUMN_NAME?", sysname,
			"ORDINAL_POSITION?", intType, "COLUMN_DEFAULT?", nvarchar(4000), "IS_NULLABLE?", varchar(3), "DATA_TYPE?", sysname,
			"CHARACTER_MAXIMUM_LENGTH?", intType, "CHARACTER_OCTET_LENGTH?", intType, "NUMERIC_PRECISION?", tinyType, "NUMERIC_PRECISION_RADIX?", smallType,
			"NUMERIC_SCALE?", intType, "DATETIME_PRECISION?", smallType, "CHARACTER_SET_NAME?", sysname, "COLLATION_NAME?", sysname),
			rows: informationColumns},
		"information_schema.table_constraints": {cols: cols("CONSTRAINT_CATALOG?", sysname, "CONSTRAINT_SCHEMA?", sysname, "CONSTRAINT_NAME", sysname,
			"TABLE_CATALOG?", sysname, "TABLE_SCHEMA?", sysname, "TABLE_NAME?", sysname, "CONSTRAINT_TYPE?", varchar(11)),
			rows: func(_ *session, db *Database, st *state) (out [][]any) {
				for _, t := range st.sorted() {
					for _, x := range t.indexes {
						kind := "UNIQUE"
						if x.primary {
							kind = "PRIMARY KEY"
						}
						if x.primary || x.unqConstr {
							out = append(out, []any{db.name, t.schema, x.name, db.name, t.schema, t.name, kind})
						}
					}
				}
				return out
			}},
		"information_schema.key_column_usage": {cols: cols("CONSTRAINT_CATALOG?", sysname, "CONSTRAINT_SCHEMA?", sysname, "CONSTRAINT_NAME", sysname,
			"TABLE_CATALOG?", sysname, "TABLE_SCHEMA?", sysname, "TABLE_NAME?", sysname, "COLUMN_NAME?", sysname, "ORDINAL_POSITION", intType),
			rows: func(_ *session, db *Database, st *state) (out [][]any) {
				for _, t := range st.sorted() {
					for _, x := range t.indexes {
						for i, name := range x.columns {
							if x.primary || x.unqConstr {
								out = append(out, []any{db.name, t.schema, x.name, db.name, t.schema, t.name, name, int64(i + 1)})
							}
						}
					}
				}
				return out
			}},
	}
}

func informationColumns(_ *session, db *Database, st *state) (out [][]any) {
	for _, o := range objects(st) {
		for i, c := range o.columns {
			null := "NO"
			if c.nullable {
				null = "YES"
			}
			length, precision, scale := facets(c.typ)
			var chars, octets, prec, radix, sc, dtp, set any
			switch t := c.typ; {
			case isOldLOB(t) && t.Kind != tds.NText:
				chars, octets = int64(2147483647), int64(2147483647)
			case t.Kind == tds.NText:
				chars, octets = int64(1073741823), int64(2147483646)
			case t.Kind == tds.XML, t.Character() && length < 0, t.Bytes() && length < 0:
				chars, octets = int64(-1), int64(-1)
			case t.Character():
				chars, octets = length, length
				if t.Unicode() {
					chars = length / 2
				}
			case t.Bytes():
				chars, octets = length, length
			case t.Integer(), t.Exact():
				prec, radix, sc = precision, int64(10), scale
			case t.Kind == tds.Real, t.Kind == tds.Float:
				prec, radix = precision, int64(2)
			case t.Temporal():
				dtp = scale
			}
			if c.typ.Unicode() && c.typ.Kind != tds.XML {
				set = "UNICODE"
			} else if c.typ.Character() && c.typ.Kind != tds.XML {
				set = "iso_1"
			}
			name := typeRowOf(c.typ).name
			if c.typ.Sysname {
				name = "nvarchar"
			}
			out = append(out, []any{db.name, o.schema, o.name, c.name, int64(i + 1), strOrNull(c.defText), null, name,
				chars, octets, prec, radix, sc, dtp, set, collationOf(c.typ, c.collate)})
		}
	}
	return out
}

func cdcViews() map[string]*view {
	return map[string]*view{
		"cdc.change_tables": {cdc: true, cols: cols("object_id", intType, "version?", intType, "source_object_id?", intType, "capture_instance", sysname,
			"start_lsn?", lsnType, "end_lsn?", lsnType, "supports_net_changes?", bitType, "has_drop_pending?", bitType, "role_name?", sysname,
			"index_name?", sysname, "filegroup_name?", sysname, "create_date?", dtType, "partition_switch", bitType),
			rows: func(_ *session, _ *Database, st *state) (out [][]any) {
				for _, in := range st.instances {
					out = append(out, []any{int64(in.objectID), int64(0), int64(in.sourceID), in.name, in.startLSN.orNull(), nil, in.netChange, nil,
						strOrNull(in.role), strOrNull(in.netIndex), nil, datetime(in.created), true})
				}
				return out
			}},
		"cdc.captured_columns": {cdc: true, cols: cols("object_id", intType, "column_name", sysname, "column_id?", intType, "column_type", sysname,
			"column_ordinal", intType, "is_computed?", bitType, "masking_function?", nvarchar(4000)),
			rows: func(_ *session, _ *Database, st *state) (out [][]any) {
				for _, in := range st.instances {
					for _, c := range in.columns {
						out = append(out, []any{int64(in.objectID), c.name, int64(c.id), typeRowOf(c.typ).name, int64(c.ordinal), c.computed != nil, nil})
					}
				}
				return out
			}},
		"cdc.index_columns": {cdc: true, cols: cols("object_id", intType, "column_name", sysname, "index_ordinal", tinyType, "column_id", intType),
			rows: func(_ *session, _ *Database, st *state) (out [][]any) {
				for _, in := range st.instances {
					t := st.tables[in.sourceID]
					if t == nil {
						continue
					}
					for _, x := range t.indexes {
						if x.name != in.netIndex {
							continue
						}
						for i, name := range x.columns {
							out = append(out, []any{int64(in.objectID), name, int64(i + 1), int64(t.columns[t.column(name)].id)})
						}
					}
				}
				return out
			}},
		"cdc.ddl_history": {cdc: true, cols: cols("source_object_id?", intType, "object_id", intType, "required_column_update?", bitType, "ddl_command?", nmaxType,
			"ddl_lsn", lsnType, "ddl_time?", dtType),
			rows: func(_ *session, db *Database, _ *state) (out [][]any) {
				db.mu.Lock()
				defer db.mu.Unlock()
				for _, d := range db.ddl {
					out = append(out, []any{int64(d.source), int64(d.object), d.update, d.command, d.lsn.Bytes(), datetime(d.at)})
				}
				return out
			}},
		"cdc.lsn_time_mapping": {cdc: true, orders: []int{0}, cols: cols("start_lsn", lsnType, "tran_begin_time?", dtType, "tran_end_time?", dtType,
			"tran_id?", varbinary(10), "tran_begin_lsn?", lsnType),
			rows: func(_ *session, _ *Database, st *state) (out [][]any) {
				for _, t := range st.times {
					out = append(out, []any{t.lsn.Bytes(), t.begin, t.end, t.tranID, t.beginLSN.orNull()})
				}
				return out
			}},
		"sys.dm_cdc_log_scan_sessions": {cols: cols("session_id", intType, "start_time?", dtType, "end_time?", dtType, "duration?", intType, "scan_phase?", nvarchar(200),
			"error_count?", intType, "start_lsn?", nvarchar(23), "current_lsn?", nvarchar(23), "end_lsn?", nvarchar(23), "tran_count?", bigType,
			"last_commit_lsn?", nvarchar(23), "command_count?", bigType, "empty_scan_count?", intType),
			rows: func(_ *session, _ *Database, st *state) (out [][]any) {
				for _, x := range st.sessions {
					empty := int64(0)
					if x.empty {
						empty = 1
					}
					// Texts of LSNs end in a zero character here, as Debezium's check of them says.
					out = append(out, []any{x.id, datetime(x.begin), datetime(x.end), int64(0), "Done", int64(0), x.start.String() + "\x00", x.finish.String() + "\x00",
						x.finish.String() + "\x00", x.trans, x.finish.String() + "\x00", x.commands, empty})
				}
				return out
			}},
		"sys.dm_cdc_errors": {cols: cols("session_id", intType, "phase_number", intType, "entry_time", dtType, "error_number", intType, "error_message", nvarchar(1024)),
			rows: func(*session, *Database, *state) [][]any { return nil }},
		"dbo.cdc_jobs": {cols: cols("database_id", intType, "job_type", nvarchar(20), "job_id?", guidType, "maxtrans?", intType, "maxscans?", intType,
			"continuous?", bitType, "pollinginterval?", bigType, "retention?", bigType, "threshold?", bigType),
			rows: func(s *session, _ *Database, _ *state) (out [][]any) {
				for _, db := range s.srv.databases() {
					for _, j := range jobs(db, db.st.Load()) {
						out = append(out, []any{db.id, j[0], j[1], j[3], j[4], j[5], j[6], j[7], j[8]})
					}
				}
				return out
			}},
	}
}
