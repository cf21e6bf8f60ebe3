package sqlserver

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/capture"
)

// How often the capture job is looked at, and how old what it wrote last may be: it
// writes at least every five minutes, also where nothing happens.
const (
	watchEvery = time.Minute
	staleAfter = 11 * time.Minute
)

// metrics are those of this kind of source, by database.
type metrics struct {
	every                time.Duration // how often they are measured
	age, latency, failed *prometheus.GaugeVec
}

func newMetrics() *metrics {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tributary_sqlserver_" + name, Help: help}, []string{"database"})
	}
	return &metrics{
		every:   watchEvery,
		age:     gauge("capture_age_seconds", "Age of the newest entry that the capture job wrote; beyond some minutes it does not run, or fails."),
		latency: gauge("capture_latency_seconds", "What the capture job was behind the log when its last scan ended, where the user may see it."),
		failed:  gauge("capture_failing", "Whether the last scan of the capture job had an error, where the user may see it: 1 or 0."),
	}
}

// Collectors are the metrics of the source, to be registered once.
func (s *Source) Collectors() []prometheus.Collector {
	return []prometheus.Collector{s.metrics.age, s.metrics.latency, s.metrics.failed}
}

// job is what the server tells of the capture job. What the user may not see is
// negative, or "".
type job struct {
	age       time.Duration // of the newest entry of cdc.lsn_time_mapping
	polling   time.Duration
	retention time.Duration // how long changes are kept
	scanned   time.Duration // since the end of the last scan
	latency   time.Duration
	failed    bool   // the last scan had an error
	failure   string // the newest error
}

// look reads what there is to see of the capture job.
func (d *database) look(ctx context.Context, c *conn) job {
	j := job{age: -1, polling: -1, retention: -1, scanned: -1, latency: -1}
	seconds := func(v driver.Value, to *time.Duration, unit time.Duration) {
		if n, ok := v.(int64); ok {
			*to = max(time.Duration(n)*unit, 0)
		}
	}
	d.sees(ctx, c, "SELECT TOP (1) DATEDIFF(second, tran_end_time, GETDATE()) FROM cdc.lsn_time_mapping ORDER BY start_lsn DESC", func(v []driver.Value) { seconds(v[0], &j.age, time.Second) })
	if j.age < 0 { // nothing was captured since the tables are
		d.sees(ctx, c, "SELECT DATEDIFF(second, MIN(create_date), GETDATE()) FROM cdc.change_tables", func(v []driver.Value) { seconds(v[0], &j.age, time.Second) })
	}
	jobs := func(kind string, polling, retention driver.Value) {
		switch kind {
		case "capture":
			seconds(polling, &j.polling, time.Second)
		case "cleanup":
			seconds(retention, &j.retention, time.Minute)
		}
	}
	if !d.sees(ctx, c, "EXEC sys.sp_cdc_help_jobs", func(v []driver.Value) { jobs(asText(v[1]), v[6], v[7]) }) {
		d.sees(ctx, c, "SELECT job_type, pollinginterval, retention FROM msdb.dbo.cdc_jobs WHERE database_id = DB_ID()", func(v []driver.Value) { jobs(asText(v[0]), v[1], v[2]) })
	}
	d.sees(ctx, c, "SELECT TOP (1) DATEDIFF(second, COALESCE(end_time, start_time), GETDATE()), latency, error_count FROM sys.dm_cdc_log_scan_sessions WHERE session_id > 0 ORDER BY session_id DESC", func(v []driver.Value) {
		seconds(v[0], &j.scanned, time.Second)
		seconds(v[1], &j.latency, time.Second)
		n, _ := v[2].(int64)
		j.failed = n > 0
	})
	if j.failed {
		d.sees(ctx, c, "SELECT TOP (1) error_number, error_message FROM sys.dm_cdc_errors ORDER BY entry_time DESC", func(v []driver.Value) {
			j.failure = capture.Quiet(fmt.Errorf("%v %s", v[0], asText(v[1]))).Error()
		})
	}
	return j
}

