package lake

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/big"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"tributary/internal/column"
	"tributary/internal/fault"
	"tributary/lake/basefile"
	"tributary/lake/blob"
)

// What real Spark with Hudi 0.15.0 and 1.1.1, and hudi-rs, were seen to insist on:
// each is a subtest of TestWhatEnginesInsistOn, named by what happens without it.
// The tables are of this package's writer; what they are looked at with is, where
// it matters, written anew here from the format's description.
//
//	bloom filter      1, 2, 15  missing: an upsert dies; wrong: silent duplicates
//	decimals          3         as INT32: an upsert fails
//	timestamps        4         as millis or INT96: neighbours are corrupted
//	nested types      5         2-level lists hold no null: not written at all
//	own columns       6         null: hudi-rs fails, upserts die, rows are lost
//	partition files   7         missing: 0 rows
//	properties        8         wrong or missing: fatal, or 0 rows
//	timeline          9         missing fields: 0 incremental rows; 0 bytes: 0 rows
//	file names        10        without a token: 0 rows
//	strays            11        older than the timeline: they count
//	key generators    12, 13    of one key and several partition fields: two forms
//	copied rows       14        keep their time, and name their new file
//	schema in time    16        is that of the instant
//	horizon           17        below it: wrong rows without an error
func TestWhatEnginesInsistOn(t *testing.T) {
	tab, mem := enginesTable(t)
	files := everyFile(t, tab, mem)
	if len(files) < 10 {
		t.Fatalf("%d files", len(files))
	}
	t.Run("bloom filter", func(t *testing.T) { enginesBloom(t, files) })
	t.Run("decimals and timestamps", func(t *testing.T) { enginesTypes(t, tab, files) })
	t.Run("own columns", func(t *testing.T) { enginesOwnColumns(t, files) })
	t.Run("properties", func(t *testing.T) { enginesProperties(t, tab, mem) })
	t.Run("timeline", func(t *testing.T) { enginesTimeline(t, tab, mem) })
	t.Run("file names", func(t *testing.T) {
		form := regexp.MustCompile(`^[^_]+_[0-9]+-[0-9]+-[0-9]+_20[0-9]{15}\.parquet$`)
		for _, f := range files {
			if !form.MatchString(path.Base(f.key)) {
				t.Errorf("file name %s", f.key)
			}
		}
	})
}

// enginesTable is a table with new files, merged files, files of a clustering, an
// insert_overwrite and a bulk insert, in partitions.
func enginesTable(t *testing.T) (*Table, *blob.Mem) {
	t.Helper()
	m := new(blob.Mem)
	cfg := Config{Database: "db", Table: "valid", Schema: everyKind, KeyFields: []string{"k"}, PartitionFields: []string{"part"}, HivePartitions: true, Precombine: "__seq"}
	tab := create(t, m, cfg, Options{MaxFileRows: 15})
	rows := func(from, n, version int, keys string) Rows {
		b := everyKind.NewBatch()
		for i := range n {
			everyRow(b, fmt.Sprintf(keys, from+i), version+i+1)
		}
		return Rows{Batch: b}
	}
	do := func(_ Instant, err error) { t.Helper(); must(t, err) }
	do(tab.Upsert(t.Context(), rows(0, 60, 0, "key é %d"), nil))
	do(tab.Upsert(t.Context(), rows(30, 60, 1000, "key é %d"), nil))
	hard := rows(5, 3, 2000, "key é %d")
	hard.Ops = []Op{Delete, Delete, Delete}
	do(tab.Upsert(t.Context(), hard, nil))
	do(tab.Insert(t.Context(), rows(200, 30, 3000, "键 %d"), Insertion{Bulk: true}, nil))
	do(tab.InsertOverwrite(t.Context(), rows(100, 4, 4000, "key %d"), false, nil))
	tab.opt.MaxFileRows = 100
	i, err := tab.Cluster(t.Context(), Clustering{MinFiles: 2})
	must(t, err)
	if i.IsZero() {
		t.Fatal("nothing was clustered")
	}
	do(tab.Upsert(t.Context(), rows(20, 5, 5000, "key é %d"), nil))
	return tab, m
}

