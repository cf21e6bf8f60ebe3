package main

import (
	"context"
	"database/sql"
	"fmt"
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
	ref       lake.Ref
	at        string // instant, "" for now
	meta      bool   // with Hudi's own columns
	plainName bool   // also without its database
}

// addView makes the view: the table's columns, in their order and of their
// types, over the files of its state at v.at.
func (l *lakeRoot) addView(ctx context.Context, db *sql.DB, v view) error {
	snap, err := l.snapshot(ctx, v.ref, v.at)
	if err != nil {
		return err
	}
	text, err := l.viewSelect(ctx, db, v, snap)
	if err != nil {
		return fmt.Errorf("open table %s: %w", v.ref.Name, err)
	}
	database := v.ref.Database
	if database == "" {
		database = "main"
	}
	statements := []string{
		"CREATE SCHEMA IF NOT EXISTS " + sqlName(database),
		fmt.Sprintf("CREATE VIEW %s.%s AS %s", sqlName(database), sqlName(v.ref.Name), text),
	}
	if v.plainName && database != "main" {
		statements = append(statements, fmt.Sprintf("CREATE VIEW main.%s AS SELECT * FROM %s.%s",
			sqlName(v.ref.Name), sqlName(database), sqlName(v.ref.Name)))
	}
	for _, s := range statements {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("open table %s: %w", v.ref.Name, err)
		}
	}
	return nil
}

// snapshot opens a table as of an instant. Unlike Hudi, it refuses a moment
// from before the first commit: an empty answer would look like one.
func (l *lakeRoot) snapshot(ctx context.Context, ref lake.Ref, at string) (*lake.Snapshot, error) {
	t, err := lake.Open(ctx, l.store, ref.Base, lake.Options{})
	if err != nil {
		return nil, fmt.Errorf("open table %s: %w", ref.Name, err)
	}
	snap, err := t.AsOf(ctx, at)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", ref.Name, err)
	}
	if at != "" && snap.Instant().IsZero() {
		first := t.Timeline().Oldest()
		if first.IsZero() {
			return nil, fault.Humanf("ask again after the streamer's next commit", "table %s has no commit yet", ref.Name)
		}
		return nil, fault.Humanf("ask for "+first.Time+" or later", "table %s did not exist as of %s: its first commit is %s", ref.Name, at, first.Time)
	}
	return snap, nil
}

func (l *lakeRoot) viewSelect(ctx context.Context, db *sql.DB, v view, snap *lake.Snapshot) (string, error) {
	files := snap.Files()
	from := ""
	var have []string
	if len(files) > 0 {
		paths, err := l.localPaths(ctx, files)
		if err != nil {
			return "", err
		}
		for i := range paths {
			paths[i] = sqlText(paths[i])
		}
		from = "read_parquet([" + strings.Join(paths, ", ") + "], union_by_name = true, hive_partitioning = false)"
		if have, err = columnsOf(ctx, db, from); err != nil {
			return "", err
		}
	}
	var exprs []string
	if v.meta {
		for _, name := range hoodieColumns {
			exprs = append(exprs, columnExpr(name, "VARCHAR", have))
		}
	}
	for _, f := range snap.Schema().Fields {
		exprs = append(exprs, columnExpr(f.Name, duckType(f.Type), have))
	}
	text := "SELECT " + strings.Join(exprs, ", ")
	if from == "" {
		return text + " WHERE false", nil
	}
	return text + " FROM " + from, nil
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
		return nil, fmt.Errorf("read the columns of the files: %w", err)
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
	return names, rows.Err()
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
