package lake

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"

	"tributary/internal/column"
	"tributary/lake/blob"
)

// operations returns the operation types of the table's commits, from the bodies
// of both the inflight and the completed files.
func operations(t *testing.T, store blob.Store, tab *Table) []string {
	t.Helper()
	var out []string
	for _, i := range tab.Timeline().Completed() {
		done, err := tab.Commit(t.Context(), i)
		must(t, err)
		i.State = StateInflight
		b, err := readObject(t.Context(), store, join(tab.Base(), ".hoodie/"+timelineFile(i)))
		must(t, err)
		began, err := parseCommit(b)
		must(t, err)
		if began.Operation != done.Operation {
			t.Errorf("%s was begun as %s and completed as %s", i.Time, began.Operation, done.Operation)
		}
		out = append(out, done.Operation)
	}
	return out
}

func insert(t *testing.T, tab *Table, how Insertion, rows ...row) Instant {
	t.Helper()
	i, err := tab.Insert(t.Context(), rowsOf(rows...), how, nil)
	must(t, err)
	return i
}

// ids returns the first cell of each line, counted.
func ids(lines []string) map[string]int {
	out := map[string]int{}
	for _, l := range lines {
		id, _, _ := strings.Cut(l, "|")
		out[id]++
	}
	return out
}

func TestInsertTakesRowsAsTheyAre(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
	}{{"plain", func(*Config) {}}, {"partitioned", partitioned}} {
		t.Run(c.name, func(t *testing.T) {
			dir, err := blob.NewDir(t.TempDir())
			must(t, err)
			cfg := saleConfig()
			c.change(&cfg)
			tab := create(t, dir, cfg, Options{Now: newClock().now, MaxFileRows: 10})
			insert(t, tab, Insertion{Bulk: true}, manyRows(1, 25, 0)...)
			// Key 3 comes again, key 40 twice in one batch, and a removal adds nothing.
			same := row{id: 3, qty: 0, price: 1, at: 1, note: "again", seq: 1}
			twice := row{id: 40, qty: 1, price: 1, at: 1, note: "x", seq: 2}
			insert(t, tab, Insertion{}, same, twice, twice, row{id: 50, gone: true, seq: 3})
			got := ids(dump(t, tab, ""))
			if got["3"] != 2 || got["40"] != 2 || got["50"] != 0 || len(got) != 26 {
				t.Errorf("rows by key: %v", got)
			}
			insert(t, tab, Insertion{Combine: true}, row{id: 60, qty: 1, price: 1, at: 1, note: "old", seq: 1}, row{id: 60, qty: 1, price: 2, at: 1, note: "new", seq: 2})
			insert(t, tab, Insertion{Bulk: true, DropDuplicates: true}, row{id: 60, qty: 1, price: 9, at: 9, note: "late", seq: 9}, row{id: 61, qty: 1, price: 1, at: 1, note: "n", seq: 1})
			lines := dump(t, tab, "")
			if got := ids(lines); got["60"] != 1 || got["61"] != 1 || !strings.Contains(strings.Join(lines, "\n"), "|new|") || strings.Contains(strings.Join(lines, "\n"), "|late|") {
				t.Errorf("rows: %v", lines)
			}
			if got := operations(t, dir, tab); !slices.Equal(got, []string{"BULK_INSERT", "INSERT", "INSERT", "BULK_INSERT"}) {
				t.Errorf("operations %v", got)
			}
			// An upsert makes all rows of a key the same, a delete removes them all.
			upsert(t, tab, nil, row{id: 3, qty: 0, price: 7, at: 7, note: "one", seq: 900}, row{id: 40, gone: true, seq: 901})
			lines = dump(t, tab, "")
			if got := ids(lines); got["3"] != 2 || got["40"] != 0 {
				t.Errorf("rows by key after the upsert: %v", got)
			}
			for _, l := range lines {
				if strings.HasPrefix(l, "3|") && !strings.Contains(l, "|one|") {
					t.Errorf("a row of key 3 is left as it was: %s", l)
				}
			}
			// And so for a process that reads the keys anew.
			must(t, tab.Close(t.Context()))
			again := openTable(t, dir, Options{Now: newClock().now})
			must(t, again.Close(t.Context()))
			sameAsHudiRs(t, tab, dir.Path("silver/shop/sale"))
		})
	}
}

