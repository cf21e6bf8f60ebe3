package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tributary/lake"
	"tributary/lake/blob"
	"tributary/lake/blob/s3"
	"tributary/tests/s3server"
)

// saleSchema has a column of each kind.
var saleSchema = lake.Schema{Fields: []lake.Field{
	{Name: "id", Type: lake.Simple(lake.Long)},
	{Name: "buyer", Type: lake.Simple(lake.String), Nullable: true},
	{Name: "price", Type: lake.DecimalType(8, 2), Nullable: true},
	{Name: "sold", Type: lake.Simple(lake.TimestampMicros), Nullable: true},
	{Name: "day", Type: lake.Simple(lake.Date), Nullable: true},
	{Name: "rate", Type: lake.Simple(lake.Double), Nullable: true},
	{Name: "open", Type: lake.Simple(lake.Boolean), Nullable: true},
	{Name: "raw", Type: lake.Simple(lake.Bytes), Nullable: true},
	{Name: "__deleted", Type: lake.Simple(lake.String), Nullable: true},
	{Name: "__seq", Type: lake.Simple(lake.String), Nullable: true},
}}

// sale is a row; a negative cents is null in every nullable column.
type sale struct {
	id    int64
	buyer string
	cents int64
	seq   int
}

func rowsOf(schema lake.Schema, sales ...sale) lake.Rows {
	b := schema.NewBatch()
	for _, s := range sales {
		for i, f := range schema.Fields {
			c := &b.Cols[i]
			switch {
			case f.Name == "id":
				c.AppendInt(s.id)
			case f.Name == "__seq":
				c.AppendString(fmt.Sprintf("%016x", s.seq))
			case s.cents < 0:
				c.AppendNull()
			case f.Name == "buyer":
				c.AppendString(s.buyer)
			case f.Name == "price":
				c.AppendBytes([]byte{byte(s.cents >> 8), byte(s.cents)})
			case f.Name == "sold":
				c.AppendInt(1_219_323_013_000_000 + s.id)
			case f.Name == "day":
				c.AppendInt(14112)
			case f.Name == "rate":
				c.AppendFloat(0.25)
			case f.Name == "open":
				c.AppendInt(1)
			case f.Name == "raw":
				c.AppendBytes([]byte{0xde, 0xad})
			case f.Name == "__deleted":
				c.AppendString("false")
			case f.Name == "tip":
				c.AppendInt(int64(s.seq))
			}
		}
		b.Len++
	}
	return lake.Rows{Batch: b}
}

