package emit

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"tributary/internal/avro"
	"tributary/internal/fault"
	"tributary/internal/moto"
	"tributary/registry"
)

// Records in AWS Glue's format, plain and compressed, are read with the schemas
// that Glue has under their ids.
func TestGlueWireFormat(t *testing.T) {
	o := newOptions(t)
	o.RegistryURL = moto.StartGlue(t, "cdc")
	o.WireFormat = "glue"
	for _, compression := range []string{"NONE", "ZLIB"} {
		o.Schemas.Compression = compression
		e := newEmitter(t, o, "one")
		if _, err := e.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the buffers are used again
			if err := e.Emit(t.Context(), batch(`{}`, table("id", "a"), 1, 2, -1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	client, err := registry.New(o.RegistryURL, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	compressed, ids := 0, make(map[registry.ID]bool)
	for _, r := range read(t, o, "p.s.t", 16) {
		for _, data := range [][]byte{r.Key, r.Value} {
			if data == nil {
				continue
			}
			if data[1] == 5 {
				compressed++
			}
			id, body, err := registry.ParseHeader(data, bytes.Equal(data, r.Key), nil)
			if err != nil {
				t.Fatal(err)
			}
			ids[id] = true
			text, err := client.Schema(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			schema, err := avro.Parse(text)
			if err == nil {
				err = avro.Check(schema, body)
			}
			if err != nil {
				t.Errorf("%x: %v", data, err)
			}
		}
	}
	// Of the 8 compressed records, 2 are tombstones.
	if compressed != 14 || len(ids) != 2 {
		t.Errorf("%d keys and values are compressed, with %d ids", compressed, len(ids))
	}
}

// Without registration, what is not registered stops the connector, and what is
// goes on.
func TestWithoutRegistration(t *testing.T) {
	o := newOptions(t)
	o.Schemas.AutoApicurio = false
	e := newEmitter(t, o, "one")
	if _, err := e.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	in := batch(`{}`, table("id"), 1)
	err := e.Emit(t.Context(), in)
	if !errors.Is(err, registry.ErrNotRegistered) || !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "p.s.t-key") {
		t.Fatalf("error %v", err)
	}
	auto := o
	auto.Schemas.AutoApicurio = true
	first := newEmitter(t, auto, "two")
	if _, err := first.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := first.Emit(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if err := e.Emit(t.Context(), in); err != nil {
		t.Errorf("with what is registered: %v", err)
	}
	o.Schemas.FindLatest = true
	latest := newEmitter(t, o, "three")
	if _, err := latest.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := latest.Emit(t.Context(), in); err != nil {
		t.Errorf("with the latest: %v", err)
	}
	if err := latest.Emit(t.Context(), batch(`{}`, table("id", "more"), 1)); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "before.more was added") {
		t.Errorf("a table that does not fit the latest: %v", err)
	}
	read(t, o, "p.s.t", 3)
}
