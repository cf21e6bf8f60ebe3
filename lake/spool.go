package lake

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

const (
	spoolMemory = 16 << 20 // bytes of a file that is being written that stay in memory
	spoolSpare  = 4 << 20  // bytes of memory that a table keeps for its next commit
)

// spool holds a base file until its size is known: its beginning in memory, and
// all of it on the local disk once it has outgrown that, so that a process's
// memory does not grow with the size of files. The zero value is ready.
type spool struct {
	buf  []byte
	file *os.File // nil as long as the memory is enough; it has no name any more
	size int64
}

// reset empties the spool for a file of about size bytes.
func (s *spool) reset(size int64) {
	s.close()
	s.size = 0
	s.buf = s.buf[:0]
	if size <= spoolMemory && int64(cap(s.buf)) < size {
		s.buf = make([]byte, 0, size) // rather than by doubling, with a copy each time
	}
}

// Write implements io.Writer.
func (s *spool) Write(p []byte) (int, error) {
	if s.file == nil && len(s.buf)+len(p) > spoolMemory {
		if err := s.spill(); err != nil {
			return 0, fmt.Errorf("spool base file: %w", err)
		}
	}
	if s.file == nil {
		s.buf = append(s.buf, p...)
		s.size += int64(len(p))
		return len(p), nil
	}
	n, err := s.file.Write(p)
	s.size += int64(n)
	if err != nil {
		return n, fmt.Errorf("spool base file: %w", err)
	}
	return n, nil
}

// spill moves what is there to a file.
func (s *spool) spill() error {
	f, err := os.CreateTemp("", "tributary-*.parquet")
	if err != nil {
		return err
	}
	s.file = f
	if err := os.Remove(f.Name()); err != nil { // it goes with the process, whatever ends that
		return err
	}
	_, err = f.Write(s.buf)
	s.buf = nil
	return err
}

// reader returns the content, which stays as it is until reset.
func (s *spool) reader() io.Reader {
	if s.file == nil {
		return bytes.NewReader(s.buf)
	}
	return io.NewSectionReader(s.file, 0, s.size)
}

// release gives back what the next commit need not find.
func (s *spool) release() {
	s.close()
	if cap(s.buf) > spoolSpare {
		s.buf = nil
	}
}

// close gives the local file back.
func (s *spool) close() {
	if s.file != nil {
		_ = s.file.Close() // it is gone in any case
		s.file = nil
	}
}
