package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"tributary/envelope"
	"tributary/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fill adds n changes numbered from seq on.
func fill(b *Batch, seq *int64, n int) {
	for range n {
		*seq++
		b.Next().TsNs = *seq
		b.Buf = append(b.Buf, 'x')
	}
}

// TestPipeKeepsOrder has a writer that mixes both ways of writing against a
// reader that is at times slower: every change arrives once and in order, and
// no batch exceeds the limits.
func TestPipeKeepsOrder(t *testing.T) {
	const total = 20_000
	p := NewPipe(Limits{Changes: 50, Bytes: 1 << 20})
	ctx := t.Context()
	go func() {
		var seq int64
		b := p.Batch()
		for seq < 1000 {
			fill(b, &seq, 40)
			var err error
			if b, err = p.Put(ctx, b); err != nil {
				p.Fail(err)
				return
			}
		}
		if _, err := p.Put(ctx, b); err != nil {
			p.Fail(err)
			return
		}
		for seq < total {
			w := p.Acquire()
			fill(w, &seq, 1)
			if p.Release(seq%7 == 0 || seq == total) {
				if _, err := p.Wait(ctx, time.Minute); err != nil {
					p.Fail(err)
					return
				}
			}
		}
		p.Fail(io.EOF)
	}()
	var next int64
	for {
		b, err := p.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(b.List) > 50 {
			t.Fatalf("a batch of %d", len(b.List))
		}
		for _, c := range b.List {
			if next++; c.TsNs != next {
				t.Fatalf("change %d where %d was due", c.TsNs, next)
			}
		}
		if next%1000 < 50 {
			time.Sleep(time.Millisecond)
		}
	}
	if next != total {
		t.Errorf("%d of %d changes", next, total)
	}
}

func TestPipeHoldsAnUnfinishedTransactionBack(t *testing.T) {
	p := NewPipe(Limits{Changes: 3, Bytes: 1 << 20})
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	var seq int64
	fill(p.Acquire(), &seq, 1)
	p.Release(false)
	if b, err := p.Next(short); err == nil {
		t.Fatalf("got %d changes of a transaction that is not complete", len(b.List))
	}
	fill(p.Acquire(), &seq, 1)
	p.Release(true)
	fill(p.Acquire(), &seq, 1) // the next one begins before the first is taken
	if !p.Release(false) {
		t.Fatal("a full batch is not said to be full")
	}
	b, err := p.Next(t.Context())
	if err != nil || len(b.List) != 3 {
		t.Fatalf("%d changes, %v", len(b.List), err)
	}
}

func TestPipeEndsWithTheWritersError(t *testing.T) {
	p := NewPipe(DefaultLimits())
	first := errors.New("first")
	p.Fail(first)
	p.Fail(errors.New("second"))
	for range 2 {
		if _, err := p.Next(t.Context()); !errors.Is(err, first) {
			t.Errorf("error %v", err)
		}
	}
}

// script is a Source that delivers numbers, and faults where it is told to.
type script struct {
	from   int
	last   int // after it comes io.EOF
	faults map[int]error
	acked  []string
	opens  int
	batch  Batch
}

func (s *script) Open(_ context.Context, resume Position) error {
	s.opens++
	s.from = 0
	if resume != nil {
		if _, err := fmt.Sscan(string(resume), &s.from); err != nil {
			return err
		}
	}
	return s.fault(-1)
}

func (s *script) fault(at int) error {
	err := s.faults[at]
	delete(s.faults, at)
	return err
}

func (s *script) Next(context.Context) (*Batch, error) {
	if err := s.fault(s.from); err != nil {
		return nil, err
	}
	if s.from == s.last {
		return nil, io.EOF
	}
	s.from++
	s.batch.Reset()
	s.batch.Next().TsNs = int64(s.from)
	s.batch.End = fmt.Append(nil, s.from)
	return &s.batch, nil
}

func (s *script) Ack(_ context.Context, p Position) error {
	s.acked = append(s.acked, string(p))
	return nil
}

func (s *script) Close() error { return nil }

// store is an Emitter that keeps what it is given, and fails where it is told
// to, before or after it has kept the batch.
type store struct {
	mu     sync.Mutex
	got    []int64
	pos    Position
	before map[int64]error
	after  map[int64]error
}

