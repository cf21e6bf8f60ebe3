package lake

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"tributary/internal/fault"
)

// LogFile is a file of changes to a file group of a merge-on-read table.
type LogFile struct {
	Key       string // in the store
	FileID    string
	Instant   string // of the slice that it belongs to, not of the changes in it
	Partition string
	Version   int
	Token     string
	Size      int64 // bytes
}

var logName = regexp.MustCompile(`^\.(.+)_([0-9]+)\.log\.([0-9]{1,9})(?:_([0-9]+-[0-9]+-[0-9]+))?$`)

// parseLogFile reads a log file's name: .<fileId>_<base instant>.log.<n>_<token>.
func parseLogFile(name string) (f LogFile, ok bool) {
	m := logName.FindStringSubmatch(name)
	if m == nil {
		return LogFile{}, false
	}
	n, err := strconv.Atoi(m[3])
	if err != nil {
		return LogFile{}, false
	}
	return LogFile{FileID: m[1], Instant: m[2], Version: n, Token: m[4]}, true
}

// The kinds of block in a log file.
const (
	blockCommand = 0
	blockDelete  = 1
	blockCorrupt = 2
	blockAvro    = 3
	blockHFile   = 4
	blockParquet = 5
	blockCDC     = 6
)

// The keys of a block's header.
const (
	headerInstant   = 0
	headerTarget    = 1
	headerSchema    = 2
	headerCommand   = 3
	headerCompacted = 4
	headerPartial   = 7
)

// logBlock is a block of a log file. Its bytes are those of the file.
type logBlock struct {
	kind    int
	header  map[int]string
	content []byte
}

var (
	logMagic    = []byte("#HUDI#")
	errLogBlock = errors.New("malformed log block")
)

const (
	logVersion   = 1  // of the blocks' frame
	maxLogHeader = 64 // entries of a header
)

// parseLog returns the blocks of a log file. A block that a crashed writer left
// half written is passed over, as Hudi does: the next magic goes on. torn reports
// that there was one.
func parseLog(b []byte) (out []logBlock, torn bool, err error) {
	for len(b) > 0 {
		if !bytes.HasPrefix(b, logMagic) {
			return out, torn, fmt.Errorf("%w: no magic", errLogBlock)
		}
		rest := b[len(logMagic):]
		block, size, err := parseBlock(rest)
		if err == nil {
			out = append(out, block)
			b = rest[size:]
			continue
		}
		if !errors.Is(err, errLogBlock) {
			return out, torn, err
		}
		torn = true
		next := bytes.Index(rest, logMagic)
		if next < 0 {
			return out, torn, nil
		}
		b = rest[next:]
	}
	return out, torn, nil
}

// parseBlock reads a block behind its magic and returns its bytes there.
func parseBlock(b []byte) (block logBlock, size int, err error) {
	r := logReader{b: b}
	length := r.long()
	if r.err != nil || length < 8 || length > int64(len(r.b)) {
		return block, 0, errLogBlock
	}
	size = 8 + int(length)
	// The block ends with its own length, for those who read from the end: one that
	// does not is torn.
	back := logReader{b: r.b[length-8 : length]}
	if back.long() != length+int64(len(logMagic)) {
		return block, 0, errLogBlock
	}
	r.b = r.b[:length-8]
	if v := r.int(); r.err == nil && v != logVersion {
		return block, 0, fault.Humanf(mergeHint, "log block of version %d is not supported, only %d", v, logVersion)
	}
	block.kind = int(r.int())
	block.header = r.headers()
	n := r.long()
	block.content = r.take(n)
	r.headers() // the footer
	if r.err != nil || len(r.b) > 0 {
		return logBlock{}, 0, errLogBlock
	}
	return block, size, nil
}

// logReader reads big-endian integers within bounds; the first error stays.
type logReader struct {
	b   []byte
	err error
}

