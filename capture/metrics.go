package capture

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of the loop. All are updated once a batch.
type metrics struct {
	changes  *prometheus.CounterVec
	bytes    prometheus.Counter
	batches  prometheus.Counter
	retries  prometheus.Counter
	lag      prometheus.Gauge
	emit     prometheus.Histogram
	progress prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	const ns = "tributary_source_"
	m := &metrics{
		changes:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: ns + "changes_total", Help: "Changes emitted."}, []string{"phase"}),
		bytes:    prometheus.NewCounter(prometheus.CounterOpts{Name: ns + "row_bytes_total", Help: "Encoded bytes of the rows emitted."}),
		batches:  prometheus.NewCounter(prometheus.CounterOpts{Name: ns + "batches_total", Help: "Batches emitted."}),
		retries:  prometheus.NewCounter(prometheus.CounterOpts{Name: ns + "retries_total", Help: "Times the source was started again after a fault."}),
		lag:      prometheus.NewGauge(prometheus.GaugeOpts{Name: ns + "lag_seconds", Help: "Age of the last change of the last batch when it was durable."}),
		emit:     prometheus.NewHistogram(prometheus.HistogramOpts{Name: ns + "emit_seconds", Help: "Time to make a batch durable.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}),
		progress: prometheus.NewGauge(prometheus.GaugeOpts{Name: ns + "last_batch_timestamp_seconds", Help: "When the last batch was durable."}),
	}
	if r != nil {
		r.MustRegister(m.changes, m.bytes, m.batches, m.retries, m.lag, m.emit, m.progress)
	}
	return m
}

func (m *metrics) emitted(b *Batch, began time.Time) {
	now := time.Now()
	phase := "stream"
	if b.Snapshot {
		phase = "snapshot"
	}
	m.changes.WithLabelValues(phase).Add(float64(len(b.List)))
	m.bytes.Add(float64(len(b.Buf)))
	m.batches.Inc()
	m.emit.Observe(now.Sub(began).Seconds())
	m.progress.Set(float64(now.UnixMilli()) / 1e3)
	if n := len(b.List); n > 0 {
		m.lag.Set(now.Sub(time.Unix(0, b.List[n-1].Source.TsNs)).Seconds())
	} else {
		m.lag.Set(0) // all of the log has been read
	}
}
