package sqlserver

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"tributary/capture"
	"tributary/envelope"
	"tributary/internal/config"
)

// Options are those of a SQL Server connector.
type Options struct {
	capture.Options

	Host      string        `opt:"database.hostname" required:"true" doc:"host of the server"`
	Port      int           `opt:"database.port" default:"1433" doc:"port of the server"`
	Instance  string        `opt:"database.instance" doc:"name of the instance, instead of database.port"`
	User      string        `opt:"database.user" required:"true" doc:"user who may read the captured tables and the change tables"`
	Password  config.Secret `opt:"database.password" doc:"the user's password"`
	Databases []string      `opt:"database.names" required:"true" doc:"databases to capture"`
	Intent    string        `opt:"database.applicationIntent" default:"ReadWrite" enum:"ReadWrite,ReadOnly" doc:"ReadOnly connects to a readable secondary of an availability group; the snapshot then is in snapshot isolation, as there is no other there"`
	Initial   string        `opt:"database.initial.statements" doc:"SQL to execute on each connection, with ; between (;; stands for one within)"`

	Encrypt        string        `opt:"driver.encrypt" default:"true" enum:"true,false,strict" doc:"whether to encrypt the connection; false encrypts the login alone, where the server can; strict is TDS 8"`
	Trust          bool          `opt:"driver.trustServerCertificate" default:"false" doc:"take any certificate of the server"`
	CA             string        `opt:"driver.certificate" doc:"PEM file with the certificate to trust; the system's when empty"`
	CertificateFor string        `opt:"driver.hostNameInCertificate" doc:"name that the server's certificate must have, instead of database.hostname"`
	DriverIntent   string        `opt:"driver.applicationIntent" enum:"ReadWrite,ReadOnly" doc:"the same as database.applicationIntent"`
	MultiSubnet    bool          `opt:"driver.multiSubnetFailover" default:"false" doc:"connect to all addresses of the host at a time"`
	ConnectTimeout time.Duration `opt:"connect.timeout.ms" unit:"ms" default:"30000" doc:"how long connecting may take"`

	QueryMode       string        `opt:"data.query.mode" default:"direct" enum:"direct,function" doc:"how changes are read: from the change tables, or by the functions cdc.fn_cdc_get_all_changes_…"`
	MaxTransactions int           `opt:"max.iteration.transactions" default:"500" doc:"most transactions that are read at a time; 0 = no limit"`
	Poll            time.Duration `opt:"poll.interval.ms" unit:"ms" default:"500" doc:"how often to look for changes"`
	StreamRows      int           `opt:"streaming.fetch.size" default:"0" doc:"rows of a change table that are read at a time; 0 = 8192, or fewer where rows are large"`

	Dropped string `opt:"capture.instance.dropped" default:"fail" enum:"fail,warn" doc:"what to do when a capture instance was dropped before all of it had been read: stop, or go on without what is lost, with a warning in the log"`

	Isolation     string            `opt:"snapshot.isolation.mode" default:"repeatable_read" enum:"exclusive,repeatable_read,snapshot,read_committed,read_uncommitted" doc:"how a snapshot reads: exclusive locks the tables until all rows are read; repeatable_read locks them for a moment and then the rows that it reads; snapshot locks nothing and needs ALLOW_SNAPSHOT_ISOLATION; the others lock little and read rows that were changed meanwhile, which the stream sets right"`
	Locking       string            `opt:"snapshot.locking.mode" default:"exclusive" enum:"exclusive,none" doc:"exclusive locks the tables for the moment at which the snapshot begins, in the modes that lock them; none never"`
	LockTimeout   time.Duration     `opt:"snapshot.lock.timeout.ms" unit:"ms" default:"10000" doc:"how long to wait for those locks"`
	Threads       int               `opt:"snapshot.max.threads" default:"1" doc:"how many connections read a snapshot at a time, by chunks of keys; one more finds the chunks"`
	Overrides     []string          `opt:"snapshot.select.statement.overrides" doc:"tables (schema.table or database.schema.table) whose snapshot reads other rows"`
	OverrideTexts map[string]string `opt:"snapshot.select.statement.overrides.*" doc:"snapshot.select.statement.overrides.TABLE: the SELECT that gives those rows"`
	SnapshotOf    []string          `opt:"snapshot.include.collection.list" doc:"regular expressions of the captured tables that a snapshot reads; all when empty"`
	Recompile     bool              `opt:"incremental.snapshot.option.recompile" default:"false" doc:"have the server make a plan for each chunk of an incremental snapshot (OPTION (RECOMPILE))"`

	SchemaChanges bool     `opt:"include.schema.changes" default:"true" doc:"tell in the topic topic.prefix of the tables that a snapshot finds, and of tables that get a further capture instance"`
	OnlyTables    bool     `opt:"schema.history.internal.store.only.captured.tables.ddl" default:"false" doc:"tell there of captured tables only"`
	Defects       []string `opt:"debezium.defects" enum:"all,nanos,computed" doc:"defects of Debezium to keep, for consumers that count on them: nanos (a datetime2(7) before 1677-09-21 or after 2262-04-11 has a wrong number of nanoseconds, instead of stopping the capture), computed (computed columns have values in snapshots and are null in changes, instead of being left out)"`
	Version       string   `opt:"debezium.version" default:"3.0" enum:"3.0,3.5" doc:"whose form the events have: in 3.5 the schema of the source block has a version"`

	// Wires makes each connection to a database: by dial, or in its place; nil
	// = by dial. It is no option of the file.
	Wires func(ctx context.Context, database string, dial func(context.Context) (Wire, error)) (Wire, error)
}

