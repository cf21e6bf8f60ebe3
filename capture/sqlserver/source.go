package sqlserver

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tributary/capture"
	"tributary/capture/snapshot"
	"tributary/envelope"
	"tributary/internal/fault"
)

// Source captures databases of one server. It implements capture.Source.
type Source struct {
	cfg     *settings
	log     *slog.Logger
	metrics *metrics

	session *session // nil unless open
	opened  bool     // it has been open before
	planned atomic.Pointer[capture.SnapshotPlan]
}

var _ capture.Source = (*Source)(nil)

// New returns a Source that is not open. The options must be valid.
func New(o Options, log *slog.Logger) (*Source, error) {
	cfg, err := newSettings(&o)
	if err != nil {
		return nil, err
	}
	return &Source{cfg: cfg, log: log.With("connector", o.Name), metrics: newMetrics()}, nil
}

// session is one life of a Source, from Open to Close.
type session struct {
	cfg       *settings
	log       *slog.Logger
	metrics   *metrics
	databases []*database
	at        *position
	fresh     bool // there was no position to go on from
	planned   *atomic.Pointer[capture.SnapshotPlan]

	pipe   *capture.Pipe
	hurry  atomic.Bool // tell positions as soon as the log moves
	chunks chunks      // reads rows beside the stream
	marks  marks
	cancel context.CancelFunc
	worker sync.WaitGroup
}

// database is one that is captured.
type database struct {
	cfg   *settings
	log   *slog.Logger
	name  string // as the server spells it
	conn  *conn
	list  []*instance
	told  map[string]bool // columns that were warned of
	known known           // instances
	// lowFirst: update masks have the first columns in their first byte.
	lowFirst bool
	clear    bool            // the server is too old for encrypted columns
	watched  time.Time       // when the capture job was looked at
	job      job             // what was seen of it then
	warned   string          // what was warned of it, "" = nothing
	bare     map[int64]bool  // tables of which it was warned that no instance is left, by object_id
	altered  map[int64]int64 // how many changes of its table each instance has seen, by object_id
}

// SnapshotPlan implements capture.Planner.
func (s *Source) SnapshotPlan() (capture.SnapshotPlan, bool) {
	if p := s.planned.Load(); p != nil {
		return *p, true
	}
	return capture.SnapshotPlan{}, false
}

// Open implements capture.Source.
func (s *Source) Open(ctx context.Context, resume capture.Position) error {
	if err := s.Close(); err != nil {
		return err
	}
	n, err := s.prepare(ctx, resume)
	if err != nil {
		return err
	}
	s.session, s.opened = n, true
	// The worker outlives this call, but not Close.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	n.cancel = cancel
	n.worker.Go(func() { n.pipe.Fail(n.run(work)) })
	return nil
}

// prepare connects, checks and reads the tables.
func (s *Source) prepare(ctx context.Context, resume capture.Position) (n *session, err error) {
	n = &session{cfg: s.cfg, log: s.log, metrics: s.metrics, pipe: capture.NewPipe(s.cfg.Limits()), planned: &s.planned}
	n.chunks.init(s.cfg, s.log)
	defer func() {
		if err != nil {
			err = errors.Join(err, n.disconnect())
		}
	}()
	var ids []envelope.TableID
	for _, name := range s.cfg.Databases {
		d, err := openDatabase(ctx, s.cfg, s.log, name)
		if err != nil {
			return n, err
		}
		n.databases = append(n.databases, d)
		if err := d.check(ctx); err != nil {
			return n, err
		}
		if err := d.masks(ctx); err != nil {
			return n, err
		}
		if err := d.refresh(ctx, d.conn); err != nil {
			return n, err
		}
		if err := d.rights(ctx, d.conn, d.list); err != nil {
			return n, err
		}
		d.masked(ctx)
		d.watch(ctx, d.conn, n.metrics)
		for _, in := range d.list {
			ids = append(ids, in.id)
		}
	}
	if missing := s.cfg.unmatched(ids); len(missing) > 0 && len(resume) == 0 {
		return n, n.untracked(ctx, missing)
	} else if len(missing) > 0 && !s.opened { // it was dropped, or is not captured any more
		s.log.Warn("no table with a capture instance matches these entries of table.include.list", "entries", strings.Join(missing, ", "))
	}
	if len(ids) == 0 && len(resume) == 0 {
		return n, n.untracked(ctx, nil)
	}
	for _, d := range n.databases {
		for _, in := range d.list {
			if err := s.cfg.CheckTables([]capture.Described{in.table.described()}); err != nil {
				return n, err
			}
		}
	}
	return n, s.startAt(ctx, n, resume)
}