// enginesFile is a base file, as a reader of Parquet sees it.
type enginesFile struct {
	key, partition, instant string
	file                    *basefile.File
	own                     [metaColumns][]string
}

// everyFile opens every base file that is there.
func everyFile(t *testing.T, tab *Table, mem *blob.Mem) []enginesFile {
	t.Helper()
	list, err := listBaseFiles(t.Context(), mem, tab.Base())
	must(t, err)
	var out []enginesFile
	for _, f := range list {
		b := get(t, mem, f.Key)
		file, err := basefile.Open(bytes.NewReader(b), int64(len(b)))
		must(t, err)
		e := enginesFile{key: f.Key, partition: f.Partition, instant: f.Instant, file: file}
		for g := range file.Groups() {
			for i := range metaColumns {
				c := column.Column{Kind: column.Bytes}
				must(t, file.Read(g, metaColumn(i), &c))
				for r := range c.Len() {
					if c.IsNull(r) {
						t.Errorf("%s: %s is null", f.Key, metaNames[i])
					}
					e.own[i] = append(e.own[i], string(c.Value(r)))
				}
			}
		}
		out = append(out, e)
	}
	return out
}

// murmurOfHudi is the hash of Hudi's bloom filters, from its description.
func murmurOfHudi(b []byte, seed int32) int32 {
	const m = 0x5bd1e995
	h := uint32(seed) ^ uint32(len(b))
	for ; len(b) >= 4; b = b[4:] {
		k := binary.LittleEndian.Uint32(b) * m
		k = (k ^ k>>24) * m
		h = h*m ^ k
	}
	if n := len(b); n > 0 {
		for i := range n { // the last byte goes lowest, each extended by its sign
			h ^= uint32(int32(int8(b[i]))) << (8 * (n - 1 - i))
		}
		h *= m
	}
	h = (h ^ h>>13) * m
	return int32(h ^ h>>15)
}

// bloomOfHudi is a dynamic filter, decoded from its description.
type bloomOfHudi struct {
	hashes, bits, capacity int
	rows                   [][]byte
}

func decodeBloom(t *testing.T, text string) bloomOfHudi {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(text)
	must(t, err)
	be := binary.BigEndian
	i32 := func() int {
		v := int32(be.Uint32(raw))
		raw = raw[4:]
		return int(v)
	}
	head := func() (k, m int) {
		if v := i32(); v != -1 {
			t.Fatalf("a filter of version %d", v)
		}
		k = i32()
		if raw[0] != 1 {
			t.Fatalf("hash of type %d, not murmur", raw[0])
		}
		raw = raw[1:]
		return k, i32()
	}
	var b bloomOfHudi
	b.hashes, b.bits = head()
	b.capacity = i32()
	i32()
	for n := i32(); n > 0; n-- {
		if k, m := head(); k != b.hashes || m != b.bits {
			t.Fatalf("a row of %d hashes and %d bits in a filter of %d and %d", k, m, b.hashes, b.bits)
		}
		b.rows = append(b.rows, raw[:(b.bits+7)/8])
		raw = raw[(b.bits+7)/8:]
	}
	if len(raw) > 0 {
		t.Fatalf("%d bytes behind the filter", len(raw))
	}
	return b
}

func (b bloomOfHudi) has(key string) bool {
	return slices.ContainsFunc(b.rows, func(row []byte) bool {
		var iv int32
		for range b.hashes {
			iv = murmurOfHudi([]byte(key), iv)
			at := int(iv) % b.bits
			if at < 0 {
				at = -at
			}
			if row[at>>3]&(1<<(at&7)) == 0 {
				return false
			}
		}
		return true
	})
}

