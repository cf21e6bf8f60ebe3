package capture

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"tributary/envelope"
)

// Options are what the connectors of all databases have in common, under the
// names that Debezium and Kafka Connect use. It is embedded in the options of
// each.
type Options struct {
	Name   string `opt:"name" required:"true" doc:"name of this connector: its Kafka transactions and its position go under it"`
	Class  string `opt:"connector.class" required:"true" doc:"database: postgres, mysql, mariadb or sqlserver, or Debezium's class name"`
	Prefix string `opt:"topic.prefix" required:"true" doc:"first part of every topic name, and the server's name in every event"`

	IncludeTables  []string `opt:"table.include.list" doc:"regular expressions of tables to capture (schema.table, or database.table); all when empty"`
	ExcludeTables  []string `opt:"table.exclude.list" doc:"regular expressions of tables not to capture"`
	IncludeSchemas []string `opt:"schema.include.list" doc:"regular expressions of schemas whose tables to capture, for databases that have such; all when empty"`
	ExcludeSchemas []string `opt:"schema.exclude.list" doc:"regular expressions of schemas whose tables not to capture"`
	IncludeColumns []string `opt:"column.include.list" doc:"regular expressions of columns to capture (schema.table.column)"`
	ExcludeColumns []string `opt:"column.exclude.list" doc:"regular expressions of columns not to capture"`

	SnapshotMode string `opt:"snapshot.mode" default:"initial" enum:"initial,initial_only,always,when_needed,no_data,schema_only,never,recovery,schema_only_recovery,configuration_based" doc:"what to do at the very first start: initial reads all rows and then follows the log, initial_only ends after the rows, no_data (also called schema_only and never) follows the log from now on; always reads all rows at every start, when_needed also when the log after the stored position is gone; recovery (also called schema_only_recovery) needs a stored position; configuration_based is made of snapshot.mode.configuration.based.*"`

	ConfiguredData   bool `opt:"snapshot.mode.configuration.based.snapshot.data" default:"false" doc:"with snapshot.mode configuration_based: read all rows at the first start"`
	ConfiguredSchema bool `opt:"snapshot.mode.configuration.based.snapshot.schema" default:"false" doc:"the same: read what the tables look like, which is always done"`
	ConfiguredStream bool `opt:"snapshot.mode.configuration.based.start.stream" default:"false" doc:"the same: follow the log"`
	ConfiguredHealed bool `opt:"snapshot.mode.configuration.based.snapshot.on.data.error" default:"false" doc:"the same: read all rows also when the log after the stored position is gone"`
	ConfiguredKnown  bool `opt:"snapshot.mode.configuration.based.snapshot.on.schema.error" default:"false" doc:"the same: read what the tables look like when that is not known, which is always done"`

	FetchSize  int      `opt:"snapshot.fetch.size" default:"100000" doc:"rows of a table that a snapshot asks for at a time"`
	Skipped    []string `opt:"skipped.operations" default:"t" doc:"operations to leave out: c, u, d, t (truncate), or none"`
	Unchanged  bool     `opt:"skip.messages.without.change" default:"false" doc:"leave out updates that change none of the captured columns, as far as the log has the row of before"`
	Tombstones bool     `opt:"tombstones.on.delete" default:"true" doc:"follow a delete with a record without value, so that compaction forgets the key"`

	Decimals string `opt:"decimal.handling.mode" default:"precise" enum:"precise,double,string" doc:"how exact decimals are written"`
	Times    string `opt:"time.precision.mode" default:"adaptive" enum:"adaptive,adaptive_time_microseconds,connect,microseconds,nanoseconds,isostring" doc:"how dates and times are written"`
	Binaries string `opt:"binary.handling.mode" default:"bytes" enum:"bytes,base64,base64-url-safe,hex" doc:"how binary columns are written"`

	SchemaNames string `opt:"schema.name.adjustment.mode" default:"none" enum:"none,avro,avro_unicode" doc:"what to do about schema names that Avro does not allow"`
	FieldNames  string `opt:"field.name.adjustment.mode" default:"none" enum:"none,avro,avro_unicode" doc:"what to do about column names that Avro does not allow"`

	Delimiter        string `opt:"topic.delimiter" default:"." doc:"what stands between the parts of topic names"`
	HeartbeatPrefix  string `opt:"topic.heartbeat.prefix" default:"__debezium-heartbeat" doc:"first part of the name of the topic of heartbeats; topic.prefix follows"`
	HeartbeatTopic   string `opt:"topic.heartbeat.name" doc:"name of the topic of heartbeats, instead of topic.heartbeat.prefix and topic.prefix"`
	TransactionTopic string `opt:"topic.transaction" default:"transaction" doc:"last part of the name of the topic of transactions, after topic.prefix"`
	TopicNaming      string `opt:"topic.naming.strategy" default:"io.debezium.schema.SchemaTopicNamingStrategy" enum:"io.debezium.schema.SchemaTopicNamingStrategy,io.debezium.schema.DefaultTopicNamingStrategy,io.debezium.schema.SchemaUnicodeTopicNamingStrategy,io.debezium.schema.DefaultUnicodeTopicNamingStrategy" doc:"how topics are named: the unicode strategies write a character that Kafka does not allow as _uXXXX, the others as _"`

	BatchSize  int `opt:"max.batch.size" default:"4096" doc:"most changes in one Kafka transaction"`
	BatchBytes int `opt:"max.batch.size.in.bytes" default:"4194304" doc:"most bytes of rows in one Kafka transaction; one row may exceed it"`

	Heartbeats      time.Duration `opt:"heartbeat.interval.ms" unit:"ms" default:"0" doc:"how often to write a heartbeat record to topic.heartbeat.prefix; 0 = never. The position moves on every 10 s whatever this is"`
	HeartbeatAction string        `opt:"heartbeat.action.query" doc:"statement to execute in the database with each heartbeat"`
	Transactions    bool          `opt:"provide.transaction.metadata" default:"false" doc:"give every change its place in its transaction, and tell in a topic where transactions begin and end"`
	Failures        string        `opt:"event.processing.failure.handling.mode" default:"fail" enum:"fail,warn,skip,ignore" doc:"what to do about a change that cannot be decoded: stop, or keep it aside in errors.deadletterqueue.topic.name with (warn) or without (skip, ignore) a warning in the log"`
	DeadLetters     string        `opt:"errors.deadletterqueue.topic.name" doc:"topic for changes that cannot be decoded; TOPIC.PREFIX.dead-letters when not given"`
	Unavailable     string        `opt:"unavailable.value.placeholder" default:"__debezium_unavailable_value" doc:"what stands for a value that the log does not carry because it is unchanged; hex:… gives its bytes"`

	RetryTimeout  time.Duration `opt:"errors.retry.timeout" unit:"ms" default:"300000" doc:"how long to retry faults that may heal before ending with exit code 1; 0 = not at all, -1 = for ever"`
	RetryMaxDelay time.Duration `opt:"errors.retry.delay.max.ms" unit:"ms" default:"10000" doc:"longest pause between retries"`

	SignalChannels []string      `opt:"signal.enabled.channels" default:"source" enum:"source,kafka,file" doc:"where signals (incremental snapshots: start, stop, pause, resume) come from: rows inserted into signal.data.collection, records of signal.kafka.topic (cdc-source signal writes there), lines of signal.file"`
	SignalTable    string        `opt:"signal.data.collection" doc:"table (schema.table, or database.table) of three text columns id, type and data into which signals are inserted"`
	SignalTopic    string        `opt:"signal.kafka.topic" doc:"topic of signals; TOPIC.PREFIX-signal when not given. The key of a record is topic.prefix"`
	SignalFile     string        `opt:"signal.file" default:"file-signals.txt" doc:"file of signals, a JSON object a line; it is emptied when it was read"`
	SignalPoll     time.Duration `opt:"signal.poll.interval.ms" unit:"ms" default:"5000" doc:"how often to look into signal.file"`
	ChunkRows      int           `opt:"incremental.snapshot.chunk.size" default:"1024" doc:"rows that an incremental snapshot reads at a time"`

	Authentication string `opt:"database.authentication" default:"password" enum:"password,aws-iam" doc:"how to log in to the database: aws-iam makes a password of AWS credentials, a new one for each connection, as Amazon RDS and Aurora take them for users with the rds_iam role (AWSAuthenticationPlugin in MySQL). It needs an encrypted connection"`
	AWSRegion      string `opt:"database.aws.region" doc:"region of the database for aws-iam; that in database.hostname or of the AWS configuration when not given"`

	Notifications     []string `opt:"notification.enabled.channels" enum:"log,sink" doc:"where to tell how snapshots go on: in the log, or in notification.sink.topic.name (sink)"`
	NotificationTopic string   `opt:"notification.sink.topic.name" doc:"topic of notifications"`
	MetricTags        string   `opt:"custom.metric.tags" doc:"labels for all metrics of this connector: NAME=VALUE,NAME=VALUE"`

	ColumnOptions

	TransformOptions

	// Passwords gives the password for a user at an address, host:port. It is
	// asked before each connection; nil = database.password. It is no option of
	// the file: whoever reads that sets it by Authentication.
	Passwords func(ctx context.Context, address, user string) (string, error)

	// Plan tells what becomes of a table's records, or why nothing does; nil = it is
	// not known. Whoever emits them sets it.
	Plan func(t *envelope.Table) (envelope.Plan, error)

	mustResume bool // snapshot.mode recovery
}

