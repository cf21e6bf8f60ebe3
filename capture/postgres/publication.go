package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"tributary/internal/fault"
)

// published is what of tables our publication has: the log has no more of them,
// so a snapshot reads no more.
type published struct {
	version   int                      // of the server
	generated bool                     // stored generated columns (PostgreSQL 18 and newer)
	tables    map[string]publishedPart // those of which it is not everything
}

// publishedPart is what of a table is published.
type publishedPart struct {
	all     bool     // columns
	columns []string // unless all
	rows    string   // a condition, "" = all
}

// column reports whether a column of t is published, as far as is known.
func (p *published) column(t *tableInfo, name string) bool {
	part, ok := p.tables[t.id.String()]
	t.rows = part.rows
	return !ok || part.all || slices.Contains(part.columns, name)
}

// readPublished reads what a publication has of its tables. Before PostgreSQL 15
// that was all of them. One that does not exist yet will have everything.
func readPublished(ctx context.Context, conn *pgx.Conn, o *Options) (p published, err error) {
	if err := conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&p.version); err != nil {
		return p, explain(fmt.Errorf("read server version: %w", err))
	}
	if p.version < 150000 {
		return p, nil
	}
	if p.version >= 180000 {
		err := conn.QueryRow(ctx, "SELECT pubgencols = 's' FROM pg_publication WHERE pubname = $1", o.Publication).Scan(&p.generated)
		if errors.Is(err, pgx.ErrNoRows) {
			p.generated, err = true, nil
		}
		if err != nil {
			return p, explain(fmt.Errorf("read publication %s: %w", o.Publication, err))
		}
	}
	rows, err := conn.Query(ctx, `SELECT n.nspname || '.' || c.relname, ARRAY(SELECT a.attname::text FROM pg_attribute a
			WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.attnum = ANY (r.prattrs)), r.prattrs IS NULL, coalesce(pg_get_expr(r.prqual, r.prrelid), '')
		FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE p.pubname = $1 AND (r.prattrs IS NOT NULL OR r.prqual IS NOT NULL)`, o.Publication)
	if err != nil {
		return p, explain(fmt.Errorf("read publication %s: %w", o.Publication, err))
	}
	defer rows.Close()
	p.tables = make(map[string]publishedPart)
	for rows.Next() {
		var name string
		var part publishedPart
		if err := rows.Scan(&name, &part.columns, &part.all, &part.rows); err != nil {
			return p, fmt.Errorf("read publication %s: %w", o.Publication, err)
		}
		p.tables[name] = part
	}
	return p, rows.Err()
}

// from is what a snapshot reads of a table where that is not just the table,
// without those that inherit from it.
func (t *tableInfo) from() string {
	switch name := tableName(t.id); {
	case t.rows != "" && t.root:
		return "(SELECT * FROM " + name + " WHERE " + t.rows + ") AS rows"
	case t.rows != "":
		return "(SELECT * FROM ONLY " + name + " WHERE " + t.rows + ") AS rows"
	case t.root:
		return name
	}
	return ""
}

// publication is what pg_publication says of ours.
type publication struct {
	version   int // of the server
	exists    bool
	parts     bool // of some tables it has some columns or rows only
	allTables bool
	insert    bool
	update    bool
	delete    bool
	viaRoot   bool
}

