package mssqltest_test

import (
	"context"
	"database/sql"
	"fmt"

	_ "github.com/microsoft/go-mssqldb"

	"tributary/internal/mssqltest"
)

// A server with a tracked table, a transaction of this process, and a client that
// reads the changes.
func Example() {
	ctx := context.Background()
	srv, err := mssqltest.Start(ctx, mssqltest.Options{User: "sa", Password: "Secret1!", Databases: []string{"crm"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Close()
	db := srv.DB("crm")
	_ = db.EnableCDC()
	_ = db.Exec("CREATE TABLE dbo.customer (id int NOT NULL PRIMARY KEY, name nvarchar(40) NULL)")
	_ = db.EnableTable("dbo", "customer", "") // the instance dbo_customer
	tx := db.Begin()
	_ = tx.Insert("dbo.customer", 1, "Ann")
	_ = tx.Update("dbo.customer", "name = @p1", "id = @p2", "Anna", 1)
	lsn, _ := tx.Commit() // the agent captures at once, unless Options.AgentInterval is set
	fmt.Println(lsn == db.MaxLSN())

	client, err := sql.Open("sqlserver", "sqlserver://sa:Secret1!@"+srv.Addr()+"?database=crm&encrypt=disable")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	rows, err := client.QueryContext(ctx, "SELECT __$operation, name FROM cdc.fn_cdc_get_all_changes_dbo_customer(sys.fn_cdc_get_min_lsn('dbo_customer'), sys.fn_cdc_get_max_lsn(), N'all update old') ORDER BY __$start_lsn, __$seqval, __$operation")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer rows.Close()
	for rows.Next() {
		var op int
		var name string
		_ = rows.Scan(&op, &name)
		fmt.Println(op, name)
	}
	fmt.Println(rows.Err())
	// Output:
	// true
	// 2 Ann
	// 3 Ann
	// 4 Anna
	// <nil>
}
