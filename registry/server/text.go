package server

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// maxStoredText bounds what a stored text may unpack to, in bytes: a damaged
// file must not exhaust the memory.
const maxStoredText = 1 << 30

// codec compresses texts. It is safe for many goroutines.
type codec struct {
	encoder *zstd.Encoder
	decoder *zstd.Decoder
}

// zipped is the codec of all stored texts: schemas shrink to a tenth. It holds
// no state.
var zipped = newCodec()

func newCodec() codec {
	// Neither fails with these options.
	encoder, err1 := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(64<<10))
	decoder, err2 := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxStoredText))
	if err1 != nil || err2 != nil {
		panic(fmt.Sprint(err1, err2))
	}
	return codec{encoder, decoder}
}

func (c codec) encode(text []byte) []byte { return c.encoder.EncodeAll(text, nil) }

func (c codec) decode(stored []byte) ([]byte, error) { return c.decoder.DecodeAll(stored, nil) }
