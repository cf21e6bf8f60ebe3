package capture

import (
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/envelope"
)

// SnapshotPlan is what a snapshot has to read.
type SnapshotPlan struct {
	Tables []string
	Rows   int64 // about, as the server's statistics say; 0 = unknown
	Done   int64 // rows that earlier starts have read
}

// Planner is a Source that knows what its snapshot has to read.
type Planner interface {
	// SnapshotPlan returns the plan of the snapshot in work or of the last
	// one, false before there was any. It may be called by any goroutine.
	SnapshotPlan() (SnapshotPlan, bool)
}

// How often the progress of a snapshot is told.
const (
	logEvery = 10 * time.Second
	barEvery = 200 * time.Millisecond
)

// progress tells how a snapshot goes on: in the log, in metrics, as
// notifications and, where there is a terminal, as a bar.
type progress struct {
	log      *slog.Logger
	bar      io.Writer // nil = no terminal
	notifier *Notifier
	plan     func() (SnapshotPlan, bool)
	metrics  *snapshotMetrics
	now      func() time.Time

	running   bool
	skipped   bool // it was told that there is none
	began     time.Time
	logged    time.Time
	drawn     time.Time
	rows      int64 // since began
	of        SnapshotPlan
	table     string
	tableRows int64
	tables    map[string]bool
}

type snapshotMetrics struct {
	running, completed, seconds, rows, expected, tables, left prometheus.Gauge
	byTable                                                   *prometheus.CounterVec
}

func newSnapshotMetrics(r prometheus.Registerer) *snapshotMetrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "tributary_source_snapshot_" + name, Help: help})
	}
	m := &snapshotMetrics{
		running:   gauge("running", "Whether a snapshot is being read: 1 or 0."),
		completed: gauge("completed", "Whether a snapshot has been completed since the start: 1 or 0."),
		seconds:   gauge("duration_seconds", "How long the snapshot has taken until now, or took."),
		rows:      gauge("rows", "Rows of the snapshot that are emitted."),
		expected:  gauge("rows_expected", "Rows of the snapshot's tables, as the server's statistics say; 0 = unknown."),
		tables:    gauge("tables", "Tables of the snapshot."),
		left:      gauge("tables_left", "Tables of the snapshot of which no row has been emitted since the start."),
		byTable:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tributary_source_snapshot_table_rows_total", Help: "Rows of snapshots that are emitted, by table."}, []string{"table"}),
	}
	if r != nil {
		r.MustRegister(m.running, m.completed, m.seconds, m.rows, m.expected, m.tables, m.left, m.byTable)
	}
	return m
}

// before is told of a batch that is about to be emitted, and adds
// notifications to it.
func (p *progress) before(b *Batch) {
	if !b.Snapshot {
		switch {
		case p.running:
			p.complete(&b.Changes)
		case !p.skipped && p.began.IsZero():
			p.skipped = true
			p.notifier.Add(&b.Changes, InitialSnapshot, "SKIPPED", "")
		}
		return
	}
	if !p.running {
		p.start(&b.Changes)
	}
	n := len(b.List)
	last := false
	for i := range n {
		c := &b.List[i] // Add below makes the list grow
		if c.Table == nil {
			continue
		}
		last = c.Source.Snapshot == envelope.SnapshotLast
		if name := c.Table.ID.String(); name != p.table {
			p.tableDone(&b.Changes)
			p.table, p.tableRows, p.tables[name] = name, 0, true
			p.notifier.Add(&b.Changes, InitialSnapshot, "IN_PROGRESS", "", "data_collections", p.names(), "current_collection_in_progress", name)
		}
		p.tableRows++
		p.rows++
	}
	if last {
		p.complete(&b.Changes)
	}
}

func (p *progress) start(out *envelope.Changes) {
	p.running, p.began = true, p.now()
	p.logged, p.drawn = p.began, time.Time{}
	p.rows, p.table, p.tables = 0, "", make(map[string]bool)
	p.metrics.running.Set(1)
	if of, ok := p.plan(); ok {
		p.of = of
		p.metrics.expected.Set(float64(of.Rows))
		p.metrics.tables.Set(float64(len(of.Tables)))
	}
	p.notifier.Add(out, InitialSnapshot, "STARTED", "")
}

