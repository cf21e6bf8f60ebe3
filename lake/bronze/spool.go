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

// body is a growing sequence of bytes in a spool.
type body struct {
	spool *Spool
	mem   []byte
	file  *os.File
	size  int64
}

// Write appends p.
func (b *body) Write(p []byte) (int, error) {
	if b.file == nil && b.spool.used.Add(int64(len(p))) > b.spool.budget {
		b.spool.used.Add(-int64(len(p)))
		if err := b.spill(); err != nil {
			return 0, err
		}
	}
	if b.file == nil {
		b.mem = append(b.mem, p...)
	} else if n, err := b.file.Write(p); err != nil {
		return n, fmt.Errorf("write a temporary file: %w", err)
	}
	b.size += int64(len(p))
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
	if _, err := f.Write(b.mem); err != nil {
		return errors.Join(fmt.Errorf("write a temporary file: %w", err), f.Close())
	}
	b.spool.used.Add(-int64(len(b.mem)))
	b.file, b.mem = f, nil
	return nil
}

// ReadAt implements io.ReaderAt.
func (b *body) ReadAt(p []byte, off int64) (int, error) {
	if b.file != nil {
		return b.file.ReadAt(p, off)
	}
	if off >= int64(len(b.mem)) {
		return 0, io.EOF
	}
	n := copy(p, b.mem[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Close frees what the body holds.
func (b *body) Close() error {
	b.spool.used.Add(-int64(len(b.mem)))
	b.mem = nil
	if b.file == nil {
		return nil
	}
	f := b.file
	b.file = nil
	return f.Close()
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
