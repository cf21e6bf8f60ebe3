package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"tributary/internal/config"
	"tributary/internal/fault"
	"tributary/internal/golden"
)

func TestImport(t *testing.T) {
	// The connector of the replaced system, as it was given to Kafka Connect.
	got, err := convert([]byte(`{"name": "tickit-postgres", "config": {
		"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "tasks.max": 1,
		"plugin.name": "pgoutput", "database.hostname": "db", "database.port": "5432", "database.user": "u",
		"database.password": "s3cret", "database.dbname": "tickit", "database.server.name": "tickit",
		"table.include.list": "ems.category,ems.event", "decimal.handling.mode": "double",
		"schema.name.adjustment.mode": "avro", "transforms": "unwrap,js,mine",
		"transforms.unwrap.type": "io.debezium.transforms.ExtractNewRecordState",
		"transforms.unwrap.delete.handling.mode": "rewrite", "transforms.unwrap.drop.tombstones": true,
		"transforms.unwrap.add.fields": "name,op,db,table,schema,lsn,source.ts_ms",
		"value.converter": "io.apicurio.registry.utils.converter.AvroConverter",
		"value.converter.apicurio.registry.url": "http://reg:8080/apis/registry/v2",
		"a.b.c": "d", "column.mask.hash.CRC.with.salt.x": "a.b.c", "column.mask.with.8.chars": "a.b.d", "message.key.columns": "ems.event:id",
		"transforms.js.type": "io.debezium.transforms.Filter", "transforms.js.condition": "value.op = 'u'",
		"transforms.mine.type": "com.example.Mine", "transforms.mine.secret": "x", "signal.data.collection": "a.b", "interval.handling.mode": "string"}}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"topic.prefix: tickit\n", "wire.format: apicurio-headers\n", "schema.registry.url: \"http://reg:8080/apis/registry/v2\"\n",
		"# not supported: a.b.c: d\n", "# not supported: transform mine: ", "# not supported: column.mask.hash.CRC.with.salt.x: a.b.c (hash algorithm", "column.mask.with.8.chars: a.b.d\n", "# to do: set bootstrap.servers",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "s3cret") {
		t.Errorf("the password was copied:\n%s", got)
	}
	t.Setenv("KAFKA_BROKERS", "k:9092")
	t.Setenv("DATABASE_PASSWORD", "p")
	o := &postgresOptions{}
	if err := config.Parse("imported.yaml", []byte(got), o); err != nil {
		t.Fatalf("%v\n%s", err, got)
	}
	if o.Source.Database != "tickit" || o.Source.Password.Reveal() != "p" || o.Source.Transform["transforms.unwrap.add.fields"] == "" {
		t.Errorf("read back: %+v", o.Source)
	}
}

// TestImportRecorded imports every recorded connector of a database that we
// have, and reads the result.
func TestImportRecorded(t *testing.T) {
	files, _ := golden.Files(t, "debezium/*/*/*/connector.json")
	for _, name := range []string{"KAFKA_BROKERS", "REGISTRY_URL", "DATABASE_PASSWORD"} {
		t.Setenv(name, "x:1")
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		// Placeholders of the recording.
		for k, v := range map[string]string{"${DB_HOST}": "h", "${DB_PORT}": "1", "${DB_USER}": "u", "${DB_PASSWORD}": "p", "${REGISTRY}": "http://r", "${BOOTSTRAP}": "k:1"} {
			text = []byte(strings.ReplaceAll(string(text), k, v))
		}
		got, err := convert(text)
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		var in map[string]string
		if err := json.Unmarshal(text, &in); err != nil {
			t.Fatal(err)
		}
		var dst any = &postgresOptions{}
		if databaseOf(in["connector.class"]) == "mysql" {
			dst = &mysqlOptions{}
		}
		if err := config.Parse(f, []byte(got), dst); err != nil {
			t.Errorf("%v\n%s", err, got)
		}
	}
}

func TestImportRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"{": "JSON", `{"connector.class": "io.debezium.connector.oracle.OracleConnector"}`: "oracle", `[]`: "json",
	} {
		if got, err := convert([]byte(text)); !fault.NeedsHuman(err) || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(want)) {
			t.Errorf("%s: %v, %q", text, err, got)
		}
	}
}

// TestImportSaysWhatItDidNotTake: what stands in comments of the file is told too.
func TestImportSaysWhatItDidNotTake(t *testing.T) {
	got, err := convert([]byte(`{"name": "c", "config": {"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "topic.prefix": "t",
		"database.hostname": "h", "database.user": "u", "database.password": "p", "database.dbname": "d", "bootstrap.servers": "k:1",
		"converters": "x", "x.type": "com.example.Own", "database.connectionTimeZone": "UTC", "allowPublicKeyRetrieval": "true"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got, "event.converting.failure.handling.mode: warn\n") {
		t.Errorf("Debezium's default for values without form is not kept:\n%s", got)
	}
	for _, want := range []string{"# ignored: database.connectionTimeZone: ", "# ignored: allowPublicKeyRetrieval: "} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing:\n%s", want, got)
		}
	}
	text := summary(got)
	if n := strings.Count(got, "# not supported: "); n != 2 || !strings.HasPrefix(text, "import: 2 options were not taken") || !strings.Contains(text, "  converters: x") || !strings.Contains(text, "things are to be done") {
		t.Errorf("%d options, summary:\n%s", n, text)
	}
	if text := summary("name: c\n# ignored: x: y\n"); text != "" {
		t.Errorf("summary of a file that has all: %s", text)
	}
}

// TestImportTinyintConverter takes Debezium's own converter over.
func TestImportTinyintConverter(t *testing.T) {
	for _, class := range []string{"io.debezium.connector.binlog.converters.TinyIntOneToBooleanConverter", "io.debezium.connector.mysql.converters.TinyIntOneToBooleanConverter"} {
		got, err := convert([]byte(`{"name": "c", "config": {"connector.class": "io.debezium.connector.mysql.MySqlConnector", "topic.prefix": "t",
			"converters": "bool", "bool.type": "` + class + `", "bool.selector": "d.a.x", "bool.length.checker": "false"}}`))
		if err != nil || strings.Contains(got, "not supported") || !strings.Contains(got, "tinyint.boolean.columns: d.a.x\ntinyint.boolean.length.checker: false\n") {
			t.Errorf("%v\n%s", err, got)
		}
	}
}