func (s *store) Resume(context.Context) (Position, error) { return s.pos, nil }

func (s *store) Emit(_ context.Context, b *Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := b.List[0].TsNs
	if err := s.before[n]; err != nil {
		delete(s.before, n)
		return err
	}
	s.got, s.pos = append(s.got, n), slices.Clone(b.End)
	err := s.after[n]
	delete(s.after, n)
	return err
}

func options() RunOptions {
	return RunOptions{RetryTimeout: time.Minute, RetryMaxDelay: time.Millisecond, Log: slog.New(slog.DiscardHandler)}
}

func TestRunEmitsEachOnceWhateverFails(t *testing.T) {
	flaky := errors.New("flaky")
	src := &script{last: 10, faults: map[int]error{3: flaky, 7: flaky}}
	out := &store{before: map[int64]error{5: flaky}, after: map[int64]error{6: flaky}}
	reg := prometheus.NewRegistry()
	o := options()
	o.Metrics = reg
	var ready []bool
	o.Ready = func(r bool) { ready = append(ready, r) }
	if err := Run(t.Context(), src, out, o); err != nil {
		t.Fatal(err)
	}
	want := []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	if !slices.Equal(out.got, want) {
		t.Errorf("emitted %v", out.got)
	}
	if slices.Contains(src.acked, "6") {
		t.Error("position 6 was acknowledged although emitting it failed")
	}
	if src.opens != 5 {
		t.Errorf("opened %d times, want 5", src.opens)
	}
	if len(ready) != 10 || !ready[0] || ready[9] {
		t.Errorf("ready: %v", ready)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "tributary_source_retries_total" && f.GetMetric()[0].GetCounter().GetValue() != 4 {
			t.Errorf("retries: %v", f.GetMetric())
		}
	}
}

// TestRunReopens: a source that asks for it is opened anew where the last batch
// ended, without what a fault would bring with it.
func TestRunReopens(t *testing.T) {
	src := &script{last: 10, faults: map[int]error{0: ErrReopen, 4: ErrReopen}}
	out := &store{}
	o := options()
	o.RetryTimeout = 0
	ready := 0
	o.Ready = func(bool) { ready++ }
	if err := Run(t.Context(), src, out, o); err != nil {
		t.Fatal(err)
	}
	if len(out.got) != 10 || src.opens != 3 || ready != 2 {
		t.Errorf("emitted %v, opened %d times, ready told %d times", out.got, src.opens, ready)
	}
}

