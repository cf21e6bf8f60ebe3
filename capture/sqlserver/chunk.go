package sqlserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"tributary/capture"
	"tributary/capture/snapshot"
	"tributary/envelope"
)

var _ snapshot.Chunks = (*Source)(nil)

// chunks reads rows beside the stream, on connections of its own.
type chunks struct {
	cfg       *settings
	log       *slog.Logger
	databases map[string]*database
	tables    map[string]*table // as they were when last read
}

func (c *chunks) init(cfg *settings, log *slog.Logger) {
	c.cfg, c.log = cfg, log
	c.databases, c.tables = make(map[string]*database), make(map[string]*table)
}

func (c *chunks) close() error {
	var errs []error
	for _, d := range c.databases {
		errs = append(errs, d.conn.close())
	}
	return errors.Join(errs...)
}

func (c *chunks) database(ctx context.Context, name string) (*database, error) {
	if d := c.databases[name]; d != nil {
		return d, nil
	}
	d, err := openDatabase(ctx, c.cfg, c.log, name)
	if err == nil {
		c.databases[name] = d
	}
	return d, err
}

// marks are rows that are written into the signal table to know when the stream
// has come to where a chunk was read, and the times of the databases' logs, by
// which it is known where nothing can be written. The worker is ahead of what has
// been taken from the pipe: each is kept with its place in the log.
type marks struct {
	mu     sync.Mutex
	signal string
	seen   map[string]logTime   // where the marks are that the worker has passed
	wanted bool                 // times are asked for
	times  map[string][]logTime // how far the worker has read, by database
}

// logTime is a place in the log of a database, and the time of the last transaction
// up to there where that is of interest.
type logTime struct {
	database string
	at       lsn
	t        time.Time
}

const (
	markPrefix = "tributary-"
	markType   = "snapshot-window-close"
)

// own reports whether an inserted row with the id of a mark is one of this process: it
// is no change for others. Its place is noted.
func (m *marks) own(in *instance, id string, at lsn) bool {
	if id == "" {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.signal != in.id.String() {
		return false
	}
	if m.seen == nil {
		m.seen = make(map[string]logTime)
	}
	m.seen[id] = logTime{database: in.id.Catalog, at: at}
	return true
}

// passed notes that the log of a database was read up to an LSN.
func (m *marks) passed(ctx context.Context, c *conn, database string, to lsn) error {
	m.mu.Lock()
	wanted := m.wanted
	m.mu.Unlock()
	if !wanted {
		return nil
	}
	v, err := c.one(ctx, "SELECT MAX(TODATETIMEOFFSET(tran_end_time, DATEPART(TZOFFSET, SYSDATETIMEOFFSET()))) FROM cdc.lsn_time_mapping WHERE start_lsn <= @p1", to[:])
	if err != nil {
		return fmt.Errorf("read the time of the log of database %s: %w", database, err)
	}
	if t, ok := v.(time.Time); ok {
		m.mu.Lock()
		if m.times == nil {
			m.times = make(map[string][]logTime)
		}
		m.times[database] = append(m.times[database], logTime{database, to, t})
		m.mu.Unlock()
	}
	return nil
}

// reached reports whether everything before a mark, and the mark, is before the
// places of a position.
func (m *marks) reached(end *position, mark string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if strings.HasPrefix(mark, markPrefix) {
		at, ok := m.seen[mark]
		if !ok || !end.past(at) {
			return false, nil
		}
		delete(m.seen, mark)
		return true, nil
	}
	name, text, _ := strings.Cut(mark, "\x00")
	since, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return false, fmt.Errorf("mark of a chunk: %w", err)
	}
	for _, x := range m.times[name] {
		if end.past(x) && !x.t.Before(since) {
			m.wanted, m.times = false, nil
			return true, nil
		}
	}
	return false, nil
}

// past reports whether all transactions up to a place are before the position.
func (p *position) past(x logTime) bool {
	at := p.Databases[x.database]
	if at == nil {
		return false
	}
	n := compareLSN(lsn(at.Commit), x.at)
	return n > 0 || n == 0 && !at.partial()
}

