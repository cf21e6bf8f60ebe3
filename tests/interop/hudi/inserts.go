package main

import (
	"context"
	"fmt"

	"tributary/lake"
)

// writeInserted is loaded by bulk inserts, goes on by inserts, which fill small
// files, and then by upserts.
func writeInserted(ctx context.Context, dir string) error {
	m, err := newModel(ctx, dir, lake.Config{
		Database: "shop", Table: "inserted", Schema: everything(), KeyFields: []string{"id"}, Precombine: "__seq",
		PartitionFields: []string{"day"}, HivePartitions: true,
	}, lake.Options{MaxFileRows: 8})
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
