package server

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are what the server counts about itself.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	busy     prometheus.Gauge
	refused  prometheus.Counter
}

func newMetrics(s *store) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "registry_requests_total", Help: "Requests served, by API, method and status.",
		}, []string{"api", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "registry_request_seconds", Help: "Time to serve a request.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .02, .05, .1, .5, 1, 5},
		}, []string{"api", "method"}),
		busy:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "registry_requests_busy", Help: "Requests being served."}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "registry_requests_refused_total", Help: "Requests refused because too many were being served."}),
	}
	m.registry.MustRegister(m.requests, m.seconds, m.busy, m.refused,
		count("registry_versions", "Versions stored.", s, bVersions), count("registry_contents", "Distinct contents stored.", s, bContents),
		count("registry_artifacts", "Artifacts stored.", s, bArtifacts),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "registry_file_bytes", Help: "Size of the registry's file."}, func() float64 {
			var size int64
			_ = s.view(func(t tx) error { size = t.Size(); return nil })
			return float64(size)
		}))
	return m
}

func count(name, help string, s *store, bucket []byte) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
		n := 0
		_ = s.view(func(t tx) error { n = t.Bucket(bucket).Stats().KeyN; return nil })
		return float64(n)
	})
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// apiOf names the API of a path, for labels.
func apiOf(path string) string {
	for prefix, name := range map[string]string{v2Base: "v2", v3Base: "v3", "/apis/ccompat/": "ccompat"} {
		if strings.HasPrefix(path, prefix) {
			return name
		}
	}
	return "other"
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets the connection's deadlines be set.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// measure counts requests.
func (m *metrics) measure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		rec := &recorder{w, http.StatusOK}
		m.busy.Inc()
		defer func() {
			m.busy.Dec()
			api := apiOf(r.URL.Path)
			m.requests.WithLabelValues(api, method(r.Method), strconv.Itoa(rec.status)).Inc()
			m.seconds.WithLabelValues(api, method(r.Method)).Observe(time.Since(began).Seconds())
		}()
		next.ServeHTTP(rec, r)
	})
}

// method bounds what a label may be.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete:
		return m
	}
	return "other"
}
