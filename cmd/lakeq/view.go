package main

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"tributary/internal/fault"
	"tributary/lake"
)

// hoodieColumns are the five that Hudi puts before a table's own.
var hoodieColumns = []string{
	"_hoodie_commit_time", "_hoodie_commit_seqno", "_hoodie_record_key", "_hoodie_partition_path", "_hoodie_file_name",
}

// view says how a table is shown to the engine.
type view struct {
	ref    lake.Ref
	window window
	meta   bool        // with Hudi's own columns
	names  [][2]string // schema and name, of each of which there is a view
}

// window is the part of a table's life that is asked for: its state at a moment,
// or what changed between two.
type window struct {
	at    moment
	since *moment // only what was written after it

	readOptimized bool // without the logs of a merge-on-read table
}

// addView makes the views: the table's columns, in their order and of their
// types, over the files of its state at that time.
func (l *lakeRoot) addView(ctx context.Context, db *sql.DB, v view) error {
	_, snap, err := l.snapshot(ctx, v.ref, v.window)
	if err != nil {
		return err
	}
	text, err := l.selectAll(ctx, db, snap, v.meta)
	if err != nil {
		return fmt.Errorf("open table %s: %w", v.ref.Name, err)
	}
	var statements []string
	for _, n := range v.names {
		name := sqlName(n[0]) + "." + sqlName(n[1])
		statements = append(statements, "CREATE SCHEMA IF NOT EXISTS "+sqlName(n[0]), "CREATE VIEW "+name+" AS "+text)
		text = "SELECT * FROM " + name
	}
	for _, s := range statements {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("open table %s: %w", v.ref.Name, explainFile(err))
		}
	}
	return nil
}

// open opens a table.
func (l *lakeRoot) open(ctx context.Context, ref lake.Ref) (*lake.Table, error) {
	t, err := lake.Open(ctx, l.store, ref.Base, lake.Options{})
	if err != nil {
		return nil, fmt.Errorf("open table %s: %w", ref.Name, err)
	}
	return t, nil
}

// snapshot opens a table in a window of time. Unlike Hudi, it refuses a moment
// from before the first commit: an empty answer would look like one.
func (l *lakeRoot) snapshot(ctx context.Context, ref lake.Ref, w window) (*lake.Table, *lake.Snapshot, error) {
	t, err := l.open(ctx, ref)
	if err != nil {
		return nil, nil, err
	}
	at, err := w.at.resolve(ctx, t)
	if err != nil {
		return nil, nil, err
	}
	var snap *lake.Snapshot
	if w.since == nil {
		snap, err = t.AsOf(ctx, at)
	} else {
		var since string
		if since, err = w.since.resolve(ctx, t); err != nil {
			return nil, nil, err
		}
		if at != "" && since > at {
			return nil, nil, fault.Humanf("give the earlier moment to --begin", "--begin %s is later than --end %s", w.since.text, w.at.text)
		}
		snap, err = t.Between(ctx, since, at)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("table %s: %w", ref.Name, err)
	}
	if at != "" && snap.Instant().IsZero() {
		first, err := t.OldestReadable(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("table %s: %w", ref.Name, err)
		}
		if first == "" {
			return nil, nil, fault.Humanf("ask again after the streamer's next commit", "table %s has no commit yet", ref.Name)
		}
		return nil, nil, fault.Humanf("ask for "+first+" or later", "table %s did not exist as of %s: its first commit is %s", ref.Name, at, first)
	}
	if w.readOptimized {
		snap = snap.ReadOptimized()
	}
	return t, snap, nil
}

// selectAll is the query of a snapshot's rows.
func (l *lakeRoot) selectAll(ctx context.Context, db *sql.DB, snap *lake.Snapshot, meta bool) (string, error) {
	var paths []string
	var err error
	if !snap.Plain() {
		paths, err = l.merged(ctx, snap)
	} else {
		paths, err = l.localPaths(ctx, snap.Files())
	}
	if err != nil {
		return "", err
	}
	where := ""
	if s := snap.Since(); s != "" {
		where = " WHERE _hoodie_commit_time > " + sqlText(s)
	}
	return selectFiles(ctx, db, paths, snap.Schema().Fields, meta, where)
}