func enginesBloom(t *testing.T, files []enginesFile) {
	if h := murmurOfHudi([]byte("hello"), 0); h != -446617141 {
		t.Fatalf("the test's own hash gives %d", h)
	}
	for _, f := range files {
		text, ok := f.file.Lookup("org.apache.hudi.bloomfilter")
		code, _ := f.file.Lookup("hoodie_bloom_filter_type_code")
		if !ok || code != "DYNAMIC_V0" {
			t.Errorf("%s: filter %v of type %q", f.key, ok, code)
			continue
		}
		b := decodeBloom(t, text)
		keys := f.own[metaRecordKey]
		lo, _ := f.file.Lookup("hoodie_min_record_key")
		hi, _ := f.file.Lookup("hoodie_max_record_key")
		low, high := utf16.Encode([]rune(lo)), utf16.Encode([]rune(hi))
		for _, k := range keys {
			u := utf16.Encode([]rune(k))
			if !b.has(k) {
				t.Errorf("%s: the filter misses %q: an upsert doubles it", f.key, k)
			}
			if slices.Compare(u, low) < 0 || slices.Compare(u, high) > 0 {
				t.Errorf("%s: %q is not between %q and %q", f.key, k, lo, hi)
			}
		}
		// Sized to the rows, by Hudi's formulas for one in 1e9: a file of few rows
		// does not carry a filter for 60,000, and a filter of ones is none.
		n := float64(b.capacity)
		bits := int(math.Ceil(n * -math.Log(1e-9) / (math.Ln2 * math.Ln2)))
		if b.bits != bits || b.hashes != int(math.Ceil(math.Ln2*float64(bits)/n)) {
			t.Errorf("%s: %d bits and %d hashes for %d keys", f.key, b.bits, b.hashes, b.capacity)
		}
		if len(b.rows) > 4 || b.capacity*len(b.rows) < len(keys) || len(text) > 40_000 {
			t.Errorf("%s: a filter of %d×%d keys, %d characters, for %d rows", f.key, len(b.rows), b.capacity, len(text), len(keys))
		}
		for i := range 200 {
			if b.has(fmt.Sprint("no such key ", i)) {
				t.Errorf("%s: the filter has what is not there", f.key)
			}
		}
	}
}

// enginesTypes looks at how values are stored.
func enginesTypes(t *testing.T, tab *Table, files []enginesFile) {
	minimal := func(precision int) int {
		most := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(precision)), nil)
		n := 1
		for new(big.Int).Lsh(big.NewInt(1), uint(8*n-1)).Cmp(most) <= 0 {
			n++
		}
		return n
	}
	for p := 1; p <= 38; p++ {
		if got := DecimalType(p, 0).Size; got != minimal(p) {
			t.Errorf("decimal(%d) has %d bytes, the fewest are %d", p, got, minimal(p))
		}
	}
	for _, f := range files {
		decimals, stamps := 0, 0
		for _, c := range f.file.Columns() {
			switch {
			case c.Annotation == basefile.Decimal:
				decimals++
				if c.Physical != basefile.FixedLen || c.Size != minimal(c.Precision) {
					t.Errorf("%s: %+v", f.key, c)
				}
			case c.Annotation == basefile.TimestampMicros && c.Physical == basefile.Int64:
				stamps++
			case c.Annotation == basefile.TimestampMillis, c.Physical == basefile.Int96:
				t.Errorf("%s: %+v", f.key, c)
			}
		}
		if decimals != 2 || stamps != 1 {
			t.Errorf("%s: %d decimals, %d timestamps", f.key, decimals, stamps)
		}
		// What the files say and what the commits say is the same, with Hudi's own
		// columns before.
		text, _ := f.file.Lookup("parquet.avro.schema")
		in, err := ParseSchema(text)
		if err != nil || !in.Equal(tab.Schema()) {
			t.Errorf("%s: the footer's schema is %s, %v", f.key, text, err)
		}
		for i, n := range metaNames {
			if c := f.file.Columns()[i]; c.Name != n || c.Annotation != basefile.UTF8 || !strings.Contains(text, strconv.Quote(n)) {
				t.Errorf("%s: column %d is %+v, want %s", f.key, i, c, n)
			}
		}
		if v, _ := f.file.Lookup("writer.model.name"); v != "avro" {
			t.Errorf("%s: writer.model.name=%s", f.key, v)
		}
	}
}

