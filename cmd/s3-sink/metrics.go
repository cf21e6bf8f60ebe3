package main

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/internal/topic"
	"tributary/lake/bronze"
)

// metrics are the sink's figures.
type metrics struct {
	records, bytes, objects *prometheus.CounterVec
	skipped, aside          *prometheus.CounterVec
	lagging                 *prometheus.GaugeVec
	openFiles, buffered     prometheus.Gauge
	lastFlush               *prometheus.GaugeVec
	flushSeconds            prometheus.Histogram
}

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "tributary", Subsystem: "sink", Name: name, Help: help}, []string{"topic"})
	}
	gauge := func(name, help string) prometheus.GaugeOpts {
		return prometheus.GaugeOpts{Namespace: "tributary", Subsystem: "sink", Name: name, Help: help}
	}
	m := &metrics{
		records:   counter("records_total", "Records in objects that were put."),
		bytes:     counter("bytes_total", "Bytes of objects that were put."),
		objects:   counter("objects_total", "Objects that were put."),
		skipped:   counter("tombstones_total", "Records without a value, which were passed over."),
		aside:     counter("quarantined_total", "Records kept aside."),
		lagging:   prometheus.NewGaugeVec(gauge("lag_records", "Records of the partition that were not read yet."), []string{"topic", "partition"}),
		lastFlush: prometheus.NewGaugeVec(gauge("last_flush_seconds", "Time of the last object, in seconds since 1970."), []string{"topic"}),
		openFiles: prometheus.NewGauge(gauge("open_files", "Files that are being assembled.")),
		buffered:  prometheus.NewGauge(gauge("buffered_bytes", "Bytes of open files in memory.")),
		flushSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "tributary", Subsystem: "sink", Name: "flush_seconds",
			Help: "Duration of a flush.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 16),
		}),
	}
	r.MustRegister(m.records, m.bytes, m.objects, m.skipped, m.aside, m.lagging, m.lastFlush, m.openFiles, m.buffered, m.flushSeconds)
	return m
}

func (m *metrics) put(o *bronze.Flushed) {
	m.records.WithLabelValues(o.Topic).Add(float64(o.Records))
	m.bytes.WithLabelValues(o.Topic).Add(float64(o.Size))
	m.objects.WithLabelValues(o.Topic).Inc()
	m.lastFlush.WithLabelValues(o.Topic).Set(float64(time.Now().UnixMilli()) / 1000)
}

func (m *metrics) lag(id topic.Partition, records int64) {
	m.lagging.WithLabelValues(id.Topic, strconv.Itoa(int(id.ID))).Set(float64(records))
}

func (m *metrics) forget(id topic.Partition) {
	m.lagging.DeleteLabelValues(id.Topic, strconv.Itoa(int(id.ID)))
}
