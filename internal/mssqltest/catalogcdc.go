package mssqltest

import "slices"

func cdcViews() map[string]*view { //nolint:funlen // one view after the other
	return map[string]*view{
		"cdc.change_tables": {cdc: true, cols: cols("object_id", intType, "version?", intType, "source_object_id?", intType, "capture_instance", sysname,
			"start_lsn?", lsnType, "end_lsn?", lsnType, "supports_net_changes?", bitType, "has_drop_pending?", bitType, "role_name?", sysname,
			"index_name?", sysname, "filegroup_name?", sysname, "create_date?", dtType, "partition_switch", bitType),
			rows: func(_ *session, _ *Database, st *state) (out [][]any) {
				for _, in := range st.instances {
					out = append(out, []any{int64(in.objectID), int64(0), int64(in.sourceID), in.name, in.low().orNull(), nil, in.netChange, nil,
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
			after: func(st *state, from any, yield func([]any) bool) {
				k := 0
				if b, ok := from.([]byte); ok {
					k, _ = slices.BinarySearchFunc(st.times, b, func(r timeRow, b []byte) int { return compareBytes(r.lsn[:], b) })
				}
				row := make([]any, 5)
				for _, t := range st.times[k:] {
					row[0], row[1], row[2], row[3], row[4] = t.lsn.Bytes(), t.begin, t.end, t.tranID, t.beginLSN.orNull()
					if !yield(row) {
						break
					}
				}
			}},
		"sys.dm_cdc_log_scan_sessions": {cols: cols("session_id", intType, "start_time?", dtType, "end_time?", dtType, "duration?", intType, "scan_phase?", nvarchar(200),
			"error_count?", intType, "start_lsn?", nvarchar(23), "current_lsn?", nvarchar(23), "end_lsn?", nvarchar(23), "tran_count?", bigType,
			"last_commit_lsn?", nvarchar(23), "command_count?", bigType, "latency?", intType, "empty_scan_count?", intType),
			rows: func(_ *session, _ *Database, st *state) (out [][]any) {
				for _, x := range st.sessions {
					empty := int64(0)
					if x.empty {
						empty = 1
					}
					// Texts of LSNs end in a zero character here, as Debezium's check of them says.
					out = append(out, []any{x.id, datetime(x.begin), datetime(x.end), int64(0), "Done", x.errors, x.start.String() + "\x00", x.finish.String() + "\x00",
						x.finish.String() + "\x00", x.trans, x.finish.String() + "\x00", x.commands, x.latency, empty})
				}
				return out
			}},
		"sys.dm_cdc_errors": {cols: cols("session_id", intType, "phase_number", intType, "entry_time", dtType, "error_number", intType, "error_severity", intType,
			"error_state", intType, "error_message", nvarchar(1024)),
			rows: func(_ *session, _ *Database, st *state) (out [][]any) {
				for _, f := range st.failures {
					out = append(out, []any{f.session, int64(1), datetime(f.at), int64(f.err.Number), int64(f.err.Class), int64(f.err.State), f.err.Text})
				}
				return out
			}},
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
