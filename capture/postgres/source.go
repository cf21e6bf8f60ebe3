package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tributary/capture"
	"tributary/capture/snapshot"
	"tributary/envelope"
	"tributary/internal/fault"
)

// Source captures one PostgreSQL database. It implements capture.Source.
type Source struct {
	opts   Options
	log    *slog.Logger
	filter *capture.Filter
	// prefixes says which logical messages are captured; nil = all.
	prefixes   func(prefix string) bool
	snapshotOf []*regexp.Regexp // tables that a snapshot reads; nil = all

	metrics *metrics
	opened  bool // Open has succeeded before

	life *life // between Open and Close
}

// life is what one Open makes and Close ends.
type life struct {
	cancel context.CancelCauseFunc
	done   chan struct{}
	watch  sync.WaitGroup
	pipe   *capture.Pipe
	repl   *pgconn.PgConn
	cat    *catalog
	sql    *pgx.Conn // reads the snapshot
	acked  atomic.Uint64
}

// New returns a Source. The options must be valid.
func New(o Options, log *slog.Logger) (*Source, error) {
	f, err := capture.NewFilter(&o.Options)
	if err != nil {
		return nil, err
	}
	s := &Source{opts: o, log: log.With("connector", o.Name), filter: f, metrics: newMetrics()}
	if s.snapshotOf, err = compileAll(o.SnapshotOf); err != nil {
		return nil, fmt.Errorf("snapshot.include.collection.list: %w", err)
	}
	if s.prefixes, err = o.prefixFilter(); err != nil {
		return nil, err
	}
	if o.StatusInterval <= 0 {
		s.opts.StatusInterval = 10 * time.Second
	}
	return s, nil
}

// closeTimeout bounds how long the server is given to take leave.
const closeTimeout = 2 * time.Second

var errClosed = errors.New("source is closed")

// Open implements capture.Source.
func (s *Source) Open(ctx context.Context, resume capture.Position) error {
	if s.life != nil {
		return errors.New("source is open already")
	}
	l := &life{pipe: capture.NewPipe(s.opts.Limits()), done: make(chan struct{})}
	l.cat = s.newCatalog()
	work, err := s.prepare(ctx, l, resume)
	if err != nil {
		return errors.Join(err, l.disconnect())
	}
	run, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	l.cancel = cancel
	s.life, s.opened = l, true
	go func() {
		defer close(l.done)
		l.pipe.Fail(work(run))
	}()
	l.watch.Go(func() { s.watch(run) })
	return nil
}

func (s *Source) newCatalog() *catalog {
	b := &builder{modes: s.opts.modes(), filter: s.filter, placeholder: s.opts.placeholder()}
	warned := make(map[string]bool)
	b.warn = func(id envelope.TableID, column, native string) {
		if key := id.String() + "." + column; !warned[key] {
			warned[key] = true
			s.log.Warn("column left out: its type has no form in events; include.unknown.datatypes: true writes its text",
				"table", id.String(), "column", column, "type", native)
		}
	}
	return &catalog{server: &server{opts: &s.opts}, build: b}
}

// prepare checks everything, makes publication and slot, and returns the work
// of the source's goroutine.
func (s *Source) prepare(ctx context.Context, l *life, resume capture.Position) (func(context.Context) error, error) {
	var pos *position
	if len(resume) > 0 {
		var err error
		if pos, err = parsePosition(resume); err != nil {
			return nil, err
		}
	}
	if err := s.checkServer(ctx, l.cat); err != nil {
		return nil, err
	}
	tables, err := s.tables(ctx, l.cat)
	if err != nil {
		return nil, err
	}
	if err := s.publish(ctx, l.cat, tables); err != nil {
		return nil, err
	}
	if l.repl, err = l.cat.server.replication(ctx); err != nil {
		return nil, err
	}
	system, err := l.cat.server.system(ctx, l.repl)
	if err != nil {
		return nil, err
	}
	sl, err := l.cat.slot(ctx, s.opts.Slot)
	if err != nil {
		return nil, err
	}
	if pos != nil {
		return s.prepareResume(ctx, l, pos, system, sl, tables)
	}
	return s.prepareStart(ctx, l, system, sl, tables)
}

