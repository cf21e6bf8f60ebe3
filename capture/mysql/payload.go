package mysql

import (
	"bytes"
	"errors"
	"fmt"
	"io"

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
	payloadCompression = 2

	compressionZstd = 0
	compressionNone = 255
)

// maxEvent is the servers' own limit of max_allowed_packet.
const maxEvent = 1 << 30

// each calls fn for each event within body; what fn gets is valid during the
// call only.
func (p *payload) each(body []byte, fn func(h *binlog.Header, body []byte) error) error {
	r, err := p.open(body)
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

func (p *payload) open(body []byte) (io.Reader, error) {
	compression := uint64(compressionNone)
	for {
		if len(body) < 1 {
			return nil, fmt.Errorf("%w: transaction payload header", binlog.ErrMalformed)
		}
		field := body[0]
		body = body[1:]
		if field == payloadEnd {
			break
		}
		if len(body) < 1 || len(body) < 1+int(body[0]) {
			return nil, fmt.Errorf("%w: transaction payload header", binlog.ErrMalformed)
		}
		value := body[1 : 1+int(body[0])]
		body = body[1+int(body[0]):]
		if field == payloadCompression {
			compression = lenencValue(value)
		}
	}
	switch compression {
	case compressionNone:
		return bytes.NewReader(body), nil
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
	if err := p.zstd.Reset(bytes.NewReader(body)); err != nil {
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
