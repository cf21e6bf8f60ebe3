package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tributary/internal/config"
)

// The converters of Kafka Connect by which records get their schemas' ids.
const (
	glueConverter     = "com.amazonaws.services.schemaregistry.kafkaconnect.AWSKafkaAvroConverter"
	apicurioConverter = "io.apicurio.registry.utils.converter."
)

// converterURLs are the converters' names for the registry's URL.
var converterURLs = []string{"apicurio.registry.url", "schema.registry.url"}

// converterSecrets are options of converters whose values are not copied, by
// the variables of the environment that they are to be in.
var converterSecrets = map[string]string{
	"basic.auth.user.info": "REGISTRY_USER_INFO", "bearer.auth.token": "REGISTRY_TOKEN", "bearer.auth.client.secret": "REGISTRY_CLIENT_SECRET",
	"apicurio.auth.client.secret": "REGISTRY_CLIENT_SECRET", "apicurio.registry.auth.client.secret": "REGISTRY_CLIENT_SECRET",
	"apicurio.auth.password": "REGISTRY_PASSWORD", "apicurio.registry.auth.password": "REGISTRY_PASSWORD", "schema.registry.password": "REGISTRY_PASSWORD",
}

// takeConverters moves the options of the converters of keys and values out of
// in: what we have them for is for both, and is told once.
func takeConverters(in map[string]string, known map[string]config.Option, out map[string]string, note func(string, ...any)) {
	value, key := converterOf(in, "value.converter"), converterOf(in, "key.converter")
	for _, name := range slices.Sorted(maps.Keys(value)) {
		v := value[name]
		if k, given := key[name]; given && k != v {
			note("not supported: key.converter%s: %s (value.converter%s is taken for keys too)", dotted(name), k, dotted(name))
		}
		full := "value.converter" + dotted(name)
		switch {
		case name == "" || slices.Contains(converterURLs, name):
			continue // below
		case converterSecrets[name] != "" && !strings.HasPrefix(v, "${"):
			out[name] = "${env:" + converterSecrets[name] + "}"
			note("to do: set %s in the environment; %s was not copied", converterSecrets[name], full)
		case name != "" && known[name].Name != "" && legal(known[name].Enum, v):
			out[name] = v
		case known[full].Name != "" && legal(known[full].Enum, strings.ToUpper(v)):
			if out[full] = v; len(known[full].Enum) > 0 {
				out[full] = strings.ToUpper(v)
			}
		default:
			continue // what it is, the list of Debezium's and Connect's options tells
		}
		delete(in, full)
		delete(in, "key.converter"+dotted(name))
	}
	for _, name := range converterURLs {
		if u := cmp.Or(value[name], key[name]); u != "" {
			out["schema.registry.url"] = u
			delete(in, "value.converter."+name)
			delete(in, "key.converter."+name)
		}
	}
	wireOf(value, out)
	if value[""] == glueConverter {
		delete(in, "value.converter")
		if key[""] == glueConverter {
			delete(in, "key.converter")
		}
	}
	autoRegistration(value, out, note)
}

// converterOf returns a converter's options by their names within it, its class
// as "".
func converterOf(in map[string]string, prefix string) map[string]string {
	of := make(map[string]string)
	for key, v := range in {
		if name, ok := strings.CutPrefix(key, prefix); ok && (name == "" || name[0] == '.') {
			of[strings.TrimPrefix(name, ".")] = v
		}
	}
	return of
}

func dotted(name string) string {
	if name == "" {
		return ""
	}
	return "." + name
}

// wireOf tells how a converter's records carry the ids of their schemas.
func wireOf(c, out map[string]string) {
	const option = "apicurio.registry."
	switch v3 := strings.Contains(out["schema.registry.url"], "/registry/v3"); {
	case c[""] == glueConverter:
		out["wire.format"] = "glue"
		if out["schema.registry.url"] == "" {
			out["schema.registry.url"] = fmt.Sprintf("glue://%s", cmp.Or(c["registry.name"], "default-registry"))
		}
	case !strings.HasPrefix(c[""], apicurioConverter):
		out["wire.format"] = "confluent"
	case c[option+"as-confluent"] == "true":
		// Apicurio 2.x puts the globalId into the 4 bytes.
		if out["wire.format"] = "confluent"; c[option+"use-id"] == "" && !v3 {
			out[option+"use-id"] = "globalId"
		}
	case c[option+"headers.enabled"] == "false" && !v3:
		out["wire.format"] = "apicurio"
	case c[option+"headers.enabled"] == "true" || !v3:
		if out["wire.format"] = "apicurio-headers"; c[option+"use-id"] == "" && v3 {
			out[option+"use-id"] = "contentId"
		}
	default:
		out["wire.format"] = "confluent" // with the contentId, as 3.x does
	}
}

// autoRegistration keeps the default of the converter where it is not ours:
// those of Apicurio and AWS register nothing unless told to.
func autoRegistration(c, out map[string]string, note func(string, ...any)) {
	option := ""
	switch {
	case c[""] == glueConverter:
		option = "value.converter.schemaAutoRegistrationEnabled"
	case strings.HasPrefix(c[""], apicurioConverter):
		option = "apicurio.registry.auto-register"
	}
	if option != "" && out[option] == "" {
		out[option] = "false"
		note("to do: the converter registers no schemas, which is its default: %s: true lets them be registered", option)
	}
}

// takeCustomConverters moves what we have of Debezium's converters of columns out of in.
func takeCustomConverters(in, out map[string]string) {
	var others []string
	for name := range strings.SplitSeq(in["converters"], ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if databaseOf(in["connector.class"]) != "mysql" || !strings.HasSuffix(in[name+".type"], ".converters.TinyIntOneToBooleanConverter") {
			others = append(others, name)
			continue
		}
		out["tinyint.boolean.columns"] = cmp.Or(strings.TrimSpace(in[name+".selector"]), ".*")
		if v := in[name+".length.checker"]; v != "" {
			out["tinyint.boolean.length.checker"] = v
		}
		for _, option := range []string{".type", ".selector", ".length.checker"} {
			delete(in, name+option)
		}
	}
	if _, given := in["converters"]; given && len(others) == 0 {
		delete(in, "converters")
	} else if given {
		in["converters"] = strings.Join(others, ",")
	}
}
