package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tributary/internal/mssqltest"
)

// model starts the model of SQL Server with a captured table.
func model(t *testing.T) (*mssqltest.Server, *mssqltest.Database) {
	t.Helper()
	srv, err := mssqltest.Start(context.WithoutCancel(t.Context()), mssqltest.Options{Password: "Secret1!", Databases: []string{"crm"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() }) // a model that nobody needs any more
	db := srv.DB("crm")
	for _, q := range []string{"EXEC sys.sp_cdc_enable_db", "CREATE TABLE dbo.item (id int NOT NULL PRIMARY KEY, name nvarchar(40) NULL, price decimal(8,2) NULL)"} {
		if err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	return srv, db
}

// sqlserverFile writes a configuration for the model.
func (s stack) sqlserverFile(t *testing.T, srv *mssqltest.Server, more string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(srv.Addr())
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`
name: crm
connector.class: io.debezium.connector.sqlserver.SqlServerConnector
topic.prefix: test
database: {hostname: %s, port: %s, user: sa, password: Secret1!, names: crm}
driver.encrypt: "false"
poll.interval.ms: 20
bootstrap.servers: %s
schema.registry.url: %s
%s`, host, port, s.kafka, s.registry, more)
	path := filepath.Join(t.TempDir(), "connector.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRunSQLServerSnapshotsStreamsAndResumes(t *testing.T) {
	srv, db := model(t)
	exec := func(queries ...string) {
		t.Helper()
		for _, q := range queries {
			if err := db.Exec(q); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := db.EnableTable("dbo", "item", ""); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		exec(fmt.Sprintf("INSERT INTO dbo.item VALUES (%d, N'an item', 1.5)", i+1))
	}
	s := newStack(t)
	path := s.sqlserverFile(t, srv, "transforms: unwrap\ntransforms.unwrap.add.fields: op,commit_lsn,change_lsn\ntransforms.unwrap.delete.tombstone.handling.mode: rewrite\n")
	stop := start(t, path)
	s.read(t, "test.crm.dbo.item", 50)
	exec("UPDATE dbo.item SET price = 2 WHERE id = 7", "DELETE FROM dbo.item WHERE id = 8", "UPDATE dbo.item SET id = 3000 WHERE id = 9")
	s.read(t, "test.crm.dbo.item", 54)
	stop()

	exec("INSERT INTO dbo.item VALUES (2000, N'while it was away', NULL)")
	stop = start(t, path)
	s.read(t, "test.crm.dbo.item", 55)
	stop()
}

func TestRunSQLServerTellsWhatIsWrong(t *testing.T) {
	srv, _ := model(t)
	s := newStack(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := run(ctx, []string{"-c", s.sqlserverFile(t, srv, "")}, slog.New(slog.DiscardHandler))
	wantError(t, err, "no table has a capture instance", true)
}
