package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"tributary/internal/avro"
	"tributary/internal/fault"
	"tributary/internal/topic"
	"tributary/lake/bronze"
)

// partition is what the sink holds of one Kafka partition.
type partition struct {
	id     topic.Partition
	sink   *sink
	writer *bronze.PartitionWriter
	aside  *bronze.PartitionWriter // nil until a record is kept aside
	start  int64                   // where reading began

	// The last record's schema ids as raw bytes, and what they stand for: the
	// next record nearly always has the same.
	valueHead, keyHead [headLen]byte
	keyed              bool
	known              *known

	// The folder that times from folderFrom to before folderUntil go to.
	folder                  string
	folderFrom, folderUntil int64

	first    int64     // time of the first record since the last flush, ms
	since    time.Time // when the first record came since the last flush; zero = none
	touched  time.Time // when the last record came
	position int64     // offset after the last record taken
	end      int64     // the broker's end of the partition
}

// headLen is the length of what the Confluent wire format puts before a body.
const headLen = 5

func (s *sink) newPartition(id topic.Partition, next int64) *partition {
	return &partition{
		id: id, sink: s, start: next, position: next,
		writer: bronze.NewPartitionWriter(s.bronze, id.Topic, id.ID, next),
	}
}

// take writes the records of a batch into the partition's open files, flushing
// where it must.
func (p *partition) take(ctx context.Context, b *topic.Batch) error {
	now := time.Now()
	p.end = b.HighWatermark
	for i := range b.Len() {
		if err := p.record(ctx, b, i, now); err != nil {
			return fmt.Errorf("%s partition %d, offset %d: %w", p.id.Topic, p.id.ID, b.Offset(i), err)
		}
	}
	p.touched = now
	return nil
}

func (p *partition) record(ctx context.Context, b *topic.Batch, i int, now time.Time) error {
	offset, value := b.Offset(i), b.Value(i)
	ms := b.Time(i).UnixMilli()
	if err := p.rotateBefore(ctx, ms, now); err != nil {
		return err
	}
	p.position = offset + 1
	if value == nil {
		if p.sink.opt.NullValues == "fail" {
			return fault.Humanf("set behavior.on.null.values: ignore, or have the source leave out tombstones", "the value is null")
		}
		p.writer.Skip(offset)
		p.sink.metrics.skipped.WithLabelValues(p.id.Topic).Inc()
		return nil
	}
	known, body, err := p.schemaOf(ctx, b, i)
	at := ms
	switch {
	case err != nil:
	case p.sink.bronze.Linear:
		at = p.sink.clock().UnixMilli()
	case known.time != nil:
		at, err = known.time.of(body, ms)
	}
	if errors.Is(err, errRecord) {
		return p.keepAside(ctx, b, i, err)
	}
	if err != nil {
		return err
	}
	schema := known.schema
	if at < p.folderFrom || at >= p.folderUntil {
		p.folder, p.folderFrom, p.folderUntil = p.sink.folders.Folder(p.id.ID, at)
	}
	if p.writer.NeedsFlush(p.folder, schema) {
		if err := p.sink.flush(ctx, p); err != nil {
			return err
		}
		p.began(ms, now)
	}
	if _, err = p.writer.Append(ctx, offset, p.folder, schema, body); err == nil {
		return nil
	}
	// Where the folder ends in the store could not be found out.
	return p.sink.persist(ctx, p.id, func() error {
		_, err := p.writer.Append(ctx, offset, p.folder, schema, body)
		return err
	})
}

// rotateBefore flushes when the record to come does not belong to the open files
// any more.
func (p *partition) rotateBefore(ctx context.Context, ms int64, now time.Time) error {
	o := p.sink.opt
	if p.since.IsZero() {
		p.began(ms, now)
		return nil
	}
	records, bytes := p.writer.Pending()
	late := o.RotateInterval > 0 && ms-p.first >= o.RotateInterval.Milliseconds()
	if records < o.FlushSize && bytes < o.FlushBytes && p.writer.Folders() <= o.MaxOpenFiles && !late {
		return nil
	}
	if err := p.sink.flush(ctx, p); err != nil {
		return err
	}
	p.began(ms, now)
	return nil
}

func (p *partition) began(ms int64, now time.Time) { p.first, p.since = ms, now }

// due returns when the open files are to be put for the clock's sake; ok is
// false when never.
func (p *partition) due() (at time.Time, ok bool) {
	if p.since.IsZero() {
		return time.Time{}, false
	}
	if d := p.sink.opt.RotateSchedule; d > 0 {
		// Full intervals are counted from midnight, as the Confluent sink does.
		_, shift := p.since.In(p.sink.opt.zone).Zone()
		local := time.Duration(shift) * time.Second
		at, ok = p.since.Add(local).Truncate(d).Add(d).Add(-local), true
	}
	if d := p.sink.opt.RotateIdle; d > 0 {
		if idle := p.touched.Add(d); !ok || idle.Before(at) {
			at, ok = idle, true
		}
	}
	return at, ok
}

