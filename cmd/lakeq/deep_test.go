package main

import (
	"archive/zip"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tributary/lake"
	"tributary/lake/blob"
)

// expect runs lakeq on the lake and compares what it prints.
func expect(t *testing.T, dir, want string, args ...string) {
	t.Helper()
	got := lakeq(t, "", append([]string{"--lake", dir}, args...)...)
	if got.code != 0 || got.out != want || got.err != "" {
		t.Errorf("%v: code %d\nstderr %s\ngot\n%s\nwant\n%s", args, got.code, got.err, got.out, want)
	}
}

// refuse runs lakeq on the lake, which must say what it cannot do.
func refuse(t *testing.T, dir string, args []string, want ...string) {
	t.Helper()
	got := lakeq(t, "", append([]string{"--lake", dir}, args...)...)
	if got.code != 2 {
		t.Errorf("%v: code %d, %s", args, got.code, got.out)
	}
	for _, w := range want {
		if !strings.Contains(got.err, w) {
			t.Errorf("%v: stderr %q lacks %q", args, got.err, w)
		}
	}
}

func TestFiles(t *testing.T) {
	dir, at := testLake(t)
	got := lakeq(t, "", "--lake", dir, "files", "sale", "-o", "csv")
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	if got.code != 0 || len(lines) != 2 || !strings.HasPrefix(lines[0], "partition,file_group,instant,kind,rows,bytes,path") ||
		!strings.Contains(lines[1], ","+at[2]+",base,4,") || !strings.HasSuffix(lines[1], "_"+at[2]+".parquet") {
		t.Errorf("code %d, %s\n%s", got.code, got.err, got.out)
	}
	got = lakeq(t, "", "--lake", dir, "files", "sale", "-o", "csv", "--as-of", at[0])
	if !strings.Contains(got.out, ","+at[0]+",base,2,") {
		t.Errorf("as of the first: %s%s", got.out, got.err)
	}
}

func TestSpans(t *testing.T) {
	dir, at := testLake(t)
	sql := func(args ...string) []string {
		return append([]string{"sql", "-o", "csv"}, args...)
	}
	q := "select id, price from sale order by id"
	expect(t, dir, "id,price\n1,123.45\n3,0.07\n4,0.01\n", sql("--begin", at[0], q)...)
	expect(t, dir, "id,price\n1,123.45\n3,0.07\n", sql("--begin", at[0], "--end", at[1], q)...)
	expect(t, dir, "id,price\n1,1.50\n2,\n", sql("--end", at[0], q)...)
	expect(t, dir, "id,price\n", sql("--begin", at[2], q)...)
	expect(t, dir, "id,price\n1,1.50\n2,\n", sql("--begin", "0000", "--end", at[0], q)...)
	refuse(t, dir, sql("--as-of", at[0], "--begin", at[0], q), "--as-of is a moment")
	refuse(t, dir, sql("--begin", at[1], "--end", at[0], q), "--begin "+at[1]+" is later than --end "+at[0])
}

func TestDiff(t *testing.T) {
	dir, at := testLake(t)
	got := lakeq(t, "", "--lake", dir, "diff", "sale", at[0], "now", "-o", "json")
	var short []string
	for _, l := range strings.Split(got.out, "\n") {
		if i := strings.Index(l, `,"sold"`); i > 0 {
			short = append(short, l[:i])
		}
	}
	want := `{"_change":"before","_hoodie_record_key":"1","id":1,"buyer":"Ada","price":1.50
{"_change":"after","_hoodie_record_key":"1","id":1,"buyer":"Ada","price":123.45
{"_change":"inserted","_hoodie_record_key":"3","id":3,"buyer":"Zoë","price":0.07
{"_change":"inserted","_hoodie_record_key":"4","id":4,"buyer":"Eve","price":0.01`
	if got.code != 0 || strings.Join(short, "\n") != want {
		t.Errorf("code %d, %s\ngot\n%s\nwant\n%s", got.code, got.err, strings.Join(short, "\n"), want)
	}
	for _, same := range []string{at[1], at[2]} {
		got := lakeq(t, "", "--lake", dir, "diff", "sale", same, same, "-o", "csv")
		if got.code != 0 || strings.Count(got.out, "\n") != 1 {
			t.Errorf("a state differs from itself: %s%s", got.out, got.err)
		}
	}
	refuse(t, dir, []string{"diff", "sale", at[1], at[0]}, at[1]+" is later than "+at[0], "earlier moment first")
}

