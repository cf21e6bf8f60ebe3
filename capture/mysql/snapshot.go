package mysql

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"tributary/capture"
	"tributary/capture/snapshot"
	"tributary/envelope"
	"tributary/internal/fault"
)

// view is a connection in a transaction that sees the database as it was at a
// position of the log.
type view struct {
	conn   *conn
	at     position
	locker *conn // holds locks for as long as the view is in use; nil = none
}

func (v *view) close() error {
	if v.locker != nil && v.locker != v.conn {
		return errors.Join(v.locker.close(), v.conn.close())
	}
	return v.conn.close()
}

// openView makes a view. tables are those that will be read.
//
// MariaDB tells the position of a consistent snapshot by itself. MySQL is held
// still for the moment between the two: with a global read lock (needs
// RELOAD), else by locking the captured tables (needs LOCK TABLES). Without
// either, or when no locks are wanted, the position is read before and after,
// until nothing was written in between.
func openView(ctx context.Context, cfg *settings, srv *server, tables []envelope.TableID, log *slog.Logger) (*view, error) {
	c, err := dial(ctx, cfg)
	if err != nil {
		return nil, err
	}
	v := &view{conn: c}
	switch {
	case srv.maria && cfg.Locking != lockExtended:
		err = v.openMaria(ctx, srv)
	case cfg.Locking == lockNone:
		err = v.openFree(ctx, srv, log)
	default:
		err = v.openLocked(ctx, cfg, srv, c, "FLUSH TABLES WITH READ LOCK")
		if denied(err) {
			log.Info("no right to lock the server: locking the captured tables instead", "error", err)
			err = v.openWithTableLocks(ctx, cfg, srv, tables)
		}
		if denied(err) && cfg.Locking != lockExtended {
			log.Info("no right to lock tables: reading the position without", "error", err)
			err = v.openFree(ctx, srv, log)
		}
	}
	if err != nil {
		return nil, errors.Join(err, v.close())
	}
	return v, nil
}

// Values of snapshot.locking.mode.
const (
	lockExtended = "extended"
	lockNone     = "none"
)

// openFree tries to find a moment at which nothing is written. If there is
// none, the position is that from before: changes between it and the view are
// then delivered after the rows that have them already.
func (v *view) openFree(ctx context.Context, srv *server, log *slog.Logger) error {
	const attempts = 50
	for i := range attempts {
		before, err := srv.logStatus(ctx, v.conn)
		if err != nil {
			return err
		}
		if err := v.begin(ctx); err != nil {
			return err
		}
		after, err := srv.logStatus(ctx, v.conn)
		if err != nil {
			return err
		}
		v.at = before
		if before.File == after.File && before.Pos == after.Pos {
			return nil
		}
		if i < attempts-1 {
			if err := v.conn.exec(ctx, "ROLLBACK"); err != nil {
				return err
			}
		}
	}
	log.Warn("the server is too busy to find the moment of the snapshot without a lock: some changes will come after rows that have them already")
	return nil
}

// denied reports whether an error is about a missing privilege.
func denied(err error) bool {
	switch code(err) {
	case errSpecificDenied, errAccessDenied, errDBAccessDenied, errTableDenied:
		return true
	}
	return false
}

