package main

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tributary/lake"
	"tributary/lake/blob"
)

// kind is a kind of table that the lake writes.
type kind struct {
	name  string
	write func(ctx context.Context, dir string) error
}

func kinds() []kind {
	return []kind{
		{"plain", writePlain},
		{"hive", writeHive},
		{"folders", writeFolders},
		{"composite", writeComposite},
		{"evolved", writeEvolved},
		{"groups", writeGroups},
		{"healed", writeHealed},
		{"serviced", writeServiced},
		{"replaced", writeReplaced},
		{"encoded", writeEncoded},
		{"inserted", writeInserted},
		{"levels", writeLevels},
		{"promoted", writePromoted},
		{"restored", writeRestored},
		{"dated", writeDated},
		{"timed", writeTimed},
	}
}

func writeKinds(ctx context.Context, dir string, names []string) error {
	for _, k := range kinds() {
		if len(names) > 0 && !slices.Contains(names, k.name) {
			continue
		}
		to := filepath.Join(dir, k.name)
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
		if err := k.write(ctx, to); err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		fmt.Println(k.name)
	}
	return nil
}

// byDay is a table of every type, in a folder for each day.
func byDay(table string) lake.Config {
	return lake.Config{
		Database: "shop", Table: table, Schema: everything(), KeyFields: []string{"id"}, Precombine: "__seq",
		PartitionFields: []string{"day"}, HivePartitions: true,
	}
}

// everything is a schema with a column of every type that is written.
func everything() lake.Schema {
	return lake.Schema{Fields: []lake.Field{
		{Name: "id", Type: lake.Simple(lake.Long)},
		{Name: "name", Type: lake.Simple(lake.String), Nullable: true},
		{Name: "day", Type: lake.Simple(lake.Date), Nullable: true},
		{Name: "flag", Type: lake.Simple(lake.Boolean), Nullable: true},
		{Name: "qty", Type: lake.Simple(lake.Int), Nullable: true},
		{Name: "ratio", Type: lake.Simple(lake.Float), Nullable: true},
		{Name: "amount", Type: lake.Simple(lake.Double), Nullable: true},
		{Name: "price", Type: lake.DecimalType(8, 2), Nullable: true},
		{Name: "big", Type: lake.DecimalType(30, 10), Nullable: true},
		{Name: "at", Type: lake.Simple(lake.TimestampMicros), Nullable: true},
		{Name: "raw", Type: lake.Simple(lake.Bytes), Nullable: true},
		{Name: "__op", Type: lake.Simple(lake.String), Nullable: true},
		{Name: "__deleted", Type: lake.Simple(lake.String), Nullable: true},
		{Name: "__seq", Type: lake.Simple(lake.String), Nullable: true},
	}}
}

// everyRow is version n of the row with the id. Each column is null in some.
func everyRow(id int64, n int) row {
	v := id*1009 + int64(n)*7919
	r := row{
		"id": id, "name": fmt.Sprintf("Zoë %d \"%d\" \\ ' ☃", id, n), "day": 13880 + id%5, "flag": v & 1, "qty": v % 1000,
		"ratio": float64(float32(v) / 7), "amount": float64(v) / 3, "price": unscaled(v%1_000_000 - 500_000),
		"big": unscaled(-v * 1_000_000_007), "at": 1_203_302_208_123_456 + v*1000, "raw": []byte{0, byte(v), 0xff},
		"__op": "c", "__deleted": "false",
	}
	for i, c := range []string{"name", "flag", "qty", "ratio", "amount", "price", "big", "at", "raw"} {
		if (int(v)+i)%11 == 0 {
			r[c] = nil
		}
	}
	return r
}

// unscaled is v as a decimal's bytes: big-endian two's complement, the fewest.
func unscaled(v int64) []byte {
	n := big.NewInt(v)
	if v >= 0 {
		return append([]byte{0}, n.Bytes()...)
	}
	mod := new(big.Int).Lsh(big.NewInt(1), uint(8*(n.BitLen()/8+1)))
	return new(big.Int).Add(mod, n).Bytes()
}

// decimalText writes a decimal's bytes with all digits of its scale.
func decimalText(b []byte, scale int) string {
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	s := new(big.Int).Abs(n).String()
	if len(s) <= scale {
		s = strings.Repeat("0", scale+1-len(s)) + s
	}
	if scale > 0 {
		s = s[:len(s)-scale] + "." + s[len(s)-scale:]
	}
	if n.Sign() < 0 {
		s = "-" + s
	}
	return s
}

// softDelete marks a row as deleted and keeps its values.
func softDelete(s lake.Schema, r row) change {
	out := row{}
	for _, f := range s.Fields {
		switch {
		case f.Name == "__op":
			out[f.Name] = "d"
		case f.Name == "__deleted":
			out[f.Name] = "true"
		case !f.Nullable || f.Name == "day":
			out[f.Name] = r[f.Name]
		default:
			out[f.Name] = keep{}
		}
	}
	return change{lake.SoftDelete, out}
}

