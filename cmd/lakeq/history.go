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
	look := a.versions
	for _, s := range states {
		if !s.Plain() {
			look = a.mergedVersions
		}
	}
	versions, err := look(db, t, states, c.Key)
	if err != nil {
		return fmt.Errorf("table %s: %w", ref.Name, err)
	}
	cols := []resultColumn{{"_instant", "VARCHAR"}, {"_time", "TIMESTAMP"}, {"_change", "VARCHAR"}}
	cols = append(cols, versions.cols...)
	follows, err := following(a.ctx, t, states)
	if err != nil {
		return fmt.Errorf("table %s: %w", ref.Name, err)
	}
	rows := versions.life(states, follows)
	if newest := t.Timeline().Newest(); len(states) == 0 && !newest.IsZero() {
		return fault.Humanf("ask for the row now with lakeq sql", "table %s has no instant whose history can be read: "+
			"the newest commit %s is older than the oldest that cleaning has kept, %s", ref.Name, newest.Time, t.Timeline().Horizon())
	}
	if len(rows) == 0 {
		return fault.Humanf("see its keys with lakeq sql --meta", "table %s has had no row with the key %s at any instant that can be read", ref.Name, c.Key)
	}
	return a.print(c.Out, cols, rows, start)
}

// versions is what a row with one key was, by state of its table.
type versions struct {
	cols []resultColumn
	at   []version
}

// version is a row; the zero version is none.
type version struct {
	commit string // that wrote it
	group  [2]string
	row    []any
}

// columns are those of the newest state.
func columnsOfTable(t *lake.Table) (cols []resultColumn) {
	for _, f := range t.Schema().Fields {
		cols = append(cols, resultColumn{f.Name, duckType(f.Type)})
	}
	return cols
}

// versions looks for the key in the files of the states. Each file is asked once,
// and only if its footer says that it may have the key.
func (a *app) versions(db *sql.DB, t *lake.Table, states []*lake.Snapshot, key string) (versions, error) {
	v := versions{cols: columnsOfTable(t)}
	byFile := map[string]version{}
	for _, s := range states {
		var newest version
		for _, f := range s.Files() {
			found, seen := byFile[f.Key]
			if !seen {
				may, err := t.MayHold(a.ctx, f, key)
				if err != nil {
					return v, err
				}
				if may {
					paths, err := a.lake.localPaths(a.ctx, []lake.BaseFile{f})
					if err != nil {
						return v, err
					}
					if found, err = readVersion(a.ctx, db, paths, t.Schema().Fields, key); err != nil {
						return v, err
					}
				}
				byFile[f.Key] = found
			}
			if found.commit > newest.commit {
				newest = found
			}
		}
		v.at = append(v.at, newest)
	}
	return v, nil
}

// mergedVersions is versions for a table whose logs are to be merged: from state
// to state it reads the file groups that changed, and of them those that may have
// the key.
func (a *app) mergedVersions(db *sql.DB, t *lake.Table, states []*lake.Snapshot, key string) (versions, error) {
	v := versions{cols: columnsOfTable(t)}
	var now version
	for n, s := range states {
		changed, gone := s, map[[2]string]bool{}
		if n > 0 {
			before, err := states[n-1].Without(a.ctx, s)
			if err != nil {
				return v, err
			}
			gone = before.Groups()
			if changed, err = s.Without(a.ctx, states[n-1]); err != nil {
				return v, err
			}
		}
		of, err := changed.WithKey(a.ctx, key)
		if err != nil {
			return v, err
		}
		var found version
		if len(of.Groups()) > 0 {
			paths, err := a.lake.merged(a.ctx, of)
			if err != nil {
				return v, err
			}
			if found, err = readVersion(a.ctx, db, paths, t.Schema().Fields, key); err != nil {
				return v, err
			}
		}
		if found.commit != "" || gone[now.group] {
			now = found
		}
		v.at = append(v.at, now)
	}
	return v, nil
}

// readVersion reads the row of a file with the key, the newest if there are
// several.
func readVersion(ctx context.Context, db *sql.DB, paths []string, fields []lake.Field, key string) (version, error) {
	var v version
	query, err := selectFiles(ctx, db, paths, fields, true, " WHERE _hoodie_record_key = "+sqlText(key))
	if err != nil {
		return v, err
	}
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return v, fmt.Errorf("look for the row: %w", explainFile(err))
	}
	defer rows.Close()
	for rows.Next() {
		vals := make([]any, len(hoodieColumns)+len(fields))
		ptrs := make([]any, len(vals))
		for i := range vals {
			ptrs[i] = &vals[i]
		}
		if err := rows.Scan(ptrs...); err != nil {
			return v, fmt.Errorf("look for the row: %w", err)
		}
		if at := fmt.Sprint(vals[0]); at > v.commit {
			group, _, _ := strings.Cut(fmt.Sprint(vals[4]), "_") // of a file's name, or all of it in a log
			v = version{commit: at, group: [2]string{fmt.Sprint(vals[3]), group}, row: vals[len(hoodieColumns):]}
		}
	}
	if err := rows.Err(); err != nil {
		return v, fmt.Errorf("look for the row: %w", explainFile(err))
	}
	return v, nil
}

// following reports of each state whether it is that of the commit right after the
// state before it, or of the table's first: what came between is not known else.
func following(ctx context.Context, t *lake.Table, states []*lake.Snapshot) ([]bool, error) {
	out := make([]bool, len(states))
	begins, err := t.Unabridged(ctx)
	if err != nil {
		return nil, err
	}
	last := ""
	if !begins {
		last = "none of them"
	}
	n := 0
	for _, i := range t.Timeline().Completed() {
		if n < len(states) && states[n].Instant().Time == i.Time {
			out[n] = last == "" || n > 0 && states[n-1].Instant().Time == last
			n++
		}
		last = i.Time
	}
	return out, nil
}

// life returns a line for each instant at which the row came, changed or went. Of a
// state that does not follow the one before it, it claims no more than is known.
func (v *versions) life(states []*lake.Snapshot, follows []bool) [][]any {
	var out [][]any
	var last string // the commit that wrote the row as it was; "" while it is not there
	var lastRow string
	for n, s := range states {
		at, row := v.at[n].commit, v.at[n].row
		change := ""
		text := strings.Join(cells(row, v.cols), "\x00")
		switch {
		case at == "" && last != "":
			change, row = "deleted", make([]any, len(v.cols))
			if !follows[n] {
				change = "gone already"
			}
		case at != "" && last == "" && at < s.Instant().Time:
			change = "there already, from " + at // from before the oldest instant that can be read
		case at != "" && last == "" && !follows[n]:
			change = "inserted or updated"
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