// sees reads what the user need not be able to see, and reports whether it is.
func (d *database) sees(ctx context.Context, c *conn, query string, row func(v []driver.Value)) bool {
	err := c.rows(ctx, query, nil, func(v []driver.Value) error {
		row(v)
		return nil
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		d.log.Debug("a part of the state of the capture job cannot be seen", "error", err)
	}
	return err == nil
}

// warning says what is wrong, "" = nothing.
func (j *job) warning() string {
	switch {
	case j.failed:
		return "the last scan of the capture job had an error: no change is captured while it fails"
	case j.age > staleAfter:
		return "the capture job has written nothing for longer than it does where nothing happens: it does not run, or fails, and no change is captured"
	}
	return ""
}

// watch looks at the capture job of a database, if it is time, and tells when it
// stops working and when it works again.
func (d *database) watch(ctx context.Context, c *conn, m *metrics) {
	if time.Since(d.watched) < m.every {
		return
	}
	if !d.watched.IsZero() {
		d.uncaptured(ctx, c)
	}
	j := d.look(ctx, c)
	d.watched, d.job = time.Now(), j
	set := func(g *prometheus.GaugeVec, t time.Duration) {
		if t >= 0 {
			g.WithLabelValues(d.name).Set(t.Seconds())
		}
	}
	set(m.age, j.age)
	set(m.latency, j.latency)
	if j.scanned >= 0 {
		failed := 0.0
		if j.failed {
			failed = 1
		}
		m.failed.WithLabelValues(d.name).Set(failed)
	}
	switch w := j.warning(); {
	case w != "" && w != d.warned:
		args := []any{"age", j.age.String(), "to_do", "see the job cdc." + d.name + "_capture of SQL Server Agent, SELECT * FROM sys.dm_cdc_errors and SELECT * FROM sys.dm_cdc_log_scan_sessions; start it with EXEC sys.sp_cdc_start_job"}
		if j.failure != "" {
			args = append(args, "error", j.failure)
		}
		d.log.Warn(w, args...)
		d.warned = w
	case w == "" && d.warned != "":
		d.log.Info("the capture job works again")
		d.warned = ""
	}
}

// uncaptured warns, once, of captured tables whose capture instances were all dropped.
// Nothing else tells of them until the database has captured another transaction.
func (d *database) uncaptured(ctx context.Context, c *conn) {
	tables := make(map[int64]bool)
	if !d.sees(ctx, c, "SELECT source_object_id FROM cdc.change_tables", func(v []driver.Value) { tables[asInt(v[0])] = true }) {
		return
	}
	for _, in := range d.list {
		if tables[in.source] || d.bare[in.source] {
			continue
		}
		if d.bare == nil {
			d.bare = make(map[int64]bool)
		}
		d.bare[in.source] = true
		d.log.Warn("the capture instance of a table was dropped, and it has no other: what happens to its rows is not captured", "table", in.id.String(), "instance", in.name,
			"to_do", "USE "+quoted(d.name)+"; "+enableTable(in.id)+", then have its rows read again; or take it from table.include.list")
	}
}

// tellJob writes what check says of the capture job.
func (d *database) tellJob(w io.Writer) {
	var parts []string
	add := func(text string, t time.Duration) {
		if t >= 0 {
			parts = append(parts, text+" "+t.String())
		}
	}
	j := &d.job
	add("last entry before", j.age)
	add("last scan before", j.scanned)
	add("latency", j.latency)
	add("polls every", j.polling)
	add("changes are kept for", j.retention)
	if j.failed {
		parts = append(parts, "the last scan had an error ("+j.failure+")")
	}
	if j.retention < 0 {
		parts = append(parts, "retention not visible (db_owner sees it: EXEC sys.sp_cdc_help_jobs)")
	}
	fmt.Fprintf(w, "capture job  %s\n", strings.Join(parts, ", "))
}
