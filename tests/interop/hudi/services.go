package main

import (
	"context"
	"fmt"
	"path/filepath"

	"tributary/lake"
)

// writeServiced has been clustered, cleaned and archived, and has a savepoint.
func writeServiced(ctx context.Context, dir string) error {
	m, err := newModel(ctx, dir, byDay("serviced"), lake.Options{MaxFileRows: 6})
	if err != nil {
		return err
	}
	for n := range 9 {
		if err := m.commit(ctx, upserts(int64(10*n), int64(10*n+15), n+1)); err != nil {
			return err
		}
	}
	if err := m.reopen(ctx); err != nil { // a writer that likes larger files goes on
		return err
	}
	clustered, err := m.table.Cluster(ctx, lake.Clustering{MinFiles: 2})
	if err != nil || clustered.IsZero() {
		return fmt.Errorf("cluster: %v, %w", clustered, err)
	}
	if err := m.expectAt(clustered); err != nil {
		return err
	}
	for n := range 3 {
		if err := m.commit(ctx, upserts(int64(20*n), int64(20*n+5), 20+n)); err != nil {
			return err
		}
	}
	if _, err := m.table.Clean(ctx, lake.Retention{Commits: 4}); err != nil {
		return fmt.Errorf("clean: %w", err)
	}
	if n, err := m.table.Archive(ctx, 4, 5); err != nil || n == 0 {
		return fmt.Errorf("archive: %d, %w", n, err)
	}
	if err := m.table.Savepoint(ctx, m.table.Timeline().Newest().Time, "interop", "before the last commit"); err != nil {
		return fmt.Errorf("savepoint: %w", err)
	}
	if err := m.commit(ctx, upserts(7, 9, 30)); err != nil {
		return err
	}
	return m.table.Close(ctx)
}

// writeReplaced has partitions that were overwritten and one that was deleted.
func writeReplaced(ctx context.Context, dir string) error {
	m, err := newModel(ctx, dir, byDay("replaced"), lake.Options{})
	if err != nil {
		return err
	}
	if err := m.commit(ctx, upserts(0, 60, 1)); err != nil {
		return err
	}
	day := func(id int64) value { return everyRow(id, 1)["day"] }
	drop := func(days ...value) {
		for k, r := range m.rows {
			for _, d := range days {
				if r["day"] == d {
					delete(m.rows, k)
				}
			}
		}
	}
	drop(day(2)) // the partition of ids 2, 7, 12…
	rows, err := m.batch([]change{{lake.Upsert, everyRow(2, 2)}, {lake.Upsert, everyRow(102, 2)}})
	if err != nil {
		return err
	}
	i, err := m.table.InsertOverwrite(ctx, rows, false, nil)
	if err != nil {
		return fmt.Errorf("insert_overwrite: %w", err)
	}
	if err := m.expectAt(i); err != nil {
		return err
	}
	drop(day(4))
	if i, err = m.table.DeletePartitions(ctx, []string{"day=" + fmt.Sprint(jsonValue(lake.Simple(lake.Date), day(4)))}, nil); err != nil {
		return fmt.Errorf("delete_partition: %w", err)
	}
	if err := m.expectAt(i); err != nil {
		return err
	}
	if err := m.commit(ctx, upserts(1, 4, 3)); err != nil {
		return err
	}
	return m.table.Close(ctx)
}

// writeEncoded has partition values that mean something in a path.
func writeEncoded(ctx context.Context, dir string) error {
	schema := everything()
	schema.Fields = append(schema.Fields, lake.Field{Name: "city", Type: lake.Simple(lake.String), Nullable: true})
	m, err := newModel(ctx, dir, lake.Config{
		Table: "encoded", Schema: schema, KeyFields: []string{"id"}, Precombine: "__seq",
		PartitionFields: []string{"city"}, HivePartitions: true, URLEncode: true,
	}, lake.Options{})
	if err != nil {
		return err
	}
	cities := []value{"a/b", "50% off", "k=v:w", "plain", nil}
	for n := range 2 {
		list := upserts(int64(20*n), int64(20*n+30), n+1)
		for _, c := range list {
			c.row["city"] = cities[c.row["id"].(int64)%int64(len(cities))]
		}
		if err := m.commit(ctx, list); err != nil {
			return err
		}
	}
	return m.table.Close(ctx)
}

func (m *model) expectAt(i lake.Instant) error {
	return m.expect(filepath.Join(m.dir, "expected", i.Time+".jsonl"))
}
