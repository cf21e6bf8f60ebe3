package emit

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"tributary/capture"
	"tributary/envelope"
	"tributary/internal/fault"
	"tributary/registry"
)

// TestRecordsGoWhereTransformsSendThem has two topics of one table, by the
// record: each with its schemas, and none for the table itself.
func TestRecordsGoWhereTransformsSendThem(t *testing.T) {
	o := newOptions(t)
	opts := envelope.NewStepOptions(map[string]string{"topic.expression": "value.t_id > 5 ? 'large' : (value.t_id < 0 ? 'not legal' : 'small')"})
	s, ok := envelope.NewStep("io.debezium.transforms.ContentBasedRouter", opts)
	if !ok || len(opts.Faults()) > 0 {
		t.Fatal(opts.Faults())
	}
	format := envelope.NewFormat(envelope.Options{
		Block:  envelope.Block{Version: "1", Connector: "test", Package: "io.test", Name: "p", Fields: envelope.CommonFields(nil)},
		Naming: envelope.Naming{Prefix: "p"}, Unwrap: &envelope.Unwrap{}, After: []envelope.Step{s},
	})
	e, err := New(o, "routed", format, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	if _, err := e.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.Emit(t.Context(), batch("1", table("t_id"), 1, 9, 2, 8)); err != nil {
		t.Fatal(err)
	}
	client, err := o.Registry(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]int32{"small": {1, 2}, "large": {9, 8}} {
		got := read(t, o, name, 2)
		if len(got) != 2 {
			t.Fatalf("%d records in %s", len(got), name)
		}
		var bodies, wanted []string // of several partitions, so in any order
		for i, r := range got {
			id, body, err := registry.ParseHeader(r.Value, false, nil)
			if err != nil {
				t.Errorf("%s: %x, %v", name, r.Value, err)
			}
			bodies, wanted = append(bodies, string(body)), append(wanted, string(envelope.AppendInt(nil, want[i])))
			text, err := client.Schema(t.Context(), id)
			if err != nil || !strings.Contains(text, "p.s.t.Value") {
				t.Errorf("%s: schema %s, %v", name, text, err)
			}
		}
		slices.Sort(bodies)
		slices.Sort(wanted)
		if !slices.Equal(bodies, wanted) {
			t.Errorf("%s: %x, want %x", name, bodies, wanted)
		}
	}
	if err := e.admin.EnsureTopics(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ends, err := e.admin.End(t.Context(), "p.s.t"); err == nil && len(ends) > 0 {
		t.Errorf("the table has a topic of its own: %v", ends)
	}
	bad := batch("2", table("t_id"), -1)
	bad.List[0].Op, bad.List[0].After, bad.List[0].Before = envelope.Create, bad.List[0].Before, nil
	if err := e.Emit(t.Context(), bad); !fault.NeedsHuman(err) {
		t.Errorf("a topic that Kafka does not allow: %v", err)
	}
}

// TestRecordsSayTheirSchemaAndPartition has two forms of payload in one topic,
// and records in the partition that a transform chooses.
func TestRecordsSayTheirSchemaAndPartition(t *testing.T) {
	o := newOptions(t)
	o.Partitions = 3
	step := func(class string, values map[string]string) envelope.Step {
		opts := envelope.NewStepOptions(values)
		s, ok := envelope.NewStep(class, opts)
		if !ok || len(opts.Faults()) > 0 {
			t.Fatal(opts.Faults())
		}
		return s
	}
	outbox := &envelope.Table{ID: envelope.TableID{Schema: "s", Name: "outbox"}, Key: []int{0}, Columns: []envelope.Column{
		{Name: "id", Type: envelope.TypeOf(envelope.String)}, {Name: "aggregatetype", Type: envelope.TypeOf(envelope.String)},
		{Name: "aggregateid", Type: envelope.TypeOf(envelope.String)}, {Name: "payload", Type: envelope.TypeJSON()},
	}}
	format := envelope.NewFormat(envelope.Options{
		Block:  envelope.Block{Version: "1", Connector: "test", Package: "io.test", Name: "p", Fields: envelope.CommonFields(nil)},
		Naming: envelope.Naming{Prefix: "p"}, Before: []envelope.Step{
			step("io.debezium.transforms.partitions.PartitionRouting", map[string]string{"partition.payload.fields": "op", "partition.topic.num": "2"}),
			step("io.debezium.transforms.outbox.EventRouter", map[string]string{"table.expand.json.payload": "true"}),
		},
	})
	e, err := New(o, "outbox", format, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	if _, err := e.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := &capture.Batch{End: capture.Position(`1`)}
	for _, payload := range []string{`{"a": 1}`, `{"b": "x"}`, `{"a": 2}`} {
		c := b.Next()
		c.Op, c.Table, c.Key = envelope.Create, outbox, envelope.AppendString(nil, "k")
		for _, v := range []string{"k", "order", "42", payload} {
			c.After = envelope.AppendString(c.After, v)
		}
	}
	if err := e.Emit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	client, err := o.Registry(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	got := read(t, o, "outbox.event.order", 3)
	for i, want := range []string{`"name":"a"`, `"name":"b"`, `"name":"a"`} {
		id, _, err := registry.ParseHeader(got[i].Value, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := client.Schema(t.Context(), id)
		if err != nil || !strings.Contains(text, want) {
			t.Errorf("record %d has schema %s, %v", i, text, err)
		}
		if got[i].Partition != 'c'%2 {
			t.Errorf("record %d is in partition %d", i, got[i].Partition)
		}
	}
}
