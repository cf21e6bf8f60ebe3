package mysql

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"tributary/capture/mysql/ddl"
	"tributary/envelope"
	"tributary/internal/fault"
)

// history is what tables look like where the stream is. It begins with what the
// server tells, or with what the position carries, and goes on with each
// statement in the log.
//
// The position carries the definitions, so that they cannot be lost without it:
// the server tells only what tables look like now. Where the log has the names of
// columns itself (binlog_row_metadata=FULL), it does so for the topic of changes of
// schemas only, and not for very many tables.
type history struct {
	defs     map[string]*tableDef // by "db.table"; captured tables, and others of which something is told
	charsets map[string]string    // default character sets of databases
	server   string               // and of the server
	collate  string               // the server's default collation
	maria    bool
	fold     bool // names of tables have no case
	parser   *ddl.Parser
}

func newHistory(maria bool) *history {
	return &history{defs: make(map[string]*tableDef), charsets: make(map[string]string), maria: maria, parser: ddl.New()}
}

// read asks the server for what holds for all tables.
func (h *history) read(ctx context.Context, c *conn) error {
	rows, err := c.table(ctx, "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('character_set_server', 'collation_server', 'lower_case_table_names')")
	if err != nil {
		return err
	}
	for _, r := range rows {
		switch strings.ToLower(r[0]) {
		case "character_set_server":
			h.server = r[1]
		case "collation_server":
			h.collate = r[1]
		case "lower_case_table_names":
			h.fold = r[1] == "1"
		}
	}
	rows, err = c.table(ctx, "SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME FROM information_schema.SCHEMATA")
	for _, r := range rows {
		h.charsets[r[0]] = r[1]
	}
	return err
}

// encode packs the definitions.
func (h *history) encode() (string, error) {
	if len(h.defs) == 0 {
		return "", nil
	}
	defs := make([]*tableDef, 0, len(h.defs))
	for _, d := range h.defs {
		defs = append(defs, d)
	}
	slices.SortFunc(defs, func(a, b *tableDef) int { return strings.Compare(a.ID.String(), b.ID.String()) })
	var out bytes.Buffer
	text := base64.NewEncoder(base64.RawStdEncoding, &out)
	w, err := flate.NewWriter(text, flate.BestCompression)
	if err != nil {
		return "", err
	}
	if err := json.NewEncoder(w).Encode(defs); err != nil {
		return "", fmt.Errorf("store the definitions of tables: %w", err)
	}
	if err := w.Close(); err != nil {
		return "", fmt.Errorf("store the definitions of tables: %w", err)
	}
	if err := text.Close(); err != nil { // writes what is left
		return "", fmt.Errorf("store the definitions of tables: %w", err)
	}
	return out.String(), nil
}

// maxDefinitions bounds what is unpacked.
const maxDefinitions = 256 << 20

// decodeTables is the inverse of encode.
func decodeTables(text string) ([]*tableDef, error) {
	raw, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	var defs []*tableDef
	r := io.LimitReader(flate.NewReader(bytes.NewReader(raw)), maxDefinitions)
	if err := json.NewDecoder(r).Decode(&defs); err != nil {
		return nil, err
	}
	return defs, nil
}

// remember replaces the definitions by those that the position carries, also
// in tables, the captured ones.
func (h *history) remember(p *position, tables map[string]*table, cfg *settings) error {
	if p.Tables == "" {
		return nil
	}
	defs, err := decodeTables(p.Tables)
	if err != nil {
		return fault.Human(fmt.Errorf("read the definitions of tables in the stored position: %w", err),
			"the position is damaged: start with snapshot.mode recovery, which reads them from the server, if no table was changed since")
	}
	clear(h.defs)
	for _, d := range defs {
		h.defs[d.ID.String()] = d
		if !cfg.include(d.ID) {
			continue
		}
		t := &table{}
		if err := t.use(d, cfg); err != nil {
			return err
		}
		tables[d.ID.String()] = t
	}
	for name, t := range tables { // new ones, or such as were not known
		if t != nil && h.defs[name] == nil {
			t.stale = true
		}
	}
	return nil
}

// adopt takes over what captured tables look like of which nothing is known.
func (h *history) adopt(tables map[string]*table) {
	for name, t := range tables {
		if t != nil && len(t.versions) > 0 && !t.stale && h.defs[name] == nil {
			h.defs[name] = t.current().def
		}
	}
}

// mostCarried is how long the definitions may be that are of use for what is told
// of changes of schemas only, since every position has them.
const mostCarried = 32 << 10

