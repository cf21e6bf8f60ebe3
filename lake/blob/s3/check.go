package s3

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"tributary/internal/fault"
	"tributary/lake/blob"
)

// Check connects, and proves with an object of its own, which it removes, that
// the store can be written, listed and read under prefix, and that it honours
// conditional writes.
func (s *Store) Check(ctx context.Context, prefix string) error {
	key := strings.TrimPrefix(prefix+"/.tributary-check-"+rand.Text(), "/")
	put := func(text string, cond blob.Cond) error {
		_, err := s.Put(ctx, key, strings.NewReader(text), int64(len(text)), cond)
		return err
	}
	if err := put("one", blob.IfAbsent()); err != nil {
		return err
	}
	err := put("two", blob.IfAbsent())
	switch {
	case err == nil:
		err = fault.Humanf("use a store that supports If-None-Match on PutObject: with this one, two writers overwrite each other unseen",
			"put %s in %s: the store ignores conditions", key, s.where)
	case errors.Is(err, blob.ErrExist):
		err = s.checkReading(ctx, key)
	}
	return errors.Join(err, s.Delete(context.WithoutCancel(ctx), key))
}

func (s *Store) checkReading(ctx context.Context, key string) error {
	seen := false
	for o, err := range s.List(ctx, key, "") {
		if err != nil {
			return err
		}
		seen = seen || o.Key == key
	}
	if !seen {
		return fault.Humanf("use a store that lists what was put", "list %s: an object that was just put is not listed", s.where)
	}
	o, err := s.Open(ctx, key)
	if err != nil {
		return err
	}
	text := make([]byte, o.Size())
	if _, err := o.ReadAt(text, 0); err != nil {
		return errors.Join(fmt.Errorf("read %s: %w", key, err), o.Close())
	}
	if string(text) != "one" {
		return fmt.Errorf("read %s in %s: it is not what was put", key, s.where)
	}
	return o.Close()
}
