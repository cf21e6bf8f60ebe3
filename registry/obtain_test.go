package registry_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"tributary/internal/fault"
	"tributary/registry"
)

// put asks the embedded server for something that a client of ours does not.
func put(t *testing.T, method, url, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %s", method, url, resp.Status)
	}
}

// Without registration, a schema is found by its content, whatever its docs
// and white space are, and nothing is registered.
func TestFindOnly(t *testing.T) {
	for name, path := range apis {
		t.Run(name, func(t *testing.T) {
			base, calls := embedded(t)
			auto := client(t, base+path, registry.Options{})
			want, err := auto.Register(t.Context(), "tickit.sale-value", sale)
			if err != nil {
				t.Fatal(err)
			}
			newer := strings.Replace(sale, `"type":"int"`, `"type":"long"`, 1)
			if _, err := auto.Register(t.Context(), "tickit.sale-value", newer); err != nil {
				t.Fatal(err)
			}
			c := client(t, base+path, registry.Options{Mode: registry.FindOnly})
			got, err := c.Register(t.Context(), "tickit.sale-value", sale) // not the latest
			if err != nil || got != want {
				t.Fatalf("found %s, %v, want %s", got, err, want)
			}
			spaced := strings.ReplaceAll(sale, ",", ",  ")
			if got, err := c.Register(t.Context(), "tickit.sale-value", spaced); err != nil || got.Content != want.Content {
				t.Errorf("found %s, %v, want %s", got, err, want)
			}
			before := calls.Load()
			if _, err := c.Register(t.Context(), "tickit.sale-value", sale); err != nil || calls.Load() != before {
				t.Errorf("%d calls for what is cached, %v", calls.Load()-before, err)
			}
			other := strings.Replace(sale, `"int"`, `"string"`, 1)
			for _, artifact := range []string{"tickit.sale-value", "tickit.nothing-value"} {
				_, err := c.Register(t.Context(), artifact, other)
				if !errors.Is(err, registry.ErrNotRegistered) || !fault.NeedsHuman(err) || !strings.Contains(fault.Hint(err), "auto.register.schemas") || !strings.Contains(err.Error(), artifact) {
					t.Errorf("%s: error %v, hint %s", artifact, err, fault.Hint(err))
				}
			}
			// And so it is in the registry: nothing was added.
			if _, err := c.Schema(t.Context(), registry.ID{Content: 3}); !errors.Is(err, registry.ErrUnknownID) {
				t.Errorf("something was registered: %v", err)
			}
		})
	}
}

// The latest version is taken if records fit it to the byte.
func TestFindLatest(t *testing.T) {
	for name, path := range apis {
		t.Run(name, func(t *testing.T) {
			base, _ := embedded(t)
			auto := client(t, base+path, registry.Options{})
			if _, err := auto.Register(t.Context(), "tickit.sale-value", sale); err != nil {
				t.Fatal(err)
			}
			documented := strings.Replace(sale, `"name":"id"`, `"for":"the key","name":"id"`, 1)
			latest, err := auto.Register(t.Context(), "tickit.sale-value", documented)
			if err != nil {
				t.Fatal(err)
			}
			c := client(t, base+path, registry.Options{Mode: registry.FindLatest})
			got, err := c.Register(t.Context(), "tickit.sale-value", sale)
			if err != nil || got.Content != latest.Content {
				t.Fatalf("latest is %s, %v, want %s", got, err, latest)
			}
			if text, err := c.Schema(t.Context(), got); err != nil || !strings.Contains(text, "the key") {
				t.Errorf("schema of the latest: %s, %v", text, err)
			}
			wider := strings.Replace(sale, `"int"`, `"long"`, 1)
			_, err = c.Register(t.Context(), "tickit.sale-value", wider)
			if !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "id changed its type from int to long") || fault.Hint(err) == "" {
				t.Errorf("records that do not fit: %v, hint %s", err, fault.Hint(err))
			}
			if _, err := c.Register(t.Context(), "tickit.nothing-value", sale); !errors.Is(err, registry.ErrNotRegistered) || !fault.NeedsHuman(err) {
				t.Errorf("nothing there: %v", err)
			}
		})
	}
}

const envelope = `{"type":"record","name":"Envelope","namespace":"tickit.ems.event","fields":[{"name":"before","type":["null",{"type":"record","name":"Value","fields":[%s]}],"default":null},{"name":"after","type":["null","Value"],"default":null},{"name":"op","type":"string"}]}`

