package postgres

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tributary/capture"
	"tributary/envelope"
	"tributary/internal/testdb"
)

// replay is a catalog that moves on with the recording: changes.sql is run, a
// statement at a time, until the tables are as a Relation message has them.
type replay struct {
	cat        *catalog
	db         *testdb.Database
	statements []string
	published  map[uint32]bool // tables of the publication, which the setup's are
	all        bool            // it has all tables
	slot       string          // tells what the statements have come to
	made, done int             // transactions of the publication, by statements and in the recording
	filter     *capture.Filter
}

func newReplay(t *testing.T, g golden, cat *catalog) *replay {
	r := &replay{cat: cat, db: g.db, statements: splitSQL(g.scenario.SQL(t, "changes.sql")), published: make(map[uint32]bool), all: g.source.opts.PublicationMode == "all_tables", filter: g.source.filter}
	tables, err := cat.tables(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		r.published[table.oid] = true
	}
	of := "FOR ALL TABLES"
	if !r.all {
		of = "FOR TABLE " + tableList(tables)
	}
	r.slot = g.db.Name + "_replay"
	g.db.MustExec(t, "CREATE PUBLICATION "+r.slot+" "+of, "SELECT pg_create_logical_replication_slot('"+r.slot+"', 'pgoutput')")
	return r
}

// step runs the next statement and counts the transactions of the publication.
func (r *replay) step(ctx context.Context) error {
	if err := r.db.Exec(ctx, r.statements[0]); err != nil {
		return err
	}
	r.statements = r.statements[1:]
	rows, err := r.db.Query(ctx, `SELECT count(DISTINCT xid::text) FROM pg_logical_slot_get_binary_changes('`+r.slot+`', NULL, NULL,
		'proto_version', '1', 'publication_names', '`+r.slot+`', 'messages', 'true') WHERE chr(get_byte(data, 0)) IN ('I', 'U', 'D', 'T', 'M') AND xid <> '0'::xid`)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(rows[0][0])
	r.made += n
	return err
}

// splitSQL splits statements at the semicolons that end lines or stand between
// two; a transaction stays whole, and so does a string. Statements that only
// wait are dropped.
func splitSQL(text string) []string {
	var out []string
	var block strings.Builder
	open, quoted := false, false
	start := 0
	for i := range len(text) {
		switch {
		case text[i] == '\'':
			quoted = !quoted
		case text[i] == ';' && !quoted:
			part := strings.TrimSpace(text[start : i+1])
			start = i + 1
			for strings.HasPrefix(part, "--") {
				_, part, _ = strings.Cut(part, "\n")
			}
			word, _, _ := strings.Cut(strings.TrimRight(part, ";"), " ")
			open = open || strings.EqualFold(word, "begin")
			block.WriteString(part)
			if strings.EqualFold(word, "commit") || strings.EqualFold(word, "rollback") {
				open = false
			}
			if !open {
				if !strings.Contains(block.String(), "pg_sleep") {
					out = append(out, block.String())
				}
				block.Reset()
			}
		}
	}
	return out
}

// lookup finds a table by name: the OIDs of a recording are those of another
// server. It runs statements until the table is as the message has it, and until
// the transaction of the message is made: then the table also has what no message
// tells.
func (r *replay) lookup(ctx context.Context, _ uint32, id envelope.TableID, columns []relationColumn) (*captured, error) {
	if !r.filter.Table(id) {
		return nil, nil
	}
	for {
		now, err := r.find(ctx, id)
		if err != nil {
			return nil, err
		}
		there := now != nil && r.matches(ctx, now, columns) && (r.made > r.done || !r.all && !r.published[now.oid])
		if !there && len(r.statements) > 0 {
			if err := r.step(ctx); err != nil {
				return nil, err
			}
			continue
		}
		switch {
		case now == nil:
			return resolve(ctx, r.cat, id, columns, nil)
		case !r.published[now.oid] && !r.all:
			return nil, nil // made later
		}
		return resolve(ctx, r.cat, id, r.adopt(columns, now), now)
	}
}

func (r *replay) find(ctx context.Context, id envelope.TableID) (*tableInfo, error) {
	tables, err := r.cat.tables(ctx)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(tables, func(t *tableInfo) bool { return t.id == id }); i >= 0 {
		return tables[i], nil
	}
	return nil, nil
}

// matches reports whether the table has the columns of the message, with the
// types as far as they are built in. Those marked as the replica identity must
// be the key.
func (r *replay) matches(ctx context.Context, now *tableInfo, columns []relationColumn) bool {
	for _, col := range columns {
		i := slices.IndexFunc(now.columns, func(c columnInfo) bool { return c.name == col.name })
		if i < 0 {
			return false
		}
		if typ, err := r.cat.typeOf(ctx, col.oid, col.typmod); err != nil || col.oid < firstUserOID && typ.oid != now.columns[i].typ.oid {
			return false
		}
		if now.identity == 'd' && col.key != slices.Contains(now.key, col.name) {
			return false
		}
	}
	return true
}

// firstUserOID is where the OIDs of a database's own objects begin.
const firstUserOID = 16384

// adopt gives columns of types that the database has made itself the OIDs of
// this server.
func (r *replay) adopt(columns []relationColumn, now *tableInfo) []relationColumn {
	out := slices.Clone(columns)
	for i := range out {
		if out[i].oid < firstUserOID {
			continue
		}
		for _, c := range now.columns {
			if c.name == out[i].name {
				out[i].oid = c.oid
			}
		}
	}
	return out
}
