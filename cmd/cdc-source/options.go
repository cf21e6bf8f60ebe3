package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"tributary/capture"
	"tributary/capture/emit"
	"tributary/capture/mysql"
	"tributary/capture/postgres"
	"tributary/envelope"
	"tributary/internal/config"
	"tributary/internal/fault"
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

// Validate returns what the tags cannot express.
func (o *mysqlOptions) Validate() []config.Problem {
	return append(o.Source.Validate(), o.Emit.Check()...)
}

type daemonOptions struct {
	Listen string `opt:"http.address" doc:"host:port for health and metrics; none when empty"`
}

// Validate returns what the tags cannot express.
func (o *postgresOptions) Validate() []config.Problem {
	return append(o.Source.Validate(), o.Emit.Check()...)
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
	capture.Source
	// Check writes what Open would do at the stored position.
	Check(ctx context.Context, resume capture.Position, w io.Writer) error
}

// class reads which database a file is about before its options are known.
type class struct {
	Class string            `opt:"connector.class" required:"true" doc:"database: postgres, mysql or mariadb, or Debezium's class name"`
	Rest  map[string]string `opt:"*"`
}

// databaseOf returns the package for a connector.class, "" if there is none.
func databaseOf(class string) string {
	switch class {
	case "postgres", "postgresql", "io.debezium.connector.postgresql.PostgresConnector":
		return "postgres"
	case "mysql", "mariadb", "io.debezium.connector.mysql.MySqlConnector", "io.debezium.connector.mariadb.MariaDbConnector":
		return "mysql"
	}
	return ""
}

func load(verb string, args []string) (*connector, error) {
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
		if err := config.Load(path, o); err != nil {
			return nil, err
		}
		return &connector{
			common: &o.Source.Options, emit: o.Emit, listen: o.Daemon.Listen,
			block:  func(v string) envelope.Block { return postgres.Block(&o.Source, v) },
			source: func(log *slog.Logger) (source, error) { return postgres.New(o.Source, log) },
		}, nil
	case "mysql":
		o := &mysqlOptions{}
		if err := config.Load(path, o); err != nil {
			return nil, err
		}
		return &connector{
			common: &o.Source.Options, emit: o.Emit, listen: o.Daemon.Listen,
			block:  func(v string) envelope.Block { return mysql.Block(&o.Source, v) },
			source: func(log *slog.Logger) (source, error) { return mysql.New(o.Source, log) },
		}, nil
	}
	return nil, fault.Human(fmt.Errorf("%s: connector.class %q is not known", path, peek.Class), "set it to postgres, mysql or mariadb")
}
