package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/internal/avro"
	"tributary/internal/config"
	"tributary/internal/fault"
	"tributary/lake"
	"tributary/lake/blob"
	"tributary/lake/blob/s3"
	"tributary/lake/bronze"
	"tributary/tests/s3server"
)

const valueSchema = `{"type":"record","name":"Value","fields":[{"name":"id","type":"long"},` +
	`{"name":"name","type":["null","string"],"default":null},{"name":"__deleted","type":["null","string"],"default":null},` +
	`{"name":"__op","type":["null","string"],"default":null},{"name":"__lsn","type":["null","long"],"default":null}]}`

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// putRows writes n rows of the topic from offset first into bronze. A row's key is
// its offset.
func putRows(t testing.TB, store blob.Store, topic string, first, n int64) {
	t.Helper()
	putKeys(t, store, topic, first, n, func(i int64) int64 { return i })
}

// putKeys does so with keys made of offsets.
func putKeys(t testing.TB, store blob.Store, topic string, first, n int64, key func(int64) int64) {
	t.Helper()
	w := bronze.NewPartitionWriter(bronze.Options{
		Store: store, Root: "bronze/topics", Codec: avro.Codec("null"), Spool: bronze.NewSpool(t.TempDir(), 1<<20),
	}, topic, 0, first)
	defer func() { must(t, w.Close()) }()
	schema := &bronze.Schema{ID: 1, Text: valueSchema, KeyFields: []string{"id"}}
	for i := first; i < first+n; i++ {
		v := avro.AppendLong(nil, key(i))
		for _, s := range []string{"row", "false", "c"} {
			v = avro.AppendString(avro.AppendLong(v, 1), s)
		}
		v = avro.AppendLong(avro.AppendLong(v, 1), 100+i)
		_, err := w.Append(t.Context(), i, "year=2026/month=11/day=25", schema, v)
		must(t, err)
	}
	_, err := w.Flush(t.Context())
	must(t, err)
}

func configFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "streamer.yaml")
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func countRows(t testing.TB, store blob.Store, base string) int64 {
	t.Helper()
	table, err := lake.Open(t.Context(), store, base, lake.Options{})
	must(t, err)
	snap, err := table.AsOf(t.Context(), "")
	must(t, err)
	return snap.Rows()
}

var quiet = slog.New(slog.DiscardHandler)

func TestConfigurationOfTheDemo(t *testing.T) {
	t.Setenv("LAKE_URL", "file:///lake")
	o := &Options{}
	must(t, config.Load("../../configs/deltastreamer.yaml", o))
	if o.Mode != modeContinuous || o.Database != "tickit_cdc_hudi" || o.Lake != "silver" || o.HardDelete || o.Poll != 200*time.Millisecond {
		t.Errorf("got %+v", o)
	}
	wants := o.wants()
	if !wants("tickit.ecomm.sale") || wants("other.ecomm.sale") {
		t.Error("the choice of topics is wrong")
	}
}

