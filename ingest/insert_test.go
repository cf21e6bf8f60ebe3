package ingest

import (
	"fmt"
	"testing"

	"tributary/lake"
	"tributary/lake/blob"
)

// TestInsertsAreTakenOnce adds records as rows of their own, in many commits with
// a crash at every operation: each record is one row in the end.
func TestInsertsAreTakenOnce(t *testing.T) {
	for _, how := range []lake.Insertion{{}, {Bulk: true}} {
		t.Run(fmt.Sprint("bulk ", how.Bulk), func(t *testing.T) {
			src := newSales()
			var records []recorded
			for i := range 12 {
				records = append(records, src.record("c", i%5, i, "n")) // keys come again
			}
			for stop := 0; ; stop++ {
				bronzeStore, lakeStore := new(blob.Mem), new(blob.Mem)
				w := newSink(t, bronzeStore, saleTopic, 0, 0)
				for i, r := range records {
					w.put(r)
					if i%3 == 2 {
						w.flush()
					}
				}
				fault := blob.NewFault(lakeStore)
				fault.StopAfter(stop, stop%2 == 0)
				s := newService(t, bronzeStore, fault)
				s.Insert, s.CommitBytes = &how, 1
				first := runUntilError(t.Context(), s)
				s = newService(t, bronzeStore, lakeStore)
				s.Insert, s.CommitBytes = &how, 1
				s.Table.Now, s.Now = later(1e12), later(1e12) // the dead one's lease has run out
				once(t, s)
				table, err := lake.Open(t.Context(), lakeStore, saleBase, lake.Options{})
				must(t, err)
				snap, err := table.AsOf(t.Context(), "")
				must(t, err)
				if snap.Rows() != int64(len(records)) {
					t.Fatalf("stopped after %d operations (%v): %d rows of %d", stop, first, snap.Rows(), len(records))
				}
				want := "INSERT"
				if how.Bulk {
					want = "BULK_INSERT"
				}
				for _, i := range table.Timeline().Completed() {
					if c, err := table.Commit(t.Context(), i); err != nil || c.Operation != want {
						t.Fatalf("commit %s: %+v, %v", i.Time, c, err)
					}
				}
				if !fault.Stopped() {
					must(t, first)
					if stop < 20 {
						t.Fatalf("only %d operations", stop)
					}
					break
				}
			}
		})
	}
}