func (p *progress) names() string { return strings.Join(p.of.Tables, ",") }

func (p *progress) tableDone(out *envelope.Changes) {
	if p.table != "" {
		p.notifier.Add(out, InitialSnapshot, "TABLE_SCAN_COMPLETED", "", "data_collection", p.names(), "scanned_collection", p.table,
			"total_rows_scanned", strconv.FormatInt(p.tableRows, 10), "status", "SUCCEEDED")
	}
}

func (p *progress) complete(out *envelope.Changes) {
	p.tableDone(out)
	p.notifier.Add(out, InitialSnapshot, "COMPLETED", "")
	p.running = false
	took := p.now().Sub(p.began)
	p.metrics.running.Set(0)
	p.metrics.completed.Set(1)
	p.metrics.seconds.Set(took.Seconds())
	if p.bar != nil {
		_, _ = fmt.Fprint(p.bar, "\x1b[K") // it is only looks
	}
	p.log.Info("snapshot complete", "rows", p.of.Done+p.rows, "took", took.Round(time.Millisecond).String(), "rows_per_second", int64(float64(p.rows)/max(took.Seconds(), 1e-3)))
}

// abort is told that the source has ended. What is read again is counted anew.
func (p *progress) abort() {
	if p.running {
		p.notifier.Add(nil, InitialSnapshot, "ABORTED", "") // in the log: no batch is there to go with
		p.metrics.running.Set(0)
	}
	p.running = false
}

// after is told of a batch that has been emitted.
func (p *progress) after(b *Batch) {
	if !b.Snapshot {
		return
	}
	now := p.now()
	done := p.of.Done + p.rows
	p.metrics.rows.Set(float64(done))
	p.metrics.seconds.Set(now.Sub(p.began).Seconds())
	p.metrics.left.Set(float64(max(len(p.of.Tables)-len(p.tables), 0)))
	p.count(b)
	if !p.running {
		return
	}
	if p.bar != nil {
		if now.Sub(p.drawn) >= barEvery {
			p.drawn = now
			_, _ = fmt.Fprint(p.bar, "\x1b[K", p.line(now), "\r") // it is only looks
		}
		return
	}
	if now.Sub(p.logged) >= logEvery {
		p.logged = now
		rate, left := p.rate(now)
		args := []any{"table", p.table, "rows", done, "rows_per_second", int64(rate)}
		if p.of.Rows > 0 {
			args = append(args, "expected", p.of.Rows, "left", left.String())
		}
		p.log.Info("snapshot", args...)
	}
}

// count adds to the rows by table.
func (p *progress) count(b *Batch) {
	for i := 0; i < len(b.List); {
		t, from := b.List[i].Table, i
		for i < len(b.List) && b.List[i].Table == t {
			i++
		}
		if t != nil {
			p.metrics.byTable.WithLabelValues(t.ID.String()).Add(float64(i - from))
		}
	}
}

// rate is how many rows come in a second, and how long the rest takes at it; 0
// = unknown, or more rows have come than there should be.
func (p *progress) rate(now time.Time) (perSecond float64, left time.Duration) {
	perSecond = float64(p.rows) / max(now.Sub(p.began).Seconds(), 1e-3)
	if rest := p.of.Rows - p.of.Done - p.rows; rest > 0 && perSecond > 0 {
		left = time.Duration(float64(rest) / perSecond * 1e9).Round(time.Second)
	}
	return perSecond, left
}

// line is the bar: what is done, how fast, and how long it will take.
func (p *progress) line(now time.Time) string {
	const width = 20
	done := p.of.Done + p.rows
	rate, left := p.rate(now)
	var b strings.Builder
	b.WriteString("snapshot ")
	if p.of.Rows > 0 {
		full := min(int(width*done/p.of.Rows), width)
		fmt.Fprintf(&b, "[%s%s] %3d%% ", strings.Repeat("#", full), strings.Repeat(".", width-full), min(100*done/p.of.Rows, 100))
	}
	fmt.Fprintf(&b, "%d rows, %d/s", done, int64(rate))
	if left > 0 {
		fmt.Fprintf(&b, ", %s left", left)
	}
	return b.String() + ", " + p.table
}
