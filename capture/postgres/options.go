package postgres

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"tributary/capture"
	"tributary/envelope"
	"tributary/internal/config"
)

// Options are those of a PostgreSQL connector.
type Options struct {
	capture.Options

	Host     string        `opt:"database.hostname" required:"true" doc:"host of the server"`
	Port     int           `opt:"database.port" default:"5432" doc:"port of the server"`
	User     string        `opt:"database.user" required:"true" doc:"user with the REPLICATION attribute and SELECT on the captured tables"`
	Password config.Secret `opt:"database.password" doc:"the user's password"`
	Database string        `opt:"database.dbname" required:"true" doc:"database to capture"`
	SSLMode  string        `opt:"database.sslmode" default:"prefer" enum:"disable,allow,prefer,require,verify-ca,verify-full" doc:"whether to encrypt the connection, as in libpq"`
	SSLRoot  string        `opt:"database.sslrootcert" doc:"PEM file with the certificates to trust"`
	SSLCert  string        `opt:"database.sslcert" doc:"PEM file with this client's certificate"`
	SSLKey   string        `opt:"database.sslkey" doc:"PEM file with the key of that certificate"`
	SSLPass  config.Secret `opt:"database.sslpassword" doc:"password of that key"`
	Initial  string        `opt:"database.initial.statements" doc:"SQL to execute on each connection for queries, with ; between (;; stands for one within)"`

	Plugin          string   `opt:"plugin.name" default:"pgoutput" enum:"pgoutput" doc:"the logical decoding plugin"`
	Slot            string   `opt:"slot.name" default:"tributary" doc:"replication slot; created if it does not exist"`
	Publication     string   `opt:"publication.name" default:"tributary" doc:"publication; what happens if it does not exist is up to publication.autocreate.mode"`
	PublicationMode string   `opt:"publication.autocreate.mode" default:"filtered" enum:"filtered,all_tables,disabled,no_tables" doc:"filtered keeps a publication of the captured tables, all_tables makes one of everything, no_tables an empty one, disabled expects it to exist"`
	ViaRoot         bool     `opt:"publish.via.partition.root" default:"false" doc:"capture a partitioned table as one, under its own name, rather than its partitions"`
	Identities      []string `opt:"replica.identity.autoset.values" doc:"replica identities to give to captured tables: SCHEMA.TABLE:FULL, :DEFAULT, :NOTHING or :INDEX name, with regular expressions of tables"`
	Intervals       string   `opt:"interval.handling.mode" default:"numeric" enum:"numeric,string" doc:"how intervals are written: numeric is microseconds with months of 30.4375 days, string is ISO 8601"`
	Hstores         string   `opt:"hstore.handling.mode" default:"json" enum:"json,map" doc:"how hstore is written"`
	MoneyDigits     int      `opt:"money.fraction.digits" default:"2" doc:"fraction digits of money"`
	Unknown         bool     `opt:"include.unknown.datatypes" default:"false" doc:"write values of types without a mapping as the bytes of their text; such columns are left out otherwise"`
	Converting      string   `opt:"event.converting.failure.handling.mode" default:"fail" enum:"fail,warn,skip" doc:"what to do about a value that has no form in the type of its column, such as NaN in an exact decimal: stop, or write null with a warning, as Debezium does by default; event.processing.failure.handling.mode comes before"`
	Version         string   `opt:"debezium.version" default:"3.0" enum:"3.0,3.5" doc:"whose form the events have: 3.5 adds origin and origin_lsn to the source block, and tsvector"`

	Defects []string `opt:"debezium.defects" enum:"all,dimensions,defaults,arrays,enums,times,nulls,unavailable,unknown" doc:"defects of Debezium to keep, for consumers that count on them: dimensions (of an array of several dimensions each row is null), defaults (a default is what is between the first two quotes of an expression), arrays (those of money, name, interval, bit varying, xml, point and domains are left out), enums (elements of their arrays may not be null), times (arrays of time have milliseconds or are null), nulls (NULL is the default where there is one), unavailable (what the log does not carry is null where Debezium has no form for it), unknown (the unwrapping does not tell which fields of a deleted row the log does not have)"`

	Streaming    bool   `opt:"slot.streaming" default:"true" doc:"receive large transactions while they are still in work (PostgreSQL 14 and newer), and keep them in files until they commit"`
	SpoolDir     string `opt:"slot.streaming.dir" doc:"folder for those files; the system's for temporary files when empty"`
	StreamParams string `opt:"slot.stream.params" doc:"further options of the plugin: name=value;name=value"`
	Failover     bool   `opt:"slot.failover" default:"false" doc:"make the slot one that is kept on standby servers (PostgreSQL 17 and newer)"`

	LagInterval time.Duration `opt:"slot.lag.check.interval.ms" unit:"ms" default:"30000" doc:"how often to look at how much log the server keeps for the slot; 0 = never"`
	LagWarning  int64         `opt:"slot.lag.warn.bytes" default:"10737418240" doc:"warn when the server keeps more than so many bytes of log for the slot"`

	Overrides       []string          `opt:"snapshot.select.statement.overrides" doc:"tables (schema.table) whose snapshot reads other rows"`
	OverrideTexts   map[string]string `opt:"snapshot.select.statement.overrides.*" doc:"snapshot.select.statement.overrides.SCHEMA.TABLE: the SELECT that gives those rows"`
	SnapshotThreads int               `opt:"snapshot.max.threads" default:"1" doc:"how many connections read a snapshot at a time, by chunks of keys; one more finds the chunks"`
	SnapshotOf      []string          `opt:"snapshot.include.collection.list" doc:"regular expressions of the captured tables that a snapshot reads; all when empty"`

	MessagesIn  []string `opt:"message.prefix.include.list" doc:"regular expressions of the prefixes of logical messages (pg_logical_emit_message) to capture; all when empty"`
	MessagesOut []string `opt:"message.prefix.exclude.list" doc:"regular expressions of the prefixes of logical messages not to capture"`

	StatusInterval time.Duration `opt:"status.update.interval.ms" unit:"ms" default:"10000" doc:"how often to report the position to the server when nothing else makes us"`
}

