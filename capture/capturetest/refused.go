package capturetest

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/capture"
	"tributary/capture/snapshot"
	"tributary/envelope"
)

// testIncrementalRefused asks for rows by conditions that no server understands:
// the snapshots are given up with an error in the log, the position forgets them,
// and the log goes on, as does a snapshot that can be taken.
func testIncrementalRefused(t *testing.T, h Harness) {
	h.create(t, 60)
	chunks, ok := h.Source(t, capture.DefaultLimits(), 1000).(snapshot.Chunks)
	if !ok {
		t.Fatal("the source cannot read chunks")
	}
	var log strings.Builder
	notifier := (&capture.Options{Prefix: "x", Notifications: []string{"sink"}}).Notifier(nil)
	x := snapshot.NewIncremental(chunks, snapshot.IncrementalOptions{ChunkRows: 23, Notifier: notifier, Log: slog.New(slog.NewTextHandler(&log, nil))})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := x.Open(ctx, nil); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := x.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	m := &later{rows: make(map[int64]int64)}
	var at capture.Position
	skipped := 0
	take := func() {
		t.Helper()
		b, err := x.Next(ctx)
		if err != nil {
			t.Fatalf("%v\n%s", err, &log)
		}
		for i := range b.List {
			if c := &b.List[i]; c.Table != nil {
				m.apply(t, c)
			} else if c.Event != nil && c.Event.Note != nil && slices.ContainsFunc(c.Event.Note.Data, func(p envelope.Param) bool { return p.Value == "SKIPPED" }) {
				skipped++
			}
		}
		if len(b.End) > 0 {
			at = slices.Clone(b.End)
		}
		if err := x.Ack(ctx, at); err != nil {
			t.Fatal(err)
		}
	}
	for len(m.rows) < 60 { // the first snapshot
		take()
	}
	filters := []string{"nonesuch > 1", "id >", "nonesuch(id) = 1"}
	for _, f := range filters {
		x.Signal(execute(`(.*\.)?t`, f))
		for x.Working() {
			take()
		}
	}
	if n := strings.Count(log.String(), "level=ERROR"); n != len(filters) || skipped != len(filters) || m.read > 0 {
		t.Errorf("%d errors in the log, %d notifications, %d rows were read\n%s", n, skipped, m.read, &log)
	}
	if _, working := snapshot.Split(at); working {
		t.Errorf("the position has the snapshot still: %s", at)
	}
	x.Signal(execute(`(.*\.)?t`, "id > 30"))
	for m.read < 30 {
		take()
	}
	h.finish(t)
	for !m.done {
		take()
	}
}
