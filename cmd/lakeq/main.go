// Command lakeq asks questions of the lake's tables: SQL as of any moment, what
// tables there are, and what happened to one of them and when.
//
// It reads Hudi's own timeline to find the exact files that made up a table at
// the moment asked for, and hands those, and no others, to DuckDB.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"tributary/internal/fault"
	"tributary/internal/ops"
)

const about = `Ask questions of the lake's tables, as of any moment.

Every table of the lake is a view by its name and by database.name, and, where several
are named so, by its folder in double quotes:

    lakeq --lake ./lake sql 'select count(*) from sale'
    lakeq sql --as-of '2026-11-25 09:30' 'select * from sale where salesid = 200'
    lakeq sql -o csv 'from venue' > venue.csv
    lakeq sql --begin 20261125 --end 20261126 'select * from sale'
    lakeq sql 'select * from "silver/tickit/sale"'
    lakeq timeline sale
    lakeq diff sale 20261125 now
    lakeq history sale 200

--as-of takes a Hudi instant (yyyyMMddHHmmssSSS) or its leading digits, an RFC 3339
time, or YYYY-MM-DD[ HH:MM[:SS[.mmm]]], in UTC; or a position in the database's log:
an LSN (0/16B3748; 00000025:00000d98:0002), a binlog position (binlog.000003:1234),
or db: and a time there.
A position is answered with the newest commit that holds nothing from behind it.
A time with seconds includes the whole second. All times of tables are shown in UTC.

Deleted rows stay in their table with __deleted = 'true', unless the streamer is
told to remove them. Hudi's own columns (_hoodie_commit_time, _hoodie_record_key,
and three more) are part of a view when the query names one of them, or with --meta.

Of merge-on-read tables, rows are base files and logs merged; with --read-optimized they
are those of the base files alone, as of the last compaction.

Exit codes: 0 done, 1 a fault that a retry may heal, 2 a fault that needs a human.`

// cli is the command line.
type cli struct {
	Lake      string `help:"Where the lake is: a path, file:///path or s3://bucket/prefix." env:"LAKEQ_LAKE" placeholder:"URL"`
	CacheDir  string `help:"Where files of an s3 lake are kept; they never change. Default: lakeq in the user's cache folder." env:"LAKEQ_CACHE_DIR" placeholder:"DIR"`
	CacheSize int64  `help:"How large the cache may grow, in MiB." default:"4096" placeholder:"MIB"`
	Endpoint  string `name:"s3-endpoint" help:"URL of an S3 that is not Amazon's." env:"LAKEQ_S3_ENDPOINT" placeholder:"URL"`
	Region    string `name:"s3-region" help:"Region of the bucket; else as the AWS SDK finds it." env:"LAKEQ_S3_REGION" placeholder:"NAME"`
	PathStyle bool   `name:"s3-path-style" help:"Put the bucket into the path of S3's URLs, not into the host name." env:"LAKEQ_S3_PATH_STYLE"`

	SQL      sqlCmd      `cmd:"" name:"sql" help:"Run SQL over the tables."`
	Tables   tablesCmd   `cmd:"" help:"List the tables: rows, size, files, last commit."`
	Timeline timelineCmd `cmd:"" help:"Show the commits of a table: what each changed, and how far it had read."`
	Files    filesCmd    `cmd:"" help:"List the files that make up a table."`
	Diff     diffCmd     `cmd:"" help:"Show the rows of a table that differ between two moments."`
	History  historyCmd  `cmd:"" help:"Show the life of one row."`
	Validate validateCmd `cmd:"" help:"Look for damage: files, counts, keys, footers, leftovers."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
}

// app is what every command works with.
type app struct {
	ctx    context.Context
	stdin  io.Reader
	stdout io.Writer
	lake   *lakeRoot
}

type versionCmd struct{}

func (versionCmd) Run(a *app) error {
	_, err := fmt.Fprintln(a.stdout, "lakeq", ops.Version())
	return err
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// exited carries the code with which kong wants to end, after --help.
type exited int

// run runs one command line and returns its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(exited)
			if !ok {
				panic(r)
			}
			code = int(e)
		}
	}()
	var c cli
	parser, err := kong.New(&c, kong.Name("lakeq"), kong.Description(about),
		kong.Writers(stdout, stderr), kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}))
	if err != nil {
		return ops.Report(stderr, "lakeq", err)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return ops.Report(stderr, "lakeq", fault.Human(err, "see lakeq --help"))
	}
	a := &app{ctx: ctx, stdin: stdin, stdout: stdout}
	if parsed.Command() != "version" {
		if a.lake, err = openLake(ctx, &c); err != nil {
			return ops.Report(stderr, "lakeq", err)
		}
		defer a.lake.close()
	}
	err = parsed.Run(a)
	if errors.Is(err, syscall.EPIPE) {
		return ops.ExitDone // the reader of our output had enough
	}
	if ctx.Err() != nil {
		fmt.Fprintln(stderr, "lakeq: interrupted")
		return ops.ExitRetry
	}
	return ops.Report(stderr, "lakeq", err)
}
