package main

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tributary/internal/avro"
	"tributary/internal/column"
	"tributary/internal/config"
	"tributary/internal/fault"
	"tributary/internal/topic"
	"tributary/lake/blob"
	"tributary/lake/blob/s3"
	"tributary/lake/bronze"
	"tributary/tests/s3server"
)

func keysOf(t testing.TB, store blob.Store, prefix string) []string {
	t.Helper()
	var keys []string
	for o, err := range store.List(t.Context(), prefix, "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, o.Key)
	}
	return keys
}

func TestRecordsGoToTheirOwnDay(t *testing.T) {
	h := newHarness(t, topic.Spec{Name: "t.a", Partitions: 1})
	store := &blob.Mem{}
	sink := h.start(h.options(""), store)
	h.write(
		change("t.a", 0, 0, 2, noon), change("t.a", 0, 1, 2, noon.AddDate(0, 0, -400)),
		change("t.a", 0, 2, 2, noon.AddDate(0, 0, 1)), change("t.a", 0, 3, 2, noon))
	h.caughtUp("t.a")
	if err := sink.stop(); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"topics/t.a/year=2025/month=10/day=21/t.a+0+0000000001.avro",
		"topics/t.a/year=2026/month=11/day=25/t.a+0+0000000000.avro",
		"topics/t.a/year=2026/month=11/day=26/t.a+0+0000000002.avro",
	}
	if got := keysOf(t, store, ""); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("got %q", got)
	}
	_, m := readObject(t, store, want[2])
	if m.Durable != 3 {
		t.Errorf("the last object put says %d", m.Durable)
	}
}

func TestSchemaChangeBeginsAFile(t *testing.T) {
	h := newHarness(t, topic.Spec{Name: "t.a", Partitions: 1})
	store := &blob.Mem{}
	h.write(change("t.a", 0, 0, 2, noon), change("t.a", 0, 1, 3, noon), change("t.a", 0, 2, 3, noon), change("t.a", 0, 3, 2, noon))
	sink := h.start(h.options("rotate.schedule.interval.ms: 200\n"), store)
	h.caughtUp("t.a")
	if err := sink.stop(); err != nil {
		t.Fatal(err)
	}
	var got []int64
	for _, key := range keysOf(t, store, "") {
		_, m := readObject(t, store, key)
		got = append(got, m.SchemaID, m.Records)
	}
	if len(got) != 6 || got[0] != 2 || got[2] != 3 || got[3] != 2 || got[4] != 2 {
		t.Errorf("schemas and records: %v", got)
	}
}

func TestRotation(t *testing.T) {
	var records []topic.Record
	for i := range int64(100) {
		records = append(records, change("t.a", 0, i, 2, noon.Add(time.Duration(i)*time.Second)))
	}
	for name, c := range map[string]struct {
		options string
		objects int
	}{
		"by records":     {"flush.size: 30\n", 4},
		"by bytes":       {"flush.bytes: 100\n", 9},
		"by record time": {"rotate.interval.ms: 25000\n", 4},
		"by the clock":   {"rotate.schedule.interval.ms: 300\n", 1},
		"when idle":      {"rotate.idle.ms: 50\n", 1},
		"at the end":     {"rotate.idle.ms: -1\n", 1},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, topic.Spec{Name: "t.a", Partitions: 1})
			h.write(records...)
			store := &blob.Mem{}
			sink := h.start(h.options(c.options), store)
			if name == "by the clock" || name == "when idle" {
				wait(t, "files are put", func() bool { return count(inBronze(t, store, "t.a")) == 100 })
			} else {
				// A batch is taken whole: once a file is open, all is read.
				wait(t, "a file is open", func() bool { return sink.openFiles() > 0 })
			}
			if err := sink.stop(); err != nil {
				t.Fatal(err)
			}
			h.caughtUp("t.a")
			exactlyOnce(t, inBronze(t, store, "t.a")[0], 100)
			if got := len(keysOf(t, store, "")); got != c.objects {
				t.Errorf("%d objects, want %d", got, c.objects)
			}
		})
	}
}

