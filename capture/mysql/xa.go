package mysql

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"

	"tributary/capture/mysql/binlog"
)

// The rows of an XA transaction are in the log where it was prepared; whether
// they count is told later, by XA COMMIT or XA ROLLBACK. Until then its events
// are held, and read once more from the log when the capture starts anew: the
// position says where from. What was prepared before the capture began is looked
// for in the log when it is committed (lookback.go).

// anchor is a place in the log from which it can be read.
type anchor struct {
	File  string  `json:"file"`
	Pos   uint64  `json:"pos"`
	GTIDs *string `json:"gtids,omitempty"`
}

// prepared is an XA transaction that is not decided.
type prepared struct {
	xid    string
	from   anchor // its beginning
	events *held  // nil = it changed nothing of ours
}

// heldInMemory is how many bytes of events of one transaction stay in memory.
const heldInMemory = 16 << 20

// held are events in order, in memory and, when there are many, in a file that
// nobody else sees.
type held struct {
	buf  bytes.Buffer
	file *os.File
	out  *bufio.Writer
}

const heldHead = 13 // type, time, server, length

func (h *held) add(head *binlog.Header, body []byte) error {
	if h.file == nil && h.buf.Len()+len(body) > heldInMemory {
		f, err := os.CreateTemp("", "tributary-xa-*")
		if err != nil {
			return fmt.Errorf("hold an XA transaction: %w", err)
		}
		h.file, h.out = f, bufio.NewWriterSize(f, 1<<16)
		if err := errors.Join(os.Remove(f.Name()), drain(h.out, &h.buf)); err != nil {
			return fmt.Errorf("hold an XA transaction: %w", err)
		}
	}
	var fixed [heldHead]byte
	fixed[0] = head.Type
	binary.LittleEndian.PutUint32(fixed[1:], head.Timestamp)
	binary.LittleEndian.PutUint32(fixed[5:], head.ServerID)
	binary.LittleEndian.PutUint32(fixed[9:], uint32(len(body))) //nolint:gosec // events are below 4 GiB
	var w io.Writer = &h.buf
	if h.file != nil {
		w = h.out
	}
	_, err1 := w.Write(fixed[:])
	_, err2 := w.Write(body)
	return errors.Join(err1, err2)
}

func drain(w io.Writer, b *bytes.Buffer) error {
	_, err := w.Write(b.Bytes())
	*b = bytes.Buffer{}
	return err
}

// each calls fn for every event; what fn gets is valid during the call only.
func (h *held) each(fn func(head *binlog.Header, body []byte) error) error {
	var r io.Reader = bytes.NewReader(h.buf.Bytes())
	if h.file != nil {
		if err := h.out.Flush(); err != nil {
			return fmt.Errorf("hold an XA transaction: %w", err)
		}
		if _, err := h.file.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("read a held XA transaction: %w", err)
		}
		r = bufio.NewReaderSize(h.file, 1<<16)
	}
	var fixed [heldHead]byte
	var body []byte
	for {
		if _, err := io.ReadFull(r, fixed[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read a held XA transaction: %w", err)
		}
		size := int(binary.LittleEndian.Uint32(fixed[9:]))
		body = slices.Grow(body[:0], size)[:size]
		if _, err := io.ReadFull(r, body); err != nil {
			return fmt.Errorf("read a held XA transaction: %w", err)
		}
		head := binlog.Header{Type: fixed[0], Timestamp: binary.LittleEndian.Uint32(fixed[1:]), ServerID: binary.LittleEndian.Uint32(fixed[5:])}
		if err := fn(&head, body); err != nil {
			return err
		}
	}
}

func (h *held) close() error {
	if h == nil || h.file == nil {
		return nil
	}
	f := h.file
	h.file = nil
	return f.Close()
}

// hold keeps an event of the XA transaction in work.
func (s *stream) hold(h *binlog.Header, body []byte) error {
	if binlog.IsRows(h.Type) {
		r, err := binlog.ParseRows(h.Type, body, s.idSize)
		if err != nil {
			return err
		}
		if s.bounds[r.TableID] == nil { // not captured
			return nil
		}
	} else if err := s.tableMap(body); err != nil {
		return err
	}
	if s.tx.held == nil {
		s.tx.held = &held{}
	}
	return s.tx.held.add(h, body)
}

