package mysql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"tributary/capture"
	"tributary/capture/snapshot"
	"tributary/envelope"
	"tributary/internal/fault"
)

// Source captures one server. It implements capture.Source.
type Source struct {
	cfg *settings
	log *slog.Logger

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
	return &Source{cfg: cfg, log: log.With("connector", o.Name)}, nil
}

// session is one life of a Source, from Open to Close.
type session struct {
	cfg     *settings
	log     *slog.Logger
	server  *server
	conn    *conn // for the catalog; the worker's once it runs
	catalog *serverCatalog
	ids     []envelope.TableID // captured tables that exist, in order
	tables  map[string]*table
	history *history
	fresh   bool // there is no position to go on from
	// unmatched says which entries of table.include.list match no table, "" = all do.
	unmatched string
	still     string // what of replication to this server stands still, "" = nothing
	// recovers is whether the definitions of tables are those of the server,
	// not those that the position carries.
	recovers bool
	planned  *atomic.Pointer[capture.SnapshotPlan]

	hurry  atomic.Bool // tell positions as soon as the log moves
	chunks chunks      // reads rows beside the stream
	pipe   *capture.Pipe
	cancel context.CancelFunc
	worker sync.WaitGroup
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
	n, at, err := s.prepare(ctx, resume)
	if err != nil {
		return err
	}
	n.planned = &s.planned
	if !s.opened {
		for _, u := range s.cfg.Unused(n.described()) {
			s.log.Warn("an option has no effect", "why", u)
		}
	}
	s.session, s.opened = n, true
	// The worker outlives this call, but not Close.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	n.cancel = cancel
	n.worker.Go(func() { n.pipe.Fail(n.run(work, at)) })
	return nil
}

// Check does what Open does short of starting, and writes what Open would do.
func (s *Source) Check(ctx context.Context, resume capture.Position, w io.Writer) error {
	n, at, err := s.prepare(ctx, resume)
	if err != nil {
		return err
	}
	if n.still != "" {
		fmt.Fprintf(w, "warning      %s\n", n.still)
	}
	if n.unmatched != "" {
		fmt.Fprintf(w, "warning      %s\n", n.unmatched)
	}
	v := n.server.vars
	fmt.Fprintf(w, "server       %s, gtid %v, binlog_row_metadata %s, we are replica %d\n", v["version"], n.server.gtid, v["binlog_row_metadata"], s.cfg.serverID())
	for _, id := range n.ids {
		note, err := s.cfg.Note(n.tables[id.String()].described())
		if err != nil {
			return errors.Join(err, n.conn.close())
		}
		fmt.Fprintf(w, "table        %s %s\n", id, note)
	}
	for _, u := range s.cfg.Unused(n.described()) {
		fmt.Fprintf(w, "warning      %s\n", u)
	}
	switch {
	case n.fresh:
		fmt.Fprintf(w, "position     none yet: snapshot.mode %s\n", s.cfg.SnapshotMode)
	case at.Snapshot != nil:
		fmt.Fprintf(w, "position     in the snapshot, after %d rows\n", at.Snapshot.Rows)
	default:
		fmt.Fprintf(w, "position     %s:%d\n", at.File, at.Pos)
	}
	return errors.Join(s.checkAction(ctx, n.conn, w), n.conn.close())
}

