package mssqltest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	mssql "github.com/microsoft/go-mssqldb"

	"tributary/internal/mssqltest"
)

// start starts a server with the database crm.
func start(t *testing.T, opts mssqltest.Options) (*mssqltest.Server, *mssqltest.Database) {
	t.Helper()
	opts.Password = "Secret1!"
	opts.Databases = append(opts.Databases, "crm")
	srv, err := mssqltest.Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return srv, srv.DB("crm")
}

func dsn(srv *mssqltest.Server, user, database string) string {
	u := url.URL{Scheme: "sqlserver", User: url.UserPassword(user, "Secret1!"), Host: srv.Addr(), RawQuery: "encrypt=disable&database=" + database}
	return u.String()
}

// open connects with go-mssqldb.
func open(t *testing.T, srv *mssqltest.Server) *sql.DB {
	t.Helper()
	return openAs(t, srv, "sa")
}

// openAs connects as a login with the password of all here.
func openAs(t *testing.T, srv *mssqltest.Server, user string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlserver", dsn(srv, user, "crm"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func run(t *testing.T, db interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}, text string, args ...any,
) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), text, args...); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// rows reads a result as texts: byte strings in hex, times in RFC 3339.
func rows(t *testing.T, db querier, text string, args ...any) [][]string {
	t.Helper()
	out, err := tryRows(t, db, text, args...)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return out
}

func tryRows(t *testing.T, db querier, text string, args ...any) ([][]string, error) {
	t.Helper()
	r, err := db.QueryContext(t.Context(), text, args...)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	types, err := r.ColumnTypes()
	if err != nil {
		return nil, err
	}
	var out [][]string
	for r.Next() {
		vals := make([]any, len(types))
		for i := range vals {
			vals[i] = new(any)
		}
		if err := r.Scan(vals...); err != nil {
			return nil, err
		}
		row := make([]string, len(vals))
		for i, v := range vals {
			row[i] = show(*v.(*any), types[i].DatabaseTypeName())
		}
		out = append(out, row)
	}
	return out, r.Err()
}

func show(v any, kind string) string {
	switch x := v.(type) {
	case nil:
		return "NULL"
	case []byte:
		if kind == "DECIMAL" || kind == "MONEY" || kind == "SMALLMONEY" {
			return string(x)
		}
		return fmt.Sprintf("%x", x)
	case time.Time:
		return x.Format(time.RFC3339Nano)
	}
	return fmt.Sprint(v)
}

// number is the number of an error of the server.
func number(err error) int32 {
	var e mssql.Error
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}

func equal(t *testing.T, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("got  %s\nwant %s", g, w)
	}
}

func TestLogin(t *testing.T) {
	srv, _ := start(t, mssqltest.Options{})
	for _, c := range []struct {
		user, password, database string
		number                   int32
	}{
		{"sa", "Secret1!", "crm", 0}, {"SA", "Secret1!", "CRM", 0}, {"sa", "wrong", "crm", 18456}, {"other", "Secret1!", "crm", 18456}, {"sa", "Secret1!", "no", 4060},
	} {
		u := url.URL{Scheme: "sqlserver", User: url.UserPassword(c.user, c.password), Host: srv.Addr(), RawQuery: "encrypt=disable&database=" + c.database}
		db, err := sql.Open("sqlserver", u.String())
		if err != nil {
			t.Fatal(err)
		}
		if err := db.PingContext(t.Context()); number(err) != c.number || (err == nil) != (c.number == 0) {
			t.Errorf("%v: %v", c, err)
		}
		db.Close()
	}
}

func TestChanges(t *testing.T) {
	srv, db := start(t, mssqltest.Options{})
	c := open(t, srv)
	run(t, c, "EXEC sys.sp_cdc_enable_db")
	run(t, c, "CREATE TABLE dbo.customer (id int NOT NULL PRIMARY KEY, name nvarchar(20) NULL, note nvarchar(max) NULL)")
	run(t, c, "EXEC sys.sp_cdc_enable_table @source_schema=N'dbo', @source_name=N'customer', @role_name=NULL, @supports_net_changes=0")
	equal(t, rows(t, c, "SELECT sys.fn_cdc_get_max_lsn()"), "[[NULL]]")
	run(t, c, "INSERT INTO customer VALUES (1, N'Ann', N'long'), (2, N'Bob', NULL)")
	run(t, c, "UPDATE customer SET name = N'Bobby' WHERE id = @p1", 2)
	run(t, c, "UPDATE customer SET name = N'Anna' WHERE id = 1")
	run(t, c, "UPDATE customer SET id = 7 WHERE id = 2")
	run(t, c, "DELETE FROM customer WHERE id = 7")
	equal(t, rows(t, c, "SELECT [__$operation], [__$update_mask], id, name, note FROM cdc.[fn_cdc_get_all_changes_dbo_customer](@p1, @p2, N'all update old')",
		db.MinLSN("dbo_customer").Bytes(), db.MaxLSN().Bytes()),
		"[[2 07 1 Ann long] [2 07 2 Bob NULL] [3 02 2 Bob NULL] [4 02 2 Bobby NULL] [3 02 1 Ann NULL] [4 02 1 Anna NULL] [1 07 2 Bobby NULL] [2 07 7 Bobby NULL] [1 07 7 Bobby NULL]]")
	direct := rows(t, c, `SELECT cdc_data.[__$operation], cdc_data.[id], TODATETIMEOFFSET(ltm.tran_begin_time, DATEPART(TZOFFSET, SYSDATETIMEOFFSET()))
		FROM [crm].cdc.[dbo_customer_CT] AS cdc_data LEFT JOIN [crm].cdc.lsn_time_mapping ltm ON ltm.start_lsn = cdc_data.[__$start_lsn]
		WHERE (([cdc_data].[__$start_lsn] = @p1 AND [cdc_data].[__$seqval] = @p2 AND [cdc_data].[__$operation] > @p3) OR ([cdc_data].[__$start_lsn] = @p4 AND [cdc_data].[__$seqval] > @p5) OR ([cdc_data].[__$start_lsn] > @p6)) AND [cdc_data].[__$start_lsn] <= @p7
		ORDER BY cdc_data.[__$start_lsn] ASC, cdc_data.[__$command_id] ASC, cdc_data.[__$seqval] ASC, cdc_data.[__$operation] ASC`,
		db.MinLSN("dbo_customer").Bytes(), make([]byte, 10), 0, db.MinLSN("dbo_customer").Bytes(), make([]byte, 10), db.MinLSN("dbo_customer").Bytes(), db.MaxLSN().Bytes())
	if len(direct) != 9 || direct[0][2] == "NULL" {
		t.Errorf("direct: %v", direct)
	}
	_, err := tryRows(t, c, "SELECT * FROM cdc.[fn_cdc_get_all_changes_dbo_customer](0x01, @p1, N'all')", db.MaxLSN().Bytes())
	equal(t, number(err), 313)
	_, err = tryRows(t, c, "SELECT * FROM cdc.[fn_cdc_get_all_changes_dbo_none](0x01, @p1, N'all')", db.MaxLSN().Bytes())
	equal(t, number(err), 208)
}
