package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
	"tributary/internal/testdb"
	"tributary/internal/tickit"

	"golang.org/x/sync/errgroup"
)

// Options says what to run and where.
type Options struct {
	// Root is the checkout: its configs/ are used.
	Root string
	// Bin is the folder of the binaries.
	Bin string
	// Dir takes the lake, the broker's data and the logs. What it held before
	// is removed.
	Dir  string
	Data *tickit.Data
	// Keep leaves the processes running when this program ends without Stop.
	Keep bool
	// Env is added to the daemons' environment.
	Env map[string]string
}

// Pipeline is the running whole.
type Pipeline struct {
	PostgreSQL *testdb.Server
	MySQL      *testdb.Server // or MariaDB, where no MySQL could be had
	SQLServer  *testdb.Server // a model of it: no server can be had
	Broker     *Daemon
	Registry   *Daemon

	// Sources are the cdc-source daemons, one a database.
	Sources  []*Daemon
	Sink     *Daemon
	Streamer *Daemon

	Kafka       string // the broker's host:port
	RegistryURL string

	o   Options
	env map[string]string
}

// database is that of TICKIT in PostgreSQL and SQL Server, mysqlDatabase the one in
// MySQL, which has no schemas within.
const (
	database      = "tickit"
	mysqlDatabase = "ecomm"
)

