package conformance

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"tributary/capture"
	"tributary/envelope"
	"tributary/internal/config"
	"tributary/internal/fault"
)

// Scratch names the place that a run makes and drops.
const Scratch = "tributary_conformance"

// made is the table in it that tells that a run made it.
const made = "made_by_tributary"

// The databases, as scenarios name them.
const (
	kindPostgres  = "postgres"
	kindMySQL     = "mysql"
	kindMariaDB   = "mariadb"
	kindSQLServer = "sqlserver"
)

// Server is a database server under test: what each has of its own.
type Server interface {
	kind() string
	// secrets are what must not be in a recording.
	secrets() []string
	// connect opens a connection for the run's own statements.
	connect(ctx context.Context, r *Recorder) (session, error)
	// source makes a source of tables of the scratch place.
	source(o sourceOptions) (capture.Source, error)

	// more are options of sources that are not at their defaults, by name, but
	// for what a source needs to connect.
	more() map[string]string

	// version is the product and its version.
	version(ctx context.Context, s session) (string, error)
	// questions are what else a report tells of the server.
	questions() []question
	// ready reports what the server lacks, with the statement that mends it.
	ready(ctx context.Context, s session) error
	// contents lists the tables in the scratch place; exists is whether there
	// is such a place.
	contents(ctx context.Context, s session) (names []string, exists bool, err error)
	// grant is the statement that lets the user make one.
	grant() string
	// create makes the scratch place, empty.
	create() string
	// table is the qualified name of a table in it.
	table(name string) string
	// transaction is how one begins.
	transaction() string
	// track is what has a table captured, beside making it; none where nothing
	// is needed.
	track(table string) []string
	// tap is what makes the server keep its log of tables for a recording;
	// tapped is the query that gives it. None where a recording has it anyway,
	// or gets it otherwise (logged).
	tap(tables []string) []string
	tapped() string
	// settle waits until what was written up to a row of the marker is no longer
	// new to a source that starts.
	settle(ctx context.Context, s session, id int) error
	// untrack ends what track and sources leave in the server, for these tables.
	untrack(ctx context.Context, s session, tables []string) error
	// drop drops the scratch place with everything in it, whether all of that
	// is there or not.
	drop(ctx context.Context, s session) error
	// place is where a change is in the log, as text that sorts.
	place(c *envelope.Change) string
}

// logged is a server of which the log can be read, for a recording, by what reads it
// for a source.
type logged interface {
	// mark notes where the log ends.
	mark(ctx context.Context) error
	// log writes what is in it since that is of the scratch place.
	log(ctx context.Context, r *Recorder) error
}

// session is a connection for statements.
type session interface {
	Exec(ctx context.Context, query string) error
	Query(ctx context.Context, query string) ([][]string, error)
	Close() error
}

// sourceOptions are those of one life of a source.
type sourceOptions struct {
	tables   []string // of the scratch place
	batch    int      // max.batch.size, 0 = the default
	login    string   // that it connects as, where a run has made it
	recorder *Recorder
	log      *slog.Logger
}

// defaults reads options that are all at their defaults, but for what a run of
// ours needs. The tables are regular expressions.
func defaults(class string, o sourceOptions, tables []string, more map[string]string, dst any) error {
	all := map[string]string{
		"name": Scratch, "connector.class": class, "topic.prefix": "conformance",
		"database.hostname": "host", "database.user": "user",
		"provide.transaction.metadata": "true", "table.include.list": strings.Join(tables, ","),
	}
	if o.batch > 0 {
		all["max.batch.size"] = fmt.Sprint(o.batch)
	}
	var text strings.Builder
	for _, list := range []map[string]string{all, more} {
		for k, v := range list {
			fmt.Fprintf(&text, "%s: %q\n", k, v)
		}
	}
	if err := config.Parse("conformance", []byte(text.String()), dst); err != nil {
		return fmt.Errorf("options of a source: %w", err)
	}
	return nil
}

// include are the regular expressions of tables.
func include(prefix string, tables []string) (out []string) {
	for _, t := range tables {
		out = append(out, prefix+Scratch+`[.]`+t)
	}
	return out
}

// vacant reports that the scratch place is there already.
func vacant(ctx context.Context, srv Server, s session) error {
	names, exists, err := srv.contents(ctx, s)
	if err != nil {
		return fmt.Errorf("look for %s: %w", Scratch, err)
	}
	switch {
	case exists && slices.Contains(names, made):
		return fault.Humanf("if no other run is in work, drop it with: cdc-source conformance -c FILE -clean", "%s is there: an earlier run was ended, or was told to keep it", Scratch)
	case exists:
		return fault.Humanf("drop or rename it if it is not needed", "%s is there, and no run of ours has made it", Scratch)
	}
	return nil
}

// prepare makes the scratch place.
func prepare(ctx context.Context, srv Server, s session) error {
	for _, q := range []string{srv.create(), "CREATE TABLE " + srv.table(made) + " (what varchar(80) NOT NULL)"} {
		if err := s.Exec(ctx, q); err != nil {
			return fault.Human(fmt.Errorf("make the scratch place: %s: %w", q, err), srv.grant())
		}
	}
	return nil
}

// clean drops the scratch place if a run has made it, or if it is empty. It
// reports whether there was one.
func clean(ctx context.Context, srv Server, s session) (bool, error) {
	names, exists, err := srv.contents(ctx, s)
	if err != nil {
		return false, fmt.Errorf("look for %s: %w", Scratch, err)
	}
	if exists && len(names) > 0 && !slices.Contains(names, made) {
		return false, fault.Humanf("drop it yourself if it is not needed", "%s was not made by a run of ours: it is left as it is", Scratch)
	}
	if !exists {
		return false, nil
	}
	if err := srv.drop(ctx, s); err != nil {
		return true, fmt.Errorf("drop %s: %w", Scratch, err)
	}
	return true, nil
}
