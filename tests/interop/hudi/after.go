package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"tributary/internal/column"
	"tributary/lake"
	"tributary/lake/blob"
)

const (
	touched = 5 // rows that are updated
	removed = 2 // rows that are deleted
)

// after goes on with a table that another engine has changed. rows is the
// checker's result, whose reads.copy are the table's rows as that engine read
// them last. The rows expected from now on go to dir/snapshot.jsonl.
func after(ctx context.Context, table, rows, dir string) (err error) {
	store, err := blob.NewDir(filepath.Dir(table))
	if err != nil {
		return err
	}
	t, err := lake.Open(ctx, store, filepath.Base(table), lake.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close(ctx)) }()
	hidden, err := pathTime(table, t)
	if err != nil {
		return err
	}
	theirs, err := readRows(rows, hidden)
	if err != nil {
		return err
	}
	ours, err := scan(ctx, t, hidden)
	if err != nil {
		return err
	}
	if err := same(ours, theirs); err != nil {
		return fmt.Errorf("read after the other engine: %w", err)
	}
	changes, err := changesOf(ctx, t, theirs)
	if err != nil {
		return err
	}
	if _, err := t.Upsert(ctx, changes, nil); err != nil {
		return err
	}
	if ours, err = scan(ctx, t, hidden); err != nil {
		return err
	}
	if err := same(ours, theirs); err != nil {
		return fmt.Errorf("read after writing on: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var out bytes.Buffer
	for _, k := range slices.Sorted(maps.Keys(theirs)) {
		out.WriteString(theirs[k] + "\n")
	}
	fmt.Printf("%d rows read and written on\n", len(theirs))
	return os.WriteFile(filepath.Join(dir, "snapshot.jsonl"), out.Bytes(), 0o644)
}

// pathTime returns the column that partitions by time are made of, or "": engines
// show the text of the path in its place, and write that when they write the row
// again.
func pathTime(table string, t *lake.Table) (string, error) {
	props, err := os.ReadFile(filepath.Join(table, ".hoodie", "hoodie.properties"))
	if err != nil || !bytes.Contains(props, []byte("TimestampBasedKeyGenerator")) {
		return "", err
	}
	return t.PartitionFields()[0], nil
}

// readRows reads the other engine's rows: JSON of the table's own columns but the
// hidden one, by partition and record key.
func readRows(path, hidden string) (map[string]string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var doc struct {
		Reads struct{ Copy []map[string]any }
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&doc); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	out := map[string]string{}
	for _, r := range doc.Reads.Copy {
		delete(r, hidden)
		if err := put(out, r); err != nil {
			return nil, err
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s has no rows of the copy", path)
	}
	return out, nil
}

func put(out map[string]string, r map[string]any) error {
	key := fmt.Sprint(r["_hoodie_partition_path"], "|", r["_hoodie_record_key"])
	if _, ok := out[key]; ok {
		return fmt.Errorf("key %s is there twice", key)
	}
	plain := map[string]any{}
	for k, v := range r {
		if !strings.HasPrefix(k, "_hoodie_") {
			plain[k] = number(v)
		}
	}
	b, err := json.Marshal(plain)
	out[key] = string(b)
	return err
}

// number gives whole numbers one form, whatever column they come from.
func number(v any) any {
	if n, ok := v.(json.Number); ok {
		if f, err := n.Float64(); err == nil && strings.ContainsAny(n.String(), ".eE") {
			return f
		}
	}
	if f, ok := v.(float64); ok && f == float64(int64(f)) {
		return json.Number(fmt.Sprint(int64(f)))
	}
	return v
}

var metaColumns = []string{"_hoodie_partition_path", "_hoodie_record_key"}

// scan reads the table as readRows does.
func scan(ctx context.Context, t *lake.Table, hidden string) (map[string]string, error) {
	if err := t.Refresh(ctx); err != nil {
		return nil, err
	}
	s, err := t.AsOf(ctx, "")
	if err != nil {
		return nil, err
	}
	fields := s.Schema().Fields
	names := append([]string(nil), metaColumns...)
	for _, f := range fields {
		names = append(names, f.Name)
	}
	out := map[string]string{}
	for b, err := range s.Scan(ctx, names) {
		if err != nil {
			return nil, err
		}
		for r := range b.Len {
			row := map[string]any{}
			for i, name := range metaColumns {
				row[name] = string(b.Cols[i].Value(r))
			}
			for i, f := range fields {
				row[f.Name] = cell(f.Type, &b.Cols[len(metaColumns)+i], r)
			}
			delete(row, hidden)
			if err := put(out, row); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func cell(t lake.Type, c *column.Column, r int) any {
	if c.IsNull(r) {
		return nil
	}
	switch c.Kind {
	case column.Int:
		v := jsonValue(t, c.Ints[r])
		if n, ok := v.(int64); ok {
			return json.Number(fmt.Sprint(n))
		}
		return v
	case column.Float:
		return c.Floats[r]
	}
	switch t.Kind {
	case lake.String:
		return string(c.Value(r))
	case lake.Decimal:
		return decimalText(c.Value(r), t.Scale)
	}
	return base64.StdEncoding.EncodeToString(c.Value(r))
}

func same(ours, theirs map[string]string) error {
	if len(ours) != len(theirs) {
		return fmt.Errorf("%d rows, want %d", len(ours), len(theirs))
	}
	for k, want := range theirs {
		if ours[k] != want {
			return fmt.Errorf("row %s is\n %s, want\n %s", k, ours[k], want)
		}
	}
	return nil
}

// changesOf returns changes to some rows of the table, which it makes to theirs
// too.
func changesOf(ctx context.Context, t *lake.Table, theirs map[string]string) (lake.Rows, error) {
	s, err := t.AsOf(ctx, "")
	if err != nil {
		return lake.Rows{}, err
	}
	schema := s.Schema()
	names := append([]string(nil), metaColumns...)
	for _, f := range schema.Fields {
		names = append(names, f.Name)
	}
	rows := lake.Rows{Batch: schema.NewBatch()}
	seq := schema.Index("__seq")
	for b, err := range s.Scan(ctx, names) {
		if err != nil {
			return rows, err
		}
		pick := make([]int, 0, b.Len)
		for r := range b.Len {
			pick = append(pick, r)
		}
		sort.Slice(pick, func(i, j int) bool { return pick[i]*7919%101 < pick[j]*7919%101 }) // here and there
		for _, r := range pick[:min(len(pick), touched+removed)] {
			if rows.Batch.Len == touched+removed {
				break
			}
			key := string(b.Cols[0].Value(r)) + "|" + string(b.Cols[1].Value(r))
			order := fmt.Sprintf("ffffffff%08x", rows.Batch.Len)
			for i := range schema.Fields {
				if i == seq {
					rows.Batch.Cols[i].AppendString(order)
				} else {
					rows.Batch.Cols[i].Append(&b.Cols[len(metaColumns)+i], r)
				}
			}
			op := lake.Upsert
			if rows.Batch.Len >= touched {
				op = lake.Delete
				delete(theirs, key)
			} else if err := setSeq(theirs, key, order); err != nil {
				return rows, err
			}
			rows.Ops = append(rows.Ops, op)
			rows.Batch.Len++
		}
	}
	return rows, nil
}

func setSeq(theirs map[string]string, key, order string) error {
	row := map[string]any{}
	d := json.NewDecoder(strings.NewReader(theirs[key]))
	d.UseNumber()
	if err := d.Decode(&row); err != nil {
		return fmt.Errorf("row %s: %w", key, err)
	}
	row["__seq"] = order
	b, err := json.Marshal(row)
	theirs[key] = string(b)
	return err
}