func (r *logReader) take(n int64) []byte {
	if n < 0 || n > int64(len(r.b)) {
		r.err, r.b = errLogBlock, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *logReader) int() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *logReader) long() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (r *logReader) headers() map[int]string {
	n := r.int()
	if n < 0 || n > maxLogHeader {
		r.err, r.b = errLogBlock, nil
		return nil
	}
	out := make(map[int]string, n)
	for ; n > 0 && r.err == nil; n-- {
		key := int(r.int())
		out[key] = string(r.take(int64(r.int())))
	}
	return out
}

// contentVersion is that of the content of data and delete blocks. The older
// ones hold objects in Java's own forms.
const contentVersion = 3

// avroRecords returns the records of an Avro data block, each in Avro's binary
// form.
func (b *logBlock) avroRecords() ([][]byte, error) {
	r := logReader{b: b.content}
	if v := r.int(); r.err == nil && v != contentVersion {
		return nil, fault.Humanf(mergeHint, "avro data block of version %d is not supported, only %d", v, contentVersion)
	}
	n := r.int()
	if n < 0 || int64(n)*4 > int64(len(r.b)) {
		return nil, errLogBlock
	}
	out := make([][]byte, 0, n)
	for ; n > 0; n-- {
		out = append(out, r.take(int64(r.int())))
	}
	return out, r.err
}

// logDelete is a key that a delete block removes.
type logDelete struct {
	key   string
	order ordering
}

// deleteListSchema is that of a delete block's content. The kinds of ordering
// value are records of one field each.
var deleteListSchema = func() string {
	wrapper := func(name, typ string) string {
		return `{"type":"record","name":"` + name + `Wrapper","fields":[{"name":"value","type":` + typ + `}]}`
	}
	return `{"type":"record","name":"HoodieDeleteRecordList","namespace":"org.apache.hudi.avro.model","fields":[` +
		`{"name":"deleteRecordList","type":{"type":"array","items":{"type":"record","name":"HoodieDeleteRecord","fields":[` +
		`{"name":"recordKey","type":["null","string"]},{"name":"partitionPath","type":["null","string"]},` +
		`{"name":"orderingVal","type":["null",` +
		wrapper("Boolean", `"boolean"`) + `,` + wrapper("Int", `"int"`) + `,` + wrapper("Long", `"long"`) + `,` +
		wrapper("Float", `"float"`) + `,` + wrapper("Double", `"double"`) + `,` + wrapper("Bytes", `"bytes"`) + `,` +
		wrapper("String", `"string"`) + `,` + wrapper("Date", `"int"`) + `,` + wrapper("Decimal", `"bytes"`) + `,` +
		wrapper("TimeMicros", `"long"`) + `,` + wrapper("TimestampMicros", `"long"`) + `]}]}}}]}`
}()

// deleteScale is that of the decimals in a delete block, whatever the column's.
const deleteScale = 15

// deletes returns the keys of a delete block.
func (b *logBlock) deletes() ([]logDelete, error) {
	r := logReader{b: b.content}
	if v := r.int(); r.err == nil && v != contentVersion {
		return nil, fault.Humanf(mergeHint, "delete block of version %d is not supported, only %d", v, contentVersion)
	}
	body := r.take(int64(r.int()))
	if r.err != nil {
		return nil, r.err
	}
	schema, err := parseAvroSchema([]byte(deleteListSchema))
	if err != nil {
		return nil, err
	}
	a := &avroReader{b: body}
	rec, _ := a.value(schema).(map[string]any)
	if a.err != nil {
		return nil, a.err
	}
	list, _ := rec["deleteRecordList"].([]any)
	out := make([]logDelete, 0, len(list))
	for _, x := range list {
		d, _ := x.(map[string]any)
		key, ok := d["recordKey"].(string)
		if !ok {
			continue
		}
		w, _ := d["orderingVal"].(map[string]any)
		out = append(out, logDelete{key: key, order: orderingOf(w["value"])})
	}
	return out, nil
}
