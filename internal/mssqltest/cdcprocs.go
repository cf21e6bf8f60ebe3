package mssqltest

import (
	"fmt"
	"slices"
	"strings"

	"tributary/internal/mssqltest/tds"
)

func cdcProcedures() map[string]procedure {
	return map[string]procedure{
		"sp_cdc_enable_db":                forSysadmin(spEnableDB),
		"sp_cdc_disable_db":               forSysadmin(spDisableDB),
		"sp_cdc_enable_table":             forOwners(spEnableTable),
		"sp_cdc_disable_table":            forOwners(spDisableTable),
		"sp_cdc_help_change_data_capture": spHelpCapture,
		"sp_cdc_help_jobs":                forOwners(spHelpJobs),
		"sp_cdc_change_job":               forOwners(spChangeJob),
		"sp_cdc_start_job":                forOwners(func(s *session, db *Database, a []arg) error { return spJob(s, db, a, true) }),
		"sp_cdc_stop_job":                 forOwners(func(s *session, db *Database, a []arg) error { return spJob(s, db, a, false) }),
		"sp_cdc_cleanup_change_table":     forOwners(spCleanup),
		"rds_cdc_enable_db":               func(s *session, _ *Database, a []arg) error { return rdsCDC(s, a, spEnableDB) },
		"rds_cdc_disable_db":              func(s *session, _ *Database, a []arg) error { return rdsCDC(s, a, spDisableDB) },
	}
}

func rdsCDC(s *session, args []arg, f procedure) error {
	p, err := bind("rds_cdc_enable_db", args, "@db_name*")
	if err != nil {
		return err
	}
	db := s.srv.DB(p.text("@db_name", ""))
	if db == nil {
		return sqlError(911, "Database '%s' does not exist. Make sure that the name is entered correctly.", p.text("@db_name", ""))
	}
	if !s.owner(db) {
		return notOwner()
	}
	return f(s, db, nil)
}

func notOwner() *Error {
	return sqlError(22904, "Caller is not authorized to initiate the requested action. DBO privileges are required.")
}

func notEnabled(db *Database) error {
	return sqlError(22901, "The database '%s' is not enabled for Change Data Capture. Ensure that the correct database context is set and retry the operation. To report on the databases enabled for Change Data Capture, query the is_cdc_enabled column in the sys.databases catalog view.", db.name)
}

// forSysadmin is a procedure for members of sysadmin; on Azure SQL Database, where
// there are none, for db_owner.
func forSysadmin(f procedure) procedure {
	return func(s *session, db *Database, args []arg) error {
		if !s.isSysadmin() && (!s.srv.azure() || !s.owner(db)) {
			return sqlError(22902, "Caller is not authorized to initiate the requested action. Sysadmin privileges are required.")
		}
		return f(s, db, args)
	}
}

// forOwners is a procedure for members of db_owner. Where change data capture is not
// enabled, the procedure says so to everybody.
func forOwners(f procedure) procedure {
	return func(s *session, db *Database, args []arg) error {
		if db.st.Load().cdc && !s.owner(db) {
			return notOwner()
		}
		return f(s, db, args)
	}
}

func spEnableDB(s *session, db *Database, _ []arg) error {
	return db.change(func(d *state) error {
		if d.cdc {
			return sqlError(22905, "Database '%s' is already enabled for Change Data Capture. Ensure that the correct database context is set, and retry the operation.", db.name)
		}
		if d.hasSchema("cdc") || d.security.find("cdc") != nil {
			return sqlError(22906, "The database '%s' cannot be enabled for Change Data Capture because a database user named 'cdc' or a schema named 'cdc' already exists in the current database. These objects are required exclusively by Change Data Capture. Drop or rename the user or schema and retry the operation.", db.name)
		}
		d.cdc, d.security = true, d.security.clone()
		d.addSchema("cdc", d.security.add(principal{name: "cdc", created: s.srv.now()}))
		return nil
	})
}

func spDisableDB(_ *session, db *Database, _ []arg) error {
	return db.change(func(d *state) error {
		d.cdc, d.captureJob, d.cleanupJob = false, false, false
		for _, in := range d.instances {
			d.security = d.security.forget(ofObject, int64(in.objectID), 0)
		}
		d.instances, d.times, d.sessions = nil, nil, nil
		d.dropSchema("cdc")
		if p := d.security.find("cdc"); p != nil {
			d.security = d.security.clone()
			d.security.remove(p.id)
		}
		db.log = nil
		return nil
	})
}

func spEnableTable(s *session, db *Database, args []arg) error {
	p, err := bind("sp_cdc_enable_table", args, "@source_schema*", "@source_name*", "@role_name*", "@capture_instance", "@supports_net_changes",
		"@index_name", "@captured_column_list", "@filegroup_name", "@allow_partition_switch")
	if err != nil {
		return err
	}
	if !db.st.Load().cdc {
		return notEnabled(db)
	}
	schema, name := p.text("@source_schema", ""), p.text("@source_name", "")
	tb := db.st.Load().find(schema, name)
	if tb == nil {
		return sqlError(22931, "Source table '%s.%s' does not exist in the current database. Ensure that the correct database context is set. Specify a valid schema and table name for the database.", schema, name)
	}
	// No transaction may be writing the table meanwhile.
	if _, err := s.srv.locks.lockTable(s.ctx, s.tx, s.lockTimeout, db, tb.id); err != nil {
		return err
	}
	return db.change(func(d *state) error {
		err := enableTable(s, db, d, d.tables[tb.id], p)
		if d.agentRunning && s.srv.atOnce() {
			d.establish()
		}
		return err
	})
}

