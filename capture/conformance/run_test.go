package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tributary/capture/conformance"
	"tributary/capture/mysql"
	"tributary/capture/postgres"
	"tributary/capture/sqlserver"
	"tributary/internal/config"
	"tributary/internal/fault"
	"tributary/internal/mssqltest"
	"tributary/internal/testdb"
)

// parse reads options as a connector's file has them.
func parse(t *testing.T, class, host string, port int, user, password, more string, dst any) {
	t.Helper()
	text := fmt.Sprintf("name: mine\nconnector.class: %s\ntopic.prefix: p\ndatabase.hostname: %s\ndatabase.port: %d\ndatabase.user: %s\ndatabase.password: %q\n%s\n", class, host, port, user, password, more)
	if err := config.Parse("connector.yaml", []byte(text), dst); err != nil {
		t.Fatal(err)
	}
}

func postgresOf(t *testing.T, db *testdb.Database) conformance.Server {
	var o postgres.Options
	parse(t, "postgres", db.Host, db.Port, db.User, db.Password, "database.dbname: "+db.Name, &o)
	return conformance.PostgreSQL(o)
}

func mysqlOf(t *testing.T, db *testdb.Database, class string) conformance.Server {
	var o mysql.Options
	parse(t, class, db.Host, db.Port, db.User, db.Password, "", &o)
	return conformance.MySQL(o)
}

const password = "Secret1!"