func enginesOwnColumns(t *testing.T, files []enginesFile) {
	seqno := regexp.MustCompile(`^20[0-9]{15}_[0-9]+_[0-9]+$`)
	where := map[string]string{} // of a row's sequence number: its key
	for _, f := range files {
		for r, key := range f.own[metaRecordKey] {
			at, seq := f.own[metaCommitTime][r], f.own[metaCommitSeqno][r]
			if len(at) != instantDigits || at > f.instant || !seqno.MatchString(seq) || !strings.HasPrefix(seq, at) {
				t.Errorf("%s: row %s of %s has the number %s", f.key, key, at, seq)
			}
			if other, ok := where[seq]; ok && other != key {
				t.Errorf("rows %s and %s have the number %s", key, other, seq)
			}
			where[seq] = key
			if f.own[metaPartition][r] != f.partition || f.own[metaFileName][r] != path.Base(f.key) || key == "" {
				t.Errorf("%s: row %q is of %s in %s", f.key, key, f.own[metaPartition][r], f.own[metaFileName][r])
			}
		}
	}
}

func enginesProperties(t *testing.T, tab *Table, mem *blob.Mem) {
	p := parseProperties(get(t, mem, join(tab.Base(), propertiesFile)))
	sum := crc32.ChecksumIEEE([]byte(p["hoodie.database.name"] + "." + p["hoodie.table.name"]))
	for key, want := range map[string]string{
		"hoodie.table.name": "valid", "hoodie.table.version": "6", "hoodie.timeline.layout.version": "1", "hoodie.table.type": "COPY_ON_WRITE",
		"hoodie.table.recordkey.fields": "k", "hoodie.table.partition.fields": "part", "hoodie.table.precombine.field": "__seq",
		"hoodie.table.checksum": fmt.Sprint(sum), "hoodie.table.timeline.timezone": "UTC", "hoodie.populate.meta.fields": "true",
		"hoodie.datasource.write.hive_style_partitioning": "true", "hoodie.datasource.write.partitionpath.urlencode": "false",
		"hoodie.table.keygenerator.class": "org.apache.hudi.keygen.SimpleKeyGenerator", "hoodie.table.base.file.format": "PARQUET",
		"hoodie.archivelog.folder": "archived", "hoodie.datasource.write.drop.partition.columns": "false", "hoodie.table.metadata.partitions": "",
	} {
		if p[key] != want {
			t.Errorf("%s=%s, want %s", key, p[key], want)
		}
	}
}