// carried packs the definitions for positions, "" if there is no need.
func (h *history) carried(described bool, cfg *settings) (string, error) {
	if described && !cfg.SchemaChanges {
		return "", nil
	}
	text, err := h.encode()
	if described && len(text) > mostCarried {
		return "", err
	}
	return text, err
}

// definitions is what the position says of the tables.
func (s *stream) definitions() string {
	if s.defs == nil {
		text, err := s.history.carried(s.described, s.cfg)
		if err != nil { // names and numbers always encode
			panic(err)
		}
		s.defs = &text
	}
	return *s.defs
}

// statement changes what the tables look like as a statement says, and tells of
// it.
func (s *stream) ddl(q *query, text []byte, source envelope.Source) error {
	if s.old { // done before
		return nil
	}
	st, err := s.history.parser.Parse(string(text), q.mode)
	if err != nil {
		s.log.Debug("the tables that a statement names are read anew", "reason", err)
		return s.unread(q, text, source)
	}
	if err := s.inUTC(q, st); err != nil {
		return err
	}
	effects := s.history.apply(q.database, st)
	if st.Kind == ddl.DropDatabase {
		s.forget(s.history.name(st.Database))
	}
	for i := range effects {
		if err := s.evolve(&effects[i]); err != nil {
			return err
		}
	}
	if len(effects) > 0 || st.Kind == ddl.DropDatabase {
		clear(s.bounds)
		s.defs = nil
	}
	return s.tellStatement(q, st, effects, source)
}

// inUTC converts the defaults of timestamps, which a statement has in the time
// zone of its session.
func (s *stream) inUTC(q *query, st *ddl.Statement) error {
	if q.zone == "" || q.zone == "+00:00" || q.zone == "UTC" {
		return nil
	}
	var columns []*ddl.Column
	if st.Create != nil {
		for i := range st.Create.Columns {
			columns = append(columns, &st.Create.Columns[i])
		}
	}
	for i := range st.Changes {
		columns = append(columns, &st.Changes[i].Column)
	}
	for _, c := range columns {
		if c.Type != "timestamp" || c.Default == nil {
			continue
		}
		text, err := s.cat.utc(s.ctx, *c.Default, q.zone)
		if err != nil {
			return fmt.Errorf("convert a default to UTC: %w", err)
		}
		if text != "" { // a zone that the server knows
			c.Default = &text
		}
	}
	return nil
}

// forget drops the captured tables of a database.
func (s *stream) forget(database string) {
	for name, t := range s.tables {
		if t != nil && t.current().def.ID.Catalog == database {
			delete(s.tables, name)
		}
	}
}

// evolve has the captured tables follow an effect. What a table is like that
// the history does not know is asked of the server.
func (s *stream) evolve(e *effect) error {
	if e.old.Name != "" && s.tables[e.old.String()] != nil {
		delete(s.tables, e.old.String())
	}
	name := e.id.String()
	if e.kind == "DROP" {
		if s.tables[name] != nil {
			delete(s.tables, name)
		}
		return nil
	}
	captured := s.cfg.include(e.id)
	if e.def == nil && (captured || s.cfg.tellsTable(e.id)) {
		def, err := s.cat.table(s.ctx, e.id)
		if err != nil && !errors.Is(err, errNoTable) {
			return fmt.Errorf("read the definition of table %s: %w", e.id, err)
		}
		e.def = def
		s.history.set(e.id, def)
	}
	if !captured {
		return nil
	}
	t := s.tables[name]
	if t == nil || e.kind == "CREATE" || e.old.Name != "" {
		t = &table{}
	}
	t.stale = true
	if e.def != nil {
		t.stale = t.use(e.def, s.cfg) != nil // the rows, if some come, tell why
	}
	if len(t.versions) == 0 {
		delete(s.tables, name) // found in the log, if rows come
		return nil
	}
	s.tables[name] = t
	return nil
}

// unread takes a statement that the parser cannot read.
func (s *stream) unread(q *query, text []byte, source envelope.Source) error {
	names := s.noteDDL(q.database, text)
	if !s.cfg.SchemaChanges {
		return nil
	}
	st := &ddl.Statement{Kind: ddl.Other, Text: strings.TrimRight(string(text), "; \t\r\n")}
	var effects []effect
	for _, id := range names {
		def, err := s.cat.table(s.ctx, id)
		if errors.Is(err, errNoTable) || err == nil && def == nil {
			continue
		}
		if err != nil {
			return fmt.Errorf("read the definition of table %s: %w", id, err)
		}
		effects = append(effects, effect{kind: "ALTER", id: id, def: def, ddl: st.Text})
	}
	return s.tellStatement(q, st, effects, source)
}
