package lake

import (
	"fmt"
	"slices"
	"testing"

	"tributary/lake/blob"
)

func TestInsertOverwrite(t *testing.T) {
	for _, whole := range []bool{false, true} {
		mem := new(blob.Mem)
		cfg := saleConfig()
		partitioned(&cfg)
		tab := create(t, mem, cfg, Options{MaxFileRows: 5})
		a := upsert(t, tab, nil, manyRows(1, 30, 0)...)
		before := dump(t, tab, "")
		_, err := tab.InsertOverwrite(t.Context(), rowsOf(
			row{id: 3, qty: 1, price: 1, at: 1, note: "moves here", seq: 1}, // from qty=0, with an older seq
			row{id: 100, qty: 1, price: 1, at: 1, note: "new", seq: 2},
			row{id: 101, qty: 1, price: 1, at: 1, note: "gone", seq: 3}, row{id: 101, gone: true, seq: 4},
		), whole, map[string]string{"k": "v"})
		must(t, err)
		want := []string{"100|1|0.01|1|new|false|0000000000000002", "3|1|0.01|1|moves here|false|0000000000000001"}
		for _, l := range before {
			var id, qty int
			fmt.Sscanf(l, "%d|%d|", &id, &qty)
			if !whole && qty != 1 && id != 3 {
				want = append(want, l)
			}
		}
		slices.Sort(want)
		for _, tab := range []*Table{tab, openTable(t, mem, Options{})} {
			wantLines(t, fmt.Sprint("whole table ", whole), dump(t, tab, ""), want...)
			wantLines(t, "before", dump(t, tab, a.Time), before...)
		}
		// What was replaced is inserted anew, not updated where it is no more.
		upsert(t, tab, nil, row{id: 4, qty: 1, price: 5, at: 5, note: "again", seq: 50})
		if got := len(dump(t, openTable(t, mem, Options{}), "")); got != len(want)+1 {
			t.Errorf("%d rows, want %d", got, len(want)+1)
		}
		c, err := tab.Commit(t.Context(), tab.Timeline().Completed()[1])
		must(t, err)
		if len(c.Replaced["qty=1"]) == 0 || c.Extra["k"] != "v" || whole != (c.Operation == "INSERT_OVERWRITE_TABLE") {
			t.Errorf("commit %+v", c)
		}
	}
}

func TestDeletePartitionsAndClean(t *testing.T) {
	mem, clk := new(blob.Mem), newClock()
	cfg := saleConfig()
	partitioned(&cfg)
	tab := create(t, mem, cfg, Options{Now: clk.now})
	a := upsert(t, tab, nil, manyRows(1, 9, 0)...)
	all := dump(t, tab, "")
	d, err := tab.DeletePartitions(t.Context(), []string{"qty=1"}, nil)
	must(t, err)
	if again, err := tab.DeletePartitions(t.Context(), []string{"qty=1", "qty=77"}, nil); again != d || err != nil {
		t.Errorf("deleted nothing at %v, %v", again, err)
	}
	left := dump(t, tab, "")
	if len(left) != 6 {
		t.Fatalf("%d rows left", len(left))
	}
	wantLines(t, "before", dump(t, tab, a.Time), all...)
	upsert(t, tab, nil, manyRows(2, 2, 500)...)
	last := upsert(t, tab, nil, manyRows(3, 3, 900)...)
	if n, err := tab.Archive(t.Context(), 1, 1); n != 0 || err != nil {
		t.Fatalf("archived %d: %v", n, err)
	}
	if _, err := tab.Clean(t.Context(), Retention{Commits: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := tab.Archive(t.Context(), 1, 1); err != nil {
		t.Fatal(err)
	}
	// The replacecommit is archived and its files are gone, so that nothing comes back.
	if got := tab.Timeline().Oldest(); got != last {
		t.Errorf("the oldest active commit is %v", got)
	}
	for _, tab := range []*Table{tab, openTable(t, mem, Options{})} {
		if got := len(dump(t, tab, "")); got != 6 {
			t.Errorf("%d rows at the end", got)
		}
	}
}

func TestClusterKeepsRows(t *testing.T) {
	mem, clk := new(blob.Mem), newClock()
	cfg := saleConfig()
	tab := create(t, mem, cfg, Options{Now: clk.now, MaxFileRows: 4, LockValidity: 1 << 40})
	for i := range 6 {
		upsert(t, tab, map[string]string{"cursor": fmt.Sprint(i)}, manyRows(i*10, i*10+9, i*100)...)
	}
	if _, err := tab.Evolve(Schema{Fields: []Field{{"added", Simple(Long), true}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := tab.Upsert(t.Context(), Rows{Batch: tab.Schema().NewBatch()}, map[string]string{"cursor": "last"}); err != nil {
		t.Fatal(err)
	}
	meta := []string{"_hoodie_commit_time", "_hoodie_commit_seqno", "_hoodie_record_key", "_hoodie_partition_path", "id", "note", "__seq", "added"}
	rows := func() []string {
		s, err := tab.AsOf(t.Context(), "")
		must(t, err)
		return dumpSnapshot(t, s, meta)
	}
	before, at := rows(), tab.Timeline().Newest().Time
	tab.opt.MaxFileRows = 35
	i, err := tab.Cluster(t.Context(), Clustering{})
	must(t, err)
	if i.IsZero() || i.Action != ActionReplaceCommit {
		t.Fatalf("clustered at %v", i)
	}
	s, err := tab.AsOf(t.Context(), "")
	must(t, err)
	if n := len(s.Files()); n != 2 {
		t.Errorf("%d files, want 2", n)
	}
	wantLines(t, "clustered", rows(), before...)
	old, err := tab.AsOf(t.Context(), at)
	must(t, err)
	if n := len(old.Files()); n < 10 {
		t.Errorf("%d files before", n)
	}
	v, _, _, err := tab.Extra(t.Context(), "cursor")
	if v != "last" || err != nil {
		t.Errorf("cursor %q, %v", v, err)
	}
	upsert2 := func(tab *Table) {
		b := rowsOf(row{id: 7, qty: 1, price: 1, at: 1, note: "updated", seq: 9999})
		b.Batch.Cols = append(b.Batch.Cols, tab.Schema().NewBatch().Cols[len(saleSchema.Fields)])
		b.Batch.Cols[len(saleSchema.Fields)].AppendInt(5)
		_, err := tab.Upsert(t.Context(), b, nil)
		must(t, err)
	}
	upsert2(tab)
	if got := len(rows()); got != 60 {
		t.Errorf("%d rows after an update, want 60", got)
	}
	if i, err := tab.Cluster(t.Context(), Clustering{}); !i.IsZero() || err != nil {
		t.Errorf("clustered again at %v, %v", i, err)
	}
}
