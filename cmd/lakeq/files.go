package main

import (
	"strings"
	"time"

	"tributary/internal/fault"
)

type filesCmd struct {
	Table         string `arg:"" help:"Name of the table, with or without its database."`
	AsOf          string `help:"The moment whose files to list." placeholder:"WHEN"`
	ReadOptimized bool   `name:"read-optimized" aliases:"read-optimised" help:"Of merge-on-read tables the base files alone."`
	Out           string `short:"o" name:"output" help:"Form of the result: table, csv, json." enum:"table,csv,json" default:"table"`
}

// Run lists the files that make up a table.
func (c *filesCmd) Run(a *app) error {
	start := time.Now()
	ref, err := a.find(c.Table)
	if err != nil {
		return err
	}
	at, err := parseMoment(c.AsOf)
	if err != nil {
		return err
	}
	t, snap, err := a.lake.snapshot(a.ctx, ref, window{at: at, readOptimized: c.ReadOptimized})
	if err != nil {
		return err
	}
	cols := []resultColumn{
		{"partition", "VARCHAR"}, {"file_group", "VARCHAR"}, {"instant", "VARCHAR"}, {"kind", "VARCHAR"},
		{"rows", "BIGINT"}, {"bytes", "BIGINT"}, {"path", "VARCHAR"},
	}
	path := func(key string) string { return strings.TrimPrefix(strings.TrimPrefix(key, t.Base()), "/") }
	var rows [][]any
	for _, f := range snap.Files() {
		var n any
		if f.Rows >= 0 {
			n = f.Rows
		}
		rows = append(rows, []any{f.Partition, f.FileID, f.Instant, "base", n, f.Size, path(f.Key)})
	}
	for _, f := range snap.Logs() {
		rows = append(rows, []any{f.Partition, f.FileID, f.Instant, "log", nil, f.Size, path(f.Key)})
	}
	return a.print(c.Out, cols, rows, start)
}

type validateCmd struct {
	Table string `arg:"" optional:"" help:"Name of the table, with or without its database; all of them if left out."`
	Out   string `short:"o" name:"output" help:"Form of the result: table, csv, json." enum:"table,csv,json" default:"table"`
}

// Run looks for damage. What an engine may fail over or read wrong rows with is
// "harm" and ends in exit code 2, the rest is "note".
func (c *validateCmd) Run(a *app) error {
	start := time.Now()
	refs, err := a.lake.tables(a.ctx)
	if err != nil {
		return err
	}
	chosen := refs
	if c.Table != "" {
		ref, err := refs.find(c.Table)
		if err != nil {
			return err
		}
		chosen = catalog{ref}
	}
	cols := []resultColumn{{"table", "VARCHAR"}, {"severity", "VARCHAR"}, {"object", "VARCHAR"}, {"problem", "VARCHAR"}}
	var rows [][]any
	harm := 0
	for _, ref := range chosen {
		name := refs.label(ref)
		t, err := a.lake.open(a.ctx, ref)
		if fault.NeedsHuman(err) { // a wrong checksum, another version, a damaged commit
			rows = append(rows, []any{name, "harm", ".hoodie", err.Error()})
			harm++
			continue
		}
		if err != nil {
			return err
		}
		v, err := t.Validate(a.ctx)
		if err != nil {
			return err
		}
		for _, f := range v.Findings {
			severity := "note"
			if f.Harmful {
				severity = "harm"
				harm++
			}
			rows = append(rows, []any{name, severity, f.Object, f.Problem})
		}
	}
	if err := a.print(c.Out, cols, rows, start); err != nil {
		return err
	}
	if harm > 0 {
		return fault.Humanf("roll back to a commit before the damage, restore the files, or load the table anew", "%d harmful findings in %d tables", harm, len(chosen))
	}
	return nil
}