// checkServer checks what cannot work whatever the tables are.
func (s *Source) checkServer(ctx context.Context, c *catalog) error {
	return c.query(ctx, func(conn *pgx.Conn) error {
		var level, user string
		var may bool
		err := conn.QueryRow(ctx, `SELECT current_setting('wal_level'), current_user::text,
			(SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user)
			OR EXISTS (SELECT FROM pg_roles WHERE rolname IN ('rds_replication', 'azure_pg_admin', 'cloudsqlsuperuser')
				AND pg_has_role(current_user, oid, 'MEMBER'))`).Scan(&level, &user, &may)
		if err != nil {
			return explain(fmt.Errorf("read server settings: %w", err))
		}
		if level != "logical" {
			return fault.Human(fmt.Errorf("the server has wal_level = %s, which does not allow logical decoding", level),
				"set wal_level = logical in postgresql.conf (rds.logical_replication = 1 on RDS) and restart the server")
		}
		if !may {
			return fault.Human(fmt.Errorf("user %s may not replicate", user),
				fmt.Sprintf("ALTER ROLE %s REPLICATION (GRANT rds_replication TO %[1]s on RDS)", quoteIdent(user)))
		}
		return nil
	})
}

// tables reads the captured tables, after giving them the replica identities
// that they are to have.
func (s *Source) tables(ctx context.Context, c *catalog) ([]*tableInfo, error) {
	tables, err := c.tables(ctx)
	if err != nil {
		return nil, err
	}
	statements, err := identityStatements(&s.opts, tables)
	if err != nil || len(statements) == 0 {
		return tables, err
	}
	for _, q := range statements {
		err := c.query(ctx, func(conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, q)
			return err
		})
		if err != nil {
			return nil, explain(fmt.Errorf("%s: %w", q, err))
		}
		s.log.Info("replica identity changed", "statement", q)
	}
	return c.tables(ctx)
}

// identityStatements returns what replica.identity.autoset.values asks for
// and the tables do not have yet.
func identityStatements(o *Options, tables []*tableInfo) (out []string, err error) {
	list, err := o.identities()
	if err != nil {
		return nil, err
	}
	for _, t := range tables {
		i := slices.IndexFunc(list, func(id identity) bool { return id.tables.MatchString(t.id.String()) })
		if i < 0 || list[i].kind == t.identity && list[i].index == t.identityIndex {
			continue
		}
		to := map[byte]string{'d': "DEFAULT", 'f': "FULL", 'n': "NOTHING", 'i': "USING INDEX " + quoteIdent(list[i].index)}[list[i].kind]
		out = append(out, "ALTER TABLE "+tableName(t.id)+" REPLICA IDENTITY "+to)
	}
	return out, nil
}

// publish checks the rights on the tables and brings the publication about.
func (s *Source) publish(ctx context.Context, c *catalog, tables []*tableInfo) error {
	unreadable := slices.DeleteFunc(slices.Clone(tables), func(t *tableInfo) bool { return t.readable })
	if len(unreadable) > 0 {
		return errUnreadable(unreadable, s.opts.User)
	}
	p, err := c.publication(ctx, s.opts.Publication, tables)
	if err != nil {
		return err
	}
	statements, err := p.statements(&s.opts, tables)
	if err != nil {
		return err
	}
	for _, q := range statements {
		err := c.query(ctx, func(conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, q)
			return err
		})
		if err != nil {
			return explain(fmt.Errorf("%s: %w", q, err))
		}
		s.log.Info("publication changed", "statement", q)
	}
	return nil
}

// prepareStart begins without a stored position.
func (s *Source) prepareStart(ctx context.Context, l *life, system string, sl slot, tables []*tableInfo) (func(context.Context) error, error) {
	pos := position{Slot: s.opts.Slot, System: system}
	if sl.exists {
		if err := sl.usable(&s.opts); err != nil {
			return nil, err
		}
	}
	data := !slices.Contains([]string{"no_data", "schema_only", "never"}, s.opts.SnapshotMode)
	if sl.exists && !data {
		pos.LSN = sl.confirmed
		s.log.Info("following an existing slot without a snapshot", "slot", s.opts.Slot, "lsn", pos.LSN.String())
		return s.follow(l, pos)
	}
	// A slot that exists was made beforehand, or by a first start that did not
	// get far. It has the log from an earlier moment on, so it is kept, and the
	// moment of the snapshot is that of a temporary slot.
	name, temporary := s.opts.Slot, false
	if sl.exists {
		name, temporary = temporaryName(s.opts.Slot), true
	}
	consistent, exported, err := createSlot(ctx, l.repl, name, temporary, s.opts.Failover)
	if err != nil {
		return nil, err
	}
	pos.LSN = consistent
	s.log.Info("replication slot created", "slot", name, "lsn", consistent.String(), "temporary", temporary)
	if !data {
		return s.follow(l, pos)
	}
	pos.Snapshot = &snapshot.Progress{}
	return s.snapshot(ctx, l, pos, name, exported, tables)
}

