package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"tributary/envelope"
	"tributary/internal/fault"
)

// catalog reads tables and types from the system catalogs. It is used by one
// goroutine.
type catalog struct {
	server *server
	build  *builder

	conn  *pgx.Conn // opened when needed
	types map[uint32]pgType
	pub   published

	// first is whether nothing has been captured yet: then tables are wanted.
	first     bool
	unmatched []string // entries of table.include.list that match no table
	unlogged  []string // tables whose changes are in no log
}

// tableInfo is a table as the catalog has it now.
type tableInfo struct {
	oid      uint32
	id       envelope.TableID
	identity byte // pg_class.relreplident: d, n, f, i
	root     bool // a partitioned table

	identityIndex string   // the index, where identity is i
	identityKey   []string // columns that the log has of a deleted row, unless identity is f
	readable      bool     // this user may SELECT
	columns       []columnInfo
	unpublished   []string // columns that the publication leaves out
	key           []string // columns of the key, in its order
	published     bool     // in the publication; filled by publication.go
	rows          string   // condition for the rows that are published, "" = all
}

type columnInfo struct {
	name    string
	oid     uint32 // of the type as declared: of the domain, not its base
	typ     pgType
	notNull bool
	// def is the default expression as pg_get_expr prints it, "" = none.
	def    string
	native string
}

// query runs fn on the catalog's connection, which it opens if there is none.
// A connection that is no longer good is given up.
func (c *catalog) query(ctx context.Context, fn func(*pgx.Conn) error) error {
	if c.conn == nil || c.conn.IsClosed() {
		conn, err := c.server.connect(ctx)
		if err != nil {
			return err
		}
		c.conn = conn
	}
	return fn(c.conn)
}

func (c *catalog) close(ctx context.Context) error {
	if c.conn == nil {
		return nil
	}
	err := c.conn.Close(ctx)
	c.conn = nil
	return err
}

// All types but those of the rows of tables. int2vector and oidvector count as
// arrays, but are not written as such.
const queryTypes = `
SELECT t.oid, t.typname::text, t.typtype = 'd', t.typbasetype, t.typtypmod,
  CASE WHEN t.typcategory = 'A' AND t.typtype = 'b' AND t.oid NOT IN (22, 30) THEN t.typelem ELSE 0 END, t.typdelim::text,
  ARRAY(SELECT enumlabel::text FROM pg_enum WHERE enumtypid = t.oid ORDER BY enumsortorder)
FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid WHERE coalesce(c.relkind, 'c') = 'c'`

// typeRow is a row of pg_type.
type typeRow struct {
	oid, base, elem uint32
	name, delim     string
	domain          bool
	typmod          int32
	labels          []string
}

// loadTypes reads the types and resolves domains and arrays.
func (c *catalog) loadTypes(ctx context.Context) error {
	all := make(map[uint32]typeRow)
	err := c.query(ctx, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, queryTypes)
		if err != nil {
			return explain(fmt.Errorf("read types: %w", err))
		}
		defer rows.Close()
		for rows.Next() {
			var r typeRow
			if err := rows.Scan(&r.oid, &r.name, &r.domain, &r.base, &r.typmod, &r.elem, &r.delim, &r.labels); err != nil {
				return fmt.Errorf("read types: %w", err)
			}
			all[r.oid] = r
		}
		if err := rows.Err(); err != nil {
			return explain(fmt.Errorf("read types: %w", err))
		}
		// How many digits of money's integer are a fraction is up to lc_monetary.
		return conn.QueryRow(ctx, "SELECT scale(0::money::numeric)").Scan(&c.build.modes.moneyServer)
	})
	if err != nil {
		return err
	}
	c.types = make(map[uint32]pgType, len(all))
	for oid := range all {
		c.types[oid] = resolveType(all, oid, 0)
	}
	return nil
}

// resolveType follows domains to their base and arrays to their elements. The
// type modifier is that of the outermost domain that has one.
func resolveType(all map[uint32]typeRow, oid uint32, depth int) pgType {
	r, typmod, declared := all[oid], int32(-1), ""
	for r.domain && depth < 100 {
		if declared == "" {
			declared = r.name
		}
		if typmod < 0 {
			typmod = r.typmod
		}
		r = all[r.base]
		depth++
	}
	t := pgType{oid: r.oid, name: r.name, declared: declared, typmod: typmod, delim: ','}
	if len(r.labels) > 0 {
		t.enum = r.labels
	}
	if r.elem != 0 && depth < 100 {
		elem := resolveType(all, r.elem, depth+1)
		t.elem = &elem
		if t.typmod < 0 {
			t.typmod = elem.typmod
		}
		if d := all[r.elem].delim; d != "" {
			t.delim = d[0]
		}
	}
	return t
}

