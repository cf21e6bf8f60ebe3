package postgres

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"tributary/capture"
	"tributary/capture/snapshot"
	"tributary/envelope"
)

// snapshot opens the transaction that sees the exported snapshot of the slot
// called name, and returns the work: the snapshot, then the stream.
func (s *Source) snapshot(ctx context.Context, l *life, pos position, name, exported string, tables []*tableInfo) (func(context.Context) error, error) {
	sl, err := l.cat.slot(ctx, name)
	if err != nil {
		return nil, err
	}
	chunk := s.opts.FetchSize
	if s.opts.SnapshotThreads > 1 {
		chunk = min(chunk, parallelChunk)
	}
	plan := snapshot.Plan{Progress: *pos.Snapshot, ChunkRows: chunk, Aside: s.opts.KeepsFailures()}
	plan.Source.LSN = int64(sl.restart)
	from := make(map[envelope.TableID]string)
	readers, err := s.views(ctx, l, exported, from)
	if err != nil {
		return nil, err
	}
	reader := readers[0]
	if n := len(readers); n > 1 {
		plan.Splitter = readers[n-1]
		for _, r := range readers[1 : n-1] {
			plan.Readers = append(plan.Readers, r)
		}
	}
	var at time.Time
	err = reader.conn.QueryRow(ctx, `SELECT clock_timestamp(), txid_snapshot_xmax(txid_current_snapshot())`).Scan(&at, &plan.Source.TxID)
	if err != nil {
		return nil, explain(fmt.Errorf("begin snapshot: %w", err))
	}
	plan.Source.TsNs = at.UnixMicro() * 1000
	for _, t := range tables {
		if !s.snapshots(t.id) {
			continue
		}
		c, err := l.cat.build.table(t.id, t.columns, t.key)
		if err != nil {
			return nil, err
		}
		if q := s.opts.override(t.id.String()); q != "" {
			from[t.id] = "(" + q + ") AS rows"
		} else if other := t.from(); other != "" {
			from[t.id] = other
		}
		plan.Tables = append(plan.Tables, c.codec)
	}
	expected, err := l.cat.estimate(ctx, plan.Tables)
	if err != nil {
		return nil, err
	}
	s.planned.Store(&capture.SnapshotPlan{Tables: plan.Names(), Rows: expected, Done: pos.Snapshot.Rows})
	return func(ctx context.Context) error {
		began := time.Now()
		f := &flusher{pipe: l.pipe, pos: pos, batch: l.pipe.Batch()}
		f.batch.Snapshot = true
		if err := plan.Run(ctx, reader, &f.batch.Changes, f); err != nil {
			return err
		}
		s.log.Info("snapshot read", "tables", len(plan.Tables), "rows", f.rows, "took", time.Since(began).Round(time.Millisecond).String())
		if s.opts.SnapshotMode == "initial_only" {
			return errEnd
		}
		// The connections have been idle for as long as the snapshot took:
		// take new ones.
		err := errors.Join(l.closeViews(ctx), l.repl.Close(ctx))
		if err != nil {
			s.log.Debug("closing the snapshot's connections", "error", err)
		}
		if l.repl, err = l.cat.server.replication(ctx); err != nil {
			return err
		}
		pos.Snapshot = nil
		work, err := s.follow(l, pos)
		if err != nil {
			return err
		}
		return work(ctx)
	}, nil
}

// parallelChunk is the greatest number of rows of a chunk where several are read
// at a time: small enough that a reader can be a whole chunk ahead.
const parallelChunk = 20_000

// views opens the sessions that read the exported snapshot: one, or with
// snapshot.max.threads one for each and a last one that finds chunks.
func (s *Source) views(ctx context.Context, l *life, exported string, from map[envelope.TableID]string) ([]*copyReader, error) {
	n := 1
	if s.opts.SnapshotThreads > 1 {
		n = s.opts.SnapshotThreads + 1
	}
	var out []*copyReader
	for range n {
		conn, err := l.cat.server.connect(ctx)
		if err != nil {
			return nil, err
		}
		l.sql = append(l.sql, conn)
		begin := "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
		for _, q := range []string{begin, "SET TRANSACTION SNAPSHOT " + quoteLiteral(exported), "SET LOCAL cursor_tuple_fraction = 1"} {
			if _, err := conn.Exec(ctx, q); err != nil {
				return nil, explain(fmt.Errorf("begin snapshot: %w", err))
			}
		}
		out = append(out, &copyReader{conn: conn, from: from})
	}
	return out, nil
}

// snapshots reports whether a snapshot reads the table.
func (s *Source) snapshots(id envelope.TableID) bool {
	return len(s.snapshotOf) == 0 || slices.ContainsFunc(s.snapshotOf, func(re *regexp.Regexp) bool { return re.MatchString(id.String()) })
}

// follow returns the work that streams from pos on.
func (s *Source) follow(l *life, pos position) (func(context.Context) error, error) {
	if s.opts.SnapshotMode == "initial_only" && pos.Snapshot == nil {
		return func(context.Context) error { return errEnd }, nil
	}
	st := &stream{
		pipe: l.pipe, pos: pos, acked: &l.acked, hurry: &l.hurry, recent: &l.recent, heartbeat: s.opts.Moves(), interval: s.opts.StatusInterval,
		dec: newDecoder(s.lookup(l.cat), &s.opts.Options, &pos),
	}
	st.dec.prefixes, st.metrics = s.prefixes, s.metrics
	l.acked.Store(uint64(pos.LSN))
	return func(ctx context.Context) error {
		st.conn = l.repl
		if err := st.start(ctx, &s.opts, serverVersion(l.repl)); err != nil {
			return err
		}
		defer func() { _ = st.spools.close() }() // files without a name, closed for good
		s.log.Info("streaming", "slot", s.opts.Slot, "lsn", pos.LSN.String())
		err := st.run(ctx)
		if !st.conn.IsClosed() { // asked to end, or at a fault of another kind
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
			defer cancel()
			if err := st.finish(ctx); err != nil {
				s.log.Debug("ending the replication", "error", err)
			}
		}
		return err
	}, nil
}
