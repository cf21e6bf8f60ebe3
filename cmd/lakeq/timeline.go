package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tributary/lake"
)

type timelineCmd struct {
	Table string `arg:"" help:"Name of the table, with or without its database."`
	Limit int    `short:"n" help:"How many of the newest instants to show; 0 for all. The archive is read when the timeline has fewer." default:"50"`
	Out   string `short:"o" name:"output" help:"Form of the result: table, csv, json." enum:"table,csv,json" default:"table"`
}

// archivedState is the state of an instant that has left the active timeline.
const archivedState = "archived"

// Run shows the instants of a table, oldest first, archived ones included.
func (c *timelineCmd) Run(a *app) error {
	start := time.Now()
	ref, err := a.find(c.Table)
	if err != nil {
		return err
	}
	t, err := a.lake.open(a.ctx, ref)
	if err != nil {
		return err
	}
	cols := []resultColumn{
		{"instant", "VARCHAR"}, {"time", "TIMESTAMP"}, {"action", "VARCHAR"}, {"state", "VARCHAR"},
		{"inserted", "BIGINT"}, {"updated", "BIGINT"}, {"deleted", "BIGINT"}, {"files", "BIGINT"}, {"bytes", "BIGINT"},
		{"checkpoint", "VARCHAR"}, {"source", "VARCHAR"},
	}
	active := t.Timeline().All()
	if c.Limit > 0 && len(active) > c.Limit {
		active = active[len(active)-c.Limit:]
	}
	rows, err := c.archived(a, t, len(active))
	if err != nil {
		return fmt.Errorf("table %s: %w", ref.Name, err)
	}
	data := make(map[lake.Instant]bool)
	for _, i := range t.Timeline().Completed() {
		data[i] = true
	}
	for _, i := range active {
		var commit *lake.Commit
		if data[i] {
			if commit, err = t.Commit(a.ctx, i); err != nil {
				return fmt.Errorf("table %s: %w", ref.Name, err)
			}
		}
		rows = append(rows, instantCells(i, string(i.State), commit))
	}
	slices.SortStableFunc(rows, func(a, b []any) int { return strings.Compare(a[0].(string), b[0].(string)) })
	return a.print(c.Out, cols, rows, start)
}

// archived returns the lines of archived instants, as many as the limit has left
// room for beside the active ones.
func (c *timelineCmd) archived(a *app, t *lake.Table, active int) (rows [][]any, err error) {
	if c.Limit > 0 && active >= c.Limit {
		return nil, nil
	}
	list, err := t.Archived(a.ctx, max(0, c.Limit-active))
	if err != nil {
		return nil, err
	}
	for _, i := range list {
		rows = append(rows, instantCells(i.Instant, archivedState, i.Commit))
	}
	return rows, nil
}

// instantCells is the line of an instant; commit is nil where it wrote no data.
func instantCells(i lake.Instant, state string, commit *lake.Commit) []any {
	row := []any{i.Time, nil, string(i.Action), state, nil, nil, nil, nil, nil, nil, nil}
	if w := i.When(); !w.IsZero() {
		row[1] = w
	}
	if commit != nil {
		copy(row[4:], commitCells(commit))
	}
	return row
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
