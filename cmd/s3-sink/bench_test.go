package main

import (
	"fmt"
	"testing"
	"time"

	"tributary/internal/topic"
	"tributary/lake/blob"
)

// BenchmarkSink copies topics that are there already into a local directory,
// from joining the group to the commit of the last offset.
func BenchmarkSink(b *testing.B) {
	const n, perTx = 1_000_000, 10_000
	h := newHarness(b, topic.Spec{Name: "t.a", Partitions: 1})
	records := make([]topic.Record, perTx)
	for i := range records {
		records[i] = change("t.a", 0, int64(i), 2, noon)
	}
	for range n / perTx {
		h.write(records...)
	}
	run := 0
	var spent time.Duration
	for b.Loop() {
		run++
		store, err := blob.NewDir(b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		group := fmt.Sprintf("sink-%d", run)
		o := h.options("group.id: " + group + "\nflush.size: 50000\nrotate.schedule.interval.ms: 500\nrotate.idle.ms: 100\n")
		start := time.Now()
		sink := h.start(o, store)
		wait(b, "all is committed", func() bool {
			got, err := h.admin.Committed(b.Context(), group)
			return err == nil && got[topic.Partition{Topic: "t.a"}] >= n
		})
		spent += time.Since(start)
		if err := sink.stop(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)*float64(run)/spent.Seconds(), "records/s")
}