func enableTable(s *session, db *Database, d *state, t *table, p params) error {
	in := &instance{name: p.text("@capture_instance", t.schema+"_"+t.name), sourceID: t.id, created: s.srv.now(), role: p.text("@role_name", "")}
	if d.instance(in.name) != nil {
		return sqlError(22926, "Could not create a capture instance because the capture instance name '%s' already exists in the current database. Specify an explicit unique name for the parameter @capture_instance.", in.name)
	}
	if len(d.tracked(t.id)) >= 2 {
		return sqlError(22962, "Two capture instances already exist for source table '%s.%s'. A table can have at most two capture instances. If the current tracking options are not appropriate, disable change tracking for the obsolete instance by using sys.sp_cdc_disable_table and retry the operation.", t.schema, t.name)
	}
	want := p.text("@captured_column_list", "")
	names := map[string]bool{}
	if want != "" {
		for _, n := range strings.Split(want, ",") {
			n = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(n), "["), "]")
			if t.column(n) < 0 {
				return sqlError(22923, "Column '%s' specified in the captured column list could not be identified in the source table '%s.%s'.", n, t.schema, t.name)
			}
			names[strings.ToLower(n)] = true
		}
	}
	for _, c := range t.columns {
		if want == "" || names[strings.ToLower(c.name)] {
			in.columns = append(in.columns, captured{*c.copied(), len(in.columns) + 1})
		}
	}
	if pk := t.primary(); pk != nil {
		in.netIndex = pk.name
	}
	in.netChange = p.number("@supports_net_changes", toInt(in.netIndex != "")) == 1
	if in.netChange && in.netIndex == "" {
		return sqlError(22939, "The parameter @supports_net_changes is set to 1, but the source table does not have a primary key defined and no alternate unique index has been specified.")
	}
	if in.role != "" {
		if r := d.security.find(in.role); r == nil {
			d.security = d.security.clone()
			d.security.add(principal{name: in.role, role: true, owner: dboUser, created: s.srv.now()})
		} else if !r.role {
			return notInModel("a gating role with the name of a user")
		}
	}
	db.head.flush()
	in.startLSN = db.head.next()
	in.objectID, in.pending = db.object(), true
	d.instances = append(d.instances, in)
	slices.SortStableFunc(d.instances, func(a, b *instance) int { return int(a.objectID - b.objectID) })
	if !d.captureJob {
		d.captureJob, d.cleanupJob, d.agentRunning = true, true, true
		if err := s.out.message(&Error{Number: 22903, State: 1, Text: "Job 'cdc." + db.name + "_capture' started successfully."}); err != nil {
			return err
		}
		return s.out.message(&Error{Number: 22903, State: 1, Text: "Job 'cdc." + db.name + "_cleanup' started successfully."})
	}
	return nil
}

// copied is the column without what is the table's own.
func (c *column) copied() *column {
	n := *c
	n.identity, n.def, n.defText, n.defName, n.defID, n.mask = nil, nil, "", "", 0, ""
	return &n
}

func spDisableTable(s *session, db *Database, args []arg) error {
	p, err := bind("sp_cdc_disable_table", args, "@source_schema*", "@source_name*", "@capture_instance*")
	if err != nil {
		return err
	}
	st := db.st.Load()
	if !st.cdc {
		return notEnabled(db)
	}
	schema, name, inst := p.text("@source_schema", ""), p.text("@source_name", ""), p.text("@capture_instance", "")
	t := st.find(schema, name)
	if t == nil {
		return sqlError(22931, "Source table '%s.%s' does not exist in the current database. Ensure that the correct database context is set. Specify a valid schema and table name for the database.", schema, name)
	}
	if _, err := s.srv.locks.lockTable(s.ctx, s.tx, s.lockTimeout, db, t.id); err != nil {
		return err
	}
	return db.change(func(d *state) error {
		n := len(d.instances)
		d.instances = slices.DeleteFunc(d.instances, func(i *instance) bool {
			gone := i.sourceID == t.id && (strings.EqualFold(inst, "all") || strings.EqualFold(inst, i.name))
			if gone {
				d.security = d.security.forget(ofObject, int64(i.objectID), 0)
			}
			return gone
		})
		if n == len(d.instances) {
			return sqlError(22960, "Change data capture instance '%s' has not been enabled for the source table '%s.%s'. Use sys.sp_cdc_help_change_data_capture to verify the capture instance name and retry the operation.", inst, schema, name)
		}
		return nil
	})
}

