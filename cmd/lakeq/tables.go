package main

import (
	"fmt"
	"time"

	"tributary/internal/fault"
	"tributary/lake"
)

type tablesCmd struct {
	AsOf string `help:"The moment to count rows at." placeholder:"WHEN"`
	Out  string `short:"o" name:"output" help:"Form of the result: table, csv, json." enum:"table,csv,json" default:"table"`
}

// Run lists the tables.
func (c *tablesCmd) Run(a *app) error {
	when, err := parseMoment(c.AsOf)
	if err != nil {
		return err
	}
	start := time.Now()
	refs, err := a.lake.tables(a.ctx)
	if err != nil {
		return err
	}
	cols := []resultColumn{
		{"database", "VARCHAR"}, {"table", "VARCHAR"}, {"rows", "BIGINT"}, {"bytes", "BIGINT"}, {"files", "BIGINT"},
		{"commits", "BIGINT"}, {"last_commit", "TIMESTAMP"}, {"oldest_instant", "VARCHAR"}, {"newest_instant", "VARCHAR"},
		{"folder", "VARCHAR"},
	}
	var rows [][]any
	failed := map[int]error{}
	for n, r := range refs {
		row, err := a.tableRow(r, when)
		if a.ctx.Err() != nil {
			return a.ctx.Err()
		}
		if err != nil {
			failed[n] = err
			row = make([]any, len(cols))
			row[0], row[1], row[len(row)-1] = r.Database, r.Name, r.Base
		}
		rows = append(rows, row)
	}
	if len(failed) > 0 {
		cols = append(cols, resultColumn{"error", "VARCHAR"})
		for n := range rows {
			var text any
			if err := failed[n]; err != nil {
				text = err.Error()
			}
			rows[n] = append(rows[n], text)
		}
	}
	if err := a.print(c.Out, cols, rows, start); err != nil || len(failed) == 0 {
		return err
	}
	err = fmt.Errorf("%d of %d tables cannot be read", len(failed), len(refs))
	const hint = "see their errors, and lakeq validate"
	for _, e := range failed {
		if !fault.NeedsHuman(e) {
			return fault.Hinted(err, hint)
		}
	}
	return fault.Human(err, hint)
}

func (a *app) tableRow(ref lake.Ref, when moment) ([]any, error) {
	t, err := a.lake.open(a.ctx, ref)
	if err != nil {
		return nil, err
	}
	at, err := when.resolve(a.ctx, t)
	if err != nil {
		return nil, err
	}
	snap, err := t.AsOf(a.ctx, at)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", ref.Name, err)
	}
	var bytes int64
	for _, f := range snap.Files() {
		bytes += f.Size
	}
	var rows, last, oldest, newest any
	if n := snap.Rows(); n >= 0 {
		rows = n
	}
	line := t.Timeline()
	if i := snap.Instant(); !i.IsZero() {
		newest = i.Time
		last = i.When()
		if oldest, err = t.OldestReadable(a.ctx); err != nil {
			return nil, fmt.Errorf("table %s: %w", ref.Name, err)
		}
	}
	commits := int64(0)
	for _, i := range line.Completed() {
		if at == "" || i.Time <= at {
			commits++
		}
	}
	return []any{ref.Database, ref.Name, rows, bytes, int64(len(snap.Files())), commits, last, oldest, newest, ref.Base}, nil
}

// find returns the table of that name, which may carry its database, or in that
// folder of the lake.
func (a *app) find(name string) (lake.Ref, error) {
	refs, err := a.lake.tables(a.ctx)
	if err != nil {
		return lake.Ref{}, err
	}
	return refs.find(name)
}

// print renders rows that did not come from the engine.
func (a *app) print(format string, cols []resultColumn, rows [][]any, start time.Time) error {
	r, err := newRenderer(format, a.stdout, terminalWidth(a.stdout))
	if err != nil {
		return err
	}
	if err := r.begin(cols); err != nil {
		return err
	}
	for _, row := range rows {
		if err := r.row(row); err != nil {
			return err
		}
	}
	return r.end(int64(len(rows)), time.Since(start))
}
