package capture

import (
	"slices"
	"strings"
)

// Foreign is an option of Debezium or Kafka Connect, or some values of one,
// that has no counterpart here.
type Foreign struct {
	Name string // with * at its end: all names that begin so
	// Values are those that Ignored is about, nil = all. An empty text is that
	// of an option without value.
	Values  []string
	Ignored string // why nothing is lost without it, "" = it is
	Refused string // why other values must not be given
}

// FindForeign returns what is to be said of an option: why it is ignored, or
// why it is refused.
func FindForeign(key, value string) (text string, refused, ok bool) {
	return findForeign(key, value, false)
}

// FindForeignValue is FindForeign of a value that an option of ours does not have:
// that the option is ignored where there is none of its name says nothing of it.
func FindForeignValue(key, value string) (text string, refused, ok bool) {
	return findForeign(key, value, true)
}

func findForeign(key, value string, own bool) (text string, refused, ok bool) {
	for _, f := range ForeignOptions() {
		prefix, open := strings.CutSuffix(f.Name, "*")
		if f.Name != key && (!open || !strings.HasPrefix(key, prefix)) {
			continue
		}
		switch {
		case f.Ignored != "" && (f.Values == nil && !own || slices.Contains(f.Values, strings.TrimSpace(value))):
			return f.Ignored, false, true
		case f.Refused != "":
			return f.Refused, true, true
		}
	}
	return "", false, false
}

// ForeignOptions lists what has no counterpart, in the order of the document.
// Where a database has an option of the name, that comes before.
func ForeignOptions() []Foreign {
	return slices.Concat(connectForeign, flowForeign, snapshotForeign, formForeign, binlogForeign, postgresForeign, javaForeign)
}

const (
	atOnce   = "changes are sent as soon as there are some; there is no queue that is asked for them"
	bounded  = "memory is bounded by max.batch.size and max.batch.size.in.bytes"
	retries  = "faults that may heal are retried for errors.retry.timeout, at most errors.retry.delay.max.ms apart"
	history  = "there is no history of schemas that could be lost: what a table looked like is kept with the position"
	needless = "incremental snapshots write nothing to the database and need no windows in its log"
	needJava = "it names a class of Java, which cannot be run here"
	noQuery  = "a snapshot of other rows is snapshot.select.statement.overrides"
)

// What Kafka Connect takes itself.
var connectForeign = []Foreign{
	{Name: "tasks.max", Ignored: "a connector is one process with one reader of the log, as Debezium's are one task"},
	{Name: "tasks.max.enforce", Ignored: "a connector is one process"},
	{Name: "key.converter", Values: avroConverters, Ignored: "records are Avro; how they carry their schemas' ids is wire.format", Refused: jsonRecords},
	{Name: "value.converter", Values: avroConverters, Ignored: "records are Avro; how they carry their schemas' ids is wire.format", Refused: jsonRecords},
	{Name: "key.converter.*", Ignored: "the registry is schema.registry.url, the form of the ids wire.format"},
	{Name: "value.converter.*", Ignored: "the registry is schema.registry.url, the form of the ids wire.format"},
	{Name: "header.converter", Values: []string{"", "org.apache.kafka.connect.storage.SimpleHeaderConverter"}, Ignored: "headers are text", Refused: "headers are written as text"},
	{Name: "header.converter.*", Ignored: "headers are text"},
	{Name: "config.action.reload", Ignored: "a file is read at the start"},
	{Name: "errors.log.enable", Ignored: "faults are always logged"},
	{Name: "errors.log.include.messages", Values: []string{"", "false"}, Ignored: "no row is ever logged", Refused: "no row is ever logged; changes that cannot be decoded can be kept in errors.deadletterqueue.topic.name"},
	{Name: "errors.tolerance", Values: []string{"", "none"}, Ignored: "what a transform cannot do stops the capture", Refused: "records that a transform fails for are not dropped: give the transform a predicate, or filter them out before it. For changes that cannot be decoded there is event.processing.failure.handling.mode"},
	{Name: "errors.deadletterqueue.*", Ignored: "dead letters go to a topic like all others, without headers about Connect"},
	{Name: "exactly.once.support", Ignored: "every record is written exactly once, always"},
	{Name: "transaction.boundary", Ignored: "a Kafka transaction is a batch (max.batch.size)"},
	{Name: "transaction.boundary.*", Ignored: "a Kafka transaction is a batch (max.batch.size)"},
	{Name: "offsets.storage.topic", Ignored: "positions are in offset.storage.topic, in a form of their own"},
	{Name: "producer.override.*", Ignored: "the names of the producer's options stand without producer.override: compression.type, max.request.size, delivery.timeout.ms, transaction.timeout.ms; the others are set so that nothing waits"},
	{Name: "consumer.override.*", Ignored: "nothing but signals is read from Kafka"},
	{Name: "admin.override.*", Ignored: "there is one set of options for the brokers"},
	{Name: "openlineage.*", Ignored: "no events of lineage are sent"},
}

