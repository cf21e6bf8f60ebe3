package sqlserver

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"

	"tributary/capture"
	"tributary/capture/capturetest"
	"tributary/envelope"
	"tributary/internal/mssqltest"
)

// suiteDB is a database of the model that captures each table it is given. It is
// written to over the network, as the other databases are.
type suiteDB struct {
	*mssqltest.Database
	pool *sql.DB
}

var _ capturetest.Database = suiteDB{}

func (d suiteDB) Exec(ctx context.Context, statements ...string) error {
	for _, q := range statements {
		if _, err := d.pool.ExecContext(ctx, q); err != nil {
			return err
		}
		if name, ok := strings.CutPrefix(q, "CREATE TABLE "); ok {
			name, _, _ = strings.Cut(name, " ")
			if err := d.EnableTable("dbo", name, ""); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d suiteDB) Query(_ context.Context, statement string) (out [][]string, err error) {
	rows, err := d.Database.Query(statement)
	for _, row := range rows {
		var texts []string
		for _, v := range row {
			texts = append(texts, fmt.Sprint(v))
		}
		out = append(out, texts)
	}
	return out, err
}

// order is the place of a change in the log.
func order(c *envelope.Change) string {
	return fmt.Sprintf("%s %s %08x", c.Source.CommitLSN.String(), c.Source.ChangeLSN.String(), c.Source.SerialNo)
}

// TestSuite runs what all databases pass. The tests write while they hold up a
// snapshot, which it must not keep them from: it is one in snapshot isolation. That
// the other modes meet the changes is TestSnapshotUnderWriters.
func TestSuite(t *testing.T) {
	for name, more := range map[string]map[string]string{
		"direct": {}, "function": {"data.query.mode": "function"}, "threads": {"snapshot.max.threads": "3"},
		"small pages": {"streaming.fetch.size": "50", "max.iteration.transactions": "100"},
	} {
		t.Run(name, func(t *testing.T) {
			capturetest.Suite(t, func(t *testing.T) capturetest.Harness { return suiteHarness(t, more) })
		})
	}
}

func suiteHarness(t *testing.T, more map[string]string) capturetest.Harness {
	t.Helper()
	srv := serve(t, mssqltest.Options{})
	pool, err := sql.Open("sqlserver", "sqlserver://sa:Secret1!@"+srv.Addr()+"?database=crm&encrypt=disable")
	check(t, err)
	t.Cleanup(func() { check(t, pool.Close()) })
	// The goroutines of its connections are not the source's.
	const most = 3
	pool.SetMaxOpenConns(most)
	pool.SetMaxIdleConns(most)
	var all []*sql.Conn
	for range most {
		c, err := pool.Conn(t.Context())
		check(t, err, c.PingContext(t.Context()))
		all = append(all, c)
	}
	for _, c := range all {
		check(t, c.Close())
	}
	db := suiteDB{srv.DB("crm"), pool}
	check(t, db.EnableCDC(), db.AllowSnapshot(true), db.Exec(t.Context(), "CREATE TABLE signal (id varchar(64) NOT NULL, type varchar(64) NOT NULL, data nvarchar(max) NULL)"))
	return capturetest.Harness{
		DB: db, Schema: "crm.dbo.", Begin: "BEGIN TRANSACTION", Overlap: true, Order: order,
		Source: func(t *testing.T, limits capture.Limits, fetchSize int) capture.Source {
			t.Helper()
			all := map[string]string{"snapshot.isolation.mode": "snapshot", "signal.data.collection": "crm.dbo.signal", "include.schema.changes": "false"}
			maps.Copy(all, more)
			o := optionsFor(t, srv, all)
			o.BatchSize, o.BatchBytes, o.FetchSize = limits.Changes, limits.Bytes, fetchSize
			s, err := New(o, slog.New(slog.DiscardHandler))
			check(t, err)
			return s
		},
	}
}