// temporaryName is different each time: the temporary slot of a process that
// was killed may be there for a moment yet.
func temporaryName(slot string) string {
	return fmt.Sprintf("%s_%08x", slot[:min(len(slot), 54)], rand.Uint32())
}

// prepareResume goes on at a stored position.
func (s *Source) prepareResume(ctx context.Context, l *life, pos *position, system string, sl slot, tables []*tableInfo) (func(context.Context) error, error) {
	if err := s.resumable(pos, system, sl); err != nil {
		if s.opts.SnapshotMode != "when_needed" {
			return nil, err
		}
		return s.startOver(ctx, l, system, sl, tables, err)
	}
	if pos.Snapshot == nil && s.opts.SnapshotMode == "always" && !s.opened {
		pos.Snapshot = &snapshot.Progress{}
	}
	if pos.Snapshot == nil {
		return s.follow(l, *pos)
	}
	name := temporaryName(s.opts.Slot)
	_, exported, err := createSlot(ctx, l.repl, name, true, false)
	if err != nil {
		return nil, err
	}
	s.log.Info("snapshot goes on", "tables_done", len(pos.Snapshot.Done), "table", pos.Snapshot.Table, "rows", pos.Snapshot.Rows)
	return s.snapshot(ctx, l, *pos, name, exported, tables)
}

// startOver begins anew because the log after the stored position is gone.
func (s *Source) startOver(ctx context.Context, l *life, system string, sl slot, tables []*tableInfo, why error) (func(context.Context) error, error) {
	s.log.Warn("a new snapshot is needed", "error", why)
	if sl.exists && sl.status == "lost" {
		err := l.cat.query(ctx, func(conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "SELECT pg_drop_replication_slot($1)", s.opts.Slot)
			return err
		})
		if err != nil {
			return nil, explain(fmt.Errorf("drop the lost slot %s: %w", s.opts.Slot, err))
		}
		sl = slot{}
	}
	return s.prepareStart(ctx, l, system, sl, tables)
}

// resumable checks that the log goes on after the position.
func (s *Source) resumable(pos *position, system string, sl slot) error {
	if pos.System != system {
		return fault.Human(fmt.Errorf("the stored position is of another server (system identifier %s, this one has %s)", pos.System, system),
			"connect to the server that was captured before, or give the connector a new name so that it takes a new snapshot")
	}
	if pos.Slot != s.opts.Slot {
		return fault.Human(fmt.Errorf("the stored position is of slot %s, slot.name is %s", pos.Slot, s.opts.Slot),
			"set slot.name to the slot of the position, or give the connector a new name so that it takes a new snapshot")
	}
	return sl.follows(&s.opts, pos)
}

