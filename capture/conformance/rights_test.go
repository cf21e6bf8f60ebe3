package conformance_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tributary/capture/conformance"
	"tributary/capture/mysql"
	"tributary/capture/postgres"
	"tributary/internal/mssqltest"
	"tributary/internal/testdb"
)

// exec executes statements in the database of the model.
func exec(t *testing.T, srv *mssqltest.Server, statements ...string) {
	t.Helper()
	for _, q := range statements {
		if err := srv.DB("crm").Exec(q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

// rights runs the scenario of a login with few rights.
func rights(t *testing.T, s conformance.Server) *conformance.Report {
	t.Helper()
	o := options(t, s)
	o.Only = []string{"rights"}
	return run(t, o)
}

// TestRights has the login be given just what it is told to need.
func TestRights(t *testing.T) {
	srv, s := captured(t)
	r := rights(t, s)
	var given, without []string
	for _, c := range r.Checks {
		if strings.HasPrefix(c.Name, "what is missing is named: ") {
			given = append(given, strings.Join(c.Detail, "; "))
		}
		if q, ok := strings.CutPrefix(c.Name, "without it a source that goes on says so: "); ok {
			without = append(without, q)
		}
	}
	const to = "TO [tributary_conformance_reader]"
	want := []string{
		"CREATE USER [tributary_conformance_reader] FOR LOGIN [tributary_conformance_reader]",
		"GRANT SELECT ON SCHEMA::[cdc] " + to,
		"GRANT SELECT ON [tributary_conformance].[item] " + to + "; GRANT SELECT ON [tributary_conformance].[zend] " + to,
		"ALTER ROLE [tributary_conformance_readers] ADD MEMBER [tributary_conformance_reader]",
	}
	if r.Failures() > 0 || !slices.Equal(given, want) || len(without) != 4 {
		t.Errorf("%s\n%s\n%s", strings.Join(given, "\n"), strings.Join(without, "\n"), text(t, r))
	}
	if rows := leftOf(t, srv); len(rows) > 0 {
		t.Errorf("left behind: %v", rows)
	}
}

// TestRightsOfOthers has the logins of other databases be given what they need.
func TestRightsOfOthers(t *testing.T) {
	pg, my, maria := testdb.PostgreSQL(t), testdb.MySQL(t), testdb.MariaDB(t)
	ofMySQL := []string{
		"GRANT REPLICATION CLIENT ON *.* TO 'tributary_conformance_reader'@'%'", "GRANT REPLICATION SLAVE ON *.* TO 'tributary_conformance_reader'@'%'",
		"GRANT SELECT ON tributary_conformance.* TO 'tributary_conformance_reader'@'%'",
	}
	for name, c := range map[string]struct {
		server conformance.Server
		left   func() [][]string
		given  []string
	}{
		"PostgreSQL": {postgresOf(t, pg), query(t, pg, postgresLeft), []string{
			"ALTER ROLE tributary_conformance_reader REPLICATION",
			`GRANT SELECT ON "tributary_conformance"."item", "tributary_conformance"."zend" TO tributary_conformance_reader; GRANT USAGE ON SCHEMA tributary_conformance TO tributary_conformance_reader`,
			"CREATE PUBLICATION tributary_conformance FOR TABLE tributary_conformance.item, tributary_conformance.zend",
		}},
		"MySQL":   {mysqlOf(t, my, "mysql"), query(t, my, mysqlLeft), ofMySQL},
		"MariaDB": {mysqlOf(t, maria, "mariadb"), query(t, maria, mysqlLeft), ofMySQL},
	} {
		t.Run(name, func(t *testing.T) {
			r := rights(t, c.server)
			var given []string
			for _, c := range r.Checks {
				if strings.HasPrefix(c.Name, "what is missing is named: ") {
					given = append(given, strings.Join(c.Detail, "; "))
				}
			}
			if r.Failures() > 0 || !slices.Equal(given, c.given) {
				t.Errorf("%s\n%s", strings.Join(given, "\n"), text(t, r))
			}
			if rows := c.left(); len(rows) > 0 {
				t.Errorf("left behind: %v", rows)
			}
		})
	}
}

// TestRightsOfOthersLeftOut has users who may not make logins, and logins that are
// somebody else's.
func TestRightsOfOthersLeftOut(t *testing.T) {
	pg, my := testdb.PostgreSQL(t), testdb.MySQL(t)
	pg.MustExec(t, "CREATE USER conformer WITH REPLICATION PASSWORD 'p'", `GRANT CREATE ON DATABASE "`+pg.Name+`" TO conformer`)
	my.MustExec(t, "CREATE USER conformer IDENTIFIED BY 'p'", "GRANT SELECT, RELOAD, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO conformer",
		"GRANT CREATE, DROP, ALTER, INSERT, UPDATE, DELETE ON tributary_conformance.* TO conformer")
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		_ = pg.Exec(ctx, `REVOKE ALL ON DATABASE "`+pg.Name+`" FROM conformer`)
		for _, db := range []*testdb.Database{pg, my} {
			_ = db.Exec(ctx, "DROP USER IF EXISTS conformer")
			_ = db.Exec(ctx, "DROP USER IF EXISTS tributary_conformance_reader")
		}
	})
	var p postgres.Options
	parse(t, "postgres", pg.Host, pg.Port, "conformer", "p", "database.dbname: "+pg.Name, &p)
	var m mysql.Options
	parse(t, "mysql", my.Host, my.Port, "conformer", "p", "", &m)
	leftOut := func(s conformance.Server, left func() [][]string, most int, why string) {
		t.Helper()
		r := rights(t, s)
		if len(r.Checks) != 1 || r.Checks[0].Result != conformance.LeftOut || !strings.Contains(strings.Join(r.Checks[0].Detail, "\n"), why) {
			t.Errorf("%s", text(t, r))
		}
		if rows := left(); len(rows) > most {
			t.Errorf("left behind: %v", rows)
		}
	}
	leftOut(conformance.PostgreSQL(p), query(t, pg, postgresLeft), 0, "may not create roles (CREATEROLE)")
	leftOut(conformance.MySQL(m), query(t, my, mysqlLeft), 0, "may not create accounts (CREATE USER)")
	my.MustExec(t, "GRANT CREATE USER ON *.* TO conformer")
	leftOut(conformance.MySQL(m), query(t, my, mysqlLeft), 0, "may not grant what capturing needs (GRANT OPTION)")
	for _, db := range []*testdb.Database{pg, my} {
		db.MustExec(t, "CREATE USER tributary_conformance_reader")
	}
	leftOut(postgresOf(t, pg), query(t, pg, postgresLeft), 1, "this run has not made it")
	leftOut(mysqlOf(t, my, "mysql"), query(t, my, mysqlLeft), 1, "this run has not made it")
}

// TestRightsThatDoNotHelp has the server refuse what the source asks for, whatever is
// given, and refuse less than the source says: both are found.
func TestRightsThatDoNotHelp(t *testing.T) {
	for name, c := range map[string]struct{ do, failed string }{
		"in vain":  {"DENY SELECT ON cdc.change_tables TO public", "- a statement that mends it\n    + open the source: read cdc.change_tables"},
		"later":    {"DENY SELECT ON cdc.lsn_time_mapping TO public", "FAILED: rights: runs to its end\n    take the next batch: "},
		"needless": {"GRANT SELECT TO public", "- GRANT SELECT ON SCHEMA::[cdc] TO [tributary_conformance_reader]"},
		"writing":  {"GRANT INSERT TO public", "+ a row"},
	} {
		t.Run(name, func(t *testing.T) {
			srv, s := captured(t)
			exec(t, srv, c.do)
			if r := rights(t, s); r.Failures() == 0 || !strings.Contains(text(t, r), c.failed) {
				t.Errorf("%s", text(t, r))
			}
			if rows := leftOf(t, srv); len(rows) > 0 {
				t.Errorf("left behind: %v", rows)
			}
		})
	}
}

// TestRightsLeftOut has users who may not make logins, and servers where there can be
// none; what has the name of what a run makes is left alone.
func TestRightsLeftOut(t *testing.T) {
	srv, s := captured(t)
	exec(t, srv, "CREATE LOGIN owner WITH PASSWORD = N'"+password+"'; CREATE USER owner; ALTER ROLE db_owner ADD MEMBER owner")
	leftOut := func(s conformance.Server, why string) {
		t.Helper()
		r := rights(t, s)
		if len(r.Checks) != 1 || r.Checks[0].Result != conformance.LeftOut || !strings.Contains(strings.Join(r.Checks[0].Detail, "\n"), why) {
			t.Errorf("%s", text(t, r))
		}
	}
	leftOut(modelAs(t, srv, "owner"), "may not create logins (ALTER ANY LOGIN at the server)")
	if rows := leftOf(t, srv); len(rows) > 0 {
		t.Errorf("left behind: %v", rows)
	}
	for _, c := range [][3]string{
		{"CREATE LOGIN tributary_conformance_reader WITH PASSWORD = N'" + password + "'", "there is a login", "DROP LOGIN tributary_conformance_reader"},
		{"CREATE USER tributary_conformance_reader WITHOUT LOGIN", "there is a user", "DROP USER tributary_conformance_reader"},
		{"CREATE ROLE tributary_conformance_readers", "or a role", "DROP ROLE tributary_conformance_readers"},
	} {
		exec(t, srv, c[0])
		leftOut(s, c[1])
		if err := conformance.Clean(t.Context(), s, t.Logf); err != nil {
			t.Error(err)
		}
		exec(t, srv, c[2]) // it is there still
	}
	azure, err := mssqltest.Start(context.WithoutCancel(t.Context()), mssqltest.Options{EngineEdition: 5, Password: password, Databases: []string{"crm"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = azure.Close() }) // a model that nobody needs any more
	exec(t, azure, "EXEC sys.sp_cdc_enable_db")
	leftOut(modelAt(t, azure), "User must be in the master database")
}

// TestRightsKept has a run end before it cleans up: that is made up for later.
func TestRightsKept(t *testing.T) {
	srv, s := captured(t)
	o := options(t, s)
	o.Only, o.Keep = []string{"rights"}, true
	if r := run(t, o); r.Failures() > 0 {
		t.Errorf("%s", text(t, r))
	}
	left := fmt.Sprint(leftOf(t, srv))
	for _, what := range []string{"[tributary_conformance]", "[tributary_conformance_item]", "[tributary_conformance_reader]", "[tributary_conformance_readers]"} {
		if !strings.Contains(left, what) {
			t.Errorf("%s is not in %s", what, left)
		}
	}
	if err := conformance.Clean(t.Context(), s, t.Logf); err != nil {
		t.Error(err)
	}
	if rows := leftOf(t, srv); len(rows) > 0 {
		t.Errorf("left behind: %v", rows)
	}
}
