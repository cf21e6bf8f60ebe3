package mysql

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"tributary/envelope"
	"tributary/internal/fault"
)

// view is a connection in a transaction that sees the database as it was at a
// position of the log, and perhaps more that see the same.
type view struct {
	conn   *conn
	more   []*conn
	at     position
	locker *conn // holds locks for as long as the view is in use; nil = none
}

func (v *view) close() error {
	err := v.conn.close()
	for _, c := range v.more {
		err = errors.Join(err, c.close())
	}
	if v.locker != nil && v.locker != v.conn {
		err = errors.Join(err, v.locker.close())
	}
	return err
}

// openView makes a view of one connection, or with snapshot.max.threads of one
// for each and one more. tables are those that will be read.
//
// MariaDB tells the position of a consistent snapshot by itself; several are of
// the same position only if nothing is written, or under a lock. MySQL is held
// still for the moment between the position and the snapshots: with a global
// read lock (needs RELOAD), else by locking the captured tables (needs LOCK
// TABLES). Without either, or when no locks are wanted, the position is read
// before and after, until nothing was written in between.
func openView(ctx context.Context, cfg *settings, srv *server, tables []envelope.TableID, log *slog.Logger) (*view, error) {
	c, err := dial(ctx, cfg)
	if err != nil {
		return nil, err
	}
	v := &view{conn: c}
	for n := cfg.Threads; n > 1 && len(v.more) < n; {
		if c, err = dial(ctx, cfg); err != nil {
			return nil, errors.Join(err, v.close())
		}
		v.more = append(v.more, c)
	}
	switch {
	case srv.maria && cfg.Locking != lockExtended:
		err = v.openMaria(ctx, srv)
		if errors.Is(err, errApart) {
			err = v.openTogether(ctx, cfg, srv, log)
		}
	case cfg.Locking == lockNone:
		err = v.openFree(ctx, srv, log)
	default:
		err = v.openLocked(ctx, cfg, srv, v.conn, "FLUSH TABLES WITH READ LOCK")
		if denied(err) && cfg.Locking != lockNoTables {
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
	lockNoTables = "minimal_percona_no_table_locks"
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
			if err := v.each(func(c *conn) error { return c.exec(ctx, "ROLLBACK") }); err != nil {
				return err
			}
		}
	}
	if len(v.more) > 0 {
		return v.alone(ctx, srv, log)
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

// alone goes on with a single connection.
func (v *view) alone(ctx context.Context, srv *server, log *slog.Logger) error {
	log.Info("the server is too busy to find one moment for several connections: the snapshot is read by one")
	err := v.conn.exec(ctx, "ROLLBACK")
	for _, c := range v.more {
		err = errors.Join(err, c.close())
	}
	v.more = nil
	if err != nil {
		return err
	}
	if srv.maria {
		return v.openMaria(ctx, srv)
	}
	return v.openFree(ctx, srv, log)
}

func (v *view) each(do func(c *conn) error) error {
	err := do(v.conn)
	for _, c := range v.more {
		if err == nil {
			err = do(c)
		}
	}
	return err
}

func (v *view) begin(ctx context.Context) error {
	return v.each(func(c *conn) error { return c.exec(ctx, "START TRANSACTION WITH CONSISTENT SNAPSHOT") })
}

// errApart says that consistent snapshots are of different positions.
var errApart = errors.New("several snapshots are of different positions")

func (v *view) openMaria(ctx context.Context, srv *server) error {
	if err := v.begin(ctx); err != nil {
		return err
	}
	v.at = position{}
	err := v.each(func(c *conn) error {
		at, err := mariaSnapshot(ctx, c)
		switch {
		case err != nil:
			return err
		case v.at.File == "":
			v.at = at
		case v.at.File != at.File || v.at.Pos != at.Pos:
			return errApart
		}
		return nil
	})
	if err != nil {
		return err
	}
	return srv.mariaGTIDs(ctx, v.conn, &v.at)
}

// mariaSnapshot is the position that a connection's snapshot is of.
func mariaSnapshot(ctx context.Context, c *conn) (at position, err error) {
	rows, err := c.table(ctx, "SHOW STATUS LIKE 'binlog_snapshot_%'")
	if err != nil {
		return at, err
	}
	for _, r := range rows {
		switch strings.ToLower(r[0]) {
		case "binlog_snapshot_file":
			at.File = r[1]
		case "binlog_snapshot_position":
			at.Pos, _ = strconv.ParseUint(r[1], 10, 64)
		}
	}
	if at.File == "" || at.Pos == 0 {
		return at, errors.New("the server does not tell the binlog position of a consistent snapshot")
	}
	return at, nil
}

// openTogether makes several snapshots of MariaDB be of one position: under a
// lock, else by trying.
func (v *view) openTogether(ctx context.Context, cfg *settings, srv *server, log *slog.Logger) error {
	const attempts = 20
	if cfg.Locking != lockNone {
		locker, err := dial(ctx, cfg)
		if err != nil {
			return err
		}
		err = locker.exec(ctx, "FLUSH TABLES WITH READ LOCK")
		if err == nil {
			err = v.openMaria(ctx, srv)
		}
		if e := locker.close(); err == nil || !denied(err) {
			return errors.Join(err, e)
		}
	}
	for range attempts {
		if err := v.openMaria(ctx, srv); !errors.Is(err, errApart) {
			return err
		}
	}
	return v.alone(ctx, srv, log)
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
