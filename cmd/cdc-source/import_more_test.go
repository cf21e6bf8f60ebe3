package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tributary/internal/testdb"
)

// TestImportedConnectorsWithMoreRun takes connectors with an outbox, predicates, a
// signal table and a heartbeat query to records, for each database.
func TestImportedConnectorsWithMoreRun(t *testing.T) {
	const shared = `
		"topic.prefix": "test", "heartbeat.interval.ms": 200, "heartbeat.action.query": "UPDATE %[8]sbeat SET n = n + 1", "signal.data.collection": "%[9]s.sig",
		"table.include.list": "%[9]s.item,%[9]s.outbox,%[9]s.sig", "incremental.snapshot.chunk.size": 2, "tombstones.on.delete": false,
		"key.converter": "io.confluent.connect.avro.AvroConverter", "key.converter.schema.registry.url": "%[7]s",
		"value.converter": "io.confluent.connect.avro.AvroConverter", "value.converter.schema.registry.url": "%[7]s",
		"predicates": "isOutbox", "predicates.isOutbox.type": "org.apache.kafka.connect.transforms.predicates.TopicNameMatches", "predicates.isOutbox.pattern": ".*outbox.*",
		"transforms": "outbox,unwrap,mask,dt",
		"transforms.outbox.type": "io.debezium.transforms.outbox.EventRouter", "transforms.outbox.predicate": "isOutbox",
		"transforms.outbox.table.fields.additional.placement": "kind:header:eventType",
		"transforms.unwrap.type": "io.debezium.transforms.ExtractNewRecordState", "transforms.unwrap.predicate": "isOutbox", "transforms.unwrap.negate": true,
		"transforms.unwrap.delete.tombstone.handling.mode": "rewrite",
		"transforms.mask.type": "org.apache.kafka.connect.transforms.MaskField$Value", "transforms.mask.fields": "secret", "transforms.mask.replacement": "***",
		"transforms.mask.predicate": "isOutbox", "transforms.mask.negate": "true",
		"transforms.dt.type": "org.apache.kafka.connect.transforms.TimestampConverter$Value", "transforms.dt.field": "dt", "transforms.dt.target.type": "unix",
		"transforms.dt.predicate": "isOutbox", "transforms.dt.negate": "true"}}`
	for name, c := range map[string]struct {
		open         func(testing.TB) *testdb.Database
		text, schema string
	}{
		"postgres": {testdb.PostgreSQL, `{"name": "%[5]s", "config": {"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "plugin.name": "pgoutput",
			"database.hostname": "%[1]s", "database.port": "%[2]d", "database.user": "%[3]s", "database.password": "%[4]s", "database.dbname": "%[5]s",
			"slot.name": "%[5]s", "publication.name": "%[5]s", "publication.autocreate.mode": "filtered",`, "public"},
		"mysql": {testdb.MySQL, `{"name": "%[5]s", "config": {"connector.class": "io.debezium.connector.mysql.MySqlConnector", "database.server.id": "184055", "include.schema.changes": false,
			"database.hostname": "%[1]s", "database.port": "%[2]d", "database.user": "%[3]s", "database.password": "%[4]s", "database.include.list": "%[5]s",`, ""},
		"mariadb": {testdb.MariaDB, `{"name": "%[5]s", "config": {"connector.class": "io.debezium.connector.mariadb.MariaDbConnector", "database.server.id": "184056", "include.schema.changes": false,
			"database.hostname": "%[1]s", "database.port": "%[2]d", "database.user": "%[3]s", "database.password": "%[4]s", "database.include.list": "%[5]s",
			"schema.history.internal.kafka.bootstrap.servers": "%[6]s", "schema.history.internal.kafka.topic": "history",`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			db := c.open(t)
			s := newStack(t)
			schema, qualified := c.schema, ""
			if schema == "" {
				schema, qualified = db.Name, db.Name+"."
			}
			got, err := convert(fmt.Appendf(nil, c.text+shared, db.Host, db.Port, db.User, db.Password, db.Name, s.kafka,
				strings.TrimSuffix(s.registry, "/apis/registry/v2")+"/apis/ccompat/v7", qualified, schema))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(got, "not supported") {
				t.Errorf("not all is taken:\n%s", got)
			}
			t.Setenv("KAFKA_BROKERS", s.kafka)
			t.Setenv("DATABASE_PASSWORD", db.Password)
			path := filepath.Join(t.TempDir(), "imported.yaml")
			if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
			db.MustExec(t, "CREATE TABLE item (id int PRIMARY KEY, secret varchar(20))", "INSERT INTO item VALUES (1, 'hidden'), (2, NULL), (3, 'hidden')",
				"CREATE TABLE outbox (id varchar(36) PRIMARY KEY, aggregatetype varchar(20) NOT NULL, aggregateid varchar(20) NOT NULL, kind varchar(20), payload varchar(200))",
				"CREATE TABLE sig (id varchar(42) PRIMARY KEY, type varchar(32) NOT NULL, data varchar(2000) NULL)", "CREATE TABLE beat (n int)", "INSERT INTO beat VALUES (0)")
			stop := start(t, path)
			items := "test." + schema + ".item"
			s.read(t, items, 3)
			db.MustExec(t, "INSERT INTO outbox VALUES ('e1', 'order', '42', 'made', '{\"a\":1}')", "DELETE FROM outbox", "UPDATE item SET secret = 'hidden too' WHERE id = 2")
			s.read(t, items, 4)
			event := s.read(t, "outbox.event.order", 1)[0]
			if !strings.Contains(string(event.Value), `{"a":1}`) || !strings.Contains(string(event.Key), "42") {
				t.Errorf("event %q: %q", event.Key, event.Value)
			}
			db.MustExec(t, fmt.Sprintf(`INSERT INTO sig VALUES ('1', 'execute-snapshot', '{"data-collections": ["%s.item"], "additional-conditions": [{"data-collection": "%[1]s.item", "filter": "id > 1"}]}')`, schema))
			for i, r := range s.read(t, items, 6) {
				if v := string(r.Value); strings.Contains(v, "hidden") || i != 1 && !strings.Contains(v, "***") {
					t.Errorf("record %d is %q", i, v)
				}
			}
			s.atLeast(t, "__debezium-heartbeat.test", 2)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			for {
				rows, err := db.Query(ctx, "SELECT n FROM beat")
				if err != nil {
					t.Fatal(err)
				}
				if rows[0][0] != "0" {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
			stop()
		})
	}
}