func TestBadConfigurations(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"unknown key", "store.url: file:///x\nhoodie.database.nam: x\n", "hoodie.database.name"},
		{"no store", "topics: a\n", "s3.bucket.name"},
		{"bucket and directory", "store.url: file:///x\ns3.bucket.name: b\n", "a local directory has no bucket"},
		{"bad expression", "store.url: file:///x\ntopics.regex: '('\n", "topics.regex"},
		{"two choices", "store.url: file:///x\ntopics.regex: a\ntopics: [b]\n", "leave one of them out"},
		{"one table for all", "store.url: file:///x\ntable.name.format: t\n", "all topics would go to one table"},
		{"less on the timeline than stays readable", "store.url: file:///x\nhoodie.cleaner.policy: KEEP_LATEST_COMMITS\nhoodie.cleaner.commits.retained: 20\n", "hoodie.keep.min.commits"},
		{"archival upside down", "store.url: file:///x\nhoodie.keep.max.commits: 20\n", "more than hoodie.keep.min.commits"},
		{"no such time", "store.url: file:///x\nhoodie.keygen.timebased.timestamp.type: SCALAR\n", "output date format"},
		{"bad mode", "store.url: file:///x\nmode: twice\n", "once"},
		{"bad number", "store.url: file:///x\ntasks.max: 0\n", "must be 1 or more"},
		{"strange place", "store.url: file:///x\nhoodie.streamer.ingestion.targetBasePath: gs://b\n", "gs:// is not supported"},
		{"payload", "store.url: file:///x\nhoodie.datasource.write.payload.class: com.example.Ours\n", "com.example.Ours"},
		{"a metadata table", "store.url: file:///x\nhoodie.metadata.enable: true\n", "hoodie.metadata.enable: the metadata table is not kept up"},
		{"small files of no size", "store.url: file:///x\nhoodie.parquet.small.file.limit: -1\n", "hoodie.parquet.small.file.limit"},
		{"duplicates of an upsert", "store.url: file:///x\nhoodie.datasource.write.insert.drop.duplicates: true\n", "insert or bulk_insert"},
		{"relative directory", "store.url: file://x\n", "file:///path"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := run(t.Context(), []string{"-c", configFile(t, c.text), "--once"}, quiet)
			if !fault.NeedsHuman(err) || !strings.Contains(err.Error()+fault.Hint(err), c.want) {
				t.Errorf("got %v (%s)", err, fault.Hint(err))
			}
		})
	}
	for _, args := range [][]string{nil, {"-c"}, {"-x", "y"}, {"-c", "a", "b"}} {
		if err := run(t.Context(), args, quiet); !fault.NeedsHuman(err) {
			t.Errorf("%q: got %v", args, err)
		}
	}
}

func TestOnce(t *testing.T) {
	dir := t.TempDir()
	store, err := blob.NewDir(dir)
	must(t, err)
	putRows(t, store, "tickit.ecomm.sale", 0, 100)
	putRows(t, store, "other.x.y", 0, 1)
	file := configFile(t, fmt.Sprintf(`
store.url: file://%s
topics.dir: bronze/topics
topics.regex: tickit\..*
hoodie:
  streamer.ingestion.targetBasePath: silver
  database.name: db
  datasource.write.partitionpath.field: [__lsn]
  keygen.timebased.timestamp.type: SCALAR
  keygen.timebased.timestamp.scalar.time.unit: DAYS
  keygen.timebased.output.dateformat: yyyy/MM
  clustering.inline: true
index.dir: %s
`, dir, t.TempDir()))
	must(t, check(t.Context(), []string{"-c", file}, quiet))
	for more := range int64(3) {
		must(t, run(t.Context(), []string{"-c", file, "--once"}, quiet))
		if n := countRows(t, store, "silver/db/sale"); n != 100+more*10 {
			t.Errorf("the table has %d rows after %d additions of 10", n, more)
		}
		putRows(t, store, "tickit.ecomm.sale", 100+more*10, 10)
	}
	refs, err := lake.Tables(t.Context(), store, "")
	must(t, err)
	if len(refs) != 1 {
		t.Errorf("tables of topics that were not asked for: %v", refs)
	}
}

// TestADayStaysReadable holds what time travel is promised without a setting.
func TestADayStaysReadable(t *testing.T) {
	for text, want := range map[string]lake.Retention{
		"": {Hours: 24},
		"hoodie.cleaner.policy: KEEP_LATEST_COMMITS\nhoodie.cleaner.commits.retained: 7\n": {Commits: 7},
		"hoodie.cleaner.hours.retained: 100\n":                                             {Hours: 100},
	} {
		var o Options
		must(t, config.Load(configFile(t, "store.url: file:///x\n"+text), &o))
		if s := o.services(); s.Keep != want || !s.Clean || !s.Archive || s.Cluster {
			t.Errorf("%q: %+v", text, s)
		}
	}
}

