package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	_ "github.com/duckdb/duckdb-go/v2" // the engine

	"tributary/internal/fault"
)

type sqlCmd struct {
	Query         []string `arg:"" optional:"" help:"The SQL, one statement or several with semicolons between; - or nothing reads it from the input."`
	AsOf          string   `help:"The moment whose rows to read." placeholder:"WHEN"`
	Begin         string   `help:"Only rows that were written after this moment." placeholder:"WHEN"`
	End           string   `help:"With --begin: the moment up to which; as --as-of without it." placeholder:"WHEN"`
	Out           string   `short:"o" name:"output" help:"Form of the result: table, csv, json, parquet." enum:"table,csv,json,parquet" default:"table"`
	To            string   `help:"File to write the result to; parquet needs it." placeholder:"FILE" type:"path"`
	ReadOptimized bool     `name:"read-optimized" aliases:"read-optimised" help:"Of merge-on-read tables the base files alone: the state of the last compactions, quicker to read."`
	Meta          bool     `help:"Show Hudi's own five columns too."`
	Mem           string   `name:"memory" help:"Memory that the engine may use." default:"1GB" placeholder:"SIZE"`
}

// Run runs the query.
func (c *sqlCmd) Run(a *app) error {
	query, err := c.text(a.stdin)
	if err != nil {
		return err
	}
	if c.Out == "parquet" && c.To == "" {
		return fault.Humanf("add --to FILE", "parquet is no text and needs a file to go to")
	}
	w, err := c.window()
	if err != nil {
		return err
	}
	start := time.Now()
	db, err := openEngine(a.ctx, c.Mem)
	if err != nil {
		return err
	}
	defer db.Close()
	tables, err := c.register(a, db, query, w)
	if err != nil {
		return err
	}
	all := statements(query)
	if len(all) == 0 {
		return fault.Humanf("give it as an argument or on the input", "there is no query")
	}
	last := all[len(all)-1]
	if c.Out == "parquet" { // a file holds one result
		for _, s := range all[:len(all)-1] {
			if _, err := db.ExecContext(a.ctx, s); err != nil {
				return explain(err, query, tables)
			}
		}
		return c.copyTo(a.ctx, db, last, tables)
	}
	out, done, err := c.output(a.stdout)
	if err != nil {
		return err
	}
	shown := 0
	for n, s := range all {
		if n < len(all)-1 && !givesRows(s) {
			_, err = db.ExecContext(a.ctx, s)
		} else {
			if shown++; shown > 1 {
				_, err = io.WriteString(out, "\n") // between results
			}
			if err == nil {
				err = c.show(a.ctx, db, s, out, start)
			}
		}
		if err != nil {
			return errors.Join(explain(err, query, tables), done())
		}
		start = time.Now()
	}
	return done()
}

// show runs a statement and writes its result.
func (c *sqlCmd) show(ctx context.Context, db *sql.DB, query string, out io.Writer, start time.Time) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	r, err := newRenderer(c.Out, out, terminalWidth(out))
	if err != nil {
		return err
	}
	_, err = render(rows, r, start)
	return err
}

var rowStatement = regexp.MustCompile(`(?i)^(?:\(|--[^\n]*\n|/\*(?s:.*?)\*/|\s)*(select|from|with|values|table|show|describe|desc|summarize|explain|pivot|unpivot|call|pragma)\b`)

// givesRows reports whether a statement is asked for its rows. Of one that is not,
// such as SET or CREATE, the engine tells a count or nothing.
func givesRows(statement string) bool { return rowStatement.MatchString(statement) }

// window returns the time that the flags ask for.
func (c *sqlCmd) window() (w window, err error) {
	if c.AsOf != "" && (c.Begin != "" || c.End != "") {
		return w, fault.Humanf("give one of them", "--as-of is a moment, --begin and --end are a span")
	}
	if c.ReadOptimized && c.Begin != "" {
		return w, fault.Humanf("give one of them", "--read-optimized shows a state, --begin what was written after a moment")
	}
	w.readOptimized = c.ReadOptimized
	if w.at, err = parseMoment(c.AsOf + c.End); err != nil || c.Begin == "" {
		return w, err
	}
	since, err := parseMoment(c.Begin)
	w.since = &since
	return w, err
}

