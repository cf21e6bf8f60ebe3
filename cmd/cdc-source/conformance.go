package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tributary/capture"
	"tributary/capture/conformance"
	"tributary/capture/emit"
	"tributary/capture/mysql"
	"tributary/capture/postgres"
	"tributary/capture/sqlserver"
	"tributary/internal/config"
	"tributary/internal/fault"
	"tributary/internal/ops"
)

const conformanceUsage = "-c FILE [-o FOLDER] [-only NAME,NAME] [-timeout 1m] [-keep] [-clean]   test the capture against your server"

const conformanceHelp = `Runs scenarios (snapshot, transactions, keys, restart, schema, unchanged, rights,
types, for SQL Server retention) against the database of FILE, through the same source as run, and compares the
changes with what they must be. Everything is in a schema tributary_conformance (in
MySQL and MariaDB a database), which is made first and dropped at the end, after
Ctrl-C too. One that the command did not make is never touched. Your tables are not
read; Kafka and the registry are not needed, nor their options in FILE.

  -c FILE        configuration as for run; of it, how to connect
  -o FOLDER      where to write report.md, report.json and recording.jsonl;
                 conformance-DATE-TIME when not given
  -only NAMES    these scenarios only, with commas between
  -timeout 1m    how long a change may take to come
  -keep          leave the tables as they are at the end
  -clean         drop what a run has left that was killed or was told to keep, and end

The user needs more than for capturing: PostgreSQL CREATE on the database, MySQL and
MariaDB CREATE, DROP, ALTER, INSERT, UPDATE and DELETE on tributary_conformance.*,
SQL Server db_owner in a database with change data capture (EXEC sys.sp_cdc_enable_db).
A login with few rights is tried too (rights): that is left out where the user may not
make one.
A database of its own for it is best.

The recording has the statements that were sent and their results, but no password
and no name of host or login, and no rows but of the scratch tables. With it, what
your server does can become a test.

Exit codes: 0 all checks passed, 1 a check failed or the run was stopped, 2 the file
or the rights are not right.

Example, SQL Server:
  cat > check.yaml <<END
  name: check
  connector.class: sqlserver
  topic.prefix: check
  database: {hostname: db.example.com, user: tester, password: "${env:PASSWORD}", names: scratch}
  END
  cdc-source conformance -c check.yaml
`

// conformanceCall are the arguments of the command.
type conformanceCall struct {
	file, folder string
	only         []string
	wait         time.Duration
	keep, clean  bool
}

