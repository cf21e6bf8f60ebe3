package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/internal/topic"
)

// TestDelayOfSQLServer measures how long a change takes from its appearance in the
// change table to Kafka, in the whole daemon: half of them are to take at most a poll
// interval and 10 ms. It prints what it measured (-v).
func TestDelayOfSQLServer(t *testing.T) {
	const poll, changes = 200 * time.Millisecond, 60
	srv, db := model(t)
	if err := db.EnableTable("dbo", "item", ""); err != nil {
		t.Fatal(err)
	}
	s := newStack(t)
	path := s.sqlserverFile(t, srv, "")
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte(strings.Replace(string(text), "poll.interval.ms: 20", fmt.Sprintf("poll.interval.ms: %d", poll.Milliseconds()), 1)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	start(t, path)
	insert := func(id int) time.Time {
		if err := db.Exec(fmt.Sprintf("INSERT INTO dbo.item VALUES (%d, N'an item', 1.5)", id)); err != nil {
			t.Fatal(err)
		}
		return time.Now() // the model captures at the commit: it is in the change table now
	}
	insert(0)
	s.atLeast(t, "test.crm.dbo.item", 1) // the topic is there, and the daemon in its rhythm
	arrived := arrivals(t, s, "test.crm.dbo.item", changes+1)

	var appeared []time.Time
	for i := range changes {
		time.Sleep(time.Duration(rand.IntN(45)) * time.Millisecond) // at any moment between polls
		appeared = append(appeared, insert(i+1))
	}
	all := <-arrived
	if len(all) != changes+1 {
		t.Fatalf("%d records", len(all))
	}
	var delays []time.Duration
	for i, at := range appeared {
		delays = append(delays, all[i+1].Sub(at))
	}
	slices.Sort(delays)
	p50, p99 := delays[changes/2], delays[changes*99/100]
	t.Logf("poll.interval.ms %d: from the change table to Kafka p50 %.1f ms, p99 %.1f ms", poll.Milliseconds(), float64(p50.Microseconds())/1000, float64(p99.Microseconds())/1000)
	if p50 > poll+10*time.Millisecond {
		t.Errorf("p50 is %s, want at most %s", p50, poll+10*time.Millisecond)
	}
}

// arrivals notes when each of the first n records of a topic comes.
func arrivals(t *testing.T, s stack, name string, n int) <-chan []time.Time {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	o := topic.Options{Brokers: []string{s.kafka}, ClientID: "test", Protocol: "PLAINTEXT", Compression: "none", MaxRequest: 1 << 20}
	r, err := topic.NewReader(ctx, o, topic.ReaderOptions{
		Group: "delay", Topics: []string{name}, Reset: "earliest", SessionTimeout: 10 * time.Second, FetchMaxBytes: 8 << 20, PartitionMaxBytes: 2 << 20,
	}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	out, first := make(chan []time.Time, 1), make(chan struct{})
	told := first
	go func() {
		defer func() { _ = r.Close() }() // it is only read
		var all []time.Time
		for len(all) < n && ctx.Err() == nil {
			batches, err := r.Poll(ctx, time.Second, 0)
			if err != nil {
				break
			}
			now := time.Now()
			for i := range batches {
				for range batches[i].Len() {
					all = append(all, now)
				}
			}
			if len(all) > 0 && told != nil {
				close(told)
				told = nil
			}
		}
		out <- all
	}()
	select {
	case <-first:
	case <-ctx.Done():
		t.Fatal("the first record does not come")
	}
	return out
}