// snapshot opens the transaction that sees the exported snapshot of the slot
// called name, and returns the work: the snapshot, then the stream.
func (s *Source) snapshot(ctx context.Context, l *life, pos position, name, exported string, tables []*tableInfo) (func(context.Context) error, error) {
	sl, err := l.cat.slot(ctx, name)
	if err != nil {
		return nil, err
	}
	if l.sql, err = l.cat.server.connect(ctx); err != nil {
		return nil, err
	}
	plan := snapshot.Plan{Progress: *pos.Snapshot, ChunkRows: s.opts.FetchSize}
	plan.Source.LSN = int64(sl.restart)
	begin := "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
	for _, q := range []string{begin, "SET TRANSACTION SNAPSHOT " + quoteLiteral(exported), "SET LOCAL cursor_tuple_fraction = 1"} {
		if _, err := l.sql.Exec(ctx, q); err != nil {
			return nil, explain(fmt.Errorf("begin snapshot: %w", err))
		}
	}
	var at time.Time
	err = l.sql.QueryRow(ctx, `SELECT clock_timestamp(), txid_snapshot_xmax(txid_current_snapshot())`).Scan(&at, &plan.Source.TxID)
	if err != nil {
		return nil, explain(fmt.Errorf("begin snapshot: %w", err))
	}
	plan.Source.TsNs = at.UnixMicro() * 1000
	reader := &copyReader{conn: l.sql, from: make(map[envelope.TableID]string)}
	for _, t := range tables {
		if !s.snapshots(t.id) {
			continue
		}
		c, err := l.cat.build.table(t.id, t.columns, t.key)
		if err != nil {
			return nil, err
		}
		if q := s.opts.override(t.id.String()); q != "" {
			reader.from[t.id] = "(" + q + ") AS rows"
		} else if t.root {
			reader.from[t.id] = tableName(t.id)
		}
		plan.Tables = append(plan.Tables, c.codec)
	}
	expected, err := l.cat.estimate(ctx, plan.Tables)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		began := time.Now()
		f := &flusher{pipe: l.pipe, pos: pos, batch: l.pipe.Batch(), began: began, told: began, before: pos.Snapshot.Rows, expected: expected, log: s.log, metrics: s.metrics}
		s.metrics.total.Set(float64(expected))
		f.batch.Snapshot = true
		if err := plan.Run(ctx, reader, &f.batch.Changes, f); err != nil {
			return err
		}
		s.log.Info("snapshot complete", "tables", len(plan.Tables), "rows", f.rows, "took", time.Since(began).Round(time.Millisecond).String())
		if s.opts.SnapshotMode == "initial_only" {
			return errEnd
		}
		// The connections have been idle for as long as the snapshot took:
		// take new ones.
		err := errors.Join(l.sql.Close(ctx), l.repl.Close(ctx))
		l.sql = nil
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
		pipe: l.pipe, pos: pos, acked: &l.acked, heartbeat: s.opts.Moves(), interval: s.opts.StatusInterval,
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

// lookup finds tables in the catalog. What the message says of the columns is
// of the moment of the change and counts; the catalog of now adds what the
// message leaves out: whether a column may be null, its default, the key.
func (s *Source) lookup(c *catalog) lookup {
	return func(ctx context.Context, oid uint32, id envelope.TableID, columns []relationColumn) (*captured, error) {
		if !s.filter.Table(id) {
			return nil, nil
		}
		now, err := c.byOID(ctx, oid)
		if err != nil {
			return nil, err
		}
		return resolve(ctx, c, id, columns, now)
	}
}

// resolve joins a Relation message with the catalog's idea of the table. now is
// nil if the table is gone: then the key is what the message marks as the
// replica identity, unless that is the whole row.
func resolve(ctx context.Context, c *catalog, id envelope.TableID, columns []relationColumn, now *tableInfo) (*captured, error) {
	var infos []columnInfo
	var key []string
	for _, col := range columns {
		info := columnInfo{name: col.name}
		var err error
		if info.typ, err = c.typeOf(ctx, col.oid, col.typmod); err != nil {
			return nil, err
		}
		info.native = info.typ.name
		if now != nil {
			for _, n := range now.columns {
				if n.name != col.name {
					continue
				}
				info.notNull = n.notNull
				if n.typ.oid == info.typ.oid && n.typ.typmod == info.typ.typmod {
					info.def, info.native = n.def, n.native
				}
			}
		}
		infos = append(infos, info)
	}
	if now != nil {
		key = now.key
	} else if slices.ContainsFunc(columns, func(c relationColumn) bool { return !c.key }) {
		for i, col := range columns {
			if col.key {
				key = append(key, col.name)
				infos[i].notNull = true
			}
		}
	}
	return c.build.table(id, infos, key)
}

// Next implements capture.Source.
func (s *Source) Next(ctx context.Context) (*capture.Batch, error) {
	if s.life == nil {
		return nil, errClosed
	}
	return s.life.pipe.Next(ctx)
}

// Ack implements capture.Source.
func (s *Source) Ack(_ context.Context, p capture.Position) error {
	if s.life == nil {
		return errClosed
	}
	pos, err := parsePosition(p)
	if err != nil {
		return err
	}
	s.life.acked.Store(uint64(pos.LSN))
	return nil
}

// Close implements capture.Source.
func (s *Source) Close() error {
	l := s.life
	if l == nil {
		return nil
	}
	s.life = nil
	l.cancel(errClosed)
	<-l.done
	l.watch.Wait()
	return l.disconnect()
}

// disconnect closes what is open. The server is told, but not waited for long.
func (l *life) disconnect() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	var errs []error
	if l.sql != nil {
		_ = l.sql.Close(ctx) // in a transaction that was only read
	}
	if l.repl != nil {
		_ = l.repl.Close(ctx) // says nothing that anyone could act on
	}
	if l.cat != nil {
		errs = append(errs, l.cat.close(ctx))
	}
	return errors.Join(errs...)
}
