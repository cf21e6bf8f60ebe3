package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"tributary/internal/avro"
	"tributary/internal/broker"
	"tributary/internal/column"
	"tributary/internal/config"
	"tributary/internal/fault"
	"tributary/internal/topic"
	"tributary/lake/blob"
	"tributary/lake/bronze"
	"tributary/registry"
)

// fixedRegistry is a registry that never changes.
type fixedRegistry map[int64]string

func (r fixedRegistry) Schema(_ context.Context, id registry.ID) (string, error) {
	if text, ok := r[id.Content]; ok {
		return text, nil
	}
	return "", fault.Human(fmt.Errorf("look up schema %s: %w", id, registry.ErrUnknownID), "register it")
}

// The schemas of the tests: 1 is a key, 2 and 3 are versions of a value.
var schemasOfTests = fixedRegistry{
	1: `{"type":"record","name":"Key","namespace":"t","fields":[{"name":"id","type":"long"}]}`,
	2: `{"type":"record","name":"Value","namespace":"t","fields":[{"name":"id","type":"long"},{"name":"text","type":["null","string"],"default":null}]}`,
	3: `{"type":"record","name":"Value","namespace":"t","fields":[{"name":"id","type":"long"},{"name":"text","type":["null","string"],"default":null},{"name":"more","type":"int","default":0}]}`,
}

func wire(id uint32, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, id), body...)
}

// change returns a record whose value has the id n and the given schema.
func change(topicName string, partition int32, n int64, schema uint32, at time.Time) topic.Record {
	body := avro.AppendLong(nil, n)
	body = avro.AppendString(avro.AppendLong(body, 1), fmt.Sprintf("row %d", n))
	if schema == 3 {
		body = avro.AppendLong(body, 7)
	}
	return topic.Record{
		Topic: topicName, Partition: partition, Timestamp: at,
		Key: wire(1, avro.AppendLong(nil, n)), Value: wire(schema, body),
	}
}

var quiet = slog.New(slog.DiscardHandler)

type harness struct {
	t      testing.TB
	broker *broker.Broker
	writer *topic.Writer
	admin  *topic.Admin
	clock  func() time.Time // of the sinks; nil: the real one
}

func newHarness(t testing.TB, specs ...topic.Spec) *harness {
	t.Helper()
	b, err := broker.Start(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	h := &harness{t: t, broker: b}
	o := h.options("").Options
	if h.admin, err = topic.NewAdmin(t.Context(), o, quiet); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.admin.Close)
	if err := h.admin.EnsureTopics(t.Context(), specs...); err != nil {
		t.Fatal(err)
	}
	if h.writer, err = topic.NewWriter(t.Context(), o, "test", quiet); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.writer.Close)
	return h
}

// options parses a configuration as the daemon does.
func (h *harness) options(extra string) *options {
	h.t.Helper()
	text := "bootstrap.servers: " + h.broker.Addr() + "\n" + extra
	for _, d := range []struct{ unless, line string }{
		{"group.id", "group.id: sink"},
		{"schema.registry.url", "schema.registry.url: http://127.0.0.1:1"},
		{"store.url", "store.url: file:///nowhere"},
		{"topics", `topics.regex: t\..*`},
		{"flush.size", "flush.size: 1000000"},
		{"rotate.", "rotate.idle.ms: 20"},
	} {
		if !strings.Contains(extra, d.unless) {
			text += d.line + "\n"
		}
	}
	o := &options{}
	if err := config.Parse("test.yaml", []byte(text), o); err != nil {
		h.t.Fatal(err)
	}
	return o
}

func (h *harness) write(records ...topic.Record) {
	h.t.Helper()
	if err := h.writer.WriteTx(h.t.Context(), records); err != nil {
		h.t.Fatal(err)
	}
}

// running is a sink at work.
type running struct {
	t       testing.TB
	cancel  context.CancelFunc
	done    chan error
	metrics *metrics
}

