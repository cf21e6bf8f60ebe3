package mysql

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"tributary/capture"
	"tributary/capture/mysql/binlog"
	"tributary/envelope"
	"tributary/internal/config"
	"tributary/internal/fault"
)

// Options are those of a MySQL or MariaDB connector.
type Options struct {
	capture.Options

	Host     string        `opt:"database.hostname" required:"true" doc:"host of the server"`
	Port     int           `opt:"database.port" default:"3306" doc:"port of the server"`
	User     string        `opt:"database.user" required:"true" doc:"user with SELECT, RELOAD, REPLICATION SLAVE and REPLICATION CLIENT"`
	Password config.Secret `opt:"database.password" doc:"the user's password"`
	SSLMode  string        `opt:"database.ssl.mode" default:"preferred" enum:"disabled,preferred,required,verify_ca,verify_identity,disable,trust,verify-ca,verify-full" doc:"whether to encrypt the connection, and what to check of the server; the last four are the names that MariaDB has"`
	SSLCA    string        `opt:"database.ssl.ca" doc:"PEM file with the certificates to trust, for verify_ca and verify_identity; the system's when empty"`
	Initial  string        `opt:"database.initial.statements" doc:"SQL to execute on each connection for queries, with ; between (;; stands for one within)"`
	ServerID int64         `opt:"database.server.id" default:"0" doc:"our id among the server's replicas, which nobody else may have; 0 = made from the connector's name"`

	SSLCert           string        `opt:"database.ssl.cert" doc:"PEM file with the certificate that we show the server"`
	SSLKey            string        `opt:"database.ssl.key" doc:"PEM file with the key of database.ssl.cert"`
	KeepAlive         bool          `opt:"connect.keep.alive" default:"true" doc:"probe idle connections, so that one that is broken is noticed"`
	KeepAliveInterval time.Duration `opt:"connect.keep.alive.interval.ms" unit:"ms" default:"60000" doc:"how often connect.keep.alive probes"`
	ConnectTimeout    time.Duration `opt:"connect.timeout.ms" unit:"ms" default:"30000" doc:"how long connecting may take"`

	GTIDIncludes []string `opt:"gtid.source.includes" doc:"regular expressions of the UUIDs of servers whose transactions the position is about; all when empty"`
	GTIDExcludes []string `opt:"gtid.source.excludes" doc:"regular expressions of the UUIDs of servers whose transactions it is not about"`
	GTIDFilter   bool     `opt:"gtid.source.filter.dml.events" default:"true" doc:"leave out changes of servers that gtid.source.includes or excludes leaves out"`

	IncludeDatabases []string `opt:"database.include.list" doc:"regular expressions of databases to capture; all when empty"`
	ExcludeDatabases []string `opt:"database.exclude.list" doc:"regular expressions of databases not to capture"`

	Locking       string            `opt:"snapshot.locking.mode" default:"minimal" enum:"minimal,minimal_percona,minimal_percona_no_table_locks,extended,none" doc:"minimal locks the tables for the moment at which the snapshot begins, extended until all rows are read, none never (MariaDB needs no lock, nor does a server with GTIDs that is not too busy)"`
	Overrides     []string          `opt:"snapshot.select.statement.overrides" doc:"tables (database.table) whose snapshot reads other rows"`
	OverrideTexts map[string]string `opt:"snapshot.select.statement.overrides.*" doc:"snapshot.select.statement.overrides.DATABASE.TABLE: the SELECT that gives those rows"`
	Threads       int               `opt:"snapshot.max.threads" default:"1" doc:"how many connections read a snapshot at a time, by chunks of keys; one more finds the chunks"`
	SnapshotOf    []string          `opt:"snapshot.include.collection.list" doc:"regular expressions of the captured tables that a snapshot reads; all when empty"`

	SchemaChanges bool `opt:"include.schema.changes" default:"true" doc:"tell in the topic topic.prefix of statements that change tables, and of the tables that a snapshot finds"`
	OnlyDatabases bool `opt:"schema.history.internal.store.only.captured.databases.ddl" default:"false" doc:"tell there of captured databases only, not of all on the server"`
	OnlyTables    bool `opt:"schema.history.internal.store.only.captured.tables.ddl" default:"false" doc:"tell there of captured tables only"`

	Queries       bool     `opt:"include.query" default:"false" doc:"tell the statement that made a change in source.query, where the server logs it (binlog_rows_query_log_events, binlog_annotate_row_events)"`
	Unsigned      string   `opt:"bigint.unsigned.handling.mode" default:"long" enum:"long,precise" doc:"how BIGINT UNSIGNED is written: as a long that wraps past 2^63-1, or as a decimal"`
	Booleans      []string `opt:"tinyint.boolean.columns" doc:"regular expressions of TINYINT columns (database.table.column) that are written as booleans, true above 0: the selector of Debezium's TinyIntOneToBooleanConverter, whose default is .*"`
	BooleanLength bool     `opt:"tinyint.boolean.length.checker" default:"true" doc:"of those only TINYINT(1), as the converter's option length.checker has it"`
	Version       string   `opt:"debezium.version" default:"3.0" enum:"3.0,3.5" doc:"whose form the events have: in 3.5 the schema of the source block has a version"`
}

