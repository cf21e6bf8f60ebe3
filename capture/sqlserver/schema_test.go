package sqlserver

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
)

// connector turns Avro schemas into those of Kafka Connect, as its converter does.
type connector struct{ names map[string]map[string]any }

// schema is what is compared: type, name, version, parameters, whether it is
// optional, the default and the fields.
func (c *connector) schema(s any) map[string]any {
	switch s := s.(type) {
	case []any:
		for _, x := range s {
			if x != "null" {
				out := maps.Clone(c.schema(x))
				out["optional"] = true
				return out
			}
		}
	case string:
		if known := c.names[s]; known != nil {
			return known
		}
		return map[string]any{"type": map[string]string{"int": "int32", "long": "int64"}[s], "plain": s, "optional": false}
	case map[string]any:
		return c.object(s)
	}
	return map[string]any{"type": fmt.Sprint(s)}
}

func (c *connector) object(s map[string]any) map[string]any {
	out := map[string]any{"optional": false}
	switch s["type"] {
	case "record":
		out["type"] = "struct"
		var fields []any
		for _, f := range s["fields"].([]any) {
			f := f.(map[string]any)
			x := maps.Clone(c.schema(f["type"]))
			x["field"] = f["name"]
			fields = append(fields, x)
		}
		out["fields"] = fields
	case "array":
		out["type"], out["items"] = "array", c.schema(s["items"])
	default:
		maps.Copy(out, c.schema(s["type"]))
	}
	if t, ok := s["connect.type"]; ok {
		out["type"] = t
	}
	if v, ok := s["connect.version"]; ok {
		out["version"] = v
	}
	if v, ok := s["connect.parameters"]; ok {
		out["parameters"] = v
	}
	if v, ok := s["connect.name"]; ok {
		out["name"] = v
	}
	if v, ok := s["connect.default"]; ok {
		out["default"] = v
	}
	if name, ok := s["name"].(string); ok && s["type"] == "record" {
		c.names[name] = out
		if space, ok := s["namespace"].(string); ok {
			c.names[space+"."+name] = out
		}
		if full, ok := s["connect.name"].(string); ok {
			c.names[full] = out
		}
	}
	return out
}

// unlikeConnect lists how a schema differs from a recorded one.
func (v variant) unlikeConnect(got, want map[string]any, at string) (out []string) {
	if got["type"] == "" || got["type"] == nil {
		got = maps.Clone(got)
		got["type"] = got["plain"]
	}
	for _, k := range []string{"type", "name", "version", "parameters", "optional"} {
		if !reflect.DeepEqual(got[k], want[k]) {
			out = append(out, fmt.Sprintf("%s: %s is %v, want %v", at, k, got[k], want[k]))
		}
	}
	if !v.sameDefault(got["default"], want["default"]) {
		out = append(out, fmt.Sprintf("%s: default is %v, want %v", at, got["default"], want["default"]))
	}
	g, _ := got["fields"].([]any)
	w, _ := want["fields"].([]any)
	if len(g) != len(w) {
		return append(out, fmt.Sprintf("%s: %d fields, want %d", at, len(g), len(w)))
	}
	for i := range g {
		a, b := g[i].(map[string]any), w[i].(map[string]any)
		if a["field"] != b["field"] {
			out = append(out, fmt.Sprintf("%s: field %v, want %v", at, a["field"], b["field"]))
			continue
		}
		out = append(out, v.unlikeConnect(a, b, fmt.Sprintf("%s.%v", at, a["field"]))...)
	}
	return out
}

func (v variant) sameDefault(got, want any) bool {
	if reflect.DeepEqual(got, want) {
		return true
	}
	a, ok1 := got.(string)
	b, ok2 := want.(string)
	if !ok1 || !ok2 {
		return false
	}
	var raw []byte // Avro has a letter for each byte
	for _, r := range a {
		raw = append(raw, byte(r))
	}
	return base64.StdEncoding.EncodeToString(raw) == b || a != b && a == strings.ReplaceAll(b, "''", "'") && v.allows("quotes of defaults")
}

// compareSchemas compares the schemas of keys and values with those that Debezium
// had.
func (v variant) compareSchemas(t *testing.T, all map[string]map[string]any, got, want []record) {
	t.Helper()
	told := make(map[string]bool)
	for i := range min(len(got), len(want)) {
		for _, pair := range [][2]string{{got[i].KeySchema, want[i].KeySchema}, {got[i].ValueSchema, want[i].ValueSchema}} {
			if pair[0] == "" || pair[1] == "" || told[pair[0]+pair[1]] {
				continue
			}
			told[pair[0]+pair[1]] = true
			var s any
			if err := json.Unmarshal([]byte(pair[0]), &s); err != nil {
				t.Fatal(err)
			}
			c := &connector{names: make(map[string]map[string]any)}
			for _, text := range v.unlikeConnect(c.schema(s), all[pair[1]], want[i].Topic) {
				t.Error(text)
			}
		}
	}
	if len(told) < 3 {
		t.Errorf("%d schemas were compared", len(told))
	}
}
