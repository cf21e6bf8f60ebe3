package workload

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"tributary/internal/avro"
	"tributary/internal/topic"
	"tributary/registry"
)

// decoder reads Avro by its schemas, with code that shares nothing with what
// wrote it.
type decoder struct {
	client  *registry.Client
	schemas map[int64]*avro.Schema
}

func newDecoder(c *registry.Client) *decoder {
	return &decoder{client: c, schemas: map[int64]*avro.Schema{}}
}

// value is null (nil), a text, or the fields of a record.
type value = any

type fields map[string]value

func (d *decoder) decode(ctx context.Context, data []byte, isKey bool) (fields, error) {
	id, body, err := registry.ParseHeader(data, isKey, nil)
	if err != nil {
		return nil, err
	}
	s := d.schemas[id.Content]
	if s == nil {
		text, err := d.client.Schema(ctx, id)
		if err != nil {
			return nil, err
		}
		if s, err = avro.Parse(text); err != nil {
			return nil, err
		}
		d.schemas[id.Content] = s
	}
	b := bytesOf{body}
	v := b.value(s)
	if len(b.rest) != 0 {
		return nil, fmt.Errorf("%d bytes are left", len(b.rest))
	}
	return v.(fields), nil
}

type bytesOf struct{ rest []byte }

func (b *bytesOf) long() int64 {
	v, n := binary.Varint(b.rest) // zigzag, as in Avro
	b.rest = b.rest[n:]
	return v
}

func (b *bytesOf) take(n int) []byte {
	out := b.rest[:n]
	b.rest = b.rest[n:]
	return out
}

func (b *bytesOf) value(s *avro.Schema) value {
	switch s.Type {
	case avro.Null:
		return nil
	case avro.Boolean:
		return strconv.Itoa(int(b.take(1)[0]))
	case avro.Int, avro.Long:
		return strconv.FormatInt(b.long(), 10)
	case avro.Float:
		return strconv.FormatFloat(float64(math.Float32frombits(binary.LittleEndian.Uint32(b.take(4)))), 'g', -1, 32)
	case avro.Double:
		return strconv.FormatFloat(math.Float64frombits(binary.LittleEndian.Uint64(b.take(8))), 'g', -1, 64)
	case avro.String:
		return string(b.take(int(b.long())))
	case avro.Bytes:
		data := b.take(int(b.long()))
		if s.Logical == "decimal" {
			return decimal(data, s.Scale)
		}
		return hex.EncodeToString(data)
	case avro.Union:
		return b.value(s.Branches[b.long()])
	case avro.Record:
		out := fields{}
		for i := range s.Fields {
			out[s.Fields[i].Name] = b.value(s.Fields[i].Schema)
		}
		return out
	}
	panic(fmt.Sprintf("no test has a %s", s.Type))
}

func decimal(b []byte, scale int) string {
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(len(b))*8))
	}
	return trimZeros(new(big.Rat).SetFrac(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)).FloatString(scale))
}

// event is a record of a table's topic.
type event struct {
	offset        int64
	op            string
	key           string // the fields of the record's key, "" if it has none
	before, after fields
	place         string // where in the source it comes from
	tombstone     bool
	at            time.Time // of the record
}

func (d *decoder) event(ctx context.Context, r topic.Record, keys func(topic string) []string) (event, error) {
	e := event{offset: r.Offset, tombstone: r.Value == nil, at: r.Timestamp}
	if r.Key != nil {
		k, err := d.decode(ctx, r.Key, true)
		if err != nil {
			return e, fmt.Errorf("key: %w", err)
		}
		if e.key, err = keyOf(k, keys(r.Topic)); err != nil {
			return e, err
		}
		if names := len(keys(r.Topic)); len(k) != names {
			return e, fmt.Errorf("a key of %d columns where the table has %d", len(k), names)
		}
	}
	if e.tombstone {
		return e, nil
	}
	v, err := d.decode(ctx, r.Value, false)
	if err != nil {
		return e, fmt.Errorf("value: %w", err)
	}
	e.before, _ = v["before"].(fields)
	e.after, _ = v["after"].(fields)
	e.op, _ = v["op"].(string)
	source, ok := v["source"].(fields)
	if !ok {
		return e, errors.New("a value without a source")
	}
	for _, name := range []string{"lsn", "file", "pos", "row", "commit_lsn", "change_lsn", "event_serial_no"} {
		if text, ok := source[name].(string); ok {
			e.place += text + " "
		}
	}
	return e, nil
}

func keyOf(f fields, names []string) (string, error) {
	var parts []string
	for _, n := range names {
		text, ok := f[n].(string)
		if !ok {
			return "", fmt.Errorf("no %s among the fields of a key", n)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "|"), nil
}

// read returns the records of all topics of tables, from their beginning until
// done says that it has seen the last and nothing more comes for a while.
func (g *rig) read(ctx context.Context, done func(r topic.Record) bool) (map[string][]topic.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	reader, err := topic.NewReader(ctx, g.kafkaOptions(), topic.ReaderOptions{
		Group: "workload-" + strconv.FormatInt(time.Now().UnixNano(), 36), Regex: `wl\.(wl|public)\..*`, Reset: "earliest",
		SessionTimeout: 10 * time.Second, FetchMaxBytes: 32 << 20, PartitionMaxBytes: 8 << 20,
	}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer func() { _ = reader.Close() }()
	out := map[string][]topic.Record{}
	last, seen := time.Now(), false
	for !seen || time.Since(last) < 1500*time.Millisecond {
		batches, err := reader.Poll(ctx, 200*time.Millisecond, 0)
		if err != nil {
			return nil, err
		}
		for i := range batches {
			b := &batches[i]
			last = time.Now()
			for j := range b.Len() {
				r := b.Record(j)
				seen = seen || done(r)
				out[r.Topic] = append(out[r.Topic], r)
			}
		}
	}
	return out, nil
}

// topics returns the topics of a table, in the order of its names.
func (t *table) topics(lang dialect) []string {
	var out []string
	for _, n := range t.names {
		out = append(out, lang.topic(n))
	}
	return slices.Clip(out)
}