// TestUpsertMovesEveryRowOfAKey changes the partition of a key that is in two.
func TestUpsertMovesEveryRowOfAKey(t *testing.T) {
	cfg := saleConfig()
	partitioned(&cfg)
	tab := create(t, new(blob.Mem), cfg, Options{Now: newClock().now})
	insert(t, tab, Insertion{}, row{id: 1, qty: 1, price: 1, at: 1, note: "a", seq: 1}, row{id: 1, qty: 2, price: 1, at: 1, note: "b", seq: 2}, row{id: 1, qty: 2, price: 1, at: 1, note: "c", seq: 2})
	upsert(t, tab, nil, row{id: 1, qty: 3, price: 5, at: 5, note: "d", seq: 3})
	lines := dump(t, tab, "")
	if len(lines) != 1 || !strings.Contains(lines[0], "|d|") {
		t.Errorf("rows: %v", lines)
	}
}

func TestBulkInsertSortsAndMakesNewFiles(t *testing.T) {
	cfg := saleConfig()
	partitioned(&cfg)
	mem := new(blob.Mem)
	tab := create(t, mem, cfg, Options{Now: newClock().now, MaxFileRows: 4})
	rows := manyRows(1, 30, 0)
	slices.Reverse(rows)
	insert(t, tab, Insertion{Bulk: true}, rows...)
	i := insert(t, tab, Insertion{Bulk: true}, row{id: 100, qty: 0, price: 1, at: 1, note: "x", seq: 1})
	c, err := tab.Commit(t.Context(), i)
	must(t, err)
	if s := c.Stats["qty=0"]; len(s) != 1 || s[0].PrevCommit != "null" || s[0].NumInserts != 1 || s[0].NumWrites != 1 {
		t.Errorf("the second bulk insert wrote %+v", c.Stats)
	}
	s, err := tab.AsOf(t.Context(), "")
	must(t, err)
	if len(s.files) != 3*3+1 {
		t.Errorf("%d files", len(s.files))
	}
	for _, f := range s.files {
		file, done, err := tab.openFile(t.Context(), f.Key)
		must(t, err)
		keys := column.Column{Kind: column.Bytes}
		must(t, file.Read(0, metaColumn(metaRecordKey), &keys))
		var got []string
		for r := range keys.Len() {
			got = append(got, string(keys.Value(r)))
		}
		done()
		if !sort.StringsAreSorted(got) || len(got) > 4 {
			t.Errorf("%s holds the keys %v", f.Key, got)
		}
	}
}

// TestInsertCrashes stops inserts at every operation. As the caller does, the
// next try is made only when the cursor says that it is needed.
func TestInsertCrashes(t *testing.T) {
	for name, how := range map[string]Insertion{"insert": {}, "bulk insert": {Bulk: true}, "without duplicates": {DropDuplicates: true}} {
		for _, cfg := range []func(*Config){func(*Config) {}, partitioned} {
			c := crashCase{
				cfg: cfg,
				setup: func(t *testing.T, tab *Table) {
					upsert(t, tab, map[string]string{"cursor": "1"}, manyRows(1, 25, 0)...)
				},
				do: func(t *testing.T, tab *Table) error {
					if err := tab.Lock(t.Context()); err != nil {
						return err
					}
					if v, _, _, err := tab.Extra(t.Context(), "cursor"); err != nil || v == "new" {
						return err
					}
					_, err := tab.Insert(t.Context(), rowsOf(manyRows(20, 40, 500)...), how, map[string]string{"cursor": "new"})
					return err
				},
			}
			t.Run(fmt.Sprint(name, " ", cfgName(cfg)), func(t *testing.T) {
				t.Parallel()
				mem, clk := c.prepare(t)
				before := dump(t, opener(t, clk, mem), "")
				counter := blob.NewFault(mem)
				tab := opener(t, clk, counter)
				must(t, c.attempt(t, tab))
				after := dump(t, tab, "")
				if len(after) <= len(before) {
					t.Fatalf("%d rows became %d", len(before), len(after))
				}
				for k := range counter.Done() {
					c.crash(t, k, -1, k%2 == 0, before, after)
					c.crash(t, k, k%7, k%2 == 1, before, after)
				}
			})
		}
	}
}

