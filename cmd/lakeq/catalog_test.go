package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tributary/lake"
	"tributary/lake/blob"
)

// twins is a lake with tables that are named alike: two of one database and name, and
// one of another database.
func twins(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	store, err := blob.NewDir(dir)
	must(t, err)
	for n, c := range [][2]string{{"one/sale", "tickit"}, {"two/sale", "tickit"}, {"three/venue", "tickit"}, {"other/venue", "other"}} {
		name := filepath.Base(c[0])
		table, err := lake.Create(t.Context(), store, c[0], lake.Config{
			Database: c[1], Table: name, Schema: saleSchema, KeyFields: []string{"id"}, Precombine: "__seq",
		}, lake.Options{})
		must(t, err)
		_, err = table.Upsert(t.Context(), rowsOf(saleSchema, sale{int64(n + 1), "Ada", 150, 1}), nil)
		must(t, err)
		must(t, table.Close(t.Context()))
	}
	return dir
}

func TestTablesOfOneName(t *testing.T) {
	dir := twins(t)
	sql := func(q string) []string { return []string{"sql", "-o", "csv", q} }
	expect(t, dir, "id\n1\n", sql(`select id from "one/sale"`)...)
	expect(t, dir, "id\n2\n", sql(`select id from "two/sale"`)...)
	expect(t, dir, "n\n2\n", sql(`select count(*) n from (from "one/sale" union all from "two/sale")`)...)
	expect(t, dir, "id\n3\n", sql(`select id from tickit.venue`)...)
	expect(t, dir, "id\n4\n", sql(`select id from other.venue`)...)
	expect(t, dir, "sale\n1\n", sql(`select 1 as sale`)...) // a word that is no table's
	const folders = "2 tables are named %s: those in one/sale and two/sale"
	for _, name := range []string{"sale", "tickit.sale"} {
		said := strings.ReplaceAll(folders, "%s", name)
		refuse(t, dir, sql("select * from "+name), said, `write the table's folder: "one/sale" or "two/sale"`)
		for _, args := range [][]string{{"timeline", name}, {"files", name}, {"history", name, "1"}, {"diff", name, "2020"}, {"validate", name}} {
			refuse(t, dir, args, said, "write the table's folder: one/sale or two/sale")
		}
	}
	for _, args := range [][]string{sql("select * from venue"), {"files", "venue"}} {
		refuse(t, dir, args, "2 tables are named venue: those in other/venue and three/venue", "write other.venue or tickit.venue")
	}
	got := lakeq(t, "", "--lake", dir, "tables", "-o", "csv")
	if !strings.Contains(got.out, ",one/sale\n") || !strings.Contains(got.out, ",two/sale\n") {
		t.Errorf("tables: %s%s", got.out, got.err)
	}
	got = lakeq(t, "", "--lake", dir, "files", "two/sale", "-o", "csv")
	if got.code != 0 || strings.Count(got.out, "\n") != 2 {
		t.Errorf("files by folder: %s%s", got.out, got.err)
	}
}

func TestDidYouMean(t *testing.T) {
	dir, _ := testLake(t)
	for _, name := range []string{"sael", "tickit.sael", "tikit.sale", "silver/tickit/sael", "other.sale"} {
		want := map[bool]string{false: "did you mean sale?", true: "did you mean tickit.sale?"}[strings.HasPrefix(name, "ti")]
		if strings.Contains(name, "/") {
			want = "did you mean silver/tickit/sale"
		}
		quoted := name
		if strings.Contains(name, "/") {
			quoted = `"` + name + `"`
		}
		for _, args := range [][]string{
			{"sql", "select * from " + quoted}, {"timeline", name}, {"files", name}, {"history", name, "1"}, {"diff", name, "2020"}, {"validate", name},
		} {
			refuse(t, dir, args, "there is no table "+name, want)
		}
	}
}

