package avro

import (
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"strings"
)

// The keys of a container file's header that Avro itself defines.
const (
	MetaSchema = "avro.schema"
	MetaCodec  = "avro.codec"
)

// containerMagic begins every container file.
const containerMagic = "Obj\x01"

// Sync is the marker that ends the header and every block of a container file.
type Sync [16]byte

// SyncOf returns the marker made from the given texts: the same texts, the same
// marker. It makes files deterministic where Avro's own writers use chance.
func SyncOf(texts ...string) Sync {
	h := sha256.New()
	for _, t := range texts {
		fmt.Fprintf(h, "%d:%s", len(t), t)
	}
	return Sync(h.Sum(nil)[:16])
}

// AppendHeader appends the header of a container file: meta by ascending key,
// then the marker. meta must hold MetaSchema.
func AppendHeader(dst []byte, meta map[string]string, sync Sync) []byte {
	dst = append(dst, containerMagic...)
	if len(meta) > 0 {
		dst = AppendLong(dst, int64(len(meta)))
		for _, k := range slices.Sorted(maps.Keys(meta)) {
			dst = AppendString(dst, k)
			dst = AppendString(dst, meta[k])
		}
	}
	dst = AppendLong(dst, 0)
	return append(dst, sync[:]...)
}

// DefaultBlockSize is how many bytes of records a block holds, give or take a
// record. Readers hold one block in memory.
const DefaultBlockSize = 128 << 10

// BlockWriter writes the blocks of a container file: all but the header, which
// may be made later, when what it tells is known.
type BlockWriter struct {
	w       io.Writer
	sync    Sync
	comp    *compressor
	size    int
	block   []byte
	head    []byte
	count   int64
	records int64
	crc     uint32
	err     error // of a block that was written in part: nothing can follow it
}

// NewBlockWriter returns a writer of blocks to w. blockSize is in bytes of
// records before compression; 0 stands for DefaultBlockSize.
func NewBlockWriter(w io.Writer, sync Sync, codec Codec, blockSize int) (*BlockWriter, error) {
	comp, err := newCompressor(codec)
	if err != nil {
		return nil, err
	}
	if blockSize <= 0 {
		blockSize = DefaultBlockSize
	}
	return &BlockWriter{w: w, sync: sync, comp: comp, size: blockSize}, nil
}

// Append adds one record, encoded already; the bytes are copied. A full block
// is written to the underlying writer. After an error every further call of
// Append and Flush returns it.
func (b *BlockWriter) Append(record []byte) error {
	if b.err != nil {
		return b.err
	}
	b.block = append(b.block, record...)
	b.count++
	b.records++
	if len(b.block) >= b.size {
		return b.Flush()
	}
	return nil
}

// Flush ends the open block, if it holds any record, and writes it.
func (b *BlockWriter) Flush() error {
	if b.err != nil || b.count == 0 {
		return b.err
	}
	data, err := b.comp.compress(b.block)
	if err != nil {
		b.err = fmt.Errorf("compress a block: %w", err)
		return b.err
	}
	b.head = AppendLong(b.head[:0], b.count)
	b.head = AppendLong(b.head, int64(len(data)))
	for _, part := range [][]byte{b.head, data, b.sync[:]} {
		n, err := b.w.Write(part)
		b.crc = crc32.Update(b.crc, castagnoli, part[:n])
		if err != nil {
			b.err = fmt.Errorf("write a block: %w", err)
			return b.err
		}
	}
	b.block, b.count = b.block[:0], 0
	return nil
}

// Records returns the number of records appended.
func (b *BlockWriter) Records() int64 { return b.records }

// BodyCRC returns the CRC-32C of the bytes written to the underlying writer.
func (b *BlockWriter) BodyCRC() uint32 { return b.crc }

// Writer writes a container file to its end: header first, then blocks. The
// same header and records always make the same bytes.
type Writer struct {
	BlockWriter
}

// NewWriter writes the header to w and returns the writer of its records. The
// file is complete once Flush has returned. meta is what the header holds
// besides the schema and the codec; it may be nil.
func NewWriter(w io.Writer, schema string, codec Codec, meta map[string]string) (*Writer, error) {
	all := map[string]string{}
	maps.Copy(all, meta)
	all[MetaSchema], all[MetaCodec] = schema, string(codec)
	var texts []string
	for _, k := range slices.Sorted(maps.Keys(all)) {
		texts = append(texts, k, all[k])
	}
	sync := SyncOf(texts...)
	b, err := NewBlockWriter(w, sync, codec, 0)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(AppendHeader(nil, all, sync)); err != nil {
		return nil, fmt.Errorf("write the header: %w", err)
	}
	return &Writer{BlockWriter: *b}, nil
}

// metaText shortens a header's value for an error.
func metaText(s string) string {
	if len(s) > 40 {
		s = strings.ToValidUTF8(s[:40], "?") + "…"
	}
	return fmt.Sprintf("%q", s)
}
