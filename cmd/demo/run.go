package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"
	"tributary/internal/fault"
	"tributary/internal/pipeline"
	"tributary/internal/testdb"
	"tributary/internal/tickit"
)

// demo is one run.
type demo struct {
	*screen

	p       *pipeline.Pipeline
	watcher *pipeline.Watcher
	data    *tickit.Data
	root    string
	dir     string // build/demo

	loadTime time.Duration // first row read to last row queryable
	changes  []pipeline.Change
	delays   []pipeline.Delay // of changes
	checks   []pipeline.TableCheck
}

func runDemo(ctx context.Context, args []string, _ *slog.Logger) error {
	set := flag.NewFlagSet("run", flag.ContinueOnError)
	keep := set.Bool("keep", false, "")
	if err := parse(set, args); err != nil {
		return err
	}
	root, err := root()
	if err != nil {
		return err
	}
	d := &demo{
		screen: newScreen(os.Stdout), data: tickit.New(tickit.Full()), root: root,
		dir: filepath.Join(root, "build", "demo"),
	}
	if running(d.dir) {
		return fault.Humanf("stop it with build/bin/demo stop", "a demo that was kept is still running")
	}
	start := time.Now()
	err = d.run(ctx, *keep)
	if d.watcher != nil {
		d.watcher.Close()
	}
	var stopErr error
	if d.p != nil && (err != nil || !*keep) {
		stopErr = d.p.Stop()
	}
	d.clear()
	if ctx.Err() != nil { // err then tells of nothing else
		return errors.Join(errors.New("interrupted; everything is stopped and removed"), stopErr)
	}
	if err := errors.Join(err, stopErr); err != nil {
		return err
	}
	d.say("\nThat took %.0f s.", time.Since(start).Seconds())
	if *keep {
		return d.sayKept()
	}
	d.say("The lake is still there: try  build/bin/lakeq --lake build/demo/lake tables")
	d.say("make demo KEEP=1 leaves everything running.")
	return nil
}

func (d *demo) run(ctx context.Context, keep bool) error {
	d.title("Tributary: from the logs of three databases into a lake that remembers everything\n")
	err := d.step("starting the databases, a Kafka broker and a schema registry", func() (err error) {
		d.p, err = pipeline.Start(ctx, pipeline.Options{
			Root: d.root, Bin: filepath.Join(d.root, "build", "bin"), Dir: d.dir, Data: d.data, Keep: keep,
		})
		return err
	})
	if err != nil {
		return err
	}
	d.say("    (PostgreSQL %s, %s %s, each in a temporary folder)", d.p.PostgreSQL.Version, d.p.MySQL.Kind, d.p.MySQL.Version)
	if d.p.MySQL.Kind != testdb.KindMySQL {
		d.say("  (MySQL could not be had on this machine: its sibling takes its place)")
	}
	d.say("    (SQL Server: a model of it, in a process of its own: no server can be had here)")
	if keep {
		if err := writeState(d.dir, d.p); err != nil {
			return err
		}
	}
	if d.watcher, err = d.p.NewWatcher(ctx); err != nil {
		return err
	}
	for _, part := range []func(context.Context) error{d.fill, d.load, d.story, d.measure, d.summary} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	if !pipeline.Equal(d.checks) {
		return fault.Humanf("this is a defect: please report it with build/demo/logs", "the lake differs from the databases")
	}
	return nil
}

func (d *demo) fill(ctx context.Context) error {
	what := fmt.Sprintf("filling them with TICKIT: %s rows in seven tables", number(d.data.Total()))
	return d.step(what, func() error {
		if err := d.p.CreateTables(ctx); err != nil {
			return err
		}
		return d.p.Load(ctx)
	})
}

// load starts the daemons and waits until a query finds all rows.
func (d *demo) load(ctx context.Context) error {
	start := time.Now()
	if err := d.p.StartDaemons(ctx); err != nil {
		return err
	}
	want := map[string]int64{}
	for _, t := range tickit.Tables() {
		want[t.Name] = int64(d.data.Rows(t.Name))
	}
	err := d.p.WaitLoaded(ctx, d.watcher, want, func(now pipeline.Progress) {
		d.progress("  reading the databases: %s events in Kafka, %s of %s rows in the lake", number(now.Events),
			number(now.Rows), number(now.Total))
	})
	if err != nil {
		return err
	}
	if err := d.countByQuery(ctx, want); err != nil {
		return err
	}
	d.loadTime = time.Since(start)
	d.say("  %-72s %6.1f s", "capturing them, into Kafka, bronze and Hudi tables, until a query finds all", d.loadTime.Seconds())
	return nil
}

// countByQuery asks lakeq whether the rows can be queried.
func (d *demo) countByQuery(ctx context.Context, want map[string]int64) error {
	query, sum := "SELECT 0", int64(0)
	for _, t := range tickit.Tables() {
		query += fmt.Sprintf(` + (SELECT count(*) FROM "%s")`, t.Name)
		sum += want[t.Name]
	}
	rows, err := d.p.Query(ctx, query+" AS n", "")
	if err != nil {
		return err
	}
	if got := rows[0][0]; got != fmt.Sprint(sum) {
		return fmt.Errorf("lakeq counts %s rows where the timelines tell of %d", got, sum)
	}
	return nil
}

// measure makes changes one after another and takes the time of each.
func (d *demo) measure(ctx context.Context) error {
	d.changes = pipeline.Changes(21)
	for i, c := range d.changes {
		d.progress("  measuring how long a change takes: %d of %d", i+1, len(d.changes))
		delay, _, err := d.p.Measure(ctx, d.watcher, c)
		if err != nil {
			return err
		}
		d.delays = append(d.delays, delay)
	}
	d.clear()
	return nil
}
