// Package testdb starts real database servers for tests and for the demo, each
// in a temporary folder and on a free loopback port, and lets none of them
// outlive the program that started it.
//
// A test asks for a database:
//
//	db := testdb.PostgreSQL(t) // also PostgreSQLRelease, MySQL, MySQLWithoutGTID, MariaDB, MariaDB11
//	db.MustExec(t, "CREATE TABLE ...")
//
// The first such call of a test binary starts the server, which all tests of
// that binary share; each call makes a new database in it, dropped when the
// test ends. Tests that stop or kill their server, or need other settings,
// start their own with StartPostgreSQL, StartMySQL or StartMariaDB.
//
// Initialised data folders are kept as templates in the build folder, so that
// only the first start on a machine pays for initdb.
package testdb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
	"tributary/internal/proc"
)

// Kind is a brand of database server.
type Kind string

// The brands.
const (
	KindPostgreSQL Kind = "PostgreSQL"
	KindMySQL      Kind = "MySQL"
	KindMariaDB    Kind = "MariaDB"
	KindSQLServer  Kind = "SQL Server (model)"
)

// word is the kind as a part of names of files.
func (k Kind) word() string {
	word, _, _ := strings.Cut(strings.ToLower(string(k)), " (")
	return strings.ReplaceAll(word, " ", "")
}

// Options change how a server is started. The zero value serves most tests.
type Options struct {
	// Settings are added to the server's own, as in its configuration file:
	// PostgreSQL "wal_level": "replica", MySQL "binlog-format": "STATEMENT".
	Settings map[string]string

	// NoGTID starts MySQL with gtid-mode=OFF. MariaDB always has its GTIDs.
	NoGTID bool

	// Release starts the PostgreSQL of that number, 16 to 18, or MariaDB 11, which
	// tests/setup.sh unpacks.
	Release int

	// Keep lets the server and its folder outlive this program.
	Keep bool
}

// Server is a running database server. User may do everything.
type Server struct {
	Kind     Kind
	Version  string // its number, such as 9.7.4
	Host     string
	Port     int
	User     string
	Password string
	Dir      string // its data, log and settings; removed by Stop

	spec  proc.Spec
	child *proc.Process
	admin session
}

// Password is that of every server's User.
const password = "tributary"

// ErrMissing is in the error of a server that is not installed, whose text
// ends with the command that installs it.
var ErrMissing = errors.New("not installed")

func missing(kind Kind) error {
	return fmt.Errorf("%s is %w: run tests/setup.sh %s", kind, ErrMissing, kind.word())
}

// Addr returns host:port.
func (s *Server) Addr() string { return fmt.Sprintf("%s:%d", s.Host, s.Port) }

// Pid returns the server's process id.
func (s *Server) Pid() int { return s.child.Pid() }

// DSN returns the data source name of a database as its Go driver takes it
// (pgx, go-sql-driver/mysql and go-mssqldb). MySQL and MariaDB take "" for none.
func (s *Server) DSN(database string) string {
	switch s.Kind {
	case KindPostgreSQL:
		return fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", s.User, s.Password, s.Addr(), cmp.Or(database, "postgres"))
	case KindSQLServer:
		return fmt.Sprintf("sqlserver://%s:%s@%s?database=%s&encrypt=disable", s.User, s.Password, s.Addr(), cmp.Or(database, "master"))
	}
	return fmt.Sprintf("%s:%s@tcp(%s)/%s?multiStatements=true&interpolateParams=true&time_zone=%s",
		s.User, s.Password, s.Addr(), database, "%27%2B00%3A00%27")
}

// Exec runs statements, each of which may be several, as User in the server's
// own database ("postgres", or none).
func (s *Server) Exec(ctx context.Context, statements ...string) error {
	return execAll(ctx, s.admin, statements)
}

// ExecIn runs statements in a database, over a connection of its own.
func (s *Server) ExecIn(ctx context.Context, database string, statements ...string) error {
	db, err := newSession(s.Kind, s.DSN(database))
	if err != nil {
		return err
	}
	return errors.Join(execAll(ctx, db, statements), db.close())
}

// Query runs one statement in the server's own database and returns its rows, every value as the
// server writes it in text and NULL as Null.
func (s *Server) Query(ctx context.Context, statement string) ([][]string, error) {
	return s.admin.query(ctx, statement)
}

func execAll(ctx context.Context, db session, statements []string) error {
	for _, q := range statements {
		if _, err := db.query(ctx, q); err != nil {
			return fmt.Errorf("execute %.80q: %w", q, err)
		}
	}
	return nil
}

