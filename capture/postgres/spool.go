package postgres

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// spools keep the transactions that the server streams while they are still in
// work (protocol version 2), each in a file of its own, until they commit or
// abort. The memory is a buffer for each. The files have no name, so that
// nothing is left of them whatever ends the process.
type spools struct {
	dir  string // "" = the system's folder for temporary files
	open *spool // the one whose stretch of messages is being received
	all  map[uint32]*spool
}

// spool is one transaction. A record of its file is int64 position, int32 xid,
// int32 length, message; integers are big-endian.
type spool struct {
	xid     uint32
	begin   lsn // where its first stretch began
	file    *os.File
	w       *bufio.Writer
	bytes   int64
	records int64
	aborted map[uint32]bool // subtransactions that were rolled back
}

const spoolBuffer = 256 << 10

// start begins a stretch of a transaction: int32 xid, int8 whether it is the
// first.
func (s *spools) start(at lsn, r *reader) error {
	xid := r.uint32()
	r.byte()
	if r.bad {
		return errShort
	}
	if s.open != nil {
		return errors.New("a stretch of a transaction begins within another")
	}
	if s.all == nil {
		s.all = make(map[uint32]*spool)
	}
	p := s.all[xid]
	if p == nil {
		f, err := os.CreateTemp(s.dir, "tributary-transaction-")
		if err != nil {
			return fmt.Errorf("spool a transaction: %w", err)
		}
		if err := os.Remove(f.Name()); err != nil {
			return errors.Join(fmt.Errorf("spool a transaction: %w", err), f.Close())
		}
		p = &spool{xid: xid, begin: at, file: f, w: bufio.NewWriterSize(f, spoolBuffer)}
		s.all[xid] = p
	}
	s.open = p
	return nil
}

// stop ends the stretch.
func (s *spools) stop() { s.open = nil }

// add keeps a message of the stretch at hand. All but Origin have the xid of
// their subtransaction after their first byte, which is taken out.
func (s *spools) add(at lsn, data []byte) error {
	p, xid, head, body := s.open, s.open.xid, data[:1], data[1:]
	if data[0] != msgOrigin {
		if len(data) < 5 {
			return errShort
		}
		xid, body = binary.BigEndian.Uint32(data[1:]), data[5:]
	}
	var frame [16]byte
	binary.BigEndian.PutUint64(frame[:], uint64(at))
	binary.BigEndian.PutUint32(frame[8:], xid)
	binary.BigEndian.PutUint32(frame[12:], uint32(1+len(body))) //nolint:gosec // a message is below 1 GiB
	for _, part := range [][]byte{frame[:], head, body} {
		if _, err := p.w.Write(part); err != nil {
			return fmt.Errorf("spool a transaction: %w", err)
		}
		p.bytes += int64(len(part))
	}
	p.records++
	return nil
}

// abort forgets a transaction, or one of its subtransactions: int32 xid, int32
// xid of the subtransaction.
func (s *spools) abort(r *reader) error {
	xid, sub := r.uint32(), r.uint32()
	if r.bad {
		return errShort
	}
	p := s.all[xid]
	switch {
	case p == nil: // it began before this connection did
		return nil
	case xid == sub:
		return s.drop(p)
	}
	if p.aborted == nil {
		p.aborted = make(map[uint32]bool)
	}
	p.aborted[sub] = true
	return nil
}

// take returns the spool of a transaction that commits, nil if there is none.
func (s *spools) take(xid uint32) *spool { return s.all[xid] }

func (s *spools) drop(p *spool) error {
	delete(s.all, p.xid)
	return p.file.Close()
}

// close forgets everything.
func (s *spools) close() error {
	var errs []error
	for _, p := range s.all {
		errs = append(errs, p.file.Close())
	}
	s.all, s.open = nil, nil
	return errors.Join(errs...)
}

// replay calls fn with the messages of the transaction that were not rolled
// back, in order. data is valid during the call.
func (p *spool) replay(fn func(at lsn, data []byte) error) error {
	if err := p.w.Flush(); err != nil {
		return fmt.Errorf("spool a transaction: %w", err)
	}
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read a spooled transaction: %w", err)
	}
	in := bufio.NewReaderSize(p.file, spoolBuffer)
	var frame [16]byte
	var data []byte
	for range p.records {
		if _, err := io.ReadFull(in, frame[:]); err != nil {
			return fmt.Errorf("read a spooled transaction: %w", err)
		}
		n := int(binary.BigEndian.Uint32(frame[12:]))
		if p.aborted[binary.BigEndian.Uint32(frame[8:])] {
			if _, err := in.Discard(n); err != nil {
				return fmt.Errorf("read a spooled transaction: %w", err)
			}
			continue
		}
		if cap(data) < n {
			data = make([]byte, n)
		}
		data = data[:n]
		if _, err := io.ReadFull(in, data); err != nil {
			return fmt.Errorf("read a spooled transaction: %w", err)
		}
		if err := fn(lsn(binary.BigEndian.Uint64(frame[:])), data); err != nil {
			return err
		}
	}
	return nil
}
