package main

import (
	"context"
	"os"

	"tributary/internal/avro"
	"tributary/lake/blob"
	"tributary/lake/bronze"
)

// rows are changes of TICKIT's table sale: the keys from, from+step, …, n of
// them, with values that differ by version.
type rows struct {
	from, n, step, version int
}

const folder = "year=2026/month=11/day=25"

const valueSchema = `{"type":"record","name":"Value","namespace":"bench.public.sale","fields":[{"name":"saleid","type":"int"},` +
	`{"name":"listid","type":["null","int"],"default":null},{"name":"sellerid","type":["null","int"],"default":null},` +
	`{"name":"buyerid","type":["null","int"],"default":null},{"name":"eventid","type":["null","int"],"default":null},` +
	`{"name":"dateid","type":["null","int"],"default":null},{"name":"qtysold","type":["null","int"],"default":null},` +
	`{"name":"pricepaid","type":["null",{"type":"bytes","scale":2,"precision":8,"connect.name":"org.apache.kafka.connect.data.Decimal","logicalType":"decimal"}],"default":null},` +
	`{"name":"commission","type":["null",{"type":"bytes","scale":2,"precision":8,"connect.name":"org.apache.kafka.connect.data.Decimal","logicalType":"decimal"}],"default":null},` +
	`{"name":"saletime","type":["null",{"type":"long","connect.name":"io.debezium.time.MicroTimestamp"}],"default":null},` +
	`{"name":"__op","type":["null","string"],"default":null},{"name":"__table","type":["null","string"],"default":null},` +
	`{"name":"__lsn","type":["null","long"],"default":null},{"name":"__source_ts_ms","type":["null","long"],"default":null},` +
	`{"name":"__deleted","type":["null","string"],"default":null}]}`

// mix spreads numbers, the same way each time.
func mix(i, salt int) int {
	x := uint64(i)*0x9e3779b97f4a7c15 + uint64(salt)*0xbf58476d1ce4e5b9
	x ^= x >> 31
	x *= 0x94d049bb133111eb
	return int((x ^ x>>29) >> 1)
}

// write puts the rows into objects as the sink does, for the topic of a table
// that has as many records before.
func (r rows) write(ctx context.Context, dir, table string, offset int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	store, err := blob.NewDir(dir)
	if err != nil {
		return err
	}
	w := bronze.NewPartitionWriter(bronze.Options{
		Store: store, Root: bronze.DefaultRoot, Codec: avro.Codec("null"), Spool: bronze.NewSpool(dir, 64<<20),
	}, topicOf(table), 0, int64(offset))
	schema := &bronze.Schema{ID: 1, Text: valueSchema, KeyFields: []string{"saleid"}}
	var buf []byte
	for i := range r.n {
		buf = r.value(buf[:0], 1+r.from+i*r.step, offset+i)
		if _, err := w.Append(ctx, int64(offset+i), folder, schema, buf); err != nil {
			return err
		}
		if i%50_000 == 49_999 || i == r.n-1 {
			if _, err := w.Flush(ctx); err != nil {
				return err
			}
		}
	}
	return w.Close()
}

func topicOf(table string) string { return "bench.public." + table }

func (r rows) value(dst []byte, id, offset int) []byte {
	salt := 11 * r.version
	some := func(i int) { dst = avro.AppendLong(avro.AppendLong(dst, 1), int64(i)) }
	text := func(s string) { dst = avro.AppendString(avro.AppendLong(dst, 1), s) }
	money := func(cents int) {
		dst = avro.AppendBytes(avro.AppendLong(dst, 1), []byte{byte(cents >> 24), byte(cents >> 16), byte(cents >> 8), byte(cents)})
	}
	dst = avro.AppendLong(dst, int64(id))
	some(mix(id, salt) % 235_496)
	some(mix(id, salt+1) % 49_990)
	some(mix(id, salt+2) % 49_990)
	some(mix(id, salt+3) % 8798)
	some(1827 + mix(id, salt+4)%365)
	some(1 + mix(id, salt+5)%8)
	money(2000 + mix(id, salt+6)%1_200_000)
	money(300 + mix(id, salt+7)%180_000)
	some(1_199_145_600_000_000 + mix(id, salt+8)%31_536_000_000*1000)
	op := "r"
	if r.version > 0 {
		op = "u"
	}
	text(op)
	text("sale")
	some(1_000_000 + offset)
	some(1_714_550_400_000 + r.version)
	text("false")
	return dst
}
