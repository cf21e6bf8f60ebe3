package conformance_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"tributary/capture/conformance"
	"tributary/capture/mysql"
	"tributary/capture/postgres"
	"tributary/capture/sqlserver"
	"tributary/internal/config"
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
	host, port, err := net.SplitHostPort(srv.Addr())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	fmt.Sscan(port, &n)
	var o sqlserver.Options
	parse(t, "sqlserver", host, n, "sa", password, "database.names: crm\ndriver.encrypt: \"false\"", &o)
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

const postgresLeft = `SELECT nspname FROM pg_namespace WHERE nspname = 'tributary_conformance'
UNION ALL SELECT slot_name FROM pg_replication_slots WHERE slot_name = 'tributary_conformance'
UNION ALL SELECT pubname FROM pg_publication WHERE pubname = 'tributary_conformance'`

const mysqlLeft = "SELECT schema_name FROM information_schema.schemata WHERE schema_name = 'tributary_conformance'"

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

func TestSQLServer(t *testing.T) {
	srv, s := captured(t)
	passes(t, s, func() [][]string { return leftOf(t, srv) })
}

// leftOf asks the model for what a run left.
func leftOf(t *testing.T, srv *mssqltest.Server) (out [][]string) {
	t.Helper()
	rows, err := srv.DB("crm").Query("SELECT name FROM sys.schemas WHERE name = N'tributary_conformance' UNION ALL SELECT capture_instance FROM cdc.change_tables WHERE capture_instance LIKE N'tributary%'")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		out = append(out, []string{fmt.Sprint(r...)})
	}
	return out
}
