package lake

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/internal/fault"
	"tributary/lake/blob"
)

// history makes a table of n commits, hours apart, and returns what it held
// after each.
func history(t *testing.T, mem blob.Store, clk *clock, n int, change func(*Config)) (tab *Table, instants []string, held map[string][]string) {
	t.Helper()
	cfg := saleConfig()
	if change != nil {
		change(&cfg)
	}
	tab = create(t, mem, cfg, Options{Now: clk.now, MaxFileRows: 10, LockValidity: 240 * time.Hour})
	held = map[string][]string{}
	for i := range n {
		clk.at = clk.at.Add(time.Hour)
		at := upsert(t, tab, map[string]string{"cursor": fmt.Sprint(i)}, append(manyRows(i*3, i*3+4, i*100), row{id: int64(i % 7), gone: i%3 == 2, qty: i % 3, seq: i*100 + 50})...)
		instants = append(instants, at.Time)
		held[at.Time] = dump(t, tab, "")
	}
	return tab, instants, held
}

// wantHistory checks that the instants from from on read as they did, and that
// older ones are refused.
func wantHistory(t *testing.T, store blob.Store, instants []string, held map[string][]string, from string, pinned ...string) {
	t.Helper()
	tab := openTable(t, store, Options{})
	for _, at := range instants {
		if at < from && !slices.Contains(pinned, at) {
			if _, err := tab.AsOf(t.Context(), at); !errors.Is(err, ErrHorizon) {
				t.Errorf("as of %s, before %s: %v", at, from, err)
			}
			continue
		}
		wantLines(t, "as of "+at, dump(t, tab, at), held[at]...)
	}
}

func countFiles(t *testing.T, store blob.Store, suffix string) int {
	t.Helper()
	n := 0
	for info, err := range store.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(info.Key, suffix) {
			n++
		}
	}
	return n
}

func partitioned(c *Config) { c.PartitionFields, c.HivePartitions = []string{"qty"}, true }

func TestCleanKeepsWhatIsAskedFor(t *testing.T) {
	for _, c := range []struct {
		name string
		keep Retention
		from int // of 30 commits, hours apart, the last an hour ago
	}{
		{"a day, by default", Retention{}, 6},
		{"hours", Retention{Hours: 5}, 25},
		{"commits", Retention{Commits: 4}, 26},
		{"one commit", Retention{Commits: 1}, 29},
		{"commits, but hours as well", Retention{Commits: 4, Hours: 10}, 20},
		{"more than there is", Retention{Hours: 100}, -1},
		{"more than nanoseconds can count", Retention{Hours: 2_562_048}, -1},
		{"for ever", Retention{Hours: math.MaxInt}, -1},
		{"more commits than there are", Retention{Commits: 30}, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem, clk := new(blob.Mem), newClock()
			tab, instants, held := history(t, mem, clk, 30, partitioned)
			clk.at = clk.at.Add(time.Hour)
			before := countFiles(t, mem, ".parquet")
			i, err := tab.Clean(t.Context(), c.keep)
			if err != nil {
				t.Fatal(err)
			}
			if c.from < 0 {
				if !i.IsZero() || countFiles(t, mem, ".parquet") != before {
					t.Fatalf("cleaned at %v", i)
				}
				return
			}
			if after := countFiles(t, mem, ".parquet"); after >= before {
				t.Errorf("%d files before, %d after", before, after)
			}
			wantHistory(t, mem, instants, held, instants[c.from])
			if again, err := tab.Clean(t.Context(), c.keep); err != nil || !again.IsZero() {
				t.Errorf("cleaned again: %v, %v", again, err)
			}
			at := upsert(t, tab, nil, manyRows(1, 2, 9999)...)
			if len(dump(t, tab, at.Time)) == 0 {
				t.Error("nothing left")
			}
		})
	}
}