// model starts the model of SQL Server.
func model(t *testing.T) (*mssqltest.Server, conformance.Server) {
	t.Helper()
	srv, err := mssqltest.Start(context.WithoutCancel(t.Context()), mssqltest.Options{Password: password, Databases: []string{"crm"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() }) // a model that nobody needs any more
	return srv, modelAt(t, srv)
}

func modelAt(t *testing.T, srv *mssqltest.Server) conformance.Server {
	t.Helper()
	return modelAs(t, srv, "sa")
}

func modelAs(t *testing.T, srv *mssqltest.Server, user string) conformance.Server {
	t.Helper()
	host, port, err := net.SplitHostPort(srv.Addr())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	fmt.Sscan(port, &n)
	var o sqlserver.Options
	parse(t, "sqlserver", host, n, user, password, "database.names: crm\ndriver.encrypt: \"false\"", &o)
	return conformance.SQLServer(o)
}

// captured is the model with change data capture in the database, and a table of
// somebody else.
func captured(t *testing.T) (*mssqltest.Server, conformance.Server) {
	t.Helper()
	srv, s := model(t)
	db := srv.DB("crm")
	for _, q := range []string{"EXEC sys.sp_cdc_enable_db", "CREATE TABLE dbo.customer (id int NOT NULL PRIMARY KEY, name nvarchar(40) NULL)", "INSERT INTO dbo.customer VALUES (1, N'somebody')"} {
		if err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.EnableTable("dbo", "customer", ""); err != nil {
		t.Fatal(err)
	}
	return srv, s
}

func options(t *testing.T, s conformance.Server) conformance.Options {
	return conformance.Options{
		Server: s, Version: "test", Wait: 30 * time.Second, Log: slog.New(slog.DiscardHandler),
		Progress: func(format string, args ...any) { t.Logf(format, args...) },
	}
}

// run runs all scenarios.
func run(t *testing.T, o conformance.Options) *conformance.Report {
	t.Helper()
	r, err := conformance.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func text(t *testing.T, r *conformance.Report) string {
	t.Helper()
	var b strings.Builder
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// passes runs all scenarios, of which none may fail, and looks at what is left.
func passes(t *testing.T, s conformance.Server, left func() [][]string) {
	t.Helper()
	r := run(t, options(t, s))
	if r.Failures() > 0 || len(r.Checks) < 40 {
		t.Errorf("%d checks:\n%s", len(r.Checks), text(t, r))
	}
	for _, f := range r.About {
		if strings.HasPrefix(f.Value, "not to be had") {
			t.Errorf("%s: %s", f.Name, f.Value)
		}
	}
	if len(r.About) < 6 {
		t.Errorf("little is told of the server: %v", r.About)
	}
	t.Log(text(t, r))
	if rows := left(); len(rows) > 0 {
		t.Errorf("left behind: %v", rows)
	}
}

func query(t *testing.T, db *testdb.Database, q string) func() [][]string {
	return func() [][]string {
		rows, err := db.Query(context.WithoutCancel(t.Context()), q)
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
}

const postgresLeft = `SELECT nspname FROM pg_namespace WHERE nspname LIKE 'tributary_conf%'
UNION ALL SELECT slot_name FROM pg_replication_slots WHERE slot_name LIKE 'tributary_conf%'
UNION ALL SELECT pubname FROM pg_publication WHERE pubname LIKE 'tributary_conf%'
UNION ALL SELECT rolname FROM pg_roles WHERE rolname LIKE 'tributary_conf%'`

const mysqlLeft = "SELECT schema_name FROM information_schema.schemata WHERE schema_name = 'tributary_conformance' UNION ALL SELECT grantee FROM information_schema.user_privileges WHERE grantee LIKE '%tributary_conf%'"

func TestPostgreSQL(t *testing.T) {
	db := testdb.PostgreSQL(t)
	passes(t, postgresOf(t, db), query(t, db, postgresLeft))
}

func TestMySQL(t *testing.T) {
	db := testdb.MySQL(t)
	passes(t, mysqlOf(t, db, "mysql"), query(t, db, mysqlLeft))
}

func TestMariaDB(t *testing.T) {
	db := testdb.MariaDB(t)
	passes(t, mysqlOf(t, db, "mariadb"), query(t, db, mysqlLeft))
}

// TestReleases takes the other releases that there are.
func TestReleases(t *testing.T) {
	for _, release := range testdb.Releases() {
		t.Run(strconv.Itoa(release), func(t *testing.T) {
			db := testdb.PostgreSQLRelease(t, release)
			passes(t, postgresOf(t, db), query(t, db, postgresLeft))
		})
	}
	t.Run("MariaDB 11", func(t *testing.T) {
		db := testdb.MariaDB11(t)
		passes(t, mysqlOf(t, db, "mariadb"), query(t, db, mysqlLeft))
	})
}

func TestSQLServer(t *testing.T) {
	srv, s := captured(t)
	passes(t, s, func() [][]string { return leftOf(t, srv) })
}

// TestKindsOfSQLServer has changes come as late as the capture job of a server has
// them, between its rounds, and servers that are otherwise different.
func TestKindsOfSQLServer(t *testing.T) {
	for name, o := range map[string]mssqltest.Options{
		"slow":  {AgentInterval: 300 * time.Millisecond},
		"Azure": {EngineEdition: 5, CompactRows: true},
		"masks": {MaskLowFirst: true, RDS: true},
	} {
		t.Run(name, func(t *testing.T) {
			o.Password, o.Databases = password, []string{"crm"}
			srv, err := mssqltest.Start(context.WithoutCancel(t.Context()), o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = srv.Close() }) // a model that nobody needs any more
			if err := srv.DB("crm").EnableCDC(); err != nil {
				t.Fatal(err)
			}
			passes(t, modelAt(t, srv), func() [][]string { return leftOf(t, srv) })
		})
	}
}

// leftOf asks the model for what a run left.
func leftOf(t *testing.T, srv *mssqltest.Server) (out [][]string) {
	t.Helper()
	rows, err := srv.DB("crm").Query("SELECT name FROM sys.schemas WHERE name = N'tributary_conformance' UNION ALL SELECT capture_instance FROM cdc.change_tables WHERE capture_instance LIKE N'tributary%' UNION ALL SELECT name FROM sys.server_principals WHERE name LIKE N'tributary%' UNION ALL SELECT name FROM sys.database_principals WHERE name LIKE N'tributary%'")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		out = append(out, []string{fmt.Sprint(r...)})
	}
	return out
}

// spoiled has a PostgreSQL that gives the second account another owner.
func spoiled(t *testing.T) *testdb.Database {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, `CREATE FUNCTION public.spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.owner := 'Rob'; RETURN NEW; END $$`,
		`CREATE FUNCTION public.attach() RETURNS event_trigger LANGUAGE plpgsql AS $$ DECLARE r record; BEGIN
			FOR r IN SELECT * FROM pg_event_trigger_ddl_commands() WHERE command_tag = 'CREATE TABLE' AND object_identity LIKE '%.account' LOOP
				EXECUTE 'CREATE TRIGGER spoil BEFORE INSERT ON ' || r.object_identity || ' FOR EACH ROW WHEN (NEW.id = 2) EXECUTE FUNCTION public.spoil()';
			END LOOP; END $$`,
		"CREATE EVENT TRIGGER attach ON ddl_command_end EXECUTE FUNCTION public.attach()")
	return db
}

// TestWrongServer has a server that does not do what the scenarios expect.
func TestWrongServer(t *testing.T) {
	db := spoiled(t)
	o := options(t, postgresOf(t, db))
	o.Only = []string{"snapshot", "keys"}
	r := run(t, o)
	var failed []string
	for _, c := range r.Checks {
		if c.Result == conformance.Failed {
			failed = append(failed, c.Scenario+": "+strings.Join(c.Detail, "; "))
		}
	}
	want := []string{
		"snapshot:   r account id=1 owner=Ann balance=100; - r account id=2 owner=Bob balance=null; + r account id=2 owner=Rob balance=null;   r account id=3 owner= balance=-5",
		"snapshot:   ; - u account id=2 owner=Bob balance=7 | id=2 owner=Bob balance=null; + u account id=2 owner=Rob balance=7 | id=2 owner=Rob balance=null;   ",
	}
	if !slices.Equal(failed, want) {
		t.Errorf("got\n%s", strings.Join(failed, "\n"))
	}
	if rows := query(t, db, postgresLeft)(); len(rows) > 0 {
		t.Errorf("left behind: %v", rows)
	}
}

// TestBrokenServer has connections of the source break: that is a failed check, not
// the end of the run.
func TestBrokenServer(t *testing.T) {
	srv, s := captured(t)
	srv.Inject(mssqltest.Fault{Match: "[tributary_conformance_item_CT]", Err: &mssqltest.Error{Number: 1205, Class: 13, State: 1, Text: "deadlock victim"}})
	o := options(t, s)
	o.Only = []string{"snapshot", "keys", "schema"}
	r := run(t, o)
	if r.Failures() != 2 || !strings.Contains(text(t, r), "keys: runs to its end\n    take the next batch") {
		t.Errorf("%s", text(t, r))
	}
	if rows := leftOf(t, srv); len(rows) > 0 {
		t.Errorf("left behind: %v", rows)
	}
}

// TestNothingIsLeftAfterCancel ends runs at many moments.
func TestNothingIsLeftAfterCancel(t *testing.T) {
	pg, my := testdb.PostgreSQL(t), testdb.MySQL(t)
	srv, ms := captured(t)
	for name, c := range map[string]struct {
		server conformance.Server
		left   func() [][]string
	}{
		"PostgreSQL": {postgresOf(t, pg), query(t, pg, postgresLeft)},
		"MySQL":      {mysqlOf(t, my, "mysql"), query(t, my, mysqlLeft)},
		"SQL Server": {ms, func() [][]string { return leftOf(t, srv) }},
	} {
		t.Run(name, func(t *testing.T) {
			stopped := 0
			for after := 5 * time.Millisecond; after < 700*time.Millisecond; after += after/2 + 7*time.Millisecond {
				ctx, cancel := context.WithTimeoutCause(t.Context(), after, context.Canceled)
				_, err := conformance.Run(ctx, options(t, c.server))
				cancel()
				if errors.Is(err, conformance.ErrStopped) {
					stopped++
				}
				if rows := c.left(); len(rows) > 0 {
					t.Fatalf("after %s (%v), left behind: %v", after, err, rows)
				}
			}
			if stopped < 3 {
				t.Errorf("%d runs were stopped", stopped)
			}
		})
	}
}

// refused is what a run and a clean-up say of a scratch place that is there.
func refused(t *testing.T, err error, hint string) {
	t.Helper()
	if !fault.NeedsHuman(err) || !strings.Contains(fault.Hint(err), hint) {
		t.Errorf("error %v, hint %q", err, fault.Hint(err))
	}
}

// TestPlaceOfSomebodyElse has tributary_conformance be there already, not by us.
func TestPlaceOfSomebodyElse(t *testing.T) {
	pg, my := testdb.PostgreSQL(t), testdb.MySQL(t)
	srv, ms := captured(t)
	exec := func(q ...string) {
		for _, q := range q {
			if err := srv.DB("crm").Exec(q); err != nil {
				t.Fatal(err)
			}
		}
	}
	mine := []string{"CREATE TABLE tributary_conformance.mine (id int NOT NULL PRIMARY KEY)", "INSERT INTO tributary_conformance.mine VALUES (7)"}
	pg.MustExec(t, append([]string{"CREATE SCHEMA tributary_conformance"}, mine...)...)
	my.MustExec(t, append([]string{"CREATE DATABASE tributary_conformance"}, mine...)...)
	t.Cleanup(func() { _ = my.Exec(context.WithoutCancel(t.Context()), "DROP DATABASE tributary_conformance") })
	exec(append([]string{"CREATE SCHEMA tributary_conformance"}, mine...)...)
	for _, s := range []conformance.Server{postgresOf(t, pg), mysqlOf(t, my, "mysql"), ms} {
		_, err := conformance.Run(t.Context(), options(t, s))
		refused(t, err, "drop or rename it")
		refused(t, conformance.Clean(t.Context(), s, t.Logf), "drop it yourself")
	}
	for _, db := range []*testdb.Database{pg, my} {
		if rows := query(t, db, "SELECT id FROM tributary_conformance.mine")(); len(rows) != 1 {
			t.Errorf("%v", rows)
		}
	}
	exec("UPDATE tributary_conformance.mine SET id = 8 WHERE id = 7")
}

// TestKeepAndClean keeps the tables of a run, and drops them.
func TestKeepAndClean(t *testing.T) {
	pg := testdb.PostgreSQL(t)
	srv, ms := captured(t)
	for name, c := range map[string]struct {
		server conformance.Server
		left   func() [][]string
	}{
		"PostgreSQL": {postgresOf(t, pg), query(t, pg, postgresLeft)},
		"SQL Server": {ms, func() [][]string { return leftOf(t, srv) }},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t, c.server)
			o.Keep, o.Only = true, []string{"keys", "types"}
			if r := run(t, o); r.Failures() > 0 {
				t.Errorf("%s", text(t, r))
			}
			if len(c.left()) == 0 {
				t.Error("nothing was kept")
			}
			_, err := conformance.Run(t.Context(), options(t, c.server))
			refused(t, err, "-clean")
			for range 2 { // the second time there is nothing
				if err := conformance.Clean(t.Context(), c.server, t.Logf); err != nil {
					t.Fatal(err)
				}
			}
			if rows := c.left(); len(rows) > 0 {
				t.Errorf("left behind: %v", rows)
			}
		})
	}
}

