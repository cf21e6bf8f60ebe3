package conformance

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"tributary/capture"
	"tributary/capture/mysql"
	"tributary/envelope"
	"tributary/internal/fault"
)

// mysqlServer is a MySQL or MariaDB server. The scratch place is a database.
type mysqlServer struct {
	name string // kindMySQL or kindMariaDB
	user mysql.Options

	// Where the log ended when the scenario began.
	file string
	pos  uint64
}

// MySQL is the server that options lead to; of these only those that say how to
// connect are used.
func MySQL(o mysql.Options) Server {
	s := &mysqlServer{name: kindMySQL, user: o}
	if strings.Contains(strings.ToLower(o.Class), kindMariaDB) {
		s.name = kindMariaDB
	}
	return s
}

func (m *mysqlServer) kind() string { return m.name }

func (m *mysqlServer) secrets() []string {
	return []string{m.user.Password.Reveal(), m.user.Host, m.user.User}
}

func (m *mysqlServer) more() map[string]string {
	return map[string]string{"database.include.list": Scratch}
}

// options leave out database.server.id: the connector of the file may be running.
func (m *mysqlServer) options(o sourceOptions) (out mysql.Options, err error) {
	err = defaults(m.kind(), o, include("", o.tables), m.more(), &out)
	u := &m.user
	out.Host, out.Port, out.User, out.Password, out.Initial = u.Host, u.Port, u.User, u.Password, u.Initial
	out.SSLMode, out.SSLCA, out.SSLCert, out.SSLKey, out.ConnectTimeout = u.SSLMode, u.SSLCA, u.SSLCert, u.SSLKey, u.ConnectTimeout
	out.Authentication, out.AWSRegion, out.Passwords = u.Authentication, u.AWSRegion, u.Passwords
	return out, err
}

func (m *mysqlServer) source(o sourceOptions) (capture.Source, error) {
	opts, err := m.options(o)
	if err != nil {
		return nil, err
	}
	return mysql.New(opts, o.log)
}

func (m *mysqlServer) connect(ctx context.Context, r *Recorder) (session, error) {
	src, err := m.reader()
	if err != nil {
		return nil, err
	}
	s, err := src.Session(ctx)
	if err != nil {
		return nil, err
	}
	return r.session(s), nil
}

func (m *mysqlServer) version(ctx context.Context, s session) (string, error) {
	v, err := value(ctx, s, "SELECT VERSION()")
	if strings.Contains(v, "MariaDB") {
		return "MariaDB " + v, err
	}
	return "MySQL " + v, err
}

func (m *mysqlServer) questions() []question {
	gtids := ask("gtid_mode", "SELECT @@global.gtid_mode")
	if m.kind() == kindMariaDB {
		gtids = ask("gtid_domain_id", "SELECT @@global.gtid_domain_id")
	}
	return []question{
		{"SELECT @@version, @@version_comment, @@version_compile_os, @@version_compile_machine", []string{"version", "edition", "system", "machine"}},
		{"SELECT @@global.character_set_server, @@global.collation_server, @@global.time_zone, @@global.sql_mode", []string{"character set", "collation", "time zone", "sql_mode"}},
		{"SELECT @@global.binlog_format, @@global.binlog_row_image, @@global.binlog_row_metadata", []string{"binlog_format", "binlog_row_image", "binlog_row_metadata"}},
		gtids,
	}
}

func (m *mysqlServer) ready(ctx context.Context, s session) error {
	image, err := value(ctx, s, "SELECT @@global.binlog_row_image")
	if err != nil {
		return fmt.Errorf("read binlog_row_image: %w", err)
	}
	if !strings.EqualFold(image, "FULL") {
		return fault.Humanf("SET GLOBAL binlog_row_image = 'FULL', and reconnect", "binlog_row_image is %s: the scenarios expect whole rows", image)
	}
	return nil
}

func (m *mysqlServer) contents(ctx context.Context, s session) ([]string, bool, error) {
	n, err := value(ctx, s, "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = '"+Scratch+"'")
	if err != nil || n == "0" {
		return nil, false, err
	}
	names, err := list(ctx, s, "SELECT table_name FROM information_schema.tables WHERE table_schema = '"+Scratch+"' ORDER BY table_name")
	return names, true, err
}

func (m *mysqlServer) grant() string {
	return "GRANT CREATE, DROP, ALTER, SELECT, INSERT, UPDATE, DELETE ON " + Scratch + ".* TO '" + m.user.User + "'@'HOST'"
}

func (m *mysqlServer) create() string {
	return "CREATE DATABASE " + Scratch + " CHARACTER SET utf8mb4"
}

func (m *mysqlServer) table(name string) string { return Scratch + "." + name }

func (m *mysqlServer) transaction() string { return "BEGIN" }

func (m *mysqlServer) track(string) []string { return nil }

// mark implements logged.
func (m *mysqlServer) mark(ctx context.Context) error {
	src, err := m.reader()
	if err != nil {
		return err
	}
	m.file, m.pos, err = src.LogEnd(ctx)
	return err
}

// log implements logged. What is of other databases is not kept.
func (m *mysqlServer) log(ctx context.Context, r *Recorder) error {
	src, err := m.reader()
	if err != nil {
		return err
	}
	e := &Entry{Query: fmt.Sprintf("-- the binary log from %s:%d", m.file, m.pos), Columns: []string{"file", "event"}}
	err = src.Logged(ctx, m.file, m.pos, Scratch, func(file string, event []byte) {
		e.Rows = append(e.Rows, []any{file, encodeValue(event)})
	})
	r.statement(e, err)
	return err
}

// reader is a source that is not opened.
func (m *mysqlServer) reader() (*mysql.Source, error) {
	opts, err := m.options(sourceOptions{})
	if err != nil {
		return nil, err
	}
	return mysql.New(opts, slog.New(slog.DiscardHandler))
}

// tap: the binary log has the rows of everybody; log takes out what is ours.
func (m *mysqlServer) tap([]string) []string { return nil }

func (m *mysqlServer) tapped() string { return "" }

func (m *mysqlServer) settle(context.Context, session, int) error { return nil }

func (m *mysqlServer) untrack(context.Context, session, []string) error { return nil }

func (m *mysqlServer) drop(ctx context.Context, s session) error {
	if err := m.stranger(ctx, s); err != nil {
		return err
	}
	return s.Exec(ctx, "DROP DATABASE IF EXISTS "+Scratch)
}

func (m *mysqlServer) place(c *envelope.Change) string {
	return fmt.Sprintf("%s %012d %08d", c.Source.File, c.Source.Pos, c.Source.Row)
}
