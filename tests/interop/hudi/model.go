package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"time"

	"tributary/internal/column"
	"tributary/lake"
	"tributary/lake/blob"
)

// value is a cell: nil, int64 (also dates, times and booleans), float64, string
// or []byte (also the unscaled value of a decimal).
type value any

// keep says that a cell stays as it is stored.
type keep struct{}

// row is the cells of a row by column.
type row map[string]value

// change is a row on its way into a table.
type change struct {
	op  lake.Op
	row row
}

// model is a table beside a map that holds what it should hold.
type model struct {
	dir   string // of the kind
	store blob.Store
	table *lake.Table
	rows  map[string]row
	seq   int

	// hidden are columns that engines show other values of than are stored: the
	// text of the path in the place of a time that partitions are made of.
	hidden map[string]bool
}

// newModel makes an empty table.
func newModel(ctx context.Context, dir string, cfg lake.Config, opt lake.Options) (*model, error) {
	store, err := blob.NewDir(dir)
	if err != nil {
		return nil, err
	}
	return newModelIn(ctx, dir, store, cfg, opt)
}

func newModelIn(ctx context.Context, dir string, store blob.Store, cfg lake.Config, opt lake.Options) (*model, error) {
	t, err := lake.Create(ctx, store, "table", cfg, opt)
	if err != nil {
		return nil, err
	}
	return &model{dir: dir, store: store, table: t, rows: map[string]row{}}, os.MkdirAll(filepath.Join(dir, "expected"), 0o755)
}

// reopen goes on as another writer, of default options.
func (m *model) reopen(ctx context.Context) error {
	if err := m.table.Close(ctx); err != nil {
		return err
	}
	t, err := lake.Open(ctx, m.store, "table", lake.Options{})
	if err == nil {
		m.table = t
	}
	return err
}

func (m *model) key(r row) string {
	var parts []any
	for _, k := range m.table.KeyFields() {
		parts = append(parts, r[k])
	}
	return fmt.Sprint(parts...)
}

// commit applies the changes to the table and the map, and writes down what the
// table holds from now on. Every row gets the next place in the order.
func (m *model) commit(ctx context.Context, changes []change) error {
	batch, err := m.batch(changes)
	if err != nil {
		return err
	}
	i, err := m.table.Upsert(ctx, batch, map[string]string{"deltastreamer.checkpoint.key": fmt.Sprintf("t,0:%d", m.seq)})
	if err != nil {
		return err
	}
	return m.expectAt(i)
}

func (m *model) batch(changes []change) (lake.Rows, error) {
	schema := m.table.Schema()
	rows := lake.Rows{Batch: schema.NewBatch(), Keep: make([]column.Bitmap, len(schema.Fields))}
	for n, c := range changes {
		m.seq++
		r := row{}
		for k, v := range c.row {
			r[k] = v
		}
		r["__seq"] = fmt.Sprintf("%016x", m.seq)
		stored := m.rows[m.key(r)]
		next := row{}
		for i, f := range schema.Fields {
			v := r[f.Name]
			if _, ok := v.(keep); ok {
				rows.Keep[i].Set(n)
				v = nil
				next[f.Name] = stored[f.Name]
			} else {
				next[f.Name] = v
			}
			if err := appendValue(&rows.Batch.Cols[i], v); err != nil {
				return rows, fmt.Errorf("column %s: %w", f.Name, err)
			}
		}
		rows.Batch.Len++
		rows.Ops = append(rows.Ops, c.op)
		if c.op == lake.Delete {
			delete(m.rows, m.key(r))
		} else {
			m.rows[m.key(r)] = next
		}
	}
	return rows, nil
}

func appendValue(c *column.Column, v value) error {
	switch v := v.(type) {
	case nil:
		c.AppendNull()
	case int64:
		if c.Kind == column.Float { // a column that was widened
			c.AppendFloat(float64(v))
			return nil
		}
		c.AppendInt(v)
	case float64:
		c.AppendFloat(v)
	case string:
		c.AppendString(v)
	case []byte:
		c.AppendBytes(v)
	default:
		return fmt.Errorf("%T", v)
	}
	return nil
}

// expect writes the map as the file of rows that other engines are compared with.
func (m *model) expect(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	keys := make([]string, 0, len(m.rows))
	for k := range m.rows {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		out := map[string]any{}
		for _, field := range m.table.Schema().Fields {
			if m.hidden[field.Name] {
				continue
			}
			out[field.Name] = jsonValue(field.Type, m.rows[k][field.Name])
		}
		if err := enc.Encode(out); err != nil {
			return err
		}
	}
	return w.Flush()
}

// jsonValue is a cell as the checker writes it.
func jsonValue(t lake.Type, v value) any {
	switch v := v.(type) {
	case int64:
		switch t.Kind {
		case lake.Boolean:
			return v != 0
		case lake.Date:
			return time.Unix(v*86400, 0).UTC().Format("2006-01-02")
		case lake.TimestampMicros:
			return time.UnixMicro(v).UTC().Format("2006-01-02T15:04:05.000000Z")
		case lake.Double:
			return float64(v)
		}
		return v
	case []byte:
		if t.Kind == lake.Decimal {
			return decimalText(v, t.Scale)
		}
		return base64.StdEncoding.EncodeToString(v)
	default:
		return v
	}
}
