package main

import (
	"context"
	"errors"
	"fmt"

	"tributary/internal/avro"
	"tributary/internal/topic"
	"tributary/lake/bronze"
	"tributary/registry"
)

// errRecord marks an error that is one record's own: no retry heals it, and
// keeping the record aside does.
var errRecord = errors.New("record cannot be written")

// schemaIDs names the schemas of a record's value and key.
type schemaIDs struct{ value, key registry.ID }

// lookup is what the sink needs of a registry.
type lookup interface {
	Schema(ctx context.Context, id registry.ID) (string, error)
}

// schemas finds the schema of a record's value, and the names of its key's
// fields. What it has found it keeps.
type schemas struct {
	registry lookup
	field    string // that holds the record's time; "" = none
	known    map[schemaIDs]*known
	keys     map[registry.ID][]string
}

func newSchemas(r lookup, field string) *schemas {
	return &schemas{registry: r, field: field, known: map[schemaIDs]*known{}, keys: map[registry.ID][]string{}}
}

// maxSchemas bounds what schemas keeps.
const maxSchemas = 10_000

// of returns the schema of record i of a batch and the record's bare Avro body.
func (s *schemas) of(ctx context.Context, b *topic.Batch, i int) (*known, []byte, error) {
	headers := b.Headers(i)
	header := func(name string) []byte {
		for _, h := range headers {
			if h.Key == name {
				return h.Value
			}
		}
		return nil
	}
	var ids schemaIDs
	id, body, err := registry.ParseHeader(b.Value(i), false, header)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: value: %w", errRecord, err)
	}
	ids.value = id
	if key := b.Key(i); key != nil {
		if ids.key, _, err = registry.ParseHeader(key, true, header); err != nil {
			return nil, nil, fmt.Errorf("%w: key: %w", errRecord, err)
		}
	}
	if known := s.known[ids]; known != nil {
		return known, body, nil
	}
	found, err := s.find(ctx, ids)
	if err != nil {
		return nil, nil, err
	}
	if len(s.known) >= maxSchemas {
		clear(s.known)
		clear(s.keys)
	}
	s.known[ids] = found
	return found, body, nil
}

func (s *schemas) find(ctx context.Context, ids schemaIDs) (*known, error) {
	text, err := s.text(ctx, ids.value)
	if err != nil {
		return nil, fmt.Errorf("value: %w", err)
	}
	parsed, err := avro.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: value: schema %s: %w", errRecord, ids.value, err)
	}
	out := &known{schema: &bronze.Schema{ID: ids.value.Content, Text: text}}
	if out.schema.ID == 0 {
		out.schema.ID = ids.value.Global
	}
	if s.field != "" {
		if out.time, err = newFieldTime(parsed, s.field); err != nil {
			return nil, err
		}
	}
	if ids.key == (registry.ID{}) {
		return out, nil
	}
	if out.schema.KeyFields, err = s.keyFields(ctx, ids.key); err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	return out, nil
}

func (s *schemas) keyFields(ctx context.Context, id registry.ID) ([]string, error) {
	if names, ok := s.keys[id]; ok {
		return names, nil
	}
	text, err := s.text(ctx, id)
	if err != nil {
		return nil, err
	}
	parsed, err := avro.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: schema %s: %w", errRecord, id, err)
	}
	names := make([]string, 0, len(parsed.Fields))
	for i := range parsed.Fields {
		names = append(names, parsed.Fields[i].Name)
	}
	s.keys[id] = names
	return names, nil
}

func (s *schemas) text(ctx context.Context, id registry.ID) (string, error) {
	text, err := s.registry.Schema(ctx, id)
	if errors.Is(err, registry.ErrUnknownID) {
		return "", fmt.Errorf("%w: %w", errRecord, err)
	}
	return text, err
}
