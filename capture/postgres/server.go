package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tributary/capture"
	"tributary/internal/fault"
)

const connectTimeout = 10 * time.Second

// server is how to reach the database.
type server struct{ opts *Options }

// config makes the settings of a session; replication makes it a walsender.
func (s *server) config(ctx context.Context, replication bool) (*pgx.ConnConfig, error) {
	o := s.opts
	address := net.JoinHostPort(o.Host, strconv.Itoa(o.Port))
	password, err := o.PasswordFor(ctx, address, o.User, o.Password.Reveal())
	if err != nil {
		return nil, err
	}
	u := url.URL{Scheme: "postgres", User: url.UserPassword(o.User, password), Host: address, Path: "/" + o.Database}
	q := url.Values{"sslmode": {o.SSLMode}}
	if o.SSLMode == "" {
		q.Set("sslmode", "prefer")
	}
	for name, value := range map[string]string{"sslrootcert": o.SSLRoot, "sslcert": o.SSLCert, "sslkey": o.SSLKey, "sslpassword": o.SSLPass.Reveal()} {
		if value != "" {
			q.Set(name, value)
		}
	}
	u.RawQuery = q.Encode()
	c, err := pgx.ParseConfig(u.String())
	if err != nil {
		// The library's error quotes the whole URL without the password.
		return nil, fault.Human(fmt.Errorf("database.* options: %w", err), "correct database.hostname, database.port and database.ssl*")
	}
	c.ConnectTimeout = connectTimeout
	for k, v := range map[string]string{
		"application_name": "tributary " + o.Slot, "client_encoding": "UTF8", "TimeZone": "UTC", "DateStyle": "ISO, YMD",
		"IntervalStyle": "postgres", "bytea_output": "hex", "extra_float_digits": "3", "statement_timeout": "0",
		"lock_timeout": "0", "idle_in_transaction_session_timeout": "0",
	} {
		c.RuntimeParams[k] = v
	}
	if replication {
		c.RuntimeParams["replication"] = "database"
	}
	return c, nil
}

// connect opens a session for SQL.
func (s *server) connect(ctx context.Context) (*pgx.Conn, error) {
	c, err := s.config(ctx, false)
	if err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return nil, explain(fmt.Errorf("connect to PostgreSQL: %w", err))
	}
	for _, q := range capture.Statements(s.opts.Initial) {
		if _, err := conn.Exec(ctx, q); err != nil {
			return nil, errors.Join(explain(fmt.Errorf("database.initial.statements: %w", err)), conn.Close(ctx))
		}
	}
	return conn, nil
}

// replication opens a session for replication commands.
func (s *server) replication(ctx context.Context) (*pgconn.PgConn, error) {
	c, err := s.config(ctx, true)
	if err != nil {
		return nil, err
	}
	c.DialFunc = gather(c.DialFunc)
	conn, err := pgconn.ConnectConfig(ctx, &c.Config)
	if err != nil {
		return nil, explain(fmt.Errorf("connect to PostgreSQL for replication: %w", err))
	}
	return conn, nil
}

// system returns the server's system identifier.
func (s *server) system(ctx context.Context, conn *pgconn.PgConn) (string, error) {
	id, err := pglogrepl.IdentifySystem(ctx, conn)
	if err != nil {
		return "", explain(fmt.Errorf("identify the server: %w", err))
	}
	return id.SystemID, nil
}

// serverVersion is server_version_num of the server at the other end, 0 if it
// does not tell.
func serverVersion(conn *pgconn.PgConn) int {
	major, _, _ := strings.Cut(conn.ParameterStatus("server_version"), ".")
	digits := strings.IndexFunc(major, func(r rune) bool { return r < '0' || r > '9' })
	if digits >= 0 {
		major = major[:digits] // 19beta1
	}
	n, err := strconv.Atoi(major)
	if err != nil {
		return 0
	}
	return n * 10000
}

// explain marks those errors of the server that only a human can heal, with
// what to do.
func explain(err error) error {
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return fault.Hinted(err, "no host has the name that database.hostname gives: correct it, or see what the machine asks for names")
	}
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return err
	}
	if strings.HasPrefix(e.Code, "22") || strings.HasPrefix(e.Code, "P0") { // about values, or what a function raises
		return capture.Quiet(err)
	}
	if e.Code == "25006" {
		return fault.Human(err, "the server, or the user's sessions, may only be read: connect to the primary server, and see default_transaction_read_only")
	}
	hint, ok := map[string]string{
		"28P01": "correct database.user and database.password",
		"28000": "let the user log in from here for this database and for replication: pg_hba.conf, REPLICATION attribute, SSL",
		"3D000": "correct database.dbname, or create the database",
		"42501": "grant the right that the message names: replication needs ALTER ROLE … REPLICATION (rds_replication on RDS), a publication CREATE on the database and ownership of its tables; or have a superuser create slot and publication beforehand",
		"55000": "set wal_level = logical in postgresql.conf (rds.logical_replication on RDS) and restart the server; if the slot was invalidated, see max_slot_wal_keep_size",
		"53400": "raise max_replication_slots, or drop a slot that is no longer used (pg_drop_replication_slot)",
		"42P17": "correct the publication",
		"58P01": "the server no longer has the log that is needed: drop the slot (SELECT pg_drop_replication_slot('NAME')), and " + capture.WayOut,
	}[e.Code]
	if !ok {
		return err
	}
	return fault.Human(err, hint)
}
