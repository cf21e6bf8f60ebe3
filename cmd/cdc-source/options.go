package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"tributary/capture"
	"tributary/capture/emit"
	"tributary/capture/mysql"
	"tributary/capture/postgres"
	"tributary/capture/rdsauth"
	"tributary/capture/snapshot"
	"tributary/capture/sqlserver"
	"tributary/envelope"
	"tributary/internal/config"
	"tributary/internal/ops"
)

// postgresOptions are the options of a file with connector.class postgres.
type postgresOptions struct {
	Source postgres.Options
	Emit   emit.Options
	Daemon daemonOptions
}

// mysqlOptions are the options of a file with connector.class mysql or mariadb.
type mysqlOptions struct {
	Source mysql.Options
	Emit   emit.Options
	Daemon daemonOptions
}

// sqlserverOptions are the options of a file with connector.class sqlserver.
type sqlserverOptions struct {
	Source sqlserver.Options
	Emit   emit.Options
	Daemon daemonOptions
}

// Validate returns what the tags cannot express.
func (o *sqlserverOptions) Validate() []config.Problem {
	return append(o.Source.Validate(), o.Emit.Check()...)
}

// Complete implements config.Completer.
func (o *sqlserverOptions) Complete() { o.Source.Complete() }

// Foreign implements config.Foreigner.
func (*sqlserverOptions) Foreign(key, value string, own bool) (config.Verdict, bool) {
	return foreign(key, value, own)
}

// Validate returns what the tags cannot express.
func (o *mysqlOptions) Validate() []config.Problem {
	return append(append(o.Source.Validate(), o.Emit.Check()...), needsTLS(&o.Source.Options, "database.ssl.mode", o.Source.SSLMode)...)
}

// Complete implements config.Completer.
func (o *mysqlOptions) Complete() { o.Source.Complete() }

// Foreign implements config.Foreigner.
func (*mysqlOptions) Foreign(key, value string, own bool) (config.Verdict, bool) {
	return foreign(key, value, own)
}

// foreign says what is known of an option of Debezium or Kafka Connect that
// there is no counterpart for, or of a value that one of ours does not have.
func foreign(key, value string, own bool) (config.Verdict, bool) {
	find := capture.FindForeign
	if own {
		find = capture.FindForeignValue
	}
	text, refused, ok := find(key, value)
	return config.Verdict{Message: text, Refused: refused}, ok
}

type daemonOptions struct {
	Listen string `opt:"http.address" doc:"host:port for health and metrics; none when empty"`
}

// Validate returns what the tags cannot express.
func (o *postgresOptions) Validate() []config.Problem {
	return append(append(o.Source.Validate(), o.Emit.Check()...), needsTLS(&o.Source.Options, "database.sslmode", o.Source.SSLMode)...)
}

// needsTLS reports that aws-iam is asked for where the connection may be in the
// clear: whoever reads the token could log in with it.
func needsTLS(o *capture.Options, key, mode string) []config.Problem {
	if !o.IAM() || slices.Contains([]string{"required", "require", "trust", "verify_ca", "verify-ca", "verify_identity", "verify-full"}, mode) {
		return nil
	}
	return []config.Problem{{Key: key, Message: "database.authentication aws-iam needs an encrypted connection: one of the modes that require it, best the one that verifies the host's name"}}
}

// Complete implements config.Completer.
func (o *postgresOptions) Complete() { o.Source.Complete() }

// Foreign implements config.Foreigner.
func (*postgresOptions) Foreign(key, value string, own bool) (config.Verdict, bool) {
	return foreign(key, value, own)
}

// connector is a loaded file, whatever its database.
type connector struct {
	common *capture.Options
	emit   emit.Options
	listen string
	block  func(version string) envelope.Block
	source func(log *slog.Logger) (source, error)
}

// source is what main needs of each database's Source.
type source interface {
	snapshot.Chunks
	// Check writes what Open would do at the stored position.
	Check(ctx context.Context, resume capture.Position, w io.Writer) error
	// FromDebezium makes a position of offsets of Debezium's connector.
	FromDebezium(ctx context.Context, list []capture.DebeziumOffset) (capture.Position, error)
	// Exec executes a statement in the database.
	Exec(ctx context.Context, query string) error
}

// commonGroup are the options that all databases have in common.
func commonGroup() ops.Group { return ops.Group{Options: &capture.Options{}} }

// optionGroups are the options of a file beside those that all databases have
// in common, as --help prints them.
func optionGroups() []ops.Group {
	return []ops.Group{
		{Title: "Only for connector.class postgres", Options: &postgres.Options{}},
		{Title: "Only for connector.class mysql or mariadb", Options: &mysql.Options{}},
		{Title: "Only for connector.class sqlserver", Options: &sqlserver.Options{}},
		{Title: "Kafka, schema registry and daemon", Options: &struct {
			Emit   emit.Options
			Daemon daemonOptions
		}{}},
	}
}