func TestHistory(t *testing.T) {
	dir, at := testLake(t)
	store, err := blob.NewDir(dir)
	must(t, err)
	table, err := lake.Open(t.Context(), store, "silver/tickit/sale", lake.Options{})
	must(t, err)
	gone := rowsOf(table.Schema(), sale{1, "Ada", 1, 9})
	gone.Ops = []lake.Op{lake.Delete}
	deleted, err := table.Upsert(t.Context(), gone, nil)
	must(t, err)
	must(t, table.Close(t.Context()))
	got := lakeq(t, "", "--lake", dir, "history", "sale", "1", "-o", "csv")
	var short []string
	for _, l := range strings.Split(strings.TrimSpace(got.out), "\n")[1:] {
		f := strings.Split(l, ",")
		short = append(short, f[0]+" "+f[2]+" "+f[5])
	}
	want := at[0] + " inserted 1.50\n" + at[1] + " updated 123.45\n" + deleted.Time + " deleted "
	if got.code != 0 || strings.Join(short, "\n") != want {
		t.Errorf("code %d, %s\ngot\n%s\nwant\n%s", got.code, got.err, strings.Join(short, "\n"), want)
	}
	refuse(t, dir, []string{"history", "sale", "77"}, "no row with the key 77")
}

// TestHistoryAfterCleaning asks for rows of which the oldest instant that can be
// read does not tell whether they came with it.
func TestHistoryAfterCleaning(t *testing.T) {
	dir, at := testLake(t)
	store, err := blob.NewDir(dir)
	must(t, err)
	table, err := lake.Open(t.Context(), store, "silver/tickit/sale", lake.Options{})
	must(t, err)
	must(t, table.Savepoint(t.Context(), at[0], "me", ""))
	_, err = table.Upsert(t.Context(), rowsOf(table.Schema(), sale{1, "Ada", 3, 90}), nil)
	must(t, err)
	clean := func() {
		t.Helper()
		_, err = table.Clean(t.Context(), lake.Retention{Commits: 1})
		must(t, err)
	}
	clean()
	changes := func(key string) string {
		t.Helper()
		got := lakeq(t, "", "--lake", dir, "history", "sale", key, "-o", "json")
		if got.code != 0 {
			t.Fatalf("history of %s: %s", key, got.err)
		}
		var out []string
		for _, l := range strings.Split(got.out, "\n") {
			if _, c, ok := strings.Cut(l, `"_change":"`); ok {
				c, _, _ = strings.Cut(c, `"`)
				out = append(out, c)
			}
		}
		return strings.Join(out, "; ")
	}
	if got := changes("1"); got != "inserted; updated" {
		t.Errorf("a row that the savepoint has: %s", got)
	}
	if got := changes("3"); got != "there already, from "+at[1] {
		t.Errorf("a row that has not changed since: %s", got)
	}
	must(t, table.DropSavepoint(t.Context(), at[0]))
	clean()
	if got := changes("1"); got != "inserted or updated" {
		t.Errorf("a row that was updated at the oldest instant: %s", got)
	}
	must(t, table.Close(t.Context()))
}

func TestValidate(t *testing.T) {
	dir, _ := testLake(t)
	expect(t, dir, "table,severity,object,problem\n", "validate", "-o", "csv")
	files, err := filepath.Glob(filepath.Join(dir, "silver/tickit/sale/*.parquet"))
	must(t, err)
	must(t, os.Truncate(files[len(files)-1], 700))
	refuse(t, dir, []string{"validate", "sale", "-o", "csv"}, "harmful findings")
	got := lakeq(t, "", "--lake", dir, "validate", "sale", "-o", "csv")
	if !strings.Contains(got.out, "sale,harm,") || !strings.Contains(got.out, "700 bytes, its commit says") {
		t.Errorf("got %s", got.out)
	}
}

// TestAsOfDatabasePosition asks by LSN, binlog position and time of the database.
func TestAsOfDatabasePosition(t *testing.T) {
	dir := t.TempDir()
	store, err := blob.NewDir(dir)
	must(t, err)
	for _, name := range []string{"pg", "my", "ms"} {
		table, err := lake.Create(t.Context(), store, name, lake.Config{Table: name, Schema: saleSchema, KeyFields: []string{"id"}, Precombine: "__seq"}, lake.Options{})
		must(t, err)
		for n := range 3 {
			extra := map[string]string{"tributary.source.lsn": []string{"16", "4294967296", "4294967552"}[n]}
			if name == "my" {
				extra = map[string]string{"tributary.source.file": []string{"b.000009", "b.000010", "b.000010"}[n], "tributary.source.pos": []string{"900", "4", "700"}[n]}
			}
			if name == "ms" {
				extra = map[string]string{"tributary.source.commit_lsn": []string{"00000025:00000d98:0002", "00000025:00000d98:0010", "00000026:00000001:0001"}[n]}
			}
			extra["tributary.source.ts_ms"] = []string{"1764063000000", "1764063060000", "1764063120000"}[n] // 2025-11-25 09:30 and on
			_, err := table.Upsert(t.Context(), rowsOf(saleSchema, sale{int64(n), "x", 1, 1}), extra)
			must(t, err)
		}
		must(t, table.Close(t.Context()))
	}
	for _, c := range []struct{ table, at, want string }{
		{"pg", "0/10", "1"}, {"pg", "0/FFFFFFFF", "1"}, {"pg", "1/0", "2"}, {"pg", "lsn:1/ff", "2"}, {"pg", "1/100", "3"}, {"pg", "FF/0", "3"},
		{"my", "b.000009:900", "1"}, {"my", "b.000010:3", "1"}, {"my", "b.000010:699", "2"}, {"my", "b.000011:0", "3"},
		{"ms", "00000025:00000d98:0002", "1"}, {"ms", "lsn:00000025:00000D98:000f", "1"}, {"ms", "00000026:00000000:ffff", "2"}, {"ms", "00000026:00000001:0001", "3"},
		{"pg", "db:2025-11-25 09:30:30", "1"}, {"my", "db:2025-11-25T09:31:00.000Z", "2"}, {"my", "db:2026", "3"},
	} {
		expect(t, dir, "n\n"+c.want+"\n", "sql", "-o", "csv", "--as-of", c.at, "select count(*) n from "+c.table)
	}
	refuse(t, dir, []string{"sql", "--as-of", "0/F", "select * from pg"}, "reaches beyond 0/F already", "the oldest commit that can be asked for is")
	refuse(t, dir, []string{"sql", "--as-of", "0/F", "select * from my"}, "no commit tells how far")
}

