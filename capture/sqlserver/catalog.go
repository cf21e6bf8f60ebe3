package sqlserver

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"tributary/envelope"
	"tributary/internal/fault"
)

// instance is a capture instance.
type instance struct {
	object int64 // of the change table
	name   string
	start  lsn // its changes begin here; the clean-up moves it up; zero = the capture job has not come to it yet
	began  lsn // what start was when it was seen first
	source int64
	id     envelope.TableID
	table  *table
	// rowSize is about how much memory its rows take, by those that were read last; 0 =
	// none were.
	rowSize atomic.Int64
	stop    lsn // changes from here on are those of a newer instance; zero = none
}

const instancesQuery = `SELECT ct.object_id, ct.capture_instance, ct.start_lsn, ct.source_object_id, s.name, t.name
FROM cdc.change_tables AS ct
LEFT JOIN sys.tables AS t ON t.object_id = ct.source_object_id
LEFT JOIN sys.schemas AS s ON s.schema_id = t.schema_id
ORDER BY s.name, t.name, ct.start_lsn, ct.object_id`

// instances lists the capture instances of captured tables, the older one of a
// table first. One that has not begun is left out where its table has another.
func (d *database) instances(ctx context.Context, c *conn) (out []*instance, err error) {
	err = c.rows(ctx, instancesQuery, nil, func(v []driver.Value) error {
		in := &instance{object: asInt(v[0]), name: asText(v[1]), start: asLSN(v[2]), source: asInt(v[3]),
			id: envelope.TableID{Catalog: d.name, Schema: asText(v[4]), Name: asText(v[5])}}
		switch {
		case v[5] == nil:
			if d.known.note(in, hiddenInstance) {
				d.unseen(in.name)
			}
		case d.cfg.include(in.id):
			d.known.note(in, capturedInstance)
			out = append(out, in)
		default:
			d.known.note(in, otherInstance)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the capture instances of database %s: %w", d.name, err)
	}
	counts := make(map[int64]int)
	for _, in := range out {
		counts[in.source]++
	}
	out = slices.DeleteFunc(out, func(in *instance) bool {
		if in.start != (lsn{}) || counts[in.source] == 1 {
			return false
		}
		counts[in.source]--
		return true
	})
	for i, in := range out {
		if i+1 < len(out) && out[i+1].id == in.id {
			in.stop = out[i+1].start
		}
	}
	return out, nil
}

const columnsQuery = `SELECT c.column_id, c.name, b.name, ty.name, c.max_length, c.precision, c.scale, c.is_nullable, c.is_identity, c.is_computed, dc.definition, c.collation_name
FROM sys.columns AS c
LEFT JOIN sys.types AS ty ON ty.user_type_id = c.user_type_id
LEFT JOIN sys.types AS b ON b.user_type_id = c.system_type_id
LEFT JOIN sys.default_constraints AS dc ON dc.object_id = c.default_object_id
WHERE c.object_id = @p1
ORDER BY c.column_id`

// columns reads the columns of a table.
func columns(ctx context.Context, c *conn, object int64) (out []*column, err error) {
	err = c.rows(ctx, columnsQuery, []any{object}, func(v []driver.Value) error {
		col := &column{id: asInt(v[0]), name: asText(v[1]), typ: lower(asText(v[2])), alias: lower(asText(v[3])), length: asInt(v[4]),
			precision: int(asInt(v[5])), scale: int(asInt(v[6])), nullable: asInt(v[7]) != 0, identity: asInt(v[8]) != 0, computed: asInt(v[9]) != 0,
			def: asText(v[10]), collation: asText(v[11])}
		if col.typ == "" || col.alias == "hierarchyid" || col.alias == "geometry" || col.alias == "geography" || col.alias == "vector" {
			col.typ = col.alias
		}
		out = append(out, col)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the columns: %w", err)
	}
	return out, nil
}

const keyQuery = `SELECT i.index_id, i.is_primary_key, c.name, c.is_nullable
FROM sys.indexes AS i
JOIN sys.index_columns AS ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id
JOIN sys.columns AS c ON c.object_id = ic.object_id AND c.column_id = ic.column_id
WHERE i.object_id = @p1 AND i.is_unique = 1 AND i.has_filter = 0 AND i.is_disabled = 0 AND ic.key_ordinal > 0
ORDER BY i.is_primary_key DESC, i.index_id, ic.key_ordinal`

// keyOf reads the key of a table: the primary key, or the first unique index whose
// columns cannot be null.
func keyOf(ctx context.Context, c *conn, object int64) ([]string, error) {
	type index struct {
		id    int64
		names []string
		bad   bool
	}
	var list []*index
	err := c.rows(ctx, keyQuery, []any{object}, func(v []driver.Value) error {
		if len(list) == 0 || list[len(list)-1].id != asInt(v[0]) {
			list = append(list, &index{id: asInt(v[0])})
		}
		x := list[len(list)-1]
		x.names, x.bad = append(x.names, asText(v[2])), x.bad || asInt(v[3]) != 0
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	for _, x := range list {
		if !x.bad {
			return x.names, nil
		}
	}
	return nil, nil
}

// captured reads what an instance has of its table, and makes the version of it.
func (d *database) captured(ctx context.Context, c *conn, in *instance) (*table, error) {
	var ordered []int
	var names []string
	err := c.rows(ctx, "SELECT column_name, column_ordinal FROM cdc.captured_columns WHERE object_id = @p1 ORDER BY column_ordinal", []any{in.object}, func(v []driver.Value) error {
		names = append(names, asText(v[0]))
		ordered = append(ordered, int(asInt(v[1])))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the captured columns of %s: %w", in.id, err)
	}
	list, err := columns(ctx, c, in.source)
	if err != nil {
		return nil, err
	}
	if err := d.encrypted(ctx, c, in.source, list); err != nil {
		return nil, err
	}
	key, err := keyOf(ctx, c, in.source)
	if err != nil {
		return nil, err
	}
	var have []*column
	ordinals := make(map[string]int)
	for at, name := range names {
		if i := columnOf(list, name); i >= 0 {
			have = append(have, list[i])
			ordinals[list[i].name] = ordered[at]
			continue
		}
		// The table does not have it any more; the change table does, as NULL.
		gone, err := columns(ctx, c, in.object)
		if err != nil {
			return nil, err
		}
		i := columnOf(gone, name)
		if i < 0 {
			return nil, fault.Humanf("make a new capture instance of the table: EXEC sys.sp_cdc_enable_table @source_schema = N'"+in.id.Schema+"', @source_name = N'"+in.id.Name+"', @role_name = NULL, @capture_instance = N'NAME'",
				"the capture instance %s of %s has a column %s that neither the table nor its change table has", in.name, in.id, name)
		}
		gone[i].nullable = true
		have = append(have, gone[i])
		ordinals[gone[i].name] = ordered[at]
	}
	slices.SortStableFunc(have, func(a, b *column) int { return ordinals[a.name] - ordinals[b.name] })
	t, err := newTable(in.id, have, key, ordinals, d.cfg)
	if err == nil {
		t.lowFirst, t.captured = d.lowFirst, len(names)
	}
	return t, err
}

// encrypted marks the columns of a table that Always Encrypted keeps from the server.
// Servers before 2016 have none, and no word for it.
func (d *database) encrypted(ctx context.Context, c *conn, object int64, list []*column) error {
	if d.clear {
		return nil
	}
	err := c.rows(ctx, "SELECT name FROM sys.columns WHERE object_id = @p1 AND encryption_type IS NOT NULL", []any{object}, func(v []driver.Value) error {
		if i := columnOf(list, asText(v[0])); i >= 0 {
			list[i].encrypted = true
		}
		return nil
	})
	if number(err) == errMissingColumn {
		d.clear = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("find the encrypted columns: %w", err)
	}
	return nil
}

// columnOf finds a column by its name: in a database that tells capitals apart there
// may be others of which only these differ. -1 = there is none.
func columnOf(list []*column, name string) int {
	if i := slices.IndexFunc(list, func(x *column) bool { return x.name == name }); i >= 0 {
		return i
	}
	return slices.IndexFunc(list, func(x *column) bool { return strings.EqualFold(x.name, name) })
}

// sourceTable is a table that the user may see, captured or not.
type sourceTable struct {
	object int64
	id     envelope.TableID
}

// sourceTables lists the tables of users.
func (d *database) sourceTables(ctx context.Context, c *conn) (out []sourceTable, err error) {
	err = c.rows(ctx, `SELECT t.object_id, s.name, t.name FROM sys.tables AS t JOIN sys.schemas AS s ON s.schema_id = t.schema_id
WHERE t.is_ms_shipped = 0 AND s.name <> N'cdc' ORDER BY s.name, t.name`, nil, func(v []driver.Value) error {
		out = append(out, sourceTable{asInt(v[0]), envelope.TableID{Catalog: d.name, Schema: asText(v[1]), Name: asText(v[2])}})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the tables of database %s: %w", d.name, err)
	}
	return out, nil
}
