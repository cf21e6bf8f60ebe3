package lake

import (
	"bytes"
	"context"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"tributary/internal/column"
	"tributary/internal/fault"
	"tributary/lake/blob"
)

// sparkTable is a copy of a table that Hudi wrote, in a folder.
func sparkTable(t *testing.T, name string) (*blob.Dir, *Table) {
	t.Helper()
	dir, err := blob.NewDir(t.TempDir())
	must(t, err)
	src := unzip(t, filepath.Join("testdata", "spark", filepath.FromSlash(name)+".zip"))
	for info, err := range src.List(t.Context(), "", "") {
		must(t, err)
		b, err := readObject(t.Context(), src, info.Key)
		must(t, err)
		addObject(t, dir, "t/"+info.Key, bytes.NewReader(b))
	}
	tab, err := Open(t.Context(), dir, "t", Options{})
	must(t, err)
	t.Cleanup(func() { tab.Close(context.Background()) })
	return dir, tab
}

// allRows reads the table, and by record key and partition what column col has.
func allRows(t *testing.T, tab *Table, col string) (*column.Batch, map[string]int64) {
	t.Helper()
	must(t, tab.Refresh(t.Context()))
	s, err := tab.AsOf(t.Context(), "")
	must(t, err)
	all, vals := tab.Schema().NewBatch(), map[string]int64{}
	names := []string{"_hoodie_partition_path", "_hoodie_record_key"}
	at := tab.Schema().Index(col)
	for _, f := range tab.Schema().Fields {
		names = append(names, f.Name)
	}
	for b, err := range s.Scan(t.Context(), names) {
		must(t, err)
		for r := range b.Len {
			key := string(b.Cols[0].Value(r)) + " " + string(b.Cols[1].Value(r))
			if _, ok := vals[key]; ok {
				t.Fatalf("key %s is there twice", key)
			}
			vals[key] = b.Cols[2+at].Ints[r]
			for c := range all.Cols {
				all.Cols[c].Append(&b.Cols[2+c], r)
			}
			all.Len++
		}
	}
	return all, vals
}

// TestWritesOnInTheTablesOwnKeys changes every row of tables with one key field
// and several partition fields, which Hudi 0.15 and 1.1 key differently.
func TestWritesOnInTheTablesOwnKeys(t *testing.T) {
	for name, prefix := range map[string]string{"hudi-0.15.0/sale_day_hive": "", "hudi-0.15.0/sale_day_plain": "", "hudi-1.1.1/sale_day_hive": "saleid:"} {
		t.Run(name, func(t *testing.T) {
			dir, tab := sparkTable(t, name)
			rows, before := allRows(t, tab, "qtysold")
			newer(t, tab, rows)
			q := &rows.Cols[tab.Schema().Index("qtysold")]
			for r := range q.Ints {
				q.Ints[r] += 1000
			}
			i, err := tab.Upsert(t.Context(), Rows{Batch: rows}, nil)
			must(t, err)
			_, after := allRows(t, tab, "qtysold")
			for k, v := range before {
				if after[k] != v+1000 {
					t.Errorf("key %s: %d became %d", k, v, after[k])
				}
				if _, key, _ := strings.Cut(k, " "); !strings.HasPrefix(key, prefix) || prefix == "" && strings.Contains(key, ":") {
					t.Errorf("key %q", key)
				}
			}
			if len(after) != len(before) || len(before) < 100 {
				t.Errorf("%d rows became %d", len(before), len(after))
			}
			c, err := tab.Commit(t.Context(), i)
			must(t, err)
			for p, stats := range c.Stats {
				for _, s := range stats {
					if s.NumInserts != 0 || s.PrevCommit == "null" {
						t.Errorf("partition %s: %+v", p, s)
					}
				}
			}
			sameAsHudiRs(t, tab, dir.Path("t"))
		})
	}
}

func TestKeysOfNeitherFormAreRefused(t *testing.T) {
	dir, _ := sparkTable(t, "hudi-0.15.0/sale_day_hive")
	b, err := readObject(t.Context(), dir, "t/"+propertiesFile)
	must(t, err)
	props := parseProperties(b)
	props[propKeys] = "listid" // the files were keyed by saleid
	b = props.format(newClock().now())
	_, err = dir.Put(t.Context(), "t/"+propertiesFile, bytes.NewReader(b), int64(len(b)), blob.Cond{})
	must(t, err)
	tab, err := Open(t.Context(), dir, "t", Options{})
	must(t, err)
	if err := tab.Lock(t.Context()); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "listid") {
		t.Errorf("lock: %v", err)
	}
}