// text returns the SQL without white space and semicolons at its end.
func (c *sqlCmd) text(stdin io.Reader) (string, error) {
	query := strings.Join(c.Query, " ")
	if query == "" || query == "-" {
		in, err := io.ReadAll(stdin)
		if err != nil {
			return "", fmt.Errorf("read the query: %w", err)
		}
		query = string(in)
	}
	query = strings.TrimRight(query, "; \t\r\n")
	if query == "" {
		return "", fault.Humanf("give it as an argument or on the input", "there is no query")
	}
	return query, nil
}

// output returns where the result goes, and what to do once it is there.
func (c *sqlCmd) output(stdout io.Writer) (io.Writer, func() error, error) {
	if c.To == "" {
		return stdout, func() error { return nil }, nil
	}
	f, err := os.Create(c.To)
	if err != nil {
		return nil, nil, fault.Human(fmt.Errorf("write the result: %w", err), "choose a file that can be written")
	}
	return f, f.Close, nil
}

// register makes a view of every table that the query may name, and returns all
// tables of the lake.
func (c *sqlCmd) register(a *app, db *sql.DB, query string, w window) (catalog, error) {
	refs, err := a.lake.tables(a.ctx)
	if err != nil {
		return nil, err
	}
	words := identifiers(query)
	meta := c.Meta
	for w := range words {
		meta = meta || strings.HasPrefix(w, "_hoodie_")
	}
	for _, r := range refs {
		names := refs.views(r, words)
		if len(names) == 0 {
			continue
		}
		if err := a.lake.addView(a.ctx, db, view{ref: r, window: w, meta: meta, names: names}); err != nil {
			return nil, err
		}
	}
	return refs, nil
}

func (c *sqlCmd) copyTo(ctx context.Context, db *sql.DB, query string, tables catalog) error {
	_, err := db.ExecContext(ctx, fmt.Sprintf("COPY (%s) TO %s (FORMAT parquet)", query, sqlText(c.To)))
	return explain(err, query, tables)
}

// openEngine starts DuckDB, which from here on fetches nothing and reads no file
// of configuration.
func openEngine(ctx context.Context, memory string) (*sql.DB, error) {
	db, err := sql.Open("duckdb", "?autoinstall_known_extensions=false&autoload_known_extensions=false")
	if err != nil {
		return nil, fmt.Errorf("start duckdb: %w", err)
	}
	db.SetMaxOpenConns(1) // settings and views belong to the one connection
	for _, set := range []string{"SET TimeZone = 'UTC'", "SET parquet_metadata_cache = true", "SET memory_limit = " + sqlText(memory)} {
		if _, err := db.ExecContext(ctx, set); err != nil {
			return nil, errors.Join(fault.Human(fmt.Errorf("set up duckdb: %w", err), "see lakeq sql --help"), db.Close())
		}
	}
	return db, nil
}

var missingTable = regexp.MustCompile(`Table with name "?([^ "]+)"? does not exist`)

// explain makes an error of the engine one that says what to do: queries do not
// heal by themselves.
func explain(err error, query string, tables catalog) error {
	if err == nil || fault.NeedsHuman(err) || errors.Is(err, context.Canceled) {
		return err
	}
	m := missingTable.FindStringSubmatch(err.Error())
	if m == nil {
		return explainFile(err)
	}
	name := asWritten(query, m[1])
	switch found := tables.named(name); len(found) {
	case 0:
		return tables.missing(name)
	case 1:
		return explainFile(err)
	default:
		return found.ambiguous(name, `"`)
	}
}

// asWritten returns a table's name with the database that the query gives it.
func asWritten(query, name string) string {
	m := regexp.MustCompile(`(?i)\b(?:from|join|describe|summarize|table|into|update)\s+(?:"([^"]+)"|([\pL_][\pL\d_$]*))\s*\.\s*"?` + regexp.QuoteMeta(name) + `\b`).FindStringSubmatch(query)
	if m == nil {
		return name
	}
	return m[1] + m[2] + "." + name
}

// damagedFile are words of the engine about a Parquet file that is not whole.
var damagedFile = regexp.MustCompile(`(?i)parquet file|magic bytes|footer length|TProtocol|thrift|snappy|corrupt|page header|out of (range|buffer)|don't know what type`)

// explainFile tells an engine's error over the files of a table.
func explainFile(err error) error {
	text := err.Error()
	if strings.Contains(text, "No files found") || strings.Contains(text, "Cannot open file") {
		return err // cleaned away under the query: ask again
	}
	if !damagedFile.MatchString(text) {
		return fault.Human(err, "")
	}
	return fault.Human(err, damageHint)
}

const damageHint = "see with lakeq validate what is damaged, and restore the file from a backup, or read the table --as-of an instant before it"