func TestTombstones(t *testing.T) {
	h := newHarness(t, topic.Spec{Name: "t.a", Partitions: 1})
	gone := change("t.a", 0, 1, 2, noon)
	gone.Value = nil
	h.write(change("t.a", 0, 0, 2, noon), gone, change("t.a", 0, 1, 2, noon), gone)
	store := &blob.Mem{}
	sink := h.start(h.options(""), store)
	h.caughtUp("t.a") // the last one too, although no object holds it
	if err := sink.stop(); err != nil {
		t.Fatal(err)
	}
	exactlyOnce(t, inBronze(t, store, "t.a")[0], 2)

	sink = h.start(h.options("group.id: other\nbehavior.on.null.values: fail\n"), &blob.Mem{})
	if err := sink.ended(); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "t.a partition 0, offset 1") {
		t.Errorf("with fail: %v", err)
	}
}

func TestQuarantine(t *testing.T) {
	h := newHarness(t, topic.Spec{Name: "t.a", Partitions: 1})
	noMagic, unknown := change("t.a", 0, 9, 2, noon), change("t.a", 0, 9, 77, noon)
	noMagic.Value = []byte("plain text")
	noMagic.Headers = []topic.Header{{Key: "h", Value: []byte("v")}, {Key: "h", Value: nil}}
	h.write(change("t.a", 0, 0, 2, noon), noMagic, change("t.a", 0, 1, 2, noon), unknown, change("t.a", 0, 2, 2, noon))

	sink := h.start(h.options(""), &blob.Mem{})
	if err := sink.ended(); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "offset 1") || strings.Contains(err.Error(), "plain") || fault.Hint(err) == "" {
		t.Errorf("without tolerance: %v (hint %q)", err, fault.Hint(err))
	}

	store, dir := tempStore(t)
	o := h.options("errors.tolerance: all\n")
	for _, back := range []int64{-1, 0} {
		if back == 0 {
			h.setBack("t.a", 0, 0)
		}
		sink = h.start(o, store)
		h.caughtUp("t.a")
		if err := sink.stop(); err != nil {
			t.Fatal(err)
		}
		exactlyOnce(t, inBronze(t, store, "t.a")[0], 3)
	}
	keys := keysOf(t, store, "topics/_quarantine/")
	if len(keys) != 1 {
		t.Fatalf("quarantine: %q", keys)
	}
	if topics, err := bronze.Topics(t.Context(), store, "topics"); err != nil || len(topics) != 1 {
		t.Errorf("topics %q, %v: the quarantine is none", topics, err)
	}
	rows := fastavroText(t, filepath.Join(dir, keys[0]), `
for r in rows: print(r["topic"], r["partition"], r["offset"], r["key"].hex(), r["value"].hex(), sorted(r["headers"].items()), "no schema id" in r["reason"], "does not know" in r["reason"])`)
	want := "t.a 0 1 000000000112 706c61696e2074657874 [('h', b'v'), ('h#1', None)] True False\n" +
		"t.a 0 3 000000000112 000000004d120c726f77203900 [] False True\n"
	want = strings.ReplaceAll(want, "120c726f77203900", "12020a726f772039")
	if rows != want {
		t.Errorf("got\n%swant\n%s", rows, want)
	}
}

// fastavroText runs a script over the rows of a file, as another maker's reader
// sees them.
func fastavroText(t *testing.T, file, script string) string {
	t.Helper()
	bin, err := filepath.Abs("../../build/venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "-c", "import fastavro, sys\nr = fastavro.reader(open(sys.argv[1], 'rb'))\nrows = list(r)\nmeta = r.metadata\n"+script, file)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("fastavro (install it with: python3 -m venv build/venv && build/venv/bin/pip install fastavro): %s", exit.Stderr)
		}
		t.Fatalf("%v; install fastavro with: python3 -m venv build/venv && build/venv/bin/pip install fastavro", err)
	}
	return string(out)
}

