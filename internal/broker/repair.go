package broker

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The layout of kfake's folder that the repair relies on, format version 1:
//
//	meta.json                       {"version":1,…}
//	pids.log                        producer ids: entries of 4 bytes length,
//	                                4 bytes CRC-32C, 2 bytes version, JSON
//	partitions/TOPIC-N/BASE.dat     record batches as on the wire
//	partitions/TOPIC-N/BASE.idx     15 bytes for each batch, see indexEntry
//	session_state.json,             written by a clean stop and of no use after
//	seq_windows.json                a kill
const formatVersion = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// repair makes the data whole that a killed broker left in dir: it cuts torn
// ends, ends every transaction that was open, and renews the producer ids.
func repair(dir string) error {
	raw, err := os.ReadFile(filepath.Join(dir, "meta.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil // nothing was ever acknowledged
	}
	if err != nil {
		return err
	}
	var meta struct{ Version int }
	if err := json.Unmarshal(raw, &meta); err != nil {
		return fmt.Errorf("meta.json: %w", err)
	}
	if meta.Version != formatVersion {
		return fmt.Errorf("meta.json: format version %d is not %d", meta.Version, formatVersion)
	}
	producer, commit, decided, err := readDecision(dir)
	if err != nil {
		return err
	}
	parts, err := os.ReadDir(filepath.Join(dir, "partitions"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, p := range parts {
		part := filepath.Join(dir, "partitions", p.Name())
		open, err := scan(part)
		if err != nil {
			return fmt.Errorf("partition %s: %w", p.Name(), err)
		}
		for _, t := range open {
			if err := endOpen(part, t, decided && commit && t.producer == producer); err != nil {
				return fmt.Errorf("partition %s: end an open transaction: %w", p.Name(), err)
			}
		}
	}
	if err := renewProducers(filepath.Join(dir, "pids.log")); err != nil {
		return fmt.Errorf("pids.log: %w", err)
	}
	for _, stale := range []string{"session_state.json", "seq_windows.json"} {
		if err := os.Remove(filepath.Join(dir, stale)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// openTx is a transaction that has records in a partition and no end.
type openTx struct {
	producer int64
	epoch    int16
}

// segments returns the base offsets of a partition's files, ascending.
func segments(part string) ([]int64, error) {
	entries, err := os.ReadDir(part)
	if err != nil {
		return nil, err
	}
	var bases []int64
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".dat"); ok {
			if base, err := strconv.ParseInt(name, 10, 64); err == nil {
				bases = append(bases, base)
			}
		}
	}
	slices.Sort(bases)
	return bases, nil
}

func segmentPath(part string, base int64, ext string) string {
	return filepath.Join(part, strconv.FormatInt(base, 10)+ext)
}

// scan reads a partition, cuts torn ends, completes the index, and returns the
// transactions that are open at its end, in the order of their begin.
func scan(part string) ([]openTx, error) {
	bases, err := segments(part)
	if err != nil {
		return nil, err
	}
	var open []openTx
	var buf []byte
	for _, base := range bases {
		var batches []batchHeader
		buf, err = readSegment(segmentPath(part, base, ".dat"), buf, func(h batchHeader) {
			batches = append(batches, h)
			if !h.transactional() {
				return
			}
			i := slices.IndexFunc(open, func(t openTx) bool { return t.producer == h.producer })
			switch {
			case h.control() && i >= 0:
				open = slices.Delete(open, i, i+1)
			case !h.control() && i < 0:
				open = append(open, openTx{h.producer, h.producerEpoch})
			}
		})
		if err != nil {
			return nil, err
		}
		if err := completeIndex(segmentPath(part, base, ".idx"), batches); err != nil {
			return nil, err
		}
	}
	return open, nil
}

// batchHeader is what the repair needs to know of a record batch.
type batchHeader struct {
	base, last    int64 // offsets
	leaderEpoch   int32
	attributes    int16
	maxTimestamp  int64
	producer      int64
	producerEpoch int16
}

func (h *batchHeader) transactional() bool { return h.attributes&0x10 != 0 }
func (h *batchHeader) control() bool       { return h.attributes&0x20 != 0 }

// headerSize is the length of a batch before its records.
const headerSize = 61

// readSegment calls f for each whole batch of the file and cuts off what
// follows the last. It returns buf, which it may have grown, for reuse.
func readSegment(path string, buf []byte, f func(batchHeader)) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return buf, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return buf, err
	}
	at := int64(0)
	for at < info.Size() {
		var head [12]byte
		if _, err := file.ReadAt(head[:], at); err != nil {
			break // fewer than 12 bytes are left
		}
		size := 12 + int64(binary.BigEndian.Uint32(head[8:]))
		if size < headerSize || size > 1<<30 || at+size > info.Size() {
			break
		}
		buf = slices.Grow(buf[:0], int(size))[:size]
		if _, err := file.ReadAt(buf, at); err != nil {
			return buf, err
		}
		if crc32.Checksum(buf[21:], castagnoli) != binary.BigEndian.Uint32(buf[17:]) {
			break
		}
		h := batchHeader{
			base:          int64(binary.BigEndian.Uint64(buf)),
			leaderEpoch:   int32(binary.BigEndian.Uint32(buf[12:])),
			attributes:    int16(binary.BigEndian.Uint16(buf[21:])),
			maxTimestamp:  int64(binary.BigEndian.Uint64(buf[35:])),
			producer:      int64(binary.BigEndian.Uint64(buf[43:])),
			producerEpoch: int16(binary.BigEndian.Uint16(buf[51:])),
		}
		h.last = h.base + int64(int32(binary.BigEndian.Uint32(buf[23:])))
		f(h)
		at += size
	}
	if at < info.Size() {
		return buf, file.Truncate(at)
	}
	return buf, nil
}

const indexEntrySize = 15

// indexEntry describes a batch in the .idx file, little-endian: 1 byte format
// version, 1 byte of the CRC-32C of what follows, 4 bytes leader epoch, 8 bytes
// greatest timestamp so far, 1 byte that is 1 for records of a transaction.
func indexEntry(h batchHeader) []byte {
	e := make([]byte, 2, indexEntrySize)
	e[0] = formatVersion
	e = binary.LittleEndian.AppendUint32(e, uint32(h.leaderEpoch))
	e = binary.LittleEndian.AppendUint64(e, uint64(h.maxTimestamp))
	if h.transactional() && !h.control() {
		e = append(e, 1)
	} else {
		e = append(e, 0)
	}
	e[1] = byte(crc32.Checksum(e[2:], castagnoli))
	return e
}

// completeIndex makes the index hold one entry for each batch: a kill comes
// between the write of a batch and of its entry, too.
func completeIndex(path string, batches []batchHeader) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	have := min(int(info.Size()/indexEntrySize), len(batches))
	if err := f.Truncate(int64(have) * indexEntrySize); err != nil {
		return err
	}
	for i, h := range batches[have:] {
		if _, err := f.WriteAt(indexEntry(h), int64(have+i)*indexEntrySize); err != nil {
			return err
		}
	}
	return nil
}

// endOpen appends the marker that ends a transaction to a partition.
func endOpen(part string, t openTx, commit bool) error {
	bases, err := segments(part)
	if err != nil {
		return err
	}
	base := bases[len(bases)-1]
	next, epoch := base, int32(0)
	// The last segment may be empty: its name is the next offset then.
	if _, err := readSegment(segmentPath(part, base, ".dat"), nil, func(h batchHeader) {
		next, epoch = h.last+1, h.leaderEpoch
	}); err != nil {
		return err
	}
	batch := marker(t, commit, next, epoch, time.Now().UnixMilli())
	if err := appendTo(segmentPath(part, base, ".dat"), batch); err != nil {
		return err
	}
	return appendTo(segmentPath(part, base, ".idx"), indexEntry(batchHeader{leaderEpoch: epoch, attributes: 0x30}))
}

func appendTo(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

// marker encodes a transaction's end as Kafka's coordinator writes it.
func marker(t openTx, commit bool, offset int64, leaderEpoch int32, now int64) []byte {
	key := kmsg.ControlRecordKey{Type: kmsg.ControlRecordKeyTypeAbort}
	if commit {
		key.Type = kmsg.ControlRecordKeyTypeCommit
	}
	end := kmsg.EndTxnMarker{}
	rec := kmsg.Record{Key: key.AppendTo(nil), Value: end.AppendTo(nil)}
	rec.Length = int32(len(rec.AppendTo(nil)) - 1) // its own length takes one byte
	b := kmsg.RecordBatch{
		FirstOffset: offset, PartitionLeaderEpoch: leaderEpoch, Magic: 2, Attributes: 0x30, // control, transactional
		FirstTimestamp: now, MaxTimestamp: now, ProducerID: t.producer, ProducerEpoch: t.epoch,
		FirstSequence: -1, NumRecords: 1, Records: rec.AppendTo(nil),
	}
	out := b.AppendTo(nil)
	binary.BigEndian.PutUint32(out[8:], uint32(len(out)-12))
	binary.BigEndian.PutUint32(out[17:], crc32.Checksum(out[21:], castagnoli))
	return out
}

// renewProducers gives every producer name a producer id that was never used:
// whoever goes on with an old one is refused and has to begin anew.
func renewProducers(path string) error {
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	type entry struct {
		Type    string `json:"type"`
		PID     int64  `json:"pid"`
		Epoch   int16  `json:"epoch"`
		TxID    string `json:"txid,omitempty"`
		Timeout int32  `json:"timeout,omitempty"`
	}
	timeouts := make(map[string]int32)
	for len(raw) >= 10 {
		size := int64(binary.LittleEndian.Uint32(raw))
		if size < 2 || 8+size > int64(len(raw)) || crc32.Checksum(raw[8:8+size], castagnoli) != binary.LittleEndian.Uint32(raw[4:]) {
			break // a torn end
		}
		var e entry
		if v := binary.LittleEndian.Uint16(raw[8:]); v != formatVersion {
			return fmt.Errorf("format version %d is not %d", v, formatVersion)
		}
		if err := json.Unmarshal(raw[10:8+size], &e); err != nil {
			return err
		}
		if e.TxID != "" {
			timeouts[e.TxID] = e.Timeout
		}
		raw = raw[8+size:]
	}
	var out []byte
	for name, timeout := range timeouts {
		text, err := json.Marshal(entry{Type: "init", PID: rand.Int64N(math.MaxInt64), TxID: name, Timeout: timeout})
		if err != nil {
			return err
		}
		body := binary.LittleEndian.AppendUint16(nil, formatVersion)
		body = append(body, text...)
		out = binary.LittleEndian.AppendUint32(out, uint32(len(body)))
		out = binary.LittleEndian.AppendUint32(out, crc32.Checksum(body, castagnoli))
		out = append(out, body...)
	}
	if err := os.WriteFile(path+".new", out, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