// TestPayloads gives tables a row that is older than the stored one, one that is
// as old and one that is newer.
func TestPayloads(t *testing.T) {
	put := func(t *testing.T, tab *Table, rows *column.Batch, r int, dt, qty int64) int64 {
		t.Helper()
		one := tab.Schema().NewBatch()
		for c := range one.Cols {
			one.Cols[c].Append(&rows.Cols[c], r)
		}
		one.Len = 1
		one.Cols[tab.Schema().Index(tab.Precombine())].Ints[0] += dt
		one.Cols[tab.Schema().Index("qtysold")].Ints[0] = qty
		_, err := tab.Upsert(t.Context(), Rows{Batch: one}, nil)
		must(t, err)
		now, vals := allRows(t, tab, "qtysold")
		if now.Len != rows.Len {
			t.Errorf("%d rows became %d", rows.Len, now.Len)
		}
		key := appendText(nil, tab.Schema().Fields[0].Type, &one.Cols[0], 0)
		return vals[" "+string(key)]
	}
	for _, c := range []struct {
		name string
		opt  Payload
		late int64 // what the late row leaves
	}{
		{"hudi-0.15.0/sale_cow", "", 501},       // 0.15 records nothing: its default
		{"hudi-1.1.1/sale_cow", "", 501},        // OverwriteWithLatestAvroPayload is recorded
		{"hudi-0.15.0/sale_cow", EventTime, -1}, // as the writer is told
	} {
		t.Run(c.name+" "+string(c.opt), func(t *testing.T) {
			_, tab := sparkTable(t, c.name)
			tab.opt.Payload = c.opt
			rows, vals := allRows(t, tab, "qtysold")
			if tab.Precombine() != "__source_ts_ms" {
				t.Fatalf("the ordering column is %q", tab.Precombine())
			}
			want := c.late
			if want < 0 {
				want = vals[" "+string(appendText(nil, tab.Schema().Fields[0].Type, &rows.Cols[0], 3))]
			}
			if got := put(t, tab, rows, 3, -5_000_000, 501); got != want {
				t.Errorf("a late row leaves %d, want %d", got, want)
			}
			if got := put(t, tab, rows, 3, 0, 502); got != 502 {
				t.Errorf("a tie leaves %d", got)
			}
			if got := put(t, tab, rows, 3, 1, 503); got != 503 {
				t.Errorf("a newer row leaves %d", got)
			}
		})
	}
}

// TestRowsThatSayTheyAreDeleted are deletes, as for Hudi's writers.
func TestRowsThatSayTheyAreDeleted(t *testing.T) {
	_, tab := sparkTable(t, "hudi-1.1.1/sale_cow")
	rows, before := allRows(t, tab, "qtysold")
	newer(t, tab, rows)
	d := &rows.Cols[tab.Schema().Index("_hoodie_is_deleted")]
	*d = column.Column{Kind: column.Int}
	for r := range rows.Len {
		d.AppendInt(int64(r % 2))
	}
	_, err := tab.Upsert(t.Context(), Rows{Batch: rows}, nil)
	must(t, err)
	if _, after := allRows(t, tab, "qtysold"); len(after) != (len(before)+1)/2 {
		t.Errorf("%d rows of %d are left", len(after), len(before))
	}
}

