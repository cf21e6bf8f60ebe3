package basefile

import (
	"bytes"
	"fmt"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
)

// Codec compresses pages. It belongs to one goroutine.
type Codec struct {
	id   format.CompressionCodec
	zstd *zstd.Encoder
	gzip *gzip.Writer
}

// NewCodec returns the codec with the name that Hudi's settings use: snappy,
// zstd, gzip, or none (also uncompressed).
func NewCodec(name string) (*Codec, error) {
	switch name {
	case "", "snappy":
		return &Codec{id: format.Snappy}, nil
	case "gzip":
		return &Codec{id: format.Gzip, gzip: gzip.NewWriter(nil)}, nil
	case "zstd":
		e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
		if err != nil {
			return nil, fmt.Errorf("make zstd encoder: %w", err)
		}
		return &Codec{id: format.Zstd, zstd: e}, nil
	case "none", "uncompressed":
		return &Codec{id: format.Uncompressed}, nil
	default:
		return nil, fmt.Errorf("unknown codec %q: snappy, zstd, gzip and none are known", name)
	}
}

// compress returns src compressed, in scratch if it fits.
func (c *Codec) compress(scratch, src []byte) ([]byte, error) {
	switch c.id {
	case format.Snappy:
		return s2.EncodeSnappy(scratch[:cap(scratch)], src), nil
	case format.Zstd:
		return c.zstd.EncodeAll(src, scratch[:0]), nil
	case format.Gzip:
		out := bytes.NewBuffer(scratch[:0])
		c.gzip.Reset(out)
		if _, err := c.gzip.Write(src); err != nil {
			return nil, fmt.Errorf("compress page: %w", err)
		}
		if err := c.gzip.Close(); err != nil {
			return nil, fmt.Errorf("compress page: %w", err)
		}
		return out.Bytes(), nil
	default:
		return src, nil
	}
}