// enginesTimeline looks at the three files of every write.
func enginesTimeline(t *testing.T, tab *Table, mem *blob.Mem) {
	operations := map[string]bool{}
	for _, i := range tab.Timeline().Completed() {
		name := join(tab.Base(), ".hoodie/"+i.Time)
		switch i.Action {
		case ActionCommit:
			if b := get(t, mem, name+".commit.requested"); len(b) != 0 {
				t.Errorf("requested has %d bytes", len(b))
			}
			if b := get(t, mem, name+".inflight"); !json.Valid(b) {
				t.Errorf("inflight is %s", b)
			}
		case ActionReplaceCommit:
			if rec, err := decodeAvroBody(get(t, mem, name+".replacecommit.requested")); err != nil || rec["operationType"] == nil {
				t.Errorf("requested is %v, %v", rec, err)
			}
			get(t, mem, name+".replacecommit.inflight")
		}
		var doc struct {
			Stats map[string][]struct {
				FileID, Path, PartitionPath, PrevCommit     string
				FileSizeInBytes, TotalWriteBytes, NumWrites int64
			} `json:"partitionToWriteStats"`
			Replaced      map[string][]string `json:"partitionToReplaceFileIds"`
			Compacted     *bool
			OperationType string
			Extra         map[string]string `json:"extraMetadata"`
		}
		must(t, json.Unmarshal(get(t, mem, name+"."+string(i.Action)), &doc))
		operations[doc.OperationType] = true
		if s, err := ParseSchema(doc.Extra["schema"]); err != nil || !s.Equal(tab.Schema()) || strings.Contains(doc.Extra["schema"], "_hoodie_") {
			t.Errorf("commit %s has the schema %s", i, doc.Extra["schema"])
		}
		if doc.Compacted == nil || *doc.Compacted || len(doc.Stats) == 0 || (len(doc.Replaced) > 0) != (i.Action == ActionReplaceCommit) {
			t.Errorf("commit %s is %+v", i, doc)
		}
		for p, list := range doc.Stats {
			for _, st := range list {
				key := join(tab.Base(), st.Path)
				b := get(t, mem, key)
				file, err := basefile.Open(bytes.NewReader(b), int64(len(b)))
				must(t, err)
				if st.FileID == "" || st.PartitionPath != p || !strings.HasPrefix(st.Path, p+"/"+st.FileID+"_") || st.NumWrites != file.Rows() ||
					st.FileSizeInBytes != int64(len(b)) || st.TotalWriteBytes != int64(len(b)) || st.PrevCommit == "" || !strings.Contains(st.Path, i.Time) {
					t.Errorf("write stat %+v of partition %q: %d bytes, %d rows", st, p, len(b), file.Rows())
				}
			}
		}
	}
	for _, op := range []string{"UPSERT", "BULK_INSERT", "INSERT_OVERWRITE", "CLUSTER"} {
		if !operations[op] {
			t.Errorf("no commit of operation %s among %v", op, operations)
		}
	}
}

// TestEnginesNeedFilesInOrder holds that a partition's metadata is there before
// its first file, markers before any, and the completed instant after all, whole
// and by one put: no engine ever sees a part of a commit, or an empty one.
func TestEnginesNeedFilesInOrder(t *testing.T) {
	mem := new(blob.Mem)
	log := blob.NewFault(mem)
	var puts []string
	log.Before(func(_ int, key string) { puts = append(puts, strings.TrimPrefix(key, "silver/shop/sale/")) })
	cfg := saleConfig()
	partitioned(&cfg)
	tab := create(t, log, cfg, Options{MaxFileRows: 5})
	puts = nil
	at := upsert(t, tab, nil, manyRows(1, 30, 0)...).Time
	place := func(match func(string) bool) (first, last, n int) {
		first = -1
		for i, p := range puts {
			if match(p) {
				if first < 0 {
					first = i
				}
				last, n = i, n+1
			}
		}
		return first, last, n
	}
	commit, again, n := place(func(p string) bool { return p == ".hoodie/"+at+".commit" })
	if n != 1 || commit != again {
		t.Fatalf("the commit was put %d times among %q", n, puts)
	}
	firstFile, lastFile, files := place(func(p string) bool { return strings.HasSuffix(p, ".parquet") })
	_, marker, markers := place(func(p string) bool {
		return strings.HasPrefix(p, ".hoodie/.temp/"+at+"/") && strings.HasPrefix(path.Base(p), "MARKERS")
	})
	_, inflight, _ := place(func(p string) bool { return p == ".hoodie/"+at+".inflight" })
	if files < 6 || lastFile > commit || markers == 0 || inflight > firstFile || inflight < 0 {
		t.Errorf("order %q", puts)
	}
	// The markers come before the files, and go after the commit.
	if first, _, _ := place(func(p string) bool { return strings.HasPrefix(p, ".hoodie/.temp/") }); first > firstFile || marker < commit {
		t.Errorf("markers in the order %q", puts)
	}
	for _, p := range []string{"qty=0", "qty=1", "qty=2"} {
		meta, _, n := place(func(k string) bool { return k == p+"/.hoodie_partition_metadata" })
		file, _, _ := place(func(k string) bool { return strings.HasPrefix(k, p+"/") && strings.HasSuffix(k, ".parquet") })
		if n == 0 || meta > file {
			t.Errorf("metadata of %s in the order %q", p, puts)
		}
		props := parseProperties(get(t, mem, "silver/shop/sale/"+p+"/.hoodie_partition_metadata"))
		if props["commitTime"] != at || props["partitionDepth"] != "1" {
			t.Errorf("metadata of %s: %v", p, props)
		}
	}
	// An empty completed instant, as a writer without atomic puts leaves it, is an
	// error everywhere and never a table without rows.
	put(t, mem, "silver/shop/sale/.hoodie/"+at+".commit", nil)
	damaged, err := Open(t.Context(), mem, "silver/shop/sale", Options{})
	if err == nil {
		_, err = damaged.AsOf(t.Context(), "")
	}
	if !fault.NeedsHuman(err) || !strings.Contains(err.Error(), at) {
		t.Errorf("an empty commit is read: %v", err)
	}
}

