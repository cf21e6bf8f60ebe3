package main

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/internal/moto"
	"tributary/internal/topic"
	"tributary/registry"
)

// TestGlue writes records with schemas from AWS Glue, plain and compressed, and
// of two versions whose ids are UUIDs alone.
func TestGlue(t *testing.T) {
	address := moto.StartGlue(t, "cdc")
	client, err := registry.New(address, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var ids [4]registry.ID
	for i, name := range []string{1: "t.a-key", 2: "t.a-value", 3: "t.a-value"} {
		if name == "" {
			continue
		}
		if ids[i], err = client.Register(t.Context(), name, schemasOfTests[int64(i)]); err != nil {
			t.Fatal(err)
		}
	}
	h := newHarness(t, topic.Spec{Name: "t.a", Partitions: 1})
	var p registry.Packer
	n := int64(0)
	for _, version := range []uint32{2, 3, 2} {
		for _, format := range []registry.Format{registry.Glue, registry.GlueZlib} {
			r := change("t.a", 0, n, version, noon)
			r.Key = append(format.AppendHeader(nil, ids[1]), r.Key[5:]...)
			r.Value = append(format.AppendHeader(nil, ids[version]), r.Value[5:]...)
			if format == registry.GlueZlib {
				r.Key, r.Value = p.Pack(nil, r.Key), p.Pack(nil, r.Value)
			}
			h.write(r)
			n++
		}
	}
	store, dir := tempStore(t)
	o := h.options("schema.registry.url: '" + address + "'\nstore.url: file://" + dir + "\ntopics: [t.a]\nhttp.address: 127.0.0.1:0\n")
	if report, err := check(t.Context(), o, quiet); err != nil {
		t.Fatalf("%v\n%s", err, report)
	}
	s, err := newSink(t.Context(), o, newMetrics(prometheus.NewRegistry()), quiet)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.run(ctx) }()
	h.caughtUp("t.a")
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	exactlyOnce(t, inBronze(t, store, "t.a")[0], n)
}
