package postgres

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tributary/capture"
	"tributary/internal/fault"
)

// timeline returns which of the branches of its log the server is on, and how far
// that goes.
func timeline(ctx context.Context, conn *pgconn.PgConn) (branch int32, end lsn, err error) {
	id, err := pglogrepl.IdentifySystem(ctx, conn)
	if err != nil {
		return 0, 0, explain(fmt.Errorf("identify the server: %w", err))
	}
	return id.Timeline, id.XLogPos, nil
}

// branched checks that the log that was captured up to the position is the one that
// the server has. A standby that is promoted, or a backup that is restored, goes on
// from where it was: if more had been captured by then, what was written since in
// its place lies at positions that look as if they were captured already. It moves
// the position to the server's timeline.
func (s *Source) branched(ctx context.Context, l *life, pos *position) error {
	now, end, err := timeline(ctx, l.repl)
	if err != nil {
		return err
	}
	const kept = "slot.failover with synchronized_standby_slots (PostgreSQL 17) keeps that from happening; "
	if pos.Timeline != 0 && pos.Timeline != now {
		at, err := branchOff(ctx, l.repl, pos.Timeline, now)
		if err != nil {
			return err
		}
		if at < pos.LSN {
			return fault.Human(fmt.Errorf("the log of timeline %d, which was captured up to %s, was left at %s for that of timeline %d: changes were captured that this server does not have, and it has others in their place",
				pos.Timeline, pos.LSN, at, now), kept+capture.WayOut)
		}
	}
	if end < pos.LSN {
		var standby bool
		err := l.cat.query(ctx, func(conn *pgx.Conn) error {
			return conn.QueryRow(ctx, "SELECT pg_is_in_recovery()").Scan(&standby)
		})
		if err != nil {
			return fmt.Errorf("read whether the server is a standby: %w", explain(err))
		}
		if !standby { // which may have to come there yet
			return fault.Human(fmt.Errorf("the server's log ends at %s, before the stored position %s: it has lost what was captured last", end, pos.LSN), kept+capture.WayOut)
		}
	}
	pos.Timeline = now
	return nil
}

// branchOff returns where a timeline was left on the way to another one.
func branchOff(ctx context.Context, conn *pgconn.PgConn, from, to int32) (lsn, error) {
	h, err := pglogrepl.TimelineHistory(ctx, conn, to)
	if err != nil {
		return 0, explain(fmt.Errorf("read the history of timeline %d: %w", to, err))
	}
	at, ok, err := leftAt(h.Content, from)
	if err == nil && !ok {
		err = fault.Human(fmt.Errorf("the position is of timeline %d, which is not in the history of timeline %d that the server is on", from, to), capture.WayOut)
	}
	return at, err
}

// leftAt finds in a history file where a timeline was left: lines are a timeline, the
// place and a reason, with tabs between.
func leftAt(history []byte, branch int32) (at lsn, ok bool, err error) {
	lines := bufio.NewScanner(bytes.NewReader(history))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 2 || strings.HasPrefix(f[0], "#") {
			continue
		}
		n, err := strconv.ParseInt(f[0], 10, 32)
		if err != nil {
			return 0, false, fmt.Errorf("history of timelines: %w", err)
		}
		if int32(n) != branch {
			continue
		}
		at, err := pglogrepl.ParseLSN(f[1])
		if err != nil {
			return 0, false, fmt.Errorf("history of timelines: %w", err)
		}
		return at, true, nil
	}
	return 0, false, lines.Err()
}