// Captured implements snapshot.Chunks.
func (s *Source) Captured(ctx context.Context) (out []envelope.TableID, err error) {
	for _, name := range s.cfg.Databases {
		d, err := openDatabase(ctx, s.cfg, s.log, name)
		if err != nil {
			return nil, err
		}
		list, err := d.instances(ctx, d.conn)
		if err = errors.Join(err, d.conn.close()); err != nil {
			return nil, err
		}
		for _, in := range list {
			if !slices.Contains(out, in.id) {
				out = append(out, in.id)
			}
		}
	}
	return out, nil
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
	n := s.session
	if n == nil {
		return false, errors.New("source is not open")
	}
	at, err := parsePosition(end)
	if err != nil {
		return false, err
	}
	return n.marks.reached(at, mark)
}

// Chunk implements snapshot.Chunks. What is captured is committed, so that it is
// seen here.
func (s *Source) Chunk(ctx context.Context, r snapshot.ChunkRequest, out *envelope.Changes) (res snapshot.ChunkResult, err error) {
	n := s.session
	if n == nil {
		return res, errors.New("source is not open")
	}
	d, err := n.chunks.database(ctx, r.Table.Catalog)
	if err != nil {
		return res, err
	}
	since, err := parsePosition(r.Since)
	if err != nil {
		return res, err
	}
	t, err := n.chunks.table(ctx, d, r.Table)
	if err != nil {
		return res, err
	}
	at := since.Databases[d.name]
	if at == nil {
		return res, fmt.Errorf("the position tells nothing of database %s", d.name)
	}
	source := envelope.Source{TsNs: time.Now().UnixNano(), CommitLSN: lsn(at.Commit)}
	rd := &reader{d: d, tables: map[*envelope.Table]*table{t.codec.Table: t}, recompile: s.cfg.Recompile}
	ordered := t.codec
	if r.Surrogate != "" {
		if ordered, err = snapshot.OrderBy(t.codec, r.Surrogate); err != nil {
			return res, err
		}
		rd.tables[ordered.Table] = t
	}
	if res, err = snapshot.ReadChunk(ctx, rd, t.codec, ordered, r, source, out); err != nil {
		if ofStatement(err) {
			err = snapshot.Refused(err)
		}
		return res, err
	}
	if r.After == nil {
		res.Expected = estimate(ctx, d.conn, r.Table)
	}
	res.Mark, err = n.mark(ctx, d)
	return res, err
}

// mark writes a mark, or takes the time where it cannot.
func (n *session) mark(ctx context.Context, d *database) (string, error) {
	if in, ok := n.signalTable(ctx, d); ok {
		m := markPrefix + rand.Text()
		n.marks.mu.Lock()
		n.marks.signal = in.String()
		n.marks.mu.Unlock()
		if err := d.conn.exec(ctx, "INSERT INTO "+tableName(in)+" VALUES (@p1, @p2, NULL)", m, markType); err != nil {
			return "", fmt.Errorf("write into the signal table %s: %w", in, err)
		}
		return m, nil
	}
	n.marks.mu.Lock()
	n.marks.wanted = true
	n.marks.mu.Unlock()
	v, err := d.conn.one(ctx, "SELECT SYSDATETIMEOFFSET()")
	if err != nil {
		return "", fmt.Errorf("read the time: %w", err)
	}
	t, _ := v.(time.Time)
	return d.name + "\x00" + t.Format(time.RFC3339Nano), nil
}

// signalTable is the signal table if it is in the database, is captured and may be
// written to.
func (n *session) signalTable(ctx context.Context, d *database) (id envelope.TableID, ok bool) {
	if n.cfg.SignalTable == "" || n.cfg.readOnly() {
		return id, false
	}
	list, err := d.instances(ctx, d.conn)
	if err != nil {
		return id, false // the time will do
	}
	for _, in := range list {
		if in.id.String() == n.cfg.SignalTable {
			return in.id, true
		}
	}
	return id, false
}

// table finds a table as it is now. The version stays the same as long as nothing
// changes.
func (c *chunks) table(ctx context.Context, d *database, id envelope.TableID) (*table, error) {
	list, err := d.instances(ctx, d.conn)
	if err != nil {
		return nil, err
	}
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].id != id {
			continue
		}
		t, err := d.captured(ctx, d.conn, list[i])
		if err != nil {
			return nil, err
		}
		if known := c.tables[id.String()]; known != nil && known.same(t) {
			return known, nil
		}
		c.tables[id.String()] = t
		return t, nil
	}
	return nil, fmt.Errorf("read table %s: %w", id, snapshot.ErrGone)
}
