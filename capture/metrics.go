package capture

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/envelope"
)

// metrics are those of the loop. All are updated once a batch.
type metrics struct {
	changes  *prometheus.CounterVec
	ops      *prometheus.CounterVec
	up       prometheus.Gauge
	commits  prometheus.Counter
	bytes    prometheus.Counter
	batches  prometheus.Counter
	retries  prometheus.Counter
	unbeaten prometheus.Counter
	lag      prometheus.Gauge
	emit     prometheus.Histogram
	progress prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	const ns = "tributary_source_"
	m := &metrics{
		changes:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: ns + "changes_total", Help: "Changes emitted."}, []string{"phase"}),
		ops:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: ns + "operations_total", Help: "Changes emitted, by operation: read, create, update, delete, truncate; message, schema, failed."}, []string{"op"}),
		up:       prometheus.NewGauge(prometheus.GaugeOpts{Name: ns + "connected", Help: "Whether the database is being captured: 1 or 0."}),
		commits:  prometheus.NewCounter(prometheus.CounterOpts{Name: ns + "transactions_total", Help: "Transactions that ended, with provide.transaction.metadata."}),
		bytes:    prometheus.NewCounter(prometheus.CounterOpts{Name: ns + "row_bytes_total", Help: "Encoded bytes of the rows emitted."}),
		batches:  prometheus.NewCounter(prometheus.CounterOpts{Name: ns + "batches_total", Help: "Batches emitted."}),
		retries:  prometheus.NewCounter(prometheus.CounterOpts{Name: ns + "retries_total", Help: "Times the source was started again after a fault."}),
		unbeaten: prometheus.NewCounter(prometheus.CounterOpts{Name: ns + "heartbeat_action_failures_total", Help: "Times that heartbeat.action.query failed."}),
		lag:      prometheus.NewGauge(prometheus.GaugeOpts{Name: ns + "lag_seconds", Help: "Age of the last change of the last batch when it was durable."}),
		emit:     prometheus.NewHistogram(prometheus.HistogramOpts{Name: ns + "emit_seconds", Help: "Time to make a batch durable.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}),
		progress: prometheus.NewGauge(prometheus.GaugeOpts{Name: ns + "last_batch_timestamp_seconds", Help: "When the last batch was durable."}),
	}
	if r != nil {
		r.MustRegister(m.changes, m.ops, m.up, m.commits, m.bytes, m.batches, m.retries, m.unbeaten, m.lag, m.emit, m.progress)
	}
	return m
}

var opNames = map[envelope.Op]string{
	envelope.Read: "read", envelope.Create: "create", envelope.Update: "update", envelope.Delete: "delete", envelope.Truncate: "truncate",
	envelope.Logical: "message", envelope.DDL: "schema", envelope.Failed: "failed",
}

func (m *metrics) emitted(b *Batch, began time.Time) {
	now := time.Now()
	phase := "stream"
	if b.Snapshot {
		phase = "snapshot"
	}
	m.changes.WithLabelValues(phase).Add(float64(len(b.List)))
	var count [256]int
	for i := range b.List {
		count[b.List[i].Op]++
	}
	for op, name := range opNames {
		if n := count[op]; n > 0 {
			m.ops.WithLabelValues(name).Add(float64(n))
		}
	}
	m.commits.Add(float64(count[envelope.End]))
	m.bytes.Add(float64(len(b.Buf)))
	m.batches.Inc()
	m.emit.Observe(now.Sub(began).Seconds())
	m.progress.Set(float64(now.UnixMilli()) / 1e3)
	n := len(b.List)
	for n > 0 && b.List[n-1].Source.TsNs == 0 { // a notification
		n--
	}
	if n > 0 {
		m.lag.Set(now.Sub(time.Unix(0, b.List[n-1].Source.TsNs)).Seconds())
	} else {
		m.lag.Set(0) // all of the log has been read
	}
}
