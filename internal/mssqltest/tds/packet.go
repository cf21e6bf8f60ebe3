package tds

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Packet types.
const (
	PacketBatch    = 0x01
	PacketRPC      = 0x03
	PacketResponse = 0x04
	PacketCancel   = 0x06 // the attention signal
	PacketBulk     = 0x07
	PacketTransMgr = 0x0E
	PacketLogin    = 0x10
	PacketPrelogin = 0x12
)

const (
	statusEnd       = 0x01
	statusReset     = 0x08
	statusResetSkip = 0x10 // reset, but keep the transaction

	headerSize = 8
	// MaxMessage bounds a request: far above what a test sends, far below what
	// would hurt.
	MaxMessage = 64 << 20
)

// Message is one request, put together from its packets.
type Message struct {
	Type  byte
	Reset bool // the client asks for a session as new before the request is run
	Data  []byte
}

// ReadPacket reads one packet and gives its header's type and status.
func ReadPacket(r io.Reader) (kind, status byte, data []byte, err error) {
	var h [headerSize]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, 0, nil, err
	}
	n := int(binary.BigEndian.Uint16(h[2:]))
	if n < headerSize {
		return 0, 0, nil, fmt.Errorf("a packet of %d bytes is shorter than its header", n)
	}
	data = make([]byte, n-headerSize)
	if _, err := io.ReadFull(r, data); err != nil {
		return 0, 0, nil, unexpected(err)
	}
	return h[0], h[1], data, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// ReadMessage reads packets up to the end of a message. An attention that comes
// between the packets of a request ends it: the attention is returned.
func ReadMessage(r io.Reader) (Message, error) {
	var m Message
	for first := true; ; first = false {
		kind, status, data, err := ReadPacket(r)
		if err != nil {
			if !first {
				err = unexpected(err)
			}
			return Message{}, err
		}
		if kind == PacketCancel {
			return Message{Type: kind}, nil
		}
		if first {
			m.Type = kind
			m.Reset = status&(statusReset|statusResetSkip) != 0
		} else if kind != m.Type {
			return Message{}, fmt.Errorf("a message of type %#x goes on with a packet of type %#x", m.Type, kind)
		}
		if len(m.Data)+len(data) > MaxMessage {
			return Message{}, fmt.Errorf("a message is longer than %d bytes", MaxMessage)
		}
		m.Data = append(m.Data, data...)
		if status&statusEnd != 0 {
			return m, nil
		}
	}
}

// Writer splits a response into packets. Write appends to the response, End
// closes it. It is not safe for concurrent use.
type Writer struct {
	w    io.Writer
	buf  []byte // header and data of the packet being filled
	size int    // of a packet, header included
	id   byte
	kind byte
	spid uint16
}

// NewWriter makes a writer of packets of at most size bytes.
func NewWriter(w io.Writer, size int, spid uint16) *Writer {
	return &Writer{w: w, buf: make([]byte, headerSize, size), size: size, kind: PacketResponse, spid: spid}
}

// Resize changes the size of the packets that follow. Nothing may be pending.
func (w *Writer) Resize(size int) { w.size = size }

// SetKind sets the type of the packets that follow: TLS is answered in prelogin packets.
func (w *Writer) SetKind(kind byte) { w.kind = kind }

func (w *Writer) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if len(w.buf) == w.size {
			if err := w.send(0); err != nil {
				return 0, err
			}
		}
		k := min(len(p), w.size-len(w.buf))
		w.buf = append(w.buf, p[:k]...)
		p = p[k:]
	}
	return n, nil
}

// End sends what is pending as the message's last packet.
func (w *Writer) End() error {
	err := w.send(statusEnd)
	w.id = 0
	return err
}

// Flush sends what is pending, if anything, as a packet that is not the last.
func (w *Writer) Flush() error {
	if len(w.buf) == headerSize {
		return nil
	}
	return w.send(0)
}

func (w *Writer) send(status byte) error {
	w.id++
	h := w.buf[:headerSize]
	h[0], h[1] = w.kind, status
	binary.BigEndian.PutUint16(h[2:], uint16(len(w.buf)))
	binary.BigEndian.PutUint16(h[4:], w.spid)
	h[6], h[7] = w.id, 0
	_, err := w.w.Write(w.buf)
	w.buf = w.buf[:headerSize]
	return err
}
