package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"tributary/internal/fault"
	"tributary/internal/topic"
	"tributary/lake/bronze"
)

// check connects to everything and tells what run would do.
func check(ctx context.Context, o *options, log *slog.Logger) (string, error) {
	var out strings.Builder
	store, err := o.openStore(ctx)
	if err == nil {
		if c, ok := store.(checker); ok {
			err = c.Check(ctx, o.TopicsDir)
		}
	}
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&out, "store      %s, writable, honours conditions\n", o.where())
	if err := o.checkRegistry(ctx, log); err != nil {
		return out.String(), err
	}
	fmt.Fprintf(&out, "registry   answers\n")
	admin, err := topic.NewAdmin(ctx, o.Options, log)
	if err != nil {
		return out.String(), err
	}
	defer admin.Close()
	fmt.Fprintf(&out, "kafka      %s\n", strings.Join(o.Brokers, ", "))
	if err := o.describeTopics(ctx, admin, &out); err != nil {
		return out.String(), err
	}
	folders, err := bronze.NewPartitioner(o.Partitioner, o.zone)
	if err != nil {
		return out.String(), err
	}
	folder, _, _ := folders.Folder(0, time.Now().UnixMilli())
	name := bronze.Name{Topic: "TOPIC", Folder: folder}
	fmt.Fprintf(&out, "objects    such as %s\n", name.Key(o.TopicsDir))
	fmt.Fprintf(&out, "put after  %s\n", o.rotation())
	return out.String(), nil
}

func (o *options) describeTopics(ctx context.Context, admin *topic.Admin, out *strings.Builder) error {
	committed, err := admin.Committed(ctx, o.Group)
	if fault.NeedsHuman(err) {
		return err
	}
	// Any other error: some brokers do not know a group that never committed.
	if o.Regex != "" {
		fmt.Fprintf(out, "topics     those that match %s\n", o.Regex)
	} else {
		ends, err := admin.End(ctx, o.Topics...)
		if err != nil {
			return err
		}
		for _, id := range slices.SortedFunc(maps.Keys(ends), byName) {
			next, ok := committed[id]
			if !ok || next < 0 {
				fmt.Fprintf(out, "topic      %s partition %d: nothing read yet, ends at %d\n", id.Topic, id.ID, ends[id])
				continue
			}
			fmt.Fprintf(out, "topic      %s partition %d: read up to %d of %d\n", id.Topic, id.ID, next, ends[id])
		}
	}
	return nil
}

func byName(a, b topic.Partition) int {
	if c := strings.Compare(a.Topic, b.Topic); c != 0 {
		return c
	}
	return int(a.ID) - int(b.ID)
}

func (o *options) where() string {
	if o.Store.Local() {
		return o.Store.URL
	}
	if o.Store.URL == "" {
		return "s3://" + o.Store.Bucket
	}
	return "s3://" + o.Store.Bucket + " at " + o.Store.URL
}

// rotation says in words when files are put.
func (o *options) rotation() string {
	parts := []string{fmt.Sprintf("%d records or %d bytes of a partition", o.FlushSize, o.FlushBytes)}
	if o.RotateSchedule > 0 {
		parts = append(parts, fmt.Sprintf("every full %v of the clock", o.RotateSchedule))
	}
	if o.RotateInterval > 0 {
		parts = append(parts, fmt.Sprintf("a record %v after the first one", o.RotateInterval))
	}
	if o.RotateIdle > 0 {
		parts = append(parts, fmt.Sprintf("%v without a record", o.RotateIdle))
	}
	return strings.Join(parts, ", or ")
}