// Fault is a fault of one option.
type Fault struct{ Key, Message string }

// Faults returns what the tags cannot express.
func (o *Options) Faults() []Fault {
	var out []Fault
	add := func(key, format string, args ...any) { out = append(out, Fault{key, fmt.Sprintf(format, args...)}) }
	for key, list := range map[string][]string{
		"table.include.list": o.IncludeTables, "table.exclude.list": o.ExcludeTables,
		"column.include.list": o.IncludeColumns, "column.exclude.list": o.ExcludeColumns,
	} {
		for _, p := range list {
			if _, err := regexp.Compile(p); err != nil {
				add(key, "%v", err)
			}
		}
	}
	if len(o.IncludeTables) > 0 && len(o.ExcludeTables) > 0 {
		add("table.exclude.list", "contradicts table.include.list: give one of them")
	}
	if len(o.IncludeColumns) > 0 && len(o.ExcludeColumns) > 0 {
		add("column.exclude.list", "contradicts column.include.list: give one of them")
	}
	out = append(out, o.schemaFaults()...)
	_, faults := o.rewrite()
	out = append(out, faults...)
	for _, op := range o.Skipped {
		if !slices.Contains([]string{"c", "u", "d", "t", "none"}, op) {
			add("skipped.operations", "%q is none of c, u, d, t, none", op)
		}
	}
	if o.BatchSize < 1 {
		add("max.batch.size", "must be at least 1")
	}
	if o.BatchBytes < 1 {
		add("max.batch.size.in.bytes", "must be at least 1")
	}
	if o.ChunkRows < 0 {
		add("incremental.snapshot.chunk.size", "must be at least 1")
	}
	if o.FetchSize < 1 {
		add("snapshot.fetch.size", "must be at least 1")
	}
	if _, err := o.Labels(); err != nil {
		add("custom.metric.tags", "%v", err)
	}
	if slices.Contains(o.Notifications, "sink") && o.NotificationTopic == "" {
		add("notification.sink.topic.name", "is needed with sink in notification.enabled.channels")
	}
	if o.SnapshotMode == configurationBased {
		add("snapshot.mode", "configuration_based with neither snapshot.mode.configuration.based.snapshot.data nor …start.stream leaves nothing to do")
	}
	_, faults = o.chain()
	out = append(out, faults...)
	return out
}