// openDatabase connects to a database and finds how the server spells it, and which
// of its users the login is.
func openDatabase(ctx context.Context, cfg *settings, log *slog.Logger, name string) (*database, error) {
	c, err := dial(ctx, cfg.Options, name)
	if err != nil {
		return nil, err
	}
	d := &database{cfg: cfg, log: log.With("database", name), name: name, conn: c, told: make(map[string]bool)}
	err = c.rows(ctx, "SELECT name, USER_NAME() FROM sys.databases WHERE name = @p1", []any{name}, func(v []driver.Value) error {
		d.name, c.user = asText(v[0]), cmp.Or(asText(v[1]), c.user)
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("find database %s: %w", name, err), c.close())
	}
	return d, nil
}

// refresh reads the capture instances anew. The versions of tables stay, unless a
// table has been altered: the server changes the columns' types in the change
// tables then.
func (d *database) refresh(ctx context.Context, c *conn) error {
	list, err := d.instances(ctx, c)
	if err != nil {
		return err
	}
	altered := make(map[int64]int64)
	err = c.rows(ctx, "SELECT object_id, COUNT(*) FROM cdc.ddl_history GROUP BY object_id", nil, func(v []driver.Value) error {
		altered[asInt(v[0])] = asInt(v[1])
		return nil
	})
	if err != nil {
		return fmt.Errorf("count the changes of tables in database %s: %w", d.name, err)
	}
	for _, in := range list {
		for _, old := range d.list {
			if old.object == in.object {
				in.table, in.began = old.table, old.began
				in.rowSize.Store(old.rowSize.Load())
			}
		}
		if in.began == (lsn{}) {
			in.began = in.start
		}
		if in.table != nil && altered[in.object] == d.altered[in.object] {
			continue
		}
		t, err := d.captured(ctx, c, in)
		if err != nil {
			return err
		}
		if in.table == nil || !in.table.same(t) {
			in.table = t
		}
		for _, w := range in.table.warned {
			if key := in.id.String() + "." + w; !d.told[key] {
				d.told[key] = true
				d.log.Warn("column left out: "+w, "table", in.id.String())
			}
		}
	}
	d.list, d.altered = list, altered
	return nil
}

// startAt finds where to begin: at the stored position, or at now.
func (s *Source) startAt(ctx context.Context, n *session, resume capture.Position) error {
	now := &position{Databases: make(map[string]*place)}
	for _, d := range n.databases {
		p := &place{}
		if err := d.start(ctx, p); err != nil {
			return err
		}
		now.Databases[d.name] = p
	}
	if len(resume) > 0 {
		at, err := parsePosition(resume)
		if err != nil {
			return err
		}
		err = n.checkPosition(ctx, at)
		switch {
		case err == nil:
			n.at = at
			if s.cfg.SnapshotMode == "always" && !s.opened && at.Snapshot == nil {
				n.fresh = true
			}
			if n.fresh {
				n.at = now
			}
			return nil
		case s.cfg.SnapshotMode != "when_needed" || !fault.NeedsHuman(err):
			return err
		}
		s.log.Warn("a new snapshot is needed", "error", err)
	}
	n.at, n.fresh = now, true
	return nil
}

// run is the worker: the snapshot, then the changes until ctx ends or an error.
func (n *session) run(ctx context.Context) error {
	if n.fresh {
		if err := n.begin(ctx); err != nil {
			return err
		}
	}
	if n.at.Snapshot != nil && n.at.Snapshot.Waits {
		if err := n.catchUp(ctx); err != nil {
			return err
		}
	}
	if n.at.Snapshot != nil {
		if err := n.snapshot(ctx); err != nil {
			return err
		}
		// The changes must not join the snapshot's last batch.
		if err := n.taken(ctx); err != nil {
			return err
		}
	}
	if n.cfg.SnapshotMode == "initial_only" {
		return io.EOF
	}
	return n.follow(ctx)
}

