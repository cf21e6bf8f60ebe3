package mysql

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"

	"tributary/capture/capturetest"
	"tributary/envelope"
)

// schemaComparison compares the changes of schemas with the recorded ones, in
// order.
type schemaComparison struct {
	want []capturetest.Record
	next int
}

func (s *schemaComparison) change(t *testing.T, x *comparison, c envelope.Change) {
	t.Helper()
	if slices.ContainsFunc(c.Event.Schema.Changes, func(tc envelope.TableChange) bool { return x.leftOut(tc.ID) }) {
		return
	}
	if s.next >= len(s.want) {
		t.Errorf("change of a schema %d: Debezium has no more: %s", s.next+1, c.Event.Schema.DDL)
		return
	}
	want := &s.want[s.next]
	s.next++
	at := fmt.Sprintf("change of a schema %d", s.next)
	snapshot := c.Source.Snapshot == envelope.SnapshotTrue
	ms, _ := capturetest.Int(want.Payload, "ts_ms")
	c.TsNs = ms * 1e6
	if x.fill {
		fillSource(&c, want)
		if strings.Contains(capturetest.Text(want.Payload, "ddl"), "`root`@`localhost`") { // who recorded it
			c.Event.Schema.DDL = strings.Replace(c.Event.Schema.DDL, "`tributary`@`%`", "`root`@`localhost`", 1)
		}
		if ddl := capturetest.Text(want.Payload, "ddl"); snapshot && x.golden.other && strings.HasPrefix(ddl, "CREATE TABLE") {
			c.Event.Schema.DDL = ddl // another release has other words for it
		}
		if ddl := capturetest.Text(want.Payload, "ddl"); strings.HasPrefix(ddl, "SET character_set_server") && strings.HasPrefix(c.Event.Schema.DDL, "SET character_set_server") {
			c.Event.Schema.DDL = ddl // of the server of the run
		}
		if snapshot {
			c.Source.TsNs, _ = capturetest.Int(want.Source, "ts_ns")
		}
	}
	f := x.format.Event(envelope.DDL)
	var m envelope.Messages
	f.Append(&m, envelope.Wire{}, &c)
	got := &m.List[0]
	if f.Topic != want.Topic || f.KeySchema != want.KeySchema {
		t.Errorf("%s to %s, want %s\n got %s\nwant %s", at, f.Topic, want.Topic, f.KeySchema, want.KeySchema)
	}
	schema := make([]any, 2)
	for i, text := range []string{f.ValueSchema, want.ValueSchema} {
		if err := json.Unmarshal([]byte(text), &schema[i]); err != nil {
			t.Fatal(err)
		}
	}
	for _, field := range unlike(schema[0], schema[1], "") {
		if !x.differ.field(x.golden.variant.Name, field, x.fill) {
			t.Errorf("%s: schema of %s\n got %v\nwant %v", at, field, schemaAt(schema[0], field), schemaAt(schema[1], field))
		}
	}
	if !bytes.Equal(got.Key, want.Key) {
		t.Errorf("%s: key %q, want %q", at, got.Key, want.Key)
	}
	if bytes.Equal(got.Value, want.Value) {
		return
	}
	a, b := flat(t, f.ValueSchema, got.Value), flat(t, want.ValueSchema, want.Value)
	for _, name := range unlikeFlat(a, b) {
		if !x.differ.field(x.golden.variant.Name, name, x.fill) {
			t.Errorf("%s: %s is %q, want %q (%s)", at, name, a[name], b[name], c.Event.Schema.DDL)
		}
	}
}

func (s *schemaComparison) done(t *testing.T, x *comparison) {
	t.Helper()
	for _, r := range s.want[min(s.next, len(s.want)):] {
		if x.golden.variant.Name != "" && !x.differ.field(x.golden.variant.Name, "schema.missing", x.fill) {
			t.Errorf("no change of a schema where Debezium has one: %s", capturetest.Text(r.Payload, "ddl"))
		}
	}
}

// flat lists the fields of a record: "schema.source.file",
// "schema.g_a.t.column.length".
func flat(t *testing.T, schema string, value []byte) map[string]string {
	t.Helper()
	var s any
	if err := json.Unmarshal([]byte(schema), &s); err != nil {
		t.Fatal(err)
	}
	v, err := decodeAvro(s, value)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	flatten(out, "schema", v)
	return out
}

func flatten(out map[string]string, at string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			name := at + "." + k
			if k == "table" && at != "schema.source" || k == "columns" || k == "tableChanges" {
				name = at
			}
			flatten(out, name, e)
		}
	case []any:
		for i, e := range v {
			name := fmt.Sprint(i)
			if m, ok := e.(map[string]any); ok {
				if n, ok := m["name"].(string); ok {
					name = n
				} else if id, ok := m["id"].(string); ok {
					name = strings.ReplaceAll(id, `"`, "")
				}
			}
			flatten(out, at+"."+name, e)
		}
		if len(v) == 0 {
			out[at] = "[]"
		}
	default:
		out[at] = fmt.Sprint(v)
	}
}

func unlikeFlat(a, b map[string]string) []string {
	var out []string
	if reflect.DeepEqual(a, b) {
		return nil
	}
	for k := range a {
		if a[k] != b[k] {
			out = append(out, k)
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			out = append(out, k)
		}
	}
	sort.Strings(out)
	return out
}