// typeOf resolves a column's type; a domain's type modifier is its own.
func (c *catalog) typeOf(ctx context.Context, oid uint32, typmod int32) (pgType, error) {
	t, ok := c.types[oid]
	if !ok {
		if err := c.loadTypes(ctx); err != nil {
			return pgType{}, err
		}
		t = c.types[oid] // the row of a table or a type that is gone: it stays unmapped
	}
	if typmod >= 0 {
		t.typmod = typmod
	}
	return t, nil
}

// Tables that can be captured. Of a partitioned table it is either its
// partitions, which hold the rows, or the table itself.
const queryTables = `
SELECT c.oid, n.nspname::text, c.relname::text, c.relreplident::text, has_table_privilege(c.oid, 'SELECT'), c.relkind = 'p',
  c.relispartition, c.relpersistence <> 'p'
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND n.nspname !~ '^pg_(toast|temp)' AND c.relpersistence <> 't' AND ($1::oid = 0 OR c.oid = $1::oid)
ORDER BY 2, 3`

const queryColumns = `
SELECT a.attname::text, a.atttypid, a.atttypmod, a.attnotnull OR t.typnotnull,
  CASE WHEN a.attgenerated = '' THEN coalesce(pg_get_expr(d.adbin, d.adrelid), '') ELSE '' END,
  format_type(a.atttypid, a.atttypmod), a.attgenerated = '' OR a.attgenerated = 's' AND $2
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum`

// Unique indexes over plain NOT NULL columns, each with its columns in order:
// first the primary key, then others by name.
const queryKeys = `
SELECT i.indisprimary, i.indisreplident, c.relname::text, ARRAY(
  SELECT a.attname::text FROM unnest(i.indkey[0:i.indnkeyatts-1]) WITH ORDINALITY k(num, ord)
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num AND a.attnotnull ORDER BY k.ord), i.indnkeyatts
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
ORDER BY i.indisprimary DESC, c.relname`

