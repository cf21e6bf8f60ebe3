package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"tributary/internal/proc"
	"tributary/internal/testdb"
)

// product captures changes: cdc-source, or Debezium in Kafka Connect.
type product interface {
	name() string
	// start runs it for some tables. All of its state is under prefix, which is
	// also the first part of its topics: the same prefix goes on where it was.
	start(ctx context.Context, d *database, prefix string, tables ...string) (*proc.Process, error)
}

// addFields are what both add to the flat row.
const addFields = "op,table,db,schema,source.ts_ms,lsn,txId,file,pos"

// ours is cdc-source, with the defaults of its options.
type ours struct {
	binary string
	stack  *stack
}

func (ours) name() string { return "ours" }

func (p ours) start(_ context.Context, d *database, prefix string, tables ...string) (*proc.Process, error) {
	s := d.server
	text := fmt.Sprintf(`name: %[1]s
connector.class: %[2]s
topic.prefix: %[1]s
database: {hostname: %[3]s, port: %[4]d, user: %[5]s, password: %[6]s}
table.include.list: %[7]s
transforms: unwrap
transforms.unwrap.add.fields: %[8]s
transforms.unwrap.delete.tombstone.handling.mode: rewrite
schema.name.adjustment.mode: avro
bootstrap.servers: %[9]s
schema.registry.url: %[10]s
`, prefix, strings.ToLower(string(s.Kind)), s.Host, s.Port, s.User, s.Password, included(d, tables), addFields, p.stack.kafka, p.stack.registry)
	if s.Kind == testdb.KindPostgreSQL {
		text += fmt.Sprintf("database.dbname: %s\nslot.name: %s\npublication.name: %[2]s\n", d.name, prefix)
	}
	file := filepath.Join(p.stack.dir, prefix+".yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return p.stack.process("ours-"+prefix, p.binary, "run", "-c", file)
}

func included(d *database, tables []string) string {
	var out []string
	for _, t := range tables {
		out = append(out, d.schema+"."+t)
	}
	return strings.Join(out, ",")
}

// debezium is Debezium 3.0.8 in a standalone worker of Kafka Connect, tuned for
// throughput as its users do, with Kafka's own flags for the JVM.
type debezium struct {
	rig   string
	tool  string
	stack *stack
}

func (debezium) name() string { return "Debezium" }

func (p debezium) start(_ context.Context, d *database, prefix string, tables ...string) (*proc.Process, error) {
	rest, err := freePort()
	if err != nil {
		return nil, err
	}
	worker := filepath.Join(p.stack.dir, prefix+"-worker.properties")
	text := fmt.Sprintf(`bootstrap.servers=%s
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
offset.storage.file.filename=%s
offset.flush.interval.ms=1000
listeners=http://%s
plugin.path=%[4]s/stack/plugins/v30,%[4]s/stack/plugins/conv
connector.client.config.override.policy=All
plugin.discovery=hybrid_warn
`, p.stack.kafka, filepath.Join(p.stack.dir, prefix+".offsets"), rest, p.rig)
	if err := os.WriteFile(worker, []byte(text), 0o600); err != nil {
		return nil, err
	}
	connector := filepath.Join(p.stack.dir, prefix+".properties")
	if err := os.WriteFile(connector, []byte(p.config(d, prefix, tables)), 0o600); err != nil {
		return nil, err
	}
	return p.stack.process("debezium-"+prefix, "java", "-Xms256M", "-Xmx2G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
		"-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent",
		"-Dlog4j.configuration=file:"+filepath.Join(p.tool, "etc", "log4j.properties"),
		"-cp", filepath.Join(p.rig, "stack", "libs-kafka", "*"), "org.apache.kafka.connect.cli.ConnectStandalone", worker, connector)
}

func (p debezium) config(d *database, prefix string, tables []string) string {
	s := d.server
	lines := []string{
		"name=" + prefix, "topic.prefix=" + prefix, "tasks.max=1",
		"database.hostname=" + s.Host, fmt.Sprintf("database.port=%d", s.Port), "database.user=" + s.User, "database.password=" + s.Password,
		"table.include.list=" + included(d, tables),
		"transforms=unwrap", "transforms.unwrap.type=io.debezium.transforms.ExtractNewRecordState",
		"transforms.unwrap.delete.tombstone.handling.mode=rewrite", "transforms.unwrap.add.fields=" + addFields,
		"schema.name.adjustment.mode=avro",
		"max.batch.size=20480", "max.queue.size=81920", "poll.interval.ms=10", "snapshot.fetch.size=20000",
		"producer.override.linger.ms=5", "producer.override.batch.size=1048576", "producer.override.compression.type=lz4", "producer.override.buffer.memory=134217728",
	}
	for _, side := range []string{"key", "value"} {
		lines = append(lines, side+".converter=io.apicurio.registry.utils.converter.AvroConverter",
			side+".converter.apicurio.registry.url="+p.stack.registry,
			side+".converter.apicurio.registry.auto-register=true", side+".converter.apicurio.registry.find-latest=true")
	}
	if s.Kind == testdb.KindPostgreSQL {
		lines = append(lines, "connector.class=io.debezium.connector.postgresql.PostgresConnector", "database.dbname="+d.name,
			"plugin.name=pgoutput", "slot.name="+prefix, "publication.name="+prefix, "publication.autocreate.mode=filtered")
	} else {
		lines = append(lines, "connector.class=io.debezium.connector.mysql.MySqlConnector", "database.server.id=7301", "database.include.list="+d.name,
			"schema.history.internal.kafka.bootstrap.servers="+p.stack.kafka, "schema.history.internal.kafka.topic=history."+prefix,
			"schema.history.internal.store.only.captured.databases.ddl=true", "schema.history.internal.store.only.captured.tables.ddl=true",
			"driver.allowPublicKeyRetrieval=true", "include.schema.changes=false")
	}
	return strings.Join(lines, "\n") + "\n"
}
