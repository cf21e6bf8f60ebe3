package mssqltest_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"tributary/internal/mssqltest"
)

// guarded is a model with a captured table of which the instance has a gating role,
// another schema, and a login low that may enter the database.
func guarded(t *testing.T) (srv *mssqltest.Server, owner, low *sql.DB) {
	t.Helper()
	srv, _ = start(t, mssqltest.Options{})
	owner = open(t, srv)
	for _, q := range []string{
		"EXEC sys.sp_cdc_enable_db", "CREATE TABLE item (id int NOT NULL PRIMARY KEY, name nvarchar(9) NULL)",
		"EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'item', @role_name = N'readers'", "INSERT INTO item VALUES (1, N'x')",
		"CREATE SCHEMA sales", "CREATE TABLE sales.w (id int NOT NULL PRIMARY KEY)", "INSERT INTO sales.w VALUES (7)",
		"CREATE LOGIN low WITH PASSWORD = N'Secret1!', DEFAULT_DATABASE = crm", "CREATE USER low FOR LOGIN low",
	} {
		run(t, owner, q)
	}
	return srv, owner, openAs(t, srv, "low")
}

// says fails unless a statement ends with an error; "" for none. An error is given by
// its number, or in the words of the server.
func says(t *testing.T, db *sql.DB, text, want string) {
	t.Helper()
	_, err := tryRows(t, db, text)
	got := ""
	if err != nil {
		got = strings.TrimPrefix(err.Error(), "mssql: ")
		if strings.Trim(want, "0123456789") == "" {
			got = fmt.Sprint(number(err))
		} else if i := strings.LastIndex(got, " ("); i > 0 && strings.HasSuffix(got, ")") {
			got = got[:i]
		}
	}
	if got != want {
		t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
	}
}