var avroConverters = []string{
	"io.confluent.connect.avro.AvroConverter", "io.apicurio.registry.utils.converter.AvroConverter", "io.apicurio.registry.utils.converter.ExtJsonConverter.Avro",
	"com.amazonaws.services.schemaregistry.kafkaconnect.AWSKafkaAvroConverter",
}

const jsonRecords = "records are Avro with their schemas in a registry; other forms are not written"

// How changes get from the database to Kafka.
var flowForeign = []Foreign{
	{Name: "max.queue.size", Ignored: bounded},
	{Name: "max.queue.size.in.bytes", Ignored: bounded},
	{Name: "queue.provider.type", Ignored: bounded},
	{Name: "poll.interval.ms", Ignored: atOnce},
	{Name: "poll.dispatch.interval.ms", Ignored: atOnce},
	{Name: "retriable.restart.connector.wait.ms", Ignored: retries},
	{Name: "errors.max.retries", Ignored: retries},
	{Name: "streaming.delay.ms", Ignored: "the log is followed as soon as the snapshot is complete"},
	{Name: "event.converting.failure.handling.mode", Ignored: "a value that has no form is never written as null: event.processing.failure.handling.mode says what becomes of its change"},
	{Name: "event.deserialization.failure.handling.mode", Ignored: "event.processing.failure.handling.mode says what becomes of a change that cannot be decoded"},
	{Name: "inconsistent.schema.handling.mode", Ignored: "what a table looks like comes with its changes, so it cannot be another"},
	{Name: "connection.validation.timeout.ms", Ignored: "connecting has a timeout of its own"},
	{Name: "executor.shutdown.timeout.ms", Ignored: "the end of the process waits for all its parts"},
	{Name: "database.query.timeout.ms", Ignored: "queries end when the process is told to end"},
	{Name: "database.connection.timeout.ms", Ignored: "connecting has a timeout of its own"},
	{Name: "query.timeout.ms", Ignored: "queries end when the process is told to end"},
	{Name: "query.fetch.size", Ignored: "small queries are read at once"},
	{Name: "statistics.metrics.enabled", Ignored: "metrics are counted always and cost nothing"},
	{Name: "advanced.metrics.enable", Ignored: "metrics are counted always and cost nothing"},
	{Name: "custom.sanitize.pattern", Ignored: "secrets have a type that is never printed"},
	{Name: "guardrail.collections.max", Ignored: "a table that is captured costs a few KB"},
	{Name: "guardrail.collections.limit.action", Ignored: "a table that is captured costs a few KB"},
	{Name: "log.position.check.enable", Ignored: "that the log has the stored position is always checked"},
	{Name: "offset.activity.monitor.interval.ms", Ignored: "the position moves on every 10 s, and a lag is in the metrics"},
	{Name: "topic.cache.size", Ignored: "names of topics are made once for each table"},
	{Name: "extended.headers.enabled", Ignored: "records have no headers about the connector: its name is in source.name, and who wrote a record is in the log"},
	{Name: "signal.kafka.bootstrap.servers", Ignored: "signals are read from the brokers of bootstrap.servers"},
	{Name: "signal.kafka.poll.timeout.ms", Ignored: "signals are taken as they come"},
	{Name: "signal.kafka.groupId", Ignored: "the group of signals is the connector's name and -signals"},
	{Name: "signal.consumer.*", Ignored: "signals are read from the brokers of bootstrap.servers, with the same login"},
	{Name: "signal.emit.failure.*", Ignored: needless},
	{Name: "notification.enabled.channels", Values: []string{"jmx", "log,jmx", "jmx,log"}, Ignored: "there is no JMX: the log has what it would tell", Refused: "there are the channels log and sink"},
	{Name: "signal.enabled.channels", Values: []string{"jmx"}, Ignored: "there is no JMX: cdc-source signal gives orders, with kafka in signal.enabled.channels", Refused: "there are the channels source, kafka and file"},
	{Name: "internal.*", Ignored: "it is of Debezium's own works"},
	{Name: "custom.retriable.exception", Values: []string{"", "false"}, Ignored: retries, Refused: needJava},
}