func cfgName(change func(*Config)) string {
	var c Config
	change(&c)
	if len(c.PartitionFields) > 0 {
		return "partitioned"
	}
	return "plain"
}

// TestFilesAreSizedByBytes loads a batch into an empty table whose files may have
// few bytes, and then adds to the small one.
func TestFilesAreSizedByBytes(t *testing.T) {
	for _, op := range []string{"upsert", "insert", "bulk insert"} {
		t.Run(op, func(t *testing.T) {
			mem := new(blob.Mem)
			tab, err := Create(t.Context(), mem, "t", Config{Table: "sale", Schema: wideSchema, KeyFields: []string{"saleid"}, Precombine: "__seq"},
				Options{MaxFileBytes: 1 << 20})
			must(t, err)
			defer tab.Close(t.Context())
			write := func(rows Rows) Instant {
				var i Instant
				var err error
				if op == "upsert" {
					i, err = tab.Upsert(t.Context(), rows, nil)
				} else {
					i, err = tab.Insert(t.Context(), rows, Insertion{Bulk: op == "bulk insert"}, nil)
				}
				must(t, err)
				return i
			}
			write(wideRows(0, 60_000, 0))
			s, err := tab.AsOf(t.Context(), "")
			must(t, err)
			full := 0
			for _, f := range s.files {
				if f.Size > 1<<20*5/4 {
					t.Errorf("%s has %d bytes", f.Key, f.Size)
				}
				if f.Size > 1<<20*3/4 {
					full++
				}
			}
			if len(s.files) < 3 || full < len(s.files)-1 {
				t.Errorf("%d files, %d of them about full", len(s.files), full)
			}
			files := len(s.files)
			c, err := tab.Commit(t.Context(), write(wideRows(60_000, 100, 0)))
			must(t, err)
			st := c.Stats[""]
			if small := op != "bulk insert"; len(st) != 1 || small != (st[0].PrevCommit != "null") {
				t.Errorf("100 rows more made %+v beside %d files", st, files)
			}
			tab.opt.SmallFileBytes = -1
			if c, err = tab.Commit(t.Context(), write(wideRows(70_000, 100, 0))); err != nil || c.Stats[""][0].PrevCommit != "null" {
				t.Errorf("without small files, 100 rows more made %+v, %v", c.Stats[""], err)
			}
			if rows := countRows(t, tab); rows != 60_200 {
				t.Errorf("%d rows", rows)
			}
		})
	}
}

func countRows(t *testing.T, tab *Table) int64 {
	t.Helper()
	s, err := tab.AsOf(t.Context(), "")
	must(t, err)
	return s.Rows()
}

// TestLargeFilesAreSpooled writes a file that does not fit the memory for it.
func TestLargeFilesAreSpooled(t *testing.T) {
	mem := new(blob.Mem)
	b := saleSchema.NewBatch()
	rows := rowsOf(manyRows(1, 300, 0)...)
	note := strings.Repeat("0123456789abcdef", 1<<12)
	for c := range b.Cols {
		for r := range rows.Batch.Len {
			if c == saleSchema.Index("note") {
				b.Cols[c].AppendString(note + fmt.Sprint(r))
			} else {
				b.Cols[c].Append(&rows.Batch.Cols[c], r)
			}
		}
	}
	b.Len = rows.Batch.Len
	tab := create(t, mem, saleConfig(), Options{Now: newClock().now, Codec: "none"})
	_, err := tab.Upsert(t.Context(), Rows{Batch: b}, nil)
	must(t, err)
	upsert(t, tab, nil, row{id: 7, qty: 9, seq: 4000})
	s, err := tab.AsOf(t.Context(), "")
	must(t, err)
	if len(s.files) != 1 || s.files[0].Size < spoolMemory || tab.w.buf.file != nil {
		t.Fatalf("files %+v, spool %+v", s.files, tab.w.buf.size)
	}
	if got := ids(dump(t, tab, "")); len(got) != 300 {
		t.Errorf("%d keys", len(got))
	}
}