// class reads which database a file is about before its options are known.
type class struct {
	Class string            `opt:"connector.class" required:"true" doc:"database: postgres, mysql, mariadb or sqlserver, or Debezium's class name"`
	Rest  map[string]string `opt:"*"`
}

// Validate returns what the tags cannot express.
func (c *class) Validate() []config.Problem {
	if databaseOf(c.Class) != "" {
		return nil
	}
	return []config.Problem{{Key: "connector.class", Message: fmt.Sprintf("%q is none of the databases that can be captured: %s", c.Class, strings.Join(classes(), ", "))}}
}

// databases has the package for each connector.class.
var databases = []struct{ class, name string }{
	{"postgres", "postgres"}, {"postgresql", "postgres"}, {"io.debezium.connector.postgresql.PostgresConnector", "postgres"},
	{"mysql", "mysql"}, {"io.debezium.connector.mysql.MySqlConnector", "mysql"},
	{"mariadb", "mysql"}, {"io.debezium.connector.mariadb.MariaDbConnector", "mysql"},
	{"sqlserver", "sqlserver"}, {"io.debezium.connector.sqlserver.SqlServerConnector", "sqlserver"},
}

// databaseOf returns the package for a connector.class, "" if there is none.
func databaseOf(class string) string {
	for _, d := range databases {
		if d.class == class {
			return d.name
		}
	}
	return ""
}

func classes() []string {
	var out []string
	for _, d := range databases {
		out = append(out, d.class)
	}
	return out
}

// load reads the file that the arguments of a command name. What it gives that
// does nothing is logged.
func load(ctx context.Context, verb string, args []string, log *slog.Logger) (*connector, error) {
	c, err := loadFile(ctx, verb, args, log)
	if err != nil {
		return nil, err
	}
	c.common.Plan = emit.Planner(envelope.NewFormat(c.common.Format(c.block(ops.Version()))))
	return c, nil
}

func loadFile(ctx context.Context, verb string, args []string, log *slog.Logger) (*connector, error) {
	path, err := ops.ConfigFile(verb, args)
	if err != nil {
		return nil, err
	}
	var peek class
	if err := config.Load(path, &peek); err != nil {
		return nil, err
	}
	switch databaseOf(peek.Class) {
	case "postgres":
		o := &postgresOptions{}
		if err := read(path, o, log); err != nil {
			return nil, err
		}
		if err := login(ctx, &o.Source.Options, o.Source.Host); err != nil {
			return nil, err
		}
		return &connector{
			common: &o.Source.Options, emit: o.Emit, listen: o.Daemon.Listen,
			block:  func(v string) envelope.Block { return postgres.Block(&o.Source, v) },
			source: func(log *slog.Logger) (source, error) { return postgres.New(o.Source, log) },
		}, nil
	case "mysql":
		o := &mysqlOptions{}
		if err := read(path, o, log); err != nil {
			return nil, err
		}
		if err := login(ctx, &o.Source.Options, o.Source.Host); err != nil {
			return nil, err
		}
		return &connector{
			common: &o.Source.Options, emit: o.Emit, listen: o.Daemon.Listen,
			block:  func(v string) envelope.Block { return mysql.Block(&o.Source, v) },
			source: func(log *slog.Logger) (source, error) { return mysql.New(o.Source, log) },
		}, nil
	case "sqlserver":
		o := &sqlserverOptions{}
		if err := read(path, o, log); err != nil {
			return nil, err
		}
		return &connector{
			common: &o.Source.Options, emit: o.Emit, listen: o.Daemon.Listen,
			block:  func(v string) envelope.Block { return sqlserver.Block(&o.Source, v) },
			source: func(log *slog.Logger) (source, error) { return sqlserver.New(o.Source, log) },
		}, nil
	}
	return nil, fmt.Errorf("connector.class %q passed the check of the file but has no database", peek.Class)
}

// read reads a file's options.
func read(path string, dst any, log *slog.Logger) error {
	warnings, err := config.Read(path, dst)
	for _, w := range warnings {
		log.Warn("option ignored", "file", path, "line", w.Line, "option", w.Key, "why", w.Message)
	}
	return err
}

// login has the passwords made of AWS credentials if the options ask for it.
func login(ctx context.Context, o *capture.Options, host string) error {
	if !o.IAM() {
		return nil
	}
	tokens, err := rdsauth.New(ctx, o.AWSRegion, host)
	if err != nil {
		return err
	}
	o.Passwords = tokens.Password
	return nil
}