func upserts(from, to int64, version int) []change {
	var out []change
	for id := from; id < to; id++ {
		out = append(out, change{lake.Upsert, everyRow(id, version)})
	}
	return out
}

// story inserts, updates, deletes softly and for good, and brings a key back.
func (m *model) story(ctx context.Context) error {
	schema := m.table.Schema()
	second := append(upserts(90, 130, 2), softDelete(schema, everyRow(3, 1)), softDelete(schema, everyRow(95, 2)))
	third := []change{{lake.Delete, everyRow(5, 3)}, {lake.Delete, everyRow(91, 3)}, {lake.Upsert, everyRow(7, 3)}}
	fourth := append(upserts(5, 6, 4), upserts(200, 204, 4)...)
	for _, c := range [][]change{upserts(0, 100, 1), second, third, fourth} {
		if err := m.commit(ctx, c); err != nil {
			return err
		}
	}
	return m.table.Close(ctx)
}

func writePlain(ctx context.Context, dir string) error {
	m, err := newModel(ctx, dir, lake.Config{
		Database: "shop", Table: "plain", Schema: everything(), KeyFields: []string{"id"}, Precombine: "__seq",
	}, lake.Options{})
	if err != nil {
		return err
	}
	return m.story(ctx)
}

func writeHive(ctx context.Context, dir string) error {
	m, err := newModel(ctx, dir, byDay("hive"), lake.Options{Codec: "zstd"})
	if err != nil {
		return err
	}
	return m.story(ctx)
}

// writeFolders partitions by one column into plain folders, and has rows that
// move from one to another.
func writeFolders(ctx context.Context, dir string) error {
	schema := everything()
	schema.Fields = append(schema.Fields, lake.Field{Name: "city", Type: lake.Simple(lake.String), Nullable: true})
	m, err := newModel(ctx, dir, lake.Config{
		Table: "folders", Schema: schema, KeyFields: []string{"id"}, Precombine: "__seq", PartitionFields: []string{"city"},
	}, lake.Options{Codec: "gzip"})
	if err != nil {
		return err
	}
	cities := []value{"Bern", "San José", "St. John's", nil}
	at := func(c change, n int) change {
		c.row["city"] = cities[n%len(cities)]
		return c
	}
	var first, second []change
	for _, c := range upserts(0, 60, 1) {
		first = append(first, at(c, int(c.row["id"].(int64))))
	}
	for _, c := range upserts(50, 70, 2) {
		second = append(second, at(c, int(c.row["id"].(int64))+1)) // all move on
	}
	if err := m.commit(ctx, first); err != nil {
		return err
	}
	if err := m.commit(ctx, second); err != nil {
		return err
	}
	return m.table.Close(ctx)
}

func writeComposite(ctx context.Context, dir string) error {
	schema := lake.Schema{Fields: []lake.Field{
		{Name: "venue", Type: lake.Simple(lake.String)},
		{Name: "seat", Type: lake.Simple(lake.Int)},
		{Name: "price", Type: lake.DecimalType(12, 4), Nullable: true},
		{Name: "zone", Type: lake.Simple(lake.Int), Nullable: true},
		{Name: "__seq", Type: lake.Simple(lake.String), Nullable: true},
	}}
	m, err := newModel(ctx, dir, lake.Config{
		Database: "shop", Table: "composite", Schema: schema, KeyFields: []string{"venue", "seat"}, Precombine: "__seq",
		PartitionFields: []string{"zone"}, HivePartitions: true,
	}, lake.Options{})
	if err != nil {
		return err
	}
	venues := []string{"Shea Stadium", "a:b,c", "Zürich 東京", `O'Neill "x"`, " lead", "x/y"}
	rows := func(from, to, version int) (out []change) {
		for n := from; n < to; n++ {
			out = append(out, change{lake.Upsert, row{
				"venue": venues[n%len(venues)], "seat": int64(n), "price": unscaled(int64(n*version) * 12345), "zone": int64(n % 3),
			}})
		}
		return out
	}
	for _, c := range [][]change{rows(0, 40, 1), rows(30, 50, 2), {{lake.Delete, rows(4, 5, 3)[0].row}}} {
		if err := m.commit(ctx, c); err != nil {
			return err
		}
	}
	return m.table.Close(ctx)
}