// Stop ends the server and removes its folder. Stopping twice is harmless.
func (s *Server) Stop() error {
	var err error
	if s.admin != nil {
		err = s.admin.close()
	}
	if s.child != nil {
		err = errors.Join(err, s.child.Stop())
	}
	return errors.Join(err, s.spec.Guard.Release(), os.RemoveAll(s.Dir))
}

// settingArgs writes settings as a program's arguments, in a fixed order.
func settingArgs(format string, settings map[string]string) []string {
	var args []string
	for _, k := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, fmt.Sprintf(format, k, settings[k]))
	}
	return args
}

// Kill ends the server as a crash does. Restart brings it back.
func (s *Server) Kill() error {
	err := errors.Join(s.admin.close(), s.child.Kill())
	s.admin = nil
	return err
}

// Restart starts a killed server again, on its data and at its old port.
func (s *Server) Restart(ctx context.Context) error {
	// What a crashed server leaves does not keep a new one from starting, but its
	// last children may take a moment longer to die, and PostgreSQL refuses to
	// start while one of them holds the shared memory.
	for try := 1; ; try++ {
		err := s.start(ctx)
		if err == nil {
			return nil
		}
		if try == restartTries || !s.child.Exited() || ctx.Err() != nil {
			return errors.Join(err, s.Stop())
		}
		select {
		case <-ctx.Done():
		case <-time.After(250 * time.Millisecond):
		}
	}
}

const restartTries = 20

// start runs the server process and waits until it answers.
func (s *Server) start(ctx context.Context) error {
	log, err := os.OpenFile(s.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	s.spec.Log = log
	if s.child, err = proc.Start(s.spec); err != nil {
		return err
	}
	if s.admin == nil {
		if s.admin, err = newSession(s.Kind, s.DSN("")); err != nil {
			return err
		}
	}
	err = s.child.WaitFor(ctx, startLimit, func(ctx context.Context) error {
		query := "SELECT version()"
		if s.Kind == KindSQLServer {
			query = "SELECT SERVERPROPERTY('ProductVersion')"
		}
		rows, err := s.Query(ctx, query)
		if err == nil {
			s.Version = versionNumber(rows[0][0])
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("start %s: %w\n%s", s.Kind, err, tail(s.LogFile()))
	}
	return nil
}

// versionNumber finds 15.20 in "PostgreSQL 15.20 (Debian …) on …" and 9.7.4 in
// "9.7.4-2".
func versionNumber(text string) string {
	text = strings.TrimPrefix(text, "PostgreSQL ")
	if i := strings.IndexAny(text, " -"); i >= 0 {
		text = text[:i]
	}
	return text
}

// LogFile is where the server writes what it has to say.
func (s *Server) LogFile() string { return filepath.Join(s.Dir, "log") }

// freePort returns a loopback port that nothing listens on. Another program
// may still take it before the server does: the server then fails to start.
func freePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0") //nolint:noctx // returns at once
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// tail returns a log's last lines, for an error.
func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}

// newServer makes a folder, has fill put the data of a new server into it and
// say how to run it, and starts it: up to three times, as its port may be lost.
func newServer(ctx context.Context, kind Kind, cred *syscall.Credential, o Options,
	fill func(dir string, port int) (proc.Spec, error),
) (*Server, error) {
	var errs []error
	for range 3 {
		s, err := makeServer(kind, cred, o, fill)
		if err != nil {
			return nil, err
		}
		if err = s.start(ctx); err == nil {
			return s, nil
		}
		errs = append(errs, errors.Join(err, s.Stop()))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errs[0]
}

func makeServer(kind Kind, cred *syscall.Credential, o Options, fill func(dir string, port int) (proc.Spec, error)) (*Server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	dir, err := tempDir(kind.word(), cred)
	if err != nil {
		return nil, err
	}
	s := &Server{Kind: kind, Host: "127.0.0.1", Port: port, User: mysqlUser, Password: password, Dir: dir}
	switch kind {
	case KindPostgreSQL:
		s.User = "postgres"
	case KindSQLServer:
		s.User = sqlServerUser
	}
	if !o.Keep {
		if s.spec.Guard, err = proc.NewGuard(dir); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
	}
	spec, err := fill(dir, port)
	if err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	spec.Dir, spec.User, spec.Guard, spec.Keep = dir, cred, s.spec.Guard, o.Keep
	s.spec = spec
	return s, nil
}