// TestWhatIsMissing says how to mend it.
func TestWhatIsMissing(t *testing.T) {
	_, s := model(t)
	_, err := conformance.Run(t.Context(), options(t, s))
	refused(t, err, "USE [crm]; EXEC sys.sp_cdc_enable_db")
	srv, _ := captured(t)
	exec(t, srv, "CREATE LOGIN weak WITH PASSWORD = N'"+password+"'")
	_, err = conformance.Run(t.Context(), options(t, modelAs(t, srv, "weak")))
	refused(t, err, "USE [crm]; CREATE USER [weak] FOR LOGIN [weak]")
	exec(t, srv, "USE [crm]; CREATE USER [weak] FOR LOGIN [weak]")
	_, err = conformance.Run(t.Context(), options(t, modelAs(t, srv, "weak")))
	refused(t, err, "USE [crm]; ALTER ROLE db_owner ADD MEMBER [weak]")
	pg := testdb.PostgreSQL(t)
	pg.MustExec(t, "CREATE USER conformer WITH REPLICATION PASSWORD 'p'")
	t.Cleanup(func() { _ = pg.Exec(context.WithoutCancel(t.Context()), "DROP USER conformer") })
	var o postgres.Options
	parse(t, "postgres", pg.Host, pg.Port, "conformer", "p", "database.dbname: "+pg.Name, &o)
	_, err = conformance.Run(t.Context(), options(t, conformance.PostgreSQL(o)))
	refused(t, err, `GRANT CREATE ON DATABASE "`+pg.Name+`" TO "conformer"`)
	my := testdb.MySQL(t)
	my.MustExec(t, "CREATE USER conformer IDENTIFIED BY 'p'", "GRANT SELECT, RELOAD, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO conformer")
	t.Cleanup(func() { _ = my.Exec(context.WithoutCancel(t.Context()), "DROP USER conformer") })
	var m mysql.Options
	parse(t, "mysql", my.Host, my.Port, "conformer", "p", "", &m)
	_, err = conformance.Run(t.Context(), options(t, conformance.MySQL(m)))
	refused(t, err, "GRANT CREATE, DROP, ALTER, SELECT, INSERT, UPDATE, DELETE ON tributary_conformance.* TO 'conformer'")
	some := options(t, s)
	some.Only = []string{"nothing"}
	_, err = conformance.Run(t.Context(), some)
	refused(t, err, "snapshot, transactions")
}