// schemaFaults are those of the lists of schemas.
func (o *Options) schemaFaults() (out []Fault) {
	for key, list := range map[string][]string{"schema.include.list": o.IncludeSchemas, "schema.exclude.list": o.ExcludeSchemas} {
		if _, err := compileAll(list); err != nil {
			out = append(out, Fault{key, err.Error()})
		}
		if len(list) > 0 && o.binlog() {
			out = append(out, Fault{key, "this database has no schemas: use database.include.list or database.exclude.list"})
		}
	}
	if len(o.IncludeSchemas) > 0 && len(o.ExcludeSchemas) > 0 {
		out = append(out, Fault{"schema.exclude.list", "contradicts schema.include.list: give one of them"})
	}
	return out
}

const configurationBased = "configuration_based"

// Complete makes one of the other modes of snapshot.mode recovery and
// configuration_based.
func (o *Options) Complete() {
	switch o.SnapshotMode {
	case "recovery", "schema_only_recovery":
		o.SnapshotMode, o.mustResume = "no_data", true
	case configurationBased:
		switch {
		case o.ConfiguredData && o.ConfiguredStream && o.ConfiguredHealed:
			o.SnapshotMode = "when_needed"
		case o.ConfiguredData && o.ConfiguredStream:
			o.SnapshotMode = "initial"
		case o.ConfiguredData:
			o.SnapshotMode = "initial_only"
		case o.ConfiguredStream:
			o.SnapshotMode = "no_data"
		}
	}
}

// IAM reports whether Passwords has to be set for aws-iam.
func (o *Options) IAM() bool { return o.Authentication == "aws-iam" }

// PasswordFor is what a user logs in with at an address; fixed is
// database.password.
func (o *Options) PasswordFor(ctx context.Context, address, user, fixed string) (string, error) {
	if o.Passwords == nil {
		return fixed, nil
	}
	return o.Passwords(ctx, address, user)
}