func parseConformance(args []string) (c conformanceCall, err error) {
	fs := flag.NewFlagSet("conformance", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	only := ""
	fs.StringVar(&c.file, "c", "", "configuration `FILE`")
	fs.StringVar(&c.folder, "o", "conformance-"+time.Now().Format("20060102-150405"), "`FOLDER` for report and recording")
	fs.StringVar(&only, "only", "", "`NAMES` of scenarios")
	fs.DurationVar(&c.wait, "timeout", time.Minute, "how long a change may take")
	fs.BoolVar(&c.keep, "keep", false, "leave the tables")
	fs.BoolVar(&c.clean, "clean", false, "drop what a run has left")
	if err := fs.Parse(args); err != nil || c.file == "" || fs.NArg() > 0 {
		return c, fault.Humanf("call it as: conformance "+conformanceUsage, "conformance: %q is not understood", strings.Join(args, " "))
	}
	if only != "" {
		c.only = strings.Split(only, ",")
	}
	return c, nil
}

// conformanceCommand runs the scenarios against the server of a file.
func conformanceCommand(ctx context.Context, args []string, log *slog.Logger) error {
	return runConformance(ctx, args, log, os.Stdout)
}

func runConformance(ctx context.Context, args []string, log *slog.Logger, out io.Writer) error {
	call, err := parseConformance(args)
	if err != nil {
		return err
	}
	srv, err := serverOf(ctx, call.file)
	if err != nil {
		return err
	}
	progress := func(format string, args ...any) { log.Info(fmt.Sprintf(format, args...)) }
	if ops.IsTerminal(os.Stderr) {
		progress = func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	}
	if call.clean {
		return hinted(conformance.Clean(ctx, srv, progress))
	}
	return hinted(call.run(ctx, srv, progress, out))
}

// run runs the scenarios and writes what they found.
func (c *conformanceCall) run(ctx context.Context, srv conformance.Server, progress func(string, ...any), out io.Writer) error {
	if err := os.MkdirAll(c.folder, 0o700); err != nil {
		return fault.Human(fmt.Errorf("make the folder of the report: %w", err), "give another with -o")
	}
	file, err := os.OpenFile(filepath.Join(c.folder, "recording.jsonl"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fault.Human(fmt.Errorf("make the recording: %w", err), "give another folder with -o")
	}
	recorder := conformance.NewRecorder(file)
	report, err := conformance.Run(ctx, conformance.Options{
		Server: srv, Version: ops.Version(), Only: c.only, Keep: c.keep, Wait: c.wait, Recorder: recorder,
		Progress: progress, Log: slog.New(slog.DiscardHandler),
	})
	if werr := errors.Join(recorder.Err(), file.Close(), c.write(report, recorder.Redact(report), out)); werr != nil {
		return errors.Join(err, fmt.Errorf("write the report: %w", werr))
	}
	switch {
	case err != nil:
		return err
	case report.Failures() > 0:
		return fault.Hinted(fmt.Errorf("%d of %d checks failed", report.Failures(), len(report.Checks)),
			"report it with the folder "+c.folder+", of which recording.jsonl lets the run be repeated without your server")
	}
	fmt.Fprintf(out, "\nall %d checks passed; report and recording are in %s\n", len(report.Checks), c.folder)
	return nil
}

// write writes the report to out and, in the form that may be handed on, to the folder.
func (c *conformanceCall) write(r, redacted *conformance.Report, out io.Writer) error {
	var text, page strings.Builder
	err := errors.Join(redacted.WriteJSON(&text), redacted.WriteMarkdown(&page))
	for name, content := range map[string]string{"report.json": text.String(), "report.md": page.String()} {
		err = errors.Join(err, os.WriteFile(filepath.Join(c.folder, name), []byte(content), 0o600))
	}
	if len(r.Checks) > 0 {
		err = errors.Join(err, r.WriteText(out))
	}
	return err
}

// sourceOnly are the options of a file of which only those of the source are
// needed. S is the struct of these.
type sourceOnly[S any, P interface {
	*S
	Validate() []config.Problem
	Complete()
}] struct {
	Source S
	Rest   map[string]string `opt:"*"`
}

// Complete implements config.Completer.
func (o *sourceOnly[S, P]) Complete() { P(&o.Source).Complete() }

// Validate returns what the tags cannot express. What is neither an option of the
// source nor of the rest of the daemon, nor known as one of Debezium's, is a fault.
func (o *sourceOnly[S, P]) Validate() []config.Problem {
	out := P(&o.Source).Validate()
	known := make(map[string]bool)
	var names []string
	for _, x := range config.Options(&struct {
		Source S
		Emit   emit.Options
		Daemon daemonOptions
	}{}) {
		known[x.Name] = true
		names = append(names, x.Name)
	}
	for key, value := range o.Rest {
		if _, _, foreign := capture.FindForeign(key, value); !foreign && !known[key] {
			out = append(out, config.Problem{Key: key, Message: "unknown option" + config.Suggestion(key, names)})
		}
	}
	return out
}

// serverOf reads which server a file is about.
func serverOf(ctx context.Context, path string) (conformance.Server, error) {
	var peek class
	if err := config.Load(path, &peek); err != nil {
		return nil, err
	}
	switch databaseOf(peek.Class) {
	case "postgres":
		var o sourceOnly[postgres.Options, *postgres.Options]
		if err := config.Load(path, &o); err != nil {
			return nil, err
		}
		if err := loginTo(ctx, &o.Source.Options, o.Source.Host, "database.sslmode", o.Source.SSLMode); err != nil {
			return nil, err
		}
		return conformance.PostgreSQL(o.Source), nil
	case "mysql":
		var o sourceOnly[mysql.Options, *mysql.Options]
		if err := config.Load(path, &o); err != nil {
			return nil, err
		}
		if err := loginTo(ctx, &o.Source.Options, o.Source.Host, "database.ssl.mode", o.Source.SSLMode); err != nil {
			return nil, err
		}
		return conformance.MySQL(o.Source), nil
	}
	var o sourceOnly[sqlserver.Options, *sqlserver.Options]
	if err := config.Load(path, &o); err != nil {
		return nil, err
	}
	return conformance.SQLServer(o.Source), nil
}

// loginTo is login where the connection is encrypted, if that is needed.
func loginTo(ctx context.Context, o *capture.Options, host, key, mode string) error {
	for _, p := range needsTLS(o, key, mode) {
		return fault.Humanf("choose another "+key, "%s: %s", p.Key, p.Message)
	}
	return login(ctx, o, host)
}
