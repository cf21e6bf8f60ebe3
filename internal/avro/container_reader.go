package avro

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Limits of a container file that is read. A file from elsewhere is not trusted.
const (
	maxHeader   = 2*MaxSchemaSize + 1<<20
	maxMetaKeys = 1000
	// MaxBlock is the most bytes that a block may hold, compressed or not.
	MaxBlock = 256 << 20
)

const (
	errMagic   malformed = "this is no avro container file: it does not begin with Obj and 1"
	errSync    malformed = "the marker after a block is not the file's: the file is damaged here or before"
	errNoMeta  malformed = "the header lacks avro.schema"
	errMeta    malformed = "the header is damaged"
	errCut     malformed = "the file ends in the middle: it was cut off"
	errMetaDup malformed = "a key of the header occurs twice"
)

// castagnoli is the table of CRC-32C, which processors have an instruction for.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// FileError says in which file and where in it the data is wrong. ErrCorrupt is
// in its chain, unless the file could not be read at all.
type FileError struct {
	File   string
	Offset int64
	Err    error
}

func (e *FileError) Error() string {
	return fmt.Sprintf("read %s at byte %d: %v", e.File, e.Offset, e.Err)
}

func (e *FileError) Unwrap() error { return e.Err }

// Block is one block of a container file, decompressed.
type Block struct {
	Offset int64  // where the block begins in the file
	Count  int    // number of records
	Data   []byte // the records end to end; valid until the next call of Next
}

// Reader reads a container file block by block.
type Reader struct {
	name    string
	src     *bufio.Reader
	size    int64
	pos     int64
	meta    map[string]string
	sync    Sync
	decomp  *decompressor
	head    []byte // the bytes of the numbers before the current block
	raw     []byte
	crc     uint32
	records int64
	err     error
}

// NewReader reads the header of a file of size bytes. name stands for the file
// in errors. Close releases the codec; r stays the caller's.
func NewReader(r io.ReaderAt, size int64, name string) (*Reader, error) {
	a := &Reader{name: name, size: size, src: bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 64<<10)}
	if err := a.header(); err != nil {
		return nil, err
	}
	codec, err := ParseCodec(a.meta[MetaCodec])
	if err != nil {
		return nil, a.fail(0, err)
	}
	if a.decomp, err = newDecompressor(codec, MaxBlock); err != nil {
		return nil, a.fail(0, err)
	}
	return a, nil
}

// Meta returns the header's value of a key, and whether there is one.
func (a *Reader) Meta(key string) (string, bool) {
	v, ok := a.meta[key]
	return v, ok
}

// SchemaText returns the writer schema as the header has it.
func (a *Reader) SchemaText() string { return a.meta[MetaSchema] }

// Records returns the number of records in the blocks read so far.
func (a *Reader) Records() int64 { return a.records }

// BodyCRC returns the CRC-32C of the bytes of the blocks read so far.
func (a *Reader) BodyCRC() uint32 { return a.crc }

// Offset returns the position in the file: at first the end of the header, then
// the end of the last block.
func (a *Reader) Offset() int64 { return a.pos }

// Close releases what the reader holds.
func (a *Reader) Close() error {
	a.decomp.close()
	return nil
}

// Next returns the next block, or io.EOF at the end of the file. After an error
// it goes on returning that error.
func (a *Reader) Next() (Block, error) {
	if a.err != nil {
		return Block{}, a.err
	}
	b, err := a.next()
	if err != nil {
		a.err = err
	}
	return b, err
}