// Start starts the databases, the broker and the registry. On an error
// everything is stopped again.
func Start(ctx context.Context, o Options) (*Pipeline, error) {
	p := &Pipeline{o: o}
	if err := p.start(ctx); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

func (p *Pipeline) start(ctx context.Context) error {
	if err := os.RemoveAll(p.o.Dir); err != nil {
		return err
	}
	for _, dir := range []string{"logs", "lake", "kafka"} {
		if err := os.MkdirAll(filepath.Join(p.o.Dir, dir), 0o755); err != nil {
			return err
		}
	}
	kafka, err := freePort()
	if err != nil {
		return err
	}
	registry, err := freePort()
	if err != nil {
		return err
	}
	p.Kafka, p.RegistryURL = kafka, "http://"+registry+"/apis/registry/v2"
	var group errgroup.Group
	group.Go(func() (err error) {
		p.PostgreSQL, err = testdb.StartPostgreSQL(ctx, testdb.Options{Keep: p.o.Keep})
		return err
	})
	group.Go(func() (err error) {
		p.MySQL, err = startMySQL(ctx, testdb.Options{Keep: p.o.Keep})
		return err
	})
	group.Go(func() (err error) {
		p.SQLServer, err = testdb.StartSQLServerModel(ctx, p.bin("demo"), testdb.Options{Keep: p.o.Keep})
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	p.setEnv(registry)
	p.Broker = p.daemon("broker", "demo", "broker", "--dir", filepath.Join(p.o.Dir, "kafka"), "--addr", kafka)
	p.Registry = p.daemon("registry", "cdc-source", "registry", "-c", p.config("registry"))
	for _, d := range []*Daemon{p.Broker, p.Registry} {
		if err := d.Start(); err != nil {
			return err
		}
	}
	return errors.Join(waitListening(ctx, p.Broker, kafka), waitListening(ctx, p.Registry, registry))
}

// startMySQL prefers MySQL and takes MariaDB where none can be had.
func startMySQL(ctx context.Context, o testdb.Options) (*testdb.Server, error) {
	s, err := testdb.StartMySQL(ctx, o)
	if !errors.Is(err, testdb.ErrMissing) {
		return s, err
	}
	s, maria := testdb.StartMariaDB(ctx, o)
	if maria != nil {
		return nil, errors.Join(err, maria)
	}
	return s, nil
}

// setEnv makes the environment from which configs/ take what differs from
// machine to machine.
func (p *Pipeline) setEnv(registry string) {
	p.env = map[string]string{
		"KAFKA_BROKERS":      p.Kafka,
		"REGISTRY_URL":       p.RegistryURL,
		"REGISTRY_ADDRESS":   registry,
		"REGISTRY_FILE":      filepath.Join(p.o.Dir, "registry.db"),
		"POSTGRES_HOST":      p.PostgreSQL.Host,
		"POSTGRES_PORT":      fmt.Sprint(p.PostgreSQL.Port),
		"POSTGRES_USER":      p.PostgreSQL.User,
		"POSTGRES_PASSWORD":  p.PostgreSQL.Password,
		"MYSQL_HOST":         p.MySQL.Host,
		"MYSQL_PORT":         fmt.Sprint(p.MySQL.Port),
		"MYSQL_USER":         p.MySQL.User,
		"MYSQL_PASSWORD":     p.MySQL.Password,
		"SQLSERVER_HOST":     p.SQLServer.Host,
		"SQLSERVER_PORT":     fmt.Sprint(p.SQLServer.Port),
		"SQLSERVER_USER":     p.SQLServer.User,
		"SQLSERVER_PASSWORD": p.SQLServer.Password,
		"SQLSERVER_ENCRYPT":  "false", // all of it is on this machine
		"LAKE_URL":           "file://" + p.Lake(),
	}
	maps.Copy(p.env, p.o.Env)
}

// Env returns the settings that the files in configs/ refer to, as NAME=value.
func (p *Pipeline) Env() []string {
	var env []string
	for _, name := range slices.Sorted(maps.Keys(p.env)) {
		env = append(env, name+"="+p.env[name])
	}
	return env
}

// Lake is the folder of bronze and silver.
func (p *Pipeline) Lake() string { return filepath.Join(p.o.Dir, "lake") }

func (p *Pipeline) bin(name string) string { return filepath.Join(p.o.Bin, name) }

func (p *Pipeline) config(name string) string {
	return filepath.Join(p.o.Root, "configs", name+".yaml")
}

func (p *Pipeline) daemon(name, binary string, args ...string) *Daemon {
	return &Daemon{
		Name: name, path: p.bin(binary), args: args, env: append(os.Environ(), p.Env()...), dir: p.o.Dir,
		log: filepath.Join(p.o.Dir, "logs", name+".log"), keep: p.o.Keep,
	}
}

// StartDaemons has SQL Server track the changes of its tables, which the other
// databases do by themselves, and starts capture, sink and streamer.
func (p *Pipeline) StartDaemons(ctx context.Context) error {
	if err := p.track(ctx); err != nil {
		return err
	}
	mysql := "mysql-tickit"
	if p.MySQL.Kind == testdb.KindMariaDB {
		mysql = "mariadb-tickit"
	}
	p.Sources = []*Daemon{
		p.daemon("cdc-source-postgres", "cdc-source", "run", "-c", p.config("postgres-tickit")),
		p.daemon("cdc-source-mysql", "cdc-source", "run", "-c", p.config(mysql)),
		p.daemon("cdc-source-sqlserver", "cdc-source", "run", "-c", p.config("sqlserver-tickit")),
	}
	p.Sink = p.daemon("s3-sink", "s3-sink", "run", "-c", p.config("s3-sink"))
	p.Streamer = p.daemon("deltastreamer", "deltastreamer", "run", "-c", p.config("deltastreamer"))
	for _, d := range p.Daemons() {
		if err := d.Start(); err != nil {
			return err
		}
	}
	return nil
}

// track enables change data capture as a database administrator does.
func (p *Pipeline) track(ctx context.Context) error {
	statements := []string{"EXEC sys.sp_cdc_enable_db"}
	for _, t := range tickit.Tables() {
		if t.InSQLServer() {
			statements = append(statements, fmt.Sprintf(
				"EXEC sys.sp_cdc_enable_table @source_schema = N'%s', @source_name = N'%s', @role_name = NULL, @supports_net_changes = 0", t.Schema, t.Name))
		}
	}
	return p.Exec(ctx, p.SQLServer, statements...)
}

// Daemons returns capture, sink and streamer, in the order of the data.
func (p *Pipeline) Daemons() []*Daemon {
	if p.Sink == nil {
		return nil
	}
	return append(slices.Clone(p.Sources), p.Sink, p.Streamer)
}

// Err returns an error if any of the processes has ended by itself.
func (p *Pipeline) Err() error {
	for _, d := range append(p.Daemons(), p.Broker, p.Registry) {
		if err := d.Err(); err != nil {
			return err
		}
	}
	return nil
}

// Process is a running process.
type Process struct {
	Name string
	PID  int
}

// Running lists the processes, in the order in which they were started.
func (p *Pipeline) Running() []Process {
	var list []Process
	for _, s := range p.Databases() {
		list = append(list, Process{string(s.Kind), s.Pid()})
	}
	for _, d := range append([]*Daemon{p.Broker, p.Registry}, p.Daemons()...) {
		list = append(list, Process{d.Name, d.Pid()})
	}
	return list
}

// Stop ends all processes and removes the databases. What lies in Dir stays.
func (p *Pipeline) Stop() error {
	var errs []error
	for _, d := range append(p.Daemons(), p.Registry, p.Broker) {
		if d != nil {
			errs = append(errs, d.Stop())
		}
	}
	for _, s := range p.Databases() {
		if s != nil {
			errs = append(errs, s.Stop())
		}
	}
	return errors.Join(errs...)
}

// Databases are the servers of TICKIT, in the order of Sources; nil before Start.
func (p *Pipeline) Databases() []*testdb.Server {
	return []*testdb.Server{p.PostgreSQL, p.MySQL, p.SQLServer}
}

// Server returns the server of a table, and the database that it lies in.
func (p *Pipeline) Server(t tickit.Table) (*testdb.Server, string) {
	switch {
	case t.InMySQL():
		return p.MySQL, mysqlDatabase
	case t.InSQLServer():
		return p.SQLServer, database
	}
	return p.PostgreSQL, database
}

// CreateTables makes the empty tables.
func (p *Pipeline) CreateTables(ctx context.Context) error {
	err := errors.Join(p.PostgreSQL.Exec(ctx, "CREATE DATABASE "+database), p.SQLServer.Exec(ctx, "CREATE DATABASE "+database),
		p.MySQL.Exec(ctx, "CREATE DATABASE "+mysqlDatabase))
	if err != nil {
		return err
	}
	if err := errors.Join(p.Exec(ctx, p.PostgreSQL, "CREATE SCHEMA ems"), p.Exec(ctx, p.SQLServer, "CREATE SCHEMA crm")); err != nil {
		return err
	}
	for _, t := range tickit.Tables() {
		server, _ := p.Server(t)
		if err := p.Exec(ctx, server, t.DDL()); err != nil {
			return err
		}
	}
	return nil
}

// Exec runs statements in the server's TICKIT database.
func (p *Pipeline) Exec(ctx context.Context, server *testdb.Server, statements ...string) error {
	name := database
	if server == p.MySQL {
		name = mysqlDatabase
	}
	return server.ExecIn(ctx, name, statements...)
}

// Load fills the tables, those of each database at the same time.
func (p *Pipeline) Load(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, s := range p.Databases() {
		group.Go(func() error {
			for _, t := range tickit.Tables() {
				if server, _ := p.Server(t); server != s {
					continue
				}
				if _, err := p.LoadRange(ctx, t, 0, p.o.Data.Rows(t.Name)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// LoadRange adds the rows of a table from one number up to but without another.
func (p *Pipeline) LoadRange(ctx context.Context, t tickit.Table, from, to int) (int64, error) {
	server, database := p.Server(t)
	rows := p.o.Data.Range(t.Name, from, to)
	defer rows.Close()
	return server.Load(ctx, database, t.Quoted(), rows)
}

// freePort returns a loopback address that nothing listens on.
func freePort() (string, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0") //nolint:noctx // returns at once
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}

func waitListening(ctx context.Context, d *Daemon, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp", addr)
		if err == nil {
			return conn.Close()
		}
		if err := d.Err(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s at %s: %w", d.Name, addr, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