// xaPrepare ends the rows of an XA transaction.
func (s *stream) xaPrepare(body []byte, start, end uint64) error {
	xid, onePhase, ok := parseXID(body)
	if !ok {
		return fmt.Errorf("%w: XA prepare", binlog.ErrMalformed)
	}
	events := s.tx.held
	s.tx.held, s.tx.xa = nil, false
	if onePhase { // decided with it
		if err := s.deliver(events, true, start, end); err != nil {
			return err
		}
		return s.commit(end)
	}
	p := prepared{xid: xid, events: events, from: anchor{File: s.at.File, Pos: s.at.Pos}}
	if s.gtids.valid {
		text := s.gtids.String()
		p.from.GTIDs = &text
	}
	if events != nil { // what changed nothing of ours needs no verdict
		s.prepared = append(s.prepared, p)
	} else {
		s.idle.add(xid)
	}
	return s.commit(end)
}

// xaStatement takes XA START (which opens like BEGIN), XA END, and the verdict
// on a prepared transaction.
func (s *stream) xaStatement(text []byte, start, end uint64) error {
	verb := bytes.TrimSpace(text[2:])
	if hasWord(verb, "START") || hasWord(verb, "BEGIN") || hasWord(verb, "END") {
		s.tx.bracket, s.tx.xa = true, true
		return nil
	}
	xid, ok := xidOf(verb)
	if !ok {
		return s.commit(end)
	}
	commit := hasWord(verb, "COMMIT") && !s.old
	at := slices.IndexFunc(s.prepared, func(p prepared) bool { return p.xid == xid })
	if at < 0 {
		if commit && !s.idle.has(xid) && s.lookBack != nil {
			events, err := s.lookBack(s.ctx, xid, &s.at)
			if err == nil {
				err = s.deliver(events, true, start, end)
			}
			if err != nil {
				return err
			}
		}
		s.idle.remove(xid)
		return s.commit(end)
	}
	// Positions within what is delivered now must lead back to the rows.
	err := s.deliver(s.prepared[at].events, commit, start, end)
	if err != nil {
		return err
	}
	s.prepared = slices.Delete(s.prepared, at, at+1)
	return s.commit(end)
}

// deliver delivers the held events of a transaction, or not, at the place of
// its verdict.
func (s *stream) deliver(events *held, commit bool, start, end uint64) error {
	if events == nil {
		return nil
	}
	var err error
	if commit {
		s.payloadRows = 0
		err = events.each(func(h *binlog.Header, body []byte) error { return s.event(h, body, start, end, true) })
	}
	return errors.Join(err, events.close())
}

// parseXID reads the body of XA_PREPARE.
func parseXID(b []byte) (xid string, onePhase, ok bool) {
	if len(b) < 13 {
		return "", false, false
	}
	format := int32(binary.LittleEndian.Uint32(b[1:])) //nolint:gosec // as the server has it
	g, q := binary.LittleEndian.Uint32(b[5:]), binary.LittleEndian.Uint32(b[9:])
	if g > 64 || q > 64 || len(b) < 13+int(g+q) {
		return "", false, false
	}
	data := b[13 : 13+g+q]
	return formatXID(format, data[:g], data[g:]), b[0] != 0, true
}

func formatXID(format int32, gtrid, bqual []byte) string {
	return fmt.Sprintf("X'%x',X'%x',%d", gtrid, bqual, format)
}

var xidPattern = regexp.MustCompile(`(?i)X'([0-9a-f]*)'\s*,\s*X'([0-9a-f]*)'\s*,\s*(-?[0-9]+)`)

// xidOf finds the identifier in "COMMIT X'6162',X”,1".
func xidOf(statement []byte) (string, bool) {
	m := xidPattern.FindSubmatch(statement)
	if m == nil {
		return "", false
	}
	return fmt.Sprintf("X'%s',X'%s',%s", bytes.ToLower(m[1]), bytes.ToLower(m[2]), m[3]), true
}

// xids are names of transactions, about as many as are prepared at a time.
type xids map[string]struct{}

// mostXIDs bounds what is remembered; what is forgotten is looked for.
const mostXIDs = 1 << 16

func (x xids) has(xid string) bool {
	_, ok := x[xid]
	return ok
}

func (x xids) remove(xid string) { delete(x, xid) }

func (x xids) add(xid string) {
	if len(x) >= mostXIDs {
		clear(x)
	}
	x[xid] = struct{}{}
}