func (c *catalog) publication(ctx context.Context, name string, tables []*tableInfo) (publication, error) {
	p := publication{version: c.pub.version, parts: len(c.pub.tables) > 0}
	err := c.query(ctx, func(conn *pgx.Conn) error {
		row := conn.QueryRow(ctx, `SELECT puballtables, pubinsert, pubupdate, pubdelete, pubviaroot FROM pg_publication WHERE pubname = $1`, name)
		err := row.Scan(&p.allTables, &p.insert, &p.update, &p.delete, &p.viaRoot)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return explain(fmt.Errorf("read publication %s: %w", name, err))
		}
		p.exists = true
		// By OID: a table may get another name at any moment.
		rows, err := conn.Query(ctx, `SELECT relid::oid FROM pg_get_publication_tables($1)`, name)
		if err != nil {
			return explain(fmt.Errorf("read publication %s: %w", name, err))
		}
		oids, err := pgx.CollectRows(rows, pgx.RowTo[uint32])
		if err != nil {
			return explain(fmt.Errorf("read publication %s: %w", name, err))
		}
		in := make(map[uint32]bool, len(oids))
		for _, oid := range oids {
			in[oid] = true
		}
		for _, t := range tables {
			t.published = p.allTables || in[t.oid]
		}
		return nil
	})
	return p, err
}

// statements returns what has to be executed so that the publication covers
// the tables, and why, or an error if that is not ours to do.
func (p publication) statements(o *Options, tables []*tableInfo) ([]string, error) {
	name := quoteIdent(o.Publication)
	if !p.exists {
		return createPublication(o, tables, p.version)
	}
	if !p.insert || !p.update || !p.delete {
		return nil, fault.Human(fmt.Errorf("publication %s leaves out inserts, updates or deletes", o.Publication),
			fmt.Sprintf("ALTER PUBLICATION %s SET (publish = 'insert, update, delete, truncate')", name))
	}
	var out []string
	if p.viaRoot != o.ViaRoot {
		set := fmt.Sprintf("ALTER PUBLICATION %s SET (publish_via_partition_root = %t)", name, o.ViaRoot)
		if o.PublicationMode != "filtered" {
			return nil, fault.Human(fmt.Errorf("publication %s has publish_via_partition_root = %t, publish.via.partition.root is %t", o.Publication, p.viaRoot, o.ViaRoot), set)
		}
		out = append(out, set)
	}
	var missing []string
	var add []*tableInfo
	for _, t := range tables {
		if !t.published {
			missing, add = append(missing, t.id.String()), append(add, t)
		}
	}
	switch {
	case len(missing) == 0 || o.PublicationMode == "no_tables":
		return out, nil
	case o.PublicationMode != "filtered" || p.allTables:
		return nil, fault.Human(fmt.Errorf("publication %s does not have %s", o.Publication, strings.Join(missing, ", ")),
			fmt.Sprintf("ALTER PUBLICATION %s ADD TABLE %s, or let publication.autocreate.mode be filtered", name, strings.Join(missing, ", ")))
	}
	if p.parts { // which stay
		return append(out, "ALTER PUBLICATION "+name+" ADD TABLE "+tableList(add)), nil
	}
	return append(out, "ALTER PUBLICATION "+name+" SET TABLE "+tableList(tables)), nil
}

func createPublication(o *Options, tables []*tableInfo, version int) ([]string, error) {
	create, with := "CREATE PUBLICATION "+quoteIdent(o.Publication), ""
	var settings []string
	if o.ViaRoot {
		settings = append(settings, "publish_via_partition_root = true")
	}
	if version >= 180000 {
		settings = append(settings, "publish_generated_columns = stored")
	}
	if len(settings) > 0 {
		with = " WITH (" + strings.Join(settings, ", ") + ")"
	}
	switch o.PublicationMode {
	case "disabled":
		return nil, fault.Human(fmt.Errorf("publication %s does not exist", o.Publication),
			create+" FOR TABLE "+tableList(tables)+with+", or let publication.autocreate.mode be filtered")
	case "all_tables":
		return []string{create + " FOR ALL TABLES" + with}, nil
	case "no_tables":
		return []string{create + with}, nil
	}
	if len(tables) == 0 { // all that were captured are gone
		return []string{create + with}, nil
	}
	return []string{create + " FOR TABLE " + tableList(tables) + with}, nil
}

func tableList(tables []*tableInfo) string {
	var b strings.Builder
	for i, t := range tables {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quoteIdent(t.id.Schema) + "." + quoteIdent(t.id.Name))
	}
	return b.String()
}
