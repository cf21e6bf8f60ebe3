package capture

import (
	"bytes"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/envelope"
)

// snapshotBatch has n rows of a table.
func snapshotBatch(t *envelope.Table, n int, last envelope.Snapshot) *Batch {
	b := &Batch{Snapshot: true}
	for range n {
		c := b.Next()
		c.Op, c.Table, c.Source.Snapshot = envelope.Read, t, envelope.SnapshotTrue
	}
	b.List[n-1].Source.Snapshot = last
	return b
}

func value(t *testing.T, c prometheus.Collector) float64 {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	m := families[0].GetMetric()[0]
	return m.GetCounter().GetValue() + m.GetGauge().GetValue()
}

func newProgress(log io.Writer, o *Options) (*progress, *time.Time) {
	at := time.Unix(1000, 0)
	l := slog.New(slog.NewTextHandler(log, nil))
	p := &progress{log: l, notifier: o.Notifier(l), metrics: newSnapshotMetrics(prometheus.NewRegistry()), now: func() time.Time { return at }}
	p.plan = func() (SnapshotPlan, bool) {
		return SnapshotPlan{Tables: []string{"s.a", "s.b"}, Rows: 4000, Done: 1000}, true
	}
	return p, &at
}

func TestProgressIsLogged(t *testing.T) {
	var log bytes.Buffer
	p, at := newProgress(&log, &Options{})
	a, b := &envelope.Table{ID: envelope.TableID{Schema: "s", Name: "a"}}, &envelope.Table{ID: envelope.TableID{Schema: "s", Name: "b"}}
	step := func(batch *Batch) {
		p.before(batch)
		*at = at.Add(5 * time.Second)
		p.after(batch)
	}
	step(snapshotBatch(a, 500, envelope.SnapshotTrue))
	if log.Len() > 0 {
		t.Errorf("told after 5 s: %s", log.String())
	}
	step(snapshotBatch(a, 500, envelope.SnapshotLastInData))
	if !strings.Contains(log.String(), "table=s.a rows=2000 rows_per_second=100 expected=4000 left=20s") {
		t.Errorf("log %s", log.String())
	}
	if got := value(t, p.metrics.left); got != 1 {
		t.Errorf("%v tables left", got)
	}
	step(snapshotBatch(b, 2000, envelope.SnapshotLast))
	if !strings.Contains(log.String(), "snapshot complete\" rows=4000 took=10s rows_per_second=300") {
		t.Errorf("log %s", log.String())
	}
	for name, c := range map[string]struct{ got, want float64 }{
		"rows":      {value(t, p.metrics.rows), 4000},
		"running":   {value(t, p.metrics.running), 0},
		"completed": {value(t, p.metrics.completed), 1},
		"of s.b":    {value(t, p.metrics.byTable.WithLabelValues("s.b")), 2000},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
}

func TestProgressIsDrawn(t *testing.T) {
	var log, bar bytes.Buffer
	p, at := newProgress(&log, &Options{})
	p.bar = &bar
	a := &envelope.Table{ID: envelope.TableID{Schema: "s", Name: "a"}}
	for range 3 {
		b := snapshotBatch(a, 500, envelope.SnapshotTrue)
		p.before(b)
		*at = at.Add(10 * time.Second)
		p.after(b)
	}
	want := "\x1b[Ksnapshot [############........]  62% 2500 rows, 50/s, 30s left, s.a\r"
	if !strings.HasSuffix(bar.String(), want) || log.Len() > 0 {
		t.Errorf("bar %q, log %s", bar.String(), log.String())
	}
}

func TestNotifications(t *testing.T) {
	var log bytes.Buffer
	o := &Options{Prefix: "p", Notifications: []string{"log", "sink"}, NotificationTopic: "notes"}
	p, _ := newProgress(&log, o)
	a, b := &envelope.Table{ID: envelope.TableID{Schema: "s", Name: "a"}}, &envelope.Table{ID: envelope.TableID{Schema: "s", Name: "b"}}
	var got []string
	for _, batch := range []*Batch{snapshotBatch(a, 2, envelope.SnapshotTrue), snapshotBatch(a, 1, envelope.SnapshotLastInData), snapshotBatch(b, 1, envelope.SnapshotLast), {}} {
		p.before(batch)
		for _, c := range batch.List {
			if c.Op != envelope.Notify {
				continue
			}
			n := c.Event.Note
			line := n.Aggregate + " " + n.Type
			for _, d := range n.Data {
				line += " " + d.Key + "=" + d.Value
			}
			got = append(got, line)
		}
	}
	want := []string{
		"Initial Snapshot STARTED connector_name=p",
		"Initial Snapshot IN_PROGRESS connector_name=p data_collections=s.a,s.b current_collection_in_progress=s.a",
		"Initial Snapshot TABLE_SCAN_COMPLETED connector_name=p data_collection=s.a,s.b scanned_collection=s.a total_rows_scanned=3 status=SUCCEEDED",
		"Initial Snapshot IN_PROGRESS connector_name=p data_collections=s.a,s.b current_collection_in_progress=s.b",
		"Initial Snapshot TABLE_SCAN_COMPLETED connector_name=p data_collection=s.a,s.b scanned_collection=s.b total_rows_scanned=1 status=SUCCEEDED",
		"Initial Snapshot COMPLETED connector_name=p",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if n := strings.Count(log.String(), "msg=notification"); n != len(want) {
		t.Errorf("%d in the log", n)
	}
	// A source that ends before its snapshot is complete.
	p.before(snapshotBatch(a, 1, envelope.SnapshotTrue))
	p.abort()
	p.abort()
	if n := strings.Count(log.String(), "type=ABORTED"); n != 1 || value(t, p.metrics.running) != 0 {
		t.Errorf("%d are told to be aborted", n)
	}
	// A start that goes on in the log has no snapshot.
	p, _ = newProgress(&log, o)
	var batch Batch
	p.before(&batch)
	if len(batch.List) != 1 || batch.List[0].Event.Note.Type != "SKIPPED" {
		t.Errorf("%+v", batch.List)
	}
}
