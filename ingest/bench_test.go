package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/internal/avro"
	"tributary/lake/blob"
	"tributary/lake/bronze"
)

const benchRows = 172_456

// saleValue appends a TICKIT sale as MySQL's flat form has it.
func saleValue(dst []byte, i int) []byte {
	for _, v := range []int64{int64(i), int64(i % 9000), int64(i * 7 % 50_000), int64(i * 13 % 50_000), int64(i % 8798), int64(1827 + i%365), int64(1 + i%8)} {
		dst = avro.AppendLong(dst, v)
	}
	dst = avro.AppendBytes(avro.AppendLong(dst, 1), []byte{byte(i >> 8), byte(i)})
	dst = avro.AppendBytes(avro.AppendLong(dst, 1), []byte{byte(i)})
	dst = avro.AppendString(avro.AppendLong(dst, 1), "2008-08-21T12:50:13Z")
	for _, s := range []string{"false", "r", "ecomm", "sale"} {
		dst = avro.AppendString(avro.AppendLong(dst, 1), s)
	}
	dst = avro.AppendLong(avro.AppendLong(dst, 1), 1_795_368_845_000)
	dst = avro.AppendString(avro.AppendLong(dst, 1), "bin.000009")
	dst = avro.AppendLong(avro.AppendLong(dst, 1), 2996)
	return avro.AppendLong(avro.AppendLong(dst, 1), int64(i))
}

func saleFlatSchema() string {
	cols := ""
	for _, n := range []string{"salesid", "listid", "sellerid", "buyerid", "eventid", "dateid", "qtysold"} {
		cols += `{"name":"` + n + `","type":"int"},`
	}
	for _, n := range []string{"pricepaid", "commission"} {
		cols += `{"name":"` + n + `","type":["null",{"type":"bytes","scale":2,"precision":8,"connect.name":"org.apache.kafka.connect.data.Decimal","logicalType":"decimal"}],"default":null},`
	}
	cols += `{"name":"saletime","type":["null",{"type":"string","connect.name":"io.debezium.time.ZonedTimestamp"}],"default":null}`
	for _, f := range []string{"deleted string", "op string", "db string", "table string", "source_ts_ms long", "file string", "pos long", "row int"} {
		var n, t string
		if _, err := fmt.Sscan(f, &n, &t); err != nil {
			panic(err)
		}
		cols += `,{"name":"__` + n + `","type":["null","` + t + `"],"default":null}`
	}
	return `{"type":"record","name":"Value","namespace":"tickit.ecomm.sale","fields":[` + cols + `]}`
}

// benchBronze writes the sales, in objects of 10,000.
func benchBronze(b *testing.B, store blob.Store) {
	b.Helper()
	opt := bronze.Options{Store: store, Root: bronze.DefaultRoot, Codec: avro.Codec("null"), Spool: bronze.NewSpool(b.TempDir(), 256<<20)}
	w := bronze.NewPartitionWriter(opt, "tickit.ecomm.sale", 0, 0)
	schema := &bronze.Schema{ID: 7, Text: saleFlatSchema(), KeyFields: []string{"salesid"}}
	var buf []byte
	for i := range benchRows {
		buf = saleValue(buf[:0], i)
		if _, err := w.Append(b.Context(), int64(i), "year=2026/month=11/day=25", schema, buf); err != nil {
			b.Fatal(err)
		}
		if i%10_000 == 9_999 || i == benchRows-1 {
			if _, err := w.Flush(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
}

func benchService(bronzeStore, lakeStore blob.Store) *Service {
	return &Service{
		Settings: Settings{
			Bronze: bronzeStore, BronzeRoot: bronze.DefaultRoot, Lake: lakeStore, LakeRoot: "silver", Database: "db",
			TableName: "${table}", Placeholder: "__debezium_unavailable_value", CommitBytes: 8 << 20,
			Log: slog.New(slog.DiscardHandler), Now: time.Now,
		},
		Wants: func(string) bool { return true }, Poll: time.Second, Refresh: time.Second, Parallel: 1,
		Metrics: NewMetrics(prometheus.NewRegistry()),
	}
}

// BenchmarkDecode walks the sales from bronze bytes into the table's columns.
func BenchmarkDecode(b *testing.B) {
	s, err := avro.Parse(saleFlatSchema())
	if err != nil {
		b.Fatal(err)
	}
	f, err := formOf(s)
	if err != nil {
		b.Fatal(err)
	}
	table := f.schema([]string{"salesid"})
	d, err := newDecoder(s, f, table, []string{"salesid"})
	if err != nil {
		b.Fatal(err)
	}
	const n = 10_000
	var block []byte
	for i := range n {
		block = saleValue(block, i)
	}
	c := newChanges(table)
	b.SetBytes(int64(len(block)))
	b.ReportAllocs()
	for b.Loop() {
		c.reset()
		if err := d.object(c, &oneBlock{block: avro.Block{Count: n, Data: block}}, decodeOptions{placeholder: []byte("__debezium_unavailable_value")}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
}

// BenchmarkLoad is the whole way of TICKIT's sales: bronze objects on a local
// directory to committed base files on one.
func BenchmarkLoad(b *testing.B) {
	bronzeStore, err := blob.NewDir(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	benchBronze(b, bronzeStore)
	for b.Loop() {
		b.StopTimer()
		lakeStore, err := blob.NewDir(b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := benchService(bronzeStore, lakeStore).Once(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(benchRows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkSmallCommit is the commit of one changed row of a table of TICKIT's
// sales: what it adds to the time from a change to its being seen.
func BenchmarkSmallCommit(b *testing.B) {
	dir := b.TempDir()
	store, err := blob.NewDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	benchBronze(b, store)
	s := benchService(store, store)
	s.init()
	topic := NewTopic(&s.Settings, "tickit.ecomm.sale")
	admit := func(int) (func(), error) { return func() {}, nil }
	for {
		p, err := topic.Sync(b.Context(), admit)
		if err != nil {
			b.Fatal(err)
		}
		if p.Objects == 0 {
			break
		}
	}
	opt := bronze.Options{Store: store, Root: bronze.DefaultRoot, Codec: avro.Codec("null"), Spool: bronze.NewSpool(dir, 1<<20)}
	w := bronze.NewPartitionWriter(opt, "tickit.ecomm.sale", 0, benchRows)
	schema := &bronze.Schema{ID: 7, Text: saleFlatSchema(), KeyFields: []string{"salesid"}}
	i := 0
	for b.Loop() {
		b.StopTimer()
		if _, err := w.Append(b.Context(), int64(benchRows+i), "year=2026/month=11/day=25", schema, saleValue(nil, i*997%benchRows)); err != nil {
			b.Fatal(err)
		}
		if _, err := w.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
		i++
		b.StartTimer()
		if _, err := topic.Sync(b.Context(), admit); err != nil {
			b.Fatal(err)
		}
	}
	topic.Close(b.Context())
}
