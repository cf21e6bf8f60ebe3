package mssqltest

import (
	"fmt"
	"slices"
	"strings"

	"tributary/internal/mssqltest/tds"
	"tributary/internal/mssqltest/tsql"
)

// arg is an argument of a procedure.
type arg struct {
	name   string // in lower case, with @; empty if it is given by position
	typ    tds.Type
	val    any
	null   bool // the literal NULL
	absent bool // DEFAULT
	out    string
}

// params binds arguments to a procedure's parameters.
type params map[string]*arg

// bind matches arguments with names, which have a * where the parameter must be given.
func bind(proc string, args []arg, names ...string) (params, error) {
	p := params{}
	at := func(n string) bool {
		return slices.ContainsFunc(names, func(m string) bool { return strings.TrimSuffix(m, "*") == n })
	}
	for i := range args {
		n := args[i].name
		if n == "" {
			if i >= len(names) {
				return nil, sqlError(8144, "Procedure or function %s has too many arguments specified.", proc)
			}
			n = strings.TrimSuffix(names[i], "*")
		} else if !at(n) {
			return nil, sqlError(8145, "%s is not a parameter for procedure %s.", n, proc)
		}
		if !args[i].absent {
			p[n] = &args[i]
		}
	}
	for _, n := range names {
		if m, must := strings.CutSuffix(n, "*"); must && p[m] == nil {
			return nil, sqlError(201, "Procedure or function '%s' expects parameter '%s', which was not supplied.", proc, m)
		}
	}
	return p, nil
}

// text is an argument as a text; missing if it is absent or NULL.
func (p params) text(name, missing string) string {
	a := p[name]
	if a == nil || a.val == nil {
		return missing
	}
	v, err := convert(a.val, a.typ, nmaxType, 0, false)
	if err != nil {
		return missing
	}
	return v.(string)
}

func (p params) number(name string, missing int64) int64 {
	a := p[name]
	if a == nil || a.val == nil {
		return missing
	}
	v, err := convert(a.val, a.typ, bigType, 0, false)
	if err != nil {
		return missing
	}
	return v.(int64)
}

// result sends a result set.
func (s *session) result(cs []viewColumn, rows [][]any) error {
	out := make([]tds.Column, len(cs))
	for i, c := range cs {
		n, nullable := strings.CutSuffix(c.name, "?")
		out[i] = tds.Column{Name: n, Type: c.typ, Nullable: nullable}
	}
	if err := s.out.columns(out); err != nil {
		return err
	}
	for _, r := range rows {
		if err := s.out.row(r); err != nil {
			return err
		}
	}
	s.rowCount = int64(len(rows))
	return s.out.done(0xC1, s.counted(s.rowCount))
}

type procedure func(s *session, db *Database, args []arg) error

func procedures() map[string]procedure {
	m := map[string]procedure{
		"sp_executesql": spExecuteSQL, "sp_rename": spRename, "sp_reset_connection": func(s *session, _ *Database, _ []arg) error { s.reset(); return nil },
	}
	for _, more := range []map[string]procedure{cdcProcedures(), catalogProcedures()} {
		for k, v := range more {
			m[k] = v
		}
	}
	return m
}

// procedure runs a procedure by its name, and gives its status.
func (s *session) procedure(n tsql.Name, args []arg) (int32, error) {
	db := s.db
	if len(n) == 3 && n[0] != "" {
		if db = s.srv.DB(n[0]); db == nil {
			return 0, sqlError(911, "Database '%s' does not exist. Make sure that the name is entered correctly.", n[0])
		}
	}
	unknown := sqlError(2812, "Could not find stored procedure '%s'.", strings.Join(n, "."))
	name := strings.ToLower(n.Last())
	if len(n) > 3 {
		return 0, unknown
	}
	if len(n) > 1 {
		if q := n[len(n)-2]; q != "" && !strings.EqualFold(q, "sys") && !strings.EqualFold(q, "dbo") {
			return 0, unknown
		}
	}
	f, ok := s.srv.procs[name]
	if !ok || strings.HasPrefix(name, "rds_") && (db.name != "msdb" || !s.srv.opts.RDS) {
		return 0, unknown
	}
	s.procDepth++
	defer func() { s.procDepth-- }()
	return 0, f(s, db, args)
}

