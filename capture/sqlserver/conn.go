package sqlserver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	mssql "github.com/microsoft/go-mssqldb"

	"tributary/capture"
	"tributary/internal/fault"
)

// conn is a connection to the server. It is used by one goroutine at a time.
type conn struct {
	raw   Wire
	tx    driver.Tx // nil unless a transaction is open
	leave func()    // ends the context of the transaction
	level sql.IsolationLevel
	// As the statements that mend rights name them.
	database, user string
}

// dial connects to a database.
func dial(ctx context.Context, o *Options, database string) (*conn, error) {
	host := o.Host
	if o.Instance == "" {
		host += ":" + strconv.Itoa(o.Port)
	}
	q := url.Values{
		"database": {database}, "app name": {"tributary"}, "encrypt": {o.Encrypt}, "TrustServerCertificate": {strconv.FormatBool(o.Trust)},
		"dial timeout": {strconv.Itoa(max(int(o.ConnectTimeout.Seconds()), 1))}, "multisubnetfailover": {strconv.FormatBool(o.MultiSubnet)},
	}
	if o.Encrypt == "false" && o.CA == "" && o.CertificateFor == "" {
		// The login is encrypted all the same, where the server can. As with
		// Microsoft's driver for Java, the server's certificate is not looked at.
		q.Set("TrustServerCertificate", "true")
	}
	for key, value := range map[string]string{"certificate": o.CA, "hostNameInCertificate": o.CertificateFor} {
		if value != "" {
			q.Set(key, value)
		}
	}
	if o.readOnly() {
		q.Set("ApplicationIntent", readOnly)
	}
	u := url.URL{Scheme: "sqlserver", User: url.UserPassword(o.User, o.Password.Reveal()), Host: host, Path: o.Instance, RawQuery: q.Encode()}
	connector, err := mssql.NewConnector(u.String())
	if err != nil {
		return nil, fault.Human(fmt.Errorf("connect to %s: %w", o.Host, err), "correct database.hostname and the options driver.*")
	}
	connect := func(ctx context.Context) (Wire, error) {
		c, err := connector.Connect(ctx)
		if err != nil {
			return nil, err
		}
		raw, ok := c.(*mssql.Conn)
		if !ok {
			return nil, fmt.Errorf("the driver gives a %T", c)
		}
		return wire{raw}, nil
	}
	dialed := connect
	if o.Wires != nil {
		dialed = func(ctx context.Context) (Wire, error) { return o.Wires(ctx, database, connect) }
	}
	raw, err := dialed(ctx)
	if err != nil {
		return nil, explain(fmt.Errorf("connect to %s, database %s: %w", o.Host, database, err), database, o.User)
	}
	out := &conn{raw: raw, database: database, user: o.User}
	for _, s := range capture.Statements(o.Initial) {
		if err := out.exec(ctx, s); err != nil {
			return nil, errors.Join(fault.Human(fmt.Errorf("execute database.initial.statements: %w", err), "correct database.initial.statements"), out.close())
		}
	}
	return out, nil
}

// close is of a connection that nobody needs any more: what the server says to it
// does not matter.
func (c *conn) close() error {
	if c == nil || c.raw == nil {
		return nil
	}
	_ = c.raw.Close()
	c.raw = nil
	return nil
}

// rollbackTimeout is how long the server may take to end a transaction.
const rollbackTimeout = 10 * time.Second

// begin starts a transaction. Its context does not end with ctx: the driver would not
// wait for the answer to the rollback then, and give the connection's buffer to
// another one while a goroutine still reads into it.
func (c *conn) begin(ctx context.Context, level sql.IsolationLevel) (err error) {
	within, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	c.tx, err = c.raw.Begin(within, driver.IsolationLevel(level))
	if !stop() && err == nil {
		err = ctx.Err() // within ends, or has ended
	}
	if err != nil {
		cancel()
		c.tx = nil
		return c.explain(fmt.Errorf("begin transaction: %w", err))
	}
	c.leave, c.level = cancel, level
	return nil
}

// end ends it. Nothing was written in it. The server has the level of a transaction
// be that of the connection from then on: what is read later on it would be read
// dirty, or locked.
func (c *conn) end() error {
	if c.tx == nil || c.raw == nil {
		return nil
	}
	limit := time.AfterFunc(rollbackTimeout, c.leave)
	err := c.tx.Rollback()
	limit.Stop()
	c.leave()
	c.tx = nil
	if err != nil {
		return c.explain(fmt.Errorf("end transaction: %w", err))
	}
	if c.level == sql.LevelReadCommitted {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), rollbackTimeout) //nolint:forbidigo // what ended may have lost its own
	defer cancel()
	if err := c.exec(ctx, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"); err != nil {
		return fmt.Errorf("end transaction: %w", err)
	}
	return nil
}