// testLake is a lake with a table sale of three commits, an empty table venue,
// and the instants of the commits.
func testLake(t *testing.T) (dir string, instants []string) {
	t.Helper()
	dir = t.TempDir()
	store, err := blob.NewDir(dir)
	must(t, err)
	clock := time.Date(2026, 11, 25, 9, 30, 2, 0, time.UTC)
	opt := lake.Options{Now: func() time.Time { return clock }}
	create := func(name string) *lake.Table {
		table, err := lake.Create(t.Context(), store, "silver/tickit/"+name, lake.Config{
			Database: "tickit", Table: name, Schema: saleSchema, KeyFields: []string{"id"}, Precombine: "__seq",
		}, opt)
		must(t, err)
		return table
	}
	table := create("sale")
	commit := func(cp string, rows lake.Rows) {
		i, err := table.Upsert(t.Context(), rows, map[string]string{
			"deltastreamer.checkpoint.key": cp, "tributary.source.lsn": "1099511627776",
		})
		must(t, err)
		instants = append(instants, i.Time)
		clock = clock.Add(10 * time.Second)
	}
	commit("t,0:2", rowsOf(saleSchema, sale{1, "Ada", 150, 1}, sale{2, "Bob, \"B\"\nBobson", -1, 1}))
	commit("t,0:4", rowsOf(saleSchema, sale{1, "Ada", 12345, 2}, sale{3, "Zoë", 7, 2}))
	wider := saleSchema
	wider.Fields = append(append([]lake.Field(nil), saleSchema.Fields...), lake.Field{Name: "tip", Type: lake.Simple(lake.Int), Nullable: true})
	_, err = table.Evolve(wider)
	must(t, err)
	commit("t,0:5", rowsOf(table.Schema(), sale{4, "Eve", 1, 3}))
	must(t, table.Close(t.Context()))
	empty := create("venue")
	_, err = empty.Upsert(t.Context(), lake.Rows{Batch: saleSchema.NewBatch()}, map[string]string{"deltastreamer.checkpoint.key": "v,0:0"})
	must(t, err)
	must(t, empty.Close(t.Context()))
	return dir, instants
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type result struct {
	code     int
	out, err string
}

func lakeq(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(context.WithoutCancel(t.Context()), args, strings.NewReader(stdin), &out, &errs)
	return result{code, out.String(), errs.String()}
}

func TestSQL(t *testing.T) {
	dir, at := testLake(t)
	for _, c := range []struct {
		name string
		args []string
		in   string
		want string
	}{
		{"csv of every type", []string{"-o", "csv", "select * from sale where id < 3 order by id"}, "",
			"id,buyer,price,sold,day,rate,open,raw,__deleted,__seq,tip\n" +
				"1,Ada,123.45,2008-08-21 12:50:13.000001,2008-08-21,0.25,true,\\xdead,false,0000000000000002,\n" +
				"2,,,,,,,,,0000000000000001,\n"},
		{"json of every type", []string{"-o", "json", "select * from sale where id in (1, 2) order by id desc;"}, "",
			`[
{"id":2,"buyer":null,"price":null,"sold":null,"day":null,"rate":null,"open":null,"raw":null,"__deleted":null,"__seq":"0000000000000001","tip":null},
{"id":1,"buyer":"Ada","price":123.45,"sold":"2008-08-21 12:50:13.000001","day":"2008-08-21","rate":0.25,"open":true,"raw":"\\xdead","__deleted":"false","__seq":"0000000000000002","tip":null}
]
`},
		{"no rows as json", []string{"-o", "json", "select id from sale where id = 99"}, "", "[\n]\n"},
		{"as of an instant", []string{"--as-of", at[0], "-o", "csv", "select id, price from sale order by id"}, "", "id,price\n1,1.50\n2,\n"},
		{"as of a date-time", []string{"--as-of", "2026-11-25 09:30:15", "-o", "csv", "select count(*) n, max(price) p from sale"}, "", "n,p\n3,123.45\n"},
		{"as of RFC 3339", []string{"--as-of", "2026-11-25T10:30:05+01:00", "-o", "csv", "select count(*) n from sale"}, "", "n\n2\n"},
		{"as of a prefix", []string{"--as-of", "20261126", "-o", "csv", "select count(*) n from sale"}, "", "n\n4\n"},
		{"the schema is that of the time", []string{"--as-of", at[1], "-o", "csv", "select column_name from (describe sale) where column_name in ('tip', 'rate')"}, "", "column_name\nrate\n"},
		{"with the database", []string{"-o", "csv", `select s.id from tickit."sale" s join TICKIT.Sale t using (id) where id = 3`}, "", "id\n3\n"},
		{"from the input", []string{"-o", "csv", "-"}, "select 1 as one;\n", "one\n1\n"},
		{"several statements", []string{"-o", "csv", "set threads = 1; create table t as select 7 x; select x from t; -- ; not the end\n select ';' y, $$;$$ z;;"}, "", "x\n7\n\ny,z\n;,;\n"},
		{"an empty table", []string{"-o", "csv", "select count(*) n, sum(price) p from venue"}, "", "n,p\n0,\n"},
		{"Hudi's columns when named", []string{"-o", "csv", "select _hoodie_record_key k, _hoodie_commit_time = '" + at[1] + "' c from sale where id = 3"}, "", "k,c\n3,true\n"},
		{"Hudi's columns when asked for", []string{"--meta", "-o", "csv", "select count(*) n from (describe sale)"}, "", "n\n16\n"},
		{"names in strings and comments", []string{"-o", "csv", "select 'venue' v /* from sale */ -- sale"}, "", "v\nvenue\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := lakeq(t, c.in, append([]string{"--lake", dir, "sql"}, c.args...)...)
			if got.code != 0 || got.out != c.want || got.err != "" {
				t.Errorf("code %d\nstderr %s\ngot  %s\nwant %s", got.code, got.err, got.out, c.want)
			}
		})
	}
}

