package topic_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"tributary/internal/broker"
	"tributary/internal/fault"
	"tributary/internal/topic"
)

var quiet = slog.New(slog.DiscardHandler)

func start(t testing.TB, dir string) *broker.Broker {
	t.Helper()
	b, err := broker.Start(broker.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func options(addr string) topic.Options {
	return topic.Options{
		Brokers: strings.Split(addr, ","), Protocol: "PLAINTEXT", Compression: "lz4", MaxRequest: 1000012,
		TransactionTimeout: 60 * time.Second, DeliveryTimeout: 120 * time.Second,
	}
}

func group(name string, topics ...string) topic.ReaderOptions {
	return topic.ReaderOptions{
		Group: name, Topics: topics, Reset: "earliest", SessionTimeout: 10 * time.Second,
		FetchMaxBytes: 8 << 20, PartitionMaxBytes: 2 << 20,
	}
}

func admin(t testing.TB, o topic.Options, specs ...topic.Spec) *topic.Admin {
	t.Helper()
	a, err := topic.NewAdmin(t.Context(), o, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	if err := a.EnsureTopics(t.Context(), specs...); err != nil {
		t.Fatal(err)
	}
	return a
}

func writer(t testing.TB, o topic.Options, name string) *topic.Writer {
	t.Helper()
	w, err := topic.NewWriter(t.Context(), o, name, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func write(t testing.TB, w *topic.Writer, records ...topic.Record) {
	t.Helper()
	if err := w.WriteTx(t.Context(), records); err != nil {
		t.Fatal(err)
	}
}

func record(topicName, key, value string) topic.Record {
	r := topic.Record{Topic: topicName, Partition: topic.ByKey, Key: []byte(key), Timestamp: time.UnixMilli(1700000000123)}
	if value != "" {
		r.Value = []byte(value)
	}
	return r
}

// readAll polls until n records came or the test's patience ends, and returns
// them as "partition/offset key=value".
func readAll(t testing.TB, r *topic.Reader, n int) []topic.Record {
	t.Helper()
	var got []topic.Record
	for deadline := time.Now().Add(20 * time.Second); len(got) < n && time.Now().Before(deadline); {
		batches, err := r.Poll(t.Context(), 500*time.Millisecond, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range batches {
			for i := range b.Len() {
				got = append(got, b.Record(i))
			}
		}
	}
	if len(got) != n {
		t.Fatalf("read %d records, want %d", len(got), n)
	}
	return got
}

func TestTransactionIsReadBackWhole(t *testing.T) {
	b := start(t, t.TempDir())
	o := options(b.Addr())
	admin(t, o, topic.Spec{Name: "a", Partitions: 3}, topic.Spec{Name: "pos", Partitions: 1, Config: topic.Compacted()})
	w := writer(t, o, "one")
	var records []topic.Record
	for i := range 5000 {
		records = append(records, record("a", fmt.Sprint("k", i%97), fmt.Sprint("v", i)))
	}
	records[7].Headers = []topic.Header{{Key: "h", Value: []byte{0, 1}}}
	records[8].Value = nil
	write(t, w, append(records, record("pos", "me", "7"))...)

	r, err := topic.NewReader(t.Context(), o, group("g", "a"), nil, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := readAll(t, r, 5000)
	last := map[string]int{}
	for _, rec := range got {
		var n int
		if rec.Value == nil {
			n = 8
		} else if _, err := fmt.Sscanf(string(rec.Value), "v%d", &n); err != nil {
			t.Fatal(err)
		}
		if want := records[n]; !bytes.Equal(want.Key, rec.Key) || !want.Timestamp.Equal(rec.Timestamp) {
			t.Fatalf("record %d came back as %s at %s", n, rec.Key, rec.Timestamp)
		}
		if n == 7 && (len(rec.Headers) != 1 || rec.Headers[0].Key != "h" || !bytes.Equal(rec.Headers[0].Value, []byte{0, 1})) {
			t.Errorf("headers came back as %v", rec.Headers)
		}
		if before, ok := last[string(rec.Key)]; ok && before >= n {
			t.Fatalf("key %s: record %d after %d", rec.Key, n, before)
		}
		last[string(rec.Key)] = n
	}
}

func TestPositionOfTheLastCommittedTransaction(t *testing.T) {
	b := start(t, t.TempDir())
	o := options(b.Addr())
	a := admin(t, o, topic.Spec{Name: "a", Partitions: 1}, topic.Spec{Name: "pos", Partitions: 3, Config: topic.Compacted()})
	if _, ok, err := a.Last(t.Context(), "pos", []byte("me")); err != nil || ok {
		t.Fatalf("Last of an empty topic = %v, %v", ok, err)
	}
	w := writer(t, o, "one")
	write(t, w, record("a", "x", "1"), record("pos", "me", "1"), record("pos", "other", "9"))
	write(t, w, record("a", "x", "2"), record("pos", "me", "2"))

	// A transaction that fails half way leaves nothing behind.
	tooLarge := record("a", "x", strings.Repeat("z", 2_000_000))
	err := w.WriteTx(t.Context(), []topic.Record{record("pos", "me", "3"), tooLarge})
	if !errors.Is(err, topic.ErrAborted) || !fault.NeedsHuman(err) {
		t.Fatalf("WriteTx of a record beyond max.request.size = %v", err)
	}
	if strings.Contains(err.Error(), "zz") {
		t.Error("the error shows the record's value")
	}
	check := func(key, want string) {
		t.Helper()
		got, ok, err := a.Last(t.Context(), "pos", []byte(key))
		if err != nil || string(got) != want || ok != (want != "") {
			t.Fatalf("Last(%s) = %q, %v, %v, want %q", key, got, ok, err, want)
		}
	}
	check("me", "2")
	write(t, w, record("pos", "me", "4")) // the writer is still good
	check("me", "4")
	check("other", "9")
	write(t, w, record("pos", "other", ""))
	check("other", "")
}

func TestSecondInstanceFencesTheFirst(t *testing.T) {
	b := start(t, t.TempDir())
	o := options(b.Addr())
	a := admin(t, o, topic.Spec{Name: "pos", Partitions: 1})
	w1 := writer(t, o, "same")
	write(t, w1, record("pos", "me", "1"))
	w2 := writer(t, o, "same")
	for range 2 {
		err := w1.WriteTx(t.Context(), []topic.Record{record("pos", "me", "zombie")})
		if !fault.NeedsHuman(err) || !strings.Contains(err.Error(), `another instance named "same"`) || fault.Hint(err) == "" {
			t.Fatalf("zombie's WriteTx = %v", err)
		}
	}
	write(t, w2, record("pos", "me", "2"))
	got, _, err := a.Last(t.Context(), "pos", []byte("me"))
	if err != nil || string(got) != "2" {
		t.Fatalf("Last = %q, %v", got, err)
	}
}

// The newest position may be hidden behind an older transaction that another
// producer holds open in the same partition.
func TestLastWaitsForOpenTransactions(t *testing.T) {
	b := start(t, t.TempDir())
	o := options(b.Addr())
	a := admin(t, o, topic.Spec{Name: "pos", Partitions: 1})
	open, closeIt := openTransaction(t, b.Addr(), "other", "pos")
	if err := open(); err != nil {
		t.Fatal(err)
	}
	write(t, writer(t, o, "one"), record("pos", "me", "new"))
	time.AfterFunc(300*time.Millisecond, closeIt)
	got, ok, err := a.Last(t.Context(), "pos", []byte("me"))
	if err != nil || !ok || string(got) != "new" {
		t.Fatalf("Last = %q, %v, %v", got, ok, err)
	}
}

func TestCancelledTransactionIsAborted(t *testing.T) {
	b := start(t, t.TempDir())
	o := options(b.Addr())
	a := admin(t, o, topic.Spec{Name: "pos", Partitions: 1})
	w := writer(t, o, "one")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.WriteTx(ctx, []topic.Record{record("pos", "me", "1")}); !errors.Is(err, context.Canceled) {
		t.Fatalf("WriteTx = %v", err)
	}
	if _, ok, err := a.Last(t.Context(), "pos", []byte("me")); ok || err != nil {
		t.Fatalf("Last = %v, %v", ok, err)
	}
}

func TestUnreachableBroker(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := lis.Addr().String()
	lis.Close()
	began := time.Now()
	_, err = topic.NewWriter(t.Context(), options(addr), "one", quiet)
	if err == nil || !strings.Contains(err.Error(), addr) || fault.NeedsHuman(err) {
		t.Fatalf("NewWriter = %v", err)
	}
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestEnsureTopicsRefusesAnUncompactedPositionTopic(t *testing.T) {
	b := start(t, t.TempDir())
	a := admin(t, options(b.Addr()), topic.Spec{Name: "pos", Partitions: 1})
	err := a.EnsureTopics(t.Context(), topic.Spec{Name: "pos", Config: topic.Compacted()})
	if !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "cleanup.policy=delete") {
		t.Fatalf("EnsureTopics = %v", err)
	}
	if _, _, err := a.Last(t.Context(), "none", nil); !errors.Is(err, topic.ErrNoTopic) {
		t.Fatalf("Last of a missing topic = %v", err)
	}
}

// owner records what it was told, and commits on Revoked like a sink.
type owner struct {
	mu       sync.Mutex
	r        *topic.Reader
	held     map[topic.Partition]int64 // next offset
	assigned map[topic.Partition]int64
	revoked  int
	startAt  map[topic.Partition]int64
	fail     error
}

func (o *owner) Assigned(_ context.Context, committed map[topic.Partition]int64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for p, at := range committed {
		o.assigned[p] = at
		if s, ok := o.startAt[p]; ok {
			committed[p] = s
		}
	}
	return o.fail
}

func (o *owner) Revoked(ctx context.Context, parts []topic.Partition) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	next := map[topic.Partition]int64{}
	for _, p := range parts {
		o.revoked++
		if at, ok := o.held[p]; ok {
			next[p] = at
		}
		delete(o.held, p)
	}
	return o.r.Commit(ctx, next)
}

func (o *owner) Lost(parts []topic.Partition) {
	for _, p := range parts {
		delete(o.held, p)
	}
}

func newOwner() *owner {
	return &owner{held: map[topic.Partition]int64{}, assigned: map[topic.Partition]int64{}, startAt: map[topic.Partition]int64{}}
}

func (o *owner) poll(t *testing.T, n int) []topic.Record {
	t.Helper()
	got := readAll(t, o.r, n)
	for _, rec := range got {
		o.held[topic.Partition{Topic: rec.Topic, ID: rec.Partition}] = rec.Offset + 1
	}
	return got
}

func join(t *testing.T, o topic.Options, ro topic.ReaderOptions, own *owner) {
	t.Helper()
	r, err := topic.NewReader(t.Context(), o, ro, own, quiet)
	if err != nil {
		t.Fatal(err)
	}
	own.r = r
}

func TestCloseFlushesAndTheNextReaderResumes(t *testing.T) {
	for _, instance := range []string{"", "fixed"} {
		t.Run("instance="+instance, func(t *testing.T) {
			b := start(t, t.TempDir())
			o := options(b.Addr())
			admin(t, o, topic.Spec{Name: "a", Partitions: 1})
			w := writer(t, o, "one")
			write(t, w, record("a", "k", "1"), record("a", "k", "2"))
			ro := group("g", "a")
			ro.InstanceID = instance

			own := newOwner()
			join(t, o, ro, own)
			own.poll(t, 2)
			p := topic.Partition{Topic: "a", ID: 0}
			if at := own.assigned[p]; at != topic.NoOffset {
				t.Errorf("committed at first = %d", at)
			}
			if err := own.r.Close(); err != nil {
				t.Fatal(err)
			}
			if own.revoked != 1 {
				t.Errorf("Revoked was called for %d partitions, want 1", own.revoked)
			}
			write(t, w, record("a", "k", "3"))
			began := time.Now()
			next := newOwner()
			join(t, o, ro, next)
			defer next.r.Close()
			if got := next.poll(t, 1); string(got[0].Value) != "3" {
				t.Errorf("resumed with %s", got[0].Value)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("resumed after %s", took)
			}
			if at := next.assigned[p]; at != 2 {
				t.Errorf("committed = %d, want 2", at)
			}
		})
	}
}

func TestOwnerMayStartElsewhere(t *testing.T) {
	b := start(t, t.TempDir())
	o := options(b.Addr())
	admin(t, o, topic.Spec{Name: "a", Partitions: 1})
	write(t, writer(t, o, "one"), record("a", "k", "0"), record("a", "k", "1"), record("a", "k", "2"))
	own := newOwner()
	own.startAt[topic.Partition{Topic: "a"}] = 2
	join(t, o, group("g", "a"), own)
	defer own.r.Close()
	if got := own.poll(t, 1); got[0].Offset != 2 {
		t.Errorf("began at %d", got[0].Offset)
	}
}

func TestOwnersErrorEndsPoll(t *testing.T) {
	b := start(t, t.TempDir())
	o := options(b.Addr())
	admin(t, o, topic.Spec{Name: "a", Partitions: 1})
	own := newOwner()
	own.fail = errors.New("bronze unreadable")
	join(t, o, group("g", "a"), own)
	defer own.r.Close()
	_, err := own.r.Poll(t.Context(), 20*time.Second, 0)
	if !errors.Is(err, own.fail) {
		t.Fatalf("Poll = %v", err)
	}
}

// Two members share the partitions; each record is read once although the
// second joins in the middle.
func TestRebalanceHandsOverWithoutLossOrRepeat(t *testing.T) {
	b := start(t, t.TempDir())
	o := options(b.Addr())
	admin(t, o, topic.Spec{Name: "a", Partitions: 4})
	w := writer(t, o, "one")
	seen := map[string]int{}
	put := func(from, to int) {
		var records []topic.Record
		for i := from; i < to; i++ {
			records = append(records, record("a", fmt.Sprint(i), fmt.Sprint(i)))
		}
		write(t, w, records...)
	}
	put(0, 200)
	first, second := newOwner(), newOwner()
	join(t, o, group("g", "a"), first)
	for _, rec := range first.poll(t, 200) {
		seen[string(rec.Value)]++
	}
	join(t, o, group("g", "a"), second)
	// Both poll until the second has its share.
	for deadline := time.Now().Add(20 * time.Second); len(second.assigned) < 2 && time.Now().Before(deadline); {
		for _, own := range []*owner{first, second} {
			batches, err := own.r.Poll(t.Context(), 100*time.Millisecond, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, bt := range batches {
				for i := range bt.Len() {
					seen[string(bt.Value(i))]++
					own.held[bt.Partition] = bt.Offset(i) + 1
				}
			}
		}
	}
	if first.revoked != 2 || len(second.assigned) != 2 {
		t.Fatalf("revoked %d, assigned %v", first.revoked, second.assigned)
	}
	put(200, 400)
	for deadline := time.Now().Add(20 * time.Second); len(seen) < 400 && time.Now().Before(deadline); {
		for _, own := range []*owner{first, second} {
			batches, err := own.r.Poll(t.Context(), 100*time.Millisecond, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, bt := range batches {
				for i := range bt.Len() {
					seen[string(bt.Value(i))]++
				}
			}
		}
	}
	for i := range 400 {
		if seen[fmt.Sprint(i)] != 1 {
			t.Errorf("record %d was read %d times", i, seen[fmt.Sprint(i)])
		}
	}
	first.r.Close()
	second.r.Close()
}

func TestDeletedRecordsAreNeverSkipped(t *testing.T) {
	b := start(t, t.TempDir())
	o := options(b.Addr())
	a := admin(t, o, topic.Spec{Name: "a", Partitions: 1})
	w := writer(t, o, "one")
	write(t, w, record("a", "k", "0"), record("a", "k", "1"), record("a", "k", "2"))
	own := newOwner()
	join(t, o, group("g", "a"), own)
	own.poll(t, 3)
	if err := own.r.Commit(t.Context(), map[topic.Partition]int64{{Topic: "a"}: 1}); err != nil {
		t.Fatal(err)
	}
	own.held = map[topic.Partition]int64{}
	own.r.Close()
	if got, err := a.Committed(t.Context(), "g"); err != nil || got[topic.Partition{Topic: "a"}] != 1 {
		t.Fatalf("Committed = %v, %v", got, err)
	}
	deleteRecords(t, b.Addr(), "a", 2)
	late := newOwner()
	join(t, o, group("g", "a"), late)
	defer late.r.Close()
	var err error
	for deadline := time.Now().Add(10 * time.Second); err == nil && time.Now().Before(deadline); {
		_, err = late.r.Poll(t.Context(), time.Second, 0)
	}
	if !fault.NeedsHuman(err) || !strings.Contains(fault.Hint(err), "deleted before they were read") {
		t.Fatalf("Poll = %v (hint %s)", err, fault.Hint(err))
	}
}

func TestRegexFindsNewTopics(t *testing.T) {
	b := start(t, t.TempDir())
	o := options(b.Addr())
	a := admin(t, o, topic.Spec{Name: "tickit.a", Partitions: 1}, topic.Spec{Name: "xtickit.a", Partitions: 1})
	w := writer(t, o, "one")
	write(t, w, record("tickit.a", "k", "1"), record("xtickit.a", "k", "no"))
	ro := group("g")
	ro.Regex = `tickit\.(.*)`
	own := newOwner()
	join(t, o, ro, own)
	defer own.r.Close()
	own.poll(t, 1)
	if err := a.EnsureTopics(t.Context(), topic.Spec{Name: "tickit.b", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	write(t, w, record("tickit.b", "k", "2"))
	if got := own.poll(t, 1); got[0].Topic != "tickit.b" {
		t.Errorf("read from %s", got[0].Topic)
	}
}