// start runs a sink. It must be stopped, or be waited for.
func (h *harness) start(o *options, store blob.Store) *running {
	h.t.Helper()
	m := newMetrics(prometheus.NewRegistry())
	s, err := buildSink(o, store, schemasOfTests, m, h.log())
	if err != nil {
		h.t.Fatal(err)
	}
	if h.clock != nil {
		s.clock = h.clock
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{t: h.t, cancel: cancel, done: make(chan error, 1), metrics: m}
	go func() { r.done <- s.run(ctx) }()
	return r
}

// stop asks the sink to end, and returns how it ended.
func (r *running) stop() error {
	r.t.Helper()
	r.cancel()
	return r.ended()
}

// ended waits for the sink to end by itself.
func (r *running) ended() error {
	r.t.Helper()
	defer r.cancel()
	select {
	case err := <-r.done:
		return err
	case <-time.After(60 * time.Second):
		r.t.Fatal("the sink does not end")
		return nil
	}
}

// openFiles returns how many files the sink has open, as its metrics say.
func (r *running) openFiles() float64 {
	var v dto.Metric
	if err := r.metrics.openFiles.Write(&v); err != nil {
		r.t.Fatal(err)
	}
	return v.GetGauge().GetValue()
}

func (h *harness) log() *slog.Logger {
	if testing.Verbose() && os.Getenv("SINK_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return quiet
}

// place is where a record was found.
type place struct {
	key    string
	folder string
}

// inBronze reads every record of a topic: by partition, where each id was found.
func inBronze(t testing.TB, store blob.Store, topicName string) map[int32]map[int64][]place {
	t.Helper()
	out := map[int32]map[int64][]place{}
	last := map[string]int64{}
	for info, err := range bronze.List(t.Context(), store, "topics", topicName, nil) {
		if err != nil {
			t.Fatal(err)
		}
		ids, meta := readObject(t, store, info.Key)
		chain := fmt.Sprint(info.Folder, "+", info.Partition)
		if before, ok := last[chain]; ok && meta.First <= before {
			t.Errorf("%s overlaps with the object before it, which ends at %d", info.Key, before)
		}
		last[chain] = meta.Last
		if meta.First != info.First || meta.Partition != info.Partition || meta.Topic != topicName {
			t.Errorf("%s: header %+v", info.Key, meta)
		}
		m := out[info.Partition]
		if m == nil {
			m = map[int64][]place{}
			out[info.Partition] = m
		}
		for _, id := range ids {
			m[id] = append(m[id], place{info.Key, info.Folder})
		}
	}
	return out
}

func readObject(t testing.TB, store blob.Store, key string) ([]int64, bronze.Meta) {
	t.Helper()
	o, err := bronze.Open(t.Context(), store, key)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	schema, err := avro.Parse(o.SchemaText())
	if err != nil {
		t.Fatal(err)
	}
	plan, err := avro.Compile(schema, []avro.Target{{Path: "id", Kind: column.Int}, {Path: "text", Kind: column.Bytes}})
	if err != nil {
		t.Fatal(err)
	}
	batch := plan.NewBatch()
	for {
		b, err := o.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := plan.WalkAll(b.Data, b.Count, batch); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
	}
	for i := range batch.Len {
		if got, want := string(batch.Cols[1].Value(i)), fmt.Sprintf("row %d", batch.Cols[0].Ints[i]); got != want {
			t.Errorf("%s: record %d holds %q, want %q", key, i, got, want)
		}
	}
	if !slices.Equal(o.KeyFields, []string{"id"}) {
		t.Errorf("%s: key fields %q", key, o.KeyFields)
	}
	return batch.Cols[0].Ints, o.Meta
}

// wait calls f until it returns true.
func wait(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("timed out: %s", what)
}

func count(m map[int32]map[int64][]place) int {
	n := 0
	for _, ids := range m {
		n += len(ids)
	}
	return n
}

// exactlyOnce checks that a partition holds the ids from 0 to below n, each
// once.
func exactlyOnce(t testing.TB, ids map[int64][]place, n int64) {
	t.Helper()
	for id := range n {
		if len(ids[id]) != 1 {
			t.Errorf("record %d is in bronze %d times: %v", id, len(ids[id]), ids[id])
		}
	}
	if int64(len(ids)) > n {
		t.Errorf("bronze holds unknown records: %v", slices.Sorted(maps.Keys(ids)))
	}
}

// caughtUp waits until the group has committed past the last record of every
// partition.
func (h *harness) caughtUp(topicName string) {
	h.t.Helper()
	h.groupCaughtUp("sink", topicName)
}

func (h *harness) groupCaughtUp(group, topicName string) {
	h.t.Helper()
	ends, err := h.admin.End(h.t.Context(), topicName)
	if err != nil {
		h.t.Fatal(err)
	}
	wait(h.t, "the group has committed", func() bool {
		got, err := h.admin.Committed(h.t.Context(), group)
		if err != nil {
			return false // no such group yet
		}
		for p, end := range ends {
			// Behind the last record is the mark that ends its transaction.
			if end > 0 && got[p] < end-1 {
				return false
			}
		}
		return true
	})
}

func tempStore(t testing.TB) (blob.Store, string) {
	t.Helper()
	dir := t.TempDir()
	s, err := blob.NewDir(filepath.Join(dir, "lake"))
	if err != nil {
		t.Fatal(err)
	}
	return s, filepath.Join(dir, "lake")
}