func (v *view) begin(ctx context.Context) error {
	return v.conn.exec(ctx, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
}

func (v *view) openMaria(ctx context.Context, srv *server) error {
	if err := v.begin(ctx); err != nil {
		return err
	}
	rows, err := v.conn.table(ctx, "SHOW STATUS LIKE 'binlog_snapshot_%'")
	if err != nil {
		return err
	}
	for _, r := range rows {
		switch strings.ToLower(r[0]) {
		case "binlog_snapshot_file":
			v.at.File = r[1]
		case "binlog_snapshot_position":
			v.at.Pos, _ = strconv.ParseUint(r[1], 10, 64)
		}
	}
	if v.at.File == "" || v.at.Pos == 0 {
		return errors.New("the server does not tell the binlog position of a consistent snapshot")
	}
	return srv.mariaGTIDs(ctx, v.conn, &v.at)
}

// openLocked locks with a statement on locker, and unlocks when the view is
// open.
func (v *view) openLocked(ctx context.Context, cfg *settings, srv *server, locker *conn, lock string) (err error) {
	if err := locker.exec(ctx, lock); err != nil {
		if code(err) == errLockWait {
			return fmt.Errorf("a long query keeps the tables from being locked: %w", err)
		}
		return err
	}
	if cfg.Locking == lockExtended {
		v.locker = locker
	} else {
		defer func() { err = errors.Join(err, locker.exec(ctx, "UNLOCK TABLES")) }()
	}
	if err := v.begin(ctx); err != nil {
		return err
	}
	v.at, err = srv.logStatus(ctx, v.conn)
	return err
}

func (v *view) openWithTableLocks(ctx context.Context, cfg *settings, srv *server, tables []envelope.TableID) error {
	if len(tables) == 0 { // nothing to read: any position will do
		var err error
		v.at, err = srv.logStatus(ctx, v.conn)
		return err
	}
	locker, err := dial(ctx, cfg)
	if err != nil {
		return err
	}
	names := make([]string, len(tables))
	for i, id := range tables {
		names[i] = tableName(id) + " READ"
	}
	err = v.openLocked(ctx, cfg, srv, locker, "LOCK TABLES "+strings.Join(names, ", "))
	if denied(err) && cfg.Locking == lockExtended {
		err = fault.Human(err, "grant the user RELOAD, or LOCK TABLES on the captured databases, for snapshot.locking.mode extended")
	}
	if v.locker != nil {
		return err
	}
	return errors.Join(err, locker.close())
}

func tableName(id envelope.TableID) string { return identifier(id.Catalog) + "." + identifier(id.Name) }

// reader reads chunks of the view. It implements snapshot.Reader.
type reader struct {
	view     *view
	versions map[*envelope.Table]*version
	cfg      *settings
}

// Read implements snapshot.Reader.
func (r *reader) Read(ctx context.Context, c snapshot.Chunk, row func(cells [][]byte) error) error {
	v := r.versions[c.Codec.Table]
	none := make([]func([]byte) bool, len(v.codec.Columns))
	for i, at := range v.at {
		if at >= 0 {
			none[at] = v.types[i].none
		}
	}
	return r.view.conn.rows(ctx, v.query(c, r.cfg.override(v.def.ID.String())), func(cells [][]byte) error {
		if len(cells) != len(none) {
			return fmt.Errorf("%d values for %d columns", len(cells), len(none))
		}
		for i, f := range none {
			if f != nil && cells[i] != nil && f(cells[i]) {
				cells[i] = nil
			}
		}
		return row(cells)
	})
}

// query selects a chunk's rows in the order of the key: of the table, or of the
// rows that a statement gives.
func (v *version) query(c snapshot.Chunk, override string) string {
	var b strings.Builder
	b.WriteString("SELECT ")
	n := 0
	for i := range v.def.Columns {
		if v.at[i] < 0 {
			continue
		}
		if n++; n > 1 {
			b.WriteByte(',')
		}
		name := identifier(v.def.Columns[i].Name)
		if v.types[i].sql != "" {
			name = fmt.Sprintf(v.types[i].sql, name)
		}
		b.WriteString(name)
	}
	if override == "" {
		b.WriteString(" FROM " + tableName(v.def.ID))
	} else {
		b.WriteString(" FROM (" + override + ") chosen")
	}
	var conditions []string
	if c.Filter != "" {
		conditions = append(conditions, "("+c.Filter+")")
	}
	if c.After != nil {
		conditions = append(conditions, "("+v.after(c.After)+")")
	}
	if len(conditions) > 0 {
		b.WriteString(" WHERE " + strings.Join(conditions, " AND "))
	}
	if len(v.def.Key) == 0 {
		return b.String()
	}
	b.WriteString(" ORDER BY ")
	for i, k := range v.def.Key {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(identifier(k))
	}
	if c.Limit > 0 {
		b.WriteString(" LIMIT " + strconv.Itoa(c.Limit))
	}
	return b.String()
}

// after is the condition for rows behind a key, in a form for which the server
// finds the range in the index: a >= 1 AND (a > 1 OR (a = 1 AND b > 2)).
func (v *version) after(key [][]byte) string {
	cond := ""
	for i := len(v.def.Key) - 1; i >= 0; i-- {
		name, value := identifier(v.def.Key[i]), v.literal(v.def.Key[i], key[i])
		if cond == "" {
			cond = name + " > " + value
		} else {
			cond = name + " >= " + value + " AND (" + name + " > " + value + " OR (" + cond + "))"
		}
	}
	return cond
}

// literal writes the text of a value of a column as SQL.
func (v *version) literal(column string, text []byte) string {
	switch d := v.def.column(column); d.DataType {
	case "tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "float", "double", "year":
		return string(text)
	case "enum": // compared as it is ordered: by its number
		return strconv.Itoa(slices.Index(d.Members, string(text)) + 1)
	case "set":
		mask := uint64(0)
		for m := range strings.SplitSeq(string(text), ",") {
			if i := slices.Index(d.Members, m); i >= 0 {
				mask |= 1 << i
			}
		}
		return strconv.FormatUint(mask, 10)
	case "bit":
		return "CAST(CONV(" + quote(hex.EncodeToString(text)) + ",16,10) AS UNSIGNED)"
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob":
		return "x'" + hex.EncodeToString(text) + "'"
	default:
		return quote(string(text))
	}
}

// flusher hands the lists of a snapshot to the pipe. It implements
// snapshot.Flush.
type flusher struct {
	pipe  *capture.Pipe
	batch *capture.Batch
	from  position // where the log is followed from when the snapshot is done
}

// Full implements snapshot.Flush.
func (f *flusher) Full(*envelope.Changes) bool { return f.pipe.Limits().Full(f.batch) }

// Flush implements snapshot.Flush.
func (f *flusher) Flush(ctx context.Context, _ *envelope.Changes, after *snapshot.Progress) (*envelope.Changes, error) {
	p := f.from
	p.Snapshot = after
	f.batch.Snapshot, f.batch.End = true, p.encode()
	next, err := f.pipe.Put(ctx, f.batch)
	if err != nil {
		return nil, err
	}
	f.batch = next
	return &next.Changes, nil
}

// snapshot reads what is left of the snapshot that p is in, and returns p with
// the snapshot done. A nil Snapshot in p begins one, at a position of its own.
func (s *session) snapshot(ctx context.Context, p *position) error {
	v, err := openView(ctx, s.cfg, s.server, s.ids, s.log)
	if err != nil {
		return fmt.Errorf("open a consistent view: %w", err)
	}
	defer func() { _ = v.close() }()
	f := &flusher{pipe: s.pipe, batch: s.pipe.Batch(), from: *p}
	plan := snapshot.Plan{
		Aside:     s.cfg.KeepsFailures(),
		ChunkRows: s.cfg.FetchSize,
		Source:    envelope.Source{TsNs: time.Now().Unix() * 1e9, File: told(v.at.File, p.Epoch), Pos: int64(v.at.Pos)}, //nolint:gosec // offsets fit
	}
	if p.Snapshot == nil {
		v.at.Server, v.at.Epoch = s.server.id, p.Epoch
		if v.at.Undecided, err = undecidedXA(ctx, v.conn); err != nil {
			return err
		}
		*p, f.from = v.at, v.at
		if err := s.settled(ctx); err != nil {
			return err
		}
		if err := s.tell(ctx, f.batch, p); err != nil {
			return err
		}
	} else {
		plan.Progress = *p.Snapshot
		s.log.Info("snapshot goes on", "rows", plan.Progress.Rows, "tables_done", len(plan.Progress.Done))
	}
	if !s.server.described() {
		if p.Tables == "" {
			if p.Tables, err = s.history.encode(); err != nil {
				return err
			}
		}
		f.from.Tables = p.Tables
	}
	r := &reader{view: v, versions: make(map[*envelope.Table]*version), cfg: s.cfg}
	for _, id := range s.ids {
		if !s.cfg.snapshots.Table(id) {
			continue
		}
		ver := s.tables[id.String()].current()
		plan.Tables = append(plan.Tables, ver.codec)
		r.versions[ver.codec.Table] = ver
	}
	if err := s.estimate(ctx, &plan); err != nil {
		return err
	}
	began := time.Now()
	s.log.Info("snapshot begins", "tables", len(plan.Tables), "file", v.at.File, "pos", v.at.Pos)
	if err := plan.Run(ctx, r, &f.batch.Changes, f); err != nil {
		return err
	}
	s.log.Info("snapshot read", "took", time.Since(began).Round(time.Millisecond).String())
	p.Snapshot = nil
	return nil
}

// estimate tells what the snapshot has to read: as many rows as the server's
// statistics say.
func (s *session) estimate(ctx context.Context, plan *snapshot.Plan) error {
	names := plan.Names()
	out := &capture.SnapshotPlan{Tables: names, Done: plan.Progress.Rows}
	query := "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_ROWS FROM information_schema.TABLES WHERE TABLE_ROWS > 0 AND TABLE_SCHEMA NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema')"
	err := s.conn.rows(ctx, query, func(cells [][]byte) error {
		if rows, err := strconv.ParseInt(string(cells[2]), 10, 64); err == nil && slices.Contains(names, string(cells[0])+"."+string(cells[1])) {
			out.Rows += rows
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("estimate rows: %w", err)
	}
	s.planned.Store(out)
	return nil
}
