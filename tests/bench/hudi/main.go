// Command hudi measures deltastreamer as a process beside a real Spark with Hudi:
// both read the same Avro files and make the same copy-on-write tables of them.
//
// The wall time of each is that of the whole process, its start included, which
// for Spark is told apart. Afterwards both tables are counted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"

	"tributary/lake"
	"tributary/lake/blob"
)

type options struct {
	streamer, python, script, dir string
	rows, small                   int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flag.StringVar(&o.streamer, "deltastreamer", "", "the program")
	flag.StringVar(&o.python, "python", "", "Python with pyspark; none: deltastreamer alone")
	flag.StringVar(&o.script, "script", "", "hudi-check/bench/spark_write.py")
	flag.StringVar(&o.dir, "dir", "", "folder for data and tables; what it held is removed")
	flag.IntVar(&o.rows, "rows", 1_000_000, "rows of the large table")
	flag.IntVar(&o.small, "small", 172_456, "rows of the small table")
	flag.Parse()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// step is one write into a table.
type step struct {
	name  string
	table string
	op    string
	rows  rows
	goal  float64 // seconds of the whole process, 0 = none
	total int     // rows of the table after it
}

func steps(o options) []step {
	return []step{
		{"bulk insert", "large", "bulk_insert", rows{n: o.rows, step: 1}, 1.2, o.rows},
		{"upsert of 1%, any keys", "large", "upsert", rows{n: o.rows / 100, step: 100, version: 1}, 1.0, o.rows},
		{"upsert of 1%, recent keys", "large", "upsert", rows{from: o.rows - o.rows/100, n: o.rows / 100, step: 1, version: 2}, 0.3, o.rows},
		{"bulk insert", "small", "bulk_insert", rows{n: o.small, step: 1}, 0, o.small},
		{"upsert of all", "small", "upsert", rows{n: o.small, step: 1, version: 1}, 0, o.small},
	}
}

func run(ctx context.Context, o options) error {
	if o.streamer == "" || o.dir == "" {
		return errors.New("-deltastreamer and -dir are needed")
	}
	if err := errors.Join(os.RemoveAll(o.dir), os.MkdirAll(filepath.Join(o.dir, "tmp"), 0o755)); err != nil {
		return err
	}
	t := tabwriter.NewWriter(os.Stdout, 2, 0, 1, ' ', 0)
	write := func(cells ...string) { fmt.Fprintln(t, "| "+strings.Join(cells, "\t| ")+"\t|") } // as Markdown has it
	write("what", "rows", "ours, s", "CPU s", "MB", "Spark, s", "of it start", "CPU s", "MB", "ratio", "goal")
	write("---", "---", "---", "---", "---", "---", "---", "---", "---", "---", "---")
	offsets := map[string]int{}
	for i, s := range steps(o) {
		input := filepath.Join(o.dir, fmt.Sprintf("avro-%d", i))
		if err := s.rows.write(ctx, input, s.table, offsets[s.table]); err != nil {
			return fmt.Errorf("write the rows: %w", err)
		}
		offsets[s.table] += s.rows.n
		ours, err := o.ours(ctx, s, input)
		if err != nil {
			return fmt.Errorf("%s %s by deltastreamer: %w", s.table, s.name, err)
		}
		line := []string{s.name + ", " + s.table, fmt.Sprint(s.rows.n), fmt.Sprintf("%.2f", ours.wall), fmt.Sprintf("%.2f", ours.cpu), fmt.Sprintf("%.0f", ours.memory), "-", "-", "-", "-", "-", "-"}
		if o.python != "" {
			spark, err := o.spark(ctx, s, input)
			if err != nil {
				return fmt.Errorf("%s %s by Spark: %w", s.table, s.name, err)
			}
			line = append(line[:5], fmt.Sprintf("%.2f", spark.wall), fmt.Sprintf("%.2f", spark.start), fmt.Sprintf("%.1f", spark.cpu), fmt.Sprintf("%.0f", spark.memory),
				fmt.Sprintf("%.0f times quicker", spark.wall/ours.wall), "-")
		}
		if s.goal > 0 {
			word := "missed"
			if ours.wall <= s.goal {
				word = "met"
			}
			line[10] = fmt.Sprintf("%.1f s %s", s.goal, word)
		}
		write(line...)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return o.count(ctx)
}

// count holds the tables against each other and against what they are to have.
func (o options) count(ctx context.Context) error {
	store, err := blob.NewDir(o.dir)
	if err != nil {
		return err
	}
	want := map[string]int{"large": o.rows, "small": o.small}
	makers := []string{"ours"}
	if o.python != "" {
		makers = append(makers, "spark")
	}
	for name, n := range want {
		for _, maker := range makers {
			table, err := lake.Open(ctx, store, maker+"/"+name, lake.Options{})
			if err != nil {
				return err
			}
			now, err := table.AsOf(ctx, "")
			if err != nil {
				return err
			}
			if now.Rows() != int64(n) {
				return fmt.Errorf("table %s of %s has %d rows, want %d", name, maker, now.Rows(), n)
			}
		}
	}
	fmt.Println("the tables of both have as many rows as they should")
	return nil
}
