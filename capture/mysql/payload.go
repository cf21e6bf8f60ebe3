package mysql

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/klauspost/compress/zstd"

	"tributary/capture/mysql/binlog"
)

// payload unpacks TRANSACTION_PAYLOAD events: a whole transaction, compressed
// (binlog_transaction_compression). It is decompressed as it is read, so that
// it never lies in memory as a whole.
type payload struct {
	zstd  *zstd.Decoder
	event []byte
}

// Fields of the event, each as type, length, value, until the end mark.
const (
	payloadEnd         = 0
	payloadSize        = 1
	payloadCompression = 2

	compressionZstd = 0
	compressionNone = 255
)

// maxEvent is the servers' own limit of max_allowed_packet.
const maxEvent = 1 << 30

// each calls fn for each event within the body of one; what fn gets is valid
// during the call only.
func (p *payload) each(body io.Reader, fn func(h *binlog.Header, body []byte) error) error {
	r, err := p.open(bufio.NewReader(body))
	if err != nil {
		return err
	}
	for {
		if cap(p.event) < binlog.HeaderSize {
			p.event = make([]byte, 0, 64<<10)
		}
		head := p.event[:binlog.HeaderSize]
		if _, err := io.ReadFull(r, head); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("%w: transaction payload: %w", binlog.ErrMalformed, err)
		}
		h, err := binlog.ParseHeader(head)
		if err != nil {
			return err
		}
		n := int64(h.Size) - binlog.HeaderSize
		if n > maxEvent {
			return fmt.Errorf("%w: event of %d bytes in a transaction payload", binlog.ErrMalformed, n)
		}
		if p.event, err = readN(r, p.event[:0], n); err != nil {
			return fmt.Errorf("%w: transaction payload: %w", binlog.ErrMalformed, err)
		}
		if h.Type == binlog.TypeTransactionPayload {
			return fmt.Errorf("%w: nested transaction payload", binlog.ErrMalformed)
		}
		if err := fn(&h, p.event); err != nil {
			return err
		}
	}
}

// readN appends n bytes, growing as they come: n is not to be trusted.
func readN(r io.Reader, dst []byte, n int64) ([]byte, error) {
	b := bytes.NewBuffer(dst)
	_, err := io.CopyN(b, r, n)
	return b.Bytes(), err
}

func (p *payload) open(body *bufio.Reader) (io.Reader, error) {
	compression, length := uint64(compressionNone), uint64(math.MaxInt64)
	for {
		field, err := body.ReadByte()
		if err == nil && field == payloadEnd {
			break
		}
		size, err2 := body.ReadByte()
		var value [256]byte
		_, err3 := io.ReadFull(body, value[:size])
		if err := errors.Join(err, err2, err3); err != nil {
			return nil, fmt.Errorf("%w: transaction payload header: %w", binlog.ErrMalformed, err)
		}
		switch field {
		case payloadSize:
			length = lenencValue(value[:size])
		case payloadCompression:
			compression = lenencValue(value[:size])
		}
	}
	events := io.LimitReader(body, int64(min(length, math.MaxInt64))) //nolint:gosec // bounded
	switch compression {
	case compressionNone:
		return events, nil
	case compressionZstd:
	default:
		return nil, fmt.Errorf("%w: transaction payload of compression %d", binlog.ErrMalformed, compression)
	}
	if p.zstd == nil {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
		if err != nil {
			return nil, fmt.Errorf("start zstd: %w", err)
		}
		p.zstd = d
	}
	if err := p.zstd.Reset(events); err != nil {
		return nil, fmt.Errorf("start zstd: %w", err)
	}
	return p.zstd, nil
}

// lenencValue reads a length-encoded integer that fills v.
func lenencValue(v []byte) uint64 {
	if len(v) > 1 {
		v = v[1:]
	}
	var n uint64
	for i := len(v) - 1; i >= 0; i-- {
		n = n<<8 | uint64(v[i])
	}
	return n
}
