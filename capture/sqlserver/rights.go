package sqlserver

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"

	"tributary/envelope"
	"tributary/internal/fault"
)

const accessQuery = `SELECT ct.object_id, ct.role_name, IS_MEMBER(ct.role_name), ct.start_lsn, sys.fn_cdc_get_min_lsn(ct.capture_instance)
FROM cdc.change_tables AS ct
ORDER BY ct.object_id`

const deniedQuery = `SELECT ct.object_id, cc.column_name
FROM cdc.change_tables AS ct
JOIN cdc.captured_columns AS cc ON cc.object_id = ct.object_id
JOIN sys.tables AS t ON t.object_id = ct.source_object_id
JOIN sys.schemas AS s ON s.schema_id = t.schema_id
WHERE HAS_PERMS_BY_NAME(QUOTENAME(s.name) + N'.' + QUOTENAME(t.name), N'OBJECT', N'SELECT', cc.column_name, N'COLUMN') = 0
ORDER BY ct.object_id, cc.column_ordinal`

// rights is an error with the statements that are missing, unless the user may read
// the captured columns of all captured tables and is in the gating roles of their
// instances. Whoever lacks one of these is told nothing by the server: the low end
// of the instance, which shows what was cleaned up, is zero then.
func (d *database) rights(ctx context.Context, c *conn, list []*instance) error {
	denied := make(map[int64][]string)
	err := c.rows(ctx, deniedQuery, nil, func(v []driver.Value) error {
		denied[asInt(v[0])] = append(denied[asInt(v[0])], asText(v[1]))
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the rights on the captured columns of database %s: %w", d.name, err)
	}
	var tables, todo []string
	err = c.rows(ctx, accessQuery, nil, func(v []driver.Value) error {
		i := slices.IndexFunc(list, func(in *instance) bool { return in.object == asInt(v[0]) })
		if i < 0 {
			return nil
		}
		in, columns := list[i], denied[asInt(v[0])]
		barred := v[3] != nil && asLSN(v[4]) == (lsn{})
		if !barred && len(columns) == 0 {
			return nil
		}
		tables = append(tables, in.id.String())
		member := barred && v[1] != nil && asInt(v[2]) != 1
		if len(columns) > 0 || !member {
			todo = append(todo, d.grant(in, columns))
		}
		if member {
			todo = append(todo, "ALTER ROLE "+quoted(asText(v[1]))+" ADD MEMBER "+quoted(d.conn.user))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the rights on the capture instances of database %s: %w", d.name, err)
	}
	if len(tables) == 0 {
		return nil
	}
	tables, todo = slices.Compact(tables), unique(todo)
	return fault.Humanf("give the user the rights: USE "+quoted(d.name)+"; "+strings.Join(todo, "; "),
		"the user %s may not read %s and its captured changes: that needs SELECT on all captured columns, and membership in the gating role of the capture instance (@role_name), if it has one",
		d.conn.user, strings.Join(tables, ", "))
}

// grant is the statement that lets the user read columns of a table; without any it
// is that for the table.
func (d *database) grant(in *instance, columns []string) string {
	list := ""
	if n := len(columns); n > 0 && (in.table == nil || n < in.table.captured) {
		quotes := make([]string, n)
		for i, c := range columns {
			quotes[i] = quoted(c)
		}
		list = " (" + strings.Join(quotes, ", ") + ")"
	}
	return "GRANT SELECT ON " + tableName(in.id) + list + " TO " + quoted(d.conn.user)
}

// unique leaves the first of equal texts.
func unique(list []string) (out []string) {
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// lowEnd reads the low end of an instance of which the server has told none: there
// is none where the instance was dropped just now, or where the capture job has not
// come to it yet.
func (d *database) lowEnd(ctx context.Context, c *conn, in *instance) (low lsn, err error) {
	begun := false
	err = c.rows(ctx, "SELECT start_lsn, sys.fn_cdc_get_min_lsn(capture_instance) FROM cdc.change_tables WHERE object_id = @p1", []any{in.object}, func(v []driver.Value) error {
		begun, low = v[0] != nil, asLSN(v[1])
		return nil
	})
	if err != nil {
		return low, fmt.Errorf("read the low end of the capture instance of %s: %w", in.id, err)
	}
	if !begun || low != (lsn{}) {
		return low, nil
	}
	if err := d.rights(ctx, c, []*instance{in}); err != nil {
		return low, err
	}
	return low, fmt.Errorf("the server does not tell where the changes of %s begin, although the capture instance %s is there and may be read", in.id, in.name)
}

// unseen warns of a capture instance of a table that the catalog does not show to the
// user, and which is thus not captured.
func (d *database) unseen(name string) {
	d.log.Warn("a capture instance is of a table that the user may not see: if table.include.list means it, it is not captured", "instance", name,
		"to_do", "GRANT SELECT ON the table TO "+quoted(d.conn.user)+" (SELECT OBJECT_NAME(source_object_id) FROM cdc.change_tables WHERE capture_instance = "+literal(name)+" tells its name to whoever may see it)")
}

// maskedQuery finds columns whose values the server hides from the user. The right to
// see them can be had on a column since SQL Server 2022, before that on the database.
const maskedQuery = `SELECT s.name, t.name, c.name
FROM sys.columns AS c
JOIN sys.tables AS t ON t.object_id = c.object_id
JOIN sys.schemas AS s ON s.schema_id = t.schema_id
WHERE c.is_masked = 1 AND COALESCE(HAS_PERMS_BY_NAME(QUOTENAME(s.name) + N'.' + QUOTENAME(t.name), N'OBJECT', N'UNMASK', c.name, N'COLUMN'), HAS_PERMS_BY_NAME(DB_NAME(), N'DATABASE', N'UNMASK'), 0) = 0`

// masked warns of captured columns that the user reads masked.
func (d *database) masked(ctx context.Context) {
	err := d.conn.rows(ctx, maskedQuery, nil, func(v []driver.Value) error {
		id, column := envelope.TableID{Catalog: d.name, Schema: asText(v[0]), Name: asText(v[1])}, asText(v[2])
		key := id.String() + "." + column + " masked"
		if !d.has(id) || !d.cfg.column(id, column) || d.told[key] {
			return nil
		}
		d.told[key] = true
		d.log.Warn("the server masks the values of a column for the user: a snapshot reads what is put in their place", "table", id.String(), "column", column,
			"to_do", "USE "+quoted(d.name)+"; GRANT UNMASK TO "+quoted(d.conn.user))
		return nil
	})
	if err != nil {
		d.log.Debug("whether columns are masked cannot be seen", "error", err)
	}
}