// What an ALTER of a table does to its schema is refused by the rule, and the
// error names the field, the rule, and what can be done.
func TestRefusalNamesTheField(t *testing.T) {
	const id, price = `{"name":"id","type":"int"}`, `{"name":"price","type":"double"}`
	for _, c := range []struct {
		level, before, after string
		field, remedy        string // "" is accepted
	}{
		{"BACKWARD", id, id + "," + price, "before.price was added without a default", "before.price: give it a default, or let it be null"},
		{"FULL_TRANSITIVE", id, id + "," + price, "before.price was added without a default", "let it be null"},
		{"FORWARD", id, id + "," + price, "", ""},
		{"FORWARD", id + "," + price, id, "before.price was removed", "before.price: keep the field"},
		{"BACKWARD", id + "," + price, id, "", ""},
		{"BACKWARD", id, strings.Replace(id, "int", "string", 1), "before.id changed its type from int to string", "add another field"},
		{"FULL", id, strings.Replace(id, "int", "long", 1), "before.id changed its type from int to long", "add another field"},
		{"BACKWARD", id, strings.Replace(id, "int", "long", 1), "", ""},
		{"BACKWARD", `{"name":"id","type":["null","int"]}`, id, "before.id may not be null any more", "let it be null"},
	} {
		for name, path := range apis {
			t.Run(fmt.Sprint(c.level, " ", c.field, " ", name), func(t *testing.T) {
				base, _ := embedded(t)
				cl := client(t, base+path, registry.Options{})
				register := func(fields string) error {
					_, err := cl.RegisterTopic(t.Context(), "tickit.ems.event", false, fmt.Sprintf(envelope, fields))
					return err
				}
				if err := register(c.before); err != nil {
					t.Fatal(err)
				}
				put(t, "POST", base+"/apis/registry/v3/groups/default/artifacts/tickit.ems.event-value/rules", `{"ruleType":"COMPATIBILITY","config":"`+c.level+`"}`)
				err := register(c.after)
				if c.field == "" {
					if err != nil {
						t.Fatal(err)
					}
					return
				}
				hint := fault.Hint(err)
				if !errors.Is(err, registry.ErrIncompatible) || !fault.NeedsHuman(err) || !strings.Contains(err.Error(), c.field) || !strings.Contains(err.Error(), "tickit.ems.event-value") {
					t.Errorf("error %v", err)
				}
				for _, want := range []string{c.level, c.remedy, "NONE", "tickit.ems.event-value", "start again"} {
					if !strings.Contains(hint, want) {
						t.Errorf("hint lacks %q: %s", want, hint)
					}
				}
				// As the hint says: without the rule it is taken.
				put(t, "PUT", base+"/apis/registry/v3/groups/default/artifacts/tickit.ems.event-value/rules/COMPATIBILITY", `{"ruleType":"COMPATIBILITY","config":"NONE"}`)
				if err := register(c.after); err != nil {
					t.Errorf("without the rule: %v", err)
				}
			})
		}
	}
}

// A rule for everything, or for the group, is told as well as the artifact's.
func TestRefusalByAGlobalRule(t *testing.T) {
	for name, path := range apis {
		t.Run(name, func(t *testing.T) {
			base, _ := embedded(t)
			cl := client(t, base+path, registry.Options{})
			put(t, "POST", base+"/apis/registry/v3/admin/rules", `{"ruleType":"COMPATIBILITY","config":"FULL"}`)
			if _, err := cl.Register(t.Context(), "a-value", fmt.Sprintf(envelope, `{"name":"id","type":"int"}`)); err != nil {
				t.Fatal(err)
			}
			_, err := cl.Register(t.Context(), "a-value", fmt.Sprintf(envelope, `{"name":"id","type":"int"},{"name":"n","type":"int"}`))
			if err == nil || !strings.Contains(err.Error(), "before.n was added") || !strings.Contains(fault.Hint(err), "FULL") {
				t.Errorf("error %v, hint %s", err, fault.Hint(err))
			}
		})
	}
}

// Every naming strategy names artifacts as the Java classes do.
func TestNamings(t *testing.T) {
	base, _ := embedded(t)
	const v3 = "/apis/registry/v3"
	const text = `{"type":"record","name":"Sale","namespace":"tickit.ems","fields":[]}`
	for i, c := range []struct{ name, group, key, value string }{
		{"io.confluent.kafka.serializers.subject.TopicNameStrategy", "default", "t-key", "t-value"},
		{"io.apicurio.registry.serde.strategy.TopicIdStrategy", "default", "t-key", "t-value"},
		{"io.apicurio.registry.serde.strategy.SimpleTopicIdStrategy", "default", "t", "t"},
		{"io.confluent.kafka.serializers.subject.RecordNameStrategy", "default", "tickit.ems.Sale", "tickit.ems.Sale"},
		{"io.apicurio.registry.serde.avro.strategy.QualifiedRecordIdStrategy", "default", "tickit.ems.Sale", "tickit.ems.Sale"},
		{"io.apicurio.registry.serde.avro.strategy.RecordIdStrategy", "tickit.ems", "Sale", "Sale"},
		{"io.confluent.kafka.serializers.subject.TopicRecordNameStrategy", "default", "t-tickit.ems.Sale", "t-tickit.ems.Sale"},
		{"io.apicurio.registry.serde.avro.strategy.TopicRecordIdStrategy", "tickit.ems", "t-Sale", "t-Sale"},
	} {
		naming, err := registry.ParseNaming(c.name)
		if err != nil {
			t.Fatal(err)
		}
		cl := client(t, base+v3, registry.Options{Naming: naming})
		for _, isKey := range []bool{true, false} {
			// A text of its own each time: a new version of the artifact.
			if _, err := cl.RegisterTopic(t.Context(), "t", isKey, strings.Replace(text, `"fields"`, fmt.Sprintf(`"n":"%d%v","fields"`, i, isKey), 1)); err != nil {
				t.Fatal(err)
			}
			id := c.value
			if isKey {
				id = c.key
			}
			resp, err := http.Get(base + v3 + "/groups/" + c.group + "/artifacts/" + id + "/versions/branch=latest/content")
			if err != nil {
				t.Fatal(err)
			}
			var got struct{ N string }
			err = json.NewDecoder(resp.Body).Decode(&got)
			resp.Body.Close()
			if err != nil || got.N != fmt.Sprintf("%d%v", i, isKey) {
				t.Errorf("%s, key %v: artifact %s of group %s has %q, %v", c.name, isKey, id, c.group, got.N, err)
			}
		}
	}
	if _, err := registry.ParseNaming("SomeStrategy"); err == nil || !strings.Contains(err.Error(), "TopicNameStrategy") {
		t.Errorf("unknown strategy: %v", err)
	}
	cl := client(t, base+v3, registry.Options{Naming: registry.RecordName})
	if _, err := cl.RegisterTopic(t.Context(), "t", true, `"string"`); !fault.NeedsHuman(err) {
		t.Errorf("a schema without a name: %v", err)
	}
}