// spExecuteSQL runs a text with parameters.
func spExecuteSQL(s *session, _ *Database, args []arg) error {
	if len(args) == 0 {
		return sqlError(201, "Procedure or function 'sp_executesql' expects parameter '@statement', which was not supplied.")
	}
	text, ok := args[0].val.(string)
	if !ok {
		return sqlError(214, "Procedure expects parameter '@statement' of type 'ntext/nchar/nvarchar'.")
	}
	decl := ""
	if len(args) > 1 {
		decl, _ = args[1].val.(string)
	}
	vars, err := s.declared(decl, args[min(2, len(args)):])
	if err != nil {
		return err
	}
	before := s.vars
	s.vars = vars
	defer func() { s.vars = before }()
	if err := s.srv.note(s, text); err != nil {
		return err
	}
	if err := s.inner(text); err != nil {
		return err
	}
	for _, a := range args[min(2, len(args)):] {
		if v := vars[a.name]; a.out != "" && v != nil && before != nil {
			if b := before[strings.ToLower(a.out)]; b != nil {
				b.val, err = convert(v.val, v.typ, b.typ, 0, false)
			}
		}
	}
	return err
}

// declared makes variables of a declaration and the arguments.
func (s *session) declared(decl string, args []arg) (map[string]*variable, error) {
	list, err := tsql.ParseParams(decl)
	if err != nil {
		return nil, &Error{Number: 102, State: 1, Class: 15, Text: err.Error()}
	}
	vars := map[string]*variable{}
	given := map[string]arg{}
	for i, a := range args {
		n := a.name
		if n == "" {
			if i >= len(list) {
				return nil, sqlError(8144, "Procedure or function has too many arguments specified.")
			}
			n = strings.ToLower(list[i].Name)
		}
		given[n] = a
	}
	c := &compiler{s: s}
	for _, d := range list {
		t, err := c.typeOf(d.Type)
		if err != nil {
			return nil, err
		}
		k := strings.ToLower(d.Name)
		v := &variable{typ: t}
		a, ok := given[k]
		if !ok {
			return nil, sqlError(8178, "The parameterized query expects the parameter '%s', which was not supplied.", d.Name)
		}
		if a.val != nil {
			if !implicit(a.typ, t) {
				return nil, sqlError(257, "Implicit conversion from data type %s to %s is not allowed. Use the CONVERT function to run this query.", a.typ.Kind, t.Kind)
			}
			if v.val, err = convert(a.val, a.typ, t, 0, false); err != nil {
				return nil, err
			}
		}
		vars[k] = v
		delete(given, k)
	}
	for n := range given {
		return nil, sqlError(8145, "%s is not a parameter for procedure sp_executesql.", n)
	}
	return vars, nil
}

// spRename renames a column or a table.
func spRename(s *session, _ *Database, args []arg) error {
	p, err := bind("sp_rename", args, "@objname*", "@newname*", "@objtype")
	if err != nil {
		return err
	}
	n, err := tsql.ParseName(p.text("@objname", ""))
	if err != nil {
		return sqlError(15225, "No item by the name of '%s' could be found in the current database '%s'.", p.text("@objname", ""), s.db.name)
	}
	now := p.text("@newname", "")
	if !strings.EqualFold(p.text("@objtype", "OBJECT"), "COLUMN") {
		return s.withTable(n, func(_ *Database, d *state, t *table) error {
			if d.find(t.schema, now) != nil {
				return sqlError(15335, "Error: The new name '%s' is already in use as a OBJECT name and would cause a duplicate that is not permitted.", now)
			}
			t.name = now
			return nil
		})
	}
	if len(n) < 2 {
		return sqlError(15248, "Either the parameter @objname is ambiguous or the claimed @objtype (COLUMN) is wrong.")
	}
	return s.withTable(n[:len(n)-1], func(_ *Database, d *state, t *table) error {
		i := t.column(n.Last())
		if i < 0 {
			return sqlError(15248, "Either the parameter @objname is ambiguous or the claimed @objtype (COLUMN) is wrong.")
		}
		if len(d.tracked(t.id)) > 0 {
			return sqlError(4928, "Cannot alter column '%s' because it is 'REPLICATED'.", n.Last())
		}
		c := *t.columns[i]
		old := c.name
		c.name = now
		t.columns = slices.Clone(t.columns)
		t.columns[i] = &c
		t.indexes = slices.Clone(t.indexes)
		for k, x := range t.indexes {
			y := *x
			y.columns = slices.Clone(x.columns)
			for j, name := range y.columns {
				if strings.EqualFold(name, old) {
					y.columns[j] = now
				}
			}
			t.indexes[k] = &y
		}
		return nil
	})
}

