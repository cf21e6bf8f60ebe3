package ingest

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the figures of a Service. Labels are the table's name alone.
type Metrics struct {
	reg     prometheus.Registerer
	rows    *prometheus.CounterVec
	commits *prometheus.CounterVec
	objects *prometheus.CounterVec
	bytes   *prometheus.CounterVec
	errors  *prometheus.CounterVec
	stopped *prometheus.GaugeVec
	source  *prometheus.GaugeVec
	seconds *prometheus.HistogramVec
}

// NewMetrics makes the metrics and registers them with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string, more ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "deltastreamer_" + name, Help: help}, append([]string{"table"}, more...))
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "deltastreamer_" + name, Help: help}, []string{"table"})
	}
	m := &Metrics{
		reg:     reg,
		rows:    counter("rows_total", "Changes committed.", "kind"),
		commits: counter("commits_total", "Commits made."),
		objects: counter("objects_total", "Bronze objects committed."),
		bytes:   counter("bytes_total", "Bytes of bronze committed."),
		errors:  counter("errors_total", "Failed attempts to bring a table up to date."),
		stopped: gauge("stopped", "1 while the table needs a human."),
		source:  gauge("source_lag_seconds", "Age, when it was committed, of the newest change in the last commit."),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "deltastreamer_commit_seconds", Help: "Time from the listing of bronze to the commit.",
			Buckets: []float64{.05, .1, .2, .5, 1, 2, 5, 10, 30},
		}, []string{"table"}),
	}
	reg.MustRegister(m.rows, m.commits, m.objects, m.bytes, m.errors, m.stopped, m.source, m.seconds)
	return m
}

// tableMetrics are those of one table.
type tableMetrics struct {
	all   *Metrics
	table string
	since atomic.Int64 // when the table fell behind bronze, Unix nanoseconds; 0 = it is not
}

func (m *Metrics) table(topic, table string) *tableMetrics {
	t := &tableMetrics{all: m, table: table}
	lag := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "deltastreamer_lag_seconds", Help: "How long bronze has had objects that the table lacks.",
		ConstLabels: prometheus.Labels{"table": table, "topic": topic},
	}, func() float64 {
		if since := t.since.Load(); since != 0 {
			return time.Since(time.Unix(0, since)).Seconds()
		}
		return 0
	})
	// Two runs of a Service in one process share the first one's gauge.
	_ = m.reg.Register(lag)
	return t
}

// behind notes whether there are objects that the table lacks.
func (t *tableMetrics) behind(now time.Time, is bool) {
	if !is {
		t.since.Store(0)
		return
	}
	t.since.CompareAndSwap(0, now.UnixNano())
}

func (t *tableMetrics) committed(p Progress, now time.Time) {
	t.all.rows.WithLabelValues(t.table, "upsert").Add(float64(p.Rows - p.Deletes))
	t.all.rows.WithLabelValues(t.table, "delete").Add(float64(p.Deletes))
	t.all.commits.WithLabelValues(t.table).Inc()
	t.all.objects.WithLabelValues(t.table).Add(float64(p.Objects))
	t.all.bytes.WithLabelValues(t.table).Add(float64(p.Bytes))
	t.all.seconds.WithLabelValues(t.table).Observe(p.Took.Seconds())
	if !p.SourceTs.IsZero() {
		t.all.source.WithLabelValues(t.table).Set(now.Sub(p.SourceTs).Seconds())
	}
}

func (t *tableMetrics) failed(human bool) {
	t.all.errors.WithLabelValues(t.table).Inc()
	if human {
		t.all.stopped.WithLabelValues(t.table).Set(1)
	}
}

func (t *tableMetrics) healed() { t.all.stopped.WithLabelValues(t.table).Set(0) }
