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

type diffCmd struct {
	Table string `arg:"" help:"Name of the table, with or without its database."`
	From  string `arg:"" help:"The earlier moment."`
	To    string `arg:"" optional:"" help:"The later moment; now if left out."`
	Out   string `short:"o" name:"output" help:"Form of the result: table, csv, json." enum:"table,csv,json" default:"table"`
	Mem   string `name:"memory" help:"Memory that the engine may use." default:"1GB" placeholder:"SIZE"`
}

// now is the moment that has no name else.
const now = "now"

// Run shows the rows that were inserted and deleted, and those that were updated
// as they were before and after. Only files that are not part of both states are
// read.
func (c *diffCmd) Run(a *app) error {
	start := time.Now()
	ref, err := a.find(c.Table)
	if err != nil {
		return err
	}
	var states [2]*lake.Snapshot
	for i, text := range []string{c.From, c.To} {
		if text == now {
			text = ""
		}
		m, err := parseMoment(text)
		if err != nil {
			return err
		}
		if _, states[i], err = a.lake.snapshot(a.ctx, ref, window{at: m}); err != nil {
			return err
		}
	}
	if from, to := states[0].Instant().Time, states[1].Instant().Time; from > to {
		return fault.Humanf("give the earlier moment first", "%s is later than %s: table %s was at %s then, and at %s", c.From, c.To, ref.Name, from, to)
	}
	db, err := openEngine(a.ctx, c.Mem)
	if err != nil {
		return err
	}
	defer db.Close()
	query, err := a.lake.diffQuery(a.ctx, db, states[0], states[1])
	if err != nil {
		return fmt.Errorf("compare table %s: %w", ref.Name, err)
	}
	rows, err := db.QueryContext(a.ctx, query)
	if err != nil {
		return fmt.Errorf("compare table %s: %w", ref.Name, explainFile(err))
	}
	defer rows.Close()
	r, err := newRenderer(c.Out, a.stdout, terminalWidth(a.stdout))
	if err != nil {
		return err
	}
	if _, err = render(rows, r, start); err != nil {
		return fmt.Errorf("compare table %s: %w", ref.Name, explainFile(err))
	}
	return nil
}

// diffQuery makes views of both states' own files, and the query that compares
// them.
func (l *lakeRoot) diffQuery(ctx context.Context, db *sql.DB, before, after *lake.Snapshot) (string, error) {
	fields := allFields(before, after)
	sides := [2]string{}
	for i, s := range []*lake.Snapshot{before, after} {
		other := after
		if i == 1 {
			other = before
		}
		paths, err := l.ownPaths(ctx, s, other)
		if err != nil {
			return "", err
		}
		if sides[i], err = selectFiles(ctx, db, paths, fields, true, ""); err != nil {
			return "", err
		}
	}
	for i, name := range []string{"before_", "after_"} {
		if _, err := db.ExecContext(ctx, "CREATE VIEW "+name+" AS "+sides[i]); err != nil {
			return "", explainFile(err)
		}
	}
	// A key is of the table, or, where some engine has written it so, of its
	// partition.
	key := "_hoodie_record_key"
	var doubled bool
	if err := db.QueryRowContext(ctx, `SELECT (SELECT count(*) > count(DISTINCT _hoodie_record_key) FROM before_)
		OR (SELECT count(*) > count(DISTINCT _hoodie_record_key) FROM after_)`).Scan(&doubled); err != nil {
		return "", explainFile(err)
	}
	if doubled {
		key += ", _hoodie_partition_path"
	}
	var names, differ []string
	for _, f := range fields {
		n := sqlName(f.Name)
		names = append(names, n)
		differ = append(differ, "before_."+n+" IS DISTINCT FROM after_."+n)
	}
	if len(differ) == 0 {
		differ = []string{"false"}
	}
	cols := "_hoodie_partition_path, _hoodie_record_key, " + strings.Join(names, ", ")
	shown := "_hoodie_record_key, " + strings.Join(names, ", ")
	return fmt.Sprintf(`WITH changed AS (SELECT %[1]s FROM before_ JOIN after_ USING (%[1]s) WHERE %[2]s)
		SELECT _change, %[4]s FROM (
		SELECT 'deleted' AS _change, 0 AS _place, %[3]s FROM before_ ANTI JOIN after_ USING (%[1]s)
		UNION ALL SELECT 'inserted', 1, %[3]s FROM after_ ANTI JOIN before_ USING (%[1]s)
		UNION ALL SELECT 'before', 2, %[3]s FROM before_ SEMI JOIN changed USING (%[1]s)
		UNION ALL SELECT 'after', 3, %[3]s FROM after_ SEMI JOIN changed USING (%[1]s)
		) ORDER BY _hoodie_record_key, _hoodie_partition_path, _place`, key, strings.Join(differ, " OR "), cols, shown), nil
}

// allFields returns the columns of the later state, then those that only the
// earlier one has.
func allFields(before, after *lake.Snapshot) []lake.Field {
	newer := after.Schema()
	fields := append([]lake.Field(nil), newer.Fields...)
	for _, f := range before.Schema().Fields {
		if newer.Index(f.Name) < 0 {
			fields = append(fields, f)
		}
	}
	return fields
}

// ownPaths returns the files of the file groups of s that are not the same in
// other, on this machine.
func (l *lakeRoot) ownPaths(ctx context.Context, s, other *lake.Snapshot) ([]string, error) {
	own, err := s.Without(ctx, other)
	if err != nil {
		return nil, err
	}
	if !own.Plain() {
		return l.merged(ctx, own)
	}
	return l.localPaths(ctx, own.Files())
}
