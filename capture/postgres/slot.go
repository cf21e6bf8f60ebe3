package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tributary/capture"
	"tributary/internal/fault"
)

// slot is what pg_replication_slots says of ours.
type slot struct {
	exists    bool
	plugin    string
	database  string
	active    bool
	confirmed lsn    // everything before it has been acknowledged
	restart   lsn    // where decoding begins to read
	status    string // wal_status: reserved, extended, unreserved, lost
	failover  bool   // standby servers keep it (PostgreSQL 17 and newer)
}

func (c *catalog) slot(ctx context.Context, name string) (slot, error) {
	var s slot
	err := c.query(ctx, func(conn *pgx.Conn) error {
		var confirmed, restart string
		row := conn.QueryRow(ctx, `SELECT coalesce(plugin, ''), coalesce(database, ''), active, coalesce(confirmed_flush_lsn::text, '0/0'),
			coalesce(restart_lsn::text, '0/0'), coalesce(wal_status, ''), coalesce((to_jsonb(s) ->> 'failover')::boolean, false)
			FROM pg_replication_slots s WHERE slot_name = $1`, name)
		err := row.Scan(&s.plugin, &s.database, &s.active, &confirmed, &restart, &s.status, &s.failover)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return explain(fmt.Errorf("read slot %s: %w", name, err))
		}
		s.exists = true
		if s.confirmed, err = pglogrepl.ParseLSN(confirmed); err != nil {
			return fmt.Errorf("read slot %s: %w", name, err)
		}
		s.restart, err = pglogrepl.ParseLSN(restart)
		return err
	})
	return s, err
}

// usable checks that the slot can serve us at all.
func (s slot) usable(o *Options) error {
	switch {
	case s.plugin != "pgoutput":
		return fault.Human(fmt.Errorf("slot %s is of plugin %q, not pgoutput", o.Slot, s.plugin),
			"give slot.name a name of its own")
	case s.database != o.Database:
		return fault.Human(fmt.Errorf("slot %s belongs to database %s, not %s", o.Slot, s.database, o.Database),
			"give slot.name a name of its own")
	case s.status == "lost":
		return fault.Human(fmt.Errorf("slot %s is lost: the server has removed log that it needed", o.Slot),
			fmt.Sprintf("changes are missing: drop the slot (SELECT pg_drop_replication_slot(%s); when_needed drops it itself), raise max_slot_wal_keep_size, and %s", quoteLiteral(o.Slot), capture.WayOut))
	}
	return nil
}

// follows checks that the slot still has everything after the position.
func (s slot) follows(o *Options, p *position) error {
	again := "changes since the stored position may be missing: " + capture.WayOut
	switch {
	case !s.exists:
		return fault.Human(fmt.Errorf("slot %s does not exist any more, but its position %s is stored", o.Slot, p.LSN), again)
	case s.confirmed > p.LSN:
		return fault.Human(fmt.Errorf("slot %s was advanced to %s by someone else, past the stored position %s", o.Slot, s.confirmed, p.LSN), again)
	}
	return s.usable(o)
}

// failover makes an existing slot one that standby servers keep, if that is asked
// for. It warns where the server has no such slots.
func (s *Source) failover(ctx context.Context, conn *pgconn.PgConn, sl slot) error {
	switch {
	case !s.opts.Failover || sl.failover:
		return nil
	case serverVersion(conn) < 170000:
		s.log.Warn("slot.failover needs PostgreSQL 17; the slot is lost with the server", "slot", s.opts.Slot)
		return nil
	case !sl.exists || sl.active:
		return nil
	}
	if _, err := conn.Exec(ctx, "ALTER_REPLICATION_SLOT "+quoteIdent(s.opts.Slot)+" (FAILOVER true)").ReadAll(); err != nil {
		return explain(fmt.Errorf("let standby servers keep slot %s: %w", s.opts.Slot, err))
	}
	s.log.Info("standby servers keep the slot from now on", "slot", s.opts.Slot)
	return nil
}

// createSlot creates the slot, or a temporary one, and exports the snapshot of
// its consistent point. Both live as long as conn does nothing else.
func createSlot(ctx context.Context, conn *pgconn.PgConn, name string, temporary, failover bool) (consistent lsn, snapshotName string, err error) {
	kind, how := "", "EXPORT_SNAPSHOT"
	if temporary {
		kind = "TEMPORARY "
	} else if failover && serverVersion(conn) >= 170000 {
		how = "(SNAPSHOT 'export', FAILOVER true)"
	}
	results, err := conn.Exec(ctx, "CREATE_REPLICATION_SLOT "+quoteIdent(name)+" "+kind+"LOGICAL pgoutput "+how).ReadAll()
	if err != nil {
		return 0, "", explain(fmt.Errorf("create replication slot %s: %w", name, err))
	}
	// One row: slot name, consistent point, snapshot name, plugin.
	if len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) < 3 {
		return 0, "", fmt.Errorf("create replication slot %s: unexpected answer", name)
	}
	row := results[0].Rows[0]
	consistent, err = pglogrepl.ParseLSN(string(row[1]))
	if err != nil {
		return 0, "", fmt.Errorf("create replication slot %s: %w", name, err)
	}
	return consistent, string(row[2]), nil
}
