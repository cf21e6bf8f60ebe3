package mysql

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"

	"tributary/capture"
	"tributary/internal/fault"
)

// conn is a connection for queries. It is used by one goroutine, but for
// close.
type conn struct {
	c         *client.Conn
	encrypted bool
	buf       []byte // of the packet being read
}

// dial connects and sets the session up: UTF-8, UTC, and long patience on the
// server's side.
func dial(ctx context.Context, cfg *settings) (*conn, error) { return dialFor(ctx, cfg, 0) }

// dialFor is dial for a connection on which something must come within patience;
// 0 = never.
func dialFor(ctx context.Context, cfg *settings, patience time.Duration) (*conn, error) {
	tlsConfig, err := cfg.tlsConfig()
	if err != nil {
		return nil, err
	}
	addr := cfg.address()
	password, err := cfg.login(ctx)
	if err != nil {
		return nil, err
	}
	connect := func(encrypted bool) (*client.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, cmp.Or(cfg.ConnectTimeout, 15*time.Second))
		defer cancel()
		dialer := cfg.dialer()
		return client.ConnectWithDialer(ctx, "tcp", addr, cfg.User, password, "", dialer.DialContext, func(c *client.Conn) error {
			if encrypted {
				c.SetTLSConfig(tlsConfig)
			}
			c.UnsetCapability(mysql.CLIENT_QUERY_ATTRIBUTES)
			c.ReadTimeout = patience
			return nil
		})
	}
	encrypted := tlsConfig != nil
	raw, err := connect(encrypted)
	if err != nil && (cfg.SSLMode == "" || cfg.SSLMode == sslPreferred) && noTLS(err) {
		encrypted = false
		raw, err = connect(encrypted)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", addr, explain(err))
	}
	c := &conn{c: raw, encrypted: encrypted}
	for _, q := range []string{
		"SET NAMES utf8mb4", "SET SESSION time_zone = '+00:00'", "SET SESSION sql_mode = ''",
		"SET SESSION wait_timeout = 86400, net_write_timeout = 3600, net_read_timeout = 3600, lock_wait_timeout = 30",
		"SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
	} {
		if err := c.exec(ctx, q); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	for _, q := range capture.Statements(cfg.Initial) {
		if err := c.exec(ctx, q); err != nil {
			return nil, errors.Join(fmt.Errorf("database.initial.statements: %w", err), c.close())
		}
	}
	return c, nil
}

// address is the server's.
func (s *settings) address() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

// login is the password for a connection that is about to be made.
func (s *settings) login(ctx context.Context) (string, error) {
	return s.PasswordFor(ctx, s.address(), s.User, s.Password.Reveal())
}

// noTLS reports whether a connection failed because the server has no TLS.
func noTLS(err error) bool {
	return strings.Contains(err.Error(), "does not support TLS")
}

