package mysql

import (
	"bytes"
	"errors"
	"fmt"

	"tributary/capture/mysql/binlog"
	"tributary/envelope"
	"tributary/internal/fault"
)

// tableMap notes what the row events that follow are of.
func (s *stream) tableMap(body []byte) error {
	m, err := binlog.ParseTableMap(body, s.idSize, s.cfg.maria())
	if err != nil {
		return err
	}
	if b, ok := s.bounds[m.ID]; ok && (b == nil || bytes.Equal(b.raw, body)) {
		return nil
	}
	if len(s.bounds) > 4096 {
		clear(s.bounds)
	}
	id := envelope.TableID{Catalog: string(m.Schema), Name: string(m.Table)}
	t, err := s.table(id, m)
	if err != nil {
		return err
	}
	if t == nil {
		s.bounds[m.ID] = nil
		return nil
	}
	b, err := t.bind(s.ctx, m, body, s.cat, s.cfg)
	if ue := (unfitError{}); errors.As(err, &ue) {
		// Perhaps it changed without a statement that we understood.
		if err2 := s.reread(t, id, m); err2 != nil {
			return err2
		}
		b, err = t.bind(s.ctx, m, body, s.cat, s.cfg)
	}
	if err != nil {
		return err
	}
	s.bounds[m.ID] = b
	return nil
}

// table returns the captured table of that name, nil if it is not captured.
func (s *stream) table(id envelope.TableID, m *binlog.TableMap) (*table, error) {
	name := id.String()
	t, known := s.tables[name]
	if known && (t == nil || !t.stale) {
		return t, nil
	}
	if t == nil {
		if !s.cfg.include(id) {
			s.tables[name] = nil
			return nil, nil //nolint:nilnil // not captured
		}
		t = &table{}
	}
	if err := s.reread(t, id, m); errors.Is(err, errNoTable) {
		s.tables[name] = nil
		return nil, nil //nolint:nilnil // not captured
	} else if err != nil {
		return nil, err
	}
	if !known {
		s.log.Info("table found in the log", "table", name)
	}
	s.tables[name], s.defs = t, nil
	return t, nil
}

// reread asks the server what the table looks like now. Of a table that is
// gone, the log's own metadata must do.
func (s *stream) reread(t *table, id envelope.TableID, m *binlog.TableMap) error {
	def, err := s.cat.table(s.ctx, id)
	if err != nil {
		return fmt.Errorf("read the definition of table %s: %w", id, err)
	}
	t.stale, s.defs = false, nil
	if def == nil {
		if len(t.versions) > 0 {
			return nil
		}
		if m.Names == nil {
			return fault.Humanf("leave it out of table.include.list, or set binlog_row_metadata=FULL on the server",
				"table %s is in the log but no longer on the server", id)
		}
		def = &tableDef{ID: id}
		for i := range m.Types {
			d, err := synthesize(s.ctx, m, i, s.cat, id)
			if err != nil {
				return err
			}
			def.Columns = append(def.Columns, d)
		}
	}
	if m.Names == nil {
		if err := s.sure(id); err != nil {
			return err
		}
	}
	s.history.set(id, def)
	return t.use(def, s.cfg)
}
