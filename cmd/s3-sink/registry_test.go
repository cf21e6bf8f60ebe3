package main

import (
	"context"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/internal/avro"
	"tributary/internal/topic"
	"tributary/registry"
	"tributary/registry/server"
)

// realRegistry starts the embedded registry and returns a client of it.
func realRegistry(t *testing.T) (address string, c *registry.Client) {
	t.Helper()
	s, err := server.Open(server.Config{File: filepath.Join(t.TempDir(), "registry.db")}, quiet)
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
	address = web.URL + "/apis/registry/v2"
	if c, err = registry.New(address, registry.Options{}); err != nil {
		t.Fatal(err)
	}
	return address, c
}

// TestWireFormats writes records in each wire format, as real registries number
// them, and runs the whole daemon but its command line.
func TestWireFormats(t *testing.T) {
	address, client := realRegistry(t)
	h := newHarness(t, topic.Spec{Name: "t.a", Partitions: 1})
	key, err := client.Register(t.Context(), "t.a-key", schemasOfTests[1])
	if err != nil {
		t.Fatal(err)
	}
	value, err := client.Register(t.Context(), "t.a-value", schemasOfTests[2])
	if err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	for _, format := range []registry.Format{registry.Confluent, registry.Apicurio, registry.ApicurioHeaders} {
		for range 3 {
			r := change("t.a", 0, n, 2, noon)
			r.Key = append(format.AppendHeader(nil, key), r.Key[5:]...)
			r.Value = append(format.AppendHeader(nil, value), r.Value[5:]...)
			for _, hd := range append(format.Headers(key, true), format.Headers(value, false)...) {
				r.Headers = append(r.Headers, topic.Header{Key: hd.Key, Value: hd.Value})
			}
			h.write(r)
			n++
		}
	}
	store, dir := tempStore(t)
	o := h.options("schema.registry.url: " + address + "\nstore.url: file://" + dir + "\ntopics: [t.a]\nhttp.address: 127.0.0.1:0\n")
	report, err := check(t.Context(), o, quiet)
	if err != nil {
		t.Fatalf("%v\n%s", err, report)
	}
	for _, line := range []string{"store      file://" + dir, "t.a partition 0: nothing read yet, ends at", "TOPIC+0+0000000000.avro", "20ms without a record"} {
		if !strings.Contains(report, line) {
			t.Errorf("the report lacks %q:\n%s", line, report)
		}
	}
	s, err := newSink(t.Context(), o, newMetrics(prometheus.NewRegistry()), quiet)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.run(ctx) }()
	h.caughtUp("t.a")
	if err := s.ready(); err != nil {
		t.Errorf("not ready: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	exactlyOnce(t, inBronze(t, store, "t.a")[0], n)
}

// flakyRegistry fails a few times.
type flakyRegistry struct {
	fixedRegistry
	left atomic.Int32
}

func (f *flakyRegistry) Schema(ctx context.Context, id registry.ID) (string, error) {
	if f.left.Add(-1) >= 0 {
		return "", context.DeadlineExceeded
	}
	return f.fixedRegistry.Schema(ctx, id)
}

func TestRegistryComesBack(t *testing.T) {
	h := newHarness(t, topic.Spec{Name: "t.a", Partitions: 1})
	for i := range int64(10) {
		h.write(change("t.a", 0, i, 2, noon))
	}
	store, _ := tempStore(t)
	flaky := &flakyRegistry{fixedRegistry: schemasOfTests}
	flaky.left.Store(3)
	s, err := buildSink(h.options(""), store, flaky, newMetrics(prometheus.NewRegistry()), quiet)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.run(ctx) }()
	h.caughtUp("t.a")
	if err := s.ready(); err != nil {
		t.Errorf("not ready again: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	exactlyOnce(t, inBronze(t, store, "t.a")[0], 10)
}

// TestRecordsAreSplicedUnread gives values that are no Avro at all: the sink
// must copy them as they are, for it never decodes.
func TestRecordsAreSplicedUnread(t *testing.T) {
	h := newHarness(t, topic.Spec{Name: "t.a", Partitions: 1})
	r := change("t.a", 0, 0, 2, noon)
	r.Value = wire(2, []byte("any bytes"))
	h.write(r)
	store, dir := tempStore(t)
	sink := h.start(h.options(""), store)
	h.caughtUp("t.a")
	if err := sink.stop(); err != nil {
		t.Fatal(err)
	}
	o, err := store.Open(t.Context(), keysOf(t, store, "topics/")[0])
	if err != nil {
		t.Fatal(dir, err)
	}
	defer o.Close()
	a, err := avro.NewReader(o, o.Size(), "f")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if b, err := a.Next(); err != nil || string(b.Data) != "any bytes" {
		t.Errorf("%q, %v", b.Data, err)
	}
}