// Validate returns what the tags cannot express.
func (o *Options) Validate() []config.Problem {
	var out []config.Problem
	for _, f := range o.Faults() {
		out = append(out, config.Problem{Key: f.Key, Message: f.Message})
	}
	for key := range o.OverrideTexts {
		if table := strings.TrimPrefix(key, overrideKey); !slices.Contains(o.Overrides, table) {
			out = append(out, config.Problem{Key: key, Message: "snapshot.select.statement.overrides does not name " + table})
		}
	}
	for _, table := range o.Overrides {
		if o.override(table) == "" {
			out = append(out, config.Problem{Key: "snapshot.select.statement.overrides", Message: "there is no " + overrideKey + table})
		}
	}
	if _, err := capture.NewFilter(&capture.Options{IncludeTables: o.SnapshotOf}); err != nil {
		out = append(out, config.Problem{Key: "snapshot.include.collection.list", Message: err.Error()})
	}
	if o.Threads < 0 || o.Threads > 64 {
		out = append(out, config.Problem{Key: "snapshot.max.threads", Message: "must be 1 to 64"})
	}
	if o.ServerID < 0 || o.ServerID > 1<<32-1 {
		out = append(out, config.Problem{Key: "database.server.id", Message: "must be between 1 and 4294967295"})
	}
	if o.Port < 1 || o.Port > 65535 {
		out = append(out, config.Problem{Key: "database.port", Message: "must be between 1 and 65535"})
	}
	if len(o.IncludeDatabases) > 0 && len(o.ExcludeDatabases) > 0 {
		out = append(out, config.Problem{Key: "database.exclude.list", Message: "contradicts database.include.list: give one of them"})
	}
	if len(o.GTIDIncludes) > 0 && len(o.GTIDExcludes) > 0 {
		out = append(out, config.Problem{Key: "gtid.source.excludes", Message: "contradicts gtid.source.includes: give one of them"})
	}
	if (o.SSLCert == "") != (o.SSLKey == "") {
		out = append(out, config.Problem{Key: "database.ssl.key", Message: "database.ssl.cert and database.ssl.key belong together"})
	}
	for key, list := range map[string][]string{
		"database.include.list": o.IncludeDatabases, "database.exclude.list": o.ExcludeDatabases,
		"gtid.source.includes": o.GTIDIncludes, "gtid.source.excludes": o.GTIDExcludes,
	} {
		if _, err := capture.NewFilter(&capture.Options{IncludeTables: list}); err != nil {
			out = append(out, config.Problem{Key: key, Message: err.Error()})
		}
	}
	return out
}

// encoding is the text that binary columns become, 0 = none.
func (o *Options) encoding() binlog.Encoding {
	switch o.Binaries {
	case "base64":
		return binlog.Base64
	case "base64-url-safe":
		return binlog.Base64URL
	case "hex":
		return binlog.Hex
	}
	return 0
}

const overrideKey = "snapshot.select.statement.overrides."

// override is the SELECT that a table's snapshot reads, "" = the table itself.
func (o *Options) override(table string) string {
	return strings.TrimRight(strings.TrimSpace(o.OverrideTexts[overrideKey+table]), ";")
}

// readsRows reports whether the first start reads the tables' rows.
func (o *Options) readsRows() bool {
	return !slices.Contains([]string{"no_data", "schema_only", "never"}, o.SnapshotMode)
}

// placeholder is unavailable.value.placeholder, whose bytes may be given in
// hexadecimal.
func (o *Options) placeholder() string {
	if digits, ok := strings.CutPrefix(o.Unavailable, "hex:"); ok {
		if raw, err := hex.DecodeString(digits); err == nil {
			return string(raw)
		}
	}
	return cmp.Or(o.Unavailable, envelope.Unavailable)
}

// maria reports whether the connector is the one for MariaDB.
func (o *Options) maria() bool { return strings.Contains(strings.ToLower(o.Class), "mariadb") }

// Values of options that the code asks for.
const (
	decimalDouble   = "double"
	decimalString   = "string"
	timeConnect     = "connect"
	unsignedPrecise = "precise"
	sslPreferred    = "preferred"
)

// settings are the options together with what is compiled of them.
type settings struct {
	*Options
	tables    *capture.Filter
	databases *capture.Filter
	sources   *capture.Filter // of GTIDs; nil = all
	snapshots *capture.Filter // tables that a snapshot reads
	booleans  *capture.Filter // TINYINT columns that are booleans; nil = none
	skipOp    [256]bool
}