// TestGrants has rights given and taken, each followed by what the user may do then.
func TestGrants(t *testing.T) {
	const item, name, w, count = "SELECT * FROM dbo.item", "SELECT name FROM item", "SELECT * FROM sales.w", "SELECT count(*) FROM item"
	const deniedItem = "The SELECT permission was denied on the object 'item', database 'crm', schema 'dbo'."
	const deniedName = "The SELECT permission was denied on the column 'name' of the object 'item', database 'crm', schema 'dbo'."
	for title, steps := range map[string][]struct{ do, try, want string }{
		"none":       {{"", item, deniedItem}, {"", w, "229"}, {"", "SELECT 1 FROM nothing", "208"}, {"", "SELECT name FROM sys.schemas", ""}},
		"object":     {{"GRANT SELECT ON [dbo].[item] TO [low]", item, ""}, {"", w, "229"}, {"REVOKE SELECT ON item FROM low", item, "229"}},
		"class":      {{"GRANT SELECT ON OBJECT::dbo.item TO low", item, ""}, {"REVOKE SELECT ON OBJECT::dbo.item TO low", item, "229"}},
		"schema":     {{"GRANT SELECT ON SCHEMA::[sales] TO [low]", w, ""}, {"", item, "229"}, {"DENY SELECT ON sales.w TO low", w, "229"}, {"REVOKE SELECT ON sales.w TO low", w, ""}},
		"denied":     {{"GRANT SELECT ON item TO low", item, ""}, {"DENY SELECT ON SCHEMA::dbo TO low", item, "229"}, {"GRANT SELECT ON item TO low", item, "229"}, {"GRANT SELECT ON SCHEMA::dbo TO low", item, ""}},
		"database":   {{"GRANT SELECT TO low", item, ""}, {"", w, ""}, {"DENY SELECT TO low", w, "229"}, {"GRANT SELECT ON sales.w TO low", w, "229"}},
		"control":    {{"GRANT CONTROL ON SCHEMA::sales TO low", w, ""}, {"", "INSERT INTO sales.w VALUES (8)", ""}, {"", "DROP TABLE sales.w", ""}, {"", item, "229"}},
		"column":     {{"GRANT SELECT ON item (id) TO low", "SELECT id FROM item", ""}, {"", item, deniedName}, {"", name, "230"}, {"", count, ""}, {"", "SELECT id FROM item WHERE name = N'x'", "230"}, {"", "SELECT id FROM item AS i ORDER BY i.name", "230"}, {"GRANT SELECT (name) ON item TO low", item, ""}},
		"not column": {{"GRANT SELECT ON item TO low", item, ""}, {"DENY SELECT ON item (name) TO low", item, deniedName}, {"", "SELECT id FROM item", ""}, {"REVOKE SELECT ON item (name) FROM low", item, ""}},
		// What the page of DENY warns of.
		"column above table": {{"DENY SELECT ON item TO low", name, "229"}, {"GRANT SELECT ON item (name) TO low", name, ""}, {"DENY SELECT ON SCHEMA::dbo TO low", name, "229"}},
		"role":               {{"CREATE ROLE few", item, "229"}, {"GRANT SELECT ON item TO few", item, "229"}, {"ALTER ROLE few ADD MEMBER low", item, ""}, {"DENY SELECT ON item TO low", item, "229"}, {"REVOKE SELECT ON item TO low", item, ""}, {"ALTER ROLE few DROP MEMBER low", item, "229"}},
		"role of role":       {{"CREATE ROLE inner_; CREATE ROLE outer_; ALTER ROLE outer_ ADD MEMBER inner_; ALTER ROLE inner_ ADD MEMBER low", item, "229"}, {"GRANT SELECT ON item TO outer_", item, ""}, {"DENY SELECT ON item TO outer_", item, "229"}},
		"public":             {{"GRANT SELECT ON item TO public", item, ""}},
		"db_owner":           {{"ALTER ROLE db_owner ADD MEMBER [low]", item, ""}, {"", "CREATE TABLE t (id int)", ""}, {"", "EXEC sys.sp_cdc_help_jobs", ""}, {"DENY SELECT ON item TO low", item, "229"}, {"", w, ""}},
		"sysadmin":           {{"DENY SELECT ON item TO low; ALTER SERVER ROLE sysadmin ADD MEMBER low", item, ""}, {"", "EXEC sys.sp_cdc_disable_db", ""}},
		"db_datareader":      {{"ALTER ROLE db_datareader ADD MEMBER low", item, ""}, {"", "SELECT * FROM cdc.change_tables", ""}, {"", "DELETE FROM item", "229"}, {"ALTER ROLE db_denydatareader ADD MEMBER low", item, "229"}},
		"db_datawriter":      {{"ALTER ROLE db_datawriter ADD MEMBER low", item, "229"}, {"", "INSERT INTO item VALUES (2, NULL)", ""}, {"", "DELETE FROM item", ""}, {"", "DELETE FROM item WHERE id = 1", deniedItem}},
		"db_ddladmin":        {{"ALTER ROLE db_ddladmin ADD MEMBER low", "CREATE SCHEMA s", ""}, {"", "CREATE TABLE sales.t (id int)", ""}, {"", "DROP TABLE dbo.item", ""}, {"", w, "229"}},
		"writing":            {{"GRANT INSERT ON item TO low", "INSERT INTO item VALUES (2, NULL)", ""}, {"", "UPDATE item SET name = N'y'", "The UPDATE permission was denied on the object 'item', database 'crm', schema 'dbo'."}, {"GRANT UPDATE ON item (name) TO low", "UPDATE item SET name = N'y'", ""}, {"", "UPDATE item SET id = 3", "The UPDATE permission was denied on the column 'id' of the object 'item', database 'crm', schema 'dbo'."}, {"", "UPDATE item SET name = N'y' WHERE id = 2", "229"}, {"GRANT SELECT ON item (id) TO low", "UPDATE item SET name = N'y' WHERE id = 2", ""}},
		"all":                {{"GRANT ALL ON item TO low", item, ""}, {"", "DELETE FROM item WHERE id = 1", ""}},
		"owner of a schema":  {{"CREATE SCHEMA own AUTHORIZATION low; CREATE TABLE own.t (id int)", "SELECT * FROM own.t", ""}, {"DENY SELECT ON own.t TO public", "SELECT * FROM own.t", ""}, {"", "DROP TABLE own.t", ""}},
		"cdc":                {{"GRANT SELECT ON SCHEMA::[cdc] TO [low]", "SELECT * FROM cdc.change_tables", ""}, {"", "SELECT * FROM cdc.dbo_item_CT", ""}, {"", "SELECT * FROM crm.cdc.lsn_time_mapping", ""}, {"DENY SELECT ON cdc.change_tables TO low", "SELECT * FROM cdc.change_tables", "The SELECT permission was denied on the object 'change_tables', database 'crm', schema 'cdc'."}, {"", "SELECT * FROM cdc.captured_columns", ""}},
		"definition":         {{"GRANT CREATE TABLE TO low", "CREATE TABLE t (id int)", "The specified schema name \"dbo\" either does not exist or you do not have permission to use it."}, {"GRANT ALTER ON SCHEMA::dbo TO low; REVOKE CREATE TABLE FROM low", "CREATE TABLE t (id int)", "CREATE TABLE permission denied in database 'crm'."}, {"GRANT CREATE TABLE TO low", "CREATE TABLE t (id int)", ""}, {"", "ALTER TABLE t ADD v int NULL", ""}, {"", "DROP TABLE sales.w", "3701"}, {"", "ALTER TABLE sales.w ADD v int NULL", "4902"}, {"", "CREATE SCHEMA s", "262"}, {"", "DROP SCHEMA sales", "15151"}, {"", "ALTER DATABASE crm SET ALLOW_SNAPSHOT_ISOLATION ON", "5011"}, {"GRANT ALTER TO low", "ALTER DATABASE crm SET ALLOW_SNAPSHOT_ISOLATION ON", ""}},
		"server":             {{"", "CREATE DATABASE d", "CREATE DATABASE permission denied in database 'master'."}, {"", "KILL 51", "6102"}, {"", "SELECT * FROM sys.dm_server_services", "VIEW SERVER STATE permission was denied on object 'server', database 'master'."}, {"USE master; GRANT VIEW SERVER STATE TO low; USE crm", "SELECT * FROM sys.dm_server_services", ""}, {"", "SELECT * FROM sys.dm_cdc_errors", ""}},
		"state":              {{"", "SELECT * FROM sys.dm_cdc_log_scan_sessions", "VIEW DATABASE STATE permission denied in database 'crm'."}, {"GRANT VIEW DATABASE STATE TO low", "SELECT * FROM sys.dm_cdc_log_scan_sessions", ""}, {"DENY VIEW DATABASE STATE TO low", "SELECT * FROM sys.dm_cdc_errors", "262"}},
		"msdb":               {{"", "SELECT * FROM msdb.dbo.cdc_jobs", "The SELECT permission was denied on the object 'cdc_jobs', database 'msdb', schema 'dbo'."}, {"USE msdb; CREATE USER low FOR LOGIN low; GRANT SELECT ON dbo.cdc_jobs TO low; USE crm", "SELECT * FROM msdb.dbo.cdc_jobs", ""}},
		"procedures":         {{"", "EXEC sys.sp_cdc_help_jobs", "22904"}, {"", "EXEC sys.sp_cdc_enable_db", "22902"}, {"", "EXEC sys.sp_cdc_disable_table 'dbo', 'item', 'all'", "22904"}, {"", "EXEC sys.sp_cdc_enable_table 'dbo', 'item', NULL", "22904"}},
	} {
		t.Run(title, func(t *testing.T) {
			_, owner, low := guarded(t)
			for _, s := range steps {
				if s.do != "" {
					run(t, owner, s.do)
				}
				says(t, low, s.try, s.want)
				says(t, owner, "SELECT count(*) FROM sys.tables", "") // whom nothing of it concerns
			}
		})
	}
}

