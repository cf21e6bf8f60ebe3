package main

import (
	"context"
	"fmt"
	"time"

	"tributary/lake"
)

// writeDated has partitions made of a text that holds a date and a time.
func writeDated(ctx context.Context, dir string) error {
	return writeByTime(ctx, dir, lake.Simple(lake.String), &lake.TimePartition{
		Type: "DATE_STRING", InputFormats: []string{"yyyy-MM-dd HH:mm:ss", "yyyy-MM-dd"}, Output: "yyyy-MM-dd",
	}, func(at time.Time) value { return at.Format(time.DateTime) })
}

// writeTimed has partitions made of a number of milliseconds. Hudi 0.15.0 wants
// numbers in the paths then.
func writeTimed(ctx context.Context, dir string) error {
	return writeByTime(ctx, dir, lake.Simple(lake.Long), &lake.TimePartition{
		Type: "EPOCHMILLISECONDS", Output: "yyyyMMdd",
	}, func(at time.Time) value { return at.UnixMilli() })
}

// writeByTime partitions by the column made, which holds a moment as the type and
// the func have it. Rows move from partition to partition.
func writeByTime(ctx context.Context, dir string, typ lake.Type, by *lake.TimePartition, form func(time.Time) value) error {
	schema := everything()
	schema.Fields = append(schema.Fields, lake.Field{Name: "made", Type: typ, Nullable: true})
	m, err := newModel(ctx, dir, lake.Config{
		Database: "shop", Table: "timed", Schema: schema, KeyFields: []string{"id"}, Precombine: "__seq",
		PartitionFields: []string{"made"}, HivePartitions: true, PartitionTime: by,
	}, lake.Options{})
	if err != nil {
		return err
	}
	m.hidden = map[string]bool{"made": true}
	rows := func(from, to int64, version int) []change {
		list := upserts(from, to, version)
		for _, c := range list {
			id := c.row["id"].(int64)
			at := time.Date(2008, 2, 18+int(id+int64(version)/3)%3, int(id)%24, 30, 15, 0, time.UTC)
			if c.row["made"] = form(at); id%10 == 9 {
				c.row["made"] = nil
			}
		}
		return list
	}
	for n, c := range [][]change{rows(0, 60, 1), rows(40, 80, 2), {{lake.Delete, rows(5, 6, 3)[0].row}}, rows(10, 30, 4)} {
		if err := m.commit(ctx, c); err != nil {
			return fmt.Errorf("commit %d: %w", n, err)
		}
	}
	return m.table.Close(ctx)
}