func TestPayloadIsRecordedAndOthersAreRefused(t *testing.T) {
	mem := new(blob.Mem)
	for _, payload := range []Payload{"", EventTime, Overwrite} {
		cfg := saleConfig()
		cfg.Payload = payload
		base := "t" + string(payload)
		tab, err := Create(t.Context(), mem, base, cfg, Options{Now: newClock().now})
		must(t, err)
		want := payloadPackage + string(or(payload, EventTime))
		if got := tab.props[propPayload]; got != want {
			t.Errorf("recorded %q, want %q", got, want)
		}
		upsert(t, tab, nil, row{id: 1, qty: 1, price: 1, at: 1, note: "new", seq: 9})
		upsert(t, tab, nil, row{id: 1, qty: 1, price: 1, at: 1, note: "late", seq: 3})
		late := strings.Contains(dump(t, tab, "")[0], "late")
		if late != (payload == Overwrite) {
			t.Errorf("payload %q: the late row won: %v", payload, late)
		}
		// Whatever the payload, a batch is ordered by the column.
		upsert(t, tab, nil, row{id: 2, qty: 1, price: 1, at: 1, note: "newer", seq: 8}, row{id: 2, qty: 1, price: 1, at: 1, note: "older", seq: 7})
		if got := dump(t, tab, "")[1]; !strings.Contains(got, "newer") {
			t.Errorf("payload %q: the batch gave %s", payload, got)
		}
		must(t, tab.Close(t.Context()))
		tab.opt.Payload = Overwrite
		if err := tab.Lock(t.Context()); (err == nil) != (payload == Overwrite) || err != nil && !fault.NeedsHuman(err) {
			t.Errorf("payload %q locked as another: %v", payload, err)
		}
	}
	cfg := saleConfig()
	cfg.Payload = "MySqlDebeziumAvroPayload"
	if _, err := Create(t.Context(), mem, "other", cfg, Options{}); !fault.NeedsHuman(err) {
		t.Errorf("create with a payload that is not written here: %v", err)
	}
	base := newProperties(saleConfig(), saleSchema)
	for name, change := range map[string]map[string]string{
		"payload":   {propPayload: "org.apache.hudi.common.model.PartialUpdateAvroPayload"},
		"custom":    {propPayload: "com.example.OurPayload"},
		"strategy":  {propPayload: "", propMergeStrategy: "00000000-0000-0000-0000-000000000000"},
		"mode":      {propPayload: "", propMergeMode: "CUSTOM"},
		"keygen":    {propKeygen: "com.example.OurKeyGenerator"},
		"orderings": {propPrecombine: "", propOrdering: "a,b"},
		"no meta":   {propMetaFields: "false"},
	} {
		p := maps.Clone(base)
		maps.Copy(p, change)
		b := p.format(newClock().now())
		_, err := mem.Put(t.Context(), name+"/"+propertiesFile, bytes.NewReader(b), int64(len(b)), blob.IfAbsent())
		must(t, err)
		tab, err := Open(t.Context(), mem, name, Options{})
		must(t, err)
		if err := tab.Lock(t.Context()); !fault.NeedsHuman(err) || fault.Hint(err) == "" || !strings.Contains(err.Error(), "table "+name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTablesOfBucketsAreRefused looks at the names of file groups alone.
func TestTablesOfBucketsAreRefused(t *testing.T) {
	of := func(ids ...string) (files []BaseFile) {
		for _, id := range ids {
			files = append(files, BaseFile{FileID: id})
		}
		return files
	}
	bucket, other := "00000007-01ac-4fd0-9d2e-0123456789ab-0", "12345678-01ac-4fd0-9d2e-0123456789ab-0"
	for _, files := range [][]BaseFile{of(), of(other), of(bucket, other), of("grp-000001"), of("00000007")} {
		if err := checkBuckets("t", files); err != nil {
			t.Errorf("%v: %v", files, err)
		}
	}
	if err := checkBuckets("t", of(bucket, "00000012-01ac-4fd0-9d2e-0123456789ab-0")); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), bucket) {
		t.Errorf("buckets: %v", err)
	}
	mem := new(blob.Mem)
	tab := create(t, mem, saleConfig(), Options{Now: newClock().now})
	upsert(t, tab, nil, manyRows(1, 5, 0)...)
	must(t, tab.Close(t.Context()))
	s, err := tab.AsOf(t.Context(), "")
	must(t, err)
	b, err := readObject(t.Context(), mem, s.files[0].Key)
	must(t, err)
	name := fileName(s.files[0].Key)
	putObject(t, mem, join(tab.Base(), bucket+name[strings.IndexByte(name, '_'):]), b)
	must(t, mem.Delete(t.Context(), s.files[0].Key))
	commit := tab.timelineKey(s.Instant())
	b, err = readObject(t.Context(), mem, commit)
	must(t, err)
	put(t, mem, commit, []byte(strings.ReplaceAll(string(b), s.files[0].FileID, bucket)))
	tab, err = Open(t.Context(), mem, tab.Base(), Options{})
	must(t, err)
	if err := tab.Lock(t.Context()); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "bucket") {
		t.Errorf("lock: %v", err)
	}
}
