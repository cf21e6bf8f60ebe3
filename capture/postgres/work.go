package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tributary/capture"
	"tributary/capture/snapshot"
	"tributary/envelope"
)

// snapshot opens the transaction that sees the exported snapshot of the slot
// called name, and returns the work: the snapshot, then the stream from pos on,
// which is as it is when the work begins.
func (s *Source) snapshot(ctx context.Context, l *life, pos *position, name, exported string, tables []*tableInfo) (func(context.Context) error, error) {
	sl, err := l.cat.slot(ctx, name)
	if err != nil {
		return nil, err
	}
	chunk := s.opts.FetchSize
	if s.opts.SnapshotThreads > 1 {
		chunk = min(chunk, parallelChunk)
	}
	plan := snapshot.Plan{Progress: *pos.Snapshot, ChunkRows: chunk, ListBytes: s.opts.BatchBytes, Aside: s.opts.KeepsFailures(), GiveUp: ofStatement, Log: s.log}
	plan.Source.LSN = int64(sl.restart)
	from, heaps := make(map[envelope.TableID]string), make(map[envelope.TableID]*heap)
	plan.Placed = func(c *envelope.Codec) bool { return heaps[c.Table.ID] != nil }
	readers, err := s.views(ctx, l, exported, from)
	if err != nil {
		return nil, err
	}
	for _, r := range readers {
		r.heaps = heaps
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
		part, ok := pos.Snapshot.Part(t.id)
		if !ok || !s.snapshots(t.id) {
			continue
		}
		c, err := l.cat.build.table(t.id, t.columns, t.key)
		if err != nil {
			return nil, err
		}
		if q := s.selected(t, part); q != "" {
			from[t.id] = "(" + q + ") AS rows"
		} else if other := t.from(); other != "" {
			from[t.id] = other
		} else if len(c.codec.Table.Key) == 0 {
			if heaps[t.id], err = readHeap(ctx, reader.conn, t, chunk); err != nil {
				return nil, err
			}
			s.sameHeap(heaps[t.id], &plan, t.id)
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
		f := &flusher{pipe: l.pipe, pos: *pos, batch: l.pipe.Batch()}
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
		work, err := s.follow(l, *pos)
		if err != nil {
			return err
		}
		return work(ctx)
	}, nil
}

// selected is the statement for what a snapshot reads of a table, "" = all that is
// published of it.
func (s *Source) selected(t *tableInfo, part snapshot.Part) string {
	q := cmp.Or(part.Select, s.opts.override(t.id.String()))
	if part.Filter == "" {
		return q
	}
	from := t.from()
	switch {
	case q != "":
		from = "(" + q + ") AS rows"
	case from == "":
		from = "ONLY " + tableName(t.id)
	}
	return "SELECT * FROM " + from + " WHERE (" + part.Filter + ")"
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
		for _, q := range []string{begin, "SET TRANSACTION SNAPSHOT " + quoteLiteral(exported), "SET LOCAL cursor_tuple_fraction = 1",
			"SET LOCAL synchronize_seqscans = off", "SET LOCAL max_parallel_workers_per_gather = 0"} { // rows come as they lie
			if _, err := conn.Exec(ctx, q); err != nil {
				return nil, explain(fmt.Errorf("begin snapshot: %w", err))
			}
		}
		out = append(out, &copyReader{conn: conn, from: from})
	}
	return out, nil
}

// readHeap reads how a table lies in its file. A chunk is of so many pages as hold
// about as many rows.
func readHeap(ctx context.Context, conn *pgx.Conn, t *tableInfo, rows int) (*heap, error) {
	var h heap
	var tuples float64
	var version int
	err := conn.QueryRow(ctx, `SELECT coalesce(pg_relation_filenode(oid), 0)::text, pg_relation_size(oid) / current_setting('block_size')::bigint, reltuples,
		current_setting('server_version_num')::int FROM pg_class WHERE oid = $1`, t.oid).Scan(&h.file, &h.end, &tuples, &version)
	if err != nil {
		return nil, explain(fmt.Errorf("read the size of %s: %w", t.id, err))
	}
	const rowsOfPage = 50 // where the server has not counted
	h.pages = max(int64(rows/rowsOfPage), 1)
	if tuples > 0 {
		h.pages = max(int64(float64(rows)*float64(h.end)/tuples), 1)
	}
	if version < 140000 { // it reads the whole table for each range of places
		h.pages = h.end + 1
	}
	return &h, nil
}

// sameHeap begins a table again whose rows are in other places than when its
// reading was interrupted: VACUUM FULL, CLUSTER and some ALTER TABLE write it anew.
func (s *Source) sameHeap(h *heap, plan *snapshot.Plan, id envelope.TableID) {
	p := &plan.Progress
	if p.Table != id.String() || p.After == nil || len(p.After) == snapshot.PlaceCells && string(p.After[1]) == h.file {
		return
	}
	s.log.Warn("the table was written anew since its reading was interrupted; its rows are read again from the first one", "table", p.Table)
	p.After = nil
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
	st := s.newStream(l, pos)
	return func(ctx context.Context) error {
		s.log.Info("streaming", "slot", s.opts.Slot, "lsn", pos.LSN.String())
		l.follow.Store(true)
		return s.stream(ctx, st, l.repl)
	}, nil
}

func (s *Source) newStream(l *life, pos position) *stream {
	st := &stream{
		pipe: l.pipe, pos: pos, acked: &l.acked, hurry: &l.hurry, recent: &l.recent, heartbeat: s.opts.Moves(), interval: s.opts.StatusInterval,
		dec: newDecoder(s.lookup(l.cat), &s.opts.Options, &pos),
	}
	st.dec.prefixes, st.metrics = s.prefixes, s.metrics
	st.dec.invents = s.opts.defects().unknown
	l.acked.Store(uint64(pos.LSN))
	return st
}

// stream has st stream on a connection until ctx ends, an error, or what st is to
// stop at.
func (s *Source) stream(ctx context.Context, st *stream, conn *pgconn.PgConn) error {
	st.conn = conn
	if err := st.start(ctx, &s.opts, serverVersion(conn)); err != nil {
		return err
	}
	defer func() { _ = st.spools.close() }() // files without a name, closed for good
	err := st.run(ctx)
	if !st.conn.IsClosed() { // asked to end, or at a fault of another kind
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if err := st.finish(ctx); err != nil {
			s.log.Debug("ending the replication", "error", err)
		}
	}
	return err
}