// prepare connects, checks and reads the tables.
func (s *Source) prepare(ctx context.Context, resume capture.Position) (n *session, at position, err error) {
	n = &session{cfg: s.cfg, log: s.log, tables: make(map[string]*table), history: newHistory(s.cfg.maria())}
	if n.conn, err = dial(ctx, n.cfg); err != nil {
		return nil, at, err
	}
	conn := n.conn
	defer func() {
		if err != nil {
			err = errors.Join(err, conn.close())
		}
	}()
	n.pipe = capture.NewPipe(n.cfg.Limits())
	if n.server, err = inspect(ctx, n.conn); err != nil {
		return nil, at, err
	}
	if err = n.server.check(s.cfg.maria()); err != nil {
		return nil, at, err
	}
	now, err := n.server.logStatus(ctx, n.conn)
	if err != nil {
		return nil, at, err
	}
	if err = n.server.checkReplication(ctx, n.conn); err != nil {
		return nil, at, err
	}
	if n.still, err = n.server.checkReplica(ctx, n.conn); err != nil {
		return nil, at, err
	}
	if n.still != "" && !s.opened {
		s.log.Warn(n.still)
	}
	if at, err = s.startAt(ctx, n, now, resume); err != nil {
		return nil, at, err
	}
	if err = n.readTables(ctx, len(resume) == 0); err != nil || !n.fresh {
		return n, at, err
	}
	now, err = n.server.logStatus(ctx, n.conn) // of which the definitions are
	now.Epoch = at.Epoch
	return n, now, err
}

// startAt finds where to begin: at the stored position, or at now.
func (s *Source) startAt(ctx context.Context, n *session, now position, resume capture.Position) (at position, err error) {
	if len(resume) > 0 {
		if at, err = parsePosition(resume); err != nil {
			return at, err
		}
		err = n.server.adopt(&at)
		if err == nil {
			err = n.server.checkPosition(ctx, n.conn, n.cfg, &at)
		}
		switch {
		case err == nil && s.cfg.MustResume() && !s.opened: // snapshot.mode recovery
			at.Tables, n.recovers = "", true
			return at, nil
		case err == nil && s.cfg.SnapshotMode == "always" && !s.opened && at.Snapshot == nil:
			at.Snapshot = &snapshot.Progress{}
			return at, nil
		case err == nil:
			return at, nil
		case s.cfg.SnapshotMode != "when_needed" || !fault.NeedsHuman(err):
			return at, err
		}
		s.log.Warn("a new snapshot is needed", "error", err)
		now.Epoch = at.Epoch + 1 // what comes sorts behind all that was delivered
	}
	n.fresh = true
	return now, nil
}

// readTables reads the definitions of all captured tables. At the first start there
// must be some.
func (n *session) readTables(ctx context.Context, first bool) error {
	var err error
	if n.catalog, err = newServerCatalog(ctx, n.conn, n.server.maria); err != nil {
		return err
	}
	if n.ids, err = n.catalog.tables(ctx, n.cfg.include); err != nil {
		return err
	}
	if err := n.checkTables(ctx, first); err != nil {
		return err
	}
	for _, id := range n.ids {
		def, err := n.catalog.table(ctx, id)
		if err != nil {
			return fmt.Errorf("read the definition of table %s: %w", id, err)
		}
		if def == nil {
			return fmt.Errorf("table %s was dropped just now", id)
		}
		t := &table{}
		if err := t.use(def, n.cfg); err != nil {
			return err
		}
		n.tables[id.String()] = t
		if err := n.conn.exec(ctx, "SELECT 1 FROM "+tableName(id)+" LIMIT 0"); err != nil {
			return err
		}
	}
	if err := n.cfg.CheckTables(n.described()); err != nil {
		return err
	}
	return n.readHistory(ctx)
}

// described are the tables for those who tell what becomes of them.
func (n *session) described() (out []capture.Described) {
	for _, id := range n.ids {
		out = append(out, n.tables[id.String()].described())
	}
	return out
}

func (t *table) described() capture.Described {
	v := t.current()
	d := capture.Described{Table: v.codec.Table}
	for i := range v.def.Columns {
		if c := &v.def.Columns[i]; !c.Hidden {
			d.Columns = append(d.Columns, c.Name)
		}
	}
	return d
}

// run is the worker: snapshot, then the log until ctx ends or an error.
func (n *session) run(ctx context.Context, at position) error {
	initial := n.fresh && n.cfg.readsRows()
	if initial || at.Snapshot != nil {
		if err := n.snapshot(ctx, &at); err != nil {
			return err
		}
		// The log's changes must not join the snapshot's last batch.
		if err := n.taken(ctx); err != nil {
			return err
		}
	}
	if n.cfg.SnapshotMode == "initial_only" {
		return io.EOF
	}
	return n.follow(ctx, at, n.fresh && !initial)
}

