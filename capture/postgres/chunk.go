package postgres

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"

	"tributary/capture"
	"tributary/capture/snapshot"
	"tributary/envelope"
)

var _ snapshot.Chunks = (*Source)(nil)

// markPrefix is that of the logical messages with which we have the log move
// on after a chunk was read. They are no events.
const markPrefix = "tributary"

// recent holds the transactions that were decoded last. A backend tells others
// that its transaction is over only after it has written its commit, and waits
// for synchronous standbys in between: so the stream may have a transaction
// that a snapshot does not see yet.
type recent struct {
	mu   sync.Mutex
	xids [1 << 14]uint32
	n    int
}

func (r *recent) add(xid uint32) {
	r.mu.Lock()
	r.xids[r.n%len(r.xids)] = xid
	r.n++
	r.mu.Unlock()
}

// has reports whether one of the transactions, all in progress, is among those
// decoded.
func (r *recent) has(running []uint32) bool {
	if len(running) == 0 {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.xids[:min(r.n, len(r.xids))], func(x uint32) bool { return slices.Contains(running, x) })
}

// chunks reads rows beside the stream, on a connection of its own.
type chunks struct {
	cat    *catalog
	tables map[string]*chunkTable // by name
}

// chunkTable is a table as it was when it was last read.
type chunkTable struct {
	info  *tableInfo
	table *captured
}

func (c *chunks) close(ctx context.Context) error {
	if c.cat == nil {
		return nil
	}
	return c.cat.close(ctx)
}

// Captured implements snapshot.Chunks.
func (s *Source) Captured(ctx context.Context) ([]envelope.TableID, error) {
	c := s.newCatalog()
	tables, err := c.tables(ctx)
	var out []envelope.TableID
	for _, t := range tables {
		out = append(out, t.id)
	}
	return out, errors.Join(err, c.close(ctx))
}

// Streaming implements snapshot.Chunks.
func (s *Source) Streaming(at capture.Position) bool {
	p, err := parsePosition(at)
	return err == nil && p.Snapshot == nil
}

// Hurry implements snapshot.Chunks.
func (s *Source) Hurry(on bool) {
	if s.life != nil {
		s.life.hurry.Store(on)
	}
}

// Reached implements snapshot.Chunks.
func (s *Source) Reached(end capture.Position, mark string) (bool, error) {
	p, err := parsePosition(end)
	if err != nil {
		return false, err
	}
	at, err := pglogrepl.ParseLSN(mark)
	return err == nil && p.LSN >= at, err
}

// Chunk implements snapshot.Chunks.
func (s *Source) Chunk(ctx context.Context, r snapshot.ChunkRequest, out *envelope.Changes) (res snapshot.ChunkResult, err error) {
	l := s.life
	if l == nil {
		return res, errClosed
	}
	c := &l.chunks
	if c.cat == nil {
		c.cat, c.tables = s.newCatalog(), make(map[string]*chunkTable)
	}
	t, err := c.table(ctx, r.Table)
	if err != nil {
		return res, err
	}
	err = c.cat.query(ctx, func(conn *pgx.Conn) error {
		if res, err = s.readChunk(ctx, conn, t, r, out); err != nil {
			return err
		}
		res.Mark, err = mark(ctx, conn)
		return err
	})
	if err == nil && r.After == nil {
		res.Expected, err = c.cat.estimate(ctx, []*envelope.Codec{t.table.codec})
	}
	return res, err
}

// table finds a table as it is now. The envelope.Table stays the same as long as
// nothing changes.
func (c *chunks) table(ctx context.Context, id envelope.TableID) (*chunkTable, error) {
	var info *tableInfo
	known, ok := c.tables[id.String()]
	if ok {
		var err error
		if info, err = c.cat.byOID(ctx, known.info.oid); err != nil {
			return nil, err
		}
	}
	if info == nil {
		all, err := c.cat.tables(ctx)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(all, func(t *tableInfo) bool { return t.id == id })
		if i < 0 {
			return nil, fmt.Errorf("read table %s: %w", id, snapshot.ErrGone)
		}
		info = all[i]
	}
	if ok && reflect.DeepEqual(known.info.columns, info.columns) && reflect.DeepEqual(known.info.key, info.key) {
		return known, nil
	}
	built, err := c.cat.build.table(id, info.columns, info.key)
	if err != nil {
		return nil, err
	}
	c.tables[id.String()] = &chunkTable{info, built}
	return c.tables[id.String()], nil
}