// Validate returns what the tags cannot express.
func (o *Options) Validate() []config.Problem {
	var out []config.Problem
	for _, f := range o.Faults() {
		out = append(out, config.Problem{Key: f.Key, Message: f.Message})
	}
	if len(o.Slot) > 63 || !slotName(o.Slot) {
		out = append(out, config.Problem{Key: "slot.name", Message: fmt.Sprintf("%q must be 1 to 63 of a-z, 0-9 and _", o.Slot)})
	}
	if len(o.Publication) > 63 || o.Publication == "" {
		out = append(out, config.Problem{Key: "publication.name", Message: "must have 1 to 63 characters"})
	}
	if o.MoneyDigits < 0 || o.MoneyDigits > 18 {
		out = append(out, config.Problem{Key: "money.fraction.digits", Message: "must be 0 to 18"})
	}
	if _, err := o.prefixFilter(); err != nil {
		out = append(out, config.Problem{Key: "message.prefix.include.list", Message: err.Error()})
	}
	if len(o.MessagesIn) > 0 && len(o.MessagesOut) > 0 {
		out = append(out, config.Problem{Key: "message.prefix.exclude.list", Message: "contradicts message.prefix.include.list: give one of them"})
	}
	for _, p := range strings.Split(o.StreamParams, ";") {
		if p != "" && !strings.Contains(p, "=") {
			out = append(out, config.Problem{Key: "slot.stream.params", Message: fmt.Sprintf("%q is not name=value", p)})
		}
	}
	if _, err := o.identities(); err != nil {
		out = append(out, config.Problem{Key: "replica.identity.autoset.values", Message: err.Error()})
	}
	if _, err := compileAll(o.SnapshotOf); err != nil {
		out = append(out, config.Problem{Key: "snapshot.include.collection.list", Message: err.Error()})
	}
	for _, table := range o.Overrides {
		if o.override(table) == "" {
			out = append(out, config.Problem{Key: "snapshot.select.statement.overrides", Message: fmt.Sprintf("there is no snapshot.select.statement.overrides.%s", table)})
		}
	}
	if o.SnapshotThreads < 0 || o.SnapshotThreads > 64 {
		out = append(out, config.Problem{Key: "snapshot.max.threads", Message: "must be 1 to 64"})
	}
	if (o.SSLCert == "") != (o.SSLKey == "") {
		out = append(out, config.Problem{Key: "database.sslcert", Message: "needs database.sslkey, and the other way round"})
	}
	return out
}

