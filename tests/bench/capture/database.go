package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"

	"tributary/internal/testdb"
)

// database is a server with the tables that are captured.
type database struct {
	server *testdb.Server
	schema string // what stands before the tables' names in topics
	name   string // the database that has them
}

// saleColumns are those of TICKIT's table sale.
const saleColumns = `(saleid INT PRIMARY KEY, listid INT NOT NULL, sellerid INT NOT NULL, buyerid INT NOT NULL, eventid INT NOT NULL,
	dateid SMALLINT NOT NULL, qtysold SMALLINT NOT NULL, pricepaid DECIMAL(8,2), commission DECIMAL(8,2), saletime TIMESTAMP NULL)`

func startDatabase(ctx context.Context, kind string, o options) (*database, error) {
	start := kinds[kind]
	if start == nil {
		return nil, fmt.Errorf("no database is called %q", kind)
	}
	settings := map[string]string{"shared_buffers": "256MB"}
	if kind != "postgresql" {
		settings = map[string]string{"innodb-buffer-pool-size": "256M", "max-binlog-size": "1G"}
	}
	s, err := start(ctx, testdb.Options{Settings: settings})
	if err != nil {
		return nil, err
	}
	d := &database{server: s, schema: "public", name: "postgres"}
	if kind != "postgresql" {
		d.schema, d.name = "bench", "bench"
		if err := s.Exec(ctx, "CREATE DATABASE bench"); err != nil {
			return nil, err
		}
	}
	err = s.ExecIn(ctx, d.name, "CREATE TABLE sale "+saleColumns, "CREATE TABLE chg "+saleColumns,
		"CREATE TABLE lat (id INT PRIMARY KEY, pad VARCHAR(40))", "CREATE TABLE mark (id INT PRIMARY KEY)")
	if err != nil {
		return nil, err
	}
	if _, err := s.Load(ctx, d.name, "sale", sales(o.rows)); err != nil {
		return nil, err
	}
	if kind == "postgresql" {
		// Whoever reads first would otherwise have to mark every row as committed.
		return d, s.ExecIn(ctx, d.name, "VACUUM ANALYZE sale", "CHECKPOINT")
	}
	return d, s.ExecIn(ctx, d.name, "ANALYZE TABLE sale")
}

// sales are so many rows of TICKIT's table sale.
func sales(n int) io.Reader {
	reader, writer := io.Pipe()
	go func() {
		r := rand.New(rand.NewPCG(7, 7))
		w := bufio.NewWriterSize(writer, 1<<20)
		for i := 1; i <= n; i++ {
			qty := 1 + r.IntN(8)
			cents := (2000 + r.IntN(248_000)) * qty % 99_999_999
			fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d.%02d\t%d.%02d\t2008-%02d-%02d %02d:%02d:%02d\n", i, 1+r.IntN(192_497), 1+r.IntN(49_990), 1+r.IntN(49_990),
				1+r.IntN(8798), 1827+r.IntN(365), qty, cents/100, cents%100, cents*15/10000, cents*15/100%100, 1+r.IntN(12), 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60))
		}
		_ = writer.CloseWithError(w.Flush()) // an error is the reader's, who has gone
	}()
	return reader
}

// change makes n changes in ten transactions: half of them inserts, four tenths
// updates, one tenth deletes.
func (d *database) change(ctx context.Context, n int) error {
	part := n / 10
	var list []string
	for i := range 5 {
		list = append(list, fmt.Sprintf("INSERT INTO chg SELECT * FROM sale WHERE saleid > %d AND saleid <= %d", i*part, (i+1)*part))
	}
	for i := range 4 {
		list = append(list, fmt.Sprintf("UPDATE chg SET qtysold = qtysold + 1, pricepaid = pricepaid + 1 WHERE saleid > %d AND saleid <= %d", i*part, (i+1)*part))
	}
	list = append(list, fmt.Sprintf("DELETE FROM chg WHERE saleid > %d", 4*part))
	return d.server.ExecIn(ctx, d.name, list...)
}

// insert adds a row to one of the small tables, over the one connection that the
// server's own statements have.
func (d *database) insert(ctx context.Context, table string, id int) error {
	if table == "lat" {
		return d.server.Exec(ctx, fmt.Sprintf("INSERT INTO %s.lat VALUES (%d, 'pppppppppppppppppppp')", d.schema, id))
	}
	return d.server.Exec(ctx, fmt.Sprintf("INSERT INTO %s.%s VALUES (%d)", d.schema, table, id))
}
