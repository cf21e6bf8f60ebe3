package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"tributary/capture/snapshot"
	"tributary/internal/fault"
	"tributary/internal/topic"
)

// incremental wraps a source so that it takes snapshots of tables while it
// streams.
func (c *connector) incremental(s snapshot.Chunks, log *slog.Logger) *snapshot.Incremental {
	o := snapshot.IncrementalOptions{ChunkRows: c.common.ChunkRows, Aside: c.common.KeepsFailures(), Notifier: c.common.Notifier(log), Log: log}
	if c.common.SignalsFrom("source") {
		o.Table = c.common.SignalTable
	}
	return snapshot.NewIncremental(s, o)
}

// takeSignals reads the channels of signals other than the database until ctx
// ends.
func (c *connector) takeSignals(ctx context.Context, x *snapshot.Incremental, log *slog.Logger) error {
	g, ctx := errgroup.WithContext(ctx)
	if c.common.SignalsFrom("kafka") {
		g.Go(func() error { return c.topicSignals(ctx, x, log) })
	}
	if c.common.SignalsFrom("file") {
		g.Go(func() error { return c.fileSignals(ctx, x, log) })
	}
	if err := g.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// topicSignals takes the records of the signal topic, and commits them when a
// position tells of what they said. What fails is tried again: signals are not
// worth ending the capture for.
func (c *connector) topicSignals(ctx context.Context, x *snapshot.Incremental, log *slog.Logger) error {
	for ctx.Err() == nil {
		err := c.readSignals(ctx, x, log)
		if fault.NeedsHuman(err) {
			return fmt.Errorf("read signals: %w", err)
		}
		if err != nil && ctx.Err() == nil {
			log.Warn("reading signals failed; trying again", "error", err)
			pause(ctx, 5*time.Second)
		}
	}
	return nil
}

func (c *connector) readSignals(ctx context.Context, x *snapshot.Incremental, log *slog.Logger) error {
	name := c.common.SignalTopicName()
	admin, err := topic.NewAdmin(ctx, c.emit.Options, log)
	if err != nil {
		return err
	}
	err = admin.EnsureTopics(ctx, topic.Spec{Name: name, Partitions: 1})
	admin.Close()
	if err != nil {
		return err
	}
	r, err := topic.NewReader(ctx, c.emit.Options, topic.ReaderOptions{
		Group: c.common.Name + "-signals", Topics: []string{name}, Reset: "earliest",
		SessionTimeout: 10 * time.Second, FetchMaxBytes: 1 << 20, PartitionMaxBytes: 1 << 20,
	}, nil, log)
	if err != nil {
		return err
	}
	part := topic.Partition{Topic: name}
	var obeyed atomic.Int64 // the next offset
	committed := int64(0)
	commit := func(ctx context.Context) error {
		next := obeyed.Load()
		if next == committed {
			return nil
		}
		if err := r.Commit(ctx, map[topic.Partition]int64{part: next}); err != nil {
			return err
		}
		committed = next
		return nil
	}
	defer func() {
		// What was obeyed until now is not obeyed again at the next start.
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		if err := commit(bounded); err != nil {
			log.Warn("signals that were obeyed will be obeyed again", "error", err)
		}
		// There is nothing to flush. Leaving waits for a join that is under way, and the
		// broker does not answer that before members that were killed are given up.
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			_ = r.Close()
		}()
		select {
		case <-closed:
		case <-bounded.Done():
		}
	}()
	for {
		batches, err := r.Poll(ctx, time.Second, 0)
		if err != nil {
			return err
		}
		for i := range batches {
			for j := range batches[i].Len() {
				next := batches[i].Offset(j) + 1
				if string(batches[i].Key(j)) != c.common.Prefix {
					continue // for another connector
				}
				s, err := snapshot.ParseMessage(batches[i].Value(j))
				if err != nil {
					log.Warn("signal not understood", "topic", name, "offset", next-1, "error", err)
					continue
				}
				s.Done = func() { obeyed.Store(next) }
				x.Signal(s)
			}
		}
		if err := commit(ctx); err != nil {
			return err
		}
	}
}

