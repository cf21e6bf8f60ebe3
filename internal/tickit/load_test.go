package tickit_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"tributary/internal/testdb"
	"tributary/internal/tickit"

	"github.com/google/go-cmp/cmp"
)

// The databases take the text and give it back.
func TestDatabasesTakeEveryTable(t *testing.T) {
	data := tickit.New(tickit.Small(0))
	postgres, mysql := testdb.PostgreSQL(t), testdb.MySQL(t)
	postgres.MustExec(t, "CREATE SCHEMA ems; CREATE SCHEMA crm")
	mysql.MustExec(t, "CREATE DATABASE ecomm")
	t.Cleanup(func() { _ = mysql.Server.Exec(context.Background(), "DROP DATABASE ecomm") })
	for _, table := range tickit.Tables() {
		db := postgres
		if table.InMySQL() {
			db = mysql
		}
		db.MustExec(t, table.DDL())
		rows := data.Reader(table.Name)
		n, err := db.Load(t.Context(), db.Name, table.Quoted(), rows)
		rows.Close()
		if err != nil {
			t.Fatal(err)
		}
		if int(n) != data.Rows(table.Name) {
			t.Errorf("%s: loaded %d rows of %d", table.FullName(), n, data.Rows(table.Name))
		}
		compareWithText(t, db, table, read(t, data, table))
	}
}

func compareWithText(t *testing.T, db *testdb.Database, table tickit.Table, want map[string]map[string]string) {
	t.Helper()
	err := db.Scan(t.Context(), db.Name, "SELECT * FROM "+table.Quoted(), func(values [][]byte) error {
		got := map[string]string{}
		for i, c := range table.Columns {
			v := string(values[i])
			switch {
			case values[i] == nil:
				v = testdb.Null
			case c.Type == tickit.Boolean:
				v = strings.NewReplacer("t", "1", "f", "0").Replace(v)
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