func writeEvolved(ctx context.Context, dir string) error {
	schema := lake.Schema{Fields: []lake.Field{
		{Name: "id", Type: lake.Simple(lake.String)},
		{Name: "n", Type: lake.Simple(lake.Int), Nullable: true},
		{Name: "m", Type: lake.Simple(lake.Int), Nullable: true},
		{Name: "f", Type: lake.Simple(lake.Float), Nullable: true},
		{Name: "__seq", Type: lake.Simple(lake.String), Nullable: true},
	}}
	m, err := newModel(ctx, dir, lake.Config{
		Database: "shop", Table: "evolved", Schema: schema, KeyFields: []string{"id"}, Precombine: "__seq",
	}, lake.Options{MaxFileRows: 20})
	if err != nil {
		return err
	}
	rows := func(from, to int, more row) (out []change) {
		for n := from; n < to; n++ {
			r := row{"id": fmt.Sprintf("key-%03d", n), "n": int64(n), "m": int64(-n), "f": float64(n) / 4}
			for k, v := range more {
				r[k] = v
			}
			out = append(out, change{lake.Upsert, r})
		}
		return out
	}
	if err := m.commit(ctx, rows(0, 50, nil)); err != nil {
		return err
	}
	wider := lake.Schema{Fields: []lake.Field{
		{Name: "n", Type: lake.Simple(lake.Long), Nullable: true},
		{Name: "m", Type: lake.Simple(lake.Double), Nullable: true},
		{Name: "f", Type: lake.Simple(lake.Double), Nullable: true},
		{Name: "added", Type: lake.Simple(lake.TimestampMicros), Nullable: true},
	}}
	if _, err := m.table.Evolve(wider); err != nil {
		return err
	}
	if err := m.commit(ctx, rows(40, 60, row{"n": int64(1) << 40, "m": 0.1, "f": 1e300, "added": int64(1_700_000_000_123_456)})); err != nil {
		return err
	}
	if _, err := m.table.Evolve(lake.Schema{Fields: []lake.Field{{Name: "price", Type: lake.DecimalType(6, 2)}}}); err != nil {
		return err
	}
	if err := m.commit(ctx, rows(58, 62, row{"price": unscaled(-12345)})); err != nil {
		return err
	}
	return m.table.Close(ctx)
}

// writeGroups has many file groups, and one with several row groups, of which
// later commits change one and copy the others as bytes.
func writeGroups(ctx context.Context, dir string) error {
	schema := lake.Schema{Fields: []lake.Field{
		{Name: "id", Type: lake.Simple(lake.Long)},
		{Name: "qty", Type: lake.Simple(lake.Int), Nullable: true},
		{Name: "note", Type: lake.Simple(lake.String), Nullable: true},
		{Name: "__seq", Type: lake.Simple(lake.String), Nullable: true},
	}}
	m, err := newModel(ctx, dir, lake.Config{
		Database: "shop", Table: "groups", Schema: schema, KeyFields: []string{"id"}, Precombine: "__seq",
	}, lake.Options{MaxFileRows: 24_000})
	if err != nil {
		return err
	}
	rows := func(from, to, step int) (out []change) {
		for n := from; n < to; n += step {
			out = append(out, change{lake.Upsert, row{"id": int64(n), "qty": int64(n % 8), "note": fmt.Sprint("note ", n%50)}})
		}
		return out
	}
	for _, c := range [][]change{rows(0, 26_000, 1), rows(100, 110, 1), rows(20_500, 20_520, 5)} {
		if err := m.commit(ctx, c); err != nil {
			return err
		}
	}
	return m.table.Close(ctx)
}

// writeHealed has a commit that stopped half way, and was rolled back by the
// next writer.
func writeHealed(ctx context.Context, dir string) error {
	inner, err := blob.NewDir(dir)
	if err != nil {
		return err
	}
	store := blob.NewFault(inner)
	cfg := byDay("healed")
	m, err := newModelIn(ctx, dir, store, cfg, lake.Options{LockValidity: time.Second})
	if err != nil {
		return err
	}
	if err := m.commit(ctx, upserts(0, 50, 1)); err != nil {
		return err
	}
	if err := m.table.Close(ctx); err != nil {
		return err
	}
	dead := &model{dir: m.dir, table: m.table, rows: map[string]row{}, seq: m.seq}
	store.StopAfter(8, false)
	if err := dead.commit(ctx, upserts(0, 20, 2)); !errors.Is(err, blob.ErrStopped) {
		return fmt.Errorf("the commit was to stop half way: %w", err)
	}
	store.StopAfter(1<<30, false)
	time.Sleep(2 * time.Second) // the dead writer's lease expires
	if m.table, err = lake.Open(ctx, store, "table", lake.Options{}); err != nil {
		return err
	}
	if err := m.commit(ctx, upserts(10, 60, 3)); err != nil {
		return err
	}
	if len(m.table.Timeline().All()) != 3 {
		return fmt.Errorf("no rollback on the timeline: %v", m.table.Timeline().All())
	}
	return m.table.Close(ctx)
}
