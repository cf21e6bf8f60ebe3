package snapshot

import (
	"encoding/json"
	"log/slog"
	"reflect"
	"testing"

	"tributary/capture"
	"tributary/envelope"
	"tributary/internal/fault"
)

// FuzzSignal reads records of the signal topic and lines of the signal file: what
// is taken can be obeyed, and is the same when it is written and read again.
func FuzzSignal(f *testing.F) {
	for _, s := range []string{
		`{"id":"1","type":"execute-snapshot","data":{"data-collections":["s.t"],"type":"incremental","additional-conditions":[{"data-collection":"s.t","filter":"id > 1"}],"surrogate-key":"x"}}`,
		`{"type":"execute-snapshot","data":{"data-collections":["S\\..*|\"b\""],"type":"BLOCKING","additional-condition":"WITH x AS (SELECT 1) SELECT * FROM x;"}}`,
		`{"type":"stop-snapshot"}`, `{"type":"pause-snapshot","data":null}`, `{"type":"log","data":{"message":"at {}"}}`, `{"type":"execute-snapshot","data":{"data-collections":["("]}}`, `[]`, `{`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseMessage(text)
		if err != nil {
			return
		}
		obey(t, s)
		again, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseMessage(again)
		if err != nil || !reflect.DeepEqual(normal(s), normal(back)) {
			t.Errorf("%s becomes %s: %v", text, again, err)
		}
	})
}

// normal has nil for empty lists, which JSON leaves out.
func normal(s Signal) Signal {
	if len(s.Data.Collections) == 0 {
		s.Data.Collections = nil
	}
	if len(s.Data.Conditions) == 0 {
		s.Data.Conditions = nil
	}
	return s
}

// obey has a connector take a signal.
func obey(t *testing.T, s Signal) {
	t.Helper()
	n := &numbers{}
	x := newIncremental(n)
	x.last = capture.Position("1")
	x.Signal(s)
	if err := x.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, parts := range x.at.Blocks {
		for _, p := range parts {
			if p.Filter != "" && p.Select != "" {
				t.Errorf("%+v is a condition and a statement", p)
			}
		}
	}
}

// FuzzTableSignal reads rows that were inserted into the signal table.
func FuzzTableSignal(f *testing.F) {
	f.Add("1", "execute-snapshot", `{"data-collections":["a"]}`)
	f.Add("", "stop-snapshot", "")
	f.Add("x", "execute-snapshot", `{"data-collections":[""],"type":"blocking"}`)
	f.Add("x", "log", `{"message":"{}{}"}`)
	text := func(name string) envelope.Column {
		return envelope.Column{Name: name, Type: envelope.TypeOf(envelope.String)}
	}
	table := &envelope.Table{ID: envelope.TableID{Schema: "s", Name: "signals"}, Columns: []envelope.Column{text("id"), text("type"), text("data")}}
	f.Fuzz(func(t *testing.T, id, typ, data string) {
		x := NewIncremental(&numbers{}, IncrementalOptions{Table: "s.signals", Log: slog.New(slog.DiscardHandler)})
		x.last = capture.Position("1")
		var b capture.Batch
		c := b.Next()
		c.Op, c.Table = envelope.Create, table
		c.After = envelope.AppendString(envelope.AppendString(envelope.AppendString(nil, id), typ), data)
		x.note(&b)
		_, err := ParseSignal(id, typ, []byte(data))
		if (len(x.queue) == 1) != (err == nil) {
			t.Errorf("%q %q: %d signals, %v", typ, data, len(x.queue), err)
		}
		if err := x.take(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzStoredPosition reads positions as Kafka has them: one that is taken is the
// same when it is written and read again; one that is not needs a human.
func FuzzStoredPosition(f *testing.F) {
	for _, s := range []string{
		`{"lsn":"0/1"}`, `{"position":{"lsn":"0/1"},"incremental":{"tables":[{"table":"a","after":["AQ=="],"rows":3,"by":"x"}],"paused":true}}`,
		`{"position":7,"incremental":{"tables":null,"blocks":[[{"table":"a","select":"SELECT 1"}]]}}`, `{"incremental":null}`, `{"position":{},"incremental":{}}`, `"incremental":`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		inner, at, err := split(text)
		if err != nil {
			if !fault.NeedsHuman(err) {
				t.Errorf("%q: %v needs no human", text, err)
			}
			return
		}
		x := newIncremental(&numbers{})
		x.at = at
		again, err := x.wrap(nil, inner)
		if err != nil {
			t.Fatal(err)
		}
		if at.none() {
			return // the source reads it
		}
		back, at2, err := split(again)
		if err != nil || !sameJSON(t, back, inner) || !sameJSON(t, must(json.Marshal(at)), must(json.Marshal(at2))) {
			t.Errorf("%s becomes %s: %v", text, again, err)
		}
	})
}

func must(b []byte, _ error) []byte { return b }

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	return reflect.DeepEqual(x, y)
}