// merged writes the rows of a merge-on-read table to a file that the engine can
// read.
func (l *lakeRoot) merged(ctx context.Context, snap *lake.Snapshot) ([]string, error) {
	f, err := os.CreateTemp("", "lakeq-*.parquet")
	if err != nil {
		return nil, fmt.Errorf("merge the logs: %w", err)
	}
	l.temporary = append(l.temporary, f.Name())
	w := bufio.NewWriterSize(f, 1<<20)
	err = errors.Join(snap.WriteParquet(ctx, w), w.Flush(), f.Close())
	if err != nil {
		return nil, fmt.Errorf("merge the logs: %w", err)
	}
	return []string{f.Name()}, nil
}

// readFiles is the engine's function over the files.
func readFiles(paths []string, more string) string {
	quoted := make([]string, len(paths))
	for i, p := range paths {
		quoted[i] = sqlText(p)
	}
	return "read_parquet([" + strings.Join(quoted, ", ") + "], union_by_name = true, hive_partitioning = false" + more + ")"
}

// selectFiles is the query of the files' rows as the fields, Hudi's own columns
// first if meta is set.
func selectFiles(ctx context.Context, db *sql.DB, paths []string, fields []lake.Field, meta bool, where string) (string, error) {
	from := ""
	var have []string
	if len(paths) > 0 {
		from = readFiles(paths, "")
		var err error
		if have, err = columnsOf(ctx, db, from); err != nil {
			return "", err
		}
	}
	var exprs []string
	if meta {
		for _, name := range hoodieColumns {
			exprs = append(exprs, columnExpr(name, "VARCHAR", have))
		}
	}
	for _, f := range fields {
		exprs = append(exprs, columnExpr(f.Name, duckType(f.Type), have))
	}
	text := "SELECT " + strings.Join(exprs, ", ")
	if from == "" {
		return text + " WHERE false", nil
	}
	return text + " FROM " + from + where, nil
}

// columnExpr is the expression of a column of the view: null where no file has
// it yet.
func columnExpr(name, typ string, have []string) string {
	switch {
	case !slices.Contains(have, name):
		if typ == "" {
			typ = "VARCHAR"
		}
		return fmt.Sprintf("CAST(NULL AS %s) AS %s", typ, sqlName(name))
	case typ == "":
		return sqlName(name)
	default:
		return fmt.Sprintf("CAST(%s AS %s) AS %s", sqlName(name), typ, sqlName(name))
	}
}

func columnsOf(ctx context.Context, db *sql.DB, from string) ([]string, error) {
	rows, err := db.QueryContext(ctx, "SELECT column_name FROM (DESCRIBE SELECT * FROM "+from+")")
	if err != nil {
		return nil, fmt.Errorf("read the columns of the files: %w", explainFile(err))
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the columns of the files: %w", explainFile(err))
	}
	return names, nil
}

// duckType returns DuckDB's name of a type; "" leaves a value as the file has
// it. Timestamps are shown without a zone: they are UTC.
func duckType(t lake.Type) string {
	switch t.Kind {
	case lake.Boolean:
		return "BOOLEAN"
	case lake.Int:
		return "INTEGER"
	case lake.Long:
		return "BIGINT"
	case lake.Float:
		return "FLOAT"
	case lake.Double:
		return "DOUBLE"
	case lake.String:
		return "VARCHAR"
	case lake.Bytes, lake.Fixed:
		return "BLOB"
	case lake.Date:
		return "DATE"
	case lake.TimeMillis, lake.TimeMicros:
		return "TIME"
	case lake.TimestampMillis, lake.TimestampMicros:
		return "TIMESTAMP"
	case lake.Decimal:
		if t.Precision <= 38 {
			return fmt.Sprintf("DECIMAL(%d,%d)", t.Precision, t.Scale)
		}
	}
	return ""
}

// sqlName quotes an identifier, sqlText a string.
func sqlName(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
func sqlText(s string) string { return `'` + strings.ReplaceAll(s, `'`, `''`) + `'` }