// fileSignals takes the lines of the signal file and empties it.
func (c *connector) fileSignals(ctx context.Context, x *snapshot.Incremental, log *slog.Logger) error {
	every := max(c.common.SignalPoll, 10*time.Millisecond)
	for ; ctx.Err() == nil; pause(ctx, every) {
		text, err := os.ReadFile(c.common.SignalFile)
		if errors.Is(err, fs.ErrNotExist) || err == nil && len(text) == 0 {
			continue
		}
		if err == nil {
			err = os.Truncate(c.common.SignalFile, 0)
		}
		if err != nil {
			return fault.Human(fmt.Errorf("read signals: %w", err), "make signal.file readable and writable, or take file out of signal.enabled.channels")
		}
		for n, line := range strings.Split(string(text), "\n") {
			if strings.TrimSpace(line) == "" {
				continue
			}
			s, err := snapshot.ParseMessage([]byte(line))
			if err != nil {
				log.Warn("signal not understood", "file", c.common.SignalFile, "line", n+1, "error", err)
				continue
			}
			x.Signal(s)
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// signalUsage is how the command is called.
const signalUsage = "call it as: signal execute-snapshot -c FILE -t TABLE,TABLE [-blocking] [-filter SQL] [-by COLUMN]; stop-snapshot -c FILE [-t TABLE]; pause-snapshot or resume-snapshot -c FILE"

// signalCommand writes a signal to the signal topic of a connector.
func signalCommand(ctx context.Context, args []string, log *slog.Logger) error {
	if len(args) == 0 {
		return fault.Humanf(signalUsage, "signal: the order is missing")
	}
	fs := flag.NewFlagSet("signal", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	file := fs.String("c", "", "configuration `FILE`")
	tables := fs.String("t", "", "`TABLES`, regular expressions with commas between")
	by := fs.String("by", "", "`COLUMN` to read the tables by, for tables without a key")
	block := fs.Bool("blocking", false, "have the log wait for the snapshot")
	filter := fs.String("filter", "", "`SQL` condition for the rows")
	if err := fs.Parse(args[1:]); err != nil || fs.NArg() > 0 {
		return fault.Humanf(signalUsage, "signal: %q is not understood", strings.Join(args, " "))
	}
	s := snapshot.Signal{ID: fmt.Sprintf("signal-%d", time.Now().UnixNano()), Type: args[0], Data: snapshot.SignalData{Type: "INCREMENTAL", Surrogate: *by}}
	if *block {
		s.Data.Type = "BLOCKING"
	}
	if *tables != "" {
		s.Data.Collections = strings.Split(*tables, ",")
	}
	for _, t := range s.Data.Collections {
		if *filter != "" {
			s.Data.Conditions = append(s.Data.Conditions, snapshot.Condition{Collection: t, Filter: *filter})
		}
	}
	if err := s.Check(); err != nil {
		return fault.Human(fmt.Errorf("signal: %w", err), signalUsage)
	}
	c, err := load(ctx, "signal", []string{"-c", *file}, log)
	if err != nil {
		return err
	}
	if !c.common.SignalsFrom("kafka") {
		return fault.Humanf("add kafka to signal.enabled.channels and start the connector again", "signal: the connector does not take signals from Kafka")
	}
	return c.send(ctx, s, log)
}

func (c *connector) send(ctx context.Context, s snapshot.Signal, log *slog.Logger) error {
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("write signal: %w", err)
	}
	admin, err := topic.NewAdmin(ctx, c.emit.Options, log)
	if err != nil {
		return err
	}
	defer admin.Close()
	name := c.common.SignalTopicName()
	if err := admin.EnsureTopics(ctx, topic.Spec{Name: name, Partitions: 1}); err != nil {
		return err
	}
	w, err := topic.NewWriter(ctx, c.emit.Options, c.common.Name+"-signal", log)
	if err != nil {
		return err
	}
	defer w.Close()
	return w.WriteTx(ctx, []topic.Record{{Topic: name, Key: []byte(c.common.Prefix), Value: text, Timestamp: time.Now()}})
}
