package tickit_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"tributary/internal/mssqltest"
	"tributary/internal/testdb"
	"tributary/internal/tickit"

	"github.com/google/go-cmp/cmp"
)

// The databases take the text and give it back.
func TestDatabasesTakeEveryTable(t *testing.T) {
	data := tickit.New(tickit.Small(0))
	postgres, mysql := testdb.PostgreSQL(t), testdb.MySQL(t)
	postgres.MustExec(t, "CREATE SCHEMA ems")
	sqlserver := model(t)
	mysql.MustExec(t, "CREATE DATABASE ecomm")
	t.Cleanup(func() { _ = mysql.Server.Exec(context.Background(), "DROP DATABASE ecomm") })
	for _, table := range tickit.Tables() {
		server, name := postgres.Server, postgres.Name
		switch {
		case table.InMySQL():
			server, name = mysql.Server, mysql.Name
		case table.InSQLServer():
			server, name = sqlserver, "tickit"
		}
		if err := server.ExecIn(t.Context(), name, table.DDL()); err != nil {
			t.Fatal(err)
		}
		rows := data.Reader(table.Name)
		n, err := server.Load(t.Context(), name, table.Quoted(), rows)
		rows.Close()
		if err != nil {
			t.Fatal(err)
		}
		if int(n) != data.Rows(table.Name) {
			t.Errorf("%s: loaded %d rows of %d", table.FullName(), n, data.Rows(table.Name))
		}
		compareWithText(t, server, name, table, read(t, data, table))
	}
}

// model starts the model of SQL Server, with the database tickit.
func model(t *testing.T) *testdb.Server {
	t.Helper()
	srv, err := mssqltest.Start(context.WithoutCancel(t.Context()), mssqltest.Options{Password: "secret", Databases: []string{"tickit"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	s, err := testdb.ConnectSQLServer(srv.Addr(), "secret")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	if err := s.ExecIn(t.Context(), "tickit", "CREATE SCHEMA crm"); err != nil {
		t.Fatal(err)
	}
	return s
}

func compareWithText(t *testing.T, db *testdb.Server, name string, table tickit.Table, want map[string]map[string]string) {
	t.Helper()
	err := db.Scan(t.Context(), name, "SELECT * FROM "+table.Quoted(), func(values [][]byte) error {
		got := map[string]string{}
		for i, c := range table.Columns {
			v := string(values[i])
			switch {
			case values[i] == nil:
				v = testdb.Null
			case c.Type == tickit.Boolean:
				v = strings.NewReplacer("true", "1", "false", "0", "t", "1", "f", "0").Replace(v)
			}
			got[c.Name] = v
		}
		if diff := cmp.Diff(want[string(values[0])], got); diff != "" {
			return fmt.Errorf("row %s: %s", values[0], diff)
		}
		return nil
	})
	if err != nil {
		t.Errorf("%s: %v", table.FullName(), err)
	}
}
