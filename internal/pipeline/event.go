package pipeline

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math"
	"math/big"
	"strconv"
	"time"
	"tributary/internal/avro"
	"tributary/internal/column"
	"tributary/internal/topic"
	"tributary/registry"
)

// Field is a named value of an event, in words.
type Field struct{ Name, Value string }

// Event is a decoded record of Kafka.
type Event struct {
	Topic    string
	Offset   int64
	Size     int // bytes of the value
	SchemaID int64
	Key      []Field
	Value    []Field
}

// Get returns the value of the field of that name, or "".
func Get(fields []Field, name string) string {
	for _, f := range fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// Events reads the last n records of a topic of one partition, through the
// broker and the registry, as any other consumer would.
func (p *Pipeline) Events(ctx context.Context, name string, n int64) ([]Event, error) {
	client, err := registry.New(p.RegistryURL, registry.Options{})
	if err != nil {
		return nil, err
	}
	var events []Event
	err = p.eachRecord(ctx, name, n, func(r topic.Record) error {
		e, err := decodeEvent(ctx, client, r)
		events = append(events, e)
		return err
	})
	return events, err
}

// Count returns how many records a topic of one partition holds.
func (p *Pipeline) Count(ctx context.Context, name string) (int64, error) {
	n := int64(0)
	err := p.eachRecord(ctx, name, math.MaxInt64, func(topic.Record) error {
		n++
		return nil
	})
	return n, err
}

// eachRecord reads the last n offsets of a topic of one partition. Those that
// mark the ends of transactions are not records.
func (p *Pipeline) eachRecord(ctx context.Context, name string, n int64, each func(topic.Record) error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	log := slog.New(slog.DiscardHandler)
	admin, err := topic.NewAdmin(ctx, p.kafkaOptions("demo"), log)
	if err != nil {
		return err
	}
	defer admin.Close()
	ends, err := admin.End(ctx, name)
	if err != nil {
		return err
	}
	end := ends[topic.Partition{Topic: name}]
	reader, err := topic.NewReader(ctx, p.kafkaOptions("demo"), topic.ReaderOptions{
		Group: "demo-" + strconv.FormatInt(time.Now().UnixNano(), 36), Topics: []string{name}, Reset: "earliest",
		SessionTimeout: 10 * time.Second, FetchMaxBytes: 8 << 20, PartitionMaxBytes: 2 << 20,
	}, startAt(max(0, end-n)), log)
	if err != nil {
		return err
	}
	defer func() { _ = reader.Close() }()
	for seen, idle := false, 0; !seen || idle < 3; {
		batches, err := reader.Poll(ctx, 200*time.Millisecond, 0)
		if err != nil {
			return err
		}
		idle++
		for _, b := range batches {
			seen, idle = true, 0
			for i := range b.Len() {
				if err := each(b.Record(i)); err != nil {
					return err
				}
				if b.Offset(i) == end-1 {
					return nil
				}
			}
		}
	}
	return nil
}

// startAt is the owner of a reader that begins at an offset.
type startAt int64

func (s startAt) Assigned(_ context.Context, committed map[topic.Partition]int64) error {
	for p := range committed {
		committed[p] = int64(s)
	}
	return nil
}

func (startAt) Revoked(context.Context, []topic.Partition) error { return nil }

func (startAt) Lost([]topic.Partition) {}

func decodeEvent(ctx context.Context, client *registry.Client, r topic.Record) (Event, error) {
	e := Event{Topic: r.Topic, Offset: r.Offset, Size: len(r.Value)}
	var err error
	if e.Key, _, err = decode(ctx, client, r.Key, true); err != nil {
		return e, fmt.Errorf("decode the key at offset %d: %w", r.Offset, err)
	}
	if r.Value == nil {
		return e, nil
	}
	if e.Value, e.SchemaID, err = decode(ctx, client, r.Value, false); err != nil {
		return e, fmt.Errorf("decode the value at offset %d: %w", r.Offset, err)
	}
	return e, nil
}

func decode(ctx context.Context, client *registry.Client, data []byte, isKey bool) ([]Field, int64, error) {
	id, body, err := registry.ParseHeader(data, isKey, nil)
	if err != nil {
		return nil, 0, err
	}
	text, err := client.Schema(ctx, id)
	if err != nil {
		return nil, 0, err
	}
	schema, err := avro.Parse(text)
	if err != nil {
		return nil, 0, err
	}
	var targets []avro.Target
	for _, f := range schema.Fields {
		kind, _ := f.Schema.Kind()
		targets = append(targets, avro.Target{Path: f.Name, Kind: kind})
	}
	plan, err := avro.Compile(schema, targets)
	if err != nil {
		return nil, 0, err
	}
	batch := plan.NewBatch()
	if _, err := plan.Walk(body, batch); err != nil {
		return nil, 0, err
	}
	var fields []Field
	for i, f := range schema.Fields {
		fields = append(fields, Field{f.Name, inWords(f.Schema.NonNull(), &batch.Cols[i])})
	}
	return fields, id.Content, nil
}

// inWords writes the one value of a column as a person reads it.
func inWords(s *avro.Schema, c *column.Column) string {
	switch {
	case c.IsNull(0):
		return "null"
	case s.Type == avro.Boolean:
		return strconv.FormatBool(c.Ints[0] != 0)
	case c.Kind == column.Int:
		return strconv.FormatInt(c.Ints[0], 10)
	case c.Kind == column.Float:
		return strconv.FormatFloat(c.Floats[0], 'g', -1, 64)
	case s.Logical == "decimal":
		return decimal(c.Value(0), s.Scale)
	case s.Type == avro.String || s.Type == avro.Enum:
		return string(c.Value(0))
	default:
		return "0x" + hex.EncodeToString(c.Value(0))
	}
}

// decimal writes a big-endian two's complement number with scale digits after
// the point.
func decimal(b []byte, scale int) string {
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(len(b))*8))
	}
	divisor := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)
	return new(big.Rat).SetFrac(n, divisor).FloatString(scale)
}
