package main

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"tributary/internal/topic"
	"tributary/lake/blob"
)

// days spreads records over folders: mostly today, some late, some early.
func days(r *rand.Rand) time.Time {
	switch r.IntN(10) {
	case 0:
		return noon.AddDate(0, 0, -1-r.IntN(3))
	case 1:
		return noon.AddDate(0, 0, 1)
	}
	return noon
}

// workload returns n records for each partition, of changing schemas and days.
func workload(r *rand.Rand, partitions int32, n int64) []topic.Record {
	var out []topic.Record
	schema := uint32(2)
	for i := range n {
		if r.IntN(40) == 0 {
			schema = 5 - schema
		}
		for p := range partitions {
			out = append(out, change("t.a", p, i, schema, days(r)))
		}
	}
	return out
}

// TestCrashBetweenAnyTwoOperations stops the store after operation k, for every
// k, starts the sink anew, and expects each record exactly once.
func TestCrashBetweenAnyTwoOperations(t *testing.T) {
	const partitions, n = 2, 120
	for _, ambiguous := range []bool{false, true} {
		t.Run(fmt.Sprintf("ambiguous=%v", ambiguous), func(t *testing.T) {
			for k := 0; ; k++ {
				if crashAt(t, k, ambiguous, partitions, n) {
					if k < 10 {
						t.Errorf("the work took %d operations only", k)
					}
					return
				}
			}
		})
	}
}

// crashAt reports whether the whole work was done before operation k.
func crashAt(t *testing.T, k int, ambiguous bool, partitions int32, n int64) (whole bool) {
	t.Helper()
	h := newHarness(t, topic.Spec{Name: "t.a", Partitions: partitions})
	h.write(workload(rand.New(rand.NewPCG(1, uint64(k))), partitions, n)...)
	store := &blob.Mem{}
	faulty := blob.NewFault(store)
	faulty.StopAfter(k, ambiguous)
	o := h.options("flush.size: 50\n")
	sink := h.start(o, faulty)
	wait(t, "the sink is done or the store has stopped", func() bool {
		return faulty.Stopped() || int64(count(inBronze(t, store, "t.a"))) == int64(partitions)*n
	})
	whole = !faulty.Stopped()
	if err := sink.stop(); err != nil && whole {
		t.Fatalf("k=%d: %v", k, err)
	}
	sink = h.start(o, store)
	h.caughtUp("t.a")
	if err := sink.stop(); err != nil {
		t.Fatalf("k=%d: %v", k, err)
	}
	got := inBronze(t, store, "t.a")
	for p := range partitions {
		exactlyOnce(t, got[p], n)
	}
	if t.Failed() {
		t.Fatalf("with a crash at operation %d", k)
	}
	return whole
}

// TestCommitLost sets the group's offsets back, as when the process dies
// between the put and the commit, and reads again.
func TestCommitLost(t *testing.T) {
	const n = 200
	for _, extractor := range []string{"Record", "Wallclock"} {
		t.Run(extractor, func(t *testing.T) {
			h := newHarness(t, topic.Spec{Name: "t.a", Partitions: 1})
			r := rand.New(rand.NewPCG(2, 2))
			h.write(workload(r, 1, n)...)
			store := &blob.Mem{}
			o := h.options("flush.size: 30\ntimestamp.extractor: " + extractor + "\n")
			var calls atomic.Int64
			for run, back := range []int64{-1, 0, 17, 30, 45, 100, 199} {
				if back >= 0 {
					h.setBack("t.a", 0, back)
				}
				// The clock passes midnight within each run, elsewhere each time.
				h.clock = func() time.Time {
					return noon.AddDate(0, 0, run+int(calls.Add(1)/int64(70+run)))
				}
				sink := h.start(o, store)
				h.caughtUp("t.a")
				if err := sink.stop(); err != nil {
					t.Fatal(err)
				}
				exactlyOnce(t, inBronze(t, store, "t.a")[0], n)
				if t.Failed() {
					t.Fatalf("after the group was set back to %d", back)
				}
			}
		})
	}
}

// setBack commits an offset for the group while the sink does not run.
func (h *harness) setBack(topicName string, partition int32, next int64) {
	h.t.Helper()
	o := h.options("")
	r, err := topic.NewReader(h.t.Context(), o.Options, o.ReaderOptions, nil, quiet)
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := r.Poll(h.t.Context(), 200*time.Millisecond, 1); err != nil {
		h.t.Fatal(err)
	}
	if err := r.Commit(h.t.Context(), map[topic.Partition]int64{{Topic: topicName, ID: partition}: next}); err != nil {
		h.t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		h.t.Fatal(err)
	}
}

// TestTwoSinksThatBothBelieveToOwn runs a second sink of another group into the
// same place: whoever comes second must notice and write nothing twice.
func TestTwoSinksThatBothBelieveToOwn(t *testing.T) {
	const n = 2000
	h := newHarness(t, topic.Spec{Name: "t.a", Partitions: 1})
	store := &blob.Mem{}
	a, b := h.options("flush.size: 37\n"), h.options("flush.size: 23\n")
	b.Group = "other"
	sinkA, sinkB := h.start(a, store), h.start(b, store)
	r := rand.New(rand.NewPCG(3, 3))
	all := workload(r, 1, n)
	for i := 0; i < n; i += 100 {
		h.write(all[i : i+100]...)
	}
	h.caughtUp("t.a")
	errA, errB := sinkA.stop(), sinkB.stop()
	if errA != nil || errB != nil {
		t.Errorf("%v, %v", errA, errB)
	}
	exactlyOnce(t, inBronze(t, store, "t.a")[0], n)
}