func TestSQLTable(t *testing.T) {
	dir, _ := testLake(t)
	got := lakeq(t, "", "--lake", "file://"+dir, "sql", "select id, buyer, price from sale order by id")
	want := "id  buyer   price\n--  -----  ------\n 1  Ada    123.45\n 2  NULL     NULL\n 3  Zoë      0.07\n 4  Eve      0.01\n(4 rows, "
	if got.code != 0 || !strings.HasPrefix(got.out, want) {
		t.Errorf("code %d, %s\ngot  %s\nwant %s", got.code, got.err, got.out, want)
	}
}

func TestSQLParquet(t *testing.T) {
	dir, _ := testLake(t)
	to := filepath.Join(t.TempDir(), "out.parquet")
	if got := lakeq(t, "", "--lake", dir, "sql", "-o", "parquet", "--to", to, "select id, price from sale"); got.code != 0 {
		t.Fatal(got.err)
	}
	got := lakeq(t, "", "--lake", dir, "sql", "-o", "csv", "select sum(id) i, sum(price) p from read_parquet('"+to+"')")
	if got.out != "i,p\n10,123.53\n" {
		t.Errorf("got %q, %s", got.out, got.err)
	}
}

func TestErrors(t *testing.T) {
	dir, at := testLake(t)
	sql := func(args ...string) []string { return append([]string{"--lake", dir, "sql"}, args...) }
	for _, c := range []struct {
		name string
		args []string
		want []string
	}{
		{"a table that is not there", sql("select * from sales"), []string{"there is no table sales", "did you mean sale?"}},
		{"a qualified one", sql("select * from tickit.venues"), []string{"there is no table", "venue"}},
		{"nothing like it", sql("select * from xyzzy"), []string{"there is no table xyzzy", "see lakeq tables"}},
		{"a column", sql("select idd from sale"), []string{`Referenced column "idd" not found`}},
		{"no SQL", sql("selekt"), []string{"syntax error"}},
		{"no moment", sql("--as-of", "yesterday", "select 1"), []string{`"yesterday" is no moment in time`, "YYYY-MM-DD"}},
		{"before the first commit", sql("--as-of", "2020-01-01", "select * from sale"), []string{"table sale did not exist as of 20200101000000000", "ask for " + at[0] + " or later"}},
		{"no lake", []string{"--lake", filepath.Join(dir, "nope"), "tables"}, []string{"there is no directory"}},
		{"a strange lake", []string{"--lake", "ftp://x/y", "tables"}, []string{"a lake cannot be at ftp://x/y", "s3://bucket/prefix"}},
		{"parquet to nowhere", sql("-o", "parquet", "select 1"), []string{"add --to FILE"}},
		{"a form that is none", sql("-o", "xml", "select 1"), []string{"xml", "see lakeq --help"}},
		{"timeline of no table", []string{"--lake", dir, "timeline", "sael"}, []string{"there is no table sael", "did you mean sale?"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := lakeq(t, "", c.args...)
			if got.code != 2 || got.out != "" {
				t.Errorf("code %d, stdout %q", got.code, got.out)
			}
			for _, w := range c.want {
				if !strings.Contains(got.err, w) {
					t.Errorf("stderr %q lacks %q", got.err, w)
				}
			}
		})
	}
}

func TestTables(t *testing.T) {
	dir, at := testLake(t)
	got := lakeq(t, "", "--lake", dir, "tables", "-o", "json")
	var rows []map[string]any
	if err := json.Unmarshal([]byte(got.out), &rows); err != nil || len(rows) != 2 {
		t.Fatalf("%v: %s %s", err, got.out, got.err)
	}
	s := rows[0]
	if s["database"] != "tickit" || s["table"] != "sale" || s["rows"] != 4.0 || s["commits"] != 3.0 ||
		s["oldest_instant"] != at[0] || s["newest_instant"] != at[2] || s["bytes"].(float64) < 1000 || s["files"].(float64) < 1 {
		t.Errorf("got %v", s)
	}
	if v := rows[1]; v["table"] != "venue" || v["rows"] != 0.0 {
		t.Errorf("got %v", v)
	}
	got = lakeq(t, "", "--lake", dir, "tables", "-o", "csv", "--as-of", at[0])
	if !strings.Contains(got.out, "tickit,sale,2,") {
		t.Errorf("as of the first commit: %s %s", got.out, got.err)
	}
}

