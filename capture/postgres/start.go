package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/jackc/pgx/v5"

	"tributary/capture"
	"tributary/capture/snapshot"
	"tributary/internal/fault"
)

// prepareStart begins without a stored position.
func (s *Source) prepareStart(ctx context.Context, l *life, system string, sl slot, tables []*tableInfo) (func(context.Context) error, error) {
	pos := position{Slot: s.opts.Slot, System: system}
	var err error
	if pos.Timeline, _, err = timeline(ctx, l.repl); err != nil {
		return nil, err
	}
	if sl.exists {
		if err := sl.usable(&s.opts); err != nil {
			return nil, err
		}
	}
	data := s.opts.readsRows()
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
	return s.snapshot(ctx, l, &pos, name, exported, tables)
}

// temporaryName is different each time: the temporary slot of a process that
// was killed may be there for a moment yet.
func temporaryName(slot string) string {
	return fmt.Sprintf("%s_%08x", slot[:min(len(slot), 54)], rand.Uint32())
}

// prepareResume goes on at a stored position.
func (s *Source) prepareResume(ctx context.Context, l *life, pos *position, system string, sl slot, tables, added []*tableInfo) (func(context.Context) error, error) {
	err := s.resumable(pos, system, sl)
	if err == nil {
		err = s.branched(ctx, l, pos)
	}
	if err != nil {
		if s.opts.SnapshotMode != "when_needed" {
			return nil, err
		}
		return s.startOver(ctx, l, system, sl, tables, err)
	}
	if pos.Snapshot == nil && s.opts.SnapshotMode == "always" && !s.opened {
		pos.Snapshot = &snapshot.Progress{}
	}
	switch {
	case pos.Snapshot != nil && pos.Snapshot.Waits:
		return s.blocking(ctx, l, *pos, tables)
	case pos.Snapshot != nil:
		return s.resumeSnapshot(ctx, l, *pos, tables)
	case len(added) > 0:
		return func(ctx context.Context) error { return s.catchUp(ctx, l, *pos, tables, added) }, nil
	}
	return s.follow(l, *pos)
}

// resumeSnapshot goes on with the snapshot of the position, as of now.
func (s *Source) resumeSnapshot(ctx context.Context, l *life, pos position, tables []*tableInfo) (func(context.Context) error, error) {
	name := temporaryName(s.opts.Slot)
	_, exported, err := createSlot(ctx, l.repl, name, true, false)
	if err != nil {
		return nil, err
	}
	s.log.Info("snapshot goes on", "tables_done", len(pos.Snapshot.Done), "table", pos.Snapshot.Table, "rows", pos.Snapshot.Rows)
	return s.snapshot(ctx, l, &pos, name, exported, tables)
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
			"connect to the server that was captured before; if it is gone, "+capture.WayOut)
	}
	if pos.Slot != s.opts.Slot {
		return fault.Human(fmt.Errorf("the stored position is of slot %s, slot.name is %s", pos.Slot, s.opts.Slot),
			"set slot.name to the slot of the position; if that is gone, "+capture.WayOut)
	}
	return sl.follows(&s.opts, pos)
}
