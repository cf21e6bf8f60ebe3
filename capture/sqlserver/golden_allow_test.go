package sqlserver

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"tributary/capture/capturetest"
	"tributary/envelope"
)

// allowances are the intended differences, and which of them there were.
type allowances struct {
	list capturetest.Differences
	mu   sync.Mutex
	used map[string]bool
}

func readAllowances(t *testing.T) *allowances {
	t.Helper()
	return &allowances{list: capturetest.ReadDifferences(t, "testdata/differences.txt"), used: make(map[string]bool)}
}

// variant is a recording with its allowances.
type variant struct {
	*allowances
	name string // "debezium/sqlserver/crud/default"
}

func (v variant) allows(kind string) bool {
	if !v.list.Topic(v.name, kind) {
		return false
	}
	v.mu.Lock()
	v.used[kind] = true
	v.mu.Unlock()
	return true
}

// allUsed fails for kinds that are in the file and that no recording has.
func (a *allowances) allUsed(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile("testdata/differences.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Split(line, "\t"); !strings.HasPrefix(line, "#") && !a.used[f[1]] {
			t.Errorf("there is no difference %q", f[1])
		}
	}
}

// withoutColumns takes the columns away whose names Avro does not have.
func (v variant) withoutColumns(t *testing.T, want []record, schemas map[string]map[string]any) {
	t.Helper()
	if !v.allows("columns [a b],[ünï],[x-y]") {
		return
	}
	for _, r := range want {
		for _, side := range []string{"before", "after"} {
			for _, name := range oddColumns {
				delete(asMap(r.Value[side]), name)
			}
		}
	}
	for _, s := range schemas {
		withoutFields(s)
	}
}

var oddColumns = []string{"a b", "ünï", "x-y"}

func withoutFields(s map[string]any) {
	list, _ := s["fields"].([]any)
	s["fields"] = slices.DeleteFunc(list, func(x any) bool {
		name, _ := asMap(x)["field"].(string)
		return slices.Contains(oddColumns, name)
	})
	for _, x := range list {
		if asMap(x) != nil && asMap(x)["fields"] != nil {
			withoutFields(asMap(x))
		}
	}
}

// intended reports whether a difference of values is meant.
func (v variant) intended(at string, got, want any) bool {
	text, _ := got.(string)
	raw, _ := base64.StdEncoding.DecodeString(text)
	a, isNumber := got.(json.Number)
	b, _ := want.(json.Number)
	switch {
	case isNumber && strings.ContainsAny(string(b), ".E"):
		x, _ := a.Float64()
		y, err := b.Float64()
		return err == nil && x == y && v.allows("number form")
	case want == nil && (text == envelope.Unavailable || string(raw) == envelope.Unavailable || strings.HasPrefix(text, "__")):
		return v.allows("unavailable")
	case got == nil && want == "AA==" && strings.HasSuffix(at, ".amount"):
		return v.allows("null with a default")
	case strings.HasSuffix(at, ".c_dto") && want == "0000-12-30T00:00:00-14:00":
		return text == "0001-01-01T00:00:00-14:00" && v.allows("old dates")
	}
	return false
}
