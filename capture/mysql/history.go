package mysql

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"tributary/internal/fault"
)

// Unless the log has the names of columns (binlog_row_metadata=FULL), what a
// table looked like at a place in the log must be remembered: the server tells
// only what it looks like now. The position carries the definitions of the
// captured tables, so that they cannot be lost without it.

// encodeTables packs the definitions of tables.
func encodeTables(tables map[string]*table) (string, error) {
	var defs []*tableDef
	for _, t := range tables {
		if t != nil && !t.stale && len(t.versions) > 0 { // of one that changed just now the server knows
			defs = append(defs, t.current().def)
		}
	}
	if len(defs) == 0 {
		return "", nil
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

// decodeTables is the inverse of encodeTables.
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

// remembered replaces the definitions in tables by those that the position
// carries.
func remembered(p *position, tables map[string]*table, cfg *settings) error {
	if p.Tables == "" {
		return nil
	}
	defs, err := decodeTables(p.Tables)
	if err != nil {
		return fault.Human(fmt.Errorf("read the definitions of tables in the stored position: %w", err),
			"the position is damaged: take a new snapshot with a name of its own for this connector's position")
	}
	for _, d := range defs {
		if !cfg.include(d.ID) {
			continue
		}
		d.exclude(cfg)
		t := &table{}
		if err := t.use(d, cfg); err != nil {
			return err
		}
		tables[d.ID.String()] = t
	}
	return nil
}

// definitions is what the position says of the tables, "" if the log tells.
func (s *stream) definitions() string {
	if s.described {
		return ""
	}
	if s.defs == "" {
		text, err := encodeTables(s.tables)
		if err != nil { // names and numbers always encode
			panic(err)
		}
		s.defs = text
	}
	return s.defs
}