// readChunk reads rows in a transaction of their own, which sees all that was
// decoded before, or it fails.
func (s *Source) readChunk(ctx context.Context, conn *pgx.Conn, t *chunkTable, r snapshot.ChunkRequest, out *envelope.Changes) (res snapshot.ChunkResult, err error) {
	// A change that the chunk does not see may lie far back in the log, if its
	// transaction is long. To lose against it, rows carry the place from which
	// the slot needs the log: it is before all of those.
	sl, err := slotOf(ctx, conn, s.opts.Slot)
	if err != nil {
		return res, err
	}
	if _, err := conn.Exec(ctx, "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
		return res, explain(fmt.Errorf("begin chunk: %w", err))
	}
	defer func() {
		if _, e := conn.Exec(context.WithoutCancel(ctx), "COMMIT"); e != nil && err == nil {
			err = explain(fmt.Errorf("end chunk: %w", e))
		}
	}()
	var sees string
	source := envelope.Source{LSN: int64(sl), TsNs: time.Now().UnixMicro() * 1000}
	if err := conn.QueryRow(ctx, "SELECT txid_current_snapshot()::text, txid_snapshot_xmax(txid_current_snapshot())").Scan(&sees, &source.TxID); err != nil {
		return res, explain(fmt.Errorf("begin chunk: %w", err))
	}
	running, err := inProgress(sees)
	if err != nil {
		return res, err
	}
	if s.life.recent.has(running) {
		return res, snapshot.ErrAgain
	}
	reader := &copyReader{conn: conn, from: make(map[envelope.TableID]string)}
	if from := t.info.from(); from != "" {
		reader.from[r.Table] = from
	}
	ordered := t.table.codec
	if r.Surrogate != "" {
		if ordered, err = snapshot.OrderBy(ordered, r.Surrogate); err != nil {
			return res, err
		}
	}
	res, err = snapshot.ReadChunk(ctx, reader, t.table.codec, ordered, r, source, out)
	if ofStatement(err) {
		err = snapshot.Refused(err)
	}
	return res, err
}

func slotOf(ctx context.Context, conn *pgx.Conn, name string) (lsn, error) {
	var text string
	err := conn.QueryRow(ctx, "SELECT coalesce(restart_lsn, '0/0')::text FROM pg_replication_slots WHERE slot_name = $1", name).Scan(&text)
	if err != nil {
		return 0, explain(fmt.Errorf("read slot %s: %w", name, err))
	}
	return pglogrepl.ParseLSN(text)
}

// inProgress reads the transactions that a snapshot (xmin:xmax:xid,xid…) sees
// as running, in the 32 bits that the log has of them.
func inProgress(text string) ([]uint32, error) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return nil, fmt.Errorf("snapshot %q is not of three parts", text)
	}
	var out []uint32
	for x := range strings.SplitSeq(parts[2], ",") {
		if x == "" {
			continue
		}
		n, err := strconv.ParseUint(x, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("snapshot %q: %w", text, err)
		}
		out = append(out, uint32(n)) //nolint:gosec // as the log has it
	}
	return out, nil
}

// mark returns a place in the log before which everything committed that was
// visible until now, and has the log go on past it at once, whatever happens
// otherwise.
func mark(ctx context.Context, conn *pgx.Conn) (string, error) {
	var at string
	if err := conn.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn()::text").Scan(&at); err != nil {
		return "", explain(fmt.Errorf("read the end of the log: %w", err))
	}
	// A message outside of a transaction becomes durable with the next commit:
	// that of a transaction that did nothing but take a number.
	if _, err := conn.Exec(ctx, "SELECT pg_logical_emit_message(false, '"+markPrefix+"', ''), txid_current()"); err != nil {
		return "", explain(fmt.Errorf("write a mark into the log: %w", err))
	}
	return at, nil
}