// TestEnginesCountOldStrays holds that a file of a write that was not completed is
// never left behind the start of the timeline, where every engine counts it.
func TestEnginesCountOldStrays(t *testing.T) {
	mem, clk := new(blob.Mem), newClock()
	tab, instants, held := history(t, mem, clk, 3, nil)
	must(t, tab.Close(t.Context()))
	s, err := tab.AsOf(t.Context(), "")
	must(t, err)
	body := get(t, mem, s.Files()[0].Key)
	stray := func(at string) string {
		return join(tab.Base(), "0e40e324-1a4f-48c5-abaa-44288f4406b7-0_0-0-0_"+at+".parquet")
	}
	// Newer than the start, of no instant: it does not count, and is told of.
	between := instants[1][:16] + "9"
	put(t, mem, stray(between), body)
	wantLines(t, "a stray file", dump(t, openTable(t, mem, Options{}), ""), held[instants[2]]...)
	if v, err := openTable(t, mem, Options{}).Validate(t.Context()); err != nil || !strings.Contains(fmt.Sprint(v.Findings), "orphan") {
		t.Errorf("the orphan is not found: %v, %v", v.Findings, err)
	}
	remove(t, mem, stray(between))
	// Older than the start, it counts, for us as for every engine.
	put(t, mem, stray("20000101000000000"), body)
	if got := dump(t, openTable(t, mem, Options{}), ""); len(got) <= len(held[instants[2]]) {
		t.Errorf("%d rows with a file from before the timeline", len(got))
	}
	remove(t, mem, stray("20000101000000000"))
	// So a write that died is rolled back by the next writer, before it archives.
	died := reopen(t, clk, mem)
	must(t, died.Lock(t.Context()))
	f := blob.NewFault(mem)
	died.store, died.w.lease.store = f, f
	f.StopAfter(5, false)
	if _, err := died.Upsert(t.Context(), rowsOf(manyRows(900, 960, 9000)...), nil); !errors.Is(err, blob.ErrStopped) {
		t.Fatalf("the write did not die: %v", err)
	}
	next := reopen(t, clk, mem)
	for n := range 6 {
		instants = append(instants, upsert(t, next, nil, row{id: int64(n + 1), qty: 5, seq: 20_000 + n}).Time)
	}
	_, err = next.Clean(t.Context(), Retention{Commits: 2})
	must(t, err)
	if n, err := next.Archive(t.Context(), 2, 3); err != nil || n == 0 {
		t.Fatalf("%d archived, %v", n, err)
	}
	nothingLeftBut(t, mem, next, next.Timeline().Newest().Time)
	first := next.Timeline().first()
	list, err := listBaseFiles(t.Context(), mem, next.Base())
	must(t, err)
	for _, b := range list {
		if b.Instant < first && !slices.Contains(instants, b.Instant) {
			t.Errorf("%s is older than %s, and of no commit that was", b.Key, first)
		}
	}
	// And the timeline's start does not pass a write that is under way.
	pending := Instant{Time: FormatInstant(clk.now()), Action: ActionCommit, State: StateRequested}
	for range 4 {
		clk.at = clk.at.Add(1)
	}
	put(t, mem, next.timelineKey(pending), nil)
	must(t, next.Refresh(t.Context()))
	if cut, err := next.archivable(t.Context(), next.Timeline(), 1, 1); err != nil || cut > pending.Time {
		t.Errorf("archived up to %s past %s, %v", cut, pending.Time, err)
	}
}