func TestRunStops(t *testing.T) {
	flaky := errors.New("flaky")
	human := fault.Human(errors.New("broken"), "mend it")
	t.Run("for a human", func(t *testing.T) {
		src := &script{last: 10, faults: map[int]error{3: human}}
		if err := Run(t.Context(), src, &store{}, options()); !fault.NeedsHuman(err) || src.opens != 1 {
			t.Errorf("%v after %d starts", err, src.opens)
		}
	})
	t.Run("at a first start that fails, where nothing is retried", func(t *testing.T) {
		src := &script{last: 10, faults: map[int]error{-1: flaky}}
		o := options()
		o.RetryTimeout = 0
		if err := Run(t.Context(), src, &store{}, o); !errors.Is(err, flaky) || src.opens != 1 {
			t.Errorf("%v after %d starts", err, src.opens)
		}
	})
	t.Run("not at a first start that fails", func(t *testing.T) {
		var log strings.Builder
		o := options()
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
		o.Explain = func(err error) error { return fault.Hinted(err, "wait") }
		src := &script{last: 10, faults: map[int]error{-1: flaky}}
		if err := Run(t.Context(), src, &store{}, o); err != nil || src.opens != 2 {
			t.Errorf("%v after %d starts", err, src.opens)
		}
		if text := log.String(); !strings.Contains(text, "cannot start yet") || !strings.Contains(text, "hint=wait") || !strings.Contains(text, "capture goes on") {
			t.Error(text)
		}
	})
	t.Run("when faults last", func(t *testing.T) {
		src := &always{err: flaky}
		o := options()
		o.RetryTimeout = 30 * time.Millisecond
		err := Run(t.Context(), src, &store{}, o)
		if !errors.Is(err, flaky) || !strings.Contains(err.Error(), "gave up") {
			t.Errorf("%v", err)
		}
	})
	t.Run("when it is told to", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := Run(ctx, &script{last: 10, faults: map[int]error{0: context.Canceled}}, &store{}, options()); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}

// always opens and then fails.
type always struct {
	script
	err error
}

func (a *always) Next(context.Context) (*Batch, error) { return nil, a.err }

func TestFilter(t *testing.T) {
	id := func(schema, name string) envelope.TableID { return envelope.TableID{Schema: schema, Name: name} }
	f, err := NewFilter(&Options{IncludeTables: []string{"ems.ev.*", "crm.user", "x.y"}, ExcludeColumns: []string{"crm.user.pass"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[envelope.TableID]bool{
		id("ems", "event"): true, id("EMS", "Event"): true, id("ems", "sale"): false, id("crm", "user"): true,
		id("crm", "users"): false, id("acrm", "user"): false,
	} {
		if f.Table(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
	if f.Column(id("crm", "user"), "pass") || !f.Column(id("crm", "user"), "passport") {
		t.Error("columns")
	}
	if got := f.Unmatched([]envelope.TableID{id("ems", "event"), id("crm", "user")}); !slices.Equal(got, []string{"x.y"}) {
		t.Errorf("unmatched: %v", got)
	}
	f, err = NewFilter(&Options{IncludeSchemas: []string{"ems", "cr.*"}, ExcludeTables: []string{"ems.event"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[envelope.TableID]bool{id("ems", "sale"): true, id("EMS", "sale"): true, id("crm", "user"): true, id("ems", "event"): false, id("acr", "x"): false} {
		if f.Table(name) != want {
			t.Errorf("by schema %s: %v", name, !want)
		}
	}
	if f, err = NewFilter(&Options{ExcludeSchemas: []string{"ems"}}); err != nil || f.Table(id("ems", "sale")) || !f.Table(id("crm", "user")) {
		t.Errorf("without a schema: %v", err)
	}
	if _, err := NewFilter(&Options{IncludeTables: []string{"("}}); err == nil {
		t.Error("a malformed expression is taken")
	}
}

func TestOptionFaults(t *testing.T) {
	good := Options{BatchSize: 1, BatchBytes: 1, FetchSize: 1}
	if f := good.Faults(); len(f) > 0 {
		t.Errorf("faults of good options: %v", f)
	}
	bad := Options{IncludeTables: []string{"(", "a"}, ExcludeTables: []string{"b"}, Skipped: []string{"q"}}
	bad.MaskWith = map[string]string{"column.mask.with.x.chars": "a"}
	bad.Keys = "a"
	bad.Class, bad.IncludeSchemas, bad.MetricTags, bad.Notifications, bad.SnapshotMode = "mysql", []string{"s"}, "a-b=c", []string{"sink"}, "configuration_based"
	bad.Transforms = []string{"flatten", "unwrap", "route", "when"}
	bad.Transform = map[string]string{
		"transforms.unwrap.add.fields": "a.b.c", "transforms.unwrap.delete.tombstone.handling.mode": "drop", "transforms.unwrap.delete.handling.mode": "none",
		"transforms.route.type": "org.apache.kafka.connect.transforms.RegexRouter", "transforms.route.regex": "(", "transforms.route.colour": "red",
		"transforms.when.type": "io.debezium.transforms.Filter", "transforms.when.condition": "value.op ==", "transforms.when.predicate": "p", "transforms.other.type": "x",
	}
	keys := make(map[string]bool)
	for _, f := range bad.Faults() {
		keys[f.Key] = true
	}
	for _, want := range []string{"table.include.list", "table.exclude.list", "skipped.operations", "transforms.flatten.type",
		"schema.include.list", "custom.metric.tags", "notification.sink.topic.name", "snapshot.mode", "message.key.columns", "column.mask.with.x.chars", "transforms.route.regex", "transforms.route.colour", "transforms.when.condition", "transforms.when.predicate", "transforms.other.type",
		"transforms.unwrap.delete.handling.mode", "transforms.unwrap.add.fields", "max.batch.size", "max.batch.size.in.bytes", "snapshot.fetch.size"} {
		if !keys[want] {
			t.Errorf("no fault of %s", want)
		}
	}
}

func TestModesMadeOfOthers(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want string
		must bool
	}{
		{Options{SnapshotMode: "initial"}, "initial", false},
		{Options{SnapshotMode: "recovery"}, "no_data", true},
		{Options{SnapshotMode: "configuration_based", ConfiguredData: true, ConfiguredStream: true}, "initial", false},
		{Options{SnapshotMode: "configuration_based", ConfiguredData: true, ConfiguredStream: true, ConfiguredHealed: true}, "when_needed", false},
		{Options{SnapshotMode: "configuration_based", ConfiguredData: true}, "initial_only", false},
		{Options{SnapshotMode: "configuration_based", ConfiguredStream: true}, "no_data", false},
		{Options{SnapshotMode: "configuration_based"}, "configuration_based", false}, // Faults tells
	} {
		c.o.Complete()
		if c.o.SnapshotMode != c.want || c.o.MustResume() != c.must {
			t.Errorf("%s %v, want %s %v", c.o.SnapshotMode, c.o.MustResume(), c.want, c.must)
		}
	}
	o := options()
	o.MustResume = true
	if err := Run(t.Context(), &script{last: 1}, &store{}, o); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "needs a stored position") {
		t.Errorf("recovery of nothing: %v", err)
	}
	if err := Run(t.Context(), &script{last: 2}, &store{pos: Position("1")}, o); err != nil {
		t.Errorf("recovery: %v", err)
	}
}

func TestFormerDeleteOptions(t *testing.T) {
	for _, c := range []struct {
		mode, former, drop string
		want               envelope.DeleteMode
	}{
		{want: envelope.DeleteTombstone},
		{former: "rewrite", want: envelope.DeleteRewrite},
		{former: "rewrite", drop: "true", want: envelope.DeleteRewrite},
		{former: "rewrite", drop: "false", want: envelope.DeleteRewriteTombstone},
		{former: "drop", drop: "false", want: envelope.DeleteTombstone},
		{drop: "true", want: envelope.DeleteDrop},
		{former: "none", want: envelope.DeleteToTombstone},
		{mode: "drop", want: envelope.DeleteDrop},
	} {
		o := TransformOptions{Transforms: []string{"flat"}, Transform: map[string]string{"transforms.flat.type": envelope.UnwrapClass}}
		for k, v := range map[string]string{"delete.tombstone.handling.mode": c.mode, "delete.handling.mode": c.former, "drop.tombstones": c.drop} {
			if v != "" {
				o.Transform["transforms.flat."+k] = v
			}
		}
		got, faults := o.chain()
		if len(faults) > 0 || got.unwrap == nil || got.unwrap.Deletes != c.want {
			t.Errorf("%+v: %+v, %v", c, got.unwrap, faults)
		}
	}
}

// TestHeartbeatActionThatFails: what a heartbeat does in the database may fail; it
// is logged once, counted each time, and the capture goes on without a restart.
func TestHeartbeatActionThatFails(t *testing.T) {
	var log strings.Builder
	reg := prometheus.NewRegistry()
	o := options()
	o.Log, o.Metrics, o.RetryTimeout, o.Heartbeat = slog.New(slog.NewTextHandler(&log, nil)), reg, 0, time.Nanosecond
	calls := 0
	o.HeartbeatAction = func(ctx context.Context) error {
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("the action may take for ever")
		}
		if calls++; calls > 6 {
			return nil
		}
		return fault.Human(errors.New("no such table"), "make it")
	}
	src, out := &script{last: 10}, &store{}
	if err := Run(t.Context(), src, out, o); err != nil || src.opens != 1 || len(out.got) < 10 {
		t.Errorf("%v, opened %d times, emitted %v", err, src.opens, out.got)
	}
	text := log.String()
	if strings.Count(text, "level=WARN") != 1 || !strings.Contains(text, `error="no such table"`) || !strings.Contains(text, `hint="make it"`) || !strings.Contains(text, "succeeds again\" failed=6") {
		t.Error(text)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "tributary_source_heartbeat_action_failures_total" && f.GetMetric()[0].GetCounter().GetValue() == 6 {
			return
		}
	}
	t.Error("6 failures are not counted")
}
