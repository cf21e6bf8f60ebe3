package blob

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Mem keeps objects in memory, for tests. The zero value is empty and ready.
type Mem struct {
	mu      sync.Mutex
	objects map[string]memState
	serial  uint64
}

type memState struct {
	data     []byte
	tag      ETag
	modified time.Time
}

type memObject struct {
	*bytes.Reader
	tag ETag
}

func (o memObject) Close() error { return nil }
func (o memObject) ETag() ETag   { return o.tag }

// Open implements Store.
func (m *Mem) Open(ctx context.Context, key string) (Object, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.objects[key]
	if !ok {
		return nil, fmt.Errorf("open %s: %w", key, ErrNotExist)
	}
	return memObject{bytes.NewReader(s.data), s.tag}, nil
}

// Put implements Store.
func (m *Mem) Put(ctx context.Context, key string, r io.Reader, size int64, cond Cond) (ETag, error) {
	if err := checkKey(key); err != nil {
		return "", err
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return "", fmt.Errorf("put %s: %w", key, err)
	}
	if int64(len(data)) != size {
		return "", fmt.Errorf("put %s: %d bytes announced, %d given", key, size, len(data))
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old, exists := m.objects[key]
	if err := cond.check(key, old.tag, exists); err != nil {
		return "", err
	}
	if m.objects == nil {
		m.objects = map[string]memState{}
	}
	m.serial++
	s := memState{data: data, tag: ETag(strconv.FormatUint(m.serial, 10)), modified: time.Now()}
	m.objects[key] = s
	return s.tag, nil
}

// check reports whether the condition forbids a write over an object's state.
func (c Cond) check(key string, tag ETag, exists bool) error {
	switch {
	case c.ifAbsent && exists:
		return fmt.Errorf("put %s: %w", key, ErrExist)
	case c.ifMatch != "" && !exists:
		return fmt.Errorf("put %s: %w", key, ErrNotExist)
	case c.ifMatch != "" && tag != c.ifMatch:
		return fmt.Errorf("put %s: %w", key, ErrConflict)
	}
	return nil
}

// List implements Store.
func (m *Mem) List(ctx context.Context, prefix, after string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		m.mu.Lock()
		var found []Info
		for k, s := range m.objects {
			if strings.HasPrefix(k, prefix) && k > after {
				found = append(found, Info{Key: k, Size: int64(len(s.data)), Modified: s.modified})
			}
		}
		m.mu.Unlock()
		sort.Slice(found, func(i, j int) bool { return found[i].Key < found[j].Key })
		for _, i := range found {
			if err := ctx.Err(); err != nil {
				yield(Info{}, err)
				return
			}
			if !yield(i, nil) {
				return
			}
		}
	}
}

// Delete implements Store.
func (m *Mem) Delete(ctx context.Context, keys ...string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range keys {
		delete(m.objects, k)
	}
	return nil
}