func TestArchiveLeavesWhatReadingNeeds(t *testing.T) {
	mem, clk := new(blob.Mem), newClock()
	tab, instants, held := history(t, mem, clk, 40, nil)
	if n, err := tab.Archive(t.Context(), 5, 10); n != 0 || err != nil {
		t.Fatalf("archived %d instants that nobody has cleaned: %v", n, err)
	}
	for range 3 {
		if _, err := tab.Clean(t.Context(), Retention{Commits: 12}); err != nil {
			t.Fatal(err)
		}
		if n, err := tab.Archive(t.Context(), 5, 10); n == 0 || err != nil {
			t.Fatalf("archived %d: %v", n, err)
		}
		from := instants[len(instants)-12]
		if got := tab.Timeline().Oldest().Time; got != from {
			t.Errorf("the oldest active instant is %s, want %s", got, from)
		}
		wantHistory(t, mem, instants, held, from)
		for range 14 {
			clk.at = clk.at.Add(time.Hour)
			n := len(instants)
			at := upsert(t, tab, nil, manyRows(n, n+2, n*100)...)
			instants, held[at.Time] = append(instants, at.Time), dump(t, tab, "")
		}
	}
	// Every commit is on the timeline or in the archive, once.
	seen := map[string]int{}
	for _, i := range openTable(t, mem, Options{}).Timeline().Completed() {
		seen[i.Time]++
	}
	for n := 1; ; n++ {
		b, err := readObject(t.Context(), mem, "silver/shop/sale/.hoodie/archived/"+archiveName(n))
		if errors.Is(err, blob.ErrNotExist) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		entries, err := parseArchive(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e["actionState"] == "COMPLETED" && e["actionType"] == "commit" {
				seen[e["commitTime"].(string)]++
				c := e["hoodieCommitMetadata"].(map[string]any)
				if c["extraMetadata"].(map[string]any)["schema"] == "" || c["operationType"] != "UPSERT" {
					t.Errorf("archived commit %v", c)
				}
			}
		}
	}
	for _, at := range instants {
		if seen[at] != 1 {
			t.Errorf("%s is there %d times", at, seen[at])
		}
	}
}

func TestSavepointHoldsAndRestores(t *testing.T) {
	mem, clk := new(blob.Mem), newClock()
	tab, instants, held := history(t, mem, clk, 20, partitioned)
	pin := instants[4]
	must(t, tab.Savepoint(t.Context(), pin, "me", "why"))
	must(t, tab.Savepoint(t.Context(), pin, "me", "again"))
	if err := tab.Savepoint(t.Context(), "20200101000000000", "me", ""); err == nil {
		t.Error("an instant that is none was pinned")
	}
	if _, err := tab.Clean(t.Context(), Retention{Commits: 3}); err != nil {
		t.Fatal(err)
	}
	if n, err := tab.Archive(t.Context(), 2, 3); err != nil || n == 0 {
		t.Fatalf("archived %d: %v", n, err)
	}
	if got := tab.Timeline().Oldest().Time; got != pin {
		t.Errorf("the oldest active instant is %s, want the savepoint's, %s", got, pin)
	}
	wantHistory(t, mem, instants, held, instants[17], pin)
	if _, err := tab.Restore(t.Context(), instants[5]); err == nil {
		t.Error("restored to what is no savepoint")
	}
	r, err := tab.Restore(t.Context(), pin)
	if err != nil || r.IsZero() {
		t.Fatalf("restore: %v, %v", r, err)
	}
	wantLines(t, "restored", dump(t, tab, ""), held[pin]...)
	nothingLeftBut(t, mem, tab, pin)
	at := upsert(t, tab, map[string]string{"cursor": "x"}, manyRows(100, 102, 5000)...)
	if got, want := len(dump(t, tab, at.Time)), len(held[pin])+3; got != want {
		t.Errorf("%d rows after the restore and an insert, want %d", got, want)
	}
	must(t, tab.DropSavepoint(t.Context(), pin))
	must(t, tab.DropSavepoint(t.Context(), pin))
	if s := openTable(t, mem, Options{}).Timeline().Savepoints(); len(s) != 0 {
		t.Errorf("savepoints left: %v", s)
	}
}

