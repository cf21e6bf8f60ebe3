package mysql

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tributary/capture"
	"tributary/capture/snapshot"
	"tributary/envelope"
)

var _ snapshot.Chunks = (*Source)(nil)

// chunks reads rows beside the stream, on a connection of its own.
type chunks struct {
	conn    *conn
	catalog *serverCatalog
	tables  map[string]*chunkTable // by name
}

// chunkTable is a table as it was when it was last read.
type chunkTable struct {
	def     *tableDef
	version *version
}

func (c *chunks) close() error {
	if c.conn == nil {
		return nil
	}
	return c.conn.close()
}

// Captured implements snapshot.Chunks.
func (s *Source) Captured(ctx context.Context) ([]envelope.TableID, error) {
	c, err := dial(ctx, s.cfg)
	if err != nil {
		return nil, err
	}
	cat, err := newServerCatalog(ctx, c, s.cfg.maria())
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	ids, err := cat.tables(ctx, s.cfg.include)
	return ids, errors.Join(err, c.close())
}

// Streaming implements snapshot.Chunks.
func (s *Source) Streaming(at capture.Position) bool {
	p, err := parsePosition(at)
	return err == nil && p.Snapshot == nil
}

// Hurry implements snapshot.Chunks.
func (s *Source) Hurry(on bool) {
	if s.session != nil {
		s.session.hurry.Store(on)
	}
}

// Reached implements snapshot.Chunks.
func (s *Source) Reached(end capture.Position, mark string) (bool, error) {
	p, err := parsePosition(end)
	if err != nil {
		return false, err
	}
	want, err := parsePosition(capture.Position(mark))
	if err != nil {
		return false, err
	}
	if !s.cfg.maria() && p.GTIDs != nil && want.GTIDs != nil {
		have, err1 := parseGTIDs(false, *p.GTIDs)
		all, err2 := parseGTIDs(false, *want.GTIDs)
		if err1 == nil && err2 == nil {
			return have.holds(&all), nil
		}
		// File and offset are as good, since both are of this server.
	}
	return !p.before(&want), nil
}

// before compares places in the log.
func (p *position) before(q *position) bool {
	if a, b := fileNumber(p.File), fileNumber(q.File); a != b {
		return a < b
	}
	return p.Pos < q.Pos
}

// Chunk implements snapshot.Chunks.
func (s *Source) Chunk(ctx context.Context, r snapshot.ChunkRequest, out *envelope.Changes) (res snapshot.ChunkResult, err error) {
	n := s.session
	if n == nil {
		return res, errors.New("source is not open")
	}
	c := &n.chunks
	if c.conn == nil {
		if err := c.open(ctx, s.cfg); err != nil {
			return res, err
		}
	}
	since, err := parsePosition(r.Since)
	if err != nil {
		return res, err
	}
	t, err := c.table(ctx, s.cfg, r.Table)
	if err != nil {
		return res, err
	}
	if err := c.sees(ctx, n.server, &since); err != nil {
		return res, err
	}
	// What the chunk does not see is later in the log than where the stream
	// stands, so that rows with that place lose against it.
	source := envelope.Source{TsNs: time.Now().Unix() * 1e9, File: told(since.File, since.Epoch), Pos: int64(since.Pos)} //nolint:gosec // offsets fit
	reader := &reader{cfg: s.cfg, conn: c.conn, versions: map[*envelope.Table]*version{t.version.codec.Table: t.version}}
	ordered := t.version
	if r.Surrogate != "" {
		if ordered, err = ordered.orderedBy(r.Surrogate); err != nil {
			return res, errors.Join(err, c.conn.exec(ctx, "COMMIT"))
		}
		reader.versions[ordered.codec.Table] = ordered
	}
	res, err = snapshot.ReadChunk(ctx, reader, t.version.codec, ordered.codec, r, source, out)
	if ofStatement(err) {
		err = snapshot.Refused(err)
	}
	if e := c.conn.exec(ctx, "COMMIT"); e != nil && err == nil {
		err = e
	}
	if err != nil {
		return res, err
	}
	if r.After == nil {
		if res.Expected, err = estimate(ctx, c.conn, []string{r.Table.String()}); err != nil {
			return res, err
		}
	}
	now, err := n.server.logStatus(ctx, c.conn)
	res.Mark = string(now.encode())
	return res, err
}

// orderedBy is the version with a column as its key.
func (v *version) orderedBy(column string) (*version, error) {
	codec, err := snapshot.OrderBy(v.codec, column)
	if err != nil {
		return nil, err
	}
	out, def := *v, *v.def
	def.Key, out.def, out.codec = []string{column}, &def, codec
	return &out, nil
}

func (c *chunks) open(ctx context.Context, cfg *settings) error {
	conn, err := dial(ctx, cfg)
	if err != nil {
		return err
	}
	c.conn, c.tables = conn, make(map[string]*chunkTable)
	c.catalog, err = newServerCatalog(ctx, conn, cfg.maria())
	return err
}

// sees begins a transaction that sees everything that the stream had at a
// position, or fails with snapshot.ErrAgain: a transaction is in the log before
// the engine shows it to others.
func (c *chunks) sees(ctx context.Context, srv *server, since *position) error {
	if srv.maria {
		v := &view{conn: c.conn}
		if err := v.openMaria(ctx, srv); err != nil {
			return err
		}
		if v.at.before(since) {
			return errors.Join(snapshot.ErrAgain, c.conn.exec(ctx, "COMMIT"))
		}
		return nil
	}
	if since.GTIDs != nil && *since.GTIDs != "" {
		done, err := c.conn.value(ctx, "SELECT GTID_SUBSET("+quote(*since.GTIDs)+", @@GLOBAL.gtid_executed)")
		if err != nil {
			return err
		}
		if done != "1" {
			return snapshot.ErrAgain
		}
	}
	return c.conn.exec(ctx, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
}

// table finds a table as it is now. The envelope.Table stays the same as long as
// nothing changes.
func (c *chunks) table(ctx context.Context, cfg *settings, id envelope.TableID) (*chunkTable, error) {
	def, err := c.catalog.table(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("read the definition of table %s: %w", id, err)
	}
	if def == nil {
		return nil, fmt.Errorf("read table %s: %w", id, snapshot.ErrGone)
	}
	def.exclude(cfg)
	if known, ok := c.tables[id.String()]; ok && known.def.same(def) {
		return known, nil
	}
	t := &table{}
	if err := t.use(def, cfg); err != nil {
		return nil, err
	}
	c.tables[id.String()] = &chunkTable{def, t.current()}
	return c.tables[id.String()], nil
}
