package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"
	"tributary/internal/pipeline"
	"tributary/internal/testdb"
	"tributary/internal/tickit"
)

// summary compares the lake with the databases and shows the figures.
func (d *demo) summary(ctx context.Context) error {
	// While the daemons still stream: afterwards there would be nothing to see.
	memory, err := d.memory()
	if err != nil {
		return err
	}
	d.progress("  comparing every value of the lake with the databases")
	if d.checks, err = d.p.Check(ctx); err != nil {
		return err
	}
	d.title("Every row, in the databases and in the lake")
	d.block(d.checkTable())
	hops, err := d.hops(ctx)
	if err != nil {
		return err
	}
	d.title("What each hop holds")
	d.block(hops)
	d.title("How fast")
	rate := int(float64(d.data.Total()) / d.loadTime.Seconds())
	d.say("    load       %s rows in %.1f s from the first row read to the last one queryable: %s rows/s",
		number(d.data.Total()), d.loadTime.Seconds(), number(rate))
	d.block(d.freshness())
	d.say("    (SQL Server itself captures each 5 s by default; its model does at once.)")
	d.title("What the daemons take")
	d.block(memory)
	return nil
}

// freshness tells how long changes took, all of them and by database.
func (d *demo) freshness() string {
	var rows [][]string
	add := func(what string, server *testdb.Server) {
		var commits, queries []time.Duration
		for i, x := range d.delays {
			if s, _ := d.p.Server(d.changes[i].Table); server == nil || s == server {
				commits, queries = append(commits, x.Commit), append(queries, x.Query)
			}
		}
		commit, lastCommit := pipeline.Middle(commits)
		query, lastQuery := pipeline.Middle(queries)
		rows = append(rows, []string{what, number(len(commits)), seconds(commit), seconds(lastCommit), seconds(query), seconds(lastQuery)})
	}
	for _, s := range d.p.Databases() {
		add(string(s.Kind), s)
	}
	add("together", nil)
	return table([]string{"a change's way", "changes>", "committed (p50)>", "at most>", "in an answer (p50)>", "at most>"}, rows)
}

func seconds(t time.Duration) string { return fmt.Sprintf("%.2f s", t.Seconds()) }

func (d *demo) checkTable() string {
	var rows [][]string
	var source, inLake int
	for _, c := range d.checks {
		server, _ := d.p.Server(c.Table)
		verdict := "equal"
		if !c.Equal() {
			verdict = "DIFFERENT: " + c.Lake.String()[:12] + " in the lake"
		}
		rows = append(rows, []string{
			c.Table.FullName(), string(server.Kind), number(c.Source.Rows), number(c.Lake.Rows), c.Source.String()[:12], verdict,
		})
		source += c.Source.Rows
		inLake += c.Lake.Rows
	}
	rows = append(rows, []string{"together", "", number(source), number(inLake), "", ""})
	return table([]string{"table", "database", "rows there>", "in the lake>", "checksum", "over all columns"}, rows)
}

func (d *demo) hops(ctx context.Context) (string, error) {
	var text int64
	for _, c := range d.checks {
		text += c.Source.Bytes
	}
	rows := [][]string{{"the databases' rows, as text", "", megabytes(text)}}
	add := func(what, dir, pattern string) error {
		files, size, err := pipeline.FolderSize(dir, pattern)
		rows = append(rows, []string{what, number(files), megabytes(size)})
		return err
	}
	if err := add("Kafka topics", filepath.Join(d.dir, "kafka"), "*"); err != nil {
		return "", err
	}
	if err := add("bronze: Avro files", filepath.Join(d.p.Lake(), "bronze"), "*.avro"); err != nil {
		return "", err
	}
	var files int
	var newest int64
	for _, t := range tickit.Tables() {
		inLake, err := d.watcher.Table(ctx, t.Name)
		if err != nil {
			return "", err
		}
		snapshot, err := inLake.AsOf(ctx, "")
		if err != nil {
			return "", err
		}
		for _, f := range snapshot.Files() {
			files++
			newest += f.Size
		}
	}
	rows = append(rows, []string{"silver: the tables as of now", number(files), megabytes(newest)})
	if err := add("silver: with all of their past", filepath.Join(d.p.Lake(), "silver"), "*.parquet"); err != nil {
		return "", err
	}
	return table([]string{"", "files>", "size>"}, rows), nil
}

func (d *demo) memory() (string, error) {
	var rows [][]string
	for _, x := range append(d.p.Daemons(), d.p.Broker, d.p.Registry) {
		now, peak, err := x.Memory()
		if err != nil {
			return "", fmt.Errorf("memory of %s: %w", x.Name, err)
		}
		rows = append(rows, []string{x.Name, megabytes(now), megabytes(peak)})
	}
	now, peak, err := pipeline.Memory(d.p.SQLServer.Pid())
	if err != nil {
		return "", fmt.Errorf("memory of the model of SQL Server: %w", err)
	}
	rows = append(rows, []string{"(the model of SQL Server)", megabytes(now), megabytes(peak)})
	return table([]string{"", "memory while streaming>", "highest, in the load>"}, rows), nil
}
