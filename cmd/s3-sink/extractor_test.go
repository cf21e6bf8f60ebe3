package main

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"tributary/internal/avro"
	"tributary/internal/fault"
	"tributary/internal/topic"
	"tributary/lake/blob"
)

func TestFieldTime(t *testing.T) {
	const ms = 1795369376053
	text := func(s string) []byte { return avro.AppendString(avro.AppendLong(nil, 1), s) }
	for name, c := range map[string]struct {
		schema string
		body   []byte
		want   int64
		bad    bool
	}{
		"milliseconds":      {`"long"`, avro.AppendLong(nil, ms), ms, false},
		"logical micros":    {`{"type":"long","logicalType":"timestamp-micros"}`, avro.AppendLong(nil, ms*1000+999), ms, false},
		"debezium micros":   {`["null",{"type":"long","connect.name":"io.debezium.time.MicroTimestamp"}]`, avro.AppendLong(avro.AppendLong(nil, 1), ms*1000), ms, false},
		"before 1970":       {`{"type":"long","connect.name":"io.debezium.time.MicroTimestamp"}`, avro.AppendLong(nil, -1), -1, false},
		"debezium nanos":    {`{"type":"long","connect.name":"io.debezium.time.NanoTimestamp"}`, avro.AppendLong(nil, ms*1000_000), ms, false},
		"date":              {`{"type":"int","connect.name":"io.debezium.time.Date"}`, avro.AppendLong(nil, 2), 2 * 86_400_000, false},
		"null":              {`["null","long"]`, avro.AppendLong(nil, 0), 7, false},
		"text":              {`["null","string"]`, text("2026-11-25T12:00:00.5+01:00"), 1795604400500, false},
		"a day":             {`["null","string"]`, text("1970-01-02"), 86_400_000, false},
		"text of no time":   {`["null","string"]`, text("yesterday"), 0, true},
		"far out of range":  {`"long"`, avro.AppendLong(nil, 1<<60), 0, true},
		"day out of range":  {`{"type":"int","logicalType":"date"}`, avro.AppendLong(nil, 1<<30), 0, true},
		"damaged":           {`["null","string"]`, []byte{2, 100}, 0, true},
		"not even a branch": {`["null","string"]`, []byte{8}, 0, true},
	} {
		s, err := avro.Parse(`{"type":"record","name":"R","fields":[{"name":"at","type":` + c.schema + `}]}`)
		if err != nil {
			t.Fatal(err)
		}
		f, err := newFieldTime(s, "at")
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.of(c.body, 7)
		if c.bad != errors.Is(err, errRecord) || !c.bad && got != c.want {
			t.Errorf("%s: %d, %v; want %d", name, got, err, c.want)
		}
	}
	s, err := avro.Parse(`{"type":"record","name":"R","fields":[{"name":"b","type":"boolean"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"b", "missing"} {
		if _, err := newFieldTime(s, field); !fault.NeedsHuman(err) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestRecordField(t *testing.T) {
	h := newHarness(t, topic.Spec{Name: "t.a", Partitions: 1})
	for i := range int64(3) {
		// The record's id is its time: days after 1970.
		r := change("t.a", 0, i*86_400_000, 2, noon.Add(time.Duration(i)))
		h.write(r)
	}
	store := &blob.Mem{}
	sink := h.start(h.options("timestamp.extractor: RecordField\ntimestamp.field: id\n"), store)
	h.caughtUp("t.a")
	if err := sink.stop(); err != nil {
		t.Fatal(err)
	}
	got := inBronze(t, store, "t.a")[0]
	for i := range int64(3) {
		want := fmt.Sprintf("year=1970/month=01/day=%02d", i+1)
		if at := got[i*86_400_000]; len(at) != 1 || at[0].folder != want {
			t.Errorf("record %d is in %v, want %s", i, at, want)
		}
	}
}