// TestEnginesKeyGenerators holds that a table says how its keys are made so that
// both Hudi 0.15 and 1.1 make the same.
func TestEnginesKeyGenerators(t *testing.T) {
	schema := Schema{Fields: []Field{{"a", Simple(String), false}, {"b", Simple(String), false}, {"p", Simple(String), true}, {"q", Simple(String), true}}}
	for _, c := range []struct {
		keys, partitions []string
		class, key       string
	}{
		{[]string{"a"}, nil, "NonpartitionedKeyGenerator", "x:y,z"},
		{[]string{"a"}, []string{"p"}, "SimpleKeyGenerator", "x:y,z"},
		{[]string{"a", "b"}, nil, "NonpartitionedKeyGenerator", "a:x:y,z,b:__empty__"},
		{[]string{"a", "b"}, []string{"p"}, "ComplexKeyGenerator", "a:x:y,z,b:__empty__"},
		{[]string{"a", "b"}, []string{"p", "q"}, "ComplexKeyGenerator", "a:x:y,z,b:__empty__"},
		{[]string{"a"}, []string{"p", "q"}, "", "x:y,z"}, // 0.15 writes the value, 1.1 field:value unless told: see the class
	} {
		t.Run(strings.Join(c.keys, ",")+" by "+strings.Join(c.partitions, ","), func(t *testing.T) {
			mem := new(blob.Mem)
			tab := create(t, mem, Config{Table: "t", Schema: schema, KeyFields: c.keys, PartitionFields: c.partitions}, Options{})
			b := schema.NewBatch()
			for i, v := range []string{"x:y,z", "", "1", "2"} {
				b.Cols[i].AppendString(v)
			}
			b.Len = 1
			_, err := tab.Upsert(t.Context(), Rows{Batch: b}, nil)
			must(t, err)
			class := strings.TrimPrefix(tab.props[propKeygen], "org.apache.hudi.keygen.")
			s, err := tab.AsOf(t.Context(), "")
			must(t, err)
			key := dumpSnapshot(t, s, []string{metaNames[metaRecordKey]})[0]
			if c.class != "" && class != c.class || key != c.key {
				t.Errorf("%s makes the key %s, want %s and %s", class, key, c.class, c.key)
			}
		})
	}
}

