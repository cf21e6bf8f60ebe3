package avro

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

// Codec names how the blocks of a container file are compressed.
type Codec string

// The codecs, by their names in the header.
const (
	CodecNull    Codec = "null"
	CodecDeflate Codec = "deflate"
	CodecSnappy  Codec = "snappy"
	CodecZstd    Codec = "zstandard"
)

// ParseCodec returns the codec of that name.
func ParseCodec(name string) (Codec, error) {
	switch c := Codec(name); c {
	case CodecNull, CodecDeflate, CodecSnappy, CodecZstd:
		return c, nil
	case "":
		return CodecNull, nil
	default:
		return "", fmt.Errorf("unknown avro codec %q (known: null, deflate, snappy, zstandard)", name)
	}
}

const (
	errTooLarge malformed = "a block is larger than the limit"
	errChecksum malformed = "the checksum of a block is wrong"
)

// compressor compresses blocks, one after another.
type compressor struct {
	codec Codec
	buf   bytes.Buffer
	out   []byte
	flate *flate.Writer
	zstd  *zstd.Encoder
}

func newCompressor(codec Codec) (*compressor, error) {
	c := &compressor{codec: codec}
	var err error
	switch codec {
	case CodecNull, CodecSnappy:
	case CodecDeflate:
		c.flate, err = flate.NewWriter(&c.buf, flate.DefaultCompression)
	case CodecZstd:
		// One goroutine: the output then depends on nothing but the input.
		c.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault))
	default:
		_, err = ParseCodec(string(codec))
	}
	return c, err
}

// compress returns src compressed. The result is valid until the next call.
func (c *compressor) compress(src []byte) ([]byte, error) {
	switch c.codec {
	case CodecDeflate:
		c.buf.Reset()
		c.flate.Reset(&c.buf)
		if _, err := c.flate.Write(src); err != nil {
			return nil, err
		}
		if err := c.flate.Close(); err != nil {
			return nil, err
		}
		return c.buf.Bytes(), nil
	case CodecSnappy:
		c.out = snappy.Encode(c.out[:cap(c.out)], src)
		c.out = binary.BigEndian.AppendUint32(c.out, crc32.ChecksumIEEE(src))
		return c.out, nil
	case CodecZstd:
		c.out = c.zstd.EncodeAll(src, c.out[:0])
		return c.out, nil
	default:
		return src, nil
	}
}

// decompressor is the way back. limit bounds the size of a block in bytes.
type decompressor struct {
	codec Codec
	limit int64
	out   []byte
	flate io.ReadCloser
	zstd  *zstd.Decoder
}

func newDecompressor(codec Codec, limit int64) (*decompressor, error) {
	d := &decompressor{codec: codec, limit: limit}
	if _, err := ParseCodec(string(codec)); err != nil {
		return nil, err
	}
	if codec == CodecZstd {
		var err error
		d.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(limit)))
		if err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *decompressor) close() {
	if d.zstd != nil {
		d.zstd.Close()
	}
}

// decompress returns src decompressed. The result is valid until the next call.
func (d *decompressor) decompress(src []byte) ([]byte, error) {
	switch d.codec {
	case CodecDeflate:
		return d.inflate(src)
	case CodecSnappy:
		if len(src) < 4 {
			return nil, errShort
		}
		sum := binary.BigEndian.Uint32(src[len(src)-4:])
		src = src[:len(src)-4]
		n, err := snappy.DecodedLen(src)
		if err != nil {
			return nil, err
		}
		// Snappy's best is 64 bytes out of 3: more is a lie about the length.
		if int64(n) > d.limit || int64(n) > 32*int64(len(src))+64 {
			return nil, errTooLarge
		}
		if d.out, err = snappy.Decode(d.out[:cap(d.out)], src); err != nil {
			return nil, err
		}
		if crc32.ChecksumIEEE(d.out) != sum {
			return nil, errChecksum
		}
		return d.out, nil
	case CodecZstd:
		var err error
		d.out, err = d.zstd.DecodeAll(src, d.out[:0])
		if err == nil && int64(len(d.out)) > d.limit {
			err = errTooLarge
		}
		return d.out, err
	default:
		return src, nil
	}
}

func (d *decompressor) inflate(src []byte) ([]byte, error) {
	in := bytes.NewReader(src)
	if d.flate == nil {
		d.flate = flate.NewReader(in)
	} else if err := d.flate.(flate.Resetter).Reset(in, nil); err != nil {
		return nil, err
	}
	out := bytes.NewBuffer(d.out[:0])
	n, err := out.ReadFrom(io.LimitReader(d.flate, d.limit+1))
	d.out = out.Bytes()
	if err != nil {
		return nil, err
	}
	if n > d.limit {
		return nil, errTooLarge
	}
	return d.out, nil
}
