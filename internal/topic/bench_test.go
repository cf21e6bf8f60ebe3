package topic_test

import (
	"encoding/binary"
	"testing"
	"time"

	"tributary/internal/topic"
)

// batchOf returns n records of 100 bytes of a table's topic, and the position.
func batchOf(n int) []topic.Record {
	now := time.Now()
	out := make([]topic.Record, 0, n+1)
	for i := range n {
		key := binary.BigEndian.AppendUint64(nil, uint64(i))
		value := make([]byte, 100)
		copy(value[50:], key)
		out = append(out, topic.Record{Topic: "data", Partition: topic.ByKey, Key: key, Value: value, Timestamp: now})
	}
	return append(out, topic.Record{Topic: "pos", Key: []byte("me"), Value: []byte("position"), Timestamp: now})
}

func benchmarkWriteTx(b *testing.B, n int) {
	broker := start(b, b.TempDir())
	o := options(broker.Addr())
	admin(b, o, topic.Spec{Name: "data", Partitions: 1}, topic.Spec{Name: "pos", Partitions: 1})
	w := writer(b, o, "bench")
	batch := batchOf(n)
	write(b, w, batch...)
	b.ReportAllocs()
	for b.Loop() {
		write(b, w, batch...)
	}
	b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "records/s")
}

// One row of one transaction: the latency of the path.
func BenchmarkWriteTx1(b *testing.B) { benchmarkWriteTx(b, 1) }

// A snapshot's batch: the throughput of the path.
func BenchmarkWriteTx10000(b *testing.B) { benchmarkWriteTx(b, 10_000) }

func BenchmarkRead(b *testing.B) {
	const n = 200_000
	broker := start(b, b.TempDir())
	o := options(broker.Addr())
	admin(b, o, topic.Spec{Name: "data", Partitions: 1}, topic.Spec{Name: "pos", Partitions: 1})
	w := writer(b, o, "bench")
	for range n / 10_000 {
		write(b, w, batchOf(10_000)...)
	}
	b.ReportAllocs()
	total := 0
	for i := 0; b.Loop(); i++ {
		r, err := topic.NewReader(b.Context(), o, group(b.Name()+time.Now().String(), "data"), nil, quiet)
		if err != nil {
			b.Fatal(err)
		}
		for got := 0; got < n; {
			batches, err := r.Poll(b.Context(), time.Second, 0)
			if err != nil {
				b.Fatal(err)
			}
			for _, bt := range batches {
				got += bt.Len()
				total += bt.Len()
			}
		}
		r.Close()
	}
	b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "records/s")
}