// nothingLeftBut checks that no write after the instant has left a file.
func nothingLeftBut(t *testing.T, store blob.Store, tab *Table, instant string) {
	t.Helper()
	files, err := listBaseFiles(t.Context(), store, tab.base)
	must(t, err)
	for _, f := range files {
		if f.Instant > instant {
			t.Errorf("%s is left", f.Key)
		}
	}
}

func TestRollbackOfTheNewestCommit(t *testing.T) {
	mem, clk := new(blob.Mem), newClock()
	tab, instants, held := history(t, mem, clk, 6, nil)
	last := len(instants) - 1
	if err := tab.Rollback(t.Context(), instants[last-1]); err == nil {
		t.Error("rolled back a commit that is not the newest")
	}
	must(t, tab.Savepoint(t.Context(), instants[last], "me", ""))
	if err := tab.Rollback(t.Context(), instants[last]); err == nil {
		t.Error("rolled back a savepoint")
	}
	must(t, tab.DropSavepoint(t.Context(), instants[last]))
	if _, err := tab.Clean(t.Context(), Retention{Commits: 2}); err != nil {
		t.Fatal(err)
	}
	must(t, tab.Rollback(t.Context(), instants[last]))
	wantLines(t, "rolled back", dump(t, tab, ""), held[instants[last-1]]...)
	wantLines(t, "rolled back, seen by another", dump(t, openTable(t, mem, Options{}), ""), held[instants[last-1]]...)
	nothingLeftBut(t, mem, tab, instants[last-1])
	v, _, _, err := tab.Extra(t.Context(), "cursor")
	if v != fmt.Sprint(last-1) || err != nil {
		t.Errorf("cursor %q, %v", v, err)
	}
}

