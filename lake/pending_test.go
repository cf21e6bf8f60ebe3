package lake

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"tributary/internal/fault"
	"tributary/lake/blob"
)

// planLikeSpark puts a clustering of the files onto the timeline, as Spark does,
// and returns its time.
func planLikeSpark(t *testing.T, clk *clock, store blob.Store, tab *Table, files []BaseFile) string {
	t.Helper()
	var slices []any
	for _, f := range files {
		slices = append(slices, map[string]any{
			"dataFilePath": "file:/lake/" + f.Key, "deltaFilePaths": []any{}, "fileId": f.FileID,
			"partitionPath": f.Partition, "bootstrapFilePath": "", "version": 1,
		})
	}
	plan := map[string]any{
		"inputGroups": []any{map[string]any{"slices": slices, "numOutputFileGroups": 1, "version": 1}}, "preserveHoodieMetadata": true, "version": 1,
		"strategy": map[string]any{"strategyClassName": "org.apache.hudi.client.clustering.plan.strategy.SparkSizeBasedClusteringPlanStrategy", "strategyParams": map[string]any{}, "version": 1},
	}
	body, err := encodeAvroBody(avroJSON(requestedReplace), map[string]any{"operationType": "CLUSTER", "clusteringPlan": plan, "version": 1})
	must(t, err)
	at := FormatInstant(clk.now())
	putObject(t, store, join(tab.Base(), ".hoodie/"+at+".replacecommit.requested"), body)
	putObject(t, store, join(tab.Base(), ".hoodie/.temp/"+at+"/MARKERS0"), []byte("x.parquet.marker.CREATE"))
	return at
}

func putObject(t *testing.T, store blob.Store, key string, body []byte) {
	t.Helper()
	_, err := store.Put(t.Context(), key, bytes.NewReader(body), int64(len(body)), blob.IfAbsent())
	must(t, err)
}

// TestWritesBesideAPlannedClustering goes on while a clustering of Spark waits:
// what it does not touch is written, what it does touch is refused.
func TestWritesBesideAPlannedClustering(t *testing.T) {
	mem, clk := new(blob.Mem), newClock()
	opt := Options{Now: clk.now, MaxFileRows: 10, LockValidity: 1 << 40}
	tab := create(t, mem, saleConfig(), opt)
	upsert(t, tab, nil, manyRows(1, 25, 0)...) // files of rows 1-10, 11-20 and 21-25
	s, err := tab.AsOf(t.Context(), "")
	must(t, err)
	fileOf := func(id string) BaseFile {
		for _, f := range s.files {
			one := *s
			one.files = []BaseFile{f}
			if ids(dumpSnapshot(t, &one, nil))[id] > 0 {
				return f
			}
		}
		t.Fatalf("no file has row %s", id)
		return BaseFile{}
	}
	held := []BaseFile{fileOf("1"), fileOf("21")}
	at := planLikeSpark(t, clk, mem, tab, held)
	before := dump(t, tab, "")
	for n, restart := range []bool{false, true} {
		if restart {
			must(t, tab.Close(t.Context()))
			tab = openTable(t, mem, opt)
		}
		for name, do := range map[string]func() error{
			"upsert": func() error { _, err := tab.Upsert(t.Context(), rowsOf(row{id: 2, qty: 7, seq: 500}), nil); return err },
			"delete": func() error {
				_, err := tab.Upsert(t.Context(), rowsOf(row{id: 21, gone: true, seq: 500}), nil)
				return err
			},
			"overwrite": func() error {
				_, err := tab.InsertOverwrite(t.Context(), rowsOf(manyRows(1, 2, 500)...), true, nil)
				return err
			},
			"partition": func() error { _, err := tab.DeletePartitions(t.Context(), []string{""}, nil); return err },
		} {
			err := do()
			if !fault.NeedsHuman(err) || !strings.Contains(err.Error(), at) || !strings.Contains(fault.Hint(err), "run_clustering(table => 'sale'") {
				t.Fatalf("%s: %v (%s)", name, err, fault.Hint(err))
			}
		}
		wantLines(t, "after what was refused", dump(t, tab, ""), before...)
		// The small file of the plan takes no new rows.
		upsert(t, tab, nil, row{id: 12, qty: 7 + n, price: 7, at: 7, note: "w", seq: 600 + n}, row{id: int64(31 + n), qty: 1, price: 1, at: 1, note: "new", seq: 601})
		if _, err := tab.Cluster(t.Context(), Clustering{MinFiles: 2}); err != nil {
			t.Fatal(err)
		}
		if _, err := tab.Clean(t.Context(), Retention{Commits: 1}); err != nil {
			t.Fatal(err)
		}
		if _, err := tab.Archive(t.Context(), 1, 2); err != nil {
			t.Fatal(err)
		}
		before = dump(t, tab, "")
		for _, f := range held {
			_, err := readObject(t.Context(), mem, f.Key)
			must(t, err)
		}
		_, err := readObject(t.Context(), mem, join(tab.Base(), ".hoodie/.temp/"+at+"/MARKERS0"))
		must(t, err) // Spark finds what it left by its markers
	}
	// The plan is taken back, before the eyes of a writer that goes on.
	must(t, mem.Delete(t.Context(), join(tab.Base(), ".hoodie/"+at+".replacecommit.requested")))
	upsert(t, tab, nil, row{id: 2, qty: 7, price: 7, at: 7, note: "w", seq: 500})
	if n := len(ids(dump(t, tab, ""))); n != 27 {
		t.Errorf("%d keys", n)
	}
}

