package capture_test

import (
	"bufio"
	"os"
	"path/filepath"
	"testing"

	"tributary/capture"
	"tributary/capture/capturetest"
	"tributary/internal/fault"
)

// TestFormsOfDebeziumsOffsets reads what Kafka Connect has of a connector, in all
// forms, and leaves alone what is a position of ours.
func TestFormsOfDebeziumsOffsets(t *testing.T) {
	for text, want := range map[string][3]string{ // server, database, lsn or file
		`{"lsn_proc":5,"messageType":"INSERT","lsn":7,"txId":9}`: {"", "", "7"},
		`{"lsn":7}`: {"", "", "7"},
		`{"file":"bin.1","pos":4,"row":1,"event":2}`:                                                                           {"", "", `"bin.1"`},
		`{"file":"bin.1","pos":4,"ts_sec":1,"gtids":"x"}`:                                                                      {"", "", `"bin.1"`},
		`{"key":["x",{"server":"a"}],"value":{"lsn":7}}`:                                                                       {"a", "", "7"},
		`["x",{"server":"a"}]	{"lsn":6}` + "\n" + `["x",{"server":"a"}]	{"lsn":7}`:                                             {"a", "", "7"},
		`["x",{"server":"b"}] null ["x",{"server":"a"}] {"lsn":7}`:                                                             {"a", "", "7"},
		`{"offsets":[{"partition":{"server":"a","database":"d"},"offset":{"commit_lsn":"00000027:00000ac0:0002","lsn":"d"}}]}`: {"a", "d", `"d"`},
	} {
		list, ok, err := capture.ReadDebezium([]byte(text))
		if err != nil || !ok || len(list) != 1 {
			t.Errorf("%s: %v %v %v", text, list, ok, err)
			continue
		}
		o := list[0]
		at := string(o.Fields["lsn"]) + string(o.Fields["file"])
		if got := [3]string{o.Server, o.Database, at}; got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	for _, text := range []string{
		`{"slot":"s","system":"1","lsn":"0/1"}`, `{"file":"bin.1","pos":4,"server":"x","event":2}`, `{"file":"bin.1","pos":4}`, `{}`, `[]`, `no`, ``, `"x"`,
		`{"position":{"slot":"s","lsn":"0/1"},"incremental":{"tables":[]}}`, `{"databases":{"d":{"commit_lsn":"x"}}}`,
	} {
		if list, ok, err := capture.ReadDebezium([]byte(text)); ok || err != nil {
			t.Errorf("%s: %v %v", text, list, err)
		}
	}
	for _, text := range []string{`{"offsets":[]}`, `["x"] {"lsn":7}`, `["x",{"server":"a"}] null`, `{"offsets":[{"partition":{},"offset":[]}]}`} {
		if _, ok, err := capture.ReadDebezium([]byte(text)); !ok || !fault.NeedsHuman(err) || fault.Hint(err) == "" {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestIncrementalSnapshotsOfDebezium: the tables that it was reading are taken over.
func TestIncrementalSnapshotsOfDebezium(t *testing.T) {
	list, _, err := capture.ReadDebezium([]byte(`{"lsn":7,"incremental_snapshot_primary_key":"aced00","incremental_snapshot_correlation_id":"x",
		"incremental_snapshot_collections":"[{\"incremental_snapshot_collections_id\":\"public.a\",\"incremental_snapshot_collections_additional_condition\":\"id > 3\",\"incremental_snapshot_collections_surrogate_key\":\"n\"},{\"incremental_snapshot_collections_id\":\"public.b\",\"incremental_snapshot_collections_additional_condition\":null}]"}`))
	if err != nil {
		t.Fatal(err)
	}
	tables, err := list[0].Incremental()
	if err != nil || len(tables) != 2 || tables[0] != (capture.DebeziumTable{Name: "public.a", Filter: "id > 3", By: "n"}) || tables[1].Name != "public.b" {
		t.Errorf("%+v %v", tables, err)
	}
}

// TestRecordedOffsets: every offset that was recorded of the real Debezium is taken
// for one, and those of snapshots in work are told from the others.
func TestRecordedOffsets(t *testing.T) {
	n, unfinished := 0, 0
	for _, root := range capturetest.Roots(t) {
		files, err := filepath.Glob(filepath.Join(root, "debezium", "*", "*", "*", "offsets.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			for in := bufio.NewScanner(f); in.Scan(); n++ {
				list, ok, err := capture.ReadDebezium(in.Bytes())
				if err != nil || !ok || len(list) != 1 {
					t.Fatalf("%s: %v %v", in.Text(), ok, err)
				}
				if list[0].Unfinished() {
					unfinished++
				}
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n < 100 || unfinished == 0 || unfinished > n/2 {
		t.Errorf("%d offsets, %d of them of snapshots in work", n, unfinished)
	}
}