// Check does what Open does short of starting, and writes what Open would do.
func (s *Source) Check(ctx context.Context, resume capture.Position, w io.Writer) error {
	n, err := s.prepare(ctx, resume)
	if err != nil {
		return err
	}
	for _, d := range n.databases {
		version, err := d.conn.one(ctx, "SELECT SERVERPROPERTY('ProductVersion')")
		if err != nil {
			return errors.Join(err, n.disconnect())
		}
		fmt.Fprintf(w, "database     %s, SQL Server %s\n", d.name, asText(version))
		d.tellJob(w)
		for _, in := range d.list {
			note, err := s.cfg.Note(in.table.described())
			if err != nil {
				return errors.Join(err, n.disconnect())
			}
			fmt.Fprintf(w, "table        %s %s, capture instance %s\n", in.id, note, in.name)
		}
		switch at := n.at.Databases[d.name]; {
		case n.fresh:
			fmt.Fprintf(w, "position     none yet: snapshot.mode %s, snapshot.isolation.mode %s\n", s.cfg.SnapshotMode, s.cfg.isolation())
		case n.at.Snapshot != nil:
			fmt.Fprintf(w, "position     in the snapshot, after %d rows\n", n.at.Snapshot.Rows)
		default:
			l := lsn(at.Commit)
			fmt.Fprintf(w, "position     %s\n", l.String())
		}
	}
	if s.cfg.HeartbeatAction != "" {
		fmt.Fprintln(w, "heartbeat    heartbeat.action.query is not checked: SQL Server tells of its rights only when it is executed")
	}
	return n.disconnect()
}

// Exec executes a statement in the first database.
func (s *Source) Exec(ctx context.Context, query string) error {
	c, err := dial(ctx, s.cfg.Options, s.cfg.Databases[0])
	if err != nil {
		return err
	}
	return errors.Join(c.exec(ctx, query), c.close())
}

// Next implements capture.Source.
func (s *Source) Next(ctx context.Context) (*capture.Batch, error) {
	if s.session == nil {
		return nil, errors.New("source is not open")
	}
	return s.session.pipe.Next(ctx)
}

// Ack implements capture.Source. The server keeps its change tables by age alone.
func (s *Source) Ack(context.Context, capture.Position) error { return nil }

// Close implements capture.Source.
func (s *Source) Close() error {
	n := s.session
	if n == nil {
		return nil
	}
	s.session = nil
	n.cancel()
	n.worker.Wait()
	return n.disconnect()
}

func (n *session) disconnect() error {
	var errs []error
	for _, d := range n.databases {
		errs = append(errs, d.conn.close())
	}
	return errors.Join(append(errs, n.chunks.close())...)
}

// flusher takes the lists of a snapshot.
type flusher struct {
	n     *session
	batch *capture.Batch
	done  []string // what is done after the database, where another follows
	rows  int64
}

var _ snapshot.Flush = (*flusher)(nil)

// Full implements snapshot.Flush.
func (f *flusher) Full(c *envelope.Changes) bool {
	l := f.n.pipe.Limits()
	return len(c.List) >= l.Changes || len(c.Buf) >= l.Bytes
}

// Flush implements snapshot.Flush.
func (f *flusher) Flush(ctx context.Context, c *envelope.Changes, after *snapshot.Progress) (*envelope.Changes, error) {
	f.batch.Changes = *c
	f.batch.Snapshot = true
	if after == nil && f.done != nil {
		after = &snapshot.Progress{Done: f.done, Rows: f.rows}
	}
	if after != nil {
		f.rows = after.Rows
	}
	f.n.at.Snapshot = after
	var err error
	if f.batch.End, err = f.n.at.append(f.batch.End[:0]); err != nil {
		return nil, err
	}
	if f.batch, err = f.n.pipe.Put(ctx, f.batch); err != nil {
		return nil, err
	}
	return &f.batch.Changes, nil
}

// described is the table for those who tell what becomes of it.
func (t *table) described() capture.Described {
	d := capture.Described{Table: t.codec.Table}
	for _, c := range t.all {
		d.Columns = append(d.Columns, c.name)
	}
	return d
}
