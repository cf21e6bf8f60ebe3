package capture

import (
	"cmp"
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
	Class  string `opt:"connector.class" required:"true" doc:"database: postgres, mysql or mariadb, or Debezium's class name"`
	Prefix string `opt:"topic.prefix" required:"true" doc:"first part of every topic name, and the server's name in every event"`

	IncludeTables  []string `opt:"table.include.list" doc:"regular expressions of tables to capture (schema.table, or database.table); all when empty"`
	ExcludeTables  []string `opt:"table.exclude.list" doc:"regular expressions of tables not to capture"`
	IncludeColumns []string `opt:"column.include.list" doc:"regular expressions of columns to capture (schema.table.column)"`
	ExcludeColumns []string `opt:"column.exclude.list" doc:"regular expressions of columns not to capture"`

	SnapshotMode string   `opt:"snapshot.mode" default:"initial" enum:"initial,initial_only,always,when_needed,no_data,schema_only,never" doc:"what to do at the very first start: initial reads all rows and then follows the log, initial_only ends after the rows, no_data (also called schema_only and never) follows the log from now on; always reads all rows at every start, when_needed also when the log after the stored position is gone"`
	FetchSize    int      `opt:"snapshot.fetch.size" default:"100000" doc:"rows of a table that a snapshot asks for at a time"`
	Skipped      []string `opt:"skipped.operations" default:"t" doc:"operations to leave out: c, u, d, t (truncate), or none"`
	Tombstones   bool     `opt:"tombstones.on.delete" default:"true" doc:"follow a delete with a record without value, so that compaction forgets the key"`

	Decimals string `opt:"decimal.handling.mode" default:"precise" enum:"precise,double,string" doc:"how exact decimals are written"`
	Times    string `opt:"time.precision.mode" default:"adaptive" enum:"adaptive,adaptive_time_microseconds,connect" doc:"how dates and times are written"`
	Binaries string `opt:"binary.handling.mode" default:"bytes" enum:"bytes,base64,base64-url-safe,hex" doc:"how binary columns are written"`

	SchemaNames string `opt:"schema.name.adjustment.mode" default:"none" enum:"none,avro,avro_unicode" doc:"what to do about schema names that Avro does not allow"`
	FieldNames  string `opt:"field.name.adjustment.mode" default:"none" enum:"none,avro,avro_unicode" doc:"what to do about column names that Avro does not allow"`

	Delimiter        string `opt:"topic.delimiter" default:"." doc:"what stands between the parts of topic names"`
	HeartbeatPrefix  string `opt:"topic.heartbeat.prefix" default:"__debezium-heartbeat" doc:"first part of the name of the topic of heartbeats; topic.prefix follows"`
	TransactionTopic string `opt:"topic.transaction" default:"transaction" doc:"last part of the name of the topic of transactions, after topic.prefix"`
	TopicNaming      string `opt:"topic.naming.strategy" default:"io.debezium.schema.SchemaTopicNamingStrategy" enum:"io.debezium.schema.SchemaTopicNamingStrategy,io.debezium.schema.DefaultTopicNamingStrategy,io.debezium.schema.SchemaUnicodeTopicNamingStrategy,io.debezium.schema.DefaultUnicodeTopicNamingStrategy" doc:"how topics are named: the unicode strategies write a character that Kafka does not allow as _uXXXX, the others as _"`

	BatchSize  int `opt:"max.batch.size" default:"10000" doc:"most changes in one Kafka transaction"`
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

	ColumnOptions

	TransformOptions
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
	_, faults = o.chain()
	out = append(out, faults...)
	return out
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

		Delimiter: o.Delimiter, HeartbeatPrefix: o.HeartbeatPrefix, Transactions: o.TransactionTopic,
		Unicode: strings.Contains(o.TopicNaming, "Unicode"),
	}
}

// Format is what the records look like, given the connector's source block.
// The options must have no Faults.
func (o *Options) Format(block envelope.Block) envelope.Options {
	f := envelope.Options{Block: block, Naming: o.Naming(), Tombstones: o.Tombstones}
	f.Rewrite, _ = o.rewrite() // Faults has told
	f.QuietFailures = o.Failures != "warn"
	f.DeadLetters = cmp.Or(o.DeadLetters, o.Prefix+".dead-letters")
	c, _ := o.chain() // Faults has told
	f.Unwrap, f.Before, f.After = c.unwrap, c.before, c.after
	return f
}
