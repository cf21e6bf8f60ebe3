package main

import (
	"fmt"
	"strconv"
	"strings"
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
			row[0], row[1] = r.Database, r.Name
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
	return fmt.Errorf("%d of %d tables cannot be read: see their errors, and lakeq validate", len(failed), len(refs))
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
	return []any{ref.Database, ref.Name, rows, bytes, int64(len(snap.Files())), commits, last, oldest, newest}, nil
}

type timelineCmd struct {
	Table string `arg:"" help:"Name of the table, with or without its database."`
	Limit int    `short:"n" help:"How many of the newest instants to show; 0 for all." default:"50"`
	Out   string `short:"o" name:"output" help:"Form of the result: table, csv, json." enum:"table,csv,json" default:"table"`
}

// Run shows the instants of a table, oldest first.
func (c *timelineCmd) Run(a *app) error {
	start := time.Now()
	ref, err := a.find(c.Table)
	if err != nil {
		return err
	}
	t, err := lake.Open(a.ctx, a.lake.store, ref.Base, lake.Options{})
	if err != nil {
		return fmt.Errorf("open table %s: %w", ref.Name, err)
	}
	cols := []resultColumn{
		{"instant", "VARCHAR"}, {"time", "TIMESTAMP"}, {"action", "VARCHAR"}, {"state", "VARCHAR"},
		{"inserted", "BIGINT"}, {"updated", "BIGINT"}, {"deleted", "BIGINT"}, {"files", "BIGINT"}, {"bytes", "BIGINT"},
		{"checkpoint", "VARCHAR"}, {"source", "VARCHAR"},
	}
	all := t.Timeline().All()
	if c.Limit > 0 && len(all) > c.Limit {
		all = all[len(all)-c.Limit:]
	}
	data := make(map[lake.Instant]bool)
	for _, i := range t.Timeline().Completed() {
		data[i] = true
	}
	var rows [][]any
	for _, i := range all {
		row := []any{i.Time, nil, string(i.Action), string(i.State), nil, nil, nil, nil, nil, nil, nil}
		if w := i.When(); !w.IsZero() {
			row[1] = w
		}
		if data[i] {
			commit, err := t.Commit(a.ctx, i)
			if err != nil {
				return fmt.Errorf("table %s: %w", ref.Name, err)
			}
			copy(row[4:], commitCells(commit))
		}
		rows = append(rows, row)
	}
	return a.print(c.Out, cols, rows, start)
}

func commitCells(c *lake.Commit) []any {
	var ins, upd, del, files, bytes int64
	for _, stats := range c.Stats {
		for _, s := range stats {
			ins += s.NumInserts
			upd += s.NumUpdates
			del += s.NumDeletes
			bytes += s.FileSize
			files++
		}
	}
	cells := []any{ins, upd, del, files, bytes, nil, nil}
	if v := c.Extra["deltastreamer.checkpoint.key"]; v != "" {
		cells[5] = v
	}
	if v := sourcePosition(c.Extra); v != "" {
		cells[6] = v
	}
	return cells
}

// sourcePosition is how far the commit reaches in its database's log: an LSN as
// PostgreSQL or SQL Server writes it, or a binlog position.
func sourcePosition(extra map[string]string) string {
	if v := extra["tributary.source.lsn"]; v != "" {
		if n, err := strconv.ParseUint(v, 10, 64); err == nil {
			return fmt.Sprintf("%X/%X", n>>32, uint32(n))
		}
	}
	if v := extra["tributary.source.commit_lsn"]; v != "" {
		return v
	}
	if f := extra["tributary.source.file"]; f != "" {
		return f + ":" + extra["tributary.source.pos"]
	}
	return ""
}

// find returns the table of that name, which may carry its database, or in that
// folder of the lake.
func (a *app) find(name string) (lake.Ref, error) {
	refs, err := a.lake.tables(a.ctx)
	if err != nil {
		return lake.Ref{}, err
	}
	var found []lake.Ref
	var names []string
	for _, r := range refs {
		names = append(names, r.Name)
		if r.Base == strings.Trim(name, "/") {
			return r, nil
		}
		if strings.EqualFold(r.Name, name) || strings.EqualFold(r.Database+"."+r.Name, name) {
			found = append(found, r)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return lake.Ref{}, noTable(name, names)
	}
	hint := "write " + found[0].Database + "." + found[0].Name + ", or the table's folder: " + found[0].Base
	if found[0].Database == found[1].Database {
		hint = "write the table's folder: " + found[0].Base + " or " + found[1].Base
	}
	return lake.Ref{}, fault.Humanf(hint, "several tables are named %s", name)
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