// named gives arguments the places @p1, @p2, …
func named(args []any) []driver.NamedValue {
	out := make([]driver.NamedValue, len(args))
	for i, a := range args {
		out[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
	}
	return out
}

// rows calls row for each row of a query. The values are in the driver's forms;
// the slice is used again for the next row, the values are not.
func (c *conn) rows(ctx context.Context, query string, args []any, row func(v []driver.Value) error) error {
	return c.query(ctx, query, args, func(rs driver.Rows) error {
		v := make([]driver.Value, len(rs.Columns()))
		for {
			switch err := rs.Next(v); {
			case errors.Is(err, io.EOF) && c.raw.IsValid():
				return nil
			case err != nil:
				return c.explain(err)
			}
			if err := row(v); err != nil {
				return err
			}
		}
	})
}

func (c *conn) query(ctx context.Context, query string, args []any, use func(driver.Rows) error) error {
	if c.raw == nil {
		return errors.New("the connection is closed")
	}
	rs, err := c.raw.Query(ctx, query, named(args))
	if err != nil {
		return c.explain(err)
	}
	err = use(rs)
	if cerr := rs.Close(); cerr != nil && err == nil {
		err = c.explain(cerr)
	}
	return err
}

// exec executes a statement without results.
func (c *conn) exec(ctx context.Context, query string, args ...any) error {
	if err := c.raw.Exec(ctx, query, named(args)); err != nil {
		return c.explain(err)
	}
	return nil
}

// one returns the first value of the only row, nil if there is none.
func (c *conn) one(ctx context.Context, query string, args ...any) (out driver.Value, err error) {
	err = c.rows(ctx, query, args, func(v []driver.Value) error {
		out = v[0]
		return nil
	})
	return out, err
}

// Numbers of the server's errors.
const (
	errMissingColumn  = 207
	errMissingObject  = 208
	errDenied         = 229
	errDeniedColumn   = 230
	errOutOfRange     = 313 // LSNs that a change function does not have
	errLockTimeout    = 1222
	errDeadlock       = 1205
	errNoSnapshots    = 3952
	errNoSuchDatabase = 4060
	errNoLogin        = 18456
	errDeniedDatabase = 916
)

// number is that of the server's error, 0 for others.
func number(err error) int32 {
	var e mssql.Error
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}

// explain says what to do about an error of the connection.
func (c *conn) explain(err error) error { return explain(err, c.database, c.user) }

// explain says what to do about errors that do not heal by themselves. The driver's
// io.EOF, which it gives of a connection that broke, within the rows of a result
// too, becomes another: it would be taken for the end of the source.
func explain(err error, database, user string) error {
	if errors.Is(err, io.EOF) {
		return errors.New("the server closed the connection: " + err.Error())
	}
	if !quotes[number(err)] {
		err = capture.Quiet(err)
	}
	if fault.NeedsHuman(err) {
		return err
	}
	if m := deniedObject.FindStringSubmatch(err.Error()); m != nil && number(err) == errDenied {
		return fault.Human(err, "grant the right that is missing: USE "+quoted(m[2])+"; GRANT SELECT ON "+quoted(m[3])+"."+quoted(m[1])+" TO "+quoted(user))
	}
	if hint := hints[number(err)]; hint != "" {
		return fault.Human(err, strings.NewReplacer("[DATABASE]", quoted(database), "[USER]", quoted(user)).Replace(hint))
	}
	if strings.Contains(err.Error(), "server does not support encryption") {
		return fault.Human(err, "have the server encrypt its connections, or do without: driver.encrypt: false")
	}
	if strings.Contains(err.Error(), "x509: ") {
		return fault.Human(err, "have the server show a certificate that is trusted, name its file in driver.certificate, or take any with driver.trustServerCertificate: true")
	}
	return err
}

// quotes are the errors whose messages quote names of objects, columns, databases and
// logins, and no values of rows.
var quotes = map[int32]bool{errMissingColumn: true, errMissingObject: true, errDenied: true, errDeniedColumn: true, errDeniedDatabase: true, errNoSuchDatabase: true}

// deniedObject finds the object, database and schema in the message of errDenied.
var deniedObject = regexp.MustCompile(`on the object '([^']*)', database '([^']*)', schema '([^']*)'`)

var hints = map[int32]string{
	errNoLogin:        "correct database.user and database.password",
	errNoSuchDatabase: "correct database.names, or give the user access: USE [DATABASE]; CREATE USER [USER] FOR LOGIN [USER]",
	errDeniedDatabase: "give the user access to the database: USE [DATABASE]; CREATE USER [USER] FOR LOGIN [USER]",
	errDeniedColumn:   "grant the right that is missing: GRANT SELECT ON [SCHEMA].[TABLE] ([COLUMN]) TO [USER], or leave the column out (column.exclude.list)",
	errDenied:         "grant the right that is missing: USE [DATABASE]; GRANT SELECT ON SCHEMA::[SCHEMA] TO [USER]; GRANT SELECT ON SCHEMA::[cdc] TO [USER]",
	errNoSnapshots:    "execute ALTER DATABASE [DATABASE] SET ALLOW_SNAPSHOT_ISOLATION ON, or choose another snapshot.isolation.mode",
}

// quoted is a name in brackets.
func quoted(name string) string { return "[" + strings.ReplaceAll(name, "]", "]]") + "]" }

// literal is a text as a literal.
func literal(text string) string { return "N'" + strings.ReplaceAll(text, "'", "''") + "'" }

// The driver's values, which have one form for each type; zero for NULL.
func asInt(v driver.Value) int64 {
	switch v := v.(type) {
	case int64:
		return v
	case bool:
		if v {
			return 1
		}
	}
	return 0
}

func asText(v driver.Value) string {
	switch v := v.(type) {
	case string:
		return v
	case []byte:
		return string(v)
	}
	return ""
}

func asLSN(v driver.Value) (l lsn) {
	if b, ok := v.([]byte); ok {
		copy(l[:], b)
	}
	return l
}
