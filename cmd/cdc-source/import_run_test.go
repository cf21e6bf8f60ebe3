package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tributary/internal/testdb"
)

// TestImportedConnectorsRun takes connectors as Debezium's users write them, with
// options of all sorts, to records.
func TestImportedConnectorsRun(t *testing.T) {
	const shared = `
		"tasks.max": "1", "topic.prefix": "test", "poll.interval.ms": 100, "max.queue.size": 81290, "max.batch.size": 20480, "errors.max.retries": "3",
		"key.converter": "io.confluent.connect.avro.AvroConverter", "key.converter.schema.registry.url": "%[7]s",
		"value.converter": "io.confluent.connect.avro.AvroConverter", "value.converter.schema.registry.url": "%[7]s",
		"producer.override.compression.type": "zstd", "producer.override.linger.ms": 50, "exactly.once.support": "required",
		"decimal.handling.mode": "string", "sanitize.field.names": true, "tombstones.on.delete": "false", "skipped.operations": "none",
		"topic.creation.groups": "kept", "topic.creation.default.partitions": -1, "topic.creation.default.replication.factor": -1,
		"topic.creation.kept.include": "test\\..*", "topic.creation.kept.cleanup.policy": "compact", "custom.metric.tags": "team=a",
		"column.mask.with.3.chars": ".*\\.secret", "message.key.columns": "(.*).item:code", "incremental.snapshot.watermarking.strategy": "insert_delete",
		"transforms": "unwrap,route", "transforms.unwrap.type": "io.debezium.transforms.ExtractNewRecordState",
		"transforms.unwrap.delete.tombstone.handling.mode": "rewrite", "transforms.unwrap.add.fields": "op,table,source.ts_ms",
		"transforms.route.type": "org.apache.kafka.connect.transforms.RegexRouter", "transforms.route.regex": "test\\..*\\.(.*)", "transforms.route.replacement": "cdc-$1"}}`
	for name, c := range map[string]struct {
		open func(testing.TB) *testdb.Database
		text string
	}{
		"postgres": {testdb.PostgreSQL, `{"name": "%[5]s", "config": {"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "plugin.name": "pgoutput",
			"database.hostname": "%[1]s", "database.port": "%[2]d", "database.user": "%[3]s", "database.password": "%[4]s", "database.dbname": "%[5]s",
			"slot.name": "%[5]s", "slot.drop.on.stop": "true", "slot.max.retries": 6, "publication.name": "%[5]s", "publication.autocreate.mode": "filtered",
			"schema.include.list": "public", "table.exclude.list": "public.other", "snapshot.isolation.mode": "serializable", "lsn.flush.mode": "connector",
			"hstore.handling.mode": "json", "xmin.fetch.interval.ms": "0", "database.tcpKeepAlive": true,`},
		"mysql": {testdb.MySQL, `{"name": "%[5]s", "config": {"connector.class": "io.debezium.connector.mysql.MySqlConnector", "database.server.id": "184054", "database.ssl.mode": "preferred",
			"database.hostname": "%[1]s", "database.port": "%[2]d", "database.user": "%[3]s", "database.password": "%[4]s", "database.include.list": "%[5]s",
			"table.exclude.list": "%[5]s.other", "schema.history.internal.kafka.bootstrap.servers": "%[6]s", "schema.history.internal.kafka.topic": "history",
			"schema.history.internal.store.only.captured.tables.ddl": true, "include.schema.changes": "false", "snapshot.locking.mode": "minimal",
			"binlog.buffer.size": 0, "min.row.count.to.stream.results": 1000, "connect.timeout.ms": 30000, "driver.allowPublicKeyRetrieval": true, "enable.time.adjuster": true,`},
	} {
		t.Run(name, func(t *testing.T) {
			db := c.open(t)
			s := newStack(t)
			text := fmt.Sprintf(c.text+shared, db.Host, db.Port, db.User, db.Password, db.Name, s.kafka, strings.TrimSuffix(s.registry, "/apis/registry/v2")+"/apis/ccompat/v7")
			got, err := convert([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(got, "not supported") {
				t.Errorf("not all is taken:\n%s", got)
			}
			if n := strings.Count(got, "# ignored: "); n < 8 {
				t.Errorf("%d options are told to be ignored:\n%s", n, got)
			}
			t.Setenv("KAFKA_BROKERS", s.kafka)
			t.Setenv("DATABASE_PASSWORD", db.Password)
			path := filepath.Join(t.TempDir(), "imported.yaml")
			if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
			db.MustExec(t, "CREATE TABLE item (id int PRIMARY KEY, code varchar(9) NOT NULL, secret varchar(20), price numeric(8,2))", "CREATE TABLE other (id int PRIMARY KEY)",
				"INSERT INTO item VALUES (1, 'a', 'hidden', 1.50)", "INSERT INTO other VALUES (1)")
			if name == "postgres" { // the log must have the column that is made the key
				db.MustExec(t, "ALTER TABLE item REPLICA IDENTITY FULL")
			}
			stop := start(t, path)
			s.read(t, "cdc-item", 1)
			db.MustExec(t, "UPDATE item SET price = 2.25", "DELETE FROM item")
			records := s.read(t, "cdc-item", 3)
			stop()
			for i, r := range records {
				value := string(r.Value)
				if strings.Contains(value, "hidden") || i < 2 && !strings.Contains(value, "***") || !strings.Contains(string(r.Key), "a") {
					t.Errorf("record %d: key %q value %q", i, r.Key, r.Value)
				}
			}
			if last := string(records[2].Value); !strings.Contains(last, "true") {
				t.Errorf("the delete is %q", last)
			}
		})
	}
}
