package bronze

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
)

// Spool holds the bodies of drafts: in memory as long as all of them together
// stay within a budget, else in temporary files. It may be shared by many
// goroutines.
type Spool struct {
	dir    string
	budget int64
	used   atomic.Int64
}

// NewSpool returns a spool that keeps at most budget bytes in memory, and puts
// the rest into unnamed temporary files in dir ("" = the system's place).
func NewSpool(dir string, budget int64) *Spool {
	return &Spool{dir: dir, budget: budget}
}

// InMemory returns the number of bytes that the spool holds in memory.
func (s *Spool) InMemory() int64 { return s.used.Load() }

// chunk is how much memory a body takes at once. Its first chunk grows up to
// that, so that small objects take little.
const chunk = 256 << 10

// body is a growing sequence of bytes in a spool.
type body struct {
	spool  *Spool
	chunks [][]byte // each but the last of chunk bytes
	file   *os.File // instead of chunks
	size   int64
}

// Write appends p.
func (b *body) Write(p []byte) (int, error) {
	if b.file == nil && b.spool.used.Add(int64(len(p))) > b.spool.budget {
		b.spool.used.Add(-int64(len(p)))
		if err := b.spill(); err != nil {
			return 0, err
		}
	}
	if b.file != nil {
		n, err := b.file.Write(p)
		b.size += int64(n)
		if err != nil {
			return n, fmt.Errorf("write a temporary file: %w", err)
		}
		return n, nil
	}
	b.size += int64(len(p))
	for rest := p; len(rest) > 0; {
		last := len(b.chunks) - 1
		if last < 0 || len(b.chunks[last]) == chunk {
			var fresh []byte
			if last >= 0 {
				fresh = make([]byte, 0, chunk)
			}
			b.chunks, last = append(b.chunks, fresh), last+1
		}
		n := min(len(rest), chunk-len(b.chunks[last]))
		b.chunks[last] = append(b.chunks[last], rest[:n]...)
		rest = rest[n:]
	}
	return len(p), nil
}

// spill moves the body into a file. The file's name is removed at once, so that
// nothing is left behind however the process ends.
func (b *body) spill() error {
	f, err := os.CreateTemp(b.spool.dir, "bronze-*.tmp")
	if err != nil {
		return fmt.Errorf("make a temporary file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return errors.Join(fmt.Errorf("unlink a temporary file: %w", err), f.Close())
	}
	for _, c := range b.chunks {
		if _, err := f.Write(c); err != nil {
			return errors.Join(fmt.Errorf("write a temporary file: %w", err), f.Close())
		}
	}
	b.release()
	b.file = f
	return nil
}

// release frees the memory.
func (b *body) release() {
	if b.file == nil {
		b.spool.used.Add(-b.size)
	}
	b.chunks = nil
}

// ReadAt implements io.ReaderAt.
func (b *body) ReadAt(p []byte, off int64) (int, error) {
	if b.file != nil {
		return b.file.ReadAt(p, off)
	}
	n := 0
	for n < len(p) && off < b.size {
		c := b.chunks[off/chunk]
		m := copy(p[n:], c[off%chunk:])
		n, off = n+m, off+int64(m)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Close frees what the body holds.
func (b *body) Close() error {
	if b.file != nil {
		f := b.file
		b.file, b.size = nil, 0
		return f.Close()
	}
	b.release()
	b.size = 0
	return nil
}

// joined reads a head and then a body as one.
type joined struct {
	head []byte
	body *body
}

func (j joined) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	if off < int64(len(j.head)) {
		n = copy(p, j.head[off:])
		if n == len(p) {
			return n, nil
		}
	}
	m, err := j.body.ReadAt(p[n:], off+int64(n)-int64(len(j.head)))
	return n + m, err
}
