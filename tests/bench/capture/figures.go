package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
)

// metric is one of the figures.
type metric int

const (
	firstRecord metric = iota
	snapshotRate
	snapshotWhole
	snapshotCPU
	snapshotMemory
	logRate
	logWhole
	logCPU
	catchUpMemory
	p50At200
	p99At200
	p50At1000
	p99At1000
	idleMemory
	streamMemory
	metrics
)

// goal is what a figure is to be: at least or at most some value, and so many
// times the other's, or such a part of the floor.
type goal struct {
	atLeast, atMost float64
	times           float64
	ofFloor         float64
}

// about says of each metric how it is printed and what is better.
var about = [metrics]struct {
	name   string
	unit   string
	digits int
	more   bool // more is better
}{
	firstRecord:    {"start to first record", "s", 2, false},
	snapshotRate:   {"snapshot, from the first record on", "rows/s", 0, true},
	snapshotWhole:  {"snapshot, from the start on", "rows/s", 0, true},
	snapshotCPU:    {"snapshot, CPU time per million rows", "s", 1, false},
	snapshotMemory: {"snapshot, memory", "MB", 0, false},
	logRate:        {"log, from the first record on", "changes/s", 0, true},
	logWhole:       {"log, from the start on", "changes/s", 0, true},
	logCPU:         {"log, CPU time per million changes", "s", 1, false},
	catchUpMemory:  {"log, memory", "MB", 0, false},
	p50At200:       {"commit to consumer, 200/s, p50", "ms", 1, false},
	p99At200:       {"commit to consumer, 200/s, p99", "ms", 1, false},
	p50At1000:      {"commit to consumer, 1,000/s, p50", "ms", 1, false},
	p99At1000:      {"commit to consumer, 1,000/s, p99", "ms", 1, false},
	idleMemory:     {"idle, memory", "MB", 0, false},
	streamMemory:   {"1,000 changes/s, memory", "MB", 0, false},
}

func goals(database string) map[metric]goal {
	out := map[metric]goal{
		firstRecord:    {atMost: 0.5},
		snapshotRate:   {atLeast: 200_000, times: 5},
		snapshotMemory: {atMost: 128},
		logRate:        {times: 4, ofFloor: 0.8},
		p50At1000:      {atMost: 5},
		p99At1000:      {atMost: 20},
		catchUpMemory:  {atMost: 64},
		streamMemory:   {atMost: 64},
	}
	if database != "postgresql" {
		out[logRate] = goal{atLeast: 250_000, times: 9}
	}
	return out
}

// figures are those of one database.
type figures struct {
	database string
	values   map[string]map[metric]float64 // by product; "floor" is one
	out      *json.Encoder
}

func newFigures(database string, w io.Writer) *figures {
	return &figures{database: database, values: map[string]map[metric]float64{}, out: json.NewEncoder(w)}
}

func (f *figures) add(p product, m metric, v float64) { f.put(p.name(), m, v) }

func (f *figures) floor(m metric, v float64) { f.put("floor", m, v) }

func (f *figures) put(who string, m metric, v float64) {
	if f.values[who] == nil {
		f.values[who] = map[metric]float64{}
	}
	f.values[who][m] = v
	// A line that cannot be written is missing in the file, not in the table.
	_ = f.out.Encode(map[string]any{"database": f.database, "by": who, "metric": about[m].name, "unit": about[m].unit, "value": v})
}

// print writes the table, as Markdown has it.
func (f *figures) print(w io.Writer, o options) {
	fmt.Fprintf(w, "\n%s: %d rows, %d changes\n\n", f.database, o.rows, o.changes)
	t := tabwriter.NewWriter(w, 2, 0, 1, ' ', 0)
	defer func() { _ = t.Flush() }()
	line := func(cells ...string) { fmt.Fprintln(t, "| "+strings.Join(cells, "\t| ")+"\t|") }
	line("what", "unit", "ours", "Debezium", "ratio", "floor", "of floor", "goal")
	line("---", "---", "---", "---", "---", "---", "---", "---")
	want := goals(f.database)
	for m := range metrics {
		ours, ok := f.values["ours"][m]
		if !ok {
			continue
		}
		peer, hasPeer := f.values["Debezium"][m]
		floor, hasFloor := f.values["floor"][m]
		row := []string{about[m].name, about[m].unit, number(ours, m, true), number(peer, m, hasPeer), "-", number(floor, m, hasFloor), "-", "-"}
		ratio, part := math.NaN(), math.NaN()
		if hasPeer {
			if ratio = peer / ours; about[m].more {
				ratio = ours / peer
			}
			row[4] = fmt.Sprintf("%.1f times better", ratio)
		}
		if hasFloor {
			part = ours / floor
			row[6] = fmt.Sprintf("%.0f%%", part*100)
		}
		if g, ok := want[m]; ok {
			row[7] = g.judge(ours, ratio, part, m)
		}
		line(row...)
	}
}

func number(v float64, m metric, ok bool) string {
	if !ok {
		return "-"
	}
	return fmt.Sprintf("%.*f", about[m].digits, v)
}

// judge says the goal and whether it is met. What was not measured is not
// judged.
func (g goal) judge(v, ratio, part float64, m metric) string {
	var out []string
	say := func(met bool, format string, args ...any) {
		word := "missed"
		if met {
			word = "met"
		}
		out = append(out, fmt.Sprintf(format, args...)+" "+word)
	}
	if g.atLeast > 0 {
		say(v >= g.atLeast, "%.0f", g.atLeast)
	}
	if g.atMost > 0 {
		say(v <= g.atMost, "%.*f", about[m].digits, g.atMost)
	}
	if g.times > 0 && !math.IsNaN(ratio) {
		say(ratio >= g.times, "%.0f times", g.times)
	}
	if g.ofFloor > 0 && !math.IsNaN(part) {
		say(part >= g.ofFloor, "%.0f%% of the floor", g.ofFloor*100)
	}
	return strings.Join(out, ", ")
}
