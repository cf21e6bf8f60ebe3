package sqlserver

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/internal/mssqltest"
)

// gauges are the metrics of a source by name, without those that were not measured.
func gauges(t *testing.T, s *Source) map[string]float64 {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(s.Collectors()...)
	all, err := r.Gather()
	check(t, err)
	out := make(map[string]float64)
	for _, f := range all {
		for _, m := range f.GetMetric() {
			out[strings.TrimPrefix(f.GetName(), "tributary_sqlserver_")] = m.GetGauge().GetValue()
		}
	}
	return out
}

// TestCaptureJobIsTold has check tell what it sees of the capture job, and what it
// does not.
func TestCaptureJobIsTold(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{})
	exec(t, db, "INSERT INTO dbo.t VALUES (1, 1)", "EXEC sys.sp_cdc_change_job @job_type = N'cleanup', @retention = 120")
	for denied, want := range map[string][]string{
		"":                       {"last entry before", "last scan before", "latency 0s", "polls every 5s", "changes are kept for 2h0m0s"},
		"sysadmin,role db_owner": {"last entry before", "last scan before", "polls every 5s", "changes are kept for 2h0m0s"}, // from msdb
		"VIEW DATABASE STATE":    {"last entry before", "changes are kept for 2h0m0s"},
		"sysadmin,role db_owner,VIEW DATABASE STATE,SELECT dbo.cdc_jobs": {"last entry before", "retention not visible"},
	} {
		srv.SetDenied(strings.Split(denied, ",")...)
		s, _ := logged(t, optionsFor(t, srv, nil))
		var out strings.Builder
		check(t, s.Check(t.Context(), nil, &out))
		_, line, _ := strings.Cut(out.String(), "capture job ")
		line, _, _ = strings.Cut(line, "\n")
		for _, w := range want {
			if !strings.Contains(line, w) {
				t.Errorf("without %q: %s: no %q", denied, line, w)
			}
		}
		if strings.Contains(denied, "STATE") && strings.Contains(line, "last scan") {
			t.Errorf("without %q: %s", denied, line)
		}
	}
}

// TestTableThatIsNotCapturedAnyMore has the only capture instance of a table be dropped
// while nothing happens.
func TestTableThatIsNotCapturedAnyMore(t *testing.T) {
	srv, db := tracked(t, mssqltest.Options{})
	exec(t, db, "INSERT INTO dbo.t VALUES (1, 1)")
	o := optionsFor(t, srv, map[string]string{"poll.interval.ms": "5"})
	var looks atomic.Int32
	o.Wires = hooked{before: func(q string) {
		if q == "EXEC sys.sp_cdc_help_jobs" { // which each look at the capture job asks
			looks.Add(1)
		}
	}}.wires()
	s, l := logged(t, o)
	s.metrics.every = time.Millisecond
	check(t, s.Open(t.Context(), nil))
	past(t, s)
	exec(t, db, "EXEC sys.sp_cdc_disable_table @source_schema = N'dbo', @source_name = N't', @capture_instance = N'all'")
	const want = "it has no other"
	told := int32(0) // how many looks there had been when it was
	for limit := time.Now().Add(10 * time.Second); told == 0 || looks.Load() < told+3; time.Sleep(time.Millisecond) {
		if told == 0 && strings.Contains(l.String(), want) {
			told = looks.Load()
		}
		if time.Now().After(limit) {
			t.Fatal(l)
		}
	}
	check(t, s.Close())
	if n := strings.Count(l.String(), want); n != 1 || !strings.Contains(l.String(), "sp_cdc_enable_table @source_schema = N'dbo', @source_name = N't'") {
		t.Errorf("told %d times: %s", n, l)
	}
}

// TestCaptureJobIsWatched has the capture job fail, and stop, while the Agent runs:
// the log and the metrics tell while capturing, and that it works again.
func TestCaptureJobIsWatched(t *testing.T) {
	var passed atomic.Int64
	began := time.Now()
	srv, db := tracked(t, mssqltest.Options{Clock: func() time.Time { return began.Add(time.Duration(passed.Load())) }})
	exec(t, db, "INSERT INTO dbo.t VALUES (1, 1)")
	s, l := logged(t, optionsFor(t, srv, map[string]string{"poll.interval.ms": "5"}))
	s.metrics.every = time.Millisecond
	check(t, s.Open(t.Context(), nil))
	past(t, s)
	until := func(text string, good func(map[string]float64) bool) {
		t.Helper()
		for limit := time.Now().Add(10 * time.Second); !strings.Contains(l.String(), text) || !good(gauges(t, s)); time.Sleep(time.Millisecond) {
			if time.Now().After(limit) {
				t.Fatalf("%v and\n%s", gauges(t, s), l)
			}
		}
	}
	until("", func(m map[string]float64) bool { return m["capture_failing"] == 0 && m["capture_age_seconds"] < 60 })
	if strings.Contains(l.String(), "level=WARN") {
		t.Error(l)
	}
	db.FailCapture(&mssqltest.Error{Number: 22859, Class: 16, State: 1, Text: "Log Scan process failed."})
	exec(t, db, "INSERT INTO dbo.t VALUES (2, 2)")
	until("22859 Log Scan process failed", func(m map[string]float64) bool { return m["capture_failing"] == 1 })
	db.FailCapture(nil)
	db.RunCapture()
	until("the capture job works again", func(m map[string]float64) bool { return m["capture_failing"] == 0 })
	srv.StopAgent()
	passed.Add(int64(time.Hour))
	until("the capture job has written nothing for longer", func(m map[string]float64) bool { return m["capture_age_seconds"] >= 3600 })
}