// TestWhatMends has the statements that the capture's preflight names mend what is
// missing, one after another, until a user with few rights has all that it needs.
func TestWhatMends(t *testing.T) {
	srv, _ := start(t, mssqltest.Options{})
	owner, low := open(t, srv), openAs(t, srv, "low")
	run(t, owner, "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, v int NULL); CREATE LOGIN [low] WITH PASSWORD = N'Secret1!'")
	const enabled, listed, own = "SELECT name FROM sys.databases WHERE is_cdc_enabled = 1", "SELECT capture_instance FROM cdc.change_tables", "SELECT sys.fn_cdc_get_min_lsn(N'dbo_t'), HAS_PERMS_BY_NAME(N'[dbo].[t]', N'OBJECT', N'SELECT', N'v', N'COLUMN')"
	const zeros = "00000000000000000000"
	for _, s := range []struct{ try, before, mend, after string }{
		{"SELECT 1", "Cannot open database \"crm\" requested by the login. The login failed.", "USE [crm]; CREATE USER [low] FOR LOGIN [low]", "[[1]]"},
		{enabled, "[]", "USE [crm]; EXEC sys.sp_cdc_enable_db", "[[crm]]"},
		{listed, "The SELECT permission was denied on the object 'change_tables', database 'crm', schema 'cdc'.", "USE [crm]; GRANT SELECT ON SCHEMA::[cdc] TO [low]", "[]"},
		{listed, "[]", "USE [crm]; EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N't', @role_name = N'readers', @supports_net_changes = 0", "[[dbo_t]]"},
		{"SELECT name FROM sys.tables WHERE is_ms_shipped = 0", "[]", "USE [crm]; GRANT SELECT ON [dbo].[t] ([id]) TO [low]", "[[t]]"},
		{own, "[[" + zeros + " 0]]", "USE [crm]; GRANT SELECT ON [dbo].[t] ([v]) TO [low]", "[[" + zeros + " 1]]"},
		{"SELECT role_name, IS_MEMBER(role_name) FROM cdc.change_tables", "[[readers 0]]", "USE [crm]; ALTER ROLE [readers] ADD MEMBER [low]", "[[readers 1]]"},
		{"SELECT count(*) FROM dbo.t", "[[0]]", "USE [crm]; REVOKE SELECT ON [dbo].[t] ([id], [v]) TO [low]", "The SELECT permission was denied on the object 't', database 'crm', schema 'dbo'."},
		{"SELECT count(*) FROM dbo.t", "The SELECT permission was denied on the object 't', database 'crm', schema 'dbo'.", "grant it: USE [crm]; GRANT SELECT ON [dbo].[t] TO [low]", "[[0]]"},
		{"SELECT CASE WHEN sys.fn_cdc_get_min_lsn(N'dbo_t') > 0x00 THEN 1 END", "[[1]]", "", "[[1]]"},
		{"SELECT HAS_PERMS_BY_NAME(DB_NAME(), N'DATABASE', N'UNMASK')", "[[0]]", "USE [crm]; GRANT UNMASK TO [low]", "[[1]]"},
		{"SELECT count(*) FROM sys.dm_cdc_errors", "VIEW DATABASE STATE permission denied in database 'crm'.", "USE [crm]; GRANT VIEW DATABASE STATE TO [low]", "[[0]]"},
		{"SET TRANSACTION ISOLATION LEVEL SNAPSHOT; SELECT count(*) FROM dbo.t; SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "Snapshot isolation transaction failed accessing database 'crm' because snapshot isolation is not allowed in this database. Use ALTER DATABASE to allow snapshot isolation.", "ALTER DATABASE [crm] SET ALLOW_SNAPSHOT_ISOLATION ON", "[[0]]"},
		{"EXEC sys.sp_cdc_help_jobs", "Caller is not authorized to initiate the requested action. DBO privileges are required.", "", ""},
		{"SELECT IS_MEMBER('db_owner')", "[[0]]", "USE [crm]; ALTER ROLE db_owner ADD MEMBER [low]", "[[1]]"},
	} {
		told := func() string {
			got, err := tryRows(t, low, s.try)
			if err != nil {
				text := strings.TrimPrefix(err.Error(), "mssql: ")
				text = strings.TrimPrefix(text, "login error: ")
				return text[:strings.LastIndex(text, " (")]
			}
			return fmt.Sprint(got)
		}
		equal(t, s.try+": "+told(), s.try+": "+s.before)
		if s.mend == "" {
			continue
		}
		run(t, owner, strings.TrimPrefix(s.mend, "grant it: "))
		equal(t, s.mend+": "+told(), s.mend+": "+s.after)
	}
	run(t, owner, "EXEC sys.sp_cdc_change_job @job_type = N'cleanup', @retention = 10080; EXEC sys.sp_cdc_start_job")
	equal(t, rows(t, low, "EXEC sys.sp_cdc_help_jobs")[1][7], "10080")
}

// TestGatingRoles has a user with few rights: what it lacks for the changes of an
// instance shows as zeros, and as an error of the function, as documented.
func TestGatingRoles(t *testing.T) {
	_, owner, low := guarded(t)
	const changes = "SELECT count(*) FROM cdc.fn_cdc_get_all_changes_dbo_item(sys.fn_cdc_get_max_lsn(), sys.fn_cdc_get_max_lsn(), N'all')"
	for _, c := range []struct {
		do     string
		may    bool
		member string
	}{
		{"GRANT SELECT ON SCHEMA::cdc TO low", false, "0"}, {"GRANT SELECT ON item TO low", false, "0"}, {"ALTER ROLE readers ADD MEMBER low", true, "1"},
		{"REVOKE SELECT ON item FROM low", false, "1"}, {"GRANT SELECT ON item (id, name) TO low", true, "1"}, {"DENY SELECT ON item (name) TO low", false, "1"},
		{"ALTER ROLE db_owner ADD MEMBER low", true, "1"}, {"ALTER ROLE readers DROP MEMBER low", true, "0"}, {"ALTER ROLE db_owner DROP MEMBER low", false, "0"},
		{"ALTER SERVER ROLE sysadmin ADD MEMBER low", true, "0"},
	} {
		run(t, owner, c.do)
		if got := fmt.Sprint(rows(t, low, "SELECT sys.fn_cdc_get_min_lsn(N'dbo_item')")); (got != "[[00000000000000000000]]") != c.may {
			t.Errorf("%s: the low end is %s", c.do, got)
		}
		want, listed := "229", "[]"
		if c.may {
			want, listed = "", "[[dbo item]]"
		}
		says(t, low, changes, want)
		equal(t, rows(t, low, "SELECT IS_MEMBER('readers')"), "[["+c.member+"]]")
		var names []string
		for _, r := range rows(t, low, "EXEC sys.sp_cdc_help_change_data_capture") {
			names = append(names, "["+r[0]+" "+r[1]+"]")
		}
		equal(t, names, listed)
	}
}

// TestWhatTheCatalogShows has objects be seen by whoever has some right on them.
func TestWhatTheCatalogShows(t *testing.T) {
	_, owner, low := guarded(t)
	const seen = "SELECT name, OBJECT_ID(SCHEMA_NAME(schema_id) + N'.' + name) - object_id FROM sys.tables ORDER BY name"
	for _, c := range []struct{ do, want string }{
		{"", "[]"}, {"GRANT SELECT ON item (id) TO low", "[[item 0]]"}, {"GRANT VIEW DEFINITION ON sales.w TO low", "[[item 0] [w 0]]"},
		{"GRANT SELECT ON SCHEMA::cdc TO low", "[[dbo_item_CT 0] [item 0] [w 0]]"}, {"DENY VIEW DEFINITION ON item TO low", "[[dbo_item_CT 0] [w 0]]"},
	} {
		if c.do != "" {
			run(t, owner, c.do)
		}
		equal(t, rows(t, low, seen), c.want)
	}
	equal(t, rows(t, low, "SELECT OBJECT_NAME(source_object_id), OBJECT_ID(N'dbo.item') FROM cdc.change_tables"), "[[NULL NULL]]")
	equal(t, rows(t, low, "SELECT COLUMN_NAME FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA <> 'cdc'"), "[[id]]")
	equal(t, rows(t, low, "EXEC sp_columns_100 N'item'"), "[]")
	equal(t, len(rows(t, owner, "EXEC sp_columns_100 N'item'")), 2)
	equal(t, rows(t, low, "SELECT name FROM sys.database_principals WHERE is_fixed_role = 0 AND principal_id > 4"), "[[low]]")
	equal(t, rows(t, owner, "SELECT name FROM sys.database_principals WHERE is_fixed_role = 0 AND principal_id > 4"), "[[cdc] [readers] [low]]")
	equal(t, rows(t, owner, "SELECT class_desc, permission_name, state_desc, minor_id FROM sys.database_permissions WHERE grantee_principal_id = (SELECT principal_id FROM sys.database_principals WHERE name = N'low')"),
		"[[DATABASE CONNECT GRANT 0] [OBJECT_OR_COLUMN SELECT GRANT 1] [OBJECT_OR_COLUMN VIEW DEFINITION GRANT 0] [SCHEMA SELECT GRANT 0] [OBJECT_OR_COLUMN VIEW DEFINITION DENY 0]]")
	run(t, owner, "DROP TABLE sales.w")
	equal(t, rows(t, owner, "SELECT count(*) FROM sys.database_permissions WHERE permission_name = N'VIEW DEFINITION' AND state = 'G'"), "[[0]]")
}

// TestPermissionFunctions has those tell what the statements would.
func TestPermissionFunctions(t *testing.T) {
	_, owner, low := guarded(t)
	run(t, owner, "GRANT SELECT ON item TO low; DENY SELECT ON item (name) TO low; GRANT UNMASK TO low; GRANT INSERT ON SCHEMA::sales TO low; ALTER ROLE readers ADD MEMBER low")
	for _, c := range [][3]string{
		{"HAS_PERMS_BY_NAME(NULL, NULL, 'VIEW SERVER STATE')", "0", "1"}, {"HAS_PERMS_BY_NAME('dbo.item', 'OBJECT', 'SELECT')", "1", "1"}, {"HAS_PERMS_BY_NAME('item', 'OBJECT', 'INSERT')", "0", "1"},
		{"HAS_PERMS_BY_NAME('dbo.item', 'OBJECT', 'SELECT', 'name', 'COLUMN')", "0", "1"}, {"HAS_PERMS_BY_NAME('dbo.item', 'OBJECT', 'SELECT', 'id', 'COLUMN')", "1", "1"},
		{"HAS_PERMS_BY_NAME('dbo.item', 'OBJECT', 'SELECT', 'none', 'COLUMN')", "NULL", "NULL"}, {"HAS_PERMS_BY_NAME('dbo.item', 'OBJECT', 'UNMASK', 'name', 'COLUMN')", "1", "1"},
		{"HAS_PERMS_BY_NAME(DB_NAME(), N'DATABASE', N'UNMASK')", "1", "1"}, {"HAS_PERMS_BY_NAME('sales', 'SCHEMA', 'INSERT')", "1", "1"}, {"HAS_PERMS_BY_NAME('crm.sales.w', 'OBJECT', 'INSERT')", "1", "1"},
		{"HAS_PERMS_BY_NAME('dbo.nothing', 'OBJECT', 'SELECT')", "NULL", "NULL"}, {"HAS_PERMS_BY_NAME('dbo.item', 'OBJECT', 'NOTHING')", "NULL", "NULL"}, {"HAS_PERMS_BY_NAME('dbo.item', 'THING', 'SELECT')", "NULL", "NULL"},
		{"IS_MEMBER('readers')", "1", "0"}, {"IS_MEMBER('db_owner')", "0", "0"}, {"IS_MEMBER('none')", "NULL", "NULL"}, {"IS_ROLEMEMBER('readers', 'low')", "1", "1"}, {"IS_SRVROLEMEMBER('sysadmin')", "0", "1"},
		{"IS_SRVROLEMEMBER('none')", "NULL", "NULL"}, {"USER_NAME()", "low", "dbo"}, {"SUSER_SNAME()", "low", "sa"}, {"HAS_DBACCESS('crm')", "1", "1"}, {"HAS_DBACCESS('model')", "0", "1"}, {"HAS_DBACCESS('none')", "NULL", "NULL"},
	} {
		equal(t, c[0]+rows(t, low, "SELECT "+c[0])[0][0], c[0]+c[1])
		equal(t, c[0]+rows(t, owner, "SELECT "+c[0])[0][0], c[0]+c[2])
	}
	old, _ := start(t, mssqltest.Options{ProductVersion: "15.0.2000.5"})
	equal(t, rows(t, open(t, old), "SELECT HAS_PERMS_BY_NAME('dbo', 'SCHEMA', 'UNMASK'), HAS_PERMS_BY_NAME(NULL, 'DATABASE', 'UNMASK')"), "[[NULL 1]]")
	says(t, open(t, old), "GRANT UNMASK ON SCHEMA::dbo TO low", "102")
}

// TestWhoMayGrant has users give rights on.
func TestWhoMayGrant(t *testing.T) {
	srv, owner, low := guarded(t)
	run(t, owner, "CREATE LOGIN other WITH PASSWORD = 'Secret1!'; CREATE USER other")
	other := openAs(t, srv, "other")
	says(t, low, "GRANT SELECT ON item TO other", "Cannot find the object 'item', because it does not exist or you do not have permission.")
	says(t, low, "GRANT SELECT ON SCHEMA::dbo TO other", "Cannot find the schema 'dbo', because it does not exist or you do not have permission.")
	says(t, low, "GRANT SELECT TO other", "Grantor does not have GRANT permission.")
	says(t, low, "ALTER ROLE readers ADD MEMBER low", "Cannot alter the role 'readers', because it does not exist or you do not have permission.")
	for text, want := range map[string]string{"CREATE ROLE r": "15247", "CREATE USER u WITHOUT LOGIN": "15247", "CREATE LOGIN l WITH PASSWORD = 'Secret1!'": "15247", "DROP USER other": "15151", "DROP LOGIN other": "15151", "DROP ROLE readers": "15151", "ALTER LOGIN other DISABLE": "15151", "ALTER SERVER ROLE sysadmin ADD MEMBER low": "15151"} {
		says(t, low, text, want)
	}
	run(t, owner, "GRANT SELECT ON item TO low WITH GRANT OPTION")
	run(t, low, "GRANT SELECT ON item TO other")
	says(t, other, "SELECT * FROM item", "")
	says(t, low, "DENY SELECT ON item TO other", "15151")
	says(t, owner, "DROP USER low", "The database principal has granted or denied permissions to objects in the database and cannot be dropped.")
	says(t, owner, "REVOKE SELECT ON item FROM low", "To revoke or deny grantable privileges, specify the CASCADE option.")
	says(t, owner, "DENY SELECT ON item TO low", "4611")
	run(t, owner, "REVOKE GRANT OPTION FOR SELECT ON item FROM low CASCADE")
	says(t, low, "SELECT * FROM item", "")
	says(t, other, "SELECT * FROM item", "229")
	run(t, owner, "GRANT CONTROL ON item TO low")
	run(t, low, "GRANT SELECT ON item TO other")
	says(t, other, "SELECT * FROM item", "")
	run(t, owner, "ALTER ROLE db_securityadmin ADD MEMBER other")
	run(t, other, "CREATE SCHEMA theirs")
	says(t, other, "GRANT SELECT ON sales.w TO low", "")
	says(t, low, "SELECT * FROM sales.w", "")
}

// TestPrincipals has logins, users and roles come and go, and what is wrong be told
// as the server's list of errors has it.
func TestPrincipals(t *testing.T) {
	srv, owner, low := guarded(t)
	for _, c := range [][2]string{
		{"CREATE LOGIN low WITH PASSWORD = 'Secret1!'", "The server principal 'low' already exists."},
		{"CREATE LOGIN x WITH PASSWORD = 'Sh0rt!'", "15116"}, {"CREATE LOGIN x WITH PASSWORD = 'secretsecret'", "15118"}, {"CREATE LOGIN reader WITH PASSWORD = 'Reader123!'", "15118"},
		{"CREATE LOGIN x WITH PASSWORD = 'secretsecret', CHECK_POLICY = OFF", ""}, {"CREATE LOGIN y WITH PASSWORD = 'Secret1!', DEFAULT_DATABASE = nothing", "15010"},
		{"CREATE LOGIN y WITH PASSWORD = 'Secret1!' MUST_CHANGE", "102"}, {"CREATE LOGIN y FROM WINDOWS", "156"},
		{"CREATE USER low FOR LOGIN low", "User, group, or role 'low' already exists in the current database."}, {"CREATE USER low2 FOR LOGIN low", "The login already has an account under a different user name."},
		{"CREATE USER none", "'none' is not a valid login or you do not have permission."}, {"CREATE USER s FOR LOGIN sa", "Cannot use the special principal 'sa'."}, {"CREATE USER alone WITHOUT LOGIN", ""},
		{"CREATE ROLE readers", "15023"}, {"CREATE ROLE r AUTHORIZATION alone", ""}, {"DROP USER alone", "The database principal owns a database role in the database, and cannot be dropped."},
		{"ALTER ROLE r ADD MEMBER low", ""}, {"DROP ROLE r", "The role has members. It must be empty before it can be dropped."}, {"ALTER ROLE r ADD MEMBER nobody", "Cannot add the principal 'nobody', because it does not exist or you do not have permission."},
		{"ALTER ROLE r ADD MEMBER r", "Cannot make a role a member of itself."}, {"ALTER ROLE r ADD MEMBER readers", ""}, {"ALTER ROLE readers ADD MEMBER r", "15413"}, {"ALTER ROLE r ADD MEMBER dbo", "15405"},
		{"ALTER ROLE r ADD MEMBER db_owner", "15405"}, {"ALTER ROLE public ADD MEMBER low", "Membership of the public role cannot be changed."}, {"ALTER ROLE none ADD MEMBER low", "15151"},
		{"ALTER ROLE r WITH NAME = q", ""}, {"ALTER ROLE db_owner WITH NAME = q2", "15150"}, {"ALTER ROLE q DROP MEMBER low; ALTER ROLE q DROP MEMBER readers; DROP ROLE q; DROP USER alone", ""},
		{"DROP ROLE db_owner", "Cannot drop the role 'db_owner'."}, {"DROP USER dbo", "15150"}, {"DROP USER nobody", "Cannot drop the user 'nobody', because it does not exist or you do not have permission."}, {"DROP USER IF EXISTS nobody", ""},
		{"CREATE SCHEMA s AUTHORIZATION low", ""}, {"DROP USER low", "The database principal owns a schema in the database, and cannot be dropped."}, {"DROP SCHEMA s", ""},
		{"GRANT SELECT ON nothing TO low", "Cannot find the object 'nothing', because it does not exist or you do not have permission."}, {"GRANT SELECT ON SCHEMA::nothing TO low", "15151"},
		{"GRANT SELECT ON item TO nobody", "Cannot find the user 'nobody', because it does not exist or you do not have permission."}, {"GRANT SELECT ON item TO dbo", "4624"}, {"GRANT SELECT ON item TO sa", "4624"},
		{"GRANT SELECT ON item TO db_datareader", "4617"}, {"GRANT CONNECT TO readers", "4627"}, {"GRANT CREATE TABLE ON item TO low", "Incorrect syntax near 'CREATE TABLE'."}, {"GRANT FLY TO low", "102"}, {"GRANT SELECT ON item (none) TO low", "Invalid column name 'none'."},
		{"GRANT INSERT ON item (id) TO low", "1020"}, {"GRANT VIEW SERVER STATE TO low", "4621"}, {"GRANT VIEW SERVER STATE, SELECT TO low", "4620"}, {"GRANT SELECT ON msdb.dbo.cdc_jobs TO low", "4610"}, {"GRANT SELECT ON DATABASE::msdb TO low", "4610"},
		{"GRANT SELECT ON ROLE::readers TO low", "102"}, {"GRANT SELECT ON item TO low AS dbo", "156"}, {"GRANT SELECT ON sys.tables TO low", "50000"}, {"BEGIN TRAN; GRANT SELECT ON item TO low", "50000"},
		{"EXECUTE AS USER = 'low'", "156"}, {"USE master; GRANT VIEW SERVER STATE TO nobody", "15151"}, {"ALTER SERVER ROLE sysadmin ADD MEMBER sa", "15405"}, {"ALTER SERVER ROLE none ADD MEMBER low", "15151"}, {"DROP LOGIN sa", "15150"}, {"DROP LOGIN nobody", "15151"},
	} {
		says(t, open(t, srv), c[0], c[1]) // a session each, as some end within a transaction or elsewhere
	}
	says(t, low, "USE model", "The server principal \"low\" is not able to access the database \"model\" under the current security context.")
	says(t, low, "SELECT * FROM model.sys.tables", "916")
	says(t, low, "SELECT model.sys.fn_cdc_get_max_lsn()", "916")
	says(t, low, "SELECT * FROM master.sys.databases", "") // as guest
	says(t, owner, "DROP LOGIN low", "Could not drop login 'low' as the user is currently logged in.")
	must(t, low.Close())
	login := func(want int32) {
		t.Helper()
		c := openAs(t, srv, "low")
		if err := c.PingContext(t.Context()); number(err) != want || (err == nil) != (want == 0) {
			t.Errorf("%v, want %d", err, want)
		}
		must(t, c.Close())
	}
	for _, c := range []struct {
		do   string
		want int32
	}{
		{"ALTER LOGIN low DISABLE", 18470}, {"ALTER LOGIN low ENABLE", 0}, {"ALTER LOGIN low WITH PASSWORD = 'Another1!'", 18456}, {"ALTER LOGIN low WITH PASSWORD = 'Secret1!'", 0},
		{"DENY CONNECT TO low", 4060}, {"GRANT CONNECT TO low", 0}, {"DENY CONTROL TO low", 4060}, {"REVOKE CONTROL TO low", 0}, {"DROP USER low", 4060}, {"CREATE USER [other name] FROM LOGIN low WITH DEFAULT_SCHEMA = dbo", 0},
	} {
		run(t, owner, c.do)
		login(c.want)
	}
	for limit := 0; ; limit++ { // the server may not have noticed that the connections are gone
		_, err := owner.ExecContext(t.Context(), "DROP LOGIN low")
		if err == nil {
			break
		}
		if number(err) != 15434 || limit > 1000 {
			t.Fatal(err)
		}
	}
	login(18456)
	equal(t, rows(t, owner, "SELECT name FROM sys.database_principals WHERE name LIKE 'other%'"), "[[other name]]")
}

// TestAzureLogins has logins be made in master only.
func TestAzureLogins(t *testing.T) {
	srv, _ := start(t, mssqltest.Options{EngineEdition: 5})
	says(t, open(t, srv), "CREATE LOGIN low WITH PASSWORD = 'Secret1!'", "User must be in the master database.")
}

// TestDenied takes rights from the server's own login.
func TestDenied(t *testing.T) {
	srv, _ := tracked(t, mssqltest.Options{})
	c := open(t, srv)
	srv.SetDenied("VIEW SERVER STATE", "VIEW DATABASE STATE", "SELECT cdc.change_tables", "SELECT dbo.item", "sysadmin", "role db_owner")
	for text, want := range map[string]string{
		"SELECT * FROM sys.dm_server_services": "300", "SELECT * FROM sys.dm_cdc_log_scan_sessions": "262", "SELECT count(*) FROM [crm].cdc.change_tables": "229",
		"SELECT * FROM dbo.item": "229", "SELECT * FROM cdc.captured_columns": "", "SELECT * FROM cdc.fn_cdc_get_all_changes_dbo_item(0x01, 0x01, N'all')": "229",
		"EXEC sys.sp_cdc_disable_db": "22902", "EXEC sys.sp_cdc_help_jobs": "22904",
	} {
		says(t, c, text, want)
	}
	srv.SetDenied("VIEW DEFINITION dbo.item")
	equal(t, rows(t, c, "SELECT count(*) FROM sys.tables WHERE name = 'item'"), "[[0]]")
	srv.SetDenied("SELECT dbo.item.a")
	says(t, c, "SELECT a FROM item", "230")
	equal(t, rows(t, c, "SELECT HAS_PERMS_BY_NAME('dbo.item', 'OBJECT', 'SELECT', 'a', 'COLUMN'), sys.fn_cdc_get_min_lsn(N'dbo_item')"), "[[0 00000000000000000000]]")
}