func TestTimeline(t *testing.T) {
	dir, at := testLake(t)
	got := lakeq(t, "", "--lake", dir, "timeline", "tickit.sale", "-o", "json")
	var rows []map[string]any
	if err := json.Unmarshal([]byte(got.out), &rows); err != nil {
		t.Fatalf("%v: %s %s", err, got.out, got.err)
	}
	var data []map[string]any
	for _, r := range rows {
		if r["action"] == "commit" {
			data = append(data, r)
		}
	}
	if len(data) != 3 {
		t.Fatalf("got %v", rows)
	}
	second := data[1]
	if second["instant"] != at[1] || second["inserted"] != 1.0 || second["updated"] != 1.0 || second["deleted"] != 0.0 ||
		second["checkpoint"] != "t,0:4" || second["source"] != "100/0" || second["state"] != "completed" {
		t.Errorf("got %v", second)
	}
	got = lakeq(t, "", "--lake", dir, "timeline", "sale", "-n", "1", "-o", "csv")
	if strings.Count(got.out, "\n") != 2 {
		t.Errorf("one instant was asked for: %s", got.out)
	}
}

// A lake in a bucket is read through the cache: whole files, fetched once, and
// no more of them than its size allows.
func TestCache(t *testing.T) {
	dir, at := testLake(t)
	inner, err := blob.NewDir(dir)
	must(t, err)
	store := &counting{Store: inner}
	root := t.TempDir()
	ask := func(limit int64, asOf string) *lakeRoot {
		l := &lakeRoot{store: store, cache: newCache(store, root, "bucket", limit)}
		refs, err := l.tables(t.Context())
		must(t, err)
		_, snap, err := l.snapshot(t.Context(), refs[0], window{at: moment{instant: asOf}})
		must(t, err)
		paths, err := l.localPaths(t.Context(), snap.Files())
		must(t, err)
		for i, p := range paths {
			info, err := os.Stat(p)
			must(t, err)
			if info.Size() != snap.Files()[i].Size {
				t.Errorf("%s has %d bytes", p, info.Size())
			}
		}
		return l
	}
	ask(1<<30, at[0]).close()
	first := store.parquet
	ask(1<<30, at[0]).close()
	if first == 0 || store.parquet != first {
		t.Errorf("fetched %d files at first, %d in all", first, store.parquet)
	}
	ask(1, at[2]).close()
	left, err := filepath.Glob(filepath.Join(root, "*", "silver", "tickit", "sale", "*.parquet"))
	must(t, err)
	if len(left) != 1 {
		t.Errorf("a cache of one byte keeps the files in use alone, but has %v", left)
	}
}

type counting struct {
	blob.Store
	parquet int
}

func (c *counting) Open(ctx context.Context, key string) (blob.Object, error) {
	if strings.HasSuffix(key, ".parquet") {
		c.parquet++
	}
	return c.Store.Open(ctx, key)
}

func TestWideResultsOnATerminal(t *testing.T) {
	var out bytes.Buffer
	r, err := newRenderer("table", &out, 20)
	must(t, err)
	must(t, r.begin([]resultColumn{{"n", "INTEGER"}, {"words", "VARCHAR"}, {"more", "VARCHAR"}}))
	must(t, r.row([]any{int32(5), "one two", strings.Repeat("x", 100)}))
	must(t, r.end(1, 0))
	if want := "n  words\n-  -------\n5  one two\n(1 row, 0.000 s; 1 of 3 columns did not fit: more)\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestIdentifiers(t *testing.T) {
	got := identifiers(`SELECT "Odd ""Name", a.b FROM db.Sale s WHERE x = 'it''s venue' -- comment
		AND y /* block */ IN (SELECT 1 FROM "üb")`)
	for _, w := range []string{`odd "name`, "a", "b", "db", "sale", "üb", "y"} {
		if !got[w] {
			t.Errorf("%q is missing", w)
		}
	}
	for _, w := range []string{"venue", "comment", "block", "it"} {
		if got[w] {
			t.Errorf("%q is no identifier", w)
		}
	}
	identifiers(`'open`)
	identifiers(`"open`)
	identifiers(`/*`)
}