func (p *partition) full() bool {
	records, bytes := p.writer.Pending()
	return records >= p.sink.opt.FlushSize || bytes >= p.sink.opt.FlushBytes
}

// schemaOf returns the schema of a record and its body.
func (p *partition) schemaOf(ctx context.Context, b *topic.Batch, i int) (*known, []byte, error) {
	value, key := b.Value(i), b.Key(i)
	plain := len(b.Headers(i)) == 0 && len(value) >= headLen && (key == nil || len(key) >= headLen)
	if plain && p.known != nil && p.keyed == (key != nil) && [headLen]byte(value) == p.valueHead &&
		(key == nil || [headLen]byte(key) == p.keyHead) {
		return p.known, value[headLen:], nil
	}
	var found *known
	var body []byte
	err := p.sink.persist(ctx, p.id, func() (err error) {
		found, body, err = p.sink.schemas.of(ctx, b, i)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	p.known = nil
	// Only the form with the id in just these bytes can be told by them.
	if plain && len(body) == len(value)-headLen {
		p.known, p.valueHead, p.keyed = found, [headLen]byte(value), key != nil
		if p.keyed {
			p.keyHead = [headLen]byte(key)
		}
	}
	return found, body, nil
}

// asideSchema describes a record that was kept aside.
var asideSchema = &bronze.Schema{
	Text: `{"type":"record","name":"Record","namespace":"tributary.quarantine","fields":[` +
		`{"name":"topic","type":"string"},{"name":"partition","type":"int"},{"name":"offset","type":"long"},` +
		`{"name":"timestamp","type":{"type":"long","logicalType":"timestamp-millis"}},` +
		`{"name":"key","type":["null","bytes"]},{"name":"value","type":["null","bytes"]},` +
		`{"name":"headers","type":{"type":"map","values":["null","bytes"]}},{"name":"reason","type":"string"}]}`,
	KeyFields: []string{"topic", "partition", "offset"},
}

// asideDir is the folder below topics.dir for records that were kept aside.
const asideDir = "_quarantine"

// keepAside writes a record that cannot be written into the quarantine, or
// stops the sink.
func (p *partition) keepAside(ctx context.Context, b *topic.Batch, i int, why error) error {
	offset := b.Offset(i)
	if p.sink.opt.Tolerance != "all" {
		return fault.Human(why, "have the record's producer write it with a schema of this registry, or set errors.tolerance: all to keep such records aside")
	}
	if p.aside == nil {
		opt := p.sink.bronze
		opt.Root += "/" + asideDir
		p.aside = bronze.NewPartitionWriter(opt, p.id.Topic, p.id.ID, p.writer.Next())
	}
	r := b.Record(i)
	var buf []byte
	buf = avro.AppendString(buf, r.Topic)
	buf = avro.AppendLong(buf, int64(r.Partition))
	buf = avro.AppendLong(buf, r.Offset)
	buf = avro.AppendLong(buf, r.Timestamp.UnixMilli())
	buf = appendNullable(buf, r.Key)
	buf = appendNullable(buf, r.Value)
	if len(r.Headers) > 0 {
		buf = avro.AppendLong(buf, int64(len(r.Headers)))
		for n, h := range r.Headers {
			key := h.Key
			for _, before := range r.Headers[:n] {
				if before.Key == h.Key { // a map holds a key once
					key += "#" + strconv.Itoa(n)
					break
				}
			}
			buf = appendNullable(avro.AppendString(buf, key), h.Value)
		}
	}
	buf = avro.AppendLong(buf, 0)
	buf = avro.AppendString(buf, why.Error())
	if _, err := p.aside.Append(ctx, offset, "", asideSchema, buf); err != nil {
		return err
	}
	p.writer.Skip(offset)
	p.sink.metrics.aside.WithLabelValues(p.id.Topic).Inc()
	p.sink.log.Warn("record kept aside", "topic", r.Topic, "partition", r.Partition, "offset", offset, "reason", why.Error())
	return nil
}

func appendNullable(dst, v []byte) []byte {
	if v == nil {
		return avro.AppendLong(dst, 0)
	}
	return avro.AppendBytes(avro.AppendLong(dst, 1), v)
}

// put writes the partition's open files, first what was kept aside.
func (p *partition) put(ctx context.Context) (objects []bronze.Flushed, err error) {
	if p.aside != nil {
		if _, err := p.aside.Flush(ctx); err != nil {
			return nil, fmt.Errorf("keep records aside: %w", err)
		}
	}
	objects, err = p.writer.Flush(ctx)
	if err == nil {
		p.since = time.Time{}
	}
	return objects, err
}

func (p *partition) close() error {
	err := p.writer.Close()
	if p.aside != nil {
		err = errors.Join(err, p.aside.Close())
	}
	return err
}
