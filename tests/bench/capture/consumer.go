package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"tributary/internal/topic"
)

// consumer counts the committed records of one topic as they arrive.
type consumer struct {
	cancel context.CancelFunc
	done   chan struct{}
	ready  chan struct{}

	mu       sync.Mutex
	n        int
	head     int // how many came at first
	first    time.Time
	last     time.Time
	arrivals []time.Time // of each record, while keep is set
	keep     bool
	err      error
}

// consume returns once the consumer waits for records.
func (s *stack) consume(ctx context.Context, name string) (*consumer, error) {
	if err := s.createTopic(ctx, name); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	c := &consumer{cancel: cancel, done: make(chan struct{}), ready: make(chan struct{})}
	reader, err := topic.NewReader(ctx, s.kafkaOptions(), topic.ReaderOptions{
		Group: "bench-" + strconv.FormatInt(time.Now().UnixNano(), 36), Topics: []string{name}, Reset: "earliest",
		SessionTimeout: 10 * time.Second, FetchMaxBytes: 8 << 20, PartitionMaxBytes: 4 << 20,
	}, c, slog.New(slog.DiscardHandler))
	if err != nil {
		cancel()
		return nil, err
	}
	go c.run(ctx, reader)
	select {
	case <-c.ready:
	case <-time.After(15 * time.Second):
		c.close()
		return nil, fmt.Errorf("consume %s: the group gives no partition", name)
	}
	return c, nil
}

func (c *consumer) run(ctx context.Context, r *topic.Reader) {
	defer close(c.done)
	defer func() { _ = r.Close() }()
	for ctx.Err() == nil {
		batches, err := r.Poll(ctx, time.Second, 0)
		now := time.Now()
		c.mu.Lock()
		if err != nil && ctx.Err() == nil {
			c.err = err
			c.mu.Unlock()
			return
		}
		for i := range batches {
			n := batches[i].Len()
			if c.n == 0 {
				c.first, c.head = now, n
			}
			c.n, c.last = c.n+n, now
			if c.keep {
				for range n {
					c.arrivals = append(c.arrivals, now)
				}
			}
		}
		c.mu.Unlock()
	}
}

// Assigned, Revoked and Lost make it the owner of its reader.
func (c *consumer) Assigned(context.Context, map[topic.Partition]int64) error {
	close(c.ready)
	return nil
}

// Revoked has nothing to give back.
func (c *consumer) Revoked(context.Context, []topic.Partition) error { return nil }

// Lost has nothing to drop.
func (c *consumer) Lost([]topic.Partition) {}

// rate is how many records a second have come since the first ones.
func (c *consumer) rate() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return float64(c.n-c.head) / max(c.last.Sub(c.first), time.Millisecond).Seconds()
}

func (c *consumer) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// wait waits until n records have come; alive tells whether they still can.
func (c *consumer) wait(ctx context.Context, n int, limit time.Duration, alive func() error) error {
	for end := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		c.mu.Lock()
		have, err := c.n, c.err
		c.mu.Unlock()
		if have >= n {
			return nil
		}
		if err := errors.Join(err, alive(), ctx.Err()); err != nil {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d records after %s", have, n, limit)
		}
	}
}

func (c *consumer) close() {
	c.cancel()
	<-c.done
}