func TestBucket(t *testing.T) {
	server := s3server.Start(t)
	opt := server.Bucket(t, "lake")
	dir, at := testLake(t)
	local, err := blob.NewDir(dir)
	must(t, err)
	remote, err := s3.New(t.Context(), opt)
	must(t, err)
	for info, err := range local.List(t.Context(), "", "") {
		must(t, err)
		o, err := local.Open(t.Context(), info.Key)
		must(t, err)
		_, err = remote.Put(t.Context(), "some/where/"+info.Key, io.NewSectionReader(o, 0, o.Size()), o.Size(), blob.IfAbsent())
		must(t, err)
		must(t, o.Close())
	}
	t.Setenv("AWS_ACCESS_KEY_ID", opt.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", opt.SecretKey)
	t.Setenv("LAKEQ_LAKE", "s3://lake/some/where")
	t.Setenv("LAKEQ_S3_ENDPOINT", opt.Endpoint)
	t.Setenv("LAKEQ_CACHE_DIR", t.TempDir())
	for range 2 {
		got := lakeq(t, "", "--s3-path-style", "sql", "-o", "csv", "--as-of", at[1], "select count(*) n, sum(price) p from sale")
		if got.out != "n,p\n3,123.52\n" {
			t.Errorf("got %+v", got)
		}
	}
	got := lakeq(t, "", "--s3-path-style", "tables", "-o", "csv")
	if !strings.Contains(got.out, "tickit,sale,4,") || !strings.Contains(got.out, "tickit,venue,0,") {
		t.Errorf("got %+v", got)
	}
}

// TestCellsInAPipeAreWhole renders what is wider than a terminal's cells for a pipe.
func TestCellsInAPipeAreWhole(t *testing.T) {
	var out bytes.Buffer
	r, err := newRenderer("table", &out, 0)
	must(t, err)
	must(t, r.begin([]resultColumn{{"words", "VARCHAR"}, {"n", "INTEGER"}}))
	long := strings.Repeat("x", 3*maxCell)
	for range widthSample + 1 {
		must(t, r.row([]any{long, int32(5)}))
	}
	must(t, r.end(1, 0))
	if n := strings.Count(out.String(), "\n"+long+"  5\n"); n == 0 || strings.Contains(out.String(), "…") || strings.Count(out.String(), long) != widthSample+1 {
		t.Errorf("cells are cut:\n%.400s", out.String())
	}
}

// TestDamagedTablesDoNotHideOthers asks a lake of which one table has no properties
// and another a torn file.
func TestDamagedTablesDoNotHideOthers(t *testing.T) {
	dir, _ := testLake(t)
	must(t, os.WriteFile(filepath.Join(dir, "silver/tickit/venue/.hoodie/hoodie.properties"), nil, 0o644))
	got := lakeq(t, "", "--lake", dir, "tables", "-o", "csv")
	if got.code != 2 || !strings.Contains(got.out, "tickit,sale,4,") || !strings.Contains(got.out, "hoodie.properties is empty") ||
		!strings.Contains(got.err, "1 of 2 tables cannot be read") {
		t.Errorf("code %d, %s\n%s", got.code, got.err, got.out)
	}
	refuse(t, dir, []string{"files", "venue"}, "hoodie.properties is empty", "restore it")
	files, err := filepath.Glob(filepath.Join(dir, "silver/tickit/sale/*.parquet"))
	must(t, err)
	for _, f := range files {
		must(t, os.Truncate(f, 700))
	}
	refuse(t, dir, []string{"sql", "select * from sale"}, "lakeq validate")
}

func TestNoRegion(t *testing.T) {
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		t.Setenv(name, "")
	}
	none := filepath.Join(t.TempDir(), "none")
	t.Setenv("AWS_CONFIG_FILE", none)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
	got := lakeq(t, "", "--lake", "s3://bucket/lake", "tables")
	if got.code != 2 || !strings.Contains(got.err, "--s3-region") {
		t.Errorf("code %d, %s", got.code, got.err)
	}
}
