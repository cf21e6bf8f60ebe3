package sqlserver

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tributary/envelope"
	"tributary/internal/fault"
)

// check looks at what capturing a database needs, and says how to mend what is
// missing.
func (d *database) check(ctx context.Context) error {
	var enabled, snapshots bool
	err := d.conn.rows(ctx, "SELECT is_cdc_enabled, snapshot_isolation_state FROM sys.databases WHERE name = @p1", []any{d.name}, func(v []driver.Value) error {
		enabled, snapshots = asInt(v[0]) != 0, asInt(v[1]) == 1
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the settings of database %s: %w", d.name, err)
	}
	if !enabled {
		return fault.Humanf(d.enable(ctx), "change data capture is not enabled in database %s", d.name)
	}
	if _, err := d.conn.one(ctx, "SELECT COUNT(*) FROM cdc.change_tables"); err != nil {
		if n := number(err); n == errDenied || n == errMissingObject {
			return fault.Human(fmt.Errorf("read cdc.change_tables of database %s: %w", d.name, err),
				"give the user the right: USE "+quoted(d.name)+"; GRANT SELECT ON SCHEMA::[cdc] TO "+quoted(d.conn.user)+". What it lacks of the captured tables is told next")
		}
		return fmt.Errorf("read cdc.change_tables of database %s: %w", d.name, err)
	}
	if d.cfg.isolation() == isolationSnapshot && !snapshots && d.cfg.readsRows() {
		return fault.Humanf("execute ALTER DATABASE "+quoted(d.name)+" SET ALLOW_SNAPSHOT_ISOLATION ON (for a secondary on its primary), or choose another snapshot.isolation.mode",
			"snapshot.isolation.mode snapshot needs ALLOW_SNAPSHOT_ISOLATION in database %s", d.name)
	}
	return d.agent(ctx)
}

// masks finds the order of the bytes of update masks, which no document tells: the
// server's own function reads masks of two bytes, of which one has the bit of the
// first column.
func (d *database) masks(ctx context.Context) error {
	var high, low bool
	err := d.conn.rows(ctx, "SELECT sys.fn_cdc_is_bit_set(1, 0x0001), sys.fn_cdc_is_bit_set(1, 0x0100)", nil, func(v []driver.Value) error {
		high, low = asInt(v[0]) == 1, asInt(v[1]) == 1
		return nil
	})
	if err != nil {
		return fmt.Errorf("find the order of update masks in database %s: %w", d.name, err)
	}
	if high == low {
		return fmt.Errorf("find the order of update masks in database %s: sys.fn_cdc_is_bit_set says %v of both orders", d.name, high)
	}
	d.lowFirst = low
	return nil
}

// enable is how to enable change data capture in the database.
func (d *database) enable(ctx context.Context) string {
	rds, err := d.conn.one(ctx, "SELECT CASE WHEN OBJECT_ID(N'msdb.dbo.rds_cdc_enable_db') IS NULL THEN 0 ELSE 1 END")
	if err == nil && asInt(rds) == 1 {
		return "execute EXEC msdb.dbo.rds_cdc_enable_db " + literal(d.name)
	}
	return "execute as sysadmin (on Azure SQL Database as db_owner): USE " + quoted(d.name) + "; EXEC sys.sp_cdc_enable_db (on Amazon RDS: EXEC msdb.dbo.rds_cdc_enable_db " + literal(d.name) + ")"
}

// agent warns if the SQL Server Agent does not run, where the user may see that:
// without it no change arrives. Azure SQL Database has none, and a secondary none
// that captures.
func (d *database) agent(ctx context.Context) error {
	if d.cfg.readOnly() {
		return nil
	}
	edition, err := d.conn.one(ctx, "SELECT CAST(SERVERPROPERTY('EngineEdition') AS int)")
	if err != nil || asInt(edition) == 5 {
		return nil //nolint:nilerr // it is only for a warning
	}
	v, err := d.conn.one(ctx, "SELECT COUNT(*) FROM sys.dm_server_services WHERE servicename LIKE N'SQL Server Agent (%' AND status <> 4")
	if err != nil {
		d.log.Debug("whether the SQL Server Agent runs cannot be seen", "error", err)
		return nil
	}
	if asInt(v) > 0 {
		d.log.Warn("the SQL Server Agent does not run: no change is captured until it does", "to_do", "start the service SQL Server Agent, and see msdb.dbo.cdc_jobs and sys.dm_cdc_errors")
	}
	return nil
}

// untracked is the error about tables that are to be captured and have no capture
// instance, with the statements that make one. missing are the entries of
// table.include.list that match nothing; nil = there is no table at all.
func (n *session) untracked(ctx context.Context, missing []string) error {
	var todo []string
	for _, d := range n.databases {
		tables, err := d.sourceTables(ctx, d.conn)
		if err != nil {
			return err
		}
		for _, t := range tables {
			if n.cfg.include(t.id) && !d.has(t.id) {
				todo = append(todo, "USE "+quoted(d.name)+"; "+enableTable(t.id))
			}
		}
	}
	err := errors.New("no table has a capture instance")
	if missing != nil {
		err = fmt.Errorf("no table with a capture instance matches %s of table.include.list", strings.Join(missing, ", "))
	}
	if hidden := n.hidden(); len(todo) == 0 && len(hidden) > 0 {
		return fault.Human(err, "let the user see and read the tables of the capture instances "+strings.Join(hidden, ", ")+": GRANT SELECT ON [SCHEMA].[TABLE] TO "+quoted(n.databases[0].conn.user)+", where SELECT capture_instance, OBJECT_SCHEMA_NAME(source_object_id), OBJECT_NAME(source_object_id) FROM cdc.change_tables tells their names to whoever may see them; or correct table.include.list")
	}
	if len(todo) == 0 {
		return fault.Human(err, "correct table.include.list (database.schema.table or schema.table), create the table, or let the user see it")
	}
	const most = 5
	hint := "execute as db_owner: " + strings.Join(todo[:min(len(todo), most)], "; ")
	if len(todo) > most {
		hint += fmt.Sprintf("; and %d more such", len(todo)-most)
	}
	return fault.Human(err, hint)
}

// hidden are the capture instances of tables that the user may not see.
func (n *session) hidden() (out []string) {
	for _, d := range n.databases {
		out = append(out, d.known.of(hiddenInstance)...)
	}
	return out
}

func enableTable(id envelope.TableID) string {
	return "EXEC sys.sp_cdc_enable_table @source_schema = " + literal(id.Schema) + ", @source_name = " + literal(id.Name) + ", @role_name = NULL, @supports_net_changes = 0"
}

func (d *database) has(id envelope.TableID) bool {
	for _, in := range d.list {
		if in.id == id {
			return true
		}
	}
	return false
}

// checkPosition reports a position that does not fit the databases, or whose
// changes have been cleaned up.
func (n *session) checkPosition(ctx context.Context, at *position) error {
	for _, d := range n.databases {
		p, ok := at.Databases[d.name]
		if !ok {
			return fault.Humanf("capture the database with a connector of its own, or take a new snapshot of all: cdc-source offsets reset",
				"the stored position tells nothing of database %s: it was added to database.names after the snapshot", d.name)
		}
		if err := d.reaches(ctx, p); err != nil {
			return err
		}
		if err := d.assume(ctx, p); err != nil {
			return err
		}
		if err := d.overtaken(ctx, d.conn, p, d.list, d.list); err != nil {
			return err
		}
		if err := d.lateComers(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// lagWait is how long a readable secondary may take to come to a position that was
// read from another one, or from the primary.
const lagWait = 30 * time.Second

// reaches reports a place behind the end of what the database has captured. A
// secondary may only lag: that is waited for, and never taken for a restored
// database, of which a new snapshot would be read.
func (d *database) reaches(ctx context.Context, p *place) error {
	at := lsn(p.Commit)
	for began := time.Now(); ; {
		v, err := d.conn.one(ctx, "SELECT sys.fn_cdc_get_max_lsn()")
		if err != nil {
			return fmt.Errorf("read the end of the log of database %s: %w", d.name, err)
		}
		end := asLSN(v)
		switch {
		case compareLSN(end, at) >= 0:
			return nil
		case !d.cfg.readOnly():
			return fault.Humanf(wayOut, "the position %s is behind the end of what database %s has captured (%s): the database was restored, or change data capture was enabled anew", at.String(), d.name, end.String())
		case time.Since(began) >= d.cfg.lag:
			return fmt.Errorf("the position %s is behind the end of what the secondary has of database %s (%s), and was so for %v: the secondary lags, and this is tried again; if it does not, the database was restored, or change data capture was enabled anew: take a new snapshot (cdc-source offsets reset)", at.String(), d.name, end.String(), d.cfg.lag)
		}
		d.log.Info("waiting for the secondary to come to the position", "position", at.String(), "secondary", end.String())
		select {
		case <-time.After(min(time.Second, max(d.cfg.lag/10, time.Millisecond))):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// assume finds the instances that were read up to a place that does not tell, as one
// of Debezium's does not: all but those that were made later.
func (d *database) assume(ctx context.Context, p *place) error {
	if p.Instances != nil || p.Commit == (lsnText{}) {
		return nil
	}
	at, later := lsn(p.Commit), make(map[int64]bool)
	err := d.conn.rows(ctx, "SELECT object_id FROM cdc.change_tables WHERE create_date > sys.fn_cdc_map_lsn_to_time(@p1)", []any{at[:]}, func(v []driver.Value) error {
		later[asInt(v[0])] = true
		return nil
	})
	if err != nil {
		return fmt.Errorf("find the capture instances of the position in database %s: %w", d.name, err)
	}
	p.Instances = []int64{}
	for _, in := range d.list {
		if !later[in.object] && (in.stop == (lsn{}) || compareLSN(at, in.stop) < 0) {
			p.Instances = append(p.Instances, in.object)
		}
	}
	return nil
}

// lateComers reports instances that came after a place and of which changes have been
// removed already: all of these were still to be read. Where an instance began is not
// kept anywhere once the clean-up has moved its low end up, so that the time tells: an
// instance begins when it is made.
func (d *database) lateComers(ctx context.Context, p *place) error {
	const late = 60 // seconds; an instance is made within a transaction, which may take some
	return d.conn.rows(ctx, "SELECT object_id, start_lsn FROM cdc.change_tables WHERE DATEDIFF(second, create_date, sys.fn_cdc_map_lsn_to_time(start_lsn)) > @p1", []any{int64(late)}, func(v []driver.Value) error {
		object, low := asInt(v[0]), asLSN(v[1])
		i := indexOf(d.list, object)
		if i < 0 || slices.Contains(p.Instances, object) || compareLSN(low, lsn(p.Commit)) <= 0 {
			return nil
		}
		if i > 0 && d.list[i-1].id == d.list[i].id && slices.Contains(p.Instances, d.list[i-1].object) {
			return nil // the older one is read up to there
		}
		return removed(d.name, d.list[i], lsn(p.Commit), low)
	})
}

// removed is the error about changes that were cleaned up before they were read.
func removed(database string, in *instance, at, low lsn) error {
	return fault.Humanf(wayOut+". To keep changes for longer, as minutes: USE "+quoted(database)+"; EXEC sys.sp_cdc_change_job @job_type = N'cleanup', @retention = 10080",
		"changes of %s after our position %s have been removed: its change table begins at %s (retention)", in.id, at.String(), low.String())
}

const wayOut = "take a new snapshot: cdc-source offsets reset, or snapshot.mode when_needed"

// indexOf finds an instance by its object_id; -1 = it is not there.
func indexOf(list []*instance, object int64) int {
	return slices.IndexFunc(list, func(x *instance) bool { return x.object == object })
}

// needed is the place from which an instance is read, that transaction included.
func needed(in *instance, from lsn) *place {
	return &place{Commit: lsnText(from), Change: lsnText(from), Instances: []int64{in.object}}
}

// overtaken reports whether the clean-up has removed changes after a place of some of
// the captured instances.
func (d *database) overtaken(ctx context.Context, c *conn, p *place, list, captured []*instance) error {
	if p.Commit == (lsnText{}) {
		return nil // nothing had been captured when the place was found
	}
	var read []*instance
	for _, object := range p.Instances {
		i := indexOf(list, object)
		switch {
		case i < 0 && indexOf(captured, object) < 0:
			if err := d.vanished(ctx, c, p, object); err != nil {
				return err
			}
		case i < 0:
		case list[i].stop != (lsn{}) && compareLSN(lsn(p.Commit), list[i].stop) >= 0: // it is done with
		default:
			read = append(read, list[i])
		}
	}
	for part := range slices.Chunk(read, 200) {
		if err := d.lowEnds(ctx, c, p, part); err != nil {
			return err
		}
	}
	return nil
}

// lowEnds holds the low ends of instances against a place.
func (d *database) lowEnds(ctx context.Context, c *conn, p *place, list []*instance) error {
	var exprs []string
	var args []any
	for i, in := range list {
		exprs, args = append(exprs, fmt.Sprintf("sys.fn_cdc_get_min_lsn(@p%d)", i+1)), append(args, in.name)
	}
	var lows []lsn
	err := c.rows(ctx, "SELECT "+strings.Join(exprs, ", "), args, func(v []driver.Value) error {
		for _, x := range v {
			lows = append(lows, asLSN(x))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the low ends of the capture instances of database %s: %w", d.name, err)
	}
	first := lsn(p.Commit) // the least LSN that is still needed
	if !p.partial() {
		first = increment(first)
	}
	for i, low := range lows {
		if low == (lsn{}) {
			if low, err = d.lowEnd(ctx, c, list[i]); err != nil {
				return err
			}
		}
		if compareLSN(low, first) <= 0 { // zero: there is no such instance any more, or it has no changes yet
			continue
		}
		return removed(d.name, list[i], lsn(p.Commit), low)
	}
	return nil
}

// vanished is called for an instance that was read up to a place and is not there
// any more: what it had after that is lost, unless nothing was captured at all.
func (d *database) vanished(ctx context.Context, c *conn, p *place, object int64) error {
	name, kind := d.known.find(object)
	if kind == otherInstance || kind == goneInstance {
		return nil
	}
	from := lsn(p.Commit)
	if !p.partial() {
		from = increment(from)
	}
	v, err := c.one(ctx, "SELECT COUNT(*) FROM (SELECT TOP (1) start_lsn FROM cdc.lsn_time_mapping WHERE start_lsn >= @p1 AND tran_id <> 0x00) AS transactions", from[:])
	if err != nil {
		return fmt.Errorf("find the transactions of database %s: %w", d.name, err)
	}
	l := lsn(p.Commit)
	if name == "" {
		name = fmt.Sprintf("with the object_id %d", object)
	}
	switch {
	case kind == hiddenInstance:
		return fault.Humanf("USE "+quoted(d.name)+"; GRANT SELECT ON the table TO "+quoted(d.conn.user),
			"the user %s may not see the table of the capture instance %s of database %s any more, of which it was told what it had captured until %s", d.conn.user, name, d.name, l.String())
	case asInt(v) == 0:
		d.log.Info("a capture instance was dropped; nothing had been captured since", "instance", name, "position", l.String())
	case d.cfg.Dropped == droppedWarn:
		d.log.Warn("a capture instance was dropped: what it had captured after our position is lost", "instance", name, "position", l.String())
	default:
		return fault.Humanf(wayOut+"; or go on without what is lost, as capture.instance.dropped: warn has it, if the table is not to be captured any more. To change an instance: make the new one, wait until the log tells that the table has a further capture instance, then drop the old one",
			"the capture instance %s of database %s was dropped before all of it had been read: what it had captured after our position %s is lost", name, d.name, l.String())
	}
	d.known.leave(object)
	return nil
}

// increment is the next LSN.
func increment(l lsn) lsn {
	for i := len(l) - 1; i >= 0; i-- {
		if l[i]++; l[i] != 0 {
			break
		}
	}
	return l
}