func TestFastavroReadsBronze(t *testing.T) {
	h := newHarness(t, topic.Spec{Name: "t.a", Partitions: 1})
	var records []topic.Record
	for i := range int64(1000) {
		records = append(records, change("t.a", 0, i, 2, noon))
	}
	h.write(records...)
	for _, codec := range []string{"null", "deflate"} {
		store, dir := tempStore(t)
		sink := h.start(h.options("group.id: codec-"+codec+"\navro.codec: "+codec+"\n"), store)
		wait(t, "the object is there", func() bool { return len(keysOf(t, store, "topics/")) == 1 })
		if err := sink.stop(); err != nil {
			t.Fatal(err)
		}
		got := fastavroText(t, filepath.Join(dir, keysOf(t, store, "topics/")[0]), `
print(len(rows), sum(r["id"] for r in rows), rows[999]["text"], meta["avro.codec"], *(meta["tributary." + k] for k in
  ("topic", "partition", "first.offset", "last.offset", "records", "schema.id", "key.fields", "durable.offset")))`)
		if want := "1000 499500 row 999 " + codec + " t.a 0 0 999 1000 2 [\"id\"] 999\n"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestSameRecordsSameBytes(t *testing.T) {
	h := newHarness(t, topic.Spec{Name: "t.a", Partitions: 1})
	for i := range int64(100) {
		h.write(change("t.a", 0, i, 2, noon))
	}
	var files [2][]byte
	for i, group := range []string{"one", "two"} {
		store := &blob.Mem{}
		// The first sink gets all at once, the second a hundred times one.
		sink := h.start(h.options("group.id: "+group+"\nrotate.idle.ms: -1\nflush.size: 100\nmax.partition.fetch.bytes: "+[]string{"1000000", "100"}[i]+"\n"), store)
		h.groupCaughtUp(group, "t.a")
		if err := sink.stop(); err != nil {
			t.Fatal(err)
		}
		o, err := store.Open(t.Context(), "topics/t.a/year=2026/month=11/day=25/t.a+0+0000000000.avro")
		if err != nil {
			t.Fatal(err)
		}
		if files[i], err = io.ReadAll(io.NewSectionReader(o, 0, o.Size())); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Errorf("the same records made %d and %d bytes", len(files[0]), len(files[1]))
	}
}

// TestToS3 goes through a real S3 server.
func TestToS3(t *testing.T) {
	server := s3server.Start(t)
	bucket := server.Bucket(t, "lake")
	h := newHarness(t, topic.Spec{Name: "t.a", Partitions: 4})
	o := h.options("store.url: " + server.URL + "\ns3.bucket.name: lake\ns3.region: us-east-1\naws.access.key.id: " +
		s3server.AccessKey + "\naws.secret.access.key: " + s3server.SecretKey + "\n")
	store, err := o.openStore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sink := h.start(o, store)
	for i := range int64(300) {
		var records []topic.Record
		for p := range int32(4) {
			records = append(records, change("t.a", p, i, 2, noon))
		}
		h.write(records...)
	}
	h.caughtUp("t.a")
	if err := sink.stop(); err != nil {
		t.Fatal(err)
	}
	plain, err := s3.New(t.Context(), bucket)
	if err != nil {
		t.Fatal(err)
	}
	got := inBronze(t, plain, "t.a")
	for p := range int32(4) {
		exactlyOnce(t, got[p], 300)
	}
}

// TestStoreComesBack has the store fail for a while: the sink waits, says so,
// and loses nothing.
func TestStoreComesBack(t *testing.T) {
	h := newHarness(t, topic.Spec{Name: "t.a", Partitions: 1})
	mem := &blob.Mem{}
	store := blob.NewFault(mem)
	store.StopAfter(2, false)
	var tries atomic.Int64
	store.Before(func(int, string) { tries.Add(1) })
	sink := h.start(h.options("flush.size: 10\n"), store)
	for i := range int64(100) {
		h.write(change("t.a", 0, i, 2, noon))
	}
	wait(t, "tries after the one that failed", func() bool { return tries.Load() >= 2+1+2 })
	store.StopAfter(1<<30, false)
	h.caughtUp("t.a")
	if err := sink.stop(); err != nil {
		t.Fatal(err)
	}
	exactlyOnce(t, inBronze(t, mem, "t.a")[0], 100)
}

// TestRebalance starts a second member while the first has open files, and then
// stops the first.
func TestRebalance(t *testing.T) {
	h := newHarness(t, topic.Spec{Name: "t.a", Partitions: 4})
	store := &blob.Mem{}
	o := h.options("rotate.idle.ms: 5000\n")
	n := int64(0)
	write := func(rows int64) {
		for range rows {
			var records []topic.Record
			for p := range int32(4) {
				records = append(records, change("t.a", p, n, 2, noon))
			}
			h.write(records...)
			n++
		}
	}
	write(100)
	sinkA := h.start(o, store)
	wait(t, "the first has files open", func() bool { return sinkA.openFiles() > 0 })
	sinkB := h.start(h.options("rotate.idle.ms: 5000\n"), store)
	wait(t, "the second has files open", func() bool {
		write(1)
		return sinkB.openFiles() > 0
	})
	write(100)
	if err := sinkA.stop(); err != nil {
		t.Fatal(err)
	}
	write(100)
	if err := sinkB.stop(); err != nil {
		t.Fatal(err)
	}
	// What the second had not read when it was stopped.
	sink := h.start(h.options(""), store)
	h.caughtUp("t.a")
	if err := sink.stop(); err != nil {
		t.Fatal(err)
	}
	got := inBronze(t, store, "t.a")
	for p := range int32(4) {
		exactlyOnce(t, got[p], n)
	}
}

// TestFaultsAtStart expects one clear error for what is not there.
func TestFaultsAtStart(t *testing.T) {
	h := newHarness(t)
	for name, c := range map[string]struct {
		options string
		human   bool
		says    string
	}{
		"registry": {"schema.registry.url: http://127.0.0.1:1/apis/registry/v2\nstore.url: file://" + t.TempDir() + "\n", false, "127.0.0.1:1"},
		"bucket":   {"store.url: http://127.0.0.1:1\ns3.bucket.name: b\ns3.part.retries: 1\naws.access.key.id: a\naws.secret.access.key: b\n", false, "127.0.0.1:1"},
	} {
		o := h.options(c.options)
		_, err := newSink(t.Context(), o, nil, quiet)
		if err == nil || fault.NeedsHuman(err) != c.human || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	o := h.options("")
	o.Brokers = []string{"127.0.0.1:1"}
	sink := h.start(o, &blob.Mem{})
	if err := sink.ended(); err == nil || fault.NeedsHuman(err) || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("broker: %v", err)
	}
}

func TestConfigurations(t *testing.T) {
	t.Setenv("KAFKA_BROKERS", "127.0.0.1:9092")
	t.Setenv("REGISTRY_URL", "http://127.0.0.1:8080/apis/registry/v2")
	t.Setenv("LAKE_URL", "file:///tmp/lake")
	if err := config.Load("../../configs/s3-sink.yaml", &options{}); err != nil {
		t.Error(err)
	}
	for text, says := range map[string]string{
		"topic.dirs: x":                    "topics.dir",
		"timezone: Mars/Olympus":           "timezone",
		"partitioner.class: Weekly":        "partitioner.class",
		"flush.bytes: 0":                   "flush.bytes",
		"s3.bucket.name: b":                "store.url",
		"topics: [a]\ntopics.regex: b":     "topics",
		"format.class: ParquetFormat":      "format.class",
		"avro.codec: lz4":                  "avro.codec",
		"topics.dir: /x/":                  "topics.dir",
		"rotate.schedule.interval.ms: 10s": "milliseconds",
	} {
		base := "bootstrap.servers: h:1\ngroup.id: g\nschema.registry.url: http://h\nstore.url: file:///x\nflush.size: 1\n"
		if !strings.HasPrefix(text, "topics:") {
			base += "topics: [a]\n"
		}
		err := config.Parse("x.yaml", []byte(base+text+"\n"), &options{})
		if !fault.NeedsHuman(err) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "x.yaml:") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestAsideSchemaIsWhatIsWritten(t *testing.T) {
	s, err := avro.Parse(asideSchema.Text)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := avro.Compile(s, []avro.Target{{Path: "reason", Kind: column.Bytes}}); err != nil {
		t.Error(err)
	}
}