const (
	isolationExclusive  = "exclusive"
	isolationRepeatable = "repeatable_read"
	isolationSnapshot   = "snapshot"
	readOnly            = "ReadOnly"
	droppedWarn         = "warn"
	overrideKey         = "snapshot.select.statement.overrides."
	defaultPage         = 8192
)

// Validate returns what the tags cannot express.
func (o *Options) Validate() []config.Problem {
	var out []config.Problem
	add := func(key, format string, args ...any) {
		out = append(out, config.Problem{Key: key, Message: fmt.Sprintf(format, args...)})
	}
	for _, f := range o.Faults() {
		add(f.Key, "%s", f.Message)
	}
	if o.Port < 1 || o.Port > 65535 {
		add("database.port", "must be between 1 and 65535")
	}
	if o.IAM() {
		add("database.authentication", "SQL Server has no aws-iam: use password")
	}
	if o.MaxTransactions < 0 {
		add("max.iteration.transactions", "must not be negative")
	}
	if o.Poll <= 0 {
		add("poll.interval.ms", "must be at least 1")
	}
	if o.Threads < 0 || o.Threads > 64 {
		add("snapshot.max.threads", "must be between 1 and 64")
	}
	if o.StreamRows < 0 {
		add("streaming.fetch.size", "must not be negative")
	}
	if o.readOnly() && o.HeartbeatAction != "" {
		add("heartbeat.action.query", "cannot be executed with database.applicationIntent ReadOnly")
	}
	for _, table := range o.Overrides {
		if o.OverrideTexts[overrideKey+table] == "" {
			add("snapshot.select.statement.overrides", "there is no %s%s", overrideKey, table)
		}
	}
	if _, err := capture.NewFilter(&capture.Options{IncludeTables: o.SnapshotOf}); err != nil {
		add("snapshot.include.collection.list", "%v", err)
	}
	seen := make(map[string]bool)
	for _, d := range o.Databases {
		if name := strings.ToLower(d); seen[name] {
			add("database.names", "%s is named twice", d)
		} else {
			seen[name] = true
		}
	}
	return out
}

func (o *Options) readOnly() bool { return cmp.Or(o.DriverIntent, o.Intent) == readOnly }

// isolation is the mode that snapshots have.
func (o *Options) isolation() string {
	if o.readOnly() {
		return isolationSnapshot
	}
	return cmp.Or(o.Isolation, isolationRepeatable)
}

func (o *Options) page() int { return cmp.Or(o.StreamRows, defaultPage) }

// override is the SELECT that a table's snapshot reads, "" = the table itself.
func (o *Options) override(id envelope.TableID) string {
	for _, name := range []string{id.String(), id.Schema + "." + id.Name} {
		if text := o.OverrideTexts[overrideKey+name]; text != "" {
			return strings.TrimRight(strings.TrimSpace(text), ";")
		}
	}
	return ""
}

// readsRows reports whether the first start reads the tables' rows.
func (o *Options) readsRows() bool {
	return !slices.Contains([]string{"no_data", "schema_only", "never"}, o.SnapshotMode)
}

func (o *Options) keeps(defect string) bool {
	return slices.Contains(o.Defects, defect) || slices.Contains(o.Defects, "all")
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