func cdcProcedures() map[string]procedure {
	return map[string]procedure{
		"sp_cdc_enable_db":                spEnableDB,
		"sp_cdc_disable_db":               spDisableDB,
		"sp_cdc_enable_table":             spEnableTable,
		"sp_cdc_disable_table":            spDisableTable,
		"sp_cdc_help_change_data_capture": spHelpCapture,
		"sp_cdc_help_jobs":                spHelpJobs,
		"sp_cdc_change_job":               spChangeJob,
		"sp_cdc_start_job":                func(s *session, db *Database, a []arg) error { return spJob(s, db, a, true) },
		"sp_cdc_stop_job":                 func(s *session, db *Database, a []arg) error { return spJob(s, db, a, false) },
		"sp_cdc_cleanup_change_table":     spCleanup,
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
	return f(s, db, nil)
}

func notEnabled(db *Database) error {
	return sqlError(22901, "The database '%s' is not enabled for Change Data Capture. Ensure that the correct database context is set and retry the operation. To report on the databases enabled for Change Data Capture, query the is_cdc_enabled column in the sys.databases catalog view.", db.name)
}

func spEnableDB(s *session, db *Database, _ []arg) error {
	if s.srv.permitted("sysadmin") == 0 {
		return sqlError(22902, "Caller is not authorized to initiate the requested action. Sysadmin privileges are required.")
	}
	return db.change(func(d *state) error {
		if d.cdc {
			return sqlError(22905, "Database '%s' is already enabled for Change Data Capture. Ensure that the correct database context is set, and retry the operation.", db.name)
		}
		d.cdc = true
		if !d.hasSchema("cdc") {
			d.schemas = append(slices.Clone(d.schemas), schemaRow{int64(5 + len(d.schemas)), "cdc"})
		}
		return nil
	})
}

func spDisableDB(_ *session, db *Database, _ []arg) error {
	return db.change(func(d *state) error {
		d.cdc, d.captureJob, d.cleanupJob = false, false, false
		d.instances, d.times, d.sessions = nil, nil, nil
		d.schemas = slices.DeleteFunc(slices.Clone(d.schemas), func(r schemaRow) bool { return r.name == "cdc" })
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
	return db.change(func(d *state) error { return enableTable(s, db, d, d.tables[tb.id], p) })
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
	db.head.flush()
	in.startLSN = db.head.next()
	in.objectID = db.object()
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
	n.identity, n.def, n.defText, n.defName, n.defID = nil, nil, "", "", 0
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
			return i.sourceID == t.id && (strings.EqualFold(inst, "all") || strings.EqualFold(inst, i.name))
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
		if s.srv.permitted("SELECT "+t.schema+"."+t.name) == 0 {
			continue // only what the caller may read is listed
		}
		if n := p.text("@source_name", ""); n != "" && !(strings.EqualFold(n, t.name) && strings.EqualFold(p.text("@source_schema", "dbo"), t.schema)) {
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
		rows = append(rows, []any{t.schema, t.name, in.name, int64(in.objectID), int64(in.sourceID), in.startLSN.orNull(), nil, in.netChange, nil,
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