// TestSparkCompletesItsClustering takes a clustering of Spark back to where it was
// half done, and completes it while we write.
func TestSparkCompletesItsClustering(t *testing.T) {
	for _, name := range []string{"hudi-0.15.0/sale_replace", "hudi-1.1.1/sale_replace"} {
		t.Run(name, func(t *testing.T) {
			dir, tab := sparkTable(t, name)
			var clustering Instant
			for _, i := range tab.Timeline().Completed() {
				if c, err := tab.Commit(t.Context(), i); err == nil && c.Operation == "CLUSTER" {
					clustering = i
				}
			}
			if clustering.IsZero() {
				t.Fatal("the table has no clustering")
			}
			completed, err := readObject(t.Context(), dir, "t/.hoodie/"+timelineFile(clustering))
			must(t, err)
			later := []string{"t/.hoodie/" + timelineFile(clustering)}
			for info, err := range dir.List(t.Context(), "t/", "") {
				must(t, err)
				file := filepath.Base(info.Key)
				if i, ok := parseTimelineFile(file); ok && i.Time > clustering.Time {
					later = append(later, info.Key)
				}
				if _, at, ok := parseBaseFile(file); ok && at > clustering.Time {
					later = append(later, info.Key)
				}
			}
			must(t, dir.Delete(t.Context(), later...))
			tab, err = Open(t.Context(), dir, "t", Options{})
			must(t, err)
			defer tab.Close(t.Context())
			rows, before := allRows(t, tab, "qtysold")
			newer(t, tab, rows)
			if _, err := tab.Upsert(t.Context(), Rows{Batch: rows}, nil); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), clustering.Time) {
				t.Fatalf("an upsert of what is to be clustered: %v", err)
			}
			// A row of a new key goes beside.
			one := tab.Schema().NewBatch()
			for c := range one.Cols {
				one.Cols[c].Append(&rows.Cols[c], 0)
			}
			one.Len = 1
			one.Cols[tab.Schema().Index("saleid")].Ints[0] = 999_999
			_, err = tab.Upsert(t.Context(), Rows{Batch: one}, nil)
			must(t, err)
			putObject(t, dir, "t/.hoodie/"+timelineFile(clustering), completed)
			q := &rows.Cols[tab.Schema().Index("qtysold")]
			for r := range q.Ints {
				q.Ints[r] += 1000
			}
			_, err = tab.Upsert(t.Context(), Rows{Batch: rows}, nil)
			must(t, err)
			_, after := allRows(t, tab, "qtysold")
			if len(after) != len(before)+1 {
				t.Errorf("%d rows became %d", len(before), len(after))
			}
			for k, v := range before {
				if after[k] != v+1000 {
					t.Errorf("key %s: %d became %d", k, v, after[k])
				}
			}
			sameAsHudiRs(t, tab, dir.Path("t"))
		})
	}
}
