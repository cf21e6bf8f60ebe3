package emit

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tributary/capture"
	"tributary/envelope"
	"tributary/internal/avro"
	"tributary/internal/broker"
	"tributary/internal/fault"
	"tributary/internal/topic"
	"tributary/registry"
	"tributary/registry/server"
)

// newOptions starts a broker and a registry for one test.
func newOptions(t *testing.T) Options {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
	})
	b, err := broker.Start(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	s, err := server.Open(server.Config{File: filepath.Join(t.TempDir(), "registry.db")}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s)
	t.Cleanup(func() {
		web.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	o := Options{WireFormat: "confluent", OffsetTopic: "offsets", Partitions: 3}
	o.RegistryURL = web.URL + "/apis/registry/v2"
	o.Schemas = registry.WriterSettings{Auto: true, AutoApicurio: true, AutoGlue: true}
	o.Options = topic.Options{
		Brokers: []string{b.Addr()}, ClientID: "test", Protocol: "PLAINTEXT", Compression: "lz4",
		MaxRequest: 1_000_012, TransactionTimeout: time.Minute, DeliveryTimeout: time.Minute,
	}
	return o
}

func newEmitter(t *testing.T, o Options, name string) *Emitter {
	t.Helper()
	format := envelope.NewFormat(envelope.Options{
		Block:  envelope.Block{Version: "1", Connector: "test", Package: "io.test", Name: "p", Fields: envelope.CommonFields(nil)},
		Naming: envelope.Naming{Prefix: "p"}, Tombstones: true,
	})
	e, err := New(o, name, format, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func table(columns ...string) *envelope.Table {
	t := &envelope.Table{ID: envelope.TableID{Schema: "s", Name: "t"}, Key: []int{0}}
	for _, c := range columns {
		t.Columns = append(t.Columns, envelope.Column{Name: c, Type: envelope.TypeOf(envelope.Int)})
	}
	return t
}

func batch(end string, table *envelope.Table, ids ...int32) *capture.Batch {
	b := &capture.Batch{End: capture.Position(end)}
	for _, id := range ids {
		c := b.Next()
		c.Op, c.Table, c.Key = envelope.Create, table, envelope.AppendInt(nil, id)
		for range table.Columns {
			c.After = envelope.AppendInt(c.After, id)
		}
		if id < 0 {
			c.Op, c.Before, c.After = envelope.Delete, c.After, nil
		}
	}
	return b
}

func read(t *testing.T, o Options, name string, n int) []topic.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, err := topic.NewReader(ctx, o.Options, topic.ReaderOptions{
		Group: fmt.Sprint("test-", time.Now().UnixNano()), Topics: []string{name}, Reset: "earliest",
		SessionTimeout: 10 * time.Second, FetchMaxBytes: 1 << 20, PartitionMaxBytes: 1 << 20,
	}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	var out []topic.Record
	for idle := 0; idle < 3; {
		batches, err := r.Poll(ctx, 100*time.Millisecond, 0)
		if err != nil {
			t.Fatalf("%v, %d of %d records", err, len(out), n)
		}
		for i := range batches {
			for j := range batches[i].Len() {
				out = append(out, batches[i].Record(j))
			}
		}
		if len(out) >= n {
			idle++
		}
	}
	if len(out) != n {
		t.Fatalf("%d records, want %d", len(out), n)
	}
	return out
}

func TestRecordsAndPositionGoTogether(t *testing.T) {
	o := newOptions(t)
	e := newEmitter(t, o, "one")
	ctx := t.Context()
	if pos, err := e.Resume(ctx); err != nil || pos != nil {
		t.Fatalf("position before anything: %s, %v", pos, err)
	}
	first := table("id")
	for _, b := range []*capture.Batch{batch(`{"at":1}`, first, 1, 2, 3), batch(`{"at":2}`, first, -3), batch(`{"at":3}`, table("id", "v"), 4)} {
		if err := e.Emit(ctx, b); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Emit(ctx, &capture.Batch{End: capture.Position(`{"at":4}`)}); err != nil { // a heartbeat
		t.Fatal(err)
	}
	again := newEmitter(t, o, "one")
	if pos, err := again.Resume(ctx); err != nil || string(pos) != `{"at":4}` {
		t.Errorf("position %s, %v", pos, err)
	}
	other := newEmitter(t, o, "two")
	if pos, err := other.Resume(ctx); err != nil || pos != nil {
		t.Errorf("position of another connector: %s, %v", pos, err)
	}

	client, err := registry.New(o.RegistryURL, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ids := make(map[registry.ID]bool)
	tombstones := 0
	var partitions []int32
	for _, r := range read(t, o, "p.s.t", 6) {
		partitions = append(partitions, r.Partition)
		if r.Value == nil {
			tombstones++
			continue
		}
		id, body, err := registry.ParseHeader(r.Value, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		ids[id] = true
		text, err := client.Schema(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		schema, err := avro.Parse(text)
		if err == nil {
			err = avro.Check(schema, body)
		}
		if err != nil {
			t.Errorf("value %x: %v", body, err)
		}
		if age := time.Since(r.Timestamp); age < -time.Second || age > time.Minute {
			t.Errorf("timestamp %s", r.Timestamp)
		}
	}
	if len(ids) != 2 || tombstones != 1 {
		t.Errorf("%d schemas and %d tombstones, want 2 and 1", len(ids), tombstones)
	}
	slices.Sort(partitions)
	if len(slices.Compact(partitions)) < 2 {
		t.Errorf("all keys are in the same of 3 partitions")
	}
}

func TestSecondInstanceTakesOver(t *testing.T) {
	o := newOptions(t)
	first, second := newEmitter(t, o, "one"), newEmitter(t, o, "one")
	ctx := t.Context()
	if _, err := first.Resume(ctx); err != nil {
		t.Fatal(err)
	}
	if err := first.Emit(ctx, batch(`{"at":1}`, table("id"), 1)); err != nil {
		t.Fatal(err)
	}
	if pos, err := second.Resume(ctx); err != nil || string(pos) != `{"at":1}` {
		t.Fatalf("%s, %v", pos, err)
	}
	err := first.Emit(ctx, batch(`{"at":2}`, table("id"), 2))
	if !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "another instance") {
		t.Errorf("the instance that was taken over: %v", err)
	}
	if err := second.Emit(ctx, batch(`{"at":2}`, table("id"), 2)); err != nil {
		t.Error(err)
	}
	read(t, o, "p.s.t", 2)
}

// TestTwoInstances: whatever the broker says of it, the instance that starts again
// and finds that another one has stored a position leaves that one alone.
func TestTwoInstances(t *testing.T) {
	o := newOptions(t)
	first, second := newEmitter(t, o, "one"), newEmitter(t, o, "one")
	ctx := t.Context()
	resume := func(e *Emitter, want string) {
		t.Helper()
		if pos, err := e.Resume(ctx); err != nil || string(pos) != want {
			t.Fatalf("%s, %v", pos, err)
		}
	}
	resume(first, "")
	resume(first, "") // after a fault
	if err := first.Emit(ctx, batch(`{"at":1}`, table("id"), 1)); err != nil {
		t.Fatal(err)
	}
	resume(first, `{"at":1}`)
	resume(second, `{"at":1}`)
	resume(first, `{"at":1}`) // nothing shows that the second one runs
	resume(second, `{"at":1}`)
	if err := second.Emit(ctx, batch(`{"at":1}`, table("id"), 2)); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Resume(ctx); !fault.NeedsHuman(err) || fault.Hint(err) == "" || !strings.Contains(err.Error(), `another instance named "one" runs`) {
		t.Fatalf("the instance that was taken over: %v", err)
	}
	if err := second.Emit(ctx, batch(`{"at":2}`, table("id"), 3)); err != nil {
		t.Errorf("the other one was fenced off: %v", err)
	}
	resume(second, `{"at":2}`)
}

func TestEveryWireFormat(t *testing.T) {
	o := newOptions(t)
	for _, f := range []string{"confluent", "apicurio", "apicurio-headers"} {
		o.WireFormat = f
		e := newEmitter(t, o, "one")
		if _, err := e.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := e.Emit(t.Context(), batch(`{}`, table("id"), 1, -1)); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range read(t, o, "p.s.t", 9) {
		header := func(name string) []byte {
			for _, h := range r.Headers {
				if h.Key == name {
					return h.Value
				}
			}
			return nil
		}
		for data, isKey := range map[string]bool{string(r.Key): true, string(r.Value): false} {
			if r.Value == nil && !isKey {
				continue
			}
			if _, body, err := registry.ParseHeader([]byte(data), isKey, header); err != nil || len(body) == 0 {
				t.Errorf("offset %d, key %v: %v", r.Offset, isKey, err)
			}
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	o := Options{WireFormat: "confluent"}
	o.RegistryURL = "http://127.0.0.1:1"
	e, err := New(o, "bench",
		envelope.NewFormat(envelope.Options{Block: envelope.Block{Fields: envelope.CommonFields(nil)}, Naming: envelope.Naming{Prefix: "p"}}), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	t := table("id", "a", "b")
	f, err := e.format.Table(t)
	if err != nil {
		b.Fatal(err)
	}
	e.tables[t] = &tableState{format: f, target: &target{wire: envelope.Wire{Key: make([]byte, 5), Value: make([]byte, 5)}}}
	in := batch("{}", t, slices.Repeat([]int32{1}, 10_000)...)
	b.ReportAllocs()
	for b.Loop() {
		if err := e.encode(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10_000, "ns/change")
}