// TestEnginesCopiedRows holds that a row that a merge only carries over, in a row
// group that is copied as bytes too, keeps the time and number of its commit and
// its key, and names the file it is in.
func TestEnginesCopiedRows(t *testing.T) {
	mem := new(blob.Mem)
	tab := create(t, mem, saleConfig(), Options{})
	first := upsert(t, tab, nil, manyRows(1, 45_000, 0)...)
	before := ownRows(t, tab)
	second := upsert(t, tab, nil, row{id: 44_999, qty: 77, seq: 1 << 20})
	s, err := tab.AsOf(t.Context(), "")
	must(t, err)
	if len(s.Files()) != 1 || s.Files()[0].Instant != second.Time {
		t.Fatalf("files %v", s.Files())
	}
	b := get(t, mem, s.Files()[0].Key)
	file, err := basefile.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil || file.Groups() < 2 {
		t.Fatalf("%d row groups, %v", file.Groups(), err)
	}
	after, changed := ownRows(t, tab), 0
	for key, now := range after {
		was := before[key]
		if now[metaFileName] != path.Base(s.Files()[0].Key) {
			t.Fatalf("row %s names %s", key, now[metaFileName])
		}
		now[metaFileName], was[metaFileName] = "", ""
		if now != was {
			changed++
			if key != "44999" || now[metaCommitTime] != second.Time || was[metaCommitTime] != first.Time {
				t.Fatalf("row %s was %v and is %v", key, was, now)
			}
		}
	}
	if changed != 1 || len(after) != len(before) {
		t.Errorf("%d rows of %d changed", changed, len(after))
	}
}

// ownRows reads Hudi's own columns, by record key.
func ownRows(t *testing.T, tab *Table) map[string][metaColumns]string {
	t.Helper()
	s, err := tab.AsOf(t.Context(), "")
	must(t, err)
	out := map[string][metaColumns]string{}
	for b, err := range s.Scan(t.Context(), metaNames[:]) {
		must(t, err)
		for r := range b.Len {
			var own [metaColumns]string
			for i := range own {
				own[i] = string(b.Cols[i].Value(r))
			}
			out[own[metaRecordKey]] = own
		}
	}
	return out
}

// TestEnginesTypesThatAreRefused holds that no column comes into a table in a form
// that an engine fails over later.
func TestEnginesTypesThatAreRefused(t *testing.T) {
	for name, typ := range map[string]Type{
		"a list":      {Kind: Other, Avro: `{"type":"array","items":"int"}`},
		"a map":       {Kind: Other, Avro: `{"type":"map","values":"int"}`},
		"no decimal":  {Kind: Decimal, Precision: 4, Scale: 5},
		"millisecond": Simple(TimestampMillis),
	} {
		cfg := saleConfig()
		cfg.Schema.Fields = append(slices.Clone(cfg.Schema.Fields), Field{"odd", typ, true})
		if _, err := Create(t.Context(), new(blob.Mem), "t", cfg, Options{}); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "odd") {
			t.Errorf("%s is not refused: %v", name, err)
		}
	}
}

// TestEnginesTimeTravel holds what Hudi's own readers do not: the columns are those
// of the instant, and below the horizon is an error that names it.
func TestEnginesTimeTravel(t *testing.T) {
	mem, clk := new(blob.Mem), newClock()
	tab, instants, held := history(t, mem, clk, 4, nil)
	_, err := tab.Evolve(Schema{Fields: []Field{{"added", Simple(Long), true}, {"qty", Simple(Long), true}}})
	must(t, err)
	_, err = tab.Upsert(t.Context(), Rows{Batch: tab.Schema().NewBatch()}, nil)
	must(t, err)
	then, err := tab.AsOf(t.Context(), instants[3])
	must(t, err)
	if s := then.Schema(); s.Index("added") >= 0 || s.Fields[s.Index("qty")].Type != Simple(Int) {
		t.Errorf("the schema as of %s is %s", instants[3], s.JSON())
	}
	wantLines(t, "as of "+instants[3], dumpSnapshot(t, then, nil), held[instants[3]]...)
	_, err = tab.Clean(t.Context(), Retention{Commits: 2})
	must(t, err)
	horizon := tab.Timeline().Horizon()
	if _, err := tab.AsOf(t.Context(), instants[0]); !errors.Is(err, ErrHorizon) || !strings.Contains(fault.Hint(err), horizon) || horizon == "" {
		t.Errorf("as of %s, cleaned up to %q: %v (%s)", instants[0], horizon, err, fault.Hint(err))
	}
}
