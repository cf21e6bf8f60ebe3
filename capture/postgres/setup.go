package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"tributary/capture"
	"tributary/internal/fault"
)

// checkServer checks what cannot work whatever the tables are.
func (s *Source) checkServer(ctx context.Context, c *catalog) error {
	return c.query(ctx, func(conn *pgx.Conn) error {
		var level, user string
		var may, standby bool
		var version int
		err := conn.QueryRow(ctx, `SELECT current_setting('wal_level'), current_user::text,
			(SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user)
			OR EXISTS (SELECT FROM pg_roles WHERE rolname IN ('rds_replication', 'azure_pg_admin', 'cloudsqlsuperuser')
				AND pg_has_role(current_user, oid, 'MEMBER')), pg_is_in_recovery(), current_setting('server_version_num')::int`).Scan(&level, &user, &may, &standby, &version)
		if err != nil {
			return explain(fmt.Errorf("read server settings: %w", err))
		}
		if err := checkStandby(standby, version); err != nil {
			return err
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

// checkStandby refuses a standby server. Before PostgreSQL 16 it has no logical
// decoding; newer ones have, but neither a publication nor the marks of incremental
// snapshots can be made there.
func checkStandby(standby bool, version int) error {
	switch {
	case !standby:
		return nil
	case version < 160000:
		return fault.Humanf("connect to the primary server: set database.hostname to it",
			"the server is a standby of PostgreSQL %d, on which there is no logical decoding", version/10000)
	}
	return fault.Humanf("connect to the primary server: set database.hostname to it. slot.failover keeps the slot on standbys that may become the primary (PostgreSQL 17)",
		"the server is a standby, from which capturing is not supported")
}

// tables reads the captured tables, after giving them the replica identities
// that they are to have.
func (s *Source) tables(ctx context.Context, c *catalog) ([]*tableInfo, error) {
	tables, err := c.tables(ctx)
	if err != nil {
		return nil, err
	}
	described, err := c.described(tables)
	if err != nil {
		return nil, err
	}
	if err := s.opts.CheckTables(described); err != nil {
		return nil, err
	}
	if !s.opened {
		for _, u := range s.opts.Unused(described) {
			s.log.Warn("an option has no effect", "why", u)
		}
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

// described builds the tables for those who tell what becomes of them.
func (c *catalog) described(tables []*tableInfo) (out []capture.Described, err error) {
	for _, t := range tables {
		built, err := c.build.table(t.id, t.columns, t.key)
		if err != nil {
			return nil, err
		}
		d := capture.Described{Table: built.codec.Table}
		for i := range t.columns {
			d.Columns = append(d.Columns, t.columns[i].name)
		}
		out = append(out, d)
	}
	return out, nil
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

// weakKey names the columns that message.key.columns makes part of a table's key
// although the log does not have them of a deleted row, and the statement that
// mends it; none if all is well.
func weakKey(o *Options, t *tableInfo) (columns []string, mend string, err error) {
	list, err := o.identities()
	if err != nil {
		return nil, "", err
	}
	full := t.identity == 'f'
	if i := slices.IndexFunc(list, func(id identity) bool { return id.tables.MatchString(t.id.String()) }); i >= 0 {
		full = list[i].kind == 'f' // as it is going to be
	}
	if full {
		return nil, "", nil
	}
	for _, name := range o.MessageKey(t.id) {
		if !slices.Contains(t.identityKey, name) {
			columns = append(columns, name)
		}
	}
	return columns, "ALTER TABLE " + tableName(t.id) + " REPLICA IDENTITY FULL", nil
}

// warnOfKeys warns of tables whose deletes do not tell the key that they are to
// have.
func (s *Source) warnOfKeys(tables []*tableInfo) error {
	for _, t := range tables {
		columns, mend, err := weakKey(&s.opts, t)
		if err != nil {
			return err
		}
		if len(columns) > 0 {
			s.log.Warn("the log does not have these columns of message.key.columns when a row is deleted: the key of the delete and of its tombstone is null or the type's zero there",
				"table", t.id.String(), "columns", strings.Join(columns, ", "), "mend", mend)
		}
	}
	return nil
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