// TestOperations loads a table by bulk insert, and goes on by insert and upsert.
func TestOperations(t *testing.T) {
	dir := t.TempDir()
	store, err := blob.NewDir(dir)
	must(t, err)
	const topic = "tickit.ecomm.sale"
	text := fmt.Sprintf("store.url: file://%s\ntopics.dir: bronze/topics\nhoodie.parquet.max.file.size: 65536\nhoodie.parquet.small.file.limit: 65536\nindex.dir: memory\n", dir)
	file := configFile(t, text)
	for n, op := range []string{"BULK_INSERT", "INSERT", "UPSERT"} {
		putRows(t, store, topic, int64(n)*3000, 3000)
		must(t, run(t.Context(), []string{"-c", file, "--once", "--op", op}, quiet))
	}
	table, err := lake.Open(t.Context(), store, "default/sale", lake.Options{})
	must(t, err)
	var got []string
	files := 0
	for _, i := range table.Timeline().Completed() {
		c, err := table.Commit(t.Context(), i)
		must(t, err)
		got = append(got, c.Operation)
		for _, stats := range c.Stats {
			for _, s := range stats {
				files++
				if s.FileSize > 65536*5/4 {
					t.Errorf("%s has %d bytes", s.Path, s.FileSize)
				}
			}
		}
	}
	if want := []string{"BULK_INSERT", "INSERT", "UPSERT"}; !slices.Equal(got, want) || files < 4 {
		t.Errorf("operations %v in %d files", got, files)
	}
	if n := countRows(t, store, "default/sale"); n != 9000 {
		t.Errorf("%d rows", n)
	}
	if err := run(t.Context(), []string{"-c", file, "--once", "--op", "DELETE_PARTITION"}, quiet); !fault.NeedsHuman(err) {
		t.Errorf("an operation that is none gave %v", err)
	}
	file = configFile(t, text+"hoodie.combine.before.insert: true\nhoodie.datasource.write.operation: insert\n")
	if err := run(t.Context(), []string{"-c", file, "--once", "--op", "UPSERT"}, quiet); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "hoodie.combine.before.insert") {
		t.Errorf("an upsert that combines before an insert gave %v", err)
	}
}

func TestContinuousInABucket(t *testing.T) {
	server := s3server.Start(t)
	opt := server.Bucket(t, "lake")
	store, err := s3.New(t.Context(), opt)
	must(t, err)
	file := configFile(t, fmt.Sprintf(`
store.url: %s
s3.bucket.name: lake
s3.region: %s
aws.access.key.id: %s
aws.secret.access.key: %s
topics.dir: bronze/topics
metadata.max.age.ms: 100
hoodie:
  streamer.ingestion.targetBasePath: s3://lake/deep/silver
  database.name: db
`, opt.Endpoint, opt.Region, opt.AccessKey, opt.SecretKey))
	must(t, check(t.Context(), []string{"-c", file}, quiet))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx, []string{"-c", file}, quiet) }()
	for i := range int64(3) {
		putRows(t, store, "tickit.ecomm.sale", i*10, 10)
		deadline := time.Now().Add(20 * time.Second)
		for {
			refs, err := lake.Tables(t.Context(), store, "deep")
			must(t, err)
			if len(refs) == 1 && countRows(t, store, "deep/silver/db/sale") == (i+1)*10 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("after 20 s the tables are %v", refs)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	cancel()
	must(t, <-done)
	must(t, run(t.Context(), []string{"-c", file, "--once"}, quiet)) // the lease was given back
}

func TestBucketOutOfReach(t *testing.T) {
	file := configFile(t, "store.url: http://127.0.0.1:1\ns3.bucket.name: b\naws.access.key.id: a\naws.secret.access.key: s\n")
	for _, mode := range [][]string{{"-c", file, "--once"}, {"-c", file}} {
		err := run(t.Context(), mode, quiet)
		if err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
			t.Errorf("%v: got %v", mode, err)
		}
	}
	server := s3server.Start(t)
	opt := server.Bucket(t, "lake")
	file = configFile(t, fmt.Sprintf("store.url: %s\ns3.bucket.name: nope\naws.access.key.id: %s\naws.secret.access.key: %s\n", opt.Endpoint, opt.AccessKey, opt.SecretKey))
	if err := run(t.Context(), []string{"-c", file}, quiet); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "nope") {
		t.Errorf("a bucket that is not there gave %v", err)
	}
}