// unzipTable lays a table that Spark wrote into a lake.
func unzipTable(t *testing.T, dir, name, path string) {
	t.Helper()
	z, err := zip.OpenReader(path)
	must(t, err)
	defer z.Close()
	for _, f := range z.File {
		to := filepath.Join(dir, name, filepath.FromSlash(f.Name))
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		must(t, os.MkdirAll(filepath.Dir(to), 0o755))
		r, err := f.Open()
		must(t, err)
		b, err := io.ReadAll(r)
		must(t, err)
		must(t, os.WriteFile(to, b, 0o644))
	}
}

// TestTablesOfSpark asks tables that Spark wrote: merge-on-read, nested types, and
// one whose old instants were cleaned.
// TestReadOnlyLake reads a lake that this user cannot write to.
func TestReadOnlyLake(t *testing.T) {
	dir, _ := testLake(t)
	if err := os.RemoveAll(filepath.Join(dir, ".tributary")); err != nil {
		t.Fatal(err)
	}
	before := filesBelow(t, dir)
	for _, args := range [][]string{{"tables"}, {"sql", "select 1"}, {"timeline", "sale"}, {"validate", "sale"}, {"files", "sale"}} {
		if got := lakeq(t, "", append([]string{"--lake", dir}, args...)...); got.code != 0 {
			t.Errorf("%v: %s%s", args, got.out, got.err)
		}
	}
	if after := filesBelow(t, dir); !slices.Equal(before, after) {
		t.Errorf("reading has left\n%q, there was\n%q", after, before)
	}
}

func filesBelow(t *testing.T, dir string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		out = append(out, p)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestTablesOfSpark(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"sale_mor", "types_all", "sale_archived"} {
		unzipTable(t, dir, name, filepath.Join("testdata", name+".zip"))
	}
	expect(t, dir, "n\n59\n", "sql", "-o", "csv", "select count(*) n from sale_mor")
	expect(t, dir, "n\n57\n", "sql", "-o", "csv", "--as-of", "20261122171303953", "select count(*) n from sale_mor")
	expect(t, dir, "n\n21\n", "sql", "-o", "csv", "--begin", "20261122171259461", "--end", "20261122171300604", "select count(*) n from sale_mor")
	expect(t, dir, "a\n5\n", "sql", "-o", "csv", "select max(rec.a) a from types_all where id in ('id-give-001', 'id-give-004')")
	got := lakeq(t, "", "--lake", dir, "files", "sale_mor", "--as-of", "20261122171303953", "-o", "csv")
	if strings.Count(got.out, ",log,") != 2 || strings.Count(got.out, ",base,") != 1 {
		t.Errorf("files: %s%s", got.out, got.err)
	}
	got = lakeq(t, "", "--lake", dir, "diff", "sale_mor", "20261122171300604", "20261122171303953", "-o", "csv")
	if strings.Count(got.out, "\ndeleted,") != 3 || strings.Count(got.out, "\n") != 4 {
		t.Errorf("diff: %s%s", got.out, got.err)
	}
	refuse(t, dir, []string{"sql", "--as-of", "20261122171150000", "select * from sale_archived"}, "older than the oldest that can be read", "the oldest instant that can be read is 2026")
	// The life of a row through base files, logs, a compaction and back.
	got = lakeq(t, "", "--lake", dir, "sql", "-o", "csv", "--as-of", "20261122171259461", "select _hoodie_record_key k from sale_mor order by 1")
	lives := map[string]int{}
	for _, key := range strings.Fields(got.out)[1:] {
		life := lakeq(t, "", "--lake", dir, "history", "sale_mor", key, "-o", "csv")
		if life.err != "" || !strings.Contains(life.out, "\n20261122171259461,") || !strings.Contains(life.out, ",inserted,"+key+",") {
			t.Fatalf("history of %s: %s%s", key, life.out, life.err)
		}
		for _, change := range []string{"updated", "written again", "deleted"} {
			lives[change] += strings.Count(life.out, ","+change+",")
		}
	}
	if lives["deleted"] != 3 || lives["updated"] == 0 {
		t.Errorf("the rows' lives are %v", lives)
	}
}
