package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"tributary/internal/config"
)

// The options of the converters of Confluent, Apicurio and AWS come over, and
// what they make is a file that loads.
func TestImportConverters(t *testing.T) {
	for name, c := range map[string]struct {
		converter map[string]string
		want      []string // lines
	}{
		"aws": {map[string]string{
			"": glueConverter, "region": "eu-west-1", "registry.name": "cdc", "schemaAutoRegistrationEnabled": "true", "compatibility": "backward_all", "compression": "ZLIB", "avroRecordType": "GENERIC_RECORD",
		}, []string{
			`schema.registry.url: "glue://cdc"`, "wire.format: glue", "value.converter.region: eu-west-1", "value.converter.registry.name: cdc", "value.converter.compatibility: BACKWARD_ALL",
			"value.converter.compression: ZLIB", `value.converter.schemaAutoRegistrationEnabled: true`,
		}},
		"aws without registration": {map[string]string{"": glueConverter, "region": "eu-west-1"}, []string{
			`schema.registry.url: "glue://default-registry"`, "value.converter.schemaAutoRegistrationEnabled: false", "# to do: the converter registers no schemas",
		}},
		"confluent with OAuth": {map[string]string{
			"": "io.confluent.connect.avro.AvroConverter", "schema.registry.url": "https://sr", "bearer.auth.credentials.source": "OAUTHBEARER", "bearer.auth.issuer.endpoint.url": "https://idp/token",
			"bearer.auth.client.id": "me", "bearer.auth.client.secret": "s3cret", "bearer.auth.scope": "sr", "auto.register.schemas": "false", "use.latest.version": "true",
			"value.subject.name.strategy": "io.confluent.kafka.serializers.subject.TopicRecordNameStrategy",
		}, []string{
			`schema.registry.url: "https://sr"`, "wire.format: confluent", "bearer.auth.client.id: me", "REGISTRY_CLIENT_SECRET", "auto.register.schemas: false", "use.latest.version: true",
			"value.subject.name.strategy: io.confluent.kafka.serializers.subject.TopicRecordNameStrategy",
		}},
		"confluent with user info": {map[string]string{"": "io.confluent.connect.avro.AvroConverter", "schema.registry.url": "https://sr", "basic.auth.credentials.source": "USER_INFO", "basic.auth.user.info": "u:s3cret"}, []string{
			"basic.auth.credentials.source: USER_INFO", "REGISTRY_USER_INFO",
		}},
		"apicurio 2": {map[string]string{
			"": apicurioConverter + "AvroConverter", "apicurio.registry.url": "http://r/apis/registry/v2", "apicurio.registry.auto-register": "true", "apicurio.registry.find-latest": "true",
			"apicurio.auth.service.token.endpoint": "http://idp/token", "apicurio.auth.client.id": "me", "apicurio.auth.client.secret": "s3cret",
		}, []string{
			"wire.format: apicurio-headers", "apicurio.registry.auto-register: true", "apicurio.registry.find-latest: true", "apicurio.auth.client.id: me", "REGISTRY_CLIENT_SECRET",
		}},
		"apicurio 2 as Confluent": {map[string]string{"": apicurioConverter + "AvroConverter", "apicurio.registry.url": "http://r/apis/registry/v2", "apicurio.registry.as-confluent": "true"}, []string{
			"wire.format: confluent", "apicurio.registry.use-id: globalId", "apicurio.registry.auto-register: false",
		}},
		"apicurio 2 in the payload": {map[string]string{"": apicurioConverter + "AvroConverter", "apicurio.registry.url": "http://r/apis/registry/v2", "apicurio.registry.headers.enabled": "false"}, []string{"wire.format: apicurio\n"}},
		"apicurio 3":                {map[string]string{"": apicurioConverter + "AvroConverter", "apicurio.registry.url": "http://r/apis/registry/v3"}, []string{"wire.format: confluent"}},
		"apicurio 3 in headers": {map[string]string{"": apicurioConverter + "AvroConverter", "apicurio.registry.url": "http://r/apis/registry/v3", "apicurio.registry.headers.enabled": "true"}, []string{
			"wire.format: apicurio-headers", "apicurio.registry.use-id: contentId",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			in := map[string]string{
				"name": "x", "connector.class": "io.debezium.connector.postgresql.PostgresConnector", "topic.prefix": "p", "database.hostname": "h", "database.user": "u", "database.dbname": "d",
				"bootstrap.servers": "k:1",
			}
			for k, v := range c.converter {
				in["value.converter"+dotted(k)], in["key.converter"+dotted(k)] = v, v
			}
			text, err := json.Marshal(in)
			if err != nil {
				t.Fatal(err)
			}
			got, err := convert(text)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in\n%s", want, got)
				}
			}
			if strings.Contains(got, "s3cret") || strings.Contains(got, "not supported") {
				t.Errorf("a secret was copied, or something is said not to be supported:\n%s", got)
			}
			for _, env := range []string{"REGISTRY_CLIENT_SECRET", "REGISTRY_USER_INFO", "DATABASE_PASSWORD"} {
				t.Setenv(env, "u:p")
			}
			o := &postgresOptions{}
			if err := config.Parse("imported.yaml", []byte(got), o); err != nil {
				t.Errorf("%v\n%s", err, got)
			}
			if _, err := o.Emit.Registry(nil); err != nil {
				t.Error(err)
			}
		})
	}
	different := fmt.Sprintf(`{"name":"x","connector.class":"io.debezium.connector.postgresql.PostgresConnector","value.converter":%q,"key.converter":"org.apache.kafka.connect.storage.StringConverter"}`, glueConverter)
	if got, err := convert([]byte(different)); err != nil || !strings.Contains(got, "# not supported: key.converter: org.apache.kafka.connect.storage.StringConverter") {
		t.Errorf("another converter for keys: %v\n%s", err, got)
	}
}
