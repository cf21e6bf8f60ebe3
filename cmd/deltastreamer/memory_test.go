package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"tributary/lake/blob"
)

// asDaemon makes a test binary be the daemon, with arguments parted by spaces.
const asDaemon = "DELTASTREAMER_TEST_ARGS"

func TestMain(m *testing.M) {
	if args := os.Getenv(asDaemon); args != "" {
		os.Args = append([]string{"deltastreamer"}, strings.Fields(args)...)
		main()
	}
	os.Exit(m.Run())
}

// daemon runs the daemon as a process of its own, and returns the most memory that
// it had, in bytes, and the time that it took.
func daemon(tb testing.TB, args string) (peak int64, took time.Duration) {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), asDaemon+"="+args)
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("deltastreamer %s: %v\n%s", args, err, out)
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		tb.Fatal("the system tells no memory of processes")
	}
	return usage.Maxrss << 10, time.Since(began)
}

// peakGoal is the most memory that the streamer may have, whatever the table's size.
const peakGoal = 256 << 20

// loaded makes a table of many rows, and then puts changes of it into bronze: one
// row in so many, all over the table. It returns the configuration and the most
// memory that loading took.
func loaded(tb testing.TB, rows, step int64) (file string, peak int64) {
	tb.Helper()
	dir := tb.TempDir()
	store, err := blob.NewDir(dir)
	must(tb, err)
	file = configFile(tb, fmt.Sprintf("store.url: file://%s\ntopics.dir: bronze/topics\nindex.dir: %s\n", dir, tb.TempDir()))
	const object, topic = 100_000, "tickit.ecomm.sale"
	for first := int64(0); first < rows; first += object {
		putRows(tb, store, topic, first, min(object, rows-first))
	}
	peak, _ = daemon(tb, "run -c "+file+" --once --op BULK_INSERT")
	if n := countRows(tb, store, "default/sale"); n != rows {
		tb.Fatalf("%d rows of %d", n, rows)
	}
	putKeys(tb, store, topic, rows, rows/step, func(i int64) int64 { return (i - rows) * step })
	return file, peak
}

// TestMemoryIsBounded loads a table and changes rows all over it.
func TestMemoryIsBounded(t *testing.T) {
	file, load := loaded(t, 300_000, 10)
	round, took := daemon(t, "run -c "+file+" --once")
	t.Logf("loading took %d MiB, a round %d MiB and %v", load>>20, round>>20, took)
	if load > peakGoal || round > peakGoal {
		t.Errorf("loading took %d MiB, a round %d MiB of at most %d", load>>20, round>>20, peakGoal>>20)
	}
}

// BenchmarkGoalMemory does so with a large table.
func BenchmarkGoalMemory(b *testing.B) {
	for b.Loop() {
		file, load := loaded(b, 5_000_000, 100)
		round, took := daemon(b, "run -c "+file+" --once")
		b.ReportMetric(float64(load>>20), "MiB-load")
		b.ReportMetric(float64(round>>20), "MiB-round")
		b.ReportMetric(took.Seconds(), "s-round")
		if load > peakGoal || round > peakGoal {
			b.Errorf("loading took %d MiB, a round %d MiB of at most %d", load>>20, round>>20, peakGoal>>20)
		}
	}
}