func (c *conn) close() error {
	if err := c.c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// guard breaks a blocking read or write when ctx ends. The connection is of no
// use afterwards.
func (c *conn) guard(ctx context.Context) (release func()) {
	stop := context.AfterFunc(ctx, func() { _ = c.c.SetDeadline(time.Unix(1, 0)) })
	return func() { stop() }
}

func (c *conn) exec(ctx context.Context, query string) error {
	return c.rows(ctx, query, func([][]byte) error { return nil })
}

// rows runs a query and calls row for each of its rows with the columns' text,
// nil for NULL; the slices are valid during the call only.
func (c *conn) rows(ctx context.Context, query string, row func(cells [][]byte) error) error {
	defer c.guard(ctx)()
	err := c.run(query, row)
	if err == nil || ctx.Err() == nil {
		return err
	}
	return context.Cause(ctx)
}

const comQuery = 3

func (c *conn) run(query string, row func(cells [][]byte) error) error {
	c.c.ResetSequence()
	packet := append(make([]byte, 4, 5+len(query)), comQuery)
	if err := c.c.WritePacket(append(packet, query...)); err != nil {
		return queryError(query, err)
	}
	p, err := c.read()
	if err != nil {
		return queryError(query, err)
	}
	if p[0] == mysql.OK_HEADER {
		return nil
	}
	columns, _, _ := mysql.LengthEncodedInt(p)
	if columns == 0 || columns > 4096 {
		return queryError(query, errors.New("malformed result"))
	}
	for p = nil; !isEOF(p); { // the column definitions: we know what we asked for
		if p, err = c.read(); err != nil {
			return queryError(query, err)
		}
	}
	cells := make([][]byte, columns)
	for {
		if p, err = c.read(); err != nil {
			return queryError(query, err)
		}
		if isEOF(p) {
			return nil
		}
		if !splitRow(cells, p) {
			return queryError(query, errors.New("malformed row"))
		}
		if err := row(cells); err != nil {
			return err
		}
	}
}

// read returns the next packet, valid until the next call. A server's error is
// returned as one.
func (c *conn) read() ([]byte, error) {
	p, err := c.c.ReadPacketReuseMem(c.buf[:0])
	if err != nil {
		return nil, err
	}
	c.buf = p
	if len(p) == 0 {
		return nil, errors.New("empty packet")
	}
	if p[0] == mysql.ERR_HEADER {
		return nil, c.c.HandleErrorPacket(append([]byte(nil), p...))
	}
	return p, nil
}

func isEOF(p []byte) bool { return len(p) > 0 && len(p) <= 5 && p[0] == mysql.EOF_HEADER }

// splitRow cuts a text row into cells, which must be of the right number.
func splitRow(cells [][]byte, p []byte) bool {
	for i := range cells {
		if len(p) == 0 {
			return false
		}
		n, head := uint64(p[0]), 1
		switch p[0] {
		case 0xfb:
			cells[i], p = nil, p[1:]
			continue
		case 0xfc, 0xfd:
			head = int(p[0]) - 0xf9
			if len(p) < head {
				return false
			}
			n = uint64(p[1]) | uint64(p[2])<<8
			if head == 4 {
				n |= uint64(p[3]) << 16
			}
		case 0xfe:
			if head = 9; len(p) < head {
				return false
			}
			n = binary.LittleEndian.Uint64(p[1:])
		}
		if n > uint64(len(p)-head) {
			return false
		}
		cells[i], p = p[head:head+int(n):head+int(n)], p[head+int(n):]
	}
	return len(p) == 0
}

// queryError names the query, without its conditions: they may hold values of
// rows.
func queryError(query string, err error) error {
	query, _, _ = strings.Cut(query, " WHERE ")
	if len(query) > 120 {
		query = query[:120] + "…"
	}
	return fmt.Errorf("query %q: %w", query, explain(err))
}

// table reads all rows of a small result.
func (c *conn) table(ctx context.Context, query string) ([][]string, error) {
	var out [][]string
	err := c.rows(ctx, query, func(cells [][]byte) error {
		r := make([]string, len(cells))
		for i, v := range cells {
			r[i] = string(v)
		}
		out = append(out, r)
		return nil
	})
	return out, err
}

// value reads one value; "" if there is no row.
func (c *conn) value(ctx context.Context, query string) (string, error) {
	rows, err := c.table(ctx, query)
	if err != nil || len(rows) == 0 {
		return "", err
	}
	return rows[0][0], nil
}

// code returns the server's error number, 0 if err is none of the server's.
func code(err error) int {
	if e := serverError(err); e != nil {
		return int(e.Code)
	}
	return 0
}

// aboutValue reports whether an error of the server quotes values: states 22
// and 23 do, and some that have no state of their own.
func aboutValue(e *mysql.MyError) bool {
	switch e.Code {
	case 1366, 1411, 3037, 3140, 3141, 3146, 3156: // incorrect values, texts of times, of geometries and of JSON
		return true
	}
	return strings.HasPrefix(e.State, "22") || strings.HasPrefix(e.State, "23")
}

// serverError finds the server's error in err, nil if there is none.
func serverError(err error) *mysql.MyError {
	var e *mysql.MyError
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// Error numbers of the server.
const (
	errAccessDenied   = 1045
	errDBAccessDenied = 1044
	errHostDenied     = 1130
	errHostBlocked    = 1129
	errTableDenied    = 1142
	errColumnDenied   = 1143
	errSpecificDenied = 1227
	errParse          = 1064
	errNoSuchTable    = 1146
	errNoColumn       = 1054
	errMasterFatal    = 1236
	errLockWait       = 1205
)

// explain marks the errors that need a human and says what to do.
func explain(err error) error {
	e := serverError(err)
	if e == nil {
		if strings.Contains(err.Error(), "x509:") {
			return fault.Human(err, "give the CA that signed the server's certificate, or choose another database.ssl.mode")
		}
		return err
	}
	switch e.Code {
	case errAccessDenied:
		return fault.Human(e, "check database.user and database.password")
	case errHostDenied, errHostBlocked:
		return fault.Human(e, "let this host connect to the server")
	case errDBAccessDenied, errTableDenied, errColumnDenied:
		return fault.Human(e, "grant the user SELECT on the captured tables")
	case errSpecificDenied:
		return fault.Human(e, "grant the user the missing privilege: a capture user needs SELECT, RELOAD, REPLICATION SLAVE, REPLICATION CLIENT")
	}
	if aboutValue(e) {
		return capture.Quiet(e)
	}
	return e
}
