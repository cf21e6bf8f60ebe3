// Command capture measures cdc-source as a process on real databases: by itself,
// with the embedded broker, or beside a real Debezium, on a real Kafka, with the
// same data, the same servers, the same consumer and in the same run.
//
// For each database it takes the rates of a snapshot and of catching up with the
// log, the time to the first record, the delay from a commit to its record at two
// rates of changes, memory and CPU time; and beside them the floors: what the
// database's own tools take to send the same rows.
//
// It prints a table and writes the figures as JSON lines. Nothing that it starts
// outlives it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"tributary/internal/broker"
	"tributary/internal/testdb"
)

// options are the command line.
type options struct {
	databases string
	rows      int
	changes   int
	seconds   int
	idle      time.Duration
	binary    string
	dir       string
	rig       string
	tool      string
	large     int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) == 4 && os.Args[1] == "broker" {
		exit(runBroker(ctx, os.Args[2], os.Args[3]))
		return
	}
	var o options
	flag.StringVar(&o.databases, "databases", "postgresql,mysql", "which databases, of postgresql, mysql and mariadb")
	flag.IntVar(&o.rows, "rows", 1_000_000, "rows of the snapshot")
	flag.IntVar(&o.changes, "changes", 500_000, "changes to catch up with")
	flag.IntVar(&o.seconds, "seconds", 12, "for how long each rate of changes is kept up")
	flag.DurationVar(&o.idle, "idle", 5*time.Second, "how long to wait until memory counts as that of an idle process")
	flag.StringVar(&o.binary, "cdc-source", "", "the program")
	flag.StringVar(&o.dir, "dir", "", "folder for data, logs and figures; what it held is removed")
	flag.StringVar(&o.rig, "debezium", "", "folder in which debezium-bench/setup.sh has put Kafka, Connect and Debezium; none: cdc-source alone, with the embedded broker")
	flag.StringVar(&o.tool, "tool", "", "the folder debezium-bench itself")
	flag.IntVar(&o.large, "transaction", 0, "instead: MB of rows in one transaction of PostgreSQL, of which memory is measured")
	flag.Parse()
	exit(run(ctx, o))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// runBroker makes this process the embedded broker, so that what it costs is not
// counted as this program's.
func runBroker(ctx context.Context, dir, addr string) error {
	b, err := broker.Start(broker.Options{Dir: dir, Addr: addr, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		return err
	}
	defer b.Close()
	<-ctx.Done()
	return nil
}

func run(ctx context.Context, o options) (err error) {
	if o.binary == "" || o.dir == "" {
		return errors.New("-cdc-source and -dir are needed")
	}
	if err := errors.Join(os.RemoveAll(o.dir), os.MkdirAll(o.dir, 0o755)); err != nil {
		return err
	}
	s, err := startStack(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if o.large > 0 {
		return large(ctx, o, s, o.large)
	}
	products := []product{ours{binary: o.binary, stack: s}}
	if o.rig != "" {
		products = append(products, debezium{rig: o.rig, tool: o.tool, stack: s})
	}
	out, err := os.Create(filepath.Join(o.dir, "figures.jsonl"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	for _, name := range strings.Split(o.databases, ",") {
		d, err := startDatabase(ctx, name, o)
		if err != nil {
			return err
		}
		b := &bench{o: o, stack: s, d: d, figures: newFigures(name, out)}
		err = b.measure(ctx, products)
		b.figures.print(os.Stdout, o)
		if err := errors.Join(err, d.server.Stop()); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// kinds are the databases by their names on the command line.
var kinds = map[string]func(context.Context, testdb.Options) (*testdb.Server, error){
	"postgresql": testdb.StartPostgreSQL,
	"mysql":      testdb.StartMySQL,
	"mariadb":    testdb.StartMariaDB,
}
