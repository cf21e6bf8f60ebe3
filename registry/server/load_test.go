package server

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// debezium is a schema of a usual size, different for each n.
func debezium(n int) string {
	var fields strings.Builder
	for i := range 12 {
		fmt.Fprintf(&fields, `{"name":"column_%d_%d","type":["null",{"type":"long","connect.version":1,"connect.name":"io.debezium.time.MicroTimestamp"}],"default":null},`, n, i)
	}
	return fmt.Sprintf(`{"type":"record","name":"Envelope","namespace":"tickit.t%d","fields":[{"name":"before","type":["null",{"type":"record","name":"Value","fields":[%s],"connect.name":"Value"}],"default":null},{"name":"after","type":["null","Value"],"default":null},{"name":"op","type":"string"}]}`,
		n, strings.TrimSuffix(fields.String(), ","))
}

// rss is the process's resident memory, bytes.
func rss(t testing.TB, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatalf("the memory of a server is read from /proc: %v", err)
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(v, "kB")), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// BenchmarkConcurrentClients has 100 clients register the same 1,000 schemas
// with a server in a process of its own, each client in another order, and
// reports the latencies and the server's memory.
func BenchmarkConcurrentClients(b *testing.B) {
	for range b.N {
		p99, p50, memory, rate := concurrentClients(b, 100, 1000)
		b.ReportMetric(float64(p99.Microseconds())/1000, "p99-ms")
		b.ReportMetric(float64(p50.Microseconds())/1000, "p50-ms")
		b.ReportMetric(float64(memory)/(1<<20), "server-MB")
		b.ReportMetric(rate, "requests/s")
	}
}

// TestConcurrentClients is the same, smaller: each content gets one id.
func TestConcurrentClients(t *testing.T) {
	p99, p50, memory, rate := concurrentClients(t, 100, 50)
	t.Logf("p50 %s, p99 %s, %.0f requests/s, server %d MB", p50, p99, rate, memory>>20)
	if memory > 100<<20 {
		t.Errorf("server has %d MB", memory>>20)
	}
}

func concurrentClients(t testing.TB, clients, schemas int) (p99, p50 time.Duration, memory int64, rate float64) {
	base, pid, stop := startServer(t, filepath.Join(t.TempDir(), "registry.db"))
	defer stop()
	texts := make([]string, schemas)
	for i := range texts {
		texts[i] = debezium(i)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients, MaxConnsPerHost: clients}}
	took := make([][]time.Duration, clients)
	ids := make([][]int64, clients)
	began := time.Now()
	var wg sync.WaitGroup
	for c := range clients {
		ids[c] = make([]int64, schemas)
		wg.Go(func() {
			for i := range schemas {
				n := (i*7 + c*31) % schemas
				start := time.Now()
				id, _, err := register(client, base, fmt.Sprint("tickit.t", n, "-value"), texts[n])
				if err != nil {
					t.Error(err)
					return
				}
				took[c] = append(took[c], time.Since(start))
				ids[c][n] = id
			}
		})
	}
	wg.Wait()
	rate = float64(clients*schemas) / time.Since(began).Seconds()
	seen := make(map[int64]bool)
	for n := range schemas {
		for c := range clients {
			if ids[c][n] != ids[0][n] {
				t.Fatalf("schema %d has the ids %d and %d", n, ids[0][n], ids[c][n])
			}
		}
		if seen[ids[0][n]] {
			t.Fatalf("id %d was given twice", ids[0][n])
		}
		seen[ids[0][n]] = true
	}
	all := slices.Concat(took...)
	slices.Sort(all)
	t.Logf("p90 %s, p95 %s, p98 %s, p99 %s, p99.9 %s, max %s", all[len(all)*90/100], all[len(all)*95/100], all[len(all)*98/100], all[len(all)*99/100], all[len(all)*999/1000], all[len(all)-1])
	return all[len(all)*99/100], all[len(all)/2], rss(t, pid), rate
}

// fill stores n versions, as a hundred registrations would leave them.
func fill(t testing.TB, file string, n int) {
	t.Helper()
	s, err := Open(Config{File: file}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.store.db.NoSync = true
	for from := 0; from < n; from += 2000 {
		err := s.store.db.Update(func(b *bolt.Tx) error {
			for i := from; i < min(from+2000, n); i++ {
				d := &draft{key: key{"default", fmt.Sprint("topic-", i/10)}, artifactType: "AVRO", text: []byte(debezium(i)), ifExists: existsAdd}
				if err := s.store.prepare(d); err != nil {
					return err
				}
				a, err := tx{b}.artifact(d.key)
				if err != nil {
					return err
				}
				if _, _, err := s.store.add(tx{b}, a, d); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.store.db.Sync(); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkRestart starts a server with 100,000 versions and asks it for each
// of 10,000 schemas by id.
func BenchmarkRestart(b *testing.B) { restart(b, b.N, 100_000) }

// TestRestart is the same with 10,000: it must not depend on how many there
// are.
func TestRestart(t *testing.T) { restart(t, 1, 10_000) }

func restart(t testing.TB, times, versions int) {
	file := filepath.Join(t.TempDir(), "registry.db")
	fill(t, file, versions)
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	if b, ok := t.(*testing.B); ok {
		b.ResetTimer()
	}
	for range times {
		began := time.Now()
		base, pid, stop := startServer(t, file)
		id, _, err := register(http.DefaultClient, base, "topic-0", debezium(9))
		if err != nil || id != 10 {
			t.Fatalf("after the restart, the tenth schema has the id %d, %v", id, err)
		}
		took := time.Since(began)
		var text bytes.Buffer
		for i := 1; i <= versions; i += max(versions/10_000, 1) {
			resp, err := http.Get(fmt.Sprintf("%s/apis/ccompat/v7/schemas/ids/%d", base, i))
			if err != nil {
				t.Fatal(err)
			}
			text.Reset()
			_, err = text.ReadFrom(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("schema %d: %d %s %v", i, resp.StatusCode, text.String(), err)
			}
		}
		memory := rss(t, pid)
		stop()
		if b, ok := t.(*testing.B); ok {
			b.ReportMetric(float64(took.Milliseconds()), "start-ms")
			b.ReportMetric(float64(memory)/(1<<20), "server-MB")
			b.ReportMetric(float64(info.Size())/(1<<20), "file-MB")
			continue
		}
		if took > 2*time.Second || memory > 100<<20 {
			t.Errorf("started in %s, %d MB after 10,000 look-ups", took, memory>>20)
		}
	}
}
