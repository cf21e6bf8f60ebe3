package main

import (
	"context"
	"fmt"

	"tributary/lake"
)

// writeInserted is loaded by bulk inserts, goes on by inserts, which fill small
// files, and then by upserts.
func writeInserted(ctx context.Context, dir string) error {
	m, err := newModel(ctx, dir, byDay("inserted"), lake.Options{MaxFileRows: 8})
	if err != nil {
		return err
	}
	for n, how := range []lake.Insertion{{Bulk: true}, {Bulk: true}, {}, {Combine: true}} {
		rows, err := m.batch(upserts(int64(30*n), int64(30*n+30), 1))
		if err != nil {
			return err
		}
		i, err := m.table.Insert(ctx, rows, how, nil)
		if err != nil {
			return fmt.Errorf("insert: %w", err)
		}
		if err := m.expectAt(i); err != nil {
			return err
		}
	}
	if err := m.commit(ctx, append(upserts(25, 65, 2), change{lake.Delete, everyRow(91, 2)})); err != nil {
		return err
	}
	return m.table.Close(ctx)
}

// writeLevels has one key field and several partition fields, where versions of
// Hudi differ in how they write the key.
func writeLevels(ctx context.Context, dir string) error {
	m, err := newModel(ctx, dir, lake.Config{
		Database: "shop", Table: "levels", Schema: everything(), KeyFields: []string{"id"}, Precombine: "__seq",
		PartitionFields: []string{"day", "flag"}, HivePartitions: true,
	}, lake.Options{})
	if err != nil {
		return err
	}
	rows := func(from, to int64, version int) []change {
		list := upserts(from, to, version)
		for _, c := range list {
			c.row["flag"] = c.row["id"].(int64) & 1
		}
		return list
	}
	for _, c := range [][]change{rows(0, 60, 1), rows(40, 80, 2), {{lake.Delete, rows(5, 6, 3)[0].row}}} {
		if err := m.commit(ctx, c); err != nil {
			return err
		}
	}
	return m.table.Close(ctx)
}

// writePromoted has columns that became wider, some of them text, in files of
// before and after.
func writePromoted(ctx context.Context, dir string) error {
	nullable := func(name string, t lake.Type) lake.Field { return lake.Field{Name: name, Type: t, Nullable: true} }
	m, err := newModel(ctx, dir, lake.Config{
		Database: "shop", Table: "promoted", KeyFields: []string{"id"}, Precombine: "__seq",
		Schema: lake.Schema{Fields: []lake.Field{
			{Name: "id", Type: lake.Simple(lake.Long)},
			nullable("i2f", lake.Simple(lake.Int)), nullable("i2s", lake.Simple(lake.Int)), nullable("l2d", lake.Simple(lake.Long)),
			nullable("p2p", lake.DecimalType(8, 2)), nullable("p2q", lake.DecimalType(8, 2)), nullable("p2s", lake.DecimalType(8, 2)), nullable("day2s", lake.Simple(lake.Date)),
			nullable("l2s", lake.Simple(lake.Long)), nullable("d2s", lake.Simple(lake.Double)), nullable("s2b", lake.Simple(lake.String)),
			nullable("__seq", lake.Simple(lake.String)),
		}},
	}, lake.Options{MaxFileRows: 20})
	if err != nil {
		return err
	}
	var old []change
	for n := range int64(50) {
		old = append(old, change{lake.Upsert, row{"id": n, "i2f": n, "i2s": -n, "l2d": n << 20, "l2s": n << 40, "p2p": unscaled(n - 25), "p2q": unscaled(n - 25), "p2s": unscaled(n - 25), "day2s": int64(13927), "d2s": float64(n) + 0.5, "s2b": fmt.Sprint("b", n)}})
	}
	if err := m.commit(ctx, old); err != nil {
		return err
	}
	if _, err := m.table.Evolve(lake.Schema{Fields: []lake.Field{
		nullable("i2f", lake.Simple(lake.Float)), nullable("i2s", lake.Simple(lake.String)), nullable("l2d", lake.Simple(lake.Double)),
		nullable("p2p", lake.DecimalType(12, 2)), nullable("p2q", lake.DecimalType(20, 5)), nullable("p2s", lake.Simple(lake.String)), nullable("day2s", lake.Simple(lake.String)),
		nullable("l2s", lake.Simple(lake.String)), nullable("d2s", lake.Simple(lake.String)), nullable("s2b", lake.Simple(lake.Bytes)),
	}}); err != nil {
		return err
	}
	for _, r := range m.rows {
		r["p2q"], r["p2s"], r["day2s"] = unscaled((r["id"].(int64)-25)*1000), decimalText(r["p2s"].([]byte), 2), "2008-02-18"
		r["i2f"], r["l2d"] = float64(r["i2f"].(int64)), float64(r["l2d"].(int64))
		r["i2s"], r["l2s"], r["d2s"] = fmt.Sprint(r["i2s"]), fmt.Sprint(r["l2s"]), fmt.Sprint(r["d2s"])
		r["s2b"] = []byte(r["s2b"].(string))
	}
	var next []change
	for n := int64(45); n < 55; n++ {
		next = append(next, change{lake.Upsert, row{"id": n, "i2f": 0.25, "i2s": "text", "l2d": 1e300, "l2s": "", "p2p": unscaled(1 << 34), "p2q": unscaled(-1), "p2s": "1.5", "day2s": "soon", "d2s": "x", "s2b": []byte{0, 0xff}}})
	}
	if err := m.commit(ctx, next); err != nil {
		return err
	}
	if err := m.commit(ctx, next[:3]); err != nil {
		return err
	}
	// hudi-rs reads the first instant with the types of the last, so that it is
	// taken away.
	if _, err := m.table.Clean(ctx, lake.Retention{Commits: 1}); err != nil {
		return fmt.Errorf("clean: %w", err)
	}
	return m.table.Close(ctx)
}
