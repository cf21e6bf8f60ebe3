package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"tributary/internal/fault"
)

// publication is what pg_publication says of ours.
type publication struct {
	exists    bool
	allTables bool
	insert    bool
	update    bool
	delete    bool
	viaRoot   bool
}

func (c *catalog) publication(ctx context.Context, name string, tables []*tableInfo) (publication, error) {
	var p publication
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
		return createPublication(o, tables)
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
	for _, t := range tables {
		if !t.published {
			missing = append(missing, t.id.String())
		}
	}
	switch {
	case len(missing) == 0 || o.PublicationMode == "no_tables":
		return out, nil
	case o.PublicationMode != "filtered" || p.allTables:
		return nil, fault.Human(fmt.Errorf("publication %s does not have %s", o.Publication, strings.Join(missing, ", ")),
			fmt.Sprintf("ALTER PUBLICATION %s ADD TABLE %s, or let publication.autocreate.mode be filtered", name, strings.Join(missing, ", ")))
	}
	return append(out, "ALTER PUBLICATION "+name+" SET TABLE "+tableList(tables)), nil
}

func createPublication(o *Options, tables []*tableInfo) ([]string, error) {
	create, with := "CREATE PUBLICATION "+quoteIdent(o.Publication), ""
	if o.ViaRoot {
		with = " WITH (publish_via_partition_root = true)"
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