// override is the statement of a table's snapshot, "" for the table itself.
func (o *Options) override(table string) string {
	if !slices.Contains(o.Overrides, table) {
		return ""
	}
	return strings.TrimRight(strings.TrimSpace(o.OverrideTexts["snapshot.select.statement.overrides."+table]), ";")
}

// identity is an entry of replica.identity.autoset.values.
type identity struct {
	tables *regexp.Regexp
	kind   byte   // pg_class.relreplident: d, n, f, i
	index  string // of kind i
}

func (o *Options) identities() (out []identity, err error) {
	for _, text := range o.Identities {
		tables, value, ok := strings.Cut(text, ":")
		re, err := compileAll([]string{tables})
		if !ok || err != nil {
			return nil, fmt.Errorf("%q is not TABLE:IDENTITY with a regular expression of tables", text)
		}
		id := identity{tables: re[0]}
		word, rest, _ := strings.Cut(strings.TrimSpace(value), " ")
		switch strings.ToUpper(word) {
		case "DEFAULT":
			id.kind = 'd'
		case "FULL":
			id.kind = 'f'
		case "NOTHING":
			id.kind = 'n'
		case "INDEX":
			id.kind, id.index = 'i', strings.TrimSpace(rest)
		}
		if id.kind == 0 || (id.kind == 'i') != (id.index != "") {
			return nil, fmt.Errorf("%q: the identity is none of DEFAULT, FULL, NOTHING and INDEX name", text)
		}
		out = append(out, id)
	}
	return out, nil
}

// compileAll compiles expressions that match a whole name, without regard to
// case.
func compileAll(list []string) ([]*regexp.Regexp, error) {
	var out []*regexp.Regexp
	for _, text := range list {
		re, err := regexp.Compile("(?i)^(?:" + strings.TrimSpace(text) + ")$")
		if err != nil {
			return nil, err
		}
		out = append(out, re)
	}
	return out, nil
}

// readsRows reports whether a snapshot has data.
func (o *Options) readsRows() bool {
	return !slices.Contains([]string{"no_data", "schema_only", "never"}, o.SnapshotMode)
}

// streamParams are slot.stream.params, taken apart.
func (o *Options) streamParams() (out [][2]string) {
	for _, p := range strings.Split(o.StreamParams, ";") {
		if name, value, ok := strings.Cut(strings.TrimSpace(p), "="); ok {
			out = append(out, [2]string{strings.TrimSpace(name), strings.TrimSpace(value)})
		}
	}
	return out
}

// messages reports whether any logical message is captured.
func (o *Options) messages() bool {
	return !o.Skips(envelope.Logical) && !slices.Contains(o.MessagesOut, ".*")
}

// prefixFilter compiles the lists of prefixes; nil lets everything through.
func (o *Options) prefixFilter() (func(prefix string) bool, error) {
	list, include := o.MessagesOut, false
	if len(o.MessagesIn) > 0 {
		list, include = o.MessagesIn, true
	}
	if len(list) == 0 {
		return nil, nil //nolint:nilnil // no filter
	}
	res, err := compileAll(list)
	if err != nil {
		return nil, fmt.Errorf("prefixes of logical messages: %w", err)
	}
	return func(prefix string) bool {
		return slices.ContainsFunc(res, func(re *regexp.Regexp) bool { return re.MatchString(prefix) }) == include
	}, nil
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

// modes are the options that say how values are written.
func (o *Options) modes() modes {
	return modes{
		decimals: o.Decimals, times: o.Times, binaries: o.Binaries, intervals: o.Intervals, hstores: o.Hstores,
		moneyDigits: o.MoneyDigits, moneyServer: 2, unknown: o.Unknown, debezium35: o.Version == "3.5",
		defects: o.defects(),
	}
}

func slotName(s string) bool {
	for _, r := range s {
		if r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}