func spHelpCapture(s *session, db *Database, args []arg) error {
	p, err := bind("sp_cdc_help_change_data_capture", args, "@source_schema", "@source_name")
	if err != nil {
		return err
	}
	st, err := s.state(db)
	if err != nil {
		return err
	}
	if !st.cdc {
		return notEnabled(db)
	}
	var rows [][]any
	for _, in := range st.instances {
		t := st.tables[in.sourceID]
		if !s.authorized(db, st, in) {
			continue // only what the caller may read is listed
		}
		if n := p.text("@source_name", ""); n != "" && (!strings.EqualFold(n, t.name) || !strings.EqualFold(p.text("@source_schema", "dbo"), t.schema)) {
			continue
		}
		var keys, all []string
		if pk := t.primary(); pk != nil {
			for _, c := range pk.columns {
				keys = append(keys, "["+c+"]")
			}
		}
		for _, c := range in.columns {
			all = append(all, "["+c.name+"]")
		}
		rows = append(rows, []any{t.schema, t.name, in.name, int64(in.objectID), int64(in.sourceID), in.low().orNull(), nil, in.netChange, nil,
			strOrNull(in.role), strOrNull(in.netIndex), nil, datetime(in.created), strOrNull(strings.Join(keys, ", ")), strings.Join(all, ", ")})
	}
	return s.result(cols("source_schema?", sysname, "source_table?", sysname, "capture_instance?", sysname, "object_id?", intType, "source_object_id?", intType,
		"start_lsn?", lsnType, "end_lsn?", lsnType, "supports_net_changes?", bitType, "has_drop_pending?", bitType, "role_name?", sysname,
		"index_name?", sysname, "filegroup_name?", sysname, "create_date?", dtType, "index_column_list?", nmaxType, "captured_column_list?", nmaxType), rows)
}

// jobs are the rows of the capture and the clean-up job.
func jobs(db *Database, st *state) (out [][]any) {
	id := func(n byte) tds.GUID {
		return tds.GUID{0x6A, byte(db.id), n, 1, 2, 3, 0x41, 0x42, 0x80, 1, 2, 3, 4, 5, 6, 7}
	}
	if st.captureJob {
		out = append(out, []any{"capture", id(1), "cdc." + db.name + "_capture", int64(500), int64(10), true, st.polling, int64(0), int64(0)})
	}
	if st.cleanupJob {
		out = append(out, []any{"cleanup", id(2), "cdc." + db.name + "_cleanup", int64(0), int64(0), false, int64(0), st.retention, st.threshold})
	}
	return out
}

func spHelpJobs(s *session, db *Database, _ []arg) error {
	st, err := s.state(db)
	if err != nil {
		return err
	}
	if !st.cdc {
		return notEnabled(db)
	}
	rows := jobs(db, st)
	if s.srv.azure() {
		rows = nil // a scheduler of Azure's own captures
	}
	for i, j := range rows {
		rows[i] = []any{j[1], j[0], j[2], j[3], j[4], j[5], j[6], j[7], j[8]}
	}
	return s.result(cols("job_id?", guidType, "job_type?", nvarchar(20), "job_name?", sysname, "maxtrans?", intType, "maxscans?", intType, "continuous?", bitType,
		"pollinginterval?", bigType, "retention?", bigType, "threshold?", bigType), rows)
}

func spChangeJob(_ *session, db *Database, args []arg) error {
	p, err := bind("sp_cdc_change_job", args, "@job_type", "@maxtrans", "@maxscans", "@continuous", "@pollinginterval", "@retention", "@threshold")
	if err != nil {
		return err
	}
	return db.change(func(d *state) error {
		if !d.cdc {
			return notEnabled(db)
		}
		if strings.EqualFold(p.text("@job_type", "capture"), "capture") {
			d.polling = p.number("@pollinginterval", d.polling)
		} else {
			d.retention = p.number("@retention", d.retention)
			d.threshold = p.number("@threshold", d.threshold)
		}
		return nil
	})
}

func spJob(_ *session, db *Database, args []arg, run bool) error {
	p, err := bind("sp_cdc_start_job", args, "@job_type")
	if err != nil {
		return err
	}
	if !strings.EqualFold(p.text("@job_type", "capture"), "capture") {
		return notInModel("starting and stopping the clean-up job")
	}
	return db.change(func(d *state) error {
		if !d.captureJob {
			return notEnabled(db)
		}
		d.agentRunning = run
		return nil
	})
}

func spCleanup(_ *session, db *Database, args []arg) error {
	p, err := bind("sp_cdc_cleanup_change_table", args, "@capture_instance*", "@low_water_mark*", "@threshold", "@fCleanupFailed")
	if err != nil {
		return err
	}
	a := p["@low_water_mark"]
	b, ok := a.val.([]byte)
	if !ok {
		return notInModel("a clean-up without a low-water mark")
	}
	low := lsnOf(b)
	st := db.st.Load()
	if !slices.ContainsFunc(st.times, func(r timeRow) bool { return r.lsn == low }) {
		return sqlError(22957, "LSN %s, specified as the new low endpoint for the change table associated with capture instance '%s', is not within the Change Data Capture timeline.", fmt.Sprintf("0x%X", low[:]), p.text("@capture_instance", ""))
	}
	return db.cleanup(p.text("@capture_instance", ""), low)
}