func TestArchivedTimeline(t *testing.T) {
	dir := t.TempDir()
	store, err := blob.NewDir(dir)
	must(t, err)
	table, err := lake.Create(t.Context(), store, "sale", lake.Config{
		Database: "tickit", Table: "sale", Schema: saleSchema, KeyFields: []string{"id"}, Precombine: "__seq",
	}, lake.Options{})
	must(t, err)
	var at []string
	for n := range 12 {
		i, err := table.Upsert(t.Context(), rowsOf(saleSchema, sale{int64(n), "Ada", 150, n}), map[string]string{"deltastreamer.checkpoint.key": "t,0:1"})
		must(t, err)
		at = append(at, i.Time)
	}
	_, err = table.Clean(t.Context(), lake.Retention{Commits: 3})
	must(t, err)
	for _, least := range []int{6, 3} { // two files of the archive
		if n, err := table.Archive(t.Context(), least, least+1); err != nil || n == 0 {
			t.Fatalf("archived %d: %v", n, err)
		}
	}
	must(t, table.Close(t.Context()))
	show := func(args ...string) (lines []string) {
		got := lakeq(t, "", append([]string{"--lake", dir, "timeline", "sale", "-o", "csv"}, args...)...)
		if got.code != 0 {
			t.Fatal(got.err)
		}
		for _, l := range strings.Split(strings.TrimSpace(got.out), "\n")[1:] {
			f := strings.Split(l, ",")
			lines = append(lines, f[0]+" "+f[2]+" "+f[3]+" "+f[4])
		}
		return lines
	}
	lines := show()
	if len(lines) != 13 || !strings.HasPrefix(lines[12], "2") || !strings.HasSuffix(lines[12], " clean completed ") {
		t.Fatalf("got %v", lines)
	}
	for n, l := range lines[:12] {
		state := "archived"
		if n >= 9 {
			state = "completed"
		}
		if want := at[n] + " commit " + state + " 1"; l != want {
			t.Errorf("got %s, want %s", l, want)
		}
	}
	for _, n := range []string{"2", "4", "5", "9", "12"} {
		if some := show("-n", n); strings.Join(some, "\n") != strings.Join(lines[len(lines)-len(some):], "\n") || len(some) != atoi(n) {
			t.Errorf("the newest %s: %v", n, some)
		}
	}
	// The oldest file is not needed for the newest of the archive.
	must(t, os.WriteFile(filepath.Join(dir, "sale/.hoodie/archived/.commits_.archive.1_1-0-1"), []byte("damaged"), 0o644))
	if some := show("-n", "6"); len(some) != 6 {
		t.Errorf("the newest 6: %v", some)
	}
	refuse(t, dir, []string{"timeline", "sale", "-n", "0"}, ".commits_.archive.1_1-0-1", "restore the file")
}

func atoi(s string) (n int) {
	for _, c := range s {
		n = 10*n + int(c-'0')
	}
	return n
}

func TestReadOptimized(t *testing.T) {
	dir := t.TempDir()
	unzipTable(t, dir, "sale_mor", filepath.Join("testdata", "sale_mor.zip"))
	at := []string{"--as-of", "20261122171303953", "select count(*) n, max(_hoodie_commit_time) t from sale_mor"}
	merged := lakeq(t, "", append([]string{"--lake", dir, "sql", "-o", "csv"}, at...)...)
	for _, flag := range []string{"--read-optimized", "--read-optimised"} {
		base := lakeq(t, "", append([]string{"--lake", dir, "sql", "-o", "csv", flag}, at...)...)
		if base.code != 0 || merged.code != 0 || base.out == merged.out || !strings.HasPrefix(base.out, "n,t\n") {
			t.Errorf("merged %s%s, base files %s%s", merged.out, merged.err, base.out, base.err)
		}
	}
	got := lakeq(t, "", "--lake", dir, "files", "sale_mor", "--read-optimized", "--as-of", "20261122171303953", "-o", "csv")
	if got.code != 0 || strings.Contains(got.out, ",log,") || strings.Count(got.out, ",base,") != 1 {
		t.Errorf("files: %s%s", got.out, got.err)
	}
	refuse(t, dir, []string{"sql", "--read-optimized", "--begin", "2026", "from sale_mor"}, "--read-optimized shows a state")
}
