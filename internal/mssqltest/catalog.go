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
	// after, where it is set, gives the rows from a value of that column on, instead
	// of rows: a row is good until the next.
	after func(st *state, from any, yield func([]any) bool)
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
		r.orders, r.seek, r.indexed = [][]int{v.orders}, v.orders[0], v.after != nil
	}
	r.scan = func(_ *env, from any, yield func([]any) bool) error {
		if v.after != nil {
			v.after(st, from, yield)
			return nil
		}
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

// objects are those that the user may see.
func (s *session) objects(db *Database, st *state) []object {
	var out []object
	for _, t := range st.sorted() {
		out = append(out, object{int64(t.id), t.schema, t.name, t.created, false, t.columns, t})
	}
	for _, in := range st.instances {
		out = append(out, object{int64(in.objectID), "cdc", in.name + "_CT", in.created, true, in.tableColumns(), nil})
	}
	if a := s.actor(db); !a.dbo() || a.own && len(*s.srv.denied.Load()) > 0 {
		out = slices.DeleteFunc(out, func(o object) bool { return !s.onSomething(db, &o) })
	}
	slices.SortFunc(out, func(a, b object) int { return int(a.id - b.id) })
	return out
}

// tables are those that the user may see, in the order of their ids.
func (s *session) tables(db *Database, st *state) (out []*table) {
	for _, o := range s.objects(db, st) {
		if o.table != nil {
			out = append(out, o.table)
		}
	}
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
	for _, m := range []map[string]*view{serverViews(), objectViews(), informationViews(), cdcViews(), securityViews()} {
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
			"login_name", nvarchar(128), "status", nvarchar(30), "is_user_process", bitType, "database_id", smallType, "open_transaction_count", intType,
			"transaction_isolation_level", smallType),
			rows: func(s *session, _ *Database, _ *state) (out [][]any) {
				for _, x := range s.srv.Sessions() {
					out = append(out, []any{int64(x.ID), datetime(x.Since), x.Host, x.App, x.User, "running", true, int64(1), int64(0), int64(x.Isolation)})
				}
				return out
			}},
	}
}