// What a snapshot reads.
var snapshotForeign = []Foreign{
	{Name: "snapshot.mode", Refused: "there is no such mode: initial, initial_only, always, when_needed, no_data, recovery and configuration_based; custom would need a class of Java"},
	{Name: "snapshot.mode.custom.name", Values: []string{""}, Ignored: "it is empty", Refused: needJava},
	{Name: "snapshot.locking.mode.custom.name", Values: []string{""}, Ignored: "it is empty", Refused: needJava},
	{Name: "snapshot.locking.mode", Values: []string{"none", "shared", "minimal", "extended"}, Ignored: "a snapshot reads one consistent view of the database without locks", Refused: "there is no such mode; custom would need a class of Java"},
	{Name: "snapshot.query.mode", Values: []string{"select_all"}, Ignored: noQuery, Refused: noQuery + "; custom would need a class of Java"},
	{Name: "snapshot.query.mode.custom.name", Values: []string{""}, Ignored: noQuery, Refused: needJava},
	{Name: "snapshot.delay.ms", Ignored: "a snapshot begins at the start"},
	{Name: "snapshot.lock.timeout.ms", Ignored: "locks, where there are any, are waited for 30 s at most"},
	{Name: "snapshot.isolation.mode", Ignored: "all tables are read in one consistent view"},
	{Name: "snapshot.tables.order.by.row.count", Ignored: "tables are read in the order of their names"},
	{Name: "snapshot.max.threads.multiplier", Ignored: "chunks are made as they are read"},
	{Name: "legacy.snapshot.max.threads", Ignored: "snapshot.max.threads is by chunks of tables"},
	{Name: "snapshot.scan.all.columns.force", Ignored: "columns are read from the catalog"},
	{Name: "snapshot.new.tables", Ignored: "tables that are added to the lists are read without a snapshot of the others"},
	{Name: "min.row.count.to.stream.results", Ignored: "results are always streamed"},
	{Name: "incremental.snapshot.watermarking.strategy", Ignored: needless},
	{Name: "incremental.snapshot.allow.schema.changes", Ignored: "columns may change while an incremental snapshot is in work"},
	{Name: "read.only", Ignored: needless},
}

