package main

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"tributary/internal/fault"
)

// FuzzImport turns connectors into files: what comes out is YAML of texts, with
// the values that went in where they are kept; what is refused needs a human.
func FuzzImport(f *testing.F) {
	for _, s := range []string{
		`{"name":"a","config":{"connector.class":"io.debezium.connector.postgresql.PostgresConnector","topic.prefix":"p","database.hostname":"h","database.password":"x: #'\"","transforms":"unwrap,t","transforms.unwrap.type":"io.debezium.transforms.ExtractNewRecordState","transforms.t.type":"Nonesuch"}}`,
		`{"connector.class":"io.debezium.connector.mysql.MySqlConnector","database.server.name":"p","database.server.id":1,"table.whitelist":"a\nb","heartbeat.action.query":"INSERT INTO a VALUES ('${x}')","predicates":"p","predicates.p.type":"org.apache.kafka.connect.transforms.predicates.TopicNameMatches","predicates.p.pattern":"a.*"}`,
		`{"connector.class":"io.debezium.connector.mariadb.MariaDbConnector","name":"m","topic.prefix":"p","column.mask.hash.SHA-256.with.salt.x":"a.b.c","tombstones.on.delete":true,"max.batch.size":1e3,"a\u0000":null,"snapshot.mode":"custom"}`,
		`{"connector.class":"io.debezium.connector.sqlserver.SqlServerConnector","database.names":"a,b","message.key.columns":"(","transforms":"o","transforms.o.type":"io.debezium.transforms.outbox.EventRouter","transforms.o.table.fields.additional.placement":"x:header"}`,
		`{"connector.class":"postgres"}`, `{"connector.class":"io.debezium.connector.mongodb.MongoDbConnector"}`, `{"config":{}}`, `{"config":7}`, `[]`, `{`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		out, err := convert(text)
		if err != nil {
			if !fault.NeedsHuman(err) {
				t.Errorf("%q: %v needs no human", text, err)
			}
			return
		}
		var got map[string]any
		if err := yaml.Unmarshal([]byte(out), &got); err != nil {
			t.Fatalf("%q becomes\n%s\n%v", text, out, err)
		}
		in, err := readConnector(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range []string{"table.include.list", "heartbeat.action.query", "database.hostname", "database.user"} {
			if v, kept := got[k]; kept && in[k] != "" && v != in[k] && !strings.HasPrefix(in[k], "${") {
				t.Errorf("%s: %q becomes %#v", k, in[k], v)
			}
		}
	})
}