func (a *Reader) next() (Block, error) {
	start := a.pos
	if start == a.size {
		return Block{}, io.EOF
	}
	a.head = a.head[:0]
	count, err := a.long()
	if err != nil {
		return Block{}, a.fail(start, err)
	}
	size, err := a.long()
	if err != nil {
		return Block{}, a.fail(start, err)
	}
	switch {
	case count < 0 || count > MaxBlock:
		return Block{}, a.fail(start, errCount)
	case size < 0:
		return Block{}, a.fail(start, errLength)
	case size > MaxBlock:
		return Block{}, a.fail(start, errTooLarge)
	case size > a.size-a.pos-int64(len(a.sync)):
		return Block{}, a.fail(start, errCut)
	}
	need := int(size) + len(a.sync)
	if cap(a.raw) < need {
		a.raw = make([]byte, need)
	}
	a.raw = a.raw[:need]
	if err := a.full(a.raw); err != nil {
		return Block{}, a.fail(start, err)
	}
	if Sync(a.raw[size:]) != a.sync {
		return Block{}, a.fail(start, errSync)
	}
	data, err := a.decomp.decompress(a.raw[:size])
	if err != nil {
		return Block{}, a.fail(start, fmt.Errorf("%w: %s: %w", ErrCorrupt, a.decomp.codec, err))
	}
	a.records += count
	a.crc = crc32.Update(crc32.Update(a.crc, castagnoli, a.head), castagnoli, a.raw)
	return Block{Offset: start, Count: int(count), Data: data}, nil
}

func (a *Reader) header() error {
	var magic [len(containerMagic)]byte
	if err := a.full(magic[:]); err != nil || string(magic[:]) != containerMagic {
		if err != nil && !errors.Is(err, errCut) {
			return a.fail(0, err)
		}
		return a.fail(0, errMagic)
	}
	a.meta = map[string]string{}
	for {
		at := a.pos
		n, err := a.long()
		if err != nil {
			return a.fail(at, err)
		}
		if n == 0 {
			break
		}
		if n < 0 { // a block with its size
			if n = -n; n > 0 {
				if _, err := a.long(); err != nil {
					return a.fail(at, err)
				}
			}
		}
		if n < 0 || n > maxMetaKeys || len(a.meta)+int(n) > maxMetaKeys {
			return a.fail(at, errMeta)
		}
		for range n {
			if err := a.entry(); err != nil {
				return err
			}
		}
	}
	if err := a.full(a.sync[:]); err != nil {
		return a.fail(a.pos, err)
	}
	if _, ok := a.meta[MetaSchema]; !ok {
		return a.fail(0, errNoMeta)
	}
	return nil
}

func (a *Reader) entry() error {
	at := a.pos
	key, err := a.text()
	if err != nil {
		return a.fail(at, err)
	}
	value, err := a.text()
	if err != nil {
		return a.fail(at, fmt.Errorf("key %s: %w", metaText(key), err))
	}
	if _, dup := a.meta[key]; dup {
		return a.fail(at, fmt.Errorf("%w: %s", errMetaDup, metaText(key)))
	}
	a.meta[key] = value
	return nil
}

func (a *Reader) text() (string, error) {
	n, err := a.long()
	if err != nil {
		return "", err
	}
	if n < 0 || n > maxHeader || a.pos+n > maxHeader {
		return "", errMeta
	}
	if n > a.size-a.pos {
		return "", errCut
	}
	buf := make([]byte, n)
	if err := a.full(buf); err != nil {
		return "", err
	}
	return string(buf), nil
}

func (a *Reader) long() (int64, error) {
	start := len(a.head)
	for range binary.MaxVarintLen64 {
		c, err := a.src.ReadByte()
		if err != nil {
			return 0, cut(err)
		}
		a.pos++
		a.head = append(a.head, c)
		if c < 0x80 {
			v, n := varint(a.head[start:])
			if n <= 0 {
				return 0, varintError(n)
			}
			return v, nil
		}
	}
	return 0, errVarint
}

func (a *Reader) full(buf []byte) error {
	n, err := io.ReadFull(a.src, buf)
	a.pos += int64(n)
	return cut(err)
}

// cut turns the two ends of file into the error that says what it means here.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errCut
	}
	return err
}

func (a *Reader) fail(offset int64, err error) error {
	return &FileError{File: a.name, Offset: offset, Err: err}
}
