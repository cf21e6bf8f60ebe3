package main

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"tributary/internal/fault"
	"tributary/lake"
)

type historyCmd struct {
	Table string `arg:"" help:"Name of the table, with or without its database."`
	Key   string `arg:"" help:"The row's key: the value of the key field, or field:value,field:value of several."`
	Out   string `short:"o" name:"output" help:"Form of the result: table, csv, json." enum:"table,csv,json" default:"table"`
	Mem   string `name:"memory" help:"Memory that the engine may use." default:"1GB" placeholder:"SIZE"`
}

// Run shows every version of a row that can still be read: when it came, what it
// was, when it went.
func (c *historyCmd) Run(a *app) error {
	start := time.Now()
	ref, err := a.find(c.Table)
	if err != nil {
		return err
	}
	t, err := a.lake.open(a.ctx, ref)
	if err != nil {
		return err
	}
	states, err := t.States(a.ctx)
	if err != nil {
		return fmt.Errorf("table %s: %w", ref.Name, err)
	}
	db, err := openEngine(a.ctx, c.Mem)
	if err != nil {
		return err
	}
	defer db.Close()
	versions, err := a.versions(db, t, states, c.Key)
	if err != nil {
		return fmt.Errorf("table %s: %w", ref.Name, err)
	}
	cols := []resultColumn{{"_instant", "VARCHAR"}, {"_time", "TIMESTAMP"}, {"_change", "VARCHAR"}}
	cols = append(cols, versions.cols...)
	rows := versions.life(states)
	if len(rows) == 0 {
		return fault.Humanf("see its keys with lakeq sql --meta", "table %s has had no row with the key %s at any instant that can be read", ref.Name, c.Key)
	}
	return a.print(c.Out, cols, rows, start)
}

// versions is the rows with one key in all files that a table has had.
type versions struct {
	cols   []resultColumn
	byFile map[string][]any // by key of the file
	commit map[string]string
}

// versions looks for the key in the files of the states. Each file is asked once,
// and only if its footer says that it may have the key.
func (a *app) versions(db *sql.DB, t *lake.Table, states []*lake.Snapshot, key string) (versions, error) {
	v := versions{byFile: map[string][]any{}, commit: map[string]string{}}
	var files []lake.BaseFile
	seen := map[string]bool{}
	for _, s := range states {
		if len(s.Logs()) > 0 {
			return v, fault.Humanf("ask with lakeq sql --as-of", "the rows of a merge-on-read table have no history here")
		}
		for _, f := range s.Files() {
			if seen[f.Key] {
				continue
			}
			seen[f.Key] = true
			may, err := t.MayHold(a.ctx, f, key)
			if err != nil {
				return v, err
			}
			if may {
				files = append(files, f)
			}
		}
	}
	fields := t.Schema().Fields
	for _, f := range fields {
		v.cols = append(v.cols, resultColumn{f.Name, duckType(f.Type)})
	}
	paths, err := a.lake.localPaths(a.ctx, files)
	if err != nil {
		return v, err
	}
	for i, p := range paths {
		if err := v.read(a.ctx, db, files[i].Key, p, fields, key); err != nil {
			return v, err
		}
	}
	return v, nil
}

// read takes in the row of one file, if it has it.
func (v *versions) read(ctx context.Context, db *sql.DB, file, path string, fields []lake.Field, key string) error {
	query, err := selectFiles(ctx, db, []string{path}, fields, true, " WHERE _hoodie_record_key = "+sqlText(key))
	if err != nil {
		return err
	}
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	defer rows.Close()
	for rows.Next() {
		vals := make([]any, len(hoodieColumns)+len(fields))
		ptrs := make([]any, len(vals))
		for i := range vals {
			ptrs[i] = &vals[i]
		}
		if err := rows.Scan(ptrs...); err != nil {
			return fmt.Errorf("read %s: %w", file, err)
		}
		v.commit[file] = fmt.Sprint(vals[0])
		v.byFile[file] = vals[len(hoodieColumns):]
	}
	return rows.Err()
}

// life returns a line for each instant at which the row came, changed or went.
func (v *versions) life(states []*lake.Snapshot) [][]any {
	var out [][]any
	var last string // the commit that wrote the row as it was; "" while it is not there
	var lastRow string
	for _, s := range states {
		at, row := "", []any(nil)
		for _, f := range s.Files() {
			if r, ok := v.byFile[f.Key]; ok && v.commit[f.Key] >= at {
				at, row = v.commit[f.Key], r
			}
		}
		change := ""
		text := strings.Join(cells(row, v.cols), "\x00")
		switch {
		case at == "" && last != "":
			change, row = "deleted", make([]any, len(v.cols))
		case at != "" && last == "" && at < s.Instant().Time:
			change = "there already" // since before the oldest instant that can be read
		case at != "" && last == "":
			change = "inserted"
		case at != last && text != lastRow:
			change = "updated"
		case at != last && at != "":
			change = "written again"
		}
		if last, lastRow = at, text; change == "" {
			continue
		}
		line := []any{s.Instant().Time, nil, change}
		if w := s.Instant().When(); !w.IsZero() {
			line[1] = w
		}
		out = append(out, append(line, row...))
	}
	return out
}

// cells writes a row's values as text.
func cells(row []any, cols []resultColumn) []string {
	out := make([]string, len(row))
	for i, v := range row {
		if v != nil {
			out[i] = "=" + formatValue(v, cols[i].Type)
		}
	}
	return out
}
