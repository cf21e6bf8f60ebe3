package registry

import (
	"context"
	"fmt"

	"tributary/internal/avrotext"
)

// Bounds of a schema with references, against cycles and hostile registries.
const (
	maxReferences = 1000
	maxResolved   = 16 << 20 // bytes
)

// resolve returns the schema's text with each type that it refers to defined
// in place of the type's first use.
func resolve(ctx context.Context, from api, s schema) (string, error) {
	if len(s.refs) == 0 {
		return s.text, nil
	}
	r := &referenced{from: from, texts: make(map[string]string)}
	if err := r.fetch(ctx, s); err != nil {
		return "", err
	}
	text, err := avrotext.Resolve(s.text, r.texts)
	if err != nil {
		return "", fmt.Errorf("put referenced schemas in place: %w", err)
	}
	return text, nil
}

type referenced struct {
	from  api
	texts map[string]string // by the name that the reference gives
	size  int
}

// fetch gets everything that s refers to, directly or not.
func (r *referenced) fetch(ctx context.Context, s schema) error {
	for _, ref := range s.refs {
		if _, ok := r.texts[ref.Name]; ok {
			continue
		}
		got, err := r.from.byReference(ctx, ref)
		if err != nil {
			return fmt.Errorf("reference %s (%s version %s): %w", ref.Name, ref.Artifact, ref.Version, err)
		}
		r.size += len(got.text)
		if len(r.texts) >= maxReferences || r.size > maxResolved {
			return fmt.Errorf("more than %d references or %d bytes", maxReferences, maxResolved)
		}
		r.texts[ref.Name] = got.text
		if err := r.fetch(ctx, got); err != nil {
			return err
		}
	}
	return nil
}