// tables reads the tables that the filter lets through, in the order of
// table.include.list and their names. It notes the entries of that list that match
// nothing: such a table may have been dropped, or be made later.
func (c *catalog) tables(ctx context.Context) ([]*tableInfo, error) {
	var out []*tableInfo
	err := c.query(ctx, func(conn *pgx.Conn) (err error) {
		if c.pub, err = readPublished(ctx, conn, c.server.opts); err != nil {
			return err
		}
		all, roots, err := c.list(ctx, conn, 0)
		if err != nil {
			return err
		}
		var ids []envelope.TableID
		for _, t := range all {
			ids = append(ids, t.id)
			if c.build.filter.Table(t.id) {
				out = append(out, t)
			}
		}
		slices.SortStableFunc(out, func(a, b *tableInfo) int { return c.build.filter.Rank(a.id) - c.build.filter.Rank(b.id) })
		c.unmatched = c.build.filter.Unmatched(ids)
		if c.first && len(out) == 0 && len(c.unmatched) > 0 {
			return c.errNoTable(ids, roots)
		}
		for _, t := range out {
			if err := c.details(ctx, conn, t); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && len(out) == 0 && c.first {
		err = fault.Human(errors.New("there is no table to capture"), "create a table or correct table.include.list and table.exclude.list")
	}
	return out, err
}

// errNoTable says that no entry of table.include.list matches, and what there is.
func (c *catalog) errNoTable(tables []envelope.TableID, roots []string) error {
	hint := "correct table.include.list; it takes schema.table"
	if note := c.unloggedNote(); note != "" {
		return fault.Human(errors.New(note), "ALTER TABLE … SET LOGGED, or correct table.include.list")
	}
	switch {
	case len(roots) > 0:
		hint += "; a partitioned table (" + strings.Join(roots, ", ") + ") is captured by its partitions: list those, or set publish.via.partition.root"
	case len(tables) > 0:
		names := make([]string, 0, 8)
		for _, id := range tables[:min(8, len(tables))] {
			names = append(names, id.String())
		}
		hint += fmt.Sprintf("; the database has %d tables, among them %s", len(tables), strings.Join(names, ", "))
	}
	return fault.Human(fmt.Errorf("no table matches %s of table.include.list", strings.Join(c.unmatched, ", ")), hint)
}

// unloggedNote says which tables are wanted whose changes are in no log, "" if none.
func (c *catalog) unloggedNote() string {
	if len(c.unlogged) == 0 {
		return ""
	}
	return fmt.Sprintf("%s cannot be captured: unlogged tables have no changes in the server's log", strings.Join(c.unlogged, ", "))
}

// unmatchedNote is what to warn of, "" if there is nothing: entries of
// table.include.list that match nothing, and unlogged tables.
func (c *catalog) unmatchedNote() string {
	note := c.unloggedNote()
	if len(c.unmatched) > 0 {
		if note != "" {
			note += "; "
		}
		note += fmt.Sprintf("no table matches %s of table.include.list", strings.Join(c.unmatched, ", "))
	}
	return note
}

// list reads the names of all tables that can be captured, or of the one with
// the OID, and the names of the partitioned ones.
func (c *catalog) list(ctx context.Context, conn *pgx.Conn, oid uint32) (tables []*tableInfo, roots []string, err error) {
	rows, err := conn.Query(ctx, queryTables, oid)
	if err != nil {
		return nil, nil, explain(fmt.Errorf("read tables: %w", err))
	}
	defer rows.Close()
	if oid == 0 {
		c.unlogged = nil
	}
	for rows.Next() {
		t := &tableInfo{}
		var identity string
		var part, unlogged bool
		if err := rows.Scan(&t.oid, &t.id.Schema, &t.id.Name, &identity, &t.readable, &t.root, &part, &unlogged); err != nil {
			return nil, nil, fmt.Errorf("read tables: %w", err)
		}
		switch {
		case c.server.opts.ViaRoot && part: // part of another table
		case !c.server.opts.ViaRoot && t.root:
			roots = append(roots, t.id.String())
		case unlogged: // its changes are in no log
			if oid == 0 && len(c.server.opts.IncludeTables) > 0 && c.build.filter.Table(t.id) {
				c.unlogged = append(c.unlogged, t.id.String())
			}
		default:
			t.identity = identity[0]
			tables = append(tables, t)
		}
	}
	return tables, roots, rows.Err()
}

// details reads the columns and the key of t.
func (c *catalog) details(ctx context.Context, conn *pgx.Conn, t *tableInfo) error {
	rows, err := conn.Query(ctx, queryColumns, t.oid, c.pub.generated)
	if err != nil {
		return explain(fmt.Errorf("read columns of %s: %w", t.id, err))
	}
	type ref struct {
		oid    uint32
		typmod int32
	}
	var refs []ref
	for rows.Next() {
		var col columnInfo
		var r ref
		var published bool
		if err := rows.Scan(&col.name, &r.oid, &r.typmod, &col.notNull, &col.def, &col.native, &published); err != nil {
			rows.Close()
			return fmt.Errorf("read columns of %s: %w", t.id, err)
		}
		switch {
		case !published:
			t.unpublished = append(t.unpublished, col.name+" (generated)")
		case !c.pub.column(t, col.name):
			t.unpublished = append(t.unpublished, col.name)
		default:
			t.columns, refs = append(t.columns, col), append(refs, r)
		}
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return explain(fmt.Errorf("read columns of %s: %w", t.id, err))
	}
	for i, r := range refs {
		t.columns[i].oid = r.oid
		if t.columns[i].typ, err = c.typeOf(ctx, r.oid, r.typmod); err != nil {
			return err
		}
	}
	return t.readKey(ctx, conn)
}

// readKey chooses the key: the primary key, else the first unique index of NOT
// NULL columns. But where the replica identity is another index that does not
// hold the whole of it, the log does not tell the key of a deleted row, and
// that index is the key.
func (t *tableInfo) readKey(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, queryKeys, t.oid)
	if err != nil {
		return explain(fmt.Errorf("read keys of %s: %w", t.id, err))
	}
	defer rows.Close()
	var identity []string
	for rows.Next() {
		var primary, ident bool
		var index string
		var columns []string
		var n int16
		if err := rows.Scan(&primary, &ident, &index, &columns, &n); err != nil {
			return fmt.Errorf("read keys of %s: %w", t.id, err)
		}
		if len(columns) != int(n) {
			continue // a nullable column is among them
		}
		if t.key == nil {
			t.key = columns
		}
		switch {
		case ident && t.identity == 'i':
			identity, t.identityIndex, t.identityKey = columns, index, columns
		case primary && t.identity == 'd':
			t.identityKey = columns
		}
	}
	if identity != nil && !subset(t.key, identity) {
		t.key = identity
	}
	return rows.Err()
}

func subset(a, b []string) bool {
	for _, s := range a {
		if !slices.Contains(b, s) {
			return false
		}
	}
	return true
}

// byOID reads one table, nil if it is gone or not captured.
func (c *catalog) byOID(ctx context.Context, oid uint32) (*tableInfo, error) {
	var t *tableInfo
	err := c.query(ctx, func(conn *pgx.Conn) error {
		list, _, err := c.list(ctx, conn, oid)
		if err != nil || len(list) == 0 {
			return err
		}
		t = list[0]
		return c.details(ctx, conn, t)
	})
	return t, err
}

// estimate is about how many rows the tables have; 0 = unknown.
func (c *catalog) estimate(ctx context.Context, tables []*envelope.Codec) (rows int64, err error) {
	var schemas, names []string
	for _, t := range tables {
		schemas, names = append(schemas, t.Table.ID.Schema), append(names, t.Table.ID.Name)
	}
	err = c.query(ctx, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			JOIN unnest($1::text[], $2::text[]) t(s, n) ON t.s = n.nspname AND t.n = c.relname`, schemas, names).Scan(&rows)
	})
	if err != nil {
		return 0, explain(fmt.Errorf("estimate rows: %w", err))
	}
	return rows, nil
}