// TestArchiveOfHudiIsRead reads what Hudi archived.
func TestArchiveOfHudiIsRead(t *testing.T) {
	files, err := filepath.Glob("testdata/archived/*")
	must(t, err)
	if len(files) == 0 {
		t.Fatal("no archive files in testdata")
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		must(t, err)
		entries, err := parseArchive(b)
		must(t, err)
		if len(entries) == 0 {
			t.Errorf("%s: no entries", f)
		}
		for _, e := range entries {
			if e["actionType"] == "commit" && e["hoodieCommitMetadata"] == nil || e["commitTime"] == nil {
				t.Errorf("%s: entry %v", f, e)
			}
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestServicesRunByThemselves(t *testing.T) {
	mem, clk := new(blob.Mem), newClock()
	opt := Options{Now: clk.now, LockValidity: time.Hour, Services: Services{
		Clean: true, Keep: Retention{Commits: 3}, CleanEvery: 2, Archive: true, ArchiveLeast: 4, ArchiveMost: 6,
	}}
	tab := create(t, mem, saleConfig(), opt)
	held := map[string][]string{}
	var instants []string
	for i := range 40 {
		if i%15 == 14 { // another process goes on
			must(t, tab.Close(t.Context()))
			tab = openTable(t, mem, opt)
			t.Cleanup(func() { tab.Close(t.Context()) })
		}
		at := upsert(t, tab, nil, manyRows(i, i+3, i*100)...)
		instants, held[at.Time] = append(instants, at.Time), dump(t, tab, "")
	}
	if n := len(tab.Timeline().Completed()); n > 8 {
		t.Errorf("%d commits on the active timeline", n)
	}
	if n := countFiles(t, mem, ".parquet"); n > 6 {
		t.Errorf("%d base files", n)
	}
	wantHistory(t, mem, instants, held, tab.Timeline().Horizon())
	if tab.Timeline().Horizon() > instants[len(instants)-3] {
		t.Error("less is kept than asked for")
	}
}

// FuzzArchive gives the archive's reader damaged files: no panic, and no more
// entries than there can be.
func FuzzArchive(f *testing.F) {
	files, _ := filepath.Glob("testdata/archived/*")
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(appendArchiveBlock(nil, `{"type":"record","name":"r","fields":[{"name":"a","type":"long"}]}`, [][]byte{{2}, {4}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := parseArchive(b)
		if err == nil && 4*len(entries) > len(b) {
			t.Errorf("%d entries in %d bytes", len(entries), len(b))
		}
	})
}

// TestRollbackStopsAtTheHorizon asks for the commit that is the oldest to be read:
// without it, the table would have no state that is whole for certain.
func TestRollbackStopsAtTheHorizon(t *testing.T) {
	mem, clk := new(blob.Mem), newClock()
	tab, instants, held := history(t, mem, clk, 5, nil)
	_, err := tab.Clean(t.Context(), Retention{Commits: 2})
	must(t, err)
	must(t, tab.Rollback(t.Context(), instants[4]))
	newest := instants[3]
	if h := tab.Timeline().Horizon(); h != newest {
		t.Fatalf("the horizon is %s, want %s", h, newest)
	}
	if _, err := tab.PlanRollback(t.Context(), newest); !fault.NeedsHuman(err) {
		t.Errorf("plan of the horizon's rollback: %v", err)
	}
	if err := tab.Rollback(t.Context(), newest); !fault.NeedsHuman(err) {
		t.Errorf("rollback of the horizon: %v", err)
	}
	wantLines(t, "afterwards", dump(t, openTable(t, mem, Options{}), ""), held[newest]...)
}

// TestPlansRefuseWhatCannotBeDone asks for plans of tables that are read alone.
func TestPlansRefuseWhatCannotBeDone(t *testing.T) {
	for _, name := range []string{"hudi-0.15.0/mor_bucket", "hudi-1.1.1/later_mor_v9"} {
		tab, err := Open(t.Context(), goldenStore(t, name), "", Options{})
		must(t, err)
		newest := tab.Timeline().Newest().Time
		plans := map[string]func() (Plan, error){
			"clean":    func() (Plan, error) { return tab.PlanClean(t.Context(), Retention{Commits: 1}) },
			"archive":  func() (Plan, error) { return tab.PlanArchive(t.Context(), 1, 2) },
			"rollback": func() (Plan, error) { return tab.PlanRollback(t.Context(), newest) },
			"restore":  func() (Plan, error) { return tab.PlanRestore(t.Context(), newest) },
			"cluster":  func() (Plan, error) { return tab.PlanCluster(t.Context(), Clustering{}) },
		}
		for what, plan := range plans {
			if p, err := plan(); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "not written") {
				t.Errorf("%s: %s: %v, %v", name, what, p, err)
			}
		}
	}
}

// TestPlansTellWhatComesFirst plans for a table with a write that was not completed.
func TestPlansTellWhatComesFirst(t *testing.T) {
	mem, clk := new(blob.Mem), newClock()
	tab, instants, _ := history(t, mem, clk, 4, nil)
	failed := Instant{Time: tab.newInstant(), Action: ActionCommit, State: StateRequested}
	must(t, tab.putTimeline(t.Context(), failed, nil))
	p, err := tab.PlanClean(t.Context(), Retention{Commits: 1})
	must(t, err)
	if lines := p.Describe(false); len(lines) < 2 || lines[0] != "first, commit "+failed.Time+", which was not completed, is rolled back" {
		t.Errorf("the plan is\n%s", strings.Join(lines, "\n"))
	}
	p, err = tab.PlanRollback(t.Context(), failed.Time)
	must(t, err)
	if len(p.First) > 0 || p.Instants[0].Time != failed.Time {
		t.Errorf("the rollback's plan is %+v", p)
	}
	p, err = tab.PlanRollback(t.Context(), instants[3])
	must(t, err)
	if lines := p.Describe(false); len(lines) != 3 || lines[1] != "1 instant, "+instants[3]+" to "+instants[3] {
		t.Errorf("the plan is\n%s", strings.Join(lines, "\n"))
	}
}
