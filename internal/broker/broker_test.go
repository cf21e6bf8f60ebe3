package broker

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tributary/internal/fault"
	"tributary/internal/topic"
)

var quiet = slog.New(slog.DiscardHandler)

func options(addr string) topic.Options {
	return topic.Options{
		Brokers: []string{addr}, Protocol: "PLAINTEXT", Compression: "lz4", MaxRequest: 1000012,
		TransactionTimeout: 60 * time.Second, DeliveryTimeout: 20 * time.Second,
	}
}

func reading(group, name string) topic.ReaderOptions {
	return topic.ReaderOptions{
		Group: group, Topics: []string{name}, Reset: "earliest", SessionTimeout: 10 * time.Second,
		FetchMaxBytes: 8 << 20, PartitionMaxBytes: 2 << 20,
	}
}

func open(t *testing.T, dir string) (*Broker, topic.Options) {
	t.Helper()
	b, err := Start(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sync.OnceFunc(b.Close))
	return b, options(b.Addr())
}

func create(t *testing.T, o topic.Options) *topic.Admin {
	t.Helper()
	a, err := topic.NewAdmin(t.Context(), o, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	err = a.EnsureTopics(t.Context(),
		topic.Spec{Name: "data", Partitions: 3},
		topic.Spec{Name: "pos", Partitions: 1, Config: topic.Compacted()})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func write(t *testing.T, w *topic.Writer, tx int) error {
	t.Helper()
	return w.WriteTx(t.Context(), batch(tx))
}

// batch is transaction number tx: three records and the position.
func batch(tx int) []topic.Record {
	value := []byte(strconv.Itoa(tx))
	var out []topic.Record
	for p := range int32(3) {
		out = append(out, topic.Record{Topic: "data", Partition: p, Key: []byte("k"), Value: value})
	}
	return append(out, topic.Record{Topic: "pos", Key: []byte("me"), Value: value})
}

func newWriter(t *testing.T, o topic.Options) *topic.Writer {
	t.Helper()
	w, err := topic.NewWriter(t.Context(), o, "one", quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func position(t *testing.T, a *topic.Admin) int {
	t.Helper()
	text, ok, err := a.Last(t.Context(), "pos", []byte("me"))
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		return -1
	}
	n, err := strconv.Atoi(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// committed returns the numbers of the transactions visible in each partition,
// in order.
func committed(t *testing.T, o topic.Options, a *topic.Admin) [3][]int {
	t.Helper()
	ends, err := a.End(t.Context(), "data")
	if err != nil {
		t.Fatal(err)
	}
	r, err := topic.NewReader(t.Context(), o, reading(fmt.Sprint("g", rand.Int()), "data"), nil, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var got [3][]int
	drain(t, r, func(id topic.Partition, value []byte) {
		n, err := strconv.Atoi(string(value))
		if err != nil {
			t.Fatal(err)
		}
		got[id.ID] = append(got[id.ID], n)
	})
	for p, at := range ends {
		if at > 0 && len(got[p.ID]) == 0 {
			t.Logf("partition %d has %d offsets and no visible record", p.ID, at)
		}
	}
	return got
}

// drain hands out what is there to read. The tails hold markers, which are not handed
// out: quiet for a second is the end.
func drain(t *testing.T, r *topic.Reader, record func(id topic.Partition, value []byte)) {
	t.Helper()
	for idle := 0; idle < 2; {
		batches, err := r.Poll(t.Context(), 500*time.Millisecond, 0)
		if err != nil {
			t.Fatal(err)
		}
		idle++
		for _, b := range batches {
			idle = 0
			for i := range b.Len() {
				record(b.Partition, b.Value(i))
			}
		}
	}
}

func checkVisible(t *testing.T, o topic.Options, a *topic.Admin, want ...int) {
	t.Helper()
	for p, got := range committed(t, o, a) {
		i := 0
		for i < min(len(got), len(want)) && got[i] == want[i] {
			i++
		}
		if i < len(got) || i < len(want) {
			t.Errorf("partition %d shows %d transactions, want %d; from number %d on %v, want %v", p, len(got), len(want), i,
				got[i:min(i+5, len(got))], want[i:min(i+5, len(want))])
		}
	}
}

// openTransaction writes transaction number tx and leaves it open; commit
// tries to end it.
func openTransaction(t *testing.T, addr string, tx int) (commit func() error) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.TransactionalID("one"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for _, r := range batch(tx) {
		k := &kgo.Record{Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value}
		if err := cl.ProduceSync(t.Context(), k).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	return func() error { return cl.EndTransaction(t.Context(), kgo.TryCommit) }
}

// killed returns a copy of the folder as a kill at this moment would leave it.
func killed(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestCleanStopKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	b, o := open(t, dir)
	a := create(t, o)
	w := newWriter(t, o)
	for tx := range 5 {
		if err := write(t, w, tx); err != nil {
			t.Fatal(err)
		}
	}
	r, err := topic.NewReader(t.Context(), o, reading("g", "data"), nil, quiet)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := r.Poll(t.Context(), 200*time.Millisecond, 0); err != nil {
			t.Fatal(err)
		}
		if err = r.Commit(t.Context(), map[topic.Partition]int64{{Topic: "data", ID: 1}: 3}); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	a.Close()
	w.Close()
	b.Close()

	for range 2 { // stopped cleanly, then killed without having done anything
		_, o = open(t, killed(t, dir))
		a = create(t, o)
		checkVisible(t, o, a, 0, 1, 2, 3, 4)
		if n := position(t, a); n != 4 {
			t.Errorf("position %d", n)
		}
		if got, err := a.Committed(t.Context(), "g"); err != nil || got[topic.Partition{Topic: "data", ID: 1}] != 3 {
			t.Errorf("group's offsets are %v, %v", got, err)
		}
		if err := os.Remove(filepath.Join(dir, cleanMark)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

// A transaction that a kill interrupts stays invisible, whatever the same
// producer does later and however often the broker is killed; and nobody is
// told that it was committed.
func TestOpenTransactionOfAKilledBrokerIsAborted(t *testing.T) {
	dir := t.TempDir()
	_, o := open(t, dir)
	create(t, o)
	if err := write(t, newWriter(t, o), 0); err != nil {
		t.Fatal(err)
	}
	commit := openTransaction(t, o.Brokers[0], 1)
	dir2 := killed(t, dir)
	if err := commit(); err != nil { // in the world in which there was no kill
		t.Fatal(err)
	}

	_, o = open(t, dir2)
	a := create(t, o)
	w := newWriter(t, o)
	checkVisible(t, o, a, 0)
	if n := position(t, a); n != 0 {
		t.Errorf("position %d", n)
	}
	if err := write(t, w, 2); err != nil {
		t.Fatal(err)
	}
	checkVisible(t, o, a, 0, 2)

	_, o = open(t, killed(t, dir2))
	a = create(t, o)
	checkVisible(t, o, a, 0, 2)
	if err := write(t, newWriter(t, o), 3); err != nil {
		t.Fatal(err)
	}
	checkVisible(t, o, a, 0, 2, 3)
}

// A kill between the first and the last partition's marker.
// What was aborted is not handed out, wherever the bounds of fetches fall.
func TestAbortedRecordsStayHiddenFromSmallFetches(t *testing.T) {
	_, o := open(t, t.TempDir())
	create(t, o)
	value := bytes.Repeat([]byte("v"), 3000)
	want := 0
	for i := range 30 {
		cl, err := kgo.NewClient(kgo.SeedBrokers(o.Brokers...), kgo.TransactionalID("one"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			t.Fatal(err)
		}
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		end := kgo.TransactionEndTry(i%2 == 0)
		for p := range int32(3) {
			for range 4 {
				text := value
				if end == kgo.TryAbort {
					text = []byte("aborted")
				} else {
					want++
				}
				if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "data", Partition: p, Value: text}).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cl.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
		cl.Close()
	}
	for _, size := range []int{1000, 3500, 10_000, 20_000} {
		ro := reading(fmt.Sprint("small", size), "data")
		ro.FetchMaxBytes, ro.PartitionMaxBytes = size, size
		r, err := topic.NewReader(t.Context(), o, ro, nil, quiet)
		if err != nil {
			t.Fatal(err)
		}
		got, aborted := 0, 0
		drain(t, r, func(_ topic.Partition, value []byte) {
			if got++; string(value) == "aborted" {
				aborted++
			}
		})
		if aborted > 0 || got != want {
			t.Errorf("fetches of %d bytes: %d records, %d of them aborted; want %d and none", size, got, aborted, want)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestHalfACommitIsCompleted(t *testing.T) {
	dir := t.TempDir()
	_, o := open(t, dir)
	create(t, o)
	if err := write(t, newWriter(t, o), 0); err != nil {
		t.Fatal(err)
	}
	openTransaction(t, o.Brokers[0], 1)
	for _, commit := range []bool{true, false} {
		t.Run(fmt.Sprint("commit=", commit), func(t *testing.T) {
			half := killed(t, dir)
			first := filepath.Join(half, "partitions", "data-0")
			txs, err := scan(first)
			if err != nil || len(txs) != 1 {
				t.Fatalf("scan = %v, %v", txs, err)
			}
			d, err := openDecision(half)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.put(txs[0].producer, commit); err != nil {
				t.Fatal(err)
			}
			if err := endOpen(first, txs[0], commit); err != nil {
				t.Fatal(err)
			}
			_, o := open(t, half)
			a := create(t, o)
			want, pos := []int{0, 1}, 1
			if !commit {
				want, pos = want[:1], 0
			}
			checkVisible(t, o, a, want...)
			if n := position(t, a); n != pos {
				t.Errorf("position %d, want %d", n, pos)
			}
		})
	}
}

// A later transaction must not inherit the decision about the one before.
func TestDecisionIsForOneTransaction(t *testing.T) {
	dir := t.TempDir()
	_, o := open(t, dir)
	create(t, o)
	commit := openTransaction(t, o.Brokers[0], 0)
	if err := commit(); err != nil {
		t.Fatal(err)
	}
	if _, c, ok, err := readDecision(dir); err != nil || !ok || !c {
		t.Fatalf("decision after a commit: %v, %v, %v", c, ok, err)
	}
	openTransaction(t, o.Brokers[0], 1)
	if _, _, ok, err := readDecision(dir); err != nil || ok {
		t.Fatalf("decision while a transaction is open: %v, %v", ok, err)
	}
}

func TestTornEndsAreCut(t *testing.T) {
	dir := t.TempDir()
	_, o := open(t, dir)
	create(t, o)
	w := newWriter(t, o)
	for tx := range 3 {
		if err := write(t, w, tx); err != nil {
			t.Fatal(err)
		}
	}
	for name, damage := range map[string]func(part string) error{
		"half a batch": func(part string) error { return appendTo(part+"/0.dat", make([]byte, 70)) },
		"no index":     func(part string) error { return os.Remove(part + "/0.idx") },
		"index ahead":  func(part string) error { return appendTo(part+"/0.idx", make([]byte, 20)) },
		"index behind": func(part string) error { return os.Truncate(part+"/0.idx", 20) },
	} {
		t.Run(name, func(t *testing.T) {
			torn := killed(t, dir)
			if err := damage(filepath.Join(torn, "partitions", "data-1")); err != nil {
				t.Fatal(err)
			}
			_, o := open(t, torn)
			a := create(t, o)
			checkVisible(t, o, a, 0, 1, 2)
			if err := write(t, newWriter(t, o), 3); err != nil {
				t.Fatal(err)
			}
			checkVisible(t, o, a, 0, 1, 2, 3)
		})
	}
}

func TestOneBrokerAFolder(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	if _, err := Start(Options{Dir: dir}); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), dir) {
		t.Fatalf("second Start = %v", err)
	}
}

// TestKill kills the broker's process at random moments under a producer that
// follows topic's protocol, and looks for lost, doubled and half transactions.
func TestKill(t *testing.T) {
	if dir := os.Getenv("BROKER_KILL_DIR"); dir != "" {
		b, err := Start(Options{Dir: dir, Addr: os.Getenv("BROKER_KILL_ADDR")})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("listening on %s\n", b.Addr())
		select {} // until killed
	}
	dir := t.TempDir()
	addr, kill := startChild(t, dir, "")
	o := options(addr)
	create(t, o).Close()
	stop := make(chan bool)
	var kills sync.WaitGroup
	kills.Go(func() {
		defer close(stop)
		for range 12 {
			time.Sleep(time.Duration(20+rand.IntN(400)) * time.Millisecond)
			kill()
			if _, kill = startChild(t, dir, addr); t.Failed() {
				return
			}
		}
		time.Sleep(200 * time.Millisecond)
	})
	acked, writers := -1, 0
	for running := true; running; writers++ {
		acked, running = produce(t, o, acked, stop)
	}
	kills.Wait()
	a := create(t, o)
	last := position(t, a)
	if last < acked {
		t.Errorf("position %d, but %d was acknowledged", last, acked)
	}
	t.Logf("%d transactions, %d writers", last+1, writers)
	var want []int
	for tx := range last + 1 {
		want = append(want, tx)
	}
	checkVisible(t, o, a, want...)
}

// produce resumes from the position and writes until an error or stop. It
// returns the newest transaction that was acknowledged.
func produce(t *testing.T, o topic.Options, acked int, stop <-chan bool) (int, bool) {
	w, err := topic.NewWriter(t.Context(), o, "one", quiet)
	if err != nil {
		return acked, !fault.NeedsHuman(err) && !t.Failed()
	}
	defer w.Close()
	a, err := topic.NewAdmin(t.Context(), o, quiet)
	if err != nil {
		return acked, !t.Failed()
	}
	defer a.Close()
	text, ok, err := a.Last(t.Context(), "pos", []byte("me"))
	if err != nil {
		return acked, !t.Failed()
	}
	at := -1
	if ok {
		at, _ = strconv.Atoi(string(text))
	}
	if at < acked {
		t.Errorf("position %d, but %d was acknowledged", at, acked)
		return acked, false
	}
	for tx := at + 1; ; tx++ {
		select {
		case <-stop:
			return acked, false
		default:
		}
		err := write(t, w, tx)
		if err == nil {
			acked = tx
			continue
		}
		if fault.NeedsHuman(err) {
			t.Errorf("a killed broker needs a human: %v", err)
			return acked, false
		}
		if !errors.Is(err, topic.ErrAborted) {
			return acked, true
		}
		tx--
	}
}

func startChild(t *testing.T, dir, addr string) (string, func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
	cmd.Env = append(os.Environ(), "BROKER_KILL_DIR="+dir, "BROKER_KILL_ADDR="+addr)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := sync.OnceFunc(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	t.Cleanup(kill)
	for sc := bufio.NewScanner(out); sc.Scan(); {
		if got, ok := strings.CutPrefix(sc.Text(), "listening on "); ok {
			return got, kill
		}
	}
	t.Fatalf("broker did not start: %s", stderr.String())
	return "", nil
}
