package lake

import (
	"path/filepath"
	"strings"
	"testing"
)

// The fuzz targets hold that malformed input is an error: no panic, and no
// memory beyond a small multiple of the input. What was read is written and read
// again where both ways exist.

func FuzzProperties(f *testing.F) {
	f.Add([]byte("#x\na=b\\:c\nd\\ e = \\u0041\\\n  f"))
	f.Fuzz(func(t *testing.T, b []byte) {
		bounded(t, len(b), func() {
			p := parseProperties(b)
			_ = p.check("t")
		})
	})
}

func FuzzCommit(f *testing.F) {
	f.Add([]byte(`{"partitionToWriteStats":{"":[{"fileId":"a","numWrites":1}]},"extraMetadata":{"schema":"{}"}}`))
	body, err := encodeAvroBody(avroJSON(archivedEntry), map[string]any{"commitTime": "x", "actionType": "commit", "actionState": "COMPLETED"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Fuzz(func(t *testing.T, b []byte) {
		var c *Commit
		var err error
		bounded(t, len(b), func() { c, err = parseCommit(b) })
		if err != nil {
			return
		}
		out, err := c.format()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseCommit(out); err != nil {
			t.Fatalf("%s\nis written as\n%s\nwhich is %v", b, out, err)
		}
	})
}

func FuzzAvroBody(f *testing.F) {
	body, err := encodeAvroBody(avroJSON(rollbackMetadata), map[string]any{
		"startRollbackTime": "20260301120203004", "timeTakenInMillis": 5, "totalFilesDeleted": 1, "commitsRollback": []string{"x"},
		"partitionMetadata": map[string]any{"p": map[string]any{"partitionPath": "p", "successDeleteFiles": []string{"f"}}},
		"instantsRollback":  []any{map[string]any{"commitTime": "x", "action": "commit"}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add([]byte(avroMagic))
	f.Fuzz(func(t *testing.T, b []byte) { bounded(t, len(b), func() { _, _ = decodeAvroBody(b) }) })
}

func FuzzSchema(f *testing.F) {
	f.Add(everyKind.JSON())
	f.Add(`{"type":"record","name":"r","fields":[{"name":"x","type":["null",{"type":"array","items":"int"}]}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSchema(text)
		if err != nil {
			return
		}
		again, err := ParseSchema(s.JSON())
		if err != nil {
			t.Fatalf("%s\nis written as\n%s\nwhich is %v", text, s.JSON(), err)
		}
		if len(again.Fields) != len(s.Fields) {
			t.Fatalf("%d fields became %d", len(s.Fields), len(again.Fields))
		}
	})
}

func FuzzNames(f *testing.F) {
	f.Add("0e40e324-1a4f-48c5-abaa-44288f4406b7-0_0-125-118_20261122171015807.parquet")
	f.Add("20260301120203004.commit.requested")
	f.Add("20260301120203004_20260301120204005.commit")
	f.Add("20260301120203004.clustering.inflight")
	f.Add(".0e40e324-1a4f-48c5-abaa-44288f4406b7-0_20261122171015807.log.1_0-1962-3317")
	f.Fuzz(func(t *testing.T, name string) {
		_, _, _ = parseBaseFile(name)
		if l, ok := parseLogFile(name); ok && (l.FileID == "" || l.Version < 0) {
			t.Fatalf("%q is read as %+v", name, l)
		}
		if i, ok := parseTimelineFile(strings.Replace(name, ".clustering.", ".replacecommit.", 1)); ok && timelineFile(i) != name && timelineFile(i) != i.Time+".inflight" && !strings.Contains(name, ".clustering.") {
			t.Fatalf("%q is read as %v, which is named %q", name, i, timelineFile(i))
		}
	})
}

// FuzzHistory reads what archives of version 8 and 9 hold.
func FuzzHistory(f *testing.F) {
	root := "testdata/hudi-tables/hudi-1.1.1/archived_v8/table.zip"
	m := unzip(f, root)
	for info, err := range m.List(f.Context(), ".hoodie/timeline/history/", "") {
		if err != nil {
			f.Fatal(err)
		}
		if strings.HasSuffix(info.Key, ".parquet") {
			b, err := readObject(f.Context(), m, info.Key)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<16 {
			return
		}
		bounded(t, len(b), func() { _ = historyFile(b, func(pastInstant) {}) })
	})
}

func FuzzInstant(f *testing.F) {
	for _, s := range []string{"20260301120203004", "2026-03-01 12:02", "2026-03-01T12:02:03+02:00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		i, err := ParseInstant(s)
		if err != nil {
			return
		}
		if len(i) != instantDigits {
			t.Fatalf("%q is read as %q", s, i)
		}
	})
}

// TestAvroBodiesOfHudi reads what Hudi itself wrote.
func TestAvroBodiesOfHudi(t *testing.T) {
	n := 0
	for _, f := range []string{"orders_pg_nonpart_smallbloom_clean_archive", "orders_part_evolve"} {
		store := untar(t, filepath.Join("testdata", "hudi-format", "truth", f+".tar.gz"))
		for info, err := range store.List(t.Context(), "", "") {
			if err != nil {
				t.Fatal(err)
			}
			i, ok := parseTimelineFile(filepath.Base(info.Key))
			if !ok || info.Size == 0 || i.Action != ActionClean && i.Action != ActionRollback {
				continue
			}
			b, err := readObject(t.Context(), store, info.Key)
			if err != nil {
				t.Fatal(err)
			}
			rec, err := decodeAvroBody(b)
			if err != nil || len(rec) < 3 {
				t.Errorf("%s: %v, %v", info.Key, rec, err)
			}
			n++
		}
	}
	if n == 0 {
		t.Error("no body was read")
	}
}

// TestAvroBodyRoundTrip reads back what is written for other engines.
func TestAvroBodyRoundTrip(t *testing.T) {
	tab := &Table{store: nil, base: "t", opt: Options{}.withDefaults()}
	i := Instant{Time: "20260301120203004", Action: ActionCommit}
	paths := []string{"a.parquet", "p=1/b_0-0-0_20260301120203004.parquet"}
	body, err := encodeAvroBody(avroJSON(rollbackPlan), tab.rollbackPlan(i, paths))
	if err != nil {
		t.Fatal(err)
	}
	rec, err := decodeAvroBody(body)
	if err != nil {
		t.Fatal(err)
	}
	what, _ := rec["instantToRollback"].(map[string]any)
	requests, _ := rec["RollbackRequests"].([]any)
	if what["commitTime"] != i.Time || what["action"] != "commit" || len(requests) != 2 || rec["version"] != int64(1) {
		t.Errorf("the plan is read back as %v", rec)
	}
	second, _ := requests[1].(map[string]any)
	if files, _ := second["filesToBeDeleted"].([]any); len(files) != 1 || files[0] != "t/"+paths[1] || second["partitionPath"] != "p=1" || second["fileId"] != "b" {
		t.Errorf("the second request is %v", second)
	}
}