func newSettings(o *Options) (*settings, error) {
	s := &settings{Options: o}
	var err error
	if s.tables, err = capture.NewFilter(&o.Options); err != nil {
		return nil, err
	}
	s.databases, err = capture.NewFilter(&capture.Options{IncludeTables: o.IncludeDatabases, ExcludeTables: o.ExcludeDatabases})
	if err != nil {
		return nil, err
	}
	if s.snapshots, err = capture.NewFilter(&capture.Options{IncludeTables: o.SnapshotOf}); err != nil {
		return nil, err
	}
	if len(o.Booleans) > 0 {
		if s.booleans, err = capture.NewFilter(&capture.Options{IncludeColumns: o.Booleans}); err != nil {
			return nil, err
		}
	}
	if len(o.GTIDIncludes)+len(o.GTIDExcludes) > 0 {
		s.sources, err = capture.NewFilter(&capture.Options{IncludeTables: o.GTIDIncludes, ExcludeTables: o.GTIDExcludes})
		if err != nil {
			return nil, err
		}
	}
	for _, op := range []envelope.Op{envelope.Create, envelope.Update, envelope.Delete, envelope.Truncate} {
		s.skipOp[op] = o.Skips(op)
	}
	return s, nil
}

// include reports whether a table is captured.
func (s *settings) include(id envelope.TableID) bool {
	return !system(id.Catalog) && s.databases.Table(envelope.TableID{Name: id.Catalog}) && s.tables.Table(id)
}

// system reports whether a database is the server's own.
func system(database string) bool {
	switch database {
	case "mysql", "information_schema", "performance_schema", "sys":
		return true
	}
	return false
}

// tellsDatabase reports whether changes of schemas of a database are told.
func (s *settings) tellsDatabase(name string) bool {
	return s.SchemaChanges && !system(name) && (!s.OnlyDatabases || name == "" || s.databases.Table(envelope.TableID{Name: name}))
}

// tellsTable reports whether changes of a table are told.
func (s *settings) tellsTable(id envelope.TableID) bool {
	return s.tellsDatabase(id.Catalog) && (!s.OnlyTables || s.include(id))
}

// about reports whether positions are about the transactions of a server.
func (s *settings) about(uuid string) bool {
	return s.sources == nil || s.sources.Table(envelope.TableID{Name: uuid})
}

// fromSource reports whether the changes of a transaction are captured.
func (s *settings) fromSource(g gtid) bool {
	return s.sources == nil || !s.GTIDFilter || g.gno == 0 || s.about(uuid(g.sid))
}

// dialer makes connections.
func (s *settings) dialer() *net.Dialer {
	d := &net.Dialer{Timeout: s.ConnectTimeout, KeepAlive: -1}
	if s.KeepAlive {
		d.KeepAlive = s.KeepAliveInterval
	}
	return d
}

// serverID is our id as a replica.
func (s *settings) serverID() uint32 {
	if s.ServerID != 0 {
		return uint32(s.ServerID) //nolint:gosec // Validate has checked it
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(s.Name))
	return h.Sum32()%1_000_000_000 + 100_000 // away from the small numbers that people choose
}

// tlsConfig returns nil for a connection in the clear.
func (s *settings) tlsConfig() (*tls.Config, error) {
	if s.SSLMode == "disabled" || s.SSLMode == "disable" {
		return nil, nil //nolint:nilnil // no TLS
	}
	t := &tls.Config{ServerName: s.Host, MinVersion: tls.VersionTLS12}
	if s.SSLCert != "" {
		pair, err := tls.LoadX509KeyPair(s.SSLCert, s.SSLKey)
		if err != nil {
			return nil, fault.Human(fmt.Errorf("read our certificate: %w", err), "correct database.ssl.cert and database.ssl.key")
		}
		t.Certificates = []tls.Certificate{pair}
	}
	switch s.SSLMode {
	case "", sslPreferred, "required", "trust":
		t.InsecureSkipVerify = true
		return t, nil
	}
	if s.SSLCA != "" {
		pem, err := os.ReadFile(s.SSLCA)
		if err != nil {
			return nil, fault.Human(fmt.Errorf("read the CA certificates: %w", err), "correct database.ssl.ca")
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fault.Humanf("give database.ssl.ca a file of PEM certificates", "%s holds no certificate", s.SSLCA)
		}
	}
	if s.SSLMode == "verify_ca" || s.SSLMode == "verify-ca" { // the chain, but not the name
		roots := t.RootCAs
		t.InsecureSkipVerify = true
		t.VerifyConnection = func(c tls.ConnectionState) error { return verifyChain(c, roots) }
	}
	return t, nil
}

func verifyChain(c tls.ConnectionState, roots *x509.CertPool) error {
	o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, cert := range c.PeerCertificates[1:] {
		o.Intermediates.AddCert(cert)
	}
	_, err := c.PeerCertificates[0].Verify(o)
	return err
}
