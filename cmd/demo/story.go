package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"tributary/internal/pipeline"
	"tributary/internal/tickit"
	"tributary/lake"
	"tributary/lake/blob"
	"tributary/lake/bronze"
)

const (
	saleQuery = "SELECT salesid, qtysold, pricepaid, __op, __deleted FROM sale WHERE salesid = 200"
	saleTopic = "tickit.ecomm.sale"
)

// story follows sale 200 from MySQL into the lake, through its deletion, and
// back in time.
func (d *demo) story(ctx context.Context) error {
	sale, err := d.watcher.Table(ctx, "sale")
	if err != nil {
		return err
	}
	loaded := sale.Timeline().Newest()

	d.title("1. A row changes in MySQL")
	d.say("  An ordinary statement: the application knows nothing of what follows.")
	change := pipeline.Change{
		Table: saleTable(), SQL: "UPDATE sale SET qtysold = qtysold + 1, pricepaid = 4242.42 WHERE salesid = 200",
		Where: "salesid = 200 AND pricepaid = 4242.42",
	}
	d.block(change.SQL)
	_, updated, err := d.p.Measure(ctx, d.watcher, change)
	if err != nil {
		return err
	}
	if err := d.tellEvent(ctx); err != nil {
		return err
	}
	if err := d.tellBronze(ctx); err != nil {
		return err
	}
	if err := d.tellCommit(ctx, sale, updated); err != nil {
		return err
	}

	d.title("5. lakeq sees it")
	d.say("  SQL over the newest files of the table (Spark, Trino and Athena read the same ones).")
	if err := d.ask(ctx, ""); err != nil {
		return err
	}

	d.title("6. The row is deleted in MySQL")
	d.say("  The lake marks it as deleted and keeps it: the history is what it is for.")
	gone := pipeline.Change{
		Table: saleTable(), SQL: "DELETE FROM sale WHERE salesid = 200", Where: "salesid = 200 AND __deleted = 'true'",
	}
	d.block(gone.SQL)
	if _, _, err := d.p.Measure(ctx, d.watcher, gone); err != nil {
		return err
	}
	if err := d.ask(ctx, ""); err != nil {
		return err
	}

	d.title("7. The same question, as of two moments before")
	d.say("  With --as-of a query sees the table as it was: after the update, and before it.")
	if err := d.ask(ctx, updated); err != nil {
		return err
	}
	return d.ask(ctx, loaded.Time)
}

func saleTable() tickit.Table {
	for _, t := range tickit.Tables() {
		if t.Name == "sale" {
			return t
		}
	}
	return tickit.Table{}
}

// tellEvent shows the change as it lies in Kafka.
func (d *demo) tellEvent(ctx context.Context) error {
	events, err := d.p.Events(ctx, saleTopic, 8)
	if err != nil {
		return err
	}
	for i := len(events) - 1; i >= 0; i-- {
		e := events[i]
		if pipeline.Get(e.Key, "salesid") != "200" {
			continue
		}
		d.title("2. cdc-source reads the change in MySQL's log and writes it to Kafka")
		d.say("  The row as it is now, and after it what happened (__op u: an update) and where in the log.")
		d.say("    topic %s, offset %d: %d bytes of Avro, schema %d in the registry", e.Topic, e.Offset, e.Size, e.SchemaID)
		line := ""
		for _, f := range e.Value {
			word := f.Name + "=" + f.Value
			if len(line)+len(word) > 88 {
				d.block(line)
				line = ""
			}
			line += word + "  "
		}
		d.block(line)
		return nil
	}
	return fmt.Errorf("no event of sale 200 at the end of %s", saleTopic)
}

// tellBronze shows the object that the event went into.
func (d *demo) tellBronze(ctx context.Context) error {
	store, err := blob.NewDir(filepath.Join(d.p.Lake(), "bronze"))
	if err != nil {
		return err
	}
	var last bronze.Info
	for info, err := range bronze.List(ctx, store, bronze.DefaultRoot, saleTopic, nil) {
		if err != nil {
			return err
		}
		if info.First >= last.First {
			last = info
		}
	}
	object, err := bronze.Open(ctx, store, last.Key)
	if err != nil {
		return err
	}
	defer func() { _ = object.Close() }()
	d.title("3. s3-sink copies it into bronze, in a folder for the day")
	d.say("  Bronze keeps every change as it came, in Avro files that are never touched again.")
	d.block("bronze/" + last.Key)
	d.say("    offsets %d to %d, %s, %s bytes", object.First, object.Last, plural(object.Records, "record"), number(last.Size))
	return nil
}

// tellCommit shows the Hudi commit that brought the change.
func (d *demo) tellCommit(ctx context.Context, sale *lake.Table, instant string) error {
	if err := sale.Refresh(ctx); err != nil {
		return err
	}
	commit, err := sale.Commit(ctx, lake.Instant{Time: instant, Action: lake.ActionCommit, State: lake.StateCompleted})
	if err != nil {
		return err
	}
	d.title("4. deltastreamer merges it into the Hudi table")
	d.say("  A commit names the files that are new with it; those of before stay for whoever looks back.")
	d.block(strings.TrimPrefix(sale.Base()+"/.hoodie/"+instant+".commit", "/"))
	for _, stats := range commit.Stats {
		for _, s := range stats {
			d.say("    %s: %s rows, %d changed", s.Path, number(s.NumWrites), s.NumUpdates)
		}
	}
	return nil
}

// ask puts the question about sale 200 and shows command and answer.
func (d *demo) ask(ctx context.Context, asOf string) error {
	command := "lakeq sql '" + saleQuery + "'"
	if asOf != "" {
		command = "lakeq sql --as-of " + asOf + " '" + saleQuery + "'"
	}
	answer, err := d.p.Table(ctx, saleQuery, asOf)
	if err != nil {
		return err
	}
	d.block("$ " + command)
	d.block(answer)
	return nil
}

func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return number(n) + " " + what + "s"
}