// follow reads the log from a position on. tell has the position told at once.
func (n *session) follow(ctx context.Context, at position, tell bool) (err error) {
	st, err := n.newStream(ctx, &at)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	if tell || n.recovers {
		if err := n.begins(ctx, st, &at); err != nil {
			return err
		}
	}
	return n.read(ctx, st)
}

// newStream makes a stream that begins at a position.
func (n *session) newStream(ctx context.Context, at *position) (*stream, error) {
	var set gtidSet
	if n.server.gtid && at.GTIDs != nil {
		var err error
		if set, err = parseGTIDs(n.server.maria, *at.GTIDs); err != nil {
			n.log.Warn("following the log by file and offset", "reason", err)
		}
	}
	if err := n.history.remember(at, n.tables, n.cfg); err != nil {
		return nil, err
	}
	st := newStream(ctx, n.cfg, n.catalog, n.pipe, n.log, *at, set, n.tables, n.history)
	st.described, st.hurry = n.server.described(), &n.hurry
	st.lookBack, st.lookAhead = n.lookBack, n.lookAhead
	return st, nil
}

// read has the stream take the log until ctx ends, an error, or what it is to stop
// at.
func (n *session) read(ctx context.Context, st *stream) error {
	d, err := n.openLog(ctx, st)
	if err == nil {
		n.log.Info("following the log", "file", st.at.File, "pos", st.at.Pos, "gtid", st.gtids.valid)
		err = d.run(ctx, st)
		n.hangUp(ctx, d)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if st.there {
		return errThere
	}
	return fmt.Errorf("read the binlog: %w", explainDump(err))
}

// begins tells of the tables and of the position.
func (n *session) begins(ctx context.Context, st *stream, at *position) error {
	if err := n.settled(ctx); err != nil {
		return err
	}
	err := n.tell(ctx, n.pipe.Acquire(), at)
	n.pipe.Release(false)
	if err != nil || n.recovers { // then it goes with the first change
		return err
	}
	return st.release()
}

// openLog asks for the log from where the stream stands. It does not connect
// again by itself: the capture loop does, from the position that is durable.
func (n *session) openLog(ctx context.Context, st *stream) (*dump, error) {
	d, err := openDump(ctx, n.cfg, n.server.maria, n.beat())
	if err != nil {
		return nil, err
	}
	if !st.gtids.valid {
		// MariaDB leaves out positions, which are counted up: that takes every event.
		flags := map[bool]uint16{true: dumpAnnotate}[n.server.maria]
		err = d.fromFile(st.at.File, st.at.Pos, n.cfg.serverID(), flags)
	} else {
		var text string
		if text, err = n.server.gtidsFor(ctx, n.conn, n.cfg, st.gtids.String()); err == nil {
			var set gtidSet
			if set, err = parseGTIDs(n.server.maria, text); err == nil {
				err = d.fromGTIDs(ctx, &set, n.cfg.serverID())
			}
		}
	}
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// beat is how often the server says that there is nothing.
func (n *session) beat() time.Duration {
	if beat := n.cfg.Moves(); beat > 0 && beat <= 30*time.Second {
		return beat
	}
	return 10 * time.Second
}

// hangUp ends a log's connection, on the server too, which otherwise would find
// out late.
func (n *session) hangUp(ctx context.Context, d *dump) {
	id := d.conn.c.GetConnectionID()
	_ = d.close() // it may be closed
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = n.conn.exec(ctx, "KILL "+strconv.FormatUint(uint64(id), 10)) // it may be gone
}

// Next implements capture.Source.
func (s *Source) Next(ctx context.Context) (*capture.Batch, error) {
	if s.session == nil {
		return nil, errors.New("source is not open")
	}
	return s.session.pipe.Next(ctx)
}

// Ack implements capture.Source. The server keeps its log by age alone.
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
	return errors.Join(n.conn.close(), n.chunks.close())
}