// What events look like.
var formForeign = []Foreign{
	{Name: "converters", Values: []string{""}, Ignored: "it is empty", Refused: "custom converters are classes of Java; of Debezium's own, TinyIntOneToBooleanConverter is tinyint.boolean.columns; the columns that they are for can be changed by the transforms Cast, TimestampConverter and TimezoneConverter"},
	{Name: "post.processors", Values: []string{""}, Ignored: "it is empty", Refused: "post processors are classes of Java"},
	{Name: "sourceinfo.struct.maker", Values: []string{""}, Ignored: "it is empty", Refused: needJava},
	{Name: "source.struct.version", Values: []string{"v2"}, Ignored: "the source block is that of Debezium 3", Refused: "the source block of Debezium before 2.0 is not written"},
	{Name: "transaction.metadata.factory", Values: []string{"", "io.debezium.pipeline.txmetadata.DefaultTransactionMetadataFactory", "io.debezium.connector.postgresql.transactions.PostgresTransactionMetadataFactory"}, Ignored: "transactions are told as the default does", Refused: needJava},
	{Name: "table.ignore.builtin", Values: []string{"true"}, Ignored: "the tables of the system are never captured", Refused: "the tables of the system are never captured"},
	{Name: "time.precision.mode", Refused: "this form of dates and times is not written; there are adaptive, adaptive_time_microseconds, connect, microseconds, nanoseconds and isostring"},
	{Name: "topic.naming.strategy", Refused: "it is none of Debezium's strategies by schema and table; records of several tables go to one topic by the transform ByLogicalTableRouter, to others by RegexRouter"},
	{Name: "topic.regex", Refused: "use the transform ByLogicalTableRouter with topic.regex"},
	{Name: "topic.replacement", Refused: "use the transform ByLogicalTableRouter with topic.replacement"},
	{Name: "topic.key.*", Values: []string{"", "true", "__dbz__physicalTableIdentifier"}, Ignored: "only strategies by regular expression need it", Refused: "use the transform ByLogicalTableRouter with key.enforce.uniqueness and key.field.*"},
	{Name: "sanitize.field.names", Values: []string{"false"}, Ignored: "names stay as they are unless field.name.adjustment.mode says otherwise", Refused: "use its present form: field.name.adjustment.mode: avro"},
	{Name: "include.schema.changes", Ignored: "changes of schemas show in the events themselves and in the registry"},
	{Name: "schema.history.internal", Ignored: history},
	{Name: "schema.history.internal.*", Ignored: history},
	{Name: "database.history", Ignored: history},
	{Name: "database.history.*", Ignored: history},
	{Name: "heartbeat.topics.prefix", Values: []string{"__debezium-heartbeat"}, Ignored: "its present name, topic.heartbeat.prefix, has the same default", Refused: "use its present name: topic.heartbeat.prefix"},
	{Name: "toasted.value.placeholder", Refused: "use its present name: unavailable.value.placeholder"},
	{Name: "database.server.name", Refused: "use its present name: topic.prefix"},
	{Name: "table.whitelist", Refused: "use its present name: table.include.list"},
	{Name: "table.blacklist", Refused: "use its present name: table.exclude.list"},
	{Name: "column.whitelist", Refused: "use its present name: column.include.list"},
	{Name: "column.blacklist", Refused: "use its present name: column.exclude.list"},
	{Name: "schema.whitelist", Refused: "use its present name: schema.include.list"},
	{Name: "schema.blacklist", Refused: "use its present name: schema.exclude.list"},
	{Name: "database.whitelist", Refused: "use its present name: database.include.list"},
	{Name: "database.blacklist", Refused: "use its present name: database.exclude.list"},
}

const keystores = "keystores of Java are not read: give PEM files as database.ssl.ca, database.ssl.cert and database.ssl.key"

