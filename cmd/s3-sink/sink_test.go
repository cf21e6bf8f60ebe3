package main

import (
	"testing"
	"time"

	"tributary/internal/topic"
	"tributary/lake/blob"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func TestCopiesEachRecordOnce(t *testing.T) {
	h := newHarness(t, topic.Spec{Name: "t.a", Partitions: 3}, topic.Spec{Name: "t.b", Partitions: 1})
	store := &blob.Mem{}
	sink := h.start(h.options(""), store)
	var records []topic.Record
	for i := range int64(500) {
		for p := range int32(3) {
			records = append(records, change("t.a", p, i, 2, noon.Add(time.Duration(i)*time.Second)))
		}
	}
	h.write(records[:300]...)
	h.write(records[300:]...)
	h.write(change("t.b", 0, 0, 2, noon), change("t.b", 0, 1, 3, noon))
	wait(t, "all is in bronze", func() bool {
		return count(inBronze(t, store, "t.a")) == 1500 && count(inBronze(t, store, "t.b")) == 2
	})
	h.caughtUp("t.a")
	if err := sink.stop(); err != nil {
		t.Fatal(err)
	}
	for p, ids := range inBronze(t, store, "t.a") {
		exactlyOnce(t, ids, 500)
		for id, at := range ids {
			if at[0].folder != "year=2026/month=11/day=25" {
				t.Fatalf("partition %d, record %d is in %s", p, id, at[0].folder)
			}
		}
	}
	exactlyOnce(t, inBronze(t, store, "t.b")[0], 2)
}