// Statements takes database.initial.statements apart: they have ; between, and ;;
// stands for one within.
func Statements(text string) (out []string) {
	const mark = "\x00"
	for q := range strings.SplitSeq(strings.ReplaceAll(text, ";;", mark), ";") {
		if q = strings.TrimSpace(strings.ReplaceAll(q, mark, ";")); q != "" {
			out = append(out, q)
		}
	}
	return out
}

// MustResume reports whether a start without a stored position is an error.
func (o *Options) MustResume() bool { return o.mustResume }

// Labels are custom.metric.tags, taken apart.
func (o *Options) Labels() (map[string]string, error) {
	if strings.TrimSpace(o.MetricTags) == "" {
		return nil, nil //nolint:nilnil // none
	}
	out := make(map[string]string)
	for tag := range strings.SplitSeq(o.MetricTags, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(tag), "=")
		if !ok || !regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`).MatchString(name) {
			return nil, fmt.Errorf("%q is not NAME=VALUE with a name of letters, digits and _", tag)
		}
		out[name] = value
	}
	return out, nil
}

// Limits are those of a batch.
func (o *Options) Limits() Limits { return Limits{Changes: o.BatchSize, Bytes: o.BatchBytes} }

// PositionInterval is how often a position moves on while no captured table
// changes, so that the database can discard its log.
const PositionInterval = 10 * time.Second

// SignalsFrom reports whether signals come from a channel.
func (o *Options) SignalsFrom(channel string) bool { return slices.Contains(o.SignalChannels, channel) }

// SignalTopicName is the topic of signals.
func (o *Options) SignalTopicName() string { return cmp.Or(o.SignalTopic, o.Prefix+"-signal") }

// Moves is how often the position moves on while no captured table changes: at
// least as often as heartbeats are written.
func (o *Options) Moves() time.Duration {
	if o.Heartbeats > 0 && o.Heartbeats < PositionInterval {
		return o.Heartbeats
	}
	return PositionInterval
}

// KeepsFailures reports whether a change that cannot be decoded is kept aside
// instead of stopping the capture.
func (o *Options) KeepsFailures() bool { return o.Failures != "" && o.Failures != "fail" }

// Skips reports whether an operation is left out.
func (o *Options) Skips(op envelope.Op) bool { return slices.Contains(o.Skipped, op.String()) }

// Naming is how topics and schemas are named.
func (o *Options) Naming() envelope.Naming {
	return envelope.Naming{
		Prefix:  o.Prefix,
		Schemas: envelope.Adjustment(o.SchemaNames),
		Fields:  envelope.Adjustment(o.FieldNames),

		Delimiter: o.Delimiter, HeartbeatPrefix: o.HeartbeatPrefix, HeartbeatTopic: o.HeartbeatTopic, Transactions: o.TransactionTopic,
		Unicode: strings.Contains(o.TopicNaming, "Unicode"),
	}
}

// binlog reports whether the connector is one for MySQL or MariaDB.
func (o *Options) binlog() bool {
	class := strings.ToLower(o.Class)
	return strings.Contains(class, "mysql") || strings.Contains(class, "mariadb")
}

// Format is what the records look like, given the connector's source block.
// The options must have no Faults.
func (o *Options) Format(block envelope.Block) envelope.Options {
	f := envelope.Options{Block: block, Naming: o.Naming(), Tombstones: o.Tombstones, SkipUnchanged: o.Unchanged}
	f.Rewrite, _ = o.rewrite() // Faults has told
	if len(o.IncludeColumns)+len(o.ExcludeColumns) > 0 {
		if filter, err := NewFilter(o); err == nil { // as above
			f.Rewrite.Values = filter.Value
		}
	}
	switch o.Times {
	case "microseconds", "nanoseconds", "isostring":
		f.Rewrite.Times = o.Times // made of what the sources write
	}
	f.QuietFailures = o.Failures != "warn"
	if !o.binlog() { // there it is an update to Debezium, until it is told
		f.SkipDeletes, f.SkipCreates = o.Skips(envelope.Delete), o.Skips(envelope.Create)
	}
	f.TextMessages = o.Binaries != "" && o.Binaries != "bytes"
	if slices.Contains(o.Notifications, "sink") {
		f.Notifications = o.NotificationTopic
	}
	f.DeadLetters = cmp.Or(o.DeadLetters, o.Prefix+".dead-letters")
	c, _ := o.chain() // Faults has told
	f.Unwrap, f.Before, f.After = c.unwrap, c.before, c.after
	return f
}