// What MySQL's and MariaDB's connectors have.
var binlogForeign = []Foreign{
	{Name: "database.jdbc.driver", Ignored: "there is no JDBC"},
	{Name: "database.protocol", Ignored: "there is no JDBC"},
	{Name: "database.jdbc.protocol", Ignored: "there is no JDBC"},
	{Name: "database.server.id.offset", Ignored: "the log is read by one connection"},
	{Name: "database.ssl.keystore", Values: []string{""}, Ignored: "it is empty", Refused: keystores},
	{Name: "database.ssl.keystore.password", Values: []string{""}, Ignored: "it is empty", Refused: keystores},
	{Name: "database.ssl.truststore", Values: []string{""}, Ignored: "it is empty", Refused: keystores},
	{Name: "database.ssl.truststore.password", Values: []string{""}, Ignored: "it is empty", Refused: keystores},
	{Name: "database.query.timeout.ms", Ignored: "queries end when the process is told to end"},
	{Name: "use.nongraceful.disconnect", Ignored: "connections are closed without waiting"},
	{Name: "binlog.net.write.timeout", Ignored: "a session sets its own timeouts"},
	{Name: "binlog.net.read.timeout", Ignored: "a session sets its own timeouts"},
	{Name: "binlog.buffer.size", Ignored: "nothing is read ahead to find rolled back transactions: the log has none"},
	{Name: "resolve.create.table.like.schema", Ignored: "what a table looks like is asked of the server"},
	{Name: "enable.time.adjuster", Ignored: "years are as the server has them stored"},
	{Name: "gtid.ignore.on.recovery", Values: []string{"false"}, Ignored: "with GTIDs the log is followed by GTIDs", Refused: "with GTIDs the log is followed by GTIDs; a position in a file can be set with cdc-source offsets set"},
	{Name: "gtid.new.channel.position", Ignored: "the log of a new source is read from its beginning"},
	{Name: "ddl.parser.type", Ignored: "statements are not what tables are known by"},
}

const lsnFlush = "what is durable in Kafka is confirmed to the slot, nothing else"

// What PostgreSQL's connector has.
var postgresForeign = []Foreign{
	{Name: "plugin.name", Refused: "only pgoutput is read, which every server from version 10 on has; the events are the same. Give the slot another name, or drop the old one"},
	{Name: "slot.drop.on.stop", Ignored: "the slot stays, so that no change is lost; drop it with pg_drop_replication_slot"},
	{Name: "slot.max.retries", Ignored: retries},
	{Name: "slot.retry.delay.ms", Ignored: retries},
	{Name: "slot.seek.to.known.offset.on.start", Ignored: "the log is followed from the stored position"},
	{Name: "create.slot.command.timeout", Ignored: "creating the slot waits for the transactions that are in work"},
	{Name: "offset.mismatch.strategy", Values: []string{"no_validation", "trust_offset"}, Ignored: "the stored position counts, and a slot that has gone past it is an error", Refused: "changes between the stored position and the slot's would be lost: set the position with cdc-source offsets set if that is wanted"},
	{Name: "lsn.flush.mode", Values: []string{"connector", "connector_and_driver"}, Ignored: lsnFlush, Refused: lsnFlush},
	{Name: "flush.lsn.source", Values: []string{"true"}, Ignored: lsnFlush, Refused: lsnFlush},
	{Name: "lsn.flush.timeout.ms", Ignored: lsnFlush},
	{Name: "lsn.flush.timeout.action", Ignored: lsnFlush},
	{Name: "database.tcpKeepAlive", Ignored: "connections are always probed"},
	{Name: "database.sslfactory", Values: []string{""}, Ignored: "it is empty", Refused: needJava},
	{Name: "schema.refresh.mode", Ignored: "columns come with the changes; an unchanged TOAST value changes no schema"},
	{Name: "xmin.fetch.interval.ms", Values: []string{"0"}, Ignored: "source.xmin is null", Refused: "source.xmin is always null"},
}

// What is of Java.
var javaForeign = []Foreign{
	{Name: "driver.*", Ignored: "there is no JDBC"},
	{Name: "database.connectionTimeZone", Ignored: "there is no JDBC: the session's time zone is UTC, in which the log has its times"},
	{Name: "database.serverTimezone", Ignored: "there is no JDBC: the session's time zone is UTC, in which the log has its times"},
	{Name: "database.allowPublicKeyRetrieval", Ignored: "there is no JDBC: the server's public key is asked for where the login needs it"},
	{Name: "allowPublicKeyRetrieval", Ignored: "there is no JDBC: the server's public key is asked for where the login needs it"},
	{Name: "database.connection.factory.class", Values: []string{""}, Ignored: "it is empty", Refused: needJava},
}
